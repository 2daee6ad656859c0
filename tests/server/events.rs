//! The stream of events.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::agent::Agent;
use super::support::{Server, Setup, accept};

/// One event, as parsed.
#[derive(Debug, Default, Clone)]
struct Event {
    kind: String,
    id: Option<u64>,
    data: String,
}

struct Stream {
    socket: TcpStream,
    seen: String,
}

impl Stream {
    fn open(server: &Server, query: &str, last_event_id: Option<u64>) -> Self {
        let mut socket = server.connect();
        let last = last_event_id.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        write!(socket, "GET /v1/events{query} HTTP/1.1\r\nhost: x\r\n{last}\r\n").unwrap();
        let mut stream = Self { socket, seen: String::new() };
        stream.read_until(|seen| seen.contains("\r\n\r\n"));
        assert!(stream.seen.starts_with("HTTP/1.1 200"), "{}", stream.seen);
        assert!(stream.seen.contains("content-type: text/event-stream"));
        stream
    }

    fn read_until(&mut self, done: impl Fn(&str) -> bool) -> bool {
        let mut buffer = [0; 16 << 10];
        let started = Instant::now();
        while !done(&self.seen) {
            // A stream says now and then that it lives, so a read alone does not time out.
            if started.elapsed() > Duration::from_secs(20) {
                return false;
            }
            match self.socket.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap()),
            }
        }
        true
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut event = Event::default();
        for line in self.seen.lines().map(|line| line.trim_end_matches('\r')) {
            if let Some(kind) = line.strip_prefix("event: ") {
                kind.clone_into(&mut event.kind);
            } else if let Some(id) = line.strip_prefix("id: ") {
                event.id = id.parse().ok();
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data += data;
                event.data.push('\n');
            } else if line.starts_with("data:") {
                event.data.push('\n');
            } else if line.is_empty() && !event.kind.is_empty() {
                // The lines are joined by line ends; there is none behind the last.
                event.data.pop();
                events.push(std::mem::take(&mut event));
            }
        }
        events
    }

    /// The indexes of the links, when there are as many.
    fn links(&mut self, count: usize) -> Vec<u64> {
        self.read_until(|seen| seen.matches("event: link").count() >= count && seen.ends_with("\n\r\n"));
        let links = self.events().into_iter().filter(|event| event.kind == "link");
        links
            .map(|event| {
                let view: Value = serde_json::from_str(&event.data).unwrap();
                assert_eq!(view["index"].as_u64(), event.id);
                event.id.unwrap()
            })
            .collect()
    }
}

#[test]
fn links_are_told_as_they_come() {
    let server = Server::start();
    let mut one = Agent::registered(&server, "one");
    let mut all = Stream::open(&server, "", None);
    let mut filtered = Stream::open(&server, &format!("?identity={}&type=action", one.identity().to_hex()), Some(0));
    let mut two = Agent::new(server.node.log_id(), "two");
    let founded = server.append(&[two.genesis()]);
    let acted = server.append(&[one.empty(), one.inline(r#"{"v":1}"#)]);
    assert_eq!(all.links(3), [&founded[..], &acted].concat());
    assert_eq!(filtered.links(2), acted);
    // Whoever comes back goes on after what it saw.
    let mut resumed = Stream::open(&server, "", Some(founded[0]));
    assert_eq!(resumed.links(2), acted);
    let mut whole = Stream::open(&server, "", Some(0));
    assert_eq!(whole.links(5), [&[1, 3][..], &founded, &acted].concat());
    for query in ["?identity=xy", "?type=deed", "?since=3"] {
        server.get(&format!("/v1/events{query}")).problem(400, "malformed");
    }
    server.ask("GET", "/v1/events", &[("last-event-id", "x")], None).problem(400, "malformed");
}

#[test]
fn checkpoints_are_told_when_they_are_published_and_not_later() {
    let server = Server::start();
    let mut stream = Stream::open(&server, "", None);
    let agent = Agent::registered(&server, "seen");
    assert_eq!(agent.name, "seen");
    // Nothing else happens, and still it comes.
    assert!(stream.read_until(|seen| seen.contains("\ndata: 5\n")), "{}", stream.seen);
    stream.read_until(|seen| seen.ends_with("\n\r\n"));
    let told = stream.events().into_iter().rfind(|event| event.kind == "checkpoint").unwrap();
    assert_eq!(accept(server.node.log_vkey(), told.data.as_bytes()).verified().checkpoint().size().get(), 5);
}

#[test]
fn streams_do_not_keep_a_server_from_stopping() {
    let setup = Setup::default();
    let limits =
        soulchain::http::ServerLimits { connections: 2, drain_timeout: Duration::from_mins(1), ..setup.server };
    let server = Server::with(Setup { server: limits, ..setup });
    // As many as there are slots.
    let mut streams = [Stream::open(&server, "", None), Stream::open(&server, "", None)];
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    for stream in &mut streams {
        assert!(!stream.read_until(|_| false), "the stream ends");
    }
}
