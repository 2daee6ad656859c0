//! What monitors and operators read.

use soulchain::encoding::hex_encode;
use soulchain::tlog::{Note, NoteVerifier};

use super::log::{TestLog, key, request};
use super::server::{Server, both_keys};

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
    for path in [path(&silent), path(&log).to_uppercase(), "/00/checkpoint".into(), "/nothing".into()] {
        assert_eq!(server.client().get(&path).status, 404, "{path}");
    }
}

#[test]
fn a_log_that_is_listed_no_more_is_still_shown_and_not_forgotten() {
    let log = TestLog::new("log.example/one");
    let server = Server::start(&[&log]);
    server.grow(&log, 0, 5);
    server.witness.set_logs(soulchain::witness::LogList::default());
    server.refuses(&log, 404, &log.request(5, 6));
    assert!(server.witness.checkpoint(&log.hash()).is_some());
    server.witness.set_logs(super::server::list(&[&log]));
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
        "soulchain_witness_add_checkpoint_seconds_bucket{le=\"0.001\"} ",
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }
}
