//! The log itself: what it is, its entries, proofs between its sizes.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::agents::link_view;
use super::app::{Shared, b64_hashes, fresh};
use super::extract::{InPath, InQuery};
use super::problem::{HttpError, HttpResult};
use crate::encoding::{b64_encode, hex_encode, parse_decimal};
use crate::merkle::{LeafIndex, TreeSize, leaf_hash};
use crate::node::{FoundLink, WitnessPolicy};
use crate::soul::{Link, Trailer};
use crate::wire::{ConsistencyView, EntryView, InclusionView, LogView, Problem, TrailerView};

/// Origin, keys, size, root, policy.
#[utoipa::path(get, path = "/v1/log", tag = "log", responses((status = 200, body = LogView)))]
pub(crate) async fn log(State(app): Shared) -> HttpResult<Response> {
    let node = &app.node;
    let view = node.view();
    let state = view.state();
    Ok(fresh(LogView {
        origin: node.origin().as_str().to_owned(),
        log_id: node.log_id().to_hex(),
        log_vkey: node.log_vkey().to_string(),
        instant_vkey: node.instant_vkey().to_string(),
        tree_size: view.size().get(),
        root: b64_encode(view.root().as_bytes()),
        log_time_ms: state.log_time().get(),
        identities: state.identities(),
        published_size: node.published().map_or(0, |published| published.size.get()),
        witnesses: node.witnesses().map_or_else(Vec::new, WitnessPolicy::vkeys),
        policy: node.policy_text(),
    }))
}

/// One entry, decoded.
#[utoipa::path(get, path = "/v1/log/entries/{index}", tag = "log", params(("index" = u64, Path)),
    responses((status = 200, body = EntryView), (status = 404, body = Problem)))]
pub(crate) async fn entry(State(app): Shared, InPath(index): InPath<String>) -> HttpResult<Response> {
    let index = parse_decimal(&index).ok_or_else(|| HttpError::malformed("an index is a decimal"))?;
    let view = app.node.view();
    let bytes = app.node.reader(&view).entry(LeafIndex::new(index))?;
    let link = Link::parse_entry(&bytes).ok().map(|link| link_view(&FoundLink { index: LeafIndex::new(index), link }));
    let trailer = Trailer::parse(&bytes).map(|trailer| TrailerView {
        covers: trailer.covers.get(),
        map_root: hex_encode(&trailer.map_root),
        identities: trailer.identities,
        log_time_ms: trailer.log_time.get(),
    });
    let leaf = leaf_hash(&bytes);
    Ok(fresh(EntryView { index, entry: b64_encode(&bytes), leaf_hash: b64_encode(leaf.as_bytes()), link, trailer }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct InclusionQuery {
    /// Which entry.
    index: u64,
    /// In the tree of this size; the published one's if absent.
    size: Option<u64>,
}

/// The inclusion path of an entry.
#[utoipa::path(get, path = "/v1/log/proof/inclusion", tag = "proofs", params(InclusionQuery),
    responses((status = 200, body = InclusionView), (status = "4XX", body = Problem)))]
pub(crate) async fn inclusion(State(app): Shared, InQuery(query): InQuery<InclusionQuery>) -> HttpResult<Response> {
    let view = app.node.view();
    let log = app.node.reader(&view);
    let published = app.node.published().map_or(view.size(), |published| published.size);
    let size = query.size.map_or(published, TreeSize::new);
    let index = LeafIndex::new(query.index);
    let path = log.inclusion(index, size)?;
    let root = log.root(size)?;
    Ok(fresh(InclusionView {
        index: query.index,
        size: size.get(),
        root: b64_encode(root.as_bytes()),
        path: b64_hashes(&path),
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistencyQuery {
    /// The smaller size.
    old: u64,
    /// The larger size; the published one's if absent.
    new: Option<u64>,
}

/// The consistency path between two sizes.
#[utoipa::path(get, path = "/v1/log/proof/consistency", tag = "proofs", params(ConsistencyQuery),
    responses((status = 200, body = ConsistencyView), (status = "4XX", body = Problem)))]
pub(crate) async fn consistency(State(app): Shared, InQuery(query): InQuery<ConsistencyQuery>) -> HttpResult<Response> {
    let view = app.node.view();
    let log = app.node.reader(&view);
    let published = app.node.published().map_or(view.size(), |published| published.size);
    let (old, new) = (TreeSize::new(query.old), query.new.map_or(published, TreeSize::new));
    let path = log.consistency(old, new)?;
    Ok(fresh(ConsistencyView {
        old: old.get(),
        new: new.get(),
        old_root: b64_encode(log.root(old)?.as_bytes()),
        new_root: b64_encode(log.root(new)?.as_bytes()),
        path: b64_hashes(&path),
    }))
}
