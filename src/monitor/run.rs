//! Rounds, one after the other, in a thread for each log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bounds::Limits;
use super::cosign::Desk;
use super::log::{LogMonitor, World};
use super::report::{Kind, Report, Severity};
use super::witnesses::Witnesses;
use crate::audit::Source;
use crate::encoding::UnixMillis;
use crate::tlog::Origin;

/// Most proofs that a round takes from a spool.
const MAX_TAKEN: usize = 256;
/// Longest proof that is read, in bytes.
const MAX_PROOF_LEN: u64 = 64 << 20;
/// Bytes of proofs after which a round takes no more.
const MAX_TAKEN_LEN: u64 = 64 << 20;
const PROOF_EXTENSION: &str = "tlog-proof";

/// A log that is followed, and from where.
pub struct Followed {
    /// The log.
    pub monitor: LogMonitor,
    /// Its files.
    pub source: Box<dyn Source + Send>,
    /// Its witnesses.
    pub witnesses: Box<dyn Witnesses>,
    /// Proofs that are handed in.
    pub spool: Spool,
    /// From the end of a round to the next.
    pub interval: Duration,
    /// Where its cosignatures are asked for.
    pub desk: Arc<Desk>,
    /// Bounds of its rounds; whose stop it is, [`run`] is told.
    pub limits: Limits,
}

/// Where proofs that clients were given at once are handed in.
#[derive(Clone, Debug, Default)]
pub struct Spool {
    /// Files that are read once.
    pub files: Vec<PathBuf>,
    /// A directory: each `.tlog-proof` in it is taken, and renamed to `.taken`.
    pub dir: Option<PathBuf>,
}

/// Ends all rounds.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// How each log stands, for metrics.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<String, LogStatus>>);

/// How a log stands.
#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    /// Size of the newest tree that it signed.
    pub tree_size: u64,
    /// How much of it is replayed.
    pub replayed: u64,
    /// When it was read last.
    pub read_ms: u64,
    /// What is wrong now.
    pub conditions: Vec<String>,
    /// Reports since the start.
    pub reports: BTreeMap<Kind, u64>,
    /// The greatest severity among them.
    pub worst: Option<Severity>,
    /// Whether it is not followed any more: its state cannot be kept.
    pub has_failed: bool,
}

/// Follows a log until it is told to stop, or for one round. An error says that its state cannot be kept, or is the sink's:
/// then the reports do not count as told, and are told again.
pub fn run(
    mut log: Followed,
    sink: &dyn Fn(&Report) -> io::Result<()>,
    board: &Board,
    stop: &Stop,
    is_once: bool,
    clock: &dyn Fn() -> UnixMillis,
) -> io::Result<()> {
    let mut untold = None;
    let mut tell = |monitor: &mut LogMonitor| {
        deliver(monitor, sink, board).map_err(|error| {
            let kind = error.kind();
            untold = Some(error);
            kind.into()
        })
    };
    let done = rounds(&mut log, &mut tell, stop, is_once, clock);
    done.map_err(|error| untold.unwrap_or_else(|| not_kept(&error)))
}

fn rounds(
    log: &mut Followed,
    tell: &mut dyn FnMut(&mut LogMonitor) -> io::Result<()>,
    stop: &Stop,
    is_once: bool,
    clock: &dyn Fn() -> UnixMillis,
) -> io::Result<()> {
    log.monitor.limit(Limits { stop: stop.clone(), ..log.limits.clone() });
    tell(&mut log.monitor)?;
    let mut strays = usize::MAX;
    loop {
        let (promises, taken) = log.spool.read();
        let world = World { source: &*log.source, witnesses: &*log.witnesses, promises, now: clock() };
        log.monitor.round_telling(&world, tell)?;
        for path in taken {
            // One that stays is taken again, and known then.
            let _ = fs::rename(&path, path.with_extension("taken"));
        }
        // Files that cannot be read stay, and are no reason to go on.
        let strays_before = std::mem::replace(&mut strays, log.monitor.strays_left());
        let has_more = !log.spool.files.is_empty() || (1..strays_before).contains(&strays);
        if is_once && has_more && !stop.is_set() {
            continue;
        }
        if is_once || stop.is_set() {
            break;
        }
        log.desk.wait(log.monitor.origin(), log.interval, || stop.is_set());
        if stop.is_set() {
            break;
        }
    }
    log.monitor.close()
}

/// Tells what there is to tell. It is kept before, by who calls this.
fn deliver(monitor: &mut LogMonitor, sink: &dyn Fn(&Report) -> io::Result<()>, board: &Board) -> io::Result<()> {
    monitor.reports().iter().try_for_each(sink)?;
    board.update(monitor);
    if monitor.reports().is_empty() { Ok(()) } else { monitor.told().map_err(|error| not_kept(&error)) }
}

fn not_kept(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the state cannot be kept: {error}"))
}

impl Spool {
    fn read(&mut self) -> (Vec<(String, Vec<u8>)>, Vec<PathBuf>) {
        let (mut proofs, mut taken, mut len) = (Vec::new(), Vec::new(), 0);
        while len < MAX_TAKEN_LEN && proofs.len() < MAX_TAKEN && !self.files.is_empty() {
            let path = self.files.remove(0);
            let bytes = read_proof(&path).unwrap_or_default();
            len += bytes.len() as u64;
            proofs.push((path.display().to_string(), bytes));
        }
        for path in self.dir.as_deref().map(proofs_in).unwrap_or_default() {
            if len >= MAX_TAKEN_LEN || proofs.len() >= MAX_TAKEN {
                break;
            }
            if let Ok(bytes) = read_proof(&path) {
                len += bytes.len() as u64;
                proofs.push((path.display().to_string(), bytes));
                taken.push(path);
            }
        }
        (proofs, taken)
    }
}

/// The bytes of a file; none where they are more than a proof can have.
fn read_proof(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_PROOF_LEN + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > MAX_PROOF_LEN { Vec::new() } else { bytes })
}

fn proofs_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let is_proof = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == PROOF_EXTENSION)
            && fs::metadata(path).is_ok_and(|file| file.is_file())
    };
    paths.filter(is_proof).take(MAX_TAKEN).collect()
}

impl Stop {
    /// Ends all rounds; one that is under way asks nobody for anything more.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether they should end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Board {
    fn update(&self, monitor: &LogMonitor) {
        let mut logs = self.logs();
        let status = logs.entry(monitor.origin().as_str().to_owned()).or_default();
        let (size, replayed) = monitor.sizes();
        (status.tree_size, status.replayed, status.read_ms) = (size.get(), replayed.get(), monitor.read_ms());
        status.conditions = monitor.conditions().map(String::from).collect();
        for report in monitor.reports() {
            *status.reports.entry(report.kind).or_default() += 1;
            status.worst = status.worst.max(Some(report.severity));
        }
    }

    /// A log is not followed any more.
    pub fn fail(&self, origin: &Origin) {
        self.logs().entry(origin.as_str().to_owned()).or_default().has_failed = true;
    }

    /// Whether all logs are followed.
    pub fn is_well(&self) -> bool {
        self.logs().values().all(|status| !status.has_failed)
    }

    /// The greatest severity that was reported.
    pub fn worst(&self) -> Option<Severity> {
        self.logs().values().filter_map(|status| status.worst).max()
    }

    /// How each log stands.
    pub fn statuses(&self) -> BTreeMap<String, LogStatus> {
        self.logs().clone()
    }

    /// The text of `/metrics`.
    pub fn render(&self, dropped: u64) -> String {
        let mut text = String::new();
        let logs = self.logs();
        let mut gauge = |name: &str, help: &str, of: &dyn Fn(&LogStatus) -> u64| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (log, status) in logs.iter() {
                let _ = writeln!(text, "{name}{{log=\"{}\"}} {}", label(log), of(status));
            }
        };
        gauge("soulchain_monitor_tree_size", "Entries of the newest tree that the log signed", &|s| s.tree_size);
        gauge("soulchain_monitor_replayed_size", "Entries that are replayed", &|s| s.replayed);
        gauge("soulchain_monitor_read_timestamp_seconds", "When the log was read last", &|s| s.read_ms / 1000);
        gauge("soulchain_monitor_conditions", "Things that are wrong now", &|s| s.conditions.len() as u64);
        gauge("soulchain_monitor_failed", "1: it is not followed any more", &|s| u64::from(s.has_failed));
        let _ = writeln!(text, "# HELP soulchain_monitor_reports_total Reports, by kind");
        let _ = writeln!(text, "# TYPE soulchain_monitor_reports_total counter");
        for (log, status) in logs.iter() {
            for (kind, count) in &status.reports {
                let log = label(log);
                let _ = writeln!(text, "soulchain_monitor_reports_total{{log=\"{log}\",kind=\"{kind}\"}} {count}");
            }
        }
        let name = "soulchain_monitor_webhook_dropped_total";
        let _ = writeln!(
            text,
            "# HELP {name} Reports that the webhook did not take\n# TYPE {name} counter\n{name} {dropped}"
        );
        text
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<String, LogStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sparse files: they are long, and take no room on the disk.
    #[test]
    fn a_round_takes_no_more_than_there_is_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, len: u64| {
            let path = dir.path().join(name);
            fs::File::create(&path).unwrap().set_len(len).unwrap();
            path
        };
        let files = (0..3).map(|at| file(&format!("checked{at}"), MAX_PROOF_LEN)).collect();
        for at in 0..3 {
            file(&format!("{at}.tlog-proof"), MAX_PROOF_LEN / 2);
        }
        file("endless.tlog-proof", MAX_PROOF_LEN + 1);
        let mut spool = Spool { files, dir: Some(dir.path().to_owned()) };
        let (mut read, mut rounds) = (0, 0);
        while read < 7 {
            let (proofs, taken) = spool.read();
            assert!(proofs.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>() <= MAX_TAKEN_LEN + MAX_PROOF_LEN);
            assert!(!proofs.is_empty());
            read += proofs.len();
            rounds += 1;
            for path in taken {
                fs::rename(&path, path.with_extension("taken")).unwrap();
            }
        }
        assert!(rounds >= 4, "{rounds}");
        assert!(spool.read().0.is_empty());
    }
}
