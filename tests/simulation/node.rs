//! The machine that a log runs on: its process, what ends it, and what it finds when it starts again.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use soulchain::witness::{Contradiction, Feeder, Pace};
use tokio::task::JoinHandle;

use crate::engine::Disks;
use crate::history::History;
use crate::judge::Count;
use crate::net::{Ctx, Party};
use crate::operator::{Given, JOURNAL, Log, Served, policy};
use crate::random::Random;
use crate::witness::{Host, Remote, drawn_plan};

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
    disks: Disks,
    running: Option<Running>,
    up_at: u64,
    lives: u64,
    random: Random,
    /// Disks, and the batches that are on them at most.
    backup: Option<(Disks, Vec<u8>)>,
    /// What it was given, if it is honest.
    given: Arc<Mutex<Given>>,
    /// How many more batches somebody will write.
    batches: Arc<Mutex<u64>>,
    /// Whether an operation of its disk is to go wrong.
    is_harmed: bool,
}

struct Running {
    log: Log,
    feeder: JoinHandle<Result<(), Contradiction>>,
    writer: JoinHandle<()>,
}

impl Running {
    fn end(self) {
        self.feeder.abort();
        self.writer.abort();
        self.log.close();
    }
}

impl Node {
    pub(crate) fn new(ctx: &Ctx, party: Party, witnesses: &[Host], word: &[u8], batches: u64) -> Self {
        let history = History::of(word);
        let given = Given { word: word.to_vec(), acknowledged: history.size() };
        Self::on(Disks::with(&history), ctx, party, witnesses, given, batches)
    }

    fn on(disks: Disks, ctx: &Ctx, party: Party, witnesses: &[Host], given: Given, batches: u64) -> Self {
        let random = ctx.random(&format!("{party:?}"));
        let (batches, given) = (Arc::new(Mutex::new(batches)), Arc::new(Mutex::new(given)));
        let inner = NodeState {
            disks,
            running: None,
            up_at: 0,
            lives: 0,
            random,
            backup: None,
            given,
            batches,
            is_harmed: false,
        };
        let inner = Arc::new(Mutex::new(inner));
        Self { ctx: ctx.clone(), party, witnesses: witnesses.to_vec(), is_byzantine: false, inner }
    }

    /// One that goes on whatever its witnesses say.
    pub(crate) fn byzantine(ctx: &Ctx, party: Party, witnesses: &[Host], word: &[u8], batches: u64) -> Self {
        let disks = Disks::empty();
        disks.journal.poke(JOURNAL, Some(word.to_vec()));
        Self { is_byzantine: true, ..Self::on(disks, ctx, party, witnesses, Given::default(), batches) }
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
        self.inner().disks.journal.poke(JOURNAL, Some(history.word.clone()));
        self.ctx.trace(format_args!("{:?} has {} entries", self.party, history.size()));
        if let Some(log) = self.log() {
            log.jump_to(&history);
        }
    }

    /// What a byzantine one has, running or not.
    pub(crate) fn history(&self) -> Arc<History> {
        History::of(&self.inner().disks.journal.peek(JOURNAL).unwrap())
    }

    /// Looks after the process.
    pub(crate) fn keep(&self) {
        let is_over = self.inner().running.as_ref().is_some_and(|running| {
            running.log.is_over() || running.writer.is_finished() || (self.is_byzantine && running.feeder.is_finished())
        });
        if is_over {
            let is_dead = self.inner().disks.journal.is_dead();
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
        let opened = if self.is_byzantine {
            Log::open_byzantine(&self.ctx, self.party, &inner.disks.journal)
        } else {
            Log::open(&self.ctx, &inner.disks, &inner.given)
        };
        let log = match opened {
            Ok(log) => log,
            Err(why) => {
                if !inner.is_harmed {
                    self.ctx.judge().wrong(format!("{:?} does not open: {why}", self.party));
                }
                drop(inner);
                return self.crash(true);
            }
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
        inner.up_at = self.ctx.millis() + inner.random.within(10, 8_000);
        let inner = &mut *inner;
        inner.disks = inner.disks.after(&self.ctx, has_lost_power, &mut inner.random);
        inner.is_harmed = false;
        if let Some(running) = inner.running.take() {
            running.end();
        }
    }

    /// Ends its threads.
    pub(crate) fn close(&self) {
        if let Some(running) = self.inner().running.take() {
            running.end();
        }
    }

    pub(crate) fn harm(&self) {
        let mut inner = self.inner();
        let plan = drawn_plan(&mut inner.random);
        self.ctx.trace(format_args!("{:?}: {plan:?}", self.party));
        inner.is_harmed = true;
        inner.disks.journal.plan(Some(plan));
    }

    pub(crate) fn has_backup(&self) -> bool {
        self.inner().backup.is_some()
    }

    pub(crate) fn back_up(&self) {
        let mut inner = self.inner();
        let word = inner.given.lock().unwrap().word.clone();
        inner.backup = Some((inner.disks.copy(), word));
    }

    /// Its operator restores the backup, and forgets that there was something later.
    pub(crate) fn restore(&self) {
        let Some((backup, word)) = self.inner().backup.take() else { return };
        self.crash(false);
        self.ctx.count(Count::Restored);
        self.ctx.judge().is_forgetful = true;
        self.ctx.trace(format_args!("{:?} is restored from a backup", self.party));
        let mut inner = self.inner();
        inner.disks = backup;
        *inner.given.lock().unwrap() = Given { word, acknowledged: 0 };
    }

    pub(crate) fn calm(&self) {
        if self.inner().disks.journal.is_dead() {
            self.crash(true);
        }
        let mut inner = self.inner();
        inner.disks.journal.plan(None);
        (inner.up_at, inner.is_harmed) = (0, false);
    }
}
