//! The check `format`: the file, its members, and whether they answer what is asked.

use super::extra::{Extra, LinkExtra, StatePart};
use super::failure::Why;
use super::judge::Request;
use super::verdict::Asked;
use crate::registry::Record;
use crate::soul::{Link, LinkError, LinkType};
use crate::tlog::{Policy, TlogProof};

/// A proof that has the form of one and is fit to answer what is asked; nothing in it is believed.
pub(super) struct ReadProof {
    file: TlogProof,
    extra: Extra,
    /// Of a link proof; what is wrong with the entry is for the check `link`.
    link: Option<Result<Link, LinkError>>,
    record: Option<Record>,
    /// What it answers for, if it is of absence.
    absent: Option<Asked>,
}

impl ReadProof {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Why> {
        let file = TlogProof::parse(request.proof).map_err(Why::File)?;
        let extra = Extra::parse(file.extra().ok_or(Why::NoExtra)?).map_err(Why::Extra)?;
        let (link, part, absent) = match &extra {
            Extra::Link(extra) => {
                let link = Link::parse_entry(&extra.entry);
                check_link_request(request, extra)?;
                check_link_members(extra, &link)?;
                (Some(link), extra.state.as_ref().map(|state| &state.part), None)
            }
            Extra::State(part) => {
                let absent = absence_asked(request, part)?;
                check_origin_told(request, absent.is_some())?;
                (None, Some(part), absent)
            }
        };
        let record = part.and_then(|part| part.record.as_deref()).map(Record::parse).transpose();
        let record = record.map_err(Why::RecordForm)?;
        Ok(Self { file, extra, link, record, absent })
    }

    pub(super) const fn file(&self) -> &TlogProof {
        &self.file
    }

    pub(super) const fn extra(&self) -> &Extra {
        &self.extra
    }

    pub(super) const fn link(&self) -> Option<&Result<Link, LinkError>> {
        self.link.as_ref()
    }

    pub(super) const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub(super) const fn absent(&self) -> Option<&Asked> {
        self.absent.as_ref()
    }

    pub(super) const fn describe(&self) -> &'static str {
        match (&self.extra, &self.record) {
            (Extra::Link(LinkExtra { state: Some(_), .. }), _) => "a proof of a link with its signer's state",
            (Extra::Link(_), _) => "a proof of a link",
            (Extra::State(_), Some(_)) => "a proof of an identity's state",
            (Extra::State(_), None) => "a proof of absence",
        }
    }
}

fn check_link_request(request: &Request<'_>, extra: &LinkExtra) -> Result<(), Why> {
    if request.name.is_some() || request.identity.is_some() {
        return Err(Why::NotAsked);
    }
    if request.state_asked && extra.state.is_none() {
        return Err(Why::NoState);
    }
    Ok(())
}

/// A genesis is the first of its key events itself.
fn check_link_members(extra: &LinkExtra, link: &Result<Link, LinkError>) -> Result<(), Why> {
    let is_genesis = link.as_ref().is_ok_and(|link| link.header().link_type == LinkType::Genesis);
    if is_genesis && !extra.key_events.is_empty() { Err(Why::KeyEventsOfGenesis) } else { Ok(()) }
}

/// The one name or identity that a proof of absence answers for; `None` where there is a record.
fn absence_asked(request: &Request<'_>, part: &StatePart) -> Result<Option<Asked>, Why> {
    match (&part.record, request.name, request.identity) {
        (Some(_), ..) => Ok(None),
        (None, Some(name), None) => Ok(Some(Asked::Name(name.to_owned()))),
        (None, None, Some(identity)) => Ok(Some(Asked::Identity(identity))),
        (None, ..) => Err(Why::AbsenceOfWhat),
    }
}

/// What a name stands for, and what is absent, differs from log to log.
fn check_origin_told(request: &Request<'_>, is_absence: bool) -> Result<(), Why> {
    let is_of_one_log = is_absence || request.name.is_some();
    if is_of_one_log && request.origin.is_none() && has_several_origins(request.policy) {
        return Err(Why::WhichLog);
    }
    Ok(())
}

fn has_several_origins(policy: &Policy) -> bool {
    let mut origins = policy.logs().iter().map(|log| log.verifier().vkey().name());
    let first = origins.next();
    origins.any(|origin| Some(origin) != first)
}
