//! The state map at a million leaves: build, batches, proofs, and the memory that a leaf takes.

#![allow(missing_docs, reason = "criterion's macros write the functions")]
#![allow(clippy::print_stderr, reason = "the memory figure has no place in criterion's report")]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use soulchain::hash::sha256;
use soulchain::map::{Change, Leaf, MapKey, MapValue, Tree};

const LEAVES: u64 = 1_000_000;
const BATCH: u64 = 1_000;

/// As large as a pointer, like the payload of a node.
type Pointer = Arc<u64>;

fn key(number: u64) -> MapKey {
    MapKey::from_bytes(sha256(&[b"key ", &number.to_be_bytes()]))
}

fn value(number: u64) -> MapValue {
    MapValue::from_bytes(sha256(&[b"value ", &number.to_be_bytes()]))
}

fn sorted_leaves<P>(payload: impl Fn(u64) -> P) -> Vec<Leaf<P>> {
    let leaf = |number| Leaf { key: key(number), value: value(number), payload: payload(number) };
    let mut leaves: Vec<_> = (0..LEAVES).map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    leaves
}

fn million() -> Tree<Pointer> {
    Tree::build(sorted_leaves(Pointer::new))
}

/// A value not seen before for each of these leaves, which lie all over the tree.
fn changes(round: &mut u64, numbers: impl Fn(u64) -> u64, count: u64) -> Vec<Change<Pointer>> {
    *round += 1;
    let change = |at| (key(numbers(at)), Some((value(*round), Pointer::new(at))));
    (0..count).map(change).collect()
}

/// A place among the leaves that are there, other ones each round.
fn known(round: u64) -> impl Fn(u64) -> u64 {
    move |at| (at * 7919 + round * 104_729) % LEAVES
}

fn build(c: &mut Criterion) {
    let leaves = sorted_leaves(|number| number);
    let mut group = c.benchmark_group("build 1M");
    group.sample_size(10);
    group.bench_function("1 thread", |b| b.iter_batched(|| leaves.clone(), Tree::build, BatchSize::PerIteration));
    group.bench_function("2 threads", |b| {
        b.iter_batched(|| leaves.clone(), |leaves| Tree::build_on_threads(leaves, 2), BatchSize::PerIteration);
    });
}

fn update(c: &mut Criterion) {
    let mut tree = million();
    let mut round = 0;
    let mut group = c.benchmark_group("batch of 1,000 in 1M");
    group.bench_function("replace, no snapshot", |b| {
        b.iter_batched(
            || {
                let numbers = known(round);
                changes(&mut round, numbers, BATCH)
            },
            |changes| tree.update(changes),
            BatchSize::PerIteration,
        );
    });
    // As a node does it: the version before stays with the readers, and goes when the next is there.
    let mut shown = tree.clone();
    group.bench_function("replace, snapshot held then dropped", |b| {
        b.iter_batched(
            || {
                let numbers = known(round);
                changes(&mut round, numbers, BATCH)
            },
            |changes| {
                tree.update(changes);
                shown = tree.clone();
            },
            BatchSize::PerIteration,
        );
    });
    drop(shown);
    group.bench_function("add 1,000 identities and their names, snapshot held", |b| {
        b.iter_batched(
            || {
                let first = LEAVES + 2 * BATCH * round;
                (tree.clone(), changes(&mut round, |at| first + at, 2 * BATCH))
            },
            |(mut next, changes)| {
                next.update(changes);
                next
            },
            BatchSize::PerIteration,
        );
    });
}

fn proofs(c: &mut Criterion) {
    let tree = million();
    let root = tree.root();
    let mut number = 0;
    let mut next = || {
        number = (number + 7919) % LEAVES;
        number
    };
    c.bench_function("prove in 1M", |b| b.iter_batched(|| key(next()), |key| tree.prove(&key), BatchSize::SmallInput));
    let mut next_proof = || {
        let number = next();
        (tree.prove(&key(number)), key(number), value(number))
    };
    c.bench_function("verify in 1M", |b| {
        b.iter_batched(
            &mut next_proof,
            |(proof, key, value)| proof.verify_included(&key, &value, &root),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("get in 1M", |b| {
        b.iter_batched(|| key(next()), |key| tree.get(&key).is_some(), BatchSize::SmallInput);
    });
}

/// What the process grows by, which counts all that the allocator adds.
fn memory(_: &mut Criterion) {
    let Some(before) = resident_bytes() else { return };
    let tree = Tree::build(sorted_leaves(|number| number));
    let Some(after) = resident_bytes() else { return };
    eprintln!("memory at 1M, payload of 8 bytes: {} bytes a leaf", after.saturating_sub(before) / LEAVES);
    black_box(tree);
}

/// Resident memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

criterion_group!(benches, memory, build, update, proofs);
criterion_main!(benches);
