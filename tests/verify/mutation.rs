//! No byte of an accepted proof can be changed so that it shows something else.
//!
//! What may change and be accepted is the lines of keys that the policy does not know. Where a witness's name is changed
//! its cosignature is lost: that makes the quorum fail or the verdict older, never newer.

use serde_json::{Value as Json, json};
use soulchain::tlog::Policy;

use super::{Parts, file, policy, run, shows};

#[test]
fn any_byte_of_the_file() {
    for (name, case) in proofs() {
        let (Some(policy), Some(proof)) = (policy("policy.txt"), file(name)) else { return };
        let expected = shows(&run(&case, &policy, &proof).unwrap());
        let mut accepted = 0;
        for at in 0..proof.len() {
            for flip in [0x01, 0x20] {
                let mut other = proof.clone();
                other[at] ^= flip;
                accepted += check(&case, &policy, &other, &expected, &format!("{name}, byte {at}"));
            }
        }
        assert_eq!(accepted, 0, "{name}: both cosignatures are needed, and no other line is there");
    }
}

#[test]
fn any_byte_of_extra() {
    for (name, case) in proofs() {
        let (Some(policy), Some(proof)) = (policy("policy.txt"), file(name)) else { return };
        let expected = shows(&run(&case, &policy, &proof).unwrap());
        let parts = Parts::of(&proof);
        for at in 0..parts.extra.len() {
            for flip in [0x01, 0x10] {
                let mut other = parts.clone();
                other.extra[at] ^= flip;
                let changed = check(&case, &policy, &other.to_bytes(), &expected, &format!("{name}, byte {at}"));
                assert_eq!(changed, 0, "{name}, byte {at} of extra");
            }
        }
    }
}

/// Cosignatures beyond the quorum: losing one is no failure, and makes nothing newer.
#[test]
fn a_cosignature_lost() {
    let name = "cosignature-ahead.tlog-proof";
    let (Some(policy), Some(proof)) = (policy("policy.txt"), file(name)) else { return };
    let expected = shows(&run(&Json::Null, &policy, &proof).unwrap());
    let signatures = proof.windows(2).rposition(|pair| pair == b"\n\n").unwrap();
    for at in signatures..proof.len() {
        let mut other = proof.clone();
        other[at] ^= 0x01;
        check(&Json::Null, &policy, &other, &expected, &format!("byte {at}"));
    }
}

/// Proofs of each shape, and what is asked.
fn proofs() -> Vec<(&'static str, Json)> {
    vec![
        ("link-body.tlog-proof", Json::Null),
        ("link-genesis-no-state.tlog-proof", Json::Null),
        ("link-key-events-of-recover.tlog-proof", Json::Null),
        ("link-recover.tlog-proof", Json::Null),
        ("state.tlog-proof", json!({ "name_asked": "alice" })),
        ("absent-name.tlog-proof", json!({ "name_asked": "nobody.example" })),
    ]
}

/// Whether the changed proof is accepted, which it may be if it shows the same, as of a time that is no later.
fn check(case: &Json, policy: &Policy, proof: &[u8], expected: &Json, what: &str) -> u32 {
    let Ok(verdict) = run(case, policy, proof) else { return 0 };
    let mut shown = shows(&verdict);
    assert!(shown["as_of"].as_u64() <= expected["as_of"].as_u64(), "{what}");
    shown["as_of"] = expected["as_of"].clone();
    assert_eq!(shown, *expected, "{what}");
    1
}
