//! Proofs: bytes in, verdicts out (formats.md §8).

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and one that is skipped says so"
)]

#[path = "../common/mod.rs"]
mod common;

mod built;
mod cases;
mod extra;
mod forms;
mod mutation;
mod own_log;

use std::fs;

use common::shared;
use serde_json::{Value as Json, json};
use soulchain::encoding::{b64_decode, b64_encode};
use soulchain::soul::Identity;
use soulchain::tlog::Policy;
use soulchain::verify::{Asked, Check, Failure, Request, Shown, Verdict, verify};

/// The cases of the vectors, or `None` where those are not at hand.
fn cases() -> Option<Vec<Json>> {
    let bytes = file("cases.json")?;
    let cases: Json = serde_json::from_slice(&bytes).unwrap();
    Some(cases["cases"].as_array().unwrap().clone())
}

/// A file that lies beside the cases.
fn file(name: &str) -> Option<Vec<u8>> {
    let Some(path) = shared("vectors/soulchain/proofs") else {
        eprintln!("skipped: vectors/soulchain/proofs is not at hand");
        return None;
    };
    Some(fs::read(path.join(name)).unwrap())
}

fn policy(name: &str) -> Option<Policy> {
    Some(Policy::parse(&file(name)?).unwrap())
}

/// The check that a case fails, or what it shows.
fn run(case: &Json, policy: &Policy, proof: &[u8]) -> Result<Verdict, Failure> {
    verify(&Request {
        now_seconds: case["now"].as_u64(),
        max_age_seconds: case["max_age"].as_u64(),
        name: case["name_asked"].as_str(),
        identity: case["identity_asked"].as_str().map(|hex| Identity::from_hex(hex).unwrap()),
        origin: case["origin_asked"].as_str(),
        state_asked: case["state_asked"].as_bool().unwrap_or_default(),
        ..Request::new(policy, proof)
    })
}

/// What a verdict shows, as the vectors write it.
fn shows(verdict: &Verdict) -> Json {
    let mut out = json!({
        "origin": verdict.origin().as_str(),
        "size": verdict.size().get(),
        "kind": verdict.shown().kind(),
    });
    if let Some(time) = verdict.as_of() {
        out["as_of"] = time.get().into();
    }
    let members = match verdict.shown() {
        Shown::Link(link) => {
            let mut members = json!({
                "index": link.index.get(),
                "identity": link.identity.to_hex(),
                "curr": link.curr.to_hex(),
                "seqno": link.header.seqno.get(),
                "type": link.header.link_type.as_str(),
                "outcome": link.header.outcome as u8,
                "disclosed": link.is_disclosed(),
                "signature": link.is_signed().then_some(true),
                "key": link.key.map(soulchain::verify::KeyProven::as_str),
            });
            if let Some(state) = &link.state {
                members["status"] = state.record.standing.status.name().into();
                members["verified"] = state.record.standing.verified.into();
                members["log_time_ms"] = state.trailer.log_time.get().into();
            }
            members
        }
        Shown::State(state) => {
            let (record, standing) = (&state.record, &state.record.standing);
            json!({
                "identity": record.identity.to_hex(),
                "name": standing.name,
                "domains": standing.domains,
                "status": standing.status.name(),
                "verified": standing.verified,
                "seqno": record.head.seqno.get(),
                "head": record.head.curr.to_hex(),
                "evidence": {
                    "epoch": standing.evidence.epoch, "r": standing.evidence.r, "s": standing.evidence.s,
                },
                "log_time_ms": state.trailer.log_time.get(),
            })
        }
        Shown::Absent(absent) => {
            let (name, identity) = match &absent.asked {
                Asked::Name(name) => (Some(name.clone()), None),
                Asked::Identity(identity) => (None, Some(identity.to_hex())),
            };
            json!({ "name": name, "identity": identity, "log_time_ms": absent.trailer.log_time.get() })
        }
    };
    out.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    out
}

/// A proof file in the parts that tests change.
#[derive(Clone)]
struct Parts {
    head: String,
    extra: Vec<u8>,
    tail: String,
}

impl Parts {
    fn of(proof: &[u8]) -> Self {
        let text = core::str::from_utf8(proof).unwrap();
        let (head, rest) = text.split_once("extra ").unwrap();
        let (extra, tail) = rest.split_once('\n').unwrap();
        Self { head: head.to_owned(), extra: b64_decode(extra).unwrap(), tail: tail.to_owned() }
    }

    fn to_bytes(&self) -> Vec<u8> {
        format!("{}extra {}\n{}", self.head, b64_encode(&self.extra), self.tail).into_bytes()
    }

    /// The same proof with `extra` changed as JSON.
    fn edit(&self, change: impl FnOnce(&mut Json)) -> Self {
        let mut json = serde_json::from_slice(&self.extra).unwrap();
        change(&mut json);
        Self { extra: serde_json_canonicalizer::to_vec(&json).unwrap(), ..self.clone() }
    }
}

/// The check that fails.
fn fails(request: &Request<'_>) -> Check {
    verify(request).unwrap_err().check
}
