//! Foreign vectors, read where they lie.

use serde_json::Value;
use soulchain::encoding::b64_decode;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{
    LeafIndex, ProofError, Subtree, TreeSize, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};

use crate::common;

/// Runs all cases of a file: one passes if and only if the file says so, except for those that `differ`.
fn vectors(file: &str, cases: usize, differ: &[&str], verdict: impl Fn(&Case) -> Option<Result<(), ProofError>>) {
    let Some(path) = common::shared(&format!("vectors/rfc6962/{file}")) else {
        eprintln!("skipped: {file} is not at hand");
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let mut differing = 0;
    for line in text.lines() {
        let case = Case(serde_json::from_str(line).unwrap());
        let name = case.0["case"].as_str().unwrap();
        let differs = differ.iter().any(|tail| name.ends_with(&format!("/{tail}.json")));
        differing += usize::from(differs);
        let (found, refused) = (verdict(&case), case.0["wantErr"].as_bool().unwrap());
        assert_eq!(found == Some(Ok(())), refused == differs, "{name} {found:?}");
    }
    assert_eq!((text.lines().count(), differing), (cases, differ.len()));
}

struct Case(Value);

impl Case {
    fn int(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap()
    }

    fn index(&self) -> LeafIndex {
        LeafIndex::new(self.int("leafIdx"))
    }

    fn size(&self, field: &str) -> TreeSize {
        TreeSize::new(self.int(field))
    }

    fn subtree(&self) -> Option<Subtree> {
        Subtree::new(self.int("start"), self.size("end"))
    }

    fn hash(&self, field: &str) -> Option<Hash> {
        hash(&self.0[field])
    }

    fn path(&self) -> Option<Vec<Hash>> {
        self.0["proof"].as_array().into_iter().flatten().map(hash).collect()
    }
}

/// Where the vectors have some other text to be compared, the hash of it stands for it; nothing is no hash.
fn hash(value: &Value) -> Option<Hash> {
    let bytes = b64_decode(value.as_str().unwrap()).unwrap();
    let stand_in = || sha256(&[b"stands for", &bytes]);
    (!bytes.is_empty()).then(|| Hash::from_bytes(bytes.as_slice().try_into().unwrap_or_else(|_| stand_in())))
}

#[test]
fn vectors_of_inclusion() {
    vectors("inclusion.jsonl", 98, &[], |case| {
        let (leaf, path, root) = (case.hash("leafHash")?, case.path()?, case.hash("root")?);
        Some(verify_inclusion(&leaf, case.index(), case.size("treeSize"), &path, &root))
    });
}

#[test]
fn vectors_of_consistency() {
    // Refused there as useless; C2SP tlog-witness wants it accepted.
    let differ = ["size1-is-zero-and-size2-is-not-zero"];
    vectors("consistency.jsonl", 98, &differ, |case| {
        let (old_root, new_root, path) = (case.hash("root1")?, case.hash("root2")?, case.path()?);
        Some(verify_consistency(case.size("size1"), case.size("size2"), &old_root, &new_root, &path))
    });
}

#[test]
fn vectors_of_subtree_inclusion() {
    vectors("subtreeinclusion.jsonl", 204, &[], |case| {
        let (leaf, path, root) = (case.hash("leafHash")?, case.path()?, case.hash("root")?);
        Some(verify_subtree_inclusion(&leaf, case.index(), case.subtree()?, &path, &root))
    });
}

#[test]
fn vectors_of_subtree_consistency() {
    // An empty subtree is one in drafts later than the 03 that C2SP tlog-witness cites; it shows nothing of any tree.
    let differ = [
        "subtree-is-empty-sizes-are-equal-one-subtree-root-valid-proof-is-empty",
        "subtree-is-empty-sizes-are-equal-one-subtree-root-valid-tree-root-random-proof-is-empty",
        "subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-proof-is-empty",
        "subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-tree-root-random-proof-is-empty",
        "subtree-is-empty-subtree-root-valid-proof-is-empty",
        "subtree-is-empty-subtree-root-valid-tree-root-random-proof-is-empty",
    ];
    vectors("subtreeconsistency.jsonl", 118, &differ, |case| {
        let (old_root, new_root, path) = (case.hash("root1")?, case.hash("root2")?, case.path()?);
        Some(verify_subtree_consistency(case.subtree()?, case.size("size"), &old_root, &new_root, &path))
    });
}
