//! The engine when nothing fails: sizes around every edge, bodies, publication, views, opening again and again.

use std::time::Duration;

use bytes::Bytes;
use soulchain::log::{Engine, Opaque, OpaqueGroup, PUBLISH_INTERVAL, SubmitError, publish_every};
use soulchain::merkle::{EMPTY_ROOT, LeafIndex, TreeSize};

use super::audit::{check_files, check_log, check_tree};
use super::rules::{DidNotGrow, Line, Rules};
use super::world::{Acknowledged, SMALL_SEGMENT, Told, World, block_on, note, one, signer};

/// Where tiles begin and end.
const SIZES: [u64; 9] = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537];

fn opaque(range: std::ops::Range<u64>) -> Vec<Bytes> {
    range.map(|index| Bytes::from(format!("entry {index}"))).collect()
}

fn append_opaque(engine: &Engine<Opaque>, told: &mut Told, range: std::ops::Range<u64>) {
    let entries = opaque(range);
    let committed = engine.submit(OpaqueGroup::new(entries.clone()).unwrap()).ok().unwrap().blocking_answer();
    let committed = committed.ok().unwrap();
    told.see(&committed.view);
    let first = committed.answer.get();
    let acknowledged = |(index, entry): (u64, &Bytes)| Acknowledged { index, entry: entry.to_vec(), body: None };
    // Of a large group a few speak for all.
    told.entries.extend((first..).zip(&entries).step_by(1 + entries.len() / 50).map(acknowledged));
}

#[test]
fn a_log_of_any_size_is_read_before_and_after_flush_and_reopening() {
    for size in SIZES {
        let world = World::created(8 << 20);
        let mut told = Told::default();
        let (engine, _) = world.open_with(Opaque).unwrap();
        let step = 16_000;
        for start in (0..size).step_by(step) {
            append_opaque(&engine, &mut told, start..size.min(start + step as u64));
        }
        let before = engine.view();
        let entries = check_tree(&engine, &before, &told);
        assert_eq!(entries, opaque(0..size));
        block_on(engine.flush()).unwrap();
        assert_eq!(engine.flushed(), TreeSize::new(size));
        assert_eq!(check_tree(&engine, &engine.view(), &told), entries);
        // A reader that still holds the view from before the flush reads the same.
        assert_eq!(check_tree(&engine, &before, &told), entries);
        engine.close();
        check_files(&world.disk, &entries, TreeSize::ZERO);
        let (engine, recovery) = world.open_with(Opaque).unwrap();
        assert_eq!((recovery.flushed, recovery.size), (TreeSize::new(size), TreeSize::new(size)));
        assert!(!recovery.torn_frame);
        assert_eq!(check_tree(&engine, &engine.view(), &told), entries);
        append_opaque(&engine, &mut told, size..size + 300);
        assert_eq!(check_tree(&engine, &engine.view(), &told), opaque(0..size + 300));
        engine.close();
        check_files(&world.disk, &opaque(0..size + 300), TreeSize::ZERO);
    }
}

#[test]
fn what_is_flushed_leaves_memory() {
    let world = World::created(1 << 20);
    let (engine, _) = world.open_with(Opaque).unwrap();
    let mut told = Told::default();
    append_opaque(&engine, &mut told, 0..600);
    let files_read = |index| {
        world.disk.plan(None);
        engine.reader(&engine.view()).entry(LeafIndex::new(index)).unwrap();
        world.disk.ops().into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    assert!(files_read(5).is_empty(), "all of it is in memory");
    block_on(engine.flush()).unwrap();
    assert_eq!(files_read(5), ["tile/entries/000", "tile/0/000"]);
    assert!(files_read(6).is_empty(), "what was checked is kept");
    assert!(files_read(599).is_empty(), "the right edge stays");
    engine.close();
}

#[test]
fn entries_of_the_least_and_the_greatest_length() {
    let world = World::created(8 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open_with(Opaque).unwrap();
    let lengths = [1, 2, 65_534, 65_535];
    let group: Vec<Bytes> = lengths.into_iter().map(|len| vec![len as u8; len].into()).collect();
    engine.submit(OpaqueGroup::new(group.clone()).unwrap()).ok().unwrap().blocking_answer().ok().unwrap();
    assert!(OpaqueGroup::new(vec![Bytes::new()]).is_none());
    assert!(OpaqueGroup::new(vec![vec![0; 65_536].into()]).is_none());
    engine.close();
    let (engine, _) = world.open_with(Opaque).unwrap();
    told.see(&engine.view());
    assert_eq!(check_tree(&engine, &engine.view(), &told), group);
    engine.close();
}

#[test]
fn bodies_are_kept_beside_their_entries() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let mut engine = engine;
    let mut value = 0;
    // Flushed and reopened at places that cut bundles and files of bodies everywhere.
    for round in 0..40 {
        let lines = (0..=round % 23).map(|number| {
            value += 1;
            let line = Line::new(&format!("k{number}"), value);
            if (value + round) % 3 == 0 { line.with_body(vec![value as u8; (value % 700) as usize]) } else { line }
        });
        let group: Vec<Line> = lines.collect();
        told.append(&engine, &group).unwrap();
        match round % 5 {
            1 => block_on(engine.flush()).unwrap(),
            3 => {
                engine.close();
                engine = world.open().unwrap().0;
            }
            _ => {}
        }
        check_log(&engine, &told);
    }
    assert!(engine.view().size().get() > 256, "a bundle was filled");
    engine.close();
}

#[test]
fn a_body_of_an_entry_that_came_before_the_opening_is_read_while_others_are_flushed() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &[Line::new("a", 1).with_body(vec![1; 100]), Line::new("b", 1)]).unwrap();
    engine.close();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &[Line::new("a", 2), Line::new("b", 2).with_body(vec![2; 100])]).unwrap();
    // What a flush that is under way may show of its file.
    let flushed = world.disk.peek("bodies/000").unwrap();
    world.disk.poke("bodies/000", Some([&flushed[..], &[3, 1, 9]].concat()));
    let body = |index| engine.reader(&engine.view()).body(LeafIndex::new(index)).unwrap().into_body();
    assert!(body(0).is_some() && body(4).is_some());
    assert_eq!([1, 2, 3, 5].map(body), [None, None, None, None]);
    check_log(&engine, &told);
    engine.close();
}

#[test]
fn a_group_is_admitted_whole_or_not_at_all() {
    let world = World::created(SMALL_SEGMENT);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    assert_eq!(told.append(&engine, &one("a", 5)).unwrap(), 0);
    let size = engine.view().size();
    let refused = told.append(&engine, &[Line::new("b", 1), Line::new("a", 5), Line::new("c", 1)]);
    assert!(matches!(refused, Err(SubmitError::Refused(DidNotGrow(key))) if key == "a"));
    assert_eq!(engine.view().size(), size, "a batch that admits nothing writes nothing");
    assert_eq!(told.append(&engine, &one("b", 1)).unwrap(), size.get());
    // What is logged already is answered with its place, and nothing is written.
    let size = engine.view().size();
    assert_eq!(told.append(&engine, &one("a", 5)).unwrap(), 0);
    assert_eq!(engine.view().size(), size);
    check_log(&engine, &told);
    engine.close();
    check_again(&world, &told);
}

fn check_again(world: &World, told: &Told) {
    let (engine, _) = world.open().unwrap();
    check_log(&engine, told);
    engine.close();
}

#[test]
fn what_is_published_is_there_after_reopening_and_never_goes_back() {
    let world = World::created(SMALL_SEGMENT);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    assert!(engine.published().is_none());
    told.append(&engine, &one("a", 1)).unwrap();
    let old = engine.view();
    told.publish(&engine).unwrap();
    assert_eq!(engine.published().unwrap().state.as_deref(), Some(&**old.state()));
    told.append(&engine, &one("a", 2)).unwrap();
    told.publish(&engine).unwrap();
    // An older one is ignored.
    block_on(engine.publish(&old, note(old.size(), &old.root()))).unwrap();
    assert_eq!(engine.published().unwrap().size, engine.view().size());
    told.append(&engine, &one("a", 3)).unwrap();
    check_log(&engine, &told);
    let killed = world.copy();
    engine.close();
    let entries = |world: &World| {
        let (engine, _) = world.open().unwrap();
        check_log(&engine, &told);
        let entries = check_tree(&engine, &engine.view(), &told);
        engine.close();
        check_files(&world.disk, &entries, told.published);
        entries
    };
    assert_eq!(entries(&world), entries(&killed));
}

#[test]
fn an_empty_log_has_a_checkpoint_and_keeps_it() {
    let world = World::created(SMALL_SEGMENT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..3 {
        let (engine, _) = world.open().unwrap();
        runtime.spawn(publish_every(engine.clone(), signer(), PUBLISH_INTERVAL));
        runtime.block_on(async {
            while engine.published().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let published = engine.published().unwrap();
        assert_eq!((published.size, published.root), (TreeSize::ZERO, EMPTY_ROOT));
        assert_eq!(*published.note, *note(TreeSize::ZERO, &EMPTY_ROOT));
        engine.close();
    }
    let (engine, _) = world.open().unwrap();
    let mut told = Told::default();
    told.append(&engine, &one("a", 1)).unwrap();
    told.publish(&engine).unwrap();
    engine.close();
}

#[test]
fn a_note_that_could_not_be_read_back_is_not_published() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &one("a", 1)).unwrap();
    assert!(block_on(engine.publish(&engine.view(), vec![b'x'; (1 << 20) + 1])).is_err());
    assert!(engine.latched().is_none() && engine.published().is_none());
    engine.close();
    check_again(&world, &told);
}

#[test]
fn many_reopenings_change_nothing() {
    let world = World::created(SMALL_SEGMENT);
    let mut told = Told::default();
    for round in 0..30 {
        let (engine, recovery) = world.open().unwrap();
        assert_eq!((recovery.torn_frame, recovery.views_rebuilt, recovery.replayed), (false, false, 0));
        check_log(&engine, &told);
        if round % 3 == 0 {
            told.append(&engine, &one("a", round + 1)).unwrap();
            told.publish(&engine).unwrap();
        }
        engine.close();
        let segments = world.disk.names().iter().filter(|name| name.starts_with("journal/0")).count();
        assert_eq!(segments, 1, "old segments go");
    }
}

#[test]
fn a_batch_that_writes_nothing_may_roll_the_journal() {
    // The segment is nearly full, and a batch for which room was made admits nothing: the next flush must rest on the
    // frame where it lies.
    let world = World::created(SMALL_SEGMENT);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    for value in 1..=12 {
        told.append(&engine, &one("a", value)).unwrap();
        for _ in 0..2 {
            assert!(told.append(&engine, &one("a", 0)).is_err());
        }
        block_on(engine.flush()).unwrap();
        check_again(&world.copy(), &told);
    }
    engine.close();
    check_again(&world, &told);
}

#[test]
fn frames_that_were_not_flushed_are_replayed() {
    let world = World::created(SMALL_SEGMENT);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    for value in 1..=20 {
        told.append(&engine, &[Line::new("a", value), Line::new("b", value).with_body(vec![7; 50])]).unwrap();
        let killed = world.copy();
        let (again, recovery) = killed.open().unwrap();
        assert_eq!((recovery.size, again.flushed()), (engine.view().size(), engine.view().size()));
        assert_eq!(recovery.replayed, recovery.size.get() - recovery.flushed.get());
        check_log(&again, &told);
        again.close();
    }
    engine.close();
}

mod views {
    use super::*;

    /// A log that was flushed four times, closed.
    fn flushed() -> (World, Told) {
        let world = World::created(SMALL_SEGMENT);
        let mut told = Told::default();
        let (engine, _) = world.open().unwrap();
        for value in 1..=4 {
            told.append(&engine, &[Line::new("a", value), Line::new(&format!("k{value}"), 1)]).unwrap();
            block_on(engine.flush()).unwrap();
        }
        engine.close();
        (world, told)
    }

    fn open(world: &World, told: &Told) -> (u64, bool) {
        let (engine, recovery) = world.open().unwrap();
        check_log(&engine, told);
        let applied = world.views.stand().applied;
        assert_eq!(applied, Some(engine.view().size()), "the views are whole again");
        engine.close();
        let (engine, again) = world.open().unwrap();
        assert_eq!((again.replayed, again.views_rebuilt), (0, false));
        check_log(&engine, told);
        engine.close();
        (recovery.replayed, recovery.views_rebuilt)
    }

    #[test]
    fn that_lag_are_brought_up_by_replay() {
        let (world, told) = flushed();
        for stand in world.views.stands() {
            let world = world.copy();
            world.views.edit(|now| now.clone_from(&stand));
            let size = told.heads.last().unwrap().0.get();
            let lag = size - stand.applied.map_or(0, TreeSize::get);
            assert_eq!(open(&world, &told), (lag, stand.applied.is_none()), "{:?}", stand.applied);
        }
    }

    type Edit = fn(&mut super::super::rules::Stand);

    #[test]
    fn that_are_ahead_or_incomplete_or_wrong_are_made_anew() {
        let (world, told) = flushed();
        let size = told.heads.last().unwrap().0.get();
        let edits: [(&str, Edit); 6] = [
            ("ahead", |stand| stand.applied = stand.applied.map(|size| TreeSize::new(size.get() + 1))),
            ("a bit of a record", |stand| stand.values.get_mut(&b"ka"[..]).unwrap()[7] ^= 1),
            ("a record is missing", |stand| drop(stand.values.remove(&b"kk2"[..]))),
            ("a record too many", |stand| drop(stand.values.insert(b"kx".to_vec(), vec![0; 16]))),
            ("a record is malformed", |stand| drop(stand.values.insert(b"kx".to_vec(), vec![0; 3]))),
            ("no trailer", |stand| drop(stand.values.remove(&b"!"[..]))),
        ];
        for (why, edit) in edits {
            let world = world.copy();
            world.views.edit(edit);
            assert_eq!(open(&world, &told), (size, true), "{why}");
        }
        let lost = world.copy();
        lost.views.edit(|stand| stand.applied = None);
        assert_eq!(open(&lost, &told).0, size);
    }

    #[test]
    fn are_read_by_no_machine_without_them() {
        let world = World::created(SMALL_SEGMENT);
        let (engine, _) = world.open_with(Opaque).unwrap();
        engine.close();
        let (engine, recovery) = world.open_with(Opaque).unwrap();
        assert_eq!(recovery.replayed, 0);
        assert_eq!(engine.view().size(), TreeSize::ZERO);
        engine.close();
        let _: Rules = Rules::default();
    }
}
