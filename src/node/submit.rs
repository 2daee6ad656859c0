//! From links as they arrive to a place in the log: everything that can be done before the sequencer, on all cores.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;

use super::facts::{Facts, Occupant, link_at};
use super::held::HOLD_MS;
use super::machine::{Cause, Checked, Group, NodeState, Position, Refused, chain_of};
use super::{Node, View};
use crate::ed25519::PublicKey;
use crate::log::{Entry, LogReader, ReadError, SubmitError};
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

    fn find(view: &View, log: LogReader<'_>, identity: &Identity, link: &Link) -> Result<Option<LeafIndex>, ReadError> {
        let found = link_at(view.state().head(identity).as_ref(), &log, identity, link.header().seqno)?;
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
            let key = self.public_key(&key).ok_or(refused(Refusal::Link(soul::Refusal::Signature)))?;
            let link = read.verify(&key).map_err(|refusal| refused(Refusal::Link(refusal)))?;
            keys.note(link.body());
            let facts = Facts::resolve(&link, view.state(), log).map_err(AppendError::Read)?;
            let facts = match occupant {
                Some(occupant) => facts.with_occupant(link.header(), occupant),
                None => facts,
            };
            let entry = Entry::new(Bytes::copy_from_slice(link.entry())).expect("a link fits into an entry");
            checked.push(Checked { link, facts, entry });
        }
        Ok(Group { links: checked })
    }

    /// A key whose point has been decoded: what busy agents sign with is decoded once.
    fn public_key(&self, key: &RawKey) -> Option<PublicKey> {
        self.public_keys.get(key).or_else(|| {
            let decoded = PublicKey::from_bytes(key)?;
            self.public_keys.insert(*key, decoded);
            Some(decoded)
        })
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
        // Log time is never ahead of the clock by which the sequencer judges: this lets off the old ones at no cost.
        let now = state.log_time();
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

fn engine_error<E>(error: SubmitError<Refused>, skipped: usize, identity: Identity) -> AppendError<E> {
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
        SubmitError::Held => SubmitError::Held,
        SubmitError::Latched { may_be_logged } => SubmitError::Latched { may_be_logged },
        SubmitError::Closed => SubmitError::Closed,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::{ManualClock, now};
    use crate::ed25519::SigningKey;
    use crate::encoding::UnixMillis;
    use crate::log::{FLUSH_AFTER, PoolLimits};
    use crate::node::{NodeOptions, Platform, ViewStore};
    use crate::registry::Reference;
    use crate::soul::{
        ChainPosition, Curr, Draft, Feedback, Genesis, Keys, LinkRef, Outcome, Retract, Roles, Seqno, kid,
    };

    /// A node whose clock is set by hand, and two agents of one key each.
    struct World {
        node: Node,
        clock: Arc<ManualClock>,
        start: UnixMillis,
        _directory: tempfile::TempDir,
    }

    struct Agent {
        key: SigningKey,
        position: ChainPosition,
    }

    fn open(directory: &Path, clock: &Arc<ManualClock>) -> Node {
        let options = NodeOptions {
            data: directory.join("data"),
            origin: Some("log.example/unit".into()),
            ml_dsa: false,
            passphrase: None,
            pool: PoolLimits::default(),
            confirm_newest: false,
            views: ViewStore::default(),
            flush_after: FLUSH_AFTER,
        };
        let platform = Platform { clock: Arc::<ManualClock>::clone(clock), ..Platform::default() };
        Node::open_on(options, platform).unwrap().0
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (clock, start) = (Arc::new(ManualClock::default()), now());
            clock.set(start);
            Self { node: open(directory.path(), &clock), clock, start, _directory: directory }
        }

        fn after(&self, ms: u64) {
            self.clock.set(self.start.saturating_add(ms));
        }

        fn append(&self, link: Submitted) -> Result<Receipt, AppendError> {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(self.node.append(vec![link], |_, _| Ok(())))
        }

        fn agent(&self, seed: u8) -> Agent {
            let key = SigningKey::from_seed(&[seed; 32]);
            let mut agent = Agent { key, position: ChainPosition::GENESIS };
            let keys = vec![entry(&agent.key)];
            let (name, next, guardians, controller, custodian, pop) = (None, None, None, None, None, Vec::new());
            let genesis =
                agent.sign(self, &Body::Genesis(Genesis { name, keys, next, guardians, controller, custodian, pop }));
            self.append(genesis).unwrap();
            agent
        }

        /// What the sequencer answers to a link that was resolved in a view.
        fn submit(&self, view: &View, link: Submitted) -> Result<Vec<Position>, Cause> {
            let identity = chain_of(&link.0);
            let group = self.node.check::<Infallible>(view, &[link], 0, identity).unwrap();
            match self.node.engine.submit(group).unwrap().blocking_answer() {
                Ok(committed) => Ok(committed.answer),
                Err(SubmitError::Refused(refused)) => Err(refused.cause),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn entry(key: &SigningKey) -> KeyEntry {
        KeyEntry::new(*key.public().as_bytes(), Roles { act: true, admin: true })
    }

    impl Agent {
        fn unsent(&self, world: &World, body: &Body) -> Submitted {
            let draft = self.draft(world);
            draft.inline(body).unwrap().sign(&self.key)
        }

        fn draft(&self, world: &World) -> Draft {
            Draft {
                log_id: world.node.log_id(),
                position: self.position,
                ctime: now(),
                anchor: None,
                outcome: Outcome::None,
                kid: kid(self.key.public().as_bytes()),
            }
        }

        fn sign(&mut self, world: &World, body: &Body) -> Submitted {
            let (link, beside) = self.unsent(world, body);
            self.position.identity = chain_of(&link);
            self.position.seqno = link.header().seqno.next();
            self.position.prev = link.curr();
            if link.header().link_type.is_key_event() {
                self.position.auth = link.curr();
            }
            (link, beside)
        }

        fn act(&mut self, world: &World) -> LinkRef {
            world.append(self.sign(world, &Body::Action(None))).unwrap();
            self.newest()
        }

        fn newest(&self) -> LinkRef {
            LinkRef { curr: self.position.prev, seqno: Seqno::new(self.position.seqno.get() - 1) }
        }

        /// A key event that adds a key; where it disowns links, it retires the one that signs.
        fn key_event(&self, world: &World, seed: u8, suspect_from: Option<Seqno>) -> Submitted {
            let added = SigningKey::from_seed(&[seed; 32]);
            let mut keys = vec![entry(&added)];
            if suspect_from.is_none() {
                keys.push(entry(&self.key));
            }
            keys.sort_by_key(|key| key.kid);
            let pop = vec![self.draft(world).pop(&added)];
            self.unsent(world, &Body::Keys(Keys { keys, next: None, custodian: None, pop, suspect_from }))
        }
    }

    fn feedback(subject: Identity, link: LinkRef) -> Body {
        Body::Feedback(Feedback { subject, value: 1, tag: None, link: Some(link), comment_commit: None })
    }

    #[test]
    fn what_was_sealed_after_a_link_was_resolved_is_found() {
        let world = World::new();
        let (mut actor, mut speaker) = (world.agent(1), world.agent(2));
        let view = world.node.view();
        let link = actor.act(&world);
        let said = speaker.sign(&world, &feedback(actor.position.identity, link));
        assert!(world.submit(&view, said.clone()).is_ok());
        // A repeat that was resolved before it was one.
        actor.act(&world);
        let again = world.submit(&view, said).unwrap();
        assert_eq!(again[0].seqno, speaker.newest().seqno);
        let view = world.node.view();
        let taken = speaker.newest();
        assert!(world.submit(&view, speaker.sign(&world, &Body::Retract(Retract { link: taken }))).is_ok());
    }

    #[test]
    fn what_is_out_of_memory_is_resolved_anew_and_only_that() {
        let world = World::new();
        let (mut actor, speaker) = (world.agent(1), world.agent(2));
        let view = world.node.view();
        let link = actor.act(&world);
        let missing = |link| speaker.unsent(&world, &feedback(actor.position.identity, link));
        let (said, nothing) = (missing(link), missing(LinkRef { curr: Curr::ZERO, ..link }));
        let refused = |cause: Result<_, Cause>| match cause {
            Err(Cause::Rule { refusal: Refusal::BadReference(Reference::NoSuchLink), outdated, .. }) => outdated,
            other => panic!("{other:?}"),
        };
        assert!(!refused(world.submit(&view, nothing.clone())));
        let mut other = world.agent(3);
        for _ in 0..70 {
            other.act(&world);
        }
        assert!(refused(world.submit(&view, said.clone())));
        assert!(refused(world.submit(&view, nothing.clone())));
        // Submitted as a whole it is resolved in the newest view.
        assert!(matches!(world.append(nothing), Err(AppendError::Refused { .. })));
        world.append(said).unwrap();
    }

    #[test]
    fn a_chain_is_held_for_thirty_seconds_of_the_clock_of_the_log() {
        let world = World::new();
        let mut agent = world.agent(1);
        let seqno = agent.position.seqno;
        let [event, other, late] = [(9, None), (8, Some(seqno)), (7, None)]
            .map(|(seed, suspect_from)| agent.key_event(&world, seed, suspect_from));
        agent.act(&world);
        let holds = |event: &Submitted| match world.append(event.clone()) {
            Err(AppendError::Refused { refusal: Refusal::Conflict(_), holds, .. }) => holds,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it is logged"),
        };
        assert!(holds(&event));
        // It may disown from its own place on, where by now there is another's link.
        assert!(holds(&other));
        let next = agent.unsent(&world, &Body::Action(None));
        world.after(29_000);
        assert!(matches!(world.append(next.clone()), Err(AppendError::Held { wait_ms: 900..=1_100, .. })));
        world.after(30_500);
        world.append(next).unwrap();
        // The place was free too long ago for another.
        assert!(!holds(&late));
    }

    #[test]
    fn an_event_that_is_outrun_on_its_way_holds_too() {
        let world = World::new();
        let mut agent = world.agent(1);
        let event = agent.key_event(&world, 9, None);
        let view = world.node.view();
        agent.act(&world);
        // Resolved while its place was free, it is to be resolved again, and then it holds.
        match world.submit(&view, event.clone()) {
            Err(Cause::Rule { refusal: Refusal::Conflict(_), holds: false, outdated: true }) => {}
            other => panic!("{other:?}"),
        }
        match world.submit(&world.node.view(), event) {
            Err(Cause::Rule { refusal: Refusal::Conflict(_), holds: true, outdated: false }) => {}
            other => panic!("{other:?}"),
        }
    }
}
