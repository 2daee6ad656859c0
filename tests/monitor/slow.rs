//! Logs that answer slowly, or fail to answer: what a round asks, and what is told meanwhile.
//!
//! Time is counted, not waited for: each request takes as much as the test says.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use soulchain::audit::{HttpSource, Source, SourceError, TileBytes};
use soulchain::encoding::UnixMillis;
use soulchain::hash::Hash;
use soulchain::merkle::LeafIndex;
use soulchain::monitor::Store as _;
use soulchain::monitor::{
    Board, Desk, Followed, Kind, Limits, LogKind, LogMonitor, LogSettings, MAX_PART_TIME, MAX_REPLAY_TIME, MemoryStore,
    Report, Spool, Stop, Witnesses, run,
};
use soulchain::tlog::{Origin, SignedCheckpoint, TileId, TlogProof};

use crate::conditions::{cosign, with_witness};
use crate::log::{Files, LOG_KEY, Log, ORIGIN, root};
use crate::{Sim, check_under_log_key, kinds, only, settings, two_histories};

/// What happens with a request for a file, by its path.
type Happens = Box<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// A log, what happens with requests to it, and how many tiles were asked for.
struct Asked {
    files: Files,
    happens: Happens,
    tiles: AtomicU32,
}

impl Asked {
    fn of(log: &Log, happens: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { files: log.files(), happens: Box::new(happens), tiles: AtomicU32::new(0) }
    }

    /// How many tiles were asked for since this was called last.
    fn count(&self) -> u32 {
        self.tiles.swap(0, Ordering::SeqCst)
    }
}

impl Source for Asked {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        (self.happens)("checkpoint").map_err(|error| SourceError::Io("checkpoint".into(), error))?;
        self.files.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        let path = tile.to_string();
        self.tiles.fetch_add(1, Ordering::SeqCst);
        (self.happens)(&path).map_err(|error| SourceError::Io(path.into(), error))?;
        self.files.tile(tile)
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

/// A clock that requests move on.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU64>);

impl Counted {
    fn limits(&self) -> Limits {
        let seconds = self.0.clone();
        Limits { elapsed: Arc::new(move || Duration::from_secs(seconds.load(Ordering::SeqCst))), ..Limits::default() }
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

/// A log of which no copies are made, with trees that need its tiles; each with its name.
fn plain() -> (Sim, Log) {
    let sim = Sim::of(LogSettings { kind: LogKind::Plain, ..settings() }, Desk::default());
    let mut log = Log::with_agents().0;
    while log.next() < 600 {
        log.push_raw(log.next().to_be_bytes().to_vec());
    }
    (sim, log)
}

pub(crate) fn handed(log: &Log, size: u64, root: Hash) -> (String, Vec<u8>) {
    let mut files = log.files();
    files.sign(ORIGIN, LOG_KEY, size, root);
    let note = SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap();
    (size.to_string(), TlogProof::new(None, LeafIndex::new(0), Vec::new(), note).unwrap().to_string().into_bytes())
}

fn honest(log: &Log, size: u64) -> (String, Vec<u8>) {
    handed(log, size, root(&log.leaves()[..size as usize]))
}

fn refused() -> io::Result<()> {
    Err(io::ErrorKind::ConnectionReset.into())
}

/// A tree of which the tiles are not to be had keeps no other from being compared: after the first failure the rest waits,
/// and comes first in the next round.
#[test]
fn after_a_failure_nothing_more_is_asked() {
    let (mut sim, log) = plain();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let files = Asked::of(&log, |path| if path.starts_with("tile/0/000") { refused() } else { Ok(()) });
    let waiting = [honest(&log, 100), honest(&log, 130), handed(&log, 520, Hash::from_bytes([1; 32]))];
    sim.round_with(&log.files(), Vec::new());
    // They are handed in while nothing is served.
    let gone = Asked::of(&log, |path| if path == "checkpoint" { Ok(()) } else { refused() });
    sim.hand_in(&gone, waiting.to_vec());
    assert_eq!(gone.count(), 1, "of three trees that wait the first was asked for");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(sim.round_of(&files));
        assert!(files.count() <= 4, "one tree, or the one that is there and one more");
    }
    let broken: Vec<_> = told.iter().filter(|report| report.kind == Kind::PromiseBroken).collect();
    assert_eq!(broken.len(), 1, "{told:#?}");
    check_under_log_key(&sim.evidence(broken[0]));
    assert!(kinds(&sim.round(&log.files())).contains(&Kind::Resolved));
}

/// A log that answers slowly, with more trees that wait than there is time for in a round: each has its turn.
#[test]
fn what_there_is_no_time_for_waits() {
    const REQUEST: Duration = Duration::from_mins(2);
    let (mut sim, log) = plain();
    sim.round(&log.files());
    let time = Counted::default();
    sim.monitor.limit(time.limits());
    let passes = time.clone();
    let files = Asked::of(&log, move |path| {
        passes.pass(if path == "checkpoint" { Duration::ZERO } else { REQUEST });
        Ok(())
    });
    let mut waiting: Vec<_> = (520..540).map(|size| honest(&log, size)).collect();
    waiting.push(handed(&log, 550, Hash::from_bytes([1; 32])));
    let mut told = sim.hand_in(&files, waiting);
    let mut rounds = 1;
    while !kinds(&told).contains(&Kind::PromiseBroken) {
        let before = time.0.load(Ordering::SeqCst);
        told.extend(sim.round_of(&files));
        let took = Duration::from_secs(time.0.load(Ordering::SeqCst) - before);
        assert!(took <= MAX_PART_TIME + 2 * REQUEST, "{took:?}");
        rounds += 1;
        assert!(rounds <= 40, "{told:#?}");
    }
    assert!(rounds > 3, "{rounds}");
}

/// A replay that is cut off has more time in the next round.
#[test]
fn a_replay_that_is_cut_off_comes_to_its_end() {
    let (log, _, _) = Log::with_agents();
    let mut sim = Sim::new();
    let time = Counted::default();
    sim.monitor.limit(time.limits());
    let files = Asked::of(&log, move |_| {
        time.pass(Duration::from_mins(5));
        Ok(())
    });
    let report = only(sim.round_of(&files), Kind::Unreachable);
    assert!(report.text.contains("too slowly"), "{}", report.text);
    assert_eq!(sim.monitor.sizes().1.get(), 0);
    let mut rounds = 0;
    while sim.monitor.sizes().1.get() == 0 {
        sim.now += 700_000;
        let told = kinds(&sim.round_of(&files));
        assert!(!told.contains(&Kind::Withheld), "it answers all that it is asked: {told:?}");
        rounds += 1;
        assert!(rounds < 10);
    }
    assert!(rounds > 1, "it was cut off again");
    assert_eq!(sim.monitor.sizes().1.get(), 5);
}

/// What shows a fault has a time of its own: a replay that takes all of its time, in every round, keeps nobody from it.
#[test]
fn a_fault_is_shown_though_the_replay_is_cut_off() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.push_raw(vec![9; 3]);
    log.seal();
    for _ in 0..2_000 {
        log.act(&mut alpha);
    }
    log.seal();
    let time = Counted::default();
    sim.monitor.limit(time.limits());
    let files = Asked::of(&log, move |path| {
        let is_late = path.starts_with("tile/entries/") && !path.starts_with("tile/entries/000");
        time.pass(if is_late { MAX_REPLAY_TIME } else { Duration::ZERO });
        Ok(())
    });
    let reports = sim.round_of(&files);
    assert_eq!(sim.monitor.sizes().1.get(), 5, "it is cut off");
    let report = reports.iter().find(|report| report.kind == Kind::BadEntry);
    let evidence = sim.evidence(report.unwrap_or_else(|| panic!("{reports:#?}")));
    assert!(check_under_log_key(&evidence).to_string().contains("entry 5"));
    assert!(!kinds(&reports).contains(&Kind::Suspicion), "{reports:#?}");
}

fn followed(sim: Sim, source: Asked, witnesses: Box<dyn Witnesses>) -> Followed {
    Followed {
        monitor: sim.monitor,
        source: Box::new(source),
        witnesses,
        spool: Spool::default(),
        interval: Duration::from_secs(1),
        desk: sim.desk,
        limits: Limits::default(),
    }
}

/// One round of the loop, with what it tells.
fn once(log: Followed, stop: &Stop, now: u64, told: impl Fn(&Report)) -> Vec<Report> {
    let reports = Mutex::new(Vec::new());
    let sink = |report: &Report| {
        told(report);
        reports.lock().unwrap().push(report.clone());
        Ok(())
    };
    run(log, &sink, &Board::default(), stop, true, &|| UnixMillis::new(now)).unwrap();
    reports.into_inner().unwrap()
}

/// A monitor that makes one round makes as many as it takes to look at all evidence that it finds.
#[test]
fn all_evidence_is_looked_at_also_once() {
    let (log, _, _) = Log::with_agents();
    let sim = Sim::new();
    for at in 0..300 {
        sim.store.write(&format!("evidence/bad_entry-{at:016x}.evidence"), &[b"nothing"]).unwrap();
    }
    let now = sim.now;
    let log = followed(sim, Asked::of(&log, |_| Ok(())), Box::new(crate::Shown::default()));
    let reports = once(log, &Stop::default(), now, |_| ());
    let report = only(reports, Kind::Restored);
    assert!(report.text.starts_with("300 files"), "{}", report.text);
}

/// Waits until something was told. It does not come to the limit but where the test fails.
fn until_told(told: &Mutex<mpsc::Receiver<()>>) -> io::Result<()> {
    let told = told.lock().unwrap().recv_timeout(Duration::from_mins(1));
    told.map_err(|_| io::Error::other("nothing was told meanwhile"))
}

/// The first tile is served once the report of a step before was told.
#[test]
fn reports_are_told_before_the_round_is_over() {
    let (log, _, _) = Log::with_agents();
    let sim = with_witness();
    let now = sim.now;
    let (sender, told) = mpsc::channel();
    let (told, first) = (Mutex::new(told), Mutex::new(true));
    let source = Asked::of(&log, move |path| {
        if path != "checkpoint" && core::mem::take(&mut *first.lock().unwrap()) { until_told(&told) } else { Ok(()) }
    });
    let log = followed(sim, source, Box::new(crate::Shown::default()));
    let reports = once(log, &Stop::default(), now, |report| {
        if report.kind == Kind::Quorum {
            sender.send(()).unwrap();
        }
    });
    assert_eq!(kinds(&reports), [Kind::WitnessDown, Kind::Quorum], "and all of it was read: {reports:#?}");
}

struct Shows(Vec<u8>);

impl Witnesses for Shows {
    fn checkpoint(&self, _: &str, _: &Origin) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.clone()))
    }
}

/// The log does not answer before it was told that a witness has seen another history.
#[test]
fn witnesses_are_compared_while_the_log_does_not_answer() {
    let (mut one, other) = two_histories();
    one.seal_after_acts(3);
    let mut sim = with_witness();
    let mut files = one.files();
    cosign(&mut files, sim.now / 1000);
    sim.round(&files);
    let mut hidden = other.files();
    let note = cosign(&mut hidden, sim.now / 1000);
    let (store, policy, now) = (sim.store.clone(), sim.settings.policy.clone(), sim.now);
    let (sender, told) = mpsc::channel();
    let told = Mutex::new(told);
    let source =
        Asked::of(&one, move |path| if path == "checkpoint" { until_told(&told).and(refused()) } else { refused() });
    let reports = once(followed(sim, source, Box::new(Shows(note))), &Stop::default(), now, |report| {
        if report.kind == Kind::WitnessDisagrees {
            sender.send(()).unwrap();
        }
    });
    let report = reports.iter().find(|report| report.kind == Kind::WitnessDisagrees).unwrap();
    let unreachable = reports.iter().find(|report| report.kind == Kind::Unreachable).unwrap();
    assert!(!unreachable.text.contains("nothing was told meanwhile"), "{unreachable:?}");
    let evidence = soulchain::monitor::Store::read(&store, report.evidence.as_deref().unwrap()).unwrap().unwrap();
    let evidence = soulchain::verify::Evidence::parse(&evidence).unwrap();
    soulchain::verify::convict(&evidence, &policy).unwrap();
}

/// The end comes with the request that is under way, and nothing false is told of the log.
#[test]
fn the_end_waits_for_one_request() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.push_raw(vec![9]);
    log.act(&mut alpha);
    log.seal();
    let store = MemoryStore::default();
    let open = || LogMonitor::open(settings(), Arc::new(store.clone()), Arc::default()).unwrap();
    let whole = Asked::of(&log, |_| Ok(()));
    let sim = Sim::new();
    let now = sim.now;
    let tiles = {
        let mut sim = Sim::new();
        sim.round_of(&whole);
        whole.count()
    };
    assert!(tiles > 3, "there is something to ask for: {tiles}");
    for last in 1..tiles {
        let (stop, asked) = (Stop::default(), Arc::new(AtomicU32::new(0)));
        let (stops, counts) = (stop.clone(), asked.clone());
        let source = Asked::of(&log, move |path| {
            if path != "checkpoint" && counts.fetch_add(1, Ordering::SeqCst) + 1 == last {
                stops.set();
            }
            Ok(())
        });
        let sim = Sim { monitor: open(), ..Sim::new() };
        let reports = once(followed(sim, source, Box::new(crate::Shown::default())), &stop, now, |_| {});
        assert!(reports.iter().all(|report| report.kind == Kind::BadEntry), "{reports:#?}");
        // One that is asked for beside it may be under way.
        assert!(asked.load(Ordering::SeqCst) <= last + 1, "{last} of {tiles}");
    }
}

/// All attempts of a request together have no more than the time that it has.
#[test]
fn a_request_has_a_time() {
    // Connections wait to be accepted for ever.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let source = HttpSource::within(&url, Duration::from_millis(50)).unwrap();
    let tile = TileId::parse_path("tile/0/000").unwrap();
    for error in [source.checkpoint().unwrap_err(), source.tile(tile).unwrap_err()] {
        assert!(matches!(&error, SourceError::Io(_, why) if why.kind() == io::ErrorKind::TimedOut), "{error}");
    }
}

/// Answers once something has changed at the desk.
struct AfterTheDesk(Mutex<tokio::sync::watch::Receiver<()>>);

impl Witnesses for AfterTheDesk {
    fn checkpoint(&self, _: &str, _: &Origin) -> Result<Option<Vec<u8>>, String> {
        let mut changes = self.0.lock().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // It does not come to the limit but where the test fails.
        let changed = async { tokio::time::timeout(Duration::from_mins(1), changes.changed()).await.is_ok() };
        Err(if runtime.block_on(changed) { "it is away" } else { "nothing was cosigned meanwhile" }.into())
    }
}

/// A witness that does not answer does not hold up the cosignature.
#[test]
fn what_is_replayed_is_cosigned_before_all_witnesses_have_answered() {
    let (log, _, _) = Log::with_agents();
    let mut files = log.files();
    let settings = with_witness().settings;
    let sim = Sim::of(settings, Desk::new(Some(crate::cosigning::cosigner())));
    cosign(&mut files, sim.now / 1000);
    let (desk, now) = (sim.desk.clone(), sim.now);
    let witnesses = AfterTheDesk(Mutex::new(desk.changes()));
    let source = Asked { files, ..Asked::of(&log, |_| Ok(())) };
    let reports = once(followed(sim, source, Box::new(witnesses)), &Stop::default(), now, |_| {});
    let down = only(reports, Kind::WitnessDown);
    assert!(down.text.contains("it is away"), "{}", down.text);
    let hash = soulchain::encoding::hex_encode(&Origin::parse(ORIGIN).unwrap().hash());
    assert!(desk.checkpoint(&hash).is_some());
}

/// A round that lasts: what is offered and signed meanwhile has the time that the clock shows then.
#[test]
fn what_is_new_is_not_ahead_of_the_clock() {
    const LASTS: Duration = Duration::from_mins(20);
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::of(settings(), Desk::new(Some(crate::cosigning::cosigner())));
    sim.round(&log.files());
    let time = Counted::default();
    sim.monitor.limit(time.limits());
    log.time = sim.now + 1000 * (LASTS.as_secs() - 60);
    log.act(&mut alpha);
    log.seal();
    let files = Asked::of(&log, move |path| {
        time.pass(if path == "checkpoint" { LASTS } else { Duration::ZERO });
        Ok(())
    });
    assert_eq!(kinds(&sim.round_of(&files)), []);
    let hash = soulchain::encoding::hex_encode(&Origin::parse(ORIGIN).unwrap().hash());
    let shown = SignedCheckpoint::parse(sim.desk.checkpoint(&hash).unwrap().as_bytes()).unwrap();
    let key = soulchain::tlog::NoteVerifier::new(crate::cosigning::cosigner().vkey().clone()).unwrap();
    let note = shown.note();
    let signed = note.signatures().iter().find_map(|line| key.verify(note.text(), line)).unwrap();
    assert_eq!(signed.time().unwrap().get(), sim.now / 1000 + LASTS.as_secs());
}
