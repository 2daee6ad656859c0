//! Bytes of a replay, for whoever will go on where it ended.
//!
//! All that the fold and its rules need: every identity, every key and link that counts, every trailer, the tree's edge.
//! They are for a store of one's own: who can change them can make a replay believe anything. They name no version: the
//! store's own (`audit/state.rs`) goes up with each change of them.

use super::fold::{Parts, Registry};
use super::past::Past;
use super::replay::Replay;
use super::snapshot::Office;
use super::state::IdentityState;
use super::{Statement, StatementKind};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::hash::Hash;
use crate::merkle::{Frontier, TreeSize};
use crate::soul::{Curr, Identity, Kid, LogId};

impl Replay {
    /// Its bytes; `None` while there are links that no valid trailer seals. Faults that were not taken are not in them.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let parts = self.registry.parts()?;
        let mut w = Writer::default();
        w.u64(self.frontier.size().get());
        write_list(&mut w, self.frontier.hashes(), |w, hash| w.raw(hash.as_bytes()));
        w.u8(u8::from(self.after_trailer));
        write_parts(&mut w, &parts);
        self.past.write(&mut w);
        Some(w.into_bytes())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote of this log.
    pub fn from_bytes(log_id: LogId, bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let size = TreeSize::new(r.u64()?);
        let frontier = Frontier::from_parts(size, read_list(&mut r, |r| r.array().map(Hash::from_bytes))?)?;
        let after_trailer = match r.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let parts = read_parts(&mut r)?;
        let past = Past::read(&mut r)?;
        r.is_empty().then(|| Self::resumed(Registry::restore(log_id, parts), past, frontier, after_trailer))
    }
}

fn write_parts(w: &mut Writer, parts: &Parts) {
    write_list(w, &parts.identities, |w, state| {
        let bytes = state.to_bytes();
        w.u32(bytes.len() as u32).raw(&bytes)
    });
    write_list(w, &parts.used_keys, |w, kid| w.raw(kid.as_bytes()));
    write_list(w, &parts.retracted, |w, curr| w.raw(curr.as_bytes()));
    write_list(w, &parts.statements, |w, statement| {
        let is_receipt = statement.kind == StatementKind::Receipt;
        w.raw(statement.issuer.as_bytes()).raw(statement.link.as_bytes()).u8(u8::from(is_receipt))
    });
    w.raw(parts.office.registrar.unwrap_or_default().as_bytes());
    for list in [&parts.office.registrars, &parts.office.pretrust] {
        write_list(w, list, |w, id| w.raw(id.as_bytes()));
    }
    w.u64(parts.log_time.get()).u64(parts.size.get());
}

fn read_parts(r: &mut Reader<'_>) -> Option<Parts> {
    let identity = |r: &mut Reader<'_>| r.array().map(Identity::from_bytes);
    let identities = read_list(r, |r| {
        let len = r.u32()? as usize;
        IdentityState::from_bytes(r.take(len)?)
    })?;
    let used_keys = read_list(r, |r| r.array().map(Kid::from_bytes))?;
    let retracted = read_list(r, |r| r.array().map(Curr::from_bytes))?;
    let statements = read_list(r, |r| {
        let (issuer, link) = (identity(r)?, Curr::from_bytes(r.array()?));
        let kind = match r.u8()? {
            0 => StatementKind::Feedback,
            1 => StatementKind::Receipt,
            _ => return None,
        };
        Some(Statement { issuer, link, kind })
    })?;
    let registrar = identity(r).map(|id| Some(id).filter(|id| !id.is_zero()))?;
    let office = Office { registrar, registrars: read_list(r, identity)?, pretrust: read_list(r, identity)? };
    let (log_time, size) = (UnixMillis::new(r.u64()?), TreeSize::new(r.u64()?));
    Some(Parts { identities, used_keys, retracted, statements, office, log_time, size })
}

fn write_list<T>(w: &mut Writer, items: &[T], item: impl for<'w> Fn(&'w mut Writer, &T) -> &'w mut Writer) {
    w.u64(items.len() as u64);
    for value in items {
        item(w, value);
    }
}

/// Reads a list; nothing is allocated ahead of the bytes that fill it.
fn read_list<T>(r: &mut Reader<'_>, item: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = r.u64()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(r)?);
    }
    Some(items)
}
