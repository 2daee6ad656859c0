//! `soulchain mirror`: a copy of a log, which follows it and serves it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use axum::Router;
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::args::read_file;
use super::error::CliError;
use super::serve::{PASSPHRASE, ServeError, start_tracing, stopped};
use crate::audit::HttpSource;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::http::{App, Limits, MirrorApp, Recorder, agents_mirror_router, opaque_mirror_router, serve};
use crate::keyfile::KeyAlg;
use crate::log::{Engine, Machine};
use crate::metrics::MetricsHandle;
use crate::mirror::{Follower, Following, Mirror, MirrorOpenError, MirrorOptions, Opened, OpenedMirror, open};
use crate::node::Node;
use crate::tlog::KeyName;

const EXAMPLES: &str = "\
Examples:
  soulchain mirror --url https://log.example --policy policy.txt
  soulchain mirror --url https://log.example --policy policy.txt --data /var/lib/mirror --listen 0.0.0.0:8090
  soulchain mirror --url https://log.example --policy policy.txt --name mirror.example/m1

A client may use the mirror in the place of the log, with the same policy file: `soulchain resolve scout --node
http://127.0.0.1:8090 --policy policy.txt`. With --name the mirror cosigns what it holds, and takes submissions by C2SP
tlog-mirror. Limits and the level of the program's log are those of `serve`: SOULCHAIN_LIMITS_…, SOULCHAIN_LOG_LEVEL.";

/// Arguments of `mirror`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct MirrorArgs {
    /// The log
    #[arg(long, value_name = "URL")]
    url: String,
    /// C2SP policy file by which the log's checkpoints are judged
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Data directory; made at the first start
    #[arg(long, value_name = "DIR", default_value = "./soulchain-mirror")]
    data: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Name of the mirror's key, which is made at the first start; without it the mirror cosigns nothing
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Of what kind a new key is
    #[arg(long, value_name = "ALG", value_enum, default_value = "ed25519", requires = "name")]
    alg: Alg,
    /// Milliseconds between two questions for the log's checkpoint
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    interval: u64,
    /// Open a copy made by `backup`: you know that nothing later exists
    #[arg(long)]
    confirm_newest: bool,
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Alg {
    Ed25519,
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

/// Runs a mirror until it is told to stop.
#[expect(clippy::needless_pass_by_value, reason = "a command takes its arguments")]
pub(super) fn run(args: MirrorArgs) -> Result<(), ServeError> {
    let settings = Settings::load(None, std::env::vars())?;
    start_tracing(&settings);
    let Opened { mirror, recovery } = open(&options(&args)?)?;
    tracing::info!(
        tree_size = recovery.size.get(),
        recovered = recovery.size.get() - recovery.flushed.get(),
        torn_frame = recovery.torn_frame,
        "the copy is open"
    );
    match mirror {
        OpenedMirror::Agents(mirror, node) => {
            serve_mirror(&args, &settings, &mirror, |following| agents(&args, &settings, &mirror, &node, following))
        }
        OpenedMirror::Opaque(mirror) => serve_mirror(&args, &settings, &mirror, |following| {
            opaque_mirror_router(MirrorApp::new(mirror.clone(), following, recorder(), args.url.clone()))
        }),
    }
}

/// The error of a mirror as that of a command.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped")]
pub(super) fn in_words(error: ServeError) -> CliError {
    match error.downcast_ref() {
        Some(MirrorOpenError::Source(_) | MirrorOpenError::Client(_)) => CliError::unavailable(error.to_string()),
        _ => CliError::failed(error.to_string()),
    }
}

fn options(args: &MirrorArgs) -> Result<MirrorOptions, ServeError> {
    let policy = read_file(&args.policy).map_err(|error| format!("{}: {error}", args.policy.display()))?;
    let name = args.name.as_deref().map(KeyName::parse).transpose();
    Ok(MirrorOptions {
        data: args.data.clone(),
        url: args.url.clone(),
        policy,
        name: name.map_err(|error| format!("--name: {error}"))?,
        alg: match args.alg {
            Alg::Ed25519 => KeyAlg::Ed25519,
            Alg::MlDsa44 => KeyAlg::MlDsa44,
        },
        passphrase: std::env::var(PASSPHRASE).ok().map(SecretString::from),
        clock: Arc::new(SystemClock::new()),
        confirm_newest: args.confirm_newest,
    })
}

fn agents(
    args: &MirrorArgs,
    settings: &Settings,
    mirror: &Mirror<crate::node::RegistryMachine>,
    node: &Node,
    following: watch::Receiver<Following>,
) -> Router {
    let metrics = recorder();
    let limits = Limits::new(&settings.limit_settings());
    let app = App { node: node.clone(), feeding: None, limits, metrics: metrics.clone() };
    agents_mirror_router(Arc::new(app), MirrorApp::new(mirror.clone(), following, metrics, args.url.clone()))
}

fn recorder() -> Recorder {
    Recorder::new(MetricsHandle::install())
}

/// Follows on a thread, and answers requests until it is told to stop.
fn serve_mirror<M: Machine>(
    args: &MirrorArgs,
    settings: &Settings,
    mirror: &Mirror<M>,
    router: impl FnOnce(watch::Receiver<Following>) -> Router,
) -> Result<(), ServeError> {
    if let Some(cosigner) = mirror.cosigner() {
        tracing::info!(vkey = %cosigner.vkey(), "what the mirror holds it cosigns with this key");
    }
    let follower = Follower::new(mirror.clone(), Box::new(HttpSource::new(&args.url)?))?;
    let router = router(follower.status());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let engine = mirror.engine().clone();
    let served = runtime.block_on(async {
        // Before anybody can see that the mirror is up, and stop it.
        let stopped = stopped()?;
        let listener = TcpListener::bind(args.listen).await?;
        tracing::info!(address = %format!("http://{}", listener.local_addr()?), "serving");
        let stop_following = start(follower, Duration::from_millis(args.interval))?;
        let (stop, stopping) = watch::channel(false);
        let server = tokio::spawn(serve(listener, router, settings.server_limits(), stopping));
        stopped.await;
        tracing::info!("stopping: requests are brought to their end");
        drop(stop_following);
        stop.send_replace(true);
        server.await?;
        Ok(())
    });
    // What was answered is durable already, the rest of the work is the flush. A fetch that is under way is given up.
    runtime.shutdown_timeout(Duration::from_secs(5));
    close(&engine);
    served
}

/// Starts to follow; ends with what this returns.
fn start<M: Machine>(follower: Follower<M>, interval: Duration) -> std::io::Result<Sender<()>> {
    let (stop, stopped) = channel();
    std::thread::Builder::new().name("soulchain-follow".into()).spawn(move || follower.run(interval, &stopped))?;
    Ok(stop)
}

fn close<M: Machine>(engine: &Engine<M>) {
    engine.close();
    tracing::info!(tree_size = engine.view().size().get(), "stopped");
}
