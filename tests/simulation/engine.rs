//! An honest log's engine: the real one, with the rules of agents, on simulated disks.
//!
//! It has threads of its own. So what is asked of it begins and ends at one moment, beside the runtime. Its journal lies on a
//! disk of which each operation is a function of the seed: nothing is asked of it at once with something else, and it is
//! far too short for a second segment. What it flushes, and when, depends on threads, so that lies on another disk, which
//! loses power with the first and does nothing else wrong. What a log has after a crash does not depend on it.
//!
//! The links are those of a history, and so is the time: then the engine makes the same trailers, and has the same root.

use std::convert::Infallible;
use std::sync::Arc;

use soulchain::clock::ManualClock;
use soulchain::encoding::UnixMillis;
use soulchain::log::{Options, Storage, create, open};
use soulchain::merkle::TreeSize;
use soulchain::node::{Node, RegistryMachine, View, WitnessPolicy};
use soulchain::soul::Link;
use soulchain::storage::{ChecksumKey, FileBlobs, FileJournal, MemoryViews};
use soulchain::tlog::{Ed25519Signer, KeyName, NoteSigner as _, SignedCheckpoint, Vkey};

use crate::disk::{SimDisk, Survivors};
use crate::history::History;
use crate::log::{LOG_KEY, ORIGIN, log_id, vkey};
use crate::net::Ctx;
use crate::operator::{origin, policy_with, signed_tree};
use crate::random::Random;
use crate::witness::after;

/// Room for all that a log here ever writes.
const SEGMENT_LEN: u64 = 512 << 10;
/// Of the key that signs proofs at once.
const INSTANT_KEY: u8 = 201;

/// The two disks of a log.
#[derive(Clone)]
pub(crate) struct Disks {
    pub(crate) journal: SimDisk,
    rest: SimDisk,
}

/// An open log. Clones are the same.
#[derive(Clone)]
pub(crate) struct Engine {
    node: Node,
    clock: Arc<ManualClock>,
}

impl Disks {
    pub(crate) fn empty() -> Self {
        Self { journal: SimDisk::default(), rest: SimDisk::default() }
    }

    /// Those of a log with this history.
    pub(crate) fn with(history: &History) -> Self {
        let disks = Self::empty();
        create(&disks.storage()).unwrap();
        let engine = Engine::open(&disks).unwrap();
        for batch in 0..history.times.len() {
            engine.append_batch(history, batch).unwrap();
        }
        engine.close();
        disks
    }

    fn storage(&self) -> Storage {
        let (journal, rest) = (Arc::new(self.journal.clone()), Arc::new(self.rest.clone()));
        Storage {
            blobs: Arc::new(FileBlobs::new(rest)),
            journal: Box::new(FileJournal::new(journal, ChecksumKey::new([9; 32]), SEGMENT_LEN)),
            views: Arc::new(MemoryViews::default()),
        }
    }

    /// The same contents, on disks that work. The journal first: nothing is taken from it before the rest has it.
    pub(crate) fn copy(&self) -> Self {
        Self { journal: self.journal.copy(), rest: self.rest.copy() }
    }

    /// What is left of them when the process has died. Threads may be at work on the rest: of what they had not synced
    /// nothing is left.
    pub(crate) fn after(&self, ctx: &Ctx, has_lost_power: bool, random: &mut Random) -> Self {
        let journal = after(ctx, &self.journal, has_lost_power, random);
        let rest = if has_lost_power { self.rest.after_power_loss(Survivors::Nothing) } else { self.rest.copy() };
        Self { journal, rest }
    }
}

impl Engine {
    pub(crate) fn open(disks: &Disks) -> Result<Self, String> {
        let clock = Arc::new(ManualClock::default());
        let sign_at_once = Arc::new(|size: TreeSize, root: &_| note(INSTANT_KEY, size, root));
        let opened = beside(|| {
            let machine = RegistryMachine::new(log_id());
            open(machine, disks.storage(), sign_at_once, Arc::clone(&clock) as _, Options::default())
        });
        let (engine, _) = opened.map_err(|error| error.to_string())?;
        let [log_vkey, instant_vkey] = [LOG_KEY, INSTANT_KEY].map(|key| Vkey::parse(&vkey(key)).unwrap());
        let witnesses = WitnessPolicy::parse(policy_with("").as_bytes(), &origin(), &[&log_vkey]).unwrap();
        let sign_published = Arc::new(|size: TreeSize, root: &_| note(LOG_KEY, size, root));
        let node = Node::over(engine, origin(), log_vkey, instant_vkey, sign_published).with_witnesses(witnesses);
        Ok(Self { node, clock })
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    /// Takes no writes until the witnesses have spoken.
    pub(crate) fn hold(&self) {
        self.node.engine().hold();
    }

    pub(crate) fn takes_writes(&self) -> bool {
        !self.node.engine().is_held() && !self.is_over()
    }

    /// Whether its process has nothing left to do but to start again.
    pub(crate) fn is_over(&self) -> bool {
        self.node.engine().latched().is_some()
    }

    /// Appends the last batch of a history; durable when it comes back.
    pub(crate) fn append(&self, history: &History) -> Result<Arc<View>, String> {
        self.append_batch(history, history.times.len() - 1)
    }

    fn append_batch(&self, history: &History, batch: usize) -> Result<Arc<View>, String> {
        let (entries, time) = history.batch(batch);
        self.clock.set(UnixMillis::new(time));
        let links = entries.iter().map(|entry| (Link::parse_entry(entry).unwrap(), None)).collect();
        let appended = beside(|| block_on(self.node.append(links, |_, _| Ok::<_, Infallible>(()))));
        appended.map(|receipt| receipt.view).map_err(|error| format!("{error:?}"))
    }

    /// Serves a checkpoint; durable when it comes back.
    pub(crate) fn publish(&self, view: &View, note: &SignedCheckpoint) -> Result<(), String> {
        let note = note.to_string().into_bytes();
        beside(|| block_on(self.node.engine().publish(view, note))).map_err(|error| error.to_string())
    }

    /// The checkpoint that it serves.
    pub(crate) fn published(&self) -> Option<SignedCheckpoint> {
        self.node.published().map(|published| SignedCheckpoint::parse(&published.note).unwrap())
    }

    pub(crate) fn was_witnessed(&self) -> bool {
        self.node.published().is_some_and(|published| self.node.is_witnessed(&published))
    }

    /// Ends its threads.
    pub(crate) fn close(&self) {
        beside(|| self.node.engine().close());
    }
}

/// The log's name on a tree, by one of its keys.
fn note(key: u8, size: TreeSize, root: &soulchain::hash::Hash) -> Vec<u8> {
    let signer = Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[key; 32]);
    debug_assert_eq!(signer.name().as_str(), ORIGIN);
    signed_tree(size, *root, &signer).to_string().into_bytes()
}

/// Does something that blocks; the runtime's thread waits, and so does its time.
fn beside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
