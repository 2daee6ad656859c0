//! A monitor of logs whose operators do what they should not: which report, which evidence, and whom it convinces.
//!
//! The log is a double whose keys the test holds: it signs what no honest log would. Rounds run in memory, with files, clock
//! and witnesses as arguments; what needs a process is in `process`.
#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests fail by panicking")]

#[allow(dead_code, reason = "the audit's tests use the rest")]
#[path = "../audit/log.rs"]
mod log;

mod conditions;
mod cosigning;
mod faults;
mod forks;
mod honest;
mod process;
mod promises;
mod relying_party;
mod restored;
mod slow;
mod watching;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use soulchain::audit::{Source, SourceError, TileBytes};
use soulchain::encoding::UnixMillis;
use soulchain::monitor::{
    Desk, Kind, LogKind, LogMonitor, LogSettings, MemoryStore, Report, Store as _, WatchList, Witnesses, World,
};
use soulchain::tlog::{Origin, Policy, TileId};
use soulchain::verify::{Conviction, Evidence, convict};

use crate::log::{Files, Log, ORIGIN, START};

/// What witnesses show, by their prefix; none is there that is not in it.
#[derive(Default)]
pub(crate) struct Shown(pub(crate) BTreeMap<String, Vec<u8>>);

impl Witnesses for Shown {
    fn checkpoint(&self, prefix: &str, _: &Origin) -> Result<Option<Vec<u8>>, String> {
        self.0.get(prefix).cloned().map(Some).ok_or_else(|| "no answer".into())
    }

    /// In their order, and then the log: reports come in one order.
    fn at_once(&self) -> usize {
        1
    }
}

/// Says of a path, and of how often it was asked for.
type Which = Box<dyn Fn(&str, u32) -> bool + Sync>;

/// A log that answers some requests for tiles with a failure, and says of others that there is nothing.
pub(crate) struct Picky {
    pub(crate) files: Files,
    pub(crate) answers: Which,
    pub(crate) has: Which,
    pub(crate) asked: Mutex<BTreeMap<String, u32>>,
}

impl Picky {
    pub(crate) fn of(
        log: &Log,
        answers: impl Fn(&str, u32) -> bool + Sync + 'static,
        has: impl Fn(&str, u32) -> bool + Sync + 'static,
    ) -> Self {
        Self { files: log.files(), answers: Box::new(answers), has: Box::new(has), asked: Mutex::default() }
    }
}

impl Source for Picky {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.files.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        let path = tile.to_string();
        let count = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(path.clone()).or_default();
            *count += 1;
            *count - 1
        };
        match () {
            () if !(self.answers)(&path, count) => {
                Err(SourceError::Io(path.into(), std::io::ErrorKind::ConnectionReset.into()))
            }
            () if !(self.has)(&path, count) => Ok(TileBytes::Missing),
            () => self.files.tile(tile),
        }
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

/// A monitor in memory.
pub(crate) struct Sim {
    pub(crate) store: MemoryStore,
    pub(crate) settings: LogSettings,
    pub(crate) monitor: LogMonitor,
    pub(crate) desk: Arc<Desk>,
    pub(crate) witnesses: Shown,
    pub(crate) now: u64,
}

pub(crate) fn settings() -> LogSettings {
    LogSettings {
        origin: Origin::parse(ORIGIN).unwrap(),
        policy: log::policy(),
        instant_keys: Vec::new(),
        kind: LogKind::Soulchain,
        stale_seconds: 3600,
        patience_seconds: 600,
        watch: WatchList::default(),
        threads: 1,
    }
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self::of(settings(), Desk::default())
    }

    pub(crate) fn of(settings: LogSettings, desk: Desk) -> Self {
        let (store, desk) = (MemoryStore::default(), Arc::new(desk));
        let monitor = LogMonitor::open(settings.clone(), Arc::new(store.clone()), desk.clone()).unwrap();
        // Not far from the log's own time, which the monitor looks at.
        Self { store, settings, monitor, desk, witnesses: Shown::default(), now: START + 60_000 }
    }

    pub(crate) fn round(&mut self, files: &Files) -> Vec<Report> {
        self.round_with(files, Vec::new())
    }

    pub(crate) fn round_with(&mut self, files: &Files, promises: Vec<(String, Vec<u8>)>) -> Vec<Report> {
        let reports = self.round_untold(files, promises);
        self.monitor.told().unwrap();
        reports
    }

    /// A round whose reports are not told: a kill comes before.
    pub(crate) fn round_untold(&mut self, files: &Files, promises: Vec<(String, Vec<u8>)>) -> Vec<Report> {
        self.now += 1000;
        let now = UnixMillis::new(self.now);
        self.monitor.round(&World { source: files, witnesses: &self.witnesses, promises, now }).unwrap();
        self.monitor.reports().to_vec()
    }

    /// A round on files that are not served always.
    pub(crate) fn round_of(&mut self, files: &dyn Source) -> Vec<Report> {
        self.hand_in(files, Vec::new())
    }

    /// The same, with proofs.
    pub(crate) fn hand_in(&mut self, files: &dyn Source, promises: Vec<(String, Vec<u8>)>) -> Vec<Report> {
        self.now += 1000;
        let now = UnixMillis::new(self.now);
        let world = World { source: files, witnesses: &self.witnesses, promises, now };
        self.monitor.round(&world).unwrap();
        let reports = self.monitor.reports().to_vec();
        self.monitor.told().unwrap();
        reports
    }

    /// Another process on the same state; nothing was closed.
    pub(crate) fn restart(&mut self) {
        self.monitor =
            LogMonitor::open(self.settings.clone(), Arc::new(self.store.clone()), self.desk.clone()).unwrap();
    }

    /// The evidence of a report.
    pub(crate) fn evidence(&self, report: &Report) -> Vec<u8> {
        let name = report.evidence.as_deref().unwrap_or_else(|| panic!("there is no evidence: {report:?}"));
        self.store.read(name).unwrap().unwrap()
    }
}

pub(crate) fn kinds(reports: &[Report]) -> Vec<Kind> {
    reports.iter().map(|report| report.kind).collect()
}

/// The one report of a round, which is of this kind.
pub(crate) fn only(reports: Vec<Report>, kind: Kind) -> Report {
    assert_eq!(kinds(&reports), [kind], "{reports:#?}");
    reports.into_iter().next().unwrap()
}

/// A log of two agents, and the same history with more in it, in two ways.
pub(crate) fn two_histories() -> (Log, Log) {
    let (mut one, mut alpha, _) = Log::with_agents();
    one.act(&mut alpha);
    one.seal();
    let (mut other, _, mut beta) = Log::with_agents();
    other.act(&mut beta);
    other.act(&mut beta);
    other.seal();
    assert_eq!(one.entries[..5], other.entries[..5]);
    (one, other)
}

/// Evidence convinces those who have the log's key, here and in a process of its own; with any byte of it changed it does
/// not; nor does it convict another log.
pub(crate) fn check_evidence(bytes: &[u8], policy: &Policy, policy_text: &str) -> Conviction {
    let evidence = Evidence::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
    assert_eq!(evidence.to_string().as_bytes(), bytes);
    let conviction = convict(&evidence, policy).unwrap_or_else(|doubt| panic!("{doubt}: {evidence}"));
    let convinces = |bytes: &[u8]| Evidence::parse(bytes).is_ok_and(|evidence| convict(&evidence, policy).is_ok());
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20] {
            let mut other = bytes.to_vec();
            other[at] ^= flip;
            assert!(!convinces(&other), "byte {at} with {flip:#x}: {}", String::from_utf8_lossy(&other));
        }
    }
    assert!(!convinces(&bytes[..bytes.len() - 1]) && !convinces(&[bytes, b"\n"].concat()));
    let stranger = Policy::parse(format!("log {}\nquorum none\n", log::vkey(77)).as_bytes()).unwrap();
    assert!(convict(&evidence, &stranger).is_err());

    let (told, code) = verify_elsewhere(bytes, policy_text);
    assert_eq!(code, Some(if conviction.caveat().is_some() { 4 } else { 0 }), "{told}");
    assert!(told.contains(&conviction.to_string()), "{told}");
    assert_eq!(told.contains("under a condition"), conviction.is_conditional(), "{told}");
    let mut other = bytes.to_vec();
    *other.last_mut().unwrap() = b' ';
    assert_eq!(verify_elsewhere(&other, policy_text).1, Some(1));
    conviction
}

/// `check_evidence` under the log's key alone.
pub(crate) fn check_under_log_key(bytes: &[u8]) -> Conviction {
    check_evidence(bytes, &log::policy(), &format!("log {}\nquorum none\n", log::vkey(log::LOG_KEY)))
}

/// `soulchain verify --evidence` in a directory with nothing else.
pub(crate) fn verify_elsewhere(bytes: &[u8], policy: &str) -> (String, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("evidence"), bytes).unwrap();
    std::fs::write(dir.path().join("policy"), policy).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_soulchain"))
        .args(["verify", "--evidence", "evidence", "--policy", "policy"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let told = [done.stdout, done.stderr].concat();
    (String::from_utf8(told).unwrap(), done.status.code())
}
