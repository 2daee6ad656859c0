//! The state as of a trailer: what readers hold, and what a batch is admitted against.

use std::sync::Arc;

use super::refusal::Refusal;
use super::signer::signer_key;
use super::state::IdentityState;
use crate::encoding::UnixMillis;
use crate::map::{Tree, identity_key, name_key};
use crate::merkle::TreeSize;
use crate::soul::{Body, Header, Identity, Kid, RawKey};

/// What a leaf of the state map stands for.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// An identity.
    Identity(Arc<IdentityState>),
    /// A handle or domain name, and who holds it.
    Name(Identity),
}

/// The state after the newest trailer. A clone is immutable and shares all of it.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    pub(super) tree: Tree<Leaf>,
    pub(super) office: Arc<Office>,
    pub(super) identities: u64,
    pub(super) log_time: UnixMillis,
    pub(super) size: TreeSize,
}

/// Who holds office, by the newest policy.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Office {
    /// The identity of entry 0, where that is a valid genesis.
    pub registrar: Option<Identity>,
    /// Whose notices are heard, sorted; the registrar alone where the policy names none.
    pub registrars: Vec<Identity>,
    /// The trust roots of the policy, sorted.
    pub pretrust: Vec<Identity>,
}

impl Snapshot {
    /// An identity.
    pub fn identity(&self, identity: &Identity) -> Option<&Arc<IdentityState>> {
        match self.tree.get(&identity_key(identity.as_bytes()))?.1 {
            Leaf::Identity(state) => Some(state),
            Leaf::Name(_) => None,
        }
    }

    /// The keys that are live, whosever they are.
    pub(super) fn live_keys(&self) -> impl Iterator<Item = (Kid, RawKey)> {
        let states = self.tree.iter().filter_map(|leaf| match &leaf.payload {
            Leaf::Identity(state) => Some(state),
            Leaf::Name(_) => None,
        });
        let keys = states.flat_map(|state| &state.record.standing.keys);
        keys.filter(|key| key.is_live()).map(|key| (key.kid, key.pk))
    }

    /// Who holds a handle or domain name.
    pub fn name(&self, name: &str) -> Option<Identity> {
        match self.tree.get(&name_key(name))?.1 {
            Leaf::Name(holder) => Some(*holder),
            Leaf::Identity(_) => None,
        }
    }

    /// The key that has to have signed this link.
    pub fn signer_key(&self, header: &Header, body: &Body) -> Result<RawKey, Refusal> {
        signer_key(header, body, self.identity(&header.identity).map(|state| &**state))
    }

    /// The state map.
    pub const fn map(&self) -> &Tree<Leaf> {
        &self.tree
    }

    /// Who holds office.
    pub fn office(&self) -> &Office {
        &self.office
    }

    /// Number of records.
    pub const fn identities(&self) -> u64 {
        self.identities
    }

    /// That of the newest trailer; 0 before the first.
    pub const fn log_time(&self) -> UnixMillis {
        self.log_time
    }

    /// Size of the log up to that trailer.
    pub const fn size(&self) -> TreeSize {
        self.size
    }
}

impl Office {
    /// Whether this identity is a registrar now.
    pub fn is_registrar(&self, identity: &Identity) -> bool {
        self.registrars.contains(identity)
    }
}
