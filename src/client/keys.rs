//! Whose keys sign what.

use crate::ed25519::SigningKey;
use crate::keyfile::KeyFile;
use crate::soul::{Kid, LinkType, kid};

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
    /// The key that signs links of this type, of those that clients make, and the name of its role.
    pub(super) const fn for_type(&self, link_type: LinkType) -> (Option<&Signer>, &'static str) {
        match link_type {
            LinkType::Action | LinkType::Receipt | LinkType::Feedback | LinkType::Attest => (self.act.as_ref(), "act"),
            _ => (self.admin.as_ref(), "admin"),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Signer> {
        self.act.iter().chain(&self.admin)
    }
}
