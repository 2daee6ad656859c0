//! Requests at once: comparing and persisting are one step, and nothing leaves before it is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Instant;

use soulchain::merkle::TreeSize;
use soulchain::storage::Disk;
use soulchain::tlog::{Checkpoint, Note, NoteVerifier, Origin, Vkey};
use soulchain::witness::{LogList, Outcome, Submitted, Witness, WitnessKeys, WitnessOptions, create_with_segments};

use super::disk::SimDisk;
use super::log::{TestLog, ml_dsa_key, request, time};
use super::server::{Client, NOW, Server, both_keys, ed25519_key, list};

fn on_sim_disk(logs: &[&TestLog]) -> Witness {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&disk, &keys, [7; 32], 1 << 20).unwrap();
    Witness::open(&disk, keys, list(logs), WitnessOptions::default()).unwrap().0
}

#[track_caller]
fn pending(submitted: Submitted) -> soulchain::witness::Pending {
    match submitted {
        Submitted::Pending(pending) => pending,
        Submitted::Answered(outcome) => panic!("answered at once: {outcome:?}"),
    }
}

/// The race of the document: A with size N and B with size N+K, both from the same old size.
#[test]
fn of_two_requests_from_one_size_one_is_cosigned() {
    for (a, b) in [(5, 9), (9, 5)] {
        let log = TestLog::new("log.example/one");
        let witness = on_sim_disk(&[&log]);
        let signed = witness.add_checkpoint(&log.request(0, 3), time(NOW));
        assert!(matches!(signed, Outcome::Signed(_)));
        let first = pending(witness.submit(&log.request(3, a), time(NOW)));
        let second = pending(witness.submit(&log.request(3, b), time(NOW)));
        assert!(witness.commit());
        assert!(matches!(first.now(), Some(Outcome::Signed(_))));
        assert_eq!(second.now(), Some(Outcome::Conflict { cosigned: TreeSize::new(a) }));
        assert!(witness.checkpoint(&log.hash()).unwrap().contains(&format!("\n{a}\n")));
    }
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let log = TestLog::new("log.example/one");
    let witness = on_sim_disk(&[&log]);
    let first = pending(witness.submit(&log.request(0, 3), time(NOW)));
    // Refusals that rest on it wait as well: their sizes and reasons tell of it.
    let refused = [log.request(0, 5), log.forked(1).request(3, 3), log.forked(1).request(3, 4)];
    let refused: Vec<_> = refused.iter().map(|request| pending(witness.submit(request, time(NOW)))).collect();
    assert_eq!(witness.checkpoint(&log.hash()), None);
    assert!(witness.commit());
    assert!(matches!(first.now(), Some(Outcome::Signed(_))));
    assert!(refused.into_iter().all(|refused| refused.now().is_some()));
    assert!(witness.checkpoint(&log.hash()).is_some());
    // Once it is durable they are answered at once.
    assert!(matches!(witness.submit(&log.request(0, 5), time(NOW)), Submitted::Answered(Outcome::Conflict { .. })));
}

#[test]
fn a_full_queue_says_no_and_changes_nothing() {
    let log = TestLog::new("log.example/one");
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&disk, &keys, [7; 32], 1 << 20).unwrap();
    let mut options = WitnessOptions::default();
    options.queue.answers = 2;
    let (witness, _) = Witness::open(&disk, keys, list(&[&log]), options).unwrap();
    let _one = pending(witness.submit(&log.request(0, 1), time(NOW)));
    let _two = pending(witness.submit(&log.request(1, 2), time(NOW)));
    assert!(matches!(witness.submit(&log.request(2, 3), time(NOW)), Submitted::Answered(Outcome::Overloaded)));
    assert!(matches!(witness.submit(&log.request(0, 3), time(NOW)), Submitted::Answered(Outcome::Overloaded)));
    assert!(witness.commit());
    assert!(matches!(witness.add_checkpoint(&log.request(2, 3), time(NOW)), Outcome::Signed(_)));
}

#[test]
fn one_log_cannot_fill_the_queue() {
    let logs = [TestLog::new("log.example/one"), TestLog::new("log.example/two")];
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&disk, &keys, [7; 32], 1 << 20).unwrap();
    let mut options = WitnessOptions::default();
    options.queue.answers_of_a_log = 2;
    let (witness, _) = Witness::open(&disk, keys, list(&logs.each_ref()), options).unwrap();
    {
        let _one = pending(witness.submit(&logs[0].request(0, 1), time(NOW)));
        let _two = pending(witness.submit(&logs[0].request(0, 2), time(NOW)));
        for request in [logs[0].request(1, 2), logs[0].request(0, 2), logs[0].request(1, 1)] {
            assert!(matches!(witness.submit(&request, time(NOW)), Submitted::Answered(Outcome::LogOverloaded)));
        }
        let other = pending(witness.submit(&logs[1].request(0, 1), time(NOW)));
        assert!(witness.commit());
        assert!(other.now().is_some());
        // The share is given back; what follows is refused, and counted, by what is durable.
        assert!(matches!(witness.add_checkpoint(&logs[0].request(1, 2), time(NOW)), Outcome::Signed(_)));
    }
    // A log with much to write has its own bytes.
    let mut options = WitnessOptions::default();
    options.queue.bytes_of_a_log = 400;
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&disk, &keys, [7; 32], 1 << 20).unwrap();
    let (witness, _) = Witness::open(&disk, keys, list(&logs.each_ref()), options).unwrap();
    let _one = pending(witness.submit(&logs[0].request(0, 1), time(NOW)));
    assert!(matches!(witness.submit(&logs[0].request(1, 2), time(NOW)), Submitted::Answered(Outcome::LogOverloaded)));
    assert!(matches!(witness.submit(&logs[1].request(0, 1), time(NOW)), Submitted::Pending(_)));
}

/// An answer without a record holds bytes as well.
#[test]
fn cosignatures_that_are_given_again_are_counted() {
    let log = TestLog::new("log.example/one");
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    create_with_segments(&disk, &both_keys(), [7; 32], 1 << 20).unwrap();
    let mut options = WitnessOptions::default();
    options.queue.bytes = 100_000;
    let (witness, _) = Witness::open(&disk, both_keys(), list(&[&log]), options).unwrap();
    let mut waiting = vec![pending(witness.submit(&log.request(0, 3), time(NOW)))];
    let full = loop {
        match witness.submit(&log.request(3, 3), time(NOW)) {
            Submitted::Pending(answer) => waiting.push(answer),
            Submitted::Answered(outcome) => break outcome,
        }
    };
    // One with an ML-DSA-44 signature has over 3,000.
    assert!(full == Outcome::Overloaded && waiting.len() < 34, "{full:?} after {}", waiting.len());
    assert!(witness.commit());
    let answers: Vec<_> = waiting.into_iter().map(|answer| answer.now().unwrap()).collect();
    assert!(answers.len() > 20 && answers.iter().all(|answer| *answer == answers[0]));
}

/// A cosignature as a client saw it.
struct Seen {
    sent: Instant,
    answered: Instant,
    size: u64,
    fork: bool,
}

/// Many clients on one log, half of them with a fork of it: one root a size, and no smaller size after a larger one.
#[test]
fn many_clients_on_one_log_see_one_history() {
    const CLIENTS: usize = 8;
    const SIZE: u64 = 120;
    let log = TestLog::new("log.example/one");
    let server = Server::start(&[&log]);
    let fork = log.forked(4);
    let seen = Mutex::new(Vec::new());
    let start = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (log, seen, start) = (if number % 2 == 0 { &log } else { &fork }, &seen, &start);
            let mut client = Client::connect(server.address);
            scope.spawn(move || {
                start.wait();
                let (mut old, mut lost) = (0, 0);
                while old < SIZE && lost < 20 {
                    // Steps of different sizes, so that requests overtake each other.
                    let size = (old + 1 + number as u64 % 3).min(SIZE);
                    let sent = Instant::now();
                    let answer = client.post("/add-checkpoint", &log.request(old, size));
                    match answer.status {
                        200 => {
                            let (answered, fork) = (Instant::now(), number % 2 == 1);
                            seen.lock().unwrap().push(Seen { sent, answered, size, fork });
                            old = size;
                        }
                        409 => old = answer.text().trim().parse().unwrap(),
                        422 => lost += 1,
                        status => panic!("{status}: {}", answer.text()),
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let mut roots = BTreeMap::new();
    for cosigned in &seen {
        let tree = if cosigned.fork { &fork.tree } else { &log.tree };
        let root = tree.root(cosigned.size);
        assert_eq!(*roots.entry(cosigned.size).or_insert(root), root, "two roots of size {}", cosigned.size);
        for later in seen.iter().filter(|later| later.sent > cosigned.answered) {
            assert!(later.size >= cosigned.size, "{} after {}", later.size, cosigned.size);
        }
    }
    assert_eq!(server.size(&log), SIZE);
    assert!(seen.len() > 30, "{}", seen.len());
}

/// Anybody may offer a public checkpoint: within some seconds nothing is signed or written for it.
#[test]
fn the_same_checkpoint_is_not_cosigned_anew_at_once() {
    let log = TestLog::new("log.example/one");
    let disk = SimDisk::default();
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    create_with_segments(&dynamic, &both_keys(), [7; 32], 1 << 20).unwrap();
    let (witness, _) = Witness::open(&dynamic, both_keys(), list(&[&log]), WitnessOptions::default()).unwrap();
    let first = witness.add_checkpoint(&log.request(0, 3), time(NOW));
    assert!(matches!(first, Outcome::Signed(_)));
    disk.plan(None);
    for later in [0, 1, 4] {
        assert_eq!(witness.add_checkpoint(&log.request(3, 3), time(NOW + later)), first, "{later}");
    }
    assert!(disk.ops().is_empty(), "{:?}", disk.ops());
    // A log at rest has it cosigned anew, and the next ones get that.
    let second = witness.add_checkpoint(&log.request(3, 3), time(NOW + 5));
    assert!(matches!(&second, Outcome::Signed(_)) && second != first);
    assert_eq!(witness.add_checkpoint(&log.request(3, 3), time(NOW + 9)), second);
    // Also after a restart, and not before it is durable.
    drop(witness);
    let (witness, _) = Witness::open(&dynamic, both_keys(), list(&[&log]), WitnessOptions::default()).unwrap();
    assert_eq!(witness.add_checkpoint(&log.request(3, 3), time(NOW + 9)), second);
    let (grown, again) = (log.request(3, 4), log.request(4, 4));
    let grown = pending(witness.submit(&grown, time(NOW + 9)));
    let again = pending(witness.submit(&again, time(NOW + 9)));
    assert!(witness.commit());
    assert_eq!(grown.now(), again.now());
    // Other lines below the tree are another text.
    let extended = Note::sign(&format!("{}more\n", log.text(4)), &log.key).unwrap().to_string();
    let Outcome::Signed(_) = witness.add_checkpoint(&request(4, &[], &extended), time(NOW + 9)) else { panic!() };
    assert!(witness.checkpoint(&log.hash()).unwrap().starts_with(&extended));
}

/// Who offers a checkpoint with fewer of the log's signatures takes none away.
#[test]
fn signatures_of_the_log_stay_under_the_same_text() {
    let log = TestLog::new("log.example/one");
    let second = ml_dsa_key("log.example/one", "second");
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&disk, &keys, [7; 32], 1 << 20).unwrap();
    let listed = LogList::parse(format!("{}log {}\n", log.line(), second.vkey()).as_bytes()).unwrap();
    let (witness, _) = Witness::open(&disk, keys, listed, WitnessOptions::default()).unwrap();
    let checkpoint =
        Checkpoint::new(Origin::parse("log.example/one").unwrap(), TreeSize::new(3), log.tree.root(3)).unwrap();
    let by_second = second.sign_checkpoint(&checkpoint, time(77)).unwrap().to_string();
    let has_signed = |expected: [bool; 2]| {
        let note = witness.checkpoint(&log.hash()).unwrap();
        let note = Note::parse(note.as_bytes()).unwrap();
        let has = |key: &Vkey| {
            let key = NoteVerifier::new(key.clone()).unwrap();
            note.signatures().iter().any(|line| key.is_named_in(line) && key.verify(note.text(), line).is_some())
        };
        assert_eq!([has(log.key.vkey()), has(second.vkey())], expected);
        assert!(has(ed25519_key().vkey()));
    };
    for (old, note, now, expected) in [
        (0, log.checkpoint(3), NOW, [true, false]),
        // A key that is new is news, however soon.
        (3, by_second.clone(), NOW, [true, true]),
        (3, log.checkpoint(3), NOW + 1, [true, true]),
        (3, log.checkpoint(3), NOW + 60, [true, true]),
        (3, log.checkpoint(5), NOW + 70, [true, false]),
    ] {
        let size = note.lines().nth(1).unwrap().parse().unwrap();
        let outcome = witness.add_checkpoint(&request(old, &log.tree.proof(old, size), &note), time(now));
        assert!(matches!(outcome, Outcome::Signed(_)), "{outcome:?}");
        has_signed(expected);
    }
}

/// Logs do not wait for each other, and share their syncs.
#[test]
fn many_logs_share_batches() {
    let logs: Vec<_> = (0..200).map(|number| TestLog::new(&format!("log.example/{number}"))).collect();
    let disk = SimDisk::default();
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&dynamic, &keys, [7; 32], 1 << 20).unwrap();
    let all: Vec<_> = logs.iter().collect();
    let (witness, _) = Witness::open(&dynamic, keys, list(&all), WitnessOptions::default()).unwrap();
    disk.plan(None);
    let waiting: Vec<_> = logs.iter().map(|log| pending(witness.submit(&log.request(0, 3), time(NOW)))).collect();
    assert!(witness.commit());
    assert!(waiting.into_iter().all(|answer| matches!(answer.now(), Some(Outcome::Signed(_)))));
    let syncs = disk.ops().iter().filter(|(kind, _)| kind.starts_with("sync")).count();
    assert_eq!(syncs, 1);
}
