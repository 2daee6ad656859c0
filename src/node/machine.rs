//! The registry as the engine's machine.
//!
//! The engine calls it from the sequencer alone. Everything that reads a disk has happened before: signatures are
//! checked, and what a link asks of the past comes with it as [`Facts`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::about::{self, Mentions};
use super::facts::{Facts, Known};
use super::held::{Chain, HOLD_MS, Holds, Kind};
use super::recent::Recent;
use super::rows::{ProfileRow, Retracted, Row, Rows};
use super::stored;
use crate::encoding::UnixMillis;
use crate::log::{self, Batch, Entry, Machine, Past, ReplayError, SideBody, Weight};
use crate::merkle::LeafIndex;
use crate::registry::{Changes, Head, IdentityState, Refusal, Registry, Snapshot};
use crate::soul::{
    Body, Curr, Identity, LINK_ENTRY_KIND, Link, LogId, ReadLink, Seqno, TRAILER_ENTRY_KIND, Trailer, VerifiedLink,
};
use crate::storage::{StorageError, ViewBatch, Views};

/// Links of one chain, consecutive, that are appended whole or not at all.
pub struct Group {
    /// The links, in order.
    pub(crate) links: Vec<Checked>,
}

/// A link that is ready for the sequencer.
pub(crate) struct Checked {
    pub(crate) link: VerifiedLink,
    pub(crate) facts: Facts,
    /// The link as it goes into the log.
    pub(crate) entry: Entry,
}

/// Where a link was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of its entry.
    pub index: LeafIndex,
    /// Its id.
    pub curr: Curr,
    /// Its place in the chain.
    pub seqno: Seqno,
}

/// Why a group was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of its links.
    pub at: usize,
    /// Why that one was.
    pub cause: Cause,
}

/// Why a link was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It breaks a rule.
    Rule {
        /// Which.
        refusal: Refusal,
        /// It is a key event that came too late, and its chain is held for it from now on.
        holds: bool,
        /// What it names may have been logged since it was resolved: that is to be done again.
        outdated: bool,
    },
    /// Its chain is held for a key event.
    Held {
        /// For so long.
        wait_ms: u64,
    },
}

/// What readers see at one size.
#[derive(Clone, Default)]
pub struct NodeState {
    pub(crate) snapshot: Snapshot,
    pub(crate) rows: Rows,
    pub(crate) retracted: Retracted,
}

/// The registry, and what the node derives beside it.
pub struct RegistryMachine {
    log_id: LogId,
    registry: Registry,
    rows: Rows,
    retracted: Retracted,
    /// Rows of identities that links of this batch touched.
    pending: HashMap<Identity, Row>,
    /// Links of this batch about others.
    mentions: about::Pending,
    now: UnixMillis,
    changed: stored::Changed,
    recent: Recent,
    holds: Holds,
}

impl RegistryMachine {
    /// The machine of an empty log.
    pub fn new(log_id: LogId) -> Self {
        Self {
            log_id,
            registry: Registry::new(log_id),
            rows: Rows::new(),
            retracted: Retracted::new_sync(),
            pending: HashMap::new(),
            mentions: about::Pending::default(),
            now: UnixMillis::ZERO,
            changed: stored::Changed::default(),
            recent: Recent::default(),
            holds: Holds::default(),
        }
    }

    fn try_admit(&mut self, group: Group, batch: &mut Batch) -> Result<Vec<Position>, Refused> {
        let mut placed = Vec::with_capacity(group.links.len());
        for (at, Checked { link, facts, entry }) in group.links.into_iter().enumerate() {
            let (curr, seqno) = (link.curr(), link.header().seqno);
            let known = Known { facts: &facts, recent: &self.recent };
            let index = match self.registry.logged(curr, link.header(), &known) {
                Some(index) => index,
                None => self.append(at, (link, entry), &facts, batch).map_err(|cause| Refused { at, cause })?,
            };
            placed.push(Position { index, curr, seqno });
        }
        Ok(placed)
    }

    fn append(
        &mut self,
        at: usize,
        (link, entry): (VerifiedLink, Entry),
        facts: &Facts,
        batch: &mut Batch,
    ) -> Result<LeafIndex, Cause> {
        let index = batch.next_index();
        let chain = self.chain(link.header().identity);
        if let Some(until) = self.held_until(chain.as_ref(), &link) {
            return Err(Cause::Held { wait_ms: until.since(self.now) });
        }
        let known = Known { facts, recent: &self.recent };
        let admitted = match self.registry.admit(index, &link, &known, self.now) {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(self.refuse(at, index, &link, facts, refusal)),
        };
        self.registry.apply(&admitted);
        let (link, beside, body) = link.into_parts();
        let row = self.take_row(index, &link, &body);
        let beside = beside.map(|b| Arc::new(SideBody { salt: *b.salt.as_bytes(), bytes: Bytes::from(b.body) }));
        batch.push(entry, beside, row);
        Ok(index)
    }

    /// Where a chain stands, if it is there.
    fn chain(&self, identity: Identity) -> Option<Chain> {
        let state = self.registry.identity(&identity)?;
        Some(Chain { identity, key_head: state.record.standing.key_head })
    }

    fn held_until(&self, chain: Option<&Chain>, link: &VerifiedLink) -> Option<UnixMillis> {
        self.holds.held_until(chain?, Kind::of(link.header(), link.body()), self.now)
    }

    /// Why a link was refused, and what follows from that.
    fn refuse(&mut self, at: usize, index: LeafIndex, link: &VerifiedLink, facts: &Facts, refusal: Refusal) -> Cause {
        let known = Known { facts, recent: &self.recent };
        let mut outdated = known.may_be_outdated(&refusal, link.header(), self.registry.committed().size());
        let mut holds = false;
        if let Refusal::Conflict(Some(end)) = &refusal
            && at == 0
            && link.header().link_type.is_key_event()
            && link.header().seqno <= end.head.seqno
        {
            // Who outran it may have been sealed after it was resolved, or not yet.
            outdated = facts.occupant.is_none();
            holds = self.try_hold(index, link, facts);
        }
        Cause::Rule { refusal, holds, outdated }
    }

    /// Holds the chain of a key event that came too late, if nothing else is wrong with it.
    fn try_hold(&mut self, index: LeafIndex, link: &VerifiedLink, facts: &Facts) -> bool {
        let (header, known) = (link.header(), Known { facts, recent: &self.recent });
        let was_free = |sealed: UnixMillis| self.now.since(sealed) <= HOLD_MS;
        let is_late = facts.occupant.is_some_and(|occupant| occupant.was_open_to(header) && was_free(occupant.sealed));
        let Some(chain) = self.chain(header.identity).filter(|_| is_late) else { return false };
        self.registry.admit_elsewhere(index, link, &known, self.now).is_ok()
            && self.holds.place(&chain, link.curr(), Kind::of(header, link.body()), self.now)
    }

    /// Notes what the node keeps of a link that was just applied, and gives its row in the chain index.
    fn take_row(&mut self, index: LeafIndex, link: &Link, body: &Body) -> log::Row {
        let identity = chain_of(link);
        let about = about::subject_of(body).map_or(about::NOBODY, |subject| self.note_about(subject, index));
        let rows = &self.rows;
        let genesis = self.registry.identity(&identity).map(|state| state.record.standing.genesis_index);
        let row = self.pending.entry(identity).or_insert_with(|| {
            let kept = genesis.and_then(|genesis| rows.get(genesis));
            kept.map_or_else(|| Row::new(identity), Arc::unwrap_or_clone)
        });
        if link.header().link_type.is_key_event() {
            row.note_key_event(index);
        }
        if let (Body::Profile(_), Some(bytes)) = (body, link.body()) {
            row.profile = ProfileRow::parse(bytes).map(Arc::new);
        }
        row.path.push(link.header().seqno.get() - 1, index, about)
    }

    /// Notes a link about an identity, and gives the way to the one before.
    fn note_about(&mut self, subject: Identity, index: LeafIndex) -> u64 {
        let (registry, rows) = (&self.registry, &self.rows);
        self.mentions.push(subject, index, || {
            let genesis = registry.identity(&subject)?.record.standing.genesis_index;
            rows.get(genesis)?.about
        })
    }

    /// The batch is sealed: what it changed becomes what readers see.
    fn settle(&mut self, changes: Changes) {
        for (identity, row) in self.pending.drain() {
            self.rows.insert(genesis_of(self.registry.committed(), &identity), row);
        }
        for (subject, mentions) in self.mentions.take() {
            self.settle_mentions(subject, mentions);
        }
        for curr in &changes.retracted {
            self.retracted.insert_mut(*curr);
        }
        self.changed.take(changes);
    }

    fn settle_mentions(&mut self, subject: Identity, mentions: Mentions) {
        let genesis = genesis_of(self.registry.committed(), &subject);
        let row = self.rows.get(genesis).expect("a genesis makes the row of its identity, and what was loaded has it");
        self.rows.insert(genesis, Row { about: Some(mentions), ..Arc::unwrap_or_clone(row) });
        self.changed.mentions.insert(subject, mentions);
    }

    fn replay_link(&mut self, index: LeafIndex, entry: &[u8], past: &dyn Past) -> Result<log::Row, String> {
        let link = Link::parse_entry(entry).map_err(|error| error.to_string())?;
        let read = ReadLink::read(link, None, self.log_id).map_err(|error| error.to_string())?;
        self.check_place(&read)?;
        self.check_subject(&read)?;
        let facts = self.replay_facts(&read, past)?;
        let admitted = self.registry.trusted(index, &read, &facts);
        self.registry.apply(&admitted);
        Ok(self.take_row(index, read.link(), read.body()))
    }

    /// What applying a link needs of the links before this batch.
    fn replay_facts(&self, read: &ReadLink, past: &dyn Past) -> Result<Facts, String> {
        let head = self.registry.identity(&read.header().identity).map(|state| state.record.head);
        Facts::replayed(read, head.as_ref(), past)
    }

    /// Replay trusts what admission judged, but not that every link follows the one before it in its chain: a log of
    /// other rules must end in an error here.
    fn check_place(&self, read: &ReadLink) -> Result<(), String> {
        let header = read.header();
        let known = self.registry.identity(&chain_of(read.link()));
        let known = known.map(|state| (state.record.head, state.record.standing.key_head));
        let fits = match known {
            None => header.begins_chain(),
            Some((head, auth)) => {
                !header.begins_chain()
                    && header.seqno == head.seqno.next()
                    && header.prev == head.curr
                    && header.auth == auth
            }
        };
        if fits { Ok(()) } else { Err("it does not follow the link before it in its chain".to_owned()) }
    }

    /// And that whom it is about is there: nothing could be kept of it otherwise.
    fn check_subject(&self, read: &ReadLink) -> Result<(), String> {
        let subject = about::subject_of(read.body());
        let is_there = subject.is_none_or(|subject| self.registry.identity(&subject).is_some());
        if is_there { Ok(()) } else { Err("it is about an identity that is not there".to_owned()) }
    }

    fn replay_trailer(&mut self, index: LeafIndex, entry: &[u8]) -> Result<log::Row, String> {
        let trailer = Trailer::parse(entry).ok_or("it is no trailer")?;
        let changes = self.registry.check_trailer(index, &trailer).map_err(|fault| format!("{fault:?}"))?;
        self.settle(changes);
        Ok(log::Row::default())
    }
}

impl Machine for RegistryMachine {
    type Group = Group;
    type Answer = Vec<Position>;
    type Refusal = Refused;
    type State = NodeState;

    /// Log time strictly increases, by a millisecond at least.
    const LEAST_GAP: Duration = Duration::from_millis(1);

    fn weight(group: &Group) -> Weight {
        let bytes = |checked: &Checked| {
            checked.entry.bytes().len() + checked.link.beside().map_or(0, |beside| beside.body.len())
        };
        Weight { entries: group.links.len(), bytes: group.links.iter().map(bytes).sum() }
    }

    fn body_len(entry: &[u8]) -> Option<u32> {
        let link = Link::parse_entry(entry).ok()?;
        Some(link.header().body_len).filter(|_| !link.header().inline)
    }

    fn ends_batch(entry: &[u8]) -> bool {
        entry.first() == Some(&TRAILER_ENTRY_KIND)
    }

    fn least_time(&self) -> UnixMillis {
        self.registry.log_time().saturating_add(1)
    }

    fn begin(&mut self, now: UnixMillis) {
        self.now = now;
    }

    fn admit(&mut self, group: Group, batch: &mut Batch) -> Result<Vec<Position>, Refused> {
        // All links of a group are of one chain, so one row takes everything back but what they say about others.
        let Some(identity) = group.links.first().map(|checked| signed_chain(&checked.link)) else {
            return Ok(Vec::new());
        };
        let (mark, len, row) = (self.registry.mark(), batch.len(), self.pending.get(&identity).cloned());
        let mentions = self.mentions.mark();
        self.try_admit(group, batch).inspect_err(|_| {
            self.registry.undo(mark);
            batch.truncate(len);
            self.mentions.undo(mentions);
            match row {
                Some(row) => drop(self.pending.insert(identity, row)),
                None => drop(self.pending.remove(&identity)),
            }
        })
    }

    fn seal(&mut self, batch: &mut Batch) {
        let index = batch.next_index();
        let start = self.registry.committed().size();
        let (trailer, mut changes) = self.registry.seal(index, self.now);
        let sizes = (start, self.registry.committed().size());
        self.recent.push(sizes, self.now, std::mem::take(&mut changes.links));
        let entry = Entry::new(Bytes::copy_from_slice(&trailer.to_bytes())).expect("a trailer has 76 bytes");
        batch.push(entry, None, log::Row::default());
        self.settle(changes);
    }

    fn abandon(&mut self) {
        debug_assert!(
            self.pending.is_empty() && self.mentions.is_empty(),
            "a group that is refused leaves nothing behind"
        );
    }

    fn state(&mut self) -> NodeState {
        NodeState {
            snapshot: self.registry.committed().clone(),
            rows: self.rows.clone(),
            retracted: self.retracted.clone(),
        }
    }

    fn apply(&mut self, index: LeafIndex, entry: &[u8], past: &dyn Past) -> Result<log::Row, ReplayError> {
        let row = match entry.first() {
            Some(&LINK_ENTRY_KIND) => self.replay_link(index, entry, past),
            Some(&TRAILER_ENTRY_KIND) => self.replay_trailer(index, entry),
            _ => Err("it is of no known kind".to_owned()),
        };
        row.map_err(|what| ReplayError { index, what })
    }

    fn changes(&mut self) -> ViewBatch {
        let committed = self.registry.committed();
        std::mem::take(&mut self.changed).into_batch(committed, self.registry.office(), &self.rows)
    }

    fn load(&mut self, views: &dyn Views) -> Result<(), StorageError> {
        let loaded = stored::load(views, self.log_id)?;
        (self.registry, self.rows, self.retracted) = (loaded.registry, loaded.rows, loaded.retracted);
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::new(self.log_id);
    }

    fn check(&self, last_entry: Option<&[u8]>) -> Result<(), String> {
        let committed = self.registry.committed();
        let root = *committed.map().root().as_bytes();
        match last_entry.map(Trailer::parse) {
            Some(Some(trailer)) if trailer.map_root != root => {
                Err("the records do not lead to the map root in the last trailer".to_owned())
            }
            Some(Some(trailer))
                if (trailer.log_time, trailer.identities) != (committed.log_time(), committed.identities()) =>
            {
                Err("log time and number of identities are not those of the last trailer".to_owned())
            }
            None | Some(Some(_)) => Ok(()),
            Some(None) => Err("the log does not end with a trailer".to_owned()),
        }
    }
}

/// The chain that a link belongs to.
pub(crate) fn chain_of(link: &Link) -> Identity {
    if link.header().identity.is_zero() { Identity::from(link.curr()) } else { link.header().identity }
}

/// Where the chain of an identity begins of which the batch that was just sealed holds a link, or one about it.
fn genesis_of(committed: &Snapshot, identity: &Identity) -> LeafIndex {
    let state = committed.identity(identity);
    let state = state.expect("admission and replay take no link of an identity, or about one, that is not there");
    state.record.standing.genesis_index
}

fn signed_chain(link: &VerifiedLink) -> Identity {
    if link.header().identity.is_zero() { Identity::from(link.curr()) } else { link.header().identity }
}

impl NodeState {
    /// An identity.
    pub fn identity(&self, identity: &Identity) -> Option<Arc<IdentityState>> {
        self.snapshot.identity(identity)
    }

    /// Where the chain of an identity ends.
    pub(crate) fn head(&self, identity: &Identity) -> Option<Head> {
        self.identity(identity).map(|state| state.record.head)
    }

    /// Log time.
    pub fn log_time(&self) -> UnixMillis {
        self.snapshot.log_time()
    }

    /// Number of identities.
    pub fn identities(&self) -> u64 {
        self.snapshot.identities()
    }

    /// Who holds office.
    pub fn office(&self) -> &crate::registry::Office {
        self.snapshot.office()
    }

    /// What the node keeps of an identity.
    pub(crate) fn row(&self, state: &IdentityState) -> Option<Arc<Row>> {
        self.rows.get(state.record.standing.genesis_index)
    }
}
