//! Who may read a body that is kept beside the log: HTTP message signatures (RFC 9421) over method, authority and path.

use std::collections::HashMap;

use axum::http::{HeaderMap, Uri, header};

use super::problem::{HttpError, HttpResult};
use crate::ed25519;
use crate::encoding::{UnixMillis, b64_decode, parse_decimal};
use crate::node::NodeState;
use crate::registry::IdentityState;
use crate::soul::{Identity, Kid};

/// How far `created` may be from the node's clock.
const MAX_AGE_MS: u64 = 5 * 60 * 1000;
/// The components that a signature covers, in this order.
const COVERED: &str = "(\"@method\" \"@authority\" \"@path\")";
const LABEL: &str = "sig1=";

/// A signature on a request, as read.
struct Signed {
    parameters: String,
    kid: Kid,
    created: UnixMillis,
    sig: [u8; 64],
}

/// Checks that a GET is signed by a live key of the agent, its controller, or the registrar.
pub(crate) fn check_read(
    state: &NodeState,
    agent: &IdentityState,
    uri: &Uri,
    headers: &HeaderMap,
    now: UnixMillis,
) -> HttpResult<()> {
    let signed = read(headers)?;
    if now.since(signed.created).max(signed.created.since(now)) > MAX_AGE_MS {
        return Err(HttpError::unsigned("`created` is more than 5 minutes from the clock of the node"));
    }
    let authority = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let base = signature_base("GET", authority, uri.path(), &signed.parameters);
    let readers = readers(state, agent);
    let key = readers
        .iter()
        .filter_map(|identity| state.identity(identity))
        .find_map(|reader| reader.record.key(&signed.kid).filter(|key| key.is_live()));
    let key = key
        .ok_or_else(|| HttpError::unauthorised("keyid is no live key of the agent, its controller or the registrar"))?;
    if ed25519::verify(&key.pk, base.as_bytes(), &signed.sig) {
        Ok(())
    } else {
        Err(HttpError::unsigned("the signature does not verify"))
    }
}

fn readers(state: &NodeState, agent: &IdentityState) -> Vec<Identity> {
    let mut readers = vec![agent.record.identity];
    readers.extend(agent.record.standing.controller);
    readers.extend(state.office().registrar);
    readers
}

/// What is signed (RFC 9421, section 2.5).
fn signature_base(method: &str, authority: &str, path: &str, parameters: &str) -> String {
    format!(
        "\"@method\": {method}\n\"@authority\": {}\n\"@path\": {path}\n\"@signature-params\": {parameters}",
        authority.to_ascii_lowercase()
    )
}

fn read(headers: &HeaderMap) -> HttpResult<Signed> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let missing = || HttpError::unsigned("the request has no Signature-Input and Signature with the label sig1");
    let parameters = text("signature-input").and_then(|input| input.strip_prefix(LABEL)).ok_or_else(missing)?;
    let sig = text("signature").and_then(|sig| sig.strip_prefix(LABEL)).ok_or_else(missing)?;
    parse(parameters, sig)
        .ok_or_else(|| HttpError::unsigned("Signature-Input or Signature is not of the expected form"))
}

fn parse(parameters: &str, sig: &str) -> Option<Signed> {
    let listed = parameters.strip_prefix(COVERED)?;
    let mut values = HashMap::new();
    for parameter in listed.split(';').skip(1) {
        let (name, value) = parameter.split_once('=')?;
        values.insert(name, value).is_none().then_some(())?;
    }
    let unquoted = |name: &str| values.get(name)?.strip_prefix('"')?.strip_suffix('"');
    if values.contains_key("alg") && unquoted("alg") != Some("ed25519") {
        return None;
    }
    let sig = b64_decode(sig.strip_prefix(':')?.strip_suffix(':')?)?;
    Some(Signed {
        parameters: parameters.to_owned(),
        kid: Kid::from_hex(unquoted("keyid")?)?,
        created: UnixMillis::new(parse_decimal(values.get("created")?)?.checked_mul(1000)?),
        sig: sig.try_into().ok()?,
    })
}
