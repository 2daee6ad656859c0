//! Trees against RFC 6962 itself (a naive twin, word for word), foreign vectors, and another implementation.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail, and say what it skips")]

#[path = "../common/mod.rs"]
mod common;
mod subtrees;
mod twin;
mod vectors;

use proptest::prelude::*;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{
    EMPTY_ROOT, Frontier, LeafIndex, NodeId, ProofError, Subtree, TILE_HEIGHT, TILE_WIDTH, TreeSize, consistency_plan,
    inclusion_plan, leaf_hash, peaks, root_from_inclusion, root_of_perfect, root_plan, subtree_consistency_plan,
    subtree_root_plan, tile_of, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};

use self::twin::{Naive, entry};

/// Every size is checked up to this one.
const SMALL: u64 = 600;
/// Sizes about the widths of tiles of level 0 and 1.
const EDGES: [u64; 6] = [255, 256, 257, 65_535, 65_536, 65_537];
const LARGEST: u64 = EDGES[5];

// --- A log that keeps what a tiled log keeps ---

/// All nodes that appending reported, and no others.
struct Log {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

impl Log {
    fn new(size: u64) -> Self {
        let mut log = Self { frontier: Frontier::new(), levels: vec![Vec::new(); 20] };
        (0..size).for_each(|_| log.append());
        log
    }

    fn append(&mut self) {
        let index = self.frontier.size().next_index();
        let levels = &mut self.levels;
        let pushed = self.frontier.push_with(leaf_hash(&entry(index.get())), |node, hash| {
            let level = &mut levels[usize::from(node.level)];
            assert_eq!(node.index, level.len() as u64, "each node is reported once, in order");
            level.push(*hash);
        });
        assert_eq!(pushed, index);
    }

    fn node(&self, node: NodeId) -> Option<Hash> {
        self.levels.get(usize::from(node.level))?.get(node.index as usize).copied()
    }

    /// The node, from the hashes of the tile it comes from, as wide as that tile is in a log of `size`.
    fn node_from_tile(&self, node: NodeId, size: u64) -> Option<Hash> {
        let span = tile_of(node);
        let level = usize::from(span.tile_level * TILE_HEIGHT);
        let hashes = &self.levels.get(level)?[..(size >> level) as usize];
        span.hash(hashes.chunks(TILE_WIDTH).nth(span.tile_index as usize)?)
    }

    fn root(&self, size: u64) -> Hash {
        root_plan(TreeSize::new(size)).root(|node| self.node(node).ok_or(node)).unwrap()
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        let plan = inclusion_plan(LeafIndex::new(index), TreeSize::new(size)).unwrap();
        plan.path(|node| self.node(node).ok_or(node)).unwrap()
    }

    fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let plan = consistency_plan(TreeSize::new(old), TreeSize::new(new)).unwrap();
        plan.path(|node| self.node(node).ok_or(node)).unwrap()
    }
}

/// A claim that a path should show: what a verifier is given.
#[derive(Clone, PartialEq, Debug)]
enum Claim {
    Inclusion { leaf: Hash, index: u64, size: u64, root: Hash, path: Vec<Hash> },
    Consistency { old: u64, new: u64, old_root: Hash, new_root: Hash, path: Vec<Hash> },
}

impl Claim {
    fn check(&self) -> Result<(), ProofError> {
        match self {
            Self::Inclusion { leaf, index, size, root, path } => {
                verify_inclusion(leaf, LeafIndex::new(*index), TreeSize::new(*size), path, root)
            }
            Self::Consistency { old, new, old_root, new_root, path } => {
                verify_consistency(TreeSize::new(*old), TreeSize::new(*new), old_root, new_root, path)
            }
        }
    }

    fn path_mut(&mut self) -> &mut Vec<Hash> {
        match self {
            Self::Inclusion { path, .. } | Self::Consistency { path, .. } => path,
        }
    }

    fn hashes_mut(&mut self) -> Vec<&mut Hash> {
        match self {
            Self::Inclusion { leaf, root, path, .. } => path.iter_mut().chain([leaf, root]).collect(),
            Self::Consistency { old_root, new_root, path, .. } => path.iter_mut().chain([old_root, new_root]).collect(),
        }
    }

    /// This claim with one thing wrong, in every way that leaves index and sizes alone.
    fn spoilt(&self) -> Vec<(&'static str, Self)> {
        let mut spoilt = Vec::new();
        let mut with = |what, change: &dyn Fn(&mut Self)| {
            let mut claim = self.clone();
            change(&mut claim);
            spoilt.push((what, claim));
        };
        let len = self.clone().path_mut().len();
        for junk in [Hash::ZERO, EMPTY_ROOT, *self.clone().hashes_mut()[0]] {
            with("appended", &|claim| claim.path_mut().push(junk));
            with("prepended", &|claim| claim.path_mut().insert(0, junk));
        }
        for at in 0..len {
            with("dropped", &|claim| {
                claim.path_mut().remove(at);
            });
            with("doubled", &|claim| {
                let hash = claim.path_mut()[at];
                claim.path_mut().insert(at, hash);
            });
        }
        for at in 1..len {
            with("swapped", &|claim| claim.path_mut().swap(at - 1, at));
        }
        for at in 0..self.clone().hashes_mut().len() {
            for byte in [0, 31] {
                with("flipped", &|claim| *claim.hashes_mut()[at] = flipped(*claim.hashes_mut()[at], byte));
            }
        }
        spoilt
    }
}

fn flipped(hash: Hash, byte: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[byte] ^= 0x10;
    Hash::from_bytes(bytes)
}

// --- Roots ---

#[test]
fn roots_are_the_twins() {
    let (naive, mut log) = (Naive::default(), Log::new(0));
    assert_eq!(log.frontier.root(), EMPTY_ROOT);
    while log.frontier.size().get() < LARGEST {
        log.append();
        let size = log.frontier.size().get();
        if size <= SMALL || EDGES.contains(&size) {
            let root = naive.root(0, size);
            assert_eq!(log.frontier.root(), root, "{size}");
            assert_eq!(log.root(size), root, "{size}");
            assert_eq!(root_of_perfect(&log.levels[0]), root, "{size}");
        }
    }
    assert_eq!(log.root(0), EMPTY_ROOT);
}

#[test]
fn every_completed_node_is_reported() {
    let (naive, log) = (Naive::default(), Log::new(SMALL));
    for (level, hashes) in log.levels.iter().enumerate() {
        assert_eq!(hashes.len() as u64, SMALL >> level);
        for (index, hash) in hashes.iter().enumerate() {
            let start = (index as u64) << level;
            assert_eq!(*hash, naive.root(start, start + (1 << level)), "{level} {index}");
        }
    }
}

#[test]
fn a_frontier_goes_on_from_its_parts() {
    let log = Log::new(SMALL);
    for size in (0..=SMALL).step_by(7) {
        let hashes = peaks(TreeSize::new(size)).into_iter().map(|node| log.node(node).unwrap()).collect();
        let mut frontier = Frontier::from_parts(TreeSize::new(size), hashes).unwrap();
        assert_eq!(frontier.root(), log.root(size));
        for index in size..SMALL {
            frontier.push(leaf_hash(&entry(index)));
        }
        assert_eq!(frontier, log.frontier, "{size}");
    }
}

// --- Paths ---

#[test]
fn inclusion_paths_are_the_twins_and_hold() {
    let (naive, log) = (Naive::default(), Log::new(LARGEST));
    let check = |index, size| {
        let path = log.inclusion(index, size);
        assert_eq!(path, naive.path(index, 0, size), "{index} {size}");
        let (leaf, index, size) = (leaf_hash(&entry(index)), LeafIndex::new(index), TreeSize::new(size));
        assert_eq!(root_from_inclusion(&leaf, index, size, &path), Ok(naive.root(0, size.get())), "{index} {size}");
    };
    for size in 1..=SMALL {
        (0..size).for_each(|index| check(index, size));
    }
    for size in EDGES {
        let indexes = [0, 1, 254, 255, 256, 257, 32_767, 32_768, 65_279, 65_280, 65_534, 65_535, 65_536];
        indexes.into_iter().chain([size / 2, size - 1]).filter(|index| *index < size).for_each(|index| {
            check(index, size);
        });
    }
}

#[test]
fn consistency_paths_are_the_twins_and_hold() {
    let (naive, log) = (Naive::default(), Log::new(LARGEST));
    let check = |old, new| {
        let path = log.consistency(old, new);
        if old > 0 {
            assert_eq!(path, naive.subproof(old, 0, new, true), "{old} {new}");
        }
        let (old_root, new_root) = (naive.root(0, old), naive.root(0, new));
        assert_eq!(Claim::Consistency { old, new, old_root, new_root, path }.check(), Ok(()), "{old} {new}");
    };
    for new in 0..=SMALL {
        (0..=new).for_each(|old| check(old, new));
    }
    for new in EDGES {
        let olds = [0, 1, 2, 254, 255, 256, 257, 32_767, 32_768, 65_280, 65_534, 65_535, 65_536];
        olds.into_iter().chain([new / 2, new - 1, new]).filter(|old| *old <= new).for_each(|old| check(old, new));
    }
}

#[test]
fn plans_need_only_what_tiles_of_that_size_hold() {
    let log = Log::new(LARGEST);
    let check = |nodes: &[NodeId], size| {
        for node in nodes {
            assert_eq!(log.node_from_tile(*node, size), Some(log.node(*node).unwrap()), "{node:?} {size}");
        }
    };
    for size in (1..=SMALL).step_by(13).chain(EDGES) {
        let tree = TreeSize::new(size);
        check(root_plan(tree).nodes(), size);
        for at in (0..size).step_by(1 + size as usize / 40).chain([size - 1]) {
            check(inclusion_plan(LeafIndex::new(at), tree).unwrap().nodes(), size);
            check(consistency_plan(TreeSize::new(at), tree).unwrap().nodes(), size);
        }
    }
    // The tile is there, but too narrow for the node.
    assert_eq!(log.node_from_tile(NodeId { level: 3, index: 1 }, 15), None);
}

#[test]
fn a_hash_that_cannot_be_had_is_the_callers_error() {
    let plan = inclusion_plan(LeafIndex::new(2), TreeSize::new(7)).unwrap();
    let missing = NodeId { level: 1, index: 2 };
    let found = plan.path(|node| if node == missing { Err(node) } else { Ok(Hash::ZERO) });
    assert_eq!(found, Err(missing));
    assert_eq!(root_plan(TreeSize::new(7)).root(Err::<Hash, _>), Err(NodeId { level: 2, index: 0 }));
}

// --- Refusals ---

#[test]
fn a_spoilt_inclusion_path_is_refused() {
    let log = Log::new(40);
    for size in 1..=40 {
        for index in 0..size {
            let (leaf, root, path) = (leaf_hash(&entry(index)), log.root(size), log.inclusion(index, size));
            let claim = Claim::Inclusion { leaf, index, size, root, path: path.clone() };
            assert_eq!(claim.check(), Ok(()));
            refuse_spoilt(&claim);
            for other in (0..size + 2).chain([u64::MAX]).filter(|other| *other != index) {
                let moved = Claim::Inclusion { leaf, index: other, size, root, path: path.clone() };
                assert!(moved.check().is_err(), "{index} as {other} of {size}");
            }
        }
    }
}

#[test]
fn a_spoilt_consistency_path_is_refused() {
    let log = Log::new(40);
    for new in 1..=40 {
        for old in 1..=new {
            let (old_root, new_root, path) = (log.root(old), log.root(new), log.consistency(old, new));
            let claim = Claim::Consistency { old, new, old_root, new_root, path };
            assert_eq!(claim.check(), Ok(()));
            refuse_spoilt(&claim);
            if old < new {
                let path = log.consistency(old, new);
                let turned = Claim::Consistency { old: new, new: old, old_root: new_root, new_root: old_root, path };
                let sizes = (TreeSize::new(new), TreeSize::new(old));
                assert_eq!(turned.check(), Err(ProofError::SizesReversed { old: sizes.0, new: sizes.1 }));
            }
        }
    }
}

fn refuse_spoilt(claim: &Claim) {
    for (what, spoilt) in claim.spoilt() {
        assert!(spoilt.check().is_err(), "{what}: {spoilt:?}");
    }
}

/// A tree that differs in one leaf is not the beginning of the log's.
#[test]
fn another_history_is_refused() {
    let log = Log::new(20);
    let mut other = Frontier::new();
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99] {
        other.push(leaf_hash(&entry(index)));
    }
    let (old, new) = (TreeSize::new(13), TreeSize::new(20));
    let found = verify_consistency(old, new, &other.root(), &log.root(20), &log.consistency(13, 20));
    assert_eq!(found, Err(ProofError::OldRoot { computed: log.root(13), claimed: other.root() }));
}

#[test]
fn each_error_is_told_apart() {
    let log = Log::new(8);
    let (index, size) = (5, 8);
    let (leaf, root, siblings) = (leaf_hash(&entry(index)), log.root(size), log.inclusion(index, size));
    let check = |index, size, path: &[Hash], root: &Hash| {
        verify_inclusion(&leaf, LeafIndex::new(index), TreeSize::new(size), path, root)
    };
    assert_eq!(check(index, size, &siblings, &root), Ok(()));
    let none = ProofError::NoSuchLeaf { index: LeafIndex::new(8), size: TreeSize::new(8) };
    assert_eq!(check(8, 8, &siblings, &root), Err(none));
    let short = ProofError::PathLength { expected: 3, found: 2 };
    assert_eq!(check(index, size, &siblings[..2], &root), Err(short));
    let wrong = ProofError::Root { computed: root, claimed: EMPTY_ROOT };
    assert_eq!(check(index, size, &siblings, &EMPTY_ROOT), Err(wrong));
    let texts = [none, short, wrong].map(|error| error.to_string());
    assert_eq!(texts[0], "leaf 8 is not in a tree of 8 leaves");
    assert_eq!(texts[1], "the path has 2 hashes, not 3");
    assert!(texts[2].contains(&root.to_hex()) && texts[2].contains(&EMPTY_ROOT.to_hex()));
}

#[test]
fn the_empty_tree_has_one_root_and_no_path() {
    let check = |new, old_root, new_root, path: &[Hash]| {
        verify_consistency(TreeSize::ZERO, TreeSize::new(new), &old_root, &new_root, path)
    };
    let root = leaf_hash(b"x");
    assert_eq!(check(0, EMPTY_ROOT, EMPTY_ROOT, &[]), Ok(()));
    assert_eq!(check(1, EMPTY_ROOT, root, &[]), Ok(()));
    let length = ProofError::PathLength { expected: 0, found: 1 };
    assert_eq!(check(0, EMPTY_ROOT, EMPTY_ROOT, &[root]), Err(length));
    assert_eq!(check(1, EMPTY_ROOT, root, &[root]), Err(length));
    let (computed, claimed) = (EMPTY_ROOT, root);
    assert_eq!(check(0, root, EMPTY_ROOT, &[]), Err(ProofError::OldRoot { computed, claimed }));
    assert_eq!(check(1, root, root, &[]), Err(ProofError::OldRoot { computed, claimed }));
    assert_eq!(check(0, EMPTY_ROOT, root, &[]), Err(ProofError::Root { computed, claimed }));
}

// --- A second opinion ---

#[derive(Clone)]
struct Rfc6962;

impl rs_merkle::Hasher for Rfc6962 {
    type Hash = [u8; 32];

    /// The other implementation takes leaf hashes, so that it hashes nodes only.
    fn hash(data: &[u8]) -> [u8; 32] {
        sha256(&[&[1], data])
    }
}

#[test]
fn another_implementation_agrees() {
    let log = Log::new(SMALL);
    let leaves: Vec<[u8; 32]> = log.levels[0].iter().map(|leaf| *leaf.as_bytes()).collect();
    let mut compared = 0;
    for size in 1..=SMALL {
        let theirs = rs_merkle::MerkleTree::<Rfc6962>::from_leaves(&leaves[..size as usize]);
        assert_eq!(theirs.root().unwrap(), *log.root(size).as_bytes(), "{size}");
        for index in 0..size {
            let path: Vec<[u8; 32]> = log.inclusion(index, size).iter().map(|hash| *hash.as_bytes()).collect();
            assert_eq!(theirs.proof(&[index as usize]).proof_hashes(), path, "{index} {size}");
            compared += 1;
        }
    }
    assert_eq!(compared, SMALL * (SMALL + 1) / 2, "every leaf of every size");
}

// --- Any numbers at all ---

fn any_hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_bytes)
}

/// Numbers of every magnitude.
fn any_number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// A plan for any numbers, evaluated over any hashes, has the one length that verification accepts; and what
    /// verification makes of it is refused for its hashes, never for its length.
    #[test]
    fn plans_and_verification_agree_on_lengths(index in any_number(), size in any_number(), junk in any_hash()) {
        let (at, tree) = (LeafIndex::new(index), TreeSize::new(size));
        let fill = |plan: &soulchain::merkle::Plan| plan.path(|_| Ok::<_, ()>(junk)).unwrap();
        match inclusion_plan(at, tree) {
            Some(plan) => prop_assert!(root_from_inclusion(&junk, at, tree, &fill(&plan)).is_ok()),
            None => prop_assert!(index >= size),
        }
        let old = TreeSize::new(index);
        match consistency_plan(old, tree) {
            Some(plan) if index > 0 && index < size => {
                let found = verify_consistency(old, tree, &junk, &junk, &fill(&plan));
                prop_assert!(matches!(found, Err(ProofError::Root { .. } | ProofError::OldRoot { .. })), "{found:?}");
            }
            Some(plan) => prop_assert!(plan.nodes().is_empty()),
            None => prop_assert!(index > size),
        }
    }

    /// No numbers and no path make verification panic, and no junk is accepted.
    #[test]
    fn junk_is_refused(
        numbers in [any_number(), any_number(), any_number()],
        hashes in [any_hash(), any_hash()],
        path in proptest::collection::vec(any_hash(), 0..66),
    ) {
        let [a, b, c] = numbers;
        let [one, two] = hashes;
        prop_assert!(verify_inclusion(&one, LeafIndex::new(a), TreeSize::new(b), &path, &two).is_err());
        prop_assert!(verify_consistency(TreeSize::new(a), TreeSize::new(b), &one, &two, &path).is_err());
        if let Some(subtree) = Subtree::new(a, TreeSize::new(b)) {
            prop_assert!(verify_subtree_consistency(subtree, TreeSize::new(c), &one, &two, &path).is_err());
            prop_assert!(verify_subtree_inclusion(&one, LeafIndex::new(c), subtree, &path, &two).is_err());
        }
    }
}
