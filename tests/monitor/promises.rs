//! Proofs that clients were given at once, under the log's instant key.

use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{LeafIndex, TreeSize, inclusion_plan};
use soulchain::monitor::{Desk, Kind, LogSettings};
use soulchain::soul::{Body, Profile, Seqno};
use soulchain::tlog::{Checkpoint, Ed25519Signer, NoteVerifier, Origin, Policy, TlogProof, Vkey, sign_checkpoint};
use soulchain::verify::{Doubt, Evidence, convict};

use crate::log::{Agent, BOTH, Log, ORIGIN, key, listed, root, vkey};
use crate::{Sim, check_evidence, check_under_log_key, kinds, only, settings};

const INSTANT: u8 = 201;

/// A log whose registrar names the instant key; its two agents.
fn naming(names: bool) -> (Log, Agent, Agent, Agent) {
    let (mut log, alpha, beta) = Log::with_agents();
    let identity = log.registry.office().registrar.unwrap();
    let curr = log.registry.identity(&identity).unwrap().record.head.curr;
    let mut registrar = Agent { identity, seqno: Seqno::FIRST, prev: curr, auth: curr, key: 10 };
    let hash = sha256(&[vkey(INSTANT).as_bytes()]);
    let hashes = if names { vec![("instant-key".into(), hash)] } else { vec![("other".into(), hash)] };
    // A key more, so that the profile rests on a key event that is not the genesis.
    let keys = Body::Keys(soulchain::soul::Keys {
        keys: listed(&[(10, BOTH), (11, BOTH)]),
        next: None,
        custodian: None,
        pop: registrar.pops(&[11]),
        suspect_from: None,
    });
    let link = log.link(&registrar, 10, &keys);
    log.push(&link);
    registrar.advance(&link);
    let profile = Body::Profile(Profile { hashes, ..Profile::default() });
    let link = log.link(&registrar, 11, &profile);
    log.push(&link);
    registrar.advance(&link);
    log.seal();
    (log, registrar, alpha, beta)
}

/// The proof that a client is given of the entry before the last.
fn promise(log: &Log, signer: u8) -> Vec<u8> {
    let origin = Origin::parse(ORIGIN).unwrap();
    let signer = Ed25519Signer::from_seed(origin.key_name().clone(), &[signer; 32]);
    let checkpoint = Checkpoint::new(origin, TreeSize::new(log.next()), log.root()).unwrap();
    let index = LeafIndex::new(log.next() - 2);
    let leaves = log.leaves();
    let plan = inclusion_plan(index, TreeSize::new(log.next())).unwrap();
    let node = |node: soulchain::merkle::NodeId| -> Result<Hash, ()> {
        let (from, len) = ((node.index << node.level) as usize, 1_usize << node.level);
        Ok(root(&leaves[from..from + len]))
    };
    let path = plan.path(node).unwrap();
    let note = sign_checkpoint(&checkpoint, &signer).unwrap();
    TlogProof::new(None, index, path, note).unwrap().to_string().into_bytes()
}

fn knowing_the_key() -> Sim {
    let key = NoteVerifier::new(Vkey::parse(&vkey(INSTANT)).unwrap()).unwrap();
    Sim::of(LogSettings { instant_keys: vec![key], ..settings() }, Desk::default())
}

fn handed(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    vec![("act.tlog-proof".into(), bytes)]
}

#[test]
fn a_promise_that_is_kept() {
    let (mut log, _, mut alpha, _) = naming(true);
    let old = log.files();
    log.act(&mut alpha);
    log.seal();
    let mut sim = knowing_the_key();
    assert_eq!(kinds(&sim.round_with(&old, handed(promise(&log, INSTANT)))), []);
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    sim.now += 10_000_000;
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// The log goes on without it. The evidence is for all who know the log key: the key that promised is the log's by its own word.
#[test]
fn a_promise_that_is_broken() {
    let (promised, mut log, mut beta) = broken(true);
    let mut sim = knowing_the_key();
    assert_eq!(kinds(&sim.round_with(&log.files(), handed(promised))), []);
    log.act(&mut beta);
    log.act(&mut beta);
    log.seal();
    sim.restart();
    let report = only(sim.round(&log.files()), Kind::PromiseBroken);
    let evidence = sim.evidence(&report);
    let conviction = check_under_log_key(&evidence);
    assert_eq!(conviction.keys().len(), 2);
    // Who lists the key needs no such proof of it, and it does no harm.
    let listed = format!("log {}\nlog {}\nquorum none\n", vkey(crate::log::LOG_KEY), vkey(INSTANT));
    check_evidence(&evidence, &Policy::parse(listed.as_bytes()).unwrap(), &listed);
    // It is needed by those who do not.
    let Evidence::Fork(mut fork) = Evidence::parse(&evidence).unwrap() else { panic!() };
    fork.named = None;
    let bare = Evidence::Fork(fork.clone());
    assert!(matches!(convict(&bare, &settings().policy), Err(Doubt::Signature(_))));
    assert!(convict(&bare, &Policy::parse(listed.as_bytes()).unwrap()).is_ok());
}

/// A history in which the promised link is, and one in which it is not.
fn broken(names: bool) -> (Vec<u8>, Log, Agent) {
    let (mut one, _, mut alpha, _) = naming(names);
    one.act(&mut alpha);
    one.seal();
    let (log, _, _, beta) = naming(names);
    (promise(&one, INSTANT), log, beta)
}

/// A key that the log never named: anybody could have signed that.
#[test]
fn a_key_that_the_log_did_not_name() {
    let (promised, mut log, mut beta) = broken(false);
    let mut sim = knowing_the_key();
    assert_eq!(kinds(&sim.round_with(&log.files(), handed(promised))), []);
    log.act(&mut beta);
    log.act(&mut beta);
    log.seal();
    let report = only(sim.round(&log.files()), Kind::PromiseBroken);
    let evidence = Evidence::parse(&sim.evidence(&report)).unwrap();
    assert!(matches!(convict(&evidence, &settings().policy), Err(Doubt::Signature(_))));
    // Put into the place of the one that was named, it is found out.
    let (promised, mut other, mut beta) = broken(true);
    let mut sim = knowing_the_key();
    sim.round_with(&other.files(), handed(promised));
    other.act(&mut beta);
    other.act(&mut beta);
    other.seal();
    let report = only(sim.round(&other.files()), Kind::PromiseBroken);
    let Evidence::Fork(mut fork) = Evidence::parse(&sim.evidence(&report)).unwrap() else { panic!() };
    fork.named.as_mut().unwrap().vkey = Vkey::parse(&vkey(202)).unwrap();
    assert!(matches!(convict(&Evidence::Fork(fork), &settings().policy), Err(Doubt::NotNamed)));
    assert_ne!(key(201).public().as_bytes(), key(202).public().as_bytes());
}

#[test]
fn a_promise_that_no_checkpoint_covers() {
    let (mut log, _, mut alpha, _) = naming(true);
    let old = log.files();
    log.time += 650_000;
    log.act(&mut alpha);
    log.seal();
    let mut sim = knowing_the_key();
    assert_eq!(kinds(&sim.round_with(&old, handed(promise(&log, INSTANT)))), []);
    sim.now += 300_000;
    assert_eq!(kinds(&sim.round(&old)), []);
    // That this monitor did not run is no fault of the log.
    sim.now += 3_600_000;
    sim.restart();
    assert_eq!(kinds(&sim.round(&old)), []);
    sim.now += 300_000;
    log.time = sim.now;
    log.act(&mut alpha);
    log.seal();
    let report = only(sim.round(&old), Kind::PromiseUnkept);
    assert_eq!(report.evidence, None);
    assert!(report.text.contains("act.tlog-proof"), "{}", report.text);
    sim.restart();
    assert_eq!(kinds(&sim.round(&old)), []);
    assert_eq!(kinds(&sim.round(&log.files())), [], "it was late, and is kept");
}

/// Whoever can hand in files cannot make the monitor forget what it has seen and told.
#[test]
fn many_files_that_are_no_promise() {
    let (one, other) = crate::two_histories();
    let mut sim = knowing_the_key();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    assert_eq!(kinds(&sim.round(&other.files())), [Kind::Fork]);
    let many = (0..=soulchain::monitor::MAX_TOLD).map(|at| (format!("{at}"), b"nothing".to_vec())).collect();
    let reports = sim.round_with(&one.files(), many);
    assert_eq!(
        reports.iter().filter(|report| report.kind == Kind::BadPromise).count(),
        soulchain::monitor::MAX_TOLD + 1
    );
    let again = vec![(format!("{}", soulchain::monitor::MAX_TOLD), b"nothing".to_vec())];
    assert_eq!(kinds(&sim.round_with(&other.files(), again)), [Kind::Resolved], "all is told, and no step back");
}

/// Nor the log, by signing very many trees: the first of them stay.
#[test]
fn many_trees_that_the_log_signed() {
    let (one, other) = crate::two_histories();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let mut larger = other;
    larger.seal_after_acts(2);
    let sign = |size: u64, root: Hash| {
        let mut files = larger.files();
        files.sign(ORIGIN, crate::log::LOG_KEY, size, root);
        let note = soulchain::tlog::SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap();
        let proof = TlogProof::new(None, LeafIndex::new(0), Vec::new(), note).unwrap();
        proof.to_string().into_bytes()
    };
    let mut many = vec![("first".to_owned(), sign(larger.next(), larger.root()))];
    many.extend((0..1100_u64).map(|at| (format!("{at}"), sign(1_000_000 + at, Hash::from_bytes([1; 32])))));
    let reports = sim.round_with(&one.files(), many);
    assert_eq!(kinds(&reports), [Kind::Withheld], "{reports:#?}");
    let mut honest = one;
    while honest.next() < larger.next() {
        honest.seal_after_acts(1);
    }
    let reports = sim.round(&honest.files());
    assert!(kinds(&reports).contains(&Kind::PromiseBroken), "{reports:#?}");
}

#[test]
fn what_is_no_promise_of_this_log() {
    let (log, _, _, _) = naming(true);
    let mut sim = knowing_the_key();
    assert_eq!(kinds(&sim.round_with(&log.files(), handed(promise(&log, 99)))), [Kind::BadPromise]);
    let other = vec![("other".into(), b"nothing".to_vec())];
    assert_eq!(kinds(&sim.round_with(&log.files(), other)), [Kind::BadPromise]);
    // A name that comes again is another file, unless it holds the same.
    for (bytes, told) in [(b"nothing", 0), (b"changed", 1), (b"changed", 0)] {
        let again = vec![("other".into(), bytes.to_vec())];
        assert_eq!(sim.round_with(&log.files(), again).len(), told);
    }
}
