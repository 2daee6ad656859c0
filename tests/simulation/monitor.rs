//! The monitor: the real rounds, with their store on a simulated disk.
//!
//! A round asks without a runtime, so it happens at one moment; the threads of its replay end within it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use soulchain::audit::{Source, SourceError, TileBytes};
use soulchain::encoding::UnixMillis;
use soulchain::monitor::{Desk, LogKind, LogMonitor, LogSettings, Store, WatchList, Witnesses, World};
use soulchain::storage::Disk;
use soulchain::tlog::{Origin, Policy, SignedCheckpoint, TileId};

use crate::disk::SimDisk;
use crate::judge::{Count, Tree};
use crate::net::{Ctx, Party, Slot};
use crate::operator::origin;
use crate::random::Random;
use crate::shown::Operator;
use crate::witness::{after, drawn_plan};
use crate::world::Shows;

/// A machine with a monitor on it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watch {
    ctx: Ctx,
    operator: Operator,
    shows: Shows,
    policy: Policy,
    inner: Arc<Mutex<WatchState>>,
}

struct WatchState {
    disk: SimDisk,
    monitor: Option<LogMonitor>,
    up_at: u64,
    random: Random,
    is_calm: bool,
    /// Whether an operation of the disk is to go wrong.
    is_harmed: bool,
}

/// Values on a disk, each replaced as `DirStore` does it.
struct DiskStore(SimDisk);

impl Store for DiskStore {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match Disk::read(&self.0, name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let temporary = format!("{name}.new");
        let mut file = self.0.open(&temporary)?;
        file.truncate(0)?;
        file.write_at(0, &parts.concat())?;
        file.sync()?;
        self.0.rename(&temporary, name)?;
        self.0.sync_dir(name.rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.new");
        let mut file = self.0.open(&temporary)?;
        file.truncate(0)?;
        file.write_at(0, bytes)?;
        self.0.rename(&temporary, name)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        Disk::list(&self.0, folder)
    }

    fn place(&self, name: &str) -> String {
        name.into()
    }
}

/// What witnesses and the mirror show in a round; each answers or does not.
struct Answers<'a> {
    watch: &'a Watch,
    heard: Mutex<Vec<Tree>>,
}

impl Witnesses for Answers<'_> {
    fn checkpoint(&self, prefix: &str, origin: &Origin) -> Result<Option<Vec<u8>>, String> {
        let (party, shown) = self.watch.shows.checkpoint(prefix, origin);
        let shown = shown.map_err(|()| "nobody is there")?;
        if !self.watch.ctx.reaches(Party::Monitor, party) {
            return Err("no answer".into());
        }
        self.heard.lock().unwrap().extend(shown.as_deref().and_then(|note| tree(note.as_bytes())));
        Ok(shown.map(String::into_bytes))
    }

    /// In their order: a seed decides everything.
    fn at_once(&self) -> usize {
        1
    }
}

/// Nobody is there.
pub(crate) struct Away;

impl Source for Away {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Io("log".into(), io::ErrorKind::NotConnected.into()))
    }

    fn tile(&self, _: TileId) -> Result<TileBytes, SourceError> {
        Err(SourceError::Io("log".into(), io::ErrorKind::NotConnected.into()))
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

/// The tree of a checkpoint.
pub(crate) fn tree(note: &[u8]) -> Option<Tree> {
    let note = SignedCheckpoint::parse(note).ok()?;
    Some((note.claim().size().get(), note.claim().root()))
}

impl Watch {
    /// A monitor by this policy.
    pub(crate) fn new(ctx: &Ctx, operator: &Operator, shows: &Shows, policy: Policy) -> Self {
        let random = ctx.random("monitor");
        let inner =
            WatchState { disk: SimDisk::default(), monitor: None, up_at: 0, random, is_calm: false, is_harmed: false };
        let inner = Arc::new(Mutex::new(inner));
        Self { ctx: ctx.clone(), operator: operator.clone(), shows: shows.clone(), policy, inner }
    }

    fn inner(&self) -> MutexGuard<'_, WatchState> {
        self.inner.lock().unwrap()
    }

    /// Rounds, for ever.
    pub(crate) async fn run(self) {
        loop {
            self.ctx.sleep(Slot::Own(Party::Monitor), 2_000).await;
            self.turn();
        }
    }

    fn turn(&self) {
        let mut inner = self.inner();
        if inner.monitor.is_none() && inner.up_at <= self.ctx.millis() {
            inner.monitor = self.open(&inner);
            if inner.disk.is_dead() {
                drop(inner);
                return self.crash();
            }
        }
        let WatchState { disk, monitor, random, is_calm, .. } = &mut *inner;
        let Some(monitor) = monitor else { return };
        let is_kept = self.round(monitor, disk);
        // It may die after it has told something, and before it has noted that.
        let is_told = is_kept && (*is_calm || !random.permille(20)) && monitor.told().is_ok();
        if !is_told {
            drop(inner);
            self.crash();
        }
    }

    fn open(&self, inner: &WatchState) -> Option<LogMonitor> {
        let settings = LogSettings {
            origin: origin(),
            policy: self.policy.clone(),
            instant_keys: Vec::new(),
            kind: LogKind::Soulchain,
            stale_seconds: 60,
            patience_seconds: 60,
            watch: WatchList::default(),
            threads: 1,
        };
        let store = Arc::new(DiskStore(inner.disk.clone()));
        match LogMonitor::open(settings, store, Arc::new(Desk::default())) {
            Ok(monitor) => Some(monitor),
            Err(error) if !inner.is_harmed => {
                self.ctx.judge().wrong(format!("the monitor does not open: {error}"));
                None
            }
            Err(_) => None,
        }
    }

    /// One round; false where its state could not be kept.
    fn round(&self, monitor: &mut LogMonitor, disk: &SimDisk) -> bool {
        let view = self.operator.show(Party::Monitor);
        let source: &dyn Source = view.as_ref().map_or(&Away, |view| view);
        let answers = Answers { watch: self, heard: Mutex::default() };
        let now = UnixMillis::new(self.ctx.seconds() * 1000);
        let world = World { source, witnesses: &answers, promises: Vec::new(), now };
        if let Err(error) = monitor.round(&world) {
            self.ctx.trace(format_args!("the monitor's round fails: {error}"));
            return false;
        }
        if disk.is_dead() {
            return false;
        }
        let store = DiskStore(disk.clone());
        let mut judge = self.ctx.judge();
        let shown = view.as_ref().and_then(|view| tree(view.note.to_string().as_bytes()));
        if let Some(tree) = shown {
            judge.shown(tree);
        }
        answers.heard.into_inner().unwrap().into_iter().for_each(|tree| judge.heard(tree));
        for report in monitor.reports() {
            let millis = self.ctx.millis();
            judge.trace(millis, format_args!("monitor: {} {}", report.kind, report.text));
            let evidence = report.evidence.as_ref().map(|name| store.read(name).ok().flatten().unwrap_or_default());
            judge.reported(report, evidence.as_deref(), &self.policy);
        }
        true
    }

    /// The process ends, and the power goes.
    pub(crate) fn crash(&self) {
        let mut inner = self.inner();
        self.ctx.count(Count::MonitorCrash);
        self.ctx.trace(format_args!("the monitor dies"));
        inner.monitor = None;
        inner.is_harmed = false;
        inner.up_at = self.ctx.millis() + inner.random.within(10, 8_000);
        inner.disk = after(&self.ctx, &inner.disk.clone(), true, &mut inner.random);
    }

    pub(crate) fn harm(&self) {
        let mut inner = self.inner();
        let plan = drawn_plan(&mut inner.random);
        self.ctx.trace(format_args!("monitor: {plan:?}"));
        inner.is_harmed = true;
        inner.disk.plan(Some(plan));
    }

    pub(crate) fn calm(&self) {
        if self.inner().disk.is_dead() {
            self.crash();
        }
        let mut inner = self.inner();
        inner.disk.plan(None);
        (inner.up_at, inner.is_calm, inner.is_harmed) = (0, true, false);
    }

    /// The files of evidence that it has.
    pub(crate) fn evidence(&self) -> Vec<Vec<u8>> {
        let disk = self.inner().disk.clone();
        let names = disk.list("evidence").unwrap().into_iter().filter(|name| name.ends_with(".evidence"));
        names.map(|name| Disk::read(&disk, &format!("evidence/{name}")).unwrap()).collect()
    }

    /// What it has seen of the log, and how much it has replayed.
    pub(crate) fn sizes(&self) -> Option<(u64, u64)> {
        let inner = self.inner();
        inner.monitor.as_ref().map(|monitor| (monitor.sizes().0.get(), monitor.sizes().1.get()))
    }
}
