//! What a relying party pays for a proof: all of its checks, and the signatures in it alone.
//!
//! `SOULCHAIN_PROOF` names a proof that a log without witnesses gave, `SOULCHAIN_POLICY` the policy that accepts it. Three
//! cosignatures are put under it, and its length is told. Without them nothing is measured.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench program")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use soulchain::ed25519::{SigningKey, verify as verify_signature};
use soulchain::tlog::{Cosigner, KeyName, Policy, Timestamp, TlogProof};
use soulchain::verify::{Request, verify};

/// Witnesses under the checkpoint, all of which the policy wants.
const WITNESSES: u8 = 3;

fn proofs(c: &mut Criterion) {
    let file = |name| std::env::var_os(name).map(|path| std::fs::read(path).unwrap());
    let (Some(proof), Some(policy)) = (file("SOULCHAIN_PROOF"), file("SOULCHAIN_POLICY")) else {
        println!("skipped: SOULCHAIN_PROOF and SOULCHAIN_POLICY are not set");
        return;
    };
    let (proof, policy) = witnessed(&proof, &String::from_utf8(policy).unwrap());
    println!("the proof has {} bytes, {WITNESSES} cosignatures among them", proof.len());
    let request = Request::new(&policy, proof.as_bytes());
    c.bench_function("a proof with its signatures", |b| b.iter(|| verify(black_box(&request)).unwrap()));
    let key = SigningKey::from_seed(&[1; 32]);
    let (public, message) = (*key.public().as_bytes(), [2; 150]);
    let signature = key.sign(&message);
    let all = 1 + usize::from(WITNESSES);
    c.bench_function(&format!("{all} signatures alone"), |b| {
        b.iter(|| (0..all).all(|_| verify_signature(black_box(&public), black_box(&message), &signature)));
    });
}

/// The proof with cosignatures, and the policy that wants them.
fn witnessed(proof: &[u8], policy: &str) -> (String, Policy) {
    let proof = TlogProof::parse(proof).unwrap();
    let mut checkpoint = proof.checkpoint().clone();
    let mut lines: Vec<String> = policy.lines().filter(|line| line.starts_with("log ")).map(Into::into).collect();
    for number in 1..=WITNESSES {
        let cosigner =
            Cosigner::from_seed(KeyName::parse(&format!("witness.example/w{number}")).unwrap(), &[number; 32]);
        let signature = cosigner.cosign(checkpoint.claim(), Timestamp::new(1_800_000_000).unwrap());
        checkpoint.add_signature(signature).unwrap();
        lines.push(format!("witness w{number} {}", cosigner.vkey()));
    }
    lines.push(format!("group all all w1 w2 w{WITNESSES}\nquorum all\n"));
    let extra = proof.extra().map(<[u8]>::to_vec);
    let proof = TlogProof::new(extra, proof.index(), proof.path().to_vec(), checkpoint).unwrap();
    (proof.to_string(), Policy::parse(lines.join("\n").as_bytes()).unwrap())
}

criterion_group!(benches, proofs);
criterion_main!(benches);
