//! The real program: killed under load, started twice, told of other logs while it runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use soulchain::tlog::{Note, NoteVerifier, Vkey, parse_signature_lines};

use super::log::TestLog;
use super::server::{Client, NAME};

struct Program {
    child: Child,
    address: SocketAddr,
    vkeys: Vec<Vkey>,
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(logs: &[&TestLog]) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        place.list(&logs.iter().map(|log| log.line()).collect::<String>());
        place
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn list(&self, text: &str) {
        let (temporary, path) = (self.directory.path().join("new"), self.logs());
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, path).unwrap();
    }

    fn logs(&self) -> PathBuf {
        self.directory.path().join("logs.txt")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soulchain"));
        command.env_clear().stdin(Stdio::null());
        command.args(["--json", "witness", "--listen", "127.0.0.1:0", "--name", name]);
        command.arg("--data").arg(self.data()).arg("--logs").arg(self.logs());
        command
    }

    fn start(&self) -> Program {
        let mut child = self.command(NAME).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut text = String::new();
        while !text.ends_with("\n}\n") {
            text.push_str(&lines.next().expect("it starts").unwrap());
            text.push('\n');
        }
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["name"], NAME);
        let address = json["url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        let vkeys = json["vkeys"].as_array().unwrap().iter();
        let vkeys = vkeys.map(|vkey| Vkey::parse(vkey.as_str().unwrap()).unwrap()).collect();
        Program { child, address, vkeys }
    }

    /// A start that must not succeed.
    fn fails(&self, name: &str) -> (i32, String) {
        let Output { status, stderr, .. } = self.command(name).output().unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }
}

impl Program {
    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn status(&self, request: &[u8]) -> u16 {
        self.client().post("/add-checkpoint", request).status
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn terminate(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "it ends well when it is told to");
    }

    /// Waits until a request gets this status.
    fn comes_to(&self, request: &[u8], status: u16) {
        let started = Instant::now();
        while self.status(request) != status {
            assert!(started.elapsed() < Duration::from_secs(20), "no {status} in time");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It is gone already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_answered_survives_being_killed() {
    const LOGS: usize = 6;
    const KILLS: u64 = 5;
    let logs: Vec<_> = (0..LOGS).map(|number| TestLog::new(&format!("log.example/{number}"))).collect();
    let place = Place::new(&logs.iter().collect::<Vec<_>>());
    let told: Vec<_> = logs.iter().map(|_| Mutex::new((0, String::new()))).collect();
    let mut vkeys = None;
    for kill in 0..KILLS {
        let program = place.start();
        assert_eq!(*vkeys.get_or_insert(program.vkeys.clone()), program.vkeys);
        for (log, told) in logs.iter().zip(&told) {
            let (answered, note) = told.lock().unwrap().clone();
            let path = format!("/{}/checkpoint", soulchain::encoding::hex_encode(&log.hash()));
            let shown = program.client().get(&path);
            let size = if shown.status == 200 { shown.text().lines().nth(1).unwrap().parse().unwrap() } else { 0 };
            assert!(size >= answered, "{size} is remembered, {answered} was answered");
            assert!(size > answered || answered == 0 || shown.text() == note);
            told.lock().unwrap().0 = size;
        }
        let stop = AtomicBool::new(false);
        let begun: Vec<u64> = told.iter().map(|told| told.lock().unwrap().0).collect();
        std::thread::scope(|scope| {
            for (log, told) in logs.iter().zip(&told) {
                let (stop, mut client) = (&stop, program.client());
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let old = told.lock().unwrap().0;
                        let Ok(answer) = client.ask("POST", "/add-checkpoint", &log.request(old, old + 1)) else {
                            return;
                        };
                        assert_eq!(answer.status, 200, "{answer:?}");
                        *told.lock().unwrap() = (old + 1, format!("{}{}", log.checkpoint(old + 1), answer.text()));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(120 + 90 * kill));
            // On a machine with much else to do that is not long.
            let started = Instant::now();
            let has_grown = || told.iter().zip(&begun).all(|(told, begun)| told.lock().unwrap().0 > begun + 1);
            while !has_grown() && started.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(10));
            }
            program.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    assert!(told.iter().all(|told| told.lock().unwrap().0 > KILLS));
}

#[test]
fn one_process_holds_a_state() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    let program = place.start();
    let (code, why) = place.fails(NAME);
    assert_eq!(code, 1, "{why}");
    assert!(why.contains("in use by another process"), "{why}");
    assert_eq!(program.status(&log.request(0, 4)), 200);
    program.terminate();
    place.start().terminate();
}

#[test]
fn a_second_process_stays_out_where_the_lock_was_removed() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    let program = place.start();
    fs::remove_file(place.data().join("lock")).unwrap();
    let (code, why) = place.fails(NAME);
    assert_eq!(code, 1, "{why}");
    assert!(why.contains("in use by another process"), "{why}");
    // The first one signs nothing more: it cannot tell who holds what will lie there.
    assert_eq!(program.status(&log.request(0, 4)), 503);
    program.terminate();
    let again = place.start();
    again.comes_to(&log.request(0, 4), 409);
    assert_eq!(again.status(&log.request(4, 5)), 200);
    again.terminate();
}

#[test]
fn a_directory_that_was_moved_away_is_signed_from_no_more() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    let program = place.start();
    assert_eq!(program.status(&log.request(0, 4)), 200);
    let elsewhere = place.directory.path().join("elsewhere");
    fs::rename(place.data(), &elsewhere).unwrap();
    fs::create_dir(place.data()).unwrap();
    assert_eq!(program.status(&log.request(4, 5)), 503);
    assert!(fs::read_dir(place.data()).unwrap().next().is_none(), "nothing is written to what lies there now");
    program.terminate();
}

#[test]
fn a_witness_does_not_start_with_the_keys_of_another() {
    let place = Place::new(&[]);
    let other = Place::new(&[]);
    place.start().terminate();
    other.start().terminate();
    let key = |place: &Place, name: &str| place.data().join("keys").join(name);
    fs::copy(key(&other, "witness-ed25519.key"), key(&place, "witness-ed25519.key")).unwrap();
    let (code, why) = place.fails(NAME);
    assert_eq!(code, 1, "{why}");
    assert!(
        why.contains("the state is that of a witness with the key") && why.contains("restore the key files"),
        "{why}"
    );
    fs::remove_file(key(&place, "witness-ed25519.key")).unwrap();
    let (_, why) = place.fails(NAME);
    assert!(why.contains("whose file is missing"), "{why}");
}

#[test]
fn a_witness_does_not_start_without_its_state() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    place.start().terminate();
    let (code, why) = place.fails("witness.example/w2");
    assert_eq!(code, 2, "{why}");
    assert!(why.contains(NAME), "{why}");
    let state = fs::read(place.data().join("state")).unwrap();
    fs::remove_file(place.data().join("state")).unwrap();
    let (code, why) = place.fails(NAME);
    assert_eq!(code, 1, "{why}");
    assert!(why.contains("state is missing"), "{why}");
    fs::write(place.data().join("state"), &state[1..]).unwrap();
    assert!(place.fails(NAME).1.contains("damaged"));
    fs::write(place.data().join("state"), state).unwrap();
    place.start().terminate();
    let keys = place.data().join("keys");
    fs::rename(&keys, place.data().join("elsewhere")).unwrap();
    assert_eq!(place.fails(NAME).0, 1);
}

#[test]
fn evidence_is_there_when_it_has_ended() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    let program = place.start();
    assert_eq!(program.status(&log.request(0, 4)), 200);
    for from in 0..4 {
        assert_eq!(program.status(&log.forked(from).request(4, 4)), 422);
    }
    program.terminate();
    let files = fs::read_dir(place.data().join("evidence")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() == 4 && names.iter().all(|name| name.ends_with(".evidence")), "{names:?}");
}

#[test]
fn it_starts_where_evidence_cannot_be_read() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    place.start().terminate();
    fs::write(place.data().join("evidence"), "no folder").unwrap();
    let program = place.start();
    assert_eq!(program.status(&log.request(0, 4)), 200);
    assert_eq!(program.status(&log.forked(1).request(4, 4)), 422);
    assert_eq!(program.client().get("/healthz").status, 200);
    let metrics = program.client().get("/metrics");
    assert!(metrics.text().contains("soulchain_witness_no_evidence 1\n"), "{}", metrics.text());
    program.terminate();
    assert_eq!(fs::read(place.data().join("evidence")).unwrap(), b"no folder");
}

#[test]
fn the_list_of_logs_changes_while_it_runs() {
    let (one, two) = (TestLog::new("log.example/one"), TestLog::new("log.example/two"));
    let place = Place::new(&[&one]);
    let program = place.start();
    assert_eq!(program.status(&one.request(0, 4)), 200);
    assert_eq!(program.status(&two.request(0, 4)), 404);
    place.list(&format!("{}{}", one.line(), two.line()));
    program.comes_to(&two.request(0, 4), 200);
    // What cannot be read changes nothing.
    place.list("nonsense");
    program.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(program.status(&two.request(4, 5)), 200);
    place.list(&two.line());
    program.signal(Signal::HUP);
    program.comes_to(&one.request(0, 5), 404);
    // It comes back as it was.
    place.list(&format!("{}{}", one.line(), two.line()));
    program.signal(Signal::HUP);
    program.comes_to(&one.request(0, 5), 409);
    assert_eq!(program.status(&one.request(4, 5)), 200);
    program.terminate();
}

#[test]
fn the_printed_keys_verify_what_is_answered() {
    let log = TestLog::new("log.example/one");
    let place = Place::new(&[&log]);
    let program = place.start();
    let answer = program.client().post("/add-checkpoint", &log.request(0, 4));
    let mut note = Note::parse(log.checkpoint(4).as_bytes()).unwrap();
    let lines = parse_signature_lines(&answer.body).unwrap();
    let count = lines.len();
    for line in lines {
        note.add_signature(line).unwrap();
    }
    let keys: Vec<_> = program.vkeys.iter().map(|vkey| NoteVerifier::new(vkey.clone()).unwrap()).collect();
    let verified = note.verify(&keys).unwrap();
    assert_eq!((verified.len(), count), (keys.len(), keys.len()));
    let now = soulchain::clock::now().get() / 1000;
    assert!(verified.iter().all(|signature| signature.time().unwrap().get().abs_diff(now) < 60));
    program.terminate();
}

#[test]
fn a_list_that_is_none_stops_the_start() {
    let place = Place::new(&[]);
    place.list("nonsense");
    let (code, why) = place.fails(NAME);
    assert_eq!(code, 2, "{why}");
    assert!(why.contains("line 1"), "{why}");
    assert!(!Path::new(&place.data()).exists());
}

#[test]
fn standard_output_is_for_people_too() {
    let place = Place::new(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_soulchain"));
    command.env_clear().args(["witness", "--listen", "127.0.0.1:0", "--name", NAME]);
    command.arg("--data").arg(place.data()).arg("--logs").arg(place.logs());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = [0; 100];
    let count = stdout.read(&mut text).unwrap();
    let program = Program { child, address: ([127, 0, 0, 1], 0).into(), vkeys: Vec::new() };
    assert!(String::from_utf8_lossy(&text[..count]).contains(NAME));
    program.terminate();
}
