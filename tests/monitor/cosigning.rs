//! Cosignatures of what was replayed.

use soulchain::encoding::hex_encode;
use soulchain::merkle::{EMPTY_ROOT, TreeSize, consistency_plan};
use soulchain::monitor::{Answer, Desk, Kind};
use soulchain::tlog::{
    AddCheckpointRequest, Cosigner, Ed25519Signer, KeyName, Note, NoteVerifier, Origin, Policy, SignedCheckpoint,
    parse_signature_lines,
};

use crate::log::{Files, LOG_KEY, Log, ORIGIN, root, vkey};
use crate::{Sim, kinds, settings, two_histories};

fn cosigner() -> Cosigner {
    Cosigner::from_seed(KeyName::parse("monitor.example/m1").unwrap(), &[60; 32])
}

fn cosigning() -> Sim {
    Sim::of(settings(), Desk::new(Some(cosigner())))
}

fn shown(sim: &Sim) -> Option<SignedCheckpoint> {
    let hash = hex_encode(&Origin::parse(ORIGIN).unwrap().hash());
    sim.desk.checkpoint(&hash).map(|note| SignedCheckpoint::parse(note.as_bytes()).unwrap())
}

/// A policy can ask for it.
fn is_cosigned(note: &SignedCheckpoint) -> bool {
    let text = format!("log {}\nwitness m {}\nquorum m\n", vkey(LOG_KEY), cosigner().vkey());
    Policy::parse(text.as_bytes()).unwrap().verify_checkpoint(note).is_ok()
}

fn checkpoint(files: &Files) -> SignedCheckpoint {
    SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap()
}

/// What a log sends to a witness.
pub(crate) fn request(log: &Log, old: u64) -> Vec<u8> {
    let leaves = log.leaves();
    let plan = consistency_plan(TreeSize::new(old), TreeSize::new(log.next())).unwrap();
    let node = |node: soulchain::merkle::NodeId| -> Result<_, ()> {
        let from = (node.index << node.level) as usize;
        Ok(root(&leaves[from..from + (1 << node.level)]))
    };
    let path = plan.path(node).unwrap();
    let request = AddCheckpointRequest::new(TreeSize::new(old), path, checkpoint(&log.files())).unwrap();
    request.to_string().into_bytes()
}

#[test]
fn what_is_replayed_is_cosigned() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = cosigning();
    assert_eq!(shown(&sim), None);
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let note = shown(&sim).unwrap();
    assert!(is_cosigned(&note));
    assert_eq!(note.claim().size().get(), 5);
    log.act(&mut alpha);
    log.seal();
    sim.round(&log.files());
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 7);
    sim.restart();
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 7);
    let before = shown(&sim);
    sim.round(&log.files());
    assert_ne!(shown(&sim), before, "it is as new as the last look");
}

#[test]
fn what_is_faulty_or_not_seen_whole_is_not() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = cosigning();
    sim.round(&log.files());
    log.act(&mut alpha);
    log.seal();
    let mut files = log.files();
    files.0.retain(|path, _| !path.starts_with("tile/entries"));
    assert_eq!(kinds(&sim.round(&files)), [Kind::Withheld]);
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 5);
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 7);
    log.push_raw(vec![9]);
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::BadEntry]);
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 7);
    log.act(&mut alpha);
    log.seal();
    sim.restart();
    sim.round(&log.files());
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 7, "nor anything after it");
}

#[test]
fn a_log_that_forked_is_not() {
    let (one, other) = two_histories();
    let mut sim = cosigning();
    sim.round(&one.files());
    let before = shown(&sim);
    assert_eq!(kinds(&sim.round(&other.files())), [Kind::Fork]);
    sim.round(&one.files());
    assert_eq!(shown(&sim), before);
}

/// A log offers a checkpoint that it has not published: it is replayed, and then cosigned.
#[test]
fn add_checkpoint() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let old = log.files();
    let mut sim = cosigning();
    sim.round(&old);
    log.act(&mut alpha);
    log.seal();
    let body = request(&log, 5);
    assert_eq!(sim.desk.add_checkpoint(&body), Answer::NotYet);
    assert_eq!(sim.desk.cosigned(&body), None);
    let mut files = log.files();
    files.0.insert("checkpoint".into(), old.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&files)), [], "the log shows the older one, which is no step back");
    let lines = sim.desk.cosigned(&body).unwrap();
    let lines = parse_signature_lines(lines.as_bytes()).unwrap();
    let mut note = checkpoint(&log.files());
    for line in lines {
        note.add_signature(line).unwrap();
    }
    assert!(is_cosigned(&note));
    assert_eq!(sim.desk.add_checkpoint(&body), Answer::Conflict(TreeSize::new(7)));
    let again = request(&log, 7);
    assert!(matches!(sim.desk.add_checkpoint(&again), Answer::Cosigned(_)));
}

#[test]
fn requests_that_are_refused() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = cosigning();
    sim.round(&log.files());
    let status = |body: &[u8]| match sim.desk.add_checkpoint(body) {
        Answer::Refused(status, _) => status,
        Answer::Conflict(_) => 409,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(b"nothing"), 400);
    log.act(&mut alpha);
    log.seal();
    let good = request(&log, 5);
    assert_eq!(status(&request(&log, 3)), 409);
    let text = String::from_utf8(good.clone()).unwrap();
    assert_eq!(status(text.replace(ORIGIN, "log.example/other").as_bytes()), 404);
    let mut forged = log.files();
    forged.sign(ORIGIN, LOG_KEY + 1, log.next(), log.root());
    let (proof, _) = text.split_once("\n\n").unwrap();
    assert_eq!(status(format!("{proof}\n\n{}", checkpoint(&forged)).as_bytes()), 403);
    let mut other = log.files();
    other.sign(ORIGIN, LOG_KEY, log.next(), EMPTY_ROOT);
    assert_eq!(status(format!("{proof}\n\n{}", checkpoint(&other)).as_bytes()), 422);
    // A tree of size 0 has one root, and an old size above that of the checkpoint is no request.
    let root = soulchain::encoding::b64_encode(log.root().as_bytes());
    let signer = Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[LOG_KEY; 32]);
    let empty = Note::sign(&format!("{ORIGIN}\n0\n{root}\n"), &signer).unwrap();
    assert_eq!(status(format!("old 0\n\n{}", empty.as_str()).as_bytes()), 422);
    assert_eq!(status(text.replace("old 5", "old 500").as_bytes()), 400);
    assert!(matches!(Desk::new(None).add_checkpoint(&good), Answer::Refused(404, _)));
    assert!(NoteVerifier::new(cosigner().vkey().clone()).is_ok());
}

/// What is refused is still what the log signed: the larger tree of another history, brought by somebody who has seen it.
#[test]
fn an_offer_that_is_refused_is_remembered() {
    let (one, mut other) = two_histories();
    other.seal_after_acts(2);
    for (old, refusal) in
        [(6, Answer::Conflict(TreeSize::new(7))), (7, Answer::Refused(422, "the proof does not hold"))]
    {
        let mut sim = cosigning();
        assert_eq!(kinds(&sim.round(&one.files())), []);
        assert_eq!(sim.desk.add_checkpoint(&request(&other, old)), refusal);
        assert_eq!(kinds(&sim.round(&one.files())), [Kind::Withheld]);
        sim.restart();
        let mut later = two_histories().0;
        while later.next() < other.next() {
            later.seal_after_acts(1);
        }
        let reports = sim.round(&later.files());
        assert_eq!(kinds(&reports), [Kind::Fork, Kind::Resolved], "{reports:#?}");
        crate::check_under_log_key(&sim.evidence(&reports[0]));
    }
}
