//! The command line: one file for each subcommand.
//!
//! Every command shares a few flags (`args`), reads and writes key files in one place (`key_dir`), says what it finds
//! through one door (`output`), and ends with one of five codes (`error`):
//! 0 ok, 1 a check failed, 2 usage, 3 unavailable, 4 true so far and not for good.
//! Where parts of the library are put together for a program, it happens here.

mod args;
mod error;
mod json;
mod key_dir;
mod output;
mod progress;
mod record;
mod time;
mod trust;

mod agent;
mod audit;
mod backup;
mod bench;
mod demo;
mod feed;
mod fsck;
mod import;
mod keygen;
mod log;
mod mirror;
mod monitor;
mod monitor_server;
mod monitor_settings;
mod registrar;
mod resolve;
mod run;
mod serve;
mod verify;
mod verify_evidence;
mod witness;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::error::{CliError, CliResult};
use self::output::Output;

/// A transparency log for AI agents.
#[derive(Debug, Parser)]
#[command(name = "soulchain", version, about, long_about = None, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a log at work, in a temporary directory
    Demo(demo::DemoArgs),
    /// Run a node
    Serve(serve::ServeArgs),
    /// Run a witness: cosign the checkpoints of logs that only grow
    Witness(witness::WitnessArgs),
    /// Follow a log, and serve a copy of it
    Mirror(mirror::MirrorArgs),
    /// Replay everything that a log has published
    Audit(audit::AuditArgs),
    /// Follow logs, replay them, and report what is wrong with them
    Monitor(monitor::MonitorArgs),
    /// Check a data directory, and mend what can be proven
    Fsck(fsck::FsckArgs),
    /// Copy the data directory of a running node
    Backup(backup::BackupArgs),
    /// Make a key file
    Keygen(keygen::KeygenArgs),
    /// An agent's life: register, act, rotate, recover, revoke, and what it says of others
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// The offices of a registrar: policy, standing, domain names
    #[command(subcommand)]
    Registrar(registrar::RegistrarCommand),
    /// Look up an agent by name or identity, proven before it is shown
    Resolve(resolve::ResolveArgs),
    /// What an auditor fetches, checked before it is shown
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Run a command and append it as an action
    Run(run::RunArgs),
    /// Turn recorded agent traces into signed actions
    Import(import::ImportArgs),
    /// Verify proofs, offline
    Verify(verify::VerifyArgs),
    /// Measure a node, a plain log or a witness under load
    Bench(bench::BenchArgs),
}

const EXAMPLES: &str = "\
Examples:
  soulchain demo                                    see it work
  soulchain serve                                   a node at http://127.0.0.1:8080
  soulchain agent register scout --unencrypted      a new agent, its keys in ~/.soulchain/keys
  soulchain agent act scout web_search --input '{\"q\":\"weather\"}' --outcome success --proof act.tlog-proof
  soulchain verify act.tlog-proof --policy policy.txt
  soulchain resolve scout --policy policy.txt       who that is, proven
  soulchain run --agent scout -- make test

Exit codes: 0 ok, 1 a check failed, 2 usage, 3 unavailable, 4 true so
far: logged but not yet witnessed, or evidence that convicts under a condition.";

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let out = Output::new(cli.json);
    match dispatch(cli.command, &out) {
        Ok(code) => code,
        Err(error) => {
            out.error(&error);
            error.exit_code()
        }
    }
}

fn dispatch(command: Command, out: &Output) -> CliResult<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args, out),
        Command::Serve(args) => serve::run(args).map(done).map_err(|error| CliError::failed(error.to_string())),
        Command::Witness(args) => witness::run(&args, out).map(done),
        Command::Mirror(args) => mirror::run(args).map(done).map_err(mirror::in_words),
        Command::Audit(args) => audit::run(&args, out),
        Command::Monitor(args) => monitor::run(&args, out),
        Command::Fsck(args) => fsck::run(&args, out),
        Command::Backup(args) => backup::run(&args, out),
        Command::Keygen(args) => keygen::run(&args, out).map(done),
        Command::Agent(command) => block_on(agent::run(command, out)).map(done),
        Command::Registrar(command) => block_on(registrar::run(command, out)).map(done),
        Command::Resolve(args) => block_on(resolve::run(args, out)),
        Command::Log(command) => block_on(log::run(command, out)).map(done),
        Command::Run(args) => block_on(run::run(args, out)),
        Command::Import(args) => block_on(import::run(args, out)).map(done),
        Command::Verify(args) => verify::run(&args, out),
        Command::Bench(args) => bench::run(&args, out).map(done),
    }
}

const fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn block_on<T>(work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::unavailable(format!("no runtime: {error}")))?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_tree_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!leaf || help.contains("soulchain "), "{} shows no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
