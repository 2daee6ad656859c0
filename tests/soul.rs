//! Links and bodies: bytes to verdict (formats.md §2 to §4, and §5 and §7 as far as a link alone decides).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail and speak as tests do")]

mod common;

#[path = "soul/bodies.rs"]
mod bodies;
#[path = "soul/jcs.rs"]
mod jcs;
#[path = "soul/links.rs"]
mod links;

use common::shared;
use serde_json::Value as Json;
use soulchain::ed25519::SigningKey;
use soulchain::encoding::{UnixMillis, hex_decode};
use soulchain::soul::jcs::Value;
use soulchain::soul::{
    Body, BodyError, ChainPosition, Curr, Draft, FieldFault, Genesis, Identity, KeyEntry, Kid, LogId, Outcome, Roles,
    Seqno, kid,
};

const ORIGIN: &str = "log.example/soul1";

fn draft(position: ChainPosition, signer: u8) -> Draft {
    let ctime = UnixMillis::new(1_770_120_000_000);
    Draft { log_id: log_id(), position, ctime, anchor: None, outcome: Outcome::None, kid: kid_of(signer) }
}

fn later(seqno: u64) -> ChainPosition {
    let curr = Curr::from_bytes([9; 32]);
    ChainPosition { identity: Identity::from_bytes([8; 32]), seqno: Seqno::new(seqno), prev: curr, auth: curr }
}

fn genesis(signer: u8) -> Body {
    let admin = KeyEntry::new(*key(signer).public().as_bytes(), Roles { act: true, admin: true });
    Body::Genesis(Genesis {
        name: None,
        keys: vec![admin],
        next: None,
        guardians: None,
        controller: None,
        custodian: None,
        pop: Vec::new(),
    })
}

fn action() -> Body {
    Body::Action(Some(Value::object([("action", "mail.send".into()), ("v", Value::Int(1))])))
}

fn field(path: &str, fault: FieldFault) -> BodyError {
    BodyError::Field { path: path.to_owned(), fault }
}

fn log_id() -> LogId {
    LogId::of_origin(ORIGIN)
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn kid_of(number: u8) -> Kid {
    kid(key(number).public().as_bytes())
}

fn vectors(name: &str) -> Option<Json> {
    let Some(path) = shared(&format!("vectors/soulchain/{name}")) else {
        skipped(name);
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn skipped(what: &str) {
    println!("skipped: {what} is not at hand");
}

fn text<'a>(case: &'a Json, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

fn bytes(case: &Json, name: &str) -> Vec<u8> {
    hex_decode(text(case, name)).unwrap()
}
