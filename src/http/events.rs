//! Server-sent events: new links and checkpoints as they become durable.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::watch;

use super::agents::link_view;
use super::app::{App, Shared};
use super::extract::{InQuery, link_type};
use super::problem::{HttpError, HttpResult};
use crate::encoding::parse_decimal;
use crate::log::ReadError;
use crate::merkle::{LeafIndex, TreeSize};
use crate::node::FoundLink;
use crate::soul::{Identity, Link, LinkType};

/// Entries that are looked at before a client is served again.
const STEP: u64 = 1_024;
/// How often an idle stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Only links of this identity, hex.
    identity: Option<String>,
    /// Only links of this type.
    #[serde(rename = "type")]
    link_type: Option<String>,
}

/// Turns true when the server stops; put into each request by it. A stream never ends by itself.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(pub(crate) watch::Receiver<bool>);

struct Filter {
    identity: Option<Identity>,
    link_type: Option<LinkType>,
}

struct Stream {
    app: Arc<App>,
    filter: Filter,
    next: u64,
    published: TreeSize,
    ready: VecDeque<Event>,
    changes: watch::Receiver<TreeSize>,
    stop: Option<watch::Receiver<bool>>,
}

/// New checkpoints and links. `Last-Event-ID`, the index of an entry, goes on after it.
#[utoipa::path(get, path = "/v1/events", tag = "log", params(EventsQuery),
    responses((status = 200, content_type = "text/event-stream", description = "`link` and `checkpoint` events")))]
pub(crate) async fn events(
    State(app): Shared,
    InQuery(query): InQuery<EventsQuery>,
    stop: Option<Extension<Stopping>>,
    headers: HeaderMap,
) -> HttpResult<Response> {
    let filter = filter(&query)?;
    let changes = app.node.engine().changes();
    let size = app.node.view().size().get();
    let next = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        None => size,
        Some(id) => {
            let seen =
                parse_decimal(id).ok_or_else(|| HttpError::malformed("`Last-Event-ID` is the index of an entry"))?;
            seen.saturating_add(1).min(size)
        }
    };
    let stop = stop.map(|Extension(Stopping(stop))| stop);
    let stream = Stream { app, filter, next, published: TreeSize::ZERO, ready: VecDeque::new(), changes, stop };
    let events = unfold(stream, |mut stream| async move {
        let event = stream.next_event().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn filter(query: &EventsQuery) -> HttpResult<Filter> {
    let malformed = |what: &str| HttpError::malformed(what);
    let identity = query
        .identity
        .as_deref()
        .map(|text| Identity::from_hex(text).ok_or_else(|| malformed("`identity` is 64 hex digits")));
    Ok(Filter { identity: identity.transpose()?, link_type: link_type(query.link_type.as_deref())? })
}

impl Stream {
    /// The next event; `None` when the server stops, or when an entry cannot be read.
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            self.look().ok()?;
            if self.ready.is_empty() && self.next >= self.app.node.view().size().get() {
                self.change().await?;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for a new size or checkpoint; `None` when the server stops.
    async fn change(&mut self) -> Option<()> {
        let Some(stop) = &mut self.stop else { return self.changes.changed().await.ok() };
        tokio::select! {
            changed = self.changes.changed() => changed.ok(),
            _ = stop.wait_for(|stop| *stop) => None,
        }
    }

    fn look(&mut self) -> Result<(), ReadError> {
        let node = self.app.node.clone();
        let view = node.view();
        let log = node.reader(&view);
        let end = view.size().get().min(self.next + STEP);
        for index in self.next..end {
            let entry = log.entry(LeafIndex::new(index))?;
            if let Ok(link) = Link::parse_entry(&entry) {
                self.show(&FoundLink { index: LeafIndex::new(index), link });
            }
            self.next = index + 1;
        }
        if let Some(published) = self.app.node.published().filter(|published| published.size > self.published) {
            self.published = published.size;
            let note = String::from_utf8_lossy(&published.note).into_owned();
            self.ready.push_back(Event::default().event("checkpoint").data(note));
        }
        Ok(())
    }

    fn show(&mut self, found: &FoundLink) {
        let view = link_view(found);
        let wanted_identity = self.filter.identity.is_none_or(|identity| view.header.identity == identity.to_hex());
        let wanted_type = self.filter.link_type.is_none_or(|wanted| wanted == found.link.header().link_type);
        if wanted_identity && wanted_type {
            let event = Event::default().event("link").id(found.index.to_string());
            self.ready.extend(event.json_data(&view).ok());
        }
    }
}
