//! What the rules ask of the log's past, and how it is answered.
//!
//! Nothing here reads a disk: whoever holds the log answers through [`History`], and [`questions`] tells what a link
//! will ask, so that the answers can be at hand before the link is admitted. What lies in the batch that is being made
//! the registry knows by itself.

use crate::encoding::UnixMillis;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::soul::{Body, Curr, Header, Identity, LinkRef, NoticeKind, Seqno};

/// The sealed past of a log: its valid entries up to the newest trailer.
pub trait History {
    /// The link at this place of a chain.
    fn link_at(&self, identity: &Identity, seqno: Seqno) -> Option<PastLink>;

    /// The root of the tree of this size, where the last entry of that tree is a valid trailer.
    fn root_at(&self, size: TreeSize) -> Option<Hash>;

    /// The log time of the first valid trailer after this index.
    fn time_after(&self, index: LeafIndex) -> Option<UnixMillis>;
}

/// A link of the past, as far as the rules look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PastLink {
    /// Its id.
    pub curr: Curr,
    /// Its place in the log.
    pub index: LeafIndex,
    /// What it said.
    pub said: Said,
}

/// What a link said, as far as a later one can refer to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// An action.
    Action,
    /// A receipt for an action.
    Receipt {
        /// Whose action.
        subject: Identity,
        /// Which.
        link: LinkRef,
    },
    /// Feedback.
    Feedback {
        /// About whom.
        subject: Identity,
        /// About which action.
        link: Option<LinkRef>,
    },
    /// An attest.
    Attest,
    /// A notice.
    Notice {
        /// About whom.
        subject: Identity,
        /// Of which kind.
        kind: NoticeKind,
    },
    /// Something that no link refers to.
    Other,
}

/// Something that a link will ask of the past.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// [`History::root_at`]
    Root(TreeSize),
    /// [`History::link_at`]
    Link(Identity, Seqno),
    /// [`History::link_at`], and [`History::time_after`] of its index.
    LinkAndTime(Identity, Seqno),
}

/// What [`Registry::admit`](super::Registry::admit) may ask of the past for this link: at most two questions.
pub fn questions(header: &Header, body: &Body) -> impl Iterator<Item = Question> {
    let root = (header.anchor_size > 0).then(|| Question::Root(TreeSize::new(header.anchor_size)));
    let named = named_link(header, body).map(|(identity, seqno)| match body {
        Body::Keys(_) | Body::Recover(_) | Body::RevokeAgent(_) => Question::LinkAndTime(identity, seqno),
        _ => Question::Link(identity, seqno),
    });
    root.into_iter().chain(named)
}

/// The earlier link that this one names: the action, the statement taken back, or the first link disowned.
pub(super) fn named_link(header: &Header, body: &Body) -> Option<(Identity, Seqno)> {
    let suspect = |from: Option<Seqno>| from.filter(|from| *from < header.seqno).map(|from| (header.identity, from));
    match body {
        Body::Receipt(receipt) => Some((receipt.subject, receipt.link.seqno)),
        Body::Feedback(feedback) => feedback.link.map(|link| (feedback.subject, link.seqno)),
        Body::Retract(retract) => Some((header.identity, retract.link.seqno)),
        Body::Keys(keys) => suspect(keys.suspect_from),
        Body::Recover(recover) => suspect(recover.suspect_from),
        Body::RevokeAgent(revoke) => suspect(revoke.suspect_from),
        _ => None,
    }
}

impl Said {
    /// What a link with this body says.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Action(_) => Self::Action,
            Body::Receipt(receipt) => Self::Receipt { subject: receipt.subject, link: receipt.link },
            Body::Feedback(feedback) => Self::Feedback { subject: feedback.subject, link: feedback.link },
            Body::Attest(_) => Self::Attest,
            Body::Notice(notice) => Self::Notice { subject: notice.subject, kind: notice.kind },
            _ => Self::Other,
        }
    }
}
