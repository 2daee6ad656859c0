//! `soulchain audit`: replays everything that a log has published.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::args::read_file;
use super::error::{CliError, CliResult};
use super::output::{CARE, Output, mark};
use super::progress::Bar;
use super::time::readable;
use super::trust::{LogKeyArgs, named_policy, origin, policy_of, source_of};
use crate::audit::{
    AuditError, Blind, Event, FindingView, KEEP_EVERY, Keep, Report, Request, SourceError, State, audit,
};
use crate::client::now;
use crate::log::{Directory, OriginFile, Progress};
use crate::tlog::{Origin, Policy};

const EXAMPLES: &str = "\
Examples:
  soulchain audit http://127.0.0.1:8080 --policy policy.txt
  soulchain audit https://log.example --vkey 'log.example/soul1+f0d5…+AY…' --state audit.state
  soulchain audit soulchain-data                     a node's directory, by its own word on its key

Only the public routes are read: checkpoint, tiles, entry bundles. With --state the next audit goes on where this one
ended, and the file remembers what the log had signed: keep it where the log's operator cannot change it.
With --json each fault is an object on a line of its own, and the last line is the summary.";

/// Most faults that are listed for people; more are counted.
const MAX_LISTED: u64 = 1000;

/// Flags of `audit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AuditArgs {
    /// URL that the log's routes begin with, or a directory with the same files
    #[arg(value_name = "URL|DIR")]
    log: String,
    #[command(flatten)]
    key: LogKeyArgs,
    /// Go on from this file, and keep there what the next audit needs; made at the first
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Threads that check entries [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Whom the audit believes, and whether that is the log itself.
struct Trust {
    policy: Policy,
    origin: Origin,
    is_own_word: bool,
}

/// Says what is found as it is found.
struct Teller<'o> {
    out: &'o Output,
    bar: Bar,
    told: u64,
}

/// Audits a log: success where nothing is wrong with it.
pub(super) fn run(args: &AuditArgs, out: &Output) -> CliResult<ExitCode> {
    let trust = trust(args)?;
    if trust.is_own_word {
        out.warn("the key is the one that the directory itself names: this shows no more than that it is consistent");
    }
    let source = source_of(&args.log)?;
    let resume = resume(args, &trust)?;
    let request = Request {
        source: &*source,
        policy: &trust.policy,
        origin: &trust.origin,
        resume,
        keep: args.state.as_ref().map(|path| path as &dyn Keep),
        keep_every: KEEP_EVERY,
        now: now(),
        threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    let began = Instant::now();
    let mut teller = Teller { out, bar: Bar::new("auditing", out.is_json()), told: 0 };
    let report = audit(request, &mut |event| teller.hear(event));
    let told = teller.finish();
    let report = report.map_err(|error| not_done(&error, told))?;
    conclude(out, &trust, &report, began.elapsed().as_secs_f64());
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> ExitCode {
    match report.blind {
        _ if report.faults > 0 || report.known > 0 => ExitCode::FAILURE,
        Some(_) => CliError::unavailable("").exit_code(),
        None => ExitCode::SUCCESS,
    }
}

fn not_done(error: &AuditError, told: u64) -> CliError {
    let hint = match error {
        AuditError::Source(SourceError::Client(_)) => {
            "is the log running, and is this the URL that its routes begin with? with --state the next audit goes on"
        }
        AuditError::State(_) => "check the path and its permissions",
        _ => "is this the public directory of a log, with `checkpoint` and `tile/`?",
    };
    let message = format!("the audit did not end: {error}");
    match error {
        // What was found is true, however much was not read.
        _ if told > 0 => CliError::failed(message),
        AuditError::State(_) => CliError::usage(message),
        _ => CliError::unavailable(message),
    }
    .hint(hint)
}

fn trust(args: &AuditArgs) -> CliResult<Trust> {
    if let Some(policy) = named_policy(args.key.policy.as_deref(), args.key.vkey.as_deref())? {
        let origin = origin(&policy, args.key.origin.as_deref())?;
        return Ok(Trust { policy, origin, is_own_word: false });
    }
    if !Directory::exists(Path::new(&args.log)) {
        return Err(CliError::usage("say by whose key: --policy FILE or --vkey VKEY")
            .hint("take the log's key from elsewhere than from the log: its operator, a witness, a monitor"));
    }
    let policy = policy_of(&named_key(&Path::new(&args.log).join("origin.json"))?)?;
    let origin = origin(&policy, args.key.origin.as_deref())?;
    Ok(Trust { policy, origin, is_own_word: true })
}

/// The log key that a node's directory names.
fn named_key(path: &Path) -> CliResult<String> {
    let named: Result<OriginFile, _> = serde_json::from_slice(&read_file(path)?);
    let named = named.map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
    let key = named.vkeys.into_iter().next();
    key.ok_or_else(|| CliError::usage(format!("{} names no key", path.display())))
}

fn resume(args: &AuditArgs, trust: &Trust) -> CliResult<Option<State>> {
    let Some(path) = &args.state else { return Ok(None) };
    let state = State::read(path).map_err(|error| {
        CliError::usage(error.to_string())
            .hint("without the file the audit begins anew, and no longer knows what it saw")
    })?;
    match state {
        Some(state) if *state.origin() != trust.origin => {
            Err(CliError::usage(format!("{} is of the log {}", path.display(), state.origin())))
        }
        state => Ok(state),
    }
}

impl Teller<'_> {
    fn hear(&mut self, event: Event<'_>) {
        match event {
            Event::Found(finding) => self.tell(&finding.view(), false),
            Event::Known(known) => self.tell(known, true),
            Event::Entry(..) => {}
            Event::Progress(entries, of) => self.bar.show(Progress { entries, of }),
        }
    }

    fn tell(&mut self, fault: &FindingView, known: bool) {
        self.told += 1;
        if self.out.is_json() {
            let mut json = serde_json::to_value(fault).expect("a finding is a map with text keys");
            json["kind"] = "fault".into();
            json["known"] = known.into();
            self.out.line(json);
        } else if self.told <= MAX_LISTED {
            self.bar.suspend(|| self.out.line(line(fault, known)));
        }
    }

    fn finish(self) -> u64 {
        self.bar.finish();
        if !self.out.is_json() && self.told > MAX_LISTED {
            self.out.line(format_args!("and {} faults more", self.told - MAX_LISTED));
        }
        self.told
    }
}

/// A fault on a line: where it is, its code, and what is wrong.
fn line(fault: &FindingView, known: bool) -> String {
    let (mark, style) = mark(false);
    let index = fault.index.map(|index| format!("entry {index}"));
    let link = match (&fault.identity, fault.seqno) {
        (Some(identity), Some(seqno)) => Some(format!("seqno {seqno} of {identity}")),
        _ => None,
    };
    let places: Vec<_> = [fault.tile.clone(), index, link].into_iter().flatten().collect();
    let place = if places.is_empty() { "checkpoint".into() } else { places.join(", ") };
    let known = if known { " (found before)" } else { "" };
    format!("{style}{mark} {}{style:#} {place}: {}{known}", fault.code, fault.what)
}

fn conclude(out: &Output, trust: &Trust, report: &Report, seconds: f64) {
    if out.is_json() {
        out.line(summary(trust, report, seconds));
        return;
    }
    if let Some(blind) = report.blind {
        out.line(format_args!("{CARE}not judged:{CARE:#} entries from here on, since {blind}"));
    }
    let (mark, style) = mark(report.is_clean());
    let verdict = match (report.faults, report.known) {
        (0, 0) if report.blind.is_some() => "not all of the log could be judged".into(),
        (0, 0) => "nothing is wrong with this log".into(),
        (faults, 0) => format!("{faults} faults"),
        (faults, known) => format!("{faults} faults, and {known} that were found before"),
    };
    out.line(format_args!("{style}{mark} {verdict}{style:#}"));
    let millis = Duration::from_secs_f64(seconds).as_millis().max(1);
    let rate = u128::from(report.links) * 1000 / millis;
    let claim = report.claim.map(|(size, root)| format!("size {size}, root {root}"));
    out.fields(&[
        ("log", trust.origin.to_string()),
        ("checkpoint", claim.unwrap_or_else(|| "not one of this log".into())),
        ("judged", format!("{} entries, {} of them by an earlier audit", report.judged, report.began)),
        ("now", format!("{} links, {} trailers in {seconds:.1} s ({rate} links/s)", report.links, report.trailers)),
        ("identities", report.identities.to_string()),
        ("log time", readable(report.log_time.get())),
        ("rests on", if trust.is_own_word { "the log's own word on its key".into() } else { "the key given".into() }),
    ]);
}

fn summary(trust: &Trust, report: &Report, seconds: f64) -> Value {
    let blind = report.blind.map(|blind| match blind {
        Blind::Rules(stop) => json!({ "index": stop.index.get(), "rules": stop.rules }),
        Blind::Missing(index) => json!({ "index": index.get() }),
    });
    json!({
        "kind": "summary",
        "clean": report.is_clean(),
        "origin": trust.origin.as_str(),
        "tree_size": report.claim.map(|(size, _)| size.get()),
        "root": report.claim.map(|(_, root)| root.to_hex()),
        "began": report.began.get(),
        "judged": report.judged.get(),
        "links": report.links,
        "trailers": report.trailers,
        "identities": report.identities,
        "log_time_ms": report.log_time.get(),
        "faults": report.faults,
        "known_faults": report.known,
        "not_judged_from": blind,
        "own_word": trust.is_own_word,
        "seconds": seconds,
    })
}
