//! The command line as transcripts: the real binary against a real node.
//!
//! A transcript lists commands (`$ soulchain …`), what each prints to standard output, then to standard error (`! …`),
//! and its exit code (`? 2`; none is 0). `[..]` stands for any text within a line; the rest is compared as it is.
#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests fail by panicking")]

mod identity_story;
mod import;
mod interrupted;
mod node;
mod transcript;

use node::Node;

#[test]
fn an_agents_life() {
    Node::start().check(include_str!("agent.transcript"));
}

#[test]
fn what_an_auditor_fetches() {
    Node::start().check(include_str!("log.transcript"));
}

#[test]
fn a_log_that_is_audited() {
    Node::start().check(include_str!("audit.transcript"));
}

#[test]
fn commands_that_are_run() {
    Node::start().check(include_str!("run.transcript"));
}

#[test]
fn traces_that_are_imported() {
    let node = Node::start();
    node.write("traces.jsonl", &import::traces());
    node.check(include_str!("import.transcript"));
}

#[test]
fn load_that_is_measured() {
    Node::start().check(include_str!("bench.transcript"));
}

#[test]
fn what_the_demo_shows() {
    Node::start().check(include_str!("demo.transcript"));
}

#[test]
fn what_cannot_be_done() {
    Node::start().check(include_str!("errors.transcript"));
}
