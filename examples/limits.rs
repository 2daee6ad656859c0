//! What this machine can do at most, for reading Soulchain's figures as ratios.
//!
//! ```sh
//! cargo run --release --example limits                      # signatures and hashes a second
//! cargo run --release --example limits -- 127.0.0.1:8090    # a route that reads 256 bytes and answers 1.3 KB
//! ```

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use soulchain::ed25519::{SigningKey, verify};
use soulchain::hash::Hash;
use soulchain::merkle::{leaf_hash, node_hash};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each is measured.
const DURATION: Duration = Duration::from_secs(2);
/// Length of an answer: an inclusion proof of a log of some 100,000 entries.
const ANSWER_LEN: usize = 1_300;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(listen) = std::env::args().nth(1) else { return print_limits() };
    let listen: SocketAddr = listen.parse()?;
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve_empty_route(listen))?)
}

/// One JSON object.
fn print_limits() -> Result<(), Box<dyn Error>> {
    let cores = thread::available_parallelism()?.get();
    let leaf = per_second(|| leaf_hash(black_box(&[0; 256])));
    let node = per_second(|| node_hash(black_box(&Hash::ZERO), black_box(&Hash::ZERO)));
    let threads: Vec<_> = (0..cores).map(|_| thread::spawn(verify_strict_per_second)).collect();
    let verify: f64 = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
    let both = 1.0 / (1.0 / leaf + 1.0 / node);
    writeln!(
        std::io::stdout(),
        r#"{{"cores":{cores},"leaf_256_per_s":{leaf:.0},"node_per_s":{node:.0},"leaf_and_node_per_s":{both:.0},"verify_strict_per_s_all_cores":{verify:.0}}}"#,
    )?;
    Ok(())
}

/// A key's bytes are decoded for each signature, as for links of many agents.
fn verify_strict_per_second() -> f64 {
    let key = SigningKey::from_seed(&[7; 32]);
    let message = [1; 274];
    let signature = key.sign(&message);
    let public = *key.public().as_bytes();
    per_second(|| verify(&public, black_box(&message), &signature))
}

fn per_second<T>(mut work: impl FnMut() -> T) -> f64 {
    /// Calls between two looks at the clock.
    const ROUND: u32 = 64;
    let start = Instant::now();
    let mut calls = 0.0;
    while start.elapsed() < DURATION {
        for _ in 0..ROUND {
            black_box(work());
        }
        calls += f64::from(ROUND);
    }
    calls / start.elapsed().as_secs_f64()
}

async fn serve_empty_route(listen: SocketAddr) -> std::io::Result<()> {
    let answer: &'static str = "x".repeat(ANSWER_LEN).leak();
    let add = move |entry: Bytes| async move {
        black_box(entry);
        answer
    };
    axum::serve(TcpListener::bind(listen).await?, Router::new().route("/add", post(add))).await
}
