//! The journal by itself: how a scan ends, and what it takes for damage.

use std::sync::Arc;
use std::time::Duration;

use soulchain::storage::{
    ChecksumKey, Commits, FileJournal, FrameBuffer, FrameKind, Journal as _, Mark, Scan, StorageError,
};

use super::disk::{Fate, Plan, SimDisk, Survivors};

const SEGMENT: u64 = 64 << 10;
const PAGE: usize = 4096;

fn journal(disk: &SimDisk) -> FileJournal {
    FileJournal::new(Arc::new(disk.clone()), ChecksumKey::new([3; 32]), SEGMENT)
}

fn append(commits: &mut dyn Commits, payload: &[u8]) -> Mark {
    commits.reserve(payload.len()).unwrap();
    let mut frame = FrameBuffer::with_capacity(payload.len());
    frame.raw(payload);
    commits.append(FrameKind::Batch, frame).unwrap()
}

/// A journal with these payloads behind its start, and where each lies.
fn written(payloads: &[&[u8]]) -> (SimDisk, Mark, Vec<Mark>) {
    let disk = SimDisk::default();
    let start = journal(&disk).create().unwrap();
    let mut commits = journal(&disk).resume(&scan(&disk, &start).unwrap()).unwrap();
    let marks = payloads.iter().map(|payload| append(&mut *commits, payload)).collect();
    (disk, start, marks)
}

fn scan(disk: &SimDisk, mark: &Mark) -> Result<Scan, StorageError> {
    journal(disk).scan(mark)
}

fn payloads(scan: &Scan) -> Vec<Vec<u8>> {
    scan.frames.iter().map(|frame| frame.payload.clone()).collect()
}

fn segment(number: u64) -> String {
    format!("journal/{number:08}")
}

fn edit(disk: &SimDisk, number: u64, edit: impl FnOnce(&mut Vec<u8>)) -> SimDisk {
    let disk = disk.copy();
    let mut bytes = disk.peek(&segment(number)).unwrap();
    edit(&mut bytes);
    disk.poke(&segment(number), Some(bytes));
    disk
}

fn damaged(disk: &SimDisk, mark: &Mark, what: &str) {
    match scan(disk, mark) {
        Err(StorageError::Damaged { what: found, .. }) => assert!(found.contains(what), "{found} is not {what}"),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn it_ends_where_nothing_was_written() {
    let (disk, start, marks) = written(&[b"one", &[0; 2000], b""]);
    let all = scan(&disk, &start).unwrap();
    assert_eq!((payloads(&all), all.torn), (vec![b"one".to_vec(), vec![0; 2000], Vec::new()], false));
    assert_eq!(all.frames.iter().map(|frame| frame.number).collect::<Vec<_>>(), [1, 2, 3]);
    for (count, mark) in [2, 1, 0].into_iter().zip(&marks) {
        let rest = scan(&disk, mark).unwrap();
        assert_eq!(rest.frames.len(), count);
        assert_eq!(rest.last().number, 3);
    }
    // What no header is lies behind it: a payload whose header never came.
    let disk = edit(&disk, 2, |bytes| bytes[5 * PAGE + 512..5 * PAGE + 600].fill(7));
    assert_eq!(scan(&disk, &start).unwrap().frames.len(), 3);
}

#[test]
fn it_ends_at_a_torn_frame() {
    let long = [7; 3000];
    let (disk, start, marks) = written(&[b"one", &long]);
    let at = marks[1].offset as usize + 512;
    for sector in 0..6 {
        let torn = edit(&disk, 2, |bytes| bytes[at + sector * 512..at + (sector + 1) * 512].fill(0));
        let scan = scan(&torn, &start).unwrap();
        assert_eq!((payloads(&scan), scan.torn), (vec![b"one".to_vec()], true), "sector {sector}");
        // It is dropped, and the journal goes on behind the one before.
        let mut commits = journal(&torn).resume(&scan).unwrap();
        append(&mut *commits, b"two");
        let again = self::scan(&torn, &start).unwrap();
        assert_eq!((payloads(&again), again.torn), (vec![b"one".to_vec(), b"two".to_vec()], true));
    }
    // A sector that is zero by nature is not missed.
    let (disk, start, marks) = written(&[&[0; 3000]]);
    assert_eq!(scan(&disk, &start).unwrap().frames.len(), 1);
    let at = marks[0].offset as usize + 512;
    damaged(&edit(&disk, 2, |bytes| bytes[at + 700] = 1), &start, "does not match its checksum");
}

#[test]
fn what_is_torn_was_in_flight_alone() {
    let (disk, start, marks) = written(&[b"one", &[7; 3000], b"three"]);
    let at = marks[1].offset as usize + 512;
    let torn = |bytes: &mut Vec<u8>| bytes[at..at + 512].fill(0);
    damaged(&edit(&disk, 2, torn), &start, "does not match its checksum");
    // Something that is no frame lies behind it.
    let (disk, start, marks) = written(&[b"one", &[7; 3000]]);
    let at = marks[1].offset as usize + 512;
    let disk = edit(&disk, 2, |bytes| {
        bytes[at..at + 512].fill(0);
        bytes[SEGMENT as usize - 1] = 1;
    });
    damaged(&disk, &start, "does not match its checksum");
}

#[test]
fn it_goes_on_in_the_next_segment() {
    let long = vec![7; 20_000];
    let (disk, start, marks) = written(&[&long, &long, &long, &long, b"last"]);
    assert!(marks.last().unwrap().segment >= 3, "it rolled");
    let all = scan(&disk, &start).unwrap();
    assert_eq!(all.frames.len(), 5);
    // Rolled, and then nothing was written.
    let mut commits = journal(&disk).resume(&all).unwrap();
    append(&mut *commits, &long);
    let last = append(&mut *commits, &long);
    commits.reserve(30_000).unwrap();
    assert_eq!(commits.last(), last, "the mark stays where the frame is");
    let rolled = scan(&disk, &start).unwrap();
    assert_eq!(rolled.frames.len(), 7);
    assert_eq!(scan(&disk, &last).unwrap().frames.len(), 0);
    // Or the first frame of it was torn, or lost its header.
    append(&mut *commits, &long);
    let newest = last.segment + 1;
    let torn = scan(&edit(&disk, newest, |bytes| bytes[2048..4096].fill(0)), &start).unwrap();
    assert_eq!((torn.frames.len(), torn.torn), (7, true));
    let lost = scan(&edit(&disk, newest, |bytes| bytes[..512].fill(0)), &start).unwrap();
    assert_eq!((lost.frames.len(), lost.torn), (7, false));
    // A segment between is gone.
    let gone = disk.copy();
    gone.poke(&segment(3), None);
    assert!(matches!(scan(&gone, &start), Err(StorageError::Missing { name }) if name == segment(3)));
}

#[test]
fn the_last_frame_is_written_anew_and_counts_once() {
    let (disk, start, marks) = written(&[b"one", &[7; 3000]]);
    let found = scan(&disk, &start).unwrap();
    drop(journal(&disk).resume(&found).unwrap());
    let again = scan(&disk, &start).unwrap();
    assert_eq!(payloads(&again), payloads(&found));
    // The first copy was in the page cache only, and what is left of it is torn, or nothing.
    let at = marks[1].offset as usize;
    for range in [at + 512..at + 1024, at..at + 512, at..at + 4096] {
        let disk = edit(&disk, 2, |bytes| bytes[range.clone()].fill(0));
        let scan = scan(&disk, &start).unwrap();
        assert_eq!(payloads(&scan), payloads(&found), "{range:?}");
        drop(journal(&disk).resume(&scan).unwrap());
        assert_eq!(payloads(&self::scan(&disk, &start).unwrap()), payloads(&found));
    }
    // The copy is durable when it has its name: what is wrong with it is damage.
    damaged(&edit(&disk, 3, |bytes| bytes[600] ^= 1), &start, "rewritten frame");
    damaged(&edit(&disk, 3, |bytes| bytes[20] ^= 1), &start, "no header");
    // Torn and then nothing: the segment was not made for it.
    let both = edit(&disk, 2, |bytes| bytes[at + 512..at + 1024].fill(0));
    damaged(&edit(&both, 3, |bytes| bytes[..512].fill(0)), &start, "followed by a segment");
}

#[test]
fn everything_else_is_damage() {
    let (disk, start, marks) = written(&[b"one", b"two", b"three"]);
    let at = |number: usize| marks[number].offset as usize;
    let page = |number: usize| at(number)..at(number) + PAGE;
    damaged(&edit(&disk, 2, |bytes| bytes[at(1)] ^= 1), &start, "no header, but not blank");
    damaged(&edit(&disk, 2, |bytes| bytes[at(2) + 511] ^= 1), &start, "no header, but not blank");
    damaged(&edit(&disk, 2, |bytes| bytes[at(1) + 512] ^= 1), &start, "does not match its checksum");
    damaged(&edit(&disk, 2, |bytes| bytes[at(1)..at(1) + 512].fill(0)), &start, "a frame is missing before another");
    damaged(&edit(&disk, 2, |bytes| bytes.copy_within(page(2), at(1))), &start, "does not follow");
    damaged(&edit(&disk, 2, |bytes| bytes.copy_within(page(0), at(1))), &start, "does not follow");
    damaged(&edit(&disk, 2, |bytes| bytes.truncate(at(2))), &start, "length");
    damaged(&edit(&disk, 2, |bytes| bytes.push(0)), &start, "length");
    // The marked frame itself.
    damaged(&edit(&disk, 2, |bytes| bytes[at(0) + 40] ^= 1), &marks[0], "not the frame that the manifest names");
    damaged(&edit(&disk, 2, |bytes| bytes[at(0) + 512] ^= 1), &marks[0], "does not match its checksum");
    let elsewhere = Mark { offset: marks[1].offset, ..marks[0] };
    damaged(&disk, &elsewhere, "not the frame that the manifest names");
    let beyond = Mark { offset: SEGMENT, ..marks[0] };
    damaged(&disk, &beyond, "beyond");
    // Frames of another log are none of this one.
    let other = FileJournal::new(Arc::new(disk.clone()), ChecksumKey::new([4; 32]), SEGMENT);
    assert!(matches!(other.scan(&marks[0]), Err(StorageError::Damaged { .. })));
}

#[test]
fn a_segment_that_does_not_go_on_is_damage() {
    let long = vec![7; 20_000];
    let (disk, start, _) = written(&[&long, &long, &long, &long, &long, &long, b"last"]);
    let swapped = disk.copy();
    swapped.poke(&segment(3), disk.peek(&segment(4)));
    damaged(&swapped, &start, "does not go on where the one before ended");
}

#[test]
fn a_spare_that_is_still_being_made_disturbs_nobody() {
    // The journal is dropped while its spare is being filled, and the next one takes a spare of its own into use.
    const LEN: u64 = 1 << 20;
    let disk = SimDisk::default();
    let journal = FileJournal::new(Arc::new(disk.clone()), ChecksumKey::new([3; 32]), LEN);
    let long = vec![7; 200_000];
    let start = journal.create().unwrap();
    let mut commits = journal.resume(&journal.scan(&start).unwrap()).unwrap();
    for _ in 0..3 {
        append(&mut *commits, &long);
    }
    disk.plan(None);
    disk.set_sync_time(Duration::from_millis(300));
    commits.reserve(1).unwrap();
    while !disk.ops().iter().any(|(op, name)| *op == "write" && name == "journal/spare.tmp") {
        std::thread::yield_now();
    }
    disk.set_sync_time(Duration::ZERO);
    drop(commits);
    let mut commits = journal.resume(&journal.scan(&start).unwrap()).unwrap();
    for _ in 0..7 {
        append(&mut *commits, &long);
    }
    assert_eq!(commits.last().segment, 4);
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(journal.scan(&start).unwrap().frames.len(), 10);
}

#[test]
fn old_segments_go_and_may_come_back() {
    let long = vec![7; 20_000];
    let (disk, _, marks) = written(&[&long, &long, &long, &long, &long]);
    let mark = *marks.last().unwrap();
    let before = disk.copy();
    let found = scan(&disk, &mark).unwrap();
    let mut commits = journal(&disk).resume(&found).unwrap();
    let newest = commits.last();
    let segments =
        |disk: &SimDisk| disk.names().into_iter().filter(|name| name.starts_with("journal/0")).collect::<Vec<_>>();
    // The sync of the folder fails: no removal is durable.
    let removals = segments(&disk).len() as u64 - 1;
    disk.plan(Some(Plan { at: removals, fate: Fate::Lost, dead_after: false }));
    assert!(commits.drop_before(&newest).is_err());
    assert_eq!(segments(&disk), [segment(newest.segment)]);
    let back = disk.after_power_loss(Survivors::Nothing);
    assert!(segments(&back).len() > segments(&before).len());
    // Done again, they are gone for good.
    commits.drop_before(&newest).unwrap();
    assert_eq!(segments(&disk.after_power_loss(Survivors::Nothing)), [segment(newest.segment)]);
    let found = scan(&back, &newest).unwrap();
    let mut commits = journal(&back).resume(&found).unwrap();
    let newest = commits.last();
    commits.drop_before(&newest).unwrap();
    assert_eq!(segments(&back), [segment(newest.segment)]);
}

#[test]
fn a_frame_that_nobody_reads_again_is_wiped_in_place() {
    let disk = SimDisk::default();
    let start = journal(&disk).create().unwrap();
    let mut commits = journal(&disk).resume(&scan(&disk, &start).unwrap()).unwrap();
    let long = vec![7; 9_000];
    let marks: Vec<Mark> = (0..8).map(|_| append(&mut *commits, &long)).collect();
    let last = commits.last();
    assert!(marks[0].segment < last.segment, "it rolled");
    let (before, mark) = (disk.copy(), marks[6]);
    for frame in [&marks[0], &marks[5]] {
        commits.wipe(frame, long.len()).unwrap();
    }
    for disk in [disk.copy(), disk.after_power_loss(Survivors::Nothing)] {
        for frame in &marks {
            let bytes = disk.peek(&segment(frame.segment)).unwrap();
            let is_wiped = [marks[0].number, marks[5].number].contains(&frame.number);
            let found = &bytes[frame.offset as usize..][..512 + long.len()];
            assert_eq!(found.iter().all(|byte| *byte == 0), is_wiped, "{frame:?}");
            let untouched = before.peek(&segment(frame.segment)).unwrap();
            assert!(is_wiped || found == &untouched[frame.offset as usize..][..found.len()], "{frame:?}");
        }
        // From a mark behind it nothing is missing.
        assert_eq!(scan(&disk, &mark).unwrap().last().number, last.number);
    }
    // Of a segment that is gone nothing is made.
    commits.drop_before(&last).unwrap();
    commits.wipe(&marks[1], long.len()).unwrap();
    assert!(disk.peek(&segment(marks[1].segment)).is_none());
}
