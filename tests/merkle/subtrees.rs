//! Subtrees against the definitions of draft-ietf-plants-merkle-tree-certs-03, section 4.

use super::*;

#[test]
fn subtrees_are_the_twins_and_hold() {
    let (naive, log) = (Naive::default(), Log::new(70));
    let mut seen = 0;
    for end in 1..=70 {
        for start in 0..end {
            let Some(subtree) = Subtree::new(start, TreeSize::new(end)) else { continue };
            let root = naive.root(start, end);
            for index in start..end {
                let (leaf, path) = (leaf_hash(&entry(index)), naive.path(index - start, start, end));
                let check = |index| verify_subtree_inclusion(&leaf, LeafIndex::new(index), subtree, &path, &root);
                assert_eq!(check(index), Ok(()), "{index} {start}..{end}");
                for other in [start.wrapping_sub(1), end] {
                    assert!(matches!(check(other), Err(ProofError::NoSuchLeaf { .. })), "{other} {start}..{end}");
                }
            }
            for size in end..=70 {
                seen += 1;
                let tree = TreeSize::new(size);
                let path = subtree_consistency_plan(subtree, tree).unwrap().path(|node| log.node(node).ok_or(node));
                let path = path.unwrap();
                assert_eq!(path, naive.subtree_proof((start, end), 0, size, true), "{start}..{end} {size}");
                let check =
                    |root: &Hash, all: &Hash, path: &[Hash]| verify_subtree_consistency(subtree, tree, root, all, path);
                let all = naive.root(0, size);
                assert_eq!(check(&root, &all, &path), Ok(()), "{start}..{end} {size}");
                assert!(check(&flipped(root, 3), &all, &path).is_err());
                assert!(check(&root, &flipped(all, 3), &path).is_err());
                assert!(check(&root, &all, &[path.as_slice(), &[root]].concat()).is_err());
                for at in 0..path.len() {
                    let mut spoilt = path.clone();
                    spoilt[at] = flipped(spoilt[at], 3);
                    assert!(check(&root, &all, &spoilt).is_err(), "{at} {start}..{end} {size}");
                }
            }
            assert_eq!(subtree_consistency_plan(subtree, TreeSize::new(end - 1)), None);
        }
    }
    assert!(seen > 5_000, "{seen}");
}

impl Log {
    fn subtree_root(&self, subtree: Subtree) -> Hash {
        subtree_root_plan(subtree).root(|node| self.node(node).ok_or(node)).unwrap()
    }

    fn subtree_path(&self, subtree: Subtree, size: u64) -> Vec<Hash> {
        let plan = subtree_consistency_plan(subtree, TreeSize::new(size)).unwrap();
        plan.path(|node| self.node(node).ok_or(node)).unwrap()
    }
}

/// One subtree in one tree: root and path are the twin's, they hold, they come from tiles of that size, and every path
/// that is altered in one way is refused.
fn check_in_tree(naive: &Naive, log: &Log, subtree: Subtree, size: u64) {
    let (start, end, tree) = (subtree.start(), subtree.end().get(), TreeSize::new(size));
    let (root, all, path) = (log.subtree_root(subtree), log.root(size), log.subtree_path(subtree, size));
    assert_eq!(root, naive.root(start, end), "{start}..{end}");
    assert_eq!(path, naive.subtree_proof((start, end), 0, size, true), "{start}..{end} {size}");
    let nodes = subtree_consistency_plan(subtree, tree).unwrap();
    for node in nodes.nodes().iter().chain(subtree_root_plan(subtree).nodes()) {
        assert_eq!(log.node_from_tile(*node, size), log.node(*node), "{node:?} {start}..{end} {size}");
    }
    let check = |path: &[Hash]| verify_subtree_consistency(subtree, tree, &root, &all, path);
    assert_eq!(check(&path), Ok(()), "{start}..{end} {size}");
    let refused = |spoilt: &[Hash]| assert!(check(spoilt).is_err(), "{start}..{end} {size}: {spoilt:?}");
    for junk in [Hash::ZERO, root, all] {
        refused(&[path.as_slice(), &[junk]].concat());
        refused(&[&[junk], path.as_slice()].concat());
    }
    for at in 0..path.len() {
        let mut spoilt = path.clone();
        spoilt[at] = flipped(spoilt[at], 3);
        refused(&spoilt);
        spoilt.remove(at);
        refused(&spoilt);
        if at > 0 {
            let mut swapped = path.clone();
            swapped.swap(at - 1, at);
            refused(&swapped);
        }
    }
    for (root, all) in [(flipped(root, 3), all), (root, flipped(all, 3))] {
        assert!(verify_subtree_consistency(subtree, tree, &root, &all, &path).is_err());
    }
}

#[test]
fn every_subtree_of_every_tree_up_to_40() {
    let (naive, log) = (Naive::default(), Log::new(40));
    let mut seen = 0;
    for size in 1..=40 {
        for (start, end) in (1..=size).flat_map(|end| (0..end).map(move |start| (start, end))) {
            let Some(subtree) = Subtree::new(start, TreeSize::new(end)) else { continue };
            check_in_tree(&naive, &log, subtree, size);
            seen += 1;
        }
    }
    assert_eq!(seen, 2_608);
}

#[test]
fn any_subtree_of_any_tree_up_to_2000() {
    let (naive, log) = (Naive::default(), Log::new(2_000));
    // A fixed walk over sizes, ends and widths: an LCG's high bits.
    let mut state = 7_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for _ in 0..600 {
        let size = 1 + below(2_000);
        let end = 1 + below(size);
        let width = 1 << below(11);
        let start = (end - 1) / width * width;
        let subtree = Subtree::new(start, TreeSize::new(end)).unwrap();
        check_in_tree(&naive, &log, subtree, size);
    }
}

/// A consistency proof is the proof of the subtree that starts at 0.
#[test]
fn consistency_is_the_subtree_from_0() {
    let log = Log::new(70);
    for new in 1..=70 {
        for old in 1..=new {
            let (old_size, new_size) = (TreeSize::new(old), TreeSize::new(new));
            let whole = Subtree::new(0, old_size).unwrap();
            let plan = consistency_plan(old_size, new_size);
            assert_eq!(subtree_consistency_plan(whole, new_size), plan);
            assert_eq!(subtree_root_plan(whole), root_plan(old_size));
            let (path, old_root, new_root) = (log.consistency(old, new), log.root(old), log.root(new));
            for root in [old_root, flipped(old_root, 1)] {
                let one = verify_consistency(old_size, new_size, &root, &new_root, &path);
                assert_eq!(one, verify_subtree_consistency(whole, new_size, &root, &new_root, &path));
                assert_eq!(one.is_ok(), root == old_root);
            }
        }
    }
}
