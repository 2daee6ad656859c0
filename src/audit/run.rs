//! The audit itself: checkpoint, what was seen before, entries in order, and what they come to.

use super::batch::Batch;
use super::crew::Crew;
use super::finding::{CheckpointFault, Finding, FindingView, TileFault};
use super::source::{Source, SourceError};
use super::state::{self, Keep, Noted, State, StateError};
use super::tree::{Edge, continues};
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::{Frontier, LeafIndex, TreeSize};
use crate::registry::{CLOCK_LEEWAY_MS, Prepared, Registry, Replay, Stop};
use crate::soul::LogId;
use crate::tlog::{Origin, Policy, SignedCheckpoint, TILE_WIDTH};
use core::fmt;

/// What to audit, and by whose keys.
pub struct Request<'a> {
    /// The log's files.
    pub source: &'a dyn Source,
    /// Whom to believe.
    pub policy: &'a Policy,
    /// Which log this should be.
    pub origin: &'a Origin,
    /// Where an earlier audit of this log ended.
    pub resume: Option<State>,
    /// Where to keep what the next one needs.
    pub keep: Option<&'a dyn Keep>,
    /// Entries after which that is done on the way; in a large log it is done less often.
    pub keep_every: u64,
    /// The auditor's clock.
    pub now: UnixMillis,
    /// How many threads check entries.
    pub threads: usize,
}

/// What happens during an audit.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// Something is wrong.
    Found(&'e Finding),
    /// Something that an earlier audit had found.
    Known(&'e FindingView),
    /// The next entry, before it is judged; what is found wrong with it is told after it.
    Entry(LeafIndex, &'e Prepared),
    /// How many entries were taken, of how many.
    Progress(TreeSize, TreeSize),
}

/// What an audit came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Size and root that the checkpoint claims; `None` where it cannot be read or is of another log.
    pub claim: Option<(TreeSize, Hash)>,
    /// Entries that an earlier audit had judged.
    pub began: TreeSize,
    /// Entries that are judged now, these included.
    pub judged: TreeSize,
    /// Links among those that this audit has judged.
    pub links: u64,
    /// Trailers among them.
    pub trailers: u64,
    /// Records in the state map.
    pub identities: u64,
    /// The log's time.
    pub log_time: UnixMillis,
    /// What this audit has found.
    pub faults: u64,
    /// What earlier ones had found.
    pub known: u64,
    /// Why entries from here on are not judged.
    pub blind: Option<Blind>,
}

/// Why entries are not judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blind {
    /// The log keeps later rules from here on.
    Rules(Stop),
    /// Entries are missing from here on.
    Missing(LeafIndex),
}

/// Why an audit has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditError {
    /// The log cannot be read.
    Source(SourceError),
    /// The state cannot be kept.
    State(StateError),
}

/// Entries between two states that are kept on the way.
pub const KEEP_EVERY: u64 = 1 << 18;

/// An audit at work.
struct Run<'a, 'l> {
    request: &'a Request<'a>,
    listen: &'l mut dyn FnMut(Event<'_>),
    signed: SignedCheckpoint,
    /// Whether the policy accepts the checkpoint: what it says then binds the log.
    is_accepted: bool,
    replay: Replay,
    tree: Tree,
    edge: Edge,
    /// Leaf hashes of the entries since the last full bundle.
    leaves: Vec<Hash>,
    last_is_trailer: Option<bool>,
    noted: Noted,
    kept: TreeSize,
    report: Report,
}

/// Who knows the tree so far.
enum Tree {
    /// The replay, which has taken all entries.
    Replayed,
    /// Its frontier; the replay has stopped before.
    Hashed(Frontier),
    /// Nobody: leaves are missing.
    Unknown,
}

/// Audits a log: every hash, signature, rule and trailer that its checkpoint covers.
///
/// An error says that the log could not be read to the end; what was found until then has been told.
pub fn audit(request: Request<'_>, listen: &mut dyn FnMut(Event<'_>)) -> Result<Report, AuditError> {
    follow(request, listen).map(|(report, _)| report)
}

/// The same, and hands back where it ended, if all that was judged is shown to be the tree of the checkpoint.
pub fn follow(
    mut request: Request<'_>,
    listen: &mut dyn FnMut(Event<'_>),
) -> Result<(Report, Option<State>), AuditError> {
    let note = request.source.checkpoint()?;
    let resume = request.resume.take();
    if let Some(state) = &resume {
        state.noted.findings.iter().for_each(|known| listen(Event::Known(known)));
    }
    let mut report = Report::new(resume.as_ref());
    let signed = match read_checkpoint(&note, request.origin) {
        Ok(signed) => signed,
        Err(fault) => {
            listen(Event::Found(&Finding::Checkpoint(fault)));
            report.faults += 1;
            return Ok((report, None));
        }
    };
    report.claim = Some((signed.claim().size(), signed.claim().root()));
    let seen = resume.as_ref().map(|state| (state.seen.claim().size(), state.seen.claim().root()));
    let state = match resume {
        Some(state) => state,
        None => State::new(request.origin.clone(), signed.clone()),
    };
    let mut run = Run::new(&request, listen, signed, state, report);
    run.judge_checkpoint();
    if run.continues(seen)? {
        run.entries()?;
        run.finish()?;
        return Ok(run.into_state());
    }
    Ok((run.report, None))
}

fn read_checkpoint(note: &[u8], origin: &Origin) -> Result<SignedCheckpoint, CheckpointFault> {
    let signed = SignedCheckpoint::parse(note).map_err(CheckpointFault::Malformed)?;
    match signed.claim().origin() {
        found if found == origin => Ok(signed),
        other => Err(CheckpointFault::Origin(other.clone())),
    }
}

impl<'a, 'l> Run<'a, 'l> {
    fn new(
        request: &'a Request<'a>,
        listen: &'l mut dyn FnMut(Event<'_>),
        signed: SignedCheckpoint,
        state: State,
        report: Report,
    ) -> Self {
        let kept = state.replay.size();
        let leaves = state.edge.leaves().to_vec();
        Self {
            request,
            listen,
            signed,
            is_accepted: false,
            replay: state.replay,
            tree: Tree::Replayed,
            edge: state.edge,
            leaves,
            last_is_trailer: None,
            noted: state.noted,
            kept,
            report,
        }
    }

    fn size(&self) -> TreeSize {
        self.signed.claim().size()
    }

    fn judge_checkpoint(&mut self) {
        match self.request.policy.verify_checkpoint(&self.signed) {
            Ok(_) => self.is_accepted = true,
            Err(error) => self.found(&Finding::Checkpoint(CheckpointFault::Signature(error))),
        }
    }

    /// Whether the log continues what it had signed before; if not, there is nothing to go on from.
    fn continues(&mut self, seen: Option<(TreeSize, Hash)>) -> Result<bool, AuditError> {
        let Some((seen, seen_root)) = seen else { return Ok(true) };
        let now = (self.size(), self.signed.claim().root());
        let fault = if seen > now.0 {
            CheckpointFault::RolledBack { seen, now: now.0 }
        } else if !continues(self.request.source, (seen, seen_root), now)? {
            CheckpointFault::Forked { seen, seen_root }
        } else {
            return Ok(true);
        };
        self.found(&Finding::Checkpoint(fault));
        Ok(false)
    }

    fn entries(&mut self) -> Result<(), AuditError> {
        let (from, to) = (self.replay.size(), self.size());
        if from == to {
            return Ok(());
        }
        let width = u64::from(TILE_WIDTH);
        let log_id = LogId::of_origin(self.request.origin.as_str());
        let (first, end) = (from.get() / width, to.get().div_ceil(width));
        let crew = Crew::new(self.request.source, log_id, first, to, end);
        crew.know(self.replay.live_keys());
        crew.work(self.request.threads, || {
            while let Some(batch) = crew.next()? {
                if batch.is_nothing() {
                    self.found_all(batch.findings);
                    self.turn_blind(Blind::Missing(LeafIndex::new(batch.bundle.first())));
                    self.tree = Tree::Unknown;
                    self.last_is_trailer = None;
                    return Ok(());
                }
                self.take(batch)?;
            }
            Ok(())
        })
    }

    fn take(&mut self, mut batch: Batch) -> Result<(), AuditError> {
        self.found_all(core::mem::take(&mut batch.findings));
        let first = batch.bundle.first();
        let known = core::mem::take(&mut self.leaves);
        let known = if self.replay.size().get() > first { known } else { Vec::new() };
        for (at, was) in known.iter().enumerate() {
            if batch.leaf_hash(at).is_some_and(|is| is != *was) {
                let fault = TileFault::Changed(LeafIndex::new(first + at as u64));
                self.found(&Finding::Tile { tile: batch.bundle, fault });
            }
        }
        let leaves: Vec<_> = (0..usize::from(batch.bundle.width())).map_while(|at| batch.leaf_hash(at)).collect();
        self.leaves.clone_from(&known);
        let entries = core::mem::take(&mut batch.entries);
        let there = entries.len();
        self.last_is_trailer = batch_end(&entries, batch.bundle.width());
        for (entry, leaf) in entries.into_iter().zip(&leaves).skip(known.len()) {
            self.push(entry, *leaf)?;
        }
        if there < usize::from(batch.bundle.width()) {
            self.turn_blind(Blind::Missing(LeafIndex::new(first + there.max(known.len()) as u64)));
            for leaf in leaves.iter().skip(there.max(known.len())) {
                self.push_beyond(*leaf);
            }
        }
        if leaves.len() < usize::from(batch.bundle.width()) {
            self.tree = Tree::Unknown;
        } else {
            let mut findings = Vec::new();
            let served = batch.leaves.unwrap_or_else(|| leaves.clone());
            self.edge.take_leaves(served, self.request.source, &mut findings)?;
            self.found_all(findings);
        }
        if self.leaves.len() == usize::from(TILE_WIDTH) {
            self.leaves.clear();
        }
        let (taken, of) = (TreeSize::new(first + u64::from(batch.bundle.width())), self.size());
        (self.listen)(Event::Progress(taken, of));
        Ok(())
    }

    fn push(&mut self, entry: Prepared, leaf: Hash) -> Result<(), AuditError> {
        self.leaves.push(leaf);
        if !matches!(self.tree, Tree::Replayed) {
            self.push_beyond(leaf);
            return Ok(());
        }
        let is_trailer = entry.is_trailer();
        (self.listen)(Event::Entry(self.replay.size().next_index(), &entry));
        match self.replay.push_prepared(entry) {
            Ok(sealed) => {
                let count = if is_trailer { &mut self.report.trailers } else { &mut self.report.links };
                *count += 1;
                if !self.replay.faults().is_empty() {
                    let faults = self.replay.take_faults();
                    self.found_all(faults.into_iter().map(Finding::Entry));
                }
                if sealed.is_some() { self.keep_on_the_way() } else { Ok(()) }
            }
            Err(stop) => {
                self.turn_blind(Blind::Rules(stop));
                self.push_beyond(leaf);
                Ok(())
            }
        }
    }

    fn turn_blind(&mut self, why: Blind) {
        if self.report.blind.is_none() {
            self.report.blind = Some(why);
            self.tree = Tree::Hashed(self.replay.frontier().clone());
        }
    }

    fn push_beyond(&mut self, leaf: Hash) {
        if let Tree::Hashed(frontier) = &mut self.tree {
            frontier.push(leaf);
        }
    }

    fn finish(&mut self) -> Result<(), AuditError> {
        let tree = match &self.tree {
            Tree::Replayed => Some((self.replay.size(), self.replay.root())),
            Tree::Hashed(frontier) => Some((frontier.size(), frontier.root())),
            Tree::Unknown => None,
        };
        let claimed = (self.size(), self.signed.claim().root());
        if let Some((_, computed)) = tree.filter(|tree| *tree != claimed) {
            self.found(&Finding::Checkpoint(CheckpointFault::Root { computed, claimed: claimed.1 }));
        }
        if tree.is_some() {
            let mut findings = Vec::new();
            self.edge.finish(self.request.source, &mut findings)?;
            self.found_all(findings);
        }
        if self.last_is_trailer == Some(false) {
            let last = LeafIndex::new(self.size().get() - 1);
            self.found(&Finding::Checkpoint(CheckpointFault::NotSealed(last)));
        }
        let (log_time, now) = (self.replay.registry().log_time(), self.request.now);
        if log_time > now.saturating_add(CLOCK_LEEWAY_MS) {
            self.found(&Finding::Checkpoint(CheckpointFault::Clock { log_time, now }));
        }
        self.report.judged = self.replay.size();
        self.report.identities = self.replay.registry().identities();
        self.report.log_time = log_time;
        self.keep_at_the_end(tree == Some(claimed))
    }

    /// Keeps the state up to a trailer that was just taken, if enough was taken since the last time, and if the tree up to
    /// it is shown to be in the one that the log has signed.
    fn keep_on_the_way(&mut self) -> Result<(), AuditError> {
        let Some(path) = self.request.keep.filter(|_| self.is_accepted) else { return Ok(()) };
        let size = self.replay.size();
        let is_due = size.get() - self.kept.get() >= self.request.keep_every.max(size.get() / 4);
        // At the end of a bundle its leaves have not gone up the tree yet.
        if !is_due || size.get().is_multiple_of(u64::from(TILE_WIDTH)) {
            return Ok(());
        }
        let claimed = (self.size(), self.signed.claim().root());
        if continues(self.request.source, (size, self.replay.root()), claimed)? {
            self.write(path)?;
        }
        self.kept = size;
        Ok(())
    }

    /// Keeps the state as of the checkpoint; where that is not to be had, at least that the log has signed it.
    fn keep_at_the_end(&mut self, is_proven: bool) -> Result<(), AuditError> {
        let Some(path) = self.request.keep.filter(|_| self.is_accepted) else { return Ok(()) };
        if is_proven && matches!(self.tree, Tree::Replayed) && self.write(path)? {
            return Ok(());
        }
        let state = State::read_kept(path)?;
        let state = state.unwrap_or_else(|| State::new(self.request.origin.clone(), self.signed.clone()));
        state::write(path, &state.origin, &self.signed, &state.noted, &state.edge, &state.replay)?;
        Ok(())
    }

    /// The state as of the checkpoint, where that is to be had.
    fn into_state(self) -> (Report, Option<State>) {
        let claimed = (self.size(), self.signed.claim().root());
        let is_proven = matches!(self.tree, Tree::Replayed)
            && (self.replay.size(), self.replay.root()) == claimed
            && self.report.blind.is_none();
        let edge = self.edge.with_leaves(self.leaves);
        let (origin, seen, noted, replay) = (self.request.origin.clone(), self.signed, self.noted, self.replay);
        let state = is_proven.then_some(State { origin, seen, noted, edge, replay });
        (self.report, state)
    }

    fn write(&self, path: &dyn Keep) -> Result<bool, AuditError> {
        let edge = self.edge.with_leaves(self.leaves.clone());
        Ok(state::write(path, self.request.origin, &self.signed, &self.noted, &edge, &self.replay)?)
    }

    fn found(&mut self, finding: &Finding) {
        (self.listen)(Event::Found(finding));
        self.report.faults += 1;
        self.noted.add(finding.view());
    }

    fn found_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.found(&finding));
    }
}

/// Whether the last entry of a whole bundle is a trailer.
fn batch_end(entries: &[Prepared], width: u16) -> Option<bool> {
    let last = entries.last().filter(|_| entries.len() == usize::from(width))?;
    Some(last.is_trailer())
}

impl Report {
    fn new(resume: Option<&State>) -> Self {
        let began = resume.map_or(TreeSize::ZERO, State::judged);
        let registry = resume.map(|state| state.replay.registry());
        Self {
            claim: None,
            began,
            judged: began,
            links: 0,
            trailers: 0,
            identities: registry.map_or(0, Registry::identities),
            log_time: registry.map_or(UnixMillis::ZERO, Registry::log_time),
            faults: 0,
            known: resume.map_or(0, |state| state.noted.count),
            blind: None,
        }
    }

    /// Whether the whole log was judged and nothing was ever found.
    pub const fn is_clean(&self) -> bool {
        self.faults == 0 && self.known == 0 && self.blind.is_none()
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(stop) => {
                write!(f, "the policy at entry {} asks for version {} of the rules", stop.index, stop.rules)
            }
            Self::Missing(index) => write!(f, "entry {index} cannot be read"),
        }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AuditError {}

impl From<SourceError> for AuditError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<StateError> for AuditError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}
