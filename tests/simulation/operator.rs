//! The log: the real feeder, over a double of the log itself.
//!
//! The engine has threads of its own and is not here. In its place is what the feeder needs to know of it: a journal of
//! batches on a simulated disk, of which a batch counts once it is synced; the published checkpoint, durable before it is
//! shown; writes that are refused before the witnesses have been asked. Trees, entries, tiles and signatures are real.
//!
//! A byzantine log is two such logs with one key: its histories part somewhere, and each is fed to the witnesses.

use std::sync::{Arc, Mutex, MutexGuard};

use soulchain::hash::Hash;
use soulchain::merkle::TreeSize;
use soulchain::storage::{Blobs as _, Disk, FileBlobs};
use soulchain::tlog::{
    Checkpoint, Ed25519Signer, KeyName, NoteVerifier, Origin, Policy, SignedCheckpoint, Vkey, sign_checkpoint,
};
use soulchain::witness::{Head, NoReply, Source};
use tokio::sync::watch;

use crate::disk::SimDisk;
use crate::history::History;
use crate::judge::Count;
use crate::log::{LOG_KEY, ORIGIN, vkey};
use crate::net::{Ctx, Party, Slot};
use crate::random::Random;
use crate::witness::cosigner;

/// Batches, a byte each.
pub(crate) const JOURNAL: &str = "journal";
const PUBLISHED: &str = "published";
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
    pub(crate) fn open(ctx: &Ctx, party: Party, disk: &SimDisk) -> Result<Self, String> {
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

    pub(crate) fn served(&self) -> Option<Served> {
        self.state().served.clone()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    pub(crate) fn disk(&self) -> &SimDisk {
        &self.0.disk
    }

    /// Has all of a history at once.
    pub(crate) fn jump_to(&self, history: &Arc<History>) {
        self.state().history = Arc::clone(history);
        self.0.sizes.send_replace(TreeSize::new(history.size()));
    }

    /// Appends batches until its life ends; each is acknowledged once it is synced.
    pub(crate) async fn write(self, mut random: Random, batches: Arc<Mutex<u64>>) {
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
            self.jump_to(&next);
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
