//! What has been applied since the newest trailer, with a log to undo it.
//!
//! Invariant: undoing to a mark gives exactly the state at that mark; each change pushes how to undo it before, or as,
//! it happens. Hints that may say too much without harm are not undone.

use std::collections::HashMap;
use std::sync::Arc;

use super::history::PastLink;
use super::snapshot::Office;
use super::state::IdentityState;
use crate::map::MapKey;
use crate::soul::{Curr, Identity, Kid, Seqno};

/// The unsealed part of the state.
#[derive(Default, Debug)]
pub(super) struct Batch {
    pub(super) touched: HashMap<Identity, Working>,
    pub(super) names: HashMap<String, Option<Identity>>,
    pub(super) undo: Vec<Undo>,
}

/// An identity that changed.
#[derive(Debug)]
pub(super) struct Working {
    pub(super) state: IdentityState,
    /// Its leaf in the state map.
    pub(super) key: MapKey,
    /// Its links since the newest trailer, up to the head.
    pub(super) links: Vec<PastLink>,
    /// Something happened whose time the next trailer gives; may say so too often.
    pub(super) untimed: bool,
}

/// A point to return to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(pub(super) usize);

/// How to undo one change.
#[derive(Debug)]
#[expect(clippy::option_option, reason = "nothing said of a name and the name being free are two things")]
pub(super) enum Undo {
    /// An identity got a link; this is what it was, if it had been touched.
    Link(Identity, Option<IdentityState>),
    /// An identity changed by another's link.
    State(Identity, Option<IdentityState>),
    /// There is one identity more.
    Founded,
    /// A name got another holder; this is what the batch said of it.
    Name(String, Option<Option<Identity>>),
    /// A key was used for the first time.
    Key(Kid),
    /// A link was retracted.
    Retracted(Curr),
    /// A statement came to stand.
    Stands(Statement),
    /// A statement was taken back.
    Fell(Statement),
    /// A policy, or the first genesis, changed who holds office.
    Office(Arc<Office>),
}

/// A receipt or feedback that stands about a link: one of a kind for each issuer and link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Statement {
    /// Who makes it.
    pub issuer: Identity,
    /// About which action.
    pub link: Curr,
    /// Which it is.
    pub kind: StatementKind,
}

/// Which statement about a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum StatementKind {
    /// A receipt.
    Receipt,
    /// Feedback.
    Feedback,
}

impl Batch {
    /// A link of this batch.
    pub(super) fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink> {
        let working = self.touched.get(identity)?;
        let back = working.state.record.head.seqno.get().checked_sub(seqno.get())?;
        let at = working.links.len().checked_sub(1)?.checked_sub(usize::try_from(back).ok()?)?;
        Some(working.links[at])
    }

    /// Puts an identity back as it was.
    pub(super) fn put_back(&mut self, identity: &Identity, was: Option<IdentityState>, with_link: bool) {
        let Some(state) = was else {
            self.touched.remove(identity);
            return;
        };
        let working = self.touched.get_mut(identity).expect("what was touched stays so until that is undone");
        working.state = state;
        if with_link {
            working.links.pop();
        }
    }
}
