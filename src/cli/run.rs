//! `soulchain run`: a command, run and appended as an action.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use clap::Args;
use sha2::{Digest as _, Sha256};

use super::agent::AppendArgs;
use super::error::{CliError, CliResult};
use super::key_dir::Role;
use super::output::Output;
use crate::client::{Action, now};
use crate::hash::sha256;
use crate::soul::Outcome;

const EXAMPLES: &str = "\
Examples:
  soulchain run --agent builder -- make test
  soulchain run --agent builder --hide-arguments --proof run.tlog-proof -- ./deploy --token …

Output passes through as it comes; what is logged of it is its SHA-256 and length. The program ends with the command's
status. If the command went well and could not be logged, it ends with 1, 2 or 3 instead.";

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The agent whose action it is
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// Log the arguments by their digest only
    #[arg(long)]
    hide_arguments: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
    #[command(flatten)]
    append: AppendArgs,
}

/// What a command did.
struct Finished {
    status: ExitStatus,
    duration_ms: u64,
    stdout: Digested,
    stderr: Digested,
}

/// Output that went by.
#[derive(Debug)]
struct Digested {
    digest: [u8; 32],
    len: u64,
}

pub(super) async fn run(args: RunArgs, out: &Output) -> CliResult<ExitCode> {
    // Before the command: what cannot be logged at all is better not run.
    let mut agent = args.append.open(&args.agent, &[Role::Act], out).await?;
    let finished = execute(args.command.clone()).await?;
    let action = describe(&args, &finished).fitted();
    let code = exit_code(finished.status);
    match agent.act(&action, args.append.wanted(), now()).await {
        Ok(logged) => {
            out.note(format_args!("logged: entry {}, link {}", logged.index(), logged.link().curr()));
            args.append.keep_proof(&mut agent, &logged, out).await?;
        }
        Err(error) => {
            let error = CliError::from(error);
            out.error(&error);
            out.warn("the command ran, but is not logged");
            if finished.status.success() {
                return Ok(error.exit_code());
            }
        }
    }
    Ok(code)
}

/// Runs the command. Where the terminal asks both to stop, this program waits for the other: what was done is to be logged.
async fn execute(command: Vec<String>) -> CliResult<Finished> {
    let mut finished = tokio::task::spawn_blocking(move || watch_over(&command));
    loop {
        tokio::select! {
            finished = &mut finished => {
                return finished.map_err(|error| CliError::failed(format!("the command was cut short: {error}")))?;
            }
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

fn watch_over(command: &[String]) -> CliResult<Finished> {
    let started = Instant::now();
    let (program, arguments) = command.split_first().expect("the parser wants a command");
    let failed = |error| CliError::usage(format!("{program}: {error}")).hint("is it there, and may it be run?");
    let mut child =
        Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = thread::scope(|scope| {
        let stdout = scope.spawn(|| pass_through(stdout, io::stdout()));
        let stderr = pass_through(stderr, io::stderr());
        (stdout.join().expect("it does not panic"), stderr)
    });
    let status = child.wait().map_err(failed)?;
    Ok(Finished { status, duration_ms: started.elapsed().as_millis() as u64, stdout, stderr })
}

/// Copies output as it comes, and digests it. A reader that hangs up does not change what was put out.
fn pass_through(from: Option<impl Read>, mut to: impl Write) -> Digested {
    const CHUNK: usize = 64 << 10;
    let (mut hasher, mut len, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    let mut open = true;
    if let Some(mut from) = from {
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            hasher.update(&chunk[..read]);
            len += read as u64;
            open = open && to.write_all(&chunk[..read]).is_ok() && to.flush().is_ok();
        }
    }
    Digested { digest: hasher.finalize().into(), len }
}

fn describe(args: &RunArgs, finished: &Finished) -> Action {
    let arguments = serde_json::to_string(&args.command).expect("texts are JSON");
    let mut action = Action::new("run")
        .outcome(if finished.status.success() { Outcome::Success } else { Outcome::Failure })
        .with("resource", args.command[0].as_str())
        .number("duration_ms", finished.duration_ms)
        .digest("output", finished.stdout.digest, finished.stdout.len)
        .digest("stderr", finished.stderr.digest, finished.stderr.len);
    action = if args.hide_arguments {
        action.digest("input", sha256(&[arguments.as_bytes()]), arguments.len() as u64)
    } else {
        action.with("input", arguments)
    };
    match (finished.status.code(), finished.status.signal()) {
        (Some(code), _) => action.with("exit_status", crate::soul::jcs::Value::Int(code.into())),
        (None, Some(signal)) => action.with("signal", crate::soul::jcs::Value::Int(signal.into())),
        (None, None) => action,
    }
}

/// The command's own, or 128 and the signal that ended it, as shells have it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
