//! The log: the real feeder, over a log.
//!
//! An honest log has the real engine (`engine`). A byzantine one is two logs with one key: their histories part somewhere,
//! and each is fed to the witnesses. It obeys nobody's rules, and beneath it is only what the feeder needs: a journal of
//! batches on a simulated disk, of which a batch counts once it is synced, and the published checkpoint, durable before it
//! is shown. Trees, entries, tiles and signatures are real.

use std::sync::{Arc, Mutex, MutexGuard};

use soulchain::hash::Hash;
use soulchain::log::ReadError;
use soulchain::merkle::TreeSize;
use soulchain::node::View;
use soulchain::storage::{Blobs as _, Disk, FileBlobs};
use soulchain::tlog::{
    Checkpoint, Ed25519Signer, KeyName, NoteVerifier, Origin, Policy, SignedCheckpoint, Vkey, sign_checkpoint,
};
use soulchain::witness::{Head, NoReply, Source};
use tokio::sync::watch;

use crate::disk::SimDisk;
use crate::engine::{Disks, Engine};
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
    signed_tree(TreeSize::new(history.size()), history.root(), &signer)
}

pub(crate) fn signed_tree(size: TreeSize, root: Hash, signer: &Ed25519Signer) -> SignedCheckpoint {
    sign_checkpoint(&Checkpoint::new(origin(), size, root).unwrap(), signer).unwrap()
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
    beneath: Beneath,
    state: Mutex<State>,
}

/// What a log stands on.
enum Beneath {
    /// An honest one, with what it has ever been given.
    Engine(Box<Engine>, Arc<Mutex<Given>>),
    /// A byzantine one.
    Batches(FileBlobs, SimDisk),
}

/// What an honest log was given in all its lives.
#[derive(Default)]
pub(crate) struct Given {
    /// The batches that it may have.
    pub(crate) word: Vec<u8>,
    /// The size up to which it has said that it has them.
    pub(crate) acknowledged: u64,
}

struct State {
    newest: At,
    served: Option<Served>,
    admits: bool,
    stopped: bool,
}

/// A size of the log, and the engine's view of it.
#[derive(Clone)]
pub(crate) struct At(Arc<History>, Option<Arc<View>>);

impl Head for At {
    fn size(&self) -> TreeSize {
        self.1.as_ref().map_or(TreeSize::new(self.0.size()), Head::size)
    }

    fn root(&self) -> Hash {
        self.1.as_ref().map_or(self.0.root(), Head::root)
    }
}

impl Log {
    /// Opens an honest log. What it has must be what it was given, as far as it has said that it has it.
    pub(crate) fn open(ctx: &Ctx, disks: &Disks, given: &Arc<Mutex<Given>>) -> Result<Self, String> {
        let engine = Engine::open(disks)?;
        engine.hold();
        let view = engine.node().view();
        let (all, acknowledged) = {
            let given = given.lock().unwrap();
            (History::of(&given.word), given.acknowledged)
        };
        let history = all.back_to(view.size().get()).filter(|history| history.root() == view.root());
        let Some(history) = history.filter(|history| history.size() >= acknowledged) else {
            let (size, root) = (view.size(), view.root());
            ctx.judge().wrong(format!("the log has lost or changed what it had: {size} {root:?}, of {acknowledged}"));
            return Err("it is not what it was".into());
        };
        let served = engine.published().map(|note| {
            let size = note.claim().size().get();
            (note, history.back_to(size).unwrap_or_else(|| panic!("{size} was published, of {}", history.size())))
        });
        let was_witnessed = engine.was_witnessed();
        let beneath = Beneath::Engine(Box::new(engine), Arc::clone(given));
        Ok(Self::new(ctx, Party::Log, At(history, Some(view)), (served, was_witnessed), beneath))
    }

    /// Reads what is on a byzantine log's disk. What the journal has is durable first, as the engine sees to it.
    pub(crate) fn open_byzantine(ctx: &Ctx, party: Party, disk: &SimDisk) -> Result<Self, String> {
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
        let beneath = Beneath::Batches(blobs, disk.clone());
        Ok(Self::new(ctx, party, At(history, None), (served, was_witnessed), beneath))
    }

    fn new(ctx: &Ctx, party: Party, newest: At, served: (Option<Served>, bool), beneath: Beneath) -> Self {
        let (served, was_witnessed) = served;
        let key = NoteVerifier::new(Vkey::parse(&vkey(LOG_KEY)).unwrap()).unwrap();
        let sizes = watch::Sender::new(newest.size());
        let state = Mutex::new(State { newest, served, admits: false, stopped: false });
        let (ctx, origin, keys) = (ctx.clone(), origin(), vec![key]);
        Self(Arc::new(Shared { ctx, party, origin, keys, was_witnessed, sizes, beneath, state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn history(&self) -> Arc<History> {
        Arc::clone(&self.state().newest.0)
    }

    pub(crate) fn served(&self) -> Option<Served> {
        self.state().served.clone()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Whether its process has nothing left to do but to start again.
    pub(crate) fn is_over(&self) -> bool {
        match &self.0.beneath {
            Beneath::Engine(engine, _) => engine.is_over() && !self.is_stopped(),
            Beneath::Batches(_, disk) => disk.is_dead(),
        }
    }

    /// Ends its threads.
    pub(crate) fn close(&self) {
        if let Beneath::Engine(engine, _) = &self.0.beneath {
            engine.close();
        }
    }

    /// Has all of a history at once.
    pub(crate) fn jump_to(&self, history: &Arc<History>) {
        self.reach(At(Arc::clone(history), None));
    }

    fn reach(&self, head: At) {
        self.0.ctx.trace(format_args!("{:?} has {} entries", self.0.party, head.0.size()));
        let size = head.size();
        self.state().newest = head;
        self.0.sizes.send_replace(size);
    }

    /// Appends batches until its life ends; each is acknowledged once it is synced.
    pub(crate) async fn write(self, mut random: Random, batches: Arc<Mutex<u64>>) {
        let (ctx, slot) = (self.0.ctx.clone(), Slot::Own(self.0.party));
        loop {
            ctx.sleep(slot, random.within(300, 4_000)).await;
            let takes = match &self.0.beneath {
                Beneath::Engine(engine, _) => engine.takes_writes(),
                Beneath::Batches(..) => self.state().admits && !self.state().stopped,
            };
            if !takes || *batches.lock().unwrap() == 0 {
                continue;
            }
            let next = self.history().with(random.below(6) as u8);
            let head = match &self.0.beneath {
                Beneath::Engine(engine, given) => self.append(engine, given, &next),
                Beneath::Batches(_, disk) => {
                    let Some(head) = self.write_batch(disk, &next, &mut random).await else { return };
                    Some(head)
                }
            };
            if self.is_over() {
                return;
            }
            let Some(head) = head else { continue };
            {
                let mut left = batches.lock().unwrap();
                *left = left.saturating_sub(1);
            }
            self.reach(head);
        }
    }

    fn append(&self, engine: &Engine, given: &Mutex<Given>, next: &Arc<History>) -> Option<At> {
        given.lock().unwrap().word.clone_from(&next.word);
        match engine.append(next) {
            Ok(view) => {
                if (view.size().get(), view.root()) != (next.size(), next.root()) {
                    self.0.ctx.judge().wrong(format!("the engine has another tree: {} {:?}", view.size(), view.root()));
                }
                given.lock().unwrap().acknowledged = next.size();
                Some(At(Arc::clone(next), Some(view)))
            }
            Err(why) => {
                self.0.ctx.count(Count::BatchInDoubt);
                self.0.ctx.trace(format_args!("{:?} takes no batch: {why}", self.0.party));
                None
            }
        }
    }

    /// `None` where the disk says no.
    async fn write_batch(&self, disk: &SimDisk, next: &Arc<History>, random: &mut Random) -> Option<At> {
        let offset = next.word.len() - 1;
        let mut file = disk.open(JOURNAL).ok()?;
        file.write_at(offset as u64, &next.word[offset..]).ok()?;
        if random.permille(200) {
            self.0.ctx.sleep(Slot::Own(self.0.party), 40).await;
        }
        file.sync().ok()?;
        Some(At(Arc::clone(next), None))
    }

    /// What is asked of the engine, held against what the history says.
    fn held_against<T: PartialEq + std::fmt::Debug>(
        &self,
        of_engine: Option<Result<T, ReadError>>,
        of_history: T,
    ) -> Result<T, NoReply> {
        let Some(of_engine) = of_engine else { return Ok(of_history) };
        let of_engine = of_engine.map_err(|error| NoReply(error.to_string()))?;
        if of_engine != of_history {
            self.0.ctx.judge().wrong(format!("the engine says {of_engine:?}, and the tree has {of_history:?}"));
        }
        Ok(of_engine)
    }

    fn engine(&self) -> Option<&Engine> {
        match &self.0.beneath {
            Beneath::Engine(engine, _) => Some(engine),
            Beneath::Batches(..) => None,
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
        self.state().newest.clone()
    }

    fn root_at(&self, head: &At, size: TreeSize) -> Result<Hash, NoReply> {
        let of_engine = self.engine().zip(head.1.as_ref()).map(|(engine, view)| engine.node().reader(view).root(size));
        self.held_against(of_engine, head.0.root_at(size.get()))
    }

    fn consistency(&self, old: TreeSize, head: &At) -> Result<Vec<Hash>, NoReply> {
        let engine = self.engine().zip(head.1.as_ref()).filter(|_| old != TreeSize::ZERO);
        let of_engine = engine.map(|(engine, view)| engine.node().reader(view).consistency(old, view.size()));
        self.held_against(of_engine, head.0.consistency(old.get(), head.0.size()))
    }

    fn sign(&self, head: &At) -> Result<SignedCheckpoint, NoReply> {
        self.0.ctx.judge().signs(&head.0);
        let Some(engine) = self.engine() else { return Ok(signed(&head.0)) };
        let note = engine.node().publication_signer()(head.size(), &head.root());
        SignedCheckpoint::parse(&note).map_err(|error| NoReply(error.to_string()))
    }

    async fn publish(&self, head: &At, checkpoint: &SignedCheckpoint) -> Result<(), NoReply> {
        match (&self.0.beneath, &head.1) {
            (Beneath::Engine(engine, _), Some(view)) => engine.publish(view, checkpoint).map_err(NoReply)?,
            (Beneath::Engine(..), None) => unreachable!("an engine's log has its views"),
            (Beneath::Batches(blobs, _), _) => blobs
                .commit(PUBLISHED, checkpoint.to_string().as_bytes())
                .map_err(|error| NoReply(error.to_string()))?,
        }
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
        if let Some(engine) = self.engine() {
            engine.node().engine().admit();
        }
    }

    fn stop(&self, why: &str) {
        if self.0.party == Party::Log {
            self.0.ctx.count(Count::Contradicted);
        }
        self.0.ctx.trace(format_args!("{:?} stops: {why}", self.0.party));
        self.state().stopped = true;
        if let Some(engine) = self.engine() {
            engine.node().engine().stop_writing(why);
        }
    }
}
