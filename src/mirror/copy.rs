//! The copy: what of the log is here, how far it is proven, and what the mirror has said of it.
//!
//! Entries come proven, from the follower and from clients, in any number of hands at once. They wait in memory until a
//! batch of the log is whole; then it is one frame of the journal. A log whose entries stand alone waits for nothing.
//! The *next entry* is the first that is neither committed nor waiting.
//!
//! What a crash leaves: the frames, and the checkpoints of `notes`. Entries that waited are asked for again.

use std::collections::VecDeque;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, MutexGuard};

use super::error::{MirrorError, MirrorOpenError};
use super::notes::{Kept, Notes, NotesError};
use crate::clock::{Clock, Reading};
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::log::{Engine, Entry, Following, LogReader, Machine};
use crate::merkle::{LeafIndex, TreeSize};
use crate::storage::Disk;
use crate::tlog::{
    Checkpoint, Cosigner, NoteSignature, NoteVerifier, Origin, Policy, PolicyLog, PolicyWitness, SignedCheckpoint,
    TILE_WIDTH, Timestamp, TimestampedSignature, decode_hashes, signature_lines,
};

/// Checkpoints that uploads may lead to: the pending one and those before it.
pub const MAX_PENDING: usize = 16;

/// A mirror of one log. Cloning gives another handle.
pub struct Mirror<M: Machine>(Arc<Inner<M>>);

struct Inner<M: Machine> {
    following: Following<M>,
    origin: Origin,
    policy: Policy,
    /// The keys of the policy that bear the log's name.
    log_keys: Vec<NoteVerifier>,
    cosigner: Option<Cosigner>,
    clock: Arc<dyn Clock>,
    notes: Notes,
    progress: Mutex<Progress<M>>,
    /// What is served below the origin's hash.
    served: ArcSwapOption<SignedCheckpoint>,
}

/// How far it has come.
pub(super) struct Progress<M: Machine> {
    pub(super) upstream: Option<SignedCheckpoint>,
    /// Oldest first: the last is the pending one.
    pub(super) pending: VecDeque<SignedCheckpoint>,
    pub(super) mirrored: Option<SignedCheckpoint>,
    /// Proven entries behind the committed ones.
    waiting: Vec<Entry>,
    /// The state at sizes that the log has signed, oldest first.
    states: VecDeque<(TreeSize, M::State)>,
}

/// What a mirror is made of.
pub(super) struct Parts<M: Machine> {
    pub(super) following: Following<M>,
    pub(super) origin: Origin,
    pub(super) policy: Policy,
    pub(super) cosigner: Option<Cosigner>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notes: Notes,
}

/// What became of a checkpoint whose entries are all there.
pub(super) enum Completed {
    /// It is the mirror's checkpoint: the mirror's signature lines.
    Cosigned(String),
    /// The mirror has cosigned a larger one.
    Behind,
}

impl<M: Machine> Clone for Mirror<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Machine> Mirror<M> {
    /// A mirror in parts that are open: a log that follows the one of this origin, and a disk for the checkpoints. Whoever
    /// has a data directory [`open`](super::open)s it.
    pub fn over(
        following: Following<M>,
        origin: Origin,
        policy: Policy,
        cosigner: Option<Cosigner>,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, MirrorOpenError> {
        Self::open(Parts { following, origin, policy, cosigner, clock, notes: Notes::on(disk) })
    }

    /// Reads the checkpoints and holds them against the copy.
    pub(super) fn open(parts: Parts<M>) -> Result<Self, MirrorOpenError> {
        let Parts { following, origin, policy, cosigner, clock, notes } = parts;
        let log_keys: Vec<_> = policy.logs().iter().map(|log| log.verifier().clone()).collect();
        let log_keys: Vec<_> = log_keys.into_iter().filter(|key| key.vkey().name() == origin.key_name()).collect();
        let read = |kept| -> Result<Option<SignedCheckpoint>, MirrorOpenError> {
            let found = notes.read(kept).map_err(|(path, error)| MirrorOpenError::Notes(path, error))?;
            found.map(|found| held_against(found, kept, &log_keys, &origin, following.engine())).transpose()
        };
        let (upstream, added, mirrored) = (read(Kept::Upstream)?, read(Kept::Pending)?, read(Kept::Mirrored)?);
        let size = |checkpoint: &SignedCheckpoint| checkpoint.claim().size();
        let mut pending: Vec<_> = upstream.iter().chain(&added).cloned().collect();
        pending.sort_by_key(size);
        pending.dedup_by_key(|checkpoint| size(checkpoint));
        let served = mirrored.clone().map(Arc::new);
        let view = following.engine().view();
        let states = VecDeque::from([(view.size(), view.state().clone())]);
        let progress = Progress { upstream, pending: pending.into(), mirrored, waiting: Vec::new(), states };
        let (progress, served) = (Mutex::new(progress), ArcSwapOption::new(served));
        Ok(Self(Arc::new(Inner { following, origin, policy, log_keys, cosigner, clock, notes, progress, served })))
    }

    /// The engine beneath, for reading.
    pub fn engine(&self) -> &Engine<M> {
        self.0.following.engine()
    }

    /// The log's name.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// By what the log's checkpoints are judged.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// The mirror's key, if it has one: without it, it takes no submissions.
    pub fn cosigner(&self) -> Option<&Cosigner> {
        self.0.cosigner.as_ref()
    }

    /// The newest checkpoint that the mirror has cosigned, with its cosignature.
    pub fn mirrored(&self) -> Option<Arc<SignedCheckpoint>> {
        self.0.served.load_full()
    }

    pub(super) fn log_keys(&self) -> &[NoteVerifier] {
        &self.0.log_keys
    }

    pub(super) async fn progress(&self) -> MutexGuard<'_, Progress<M>> {
        self.0.progress.lock().await
    }

    /// The first entry that is neither committed nor waiting.
    pub(super) fn next_entry(&self, progress: &Progress<M>) -> LeafIndex {
        LeafIndex::new(self.engine().view().size().get() + progress.waiting.len() as u64)
    }

    /// Takes note of what the log shows. It continues `before`, which was the pending checkpoint when that was found
    /// out; false where another has come since.
    pub(super) async fn adopt(
        &self,
        checkpoint: &SignedCheckpoint,
        before: Option<&Checkpoint>,
    ) -> Result<bool, MirrorError> {
        let mut progress = self.progress().await;
        if progress.pending.back().map(SignedCheckpoint::claim) != before {
            return Ok(false);
        }
        self.0.notes.write(Kept::Upstream, checkpoint).await.map_err(in_file)?;
        progress.upstream = Some(checkpoint.clone());
        if before.is_none_or(|before| before.size() < checkpoint.claim().size()) {
            progress.push_pending(checkpoint.clone());
        }
        Ok(true)
    }

    /// Makes a checkpoint the pending one that is signed and continues the one before: durable when this returns.
    pub(super) async fn add_pending(
        &self,
        progress: &mut Progress<M>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), MirrorError> {
        let checkpoint = self.without_strangers(checkpoint);
        self.0.notes.write(Kept::Pending, &checkpoint).await.map_err(in_file)?;
        progress.push_pending(checkpoint);
        Ok(())
    }

    /// The checkpoint with one signature of each key that the policy knows: others could fill it up.
    fn without_strangers(&self, checkpoint: &SignedCheckpoint) -> SignedCheckpoint {
        let policy = self.policy();
        let logs = || policy.logs().iter().map(PolicyLog::verifier);
        let known = || logs().chain(policy.witnesses().iter().map(PolicyWitness::verifier));
        let mut kept: Vec<NoteSignature> = Vec::new();
        for signature in checkpoint.note().signatures() {
            let is_known = known().any(|key| is_by(signature, key));
            let is_new = !kept.iter().any(|k| k.name() == signature.name() && k.key_id() == signature.key_id());
            if is_known && is_new {
                kept.push(signature.clone());
            }
        }
        let stripped = format!("{}\n{}", checkpoint.claim(), signature_lines(&kept));
        let stripped = SignedCheckpoint::parse(stripped.as_bytes());
        stripped.unwrap_or_else(|_| checkpoint.clone())
    }

    /// Hashes of the leaves from `first`, where a bundle begins, up to `end` in it, that are committed or wait.
    pub(super) fn leaves(&self, progress: &Progress<M>, first: u64, end: u64) -> Result<Vec<Hash>, MirrorError> {
        let view = self.engine().view();
        let committed = view.size().get();
        let mut leaves = Vec::new();
        if first < end.min(committed) {
            let width = (end.min(committed) - first) as u16;
            let tile = self.engine().reader(&view).tile(0, first / u64::from(TILE_WIDTH), usize::from(width))?;
            leaves = decode_hashes(&tile, width).expect("a tile of this width was asked for");
        }
        let behind = (first + leaves.len() as u64).saturating_sub(committed) as usize;
        let waiting = progress.waiting.iter().skip(behind).take((end - first) as usize - leaves.len());
        leaves.extend(waiting.map(Entry::leaf));
        Ok(leaves)
    }

    /// Takes proven entries from `start` on, which is not behind the next entry. Those that are there are skipped. Gives
    /// the next entry; all before it that make up whole batches are durable.
    pub(super) async fn take(&self, start: LeafIndex, entries: Vec<Entry>) -> Result<LeafIndex, MirrorError> {
        let mut progress = self.progress().await;
        // Where the disk was full, runs may wait: no more is taken before they are written.
        self.commit(&mut progress).await?;
        let known = self.next_entry(&progress).get().saturating_sub(start.get());
        progress.waiting.extend(entries.into_iter().skip(usize::try_from(known).unwrap_or(usize::MAX)));
        self.commit(&mut progress).await?;
        Ok(self.next_entry(&progress))
    }

    /// Commits what makes up whole batches.
    async fn commit(&self, progress: &mut Progress<M>) -> Result<(), MirrorError> {
        while let Some(len) = self.next_run(progress)? {
            let run = progress.waiting[..len].to_vec();
            let view = self.0.following.extend(self.engine().view().size(), run).await?;
            progress.waiting.drain(..len);
            progress.keep_state(view.size(), view.state());
        }
        Ok(())
    }

    /// How many of the waiting entries are the next run. A run ends at each size that the log has signed, so that there
    /// is a state of it.
    fn next_run(&self, progress: &Progress<M>) -> Result<Option<usize>, MirrorError> {
        let committed = self.engine().view().size();
        let signed = progress.pending.iter().map(|checkpoint| checkpoint.claim().size());
        let signed = signed.filter(|size| *size > committed).min();
        let to_signed = signed.map_or(usize::MAX, |size| (size.get() - committed.get()) as usize);
        let len = Following::<M>::run_len(&progress.waiting[..progress.waiting.len().min(to_signed)])?;
        match signed {
            Some(size) if len.is_none() && progress.waiting.len() >= to_signed => {
                Err(MirrorError::EndsInsideBatch(size))
            }
            _ => Ok(len),
        }
    }

    /// Publishes what the log shows once all of it is here, and cosigns it. Nothing happens before.
    pub(super) async fn publish(&self) -> Result<(), MirrorError> {
        let mut progress = self.progress().await;
        let Some(upstream) = progress.upstream.clone() else { return Ok(()) };
        let (size, root) = (upstream.claim().size(), upstream.claim().root());
        if size > self.engine().view().size() {
            return Ok(());
        }
        let note = upstream.to_string().into_bytes();
        let is_published = self.engine().published().is_some_and(|published| *published.note == *note);
        if !is_published && let Some(state) = progress.state(size) {
            self.0.following.publish((size, root), state, note).await?;
        }
        if self.0.cosigner.is_some() {
            self.complete(&mut progress, &upstream).await?;
        }
        Ok(())
    }

    /// Makes a checkpoint the mirror's, if that is not larger: cosigned, durable, and served.
    pub(super) async fn complete(
        &self,
        progress: &mut Progress<M>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Completed, MirrorError> {
        let claim = checkpoint.claim();
        let Some(cosigner) = &self.0.cosigner else { return Ok(Completed::Behind) };
        if claim.size() > self.engine().view().size() {
            return Err(MirrorError::EndsInsideBatch(claim.size()));
        }
        let mut least = UnixMillis::ZERO;
        if let Some(mirrored) = &progress.mirrored {
            if mirrored.claim().size() > claim.size() {
                return Ok(Completed::Behind);
            }
            let own = own_signatures(mirrored, cosigner);
            if mirrored.claim() == claim && !own.is_empty() {
                return Ok(Completed::Cosigned(signature_lines(&own)));
            }
            least = own.iter().filter_map(|line| time_of(line, cosigner)).max().unwrap_or(least);
        }
        // Times of a mirror never go back.
        let Reading::Time(now) = self.0.clock.read(least) else { return Err(MirrorError::ClockJumped) };
        let time = Timestamp::new(now.get() / 1000).unwrap_or(Timestamp::MAX);
        let mut cosigned = self.without_strangers(checkpoint);
        cosigned.add_signature(cosigner.cosign(claim, time)).map_err(MirrorError::Cosign)?;
        self.0.notes.write(Kept::Mirrored, &cosigned).await.map_err(in_file)?;
        self.0.served.store(Some(Arc::new(cosigned.clone())));
        let own = own_signatures(&cosigned, cosigner);
        progress.mirrored = Some(cosigned);
        Ok(Completed::Cosigned(signature_lines(&own)))
    }
}

impl<M: Machine> Progress<M> {
    fn push_pending(&mut self, checkpoint: SignedCheckpoint) {
        if self.pending.len() == MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(checkpoint);
    }

    fn keep_state(&mut self, size: TreeSize, state: &M::State) {
        // The newest is kept in any case: the log may show a checkpoint of its size.
        if let Some((last, _)) = self.states.back()
            && !self.pending.iter().any(|checkpoint| checkpoint.claim().size() == *last)
        {
            self.states.pop_back();
        }
        if self.states.len() == MAX_PENDING {
            self.states.pop_front();
        }
        self.states.push_back((size, state.clone()));
    }

    fn state(&self, size: TreeSize) -> Option<M::State> {
        self.states.iter().find(|(at, _)| *at == size).map(|(_, state)| state.clone())
    }
}

/// A checkpoint from a file, if its log has signed it and the copy agrees as far as it goes.
fn held_against<M: Machine>(
    checkpoint: SignedCheckpoint,
    kept: Kept,
    log_keys: &[NoteVerifier],
    origin: &Origin,
    engine: &Engine<M>,
) -> Result<SignedCheckpoint, MirrorOpenError> {
    let unfit = |what: &str| MirrorOpenError::Unfit(format!("the {kept:?} checkpoint in mirror/ {what}"));
    let claim = checkpoint.claim();
    if claim.origin() != origin || checkpoint.verify(log_keys).is_err() {
        return Err(unfit("is not signed by a key that the policy lists for this log"));
    }
    let view = engine.view();
    if kept == Kept::Mirrored && claim.size() > view.size() {
        return Err(unfit("is larger than the copy. Was an older directory restored? Find the newest one"));
    }
    let reader: LogReader<'_> = engine.reader(&view);
    if claim.size() <= view.size() && reader.root(claim.size()).ok() != Some(claim.root()) {
        return Err(unfit("is of another tree than the copy"));
    }
    Ok(checkpoint)
}

fn own_signatures(checkpoint: &SignedCheckpoint, cosigner: &Cosigner) -> Vec<NoteSignature> {
    let own = |signature: &&NoteSignature| {
        signature.name() == cosigner.vkey().name() && signature.key_id() == cosigner.vkey().id()
    };
    checkpoint.note().signatures().iter().filter(own).cloned().collect()
}

/// When one of its own signatures was made.
fn time_of(line: &NoteSignature, cosigner: &Cosigner) -> Option<UnixMillis> {
    let signature = TimestampedSignature::parse(cosigner.vkey().kind(), line.bytes()).ok()?;
    Some(UnixMillis::new(signature.time.get().saturating_mul(1000)))
}

fn is_by(signature: &NoteSignature, key: &NoteVerifier) -> bool {
    signature.name() == key.vkey().name() && signature.key_id() == key.vkey().id()
}

fn in_file((path, error): NotesError) -> MirrorError {
    MirrorError::Notes(path, error)
}
