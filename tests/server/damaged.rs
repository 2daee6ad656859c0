//! Files of the log in which a bit has turned: what rests on them is refused, and all else is answered as before.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use soulchain::encoding::b64_encode;
use soulchain::log::{FLUSH_AFTER, Machine as _, Past, PoolLimits, ReadError, Row};
use soulchain::merkle::LeafIndex;
use soulchain::node::{Node, NodeOptions, RegistryMachine, ViewStore};
use soulchain::soul::LogId;
use soulchain::storage::{FjallViews, ViewBatch, Views as _};

use super::agent::{Agent, Signed};
use super::support::{ORIGIN, Server, Setup};

/// An entry in the middle of the first bundle, and one behind it.
const DAMAGED: u64 = 100;
const WHOLE: u64 = 300;

/// A log of two full bundles and the beginning of a third, as it was when nothing was damaged.
struct Scene {
    server: Server,
    agent: Agent,
    told: (u64, String),
    entries: Vec<Vec<u8>>,
}

impl Scene {
    fn new() -> Self {
        let server = Server::start();
        let mut agent = Agent::registered(&server, "hurt");
        for _ in 0..3 {
            server.append(&(0..200).map(|_| agent.empty()).collect::<Vec<_>>());
        }
        let (told, entries) = (server.size_and_root(), server.entries());
        server.published(told.0);
        assert!(told.0 > 512 && entries.len() as u64 == told.0);
        Self { server, agent, told, entries }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.server.directory.path().join("data").join(name)
    }

    /// Turns one bit in the middle of a flushed file, while no process has the log open.
    fn damage(mut self, name: &str) -> Self {
        let file = self.file(name);
        let directory = self.server.stop();
        turn_a_bit(&file);
        self.server = Server::open(directory, Setup::default());
        self
    }

    /// What rests on the damaged file is refused, every time.
    fn refuse(&self, targets: &[String]) {
        for target in targets.iter().chain(targets) {
            let problem = self.server.get(target).problem(500, "internal");
            assert!(
                !problem["detail"].as_str().unwrap().contains("tile"),
                "what is wrong is the operator's: {problem}"
            );
        }
        assert_eq!(self.server.size_and_root(), self.told);
    }

    fn entry_is_told(&self, index: u64) {
        let told = self.server.json(&format!("/v1/log/entries/{index}"));
        assert_eq!(told["entry"], b64_encode(&self.entries[index as usize]), "{index}");
    }

    /// Links are logged as before; and when the bit has been turned back, all is there.
    fn heal(mut self, name: &str) {
        let next = self.agent.empty();
        assert_eq!(self.server.append(&[next]), [self.told.0]);
        turn_a_bit(&self.file(name));
        assert!(self.server.entries().starts_with(&self.entries));
        self.server.audit();
    }
}

fn turn_a_bit(file: &PathBuf) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Targets of one entry.
fn entry(index: u64) -> String {
    format!("/v1/log/entries/{index}")
}

/// The path of an entry in the whole log.
fn inclusion(index: u64) -> String {
    format!("/v1/log/proof/inclusion?index={index}")
}

fn answered(server: &Server, target: &str) -> Value {
    let answer = server.get(target);
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    answer.json()
}

#[test]
fn a_damaged_bundle_is_never_an_answer() {
    let name = "tile/entries/000";
    let before = Scene::new();
    let proof = before.server.json(&inclusion(DAMAGED));
    let scene = before.damage(name);
    // One bit is wrong, and no entry of the bundle is given.
    scene.refuse(&[entry(0), entry(DAMAGED), entry(255), "/tile/entries/000".into(), "/tile/entries/000.p/7".into()]);
    scene.refuse(&["/v1/agents/hurt/links/50".into(), "/v1/agents/registrar/links/1".into()]);
    // The tree does not rest on it.
    assert_eq!(answered(&scene.server, &inclusion(DAMAGED)), proof);
    for index in [256, WHOLE, scene.told.0 - 1] {
        scene.entry_is_told(index);
    }
    assert_eq!(scene.server.get("/tile/entries/001").status, 200);
    assert_eq!(scene.server.get("/tile/0/000").status, 200);
    scene.heal(name);
}

#[test]
fn a_damaged_tile_is_never_an_answer() {
    let name = "tile/0/000";
    let before = Scene::new();
    let proof = before.server.json(&inclusion(WHOLE));
    let scene = before.damage(name);
    scene.refuse(&[inclusion(0), inclusion(DAMAGED), inclusion(255), "/tile/0/000".into(), "/tile/0/000.p/5".into()]);
    scene.refuse(&["/v1/log/proof/consistency?old=100".into(), "/v1/log/proof/inclusion?index=3&size=100".into()]);
    // The entries are as they were, but nothing shows it.
    scene.refuse(&[entry(DAMAGED), "/tile/entries/000".into()]);
    assert_eq!(answered(&scene.server, &inclusion(WHOLE)), proof);
    for index in [256, WHOLE, scene.told.0 - 1] {
        scene.entry_is_told(index);
    }
    assert_eq!(scene.server.get("/tile/0/001").status, 200);
    assert_eq!(answered(&scene.server, "/v1/agents/hurt")["head"]["seqno"], 601);
    scene.heal(name);
}

/// For links that ask nothing of the past.
struct NoPast;

impl Past for NoPast {
    fn entry(&self, _: LeafIndex) -> Result<Bytes, ReadError> {
        Err(ReadError::PastEnd)
    }

    fn row(&self, _: LeafIndex) -> Result<Row, ReadError> {
        Err(ReadError::PastEnd)
    }
}

#[test]
fn a_link_about_an_identity_that_is_not_there_ends_the_replay() {
    let log_id = LogId::of_origin("log.example/damaged");
    let (mut speaker, mut subject) = (Agent::new(log_id, "speaker"), Agent::new(log_id, "subject"));
    let (first, second) = (speaker.genesis(), subject.genesis());
    let about = speaker.say(&super::types::feedback(subject.identity(), None));
    let replay = |links: &[&Signed]| {
        let mut machine = RegistryMachine::new(log_id);
        let mut taken = (0..).map(LeafIndex::new).zip(links);
        taken.try_for_each(|(index, (link, _))| machine.apply(index, link.entry(), &NoPast).map(|_| ()))
    };
    assert!(replay(&[&first, &second, &about]).is_ok());
    // Whoever was registered later was not there either.
    for links in [&[&first, &about][..], &[&first, &about, &second]] {
        let error = replay(links).unwrap_err();
        assert_eq!((error.index.get(), &error.what[..]), (1, "it is about an identity that is not there"));
    }
}

/// What the views say beside the records is held against the last trailer; where it is wrong they are made anew.
#[test]
fn another_log_time_in_the_views_is_not_believed() {
    let server = Server::start();
    Agent::registered(&server, "scout");
    let directory = server.stop();
    let data = directory.path().join("data");
    let general = || FjallViews::open(&data.join("views")).unwrap().read(b"x").unwrap().unwrap();
    let right = general();
    // After the version, in big-endian order.
    for at in 1..9 {
        {
            let views = FjallViews::open(&data.join("views")).unwrap();
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            let applied = views.state().unwrap().unwrap();
            views.write(&ViewBatch { changes: vec![(b"x".to_vec(), Some(wrong))], applied }).unwrap();
        }
        let options = NodeOptions {
            data: data.clone(),
            origin: Some(ORIGIN.into()),
            ml_dsa: false,
            passphrase: None,
            pool: PoolLimits::default(),
            confirm_newest: false,
            views: ViewStore::default(),
            flush_after: FLUSH_AFTER,
        };
        let (node, recovery) = Node::open(options).unwrap();
        node.engine().close();
        drop(node);
        assert!(recovery.views_rebuilt, "byte {at}");
        assert!(general() == right);
    }
}
