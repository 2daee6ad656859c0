//! Which entries show by themselves, or two of them together, that a log broke version 1 of its rules.
//!
//! Only what holds of every log that keeps formats.md §4 to §7 is judged here, whatever else the log holds: so an honest log
//! has no such entry, and no two such entries. Everything else takes a replay.

use super::evidence::Placed;
use crate::ed25519::PublicKey;
use crate::merkle::LeafIndex;
use crate::registry::{LinkName, TrailerFault};
use crate::soul::{Body, Code, Link, LogId, ReadLink, Refusal, TRAILER_ENTRY_KIND, Trailer, check_link, newer_rules};

/// A rule that is broken, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The word for it.
    pub code: &'static str,
    /// In words.
    pub what: String,
}

/// What is wrong with an entry, whatever else the log holds.
pub fn broken_by_one(log_id: LogId, index: LeafIndex, entry: &[u8]) -> Option<Broken> {
    match read(log_id, entry) {
        Entry::Refused(refusal) => Some(Broken::link(&refusal)),
        Entry::NoTrailer => Some(Broken::trailer(TrailerFault::Malformed)),
        Entry::Trailer(trailer) if trailer.covers != index => {
            Some(Broken::trailer(TrailerFault::Covers(trailer.covers)))
        }
        Entry::LaterRules | Entry::Trailer(_) => None,
        Entry::Link(link) => check_read(&link, index).err().map(|refusal| Broken::link(&refusal)),
    }
}

/// What is wrong with an entry beside an earlier one; `None` also where they are not in that order.
pub fn broken_by_two(log_id: LogId, earlier: &Placed, later: &Placed) -> Option<Broken> {
    if earlier.index >= later.index {
        return None;
    }
    match (read(log_id, &earlier.entry), read(log_id, &later.entry)) {
        (Entry::Trailer(first), Entry::Trailer(second)) => {
            if earlier.index.size_with().next_index() == later.index {
                return Some(Broken::trailer(TrailerFault::FollowsTrailer));
            }
            (second.log_time <= first.log_time).then(|| Broken::trailer(TrailerFault::LogTime(first.log_time)))
        }
        (Entry::Link(first), Entry::Link(second)) => two_links(&first, &second),
        _ => None,
    }
}

fn two_links(first: &ReadLink, second: &ReadLink) -> Option<Broken> {
    let (one, other) = (LinkName::of(first.link()), LinkName::of(second.link()));
    if one == other {
        let what = format!("both are link {} of {}", one.seqno, one.identity);
        return Some(Broken { code: Code::Conflict.as_str(), what });
    }
    if let (Body::Genesis(one), Body::Genesis(other)) = (first.body(), second.body())
        && let Some(name) = one.name.as_ref().filter(|name| other.name.as_ref() == Some(name))
    {
        return Some(Broken { code: Code::NameTaken.as_str(), what: format!("both take the name {name}") });
    }
    let (keys, others) = (first.body().keys()?, second.body().keys()?);
    let key = keys.iter().find(|key| others.iter().any(|other| other.kid == key.kid))?;
    let what = format!("both {} and {} list key {}", one.identity, other.identity, key.kid);
    (one.identity != other.identity).then_some(Broken { code: Code::KeyInUse.as_str(), what })
}

/// What an entry turned out to be.
enum Entry {
    Trailer(Trailer),
    NoTrailer,
    Link(Box<ReadLink>),
    /// A policy of rules that are not known here.
    LaterRules,
    Refused(Refusal),
}

fn read(log_id: LogId, entry: &[u8]) -> Entry {
    if entry.first() == Some(&TRAILER_ENTRY_KIND) {
        return Trailer::parse(entry).map_or(Entry::NoTrailer, Entry::Trailer);
    }
    let link = match Link::parse_entry(entry) {
        Ok(link) => link,
        Err(error) => return Entry::Refused(error.into()),
    };
    if link.body().and_then(newer_rules).is_some() {
        return Entry::LaterRules;
    }
    match ReadLink::read(link, None, log_id) {
        Ok(read) => Entry::Link(Box::new(read)),
        Err(refusal) => Entry::Refused(refusal),
    }
}

/// What index and link alone decide; the signature where the link itself names the key.
fn check_read(link: &ReadLink, index: LeafIndex) -> Result<(), Refusal> {
    check_link(link.header(), link.body(), Some(index))?;
    match link.named_signer()? {
        Some(named) => {
            let key = PublicKey::from_bytes(named).ok_or(Refusal::Signature)?;
            link.clone().verify(&key).map(|_| ())
        }
        None => Ok(()),
    }
}

impl Broken {
    fn link(refusal: &Refusal) -> Self {
        Self { code: refusal.code().as_str(), what: refusal.to_string() }
    }

    fn trailer(fault: TrailerFault) -> Self {
        Self { code: fault.code(), what: fault.to_string() }
    }
}
