//! Erasing bodies, wherever they lie: in memory, in the journal, in a file that grows, in one that is full.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use soulchain::log::{Engine, EraseError, KeptBody, MAX_PENDING_ERASURES, NoCheck, ReadError, Subject, fsck};
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

/// An order that was given and is not answered.
type Ordered<'a> = Pin<Box<dyn Future<Output = Result<(), EraseError>> + 'a>>;

/// Orders an erasure, and does not wait; `None` where it is done already.
fn order(engine: &Engine<Rules>, index: u64) -> Option<Ordered<'_>> {
    let mut ordered: Ordered<'_> = Box::pin(engine.erase(LeafIndex::new(index)));
    match ordered.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Some(ordered),
        Poll::Ready(answer) => {
            answer.unwrap();
            None
        }
    }
}

/// How often the disk is asked before an erasure of a body that is flushed is committed: how long the file is and what
/// is at the head of the first slot, and the same for where the next one begins.
const LOOKS: u64 = 4;

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
        let before = engine.view();
        world.disk.plan(None);
        told.clone().append(&engine, &one("c", 1)).unwrap();
        let ops = world.disk.ops().len() as u64;
        // The frame is committed, and then the disk is gone: nobody is told, and nobody is given the body.
        let looks = if flushed { LOOKS } else { 0 };
        world.plan(Plan { at: looks + ops - 1, fate: Fate::PowerCut, dead_after: true });
        assert!(matches!(told.erase(&engine, &line("a")), Err(EraseError::Stopped)));
        assert_eq!(body(&engine, at), KeptBody::Erased);
        let of_before = |at| engine.reader(&before).body(LeafIndex::new(at)).unwrap();
        assert_eq!(of_before(at), KeptBody::Erased, "an older view");
        assert_eq!(of_before(at + 1).into_body(), line("b").side_body());
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

/// A view that was taken before an erasure, wherever the body lay then.
#[test]
fn an_older_view_gives_out_no_body_that_is_erased() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &[line("full")]).unwrap();
    told.append(&engine, &(0..300).map(|number| Line::new(&format!("m{number}"), 1)).collect::<Vec<_>>()).unwrap();
    told.append(&engine, &[line("partial")]).unwrap();
    engine.close();
    let (engine, _) = world.open().unwrap();
    told.append(&engine, &[line("flushed")]).unwrap();
    block_on(engine.flush()).unwrap();
    let before_last = engine.view();
    let committed = engine.submit(vec![line("new"), line("kept")]).unwrap().blocking_answer().unwrap();
    let first = told.acknowledge(&[line("new"), line("kept")], &committed);
    let views = [before_last, committed.view, engine.view()];
    for key in ["full", "partial", "flushed", "new"] {
        let index = told.entries.iter().find(|entry| entry.entry == line(key).entry()).unwrap().index;
        let shown = || views.iter().filter_map(|view| engine.reader(view).body(LeafIndex::new(index)).ok());
        assert!(shown().all(|body| body.into_body() == line(key).side_body()), "{key} before");
        told.erase(&engine, &line(key)).unwrap();
        assert!(shown().all(|body| body == KeptBody::Erased), "{key} after");
    }
    assert_eq!(body(&engine, first + 1).into_body(), line("kept").side_body());
    check(&world, &engine, &told);
    engine.close();
}

/// Where the length of a slot is in its file; bodies here have 900 bytes.
const LENGTH_AT: usize = 34;
const SLOT_LEN: usize = 38 + 900;

/// One byte of a length is changed: one too long, one too short, longer than the file.
const LIES: [(usize, u8); 3] = [(3, 0x85), (3, 0x83), (1, 0x0f)];

/// Nothing is committed for a slot that lies about its length, nothing latches, and no byte is overwritten.
#[test]
fn a_slot_that_lies_about_its_length_is_not_erased() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let group: Vec<Line> = ["a", "b", "c"].map(line).into();
    told.append(&engine, &group).unwrap();
    told.append(&engine, &(0..252).map(|number| Line::new(&format!("m{number}"), 1)).collect::<Vec<_>>()).unwrap();
    let in_partial: Vec<Line> = ["d", "e"].map(line).into();
    told.append(&engine, &in_partial).unwrap();
    block_on(engine.flush()).unwrap();
    let places = [("bodies/000", 0, "a"), ("bodies/000", 1, "b"), ("bodies/000", 2, "c"), ("bodies/001", 0, "d")];
    let places = [&places[..], &[("bodies/001", 1, "e")]].concat();
    let refuse_all = |engine: &Engine<Rules>| {
        for (name, slot, key) in &places {
            let right = world.disk.peek(name).unwrap();
            let index = told.entries.iter().find(|entry| entry.entry == line(key).entry()).unwrap().index;
            for (at, byte) in LIES {
                let mut wrong = right.clone();
                wrong[slot * SLOT_LEN + LENGTH_AT + at] = byte;
                world.disk.poke(name, Some(wrong.clone()));
                world.disk.plan(None);
                let refused = erase(engine, index);
                assert!(matches!(refused, Err(EraseError::Read(ReadError::Damaged { .. }))), "{key} {at}: {refused:?}");
                assert!(!world.disk.ops().iter().any(|(op, _)| ["write", "sync"].contains(op)), "{key} {at}");
                assert!(world.disk.peek(name) == Some(wrong), "{key} {at}");
            }
            world.disk.poke(name, Some(right));
        }
        assert_eq!(engine.latched(), None);
    };
    // With those in memory that came last; then with all on disk only.
    refuse_all(&engine);
    engine.close();
    let (engine, _) = world.open().unwrap();
    refuse_all(&engine);
    for key in ["a", "c", "d"] {
        told.erase(&engine, &line(key)).unwrap();
    }
    check(&world, &engine, &told);
    engine.close();
}

/// A log whose first body was ordered to be erased while its slot was right, and with it the third; no flush has come to
/// its end. Gives the indexes of both, and the file as it was.
fn with_orders(world: &World, told: &mut Told) -> (u64, u64, Vec<u8>) {
    let (engine, _) = world.open().unwrap();
    let first = told.append(&engine, &["a", "b", "c", "d"].map(line)).unwrap();
    block_on(engine.flush()).unwrap();
    world.disk.set_full(Some("bodies/"));
    let orders: Vec<_> = [first, first + 2].into_iter().map(|index| order(&engine, index).unwrap()).collect();
    while [first, first + 2].into_iter().any(|index| body(&engine, index) != KeptBody::Erased) {
        std::thread::yield_now();
    }
    drop(orders);
    engine.close();
    world.disk.set_full(None);
    (first, first + 2, world.disk.peek("bodies/000").unwrap())
}

/// A slot that was right when its erasure was ordered: the flush overwrites nothing, says so, and does all else; the
/// next openings do not forget the order.
#[test]
fn an_erasure_that_damage_stands_in_the_way_of_is_owed() {
    for (at, byte) in LIES {
        let world = World::created(1 << 20);
        let mut told = Told::default();
        let (engine, _) = world.open().unwrap();
        let index = told.append(&engine, &["a", "b", "c"].map(line)).unwrap();
        told.append(&engine, &(0..300).map(|number| Line::new(&format!("m{number}"), 1)).collect::<Vec<_>>()).unwrap();
        let other = told.append(&engine, &[line("other")]).unwrap();
        block_on(engine.flush()).unwrap();
        world.disk.set_full(Some("bodies/"));
        let ordered = order(&engine, index).unwrap();
        let ordered_too = order(&engine, other).unwrap();
        // The flush has found no room, and waits.
        while body(&engine, index) != KeptBody::Erased || !engine.is_low_on_space() {
            std::thread::yield_now();
        }
        let right = world.disk.peek("bodies/000").unwrap();
        let mut wrong = right.clone();
        wrong[LENGTH_AT + at] = byte;
        world.disk.poke("bodies/000", Some(wrong.clone()));
        world.disk.set_full(None);
        let answer = block_on(ordered);
        let is_owed = matches!(&answer, Err(EraseError::Owed(ReadError::Damaged { name, .. })) if name == "bodies/000");
        assert!(is_owed, "{answer:?}");
        block_on(ordered_too).unwrap();
        told.erasures.insert(other, Erasure::Answered);
        check_gone(&world.disk, &told);
        let is_owed = |engine: &Engine<Rules>| {
            let owed = engine.owed_erasures();
            let owed: Vec<_> = owed.iter().map(|owed| (owed.index.get(), &owed.name[..])).collect();
            assert_eq!(owed, [(index, "bodies/000")]);
            assert_eq!(engine.latched(), None);
            assert_eq!(body(engine, index), KeptBody::Erased, "it is given to nobody");
            let again = erase(engine, index);
            assert!(matches!(again, Err(EraseError::Owed(ReadError::Damaged { .. }))), "{again:?}");
        };
        is_owed(&engine);
        // The log goes on, over flushes and openings.
        for round in 0..3 {
            told.append(&engine, &one(&format!("round {round}"), 1)).unwrap();
            block_on(engine.flush()).unwrap();
            is_owed(&engine);
        }
        engine.close();
        for world in [world.copy(), world.after_power_loss(Survivors::Nothing)] {
            for _ in 0..2 {
                let (engine, recovery) = world.open().unwrap();
                assert_eq!(recovery.owed_erasures, 1);
                is_owed(&engine);
                engine.close();
            }
            assert!(world.disk.peek("bodies/000").as_ref() == Some(&wrong), "not a byte is overwritten");
            // With the file put back it is done by the next opening, or by another order.
            world.disk.poke("bodies/000", Some(right.clone()));
            for again in [false, true] {
                let (world, mut told) = (world.copy(), told.clone());
                if again {
                    world.disk.poke("bodies/000", Some(wrong.clone()));
                }
                let (engine, recovery) = world.open().unwrap();
                if again {
                    world.disk.poke("bodies/000", Some(right.clone()));
                    erase(&engine, index).unwrap();
                }
                assert_eq!((recovery.owed_erasures, engine.owed_erasures().len()), (u64::from(again), 0));
                told.erasures.insert(index, Erasure::Answered);
                check(&world, &engine, &told);
                engine.close();
                assert_eq!(world.disk.peek("erasures"), None);
            }
        }
    }
}

/// Of a machine whose entries do not say how long their bodies are.
#[test]
fn a_repair_that_knows_no_slot_leaves_the_order_and_the_body() {
    let world = World::created(1 << 20);
    let (first, _, right) = with_orders(&world, &mut Told::default());
    let check = |world: &World| {
        let storage = world.storage();
        let subject = Subject { disk: Arc::new(world.disk.clone()), journal: &*storage.journal, views: None };
        fsck(Rules::default(), &NoCheck, &subject, true, &mut |_| {}).unwrap()
    };
    let mut wrong = right.clone();
    wrong[1] = 7;
    world.disk.poke("bodies/000", Some(wrong));
    world.open().unwrap().0.close();
    let damaged = world.disk.peek("bodies/000").unwrap();
    let orders = world.disk.peek("erasures").unwrap();
    for _ in 0..2 {
        let report = check(&world);
        assert!(!report.is_clean() && report.findings.iter().all(|finding| !finding.repairable), "{report:?}");
        assert!(world.disk.peek("bodies/000").as_ref() == Some(&damaged), "not a byte is overwritten");
        assert!(world.disk.peek("erasures").as_ref() == Some(&orders), "the order is kept");
    }
    let (engine, recovery) = world.open().unwrap();
    assert_eq!(recovery.owed_erasures, 2);
    engine.close();
    world.disk.poke("bodies/000", Some(right));
    let (engine, recovery) = world.open().unwrap();
    assert_eq!((recovery.owed_erasures, body(&engine, first)), (0, KeptBody::Erased));
    engine.close();
}

/// Whatever byte of a slot is changed, the log opens; the other order is carried out; and the first one is carried out or
/// owed, but never takes what belongs to another.
#[test]
fn a_log_opens_whatever_byte_beside_an_order_is_changed() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (first, third, right) = with_orders(&world, &mut told);
    let salt_of = |key| line(key).side_body().unwrap().salt;
    // What the journal holds goes in any case.
    let holds = |world: &World, bytes: &[u8]| {
        let file = world.disk.peek("bodies/000").unwrap();
        file.windows(bytes.len()).any(|window| window == bytes)
    };
    let (mut owed, mut done) = (0, 0);
    // Every byte of the head and the salt, then some of the body; of the ordered slots, and of the one between.
    let places = (0..60).chain((60..SLOT_LEN).step_by(97));
    for (slot, at) in (0..3).flat_map(|slot| places.clone().map(move |at| (slot, at))) {
        for flip in [3, 0x80] {
            let world = world.copy();
            let mut wrong = right.clone();
            wrong[slot * SLOT_LEN + at] ^= flip;
            world.disk.poke("bodies/000", Some(wrong));
            let (engine, recovery) = world.open().unwrap_or_else(|error| panic!("slot {slot} byte {at}: {error}"));
            assert_eq!(recovery.owed_erasures, engine.owed_erasures().len() as u64);
            let is_owed = |index| engine.owed_erasures().iter().any(|owed| owed.index.get() == index);
            for (index, key, own) in [(first, "a", 0), (third, "c", 2)] {
                assert_eq!(body(&engine, index), KeptBody::Erased, "slot {slot} byte {at}");
                let salt = salt_of(key);
                let is_flipped = slot == own && (2..34).contains(&at);
                assert!(is_owed(index) || !holds(&world, &salt[..16]), "slot {slot} byte {at}: {key} is still there");
                assert!(is_flipped || is_owed(index) == holds(&world, &salt), "slot {slot} byte {at}: {key}");
                *(if is_owed(index) { &mut owed } else { &mut done }) += 1;
            }
            for (key, own) in [("b", 1), ("d", 3)] {
                let start = own * SLOT_LEN + 38;
                let now = world.disk.peek("bodies/000").unwrap();
                let changed = now[start..start + 900].iter().zip(&right[start..]).filter(|(now, right)| now != right);
                assert!(changed.count() <= 1, "slot {slot} byte {at}: {key} was not ordered");
            }
            engine.close();
            let (engine, recovery) = world.open().unwrap();
            assert_eq!(recovery.owed_erasures, engine.owed_erasures().len() as u64, "it is not forgotten");
            engine.close();
        }
    }
    assert!(owed >= 40 && done > 100, "{owed} {done}");
}

#[test]
fn more_orders_than_there_are_places_are_refused() {
    let world = World::created(4 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let lines: Vec<Line> = (0..MAX_PENDING_ERASURES + 2).map(|number| line(&format!("s{number}"))).collect();
    let first = told.append(&engine, &lines).unwrap();
    told.erase(&engine, &lines[0]).unwrap();
    // No flush comes to its end.
    world.disk.set_full(Some("bodies/"));
    let left: Vec<u64> = (first + 1..).take(MAX_PENDING_ERASURES + 1).collect();
    let (last, most) = left.split_last().unwrap();
    // Two for the same body take two places.
    let mut orders: Vec<Ordered<'_>> = most[1..].iter().map(|index| order(&engine, *index).unwrap()).collect();
    orders.push(order(&engine, most[1]).unwrap());
    for index in [*last, most[0], most[1]] {
        assert!(matches!(erase(&engine, index), Err(EraseError::Overloaded)), "{index}");
    }
    assert_eq!(body(&engine, *last).into_body(), lines[MAX_PENDING_ERASURES + 1].side_body(), "it is still there");
    erase(&engine, first).unwrap();
    assert!(matches!(erase(&engine, last + 1), Err(EraseError::NoBody)), "a trailer");
    // Who goes away takes no place with him.
    orders.truncate(10);
    assert!(matches!(erase(&engine, *last), Err(EraseError::Overloaded)));
    world.disk.set_full(None);
    for ordered in orders {
        block_on(ordered).unwrap();
    }
    for index in &left {
        erase(&engine, *index).unwrap();
    }
    told.erasures = (first..=*last).map(|index| (index, Erasure::Answered)).collect();
    check_log(&engine, &told);
    engine.close();
}

/// Orders that latch the engine, find it latched, or find it closed give their places back.
#[test]
fn every_end_of_an_order_frees_its_place() {
    let world = World::created(1 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let at = told.append(&engine, &[line("a"), line("b")]).unwrap();
    block_on(engine.flush()).unwrap();
    world.plan(Plan { at: LOOKS, fate: Fate::Lost, dead_after: true });
    for _ in 0..=MAX_PENDING_ERASURES {
        assert!(matches!(erase(&engine, at), Err(EraseError::Stopped)));
    }
    engine.close();
    for _ in 0..=MAX_PENDING_ERASURES {
        assert!(matches!(erase(&engine, at), Err(EraseError::Stopped)));
    }
}

/// What one order costs does not grow with how many there were before.
#[test]
fn ten_thousand_bodies_are_erased() {
    const BODIES: usize = 10_000;
    let world = World::created(8 << 20);
    let mut told = Told::default();
    let (engine, _) = world.open().unwrap();
    let lines: Vec<Line> = (0..BODIES)
        .map(|number| Line::new(&format!("s{number}"), 1).with_body(secret(&number.to_string(), 40)))
        .collect();
    let first = told.append(&engine, &lines).unwrap();
    engine.close();
    let (engine, _) = world.open().unwrap();
    let before = engine.view();
    let all: Vec<u64> = (first..).take(BODIES).collect();
    let mut took = Vec::new();
    for some in all.chunks(1_000) {
        let start = Instant::now();
        let orders: Vec<Ordered<'_>> = some.iter().filter_map(|index| order(&engine, *index)).collect();
        for ordered in orders {
            block_on(ordered).unwrap();
        }
        took.push(start.elapsed().as_millis());
    }
    eprintln!("a thousand erasures took {took:?} ms");
    assert!(took.iter().sum::<u128>() < 120_000);
    assert!(all.iter().all(|at| engine.reader(&before).body(LeafIndex::new(*at)).unwrap() == KeptBody::Erased));
    told.erasures = all.iter().map(|index| (*index, Erasure::Answered)).collect();
    check_log(&engine, &told);
    engine.close();
}
