//! What a registry is put together from after a restart: identities with their leaves, and the keys that were used.
//!
//! A [`Shelf`] takes identities in any order, and several may be filled at once, each on a thread of its own: the hashing
//! of records is most of the work.

use core::mem;
use std::collections::HashSet;

use super::snapshot::{Held, Leaf};
use super::state::IdentityState;
use crate::map::{self, Leaves, identity_key, identity_value, name_key, name_value};
use crate::merkle::LeafIndex;
use crate::soul::{Identity, Kid};

/// Identities that were read back, as leaves of the state map.
#[derive(Debug, Default)]
pub struct Shelf {
    leaves: Leaves<Leaf>,
    len: u64,
    used: KeyRows,
    /// Who may have an overlay as a registrar on whom.
    overlaid: Vec<(Identity, Identity)>,
    /// Room for the bytes of a record.
    record: Vec<u8>,
}

impl Shelf {
    /// Takes an identity in the bytes that [`IdentityState::to_bytes`] gave, and tells which it is and where it was
    /// founded; `None` where they are not such bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Option<(Identity, LeafIndex)> {
        let state = IdentityState::from_bytes(bytes)?;
        self.put(&state, bytes);
        Some((state.record.identity, state.record.standing.genesis_index))
    }

    /// Takes a key that was used, ever.
    pub fn take_key(&mut self, kid: Kid) {
        self.used.push(kid);
    }

    /// Makes room for `times` as many identities as are there.
    pub fn expect_times(&mut self, times: usize) {
        self.leaves.reserve(self.leaves.len() * times);
    }

    /// Takes an identity that has these bytes.
    pub(super) fn put(&mut self, state: &IdentityState, bytes: &[u8]) {
        let (identity, standing) = (state.record.identity, &*state.record.standing);
        self.record.clear();
        state.record.write(&mut self.record);
        let (key, value) = (identity_key(identity.as_bytes()), identity_value(&self.record));
        self.leaves.push(map::Leaf { key, value, payload: Leaf::Identity(Held::packed(bytes)) });
        for name in standing.name.iter().chain(&standing.domains) {
            let (key, value) = (name_key(name), name_value(identity.as_bytes()));
            self.leaves.push(map::Leaf { key, value, payload: Leaf::Name(identity) });
        }
        self.overlaid.extend(state.private.by_registrars.iter().map(|(issuer, _)| (*issuer, identity)));
        self.len += 1;
    }

    /// Number of identities.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn take_used(&mut self) -> KeyRows {
        mem::take(&mut self.used)
    }

    pub(super) fn take_overlaid(&mut self) -> Vec<(Identity, Identity)> {
        mem::take(&mut self.overlaid)
    }

    pub(super) fn into_leaves(self) -> Leaves<Leaf> {
        self.leaves
    }
}

/// Keys in rows by their first byte, which take no more room than the keys do. Their ids are hashes, so the rows are
/// about as long as each other.
#[derive(Debug)]
pub(super) struct KeyRows {
    rows: Vec<Vec<Kid>>,
    /// Which row got the last key: the next one will be about as long.
    last: usize,
}

/// A row for each first byte that a key id may have.
const ROWS: usize = 256;

impl Default for KeyRows {
    fn default() -> Self {
        Self { rows: vec![Vec::new(); ROWS], last: 0 }
    }
}

impl KeyRows {
    fn push(&mut self, kid: Kid) {
        let at = row_of(&kid);
        if self.rows[at].is_empty() {
            let usual = self.rows[self.last].len();
            self.rows[at].reserve(usual + usual / 8);
        }
        self.rows[at].push(kid);
        self.last = at;
    }

    /// Takes what is in others. A row that only one of them has is not copied: it is a good part of all memory.
    fn append(&mut self, other: Self) {
        for (row, more) in self.rows.iter_mut().zip(other.rows) {
            if row.is_empty() {
                *row = more;
            } else {
                row.extend(more);
            }
        }
    }

    fn sort(&mut self) {
        for row in self.rows.iter_mut().filter(|row| !row.is_sorted()) {
            row.sort_unstable();
        }
    }
}

fn row_of(kid: &Kid) -> usize {
    usize::from(kid.as_bytes()[0])
}

/// Keys that were used: those of a restart in sorted rows, and later ones.
#[derive(Debug)]
pub(super) struct Used {
    before: KeyRows,
    since: HashSet<Kid>,
}

impl Used {
    /// These keys, and those from shelves.
    pub(super) fn of(kids: Vec<Kid>, shelved: impl Iterator<Item = KeyRows>) -> Self {
        let mut before = KeyRows::default();
        shelved.for_each(|rows| before.append(rows));
        for kid in kids {
            before.push(kid);
        }
        before.sort();
        Self { before, since: HashSet::new() }
    }

    pub(super) fn contains(&self, kid: &Kid) -> bool {
        self.since.contains(kid) || self.was_there_before(kid)
    }

    fn was_there_before(&self, kid: &Kid) -> bool {
        self.before.rows[row_of(kid)].binary_search(kid).is_ok()
    }

    /// Adds a key; whether it is new.
    pub(super) fn insert(&mut self, kid: Kid) -> bool {
        !self.was_there_before(&kid) && self.since.insert(kid)
    }

    /// Takes back what [`insert`](Self::insert) added.
    pub(super) fn remove(&mut self, kid: &Kid) {
        self.since.remove(kid);
    }

    /// All of them, in order.
    pub(super) fn sorted(&self) -> Vec<Kid> {
        let mut kids: Vec<Kid> = self.before.rows.iter().flatten().chain(&self.since).copied().collect();
        kids.sort_unstable();
        kids
    }
}
