//! Entries, headers, signatures, and the builder that makes them.

use super::{ORIGIN, action, bytes, draft, field, genesis, key, kid_of, later, log_id, text, vectors};
use serde_json::Value as Json;
use soulchain::ed25519::{self, PublicKey, SigningKey};
use soulchain::encoding::{b64_decode, b64u_decode, hex_encode};
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::soul::jcs::Value;
use soulchain::soul::{
    Beside, Body, BodyError, ChainPosition, Code, Draft, FieldFault, Header, Identity, KeyEntry, Kid, Link, LinkError,
    LinkType, LogId, MAX_BODY_LEN, MAX_INLINE_LEN, Outcome, ReadLink, Reason, Refusal, RevokeAgent, Roles, SUITE, Salt,
    Seqno, Trailer, VerifiedLink, check_link, check_pops, kid, next_commitment, pop_message,
};

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
