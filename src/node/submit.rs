//! From links as they arrive to a place in the log: everything that can be done before the sequencer, on all cores.

use std::convert::Infallible;
use std::sync::Arc;

use super::facts::{Facts, Occupant, link_at};
use super::held::HOLD_MS;
use super::machine::{Cause, Checked, Group, NodeState, Position, Refused, chain_of};
use super::{Node, View};
use crate::ed25519::PublicKey;
use crate::log::{LogReader, ReadError, SubmitError};
use crate::merkle::LeafIndex;
use crate::registry::{ChainEnd, Refusal};
use crate::soul::{
    self, Beside, Body, Header, Identity, KeyEntry, Link, LinkType, Next, RawKey, ReadLink, VerifiedLink,
    next_commitment,
};

/// A link of a request, with the body that is kept beside the log.
pub type Submitted = (Link, Option<Beside>);

/// Where links were put, and the log right after.
pub struct Receipt {
    /// One for each link.
    pub placed: Vec<Position>,
    /// The log, durable, with all of them.
    pub view: Arc<View>,
    /// Whether all of them were there before.
    pub repeated: bool,
}

/// What a request asks for, by what it may be limited: key events have a share of their own, so that nobody who floods
/// a chain keeps its owner from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Links that are no key event, and the genesis.
    pub links: usize,
    /// Key events that an admin key signs.
    pub key_events: usize,
    /// Key events that the next key signs.
    pub by_next: usize,
}

/// Why links were not appended.
#[derive(Debug)]
#[non_exhaustive]
pub enum AppendError<E = Infallible> {
    /// A link breaks a rule.
    Refused {
        /// Which one.
        at: usize,
        /// The rule.
        refusal: Refusal,
        /// The identity whose chain it is.
        identity: Identity,
        /// It is a key event that was outrun, and the chain is held for it: signed anew at the end of the chain, it
        /// gets in.
        holds: bool,
    },
    /// The chain is held for a key event that was outrun.
    Held {
        /// Which link may not be appended now.
        at: usize,
        /// For so long.
        wait_ms: u64,
    },
    /// The links of a request are consecutive links of one chain.
    NotOneChain {
        /// The first that is not.
        at: usize,
    },
    /// The engine took none of them.
    Engine(SubmitError<Infallible>),
    /// What the links ask of the past could not be read.
    Read(ReadError),
    /// The caller did not permit it.
    Denied(E),
}

/// How often a submission is resolved, where what it rests on changes on its way.
const TRIES: usize = 4;

impl Node {
    /// Appends consecutive links of one chain. Those at the front that are logged already are answered with their first
    /// place; the rest is appended whole or not at all, if the caller permits that share of that identity: it is asked
    /// once, after their signatures were checked.
    pub async fn append<E>(
        &self,
        links: Vec<Submitted>,
        permit: impl FnOnce(&Identity, Share) -> Result<(), E>,
    ) -> Result<Receipt, AppendError<E>> {
        let mut permit = Some(permit);
        let identity = check_one_chain(&links)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let view = self.engine.view();
            let mut placed = self.logged_prefix(&view, &identity, &links).map_err(AppendError::Read)?;
            if placed.len() == links.len() {
                return Ok(Receipt { placed, view, repeated: true });
            }
            let skipped = placed.len();
            let group = self.check(&view, &links[skipped..], skipped, identity)?;
            if let Some(permit) = permit.take() {
                permit(&identity, Share::of(&group)).map_err(AppendError::Denied)?;
            }
            let pending = self.engine.submit(group).map_err(|error| engine_error(error, skipped, identity))?;
            match pending.answer().await {
                Ok(committed) => {
                    placed.extend(committed.answer);
                    return Ok(Receipt { placed, view: committed.view, repeated: false });
                }
                Err(SubmitError::Refused(refused))
                    if tries < TRIES && self.may_be_other_by_now(&refused, &identity, &links[skipped]) => {}
                Err(error) => return Err(engine_error(error, skipped, identity)),
            }
        }
    }

    /// Whether a refusal may be another in the newest view. The same links may have been on their way twice: if so, they
    /// are logged now.
    fn may_be_other_by_now(&self, refused: &Refused, identity: &Identity, first: &Submitted) -> bool {
        let Cause::Rule { refusal, outdated, .. } = &refused.cause else { return false };
        let raced = matches!(refusal, Refusal::Conflict(_) | Refusal::NameTaken(_) | Refusal::KeyInUse(_));
        *outdated || (raced && self.is_logged(identity, first))
    }

    /// The places of those links at the front that are logged.
    fn logged_prefix(&self, view: &View, identity: &Identity, links: &[Submitted]) -> Result<Vec<Position>, ReadError> {
        let log = self.engine.reader(view);
        let Some(state) = view.state().identity(identity) else { return Ok(Vec::new()) };
        let head = state.record.head;
        let mut placed = Vec::new();
        for (link, _) in links {
            let (seqno, curr) = (link.header().seqno, link.curr());
            if seqno > head.seqno {
                break;
            }
            let index = if curr == head.curr { Some(head.index) } else { Self::find(view, log, identity, link)? };
            match index {
                Some(index) => placed.push(Position { index, curr, seqno }),
                None => break,
            }
        }
        Ok(placed)
    }

    fn find(
        view: &View,
        log: LogReader<'_>,
        identity: &Identity,
        link: &Link,
    ) -> Result<Option<LeafIndex>, ReadError> {
        let found = link_at(view.state().head(identity), &log, identity, link.header().seqno)?;
        Ok(found.filter(|(_, logged)| logged.curr() == link.curr()).map(|(index, _)| index))
    }

    fn is_logged(&self, identity: &Identity, first: &Submitted) -> bool {
        let view = self.engine.view();
        self.logged_prefix(&view, identity, std::slice::from_ref(first)).is_ok_and(|placed| !placed.is_empty())
    }

    /// Reads, verifies, and looks up what the links ask of the past.
    fn check<E>(
        &self,
        view: &View,
        links: &[Submitted],
        skipped: usize,
        identity: Identity,
    ) -> Result<Group, AppendError<E>> {
        let log = self.engine.reader(view);
        let mut keys = RequestKeys { state: view.state(), newest: None, next: None };
        let mut checked = Vec::with_capacity(links.len());
        for (at, (link, beside)) in links.iter().enumerate() {
            let refused = |refusal| AppendError::Refused { at: at + skipped, refusal, identity, holds: false };
            let read = ReadLink::read(link.clone(), beside.clone(), self.log_id);
            let read = read.map_err(|refusal| refused(Refusal::Link(refusal)))?;
            let occupant = match place(view.state(), log, read.header(), at).map_err(AppendError::Read)? {
                Place::Open => None,
                Place::LateFor(occupant) => Some(occupant),
                Place::None(refusal) => return Err(refused(refusal)),
            };
            let key = keys.signer(&read).map_err(refused)?;
            let key = PublicKey::from_bytes(&key).ok_or(refused(Refusal::Link(soul::Refusal::Signature)))?;
            let link = read.verify(&key).map_err(|refusal| refused(Refusal::Link(refusal)))?;
            keys.note(link.body());
            let facts = Facts::resolve(&link, view.state(), log).map_err(AppendError::Read)?;
            let facts = match occupant {
                Some(occupant) => facts.with_occupant(link.header(), occupant),
                None => facts,
            };
            checked.push(Checked { link, facts });
        }
        Ok(Group { links: checked })
    }
}

impl Share {
    fn of(group: &Group) -> Self {
        let mut share = Self::default();
        for Checked { link, .. } in &group.links {
            *share.kind(link) += 1;
        }
        share
    }

    fn kind(&mut self, link: &VerifiedLink) -> &mut usize {
        match (link.header().link_type, link.body().recovery()) {
            (LinkType::Keys | LinkType::RevokeAgent, None) => &mut self.key_events,
            (_, Some(_)) => &mut self.by_next,
            _ => &mut self.links,
        }
    }
}

/// The keys of a chain as of the committed state and the links of the request so far.
struct RequestKeys<'a> {
    state: &'a NodeState,
    newest: Option<Vec<KeyEntry>>,
    next: Option<Next>,
}

impl RequestKeys<'_> {
    fn signer(&self, link: &ReadLink) -> Result<RawKey, Refusal> {
        let header = link.header();
        if let Some(key) = link.named_signer().map_err(Refusal::Link)? {
            // Whoever names a recovery key of its own speaks for nobody.
            let is_next = || self.next(&header.identity) == Some(next_commitment(key));
            let may = header.link_type == LinkType::Genesis || is_next();
            return if may { Ok(*key) } else { Err(Refusal::Unauthorised(header.kid)) };
        }
        match &self.newest {
            // Which role it needs is judged at admission.
            Some(keys) => {
                let key = keys.iter().find(|key| key.kid == header.kid);
                key.map(|key| key.pk).ok_or(Refusal::Unauthorised(header.kid))
            }
            None => self.state.snapshot.signer_key(header, link.body()),
        }
    }

    fn next(&self, identity: &Identity) -> Option<Next> {
        self.next.or_else(|| self.state.identity(identity)?.record.standing.next)
    }

    fn note(&mut self, body: &Body) {
        if let Some(keys) = body.keys() {
            self.newest = Some(keys.to_vec());
        }
        self.next = body.next().or(self.next);
    }
}

/// What the committed state says of the place that a link asks for.
enum Place {
    /// It is free, or not told here.
    Open,
    /// A key event is late for it, so little that its chain may be held.
    LateFor(Occupant),
    /// It is taken for good, or there is no such chain.
    None(Refusal),
}

/// Refuses at once what the committed state refuses for good, so that it costs no signature check: a place in the chain
/// that is taken. The first link alone can be told; the others follow it.
fn place(state: &NodeState, log: LogReader<'_>, header: &Header, at: usize) -> Result<Place, ReadError> {
    if at > 0 || header.link_type == LinkType::Genesis {
        return Ok(Place::Open);
    }
    let Some(known) = state.identity(&header.identity) else {
        return Ok(Place::None(Refusal::UnknownIdentity(header.identity)));
    };
    let head = known.record.head;
    if header.seqno > head.seqno {
        return Ok(Place::Open);
    }
    if header.link_type.is_key_event() {
        let occupant = Occupant::of(header, &head, log)?.filter(|occupant| occupant.was_open_to(header));
        let now = crate::clock::now();
        if let Some(occupant) = occupant.filter(|occupant| now.since(occupant.sealed) <= HOLD_MS) {
            return Ok(Place::LateFor(occupant));
        }
    }
    let end = ChainEnd { head, auth: known.record.standing.key_head };
    Ok(Place::None(Refusal::Conflict(Some(end))))
}

fn check_one_chain<E>(links: &[Submitted]) -> Result<Identity, AppendError<E>> {
    let Some((first, _)) = links.first() else { return Err(AppendError::NotOneChain { at: 0 }) };
    let identity = chain_of(first);
    for (at, pair) in links.windows(2).enumerate() {
        let (before, after) = (&pair[0].0, &pair[1].0);
        let follows = chain_of(after) == identity && after.header().seqno.get() == before.header().seqno.get() + 1;
        if !follows {
            return Err(AppendError::NotOneChain { at: at + 1 });
        }
    }
    Ok(identity)
}

fn engine_error<E>(
    error: SubmitError<Refused>,
    skipped: usize,
    identity: Identity,
) -> AppendError<E> {
    AppendError::Engine(match error {
        SubmitError::Refused(Refused { at, cause }) => {
            let at = at + skipped;
            return match cause {
                Cause::Rule { refusal, holds, .. } => AppendError::Refused { at, refusal, identity, holds },
                Cause::Held { wait_ms } => AppendError::Held { at, wait_ms },
            };
        }
        SubmitError::Overloaded => SubmitError::Overloaded,
        SubmitError::NoSpace => SubmitError::NoSpace,
        SubmitError::TooLarge => SubmitError::TooLarge,
        SubmitError::ClockJumped => SubmitError::ClockJumped,
        SubmitError::Latched { may_be_logged } => SubmitError::Latched { may_be_logged },
        SubmitError::Closed => SubmitError::Closed,
    })
}
