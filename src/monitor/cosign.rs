//! Cosigning what was replayed without a fault, and answering for it as a witness does (tlog-witness).
//!
//! The [`Desk`] is between those who ask and the rounds: it has what was cosigned, and takes checkpoints that a log offers
//! before it publishes them. A cosignature is made by a round alone, after it has replayed to that size and has made it
//! durable; of one log the sizes only grow, and each tree begins with the one before.
//!
//! What is to be cosigned is judged at the door: only a proven step forward from what was cosigned last has a place, and of
//! these the largest alone. All else that the log signed is refused at once, and remembered within bounds, to be compared.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::log::{LogMonitor, World};
use crate::encoding::hex_encode;
use crate::hash::Hash;
use crate::merkle::{EMPTY_ROOT, TreeSize};
use crate::tlog::{
    AddCheckpointRequest, Cosigner, NoteVerifier, Origin, SignedCheckpoint, Timestamp, TlogError, signature_lines,
};
use crate::verify::OneSigned;

/// Most checkpoints of one log, not older than what was cosigned, that are refused and wait to be compared in a round.
const MAX_REFUSED: usize = 64;
/// The same of older ones: a log has signed many, and anybody can bring them.
const MAX_OLDER: usize = 32;

/// Between rounds that come early, where the last has not cosigned what it took up: whoever brings that again and again makes
/// no rounds without end.
const REST: Duration = Duration::from_secs(5);

/// What is cosigned, for all logs.
#[derive(Default)]
pub struct Desk {
    cosigner: Option<Cosigner>,
    logs: Mutex<BTreeMap<String, Cosigned>>,
    offered: Condvar,
    /// Those who wait for a round look again.
    changed: watch::Sender<()>,
}

struct Cosigned {
    keys: Arc<[NoteVerifier]>,
    /// The tree that was cosigned last, under whichever key.
    tree: (TreeSize, Hash),
    /// The same, with the log's signature and ours; none where it was cosigned under another key.
    note: Option<SignedCheckpoint>,
    /// The largest tree for which a cosignature was allowed.
    pledged: (TreeSize, Hash),
    /// A step forward that waits for a round, and the one that a round has.
    waiting: Option<SignedCheckpoint>,
    at_work: Option<SignedCheckpoint>,
    /// Whether the last round has not cosigned what it took up.
    rests: bool,
    /// Whether nothing of this log is cosigned any more.
    is_closed: bool,
    /// What is not to be cosigned, and may contradict what is followed; and the same of what is older.
    refused: Vec<SignedCheckpoint>,
    older: Vec<SignedCheckpoint>,
}

/// What `add-checkpoint` is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 200: signature lines.
    Cosigned(String),
    /// 409: the size that was cosigned last.
    Conflict(TreeSize),
    /// 503: it is replayed first, or a larger one was offered.
    NotYet,
    /// 400, 403, 404 or 422.
    Refused(u16, &'static str),
}

impl Desk {
    /// A desk; without a cosigner it shows nothing and takes nothing.
    pub fn new(cosigner: Option<Cosigner>) -> Self {
        Self { cosigner, ..Self::default() }
    }

    /// What is shown at `<origin hash>/checkpoint`.
    pub fn checkpoint(&self, origin_hash: &str) -> Option<String> {
        self.logs().get(origin_hash)?.note.as_ref().map(ToString::to_string)
    }

    /// Reads the body of an `add-checkpoint`; or says what it is answered with.
    pub fn read(&self, body: &[u8]) -> Result<AddCheckpointRequest, Answer> {
        if self.cosigner.is_none() {
            return Err(Answer::Refused(404, "this monitor cosigns nothing"));
        }
        AddCheckpointRequest::parse(body).map_err(|error| match error {
            TlogError::EmptyRoot => Answer::Refused(422, "not the root of the empty tree"),
            _ => Answer::Refused(400, "not a request"),
        })
    }

    /// Judges an `add-checkpoint`; what the log signed is taken up for the next round, to be cosigned or to be compared.
    ///
    /// Signatures and proofs are verified while the desk is free for others; if the tree has changed meanwhile, the proof
    /// is looked at again.
    pub fn add_checkpoint(&self, request: &AddCheckpointRequest) -> Answer {
        let claim = request.checkpoint().claim();
        let hash = hex_encode(&claim.origin().hash());
        let Some((keys, mut tree)) = self.logs().get(&hash).map(|log| (Arc::clone(&log.keys), log.tree)) else {
            return Answer::Refused(404, "this log is not followed");
        };
        if request.checkpoint().verify(&keys).is_err() {
            return Answer::Refused(403, "not signed by a key of the log");
        }
        if request.old_size() > claim.size() {
            return Answer::Refused(400, "the old size is greater than that of the checkpoint");
        }
        loop {
            let is_step = request.old_size() == tree.0 && request.verify_consistency(&tree.1).is_ok();
            let mut logs = self.logs();
            let Some(log) = logs.get_mut(&hash) else { return Answer::Refused(404, "this log is not followed") };
            if log.tree == tree {
                return self.take(log, request, is_step);
            }
            tree = log.tree;
        }
    }

    fn take(&self, log: &mut Cosigned, request: &AddCheckpointRequest, is_step: bool) -> Answer {
        let claim = request.checkpoint().claim();
        let cosigned = log.note.as_ref().filter(|note| note.claim() == claim);
        if is_step && let Some(lines) = cosigned.and_then(|note| self.lines(note)) {
            return Answer::Cosigned(lines);
        }
        if is_step && log.is_closed {
            log.refuse(request.checkpoint());
            return Answer::NotYet;
        }
        if is_step {
            if log.step(request.checkpoint()) {
                self.offered.notify_all();
                // One that has lost its place waits no more.
                self.changed.send_replace(());
            }
            return Answer::NotYet;
        }
        if cosigned.is_none() {
            log.refuse(request.checkpoint());
        }
        if request.old_size() == log.tree.0 {
            Answer::Refused(422, "the proof does not hold")
        } else {
            Answer::Conflict(log.tree.0)
        }
    }

    /// What has become of a request that was to wait; `None` while it waits, or a round has it.
    pub fn outcome(&self, request: &AddCheckpointRequest) -> Option<Answer> {
        if let Some(lines) = self.cosigned(request) {
            return Some(Answer::Cosigned(lines));
        }
        let claim = request.checkpoint().claim();
        let logs = self.logs();
        let Some(log) = logs.get(&hex_encode(&claim.origin().hash())) else { return Some(Answer::NotYet) };
        let (size, _) = log.tree;
        if request.old_size() != size {
            return Some(Answer::Conflict(size));
        }
        let is_there = [&log.waiting, &log.at_work].into_iter().flatten().any(|step| step.claim() == claim);
        (!is_there).then_some(Answer::NotYet)
    }

    /// Changes whenever an [`outcome`](Self::outcome) may have.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The cosignature on the checkpoint of a request, once it was made, by the key that cosigns now.
    pub fn cosigned(&self, request: &AddCheckpointRequest) -> Option<String> {
        let claim = request.checkpoint().claim();
        let logs = self.logs();
        let note = logs.get(&hex_encode(&claim.origin().hash()))?.note.as_ref().filter(|note| note.claim() == claim)?;
        self.lines(note)
    }

    /// Our signature lines; `None` where there is none.
    fn lines(&self, note: &SignedCheckpoint) -> Option<String> {
        let key_id = self.cosigner.as_ref()?.vkey().id();
        let ours: Vec<_> = note.note().signatures().iter().filter(|line| line.key_id() == key_id).cloned().collect();
        (!ours.is_empty()).then(|| signature_lines(&ours))
    }

    /// Waits for the time of the next round, or until a log offers something.
    pub fn wait(&self, origin: &Origin, timeout: Duration, is_over: impl Fn() -> bool) {
        const SLICE: Duration = Duration::from_millis(100);
        let (hash, began) = (hex_encode(&origin.hash()), Instant::now());
        let mut logs = self.logs();
        loop {
            let waited = began.elapsed();
            if waited >= timeout || is_over() || logs.get(&hash).is_some_and(|log| log.is_due(waited)) {
                return;
            }
            let slice = SLICE.min(timeout.saturating_sub(waited));
            logs = self.offered.wait_timeout(logs, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing of this log is cosigned any more; what it offers is compared.
    fn close(&self, origin: &Origin) {
        if let Some(log) = self.logs().get_mut(&hex_encode(&origin.hash())) {
            log.is_closed = true;
            if let Some(step) = log.waiting.take() {
                log.refuse(&step);
            }
        }
        self.changed.send_replace(());
    }

    /// What an earlier monitor cosigned. If that was under another key, the tree binds this one, and the signature is not shown.
    pub(super) fn restore(&self, origin: &Origin, keys: &[NoteVerifier], note: Option<&str>) {
        let Some(cosigner) = &self.cosigner else { return };
        let note = note.and_then(|note| SignedCheckpoint::parse(note.as_bytes()).ok());
        let tree = note.as_ref().map_or((TreeSize::ZERO, EMPTY_ROOT), tree_of);
        let note = note.filter(|note| is_signed_by(note, cosigner));
        let log = Cosigned {
            keys: keys.into(),
            tree,
            note,
            pledged: tree,
            waiting: None,
            at_work: None,
            rests: false,
            is_closed: false,
            refused: Vec::new(),
            older: Vec::new(),
        };
        self.logs().insert(hex_encode(&origin.hash()), log);
    }

    /// What a round takes up: what is to be cosigned, then the others, the largest first.
    fn offers(&self, origin: &Origin) -> Vec<SignedCheckpoint> {
        let mut logs = self.logs();
        logs.get_mut(&hex_encode(&origin.hash())).map_or_else(Vec::new, |log| {
            log.at_work = log.waiting.take();
            let mut others = core::mem::take(&mut log.refused);
            others.append(&mut log.older);
            others.sort_by_key(|other| core::cmp::Reverse(other.claim().size()));
            log.at_work.iter().cloned().chain(others).collect()
        })
    }

    /// A round is over: what it had and has not cosigned waits no more.
    pub(super) fn end(&self, origin: &Origin) {
        if let Some(log) = self.logs().get_mut(&hex_encode(&origin.hash())) {
            let step = log.at_work.take();
            log.rests = step.is_some_and(|step| tree_of(&step).0 > log.tree.0);
        }
        self.changed.send_replace(());
    }

    /// Whether a tree may be cosigned: it is larger than all before, or the same as the last. Whoever follows the log, the
    /// key that all share signs no two trees of one size.
    fn pledge(&self, origin: &Origin, tree: (TreeSize, Hash)) -> bool {
        let mut logs = self.logs();
        let Some(log) = logs.get_mut(&hex_encode(&origin.hash())) else { return false };
        let is_allowed = tree.0 > log.pledged.0 || tree == log.pledged;
        if is_allowed {
            log.pledged = tree;
        }
        is_allowed
    }

    fn show(&self, origin: &Origin, note: SignedCheckpoint) {
        if let Some(log) = self.logs().get_mut(&hex_encode(&origin.hash())) {
            log.tree = tree_of(&note);
            log.note = Some(note);
        }
        self.changed.send_replace(());
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<String, Cosigned>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cosigned {
    /// A step forward: the largest has the place. Another may be of another history, so it is compared. Says whether it has
    /// the place now.
    fn step(&mut self, checkpoint: &SignedCheckpoint) -> bool {
        let claim = checkpoint.claim();
        if [&self.waiting, &self.at_work].into_iter().flatten().any(|step| step.claim() == claim) {
            return false;
        }
        if self.waiting.as_ref().is_some_and(|waiting| waiting.claim().size() >= claim.size()) {
            self.refuse(checkpoint);
            return false;
        }
        if let Some(smaller) = self.waiting.replace(checkpoint.clone()) {
            self.refuse(&smaller);
        }
        true
    }

    /// Whether the next round should come early.
    fn is_due(&self, waited: Duration) -> bool {
        self.waiting.is_some() && (!self.rests || waited >= REST)
    }

    /// Remembers what is not to be cosigned, while there is room. For what contradicts at sight there is.
    fn refuse(&mut self, checkpoint: &SignedCheckpoint) {
        let claim = checkpoint.claim();
        let known = [&self.waiting, &self.at_work].into_iter().flatten().chain(&self.refused).map(tree_of);
        let contradicts = known.chain([self.tree]).any(|(size, root)| size == claim.size() && root != claim.root());
        let is_older = claim.size() < self.tree.0;
        let (others, most) = if is_older { (&mut self.older, MAX_OLDER) } else { (&mut self.refused, MAX_REFUSED) };
        if others.iter().any(|other| other.claim() == claim) {
            return;
        }
        if contradicts && others.len() == most {
            others.pop();
        }
        if others.len() < most {
            others.push(checkpoint.clone());
        }
    }
}

fn tree_of(note: &SignedCheckpoint) -> (TreeSize, Hash) {
    (note.claim().size(), note.claim().root())
}

fn is_signed_by(note: &SignedCheckpoint, cosigner: &Cosigner) -> bool {
    let Ok(key) = NoteVerifier::new(cosigner.vkey().clone()) else { return false };
    let text = note.note().text();
    note.note().signatures().iter().any(|line| key.verify(text, line).is_some())
}

impl LogMonitor {
    /// Checkpoints that the log offers before it publishes them: it signed them, so they count.
    pub(super) fn take_offers(&mut self, world: &World<'_>) -> io::Result<()> {
        for offer in self.desk.offers(&self.settings.origin) {
            if let Some(signed) = OneSigned::of(&offer, &self.keys) {
                self.compare(world, signed)?;
            }
        }
        Ok(())
    }

    /// Cosigns the tree that was seen, if all of it was replayed, nothing was ever found, and every smaller tree that is known
    /// here is shown to be in it.
    pub(super) fn cosign(&mut self) -> io::Result<()> {
        let desk = self.desk.clone();
        if self.ledger.memory.is_guilty {
            desk.close(&self.settings.origin);
            return Ok(());
        }
        let (Some(cosigner), Some(seen)) = (&desk.cosigner, &self.seen) else { return Ok(()) };
        if !self.strays.is_done() || !self.is_replayed || !self.is_fresh() || self.is_undecided() {
            return Ok(());
        }
        let Some(time) = Timestamp::new(self.now().get() / 1000) else { return Ok(()) };
        if !desk.pledge(&self.settings.origin, seen.tree()) {
            return Ok(());
        }
        let mut note = seen.get().clone();
        note.add_signature(cosigner.cosign(note.claim(), time)).map_err(io::Error::other)?;
        self.ledger.memory.cosigned = Some(note.to_string());
        self.ledger.save()?;
        desk.show(&self.settings.origin, note);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::tlog::{Checkpoint, Ed25519Signer, KeyName, sign_checkpoint};

    fn step(size: u64) -> SignedCheckpoint {
        let origin = Origin::parse("log.example/a").unwrap();
        let signer = Ed25519Signer::from_seed(origin.key_name().clone(), &[1; 32]);
        let checkpoint = Checkpoint::new(origin, TreeSize::new(size), Hash::from_bytes([1; 32])).unwrap();
        sign_checkpoint(&checkpoint, &signer).unwrap()
    }

    fn desk() -> (Desk, Origin, String) {
        let origin = Origin::parse("log.example/a").unwrap();
        let desk = Desk::new(Some(Cosigner::from_seed(KeyName::parse("m.example").unwrap(), &[60; 32])));
        desk.restore(&origin, &[], None);
        let hash = hex_encode(&origin.hash());
        (desk, origin, hash)
    }

    /// Whoever brings a step that is not cosigned, after each round, has no round after each.
    #[test]
    fn a_step_that_was_in_vain_makes_no_early_round() {
        let (desk, origin, hash) = desk();
        let offer = |size: u64| desk.logs().get_mut(&hash).unwrap().step(&step(size));
        let is_due = |waited: Duration| desk.logs()[&hash].is_due(waited);
        assert!(!is_due(REST));
        assert!(offer(5) && !offer(5), "the same is nothing new");
        assert!(is_due(Duration::ZERO));
        desk.offers(&origin);
        assert!(!is_due(REST), "a round has it");
        desk.end(&origin);
        assert!(offer(5));
        assert!(!is_due(REST.saturating_sub(Duration::from_millis(1))) && is_due(REST));
        // It is cosigned after all, and the next one comes early.
        desk.offers(&origin);
        desk.show(&origin, step(5));
        desk.end(&origin);
        assert!(offer(6) && is_due(Duration::ZERO));
        // A log of which nothing is cosigned has no place, and nobody waits for it.
        desk.close(&origin);
        assert!(!is_due(REST));
    }

    /// The time is measured, however often the round is called.
    #[test]
    fn calls_do_not_shorten_the_wait() {
        const TIME: Duration = Duration::from_millis(300);
        let (desk, origin, _) = desk();
        let (is_over, began) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    desk.offered.notify_all();
                    thread::yield_now();
                }
            });
            desk.wait(&origin, TIME, || false);
            is_over.store(true, Ordering::SeqCst);
        });
        assert!(began.elapsed() >= TIME);
    }
}
