//! Who may read or erase a body that is kept beside the log: a live key of the agent, its controller or the registrar,
//! that has signed the request (`wire`'s message signatures). To erase it the key must be one with the role `admin`.

use axum::http::{HeaderMap, Uri, header};

use super::problem::{HttpError, HttpResult};
use crate::encoding::UnixMillis;
use crate::node::NodeState;
use crate::registry::{IdentityState, KeyRecord, KeyRoles};
use crate::soul::Identity;
use crate::wire::{CoveredComponents, ReadMessageSignature};

/// What is done with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyAccess {
    Read,
    Erase,
}

impl BodyAccess {
    /// The method that is signed.
    const fn method(self) -> &'static str {
        match self {
            Self::Read => "GET",
            Self::Erase => "DELETE",
        }
    }

    fn allows(self, key: &KeyRecord) -> bool {
        key.is_live() && (self == Self::Read || matches!(key.roles, KeyRoles::Listed(roles) if roles.admin))
    }

    const fn refusal(self) -> &'static str {
        match self {
            Self::Read => "keyid is no live key of the agent, its controller or the registrar",
            Self::Erase => "keyid is no live admin key of the agent, its controller or the registrar",
        }
    }

    /// Checks that a request is signed by a key that may do this with bodies of the agent. Gives whose key it is.
    pub(crate) fn check(
        self,
        state: &NodeState,
        agent: &IdentityState,
        uri: &Uri,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> HttpResult<Identity> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let signature = ReadMessageSignature::read(text("signature-input"), text("signature"))?;
        signature.check_age(now)?;
        let found = parties(state, agent).into_iter().find_map(|party| {
            let known = state.identity(&party)?;
            let key = known.record.key(&signature.kid()).filter(|key| self.allows(key))?;
            Some((party, key.pk))
        });
        let (party, pk) = found.ok_or_else(|| HttpError::unauthorised(self.refusal()))?;
        let authority = text(header::HOST.as_str()).unwrap_or_default();
        signature.verify(&pk, &CoveredComponents { method: self.method(), authority, path: uri.path() })?;
        Ok(party)
    }
}

fn parties(state: &NodeState, agent: &IdentityState) -> Vec<Identity> {
    let mut parties = vec![agent.record.identity];
    parties.extend(agent.record.standing.controller);
    parties.extend(state.office().registrar);
    parties
}
