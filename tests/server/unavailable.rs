//! A node that cannot take writes says so, and goes on answering what it can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use soulchain::log::PoolLimits;

use super::agent::{Agent, Signed};
use super::platform::{FillingDisk, JumpyClock};
use super::support::{Answer, Server, Setup};

#[test]
fn a_full_pool_refuses_at_once() {
    let pool = PoolLimits { entries: 2, bytes: 1 << 20 };
    let server = Server::with(Setup { pool, ..Setup::default() });
    let mut agent = Agent::registered(&server, "crowded");
    let links: Vec<Signed> = (0..3).map(|_| agent.empty()).collect();
    let before = server.size_and_root();
    let answer = server.submit(&links);
    answer.problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(server.size_and_root(), before);
    assert_eq!(server.append(&links[..2]).len(), 2);
    server.audit();
}

#[test]
fn a_node_that_has_latched_refuses_writes_and_goes_on_reading() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    server.flush();
    let mut agent = Agent::registered(&server, "before");
    // The files of the tree cannot be written any more: a folder of theirs has become a file.
    let tiles = server.directory.path().join("data/tile");
    std::fs::rename(&tiles, server.directory.path().join("moved")).unwrap();
    std::fs::write(&tiles, b"").unwrap();
    assert!(runtime.block_on(server.node.engine().flush()).is_err());
    let next = agent.empty();
    let answer = server.submit(std::slice::from_ref(&next));
    answer.problem(503, "latched");
    assert!(answer.header("retry-after").is_some());
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (503, Some(false)));
    assert!(ready.json()["reason"].as_str().unwrap().starts_with("latched"));
    assert_eq!(server.get("/healthz").status, 200);
    shows_in_time(&server, "\nsoulchain_latched 1");
    // What is not in the files yet is still read.
    assert_eq!(server.json("/v1/agents/before")["head"]["seqno"], 1);
    // Repaired and opened again, it has everything that it ever acknowledged.
    let directory = server.stop();
    std::fs::remove_file(&tiles).unwrap();
    std::fs::rename(directory.path().join("moved"), &tiles).unwrap();
    let server = Server::open(directory, Setup::default());
    assert_eq!(server.append(&[next]).len(), 1);
    server.audit();
}

/// The texts that docs/operating.md tells an operator to look for.
#[track_caller]
fn refused_for(answer: &Answer, code: &str, detail: &str, retry_after: &str) {
    assert_eq!(answer.problem(503, code)["detail"], detail);
    assert_eq!(answer.header("retry-after"), Some(retry_after));
}

#[test]
fn a_clock_that_jumped_is_told_and_nothing_is_logged() {
    let clock = Arc::new(JumpyClock::default());
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::open_on(directory, Setup::default(), clock.platform());
    let mut agent = Agent::registered(&server, "timely");
    let before = server.size_and_root();
    let published = server.published(before.0);
    clock.set_jumped(true);
    let links = [agent.empty(), agent.beside(r#"{"v":1}"#)];
    for answer in [server.submit(&links), server.append_binary(&links)] {
        refused_for(&answer, "latched", "the clock of the node has jumped", "60");
        assert_eq!(answer.json()["hint"], "send the same links again later");
    }
    let genesis = Agent::new(server.node.log_id(), "late").genesis();
    refused_for(&server.submit(&[genesis]), "latched", "the clock of the node has jumped", "60");
    assert_eq!(server.size_and_root(), before);
    assert_eq!(server.published(before.0).verified().checkpoint().size(), published.verified().checkpoint().size());
    assert_eq!(server.json("/v1/agents/timely")["head"]["seqno"], 1);
    // The engine goes on by itself.
    shows_in_time(&server, "\nsoulchain_latched 0");
    server.audit();
    // The operator has set it right.
    clock.set_jumped(false);
    assert_eq!(server.append(&links), [before.0, before.0 + 1]);
    server.audit();
}

#[test]
fn a_full_disk_is_told_and_nothing_is_logged() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "roomy");
    let before = server.size_and_root();
    let directory = server.stop();
    let disk = FillingDisk::at(&directory.path().join("data"));
    let server = Server::open_on(directory, Setup::default(), disk.platform());
    disk.set_full(true);
    await_readiness(&server, 503);
    assert_eq!(server.get("/readyz").json()["reason"], "too little room on disk");
    let links = [agent.empty(), agent.beside(r#"{"v":1}"#)];
    for answer in [server.submit(&links), server.append_binary(&links)] {
        refused_for(&answer, "overloaded", "the node has too little room on disk", "30");
        assert_eq!(answer.json()["hint"], "try again later");
    }
    assert_eq!(server.size_and_root(), before);
    assert_eq!(server.json("/v1/agents/roomy")["head"]["seqno"], 1);
    server.audit();
    disk.set_full(false);
    await_readiness(&server, 200);
    assert_eq!(server.append(&links), [before.0, before.0 + 1]);
    server.audit();
}

/// A gauge is of the process: between setting and showing it another test's server may set it.
#[track_caller]
fn shows_in_time(server: &Server, gauge: &str) {
    let started = Instant::now();
    while !server.get("/metrics").text().contains(gauge) {
        assert!(started.elapsed() < Duration::from_secs(20), "{gauge}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The room on disk is looked at once a second.
fn await_readiness(server: &Server, status: u16) {
    for _ in 0..2_000 {
        if server.get("/readyz").status == status {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("/readyz does not come to {status}");
}
