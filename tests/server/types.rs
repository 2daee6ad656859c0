//! One test for each type of link: what it says shows in the record afterwards, and rules that rest on it hold.

use serde_json::{Value, json};
use soulchain::soul::{
    Attest, Body, Feedback, Guardians, Identity, Keys, LinkRef, Notice, NoticeKind, Policy, Reason, Receipt, Retract,
    RevokeAgent, Seqno, Severity,
};

use super::agent::{ACT, ADMIN, Agent, commitment, key, kid_of};
use super::support::Server;

pub(crate) fn notice(subject: Identity, kind: NoticeKind) -> Notice {
    let severity = (kind == NoticeKind::Violation).then_some(Severity::High);
    Notice { subject, kind, severity, blocked: None, reason: None, name: None, evidence: None }
}

pub(crate) fn domain(subject: Identity, kind: NoticeKind, name: &str) -> Body {
    Body::Notice(Notice { name: Some(name.to_owned()), ..notice(subject, kind) })
}

pub(crate) fn attest(subject: Identity) -> Body {
    let capabilities = vec!["mail.send".to_owned()];
    Body::Attest(Attest {
        subject,
        capabilities,
        scope: "mail".into(),
        expires_ms: 1,
        conditions: None,
        evidence: None,
    })
}

pub(crate) fn feedback(subject: Identity, link: Option<LinkRef>) -> Body {
    Body::Feedback(Feedback { subject, value: 80, tag: Some("speed".into()), link, comment_commit: None })
}

pub(crate) fn receipt(subject: Identity, link: LinkRef) -> Body {
    Body::Receipt(Receipt { subject, link })
}

pub(crate) fn retract(link: LinkRef) -> Body {
    Body::Retract(Retract { link })
}

pub(crate) fn revocation(recovery: Option<[u8; 32]>) -> RevokeAgent {
    RevokeAgent { reason: Reason::KeyCompromise, recovery, suspect_from: None }
}

/// A registered agent with a recovery key.
pub(crate) fn with_next(server: &Server, name: &str) -> (Agent, soulchain::ed25519::SigningKey) {
    let mut agent = Agent::new(server.node.log_id(), name);
    let next = key(&format!("{name} next"));
    let mut founding = agent.founding();
    founding.next = Some(commitment(&next));
    let genesis = agent.genesis_of(founding);
    server.append(&[genesis]);
    (agent, next)
}

fn key_of<'a>(record: &'a Value, key: &soulchain::ed25519::SigningKey) -> &'a Value {
    let kid = kid_of(key).to_hex();
    let keys = record["keys"].as_array().unwrap();
    keys.iter().find(|listed| listed["kid"] == kid.as_str()).unwrap_or(&Value::Null)
}

#[test]
fn keys_replace_the_set() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "rotating");
    let (old, fresh, next) = (agent.act.clone(), key("fresh act"), key("late next"));
    server.append(&[agent.empty(), agent.empty()]);
    let rotation = Keys {
        next: Some(commitment(&next)),
        custodian: Some(server.registrar().identity()),
        suspect_from: Some(Seqno::new(3)),
        ..agent.rotation(&fresh)
    };
    let event = agent.sign(&agent.admin.clone(), &Body::Keys(rotation));
    let index = server.append(&[event])[0];
    let record = server.record("rotating");
    let retired = key_of(&record, &old);
    assert_eq!((retired["revoked"].as_u64(), retired["suspect_from"].as_u64()), (Some(index), Some(3)));
    assert_eq!(retired["suspect_by"], 4);
    let listed = key_of(&record, &fresh);
    assert_eq!((listed["added"].as_u64(), &listed["roles"]), (Some(index), &json!(["act"])));
    assert_eq!(record["next"], commitment(&next).to_hex());
    assert_eq!(record["custodian"], server.registrar().identity().to_hex());
    assert_eq!(record["key_head"], agent.position.auth.to_hex());
    // The old key is out, the new one in; also in one request with what it signs.
    server.refuses(&[agent.unsent_inline(r#"{"v":1}"#)], 403, "unauthorised");
    agent.act = fresh;
    let newest = key("newest act");
    let rotation = Body::Keys(agent.rotation(&newest));
    let event = agent.sign(&agent.admin.clone(), &rotation);
    agent.act = newest;
    let links = [event, agent.empty(), agent.empty()];
    assert_eq!(server.append(&links).len(), 3);
    assert_eq!(server.record("rotating")["seqno"], 7);
    // An entry whose signer was retired since is still proven.
    for seqno in 1..=7 {
        assert_eq!(server.get(&format!("/v1/agents/rotating/links/{seqno}/proof?state=true")).status, 200);
    }
    server.audit();
}

#[test]
fn recover_takes_an_agent_back() {
    let server = Server::start();
    let (mut agent, next) = with_next(&server, "taken");
    let (thief, old) = (key("of a thief"), agent.admin.clone());
    // The thief of the admin key makes the set its own, and acts.
    let set = agent.keys_of(&[(&thief, ADMIN), (&key("thief act"), ACT)], &[&key("thief act"), &thief]);
    let event = agent.sign(&old, &Body::Keys(set));
    server.append(&[event]);
    agent.act = key("thief act");
    server.append(&[agent.empty()]);
    let (fresh, then) = ([&key("back admin"), &key("back act")], key("next after that"));
    let mut recover = agent.recovery(&next, &then, fresh);
    recover.suspect_from = Some(Seqno::new(2));
    let event = agent.sign(&next, &Body::Recover(recover));
    server.append(&[event]);
    let record = server.record("taken");
    assert_eq!(record["next"], commitment(&then).to_hex());
    assert_eq!(key_of(&record, &next)["roles"], json!(["recovery"]));
    assert_eq!(key_of(&record, &thief)["suspect_from"], 2);
    assert_eq!(key_of(&record, &old)["suspect_from"], 2);
    assert_eq!(key_of(&record, &thief)["suspect_by"], Value::Null);
    (agent.admin, agent.act) = (key("back admin"), key("back act"));
    server.append(&[agent.empty()]);
    server.audit();
}

#[test]
fn revoke_agent_ends_an_identity() {
    let server = Server::start();
    let (mut agent, next) = with_next(&server, "ending");
    let event = agent.sign(&agent.admin.clone(), &Body::RevokeAgent(revocation(None)));
    server.append(&[event]);
    assert_eq!(server.record("ending")["status"], "revoked");
    assert_eq!(server.json("/v1/agents?status=revoked")["agents"][0]["name"], "ending");
    server.refuses(&[agent.unsent_inline(r#"{"v":1}"#)], 403, "unauthorised");
    // Its next key takes it back, and then ends it for good.
    let then = key("ending then");
    let recover = agent.recovery(&next, &then, [&key("ending admin 2"), &key("ending act 2")]);
    let event = agent.sign(&next, &Body::Recover(recover));
    server.append(&[event]);
    assert_eq!(server.record("ending")["status"], "active");
    let last = revocation(Some(*then.public().as_bytes()));
    let event = agent.sign(&then, &Body::RevokeAgent(last));
    server.append(&[event]);
    assert_eq!(server.record("ending")["status"], "revoked");
    server.audit();
}

/// Two agents that speak of each other: the first has acted.
fn pair(server: &Server) -> (Agent, Agent) {
    let mut actor = Agent::registered(server, "actor");
    let speaker = Agent::registered(server, "speaker");
    server.append(&[actor.inline(r#"{"action":"send","v":1}"#)]);
    (actor, speaker)
}

#[test]
fn receipt_confirms_an_action() {
    let server = Server::start();
    let (actor, mut speaker) = pair(&server);
    let link = speaker.say(&receipt(actor.identity(), actor.newest()));
    server.append(&[link]);
    let shown = server.json("/v1/agents/speaker/links/2");
    assert_eq!((shown["type"].as_str(), &shown["body"]["link"]["seqno"]), (Some("receipt"), &json!(2)));
    let again = speaker.unsent(&speaker.act, &receipt(actor.identity(), actor.newest()));
    server.refuses(&[again], 400, "bad_reference");
    server.audit();
}

#[test]
fn feedback_about_an_action_and_about_nothing_in_particular() {
    let server = Server::start();
    let (actor, mut speaker) = pair(&server);
    let about = actor.newest();
    let links = [
        speaker.say(&feedback(actor.identity(), Some(about))),
        speaker.say(&feedback(actor.identity(), None)),
        speaker.say(&feedback(actor.identity(), None)),
    ];
    server.append(&links);
    let again = speaker.unsent(&speaker.act, &feedback(actor.identity(), Some(about)));
    server.refuses(&[again], 400, "bad_reference");
    // Another issuer has a voice of its own.
    let mut other = Agent::registered(&server, "other");
    server.append(&[other.say(&feedback(actor.identity(), Some(about)))]);
    server.audit();
}

#[test]
fn attest_vouches_for_another() {
    let server = Server::start();
    let (actor, mut speaker) = pair(&server);
    server.append(&[speaker.say(&attest(actor.identity())), speaker.say(&attest(actor.identity()))]);
    assert_eq!(server.json("/v1/agents/speaker/links?type=attest")["links"].as_array().unwrap().len(), 2);
    server.audit();
}

#[test]
fn retract_takes_a_statement_back() {
    let server = Server::start();
    let (actor, mut speaker) = pair(&server);
    let statements: [Body; 4] = [
        receipt(actor.identity(), actor.newest()),
        feedback(actor.identity(), Some(actor.newest())),
        attest(actor.identity()),
        Body::Notice(notice(actor.identity(), NoticeKind::Violation)),
    ];
    for statement in statements {
        // In a later batch, and in the same request.
        for together in [false, true] {
            let said = speaker.say(&statement);
            let back = speaker.newest();
            let taken = speaker.say(&retract(back));
            if together {
                server.append(&[said, taken]);
            } else {
                server.append(&[said]);
                server.append(&[taken]);
            }
            let again = speaker.unsent(&speaker.act, &retract(back));
            server.refuses(&[again], 400, "bad_reference");
        }
    }
    server.audit();
}

#[test]
fn notices_move_status_and_names() {
    let server = Server::start();
    let (actor, speaker) = pair(&server);
    let mut registrar = server.registrar();
    let id = actor.identity();
    let (admin, act) = (registrar.admin.clone(), registrar.act.clone());
    let mut say = |kind: NoticeKind| {
        let key = if kind == NoticeKind::Revoke { &admin } else { &act };
        let link = registrar.sign(key, &Body::Notice(notice(id, kind)));
        server.append(&[link]);
        let record = server.record("actor");
        (record["status"].as_str().unwrap().to_owned(), record["verified"].as_bool().unwrap())
    };
    assert_eq!(say(NoticeKind::Suspend), ("suspended".into(), false));
    assert_eq!(say(NoticeKind::Verified), ("suspended".into(), true));
    assert_eq!(say(NoticeKind::Unsuspend), ("active".into(), true));
    assert_eq!(say(NoticeKind::Unverified), ("active".into(), false));
    assert_eq!(say(NoticeKind::Violation), ("active".into(), false));
    assert_eq!(say(NoticeKind::Revoke), ("revoked".into(), false));
    let revoke = registrar.newest();
    assert_eq!(server.record("actor")["overlays"][0]["kind"], "revoke");
    // A notice of one without office changes nothing.
    let mut speaker = speaker;
    server.append(&[speaker.say(&Body::Notice(notice(id, NoticeKind::Suspend)))]);
    let back = registrar.sign(&admin, &retract(revoke));
    server.append(&[back]);
    assert_eq!(server.record("actor")["status"], "active");
    let bind = registrar.sign(&act, &domain(id, NoticeKind::Bind, "mail.example"));
    server.append(&[bind]);
    assert_eq!(server.record("mail.example")["domains"], json!(["mail.example"]));
    let release = registrar.sign(&admin, &domain(id, NoticeKind::Release, "mail.example"));
    server.append(&[release]);
    server.get("/v1/agents/mail.example").problem(404, "unknown_identity");
    assert_eq!(server.record("actor")["domains"], Value::Null);
    server.audit();
}

#[test]
fn guardians_revoke_together() {
    let server = Server::start();
    let mut guardians: Vec<Agent> = (0..3).map(|at| Agent::registered(&server, &format!("guardian-{at}"))).collect();
    let mut ward = Agent::new(server.node.log_id(), "ward");
    let mut ids: Vec<Identity> = guardians.iter().map(Agent::identity).collect();
    ids.sort();
    let mut founding = ward.founding();
    founding.guardians = Some(Guardians { ids, threshold: 2 });
    let genesis = ward.genesis_of(founding);
    server.append(&[genesis]);
    let mut status = Vec::new();
    for guardian in &mut guardians[..2] {
        let link = guardian.sign(&guardian.admin.clone(), &Body::Notice(notice(ward.identity(), NoticeKind::Revoke)));
        server.append(&[link]);
        status.push(server.record("ward")["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(status, ["active", "revoked"]);
    server.refuses(&[ward.unsent_inline(r#"{"v":1}"#)], 403, "revoked");
    server.audit();
}

#[test]
fn policy_gives_office() {
    let server = Server::start();
    let (actor, mut speaker) = pair(&server);
    let mut registrar = server.registrar();
    let mut policy = |registrars: Vec<Identity>| {
        let body = Body::Policy(Policy { registrars, scoring: Some("beta/1".into()), ..Policy::default() });
        let link = registrar.sign(&registrar.admin.clone(), &body);
        server.append(&[link]);
    };
    policy(vec![speaker.identity()]);
    server.append(&[speaker.say(&Body::Notice(notice(actor.identity(), NoticeKind::Verified)))]);
    server.append(&[speaker.say(&domain(actor.identity(), NoticeKind::Bind, "office.example"))]);
    assert_eq!(server.record("office.example")["verified"], true);
    // Out of office its overlays go, and its names stay.
    policy(Vec::new());
    assert_eq!(server.record("actor")["verified"], false);
    let bind = speaker.unsent(&speaker.act, &domain(actor.identity(), NoticeKind::Bind, "more.example"));
    server.refuses(&[bind], 403, "unauthorised");
    assert_eq!(server.record("actor")["domains"], json!(["office.example"]));
    server.audit();
}

#[test]
fn every_type_is_prepared() {
    let server = Server::start();
    let (actor, speaker) = pair(&server);
    let (admin, act) = (kid_of(&speaker.admin).to_hex(), kid_of(&speaker.act).to_hex());
    let bodies: [(&str, Body); 5] = [
        ("receipt", receipt(actor.identity(), actor.newest())),
        ("feedback", feedback(actor.identity(), None)),
        ("attest", attest(actor.identity())),
        ("notice", Body::Notice(notice(actor.identity(), NoticeKind::Suspend))),
        ("revoke_agent", Body::RevokeAgent(revocation(None))),
    ];
    for (name, body) in bodies {
        let body: Value = serde_json::from_slice(&body.to_bytes().unwrap()).unwrap();
        let kid = if name == "revoke_agent" { &admin } else { &act };
        let request = json!({"type": name, "name": "speaker", "kid": kid, "body": body}).to_string();
        let answer = server.post("/v1/links/prepare", super::support::JSON, request.as_bytes());
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(answer.json()["fields"]["type"], name);
    }
}

#[test]
fn what_was_acknowledged_can_be_named_at_once_under_load() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for at in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut actor = Agent::registered(server, &format!("actor-{at}"));
                let mut speaker = Agent::registered(server, &format!("speaker-{at}"));
                for _ in 0..40 {
                    server.append(&[actor.empty()]);
                    server.append(&[speaker.say(&feedback(actor.identity(), Some(actor.newest())))]);
                    let link = speaker.newest();
                    server.append(&[speaker.say(&retract(link))]);
                }
            });
        }
    });
    server.audit();
}
