//! RFC 6962, section 2.1, as it stands there: the naive twin of plans and frontier.

use std::cell::RefCell;
use std::collections::HashMap;

use soulchain::hash::{Hash, sha256};

/// The definitions; only that no root is computed twice.
#[derive(Default)]
pub(crate) struct Naive {
    roots: RefCell<HashMap<(u64, u64), Hash>>,
}

/// The entry at this index.
pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// The largest power of two smaller than `n`.
fn split(n: u64) -> u64 {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

impl Naive {
    /// `MTH(D[start:end])`.
    pub(crate) fn root(&self, start: u64, end: u64) -> Hash {
        if let Some(root) = self.roots.borrow().get(&(start, end)) {
            return *root;
        }
        let root = Hash::from_bytes(match end - start {
            0 => sha256(&[]),
            1 => sha256(&[&[0], &entry(start)]),
            n => {
                let k = start + split(n);
                sha256(&[&[1], self.root(start, k).as_bytes(), self.root(k, end).as_bytes()])
            }
        });
        self.roots.borrow_mut().insert((start, end), root);
        root
    }

    /// `PATH(m, D[start:end])`.
    pub(crate) fn path(&self, m: u64, start: u64, end: u64) -> Vec<Hash> {
        if end - start == 1 {
            return Vec::new();
        }
        let k = split(end - start);
        let (mut path, sibling) = if m < k {
            (self.path(m, start, start + k), self.root(start + k, end))
        } else {
            (self.path(m - k, start + k, end), self.root(start, start + k))
        };
        path.push(sibling);
        path
    }

    /// `SUBPROOF(m, D[start:end], b)`.
    pub(crate) fn subproof(&self, m: u64, start: u64, end: u64, b: bool) -> Vec<Hash> {
        if m == end - start {
            return if b { Vec::new() } else { vec![self.root(start, end)] };
        }
        let k = split(end - start);
        let (mut path, sibling) = if m <= k {
            (self.subproof(m, start, start + k, b), self.root(start + k, end))
        } else {
            (self.subproof(m - k, start + k, end, false), self.root(start, start + k))
        };
        path.push(sibling);
        path
    }

    /// `SUBTREE_SUBPROOF(from - start, to - start, D[start:end], b)` of draft-ietf-plants-merkle-tree-certs.
    pub(crate) fn subtree_proof(&self, (from, to): (u64, u64), start: u64, end: u64, b: bool) -> Vec<Hash> {
        if (from, to) == (start, end) {
            return if b { Vec::new() } else { vec![self.root(start, end)] };
        }
        let k = start + split(end - start);
        let (mut path, sibling) = if to <= k {
            (self.subtree_proof((from, to), start, k, b), self.root(k, end))
        } else if k <= from {
            (self.subtree_proof((from, to), k, end, b), self.root(start, k))
        } else {
            assert_eq!(from, start);
            (self.subtree_proof((k, to), k, end, false), self.root(start, k))
        };
        path.push(sibling);
        path
    }
}
