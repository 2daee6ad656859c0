//! Appending: `POST /v1/links`, and help for clients without the codec: `POST /v1/links/prepare`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::app::{App, Shared, b64_hashes};
use super::extract::InQuery;
use super::limits::{Limits, Peer};
use super::prepare;
use super::problem::{HttpError, HttpResult};
use crate::log::{LogReader, Published};
use crate::merkle::TreeSize;
use crate::node::{MAX_WITNESS_WAIT, NodeState, Position, Receipt, Share, Submitted};
use crate::soul::{Identity, LinkType};
use crate::wire::{
    Appended, LINKS_MEDIA_TYPE, LinkJson, LinkReadError, MAX_LINKS, Placed, Prepare, Prepared, Problem, read_links,
};

const JSON: &str = "application/json";
/// Longest request that can be one of key events: several of 16 keys each.
const MAX_KEY_EVENTS_LEN: usize = 32 << 10;

/// Which proof the answer brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProofWanted {
    /// None.
    None,
    /// A path to a checkpoint by the instant key.
    #[default]
    Log,
    /// One that witnesses have cosigned.
    Witnessed,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendQuery {
    /// `none`, `log` (default) or `witnessed`.
    #[serde(default)]
    #[param(inline)]
    proof: ProofWanted,
}

/// Append one link, or consecutive links of one chain.
#[utoipa::path(post, path = "/v1/links", tag = "links", params(AppendQuery),
    request_body(content = Vec<LinkJson>, description = "One link, an array of at most 256, or application/vnd.soulchain.links"),
    responses((status = 201, body = Appended), (status = 200, body = Appended, description = "All were logged before"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(crate) async fn append(
    State(app): Shared,
    peer: Peer,
    InQuery(query): InQuery<AppendQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> HttpResult<Response> {
    if query.proof == ProofWanted::Witnessed && app.node.witnesses().is_none() {
        return Err(HttpError::unsupported("this log has no witnesses"));
    }
    let links = admitted(&app.limits, &peer, &headers, &body)?;
    if links.iter().any(|(link, _)| link.header().link_type == LinkType::Genesis) {
        app.limits.check_registration(&peer)?;
    }
    let started = std::time::Instant::now();
    // Counted after the signatures were checked, so that nobody uses up the share of another.
    let permit = |identity: &Identity, share: Share| app.limits.check_identity(identity, share);
    let receipt = app.node.append(links, permit).await.map_err(HttpError::append)?;
    app.metrics.appended(receipt.placed.len(), receipt.repeated, started.elapsed());
    let witnessed = match (query.proof, receipt.placed.last()) {
        (ProofWanted::Witnessed, Some(last)) => Some(app.node.witnessed(last.index, MAX_WITNESS_WAIT).await),
        _ => None,
    };
    answer(&app, &receipt, query.proof, witnessed.as_ref())
}

/// Reads the links of a request, if its address may write. Key events have a share of their own; whether a request is
/// one is only looked at where it is small enough to be.
fn admitted(limits: &Limits, peer: &Peer, headers: &HeaderMap, body: &Bytes) -> HttpResult<Vec<Submitted>> {
    if body.len() > MAX_KEY_EVENTS_LEN {
        limits.check_write(peer)?;
        return read(headers, body);
    }
    let links = read(headers, body);
    let is_key_event =
        |(link, _): &Submitted| link.header().link_type.is_key_event() && link.header().link_type != LinkType::Genesis;
    match &links {
        Ok(links) if links.iter().all(is_key_event) => limits.check_key_events(peer)?,
        _ => limits.check_write(peer)?,
    }
    links
}

fn read(headers: &HeaderMap, body: &Bytes) -> HttpResult<Vec<Submitted>> {
    match media_type(headers).as_str() {
        LINKS_MEDIA_TYPE => Ok(read_links(body)?),
        JSON => read_json(body),
        _ => Err(HttpError::media_type()),
    }
}

/// Without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn read_json(body: &[u8]) -> HttpResult<Vec<Submitted>> {
    let malformed = |error: serde_json::Error| HttpError::malformed(error.to_string());
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let links = if is_array {
        serde_json::from_slice::<Vec<LinkJson>>(body).map_err(malformed)?
    } else {
        vec![serde_json::from_slice::<LinkJson>(body).map_err(malformed)?]
    };
    if links.is_empty() || links.len() > MAX_LINKS {
        return Err(LinkReadError::Count(links.len()).into());
    }
    let read = |(at, link): (usize, &LinkJson)| link.read().map_err(|error| HttpError::from(error).at(at));
    links.iter().enumerate().map(read).collect()
}

/// With `witnessed`, under the checkpoint that the witnesses have cosigned, or, where there was none in time, under the
/// log's own.
fn answer(
    app: &Arc<App>,
    receipt: &Receipt,
    wanted: ProofWanted,
    witnessed: Option<&Option<Arc<Published<NodeState>>>>,
) -> HttpResult<Response> {
    let published = witnessed.and_then(Option::as_ref);
    let newest = app.node.view();
    let (log, size, note) = match published {
        Some(published) => (app.node.reader(&newest), published.size, &published.note),
        None => (app.node.reader(&receipt.view), receipt.view.size(), receipt.view.checkpoint()),
    };
    let size = (wanted != ProofWanted::None).then_some(size);
    let place = |position: &Position| placed(log, position, size);
    let links = receipt.placed.iter().map(place).collect::<HttpResult<Vec<_>>>()?;
    let checkpoint = size.is_some().then(|| String::from_utf8_lossy(note).into_owned());
    let status = if receipt.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let witnessed = witnessed.map(Option::is_some);
    Ok((status, Json(Appended { checkpoint, witnessed, links })).into_response())
}

/// With its path in the tree of this size, if one is wanted.
fn placed(log: LogReader<'_>, position: &Position, size: Option<TreeSize>) -> HttpResult<Placed> {
    let path = match size {
        None => None,
        Some(size) => Some(b64_hashes(&log.inclusion(position.index, size)?)),
    };
    Ok(Placed { index: position.index.get(), curr: position.curr.to_hex(), seqno: position.seqno.get(), path })
}

/// Build the exact bytes to sign. Nothing is stored; compare before you sign.
#[utoipa::path(post, path = "/v1/links/prepare", tag = "links", request_body = Prepare,
    responses((status = 200, body = Prepared), (status = "4XX", body = Problem)))]
pub(crate) async fn prepare(State(app): Shared, headers: HeaderMap, body: Bytes) -> HttpResult<Json<Prepared>> {
    if media_type(&headers) != JSON {
        return Err(HttpError::media_type());
    }
    let request: Prepare = serde_json::from_slice(&body).map_err(|error| HttpError::malformed(error.to_string()))?;
    prepare::build(&app, &request).map(Json)
}
