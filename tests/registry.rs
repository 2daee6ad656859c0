//! The fold against the vectors of formats.md: a whole log batch by batch, links that must be refused, faulty logs.
//!
//! Evidence (reputation.md) is not weighed by the fold; where a record of a vector shows some, it is compared without.
//! Map roots are compared all the same, over the registry's leaves with the vector's evidence put in.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test")]

mod common;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use soulchain::encoding::{UnixMillis, b64_decode, hex_encode};
use soulchain::hash::Hash;
use soulchain::map::identity_value;
use soulchain::merkle::{Frontier, LeafIndex, TreeSize, leaf_hash};
use soulchain::registry::{
    Evidence, Fault, FaultReason, History, IdentityState, Leaf, PastLink, Record, Refusal, Registry, Replay,
    TrailerFault,
};
use soulchain::soul::{
    Body, Code, Identity, Link, LinkType, LogId, ReadLink, Seqno, TRAILER_ENTRY_KIND, Trailer, VerifiedLink,
};

/// A log as its own node holds it: it trusts its trailers.
struct Log {
    registry: Registry,
    past: Past,
    frontier: Frontier,
}

#[derive(Default)]
struct Past {
    links: HashMap<(Identity, Seqno), PastLink>,
    unsealed: Vec<((Identity, Seqno), PastLink)>,
    trailers: Vec<(LeafIndex, UnixMillis)>,
    roots: HashMap<TreeSize, Hash>,
}

impl History for Past {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.links.get(&(*identity, seqno)).copied()
    }

    fn root_at(&self, size: TreeSize) -> Option<Hash> {
        self.roots.get(&size).copied()
    }

    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        self.trailers.iter().find(|(trailer, _)| *trailer > index).map(|(_, time)| *time)
    }
}

impl Log {
    fn new(origin: &str) -> Self {
        let registry = Registry::new(LogId::of_origin(origin));
        Self { registry, past: Past::default(), frontier: Frontier::new() }
    }

    fn of(origin: &str, entries: &[Vec<u8>]) -> Self {
        let mut log = Self::new(origin);
        for entry in entries {
            log.push(entry, UnixMillis::new(u64::MAX)).unwrap();
        }
        log
    }

    fn index(&self) -> LeafIndex {
        self.frontier.size().next_index()
    }

    fn verify(&self, entry: &[u8]) -> Result<VerifiedLink, Refusal> {
        let link = Link::parse_entry(entry).map_err(soulchain::soul::Refusal::from)?;
        self.registry.verify(ReadLink::read(link, None, log_id())?)
    }

    fn admit(&self, entry: &[u8], clock: UnixMillis) -> Result<VerifiedLink, Refusal> {
        let link = self.verify(entry)?;
        self.registry.admit(self.index(), &link, &self.past, clock)?;
        Ok(link)
    }

    fn push(&mut self, entry: &[u8], clock: UnixMillis) -> Result<(), Refusal> {
        if entry[0] == TRAILER_ENTRY_KIND {
            self.follow(entry);
        } else {
            let link = self.verify(entry)?;
            let admitted = self.registry.admit(self.index(), &link, &self.past, clock)?;
            let header = link.header();
            let chain = if header.identity.is_zero() { Identity::from(link.curr()) } else { header.identity };
            self.past.unsealed.push(((chain, header.seqno), admitted.as_past()));
            self.registry.apply(&admitted);
        }
        self.frontier.push(leaf_hash(entry));
        Ok(())
    }

    fn follow(&mut self, entry: &[u8]) {
        let trailer = Trailer::parse(entry).expect("a trailer");
        assert_eq!(trailer.covers, self.index());
        assert_eq!(trailer.identities, self.registry.identities());
        self.registry.follow(&trailer);
        let mut frontier = self.frontier.clone();
        frontier.push(leaf_hash(entry));
        self.past.roots.insert(frontier.size(), frontier.root());
        self.past.trailers.push((self.index(), trailer.log_time));
        self.past.links.extend(self.past.unsealed.drain(..));
    }

    fn map_root(&self) -> String {
        self.registry.committed().map().root().to_hex()
    }
}

fn log_id() -> LogId {
    LogId::of_origin("log.example/soul1")
}

fn vectors(file: &str) -> Option<Value> {
    let Some(path) = common::shared(&format!("vectors/soulchain/{file}")) else {
        println!("skipped: no vectors here");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    b64_decode(value.as_str().unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn identity(value: &Value) -> Identity {
    Identity::from_hex(value.as_str().unwrap()).unwrap()
}

/// The record without evidence, and whether it had any.
fn without_evidence(bytes: &[u8]) -> (Record, bool) {
    let mut record = Record::parse(bytes).unwrap();
    assert_eq!(record.to_bytes(), bytes, "a record that was read is written as it was");
    let had = record.standing.evidence != Evidence::default();
    std::sync::Arc::make_mut(&mut record.standing).evidence = Evidence::default();
    (record, had)
}

#[test]
fn a_whole_log_batch_by_batch() {
    let Some(chain) = vectors("chain.json") else { return };
    let mut log = Log::new(chain["origin"].as_str().unwrap());
    let (mut evidence, mut roots_compared) = (false, 0);
    let mut newest = HashMap::new();
    let mut kids = HashMap::new();
    for (number, batch) in list(&chain["batches"]).iter().enumerate() {
        for entry in list(&batch["entries"]) {
            let entry_bytes = bytes(&entry["entry"]);
            let link = Link::parse_entry(&entry_bytes).unwrap();
            kids.insert(link.curr(), link.header().kid);
            assert_eq!(log.index().get(), entry["index"].as_u64().unwrap());
            log.push(&entry_bytes, UnixMillis::new(batch["log_time_ms"].as_u64().unwrap())).unwrap();
        }
        log.push(&hex(&batch["trailer"]), UnixMillis::ZERO).unwrap();
        for (who, record) in batch["records"].as_object().unwrap() {
            let (expected, had) = without_evidence(record.as_str().unwrap().as_bytes());
            evidence |= had;
            newest.insert(expected.identity, record.as_str().unwrap().to_owned());
            let state = log.registry.identity(&identity(&chain["identities"][who])).unwrap();
            assert_eq!(state.record, expected, "{who} after batch {number}");
            if !had {
                assert_eq!(state.record.to_bytes(), record.as_str().unwrap().as_bytes());
            }
            assert_eq!(IdentityState::from_bytes(&state.to_bytes()).as_ref(), Some(&*state));
        }
        assert_eq!(log.frontier.root().to_hex(), batch["root"].as_str().unwrap());
        assert_eq!(root_with_evidence(&log, &newest), batch["map_root"].as_str().unwrap(), "batch {number}");
        if !evidence {
            assert_eq!(log.map_root(), batch["map_root"].as_str().unwrap(), "batch {number}");
            roots_compared += 1;
        }
    }
    assert_eq!(roots_compared, 4, "evidence appears in the fifth batch");
    check_final(&chain, &log, &kids);
    check_restored(&log);
}

/// The map root over the leaves that the registry has, each record in the vector's own bytes, which show its evidence.
fn root_with_evidence(log: &Log, newest: &HashMap<Identity, String>) -> String {
    let mut tree = log.registry.committed().map().clone();
    let leaves: Vec<_> = tree.iter().cloned().collect();
    for leaf in leaves {
        if let Leaf::Identity(held) = &leaf.payload {
            let state = held.state();
            let record = newest[&state.record.identity].as_bytes();
            assert_eq!(state.record, without_evidence(record).0, "no record changes but those of the batch");
            tree.update(vec![(leaf.key, Some((identity_value(record), leaf.payload.clone())))]);
        }
    }
    tree.root().to_hex()
}

fn check_final(chain: &Value, log: &Log, kids: &HashMap<soulchain::soul::Curr, soulchain::soul::Kid>) {
    let names = chain["final"]["names"].as_object().unwrap();
    for (name, holder) in names {
        assert_eq!(log.registry.name(name), Some(identity(holder)), "{name}");
    }
    let held: usize = log.registry.committed().map().len() - usize::try_from(log.registry.identities()).unwrap();
    assert_eq!(held, names.len());
    for (who, status) in chain["final"]["status"].as_object().unwrap() {
        let state = log.registry.identity(&identity(&chain["identities"][who])).unwrap();
        assert_eq!(state.record.standing.status.name(), status.as_str().unwrap(), "{who}");
    }
    let mut disputed = BTreeSet::new();
    for ((chain, seqno), link) in &log.past.links {
        let record = log.registry.identity(chain).unwrap().record.clone();
        if record.disputed(*seqno, &kids[&link.curr]) {
            disputed.insert((chain.to_hex(), seqno.get(), link.index.get()));
        }
    }
    let expected = list(&chain["final"]["disputed"]).iter().map(|link| {
        let who = chain["identities"][link["who"].as_str().unwrap()].as_str().unwrap().to_owned();
        (who, link["seqno"].as_u64().unwrap(), link["index"].as_u64().unwrap())
    });
    assert_eq!(disputed, expected.collect());
}

/// A registry that is made from parts has the same map, and the same parts.
fn check_restored(log: &Log) {
    let parts = log.registry.parts().unwrap();
    let restored = Registry::restore(log_id(), parts.clone());
    assert_eq!(restored.committed().map().root().to_hex(), log.map_root());
    assert_eq!(restored.parts(), Some(parts));
}

fn hex(value: &Value) -> Vec<u8> {
    soulchain::encoding::hex_decode(value.as_str().unwrap()).unwrap()
}

/// `prefix` and `cases`, and `empty_log_cases`: the prefix is a log, each case is offered as its next entry, or as the
/// first entry of a log without any.
#[test]
fn links_are_admitted_or_refused_with_their_code() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let prefix: Vec<_> = list(&vectors["prefix"]).iter().map(bytes).collect();
    let origin = vectors["origin"].as_str().unwrap();
    let (mut wrong, mut answered, mut types) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (log, cases) in [(Log::of(origin, &prefix), &vectors["cases"]), (Log::new(origin), &vectors["empty_log_cases"])]
    {
        for case in list(cases) {
            let clock = UnixMillis::new(case["clock_ms"].as_u64().unwrap());
            let codes: Vec<_> = list(&case["codes"]).iter().map(|code| code.as_str().unwrap()).collect();
            let entry = bytes(&case["entry"]);
            types.extend(Link::parse_entry(&entry).map(|link| link.header().link_type.as_str()));
            let verdict = log.admit(&entry, clock).map_err(|refusal| refusal.code().as_str());
            answered.extend(verdict.as_ref().err());
            let as_it_must = match verdict {
                Ok(_) => codes.is_empty(),
                Err(code) => codes.contains(&code),
            };
            if !as_it_must {
                wrong.push(format!("{}: {:?}, wanted {codes:?}", case["name"], verdict.map(drop)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(answered, Code::NAMES.iter().copied().collect(), "each code is answered");
    assert_eq!(types, LinkType::NAMES.iter().copied().collect(), "each type is offered");
}

/// `trailers.links` and `trailers.cases`: the links are a batch after the prefix, each case is offered as its trailer.
#[test]
fn trailers_are_followed_or_reported() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let (origin, entries) = before_trailers(&vectors);
    for case in list(&vectors["trailers"]["cases"]) {
        let mut log = Log::of(origin, &entries);
        let index = log.index();
        let trailer = Trailer::parse(&bytes(&case["entry"])).ok_or(TrailerFault::Malformed);
        let verdict = trailer.and_then(|trailer| log.registry.check_trailer(index, &trailer).map(drop));
        assert_eq!(verdict.is_ok(), case["ok"].as_bool().unwrap(), "{}: {verdict:?}", case["name"]);
    }
}

/// `trailers.second`: a trailer right after the case that it names, with no other fault than that.
#[test]
fn a_trailer_after_a_trailer_is_reported() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let (origin, mut entries) = before_trailers(&vectors);
    let (trailers, second) = (&vectors["trailers"], &vectors["trailers"]["second"]);
    let before = list(&trailers["cases"]).iter().find(|case| case["name"] == second["after"]).unwrap();
    entries.push(bytes(&before["entry"]));
    let entry = bytes(&second["entry"]);

    let mut replay = Replay::new(LogId::of_origin(origin));
    for entry in entries.iter().chain([&entry]) {
        replay.push(entry).unwrap();
    }
    let index = LeafIndex::new(entries.len() as u64);
    let fault = Fault { index, link: None, reason: FaultReason::Trailer(TrailerFault::FollowsTrailer) };
    assert_eq!(replay.faults(), [fault]);

    let mut log = Log::of(origin, &entries);
    let verdict = log.registry.check_trailer(index, &Trailer::parse(&entry).unwrap());
    assert!(verdict.is_ok(), "all that it says is true: {verdict:?}");
}

/// Every member of the file is one that a test here runs.
#[test]
fn no_part_of_the_bad_links_is_left_out() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let expected = |members: &[&str]| members.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(names(&vectors), expected(&["origin", "prefix", "cases", "empty_log_cases", "trailers"]));
    assert_eq!(names(&vectors["trailers"]), expected(&["links", "cases", "second"]));
}

/// The log that the trailers of `bad_links.json` are offered to: its origin, and its entries.
fn before_trailers(vectors: &Value) -> (&str, Vec<Vec<u8>>) {
    let entries = [&vectors["prefix"], &vectors["trailers"]["links"]].into_iter().flat_map(list);
    (vectors["origin"].as_str().unwrap(), entries.map(bytes).collect())
}

#[test]
fn a_monitor_reports_what_an_honest_log_would_not_have() {
    let Some(vectors) = vectors("faulty_logs.json") else { return };
    for case in list(&vectors["logs"]) {
        let name = case["name"].as_str().unwrap();
        let mut replay = Replay::new(log_id());
        for entry in list(&case["entries"]) {
            let taken = replay.push(&bytes(entry));
            assert_eq!(taken.is_err(), replay.stopped().is_some(), "{name}");
        }
        let mut reported: Vec<_> = replay.faults().iter().map(|fault| fault.index.get()).collect();
        reported.sort_unstable();
        let expected: Vec<_> = list(&case["reported"]).iter().map(|index| index.as_u64().unwrap()).collect();
        assert_eq!(reported, expected, "{name}: {:#?}", replay.faults());
        assert_eq!(replay.stopped().map(|stop| stop.index.get()), case["stops_at"].as_u64(), "{name}");
        let registry = replay.registry();
        for (id, seqno) in case["identities"].as_object().unwrap() {
            let state = registry.identity(&Identity::from_hex(id).unwrap()).unwrap();
            assert_eq!(Some(state.record.head.seqno.get()), seqno.as_u64(), "{name}");
        }
        assert_eq!(registry.identities(), case["identities"].as_object().unwrap().len() as u64, "{name}");
        assert_eq!(Some(registry.log_time().get()), case["log_time_ms"].as_u64(), "{name}");
        assert_eq!(Some(hex_encode(registry.committed().map().root().as_bytes()).as_str()), case["map_root"].as_str());
        let anchors: Vec<_> =
            (1..=100).filter(|size| replay.history().root_at(TreeSize::new(*size)).is_some()).collect();
        let expected: Vec<_> = list(&case["anchors"]).iter().map(|size| size.as_u64().unwrap()).collect();
        assert_eq!(anchors, expected, "{name}");
    }
}

/// Up to the batch in which evidence appears a monitor finds nothing wrong; then it finds the map root, and only that.
#[test]
fn a_monitor_follows_an_honest_log() {
    let Some(chain) = vectors("chain.json") else { return };
    let mut replay = Replay::new(log_id());
    for batch in &list(&chain["batches"])[..5] {
        assert!(replay.faults().is_empty());
        for entry in list(&batch["entries"]) {
            replay.push(&bytes(&entry["entry"])).unwrap();
        }
        replay.push(&hex(&batch["trailer"])).unwrap();
        assert_eq!(replay.root().to_hex(), batch["root"].as_str().unwrap());
    }
    let reasons: Vec<_> = replay.faults().iter().map(|fault| &fault.reason).collect();
    assert!(matches!(reasons[..], [FaultReason::Trailer(TrailerFault::MapRoot(_))]), "{reasons:?}");
}

#[test]
fn a_repeat_is_found_at_its_index() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let prefix: Vec<_> = list(&vectors["prefix"]).iter().map(bytes).collect();
    let log = Log::of(vectors["origin"].as_str().unwrap(), &prefix);
    let mut seen = 0;
    for (index, entry) in prefix.iter().enumerate().filter(|(_, entry)| entry[0] != TRAILER_ENTRY_KIND) {
        let link = Link::parse_entry(entry).unwrap();
        let logged = log.registry.logged(link.curr(), link.header(), &log.past);
        assert_eq!(logged, Some(LeafIndex::new(index as u64)));
        let mut header = link.header().clone();
        header.seqno = header.seqno.next();
        let another = log.registry.logged(link.curr(), &header, &log.past);
        assert!(another.is_none() || another == logged);
        seen += usize::from(!matches!(ReadLink::read(link, None, log_id()).unwrap().body(), Body::Genesis(_)));
    }
    assert!(seen > 10);
}

#[test]
fn a_record_of_another_form_is_none() {
    let Some(chain) = vectors("chain.json") else { return };
    let text = chain["batches"][20]["records"]["gina"].as_str().unwrap();
    assert!(Record::parse(text.as_bytes()).is_ok());
    let record: Value = serde_json::from_str(text).unwrap();
    let key = |at: usize| record["keys"][at].to_string();
    let swapped = |a: String, b: String| (format!("{a},{b}"), format!("{b},{a}"));
    let overlay = |at: usize| record["overlays"][at].to_string();
    let guardian = |at: usize| record["guardians"]["ids"][at].to_string();
    let kid = |at: usize| record["keys"][at]["kid"].as_str().unwrap().to_owned();
    let cases = [
        ("\"v\":1".to_owned(), "\"v\":2".to_owned()),
        (",\"verified\":false".to_owned(), String::new()),
        (",\"verified\":false".to_owned(), ",\"verified\":0".to_owned()),
        ("\"verified\":false".to_owned(), "\"verified\":false,\"w\":1".to_owned()),
        ("{\"controller\"".to_owned(), "{\"a\":1,\"controller\"".to_owned()),
        ("\"evidence\":{".to_owned(), "\"domains\":[],\"evidence\":{".to_owned()),
        ("\"r\":0,".to_owned(), String::new()),
        ("\"status\":\"revoked\"".to_owned(), "\"status\":\"gone\"".to_owned()),
        ("\"threshold\":2".to_owned(), "\"threshold\":4".to_owned()),
        ("\"threshold\":2".to_owned(), "\"threshold\":0".to_owned()),
        ("\"kind\":\"suspend\"".to_owned(), "\"kind\":\"release\"".to_owned()),
        ("\"roles\":[\"admin\"]".to_owned(), "\"roles\":[]".to_owned()),
        ("\"roles\":[\"admin\"]".to_owned(), "\"roles\":[\"admin\",\"act\"]".to_owned()),
        ("\"roles\":[\"admin\"]".to_owned(), "\"roles\":[\"admin\"],\"suspect_by\":3".to_owned()),
        ("\"alg\":\"ed25519\"".to_owned(), "\"alg\":\"ed448\"".to_owned()),
        ("\"seqno\":5".to_owned(), "\"seqno\":0".to_owned()),
        (kid(0), format!("{}00", &kid(0)[..62])),
        swapped(key(0), key(1)),
        swapped(overlay(0), overlay(1)),
        swapped(guardian(0), guardian(1)),
    ];
    for (from, to) in cases {
        assert!(text.contains(&from), "{from}");
        assert!(Record::parse(text.replacen(&from, &to, 1).as_bytes()).is_err(), "{from} as {to}");
    }
}

#[test]
fn a_stored_state_that_is_cut_is_none() {
    let Some(vectors) = vectors("bad_links.json") else { return };
    let prefix: Vec<_> = list(&vectors["prefix"]).iter().map(bytes).collect();
    let log = Log::of(vectors["origin"].as_str().unwrap(), &prefix);
    for state in log.registry.parts().unwrap().identities {
        let bytes = state.to_bytes();
        assert_eq!(IdentityState::from_bytes(&bytes), Some(state));
        for len in 0..bytes.len() {
            assert_eq!(IdentityState::from_bytes(&bytes[..len]), None);
        }
        assert_eq!(IdentityState::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
}
