//! The fold itself: the state as of the newest trailer, and the batch on top of it.
//!
//! Rules are in `admit`, effects in `apply`, trailers in `seal`; here is what they read and how a change is undone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::batch::{Batch, Mark, Statement, Undo};
use super::history::{History, PastLink};
use super::refusal::Refusal;
use super::signer::signer_key;
use super::snapshot::{Leaf, Office, Snapshot};
use super::state::IdentityState;
use crate::encoding::UnixMillis;
use crate::map::{Tree, identity_key, identity_value, name_key, name_value};
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
    pub(super) used_keys: HashSet<Kid>,
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
    pub fn restore(log_id: LogId, parts: Parts) -> Self {
        let identities = parts.identities.len() as u64;
        let overlaid = overlaid(&parts.identities);
        let office = Arc::new(parts.office);
        let tree = Tree::build(parts.identities.into_iter().flat_map(leaves).collect());
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
            used_keys: parts.used_keys.into_iter().collect(),
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
            Leaf::Identity(state) => Some(IdentityState::clone(state)),
            Leaf::Name(_) => None,
        });
        Some(Parts {
            identities: identities.collect(),
            used_keys: sorted(&self.used_keys),
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
    pub fn identity(&self, identity: &Identity) -> Option<&IdentityState> {
        match self.batch.touched.get(identity) {
            Some(working) => Some(&working.state),
            None => self.committed.identity(identity).map(|state| &**state),
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
        signer_key(header, body, self.identity(&header.identity))
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
            Undo::Key(kid) => drop(self.used_keys.remove(&kid)),
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

/// The leaves that an identity has in the state map: its own, its handle's and its domain names'.
fn leaves(state: IdentityState) -> Vec<crate::map::Leaf<Leaf>> {
    let record = &state.record;
    let (identity, standing) = (record.identity, record.standing.clone());
    let value = identity_value(&record.to_bytes());
    let own =
        crate::map::Leaf { key: identity_key(identity.as_bytes()), value, payload: Leaf::Identity(Arc::new(state)) };
    let names = standing.name.iter().chain(&standing.domains).map(|name| crate::map::Leaf {
        key: name_key(name),
        value: name_value(identity.as_bytes()),
        payload: Leaf::Name(identity),
    });
    core::iter::once(own).chain(names).collect()
}

fn overlaid(identities: &[IdentityState]) -> HashMap<Identity, HashSet<Identity>> {
    let mut subjects: HashMap<Identity, HashSet<Identity>> = HashMap::new();
    for state in identities {
        for (issuer, _) in &state.private.by_registrars {
            subjects.entry(*issuer).or_default().insert(state.record.identity);
        }
    }
    subjects
}
