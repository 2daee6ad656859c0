//! Requests at once: comparing and persisting are one step, and nothing leaves before it is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Instant;

use soulchain::storage::Disk;
use soulchain::witness::{Outcome, Submitted, Witness, WitnessKeys, WitnessOptions, create_with_segments};

use super::disk::SimDisk;
use super::log::{TestLog, time};
use super::server::{Client, NOW, Server, ed25519_key, list};

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
        assert_eq!(second.now(), Some(Outcome::Conflict { cosigned: soulchain::merkle::TreeSize::new(a) }));
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
