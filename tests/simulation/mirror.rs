//! The mirror: the real follower over the real engine, on simulated disks.
//!
//! The engine has threads, so a round happens at one moment, beside the runtime, and is waited for. What it has taken is
//! durable when it ends; how far its flush has come is not, and nothing here looks at that. Its checkpoints lie on a disk of
//! their own, of which each operation is a function of the seed: there a round is broken off in the middle.

use std::sync::{Arc, Mutex, MutexGuard};

use soulchain::audit::{Source, SourceError, TileBytes};
use soulchain::clock::ManualClock;
use soulchain::encoding::UnixMillis;
use soulchain::log::{Options, Storage, create, follow};
use soulchain::mirror::{Follower, Mirror, Round, Trouble};
use soulchain::node::RegistryMachine;
use soulchain::storage::{ChecksumKey, FileBlobs, FileJournal, MemoryViews};
use soulchain::tlog::{Cosigner, KeyName, TileId};

use crate::disk::{SimDisk, Survivors};
use crate::judge::{Count, Tree};
use crate::log::log_id;
use crate::monitor::{Away, tree};
use crate::net::{Ctx, Party, Slot};
use crate::operator::{origin, policy};
use crate::random::Random;
use crate::shown::{Operator, View};
use crate::witness::{after, drawn_plan};

/// Room for the largest batch, and for what is kept free.
const SEGMENT_LEN: u64 = 512 << 10;

pub(crate) fn cosigner() -> Cosigner {
    Cosigner::from_seed(KeyName::parse("mirror.example/m").unwrap(), &[180; 32])
}

/// A machine with a mirror on it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Copy {
    ctx: Ctx,
    operator: Operator,
    inner: Arc<Mutex<CopyState>>,
}

struct CopyState {
    engine_disk: SimDisk,
    notes_disk: SimDisk,
    running: Option<Running>,
    up_at: u64,
    random: Random,
    /// The newest tree that it has cosigned.
    last: Option<Tree>,
    /// Whether an operation of the second disk is to go wrong.
    is_harmed: bool,
}

struct Running {
    mirror: Mirror<RegistryMachine>,
    follower: Follower<RegistryMachine>,
    window: Window,
    clock: Arc<ManualClock>,
}

/// What a follower reads: what is shown in this round.
#[derive(Clone, Default)]
struct Window(Arc<Mutex<Option<View>>>);

impl Window {
    fn look<T>(&self, look: impl FnOnce(&dyn Source) -> T) -> T {
        let view = self.0.lock().unwrap();
        look(view.as_ref().map_or(&Away as &dyn Source, |view| view))
    }
}

impl Source for Window {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.look(|source| source.checkpoint())
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        self.look(|source| source.tile(tile))
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

fn storage(disk: &SimDisk) -> Storage {
    let disk = Arc::new(disk.clone());
    Storage {
        blobs: Arc::new(FileBlobs::new(disk.clone())),
        journal: Box::new(FileJournal::new(disk, ChecksumKey::new([9; 32]), SEGMENT_LEN)),
        views: Arc::new(MemoryViews::default()),
    }
}

impl Copy {
    pub(crate) fn new(ctx: &Ctx, operator: &Operator) -> Self {
        let (engine_disk, notes_disk) = (SimDisk::default(), SimDisk::default());
        create(&storage(&engine_disk)).unwrap();
        let random = ctx.random("mirror");
        let inner =
            CopyState { engine_disk, notes_disk, running: None, up_at: 0, random, last: None, is_harmed: false };
        Self { ctx: ctx.clone(), operator: operator.clone(), inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, CopyState> {
        self.inner.lock().unwrap()
    }

    /// Follows for ever.
    pub(crate) async fn run(self) {
        loop {
            self.ctx.sleep(Slot::Own(Party::Mirror), 3_000).await;
            self.turn();
        }
    }

    fn turn(&self) {
        let mut inner = self.inner();
        if inner.running.is_none() && inner.up_at <= self.ctx.millis() {
            inner.running = self.open(&inner);
            if inner.notes_disk.is_dead() {
                drop(inner);
                return self.crash();
            }
        }
        let Some(running) = &inner.running else { return };
        running.clock.set(UnixMillis::new(self.ctx.seconds() * 1000));
        *running.window.0.lock().unwrap() = self.operator.show(Party::Mirror);
        // Its own runtime does not run within another.
        let done = std::thread::scope(|scope| scope.spawn(|| running.follower.round()).join().unwrap());
        let size = running.mirror.engine().view().size().get();
        let said = match &done {
            Ok(Round::UpToDate(_) | Round::Ahead(_)) => "up to date",
            Err(Trouble::Unreachable(_)) => "unreachable",
            Err(Trouble::Refused(why)) => why,
            Err(_) => "it is stopped",
        };
        self.ctx.trace(format_args!("the mirror has {size}: {said}"));
        if let Err(Trouble::Refused(_)) = done {
            self.ctx.count(Count::MirrorRefused);
        }
        self.look_at(&mut inner);
        if inner.notes_disk.is_dead() || matches!(done, Err(Trouble::Stopped(_))) {
            drop(inner);
            self.crash();
        }
    }

    /// What it has cosigned, which only grows.
    fn look_at(&self, inner: &mut CopyState) {
        let mirrored = inner.running.as_ref().and_then(|running| running.mirror.mirrored());
        let Some(new) = mirrored.and_then(|note| tree(note.to_string().as_bytes())) else { return };
        let mut judge = self.ctx.judge();
        if let Some(last) = inner.last
            && (new.0 < last.0 || !judge.go_together(last, new))
        {
            judge.wrong(format!("the mirror cosigned {new:?} after {last:?}"));
        }
        judge.mirrored(new);
        inner.last = Some(new);
    }

    fn open(&self, inner: &CopyState) -> Option<Running> {
        let opened = follow(RegistryMachine::new(log_id()), storage(&inner.engine_disk), Options::default());
        let (following, recovery) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.ctx.judge().wrong(format!("the copy does not open: {error}"));
                return None;
            }
        };
        self.ctx.trace(format_args!("the mirror starts with {} entries", recovery.size));
        let notes = Arc::new(inner.notes_disk.clone());
        let clock = Arc::new(ManualClock::default());
        match Mirror::over(following, origin(), policy(), Some(cosigner()), Arc::clone(&clock) as _, notes) {
            Ok(mirror) => {
                let window = Window::default();
                let follower = Follower::new(mirror.clone(), Box::new(window.clone())).unwrap();
                Some(Running { mirror, follower, window, clock })
            }
            Err(error) if !inner.is_harmed => {
                self.ctx.judge().wrong(format!("the mirror does not open: {error}"));
                None
            }
            Err(_) => None,
        }
    }

    /// The process ends, and the power goes.
    pub(crate) fn crash(&self) {
        let mut inner = self.inner();
        self.ctx.count(Count::MirrorCrash);
        self.ctx.trace(format_args!("the mirror dies"));
        // Threads of the engine may be at work on the old disk: what was not synced is gone, whatever it was.
        inner.engine_disk = inner.engine_disk.after_power_loss(Survivors::Nothing);
        inner.notes_disk = after(&self.ctx, &inner.notes_disk.clone(), true, &mut inner.random);
        inner.up_at = self.ctx.millis() + inner.random.within(10, 8_000);
        inner.is_harmed = false;
        end(inner.running.take());
    }

    pub(crate) fn harm(&self) {
        let mut inner = self.inner();
        let plan = drawn_plan(&mut inner.random);
        self.ctx.trace(format_args!("mirror: {plan:?}"));
        inner.is_harmed = true;
        inner.notes_disk.plan(Some(plan));
    }

    pub(crate) fn calm(&self) {
        if self.inner().notes_disk.is_dead() {
            self.crash();
        }
        let mut inner = self.inner();
        inner.notes_disk.plan(None);
        (inner.up_at, inner.is_harmed) = (0, false);
    }

    /// What is shown at `<origin hash>/checkpoint`; an error where nobody answers.
    pub(crate) fn shown(&self) -> Result<Option<String>, ()> {
        let inner = self.inner();
        let running = inner.running.as_ref().ok_or(())?;
        Ok(running.mirror.mirrored().map(|note| note.to_string()))
    }

    /// How much it has.
    pub(crate) fn size(&self) -> Option<u64> {
        self.inner().running.as_ref().map(|running| running.mirror.engine().view().size().get())
    }

    /// Ends its threads.
    pub(crate) fn close(&self) {
        end(self.inner().running.take());
    }
}

/// Ends its threads; beside the runtime, since a follower has one of its own.
fn end(running: Option<Running>) {
    let end = move || running.map(|running| running.mirror.engine().close());
    std::thread::scope(|scope| scope.spawn(end).join().unwrap());
}
