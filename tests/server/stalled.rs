//! Clients that do not read, clients that read slowly, and clients that come too often.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use soulchain::http::ServerLimits;

use super::agent::Agent;
use super::support::{Answer, Server, Setup, read_answer};

const ASK: &[u8] = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

fn stalling_after(write_stall: Duration) -> Server {
    let limits = ServerLimits { write_stall, ..Setup::default().server };
    Server::with(Setup { server: limits, ..Setup::default() })
}

/// Asks until the other side has closed; whether it did so in time.
fn is_closed_within(mut stream: TcpStream, time: Duration) -> bool {
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let started = Instant::now();
    while started.elapsed() < time {
        match stream.write(ASK) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let server = stalling_after(Duration::from_millis(300));
    let clients: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        let clients = clients.into_iter().map(|client| scope.spawn(|| is_closed_within(client, PATIENCE)));
        for client in clients.collect::<Vec<_>>() {
            assert!(client.join().unwrap(), "it holds its connection still");
        }
    });
    let closed = "soulchain_http_connections_closed_total{reason=\"stalled\"}";
    assert!(server.get("/metrics").text().contains(closed));
}

/// What is asked by a client that takes no answer stays in the system's buffers.
#[test]
fn a_server_that_is_not_read_does_not_read() {
    let server = Server::start();
    for ask in [ASK, b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut client = server.connect();
        client.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
        let (asks, mut taken) = (ask.repeat(1_000), 0);
        while client.write_all(&asks).is_ok() {
            taken += asks.len();
            assert!(taken < 64 << 20, "it reads on");
        }
    }
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let bound = Duration::from_secs(5);
    let server = stalling_after(bound);
    let len = server.get("/openapi.json").body.len();
    // More than the buffers between the two hold, and for longer than the bound read so slowly that the system does not
    // call the socket writable.
    let count = (12 << 20) / len;
    let mut stream = server.connect();
    let mut asking = stream.try_clone().unwrap();
    let asked = std::thread::spawn(move || {
        asking.write_all(&ASK.repeat(count)).unwrap();
        asking.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    });
    let (mut got, mut buffer, started) = (0, vec![0; 4 << 10], Instant::now());
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) => panic!("closed after {got} bytes: {error}"),
        }
        if started.elapsed() < bound * 3 / 2 {
            std::thread::sleep(Duration::from_millis(25));
        } else {
            buffer.resize(64 << 10, 0);
        }
    }
    asked.join().unwrap();
    assert!(got > count * len, "{got} of {}", count * len);
}

/// A long answer takes longer than a head may, on a connection that stays open.
#[test]
fn a_client_that_downloads_slowly_gets_everything() {
    let server = Server::start();
    let (path, whole) = long_answer(&server);
    let times = Duration::from_secs(5);
    let limits = ServerLimits { write_stall: times, head_timeout: times, ..Setup::default().server };
    let server = Server::open(server.stop(), Setup { server: limits, ..Setup::default() });
    let mut stream = server.connect();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    while !got.ends_with(&whole) {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => got.extend_from_slice(&buffer[..read]),
            end => panic!("closed after {} bytes of {}: {end:?}", got.len(), whole.len()),
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// A bundle of more than 8 MB: its path, and its bytes.
fn long_answer(server: &Server) -> (String, Vec<u8>) {
    let mut agent = Agent::registered(server, "wordy");
    for _ in 0..3 {
        let text = "x".repeat(55_000);
        let links: Vec<_> = (0..50).map(|_| agent.inline(&format!(r#"{{"t":"{text}","v":1}}"#))).collect();
        assert_eq!(server.append_binary(&links).status, 201);
    }
    let path = format!("/tile/entries/000.p/{}", server.size_and_root().0);
    let whole = server.get(&path).body;
    assert!(whole.len() > 8_000_000);
    (path, whole)
}

/// A connection whose reader has next to no buffer.
fn connect_narrow(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Of a long answer it takes so much a second; the seconds until it is closed, of those that it is given.
fn closed_after(server: &Server, path: &str, per_second: usize, seconds: u32) -> Option<u32> {
    let mut stream = connect_narrow(server);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut buffer = vec![0; per_second / 4];
    (0..4 * seconds).find_map(|quarter| {
        std::thread::sleep(Duration::from_millis(250));
        stream.read_exact(&mut buffer).is_err().then_some(quarter / 4)
    })
}

/// It takes something every second, and would have its answer of 8 MB in three hours.
#[test]
fn a_client_that_takes_next_to_nothing_is_closed() {
    let server = stalling_after(Duration::from_secs(4));
    let (path, _) = long_answer(&server);
    std::thread::scope(|scope| {
        let slower = scope.spawn(|| closed_after(&server, &path, 1_500, 14));
        let faster = scope.spawn(|| closed_after(&server, &path, 16 << 10, 8));
        assert!(slower.join().unwrap().is_some(), "it may go on like that");
        assert_eq!(faster.join().unwrap(), None, "that is more than the least rate");
    });
}

/// Room for one long answer, and for three bodies.
fn with_little_memory() -> Server {
    let long = Duration::from_mins(5);
    let limits =
        ServerLimits { held_bytes: 12_000_000, body_timeout: long, write_stall: long, ..Setup::default().server };
    Server::with(Setup { server: limits, ..Setup::default() })
}

/// What `/metrics` shows of answers and bodies under way; the servers of other tests are in it.
fn held_bytes(server: &Server) -> usize {
    let shown = server.get("/metrics");
    let value = shown.text().lines().find_map(|line| line.strip_prefix("soulchain_http_held_bytes "));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Asks until it is answered so.
fn answers_in_time(status: u16, ask: impl Fn() -> Answer) {
    let started = Instant::now();
    loop {
        let answered = ask().status;
        if answered == status {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "answered with {answered}, not {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection whose answer 200 is on its way: its memory is held before the first byte is.
fn begun(server: &Server, path: &str) -> TcpStream {
    let (mut status, started) = ([0; 12], Instant::now());
    loop {
        let mut stream = connect_narrow(server);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        while stream.peek(&mut status).unwrap() < status.len() {
            assert!(started.elapsed() < PATIENCE, "no answer");
            std::thread::yield_now();
        }
        if &status == b"HTTP/1.1 200" {
            return stream;
        }
        // The server may still hold the answer before this one.
        assert!(started.elapsed() < PATIENCE, "refused");
    }
}

#[test]
fn answers_that_nobody_takes_hold_no_more_memory_than_they_may() {
    let server = with_little_memory();
    let (path, whole) = long_answer(&server);
    let deaf = begun(&server, &path);
    assert!(held_bytes(&server) >= whole.len());
    let refused = server.get(&path);
    refused.problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // What is small goes on.
    Agent::registered(&server, "steady");
    assert_eq!(server.get("/healthz").status, 200);
    drop(deaf);
    // There is room for one of them only, so each gives back what it held.
    for _ in 0..3 {
        answers_in_time(200, || {
            let answer = server.get(&path);
            assert!(answer.status != 200 || answer.body == whole);
            answer
        });
    }
}

#[test]
fn bodies_that_do_not_end_hold_no_more_memory_than_they_may() {
    let server = with_little_memory();
    let head =
        "POST /v1/links HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n";
    let begin = || {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        // Who is refused may be closed before it has sent this.
        let _ = stream.write_all(&vec![b' '; 3_900_000]);
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let waits = |stream: &TcpStream| stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    let ask = || server.post("/v1/links", "application/json", &vec![b' '; 1_000_000]);
    let (mut slow, started) = (Vec::new(), Instant::now());
    let refused = loop {
        // Of bodies that come at once either may be the one that is refused.
        slow.retain(waits);
        slow.resize_with(3, begin);
        let answer = ask();
        if answer.status == 503 && slow.iter().all(waits) && held_bytes(&server) >= 11_700_000 {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE, "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    refused.problem(503, "overloaded");
    Agent::registered(&server, "steady");
    drop(slow);
    answers_in_time(400, ask);
}

#[test]
fn a_stream_that_is_silent_for_longer_than_the_bound_lives_on() {
    let server = stalling_after(Duration::from_millis(200));
    let mut stream = server.connect();
    stream.write_all(b"GET /v1/events?type=genesis HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    let mut read_until = |text: &[u8]| {
        let mut buffer = [0; 4 << 10];
        while !seen.windows(text.len()).any(|window| window == text) {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the stream ended");
            seen.extend_from_slice(&buffer[..read]);
        }
    };
    read_until(b"\r\n\r\n");
    std::thread::sleep(Duration::from_millis(700));
    Agent::registered(&server, "after-silence");
    read_until(b"event: link");
}

/// A server that sees every client as one of another machine, or as a proxy.
fn three_per_address(proxy: &str) -> Server {
    let limits = ServerLimits {
        connections_per_address: NonZeroUsize::new(3),
        trusted_proxies: vec![proxy.parse().unwrap()],
        ..Setup::default().server
    };
    Server::with(Setup { server: limits, ..Setup::default() })
}

/// A connection that was served; `None` where it was closed instead.
fn served(server: &Server) -> Option<TcpStream> {
    let mut stream = server.connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").ok()?;
    stream.peek(&mut [0]).ok().filter(|read| *read > 0)?;
    assert_eq!(read_answer(&mut stream).status, 200);
    Some(stream)
}

#[test]
fn an_address_with_too_many_connections_gets_no_more() {
    let server = three_per_address("192.0.2.9");
    let mut held: Vec<TcpStream> = (0..3).map(|_| served(&server).unwrap()).collect();
    for _ in 0..5 {
        assert!(served(&server).is_none(), "a fourth");
    }
    // One that goes makes room for one.
    drop(held.pop());
    let started = Instant::now();
    while held.len() < 3 {
        assert!(started.elapsed() < PATIENCE, "the place does not become free");
        held.extend(served(&server));
    }
    assert!(served(&server).is_none());
    drop(held);
}

#[test]
fn a_proxy_has_as_many_connections_as_it_likes() {
    let server = three_per_address("127.0.0.1");
    let held: Vec<TcpStream> = (0..10).map(|_| served(&server).unwrap()).collect();
    assert_eq!(held.len(), 10);
}
