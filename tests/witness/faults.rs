//! A disk that fails at each operation, and loses power: what was answered is remembered.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soulchain::merkle::TreeSize;
use soulchain::storage::{Disk, DiskFile, StorageError};
use soulchain::tlog::{Cosigner, KeyName};
use soulchain::witness::{OpenError, Outcome, Witness, WitnessKeys, WitnessOptions, create_with_segments};

use super::disk::{Fate, Plan, SimDisk, Survivors};
use super::log::{TestLog, ml_dsa_key, time};
use super::server::{NAME, Server, both_keys, ed25519_key, list};

const FATES: [Fate; 5] = [Fate::Lost, Fate::Half, Fate::Done, Fate::PowerCut, Fate::NoSpace];
/// Rounds of one step of each log.
const ROUNDS: u64 = 6;

/// What clients were told: of each log the newest note that was cosigned.
type Told = BTreeMap<String, (u64, String)>;

struct Case {
    segment_len: u64,
    snapshot_after: usize,
}

fn logs() -> [TestLog; 2] {
    [TestLog::new("log.example/a"), TestLog::new("log.example/b")]
}

fn open(disk: &SimDisk, case: &Case) -> Result<Witness, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = WitnessOptions { snapshot_after: Some(case.snapshot_after), ..WitnessOptions::default() };
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    let logs = logs();
    Witness::open(&disk, keys, list(&logs.each_ref()), options).map(|(witness, _)| witness)
}

fn new_disk(case: &Case) -> SimDisk {
    let disk = SimDisk::default();
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    create_with_segments(&dynamic, &keys, [7; 32], case.segment_len).unwrap();
    disk
}

/// Grows each log step by step, as its client believes that it stands, and notes what is told.
fn drive(witness: &Witness, told: &mut Told, now: u64) {
    for round in 0..ROUNDS {
        for log in &logs() {
            let old = told.get(&log.origin).map_or(0, |(size, _)| *size);
            let size = old + 1 + round % 3;
            if let Outcome::Signed(lines) = witness.add_checkpoint(&log.request(old, size), time(now + round)) {
                told.insert(log.origin.clone(), (size, format!("{}{lines}", log.checkpoint(size))));
            }
        }
    }
}

/// What a witness shows must not be behind what was told, and it must go on from there.
fn check(witness: &Witness, told: &Told, context: &str) {
    for log in &logs() {
        let shown = witness.checkpoint(&log.hash());
        let size = shown.as_deref().map_or(0, |note| note.lines().nth(1).unwrap().parse().unwrap());
        let (answered, note) = told.get(&log.origin).cloned().unwrap_or_default();
        assert!(size >= answered, "{context}: {} is at {size}, {answered} was answered", log.origin);
        if size == answered && answered > 0 {
            assert_eq!(shown.as_deref(), Some(&*note), "{context}");
        }
        // A fork from within what was told finds nobody.
        if answered > 1 {
            let fork = log.forked(answered - 1);
            for request in
                [fork.request(answered, answered + 2), fork.request(size, size), fork.request(size, size + 1)]
            {
                let outcome = witness.add_checkpoint(&request, time(1));
                assert!(!matches!(outcome, Outcome::Signed(_)), "{context}: {outcome:?}");
            }
        }
        let outcome = witness.add_checkpoint(&log.request(size, size + 1), time(1));
        assert!(matches!(outcome, Outcome::Signed(_)), "{context}: {outcome:?}");
    }
}

fn survivors() -> [Survivors; 5] {
    [Survivors::Nothing, Survivors::Everything, Survivors::Some(1), Survivors::Some(2), Survivors::Some(3)]
}

/// All that can be left of a disk: the process dies, or the power goes.
fn futures(disk: &SimDisk) -> Vec<(String, SimDisk)> {
    let lost = survivors().map(|survivors| (format!("power, {survivors:?}"), disk.after_power_loss(survivors)));
    [("killed".to_owned(), disk.copy())].into_iter().chain(lost).collect()
}

fn every_fault(case: &Case) {
    let disk = new_disk(case);
    let mut told = Told::new();
    drive(&open(&disk, case).unwrap(), &mut told, 100);
    let start = disk.copy();
    start.plan(None);
    drive(&open(&start, case).unwrap(), &mut told.clone(), 200);
    let count = start.ops().len() as u64;
    assert!(count > 20, "{count} operations");
    for (at, op) in (0..count).zip(start.ops()) {
        for fate in FATES {
            for dead_after in [false, true] {
                // The power goes but one way, and only writes find no space.
                if (fate == Fate::PowerCut && !dead_after) || (fate == Fate::NoSpace && op.0 != "write") {
                    continue;
                }
                let disk = disk.copy();
                disk.plan(Some(Plan { at, fate, dead_after }));
                let mut told = told.clone();
                if let Ok(witness) = open(&disk, case) {
                    drive(&witness, &mut told, 200);
                    if let Some(op) = disk.ops().get(at as usize)
                        && op.0 == "sync"
                        && matches!(fate, Fate::Lost | Fate::Half)
                        && op.1.starts_with("journal/0")
                    {
                        assert!(witness.latched().is_some(), "a failed sync latches");
                    }
                }
                for (future, disk) in futures(&disk) {
                    let context = format!("{fate:?} at {at}, dead after: {dead_after}, {future}");
                    let witness = open(&disk, case).unwrap_or_else(|error| panic!("{context}: {error}"));
                    check(&witness, &told, &context);
                }
            }
        }
    }
}

#[test]
fn what_was_answered_outlives_every_fault() {
    every_fault(&Case { segment_len: 128 << 10, snapshot_after: 1 << 20 });
}

#[test]
fn what_was_answered_outlives_every_fault_with_snapshots() {
    every_fault(&Case { segment_len: 128 << 10, snapshot_after: 1000 });
}

#[test]
fn what_was_answered_outlives_every_fault_with_new_segments() {
    every_fault(&Case { segment_len: 16 << 10, snapshot_after: 4000 });
}

#[test]
fn a_latched_witness_refuses_everything_and_shows_what_is_durable() {
    let case = Case { segment_len: 128 << 10, snapshot_after: 1 << 20 };
    let [log, other] = logs();
    let disk = new_disk(&case);
    let witness = open(&disk, &case).unwrap();
    assert!(matches!(witness.add_checkpoint(&log.request(0, 2), time(9)), Outcome::Signed(_)));
    let shown = witness.checkpoint(&log.hash());
    // The second operation of an append is the sync.
    disk.plan(Some(Plan { at: 1, fate: Fate::Lost, dead_after: false }));
    for request in [log.request(2, 3), log.request(2, 3), log.request(0, 3), other.request(0, 1)] {
        assert_eq!(witness.add_checkpoint(&request, time(9)), Outcome::Latched);
    }
    assert_eq!(witness.checkpoint(&log.hash()), shown);
    assert!(witness.latched().is_some());
}

#[test]
fn a_full_disk_is_no_end() {
    let case = Case { segment_len: 16 << 10, snapshot_after: 1 << 20 };
    let disk = new_disk(&case);
    let witness = open(&disk, &case).unwrap();
    let [log, _] = logs();
    // Where the next segment is made.
    disk.set_full(Some("spare.tmp"));
    let mut size = 0;
    while witness.add_checkpoint(&log.request(size, size + 1), time(9)) != Outcome::Overloaded {
        size += 1;
        assert!(size < 20, "it must find no room sometime");
    }
    assert!(witness.latched().is_none());
    disk.set_full(None);
    // What waited is written first.
    assert!(witness.commit());
    assert_eq!(
        witness.add_checkpoint(&log.request(size, size + 2), time(9)),
        Outcome::Conflict { cosigned: TreeSize::new(size + 1) }
    );
    assert!(matches!(witness.add_checkpoint(&log.request(size + 1, size + 2), time(9)), Outcome::Signed(_)));
}

#[test]
fn a_snapshot_and_what_follows_equal_the_whole_journal() {
    let (often, never) = (
        Case { segment_len: 128 << 10, snapshot_after: 500 },
        Case { segment_len: 128 << 10, snapshot_after: 1 << 20 },
    );
    let shown = |case: &Case| {
        let disk = new_disk(case);
        drive(&open(&disk, case).unwrap(), &mut Told::new(), 100);
        let witness = open(&disk.copy(), case).unwrap();
        logs().map(|log| witness.checkpoint(&log.hash()).unwrap())
    };
    assert_eq!(shown(&often), shown(&never));
}

#[test]
fn old_segments_are_dropped() {
    let case = Case { segment_len: 16 << 10, snapshot_after: 4000 };
    let disk = new_disk(&case);
    let witness = open(&disk, &case).unwrap();
    let mut told = Told::new();
    for round in 0..10 {
        drive(&witness, &mut told, 100 + round);
    }
    let segments = disk.names().iter().filter(|name| name.starts_with("journal/0")).count();
    assert!(segments <= 4, "{segments} segments");
    drop(witness);
    check(&open(&disk.copy(), &case).unwrap(), &told, "after many segments");
}

#[test]
fn a_damaged_state_is_refused() {
    let case = Case { segment_len: 64 << 10, snapshot_after: 1 << 20 };
    let disk = new_disk(&case);
    let mut told = Told::new();
    drive(&open(&disk, &case).unwrap(), &mut told, 100);
    let refuses = |what: &str, change: &dyn Fn(&SimDisk)| {
        let copy = disk.copy();
        change(&copy);
        match open(&copy, &case) {
            Err(OpenError::Storage(StorageError::Damaged { .. } | StorageError::Missing { .. })) => {}
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => panic!("{what}: it opened"),
        }
    };
    let segment = disk.names().into_iter().rfind(|name| name.starts_with("journal/0")).unwrap();
    let flip = |name: &str, at: usize| {
        let name = name.to_owned();
        move |disk: &SimDisk| {
            let mut bytes = disk.peek(&name).unwrap();
            bytes[at] ^= 1;
            disk.poke(&name, Some(bytes));
        }
    };
    let state = disk.peek("state").unwrap().len();
    for at in [0, 20, 30, state / 2, state - 1] {
        refuses(&format!("bit of the state at {at}"), &flip("state", at));
    }
    refuses("no state", &|disk| disk.poke("state", None));
    refuses("half a state", &|disk| disk.poke("state", Some(disk.peek("state").unwrap()[..state / 2].to_vec())));
    refuses("no key", &|disk| disk.poke("journal/key", None));
    refuses("another key", &flip("journal/key", 5));
    refuses("no segment", &|disk| disk.poke(&segment, None));
    refuses("a shorter segment", &|disk| {
        let bytes = disk.peek(&segment).unwrap();
        disk.poke(&segment, Some(bytes[..bytes.len() - 4096].to_vec()));
    });
    // A byte of each frame: of its header and of its payload, in the middle of the journal as at its end.
    for frame in 1..ROUNDS as usize * 2 {
        refuses(&format!("header of frame {frame}"), &flip(&segment, frame * 4096 + 40));
        refuses(&format!("payload of frame {frame}"), &flip(&segment, frame * 4096 + 600));
    }
}

#[test]
fn a_torn_last_frame_is_dropped() {
    let case = Case { segment_len: 64 << 10, snapshot_after: 1 << 20 };
    let disk = new_disk(&case);
    let mut told = Told::new();
    drive(&open(&disk, &case).unwrap(), &mut told, 100);
    let segment = disk.names().into_iter().rfind(|name| name.starts_with("journal/0")).unwrap();
    let mut bytes = disk.peek(&segment).unwrap();
    let last = (0..bytes.len()).step_by(4096).rfind(|at| bytes[*at] != 0).unwrap();
    bytes[last + 512..last + 1024].fill(0);
    disk.poke(&segment, Some(bytes));
    // It was answered here, which a real torn frame never is: so one answer is gone, and no more.
    let witness = open(&disk.copy(), &case).unwrap();
    let [a, b] = logs();
    let size =
        |log: &TestLog| -> u64 { witness.checkpoint(&log.hash()).unwrap().lines().nth(1).unwrap().parse().unwrap() };
    assert_eq!(size(&a), told[&a.origin].0);
    assert!(size(&b) < told[&b.origin].0);
}

#[test]
fn what_a_start_found_is_durable_though_there_is_no_room() {
    let case = Case { segment_len: 64 << 10, snapshot_after: 1 << 20 };
    let [log, _] = logs();
    let disk = new_disk(&case);
    let witness = open(&disk, &case).unwrap();
    // A sync that fails: the frame is seen, and not on the medium.
    disk.plan(Some(Plan { at: 1, fate: Fate::Lost, dead_after: false }));
    assert_eq!(witness.add_checkpoint(&log.request(0, 3), time(9)), Outcome::Latched);
    drop(witness);
    disk.plan(None);
    let lost = open(&disk.after_power_loss(Survivors::Nothing), &case).unwrap();
    assert_eq!(lost.checkpoint(&log.hash()), None);
    // The next start reads it, and writes no state. What rests on it leaves all the same: the journal has it again.
    disk.set_full(Some("state"));
    let witness = open(&disk, &case).unwrap();
    assert!(matches!(witness.add_checkpoint(&log.request(3, 3), time(9)), Outcome::Signed(_)));
    let after = open(&disk.after_power_loss(Survivors::Nothing), &case).unwrap();
    assert_eq!(after.checkpoint(&log.hash()), witness.checkpoint(&log.hash()));
}

#[test]
fn another_name_is_refused() {
    let case = Case { segment_len: 64 << 10, snapshot_after: 1 << 20 };
    let disk: Arc<dyn Disk> = Arc::new(new_disk(&case));
    let name = KeyName::parse("witness.example/w2").unwrap();
    let keys = WitnessKeys::new(vec![Cosigner::from_seed(name, &[1; 32])]).unwrap();
    let refused = Witness::open(&disk, keys, list(&[]), WitnessOptions::default()).map(|_| ());
    assert!(matches!(refused, Err(OpenError::OtherName { found }) if found.as_str() == NAME));
}

fn open_with(disk: &SimDisk, keys: Vec<Cosigner>) -> Result<(), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let keys = WitnessKeys::new(keys).unwrap();
    Witness::open(&disk, keys, list(&[]), WitnessOptions::default()).map(|_| ())
}

/// The first layout of the state had no keys in it.
fn without_keys(state: &[u8]) -> Vec<u8> {
    let name = 22 + NAME.len();
    let (mut at, count) = (name + 1, state[name]);
    for _ in 0..count {
        at += 2 + usize::from(u16::from_be_bytes([state[at], state[at + 1]]));
    }
    let mut old = [b"soulchain/witness/1\n", &state[20..name], &state[at..state.len() - 32]].concat();
    let checksum = blake3::hash(&old);
    old.extend_from_slice(checksum.as_bytes());
    old
}

#[test]
fn a_state_is_opened_with_its_own_keys_alone() {
    let case = Case { segment_len: 64 << 10, snapshot_after: 1 << 20 };
    let stranger = || Cosigner::from_seed(KeyName::parse(NAME).unwrap(), &[1; 32]);
    let disk = new_disk(&case);
    drive(&open(&disk, &case).unwrap(), &mut Told::new(), 100);
    let refused = open_with(&disk, vec![stranger()]).unwrap_err();
    assert!(matches!(refused, OpenError::OtherKey { .. }), "{refused}");
    assert!(refused.to_string().contains(&stranger().vkey().to_string()), "{refused}");
    let added = open_with(&disk, vec![ed25519_key(), ml_dsa_key(NAME, "ml-dsa")]).unwrap_err();
    assert!(matches!(added, OpenError::AddedKey { .. }), "{added}");
    open_with(&disk, vec![ed25519_key()]).unwrap();
    // One of two is not enough, whichever it is.
    let disk = SimDisk::default();
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    create_with_segments(&dynamic, &both_keys(), [7; 32], case.segment_len).unwrap();
    for one in [ed25519_key(), ml_dsa_key(NAME, "ml-dsa")] {
        let missing = open_with(&disk, vec![one]).unwrap_err();
        assert!(matches!(missing, OpenError::MissingKey { .. }), "{missing}");
    }
    open_with(&disk, vec![ed25519_key(), ml_dsa_key(NAME, "ml-dsa")]).unwrap();
}

#[test]
fn a_state_of_an_earlier_version_is_taken_over_and_bound() {
    let case = Case { segment_len: 64 << 10, snapshot_after: 1 << 20 };
    let disk = new_disk(&case);
    let mut told = Told::new();
    drive(&open(&disk, &case).unwrap(), &mut told, 100);
    // With what stands in the journal behind it.
    disk.poke("state", Some(without_keys(&disk.peek("state").unwrap())));
    check(&open(&disk, &case).unwrap(), &told, "taken over");
    assert!(disk.peek("state").unwrap().starts_with(b"soulchain/witness/2\n"));
    let stranger = Cosigner::from_seed(KeyName::parse(NAME).unwrap(), &[1; 32]);
    assert!(matches!(open_with(&disk, vec![stranger]), Err(OpenError::OtherKey { .. })));
}

/// A disk under which the program breaks: its next operation panics, and later ones do as well until it is mended.
struct Breaking(SimDisk, Arc<AtomicBool>);

struct BreakingFile(Box<dyn DiskFile>, Arc<AtomicBool>);

fn break_if(broken: &AtomicBool) {
    assert!(!broken.load(Ordering::SeqCst), "a fault of the program, for a test");
}

impl Disk for Breaking {
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
        break_if(&self.1);
        Ok(Box::new(BreakingFile(self.0.open(name)?, Arc::clone(&self.1))))
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

impl DiskFile for BreakingFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        break_if(&self.1);
        self.0.write_at(offset, bytes)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_panic_while_committing_latches() {
    let [log, other] = logs();
    let (sim, broken) = (SimDisk::default(), Arc::new(AtomicBool::new(false)));
    let disk: Arc<dyn Disk> = Arc::new(Breaking(sim.clone(), Arc::clone(&broken)));
    create_with_segments(&disk, &both_keys(), [7; 32], 64 << 10).unwrap();
    let server = Server::on(&disk, list(&[&log, &other]), both_keys(), WitnessOptions::default());
    server.grow(&log, 0, 2);
    assert_eq!(server.client().get("/healthz").status, 200);
    broken.store(true, Ordering::SeqCst);
    assert_eq!(server.add(&log.request(2, 3)).status, 503);
    broken.store(false, Ordering::SeqCst);
    // The thread is there and well; what it knows of the disk is not.
    assert!(server.witness.latched().unwrap().contains("panicked"));
    assert_eq!(server.client().get("/healthz").status, 503);
    for request in [log.request(2, 3), log.request(3, 4), other.request(0, 1)] {
        assert_eq!(server.add(&request).status, 503);
    }
    assert_eq!(server.size(&log), 2);
    drop(server);
    let (witness, _) = Witness::open(&disk, both_keys(), list(&[&log]), WitnessOptions::default()).unwrap();
    assert!(matches!(witness.add_checkpoint(&log.request(2, 3), time(9)), Outcome::Signed(_)));
}
