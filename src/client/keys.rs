//! Whose keys sign what.

use crate::ed25519::SigningKey;
use crate::keyfile::KeyFile;
use crate::soul::{Kid, SignerRole, kid};

/// A key with its id.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    kid: Kid,
}

/// The keys of an agent that a program holds; often only the one that acts.
#[derive(Clone, Debug, Default)]
pub struct AgentKeys {
    /// For actions and statements about others.
    pub act: Option<Signer>,
    /// For its keys and its profile.
    pub admin: Option<Signer>,
}

impl Signer {
    /// The id.
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// The key.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl From<SigningKey> for Signer {
    fn from(key: SigningKey) -> Self {
        let kid = kid(key.public().as_bytes());
        Self { key, kid }
    }
}

impl From<&KeyFile> for Signer {
    fn from(file: &KeyFile) -> Self {
        Self { key: file.signing_key(), kid: file.kid() }
    }
}

impl AgentKeys {
    /// The key with this role, of those that are here.
    pub(super) fn with_role(&self, role: SignerRole) -> Option<&Signer> {
        match role {
            SignerRole::Act => self.act.as_ref(),
            SignerRole::Admin => self.admin.as_ref(),
            SignerRole::ActOrAdmin => self.act.as_ref().or(self.admin.as_ref()),
            SignerRole::Next => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Signer> {
        self.act.iter().chain(&self.admin)
    }
}
