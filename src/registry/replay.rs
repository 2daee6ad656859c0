//! What a monitor runs: the entries of a log in order, judged as the log should have judged them (formats.md §5, §7).
//!
//! It keeps the whole past in memory, reports each entry that breaks a rule and goes on without it, and stops at a
//! policy of later rules, since from there it cannot judge. Where the entries come from, and whether the tree is the
//! one that witnesses signed, is for the caller: it has the tree's size and root.

use super::admit::CLOCK_LEEWAY_MS;
use super::fold::Registry;
use super::history::History;
use super::past::Past;
use super::prepared::{LinkName, Prepared, PreparedKind, later_rules};
use super::refusal::Refusal;
use super::seal::{Changes, TrailerFault};
use crate::ed25519::PublicKey;
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::{Frontier, LeafIndex, TreeSize, leaf_hash};
use crate::soul::{
    self, Body, Identity, Kid, Link, LogId, Policy, RawKey, ReadLink, TRAILER_ENTRY_KIND, Trailer, TriedLink,
    VerifiedLink,
};

/// A log as a monitor has replayed it.
#[derive(Debug)]
pub struct Replay {
    pub(super) registry: Registry,
    pub(super) past: Past,
    pub(super) frontier: Frontier,
    pub(super) after_trailer: bool,
    /// Valid links since the newest valid trailer, with the time that each claims.
    unsealed: Vec<(LeafIndex, LinkName, UnixMillis)>,
    faults: Vec<Fault>,
    stopped: Option<Stop>,
}

/// An entry that an honest log would not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it is.
    pub index: LeafIndex,
    /// The link as it names itself, where the entry is one.
    pub link: Option<LinkName>,
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

impl Replay {
    /// A log without entries.
    pub fn new(log_id: LogId) -> Self {
        Self::resumed(Registry::new(log_id), Past::default(), Frontier::new(), false)
    }

    /// A log up to a trailer that seals all of it.
    pub(super) const fn resumed(registry: Registry, past: Past, frontier: Frontier, after_trailer: bool) -> Self {
        Self { registry, past, frontier, after_trailer, unsealed: Vec::new(), faults: Vec::new(), stopped: None }
    }

    /// Takes the next entry. What a valid trailer sealed is handed back.
    ///
    /// Once replay has stopped, entries are no longer taken, and the stop is the error.
    pub fn push(&mut self, entry: &[u8]) -> Result<Option<Changes>, Stop> {
        self.not_stopped()?;
        let link = Link::parse_entry(entry);
        if let Ok(link) = &link
            && let Some(rules) = later_rules(link, self.registry.log_id)
        {
            self.stop_at(link, rules)?;
        }
        let index = self.frontier.push(leaf_hash(entry));
        let is_trailer = entry.first() == Some(&TRAILER_ENTRY_KIND);
        let sealed = if is_trailer {
            self.take_trailer(index, Trailer::parse(entry))
        } else {
            let name = link.as_ref().ok().map(LinkName::of);
            let verified = link.map_err(|error| soul::Refusal::from(error).into()).and_then(|link| self.verify(link));
            self.take_link(index, name, verified);
            None
        };
        self.after_trailer = is_trailer;
        Ok(sealed)
    }

    /// Takes the next entry, which was prepared: the same in less time.
    pub fn push_prepared(&mut self, entry: Prepared) -> Result<Option<Changes>, Stop> {
        self.not_stopped()?;
        if let PreparedKind::LaterRules { link, rules, .. } = &entry.kind
            && entry.log_id == self.registry.log_id
        {
            self.stop_at(link, *rules)?;
        }
        let index = self.frontier.push(entry.leaf_hash);
        let (read, sealed) = match entry.kind {
            PreparedKind::Trailer(trailer) => (None, self.take_trailer(index, trailer)),
            PreparedKind::LaterRules { read, .. } | PreparedKind::Link(read) => (Some(*read), None),
        };
        self.after_trailer = read.is_none();
        if let Some(read) = read {
            let verified = self.verify_tried(entry.log_id, read);
            self.take_link(index, entry.name, verified);
        }
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

    /// The right edge of their tree.
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The keys that may sign the next links.
    pub fn live_keys(&self) -> impl Iterator<Item = (Kid, RawKey)> {
        self.registry.committed().live_keys()
    }

    /// What was found so far; a link that is late shows only with its trailer.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The same, handed over: they are not kept.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        core::mem::take(&mut self.faults)
    }

    /// Where it had to stop.
    pub const fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    const fn not_stopped(&self) -> Result<(), Stop> {
        match self.stopped {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }

    fn take_link(&mut self, index: LeafIndex, name: Option<LinkName>, verified: Result<VerifiedLink, Refusal>) {
        if let Err(refusal) = verified.and_then(|link| self.admit(index, &link)) {
            self.faults.push(Fault { index, link: name, reason: FaultReason::Link(refusal) });
        }
    }

    fn verify(&self, link: Link) -> Result<VerifiedLink, Refusal> {
        self.registry.verify(ReadLink::read(link, None, self.registry.log_id)?)
    }

    fn verify_tried(&self, log_id: LogId, read: Result<TriedLink, soul::Refusal>) -> Result<VerifiedLink, Refusal> {
        if log_id != self.registry.log_id {
            return Err(Refusal::WrongLog(log_id));
        }
        let tried = read?;
        let signer = self.registry.signer_key(tried.link().header(), tried.link().body())?;
        Ok(tried.verify(&signer)?)
    }

    fn admit(&mut self, index: LeafIndex, link: &VerifiedLink) -> Result<(), Refusal> {
        let admitted = self.registry.judge(index, link, &self.past)?;
        self.registry.apply(&admitted);
        let header = link.header();
        let identity = match link.body() {
            Body::Genesis(_) => Identity::from(link.curr()),
            _ => header.identity,
        };
        self.unsealed.push((index, LinkName { identity, seqno: header.seqno }, header.ctime));
        self.past.push_link(identity, admitted.as_past());
        Ok(())
    }

    fn take_trailer(&mut self, index: LeafIndex, trailer: Option<Trailer>) -> Option<Changes> {
        match self.try_trailer(index, trailer) {
            Ok((trailer, changes)) => {
                self.past.push_trailer(index, trailer.log_time, self.frontier.root());
                self.report_late(trailer.log_time);
                Some(changes)
            }
            Err(fault) => {
                self.faults.push(Fault { index, link: None, reason: FaultReason::Trailer(fault) });
                None
            }
        }
    }

    fn try_trailer(&mut self, index: LeafIndex, trailer: Option<Trailer>) -> Result<(Trailer, Changes), TrailerFault> {
        let trailer = trailer.ok_or(TrailerFault::Malformed)?;
        if self.after_trailer {
            return Err(TrailerFault::FollowsTrailer);
        }
        let changes = self.registry.check_trailer(index, &trailer)?;
        Ok((trailer, changes))
    }

    fn report_late(&mut self, sealed: UnixMillis) {
        let limit = sealed.saturating_add(CLOCK_LEEWAY_MS);
        for (index, link, ctime) in self.unsealed.drain(..) {
            if ctime > limit {
                self.faults.push(Fault { index, link: Some(link), reason: FaultReason::Late { sealed } });
            }
        }
    }

    /// Stops at a policy that sets rules which are not known here, if it is the registrar's (formats.md §4, `rules`).
    fn stop_at(&mut self, policy: &Link, rules: u64) -> Result<(), Stop> {
        // Its body cannot be read, and is not: who signs a policy, and where, does not depend on what it says.
        let body = Body::Policy(Policy::default());
        let signer = self.registry.check_chain(policy.header(), &body).map(|(_, signer)| signer);
        let signer = signer.ok().and_then(|signer| PublicKey::from_bytes(&signer));
        if signer.is_some_and(|signer| policy.is_signed_by(&signer)) {
            let stop = Stop { index: self.frontier.size().next_index(), rules };
            self.stopped = Some(stop);
            return Err(stop);
        }
        Ok(())
    }
}

impl FaultReason {
    /// The word for it: a code of formats.md §5 where a link breaks a rule, else one of a trailer's.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Link(refusal) => refusal.code().as_str(),
            Self::Late { .. } => "clock",
            Self::Trailer(fault) => fault.code(),
        }
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
