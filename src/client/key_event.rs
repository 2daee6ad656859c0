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
                pop: pops(new, draft),
                suspect_from,
            }),
            KeyChange::Recover { new, next, custodian } => Body::Recover(Recover {
                keys: sorted(added(new)),
                next: *next,
                recovery,
                custodian: *custodian,
                pop: pops(new, draft),
                suspect_from,
            }),
            KeyChange::Revoke { reason, by_next } => {
                Body::RevokeAgent(RevokeAgent { reason: *reason, recovery: by_next.then_some(recovery), suspect_from })
            }
        }
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

fn pops(new: &AgentKeys, draft: &Draft) -> Vec<Pop> {
    let mut pops: Vec<_> = new.iter().map(|signer| draft.pop(signer.key())).collect();
    pops.sort_by_key(|pop| pop.kid);
    pops
}

fn sorted(mut keys: Vec<KeyEntry>) -> Vec<KeyEntry> {
    keys.sort_by_key(|key| key.kid);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::NewAgent;
    use crate::ed25519::SigningKey;
    use crate::registry::{Fault, FaultReason, Replay, Status};
    use crate::soul::{Code, Link};

    const NOW: UnixMillis = UnixMillis::new(1);

    fn signer(seed: u8) -> Signer {
        SigningKey::from_seed(&[seed; 32]).into()
    }

    fn next(seed: u8) -> Next {
        next_commitment(signer(seed).key().public().as_bytes())
    }

    fn pair(admin: u8, act: u8) -> AgentKeys {
        AgentKeys { act: Some(signer(act)), admin: Some(signer(admin)) }
    }

    fn log_id() -> LogId {
        LogId::of_origin("log.example/events")
    }

    /// A log of the registrar and one agent: admin key 1, act key 2, recovery key 3. Monitors judge what is appended.
    struct Log {
        replay: Replay,
        agent: Identity,
    }

    impl Log {
        fn new() -> Self {
            let mut replay = Replay::new(log_id());
            let registrar = NewAgent { name: Some("registrar".into()), ..NewAgent::of_keys(signer(30), signer(31)) };
            let agent = NewAgent { next: Some(next(3)), ..NewAgent::of_keys(signer(1), signer(2)) };
            let [registrar, agent] = [registrar, agent].map(|new| new.genesis_in(log_id(), NOW).unwrap().link);
            for link in [&registrar, &agent] {
                replay.push(link.entry()).unwrap();
            }
            Self { replay, agent: agent.curr().into() }
        }

        fn record(&self) -> Record {
            self.replay.registry().identity(&self.agent).unwrap().record.clone()
        }

        /// Appends the event; the code of the rule that it breaks, if it breaks one.
        fn append(&mut self, event: &KeyEvent) -> Result<Option<Code>, ClientError> {
            let link = event.sign(log_id(), &self.record(), None, NOW)?.link;
            Ok(self.push(&link))
        }

        fn push(&mut self, link: &Link) -> Option<Code> {
            let before = self.replay.faults().len();
            self.replay.push(link.entry()).unwrap();
            self.replay.faults().get(before).map(|Fault { reason, .. }| match reason {
                FaultReason::Link(refusal) => refusal.code(),
                other => panic!("{other:?}"),
            })
        }

        fn act(&mut self, by: u8) -> Option<Code> {
            let position = ChainEnd::of_record(&self.record()).position(self.agent);
            let kid = signer(by).kid();
            let draft = Draft { log_id: log_id(), position, ctime: NOW, anchor: None, outcome: Outcome::Success, kid };
            let (link, _) = draft.inline(&Body::Action(None)).unwrap().sign(signer(by).key());
            self.push(&link)
        }

        fn live(&self) -> Vec<Vec<u8>> {
            let seed =
                |pk: &[u8; 32]| (0..=u8::MAX).find(|seed| signer(*seed).key().public().as_bytes() == pk).unwrap();
            let mut live: Vec<_> = self.record().standing.live_keys().map(|key| vec![seed(&key.pk)]).collect();
            live.sort();
            live
        }
    }

    fn rotate(by: u8, new: AgentKeys, next: Option<Next>, suspect_from: Option<u64>) -> KeyEvent {
        let change = KeyChange::Rotate { new, next, custodian: None };
        KeyEvent { change, signer: signer(by), suspect_from: suspect_from.map(Seqno::new) }
    }

    fn recover(by: u8, new: AgentKeys, next: Next, suspect_from: Option<u64>) -> KeyEvent {
        let change = KeyChange::Recover { new, next, custodian: None };
        KeyEvent { change, signer: signer(by), suspect_from: suspect_from.map(Seqno::new) }
    }

    fn revoke(by: u8, by_next: bool) -> KeyEvent {
        KeyEvent {
            change: KeyChange::Revoke { reason: Reason::Unspecified, by_next },
            signer: signer(by),
            suspect_from: None,
        }
    }

    #[test]
    fn a_rotation_replaces_the_keys_of_its_roles_and_no_others() {
        let mut log = Log::new();
        let act = AgentKeys { act: Some(signer(4)), admin: None };
        assert_eq!(log.append(&rotate(1, act, None, None)).unwrap(), None);
        assert_eq!(log.live(), [[1], [4]]);
        let admin = AgentKeys { act: None, admin: Some(signer(5)) };
        assert_eq!(log.append(&rotate(1, admin, None, None)).unwrap(), None);
        assert_eq!(log.live(), [[4], [5]]);
        assert_eq!(log.append(&rotate(5, pair(6, 7), None, None)).unwrap(), None);
        assert_eq!(log.live(), [[6], [7]]);
        assert_eq!((log.act(4), log.act(7)), (Some(Code::Unauthorised), None));
    }

    #[test]
    fn who_is_locked_out_signs_nothing() {
        let mut log = Log::new();
        assert_eq!(log.append(&rotate(1, pair(4, 5), None, None)).unwrap(), None);
        for locked_out in [rotate(1, pair(6, 7), None, None), revoke(1, false), rotate(5, pair(6, 7), None, None)] {
            assert!(matches!(log.append(&locked_out), Err(ClientError::KeyNotListed { .. })));
        }
        for stranger in [recover(9, pair(6, 7), next(8), None), revoke(9, true)] {
            assert!(matches!(log.append(&stranger), Err(ClientError::NotRecoveryKey { committed: Some(_) })));
        }
    }

    #[test]
    fn what_a_thief_signed_is_disowned() {
        let mut log = Log::new();
        assert_eq!((log.act(2), log.act(2), log.act(2)), (None, None, None));
        let act = AgentKeys { act: Some(signer(4)), admin: None };
        assert_eq!(log.append(&rotate(1, act, None, Some(3))).unwrap(), None);
        let kid = signer(2).kid();
        let disputed = |seqno| log.record().disputed(Seqno::new(seqno), &kid);
        assert_eq!([1, 2, 3, 4].map(disputed), [false, false, true, true]);
        // Not beyond the end of the chain, which no log would take.
        let beyond = rotate(1, AgentKeys { act: Some(signer(5)), admin: None }, None, Some(7));
        assert!(matches!(log.append(&beyond), Err(ClientError::Unsendable(_))));
    }

    #[test]
    fn a_recovery_outlasts_a_thief_with_the_admin_key() {
        let mut log = Log::new();
        // The thief takes over and disowns what the owner did.
        assert_eq!(log.act(2), None);
        assert_eq!(log.append(&rotate(1, pair(4, 5), None, Some(2))).unwrap(), None);
        assert_eq!(log.act(5), None);
        assert!(log.record().disputed(Seqno::new(2), &signer(2).kid()));
        assert_eq!(log.append(&recover(3, pair(6, 7), next(8), Some(3))).unwrap(), None);
        assert_eq!(log.live(), [[6], [7]]);
        assert!(!log.record().disputed(Seqno::new(2), &signer(2).kid()), "the thief's mark is gone");
        assert!(log.record().disputed(Seqno::new(4), &signer(5).kid()), "the owner's stands");
        assert_eq!((log.act(5), log.act(7)), (Some(Code::Unauthorised), None));
        // The key that signed is spent; the new one counts.
        assert!(log.append(&recover(3, pair(10, 11), next(12), None)).is_err());
        assert_eq!(log.append(&recover(8, pair(10, 11), next(12), None)).unwrap(), None);
    }

    #[test]
    fn a_recovery_key_is_set_where_there_is_none() {
        let mut log = Log::new();
        let set = rotate(1, AgentKeys::default(), Some(next(12)), None);
        assert_eq!(log.append(&set).unwrap(), Some(Code::BadBody), "one is set already");
        let mut log = Log { replay: log.replay, agent: Identity::ZERO };
        let new = NewAgent::of_keys(signer(20), signer(21)).genesis_in(log_id(), NOW).unwrap().link;
        assert_eq!(log.push(&new), None);
        log.agent = new.curr().into();
        let set = rotate(20, AgentKeys::default(), Some(next(22)), None);
        assert_eq!(log.append(&set).unwrap(), None);
        assert_eq!((log.record().standing.next, log.live()), (Some(next(22)), vec![vec![20], vec![21]]));
    }

    #[test]
    fn the_end_and_how_final_it_is() {
        let mut log = Log::new();
        assert_eq!(log.append(&revoke(1, false)).unwrap(), None);
        assert_eq!((log.record().standing.status, log.live().len()), (Status::Revoked, 0));
        assert_eq!(log.append(&recover(3, pair(6, 7), next(8), None)).unwrap(), None);
        assert_eq!(log.record().standing.status, Status::Active);
        assert_eq!(log.append(&revoke(8, true)).unwrap(), None);
        assert_eq!(log.append(&recover(8, pair(10, 11), next(12), None)).unwrap(), Some(Code::Revoked));
    }
}
