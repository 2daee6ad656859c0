//! The fold itself: the state as of the newest trailer, and the batch on top of it.
//!
//! Rules are in `admit`, effects in `apply`, trailers in `seal`; here is what they read and how a change is undone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::batch::{Batch, Mark, Statement, Undo};
use super::history::{History, PastLink};
use super::refusal::Refusal;
use super::shelf::{Shelf, Used};
use super::signer::signer_key;
use super::snapshot::{Known, Leaf, Office, Snapshot};
use super::state::IdentityState;
use crate::encoding::UnixMillis;
use crate::map::Tree;
use crate::merkle::TreeSize;
use crate::soul::{Body, Curr, Header, Identity, Kid, LogId, RawKey, Seqno};

/// The state of a log: `fold(apply, entries)` (formats.md §6), as far as it has been given the entries.
#[derive(Debug)]
pub struct Registry {
    pub(super) log_id: LogId,
    pub(super) committed: Snapshot,
    pub(super) batch: Batch,
    pub(super) office: Arc<Office>,
    pub(super) identities: u64,
    /// Every key that was ever listed or signed as `recovery`.
    pub(super) used_keys: Used,
    /// Links that were retracted.
    pub(super) retracted: HashSet<Curr>,
    /// Receipts and feedback that stand.
    pub(super) statements: HashSet<Statement>,
    /// By issuer, the subjects on which it may have an overlay as a registrar: all that do, and perhaps others.
    pub(super) overlaid: HashMap<Identity, HashSet<Identity>>,
}

/// All that a registry is made from after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Every identity.
    pub identities: Vec<IdentityState>,
    /// Every key that was ever used.
    pub used_keys: Vec<Kid>,
    /// Every link that was retracted.
    pub retracted: Vec<Curr>,
    /// Every receipt and feedback that stands.
    pub statements: Vec<Statement>,
    /// Who holds office.
    pub office: Office,
    /// That of the newest trailer.
    pub log_time: UnixMillis,
    /// Size of the log up to that trailer.
    pub size: TreeSize,
}

impl Registry {
    /// The state of a log without entries.
    pub fn new(log_id: LogId) -> Self {
        Self::restore(log_id, Parts::default())
    }

    /// The state as of a trailer. Whether the parts are what they claim is for the caller to see from the map's root.
    pub fn restore(log_id: LogId, mut parts: Parts) -> Self {
        let mut shelf = Shelf::default();
        for state in core::mem::take(&mut parts.identities) {
            shelf.put(&state, &state.to_bytes());
        }
        Self::restore_shelved(log_id, parts, vec![shelf], 1)
    }

    /// The same, where the identities lie on shelves: those of the parts are none. Keys may lie in both. The map is built on `threads` threads.
    pub fn restore_shelved(log_id: LogId, parts: Parts, mut shelves: Vec<Shelf>, threads: usize) -> Self {
        debug_assert!(parts.identities.is_empty(), "they are on the shelves");
        let identities = shelves.iter().map(Shelf::len).sum();
        let mut overlaid: HashMap<Identity, HashSet<Identity>> = HashMap::new();
        for (issuer, subject) in shelves.iter_mut().flat_map(Shelf::take_overlaid) {
            overlaid.entry(issuer).or_default().insert(subject);
        }
        let office = Arc::new(parts.office);
        let used_keys = Used::of(parts.used_keys, shelves.iter_mut().map(Shelf::take_used));
        let tree = Tree::gather(shelves.into_iter().map(Shelf::into_leaves).collect(), threads);
        Self {
            log_id,
            committed: Snapshot {
                tree,
                office: office.clone(),
                identities,
                log_time: parts.log_time,
                size: parts.size,
            },
            batch: Batch::default(),
            office,
            identities,
            used_keys,
            retracted: parts.retracted.into_iter().collect(),
            statements: parts.statements.into_iter().collect(),
            overlaid,
        }
    }

    /// The state as of the newest trailer in parts, each sorted, for a store that is made anew.
    ///
    /// `None` while links were applied that no trailer seals.
    pub fn parts(&self) -> Option<Parts> {
        if !self.batch.touched.is_empty() {
            return None;
        }
        let identities = self.committed.tree.iter().filter_map(|leaf| match &leaf.payload {
            Leaf::Identity(held) => Some(Arc::unwrap_or_clone(held.state())),
            Leaf::Name(_) => None,
        });
        Some(Parts {
            identities: identities.collect(),
            used_keys: self.used_keys.sorted(),
            retracted: sorted(&self.retracted),
            statements: sorted(&self.statements),
            office: Office::clone(&self.office),
            log_time: self.committed.log_time,
            size: self.committed.size,
        })
    }

    /// The state as of the newest trailer.
    pub const fn committed(&self) -> &Snapshot {
        &self.committed
    }

    /// An identity as of now.
    pub fn identity(&self, identity: &Identity) -> Option<Known<'_>> {
        match self.batch.touched.get(identity) {
            Some(working) => Some(Known::Here(&working.state)),
            None => self.committed.identity(identity).map(Known::Held),
        }
    }

    /// Who holds a name as of now.
    pub fn name(&self, name: &str) -> Option<Identity> {
        match self.batch.names.get(name) {
            Some(holder) => *holder,
            None => self.committed.name(name),
        }
    }

    /// Who holds office as of now.
    pub fn office(&self) -> &Office {
        &self.office
    }

    /// Number of records as of now.
    pub const fn identities(&self) -> u64 {
        self.identities
    }

    /// Log time.
    pub const fn log_time(&self) -> UnixMillis {
        self.committed.log_time
    }

    /// The key that has to have signed this link, as of now.
    pub fn signer_key(&self, header: &Header, body: &Body) -> Result<RawKey, Refusal> {
        signer_key(header, body, self.identity(&header.identity).as_deref())
    }

    /// A link of the past or of this batch.
    pub fn link_at(&self, identity: &Identity, seqno: Seqno, history: &dyn History) -> Option<PastLink> {
        self.batch.link_at(identity, seqno).or_else(|| history.link_at(identity, seqno))
    }

    /// A point to [`undo`](Self::undo) to. It is of no use after the batch was sealed.
    pub const fn mark(&self) -> Mark {
        Mark(self.batch.undo.len())
    }

    /// Takes back everything that was applied since `mark`.
    pub fn undo(&mut self, mark: Mark) {
        while self.batch.undo.len() > mark.0 {
            let Some(undo) = self.batch.undo.pop() else { return };
            self.undo_one(undo);
        }
    }

    fn undo_one(&mut self, undo: Undo) {
        match undo {
            Undo::Link(identity, was) => self.batch.put_back(&identity, was, true),
            Undo::State(identity, was) => self.batch.put_back(&identity, was, false),
            Undo::Founded => self.identities -= 1,
            Undo::Name(name, Some(holder)) => drop(self.batch.names.insert(name, holder)),
            Undo::Name(name, None) => drop(self.batch.names.remove(&name)),
            Undo::Key(kid) => self.used_keys.remove(&kid),
            Undo::Retracted(curr) => drop(self.retracted.remove(&curr)),
            Undo::Stands(statement) => drop(self.statements.remove(&statement)),
            Undo::Fell(statement) => drop(self.statements.insert(statement)),
            Undo::Office(office) => self.office = office,
        }
    }
}

fn sorted<T: Copy + Ord>(set: &HashSet<T>) -> Vec<T> {
    let mut items: Vec<T> = set.iter().copied().collect();
    items.sort_unstable();
    items
}
