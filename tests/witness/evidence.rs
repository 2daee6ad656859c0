//! What convicts a log: what is in the files, and that nothing waits for them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use soulchain::merkle::TreeSize;
use soulchain::storage::{Disk, DiskFile};
use soulchain::tlog::{Note, Policy};
use soulchain::verify::{Charge, Evidence, convict};
use soulchain::witness::{Outcome, Witness, WitnessKeys, WitnessOptions, create_with_segments};

use super::disk::{Fate, Plan, SimDisk, Survivors};
use super::log::{TestLog, key, request, text, time};
use super::server::{NAME, Server, ed25519_key, list};

fn logs() -> [TestLog; 2] {
    [TestLog::new("log.example/a"), TestLog::new("log.example/b")]
}

fn keys() -> WitnessKeys {
    WitnessKeys::new(vec![ed25519_key()]).unwrap()
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::default();
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    create_with_segments(&dynamic, &keys(), [7; 32], 1 << 20).unwrap();
    disk
}

fn open(disk: &SimDisk) -> Witness {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    open_on(&disk)
}

fn open_on(disk: &Arc<dyn Disk>) -> Witness {
    Witness::open(disk, keys(), list(&logs().each_ref()), WitnessOptions::default()).unwrap().0
}

#[track_caller]
fn grow(witness: &Witness, log: &TestLog, old: u64, size: u64) {
    let outcome = witness.add_checkpoint(&log.request(old, size), time(9));
    assert!(matches!(outcome, Outcome::Signed(_)), "{outcome:?}");
}

/// Offers another tree of this size, which is not cosigned.
#[track_caller]
fn contradict(witness: &Witness, log: &TestLog, from: u64, size: u64) {
    let refused = witness.add_checkpoint(&log.forked(from).request(size, size), time(9));
    assert_eq!(refused, Outcome::OtherRoot { size: TreeSize::new(size) });
}

fn evidence(disk: &SimDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.starts_with("evidence/")).collect()
}

#[test]
fn two_roots_of_one_size_are_kept_as_evidence_once() {
    let [log, other] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    for (old, size) in [(0, 4), (4, 6)] {
        assert!(matches!(witness.add_checkpoint(&log.request(old, size), time(9)), Outcome::Signed(_)));
    }
    // What anybody could have sent, and what the log has not signed, is no evidence.
    let wrong_proof = request(6, &[log.tree.root(2)], &log.checkpoint(9));
    assert!(matches!(witness.add_checkpoint(&wrong_proof, time(9)), Outcome::Inconsistent(_)));
    let unsigned = Note::sign(&log.forked(4).text(6), &key(&log.origin, "somebody else")).unwrap().to_string();
    assert!(matches!(witness.add_checkpoint(&request(6, &[], &unsigned), time(9)), Outcome::NotSigned(_)));
    assert_eq!(evidence(&disk), Vec::<String>::new());
    // Whatever old size came with it, and however often.
    let fork = log.forked(4);
    assert!(matches!(witness.add_checkpoint(&fork.request(4, 6), time(9)), Outcome::Conflict { .. }));
    for _ in 0..3 {
        assert_eq!(witness.add_checkpoint(&fork.request(6, 6), time(9)), Outcome::OtherRoot { size: TreeSize::new(6) });
    }
    let names = evidence(&disk);
    assert!(names.len() == 1 && names[0].ends_with(".evidence"), "{names:?}");
    let kept = Evidence::parse(&disk.peek(&names[0]).unwrap()).unwrap();
    let policy = |log: &TestLog| Policy::parse(format!("{}quorum none\n", log.line()).as_bytes()).unwrap();
    let conviction = convict(&kept, &policy(&log)).unwrap();
    assert!(matches!(conviction.charge(), Charge::Fork { old, new, .. } if old.0 == new.0 && old.1 != new.1));
    assert!(convict(&kept, &policy(&other)).is_err());
    // Nor again after a restart.
    drop(witness);
    let witness = open(&disk);
    disk.plan(None);
    assert!(matches!(witness.add_checkpoint(&fork.request(6, 6), time(9)), Outcome::OtherRoot { .. }));
    assert!(disk.ops().is_empty(), "{:?}", disk.ops());
    assert!(matches!(witness.add_checkpoint(&log.request(6, 7), time(9)), Outcome::Signed(_)));
}

#[test]
fn evidence_is_bounded_for_each_log() {
    let [log, other] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    for log in [&log, &other] {
        assert!(matches!(witness.add_checkpoint(&log.request(0, 40), time(9)), Outcome::Signed(_)));
    }
    for from in 0..20 {
        let refused = witness.add_checkpoint(&log.forked(from).request(40, 40), time(9));
        assert!(matches!(refused, Outcome::OtherRoot { .. }));
    }
    assert_eq!(evidence(&disk).len(), 8);
    // What does not fit the format of evidence is kept as it was sent.
    let fork = other.forked(3);
    let extended = Note::sign(&format!("{}more\n", fork.text(40)), &other.key).unwrap().to_string();
    let empty = Note::sign(&text(&other.origin, 0, &other.tree.root(3)), &other.key).unwrap().to_string();
    for note in [&extended, &empty] {
        let size = if note == &empty { 0 } else { 40 };
        assert!(!matches!(witness.add_checkpoint(&request(size, &[], note), time(9)), Outcome::Signed(_)));
        let names = evidence(&disk).into_iter().filter(|name| name.split('.').nth(1) == Some("txt"));
        assert!(names.map(|name| disk.peek(&name).unwrap()).any(|file| file.ends_with(note.as_bytes())), "{size}");
    }
    assert_eq!(evidence(&disk).len(), 10);
}

#[test]
fn evidence_that_cannot_be_written_changes_no_answer() {
    let [log, _] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    assert!(matches!(witness.add_checkpoint(&log.request(0, 6), time(9)), Outcome::Signed(_)));
    let fork = log.forked(2).request(6, 6);
    for fate in [Fate::Lost, Fate::Half, Fate::NoSpace] {
        disk.plan(Some(Plan { at: 1, fate, dead_after: false }));
        assert!(matches!(witness.add_checkpoint(&fork, time(9)), Outcome::OtherRoot { .. }));
        assert!(witness.latched().is_none());
    }
    disk.plan(None);
    assert!(matches!(witness.add_checkpoint(&fork, time(9)), Outcome::OtherRoot { .. }));
    assert_eq!(evidence(&disk).iter().filter(|name| name.ends_with(".evidence")).count(), 1);
    assert!(matches!(witness.add_checkpoint(&log.request(6, 7), time(9)), Outcome::Signed(_)));
}

#[test]
fn evidence_holds_what_the_log_has_signed_and_nothing_else() {
    let [log, _] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    // Anybody may put lines below a note: of a stranger, or in the log's name.
    let strange = |text: &str| {
        let mut note = Note::sign(text, &log.key).unwrap();
        for stranger in [key("stranger.example", "stranger"), key(&log.origin, "stranger")] {
            let by_stranger = Note::sign("slander\n", &stranger).unwrap();
            note.add_signature(by_stranger.signatures()[0].clone()).unwrap();
        }
        note.to_string()
    };
    let first = witness.add_checkpoint(&request(0, &[], &strange(&log.text(6))), time(9));
    assert!(matches!(first, Outcome::Signed(_)));
    let fork = log.forked(2);
    let extended = format!("{}more\n", fork.text(6));
    let refused = witness.add_checkpoint(&request(6, &[], &strange(&extended)), time(9));
    assert!(matches!(refused, Outcome::OtherRoot { .. }));
    let [name] = &evidence(&disk)[..] else { panic!() };
    let signed = Note::sign(&extended, &log.key).unwrap();
    let expected = format!("cosigned:\n\n{}\noffered:\n\n{signed}", log.checkpoint(6));
    assert_eq!(String::from_utf8(disk.peek(name).unwrap()).unwrap(), expected);
    assert!(witness.checkpoint(&log.hash()).unwrap().contains(NAME) && !expected.contains(NAME));
    // The same of a file that is judged.
    let other = log.forked(3);
    let refused = witness.add_checkpoint(&request(6, &[], &strange(&other.text(6))), time(9));
    assert!(matches!(refused, Outcome::OtherRoot { .. }));
    let name = evidence(&disk).into_iter().find(|name| name.ends_with(".evidence")).unwrap();
    assert!(!String::from_utf8(disk.peek(&name).unwrap()).unwrap().contains("stranger"));
}

#[test]
fn long_checkpoints_are_kept_as_well() {
    let [log, _] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    let long = |text: String| Note::sign(&format!("{text}{}\n", "x".repeat(150 << 10)), &log.key).unwrap().to_string();
    let first = witness.add_checkpoint(&request(0, &[], &long(log.text(6))), time(9));
    assert!(matches!(first, Outcome::Signed(_)), "{first:?}");
    witness.add_checkpoint(&request(6, &[], &long(log.forked(2).text(6))), time(9));
    assert_eq!(evidence(&disk).len(), 1);
}

#[test]
fn evidence_is_durable_without_a_sync_of_the_file_system() {
    let [log, _] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    grow(&witness, &log, 0, 6);
    disk.plan(None);
    contradict(&witness, &log, 2, 6);
    let ops = disk.ops();
    assert!(ops.iter().all(|(kind, _)| *kind != "sync_fs"), "{ops:?}");
    let [name] = &evidence(&disk)[..] else { panic!() };
    assert_eq!(disk.after_power_loss(Survivors::Nothing).peek(name), disk.peek(name));
    // The double knows no folders: the name of a new one is in the directory above.
    assert!(ops.contains(&("sync_dir", String::new())), "{ops:?}");
}

#[test]
fn what_could_not_be_written_is_tried_again() {
    let [log, other] = logs();
    let disk = new_disk();
    let witness = open(&disk);
    for log in [&log, &other] {
        grow(&witness, log, 0, 20);
    }
    let state = || (evidence(&disk).len(), witness.unwritten_evidence());
    let fails = |from| {
        disk.set_full(Some("evidence/"));
        contradict(&witness, &log, from, 20);
        disk.set_full(None);
        // What was begun is no file of evidence.
        disk.names().iter().filter(|name| name.contains(".tmp")).for_each(|name| disk.poke(name, None));
    };
    fails(1);
    assert_eq!(state(), (0, 1));
    // Another log's is no reason to.
    contradict(&witness, &other, 1, 20);
    assert_eq!(state(), (1, 1));
    // Another of this log, or the same.
    contradict(&witness, &log, 2, 20);
    assert_eq!(state(), (3, 0));
    fails(3);
    assert_eq!(state(), (3, 1));
    contradict(&witness, &log, 3, 20);
    assert_eq!(state(), (4, 0));
    // And the end.
    fails(4);
    fails(5);
    assert_eq!(state(), (4, 2));
    witness.close();
    witness.run();
    assert_eq!(state(), (6, 0));
    assert!(witness.latched().is_none());
}

#[test]
fn no_answer_waits_for_evidence_and_the_end_does() {
    let [log, other] = logs();
    let sim = new_disk();
    let (gated, gate) = Gated::new(&sim);
    let disk: Arc<dyn Disk> = Arc::new(gated);
    let server = Server::on(&disk, list(&[&log, &other]), keys(), WitnessOptions::default());
    server.grow(&log, 0, 6);
    // It goes before the server does, which would wait for it.
    let open = gate.shut();
    assert_eq!(server.add(&log.forked(2).request(6, 6)).status, 422);
    gate.wait_for_one();
    // While that file is being written: another contradiction, another log, and this one.
    assert_eq!(server.add(&log.forked(3).request(6, 6)).status, 422);
    server.grow(&other, 0, 5);
    server.grow(&log, 6, 7);
    assert_eq!(evidence(&sim), Vec::<String>::new());
    // It is told to end, and both are written first.
    server.witness.close();
    drop(open);
    drop(server);
    assert_eq!(evidence(&sim).len(), 2);
}

#[test]
fn a_panic_while_evidence_is_written_is_no_end() {
    let [log, _] = logs();
    let sim = new_disk();
    let (gated, gate) = Gated::new(&sim);
    let disk: Arc<dyn Disk> = Arc::new(gated);
    let witness = open_on(&disk);
    grow(&witness, &log, 0, 6);
    gate.set(Way::Panics);
    contradict(&witness, &log, 2, 6);
    assert_eq!((witness.unwritten_evidence(), witness.latched()), (1, None));
    grow(&witness, &log, 6, 7);
    gate.set(Way::Open);
    contradict(&witness, &log, 2, 7);
    assert_eq!((witness.unwritten_evidence(), evidence(&sim).len()), (0, 2));
}

#[test]
fn a_folder_that_cannot_be_read_is_one_without_room() {
    let [log, _] = logs();
    let disk = new_disk();
    grow(&open(&disk), &log, 0, 6);
    disk.plan(None);
    drop(open(&disk));
    let at = disk.ops().iter().position(|op| *op == ("list", "evidence".to_owned())).unwrap() as u64;
    disk.plan(Some(Plan { at, fate: Fate::Lost, dead_after: false }));
    let witness = open(&disk);
    assert!(!witness.keeps_evidence());
    disk.plan(None);
    contradict(&witness, &log, 2, 6);
    assert_eq!(disk.ops(), []);
    assert_eq!((evidence(&disk).len(), witness.unwritten_evidence()), (0, 0));
    grow(&witness, &log, 6, 7);
    drop(witness);
    let witness = open(&disk);
    assert!(witness.keeps_evidence());
    contradict(&witness, &log, 2, 7);
    assert_eq!(evidence(&disk).len(), 1);
}

/// A disk on which the way to files of evidence can be shut.
struct Gated(SimDisk, Gate);

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    way: Way,
    /// Those who stand before it.
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    #[default]
    Open,
    Shut,
    Panics,
}

/// Opens the gate when it goes.
struct Opens(Gate);

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.0.0.lock().unwrap()
    }

    fn set(&self, way: Way) {
        self.state().way = way;
        self.0.1.notify_all();
    }

    fn shut(&self) -> Opens {
        self.set(Way::Shut);
        Opens(self.clone())
    }

    fn wait_for_one(&self) {
        drop(self.0.1.wait_while(self.state(), |state| state.waiting == 0).unwrap());
    }

    fn pass(&self) {
        let mut state = self.state();
        state.waiting += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| state.way == Way::Shut).unwrap();
        state.waiting -= 1;
        let way = state.way;
        drop(state);
        assert!(way != Way::Panics, "a fault of the program, for a test");
    }
}

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.set(Way::Open);
    }
}

impl Gated {
    fn new(disk: &SimDisk) -> (Self, Gate) {
        let gate = Gate::default();
        (Self(disk.clone(), gate.clone()), gate)
    }
}

impl Disk for Gated {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.read(name)
    }
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_at(name, offset, len)
    }
    fn len(&self, name: &str) -> io::Result<u64> {
        Disk::len(&self.0, name)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        if name.starts_with("evidence/") {
            self.1.pass();
        }
        self.0.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.0.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn sync_fs(&self) -> io::Result<()> {
        self.0.sync_fs()
    }
    fn free(&self) -> io::Result<u64> {
        self.0.free()
    }
}
