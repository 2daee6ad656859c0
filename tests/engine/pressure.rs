//! Many submitters, a full pool, a full disk, and an end in the middle of it all.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use soulchain::clock::{Clock, Reading};
use soulchain::encoding::UnixMillis;
use soulchain::log::{
    Engine, Entry, FLUSH_AFTER, MAX_BATCH_BYTES, Machine, Opaque, OpaqueGroup, Pending, PoolLimits, Recovery, Row,
    SideBody, Sign, SubmitError, open,
};
use soulchain::merkle::LeafIndex;

use super::audit::{check_files, check_log, check_tree};
use super::disk::{Fate, Plan};
use super::rules::{DidNotGrow, Line, Rules};
use super::world::{Acknowledged, SMALL_SEGMENT, Told, World, block_on, note, one, signer};

/// A segment that no test here fills.
const SEGMENT_LEN: u64 = 8 << 20;

/// A log that is open, and everything that it told.
struct Scene {
    world: World,
    engine: Engine<Rules>,
    told: Told,
}

impl Scene {
    fn new() -> Self {
        Self::of(World::created(SEGMENT_LEN))
    }

    fn of(world: World) -> Self {
        let (engine, _) = world.open().unwrap();
        Self { world, engine, told: Told::default() }
    }

    /// With one entry, `a` = 1.
    fn with_an_entry() -> Self {
        let mut scene = Self::new();
        scene.append(&one("a", 1)).unwrap();
        scene
    }

    /// With an entry that has a body, so that each file has something to be flushed into it.
    fn with_a_body() -> Self {
        let mut scene = Self::new();
        scene.append(&[Line::new("a", 1).with_body(vec![1; 600])]).unwrap();
        scene
    }

    fn append(&mut self, group: &[Line]) -> Result<u64, SubmitError<DidNotGrow>> {
        self.told.append(&self.engine, group)
    }

    /// What was told is there, now and after a restart.
    fn check(self) {
        check_log(&self.engine, &self.told);
        self.engine.close();
        reopen(&self.world, &self.told);
    }
}

/// What was told is there when the log is opened again; gives its entries, and what opening found.
fn reopen(world: &World, told: &Told) -> (Vec<Vec<u8>>, Recovery) {
    let (engine, recovery) = world.open().unwrap();
    let entries = check_log(&engine, told);
    engine.close();
    (entries, recovery)
}

/// Holds syncs, and submits a group; when it is given, it is in flight, and what comes next waits until they are released.
fn in_flight<M: Machine>(world: &World, engine: &Engine<M>, group: M::Group) -> Pending<M> {
    world.disk.hold_syncs();
    let pending = engine.submit(group).ok().unwrap();
    until("it is taken", || engine.waiting().entries == 0);
    pending
}

/// Waits for something that another thread does.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn many_submitters_share_a_sync() {
    let Scene { world, engine, mut told } = Scene::new();
    world.disk.plan(None);
    let first = in_flight(&world, &engine, one("first", 1));
    std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..15)
            .map(|number| {
                let engine = engine.clone();
                scope.spawn(move || {
                    let mut told = Told::default();
                    for value in 1..=20 {
                        told.append(&engine, &one(&format!("k{number}"), value)).unwrap();
                    }
                    told
                })
            })
            .collect();
        until("all others wait", || engine.waiting().entries == 15);
        world.disk.release_syncs();
        told.acknowledge(&one("first", 1), &first.blocking_answer().ok().unwrap());
        for submitter in submitters {
            let each = submitter.join().unwrap();
            assert_eq!(each.heads[0].0.get(), 2 + 16, "what waited went together");
            told.entries.extend(each.entries);
            told.heads.extend(each.heads);
        }
    });
    let (groups, size) = (1 + 15 * 20, engine.view().size().get());
    let batches = size - groups;
    let commits = world.disk.ops().iter().filter(|(op, name)| *op == "sync" && name == "journal/fresh.tmp").count();
    assert_eq!(commits as u64, batches, "one sync a batch, and a trailer each");
    Scene { world, engine, told }.check();
}

#[test]
fn a_full_pool_says_so_at_once_and_closing_logs_what_waits() {
    let mut world = World::created(SEGMENT_LEN);
    world.options.pool = PoolLimits { entries: 10, bytes: 100 };
    let Scene { world, engine, mut told } = Scene::of(world);
    told.append(&engine, &one("a", 1)).unwrap();
    let first = in_flight(&world, &engine, one("a", 2));
    let groups: Vec<Vec<Line>> = (0..10).map(|number| one(&format!("k{number}"), 1)).collect();
    let waiting: Vec<_> = groups.iter().map(|group| engine.submit(group.clone()).unwrap()).collect();
    assert_eq!(engine.waiting().entries, 10);
    assert!(matches!(engine.submit(one("b", 1)), Err(SubmitError::Overloaded)));
    world.disk.release_syncs();
    told.acknowledge(&one("a", 2), &first.blocking_answer().ok().unwrap());
    until("the rest is taken", || engine.waiting().entries == 0);
    let long = vec![Line::new("c", 1).with_body(vec![1; 100])];
    assert!(matches!(engine.submit(long), Err(SubmitError::Overloaded)), "bytes are bounded too");
    let last = engine.submit(one("z", 1)).unwrap();
    engine.close();
    assert!(matches!(engine.submit(one("z", 2)), Err(SubmitError::Closed)));
    for (group, pending) in groups.iter().zip(waiting) {
        told.acknowledge(group, &pending.blocking_answer().ok().unwrap());
    }
    told.acknowledge(&one("z", 1), &last.blocking_answer().ok().unwrap());
    assert_eq!(engine.flushed(), engine.view().size(), "closing flushes");
    let entries = check_log(&engine, &told);
    check_files(&world.disk, &entries, told.published);
}

#[test]
fn groups_without_entries_take_up_places_too() {
    let mut world = World::created(SEGMENT_LEN);
    world.options.pool = PoolLimits { entries: 3, bytes: 100 };
    let (engine, _) = world.open_with(Opaque).unwrap();
    let nothing = || OpaqueGroup::new(Vec::new()).unwrap();
    let first = in_flight(&world, &engine, OpaqueGroup::new(vec![Bytes::from_static(b"x")]).unwrap());
    let pending: Vec<_> = (0..3).map(|_| engine.submit(nothing()).ok().unwrap()).collect();
    assert!(matches!(engine.submit(nothing()), Err(SubmitError::Overloaded)));
    world.disk.release_syncs();
    assert!(first.blocking_answer().is_ok());
    for pending in pending {
        assert_eq!(pending.blocking_answer().ok().unwrap().view.size().get(), 1, "it waits for what it rests on");
    }
    engine.close();
}

/// Entries with a body of one byte each: what encodes them weighs more than they do.
struct Bodied<const GAP_MS: u64 = 0>;

impl<const GAP_MS: u64> Machine for Bodied<GAP_MS> {
    type Group = usize;
    type Answer = LeafIndex;
    type Refusal = std::convert::Infallible;
    type State = ();
    const LEAST_GAP: Duration = Duration::from_millis(GAP_MS);
    fn weight(group: &usize) -> soulchain::log::Weight {
        soulchain::log::Weight { entries: *group, bytes: *group * 500 }
    }
    fn least_time(&self) -> UnixMillis {
        UnixMillis::ZERO
    }
    fn begin(&mut self, _: UnixMillis) {}
    fn admit(&mut self, group: usize, batch: &mut soulchain::log::Batch) -> Result<LeafIndex, Self::Refusal> {
        let first = batch.next_index();
        for _ in 0..group {
            let body = SideBody { salt: [9; 32], bytes: Bytes::from_static(&[7; 100]) };
            batch.push(Entry::new(Bytes::from_static(&[5; 400])).unwrap(), Some(Arc::new(body)), Row::default());
        }
        Ok(first)
    }
    fn seal(&mut self, _: &mut soulchain::log::Batch) {}
    fn abandon(&mut self) {}
    fn state(&mut self) {}
    fn apply(
        &mut self,
        _: LeafIndex,
        _: &[u8],
        _: &dyn soulchain::log::Past,
    ) -> Result<Row, soulchain::log::ReplayError> {
        Ok(Row::default())
    }
    fn changes(&mut self) -> soulchain::storage::ViewBatch {
        soulchain::storage::ViewBatch::default()
    }
    fn load(&mut self, _: &dyn soulchain::storage::Views) -> Result<(), soulchain::storage::StorageError> {
        Ok(())
    }
    fn reset(&mut self) {}
    fn check(&self, _last_entry: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn the_largest_batch_is_read_back() {
    let world = World::created(24 << 20);
    let (engine, _) = world.open_with(Bodied::<0>).unwrap();
    let most = 16_384;
    assert!(matches!(engine.submit(most + 1), Err(SubmitError::TooLarge)), "too many");
    let first = in_flight(&world, &engine, 1);
    // These go together, up to the limits of a batch.
    let pending: Vec<_> = (0..2).map(|_| engine.submit(most).ok().unwrap()).collect();
    world.disk.release_syncs();
    assert!(first.blocking_answer().is_ok());
    for pending in pending {
        assert!(pending.blocking_answer().is_ok());
    }
    let size = engine.view().size();
    assert_eq!(size.get(), 1 + 2 * most as u64);
    let killed = world.copy();
    let (again, recovery) = killed.open_with(Bodied::<0>).unwrap();
    assert_eq!((recovery.size, recovery.torn_frame), (size, false));
    let last = again.reader(&again.view()).body(LeafIndex::new(size.get() - 1)).unwrap();
    assert_eq!(last.into_body().unwrap().bytes, [7; 100][..]);
    again.close();
    engine.close();
    const { assert!(16_384 * (500 + 39) < MAX_BATCH_BYTES && 32_768 * 539 > MAX_BATCH_BYTES) };
}

#[test]
fn a_latch_while_many_wait_answers_them_all() {
    for fate in [Fate::Lost, Fate::Done] {
        let Scene { world, engine, mut told } = Scene::with_an_entry();
        world.disk.plan(None);
        told.append(&engine, &one("a", 2)).unwrap();
        let sync = world.disk.ops().iter().position(|(op, _)| *op == "sync").unwrap() as u64;
        world.plan(Plan { at: sync, fate, dead_after: false });
        let first = in_flight(&world, &engine, one("a", 3));
        let waiting: Vec<_> = (0..5).map(|number| engine.submit(one(&format!("k{number}"), 1)).unwrap()).collect();
        world.disk.release_syncs();
        assert!(matches!(first.blocking_answer(), Err(SubmitError::Latched { may_be_logged: true })));
        for pending in waiting {
            assert!(matches!(pending.blocking_answer(), Err(SubmitError::Latched { may_be_logged: false })));
        }
        check_log(&engine, &told);
        engine.close();
        // The page cache has it in either case.
        assert_eq!(reopen(&world.copy(), &told).1.size.get(), 6);
    }
}

/// In the environment of a process that runs one test alone.
const ALONE: &str = "SOULCHAIN_TEST_ALONE";

/// In a process of its own: the sequencers there are its own.
#[test]
fn a_latched_engine_rests() {
    if std::env::var_os(ALONE).is_some() {
        return rests_when_latched();
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let alone = alone.args(["pressure::a_latched_engine_rests", "--exact", "--nocapture"]).env(ALONE, "1").output();
    let said = String::from_utf8(alone.unwrap().stdout).unwrap();
    assert!(said.contains("1 passed"), "{said}");
}

fn rests_when_latched() {
    let mut world = World::created(SEGMENT_LEN);
    world.options.flush_after = FLUSH_AFTER;
    let mut scene = Scene::of(world);
    scene.append(&one("a", 1)).unwrap();
    scene.world.plan(Plan { at: 0, fate: Fate::Lost, dead_after: false });
    assert!(scene.append(&one("a", 2)).is_err());
    // Past the time at which a flush would be due.
    std::thread::sleep(FLUSH_AFTER + Duration::from_millis(100));
    let before = sequencers_ticks();
    std::thread::sleep(Duration::from_secs(1));
    let spent = sequencers_ticks() - before;
    assert!(spent < 8, "{spent} ticks of 10 ms in a second");
    scene.engine.close();
}

/// What the threads of sequencers have used.
fn sequencers_ticks() -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let spent = |path: PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        name.contains("soulchain-seque").then(|| fields[11] + fields[12])
    };
    tasks.flatten().filter_map(|task| spent(task.path())).sum()
}

#[test]
fn batches_keep_the_gap_that_the_machine_asks_for() {
    let world = World::created(SEGMENT_LEN);
    let (engine, _) = world.open_with(Bodied::<40>).unwrap();
    let start = Instant::now();
    for number in 0..6 {
        // Two at once share a batch; the next one waits for the gap, and for no more than that.
        let pending = [engine.submit(1), engine.submit(1)].map(|pending| pending.ok().unwrap());
        for pending in pending {
            assert!(pending.blocking_answer().is_ok());
        }
        assert!(start.elapsed() >= Duration::from_millis(40 * number), "after batch {number}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    engine.close();
}

#[test]
fn a_flush_that_finds_no_room_is_done_again() {
    let Scene { world, engine, mut told } = Scene::with_a_body();
    world.disk.set_full(Some("tile/"));
    let is_flushed = Arc::new(AtomicBool::new(false));
    let flusher = std::thread::spawn({
        let (engine, is_flushed) = (engine.clone(), Arc::clone(&is_flushed));
        move || {
            block_on(engine.flush()).unwrap();
            is_flushed.store(true, Ordering::SeqCst);
        }
    });
    until("it finds no room", || engine.is_low_on_space());
    assert!(matches!(told.append(&engine, &one("a", 2)), Err(SubmitError::NoSpace)));
    check_log(&engine, &told);
    assert!(!is_flushed.load(Ordering::SeqCst) && engine.latched().is_none());
    world.disk.set_full(None);
    flusher.join().unwrap();
    until("entries are admitted again", || !engine.is_low_on_space());
    told.append(&engine, &one("a", 2)).unwrap();
    check_log(&engine, &told);
    engine.close();
    let (entries, _) = reopen(&world, &told);
    check_files(&world.disk, &entries, told.published);
}

#[test]
fn closing_does_not_wait_for_room() {
    let Scene { world, engine, told } = Scene::with_a_body();
    world.disk.set_full(Some("bodies/"));
    engine.close();
    assert!(engine.latched().is_none());
    assert!(world.open().is_err(), "opening needs room");
    world.disk.set_full(None);
    reopen(&world, &told);
}

#[test]
fn no_room_for_a_segment_is_no_latch() {
    let mut scene = Scene::of(World::created(SMALL_SEGMENT));
    scene.world.disk.set_full(Some("journal/spare"));
    let mut value = 0;
    let refusal = loop {
        value += 1;
        if let Err(refusal) = scene.append(&one("a", value)) {
            break refusal;
        }
        assert!(value < 20, "the segment is full some time");
    };
    assert!(matches!(refusal, SubmitError::NoSpace), "{refusal:?}");
    assert!(scene.engine.latched().is_none());
    check_log(&scene.engine, &scene.told);
    scene.world.disk.set_full(None);
    scene.append(&one("a", value)).unwrap();
    scene.check();
}

#[test]
fn little_room_stops_admission_and_more_lets_it_go_on() {
    let mut scene = Scene::with_an_entry();
    scene.world.disk.set_free(Some(100 << 20));
    until("it is seen", || scene.engine.is_low_on_space());
    assert!(matches!(scene.append(&one("a", 2)), Err(SubmitError::NoSpace)));
    scene.world.disk.set_free(None);
    until("it is seen", || !scene.engine.is_low_on_space());
    scene.append(&one("a", 2)).unwrap();
    scene.check();
}

#[test]
fn a_flush_that_fails_latches_and_nobody_waits_for_ever() {
    let Scene { world, engine, told } = Scene::with_an_entry();
    world.plan(Plan { at: 0, fate: Fate::Lost, dead_after: false });
    assert!(block_on(engine.flush()).is_err());
    assert!(engine.latched().is_some());
    assert!(block_on(engine.flush()).is_err());
    check_log(&engine, &told);
    engine.close();
    reopen(&world.copy(), &told);
}

#[test]
fn a_signer_that_dies_leaves_no_empty_checkpoint() {
    let world = World::created(SEGMENT_LEN);
    let calls = Arc::new(AtomicBool::new(false));
    let dying: Sign = Arc::new(move |size, root| {
        assert!(calls.swap(true, Ordering::SeqCst), "the first call dies");
        note(size, root)
    });
    let clock = Arc::new(soulchain::clock::ManualClock::default());
    let storage = world.storage();
    let (engine, _) = open(Opaque, storage, dying, clock, world.options).unwrap();
    let mut told = Told::default();
    for _ in 0..2 {
        let group = OpaqueGroup::new(vec![Bytes::from_static(b"x")]).unwrap();
        let committed = engine.submit(group).ok().unwrap().blocking_answer().ok().unwrap();
        let entry = Acknowledged { index: committed.answer.get(), entry: b"x".to_vec(), body: None };
        told.entries.push(entry);
        told.see(&committed.view);
        check_tree(&engine, &committed.view, &told);
    }
    engine.close();
}

#[test]
fn a_clock_that_jumped_stops_writes_until_somebody_has_looked() {
    struct Jumpy(AtomicBool);
    impl Clock for Jumpy {
        fn read(&self, least: UnixMillis) -> Reading {
            if self.0.load(Ordering::SeqCst) { Reading::Jumped } else { Reading::Time(least) }
        }
    }
    let world = World::created(SEGMENT_LEN);
    let clock = Arc::new(Jumpy(AtomicBool::new(false)));
    let (engine, _) = open(Rules::default(), world.storage(), signer(), clock.clone(), world.options).unwrap();
    let mut scene = Scene { world, engine, told: Told::default() };
    scene.append(&one("a", 1)).unwrap();
    clock.0.store(true, Ordering::SeqCst);
    assert!(matches!(scene.append(&one("a", 2)), Err(SubmitError::ClockJumped)));
    check_log(&scene.engine, &scene.told);
    clock.0.store(false, Ordering::SeqCst);
    scene.append(&one("a", 2)).unwrap();
    scene.check();
}
