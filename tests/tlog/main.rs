//! Ed25519, signed notes, checkpoints, cosignatures, tiles, bundles, proofs and policies: bytes in, verdicts out.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and one that is skipped says so"
)]

#[path = "../common/mod.rs"]
mod common;

mod checkpoints;
mod ed25519;
mod notes;
mod policies;
mod proofs;
mod vectors;
mod vkeys;

use std::fs;
use std::path::PathBuf;

use common::shared;
use serde_json::Value;
use soulchain::encoding::b64_decode;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::tlog::{
    Checkpoint, Cosigned, Cosigner, Ed25519Signer, KeyId, KeyName, MAX_NOTE_LEN, MAX_SIGNATURES, Note, NoteSignature,
    NoteSigner as _, NoteVerifier, Origin, Policy, PolicyFault, SignedCheckpoint, Timestamp, TimestampedSignature,
    TlogError, TlogProof, VerifyError, Vkey, VkeyType, sign_checkpoint,
};

const ORIGIN: &str = "log.example/soul1";

fn vectors(path: &str) -> Option<PathBuf> {
    let found = shared(&format!("vectors/{path}"));
    if found.is_none() {
        eprintln!("skipped: vectors/{path} is not at hand");
    }
    found
}

fn json(path: &str) -> Option<Value> {
    vectors(path).map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

fn str_of<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap()
}

fn name(text: &str) -> KeyName {
    KeyName::parse(text).unwrap()
}

fn verifier(vkey: &Vkey) -> NoteVerifier {
    NoteVerifier::new(vkey.clone()).unwrap()
}

fn log_signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(name(ORIGIN), &[200; 32])
}

fn witness(number: u8) -> Cosigner {
    Cosigner::from_seed(name(&format!("witness.example/w{number}")), &[200 + number; 32])
}

fn seconds(time: u64) -> Timestamp {
    Timestamp::new(time).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::new(5), Hash::from_bytes([7; 32])).unwrap()
}

fn signed() -> SignedCheckpoint {
    sign_checkpoint(&checkpoint(), &log_signer()).unwrap()
}

/// The checkpoint with cosignatures of these witnesses at these times.
fn cosigned(by: &[(u8, u64)]) -> SignedCheckpoint {
    let mut signed = signed();
    for (number, time) in by {
        let signature = witness(*number).cosign(signed.note().text(), seconds(*time));
        signed.add_signature(signature).unwrap();
    }
    signed
}

/// A policy of the log and its three witnesses, with these lines below.
fn policy_text(rest: &str) -> String {
    let [w1, w2, w3] = [1, 2, 3].map(witness);
    format!(
        "log {}\nwitness w1 {}\nwitness w2 {}\nwitness w3 {}\n{rest}",
        log_signer().vkey(),
        w1.vkey(),
        w2.vkey(),
        w3.vkey()
    )
}

fn policy(rest: &str) -> Policy {
    Policy::parse(policy_text(rest).as_bytes()).unwrap()
}
