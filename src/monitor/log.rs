//! One log, as a monitor follows it: a round takes what is served now, holds it against all that was seen, and notes what is
//! to be told.
//!
//! A round makes the newest checkpoint durable before anything rests on it. What is found is kept until it was told
//! (`memory`). The clock, the files, the witnesses' answers and what was handed in are arguments: rounds can be simulated.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::bounds::{Limits, is_too_slow};
use super::charges::Files;
use super::cosign::Desk;
use super::memory::{By, Counted, KnownFault, Ledger, MAX_FAULTS};
use super::report::{Kind, Report};
use super::round::Allowances;
use super::settings::LogSettings;
use super::start::Strays;
use super::store::Store;
use super::witnesses::{Asked, Witnesses};
use crate::audit::{Source, SourceError, State};
use crate::encoding::{UnixMillis, hex_encode};
use crate::hash::{Hash, sha256};
use crate::merkle::TreeSize;
use crate::soul::LogId;
use crate::tlog::{NoteVerifier, Origin, Policy, PolicyWitness, SignedCheckpoint, Timestamp, TlogProof, VerifyError};
use crate::verify::{MAX_AHEAD_SECONDS, OneSigned, log_keys, policy_of_keys};

/// Most that counts of a time in which the log was not read, where it is to be said for how long it withholds something.
const MAX_UNREAD_MS: u64 = 60_000;

/// What there is to see in a round.
pub struct World<'a> {
    /// The log's files.
    pub source: &'a dyn Source,
    /// What its witnesses show.
    pub witnesses: &'a dyn Witnesses,
    /// Proofs that were handed in, each with its name.
    pub promises: Vec<(String, Vec<u8>)>,
    /// The clock, as the round begins; how long it lasts [`Limits::elapsed`] counts.
    pub now: UnixMillis,
}

/// What a policy has against a checkpoint.
#[derive(Default)]
struct Verdict {
    wrong: Option<String>,
    quorum: Option<String>,
    stale: Option<String>,
    /// As of when the log shows it, at the latest; none where that is not known.
    shown_ms: Option<u64>,
}

/// What could not be read.
pub(super) struct Unread {
    text: String,
    /// Whether the log answered what it was asked, and there was no time to ask for more.
    is_slow: bool,
}

/// A log that is followed.
pub struct LogMonitor {
    pub(super) settings: LogSettings,
    pub(super) ledger: Ledger,
    /// The log's keys by the policy, and a policy of them alone.
    pub(super) keys: Vec<NoteVerifier>,
    pub(super) own_policy: Policy,
    /// These and its instant keys.
    pub(super) all_keys: Vec<NoteVerifier>,
    pub(super) seen: Option<OneSigned>,
    /// The audit, where it ended; none until the first round, and after one that did not come to an end.
    pub(super) state: Option<State>,
    /// Whether the state that is kept is of another history than the one that is followed.
    pub(super) has_useless_replay: bool,
    /// Size of the state as it is kept.
    pub(super) kept: u64,
    /// Where the replay has got to, for those who look.
    pub(super) replayed: TreeSize,
    pub(super) is_replayed: bool,
    /// Whether there was a round.
    has_started: bool,
    /// Evidence that lay there before it.
    pub(super) strays: Strays,
    /// Whether this round has seen the log sign the newest tree.
    is_fresh: bool,
    /// As of when the log is known to show what this round read.
    shown_ms: Option<u64>,
    /// Size of the tree that the log has shown in this round; none where it showed none.
    pub(super) shown_size: Option<TreeSize>,
    /// Whether the round before this one read the log.
    was_read: bool,
    /// What could not be read in this round.
    pub(super) unread: Option<Unread>,
    /// The tree that the last replay came to, if it ends with a trailer.
    pub(super) sealed: Option<(TreeSize, Hash)>,
    /// Trees of witnesses that were found to go with the log's.
    pub(super) agreed: BTreeMap<String, (TreeSize, Hash)>,
    pub(super) desk: Arc<Desk>,
    pub(super) limits: Limits,
    /// What both clocks said as the round began.
    pub(super) clock: (UnixMillis, Duration),
    pub(super) allowances: Allowances,
    /// Which of the trees that wait is asked for first.
    pub(super) turn: usize,
}

impl LogMonitor {
    /// Goes on with a log where the store says that an earlier monitor ended.
    pub fn open(settings: LogSettings, store: Arc<dyn Store>, desk: Arc<Desk>) -> io::Result<Self> {
        let keys = log_keys(&settings.policy, &settings.origin);
        if keys.is_empty() {
            let text = format!("the policy has no key of the log {}", settings.origin);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let ledger = Ledger::open(settings.origin.as_str(), store)?;
        let seen = ledger.memory.seen.as_deref().map(OneSigned::parse).transpose();
        let seen = seen.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut all_keys = keys.clone();
        for key in &settings.instant_keys {
            if all_keys.iter().all(|known| known.vkey() != key.vkey()) {
                all_keys.push(key.clone());
            }
        }
        desk.restore(&settings.origin, &keys, ledger.memory.cosigned.as_deref());
        Ok(Self {
            own_policy: policy_of_keys(&keys),
            keys,
            all_keys,
            seen,
            settings,
            ledger,
            state: None,
            has_useless_replay: false,
            kept: 0,
            replayed: TreeSize::ZERO,
            is_replayed: false,
            has_started: false,
            strays: Strays::default(),
            is_fresh: false,
            shown_ms: None,
            shown_size: None,
            was_read: false,
            unread: None,
            sealed: None,
            agreed: BTreeMap::new(),
            desk,
            allowances: Allowances::new(&Limits::default()),
            limits: Limits::default(),
            clock: (UnixMillis::ZERO, Duration::ZERO),
            turn: 0,
        })
    }

    /// A round begins.
    pub(super) fn begin(&mut self, world: &World<'_>) -> io::Result<()> {
        self.ledger.begin(world.now);
        if !self.has_started {
            self.start(world)?;
            self.has_started = true;
        }
        (self.is_fresh, self.shown_size) = (false, None);
        Ok(())
    }

    /// All was asked for: what could not be read is told, and all that was noted made durable.
    pub(super) fn end(&mut self, is_read: bool) -> io::Result<()> {
        // A round that was told to end has not asked for all.
        if !self.limits.stop.is_set() {
            self.tell_unreadable(is_read);
            self.was_read = is_read;
            if is_read {
                self.ledger.memory.read_ms = self.ledger.now.get();
            }
            // Only now: trees that this round saw first are held against what was known before.
            let looked_ms = self.ledger.memory.looked_ms;
            self.ledger.memory.looked_ms = looked_ms.max(self.shown_ms.take().unwrap_or(0));
        }
        (self.unread, self.shown_ms) = (None, None);
        self.ledger.save()
    }

    /// What is to be told; again after a restart, until [`told`](Self::told).
    pub fn reports(&self) -> &[Report] {
        self.ledger.outbox()
    }

    /// The reports were told.
    pub fn told(&mut self) -> io::Result<()> {
        self.ledger.clear_outbox()
    }

    /// Keeps the whole replay, so that the next start goes on from here.
    pub fn close(&mut self) -> io::Result<()> {
        self.keep_replay(true)
    }

    /// What is wrong now: kinds, and what they are about.
    pub fn conditions(&self) -> impl Iterator<Item = &str> {
        self.ledger.conditions()
    }

    /// The log.
    pub const fn origin(&self) -> &Origin {
        &self.settings.origin
    }

    /// The tree that was seen, and how much of it is replayed without a doubt.
    pub fn sizes(&self) -> (TreeSize, TreeSize) {
        (self.seen.as_ref().map_or(TreeSize::ZERO, |seen| seen.tree().0), self.replayed)
    }

    /// Whether the last round read the log.
    pub fn read_ms(&self) -> u64 {
        self.ledger.memory.read_ms
    }

    /// Takes the checkpoint that the log shows. Says whether the log answered.
    pub(super) fn take_served(&mut self, world: &World<'_>, note: Result<Vec<u8>, SourceError>) -> io::Result<bool> {
        let note = match note {
            Ok(note) => note,
            Err(error) => {
                self.unreadable(&error);
                return Ok(false);
            }
        };
        let served = self.read(&note).and_then(|served| {
            let signed = OneSigned::of(&served, &self.keys);
            let signed = signed.ok_or("the log's keys did not sign the checkpoint that it shows")?;
            Ok((served, signed))
        });
        let judged = served.as_ref().map(|(served, _)| self.judge_policy(served, world.now));
        let wrong = match judged {
            Ok(Verdict { wrong: Some(wrong), .. }) => Some(wrong),
            Ok(verdict) => {
                self.shown_ms = verdict.shown_ms;
                // Without a quorum nothing says how old it is.
                if verdict.quorum.is_none() {
                    self.ledger.condition(Kind::Stale, "", verdict.stale);
                }
                self.ledger.condition(Kind::Quorum, "", verdict.quorum);
                None
            }
            Err(error) => Some(error.clone()),
        };
        self.ledger.condition(Kind::BadCheckpoint, "", wrong);
        if !self.was_read {
            self.skip_unread();
        }
        if let Ok((_, signed)) = served {
            // Before anything else is asked for: whether the tiles come says nothing of what was shown.
            self.note_served(signed.tree().0);
            self.compare(world, signed)?;
        }
        Ok(true)
    }

    fn read(&self, note: &[u8]) -> Result<SignedCheckpoint, String> {
        let read = SignedCheckpoint::parse(note).map_err(|error| format!("no checkpoint is served: {error}"))?;
        match read.claim().origin() {
            origin if *origin == self.settings.origin => Ok(read),
            other => Err(format!("the checkpoint is of the log {other}")),
        }
    }

    /// Quorum and age.
    fn judge_policy(&self, served: &SignedCheckpoint, now: UnixMillis) -> Verdict {
        let policy = &self.settings.policy;
        let (mut verdict, size) = (Verdict::default(), served.claim().size());
        match policy.verify_checkpoint(served) {
            Err(VerifyError::QuorumNotMet) => {
                verdict.quorum = Some(format!("too few witnesses cosigned the tree of size {size}"));
            }
            Err(error) => verdict.wrong = Some(format!("the checkpoint does not hold: {error}")),
            Ok(accepted) if !policy.quorum().is_none() => {
                let as_of_ms = policy.quorum().as_of(accepted.cosigned()).map(|time| time.get().saturating_mul(1000));
                verdict.shown_ms = as_of_ms.map(|time| time.min(self.ledger.now.get()));
                let now = now.get() / 1000;
                let oldest = now.saturating_sub(self.settings.stale_seconds);
                let span = oldest..=now.saturating_add(MAX_AHEAD_SECONDS);
                if !policy.quorum().is_met_within(accepted.cosigned(), &span) {
                    let as_of = policy.quorum().as_of(accepted.cosigned()).map_or(0, Timestamp::get);
                    let age = now.saturating_sub(as_of);
                    verdict.stale = Some(format!("no quorum has cosigned for {age} s; the tree has {size} entries"));
                }
            }
            // It was asked for after that.
            Ok(_) => verdict.shown_ms = Some(self.ledger.now.get()),
        }
        verdict
    }

    /// Takes a tree that the log signed: it takes the place of the one that is followed, or contradicts it, or is remembered
    /// until that is known.
    pub(super) fn compare(&mut self, world: &World<'_>, new: OneSigned) -> io::Result<()> {
        let size = new.tree().0;
        if let Some(seen) = &self.seen
            && new.tree() == seen.tree()
        {
            self.is_fresh = true;
            return Ok(());
        }
        self.ledger.claim(By::Log, "", &new)?;
        let Some(seen) = self.seen.clone() else {
            self.advance(new);
            return Ok(());
        };
        if size <= seen.tree().0 {
            return Ok(());
        }
        let files = self.files(world, &new);
        match files.prefix(seen.tree().0) {
            Ok(Some((root, _))) if root == seen.tree().1 => self.advance(new),
            Ok(Some(prefix)) => {
                if self.convict(world, Kind::Fork, "", &seen, &new, prefix)? {
                    self.ledger.unclaim(&new);
                }
            }
            Ok(None) => {
                let text = format!("the tiles that show how the tree grew to {size} are not served, or are not right");
                self.ledger.condition(Kind::Withheld, "tree", Some(text));
            }
            Err(error) => self.unreadable(&error),
        }
        Ok(())
    }

    /// A log that shows less than it did: maybe a copy that is behind, maybe another view.
    fn note_served(&mut self, size: TreeSize) {
        self.shown_size = Some(size);
        let shown = self.ledger.memory.published;
        let back =
            (size.get() < shown).then(|| format!("the log showed a tree of size {shown} before, and now {size}"));
        self.ledger.condition(Kind::RolledBack, "", back);
        self.ledger.memory.published = shown.max(size.get());
    }

    fn advance(&mut self, new: OneSigned) {
        self.ledger.memory.before_ms = if self.seen.is_some() { self.ledger.read_before(&new) } else { 0 };
        self.ledger.memory.seen = Some(new.to_string());
        self.seen = Some(new);
        self.is_replayed = false;
        self.is_fresh = true;
    }

    pub(super) const fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    pub(super) fn files<'a>(&'a self, world: &World<'a>, checkpoint: &'a OneSigned) -> Files<'a> {
        let log_id = LogId::of_origin(self.settings.origin.as_str());
        Files { source: world.source, store: &*self.ledger.store, checkpoint, log_id }
    }

    /// Proofs that somebody was given at once.
    pub(super) fn take_promises(&mut self, world: &World<'_>) -> io::Result<()> {
        for (name, bytes) in &world.promises {
            let proof = TlogProof::parse(bytes).map_err(|error| error.to_string());
            let signed = proof.and_then(|proof| {
                let is_of = *proof.checkpoint().claim().origin() == self.settings.origin;
                let signed = OneSigned::of(proof.checkpoint(), &self.all_keys).filter(|_| is_of);
                signed.ok_or_else(|| "its checkpoint is not signed by a known key of this log".into())
            });
            match signed {
                Ok(signed) => self.ledger.claim(By::Promise, name, &signed)?,
                Err(why) => {
                    // Another file under a name that was there before is another fact.
                    let fact = format!("{name} {}", hex_encode(&sha256(&[bytes])));
                    self.ledger.tell(
                        Kind::BadPromise,
                        &fact,
                        format!("{name} is no proof of this log: {why}"),
                        None,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// What a witness of the policy shows. Hands back a tree that is to be compared.
    pub(super) fn take_answer(&mut self, witness: &PolicyWitness, answer: Asked) -> io::Result<Option<OneSigned>> {
        let name = witness.name().to_string();
        let (mut down, mut bad, mut other) = (None, None, None);
        match answer {
            Ok(Some(note)) => match self.judge_witness(witness.verifier(), &note) {
                Ok((shown, is_cosigned)) => {
                    other = self.take_witnessed(&name, &shown)?.then_some(shown);
                    let why = "its cosignature is not on the checkpoint that it shows";
                    bad = (!is_cosigned).then(|| format!("witness {name}: {why}"));
                }
                Err(why) => bad = Some(format!("witness {name}: {why}")),
            },
            Ok(None) => down = Some(format!("witness {name} has no checkpoint of this log")),
            Err(why) => down = Some(format!("witness {name} does not answer: {why}")),
        }
        self.ledger.condition(Kind::WitnessDown, &name, down);
        self.ledger.condition(Kind::WitnessBad, &name, bad);
        Ok(other)
    }

    /// What the log signed, and whether the witness did.
    fn judge_witness(&self, verifier: &NoteVerifier, note: &[u8]) -> Result<(OneSigned, bool), String> {
        let shown = self.read(note)?;
        let text = shown.note().text();
        let is_cosigned = shown.note().signatures().iter().any(|signature| verifier.verify(text, signature).is_some());
        let signed = OneSigned::of(&shown, &self.keys).ok_or("it shows a checkpoint that the log did not sign")?;
        Ok((signed, is_cosigned))
    }

    fn take_witnessed(&mut self, name: &str, shown: &OneSigned) -> io::Result<bool> {
        let is_known = self.agreed.get(name) == Some(&shown.tree());
        if is_known || self.seen.as_ref().is_some_and(|seen| seen.tree() == shown.tree()) {
            return Ok(false);
        }
        self.ledger.claim(By::Witness, name, shown)?;
        Ok(true)
    }

    /// Notes a fault; it is told once its evidence was made. Beyond those that are told one by one it is counted, once, if it
    /// was not `counted` before. Says whether it was counted now.
    pub(super) fn note_fault(&mut self, fault: KnownFault, counted: Counted) -> bool {
        if self.ledger.is_told(fault.kind(), &fault.fact()) {
            return false;
        }
        let memory = &mut self.ledger.memory;
        memory.is_guilty |= !fault.is_open;
        let is_same = |known: &&mut KnownFault| (known.index, &known.code) == (fault.index, &fault.code);
        match memory.faults.iter_mut().find(is_same) {
            Some(known) if known.is_open && !fault.is_open => {
                memory.fault_count += 1;
                known.is_open = false;
            }
            Some(_) => {}
            // What is not shown yet is not counted: nobody but the log may use the number up.
            None if fault.is_open => {
                if (memory.faults.len() as u64) < MAX_FAULTS {
                    memory.faults.push(fault);
                }
            }
            None if memory.fault_count < MAX_FAULTS => {
                memory.fault_count += 1;
                memory.faults.push(fault);
            }
            None if counted.has(&fault) => {}
            None => {
                memory.count(&fault);
                return true;
            }
        }
        false
    }

    pub(super) fn unreadable(&mut self, error: &SourceError) {
        if self.limits.stop.is_set() {
            return;
        }
        let is_slow = is_too_slow(error);
        // That the log failed says more than that there was no time.
        if self.unread.as_ref().is_none_or(|unread| unread.is_slow && !is_slow) {
            self.unread = Some(Unread { text: format!("the log cannot be read: {error}"), is_slow });
        }
    }

    /// Time in which the log was not read, since this monitor did not run or the log was away: of it [`MAX_UNREAD_MS`] counts
    /// as time in which the log withheld something.
    fn skip_unread(&mut self) {
        let (now, memory) = (self.ledger.now.get(), &mut self.ledger.memory);
        let since = memory.claims.iter_mut().map(|claim| &mut claim.since_ms).chain(&mut memory.partly_since_ms);
        for since in since {
            *since += now.saturating_sub(memory.read_ms.max(*since)).saturating_sub(MAX_UNREAD_MS);
        }
    }

    /// What of the log could not be read in this round, once all was asked for. A log that shows its checkpoint and fails to
    /// answer for the tiles withholds them, if that lasts; one that answers slowly does not.
    fn tell_unreadable(&mut self, is_read: bool) {
        let (unread, now) = (self.unread.take(), self.ledger.now.get());
        let memory = &mut self.ledger.memory;
        if unread.as_ref().is_some_and(|unread| unread.is_slow) {
            // Nor does this time count.
            let read_ms = memory.read_ms;
            memory.partly_since_ms = memory.partly_since_ms.map(|since| since + now.saturating_sub(read_ms.max(since)));
        } else if is_read {
            let since = unread.as_ref().map(|_| memory.partly_since_ms.unwrap_or(now));
            memory.partly_since_ms = since;
            let waited = since.map_or(0, |since| now.saturating_sub(since) / 1000);
            let withheld = unread.as_ref().filter(|_| waited >= self.settings.patience_seconds);
            let text = withheld.map(|unread| {
                format!("the log shows a checkpoint, and for {waited} s not all the tiles of it: {}", unread.text)
            });
            self.ledger.condition(Kind::Withheld, "answers", text);
        }
        self.ledger.condition(Kind::Unreachable, "", unread.map(|unread| unread.text));
    }
}
