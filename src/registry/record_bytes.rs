//! The bytes of a record: JCS under the profile of formats.md §3, with exactly the members of §6.
//!
//! Written straight to text, member by member in the order of JCS: every string in it is hex, base64 or a name of
//! letters that need no escape. Read back strictly: a record with other members, or in another order, is none.

use std::sync::Arc;

use super::evidence::Evidence;
use super::record::{Head, KeyRecord, KeyRoles, Overlay, OverlayKind, Record, Standing, Status, Suspect};
use crate::encoding::{b64u_decode, b64u_encode};
use crate::merkle::LeafIndex;
use crate::soul::jcs::{JcsError, Value};
use crate::soul::{
    Curr, Guardians, Identity, Kid, Next, RawKey, Roles, Seqno, is_domain_name, is_label, kid as kid_of,
};

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// They are not canonical under the profile.
    NotCanonical(JcsError),
    /// A member is missing, not of its form, or there is one too many.
    Members,
}

impl Record {
    /// The bytes that the state map commits to.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        self.write(&mut bytes);
        bytes
    }

    /// Appends them.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let standing = &*self.standing;
        let mut json = Json::open(bytes);
        json.optional_hex("controller", standing.controller.as_ref().map(Identity::as_bytes));
        json.optional_hex("custodian", standing.custodian.as_ref().map(Identity::as_bytes));
        if !standing.domains.is_empty() {
            json.list("domains", &standing.domains, |json, name| json.text(name));
        }
        write_evidence(&mut json, standing.evidence);
        json.number("genesis_index", standing.genesis_index.get());
        if let Some(guardians) = &standing.guardians {
            write_guardians(&mut json, guardians);
        }
        json.hex("head", self.head.curr.as_bytes());
        json.number("head_index", self.head.index.get());
        json.hex("identity", self.identity.as_bytes());
        json.hex("key_head", standing.key_head.as_bytes());
        json.list("keys", &standing.keys, write_key);
        if let Some(name) = &standing.name {
            json.string("name", name);
        }
        json.optional_hex("next", standing.next.as_ref().map(Next::as_bytes));
        json.list("overlays", &standing.overlays, write_overlay);
        json.optional_hex("profile", standing.profile.as_ref());
        json.number("seqno", self.head.seqno.get());
        json.string("status", standing.status.name());
        json.number("v", 1);
        json.member("verified").raw(if standing.verified { "true" } else { "false" });
        json.close();
    }

    /// Reads the bytes of a record, and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let value = Value::parse_canonical(bytes).map_err(RecordError::NotCanonical)?;
        Self::from_value(&value).ok_or(RecordError::Members)
    }

    /// A record from its parsed form; `None` unless it has exactly the members of one.
    pub fn from_value(value: &Value) -> Option<Self> {
        let mut members = Members::of(value)?;
        let controller = members.optional("controller", |v| hex(v).map(Identity::from_bytes))?;
        let custodian = members.optional("custodian", |v| hex(v).map(Identity::from_bytes))?;
        let domains = members.optional("domains", domains)?.unwrap_or_default();
        let evidence = members.required("evidence", evidence)?;
        let genesis_index = members.required("genesis_index", index)?;
        let guardians = members.optional("guardians", guardians)?;
        let curr = members.required("head", |v| hex(v).map(Curr::from_bytes))?;
        let head_index = members.required("head_index", index)?;
        let identity = members.required("identity", |v| hex(v).map(Identity::from_bytes))?;
        let key_head = members.required("key_head", |v| hex(v).map(Curr::from_bytes))?;
        let keys = members.required("keys", |v| sorted_list(v, key, |k: &KeyRecord| k.kid))?;
        let name = members.optional("name", |v| string(v).filter(|name| is_label(name)))?;
        let next = members.optional("next", |v| hex(v).map(Next::from_bytes))?;
        let overlays = members.required("overlays", |v| sorted_list(v, overlay, |o: &Overlay| (o.issuer, o.kind)))?;
        let profile = members.optional("profile", hex)?;
        let seqno = members.required("seqno", seqno)?;
        let status = members.required("status", status)?;
        members.required("v", |v| (v.as_int() == Some(1)).then_some(()))?;
        let verified = members.required("verified", Value::as_bool)?;
        members.end()?;
        let standing = Standing {
            name,
            domains,
            status,
            verified,
            genesis_index,
            key_head,
            keys,
            next,
            guardians,
            controller,
            custodian,
            profile,
            overlays,
            evidence,
        };
        Some(Self { identity, head: Head { seqno, curr, index: head_index }, standing: Arc::new(standing) })
    }
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotCanonical(_) => "the record is not canonical JSON under the profile",
            Self::Members => "the record does not have exactly the members of one",
        })
    }
}

impl std::error::Error for RecordError {}

fn write_evidence(json: &mut Json<'_>, evidence: Evidence) {
    json.object("evidence", |json| {
        json.number("epoch", evidence.epoch);
        json.number("r", evidence.r);
        json.number("s", evidence.s);
    });
}

fn write_guardians(json: &mut Json<'_>, guardians: &Guardians) {
    json.object("guardians", |json| {
        json.list("ids", &guardians.ids, |json, id| json.text_hex(id.as_bytes()));
        json.number("threshold", guardians.threshold);
    });
}

fn write_key(json: &mut Json<'_>, key: &KeyRecord) {
    json.braces(|json| {
        json.number("added", key.added.get());
        json.string("alg", "ed25519");
        json.hex("kid", key.kid.as_bytes());
        json.string("pk", &b64u_encode(&key.pk));
        if let Some(revoked) = key.revoked {
            json.number("revoked", revoked.get());
        }
        json.list("roles", role_names(key.roles), |json, role| json.text(role));
        if let Some(suspect) = key.suspect {
            if let Some(by) = suspect.by {
                json.number("suspect_by", by.get());
            }
            json.number("suspect_from", suspect.from.get());
        }
    });
}

fn write_overlay(json: &mut Json<'_>, overlay: &Overlay) {
    json.braces(|json| {
        json.number("index", overlay.index.get());
        json.hex("issuer", overlay.issuer.as_bytes());
        json.string("kind", overlay.kind.name());
    });
}

fn role_names(roles: KeyRoles) -> &'static [&'static str] {
    match roles {
        KeyRoles::Recovery => &["recovery"],
        KeyRoles::Listed(Roles { act: true, admin: true }) => &["act", "admin"],
        KeyRoles::Listed(Roles { act: true, admin: false }) => &["act"],
        KeyRoles::Listed(Roles { act: false, admin: true }) => &["admin"],
        KeyRoles::Listed(Roles { act: false, admin: false }) => &[],
    }
}

fn domains(value: &Value) -> Option<Vec<String>> {
    let names = sorted_list(value, |v| string(v).filter(|name| is_domain_name(name)), Clone::clone)?;
    (!names.is_empty()).then_some(names)
}

fn evidence(value: &Value) -> Option<Evidence> {
    let mut members = Members::of(value)?;
    let epoch = members.required("epoch", Value::as_u64)?;
    let r = members.required("r", Value::as_u64)?;
    let s = members.required("s", Value::as_u64)?;
    members.end()?;
    Some(Evidence { epoch, r, s })
}

fn guardians(value: &Value) -> Option<Guardians> {
    let mut members = Members::of(value)?;
    let ids = members.required("ids", |v| sorted_list(v, |v| hex(v).map(Identity::from_bytes), |id| *id))?;
    let threshold = members.required("threshold", Value::as_u64)?;
    members.end()?;
    (1..=ids.len() as u64).contains(&threshold).then_some(Guardians { ids, threshold })
}

fn key(value: &Value) -> Option<KeyRecord> {
    let mut members = Members::of(value)?;
    let added = members.required("added", index)?;
    members.required("alg", |v| (v.as_str() == Some("ed25519")).then_some(()))?;
    let kid = members.required("kid", |v| hex(v).map(Kid::from_bytes))?;
    let pk = members.required("pk", |v| RawKey::try_from(b64u_decode(v.as_str()?)?).ok())?;
    let revoked = members.optional("revoked", index)?;
    let roles = members.required("roles", roles)?;
    let by = members.optional("suspect_by", seqno)?;
    let from = members.optional("suspect_from", seqno)?;
    members.end()?;
    if kid_of(&pk) != kid || (by.is_some() && from.is_none()) {
        return None;
    }
    Some(KeyRecord { kid, pk, roles, added, revoked, suspect: from.map(|from| Suspect { from, by }) })
}

fn roles(value: &Value) -> Option<KeyRoles> {
    let names: Option<Vec<_>> = value.as_array()?.iter().map(Value::as_str).collect();
    match names?.as_slice() {
        ["recovery"] => Some(KeyRoles::Recovery),
        ["act"] => Some(KeyRoles::Listed(Roles { act: true, admin: false })),
        ["admin"] => Some(KeyRoles::Listed(Roles { act: false, admin: true })),
        ["act", "admin"] => Some(KeyRoles::Listed(Roles { act: true, admin: true })),
        _ => None,
    }
}

fn overlay(value: &Value) -> Option<Overlay> {
    let mut members = Members::of(value)?;
    let index = members.required("index", index)?;
    let issuer = members.required("issuer", |v| hex(v).map(Identity::from_bytes))?;
    let kind = members.required("kind", |v| match v.as_str()? {
        "revoke" => Some(OverlayKind::Revoke),
        "suspend" => Some(OverlayKind::Suspend),
        "verified" => Some(OverlayKind::Verified),
        _ => None,
    })?;
    members.end()?;
    Some(Overlay { issuer, kind, index })
}

fn status(value: &Value) -> Option<Status> {
    match value.as_str()? {
        "active" => Some(Status::Active),
        "suspended" => Some(Status::Suspended),
        "revoked" => Some(Status::Revoked),
        _ => None,
    }
}

fn hex(value: &Value) -> Option<[u8; 32]> {
    crate::encoding::hex_decode_32(value.as_str()?)
}

fn string(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn index(value: &Value) -> Option<LeafIndex> {
    value.as_u64().map(LeafIndex::new)
}

fn seqno(value: &Value) -> Option<Seqno> {
    value.as_u64().filter(|n| *n > 0).map(Seqno::new)
}

/// The items of a list that is sorted by `by`, without repeats.
fn sorted_list<T, K: Ord>(value: &Value, item: impl Fn(&Value) -> Option<T>, by: impl Fn(&T) -> K) -> Option<Vec<T>> {
    let items: Option<Vec<T>> = value.as_array()?.iter().map(item).collect();
    items.filter(|items| items.is_sorted_by(|a, b| by(a) < by(b)))
}

/// The members of an object, to be asked for in their order, so that one that is not asked for is noticed.
struct Members<'a> {
    rest: &'a [(String, Value)],
}

impl<'a> Members<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(|rest| Self { rest })
    }

    fn required<T>(&mut self, name: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        self.optional(name, read)?
    }

    /// `Some(None)` if the member is not there, `None` if it is there and not of its form.
    #[expect(clippy::option_option, reason = "absent and wrong are two things")]
    fn optional<T>(&mut self, name: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<Option<T>> {
        let Some(((key, value), rest)) = self.rest.split_first() else { return Some(None) };
        if key != name {
            return Some(None);
        }
        self.rest = rest;
        read(value).map(Some)
    }

    fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}

/// Text of an object whose members are written in their order.
struct Json<'a> {
    text: &'a mut Vec<u8>,
}

impl<'a> Json<'a> {
    fn open(text: &'a mut Vec<u8>) -> Self {
        text.push(b'{');
        Self { text }
    }

    fn close(self) {
        self.text.push(b'}');
    }

    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn member(&mut self, name: &str) -> &mut Self {
        self.comma(b'{');
        self.text(name);
        self.text.push(b':');
        self
    }

    /// Separates this item from the one before it, unless it is the first after `opening`.
    fn comma(&mut self, opening: u8) {
        if self.text.last() != Some(&opening) {
            self.text.push(b',');
        }
    }

    fn text(&mut self, text: &str) {
        self.text.push(b'"');
        self.raw(text);
        self.text.push(b'"');
    }

    fn text_hex(&mut self, bytes: &[u8; 32]) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
            *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        self.text.push(b'"');
        self.text.extend_from_slice(&digits);
        self.text.push(b'"');
    }

    fn string(&mut self, name: &str, text: &str) {
        self.member(name).text(text);
    }

    fn number(&mut self, name: &str, value: u64) {
        let mut digits = [0; 20];
        let (mut rest, mut at) = (value, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.member(name).text.extend_from_slice(&digits[at..]);
    }

    fn hex(&mut self, name: &str, bytes: &[u8; 32]) {
        self.member(name).text_hex(bytes);
    }

    fn optional_hex(&mut self, name: &str, bytes: Option<&[u8; 32]>) {
        if let Some(bytes) = bytes {
            self.hex(name, bytes);
        }
    }

    fn object(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.member(name).braces(members);
    }

    fn braces(&mut self, members: impl FnOnce(&mut Self)) {
        self.text.push(b'{');
        members(self);
        self.text.push(b'}');
    }

    fn list<T>(&mut self, name: &str, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.member(name).text.push(b'[');
        for value in items {
            self.comma(b'[');
            item(self, value);
        }
        self.text.push(b']');
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
