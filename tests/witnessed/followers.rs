//! Everybody at once: a node, three witnesses, a monitor and a mirror, each a process, some of which die and return.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use soulchain::tlog::SignedCheckpoint;

use super::processes::{BINARY, Scene, Server, get, until};
use super::{PATIENCE, act, published, tree_size};

/// A monitor, which is killed when it is dropped.
struct Monitor {
    child: Child,
    lines: mpsc::Receiver<Value>,
    told: Vec<Value>,
}

impl Monitor {
    fn start(scene: &Scene) -> Self {
        let mut child = Command::new(BINARY)
            .args(["monitor", &scene.node().url, "--interval", "1", "--watch", "scout", "--policy"])
            .arg(scene.path().join("policy.txt"))
            .arg("--state")
            .arg(scene.path().join("monitor"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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
        Self { child, lines, told: Vec::new() }
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
    until(PATIENCE, "the mirror has caught up", || mirrored(&mirror) >= published(&scene).claim().size().get());

    // Two are dead: what is published stays, for the mirror too. Appends go on.
    scene.kill_witness(1);
    thread::sleep(std::time::Duration::from_millis(2_500));
    let stays = published(&scene).claim().size().get();
    assert!(!act(&scene) && tree_size(&scene) > stays);
    assert_eq!((published(&scene).claim().size().get(), mirrored(&mirror)), (stays, stays));
    until(PATIENCE, "the monitor misses a witness", || monitor.told("witness_down") > 0);

    // They return. What then happens to the agent the monitor tells, and the mirror shows.
    scene.start_witness(0);
    scene.start_witness(1);
    until(PATIENCE, "it is caught up", || published(&scene).claim().size().get() >= tree_size(&scene));
    scene.stdout("soulchain agent revoke scout --yes --policy policy.txt");
    until(PATIENCE, "the monitor tells of the end", || monitor.told("revoked") > 0);
    until(PATIENCE, "the mirror shows the end", || status_at(&scene, &mirror) == "revoked");

    // A monitor that is killed goes on where it was, and tells nothing twice.
    drop(monitor);
    monitor = Monitor::start(&scene);
    thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(monitor.told("revoked"), 0);
    scene.stdout(&format!("soulchain audit {} --policy policy.txt", mirror.url));
}
