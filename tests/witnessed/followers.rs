//! Everybody at once: a node, three witnesses, a monitor and a mirror, each a process, some of which die and return.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use soulchain::tlog::SignedCheckpoint;

use super::processes::{BINARY, Scene, Server, address, get, until};
use super::{PATIENCE, act, catch_up, published, tree_size};

/// A monitor, which is killed when it is dropped.
struct Monitor {
    child: Child,
    lines: mpsc::Receiver<Value>,
    url: String,
    told: Vec<Value>,
}

impl Monitor {
    fn start(scene: &Scene) -> Self {
        let mut child = Command::new(BINARY)
            .args(["monitor", &scene.node().url, "--interval", "1", "--listen", "127.0.0.1:0", "--watch", "scout"])
            .arg("--policy")
            .arg(scene.path().join("policy.txt"))
            .arg("--state")
            .arg(scene.path().join("monitor"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Nobody listening is no reason to stop reading.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = errors.find_map(|line| address(&line).filter(|_| line.contains("listening"))).unwrap();
        // A full pipe would stop it.
        thread::spawn(move || errors.for_each(drop));
        Self { child, lines, url, told: Vec::new() }
    }

    /// Waits until so many rounds have read the log anew.
    fn await_rounds(&self, rounds: usize) {
        let read_at = || {
            let (_, metrics) = get(&format!("{}/metrics", self.url));
            metrics
                .lines()
                .find(|line| line.starts_with("soulchain_monitor_read_timestamp_seconds{"))
                .map(str::to_owned)
        };
        for _ in 0..rounds {
            let before = read_at();
            until(PATIENCE, "the log is read anew", || read_at() != before);
        }
    }

    /// How many reports there were of this kind.
    fn told(&mut self, kind: &str) -> usize {
        self.told.extend(self.lines.try_iter());
        let critical = self.told.iter().find(|report| report["severity"] == "critical");
        assert_eq!(critical, None, "the log is honest");
        self.told.iter().filter(|report| report["kind"] == kind).count()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Size of what a mirror shows, 0 where it has nothing.
fn mirrored(mirror: &Server) -> u64 {
    let (status, note) = get(&format!("{}/checkpoint", mirror.url));
    if status != 200 {
        return 0;
    }
    SignedCheckpoint::parse(note.as_bytes()).unwrap().claim().size().get()
}

fn status_at(scene: &Scene, mirror: &Server) -> String {
    let shown = scene.stdout(&format!("soulchain resolve scout --node {} --policy policy.txt --json", mirror.url));
    serde_json::from_str::<Value>(&shown).unwrap()["record"]["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_monitor_and_a_mirror_follow_while_witnesses_die_and_return() {
    let mut scene = Scene::start(3, 2);
    scene.stdout("soulchain agent register scout --unencrypted");
    assert!(act(&scene));
    let mut monitor = Monitor::start(&scene);
    let mut mirror = scene.start_mirror();
    until(PATIENCE, "the mirror has the log", || mirrored(&mirror) >= published(&scene).claim().size().get());
    assert_eq!(status_at(&scene, &mirror), "active");

    // The mirror dies and returns where it was.
    drop(mirror);
    scene.kill_witness(0);
    assert!(act(&scene), "two of three suffice");
    mirror = scene.start_mirror();
    catch_up(&scene);
    until(PATIENCE, "the mirror has caught up", || mirrored(&mirror) >= published(&scene).claim().size().get());

    // Two are dead: what is published stays, for the mirror too. Appends go on.
    scene.kill_witness(1);
    let stays = published(&scene).claim().size().get();
    assert!(!act(&scene) && tree_size(&scene) > stays);
    assert_eq!((published(&scene).claim().size().get(), mirrored(&mirror)), (stays, stays));
    until(PATIENCE, "the monitor misses a witness", || monitor.told("witness_down") > 0);

    // They return. What then happens to the agent the monitor tells, and the mirror shows.
    scene.start_witness(0);
    scene.start_witness(1);
    catch_up(&scene);
    scene.stdout("soulchain agent revoke scout --yes --policy policy.txt");
    until(PATIENCE, "the monitor tells of the end", || monitor.told("revoked") > 0);
    until(PATIENCE, "the mirror shows the end", || status_at(&scene, &mirror) == "revoked");

    // A monitor that is killed goes on where it was, and tells nothing twice. Between telling and noting that it was told
    // it may not be killed; after the second reading from here on the round that told it has come to its end.
    monitor.await_rounds(2);
    drop(monitor);
    monitor = Monitor::start(&scene);
    monitor.await_rounds(2);
    assert_eq!(monitor.told("revoked"), 0);
    scene.stdout(&format!("soulchain audit {} --policy policy.txt", mirror.url));
}
