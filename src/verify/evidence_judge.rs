//! Whether evidence convinces somebody who has the log's keys and nothing else.
//!
//! Soundness: an honest log, whose keys are in nobody else's hands, is never convicted. A checkpoint counts that a key of the
//! policy signed, or one that the log's own identity named in its profile before that checkpoint ([`NamedKey`]): who stole
//! such a key is not told apart from the log. Entries count that are shown to be in the tree of a checkpoint. Rules are those
//! of version 1; of an entry alone it is not seen that the log's policy had not asked for later ones before it, and the
//! conviction says so.

use core::fmt;

use super::evidence::{BadEntry, BadReplay, Evidence, Fork, NamedKey, OneSigned, Placed, Unsealed};
use super::evidence_rules::{broken_by_one, broken_by_two};
use super::extra::{Extra, LinkExtra};
use super::judge::{Request, verify};
use super::verdict::Shown;
use crate::hash::{Hash, sha256};
use crate::merkle::{Frontier, LeafIndex, ProofError, TreeSize, leaf_hash, verify_consistency, verify_inclusion};
use crate::registry::Replay;
use crate::soul::{Body, LogId, Trailer};
use crate::tlog::{NoteVerifier, Origin, Policy, PolicyLog, VerifyError, Vkey, VkeyType};

/// The label under which a log's identity names its instant key (formats.md §1).
pub const INSTANT_KEY_LABEL: &str = "instant-key";

/// A log that is shown to have broken its promises: only [`convict`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conviction {
    origin: Origin,
    keys: Vec<Vkey>,
    charge: Charge,
}

/// What a log is convicted of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Charge {
    /// It signed two trees, neither of which begins with the other.
    Fork {
        /// Size and root of the one.
        old: (TreeSize, Hash),
        /// Of the other.
        new: (TreeSize, Hash),
        /// The root that the larger tree has at the size of the smaller.
        prefix_root: Hash,
    },
    /// It signed a tree whose last entry is no trailer that covers what is before it.
    Unsealed {
        /// That entry.
        last: LeafIndex,
    },
    /// It logged an entry that breaks a rule.
    Entry {
        /// The entry.
        index: LeafIndex,
        /// The rule's word.
        code: String,
        /// How it is broken.
        what: String,
        /// Whether all entries before it were seen, and with them which rules the log keeps.
        replayed: bool,
    },
}

/// Why evidence does not convince.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Doubt {
    /// A checkpoint is not signed by a key of its log that is known.
    Signature(VerifyError),
    /// The checkpoints are of several logs.
    TwoLogs,
    /// The path does not lead to the checkpoint's tree.
    Path(ProofError),
    /// The trees go together: one begins with the other.
    NoFork,
    /// The entry is not the last.
    NotLast,
    /// The tree ends with a trailer.
    Sealed,
    /// The entries break no rule of that word.
    NotBroken,
    /// They are too many to be in the file: a copy of the log is needed.
    EntriesElsewhere,
    /// Which key the log's identity named is not shown.
    NotNamed,
}

/// Judges evidence by the keys of the logs in a policy; witnesses do not matter.
pub fn convict(evidence: &Evidence, policy: &Policy) -> Result<Conviction, Doubt> {
    let origin = evidence.checkpoint().get().claim().origin().clone();
    let mut court = Court { keys: log_keys(policy, &origin), policy, origin, signed: Vec::new() };
    let charge = match evidence {
        Evidence::Fork(fork) => court.fork(fork)?,
        Evidence::Unsealed(unsealed) => court.unsealed(unsealed)?,
        Evidence::Entry(bad) => court.entry(bad)?,
        Evidence::Replay(bad) => court.replay(bad)?,
    };
    Ok(Conviction { origin: court.origin, keys: court.signed, charge })
}

/// The keys of a log that a policy lists.
pub fn log_keys(policy: &Policy, origin: &Origin) -> Vec<NoteVerifier> {
    let keys = policy.logs().iter().map(PolicyLog::verifier);
    keys.filter(|key| key.vkey().name() == origin.key_name()).cloned().collect()
}

/// A policy that believes these keys of logs, and asks for no witness.
pub fn policy_of_keys(keys: &[NoteVerifier]) -> Policy {
    let lines: Vec<_> = keys.iter().map(|key| format!("log {}\n", key.vkey())).collect();
    Policy::parse(format!("{}quorum none\n", lines.concat()).as_bytes()).expect("keys of a policy make a policy")
}

struct Court<'p> {
    policy: &'p Policy,
    origin: Origin,
    keys: Vec<NoteVerifier>,
    /// Those that signed what was looked at.
    signed: Vec<Vkey>,
}

impl Court<'_> {
    fn fork(&mut self, fork: &Fork) -> Result<Charge, Doubt> {
        if let Some(named) = &fork.named {
            let first_signed = self.named(named)?;
            // It is in the file because the log signed with it, after it had named it.
            let is_of = |tree: &OneSigned| named.vkey.id() == tree.get().note().signatures()[0].key_id();
            let by_named: Vec<_> = [&fork.old, &fork.new].into_iter().filter(|tree| is_of(tree)).collect();
            if by_named.is_empty() || by_named.iter().any(|tree| tree.tree().0 <= first_signed) {
                return Err(Doubt::NotNamed);
            }
        }
        let (old, new) = (self.signed(&fork.old)?, self.signed(&fork.new)?);
        verify_consistency(old.0, new.0, &fork.prefix_root, &new.1, &fork.path).map_err(Doubt::Path)?;
        if fork.prefix_root == old.1 {
            return Err(Doubt::NoFork);
        }
        Ok(Charge::Fork { old, new, prefix_root: fork.prefix_root })
    }

    fn unsealed(&mut self, unsealed: &Unsealed) -> Result<Charge, Doubt> {
        let tree = self.signed(&unsealed.checkpoint)?;
        let last = &unsealed.last;
        if last.index.size_with() != tree.0 {
            return Err(Doubt::NotLast);
        }
        in_tree(last, tree)?;
        match Trailer::parse(&last.entry) {
            Some(trailer) if trailer.covers == last.index => Err(Doubt::Sealed),
            _ => Ok(Charge::Unsealed { last: last.index }),
        }
    }

    fn entry(&mut self, bad: &BadEntry) -> Result<Charge, Doubt> {
        let tree = self.signed(&bad.checkpoint)?;
        in_tree(&bad.entry, tree)?;
        let (log_id, index) = (self.log_id(), bad.entry.index);
        let broken = match &bad.beside {
            None => broken_by_one(log_id, index, &bad.entry.entry),
            Some(earlier) => {
                in_tree(earlier, tree)?;
                broken_by_two(log_id, earlier, &bad.entry)
            }
        };
        let broken = broken.filter(|broken| broken.code == bad.code).ok_or(Doubt::NotBroken)?;
        Ok(Charge::Entry { index, code: bad.code.clone(), what: broken.what, replayed: false })
    }

    fn replay(&mut self, bad: &BadReplay) -> Result<Charge, Doubt> {
        let tree = self.signed(&bad.checkpoint)?;
        let entries = bad.entries.as_ref().ok_or(Doubt::EntriesElsewhere)?;
        let mut frontier = Frontier::new();
        for entry in entries {
            frontier.push(leaf_hash(entry));
        }
        let root = frontier.root();
        verify_consistency(bad.size, tree.0, &root, &tree.1, &bad.path).map_err(Doubt::Path)?;
        let mut replay = Replay::new(self.log_id());
        for entry in entries {
            // From later rules on nothing is judged; what was found before stands.
            if replay.push(entry).is_err() {
                break;
            }
        }
        let faults = replay.faults().iter();
        let mut faults = faults.filter(|fault| fault.index == bad.index && fault.reason.code() == bad.code);
        let what = faults.next().ok_or(Doubt::NotBroken)?.reason.to_string();
        Ok(Charge::Entry { index: bad.index, code: bad.code.clone(), what, replayed: true })
    }

    /// Takes a key as the log's that its own identity names; gives the place of the profile that does.
    fn named(&mut self, named: &NamedKey) -> Result<TreeSize, Doubt> {
        let NamedKey { vkey, proof, genesis_path } = named;
        let checkpoint = OneSigned::parse(&proof.checkpoint().to_string()).map_err(|_| Doubt::NotNamed)?;
        let tree = self.signed(&checkpoint)?;
        let extra = proof.extra().and_then(|extra| Extra::parse(extra).ok()).ok_or(Doubt::NotNamed)?;
        let Extra::Link(LinkExtra { disclosed: None, state: None, key_events, .. }) = extra else {
            return Err(Doubt::NotNamed);
        };
        let genesis = key_events.into_iter().next().ok_or(Doubt::NotNamed)?;
        in_tree(&Placed { index: LeafIndex::new(0), entry: genesis, path: genesis_path.clone() }, tree)?;
        // The key events make the signer one that the identity of entry 0 listed as admin.
        let (policy, file) = (policy_of_keys(&log_keys(self.policy, &self.origin)), proof.to_string());
        let verdict = verify(&Request::new(&policy, file.as_bytes())).map_err(|_| Doubt::NotNamed)?;
        let Shown::Link(link) = verdict.shown() else { return Err(Doubt::NotNamed) };
        let body = link.body.as_deref().map(|body| Body::parse(link.header.link_type, Some(body)));
        let Some(Ok(Body::Profile(profile))) = body else { return Err(Doubt::NotNamed) };
        let digest = sha256(&[vkey.to_string().as_bytes()]);
        let is_named = profile.hashes.iter().any(|(label, hash)| label == INSTANT_KEY_LABEL && *hash == digest);
        let is_key = vkey.kind() == VkeyType::Ed25519 && vkey.name() == self.origin.key_name();
        let verifier = NoteVerifier::new(vkey.clone()).ok().filter(|_| is_named && is_key && link.is_signed());
        self.keys.push(verifier.ok_or(Doubt::NotNamed)?);
        Ok(TreeSize::new(link.index.get()))
    }

    /// The tree of a checkpoint that the log signed.
    fn signed(&mut self, checkpoint: &OneSigned) -> Result<(TreeSize, Hash), Doubt> {
        if *checkpoint.get().claim().origin() != self.origin {
            return Err(Doubt::TwoLogs);
        }
        let verified = checkpoint.get().verify(&self.keys).map_err(Doubt::Signature)?;
        for key in verified.log_keys() {
            if !self.signed.contains(key) {
                self.signed.push(key.clone());
            }
        }
        Ok(checkpoint.tree())
    }

    fn log_id(&self) -> LogId {
        LogId::of_origin(self.origin.as_str())
    }
}

fn in_tree(placed: &Placed, tree: (TreeSize, Hash)) -> Result<(), Doubt> {
    verify_inclusion(&leaf_hash(&placed.entry), placed.index, tree.0, &placed.path, &tree.1).map_err(Doubt::Path)
}

impl Conviction {
    /// What a replay of a copy of the log came to, for evidence that has no entries: whoever calls this has replayed the
    /// tree of the evidence's checkpoint and found this.
    pub fn of_replay(bad: &BadReplay, policy: &Policy, found: (LeafIndex, &str, String)) -> Result<Self, Doubt> {
        let origin = bad.checkpoint.get().claim().origin().clone();
        let mut court = Court { keys: log_keys(policy, &origin), policy, origin, signed: Vec::new() };
        court.signed(&bad.checkpoint)?;
        let (index, code, what) = found;
        if index != bad.index || code != bad.code {
            return Err(Doubt::NotBroken);
        }
        let charge = Charge::Entry { index, code: code.into(), what, replayed: true };
        Ok(Self { origin: court.origin, keys: court.signed, charge })
    }

    /// The log.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its keys that signed.
    pub fn keys(&self) -> &[Vkey] {
        &self.keys
    }

    /// What it did.
    pub const fn charge(&self) -> &Charge {
        &self.charge
    }

    /// Whether it holds only under the condition that [`caveat`](Self::caveat) names.
    pub const fn is_conditional(&self) -> bool {
        self.caveat().is_some()
    }

    /// What the evidence leaves open, where it does.
    pub const fn caveat(&self) -> Option<&'static str> {
        match &self.charge {
            Charge::Fork { .. } | Charge::Entry { replayed: true, .. } => None,
            Charge::Unsealed { .. } | Charge::Entry { .. } => {
                Some("provided that no policy before it had asked for later rules than version 1")
            }
        }
    }
}

/// The sentence: who did what.
impl fmt::Display for Conviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log {} ", self.origin)?;
        match &self.charge {
            Charge::Fork { old, new, prefix_root } if old.0 == new.0 => {
                write!(f, "signed two trees of size {}: one with root {}, the other with {prefix_root}", old.0, old.1)
            }
            Charge::Fork { old, new, prefix_root } => write!(
                f,
                "forked: it signed a tree of size {} and root {}, and one of size {} that has root {prefix_root} there",
                old.0, old.1, new.0
            ),
            Charge::Unsealed { last } => {
                write!(f, "signed a tree whose last entry, {last}, is no trailer that covers what is before it")
            }
            Charge::Entry { index, code, what, .. } => {
                write!(f, "logged entry {index} against the rule `{code}`: {what}")
            }
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(error) => write!(f, "a checkpoint in it: {error}"),
            Self::TwoLogs => f.write_str("its checkpoints are of several logs"),
            Self::Path(error) => error.fmt(f),
            Self::NoFork => f.write_str("the two trees go together"),
            Self::NotLast => f.write_str("the entry is not the last of the tree"),
            Self::Sealed => f.write_str("the tree ends with a trailer"),
            Self::NotBroken => f.write_str("what it shows breaks no rule of that word"),
            Self::EntriesElsewhere => f.write_str("its entries are too many for a file: a copy of the log is needed"),
            Self::NotNamed => f.write_str("it does not show that the log named that key as its own"),
        }
    }
}

impl core::error::Error for Doubt {}
