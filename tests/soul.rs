//! Links and bodies: bytes to verdict (formats.md §2 to §4, and §5 and §7 as far as a link alone decides).

mod common;

use common::shared;
use proptest::prelude::*;
use serde_json::Value as Json;
use soulchain::ed25519::{self, PublicKey, SigningKey};
use soulchain::encoding::{UnixMillis, b64_decode, b64u_decode, hex_decode, hex_encode};
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::soul::jcs::{JcsFault, Value};
use soulchain::soul::{
    Beside, Body, BodyError, ChainPosition, Code, Curr, Draft, FieldFault, Form, Genesis, Header, Identity, KeyEntry,
    Kid, Kind, Link, LinkError, LinkType, LogId, MAX_BODY_LEN, MAX_INLINE_LEN, NoticeKind, Outcome, ReadLink, Reason,
    Refusal, RevokeAgent, Roles, SUITE, Salt, Seqno, Severity, Trailer, VerifiedLink, check_link, check_pops, kid,
    newer_rules, next_commitment, pop_message,
};

const ORIGIN: &str = "log.example/soul1";

// --- canonical JSON ---

#[test]
fn profile_vectors() {
    let Some(vectors) = vectors("jcs_profile.json") else { return };
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 60);
    for case in cases {
        let bytes = b64_decode(text(case, "bytes")).unwrap();
        let read = Value::parse_canonical(&bytes);
        assert_eq!(read.is_ok(), case["accept"].as_bool().unwrap(), "{}: {read:?}", case["why"]);
        assert_eq!(read.is_ok(), is_canonical_twin(&bytes), "the twin: {}", case["why"]);
        if let Ok(value) = read {
            assert_eq!(value.to_bytes(), bytes, "{}", case["why"]);
        }
    }
}

/// All outputs of the RFC's authors leave the profile (floats, other keys, a list at the top); their strings do not.
#[test]
fn foreign_canonical_json() {
    let Some(folder) = shared("vectors/jcs") else { return skipped("vectors/jcs") };
    let mut strings = Vec::new();
    for name in ["arrays", "french", "structures", "unicode", "values", "weird"] {
        let input = std::fs::read(folder.join(format!("{name}.input.json"))).unwrap();
        let output = std::fs::read(folder.join(format!("{name}.output.json"))).unwrap();
        for bytes in [&input, &output] {
            assert!(Value::parse_canonical(bytes).is_err() && !is_canonical_twin(bytes), "{name}");
        }
        collect_strings(&serde_json::from_slice(&output).unwrap(), &mut strings);
    }
    assert!(strings.len() > 15);
    for string in strings {
        let expected = serde_json_canonicalizer::to_vec(&serde_json::json!({ "a": string })).unwrap();
        let value = Value::parse_canonical(&expected).unwrap();
        assert_eq!(value.get("a").and_then(Value::as_str), Some(string.as_str()));
        assert_eq!(value.to_bytes(), expected);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_canonical_and_reads_back(value in object()) {
        let bytes = value.to_bytes();
        prop_assert!(is_canonical_twin(&bytes), "{}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(Value::parse_canonical(&bytes), Ok(value));
    }

    #[test]
    fn reader_and_twin_agree_on_damaged_text(
        value in object(),
        at in any::<prop::sample::Index>(),
        put in prop_oneof![Just(None), prop::sample::select(&b"{}[]\",:\\u0aA1-.e \ntn\x01\xc3"[..]).prop_map(Some)],
        replace in any::<bool>(),
    ) {
        let mut bytes = value.to_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..at + usize::from(replace), put);
        let read = Value::parse_canonical(&bytes);
        prop_assert_eq!(read.is_ok(), is_canonical_twin(&bytes), "{}", String::from_utf8_lossy(&bytes));
        if let Err(error) = read {
            prop_assert!(error.offset <= bytes.len());
        }
    }
}

#[test]
fn a_built_object_is_sorted_and_found_in() {
    let value = Value::object([("b", Value::uint(1)), ("a.c", "x".into()), ("a", vec![true].into())]);
    assert_eq!(value.to_bytes(), br#"{"a":[true],"a.c":"x","b":1}"#);
    assert_eq!(value.get("b").and_then(Value::as_u64), Some(1));
    assert_eq!(value.get("c"), None);
    for beyond in [Value::uint(1 << 53), Value::uint(u64::MAX)] {
        let error = Value::parse_canonical(&Value::object([("a", beyond)]).to_bytes()).unwrap_err();
        assert_eq!(error.fault, JcsFault::TooGreat);
    }
}

// --- links ---

#[test]
fn link_vectors() {
    let Some(vectors) = vectors("links.json") else { return };
    assert_eq!(LogId::of_origin(ORIGIN).to_hex(), text(&vectors, "log_id"));
    let links = vectors["links"].as_array().unwrap();
    for case in links {
        check_link_vector(case);
    }
    for link_type in LinkType::NAMES {
        assert!(links.iter().any(|case| case["type"] == *link_type), "no vector of type {link_type}");
    }
}

fn check_link_vector(case: &Json) {
    let what = format!("{} at {}", case["type"], case["index"]);
    let entry = bytes(case, "entry");
    let link = Link::parse_entry(&entry).unwrap();
    check_header(link.header(), &case["header"], &what);
    assert_eq!(link.message(), bytes(case, "M"), "{what}");
    assert_eq!(link.header().to_bytes(), link.message(), "{what}");
    assert_eq!(&link.sig()[..], bytes(case, "sig"), "{what}");
    assert_eq!(link.curr().to_hex(), text(case, "curr"), "{what}");
    assert_eq!(link.entry(), entry, "{what}");
    assert_eq!(hex_encode(&sha256(&[&[0], link.entry()])), text(case, "leaf_hash"), "{what}");

    let body = text(case, "body").as_bytes();
    let salt = case["salt"].as_str().map(|salt| Salt::from_hex(salt).unwrap());
    let (again, beside) = Link::from_parts(link.message(), link.sig(), Some(body), salt).unwrap();
    assert_eq!((&again, beside.is_some()), (&link, salt.is_some()), "{what}");
    let read_body = Body::parse(link.header().link_type, Some(body).filter(|body| !body.is_empty())).unwrap();
    assert_eq!(read_body.to_bytes().unwrap_or_default(), body, "{what}");
    assert_eq!(read_body.link_type(), link.header().link_type);

    let index = LeafIndex::new(case["index"].as_u64().unwrap());
    check_link(link.header(), &read_body, Some(index)).unwrap();
    check_pops(link.header(), &read_body).unwrap();
    let signer = key(u8::try_from(case["seed"].as_u64().unwrap()).unwrap());
    let verified = VerifiedLink::check(link.clone(), beside, &signer.public(), LogId::of_origin(ORIGIN)).unwrap();
    assert_eq!(verified.curr(), link.curr());
    if link.body().is_some() {
        assert_eq!(verified.body(), &read_body, "{what}");
    }
    check_draft(&link, &read_body, salt, &signer, &what);
}

fn check_header(header: &Header, fields: &Json, what: &str) {
    for (name, value) in [
        ("log_id", header.log_id.to_hex()),
        ("identity", header.identity.to_hex()),
        ("prev", header.prev.to_hex()),
        ("auth", header.auth.to_hex()),
        ("type", header.link_type.to_string()),
        ("anchor_root", header.anchor_root.to_hex()),
        ("kid", header.kid.to_hex()),
        ("body_commit", header.body_commit.to_hex()),
    ] {
        assert_eq!(text(fields, name), value, "{what}: {name}");
    }
    for (name, value) in [
        ("suite", u64::from(SUITE)),
        ("seqno", header.seqno.get()),
        ("flags", u64::from(header.flags())),
        ("ctime_ms", header.ctime.get()),
        ("anchor_size", header.anchor_size),
        ("body_len", u64::from(header.body_len)),
    ] {
        assert_eq!(fields[name], value, "{what}: {name}");
    }
}

/// The builder comes to the same bytes from the same statements.
fn check_draft(link: &Link, body: &Body, salt: Option<Salt>, signer: &SigningKey, what: &str) {
    let header = link.header();
    let draft = Draft {
        log_id: header.log_id,
        position: ChainPosition {
            identity: header.identity,
            seqno: header.seqno,
            prev: header.prev,
            auth: header.auth,
        },
        ctime: header.ctime,
        anchor: Some((TreeSize::new(header.anchor_size), header.anchor_root)),
        outcome: header.outcome,
        kid: header.kid,
    };
    let unsigned = match salt {
        Some(salt) => draft.beside(Beside { salt, body: body.to_bytes().unwrap() }).unwrap(),
        None => draft.inline(body).unwrap(),
    };
    assert_eq!(unsigned.curr(), link.curr(), "{what}");
    let (signed, beside) = unsigned.sign(signer);
    assert_eq!((&signed, beside.is_some()), (link, salt.is_some()), "{what}");
}

#[test]
fn pop_vectors() {
    let Some(vectors) = vectors("pop.json") else { return };
    assert_eq!(kid(key(11).public().as_bytes()).to_hex(), text(&vectors, "kid_of_seed_11"));
    assert_eq!(next_commitment(key(13).public().as_bytes()).to_hex(), text(&vectors, "next_of_seed_13"));
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.iter().any(|case| case["accept"] == true) && cases.iter().any(|case| case["accept"] == false));
    for case in cases {
        let pk: [u8; 32] = b64u_decode(text(case, "pk")).unwrap().try_into().unwrap();
        let sig: [u8; 64] = b64u_decode(text(case, "sig")).unwrap().try_into().unwrap();
        assert_eq!(kid(&pk).to_hex(), text(case, "kid"));
        let message = pop_message(
            LogId::from_hex(text(case, "log_id")).unwrap(),
            Identity::from_hex(text(case, "identity")).unwrap(),
            Seqno::new(case["seqno"].as_u64().unwrap()),
            Kid::from_hex(text(case, "signer_kid")).unwrap(),
            kid(&pk),
        );
        assert_eq!(message, bytes(case, "message"), "{}", case["name"]);
        assert_eq!(ed25519::verify(&pk, &message, &sig), case["accept"] == true, "{}", case["name"]);
    }
}

/// Refused with `bad_body` for a reason that only the state of the log knows.
const NEEDS_STATE: &[&str] = &[
    "keys_changes_nothing",
    "keys_changes_custodian_alone",
    "keys_next_when_set",
    "keys_roles_changed",
    "keys_adds_the_recovery_key",
    "keys_pop_of_kept_key",
    "keys_suspect_from_after_72h",
    "keys_suspect_from_retires_none",
    "revoke_suspect_from_after_72h",
];

#[test]
fn bad_link_vectors() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let prefix = vectors["prefix"].as_array().unwrap();
    for (index, entry) in prefix.iter().enumerate() {
        let entry = b64_decode(entry.as_str().unwrap()).unwrap();
        assert!(Trailer::parse(&entry).is_some() || judge(&entry, index as u64).is_none(), "prefix {index}");
    }
    let mut refused = 0;
    for (index, cases) in [(prefix.len() as u64, "cases"), (0, "empty_log_cases")] {
        for case in vectors[cases].as_array().unwrap() {
            refused += usize::from(check_bad_link(case, index));
        }
    }
    assert!(refused > 150, "{refused}");
    for case in vectors["trailers"]["cases"].as_array().unwrap() {
        let entry = b64_decode(text(case, "entry")).unwrap();
        let form_is_wrong = ["log_time_above_2_53", "too_long", "too_short", "magic"].contains(&text(case, "name"));
        let trailer = Trailer::parse(&entry);
        assert_eq!(trailer.is_none(), form_is_wrong, "{}", case["name"]);
        assert!(trailer.is_none_or(|trailer| trailer.to_bytes()[..] == entry));
    }
}

fn check_bad_link(case: &Json, index: u64) -> bool {
    let name = text(case, "name");
    let codes: Vec<_> = case["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert!(codes.iter().all(|code| Code::from_name(code).is_some()), "{name}: {codes:?}");
    let verdict = judge(&b64_decode(text(case, "entry")).unwrap(), index);
    if let Some(refusal) = &verdict {
        assert!(codes.contains(&refusal.code().as_str()), "{name}: {refusal} is not of {codes:?}");
    }
    let decidable = ["malformed", "wrong_log", "bad_body"].contains(codes.first().unwrap_or(&""))
        || name == "subject_is_self"
        || name == "bind_to_itself"
        || name.starts_with("genesis_pop_")
        || name.starts_with("genesis_signer_")
        || ["genesis_seqno_2", "genesis_identity_set", "genesis_prev_set", "low_order_key"].contains(&name);
    assert_eq!(verdict.is_some() || NEEDS_STATE.contains(&name), decidable || verdict.is_some(), "{name}: {verdict:?}");
    assert!(verdict.is_none() || !NEEDS_STATE.contains(&name), "{name} needs no state: {verdict:?}");
    verdict.is_some()
}

/// All that a link and its index decide.
fn judge(entry: &[u8], index: u64) -> Option<Refusal> {
    let check = || -> Result<(), Refusal> {
        let read = ReadLink::read(Link::parse_entry(entry)?, None, LogId::of_origin(ORIGIN))?;
        check_link(read.header(), read.body(), Some(LeafIndex::new(index)))?;
        if let Some(pk) = read.named_signer()? {
            let signer = PublicKey::from_bytes(pk).ok_or(Refusal::Signature)?;
            read.verify(&signer)?;
        }
        Ok(())
    };
    check().err()
}

#[test]
fn every_bit_of_a_link_counts() {
    let (link, _) = draft(ChainPosition::GENESIS, 1).inline(&genesis(1)).unwrap().sign(&key(1));
    assert_eq!(judge(link.entry(), 7), None);
    for at in 0..link.entry().len() {
        let mut entry = link.entry().to_vec();
        entry[at] ^= 1;
        assert!(judge(&entry, 7).is_some(), "byte {at}");
    }
    for len in 0..link.entry().len() {
        assert!(Link::parse_entry(&link.entry()[..len]).is_err(), "cut to {len}");
    }
}

#[test]
fn headers_that_are_malformed() {
    let (link, _) = draft(later(3), 1).inline(&action()).unwrap().sign(&key(1));
    let body_len = link.header().body_len;
    let check = |offset: usize, put: &[u8], error: LinkError| {
        let mut entry = link.entry().to_vec();
        entry[1 + offset..1 + offset + put.len()].copy_from_slice(put);
        assert_eq!(Link::parse_entry(&entry), Err(error), "{offset}");
    };
    check(17, b" ", LinkError::Magic);
    check(18, &[2], LinkError::Suite(2));
    let too_great = 1_u64 << 53;
    for (offset, field) in [(83, "seqno"), (158, "ctime_ms"), (166, "anchor_size")] {
        check(offset, &too_great.to_be_bytes(), LinkError::TooGreat { field, value: too_great });
    }
    check(155, &[0, 0], LinkError::UnknownType(0));
    check(155, &[1, 6], LinkError::UnknownType(0x0106));
    check(155, &[0, 1, 0b101], LinkError::OutcomeNotAllowed(LinkType::Genesis));
    check(155, &[0, 1, 0], LinkError::NotInline(LinkType::Genesis));
    check(157, &[0b1001], LinkError::ReservedFlags(0b1001));
    check(157, &[0b1000_0001], LinkError::ReservedFlags(0b1000_0001));
    check(157, &[0], LinkError::BodyLength { stated: 0, found: body_len as usize });
    check(238, &[0; 4], LinkError::EmptyInline);
    for (inline, len) in [(true, MAX_INLINE_LEN + 1), (false, MAX_BODY_LEN + 1)] {
        let mut header = link.header().clone();
        (header.inline, header.body_len) = (inline, len);
        assert_eq!(Header::parse(&header.to_bytes()), Err(LinkError::BodyTooLong { len, inline }));
        header.body_len -= 1;
        assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
    }
    for (outcome, flags) in [(Outcome::Success, 0b011), (Outcome::Failure, 0b101), (Outcome::Denied, 0b111)] {
        let header = Header { outcome, ..link.header().clone() };
        assert_eq!((header.flags(), Header::parse(&header.to_bytes())), (flags, Ok(header)));
    }
    let first = link.entry()[1..].to_vec();
    assert_eq!(Link::parse_entry(&[&[2], &first[..]].concat()), Err(LinkError::Kind(2)));
}

#[test]
fn parts_go_together_or_not_at_all() {
    let (link, _) = draft(later(3), 1).inline(&action()).unwrap().sign(&key(1));
    let side = Beside { salt: Salt::from_bytes([5; 32]), body: br#"{"v":1}"#.to_vec() };
    let (salted, beside) = draft(later(3), 1).beside(side.clone()).unwrap().sign(&key(1));
    let (empty, _) = draft(later(3), 1).inline(&Body::Action(None)).unwrap().sign(&key(1));
    assert_eq!(beside.as_ref(), Some(&side));
    assert!(empty.header().body_commit.is_zero() && empty.header().body_len == 0 && empty.body().is_none());

    let parts = |link: &Link, body: Option<&[u8]>, salt| Link::from_parts(link.message(), link.sig(), body, salt);
    let body: Option<&[u8]> = Some(&side.body);
    assert_eq!(parts(&salted, body, Some(side.salt)), Ok((salted.clone(), beside.clone())));
    assert_eq!(parts(&salted, None, None), Ok((salted.clone(), None)));
    assert_eq!(parts(&empty, Some(&[]), None), Ok((empty.clone(), None)));
    assert_eq!(parts(&link, link.body(), None), Ok((link.clone(), None)));
    assert_eq!(parts(&link, link.body(), Some(side.salt)), Err(LinkError::Salt));
    assert_eq!(parts(&salted, body, None), Err(LinkError::Salt));
    assert_eq!(parts(&salted, None, Some(side.salt)), Err(LinkError::Salt));
    assert_eq!(parts(&link, None, None), Err(LinkError::BodyLength { stated: link.header().body_len, found: 0 }));
    assert_eq!(Link::from_parts(link.message(), &[0; 63], None, None), Err(LinkError::SignatureLength(63)));
    assert_eq!(Link::from_parts(&[0; 273], &[0; 64], None, None), Err(LinkError::HeaderLength(273)));

    for (why, salt, body) in [
        ("another salt", Salt::ZERO, &b"{\"v\":1}"[..]),
        ("another body", side.salt, b"{\"v\":2}"),
        ("a longer body", side.salt, b"{\"v\":1} "),
    ] {
        let beside = Some(Beside { salt, body: body.to_vec() });
        let refusal = VerifiedLink::check(salted.clone(), beside, &key(1).public(), log_id()).unwrap_err();
        assert_eq!(refusal, Refusal::Body(BodyError::Commit), "{why}");
    }
    let verified = VerifiedLink::check(salted, Some(side.clone()), &key(1).public(), log_id()).unwrap();
    assert_eq!((verified.body(), verified.beside()), (&Body::Action(None), Some(&side)));
    let unwanted = VerifiedLink::check(link, Some(side), &key(1).public(), log_id()).unwrap_err();
    assert_eq!(unwanted, Refusal::Body(BodyError::Commit));
}

#[test]
fn a_verified_link_is_of_its_signer_and_its_log() {
    let (link, _) = draft(later(3), 1).inline(&action()).unwrap().sign(&key(1));
    let check = |link: &Link, signer: u8, log| VerifiedLink::check(link.clone(), None, &key(signer).public(), log);
    assert!(check(&link, 1, log_id()).is_ok());
    assert_eq!(check(&link, 2, log_id()), Err(Refusal::Signer(kid_of(1))));
    assert_eq!(check(&link, 1, LogId::of_origin("other")), Err(Refusal::WrongLog(log_id())));
    let (forged, _) = draft(later(3), 1).inline(&action()).unwrap().sign(&key(2));
    assert_eq!(check(&forged, 1, log_id()), Err(Refusal::Signature));
}

#[test]
fn a_proof_of_possession_is_of_its_key_and_its_link() {
    let first = draft(ChainPosition::GENESIS, 1);
    let with_pop = |pop| {
        let Body::Genesis(mut body) = genesis(1) else { unreachable!() };
        body.keys.push(KeyEntry::new(*key(2).public().as_bytes(), Roles { act: true, admin: false }));
        body.keys.sort_by_key(|key| key.kid);
        body.pop = vec![pop];
        first.inline(&Body::Genesis(body)).map(|unsigned| judge(unsigned.sign(&key(1)).0.entry(), 7))
    };
    assert_eq!(with_pop(first.pop(&key(2))), Ok(None));
    let of_another_log = Draft { log_id: LogId::ZERO, ..first }.pop(&key(2));
    assert_eq!(with_pop(of_another_log), Ok(Some(Refusal::Pop(kid_of(2)))));
    let for_another_signer = Draft { kid: kid_of(3), ..first }.pop(&key(2));
    assert_eq!(with_pop(for_another_signer), Ok(Some(Refusal::Pop(kid_of(2)))));
    let of_the_signer = field("pop[0].kid", FieldFault::PopOfSigner);
    assert_eq!(with_pop(first.pop(&key(1))), Err(of_the_signer.into()));
}

#[test]
fn drafts_keep_the_rules_of_their_readers() {
    let first = draft(ChainPosition::GENESIS, 1);
    let not_first = Draft { position: later(2), ..first };
    assert_eq!(not_first.inline(&genesis(1)), Err(Refusal::NotFirst));
    let with_outcome = Draft { outcome: Outcome::Success, ..first };
    let expected = LinkError::OutcomeNotAllowed(LinkType::Genesis);
    assert_eq!(with_outcome.inline(&genesis(1)), Err(expected.into()));
    let long = Body::Action(Some(Value::object([("a", "x".repeat(60_000).into()), ("v", Value::Int(1))])));
    let refused = draft(later(2), 1).inline(&long);
    assert!(matches!(refused, Err(Refusal::Malformed(LinkError::BodyTooLong { inline: true, .. }))));
    let upper_case = Body::Action(Some(Value::object([("A", Value::Null), ("v", Value::Int(1))])));
    assert!(matches!(draft(later(2), 1).inline(&upper_case), Err(Refusal::Body(BodyError::Profile(_)))));
    let early = Body::RevokeAgent(RevokeAgent {
        reason: Reason::Superseded,
        recovery: None,
        suspect_from: Some(Seqno::new(3)),
    });
    let range = field("suspect_from", FieldFault::Range { min: 2, max: 2 });
    assert_eq!(draft(later(2), 1).inline(&early), Err(range.into()));
    assert!(draft(later(3), 1).inline(&early).is_ok());
}

#[test]
fn anchors_are_carried() {
    let root = Hash::from_bytes([3; 32]);
    let anchored = Draft { anchor: Some((TreeSize::new(12), root)), ..draft(later(2), 1) };
    let header = anchored.inline(&action()).unwrap().header().clone();
    assert_eq!((header.anchor_size, header.anchor_root), (12, root));
    assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
}

// --- bodies ---

#[test]
fn bodies_that_break_a_rule() {
    use FieldFault::{Empty, Missing, NotOfThisNotice, Range, TooLong, TooMany, Unknown, Unsorted};
    let id = "ab".repeat(32);
    let many = |n: usize| (0..n).map(|n| format!("\"c{n:02}\"")).collect::<Vec<_>>().join(",");
    let long = |n: usize| "é".repeat(n);
    for (link_type, body, path, fault) in [
        ("action", r"{}".into(), "v", Missing),
        ("action", r#"{"v":2}"#.into(), "v", Range { min: 1, max: 1 }),
        ("action", r#"{"v":"1"}"#.into(), "v", FieldFault::Kind(Kind::Integer)),
        ("profile", r#"{"v":1,"x":1}"#.into(), "x", Unknown),
        ("profile", r#"{"owner":"","v":1}"#.into(), "owner", Empty),
        ("profile", r#"{"owner":null,"v":1}"#.into(), "owner", FieldFault::Kind(Kind::Text)),
        ("profile", format!(r#"{{"owner":"{}","v":1}}"#, long(129)), "owner", TooLong { max: 128 }),
        ("profile", format!(r#"{{"kind":"{}","v":1}}"#, long(65)), "kind", TooLong { max: 64 }),
        ("profile", format!(r#"{{"description":"{}","v":1}}"#, long(501)), "description", TooLong { max: 500 }),
        (
            "profile",
            r#"{"capabilities":["a","A"],"v":1}"#.into(),
            "capabilities[1]",
            FieldFault::Form(Form::Capability),
        ),
        ("profile", r#"{"capabilities":["b","a"],"v":1}"#.into(), "capabilities[1]", Unsorted),
        ("profile", r#"{"capabilities":["a","a"],"v":1}"#.into(), "capabilities[1]", Unsorted),
        ("profile", r#"{"capabilities":[],"v":1}"#.into(), "capabilities", Empty),
        ("profile", format!(r#"{{"capabilities":[{}],"v":1}}"#, many(65)), "capabilities", TooMany { max: 64 }),
        ("profile", r#"{"endpoints":[{"protocol":"a"}],"v":1}"#.into(), "endpoints[0].url", Missing),
        ("profile", r#"{"endpoints":{},"v":1}"#.into(), "endpoints", FieldFault::Kind(Kind::List)),
        ("profile", r#"{"credentials":[{"type":"a","value":""}],"v":1}"#.into(), "credentials[0].value", Empty),
        ("profile", r#"{"hashes":{"a.b":"00"},"v":1}"#.into(), "hashes.a.b", FieldFault::Form(Form::Label)),
        ("profile", r#"{"hashes":{"a":"00"},"v":1}"#.into(), "hashes.a", FieldFault::Form(Form::Hex32)),
        ("profile", r#"{"metadata":{},"v":1}"#.into(), "metadata", Empty),
        ("revoke_agent", r#"{"v":1}"#.into(), "reason", Missing),
        ("revoke_agent", r#"{"reason":"x","v":1}"#.into(), "reason", FieldFault::NotOneOf(Reason::NAMES)),
        (
            "revoke_agent",
            r#"{"reason":"superseded","suspect_from":1,"v":1}"#.into(),
            "suspect_from",
            Range { min: 2, max: (1 << 53) - 1 },
        ),
        (
            "revoke_agent",
            r#"{"reason":"superseded","recovery":"AA","v":1}"#.into(),
            "recovery",
            FieldFault::Form(Form::Key),
        ),
        (
            "retract",
            format!(r#"{{"link":{{"curr":"{id}","seqno":0}},"v":1}}"#),
            "link.seqno",
            Range { min: 1, max: (1 << 53) - 1 },
        ),
        ("retract", r#"{"v":1}"#.into(), "link", Missing),
        ("receipt", format!(r#"{{"subject":"{id}","v":1}}"#), "link", Missing),
        ("feedback", format!(r#"{{"subject":"{id}","v":1,"value":101}}"#), "value", Range { min: 0, max: 100 }),
        ("feedback", format!(r#"{{"subject":"{id}","tag":"A","v":1,"value":1}}"#), "tag", FieldFault::Form(Form::Tag)),
        (
            "feedback",
            format!(r#"{{"subject":"{}","v":1,"value":1}}"#, id.to_uppercase()),
            "subject",
            FieldFault::Form(Form::Hex32),
        ),
        (
            "attest",
            format!(r#"{{"capabilities":["a"],"expires_ms":-1,"scope":"s","subject":"{id}","v":1}}"#),
            "expires_ms",
            Range { min: 0, max: (1 << 53) - 1 },
        ),
        (
            "attest",
            format!(r#"{{"capabilities":["a"],"expires_ms":1,"scope":"{}","subject":"{id}","v":1}}"#, long(257)),
            "scope",
            TooLong { max: 256 },
        ),
        (
            "attest",
            format!(r#"{{"capabilities":["a"],"conditions":{{}},"expires_ms":1,"scope":"s","subject":"{id}","v":1}}"#),
            "conditions",
            Empty,
        ),
        (
            "attest",
            format!(
                r#"{{"capabilities":["a"],"conditions":{{"require_hosts":["b","a"]}},"expires_ms":1,"scope":"s","subject":"{id}","v":1}}"#
            ),
            "conditions.require_hosts[1]",
            Unsorted,
        ),
        (
            "attest",
            format!(
                r#"{{"capabilities":["a"],"conditions":{{"exclude_hosts":[{}]}},"expires_ms":1,"scope":"s","subject":"{id}","v":1}}"#,
                many(17)
            ),
            "conditions.exclude_hosts",
            TooMany { max: 16 },
        ),
        (
            "notice",
            format!(r#"{{"kind":"ban","subject":"{id}","v":1}}"#),
            "kind",
            FieldFault::NotOneOf(NoticeKind::NAMES),
        ),
        ("notice", format!(r#"{{"kind":"violation","subject":"{id}","v":1}}"#), "severity", Missing),
        (
            "notice",
            format!(r#"{{"kind":"violation","severity":"x","subject":"{id}","v":1}}"#),
            "severity",
            FieldFault::NotOneOf(Severity::NAMES),
        ),
        (
            "notice",
            format!(r#"{{"blocked":1,"kind":"violation","severity":"low","subject":"{id}","v":1}}"#),
            "blocked",
            FieldFault::Kind(Kind::Bool),
        ),
        (
            "notice",
            format!(r#"{{"blocked":false,"kind":"suspend","subject":"{id}","v":1}}"#),
            "blocked",
            NotOfThisNotice,
        ),
        (
            "notice",
            format!(r#"{{"kind":"suspend","severity":"low","subject":"{id}","v":1}}"#),
            "severity",
            NotOfThisNotice,
        ),
        ("notice", format!(r#"{{"kind":"verified","name":"a.b","subject":"{id}","v":1}}"#), "name", NotOfThisNotice),
        ("notice", format!(r#"{{"kind":"bind","subject":"{id}","v":1}}"#), "name", Missing),
        (
            "notice",
            format!(r#"{{"kind":"release","name":"a","subject":"{id}","v":1}}"#),
            "name",
            FieldFault::Form(Form::DomainName),
        ),
        ("policy", r#"{"registrars":[],"v":1}"#.into(), "registrars", Empty),
        ("policy", format!(r#"{{"pretrust":["{id}","{id}"],"v":1}}"#), "pretrust[1]", Unsorted),
        ("policy", r#"{"scoring":"beta/2","v":1}"#.into(), "scoring", FieldFault::NotOneOf(&["beta/1"])),
        ("policy", r#"{"rules":2,"v":1}"#.into(), "rules", Range { min: 1, max: 1 }),
    ] {
        let read = Body::parse(LinkType::from_name(link_type).unwrap(), Some(body.as_bytes()));
        assert_eq!(read, Err(field(path, fault)), "{link_type} {body}");
    }
    for link_type in LinkType::ALL.iter().filter(|link_type| **link_type != LinkType::Action) {
        assert_eq!(Body::parse(*link_type, None), Err(BodyError::Absent));
    }
}

#[test]
fn key_events_that_break_a_rule() {
    let (one, two) = (*key(1).public().as_bytes(), *key(2).public().as_bytes());
    let next = |pk| next_commitment(&pk).to_hex().into();
    let (low, high) = if kid(&one) < kid(&two) { (one, two) } else { (two, one) };
    let b64u = |pk: [u8; 32]| Value::from(soulchain::encoding::b64u_encode(&pk));
    let entry = |pk, roles: &[&str]| {
        let roles = Value::Array(roles.iter().map(|role| Value::from(*role)).collect());
        Value::object([("alg", "ed25519".into()), ("pk", b64u(pk)), ("roles", roles)])
    };
    let set = |keys: Vec<Value>| ("keys", Value::Array(keys));
    let alone = || set(vec![entry(one, &["admin"])]);
    let pop = |pk| Value::object([("kid", Value::from(kid(&pk).to_hex())), ("sig", "A".repeat(86).into())]);
    let guardians = |threshold| {
        let ids = Value::Array(vec!["ab".repeat(32).into()]);
        ("guardians", Value::object([("ids", ids), ("threshold", Value::uint(threshold))]))
    };
    for (link_type, members, path, fault) in [
        (LinkType::Genesis, vec![set(vec![entry(one, &["act"])])], "keys", FieldFault::NoAdmin),
        (LinkType::Genesis, vec![set(vec![])], "keys", FieldFault::Empty),
        (LinkType::Genesis, vec![set(vec![entry(one, &[])])], "keys[0].roles", FieldFault::Empty),
        (LinkType::Genesis, vec![set(vec![entry(one, &["admin", "act"])])], "keys[0].roles[1]", FieldFault::Unsorted),
        (
            LinkType::Genesis,
            vec![set(vec![entry(one, &["recovery"])])],
            "keys[0].roles[0]",
            FieldFault::NotOneOf(&["act", "admin"]),
        ),
        (
            LinkType::Genesis,
            vec![set(vec![entry(high, &["admin"]), entry(low, &["act"])])],
            "keys[1]",
            FieldFault::Unsorted,
        ),
        (LinkType::Genesis, vec![set(vec![entry(one, &["admin"]); 2])], "keys[1]", FieldFault::Unsorted),
        (LinkType::Genesis, vec![set(vec![Value::Null; 17])], "keys", FieldFault::TooMany { max: 16 }),
        (LinkType::Genesis, vec![alone(), ("next", next(one))], "keys[0].pk", FieldFault::KeyOfNext),
        (LinkType::Genesis, vec![alone(), ("pop", Value::Array(vec![]))], "pop", FieldFault::Empty),
        (
            LinkType::Genesis,
            vec![alone(), ("pop", Value::Array(vec![pop(two)]))],
            "pop[0].kid",
            FieldFault::PopOfUnlistedKey,
        ),
        (LinkType::Genesis, vec![alone(), ("name", "log".into())], "name", FieldFault::Reserved),
        (LinkType::Genesis, vec![alone(), ("name", "a.b".into())], "name", FieldFault::Form(Form::Label)),
        (LinkType::Genesis, vec![alone(), guardians(0)], "guardians.threshold", FieldFault::Range { min: 1, max: 1 }),
        (LinkType::Genesis, vec![alone(), guardians(2)], "guardians.threshold", FieldFault::Range { min: 1, max: 1 }),
        (LinkType::Genesis, vec![alone(), ("suspect_from", Value::Int(2))], "suspect_from", FieldFault::Unknown),
        (LinkType::Keys, vec![alone(), ("name", "a".into())], "name", FieldFault::Unknown),
        (LinkType::Keys, vec![alone(), ("next", next(one))], "keys[0].pk", FieldFault::KeyOfNext),
        (LinkType::Recover, vec![alone(), ("next", next(two))], "recovery", FieldFault::Missing),
        (LinkType::Recover, vec![alone(), ("recovery", b64u(two))], "next", FieldFault::Missing),
        (
            LinkType::Recover,
            vec![alone(), ("next", next(two)), ("recovery", b64u(two))],
            "next",
            FieldFault::NextOfRecovery,
        ),
        (
            LinkType::Recover,
            vec![alone(), ("next", next(two)), ("recovery", b64u(one))],
            "keys[0].pk",
            FieldFault::KeyOfRecovery,
        ),
        (
            LinkType::Recover,
            vec![alone(), ("next", next(one)), ("recovery", b64u(two))],
            "keys[0].pk",
            FieldFault::KeyOfNext,
        ),
    ] {
        let bytes = Value::object(members.into_iter().chain([("v", Value::Int(1))])).to_bytes();
        let what = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(Body::parse(link_type, Some(&bytes)), Err(field(path, fault)), "{what}");
    }
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
        (field("keys[1].roles", FieldFault::Empty), "`keys[1].roles` is empty: leave it out"),
        (field("", FieldFault::Kind(Kind::Object)), "the body must be an object"),
        (
            Body::parse(LinkType::Action, Some(br#"{"v":1.5}"#)).unwrap_err(),
            "the body is not canonical JSON: at byte 6: not an integer (put it into a string)",
        ),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

// --- what the tests are made of ---

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

fn collect_strings(json: &Json, out: &mut Vec<String>) {
    match json {
        Json::String(text) => out.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| collect_strings(item, out)),
        Json::Object(members) => members.iter().for_each(|(key, member)| {
            out.push(key.clone());
            collect_strings(member, out);
        }),
        _ => {}
    }
}

/// The profile by other means: read by one crate, written by another, then compared.
fn is_canonical_twin(bytes: &[u8]) -> bool {
    fn keeps_profile(json: &Json, depth: usize) -> bool {
        let is_key_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.:/-".contains(c);
        match json {
            Json::Number(number) => number.as_i64().is_some_and(|number| number.abs() < 1 << 53),
            Json::Array(items) => depth <= 16 && items.iter().all(|item| keeps_profile(item, depth + 1)),
            Json::Object(members) => {
                depth <= 16
                    && members.iter().all(|(key, member)| {
                        (1..=64).contains(&key.len())
                            && key.chars().all(is_key_char)
                            && keeps_profile(member, depth + 1)
                    })
            }
            _ => true,
        }
    }
    let Ok(json) = serde_json::from_slice::<Json>(bytes) else { return false };
    json.is_object()
        && keeps_profile(&json, 1)
        && serde_json_canonicalizer::to_vec(&json).is_ok_and(|canonical| canonical == bytes)
}

fn object() -> impl Strategy<Value = Value> {
    let int = prop_oneof![-3_i64..3, -(1_i64 << 53) + 1..1 << 53];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        int.prop_map(Value::Int),
        any::<String>().prop_map(Value::String),
        "[\\x00-\\x30\"\\\\é\u{2028}🧳]{0,40}".prop_map(Value::String),
    ];
    let value = leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array), members(inner)]
    });
    members(value)
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-z0-9_.:/-]{1,5}", value, 0..5).prop_map(Value::object)
}
