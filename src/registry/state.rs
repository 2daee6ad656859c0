//! An identity as the fold holds it: its record, and what the rules need beyond it.
//!
//! Its bytes are for a store of our own that can be rebuilt from the log at any time; nobody else reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{OverlayKind, Record};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::soul::{Identity, Kid, Next};

/// An identity: the record and the private facts.
///
/// A copy shares all but the head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityState {
    /// What the state map shows.
    pub record: Record,
    /// The time that the newest link claims.
    pub ctime: UnixMillis,
    /// What the record does not show.
    pub(super) private: Arc<Private>,
}

/// What the rules need and records do not show.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Private {
    /// Every commitment that was ever made on this chain.
    pub(super) nexts: Vec<Next>,
    /// Log time of the first trailer after a key of the record was retired; none while there is no such trailer.
    pub(super) retired_at: BTreeMap<Kid, UnixMillis>,
    /// The `revoke_agent` that stands.
    pub(super) revocation: Option<Revocation>,
    /// The overlays that count as a registrar's, whatever the issuer is else.
    pub(super) by_registrars: Vec<(Identity, OverlayKind)>,
}

/// A `revoke_agent` that stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Revocation {
    /// The next key signed it.
    pub(super) by_next: bool,
    /// Log time of the first trailer after it.
    pub(super) at: Option<UnixMillis>,
}

impl IdentityState {
    /// Bytes for a rebuildable store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = self.record.to_bytes();
        let mut w = Writer::with_capacity(record.len() + 128);
        w.u32(record.len() as u32).raw(&record).u64(self.ctime.get());
        write_list(&mut w, self.private.nexts.iter(), |w, next| {
            w.raw(next.as_bytes());
        });
        write_list(&mut w, self.private.retired_at.iter(), |w, (kid, at)| {
            w.raw(kid.as_bytes()).u64(at.get());
        });
        match self.private.revocation {
            None => w.u8(0),
            Some(Revocation { by_next, at: None }) => w.u8(1).u8(u8::from(by_next)),
            Some(Revocation { by_next, at: Some(at) }) => w.u8(2).u8(u8::from(by_next)).u64(at.get()),
        };
        write_list(&mut w, self.private.by_registrars.iter(), |w, (issuer, kind)| {
            w.raw(issuer.as_bytes()).u8(*kind as u8);
        });
        w.into_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let len = r.u32()? as usize;
        let record = Record::parse(r.take(len)?).ok()?;
        let ctime = UnixMillis::new(r.u64()?);
        let nexts = read_list(&mut r, 32, |r| r.array().map(Next::from_bytes))?;
        let retired_at = read_list(&mut r, 40, |r| Some((Kid::from_bytes(r.array()?), UnixMillis::new(r.u64()?))))?;
        let revocation = match r.u8()? {
            0 => None,
            1 => Some(Revocation { by_next: flag(&mut r)?, at: None }),
            2 => Some(Revocation { by_next: flag(&mut r)?, at: Some(UnixMillis::new(r.u64()?)) }),
            _ => return None,
        };
        let by_registrars =
            read_list(&mut r, 33, |r| Some((Identity::from_bytes(r.array()?), overlay_kind(r.u8()?)?)))?;
        let private = Private { nexts, retired_at: retired_at.into_iter().collect(), revocation, by_registrars };
        r.is_empty().then(|| Self { record, ctime, private: Arc::new(private) })
    }

    /// Notes when what has happened since the last trailer was sealed.
    pub(super) fn settle(&mut self, log_time: UnixMillis) {
        let private = Arc::make_mut(&mut self.private);
        let keys = &self.record.standing.keys;
        for key in keys.iter().filter(|key| !key.is_live()) {
            private.retired_at.entry(key.kid).or_insert(log_time);
        }
        private.retired_at.retain(|kid, _| keys.binary_search_by(|key| key.kid.cmp(kid)).is_ok());
        if let Some(revocation) = &mut private.revocation {
            revocation.at.get_or_insert(log_time);
        }
    }
}

fn flag(r: &mut Reader<'_>) -> Option<bool> {
    match r.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn overlay_kind(byte: u8) -> Option<OverlayKind> {
    [OverlayKind::Revoke, OverlayKind::Suspend, OverlayKind::Verified].get(usize::from(byte)).copied()
}

fn write_list<T>(w: &mut Writer, items: impl ExactSizeIterator<Item = T>, item: impl Fn(&mut Writer, T)) {
    w.u32(items.len() as u32);
    for value in items {
        item(w, value);
    }
}

/// Reads a list of items that take `each` bytes; refuses a count that cannot fit before anything is allocated.
fn read_list<T>(r: &mut Reader<'_>, each: usize, item: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = r.u32()? as usize;
    if count > r.len() / each {
        return None;
    }
    (0..count).map(|_| item(r)).collect()
}
