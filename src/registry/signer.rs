//! Who may sign a link: the key of an identity's state that has the role of [`Body::signer_role`].
//!
//! [`signer_key`] finds the key before the signature is checked. Of a retract it asks for either role: which of them is
//! needed depends on the link taken back, and that is judged at admission.

use super::record::KeyRoles;
use super::refusal::Refusal;
use super::state::IdentityState;
use crate::soul::{Body, Header, RawKey, kid, next_commitment};

/// The key that has to have signed this link, by what its identity's state is.
pub fn signer_key(header: &Header, body: &Body, state: Option<&IdentityState>) -> Result<RawKey, Refusal> {
    let unauthorised = Refusal::Unauthorised(header.kid);
    if let Body::Genesis(genesis) = body {
        let listed = genesis.keys.iter().find(|key| key.kid == header.kid && key.roles.admin);
        return listed.map(|key| key.pk).ok_or(unauthorised);
    }
    let standing = &state.ok_or(Refusal::UnknownIdentity(header.identity))?.record.standing;
    if let Some(recovery) = body.recovery() {
        let is_next = standing.next == Some(next_commitment(recovery)) && kid(recovery) == header.kid;
        return is_next.then_some(*recovery).ok_or(unauthorised);
    }
    let key = standing.key(&header.kid).filter(|key| key.is_live() && may_sign(key.roles, body));
    key.map(|key| key.pk).ok_or(unauthorised)
}

fn may_sign(roles: KeyRoles, body: &Body) -> bool {
    matches!(roles, KeyRoles::Listed(roles) if roles.suffice_for(body.signer_role()))
}
