//! Random operations on a few identities, in groups that are kept or taken back, against naive twins: a second fold
//! from nothing without any undo, and overlays told from the list of all notices.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::HashMap;

use proptest::prelude::*;
use soulchain::ed25519::SigningKey;
use soulchain::encoding::UnixMillis;
use soulchain::hash::Hash;
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::registry::{
    Changes, Head, History, IdentityState, KeyRoles, OverlayKind, Parts, PastLink, Refusal, Registry, Said, Statement,
    Status,
};
use soulchain::soul::{
    Body, ChainPosition, Draft, Feedback, Genesis, Guardians, Identity, KeyEntry, Keys, Kid, LinkRef, LogId, Next,
    Notice, NoticeKind, Outcome, Policy, ReadLink, Reason, Receipt, Recover, Retract, RevokeAgent, Roles, Seqno, kid,
    next_commitment,
};

const IDENTITIES: usize = 5;
const HOUR_MS: u64 = 3_600_000;
const NAMES: [&str; 2] = ["a.example", "b.example"];
const BOTH: Roles = Roles { act: true, admin: true };
const KINDS: [NoticeKind; 6] = [
    NoticeKind::Suspend,
    NoticeKind::Unsuspend,
    NoticeKind::Revoke,
    NoticeKind::Verified,
    NoticeKind::Unverified,
    NoticeKind::Violation,
];

#[derive(Clone, Debug)]
enum Op {
    Notice { issuer: usize, subject: usize, kind: usize },
    Name { issuer: usize, subject: usize, name: usize, bind: bool },
    Retract { issuer: usize, nth: usize },
    Action { who: usize },
    About { issuer: usize, subject: usize, nth: usize, receipt: bool },
    Keys { who: usize, suspect_back: u64 },
    Recover { who: usize, suspect_back: u64 },
    RevokeAgent { who: usize, by_next: bool },
    Policy { registrars: u8 },
}

#[derive(Clone, Debug)]
struct Group {
    ops: Vec<Op>,
    kept: bool,
    sealed_after_hours: Option<u64>,
}

/// A log with all its keys.
struct World {
    registry: Registry,
    past: Past,
    accepted: Vec<Entry>,
    ids: Vec<Identity>,
    keys: HashMap<Kid, SigningKey>,
    nexts: HashMap<Next, SigningKey>,
    seeds: u64,
    stored: Stored,
}

/// What a store would hold, from the changes of each batch alone.
#[derive(Default)]
struct Stored {
    identities: HashMap<Identity, IdentityState>,
    parts: Parts,
}

#[derive(Clone)]
enum Entry {
    Link(Box<ReadLink>),
    Trailer(UnixMillis),
}

#[derive(Default)]
struct Past {
    links: HashMap<Identity, Vec<PastLink>>,
    trailers: Vec<(LeafIndex, UnixMillis)>,
}

impl History for Past {
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        self.links.get(identity)?.get(usize::try_from(seqno.get()).ok()? - 1).copied()
    }

    fn root_at(&self, _size: TreeSize) -> Option<Hash> {
        None
    }

    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis> {
        self.trailers.iter().find(|(trailer, _)| *trailer > index).map(|(_, time)| *time)
    }
}

impl World {
    /// A registrar, two guardians, and two agents that they guard.
    fn new() -> Self {
        let mut world = Self {
            registry: Registry::new(log_id()),
            past: Past::default(),
            accepted: Vec::new(),
            ids: Vec::new(),
            keys: HashMap::new(),
            nexts: HashMap::new(),
            seeds: 0,
            stored: Stored::default(),
        };
        for number in 0..IDENTITIES {
            let guardians = (number >= 3).then(|| {
                let mut ids = world.ids[1..3].to_vec();
                ids.sort();
                Guardians { ids, threshold: number as u64 - 2 }
            });
            let name = if number == 0 { "registrar".to_owned() } else { format!("agent{number}") };
            let key = world.new_key();
            let next = Some(world.new_next());
            let keys = vec![KeyEntry::new(*key.public().as_bytes(), BOTH)];
            let (controller, custodian, pop) = (None, None, Vec::new());
            let body = Genesis { name: Some(name), keys, next, guardians, controller, custodian, pop };
            let link = signed(ChainPosition::GENESIS, &key, |_| Body::Genesis(body.clone())).unwrap();
            world.ids.push(Identity::from(link.link().curr()));
            assert!(world.offer(link));
        }
        world.seal(1);
        world
    }

    fn new_key(&mut self) -> SigningKey {
        self.seeds += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seeds.to_be_bytes());
        let key = SigningKey::from_seed(&seed);
        self.keys.insert(kid(key.public().as_bytes()), key.clone());
        key
    }

    fn new_next(&mut self) -> Next {
        let key = self.new_key();
        let next = next_commitment(key.public().as_bytes());
        self.nexts.insert(next, key);
        next
    }

    fn index(&self) -> LeafIndex {
        LeafIndex::new(self.accepted.len() as u64)
    }

    /// Offers a link as a node would; whether it was admitted.
    fn offer(&mut self, link: ReadLink) -> bool {
        let index = self.index();
        let Ok(past) = take(&mut self.registry, index, &link, &self.past) else { return false };
        self.past.links.entry(chain_of(&link)).or_default().push(past);
        self.accepted.push(Entry::Link(Box::new(link)));
        true
    }

    fn seal(&mut self, hours: u64) {
        let now = self.registry.log_time().saturating_add(hours * HOUR_MS);
        let (trailer, changes) = self.registry.seal(self.index(), now);
        assert_eq!(trailer.map_root, *self.registry.committed().map().root().as_bytes());
        self.past.trailers.push((self.index(), now));
        self.accepted.push(Entry::Trailer(now));
        self.stored.take(changes);
    }

    fn run(&mut self, group: &Group) {
        let mark = self.registry.mark();
        let (before, accepted) = (self.visible(), self.accepted.len());
        for op in &group.ops {
            if let Some(link) = self.link(op) {
                self.offer(link);
            }
        }
        if !group.kept {
            self.registry.undo(mark);
            for entry in self.accepted.drain(accepted..) {
                if let Entry::Link(link) = entry {
                    self.past.links.get_mut(&link.header().identity).unwrap().pop();
                }
            }
            assert_eq!(self.visible(), before, "undone");
        }
        if let Some(hours) = group.sealed_after_hours
            && matches!(self.accepted.last(), Some(Entry::Link(_)))
        {
            self.seal(hours);
        }
    }

    /// The next link of its chain that does this, if it can be written at all.
    fn link(&mut self, op: &Op) -> Option<ReadLink> {
        let (who, signer, body) = self.body(op)?;
        let record = self.registry.identity(&who).unwrap().record.clone();
        let (Head { seqno, curr, .. }, auth) = (record.head, record.standing.key_head);
        signed(ChainPosition { identity: who, seqno: seqno.next(), prev: curr, auth }, &signer, body)
    }

    /// Who signs what; proofs of possession need to know the draft.
    #[expect(clippy::type_complexity, reason = "a closure over the keys that an operation adds")]
    fn body(&mut self, op: &Op) -> Option<(Identity, SigningKey, Box<dyn Fn(&Draft) -> Body>)> {
        let ids = self.ids.clone();
        let live = |world: &Self, who: usize| world.live_key(&ids[who]);
        Some(match op.clone() {
            Op::Notice { issuer, subject, kind } => {
                let body = notice(ids[subject], KINDS[kind], None);
                (ids[issuer], live(self, issuer)?, Box::new(move |_| body.clone()))
            }
            Op::Name { issuer, subject, name, bind } => {
                let kind = if bind { NoticeKind::Bind } else { NoticeKind::Release };
                let body = notice(ids[subject], kind, Some(NAMES[name].to_owned()));
                (ids[issuer], live(self, issuer)?, Box::new(move |_| body.clone()))
            }
            Op::Retract { issuer, nth } => {
                let link = self.pick(&ids[issuer], nth, |said| !matches!(said, Said::Action | Said::Other))?;
                let body = Body::Retract(Retract { link });
                (ids[issuer], live(self, issuer)?, Box::new(move |_| body.clone()))
            }
            Op::Action { who } => (ids[who], live(self, who)?, Box::new(|_| Body::Action(None))),
            Op::About { issuer, subject, nth, receipt } => {
                let link = self.pick(&ids[subject], nth, |said| matches!(said, Said::Action))?;
                let subject = ids[subject];
                let body = if receipt {
                    Body::Receipt(Receipt { subject, link })
                } else {
                    let (tag, link) = (None, Some(link));
                    Body::Feedback(Feedback { subject, value: 40, tag, link, comment_commit: None })
                };
                (ids[issuer], live(self, issuer)?, Box::new(move |_| body.clone()))
            }
            Op::Keys { who, suspect_back } => {
                let (signer, added) = (live(self, who)?, self.new_key());
                let suspect_from = self.suspect(&ids[who], suspect_back);
                let body = move |draft: &Draft| {
                    let keys = vec![KeyEntry::new(*added.public().as_bytes(), BOTH)];
                    Body::Keys(Keys { keys, next: None, custodian: None, pop: vec![draft.pop(&added)], suspect_from })
                };
                (ids[who], signer, Box::new(body))
            }
            Op::Recover { who, suspect_back } => {
                let recovery = self.next_key(&ids[who])?;
                let (next, added) = (self.new_next(), self.new_key());
                let suspect_from = self.suspect(&ids[who], suspect_back);
                let public = *recovery.public().as_bytes();
                let body = move |draft: &Draft| {
                    let keys = vec![KeyEntry::new(*added.public().as_bytes(), BOTH)];
                    let pop = vec![draft.pop(&added)];
                    Body::Recover(Recover { keys, next, recovery: public, custodian: None, pop, suspect_from })
                };
                (ids[who], recovery, Box::new(body))
            }
            Op::RevokeAgent { who, by_next } => {
                let signer = if by_next { self.next_key(&ids[who])? } else { live(self, who)? };
                let recovery = by_next.then(|| *signer.public().as_bytes());
                let revoke = RevokeAgent { reason: Reason::Superseded, recovery, suspect_from: None };
                (ids[who], signer, Box::new(move |_| Body::RevokeAgent(revoke.clone())))
            }
            Op::Policy { registrars } => {
                let mut named: Vec<_> =
                    (0..IDENTITIES).filter(|i| registrars & (1 << i) != 0).map(|i| ids[i]).collect();
                named.sort();
                let body = Body::Policy(Policy { registrars: named, ..Policy::default() });
                (ids[0], live(self, 0)?, Box::new(move |_| body.clone()))
            }
        })
    }

    fn live_key(&self, who: &Identity) -> Option<SigningKey> {
        let record = self.registry.identity(who)?.record.clone();
        let kid = record.standing.live_keys().find(|key| key.roles == KeyRoles::Listed(BOTH))?.kid;
        self.keys.get(&kid).cloned()
    }

    fn next_key(&self, who: &Identity) -> Option<SigningKey> {
        self.nexts.get(&self.registry.identity(who)?.record.standing.next?).cloned()
    }

    fn suspect(&self, who: &Identity, back: u64) -> Option<Seqno> {
        let at = (self.registry.identity(who)?.record.head.seqno.get() + 1).checked_sub(back)?;
        (at > 1 && back < 4).then(|| Seqno::new(at))
    }

    /// The nth newest link of a chain that says such a thing.
    fn pick(&self, chain: &Identity, nth: usize, of: impl Fn(&Said) -> bool) -> Option<LinkRef> {
        let links = self.past.links.get(chain)?;
        let mut found = links.iter().enumerate().rev().filter(|(_, link)| of(&link.said));
        let (at, link) = found.nth(nth)?;
        Some(LinkRef { curr: link.curr, seqno: Seqno::new(at as u64 + 1) })
    }

    /// All that can be asked of the registry.
    fn visible(&self) -> Visible {
        visible(&self.registry, &self.ids)
    }
}

type Visible = (Vec<IdentityState>, Vec<Option<Identity>>, Vec<Identity>, u64, UnixMillis);

fn visible(registry: &Registry, ids: &[Identity]) -> Visible {
    let states = ids.iter().filter_map(|id| registry.identity(id)).map(|state| state.clone()).collect();
    let names = NAMES.iter().map(|name| registry.name(name)).collect();
    (states, names, registry.office().registrars.clone(), registry.identities(), registry.log_time())
}

impl Stored {
    fn take(&mut self, changes: Changes) {
        for state in changes.identities {
            self.identities.insert(state.record.identity, IdentityState::from_bytes(&state.to_bytes()).unwrap());
        }
        self.parts.used_keys.extend(changes.used_keys);
        self.parts.retracted.extend(changes.retracted);
        for (statement, stands) in changes.statements {
            self.parts.statements.retain(|held: &Statement| *held != statement);
            self.parts.statements.extend(stands.then_some(statement));
        }
        if let Some(office) = changes.office {
            self.parts.office = (*office).clone();
        }
    }

    fn restore(&self, registry: &Registry) -> Registry {
        let (log_time, size) = (registry.log_time(), registry.committed().size());
        let identities = self.identities.values().cloned().collect();
        Registry::restore(log_id(), Parts { identities, log_time, size, ..self.parts.clone() })
    }
}

fn log_id() -> LogId {
    LogId::of_origin("log.example/model")
}

fn signed(position: ChainPosition, key: &SigningKey, body: impl Fn(&Draft) -> Body) -> Option<ReadLink> {
    let (ctime, anchor, kid) = (UnixMillis::new(1), None, kid(key.public().as_bytes()));
    let draft = Draft { log_id: log_id(), position, ctime, anchor, outcome: Outcome::None, kid };
    let (link, beside) = draft.inline(&body(&draft)).ok()?.sign(key);
    ReadLink::read(link, beside, log_id()).ok()
}

/// Verifies, judges and applies.
fn take(registry: &mut Registry, index: LeafIndex, link: &ReadLink, past: &Past) -> Result<PastLink, Refusal> {
    let verified = registry.verify(link.clone())?;
    let admitted = registry.admit(index, &verified, past, UnixMillis::new(u64::MAX))?;
    registry.apply(&admitted);
    Ok(admitted.as_past())
}

fn chain_of(link: &ReadLink) -> Identity {
    let identity = link.header().identity;
    if identity.is_zero() { Identity::from(link.link().curr()) } else { identity }
}

fn notice(subject: Identity, kind: NoticeKind, name: Option<String>) -> Body {
    let violation = kind == NoticeKind::Violation;
    let severity = violation.then_some(soulchain::soul::Severity::Low);
    let reason = None;
    Body::Notice(Notice { subject, kind, severity, blocked: None, reason, name, evidence: None })
}

/// A second fold, which knows no batch to undo: everything that was kept, from the first entry.
fn refolded(world: &World) -> Registry {
    let mut registry = Registry::new(log_id());
    for (index, entry) in world.accepted.iter().enumerate() {
        let index = LeafIndex::new(index as u64);
        match entry {
            Entry::Link(link) => {
                let admitted = registry.trusted(index, link, &world.past);
                registry.apply(&admitted);
            }
            Entry::Trailer(now) => drop(registry.seal(index, *now)),
        }
    }
    registry
}

/// A notice that stands, with the offices in which it was heard.
struct Standing {
    issuer: Identity,
    kind: OverlayKind,
    index: u64,
    as_registrar: bool,
}

/// Overlays and status of one identity, told from all notices one by one.
fn told(world: &World, subject: Identity) -> (Vec<(Identity, OverlayKind, u64)>, Status) {
    let guardians = world.registry.identity(&subject).unwrap().record.standing.guardians.clone();
    let guards = |id: &Identity| guardians.as_ref().is_some_and(|guardians| guardians.ids.contains(id));
    let mut registrars = vec![world.ids[0]];
    let mut standing: Vec<Standing> = Vec::new();
    let mut ended = false;
    for (index, entry) in world.accepted.iter().enumerate() {
        let Entry::Link(link) = entry else { continue };
        let issuer = link.header().identity;
        let in_office = registrars.contains(&issuer);
        match link.body() {
            Body::Recover(_) if issuer == subject => ended = false,
            Body::RevokeAgent(_) if issuer == subject => ended = true,
            Body::Policy(policy) => {
                registrars.clone_from(&policy.registrars);
                if registrars.is_empty() {
                    registrars.push(world.ids[0]);
                }
                for held in &mut standing {
                    held.as_registrar &= registrars.contains(&held.issuer);
                }
                standing
                    .retain(|held| held.as_registrar || (guards(&held.issuer) && held.kind != OverlayKind::Verified));
            }
            _ if subject == world.ids[0] => {}
            Body::Notice(notice) if notice.subject == subject => {
                let mut heard = |kind| {
                    standing.push(Standing { issuer, kind, index: index as u64, as_registrar: in_office });
                };
                match notice.kind {
                    NoticeKind::Suspend if in_office || guards(&issuer) => heard(OverlayKind::Suspend),
                    NoticeKind::Revoke if in_office || guards(&issuer) => heard(OverlayKind::Revoke),
                    NoticeKind::Verified if in_office => heard(OverlayKind::Verified),
                    NoticeKind::Unverified if in_office => standing.retain(|held| held.kind != OverlayKind::Verified),
                    NoticeKind::Unsuspend => {
                        let registrars_too: Vec<Identity> = standing
                            .iter()
                            .filter(|held| held.kind == OverlayKind::Suspend && held.as_registrar)
                            .map(|held| held.issuer)
                            .collect();
                        standing.retain(|held| {
                            let others = held.issuer != issuer && (!in_office || registrars_too.contains(&held.issuer));
                            held.kind != OverlayKind::Suspend || others
                        });
                    }
                    _ => {}
                }
            }
            Body::Retract(retract) => {
                let newest = |held: &Standing| {
                    let same = standing.iter().filter(|other| other.issuer == held.issuer && other.kind == held.kind);
                    same.map(|other| other.index).max()
                };
                let at = world.past.link_at(&issuer, retract.link.seqno).unwrap().index.get();
                let lifted: Vec<_> = standing
                    .iter()
                    .filter(|held| held.index == at && newest(held) == Some(at))
                    .map(|held| (held.issuer, held.kind))
                    .collect();
                standing.retain(|held| !lifted.contains(&(held.issuer, held.kind)));
            }
            _ => {}
        }
    }
    let status = status(&standing, guardians.as_ref(), ended);
    let mut overlays: Vec<_> = standing.iter().map(|held| (held.issuer, held.kind, held.index)).collect();
    overlays.sort_by_key(|(issuer, kind, index)| (*issuer, *kind, u64::MAX - index));
    overlays.dedup_by_key(|(issuer, kind, _)| (*issuer, *kind));
    (overlays, status)
}

fn status(standing: &[Standing], guardians: Option<&Guardians>, ended: bool) -> Status {
    let revokers = |of: &dyn Fn(&Standing) -> bool| {
        let mut ids: Vec<_> =
            standing.iter().filter(|h| h.kind == OverlayKind::Revoke && of(h)).map(|h| h.issuer).collect();
        ids.sort();
        ids.dedup();
        ids.len() as u64
    };
    let by_guardians = guardians.is_some_and(|g| revokers(&|h| g.ids.contains(&h.issuer)) >= g.threshold);
    if ended || by_guardians || revokers(&|held| held.as_registrar) > 0 {
        Status::Revoked
    } else if standing.iter().any(|held| held.kind == OverlayKind::Suspend) {
        Status::Suspended
    } else {
        Status::Active
    }
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..IDENTITIES;
    prop_oneof![
        6 => (who(), who(), 0..KINDS.len()).prop_map(|(issuer, subject, kind)| Op::Notice { issuer, subject, kind }),
        2 => (0..2_usize, who(), 0..2_usize, any::<bool>())
            .prop_map(|(issuer, subject, name, bind)| Op::Name { issuer, subject, name, bind }),
        3 => (who(), 0..3_usize).prop_map(|(issuer, nth)| Op::Retract { issuer, nth }),
        3 => who().prop_map(|who| Op::Action { who }),
        3 => (who(), who(), 0..2_usize, any::<bool>())
            .prop_map(|(issuer, subject, nth, receipt)| Op::About { issuer, subject, nth, receipt }),
        2 => (who(), 0..6_u64).prop_map(|(who, suspect_back)| Op::Keys { who, suspect_back }),
        2 => (who(), 0..6_u64).prop_map(|(who, suspect_back)| Op::Recover { who, suspect_back }),
        1 => (3..IDENTITIES, any::<bool>()).prop_map(|(who, by_next)| Op::RevokeAgent { who, by_next }),
        2 => (0..32_u8).prop_map(|registrars| Op::Policy { registrars }),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    let hours = prop_oneof![Just(None), (1..300_u64).prop_map(Some)];
    (prop::collection::vec(op(), 1..8), prop::bool::weighted(0.7), hours)
        .prop_map(|(ops, kept, sealed_after_hours)| Group { ops, kept, sealed_after_hours })
}

#[test]
fn an_identity_that_was_taken_back_was_never_there() {
    let mut world = World::new();
    let (before, parts) = (world.visible(), world.registry.parts());
    let mark = world.registry.mark();
    let key = world.new_key();
    let keys = vec![KeyEntry::new(*key.public().as_bytes(), BOTH)];
    let (name, next, guardians, controller, custodian) = (Some("late".to_owned()), None, None, None, None);
    let body = Body::Genesis(Genesis { name, keys, next, guardians, controller, custodian, pop: Vec::new() });
    let genesis = signed(ChainPosition::GENESIS, &key, |_| body.clone()).unwrap();
    let (identity, curr) = (chain_of(&genesis), genesis.link().curr());
    let second = ChainPosition { identity, seqno: Seqno::new(2), prev: curr, auth: curr };
    let action = signed(second, &key, |_| Body::Action(None)).unwrap();
    for again in [false, true] {
        let accepted = world.accepted.len();
        assert!(world.offer(genesis.clone()) && world.offer(action.clone()) && !world.offer(genesis.clone()));
        assert!(world.registry.parts().is_none(), "nothing seals it yet");
        assert_eq!(world.registry.name("late"), Some(identity));
        if again {
            break;
        }
        world.registry.undo(mark);
        world.accepted.truncate(accepted);
        world.past.links.remove(&identity);
        assert_eq!((world.visible(), world.registry.name("late")), (before.clone(), None));
        assert_eq!(world.registry.parts(), parts);
    }
    world.seal(1);
    assert_eq!(world.registry.identities(), IDENTITIES as u64 + 1);
    assert_eq!(world.registry.parts(), refolded(&world).parts());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_fold_is_that_of_what_was_kept(groups in prop::collection::vec(group(), 1..16), probes in prop::collection::vec(op(), 12)) {
        let mut world = World::new();
        for group in &groups {
            world.run(group);
            for id in world.ids.clone() {
                let (overlays, status) = told(&world, id);
                let standing = world.registry.identity(&id).unwrap().record.standing.clone();
                let held: Vec<_> = standing.overlays.iter().map(|o| (o.issuer, o.kind, o.index.get())).collect();
                prop_assert_eq!(&held, &overlays);
                prop_assert_eq!(standing.status, status);
                prop_assert_eq!(standing.verified, overlays.iter().any(|(_, kind, _)| *kind == OverlayKind::Verified));
            }
        }
        if matches!(world.accepted.last(), Some(Entry::Link(_))) {
            world.seal(1);
        }
        let again = refolded(&world);
        prop_assert_eq!(world.visible(), visible(&again, &world.ids));
        prop_assert_eq!(world.registry.parts(), again.parts());
        let restored = world.stored.restore(&world.registry);
        prop_assert_eq!(world.visible(), visible(&restored, &world.ids));
        prop_assert_eq!(world.registry.parts(), restored.parts());
        prop_assert_eq!(restored.committed().map().root(), world.registry.committed().map().root());
        // What no state shows decides alike: the next links get the same verdicts.
        let mut twin = restored;
        for probe in &probes {
            let Some(link) = world.link(probe) else { continue };
            let verdict = take(&mut twin, world.index(), &link, &world.past);
            prop_assert_eq!(world.offer(link), verdict.is_ok(), "{:?}", verdict);
        }
        prop_assert_eq!(world.visible(), visible(&twin, &world.ids));
    }
}
