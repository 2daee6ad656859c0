//! Audits of logs whose operators do what they should not: each way to be wrong with the place and the word for it.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests fail by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod entries;
mod files;
mod log;
mod resumed;
mod twin;

use soulchain::audit::{AuditError, Event, FindingView, Keep, Report, Request, Source, State, audit};
use soulchain::encoding::UnixMillis;
use soulchain::tlog::{Origin, Policy};
use std::path::Path;

/// What an audit reports.
pub(crate) struct Audited {
    pub(crate) report: Report,
    pub(crate) found: Vec<FindingView>,
    pub(crate) known: Vec<FindingView>,
}

impl Audited {
    /// Code and index of each finding, in their order.
    pub(crate) fn codes(&self) -> Vec<(&str, Option<u64>)> {
        self.found.iter().map(|finding| (&*finding.code, finding.index)).collect()
    }
}

/// Audits under the log's own key, with a clock a day after the beginning.
pub(crate) fn audit_of(source: &dyn Source) -> Audited {
    audit_under(source, &log::policy(), None)
}

/// The same, going on from a state and keeping one.
pub(crate) fn audit_kept(source: &dyn Source, state: &Path) -> Audited {
    audit_under(source, &log::policy(), Some(state))
}

pub(crate) fn audit_under(source: &dyn Source, policy: &Policy, state: Option<&Path>) -> Audited {
    try_audit(source, policy, state).unwrap()
}

pub(crate) fn try_audit(source: &dyn Source, policy: &Policy, state: Option<&Path>) -> Result<Audited, AuditError> {
    let origin = Origin::parse(log::ORIGIN).unwrap();
    let keep = state.map(Path::to_path_buf);
    let request = Request {
        source,
        policy,
        origin: &origin,
        resume: state.and_then(|path| State::read(path).unwrap()),
        keep: keep.as_ref().map(|path| path as &dyn Keep),
        keep_every: 10,
        now: UnixMillis::new(log::START + 86_400_000),
        threads: 2,
    };
    let (mut found, mut known) = (Vec::new(), Vec::new());
    let report = audit(request, &mut |event| match event {
        Event::Found(finding) => found.push(finding.view()),
        Event::Known(finding) => known.push(finding.clone()),
        Event::Entry(..) => {}
        Event::Progress(entries, of) => assert!(entries <= of),
    });
    let report = report?;
    assert_eq!((report.faults, report.known), (found.len() as u64, known.len() as u64));
    Ok(Audited { report, found, known })
}
