//! The state map against the vectors, against a naive twin, and against every way that a proof can be wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use serde_json::Value;
use soulchain::hash::{Hash, sha256};
use soulchain::map::{
    Change, Leaf, MapKey, MapProofError, MapValue, Proof, ProofKind, Tree, identity_key, identity_value, name_key,
    name_value,
};

type Model = BTreeMap<MapKey, (MapValue, u32)>;

// --- the naive twin: formats.md §7 read aloud ---

fn bit(key: &MapKey, depth: usize) -> usize {
    usize::from(key.as_bytes()[depth / 8] >> (7 - depth % 8) & 1)
}

fn naive_root(leaves: &[(MapKey, MapValue)], depth: usize) -> [u8; 32] {
    match leaves {
        [] => [0; 32],
        [(key, value)] => sha256(&[&[2], key.as_bytes(), value.as_bytes()]),
        _ => {
            let [left, right] = naive_halves(leaves, depth);
            sha256(&[&[3], &naive_root(&left, depth + 1), &naive_root(&right, depth + 1)])
        }
    }
}

fn naive_halves(leaves: &[(MapKey, MapValue)], depth: usize) -> [Vec<(MapKey, MapValue)>; 2] {
    [0, 1].map(|side| leaves.iter().filter(|(key, _)| bit(key, depth) == side).copied().collect())
}

/// Kind, depth, siblings from the deepest up with the zero ones, each with the level of the key's bit that chose against it.
fn naive_path(leaves: &[(MapKey, MapValue)], key: &MapKey) -> (ProofKind, u16, Vec<(usize, [u8; 32])>) {
    let mut rest = leaves.to_vec();
    let mut siblings = Vec::new();
    for depth in 0.. {
        let kind = match rest[..] {
            [] => ProofKind::Empty,
            [(other, _)] if other == *key => ProofKind::Included,
            [(key, value)] => ProofKind::Other { key, value },
            _ => {
                let [left, right] = naive_halves(&rest, depth);
                let (taken, beside) = if bit(key, depth) == 0 { (left, right) } else { (right, left) };
                siblings.insert(0, (depth, naive_root(&beside, depth + 1)));
                rest = taken;
                continue;
            }
        };
        return (kind, depth as u16, siblings);
    }
    unreachable!()
}

fn pairs(model: &Model) -> Vec<(MapKey, MapValue)> {
    model.iter().map(|(key, (value, _))| (*key, *value)).collect()
}

fn leaves(model: &Model) -> Vec<Leaf<u32>> {
    model.iter().map(|(&key, &(value, payload))| Leaf { key, value, payload }).collect()
}

/// Everything that a tree says of its leaves is what the model says.
fn check_tree(tree: &Tree<u32>, model: &Model) {
    assert_eq!(tree.len(), model.len());
    assert_eq!(tree.is_empty(), model.is_empty());
    assert_eq!(tree.iter().copied().collect::<Vec<_>>(), leaves(model));
    assert_eq!(*tree.root().as_bytes(), naive_root(&pairs(model), 0));
}

/// What a tree answers about one key is what the model says, down to each byte of the proof.
fn check_key(tree: &Tree<u32>, model: &Model, key: &MapKey) {
    assert_eq!(tree.get(key), model.get(key).map(|(value, payload)| (value, payload)));
    let proof = tree.prove(key);
    let (kind, depth, siblings) = naive_path(&pairs(model), key);
    assert_eq!((*proof.kind(), proof.depth()), (kind, depth));
    let written: Vec<Hash> =
        siblings.iter().filter(|(_, hash)| *hash != [0; 32]).map(|(_, hash)| Hash::from_bytes(*hash)).collect();
    assert_eq!(proof.siblings(), written);
    for (level, hash) in siblings {
        assert_eq!(proof.bitmap()[level / 8] >> (7 - level % 8) & 1 == 1, hash != [0; 32]);
    }
    check_verdicts(&proof, key, model.get(key).map(|(value, _)| value), &tree.root());
    let parts = (*proof.kind(), proof.depth(), proof.siblings().to_vec(), proof.bitmap().to_vec());
    assert_eq!(Proof::new(parts.0, parts.1, parts.2, parts.3), Ok(proof));
}

fn check_verdicts(proof: &Proof, key: &MapKey, value: Option<&MapValue>, root: &Hash) {
    let other_root = Hash::from_bytes(sha256(&[root.as_bytes()]));
    if let Some(value) = value {
        assert_eq!(proof.verify_included(key, value, root), Ok(()));
        let wrong = proof.verify_included(key, value, &other_root);
        assert_eq!(wrong, Err(MapProofError::Root { expected: other_root, actual: *root }));
        assert_eq!(proof.verify_absent(key, root), Err(MapProofError::NotAbsent));
    } else {
        assert_eq!(proof.verify_absent(key, root), Ok(()));
        let wrong = proof.verify_absent(key, &other_root);
        assert_eq!(wrong, Err(MapProofError::Root { expected: other_root, actual: *root }));
        assert_eq!(proof.verify_included(key, &MapValue::ZERO, root), Err(MapProofError::NotIncluded));
    }
}

// --- random operations ---

fn numbered(number: u32) -> (MapKey, MapValue) {
    let key = sha256(&[format!("key {number}").as_bytes()]);
    let value = sha256(&[format!("value {number}").as_bytes()]);
    (MapKey::from_bytes(key), MapValue::from_bytes(value))
}

/// Half are spread evenly; half differ from one key in one or two bits only, so that they share prefixes of all lengths.
fn any_key() -> impl Strategy<Value = MapKey> {
    let spread = (0..200_u32).prop_map(|number| numbered(number).0);
    let close = (any::<u8>(), any::<u8>()).prop_map(|(first, second)| {
        let mut bytes = *numbered(0).0.as_bytes();
        bytes[usize::from(first) / 8] ^= 0x80 >> (first % 8);
        bytes[usize::from(second) / 8] ^= 0x80 >> (second % 8);
        MapKey::from_bytes(bytes)
    });
    // Many leaves with one long prefix: inner nodes that have no sibling.
    let dense = any::<u8>().prop_map(|last| {
        let mut bytes = *numbered(0).0.as_bytes();
        bytes[31] = last;
        MapKey::from_bytes(bytes)
    });
    prop_oneof![2 => spread, 1 => close, 1 => dense]
}

fn any_change() -> impl Strategy<Value = Change<u32>> {
    let content = prop_oneof![3 => any::<u32>().prop_map(Some), 2 => Just(None)];
    (any_key(), content).prop_map(|(key, content)| (key, content.map(|payload| (numbered(payload).1, payload))))
}

fn apply(model: &mut Model, batch: &[Change<u32>]) {
    for (key, content) in batch {
        match content {
            Some(content) => model.insert(*key, *content),
            None => model.remove(key),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_do_what_the_twin_does(
        batches in prop::collection::vec(prop::collection::vec(any_change(), 0..60), 1..12),
        asked in prop::collection::vec(any_key(), 12),
        snapshots in any::<bool>(),
    ) {
        let (mut tree, mut model) = (Tree::new(), Model::new());
        let mut kept = Vec::new();
        for batch in batches {
            if snapshots {
                kept.push((tree.clone(), model.clone()));
            }
            apply(&mut model, &batch);
            tree.update(batch);
            check_tree(&tree, &model);
        }
        prop_assert_eq!(Tree::build(leaves(&model)).root(), tree.root());
        for key in asked.iter().chain(model.keys().take(20)) {
            check_key(&tree, &model, key);
        }
        for (snapshot, model) in kept {
            check_tree(&snapshot, &model);
        }
    }

    #[test]
    fn a_tree_emptied_is_as_new(mut keys in prop::collection::vec(any_key(), 0..100)) {
        let mut tree = Tree::build(keys.iter().map(|&key| Leaf { key, value: MapValue::ZERO, payload: () }).collect());
        keys.sort();
        keys.dedup();
        prop_assert_eq!(tree.len(), keys.len());
        for (at, key) in keys.iter().enumerate() {
            tree.update(vec![(*key, None)]);
            let left: Vec<_> = keys[at + 1..].iter().map(|key| (*key, MapValue::ZERO)).collect();
            prop_assert_eq!(*tree.root().as_bytes(), naive_root(&left, 0));
        }
        prop_assert!(tree.is_empty() && tree.root().is_zero());
    }
}

#[test]
fn every_size_to_600_built_at_once_and_leaf_by_leaf() {
    let (mut tree, mut model) = (Tree::new(), Model::new());
    check_tree(&tree, &model);
    for number in 0..600 {
        let (key, value) = numbered(number);
        model.insert(key, (value, number));
        tree.update(vec![(key, Some((value, number)))]);
        check_tree(&tree, &model);
        let unsorted = (0..=number).map(|payload| {
            let (key, value) = numbered(payload);
            Leaf { key, value, payload }
        });
        assert_eq!(Tree::build(unsorted.collect()).root(), tree.root());
        for asked in [number, number / 2, number + 1, 5000] {
            check_key(&tree, &model, &numbered(asked).0);
        }
    }
}

#[test]
fn of_several_changes_to_one_key_the_last_counts() {
    let (key, value) = numbered(1);
    let (_, other) = numbered(2);
    let mut tree = Tree::new();
    tree.update(vec![(key, Some((other, 1))), (key, None), (key, Some((value, 2)))]);
    assert_eq!((tree.len(), tree.get(&key)), (1, Some((&value, &2))));
    tree.update(vec![(key, Some((other, 3))), (key, None)]);
    assert!(tree.is_empty());
    let twice = [(other, 1), (value, 2)].map(|(value, payload)| Leaf { key, value, payload });
    assert_eq!(Tree::build(twice.to_vec()).get(&key), Some((&value, &2)));
}

#[test]
fn two_keys_that_differ_in_the_last_bit_lie_at_depth_256() {
    let (first, value) = numbered(0);
    let mut bytes = *first.as_bytes();
    bytes[31] ^= 1;
    let second = MapKey::from_bytes(bytes);
    let model = Model::from([(first, (value, 0)), (second, (MapValue::ZERO, 1))]);
    let tree = Tree::build(leaves(&model));
    check_tree(&tree, &model);
    assert_eq!(tree.prove(&first).depth(), 256);
    assert_eq!(tree.prove(&first).siblings().len(), 1);
    for key in [first, second, numbered(1).0] {
        check_key(&tree, &model, &key);
    }
    // A key that leaves the others on the way ends in an empty subtree.
    bytes[20] ^= 1;
    assert_eq!(*tree.prove(&MapKey::from_bytes(bytes)).kind(), ProofKind::Empty);
    check_key(&tree, &model, &MapKey::from_bytes(bytes));
}

#[test]
fn trees_go_to_other_threads() {
    fn shareable<T: Send + Sync + Clone>() {}
    shareable::<Tree<std::sync::Arc<Vec<u8>>>>();
}

// --- one case for each way that a proof can be wrong ---

/// A proof of depth 4 with one sibling omitted, the tree's root, and the included key with its value.
fn sound() -> (Proof, Hash, MapKey, MapValue) {
    let keys = [0b0101_0000, 0b0100_0000, 0b1000_0000].map(|first| {
        let mut bytes = [0; 32];
        bytes[0] = first;
        MapKey::from_bytes(bytes)
    });
    let value = numbered(0).1;
    let tree = Tree::build(keys.map(|key| Leaf { key, value, payload: () }).to_vec());
    let proof = tree.prove(&keys[0]);
    assert_eq!((proof.depth(), proof.bitmap(), proof.siblings().len()), (4, &[0b1001_0000][..], 2));
    assert_eq!(proof.verify_included(&keys[0], &value, &tree.root()), Ok(()));
    (proof, tree.root(), keys[0], value)
}

fn rebuilt(depth: u16, siblings: &[Hash], bitmap: &[u8]) -> Result<Proof, MapProofError> {
    Proof::new(ProofKind::Included, depth, siblings.to_vec(), bitmap.to_vec())
}

#[test]
fn structure_is_refused() {
    let (proof, ..) = sound();
    let siblings = proof.siblings();
    let refused = |depth, siblings: &[Hash], bitmap: &[u8]| rebuilt(depth, siblings, bitmap).unwrap_err();
    assert_eq!(rebuilt(4, siblings, &[0x90]), Ok(proof.clone()));
    assert_eq!(refused(257, siblings, &[0; 33]), MapProofError::Depth { depth: 257 });
    assert_eq!(refused(u16::MAX, siblings, &[0; 8192]), MapProofError::Depth { depth: u16::MAX });
    assert_eq!(refused(4, siblings, &[]), MapProofError::BitmapLength { expected: 1, actual: 0 });
    assert_eq!(refused(4, siblings, &[0x90, 0]), MapProofError::BitmapLength { expected: 1, actual: 2 });
    assert_eq!(refused(0, &[], &[0]), MapProofError::BitmapLength { expected: 0, actual: 1 });
    assert_eq!(refused(9, siblings, &[0x90]), MapProofError::BitmapLength { expected: 2, actual: 1 });
    for beyond in [8, 4, 2, 1] {
        assert_eq!(refused(4, siblings, &[0x80 | beyond]), MapProofError::BitmapBit { depth: 4 });
    }
    assert_eq!(refused(4, &siblings[..1], &[0x90]), MapProofError::SiblingCount { expected: 2, actual: 1 });
    let left_over = [siblings, &siblings[..1]].concat();
    assert_eq!(refused(4, &left_over, &[0x90]), MapProofError::SiblingCount { expected: 2, actual: 3 });
    let written = [siblings[0], Hash::ZERO, siblings[1]];
    assert_eq!(refused(4, &written, &[0xb0]), MapProofError::ZeroSibling { place: 1 });
    assert!(rebuilt(256, &[], &[0; 32]).is_ok());
    assert!(rebuilt(8, siblings, &[0x81]).is_ok());
}

#[test]
fn a_proof_changed_anywhere_leads_to_another_root() {
    let (proof, root, key, value) = sound();
    let siblings = proof.siblings().to_vec();
    let wrong_root = |proof: Proof, key: &MapKey, value: &MapValue| {
        assert!(
            matches!(proof.verify_included(key, value, &root), Err(MapProofError::Root { expected, .. }) if expected == root)
        );
    };
    wrong_root(proof.clone(), &key, &numbered(1).1);
    wrong_root(proof.clone(), &numbered(1).0, &value);
    wrong_root(rebuilt(4, &[siblings[1], siblings[0]], &[0x90]).unwrap(), &key, &value);
    wrong_root(rebuilt(4, &siblings, &[0xa0]).unwrap(), &key, &value);
    wrong_root(rebuilt(3, &siblings, &[0xa0]).unwrap(), &key, &value);
    wrong_root(rebuilt(5, &siblings, &[0x90]).unwrap(), &key, &value);
    for at in 0..2 {
        let mut siblings = siblings.clone();
        siblings[at] = Hash::from_bytes(sha256(&[b"another"]));
        wrong_root(rebuilt(4, &siblings, &[0x90]).unwrap(), &key, &value);
    }
}

#[test]
fn an_other_leaf_that_shows_no_absence_is_refused() {
    let (proof, root, key, value) = sound();
    let other = |other: MapKey| {
        let kind = ProofKind::Other { key: other, value };
        Proof::new(kind, 4, proof.siblings().to_vec(), proof.bitmap().to_vec()).unwrap()
    };
    // The leaf is there, and so the root is right: only these checks stand in the way.
    assert_eq!(other(key).verify_absent(&key, &root), Err(MapProofError::OtherIsKey));
    for differs in 0..4_u16 {
        let mut bytes = *key.as_bytes();
        bytes[0] ^= 0x80 >> differs;
        let refused = other(key).verify_absent(&MapKey::from_bytes(bytes), &root);
        assert_eq!(refused, Err(MapProofError::OtherPrefix { depth: 4, shared: differs }));
    }
    let mut bytes = *key.as_bytes();
    bytes[0] ^= 0x08;
    assert_eq!(other(key).verify_absent(&MapKey::from_bytes(bytes), &root), Ok(()));
}

// --- the vectors ---

fn vectors(file: &str) -> Option<Value> {
    let Some(path) = common::shared(&format!("vectors/soulchain/{file}")) else {
        println!("skipped: no {file}");
        return None;
    };
    Some(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap_or_else(|| panic!("{member} in {object}"))
}

fn key_of(object: &Value) -> MapKey {
    MapKey::from_hex(text(object, "key")).unwrap()
}

fn value_of(object: &Value) -> Option<MapValue> {
    object["value"].as_str().map(|hex| MapValue::from_hex(hex).unwrap())
}

fn root_of(object: &Value) -> Hash {
    Hash::from_hex(text(object, "root")).unwrap()
}

/// `None` for what is no proof even in form: a stand-in for the decoder of another layer.
fn decode(json: &Value) -> Option<Proof> {
    let members = json.as_object()?;
    let kind = match json["kind"].as_str()? {
        "included" => ProofKind::Included,
        "empty" => ProofKind::Empty,
        "other" => ProofKind::Other { key: MapKey::from_hex(json["key"].as_str()?)?, value: value_of(json)? },
        _ => return None,
    };
    if members.len() != 4 + 2 * usize::from(matches!(kind, ProofKind::Other { .. })) {
        return None;
    }
    let depth = u16::try_from(json["depth"].as_u64()?).ok()?;
    let siblings = json["siblings"].as_array()?.iter().map(|hex| Hash::from_hex(hex.as_str()?));
    let bitmap = soulchain::encoding::hex_decode(json["bitmap"].as_str()?)?;
    Proof::new(kind, depth, siblings.collect::<Option<_>>()?, bitmap).ok()
}

fn verdict(proof: &Proof, key: &MapKey, value: Option<&MapValue>, root: &Hash) -> Result<(), MapProofError> {
    match value {
        Some(value) => proof.verify_included(key, value, root),
        None => proof.verify_absent(key, root),
    }
}

fn check_proofs(tree: &Tree<u32>, set: &Value) -> usize {
    assert_eq!(tree.root(), root_of(set));
    let cases = set["proofs"].as_array().unwrap();
    for case in cases {
        let (key, value) = (key_of(case), value_of(case));
        let proof = decode(&case["proof"]).unwrap();
        assert_eq!(tree.prove(&key), proof, "{case}");
        assert_eq!(tree.get(&key).map(|(value, _)| *value), value);
        check_verdicts(&proof, &key, value.as_ref(), &tree.root());
    }
    cases.len()
}

fn first_numbered(count: &Value) -> Tree<u32> {
    let leaf = |payload| {
        let (key, value) = numbered(payload);
        Leaf { key, value, payload }
    };
    Tree::build((0..count.as_u64().unwrap() as u32).map(leaf).collect())
}

#[test]
fn vector_trees() {
    let Some(vectors) = vectors("map.json") else { return };
    let checked: usize =
        vectors["trees"].as_array().unwrap().iter().map(|set| check_proofs(&first_numbered(&set["n"]), set)).sum();
    assert_eq!(checked, 41);
}

#[test]
fn vector_deep() {
    let Some(vectors) = vectors("map.json") else { return };
    let leaf = |pair: &Value| Leaf {
        key: MapKey::from_hex(pair[0].as_str().unwrap()).unwrap(),
        value: MapValue::from_hex(pair[1].as_str().unwrap()).unwrap(),
        payload: 0,
    };
    let set = &vectors["deep"];
    let tree = Tree::build(set["items"].as_array().unwrap().iter().map(leaf).collect());
    assert_eq!(check_proofs(&tree, set), 3);
}

#[test]
fn vector_refusals() {
    let Some(vectors) = vectors("map.json") else { return };
    let set = &vectors["refuse"];
    assert_eq!(first_numbered(&set["n"]).root(), root_of(set));
    let cases = set["cases"].as_array().unwrap();
    for case in cases {
        let accepted = decode(&case["proof"])
            .is_some_and(|proof| verdict(&proof, &key_of(case), value_of(case).as_ref(), &root_of(set)).is_ok());
        assert!(!accepted, "{}", text(case, "why"));
    }
    assert!(cases.len() >= 13);
}

/// A whole log's records, batch by batch, against the roots of its trailers.
#[test]
fn vector_chain() {
    let Some(vectors) = vectors("chain.json") else { return };
    let mut tree = Tree::new();
    let mut held = BTreeMap::new();
    for batch in vectors["batches"].as_array().unwrap() {
        let (mut dropped, mut set) = (Vec::new(), Vec::new());
        for bytes in batch["records"].as_object().unwrap().values() {
            add_record(bytes.as_str().unwrap(), &mut held, &mut dropped, &mut set);
        }
        // A name that passes from one to the other is both: what is set comes last, and counts.
        tree.update([dropped, set].concat());
        assert_eq!(tree.root().to_hex(), text(batch, "map_root"));
        assert_eq!(held.len() as u64, batch["identities"].as_u64().unwrap());
    }
    assert!(held.values().any(|names| names.len() > 1), "no record with a domain name");
}

/// Adds a record's leaf, those of the names that it bears, and the end of those that it bore before.
fn add_record(
    bytes: &str,
    held: &mut BTreeMap<MapKey, Vec<String>>,
    dropped: &mut Vec<Change<u32>>,
    set: &mut Vec<Change<u32>>,
) {
    let record: Value = serde_json::from_str(bytes).unwrap();
    let identity: [u8; 32] = soulchain::encoding::hex_decode(text(&record, "identity")).unwrap().try_into().unwrap();
    let key = identity_key(&identity);
    set.push((key, Some((identity_value(bytes.as_bytes()), 0))));
    let domains = record["domains"].as_array().into_iter().flatten();
    let names: Vec<String> = domains.chain([&record["name"]]).filter_map(Value::as_str).map(str::to_owned).collect();
    set.extend(names.iter().map(|name| (name_key(name), Some((name_value(&identity), 0)))));
    let before = held.insert(key, names).unwrap_or_default();
    dropped.extend(before.iter().map(|name| (name_key(name), None)));
}
