//! Key events: new keys, recovery, the end of an identity (formats.md §4).
//!
//! An event is made from the record that a verified state proof shows: the end of the chain, the keys that stay, and
//! whether the signer may. The node that carries it has no say in any of these.

use super::agent::ChainEnd;
use super::error::ClientError;
use super::keys::{AgentKeys, Signer};
use super::logged::SignedLink;
use super::registration::{ACT, ADMIN, listed_keys};
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::registry::{KeyRoles, Record};
use crate::soul::{
    Body, Draft, Identity, KeyEntry, Keys, LogId, Next, Outcome, Pop, Reason, Recover, RevokeAgent, Seqno,
    next_commitment,
};

/// What is to happen to the keys of an agent, whatever its chain is by then.
#[derive(Clone, Debug)]
pub struct KeyEvent {
    /// What.
    pub change: KeyChange,
    /// Who signs: a live admin key, or the recovery key.
    pub signer: Signer,
    /// The first link of the chain that the signer disowns.
    pub suspect_from: Option<Seqno>,
}

/// Kinds of key events.
#[derive(Clone, Debug)]
pub enum KeyChange {
    /// `keys`: each new key replaces all live keys that have its role.
    Rotate {
        /// The new keys.
        new: AgentKeys,
        /// A recovery key, where none is set.
        next: Option<Next>,
        /// Who holds the keys, if not the agent.
        custodian: Option<Identity>,
    },
    /// `recover`: these keys and no others.
    Recover {
        /// The new keys.
        new: AgentKeys,
        /// The next recovery key.
        next: Next,
        /// Who holds the keys, if not the agent.
        custodian: Option<Identity>,
    },
    /// `revoke_agent`.
    Revoke {
        /// Why.
        reason: Reason,
        /// Whether the recovery key signs.
        by_next: bool,
    },
}

impl KeyEvent {
    /// The signed event, at the end of the chain that a record shows. `anchor` is of a checkpoint that was seen.
    pub fn sign(
        &self,
        log_id: LogId,
        record: &Record,
        anchor: Option<(TreeSize, Hash)>,
        now: UnixMillis,
    ) -> Result<SignedLink, ClientError> {
        self.check_signer(record)?;
        let position = ChainEnd::of_record(record).position(record.identity);
        let draft = Draft { log_id, position, ctime: now, anchor, outcome: Outcome::None, kid: self.signer.kid() };
        let body = self.body(record, &draft);
        Ok(draft.inline(&body)?.sign(self.signer.key()).into())
    }

    fn is_by_next(&self) -> bool {
        matches!(self.change, KeyChange::Recover { .. } | KeyChange::Revoke { by_next: true, .. })
    }

    fn check_signer(&self, record: &Record) -> Result<(), ClientError> {
        let (standing, kid) = (&record.standing, self.signer.kid());
        if self.is_by_next() {
            let committed = standing.next;
            let is_next = committed == Some(next_commitment(self.signer.key().public().as_bytes()));
            return if is_next { Ok(()) } else { Err(ClientError::NotRecoveryKey { committed }) };
        }
        let may = standing.key(&kid).is_some_and(|key| key.is_live() && key.roles.admin());
        let agent = || standing.name.clone().unwrap_or_else(|| record.identity.to_hex());
        if may { Ok(()) } else { Err(ClientError::KeyNotListed { agent: agent(), kid: kid.to_hex() }) }
    }

    fn body(&self, record: &Record, draft: &Draft) -> Body {
        let suspect_from = self.suspect_from;
        let recovery = *self.signer.key().public().as_bytes();
        match &self.change {
            KeyChange::Rotate { new, next, custodian } => Body::Keys(Keys {
                keys: sorted(kept(record, new).chain(added(new)).collect()),
                next: *next,
                custodian: *custodian,
                pop: self.pops(new, draft),
                suspect_from,
            }),
            KeyChange::Recover { new, next, custodian } => Body::Recover(Recover {
                keys: sorted(added(new)),
                next: *next,
                recovery,
                custodian: *custodian,
                pop: self.pops(new, draft),
                suspect_from,
            }),
            KeyChange::Revoke { reason, by_next } => {
                Body::RevokeAgent(RevokeAgent { reason: *reason, recovery: by_next.then_some(recovery), suspect_from })
            }
        }
    }

    fn pops(&self, new: &AgentKeys, draft: &Draft) -> Vec<Pop> {
        let mut pops: Vec<_> = new.iter().map(|signer| draft.pop(signer.key())).collect();
        pops.sort_by_key(|pop| pop.kid);
        pops
    }
}

/// The live keys that none of the new ones replaces.
fn kept(record: &Record, new: &AgentKeys) -> impl Iterator<Item = KeyEntry> {
    let (act, admin) = (new.act.is_some(), new.admin.is_some());
    record.standing.live_keys().filter_map(move |key| match key.roles {
        KeyRoles::Listed(roles) if !(act && roles.act || admin && roles.admin) => {
            Some(KeyEntry { kid: key.kid, pk: key.pk, roles })
        }
        _ => None,
    })
}

fn added(new: &AgentKeys) -> Vec<KeyEntry> {
    listed_keys(new.act.iter().map(|key| (key, ACT)).chain(new.admin.iter().map(|key| (key, ADMIN))))
}

fn sorted(mut keys: Vec<KeyEntry>) -> Vec<KeyEntry> {
    keys.sort_by_key(|key| key.kid);
    keys
}
