//! Held chains: a key event that was outrun gets in before whoever outran it.

use serde_json::Value;
use soulchain::soul::{Body, Profile};

use super::agent::{ACT, ADMIN, Agent, Signed, key};
use super::support::Server;
use super::types::{revocation, with_next};

/// An owner, and a thief who acts with the same keys and is faster.
fn outrun(server: &Server, name: &str) -> (Agent, Agent) {
    let owner = Agent::registered(server, name);
    let mut thief = owner.clone();
    server.append(&[thief.empty()]);
    (owner, thief)
}

fn rotation(agent: &Agent, fresh: &str) -> Signed {
    agent.unsent(&agent.admin, &Body::Keys(agent.rotation(&key(fresh))))
}

/// Sends a key event that was outrun; whether the answer says that it holds the chain.
#[track_caller]
fn outrun_holds(server: &Server, event: &Signed) -> bool {
    let problem = server.refuses(std::slice::from_ref(event), 409, "conflict");
    assert!(problem["head"]["seqno"].as_u64() >= Some(event.0.header().seqno.get()), "{problem}");
    problem["hint"].as_str().unwrap().contains("nothing else gets into this chain")
}

#[track_caller]
fn is_held(server: &Server, link: Signed) {
    let before = server.size_and_root();
    let answer = server.submit(&[link]);
    answer.problem(409, "held");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(server.size_and_root(), before);
}

#[test]
fn an_owner_who_was_outrun_gets_in() {
    let server = Server::start();
    let (mut owner, mut thief) = outrun(&server, "owner");
    assert!(outrun_holds(&server, &rotation(&owner, "fresh")));
    is_held(&server, thief.clone().empty());
    is_held(
        &server,
        thief.unsent(&thief.admin, &Body::Profile(Profile { kind: Some("x".into()), ..Profile::default() })),
    );
    // What is logged is answered still, and other chains are not concerned.
    let mut other = Agent::registered(&server, "other");
    server.append(&[other.empty()]);
    owner.position = thief.position;
    let fresh = key("fresh");
    let event = owner.sign(&owner.admin.clone(), &Body::Keys(owner.rotation(&fresh)));
    server.append(std::slice::from_ref(&event));
    assert_eq!(server.submit(&[event]).status, 200);
    // The thief's key is out, and the agent goes on at once.
    thief.position = owner.position;
    server.refuses(&[thief.empty()], 403, "unauthorised");
    owner.act = fresh;
    server.append(&[owner.empty()]);
    server.audit();
}

#[test]
fn a_chain_grows_on_where_nothing_holds_it() {
    let server = Server::start();
    let (owner, mut thief) = outrun(&server, "plain");
    // Not a key event.
    server.refuses(&[owner.unsent_inline(r#"{"v":1}"#)], 409, "conflict");
    server.append(&[thief.empty()]);
    // One that would be refused anyway: nothing changes, a used key, a custodian that is not there.
    let unchanged = owner.keys_of(&[(&owner.admin, ADMIN), (&owner.act, ACT)], &[]);
    let mut custodian = owner.rotation(&key("fresh"));
    custodian.custodian = Some(soulchain::soul::Identity::from_bytes([9; 32]));
    for keys in [unchanged, owner.rotation(&server.registrar().act), custodian] {
        assert!(!outrun_holds(&server, &owner.unsent(&owner.admin, &Body::Keys(keys))));
    }
    // One for a place that never was: another link before it, other keys, or behind the end.
    for twist in [
        |agent: &mut Agent| agent.position.prev = soulchain::soul::Curr::from_bytes([7; 32]),
        |agent: &mut Agent| agent.position.auth = soulchain::soul::Curr::from_bytes([7; 32]),
        |agent: &mut Agent| agent.position.seqno = agent.position.seqno.next(),
    ] {
        let mut twisted = owner.clone();
        twist(&mut twisted);
        assert!(!outrun_holds(&server, &rotation(&twisted, "fresh")));
    }
    // One that somebody else signs, or nobody.
    let mut stranger = owner.clone();
    stranger.admin = key("stranger");
    server.refuses(&[rotation(&stranger, "fresh")], 403, "unauthorised");
    let draft = owner.draft(&owner.admin, soulchain::soul::Outcome::None);
    let unsigned = draft.inline(&Body::Keys(owner.rotation(&key("fresh")))).unwrap();
    server.refuses(&[unsigned.with_signature(&[0; 64])], 401, "bad_signature");
    server.append(&[thief.empty()]);
    server.audit();
}

#[test]
fn recover_is_never_held_and_holds_the_rest() {
    let server = Server::start();
    let (mut owner, next) = with_next(&server, "guarded");
    let mut thief = owner.clone();
    server.append(&[thief.empty()]);
    let recover = |owner: &Agent| {
        let fresh = [&key("back admin"), &key("back act")];
        owner.unsent(&next, &Body::Recover(owner.recovery(&next, &key("then"), fresh)))
    };
    // The thief's own key event holds the chain, and keeps neither key events nor the next key out.
    let mut late = thief.clone();
    late.position = owner.position;
    assert!(outrun_holds(&server, &rotation(&late, "thief's")));
    is_held(&server, thief.clone().empty());
    assert!(outrun_holds(&server, &recover(&owner)));
    is_held(&server, rotation(&thief, "thief's second"));
    is_held(&server, thief.unsent(&thief.admin, &Body::RevokeAgent(revocation(None))));
    owner.position = thief.position;
    server.append(&[recover(&owner)]);
    assert_eq!(server.record("guarded")["next"], super::agent::commitment(&key("then")).to_hex());
    server.audit();
}

#[test]
fn an_admin_key_holds_three_times_and_each_event_once() {
    let server = Server::start();
    let (owner, mut thief) = outrun(&server, "often");
    let events: Vec<Signed> = (0..4).map(|at| rotation(&owner, &format!("fresh {at}"))).collect();
    assert!(outrun_holds(&server, &events[0]));
    assert!(!outrun_holds(&server, &events[0]));
    assert!(outrun_holds(&server, &events[1]));
    assert!(outrun_holds(&server, &events[2]));
    assert!(!outrun_holds(&server, &events[3]));
    // A key event, here the thief's, ends the hold; from then on it counts anew, for places after it.
    let event = rotation(&thief, "thief's");
    thief.advance(&event);
    server.append(&[event]);
    thief.act = key("thief's");
    let stale = thief.clone();
    server.append(&[thief.empty()]);
    assert!(!outrun_holds(&server, &events[0]));
    assert!(outrun_holds(&server, &rotation(&stale, "fresh again")));
    is_held(&server, thief.empty());
    server.audit();
}

/// The owner sends as a client would, again and again, while a thief appends without pause.
#[test]
fn a_thief_cannot_outrun_the_owner() {
    let server = Server::start();
    let (owner, thief) = outrun(&server, "raced");
    let done = std::sync::atomic::AtomicBool::new(false);
    let tries = std::thread::scope(|scope| {
        let (server, done) = (&server, &done);
        for _ in 0..2 {
            let mut thief = thief.clone();
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    follow(&mut thief, &server.json("/v1/agents/raced")["head"]);
                    let links: Vec<Signed> = (0..8).map(|_| thief.empty()).collect();
                    let status = server.submit(&links).status;
                    assert!(matches!(status, 201 | 409 | 403), "{status}");
                }
            });
        }
        let mut owner = owner.clone();
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = server.submit(&[rotation(&owner, "safe")]);
            if answer.status == 201 {
                break;
            }
            follow(&mut owner, &answer.problem(409, "conflict")["head"]);
            assert!(tries < 4, "it does not get in");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        tries
    });
    assert!(tries <= 3, "{tries}");
    server.audit();
}

fn follow(agent: &mut Agent, head: &Value) {
    let curr = |member: &Value| soulchain::soul::Curr::from_hex(member.as_str().unwrap()).unwrap();
    agent.position.seqno = soulchain::soul::Seqno::new(head["seqno"].as_u64().unwrap() + 1);
    (agent.position.prev, agent.position.auth) = (curr(&head["curr"]), curr(&head["auth"]));
}
