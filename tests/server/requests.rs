//! What HTTP itself can get wrong: sizes, types, methods, rates, times.

use std::io::{Read as _, Write as _};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use soulchain::http::{LimitSettings, ServerLimits};

use super::agent::{Agent, Signed};
use super::support::{JSON, Server, Setup, links_json, parse_answer, read_answer};

const MIB: usize = 1 << 20;

#[test]
fn too_large() {
    let server = Server::start();
    for target in ["/v1/links", "/v1/links/prepare"] {
        server.post(target, JSON, &vec![b' '; 4 * MIB + 1]).problem(413, "too_large");
        // As large as allowed: then it is read, and refused for what it says.
        server.post(target, JSON, &vec![b' '; 4 * MIB]).problem(400, "malformed");
        server.post(target, JSON, &vec![b' '; 3 * MIB]).problem(400, "malformed");
        // Announced, and never sent: the answer does not wait.
        let mut stream = server.connect();
        let head =
            format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 99999999999\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read_answer(&mut stream).problem(413, "too_large");
        // Without a length.
        let mut stream = server.connect();
        let head =
            format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let chunk = [b"80000\r\n".as_slice(), &vec![b' '; 512 << 10], b"\r\n"].concat();
        for _ in 0..9 {
            if stream.write_all(&chunk).is_err() {
                break;
            }
        }
        read_answer(&mut stream).problem(413, "too_large");
    }
    // Each body below its own limit, all of them above that of a request.
    let mut agent = Agent::registered(&server, "large");
    let links: Vec<Signed> =
        (0..5).map(|_| agent.beside(&format!(r#"{{"t":"{}","v":1}}"#, "x".repeat(900_000)))).collect();
    server.submit(&links).problem(413, "too_large");
    server.append_binary(&links).problem(413, "too_large");
    assert_eq!(server.size_and_root().0, 5);
    assert_eq!(server.append(&links[..1]).len(), 1);
    server.audit();
}

#[test]
fn a_connection_with_broken_framing_ends() {
    let server = Server::start();
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/links HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(parse_answer(&rest, true).is_none_or(|answer| answer.status == 400), "{rest:?}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn media_types() {
    let server = Server::start();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        server.post("/v1/links", media_type, b"{}").problem(415, "unsupported");
        server.post("/v1/links/prepare", media_type, b"{}").problem(415, "unsupported");
    }
    server.ask("POST", "/v1/links", &[], Some(b"{}")).problem(415, "unsupported");
}

#[test]
fn routes_and_methods_that_are_not_there() {
    let server = Server::start();
    for target in ["/v1", "/v1/agent", "/v2/log", "/v1/log/", "/v1/log/proof", "/%2e%2e/keys", "/v1/agents/a/links/1/x"]
    {
        server.get(target).problem(404, "not_found");
    }
    for (method, target) in [
        ("DELETE", "/v1/links"),
        ("GET", "/v1/links"),
        ("PUT", "/v1/agents/registrar"),
        ("POST", "/checkpoint"),
        ("POST", "/tile/0/000"),
        ("PATCH", "/v1/log"),
    ] {
        let answer = server.ask(method, target, &[], None);
        answer.problem(405, "method_not_allowed");
        assert!(answer.header("allow").is_some(), "{method} {target}: {answer:?}");
    }
}

#[test]
fn what_a_path_cannot_be_is_a_problem_too() {
    let server = Server::start();
    server.get("/v1/agents/%ff").problem(400, "malformed");
    server.get("/v1/agents/%ff/links/1").problem(400, "malformed");
    server.get("/v1/log/entries/%ff").problem(400, "malformed");
    for index in ["01", "-1", "x", "18446744073709551616"] {
        server.get(&format!("/v1/log/entries/{index}")).problem(400, "malformed");
    }
    server.get("/v1/log/entries/9007199254740991").problem(404, "not_found");
    server.get("/v1/agents/%00").problem(404, "unknown_identity");
    server.get("/v1/agents/A%20B").problem(404, "unknown_identity");
    let upper = server.json("/v1/agents/registrar")["identity"].as_str().unwrap().to_uppercase();
    server.get(&format!("/v1/agents/{upper}")).problem(404, "unknown_identity");
}

#[test]
fn a_slow_body_is_given_up() {
    let limits = ServerLimits { body_timeout: Duration::from_millis(300), ..Setup::default().server };
    let server = Server::with(Setup { server: limits, ..Setup::default() });
    let mut stream = server.connect();
    let head = format!("POST /v1/links HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut feeder = stream.try_clone().unwrap();
    let feeding = std::thread::spawn(move || {
        let started = Instant::now();
        // Of the 1,000 bytes no more than half come in this time.
        while feeder.write_all(b" ").is_ok() {
            assert!(started.elapsed() < Duration::from_secs(20), "it reads on");
            std::thread::sleep(Duration::from_millis(40));
        }
    });
    read_answer(&mut stream).problem(408, "timeout");
    drop(stream);
    feeding.join().unwrap();
}

fn limited(writes: u32, registrations: u32, links: u32) -> Server {
    let limits = LimitSettings {
        writes_per_minute: NonZeroU32::new(writes),
        registrations_per_hour: NonZeroU32::new(registrations),
        links_per_second: NonZeroU32::new(links),
        key_events_per_minute: None,
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
    };
    Server::with(Setup { limits, ..Setup::default() })
}

fn submit_from(server: &Server, address: &str, links: &[Signed]) -> super::support::Answer {
    let headers = [("content-type", JSON), ("x-forwarded-for", address)];
    server.ask("POST", "/v1/links", &headers, Some(&links_json(links)))
}

#[test]
fn an_address_that_writes_too_often_waits() {
    let server = limited(2, 0, 0);
    let mut agent = Agent::new(server.node.log_id(), "often");
    assert_eq!(submit_from(&server, "192.0.2.1", &[agent.genesis()]).status, 201);
    assert_eq!(submit_from(&server, "192.0.2.1", &[agent.empty()]).status, 201);
    let before = server.size_and_root();
    let next = agent.empty();
    let answer = submit_from(&server, "203.0.113.9, 192.0.2.1", std::slice::from_ref(&next));
    answer.problem(429, "rate_limited");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    assert_eq!(server.size_and_root(), before);
    // Others are not concerned, and reading never is.
    assert_eq!(submit_from(&server, "192.0.2.2", &[next]).status, 201);
    for _ in 0..50 {
        server.json("/v1/log");
    }
}

#[test]
fn an_address_that_registers_too_often_waits() {
    let server = limited(0, 2, 0);
    let genesis = |at: usize| Agent::new(server.node.log_id(), &format!("new-{at}")).genesis();
    assert_eq!(submit_from(&server, "2001:db8::1", &[genesis(0)]).status, 201);
    assert_eq!(submit_from(&server, "2001:db8::2", &[genesis(1)]).status, 201);
    let answer = submit_from(&server, "2001:db8::3", &[genesis(2)]);
    answer.problem(429, "rate_limited");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1801).contains(&wait), "{wait}");
    assert_eq!(submit_from(&server, "2001:db8:0:1::3", &[genesis(2)]).status, 201);
}

#[test]
fn an_identity_has_a_rate_that_others_cannot_use_up() {
    let server = limited(0, 0, 1);
    let mut agent = Agent::registered(&server, "busy");
    let mut thief = agent.clone();
    thief.act = super::agent::key("of a thief");
    for _ in 0..2 {
        let links: Vec<Signed> = (0..256).map(|_| thief.empty()).collect();
        assert_eq!(server.submit(&links).status, 403);
        thief.position = agent.position;
    }
    let links: Vec<Signed> = (0..250).map(|_| agent.empty()).collect();
    assert_eq!(server.append(&links).len(), 250);
    let more: Vec<Signed> = (0..200).map(|_| agent.empty()).collect();
    let answer = server.submit(&more);
    answer.problem(429, "rate_limited");
    assert!(answer.header("retry-after").is_some());
    // What is logged already costs nothing.
    assert_eq!(server.submit(&links).status, 200);
    let other = Agent::registered(&server, "calm");
    assert_eq!(other.name, "calm");
}

#[test]
fn key_events_have_a_share_that_other_links_do_not_use_up() {
    let limits = LimitSettings {
        writes_per_minute: NonZeroU32::new(4),
        registrations_per_hour: None,
        links_per_second: NonZeroU32::new(1),
        key_events_per_minute: NonZeroU32::new(2),
        trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
    };
    let server = Server::with(Setup { limits, ..Setup::default() });
    let mut agent = Agent::new(server.node.log_id(), "flooded");
    let next = super::agent::key("flooded next");
    let founding = soulchain::soul::Genesis { next: Some(super::agent::commitment(&next)), ..agent.founding() };
    let genesis = agent.genesis_of(founding);
    submit_from(&server, "192.0.2.1", &[genesis]);
    // Links use up what the address and the identity have.
    let links: Vec<Signed> = (0..255).map(|_| agent.empty()).collect();
    assert_eq!(submit_from(&server, "192.0.2.1", &links).status, 201);
    let mut thief = agent.clone();
    thief.act = super::agent::key("of a thief");
    let of_thief = thief.empty();
    let ask = || submit_from(&server, "192.0.2.1", std::slice::from_ref(&of_thief));
    let refused = std::iter::repeat_with(ask).take(20).find(|answer| answer.status != 403);
    refused.unwrap().problem(429, "rate_limited");
    let mut later = agent.clone();
    let more: Vec<Signed> = (0..200).map(|_| later.empty()).collect();
    submit_from(&server, "192.0.2.2", &more).problem(429, "rate_limited");
    // Key events go through, until their own share is used up; one of the next key still.
    let rotate = |agent: &mut Agent, at: usize| {
        let body = soulchain::soul::Body::Keys(agent.rotation(&super::agent::key(&format!("flooded {at}"))));
        agent.sign(&agent.admin.clone(), &body)
    };
    for at in 0..2 {
        let event = rotate(&mut agent, at);
        assert_eq!(submit_from(&server, "192.0.2.1", &[event]).status, 201);
    }
    let third = rotate(&mut agent.clone(), 2);
    submit_from(&server, "192.0.2.1", std::slice::from_ref(&third)).problem(429, "rate_limited");
    submit_from(&server, "192.0.2.3", &[third]).problem(429, "rate_limited");
    let fresh = [&super::agent::key("flooded admin 2"), &super::agent::key("flooded act 2")];
    // Who makes up a recovery key uses up nothing.
    let thief = super::agent::key("of a thief");
    for at in 0..3 {
        let forged = agent.recovery(&thief, &super::agent::key("flooded then"), fresh);
        let event = agent.unsent(&thief, &soulchain::soul::Body::Recover(forged));
        submit_from(&server, &format!("198.51.100.{at}"), &[event]).problem(403, "unauthorised");
    }
    let recover = agent.recovery(&next, &super::agent::key("flooded then"), fresh);
    let event = agent.sign(&next, &soulchain::soul::Body::Recover(recover));
    assert_eq!(submit_from(&server, "192.0.2.3", &[event]).status, 201);
    // And the reverse: an address without key events left still writes.
    let founded = Agent::new(server.node.log_id(), "unhurt").genesis();
    submit_from(&server, "192.0.2.3", &[rotate(&mut agent.clone(), 9)]);
    assert_eq!(submit_from(&server, "192.0.2.3", &[founded]).status, 201);
    server.audit();
}

#[test]
fn loopback_is_exempt_without_proxies() {
    let limits = LimitSettings {
        writes_per_minute: NonZeroU32::new(1),
        registrations_per_hour: NonZeroU32::new(1),
        links_per_second: None,
        key_events_per_minute: None,
        trusted_proxies: Vec::new(),
    };
    let server = Server::with(Setup { limits, ..Setup::default() });
    for at in 0..4 {
        Agent::registered(&server, &format!("local-{at}"));
    }
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Server::start();
    let mut stream = server.connect();
    let head = format!("GET /v1/log HTTP/1.1\r\nhost: x\r\nx-long: {}", "x".repeat(64 << 10));
    // What lies unread when the server closes makes the system reset the connection, with the answer in it.
    let _ = stream.write_all(head.as_bytes());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(parse_answer(&rest, true).is_none_or(|answer| answer.status == 431), "{rest:?}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_connection_serves_many_requests() {
    let server = Server::start();
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut stream).text(), "ok\n");
    }
    // Also after a problem.
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    read_answer(&mut stream).problem(404, "not_found");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).text(), "ok\n");
}
