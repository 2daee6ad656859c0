//! Rules of what one identity says of another: receipt, feedback, attest, retract, notice (formats.md §4).

use super::Admitted;
use crate::registry::batch::{Statement, StatementKind};
use crate::registry::fold::Registry;
use crate::registry::history::Said;
use crate::registry::record::{KeyRoles, Status};
use crate::registry::refusal::{Reference, Refusal};
use crate::registry::snapshot::Known;
use crate::registry::state::IdentityState;
use crate::soul::{Feedback, Identity, LinkRef, Notice, NoticeKind, Receipt, Retract};

/// The most domain names of one identity.
pub const MAX_DOMAINS: usize = 8;

impl Registry {
    pub(super) fn check_receipt(&self, link: &Admitted<'_>, receipt: &Receipt) -> Result<(), Refusal> {
        self.check_subject_unrevoked(link, &receipt.subject)?;
        self.check_action(link, receipt.link, StatementKind::Receipt)
    }

    pub(super) fn check_feedback(&self, link: &Admitted<'_>, feedback: &Feedback) -> Result<(), Refusal> {
        self.check_subject_unrevoked(link, &feedback.subject)?;
        feedback.link.map_or(Ok(()), |about| self.check_action(link, about, StatementKind::Feedback))
    }

    pub(super) fn check_subject_unrevoked(&self, link: &Admitted<'_>, subject: &Identity) -> Result<(), Refusal> {
        match self.check_subject(link, subject)?.record.standing.status {
            Status::Revoked => Err(Refusal::BadReference(Reference::SubjectRevoked)),
            Status::Active | Status::Suspended => Ok(()),
        }
    }

    pub(super) fn check_retract(
        &self,
        link: &Admitted<'_>,
        retract: &Retract,
        state: &IdentityState,
    ) -> Result<(), Refusal> {
        let past = link.past.filter(|past| past.curr == retract.link.curr);
        let past = past.ok_or(Refusal::BadReference(Reference::NoSuchLink))?;
        let needs_admin = match past.said {
            Said::Receipt { .. } | Said::Feedback { .. } | Said::Attest => false,
            Said::Notice { kind: NoticeKind::Bind | NoticeKind::Release, .. } | Said::Action | Said::Other => {
                return Err(Refusal::BadReference(Reference::NotRetractable));
            }
            Said::Notice { kind, .. } => kind == NoticeKind::Revoke,
        };
        let may = |roles: KeyRoles| if needs_admin { roles.admin() } else { roles.act() };
        if !state.record.key(&link.header.kid).is_some_and(|key| may(key.roles)) {
            return Err(Refusal::Unauthorised(link.header.kid));
        }
        if self.retracted.contains(&past.curr) {
            return Err(Refusal::BadReference(Reference::RetractedBefore(past.index)));
        }
        Ok(())
    }

    pub(super) fn check_notice(&self, link: &Admitted<'_>, notice: &Notice) -> Result<(), Refusal> {
        let subject = self.check_subject(link, &notice.subject)?;
        let Some(name) = &notice.name else { return Ok(()) };
        if !self.office.is_registrar(&link.header.identity) {
            return Err(Refusal::Unauthorised(link.header.kid));
        }
        let holder = self.name(name);
        if notice.kind == NoticeKind::Release {
            return match holder {
                Some(holder) if holder == notice.subject => Ok(()),
                _ => Err(Refusal::BadReference(Reference::NameNotHeld)),
            };
        }
        let standing = &subject.record.standing;
        match holder {
            Some(holder) => Err(Refusal::NameTaken(holder)),
            None if standing.status == Status::Revoked => Err(Refusal::BadReference(Reference::SubjectRevoked)),
            None if standing.domains.len() >= MAX_DOMAINS => Err(Refusal::BadReference(Reference::TooManyDomains)),
            None => Ok(()),
        }
    }

    fn check_subject(&self, link: &Admitted<'_>, subject: &Identity) -> Result<Known<'_>, Refusal> {
        if *subject == link.header.identity {
            return Err(Refusal::BadReference(Reference::OwnSubject));
        }
        self.identity(subject).ok_or(Refusal::BadReference(Reference::Unknown(*subject)))
    }

    /// The link named is the subject's action, and the issuer has said nothing of the kind about it that stands.
    fn check_action(&self, link: &Admitted<'_>, about: LinkRef, kind: StatementKind) -> Result<(), Refusal> {
        let reference = match link.past {
            Some(past) if past.curr != about.curr => Reference::NoSuchLink,
            Some(past) if past.said != Said::Action => Reference::NotAnAction,
            None => Reference::NoSuchLink,
            Some(_) => {
                let statement = Statement { issuer: link.header.identity, link: about.curr, kind };
                if !self.statements.contains(&statement) {
                    return Ok(());
                }
                Reference::StandsAlready
            }
        };
        Err(Refusal::BadReference(reference))
    }
}
