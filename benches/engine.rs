//! The engine in process: durable batches of opaque entries, 256 a call.
//!
//! `SOULCHAIN_BENCH_DIR` says where the log is made: a directory of tmpfs measures the engine alone, one on a disk the
//! disk too.

use std::collections::VecDeque;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use soulchain::clock::SystemClock;
use soulchain::hash::Hash;
use soulchain::log::{Directory, Engine, Opaque, OpaqueGroup, Options, OriginFile, Pending, open};
use soulchain::merkle::{TreeSize, leaf_hash, node_hash};
use soulchain::storage::MemoryViews;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entries of a call, and their length.
const GROUP: usize = 256;
const ENTRY_LEN: usize = 256;
/// Calls of a thread that are on their way at once: the sequencer makes one batch of what waits.
const CALLS: usize = 32;

fn engine(path: &std::path::Path) -> Engine<Opaque> {
    let origin = OriginFile { v: 1, origin: "log.example/bench".into(), vkeys: Vec::new() };
    Directory::create(path, &origin, |_| Ok(())).expect("the directory is new");
    let directory = Directory::open(path).expect("nobody else has it");
    let storage = directory.storage_with(Arc::new(MemoryViews::default())).expect("it was just made");
    let sign = Arc::new(|size: TreeSize, root: &Hash| format!("{size} {root}\n").into_bytes());
    let (engine, _) =
        open(Opaque, storage, sign, Arc::new(SystemClock::new()), Options::default()).expect("it is empty");
    engine.keep(Box::new(directory));
    engine
}

fn group(number: u64) -> OpaqueGroup {
    let entry = |at: usize| {
        let mut entry = vec![b'x'; ENTRY_LEN];
        entry[..8].copy_from_slice(&(number * GROUP as u64 + at as u64).to_be_bytes());
        Bytes::from(entry)
    };
    OpaqueGroup::new((0..GROUP).map(entry).collect()).expect("of a length that entries have")
}

/// Appends so many groups from two threads; returns when all of them are durable.
fn append_groups(engine: &Engine<Opaque>, groups: u64) {
    let one = |from: u64, to: u64| {
        let mut waiting = VecDeque::with_capacity(CALLS);
        for number in from..to {
            if waiting.len() == CALLS {
                settle(waiting.pop_front());
            }
            waiting.push_back(engine.submit(group(number)).unwrap_or_else(|_| panic!("the pool has room")));
        }
        for pending in waiting {
            settle(Some(pending));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| one(0, groups / 2));
        one(groups / 2, groups);
    });
}

fn settle(pending: Option<Pending<Opaque>>) {
    assert!(pending.is_some_and(|pending| black_box(pending.blocking_answer()).is_ok()), "durable");
}

fn append(c: &mut Criterion) {
    let base = std::env::var_os("SOULCHAIN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(base).expect("a temporary directory");
    let engine = engine(&directory.path().join("log"));
    let mut benches = c.benchmark_group("engine");
    benches.sample_size(20).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(GROUP as u64));
    benches.bench_function("append 256 B, 256 a call, durable", |b| {
        b.iter_custom(|groups| {
            let start = Instant::now();
            append_groups(&engine, groups);
            start.elapsed()
        });
    });
    benches.throughput(Throughput::Elements(1));
    let (entry, hash) = (vec![b'x'; ENTRY_LEN], leaf_hash(b"x"));
    benches.bench_function("limit: a leaf and a node", |b| {
        b.iter(|| (leaf_hash(black_box(&entry)), node_hash(black_box(&hash), black_box(&hash))));
    });
    benches.finish();
    engine.close();
}

criterion_group!(benches, append);
criterion_main!(benches);
