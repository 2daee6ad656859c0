//! Rules that need the header beside the body, or the link's index (formats.md §8, row `body`).

use super::error::{BodyError, FieldFault};
use super::types::{Body, Genesis};
use crate::ed25519;
use crate::merkle::LeafIndex;
use crate::soul::header::Header;
use crate::soul::ids::Kid;
use crate::soul::key::pop_message;

/// The handle of the log's own identity.
const REGISTRAR: &str = "registrar";

/// Whether `body` fits the header that it came with, and the index where that is known.
///
/// The subject is not the identity itself, `suspect_from` lies in the chain, the signer brings no proof of
/// possession, a genesis brings one for every other key, and at index 0 and nowhere else it is named `registrar`.
pub fn check_link(header: &Header, body: &Body, index: Option<LeafIndex>) -> Result<(), BodyError> {
    if body.subject() == Some(header.identity) {
        return Err(BodyError::of("subject", FieldFault::SelfSubject));
    }
    if body.suspect_from().is_some_and(|from| from > header.seqno) {
        return Err(BodyError::of("suspect_from", FieldFault::Range { min: 2, max: header.seqno.get() }));
    }
    if let Some(at) = body.pops().iter().position(|pop| pop.kid == header.kid) {
        return Err(BodyError::of("kid", FieldFault::PopOfSigner).at(at).within("pop"));
    }
    match body {
        Body::Genesis(genesis) => check_genesis(genesis, header.kid, index),
        _ => Ok(()),
    }
}

fn check_genesis(body: &Genesis, signer: Kid, index: Option<LeafIndex>) -> Result<(), BodyError> {
    let proven = |kid: Kid| kid == signer || body.pop.iter().any(|pop| pop.kid == kid);
    if let Some(key) = body.keys.iter().find(|key| !proven(key.kid)) {
        return Err(BodyError::of("pop", FieldFault::PopMissing(key.kid)));
    }
    let is_registrar = body.name.as_deref() == Some(REGISTRAR);
    match index {
        Some(index) if (index == LeafIndex::new(0)) != is_registrar => {
            Err(BodyError::of("name", FieldFault::Registrar))
        }
        _ => Ok(()),
    }
}

/// Verifies every proof of possession that the body brings; names the first key whose proof is wrong.
///
/// Which keys need a proof is not asked: of a genesis [`check_link`] knows, of a keys and recover the state.
pub fn check_pops(header: &Header, body: &Body) -> Result<(), Kid> {
    let keys = body.keys().unwrap_or_default();
    for pop in body.pops() {
        let message = pop_message(header.log_id, header.identity, header.seqno, header.kid, pop.kid);
        let listed = keys.iter().find(|key| key.kid == pop.kid);
        if !listed.is_some_and(|key| ed25519::verify(&key.pk, &message, &pop.sig)) {
            return Err(pop.kid);
        }
    }
    Ok(())
}
