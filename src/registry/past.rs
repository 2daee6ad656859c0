//! The past of a log in memory: what the rules may ask of it, for whoever has no log at hand to look it up in.
//!
//! It takes 56 bytes a link, and more for the few that say something of another identity.

use std::collections::HashMap;

use super::history::{History, PastLink, Said};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::soul::{Curr, Identity, LinkRef, NoticeKind, Seqno};

/// The valid entries of a log, as far as rules look at them.
#[derive(Debug, Default)]
pub(super) struct Past {
    links: HashMap<Identity, Vec<Kept>>,
    /// Valid trailers, in their order.
    trailers: Vec<Sealed>,
}

/// A link of the past, with what it said in few bytes.
#[derive(Debug)]
struct Kept {
    curr: Curr,
    index: LeafIndex,
    said: KeptSaid,
}

#[derive(Debug)]
enum KeptSaid {
    Action,
    Other,
    More(Box<Said>),
}

/// A valid trailer, and the root of the tree that it ends.
#[derive(Clone, Copy, Debug)]
struct Sealed {
    index: LeafIndex,
    log_time: UnixMillis,
    root: Hash,
}

impl Past {
    /// Adds the next link of a chain.
    pub(super) fn push_link(&mut self, chain: Identity, link: PastLink) {
        let said = match link.said {
            Said::Action => KeptSaid::Action,
            Said::Other => KeptSaid::Other,
            more => KeptSaid::More(Box::new(more)),
        };
        self.links.entry(chain).or_default().push(Kept { curr: link.curr, index: link.index, said });
    }

    /// Adds the next trailer.
    pub(super) fn push_trailer(&mut self, index: LeafIndex, log_time: UnixMillis, root: Hash) {
        self.trailers.push(Sealed { index, log_time, root });
    }

    /// Bytes for a store of our own.
    pub(super) fn write(&self, w: &mut Writer) {
        let mut chains: Vec<_> = self.links.iter().collect();
        chains.sort_unstable_by_key(|(identity, _)| **identity);
        w.u64(chains.len() as u64);
        for (identity, links) in chains {
            w.raw(identity.as_bytes()).u64(links.len() as u64);
            for link in links {
                w.raw(link.curr.as_bytes()).u64(link.index.get());
                write_said(w, &link.said.said());
            }
        }
        w.u64(self.trailers.len() as u64);
        for trailer in &self.trailers {
            w.u64(trailer.index.get()).u64(trailer.log_time.get()).raw(trailer.root.as_bytes());
        }
    }

    /// Reads what [`write`](Self::write) wrote. Nothing is allocated ahead of the bytes that fill it.
    pub(super) fn read(r: &mut Reader<'_>) -> Option<Self> {
        let mut past = Self::default();
        for _ in 0..r.u64()? {
            let chain = Identity::from_bytes(r.array()?);
            for _ in 0..r.u64()? {
                let curr = Curr::from_bytes(r.array()?);
                let index = LeafIndex::new(r.u64()?);
                past.push_link(chain, PastLink { curr, index, said: read_said(r)? });
            }
        }
        for _ in 0..r.u64()? {
            past.push_trailer(LeafIndex::new(r.u64()?), UnixMillis::new(r.u64()?), Hash::from_bytes(r.array()?));
        }
        Some(past)
    }
}

impl KeptSaid {
    fn said(&self) -> Said {
        match self {
            Self::Action => Said::Action,
            Self::Other => Said::Other,
            Self::More(said) => **said,
        }
    }
}

impl History for Past {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        let at = usize::try_from(seqno.get().checked_sub(1)?).ok()?;
        let kept = self.links.get(identity)?.get(at)?;
        Some(PastLink { curr: kept.curr, index: kept.index, said: kept.said.said() })
    }

    fn root_at(&self, size: TreeSize) -> Option<Hash> {
        let last = size.get().checked_sub(1)?;
        let at = self.trailers.binary_search_by_key(&last, |trailer| trailer.index.get()).ok()?;
        Some(self.trailers[at].root)
    }

    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        let at = self.trailers.partition_point(|trailer| trailer.index <= index);
        self.trailers.get(at).map(|trailer| trailer.log_time)
    }
}

fn write_said(w: &mut Writer, said: &Said) {
    match said {
        Said::Action => w.u8(0),
        Said::Other => w.u8(1),
        Said::Attest => w.u8(2),
        Said::Receipt { subject, link } => write_link(w.u8(3).raw(subject.as_bytes()), link),
        Said::Feedback { subject, link: None } => w.u8(4).raw(subject.as_bytes()),
        Said::Feedback { subject, link: Some(link) } => write_link(w.u8(5).raw(subject.as_bytes()), link),
        Said::Notice { subject, kind } => {
            let kind = NoticeKind::ALL.iter().position(|known| known == kind).expect("all kinds are listed");
            w.u8(6).raw(subject.as_bytes()).u8(kind as u8)
        }
    };
}

fn write_link<'w>(w: &'w mut Writer, link: &LinkRef) -> &'w mut Writer {
    w.raw(link.curr.as_bytes()).u64(link.seqno.get())
}

fn read_said(r: &mut Reader<'_>) -> Option<Said> {
    let subject = |r: &mut Reader<'_>| r.array().map(Identity::from_bytes);
    Some(match r.u8()? {
        0 => Said::Action,
        1 => Said::Other,
        2 => Said::Attest,
        3 => Said::Receipt { subject: subject(r)?, link: read_link(r)? },
        4 => Said::Feedback { subject: subject(r)?, link: None },
        5 => Said::Feedback { subject: subject(r)?, link: Some(read_link(r)?) },
        6 => Said::Notice { subject: subject(r)?, kind: *NoticeKind::ALL.get(usize::from(r.u8()?))? },
        _ => return None,
    })
}

fn read_link(r: &mut Reader<'_>) -> Option<LinkRef> {
    Some(LinkRef { curr: Curr::from_bytes(r.array()?), seqno: Seqno::new(r.u64()?) })
}
