//! Proofs that people keep (formats.md §8), put together from one view.

use std::sync::Arc;

use super::machine::NodeState;
use super::query::FoundLink;
use super::{AgentKey, Node, View};
use crate::hash::Hash;
use crate::log::{LogReader, Published, ReadError};
use crate::map::{identity_key, name_key};
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{IdentityState, Record};
use crate::soul::{Identity, LinkType, Seqno};
use crate::tlog::{SignedCheckpoint, TlogProof};
use crate::verify::{Extra, LinkExtra, MAX_KEY_EVENTS, SignerState, StatePart};

/// The checkpoint that a proof leads to, and the state under it.
pub(crate) struct Anchor {
    pub(crate) size: TreeSize,
    note: Arc<[u8]>,
    state: Option<NodeState>,
}

impl Node {
    /// The `.tlog-proof` of a link: under the published checkpoint if that covers it, and with state if nothing but the
    /// end of the signer's chain has changed since; else under the newest by the instant key. So what was just disowned
    /// shows as disputed. `None` where there is no such link.
    pub fn link_proof(
        &self,
        view: &View,
        agent: &IdentityState,
        seqno: Seqno,
        with_state: bool,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let identity = agent.record.identity;
        let Some(FoundLink { index, link }) = self.link(view, &identity, seqno)? else { return Ok(None) };
        let newest = &agent.record.standing;
        let anchor = self.anchor_where(view, |published| {
            let stands = |state: &NodeState| state.identity(&identity).is_some_and(|it| it.record.standing == *newest);
            index.get() < published.size.get() && (!with_state || published.state.as_ref().is_some_and(stands))
        })?;
        if index.get() >= anchor.size.get() || (with_state && anchor.state.is_none()) {
            return Err(ReadError::NotPublished);
        }
        let log = self.reader(view);
        let state = match &anchor.state {
            Some(state) if with_state => {
                let part = state_part(state, log, anchor.size, &Subject::Identity(identity))?;
                Some(SignerState { path: log.inclusion(last(anchor.size), anchor.size)?, part })
            }
            _ => None,
        };
        let key_events = match link.header().link_type {
            LinkType::Genesis => Vec::new(),
            _ => self.key_events(view, agent, index)?,
        };
        let entry = link.into_entry();
        let path = log.inclusion(index, anchor.size)?;
        let extra = Extra::Link(LinkExtra { entry, disclosed: None, key_events, state });
        proof(&extra, index, path, &anchor.note).map(Some)
    }

    /// The `.tlog-proof` of the state of an agent, or of the absence of an identity or a name.
    ///
    /// Under the published checkpoint where the newest state says no more: it covers the agent's head, and no notice has
    /// changed its record since. So nobody is shown as absent who is there, nor as active who was just revoked, and who
    /// makes a key event from it finds the end of the chain.
    pub fn state_proof(&self, view: &View, key: &AgentKey) -> Result<Vec<u8>, ReadError> {
        let newest = told_of(view.state(), key);
        let anchor = self.anchor_where(view, |published| {
            published.state.as_ref().is_some_and(|state| told_of(state, key) == newest)
        })?;
        let state = anchor.state.as_ref().ok_or(ReadError::NotPublished)?;
        let subject = match key {
            AgentKey::Identity(identity) => Subject::Identity(*identity),
            AgentKey::Name(name) => match state.snapshot.name(name) {
                Some(holder) => Subject::Identity(holder),
                None => Subject::FreeName(name),
            },
        };
        let log = self.reader(view);
        let part = state_part(state, log, anchor.size, &subject)?;
        let path = log.inclusion(last(anchor.size), anchor.size)?;
        proof(&Extra::State(part), last(anchor.size), path, &anchor.note)
    }

    /// The published checkpoint where it will do, else the newest one. Where no key signs the newest one, as in a mirror,
    /// the published one has to do: there is no other.
    fn anchor_where(
        &self,
        view: &View,
        will_do: impl FnOnce(&Published<NodeState>) -> bool,
    ) -> Result<Anchor, ReadError> {
        let is_signed = !view.checkpoint().is_empty();
        match self.published() {
            Some(published) if published.size <= view.size() && (!is_signed || will_do(&published)) => {
                let note = Arc::clone(&published.note);
                Ok(Anchor { size: published.size, note, state: published.state.clone() })
            }
            _ if is_signed => {
                let note = Arc::clone(view.checkpoint());
                Ok(Anchor { size: view.size(), note, state: Some(view.state().clone()) })
            }
            _ => Err(ReadError::NotPublished),
        }
    }

    /// The key events of a chain before an entry, oldest first; none where there are more than a proof may hold.
    fn key_events(&self, view: &View, agent: &IdentityState, before: LeafIndex) -> Result<Vec<Vec<u8>>, ReadError> {
        let Some(row) = view.state().row(agent) else { return Ok(Vec::new()) };
        let events = row.key_events.iter().filter(|index| **index < before);
        if events.clone().count() > MAX_KEY_EVENTS {
            return Ok(Vec::new());
        }
        let log = self.reader(view);
        events.map(|index| log.entry(*index).map(|entry| entry.to_vec())).collect()
    }
}

/// The record of who is named.
fn told_of(state: &NodeState, key: &AgentKey) -> Option<Record> {
    let identity = match key {
        AgentKey::Identity(identity) => *identity,
        AgentKey::Name(name) => state.snapshot.name(name)?,
    };
    state.identity(&identity).map(|known| known.record.clone())
}

enum Subject<'a> {
    Identity(Identity),
    FreeName(&'a str),
}

fn last(size: TreeSize) -> LeafIndex {
    LeafIndex::new(size.get().saturating_sub(1))
}

fn state_part(
    state: &NodeState,
    log: LogReader<'_>,
    size: TreeSize,
    subject: &Subject<'_>,
) -> Result<StatePart, ReadError> {
    let (key, record) = match subject {
        Subject::Identity(identity) => {
            let record = state.identity(identity).map(|known| known.record.to_bytes());
            (identity_key(identity.as_bytes()), record)
        }
        Subject::FreeName(name) => (name_key(name), None),
    };
    let trailer = log.entry(last(size))?.to_vec();
    Ok(StatePart { trailer, record, map: state.snapshot.map().prove(&key) })
}

fn proof(extra: &Extra, index: LeafIndex, path: Vec<Hash>, note: &[u8]) -> Result<Vec<u8>, ReadError> {
    let damaged = |_| ReadError::Damaged { name: "a proof".into(), what: "its parts do not make one" };
    let checkpoint = SignedCheckpoint::parse(note).map_err(damaged)?;
    let proof = TlogProof::new(Some(extra.to_bytes()), index, path, checkpoint).map_err(damaged)?;
    Ok(proof.to_string().into_bytes())
}
