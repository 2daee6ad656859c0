//! The order of a round, and who is asked when.
//!
//! The log and its witnesses are asked side by side, and an answer is looked at when the step under way is done: what
//! needs no files of the log is compared while the log has not answered. Where witnesses are to be asked in their order
//! ([`Witnesses::at_once`]), they come first, and the log after them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, Scope};

use super::bounds::{Allowance, Limits, MAX_PART_TIME, MAX_REPLAY_TIME, PART_CEILING, Part, REPLAY_CEILING};
use super::log::{LogMonitor, World};
use super::settings::LogKind;
use super::witnesses::{Asked, MAX_ASKED, Witnesses};
use crate::audit::{Source, SourceError};
use crate::encoding::UnixMillis;
use crate::tlog::{Origin, PolicyWitness};

/// What is to be done with reports as soon as there are any.
type Tell<'a> = &'a mut dyn FnMut(&mut LogMonitor) -> io::Result<()>;

/// What is there of a round.
enum Heard {
    Note(Result<Vec<u8>, SourceError>),
    Witness(usize, Asked),
}

/// Who is asked in a round.
struct Ask<'a> {
    source: &'a dyn Source,
    witnesses: &'a dyn Witnesses,
    urls: Vec<String>,
    origin: Origin,
    limits: Limits,
    next: AtomicUsize,
}

/// What the parts of a round have, from round to round.
pub(super) struct Allowances {
    take: Allowance,
    replay: Allowance,
    faults: Allowance,
    settle: Allowance,
}

impl LogMonitor {
    /// Sets bounds other than the default ones.
    pub fn limit(&mut self, limits: Limits) {
        self.allowances = Allowances::new(&limits);
        self.limits = limits;
    }

    /// One round. An error says that what was seen could not be kept; then nothing rests on it.
    pub fn round(&mut self, world: &World<'_>) -> io::Result<()> {
        self.round_telling(world, &mut |_| Ok(()))
    }

    /// The same, and after each step `tell` is called, which may tell the reports that there are. Its error is handed on.
    pub fn round_telling(&mut self, world: &World<'_>, tell: Tell<'_>) -> io::Result<()> {
        self.clock = (world.now, (self.limits.elapsed)());
        let part = Part::new(world.source, &self.limits, self.allowances.take).until_it_fails();
        self.begin(&self.present(world, &part))?;
        self.take_promises(world)?;
        let with_url =
            |witness: &PolicyWitness| Some((witness.clone(), str::from_utf8(witness.url()?).ok()?.to_owned()));
        let (asked, urls): (Vec<_>, _) = self.settings.policy.witnesses().iter().filter_map(with_url).unzip();
        let ask = Ask {
            source: world.source,
            witnesses: world.witnesses,
            urls,
            origin: self.settings.origin.clone(),
            limits: self.limits.clone(),
            next: AtomicUsize::new(0),
        };
        thread::scope(|scope| {
            let heard = ask.all(scope);
            self.steps(world, &asked, &heard, tell)
        })
    }

    fn steps(
        &mut self,
        world: &World<'_>,
        asked: &[PolicyWitness],
        heard: &Receiver<Heard>,
        tell: Tell<'_>,
    ) -> io::Result<()> {
        let mut note = None;
        while note.is_none() {
            match heard.recv() {
                Ok(Heard::Witness(at, answer)) => self.take_witness(world.now, &asked[at], answer, tell)?,
                Ok(Heard::Note(served)) => note = Some(served),
                Err(_) => break,
            }
        }
        let is_read = self.take_tree(world, note)?;
        self.ledger.save()?;
        tell(self)?;
        self.take_over_evidence()?;
        self.ledger.save()?;
        tell(self)?;
        // Those that are there: none that is slow holds up the replay.
        for heard in heard.try_iter() {
            if let Heard::Witness(at, answer) = heard {
                self.take_witness(world.now, &asked[at], answer, tell)?;
            }
        }
        self.replay_part(world)?;
        self.ledger.save()?;
        tell(self)?;
        self.settle_part(world)?;
        self.ledger.save()?;
        tell(self)?;
        // Whoever offered it waits for seconds, and a witness that does not answer takes longer.
        self.cosign()?;
        self.desk.end(&self.settings.origin);
        let mut is_late = false;
        for heard in heard {
            if let Heard::Witness(at, answer) = heard {
                self.take_witness(world.now, &asked[at], answer, tell)?;
                is_late = true;
            }
        }
        if is_late {
            self.settle_part(world)?;
        }
        self.end(is_read)?;
        tell(self)?;
        self.keep_replay(false)
    }

    /// What a witness shows: compared at once, as far as that takes no files of the log.
    fn take_witness(&mut self, now: UnixMillis, by: &PolicyWitness, answer: Asked, tell: Tell<'_>) -> io::Result<()> {
        if let Some(tree) = self.take_answer(by, answer)? {
            self.compare_at_once(now, &by.name().to_string(), &tree)?;
        }
        self.ledger.save()?;
        tell(self)
    }

    /// What the log shows, and what it offers. Says whether it answered.
    fn take_tree(&mut self, world: &World<'_>, note: Option<Result<Vec<u8>, SourceError>>) -> io::Result<bool> {
        let part = Part::new(world.source, &self.limits, self.allowances.take).until_it_fails();
        let is_read = match note {
            Some(note) => self.take_served(&self.present(world, &part), note)?,
            None => false,
        };
        self.take_offers(&self.present(world, &part))?;
        self.allowances.take.after(&part);
        Ok(is_read)
    }

    /// What there is to see now, with the log asked in another way, and nothing handed in. What the log brings while a round
    /// lasts is as new as that: it is judged by what the clock says then.
    fn present<'a>(&self, world: &'a World<'_>, source: &'a dyn Source) -> World<'a> {
        World { source, witnesses: world.witnesses, promises: Vec::new(), now: self.now() }
    }

    /// What the clock says now.
    pub(super) fn now(&self) -> UnixMillis {
        let (began, elapsed) = self.clock;
        let passed = (self.limits.elapsed)().saturating_sub(elapsed);
        began.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }

    fn replay_part(&mut self, world: &World<'_>) -> io::Result<()> {
        if self.seen.is_none() || self.limits.stop.is_set() {
            return Ok(());
        }
        let part = Part::new(world.source, &self.limits, self.allowances.replay);
        match self.settings.kind {
            LogKind::Soulchain => self.replay(&self.present(world, &part))?,
            LogKind::Plain => self.is_replayed = false,
        }
        self.allowances.replay.after(&part);
        if self.settings.kind == LogKind::Soulchain {
            // They have a time of their own: a replay that was cut off would leave them none.
            let part = Part::new(world.source, &self.limits, self.allowances.faults);
            self.tell_faults(&self.present(world, &part), &|| part.is_over())?;
            self.allowances.faults.after(&part);
        }
        Ok(())
    }

    fn settle_part(&mut self, world: &World<'_>) -> io::Result<()> {
        if self.limits.stop.is_set() {
            return Ok(());
        }
        let part = Part::new(world.source, &self.limits, self.allowances.settle).until_it_fails();
        self.settle(&self.present(world, &part), &|| part.is_over())?;
        self.allowances.settle.after(&part);
        Ok(())
    }
}

impl Allowances {
    pub(super) fn new(limits: &Limits) -> Self {
        let part = Allowance::new(limits, MAX_PART_TIME, PART_CEILING);
        let replay = Allowance::new(limits, MAX_REPLAY_TIME, REPLAY_CEILING);
        Self { take: part, replay, faults: part, settle: part }
    }
}

impl Ask<'_> {
    fn all<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Receiver<Heard> {
        let (sender, heard) = mpsc::channel();
        if self.witnesses.at_once() <= 1 {
            self.ask_witnesses(&sender);
            if !self.limits.stop.is_set() {
                let _ = sender.send(Heard::Note(self.source.checkpoint()));
            }
            return heard;
        }
        for _ in 0..self.urls.len().min(self.witnesses.at_once()).min(MAX_ASKED) {
            let sender = sender.clone();
            scope.spawn(move || self.ask_witnesses(&sender));
        }
        scope.spawn(move || sender.send(Heard::Note(self.source.checkpoint())));
        heard
    }

    /// One after the other, until all are asked: one that is slow keeps no other waiting while there are others who ask.
    fn ask_witnesses(&self, heard: &mpsc::Sender<Heard>) {
        while !self.limits.stop.is_set() {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(url) = self.urls.get(at) else { break };
            // Nobody hears it any more where the round has ended with an error.
            if heard.send(Heard::Witness(at, self.witnesses.checkpoint(url, &self.origin))).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bounds::Unasked;
    use super::*;

    struct Counting(AtomicUsize);

    impl Witnesses for Counting {
        fn checkpoint(&self, _: &str, _: &Origin) -> Result<Option<Vec<u8>>, String> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        }
    }

    /// A round that has ended with an error asks no more witnesses.
    #[test]
    fn nobody_is_asked_whom_nobody_hears() {
        let witnesses = Counting(AtomicUsize::new(0));
        let ask = Ask {
            source: &Unasked,
            witnesses: &witnesses,
            urls: vec!["http://w.example".into(); 9],
            origin: Origin::parse("log.example").unwrap(),
            limits: Limits::default(),
            next: AtomicUsize::new(0),
        };
        let (sender, heard) = mpsc::channel();
        drop(heard);
        ask.ask_witnesses(&sender);
        assert_eq!(witnesses.0.load(Ordering::SeqCst), 1);
    }
}
