//! The log: the real feeder, over a double of the log itself.
//!
//! The engine has threads of its own and is not here. In its place is what the feeder needs to know of it: a journal of
//! batches on a simulated disk, of which a batch counts once it is synced; the published checkpoint, durable before it is
//! shown; writes that are refused before the witnesses have been asked. Trees, entries, tiles and signatures are real.
//!
//! A byzantine log is two such logs with one key: its histories part somewhere, and each is fed to the witnesses.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use soulchain::hash::Hash;
use soulchain::merkle::TreeSize;
use soulchain::storage::{Blobs as _, Disk, FileBlobs};
use soulchain::tlog::{
    Checkpoint, Ed25519Signer, KeyName, NoteVerifier, Origin, Policy, SignedCheckpoint, Vkey, sign_checkpoint,
};
use soulchain::witness::{Contradiction, Feeder, Head, NoReply, Pace, Source};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::disk::SimDisk;
use crate::history::History;
use crate::judge::Count;
use crate::log::{LOG_KEY, ORIGIN, vkey};
use crate::net::{Ctx, Party, Slot};
use crate::random::Random;
use crate::witness::{Host, Remote, after, cosigner, drawn_plan};

/// Batches, a byte each.
const JOURNAL: &str = "journal";
const PUBLISHED: &str = "published";
const PACE: Pace = Pace {
    interval: Duration::from_secs(1),
    refresh: Duration::from_secs(10),
    patience: Duration::from_secs(5),
    grace: Duration::from_millis(200),
};

pub(crate) fn origin() -> Origin {
    Origin::parse(ORIGIN).unwrap()
}

/// The log's key, and its witnesses, two of which suffice; `more` are lines for those that count for nothing.
pub(crate) fn policy_with(more: &str) -> String {
    let mut text = format!("log {}\n", vkey(LOG_KEY));
    for n in 0..3 {
        text = format!("{text}witness w{n} {} http://w{n}\n", cosigner(n).vkey());
    }
    format!("{text}{more}group g 2 w0 w1 w2\nquorum g\n")
}

pub(crate) fn policy() -> Policy {
    Policy::parse(policy_with("").as_bytes()).unwrap()
}

pub(crate) fn signed(history: &History) -> SignedCheckpoint {
    let signer = Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[LOG_KEY; 32]);
    let checkpoint = Checkpoint::new(origin(), TreeSize::new(history.size()), history.root()).unwrap();
    sign_checkpoint(&checkpoint, &signer).unwrap()
}

/// What a log serves: a checkpoint, and the tiles of a history that has it.
pub(crate) type Served = (SignedCheckpoint, Arc<History>);

/// A log while its process lives. Clones are the same.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    ctx: Ctx,
    party: Party,
    origin: Origin,
    keys: Vec<NoteVerifier>,
    was_witnessed: bool,
    sizes: watch::Sender<TreeSize>,
    blobs: FileBlobs,
    disk: SimDisk,
    state: Mutex<State>,
}

struct State {
    history: Arc<History>,
    served: Option<Served>,
    admits: bool,
    stopped: bool,
}

/// A size of the log.
#[derive(Clone)]
pub(crate) struct At(Arc<History>);

impl Head for At {
    fn size(&self) -> TreeSize {
        TreeSize::new(self.0.size())
    }

    fn root(&self) -> Hash {
        self.0.root()
    }
}

impl Log {
    /// Reads what is on a disk. What the journal has is durable first, as the engine sees to it.
    fn open(ctx: &Ctx, party: Party, disk: &SimDisk) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let word = dynamic.read(JOURNAL).map_err(|error| text(&error))?;
        let blobs = FileBlobs::new(dynamic);
        // Not synced alone: what an earlier sync has failed to write, no later one writes.
        blobs.commit(JOURNAL, &word).map_err(|error| text(&error))?;
        let note = blobs.read(PUBLISHED).map_err(|error| text(&error))?;
        let history = History::of(&word);
        let served = note.map(|note| (SignedCheckpoint::parse(&note).unwrap(), Arc::clone(&history)));
        let was_witnessed = served.as_ref().is_some_and(|(note, _)| policy().verify_checkpoint(note).is_ok());
        let key = NoteVerifier::new(Vkey::parse(&vkey(LOG_KEY)).unwrap()).unwrap();
        let sizes = watch::Sender::new(TreeSize::new(history.size()));
        let state = State { history, served, admits: false, stopped: false };
        Ok(Self(Arc::new(Shared {
            ctx: ctx.clone(),
            party,
            origin: origin(),
            keys: vec![key],
            was_witnessed,
            sizes,
            blobs,
            disk: disk.clone(),
            state: Mutex::new(state),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn history(&self) -> Arc<History> {
        Arc::clone(&self.state().history)
    }

    /// Appends batches until its life ends; each is acknowledged once it is synced.
    async fn write(self, mut random: Random, batches: Arc<Mutex<u64>>) {
        let (ctx, slot) = (self.0.ctx.clone(), Slot::Own(self.0.party));
        loop {
            ctx.sleep(slot, random.within(300, 4_000)).await;
            let takes = { self.state().admits && !self.state().stopped };
            if !takes || *batches.lock().unwrap() == 0 {
                continue;
            }
            let history = self.history();
            let next = history.with(random.below(6) as u8);
            let offset = history.word.len() as u64;
            let byte = next.word[next.word.len() - 1];
            let Ok(mut file) = self.0.disk.open(JOURNAL) else { return };
            if file.write_at(offset, &[byte]).is_err() {
                return;
            }
            if random.permille(200) {
                ctx.sleep(slot, 40).await;
            }
            if file.sync().is_err() {
                return;
            }
            {
                let mut left = batches.lock().unwrap();
                *left = left.saturating_sub(1);
            }
            ctx.trace(format_args!("{:?} has {} entries", self.0.party, next.size()));
            self.state().history = Arc::clone(&next);
            self.0.sizes.send_replace(TreeSize::new(next.size()));
        }
    }
}

impl Source for Log {
    type Head = At;
    type Error = NoReply;

    fn origin(&self) -> &Origin {
        &self.0.origin
    }

    fn log_keys(&self) -> &[NoteVerifier] {
        &self.0.keys
    }

    fn now_seconds(&self) -> u64 {
        self.0.ctx.seconds()
    }

    fn was_witnessed(&self) -> bool {
        self.0.was_witnessed
    }

    fn newest(&self) -> At {
        At(self.history())
    }

    fn root_at(&self, head: &At, size: TreeSize) -> Result<Hash, NoReply> {
        Ok(head.0.root_at(size.get()))
    }

    fn consistency(&self, old: TreeSize, head: &At) -> Result<Vec<Hash>, NoReply> {
        Ok(head.0.consistency(old.get(), head.0.size()))
    }

    fn sign(&self, head: &At) -> Result<SignedCheckpoint, NoReply> {
        self.0.ctx.judge().signs(&head.0);
        Ok(signed(&head.0))
    }

    async fn publish(&self, head: &At, checkpoint: &SignedCheckpoint) -> Result<(), NoReply> {
        let durable = self.0.blobs.commit(PUBLISHED, checkpoint.to_string().as_bytes());
        durable.map_err(|error| NoReply(error.to_string()))?;
        self.0.ctx.trace(format_args!("{:?} publishes {}", self.0.party, head.0.size()));
        self.state().served = Some((checkpoint.clone(), Arc::clone(&head.0)));
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<TreeSize> {
        self.0.sizes.subscribe()
    }

    fn admit(&self) {
        self.0.ctx.trace(format_args!("{:?} takes writes", self.0.party));
        self.state().admits = true;
    }

    fn stop(&self, why: &str) {
        if self.0.party == Party::Log {
            self.0.ctx.count(Count::Contradicted);
        }
        self.0.ctx.trace(format_args!("{:?} stops: {why}", self.0.party));
        self.state().stopped = true;
    }
}

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
        self.log()?.state().served.clone()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.log().is_some_and(|log| log.state().stopped)
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
            log.state().history = Arc::clone(&history);
            log.0.sizes.send_replace(TreeSize::new(history.size()));
        }
    }

    /// What it has, running or not.
    pub(crate) fn history(&self) -> Arc<History> {
        History::of(&self.inner().disk.peek(JOURNAL).unwrap())
    }

    /// Looks after the process.
    pub(crate) fn keep(&self) {
        let is_over = self.inner().running.as_ref().is_some_and(|running| {
            running.log.0.disk.is_dead() || running.writer.is_finished() || (self.is_byzantine && running.feeder.is_finished())
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
