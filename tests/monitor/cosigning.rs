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

pub(crate) fn cosigner() -> Cosigner {
    Cosigner::from_seed(KeyName::parse("monitor.example/m1").unwrap(), &[60; 32])
}

fn cosigning() -> Sim {
    Sim::of(settings(), Desk::new(Some(cosigner())))
}

/// The desk, as those who post see it.
impl Sim {
    fn add_checkpoint(&self, body: &[u8]) -> Answer {
        self.desk.read(body).map_or_else(|answer| answer, |request| self.desk.add_checkpoint(&request))
    }

    fn outcome(&self, body: &[u8]) -> Option<Answer> {
        self.desk.outcome(&self.desk.read(body).unwrap())
    }

    fn cosigned(&self, body: &[u8]) -> Option<String> {
        self.desk.cosigned(&self.desk.read(body).unwrap())
    }
}

pub(crate) fn shown(sim: &Sim) -> Option<SignedCheckpoint> {
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

/// A hash tile that is wrong hides nothing of the entries, which are proven without it; and what is not served as it is, is
/// not cosigned.
#[test]
fn a_wrong_tile_hides_no_fault_and_is_not_cosigned() {
    let spoiled = |log: &Log| {
        let mut files = log.files();
        let path = files.0.keys().find(|path| path.starts_with("tile/0/")).unwrap().clone();
        files.change(&path, |bytes| bytes[0] ^= 1);
        files
    };
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = cosigning();
    assert_eq!(kinds(&sim.round(&spoiled(&log))), [Kind::BadFiles]);
    sim.round(&spoiled(&log));
    assert_eq!(shown(&sim), None);
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    assert_eq!(shown(&sim).unwrap().claim().size().get(), 7);
    log.push_raw(vec![9; 3]);
    log.seal();
    let mut sim = cosigning();
    let reports = sim.round(&spoiled(&log));
    // The tile would show where the entry stands.
    assert_eq!(kinds(&reports), [Kind::BadFiles, Kind::Suspicion], "{reports:#?}");
    assert_eq!(shown(&sim), None);
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::BadEntry]);
    assert_eq!(shown(&sim), None);
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
    assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
    assert_eq!(sim.cosigned(&body), None);
    let mut files = log.files();
    files.0.insert("checkpoint".into(), old.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&files)), [], "the log shows the older one, which is no step back");
    let lines = sim.cosigned(&body).unwrap();
    let lines = parse_signature_lines(lines.as_bytes()).unwrap();
    let mut note = checkpoint(&log.files());
    for line in lines {
        note.add_signature(line).unwrap();
    }
    assert!(is_cosigned(&note));
    assert_eq!(sim.add_checkpoint(&body), Answer::Conflict(TreeSize::new(7)));
    let again = request(&log, 7);
    assert!(matches!(sim.add_checkpoint(&again), Answer::Cosigned(_)));
}

#[test]
fn requests_that_are_refused() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = cosigning();
    sim.round(&log.files());
    let status = |body: &[u8]| match sim.add_checkpoint(body) {
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
    assert!(matches!(Desk::new(None).read(&good), Err(Answer::Refused(404, _))));
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
        assert_eq!(sim.add_checkpoint(&request(&other, old)), refusal);
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

/// A request with a checkpoint that the log signed at another time.
fn signed(log: &Log, old: u64, size: u64, root: soulchain::hash::Hash) -> Vec<u8> {
    let mut files = log.files();
    files.sign(ORIGIN, LOG_KEY, size, root);
    AddCheckpointRequest::new(TreeSize::new(old), Vec::new(), checkpoint(&files)).unwrap().to_string().into_bytes()
}

/// Whoever brings all the old checkpoints of a log is refused at once, and keeps no place from the newest.
#[test]
fn old_checkpoints_have_no_place() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sizes = Vec::new();
    for _ in 0..80 {
        sizes.push(log.next());
        log.act(&mut alpha);
        log.seal();
    }
    let old = log.files();
    let mut sim = cosigning();
    sim.round(&old);
    let size = log.next();
    for at in sizes {
        let body = signed(&log, 0, at, root(&log.leaves()[..at as usize]));
        assert_eq!(sim.add_checkpoint(&body), Answer::Conflict(TreeSize::new(size)));
        assert_eq!(sim.outcome(&body), Some(Answer::Conflict(TreeSize::new(size))), "nobody waits");
    }
    log.act(&mut alpha);
    log.seal();
    let body = request(&log, size);
    assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
    assert_eq!(sim.outcome(&body), None, "it waits for a round");
    let mut files = log.files();
    files.0.insert("checkpoint".into(), old.0["checkpoint"].clone());
    sim.round(&files);
    assert!(sim.cosigned(&body).is_some());
}

/// Of the steps forward the largest has the place; who brought another need not wait.
#[test]
fn the_largest_step_has_the_place() {
    for is_first in [true, false] {
        let (mut log, mut alpha, _) = Log::with_agents();
        let old = log.files();
        let mut sim = cosigning();
        sim.round(&old);
        let mut steps = Vec::new();
        for _ in 0..2 {
            log.act(&mut alpha);
            log.seal();
            steps.push(request(&log, 5));
        }
        let [small, large] = <[_; 2]>::try_from(steps).unwrap();
        let offered = if is_first { [&small, &large] } else { [&large, &small] };
        for body in offered {
            assert_eq!(sim.add_checkpoint(body), Answer::NotYet);
        }
        assert_eq!(sim.outcome(&large), None);
        assert_eq!(sim.outcome(&small), Some(Answer::NotYet), "it is told at once to come back");
        let mut files = log.files();
        files.0.insert("checkpoint".into(), old.0["checkpoint"].clone());
        assert_eq!(kinds(&sim.round(&files)), []);
        assert!(matches!(sim.outcome(&large), Some(Answer::Cosigned(_))));
        assert_eq!(sim.outcome(&small), Some(Answer::Conflict(TreeSize::new(9))));
    }
}

/// A round that could not cosign what it took up lets nobody wait for it, and takes it again.
#[test]
fn a_step_that_is_not_cosigned_can_be_offered_again() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let old = log.files();
    let mut sim = cosigning();
    sim.round(&old);
    log.act(&mut alpha);
    log.seal();
    let body = request(&log, 5);
    assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
    sim.round(&old);
    assert_eq!(sim.outcome(&body), Some(Answer::NotYet));
    assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
    assert_eq!(sim.outcome(&body), None);
    sim.round(&log.files());
    assert!(sim.cosigned(&body).is_some());
}

/// A smaller step that has lost its place is still what the log signed.
#[test]
fn two_steps_that_do_not_go_together() {
    let (one, other) = two_histories();
    let (log, _, _) = Log::with_agents();
    for is_first in [true, false] {
        let mut sim = cosigning();
        sim.round(&log.files());
        let steps =
            if is_first { [request(&one, 5), request(&other, 5)] } else { [request(&other, 5), request(&one, 5)] };
        for body in &steps {
            assert_eq!(sim.add_checkpoint(body), Answer::NotYet);
        }
        let mut files = other.files();
        files.0.insert("checkpoint".into(), log.files().0["checkpoint"].clone());
        let reports = sim.round(&files);
        assert_eq!(kinds(&reports), [Kind::Fork], "{reports:#?}");
        crate::check_under_log_key(&sim.evidence(&reports[0]));
        assert_eq!(shown(&sim).unwrap().claim().size().get(), 5, "neither is cosigned");
    }
}

/// For a tree of the size that was cosigned, with another root, there is room whatever else was brought.
#[test]
fn a_contradiction_finds_room() {
    let (log, _, _) = Log::with_agents();
    let mut sim = cosigning();
    sim.round(&log.files());
    for at in 0..100 {
        let body = signed(&log, 0, 1000 + at, root(&log.leaves()));
        assert_eq!(sim.add_checkpoint(&body), Answer::Conflict(TreeSize::new(5)));
    }
    let body = signed(&log, 5, 5, root(&log.leaves()[..3]));
    assert_eq!(sim.add_checkpoint(&body), Answer::Refused(422, "the proof does not hold"));
    assert!(kinds(&sim.round(&log.files())).contains(&Kind::Fork));
}

/// Whoever follows a log twice with one key has no two trees of one size cosigned, and none that is smaller than the last.
#[test]
fn two_that_follow_one_log_sign_one_history() {
    let (mut one, mut alpha, _) = Log::with_agents();
    one.act(&mut alpha);
    one.seal();
    let (mut other, _, mut beta) = Log::with_agents();
    other.act(&mut beta);
    other.seal();
    let mut sim = cosigning();
    let mut second = Sim { desk: sim.desk.clone(), ..Sim::new() };
    second.restart();
    sim.round(&one.files());
    let before = shown(&sim).unwrap();
    assert_eq!(before.claim().size().get(), 7);
    second.round(&Log::with_agents().0.files());
    assert_eq!(shown(&sim).unwrap(), before, "the smaller one");
    let reports = second.round(&other.files());
    assert_eq!((kinds(&reports), second.monitor.sizes().1.get()), (vec![], other.next()), "by itself it is well");
    assert!(other.next() == one.next() && other.root() != one.root());
    assert_eq!(shown(&sim).unwrap().claim(), before.claim(), "the other history");
}

/// The same log and memory under another key: the tree binds, the signature is not this one's.
#[test]
fn a_new_key_does_not_answer_with_the_signature_of_the_old() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = cosigning();
    sim.round(&log.files());
    let again = request(&log, 5);
    assert!(matches!(sim.add_checkpoint(&again), Answer::Cosigned(_)));
    let new = Cosigner::from_seed(KeyName::parse("monitor.example/m2").unwrap(), &[61; 32]);
    sim.desk = std::sync::Arc::new(Desk::new(Some(new)));
    sim.restart();
    assert_eq!(shown(&sim), None);
    assert_eq!(sim.cosigned(&again), None);
    assert_eq!(sim.add_checkpoint(&again), Answer::NotYet);
    assert_eq!(sim.outcome(&again), None, "it waits for a round");
    let older = signed(&log, 0, 2, root(&log.leaves()[..2]));
    assert_eq!(sim.add_checkpoint(&older), Answer::Conflict(TreeSize::new(5)), "the tree is not forgotten");
    sim.round(&log.files());
    let Some(Answer::Cosigned(lines)) = sim.outcome(&again) else { panic!("it is not cosigned") };
    assert!(lines.contains("monitor.example/m2"), "{lines}");
    log.act(&mut alpha);
    log.seal();
    assert_eq!(sim.add_checkpoint(&request(&log, 5)), Answer::NotYet);
}

/// Who waits need not ask again and again: it is told when something has changed.
#[test]
fn those_who_wait_are_woken() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let old = log.files();
    let mut sim = cosigning();
    sim.round(&old);
    log.act(&mut alpha);
    log.seal();
    let body = request(&log, 5);
    let mut changes = sim.desk.changes();
    assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
    changes.borrow_and_update();
    // A round that does not cosign it, and one that does.
    sim.round(&old);
    assert!(changes.has_changed().unwrap());
    assert_eq!(sim.outcome(&body), Some(Answer::NotYet));
    assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
    changes.borrow_and_update();
    sim.round(&log.files());
    assert!(changes.has_changed().unwrap());
    assert!(matches!(sim.outcome(&body), Some(Answer::Cosigned(_))));
    // One that loses its place need not wait for the round.
    let size = log.next();
    let steps = [1, 2].map(|_| {
        log.act(&mut alpha);
        log.seal();
        request(&log, size)
    });
    assert_eq!(sim.add_checkpoint(&steps[0]), Answer::NotYet);
    changes.borrow_and_update();
    assert_eq!(sim.add_checkpoint(&steps[1]), Answer::NotYet);
    assert!(changes.has_changed().unwrap());
    assert_eq!(sim.outcome(&steps[0]), Some(Answer::NotYet));
}

/// Of a log that is convicted nothing waits for a round; what it signs is compared.
#[test]
fn a_log_that_is_convicted_has_no_step() {
    let (one, other) = two_histories();
    let mut sim = cosigning();
    sim.round(&one.files());
    let size = one.next();
    sim.round(&other.files());
    for restarts in [false, true] {
        if restarts {
            sim.restart();
        }
        sim.round(&one.files());
        let mut larger = two_histories().0;
        larger.seal_after_acts(1);
        let body = request(&larger, size);
        assert_eq!(sim.add_checkpoint(&body), Answer::NotYet);
        assert_eq!(sim.outcome(&body), Some(Answer::NotYet), "it is told at once");
    }
}
