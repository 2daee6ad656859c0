//! `soulchain serve`: a log node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::args::read_file;
use super::feed::feed;
use crate::config::Settings;
use crate::http::{App, Limits, Recorder, router, serve};
use crate::log::{FLUSH_AFTER, Recovery, publish_every};
use crate::metrics::MetricsHandle;
use crate::node::{Node, NodeOptions, WitnessPolicy};
use crate::witness::Contradiction;

/// Where the passphrase of the node's keys comes from.
pub(super) const PASSPHRASE: &str = "SOULCHAIN_PASSPHRASE";

const EXAMPLES: &str = "\
Examples:
  soulchain serve
  soulchain serve --data /var/lib/soulchain --listen 0.0.0.0:8080 --origin log.example/agents
  soulchain serve --config soulchain.toml --check";

/// Arguments of `serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// Data directory; made at the first start [default: ./soulchain-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Origin of a new log [default: local/ and 8 random hex digits]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Of a new log: sign what is published with an ML-DSA-44 key as well
    #[arg(long)]
    ml_dsa: bool,
    /// C2SP policy file with the witnesses of the log
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Settings file; soulchain.example.toml documents every key
    #[arg(long, value_name = "FILE", env = "SOULCHAIN_CONFIG")]
    config: Option<PathBuf>,
    /// Only check the settings
    #[arg(long)]
    check: bool,
    /// Open a copy made by `backup` for writing: you know that nothing later exists
    #[arg(long)]
    confirm_newest: bool,
}

/// Why the node does not serve, in words for its operator.
pub(super) type ServeError = Box<dyn std::error::Error + Send + Sync>;

/// Runs a node until it is told to stop.
#[expect(clippy::needless_pass_by_value, reason = "a command takes its arguments")]
pub(super) fn run(args: ServeArgs) -> Result<(), ServeError> {
    let settings = settings(&args)?;
    if args.check {
        return Ok(());
    }
    start_tracing(&settings);
    let options = NodeOptions {
        data: settings.data.clone(),
        origin: settings.origin.clone(),
        ml_dsa: settings.ml_dsa,
        passphrase: std::env::var(PASSPHRASE).ok().map(SecretString::from),
        pool: settings.pool_limits(),
        confirm_newest: args.confirm_newest,
        views: settings.view_store()?,
        flush_after: FLUSH_AFTER,
    };
    let (node, recovery) = Node::open(options)?;
    let node = with_witnesses(node, &settings.data, settings.policy.as_deref())?;
    announce(&node, &recovery);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve_node(node.clone(), &settings));
    // Requests have ended: what they were told is durable already, the rest of the work is the flush.
    runtime.shutdown_timeout(Duration::from_secs(5));
    node.engine().close();
    tracing::info!(tree_size = node.view().size().get(), "stopped");
    served
}

/// The node with the witnesses of its policy file, if it has one.
fn with_witnesses(node: Node, data: &Path, policy: Option<&Path>) -> Result<Node, ServeError> {
    let Some(path) = policy else { return Ok(node) };
    let contradiction = data.join(CONTRADICTION);
    if contradiction.exists() {
        return Err(format!(
            "{} holds a checkpoint that this log's key has signed and that this directory did not have: another copy of \
             the log is running, or this one is an old one. Restore the newer directory. Delete the file only if you know \
             that this directory has what it says",
            contradiction.display()
        )
        .into());
    }
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = read_file(path).map_err(|error| in_file(&error))?;
    let witnesses = WitnessPolicy::parse(&file, node.origin(), &node.log_vkeys()).map_err(|error| in_file(&error))?;
    Ok(node.with_witnesses(witnesses))
}

fn settings(args: &ServeArgs) -> Result<Settings, ServeError> {
    let mut settings = Settings::load(args.config.as_deref(), std::env::vars())?;
    if let Some(data) = &args.data {
        settings.data.clone_from(data);
    }
    if let Some(listen) = args.listen {
        settings.listen = listen;
    }
    settings.ml_dsa |= args.ml_dsa;
    if args.policy.is_some() {
        settings.policy.clone_from(&args.policy);
    }
    if args.origin.is_some() {
        settings.origin.clone_from(&args.origin);
    }
    Ok(settings)
}

pub(super) fn start_tracing(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log.level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second subscriber in one process changes nothing.
    let _ = if settings.log.json { lines.json().try_init().is_ok() } else { lines.try_init().is_ok() };
}

fn announce(node: &Node, recovery: &Recovery) {
    tracing::info!(
        origin = node.origin().as_str(),
        tree_size = node.view().size().get(),
        recovered = recovery.size.get() - recovery.flushed.get(),
        replayed = recovery.replayed,
        torn_frame = recovery.torn_frame,
        views_rebuilt = recovery.views_rebuilt,
        owed_erasures = recovery.owed_erasures,
        "the log is open"
    );
}

async fn serve_node(node: Node, settings: &Settings) -> Result<(), ServeError> {
    // Before anybody can see that the node is up, and stop it.
    let stopped = stopped()?;
    let mut running = start(node, settings).await?;
    tracing::info!(address = %running.url(), "serving");
    let ended = running.until(stopped).await;
    tracing::info!("stopping: requests are brought to their end");
    running.stop().await?;
    if let Err(Ended::Contradicted(contradiction)) = &ended {
        let path = settings.data.join(CONTRADICTION);
        std::fs::write(&path, contradiction.checkpoint.note().as_str())?;
        tracing::error!(path = %path.display(), "what the witness shows is kept: while it is there the node does not start");
    }
    Ok(ended?)
}

/// Where the checkpoint of another log of this name is kept that a witness has shown.
const CONTRADICTION: &str = "contradiction";

/// Why a node ends by itself.
#[derive(Debug)]
pub(super) enum Ended {
    /// A witness has shown a checkpoint that this log has signed and does not have.
    Contradicted(Contradiction),
    /// What publishes has ended without saying why.
    Broken,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Contradicted(contradiction) => contradiction.fmt(f),
            Self::Broken => f.write_str("publishing has ended unexpectedly: the lines above say why"),
        }
    }
}

impl std::error::Error for Ended {}

/// A node that answers requests.
pub(super) struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    publisher: JoinHandle<Result<(), Contradiction>>,
}

/// Starts to answer requests and to publish checkpoints.
pub(super) async fn start(node: Node, settings: &Settings) -> Result<Running, ServeError> {
    let listener = TcpListener::bind(settings.listen).await?;
    let address = listener.local_addr()?;
    let interval = Duration::from_millis(settings.publish_interval_ms);
    let (publisher, feeding) = if let Some(witnesses) = node.witnesses() {
        let (feeder, feeding) = feed(&node, witnesses, settings.pace())?;
        (tokio::spawn(feeder.run()), Some(feeding))
    } else {
        let publishing = publish_every(node.engine().clone(), node.publication_signer(), interval);
        let publishing = async move {
            publishing.await;
            Ok(())
        };
        (tokio::spawn(publishing), None)
    };
    let (limits, metrics) = (Limits::new(&settings.limit_settings()), Recorder::new(MetricsHandle::install()));
    let app = App { node, feeding, limits, metrics };
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(serve(listener, router(Arc::new(app)), settings.server_limits(), stopping));
    Ok(Running { address, stop, server, publisher })
}

impl Running {
    /// Where it answers.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it is told to stop, or until a witness shows that the log must not go on.
    pub(super) async fn until(&mut self, stopped: impl Future<Output = ()>) -> Result<(), Ended> {
        tokio::pin!(stopped);
        tokio::select! {
            () = &mut stopped => Ok(()),
            ended = &mut self.publisher => {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(contradiction)) => return Err(Ended::Contradicted(contradiction)),
                    Err(_) => return Err(Ended::Broken),
                }
                // It ended with the engine, which serves reads as long as it is let.
                stopped.await;
                Ok(())
            }
        }
    }

    /// Takes no more requests and lets those that are there end.
    pub(super) async fn stop(self) -> Result<(), ServeError> {
        self.stop.send_replace(true);
        self.server.await?;
        self.publisher.abort();
        Ok(())
    }
}

/// What ends with SIGTERM or SIGINT. From this call on neither ends the process by itself.
pub(super) fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
