//! The bytes of an identity's state, for a store that can be rebuilt from the log at any time; nobody else reads them.
//!
//! They are short, and read in a fraction of the time that the record's own bytes take: what follows from other bytes is
//! left out (key ids, commitments that are the record's, hashes of a first link), numbers take as many bytes as they
//! need. They are a function of the state, and what is read gives the same bytes again, or is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::evidence::Evidence;
use super::record::{Head, KeyRecord, KeyRoles, Overlay, OverlayKind, Record, Standing, Status, Suspect};
use super::state::{IdentityState, Private, Revocation};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::merkle::LeafIndex;
use crate::soul::{Curr, Guardians, Identity, Kid, Next, Roles, Seqno, kid as kid_of};

/// Which parts follow, in this order.
mod part {
    pub(super) const HEAD: u16 = 1;
    pub(super) const KEY_HEAD: u16 = 1 << 1;
    pub(super) const NAME: u16 = 1 << 2;
    pub(super) const DOMAINS: u16 = 1 << 3;
    pub(super) const NEXT: u16 = 1 << 4;
    pub(super) const GUARDIANS: u16 = 1 << 5;
    pub(super) const CONTROLLER: u16 = 1 << 6;
    pub(super) const CUSTODIAN: u16 = 1 << 7;
    pub(super) const PROFILE: u16 = 1 << 8;
    pub(super) const OVERLAYS: u16 = 1 << 9;
    pub(super) const EVIDENCE: u16 = 1 << 10;
    /// There were other commitments than the record's.
    pub(super) const NEXTS: u16 = 1 << 11;
    pub(super) const RETIRED_AT: u16 = 1 << 12;
    pub(super) const REVOCATION: u16 = 1 << 13;
    pub(super) const BY_REGISTRARS: u16 = 1 << 14;
    /// Has no bytes of its own.
    pub(super) const VERIFIED: u16 = 1 << 15;
}

/// What is said of a key beside its roles.
mod mark {
    pub(super) const REVOKED: u8 = 1 << 3;
    pub(super) const SUSPECT: u8 = 1 << 4;
    pub(super) const SUSPECT_BY: u8 = 1 << 5;
}

const STATUSES: [Status; 3] = [Status::Active, Status::Suspended, Status::Revoked];
const KINDS: [OverlayKind; 3] = [OverlayKind::Revoke, OverlayKind::Suspend, OverlayKind::Verified];
/// Bytes that an identity with two keys and a name takes, or somewhat less.
const USUAL_LEN: usize = 192;

impl IdentityState {
    /// Bytes for a rebuildable store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (record, standing) = (&self.record, &*self.record.standing);
        let mut w = Writer::with_capacity(USUAL_LEN);
        w.u16(self.parts()).u8(standing.status as u8).raw(record.identity.as_bytes());
        w.leb128(record.head.seqno.get()).leb128(record.head.index.get());
        w.leb128(standing.genesis_index.get()).leb128(self.ctime.get());
        write_list(&mut w, &standing.keys, write_key);
        write_standing(&mut w, record);
        write_private(&mut w, self);
        w.into_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let (parts, status) = (r.u16()?, *STATUSES.get(usize::from(r.u8()?))?);
        let identity = Identity::from_bytes(r.array()?);
        let (seqno, index) = (Seqno::new(r.leb128()?), LeafIndex::new(r.leb128()?));
        let (genesis_index, ctime) = (LeafIndex::new(r.leb128()?), UnixMillis::new(r.leb128()?));
        let keys = read_list(&mut r, 34, read_key)?;
        let r = &mut r;
        let has = |part| parts & part != 0;
        let curr = optional(has(part::HEAD), || r.array().map(Curr::from_bytes))?.unwrap_or(first_link(identity));
        let key_head =
            optional(has(part::KEY_HEAD), || r.array().map(Curr::from_bytes))?.unwrap_or(first_link(identity));
        let standing = Standing {
            name: optional(has(part::NAME), || read_text(r))?,
            domains: optional(has(part::DOMAINS), || read_list(r, 1, read_text))?.unwrap_or_default(),
            status,
            verified: has(part::VERIFIED),
            genesis_index,
            key_head,
            keys,
            next: optional(has(part::NEXT), || r.array().map(Next::from_bytes))?,
            guardians: optional(has(part::GUARDIANS), || read_guardians(r))?,
            controller: optional(has(part::CONTROLLER), || read_identity(r))?,
            custodian: optional(has(part::CUSTODIAN), || read_identity(r))?,
            profile: optional(has(part::PROFILE), || r.array())?,
            overlays: optional(has(part::OVERLAYS), || read_list(r, 34, read_overlay))?.unwrap_or_default(),
            evidence: optional(has(part::EVIDENCE), || read_evidence(r))?.unwrap_or_default(),
        };
        let private = read_private(r, parts, standing.next)?;
        let record = Record { identity, head: Head { seqno, curr, index }, standing: Arc::new(standing) };
        let state = Self { record, ctime, private: Arc::new(private) };
        // A part that is there and says what its absence says is not what was written.
        (r.is_empty() && state.parts() == parts).then_some(state)
    }

    /// Which parts its bytes have.
    fn parts(&self) -> u16 {
        let (standing, private, first) = (&*self.record.standing, &*self.private, first_link(self.record.identity));
        [
            (part::HEAD, self.record.head.curr != first),
            (part::KEY_HEAD, standing.key_head != first),
            (part::NAME, standing.name.is_some()),
            (part::DOMAINS, !standing.domains.is_empty()),
            (part::NEXT, standing.next.is_some()),
            (part::GUARDIANS, standing.guardians.is_some()),
            (part::CONTROLLER, standing.controller.is_some()),
            (part::CUSTODIAN, standing.custodian.is_some()),
            (part::PROFILE, standing.profile.is_some()),
            (part::OVERLAYS, !standing.overlays.is_empty()),
            (part::EVIDENCE, standing.evidence != Evidence::default()),
            (part::NEXTS, private.nexts != standing.next.as_slice()),
            (part::RETIRED_AT, !private.retired_at.is_empty()),
            (part::REVOCATION, private.revocation.is_some()),
            (part::BY_REGISTRARS, !private.by_registrars.is_empty()),
            (part::VERIFIED, standing.verified),
        ]
        .into_iter()
        .fold(0, |parts, (part, is_there)| if is_there { parts | part } else { parts })
    }
}

/// The first link of a chain, which names the identity.
fn first_link(identity: Identity) -> Curr {
    Curr::from_bytes(*identity.as_bytes())
}

fn write_standing(w: &mut Writer, record: &Record) {
    let (standing, first) = (&*record.standing, first_link(record.identity));
    for curr in [record.head.curr, standing.key_head] {
        if curr != first {
            w.raw(curr.as_bytes());
        }
    }
    if let Some(name) = &standing.name {
        write_text(w, name);
    }
    if !standing.domains.is_empty() {
        write_list(w, &standing.domains, |w, name| write_text(w, name));
    }
    if let Some(next) = &standing.next {
        w.raw(next.as_bytes());
    }
    if let Some(guardians) = &standing.guardians {
        w.leb128(guardians.threshold);
        write_list(w, &guardians.ids, |w, id| {
            w.raw(id.as_bytes());
        });
    }
    for identity in [&standing.controller, &standing.custodian].into_iter().flatten() {
        w.raw(identity.as_bytes());
    }
    if let Some(profile) = &standing.profile {
        w.raw(profile);
    }
    if !standing.overlays.is_empty() {
        write_list(w, &standing.overlays, |w, overlay| {
            w.raw(overlay.issuer.as_bytes()).u8(overlay.kind as u8).leb128(overlay.index.get());
        });
    }
    if standing.evidence != Evidence::default() {
        w.leb128(standing.evidence.epoch).leb128(standing.evidence.r).leb128(standing.evidence.s);
    }
}

fn write_private(w: &mut Writer, state: &IdentityState) {
    let private = &*state.private;
    if private.nexts != state.record.standing.next.as_slice() {
        write_list(w, &private.nexts, |w, next| {
            w.raw(next.as_bytes());
        });
    }
    if !private.retired_at.is_empty() {
        write_list(w, &private.retired_at, |w, (kid, at)| {
            w.raw(kid.as_bytes()).leb128(at.get());
        });
    }
    if let Some(Revocation { by_next, at }) = private.revocation {
        w.u8(u8::from(by_next) | u8::from(at.is_some()) << 1);
        at.map(|at| w.leb128(at.get()));
    }
    if !private.by_registrars.is_empty() {
        write_list(w, &private.by_registrars, |w, (issuer, kind)| {
            w.raw(issuer.as_bytes()).u8(*kind as u8);
        });
    }
}

fn read_private(r: &mut Reader<'_>, parts: u16, next: Option<Next>) -> Option<Private> {
    let has = |part| parts & part != 0;
    let nexts = optional(has(part::NEXTS), || read_list(r, 32, |r| r.array().map(Next::from_bytes)))?;
    let retired_at = optional(has(part::RETIRED_AT), || {
        let times = read_list(r, 33, |r| Some((Kid::from_bytes(r.array()?), UnixMillis::new(r.leb128()?))))?;
        times.is_sorted_by(|(kid, _), (next, _)| kid < next).then_some(times)
    })?;
    let revocation = optional(has(part::REVOCATION), || {
        let marks = r.u8().filter(|marks| *marks < 4)?;
        let at = optional(marks & 2 != 0, || r.leb128().map(UnixMillis::new))?;
        Some(Revocation { by_next: marks & 1 != 0, at })
    })?;
    let by_registrars = optional(has(part::BY_REGISTRARS), || {
        read_list(r, 33, |r| Some((read_identity(r)?, *KINDS.get(usize::from(r.u8()?))?)))
    })?;
    Some(Private {
        nexts: nexts.unwrap_or_else(|| next.into_iter().collect()),
        retired_at: retired_at.map_or_else(BTreeMap::new, |times| times.into_iter().collect()),
        revocation,
        by_registrars: by_registrars.unwrap_or_default(),
    })
}

/// The id of a key follows from the key, so it is not written.
fn write_key(w: &mut Writer, key: &KeyRecord) {
    let roles = match key.roles {
        KeyRoles::Listed(Roles { act, admin }) => u8::from(act) | u8::from(admin) << 1,
        KeyRoles::Recovery => 4,
    };
    let suspect_by = key.suspect.and_then(|suspect| suspect.by);
    let marks = [
        (mark::REVOKED, key.revoked.is_some()),
        (mark::SUSPECT, key.suspect.is_some()),
        (mark::SUSPECT_BY, suspect_by.is_some()),
    ];
    let marks = marks.into_iter().filter(|(_, is_there)| *is_there).fold(roles, |all, (mark, _)| all | mark);
    w.u8(marks).raw(&key.pk).leb128(key.added.get());
    let [revoked, from] = [key.revoked.map(LeafIndex::get), key.suspect.map(|suspect| suspect.from.get())];
    for number in [revoked, from, suspect_by.map(Seqno::get)].into_iter().flatten() {
        w.leb128(number);
    }
}

fn read_key(r: &mut Reader<'_>) -> Option<KeyRecord> {
    let (marks, pk) = (r.u8()?, r.array()?);
    let roles = match marks & 7 {
        4 => KeyRoles::Recovery,
        listed @ 0..4 => KeyRoles::Listed(Roles { act: listed & 1 != 0, admin: listed & 2 != 0 }),
        _ => return None,
    };
    let added = LeafIndex::new(r.leb128()?);
    let revoked = optional(marks & mark::REVOKED != 0, || r.leb128().map(LeafIndex::new))?;
    let from = optional(marks & mark::SUSPECT != 0, || r.leb128().map(Seqno::new))?;
    let by = optional(marks & mark::SUSPECT_BY != 0, || r.leb128().map(Seqno::new))?;
    if marks >> 6 != 0 || (by.is_some() && from.is_none()) {
        return None;
    }
    Some(KeyRecord { kid: kid_of(&pk), pk, roles, added, revoked, suspect: from.map(|from| Suspect { from, by }) })
}

fn read_guardians(r: &mut Reader<'_>) -> Option<Guardians> {
    let threshold = r.leb128()?;
    Some(Guardians { ids: read_list(r, 32, read_identity)?, threshold })
}

fn read_overlay(r: &mut Reader<'_>) -> Option<Overlay> {
    let (issuer, kind) = (read_identity(r)?, *KINDS.get(usize::from(r.u8()?))?);
    Some(Overlay { issuer, kind, index: LeafIndex::new(r.leb128()?) })
}

fn read_evidence(r: &mut Reader<'_>) -> Option<Evidence> {
    Some(Evidence { epoch: r.leb128()?, r: r.leb128()?, s: r.leb128()? })
}

fn read_identity(r: &mut Reader<'_>) -> Option<Identity> {
    r.array().map(Identity::from_bytes)
}

fn write_text(w: &mut Writer, text: &str) {
    w.leb128(text.len() as u64).raw(text.as_bytes());
}

fn read_text(r: &mut Reader<'_>) -> Option<String> {
    let len = usize::try_from(r.leb128()?).ok()?;
    core::str::from_utf8(r.take(len)?).ok().map(str::to_owned)
}

fn write_list<I: IntoIterator<IntoIter: ExactSizeIterator>>(
    w: &mut Writer,
    items: I,
    item: impl Fn(&mut Writer, I::Item),
) {
    let items = items.into_iter();
    w.leb128(items.len() as u64);
    for value in items {
        item(w, value);
    }
}

/// Reads a list of items of `least` bytes or more; refuses a count that cannot fit before anything is allocated.
fn read_list<T>(r: &mut Reader<'_>, least: usize, item: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(r.leb128()?).ok()?;
    if count > r.len() / least {
        return None;
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(item(r)?);
    }
    Some(items)
}

/// What `read` gives, if it is there.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
fn optional<T>(is_there: bool, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if is_there { read().map(Some) } else { Some(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Identity {
        Identity::from_bytes([byte; 32])
    }

    fn key(byte: u8, roles: KeyRoles) -> KeyRecord {
        let pk = [byte; 32];
        KeyRecord { kid: kid_of(&pk), pk, roles, added: LeafIndex::new(300), revoked: None, suspect: None }
    }

    /// As after a genesis.
    fn founded() -> IdentityState {
        let roles = [Roles { act: true, admin: false }, Roles { act: false, admin: true }];
        let standing = Standing {
            name: None,
            domains: Vec::new(),
            status: Status::Active,
            verified: false,
            genesis_index: LeafIndex::new(300),
            key_head: first_link(id(1)),
            keys: vec![key(2, KeyRoles::Listed(roles[0])), key(3, KeyRoles::Listed(roles[1]))],
            next: None,
            guardians: None,
            controller: None,
            custodian: None,
            profile: None,
            overlays: Vec::new(),
            evidence: Evidence::default(),
        };
        let head = Head { seqno: Seqno::FIRST, curr: first_link(id(1)), index: LeafIndex::new(300) };
        IdentityState {
            record: Record { identity: id(1), head, standing: Arc::new(standing) },
            ctime: UnixMillis::new(1_700_000_000_000),
            private: Arc::default(),
        }
    }

    type Change = fn(&mut IdentityState, &mut Standing, &mut Private);

    /// Each sets something that has bytes of its own.
    const CHANGES: [Change; 19] = [
        |state, _, _| state.record.head.curr = Curr::from_bytes([9; 32]),
        |state, _, _| state.record.head.seqno = Seqno::new(u64::MAX),
        |_, standing, _| standing.key_head = Curr::from_bytes([8; 32]),
        |_, standing, _| standing.name = Some("name".into()),
        |_, standing, _| standing.domains = vec!["a.example".into(), "b.example".into()],
        |_, standing, _| standing.next = Some(Next::from_bytes([4; 32])),
        |_, standing, _| standing.guardians = Some(Guardians { ids: vec![id(5), id(6)], threshold: 2 }),
        |_, standing, _| standing.controller = Some(id(7)),
        |_, standing, _| standing.custodian = Some(id(7)),
        |_, standing, _| standing.profile = Some([7; 32]),
        |_, standing, _| {
            standing.overlays.extend(KINDS.map(|kind| Overlay { issuer: id(2), kind, index: LeafIndex::new(7) }));
        },
        |_, standing, _| standing.evidence = Evidence { epoch: 0, r: 1, s: u64::MAX },
        |_, standing, _| (standing.status, standing.verified) = (Status::Revoked, true),
        |_, standing, _| {
            standing.keys.extend([key(9, KeyRoles::Recovery), key(10, KeyRoles::Listed(Roles::default()))]);
        },
        |_, standing, _| {
            standing.keys[0].revoked = Some(LeafIndex::new(400));
            standing.keys[0].suspect = Some(Suspect { from: Seqno::new(7), by: None });
            standing.keys[1].suspect = Some(Suspect { from: Seqno::new(7), by: Some(Seqno::new(9)) });
        },
        |_, _, private| private.nexts = vec![Next::from_bytes([3; 32]), Next::from_bytes([4; 32])],
        |_, _, private| {
            private.retired_at.insert(Kid::from_bytes([3; 32]), UnixMillis::new(5));
        },
        |_, _, private| private.revocation = Some(Revocation { by_next: true, at: Some(UnixMillis::new(7)) }),
        |_, _, private| private.by_registrars = KINDS.map(|kind| (id(3), kind)).to_vec(),
    ];

    fn changed(which: impl Fn(usize) -> bool) -> IdentityState {
        let mut state = founded();
        let (mut standing, mut private) = (Standing::clone(&state.record.standing), Private::default());
        for (_, change) in CHANGES.iter().enumerate().filter(|(at, _)| which(*at)) {
            change(&mut state, &mut standing, &mut private);
        }
        (state.record.standing, state.private) = (Arc::new(standing), Arc::new(private));
        state
    }

    #[test]
    fn every_state_is_read_back_and_nothing_else_is() {
        let alone = (0..CHANGES.len()).map(|at| changed(|is| is == at));
        let but_one = (0..=CHANGES.len()).map(|at| changed(|is| is != at));
        let mut unsettled = founded();
        Arc::make_mut(&mut unsettled.private).revocation = Some(Revocation { by_next: false, at: None });
        for state in alone.chain(but_one).chain([founded(), unsettled]) {
            let bytes = state.to_bytes();
            assert_eq!(IdentityState::from_bytes(&bytes), Some(state));
            for len in 0..bytes.len() {
                assert_eq!(IdentityState::from_bytes(&bytes[..len]), None, "{len} of {}", bytes.len());
            }
            assert_eq!(IdentityState::from_bytes(&[&bytes, &[0][..]].concat()), None);
            // Whatever else is read is what it says.
            for bit in 0..bytes.len() * 8 {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                let again = IdentityState::from_bytes(&other).map(|state| state.to_bytes());
                assert!(again.is_none_or(|again| again == other), "bit {bit}");
            }
        }
    }

    #[test]
    fn an_identity_with_two_keys_takes_few_bytes() {
        assert!(founded().to_bytes().len() <= USUAL_LEN);
    }
}
