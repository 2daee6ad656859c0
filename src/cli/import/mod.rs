//! `soulchain import`: recorded traces, turned into signed actions.
//!
//! `fields` and `spans` say what a line tells of, `journal` what was done already, `worker` does it for one agent; here
//! the lines are read, shared out by agent and counted.

mod fields;
mod journal;
mod json_text;
mod names;
mod reader;
mod spans;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tokio::sync::Semaphore;

use self::fields::FieldNames;
use self::journal::{Journal, Standing};
use self::reader::{Counts, MAX_UNDER_WAY, Reader};
use self::worker::{Shared, Worker};
use super::args::NodeArgs;
use super::error::{CliError, CliResult};
use super::key_dir::{NewKeyArgs, home};
use super::output::Output;
use crate::client::KnownLog;
use crate::encoding::hex_encode;
use crate::hash::sha256;

const EXAMPLES: &str = "\
Examples:
  soulchain import traces.jsonl --unencrypted --proofs proofs/
  soulchain import spans.jsonl --agent scout                 lines that name no agent are scout's
  soulchain import log.jsonl --tool-field call.fn --agent-field worker --dry-run

Each line is a JSON object: fields of usual names (agent, tool, arguments, outcome or error, result or result_sha256,
time …), OpenTelemetry GenAI spans, or OTLP batches of them. What the tool was given and gave is carried as the exact
text; what does not fit goes by its SHA-256. Agents are registered on the way, their keys in the key directory.
Cut off, or fed with more lines, it goes on where it was: nothing is logged twice.";

/// Flags of `import`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ImportArgs {
    /// File of JSON lines
    file: PathBuf,
    /// Agent of the lines that name none
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Put before every agent's name
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Write a proof of every action below this directory
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
    /// Where to keep what was signed [default: below ~/.soulchain/imports]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Show what would be logged, and log nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    names: FieldNames,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    keys: NewKeyArgs,
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
struct Summary {
    #[serde(flatten)]
    counts: Counts,
    /// Actions logged by this run.
    logged: u64,
    /// Actions that earlier runs had logged.
    logged_before: u64,
    agents: Vec<AgentSummary>,
}

#[derive(Debug, Serialize)]
struct AgentSummary {
    name: String,
    identity: String,
    links: u64,
}

pub(super) async fn run(args: ImportArgs, out: &Output) -> CliResult<()> {
    let mut reader = Reader::open(&args.file, args.names.clone(), args.agent.clone(), args.prefix.clone())?;
    if args.dry_run {
        return dry_run(&reader, out);
    }
    let (shared, standings) = prepare(&args, &reader, out).await?;
    let mut summary =
        Summary { logged_before: standings.values().map(|standing| standing.count).sum(), ..Summary::default() };
    let mut workers = BTreeMap::new();
    for (label, standing) in standings {
        let worker = resume(&shared, &label, standing, &mut reader).await?;
        workers.extend(worker.map(|worker| (label, worker)));
    }
    let (counts, finished) = reader.share_out(&shared, workers).await;
    shared.bar.finish_and_clear();
    for (name, agent, logged) in finished? {
        summary.logged += logged;
        summary.agents.push(AgentSummary { name, identity: agent.identity().to_hex(), links: agent.seqno().get() });
    }
    summary.counts = counts;
    out.result(&summary, |out| tell(out, &summary, &args));
    Ok(())
}

async fn prepare(
    args: &ImportArgs,
    reader: &Reader,
    out: &Output,
) -> CliResult<(Arc<Shared>, BTreeMap<String, Standing>)> {
    let client = args.node.patient_client(8)?;
    let log = KnownLog::ask(&client).await?;
    let state = match &args.state {
        Some(dir) => dir.clone(),
        None => default_state(&log, reader, &args.prefix)?,
    };
    let (journal, standings) = Journal::open(&state)?;
    let actions = reader.count_actions()?;
    let bar = out.progress(actions, "{bar:40} {pos}/{len} actions  {per_sec}  {eta} left");
    let shared = Shared {
        client,
        log,
        keys: args.keys.dir()?,
        journal,
        proofs: args.proofs.clone(),
        bar,
        out: Output::new(out.is_json()),
        under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
    };
    Ok((Arc::new(shared), standings))
}

/// By the log and by how the file begins: it may be moved, and may grow.
fn default_state(log: &KnownLog, reader: &Reader, prefix: &str) -> CliResult<PathBuf> {
    let first_line = reader.first_line()?;
    let id = sha256(&[log.id().as_ref(), prefix.as_bytes(), b"\n", first_line.as_bytes()]);
    Ok(home()?.join("imports").join(hex_encode(&id[..8])))
}

/// Sends what an earlier run had signed, and lets the reader pass over what is logged.
async fn resume(
    shared: &Arc<Shared>,
    label: &str,
    standing: Standing,
    reader: &mut Reader,
) -> CliResult<Option<Worker>> {
    let Standing { mut logged, count, pending } = standing;
    held_by_log(shared, label, count).await?;
    shared.bar.inc(count);
    let mut worker = None;
    if let Some(batch) = pending {
        let mut started = Worker::start(Arc::clone(shared), label.into()).await?;
        let reached = (batch.upto, batch.line_sha256.clone());
        if started.resend(batch).await? {
            logged = Some(reached);
        }
        worker = Some(started);
    }
    if let Some((place, line_sha256)) = logged {
        reader.pass_over(label, place, line_sha256);
    }
    Ok(worker)
}

/// A log that was founded anew, or restored from an older copy, has not what an import remembers.
async fn held_by_log(shared: &Shared, label: &str, count: u64) -> CliResult<()> {
    if count == 0 {
        return Ok(());
    }
    let has = match shared.client.agent(label).await {
        Ok(agent) => agent.head.seqno,
        Err(error) if matches!(error.code(), "not_found" | "unknown_identity") => 0,
        Err(error) => return Err(error.into()),
    };
    // The genesis is a link as well.
    if has > count {
        return Ok(());
    }
    let state = shared.journal.path().display();
    Err(CliError::failed(format!("{count} actions of `{label}` were imported, and the log has {has} links of it"))
        .hint(format!(
            "it is not the log that {state} tells of, or an older copy: import all again with another --state"
        )))
}

fn dry_run(reader: &Reader, out: &Output) -> CliResult<()> {
    let (counts, agents, first) = reader.survey()?;
    let first = first.map(|action| String::from_utf8_lossy(&action.body().to_bytes()).into_owned());
    let json = serde_json::json!({ "counts": counts, "agents": agents, "first": first });
    out.result(&json, |out| {
        out.line(format_args!("{} actions of {} agents; nothing was logged", counts.actions, agents.len()));
        tell_counts(out, &counts);
        out.table(&["agent", "actions"], agents.iter().map(|(name, n)| vec![name.clone(), n.to_string()]).collect());
        if let Some(first) = &first {
            out.line(format_args!("\nthe first body:\n{first}"));
        }
    });
    Ok(())
}

fn tell(out: &Output, summary: &Summary, args: &ImportArgs) {
    out.line(format_args!("{} actions logged, {} had been before", summary.logged, summary.logged_before));
    tell_counts(out, &summary.counts);
    let row = |agent: &AgentSummary| vec![agent.name.clone(), agent.identity.clone(), agent.links.to_string()];
    if !summary.agents.is_empty() {
        out.table(&["agent", "identity", "links"], summary.agents.iter().map(row).collect());
    }
    if let Some(dir) = args.proofs.as_deref().map(Path::display) {
        out.note(format_args!("proofs are below {dir}"));
    }
}

fn tell_counts(out: &Output, counts: &Counts) {
    if counts.skipped > 0 {
        out.line(format_args!("{} lines are no action", counts.skipped));
    }
    if counts.unreadable > 0 {
        out.warn(format_args!("{} lines are not JSON", counts.unreadable));
    }
    if counts.without_agent > 0 {
        out.warn(format_args!("{} actions name no agent and were left out: give --agent NAME", counts.without_agent));
    }
}

impl CliError {
    /// Says where in the import it happened.
    fn within(self, place: &str) -> Self {
        self.prefixed(place).and_hint("run the same command again to go on from here")
    }
}
