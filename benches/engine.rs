//! The engine in process: durable batches of opaque entries, 256 a call.
//!
//! `SOULCHAIN_BENCH_DIR` says where the log is made: a directory of tmpfs measures the engine alone, one on a disk the
//! disk too.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use soulchain::clock::SystemClock;
use soulchain::hash::Hash;
use soulchain::log::{Directory, Engine, Opaque, OpaqueGroup, Options, OriginFile, open};
use soulchain::merkle::{TreeSize, leaf_hash, node_hash};
use soulchain::storage::MemoryViews;

/// Entries of a call, and their length.
const GROUP: usize = 256;
const ENTRY_LEN: usize = 256;
/// Calls that are on their way at once: the sequencer makes one batch of what waits.
const CALLS: usize = 64;

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

fn group(seed: &mut u64) -> OpaqueGroup {
    let entry = |_| {
        *seed += 1;
        let mut entry = vec![b'x'; ENTRY_LEN];
        entry[..8].copy_from_slice(&seed.to_be_bytes());
        Bytes::from(entry)
    };
    OpaqueGroup::new((0..GROUP).map(entry).collect()).expect("of a length that entries have")
}

fn append(c: &mut Criterion) {
    let base = std::env::var_os("SOULCHAIN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(base).expect("a temporary directory");
    let engine = engine(&directory.path().join("log"));
    let mut seed = 0;
    let mut benches = c.benchmark_group("engine");
    benches.sample_size(20).throughput(Throughput::Elements((GROUP * CALLS) as u64));
    benches.bench_function("append 256 B, 256 a call, durable", |b| {
        b.iter_batched(
            || (0..CALLS).map(|_| group(&mut seed)).collect::<Vec<_>>(),
            |groups| {
                let pending = groups
                    .into_iter()
                    .map(|group| engine.submit(group).unwrap_or_else(|_| panic!("the pool has room")));
                for answer in pending.collect::<Vec<_>>() {
                    assert!(black_box(answer.blocking_answer()).is_ok(), "durable");
                }
            },
            BatchSize::PerIteration,
        );
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
