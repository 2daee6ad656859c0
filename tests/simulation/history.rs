//! What a log may have in it: histories that a word of numbers tells, one number a batch. Two words that begin alike are two
//! histories that begin alike. The entries are real ones, so that a monitor's replay has something to replay.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use soulchain::hash::Hash;
use soulchain::merkle::{NodeId, TreeSize, consistency_plan, leaf_hash};
use soulchain::tlog::{TILE_WIDTH, TileId, TileKind};

use crate::log::{Agent, Log, root};

/// The batch that fills more than a tile.
pub(crate) const LARGE: u8 = 9;
/// Writers whose state is kept.
const WRITERS: usize = 8;

/// A log's content at the end of a batch.
pub(crate) struct History {
    pub(crate) word: Vec<u8>,
    entries: Vec<Arc<[u8]>>,
    leaves: Vec<Hash>,
    /// Roots at the end of each batch.
    roots: BTreeMap<u64, Hash>,
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
    pub(crate) fn ends(&self) -> Vec<u64> {
        self.roots.keys().copied().collect()
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
        Self { word, entries, leaves, roots }
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
        let (log, alpha, beta) = Log::with_agents();
        let nothing = History { word: Vec::new(), entries: Vec::new(), leaves: Vec::new(), roots: BTreeMap::new() };
        let history = Arc::new(History::extended(&nothing, &log, Vec::new()));
        Self { log, alpha, beta, word: Vec::new(), history }
    }

    fn write(&mut self, batch: u8) {
        // No two numbers give the same entries.
        let (alphas, betas) = if batch == LARGE { (260, 0) } else { (u16::from(batch % 3), batch / 3 + 1) };
        for _ in 0..alphas {
            self.log.act(&mut self.alpha);
        }
        for _ in 0..betas {
            self.log.act(&mut self.beta);
        }
        self.log.seal();
        self.word.push(batch);
        self.history = Arc::new(History::extended(&self.history, &self.log, self.word.clone()));
    }
}
