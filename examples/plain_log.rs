//! The engine with opaque entries: a tiled log with one route to append to.
//!
//! `POST /add` takes an entry of at most 65,535 bytes; the first line of the answer is its index in decimal, the rest
//! its proof (C2SP tlog-proof). `GET /checkpoint` and `GET /tile/…` are those of C2SP tlog-tiles.
//!
//! ```sh
//! cargo run --release --example plain_log -- DIRECTORY 127.0.0.1:8081 log.example/plain
//! ```

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use soulchain::clock::SystemClock;
use soulchain::hash::Hash;
use soulchain::http::{ServerLimits, serve, tile_router};
use soulchain::keyfile::KeyFile;
use soulchain::log::{
    Directory, Engine, Opaque, OpaqueGroup, Options, OriginFile, PUBLISH_INTERVAL, Sign, open, publish_every,
};
use soulchain::merkle::TreeSize;
use soulchain::storage::MemoryViews;
use soulchain::tlog::{Checkpoint, Ed25519Signer, MAX_ENTRY_LEN, Origin, proof_text, sign_checkpoint};
use tokio::net::TcpListener;
use tokio::sync::watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = PathBuf::from(args.next().unwrap_or_else(|| "plain-log-data".into()));
    let listen: SocketAddr = args.next().unwrap_or_else(|| "127.0.0.1:8081".into()).parse()?;
    let origin = Origin::parse(&args.next().unwrap_or_else(|| "log.example/plain".into()))?;
    let key_path = path.join("keys/log.key");
    if !Directory::exists(&path) {
        let key = KeyFile::generate()?;
        let vkey = signer(&origin, &key).vkey().to_string();
        let file = OriginFile { v: 1, origin: origin.as_str().into(), vkeys: vec![vkey] };
        Directory::create(&path, &file, |new| {
            std::fs::create_dir_all(new.join("keys"))?;
            key.write(&new.join("keys/log.key"), None).map_err(std::io::Error::other)
        })?;
    }
    let directory = Directory::open(&path)?;
    writeln!(std::io::stdout(), "{}", directory.origin().vkeys[0])?;
    let sign = checkpoints(origin.clone(), signer(&origin, &KeyFile::read(&key_path, None)?.key));
    let storage = directory.storage_with(Arc::new(MemoryViews::default()))?;
    let clock = Arc::new(SystemClock::new());
    let (engine, _) = open(Opaque, storage, Arc::clone(&sign), clock, Options::default())?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(engine.clone(), sign, listen))?;
    engine.close();
    Ok(())
}

async fn run(engine: Engine<Opaque>, sign: Sign, listen: SocketAddr) -> std::io::Result<()> {
    let publisher = tokio::spawn(publish_every(engine.clone(), sign, PUBLISH_INTERVAL));
    let add =
        Router::new().route("/add", post(add)).layer(DefaultBodyLimit::max(MAX_ENTRY_LEN)).with_state(engine.clone());
    let (stop, stopping) = watch::channel(false);
    let listener = TcpListener::bind(listen).await?;
    let server = tokio::spawn(serve(listener, tile_router(engine).merge(add), ServerLimits::default(), stopping));
    tokio::signal::ctrl_c().await?;
    stop.send_replace(true);
    server.await.map_err(std::io::Error::other)?;
    publisher.abort();
    Ok(())
}

async fn add(State(engine): State<Engine<Opaque>>, entry: Bytes) -> Result<String, (StatusCode, String)> {
    let group = OpaqueGroup::new(vec![entry]).ok_or((StatusCode::BAD_REQUEST, "1 to 65,535 bytes\n".into()))?;
    let unavailable = |error: &dyn std::fmt::Debug| (StatusCode::SERVICE_UNAVAILABLE, format!("{error:?}\n"));
    let pending = engine.submit(group).map_err(|error| unavailable(&error))?;
    let committed = pending.answer().await.map_err(|error| unavailable(&error))?;
    let (index, view) = (committed.answer, committed.view);
    let path = engine.reader(&view).inclusion(index, view.size()).map_err(|error| unavailable(&error))?;
    let checkpoint = str::from_utf8(view.checkpoint()).map_err(|error| unavailable(&error))?;
    Ok(format!("{index}\n{}", proof_text(None, index, &path, checkpoint)))
}

fn signer(origin: &Origin, key: &KeyFile) -> Ed25519Signer {
    Ed25519Signer::from_seed(origin.key_name().clone(), key.seed())
}

fn checkpoints(origin: Origin, signer: Ed25519Signer) -> Sign {
    Arc::new(move |size: TreeSize, root: &Hash| {
        let signed = Checkpoint::new(origin.clone(), size, *root).and_then(|text| sign_checkpoint(&text, &signer));
        signed.map_or_else(|_| Vec::new(), |signed| signed.note().as_str().as_bytes().to_vec())
    })
}
