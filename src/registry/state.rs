//! An identity as the fold holds it: its record, and what the rules need beyond it. Its bytes are in `state_bytes`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{OverlayKind, Record};
use crate::encoding::UnixMillis;
use crate::soul::{Identity, Kid, Next};

/// An identity: the record and the private facts.
///
/// A copy shares all but the head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityState {
    /// What the state map shows.
    pub record: Record,
    /// The time that the newest link claims.
    pub ctime: UnixMillis,
    /// What the record does not show.
    pub(super) private: Arc<Private>,
}

/// What the rules need and records do not show.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Private {
    /// Every commitment that was ever made on this chain.
    pub(super) nexts: Vec<Next>,
    /// Log time of the first trailer after a key of the record was retired; none while there is no such trailer.
    pub(super) retired_at: BTreeMap<Kid, UnixMillis>,
    /// The `revoke_agent` that stands.
    pub(super) revocation: Option<Revocation>,
    /// The overlays that count as a registrar's, whatever the issuer is else.
    pub(super) by_registrars: Vec<(Identity, OverlayKind)>,
}

/// A `revoke_agent` that stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Revocation {
    /// The next key signed it.
    pub(super) by_next: bool,
    /// Log time of the first trailer after it.
    pub(super) at: Option<UnixMillis>,
}

impl IdentityState {
    /// Notes when what has happened since the last trailer was sealed.
    pub(super) fn settle(&mut self, log_time: UnixMillis) {
        let private = Arc::make_mut(&mut self.private);
        let keys = &self.record.standing.keys;
        for key in keys.iter().filter(|key| !key.is_live()) {
            private.retired_at.entry(key.kid).or_insert(log_time);
        }
        private.retired_at.retain(|kid, _| keys.binary_search_by(|key| key.kid.cmp(kid)).is_ok());
        if let Some(revocation) = &mut private.revocation {
            revocation.at.get_or_insert(log_time);
        }
    }
}
