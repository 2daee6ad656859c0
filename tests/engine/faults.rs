//! Every operation of a short run fails, or is the last before the power goes; so does every operation of a recovery.
//!
//! After each: what was acknowledged is there, no checkpoint that anyone saw is contradicted, what is published has not
//! gone back, and the log goes on.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use soulchain::log::{Engine, OpenError, SubmitError, create};
use soulchain::merkle::TreeSize;

use super::audit::{check_files, check_gone, check_log, secret};
use super::disk::{Fate, Plan, Survivors};
use super::rules::{Line, Rules};
use super::world::{Erasure, SMALL_SEGMENT, Told, World, block_on, one};

/// What survives a power loss, in several ways.
fn survivors(case: u64) -> Vec<Survivors> {
    let seeds = (0..2).map(|number| Survivors::Some(case * 2 + number));
    [Survivors::Nothing, Survivors::Everything].into_iter().chain(seeds).collect()
}

/// Appends, publishes, erases, flushes, rolls, closes, reopens. It goes on as far as it can, as clients would.
fn short_run(world: &World, told: &mut Told) {
    if let Ok((engine, _)) = world.open() {
        first_half(&engine, told);
        engine.close();
    }
    if let Ok((engine, _)) = world.open() {
        told.see(&engine.view());
        second_half(&engine, told);
        engine.close();
    }
}

fn first_half(engine: &Engine<Rules>, told: &mut Told) {
    let _ = told.append(engine, &[Line::new("a", 1), with_secret("b", 700)]);
    let _ = told.append(engine, &one("a", 2));
    let _ = told.publish(engine);
    let _ = block_on(engine.flush());
    // Sectors of zeros within a frame, and a frame of many sectors.
    let _ = told.append(engine, &[Line::new("a", 3).with_body(vec![0; 3000]), with_secret("c", 5000)]);
    // Of a body that only the journal has.
    let _ = told.erase(engine, &with_secret("c", 5000));
    let _ = told.publish(engine);
    let _ = told.append(engine, &one("d", 1));
    // Of one that was flushed by another process.
    let _ = told.erase(engine, &with_secret("q", 600));
    let _ = told.append(engine, &one("a", 4));
    // Rolled by now.
    let _ = told.append(engine, &one("b", 2));
    let _ = block_on(engine.flush());
}

fn second_half(engine: &Engine<Rules>, told: &mut Told) {
    let _ = told.append(engine, &one("a", 5));
    let _ = told.publish(engine);
    let _ = told.append(engine, &[Line::new("e", 1).with_body(b"x".to_vec()), with_secret("f", 100)]);
    // A bundle is filled.
    let many: Vec<Line> = (0..250).map(|number| Line::new(&format!("m{number}"), 1)).collect();
    let _ = told.append(engine, &many);
    let _ = block_on(engine.flush());
    // Of one that was flushed and is in the journal still.
    let _ = told.erase(engine, &with_secret("f", 100));
    let _ = told.append(engine, &one("a", 6));
    let _ = told.publish(engine);
    let _ = told.append(engine, &one("a", 7));
}

fn with_secret(key: &str, len: usize) -> Line {
    Line::new(key, 1).with_body(secret(key, len))
}

/// A log in which two bundles and some bodies lie already, closed.
fn prepared() -> (World, Told) {
    prepared_in(SMALL_SEGMENT)
}

fn prepared_in(segment_len: u64) -> (World, Told) {
    let world = World::created(segment_len);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let many: Vec<Line> = (0..252).map(|number| Line::new(&format!("p{number}"), 1)).collect();
    told.append(&engine, &many).unwrap();
    told.append(&engine, &[with_secret("q", 600)]).unwrap();
    told.publish(&engine).unwrap();
    engine.close();
    world.disk.plan(None);
    (world, told)
}

/// Opens what a fault left behind, audits it, and goes on with it.
fn check_recovers(world: &World, told: &Told) {
    check_gone(&world.disk, told);
    let (engine, _) = world.open().unwrap_or_else(|error| panic!("it does not open: {error}"));
    let mut told = told.clone();
    let size = engine.view().size();
    let published = engine.published().map_or(TreeSize::ZERO, |published| published.size);
    assert!(told.published <= published && published <= size, "what is published is there at once");
    assert!(told.heads.iter().all(|(told, _)| *told <= size), "what was told is there at once");
    told.see(&engine.view());
    assert_eq!(told.append(&engine, &one("z", 1)).unwrap(), size.get());
    told.publish(&engine).unwrap();
    let entries = check_log(&engine, &told);
    engine.close();
    check_gone(&world.disk, &told);
    check_files(&world.disk, &entries, told.published);
    assert_eq!(world.views.stand().applied.map(TreeSize::get), Some(entries.len() as u64));
}

/// Says which case failed.
fn case<T>(what: impl Fn() -> String, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|error| {
        eprintln!("case: {}", what());
        std::panic::resume_unwind(error)
    })
}

/// One run for each operation and fate; each leaves what it leaves to `judge`.
fn enumerate(start: &(World, Told), fates: &[(Fate, bool)], judge: impl Fn(&World, &Told, u64)) -> usize {
    let clean = start.0.copy();
    let mut told = start.1.clone();
    short_run(&clean, &mut told);
    let ops = clean.disk.ops();
    assert!(told.erasures.values().all(|erasure| *erasure == Erasure::Answered), "{:?}", told.erasures);
    check_recovers(&clean, &told);
    let mut cases = 0;
    for (at, op) in (0..).zip(&ops) {
        for (fate, dead_after) in fates {
            // A read has no effect that could be lost.
            let is_read = ["read", "len", "list"].contains(&op.0);
            if is_read && *fate != Fate::Lost {
                continue;
            }
            let (world, mut told) = (start.0.copy(), start.1.clone());
            let plan = Plan { at, fate: *fate, dead_after: *dead_after };
            case(
                || format!("{plan:?}, {op:?}"),
                || {
                    short_run(world.plan(plan), &mut told);
                    judge(&world, &told, at);
                },
            );
            cases += 1;
        }
    }
    cases
}

#[test]
fn any_operation_fails_and_the_process_starts_anew() {
    let fates = [(Fate::Lost, false), (Fate::Lost, true), (Fate::Half, true), (Fate::Done, false), (Fate::Done, true)];
    let cases = enumerate(&prepared(), &fates, |world, told, _| check_recovers(&world.copy(), told));
    eprintln!("{cases} cases");
}

/// What a failed sync left is in the page cache, for the next process to see, and never on the medium.
#[test]
fn any_operation_fails_and_after_a_recovery_the_power_goes() {
    let start = prepared();
    let clean = start.0.copy();
    let engine = clean.open().unwrap().0;
    first_half(&engine, &mut start.1.clone());
    engine.close();
    let mut cases = 0;
    for (at, op) in (0..).zip(&clean.disk.ops()) {
        for fate in [Fate::Lost, Fate::Half, Fate::Done] {
            let (world, mut told) = (start.0.copy(), start.1.clone());
            let plan = Plan { at, fate, dead_after: false };
            if let Ok((engine, _)) = world.plan(plan).open() {
                first_half(&engine, &mut told);
                engine.close();
            }
            let world = world.copy();
            case(
                || format!("{plan:?}, {op:?}"),
                || {
                    let engine = world.open().unwrap().0;
                    told.see(&engine.view());
                    engine.close();
                    check_recovers(&world.after_power_loss(Survivors::Nothing), &told);
                    check_recovers(&world.after_power_loss(Survivors::Some(at)), &told);
                },
            );
            cases += 2;
        }
    }
    eprintln!("{cases} cases");
}

#[test]
fn the_power_goes_after_any_operation() {
    for start in [prepared(), (World::created(SMALL_SEGMENT), Told::default())] {
        let cases = enumerate(&start, &[(Fate::PowerCut, true)], |world, told, at| {
            for survivors in survivors(at) {
                case(|| format!("{survivors:?}"), || check_recovers(&world.after_power_loss(survivors), told));
            }
        });
        eprintln!("{cases} cases, each with four losses");
    }
}

/// What was to be written is not relied upon: nothing latches, and the next try does it.
#[test]
fn any_file_finds_no_space_once() {
    let start = prepared();
    let clean = start.0.copy();
    let engine = clean.open().unwrap().0;
    first_half(&engine, &mut start.1.clone());
    engine.close();
    let mut kinds = BTreeSet::new();
    for (at, (op, name)) in (0..).zip(clean.disk.ops()) {
        let folder = name.rsplit_once('/').map_or(name.clone(), |(folder, _)| folder.to_owned());
        // A frame goes where zeros lie already; that it finds no space is no known outcome.
        let is_frame = name == "journal/fresh.tmp";
        if !["write", "open"].contains(&op) || is_frame || !kinds.insert((op, folder)) {
            continue;
        }
        let (world, mut told) = (start.0.copy(), start.1.clone());
        world.plan(Plan { at, fate: Fate::NoSpace, dead_after: false });
        if let Ok((engine, _)) = world.open() {
            first_half(&engine, &mut told);
            assert_eq!(engine.latched(), None, "{op} {name}");
            engine.close();
        }
        world.disk.plan(None);
        case(|| format!("{at} {op} {name}"), || check_recovers(&world, &told));
    }
    eprintln!("{} cases", kinds.len());
}

#[test]
fn any_operation_of_a_recovery_fails_or_is_the_last() {
    let start = prepared();
    let clean = start.0.copy();
    short_run(&clean, &mut start.1.clone());
    let ops = clean.disk.ops().len() as u64;
    let mut cases = 0;
    for (at, number) in (0..ops).step_by(ops as usize / 9).zip(0..) {
        let (world, mut told) = (start.0.copy(), start.1.clone());
        short_run(world.plan(Plan { at, fate: Fate::PowerCut, dead_after: true }), &mut told);
        let left = match number % 3 {
            0 => world.copy(),
            1 => world.after_power_loss(Survivors::Some(at)),
            _ => world.after_power_loss(Survivors::Nothing),
        };
        cases += case(|| format!("power cut at {at}, state {number}"), || recovery_fails(&left, &told, at));
    }
    eprintln!("{cases} cases");
}

fn recovery_fails(left: &World, told: &Told, seed: u64) -> u64 {
    let clean = left.copy();
    clean.open().unwrap().0.close();
    let ops = clean.disk.ops();
    let mut cases = 0;
    for (at, op) in (0..).zip(&ops) {
        for fate in [Fate::Lost, Fate::Done, Fate::PowerCut] {
            let is_read = ["read", "len", "list"].contains(&op.0);
            if is_read && fate != Fate::Lost {
                continue;
            }
            let world = left.copy();
            let plan = Plan { at, fate, dead_after: true };
            let mut told = told.clone();
            if let Ok((engine, _)) = world.plan(plan).open() {
                told.see(&engine.view());
                engine.close();
            }
            let after = |what: &str, world: World| {
                case(|| format!("{plan:?} {op:?} {what}"), || check_recovers(&world, &told));
                1
            };
            cases += after("the process starts anew", world.copy());
            if fate == Fate::PowerCut {
                cases += after("nothing survives", world.after_power_loss(Survivors::Nothing));
                cases += after("some survives", world.after_power_loss(Survivors::Some(seed * 1000 + at)));
            }
        }
    }
    cases
}

#[test]
fn a_log_that_was_not_made_whole_is_no_log() {
    let clean = World::new(SMALL_SEGMENT);
    create(&clean.storage()).unwrap();
    for (at, op) in (0..).zip(clean.disk.ops()) {
        for fate in [Fate::Lost, Fate::Half, Fate::Done] {
            let world = World::new(SMALL_SEGMENT);
            world.plan(Plan { at, fate, dead_after: false });
            assert!(create(&world.storage()).is_err(), "{op:?} {fate:?}");
            // It is there whole, or it does not open.
            let world = world.copy();
            if world.open().is_ok_and(|(engine, _)| {
                check_log(&engine, &Told::default());
                engine.close();
                true
            }) {
                check_recovers(&world, &Told::default());
            }
        }
    }
    // Made whole it is durable.
    for survivors in survivors(1) {
        check_recovers(&clean.after_power_loss(survivors), &Told::default());
    }
}

#[test]
fn a_failed_sync_latches_and_reads_go_on() {
    for fate in [Fate::Lost, Fate::Done] {
        let (world, mut told) = prepared_in(1 << 20);
        let (engine, _) = world.open().unwrap();
        told.append(&engine, &one("a", 1)).unwrap();
        told.publish(&engine).unwrap();
        world.disk.plan(None);
        told.append(&engine, &one("a", 2)).unwrap();
        let sync = world.disk.ops().iter().position(|(op, _)| *op == "sync");
        world.plan(Plan { at: sync.unwrap() as u64, fate, dead_after: false });
        let waiting = told.append(&engine, &one("a", 3));
        assert!(matches!(waiting, Err(SubmitError::Latched { may_be_logged: true })), "{waiting:?}");
        assert!(engine.latched().is_some_and(|why| why.contains("sync")), "{:?}", engine.latched());
        let later = told.append(&engine, &one("b", 9));
        assert!(matches!(later, Err(SubmitError::Latched { may_be_logged: false })));
        let view = engine.view();
        assert!(block_on(engine.publish(&view, b"x".to_vec())).is_err());
        assert!(block_on(engine.flush()).is_err());
        check_log(&engine, &told);
        engine.close();
        assert!(block_on(engine.publish(&view, b"x".to_vec())).is_err(), "nobody waits for ever");
        check_log(&engine, &told);
        let world = world.copy();
        let (engine, _) = world.open().unwrap();
        check_log(&engine, &told);
        // Sent again it is logged once.
        let index = told.append(&engine, &one("a", 3)).unwrap();
        assert_eq!(told.append(&engine, &one("a", 3)).unwrap(), index);
        check_log(&engine, &told);
        engine.close();
    }
}

#[test]
fn a_torn_last_frame_is_dropped_and_told() {
    let (world, mut told) = prepared_in(1 << 20);
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &one("a", 1)).unwrap();
    world.disk.plan(None);
    let long = vec![Line::new("a", 2).with_body((0..9000_u32).map(|byte| 1 + (byte % 250) as u8).collect())];
    told.clone().append(&engine, &long).unwrap();
    let write = world.disk.ops().iter().rposition(|(op, _)| *op == "write").unwrap() as u64;
    engine.close();
    let (world, mut told) = prepared_in(1 << 20);
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &one("a", 1)).unwrap();
    world.plan(Plan { at: write, fate: Fate::PowerCut, dead_after: true });
    assert!(told.append(&engine, &long).is_err());
    engine.close();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let world = world.after_power_loss(Survivors::Some(seed));
        let (engine, recovery) = case(|| format!("seed {seed}"), || world.open().unwrap());
        check_log(&engine, &told);
        seen.insert((recovery.torn_frame, recovery.size.get() > told.heads.last().unwrap().0.get()));
        engine.close();
        if seed % 10 == 0 {
            check_recovers(&world, &told);
        }
    }
    // Gone without a trace; torn; and, with luck, whole.
    assert!(
        seen.contains(&(false, false)) && seen.contains(&(true, false)) && !seen.contains(&(true, true)),
        "{seen:?}"
    );
}

#[test]
fn an_open_that_was_refused_has_changed_nothing() {
    let (world, told) = prepared();
    let before = world.copy();
    world.disk.poke(&format!("tile/0/000.p/{}", told.heads.last().unwrap().0), None);
    let names =
        |world: &World| world.disk.names().into_iter().map(|name| (world.disk.peek(&name), name)).collect::<Vec<_>>();
    let damaged = names(&world);
    assert!(matches!(world.open(), Err(OpenError::Storage(_) | OpenError::Inconsistent { .. })));
    assert_eq!(names(&world), damaged);
    check_recovers(&before, &told);
}
