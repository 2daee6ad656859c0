//! What others say of an agent: of every type, taken back, expired, by pages; after a restart and with damaged rows.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use soulchain::log::{OpenError, ROW_LEN, Severity};
use soulchain::node::{Node, NodeError, NodeOptions, check_directory};
use soulchain::soul::{Attest, Body, Guardians, Identity, Link, LinkType, NoticeKind, Outcome};
use soulchain::storage::{FjallViews, ViewBatch, Views as _};

use super::agent::{Agent, Signed};
use super::support::{ORIGIN, Server, Setup};
use super::types::{attest, domain, feedback, notice, receipt, retract, revocation};

/// All links about an identity, newest first, with whether they were taken back: by reading every entry.
fn naive(server: &Server, subject: Identity, of_type: Option<&str>) -> Vec<(u64, String, bool)> {
    let mut found = Vec::new();
    for (index, entry) in server.entries().iter().enumerate() {
        let Ok(link) = Link::parse_entry(entry) else { continue };
        let Some(body) = link.body() else { continue };
        let body: Value = serde_json::from_slice(body).unwrap();
        let name = link.header().link_type.to_string();
        if body["subject"] == subject.to_hex() {
            found.push((index as u64, link.curr().to_hex(), name, false));
        }
        if link.header().link_type == LinkType::Retract {
            let taken = found.iter_mut().find(|(_, curr, ..)| body["link"]["curr"] == curr.as_str());
            if let Some((.., retracted)) = taken {
                *retracted = true;
            }
        }
    }
    found.retain(|(_, _, name, _)| of_type.is_none_or(|wanted| wanted == name));
    found.into_iter().rev().map(|(index, curr, _, retracted)| (index, curr, retracted)).collect()
}

/// All pages of a listing.
fn walk(server: &Server, agent: &str, query: &str, limit: usize) -> Vec<Value> {
    let mut links = Vec::new();
    let mut before = String::new();
    loop {
        let page = server.json(&format!("/v1/agents/{agent}/about?limit={limit}{query}{before}"));
        let rows = page["links"].as_array().unwrap();
        assert!(rows.len() <= limit);
        links.extend(rows.iter().cloned());
        match &page["before"] {
            Value::Null => return links,
            at => before = format!("&before={at}"),
        }
    }
}

#[track_caller]
fn check(server: &Server, agent: &Agent) {
    let id = agent.identity().to_hex();
    for of_type in [None, Some("attest"), Some("feedback"), Some("notice"), Some("receipt")] {
        let expected = naive(server, agent.identity(), of_type);
        let query = of_type.map(|name| format!("&type={name}")).unwrap_or_default();
        for limit in [1, 7, 100] {
            let shown: Vec<_> = walk(server, &id, &query, limit)
                .iter()
                .map(|row| {
                    let curr = row["curr"].as_str().unwrap().to_owned();
                    (row["index"].as_u64().unwrap(), curr, row["retracted"].as_bool().unwrap())
                })
                .collect();
            assert_eq!(shown, expected, "{} {of_type:?} by {limit}", agent.name);
        }
        let total = server.json(&format!("/v1/agents/{id}/about?limit=1{query}"))["total"].clone();
        assert_eq!(total, if of_type.is_none() { json!(expected.len()) } else { Value::Null });
    }
}

fn valid_until(subject: Identity, expires_ms: u64) -> Body {
    let capabilities = vec!["mail.send".to_owned()];
    Body::Attest(Attest { subject, capabilities, scope: "mail".into(), expires_ms, conditions: None, evidence: None })
}

#[test]
fn every_type_shows_with_who_said_it_and_whether_it_stands() {
    let server = Server::start();
    let mut registrar = server.registrar();
    let mut guardian = Agent::registered(&server, "guardian");
    let mut speaker = Agent::registered(&server, "speaker");
    let mut actor = Agent::new(server.node.log_id(), "actor");
    let mut founding = actor.founding();
    founding.guardians = Some(Guardians { ids: vec![guardian.identity()], threshold: 1 });
    let genesis = actor.genesis_of(founding);
    server.append(&[genesis, actor.empty()]);
    let (id, about) = (actor.identity(), actor.newest());
    assert_eq!(server.json("/v1/agents/actor/about")["links"], json!([]));
    assert_eq!(server.json("/v1/agents/actor/about")["total"], 0);

    let act = registrar.act.clone();
    server.append(&[speaker.say(&attest(id))]);
    server.append(&[speaker.say(&valid_until(id, u64::MAX >> 11))]);
    server.append(&[speaker.say(&feedback(id, Some(about)))]);
    let confirmed = speaker.draft(&speaker.act, Outcome::Failure);
    let confirmed = confirmed.inline(&receipt(id, about)).unwrap().sign(&speaker.act);
    speaker.advance(&confirmed);
    server.append(&[confirmed]);
    server.append(&[guardian.say(&Body::Notice(notice(id, NoticeKind::Suspend)))]);
    server.append(&[speaker.say(&Body::Notice(notice(id, NoticeKind::Violation)))]);
    server.append(&[registrar.sign(&act, &domain(id, NoticeKind::Bind, "actor.example"))]);
    // About others, and what the agent does itself, is no part of it.
    server.append(&[actor.empty(), actor.say(&attest(speaker.identity()))]);

    let page = server.json("/v1/agents/actor/about");
    for who in [&id.to_hex(), "actor.example"] {
        assert_eq!(server.json(&format!("/v1/agents/{who}/about")), page);
    }
    let column = |name: &str| page["links"].as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("type"), ["notice", "notice", "notice", "receipt", "feedback", "attest", "attest"]);
    let by = ["registrar", "speaker", "guardian", "speaker", "speaker", "speaker", "speaker"];
    assert_eq!(column("issuer_name"), by);
    let null = Value::Null;
    assert_eq!(column("office")[..3], [json!("registrar"), null.clone(), json!("guardian")]);
    assert_eq!(column("office")[3..], [null.clone(), null.clone(), null.clone(), null]);
    assert_eq!(column("outcome")[3], "failure");
    assert_eq!(column("expired"), [false, false, false, false, false, false, true]);
    assert!(column("retracted").iter().all(|retracted| *retracted == false));
    assert_eq!(column("body")[4]["value"], 80);
    assert_eq!((page["total"].as_u64(), &page["before"]), (Some(7), &Value::Null));
    let speakers = &page["links"][3];
    let link = server.json(&format!("/v1/agents/speaker/links/{}", speakers["seqno"]));
    for member in ["index", "curr", "type", "outcome", "ctime_ms", "body"] {
        assert_eq!(speakers[member], link[member], "{member}");
    }
    assert_eq!(speakers["issuer"], speaker.identity().to_hex());
    check(&server, &actor);
    check(&server, &speaker);
    server.audit();
}

#[test]
fn what_was_taken_back_is_told_and_an_attest_expires_with_log_time() {
    let server = Server::start();
    let actor = Agent::registered(&server, "actor");
    let mut speaker = Agent::registered(&server, "speaker");
    let id = actor.identity();
    let until = server.json("/v1/agents/actor/about")["log_time_ms"].as_u64().unwrap() + 700;
    let mut links = Vec::new();
    for body in [valid_until(id, until), feedback(id, None), Body::Notice(notice(id, NoticeKind::Violation))] {
        links.push(speaker.say(&body));
        let taken = speaker.newest();
        links.extend([speaker.say(&body), speaker.say(&retract(taken))]);
    }
    server.append(&links);
    let flags = |name: &str| {
        let page = server.json("/v1/agents/actor/about");
        page["links"].as_array().unwrap().iter().map(|row| row[name] == true).collect::<Vec<_>>()
    };
    assert_eq!(flags("retracted"), [false, true, false, true, false, true]);
    check(&server, &actor);
    // Log time moves with the log alone.
    let started = Instant::now();
    while server.json("/v1/agents/actor/about")["log_time_ms"].as_u64().unwrap() < until {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(100));
        server.append(&[speaker.empty()]);
    }
    assert_eq!(flags("expired"), [false, false, false, false, true, true]);
    server.audit();
}

#[test]
fn pages_lead_through_all_of_it() {
    let server = Server::start();
    let [first, second] = ["first", "second"].map(|name| Agent::registered(&server, name));
    let mut speakers = ["x", "y", "z"].map(|name| Agent::registered(&server, name));
    for at in 0..30 {
        let speaker = &mut speakers[at % 3];
        // Several about one in a request, and about both.
        let mut links: Vec<Signed> = (0..8).map(|_| speaker.say(&feedback(first.identity(), None))).collect();
        links.push(speaker.say(&attest(second.identity())));
        links.push(speaker.say(&Body::Notice(notice(first.identity(), NoticeKind::Violation))));
        if at % 4 == 0 {
            let taken = speaker.newest();
            links.push(speaker.say(&retract(taken)));
        }
        server.append(&links);
    }
    check(&server, &first);
    check(&server, &second);
    let page = server.json("/v1/agents/first/about?limit=100");
    assert_eq!((page["links"].as_array().unwrap().len(), page["total"].as_u64()), (100, Some(270)));
    assert_eq!(page["before"], page["links"][99]["index"]);
    assert_eq!(server.json("/v1/agents/first/about")["links"].as_array().unwrap().len(), 50);

    let own = page["before"].as_u64().unwrap();
    let others = server.json("/v1/agents/second/about")["links"][0]["index"].as_u64().unwrap();
    assert_eq!(server.get(&format!("/v1/agents/first/about?before={own}")).status, 200);
    let size = server.size_and_root().0;
    for before in [others, 0, size - 1, size, u64::MAX] {
        server.get(&format!("/v1/agents/first/about?before={before}")).problem(400, "malformed");
    }
    for query in ["limit=0", "limit=101", "type=action", "type=retract", "type=praise", "before=-1", "after=3"] {
        server.get(&format!("/v1/agents/first/about?{query}")).problem(400, "malformed");
    }
    for nobody in ["nobody", &"7".repeat(64)] {
        server.get(&format!("/v1/agents/{nobody}/about")).problem(404, "unknown_identity");
    }
}

#[test]
fn a_page_looks_at_no_more_than_its_bound_and_says_where_to_go_on() {
    let server = Server::start();
    let actor = Agent::registered(&server, "actor");
    let mut speaker = Agent::registered(&server, "speaker");
    server.append(&[speaker.say(&attest(actor.identity()))]);
    for _ in 0..10 {
        server.append(&(0..210).map(|_| speaker.say(&feedback(actor.identity(), None))).collect::<Vec<_>>());
    }
    let query = "/v1/agents/actor/about?type=attest";
    let mut page = server.json(query);
    for _ in 0..2 {
        assert_eq!(page["links"], json!([]));
        page = server.json(&format!("{query}&before={}", page["before"]));
    }
    assert_eq!((page["links"].as_array().unwrap().len(), &page["before"]), (1, &Value::Null));
    // Counts go round at 2,048.
    assert_eq!(walk(&server, "actor", "", 100).len(), 2_101);
}

#[test]
fn groups_that_are_refused_leave_no_trace() {
    let server = Server::start();
    let subjects = ["first", "second", "third"].map(|name| Agent::registered(&server, name));
    std::thread::scope(|scope| {
        for at in 0..4 {
            let (server, subjects) = (&server, &subjects);
            scope.spawn(move || {
                let mut speaker = Agent::registered(server, &format!("speaker-{at}"));
                for round in 0..25 {
                    let before = speaker.clone();
                    let about = |at: usize| subjects[(round + at) % 3].identity();
                    let mut links: Vec<Signed> = (0..4).map(|at| speaker.say(&feedback(about(at), None))).collect();
                    let taken = speaker.newest();
                    links.extend([speaker.say(&retract(taken)), speaker.say(&retract(taken))]);
                    server.submit(&links).problem(400, "bad_reference");
                    speaker = before;
                    server.append(&[speaker.say(&feedback(about(0), None)), speaker.say(&attest(about(1)))]);
                }
            });
        }
    });
    for subject in &subjects {
        check(&server, subject);
    }
    server.audit();
}

#[test]
fn what_is_said_of_an_agent_stays_when_it_is_revoked() {
    let server = Server::start();
    let mut actor = Agent::registered(&server, "actor");
    let mut speaker = Agent::registered(&server, "speaker");
    server.append(&[speaker.say(&attest(actor.identity()))]);
    server.append(&[actor.sign(&actor.admin.clone(), &Body::RevokeAgent(revocation(None)))]);
    server.append(&[speaker.say(&Body::Notice(notice(actor.identity(), NoticeKind::Violation)))]);
    let said = speaker.unsent(&speaker.act, &attest(actor.identity()));
    server.refuses(&[said], 400, "bad_reference");
    assert_eq!(server.json("/v1/agents/actor/about")["total"], 2);
    check(&server, &actor);
}

// --- what is on disk ---

/// A log of which most is in the public files alone, and what it shows of its actor, who is spoken of everywhere in it.
fn spoken_of() -> (Server, Agent, Agent) {
    let server = Server::with(Setup { publish: Duration::from_hours(1), ..Setup::default() });
    let actor = Agent::registered(&server, "actor");
    let mut speaker = Agent::registered(&server, "speaker");
    for _ in 0..6 {
        let mut links: Vec<Signed> = (0..90).map(|_| speaker.empty()).collect();
        links.push(speaker.say(&feedback(actor.identity(), None)));
        let taken = speaker.newest();
        links.extend([speaker.say(&attest(actor.identity())), speaker.say(&retract(taken))]);
        server.append(&links);
    }
    server.flush();
    (server, actor, speaker)
}

fn shown(server: &Server) -> Vec<Value> {
    walk(server, "actor", "", 5)
}

#[test]
fn it_outlives_the_process_with_views_and_without() {
    let (server, actor, mut speaker) = spoken_of();
    check(&server, &actor);
    // The newest are in the journal alone, and take back what is not.
    server.append(&[speaker.say(&feedback(actor.identity(), None))]);
    let taken = speaker.newest();
    server.append(&[speaker.say(&retract(taken)), speaker.say(&attest(actor.identity()))]);
    let killed = server.crashed();
    let expected = shown(&server);
    let mut directory = server.stop();
    for (directory, with_views) in
        [(killed.clone(), true), (killed, false), (directory.clone(), true), (directory.clone(), false)]
    {
        if !with_views {
            std::fs::remove_dir_all(directory.path().join("data/views")).unwrap();
        }
        let server = Server::open(directory, Setup::default());
        assert_eq!(shown(&server), expected);
        check(&server, &actor);
    }
    // It goes on where it was.
    let server = Server::open(directory, Setup::default());
    server.append(&[speaker.say(&feedback(actor.identity(), None))]);
    check(&server, &actor);
    directory = server.stop();
    assert!(check_directory(&directory.path().join("data"), false, &mut |_| ()).unwrap().is_clean());
}

/// Where the way to the link before lies in `chain.idx`.
fn way_at(index: u64) -> usize {
    (index * ROW_LEN + 16) as usize
}

#[test]
fn a_damaged_row_is_an_error_and_never_an_answer() {
    let (server, actor, mut speaker) = spoken_of();
    let expected = naive(&server, actor.identity(), None);
    let file = server.directory.path().join("data/chain.idx");
    let whole = std::fs::read(&file).unwrap();
    let indexes: Vec<u64> = expected.iter().map(|(index, ..)| *index).filter(|index| *index < 256).collect();
    assert!(indexes.len() >= 4);
    let [newer, older] = [indexes[0], indexes[1]];
    let word = |index: u64| u64::from_be_bytes(whole[way_at(index)..][..8].try_into().unwrap());
    let mut words: Vec<u64> = (0..64).map(|bit| word(newer) ^ (1 << bit)).collect();
    // Erased, of another link, of none, of one that passes others over, of one that has none before it.
    let first = *indexes.last().unwrap();
    let to = |index: u64| (word(newer) >> 53 << 53) | index;
    words.extend([0, u64::MAX, word(older), word(first), to(indexes[2]), to(first), to((1 << 53) - 1)]);
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&file, bytes).unwrap();
        let problem = server.get("/v1/agents/actor/about?limit=100").problem(500, "internal");
        assert!(!problem["detail"].as_str().unwrap().contains("chain"), "what is wrong is the operator's");
        let page = server.get(&format!("/v1/agents/actor/about?limit=100&before={newer}"));
        assert_eq!(page.status, 500, "{what}");
    };
    for word in words {
        let mut bytes = whole.clone();
        bytes[way_at(newer)..][..8].copy_from_slice(&word.to_be_bytes());
        refused(&bytes, &format!("{word:x}"));
    }
    refused(&vec![0; whole.len()], "zeros");
    refused(&whole[..way_at(newer)], "short");
    std::fs::write(&file, &whole).unwrap();
    check(&server, &actor);
    // A chain is reached as before, and the log goes on.
    server.append(&[speaker.say(&feedback(actor.identity(), None))]);
    check(&server, &actor);
}

#[test]
fn a_check_finds_a_wrong_way_and_a_repair_makes_it_anew() {
    let (server, actor, _) = spoken_of();
    let expected = (shown(&server), naive(&server, actor.identity(), None));
    let directory = server.stop();
    let data = directory.path().join("data");
    let whole = std::fs::read(data.join("chain.idx")).unwrap();
    for index in [expected.1[0].0, expected.1[9].0, 7] {
        let mut bytes = whole.clone();
        bytes[way_at(index) + 7] ^= 1;
        std::fs::write(data.join("chain.idx"), &bytes).unwrap();
        for repair in [false, true] {
            assert_eq!(damage(&data, repair), [("chain.idx".to_owned(), true)], "{index}");
        }
        assert!(std::fs::read(data.join("chain.idx")).unwrap() == whole);
    }
    assert_eq!(damage(&data, false), []);
    let server = Server::open(directory, Setup::default());
    assert_eq!(shown(&server), expected.0);
}

fn damage(data: &Path, repair: bool) -> Vec<(String, bool)> {
    let report = check_directory(data, repair, &mut |_| ()).unwrap();
    let damage = report.findings.into_iter().filter(|found| found.severity == Severity::Damage);
    damage.map(|found| (found.name, found.repairable)).collect()
}

/// The views as an older version wrote them.
fn older_views(data: &Path) {
    let views = FjallViews::open(&data.join("views")).unwrap();
    let mut changes = Vec::new();
    let noted = &mut |key: &[u8], _: &[u8]| {
        changes.push((key.to_vec(), None));
        Ok(())
    };
    views.scan(b"a", noted).unwrap();
    assert!(!changes.is_empty());
    let general = views.read(b"x").unwrap().unwrap();
    changes.push((b"x".to_vec(), Some(general[1..].to_vec())));
    let applied = views.state().unwrap().unwrap();
    views.write(&ViewBatch { changes, applied }).unwrap();
}

/// The directory as an older version wrote it.
fn older_layout(data: &Path) {
    older_views(data);
    let rows = std::fs::read(data.join("chain.idx")).unwrap();
    let rows: Vec<u8> = rows.chunks(ROW_LEN as usize).flat_map(|row| row[..16].to_vec()).collect();
    std::fs::write(data.join("chain.idx"), rows).unwrap();
    let manifest = std::fs::read(data.join("manifest")).unwrap();
    let mut manifest = manifest[..manifest.len() - 32].to_vec();
    assert_eq!(&manifest[..20], b"soulchain/manifest/2");
    manifest[19] = b'1';
    let checksum = blake3::hash(&manifest);
    manifest.extend_from_slice(checksum.as_bytes());
    std::fs::write(data.join("manifest"), manifest).unwrap();
}

#[test]
fn a_directory_of_the_older_layout_is_refused_until_it_is_repaired() {
    let (server, actor, _) = spoken_of();
    let expected = shown(&server);
    let directory = server.stop();
    let data = directory.path().join("data");
    let rows = std::fs::read(data.join("chain.idx")).unwrap();
    older_layout(&data);
    let options = || NodeOptions {
        data: data.clone(),
        origin: Some(ORIGIN.into()),
        ml_dsa: false,
        passphrase: None,
        pool: soulchain::log::PoolLimits::default(),
        confirm_newest: false,
        views: soulchain::node::ViewStore::default(),
        flush_after: soulchain::log::FLUSH_AFTER,
    };
    let refused = || match Node::open(options()) {
        Err(error @ NodeError::Open(OpenError::OlderLayout)) => {
            assert!(error.to_string().contains("soulchain fsck --repair"), "{error}");
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it opens"),
    };
    refused();
    let copied = soulchain::log::backup(&data, &directory.path().join("copy"), false, &mut |_| ());
    assert!(copied.unwrap_err().to_string().contains("soulchain fsck --repair"));
    let all = ["chain.idx", "views", "manifest"].map(|name| (name.to_owned(), true));
    assert_eq!(damage(&data, false), all);
    refused();
    assert_eq!(damage(&data, true), all);
    assert_eq!(damage(&data, false), []);
    assert!(std::fs::read(data.join("chain.idx")).unwrap() == rows);
    let server = Server::open(directory, Setup::default());
    assert_eq!(shown(&server), expected);
    check(&server, &actor);
}

#[test]
fn views_of_the_older_layout_are_made_anew() {
    let (server, actor, _) = spoken_of();
    let expected = shown(&server);
    let directory = server.stop();
    older_views(&directory.path().join("data"));
    let server = Server::open(directory, Setup::default());
    assert_eq!(shown(&server), expected);
    check(&server, &actor);
}
