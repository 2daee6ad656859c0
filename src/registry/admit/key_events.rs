//! Rules of `genesis`, `keys`, `recover` and `revoke_agent` that the state decides (formats.md §4).

use super::Admitted;
use crate::merkle::LeafIndex;
use crate::registry::fold::Registry;
use crate::registry::history::History;
use crate::registry::keyset::{At, KeyChange, KeyEvent, KeyEventKind, LONG_MS, SHORT_MS};
use crate::registry::refusal::{BodyRule, ChainEnd, Refusal};
use crate::registry::state::IdentityState;
use crate::soul::{Genesis, Identity, Kid, Next, kid, next_commitment};

/// The handle of the identity of entry 0, and of no other.
const REGISTRAR: &str = "registrar";
/// The most keys retired in 30 days that a `keys` event may leave when it retires one.
const RETIRED_BY_KEYS: usize = 32;
/// The most keys retired in 30 days that a `recover` may leave.
const RETIRED_BY_RECOVER: usize = 128;

impl Registry {
    pub(super) fn check_genesis(&self, link: &Admitted<'_>, genesis: &Genesis) -> Result<(), Refusal> {
        let identity = Identity::from(link.curr);
        let first = link.index == LeafIndex::new(0);
        if !first && self.office.registrar.is_none() {
            return Err(Refusal::UnknownIdentity(identity));
        }
        if (genesis.name.as_deref() == Some(REGISTRAR)) != first {
            return Err(Refusal::BadBody(BodyRule::RegistrarName));
        }
        if !link.header.begins_chain() {
            return Err(Refusal::Conflict(None));
        }
        if let Some(state) = self.identity(&identity) {
            let (head, auth) = (state.record.head, state.record.standing.key_head);
            return Err(Refusal::Conflict(Some(ChainEnd { head, auth })));
        }
        crate::registry::signer::signer_key(link.header, link.body, None)?;
        if let Some(holder) = genesis.name.as_ref().and_then(|name| self.name(name)) {
            return Err(Refusal::NameTaken(holder));
        }
        self.check_unused(genesis.keys.iter().map(|key| key.kid))?;
        let guardians = genesis.guardians.iter().flat_map(|guardians| &guardians.ids);
        self.check_exist(guardians.chain(&genesis.controller).chain(&genesis.custodian))
    }

    pub(super) fn check_key_event(
        &self,
        link: &Admitted<'_>,
        event: &KeyEvent<'_>,
        state: &IdentityState,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let standing = &state.record.standing;
        for held in standing.live_keys() {
            let changed = |listed: &&crate::soul::KeyEntry| listed.kid == held.kid && !held.roles.are(listed.roles);
            if event.listed.iter().any(|listed| changed(&listed)) {
                return Err(Refusal::BadBody(BodyRule::RolesChanged(held.kid)));
            }
        }
        check_next_key(event, state)?;
        self.check_exist(&event.custodian)?;
        let suspect_index = self.check_suspect_from(link, event, history)?;
        let at = At { seqno: link.header.seqno, index: link.index, log_time: self.log_time(), suspect_index };
        let change = event.change(&standing.keys, &state.private.retired_at, &at);
        self.check_unused(change.added.iter().copied().chain(event.recovery.map(kid)))?;
        check_change(event, &change)
    }

    /// Whether the signer may look back as far as `suspect_from`; the index of the link there.
    fn check_suspect_from(
        &self,
        link: &Admitted<'_>,
        event: &KeyEvent<'_>,
        history: &dyn History,
    ) -> Result<Option<LeafIndex>, Refusal> {
        let Some(from) = event.suspect_from else { return Ok(None) };
        let index = link.suspect_index(event).filter(|_| from.get() > 1 && from <= link.header.seqno);
        let index = index.ok_or(Refusal::BadBody(BodyRule::SuspectOutOfChain))?;
        let unsealed = index.get() >= self.committed.size.get();
        let sealed_at = if unsealed { None } else { history.time_after(index) };
        let passed = sealed_at.map_or(0, |then| self.log_time().since(then));
        let allowed = if event.recovery.is_some() { LONG_MS } else { SHORT_MS };
        if passed > allowed {
            return Err(Refusal::BadBody(BodyRule::SuspectTooLate));
        }
        Ok(Some(index))
    }

    fn check_unused(&self, added: impl IntoIterator<Item = Kid>) -> Result<(), Refusal> {
        match added.into_iter().find(|kid| self.used_keys.contains(kid)) {
            Some(used) => Err(Refusal::KeyInUse(used)),
            None => Ok(()),
        }
    }
}

/// What may be said of the recovery key: that it is announced, once, and listed nowhere.
fn check_next_key(event: &KeyEvent<'_>, state: &IdentityState) -> Result<(), Refusal> {
    let set = state.record.standing.next;
    if event.kind == KeyEventKind::Keys && event.next.is_some() && set.is_some() {
        return Err(Refusal::BadBody(BodyRule::NextIsSet));
    }
    if event.next.is_some_and(|next| state.private.nexts.contains(&next)) {
        return Err(Refusal::NextCommittedBefore);
    }
    let commitments: Vec<Next> = set.into_iter().chain(event.next).collect();
    if commitments.is_empty() {
        return Ok(());
    }
    match event.listed.iter().find(|listed| commitments.contains(&next_commitment(&listed.pk))) {
        Some(listed) => Err(Refusal::BadBody(BodyRule::NextIsListed(listed.kid))),
        None => Ok(()),
    }
}

fn check_change(event: &KeyEvent<'_>, change: &KeyChange) -> Result<(), Refusal> {
    let proven = event.pop.iter().map(|pop| pop.kid);
    if !proven.eq(change.added.iter().copied()) {
        return Err(Refusal::BadBody(BodyRule::Pops));
    }
    if event.suspect_from.is_some() && !change.suspects {
        return Err(Refusal::BadBody(BodyRule::SuspectMarksNone));
    }
    let too_many = match event.kind {
        KeyEventKind::Keys => {
            if change.added.is_empty() && !change.retires && event.next.is_none() {
                return Err(Refusal::BadBody(BodyRule::NothingChanges));
            }
            change.retires && change.recently_retired > RETIRED_BY_KEYS
        }
        KeyEventKind::Recover => change.recently_retired > RETIRED_BY_RECOVER,
        KeyEventKind::RevokeAgent => false,
    };
    if too_many { Err(Refusal::TooManyKeys(change.recently_retired)) } else { Ok(()) }
}
