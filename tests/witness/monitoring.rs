//! What monitors and operators read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soulchain::clock::{Clock, ManualClock, Reading};
use soulchain::encoding::{UnixMillis, hex_encode};
use soulchain::storage::Disk;
use soulchain::tlog::{Note, NoteVerifier};
use soulchain::witness::{MAX_CLOCK_LEAD_SECONDS, WitnessOptions, create_with_segments};

use super::disk::SimDisk;
use super::log::{TestLog, key, request};
use super::server::{NOW, Server, both_keys, list};

#[test]
fn the_newest_checkpoint_is_served() {
    let (log, silent) = (TestLog::new("log.example/one"), TestLog::new("log.example/silent"));
    let server = Server::start(&[&log, &silent]);
    let path = |log: &TestLog| format!("/{}/checkpoint", hex_encode(&log.hash()));
    assert_eq!(server.client().get(&path(&log)).status, 404);
    server.add(&request(9, &[], &silent.checkpoint(9)));
    for (old, size) in [(0, 3), (3, 8), (8, 8)] {
        // Signatures of others are left out, the same one twice as well.
        let mut sent = Note::sign(&log.text(size), &key("stranger.example", "stranger")).unwrap();
        let own = Note::parse(log.checkpoint(size).as_bytes()).unwrap().signatures()[0].clone();
        sent.add_signature(own.clone()).unwrap();
        sent.add_signature(own).unwrap();
        let cosigned = server.add(&request(old, &log.tree.proof(old, size), &sent.to_string()));
        let served = server.client().get(&path(&log));
        assert_eq!(served.status, 200);
        assert!(served.has_header("content-type: text/plain; charset=utf-8"));
        assert_eq!(served.text(), format!("{}{}", log.checkpoint(size), cosigned.text()));
        let own = both_keys().vkeys().cloned().collect::<Vec<_>>();
        let keys: Vec<_> =
            own.into_iter().chain([log.key.vkey().clone()]).map(|k| NoteVerifier::new(k).unwrap()).collect();
        assert_eq!(Note::parse(&served.body).unwrap().verify(&keys).unwrap().len(), 3);
    }
    for path in [
        path(&silent),
        format!("/{}/checkpoint", hex_encode(&log.hash()).to_uppercase()),
        "/00/checkpoint".into(),
        "/nothing".into(),
    ] {
        assert_eq!(server.client().get(&path).status, 404, "{path}");
    }
    assert_eq!(server.client().post(&path(&log), b"").status, 405);
}

#[test]
fn a_log_that_is_listed_no_more_is_still_shown_and_not_forgotten() {
    let log = TestLog::new("log.example/one");
    let server = Server::start(&[&log]);
    server.grow(&log, 0, 5);
    server.witness.set_logs(soulchain::witness::LogList::default());
    server.refuses(&log, 404, &log.request(5, 6));
    assert!(server.witness.checkpoint(&log.hash()).is_some());
    server.witness.set_logs(list(&[&log]));
    server.refuses(&log, 409, &log.request(0, 6));
    server.grow(&log, 5, 6);
}

#[test]
fn health_and_metrics() {
    let log = TestLog::new("log.example/one");
    let server = Server::start(&[&log]);
    server.grow(&log, 0, 5);
    server.add(b"");
    let mut client = server.client();
    assert_eq!(client.get("/healthz").text(), "ok\n");
    let metrics = client.get("/metrics");
    for line in [
        "soulchain_witness_requests_total{route=\"add-checkpoint\",status=\"200\"} ",
        "soulchain_witness_requests_total{route=\"add-checkpoint\",status=\"400\"} ",
        "soulchain_witness_cosigned_total ",
        "soulchain_witness_logs ",
        "soulchain_witness_remembered_logs ",
        "soulchain_witness_unwritten_evidence 0\n",
        "soulchain_witness_no_evidence 0\n",
        "soulchain_witness_dropped_evidence_total 0\n",
        "soulchain_witness_add_checkpoint_seconds_bucket{le=\"0.001\"} ",
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }
}

#[test]
fn a_clock_that_does_not_follow_what_was_cosigned_is_not_signed_with() {
    let log = TestLog::new("log.example/one");
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    create_with_segments(&disk, &both_keys(), [7; 32], 64 << 10).unwrap();
    let start = |is_clock_right, now: u64| {
        let options = WitnessOptions { is_clock_right, ..WitnessOptions::default() };
        let server = Server::on(&disk, list(&[&log]), both_keys(), options);
        server.clock.set(UnixMillis::new(now * 1000));
        server
    };
    start(false, NOW).grow(&log, 0, 3);
    for (now, is_clock_right) in
        [(NOW - 1, false), (NOW + MAX_CLOCK_LEAD_SECONDS + 1, false), (NOW + MAX_CLOCK_LEAD_SECONDS + 1, true)]
    {
        let server = start(is_clock_right, now);
        let (answer, health) = (server.add(&log.request(3, 3)), server.client().get("/healthz"));
        let expected = if is_clock_right { 200 } else { 503 };
        assert_eq!((answer.status, health.status), (expected, expected), "{now} {answer:?}");
        if !is_clock_right {
            assert!(health.text().starts_with("clock: ") && health.text().contains(&NOW.to_string()), "{health:?}");
            // Once it is set right the witness goes on by itself.
            server.clock.set(UnixMillis::new(NOW * 1000));
            assert_eq!(server.client().get("/healthz").status, 200);
        }
    }
    // The time that was confirmed is the newest now.
    assert_eq!(start(false, NOW).add(&log.request(3, 4)).status, 503);
}

/// A clock that jumps when it is told to.
struct Jumping(ManualClock, AtomicBool);

impl Clock for Jumping {
    fn read(&self, least: UnixMillis) -> Reading {
        if self.1.load(Ordering::SeqCst) { Reading::Jumped } else { self.0.read(least) }
    }
}

#[test]
fn health_tells_of_the_clock_and_of_a_full_disk() {
    let log = TestLog::new("log.example/one");
    let sim = SimDisk::default();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    create_with_segments(&disk, &both_keys(), [7; 32], 64 << 10).unwrap();
    let clock = Arc::new(Jumping(ManualClock::default(), AtomicBool::new(false)));
    clock.0.set(UnixMillis::new(NOW * 1000));
    let options = WitnessOptions::default();
    let server = Server::with_clock(&disk, list(&[&log]), both_keys(), options, Arc::clone(&clock) as _);
    server.grow(&log, 0, 1);
    clock.1.store(true, Ordering::SeqCst);
    let health = server.client().get("/healthz");
    assert!(health.status == 503 && health.text().starts_with("clock: "), "{health:?}");
    assert_eq!(server.add(&log.request(1, 2)).status, 503);
    clock.1.store(false, Ordering::SeqCst);
    assert_eq!(server.client().get("/healthz").status, 200);
    // Until a frame finds no room.
    sim.set_full(Some("spare.tmp"));
    let met = AtomicBool::new(false);
    let waits = std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut size = 1;
            while !met.load(Ordering::SeqCst) && size < 60 {
                server.grow(&log, size, size + 1);
                size += 1;
            }
            size
        });
        while server.client().get("/healthz").status == 200 {
            assert!(!waits.is_finished(), "it must find no room sometime");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let health = server.client().get("/healthz");
        assert!(health.text().starts_with("disk: "), "{health:?}");
        met.store(true, Ordering::SeqCst);
        sim.set_full(None);
        waits.join().unwrap()
    });
    assert!(waits > 1);
}
