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

    pub(super) fn take_overlaid(&mut self) -> Vec<(Identity, Identity)> {
        mem::take(&mut self.overlaid)
    }

    pub(super) fn into_leaves(self) -> Leaves<Leaf> {
        self.leaves
    }
}

/// Keys that were used: those of a restart in a sorted row, which takes no more room than they do, and later ones.
#[derive(Debug, Default)]
pub(super) struct Used {
    before: Vec<Kid>,
    since: HashSet<Kid>,
}

impl Used {
    pub(super) fn of(mut kids: Vec<Kid>) -> Self {
        if !kids.is_sorted() {
            kids.sort_unstable();
        }
        kids.shrink_to_fit();
        Self { before: kids, since: HashSet::new() }
    }

    pub(super) fn contains(&self, kid: &Kid) -> bool {
        self.since.contains(kid) || self.before.binary_search(kid).is_ok()
    }

    /// Adds a key; whether it is new.
    pub(super) fn insert(&mut self, kid: Kid) -> bool {
        self.before.binary_search(&kid).is_err() && self.since.insert(kid)
    }

    /// Takes back what [`insert`](Self::insert) added.
    pub(super) fn remove(&mut self, kid: &Kid) {
        self.since.remove(kid);
    }

    /// All of them, in order.
    pub(super) fn sorted(&self) -> Vec<Kid> {
        let mut kids: Vec<Kid> = self.before.iter().chain(&self.since).copied().collect();
        kids.sort_unstable();
        kids
    }
}
