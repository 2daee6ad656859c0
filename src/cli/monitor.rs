//! `soulchain monitor`: follows logs, and reports what is wrong with them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::error::{CliError, CliResult};
use super::key_dir::passphrase;
use super::monitor_server::Server;
use super::monitor_settings::{LogTable, MonitorSettings};
use super::output::Output;
use super::trust::{LogKeyArgs, named_policy, origin};
use crate::audit::HttpSource;
use crate::client::now;
use crate::encoding::hex_encode;
use crate::keyfile::KeyFile;
use crate::monitor::{
    Board, Desk, DirStore, Followed, HttpWitnesses, Limits, LogKind, LogMonitor, LogSettings, Report, Severity, Spool,
    Stop, StoreError, WatchList, Webhook, run as follow,
};
use crate::tlog::{Cosigner, KeyName, NoteVerifier, Vkey};

/// What a request to a log has, with all its repeats. What is under way at the end is waited for.
const REQUEST_TIME: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  soulchain monitor https://log.example --policy policy.txt --watch scout
  soulchain monitor https://log.example --policy policy.txt --check act.tlog-proof --once
  soulchain monitor --config monitor.toml --listen 127.0.0.1:9090 --webhook https://alerts.example/soulchain
  soulchain monitor --config monitor.toml --cosign monitor.example/m1 --key monitor.key

Reports are JSON, one a line, on standard output. Evidence lies in the state directory; `soulchain verify --evidence FILE
--policy FILE` judges it, on any machine. The state remembers what the log has signed: keep it where its operator cannot
change it. With --once the exit code is 1 where an alert, or worse, was
reported.";

/// Flags of `monitor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MonitorArgs {
    /// URL that the log's routes begin with; further logs come from the settings file
    #[arg(value_name = "URL", required_unless_present = "config")]
    url: Option<String>,
    /// Settings file: `[[log]]` tables, and the flags that are for all
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory [default: ./soulchain-monitor]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    log_key: LogKeyArgs,
    /// The log's instant key, for proofs that are handed in
    #[arg(long, value_name = "VKEY")]
    instant_vkey: Option<String>,
    /// Report on this name or identity; `*` is everybody
    #[arg(long, value_name = "NAME|ID")]
    watch: Vec<String>,
    /// A proof that was given at once: report if the log does not keep to it
    #[arg(long, value_name = "FILE")]
    check: Vec<PathBuf>,
    /// A directory where such proofs are handed in
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Only watch that the log appends; entries are not read
    #[arg(long)]
    plain: bool,
    /// Seconds between rounds [default: 10]
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u64>,
    /// Greatest age of the quorum's cosignatures, in seconds [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    stale: Option<u64>,
    /// Seconds within which the log shows what it promised, and what its witnesses have seen [default: 600]
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    /// Post each report there
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Serve `/metrics`, `/healthz`, and what is cosigned
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Cosign what was replayed without a fault, under this name
    #[arg(long, value_name = "NAME", requires = "key")]
    cosign: Option<String>,
    /// The key file to cosign with (`soulchain keygen`)
    #[arg(long, value_name = "FILE", requires = "cosign")]
    key: Option<PathBuf>,
    /// One round
    #[arg(long)]
    once: bool,
    /// Threads that check entries [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(args: &MonitorArgs, out: &Output) -> CliResult<ExitCode> {
    let settings = settings(args)?;
    let store = DirStore::open(&settings.state).map_err(|error| match &error {
        StoreError::InUse(_) => CliError::unavailable(error.to_string()).hint("stop that one first"),
        _ => CliError::usage(error.to_string()),
    })?;
    let desk = Arc::new(Desk::new(cosigner(&settings, out)?));
    let board = Arc::new(Board::default());
    let webhook = settings.webhook.as_deref().map(Webhook::start).transpose();
    let webhook = webhook.map_err(|error| CliError::usage(format!("--webhook: {error}")))?.map(Arc::new);
    let logs = all_followed(&settings, &store, &desk)?;
    let stop = Stop::default();
    let server = settings.listen.map(|listen| {
        let dropped = webhook.clone().map(|webhook| move || webhook.dropped());
        Server::start(listen, board.clone(), desk.clone(), Box::new(move || dropped.as_ref().map_or(0, |of| of())))
    });
    let server = server.transpose()?;
    if let Some(server) = &server {
        out.note(format_args!("listening at http://{}", server.address()));
    }
    stop_on_signal(&stop)?;
    let sink = |report: &Report| {
        write_report(report).inspect_err(|_| stop.set())?;
        if let Some(webhook) = &webhook {
            webhook.send(report);
        }
        Ok(())
    };
    let done = rounds(logs, &sink, &board, &stop, args.once, out);
    drop(server);
    done.map_err(|error| CliError::unavailable(error.to_string()))?;
    let is_bad = args.once && board.worst().is_some_and(|worst| worst >= Severity::Alert);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A report counts as told once it was written: a reader that is gone is an error here, and no quiet end.
fn write_report(report: &Report) -> io::Result<()> {
    let json = serde_json::to_string(report).expect("a report is a map with text keys");
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{json}").and_then(|()| stdout.flush());
    written
        .map_err(|error| io::Error::new(error.kind(), format!("reports cannot be written to standard output: {error}")))
}

/// A thread for each log; where one cannot go on, the others do, and the error comes at the end.
fn rounds(
    logs: Vec<Followed>,
    sink: &(dyn Fn(&Report) -> io::Result<()> + Sync),
    board: &Board,
    stop: &Stop,
    is_once: bool,
    out: &Output,
) -> io::Result<()> {
    thread::scope(|scope| {
        let spawn = |log: Followed| {
            scope.spawn(move || {
                let origin = log.monitor.origin().clone();
                let sink = |report: &Report| sink(report);
                let follows = AssertUnwindSafe(|| follow(log, &sink, board, stop, is_once, &now));
                // Nobody else would say that this log is not followed any more, while others are.
                let done = catch_unwind(follows).unwrap_or_else(|_| Err(io::Error::other("a round has panicked")));
                done.inspect_err(|error| {
                    out.warn(format_args!("{origin} is not followed any more: {error}"));
                    board.fail(&origin);
                })
            })
        };
        let threads: Vec<_> = logs.into_iter().map(spawn).collect();
        let done: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("what could panic is caught")).collect();
        done.into_iter().collect()
    })
}

/// Settings from the file, overridden by flags.
fn settings(args: &MonitorArgs) -> CliResult<MonitorSettings> {
    let mut settings = args.config.as_deref().map_or_else(|| Ok(MonitorSettings::default()), MonitorSettings::load)?;
    if let Some(url) = &args.url {
        settings.log.push(LogTable {
            url: url.clone(),
            policy: args.log_key.policy.clone(),
            vkey: args.log_key.vkey.clone(),
            origin: args.log_key.origin.clone(),
            instant_vkey: args.instant_vkey.clone(),
            plain: args.plain,
            watch: args.watch.clone(),
            check: args.check.clone(),
            spool: args.spool.clone(),
        });
    }
    if settings.log.is_empty() {
        return Err(CliError::usage("no log to follow").hint("name its URL, or a settings file with a [[log]] table"));
    }
    let set = |to: &mut u64, flag: Option<u64>| *to = flag.unwrap_or(*to);
    set(&mut settings.interval_seconds, args.interval);
    set(&mut settings.stale_seconds, args.stale);
    set(&mut settings.patience_seconds, args.patience);
    if let Some(state) = &args.state {
        settings.state.clone_from(state);
    }
    settings.webhook = args.webhook.clone().or(settings.webhook);
    settings.listen = args.listen.or(settings.listen);
    settings.cosign = args.cosign.clone().or(settings.cosign);
    settings.key = args.key.clone().or(settings.key);
    settings.threads = args.threads.or(settings.threads);
    Ok(settings)
}

/// Each log once: two that follow one would forget what the other saw, and cosign without knowing of the other.
fn all_followed(settings: &MonitorSettings, store: &DirStore, desk: &Arc<Desk>) -> CliResult<Vec<Followed>> {
    let mut urls = BTreeMap::new();
    let mut logs = Vec::new();
    for table in &settings.log {
        let log = followed(table, settings, store, desk)?;
        let origin = log.monitor.origin().as_str().to_owned();
        if let Some(other) = urls.insert(origin.clone(), &table.url) {
            let text = format!("{other} and {} are the same log, {origin}: it is followed once", table.url);
            return Err(CliError::usage(text).hint(
                "name it in one [[log]] table; for another of its addresses run another \
                                                   monitor, with a state directory of its own",
            ));
        }
        logs.push(log);
    }
    Ok(logs)
}

fn followed(table: &LogTable, settings: &MonitorSettings, store: &DirStore, desk: &Arc<Desk>) -> CliResult<Followed> {
    let policy = named_policy(table.policy.as_deref(), table.vkey.as_deref())?.ok_or_else(|| {
        CliError::usage(format!("{}: say by whose key: a policy or a vkey", table.url))
            .hint("take the log's key from elsewhere than from the log")
    })?;
    let origin = origin(&policy, table.origin.as_deref())?;
    let instant_keys = table.instant_vkey.iter().map(|text| instant_key(text)).collect::<CliResult<_>>()?;
    let own = hex_encode(&origin.hash());
    let store = store.under(&own).map_err(|error| CliError::file(&settings.state, error))?;
    let log = LogSettings {
        origin,
        policy,
        instant_keys,
        kind: if table.plain { LogKind::Plain } else { LogKind::Soulchain },
        stale_seconds: settings.stale_seconds,
        patience_seconds: settings.patience_seconds,
        watch: WatchList::of(table.watch.iter().map(String::as_str)),
        threads: settings.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
    };
    let monitor = LogMonitor::open(log, Arc::new(store), desk.clone());
    Ok(Followed {
        monitor: monitor.map_err(|error| CliError::usage(format!("{}: {error}", table.url)))?,
        source: Box::new(
            HttpSource::within(&table.url, REQUEST_TIME).map_err(|error| CliError::usage(error.to_string()))?,
        ),
        witnesses: Box::new(HttpWitnesses::new().map_err(CliError::unavailable)?),
        spool: Spool { files: table.check.clone(), dir: table.spool.clone() },
        interval: Duration::from_secs(settings.interval_seconds),
        desk: desk.clone(),
        limits: Limits::default(),
    })
}

fn instant_key(text: &str) -> CliResult<NoteVerifier> {
    let key = Vkey::parse(text).and_then(NoteVerifier::new);
    key.map_err(|error| CliError::usage(format!("the instant key {text}: {error}")))
}

/// The key that cosigns, where that is asked for.
fn cosigner(settings: &MonitorSettings, out: &Output) -> CliResult<Option<Cosigner>> {
    let (Some(name), Some(path)) = (&settings.cosign, &settings.key) else { return Ok(None) };
    let name = KeyName::parse(name).map_err(|error| CliError::usage(format!("{name}: {error}")))?;
    let cosigner = Cosigner::from_seed(name, read_key(path)?.seed());
    out.note(format_args!("cosigning as {}", cosigner.vkey()));
    Ok(Some(cosigner))
}

fn read_key(path: &Path) -> CliResult<KeyFile> {
    Ok(KeyFile::read(path, passphrase().as_ref())?.key)
}

/// SIGTERM and SIGINT end the rounds; of one that is under way, what was asked for is waited for, and nothing more asked.
fn stop_on_signal(stop: &Stop) -> CliResult<()> {
    let stop = stop.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let Ok(stopped) = super::serve::stopped() else { return };
            let _ = ready.send(());
            stopped.await;
            stop.set();
        });
    });
    is_ready.recv().map_err(|_| CliError::unavailable("signals cannot be waited for"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::audit::{Source, SourceError, TileBytes};
    use crate::monitor::{Kind, MemoryStore};
    use crate::tlog::{Ed25519Signer, Origin, Policy, TileId};

    /// A log whose reading panics.
    struct Panics;

    impl Source for Panics {
        fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
            panic!("as a test wants it")
        }

        fn tile(&self, _: TileId) -> Result<TileBytes, SourceError> {
            Ok(TileBytes::Missing)
        }

        fn fetches_at_once(&self) -> usize {
            1
        }
    }

    /// The others are followed on, and it is told.
    #[test]
    fn a_panic_ends_one_log_and_is_told() {
        let mut panics = unread("log.example/panics", None);
        panics.source = Box::new(Panics);
        let logs = vec![panics, unread("log.example/other", None)];
        let reports = Mutex::new(Vec::new());
        let sink = |report: &Report| {
            reports.lock().unwrap().push(report.log.clone());
            Ok(())
        };
        let (board, stop) = (Board::default(), Stop::default());
        let done = rounds(logs, &sink, &board, &stop, true, &Output::new(false));
        assert_eq!(done.unwrap_err().to_string(), "a round has panicked");
        assert_eq!(*reports.lock().unwrap(), ["log.example/other"]);
        assert!(!board.is_well(), "health shows it");
    }

    /// A log that cannot be read; one of them says so when it was told of the other.
    struct Unread(Option<Mutex<mpsc::Receiver<()>>>);

    impl Source for Unread {
        fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
            let told = self.0.as_ref().map(|told| told.lock().unwrap().recv_timeout(Duration::from_mins(1)));
            let why = if told.is_some_and(|told| told.is_err()) { "nothing was told" } else { "it is away" };
            Err(SourceError::Io("checkpoint".into(), io::Error::other(why)))
        }

        fn tile(&self, _: TileId) -> Result<TileBytes, SourceError> {
            Ok(TileBytes::Missing)
        }

        fn fetches_at_once(&self) -> usize {
            1
        }
    }

    fn unread(name: &str, told: Option<mpsc::Receiver<()>>) -> Followed {
        let signer = Ed25519Signer::from_seed(KeyName::parse(name).unwrap(), &[1; 32]);
        let policy = Policy::parse(format!("log {}\nquorum none\n", signer.vkey()).as_bytes()).unwrap();
        let settings = LogSettings {
            origin: Origin::parse(name).unwrap(),
            policy,
            instant_keys: Vec::new(),
            kind: LogKind::Plain,
            stale_seconds: 1,
            patience_seconds: 1,
            watch: WatchList::default(),
            threads: 1,
        };
        let desk = Arc::new(Desk::default());
        Followed {
            monitor: LogMonitor::open(settings, Arc::new(MemoryStore::default()), desk.clone()).unwrap(),
            source: Box::new(Unread(told.map(Mutex::new))),
            witnesses: Box::new(HttpWitnesses::new().unwrap()),
            spool: Spool::default(),
            interval: Duration::from_secs(1),
            desk,
            limits: Limits::default(),
        }
    }

    /// The first does not answer before what there is to say of the second was told.
    #[test]
    fn a_log_that_does_not_answer_holds_up_no_other() {
        let (sender, told) = mpsc::channel();
        let logs = vec![unread("log.example/slow", Some(told)), unread("log.example/other", None)];
        let reports = Mutex::new(Vec::new());
        let sink = |report: &Report| {
            if report.log == "log.example/other" {
                sender.send(()).unwrap();
            }
            reports.lock().unwrap().push(report.clone());
            Ok(())
        };
        let (board, stop) = (Board::default(), Stop::default());
        rounds(logs, &sink, &board, &stop, true, &Output::new(false)).unwrap();
        let reports = reports.into_inner().unwrap();
        assert_eq!(reports.len(), 2, "{reports:#?}");
        for report in reports {
            assert!(report.kind == Kind::Unreachable && report.text.contains("it is away"), "{report:?}");
        }
    }
}
