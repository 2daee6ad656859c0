//! A call for each route (interfaces.md). What comes back is what the node says; nothing of it is checked here.

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use super::error::{ClientError, FalseAnswer};
use super::keys::Signer;
use super::logged::SignedLink;
use super::transport::{Client, Request};
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::tlog::{TileId, decode_hashes, parse_bundle};
use crate::wire::{
    AboutPage, AgentPage, AgentView, Appended, BodyView, ConsistencyView, CoveredComponents, EntryView, InclusionView,
    LINKS_MEDIA_TYPE, LinkJson, LinkPage, LinkView, LogView, MessageSignature, Prepare, Prepared, write_links,
};

/// How links are written in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// As JSON: an object for one, an array for more.
    #[default]
    Json,
    /// As `application/vnd.soulchain.links`.
    Binary,
}

/// Which proof an append is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProofWanted {
    /// None.
    None,
    /// Under a checkpoint that the log signs at once.
    #[default]
    Log,
    /// Under a checkpoint that witnesses have cosigned, where that is done in time.
    Witnessed,
}

/// Which agents of the directory.
#[derive(Clone, Debug, Default)]
pub struct AgentFilter {
    /// By the beginning of the name.
    pub name: Option<String>,
    /// `active`, `suspended`, `revoked`.
    pub status: Option<String>,
    /// As the profile says.
    pub owner: Option<String>,
    /// One that the profile lists.
    pub capability: Option<String>,
    /// Whether a registrar's `verified` stands.
    pub verified: Option<bool>,
    /// Rows of a page.
    pub limit: Option<u32>,
    /// Where the page before it ended.
    pub cursor: Option<String>,
}

/// Which links of a chain, or about an agent.
#[derive(Clone, Debug, Default)]
pub struct LinkFilter {
    /// Of this type.
    pub link_type: Option<String>,
    /// Below this place of the chain; of links about an agent, below this index.
    pub before: Option<u64>,
    /// Links of a page.
    pub limit: Option<u32>,
}

impl ProofWanted {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Log => "log",
            Self::Witnessed => "witnessed",
        }
    }
}

/// Writing.
impl Client {
    /// Appends links of one chain, in their order.
    pub async fn append(&self, links: &[SignedLink], form: Form, proof: ProofWanted) -> Result<Appended, ClientError> {
        let request = self.request(Method::POST, &["v1", "links"]).query("proof", &proof.name());
        let request = match (form, links) {
            (Form::Binary, links) => {
                let links = links.iter().map(|signed| (&signed.link, signed.beside.as_ref()));
                request.body(LINKS_MEDIA_TYPE, write_links(links))
            }
            (Form::Json, [link]) => request.body(JSON, json_of(&shape(link))?),
            (Form::Json, links) => request.body(JSON, json_of(&links.iter().map(shape).collect::<Vec<_>>())?),
        };
        self.json(&request).await
    }

    /// The bytes that a client without the codec would sign.
    pub async fn prepare(&self, prepare: &Prepare) -> Result<Prepared, ClientError> {
        let request = self.request(Method::POST, &["v1", "links", "prepare"]);
        self.json(&request.body(JSON, json_of(prepare)?)).await
    }
}

/// Agents and their chains. `who` is an identity in hex, or a name.
impl Client {
    /// An agent's record, profile and head.
    pub async fn agent(&self, who: &str) -> Result<AgentView, ClientError> {
        self.json(&self.read(&["v1", "agents", who])).await
    }

    /// A page of the directory.
    pub async fn agents(&self, filter: &AgentFilter) -> Result<AgentPage, ClientError> {
        let request = self.read(&["v1", "agents"]);
        let request = request.query_if("name", filter.name.as_ref()).query_if("status", filter.status.as_ref());
        let request = request.query_if("owner", filter.owner.as_ref());
        let request = request.query_if("capability", filter.capability.as_ref());
        let request = request.query_if("verified", filter.verified).query_if("limit", filter.limit);
        self.json(&request.query_if("cursor", filter.cursor.as_ref())).await
    }

    /// A page of a chain, newest first.
    pub async fn links(&self, who: &str, filter: &LinkFilter) -> Result<LinkPage, ClientError> {
        let request = self.read(&["v1", "agents", who, "links"]);
        let request = request.query_if("type", filter.link_type.as_ref()).query_if("before", filter.before);
        self.json(&request.query_if("limit", filter.limit)).await
    }

    /// A page of what others say of an agent, newest first. `before` is what a page before gave.
    pub async fn about(&self, who: &str, filter: &LinkFilter) -> Result<AboutPage, ClientError> {
        let request = self.read(&["v1", "agents", who, "about"]);
        let request = request.query_if("type", filter.link_type.as_ref()).query_if("before", filter.before);
        self.json(&request.query_if("limit", filter.limit)).await
    }

    /// One link of a chain.
    pub async fn link(&self, who: &str, seqno: u64) -> Result<LinkView, ClientError> {
        self.json(&self.read(&["v1", "agents", who, "links", &seqno.to_string()])).await
    }

    /// The `.tlog-proof` file of a link, with the signer's state if that is wanted.
    pub async fn proof(&self, who: &str, seqno: u64, with_state: bool) -> Result<Vec<u8>, ClientError> {
        let request = self.read(&["v1", "agents", who, "links", &seqno.to_string(), "proof"]);
        let request = if with_state { request.query("state", &true) } else { request };
        Ok(self.send(&request).await?.bytes)
    }

    /// The `.tlog-proof` file of an agent's state, or of the absence of a name.
    pub async fn state_proof(&self, who: &str) -> Result<Vec<u8>, ClientError> {
        Ok(self.send(&self.read(&["v1", "agents", who, "state"])).await?.bytes)
    }

    /// A body that is kept beside the log, for those who may read it.
    pub async fn body(&self, id: &str, seqno: u64, signer: &Signer, now: UnixMillis) -> Result<BodyView, ClientError> {
        let request = self.read(&["v1", "agents", id, "links", &seqno.to_string(), "body"]);
        self.json(&self.signed(request, "GET", signer, now)?).await
    }

    /// Erases a body that is kept beside the log, and its salt: with an admin key of the agent, its controller or the
    /// registrar. The node answers when it holds neither any more.
    pub async fn erase_body(&self, id: &str, seqno: u64, signer: &Signer, now: UnixMillis) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["v1", "agents", id, "links", &seqno.to_string(), "body"]);
        self.send(&self.signed(request, "DELETE", signer, now)?).await.map(drop)
    }

    fn signed(&self, request: Request, method: &str, signer: &Signer, now: UnixMillis) -> Result<Request, ClientError> {
        let covered = CoveredComponents { method, authority: &self.authority(), path: request.path() };
        let made = MessageSignature::sign(signer.key(), signer.kid(), &covered, now);
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| FalseAnswer::form("header", error));
        let request = request.header(HeaderName::from_static("signature-input"), value(&made.input)?);
        Ok(request.header(HeaderName::from_static("signature"), value(&made.signature)?))
    }
}

/// The log.
impl Client {
    /// Origin, keys, size, policy.
    pub async fn log(&self) -> Result<LogView, ClientError> {
        self.json(&self.read(&["v1", "log"])).await
    }

    /// An entry.
    pub async fn entry(&self, index: u64) -> Result<EntryView, ClientError> {
        self.json(&self.read(&["v1", "log", "entries", &index.to_string()])).await
    }

    /// The path of an entry, in the tree of the published checkpoint if no size is given.
    pub async fn inclusion(&self, index: u64, size: Option<u64>) -> Result<InclusionView, ClientError> {
        let request = self.read(&["v1", "log", "proof", "inclusion"]).query("index", &index);
        self.json(&request.query_if("size", size)).await
    }

    /// The path from one tree to a later one; to that of the published checkpoint if no size is given.
    pub async fn consistency(&self, old: u64, new: Option<u64>) -> Result<ConsistencyView, ClientError> {
        let request = self.read(&["v1", "log", "proof", "consistency"]).query("old", &old);
        self.json(&request.query_if("new", new)).await
    }

    /// The published checkpoint, a signed note.
    pub async fn checkpoint(&self) -> Result<String, ClientError> {
        self.text(&self.read(&["checkpoint"])).await
    }

    /// The hashes of a tile.
    pub async fn tile(&self, tile: TileId) -> Result<Vec<Hash>, ClientError> {
        Ok(decode_hashes(&self.tile_bytes(tile).await?, tile.width())?)
    }

    /// The entries of a bundle.
    pub async fn bundle(&self, tile: TileId) -> Result<Vec<Vec<u8>>, ClientError> {
        let bytes = self.tile_bytes(tile).await?;
        let entries: Vec<_> = parse_bundle(&bytes)?.into_iter().map(<[u8]>::to_vec).collect();
        if entries.len() == usize::from(tile.width()) { Ok(entries) } else { Err(FalseAnswer::other("a bundle")) }
    }

    /// The bytes of a tile or bundle as they are served, if they are no more than `max_len`; `None` where there is none.
    pub async fn tile_file(&self, tile: TileId, max_len: usize) -> Result<Option<Vec<u8>>, ClientError> {
        match self.send(&self.tile_request(tile).at_most(max_len)).await {
            Ok(answer) => Ok(Some(answer.bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tile_bytes(&self, tile: TileId) -> Result<Vec<u8>, ClientError> {
        Ok(self.send(&self.tile_request(tile)).await?.bytes)
    }

    fn tile_request(&self, tile: TileId) -> Request {
        let path = tile.to_string();
        let segments: Vec<_> = path.split('/').collect();
        self.read(&segments).accept("application/octet-stream")
    }
}

const JSON: &str = "application/json";

fn json_of(value: &impl serde::Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(value).map_err(|error| FalseAnswer::form("request", error))
}

fn shape(link: &SignedLink) -> LinkJson {
    LinkJson::of(&link.link, link.beside.as_ref())
}
