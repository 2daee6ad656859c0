//! The bytes of `extra`: JCS under the profile of formats.md §3.
//!
//! ```text
//! link proof   {"body"?, "entry", "key_events"?, "salt"?, "state"?: {"map", "path", "record"?, "trailer"}, "v":1}
//! state proof  {"state": {"map", "record"?, "trailer"}, "v":1}
//! map          {"bitmap", "depth", "key"?, "kind", "siblings", "value"?}
//! ```
//!
//! Written member by member in the order of JCS: every string is hex or base64, and a record is put in as the bytes that
//! it is. Since the reader accepts one spelling only, what it read gives the same bytes again, the record's too.

use core::fmt;

use super::extra::{Extra, LinkExtra, MAX_KEY_EVENTS, SignerState, StatePart};
use crate::encoding::{b64_decode, b64_encode, hex_decode, hex_decode_32, hex_encode};
use crate::hash::Hash;
use crate::map::{MAX_DEPTH, MapKey, MapProofError, MapValue, Proof, ProofKind};
use crate::soul::jcs::{JcsError, Value};
use crate::soul::{Beside, Salt};
use crate::tlog::MAX_PATH_LEN;

/// Why bytes are no `extra`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ExtraError {
    /// They are not canonical JSON under the profile.
    Canonical(JcsError),
    /// A member has no place where it stands.
    Unknown {
        /// Its name.
        name: String,
    },
    /// A member is missing, or not of its form.
    Member {
        /// Its name.
        name: &'static str,
    },
    /// A list is too long.
    TooMany {
        /// Its name.
        name: &'static str,
        /// The most that it may have.
        max: usize,
    },
    /// The parts of the map proof do not fit each other.
    Map(MapProofError),
}

type Read<T> = Result<T, ExtraError>;

impl Extra {
    /// Reads the extra data of a proof.
    pub fn parse(bytes: &[u8]) -> Read<Self> {
        let value = Value::parse_canonical(bytes).map_err(ExtraError::Canonical)?;
        let extra = if value.get("entry").is_some() {
            Self::Link(link(&Members::of("extra", &value, &["body", "entry", "key_events", "salt", "state", "v"])?)?)
        } else {
            let members = Members::of("extra", &value, &["state", "v"])?;
            let state = members.value("state")?;
            Self::State(state_part(&Members::of("state", state, &["map", "record", "trailer"])?)?)
        };
        if value.get("v") == Some(&Value::Int(1)) { Ok(extra) } else { Err(ExtraError::Member { name: "v" }) }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = Json(Vec::with_capacity(1024));
        json.object(|json| {
            match self {
                Self::Link(extra) => write_link(json, extra),
                Self::State(part) => json.name("state").object(|json| write_state(json, None, part)),
            }
            json.name("v").raw(b"1");
        });
        json.0
    }
}

fn link(members: &Members<'_>) -> Read<LinkExtra> {
    let body = members.optional("body", bytes)?;
    let salt = members.optional("salt", |value| hex32(value).map(Salt::from_bytes))?;
    let disclosed = match (body, salt) {
        (Some(body), Some(salt)) => Some(Beside { salt, body }),
        (None, None) => None,
        (Some(_), None) => return Err(ExtraError::Member { name: "salt" }),
        (None, Some(_)) => return Err(ExtraError::Member { name: "body" }),
    };
    let key_events = match members.optional("key_events", Some)? {
        None => Vec::new(),
        Some(list) if list.as_array() == Some(&[]) => return Err(ExtraError::Member { name: "key_events" }),
        Some(_) => members.list("key_events", MAX_KEY_EVENTS, bytes)?,
    };
    let state = members.optional("state", Some)?.map(signer_state).transpose()?;
    Ok(LinkExtra { entry: members.required("entry", bytes)?, disclosed, key_events, state })
}

fn signer_state(value: &Value) -> Read<SignerState> {
    let members = Members::of("state", value, &["map", "path", "record", "trailer"])?;
    let hash = |value: &Value| bytes(value)?.try_into().ok().map(Hash::from_bytes);
    Ok(SignerState { path: members.list("path", MAX_PATH_LEN, hash)?, part: state_part(&members)? })
}

fn state_part(members: &Members<'_>) -> Read<StatePart> {
    Ok(StatePart {
        trailer: members.required("trailer", bytes)?,
        record: members.optional("record", |value| value.as_object().map(|_| value.to_bytes()))?,
        map: map_proof(members.value("map")?)?,
    })
}

fn map_proof(value: &Value) -> Read<Proof> {
    let members = Members::of("map", value, &["bitmap", "depth", "key", "kind", "siblings", "value"])?;
    let key = members.optional("key", |value| hex32(value).map(MapKey::from_bytes))?;
    let leaf = members.optional("value", |value| hex32(value).map(MapValue::from_bytes))?;
    let kind = match (members.required("kind", Value::as_str)?, key, leaf) {
        ("included", None, None) => ProofKind::Included,
        ("other", Some(key), Some(value)) => ProofKind::Other { key, value },
        ("empty", None, None) => ProofKind::Empty,
        _ => return Err(ExtraError::Member { name: "kind" }),
    };
    let depth = members.required("depth", |value| value.as_u64().and_then(|depth| u16::try_from(depth).ok()))?;
    let siblings = members.list("siblings", usize::from(MAX_DEPTH), |value| hex32(value).map(Hash::from_bytes))?;
    let bitmap = members.required("bitmap", |value| hex_decode(value.as_str()?))?;
    Proof::new(kind, depth, siblings, bitmap).map_err(ExtraError::Map)
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    b64_decode(value.as_str()?)
}

fn hex32(value: &Value) -> Option<[u8; 32]> {
    hex_decode_32(value.as_str()?)
}

/// An object that has no members but those that were named.
struct Members<'a>(&'a Value);

impl<'a> Members<'a> {
    /// The members of the object that is called `name` where it stands.
    fn of(name: &'static str, value: &'a Value, known: &[&str]) -> Read<Self> {
        let members = value.as_object().ok_or(ExtraError::Member { name })?;
        match members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(ExtraError::Unknown { name: name.clone() }),
            None => Ok(Self(value)),
        }
    }

    fn value(&self, name: &'static str) -> Read<&'a Value> {
        self.0.get(name).ok_or(ExtraError::Member { name })
    }

    fn required<T>(&self, name: &'static str, read: impl FnOnce(&'a Value) -> Option<T>) -> Read<T> {
        read(self.value(name)?).ok_or(ExtraError::Member { name })
    }

    fn optional<T>(&self, name: &'static str, read: impl FnOnce(&'a Value) -> Option<T>) -> Read<Option<T>> {
        self.0.get(name).map(|value| read(value).ok_or(ExtraError::Member { name })).transpose()
    }

    fn list<T>(&self, name: &'static str, max: usize, read: impl Fn(&'a Value) -> Option<T>) -> Read<Vec<T>> {
        let items = self.required(name, Value::as_array)?;
        if items.len() > max {
            return Err(ExtraError::TooMany { name, max });
        }
        items.iter().map(read).collect::<Option<_>>().ok_or(ExtraError::Member { name })
    }
}

fn write_link(json: &mut Json, extra: &LinkExtra) {
    if let Some(beside) = &extra.disclosed {
        json.name("body").text(&b64_encode(&beside.body));
    }
    json.name("entry").text(&b64_encode(&extra.entry));
    if !extra.key_events.is_empty() {
        json.name("key_events").texts(extra.key_events.iter().map(|entry| b64_encode(entry)));
    }
    if let Some(beside) = &extra.disclosed {
        json.name("salt").text(&beside.salt.to_hex());
    }
    if let Some(state) = &extra.state {
        json.name("state").object(|json| write_state(json, Some(&state.path), &state.part));
    }
}

fn write_state(json: &mut Json, path: Option<&[Hash]>, part: &StatePart) {
    json.name("map").object(|json| write_map(json, &part.map));
    if let Some(path) = path {
        json.name("path").texts(path.iter().map(|hash| b64_encode(hash.as_bytes())));
    }
    if let Some(record) = &part.record {
        json.name("record").raw(record);
    }
    json.name("trailer").text(&b64_encode(&part.trailer));
}

fn write_map(json: &mut Json, map: &Proof) {
    let (kind, other) = match map.kind() {
        ProofKind::Included => ("included", None),
        ProofKind::Other { key, value } => ("other", Some((key, value))),
        ProofKind::Empty => ("empty", None),
    };
    json.name("bitmap").text(&hex_encode(map.bitmap()));
    json.name("depth").raw(map.depth().to_string().as_bytes());
    if let Some((key, _)) = other {
        json.name("key").text(&key.to_hex());
    }
    json.name("kind").text(kind);
    json.name("siblings").texts(map.siblings().iter().map(Hash::to_hex));
    if let Some((_, value)) = other {
        json.name("value").text(&value.to_hex());
    }
}

/// Bytes of JSON whose members are written in their order and whose strings need no escape.
struct Json(Vec<u8>);

impl Json {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(b"\"");
        self.raw(text.as_bytes());
        self.raw(b"\"");
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.comma(b'{');
        self.text(name);
        self.raw(b":");
        self
    }

    /// Separates what comes from what stands before it, unless that is the opening bracket.
    fn comma(&mut self, opening: u8) {
        if self.0.last() != Some(&opening) {
            self.raw(b",");
        }
    }

    fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.raw(b"{");
        members(self);
        self.raw(b"}");
    }

    fn texts(&mut self, texts: impl Iterator<Item = String>) {
        self.raw(b"[");
        for text in texts {
            self.comma(b'[');
            self.text(&text);
        }
        self.raw(b"]");
    }
}

impl fmt::Display for ExtraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canonical(error) => write!(f, "not canonical JSON: {error}"),
            Self::Unknown { name } => write!(f, "`{name}` has no place there"),
            Self::Member { name } => write!(f, "`{name}` is missing or not of its form"),
            Self::TooMany { name, max } => write!(f, "`{name}` has more than {max} items"),
            Self::Map(error) => write!(f, "the map proof: {error}"),
        }
    }
}

impl core::error::Error for ExtraError {}
