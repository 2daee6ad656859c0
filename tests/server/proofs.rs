//! Proofs that people keep, judged by the offline verifier with the policy that the log shows.

use soulchain::merkle::{LeafIndex, TreeSize, leaf_hash, verify_consistency, verify_inclusion};
use soulchain::soul::{Body, Identity, NoticeKind};
use soulchain::tlog::Policy;
use soulchain::verify::{Check, KeyProven, Request, Shown, Verdict, verify};

use super::agent::{Agent, Signed};
use super::support::{Server, Setup, hash, hashes};

fn judge(server: &Server, proof: &[u8], name: Option<&str>, identity: Option<Identity>, state: bool) -> Verdict {
    let policy = Policy::parse(server.json("/v1/log")["policy"].as_str().unwrap().as_bytes()).unwrap();
    let request = Request {
        policy: &policy,
        proof,
        now_seconds: None,
        max_age_seconds: None,
        name,
        identity,
        origin: Some(super::support::ORIGIN),
        state_asked: state,
    };
    verify(&request).unwrap_or_else(|failure| panic!("{failure:?}\n{}", String::from_utf8_lossy(proof)))
}

pub(super) fn check_proofs(server: &Server, links: &[Signed], name: &str) {
    for (link, _) in links {
        let seqno = link.header().seqno;
        for state in [false, true] {
            let answer = server.get(&format!("/v1/agents/{name}/links/{seqno}/proof?state={state}"));
            assert_eq!(answer.status, 200);
            let verdict = judge(server, &answer.body, None, None, state);
            let Shown::Link(shown) = verdict.shown() else { panic!("not of a link") };
            assert_eq!((shown.curr, shown.state.is_some()), (link.curr(), state));
            assert_eq!(shown.key, Some(if state { KeyProven::Live } else { KeyProven::Listed }));
        }
    }
}

#[test]
fn links_are_proven_with_and_without_state() {
    // Under the instant key while nothing newer is published, under the log key after that.
    for publish_ms in [3_600_000, 10] {
        let setup = Setup { publish: std::time::Duration::from_millis(publish_ms), ..Setup::default() };
        let server = Server::with(setup);
        server.published(3);
        let mut agent = Agent::new(server.node.log_id(), "proven");
        let links = [agent.genesis(), agent.inline(r#"{"v":1}"#), agent.beside(r#"{"v":1}"#), agent.empty()];
        server.append(&links);
        let size = server.size_and_root().0;
        let is_published = publish_ms == 10;
        if is_published {
            server.published(size);
        }
        check_proofs(&server, &links, "proven");
        let proof = server.get("/v1/agents/proven/links/2/proof");
        let verdict = judge(&server, &proof.body, None, None, false);
        let log_key = if is_published { server.node.log_vkey() } else { server.node.instant_vkey() };
        assert_eq!(verdict.checkpoint().verified().log_keys(), std::slice::from_ref(log_key));
        assert!(proof.header("content-disposition").unwrap().contains(".tlog-proof"));
        server.get("/v1/agents/proven/links/9/proof").problem(404, "not_found");
        server.get("/v1/agents/nobody/links/1/proof").problem(404, "unknown_identity");
        server.get("/v1/agents/proven/links/1/proof?state=perhaps").problem(400, "malformed");
        server.audit();
    }
}

#[test]
fn old_links_are_proven_under_what_is_published_later() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "old");
    let links: Vec<Signed> = (0..5).map(|_| agent.empty()).collect();
    for link in &links {
        server.append(std::slice::from_ref(link));
    }
    server.published(server.size_and_root().0);
    check_proofs(&server, &links, "old");
    // After a restart the published state is not at hand: the proof comes under the instant key.
    let server = Server::open(server.stop(), Setup { publish: std::time::Duration::from_hours(1), ..Setup::default() });
    check_proofs(&server, &links, "old");
}

#[test]
fn states_and_absences_are_proven() {
    let setup = Setup { publish: std::time::Duration::from_hours(1), ..Setup::default() };
    let server = Server::with(setup);
    server.published(3);
    let agent = Agent::registered(&server, "held");
    let of_state = |target: &str, name, identity| {
        let answer = server.get(target);
        assert_eq!(answer.status, 200, "{answer:?}");
        judge(&server, &answer.body, name, identity, false)
    };
    // It was registered after what is published: absent there, so the newest state is shown.
    for (target, name, identity) in [
        ("/v1/agents/held/state".to_owned(), Some("held"), None),
        (format!("/v1/agents/{}/state", agent.identity().to_hex()), None, Some(agent.identity())),
    ] {
        let verdict = of_state(&target, name, identity);
        let Shown::State(shown) = verdict.shown() else { panic!("not a state: {:?}", verdict.shown()) };
        assert_eq!(shown.record.identity, agent.identity());
    }
    let verdict = of_state("/v1/agents/registrar/state", Some("registrar"), None);
    assert_eq!(verdict.checkpoint().verified().log_keys(), std::slice::from_ref(server.node.log_vkey()));
    let stranger = Identity::from_bytes([7; 32]);
    let absent = of_state(&format!("/v1/agents/{}/state", stranger.to_hex()), None, Some(stranger));
    assert!(matches!(absent.shown(), Shown::Absent(_)));
    assert!(matches!(of_state("/v1/agents/free/state", Some("free"), None).shown(), Shown::Absent(_)));
    assert!(absent.passed().iter().any(|passed| passed.check == Check::Map));
}

#[test]
fn a_state_is_proven_under_what_is_published_where_nothing_has_changed_since() {
    let setup = Setup { publish: std::time::Duration::from_hours(1), ..Setup::default() };
    let server = Server::with(setup);
    // What the server publishes by itself is behind it.
    server.published(3);
    let mut agent = Agent::registered(&server, "still");
    let mut registrar = server.registrar();
    let by = |target: &str, name: &str| {
        let answer = server.get(&format!("/v1/agents/{target}/state"));
        let verdict = judge(&server, &answer.body, Some(name), None, false);
        let status = match verdict.shown() {
            Shown::State(shown) => Some(shown.record.standing.status.name()),
            Shown::Absent(_) => None,
            Shown::Link(_) => panic!("a link"),
        };
        let is_published = verdict.checkpoint().verified().log_keys() == std::slice::from_ref(server.node.log_vkey());
        (status, is_published)
    };
    // Each change shows at once under the instant key, and under the log key once that is published.
    let settles = |name: &str, status: Option<&'static str>| {
        assert_eq!(by(name, name), (status, false), "{name}");
        server.publish();
        assert_eq!(by(name, name), (status, true), "{name}");
    };
    server.publish();
    server.append(&[agent.empty()]);
    settles("still", Some("active"));
    let key = registrar.act.clone();
    let said = |kind| Body::Notice(super::types::notice(agent.identity(), kind));
    let link = registrar.sign(&key, &said(NoticeKind::Suspend));
    server.append(&[link]);
    settles("still", Some("suspended"));
    let link = registrar.sign(&key, &super::types::domain(agent.identity(), NoticeKind::Bind, "still.example"));
    server.append(&[link]);
    settles("still.example", Some("suspended"));
    let release = super::types::domain(agent.identity(), NoticeKind::Release, "still.example");
    let link = registrar.sign(&registrar.admin.clone(), &release);
    server.append(&[link]);
    settles("still.example", None);
    // What others do changes nothing for it.
    Agent::registered(&server, "other");
    assert_eq!(by("still", "still"), (Some("suspended"), true));
    assert_eq!(by("free", "free"), (None, true));
}

#[test]
fn sizes_are_consistent_and_entries_included() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "tree");
    let old = server.published(5);
    server.append(&(0..20).map(|_| agent.empty()).collect::<Vec<_>>());
    server.append(&(0..3).map(|_| agent.empty()).collect::<Vec<_>>());
    let new = server.published(server.size_and_root().0);
    let (old, new) = (old.verified().checkpoint(), new.verified().checkpoint());
    let told = server.json(&format!("/v1/log/proof/consistency?old={}&new={}", old.size(), new.size()));
    let path: Vec<String> = serde_json::from_value(told["path"].clone()).unwrap();
    verify_consistency(old.size(), new.size(), &old.root(), &new.root(), &hashes(&path)).unwrap();
    assert_eq!(told, server.json(&format!("/v1/log/proof/consistency?old={}", old.size())));

    let entries = server.entries();
    let size = entries.len() as u64;
    for (index, entry) in entries.iter().enumerate() {
        for at in [size, index as u64 + 1] {
            let told = server.json(&format!("/v1/log/proof/inclusion?index={index}&size={at}"));
            let path: Vec<String> = serde_json::from_value(told["path"].clone()).unwrap();
            let root = hash(told["root"].as_str().unwrap());
            let (index, size) = (LeafIndex::new(index as u64), TreeSize::new(at));
            verify_inclusion(&leaf_hash(entry), index, size, &hashes(&path), &root).unwrap();
            assert!(at < size.get() || at != new.size().get() || root == new.root());
        }
    }
    for query in [
        "inclusion?index=5&size=5",
        "inclusion?index=1&size=0",
        "consistency?old=9&new=8",
        "inclusion?size=5",
        "inclusion?index=-1",
        "consistency?old=x",
        "consistency?old=1&new=2&more=3",
    ] {
        server.get(&format!("/v1/log/proof/{query}")).problem(400, "malformed");
    }
    for query in [format!("inclusion?index=0&size={}", size + 1), format!("consistency?old=1&new={}", size + 1)] {
        server.get(&format!("/v1/log/proof/{query}")).problem(404, "not_found");
    }
}
