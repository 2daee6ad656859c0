//! The sequencer: the one writer of a log.
//!
//! It takes everything that was submitted while the last commit was in flight, admits it, and makes one frame of it. No
//! timer and no batch age: under load batches grow by themselves. What a crash leaves behind at each step is said there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::batch::{self, Batch, Entry, Transition, has_bodies};
use super::engine::{Shared, Sign, stopped};
use super::erasure::{self, Erasures, Order};
use super::error::SubmitError;
use super::flush::{FlushJob, Flusher};
use super::follow::{ExtendError, Run};
use super::machine::{Machine, ReplayError};
use super::manifest::PublishedNote;
use super::open::apply_entries;
use super::pool::{Answer, Control, Submission, Wait, room_for};
use super::reader::LogReader;
use super::tail::{Stored, Tail};
use super::view::{LogView, Published};
use crate::clock::{Clock, Reading};
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize, root_plan};
use crate::storage::{Commits, FrameBuffer, FrameKind, Mark, StorageError};

/// What the submitter of an admitted group gets.
pub struct Committed<M: Machine> {
    /// The machine's answer.
    pub answer: M::Answer,
    /// The log right after its batch: durable, and all that a proof needs.
    pub view: Arc<LogView<M::State>>,
}

/// A flush starts this long after the first frame that is not flushed, unless [`Options`](super::open::Options) say
/// otherwise.
pub const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Or at this many unflushed bytes.
pub(crate) const FLUSH_AT_BYTES: usize = 32 << 20;
/// And here the sequencer waits for it.
const WAIT_AT_BYTES: usize = 128 << 20;
/// How often the room on disk is looked at, and how long a flush that found none waits before it is done again.
const LOOK_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Sequencer<M: Machine> {
    pub(crate) shared: Arc<Shared<M>>,
    pub(crate) machine: M,
    pub(crate) commits: Box<dyn Commits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tail: Tail,
    pub(crate) root: Hash,
    pub(crate) signer: SignerThread,
    pub(crate) flushes: FlushQueue,
    pub(crate) erasures: Erasures,
    pub(crate) published: PublishedNote,
    pub(crate) last_batch: Option<Instant>,
}

/// What the sequencer knows of flushing.
pub(crate) struct FlushQueue {
    jobs: SyncSender<FlushJob>,
    after: Duration,
    in_flight: bool,
    unflushed_bytes: usize,
    in_flight_bytes: usize,
    first_unflushed: Option<Instant>,
    /// Who waits for a flush up to the frame of this number.
    waiting: Vec<(u64, oneshot::Sender<Result<(), StorageError>>)>,
    /// A flush has ended without its end: what it took with it is in the journal, and no later one may pass it.
    given_up: bool,
}

impl FlushQueue {
    pub(crate) fn new(jobs: SyncSender<FlushJob>, after: Duration) -> Self {
        Self {
            jobs,
            after,
            in_flight: false,
            unflushed_bytes: 0,
            in_flight_bytes: 0,
            first_unflushed: None,
            waiting: Vec::new(),
            given_up: false,
        }
    }

    /// Whether it is time for a flush; `awaited` where somebody waits for one.
    fn is_due(&self, awaited: bool) -> bool {
        let old = self.first_unflushed.is_some_and(|at| at.elapsed() >= self.after);
        let awaited = self.first_unflushed.is_some() && (awaited || !self.waiting.is_empty());
        self.may_start() && (old || awaited || self.unflushed_bytes >= FLUSH_AT_BYTES)
    }

    fn may_start(&self) -> bool {
        !self.in_flight && !self.given_up
    }

    fn deadline(&self) -> Option<Instant> {
        if self.may_start() { self.first_unflushed.map(|at| at + self.after) } else { None }
    }

    fn bytes(&self) -> usize {
        self.unflushed_bytes + self.in_flight_bytes
    }

    /// Tells those who wait for it that everything up to `mark` is flushed.
    fn flushed(&mut self, mark: &Mark) {
        self.ended();
        for (_, waiter) in self.waiting.extract_if(.., |(number, _)| *number <= mark.number) {
            let _ = waiter.send(Ok(()));
        }
    }

    fn ended(&mut self) {
        self.in_flight = false;
        self.in_flight_bytes = 0;
    }

    fn grew(&mut self, bytes: usize) {
        self.unflushed_bytes += bytes;
        self.first_unflushed.get_or_insert_with(Instant::now);
    }
}

impl<M: Machine> Sequencer<M> {
    pub(crate) fn run(mut self) {
        // However this thread ends, nobody waits for it for ever.
        let guard = Guard(Arc::clone(&self.shared));
        loop {
            let work = self.shared.pool.work(self.wait());
            for control in work.controls {
                self.control(control);
            }
            if !work.submissions.is_empty() {
                self.batch(work.submissions);
            }
            if self.flushes.is_due(self.erasures.is_awaited())
                || (work.closed && self.flushes.first_unflushed.is_some())
            {
                self.start_flush();
            }
            self.shared.set_unflushed(self.flushes.bytes());
            let is_latched = self.shared.latch.is_set();
            if is_latched && !self.flushes.in_flight {
                self.give_up_waiting();
            }
            let nothing_to_flush = self.flushes.first_unflushed.is_none() || self.flushes.given_up;
            let idle = !self.flushes.in_flight && nothing_to_flush;
            if work.closed && (idle || is_latched) {
                break;
            }
        }
        drop(guard);
    }

    /// For what to wait. Once latched there is nothing to flush, and submissions are taken to be refused.
    fn wait(&self) -> Wait {
        if self.shared.latch.is_set() {
            return Wait { take: true, may_end: true, deadline: None };
        }
        let gap_ends = self.last_batch.map(|at| at + M::LEAST_GAP).filter(|at| *at > Instant::now());
        Wait {
            take: gap_ends.is_none() && self.flushes.bytes() < WAIT_AT_BYTES,
            may_end: !self.flushes.in_flight,
            deadline: gap_ends.into_iter().chain(self.flushes.deadline()).min(),
        }
    }

    fn control(&mut self, control: Control<M>) {
        match control {
            Control::Publish(note, state, answer) => {
                // Nobody waiting for it changes nothing.
                let _ = answer.send(self.publish(note, state));
            }
            Control::Extend(run, answer) => {
                let _ = answer.send(self.extend(&run));
            }
            // Whoever waits is told by the answer being dropped.
            Control::Flush(_) | Control::Erase(..) if self.shared.latch.is_set() => {}
            Control::Erase(order) => {
                if let Some(order) = self.erasures.join(order) {
                    self.erase(order);
                }
            }
            Control::FlushFailed => {
                self.flushes.ended();
                self.flushes.given_up = true;
                self.give_up_waiting();
            }
            Control::Flush(answer) if self.flushes.in_flight || self.flushes.first_unflushed.is_some() => {
                self.flushes.waiting.push((self.commits.last().number, answer));
            }
            Control::Flush(answer) => {
                let _ = answer.send(Ok(()));
            }
            Control::Flushed { size, mark } => {
                self.tail.drop_below(size);
                let finished = self.clean_journal(&mark);
                let owed = self.shared.owed();
                let indexes = finished.iter().flat_map(erasure::Finished::indexes);
                for index in indexes.filter(|index| !owed.contains_key(index)) {
                    self.shared.store.end_erasure(index);
                }
                self.shared.trim_view(&self.tail);
                self.flushes.flushed(&mark);
                if let Some(finished) = finished {
                    finished.tell(&owed);
                }
            }
        }
    }

    /// Removes from the journal what nobody reads any more, now that the manifest rests on `mark`. Gives the erasures
    /// that are finished by that.
    fn clean_journal(&mut self, mark: &Mark) -> Option<erasure::Finished> {
        let dropped = self.commits.drop_before(mark);
        if let Err(error) = &dropped
            && !self.erasures.is_awaited()
        {
            // The segments stay until the next flush; nothing rests on them.
            tracing::warn!(%error, "old journal segments could not be removed");
            return None;
        }
        match dropped.and_then(|()| self.erasures.wipe_journal(&mut *self.commits, mark)) {
            Ok(finished) => Some(finished),
            Err(error) => {
                // What is to be gone may still be there: opening drops it.
                self.shared.latch.set(&error);
                None
            }
        }
    }

    fn give_up_waiting(&mut self) {
        self.flushes.waiting.clear();
        self.erasures.give_up();
    }

    /// Commits an erasure. No read that begins after that is given the body; who ordered it waits until it is gone.
    fn erase(&mut self, order: Order) {
        let index = order.body.index;
        let frame = erasure::encode(index);
        let len = frame.payload().len();
        let appended = self.commits.reserve(len).and_then(|()| self.commits.append(FrameKind::Erasure, frame));
        match appended {
            Ok(mark) => {
                self.shared.store.begin_erasure(index);
                self.tail.erase(index);
                self.flushes.grew(len);
                self.erasures.begin(order, &mark);
            }
            Err(error) => {
                if !error.outcome_is_known() {
                    self.shared.latch.set(&error);
                }
                order.answer(Err(error));
            }
        }
    }

    fn batch(&mut self, submissions: Vec<Submission<M>>) {
        if self.shared.latch.is_set() {
            return refuse_all(submissions, || SubmitError::Latched { may_be_logged: false });
        }
        // A crash before the append leaves nothing behind. Room is made sure of before the machine is touched.
        match self.commits.reserve(room_for(&submissions)) {
            Ok(()) if !self.shared.latch.is_low_on_space() => {}
            Err(error) if !error.outcome_is_known() => {
                self.shared.latch.set(&error);
                return refuse_all(submissions, || SubmitError::Latched { may_be_logged: false });
            }
            _ => return refuse_all(submissions, || SubmitError::NoSpace),
        }
        let now = match self.clock.read(self.machine.least_time()) {
            Reading::Time(now) => now,
            Reading::Jumped => return refuse_all(submissions, || SubmitError::ClockJumped),
        };
        let read_at = Instant::now();
        self.machine.begin(now);
        let mut batch = Batch::new(self.tail.size());
        let mut answers = Vec::with_capacity(submissions.len());
        for submission in submissions {
            answers.push((submission.answer, self.machine.admit(submission.group, &mut batch)));
        }
        if batch.is_empty() {
            self.machine.abandon();
            let view = self.shared.view();
            return answer_all(answers, &view);
        }
        // Between two readings: the time that a commit takes is part of the gap.
        self.last_batch = Some(read_at);
        self.machine.seal(&mut batch);
        match self.commit(&batch) {
            Ok(view) => answer_all(answers, &view),
            Err(error) => {
                self.shared.latch.set(&error);
                for (answer, _) in answers {
                    let _ = answer.send(Err(SubmitError::Latched { may_be_logged: true }));
                }
            }
        }
    }

    /// Takes a run that the log that is followed has ordered. It is folded as recovery folds a frame, before it becomes
    /// one: what does not fit the rules is never committed. Then the machine cannot go on, so the engine latches.
    fn extend(&mut self, run: &Run) -> Result<Arc<LogView<M::State>>, ExtendError> {
        if self.shared.latch.is_set() {
            return Err(ExtendError::Stopped);
        }
        if run.start != self.tail.size() {
            return Err(ExtendError::NotNext { size: self.tail.size() });
        }
        match self.commits.reserve(run.encoded_len()) {
            Ok(()) if !self.shared.latch.is_low_on_space() => {}
            Err(error) if !error.outcome_is_known() => {
                self.shared.latch.set(&error);
                return Err(ExtendError::Stopped);
            }
            _ => return Err(ExtendError::NoSpace),
        }
        let stored: Vec<_> = run.entries.iter().map(Stored::from).collect();
        let mut tail = self.tail.clone();
        let before = LogReader::new(&self.shared.store, &self.tail);
        let hashed = stored.iter().cloned().zip(run.entries.iter().map(Entry::leaf));
        let folded = apply_entries(&mut self.machine, &mut tail, &before, hashed).and_then(|()| {
            let last = stored.last().map(|stored| &stored.entry[..]);
            let index = LeafIndex::new(tail.size().get().saturating_sub(1));
            self.machine.check(last).map_err(|what| ReplayError { index, what })
        });
        if let Err(fault) = folded {
            let ReplayError { index, what } = &fault;
            self.shared.latch.set_reason(format!("entry {index} of the log that is followed breaks the rules: {what}"));
            return Err(ExtendError::Rules(fault));
        }
        self.commit_tree(tail, &stored).map_err(|error| {
            self.shared.latch.set(&error);
            ExtendError::Stopped
        })
    }

    /// Makes a batch durable and publishes its view.
    fn commit(&mut self, batch: &Batch) -> Result<Arc<LogView<M::State>>, StorageError> {
        let mut tail = self.tail.clone();
        for (stored, leaf) in batch.entries.iter().zip(&batch.leaves) {
            tail.push(stored.clone(), *leaf);
        }
        self.commit_tree(tail, &batch.entries)
    }

    /// The same for a tree that has these entries already.
    fn commit_tree(&mut self, tail: Tail, entries: &[Stored]) -> Result<Arc<LogView<M::State>>, StorageError> {
        let weight = entries.iter().map(Stored::weight).sum();
        let before = (self.tail.size(), self.root);
        let after = (tail.size(), tail_root(&tail));
        let frame = batch::encode(&Transition { before, after }, entries);
        let payload_len = frame.payload().len();
        // The signature is made while the disk works. It stays in memory: no storage ever holds a signature on a root
        // that is not committed.
        self.signer.start(after.0, after.1);
        // A crash during the append leaves a torn frame or a whole one. Nobody has been told yet; both are right.
        let appended = self.commits.append(FrameKind::Batch, frame);
        let checkpoint = self.signer.finish(after.0, after.1);
        let mark = appended?;
        // From here on the batch is durable.
        if has_bodies(entries) {
            self.erasures.wrote_bodies(before.0.get()..after.0.get(), mark, payload_len);
        }
        self.tail = tail;
        self.root = after.1;
        self.flushes.grew(weight);
        let view = Arc::new(LogView::new(self.tail.clone(), after.1, checkpoint, self.machine.state()));
        self.shared.set_view(Arc::clone(&view));
        Ok(view)
    }

    /// Makes a published checkpoint durable before it is served, so that `/checkpoint` never goes back.
    fn publish(&mut self, note: PublishedNote, state: M::State) -> Result<(), StorageError> {
        if self.shared.latch.is_set() {
            return Err(stopped("publication"));
        }
        if note.size < self.published.size || note.size > self.tail.size() {
            return Ok(());
        }
        let payload = note.encode();
        let mut frame = FrameBuffer::with_capacity(payload.len());
        frame.raw(&payload);
        let appended =
            self.commits.reserve(payload.len()).and_then(|()| self.commits.append(FrameKind::Published, frame));
        if let Err(error) = appended {
            if !error.outcome_is_known() {
                self.shared.latch.set(&error);
            }
            return Err(error);
        }
        self.shared.set_published(Published {
            note: note.note.clone().into(),
            size: note.size,
            root: note.root,
            state: Some(state),
        });
        self.flushes.grew(note.note.len());
        self.published = note;
        Ok(())
    }

    /// Hands everything up to this frame boundary to the flusher.
    fn start_flush(&mut self) {
        if !self.flushes.may_start() || self.shared.latch.is_set() {
            return;
        }
        let mut changes = self.machine.changes();
        changes.applied = self.tail.size();
        let job = FlushJob {
            tail: self.tail.clone(),
            root: self.root,
            mark: self.commits.last(),
            published: self.published.clone(),
            changes,
            erasures: self.erasures.bodies(),
        };
        self.flushes.first_unflushed = None;
        self.flushes.in_flight = self.flushes.jobs.send(job).is_ok();
        self.flushes.in_flight_bytes = std::mem::take(&mut self.flushes.unflushed_bytes);
    }
}

/// The root of the tree, all of whose peaks lie at the right edge.
pub(crate) fn tail_root(tail: &Tail) -> Hash {
    let found: Result<Hash, TreeSize> = root_plan(tail.size()).root(|node| tail.node(node).ok_or(tail.size()));
    found.expect("peaks of a tree lie in the partial tiles of its right edge, which the tail always holds")
}

fn refuse_all<M: Machine>(submissions: Vec<Submission<M>>, error: impl Fn() -> SubmitError<M::Refusal>) {
    for submission in submissions {
        let _ = submission.answer.send(Err(error()));
    }
}

type Verdict<M> = (oneshot::Sender<Answer<M>>, Result<<M as Machine>::Answer, <M as Machine>::Refusal>);

fn answer_all<M: Machine>(answers: Vec<Verdict<M>>, view: &Arc<LogView<M::State>>) {
    for (sender, verdict) in answers {
        let answer = match verdict {
            Ok(answer) => Ok(Committed { answer, view: Arc::clone(view) }),
            Err(refusal) => Err(SubmitError::Refused(refusal)),
        };
        // A submitter that went away loses only its answer.
        let _ = sender.send(answer);
    }
}

struct Guard<M: Machine>(Arc<Shared<M>>);

impl<M: Machine> Drop for Guard<M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.latch.set_reason("the sequencer stopped unexpectedly".into());
        }
        drop(self.0.pool.drain());
    }
}

/// Signs checkpoints beside the write path.
pub(crate) struct SignerThread {
    orders: SyncSender<(TreeSize, Hash)>,
    notes: Receiver<Arc<[u8]>>,
    sign: Sign,
}

impl SignerThread {
    pub(crate) fn start_thread(sign: Sign) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel::<(TreeSize, Hash)>(1);
        let (outbox, notes) = sync_channel(1);
        let signer = Arc::clone(&sign);
        std::thread::Builder::new().name("soulchain-signer".into()).spawn(move || {
            for (size, root) in inbox {
                if outbox.send(signer(size, &root).into()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { orders, notes, sign })
    }

    fn start(&mut self, size: TreeSize, root: Hash) {
        // Without the thread `finish` does it.
        let _ = self.orders.send((size, root));
    }

    /// The note that was started for this size and root.
    fn finish(&mut self, size: TreeSize, root: Hash) -> Arc<[u8]> {
        // Without the thread it is done here: later, not wrong.
        self.notes.recv().unwrap_or_else(|_| (self.sign)(size, &root).into())
    }
}

/// Runs flushes, one after the other, reports each to the sequencer, and looks now and then how much room is left.
pub(crate) fn run_flushes<M: Machine>(shared: &Arc<Shared<M>>, mut flusher: Flusher, jobs: &Receiver<FlushJob>) {
    loop {
        shared.latch.set_low_on_space(flusher.is_low_on_space(shared.unflushed()));
        match jobs.recv_timeout(LOOK_AFTER) {
            Ok(job) => {
                let mut guard = FlushGuard { shared, ended: Control::FlushFailed };
                if run_flush(shared, &mut flusher, &job) {
                    guard.ended = Control::Flushed { size: job.tail.size(), mark: job.mark };
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Whether it came to its end.
fn run_flush<M: Machine>(shared: &Arc<Shared<M>>, flusher: &mut Flusher, job: &FlushJob) -> bool {
    while let Err(error) = flusher.flush(job) {
        if !error.outcome_is_known() {
            shared.latch.set(&error);
            return false;
        }
        tracing::warn!(%error, "a flush found no room");
        shared.latch.set_low_on_space(true);
        if shared.pool.is_closed() {
            // What it was to write is in the journal.
            return false;
        }
        std::thread::sleep(LOOK_AFTER);
    }
    shared.set_flushed(flusher.flushed());
    shared.set_owed(flusher.owed().clone());
    true
}

/// However a flush ends, the sequencer hears of it.
struct FlushGuard<'a, M: Machine> {
    shared: &'a Arc<Shared<M>>,
    ended: Control<M>,
}

impl<M: Machine> Drop for FlushGuard<'_, M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.latch.set_reason("a flush stopped unexpectedly".into());
        }
        self.shared.pool.control(std::mem::replace(&mut self.ended, Control::FlushFailed));
    }
}
