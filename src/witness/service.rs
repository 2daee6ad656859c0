//! The witness as a value: requests in, answers out, without a network and without a clock.
//!
//! What is checked in which order is tlog-witness's: the form (400), the log (404), its signature (403), old size against
//! size (400), then, as one step with the change, against what is remembered: the old size (409), the root of the empty
//! tree, the proof, the root (422). The cosignature is made in that step and leaves when the record is durable.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::clock_doubt::{ClockDoubt, StartClock};
use super::committer::Committer;
use super::error::OpenError;
use super::exhibits::Contradiction;
use super::keys::WitnessKeys;
use super::logs::LogList;
use super::outcome::Outcome;
use super::queue::{Full, Queue, QueueLimits};
use super::record::Record;
use super::repeat::Repeated;
use super::request::{AddCheckpoint, Offered, SignSubtree};
use super::shelf::Shelf;
use super::slot::{LogState, Slot};
use super::store::{Recovery, Store};
use crate::hash::Hash;
use crate::merkle::{EMPTY_ROOT, TreeSize, verify_consistency, verify_subtree_consistency};
use crate::storage::Disk;
use crate::tlog::{Checkpoint, LogSubtree, MAX_NOTE_LEN, Origin, Timestamp, TlogError, signature_lines};

/// How a witness is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct WitnessOptions {
    /// How much may wait to be written.
    pub queue: QueueLimits,
    /// Bytes of records after which a snapshot is written; `None` is 32 MiB.
    pub snapshot_after: Option<usize>,
    /// Whether the operator says that the clock is right, whatever [`Witness::check_clock`] thinks.
    pub is_clock_right: bool,
}

/// A witness of any number of logs. Clones are the same witness.
#[derive(Clone)]
pub struct Witness(Arc<Shared>);

struct Shared {
    keys: WitnessKeys,
    logs: ArcSwap<LogList>,
    /// By the hash of the origin. A log that was cosigned once stays, listed or not.
    slots: RwLock<HashMap<[u8; 32], Arc<Slot>>>,
    committer: Committer,
    shelf: Shelf,
    clock: StartClock,
}

/// An answer, at once or when what it rests on is durable.
#[derive(Debug)]
pub enum Submitted {
    /// At once.
    Answered(Outcome),
    /// After the next [`Witness::commit`].
    Pending(Pending),
}

/// An answer that waits for the disk.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

impl Witness {
    /// Opens the witness whose state is on this disk, made by [`super::create`].
    ///
    /// No thread is started: [`Witness::run`] is for one that commits, [`Witness::commit`] for whoever has none. One
    /// process opens a disk at a time: `Directory` sees to that.
    pub fn open(
        disk: &Arc<dyn Disk>,
        keys: WitnessKeys,
        logs: LogList,
        options: WitnessOptions,
    ) -> Result<(Self, Recovery), OpenError> {
        let (store, recovery) = Store::open(disk, &keys, options.snapshot_after)?;
        let remembered = store.records().values();
        let newest = remembered.clone().map(|record| record.time).max();
        let slots = remembered.map(|record| (record.origin.hash(), Arc::new(Slot::remembered(record)))).collect();
        let shared = Shared {
            keys,
            logs: ArcSwap::from_pointee(logs),
            slots: RwLock::new(slots),
            committer: Committer::new(Queue::new(options.queue), store),
            shelf: Shelf::open(disk),
            clock: StartClock::new(newest, options.is_clock_right),
        };
        Ok((Self(Arc::new(shared)), recovery))
    }

    /// Answers `add-checkpoint`, and waits until the answer is durable.
    pub fn add_checkpoint(&self, request: &[u8], now: Timestamp) -> Outcome {
        match self.submit(request, now) {
            Submitted::Answered(outcome) => {
                self.0.shelf.keep_waiting();
                outcome
            }
            Submitted::Pending(pending) => {
                self.commit();
                pending.now().unwrap_or(Outcome::Overloaded)
            }
        }
    }

    /// Judges an `add-checkpoint` request. What is pending is answered by the next commit.
    pub fn submit(&self, request: &[u8], now: Timestamp) -> Submitted {
        self.judge(request, now).unwrap_or_else(Submitted::Answered)
    }

    /// Answers `sign-subtree`: the form (400), the proof (422), the log (404), the witness's own signature (403).
    pub fn sign_subtree(&self, request: &[u8]) -> Outcome {
        self.judge_subtree(request).map_or_else(|refusal| refusal, Outcome::Signed)
    }

    /// The newest cosigned checkpoint of the log whose origin has this hash: the note with the log's signatures that
    /// were verified and the witness's own. `None` if none was ever cosigned.
    pub fn checkpoint(&self, origin_hash: &[u8; 32]) -> Option<String> {
        let slot = self.slots().get(origin_hash).map(Arc::clone)?;
        slot.durable.load().as_ref().map(|record| record.note.clone())
    }

    /// Makes durable, and answers, what is pending; then evidence is written. False where there was no room on disk for
    /// what is pending: it stays so.
    pub fn commit(&self) -> bool {
        let is_done = self.0.committer.commit();
        self.0.shelf.keep_waiting();
        is_done
    }

    /// Commits whatever comes until [`Witness::close`], and beside that writes evidence; for a thread of its own. What
    /// waited is written when it returns.
    pub fn run(&self) {
        let Shared { committer, shelf, .. } = &*self.0;
        std::thread::scope(|scope| {
            let _closing = Closing(shelf);
            let name = "soulchain-evidence".to_owned();
            if let Err(error) = std::thread::Builder::new().name(name).spawn_scoped(scope, || shelf.run()) {
                tracing::error!(%error, "no thread for evidence: it waits in memory, and is written when the witness stops");
            }
            committer.run();
        });
        shelf.finish();
    }

    /// Takes no more requests; those that are pending are brought to their end.
    pub fn close(&self) {
        self.0.committer.queue.close();
    }

    /// The witness's keys.
    pub fn keys(&self) -> &WitnessKeys {
        &self.0.keys
    }

    /// Serves these logs from now on. What is remembered of others stays.
    pub fn set_logs(&self, logs: LogList) {
        self.0.logs.store(Arc::new(logs));
    }

    /// How many logs are listed.
    pub fn logs(&self) -> usize {
        self.0.logs.load().len()
    }

    /// Of how many logs something is remembered, listed or not.
    pub fn remembered(&self) -> usize {
        self.slots().len()
    }

    /// Why nothing is cosigned any more, if that is so.
    pub fn latched(&self) -> Option<&str> {
        self.0.committer.latched()
    }

    /// Whether what was cosigned waits for room on disk.
    pub fn is_out_of_room(&self) -> bool {
        self.0.committer.is_out_of_room()
    }

    /// How many files of evidence wait to be written, or could not be.
    pub fn unwritten_evidence(&self) -> usize {
        self.0.shelf.unwritten()
    }

    /// How often a contradiction of a log left no evidence for want of room.
    pub fn dropped_evidence(&self) -> u64 {
        self.0.shelf.dropped()
    }

    /// Whether evidence is written at all: not where its folder could not be read at the start.
    pub fn keeps_evidence(&self) -> bool {
        self.0.shelf.is_readable()
    }

    /// Whether the time of a clock can be that of cosignatures, by those that were remembered at the start. Whoever serves
    /// requests asks before [`Witness::submit`]; after the first time that can be it always can.
    pub fn check_clock(&self, now: Timestamp) -> Result<(), ClockDoubt> {
        self.0.clock.check(now)
    }

    fn judge(&self, request: &[u8], now: Timestamp) -> Result<Submitted, Outcome> {
        if self.latched().is_some() {
            return Err(Outcome::Latched);
        }
        let AddCheckpoint { old, proof, checkpoint: offered } =
            AddCheckpoint::parse(request).map_err(Outcome::Malformed)?;
        let logs = self.0.logs.load();
        let keys = logs.keys(&offered.origin).ok_or_else(|| Outcome::UnknownLog(offered.origin.clone()))?;
        let origin = Origin::parse(&offered.origin).map_err(Outcome::Malformed)?;
        let mut by_log = offered.verify(keys).map_err(Outcome::NotSigned)?;
        if old > offered.size {
            return Err(Outcome::OldSizeAbove { old, size: offered.size });
        }
        let slot = self.slot(&origin);
        let mut state = slot.lock();
        if let Some(found) = Contradiction::of(state.newest.as_deref(), &origin, &offered) {
            self.0.shelf.take(&found, || found.exhibit(&by_log, keys, &self.0.keys));
        }
        let checkpoint = match judge_growth(state.newest.as_deref(), old, &proof, &origin, &offered) {
            Ok(checkpoint) => checkpoint,
            Err(refusal) => return self.after(&slot, &state, refusal),
        };
        if let Some(repeated) = state.newest.as_ref().and_then(|newest| Repeated::of(newest, &offered)) {
            if let Some(lines) = repeated.given(now, &by_log, &self.0.keys) {
                return self.after(&slot, &state, Outcome::Signed(lines));
            }
            repeated.complete(&mut by_log, &offered, keys);
        }
        // The clock may have been set back; what was said before was said before.
        let time = now.max(state.newest.as_ref().map_or(FIRST, |newest| newest.time));
        let lines = signature_lines(&self.0.keys.cosign(&checkpoint, offered.extensions(), time));
        let note = format!("{}\n{}{lines}", offered.text(), signature_lines(&by_log));
        if note.len() > MAX_NOTE_LEN {
            // Nobody could read what is remembered, this witness included.
            return self.after(&slot, &state, Outcome::Malformed(TlogError::NoteLen { len: note.len() }));
        }
        let Offered { size, root, .. } = offered;
        let record = Arc::new(Record { time, size, root, origin, note });
        let pushed = self.0.committer.queue.push(&slot, Some(Arc::clone(&record)), Outcome::Signed(lines));
        let (number, answer) = pushed.map_err(Full::outcome)?;
        (state.newest, state.number) = (Some(record), number);
        Ok(Submitted::Pending(Pending(answer)))
    }

    /// An answer by what is remembered of a log: it must not leave before that is durable.
    fn after(&self, slot: &Arc<Slot>, state: &LogState, outcome: Outcome) -> Result<Submitted, Outcome> {
        if self.0.committer.is_durable(state.number) {
            return Err(outcome);
        }
        let (_, answer) = self.0.committer.queue.push(slot, None, outcome).map_err(Full::outcome)?;
        Ok(Submitted::Pending(Pending(answer)))
    }

    fn judge_subtree(&self, request: &[u8]) -> Result<String, Outcome> {
        if !self.0.keys.can_sign_subtrees() {
            return Err(Outcome::NoSubtreeKey);
        }
        let SignSubtree { subtree, hash, proof, checkpoint } =
            SignSubtree::parse(request).map_err(Outcome::Malformed)?;
        verify_subtree_consistency(subtree, checkpoint.size, &hash, &checkpoint.root, &proof)
            .map_err(Outcome::Inconsistent)?;
        if self.0.logs.load().keys(&checkpoint.origin).is_none() {
            return Err(Outcome::UnknownLog(checkpoint.origin));
        }
        let origin = Origin::parse(&checkpoint.origin).map_err(Outcome::Malformed)?;
        // What bears our cosignature was held against all that came before it, and remembered, when it was made.
        // What is signed then is a part of the tree, and no other line.
        checkpoint.verify_tree(self.0.keys.verifiers()).map_err(Outcome::NotSigned)?;
        Ok(signature_lines(&self.0.keys.cosign_subtree(&LogSubtree { origin, subtree, hash })))
    }

    fn slot(&self, origin: &Origin) -> Arc<Slot> {
        let hash = origin.hash();
        let found = self.slots().get(&hash).map(Arc::clone);
        found.unwrap_or_else(|| {
            let mut slots = self.0.slots.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(hash).or_default())
        })
    }

    fn slots(&self) -> RwLockReadGuard<'_, HashMap<[u8; 32], Arc<Slot>>> {
        self.0.slots.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the thread that writes evidence, however what commits has ended.
struct Closing<'a>(&'a Shelf);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Pending {
    /// The answer, if it is there.
    pub fn now(mut self) -> Option<Outcome> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            // The witness was closed before it was written.
            Err(oneshot::error::TryRecvError::Closed) => Some(Outcome::Overloaded),
        }
    }

    /// Waits for the answer.
    pub async fn answered(self) -> Outcome {
        self.0.await.unwrap_or(Outcome::Overloaded)
    }
}

/// The least time of a cosignature: 0 says nothing of when.
const FIRST: Timestamp = Timestamp::new(1).expect("a second after the epoch is a time");

/// Holds a checkpoint against the newest that was cosigned of its log.
fn judge_growth(
    newest: Option<&Record>,
    old: TreeSize,
    proof: &[Hash],
    origin: &Origin,
    offered: &Offered,
) -> Result<Checkpoint, Outcome> {
    let (cosigned, old_root) = newest.map_or((TreeSize::ZERO, EMPTY_ROOT), |newest| (newest.size, newest.root));
    let Offered { size, root, .. } = *offered;
    if old != cosigned {
        return Err(Outcome::Conflict { cosigned });
    }
    let checkpoint = Checkpoint::new(origin.clone(), size, root).map_err(|_| Outcome::EmptyRoot)?;
    if old == TreeSize::ZERO && !proof.is_empty() {
        return Err(Outcome::ProofFromNothing);
    }
    if old == size && old_root != root {
        return Err(Outcome::OtherRoot { size });
    }
    verify_consistency(old, size, &old_root, &root, proof).map_err(Outcome::Inconsistent)?;
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::storage::OsDisk;
    use crate::tlog::{Cosigner, Ed25519Signer, KeyName, Note};
    use crate::witness::create_with_segments;

    #[test]
    fn what_commits_does_not_wait_for_who_judges_a_request() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(directory.path()).unwrap());
        let name = |name: &str| KeyName::parse(name).unwrap();
        let keys = WitnessKeys::new(vec![Cosigner::from_seed(name("witness.example"), &[1; 32])]).unwrap();
        create_with_segments(&disk, &keys, [7; 32], 64 << 10).unwrap();
        let log = Ed25519Signer::from_seed(name("log.example"), &[2; 32]);
        let listed = LogList::parse(format!("log {}\n", log.vkey()).as_bytes()).unwrap();
        let (witness, _) = Witness::open(&disk, keys, listed, WitnessOptions::default()).unwrap();
        let origin = Origin::parse("log.example").unwrap();
        let checkpoint = Checkpoint::new(origin.clone(), TreeSize::new(1), Hash::from_bytes([3; 32])).unwrap();
        let note = Note::sign(&checkpoint.to_string(), &log).unwrap();
        let request = format!("old 0\n\n{note}");
        let submitted = witness.submit(request.as_bytes(), Timestamp::new(9).unwrap());
        let slot = witness.slot(&origin);
        let judging = slot.lock();
        let (done, waits) = mpsc::channel();
        let committing = std::thread::spawn({
            let witness = witness.clone();
            move || done.send(witness.commit())
        });
        // It comes at once; the time is for the test to end where it does not.
        assert_eq!(waits.recv_timeout(Duration::from_mins(1)), Ok(true));
        assert!(witness.checkpoint(&origin.hash()).is_some());
        drop(judging);
        committing.join().unwrap().unwrap();
        let Submitted::Pending(pending) = submitted else { panic!() };
        assert!(matches!(pending.now(), Some(Outcome::Signed(_))));
    }
}
