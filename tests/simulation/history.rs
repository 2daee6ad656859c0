//! What a log may have in it: histories that a word of numbers tells, one number a batch. Two words that begin alike are two
//! histories that begin alike. The entries are real ones, so that a monitor's replay has something to replay.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use soulchain::hash::Hash;
use soulchain::merkle::{NodeId, TreeSize, consistency_plan, leaf_hash};
use soulchain::tlog::{TILE_WIDTH, TileId, TileKind};

use crate::log::{Agent, BOTH, Log, root};

/// The batch that fills more than a tile.
pub(crate) const LARGE: u8 = 9;
/// Batches of the beginning, which no word tells: the registrar and two agents.
const FIRST_BATCHES: usize = 3;
/// Writers whose state is kept.
const WRITERS: usize = 8;

/// A log's content at the end of a batch.
pub(crate) struct History {
    pub(crate) word: Vec<u8>,
    entries: Vec<Arc<[u8]>>,
    leaves: Vec<Hash>,
    /// Roots at the end of each batch.
    roots: BTreeMap<u64, Hash>,
    /// The log's time at the end of each batch, those of its beginning included.
    pub(crate) times: Vec<u64>,
}

/// A log that is being written, and its agents.
struct Writer {
    log: Log,
    alpha: Agent,
    beta: Agent,
    word: Vec<u8>,
    history: Arc<History>,
}

#[derive(Default)]
struct Library {
    histories: BTreeMap<Vec<u8>, Arc<History>>,
    writers: Vec<Writer>,
}

/// Histories are functions of their words, so that all seeds share them.
static LIBRARY: LazyLock<Mutex<Library>> = LazyLock::new(Mutex::default);

impl History {
    /// The history that a word tells.
    pub(crate) fn of(word: &[u8]) -> Arc<Self> {
        LIBRARY.lock().unwrap_or_else(PoisonError::into_inner).get(word)
    }

    /// The same with a batch more.
    pub(crate) fn with(&self, batch: u8) -> Arc<Self> {
        Self::of(&[&self.word[..], &[batch]].concat())
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    pub(crate) fn root(&self) -> Hash {
        self.root_at(self.size())
    }

    pub(crate) fn root_at(&self, size: u64) -> Hash {
        self.roots.get(&size).copied().unwrap_or_else(|| root(&self.leaves[..size as usize]))
    }

    /// Sizes at which batches end.
    fn ends(&self) -> Vec<u64> {
        self.roots.keys().copied().collect()
    }

    /// The links of a batch, which are of one chain, and its time.
    pub(crate) fn batch(&self, number: usize) -> (&[Arc<[u8]>], u64) {
        let ends = self.ends();
        let start = number.checked_sub(1).map_or(0, |before| ends[before]);
        (&self.entries[start as usize..ends[number] as usize - 1], self.times[number])
    }

    /// The history of so many entries that this one begins with; `None` where no batch of it ends there.
    pub(crate) fn back_to(&self, size: u64) -> Option<Arc<Self>> {
        let batches = self.ends().iter().position(|end| *end == size)? + 1;
        Some(Self::of(&self.word[..batches.checked_sub(FIRST_BATCHES)?]))
    }

    /// The path from one size to another.
    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        if old == 0 || old >= new {
            return Vec::new();
        }
        let node = |node: NodeId| {
            let from = (node.index << node.level) as usize;
            Ok::<_, ()>(root(&self.leaves[from..from + (1 << node.level)]))
        };
        consistency_plan(TreeSize::new(old), TreeSize::new(new)).unwrap().path(node).unwrap()
    }

    /// A tile or bundle, of any width that this history has.
    pub(crate) fn tile(&self, tile: TileId) -> Option<Vec<u8>> {
        let (first, width) = (tile.index() * u64::from(TILE_WIDTH), u64::from(tile.width()));
        match tile.kind() {
            TileKind::Entries => {
                let entries = self.entries.get(first as usize..(first + width) as usize)?;
                let framed = entries.iter().flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat());
                Some(framed.collect())
            }
            TileKind::Hashes(level) => {
                let span = 1_usize.checked_shl(8 * u32::from(level))?;
                let leaves = self.leaves.get(first as usize * span..(first + width) as usize * span)?;
                Some(leaves.chunks(span).flat_map(|chunk| *root(chunk).as_bytes()).collect())
            }
        }
    }

    fn extended(before: &Self, log: &Log, word: Vec<u8>) -> Self {
        let new = &log.entries[before.entries.len()..];
        let entries = before.entries.iter().cloned().chain(new.iter().map(|entry| Arc::from(&entry[..]))).collect();
        let leaves: Vec<_> = before.leaves.iter().copied().chain(new.iter().map(|entry| leaf_hash(entry))).collect();
        let mut roots = before.roots.clone();
        roots.insert(leaves.len() as u64, root(&leaves));
        let times = before.times.iter().copied().chain([log.time]).collect();
        Self { word, entries, leaves, roots, times }
    }
}

impl Library {
    fn get(&mut self, word: &[u8]) -> Arc<History> {
        if let Some(known) = self.histories.get(word) {
            return Arc::clone(known);
        }
        let at =
            self.writers.iter().position(|writer| writer.word.len() < word.len() && word.starts_with(&writer.word));
        let mut writer = at.map_or_else(Writer::new, |at| self.writers.remove(at));
        while writer.word.len() < word.len() {
            writer.write(word[writer.word.len()]);
            self.histories.insert(writer.word.clone(), Arc::clone(&writer.history));
        }
        let history = Arc::clone(&writer.history);
        self.histories.insert(word.to_vec(), Arc::clone(&history));
        self.writers.push(writer);
        if self.writers.len() > WRITERS {
            self.writers.remove(0);
        }
        history
    }
}

impl Writer {
    fn new() -> Self {
        let mut log = Log::new();
        let (entries, leaves, roots, times) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
        let mut history = History { word: Vec::new(), entries, leaves, roots, times };
        let founders: [(u8, &str); FIRST_BATCHES] = [(10, "registrar"), (1, "alpha"), (3, "beta")];
        let [_, alpha, beta] = founders.map(|(key, name)| {
            let agent = log.found(key, Some(name), &[(key, BOTH)]);
            log.seal();
            history = History::extended(&history, &log, Vec::new());
            agent
        });
        Self { log, alpha, beta, word: Vec::new(), history: Arc::new(history) }
    }

    fn write(&mut self, batch: u8) {
        // No two numbers give the same entries.
        let (agent, links) = match batch {
            LARGE => (&mut self.alpha, 260_u16),
            _ if batch.is_multiple_of(2) => (&mut self.alpha, u16::from(batch / 2 + 1)),
            _ => (&mut self.beta, u16::from(batch / 2 + 1)),
        };
        for _ in 0..links {
            self.log.act(agent);
        }
        self.log.seal();
        self.word.push(batch);
        self.history = Arc::new(History::extended(&self.history, &self.log, self.word.clone()));
    }
}
