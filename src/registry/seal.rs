//! Trailers: the batch becomes the state as of a trailer (formats.md §7).
//!
//! A log of one's own seals, or follows the trailer that it wrote; whoever checks a log compares first, and a faulty
//! trailer leaves everything as it was: it gives no log time and seals nothing.

use std::sync::Arc;

use super::batch::{Batch, Statement, Undo, Working};
use super::fold::Registry;
use super::history::PastLink;
use super::snapshot::{Held, Leaf, Office, Snapshot};
use super::state::IdentityState;
use crate::encoding::UnixMillis;
use crate::map::{Change, Tree, identity_value, name_key, name_value};
use crate::merkle::LeafIndex;
use crate::soul::{Curr, Identity, Kid, Seqno, Trailer};

/// What a batch changed, for a store.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Identities that links touched, as they are now.
    pub identities: Vec<Arc<IdentityState>>,
    /// Names and who holds them now.
    pub names: Vec<(String, Option<Identity>)>,
    /// Keys used for the first time.
    pub used_keys: Vec<Kid>,
    /// Links retracted.
    pub retracted: Vec<Curr>,
    /// Statements in the order in which they came to stand (`true`) or were taken back.
    pub statements: Vec<(Statement, bool)>,
    /// Who holds office now, where that changed.
    pub office: Option<Arc<Office>>,
    /// The links of each chain that got any, in order up to its head, which is at this seqno.
    pub links: Vec<(Identity, Seqno, Vec<PastLink>)>,
}

/// Why a trailer is faulty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TrailerFault {
    /// The bytes are no trailer.
    Malformed,
    /// It follows a trailer.
    FollowsTrailer,
    /// It does not cover exactly what is before it.
    Covers(LeafIndex),
    /// Its time is not after the newest trailer's.
    LogTime(UnixMillis),
    /// The number of records is this one.
    Identities(u64),
    /// The root of the state map is this one.
    MapRoot([u8; 32]),
}

/// The state map as it would be after a trailer.
struct Folded {
    tree: Tree<Leaf>,
    identities: Vec<Arc<IdentityState>>,
}

impl Registry {
    /// Ends the batch with a trailer at `index`; `now` is the log's clock, later than the newest trailer's.
    pub fn seal(&mut self, index: LeafIndex, now: UnixMillis) -> (Trailer, Changes) {
        let folded = self.folded(now);
        let map_root = *folded.tree.root().as_bytes();
        let trailer = Trailer { covers: index, map_root, identities: self.identities, log_time: now };
        (trailer, self.commit(folded, &trailer))
    }

    /// Follows a trailer of one's own log without checking it; what the map's root came to is in
    /// [`committed`](Self::committed).
    pub fn follow(&mut self, trailer: &Trailer) -> Changes {
        let folded = self.folded(trailer.log_time);
        self.commit(folded, trailer)
    }

    /// Follows the trailer at `index` if all that it says is true.
    pub fn check_trailer(&mut self, index: LeafIndex, trailer: &Trailer) -> Result<Changes, TrailerFault> {
        if trailer.covers != index {
            return Err(TrailerFault::Covers(trailer.covers));
        }
        if trailer.log_time <= self.log_time() {
            return Err(TrailerFault::LogTime(trailer.log_time));
        }
        if trailer.identities != self.identities {
            return Err(TrailerFault::Identities(self.identities));
        }
        let folded = self.folded(trailer.log_time);
        let map_root = *folded.tree.root().as_bytes();
        if trailer.map_root != map_root {
            return Err(TrailerFault::MapRoot(map_root));
        }
        Ok(self.commit(folded, trailer))
    }

    /// The state map with the batch in it: each record is written, and each node hashed, once.
    fn folded(&self, log_time: UnixMillis) -> Folded {
        let mut identities = Vec::with_capacity(self.batch.touched.len());
        let mut record = Vec::new();
        let mut changes: Vec<Change<Leaf>> = Vec::with_capacity(self.batch.touched.len() + self.batch.names.len());
        for working in self.batch.touched.values() {
            let mut state = working.state.clone();
            if working.untimed {
                state.settle(log_time);
            }
            record.clear();
            state.record.write(&mut record);
            let (value, state) = (identity_value(&record), Arc::new(state));
            let held = if is_founding(working) { Held::packed(&state.to_bytes()) } else { Held::open(state.clone()) };
            changes.push((working.key, Some((value, Leaf::Identity(held)))));
            identities.push(state);
        }
        changes.extend(self.batch.names.iter().map(|(name, holder)| {
            let held = holder.map(|holder| (name_value(holder.as_bytes()), Leaf::Name(holder)));
            (name_key(name), held)
        }));
        let mut tree = self.committed.tree.clone();
        tree.update(changes);
        Folded { tree, identities }
    }

    fn commit(&mut self, folded: Folded, trailer: &Trailer) -> Changes {
        let batch = core::mem::take(&mut self.batch);
        self.committed = Snapshot {
            tree: folded.tree,
            office: self.office.clone(),
            identities: self.identities,
            log_time: trailer.log_time,
            size: trailer.covers.size_with(),
        };
        changes(folded.identities, batch, &self.office)
    }
}

/// Whether the identity has one link alone, of this batch: many of those never make another.
fn is_founding(working: &Working) -> bool {
    working.links.len() == 1 && working.state.record.head.seqno == Seqno::FIRST
}

fn changes(identities: Vec<Arc<IdentityState>>, batch: Batch, office: &Arc<Office>) -> Changes {
    let touched = batch.touched.into_iter();
    let links = touched.map(|(identity, working)| (identity, working.state.record.head.seqno, working.links));
    let links = links.filter(|(_, _, links)| !links.is_empty()).collect();
    let mut changes = Changes { identities, names: batch.names.into_iter().collect(), links, ..Changes::default() };
    for undo in batch.undo {
        match undo {
            Undo::Key(kid) => changes.used_keys.push(kid),
            Undo::Retracted(curr) => changes.retracted.push(curr),
            Undo::Stands(statement) => changes.statements.push((statement, true)),
            Undo::Fell(statement) => changes.statements.push((statement, false)),
            Undo::Office(_) => changes.office = Some(office.clone()),
            Undo::Link(..) | Undo::State(..) | Undo::Founded | Undo::Name(..) => {}
        }
    }
    changes
}

impl TrailerFault {
    /// The word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "trailer_malformed",
            Self::FollowsTrailer => "trailer_follows_trailer",
            Self::Covers(_) => "trailer_covers",
            Self::LogTime(_) => "trailer_log_time",
            Self::Identities(_) => "trailer_identities",
            Self::MapRoot(_) => "trailer_map_root",
        }
    }
}

impl core::fmt::Display for TrailerFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("the bytes are no trailer"),
            Self::FollowsTrailer => f.write_str("the trailer follows a trailer"),
            Self::Covers(covers) => write!(f, "the trailer claims to cover {covers} entries"),
            Self::LogTime(time) => write!(f, "the trailer's time {time} is not after the one before"),
            Self::Identities(count) => write!(f, "there are {count} records, not as many as the trailer says"),
            Self::MapRoot(root) => {
                write!(f, "the map's root is {}, not the trailer's", crate::encoding::hex_encode(root))
            }
        }
    }
}

impl std::error::Error for TrailerFault {}
