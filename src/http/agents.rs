//! Agents and their links: directory, record, chain, proofs.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::app::{Shared, fresh, tlog_proof};
use super::extract::{InPath, InQuery, limit, link_type};
use super::problem::{HttpError, HttpResult, head_of};
use crate::encoding::{b64_encode, parse_decimal};
use crate::merkle::LeafIndex;
use crate::node::{AgentFilter, AgentKey, FoundLink};
use crate::registry::{ChainEnd, IdentityState, Status};
use crate::soul::{Profile, Seqno};
use crate::wire::{AgentPage, AgentRow, AgentView, HeaderJson, LinkPage, LinkView, Problem};

/// Rows of a page, at most.
const MAX_PAGE: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryQuery {
    /// The handle begins with this.
    name: Option<String>,
    /// `active`, `suspended`, `revoked`.
    status: Option<String>,
    /// The profile's owner.
    owner: Option<String>,
    /// A capability that the profile lists.
    capability: Option<String>,
    /// Whether a registrar's `verified` stands.
    verified: Option<bool>,
    /// Rows, at most 1,000.
    limit: Option<usize>,
    /// As the page before said.
    cursor: Option<String>,
}

/// The directory, newest first.
#[utoipa::path(get, path = "/v1/agents", tag = "agents", params(DirectoryQuery),
    responses((status = 200, body = AgentPage), (status = "4XX", body = Problem)))]
pub(crate) async fn directory(State(app): Shared, InQuery(query): InQuery<DirectoryQuery>) -> HttpResult<Response> {
    let below = match query.cursor.as_deref() {
        None => None,
        Some(cursor) => {
            let index = cursor.strip_prefix('g').and_then(parse_decimal);
            Some(LeafIndex::new(index.ok_or_else(|| HttpError::malformed("`cursor` is what a page before gave"))?))
        }
    };
    let filter = AgentFilter {
        name: query.name,
        status: query.status.as_deref().map(status).transpose()?,
        owner: query.owner,
        capability: query.capability,
        verified: query.verified,
    };
    let limit = limit(query.limit, MAX_PAGE)?;
    let node = app.node.clone();
    let view = node.view();
    let page = node.directory(&view, &filter, below, limit);
    let agents = page.agents.iter().map(|(agent, profile)| row(agent, profile.as_deref())).collect();
    Ok(fresh(AgentPage { agents, cursor: page.next.map(|index| format!("g{index}")), total: page.total }))
}

fn status(name: &str) -> HttpResult<Status> {
    let all = [Status::Active, Status::Suspended, Status::Revoked];
    let found = all.into_iter().find(|status| status.name() == name);
    found.ok_or_else(|| HttpError::malformed("`status` is active, suspended or revoked"))
}

fn row(agent: &IdentityState, profile: Option<&Profile>) -> AgentRow {
    let (record, standing) = (&agent.record, &agent.record.standing);
    AgentRow {
        identity: record.identity.to_hex(),
        name: standing.name.clone(),
        display_name: profile.and_then(|profile| profile.display_name.clone()),
        owner: profile.and_then(|profile| profile.owner.clone()),
        capabilities: profile.map(|profile| profile.capabilities.clone()).unwrap_or_default(),
        status: standing.status.name().to_owned(),
        verified: standing.verified,
        seqno: record.head.seqno.get(),
        genesis_index: standing.genesis_index.get(),
    }
}

/// One agent: record, profile, where its chain ends.
#[utoipa::path(get, path = "/v1/agents/{agent}", tag = "agents",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name")),
    responses((status = 200, body = AgentView), (status = 404, body = Problem)))]
pub(crate) async fn agent(State(app): Shared, InPath(name): InPath<String>) -> HttpResult<Response> {
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    let (record, standing) = (&agent.record, &agent.record.standing);
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|_| HttpError::internal());
    let profile = app.node.profile(&view, &agent).map(|body| json(&body)).transpose()?;
    Ok(fresh(AgentView {
        identity: record.identity.to_hex(),
        name: standing.name.clone(),
        status: standing.status.name().to_owned(),
        verified: standing.verified,
        log_time_ms: view.state().log_time().get(),
        record: json(&record.to_bytes())?,
        profile,
        head: head_of(&ChainEnd { head: record.head, auth: standing.key_head }),
        tree_size: view.size().get(),
        root: b64_encode(view.root().as_bytes()),
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainQuery {
    /// Only links of this type.
    #[serde(rename = "type")]
    link_type: Option<String>,
    /// Below this sequence number.
    before: Option<u64>,
    /// Links, at most 1,000.
    limit: Option<usize>,
}

/// An agent's chain, newest first.
#[utoipa::path(get, path = "/v1/agents/{agent}/links", tag = "agents",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name"), ChainQuery),
    responses((status = 200, body = LinkPage), (status = "4XX", body = Problem)))]
pub(crate) async fn chain(
    State(app): Shared,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<ChainQuery>,
) -> HttpResult<Response> {
    let link_type = link_type(query.link_type.as_deref())?;
    let limit = limit(query.limit, MAX_PAGE)?;
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    let (links, before) = app.node.links(&view, &agent, link_type, query.before.map(Seqno::new), limit)?;
    Ok(fresh(LinkPage {
        links: links.iter().map(link_view).collect(),
        before: before.map(Seqno::get),
        tree_size: view.size().get(),
        root: b64_encode(view.root().as_bytes()),
    }))
}

/// A link, for the wire.
pub(crate) fn link_view(found: &FoundLink) -> LinkView {
    LinkView {
        index: found.index.get(),
        curr: found.link.curr().to_hex(),
        header: HeaderJson::of(&found.link),
        sig: b64_encode(found.link.sig()),
        body: found.link.body().and_then(|body| serde_json::from_slice(body).ok()),
    }
}

/// One link.
#[utoipa::path(get, path = "/v1/agents/{agent}/links/{seqno}", tag = "agents",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name"), ("seqno" = u64, Path)),
    responses((status = 200, body = LinkView), (status = 404, body = Problem)))]
pub(crate) async fn link(State(app): Shared, InPath((name, seqno)): InPath<(String, String)>) -> HttpResult<Response> {
    let seqno = parse_seqno(&seqno)?;
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    let found = app.node.link(&view, &agent.record.identity, seqno)?;
    found.map(|found| fresh(link_view(&found))).ok_or_else(|| no_link(seqno))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofQuery {
    /// Whether the signer's state is part of it.
    #[serde(default)]
    state: bool,
}

/// The proof of a link: keep it, and check it offline.
#[utoipa::path(get, path = "/v1/agents/{agent}/links/{seqno}/proof", tag = "proofs",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name"), ("seqno" = u64, Path), ProofQuery),
    responses((status = 200, content_type = "text/plain", description = "C2SP tlog-proof@v1"), (status = 404, body = Problem)))]
pub(crate) async fn link_proof(
    State(app): Shared,
    InPath((name, seqno)): InPath<(String, String)>,
    InQuery(query): InQuery<ProofQuery>,
) -> HttpResult<Response> {
    let seqno = parse_seqno(&seqno)?;
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    let proof = app.node.link_proof(&view, &agent, seqno, query.state)?.ok_or_else(|| no_link(seqno))?;
    Ok(tlog_proof(proof, &format!("{}-{seqno}", &agent.record.identity.to_hex()[..16])))
}

/// The proof of an agent's state, or that nobody holds that name or identity. Under the published checkpoint where it
/// covers the agent's head and its newest record, else under the newest by the instant key.
#[utoipa::path(get, path = "/v1/agents/{agent}/state", tag = "proofs",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name")),
    responses((status = 200, content_type = "text/plain",
        description = "C2SP tlog-proof@v1 of the trailer, with the record or, where there is none, the proof of absence")))]
pub(crate) async fn state_proof(State(app): Shared, InPath(name): InPath<String>) -> HttpResult<Response> {
    let view = app.node.view();
    let proof = app.node.state_proof(&view, &AgentKey::parse(&name))?;
    Ok(tlog_proof(proof, "state"))
}

pub(super) fn parse_seqno(text: &str) -> HttpResult<Seqno> {
    let seqno = parse_decimal(text).filter(|seqno| *seqno > 0).map(Seqno::new);
    seqno.ok_or_else(|| HttpError::malformed("a seqno is a decimal from 1"))
}

pub(super) fn no_link(seqno: Seqno) -> HttpError {
    HttpError::not_found(&format!("the chain has no link with seqno {seqno}"))
}
