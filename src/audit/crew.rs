//! Fetching and checking ahead of the fold, on all cores, within bounds.
//!
//! Bundles pass three hands: they are fetched (a few at once), prepared (read and hashed), and their signatures tried. The
//! fold takes them in order. A signature is tried once every bundle up to its own is prepared: by then every key is known
//! that an earlier entry lists. What is tried with no key, or the wrong one, the fold verifies itself.
//!
//! Bounds: [`BUNDLES_AHEAD`] bundles, and no fetch begins while [`BYTES_AHEAD`] are at hand. So a log of the longest
//! entries costs at most these and one bundle for each fetch under way.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::batch::{Batch, RawBatch};
use super::source::{Source, SourceError};
use crate::ed25519::PublicKey;
use crate::merkle::TreeSize;
use crate::registry::Prepared;
use crate::soul::{Kid, LogId, RawKey};

/// Most bundles that are fetched ahead of the fold.
pub const BUNDLES_AHEAD: u64 = 64;
/// Downloaded bytes ahead of the fold at which no fetch begins.
pub const BYTES_AHEAD: usize = 64 << 20;

/// The work ahead of the fold.
pub(super) struct Crew<'a> {
    source: &'a dyn Source,
    log_id: LogId,
    size: TreeSize,
    /// One past the last bundle.
    end: u64,
    board: Mutex<Board>,
    moved: Condvar,
    keys: RwLock<HashMap<Kid, PublicKey>>,
}

/// Where each bundle is; one that somebody works on is in none of the maps.
#[derive(Default)]
struct Board {
    next_fetch: u64,
    /// The fold has taken all bundles before this one.
    folded: u64,
    bytes: usize,
    fetched: BTreeMap<u64, RawBatch>,
    prepared: BTreeMap<u64, Batch>,
    /// All bundles before this one are prepared.
    prepared_to: u64,
    prepared_beyond: Vec<u64>,
    tried: BTreeMap<u64, Batch>,
    /// Bundles that could not be fetched; then no more are.
    failures: BTreeMap<u64, SourceError>,
    is_over: bool,
}

/// Something to do for a worker.
enum Task {
    Prepare(u64, RawBatch),
    Try(u64, Batch),
}

/// Ends the work of all where one thread panics, so that none waits for ever.
struct EndOnPanic<'c, 'a>(&'c Crew<'a>);

impl<'a> Crew<'a> {
    /// The work on the bundles from this one on, of a tree of this size.
    pub(super) fn new(source: &'a dyn Source, log_id: LogId, first: u64, size: TreeSize, end: u64) -> Self {
        let board = Board { next_fetch: first, folded: first, prepared_to: first, ..Board::default() };
        let (board, moved, keys) = (Mutex::new(board), Condvar::new(), RwLock::default());
        Self { source, log_id, size, end, board, moved, keys }
    }

    /// Makes keys known that may sign.
    pub(super) fn know(&self, listed: impl Iterator<Item = (Kid, RawKey)>) {
        // Keys that cannot sign are left out: the fold finds that out itself.
        let decoded = listed.filter_map(|(kid, pk)| Some((kid, PublicKey::from_bytes(&pk)?)));
        let decoded: Vec<_> = decoded.collect();
        if !decoded.is_empty() {
            self.keys.write().unwrap_or_else(PoisonError::into_inner).extend(decoded);
        }
    }

    /// Does the work on threads of its own while `fold` takes the bundles.
    pub(super) fn work<T>(&self, threads: usize, fold: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let _guard = EndOnPanic(self);
            for _ in 0..self.source.fetches_at_once() {
                scope.spawn(|| self.fetch());
            }
            for _ in 0..threads.max(1) {
                scope.spawn(|| self.check());
            }
            let done = fold();
            self.end();
            done
        })
    }

    /// The next bundle, once it is checked; `None` after the last.
    pub(super) fn next(&self) -> Result<Option<Batch>, SourceError> {
        let mut board = self.board();
        loop {
            let number = board.folded;
            if number == self.end {
                return Ok(None);
            }
            if let Some(batch) = board.tried.remove(&number) {
                board.folded += 1;
                board.bytes -= batch.len;
                self.moved.notify_all();
                return Ok(Some(batch));
            }
            if let Some(failure) = board.failures.remove(&number) {
                return Err(failure);
            }
            assert!(!board.is_over, "a thread of the audit has panicked");
            board = self.wait(board);
        }
    }

    fn fetch(&self) {
        let _guard = EndOnPanic(self);
        while let Some(number) = self.next_fetch() {
            match RawBatch::fetch(self.source, number, self.size) {
                Ok(batch) => {
                    let mut board = self.board();
                    board.bytes += batch.len();
                    board.fetched.insert(number, batch);
                }
                Err(failure) => {
                    self.board().failures.insert(number, failure);
                }
            }
            self.moved.notify_all();
        }
    }

    fn next_fetch(&self) -> Option<u64> {
        let mut board = self.board();
        loop {
            if board.is_over || !board.failures.is_empty() || board.next_fetch == self.end {
                return None;
            }
            if board.next_fetch < board.folded + BUNDLES_AHEAD && board.bytes < BYTES_AHEAD {
                board.next_fetch += 1;
                return Some(board.next_fetch - 1);
            }
            board = self.wait(board);
        }
    }

    fn check(&self) {
        let _guard = EndOnPanic(self);
        while let Some(task) = self.next_task() {
            match task {
                Task::Prepare(number, raw) => {
                    let batch = raw.prepare(self.log_id);
                    drop(raw);
                    self.know(batch.entries.iter().flat_map(Prepared::listed_keys));
                    let mut board = self.board();
                    board.prepared.insert(number, batch);
                    board.was_prepared(number);
                }
                Task::Try(number, mut batch) => {
                    batch.try_signatures(|kid| {
                        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).copied()
                    });
                    self.board().tried.insert(number, batch);
                }
            }
            self.moved.notify_all();
        }
    }

    fn next_task(&self) -> Option<Task> {
        let mut board = self.board();
        loop {
            if board.is_over {
                return None;
            }
            if let Some(task) = board.task() {
                return Some(task);
            }
            if board.folded == self.end {
                return None;
            }
            board = self.wait(board);
        }
    }

    fn end(&self) {
        self.board().is_over = true;
        self.moved.notify_all();
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, board: MutexGuard<'g, Board>) -> MutexGuard<'g, Board> {
        self.moved.wait(board).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn task(&mut self) -> Option<Task> {
        let first = self.prepared.first_entry().filter(|first| *first.key() < self.prepared_to);
        if let Some(first) = first {
            let (number, batch) = first.remove_entry();
            return Some(Task::Try(number, batch));
        }
        self.fetched.pop_first().map(|(number, raw)| Task::Prepare(number, raw))
    }

    fn was_prepared(&mut self, number: u64) {
        self.prepared_beyond.push(number);
        while let Some(at) = self.prepared_beyond.iter().position(|number| *number == self.prepared_to) {
            self.prepared_beyond.swap_remove(at);
            self.prepared_to += 1;
        }
    }
}

impl Drop for EndOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}
