//! An agent: keys, the end of its chain, and what it appends there.

use super::action::Action;
use super::calls::{Form, ProofWanted};
use super::error::{ClientError, FalseAnswer};
use super::keys::{AgentKeys, Signer};
use super::known_log::KnownLog;
use super::logged::{Logged, SignedLink};
use super::registration::random_salt;
use super::transport::Client;
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::registry::Record;
use crate::soul::{
    Beside, Body, ChainPosition, Curr, Draft, Header, Identity, Link, Outcome, Profile, Seqno, SignerRole, Unsigned,
};
use crate::tlog::TlogProof;
use crate::verify::Extra;
use crate::wire::{AgentView, HeadJson};

/// An agent whose keys are at hand. One of them at a time writes to a chain.
#[derive(Clone, Debug)]
pub struct Agent {
    client: Client,
    log: KnownLog,
    identity: Identity,
    keys: AgentKeys,
    end: ChainEnd,
    /// The newest checkpoint that the log has shown: links name it, so that the log cannot go back behind it.
    seen: Option<(TreeSize, Hash)>,
    last_ctime: UnixMillis,
    key_events: Option<Vec<Vec<u8>>>,
}

/// Where a chain ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChainEnd {
    seqno: Seqno,
    curr: Curr,
    auth: Curr,
}

/// How often links are built anew because others appended to the chain meanwhile.
const MAX_REBUILDS: u32 = 5;

impl Agent {
    /// An agent of the log, by identity or name, with these keys, each of which it must list.
    pub async fn open(client: &Client, log: &KnownLog, who: &str, keys: AgentKeys) -> Result<Self, ClientError> {
        let view = client.agent(who).await?;
        let identity = identity_of(&view, who)?;
        for signer in keys.iter() {
            if !lists(&view, signer) {
                return Err(ClientError::KeyNotListed { agent: who.into(), kid: signer.kid().to_hex() });
            }
        }
        Ok(Self::at(client, log, identity, keys, ChainEnd::of(&view.head)?))
    }

    /// An agent as its record shows it.
    pub fn of_record(client: &Client, log: &KnownLog, record: &Record, keys: AgentKeys) -> Self {
        Self::at(client, log, record.identity, keys, ChainEnd::of_record(record))
    }

    pub(super) fn at(client: &Client, log: &KnownLog, identity: Identity, keys: AgentKeys, end: ChainEnd) -> Self {
        Self {
            client: client.clone(),
            log: log.clone(),
            identity,
            keys,
            end,
            seen: None,
            last_ctime: UnixMillis::ZERO,
            key_events: None,
        }
    }

    /// Who it is.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The newest link of its chain.
    pub const fn seqno(&self) -> Seqno {
        self.end.seqno
    }

    /// Appends an action.
    pub async fn act(&mut self, action: &Action, proof: ProofWanted, now: UnixMillis) -> Result<Logged, ClientError> {
        let logged = self.act_all(std::slice::from_ref(action), proof, now).await?;
        Ok(logged.into_iter().next().expect("one for each action"))
    }

    /// Appends actions, in their order, all or none.
    pub async fn act_all(
        &mut self,
        actions: &[Action],
        proof: ProofWanted,
        now: UnixMillis,
    ) -> Result<Vec<Logged>, ClientError> {
        for _ in 0..MAX_REBUILDS {
            let links = self.sign_actions(actions, now)?;
            match self.send(links, proof).await {
                Err(error) if error.code() == "conflict" => self.refresh().await?,
                answer => return answer,
            }
        }
        Err(ClientError::Overtaken)
    }

    /// Replaces its profile.
    pub async fn set_profile(
        &mut self,
        profile: &Profile,
        proof: ProofWanted,
        now: UnixMillis,
    ) -> Result<Logged, ClientError> {
        self.say(&Body::Profile(profile.clone()), Outcome::None, proof, now).await
    }

    /// Appends a link with a body that is part of the entry, signed by the key of the role that it takes. Where either role
    /// may do (a retract), the act key signs if it is at hand.
    pub async fn say(
        &mut self,
        body: &Body,
        outcome: Outcome,
        proof: ProofWanted,
        now: UnixMillis,
    ) -> Result<Logged, ClientError> {
        for _ in 0..MAX_REBUILDS {
            let (signer, draft) = self.draft(body.signer_role(), &self.end, outcome, now)?;
            let link = draft.inline(body)?.sign(signer.key()).into();
            match self.send(vec![link], proof).await {
                Err(error) if error.code() == "conflict" => self.refresh().await?,
                answer => return Ok(answer?.into_iter().next().expect("one for each link that was sent")),
            }
        }
        Err(ClientError::Overtaken)
    }

    /// Signs actions as the next links of the chain, and sends nothing.
    pub fn sign_actions(&self, actions: &[Action], now: UnixMillis) -> Result<Vec<SignedLink>, ClientError> {
        let role = Body::Action(None).signer_role();
        let mut end = self.end;
        let mut links = Vec::with_capacity(actions.len());
        for action in actions {
            let (signer, draft) = self.draft(role, &end, action.how_it_ended(), now)?;
            let link = SignedLink::from(unsigned(&draft, action)?.sign(signer.key()));
            end = ChainEnd::after_link(&link.link, end.auth);
            links.push(link);
        }
        Ok(links)
    }

    /// Sends links that this agent signed, and checks the answer. They may have been sent before.
    pub async fn send(&mut self, links: Vec<SignedLink>, proof: ProofWanted) -> Result<Vec<Logged>, ClientError> {
        let form = if links.len() == 1 { Form::Json } else { Form::Binary };
        let answer = self.client.append(&links, form, proof).await?;
        let logged = Logged::check(&self.log, links, &answer)?;
        for logged in &logged {
            self.learn(logged);
        }
        Ok(logged)
    }

    /// Asks the node where the chain ends now.
    pub async fn refresh(&mut self) -> Result<(), ClientError> {
        let view = self.client.agent(&self.identity.to_hex()).await?;
        self.end = ChainEnd::of(&view.head)?;
        Ok(())
    }

    /// The proof of a link of this agent, to keep.
    pub async fn proof(&mut self, logged: &Logged, disclose: bool) -> Result<TlogProof, ClientError> {
        let header = logged.link().header();
        let known = |events: &Vec<Vec<u8>>| ends_with(events, header.auth);
        if !header.begins_chain() && !self.key_events.as_ref().is_some_and(known) {
            self.key_events = self.ask_key_events(header).await?;
        }
        logged.proof(disclose, self.key_events.as_deref())
    }

    pub(super) fn learn(&mut self, logged: &Logged) {
        let link = logged.link();
        if link.header().seqno >= self.end.seqno {
            if link.header().begins_chain() {
                self.key_events = Some(vec![link.entry().to_vec()]);
            }
            self.end = ChainEnd::after_link(link, self.end.auth);
        }
        self.last_ctime = self.last_ctime.max(link.header().ctime);
        let claim = logged.checkpoint().claim();
        if self.seen.is_none_or(|(size, _)| size < claim.size()) {
            self.seen = Some((claim.size(), claim.root()));
        }
    }

    fn draft(
        &self,
        role: SignerRole,
        end: &ChainEnd,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Result<(&Signer, Draft), ClientError> {
        let signer = self.keys.with_role(role).ok_or(ClientError::NoKey { role: role.as_str() })?;
        let position = end.position(self.identity);
        let ctime = now.max(self.last_ctime);
        Ok((signer, Draft { log_id: self.log.id(), position, ctime, anchor: self.seen, outcome, kid: signer.kid() }))
    }

    /// The key events of the chain up to the one that a link names, from the node's proof of that link; `None` where they
    /// are too many.
    async fn ask_key_events(&self, header: &Header) -> Result<Option<Vec<Vec<u8>>>, ClientError> {
        let bytes = self.client.proof(&self.identity.to_hex(), header.seqno.get(), false).await?;
        let proof = TlogProof::parse(&bytes)?;
        let Ok(Extra::Link(extra)) = Extra::parse(proof.extra().unwrap_or_default()) else {
            return Err(FalseAnswer::other("a proof"));
        };
        match extra.key_events {
            events if events.is_empty() => Ok(None),
            events if ends_with(&events, header.auth) => Ok(Some(events)),
            _ => Err(FalseAnswer::other("the key events of a chain")),
        }
    }
}

/// Whether the last of these entries is the link of this id.
fn ends_with(key_events: &[Vec<u8>], auth: Curr) -> bool {
    let newest = key_events.last().and_then(|entry| Link::parse_entry(entry).ok());
    newest.is_some_and(|link| link.curr() == auth)
}

impl ChainEnd {
    /// The end of a chain that a genesis has begun.
    pub(super) fn after(genesis: &Link) -> Self {
        Self::after_link(genesis, genesis.curr())
    }

    fn after_link(link: &Link, auth: Curr) -> Self {
        let header = link.header();
        let auth = if header.link_type.is_key_event() { link.curr() } else { auth };
        Self { seqno: header.seqno, curr: link.curr(), auth }
    }

    /// Where a record says that its chain ends.
    pub(super) fn of_record(record: &Record) -> Self {
        Self { seqno: record.head.seqno, curr: record.head.curr, auth: record.standing.key_head }
    }

    /// Where the next link stands.
    pub(super) const fn position(&self, identity: Identity) -> ChainPosition {
        ChainPosition { identity, seqno: self.seqno.next(), prev: self.curr, auth: self.auth }
    }

    fn of(head: &HeadJson) -> Result<Self, ClientError> {
        let curr = |text: &str| Curr::from_hex(text).ok_or_else(|| FalseAnswer::form("head", "not the id of a link"));
        Ok(Self { seqno: Seqno::new(head.seqno), curr: curr(&head.curr)?, auth: curr(&head.auth)? })
    }
}

fn unsigned(draft: &Draft, action: &Action) -> Result<Unsigned, ClientError> {
    let body = action.body();
    if action.is_public() {
        return Ok(draft.inline(&Body::Action(Some(body)))?);
    }
    Ok(draft.beside(Beside { salt: random_salt()?, body: body.to_bytes() })?)
}

fn identity_of(view: &AgentView, who: &str) -> Result<Identity, ClientError> {
    if view.identity != who && view.name.as_deref() != Some(who) {
        return Err(FalseAnswer::other("an agent"));
    }
    Identity::from_hex(&view.identity).ok_or_else(|| FalseAnswer::form("identity", "not 64 hex digits"))
}

/// Whether the record lists the key as live.
fn lists(view: &AgentView, signer: &Signer) -> bool {
    let kid = signer.kid().to_hex();
    let keys = view.record.get("keys").and_then(|keys| keys.as_array());
    let live = |key: &serde_json::Value| key.get("kid").is_some_and(|id| *id == *kid) && key.get("revoked").is_none();
    keys.is_some_and(|keys| keys.iter().any(live))
}
