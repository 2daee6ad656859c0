//! Trees that the log signed and that are not yet shown to be in the one that is followed: whoever showed them, they are kept
//! until they are, and are evidence as soon as they cannot be.
//!
//! One that is smaller than the tree followed is held against it at once; one that is larger when the log reaches its size, or
//! against another of the same size. So a log gains nothing by withholding the tiles of what it signed: it may never go on to
//! that size with another history.

use std::collections::BTreeMap;
use std::io;

use super::bounds::Unasked;
use super::charges::{Files, Made, Unserved};
use super::copies::Grown;
use super::log::{LogMonitor, World};
use super::memory::{By, Claim, Ledger};
use super::report::Kind;
use super::settings::LogKind;
use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::tlog::NoteVerifier;
use crate::verify::{Evidence, Fork, NamedKey, OneSigned, policy_of_keys};

impl LogMonitor {
    /// Trees that wait, now that the newest is known. Once nothing more is asked of the log those that are left are held against
    /// copies alone, and are the first in the next round.
    pub(super) fn settle(&mut self, world: &World<'_>, is_over: &dyn Fn() -> bool) -> io::Result<()> {
        let Some(seen) = self.seen.clone() else { return Ok(()) };
        let (mut larger, mut ahead, mut withheld, mut due) = (Vec::new(), BTreeMap::new(), None, Vec::new());
        let claims = core::mem::take(&mut self.ledger.memory.claims);
        let mut is_kept = vec![true; claims.len()];
        for (at, claim) in claims.iter().enumerate() {
            match OneSigned::parse(&claim.note) {
                Err(_) => is_kept[at] = false,
                Ok(shown) if shown.tree().0 > seen.tree().0 => {
                    match (claim.by, self.wait_for(claim, &shown)?) {
                        (By::Witness, Some(text)) => _ = ahead.entry(claim.name.clone()).or_insert(text),
                        (By::Log, Some(text)) => withheld = withheld.or(Some(text)),
                        _ => {}
                    }
                    larger.push((claim.clone(), shown));
                }
                Ok(shown) => due.push((at, shown)),
            }
        }
        let first = self.turn.checked_rem(due.len()).unwrap_or(0);
        due.rotate_left(first);
        let mut next = None;
        for (at, shown) in &due {
            if self.limits.stop.is_set() {
                break;
            }
            if next.is_none() && is_over() {
                next = Some(*at);
            }
            is_kept[*at] = !self.hold(world, &claims[*at], shown, &seen)?;
            if is_kept[*at] && next.is_none() {
                withheld = withheld.or(self.unshown(&claims[*at], shown));
            }
        }
        let is_undecided = due.iter().any(|(at, _)| is_kept[*at]);
        self.turn = next.map_or(0, |next| due.iter().filter(|(at, _)| *at < next && is_kept[*at]).count());
        let kept = claims.into_iter().zip(is_kept).filter(|(_, is_kept)| *is_kept);
        self.ledger.memory.claims = kept.map(|(claim, _)| claim).collect();
        self.contradict(world, &larger)?;
        let witnesses: Vec<_> = self.settings.policy.witnesses().iter().map(|of| of.name().to_string()).collect();
        for name in witnesses {
            let text = ahead.remove(&name);
            let waits = larger.iter().any(|(claim, _)| claim.by == By::Witness && claim.name == name);
            // Of a log that was not read it is not known what it shows.
            if self.shown_size.is_some() || !waits {
                self.ledger.condition(Kind::WitnessAhead, &name, text);
            }
        }
        let waits = is_undecided || larger.iter().any(|(claim, _)| claim.by == By::Log);
        if withheld.is_some() || !waits {
            self.ledger.condition(Kind::Withheld, "tree", withheld);
        }
        Ok(())
    }

    /// Compares what a witness shows with all that is known here, without a request to the log. By this it is convicted, or
    /// nothing is decided: the rest comes in its turn.
    pub(super) fn compare_at_once(&mut self, now: UnixMillis, name: &str, tree: &OneSigned) -> io::Result<()> {
        let Some(seen) = self.seen.clone() else { return Ok(()) };
        let world = World { source: &Unasked, witnesses: &Unasked, promises: Vec::new(), now };
        // That nothing was served says nothing here.
        let unread = self.unread.take();
        if tree.tree().0 > seen.tree().0 {
            // What the log signed at once may need a proof from it that the key is its own.
            let others = self.ledger.memory.claims.iter().filter(|claim| claim.by != By::Promise);
            let read = |claim: &Claim| Some((claim.clone(), OneSigned::parse(&claim.note).ok()?));
            let same: Vec<_> = others.filter_map(read).filter(|(_, shown)| shown.tree().0 == tree.tree().0).collect();
            self.contradict(&world, &same)?;
        } else {
            let note = tree.to_string();
            let is_it = |claim: &&Claim| {
                claim.by == By::Witness && claim.name == name && tree_lines(&claim.note).eq(tree_lines(&note))
            };
            if let Some(claim) = self.ledger.memory.claims.iter().find(is_it).cloned() {
                self.hold(&world, &claim, tree, &seen)?;
            }
        }
        self.unread = unread;
        Ok(())
    }

    /// Whether trees wait that the one that is followed should have in it: they may not be, or may not end as they should.
    pub(super) fn is_undecided(&self) -> bool {
        let Some(seen) = &self.seen else { return false };
        let trees = self.ledger.memory.claims.iter().filter_map(|claim| OneSigned::parse(&claim.note).ok());
        trees.into_iter().any(|shown| shown.tree().0 <= seen.tree().0)
    }

    /// A tree that is no larger than the one that is followed, of which the log was asked and did not serve what shows whether it
    /// is in it, or how it ends; what to say if that lasts.
    fn unshown(&self, claim: &Claim, shown: &OneSigned) -> Option<String> {
        let waited = self.ledger.now.get().saturating_sub(claim.since_ms) / 1000;
        // Before it is replayed, what keeps it from that is told.
        let is_due = self.shown_size.is_some() && self.replayed >= shown.tree().0;
        let is_long = is_due && waited >= self.settings.patience_seconds;
        is_long.then(|| {
            format!(
                "the log signed a tree of size {}, and for {waited} s it has not served what shows whether that is in the one \
                 that it shows now, and ends as it has to",
                shown.tree().0
            )
        })
    }

    /// Holds a tree against the one that is followed, which is no smaller. Says whether it is done with.
    fn hold(&mut self, world: &World<'_>, claim: &Claim, shown: &OneSigned, seen: &OneSigned) -> io::Result<bool> {
        match self.files(world, seen).prefix(shown.tree().0) {
            Ok(Some((root, _))) if root == shown.tree().1 => {
                if claim.by == By::Witness {
                    self.agreed.insert(claim.name.clone(), shown.tree());
                }
                self.judge_sealed(world, shown, seen)
            }
            Ok(Some(prefix)) => self.convict(world, claim.by.fork(), &claim.name, shown, seen, prefix),
            // The tiles of the tree that is followed are not there now.
            Ok(None) => Ok(false),
            Err(error) => {
                self.unreadable(&error);
                Ok(false)
            }
        }
    }

    /// Whether a tree that is in the one that is followed ends with a trailer, as every tree does that a log signs. Says
    /// whether it is judged; it is not before its entries are replayed, since they say which rules hold.
    fn judge_sealed(&mut self, world: &World<'_>, shown: &OneSigned, seen: &OneSigned) -> io::Result<bool> {
        let ((size, root), rules_from) = (shown.tree(), self.ledger.memory.rules_from);
        let is_other = self.settings.kind != LogKind::Soulchain || rules_from.is_some_and(|from| from < size.get());
        if is_other || size == TreeSize::ZERO || self.sealed == Some((size, root)) {
            return Ok(true);
        }
        if self.replayed < size && rules_from.is_none() {
            return Ok(false);
        }
        let source = Grown { source: world.source, size: seen.tree().0 };
        let files = Files { source: &source, ..self.files(world, shown) };
        match Made::of(files.unsealed(), &policy_of_keys(&self.all_keys)) {
            Made::Evidence(evidence) => {
                self.ledger.memory.is_guilty = true;
                let text = format!("the log signed a tree of size {size} that does not end with a trailer");
                self.ledger.tell(Kind::Unsealed, &format!("{size} {root}"), text, Some(&evidence))?;
                Ok(true)
            }
            Made::Refuted => Ok(true),
            Made::NotNow => Ok(false),
        }
    }

    /// Trees that are larger than the one that is followed need no tiles where they are of one size.
    fn contradict(&mut self, world: &World<'_>, larger: &[(Claim, OneSigned)]) -> io::Result<()> {
        let mut first: BTreeMap<_, &OneSigned> = BTreeMap::new();
        // Promises after the others, with which witnesses are compared at once: a fork is one fact, and not one more by them.
        let (promises, others): (Vec<_>, Vec<_>) = larger.iter().partition(|(claim, _)| claim.by == By::Promise);
        for (claim, shown) in others.into_iter().chain(promises) {
            let (size, root) = shown.tree();
            let other = *first.entry(size).or_insert(shown);
            if other.tree().1 != root {
                self.convict(world, claim.by.fork(), &claim.name, shown, other, (other.tree().1, Vec::new()))?;
            }
        }
        Ok(())
    }

    /// A tree that is larger than the one that is followed; what to say if the log was read in this round, showed less, and
    /// has done so for too long.
    fn wait_for(&mut self, claim: &Claim, shown: &OneSigned) -> io::Result<Option<String>> {
        let (size, root) = shown.tree();
        let waited = self.ledger.now.get().saturating_sub(claim.since_ms) / 1000;
        let Some(now) = self.shown_size.filter(|now| *now < size && waited >= self.settings.patience_seconds) else {
            return Ok(None);
        };
        match claim.by {
            By::Witness => Ok(Some(format!(
                "witness {} has cosigned a tree of size {size} for {waited} s, and the log shows {now}: it withholds, or is \
                 not what others see",
                claim.name
            ))),
            By::Promise => {
                let text = format!(
                    "{}: the log signed a tree of size {size} at once, and for {waited} s shows no more than {now}; the proof \
                     itself is all the evidence that there is, of a promise and not yet of its breach",
                    claim.name
                );
                self.ledger.tell(Kind::PromiseUnkept, &format!("{size} {root}"), text, None)?;
                Ok(None)
            }
            By::Log => Ok(Some(format!(
                "the log signed a tree of size {size}, and for {waited} s shows {now} and not how that grows to it"
            ))),
        }
    }

    /// Two trees that do not go together. Says whether the evidence of it is made.
    pub(super) fn convict(
        &mut self,
        world: &World<'_>,
        kind: Kind,
        name: &str,
        old: &OneSigned,
        new: &OneSigned,
        (prefix_root, path): (Hash, Vec<Hash>),
    ) -> io::Result<bool> {
        let (size, root) = old.tree();
        let fact = match kind {
            Kind::Fork => format!("{size} {root} {prefix_root}"),
            // The same proof under many names is one promise.
            Kind::PromiseBroken => format!("{size} {root}"),
            _ => format!("{name} {size} {root}"),
        };
        self.ledger.memory.is_guilty = true;
        if self.ledger.is_told(kind, &fact) {
            return Ok(true);
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
        let fork = self.named(world, [old, new]).map(|named| {
            let (old, new) = (old.clone(), new.clone());
            Some(Evidence::Fork(Box::new(Fork { old, new, prefix_root, path, named })))
        });
        if let Ok(fork) = fork
            && let Made::Evidence(evidence) = Made::of(Ok(fork), &policy_of_keys(&self.all_keys))
        {
            self.ledger.tell(kind, &fact, text, Some(&evidence))?;
            return Ok(true);
        }
        if !self.limits.stop.is_set() {
            let text = format!("{text}; what shows that the log named the key which signed it is not served now");
            self.ledger.tell(Kind::Suspicion, &fact, text, None)?;
        }
        Ok(false)
    }

    /// What shows that a key is the log's, where one signed that the policy does not list.
    fn named(&self, world: &World<'_>, trees: [&OneSigned; 2]) -> Result<Option<NamedKey>, Unserved> {
        let is_by =
            |key: &NoteVerifier, tree: &OneSigned| OneSigned::of(tree.get(), core::slice::from_ref(key)).is_some();
        let unlisted = trees.into_iter().find(|tree| !self.keys.iter().any(|key| is_by(key, tree)));
        let key = unlisted.and_then(|tree| self.all_keys.iter().find(|key| is_by(key, tree)));
        // What a plain log's entries say is not known.
        let Some(key) = key.filter(|_| self.settings.kind == LogKind::Soulchain) else { return Ok(None) };
        let state = self.state.as_ref().ok_or(Unserved)?;
        let under = OneSigned::of(state.seen(), &self.keys).ok_or(Unserved)?;
        self.files(world, &under).named(key.vkey(), state.replay())
    }
}

impl By {
    /// What it is called where such a tree does not go with the log's.
    const fn fork(self) -> Kind {
        match self {
            Self::Log => Kind::Fork,
            Self::Witness => Kind::WitnessDisagrees,
            Self::Promise => Kind::PromiseBroken,
        }
    }
}

/// Most trees of one source that wait to be compared: the log, each witness, and proofs that were handed in.
pub const MAX_CLAIMS: usize = 1024;

impl Ledger {
    /// Remembers a tree to compare, once. Whoever calls this has checked that the log signed it, so nobody else can fill this
    /// up; where the log does, the first half of what it showed is kept, and the newest.
    pub(super) fn claim(&mut self, by: By, name: &str, tree: &OneSigned) -> io::Result<()> {
        let (note, read_before_ms) = (tree.to_string(), self.memory.looked_ms);
        let is_same = |claim: &Claim| claim.by == by && (by != By::Witness || claim.name == name);
        let claims = &mut self.memory.claims;
        if claims.iter().any(|claim| is_same(claim) && tree_lines(&claim.note).eq(tree_lines(&note))) {
            return Ok(());
        }
        let is_full = claims.iter().filter(|claim| is_same(claim)).count() >= MAX_CLAIMS;
        if is_full && let Some(at) = (0..claims.len()).filter(|at| is_same(&claims[*at])).nth(MAX_CLAIMS / 2) {
            claims.remove(at);
        }
        claims.push(Claim { by, name: name.into(), note, since_ms: self.now.get(), read_before_ms });
        if is_full {
            let text =
                format!("more than {MAX_CLAIMS} trees that the log signed wait to be shown; not all are remembered");
            return self.tell(Kind::Withheld, &format!("trees {by:?}"), text, None);
        }
        Ok(())
    }

    /// The newest time of which it was known what the log showed, before it showed a tree.
    pub(super) fn read_before(&self, tree: &OneSigned) -> u64 {
        let note = tree.to_string();
        let is_tree = |claim: &&Claim| claim.by == By::Log && tree_lines(&claim.note).eq(tree_lines(&note));
        self.memory.claims.iter().find(is_tree).map_or(self.memory.looked_ms, |claim| claim.read_before_ms)
    }

    /// A tree is done with, whoever showed it.
    pub(super) fn unclaim(&mut self, tree: &OneSigned) {
        let note = tree.to_string();
        self.memory.claims.retain(|claim| !tree_lines(&claim.note).eq(tree_lines(&note)));
    }
}

/// Origin, size and root.
fn tree_lines(note: &str) -> impl Iterator<Item = &str> {
    note.lines().take(3)
}
