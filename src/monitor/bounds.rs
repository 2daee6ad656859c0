//! How long a log is asked in a round: a log that answers slowly, or fails to answer, must not hold up what there is to tell.
//!
//! A round asks the log in parts: offers, the replay, trees that wait. Each has a time, which grows with every answer up to a
//! ceiling, so that a long replay of a log that answers in good time comes to its end. When it is over nothing more is asked, and what is left
//! waits for the next round. A part that was cut off has twice the time in the next one, up to a bound; it has that until it
//! comes to its end.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::run::Stop;
use super::witnesses::Witnesses;
use crate::audit::{Source, SourceError, TileBytes};
use crate::tlog::{Origin, TileId};

/// What each part of a round has for itself.
pub const PART_TIME: Duration = Duration::from_mins(2);
/// What it has at most after it was cut off: enough for all tiles of one tree at the slowest that a request may be.
pub const MAX_PART_TIME: Duration = Duration::from_mins(8);
/// The same for the replay: each that is cut off begins again where it was kept.
pub const MAX_REPLAY_TIME: Duration = Duration::from_hours(1);
/// What each answer adds.
pub const TIME_PER_ANSWER: Duration = Duration::from_millis(500);
/// After this a part is over, however many answers came: with many requests at once answers could add more than they take.
pub const PART_CEILING: Duration = Duration::from_mins(30);
/// The same for the replay, which may be of very many entries.
pub const REPLAY_CEILING: Duration = Duration::from_hours(12);

/// Bounds of the rounds.
#[derive(Clone)]
pub struct Limits {
    /// Ends the rounds: once it is set nothing more is asked.
    pub stop: Stop,
    /// What each part of a round has: [`PART_TIME`].
    pub part_time: Duration,
    /// A clock that only goes on.
    pub elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// The time of a part, from round to round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    time: Duration,
    most: Duration,
    /// What answers can make of it.
    ceiling: Duration,
}

/// A log, as it is asked in one part of a round.
pub(super) struct Part<'a> {
    source: &'a dyn Source,
    limits: Limits,
    began: Duration,
    time: Duration,
    ceiling: Duration,
    /// Whether nothing more is asked after the first failure.
    breaks: bool,
    answers: AtomicU32,
    has_failed: AtomicBool,
    is_cut: AtomicBool,
}

/// Nothing more was asked for: the time is over.
#[derive(Debug)]
struct TooSlow;

/// Whether the monitor did not ask, since the time was over: the log has not failed to answer.
pub(super) fn is_too_slow(error: &SourceError) -> bool {
    matches!(error, SourceError::Io(_, error) if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<TooSlow>))
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not asked for: the log answers too slowly")
    }
}

impl Error for TooSlow {}

impl Default for Limits {
    fn default() -> Self {
        let start = Instant::now();
        Self { stop: Stop::default(), part_time: PART_TIME, elapsed: Arc::new(move || start.elapsed()) }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("stop", &self.stop).field("part_time", &self.part_time).finish_non_exhaustive()
    }
}

impl Allowance {
    pub(super) fn new(limits: &Limits, most: Duration, ceiling: Duration) -> Self {
        let most = most.max(limits.part_time);
        Self { time: limits.part_time, most, ceiling: ceiling.max(most) }
    }

    /// What the next round has. Where the log failed, or the monitor ends, it is not known what would have been enough.
    pub(super) fn after(&mut self, part: &Part<'_>) {
        if part.is_cut.load(Ordering::Relaxed) {
            self.time = (self.time * 2).min(self.most);
        } else if !part.has_failed.load(Ordering::Relaxed) && !part.limits.stop.is_set() {
            self.time = part.limits.part_time;
        }
    }
}

impl<'a> Part<'a> {
    /// The log, for as long as is allowed.
    pub(super) fn new(source: &'a dyn Source, limits: &Limits, allowance: Allowance) -> Self {
        Self {
            source,
            began: (limits.elapsed)(),
            limits: limits.clone(),
            time: allowance.time,
            ceiling: allowance.ceiling,
            breaks: false,
            answers: AtomicU32::new(0),
            has_failed: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        }
    }

    /// The same, and no more after the first failure.
    pub(super) fn until_it_fails(self) -> Self {
        Self { breaks: true, ..self }
    }

    /// Whether nothing more is asked.
    pub(super) fn is_over(&self) -> bool {
        self.refusal().is_some()
    }

    fn refusal(&self) -> Option<io::Error> {
        if self.limits.stop.is_set() {
            return Some(io::Error::new(io::ErrorKind::Interrupted, "the monitor ends"));
        }
        if self.breaks && self.has_failed.load(Ordering::Relaxed) {
            return Some(io::Error::new(io::ErrorKind::NotConnected, "not asked for: the log has failed to answer"));
        }
        let time = self.time + TIME_PER_ANSWER * self.answers.load(Ordering::Relaxed);
        if (self.limits.elapsed)().saturating_sub(self.began) < time.min(self.ceiling) {
            return None;
        }
        self.is_cut.store(true, Ordering::Relaxed);
        Some(io::Error::new(io::ErrorKind::TimedOut, TooSlow))
    }
}

impl Source for Part<'_> {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.source.checkpoint()
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        if let Some(why) = self.refusal() {
            return Err(SourceError::Io(PathBuf::from(tile.to_string()), why));
        }
        let answer = self.source.tile(tile);
        match &answer {
            Ok(_) => self.answers.fetch_add(1, Ordering::Relaxed),
            Err(_) => u32::from(self.has_failed.swap(true, Ordering::Relaxed)),
        };
        answer
    }

    fn fetches_at_once(&self) -> usize {
        self.source.fetches_at_once()
    }
}

/// Nothing is asked for: what there is are copies.
pub(super) struct Unasked;

impl Source for Unasked {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Io("checkpoint".into(), io::ErrorKind::NotConnected.into()))
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        Err(SourceError::Io(tile.to_string().into(), io::ErrorKind::NotConnected.into()))
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}

impl Witnesses for Unasked {
    fn checkpoint(&self, _: &str, _: &Origin) -> Result<Option<Vec<u8>>, String> {
        Err("not asked".into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Tiles that are there or fail, and take this long.
    struct Slow(bool, Duration, Arc<Mutex<Duration>>);

    impl Source for Slow {
        fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
            Ok(Vec::new())
        }

        fn tile(&self, _: TileId) -> Result<TileBytes, SourceError> {
            *self.2.lock().unwrap() += self.1;
            if self.0 { Ok(TileBytes::Missing) } else { Err(SourceError::Io("tile".into(), io::Error::other("gone"))) }
        }

        fn fetches_at_once(&self) -> usize {
            1
        }
    }

    fn clock() -> (Arc<Mutex<Duration>>, Limits) {
        let clock = Arc::new(Mutex::new(Duration::ZERO));
        let elapsed = clock.clone();
        (clock, Limits { elapsed: Arc::new(move || *elapsed.lock().unwrap()), ..Limits::default() })
    }

    /// Asks until nothing more is asked, or so often; says how often.
    fn ask(part: &Part<'_>, most: u32) -> u32 {
        let tile = TileId::parse_path("tile/0/000").unwrap();
        (0..most).take_while(|_| !part.is_over() && part.tile(tile).is_ok()).count() as u32
    }

    #[test]
    fn a_failure_does_not_take_back_the_time() {
        let (clock, limits) = clock();
        let mut allowance = Allowance::new(&limits, MAX_REPLAY_TIME, REPLAY_CEILING);
        let mut round = |answers: bool, most: u32| {
            let source = Slow(answers, PART_TIME, clock.clone());
            let part = Part::new(&source, &limits, allowance);
            ask(&part, most);
            allowance.after(&part);
            allowance.time
        };
        assert_eq!(round(true, 1), PART_TIME, "it came to its end");
        assert_eq!(round(true, 9), 2 * PART_TIME);
        assert_eq!(round(false, 1), 2 * PART_TIME, "it failed");
        assert_eq!(round(true, 9), 4 * PART_TIME);
        assert_eq!(round(true, 1), PART_TIME);
        round(true, 9);
        limits.stop.set();
        let mut ended = Allowance { time: 2 * PART_TIME, ..Allowance::new(&limits, MAX_REPLAY_TIME, REPLAY_CEILING) };
        let source = Slow(true, PART_TIME, clock.clone());
        ended.after(&Part::new(&source, &limits, ended));
        assert_eq!(ended.time, 2 * PART_TIME, "the monitor ends");
    }

    /// With many requests at once a log that takes its time for each earns more than it takes. There is an end all the same.
    #[test]
    fn a_part_has_an_end() {
        for (most, ceiling) in [(MAX_PART_TIME, PART_CEILING), (MAX_REPLAY_TIME, REPLAY_CEILING)] {
            let (clock, limits) = clock();
            let source = Slow(true, TIME_PER_ANSWER / 2, clock.clone());
            let part = Part::new(&source, &limits, Allowance::new(&limits, most, ceiling));
            let asked = ask(&part, u32::MAX);
            assert_eq!(TIME_PER_ANSWER / 2 * asked, ceiling);
            let refused = part.tile(TileId::parse_path("tile/0/000").unwrap()).unwrap_err();
            assert!(is_too_slow(&refused), "{refused}");
        }
    }
}
