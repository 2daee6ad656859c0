//! The JSON shapes that the node, its clients and its command line share.
//!
//! Bytes are base64 where formats.md says b64, ids are lowercase hex. Unknown members of a request are refused; clients
//! ignore members of an answer that they do not know. What is no JSON is in a file of its own: the headers of a signed
//! request are `message_signature`'s.

mod message_signature;

use serde::{Deserialize, Serialize};

use crate::encoding::{b64_decode, b64_encode};
use crate::soul::jcs::Value;
use crate::soul::{Beside, HEADER_LEN, Link, LinkError, LinkType, Salt};

pub use message_signature::{
    CoveredComponents, MAX_SIGNATURE_AGE_MS, MAX_SIGNATURE_INPUT_LEN, MessageSignature, MessageSignatureError,
    ReadMessageSignature,
};

/// Greatest number of links in a request.
pub const MAX_LINKS: usize = 256;
/// Greatest length of a request.
pub const MAX_REQUEST_LEN: usize = 4 << 20;
/// Media type of links in binary.
pub const LINKS_MEDIA_TYPE: &str = "application/vnd.soulchain.links";
/// Media type of problems (RFC 9457).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// A link as it is submitted: `POST /v1/links`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkJson {
    /// The 274-byte header `M`, base64.
    pub header: String,
    /// The 64-byte signature over it, base64.
    pub sig: String,
    /// The exact JCS text of the body that was signed; absent for an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The salt of a body that is kept beside the log, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

/// Why a submitted link cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkReadError {
    /// A member is not in its encoding.
    Encoding(&'static str),
    /// The bytes are no link.
    Link(LinkError),
    /// The binary framing is broken.
    Framing,
    /// One of several links is not what it should be.
    At(usize, Box<Self>),
    /// There are none, or too many.
    Count(usize),
}

impl std::fmt::Display for LinkReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encoding(member) => write!(f, "`{member}` is not in its encoding"),
            Self::Link(error) => error.fmt(f),
            Self::Framing => f.write_str("the binary framing does not add up"),
            Self::At(_, error) => error.fmt(f),
            Self::Count(count) => write!(f, "{count} links in one request; 1 to {MAX_LINKS} are allowed"),
        }
    }
}

impl std::error::Error for LinkReadError {}

impl LinkJson {
    /// The shape of a link.
    pub fn of(link: &Link, beside: Option<&Beside>) -> Self {
        let body = beside.map(|beside| &beside.body[..]).or(link.body());
        Self {
            header: b64_encode(link.message()),
            sig: b64_encode(link.sig()),
            // A body that was read is UTF-8.
            body: body.map(|body| String::from_utf8_lossy(body).into_owned()),
            salt: beside.map(|beside| beside.salt.to_hex()),
        }
    }

    /// Reads the link.
    pub fn read(&self) -> Result<(Link, Option<Beside>), LinkReadError> {
        let header = b64_decode(&self.header).ok_or(LinkReadError::Encoding("header"))?;
        let sig = b64_decode(&self.sig).ok_or(LinkReadError::Encoding("sig"))?;
        let salt = match &self.salt {
            None => None,
            Some(salt) => Some(Salt::from_hex(salt).ok_or(LinkReadError::Encoding("salt"))?),
        };
        let body = self.body.as_deref().map(str::as_bytes);
        Link::from_parts(&header, &sig, body, salt).map_err(LinkReadError::Link)
    }
}

/// Writes links in binary: `u32 length ‖ M ‖ sig ‖ salt or zeros 32 ‖ body`, repeated.
pub fn write_links<'a>(links: impl IntoIterator<Item = (&'a Link, Option<&'a Beside>)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (link, beside) in links {
        let body = beside.map(|beside| &beside.body[..]).or(link.body()).unwrap_or_default();
        let salt = beside.map_or(Salt::ZERO, |beside| beside.salt);
        let len = (HEADER_LEN + 64 + 32 + body.len()) as u32;
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(link.message());
        bytes.extend_from_slice(link.sig());
        bytes.extend_from_slice(salt.as_bytes());
        bytes.extend_from_slice(body);
    }
    bytes
}

/// Reads links in binary.
pub fn read_links(bytes: &[u8]) -> Result<Vec<(Link, Option<Beside>)>, LinkReadError> {
    let mut reader = crate::encoding::Reader::new(bytes);
    let mut links = Vec::new();
    while !reader.is_empty() {
        if links.len() == MAX_LINKS {
            return Err(LinkReadError::Count(links.len() + 1));
        }
        let framed = reader.u32().and_then(|len| reader.take(len as usize)).ok_or(LinkReadError::Framing);
        let read = framed.and_then(read_binary);
        links.push(read.map_err(|error| LinkReadError::At(links.len(), Box::new(error)))?);
    }
    if links.is_empty() { Err(LinkReadError::Count(0)) } else { Ok(links) }
}

fn read_binary(bytes: &[u8]) -> Result<(Link, Option<Beside>), LinkReadError> {
    let mut reader = crate::encoding::Reader::new(bytes);
    let mut take = |len| reader.take(len).ok_or(LinkReadError::Framing);
    let (header, sig, salt) = (take(HEADER_LEN)?, take(64)?, take(32)?);
    let salt = salt.try_into().map(Salt::from_bytes).map_err(|_| LinkReadError::Framing)?;
    let body = Some(reader.rest()).filter(|body| !body.is_empty());
    Link::from_parts(header, sig, body, Some(salt).filter(|salt| !salt.is_zero())).map_err(LinkReadError::Link)
}

/// A JSON value in the profile of formats.md §3; `None` where it holds a number that is no integer. Keys and depth are
/// judged when the body is read.
pub fn to_profile(value: &serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Int(number.as_i64()?),
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(to_profile).collect::<Option<_>>()?),
        serde_json::Value::Object(members) => {
            let members = members.iter().map(|(key, value)| Some((key.clone(), to_profile(value)?)));
            Value::object(members.collect::<Option<Vec<_>>>()?)
        }
    })
}

/// Where a link was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct Placed {
    /// Index of its entry.
    pub index: u64,
    /// Its id, hex.
    pub curr: String,
    /// Its place in the chain.
    pub seqno: u64,
    /// Inclusion path in the tree of `checkpoint`, base64; absent with `proof=none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
}

/// Answer of `POST /v1/links`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct Appended {
    /// The signed checkpoint that the paths lead to; absent with `proof=none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// With `proof=witnessed`: whether the quorum was met in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<bool>,
    /// One for each link of the request.
    pub links: Vec<Placed>,
}

/// Request of `POST /v1/links/prepare`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Type of the link: `genesis`, `profile`, `action`.
    #[serde(rename = "type")]
    pub link_type: String,
    /// Whose chain; not for a genesis. Either this or `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The handle of the chain's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The key that will sign, hex.
    pub kid: String,
    /// The body; brought into canonical form. Absent: an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// `success`, `failure`, `denied`; of an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whether the body becomes part of the entry, public for ever. Of an action; default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<bool>,
}

/// Answer of `POST /v1/links/prepare`: rebuild M from it, compare, and only then sign.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct Prepared {
    /// The 274 bytes to sign, base64.
    pub header: String,
    /// The id that the link will have, hex.
    pub curr: String,
    /// The exact text of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The salt of a body beside the log, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The fields of the header, one by one.
    pub fields: HeaderJson,
}

/// A header's fields (formats.md §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct HeaderJson {
    /// Hex.
    pub log_id: String,
    /// Hex; of a genesis the identity that it founds.
    pub identity: String,
    /// Place in the chain.
    pub seqno: u64,
    /// Hex.
    pub prev: String,
    /// Hex.
    pub auth: String,
    /// Name of the type.
    #[serde(rename = "type")]
    pub link_type: String,
    /// Whether the body is part of the entry.
    pub inline: bool,
    /// `none`, `success`, `failure`, `denied`.
    pub outcome: String,
    /// The signer's claim, Unix milliseconds.
    pub ctime_ms: u64,
    /// Size of a checkpoint that the signer had seen.
    pub anchor_size: u64,
    /// Its root, hex.
    pub anchor_root: String,
    /// Who signs, hex.
    pub kid: String,
    /// Bytes of the body.
    pub body_len: u32,
    /// Hex.
    pub body_commit: String,
}

impl HeaderJson {
    /// The shape of a link's header.
    pub fn of(link: &Link) -> Self {
        let header = link.header();
        let identity =
            if header.link_type == LinkType::Genesis { link.curr().to_hex() } else { header.identity.to_hex() };
        Self {
            log_id: header.log_id.to_hex(),
            identity,
            seqno: header.seqno.get(),
            prev: header.prev.to_hex(),
            auth: header.auth.to_hex(),
            link_type: header.link_type.to_string(),
            inline: header.inline,
            outcome: header.outcome.to_string(),
            ctime_ms: header.ctime.get(),
            anchor_size: header.anchor_size,
            anchor_root: header.anchor_root.to_hex(),
            kid: header.kid.to_hex(),
            body_len: header.body_len,
            body_commit: header.body_commit.to_hex(),
        }
    }
}

/// A link as the node shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct LinkView {
    /// Index of its entry.
    pub index: u64,
    /// Its id, hex.
    pub curr: String,
    /// The header's fields.
    #[serde(flatten)]
    pub header: HeaderJson,
    /// The signature, base64.
    pub sig: String,
    /// The body, where it is inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
}

/// A page of links, newest first: `GET /v1/agents/{id}/links`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct LinkPage {
    /// The links.
    pub links: Vec<LinkView>,
    /// `before` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Size of the tree that this was read from.
    pub tree_size: u64,
    /// Its root, base64.
    pub root: String,
}

/// What another identity says of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct AboutView {
    /// Index of its entry.
    pub index: u64,
    /// Who says it, hex.
    pub issuer: String,
    /// The issuer's handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_name: Option<String>,
    /// Of a notice: `registrar` or `guardian`, where the issuer is one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub office: Option<String>,
    /// Its place in the issuer's chain.
    pub seqno: u64,
    /// Its id, hex.
    pub curr: String,
    /// `attest`, `feedback`, `notice`, `receipt`.
    #[serde(rename = "type")]
    pub link_type: String,
    /// Of a receipt: `none`, `success`, `failure`, `denied`.
    pub outcome: String,
    /// The issuer's claim, Unix milliseconds.
    pub ctime_ms: u64,
    /// The body.
    pub body: serde_json::Value,
    /// Whether the issuer took it back.
    pub retracted: bool,
    /// Whether it is an attest whose `expires_ms` log time has reached.
    pub expired: bool,
}

/// A page of what others say of an agent, newest first: `GET /v1/agents/{id|name}/about`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct AboutPage {
    /// What they say.
    pub links: Vec<AboutView>,
    /// `before` of the next page; absent on the last one. A page that found little may still have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Number of all such links, where nothing is filtered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Log time, which tells what has expired, Unix milliseconds.
    pub log_time_ms: u64,
    /// Size of the tree that this was read from.
    pub tree_size: u64,
    /// Its root, base64.
    pub root: String,
}

/// `GET /v1/agents/{id|name}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct AgentView {
    /// The identity, hex.
    pub identity: String,
    /// Its handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `active`, `suspended`, `revoked`.
    pub status: String,
    /// Whether a registrar's `verified` stands.
    pub verified: bool,
    /// Log time of its state, Unix milliseconds.
    pub log_time_ms: u64,
    /// The record of formats.md §6.
    pub record: serde_json::Value,
    /// The profile's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<serde_json::Value>,
    /// Where its chain ends: what the next link has to name.
    pub head: HeadJson,
    /// Size of the tree that this was read from.
    pub tree_size: u64,
    /// Its root, base64.
    pub root: String,
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct HeadJson {
    /// Of the newest link.
    pub seqno: u64,
    /// Of the newest link, hex.
    pub curr: String,
    /// Of the newest link.
    pub index: u64,
    /// The newest key event, hex.
    pub auth: String,
}

/// One row of the directory: `GET /v1/agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct AgentRow {
    /// The identity, hex.
    pub identity: String,
    /// Its handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// From its profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// From its profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// From its profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// `active`, `suspended`, `revoked`.
    pub status: String,
    /// Whether a registrar's `verified` stands.
    pub verified: bool,
    /// Length of its chain.
    pub seqno: u64,
    /// Where it was founded.
    pub genesis_index: u64,
}

/// A page of the directory, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct AgentPage {
    /// The rows.
    pub agents: Vec<AgentRow>,
    /// Where the next page begins; absent on the last one. A page that found little may still have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Number of all identities, where nothing is filtered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// `GET /v1/log`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct LogView {
    /// The origin line.
    pub origin: String,
    /// `H(origin)`, hex.
    pub log_id: String,
    /// The key that signs what is published.
    pub log_vkey: String,
    /// The key that signs proofs given at once.
    pub instant_vkey: String,
    /// Entries.
    pub tree_size: u64,
    /// Root, base64.
    pub root: String,
    /// Log time of the newest trailer, Unix milliseconds.
    pub log_time_ms: u64,
    /// Number of identities.
    pub identities: u64,
    /// Size of the published checkpoint.
    pub published_size: u64,
    /// The witnesses that cosign what is published, by their keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<String>,
    /// A tlog-policy for this log and its witnesses. Relying parties take theirs from elsewhere.
    pub policy: String,
}

/// `GET /v1/log/entries/{index}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct EntryView {
    /// Its index.
    pub index: u64,
    /// Its bytes, base64.
    pub entry: String,
    /// RFC 6962 leaf hash, base64.
    pub leaf_hash: String,
    /// Decoded, where it is a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkView>,
    /// Decoded, where it is a trailer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailer: Option<TrailerView>,
}

/// A trailer, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct TrailerView {
    /// Its own index.
    pub covers: u64,
    /// Root of the state map, hex.
    pub map_root: String,
    /// Number of records.
    pub identities: u64,
    /// Unix milliseconds.
    pub log_time_ms: u64,
}

/// `GET /v1/log/proof/inclusion`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct InclusionView {
    /// Which entry.
    pub index: u64,
    /// In the tree of this size.
    pub size: u64,
    /// With this root, base64.
    pub root: String,
    /// Base64, from the leaf's sibling up.
    pub path: Vec<String>,
}

/// `GET /v1/log/proof/consistency`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct ConsistencyView {
    /// The smaller size.
    pub old: u64,
    /// The larger size.
    pub new: u64,
    /// Root of the smaller tree, base64.
    pub old_root: String,
    /// Root of the larger tree, base64.
    pub new_root: String,
    /// Base64, as in RFC 6962.
    pub path: Vec<String>,
}

/// A body that is kept beside the log: `GET /v1/agents/{id}/links/{seqno}/body`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct BodyView {
    /// The exact text.
    pub body: String,
    /// The salt of its commitment, hex.
    pub salt: String,
}

/// An error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "node", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `about:blank#<code>`
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong.
    pub detail: String,
    /// For machines: one of formats.md §5, or of the protocol.
    pub code: String,
    /// How to fix it.
    pub hint: String,
    /// Which link of a request, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// Of a `conflict`: where the chain ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadJson>,
}
