//! What a link asks of the past, answered before the sequencer sees it.
//!
//! The past does not change, so an answer found at an earlier size stays right. Where an answer is missing the rules
//! refuse the link, which is what they do when there is nothing to find.

use super::chain;
use super::machine::{NodeState, chain_of};
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::log::{LogReader, ReadError};
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{History, PastLink, Question, Said, questions};
use crate::soul::{Body, Identity, Link, Seqno, TRAILER_ENTRY_KIND, Trailer, VerifiedLink};

/// Answers to the questions of one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    root: Option<(TreeSize, Hash)>,
    link: Option<(Identity, Seqno, PastLink)>,
    time: Option<(LeafIndex, UnixMillis)>,
}

impl History for Facts {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.link.filter(|(whose, at, _)| whose == identity && *at == seqno).map(|(_, _, link)| link)
    }

    fn root_at(&self, size: TreeSize) -> Option<Hash> {
        self.root.filter(|(at, _)| *at == size).map(|(_, root)| root)
    }

    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        self.time.filter(|(at, _)| *at == index).map(|(_, time)| time)
    }
}

impl Facts {
    /// Reads what this link will ask.
    pub(crate) fn resolve(link: &VerifiedLink, state: &NodeState, log: LogReader<'_>) -> Result<Self, ReadError> {
        let mut facts = Self::default();
        for question in questions(link.header(), link.body()) {
            match question {
                Question::Root(size) => facts.root = sealed_root(log, size)?.map(|root| (size, root)),
                Question::Link(identity, seqno) => facts.find(identity, seqno, state, log)?,
                Question::LinkAndTime(identity, seqno) => {
                    facts.find(identity, seqno, state, log)?;
                    if let Some((_, _, link)) = facts.link {
                        facts.time = time_after(log, link.index)?.map(|time| (link.index, time));
                    }
                }
            }
        }
        Ok(facts)
    }

    fn find(
        &mut self,
        identity: Identity,
        seqno: Seqno,
        state: &NodeState,
        log: LogReader<'_>,
    ) -> Result<(), ReadError> {
        if let Some((index, link)) = link_at(state, log, &identity, seqno)? {
            let body = Body::parse(link.header().link_type, link.body());
            let said = body.as_ref().map_or(Said::Other, Said::of);
            self.link = Some((identity, seqno, PastLink { curr: link.curr(), index, said }));
        }
        Ok(())
    }
}

/// The link at a place of a chain, and its index.
pub(crate) fn link_at(
    state: &NodeState,
    log: LogReader<'_>,
    identity: &Identity,
    seqno: Seqno,
) -> Result<Option<(LeafIndex, Link)>, ReadError> {
    let Some(known) = state.identity(identity) else { return Ok(None) };
    let Some(index) = chain::find(log, &known.record.head, seqno)? else { return Ok(None) };
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
