//! What a link asks of the past, answered before the sequencer sees it.
//!
//! The past does not change, so an answer found at an earlier size stays right. What was not there yet at that size may
//! be by the time of admission: that is looked up among the links of the last batches ([`Recent`]), and where these do
//! not reach back far enough the link is resolved anew. So nothing on the sequencer reads a disk, and no link is refused
//! for naming what was just logged.

use super::chain;
use super::machine::{NodeState, chain_of};
use super::recent::Recent;
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::log::{LogReader, Past, ReadError};
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{BodyRule, Head, History, PastLink, Question, Reference, Refusal, Said, questions};
use crate::soul::{Body, Curr, Header, Identity, Link, ReadLink, Seqno, TRAILER_ENTRY_KIND, Trailer, VerifiedLink};

/// Answers to the questions of one link, as of one size of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    root: Option<(TreeSize, Hash)>,
    links: Vec<(Identity, Seqno, PastLink)>,
    times: Vec<(LeafIndex, UnixMillis)>,
    /// The link that has the place which a key event asks for.
    pub(crate) occupant: Option<Occupant>,
    as_of: TreeSize,
}

/// A link at a place of a chain for which another came too late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occupant {
    prev: Curr,
    auth: Curr,
    /// When it was sealed: before that its place was free.
    pub(crate) sealed: UnixMillis,
    past: PastLink,
}

impl Occupant {
    /// The link at the place that this header asks for.
    pub(crate) fn of(header: &Header, head: &Head, log: LogReader<'_>) -> Result<Option<Self>, ReadError> {
        let Some((index, link)) = link_at(Some(head), &log, &header.identity, header.seqno)? else { return Ok(None) };
        let Some(sealed) = time_after(log, index)? else { return Ok(None) };
        let (prev, auth) = (link.header().prev, link.header().auth);
        Ok(Some(Self { prev, auth, sealed, past: past_link(index, &link) }))
    }

    /// Whether the other was made for this very place: it follows the same link under the same keys.
    pub(crate) fn was_open_to(&self, header: &Header) -> bool {
        self.prev == header.prev && self.auth == header.auth
    }
}

impl Facts {
    /// Reads what this link will ask.
    pub(crate) fn resolve(link: &VerifiedLink, state: &NodeState, log: LogReader<'_>) -> Result<Self, ReadError> {
        let mut facts = Self { as_of: log.size(), ..Self::default() };
        for question in questions(link.header(), link.body()) {
            match question {
                Question::Root(size) => facts.root = sealed_root(log, size)?.map(|root| (size, root)),
                Question::Link(identity, seqno) => {
                    facts.find(state.head(&identity).as_ref(), identity, seqno, &log)?;
                }
                Question::LinkAndTime(identity, seqno) => {
                    if let Some(index) = facts.find(state.head(&identity).as_ref(), identity, seqno, &log)? {
                        facts.times.extend(time_after(log, index)?.map(|time| (index, time)));
                    }
                }
            }
        }
        Ok(facts)
    }

    /// What replay asks: the signer's own link that a retract takes back or a key event disowns. Of others' links
    /// admission knew all that it needed.
    pub(crate) fn replayed(link: &ReadLink, head: Option<&Head>, past: &dyn Past) -> Result<Self, String> {
        let mut facts = Self::default();
        for question in questions(link.header(), link.body()) {
            if let Question::Link(identity, seqno) | Question::LinkAndTime(identity, seqno) = question
                && identity == link.header().identity
            {
                let found = facts.find(head, identity, seqno, past).map_err(|error| error.to_string())?;
                found.ok_or("it names a link that is not there")?;
            }
        }
        Ok(facts)
    }

    /// Adds the link whose place this one asks for: a key event may disown from there on.
    pub(crate) fn with_occupant(mut self, header: &Header, occupant: Occupant) -> Self {
        self.links.push((header.identity, header.seqno, occupant.past));
        self.times.push((occupant.past.index, occupant.sealed));
        self.occupant = Some(occupant);
        self
    }

    fn find(
        &mut self,
        head: Option<&Head>,
        identity: Identity,
        seqno: Seqno,
        log: &dyn Past,
    ) -> Result<Option<LeafIndex>, ReadError> {
        let Some((index, link)) = link_at(head, log, &identity, seqno)? else { return Ok(None) };
        self.links.push((identity, seqno, past_link(index, &link)));
        Ok(Some(index))
    }

    fn link(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.links.iter().find(|(whose, at, _)| whose == identity && *at == seqno).map(|(_, _, link)| *link)
    }
}

/// What the sequencer knows of the past: the answers that come with a link, and the links of the last batches.
pub(crate) struct Known<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) recent: &'a Recent,
}

impl History for Known<'_> {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.facts.link(identity, seqno).or_else(|| self.recent.link_at(identity, seqno))
    }

    fn root_at(&self, size: TreeSize) -> Option<Hash> {
        self.facts.root.filter(|(at, _)| *at == size).map(|(_, root)| root)
    }

    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        let known = self.facts.times.iter().find(|(at, _)| *at == index).map(|(_, time)| *time);
        known.or_else(|| self.recent.time_after(index))
    }
}

impl Known<'_> {
    /// Whether this refusal may rest on an answer that is there by now, in a log of this size, and is not known here.
    pub(crate) fn may_be_outdated(&self, refusal: &Refusal, header: &Header, size: TreeSize) -> bool {
        match refusal {
            Refusal::BadReference(Reference::NoSuchLink) | Refusal::BadBody(BodyRule::SuspectOutOfChain) => {
                !self.recent.reaches(self.facts.as_of)
            }
            Refusal::BadAnchor => (self.facts.as_of.get() + 1..=size.get()).contains(&header.anchor_size),
            _ => false,
        }
    }
}

/// The past of a link that asks nothing but what lies in the batch.
impl History for Facts {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.link(identity, seqno)
    }

    fn root_at(&self, _: TreeSize) -> Option<Hash> {
        None
    }

    fn time_after(&self, _: LeafIndex) -> Option<UnixMillis> {
        None
    }
}

fn past_link(index: LeafIndex, link: &Link) -> PastLink {
    let body = Body::parse(link.header().link_type, link.body());
    PastLink { curr: link.curr(), index, said: body.as_ref().map_or(Said::Other, Said::of) }
}

/// The link at a place of the chain that ends in `head`, and its index.
pub(crate) fn link_at(
    head: Option<&Head>,
    log: &dyn Past,
    identity: &Identity,
    seqno: Seqno,
) -> Result<Option<(LeafIndex, Link)>, ReadError> {
    let Some(head) = head else { return Ok(None) };
    let Some(index) = chain::find(log, head, seqno)? else { return Ok(None) };
    let link = Link::parse_entry(&log.entry(index)?).map_err(|_| chain::damaged())?;
    // The way there is derived; what was found says itself whose it is.
    if chain_of(&link) != *identity || link.header().seqno != seqno {
        return Err(chain::damaged());
    }
    Ok(Some((index, link)))
}

/// The root of a tree that ends with a trailer.
fn sealed_root(log: LogReader<'_>, size: TreeSize) -> Result<Option<Hash>, ReadError> {
    if size == TreeSize::ZERO || size > log.size() {
        return Ok(None);
    }
    let last = log.entry(LeafIndex::new(size.get() - 1))?;
    if last.first() == Some(&TRAILER_ENTRY_KIND) { log.root(size).map(Some) } else { Ok(None) }
}

/// The time of the first trailer after an index: a batch away at most.
fn time_after(log: LogReader<'_>, index: LeafIndex) -> Result<Option<UnixMillis>, ReadError> {
    for index in index.get() + 1..log.size().get() {
        if let Some(trailer) = Trailer::parse(&log.entry(LeafIndex::new(index))?) {
            return Ok(Some(trailer.log_time));
        }
    }
    Ok(None)
}
