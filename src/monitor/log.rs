//! One log, as a monitor follows it: a round takes what is served now, holds it against all that was seen, and notes what is
//! to be told.
//!
//! A round makes the newest checkpoint durable before anything rests on it. What is found is kept until it was told
//! (`memory`). The clock, the files, the witnesses' answers and what was handed in are arguments: rounds can be simulated.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::charges::Files;
use super::cosign::Desk;
use super::memory::{By, Claim, KnownFault, Ledger, MAX_FAULTS};
use super::report::{Kind, Report};
use super::settings::{LogKind, LogSettings};
use super::store::Store;
use super::witnesses::Witnesses;
use crate::audit::{Source, SourceError, State};
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::soul::LogId;
use crate::tlog::{NoteVerifier, Origin, Policy, SignedCheckpoint, Timestamp, TlogProof, VerifyError};
use crate::verify::{Evidence, Fork, MAX_AHEAD_SECONDS, NamedKey, OneSigned, log_keys, policy_of_keys};

/// What there is to see in a round.
pub struct World<'a> {
    /// The log's files.
    pub source: &'a dyn Source,
    /// What its witnesses show.
    pub witnesses: &'a dyn Witnesses,
    /// Proofs that were handed in, each with its name.
    pub promises: Vec<(String, Vec<u8>)>,
    /// The clock.
    pub now: UnixMillis,
}

/// What a policy has against a checkpoint.
#[derive(Default)]
struct Verdict {
    wrong: Option<String>,
    quorum: Option<String>,
    stale: Option<String>,
}

/// A log that is followed.
pub struct LogMonitor {
    pub(super) settings: LogSettings,
    pub(super) ledger: Ledger,
    /// The log's keys by the policy, and a policy of them alone.
    pub(super) keys: Vec<NoteVerifier>,
    pub(super) own_policy: Policy,
    /// These and its instant keys.
    all_keys: Vec<NoteVerifier>,
    pub(super) seen: Option<OneSigned>,
    /// The audit, where it ended; none until the first round, and after one that did not come to an end.
    pub(super) state: Option<State>,
    /// Size of the state as it is kept.
    pub(super) kept: u64,
    /// Where the replay has got to, for those who look.
    pub(super) replayed: TreeSize,
    pub(super) is_replayed: bool,
    /// Whether this round has seen the log sign the newest tree.
    is_fresh: bool,
    /// Trees of witnesses that were found to go with the log's.
    agreed: BTreeMap<String, (TreeSize, Hash)>,
    pub(super) desk: Arc<Desk>,
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
        let all_keys = [&keys[..], &settings.instant_keys].concat();
        desk.restore(&settings.origin, &keys, ledger.memory.cosigned.as_deref());
        Ok(Self {
            own_policy: policy_of_keys(&keys),
            keys,
            all_keys,
            seen,
            settings,
            ledger,
            state: None,
            kept: 0,
            replayed: TreeSize::ZERO,
            is_replayed: false,
            is_fresh: false,
            agreed: BTreeMap::new(),
            desk,
        })
    }

    /// One round. An error says that what was seen could not be kept; then nothing rests on it.
    pub fn round(&mut self, world: &World<'_>) -> io::Result<()> {
        self.ledger.now = world.now;
        self.is_fresh = false;
        let before = self.ledger.memory.read_ms;
        self.take_promises(world)?;
        let is_read = self.take_served(world)?;
        self.take_offers(world)?;
        self.ledger.save()?;
        if self.seen.is_some() {
            match self.settings.kind {
                LogKind::Soulchain => self.replay(world, before)?,
                LogKind::Plain => self.is_replayed = false,
            }
        }
        self.ask_witnesses(world);
        self.settle(world)?;
        if is_read {
            self.ledger.memory.read_ms = world.now.get();
        }
        self.ledger.save()?;
        self.cosign()?;
        self.keep_replay(false)
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

    /// Reads the checkpoint that the log shows. Says whether the log answered.
    fn take_served(&mut self, world: &World<'_>) -> io::Result<bool> {
        let note = match world.source.checkpoint() {
            Ok(note) => note,
            Err(error) => {
                let text = format!("the log cannot be read: {error}");
                self.ledger.condition(Kind::Unreachable, "", Some(text));
                return Ok(false);
            }
        };
        self.ledger.condition(Kind::Unreachable, "", None);
        let served = self.read(&note).and_then(|served| {
            let signed = OneSigned::of(&served, &self.keys);
            let signed = signed.ok_or("the log's keys did not sign the checkpoint that it shows")?;
            Ok((served, signed))
        });
        let judged = served.as_ref().map(|(served, _)| self.judge_policy(served, world.now));
        let wrong = match judged {
            Ok(verdict) => {
                self.ledger.condition(Kind::Quorum, "", verdict.quorum);
                self.ledger.condition(Kind::Stale, "", verdict.stale);
                verdict.wrong
            }
            Err(error) => Some(error.clone()),
        };
        self.ledger.condition(Kind::BadCheckpoint, "", wrong);
        if let Ok((_, signed)) = served {
            self.compare(world, signed, true)?;
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
                let now = now.get() / 1000;
                let oldest = now.saturating_sub(self.settings.stale_seconds);
                let span = oldest..=now.saturating_add(MAX_AHEAD_SECONDS);
                if !policy.quorum().is_met_within(accepted.cosigned(), &span) {
                    let as_of = policy.quorum().as_of(accepted.cosigned()).map_or(0, Timestamp::get);
                    let age = now.saturating_sub(as_of);
                    verdict.stale = Some(format!("no quorum has cosigned for {age} s; the tree has {size} entries"));
                }
            }
            Ok(_) => {}
        }
        verdict
    }

    /// Holds a tree that the log signed against the newest that was seen: it takes its place, or goes with it, or not.
    pub(super) fn compare(&mut self, world: &World<'_>, new: OneSigned, is_served: bool) -> io::Result<()> {
        let size = new.tree().0;
        let Some(seen) = self.seen.clone() else {
            self.advance(new, is_served);
            return Ok(());
        };
        if new.tree() == seen.tree() {
            self.is_fresh = true;
            self.note_served(size, is_served);
            return Ok(());
        }
        if size > seen.tree().0 {
            // One that cannot be held against it now is remembered until it can: the log may never show it again.
            let files = self.files(world, &new);
            match files.prefix(seen.tree().0) {
                Ok(Some((root, _))) if root == seen.tree().1 => {
                    self.ledger.condition(Kind::Withheld, "tree", None);
                    self.advance(new, is_served);
                }
                Ok(Some(prefix)) => self.convict(world, Kind::Fork, "", &seen, &new, prefix)?,
                Ok(None) => {
                    let text =
                        format!("the tiles that show how the tree grew to {size} are not served, or are not right");
                    self.ledger.condition(Kind::Withheld, "tree", Some(text));
                    self.ledger.claim(By::Log, "", new.to_string());
                }
                Err(error) => {
                    self.ledger.condition(Kind::Unreachable, "", Some(error.to_string()));
                    self.ledger.claim(By::Log, "", new.to_string());
                }
            }
            return Ok(());
        }
        self.note_served(size, is_served);
        self.ledger.claim(By::Log, "", new.to_string());
        Ok(())
    }

    /// A log that shows less than it did: maybe a copy that is behind, maybe another view.
    fn note_served(&mut self, size: TreeSize, is_served: bool) {
        if !is_served {
            return;
        }
        let shown = self.ledger.memory.published;
        let back =
            (size.get() < shown).then(|| format!("the log showed a tree of size {shown} before, and now {size}"));
        self.ledger.condition(Kind::RolledBack, "", back);
        self.ledger.memory.published = shown.max(size.get());
    }

    fn advance(&mut self, new: OneSigned, is_served: bool) {
        self.note_served(new.tree().0, is_served);
        self.ledger.memory.seen = Some(new.to_string());
        self.seen = Some(new);
        self.is_replayed = false;
        self.is_fresh = true;
    }

    pub(super) const fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Trees that others showed, now that the newest is known.
    fn settle(&mut self, world: &World<'_>) -> io::Result<()> {
        let Some(seen) = self.seen.clone() else { return Ok(()) };
        for claim in core::mem::take(&mut self.ledger.memory.claims) {
            let Ok(shown) = OneSigned::parse(&claim.note) else { continue };
            if shown.tree().0 > seen.tree().0 {
                self.wait_for(&claim, &shown, &seen)?;
                self.ledger.memory.claims.push(claim);
                continue;
            }
            match self.files(world, &seen).prefix(shown.tree().0) {
                Ok(Some((root, _))) if root == shown.tree().1 => self.agree(&claim, &shown),
                Ok(Some(prefix)) => {
                    let kind = match claim.by {
                        By::Log => Kind::Fork,
                        By::Witness => Kind::WitnessDisagrees,
                        By::Promise => Kind::PromiseBroken,
                    };
                    self.convict(world, kind, &claim.name, &shown, &seen, prefix)?;
                }
                // The tiles of the tree that was seen are not there now.
                Ok(None) | Err(_) => self.ledger.memory.claims.push(claim),
            }
        }
        Ok(())
    }

    fn agree(&mut self, claim: &Claim, shown: &OneSigned) {
        if claim.by == By::Witness {
            self.agreed.insert(claim.name.clone(), shown.tree());
            self.ledger.condition(Kind::WitnessAhead, &claim.name, None);
        }
    }

    /// A tree that is larger than what the log shows.
    fn wait_for(&mut self, claim: &Claim, shown: &OneSigned, seen: &OneSigned) -> io::Result<()> {
        let waited = self.ledger.now.get().saturating_sub(claim.since_ms) / 1000;
        if waited < self.settings.patience_seconds {
            return Ok(());
        }
        let ((size, root), now) = (shown.tree(), seen.tree().0);
        match claim.by {
            By::Witness => {
                let text = format!(
                    "witness {} has cosigned a tree of size {size} for {waited} s, and the log shows {now}: it withholds, or is \
                     not what others see",
                    claim.name
                );
                self.ledger.condition(Kind::WitnessAhead, &claim.name, Some(text));
                Ok(())
            }
            By::Promise => {
                let text = format!(
                    "{}: the log signed a tree of size {size} at once, and for {waited} s shows no more than {now}; the proof \
                     itself is all the evidence that there is, of a promise and not yet of its breach",
                    claim.name
                );
                self.ledger.tell(Kind::PromiseUnkept, &format!("{size} {root}"), text, None)
            }
            By::Log => Ok(()),
        }
    }

    /// Two trees that do not go together.
    fn convict(
        &mut self,
        world: &World<'_>,
        kind: Kind,
        name: &str,
        old: &OneSigned,
        new: &OneSigned,
        (prefix_root, path): (Hash, Vec<Hash>),
    ) -> io::Result<()> {
        let (size, root) = old.tree();
        let fact =
            if kind == Kind::Fork { format!("{size} {root} {prefix_root}") } else { format!("{name} {size} {root}") };
        self.ledger.memory.is_guilty = true;
        if self.ledger.is_told(kind, &fact) {
            return Ok(());
        }
        let by = match kind {
            Kind::WitnessDisagrees => format!("witness {name} shows"),
            Kind::PromiseBroken => format!("{name} holds"),
            _ => "there is".into(),
        };
        let text = format!(
            "the log forked: {by} a tree of size {size} and root {root} that it signed, and its tree of size {} has root \
             {prefix_root} there",
            new.tree().0
        );
        let named = self.named(world, [old, new]);
        let fork = Fork { old: old.clone(), new: new.clone(), prefix_root, path, named };
        self.ledger.tell(kind, &fact, text, Some(&Evidence::Fork(Box::new(fork))))
    }

    /// What shows that a key is the log's, where one signed that the policy does not list.
    fn named(&self, world: &World<'_>, trees: [&OneSigned; 2]) -> Option<NamedKey> {
        let is_listed = |tree: &&OneSigned| OneSigned::of(tree.get(), &self.keys).is_some();
        let unlisted = trees.into_iter().find(|tree| !is_listed(tree))?;
        let key = self.all_keys.iter().find(|key| OneSigned::of(unlisted.get(), &[(*key).clone()]).is_some())?;
        let state = self.state.as_ref()?;
        let under = OneSigned::of(state.seen(), &self.keys)?;
        self.files(world, &under).named(key.vkey(), state.replay()).ok().flatten()
    }

    pub(super) fn files<'a>(&'a self, world: &World<'a>, checkpoint: &'a OneSigned) -> Files<'a> {
        let log_id = LogId::of_origin(self.settings.origin.as_str());
        Files { source: world.source, store: &*self.ledger.store, checkpoint, log_id }
    }

    /// Proofs that somebody was given at once.
    fn take_promises(&mut self, world: &World<'_>) -> io::Result<()> {
        for (name, bytes) in &world.promises {
            let proof = TlogProof::parse(bytes).map_err(|error| error.to_string());
            let signed = proof.and_then(|proof| {
                let is_of = *proof.checkpoint().claim().origin() == self.settings.origin;
                let signed = OneSigned::of(proof.checkpoint(), &self.all_keys).filter(|_| is_of);
                signed.ok_or_else(|| "its checkpoint is not signed by a known key of this log".into())
            });
            match signed {
                Ok(signed) => self.ledger.claim(By::Promise, name, signed.to_string()),
                Err(why) => {
                    self.ledger.tell(Kind::BadPromise, name, format!("{name} is no proof of this log: {why}"), None)?;
                }
            }
        }
        Ok(())
    }

    /// What the witnesses of the policy show.
    fn ask_witnesses(&mut self, world: &World<'_>) {
        let witnesses = self.settings.policy.witnesses().to_vec();
        for witness in witnesses {
            let Some(url) = witness.url().and_then(|url| core::str::from_utf8(url).ok()) else { continue };
            let name = witness.name().to_string();
            let answer = world.witnesses.checkpoint(url, &self.settings.origin);
            let (mut down, mut bad) = (None, None);
            match answer {
                Ok(Some(note)) => match self.judge_witness(witness.verifier(), &note) {
                    Ok(shown) => self.take_witnessed(&name, &shown),
                    Err(why) => bad = Some(format!("witness {name}: {why}")),
                },
                Ok(None) => down = Some(format!("witness {name} has no checkpoint of this log")),
                Err(why) => down = Some(format!("witness {name} does not answer: {why}")),
            }
            self.ledger.condition(Kind::WitnessDown, &name, down);
            self.ledger.condition(Kind::WitnessBad, &name, bad);
        }
    }

    fn judge_witness(&self, verifier: &NoteVerifier, note: &[u8]) -> Result<OneSigned, String> {
        let shown = self.read(note)?;
        let text = shown.note().text();
        if !shown.note().signatures().iter().any(|signature| verifier.verify(text, signature).is_some()) {
            return Err("its cosignature is not on the checkpoint that it shows".into());
        }
        let signed = OneSigned::of(&shown, &self.keys);
        signed.ok_or_else(|| "it shows a checkpoint that the log did not sign".into())
    }

    fn take_witnessed(&mut self, name: &str, shown: &OneSigned) {
        let is_known = self.agreed.get(name) == Some(&shown.tree());
        if is_known || self.seen.as_ref().is_some_and(|seen| seen.tree() == shown.tree()) {
            self.ledger.condition(Kind::WitnessAhead, name, None);
            return;
        }
        // Of one witness the newest tree is waited for; larger ones that it showed before are beneath it.
        self.ledger.claim(By::Witness, name, shown.to_string());
    }

    /// Notes faults; they are told once their evidence was made.
    pub(super) fn note_fault(&mut self, fault: KnownFault) {
        if self.ledger.is_told(fault.kind(), &fault.fact()) {
            return;
        }
        let memory = &mut self.ledger.memory;
        memory.is_guilty = true;
        let is_known = memory.faults.iter().any(|known| (known.index, &known.code) == (fault.index, &fault.code));
        if is_known {
            return;
        }
        memory.fault_count += 1;
        if memory.fault_count <= MAX_FAULTS {
            memory.faults.push(fault);
        }
    }

    pub(super) fn unreadable(&mut self, error: &SourceError) {
        self.ledger.condition(Kind::Unreachable, "", Some(format!("the log cannot be read: {error}")));
    }
}
