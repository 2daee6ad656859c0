//! Ed25519, signed notes, checkpoints, cosignatures, tiles, bundles, proofs and policies: bytes in, verdicts out.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and one that is skipped says so"
)]

#[path = "../common/mod.rs"]
mod common;

mod checkpoints;
mod cosignatures;
mod ed25519;
mod mirror;
mod notes;
mod policies;
mod proofs;
mod vectors;
mod vkeys;
mod witness;

use std::fs;
use std::path::PathBuf;

use common::shared;
use serde_json::Value;
use soulchain::encoding::b64_decode;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{
    EMPTY_ROOT, LeafIndex, Subtree, TreeSize, leaf_hash, root_of_perfect, subtree_consistency_plan,
};
use soulchain::tlog::{
    AddCheckpointRequest, AddEntriesHeader, Arrived, Checkpoint, Cosigned, Cosigner, Ed25519Signer, KeyId, KeyName,
    LogSubtree, MAX_CONSISTENCY_LEN, MAX_NOTE_LEN, MAX_PACKAGE_LEN, MAX_SIGNATURES, MAX_TICKET_LEN,
    MAX_WITNESS_REQUEST_LEN, MirrorInfo, Note, NoteSignature, NoteSigner as _, NoteVerifier, Origin, Package,
    PackageRange, Policy, PolicyFault, SignSubtreeRequest, SignedCheckpoint, Timestamp, TimestampedSignature,
    TlogError, TlogProof, VerifyError, Vkey, VkeyType, parse_signature_lines, parse_size_body, sign_checkpoint,
    signature_lines, size_body,
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

fn ml_dsa(of: &str, number: u8) -> Cosigner {
    Cosigner::ml_dsa_from_seed(name(of), &[number; 32]).unwrap()
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

/// The signature of the log's Ed25519 key.
fn log_line() -> NoteSignature {
    signed().note().signatures()[0].clone()
}

/// The checkpoint with cosignatures of these witnesses at these times.
fn cosigned(by: &[(u8, u64)]) -> SignedCheckpoint {
    let mut signed = signed();
    for (number, time) in by {
        let signature = witness(*number).cosign(signed.claim(), seconds(*time));
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
