//! One case for each way in which a proof can leave the form, or the question be wrong, that the vectors do not have.

use serde_json::{Value as Json, json};
use soulchain::encoding::{b64_decode, b64_encode};
use soulchain::soul::Identity;
use soulchain::verify::{Check, Failure, MAX_AHEAD_SECONDS, Request, Why, verify};

use super::{Parts, fails, file, policy};

type Change = fn(&mut Json);

/// Every member of a proof, absent, of another kind, in another spelling, or out of place.
#[test]
fn forms_that_no_log_writes() {
    let link: &[(&str, Change)] = &[
        ("no entry", |extra| remove(extra, "entry")),
        ("an entry that is no string", |extra| extra["entry"] = json!(1)),
        ("an entry in base64 for URLs", |extra| extra["entry"] = json!("AX-_")),
        ("an entry without padding", |extra| extra["entry"] = json!("AXM")),
        ("no version", |extra| remove(extra, "v")),
        ("another version", |extra| extra["v"] = json!(2)),
        ("a version in a string", |extra| extra["v"] = json!("1")),
        ("a salt without body", |extra| remove(extra, "body")),
        ("a body without salt", |extra| remove(extra, "salt")),
        ("a salt in capitals", |extra| extra["salt"] = json!("AB".repeat(32))),
        ("a short salt", |extra| extra["salt"] = json!("00".repeat(31))),
        ("a null", |extra| extra["body"] = Json::Null),
        ("key events that are no list", |extra| extra["key_events"] = json!("AXM=")),
        ("a key event that is no string", |extra| extra["key_events"] = json!([1])),
        ("a state that is no object", |extra| extra["state"] = json!([])),
        ("a null state", |extra| extra["state"] = Json::Null),
        ("a state with another member", |extra| extra["state"]["note"] = json!(1)),
        ("no path", |extra| remove(&mut extra["state"], "path")),
        ("a path of hex", |extra| extra["state"]["path"][0] = json!("00".repeat(32))),
        ("a path of short hashes", |extra| extra["state"]["path"][0] = json!("AAAA")),
        ("a path that is too long", |extra| {
            extra["state"]["path"] = json!(vec![extra["state"]["path"][0].clone(); 65]);
        }),
        ("no trailer", |extra| remove(&mut extra["state"], "trailer")),
        ("a record that is no object", |extra| extra["state"]["record"] = json!("{}")),
        ("a record with another member", |extra| extra["state"]["record"]["note"] = json!(1)),
        ("a record without status", |extra| remove(&mut extra["state"]["record"], "status")),
        ("a record of another version", |extra| extra["state"]["record"]["v"] = json!(2)),
        ("a key whose kid is another's", |extra| {
            extra["state"]["record"]["keys"][0]["kid"] = json!("00".repeat(32));
        }),
        ("no map", |extra| remove(&mut extra["state"], "map")),
    ];
    check_forms("link-body.tlog-proof", link);
    check_forms("link-body.tlog-proof", MAP_FORMS);
    check_forms("state.tlog-proof", MAP_FORMS);
    let state: &[(&str, Change)] = &[
        ("no state", |extra| remove(extra, "state")),
        ("a path", |extra| extra["state"]["path"] = json!([])),
        ("a body without entry", |extra| extra["body"] = json!("")),
        ("key events without entry", |extra| extra["key_events"] = json!(["AXM="])),
        ("no version", |extra| remove(extra, "v")),
        ("another version", |extra| extra["v"] = json!(0)),
    ];
    check_forms("state.tlog-proof", state);
}

const MAP_FORMS: &[(&str, Change)] = &[
    ("a map with another member", |extra| extra["state"]["map"]["note"] = json!(1)),
    ("no kind", |extra| remove(&mut extra["state"]["map"], "kind")),
    ("an unknown kind", |extra| extra["state"]["map"]["kind"] = json!("absent")),
    ("a leaf of the key itself", |extra| {
        extra["state"]["map"]["key"] = json!("00".repeat(32));
        extra["state"]["map"]["value"] = json!("00".repeat(32));
    }),
    ("half of another leaf", |extra| {
        extra["state"]["map"]["kind"] = json!("other");
        extra["state"]["map"]["key"] = json!("00".repeat(32));
    }),
    ("a depth of 257", |extra| extra["state"]["map"]["depth"] = json!(257)),
    ("a depth of 65,538", |extra| extra["state"]["map"]["depth"] = json!(65_538)),
    ("a negative depth", |extra| extra["state"]["map"]["depth"] = json!(-1)),
    ("a bitmap that is too long", |extra| extra["state"]["map"]["bitmap"] = json!("c000")),
    ("a bitmap that goes on", |extra| extra["state"]["map"]["bitmap"] = json!("e0")),
    ("a bitmap in capitals", |extra| extra["state"]["map"]["bitmap"] = json!("C0")),
    ("a sibling left over", |extra| {
        extra["state"]["map"]["bitmap"] = json!("80");
    }),
    ("a zero sibling", |extra| extra["state"]["map"]["siblings"][0] = json!("00".repeat(32))),
    ("a short sibling", |extra| extra["state"]["map"]["siblings"][0] = json!("00")),
    ("257 siblings", |extra| extra["state"]["map"]["siblings"] = json!(vec!["11".repeat(32); 257])),
];

fn check_forms(name: &str, changes: &[(&str, Change)]) {
    let (Some(policy), Some(proof)) = (policy("policy.txt"), file(name)) else { return };
    assert!(verify(&Request::new(&policy, &proof)).is_ok());
    let parts = Parts::of(&proof);
    for (why, change) in changes {
        let changed = parts.edit(change).to_bytes();
        assert_ne!(changed, proof, "{name} with {why}");
        assert_eq!(fails(&Request::new(&policy, &changed)), Check::Format, "{name} with {why}");
    }
}

/// What has the form, and is not what it says.
#[test]
fn links_that_do_not_hold() {
    check_changes(
        "link.tlog-proof",
        &[
            ("an empty entry", Check::Link, |extra| extra["entry"] = json!("")),
            ("a trailer for a link", Check::Link, |extra| extra["entry"] = extra["state"]["trailer"].clone()),
            ("another link", Check::Inclusion, |extra| extra["entry"] = entry_of("link-genesis.tlog-proof")),
            ("no trailer's bytes", Check::Trailer, |extra| extra["state"]["trailer"] = json!("AXM=")),
            ("an empty path", Check::Trailer, |extra| extra["state"]["path"] = json!([])),
            ("a path cut short", Check::Trailer, |extra| {
                extra["state"]["path"].as_array_mut().unwrap().pop();
            }),
            ("a key that was retired later", Check::Map, |extra| {
                extra["state"]["record"]["keys"][2]["revoked"] = json!(279);
            }),
            ("a key that is not retired", Check::Map, |extra| {
                remove(&mut extra["state"]["record"]["keys"][2], "revoked");
            }),
        ],
    );
    check_changes("link-body.tlog-proof", &[("an empty body", Check::Body, |extra| extra["body"] = json!(""))]);
    check_changes(
        "link-inline.tlog-proof",
        &[("a body beside the one within", Check::Body, |extra| {
            extra["body"] = json!("eyJ2IjoxfQ==");
            extra["salt"] = json!("00".repeat(32));
        })],
    );
    check_changes(
        "link-key-events.tlog-proof",
        &[
            ("no entry's bytes", Check::Link, |extra| extra["entry"] = json!("AXM=")),
            ("no key event's bytes", Check::Key, |extra| extra["key_events"] = json!([""])),
            ("key events of another", Check::Key, |extra| {
                extra["key_events"] = json!([entry_of("link-registrar.tlog-proof")]);
            }),
        ],
    );
}

#[test]
fn states_that_do_not_hold() {
    check_changes(
        "state.tlog-proof",
        &[
            ("another log time", Check::Trailer, |extra| {
                let mut trailer = b64_decode(extra["state"]["trailer"].as_str().unwrap()).unwrap();
                *trailer.last_mut().unwrap() ^= 1;
                extra["state"]["trailer"] = json!(b64_encode(&trailer));
            }),
            ("another score", Check::Map, |extra| extra["state"]["record"]["evidence"]["r"] = json!(1)),
            ("no domain names", Check::Map, |extra| remove(&mut extra["state"]["record"], "domains")),
            ("a proof of absence", Check::Map, |extra| extra["state"]["map"]["kind"] = json!("empty")),
            ("another sibling", Check::Map, |extra| extra["state"]["map"]["siblings"][0] = json!("11".repeat(32))),
        ],
    );
}

/// A state proof is of the last leaf in its index too, not in its path alone.
#[test]
fn a_state_proof_with_another_index() {
    let (Some(policy), Some(proof)) = (policy("policy.txt"), file("state.tlog-proof")) else { return };
    let text = String::from_utf8(proof).unwrap();
    for index in ["0", "325", "327"] {
        let other = text.replace("index 326\n", &format!("index {index}\n"));
        assert_ne!(other, text);
        assert_eq!(fails(&Request::new(&policy, other.as_bytes())), Check::Trailer, "{index}");
    }
}

fn check_changes(name: &str, changes: &[(&str, Check, Change)]) {
    let (Some(policy), Some(proof)) = (policy("policy.txt"), file(name)) else { return };
    assert!(verify(&Request::new(&policy, &proof)).is_ok());
    for (why, check, change) in changes {
        let changed = Parts::of(&proof).edit(change).to_bytes();
        assert_eq!(fails(&Request::new(&policy, &changed)), *check, "{name} with {why}");
    }
}

#[test]
fn questions_that_a_proof_does_not_answer() {
    let Some(policy) = policy("policy.txt") else { return };
    let (state, absent) = (file("state.tlog-proof").unwrap(), file("absent-name.tlog-proof").unwrap());
    let (state, absent) = (Request::new(&policy, &state), Request::new(&policy, &absent));
    let alice = "67aeeb7b633b3b1a424c5ca1335de052ee50bf5b60be6704a5ec594ec53d348d";
    let alice = Identity::from_hex(alice);
    let both = Request { name: Some("alice"), identity: alice, ..state };
    assert!(verify(&both).is_ok());
    assert_eq!(fails(&Request { name: Some("bob"), ..both }), Check::Record);
    assert_eq!(fails(&Request { identity: Some(Identity::ZERO), ..both }), Check::Record);
    // One proof is of one key of the map.
    let name = Request { name: Some("nobody.example"), ..absent };
    assert!(verify(&name).is_ok());
    assert_eq!(fails(&Request { identity: alice, ..name }), Check::Format);
    // A name is asked for as it is written, and an identity is no name.
    assert_eq!(fails(&Request { name: Some("Alice"), ..state }), Check::Record);
    assert_eq!(fails(&Request { name: None, identity: alice, ..absent }), Check::Map);
    assert_eq!(fails(&Request { origin: Some("log.example/soul"), ..name }), Check::Checkpoint);
}

/// The bounds of an age are part of it; an age cannot be judged without a clock, and a clock asks for nothing.
#[test]
fn ages() {
    let (Some(policy), Some(proof)) = (policy("policy.txt"), file("link.tlog-proof")) else { return };
    // Cosigned at this second by both of the two that a quorum takes.
    let cosigned = 1_791_547_208;
    let at = |now_seconds, max_age_seconds| {
        let judged = verify(&Request { now_seconds, max_age_seconds, ..Request::new(&policy, &proof) });
        judged.map(|_| ()).map_err(|Failure { check, why, .. }| (check, why))
    };
    let age = |max| Err((Check::Age, Why::Age { max }));
    assert_eq!(at(Some(cosigned), Some(0)), Ok(()));
    assert_eq!(at(Some(cosigned + 1), Some(0)), age(0));
    assert_eq!(at(Some(cosigned + 60), Some(60)), Ok(()));
    assert_eq!(at(Some(cosigned + 61), Some(60)), age(60));
    assert_eq!(at(Some(cosigned - MAX_AHEAD_SECONDS), Some(0)), Ok(()));
    assert_eq!(at(Some(cosigned - MAX_AHEAD_SECONDS - 1), Some(0)), age(0));
    assert_eq!(at(Some(u64::MAX), Some(u64::MAX)), Ok(()));
    assert_eq!(at(Some(0), Some(u64::MAX)), age(u64::MAX));
    assert_eq!(at(None, Some(60)), Err((Check::Age, Why::NoClock)));
    assert_eq!(at(Some(0), None), Ok(()));
}

fn entry_of(name: &str) -> Json {
    let extra: Json = serde_json::from_slice(&Parts::of(&file(name).unwrap()).extra).unwrap();
    extra["entry"].clone()
}

fn remove(value: &mut Json, member: &str) {
    value.as_object_mut().unwrap().remove(member).unwrap();
}
