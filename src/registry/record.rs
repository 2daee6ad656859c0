//! The record of an identity (formats.md §6): what the state map commits to and a state proof shows.
//!
//! Plain data and the judgements that it allows alone; its bytes are in `record_bytes`, how it changes in `apply`,
//! `keyset` and `overlays`.

use std::sync::Arc;

use super::evidence::Evidence;
use crate::merkle::LeafIndex;
use crate::soul::{Curr, Guardians, Identity, Kid, Next, RawKey, Roles, Seqno};

/// An identity as the log knows it, exactly the members of formats.md §6.
///
/// The head, which every link moves, is apart from the standing, which few do: a copy shares the latter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose record it is.
    pub identity: Identity,
    /// The newest link.
    pub head: Head,
    /// All else.
    pub standing: Arc<Standing>,
}

/// The newest link of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its place in the chain.
    pub seqno: Seqno,
    /// Its id.
    pub curr: Curr,
    /// Its place in the log.
    pub index: LeafIndex,
}

/// What an ordinary link of the identity leaves as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The handle.
    pub name: Option<String>,
    /// Domain names, sorted.
    pub domains: Vec<String>,
    /// Whether it may act, and how others should take it.
    pub status: Status,
    /// Whether a `verified` notice of a registrar stands.
    pub verified: bool,
    /// Where it was founded.
    pub genesis_index: LeafIndex,
    /// The newest key event.
    pub key_head: Curr,
    /// Live and retired keys, sorted by kid.
    pub keys: Vec<KeyRecord>,
    /// The commitment to the recovery key.
    pub next: Option<Next>,
    /// As in the genesis.
    pub guardians: Option<Guardians>,
    /// As in the genesis.
    pub controller: Option<Identity>,
    /// As in the newest key event that can say it.
    pub custodian: Option<Identity>,
    /// SHA-256 of the newest profile's body.
    pub profile: Option<[u8; 32]>,
    /// Notices that stand, sorted by issuer and kind.
    pub overlays: Vec<Overlay>,
    /// What others said of it.
    pub evidence: Evidence,
}

/// The status of an identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing stands against it.
    Active,
    /// A `suspend` notice stands: it may append, others should wait.
    Suspended,
    /// Ended by itself, by a registrar or by its guardians.
    Revoked,
}

/// A key of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// Its id.
    pub kid: Kid,
    /// The key.
    pub pk: RawKey,
    /// What it may sign.
    pub roles: KeyRoles,
    /// The event that lists it.
    pub added: LeafIndex,
    /// The event that retires it.
    pub revoked: Option<LeafIndex>,
    /// From where on it is disowned.
    pub suspect: Option<Suspect>,
}

/// What a key of a record may sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRoles {
    /// The roles under which it was listed.
    Listed(Roles),
    /// It signed as `recovery`, that once.
    Recovery,
}

/// A mark on a retired key: its links from `from` on are disputed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspect {
    /// The first link that is disowned.
    pub from: Seqno,
    /// The event that says so, where no next key signed it.
    pub by: Option<Seqno>,
}

/// A notice that stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overlay {
    /// Who says it.
    pub issuer: Identity,
    /// What it says.
    pub kind: OverlayKind,
    /// The newest such notice.
    pub index: LeafIndex,
}

/// Kinds of notices that stand, in the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OverlayKind {
    /// `revoke`
    Revoke,
    /// `suspend`
    Suspend,
    /// `verified`
    Verified,
}

impl Record {
    /// The key with this id, live or retired.
    pub fn key(&self, kid: &Kid) -> Option<&KeyRecord> {
        self.standing.key(kid)
    }

    /// Whether the link at `seqno` that `kid` signed is disowned.
    pub fn disputed(&self, seqno: Seqno, kid: &Kid) -> bool {
        self.key(kid).and_then(|key| key.suspect).is_some_and(|suspect| seqno >= suspect.from)
    }
}

impl Standing {
    /// The key with this id, live or retired.
    pub fn key(&self, kid: &Kid) -> Option<&KeyRecord> {
        self.keys.binary_search_by(|key| key.kid.cmp(kid)).ok().map(|at| &self.keys[at])
    }

    /// The keys that are not retired.
    pub fn live_keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.keys.iter().filter(|key| key.is_live())
    }

    /// Whether this identity is one of the guardians.
    pub fn has_guardian(&self, identity: &Identity) -> bool {
        self.guardians.as_ref().is_some_and(|guardians| guardians.ids.contains(identity))
    }
}

impl KeyRecord {
    /// Whether it is not retired.
    pub const fn is_live(&self) -> bool {
        self.revoked.is_none()
    }

    /// Whether it could sign the link at `index`: the event that retires it, it may sign too.
    pub fn live_at(&self, index: LeafIndex) -> bool {
        self.added <= index && self.revoked.is_none_or(|revoked| index <= revoked)
    }
}

impl KeyRoles {
    /// Whether it was listed with the role `act`.
    pub const fn act(self) -> bool {
        matches!(self, Self::Listed(Roles { act: true, .. }))
    }

    /// Whether it was listed with the role `admin`.
    pub const fn admin(self) -> bool {
        matches!(self, Self::Listed(Roles { admin: true, .. }))
    }

    /// Whether these are the roles under which it was listed.
    pub fn are(self, roles: Roles) -> bool {
        self == Self::Listed(roles)
    }
}

impl Status {
    /// Its name in a record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

impl OverlayKind {
    /// Its name in a record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Suspend => "suspend",
            Self::Verified => "verified",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(added: u64, revoked: Option<u64>) -> KeyRecord {
        KeyRecord {
            kid: Kid::ZERO,
            pk: [0; 32],
            roles: KeyRoles::Recovery,
            added: LeafIndex::new(added),
            revoked: revoked.map(LeafIndex::new),
            suspect: None,
        }
    }

    #[test]
    fn a_key_lives_from_the_event_that_adds_it_to_the_one_that_retires_it() {
        let live = |key: &KeyRecord| (3..10).filter(|i| key.live_at(LeafIndex::new(*i))).collect::<Vec<_>>();
        assert_eq!(live(&key(5, Some(7))), [5, 6, 7]);
        assert_eq!(live(&key(8, None)), [8, 9]);
        assert!(!key(8, None).roles.act() && !key(8, None).roles.admin());
    }
}
