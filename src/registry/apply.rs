//! What an admitted link does to the state (formats.md §6).

use std::sync::Arc;

use super::admit::Admitted;
use super::batch::{Statement, StatementKind, Undo, Working};
use super::evidence::Evidence;
use super::fold::Registry;
use super::history::Said;
use super::keyset::{At, KeyEvent, KeyEventKind, founding_keys};
use super::overlays::{self, Overlays};
use super::record::{Head, Record, Standing, Status};
use super::snapshot::Office;
use super::state::{IdentityState, Private, Revocation};
use crate::hash::sha256;
use crate::map::identity_key;
use crate::soul::{Body, Genesis, Identity, Kid, Notice, NoticeKind, Policy};

impl Registry {
    /// Applies a link that was just admitted, at the index for which it was.
    pub fn apply(&mut self, link: &Admitted<'_>) {
        match link.body {
            Body::Genesis(genesis) => self.found(link, genesis),
            body => {
                self.advance(link);
                self.take_effect(link, body);
            }
        }
    }

    fn take_effect(&mut self, link: &Admitted<'_>, body: &Body) {
        let issuer = link.header.identity;
        match body {
            Body::Keys(_) | Body::Recover(_) | Body::RevokeAgent(_) => self.change_keys(link),
            Body::Profile(_) => {
                let digest = sha256(&[link.body_bytes]);
                self.signer(&issuer).standing_mut().profile = Some(digest);
            }
            Body::Receipt(receipt) => {
                self.stand(Statement { issuer, link: receipt.link.curr, kind: StatementKind::Receipt });
            }
            Body::Feedback(feedback) => {
                if let Some(about) = feedback.link {
                    self.stand(Statement { issuer, link: about.curr, kind: StatementKind::Feedback });
                }
            }
            Body::Retract(_) => self.retract(link),
            Body::Notice(notice) => self.notice(link, notice),
            Body::Policy(policy) => self.set_policy(policy),
            Body::Action(_) | Body::Attest(_) | Body::Genesis(_) => {}
        }
        // Evidence (reputation.md §2) is weighed here: the link and, of a retract, the statement taken back are at hand.
    }

    fn found(&mut self, link: &Admitted<'_>, genesis: &Genesis) {
        let identity = Identity::from(link.curr);
        let state = founded(link, genesis, identity);
        self.batch.undo.extend([Undo::Founded, Undo::Link(identity, None)]);
        self.identities += 1;
        let key = identity_key(identity.as_bytes());
        self.batch.touched.insert(identity, Working { state, key, links: vec![link.as_past()], untimed: false });
        for key in &genesis.keys {
            self.use_key(key.kid);
        }
        if let Some(name) = &genesis.name {
            self.set_name(name, Some(identity));
        }
        if link.index.get() == 0 {
            let office = Office { registrar: Some(identity), registrars: vec![identity], pretrust: Vec::new() };
            self.set_office(office);
        }
    }

    /// Makes the link the head of its chain.
    fn advance(&mut self, link: &Admitted<'_>) {
        let was = self.touch(&link.header.identity);
        self.batch.undo.push(Undo::Link(link.header.identity, was));
        let working = self.signer(&link.header.identity);
        working.state.record.head = Head { seqno: link.header.seqno, curr: link.curr, index: link.index };
        working.state.ctime = link.header.ctime;
        working.links.push(link.as_past());
    }

    fn change_keys(&mut self, link: &Admitted<'_>) {
        let Some(event) = KeyEvent::of(link.body) else { return };
        let log_time = self.log_time();
        let working = self.signer(&link.header.identity);
        working.untimed = true;
        let IdentityState { record, private, .. } = &mut working.state;
        let (standing, private) = (Arc::make_mut(&mut record.standing), Arc::make_mut(private));
        let at =
            At { seqno: link.header.seqno, index: link.index, log_time, suspect_index: link.suspect_index(&event) };
        let change = event.change(&standing.keys, &private.retired_at, &at);
        standing.keys = change.keys;
        standing.key_head = link.curr;
        if let Some(next) = event.next {
            standing.next = Some(next);
            private.nexts.push(next);
        }
        match event.kind {
            KeyEventKind::Keys => standing.custodian = event.custodian,
            KeyEventKind::Recover => {
                standing.custodian = event.custodian;
                private.revocation = None;
            }
            KeyEventKind::RevokeAgent => {
                private.revocation = Some(Revocation { by_next: event.recovery.is_some(), at: None });
            }
        }
        Overlays { standing, private }.judge();
        for added in change.added.into_iter().chain(event.recovery.map(crate::soul::kid)) {
            self.use_key(added);
        }
    }

    fn notice(&mut self, link: &Admitted<'_>, notice: &Notice) {
        let issuer = link.header.identity;
        match (notice.kind, &notice.name) {
            (NoticeKind::Violation, _) => {}
            (NoticeKind::Bind, Some(name)) => {
                self.set_name(name, Some(notice.subject));
                let domains = &mut self.subject(&notice.subject).standing_mut().domains;
                let at = domains.partition_point(|held| held < name);
                domains.insert(at, name.clone());
            }
            (NoticeKind::Release, Some(name)) => {
                self.set_name(name, None);
                self.subject(&notice.subject).standing_mut().domains.retain(|held| held != name);
            }
            (kind, _) => {
                let by_registrar = self.office.is_registrar(&issuer);
                if by_registrar {
                    self.overlaid.entry(issuer).or_default().insert(notice.subject);
                } else if !self.has_guardian(&notice.subject, &issuer) {
                    return;
                }
                let said = overlays::Said { issuer, kind, index: link.index, by_registrar };
                self.overlay(&notice.subject, |overlays| overlays.notice(&said));
            }
        }
    }

    fn retract(&mut self, link: &Admitted<'_>) {
        let Some(past) = link.past else { return };
        let issuer = link.header.identity;
        self.batch.undo.push(Undo::Retracted(past.curr));
        self.retracted.insert(past.curr);
        match past.said {
            Said::Receipt { link, .. } => {
                self.fall(Statement { issuer, link: link.curr, kind: StatementKind::Receipt });
            }
            Said::Feedback { link: Some(link), .. } => {
                self.fall(Statement { issuer, link: link.curr, kind: StatementKind::Feedback });
            }
            Said::Notice { subject, kind } if self.overlays_by(&subject, &issuer) => {
                self.overlay(&subject, |overlays| overlays.retract(&issuer, kind, past.index));
            }
            _ => {}
        }
    }

    fn set_policy(&mut self, policy: &Policy) {
        let registrars = match (policy.registrars.as_slice(), self.office.registrar) {
            ([], Some(registrar)) => vec![registrar],
            (named, _) => named.to_vec(),
        };
        let left: Vec<Identity> =
            self.office.registrars.iter().filter(|held| !registrars.contains(held)).copied().collect();
        let registrar = self.office.registrar;
        self.set_office(Office { registrar, registrars, pretrust: policy.pretrust.clone() });
        for issuer in left {
            let mut subjects: Vec<Identity> = self.overlaid.get(&issuer).into_iter().flatten().copied().collect();
            subjects.retain(|subject| self.has_overlay(subject, &issuer));
            for subject in subjects {
                self.overlay(&subject, |overlays| overlays.leave_office(&issuer));
            }
        }
    }

    fn has_overlay(&self, subject: &Identity, issuer: &Identity) -> bool {
        let by_registrars = |state: &IdentityState| state.private.by_registrars.iter().any(|(by, _)| by == issuer);
        self.identity(subject).as_deref().is_some_and(by_registrars)
    }

    fn overlays_by(&self, subject: &Identity, issuer: &Identity) -> bool {
        let by_issuer = |state: &IdentityState| state.record.standing.overlays.iter().any(|o| o.issuer == *issuer);
        self.identity(subject).as_deref().is_some_and(by_issuer)
    }

    fn has_guardian(&self, subject: &Identity, issuer: &Identity) -> bool {
        self.identity(subject).is_some_and(|state| state.record.standing.has_guardian(issuer))
    }

    /// Moves the overlays of a subject, unless that is the registrar, which follows its own links alone.
    fn overlay(&mut self, subject: &Identity, change: impl FnOnce(&mut Overlays<'_>)) {
        if self.office.registrar == Some(*subject) {
            return;
        }
        let IdentityState { record, private, .. } = &mut self.subject(subject).state;
        change(&mut Overlays { standing: Arc::make_mut(&mut record.standing), private: Arc::make_mut(private) });
    }

    /// The identity that a link is about, to be changed.
    fn subject(&mut self, subject: &Identity) -> &mut Working {
        let was = self.touch(subject);
        self.batch.undo.push(Undo::State(*subject, was));
        self.signer(subject)
    }

    /// An identity that was touched before.
    fn signer(&mut self, identity: &Identity) -> &mut Working {
        self.batch.touched.get_mut(identity).expect("the caller touched it")
    }

    /// Makes an identity part of the batch; what it was there before, if it was.
    fn touch(&mut self, identity: &Identity) -> Option<IdentityState> {
        if let Some(working) = self.batch.touched.get(identity) {
            return Some(working.state.clone());
        }
        let state = self.committed.identity(identity).expect("admission found it");
        let working = Working {
            state: Arc::unwrap_or_clone(state),
            key: identity_key(identity.as_bytes()),
            links: Vec::new(),
            untimed: false,
        };
        self.batch.touched.insert(*identity, working);
        None
    }

    fn set_name(&mut self, name: &str, holder: Option<Identity>) {
        let was = self.batch.names.insert(name.to_owned(), holder);
        self.batch.undo.push(Undo::Name(name.to_owned(), was));
    }

    fn set_office(&mut self, office: Office) {
        let was = core::mem::replace(&mut self.office, Arc::new(office));
        self.batch.undo.push(Undo::Office(was));
    }

    fn use_key(&mut self, kid: Kid) {
        if self.used_keys.insert(kid) {
            self.batch.undo.push(Undo::Key(kid));
        }
    }

    fn stand(&mut self, statement: Statement) {
        if self.statements.insert(statement) {
            self.batch.undo.push(Undo::Stands(statement));
        }
    }

    fn fall(&mut self, statement: Statement) {
        if self.statements.remove(&statement) {
            self.batch.undo.push(Undo::Fell(statement));
        }
    }
}

impl Working {
    fn standing_mut(&mut self) -> &mut Standing {
        Arc::make_mut(&mut self.state.record.standing)
    }
}

fn founded(link: &Admitted<'_>, genesis: &Genesis, identity: Identity) -> IdentityState {
    let standing = Standing {
        name: genesis.name.clone(),
        domains: Vec::new(),
        status: Status::Active,
        verified: false,
        genesis_index: link.index,
        key_head: link.curr,
        keys: founding_keys(genesis, link.index),
        next: genesis.next,
        guardians: genesis.guardians.clone(),
        controller: genesis.controller,
        custodian: genesis.custodian,
        profile: None,
        overlays: Vec::new(),
        evidence: Evidence::default(),
    };
    let head = Head { seqno: link.header.seqno, curr: link.curr, index: link.index };
    let private = Private { nexts: genesis.next.into_iter().collect(), ..Private::default() };
    IdentityState {
        record: Record { identity, head, standing: Arc::new(standing) },
        ctime: link.header.ctime,
        private: Arc::new(private),
    }
}
