//! Targets of proofs over the Merkle tree and the state map.
//!
//! These have no file format of their own: bytes are cut into arguments. What is checked is that a proof holds for the
//! one root that it leads to, and for nothing that differs from what it shows.

use soulchain::encoding::{Reader, Writer};
use soulchain::hash::{Hash, sha256};
use soulchain::map::{Leaf, MapKey, MapProofError, MapValue, Proof, ProofKind, Tree};
use soulchain::merkle::{
    Frontier, LeafIndex, NodeId, ProofError, Subtree, TreeSize, consistency_plan, inclusion_plan, leaf_hash,
    root_from_inclusion, verify_consistency, verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};

/// `index ‖ size ‖ leaf ‖ path`.
pub fn inclusion(data: &[u8]) -> bool {
    let mut reader = Reader::new(data);
    let (Some(index), Some(size), Some(leaf)) = (reader.u64(), reader.u64(), hash(&mut reader)) else { return false };
    let (index, size, mut path) = (LeafIndex::new(index), TreeSize::new(size), hashes(&mut reader));
    if let Some(subtree) = Subtree::new(index.get() & size.get(), size) {
        let _ = verify_subtree_inclusion(&leaf, index, subtree, &path, &leaf);
    }
    let Ok(root) = root_from_inclusion(&leaf, index, size, &path) else { return false };
    verify_inclusion(&leaf, index, size, &path, &root).expect("the root that the path leads to");
    let refuses = |leaf: &Hash, path: &[Hash]| verify_inclusion(leaf, index, size, path, &root).is_err();
    assert!(refuses(&flipped(&leaf), &path));
    for at in 0..path.len() {
        path[at] = flipped(&path[at]);
        assert!(refuses(&leaf, &path));
        path[at] = flipped(&path[at]);
    }
    let last = path.pop();
    assert!(last.is_none() || refuses(&leaf, &path));
    path.extend(last.into_iter().chain([leaf]));
    assert!(refuses(&leaf, &path));
    true
}

pub fn inclusions() -> Vec<Vec<u8>> {
    let proof = |index: u64, size: u64| {
        let plan = inclusion_plan(LeafIndex::new(index), TreeSize::new(size)).expect("a leaf of the tree");
        let mut data = Writer::default();
        data.u64(index).u64(size).raw(leaf(index).as_ref());
        write_path(&mut data, &plan.path(nodes(size)).expect("all nodes are there"));
        data.into_bytes()
    };
    vec![proof(0, 1), proof(0, 2), proof(4, 7), proof(6, 7), proof(255, 300), proof(299, 300)]
}

/// `old size ‖ new size ‖ old root ‖ path`: the old root may be another than the path leads to.
pub fn consistency(data: &[u8]) -> bool {
    let mut reader = Reader::new(data);
    let (Some(old), Some(new), Some(old_root)) = (reader.u64(), reader.u64(), hash(&mut reader)) else { return false };
    let (old, new, mut path) = (TreeSize::new(old), TreeSize::new(new), hashes(&mut reader));
    if let Some(subtree) = Subtree::new(old.get() & new.get(), old) {
        let _ = verify_subtree_consistency(subtree, new, &old_root, &old_root, &path);
    }
    // Of an empty tree, or one and the same, no path says anything.
    if old == TreeSize::ZERO || old == new {
        return verify_consistency(old, new, &old_root, &old_root, &path).is_ok();
    }
    let old_root = match verify_consistency(old, new, &old_root, &Hash::ZERO, &path) {
        Err(ProofError::OldRoot { computed, .. }) => computed,
        Err(ProofError::Root { .. }) => old_root,
        Ok(()) => panic!("a path leads to a root of zeros"),
        Err(_) => return false,
    };
    let new_root = match verify_consistency(old, new, &old_root, &Hash::ZERO, &path) {
        Err(ProofError::Root { computed, .. }) => computed,
        other => panic!("with the old root that the path leads to: {other:?}"),
    };
    verify_consistency(old, new, &old_root, &new_root, &path).expect("the roots that the path leads to");
    let refuses = |path: &[Hash]| verify_consistency(old, new, &old_root, &new_root, path).is_err();
    for at in 0..path.len() {
        path[at] = flipped(&path[at]);
        assert!(refuses(&path));
        path[at] = flipped(&path[at]);
    }
    path.push(old_root);
    assert!(refuses(&path));
    path.truncate(path.len() - 2);
    assert!(refuses(&path));
    true
}

pub fn consistencies() -> Vec<Vec<u8>> {
    let proof = |old: u64, new: u64| {
        let plan = consistency_plan(TreeSize::new(old), TreeSize::new(new)).expect("the older tree is not larger");
        let mut data = Writer::default();
        data.u64(old).u64(new).raw(tree(old, |_, _| {}).root().as_ref());
        write_path(&mut data, &plan.path(nodes(new)).expect("all nodes are there"));
        data.into_bytes()
    };
    vec![proof(1, 2), proof(3, 7), proof(4, 7), proof(255, 257), proof(256, 300)]
}

/// `kind ‖ depth u16 ‖ siblings u16 ‖ key ‖ value ‖ other key ‖ other value ‖ siblings ‖ bitmap`.
pub fn map_proof(data: &[u8]) -> bool {
    let Some((proof, key, value)) = parse_map_proof(data) else { return false };
    let verdict = |root: &Hash| match proof.kind() {
        ProofKind::Included => proof.verify_included(&key, &value, root),
        ProofKind::Other { .. } | ProofKind::Empty => proof.verify_absent(&key, root),
    };
    let root = match verdict(&Hash::from_bytes([0xff; 32])) {
        Err(MapProofError::Root { actual, .. }) => actual,
        Err(_) => return false,
        Ok(()) => panic!("a path leads to a root of ones"),
    };
    assert_eq!(verdict(&root), Ok(()));
    if matches!(proof.kind(), ProofKind::Included) {
        assert!(proof.verify_absent(&key, &root).is_err());
        let other = MapValue::from_bytes(*flipped(&Hash::from_bytes(*value.as_bytes())).as_bytes());
        assert!(proof.verify_included(&key, &other, &root).is_err());
    } else {
        assert!(proof.verify_included(&key, &value, &root).is_err());
    }
    let mut siblings = proof.siblings().to_vec();
    if let Some(first) = siblings.first_mut().filter(|first| !flipped(first).is_zero()) {
        *first = flipped(first);
        let changed = Proof::new(*proof.kind(), proof.depth(), siblings, proof.bitmap().to_vec()).expect("as before");
        assert!(changed.verify_included(&key, &value, &root).is_err() && changed.verify_absent(&key, &root).is_err());
    }
    true
}

pub fn map_proofs() -> Vec<Vec<u8>> {
    let keys: Vec<_> = (0..40_u8).map(|n| MapKey::from_bytes(sha256(&[&[n]]))).collect();
    let value = |key: &MapKey| MapValue::from_bytes(sha256(&[key.as_ref()]));
    let leaves = keys.iter().take(20).map(|key| Leaf { key: *key, value: value(key), payload: () });
    let tree = Tree::build(leaves.collect());
    let empty = Tree::<()>::new();
    let of_tree = keys.iter().map(|key| write_map_proof(&tree.prove(key), key, &value(key)));
    of_tree.chain([write_map_proof(&empty.prove(&keys[0]), &keys[0], &value(&keys[0]))]).collect()
}

fn parse_map_proof(data: &[u8]) -> Option<(Proof, MapKey, MapValue)> {
    let mut reader = Reader::new(data);
    let (kind, depth, count) = (reader.u8()?, reader.u16()?, reader.u16()?);
    let (key, value) = (MapKey::from_bytes(reader.array()?), MapValue::from_bytes(reader.array()?));
    let (other_key, other_value) = (MapKey::from_bytes(reader.array()?), MapValue::from_bytes(reader.array()?));
    let kind = match kind {
        0 => ProofKind::Included,
        1 => ProofKind::Other { key: other_key, value: other_value },
        2 => ProofKind::Empty,
        _ => return None,
    };
    let siblings: Vec<_> = (0..count).map_while(|_| hash(&mut reader)).collect();
    let bitmap = reader.rest().to_vec();
    let proof = Proof::new(kind, depth, siblings.clone(), bitmap.clone()).ok()?;
    assert_eq!((proof.kind(), proof.depth(), proof.siblings(), proof.bitmap()), (&kind, depth, &*siblings, &*bitmap));
    Some((proof, key, value))
}

fn write_map_proof(proof: &Proof, key: &MapKey, value: &MapValue) -> Vec<u8> {
    let (kind, other_key, other_value) = match *proof.kind() {
        ProofKind::Included => (0, MapKey::ZERO, MapValue::ZERO),
        ProofKind::Other { key, value } => (1, key, value),
        ProofKind::Empty => (2, MapKey::ZERO, MapValue::ZERO),
    };
    let mut data = Writer::default();
    data.u8(kind).u16(proof.depth()).u16(proof.siblings().len() as u16);
    data.raw(key.as_ref()).raw(value.as_ref()).raw(other_key.as_ref()).raw(other_value.as_ref());
    write_path(&mut data, proof.siblings());
    data.raw(proof.bitmap());
    data.into_bytes()
}

fn hash(reader: &mut Reader<'_>) -> Option<Hash> {
    reader.array().map(Hash::from_bytes)
}

fn hashes(reader: &mut Reader<'_>) -> Vec<Hash> {
    core::iter::from_fn(|| hash(reader)).collect()
}

fn write_path(data: &mut Writer, path: &[Hash]) {
    for hash in path {
        data.raw(hash.as_ref());
    }
}

fn flipped(hash: &Hash) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[0] ^= 1;
    Hash::from_bytes(bytes)
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn tree(size: u64, mut completed: impl FnMut(NodeId, &Hash)) -> Frontier {
    let mut frontier = Frontier::new();
    for index in 0..size {
        frontier.push_with(leaf(index), &mut completed);
    }
    frontier
}

/// Finds the nodes of a tree.
fn nodes(size: u64) -> impl FnMut(NodeId) -> Result<Hash, ()> {
    let mut levels = vec![Vec::new(); 64];
    tree(size, |node, hash| levels[usize::from(node.level)].push(*hash));
    move |node| levels[usize::from(node.level)].get(node.index as usize).copied().ok_or(())
}
