//! A log on doubles, and everything that it ever told anyone.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use soulchain::clock::ManualClock;
use soulchain::hash::Hash;
use soulchain::log::{
    Committed, Engine, EraseError, LogView, Machine, OpenError, Options, Recovery, SideBody, Sign, Storage,
    SubmitError, create, open,
};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::storage::{ChecksumKey, FileBlobs, FileJournal, StorageError};

use super::disk::{Plan, SimDisk, Survivors};
use super::rules::{DidNotGrow, Line, Rules, SimViews};

/// A segment in which a few small frames find room, beside what is kept free for a seal.
pub(crate) const SMALL_SEGMENT: u64 = 80 << 10;

/// What a log stands on.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) views: SimViews,
    pub(crate) segment_len: u64,
    pub(crate) options: Options,
}

impl World {
    pub(crate) fn new(segment_len: u64) -> Self {
        let disk = SimDisk::default();
        let views = SimViews::new(&disk);
        // No flushes but those that a test orders, and those of closing.
        let options = Options { flush_after: Duration::from_hours(1), ..Options::default() };
        Self { disk, views, segment_len, options }
    }

    /// A world with an empty log.
    pub(crate) fn created(segment_len: u64) -> Self {
        let world = Self::new(segment_len);
        create(&world.storage()).unwrap();
        world.disk.plan(None);
        world
    }

    pub(crate) fn storage(&self) -> Storage {
        let disk = Arc::new(self.disk.clone());
        Storage {
            blobs: Arc::new(FileBlobs::new(disk.clone())),
            journal: Box::new(FileJournal::new(disk, ChecksumKey::new([7; 32]), self.segment_len)),
            views: Arc::new(self.views.clone()),
        }
    }

    pub(crate) fn open(&self) -> Result<(Engine<Rules>, Recovery), OpenError> {
        self.open_with(Rules::default())
    }

    pub(crate) fn open_with<M: Machine>(&self, machine: M) -> Result<(Engine<M>, Recovery), OpenError> {
        open(machine, self.storage(), signer(), Arc::new(ManualClock::default()), self.options)
    }

    /// The process has died and another begins.
    pub(crate) fn copy(&self) -> Self {
        let disk = self.disk.copy();
        Self { views: self.views.copy(&disk), disk, ..*self }
    }

    pub(crate) fn after_power_loss(&self, survivors: Survivors) -> Self {
        let disk = self.disk.after_power_loss(survivors);
        Self { views: self.views.after_power_loss(&disk, survivors), disk, ..*self }
    }

    pub(crate) fn plan(&self, plan: Plan) -> &Self {
        self.disk.plan(Some(plan));
        self
    }
}

/// What stands for a signed checkpoint.
pub(crate) fn note(size: TreeSize, root: &Hash) -> Vec<u8> {
    format!("log.example\n{size}\n{root}\n\nsigned\n").into_bytes()
}

pub(crate) fn signer() -> Sign {
    Arc::new(note)
}

/// An entry of which somebody was told that it is logged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) index: u64,
    pub(crate) entry: Vec<u8>,
    pub(crate) body: Option<SideBody>,
}

/// Everything that a log told anyone: what no later state may contradict.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) entries: Vec<Acknowledged>,
    /// Sizes and roots of checkpoints.
    pub(crate) heads: Vec<(TreeSize, Hash)>,
    /// The newest published checkpoint.
    pub(crate) published: TreeSize,
    /// By index: bodies that were to be erased.
    pub(crate) erasures: BTreeMap<u64, Erasure>,
}

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erasure {
    /// It may have happened.
    Ordered,
    /// It is done.
    Answered,
}

impl Told {
    /// Submits a group and waits; what comes back is what was told.
    pub(crate) fn append(&mut self, engine: &Engine<Rules>, group: &[Line]) -> Result<u64, SubmitError<DidNotGrow>> {
        let committed = engine.submit(group.to_vec())?.blocking_answer()?;
        Ok(self.acknowledge(group, &committed))
    }

    pub(crate) fn acknowledge(&mut self, group: &[Line], committed: &Committed<Rules>) -> u64 {
        let first = committed.answer.get();
        self.see(&committed.view);
        for (index, line) in (first..).zip(group) {
            self.entries.push(Acknowledged { index, entry: line.entry(), body: line.side_body() });
        }
        first
    }

    /// Erases the body beside an entry that was acknowledged; where it was not, nothing.
    pub(crate) fn erase(&mut self, engine: &Engine<Rules>, line: &Line) -> Result<(), EraseError> {
        let entry = line.entry();
        let Some(acknowledged) = self.entries.iter().find(|told| told.entry == entry) else { return Ok(()) };
        let index = acknowledged.index;
        self.erasures.entry(index).or_insert(Erasure::Ordered);
        block_on(engine.erase(LeafIndex::new(index)))?;
        self.erasures.insert(index, Erasure::Answered);
        Ok(())
    }

    pub(crate) fn see<S>(&mut self, view: &LogView<S>) {
        self.heads.push((view.size(), view.root()));
    }

    pub(crate) fn publish(&mut self, engine: &Engine<Rules>) -> Result<(), StorageError> {
        let view = engine.view();
        let result = block_on(engine.publish(&view, note(view.size(), &view.root())));
        if let Some(published) = engine.published() {
            assert!(published.size >= self.published, "what is published never goes back");
            self.published = published.size;
            self.heads.push((published.size, published.root));
        }
        result.map(|()| assert!(self.published >= view.size(), "who is told that it is published can see it"))
    }
}

/// Runs a future on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

/// `key` with a number, once.
pub(crate) fn one(key: &str, value: u64) -> Vec<Line> {
    vec![Line::new(key, value)]
}
