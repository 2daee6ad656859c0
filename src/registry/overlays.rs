//! Notices that stand, and the status that follows from them (formats.md §6).
//!
//! Office is judged when a notice is applied: an overlay remembers whether it counts as a registrar's
//! (`Private::by_registrars`). A guardian is one for ever, so that of guardians needs no memory.

use super::record::{Overlay, OverlayKind, Standing, Status};
use super::state::Private;
use crate::merkle::LeafIndex;
use crate::soul::{Identity, NoticeKind};

/// The part of an identity's state that notices move.
pub(super) struct Overlays<'a> {
    pub(super) standing: &'a mut Standing,
    pub(super) private: &'a mut Private,
}

/// A notice as it is applied.
pub(super) struct Said {
    pub(super) issuer: Identity,
    pub(super) kind: NoticeKind,
    pub(super) index: LeafIndex,
    /// Whether the issuer is a registrar now.
    pub(super) by_registrar: bool,
}

impl Overlays<'_> {
    /// A notice about this identity takes effect.
    pub(super) fn notice(&mut self, said: &Said) {
        let heard = said.by_registrar || self.standing.has_guardian(&said.issuer);
        match said.kind {
            NoticeKind::Suspend if heard => self.put(OverlayKind::Suspend, said),
            NoticeKind::Revoke if heard => self.put(OverlayKind::Revoke, said),
            NoticeKind::Verified if said.by_registrar => self.put(OverlayKind::Verified, said),
            NoticeKind::Unsuspend => self.unsuspend(said),
            NoticeKind::Unverified if said.by_registrar => {
                self.keep(|overlay, _| overlay.kind != OverlayKind::Verified);
            }
            _ => {}
        }
        self.judge();
    }

    /// The issuer takes back its notice of this kind at `index`: the newest one lifts its overlay, an older one nothing.
    pub(super) fn retract(&mut self, issuer: &Identity, kind: NoticeKind, index: LeafIndex) {
        let kind = match kind {
            NoticeKind::Suspend => OverlayKind::Suspend,
            NoticeKind::Revoke => OverlayKind::Revoke,
            NoticeKind::Verified => OverlayKind::Verified,
            _ => return,
        };
        self.keep(|overlay, _| overlay.index != index || overlay.kind != kind || overlay.issuer != *issuer);
        self.judge();
    }

    /// The issuer is no registrar any more: what it said as a guardian stays.
    pub(super) fn leave_office(&mut self, issuer: &Identity) {
        let guardian = self.standing.has_guardian(issuer);
        self.keep(|overlay, _| overlay.issuer != *issuer || (guardian && overlay.kind != OverlayKind::Verified));
        self.private.by_registrars.retain(|(by, _)| by != issuer);
        self.judge();
    }

    /// Finds the status anew.
    pub(super) fn judge(&mut self) {
        let stands = |kind| self.standing.overlays.iter().any(|overlay| overlay.kind == kind);
        let revoked = self.private.revocation.is_some() || self.revoked_by_notice();
        let (suspended, verified) = (stands(OverlayKind::Suspend), stands(OverlayKind::Verified));
        self.standing.verified = verified;
        self.standing.status = match (revoked, suspended) {
            (true, _) => Status::Revoked,
            (false, true) => Status::Suspended,
            (false, false) => Status::Active,
        };
    }

    fn revoked_by_notice(&self) -> bool {
        let revokes = || self.standing.overlays.iter().filter(|overlay| overlay.kind == OverlayKind::Revoke);
        let by_guardians = revokes().filter(|overlay| self.standing.has_guardian(&overlay.issuer)).count() as u64;
        let enough = self.standing.guardians.as_ref().is_some_and(|guardians| by_guardians >= guardians.threshold);
        enough || revokes().any(|overlay| self.is_registrars(overlay))
    }

    fn is_registrars(&self, overlay: &Overlay) -> bool {
        self.private.by_registrars.contains(&(overlay.issuer, overlay.kind))
    }

    fn put(&mut self, kind: OverlayKind, said: &Said) {
        let overlay = Overlay { issuer: said.issuer, kind, index: said.index };
        let overlays = &mut self.standing.overlays;
        match overlays.binary_search_by(|held| (held.issuer, held.kind).cmp(&(said.issuer, kind))) {
            Ok(at) => overlays[at] = overlay,
            Err(at) => overlays.insert(at, overlay),
        }
        if said.by_registrar && !self.is_registrars(&overlay) {
            self.private.by_registrars.push((said.issuer, kind));
        }
    }

    /// Lifts the issuer's own; a registrar lifts those of guardians too that are not also a registrar's.
    fn unsuspend(&mut self, said: &Said) {
        self.keep(|overlay, registrars| {
            overlay.kind != OverlayKind::Suspend
                || (overlay.issuer != said.issuer && (registrars || !said.by_registrar))
        });
    }

    /// Keeps the overlays for which `keeps(overlay, whether it counts as a registrar's)`.
    fn keep(&mut self, keeps: impl Fn(&Overlay, bool) -> bool) {
        let by_registrars = &mut self.private.by_registrars;
        self.standing.overlays.retain(|overlay| {
            let office = (overlay.issuer, overlay.kind);
            let kept = keeps(overlay, by_registrars.contains(&office));
            if !kept {
                by_registrars.retain(|held| *held != office);
            }
            kept
        });
    }
}
