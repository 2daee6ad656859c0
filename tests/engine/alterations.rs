//! Bits that flip on the medium and files that are put back to an earlier state: found, with a message that says what to
//! do, or repaired where the truth can be proved; never served.

use soulchain::hash::Hash;
use soulchain::log::{Engine, KeptBody, Opaque, OpaqueGroup, OpenError, Options, ROW_LEN, ReadError};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::storage::{FrameBuffer, FrameKind, Mark};

use super::audit::check_log;
use super::disk::Random;
use super::rules::{Line, Rules};
use super::world::{SMALL_SEGMENT, Told, World, block_on, one};

/// A log of which a part is flushed and two batches and a publication are in the journal only; as a process that was
/// killed leaves it. With it, the world at the flush before.
fn killed() -> (World, World, Told) {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let many: Vec<Line> = (0..300).map(|number| Line::new(&format!("p{number}"), 1)).collect();
    told.append(&engine, &many).unwrap();
    told.append(&engine, &[Line::new("a", 1).with_body(vec![1; 900]), Line::new("b", 1).with_body(vec![2; 40])])
        .unwrap();
    told.publish(&engine).unwrap();
    block_on(engine.flush()).unwrap();
    let earlier = world.copy();
    told.append(&engine, &[Line::new("a", 2).with_body(vec![3; 300])]).unwrap();
    told.publish(&engine).unwrap();
    block_on(engine.flush()).unwrap();
    told.append(&engine, &[Line::new("a", 3).with_body(vec![4; 2000])]).unwrap();
    told.append(&engine, &one("c", 1)).unwrap();
    told.publish(&engine).unwrap();
    told.append(&engine, &[Line::new("b", 2).with_body(vec![8; 1500])]).unwrap();
    let world = world.copy();
    engine.close();
    (earlier, world, told)
}

fn name(world: &World, prefix: &str) -> String {
    let names: Vec<String> = world.disk.names().into_iter().filter(|name| name.starts_with(prefix)).collect();
    let newest = names.iter().max_by_key(|name| name.rsplit('/').next().and_then(|end| end.parse::<u64>().ok()));
    newest.unwrap_or_else(|| panic!("no {prefix} in {:?}", world.disk.names())).clone()
}

fn flip(world: &World, name: &str, bit: usize) {
    let mut bytes = world.disk.peek(name).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    world.disk.poke(name, Some(bytes));
}

/// It does not open, says what is wrong where, and what to do; and it leaves everything as it is.
fn check_refused(world: &World, says: &str, case: &str) {
    let all =
        |world: &World| world.disk.names().into_iter().map(|name| (world.disk.peek(&name), name)).collect::<Vec<_>>();
    let before = all(world);
    let Err(error) = world.open() else { panic!("{case}: it opens") };
    let message = error.to_string();
    assert!(message.contains(says), "{case}: {message}");
    let advice = ["fsck", "Find the newest one"].iter().any(|advice| message.contains(advice));
    assert!(advice, "{case}: {message} does not say what to do");
    assert!(all(world) == before, "{case}: a refusal changes nothing");
}

/// It opens, and contradicts nothing.
fn check_repaired(world: &World, told: &Told, case: &str) {
    let (engine, _) = world.open().unwrap_or_else(|error| panic!("{case}: {error}"));
    check_log(&engine, told);
    engine.close();
    let (engine, recovery) = world.open().unwrap();
    assert!(!recovery.views_rebuilt, "{case}");
    check_log(&engine, told);
    engine.close();
}

/// Some bits of a file: its first and last ones, and others by chance.
fn bits(range: std::ops::Range<usize>, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed);
    let (start, end) = (range.start * 8, range.end * 8);
    let some = (0..24).map(|_| start + random.below((end - start) as u64) as usize);
    [start, start + 7, end - 1].into_iter().chain(some).collect()
}

fn flips(world: &World, file: &str, range: std::ops::Range<usize>, mut check: impl FnMut(&World, &str)) {
    for bit in bits(range, file.len() as u64) {
        let world = world.copy();
        flip(&world, file, bit);
        check(&world, &format!("bit {bit} of {file}"));
    }
}

#[test]
fn a_flipped_bit_at_the_right_edge_is_refused() {
    let (_, world, _) = killed();
    for prefix in ["tile/0/001.p/", "tile/1/000.p/", "tile/entries/001.p/"] {
        let file = name(&world, prefix);
        let len = world.disk.peek(&file).unwrap().len();
        flips(&world, &file, 0..len, |world, case| check_refused(world, "", case));
        let gone = world.copy();
        gone.disk.poke(&file, None);
        check_refused(&gone, &file, "missing");
        let cut = world.copy();
        cut.disk.poke(&file, Some(world.disk.peek(&file).unwrap()[..len - 1].to_vec()));
        check_refused(&cut, &file, "cut");
    }
}

#[test]
fn a_flipped_bit_of_the_manifest_is_refused() {
    let (_, world, _) = killed();
    let len = world.disk.peek("manifest").unwrap().len();
    flips(&world, "manifest", 0..len, |world, case| check_refused(world, "the manifest is damaged", case));
    let gone = world.copy();
    gone.disk.poke("manifest", None);
    check_refused(&gone, "manifest is missing", "missing");
}

#[test]
fn the_checkpoint_file_is_written_anew() {
    let (earlier, world, told) = killed();
    let edits = [None, Some(Vec::new()), Some(b"x".to_vec()), earlier.disk.peek("checkpoint")];
    for edit in edits {
        let world = world.copy();
        world.disk.poke("checkpoint", edit);
        check_repaired(&world, &told, "checkpoint");
        let checkpoint = String::from_utf8(world.disk.peek("checkpoint").unwrap()).unwrap();
        assert!(checkpoint.starts_with(&format!("log.example\n{}\n", told.published)), "{checkpoint}");
    }
}

/// Where frames lie in a segment, with the lengths of their payloads.
fn frames(segment: &[u8]) -> Vec<(usize, usize)> {
    let is_header = |offset: &usize| segment[*offset..].starts_with(b"soulchain/frame1");
    let len = |offset: usize| u64::from_be_bytes(segment[offset + 28..offset + 36].try_into().unwrap()) as usize;
    (0..segment.len()).step_by(4096).filter(is_header).map(|offset| (offset, len(offset))).collect()
}

#[test]
fn a_flipped_bit_in_the_journal_is_refused() {
    let (_, world, _) = killed();
    let segment = name(&world, "journal/0");
    let bytes = world.disk.peek(&segment).unwrap();
    let frames = frames(&bytes);
    // The marked one, and the four behind it: entries, entries, a checkpoint, entries.
    assert!(frames.len() >= 9, "{frames:?}");
    for (offset, len) in &frames[frames.len() - 5..] {
        let header = *offset..offset + 512;
        flips(&world, &segment, header, |world, case| check_refused(world, "is damaged at byte", case));
        let payload = offset + 512..offset + 512 + len;
        flips(&world, &segment, payload, |world, case| check_refused(world, "is damaged at byte", case));
    }
}

#[test]
fn a_frame_that_is_gone_is_told_from_one_that_is_torn() {
    let (_, world, told) = killed();
    let segment = name(&world, "journal/0");
    let bytes = world.disk.peek(&segment).unwrap();
    let frames = frames(&bytes);
    let (last, others) = frames.split_last().unwrap();
    for (offset, len) in &others[others.len() - 4..] {
        for range in [*offset..offset + 512, *offset..offset + 512 + len, offset + 512..offset + 512 + len] {
            let world = world.copy();
            let mut bytes = bytes.clone();
            bytes[range.clone()].fill(0);
            world.disk.poke(&segment, Some(bytes));
            check_refused(&world, "is damaged at byte", &format!("zeros at {range:?}"));
        }
    }
    // The last one with a sector of zeros is one that was never acknowledged; with anything else it is rotten.
    let before_last = Told { entries: told.entries[..told.entries.len() - 1].to_vec(), heads: Vec::new(), ..told };
    let sector = last.0 + 1024..last.0 + 1536;
    let torn = world.copy();
    let mut bytes = bytes.clone();
    bytes[sector.clone()].fill(0);
    torn.disk.poke(&segment, Some(bytes.clone()));
    let (engine, recovery) = torn.open().unwrap();
    assert!(recovery.torn_frame);
    check_log(&engine, &before_last);
    engine.close();
    let rotten = world.copy();
    bytes[sector].fill(0x55);
    rotten.disk.poke(&segment, Some(bytes));
    check_refused(&rotten, "does not match its checksum", "rotten");
}

#[test]
fn a_segment_that_is_cut_or_gone_is_refused() {
    let (_, world, _) = killed();
    let segment = name(&world, "journal/0");
    let bytes = world.disk.peek(&segment).unwrap();
    let frames = frames(&bytes);
    for len in frames.iter().rev().take(4).flat_map(|(offset, len)| [*offset, offset + 512, offset + 512 + len]) {
        let world = world.copy();
        world.disk.poke(&segment, Some(bytes[..len].to_vec()));
        check_refused(&world, "journal/0", &format!("cut at {len}"));
    }
    let gone = world.copy();
    gone.disk.poke(&segment, None);
    check_refused(&gone, "is missing", "gone");
}

#[test]
fn what_is_put_back_to_an_earlier_state_is_refused_or_repaired() {
    let (earlier, world, told) = killed();
    // The journal from before the last flush does not hold the frame that the manifest names.
    let segment = name(&world, "journal/0");
    let back = |names: &[&str]| {
        let world = world.copy();
        for name in names {
            world.disk.poke(name, earlier.disk.peek(name));
        }
        world
    };
    check_refused(&back(&[&segment]), "not the frame that the manifest names", "journal");
    // The manifest of before: the journal still has all that came since, and the files of its size are there.
    check_repaired(&back(&["manifest"]), &told, "manifest");
    check_repaired(&back(&["manifest", "checkpoint"]), &told, "manifest and checkpoint");
    check_refused(&back(&["chain.idx"]), "chain.idx is shorter", "chain index");
    check_refused(&back(&["bodies/001"]), "bodies/001 is shorter", "bodies");
    // An edge of another size is none of this one.
    for prefix in ["tile/0/001.p/", "tile/entries/001.p/"] {
        let (newest, older) = (name(&world, prefix), name(&earlier, prefix));
        let world = world.copy();
        world.disk.poke(&newest, earlier.disk.peek(&older));
        check_refused(&world, "", &newest);
    }
    // Views of before lag and are brought up.
    let views = World { views: earlier.views.copy(&world.disk), ..world.copy() };
    let views = World { views: views.views.copy(&views.disk), ..views };
    check_repaired(&views, &told, "views");
}

#[test]
fn a_journal_that_is_dropped_past_the_manifest_is_refused() {
    // The manifest goes back past segments that are gone.
    let world = World::created(SMALL_SEGMENT);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &one("a", 1)).unwrap();
    block_on(engine.flush()).unwrap();
    let earlier = world.disk.peek("manifest");
    for value in 2..20 {
        told.append(&engine, &one("a", value)).unwrap();
    }
    block_on(engine.flush()).unwrap();
    engine.close();
    world.disk.poke("manifest", earlier);
    check_refused(&world, "is missing", "an old manifest");
}

#[test]
fn a_restored_backup_that_lacks_what_was_published_is_refused() {
    // A whole directory of before, with the manifest of now: it names a frame that is not there.
    let (earlier, world, _) = killed();
    let mixed = earlier.copy();
    mixed.disk.poke("manifest", world.disk.peek("manifest"));
    check_refused(&mixed, "", "the manifest of now");
}

/// The manifest with some bytes replaced and a checksum that fits again.
fn with_manifest(world: &World, at: usize, bytes: &[u8]) -> World {
    let world = world.copy();
    let mut manifest = world.disk.peek("manifest").unwrap();
    let checked = manifest.len() - 32;
    manifest[at..at + bytes.len()].copy_from_slice(bytes);
    let checksum = blake3::hash(&manifest[..checked]);
    manifest[checked..].copy_from_slice(checksum.as_bytes());
    world.disk.poke("manifest", Some(manifest));
    world
}

/// Offsets of fields of the manifest.
const MANIFEST_SIZE: usize = 21;
const MANIFEST_ROOT: usize = 29;
const MANIFEST_MARK: usize = 69;
const MANIFEST_PUBLISHED: usize = 125;

#[test]
fn a_manifest_that_contradicts_the_log_is_refused() {
    let (_, mut world, told) = killed();
    // Closed, so that no checkpoint in the journal replaces the manifest's.
    world.open().unwrap().0.close();
    world = world.copy();
    let size = told.heads.iter().map(|head| head.0.get()).max().unwrap();
    let larger = (size + 1).to_be_bytes();
    let says = "going on would fork the log";
    check_refused(&with_manifest(&world, MANIFEST_PUBLISHED, &larger), says, "published: a larger size");
    check_refused(&with_manifest(&world, MANIFEST_PUBLISHED, &3_u64.to_be_bytes()), says, "published: another size");
    check_refused(&with_manifest(&world, MANIFEST_PUBLISHED + 8, &[1]), says, "published: another root");
    check_refused(&with_manifest(&world, MANIFEST_ROOT, &[1]), "do not lead to the root", "another root");
    check_refused(&with_manifest(&world, MANIFEST_SIZE, &larger), "is missing", "a larger size");
    check_refused(&with_manifest(&world, MANIFEST_MARK, &2_u64.to_be_bytes()), "is missing", "another segment");
    check_repaired(&with_manifest(&world, 20, &[0]), &told, "the same again");
    let copy = with_manifest(&world, 20, &[1]);
    assert!(matches!(copy.open(), Err(OpenError::IsCopy)));
    let options = Options { confirm_newest: true, ..copy.options };
    check_repaired(&World { options, ..copy }, &told, "a copy that is confirmed");
}

#[test]
fn a_frame_that_leads_elsewhere_is_refused() {
    let (_, mut world, told) = killed();
    world.open().unwrap().0.close();
    world = world.copy();
    let manifest = world.disk.peek("manifest").unwrap();
    let field = |at: usize| u64::from_be_bytes(manifest[at..at + 8].try_into().unwrap());
    let checksum = manifest[MANIFEST_MARK + 24..MANIFEST_MARK + 56].try_into().unwrap();
    let [segment, offset, number] = [0, 8, 16].map(|at| field(MANIFEST_MARK + at));
    let mark = Mark { segment, offset, number, checksum };
    let size = told.heads.iter().map(|head| head.0).max().unwrap();
    let root = told.heads.iter().find(|head| head.0 == size).unwrap().1;
    let payload = |before: (u64, Hash), after: (u64, Hash), entries: &[u8]| {
        let heads = [before, after].map(|(size, root)| [&size.to_be_bytes()[..], root.as_bytes()].concat());
        [&heads.concat(), entries].concat()
    };
    let entry = b"\0\x04zz=1\0";
    let (now, next) = ((size.get(), root), (size.get() + 1, root));
    let cases = [
        ("another root after", FrameKind::Batch, payload(now, next, entry), "does not lead to the root"),
        ("another size after", FrameKind::Batch, payload(now, now, entry), "no batch"),
        ("another root before", FrameKind::Batch, payload((now.0, Hash::ZERO), next, entry), "does not go on"),
        ("another size before", FrameKind::Batch, payload((now.0 - 1, root), now, entry), "does not go on"),
        ("half an entry", FrameKind::Batch, payload(now, next, &entry[..5]), "no batch"),
        ("a body of another kind", FrameKind::Batch, payload(now, next, b"\0\x04zz=1\x02"), "no batch"),
        ("an entry against the rules", FrameKind::Batch, payload(now, next, b"\0\x03a=1\0"), "breaks the rules"),
        ("no checkpoint", FrameKind::Published, b"x".to_vec(), "holds no checkpoint"),
        ("a beginning", FrameKind::Start, Vec::new(), "begins anew"),
    ];
    for (case, kind, payload, says) in cases {
        let world = world.copy();
        let journal = world.storage().journal;
        let mut commits = journal.resume(&journal.scan(&mark).unwrap()).unwrap();
        commits.reserve(payload.len()).unwrap();
        let mut frame = FrameBuffer::with_capacity(payload.len());
        frame.raw(&payload);
        commits.append(kind, frame).unwrap();
        check_refused(&world, says, case);
    }
}

#[test]
fn flipped_bits_of_the_views_are_repaired() {
    let (_, world, told) = killed();
    let stand = world.views.stand();
    for (key, value) in &stand.values {
        for bit in [0, 7, value.len() * 8 - 1] {
            if key.starts_with(b"kp") && !key.ends_with(b"7") {
                continue;
            }
            let world = world.copy();
            world.views.edit(|stand| stand.values.get_mut(key).unwrap()[bit / 8] ^= 1 << (bit % 8));
            check_repaired(&world, &told, &format!("bit {bit} of {}", String::from_utf8_lossy(key)));
        }
    }
}

/// Full tiles of two levels and older bundles, which no opening reads.
fn large() -> (World, Told) {
    let world = World::created(8 << 20);
    let (engine, _) = world.open_with(Opaque).unwrap();
    let mut told = Told::default();
    for start in (0..66_000_u32).step_by(6000) {
        let group = (start..start + 6000).map(|number| number.to_be_bytes().to_vec().into()).collect();
        let committed = engine.submit(OpaqueGroup::new(group).unwrap()).ok().unwrap().blocking_answer().ok().unwrap();
        told.see(&committed.view);
    }
    engine.close();
    (world, told)
}

#[expect(clippy::needless_pass_by_value, reason = "a result is judged where it is made")]
fn damaged<T: std::fmt::Debug>(result: Result<T, ReadError>, name: &str, case: &str) {
    assert!(matches!(&result, Err(ReadError::Damaged { name: found, .. }) if found == name), "{case}: {result:?}");
}

#[test]
fn what_no_opening_reads_is_checked_before_it_leaves() {
    let (world, told) = large();
    let entry = |engine: &Engine<Opaque>, index| engine.reader(&engine.view()).entry(LeafIndex::new(index));
    let altered = |file: &str, check: &dyn Fn(&Engine<Opaque>, &str)| {
        let len = world.disk.peek(file).unwrap().len();
        for bit in bits(0..len, 5).into_iter().step_by(3) {
            let world = world.copy();
            flip(&world, file, bit);
            let (engine, _) = world.open_with(Opaque).unwrap();
            check(&engine, &format!("bit {bit} of {file}"));
            // What does not rest on it is still read.
            assert!(entry(&engine, 40_000).is_ok() && entry(&engine, 65_999).is_ok());
            engine.close();
        }
        let gone = world.copy();
        gone.disk.poke(file, None);
        let (engine, _) = gone.open_with(Opaque).unwrap();
        check(&engine, &format!("{file} is gone"));
        engine.close();
    };
    altered("tile/entries/007", &|engine, case| {
        damaged(entry(engine, 7 * 256 + 3), "tile/entries/007", case);
        damaged(engine.reader(&engine.view()).bundle(7, 256), "tile/entries/007", case);
    });
    altered("tile/0/007", &|engine, case| {
        let view = engine.view();
        let reader = engine.reader(&view);
        damaged(reader.tile(0, 7, 256), "tile/0/007", case);
        damaged(reader.tile(0, 7, 5), "tile/0/007", case);
        damaged(reader.inclusion(LeafIndex::new(7 * 256), view.size()), "tile/0/007", case);
        damaged(reader.root(TreeSize::new(7 * 256 + 1)), "tile/0/007", case);
        damaged(reader.bundle(7, 256), "tile/0/007", case);
    });
    let (engine, _) = world.open_with(Opaque).unwrap();
    super::audit::check_tree(&engine, &engine.view(), &told);
    engine.close();
}

#[test]
fn a_flipped_bit_of_an_upper_tile_is_found_where_it_leads() {
    // The one full tile of the level above; its root stands at the right edge.
    let (world, _) = large();
    flip(&world, "tile/1/000", 77);
    let (engine, _) = world.open_with(Opaque).unwrap();
    let view = engine.view();
    let reader = engine.reader(&view);
    damaged(reader.tile(1, 0, 256), "tile/1/000", "upper tile");
    damaged(reader.entry(LeafIndex::new(5)), "tile/1/000", "an entry below");
    damaged(reader.consistency(TreeSize::new(300), view.size()), "tile/1/000", "a path through it");
    engine.close();
}

#[test]
fn damaged_bodies_are_found_by_their_lengths_or_their_readers() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let many: Vec<Line> = (0..300).map(|number| Line::new(&format!("p{number}"), 1).with_body(vec![9; 60])).collect();
    told.append(&engine, &many).unwrap();
    engine.close();
    let body = |engine: &Engine<Rules>, index| {
        engine.reader(&engine.view()).body(LeafIndex::new(index)).map(KeptBody::into_body)
    };
    // The head of the slot of entry 2: place, mark, salt, length; then its body.
    let slot = (38 + 60) * 2;
    for bit in 0..38 * 8 {
        let world = world.copy();
        flip(&world, "bodies/000", slot * 8 + bit);
        let (engine, _) = world.open().unwrap();
        let expect = told.entries[2].body.clone();
        assert!(!matches!(body(&engine, 2), Ok(found) if found == expect), "bit {bit} is not seen");
        assert_eq!(body(&engine, 1).unwrap(), told.entries[1].body);
        engine.close();
    }
    // A file that ends within a slot.
    let cut = world.copy();
    cut.disk.poke("bodies/000", Some(world.disk.peek("bodies/000").unwrap()[..slot + 50].to_vec()));
    let (engine, _) = cut.open().unwrap();
    damaged(body(&engine, 2), "bodies/000", "cut");
    engine.close();
}

#[test]
fn a_chain_index_that_is_short_is_found() {
    let (world, told) = large();
    let rows = world.disk.peek("chain.idx").unwrap();
    assert_eq!(rows.len() as u64, told.heads.last().unwrap().0.get() * ROW_LEN);
    for len in [0, ROW_LEN as usize, rows.len() - 1] {
        let world = world.copy();
        world.disk.poke("chain.idx", Some(rows[..len].to_vec()));
        let Err(error) = world.open_with(Opaque) else { panic!("it opens with {len} bytes") };
        assert!(matches!(error, OpenError::Inconsistent { .. }));
        assert!(error.to_string().contains("chain.idx is shorter than the log"), "{error}");
    }
    // One that grows shorter later is found by the read.
    let (engine, _) = world.open_with(Opaque).unwrap();
    world.disk.poke("chain.idx", Some(rows[..10 * ROW_LEN as usize].to_vec()));
    let view = engine.view();
    assert!(engine.reader(&view).row(LeafIndex::new(9)).is_ok());
    damaged(engine.reader(&view).row(LeafIndex::new(10)), "chain.idx", "row 10");
    engine.close();
}
