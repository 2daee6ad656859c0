//! Many clients, and clients of ill will: the others are served while those are there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use soulchain::http::ServerLimits;
use soulchain::log::PoolLimits;

use super::agent::{Agent, Signed};
use super::support::{JSON, Server, Setup};

/// In the environment of a process that only holds connections: `address count`.
const IDLE: &str = "SOULCHAIN_TEST_IDLE";
/// The others do not wait for longer.
const WITHIN: Duration = Duration::from_secs(20);
/// Clients of ill will are let stay for longer than that, where a test is not about their end.
const STAY: Duration = Duration::from_mins(5);

/// Lets this process open many files; gives how many.
fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(1 << 20);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

#[track_caller]
fn serves_others(server: &Server, agent: &mut Agent) {
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(server.get("/healthz").status, 200);
        server.append(&[agent.empty()]);
        server.json(&format!("/v1/agents/{}", agent.name));
        assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
    }
}

/// No test of its own: the part of a process that holds connections until its input ends.
#[test]
fn idle_client() {
    let Ok(role) = std::env::var(IDLE) else { return };
    let (address, count) = role.split_once(' ').unwrap();
    let (address, count): (SocketAddr, usize) = (address.parse().unwrap(), count.parse().unwrap());
    raise_limit();
    let connect = || {
        for _ in 0..50 {
            if let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                return stream;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no connection");
    };
    let held: Vec<TcpStream> = (0..count).map(|_| connect()).collect();
    eprintln!("holding {}", held.len());
    let _ = std::io::stdin().read(&mut [0]);
}

fn hold(address: SocketAddr, count: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crowd::idle_client", "--exact", "--nocapture"])
        .env(IDLE, format!("{address} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let holding = lines.map_while(Result::ok).any(|line| line == format!("holding {count}"));
    assert!(holding, "the client could not hold its connections");
    child
}

#[test]
fn ten_thousand_idle_connections() {
    let room = raise_limit();
    let count = 10_000.min(room.saturating_sub(1_000)) as usize;
    if count < 10_000 {
        eprintln!("only {count} connections: the limit of open files is {room}");
    }
    let limits = ServerLimits { head_timeout: STAY, ..Setup::default().server };
    let server = Server::with(Setup { server: limits, ..Setup::default() });
    let mut agent = Agent::registered(&server, "patient");
    let children: Vec<Child> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| hold(server.address, count / 2))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    serves_others(&server, &mut agent);
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    serves_others(&server, &mut agent);
    server.audit();
}

#[test]
fn idle_and_slow_heads_are_closed_and_free_their_slots() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "waiting");
    // It holds for the test's own clients too.
    let head_timeout = Duration::from_secs(5);
    let limits = ServerLimits { connections: 50, head_timeout, ..Setup::default().server };
    let server = Server::open(server.stop(), Setup { server: limits, ..Setup::default() });
    // More than there are slots: nothing, a part of a head, and one that was served and stays.
    let mut held: Vec<TcpStream> = (0..80).map(|_| server.connect()).collect();
    for (at, stream) in held.iter_mut().enumerate() {
        match at % 3 {
            0 => {}
            1 => stream.write_all(b"GET /healthz HTTP/1.1\r\nhost").unwrap(),
            _ => stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap(),
        }
    }
    let started = Instant::now();
    assert_eq!(server.get("/healthz").status, 200);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    // Dripping a head does not help.
    let mut dripping = server.connect();
    let started = Instant::now();
    while dripping.write_all(b"x").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(30), "it reads on");
        std::thread::sleep(Duration::from_millis(20));
    }
    serves_others(&server, &mut agent);
    for stream in &mut held {
        let mut rest = Vec::new();
        // Closed, or reset: in no case open.
        let read = stream.read_to_end(&mut rest);
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
    }
}

#[test]
fn slow_bodies_and_clients_that_break_off_leave_others_alone() {
    let limits = ServerLimits { head_timeout: STAY, body_timeout: STAY, write_stall: STAY, ..Setup::default().server };
    let server = Server::with(Setup { server: limits, ..Setup::default() });
    let mut agent = Agent::registered(&server, "steady");
    let head = format!("POST /v1/links HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 4000000\r\n\r\n");
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&[b' '; 1000]).unwrap();
            stream
        })
        .collect();
    serves_others(&server, &mut agent);
    drop(slow);
    // Asked for and never read.
    let deaf: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = server.connect();
            for _ in 0..100 {
                stream.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            }
            stream
        })
        .collect();
    serves_others(&server, &mut agent);
    drop(deaf);
    server.audit();
}

#[test]
fn a_full_pool_leaves_readers_alone() {
    let pool = PoolLimits { entries: 300, bytes: 1 << 20 };
    let server = Server::with(Setup { pool, ..Setup::default() });
    let done = AtomicBool::new(false);
    let (taken, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for at in 0..6 {
            let (server, done, taken, refused) = (&server, &done, &taken, &refused);
            scope.spawn(move || {
                let mut agent = Agent::registered(server, &format!("pushing-{at}"));
                while !done.load(Ordering::Relaxed) {
                    let mut next = agent.clone();
                    let links: Vec<Signed> = (0..200).map(|_| next.empty()).collect();
                    let answer = server.append_binary(&links);
                    if answer.status == 201 {
                        agent = next;
                        taken.fetch_add(1, Ordering::Relaxed);
                    } else {
                        answer.problem(503, "overloaded");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let (mut slowest, mut reads) = (Duration::ZERO, 0);
        let started = Instant::now();
        while reads < 20 || taken.load(Ordering::Relaxed) == 0 {
            assert!(started.elapsed() < 3 * WITHIN, "{reads} reads, {taken:?} taken");
            reads += 1;
            let asked = Instant::now();
            server.json("/v1/log");
            server.get("/checkpoint");
            slowest = slowest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
        done.store(true, Ordering::Relaxed);
        assert!(slowest < WITHIN, "{slowest:?}");
    });
    eprintln!("{taken:?} taken, {refused:?} refused");
    assert!(taken.into_inner() > 0);
    server.audit();
}
