//! What a key event does to the keys of a record (formats.md §4): retires, adds, marks as suspect, forgets.
//!
//! One function finds the outcome, for the rules that judge it and for the fold that keeps it alike.

use std::collections::BTreeMap;

use super::record::{KeyRecord, KeyRoles, Suspect};
use crate::encoding::UnixMillis;
use crate::merkle::LeafIndex;
use crate::soul::{Body, Genesis, Identity, KeyEntry, Kid, Next, Pop, RawKey, Seqno, kid};

/// How long what was retired or disowned can be looked back on with the next key, and how long retired keys are kept.
pub(super) const LONG_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How far back an admin key can disown.
pub(super) const SHORT_MS: u64 = 72 * 60 * 60 * 1000;
/// Retired keys that stay in a record, however old.
const RETIRED_KEPT: usize = 64;

/// A key event other than a genesis.
pub(super) struct KeyEvent<'a> {
    /// The full set from now on; none of `revoke_agent`.
    pub(super) listed: &'a [KeyEntry],
    pub(super) next: Option<Next>,
    /// The next key, where it signs.
    pub(super) recovery: Option<&'a RawKey>,
    pub(super) pop: &'a [Pop],
    pub(super) suspect_from: Option<Seqno>,
    pub(super) custodian: Option<Identity>,
    pub(super) kind: KeyEventKind,
}

/// Which key event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyEventKind {
    Keys,
    Recover,
    RevokeAgent,
}

/// Where a key event happens.
pub(super) struct At {
    pub(super) seqno: Seqno,
    pub(super) index: LeafIndex,
    pub(super) log_time: UnixMillis,
    /// Index of the link at `suspect_from`.
    pub(super) suspect_index: Option<LeafIndex>,
}

/// What a key event makes of the keys.
pub(super) struct KeyChange {
    /// The keys of the record after it.
    pub(super) keys: Vec<KeyRecord>,
    /// Keys that it adds.
    pub(super) added: Vec<Kid>,
    /// Whether it retires a live key.
    pub(super) retires: bool,
    /// Keys that were retired at most 30 days before, this event's too.
    pub(super) recently_retired: usize,
    /// Whether there is a key that `suspect_from` is about.
    pub(super) suspects: bool,
}

impl<'a> KeyEvent<'a> {
    pub(super) fn of(body: &'a Body) -> Option<Self> {
        Some(match body {
            Body::Keys(keys) => Self {
                listed: &keys.keys,
                next: keys.next,
                recovery: None,
                pop: &keys.pop,
                suspect_from: keys.suspect_from,
                custodian: keys.custodian,
                kind: KeyEventKind::Keys,
            },
            Body::Recover(recover) => Self {
                listed: &recover.keys,
                next: Some(recover.next),
                recovery: Some(&recover.recovery),
                pop: &recover.pop,
                suspect_from: recover.suspect_from,
                custodian: recover.custodian,
                kind: KeyEventKind::Recover,
            },
            Body::RevokeAgent(revoke) => Self {
                listed: &[],
                next: None,
                recovery: revoke.recovery.as_ref(),
                pop: &[],
                suspect_from: revoke.suspect_from,
                custodian: None,
                kind: KeyEventKind::RevokeAgent,
            },
            _ => return None,
        })
    }

    /// What it makes of `held`; `retired_at` as in the identity's private facts.
    pub(super) fn change(&self, held: &[KeyRecord], retired_at: &BTreeMap<Kid, UnixMillis>, at: &At) -> KeyChange {
        let (mut keys, retires) = self.retire(held, at.index);
        let added = self.add(&mut keys, at.index);
        let suspects = self.mark(&mut keys, at);
        let passed = |kid: &Kid| retired_at.get(kid).map_or(0, |then| at.log_time.since(*then));
        let recent = |key: &KeyRecord| !key.is_live() && passed(&key.kid) <= LONG_MS;
        let recently_retired = keys.iter().filter(|key| recent(key)).count();
        forget(&mut keys, recent);
        keys.sort_unstable_by_key(|key| key.kid);
        KeyChange { keys, added, retires, recently_retired, suspects }
    }

    fn retire(&self, held: &[KeyRecord], index: LeafIndex) -> (Vec<KeyRecord>, bool) {
        let mut keys = held.to_vec();
        let mut retires = false;
        for key in keys.iter_mut().filter(|key| key.is_live()) {
            if !self.listed.iter().any(|listed| listed.kid == key.kid) {
                key.revoked = Some(index);
                retires = true;
            }
        }
        (keys, retires)
    }

    fn add(&self, keys: &mut Vec<KeyRecord>, index: LeafIndex) -> Vec<Kid> {
        let held = keys.len();
        for listed in self.listed {
            if !keys[..held].iter().any(|key| key.kid == listed.kid && key.is_live()) {
                keys.push(listed_key(listed, index));
            }
        }
        let added = keys[held..].iter().map(|key| key.kid).collect();
        keys.extend(self.recovery.map(|pk| recovery_key(pk, index)));
        added
    }

    /// Marks what `suspect_from` is about; says whether there is any.
    fn mark(&self, keys: &mut [KeyRecord], at: &At) -> bool {
        let (Some(from), Some(suspect_index)) = (self.suspect_from, at.suspect_index) else { return false };
        if self.kind == KeyEventKind::Recover {
            clear_marks_since(keys, from);
        }
        let by = self.recovery.is_none().then_some(at.seqno);
        let mut any = false;
        let retired_since = |key: &KeyRecord| key.revoked.is_some_and(|revoked| revoked >= suspect_index);
        for key in keys.iter_mut().filter(|key| retired_since(key) && key.roles != KeyRoles::Recovery) {
            any = true;
            let lowers = key.suspect.is_some_and(|mark| by.is_none() && from < mark.from);
            if key.suspect.is_none() || lowers {
                key.suspect = Some(Suspect { from, by });
            }
        }
        any
    }
}

/// The keys of a record after its genesis.
pub(super) fn founding_keys(genesis: &Genesis, index: LeafIndex) -> Vec<KeyRecord> {
    genesis.keys.iter().map(|listed| listed_key(listed, index)).collect()
}

/// A thief's marks do not outlive the owner's return.
fn clear_marks_since(keys: &mut [KeyRecord], from: Seqno) {
    for key in keys {
        if key.suspect.and_then(|mark| mark.by).is_some_and(|by| by >= from) {
            key.suspect = None;
        }
    }
}

/// Keeps of the retired keys the newest and every recent one.
fn forget(keys: &mut Vec<KeyRecord>, recent: impl Fn(&KeyRecord) -> bool) {
    keys.sort_unstable_by_key(|key| core::cmp::Reverse((key.revoked, key.kid)));
    let mut retired = 0;
    keys.retain(|key| {
        if key.is_live() {
            return true;
        }
        retired += 1;
        retired <= RETIRED_KEPT || recent(key)
    });
}

fn listed_key(listed: &KeyEntry, index: LeafIndex) -> KeyRecord {
    let roles = KeyRoles::Listed(listed.roles);
    KeyRecord { kid: listed.kid, pk: listed.pk, roles, added: index, revoked: None, suspect: None }
}

fn recovery_key(pk: &RawKey, index: LeafIndex) -> KeyRecord {
    let roles = KeyRoles::Recovery;
    KeyRecord { kid: kid(pk), pk: *pk, roles, added: index, revoked: Some(index), suspect: None }
}
