//! What a monitor runs: the entries of a log in order, judged as the log should have judged them (formats.md §5, §7).
//!
//! It keeps the whole past in memory, reports each entry that breaks a rule and goes on without it, and stops at a
//! policy of later rules, since from there it cannot judge. Where the entries come from, and whether the tree is the
//! one that witnesses signed, is for the caller: it has the tree's size and root.

use std::collections::HashMap;

use super::admit::CLOCK_LEEWAY_MS;
use super::fold::Registry;
use super::history::{History, PastLink};
use super::refusal::Refusal;
use super::seal::{Changes, TrailerFault};
use crate::ed25519::PublicKey;
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::{Frontier, LeafIndex, TreeSize, leaf_hash};
use crate::soul::{
    Body, Identity, Link, LinkType, LogId, Policy, ReadLink, Seqno, TRAILER_ENTRY_KIND, Trailer, newer_rules,
};

/// A log as a monitor has replayed it.
#[derive(Debug)]
pub struct Replay {
    registry: Registry,
    past: Past,
    frontier: Frontier,
    after_trailer: bool,
    /// Valid links since the newest valid trailer: index and time claimed.
    unsealed: Vec<(LeafIndex, UnixMillis)>,
    faults: Vec<Fault>,
    stopped: Option<Stop>,
}

/// An entry that an honest log would not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it is.
    pub index: LeafIndex,
    /// Which rule it breaks.
    pub reason: FaultReason,
}

/// Which rule an entry of a log breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultReason {
    /// A link that should not have been admitted; it has no effect.
    Link(Refusal),
    /// A link whose clock is more than 5 minutes ahead of its trailer's; it has its effect all the same.
    Late {
        /// The time of the trailer.
        sealed: UnixMillis,
    },
    /// A faulty trailer; it has no effect.
    Trailer(TrailerFault),
}

/// Where replay had to stop, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The policy that asks for later rules; it was not applied.
    pub index: LeafIndex,
    /// Their version.
    pub rules: u64,
}

/// The past of a log in memory.
#[derive(Debug, Default)]
struct Past {
    links: HashMap<Identity, Vec<PastLink>>,
    /// Valid trailers: index and log time.
    trailers: Vec<(LeafIndex, UnixMillis)>,
    roots: HashMap<TreeSize, Hash>,
}

impl Replay {
    /// A log without entries.
    pub fn new(log_id: LogId) -> Self {
        Self {
            registry: Registry::new(log_id),
            past: Past::default(),
            frontier: Frontier::new(),
            after_trailer: false,
            unsealed: Vec::new(),
            faults: Vec::new(),
            stopped: None,
        }
    }

    /// Takes the next entry. What a valid trailer sealed is handed back.
    ///
    /// Once replay has stopped, entries are no longer taken, and the stop is the error.
    pub fn push(&mut self, entry: &[u8]) -> Result<Option<Changes>, Stop> {
        if let Some(stop) = self.stopped {
            return Err(stop);
        }
        let index = self.frontier.size().next_index();
        if let Some(stop) = self.beyond_rules(index, entry) {
            self.stopped = Some(stop);
            return Err(stop);
        }
        self.frontier.push(leaf_hash(entry));
        let is_trailer = entry.first() == Some(&TRAILER_ENTRY_KIND);
        let sealed = if is_trailer { self.take_trailer(index, entry) } else { self.take_link(index, entry) };
        self.after_trailer = is_trailer;
        Ok(sealed)
    }

    /// The state so far.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The past so far, sealed or not.
    pub fn history(&self) -> &dyn History {
        &self.past
    }

    /// Number of entries taken.
    pub const fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// Root of their tree.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// What was found so far; a link that is late shows only with its trailer.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Where it had to stop.
    pub const fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    fn take_link(&mut self, index: LeafIndex, entry: &[u8]) -> Option<Changes> {
        if let Err(refusal) = self.try_link(index, entry) {
            self.faults.push(Fault { index, reason: FaultReason::Link(refusal) });
        }
        None
    }

    fn try_link(&mut self, index: LeafIndex, entry: &[u8]) -> Result<(), Refusal> {
        let link = Link::parse_entry(entry).map_err(crate::soul::Refusal::from)?;
        let link = ReadLink::read(link, None, self.registry.log_id)?;
        let link = self.registry.verify(link)?;
        let admitted = self.registry.judge(index, &link, &self.past)?;
        self.registry.apply(&admitted);
        self.unsealed.push((index, link.header().ctime));
        let chain = match link.body() {
            Body::Genesis(_) => Identity::from(link.curr()),
            _ => link.header().identity,
        };
        self.past.links.entry(chain).or_default().push(admitted.as_past());
        Ok(())
    }

    fn take_trailer(&mut self, index: LeafIndex, entry: &[u8]) -> Option<Changes> {
        match self.try_trailer(index, entry) {
            Ok((trailer, changes)) => {
                let size = index.size_with();
                self.past.trailers.push((index, trailer.log_time));
                self.past.roots.insert(size, self.frontier.root());
                self.report_late(trailer.log_time);
                Some(changes)
            }
            Err(fault) => {
                self.faults.push(Fault { index, reason: FaultReason::Trailer(fault) });
                None
            }
        }
    }

    fn try_trailer(&mut self, index: LeafIndex, entry: &[u8]) -> Result<(Trailer, Changes), TrailerFault> {
        let trailer = Trailer::parse(entry).ok_or(TrailerFault::Malformed)?;
        if self.after_trailer {
            return Err(TrailerFault::FollowsTrailer);
        }
        let changes = self.registry.check_trailer(index, &trailer)?;
        Ok((trailer, changes))
    }

    fn report_late(&mut self, sealed: UnixMillis) {
        let limit = sealed.saturating_add(CLOCK_LEEWAY_MS);
        for (index, ctime) in self.unsealed.drain(..) {
            if ctime > limit {
                self.faults.push(Fault { index, reason: FaultReason::Late { sealed } });
            }
        }
    }

    /// Whether this entry is a policy that sets rules which are not known here (formats.md §4, `rules`).
    fn beyond_rules(&self, index: LeafIndex, entry: &[u8]) -> Option<Stop> {
        let link = Link::parse_entry(entry).ok()?;
        let header = link.header();
        if header.link_type != LinkType::Policy || header.log_id != self.registry.log_id || !link.matches_commit() {
            return None;
        }
        let rules = newer_rules(link.body()?)?;
        // Its body cannot be read, and is not: who signs a policy, and where, does not depend on what it says.
        let body = Body::Policy(Policy::default());
        let (_, signer) = self.registry.check_chain(header, &body).ok()?;
        link.is_signed_by(&PublicKey::from_bytes(&signer)?).then_some(Stop { index, rules })
    }
}

impl History for Past {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        let at = usize::try_from(seqno.get().checked_sub(1)?).ok()?;
        self.links.get(identity)?.get(at).copied()
    }

    fn root_at(&self, size: TreeSize) -> Option<Hash> {
        self.roots.get(&size).copied()
    }

    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        let at = self.trailers.partition_point(|(trailer, _)| *trailer <= index);
        self.trailers.get(at).map(|(_, time)| *time)
    }
}

impl core::fmt::Display for FaultReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Link(refusal) => refusal.fmt(f),
            Self::Late { sealed } => {
                write!(f, "ctime_ms is more than 5 minutes ahead of the trailer that seals it ({sealed})")
            }
            Self::Trailer(fault) => fault.fmt(f),
        }
    }
}
