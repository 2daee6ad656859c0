//! Each code that the types beyond an agent's own actions can be refused with, and that nothing is logged.

use soulchain::clock;
use soulchain::encoding::UnixMillis;
use soulchain::hash::Hash;
use soulchain::merkle::TreeSize;
use soulchain::soul::{
    Body, Genesis, Identity, Keys, LinkRef, LogId, NoticeKind, Policy, Recover, RevokeAgent, Roles, Seqno,
};

use super::agent::{ACT, ADMIN, Agent, commitment, key};
use super::support::Server;
use super::types::{attest, domain, feedback, notice, receipt, retract, revocation, with_next};

/// An actor that has acted, a speaker beside it, and the registrar.
struct Scene {
    server: Server,
    actor: Agent,
    speaker: Agent,
    registrar: Agent,
}

impl Scene {
    fn new() -> Self {
        let server = Server::start();
        let mut actor = Agent::registered(&server, "actor");
        let speaker = Agent::registered(&server, "speaker");
        let registrar = server.registrar();
        server.append(&[actor.empty()]);
        Self { server, actor, speaker, registrar }
    }

    #[track_caller]
    fn keys_refused(&self, keys: Keys, status: u16, code: &str) {
        let link = self.actor.unsent(&self.actor.admin, &Body::Keys(keys));
        self.server.refuses(&[link], status, code);
    }

    #[track_caller]
    fn said_refused(&self, body: &Body, status: u16, code: &str) {
        self.server.refuses(&[self.speaker.unsent(&self.speaker.act, body)], status, code);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.audit();
        }
    }
}

fn nobody() -> Identity {
    Identity::from_bytes([9; 32])
}

#[test]
fn bad_body() {
    let scene = Scene::new();
    let actor = &scene.actor;
    let fresh = key("fresh");
    let unchanged = actor.keys_of(&[(&actor.admin, ADMIN), (&actor.act, ACT)], &[]);
    scene.keys_refused(unchanged.clone(), 400, "bad_body");
    // The proofs of possession are not those of the keys that it adds.
    scene.keys_refused(Keys { pop: Vec::new(), ..actor.rotation(&fresh) }, 400, "bad_body");
    let both = Roles { act: true, admin: true };
    scene.keys_refused(actor.keys_of(&[(&actor.admin, both), (&fresh, ACT)], &[&fresh]), 400, "bad_body");
    // A suspicion that marks nothing, and those that look out of the chain.
    let added = actor.keys_of(&[(&actor.admin, ADMIN), (&actor.act, ACT), (&fresh, ACT)], &[&fresh]);
    scene.keys_refused(Keys { suspect_from: Some(Seqno::new(2)), ..added }, 400, "bad_body");
    for seqno in [1, 4] {
        let body = Body::Keys(Keys { suspect_from: Some(Seqno::new(seqno)), ..actor.rotation(&fresh) });
        if let Ok(unsigned) = actor.draft(&actor.admin, soulchain::soul::Outcome::None).inline(&body) {
            scene.server.refuses(&[unsigned.sign(&actor.admin)], 400, "bad_body");
        }
    }
    // `next` over another, and a key that it commits to.
    let (guarded, next) = with_next(&scene.server, "guarded");
    let again = Keys { next: Some(commitment(&key("other next"))), ..guarded.rotation(&fresh) };
    scene.server.refuses(&[guarded.unsent(&guarded.admin, &Body::Keys(again))], 400, "bad_body");
    let listed = Body::Keys(guarded.rotation(&next));
    scene.server.refuses(&[guarded.unsent(&guarded.admin, &listed)], 400, "bad_body");
}

#[test]
fn unknown_identity_and_conflict() {
    let scene = Scene::new();
    let mut stranger = Agent::new(scene.actor.log_id, "stranger");
    stranger.genesis();
    let body = Body::Keys(stranger.rotation(&key("fresh")));
    scene.server.refuses(&[stranger.unsent(&stranger.admin, &body)], 404, "unknown_identity");
    let mut early = scene.actor.clone();
    early.position.seqno = Seqno::new(9);
    let body = Body::Keys(early.rotation(&key("fresh")));
    let problem = scene.server.refuses(&[early.unsent(&early.admin, &body)], 409, "conflict");
    assert_eq!(problem["head"]["seqno"], 2);
    let mut other = scene.actor.clone();
    other.log_id = LogId::of_origin("log.example/other");
    let body = Body::Keys(other.rotation(&key("fresh")));
    scene.server.refuses(&[other.unsent(&other.admin, &body)], 400, "wrong_log");
}

#[test]
fn revoked() {
    let mut scene = Scene::new();
    let server = &scene.server;
    let (mut ended, next) = with_next(server, "ended");
    let event = ended.sign(&ended.admin.clone(), &Body::RevokeAgent(revocation(None)));
    server.append(&[event]);
    let again = Body::RevokeAgent(revocation(Some(*next.public().as_bytes())));
    server.refuses(&[ended.unsent(&next, &again)], 403, "revoked");
    // By the next key it is for good.
    let (mut gone, next) = with_next(server, "gone");
    let last = Body::RevokeAgent(revocation(Some(*next.public().as_bytes())));
    let event = gone.sign(&next, &last);
    server.append(&[event]);
    let back = gone.recovery(&next, &key("gone then"), [&key("gone admin 2"), &key("gone act 2")]);
    server.refuses(&[gone.unsent(&next, &Body::Recover(back))], 403, "revoked");
    // By a notice: nothing but recover and revoke_agent.
    let revoke = Body::Notice(notice(scene.actor.identity(), NoticeKind::Revoke));
    let link = scene.registrar.sign(&scene.registrar.admin.clone(), &revoke);
    server.append(&[link]);
    server.refuses(&[scene.actor.unsent_inline(r#"{"v":1}"#)], 403, "revoked");
    scene.keys_refused(scene.actor.rotation(&key("fresh")), 403, "revoked");
    let event = scene.actor.sign(&scene.actor.admin.clone(), &Body::RevokeAgent(revocation(None)));
    server.append(&[event]);
}

#[test]
fn unauthorised() {
    let mut scene = Scene::new();
    let (server, actor) = (&scene.server, &scene.actor);
    let about = actor.identity();
    // A role that the signer has not.
    let fresh = key("fresh");
    let mut by_act = actor.clone();
    by_act.admin = actor.act.clone();
    server.refuses(&[actor.unsent(&actor.act, &Body::Keys(by_act.rotation(&fresh)))], 403, "unauthorised");
    server.refuses(&[actor.unsent(&actor.act, &Body::RevokeAgent(revocation(None)))], 403, "unauthorised");
    let speaker = &scene.speaker;
    for body in [attest(about), feedback(about, None), receipt(about, actor.newest())] {
        server.refuses(&[speaker.unsent(&speaker.admin, &body)], 403, "unauthorised");
    }
    let revoke = Body::Notice(notice(about, NoticeKind::Revoke));
    server.refuses(&[scene.registrar.unsent(&scene.registrar.act, &revoke)], 403, "unauthorised");
    // An office that it has not.
    scene.said_refused(&domain(about, NoticeKind::Bind, "a.example"), 403, "unauthorised");
    let policy = Body::Policy(Policy::default());
    server.refuses(&[speaker.unsent(&speaker.admin, &policy)], 403, "unauthorised");
    server.refuses(&[scene.registrar.unsent(&scene.registrar.act, &policy)], 403, "unauthorised");
    // A recovery key to which nothing commits, or another.
    let thief = key("of a thief");
    let fresh = [&key("fresh admin"), &key("fresh act")];
    let recover = Body::Recover(actor.recovery(&thief, &key("then"), fresh));
    server.refuses(&[actor.unsent(&thief, &recover)], 403, "unauthorised");
    let (guarded, next) = with_next(server, "guarded");
    let recover = Body::Recover(guarded.recovery(&thief, &key("then"), fresh));
    server.refuses(&[guarded.unsent(&thief, &recover)], 403, "unauthorised");
    // The next key signs nothing else, and `recovery` is no other key's.
    server.refuses(&[guarded.unsent(&next, &attest(about))], 403, "unauthorised");
    let recover = Body::Recover(guarded.recovery(&next, &key("then"), fresh));
    server.refuses(&[guarded.unsent(&guarded.admin, &recover)], 403, "unauthorised");
    // The act key takes back no `revoke`.
    let link = scene.registrar.sign(&scene.registrar.admin.clone(), &revoke);
    server.append(&[link]);
    let back = retract(scene.registrar.newest());
    server.refuses(&[scene.registrar.unsent(&scene.registrar.act, &back)], 403, "unauthorised");
}

#[test]
fn bad_signature() {
    let scene = Scene::new();
    let actor = &scene.actor;
    let mut rotation = actor.rotation(&key("fresh"));
    rotation.pop[0].sig = actor.act.sign(b"something else");
    scene.keys_refused(rotation, 401, "bad_signature");
    // A proof of possession for another place of the chain.
    let mut later = actor.clone();
    later.position.seqno = later.position.seqno.next();
    scene.keys_refused(later.rotation(&key("fresh")), 401, "bad_signature");
    let draft = actor.draft(&actor.admin, soulchain::soul::Outcome::None);
    let unsigned = draft.inline(&Body::Keys(actor.rotation(&key("fresh")))).unwrap();
    scene.server.refuses(&[unsigned.with_signature(&[0; 64])], 401, "bad_signature");
}

#[test]
fn name_taken() {
    let mut scene = Scene::new();
    let act = scene.registrar.act.clone();
    let bind = domain(scene.actor.identity(), NoticeKind::Bind, "held.example");
    let link = scene.registrar.sign(&act, &bind);
    scene.server.append(&[link]);
    for subject in [scene.actor.identity(), scene.speaker.identity()] {
        let again = domain(subject, NoticeKind::Bind, "held.example");
        scene.server.refuses(&[scene.registrar.unsent(&act, &again)], 409, "name_taken");
    }
}

#[test]
fn key_in_use() {
    let scene = Scene::new();
    let (server, actor) = (&scene.server, &scene.actor);
    // Another's key, and an own key of before.
    scene.keys_refused(actor.rotation(&scene.speaker.act), 409, "key_in_use");
    let mut turned = Agent::registered(server, "turned");
    let first = turned.act.clone();
    let event = turned.sign(&turned.admin.clone(), &Body::Keys(turned.rotation(&key("second"))));
    server.append(&[event]);
    let back = Body::Keys(turned.rotation(&first));
    server.refuses(&[turned.unsent(&turned.admin, &back)], 409, "key_in_use");
    // What signed as `recovery`, listed by another; and `next` committed a second time.
    let (mut guarded, next) = with_next(server, "guarded");
    let then = key("guarded then");
    let recover: Recover = guarded.recovery(&next, &then, [&key("g admin"), &key("g act")]);
    let event = guarded.sign(&next, &Body::Recover(recover));
    server.append(&[event]);
    scene.keys_refused(actor.rotation(&next), 409, "key_in_use");
    let mut recover = guarded.recovery(&then, &next, [&key("g admin 3"), &key("g act 3")]);
    server.refuses(&[guarded.unsent(&then, &Body::Recover(recover.clone()))], 409, "key_in_use");
    recover.next = commitment(&key("something new"));
    server.append(&[guarded.unsent(&then, &Body::Recover(recover))]);
    // A key that signed here as `recovery` cannot sign so elsewhere.
    let mut twin = Agent::new(actor.log_id, "twin");
    let founding = Genesis { next: Some(commitment(&next)), ..twin.founding() };
    let genesis = twin.genesis_of(founding);
    server.append(&[genesis]);
    let recover = twin.recovery(&next, &key("twin then"), [&key("t admin"), &key("t act")]);
    server.refuses(&[twin.unsent(&next, &Body::Recover(recover))], 409, "key_in_use");
}

#[test]
fn too_many_keys() {
    let mut scene = Scene::new();
    let mut rotations = Vec::new();
    for at in 0..32 {
        let fresh = key(&format!("rotation {at}"));
        let event = scene.actor.sign(&scene.actor.admin.clone(), &Body::Keys(scene.actor.rotation(&fresh)));
        rotations.push(event);
    }
    scene.server.append(&rotations);
    scene.keys_refused(scene.actor.rotation(&key("one too many")), 409, "too_many_keys");
    // One that retires none is none too many.
    let more = key("one more");
    let newest = key("rotation 31");
    let added = scene.actor.keys_of(&[(&scene.actor.admin, ADMIN), (&newest, ACT), (&more, ACT)], &[&more]);
    let event = scene.actor.sign(&scene.actor.admin.clone(), &Body::Keys(added));
    scene.server.append(&[event]);
}

#[test]
fn clock_and_anchor() {
    let scene = Scene::new();
    let refused = |agent: &Agent, code| {
        let body = Body::Keys(agent.rotation(&key("fresh")));
        scene.server.refuses(&[agent.unsent(&agent.admin, &body)], 400, code);
    };
    let mut agent = scene.actor.clone();
    for ctime in [UnixMillis::new(1), clock::now().saturating_add(400_000)] {
        agent.ctime = Some(ctime);
        refused(&agent, "clock");
    }
    let mut agent = scene.actor.clone();
    agent.anchor = Some((TreeSize::new(3), Hash::from_bytes([1; 32])));
    refused(&agent, "bad_anchor");
}

#[test]
fn bad_reference() {
    let mut scene = Scene::new();
    let (actor, about) = (scene.actor.clone(), scene.actor.identity());
    let wrong_curr = LinkRef { seqno: actor.newest().seqno, curr: scene.speaker.newest().curr };
    let not_yet = LinkRef { seqno: Seqno::new(9), curr: actor.newest().curr };
    let genesis = LinkRef { seqno: Seqno::FIRST, curr: actor.position.auth };
    let own = LinkRef { seqno: Seqno::FIRST, curr: scene.speaker.position.auth };
    for body in [
        attest(nobody()),
        feedback(nobody(), None),
        receipt(nobody(), actor.newest()),
        Body::Notice(notice(nobody(), NoticeKind::Violation)),
        receipt(about, wrong_curr),
        receipt(about, not_yet),
        receipt(about, genesis),
        feedback(about, Some(not_yet)),
        feedback(about, Some(genesis)),
        retract(not_yet),
        retract(own),
    ] {
        scene.said_refused(&body, 400, "bad_reference");
    }
    let custodian = Keys { custodian: Some(nobody()), ..actor.rotation(&key("fresh")) };
    scene.keys_refused(custodian, 400, "bad_reference");
    let registrar = scene.registrar.clone();
    for policy in [
        Policy { registrars: vec![nobody()], ..Policy::default() },
        Policy { pretrust: vec![nobody()], ..Policy::default() },
    ] {
        scene.server.refuses(&[registrar.unsent(&registrar.admin, &Body::Policy(policy))], 400, "bad_reference");
    }
    // Names that it does not hold, and a ninth.
    let release = domain(about, NoticeKind::Release, "free.example");
    scene.server.refuses(&[registrar.unsent(&registrar.admin, &release)], 400, "bad_reference");
    let act = registrar.act.clone();
    for at in 0..8 {
        let link = scene.registrar.sign(&act, &domain(about, NoticeKind::Bind, &format!("d{at}.example")));
        scene.server.append(&[link]);
    }
    let other = scene.speaker.identity();
    for body in [domain(about, NoticeKind::Bind, "d8.example"), domain(other, NoticeKind::Release, "d0.example")] {
        let key = if matches!(&body, Body::Notice(said) if said.kind == NoticeKind::Bind) {
            &scene.registrar.act
        } else {
            &scene.registrar.admin
        };
        scene.server.refuses(&[scene.registrar.unsent(key, &body)], 400, "bad_reference");
    }
    // A bind is undone by release alone.
    let bind = scene.registrar.newest();
    scene.server.refuses(&[scene.registrar.unsent(&act, &retract(bind))], 400, "bad_reference");
    // Of one that has ended nobody says anything.
    let event: RevokeAgent = revocation(None);
    let event = scene.actor.sign(&actor.admin, &Body::RevokeAgent(event));
    scene.server.append(&[event]);
    for body in [attest(about), feedback(about, None), receipt(about, actor.newest())] {
        scene.said_refused(&body, 400, "bad_reference");
    }
    let bind = domain(about, NoticeKind::Bind, "late.example");
    scene.server.refuses(&[scene.registrar.unsent(&act, &bind)], 400, "bad_reference");
}
