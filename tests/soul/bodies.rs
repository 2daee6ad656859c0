//! Bodies: one case for each way to break a rule of a field.

use super::{action, draft, field, genesis, key, later};
use serde_json::{Value as Json, json};
use soulchain::encoding::b64u_encode;
use soulchain::merkle::LeafIndex;
use soulchain::soul::{
    Body, BodyError, ChainPosition, Code, FieldFault, Form, Genesis, Identity, Kind, LinkType, NoticeKind, Reason,
    Severity, check_link, kid, newer_rules, next_commitment,
};

use FieldFault::{Empty, Missing, NotOfThisNotice, Range, TooLong, TooMany, Unknown, Unsorted};

const MAX: u64 = (1 << 53) - 1;
const HEX: FieldFault = FieldFault::Form(Form::Hex32);

/// The fields with `v` among them are refused, and the error names that field and that rule.
fn refuse(link_type: LinkType, mut fields: Json, path: &str, fault: FieldFault) {
    fields.as_object_mut().unwrap().entry("v").or_insert(json!(1));
    let bytes = serde_json_canonicalizer::to_vec(&fields).unwrap();
    assert_eq!(Body::parse(link_type, Some(&bytes)), Err(field(path, fault)), "{link_type} {fields}");
}

/// `base` with other fields set, or taken out where they are null.
fn with(base: &Json, changes: Json) -> Json {
    let mut all = base.as_object().unwrap().clone();
    let Json::Object(changes) = changes else { panic!("changes are an object") };
    all.extend(changes);
    all.retain(|_, value| !value.is_null());
    Json::Object(all)
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number:02}")).collect()
}

/// Characters are counted, not bytes.
fn long(chars: usize) -> String {
    "é".repeat(chars)
}

fn id() -> String {
    "ab".repeat(32)
}

#[test]
fn every_body_has_its_version_and_is_there() {
    for link_type in LinkType::ALL.iter().copied() {
        let absent = Body::parse(link_type, None);
        assert_eq!(absent, if link_type == LinkType::Action { Ok(Body::Action(None)) } else { Err(BodyError::Absent) });
        assert_eq!(Body::parse(link_type, Some(b"{}")), Err(field("v", Missing)));
        refuse(link_type, json!({ "v": 2 }), "v", Range { min: 1, max: 1 });
        refuse(link_type, json!({ "v": "1" }), "v", FieldFault::Kind(Kind::Integer));
        if link_type != LinkType::Action {
            refuse(link_type, json!({ "unheard": 1 }), "unheard", Unknown);
        }
    }
}

#[test]
fn profiles_that_break_a_rule() {
    let refuse = |fields, path, fault| refuse(LinkType::Profile, fields, path, fault);
    for (name, max) in [("display_name", 128), ("owner", 128), ("organization", 128), ("kind", 64), ("version", 64)] {
        refuse(json!({ name: long(max + 1) }), name, TooLong { max });
        refuse(json!({ name: "" }), name, Empty);
        refuse(json!({ name: null }), name, FieldFault::Kind(Kind::Text));
    }
    refuse(json!({ "description": long(501) }), "description", TooLong { max: 500 });
    refuse(json!({ "capabilities": ["a", "b c"] }), "capabilities[1]", FieldFault::Form(Form::Capability));
    refuse(json!({ "capabilities": ["b", "a"] }), "capabilities[1]", Unsorted);
    refuse(json!({ "capabilities": ["a", "a"] }), "capabilities[1]", Unsorted);
    refuse(json!({ "capabilities": [] }), "capabilities", Empty);
    refuse(json!({ "capabilities": many(65) }), "capabilities", TooMany { max: 64 });
    refuse(json!({ "endpoints": {} }), "endpoints", FieldFault::Kind(Kind::List));
    refuse(json!({ "endpoints": many(17) }), "endpoints", TooMany { max: 16 });
    refuse(json!({ "endpoints": [{ "protocol": "a" }] }), "endpoints[0].url", Missing);
    let endpoint =
        |protocol: usize, url: usize| json!({ "endpoints": [{ "protocol": long(protocol), "url": long(url) }] });
    refuse(endpoint(33, 1), "endpoints[0].protocol", TooLong { max: 32 });
    refuse(endpoint(1, 2049), "endpoints[0].url", TooLong { max: 2048 });
    let credential = |fields| json!({ "credentials": [with(&json!({ "type": "a", "value": "b" }), fields)] });
    refuse(json!({ "credentials": many(9) }), "credentials", TooMany { max: 8 });
    refuse(credential(json!({ "value": null })), "credentials[0].value", Missing);
    refuse(credential(json!({ "type": long(65) })), "credentials[0].type", TooLong { max: 64 });
    refuse(credential(json!({ "value": long(4097) })), "credentials[0].value", TooLong { max: 4096 });
    refuse(credential(json!({ "proof": long(4097) })), "credentials[0].proof", TooLong { max: 4096 });
    refuse(credential(json!({ "proof": "" })), "credentials[0].proof", Empty);
    refuse(json!({ "hashes": {} }), "hashes", Empty);
    refuse(json!({ "hashes": { "a.b": id() } }), "hashes.a.b", FieldFault::Form(Form::Label));
    refuse(json!({ "hashes": { "a": "00" } }), "hashes.a", HEX);
    let hashes: serde_json::Map<_, _> = many(17).into_iter().map(|name| (name, id().into())).collect();
    refuse(json!({ "hashes": hashes }), "hashes", TooMany { max: 16 });
    refuse(json!({ "metadata": {} }), "metadata", Empty);
    refuse(json!({ "metadata": [1] }), "metadata", FieldFault::Kind(Kind::Object));
    refuse(json!({ "metadata": { "a": long(2045) } }), "metadata", FieldFault::TooLarge { max: 4096 });
}

#[test]
fn statements_that_break_a_rule() {
    let link = |seqno: u64| json!({ "curr": id(), "seqno": seqno });
    refuse(LinkType::Retract, json!({ "link": link(0) }), "link.seqno", Range { min: 1, max: MAX });
    refuse(LinkType::Retract, json!({}), "link", Missing);
    refuse(LinkType::Retract, json!({ "link": id() }), "link", FieldFault::Kind(Kind::Object));
    refuse(LinkType::Receipt, json!({ "subject": id() }), "link", Missing);
    refuse(LinkType::Receipt, json!({ "link": link(1) }), "subject", Missing);

    let feedback = json!({ "subject": id(), "value": 1 });
    let refuse_feedback = |changes, path, fault| refuse(LinkType::Feedback, with(&feedback, changes), path, fault);
    refuse_feedback(json!({ "value": 101 }), "value", Range { min: 0, max: 100 });
    refuse_feedback(json!({ "value": -1 }), "value", Range { min: 0, max: 100 });
    refuse_feedback(json!({ "value": true }), "value", FieldFault::Kind(Kind::Integer));
    refuse_feedback(json!({ "tag": "A" }), "tag", FieldFault::Form(Form::Tag));
    refuse_feedback(json!({ "subject": id().to_uppercase() }), "subject", HEX);
    refuse_feedback(json!({ "comment_commit": "ab" }), "comment_commit", HEX);

    let attest = json!({ "subject": id(), "capabilities": ["a"], "scope": "s", "expires_ms": 0 });
    let refuse_attest = |changes, path: &str, fault| refuse(LinkType::Attest, with(&attest, changes), path, fault);
    for name in ["subject", "capabilities", "scope", "expires_ms"] {
        refuse_attest(json!({ name: null }), name, Missing);
    }
    refuse_attest(json!({ "expires_ms": -1 }), "expires_ms", Range { min: 0, max: MAX });
    refuse_attest(json!({ "scope": long(257) }), "scope", TooLong { max: 256 });
    refuse_attest(json!({ "evidence": "ab" }), "evidence", HEX);
    refuse_attest(json!({ "conditions": {} }), "conditions", Empty);
    for name in ["require_variants", "require_hosts", "exclude_hosts"] {
        let path = format!("conditions.{name}");
        let conditions = |list: Json| json!({ "conditions": { name: list } });
        refuse_attest(conditions(json!([])), &path, Empty);
        refuse_attest(conditions(json!(["b", "a"])), &format!("{path}[1]"), Unsorted);
        refuse_attest(conditions(json!([long(254)])), &format!("{path}[0]"), TooLong { max: 253 });
        refuse_attest(conditions(json!(many(17))), &path, TooMany { max: 16 });
    }
}

#[test]
fn notices_that_break_a_rule() {
    let refuse = |fields, path, fault| refuse(LinkType::Notice, with(&json!({ "subject": id() }), fields), path, fault);
    refuse(json!({ "kind": "ban" }), "kind", FieldFault::NotOneOf(NoticeKind::NAMES));
    refuse(json!({ "kind": "revoke", "reason": "x" }), "reason", FieldFault::NotOneOf(Reason::NAMES));
    refuse(json!({ "kind": "violation" }), "severity", Missing);
    refuse(json!({ "kind": "violation", "severity": "x" }), "severity", FieldFault::NotOneOf(Severity::NAMES));
    refuse(json!({ "kind": "violation", "severity": "low", "blocked": 1 }), "blocked", FieldFault::Kind(Kind::Bool));
    refuse(json!({ "kind": "bind", "name": "a" }), "name", FieldFault::Form(Form::DomainName));
    for kind in NoticeKind::NAMES {
        if *kind != "violation" {
            refuse(json!({ "kind": kind, "severity": "low" }), "severity", NotOfThisNotice);
            let name = if ["bind", "release"].contains(kind) { json!("a.b") } else { Json::Null };
            refuse(json!({ "kind": kind, "name": name, "blocked": false }), "blocked", NotOfThisNotice);
        }
        match *kind {
            "bind" | "release" => refuse(json!({ "kind": kind }), "name", Missing),
            "violation" => {
                refuse(json!({ "kind": kind, "severity": "low", "name": "a.b" }), "name", NotOfThisNotice);
            }
            _ => refuse(json!({ "kind": kind, "name": "a.b" }), "name", NotOfThisNotice),
        }
    }
}

#[test]
fn policies_that_break_a_rule() {
    let refuse = |fields, path, fault| refuse(LinkType::Policy, fields, path, fault);
    let ids = |count: u8| (0..count).map(|number| format!("{number:02x}").repeat(32)).collect::<Vec<_>>();
    refuse(json!({ "registrars": [] }), "registrars", Empty);
    refuse(json!({ "registrars": ids(17) }), "registrars", TooMany { max: 16 });
    refuse(json!({ "pretrust": ids(65) }), "pretrust", TooMany { max: 64 });
    refuse(json!({ "pretrust": [id(), id()] }), "pretrust[1]", Unsorted);
    refuse(json!({ "scoring": "beta/2" }), "scoring", FieldFault::NotOneOf(&["beta/1"]));
    refuse(json!({ "rules": 2 }), "rules", Range { min: 1, max: 1 });
    refuse(json!({ "rules": 0 }), "rules", Range { min: 1, max: 1 });
}

fn pk(number: u8) -> [u8; 32] {
    *key(number).public().as_bytes()
}

fn listed(number: u8, roles: &[&str]) -> Json {
    json!({ "alg": "ed25519", "pk": b64u_encode(&pk(number)), "roles": roles })
}

fn next(number: u8) -> String {
    next_commitment(&pk(number)).to_hex()
}

#[test]
fn key_sets_that_break_a_rule() {
    let refuse = |keys, path, fault| refuse(LinkType::Genesis, json!({ "keys": keys }), path, fault);
    let (low, high) = if kid(&pk(1)) < kid(&pk(2)) { (1, 2) } else { (2, 1) };
    refuse(json!([]), "keys", Empty);
    refuse(json!(vec![Json::Null; 17]), "keys", TooMany { max: 16 });
    refuse(json!([listed(1, &["act"])]), "keys", FieldFault::NoAdmin);
    refuse(json!([listed(1, &[])]), "keys[0].roles", Empty);
    refuse(json!([listed(1, &["admin", "act"])]), "keys[0].roles[1]", Unsorted);
    refuse(json!([listed(1, &["act", "act"])]), "keys[0].roles[1]", Unsorted);
    refuse(json!([listed(1, &["recovery"])]), "keys[0].roles[0]", FieldFault::NotOneOf(&["act", "admin"]));
    refuse(json!([listed(high, &["admin"]), listed(low, &["act"])]), "keys[1]", Unsorted);
    refuse(json!([listed(1, &["admin"]), listed(1, &["admin"])]), "keys[1]", Unsorted);
    let one = |changes| json!([with(&listed(1, &["admin"]), changes)]);
    refuse(one(json!({ "alg": "Ed25519" })), "keys[0].alg", FieldFault::NotOneOf(&["ed25519"]));
    refuse(one(json!({ "alg": null })), "keys[0].alg", Missing);
    refuse(one(json!({ "use": "sig" })), "keys[0].use", Unknown);
    for bad in [b64u_encode(&[0; 31]), format!("{}=", b64u_encode(&pk(1))), "A".repeat(42) + "B"] {
        refuse(one(json!({ "pk": bad })), "keys[0].pk", FieldFault::Form(Form::Key));
    }
}

#[test]
fn key_events_that_break_a_rule() {
    let base = json!({ "keys": [listed(1, &["admin"])] });
    let pop = |number: u8| json!({ "kid": kid(&pk(number)).to_hex(), "sig": "A".repeat(86) });
    let refuse = |link_type, changes, path, fault| refuse(link_type, with(&base, changes), path, fault);
    for link_type in [LinkType::Genesis, LinkType::Keys] {
        refuse(link_type, json!({ "next": next(1) }), "keys[0].pk", FieldFault::KeyOfNext);
        refuse(link_type, json!({ "pop": [] }), "pop", Empty);
        refuse(link_type, json!({ "pop": [pop(2)] }), "pop[0].kid", FieldFault::PopOfUnlistedKey);
        refuse(link_type, json!({ "pop": [pop(1), pop(1)] }), "pop[1]", Unsorted);
        refuse(link_type, json!({ "custodian": "ab" }), "custodian", HEX);
        refuse(link_type, json!({ "keys": null }), "keys", Missing);
        refuse(link_type, json!({ "recovery": b64u_encode(&pk(2)) }), "recovery", Unknown);
    }
    refuse(LinkType::Genesis, json!({ "suspect_from": 2 }), "suspect_from", Unknown);
    for name in ["all", "system", "root", "admin", "log"] {
        refuse(LinkType::Genesis, json!({ "name": name }), "name", FieldFault::Reserved);
    }
    refuse(LinkType::Genesis, json!({ "name": "a.b" }), "name", FieldFault::Form(Form::Label));
    for threshold in [0, 2] {
        let guardians = json!({ "guardians": { "ids": [id()], "threshold": threshold } });
        refuse(LinkType::Genesis, guardians, "guardians.threshold", Range { min: 1, max: 1 });
    }
    let recovery = |number| b64u_encode(&pk(number));
    for (changes, path, fault) in [
        (json!({ "next": next(2) }), "recovery", Missing),
        (json!({ "recovery": recovery(2) }), "next", Missing),
        (json!({ "next": next(2), "recovery": recovery(2) }), "next", FieldFault::NextOfRecovery),
        (json!({ "next": next(2), "recovery": recovery(1) }), "keys[0].pk", FieldFault::KeyOfRecovery),
        (json!({ "next": next(1), "recovery": recovery(2) }), "keys[0].pk", FieldFault::KeyOfNext),
    ] {
        refuse(LinkType::Recover, changes, path, fault);
    }
    refuse(LinkType::Keys, json!({ "suspect_from": 1 }), "suspect_from", Range { min: 2, max: MAX });
}

#[test]
fn revocations_that_break_a_rule() {
    let refuse = |fields, path, fault| refuse(LinkType::RevokeAgent, fields, path, fault);
    refuse(json!({}), "reason", Missing);
    refuse(json!({ "reason": "x" }), "reason", FieldFault::NotOneOf(Reason::NAMES));
    refuse(json!({ "reason": "superseded", "recovery": "AA" }), "recovery", FieldFault::Form(Form::Key));
    refuse(json!({ "reason": "superseded", "custodian": id() }), "custodian", Unknown);
    refuse(json!({ "reason": "superseded", "suspect_from": 1 }), "suspect_from", Range { min: 2, max: MAX });
}

#[test]
fn only_entry_0_is_the_registrar() {
    let Body::Genesis(unnamed) = genesis(1) else { unreachable!() };
    let registrar = Body::Genesis(Genesis { name: Some("registrar".to_owned()), ..unnamed });
    let header = draft(ChainPosition::GENESIS, 1).inline(&registrar).unwrap().header().clone();
    let wrong = Err(field("name", FieldFault::Registrar));
    let at = |index| Some(LeafIndex::new(index));
    assert_eq!(check_link(&header, &registrar, at(0)), Ok(()));
    assert_eq!(check_link(&header, &registrar, None), Ok(()));
    assert_eq!(check_link(&header, &registrar, at(1)), wrong);
    assert_eq!(check_link(&header, &genesis(1), at(0)), wrong);
    assert_eq!(check_link(&header, &genesis(1), at(1)), Ok(()));
}

#[test]
fn nobody_is_their_own_subject() {
    let header = draft(later(3), 1).inline(&action()).unwrap().header().clone();
    let body = |subject: Identity| {
        let json = format!(r#"{{"subject":"{subject}","v":1,"value":1}}"#);
        Body::parse(LinkType::Feedback, Some(json.as_bytes())).unwrap()
    };
    let error = check_link(&header, &body(header.identity), None).unwrap_err();
    assert_eq!((&error, error.code()), (&field("subject", FieldFault::SelfSubject), Code::BadReference));
    assert_eq!(check_link(&header, &body(Identity::ZERO), None), Ok(()));
}

#[test]
fn later_rules_are_seen_whatever_else_the_body_says() {
    for (body, rules) in [
        (&br#"{"rules":2,"v":1}"#[..], Some(2)),
        (br#"{"new":{},"rules":9007199254740991,"v":7}"#, Some(9_007_199_254_740_991)),
        (br#"{"rules":1,"v":1}"#, None),
        (br#"{"rules":0,"v":1}"#, None),
        (br#"{"rules":"2","v":1}"#, None),
        (br#"{"rules": 2,"v":1}"#, None),
        (br#"{"v":1}"#, None),
    ] {
        assert_eq!(newer_rules(body), rules);
    }
}

#[test]
fn errors_say_what_to_mend() {
    for (error, message) in [
        (field("keys[1].roles", Empty), "`keys[1].roles` is empty: leave it out"),
        (field("", FieldFault::Kind(Kind::Object)), "the body must be an object"),
        (
            Body::parse(LinkType::Action, Some(br#"{"v":1.5}"#)).unwrap_err(),
            "the body is not canonical JSON: at byte 6: not an integer (put it into a string)",
        ),
    ] {
        assert_eq!(error.to_string(), message);
    }
}
