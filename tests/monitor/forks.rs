//! Trees that do not go together.

use soulchain::audit::{Source as _, SourceError, TileBytes};
use soulchain::hash::Hash;
use soulchain::monitor::Kind;
use soulchain::tlog::TileId;

use crate::conditions::{PREFIX, cosign, policy_text, with_witness};
use crate::log::{LOG_KEY, Log, ORIGIN};
use crate::{Picky, Sim, check_evidence, check_under_log_key, kinds, only, settings, two_histories};

#[test]
fn a_log_that_grows_is_nothing_to_tell() {
    let mut sim = Sim::new();
    let (mut log, mut alpha, _) = Log::with_agents();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    for _ in 0..3 {
        log.act(&mut alpha);
        log.seal();
        assert_eq!(kinds(&sim.round(&log.files())), []);
    }
    assert_eq!(sim.monitor.sizes().1.get(), log.next());
}

#[test]
fn a_split_view() {
    let (one, other) = two_histories();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let report = only(sim.round(&other.files()), Kind::Fork);
    let conviction = check_under_log_key(&sim.evidence(&report));
    assert!(conviction.to_string().contains("forked: it signed a tree of size 7"), "{conviction}");
    assert_eq!(conviction.caveat(), None);
    // It is told once, here and after a restart.
    assert_eq!(kinds(&sim.round(&other.files())), []);
    sim.restart();
    assert_eq!(kinds(&sim.round(&other.files())), []);
    assert_eq!(kinds(&sim.round(&one.files())), [Kind::RolledBack]);
}

#[test]
fn another_root_at_the_same_size() {
    let (one, mut beta) = {
        let (mut one, mut alpha, beta) = Log::with_agents();
        one.act(&mut alpha);
        one.seal();
        (one, beta)
    };
    let (mut other, _, _) = Log::with_agents();
    other.act(&mut beta);
    other.seal();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let report = only(sim.round(&other.files()), Kind::Fork);
    let conviction = check_under_log_key(&sim.evidence(&report));
    assert!(conviction.to_string().contains("signed two trees of size 7"), "{conviction}");
}

/// It cannot be told from a copy that is behind, and an honest log may have one: so it is reported, and convicts nobody.
#[test]
fn an_older_checkpoint() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let old = log.files();
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let report = only(sim.round(&old), Kind::RolledBack);
    assert_eq!(report.evidence, None);
    assert_eq!(kinds(&sim.round(&old)), [], "it is told once");
    sim.restart();
    assert_eq!(kinds(&sim.round(&old)), []);
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    assert_eq!(sim.monitor.conditions().count(), 0);
}

/// The tiles that show it are those of the tree before, which such a log no longer serves: the monitor has copies.
#[test]
fn an_older_checkpoint_of_another_history() {
    let (one, mut other) = two_histories();
    let mut larger = one;
    larger.seal_after_acts(6);
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&larger.files())), []);
    let reports = sim.round(&other.files());
    assert_eq!(kinds(&reports), [Kind::RolledBack, Kind::Fork], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[1]));
    other.seal_after_acts(1);
    assert_eq!(kinds(&sim.round(&other.files())), [Kind::Fork], "another tree is another fact");
}

/// A log that signs a larger tree, shows none of its tiles, and goes on as if it had never been: the tree is remembered.
#[test]
fn a_larger_tree_that_is_shown_once_and_never_again() {
    let (mut one, other) = two_histories();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&Log::with_agents().0.files())), []);
    let mut files = Log::with_agents().0.files();
    files.0.insert("checkpoint".into(), other.files().checkpoint().unwrap());
    only(sim.round(&files), Kind::Withheld);
    sim.restart();
    one.seal_after_acts(3);
    let reports = sim.round(&one.files());
    assert_eq!(kinds(&reports), [Kind::Fork, Kind::Resolved], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[0]));
}

/// The same where its tiles cannot be reached.
#[test]
fn a_larger_tree_whose_tiles_could_not_be_read() {
    let (mut one, other) = two_histories();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&Log::with_agents().0.files())), []);
    let files = OnlyNote(other.files().checkpoint().unwrap());
    let now = soulchain::encoding::UnixMillis::new(sim.now);
    let world = soulchain::monitor::World { source: &files, witnesses: &sim.witnesses, promises: Vec::new(), now };
    sim.monitor.round(&world).unwrap();
    sim.monitor.told().unwrap();
    one.seal_after_acts(3);
    let reports = sim.round(&one.files());
    let fork = reports.into_iter().filter(|report| report.kind == Kind::Fork).collect();
    check_under_log_key(&sim.evidence(&only(fork, Kind::Fork)));
}

/// A log of three bundles: tiles of more than one level, and a fork within a full one.
#[test]
fn a_split_of_a_larger_log() {
    let grow = |first: usize| {
        let (mut log, mut alpha, mut beta) = Log::with_agents();
        for at in 0..300 {
            log.act(if at < first { &mut alpha } else { &mut beta });
        }
        log.seal();
        log
    };
    let (one, mut other) = (grow(300), grow(200));
    other.seal_after_acts(400);
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let report = only(sim.round(&other.files()), Kind::Fork);
    let evidence = sim.evidence(&report);
    let parsed = soulchain::verify::Evidence::parse(&evidence).unwrap();
    assert!(soulchain::verify::convict(&parsed, &settings().policy).is_ok());
}

/// A log that shows the new checkpoint and none of the tiles that would convict it.
#[test]
fn a_split_view_without_its_tiles() {
    let (one, other) = two_histories();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let mut files = one.files();
    files.0.insert("checkpoint".into(), other.files().checkpoint().unwrap());
    let report = only(sim.round(&files), Kind::Withheld);
    assert_eq!(report.evidence, None);
    // Once it shows them, or somebody else does, it is convicted.
    let reports = sim.round(&other.files());
    assert_eq!(kinds(&reports), [Kind::Fork, Kind::Resolved], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[0]));
}

/// It shows the other history's checkpoint once, and none of its tiles; then it is as it was before. What it signed stays, and
/// convicts it when the history that it goes on with has come to that size.
#[test]
fn a_larger_checkpoint_that_was_shown_once() {
    let (one, mut other) = two_histories();
    let mut honest = one;
    other.seal_after_acts(3);
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&honest.files())), []);
    let mut files = honest.files();
    files.0.insert("checkpoint".into(), other.files().checkpoint().unwrap());
    assert_eq!(kinds(&sim.round(&files)), [Kind::Withheld]);
    sim.restart();
    assert_eq!(kinds(&sim.round(&honest.files())), [Kind::RolledBack]);
    for _ in 0..2 {
        honest.seal_after_acts(1);
        assert_eq!(kinds(&sim.round(&honest.files())), [], "it withholds still");
    }
    while honest.next() < other.next() {
        honest.seal_after_acts(1);
    }
    let reports = sim.round(&honest.files());
    assert_eq!(kinds(&reports), [Kind::Resolved, Kind::Fork, Kind::Resolved], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[1]));
}

/// Above the tree that is followed a fork is one fact, also where a promise contradicts both, and a witness is compared at once.
#[test]
fn two_larger_trees_and_a_promise() {
    let log = Log::with_agents().0;
    let mut sim = with_witness();
    let now = sim.now / 1000;
    let mut shown = log.files();
    let note = cosign(&mut shown, now);
    sim.witnesses.0.insert(PREFIX.into(), note);
    let root = |byte: u8| Hash::from_bytes([byte; 32]);
    let sign = |byte: u8| {
        let mut files = log.files();
        files.sign(ORIGIN, LOG_KEY, 100, root(byte));
        cosign(&mut files, now);
        files
    };
    let promise = crate::slow::handed(&log, 100, root(1));
    assert_eq!(kinds(&sim.round_with(&shown, vec![promise])), []);
    let told = [sim.round(&sign(2)), sim.round(&sign(3))].concat();
    let forks: Vec<_> = told.iter().filter(|report| report.kind == Kind::Fork).collect();
    assert_eq!(forks.len(), 1, "{told:#?}");
    check_evidence(&sim.evidence(forks[0]), &sim.settings.policy, &policy_text());
    sim.witnesses.0.insert(PREFIX.into(), sign(2).0["checkpoint"].clone());
    let told = kinds(&sim.round(&shown));
    assert!(!told.contains(&Kind::Fork) && !told.contains(&Kind::PromiseBroken), "{told:?}");
}

/// The tiles of the larger tree fail while it is shown: the step back is one, and what was signed is withheld if that lasts.
#[test]
fn a_step_back_from_a_tree_whose_tiles_fail() {
    let (one, mut other) = two_histories();
    other.seal_after_acts(3);
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let failing = Picky::of(&other, |path, _| !path.starts_with("tile/"), |_, _| true);
    assert_eq!(kinds(&sim.round_of(&failing)), [Kind::Unreachable]);
    assert_eq!(kinds(&sim.round(&one.files())), [Kind::RolledBack, Kind::Resolved]);
    sim.now += 3_600_000;
    sim.restart();
    assert_eq!(kinds(&sim.round(&one.files())), [], "of that time nothing is known");
    sim.now += 600_000;
    let report = only(sim.round(&one.files()), Kind::Withheld);
    assert!(report.text.contains(&format!("a tree of size {}", other.next())), "{}", report.text);
    assert_eq!(kinds(&sim.round(&one.files())), []);
}

/// Two larger ones of the same size need no tiles at all.
#[test]
fn two_larger_checkpoints_of_one_size() {
    let (one, mut other) = two_histories();
    let mut third = two_histories().0;
    other.seal_after_acts(3);
    third.seal_after_acts(4);
    assert_eq!(third.next(), other.next());
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let mut files = one.files();
    files.0.insert("checkpoint".into(), other.files().checkpoint().unwrap());
    assert_eq!(kinds(&sim.round(&files)), [Kind::Withheld]);
    files.0.insert("checkpoint".into(), third.files().checkpoint().unwrap());
    let report = only(sim.round(&files), Kind::Fork);
    check_under_log_key(&sim.evidence(&report));
    assert_eq!(kinds(&sim.round(&files)), [], "it is told once");
}

#[test]
fn a_checkpoint_that_the_log_did_not_sign() {
    let (one, other) = two_histories();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let mut files = other.files();
    files.sign(ORIGIN, LOG_KEY + 1, other.next(), other.root());
    let report = only(sim.round(&files), Kind::BadCheckpoint);
    assert_eq!(report.evidence, None);
    files.0.insert("checkpoint".into(), b"nothing".to_vec());
    assert_eq!(kinds(&sim.round(&files)), []);
    files.sign("log.example/other", LOG_KEY, other.next(), other.root());
    assert_eq!(kinds(&sim.round(&files)), []);
    assert_eq!(kinds(&sim.round(&one.files())), [Kind::Resolved]);
}

/// What the tests of the audit do not need.
impl Log {
    pub(crate) fn seal_after_acts(&mut self, acts: usize) {
        let mut agent =
            self.found(60 + (self.next() % 50) as u8, None, &[(60 + (self.next() % 50) as u8, crate::log::BOTH)]);
        for _ in 1..acts {
            self.act(&mut agent);
        }
        self.seal();
    }
}

/// A log that does not answer.
pub(crate) struct Gone;

impl soulchain::audit::Source for Gone {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Io("log".into(), std::io::ErrorKind::NotConnected.into()))
    }

    fn tile(&self, _: TileId) -> Result<TileBytes, SourceError> {
        Err(SourceError::Io("log".into(), std::io::ErrorKind::NotConnected.into()))
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

/// A log of which nothing but its checkpoint can be read.
struct OnlyNote(Vec<u8>);

impl soulchain::audit::Source for OnlyNote {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.clone())
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        Gone.tile(tile)
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}
