//! Bodies that are kept beside the log: reading one, and erasing it.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::agents::{no_link, parse_seqno};
use super::app::{App, Shared, fresh};
use super::body_access::BodyAccess;
use super::extract::InPath;
use super::limits::Peer;
use super::problem::{HttpError, HttpResult};
use crate::encoding::hex_encode;
use crate::log::KeptBody;
use crate::node::{FoundLink, View};
use crate::registry::IdentityState;
use crate::soul::{Salt, Seqno, commit_salted};
use crate::wire::{BodyView, Problem};

/// How long a request waits for an erasure: a flush, with one under way before it.
const ERASURE_TIMEOUT: Duration = Duration::from_secs(20);

/// A body that is kept beside the log: for the agent itself, its controller and the registrar, who sign the request.
#[utoipa::path(get, path = "/v1/agents/{agent}/links/{seqno}/body", tag = "agents",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name"), ("seqno" = u64, Path)),
    responses((status = 200, body = BodyView), (status = 410, body = Problem, description = "It was erased"),
        (status = "4XX", body = Problem)))]
pub(crate) async fn body(
    State(app): Shared,
    InPath((name, seqno)): InPath<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> HttpResult<Response> {
    let seqno = parse_seqno(&seqno)?;
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    BodyAccess::Read.check(view.state(), &agent, &uri, &headers, crate::clock::now())?;
    let found = link_with_body(&app, &view, &agent, seqno)?;
    let kept = match app.node.reader(&view).body(found.index)? {
        KeptBody::Kept(kept) => kept,
        KeptBody::Erased => return Err(HttpError::gone()),
        KeptBody::Absent => return Err(HttpError::not_found("the body of this link was never given to the log")),
    };
    // What lies beside the tree is believed only by its commitment.
    if commit_salted(&Salt::from_bytes(kept.salt), &kept.bytes) != found.link.header().body_commit {
        tracing::error!(index = found.index.get(), "a kept body does not match its commitment");
        return Err(HttpError::internal());
    }
    let text = String::from_utf8(kept.bytes.to_vec()).map_err(|_| HttpError::internal())?;
    Ok(fresh(BodyView { body: text, salt: hex_encode(&kept.salt) }))
}

/// Erase a body that is kept beside the log, and its salt: for an admin key of the agent itself, its controller or the
/// registrar, who sign the request. It is answered when neither is in any file of the node.
#[utoipa::path(delete, path = "/v1/agents/{agent}/links/{seqno}/body", tag = "agents",
    params(("agent" = String, Path, description = "Identity in hex, handle or domain name"), ("seqno" = u64, Path)),
    responses((status = 204, description = "It is erased, now or before"), (status = "4XX", body = Problem),
        (status = 503, body = Problem, description = "It is under way, or may be: send the same again")))]
pub(crate) async fn erase(
    State(app): Shared,
    peer: Peer,
    InPath((name, seqno)): InPath<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> HttpResult<Response> {
    app.limits.check_write(&peer)?;
    let seqno = parse_seqno(&seqno)?;
    let view = app.node.view();
    let agent = app.agent(&view, &name)?;
    let by = BodyAccess::Erase.check(view.state(), &agent, &uri, &headers, crate::clock::now())?;
    let index = link_with_body(&app, &view, &agent, seqno)?.index;
    // It holds the body in memory, perhaps.
    drop(view);
    match tokio::time::timeout(ERASURE_TIMEOUT, app.node.engine().erase(index)).await {
        Ok(Ok(())) => {
            tracing::info!(index = index.get(), by = by.to_hex(), "a body is erased");
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Ok(Err(error)) => Err(HttpError::erasure(&error)),
        Err(_) => Err(HttpError::erasure_under_way()),
    }
}

/// The link, if it is of the kind whose body is kept beside the log.
fn link_with_body(app: &App, view: &View, agent: &IdentityState, seqno: Seqno) -> HttpResult<FoundLink> {
    let found = app.node.link(view, &agent.record.identity, seqno)?.ok_or_else(|| no_link(seqno))?;
    if found.link.header().inline || found.link.header().body_len == 0 {
        return Err(HttpError::not_found("this link keeps no body beside the log"));
    }
    Ok(found)
}
