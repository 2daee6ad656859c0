//! A node that cannot take writes says so, and goes on answering what it can.

use soulchain::log::PoolLimits;

use super::agent::{Agent, Signed};
use super::support::{Server, Setup};

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
    runtime.block_on(server.node.engine().flush()).unwrap();
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
    assert!(server.get("/metrics").text().contains("\nsoulchain_latched 1"));
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
