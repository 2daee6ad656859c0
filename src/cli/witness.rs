//! `soulchain witness`: a witness of any number of logs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::error::{CliError, CliResult};
use super::key_dir::passphrase;
use super::output::Output;
use super::serve::stopped;
use crate::clock::SystemClock;
use crate::http::{ServerLimits, WitnessApp, serve, witness_router};
use crate::keyfile::KeyAlg;
use crate::metrics::MetricsHandle;
use crate::tlog::{KeyName, Timestamp};
use crate::witness::{Directory, LogFiles, OpenError, Witness, WitnessOptions};

/// How often the lists of logs are looked at.
const POLL: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  soulchain witness --name witness.example/w1 --logs logs.txt
  soulchain witness --data /var/lib/witness --listen 0.0.0.0:8090 --name witness.example/w1 --logs /etc/witness/logs.d

Logs are lines `log <vkey> [<url>]`, as in a policy. Files and directories of files are read again when they change, or
on SIGHUP. SOULCHAIN_PASSPHRASE encrypts the keys that the first start makes. Log lines are set by SOULCHAIN_LOG_LEVEL.";

/// Arguments of `witness`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct WitnessArgs {
    /// Data directory; made at the first start
    #[arg(long, value_name = "DIR", default_value = "./soulchain-witness")]
    data: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Name of the witness, a URL without its scheme; it never changes
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Types of the keys that the first start makes
    #[arg(long, value_enum, value_name = "TYPES", default_value = "both")]
    keys: KeyTypes,
    /// File or directory of files with the logs to witness; may be given several times
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    logs: Vec<PathBuf>,
    /// Cosign though the clock is behind the newest cosignature, or more than a week ahead of it: you have looked at it
    #[arg(long)]
    clock_is_right: bool,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().connections)]
    connections: usize,
}

/// What a new witness signs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum KeyTypes {
    /// Ed25519 and ML-DSA-44: each checkpoint gets two cosignatures
    Both,
    /// Ed25519 alone: the least work, no subtrees, not safe from quantum computers
    Ed25519,
    /// ML-DSA-44 alone
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

impl KeyTypes {
    const fn algs(self) -> &'static [KeyAlg] {
        match self {
            Self::Both => &[KeyAlg::Ed25519, KeyAlg::MlDsa44],
            Self::Ed25519 => &[KeyAlg::Ed25519],
            Self::MlDsa44 => &[KeyAlg::MlDsa44],
        }
    }
}

pub(super) fn run(args: &WitnessArgs, out: &Output) -> CliResult<()> {
    start_tracing();
    let name = KeyName::parse(&args.name).ok().filter(|name| name.as_str().len() <= MAX_NAME_LEN);
    let name = name.ok_or_else(|| CliError::usage(format!("--name `{}` is not the name of a key", args.name)))?;
    let mut files = LogFiles::new(args.logs.clone());
    let logs = files.read_if_changed().map_err(|error| CliError::usage(error.to_string()))?.unwrap_or_default();
    let is_new = !Directory::exists(&args.data);
    if is_new {
        Directory::create(&args.data, &name, args.keys.algs(), passphrase().as_ref())?;
    }
    let directory = Directory::open(&args.data)?;
    let keys = directory.keys(&name, passphrase().as_ref())?;
    let (witness, recovery) = {
        let options = WitnessOptions { is_clock_right: args.clock_is_right, ..WitnessOptions::default() };
        Witness::open(directory.disk(), keys, logs, options)?
    };
    tell_clock_doubt(&witness);
    tracing::info!(
        logs = witness.logs(),
        remembered = recovery.logs,
        replayed = recovery.replayed,
        torn_frame = recovery.torn_frame,
        "the witness is open"
    );
    let committing = std::thread::Builder::new().name("soulchain-commit".into()).spawn({
        let witness = witness.clone();
        move || witness.run()
    });
    let committing = committing.map_err(|error| CliError::unavailable(format!("no thread: {error}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::unavailable(format!("no runtime: {error}")))?;
    let served = runtime.block_on(serve_witness(args, &witness, files, out));
    runtime.shutdown_timeout(Duration::from_secs(5));
    witness.close();
    // What it panicked with is on standard error.
    let _ = committing.join();
    drop(directory);
    tracing::info!("stopped");
    served
}

fn tell_clock_doubt(witness: &Witness) {
    let doubt = Timestamp::new(crate::clock::now().get() / 1000).map(|now| witness.check_clock(now));
    if let Some(Err(doubt)) = doubt {
        tracing::error!(%doubt, "nothing is cosigned: set the clock and start again, or start with --clock-is-right if it is right");
    }
}

/// Longest name: what an ML-DSA-44 cosignature has room for.
const MAX_NAME_LEN: usize = 255;

async fn serve_witness(args: &WitnessArgs, witness: &Witness, files: LogFiles, out: &Output) -> CliResult<()> {
    let unavailable = |what: &str, error: std::io::Error| CliError::unavailable(format!("{what}: {error}"));
    // Before anybody can see that the witness is up, and stop it.
    let stopped = stopped().map_err(|error| unavailable("signals", error))?;
    let hangups = signal(SignalKind::hangup()).map_err(|error| unavailable("signals", error))?;
    let listener =
        TcpListener::bind(args.listen).await.map_err(|error| unavailable(&args.listen.to_string(), error))?;
    let address = listener.local_addr().map_err(|error| unavailable("the socket", error))?;
    announce(witness, address, out);
    let reading = tokio::spawn(keep_reading(witness.clone(), files, hangups));
    let app =
        WitnessApp { witness: witness.clone(), clock: Arc::new(SystemClock::new()), metrics: MetricsHandle::install() };
    let limits = ServerLimits { connections: args.connections.max(1), ..ServerLimits::default() };
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(serve(listener, witness_router(Arc::new(app)), limits, stopping));
    stopped.await;
    tracing::info!("stopping: requests are brought to their end");
    stop.send_replace(true);
    reading.abort();
    server.await.map_err(|error| CliError::failed(error.to_string()))
}

fn announce(witness: &Witness, address: SocketAddr, out: &Output) {
    let vkeys: Vec<String> = witness.keys().vkeys().map(ToString::to_string).collect();
    let url = format!("http://{address}");
    let json = serde_json::json!({ "name": witness.keys().name().as_str(), "vkeys": vkeys, "url": url });
    out.result(&json, |out| {
        out.fields(&[("name", witness.keys().name().to_string()), ("url", url.clone())]);
        for vkey in &vkeys {
            out.fields(&[("vkey", vkey.clone())]);
        }
    });
}

/// Takes a new list of logs when there is one; one that is wrong leaves the old one in use.
async fn keep_reading(witness: Witness, mut files: LogFiles, mut hangups: tokio::signal::unix::Signal) {
    loop {
        let is_asked = tokio::select! {
            _ = hangups.recv() => true,
            () = tokio::time::sleep(POLL) => false,
        };
        let look = move || (if is_asked { files.read_again() } else { files.read_if_changed() }, files);
        let looked = tokio::task::spawn_blocking(look).await;
        let (read, same) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "the lists of logs are read no more before a restart");
                return;
            }
        };
        files = same;
        match read {
            Ok(None) => {}
            Ok(Some(logs)) => {
                tracing::info!(logs = logs.len(), "the list of logs was read again");
                witness.set_logs(logs);
            }
            Err(error) => tracing::error!(%error, "the list of logs cannot be read: the old one stays in use"),
        }
    }
}

fn start_tracing() {
    let level = std::env::var("SOULCHAIN_LOG_LEVEL").unwrap_or_default();
    let filter = tracing_subscriber::EnvFilter::try_new(level).ok().filter(|filter| !filter.to_string().is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| tracing_subscriber::EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second subscriber in one process changes nothing.
    let _ = lines.try_init();
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let hint = error.hint();
        match error {
            OpenError::Key(error) => error.into(),
            OpenError::OtherName { .. } => Self::usage(error.to_string()).hint(hint),
            _ => Self::failed(error.to_string()).hint(hint),
        }
    }
}
