//! Erasing a body: who may, and what is left of it in the files of the node.

use std::future::Future as _;
use std::num::NonZeroU32;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::Value;
use soulchain::clock;
use soulchain::ed25519::SigningKey;
use soulchain::http::LimitSettings;
use soulchain::keyfile::KeyFile;
use soulchain::log::MAX_PENDING_ERASURES;
use soulchain::merkle::LeafIndex;
use soulchain::node::check_directory;

use super::agent::{Agent, Signed, key};
use super::bodies::Reader;
use super::platform::FillingDisk;
use super::proofs::check_proofs;
use super::support::{Answer, Server, Setup, found_in_files};

const TEXT: &str = r#"{"secret":"a line that is written nowhere else","v":1}"#;
const OTHER: &str = r#"{"secret":"what another link of the same request says","v":1}"#;
const PATH: &str = "/v1/agents/keeper/links/2/body";

fn with_body() -> (Server, Agent, [Signed; 4]) {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let links = [agent.genesis(), agent.beside(TEXT), agent.beside(OTHER), agent.inline(r#"{"v":1}"#)];
    server.append(&links);
    (server, agent, links)
}

fn erase_at(server: &Server, key: &SigningKey, path: &str) -> Answer {
    Reader::new(server, key, path).ask_with(server, ("DELETE", "DELETE"), path, &[])
}

fn erase(server: &Server, key: &SigningKey) -> Answer {
    erase_at(server, key, PATH)
}

fn read(server: &Server, key: &SigningKey, path: &str) -> Answer {
    Reader::new(server, key, path).ask(server, path)
}

/// Parts of the body and the salt of a link.
fn parts((_, beside): &Signed) -> Vec<&[u8]> {
    let beside = beside.as_ref().unwrap();
    beside.body[11..].chunks_exact(12).chain(beside.salt.as_bytes().chunks_exact(8)).collect()
}

fn registrar(server: &Server, role: &str) -> SigningKey {
    let file = server.directory.path().join(format!("data/keys/registrar-{role}.key"));
    KeyFile::read(&file, None).unwrap().key.signing_key()
}

#[test]
fn a_body_is_erased_from_every_file_and_all_else_stands() {
    let (server, agent, links) = with_body();
    let data = server.directory.path().join("data");
    let (secret, other) = (parts(&links[1]), parts(&links[2]));
    assert_eq!(found_in_files(&data, &secret), secret.len(), "it is found where it is");
    let before = server.size_and_root();
    let answer = erase(&server, &agent.admin);
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    assert_eq!(found_in_files(&data, &secret), 0, "nothing is left of it");
    assert_eq!(found_in_files(&data, &other), other.len(), "the next one is kept");

    let check = |server: &Server| {
        for reader in [&agent.act, &agent.admin] {
            read(server, reader, PATH).problem(410, "gone");
        }
        let kept = read(server, &agent.act, "/v1/agents/keeper/links/3/body");
        assert_eq!(kept.json()["body"], OTHER);
        assert_eq!(server.size_and_root(), before, "an erasure is no entry");
        // The link is shown, and its proof is given and verifies, without a body.
        let link = server.json("/v1/agents/keeper/links/2");
        assert_eq!((&link["body"], &link["body_len"]), (&Value::Null, &TEXT.len().into()));
        check_proofs(server, &links, "keeper");
        assert_eq!(erase(server, &agent.admin).status, 204, "again it changes nothing");
        server.audit();
    };
    check(&server);
    let server = Server::open(server.stop(), Setup::default());
    check(&server);
    // Sent again with its body, the link is answered and the body not kept.
    assert_eq!(server.submit(&links[..2]).status, 200);
    check(&server);
    let directory = server.stop();
    assert_eq!(found_in_files(&data, &secret), 0);
    let report = check_directory(&data, false, &mut |_| {}).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.bodies, report.erased), (1, 1));
    drop(directory);
}

#[test]
fn the_controller_and_the_registrar_erase_a_body() {
    let server = Server::start();
    let owner = Agent::registered(&server, "owner");
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let mut founding = agent.founding();
    founding.controller = Some(owner.identity());
    let links = [agent.genesis_of(founding), agent.beside(TEXT), agent.beside(OTHER)];
    server.append(&links);
    erase(&server, &owner.act).problem(403, "unauthorised");
    assert_eq!(erase(&server, &owner.admin).status, 204);
    let by_id = format!("/v1/agents/{}/links/3/body", agent.identity().to_hex());
    erase_at(&server, &registrar(&server, "act"), &by_id).problem(403, "unauthorised");
    assert_eq!(erase_at(&server, &registrar(&server, "admin"), &by_id).status, 204);
    for path in [PATH, "/v1/agents/keeper/links/3/body"] {
        read(&server, &agent.act, path).problem(410, "gone");
    }
    server.audit();
}

#[test]
fn nobody_else_does_and_nothing_else_is_signed() {
    let (server, agent, _) = with_body();
    let other = Agent::registered(&server, "other");
    let nobody = key("of nobody");
    server.ask("DELETE", PATH, &[], None).problem(401, "bad_signature");
    for wrong in [&agent.act, &other.admin, &other.act, &nobody] {
        erase(&server, wrong).problem(403, "unauthorised");
    }
    let reader = Reader::new(&server, &agent.admin, PATH);
    let now = clock::now().get() / 1000;
    let delete = |reader: Reader<'_>| reader.ask_with(&server, ("DELETE", "DELETE"), PATH, &[]);
    for created in [now - 600, now + 600, 0] {
        delete(Reader { created, ..reader.clone() }).problem(401, "bad_signature");
    }
    delete(Reader { authority: "other.example".into(), ..reader.clone() }).problem(401, "bad_signature");
    delete(Reader { path: "/v1/agents/keeper/links/3/body", ..reader.clone() }).problem(401, "bad_signature");
    for signed in ["GET", "POST", "delete"] {
        reader.ask_with(&server, (signed, "DELETE"), PATH, &[]).problem(401, "bad_signature");
    }
    // And one that was made to erase reads nothing.
    reader.ask_with(&server, ("DELETE", "GET"), PATH, &[]).problem(401, "bad_signature");
    assert_eq!(read(&server, &agent.act, PATH).json()["body"], TEXT);
    server.audit();
}

#[test]
fn only_what_is_kept_is_erased() {
    let (server, agent, _) = with_body();
    for seqno in [1, 4, 5] {
        let path = format!("/v1/agents/keeper/links/{seqno}/body");
        erase_at(&server, &agent.admin, &path).problem(404, "not_found");
    }
    erase_at(&server, &agent.admin, "/v1/agents/keeper/links/0/body").problem(400, "malformed");
    erase_at(&server, &agent.admin, "/v1/agents/nobody/links/1/body").problem(404, "unknown_identity");
    let mut silent = Agent::new(server.node.log_id(), "silent");
    let (genesis, (link, _)) = (silent.genesis(), silent.beside(TEXT));
    server.append(&[genesis, super::support::bare(link)]);
    let path = "/v1/agents/silent/links/2/body";
    erase_at(&server, &silent.admin, path).problem(404, "not_found");
    read(&server, &silent.act, path).problem(404, "not_found");
    server.audit();
}

#[test]
fn an_address_that_erases_too_often_waits() {
    let limits = LimitSettings {
        writes_per_minute: NonZeroU32::new(1),
        registrations_per_hour: None,
        key_events_per_minute: None,
        links_per_second: None,
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
    };
    let server = Server::with(Setup { limits, ..Setup::default() });
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    server.append(&[agent.genesis(), agent.beside(TEXT)]);
    let reader = Reader::new(&server, &agent.admin, PATH);
    let ask = |from| reader.ask_with(&server, ("DELETE", "DELETE"), PATH, &[("x-forwarded-for", from)]);
    assert_eq!(ask("192.0.2.1").status, 204);
    let answer = ask("192.0.2.1");
    answer.problem(429, "rate_limited");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(ask("192.0.2.2").status, 204);
}

#[test]
fn more_erasures_than_there_is_room_for_are_told_to_wait() {
    let (server, agent, _) = with_body();
    let directory = server.stop();
    let disk = FillingDisk::at(&directory.path().join("data"));
    let server = Server::open_on(directory, Setup::default(), disk.platform());
    let found = server.json("/v1/agents/keeper/links/2")["index"].as_u64().unwrap();
    disk.set_no_room_for_bodies(true);
    let order = || {
        let mut order = Box::pin(server.node.engine().erase(LeafIndex::new(found)));
        assert!(matches!(order.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        order
    };
    let orders: Vec<_> = (0..MAX_PENDING_ERASURES).map(|_| order()).collect();
    for path in [PATH, "/v1/agents/keeper/links/3/body"] {
        let answer = erase_at(&server, &agent.admin, path);
        answer.problem(503, "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(read(&server, &agent.act, "/v1/agents/keeper/links/3/body").json()["body"], OTHER);
    disk.set_no_room_for_bodies(false);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for order in orders {
        runtime.block_on(order).unwrap();
    }
    for path in [PATH, "/v1/agents/keeper/links/3/body"] {
        assert_eq!(erase_at(&server, &agent.admin, path).status, 204);
        read(&server, &agent.act, path).problem(410, "gone");
    }
    server.audit();
}

/// The length on disk says that the slot is as long as it and the next one together: as slots the file is in order.
#[test]
fn a_slot_that_has_swallowed_its_neighbour_is_not_erased() {
    /// A slot of it is 256 bytes long, so that one byte of a length makes room for it.
    const NEIGHBOUR: usize = 256 - 38;
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let pad = "p".repeat(NEIGHBOUR - r#"{"pad":"","v":1}"#.len());
    let neighbour = format!(r#"{{"pad":"{pad}","v":1}}"#);
    server.append(&[agent.genesis(), agent.beside(TEXT), agent.beside(&neighbour), agent.beside(OTHER)]);
    let directory = server.stop();
    let file = directory.path().join("data/bodies/000");
    let right = std::fs::read(&file).unwrap();
    let text = right.windows(TEXT.len()).position(|window| window == TEXT.as_bytes()).unwrap();
    let mut wrong = right.clone();
    wrong[text - 2] += 1;
    std::fs::write(&file, &wrong).unwrap();
    let server = Server::open(directory, Setup::default());
    erase(&server, &agent.admin).problem(500, "internal");
    assert_eq!(server.node.engine().latched(), None);
    let next = agent.empty();
    server.append(&[next]);
    let directory = server.stop();
    assert!(std::fs::read(&file).unwrap() == wrong, "not a byte is overwritten");
    std::fs::write(&file, &right).unwrap();
    let server = Server::open(directory, Setup::default());
    assert_eq!(erase(&server, &agent.admin).status, 204);
    let kept = read(&server, &agent.act, "/v1/agents/keeper/links/3/body");
    assert_eq!(kept.json()["body"], neighbour);
    server.audit();
}

/// Whoever asks again is told that the order is kept, not that it was refused; and so is the operator.
#[test]
fn an_erasure_that_is_owed_is_told_of_until_it_is_done() {
    let (server, agent, _) = with_body();
    let told = |server: &Server, count: u64| {
        let ready = server.json("/readyz");
        assert_eq!(ready["ready"], true);
        let metric = format!("\nsoulchain_owed_erasures {count}\n");
        // The servers of all tests share the gauges.
        assert!((0..200).any(|_| server.get("/metrics").text().contains(&metric)), "{count}");
        // Without any there is no such member.
        let owed = ready["owed_erasures"].as_array().cloned().unwrap_or_default();
        owed.iter().map(|owed| owed.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&server, 0), [""; 0]);
    let index = server.json("/v1/agents/keeper/links/2")["index"].as_u64().unwrap();
    let directory = server.stop();
    let data = directory.path().join("data");
    let right = std::fs::read(data.join("bodies/000")).unwrap();
    let mut wrong = right.clone();
    // The mark of the first slot, which is the one.
    wrong[1] ^= 0x44;
    std::fs::write(data.join("bodies/000"), &wrong).unwrap();
    let mut orders = [b"soulchain/erasures/1", &index.to_be_bytes()[..]].concat();
    orders.extend_from_slice(blake3::hash(&orders).as_bytes());
    std::fs::write(data.join("erasures"), orders).unwrap();
    let server = Server::open(directory, Setup::default());
    for _ in 0..2 {
        let answer = erase(&server, &agent.admin);
        let problem = answer.problem(503, "internal");
        assert!(problem["detail"].as_str().unwrap().contains("the order is kept"), "{problem}");
        assert!(answer.header("retry-after").is_some());
    }
    // One that nobody ordered before is refused, and not kept.
    erase_at(&server, &agent.admin, "/v1/agents/keeper/links/3/body").problem(500, "internal");
    read(&server, &agent.act, PATH).problem(410, "gone");
    let owed = told(&server, 1);
    assert_eq!(owed.len(), 1);
    assert!(owed[0].contains(&format!("entry {index} ")) && owed[0].contains("bodies/000 at byte 0"), "{owed:?}");
    let directory = server.stop();
    check_directory(&data, true, &mut |_| {}).unwrap();
    let server = Server::open(directory, Setup::default());
    assert_eq!(told(&server, 0), [""; 0]);
    assert_eq!(erase(&server, &agent.admin).status, 204);
    server.audit();
}

/// The process died between the frame of an order and its flush, and the file was damaged before the next start.
#[test]
fn an_order_in_the_journal_that_a_repair_has_finished_is_not_owed() {
    let (server, agent, links) = with_body();
    let directory = server.stop();
    let disk = FillingDisk::at(&directory.path().join("data"));
    // The copies below are taken while nothing is written.
    let quiet = Setup { publish: Duration::from_hours(1), ..Setup::default() };
    let server = Server::open_on(directory, quiet, disk.platform());
    // In a full bundle a file that is missing does not keep the log from opening.
    let mut busy = Agent::registered(&server, "busy");
    for _ in 0..2 {
        server.append(&(0..150).map(|_| busy.empty()).collect::<Vec<_>>());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    server.flush();
    let index = server.json("/v1/agents/keeper/links/3")["index"].as_u64().unwrap();
    disk.set_no_room_for_bodies(true);
    let mut order = Box::pin(server.node.engine().erase(LeafIndex::new(index)));
    assert!(matches!(order.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    while read(&server, &agent.act, "/v1/agents/keeper/links/3/body").status != 410 {
        std::thread::yield_now();
    }
    let (salt, body) = (parts(&links[2]).pop().unwrap(), parts(&links[2])[0]);
    let whole = std::fs::read(server.directory.path().join("data/bodies/000")).unwrap();
    let first_len = 38 + TEXT.len();
    let flip = |at: &[usize]| {
        let mut wrong = whole.clone();
        for at in at {
            wrong[*at] ^= 0x41;
        }
        Some(wrong)
    };
    // The head of the slot before it; both slots, with some bytes missing, so that no more than a range is known; no file.
    let mut gap = flip(&[0, 1, 36, 40, first_len, first_len + 1, first_len + 36, first_len + 40]).unwrap();
    gap.drain(50..55);
    for file in [flip(&[1]), Some(gap), None] {
        let crashed = server.crashed();
        let data = crashed.path().join("data");
        match &file {
            Some(file) => std::fs::write(data.join("bodies/000"), file).unwrap(),
            None => std::fs::remove_file(data.join("bodies/000")).unwrap(),
        }
        let about = format!("the body beside entry {index} is to be erased");
        let told = |repair| {
            let report = check_directory(&data, repair, &mut |_| {}).unwrap();
            report.findings.into_iter().filter(|found| found.what.contains(&about)).collect::<Vec<_>>()
        };
        assert!(told(false).iter().all(|found| found.repairable && !found.repaired) && told(false).len() == 1);
        let repaired = told(true);
        assert!(repaired.len() == 1 && repaired[0].repaired, "{repaired:?}");
        for repair in [false, true] {
            assert_eq!(told(repair), [], "it is finished, before any start");
        }
        let server = Server::open(crashed, Setup::default());
        assert_eq!(server.node.engine().owed_erasures(), []);
        assert_eq!(server.json("/readyz").get("owed_erasures"), None);
        assert!(!data.join("erasures").exists(), "with the frame goes what was kept for it");
        let crashed = server.stop();
        assert_eq!(found_in_files(&data.join("bodies"), &[salt, body]), 0);
        let server = Server::open(crashed, Setup::default());
        assert_eq!(server.node.engine().owed_erasures(), []);
    }
    disk.set_no_room_for_bodies(false);
    runtime.block_on(order).unwrap();
}

/// Several at once, while links are appended.
#[test]
fn erasures_and_appends_do_not_wait_for_each_other() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let texts: Vec<String> = (0..24).map(|at| format!(r#"{{"secret":"number {at} of all of them","v":1}}"#)).collect();
    let mut links = vec![agent.genesis()];
    links.extend(texts.iter().map(|text| agent.beside(text)));
    server.append(&links);
    let mut busy = Agent::registered(&server, "busy");
    std::thread::scope(|scope| {
        let (server, agent) = (&server, &agent);
        for at in 0..4 {
            scope.spawn(move || {
                for seqno in (2..26).skip(at).step_by(4).filter(|seqno| seqno % 3 != 0) {
                    let path = format!("/v1/agents/keeper/links/{seqno}/body");
                    assert_eq!(erase_at(server, &agent.admin, &path).status, 204);
                    read(server, &agent.act, &path).problem(410, "gone");
                }
            });
        }
        for _ in 0..20 {
            let link = busy.beside(r#"{"v":1,"work":1}"#);
            server.append(&[link]);
        }
    });
    let data = server.directory.path().join("data");
    for (seqno, link) in (2..).zip(&links[1..]) {
        let path = format!("/v1/agents/keeper/links/{seqno}/body");
        let is_kept = seqno % 3 == 0;
        assert_eq!(read(&server, &agent.act, &path).status, if is_kept { 200 } else { 410 }, "{seqno}");
        let salt = link.1.as_ref().unwrap().salt;
        assert_eq!(found_in_files(&data, &[&salt.as_bytes()[..8]]) == 1, is_kept, "{seqno}");
    }
    server.audit();
    let directory = server.stop();
    assert_eq!(check_directory(&directory.path().join("data"), false, &mut |_| {}).unwrap().findings, []);
}
