//! The machine that a log runs on: its process, what ends it, and what it finds when it starts again.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use soulchain::witness::{Contradiction, Feeder, Pace};
use tokio::task::JoinHandle;

use crate::disk::SimDisk;
use crate::history::History;
use crate::judge::Count;
use crate::net::{Ctx, Party};
use crate::operator::{JOURNAL, Log, Served, policy};
use crate::random::Random;
use crate::witness::{Host, Remote, after, drawn_plan};

const PACE: Pace = Pace {
    interval: Duration::from_secs(1),
    refresh: Duration::from_secs(10),
    patience: Duration::from_secs(5),
    grace: Duration::from_millis(200),
};

/// A machine with a log on it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Node {
    ctx: Ctx,
    party: Party,
    witnesses: Vec<Host>,
    /// Whether it goes on where a witness has told it not to.
    is_byzantine: bool,
    inner: Arc<Mutex<NodeState>>,
}

struct NodeState {
    disk: SimDisk,
    running: Option<Running>,
    up_at: u64,
    lives: u64,
    random: Random,
    backup: Option<SimDisk>,
    /// How many more batches somebody will write.
    batches: Arc<Mutex<u64>>,
}

struct Running {
    log: Log,
    feeder: JoinHandle<Result<(), Contradiction>>,
    writer: JoinHandle<()>,
}

impl Node {
    pub(crate) fn new(ctx: &Ctx, party: Party, witnesses: &[Host], word: &[u8], batches: u64) -> Self {
        let disk = SimDisk::default();
        disk.poke(JOURNAL, Some(word.to_vec()));
        let random = ctx.random(&format!("{party:?}"));
        let batches = Arc::new(Mutex::new(batches));
        let inner = NodeState { disk, running: None, up_at: 0, lives: 0, random, backup: None, batches };
        let inner = Arc::new(Mutex::new(inner));
        Self { ctx: ctx.clone(), party, witnesses: witnesses.to_vec(), is_byzantine: false, inner }
    }

    /// One that goes on whatever its witnesses say.
    pub(crate) fn byzantine(ctx: &Ctx, party: Party, witnesses: &[Host], word: &[u8], batches: u64) -> Self {
        Self { is_byzantine: true, ..Self::new(ctx, party, witnesses, word, batches) }
    }

    fn inner(&self) -> MutexGuard<'_, NodeState> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn log(&self) -> Option<Log> {
        self.inner().running.as_ref().map(|running| running.log.clone())
    }

    /// What it serves; nothing where it is down.
    pub(crate) fn served(&self) -> Option<Served> {
        self.log()?.served()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.log().is_some_and(|log| log.is_stopped())
    }

    pub(crate) fn stop_writing(&self) {
        *self.inner().batches.lock().unwrap() = 0;
    }

    /// A byzantine log writes so much at once that it is larger than this.
    pub(crate) fn grow_beyond(&self, size: u64) {
        let mut history = self.history();
        while history.size() <= size {
            history = history.with(1);
        }
        self.inner().disk.poke(JOURNAL, Some(history.word.clone()));
        self.ctx.trace(format_args!("{:?} has {} entries", self.party, history.size()));
        if let Some(log) = self.log() {
            log.jump_to(&history);
        }
    }

    /// What it has, running or not.
    pub(crate) fn history(&self) -> Arc<History> {
        History::of(&self.inner().disk.peek(JOURNAL).unwrap())
    }

    /// Looks after the process.
    pub(crate) fn keep(&self) {
        let is_over = self.inner().running.as_ref().is_some_and(|running| {
            running.log.disk().is_dead()
                || running.writer.is_finished()
                || (self.is_byzantine && running.feeder.is_finished())
        });
        if is_over {
            let is_dead = self.inner().disk.is_dead();
            self.crash(is_dead);
        }
        let is_due = {
            let inner = self.inner();
            inner.running.is_none() && inner.up_at <= self.ctx.millis()
        };
        if is_due {
            self.start();
        }
    }

    fn start(&self) {
        let mut inner = self.inner();
        let Ok(log) = Log::open(&self.ctx, self.party, &inner.disk) else {
            drop(inner);
            return self.crash(true);
        };
        self.ctx.trace(format_args!("{:?} starts with {} entries", self.party, log.history().size()));
        let policy = policy();
        let reached = policy.witnesses().iter().zip(&self.witnesses).map(|(witness, host)| {
            let keys = vec![(witness.name().clone(), witness.verifier().clone())];
            (Remote { host: host.clone(), from: self.party }, keys)
        });
        let (feeder, _) = Feeder::start(log.clone(), reached.collect(), policy.quorum().clone(), PACE);
        inner.lives += 1;
        let random = self.ctx.random(&format!("writes of {:?} {}", self.party, inner.lives));
        let writer = tokio::spawn(log.clone().write(random, Arc::clone(&inner.batches)));
        inner.running = Some(Running { log, feeder: tokio::spawn(feeder.run()), writer });
    }

    pub(crate) fn crash(&self, has_lost_power: bool) {
        let mut inner = self.inner();
        self.ctx.count(Count::LogCrash);
        self.ctx.trace(format_args!("{:?} dies, power loss: {has_lost_power}", self.party));
        if let Some(running) = inner.running.take() {
            running.feeder.abort();
            running.writer.abort();
        }
        inner.up_at = self.ctx.millis() + inner.random.within(10, 8_000);
        inner.disk = after(&self.ctx, &inner.disk.clone(), has_lost_power, &mut inner.random);
    }

    pub(crate) fn harm(&self) {
        let mut inner = self.inner();
        let plan = drawn_plan(&mut inner.random);
        self.ctx.trace(format_args!("{:?}: {plan:?}", self.party));
        inner.disk.plan(Some(plan));
    }

    pub(crate) fn has_backup(&self) -> bool {
        self.inner().backup.is_some()
    }

    pub(crate) fn back_up(&self) {
        let mut inner = self.inner();
        inner.backup = Some(inner.disk.copy());
    }

    /// Its operator restores the backup, and forgets that there was something later.
    pub(crate) fn restore(&self) {
        let Some(backup) = self.inner().backup.take() else { return };
        self.crash(false);
        self.ctx.count(Count::Restored);
        self.ctx.judge().is_forgetful = true;
        self.ctx.trace(format_args!("{:?} is restored from a backup", self.party));
        self.inner().disk = backup;
    }

    pub(crate) fn calm(&self) {
        if self.inner().disk.is_dead() {
            self.crash(true);
        }
        let mut inner = self.inner();
        inner.disk.plan(None);
        inner.up_at = 0;
    }
}
