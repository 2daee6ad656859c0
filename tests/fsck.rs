//! fsck and backup against logs that the engine made: nothing is found where nothing is wrong, one flipped bit is found
//! by the name of its file, and a repair writes what is proven and nothing else.
#![cfg(feature = "node")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use soulchain::clock::{SystemClock, now};
use soulchain::hash::Hash;
use soulchain::keyfile::KeyFile;
use soulchain::log::{
    BackupError, Directory, Engine, Finding, FsckReport, KeptBody, NoCheck, Opaque, OpaqueGroup, OpenError, Options,
    OriginFile, Place, PoolLimits, Severity, Subject, backup, fsck, open,
};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::node::{Node, NodeError, NodeOptions, ViewStore, check_directory};
use soulchain::soul::{
    Beside, Body, ChainPosition, Draft, Genesis, Identity, KeyEntry, Link, LogId, Outcome, Roles, Salt, Seqno,
};
use soulchain::storage::{FjallViews, MemoryViews, OsDisk, ViewBatch, Views as _};
use tempfile::TempDir;

#[path = "fsck/owed.rs"]
mod owed;
#[path = "fsck/untouched.rs"]
mod untouched;

/// Entries of the opaque log: tiles of three levels, a full one in two of them.
const ENTRIES: u64 = 66_000;

// --- a log of opaque entries ---

fn note(size: TreeSize, root: &Hash) -> Vec<u8> {
    format!("log.example\n{size}\n{root}\n\nsigned\n").into_bytes()
}

fn open_opaque(path: &Path, confirm_newest: bool) -> Result<Engine<Opaque>, OpenError> {
    let directory = Directory::open(path).unwrap();
    let storage = directory.storage_with(Arc::new(MemoryViews::default())).unwrap();
    let options = Options { confirm_newest, ..Options::default() };
    let (engine, _) = open(Opaque, storage, Arc::new(note), Arc::new(SystemClock::new()), options)?;
    engine.keep(Box::new(directory));
    Ok(engine)
}

/// Ends all work and lets go of the directory.
fn close_engine(engine: Engine<Opaque>) {
    engine.close();
    drop(engine);
}

fn append_opaque(engine: &Engine<Opaque>, from: u64, count: u64) {
    for start in (from..from + count).step_by(1000) {
        let entries = (start..(start + 1000).min(from + count)).map(|index| Bytes::from(format!("entry {index}")));
        let group = OpaqueGroup::new(entries.collect()).unwrap();
        assert!(engine.submit(group).unwrap().blocking_answer().is_ok());
    }
}

fn opaque_log(count: u64, published: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let origin = OriginFile { v: 1, origin: "log.example".into(), vkeys: vec!["none".into()] };
    Directory::create(&path, &origin, |_| Ok(())).unwrap();
    let engine = open_opaque(&path, false).unwrap();
    append_opaque(&engine, 0, published);
    let view = engine.view();
    wait(engine.publish(&view, note(view.size(), &view.root()))).unwrap();
    append_opaque(&engine, published, count - published);
    close_engine(engine);
    (folder, path)
}

fn check_opaque(path: &Path, repair: bool) -> FsckReport {
    let directory = Directory::open(path).unwrap();
    let storage = directory.storage_with(Arc::new(MemoryViews::default())).unwrap();
    let disk = Arc::new(OsDisk::open(path).unwrap());
    fsck(Opaque, &NoCheck, &Subject { disk, journal: &*storage.journal, views: None }, repair, &mut |_| {}).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

// --- a log of agents ---

struct Agent {
    key: KeyFile,
    log_id: LogId,
    position: ChainPosition,
}

impl Agent {
    fn new(log_id: LogId) -> Self {
        Self { key: KeyFile::generate().unwrap(), log_id, position: ChainPosition::GENESIS }
    }

    fn draft(&self) -> Draft {
        Draft {
            log_id: self.log_id,
            position: self.position,
            ctime: now(),
            anchor: None,
            outcome: if self.position == ChainPosition::GENESIS { Outcome::None } else { Outcome::Success },
            kid: self.key.kid(),
        }
    }

    fn genesis(&mut self) -> (Link, Option<Beside>) {
        let keys = vec![KeyEntry::new(*self.key.pk(), Roles { act: true, admin: true })];
        let genesis = Genesis {
            name: None,
            keys,
            next: None,
            guardians: None,
            controller: None,
            custodian: None,
            pop: Vec::new(),
        };
        let made = self.draft().inline(&Body::Genesis(genesis)).unwrap().sign(&self.key.signing_key());
        let curr = made.0.curr();
        self.position = ChainPosition { identity: Identity::from(curr), seqno: Seqno::new(2), prev: curr, auth: curr };
        made
    }

    /// An action whose body is kept beside the log.
    fn action(&mut self) -> (Link, Option<Beside>) {
        let seqno = self.position.seqno;
        let body = format!("{{\"n\":{},\"text\":\"{}\",\"v\":1}}", seqno.get(), "word ".repeat(20)).into_bytes();
        let beside = Beside { salt: Salt::from_bytes([seqno.get() as u8; 32]), body };
        let made = self.draft().beside(beside).unwrap().sign(&self.key.signing_key());
        self.position = ChainPosition { seqno: seqno.next(), prev: made.0.curr(), ..self.position };
        made
    }
}

fn options(path: &Path, confirm_newest: bool) -> NodeOptions {
    NodeOptions {
        data: path.to_owned(),
        origin: None,
        ml_dsa: false,
        passphrase: None,
        pool: PoolLimits::default(),
        confirm_newest,
        views: ViewStore::Fjall,
        // None but those that a test orders, and those of closing.
        flush_after: Duration::from_hours(1),
    }
}

fn submit(node: &Node, links: Vec<(Link, Option<Beside>)>) {
    if let Err(error) = wait(node.append(links, |_, _| Ok::<_, std::convert::Infallible>(()))) {
        panic!("{error:?}");
    }
}

/// Ends all work and lets go of the directory.
fn close_node(node: Node) {
    node.engine().close();
    drop(node);
}

fn append(node: &Node, agent: &mut Agent, count: usize) {
    submit(node, (0..count).map(|_| agent.action()).collect());
}

fn publish(node: &Node) {
    let view = node.view();
    wait(node.engine().publish(&view, node.publication_signer()(view.size(), &view.root()))).unwrap();
}

/// A closed node's directory with a few hundred entries, the newest of which are not published.
fn agent_log() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("node");
    let (node, _) = Node::open(options(&path, false)).unwrap();
    let mut agent = Agent::new(node.log_id());
    submit(&node, vec![agent.genesis()]);
    append(&node, &mut agent, 150);
    append(&node, &mut agent, 180);
    publish(&node);
    append(&node, &mut agent, 40);
    close_node(node);
    (folder, path)
}

fn check_node(path: &Path, repair: bool) -> FsckReport {
    check_directory(path, repair, &mut |_| {}).unwrap()
}

// --- damage ---

fn flip(path: &Path, name: &str, offset: usize) {
    let mut bytes = fs::read(path.join(name)).unwrap();
    bytes[offset] ^= 4;
    fs::write(path.join(name), bytes).unwrap();
}

fn flip_middle(path: &Path, name: &str) {
    let len = fs::metadata(path.join(name)).unwrap().len() as usize;
    flip(path, name, len / 2);
}

fn damage(report: &FsckReport) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.severity == Severity::Damage).collect()
}

fn names(report: &FsckReport) -> Vec<&str> {
    damage(report).iter().map(|finding| &finding.name[..]).collect()
}

/// All files but the journal's and the views', which only opening changes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("journal") || path.ends_with("views") {
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn journal_segment(path: &Path) -> (String, usize) {
    let manifest = fs::read(path.join("manifest")).unwrap();
    let number = |at: usize| u64::from_be_bytes(manifest[at..at + 8].try_into().unwrap());
    (format!("journal/{:08}", number(69)), number(77) as usize)
}

/// Damages a file, checks what is found, and that a repair leaves a clean directory with all files as they were.
fn mends(path: &Path, name: &str, check: fn(&Path, bool) -> FsckReport, break_it: impl Fn(&Path)) {
    let before = files(path);
    break_it(path);
    let damaged = files(path);
    let found = check(path, false);
    assert!(!found.is_clean(), "{name}");
    assert_eq!(names(&found), [name]);
    assert!(found.findings.iter().all(|finding| !finding.repaired), "{name}");
    assert!(damage(&found)[0].repairable, "{name}");
    assert!(files(path) == damaged, "{name}: without --repair nothing is written");
    let repaired = check(path, true);
    assert_eq!(names(&repaired), [name]);
    assert!(repaired.is_clean() && damage(&repaired)[0].repaired, "{name}");
    assert!(files(path) == before, "{name} is what it was");
    assert_eq!(check(path, false).findings, [], "{name}");
}

/// Damages a file, checks what is found, and that a repair touches nothing; then takes the damage back.
fn stays(path: &Path, name: &str, offset: Option<usize>, check: fn(&Path, bool) -> FsckReport) -> FsckReport {
    let whole = fs::read(path.join(name)).unwrap();
    flip(path, name, offset.unwrap_or(whole.len() / 2));
    let damaged = files(path);
    let found = check(path, true);
    assert!(!found.is_clean(), "{name} {offset:?}");
    assert!(files(path) == damaged, "{name}: what cannot be proven is not touched");
    fs::write(path.join(name), whole).unwrap();
    found
}

#[test]
fn an_opaque_log_is_clean_and_every_flipped_bit_is_found() {
    let (_folder, path) = opaque_log(ENTRIES, ENTRIES - 100);
    let report = check_opaque(&path, false);
    assert_eq!(report.findings, []);
    assert_eq!(report.size.get(), ENTRIES);
    assert_eq!(check_opaque(&path, true).findings, [], "a repair finds nothing to do");

    let published = (ENTRIES - 100) % 256;
    let partial = format!("tile/0/257.p/{}", ENTRIES % 256);
    let stale = format!("tile/0/257.p/{published}");
    let stale_entries = format!("tile/entries/257.p/{published}");
    for name in [
        "tile/0/005",
        "tile/1/000",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
        "chain.idx",
        "checkpoint",
        &partial,
        &stale,
        &stale_entries,
    ] {
        mends(&path, name, check_opaque, |path| flip_middle(path, name));
        mends(&path, name, check_opaque, |path| fs::remove_file(path.join(name)).unwrap());
        mends(&path, name, check_opaque, |path| fs::write(path.join(name), b"short").unwrap());
    }
    let (segment, offset) = journal_segment(&path);
    let edge = format!("tile/entries/257.p/{}", ENTRIES % 256);
    for (name, at) in [("tile/entries/007", None), (&edge, None), ("manifest", None), (&segment, Some(offset + 30))] {
        let found = stays(&path, name, at, check_opaque);
        assert_eq!(names(&found), [name]);
    }
    let found = stays(&path, "journal/key", None, check_opaque);
    assert_eq!(names(&found), [segment]);
    assert_eq!(check_opaque(&path, false).findings, []);
}

#[test]
fn of_several_damages_what_is_proven_is_mended_and_the_rest_named() {
    let (_folder, path) = opaque_log(ENTRIES, ENTRIES);
    let tiles = ["tile/0/005", "tile/0/200", "tile/1/000", "tile/2/000.p/1"];
    let before = files(&path);
    for name in tiles {
        flip_middle(&path, name);
    }
    flip(&path, "tile/entries/009", 100);
    let report = check_opaque(&path, true);
    let mut found = names(&report);
    found.sort_unstable();
    assert_eq!(found, ["tile/0/005", "tile/0/200", "tile/1/000", "tile/2/000.p/1", "tile/entries/009"]);
    let entry = damage(&report).into_iter().find(|finding| finding.name == "tile/entries/009").unwrap();
    assert!(matches!(entry.place, Place::Entry(index) if index >= LeafIndex::new(9 * 256)), "{entry}");
    for name in tiles {
        assert_eq!(fs::read(path.join(name)).unwrap(), before[Path::new(name)], "{name}");
    }
    // A tile and the bundle below it: nothing proves either, and all else is still looked at.
    flip_middle(&path, "tile/0/009");
    flip_middle(&path, "tile/0/100");
    let report = check_opaque(&path, true);
    let found = names(&report);
    assert_eq!(found, ["tile/0/009", "tile/entries/009", "tile/0/100"], "{:?}", report.findings);
    assert_eq!(fs::read(path.join("tile/0/100")).unwrap(), before[Path::new("tile/0/100")]);
}

#[test]
fn a_log_of_agents_is_clean_and_every_flipped_bit_is_found() {
    let (_folder, path) = agent_log();
    let report = check_node(&path, false);
    assert_eq!(report.findings, []);
    assert!(report.size.get() > 370 && report.bodies == 370);

    let edge = report.size.get() % 256;
    let partial = format!("tile/0/001.p/{edge}");
    for name in ["tile/0/000", &partial, "tile/1/000.p/1", "checkpoint", "chain.idx"] {
        mends(&path, name, check_node, |path| flip_middle(path, name));
    }
    let (segment, offset) = journal_segment(&path);
    let entries = format!("tile/entries/001.p/{edge}");
    let unprovable = [("tile/entries/000", None), (&entries, None), ("bodies/000", None), ("bodies/001", None)];
    for (name, at) in unprovable.into_iter().chain([("manifest", None), (&segment, Some(offset + 30))]) {
        assert_eq!(names(&stays(&path, name, at, check_node)), [name]);
    }
    // Each byte of a slot's head, its salt and its body.
    for at in (0..45).chain([100, 150]) {
        let found = stays(&path, "bodies/000", Some(at), check_node);
        assert!(names(&found).iter().all(|name| *name == "bodies/000"), "byte {at}: {:?}", found.findings);
    }
    let origin = fs::read(path.join("origin.json")).unwrap();
    for at in (0..origin.len()).step_by(7) {
        assert_eq!(names(&stays(&path, "origin.json", Some(at), check_node)), ["origin.json"], "byte {at}");
    }
    assert_eq!(check_node(&path, false).findings, []);
    let (node, recovery) = Node::open(options(&path, false)).unwrap();
    assert!(!recovery.views_rebuilt && recovery.size == report.size);
    close_node(node);
}

#[test]
fn views_are_held_against_the_entries_and_made_anew() {
    let (_folder, path) = agent_log();
    let tamper = |changes: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
        let views = FjallViews::open(&path.join("views")).unwrap();
        let applied = views.state().unwrap().unwrap();
        views.write(&ViewBatch { changes, applied }).unwrap();
    };
    let mut keys = Vec::new();
    let collect = |key: &[u8], value: &[u8]| {
        keys.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    FjallViews::open(&path.join("views")).unwrap().scan(b"i", &mut { collect }).unwrap();
    let (key, mut value) = keys[0].clone();
    value[50] ^= 1;
    for changes in [vec![(key.clone(), Some(value))], vec![(key, None)], vec![(b"k-extra".to_vec(), Some(Vec::new()))]]
    {
        tamper(changes);
        let found = check_node(&path, false);
        assert_eq!(names(&found), ["views"]);
        assert!(check_node(&path, true).is_clean());
        assert_eq!(check_node(&path, false).findings, []);
    }
    fs::remove_dir_all(path.join("views")).unwrap();
    assert_eq!(check_node(&path, false).findings, [], "views may be deleted at any time");
}

#[test]
fn frames_that_no_flush_has_reached_are_followed() {
    let (_folder, path) = agent_log();
    let (node, _) = Node::open(options(&path, false)).unwrap();
    let mut agent = Agent::new(node.log_id());
    submit(&node, vec![agent.genesis()]);
    append(&node, &mut agent, 20);
    publish(&node);
    // What a killed process leaves behind.
    let copy = path.with_extension("killed");
    copy_folder(&path, &copy);
    let size = node.view().size();
    close_node(node);
    let report = check_node(&copy, false);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.size, size);
    assert!(report.flushed.unwrap().0 < size, "no flush has reached it");
    let (segment, _) = journal_segment(&copy);
    let last = fs::read(copy.join(&segment)).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(names(&stays(&copy, &segment, Some(last), check_node)), [segment]);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_folder(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// Whoever goes on until it is told to stop does so for no test that has failed.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_of_a_log_that_grows_is_a_beginning_of_it() {
    let (folder, path) = agent_log();
    let (node, _) = Node::open(options(&path, false)).unwrap();
    let stop = AtomicBool::new(false);
    let copies: Vec<PathBuf> = (0..3).map(|at| folder.path().join(format!("copy{at}"))).collect();
    std::thread::scope(|scope| {
        let stop_at_end = StopAtEnd(&stop);
        scope.spawn(|| {
            let mut agent = Agent::new(node.log_id());
            submit(&node, vec![agent.genesis()]);
            while !stop.load(Ordering::Relaxed) {
                append(&node, &mut agent, 60);
                publish(&node);
                wait(node.engine().flush()).unwrap();
            }
        });
        for copy in &copies {
            backup(&path, copy, false, &mut |_| {}).unwrap();
            // The next copy has more.
            let (copied, started) = (node.engine().flushed(), Instant::now());
            while node.engine().flushed() <= copied {
                assert!(started.elapsed() < Duration::from_mins(1), "the log does not grow");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        drop(stop_at_end);
    });
    assert!(matches!(backup(&path, &copies[0], false, &mut |_| {}), Err(BackupError::Exists(_))));
    let view = node.view();
    let mut sizes = Vec::new();
    for copy in &copies {
        let report = check_node(copy, false);
        assert_eq!(report.findings, []);
        let (size, root) = report.flushed.unwrap();
        assert_eq!(node.reader(&view).root(size).unwrap(), root);
        assert!(!copy.join("keys").exists());
        assert_ne!(fs::read(copy.join("journal/key")).unwrap(), fs::read(path.join("journal/key")).unwrap());
        sizes.push(size);
    }
    assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
    close_node(node);
    assert!(check_node(&path, false).is_clean());
}

/// Entries with a body beside them.
fn with_bodies(node: &Node) -> Vec<LeafIndex> {
    let view = node.view();
    let all = (0..view.size().get()).map(LeafIndex::new);
    all.filter(|at| node.reader(&view).body(*at).unwrap().into_body().is_some()).collect()
}

fn erase(node: &Node, index: LeafIndex) {
    wait(node.engine().erase(index)).unwrap();
}

/// A closed log in which some bodies are erased: in a full bundle and in the partial one. With them the number of all.
fn erased_log() -> (TempDir, PathBuf, Vec<LeafIndex>, usize) {
    let (folder, path) = agent_log();
    let (node, _) = Node::open(options(&path, false)).unwrap();
    let all = with_bodies(&node);
    let erased = vec![all[0], all[7], all[8], all[all.len() - 1]];
    for index in &erased {
        erase(&node, *index);
    }
    close_node(node);
    (folder, path, erased, all.len())
}

#[test]
fn what_is_erased_is_right_and_never_comes_back() {
    let (_folder, path, erased, all) = erased_log();
    for repair in [false, true] {
        let report = check_node(&path, repair);
        assert_eq!(report.findings, []);
        assert_eq!((report.bodies, report.erased), ((all - erased.len()) as u64, erased.len() as u64));
    }
    // The slots of a bundle, by place, mark, salt, length, body.
    let name = "bodies/000";
    let slots = |path: &Path| {
        let file = fs::read(path.join(name)).unwrap();
        let (mut slots, mut at) = (Vec::new(), 0);
        while at < file.len() {
            let len = u32::from_be_bytes(file[at + 34..at + 38].try_into().unwrap()) as usize;
            slots.push((at, file[at + 1], file[at + 2..at + 34].to_vec(), len));
            at += 38 + len;
        }
        slots
    };
    let marked: Vec<_> = slots(&path).into_iter().filter(|slot| slot.1 == 2).collect();
    assert_eq!(marked.len(), 3);
    assert!(marked.iter().all(|slot| slot.2 == [0; 32] && slot.3 > 100));
    // Of an erased one something is left: its salt, its body.
    for at in [marked[0].0 + 2, marked[1].0 + 38, marked[2].0 + 38 + marked[2].3 - 1] {
        mends(&path, name, check_node, |path| flip(path, name, at));
    }
    // Its mark, place or length; one that is kept.
    for at in [marked[0].0, marked[0].0 + 1, marked[0].0 + 37] {
        // Behind a wrong length the next slot is not found where it is; nothing of it may be overwritten.
        assert!(names(&stays(&path, name, Some(at), check_node)).iter().all(|found| *found == name));
    }
    let kept = slots(&path).into_iter().find(|slot| slot.1 == 1).unwrap();
    for at in [kept.0 + 2, kept.0 + 40] {
        assert_eq!(names(&stays(&path, name, Some(at), check_node)), [name]);
    }
    // A mark beside an entry that never had a body of that length: the first slot with another place.
    let whole = fs::read(path.join(name)).unwrap();
    let mut file = whole.clone();
    assert!(marked[0].0 == 0 && file[0] > 0, "the registrar's links come first");
    file[0] = 0;
    fs::write(path.join(name), &file).unwrap();
    let report = check_node(&path, true);
    assert_eq!(names(&report), [name]);
    assert!(report.findings[0].what.contains("was ever kept"), "{}", report.findings[0]);
    fs::write(path.join(name), whole).unwrap();
    let (node, _) = Node::open(options(&path, false)).unwrap();
    let view = node.view();
    assert!(erased.iter().all(|index| node.reader(&view).body(*index).unwrap() == KeptBody::Erased));
    assert_eq!(with_bodies(&node).len(), all - erased.len());
    close_node(node);
}

#[test]
fn a_copy_that_is_made_while_bodies_are_erased_is_clean() {
    let (folder, path, erased, all) = erased_log();
    let (node, _) = Node::open(options(&path, false)).unwrap();
    let copies: Vec<PathBuf> = (0..6).map(|at| folder.path().join(format!("copy{at}"))).collect();
    let left = with_bodies(&node);
    std::thread::scope(|scope| {
        scope.spawn(|| left[..60].iter().for_each(|index| erase(&node, *index)));
        for copy in &copies {
            backup(&path, copy, false, &mut |_| {}).unwrap();
        }
    });
    let mut before = erased.len() as u64;
    for copy in &copies {
        let report = check_node(copy, false);
        assert_eq!(report.findings, []);
        assert_eq!(report.bodies + report.erased, all as u64);
        assert!(report.erased >= before, "what was erased before a copy is not in it");
        before = report.erased;
    }
    close_node(node);
    let report = check_node(&path, false);
    assert_eq!(report.findings, []);
    assert_eq!(report.erased, erased.len() as u64 + 60);
}

#[test]
fn a_copy_opens_only_on_the_operators_word() {
    let (folder, path) = agent_log();
    let (copy, keys) = (folder.path().join("copy"), folder.path().join("with-keys"));
    let made = backup(&path, &copy, false, &mut |_| {}).unwrap();
    assert_eq!(made.published.get() + 41, made.size.get(), "40 links and a trailer came after it");
    backup(&path, &keys, true, &mut |_| {}).unwrap();
    for name in fs::read_dir(path.join("keys")).unwrap().map(|entry| entry.unwrap().file_name()) {
        assert_eq!(fs::read(path.join("keys").join(&name)).unwrap(), fs::read(keys.join("keys").join(&name)).unwrap());
    }
    assert!(matches!(Node::open(options(&copy, true)), Err(NodeError::Key(_))), "it has no keys");
    assert!(matches!(Node::open(options(&keys, false)), Err(NodeError::Open(OpenError::IsCopy))));
    assert!(check_node(&keys, true).is_clean());
    assert!(matches!(Node::open(options(&keys, false)), Err(NodeError::Open(OpenError::IsCopy))), "a check is no word");
    let (node, _) = Node::open(options(&keys, true)).unwrap();
    assert_eq!((node.view().size(), node.view().root()), (made.size, made.root));
    let view = node.view();
    let bodies =
        (0..made.size.get()).filter(|at| node.reader(&view).body(LeafIndex::new(*at)).unwrap().into_body().is_some());
    assert_eq!(bodies.count(), 370);
    let mut agent = Agent::new(node.log_id());
    submit(&node, vec![agent.genesis()]);
    close_node(node);
    let (node, _) = Node::open(options(&keys, false)).unwrap();
    close_node(node);
    assert_eq!(check_node(&keys, false).findings, []);
}

#[test]
fn a_copy_is_cut_to_its_manifest_and_not_made_of_a_damaged_log() {
    // Around the ends of bundles, with the published size in the same one, in an earlier one, and at its end.
    for (size, published) in [(0, 0), (1, 0), (255, 200), (256, 200), (257, 256), (600, 100), (768, 768)] {
        let (folder, path) = opaque_log(size, published);
        let copy = folder.path().join("copy");
        backup(&path, &copy, false, &mut |_| {}).unwrap();
        assert_eq!(check_opaque(&copy, false).findings, [], "{size}");
        let (mut left, mut right) = (files(&path), files(&copy));
        for files in [&mut left, &mut right] {
            // Partial tiles of flushes in between need not be there; the manifest differs in its mark.
            files.retain(|name, bytes| {
                !bytes.is_empty()
                    && !name.to_string_lossy().contains(".p/")
                    && !name.ends_with("manifest")
                    && !name.ends_with("lock")
            });
        }
        assert!(left == right, "{size}: {:?} {:?}", left.keys(), right.keys());
        assert!(matches!(open_opaque(&copy, false), Err(OpenError::IsCopy)));
        let engine = open_opaque(&copy, true).unwrap();
        append_opaque(&engine, size, 300);
        close_engine(engine);
        assert_eq!(check_opaque(&copy, false).findings, []);
    }
    let (folder, path) = opaque_log(600, 600);
    flip_middle(&path, "tile/entries/001");
    let copy = folder.path().join("copy");
    assert!(matches!(backup(&path, &copy, false, &mut |_| {}), Err(BackupError::Damaged { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of it");
}
