//! Logs of any maker, by hand: trees, notes, requests.

use soulchain::encoding::b64_encode;
use soulchain::hash::Hash;
use soulchain::merkle::{
    EMPTY_ROOT, NodeId, Subtree, TreeSize, consistency_plan, leaf_hash, node_hash, root_plan, subtree_consistency_plan,
};
use soulchain::tlog::{Cosigner, Ed25519Signer, KeyName, Note, Timestamp};

/// A log with an Ed25519 key.
pub(crate) struct TestLog {
    pub(crate) origin: String,
    pub(crate) key: Ed25519Signer,
    pub(crate) tree: Tree,
}

/// A tree whose leaves follow from a word, and from another word from some leaf on.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) word: String,
    pub(crate) fork: Option<(u64, String)>,
}

impl Tree {
    fn node(&self, node: NodeId) -> Hash {
        if node.level > 0 {
            let child = |index| self.node(NodeId { level: node.level - 1, index });
            return node_hash(&child(2 * node.index), &child(2 * node.index + 1));
        }
        let word = self.fork.as_ref().filter(|(from, _)| node.index >= *from).map_or(&self.word, |(_, word)| word);
        leaf_hash(format!("{word} {}", node.index).as_bytes())
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        if size == 0 {
            return EMPTY_ROOT;
        }
        root_plan(TreeSize::new(size)).root(|node| Ok::<_, ()>(self.node(node))).unwrap()
    }

    /// Empty where there is nothing to prove.
    pub(crate) fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        if old == 0 || old >= new {
            return Vec::new();
        }
        let plan = consistency_plan(TreeSize::new(old), TreeSize::new(new)).unwrap();
        plan.path(|node| Ok::<_, ()>(self.node(node))).unwrap()
    }

    pub(crate) fn subtree(&self, start: u64, end: u64) -> Hash {
        let shifted = |node: NodeId| NodeId { level: node.level, index: node.index + (start >> node.level) };
        root_plan(TreeSize::new(end - start)).root(|node| Ok::<_, ()>(self.node(shifted(node)))).unwrap()
    }

    pub(crate) fn subtree_proof(&self, start: u64, end: u64, size: u64) -> Vec<Hash> {
        let subtree = Subtree::new(start, TreeSize::new(end)).unwrap();
        let plan = subtree_consistency_plan(subtree, TreeSize::new(size)).unwrap();
        plan.path(|node| Ok::<_, ()>(self.node(node))).unwrap()
    }
}

impl TestLog {
    pub(crate) fn new(origin: &str) -> Self {
        let key = key(origin, origin);
        Self { origin: origin.into(), key, tree: Tree { word: origin.into(), fork: None } }
    }

    /// The same log, which shows something else from a leaf on.
    pub(crate) fn forked(&self, from: u64) -> Self {
        let tree = Tree { fork: Some((from, "other".into())), ..self.tree.clone() };
        Self { origin: self.origin.clone(), key: self.key.clone(), tree }
    }

    pub(crate) fn line(&self) -> String {
        format!("log {}\n", self.key.vkey())
    }

    pub(crate) fn text(&self, size: u64) -> String {
        text(&self.origin, size, &self.tree.root(size))
    }

    pub(crate) fn checkpoint(&self, size: u64) -> String {
        Note::sign(&self.text(size), &self.key).unwrap().to_string()
    }

    /// An honest request.
    pub(crate) fn request(&self, old: u64, size: u64) -> Vec<u8> {
        request(old, &self.tree.proof(old, size), &self.checkpoint(size))
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        soulchain::hash::sha256(&[self.origin.as_bytes()])
    }
}

pub(crate) fn key(name: &str, word: &str) -> Ed25519Signer {
    Ed25519Signer::from_seed(KeyName::parse(name).unwrap(), &seed(word))
}

pub(crate) fn ml_dsa_key(name: &str, word: &str) -> Cosigner {
    Cosigner::ml_dsa_from_seed(KeyName::parse(name).unwrap(), &seed(word)).unwrap()
}

pub(crate) fn seed(word: &str) -> [u8; 32] {
    soulchain::hash::sha256(&[b"seed ", word.as_bytes()])
}

pub(crate) fn text(origin: &str, size: u64, root: &Hash) -> String {
    format!("{origin}\n{size}\n{}\n", b64_encode(root.as_bytes()))
}

pub(crate) fn request(old: u64, proof: &[Hash], checkpoint: &str) -> Vec<u8> {
    let proof: String = proof.iter().map(|hash| b64_encode(hash.as_bytes()) + "\n").collect();
    format!("old {old}\n{proof}\n{checkpoint}").into_bytes()
}

pub(crate) fn time(seconds: u64) -> Timestamp {
    Timestamp::new(seconds).unwrap()
}
