//! Audits that go on where an earlier one ended.

use soulchain::audit::{AuditError, Source, SourceError, State, StateError, TileBytes};
use soulchain::tlog::{TileId, TileKind};
use tempfile::TempDir;

use crate::log::{Agent, Files, LOG_KEY, Log, ORIGIN, policy, root};
use crate::{audit_kept, audit_of, try_audit};

struct Kept {
    dir: TempDir,
}

impl Kept {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("audit.state")
    }
}

fn grow(log: &mut Log, alpha: &mut Agent, links: usize) {
    for _ in 0..links {
        log.act(alpha);
    }
    log.seal();
}

#[test]
fn a_log_that_grows_is_judged_once() {
    let (kept, (mut log, mut alpha, mut beta)) = (Kept::new(), Log::with_agents());
    let mut judged = 0;
    for links in [1, 2, 248, 1, 2, 100, 153, 1, 300] {
        grow(&mut log, &mut alpha, links);
        let audited = audit_kept(&log.files(), &kept.path());
        assert_eq!(audited.codes(), [], "at {}", log.next());
        assert_eq!((audited.report.began.get(), audited.report.judged.get()), (judged, log.next()));
        assert_eq!(audited.report.links + audited.report.trailers, log.next() - judged);
        judged = log.next();
    }
    // What happened before the state was kept still counts: keys, names, chains, anchors, statements.
    let old = root(&log.leaves()[..5]);
    let anchored = log.link_with(&beta, 3, &crate::log::profile("x"), |header| {
        (header.anchor_size, header.anchor_root) = (5, old);
    });
    beta.advance(&anchored);
    log.push(&anchored);
    let name = log.genesis(7, Some("beta"), &[(7, crate::log::BOTH)]);
    let taken = log.push_raw(name.entry().to_vec());
    let key = log.genesis(8, None, &[(8, crate::log::BOTH), (2, crate::log::ACT)]);
    let used = log.push_raw(key.entry().to_vec());
    log.seal();
    let expected = [("name_taken", Some(taken)), ("key_in_use", Some(used))];
    assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), expected);
}

#[test]
fn nothing_new() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 10);
    for _ in 0..3 {
        let audited = audit_kept(&log.files(), &kept.path());
        assert!(audited.report.is_clean());
        assert_eq!((audited.codes(), audited.report.judged.get()), (vec![], log.next()));
    }
}

#[test]
fn a_log_that_rolls_back() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 10);
    let before = log.files();
    grow(&mut log, &mut alpha, 10);
    assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), []);
    for _ in 0..2 {
        let audited = audit_kept(&before, &kept.path());
        assert_eq!(audited.codes(), [("rolled_back", None)]);
    }
    assert_eq!(audit_of(&before).codes(), [], "by itself it is an honest log");
    assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), [], "the log that was seen is still good");
}

#[test]
fn a_log_that_is_written_anew() {
    for (links, other) in [(10, 10), (10, 11), (300, 600)] {
        let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
        grow(&mut log, &mut alpha, links);
        assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), []);
        let (mut log, mut alpha, mut beta) = Log::with_agents();
        log.act(&mut beta);
        grow(&mut log, &mut alpha, other - 1);
        assert_eq!(audit_of(&log.files()).codes(), [], "by itself it is an honest log");
        assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), [("forked", None)]);
    }
}

/// The tiles show a tree that continues the old one, but the bundle has another entry in the old part.
#[test]
fn an_old_entry_that_is_another() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 10);
    assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), []);
    grow(&mut log, &mut alpha, 10);
    let mut files = log.files();
    let path = files.0.keys().find(|path| path.starts_with("tile/entries/")).unwrap().clone();
    files.change(&path, |bundle| bundle[300] ^= 1);
    assert_eq!(audit_kept(&files, &kept.path()).codes(), [("entry_hash", Some(0)), ("entry_changed", Some(0))]);
}

#[test]
fn faults_are_remembered() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    let bad = log.push_raw(vec![0x7b]);
    grow(&mut log, &mut alpha, 3);
    assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), [("malformed", Some(bad))]);
    grow(&mut log, &mut alpha, 3);
    let audited = audit_kept(&log.files(), &kept.path());
    assert_eq!((audited.codes(), audited.known.len()), (vec![], 1));
    assert_eq!(audited.known[0].index, Some(bad));
    assert!(!audited.report.is_clean());
}

/// The newest trailer is false, so that no state is had there: the next audit begins before it, and finds it again.
#[test]
fn a_log_that_ends_in_a_false_trailer() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 3);
    assert_eq!(audit_kept(&log.files(), &kept.path()).codes(), []);
    let good = log.next();
    log.act(&mut alpha);
    let mut trailer = log.true_trailer();
    trailer.map_root = [1; 32];
    let bad = log.push_raw(trailer.to_bytes().into());
    let files = log.files();
    for _ in 0..2 {
        let audited = audit_kept(&files, &kept.path());
        assert_eq!(audited.codes(), [("trailer_map_root", Some(bad))]);
        assert_eq!((audited.report.began.get(), audited.report.known), (good, 0));
    }
    // What it had signed is remembered all the same.
    let (mut other, mut alpha, _) = Log::with_agents();
    grow(&mut other, &mut alpha, 3);
    assert_eq!(other.next(), good);
    assert_eq!(audit_kept(&other.files(), &kept.path()).codes(), [("rolled_back", None)]);
}

#[test]
fn a_checkpoint_that_nobody_signed_is_not_remembered() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 3);
    let mut files = log.files();
    files.sign(ORIGIN, 199, log.next(), log.root());
    assert_eq!(audit_kept(&files, &kept.path()).codes(), [("checkpoint_signature", None)]);
    assert!(State::read(&kept.path()).unwrap().is_none());
}

#[test]
fn a_state_that_is_damaged() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 3);
    audit_kept(&log.files(), &kept.path());
    let bytes = std::fs::read(kept.path()).unwrap();
    assert!(State::read(&kept.path()).unwrap().is_some_and(|state| state.judged().get() == log.next()));
    for at in (0..bytes.len()).step_by(61) {
        let mut other = bytes.clone();
        other[at] ^= 1;
        std::fs::write(kept.path(), &other).unwrap();
        assert!(matches!(State::read(&kept.path()), Err(StateError::Damaged(_))), "{at}");
        std::fs::write(kept.path(), &bytes[..at]).unwrap();
        assert!(matches!(State::read(&kept.path()), Err(StateError::Damaged(_))), "{at}");
    }
}

#[test]
fn a_state_of_another_version_is_named() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 3);
    audit_kept(&log.files(), &kept.path());
    let bytes = std::fs::read(kept.path()).unwrap();
    let first = b"soulchain/audit-state/v2\n";
    assert!(bytes.starts_with(first));
    let rest = &bytes[first.len()..bytes.len() - 32];
    let read = |version: &str| {
        let line = format!("soulchain/audit-state/v{version}\n");
        let digest = soulchain::hash::sha256(&[line.as_bytes(), rest]);
        std::fs::write(kept.path(), [line.as_bytes(), rest, &digest[..]].concat()).unwrap();
        State::read(&kept.path())
    };
    assert!(read("2").is_ok());
    for (version, number) in [("0", 0), ("1", 1), ("3", 3), ("10", 10)] {
        let Err(error) = read(version) else { panic!("{version}") };
        assert!(matches!(error, StateError::Version(_, found) if found == number), "{error}");
        assert!(error.to_string().contains(&format!("version {number}")), "{error}");
    }
    for version in ["", "01", "x", "1 ", "123456789"] {
        assert!(matches!(read(version), Err(StateError::Damaged(_))), "{version}");
    }
}

#[test]
fn a_log_of_the_same_size_with_another_root() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    grow(&mut log, &mut alpha, 3);
    audit_kept(&log.files(), &kept.path());
    let mut files: Files = log.files();
    files.sign(ORIGIN, LOG_KEY, log.next(), soulchain::hash::Hash::from_bytes([5; 32]));
    assert_eq!(audit_kept(&files, &kept.path()).codes(), [("forked", None)]);
}

/// A node that goes away before a bundle.
struct GoesAway(Files, u64);

impl Source for GoesAway {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.0.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        if tile.kind() == TileKind::Entries && tile.index() >= self.1 {
            return Err(SourceError::Io("there".into(), std::io::ErrorKind::TimedOut.into()));
        }
        self.0.tile(tile)
    }

    fn fetches_at_once(&self) -> usize {
        3
    }
}

#[test]
fn an_audit_that_is_broken_off() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    let bad = log.push_raw(vec![0x7b]);
    while log.next() < 1500 {
        grow(&mut log, &mut alpha, 7);
    }
    let files = log.files();
    for bundle in [0, 3, 5] {
        let result = try_audit(&GoesAway(files.clone(), bundle), &policy(), Some(&kept.path()));
        assert!(matches!(result, Err(AuditError::Source(_))));
        let judged = State::read(&kept.path()).unwrap().map_or(0, |state| state.judged().get());
        // A state is kept whenever the log has grown by a third.
        assert!((bundle * 256 / 4 * 3..=bundle * 256).contains(&judged), "{judged} of {bundle} bundles");
    }
    let audited = audit_kept(&files, &kept.path());
    assert_eq!((audited.codes(), audited.known[0].index), (vec![], Some(bad)));
    assert_eq!(audited.report.judged.get(), log.next());
}

/// Its entries do not lead to the root that is signed: nothing of them is believed the next time.
#[test]
fn states_on_the_way_are_of_the_signed_tree() {
    let (kept, (mut log, mut alpha, _)) = (Kept::new(), Log::with_agents());
    while log.next() < 1000 {
        grow(&mut log, &mut alpha, 7);
    }
    let good = log.files();
    let mut files = good.clone();
    files.change("tile/entries/000", |bundle| bundle[300] ^= 1);
    assert!(audit_kept(&files, &kept.path()).codes().contains(&("checkpoint_root", None)));
    let state = State::read(&kept.path()).unwrap().unwrap();
    assert_eq!((state.judged().get(), state.seen().claim().size().get()), (0, log.next()));
    assert_eq!(audit_kept(&good, &kept.path()).codes(), []);
}
