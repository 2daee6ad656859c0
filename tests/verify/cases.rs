//! The cases of the vectors, and what the verifier tells of the way to each.

use serde_json::Value as Json;
use soulchain::verify::{Check, Passed};

use super::{cases, file, policy, run, shows};

#[test]
fn every_case_of_the_vectors() {
    let Some(cases) = cases() else { return };
    assert_eq!(cases.len(), 142);
    let mut wrong = Vec::new();
    for case in &cases {
        let (name, proof) = (text(case, "name"), file(text(case, "file")).unwrap());
        let judged = run(case, &policy(text(case, "policy")).unwrap(), &proof);
        let as_told = match (&judged, case["fails"].as_str()) {
            (Ok(verdict), None) => shows(verdict) == case["shows"],
            (Err(failure), Some(check)) => failure.check.as_str() == check,
            _ => false,
        };
        if !as_told {
            wrong.push(format!("{name}: {:?}", judged.map(|verdict| shows(&verdict).to_string())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A proof passes its checks in the order of the table, each at most once; what it fails comes after all that it passed.
#[test]
fn checks_are_told_in_their_order() {
    let Some(cases) = cases() else { return };
    let mut failed = std::collections::BTreeSet::new();
    for case in &cases {
        let judged = run(case, &policy(text(case, "policy")).unwrap(), &file(text(case, "file")).unwrap());
        let (passed, last) = match &judged {
            Ok(verdict) => (verdict.passed(), None),
            Err(failure) => (failure.passed.as_slice(), Some(failure.check)),
        };
        let checks: Vec<_> = passed.iter().map(|passed| passed.check).chain(last).collect();
        assert!(checks.is_sorted_by(|a, b| a < b), "{}: {checks:?}", case["name"]);
        assert!(passed.iter().all(|passed| !passed.line.is_empty()));
        failed.extend(last);
    }
    assert_eq!(Vec::from_iter(failed), Check::ALL, "each check has a case that fails it");
}

#[test]
fn what_a_person_is_told() {
    let Some(policy) = policy("policy.txt") else { return };
    let told = |name: &str, case: Json| match run(&case, &policy, &file(name).unwrap()) {
        Ok(verdict) => verdict.passed().iter().map(Passed::to_string).collect(),
        Err(failure) => vec![failure.to_string()],
    };
    assert_eq!(
        told("link-key-events-and-state.tlog-proof", serde_json::json!({ "max_age": 60, "now": 1_791_547_208 })),
        [
            "format: a proof of a link with its signer's state",
            "checkpoint: log.example/soul1 signed a tree of 327 entries",
            "quorum: cosigned by w1, w2",
            "age: by a quorum within the last 60 seconds",
            "link: action 14bb053df939506971c2f17e7c825d72b26c44a2baaff9b7223d9925bd240e73",
            "inclusion: entry 286 of 327",
            "body: keeps the rules",
            "trailer: the last leaf, at log time 1791547203000 ms",
            "map: the record is in the trailer's map",
            "record: of the identity, and the link has its place in it",
            "key: live at that index, by the record, and listed by the key events",
            "signature: by key 0a9caf536d18f62fdbdf44a6062276b9e2c0f237d970449515cc73b8a8acbeaf",
            "disputed: not disowned",
        ]
    );
    for (name, line) in [
        ("bad-no-extra.tlog-proof", "format: the proof carries no extra data"),
        ("bad-extra-member.tlog-proof", "format: the extra data: `note` has no place there"),
        ("bad-key-events-257.tlog-proof", "format: the extra data: `key_events` has more than 256 items"),
        ("bad-key-events-next-replaced.tlog-proof", "key: key event 1: it sets a `next` over another"),
        ("bad-disputed.tlog-proof", "disputed: the identity disowns what this key signed from seqno 2 on"),
    ] {
        assert_eq!(told(name, Json::Null), [line]);
    }
}

fn text<'a>(case: &'a Json, member: &str) -> &'a str {
    case[member].as_str().unwrap()
}
