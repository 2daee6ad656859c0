//! Questions about agents and their links, answered from one view.

use std::sync::Arc;

use super::facts::link_at;
use super::machine::NodeState;
use super::rows::Row;
use super::{Node, View, chain};
use crate::log::ReadError;
use crate::merkle::LeafIndex;
use crate::registry::{IdentityState, Status};
use crate::soul::{Identity, Link, LinkType, Seqno};

/// How an agent is named in a request: 64 hex digits are an identity, anything else is a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentKey {
    /// The identity itself.
    Identity(Identity),
    /// A handle or domain name.
    Name(String),
}

impl AgentKey {
    /// Reads the text of a request.
    pub fn parse(text: &str) -> Self {
        Identity::from_hex(text).map_or_else(|| Self::Name(text.to_owned()), Self::Identity)
    }
}

/// A link that was found.
pub struct FoundLink {
    /// Index of its entry.
    pub index: LeafIndex,
    /// The link.
    pub link: Link,
}

/// Most rows that one page of the directory looks at.
pub const MAX_SCAN: usize = 10_000;

/// Which agents a page of the directory shows.
#[derive(Clone, Debug, Default)]
pub struct AgentFilter {
    /// The handle begins with this.
    pub name: Option<String>,
    /// Standing.
    pub status: Option<Status>,
    /// The profile's owner is this.
    pub owner: Option<String>,
    /// The profile lists this capability.
    pub capability: Option<String>,
    /// Whether a registrar's `verified` stands.
    pub verified: Option<bool>,
}

/// A page of the directory.
pub struct DirectoryPage {
    /// Agents, newest first, with the JCS text of their profiles.
    pub agents: Vec<(Arc<IdentityState>, Option<Arc<crate::soul::Profile>>)>,
    /// Where the next page begins.
    pub next: Option<LeafIndex>,
    /// Number of all identities, where nothing is filtered.
    pub total: Option<u64>,
}

impl AgentFilter {
    fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.status.is_none()
            && self.owner.is_none()
            && self.capability.is_none()
            && self.verified.is_none()
    }

    fn shows(&self, state: &IdentityState, row: &Row) -> bool {
        let standing = &state.record.standing;
        let profile = row.profile.as_ref().map(|row| &row.profile);
        let has = |wanted: &Option<String>, is: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(is);
        has(&self.name, &|name| standing.name.as_deref().is_some_and(|held| held.starts_with(name)))
            && self.status.is_none_or(|status| status == standing.status)
            && self.verified.is_none_or(|verified| verified == standing.verified)
            && has(&self.owner, &|owner| profile.is_some_and(|profile| profile.owner.as_deref() == Some(owner)))
            && has(&self.capability, &|capability| {
                profile.is_some_and(|profile| profile.capabilities.iter().any(|listed| listed == capability))
            })
    }
}

impl Node {
    /// The agent that a request names.
    pub fn agent(&self, view: &View, key: &AgentKey) -> Option<Arc<IdentityState>> {
        let state = view.state();
        let identity = match key {
            AgentKey::Identity(identity) => *identity,
            AgentKey::Name(name) => state.snapshot.name(name)?,
        };
        state.identity(&identity)
    }

    /// The JCS bytes of an agent's profile.
    pub fn profile(&self, view: &View, agent: &IdentityState) -> Option<bytes::Bytes> {
        view.state().row(agent)?.profile.as_ref().map(|profile| profile.body.clone())
    }

    /// The link at a place of an agent's chain.
    pub fn link(&self, view: &View, identity: &Identity, seqno: Seqno) -> Result<Option<FoundLink>, ReadError> {
        let found = link_at(view.state().head(identity).as_ref(), &self.reader(view), identity, seqno)?;
        Ok(found.map(|(index, link)| FoundLink { index, link }))
    }

    /// An agent's links, newest first, from `before` downwards. Looks at no more than [`MAX_SCAN`] links; gives where to
    /// go on.
    pub fn links(
        &self,
        view: &View,
        agent: &IdentityState,
        link_type: Option<LinkType>,
        before: Option<Seqno>,
        limit: usize,
    ) -> Result<(Vec<FoundLink>, Option<Seqno>), ReadError> {
        let log = self.reader(view);
        let head = agent.record.head;
        let start = before.map_or(head.seqno.get(), |before| before.get().saturating_sub(1)).min(head.seqno.get());
        let mut at = chain::find(&log, &head, Seqno::new(start))?;
        let mut links = Vec::new();
        let mut seqno = start;
        for _ in 0..MAX_SCAN {
            let Some(index) = at else { return Ok((links, None)) };
            if links.len() == limit {
                break;
            }
            let link = Link::parse_entry(&log.entry(index)?).map_err(|_| chain::damaged())?;
            if super::machine::chain_of(&link) != agent.record.identity || link.header().seqno.get() != seqno {
                return Err(chain::damaged());
            }
            at = chain::previous(&log, index)?;
            if link_type.is_none_or(|wanted| wanted == link.header().link_type) {
                links.push(FoundLink { index, link });
            }
            seqno -= 1;
        }
        Ok((links, Some(Seqno::new(seqno + 1)).filter(|_| seqno > 0)))
    }

    /// A page of the directory, newest first, below the genesis index `below`.
    pub fn directory(
        &self,
        view: &View,
        filter: &AgentFilter,
        below: Option<LeafIndex>,
        limit: usize,
    ) -> DirectoryPage {
        let state = view.state();
        let total = filter.is_empty().then(|| state.snapshot.identities());
        let mut agents = Vec::new();
        let end = below.unwrap_or(LeafIndex::new(u64::MAX));
        let mut next = None;
        for (scanned, (genesis, row)) in state.rows.below(end).enumerate() {
            if scanned == MAX_SCAN || agents.len() == limit {
                break;
            }
            next = Some(genesis);
            if let Some(agent) = shown(state, filter, &row) {
                agents.push(agent);
            }
        }
        let more = next.filter(|next| state.rows.below(*next).next().is_some());
        DirectoryPage { agents, next: more, total }
    }
}

type Shown = (Arc<IdentityState>, Option<Arc<crate::soul::Profile>>);

fn shown(state: &NodeState, filter: &AgentFilter, row: &Row) -> Option<Shown> {
    let agent = state.identity(&row.identity)?;
    let profile = row.profile.as_ref().map(|profile| Arc::new(profile.profile.clone()));
    filter.shows(&agent, row).then_some((agent, profile))
}
