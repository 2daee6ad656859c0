//! Who sees everything and takes no part: the invariants, the trace, and what has happened at least once.
//!
//! The judge knows each tree that the log's key signed. A cosignature counts from when it may have left its witness, whether
//! or not anybody got it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use soulchain::encoding::hex_encode;
use soulchain::hash::{Hash, sha256};
use soulchain::monitor::{Kind, Report};
use soulchain::tlog::Policy;
use soulchain::verify::{Evidence, convict};

use crate::history::History;

/// Witnesses that suffice.
pub(crate) const QUORUM: usize = 2;

/// Size and root.
pub(crate) type Tree = (u64, Hash);

/// What has to happen now and then, or the simulation shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Count {
    /// Two trees were signed that do not go together.
    Fork,
    /// A witness was shown one of two such trees when it had cosigned the other.
    SplitOffered,
    Partition,
    Duplicate,
    LostAnswer,
    /// A witness had to say which size it is at.
    CatchUp,
    WitnessCrash,
    /// The power went while something was written and not synced.
    TornWrite,
    /// A disk said no, and its program went on.
    DiskFault,
    LogCrash,
    /// An engine could not say that it has a batch.
    BatchInDoubt,
    /// A log was restored from a backup.
    Restored,
    /// A log was told by a witness that it is not the newest.
    Contradicted,
    MonitorCrash,
    MirrorCrash,
    /// A mirror refused what the log showed.
    MirrorRefused,
    RolledBack,
    Withheld,
    Rewritten,
    Accepted,
    Convicted,
}

impl Count {
    pub(crate) const ALL: [Self; 21] = [
        Self::Fork,
        Self::SplitOffered,
        Self::Partition,
        Self::Duplicate,
        Self::LostAnswer,
        Self::CatchUp,
        Self::WitnessCrash,
        Self::TornWrite,
        Self::DiskFault,
        Self::LogCrash,
        Self::BatchInDoubt,
        Self::Restored,
        Self::Contradicted,
        Self::MonitorCrash,
        Self::MirrorCrash,
        Self::MirrorRefused,
        Self::RolledBack,
        Self::Withheld,
        Self::Rewritten,
        Self::Accepted,
        Self::Convicted,
    ];
}

/// What came of a run.
pub(crate) struct Verdict {
    pub(crate) trace: Vec<String>,
    pub(crate) counts: BTreeMap<Count, u64>,
    /// The first invariant that did not hold.
    pub(crate) wrong: Option<String>,
}

impl Verdict {
    pub(crate) fn hash(&self) -> String {
        hex_encode(&sha256(&[self.trace.join("\n").as_bytes()]))
    }
}

pub(crate) struct Judge {
    verdict: Verdict,
    now: u64,
    /// Each tree that was signed, and a history that has it.
    signed: BTreeMap<Tree, Arc<History>>,
    pub(crate) has_forked: bool,
    /// Whose cosignatures there are of each tree.
    cosigned: BTreeMap<Tree, BTreeSet<usize>>,
    by_witness: BTreeMap<usize, Tree>,
    witnessed: BTreeSet<Tree>,
    accepted: BTreeSet<Tree>,
    /// What the monitor has heard of,
    heard: BTreeSet<Tree>,
    /// and what of it the log itself has shown, the last at last.
    shown: Vec<Tree>,
    /// Trees in evidence.
    charged: BTreeSet<Tree>,
    is_convicted: bool,
    /// Whether the log's operator has made it forget: then it does not serve what it did.
    pub(crate) is_forgetful: bool,
}

impl Judge {
    pub(crate) fn new() -> Self {
        Self {
            verdict: Verdict { trace: Vec::new(), counts: BTreeMap::new(), wrong: None },
            now: 0,
            signed: BTreeMap::new(),
            has_forked: false,
            cosigned: BTreeMap::new(),
            by_witness: BTreeMap::new(),
            witnessed: BTreeSet::new(),
            accepted: BTreeSet::new(),
            heard: BTreeSet::new(),
            shown: Vec::new(),
            charged: BTreeSet::new(),
            is_convicted: false,
            is_forgetful: false,
        }
    }

    pub(crate) fn end(&mut self) -> Verdict {
        let verdict = Verdict { trace: Vec::new(), counts: BTreeMap::new(), wrong: None };
        std::mem::replace(&mut self.verdict, verdict)
    }

    pub(crate) fn trace(&mut self, at: u64, what: fmt::Arguments<'_>) {
        self.now = at;
        let mut line = String::new();
        let _ = write!(line, "{:4}.{:03} {what}", at / 1000, at % 1000);
        self.verdict.trace.push(line);
    }

    pub(crate) fn count(&mut self, what: Count) {
        *self.verdict.counts.entry(what).or_default() += 1;
    }

    /// An invariant does not hold.
    pub(crate) fn wrong(&mut self, what: String) {
        let now = self.now;
        self.trace(now, format_args!("WRONG: {what}"));
        self.verdict.wrong.get_or_insert(what);
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.verdict.wrong.is_some()
    }

    /// The log's key signs a tree.
    pub(crate) fn signs(&mut self, history: &Arc<History>) {
        let tree = (history.size(), history.root());
        if self.signed.contains_key(&tree) {
            return;
        }
        self.signed.insert(tree, Arc::clone(history));
        let goes_with_all = self.signed.keys().all(|other| self.go_together(*other, tree));
        if !goes_with_all {
            self.has_forked = true;
            self.count(Count::Fork);
        }
    }

    /// Whether one of two signed trees begins with the other.
    pub(crate) fn go_together(&self, a: Tree, b: Tree) -> bool {
        let (small, large) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        self.signed.get(&large).is_some_and(|history| history.root_at(small.0) == small.1)
    }

    /// What of this witness's cosignatures left last.
    pub(crate) fn last_of(&self, witness: usize) -> Option<Tree> {
        self.by_witness.get(&witness).copied()
    }

    /// A cosignature may have left.
    ///
    /// One that is known to be careless is not blamed itself: what it does to others is what counts.
    pub(crate) fn cosigned(&mut self, witness: usize, tree: Tree, is_careless: bool) {
        if !self.signed.contains_key(&tree) {
            self.wrong(format!("witness {witness} cosigned {tree:?}, which the log did not sign"));
            return;
        }
        let last = self.by_witness.insert(witness, tree);
        if let Some(last) = last.filter(|_| !is_careless) {
            if tree.0 < last.0 {
                self.wrong(format!("witness {witness} cosigned {} after {}", tree.0, last.0));
            }
            if !self.go_together(last, tree) {
                self.wrong(format!("witness {witness} cosigned both sides of a fork: {last:?} and {tree:?}"));
            }
        }
        let by = self.cosigned.entry(tree).or_default();
        by.insert(witness);
        if by.len() >= QUORUM && self.witnessed.insert(tree) {
            let other = self.witnessed.iter().copied().find(|other| !self.go_together(*other, tree));
            if let Some(other) = other {
                self.wrong(format!("a cosigned fork: {other:?} and {tree:?}"));
            }
        }
    }

    /// The mirror has cosigned a tree.
    pub(crate) fn mirrored(&mut self, tree: Tree) {
        if !self.witnessed.contains(&tree) {
            self.wrong(format!("the mirror cosigned {tree:?}, which no quorum has cosigned"));
        }
    }

    /// A relying party has accepted a tree under the policy.
    pub(crate) fn accepted(&mut self, tree: Tree) {
        self.count(Count::Accepted);
        if self.accepted.insert(tree) {
            let other = self.accepted.iter().copied().find(|other| !self.go_together(*other, tree));
            if let Some(other) = other {
                self.wrong(format!("relying parties accepted both sides of a fork: {other:?} and {tree:?}"));
            }
        }
    }

    /// The monitor was shown a tree that the log signed, in a round that came to its end.
    pub(crate) fn heard(&mut self, tree: Tree) {
        if self.signed.contains_key(&tree) {
            self.heard.insert(tree);
        }
    }

    /// The log itself has shown the monitor a tree, in a round that came to its end.
    pub(crate) fn shown(&mut self, tree: Tree) {
        self.heard(tree);
        self.shown.push(tree);
    }

    /// A tree that the log has shown to the monitor, that contradicts what it shows now, and that goes with all trees in
    /// evidence. (One that a tree in evidence contradicts shows nothing new: the monitor tells each place of a fork once.)
    pub(crate) fn forgotten(&self) -> Option<Tree> {
        let last = *self.shown.last()?;
        let is_told = |tree: Tree| self.charged.iter().any(|charged| !self.go_together(*charged, tree));
        // What a larger tree contradicts nobody can show for as long as its tiles are withheld.
        let is_forgotten = |tree: &&Tree| tree.0 <= last.0 && !self.go_together(**tree, last) && !is_told(**tree);
        self.shown.iter().find(is_forgotten).copied()
    }

    /// Whether the monitor has heard of trees that do not go together, and that can be shown of them. What a log was made to
    /// forget nobody serves: of a tree that is larger than what it has again only another of its size shows anything.
    pub(crate) fn could_know(&self) -> bool {
        let heard: Vec<_> = self.heard.iter().collect();
        let has = self.shown.last().map_or(0, |last| last.0);
        let is_served = |a: Tree, b: Tree| !self.is_forgetful || a.0 == b.0 || a.0.max(b.0) <= has;
        let is_fork = |a: Tree, b: Tree| !self.go_together(a, b) && is_served(a, b);
        heard.iter().enumerate().any(|(at, a)| heard[..at].iter().any(|b| is_fork(**a, **b)))
    }

    pub(crate) const fn is_convicted(&self) -> bool {
        self.is_convicted
    }

    /// The largest tree that was signed.
    pub(crate) fn largest(&self) -> u64 {
        self.signed.keys().next_back().map_or(0, |tree| tree.0)
    }

    /// A report of the monitor, with its evidence.
    pub(crate) fn reported(&mut self, report: &Report, evidence: Option<&[u8]>, policy: &Policy) {
        let is_loss = matches!(report.kind, Kind::Withheld | Kind::BadFiles) && self.is_forgetful;
        if !self.has_forked && is_charge(report.kind) && !is_loss {
            self.wrong(format!("a false alarm: {report:?}"));
        }
        let Some(bytes) = evidence else { return };
        let judged = Evidence::parse(bytes).map_err(|error| error.to_string());
        let convicted = judged.and_then(|evidence| {
            let conviction = convict(&evidence, policy).map_err(|doubt| doubt.to_string())?;
            Ok((evidence, conviction))
        });
        match convicted {
            Err(why) => self.wrong(format!("evidence of {report:?} convinces nobody: {why}")),
            Ok((Evidence::Fork(fork), _)) => {
                let trees = [&fork.old, &fork.new].map(|tree| (tree.tree().0.get(), tree.tree().1));
                if self.go_together(trees[0], trees[1]) {
                    self.wrong(format!("two trees that go together convict the log: {trees:?}"));
                }
                self.charged.extend(trees);
                self.count(Count::Convicted);
                self.is_convicted = true;
            }
            Ok((_, conviction)) => self.wrong(format!("no log here breaks rules: {conviction}")),
        }
    }
}

/// Reports that an honest log never gives rise to, whatever the network and crashes do.
const fn is_charge(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Fork
            | Kind::WitnessDisagrees
            | Kind::PromiseBroken
            | Kind::Unsealed
            | Kind::BadEntry
            | Kind::BadTrailer
            | Kind::MoreFaults
            | Kind::Withheld
            | Kind::BadFiles
            | Kind::BadCheckpoint
    )
}
