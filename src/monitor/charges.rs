//! Evidence made of what was found: from the log's own files, and from copies of them where those are gone.

use super::copies::Copies;
use super::memory::KnownFault;
use super::store::Store;
use crate::audit::{Source, SourceError, consistency, entries, inclusion};
use crate::hash::{Hash, sha256};
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{LinkName, Replay};
use crate::soul::{Body, Identity, Link, LogId, Seqno, TRAILER_ENTRY_KIND};
use crate::tlog::{Policy, TlogProof, Vkey};
use crate::verify::{
    BadEntry, BadReplay, Doubt, Evidence, Extra, INSTANT_KEY_LABEL, LinkExtra, MAX_EVIDENCE_ENTRIES_LEN,
    MAX_KEY_EVENTS, NamedKey, OneSigned, Placed, Unsealed, broken_by_one, broken_by_two, convict,
};

/// A log's files, copies of some, and the checkpoint under which they are looked at.
pub(super) struct Files<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) store: &'a dyn Store,
    pub(super) checkpoint: &'a OneSigned,
    pub(super) log_id: LogId,
}

/// How far before a trailer its predecessor is looked for, in entries.
const LOOK_BACK: u64 = 512;

/// What comes of an attempt to make evidence.
pub(super) enum Made {
    /// It convinces whoever has the log's keys.
    Evidence(Box<Evidence>),
    /// What is served is the log's, and shows no such thing.
    Refuted,
    /// What would show it is not served, or is not the log's.
    NotNow,
}

/// What would show something is not served.
pub(super) struct Unserved;

type Fetched<T> = Result<Option<T>, SourceError>;

impl Files<'_> {
    /// The root that the checkpoint's tree has at an earlier size, and the path: by what is served, else by copies.
    pub(super) fn prefix(&self, old: TreeSize) -> Fetched<(Hash, Vec<Hash>)> {
        let tree = self.checkpoint.tree();
        let served = consistency(self.source, old, tree);
        if matches!(served, Ok(Some(_))) {
            return served;
        }
        let copies = Copies { source: self.source, store: self.store };
        match consistency(&copies, old, tree) {
            Ok(Some(copied)) => Ok(Some(copied)),
            _ => served,
        }
    }

    /// The last entry, with its path.
    pub(super) fn unsealed(&self) -> Fetched<Evidence> {
        let Some(last) = self.checkpoint.tree().0.get().checked_sub(1) else { return Ok(None) };
        let placed = self.placed(LeafIndex::new(last))?;
        Ok(placed.map(|last| Evidence::Unsealed(Unsealed { checkpoint: self.checkpoint.clone(), last })))
    }

    /// Evidence of a fault: by one entry, by two, or by all up to it.
    pub(super) fn fault(&self, fault: &KnownFault, replay: Option<&Replay>) -> Fetched<Evidence> {
        let Some(entry) = self.placed(LeafIndex::new(fault.index))? else { return Ok(None) };
        if let Some(broken) = broken_by_one(self.log_id, entry.index, &entry.entry) {
            return Ok(Some(self.bad_entry(broken.code, entry, None)));
        }
        let mut before = earlier(&entry, replay);
        if entry.entry.first() == Some(&TRAILER_ENTRY_KIND) {
            before.extend(self.trailers_before(entry.index)?);
        }
        for earlier in before {
            let Some(earlier) = self.placed(earlier)? else { continue };
            if let Some(broken) = broken_by_two(self.log_id, &earlier, &entry) {
                return Ok(Some(self.bad_entry(broken.code, entry, Some(earlier))));
            }
        }
        self.bad_replay(fault)
    }

    /// The trailers among the entries just before one.
    fn trailers_before(&self, index: LeafIndex) -> Result<Vec<LeafIndex>, SourceError> {
        let first = index.get().saturating_sub(LOOK_BACK);
        let (mut at, mut trailers) = (first, Vec::new());
        entries(self.source, LeafIndex::new(first), self.checkpoint.tree().0, |entry| {
            if at < index.get() && entry.first() == Some(&TRAILER_ENTRY_KIND) {
                trailers.push(LeafIndex::new(at));
            }
            at += 1;
            at < index.get()
        })?;
        Ok(trailers)
    }

    fn bad_entry(&self, code: &str, entry: Placed, beside: Option<Placed>) -> Evidence {
        Evidence::Entry(BadEntry { code: code.into(), checkpoint: self.checkpoint.clone(), entry, beside })
    }

    fn bad_replay(&self, fault: &KnownFault) -> Fetched<Evidence> {
        let size = TreeSize::new(fault.size);
        let Some((_, path)) = self.prefix(size)? else { return Ok(None) };
        let (mut taken, mut len) = (Vec::new(), 0);
        entries(self.source, LeafIndex::new(0), self.checkpoint.tree().0, |entry| {
            len += entry.len() + 2;
            taken.push(entry);
            taken.len() < fault.size as usize && len <= MAX_EVIDENCE_ENTRIES_LEN
        })?;
        let is_short = len <= MAX_EVIDENCE_ENTRIES_LEN;
        let are_all = taken.len() as u64 == fault.size && is_short;
        if is_short && !are_all {
            // Not all of them are served now. Without them nobody could verify it.
            return Ok(None);
        }
        Ok(Some(Evidence::Replay(BadReplay {
            code: fault.code.clone(),
            index: LeafIndex::new(fault.index),
            checkpoint: self.checkpoint.clone(),
            size,
            path,
            entries: are_all.then_some(taken),
        })))
    }

    fn placed(&self, index: LeafIndex) -> Fetched<Placed> {
        let Some(entry) = self.entry(index)? else { return Ok(None) };
        let path = inclusion(self.source, index, &entry, self.checkpoint.tree())?;
        Ok(path.map(|path| Placed { index, entry, path }))
    }

    fn entry(&self, index: LeafIndex) -> Fetched<Vec<u8>> {
        let mut found = None;
        entries(self.source, index, self.checkpoint.tree().0, |entry| {
            found = Some(entry);
            false
        })?;
        Ok(found)
    }

    /// The proof that the log's own identity named a key: its first profile that does, and its key events; `None` where it
    /// named none.
    pub(super) fn named(&self, vkey: &Vkey, replay: &Replay) -> Result<Option<NamedKey>, Unserved> {
        let digest = sha256(&[vkey.to_string().as_bytes()]);
        let Some(registrar) = replay.registry().office().registrar else { return Ok(None) };
        let (mut key_events, mut found) = (Vec::new(), None);
        // The first profile: a later one binds only what was promised after it.
        for index in chain(replay, registrar) {
            let entry = self.entry(index)?.ok_or(Unserved)?;
            let link = Link::parse_entry(&entry).map_err(|_| Unserved)?;
            let kind = link.header().link_type;
            if kind.is_key_event() {
                key_events.push(entry);
            } else if let Ok(Body::Profile(profile)) = Body::parse(kind, link.body())
                && profile.hashes.iter().any(|(label, hash)| label == INSTANT_KEY_LABEL && *hash == digest)
            {
                found = Some((index, entry));
                break;
            }
            if key_events.len() > MAX_KEY_EVENTS {
                break;
            }
        }
        let Some((index, entry)) = found else { return Ok(None) };
        let path = inclusion(self.source, index, &entry, self.checkpoint.tree())?.ok_or(Unserved)?;
        let first = LeafIndex::new(0);
        let genesis = key_events.first().ok_or(Unserved)?;
        let genesis_path = inclusion(self.source, first, genesis, self.checkpoint.tree())?.ok_or(Unserved)?;
        let extra = Extra::Link(LinkExtra { entry, disclosed: None, key_events, state: None }).to_bytes();
        let proof = TlogProof::new(Some(extra), index, path, self.checkpoint.get().clone()).ok();
        Ok(proof.map(|proof| NamedKey { vkey: vkey.clone(), proof, genesis_path }))
    }
}

impl Made {
    /// Judges what was fetched as those will to whom it is shown. So bytes count that are shown to be under a root which the
    /// log signed, whoever served them, and whatever they were when they were read first.
    pub(super) fn of(fetched: Fetched<Evidence>, policy: &Policy) -> Self {
        let Ok(Some(evidence)) = fetched else { return Self::NotNow };
        match convict(&evidence, policy) {
            Ok(_) | Err(Doubt::EntriesElsewhere) => Self::Evidence(Box::new(evidence)),
            Err(Doubt::NotBroken | Doubt::Sealed | Doubt::NoFork) => Self::Refuted,
            Err(_) => Self::NotNow,
        }
    }
}

impl From<SourceError> for Unserved {
    fn from(_: SourceError) -> Self {
        Self
    }
}

/// Earlier entries beside which one may show to be wrong.
fn earlier(entry: &Placed, replay: Option<&Replay>) -> Vec<LeafIndex> {
    let Some(replay) = replay else { return Vec::new() };
    let mut earlier: Vec<_> = entry.index.get().checked_sub(1).map(LeafIndex::new).into_iter().collect();
    let Ok(link) = Link::parse_entry(&entry.entry) else { return earlier };
    let name = LinkName::of(&link);
    earlier.extend(replay.history().link_at(&name.identity, name.seqno).map(|link| link.index));
    if let Some(Ok(Body::Genesis(genesis))) = link.body().map(|body| Body::parse(link.header().link_type, Some(body)))
        && let Some(holder) = genesis.name.as_deref().and_then(|name| replay.registry().name(name))
        && let Some(state) = replay.registry().identity(&holder)
    {
        earlier.push(state.record.standing.genesis_index);
    }
    earlier
}

/// Where the links of a chain are, in order.
fn chain(replay: &Replay, identity: Identity) -> impl Iterator<Item = LeafIndex> {
    let mut seqno = Seqno::FIRST;
    core::iter::from_fn(move || {
        let link = replay.history().link_at(&identity, seqno)?;
        seqno = seqno.next();
        Some(link.index)
    })
}
