//! Who may read a body that is kept beside the log: a live key of the agent, its controller or the registrar, that has
//! signed the request (`wire`'s message signatures).

use axum::http::{HeaderMap, Uri, header};

use super::problem::{HttpError, HttpResult};
use crate::encoding::UnixMillis;
use crate::node::NodeState;
use crate::registry::IdentityState;
use crate::soul::Identity;
use crate::wire::{CoveredComponents, ReadMessageSignature};

/// Checks that a GET is signed by a live key of the agent, its controller, or the registrar.
pub(crate) fn check_read(
    state: &NodeState,
    agent: &IdentityState,
    uri: &Uri,
    headers: &HeaderMap,
    now: UnixMillis,
) -> HttpResult<()> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = ReadMessageSignature::read(text("signature-input"), text("signature"))?;
    signature.check_age(now)?;
    let readers = readers(state, agent);
    let key = readers
        .iter()
        .filter_map(|identity| state.identity(identity))
        .find_map(|reader| reader.record.key(&signature.kid()).filter(|key| key.is_live()));
    let key = key
        .ok_or_else(|| HttpError::unauthorised("keyid is no live key of the agent, its controller or the registrar"))?;
    let authority = text(header::HOST.as_str()).unwrap_or_default();
    signature.verify(&key.pk, &CoveredComponents { method: "GET", authority, path: uri.path() })?;
    Ok(())
}

fn readers(state: &NodeState, agent: &IdentityState) -> Vec<Identity> {
    let mut readers = vec![agent.record.identity];
    readers.extend(agent.record.standing.controller);
    readers.extend(state.office().registrar);
    readers
}
