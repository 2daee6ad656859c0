//! Erasing bodies, wherever they lie: in memory, in the journal, in a file that grows, in one that is full.

use std::sync::atomic::{AtomicBool, Ordering};

use soulchain::log::{Engine, EraseError, KeptBody, ReadError};
use soulchain::merkle::LeafIndex;

use super::audit::{check_files, check_gone, check_log, secret};
use super::disk::{Fate, Plan, Survivors};
use super::rules::{Line, Rules};
use super::world::{Erasure, Told, World, block_on, one};

fn line(key: &str) -> Line {
    Line::new(key, 1).with_body(secret(key, 900))
}

fn body(engine: &Engine<Rules>, index: u64) -> KeptBody {
    engine.reader(&engine.view()).body(LeafIndex::new(index)).unwrap()
}

fn erase(engine: &Engine<Rules>, index: u64) -> Result<(), EraseError> {
    block_on(engine.erase(LeafIndex::new(index)))
}

/// Audits an open log, and what of it is on disk now, after a crash, and after it was opened anew.
fn check(world: &World, engine: &Engine<Rules>, told: &Told) {
    check_gone(&world.disk, told);
    check_log(engine, told);
    for world in [world.copy(), world.after_power_loss(Survivors::Nothing), world.after_power_loss(Survivors::Some(5))]
    {
        check_gone(&world.disk, told);
        let (again, _) = world.open().unwrap();
        check_gone(&world.disk, told);
        let entries = check_log(&again, told);
        again.close();
        check_files(&world.disk, &entries, told.published);
        check_gone(&world.disk, told);
    }
}

#[test]
fn a_body_is_erased_wherever_it_lies() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    // By the next process: in a full bundle, and in the one that is partial when that one opens.
    let filling: Vec<Line> = (0..250).map(|number| Line::new(&format!("m{number}"), 1)).collect();
    told.append(&engine, &[line("full"), line("full neighbour")]).unwrap();
    told.append(&engine, &filling).unwrap();
    told.append(&engine, &[line("edge"), line("edge neighbour"), Line::new("x", 1), line("third")]).unwrap();
    told.append(&engine, &[line("partial"), line("partial neighbour")]).unwrap();
    engine.close();
    let (engine, _) = world.open().unwrap();
    for key in ["partial", "full", "edge"] {
        told.erase(&engine, &line(key)).unwrap();
        check(&world, &engine, &told);
    }
    // In the journal alone; with others in its frame; flushed by this process; both at once.
    told.append(&engine, &[line("new"), line("new neighbour"), Line::new("y", 1)]).unwrap();
    told.erase(&engine, &line("new")).unwrap();
    check(&world, &engine, &told);
    told.append(&engine, &[line("flushed"), line("flushed too")]).unwrap();
    block_on(engine.flush()).unwrap();
    told.append(&engine, &[line("unflushed")]).unwrap();
    for key in ["flushed", "unflushed", "new neighbour"] {
        told.erase(&engine, &line(key)).unwrap();
        check(&world, &engine, &told);
    }
    assert_eq!(told.erasures.values().filter(|erasure| **erasure == Erasure::Answered).count(), 7);
    engine.close();
    let (engine, recovery) = world.open().unwrap();
    assert_eq!(recovery.replayed, 0);
    // What is erased stays so while the log goes on and fills the bundle.
    told.append(&engine, &(0..300).map(|number| Line::new(&format!("n{number}"), 1)).collect::<Vec<_>>()).unwrap();
    check(&world, &engine, &told);
    engine.close();
}

#[test]
fn a_body_in_the_frame_that_opening_wrote_anew_is_erased() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &[line("a"), line("b")]).unwrap();
    // The batch is the last frame: opening writes it at the beginning of a fresh segment.
    let killed = world.copy();
    engine.close();
    for world in [killed, world] {
        let mut told = told.clone();
        let (engine, _) = world.open().unwrap();
        let in_journal = |needle: &[u8]| {
            let mut found = false;
            let is_in = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            world.disk.everything(|name, bytes| found |= name.starts_with("journal/0") && is_in(bytes));
            found
        };
        assert!(in_journal(&secret("a", 900)));
        told.erase(&engine, &line("a")).unwrap();
        assert!(!in_journal(&secret("b", 30)), "the frame is gone whole");
        check(&world, &engine, &told);
        engine.close();
    }
}

#[test]
fn erasing_twice_changes_nothing_and_what_has_no_body_is_refused() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let at = told.append(&engine, &[line("a"), Line::new("b", 1)]).unwrap();
    for _ in 0..2 {
        told.erase(&engine, &line("a")).unwrap();
        check(&world, &engine, &told);
    }
    world.disk.plan(None);
    erase(&engine, at).unwrap();
    assert!(!world.disk.ops().iter().any(|(op, _)| ["write", "sync"].contains(op)), "nothing is left to do");
    assert!(matches!(erase(&engine, at + 1), Err(EraseError::NoBody)), "an entry without a body");
    assert!(matches!(erase(&engine, at + 2), Err(EraseError::NoBody)), "a trailer");
    assert!(matches!(erase(&engine, at + 3), Err(EraseError::Read(ReadError::PastEnd))));
    // Sent again with its body it is not kept again.
    assert_eq!(told.append(&engine, &[line("a")]).unwrap(), at);
    check(&world, &engine, &told);
    engine.close();
    assert!(matches!(erase(&engine, at), Ok(())), "it is known to be done");
    let (engine, _) = world.open().unwrap();
    erase(&engine, at).unwrap();
    assert_eq!(body(&engine, at), KeptBody::Erased);
    engine.close();
}

#[test]
fn nobody_reads_a_body_from_the_commit_of_its_erasure_on() {
    for flushed in [false, true] {
        let world = World::created(1 << 20);
        let mut told = Told::default();
        let (engine, _) = world.open().unwrap();
        let at = told.append(&engine, &[line("a"), line("b")]).unwrap();
        if flushed {
            block_on(engine.flush()).unwrap();
        }
        world.disk.plan(None);
        told.clone().append(&engine, &one("c", 1)).unwrap();
        let ops = world.disk.ops().len() as u64;
        // The frame is committed, and then the disk is gone: nobody is told, and nobody is given the body.
        world.plan(Plan { at: ops - 1, fate: Fate::PowerCut, dead_after: true });
        assert!(matches!(told.erase(&engine, &line("a")), Err(EraseError::Stopped)));
        assert_eq!(body(&engine, at), KeptBody::Erased);
        assert!(matches!(erase(&engine, at), Err(EraseError::Stopped)), "it is not said to be done");
        engine.close();
        assert!(matches!(erase(&engine, at), Err(EraseError::Stopped)));
        for world in [world.copy(), world.after_power_loss(Survivors::Nothing)] {
            let (engine, _) = world.open().unwrap();
            assert_eq!(body(&engine, at), KeptBody::Erased);
            told.erasures.insert(at, Erasure::Answered);
            check(&world, &engine, &told);
            engine.close();
        }
    }
}

/// While others append, and while the flush of one erasure is under way when the next comes.
#[test]
fn many_are_erased_at_once() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let lines: Vec<Line> = (0..90).map(|number| line(&format!("s{number}"))).collect();
    told.append(&engine, &lines[..30]).unwrap();
    engine.close();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &lines[30..60]).unwrap();
    block_on(engine.flush()).unwrap();
    told.append(&engine, &lines[60..]).unwrap();
    let erased: Vec<u64> = told.entries.iter().map(|entry| entry.index).filter(|index| index % 3 != 0).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (engine, stop, erased) = (&engine, &stop, &erased);
        let appends = scope.spawn(move || {
            let mut told = Told::default();
            for value in 1.. {
                told.append(engine, &[Line::new("w", value).with_body(secret(&value.to_string(), 200))]).unwrap();
                if stop.load(Ordering::Relaxed) {
                    return told;
                }
            }
            unreachable!()
        });
        // Each by two at once.
        let all: Vec<_> = (0..8)
            .map(|at| {
                scope.spawn(move || {
                    erased.iter().skip(at / 2).step_by(4).for_each(|index| erase(engine, *index).unwrap());
                })
            })
            .collect();
        for thread in all {
            thread.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let others = appends.join().unwrap();
        told.entries.extend(others.entries);
        told.heads.extend(others.heads);
    });
    told.erasures = erased.iter().map(|index| (*index, Erasure::Answered)).collect();
    check(&world, &engine, &told);
    engine.close();
}

/// A body whose file is damaged is not said to be erased, and nothing is committed for it.
#[test]
fn what_cannot_be_found_is_not_erased() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let at = told.append(&engine, &[line("a"), line("b")]).unwrap();
    engine.close();
    let mut file = world.disk.peek("bodies/000").unwrap();
    file[1] = 7;
    world.disk.poke("bodies/000", Some(file));
    let (engine, _) = world.open().unwrap();
    for index in [at, at + 1] {
        assert!(matches!(erase(&engine, index), Err(EraseError::Read(ReadError::Damaged { .. }))));
    }
    assert_eq!(engine.latched(), None);
    engine.close();
    world.open().unwrap().0.close();
}
