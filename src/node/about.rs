//! The links about an identity: what others say of it in attests, feedback, notices and receipts, newest first.
//!
//! They are a list through `chain.idx`: the last 8 bytes of a link's row lead to the previous link about the same
//! subject, and where the list begins is kept beside the subject's row. So nothing grows with the links but the rows.
//!
//! | bits | field |
//! |---|---|
//! | 11 | how many links there are about the subject, this one counted, modulo 2^11; mixed with the index of this link |
//! | 53 | index of the previous one; all ones where this is the first |
//!
//! Of a link about nobody all bits are ones.
//!
//! Rows are derived. What one leads to says itself whom it is about, the count shows that none was passed over, and the
//! row of another link does not count on: what does not fit is damage, and no answer.

use std::collections::HashMap;

use super::machine::chain_of;
use super::{Node, View, chain};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::log::{LogReader, ReadError};
use crate::merkle::LeafIndex;
use crate::registry::IdentityState;
use crate::soul::{Body, Identity, Link, LinkType};

/// Most links that one page looks at. Each is read from its bundle.
pub const MAX_ABOUT_SCAN: usize = 1_000;

/// The way of a link that is about nobody.
pub(crate) const NOBODY: u64 = u64::MAX;

const INDEX_BITS: u32 = 53;
/// In place of an index: there is none. No log is so large.
const NO_INDEX: u64 = (1 << INDEX_BITS) - 1;
const COUNT_MASK: u64 = u64::MAX >> INDEX_BITS;

/// A link that another identity made about this one.
pub struct LinkAbout {
    /// Index of its entry.
    pub index: LeafIndex,
    /// The link.
    pub link: Link,
    /// Its signer took it back.
    pub retracted: bool,
    /// It is an attest whose time is over, by log time.
    pub expired: bool,
}

/// Links about an identity, newest first.
pub struct AboutList {
    /// The links.
    pub links: Vec<LinkAbout>,
    /// Where to go on: the oldest that was looked at, if there are more.
    pub before: Option<LeafIndex>,
    /// How many there are in all, of every type.
    pub total: u64,
}

impl Node {
    /// What others say of an agent, newest first: below the link about it at `before`, at most `limit` links, of one type
    /// where one is given. Looks at no more than [`MAX_ABOUT_SCAN`]. `None` where there is no link about it at `before`.
    pub fn about(
        &self,
        view: &View,
        agent: &IdentityState,
        link_type: Option<LinkType>,
        before: Option<LeafIndex>,
        limit: usize,
    ) -> Result<Option<AboutList>, ReadError> {
        let (state, subject) = (view.state(), agent.record.identity);
        let mentions = state.row(agent).and_then(|row| row.about);
        let mut list = AboutList { links: Vec::new(), before: None, total: mentions.map_or(0, |known| known.count) };
        let mut walk = Walk { log: self.reader(view), subject, at: mentions.map(Mentions::place) };
        if let Some(before) = before
            && !walk.resume(before)?
        {
            return Ok(None);
        }
        for _ in 0..MAX_ABOUT_SCAN {
            if list.links.len() == limit {
                break;
            }
            let Some((index, link, body)) = walk.next()? else { break };
            if link_type.is_none_or(|wanted| wanted == link.header().link_type) {
                let retracted = state.retracted.contains(&link.curr());
                let expired = is_expired(&body, state.log_time());
                list.links.push(LinkAbout { index, link, retracted, expired });
            }
            list.before = Some(index);
        }
        list.before = list.before.filter(|_| walk.at.is_some());
        Ok(Some(list))
    }
}

/// Whom a link is about, if it is one that says something of another.
pub(crate) fn subject_of(body: &Body) -> Option<Identity> {
    match body {
        Body::Receipt(receipt) => Some(receipt.subject),
        Body::Feedback(feedback) => Some(feedback.subject),
        Body::Attest(attest) => Some(attest.subject),
        Body::Notice(notice) => Some(notice.subject),
        _ => None,
    }
}

fn is_expired(body: &Body, log_time: UnixMillis) -> bool {
    matches!(body, Body::Attest(attest) if attest.expires_ms <= log_time.get())
}

/// Where the links about an identity begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mentions {
    newest: LeafIndex,
    count: u64,
}

impl Mentions {
    /// The list with one link more, and the way from that to the one before.
    fn push(before: Option<Self>, index: LeafIndex) -> (Self, u64) {
        let mentions = Self { newest: index, count: before.map_or(0, |before| before.count) + 1 };
        let way = Way { count: mentions.count & COUNT_MASK, before: before.map(|before| before.newest) };
        (mentions, way.to_bits(index))
    }

    /// The newest link, and its count modulo 2^11.
    fn place(self) -> (LeafIndex, u64) {
        (self.newest, self.count & COUNT_MASK)
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.newest.get()).u64(self.count);
        writer.into_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mentions = Self { newest: LeafIndex::new(reader.u64()?), count: reader.u64()? };
        (reader.is_empty() && mentions.count > 0).then_some(mentions)
    }
}

/// The lists that links of this batch have made longer, and how to undo it.
#[derive(Default)]
pub(crate) struct Pending {
    lists: HashMap<Identity, Mentions>,
    undo: Vec<(Identity, Option<Mentions>)>,
}

impl Pending {
    /// Adds a link about `subject`; `committed` is its list before this batch. Gives the way to the one before.
    pub(crate) fn push(
        &mut self,
        subject: Identity,
        index: LeafIndex,
        committed: impl FnOnce() -> Option<Mentions>,
    ) -> u64 {
        let pending = self.lists.get(&subject).copied();
        let (mentions, way) = Mentions::push(pending.or_else(committed), index);
        self.lists.insert(subject, mentions);
        self.undo.push((subject, pending));
        way
    }

    pub(crate) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back everything since `mark`.
    pub(crate) fn undo(&mut self, mark: usize) {
        for (subject, was) in self.undo.drain(mark..).rev() {
            match was {
                Some(was) => drop(self.lists.insert(subject, was)),
                None => drop(self.lists.remove(&subject)),
            }
        }
    }

    /// The batch is sealed: its lists.
    pub(crate) fn take(&mut self) -> HashMap<Identity, Mentions> {
        self.undo.clear();
        std::mem::take(&mut self.lists)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

/// What a row says of the links about its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    /// How many there are up to this one, modulo 2^11.
    count: u64,
    before: Option<LeafIndex>,
}

impl Way {
    /// In the row of the link at `index`.
    fn to_bits(self, index: LeafIndex) -> u64 {
        (self.count ^ mixed(index)) << INDEX_BITS | self.before.map_or(NO_INDEX, LeafIndex::get)
    }

    fn from_bits(bits: u64, index: LeafIndex) -> Self {
        let before = bits & NO_INDEX;
        let before = (before != NO_INDEX).then(|| LeafIndex::new(before));
        Self { count: (bits >> INDEX_BITS) ^ mixed(index), before }
    }

    /// Where it leads from the link at `index`; an error where no such link can have it.
    fn follow(self, index: LeafIndex) -> Result<Option<(LeafIndex, u64)>, ReadError> {
        match self.before {
            None if self.count == 1 => Ok(None),
            Some(before) if before < index => Ok(Some((before, self.count.wrapping_sub(1) & COUNT_MASK))),
            _ => Err(chain::damaged()),
        }
    }
}

/// 11 bits of an index, so that neighbours differ in all of them (Fibonacci hashing).
fn mixed(index: LeafIndex) -> u64 {
    index.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> INDEX_BITS
}

/// A walk along the links about an identity, from newer to older.
struct Walk<'a> {
    log: LogReader<'a>,
    subject: Identity,
    /// The next link, and its count.
    at: Option<(LeafIndex, u64)>,
}

impl Walk<'_> {
    /// Goes on below the link at `index`, if that is one about this identity.
    fn resume(&mut self, index: LeafIndex) -> Result<bool, ReadError> {
        if index.get() >= self.log.size().get() || self.link(index)?.is_none() {
            return Ok(false);
        }
        self.at = Way::from_bits(chain::about(&self.log, index)?, index).follow(index)?;
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<(LeafIndex, Link, Body)>, ReadError> {
        let Some((index, count)) = self.at else { return Ok(None) };
        let (link, body) = self.link(index)?.ok_or_else(chain::damaged)?;
        let way = Way::from_bits(chain::about(&self.log, index)?, index);
        if way.count != count {
            return Err(chain::damaged());
        }
        self.at = way.follow(index)?;
        Ok(Some((index, link, body)))
    }

    /// The link at `index`, if it is one about this identity.
    fn link(&self, index: LeafIndex) -> Result<Option<(Link, Body)>, ReadError> {
        let Ok(link) = Link::parse_entry(&self.log.entry(index)?) else { return Ok(None) };
        let Ok(body) = Body::parse(link.header().link_type, link.body()) else { return Ok(None) };
        let is_about = subject_of(&body) == Some(self.subject) && chain_of(&link) != self.subject;
        Ok(is_about.then_some((link, body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_read_back_and_leads_on() {
        let mut mentions = None;
        for at in 0..5_000_u64 {
            let index = LeafIndex::new(at * 3 + 1);
            let (newer, bits) = Mentions::push(mentions, index);
            let way = Way::from_bits(bits, index);
            assert_eq!(way.to_bits(index), bits);
            assert_eq!(way.follow(index).unwrap(), mentions.map(Mentions::place));
            assert_eq!(Mentions::from_bytes(&newer.to_bytes()), Some(newer));
            mentions = Some(newer);
        }
        // One that leads onwards, none where there must be one, and what an erased or foreign row holds.
        let follow =
            |count, before: Option<u64>| Way { count, before: before.map(LeafIndex::new) }.follow(LeafIndex::new(9));
        assert!(follow(2, Some(9)).is_err() && follow(2, None).is_err());
        assert!(Way::from_bits(NOBODY, LeafIndex::new(9)).follow(LeafIndex::new(9)).is_err());
        assert!(follow(1, None).unwrap().is_none());
        assert_eq!(follow(0, Some(8)).unwrap(), Some((LeafIndex::new(8), COUNT_MASK)));
    }

    #[test]
    fn what_is_undone_leaves_nothing() {
        let [first, second] = [1, 2].map(|byte| Identity::from_bytes([byte; 32]));
        let mut pending = Pending::default();
        let mark = pending.mark();
        pending.push(first, LeafIndex::new(1), || None);
        pending.undo(mark);
        assert!(pending.is_empty());
        let way = pending.push(first, LeafIndex::new(1), || None);
        let mark = pending.mark();
        pending.push(first, LeafIndex::new(2), || unreachable!("the batch knows"));
        pending.push(second, LeafIndex::new(3), || None);
        pending.undo(mark);
        let lists = pending.take();
        assert_eq!(lists, HashMap::from([(first, Mentions { newest: LeafIndex::new(1), count: 1 })]));
        assert_eq!(Way::from_bits(way, LeafIndex::new(1)), Way { count: 1, before: None });
    }
}
