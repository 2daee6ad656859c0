//! The follower: asks the log for its checkpoint, and fetches what the copy lacks.
//!
//! A checkpoint counts when the policy accepts it and it continues both the copy and the pending checkpoint. What goes
//! back, or forks, is refused and said, and the copy stays where it is. The log may be away for as long as it likes.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::copy::Mirror;
use super::error::{MirrorError, Trouble};
use super::tree::{Fetched, Tree};
use crate::audit::Source;
use crate::log::Machine;
use crate::merkle::{LeafIndex, TILE_HEIGHT, TILE_WIDTH, TreeSize};
use crate::tlog::{Checkpoint, SignedCheckpoint};

/// Follows one log, on a thread of its own.
pub struct Follower<M: Machine> {
    mirror: Mirror<M>,
    source: Box<dyn Source + Send>,
    /// What entries are handed over on; it waits for nothing but the copy.
    runtime: Runtime,
    status: watch::Sender<Following>,
}

/// How following goes, for health, metrics and the log.
#[derive(Clone, Debug, Default)]
pub struct Following {
    /// The size that the log showed last, since this process started.
    pub upstream: Option<TreeSize>,
    /// Why the last round came to nothing.
    pub trouble: Option<Trouble>,
}

/// What came of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// All that the log shows is here.
    UpToDate(TreeSize),
    /// A client added a larger checkpoint than the log shows, so that what the log shows is not known to be part of it.
    /// The next one that is larger tells.
    Ahead(TreeSize),
}

impl<M: Machine> Follower<M> {
    /// A follower of the log that this source serves.
    pub fn new(mirror: Mirror<M>, source: Box<dyn Source + Send>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { mirror, source, runtime, status: watch::Sender::default() })
    }

    /// Tells how it goes.
    pub fn status(&self) -> watch::Receiver<Following> {
        self.status.subscribe()
    }

    /// Follows until it is told to stop, or whoever would tell it is gone.
    pub fn run(&self, interval: Duration, stop: &Receiver<()>) {
        loop {
            self.tell(self.round());
            match stop.recv_timeout(interval) {
                Err(RecvTimeoutError::Timeout) if !self.mirror.engine().is_closed() => {}
                _ => return,
            }
        }
    }

    /// Asks once, and brings the copy up to what the log shows.
    pub fn round(&self) -> Result<Round, Trouble> {
        if let Some(reason) = self.mirror.engine().latched() {
            return Err(Trouble::Stopped(reason.to_owned()));
        }
        let note = self.source.checkpoint()?;
        let shown = self.judge(&note)?;
        self.status.send_modify(|status| status.upstream = Some(shown.claim().size()));
        let (known, pending) = self.runtime.block_on(async {
            let progress = self.mirror.progress().await;
            (progress.upstream.clone(), progress.pending.back().map(|pending| pending.claim().clone()))
        });
        let is_news = known.as_ref() != Some(&shown);
        if is_news {
            self.hold_against_last(&shown, known.as_ref())?;
        }
        let is_whole = shown.claim().size() <= self.mirror.engine().view().size();
        let tree = if is_whole { None } else { Some(Tree::open(&*self.source, shown.claim())?) };
        if is_news {
            if !self.is_continued(shown.claim(), tree.as_ref(), pending.as_ref())? {
                return Ok(Round::Ahead(shown.claim().size()));
            }
            // Where a client was quicker, the next round looks again.
            if !self.runtime.block_on(self.mirror.adopt(&shown, pending.as_ref()))? {
                return Ok(Round::Ahead(shown.claim().size()));
            }
        }
        if let Some(tree) = &tree {
            self.fetch(tree, shown.claim().size())?;
        }
        self.runtime.block_on(self.mirror.publish())?;
        Ok(Round::UpToDate(shown.claim().size()))
    }

    /// A checkpoint that the policy accepts, of this log.
    fn judge(&self, note: &[u8]) -> Result<SignedCheckpoint, Trouble> {
        let refused = |what: String| Trouble::Refused(format!("what the log shows as its checkpoint {what}"));
        let shown = SignedCheckpoint::parse(note).map_err(|error| refused(format!("is none: {error}")))?;
        if shown.claim().origin() != self.mirror.origin() {
            return Err(refused(format!("is one of {}", shown.claim().origin())));
        }
        let judged = self.mirror.policy().verify_checkpoint(&shown);
        judged.map_err(|error| refused(format!("does not meet the policy: {error}")))?;
        Ok(shown)
    }

    /// What the log showed last is what it has to continue.
    fn hold_against_last(&self, shown: &SignedCheckpoint, known: Option<&SignedCheckpoint>) -> Result<(), Trouble> {
        let Some(known) = known else { return Ok(()) };
        let (new, old) = (shown.claim(), known.claim());
        if new.size() < old.size() {
            // Smaller, and of the same tree or not.
            return Err(Trouble::Refused(format!(
                "the log has gone back: it showed a checkpoint of size {}, and now one of size {}",
                old.size(),
                new.size()
            )));
        }
        if new.size() == old.size() && new.root() != old.root() {
            return Err(self.forked(new));
        }
        Ok(())
    }

    /// Whether the copy and the pending checkpoint are the beginning of what the log shows, as far as that can be told.
    fn is_continued(
        &self,
        shown: &Checkpoint,
        tree: Option<&Tree<'_>>,
        pending: Option<&Checkpoint>,
    ) -> Result<bool, Trouble> {
        let view = self.mirror.engine().view();
        let Some(tree) = tree else {
            let root = self.mirror.engine().reader(&view).root(shown.size())?;
            return if root == shown.root() { Ok(true) } else { Err(self.forked(shown)) };
        };
        if !tree.continues(view.size(), &view.root())? {
            return Err(self.forked(shown));
        }
        match pending {
            Some(pending) if pending.size() > shown.size() => Ok(false),
            Some(pending) if !tree.continues(pending.size(), &pending.root())? => Err(self.forked(shown)),
            _ => Ok(true),
        }
    }

    fn forked(&self, shown: &Checkpoint) -> Trouble {
        let view = self.mirror.engine().view();
        Trouble::Refused(format!(
            "the log has forked: its checkpoint of size {} with root {} is of another tree than this copy of size {}. \
             Keep both",
            shown.size(),
            shown.root(),
            view.size()
        ))
    }

    /// Fetches, proves and hands over what the copy lacks of a tree: some bundles at once, whole ones but the last.
    fn fetch(&self, tree: &Tree<'_>, size: TreeSize) -> Result<(), Trouble> {
        let next = self.runtime.block_on(async { self.mirror.next_entry(&*self.mirror.progress().await) });
        if next >= size.next_index() {
            // All of it is here and not all is committed: the disk was full, or a batch has no end.
            self.runtime.block_on(self.mirror.take(next, Vec::new())).map_err(|error| self.explain(&error))?;
            return Ok(());
        }
        let bundles = size.get().div_ceil(TILE_WIDTH as u64);
        let mut number = next.get() >> TILE_HEIGHT;
        while number < bundles {
            let last = bundles.min(number + self.source.fetches_at_once() as u64);
            let mut entries = Vec::new();
            let fetched = fetch_all(tree, number..last);
            let mut failed = None;
            for fetched in fetched {
                match fetched.and_then(|fetched| tree.prove(fetched)) {
                    Ok(proven) => entries.extend(proven),
                    Err(trouble) => {
                        failed = Some(trouble);
                        break;
                    }
                }
            }
            // What came before the one that failed is proven and is kept.
            let start = LeafIndex::new(number << TILE_HEIGHT);
            self.runtime.block_on(self.mirror.take(start, entries)).map_err(|error| self.explain(&error))?;
            if let Some(trouble) = failed {
                return Err(trouble);
            }
            number = last;
        }
        Ok(())
    }

    fn explain(&self, error: &MirrorError) -> Trouble {
        match (error, self.mirror.engine().latched()) {
            (MirrorError::Extend(_), Some(reason)) => Trouble::Stopped(reason.to_owned()),
            _ => Trouble::Stopped(error.to_string()),
        }
    }

    /// Says how a round went, where that is news.
    fn tell(&self, round: Result<Round, Trouble>) {
        if self.mirror.engine().is_closed() {
            return;
        }
        let trouble = round.err();
        let before = self.status.borrow().trouble.clone();
        match &trouble {
            Some(Trouble::Unreachable(why)) if before != trouble => tracing::warn!(why, "the log cannot be read"),
            Some(Trouble::Refused(why)) if before != trouble => {
                tracing::error!(why, "what the log shows is refused; the copy stays as it is");
            }
            Some(Trouble::Stopped(why)) if before != trouble => tracing::error!(why, "the mirror does not go on"),
            None if before.is_some() => tracing::info!("the log is followed again"),
            _ => {}
        }
        self.status.send_modify(|status| status.trouble = trouble);
    }
}

/// Fetches bundles at once, in threads; in their order.
fn fetch_all(tree: &Tree<'_>, numbers: std::ops::Range<u64>) -> Vec<Result<Fetched, Trouble>> {
    thread::scope(|scope| {
        let threads: Vec<_> = numbers.map(|number| scope.spawn(move || tree.fetch(number))).collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(Trouble::Stopped("a thread that fetches has panicked".into())))
        };
        threads.into_iter().map(ended).collect()
    })
}
