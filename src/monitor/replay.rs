//! The part of a round that replays what the log has added, and what comes of it.

use std::io;

use super::charges::Made;
use super::copies::{Copying, promote};
use super::log::{LogMonitor, World};
use super::memory::{By, KnownFault, LATE, MAX_FAULTS};
use super::report::Kind;
use super::store::Kept;
use super::watch::Watcher;
use crate::audit::{
    AtCheckpoint, AuditError, Blind, CheckpointFault, Event, Finding, FindingView, KEEP_EVERY, Keep, MAX_NOTED, Report,
    Request, State, StateError, TileFault, follow,
};
use crate::encoding::UnixMillis;
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{CLOCK_LEEWAY_MS, FaultReason, Replay};
use crate::verify::{Evidence, OneSigned};

const REPLAY: &str = "replay";
/// Most faults that one replay hands on: those that are known from before, and more than are told one by one.
const MAX_FOUND: usize = 2 * MAX_NOTED;

/// What a replay found, to be sorted once it is known whether its entries are those of the checkpoint.
#[derive(Default)]
struct Found {
    faults: Vec<KnownFault>,
    missing: Option<String>,
    wrong: Option<String>,
    unsealed: Option<LeafIndex>,
    clock: Option<String>,
    /// Whether the replay that was kept is not shown to be of the tree that is followed.
    is_elsewhere: bool,
}

impl LogMonitor {
    /// Replays up to the tree that was seen.
    pub(super) fn replay(&mut self, world: &World<'_>) -> io::Result<()> {
        let Some(seen) = self.seen.clone() else { return Ok(()) };
        self.restore()?;
        let kept = self.state.as_ref().and_then(|state| OneSigned::of(state.seen(), &self.keys));
        if kept.as_ref().is_some_and(|kept| kept.tree().0 > seen.tree().0) {
            // The memory is older, and what the replay came to waits to be shown (`start`).
            return Ok(());
        }
        let was_at_end = self.state.as_ref().is_some_and(|state| state.judged() == seen.tree().0);
        // A state that is kept while this monitor remembers no replay, or a shorter one, is that of a first one whose end was
        // cut off, or newer than the memory: what it found is told again by the replay of no entries at all.
        if was_at_end && self.ledger.memory.judged.is_some_and(|judged| judged >= seen.tree().0.get()) {
            self.is_replayed = self.has_all_files();
            return Ok(());
        }
        self.keep_before_long_replay(&seen)?;
        let list = self.settings.watch.clone();
        let registry = self.state.as_ref().map(|state| state.replay().registry());
        let mut watcher = Watcher::new(&list, registry);
        let first = self.ledger.memory.judged.is_none();
        let mut found = Found::default();
        let mut staged = Vec::new();
        let followed = self.follow(world, &seen, first, &mut staged, &mut |event| match event {
            Event::Entry(index, entry) => watcher.see(index, entry),
            Event::Found(finding) => {
                if let Finding::Entry(fault) = finding
                    && matches!(fault.reason, FaultReason::Link(_))
                {
                    watcher.refused(fault.index);
                }
                found.take(finding, seen.tree().0);
            }
            Event::Known(view) => found.take_known(view, seen.tree().0),
            Event::Progress(..) => {}
        });
        let (report, state) = match followed {
            Ok(followed) => followed,
            Err(AuditError::Source(error)) => {
                self.unreadable(&error);
                self.note_faults(found.of_entries_not_shown(), false);
                return Ok(());
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        if found.is_elsewhere && self.is_of_another_history(world, &seen, kept)? {
            return Ok(());
        }
        self.tell_files(&found, &report);
        let is_proven = found.wrong.is_none() && found.missing.is_none() && !is_missing(&report);
        if is_proven {
            for tile in &staged {
                promote(&*self.ledger.store, tile);
            }
        }
        let Some(state) = state else { return self.stopped(&report, found) };
        self.tell_clock(&found, &state, world.now, first);
        self.tell_watched(watcher, &state);
        self.replayed = state.judged();
        self.state = Some(state);
        self.is_replayed = self.has_all_files();
        // A replay of no entries does not see the last one.
        self.sealed = (found.unsealed.is_none() && !was_at_end).then(|| seen.tree());
        // It has come past the place from which a monitor before this one could not judge.
        self.ledger.memory.rules_from = None;
        // Evidence of it is made where trees are judged of which this is one (`claims`).
        self.ledger.memory.is_guilty |= found.unsealed.is_some();
        // What was found in entries that were not shown to be the log's is found in those that are, or was not there.
        self.ledger.memory.faults.retain(|fault| !fault.is_open);
        // The entries are those of the tree, whatever files were wrong or missing beside them.
        self.note_faults(found, true);
        Ok(())
    }

    /// Whether all files that the log served of this tree are what they have to be: then it may be cosigned.
    fn has_all_files(&self) -> bool {
        !self.ledger.holds(Kind::BadFiles, "") && !self.ledger.holds(Kind::Withheld, "files")
    }

    /// A replay that fails begins again where it was kept, so a long one begins by keeping what there is.
    fn keep_before_long_replay(&mut self, seen: &OneSigned) -> io::Result<()> {
        let judged = self.state.as_ref().map_or(0, |state| state.judged().get());
        let more = seen.tree().0.get().saturating_sub(judged);
        if more > (KEEP_EVERY / 16).max(judged / 16) { self.keep_replay(true) } else { Ok(()) }
    }

    /// What happened to whom is watched, of entries that were not judged before; of a first replay only lookalikes.
    fn tell_watched(&mut self, watcher: Watcher<'_>, state: &State) {
        let judged = self.ledger.memory.judged;
        match judged {
            None => watcher.tell_all_lookalikes(state.replay().registry(), &mut self.ledger),
            Some(told) => watcher.tell(told, state.replay(), &mut self.ledger),
        }
        self.ledger.memory.judged = Some(judged.unwrap_or(0).max(state.judged().get()));
    }

    /// Whether the replay that was kept is of a tree that does not go with the one that is followed. Then that is a fork, and
    /// what is followed is replayed anew.
    fn is_of_another_history(
        &mut self,
        world: &World<'_>,
        seen: &OneSigned,
        kept: Option<OneSigned>,
    ) -> io::Result<bool> {
        let Some(kept) = kept else { return Ok(false) };
        self.ledger.claim(By::Log, "", &kept)?;
        let prefix = self.files(world, seen).prefix(kept.tree().0);
        let is_other = matches!(prefix, Ok(Some((root, _))) if root != kept.tree().1);
        self.has_useless_replay |= is_other;
        Ok(is_other)
    }

    fn follow(
        &mut self,
        world: &World<'_>,
        seen: &OneSigned,
        first: bool,
        staged: &mut Vec<String>,
        listen: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Report, Option<State>), AuditError> {
        let store = self.ledger.store.clone();
        let at = AtCheckpoint { source: world.source, note: seen.to_string().into_bytes() };
        let source = Copying::new(&at, &*store);
        let keep = Kept(&*store, REPLAY);
        let request = Request {
            source: &source,
            policy: &self.own_policy,
            origin: &self.settings.origin,
            resume: self.state.take(),
            // On the way only what nobody waits for is kept: later, events would be lost with a kill.
            keep: first.then_some(&keep as &dyn Keep),
            keep_every: KEEP_EVERY,
            now: world.now,
            threads: self.settings.threads,
        };
        let followed = follow(request, listen);
        *staged = source.staged();
        followed
    }

    /// The audit as it was kept, where this monitor has none at hand.
    pub(super) fn restore(&mut self) -> io::Result<()> {
        if self.state.is_none() && self.has_useless_replay {
            (self.kept, self.replayed) = (0, TreeSize::ZERO);
        } else if self.state.is_none() {
            let kept = State::read_kept(&Kept(&*self.ledger.store, REPLAY));
            self.state = match kept {
                Ok(state) => state.filter(|state| *state.origin() == self.settings.origin),
                Err(error @ StateError::Io(..)) => return Err(io::Error::other(error)),
                // Damaged, or not of this program: the log is replayed anew.
                Err(_) => None,
            };
            self.kept = self.state.as_ref().map_or(0, |state| state.judged().get());
            self.replayed = TreeSize::new(self.kept);
        }
        Ok(())
    }

    /// Keeps the audit where much was added since, or at the end.
    pub(super) fn keep_replay(&mut self, at_end: bool) -> io::Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        let (size, grown) = (state.judged().get(), state.judged().get().saturating_sub(self.kept));
        if grown > 0 && (at_end || self.kept == 0 || grown >= KEEP_EVERY.max(size / 4)) {
            let is_kept = state.keep(&Kept(&*self.ledger.store, REPLAY)).map_err(io::Error::other)?;
            self.kept = if is_kept { size } else { self.kept };
            self.has_useless_replay &= !is_kept;
        }
        Ok(())
    }

    /// The replay did not come to the end of the signed tree: it begins again where it was kept. What stands before the place
    /// where it stopped is as wrong as it was.
    fn stopped(&mut self, report: &Report, found: Found) -> io::Result<()> {
        let is_proven = found.missing.is_none() && !is_missing(report);
        if let Some(Blind::Rules(stop)) = report.blind
            && found.wrong.is_none()
            && is_proven
        {
            self.ledger.memory.rules_from = Some(stop.index.get());
            let text = format!("{}: from there on this monitor cannot judge", Blind::Rules(stop));
            self.ledger.tell(Kind::LaterRules, &stop.index.to_string(), text, None)?;
        }
        self.note_faults(found.of_entries_not_shown(), is_proven);
        Ok(())
    }

    /// Keeps the faults that were found; of entries that are not shown to be the log's, for what the evidence shows.
    fn note_faults(&mut self, found: Found, is_proven: bool) {
        let (mut first, mut more, counted) = (None, 0, self.ledger.memory.counted());
        let mut facts = String::new();
        for fault in found.faults {
            let (index, fact) = (fault.index, fault.fact());
            if self.note_fault(KnownFault { is_open: !is_proven, ..fault }, counted) {
                first.get_or_insert(index);
                more += 1;
                facts = facts + "\n" + &fact;
            }
        }
        if let Some(first) = first {
            let all = self.ledger.memory.fault_count;
            let text = format!(
                "at least {more} more entries break rules, from entry {first} on, and {all} in all; more than {MAX_FAULTS} are \
                 not told one by one, and no evidence file is written of them: `soulchain audit` names them"
            );
            self.ledger.happened(Kind::MoreFaults, &format!("faults{facts}"), text);
        }
    }

    fn tell_files(&mut self, found: &Found, report: &Report) {
        let missing = found.missing.clone();
        let withheld = missing.map(|what| format!("{what}; {} entries could be judged", report.judged));
        self.ledger.condition(Kind::Withheld, "files", withheld);
        self.ledger.condition(Kind::BadFiles, "", found.wrong.clone());
    }

    fn tell_clock(&mut self, found: &Found, state: &State, now: UnixMillis, first: bool) {
        let log_time = state.replay().registry().log_time();
        let latest = log_time.saturating_add(CLOCK_LEEWAY_MS);
        // Not this round's: the tree may have been shown long before it could be replayed.
        let before = UnixMillis::new(self.ledger.memory.before_ms);
        let behind = (!first && latest < before).then(|| {
            format!(
                "a trailer that was not there at {before} bears the time {log_time}: the log's clock is slow, or it kept the \
                 trailer back; the clock here says {now}"
            )
        });
        let wrong = found.clock.clone().or(behind);
        // A trailer that is late, and may have had to wait for witnesses, says nothing of the log's clock; unless it was not there
        // when that was told, and is no older.
        let is_later = self.ledger.holds_since(Kind::LogClock).is_some_and(|since| before.get() >= since);
        if wrong.is_some() || latest >= now || is_later {
            self.ledger.condition(Kind::LogClock, "", wrong);
        }
    }

    fn evidence(&self, world: &World<'_>, seen: &OneSigned, fault: &KnownFault) -> Made {
        let replay: Option<&Replay> = self.state.as_ref().map(State::replay);
        match Made::of(self.files(world, seen).fault(fault, replay), &self.own_policy) {
            // Entries that were not shown to be the log's are no word against it unless they come with the evidence.
            Made::Evidence(made) if fault.is_open && is_without_entries(&made) => Made::NotNow,
            made => made,
        }
    }

    /// Makes evidence of the faults that wait for it, and tells them.
    ///
    /// One that cannot be made waits, and is tried again after the others: a round tries in vain once at most. Where nothing
    /// more is asked (`is_over`) it may well be served.
    pub(super) fn tell_faults(&mut self, world: &World<'_>, is_over: &dyn Fn() -> bool) -> io::Result<()> {
        let Some(seen) = self.seen.clone() else { return Ok(()) };
        let mut in_vain = None;
        for fault in core::mem::take(&mut self.ledger.memory.faults) {
            let made = if in_vain.is_some() { Made::NotNow } else { self.evidence(world, &seen, &fault) };
            match made {
                Made::Evidence(evidence) => {
                    self.ledger.memory.is_guilty = true;
                    self.ledger.memory.fault_count += u64::from(fault.is_open);
                    self.ledger.tell(fault.kind(), &fault.fact(), fault.text(), Some(&evidence))?;
                }
                Made::Refuted if fault.is_open => {}
                Made::Refuted | Made::NotNow => {
                    if !is_over() {
                        let text = format!("{}; what shows it is not served now", fault.text());
                        self.ledger.tell(Kind::Suspicion, &fault.fact(), text, None)?;
                    }
                    if in_vain.is_none() {
                        in_vain = Some(fault);
                    } else {
                        self.ledger.memory.faults.push(fault);
                    }
                }
            }
        }
        self.ledger.memory.faults.extend(in_vain);
        Ok(())
    }
}

fn is_without_entries(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Replay(replay) if replay.entries.is_none())
}

fn is_missing(report: &Report) -> bool {
    matches!(report.blind, Some(Blind::Missing(_)))
}

impl Found {
    fn take(&mut self, finding: &Finding, size: TreeSize) {
        match finding {
            Finding::Entry(fault) => self.push(KnownFault {
                index: fault.index.get(),
                size: match fault.reason {
                    // It shows with the trailer after it.
                    FaultReason::Late { .. } => size.get(),
                    _ => fault.index.size_with().get(),
                },
                code: fault.reason.code().into(),
                what: fault.reason.to_string(),
                is_open: false,
            }),
            Finding::Tile { tile, fault: TileFault::Missing } => {
                self.missing.get_or_insert_with(|| format!("{tile} is not served"));
            }
            Finding::Tile { tile, fault } => {
                self.wrong.get_or_insert_with(|| format!("{tile}: {fault}"));
            }
            Finding::Checkpoint(CheckpointFault::NotSealed(index)) => self.unsealed = Some(*index),
            Finding::Checkpoint(fault @ CheckpointFault::Clock { .. }) => self.clock = Some(fault.to_string()),
            Finding::Checkpoint(fault) => {
                self.is_elsewhere |= matches!(fault, CheckpointFault::Forked { .. });
                self.wrong.get_or_insert_with(|| fault.to_string());
            }
        }
    }

    /// A fault that an earlier run had found and that may not have been told.
    fn take_known(&mut self, view: &FindingView, size: TreeSize) {
        if let (Some(index), None) = (view.index, &view.tile)
            && !view.code.starts_with("checkpoint_")
        {
            let size = if view.code == LATE { size.get() } else { index + 1 };
            self.push(KnownFault { index, size, code: view.code.clone(), what: view.what.clone(), is_open: false });
        }
    }

    /// Of entries that are not the log's, since they lead to another tree, nothing is kept.
    fn of_entries_not_shown(self) -> Self {
        if self.wrong.is_none() { self } else { Self { faults: Vec::new(), ..self } }
    }

    fn push(&mut self, fault: KnownFault) {
        if self.faults.len() < MAX_FOUND {
            self.faults.push(fault);
        }
    }
}
