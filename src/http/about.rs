//! What others say of an agent.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::app::{Shared, fresh};
use super::extract::{InPath, InQuery, limit, link_type};
use super::problem::{HttpError, HttpResult};
use crate::encoding::b64_encode;
use crate::merkle::LeafIndex;
use crate::node::{LinkAbout, NodeState};
use crate::registry::IdentityState;
use crate::soul::LinkType;
use crate::wire::{AboutPage, AboutView, Problem};

/// Links of a page, at most.
const MAX_PAGE: usize = 100;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AboutQuery {
    /// `attest`, `feedback`, `notice`, `receipt`.
    #[serde(rename = "type")]
    link_type: Option<String>,
    /// As the page before said.
    before: Option<u64>,
    /// Links, at most 100.
    limit: Option<usize>,
}

/// What others say of an agent, newest first, and whether it was taken back or has expired. A page looks at 1,000 links.
#[utoipa::path(get, path = "/v1/agents/{agent}/about", tag = "agents",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name"), AboutQuery),
    responses((status = 200, body = AboutPage), (status = "4XX", body = Problem)))]
pub(crate) async fn about(
    State(app): Shared,
    InPath(name): InPath<String>,
    InQuery(query): InQuery<AboutQuery>,
) -> HttpResult<Response> {
    let link_type = link_type(query.link_type.as_deref())?.map(statement_type).transpose()?;
    let limit = limit(query.limit, MAX_PAGE)?;
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    let list = app.node.about(&view, &agent, link_type, query.before.map(LeafIndex::new), limit)?;
    let list = list.ok_or_else(|| HttpError::malformed("`before` is what a page before gave"))?;
    let state = view.state();
    Ok(fresh(AboutPage {
        links: list.links.iter().map(|link| about_view(link, &agent, state)).collect::<HttpResult<_>>()?,
        before: list.before.map(LeafIndex::get),
        total: link_type.is_none().then_some(list.total),
        log_time_ms: state.log_time().get(),
        tree_size: view.size().get(),
        root: b64_encode(view.root().as_bytes()),
    }))
}

fn statement_type(asked: LinkType) -> HttpResult<LinkType> {
    match asked {
        LinkType::Attest | LinkType::Feedback | LinkType::Notice | LinkType::Receipt => Ok(asked),
        _ => Err(HttpError::malformed("`type` is attest, feedback, notice or receipt")),
    }
}

fn about_view(found: &LinkAbout, subject: &IdentityState, state: &NodeState) -> HttpResult<AboutView> {
    let header = found.link.header();
    let issuer = state.identity(&header.identity).ok_or_else(HttpError::internal)?;
    let office = (header.link_type == LinkType::Notice).then(|| office(&issuer, subject, state)).flatten();
    let body = found.link.body().and_then(|body| serde_json::from_slice(body).ok());
    Ok(AboutView {
        index: found.index.get(),
        issuer: header.identity.to_hex(),
        issuer_name: issuer.record.standing.name.clone(),
        office: office.map(str::to_owned),
        seqno: header.seqno.get(),
        curr: found.link.curr().to_hex(),
        link_type: header.link_type.to_string(),
        outcome: header.outcome.to_string(),
        ctime_ms: header.ctime.get(),
        body: body.ok_or_else(HttpError::internal)?,
        retracted: found.retracted,
        expired: found.expired,
    })
}

/// The office that an identity has over another now.
fn office(issuer: &IdentityState, subject: &IdentityState, state: &NodeState) -> Option<&'static str> {
    let identity = issuer.record.identity;
    if state.office().is_registrar(&identity) {
        return Some("registrar");
    }
    subject.record.standing.has_guardian(&identity).then_some("guardian")
}
