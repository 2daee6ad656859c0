//! `soulchain demo`: a log from its founding to what becomes of its agents, in a temporary directory, with witnesses, a
//! monitor and a mirror as processes of their own; proofs are checked offline.

mod followers;
mod life;
mod processes;
mod witnesses;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;

use self::followers::Followers;
use self::life::Owned;
use self::witnesses::{Witnesses, settled};
use super::error::{CliError, CliResult};
use super::output::{GOOD, Output, QUIET};
use super::serve::{self, Running, ServeError};
use super::verify::{judge, tell};
use crate::client::{Action, Agent, AgentKeys, Client, KnownLog, Logged, NewAgent, ProofWanted, Signer, now};
use crate::config::Settings;
use crate::hash::sha256;
use crate::keyfile::KeyFile;
use crate::log::FLUSH_AFTER;
use crate::merkle::verify_consistency;
use crate::node::{Node, NodeOptions, WitnessPolicy};
use crate::soul::{Outcome, next_commitment};
use crate::tlog::{Policy, SignedCheckpoint};

const EXAMPLES: &str = "\
Examples:
  soulchain demo
  soulchain demo --keep        leave the node up: look at http://127.0.0.1:8080/docs";

/// Flags of `demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// Leave the node up until Ctrl-C, on 127.0.0.1:8080
    #[arg(long)]
    keep: bool,
}

/// What the agents of the demo do: real commands.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("scribe", &["date", "-u"]),
    ("courier", &["uname", "-s"]),
    ("scribe", &["sh", "-c", "echo three words here | wc -w"]),
    ("courier", &["ls", "/a-place-that-is-not-there"]),
];

/// Where the agents of the demo are, and whom its relying party believes.
#[derive(Debug)]
struct Stage<'a> {
    client: &'a Client,
    log: &'a KnownLog,
    policy: &'a Policy,
    directory: &'a Path,
    out: &'a Output,
}

pub(super) fn run(args: &DemoArgs, out: &Output) -> CliResult<ExitCode> {
    let directory = tempfile::tempdir().map_err(|error| CliError::failed(error.to_string()))?;
    let (node, settings) = found(directory.path(), args.keep).map_err(failed)?;
    let mut witnesses = Witnesses::start(&directory.path().join("witnesses"), &node.log_vkeys())?;
    let policy = WitnessPolicy::parse(witnesses.policy().as_bytes(), node.origin(), &node.log_vkeys());
    let node = node.with_witnesses(policy.map_err(|error| CliError::failed(error.to_string()))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::failed(error.to_string()))?;
    let done = runtime.block_on(show(&node, &mut witnesses, &settings, directory.path(), args.keep, out));
    runtime.shutdown_timeout(Duration::from_secs(5));
    node.engine().close();
    done.map(|()| ExitCode::SUCCESS)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn failed(error: ServeError) -> CliError {
    CliError::failed(error.to_string())
}

fn found(directory: &Path, keep: bool) -> Result<(Node, Settings), ServeError> {
    let mut settings = Settings { data: directory.join("log"), ..Settings::default() };
    settings.witnesses.interval_ms = 200;
    if !keep {
        settings.listen.set_port(0);
    }
    let options = NodeOptions {
        data: settings.data.clone(),
        origin: Some("demo.example/agents".into()),
        ml_dsa: false,
        passphrase: None,
        pool: settings.pool_limits(),
        confirm_newest: false,
        views: settings.view_store()?,
        flush_after: FLUSH_AFTER,
    };
    Ok((Node::open(options)?.0, settings))
}

async fn show(
    node: &Node,
    witnesses: &mut Witnesses,
    settings: &Settings,
    directory: &Path,
    keep: bool,
    out: &Output,
) -> CliResult<()> {
    let running = serve::start(node.clone(), settings).await.map_err(failed)?;
    let client = Client::new(&running.url())?;
    step(out, 1, "a node founds its log, with three witnesses of which two suffice");
    let log = KnownLog::ask(&client).await?;
    let view = client.log().await?;
    out.line(format_args!("  {} at {}, {} entries", view.origin, running.url(), view.tree_size));
    out.line(format_args!("  witness.example/w1, w2 and w3 cosign what it publishes"));
    let before = checkpoint(&client).await?;

    step(out, 2, "two agents register their keys");
    let mut agents = [register(&client, &log, "scribe", out).await?, register(&client, &log, "courier", out).await?];

    step(out, 3, "they run commands, and append what they did to their chains");
    let mut logged = Vec::new();
    for (name, command) in COMMANDS {
        let owned = &mut agents[usize::from(name == "courier")];
        logged.push(act(&mut owned.agent, (name, command), ProofWanted::Witnessed, out).await?);
    }

    step(out, 4, "a proof is kept, and checked offline with nothing but a policy file");
    let policy = Policy::parse(view.policy.as_bytes()).map_err(|error| CliError::failed(error.to_string()))?;
    let stage = Stage { client: &client, log: &log, policy: &policy, directory, out };
    let proof = agents[0].agent.proof(&logged[0], true).await?.to_string();
    stage.keep("scribe.tlog-proof", proof.as_bytes())?;
    stage.keep("policy.txt", view.policy.as_bytes())?;
    let judged = judge(&policy, proof.as_bytes(), None);
    tell(out, &judged);
    expect(judged.result.is_ok(), "the proof was refused")?;

    step(out, 5, "the log has only grown: a consistency proof from its first checkpoint to its newest");
    consistency(&client, &before, out).await?;

    step(out, 6, "somebody changes the proof: the failed command is to have gone well");
    let honest = agents[1].agent.proof(&logged[3], true).await?.to_string();
    let forged = forge(&honest)?;
    let judged = judge(&policy, forged.as_bytes(), None);
    tell(out, &judged);
    expect(judged.result.is_err(), "the forged proof was accepted")?;

    let followers = Followers::start(&stage, &running.url())?;
    let new_key = life::theft(&stage, &agents[1], &logged[1]).await?;
    life::end(&stage, &agents[0]).await?;
    let courier = AgentKeys { act: Some(new_key), admin: None };
    let mut courier = Agent::open(&client, &log, "courier", courier).await?;
    witnesses::fall_and_return(&stage, witnesses, &mut courier).await?;
    followers.tell(&stage).await?;

    out.line(format_args!(
        "\n{GOOD}All of it holds.{GOOD:#} What each step rests on: README.md and docs/threat-model.md"
    ));
    if keep {
        linger(&running, directory, out).await?;
    }
    running.stop().await.map_err(failed)
}

fn step(out: &Output, number: u32, what: &str) {
    out.line(format_args!("\n{GOOD}{number}.{GOOD:#} {what}"));
}

fn expect(holds: bool, otherwise: &str) -> CliResult<()> {
    if holds { Ok(()) } else { Err(CliError::failed(otherwise)) }
}

async fn register(client: &Client, log: &KnownLog, name: &'static str, out: &Output) -> CliResult<Owned> {
    let [admin, act, next] = [KeyFile::generate()?, KeyFile::generate()?, KeyFile::generate()?];
    let (admin, act) = (Signer::from(&admin), Signer::from(&act));
    let keys = AgentKeys { act: Some(act.clone()), admin: Some(admin.clone()) };
    let founding =
        NewAgent { name: Some(name.into()), next: Some(next_commitment(next.pk())), ..NewAgent::of_keys(admin, act) };
    let (agent, logged) = founding.register(client, log, ProofWanted::Log, now()).await?;
    out.line(format_args!("  {name:8} {QUIET}{}{QUIET:#} entry {}", agent.identity(), logged.index()));
    Ok(Owned { name, agent, keys })
}

async fn act(
    agent: &mut Agent,
    (name, command): (&str, &[&str]),
    wanted: ProofWanted,
    out: &Output,
) -> CliResult<Logged> {
    let done = Command::new(command[0]).args(&command[1..]).output();
    let done = done.map_err(|error| CliError::failed(format!("{}: {error}", command[0])))?;
    let outcome = if done.status.success() { Outcome::Success } else { Outcome::Failure };
    let action = Action::new("run")
        .outcome(outcome)
        .with("resource", command[0])
        .with("input", command.join(" "))
        .digest("output", sha256(&[&done.stdout]), done.stdout.len() as u64);
    let logged = agent.act(&action, wanted, now()).await?;
    out.line(format_args!("  {name:8} {:50} {outcome}, entry {}", command.join(" "), logged.index()));
    Ok(logged)
}

/// The published checkpoint. A node that has just started publishes its first one within a moment.
async fn checkpoint(client: &Client) -> CliResult<SignedCheckpoint> {
    const ATTEMPTS: usize = 250;
    let mut note = client.checkpoint().await;
    for _ in 0..ATTEMPTS {
        match &note {
            Err(error) if error.code() == "not_found" => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => break,
        }
        note = client.checkpoint().await;
    }
    let note = note?;
    SignedCheckpoint::parse(note.as_bytes()).map_err(|error| CliError::failed(error.to_string()))
}

/// Checks the growth from an earlier checkpoint to one that holds everything since.
async fn consistency(client: &Client, before: &SignedCheckpoint, out: &Output) -> CliResult<()> {
    settled(client).await?;
    let after = checkpoint(client).await?;
    let (old, new) = (before.claim(), after.claim());
    let answer = client.consistency(old.size().get(), Some(new.size().get())).await?;
    let path = answer.path.iter().map(|hash| {
        let bytes = crate::encoding::b64_decode(hash).and_then(|bytes| bytes.try_into().ok());
        bytes.map(crate::hash::Hash::from_bytes).ok_or_else(|| CliError::failed("the path is no list of hashes"))
    });
    let path = path.collect::<CliResult<Vec<_>>>()?;
    verify_consistency(old.size(), new.size(), &old.root(), &new.root(), &path)
        .map_err(|error| CliError::failed(error.to_string()))?;
    out.line(format_args!(
        "  size {} to size {}: {} hashes, and both roots follow",
        old.size(),
        new.size(),
        path.len()
    ));
    Ok(())
}

/// Turns `failure` into `success` in the link of a proof.
fn forge(proof: &str) -> CliResult<String> {
    use crate::encoding::{b64_decode, b64_encode};
    use crate::soul::jcs::Value;
    /// Where the flags lie in an entry: after its kind and 157 bytes of the header.
    const FLAGS_AT: usize = 158;
    const OUTCOME_BITS: u8 = 0b110;
    const SUCCESS: u8 = 0b010;
    let unread = || CliError::failed("the proof is not of the expected form");
    let extra = proof.lines().find_map(|line| line.strip_prefix("extra ")).ok_or_else(unread)?;
    let parsed = Value::parse_canonical(&b64_decode(extra).ok_or_else(unread)?).map_err(|_| unread())?;
    let members = parsed.as_object().ok_or_else(unread)?.iter().map(|(key, value)| match value.as_str() {
        Some(entry) if key == "entry" => {
            let mut bytes = b64_decode(entry).ok_or_else(unread)?;
            bytes[FLAGS_AT] = bytes[FLAGS_AT] & !OUTCOME_BITS | SUCCESS;
            Ok((key.clone(), Value::from(b64_encode(&bytes))))
        }
        _ => Ok((key.clone(), value.clone())),
    });
    let forged = Value::object(members.collect::<CliResult<Vec<_>>>()?);
    Ok(proof.replacen(extra, &b64_encode(&forged.to_bytes()), 1))
}

impl Stage<'_> {
    fn keep(&self, name: &str, bytes: &[u8]) -> CliResult<()> {
        std::fs::write(self.directory.join(name), bytes).map_err(|error| CliError::failed(format!("{name}: {error}")))
    }
}

async fn linger(running: &Running, directory: &Path, out: &Output) -> CliResult<()> {
    out.line(format_args!("\nThe node stays up at {}/docs; its files are in {}.", running.url(), directory.display()));
    out.line("Ctrl-C ends it and removes them.");
    serve::stopped().map_err(|error| CliError::failed(error.to_string()))?.await;
    Ok(())
}
