//! What `POST /v1/links/prepare` builds: the header of the next link of a chain.

use super::app::App;
use super::problem::{HttpError, HttpResult};
use crate::encoding::{UnixMillis, b64_encode};
use crate::registry::Refusal;
use crate::soul::{Beside, Body, ChainPosition, Draft, Kid, LinkType, Outcome, Salt, Unsigned};
use crate::wire::{HeaderJson, Prepare, Prepared, to_profile};

pub(crate) fn build(app: &App, request: &Prepare) -> HttpResult<Prepared> {
    let link_type = LinkType::from_name(&request.link_type)
        .ok_or_else(|| HttpError::unsupported(format!("there is no link of type {:?}", request.link_type)))?;
    let kid = Kid::from_hex(&request.kid).ok_or_else(|| HttpError::malformed("`kid` is 64 hex digits"))?;
    let outcome = outcome(request.outcome.as_deref())?;
    let (position, previous) = position(app, link_type, request)?;
    let draft = Draft {
        log_id: app.node.log_id(),
        position,
        // Not before the link before, whose signer's clock may be ahead.
        ctime: crate::clock::now().max(previous),
        anchor: None,
        outcome,
        kid,
    };
    let unsigned = draft_link(&draft, link_type, request)?;
    Ok(prepared(unsigned))
}

fn outcome(name: Option<&str>) -> HttpResult<Outcome> {
    let Some(name) = name else { return Ok(Outcome::None) };
    Outcome::from_name(name).ok_or_else(|| HttpError::malformed("`outcome` is success, failure or denied"))
}

/// Where the link stands, and the time that the one before it claims.
fn position(app: &App, link_type: LinkType, request: &Prepare) -> HttpResult<(ChainPosition, UnixMillis)> {
    let named = match (request.identity.as_deref(), request.name.as_deref()) {
        (Some(_), Some(_)) => {
            return Err(HttpError::malformed("`identity` or `name` says whose chain it is, not both"));
        }
        (identity, name) => identity.or(name),
    };
    match (link_type, named) {
        (LinkType::Genesis, None) => Ok((ChainPosition::GENESIS, UnixMillis::ZERO)),
        (LinkType::Genesis, Some(_)) => Err(HttpError::malformed("a genesis founds its identity; name none")),
        (_, None) => Err(HttpError::malformed("`identity` or `name` says whose chain it is")),
        (_, Some(named)) => {
            let view = app.node.view();
            let agent = app.agent(&view, named)?;
            let head = agent.record.head;
            let position = ChainPosition {
                identity: agent.record.identity,
                seqno: head.seqno.next(),
                prev: head.curr,
                auth: agent.record.standing.key_head,
            };
            Ok((position, agent.ctime))
        }
    }
}

fn draft_link(draft: &Draft, link_type: LinkType, request: &Prepare) -> HttpResult<Unsigned> {
    let text = match &request.body {
        None => None,
        Some(body) => {
            let value =
                to_profile(body).ok_or_else(|| HttpError::bad_body("numbers are integers; put others in a string"))?;
            Some(value.to_bytes())
        }
    };
    let refused = |refusal| HttpError::refused(&Refusal::Link(refusal));
    let beside = link_type == LinkType::Action && !request.inline.unwrap_or(false);
    match text {
        Some(body) if beside => {
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).map_err(|_| HttpError::internal())?;
            draft.beside(Beside { salt: Salt::from_bytes(salt), body }).map_err(refused)
        }
        text => {
            let body = Body::parse(link_type, text.as_deref()).map_err(|error| refused(error.into()))?;
            draft.inline(&body).map_err(refused)
        }
    }
}

fn prepared(unsigned: Unsigned) -> Prepared {
    let header = b64_encode(unsigned.message());
    let curr = unsigned.curr().to_hex();
    let body = unsigned.beside().map_or(unsigned.inline_body(), |beside| &beside.body);
    let body = (!body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned());
    let salt = unsigned.beside().map(|beside| beside.salt.to_hex());
    // The signature is no part of the fields.
    let (link, _) = unsigned.with_signature(&[0; 64]);
    Prepared { header, curr, body, salt, fields: HeaderJson::of(&link) }
}
