//! The state as of a trailer: what readers hold, and what a batch is admitted against.

use core::ops::Deref;
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
    Identity(Held),
    /// A handle or domain name, and who holds it.
    Name(Identity),
}

/// An identity as a leaf holds it.
#[derive(Clone, Debug)]
pub struct Held(Shape);

/// Most identities of a large log are seldom asked for: their bytes take a fifth of the memory.
#[derive(Clone, Debug)]
enum Shape {
    /// It has had a link since it was founded or read from a store.
    Open(Arc<IdentityState>),
    /// Bytes that [`IdentityState::to_bytes`] gave.
    Packed(Arc<[u8]>),
}

/// An identity that was looked up: of the batch, or of the newest trailer.
#[derive(Debug)]
pub enum Known<'a> {
    /// Of the batch.
    Here(&'a IdentityState),
    /// Of a snapshot.
    Held(Arc<IdentityState>),
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
    pub fn identity(&self, identity: &Identity) -> Option<Arc<IdentityState>> {
        match self.tree.get(&identity_key(identity.as_bytes()))?.1 {
            Leaf::Identity(held) => Some(held.state()),
            Leaf::Name(_) => None,
        }
    }

    /// The keys that are live, whosever they are.
    pub(super) fn live_keys(&self) -> impl Iterator<Item = (Kid, RawKey)> {
        let states = self.tree.iter().filter_map(|leaf| match &leaf.payload {
            Leaf::Identity(held) => Some(held.state()),
            Leaf::Name(_) => None,
        });
        states.flat_map(|state| state.record.standing.live_keys().map(|key| (key.kid, key.pk)).collect::<Vec<_>>())
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
        signer_key(header, body, self.identity(&header.identity).as_deref())
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

impl Held {
    /// As it is, for one that is in use.
    pub(super) const fn open(state: Arc<IdentityState>) -> Self {
        Self(Shape::Open(state))
    }

    /// In its bytes, which [`IdentityState::to_bytes`] gave.
    pub(super) fn packed(bytes: &[u8]) -> Self {
        Self(Shape::Packed(bytes.into()))
    }

    /// The identity.
    pub fn state(&self) -> Arc<IdentityState> {
        match &self.0 {
            Shape::Open(state) => Arc::clone(state),
            Shape::Packed(bytes) => {
                Arc::new(IdentityState::from_bytes(bytes).expect("they were written, or read before, by this process"))
            }
        }
    }
}

impl Deref for Known<'_> {
    type Target = IdentityState;

    fn deref(&self) -> &IdentityState {
        match self {
            Self::Here(state) => state,
            Self::Held(state) => state,
        }
    }
}

impl Office {
    /// Whether this identity is a registrar now.
    pub fn is_registrar(&self, identity: &Identity) -> bool {
        self.registrars.contains(identity)
    }
}
