//! `soulchain bench`: a load generator.
//!
//! A closed loop: every connection sends its next request when the last one is answered. What is to be sent is made before
//! the clock starts (`prepared`); `load` sends it, `report` says what came of it.

mod load;
mod mixed;
mod prepared;
mod report;
mod witness;

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::load::Target;
use self::report::Report;
use super::args::NodeArgs;
use super::error::{CliError, CliResult};
use super::output::Output;

const EXAMPLES: &str = "\
Examples:
  soulchain bench --clients 64 --duration 10                 signed links, one a request
  soulchain bench --clients 16 --agents 64 --batch 100       100 links a request
  soulchain bench --mode opaque --node http://127.0.0.1:8081 --size 256     entries of the plain log example
  soulchain bench --mode witness --list > logs.txt           the logs that a witness has to serve for the next line
  soulchain bench --mode witness --node http://127.0.0.1:8090 --clients 64

Registers agents of its own, with keys in memory: use a log that is there for this.";

/// Flags of `bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BenchArgs {
    /// What is sent
    #[arg(long, value_enum, default_value = "signed")]
    mode: Mode,
    /// Connections; each waits for its answer before it sends again
    #[arg(long, default_value = "16", value_name = "N")]
    clients: NonZeroUsize,
    /// Seconds to run
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    duration: u64,
    /// Signed: agents, at least one a connection
    #[arg(long, default_value_t = 0, value_name = "M", hide_default_value = true)]
    agents: usize,
    /// Signed: links of a request
    #[arg(long, default_value = "1", value_name = "N")]
    batch: NonZeroUsize,
    /// Signed, witness: links or checkpoints signed before the clock starts; the run ends when they are used up
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    links: usize,
    /// Signed: every agent has a name
    #[arg(long)]
    named: bool,
    /// Signed: of every 20 links of an agent one is a `keys`, one a `profile`, and two are `feedback`
    #[arg(long)]
    mix: bool,
    /// Witness: logs, at least one a connection
    #[arg(long, default_value = "1000", value_name = "N")]
    logs: NonZeroUsize,
    /// Witness: print the lines of the list of logs, and do nothing else
    #[arg(long)]
    list: bool,
    /// Bytes of a link's body, or of an opaque entry
    #[arg(long, default_value_t = 256, value_name = "BYTES")]
    size: usize,
    /// Threads of the load generator
    #[arg(long, default_value = "2", value_name = "N")]
    threads: NonZeroUsize,
    #[command(flatten)]
    node: NodeArgs,
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Mode {
    /// Signed links to `/v1/links`
    Signed,
    /// Bytes to `/add` of the plain log example
    Opaque,
    /// Checkpoints to `/add-checkpoint` of a witness
    Witness,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Opaque => "opaque",
            Self::Witness => "witness",
        }
    }
}

pub(super) fn run(args: &BenchArgs, out: &Output) -> CliResult<()> {
    if args.list {
        return witness::list(args, out);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(args.threads.get()).enable_all().build();
    let runtime = runtime.map_err(|error| CliError::unavailable(format!("no runtime: {error}")))?;
    let report = runtime.block_on(measure(args, out))?;
    out.result(&report, |out| report.tell(out));
    if report.requests == 0 {
        return Err(
            CliError::unavailable("no request was answered").hint("is the node running, and is it of this mode?")
        );
    }
    Ok(())
}

async fn measure(args: &BenchArgs, out: &Output) -> CliResult<Report> {
    let scripts = match args.mode {
        Mode::Signed => prepared::signed(args, out).await?,
        Mode::Opaque => prepared::opaque(args)?,
        Mode::Witness => witness::checkpoints(args, out).await?,
    };
    let path = match args.mode {
        Mode::Signed => "/v1/links",
        Mode::Opaque => "/add",
        Mode::Witness => "/add-checkpoint",
    };
    let target = Target::parse(&args.node.node, path)?;
    let run = load::run(&target, scripts, Duration::from_secs(args.duration), out).await?;
    Ok(Report::of(args, run))
}
