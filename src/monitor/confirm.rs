//! Evidence whose entries are too many for its file, confirmed by a copy of the log.

use core::fmt;

use crate::audit::{AtCheckpoint, AuditError, Blind, CheckpointFault, Event, Finding, Request, Source, follow};
use crate::encoding::UnixMillis;
use crate::tlog::Policy;
use crate::verify::{BadReplay, Conviction, Doubt, log_keys, policy_of_keys};

/// Why a copy does not confirm evidence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// It cannot be read.
    Audit(AuditError),
    /// It is not a copy of the tree that the checkpoint in the evidence is of.
    OtherTree,
    /// The evidence does not convince.
    Doubt(Doubt),
}

/// Replays a copy of the log up to the evidence's checkpoint.
pub fn confirm(
    bad: &BadReplay,
    policy: &Policy,
    source: &dyn Source,
    threads: usize,
) -> Result<Conviction, Unconfirmed> {
    let origin = bad.checkpoint.get().claim().origin();
    let at = AtCheckpoint { source, note: bad.checkpoint.to_string().into_bytes() };
    let policy = policy_of_keys(&log_keys(policy, origin));
    // No clock is asked: a log's time is judged by its own trailers alone.
    let now = UnixMillis::new(u64::MAX);
    let request =
        Request { source: &at, policy: &policy, origin, resume: None, keep: None, keep_every: u64::MAX, now, threads };
    let (mut found, mut is_tree) = (None, true);
    let (report, _) = follow(request, &mut |event| match event {
        Event::Found(Finding::Entry(fault)) if fault.index == bad.index && fault.reason.code() == bad.code => {
            found.get_or_insert_with(|| fault.reason.to_string());
        }
        Event::Found(Finding::Tile { .. }) => is_tree = false,
        Event::Found(Finding::Checkpoint(fault)) => is_tree &= matches!(fault, CheckpointFault::NotSealed(_)),
        _ => {}
    })
    .map_err(Unconfirmed::Audit)?;
    if !is_tree || matches!(report.blind, Some(Blind::Missing(_))) {
        return Err(Unconfirmed::OtherTree);
    }
    let what = found.ok_or(Unconfirmed::Doubt(Doubt::NotBroken))?;
    Conviction::of_replay(bad, &policy, (bad.index, &bad.code, what)).map_err(Unconfirmed::Doubt)
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit(error) => error.fmt(f),
            Self::OtherTree => f.write_str("the copy does not have the tree of the checkpoint in the evidence"),
            Self::Doubt(doubt) => doubt.fmt(f),
        }
    }
}

impl std::error::Error for Unconfirmed {}
