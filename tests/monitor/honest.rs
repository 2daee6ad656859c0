//! Evidence that is made up against an honest log.

use soulchain::hash::Hash;
use soulchain::merkle::{LeafIndex, TreeSize, consistency_plan, inclusion_plan};
use soulchain::soul::LogId;
use soulchain::tlog::SignedCheckpoint;
use soulchain::verify::{
    BadEntry, BadReplay, Doubt, Evidence, EvidenceError, Fork, OneSigned, Placed, Unsealed, broken_by_one,
    broken_by_two, convict, log_keys,
};

use crate::log::{BOTH, LOG_KEY, Log, ORIGIN, root};
use crate::settings;

/// A log with much in it, and no fault.
fn honest() -> Log {
    let (mut log, mut alpha, mut beta) = Log::with_agents();
    for at in 0..4 {
        log.act(&mut alpha);
        log.act(&mut beta);
        if at % 2 == 0 {
            log.found(40 + at, Some(&format!("agent{at}")), &[(40 + at, BOTH)]);
        }
        log.seal();
    }
    log
}

fn signed(log: &Log, size: u64, signer: u8) -> OneSigned {
    let mut files = log.files();
    files.sign(ORIGIN, signer, size, root(&log.leaves()[..size as usize]));
    let note = SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap();
    OneSigned::parse(&note.to_string()).unwrap()
}

fn path(log: &Log, plan: &soulchain::merkle::Plan) -> Vec<Hash> {
    let leaves = log.leaves();
    let node = |node: soulchain::merkle::NodeId| -> Result<Hash, ()> {
        let from = (node.index << node.level) as usize;
        Ok(root(&leaves[from..from + (1 << node.level)]))
    };
    plan.path(node).unwrap()
}

fn placed(log: &Log, index: u64) -> Placed {
    let index = LeafIndex::new(index);
    let path = path(log, &inclusion_plan(index, TreeSize::new(log.next())).unwrap());
    Placed { index, entry: log.entries[index.get() as usize].clone(), path }
}

fn doubt(evidence: &Evidence) -> Doubt {
    let again = Evidence::parse(evidence.to_string().as_bytes()).unwrap();
    assert_eq!(again, *evidence);
    convict(evidence, &settings().policy).unwrap_err()
}

#[test]
fn no_two_of_its_trees_are_a_fork() {
    let log = honest();
    for old in [1, 5, 8, log.next()] {
        let (old, new) = (TreeSize::new(old), TreeSize::new(log.next()));
        let fork = Fork {
            old: signed(&log, old.get(), LOG_KEY),
            new: signed(&log, new.get(), LOG_KEY),
            prefix_root: root(&log.leaves()[..old.get() as usize]),
            path: path(&log, &consistency_plan(old, new).unwrap()),
            named: None,
        };
        assert_eq!(doubt(&Evidence::Fork(Box::new(fork.clone()))), Doubt::NoFork);
        // Another root at that size has no path.
        let lie = Fork { prefix_root: Hash::from_bytes([3; 32]), ..fork.clone() };
        assert!(matches!(doubt(&Evidence::Fork(Box::new(lie))), Doubt::Path(_)));
        let reversed = Fork { old: fork.new.clone(), new: fork.old.clone(), ..fork.clone() };
        if old < new {
            assert!(matches!(doubt(&Evidence::Fork(Box::new(reversed))), Doubt::Path(_)));
        }
        let forged = Fork { new: signed(&log, new.get(), LOG_KEY + 1), ..fork };
        assert!(matches!(doubt(&Evidence::Fork(Box::new(forged))), Doubt::Signature(_)));
    }
}

#[test]
fn none_of_its_entries_is_bad_by_itself_or_beside_another() {
    let log = honest();
    let log_id = LogId::of_origin(ORIGIN);
    let all: Vec<_> = (0..log.next()).map(|index| placed(&log, index)).collect();
    for later in &all {
        assert_eq!(broken_by_one(log_id, later.index, &later.entry), None, "{}", later.index);
        for earlier in &all {
            assert_eq!(broken_by_two(log_id, earlier, later), None, "{} {}", earlier.index, later.index);
        }
    }
    let checkpoint = signed(&log, log.next(), LOG_KEY);
    let bad = |entry: u64, beside: Option<u64>| {
        let (code, checkpoint) = ("conflict".into(), checkpoint.clone());
        Evidence::Entry(BadEntry {
            code,
            checkpoint,
            entry: all[entry as usize].clone(),
            beside: beside.map(|at| all[at as usize].clone()),
        })
    };
    assert_eq!(doubt(&bad(5, None)), Doubt::NotBroken);
    assert_eq!(doubt(&bad(6, Some(5))), Doubt::NotBroken);
    // An entry beside itself, and one of another place.
    assert_eq!(doubt(&bad(6, Some(6))), Doubt::NotBroken);
    let mut moved = all[6].clone();
    moved.index = LeafIndex::new(7);
    let moved = BadEntry { code: "conflict".into(), checkpoint, entry: moved, beside: Some(all[6].clone()) };
    assert!(matches!(doubt(&Evidence::Entry(moved)), Doubt::Path(_)));
}

#[test]
fn its_trees_are_sealed() {
    let log = honest();
    let checkpoint = signed(&log, log.next(), LOG_KEY);
    let last = log.next() - 1;
    let unsealed = |index| Evidence::Unsealed(Unsealed { checkpoint: checkpoint.clone(), last: placed(&log, index) });
    assert_eq!(doubt(&unsealed(last)), Doubt::Sealed);
    assert_eq!(doubt(&unsealed(last - 1)), Doubt::NotLast);
}

#[test]
fn a_replay_of_it_finds_nothing() {
    let log = honest();
    let size = TreeSize::new(log.next() - 1);
    let bad = BadReplay {
        code: "conflict".into(),
        index: LeafIndex::new(6),
        checkpoint: signed(&log, log.next(), LOG_KEY),
        size,
        path: path(&log, &consistency_plan(size, TreeSize::new(log.next())).unwrap()),
        entries: Some(log.entries[..size.get() as usize].to_vec()),
    };
    assert_eq!(doubt(&Evidence::Replay(bad.clone())), Doubt::NotBroken);
    assert_eq!(doubt(&Evidence::Replay(BadReplay { entries: None, ..bad.clone() })), Doubt::EntriesElsewhere);
    let mut entries = bad.entries.clone().unwrap();
    entries[6][300] ^= 1;
    assert!(matches!(doubt(&Evidence::Replay(BadReplay { entries: Some(entries), ..bad })), Doubt::Path(_)));
}

/// A file of 30 MB can have so many entries that they take a gigabyte: nobody reads them for whoever signed nothing.
#[test]
fn entries_are_read_once_the_log_has_signed_for_them() {
    let log = honest();
    let file = |signer| {
        let head = format!("soulchain/evidence/v1\nreplay conflict 6\n{}", signed(&log, log.next(), signer));
        format!("{head}size 3\npath 0\nentries 3\n\n\n?\n").into_bytes()
    };
    let policy = settings().policy;
    assert_eq!(Evidence::parse_under(&file(LOG_KEY + 1), &policy), Err(EvidenceError::Unsigned));
    let expected = "the base64 of an entry";
    for read in [Evidence::parse_under(&file(LOG_KEY), &policy), Evidence::parse(&file(LOG_KEY + 1))] {
        assert_eq!(read, Err(EvidenceError::Line { line: 13, expected }));
    }
    // A kind of very many words is none.
    let words = format!("soulchain/evidence/v1\nreplay{}\n", " ".repeat(1 << 20));
    let expected = "a kind of evidence";
    assert_eq!(Evidence::parse(words.as_bytes()), Err(EvidenceError::Line { line: 2, expected }));
}

#[test]
fn a_checkpoint_of_evidence_bears_one_signature() {
    let log = honest();
    let mut files = log.files();
    files.sign(ORIGIN, LOG_KEY, log.next(), log.root());
    let one = SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap();
    files.sign(ORIGIN, LOG_KEY + 1, log.next(), log.root());
    let other = SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap();
    let mut both = other.clone();
    both.add_signature(one.note().signatures()[0].clone()).unwrap();
    assert!(OneSigned::parse(&both.to_string()).is_err());
    let keys = log_keys(&settings().policy, &settings().origin);
    assert_eq!(OneSigned::of(&both, &keys).unwrap().get(), &one, "the log's is taken out of several");
    assert_eq!(OneSigned::of(&other, &keys), None);
}
