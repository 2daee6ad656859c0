//! An agent's life: registered, described, acting; and the log's own beginning.

use serde_json::json;
use soulchain::encoding::{b64_decode, hex_encode};
use soulchain::hash::sha256;
use soulchain::soul::{HEADER_LEN, Link, Profile};
use soulchain::wire::Appended;

use super::agent::{Agent, Signed, kid_of};
use super::support::{JSON, Server};

fn profile(name: &str) -> Profile {
    Profile {
        display_name: Some(name.to_owned()),
        owner: Some("ops".into()),
        capabilities: vec!["mail.send".into(), "web.read".into()],
        ..Profile::default()
    }
}

#[test]
fn a_log_is_founded_by_its_registrar_who_names_the_instant_key() {
    let server = Server::start();
    let log = server.json("/v1/log");
    assert_eq!((log["origin"].as_str(), log["tree_size"].as_u64()), (Some(super::support::ORIGIN), Some(3)));
    let registrar = server.json("/v1/agents/registrar");
    let first = server.json("/v1/log/entries/0");
    assert_eq!(first["link"]["identity"], registrar["identity"]);
    assert_eq!(first["link"]["body"]["name"], "registrar");
    let profile = server.json("/v1/log/entries/1");
    let vkey = log["instant_vkey"].as_str().unwrap();
    let named = hex_encode(&sha256(&[vkey.as_bytes()]));
    assert_eq!(profile["link"]["body"]["hashes"]["instant-key"], named.as_str());
    assert_eq!(registrar["profile"]["hashes"]["instant-key"], named.as_str());
    let trailer = server.json("/v1/log/entries/2");
    assert_eq!(
        trailer["trailer"],
        json!({
            "covers": 2, "identities": 1, "log_time_ms": log["log_time_ms"], "map_root": trailer["trailer"]["map_root"],
        })
    );
    server.get("/v1/log/entries/3").problem(404, "not_found");
    server.audit();
}

#[test]
fn an_agent_registers_and_acts() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "worker");
    assert_eq!(server.append(&[agent.genesis()]), [3]);
    assert_eq!(server.append(&[agent.profile(profile("Worker"))]), [5]);
    let inline = agent.inline(r#"{"action":"send","n":-3,"v":1}"#);
    let array = [agent.beside(r#"{"secret":"é","v":1}"#), agent.empty(), agent.inline(r#"{"v":1}"#)];
    assert_eq!(server.append(std::slice::from_ref(&inline)), [7]);
    assert_eq!(server.append(&array), [9, 10, 11]);

    let view = server.json("/v1/agents/worker");
    assert_eq!(view, server.json(&format!("/v1/agents/{}", agent.identity().to_hex())));
    assert_eq!(
        view["head"],
        json!({
            "seqno": 6, "index": 11, "curr": agent.position.prev.to_hex(), "auth": agent.identity().to_hex(),
        })
    );
    assert_eq!((view["status"].as_str(), view["verified"].as_bool()), (Some("active"), Some(false)));
    assert_eq!(view["profile"]["display_name"], "Worker");
    assert_eq!(view["record"]["name"], "worker");
    assert_eq!(view["tree_size"], 13);
    server.audit();
}

#[test]
fn arrays_and_binary_carry_the_same_links() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "binary");
    let links: Vec<Signed> = vec![
        agent.genesis(),
        agent.profile(profile("b")),
        agent.beside(r#"{"v":1}"#),
        agent.empty(),
        agent.inline(r#"{"v":1}"#),
    ];
    let answer = server.append_binary(&links);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(server.check_appended(&answer, &links), [3, 4, 5, 6, 7]);
    let again = server.submit(&links);
    assert_eq!(again.status, 200);
    assert_eq!(server.check_appended(&again, &links), [3, 4, 5, 6, 7]);
    assert_eq!(server.size_and_root().0, 9);
    // As many as one request may carry.
    let full: Vec<Signed> = (0..256).map(|_| agent.empty()).collect();
    assert_eq!(server.append(&full).len(), 256);
    let large: Vec<Signed> =
        (0..3).map(|_| agent.beside(&format!(r#"{{"t":"{}","v":1}}"#, "x".repeat(1_000_000)))).collect();
    assert_eq!(server.append(&large).len(), 3, "a request of almost 4 MiB");
    server.audit();
}

#[test]
fn a_repeat_answers_with_the_first_place() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "again");
    let genesis = agent.genesis();
    let first = server.append(std::slice::from_ref(&genesis));
    let others: Vec<Signed> = (0..40).map(|_| agent.empty()).collect();
    let places = server.append(&others);
    for (link, place) in std::iter::once((&genesis, first[0])).chain(others.iter().zip(places.iter().copied())) {
        let answer = server.submit(std::slice::from_ref(link));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(server.check_appended(&answer, std::slice::from_ref(link)), [place]);
    }
    // A prefix that is logged already, and a rest that is not.
    let mut more = others[38..].to_vec();
    more.extend([agent.empty(), agent.empty()]);
    let answer = server.submit(&more);
    assert_eq!(answer.status, 201);
    let size = server.size_and_root().0;
    assert_eq!(server.check_appended(&answer, &more), [places[38], places[39], size - 3, size - 2]);
    // Signed anew, a link keeps its id: it is the same one.
    assert_eq!(server.size_and_root().0, size);
    server.audit();
}

#[test]
fn the_same_links_at_once_are_logged_once() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "twins");
    let links = [agent.genesis(), agent.empty(), agent.empty()];
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| server.submit(&links))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        assert_eq!(server.check_appended(answer, &links), [3, 4, 5]);
    }
    assert_eq!(server.size_and_root().0, 7);
    server.audit();
}

#[test]
fn no_proof_where_none_is_wanted() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "plain");
    let body = super::support::links_json(&[agent.genesis()]);
    let answer = server.post("/v1/links?proof=none", "Application/JSON; charset=utf-8", &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let appended: Appended = serde_json::from_slice(&answer.body).unwrap();
    assert!(appended.checkpoint.is_none() && appended.links[0].path.is_none());
    server.post("/v1/links?proof=witnessed", JSON, &body).problem(400, "unsupported");
    server.post("/v1/links?proof=all", JSON, &body).problem(400, "malformed");
    server.post("/v1/links?prof=none", JSON, &body).problem(400, "malformed");
}

/// Signs what `prepare` gives, as a client without the codec does.
fn sign_prepared(prepared: &serde_json::Value, agent: &Agent, is_admin: bool) -> serde_json::Value {
    let header = b64_decode(prepared["header"].as_str().unwrap()).unwrap();
    assert_eq!(header.len(), HEADER_LEN);
    assert_eq!(hex_encode(&sha256(&[&header])), prepared["curr"].as_str().unwrap());
    let key = if is_admin { &agent.admin } else { &agent.act };
    let mut link = json!({ "header": prepared["header"], "sig": soulchain::encoding::b64_encode(&key.sign(&header)) });
    for member in ["body", "salt"] {
        if !prepared[member].is_null() {
            link[member] = prepared[member].clone();
        }
    }
    link
}

#[test]
fn what_is_prepared_can_be_signed_and_appended() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "thin");
    let prepare = |request: serde_json::Value| {
        let answer = server.post("/v1/links/prepare", JSON, request.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let (admin, act) = (kid_of(&agent.admin).to_hex(), kid_of(&agent.act).to_hex());
    let (genesis, _) = agent.genesis();
    let body: serde_json::Value = serde_json::from_slice(genesis.body().unwrap()).unwrap();
    let founded = prepare(json!({"type": "genesis", "kid": admin, "body": body}));
    assert_eq!(founded["fields"]["identity"], founded["curr"]);
    let link = sign_prepared(&founded, &agent, true);
    assert_eq!(server.post("/v1/links", JSON, link.to_string().as_bytes()).status, 201);
    let steps = [
        (json!({"type": "profile", "name": "thin", "kid": admin, "body": {"v": 1, "owner": "ops"}}), true),
        (
            json!({"type": "action", "name": "thin", "kid": act, "body": {"v": 1, "b": [1, "x"], "a": null}, "outcome": "success"}),
            false,
        ),
        (json!({"type": "action", "identity": founded["curr"], "kid": act, "body": {"v": 1}, "inline": true}), false),
        (json!({"type": "action", "identity": founded["curr"], "kid": act, "outcome": "denied"}), false),
    ];
    for (seqno, (request, is_admin)) in (2..).zip(steps) {
        let prepared = prepare(request.clone());
        let salted = request["type"] == "action" && !request["body"].is_null() && request["inline"].is_null();
        assert_eq!(prepared["salt"].is_string(), salted);
        assert_eq!(prepared["fields"]["seqno"], seqno);
        let link = sign_prepared(&prepared, &agent, is_admin);
        let answer = server.post("/v1/links", JSON, link.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let shown = server.json("/v1/agents/thin/links/3");
    assert_eq!((shown["outcome"].as_str(), shown["inline"].as_bool()), (Some("success"), Some(false)));
    server.audit();
}

#[test]
fn prepare_follows_a_signer_whose_clock_is_ahead() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "ahead");
    let ahead = soulchain::clock::now().saturating_add(120_000);
    agent.ctime = Some(ahead);
    server.append(&[agent.empty()]);
    let request = json!({"type": "action", "name": "ahead", "kid": kid_of(&agent.act).to_hex()});
    let prepared = server.post("/v1/links/prepare", JSON, request.to_string().as_bytes()).json();
    assert_eq!(prepared["fields"]["ctime_ms"], ahead.get());
}

#[test]
fn a_chain_is_paged_newest_first() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "pages");
    let mut links = vec![agent.genesis(), agent.profile(profile("p"))];
    links.extend((0..30).map(|_| agent.empty()));
    links.push(agent.profile(profile("q")));
    server.append(&links);
    let seqnos = |page: &serde_json::Value| -> Vec<u64> {
        page["links"].as_array().unwrap().iter().map(|link| link["seqno"].as_u64().unwrap()).collect()
    };
    let id = agent.identity().to_hex();
    let all = server.json("/v1/agents/pages/links");
    assert_eq!(seqnos(&all), (1..=33).rev().collect::<Vec<_>>());
    assert!(all["before"].is_null());
    let mut walked = Vec::new();
    let mut page = server.json(&format!("/v1/agents/{id}/links?limit=7"));
    loop {
        walked.extend(seqnos(&page));
        let Some(before) = page["before"].as_u64() else { break };
        page = server.json(&format!("/v1/agents/{id}/links?limit=7&before={before}"));
    }
    assert_eq!(walked, seqnos(&all));
    assert_eq!(seqnos(&server.json("/v1/agents/pages/links?type=profile")), [33, 2]);
    assert_eq!(seqnos(&server.json("/v1/agents/pages/links?type=profile&before=33&limit=1")), [2]);
    assert_eq!(seqnos(&server.json("/v1/agents/pages/links?before=1")), [0_u64; 0]);
    assert_eq!(seqnos(&server.json("/v1/agents/pages/links?before=9999&limit=1")), [33]);
    for seqno in 1..=33 {
        let shown = server.json(&format!("/v1/agents/pages/links/{seqno}"));
        assert_eq!(shown["curr"], links[seqno - 1].0.curr().to_hex());
        let entry = server.json(&format!("/v1/log/entries/{}", shown["index"]));
        assert_eq!(entry["link"], shown);
        let bytes = b64_decode(entry["entry"].as_str().unwrap()).unwrap();
        assert_eq!(Link::parse_entry(&bytes).unwrap(), links[seqno - 1].0);
    }
    for query in ["limit=0", "limit=1001", "limit=x", "type=deed", "befor=1"] {
        server.get(&format!("/v1/agents/pages/links?{query}")).problem(400, "malformed");
    }
    server.get("/v1/agents/pages/links/34").problem(404, "not_found");
    for seqno in ["0", "01", "x"] {
        server.get(&format!("/v1/agents/pages/links/{seqno}")).problem(400, "malformed");
    }
}

#[test]
fn the_directory_is_filtered_and_paged() {
    let server = Server::start();
    for at in 0..7 {
        let mut agent = Agent::registered(&server, &format!("agent-{at}"));
        let described = Profile { owner: Some(format!("owner-{}", at % 2)), ..profile("d") };
        server.append(&[agent.profile(described)]);
    }
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["agents"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = server.json("/v1/agents");
    assert_eq!(all["total"], 8);
    assert_eq!(names(&all).first().map(String::as_str), Some("agent-6"));
    assert_eq!(names(&all).last().map(String::as_str), Some("registrar"));
    let (mut walked, mut target) = (Vec::new(), "/v1/agents?limit=3".to_owned());
    loop {
        let page = server.json(&target);
        walked.extend(names(&page));
        let Some(cursor) = page["cursor"].as_str() else { break };
        target = format!("/v1/agents?limit=3&cursor={cursor}");
    }
    assert_eq!(walked, names(&all));
    let filtered = server.json("/v1/agents?owner=owner-1&capability=mail.send&status=active&verified=false");
    assert_eq!(names(&filtered), ["agent-5", "agent-3", "agent-1"]);
    assert!(filtered["total"].is_null());
    assert_eq!(names(&server.json("/v1/agents?name=agent-4")), ["agent-4"]);
    assert_eq!(names(&server.json("/v1/agents?name=nobody")), [""; 0]);
    assert_eq!(names(&server.json("/v1/agents?status=revoked")), [""; 0]);
    for query in ["cursor=5", "cursor=gx", "status=gone", "verified=maybe", "limit=0", "colour=red"] {
        server.get(&format!("/v1/agents?{query}")).problem(400, "malformed");
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "lasting");
    let links = [agent.genesis(), agent.profile(profile("l")), agent.beside(r#"{"v":1}"#), agent.empty()];
    let places = server.append(&links);
    let (before, view) = (server.size_and_root(), server.json("/v1/agents/lasting"));
    server.published(before.0);
    let server = Server::open(server.stop(), super::support::Setup::default());
    assert_eq!(server.size_and_root(), before);
    assert_eq!(server.json("/v1/agents/lasting"), view);
    let again = server.submit(&links);
    assert_eq!(again.status, 200);
    assert_eq!(server.check_appended(&again, &links), places);
    server.append(&[agent.inline(r#"{"v":1}"#)]);
    server.audit();
}
