//! Admission: whether a link may be the next entry (formats.md §5).
//!
//! What link, body and signature alone decide was checked before, by [`ReadLink`] and [`VerifiedLink`]; here is what the
//! state decides. Rules common to all links are in this file; those of key events and of statements about others have
//! their own. Several may be broken at once, and then any one of them is named: cheap ones come first.

mod key_events;
mod statements;

pub use statements::MAX_DOMAINS;

use super::fold::Registry;
use super::history::{History, PastLink, Said, named_link};
use super::keyset::{KeyEvent, LONG_MS};
use super::record::Status;
use super::refusal::{ChainEnd, Reference, Refusal};
use super::snapshot::Known;
use super::state::IdentityState;
use crate::ed25519::{PublicKey, SIGNATURE_LEN};
use crate::encoding::UnixMillis;
use crate::merkle::{LeafIndex, TreeSize};
use crate::soul::{self, Body, Curr, HEADER_LEN, Header, Identity, RawKey, ReadLink, VerifiedLink};

/// How far a link's clock may be ahead of the log's.
pub const CLOCK_LEEWAY_MS: u64 = 5 * 60 * 1000;

/// Where the body begins in an entry that holds it.
const BODY_AT: usize = 1 + HEADER_LEN + SIGNATURE_LEN;

/// A link that keeps every rule as the next entry, at an index.
///
/// [`Registry::apply`] takes it, before anything else is applied.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    pub(super) index: LeafIndex,
    pub(super) curr: Curr,
    pub(super) header: &'a Header,
    pub(super) body: &'a Body,
    /// The body's bytes, where they are part of the entry.
    pub(super) body_bytes: &'a [u8],
    /// The earlier link that it names, where that is needed.
    pub(super) past: Option<PastLink>,
}

impl Registry {
    /// Checks the signature with the key that the state names; proofs of possession too.
    pub fn verify(&self, link: ReadLink) -> Result<VerifiedLink, Refusal> {
        let key = self.signer_key(link.header(), link.body())?;
        let key = PublicKey::from_bytes(&key).ok_or(Refusal::Link(soul::Refusal::Signature))?;
        link.verify(&key).map_err(Refusal::Link)
    }

    /// Judges a link as the entry at `index`, by the log's clock.
    pub fn admit<'a>(
        &self,
        index: LeafIndex,
        link: &'a VerifiedLink,
        history: &dyn History,
        clock: UnixMillis,
    ) -> Result<Admitted<'a>, Refusal> {
        let admitted = self.judge(index, link, history)?;
        if link.header().ctime > clock.saturating_add(CLOCK_LEEWAY_MS) {
            return Err(Refusal::ClockAhead { clock });
        }
        Ok(admitted)
    }

    /// The same without the log's clock: a log that has the link already may only be told that it ran ahead.
    pub fn judge<'a>(
        &self,
        index: LeafIndex,
        link: &'a VerifiedLink,
        history: &dyn History,
    ) -> Result<Admitted<'a>, Refusal> {
        let body_bytes = link.entry().get(BODY_AT..).unwrap_or_default();
        let mut admitted =
            Admitted { index, curr: link.curr(), header: link.header(), body: link.body(), body_bytes, past: None };
        admitted.past = self.past(&admitted, history);
        if admitted.header.log_id != self.log_id {
            return Err(Refusal::WrongLog(admitted.header.log_id));
        }
        match admitted.body {
            Body::Genesis(genesis) => self.check_genesis(&admitted, genesis)?,
            body => self.check_next(&admitted, body, history)?,
        }
        check_anchor(&admitted, history)?;
        Ok(admitted)
    }

    /// Judges a link that was refused with `conflict` as if its signer had made it for the entry at `index` instead, at
    /// the end of its chain as it is now: whether anything else is wrong with it.
    ///
    /// Seqno, prev and auth are taken to be right, and so is a clock that is behind, since it was made for an earlier
    /// place. Signature and proofs of possession stay what they were.
    pub fn admit_elsewhere(
        &self,
        index: LeafIndex,
        link: &VerifiedLink,
        history: &dyn History,
        clock: UnixMillis,
    ) -> Result<(), Refusal> {
        let state = self.identity(&link.header().identity);
        let state = state.ok_or(Refusal::UnknownIdentity(link.header().identity))?;
        let (head, auth) = (state.record.head, state.record.standing.key_head);
        let mut header = link.header().clone();
        (header.seqno, header.prev, header.auth) = (head.seqno.next(), head.curr, auth);
        header.ctime = header.ctime.max(state.ctime);
        let body_bytes = link.entry().get(BODY_AT..).unwrap_or_default();
        let (curr, body) = (link.curr(), link.body());
        let mut moved = Admitted { index, curr, header: &header, body, body_bytes, past: None };
        moved.past = self.past(&moved, history);
        self.check_next(&moved, body, history)?;
        check_anchor(&moved, history)?;
        if link.header().ctime > clock.saturating_add(CLOCK_LEEWAY_MS) {
            return Err(Refusal::ClockAhead { clock });
        }
        Ok(())
    }

    /// Takes a link of one's own log, which was admitted when it was logged, without judging it again.
    pub fn trusted<'a>(&self, index: LeafIndex, link: &'a ReadLink, history: &dyn History) -> Admitted<'a> {
        let body_bytes = link.link().body().unwrap_or_default();
        let curr = link.link().curr();
        let mut admitted = Admitted { index, curr, header: link.header(), body: link.body(), body_bytes, past: None };
        admitted.past = self.past(&admitted, history);
        admitted
    }

    /// The index of this very link, where it was logged before.
    pub fn logged(&self, curr: Curr, header: &Header, history: &dyn History) -> Option<LeafIndex> {
        let identity = if header.identity.is_zero() { Identity::from(curr) } else { header.identity };
        let head = self.identity(&identity)?.record.head;
        if head.curr == curr {
            return Some(head.index);
        }
        if header.seqno > head.seqno {
            return None;
        }
        let logged = self.link_at(&identity, header.seqno, history)?;
        (logged.curr == curr).then_some(logged.index)
    }

    /// The chain and signer rules that every link but a genesis has to keep.
    /// The identity and the key that signs come back.
    pub(super) fn check_chain(&self, header: &Header, body: &Body) -> Result<(Known<'_>, RawKey), Refusal> {
        let state = self.identity(&header.identity).ok_or(Refusal::UnknownIdentity(header.identity))?;
        self.check_not_revoked(body, &state)?;
        let (head, auth) = (state.record.head, state.record.standing.key_head);
        if header.seqno != head.seqno.next() || header.prev != head.curr || header.auth != auth {
            return Err(Refusal::Conflict(Some(ChainEnd { head, auth })));
        }
        if matches!(body, Body::Policy(_)) && self.office.registrar != Some(header.identity) {
            return Err(Refusal::Unauthorised(header.kid));
        }
        let signer = super::signer::signer_key(header, body, Some(&state))?;
        Ok((state, signer))
    }

    fn check_next(&self, link: &Admitted<'_>, body: &Body, history: &dyn History) -> Result<(), Refusal> {
        let (state, _) = self.check_chain(link.header, body)?;
        let (previous, log_time) = (state.ctime, self.log_time());
        if link.header.ctime < previous && link.header.ctime < log_time {
            return Err(Refusal::ClockBehind { previous, log_time });
        }
        match body {
            Body::Keys(_) | Body::Recover(_) | Body::RevokeAgent(_) => match KeyEvent::of(body) {
                Some(event) => self.check_key_event(link, &event, &state, history),
                None => Ok(()),
            },
            Body::Receipt(receipt) => self.check_receipt(link, receipt),
            Body::Feedback(feedback) => self.check_feedback(link, feedback),
            Body::Attest(attest) => self.check_subject_unrevoked(link, &attest.subject),
            Body::Retract(retract) => self.check_retract(link, retract, &state),
            Body::Notice(notice) => self.check_notice(link, notice),
            Body::Policy(policy) => self.check_exist(policy.registrars.iter().chain(&policy.pretrust)),
            Body::Genesis(_) | Body::Profile(_) | Body::Action(_) => Ok(()),
        }
    }

    fn check_not_revoked(&self, body: &Body, state: &IdentityState) -> Result<(), Refusal> {
        let revocation = state.private.revocation;
        let barred = match body {
            Body::Recover(_) => revocation.is_some_and(|stands| {
                stands.by_next || stands.at.is_some_and(|at| self.log_time().since(at) > LONG_MS)
            }),
            Body::RevokeAgent(_) => revocation.is_some(),
            _ => state.record.standing.status == Status::Revoked,
        };
        if barred { Err(Refusal::Revoked) } else { Ok(()) }
    }

    pub(super) fn check_exist<'i>(&self, identities: impl IntoIterator<Item = &'i Identity>) -> Result<(), Refusal> {
        match identities.into_iter().find(|identity| self.identity(identity).is_none()) {
            Some(unknown) => Err(Refusal::BadReference(Reference::Unknown(*unknown))),
            None => Ok(()),
        }
    }

    fn past(&self, link: &Admitted<'_>, history: &dyn History) -> Option<PastLink> {
        let (identity, seqno) = named_link(link.header, link.body)?;
        self.link_at(&identity, seqno, history)
    }
}

impl Admitted<'_> {
    /// Its id.
    pub const fn curr(&self) -> Curr {
        self.curr
    }

    /// Its index.
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// As a later link will see it.
    pub fn as_past(&self) -> PastLink {
        PastLink { curr: self.curr, index: self.index, said: Said::of(self.body) }
    }

    /// Index of the link at `suspect_from`, which may be this one.
    pub(super) fn suspect_index(&self, event: &KeyEvent<'_>) -> Option<LeafIndex> {
        if event.suspect_from? == self.header.seqno {
            return Some(self.index);
        }
        self.past.map(|past| past.index)
    }
}

fn check_anchor(link: &Admitted<'_>, history: &dyn History) -> Result<(), Refusal> {
    let (size, root) = (TreeSize::new(link.header.anchor_size), link.header.anchor_root);
    let good = if size == TreeSize::ZERO {
        root.is_zero()
    } else {
        size.get() <= link.index.get() && history.root_at(size) == Some(root)
    };
    if good { Ok(()) } else { Err(Refusal::BadAnchor) }
}
