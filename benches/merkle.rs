//! What the tree costs: one append, one proof, one check.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench program")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use soulchain::hash::Hash;
use soulchain::merkle::{
    Frontier, LeafIndex, NodeId, TreeSize, consistency_plan, inclusion_plan, leaf_hash, node_hash, verify_consistency,
    verify_inclusion,
};

/// One append at a time must fit in 3.3 µs with everything else: 300,000 of them a second.
const SIZE: u64 = 1_000_000;

fn hashing(c: &mut Criterion) {
    for len in [256, 300] {
        let entry = vec![7; len];
        c.bench_function(&format!("leaf_hash {len} B"), |b| b.iter(|| leaf_hash(black_box(&entry))));
    }
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    c.bench_function("node_hash", |b| b.iter(|| node_hash(black_box(&left), black_box(&right))));
}

fn appending(c: &mut Criterion) {
    let leaves: Vec<Hash> = (0..1_000_u64).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    let start = Tree::new(SIZE).frontier;
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("frontier push of 1,000", |b| {
        let push = |mut frontier: Frontier| {
            for leaf in &leaves {
                frontier.push(*leaf);
            }
            frontier
        };
        b.iter_batched(|| start.clone(), push, BatchSize::SmallInput);
    });
    group.finish();
    c.bench_function("frontier root at 1M", |b| b.iter(|| black_box(&start).root()));
}

fn proving(c: &mut Criterion) {
    let tree = Tree::new(SIZE);
    let (size, root) = (TreeSize::new(SIZE), tree.frontier.root());
    let index = LeafIndex::new(654_321);
    let leaf = tree.levels[0][654_321];
    let path = inclusion_plan(index, size).unwrap().path(|node| tree.node(node)).unwrap();
    c.bench_function("inclusion plan and path at 1M", |b| {
        b.iter(|| inclusion_plan(black_box(index), size).unwrap().path(|node| tree.node(node)).unwrap());
    });
    c.bench_function("inclusion verify at 1M", |b| {
        b.iter(|| verify_inclusion(black_box(&leaf), index, size, &path, &root).unwrap());
    });

    let old = TreeSize::new(654_321);
    let old_root = Tree::new(old.get()).frontier.root();
    let path = consistency_plan(old, size).unwrap().path(|node| tree.node(node)).unwrap();
    c.bench_function("consistency verify 654,321 to 1M", |b| {
        b.iter(|| verify_consistency(black_box(old), size, &old_root, &root, &path).unwrap());
    });
}

/// A tree with all of its nodes at hand.
struct Tree {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    fn new(size: u64) -> Self {
        let mut tree = Self { frontier: Frontier::new(), levels: vec![Vec::new(); 64] };
        for i in 0..size {
            let levels = &mut tree.levels;
            let keep = |node: NodeId, hash: &Hash| levels[usize::from(node.level)].push(*hash);
            tree.frontier.push_with(leaf_hash(&i.to_be_bytes()), keep);
        }
        tree
    }

    fn node(&self, node: NodeId) -> Result<Hash, ()> {
        self.levels.get(usize::from(node.level)).and_then(|level| level.get(node.index as usize)).copied().ok_or(())
    }
}

criterion_group!(benches, hashing, appending, proving);
criterion_main!(benches);
