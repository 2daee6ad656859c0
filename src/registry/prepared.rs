//! Entries made ready for replay: all that needs no state, so that it can be done on every core (formats.md §2 to §4).
//!
//! Reading, hashing and the checks of a body depend on the entry alone, and whether a key signed a link depends on both
//! alone: a [`Prepared`] holds what came of them. Which key has to have signed is for the fold to say, and a key that was
//! tried ahead counts only if it is that one. So replay of prepared entries gives what replay of raw ones does.
//!
//! Invariant: only the checks here make one; its parts cannot be set.

use crate::ed25519::PublicKey;
use crate::hash::Hash;
use crate::merkle::leaf_hash;
use crate::soul::{
    self, Identity, Kid, Link, LinkType, LogId, RawKey, ReadLink, Seqno, TRAILER_ENTRY_KIND, Trailer, TriedLink,
    newer_rules,
};

/// An entry that was read, and whose signature may have been tried.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) log_id: LogId,
    pub(super) leaf_hash: Hash,
    pub(super) name: Option<LinkName>,
    pub(super) kind: PreparedKind,
}

/// What an entry turned out to be.
#[derive(Clone, Debug)]
pub(super) enum PreparedKind {
    /// A trailer by its first byte; none where the rest is not one.
    Trailer(Option<Trailer>),
    /// A policy that asks for these rules, which are later than ours. Its body is not read.
    LaterRules { link: Box<Link>, rules: u64, read: Box<Result<TriedLink, soul::Refusal>> },
    /// Anything else.
    Link(Box<Result<TriedLink, soul::Refusal>>),
}

/// A link as it names itself: whose it is, and its place in that chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkName {
    /// Whose chain it claims to be in; of a genesis the one that it founds.
    pub identity: Identity,
    /// The place that it claims.
    pub seqno: Seqno,
}

impl Prepared {
    /// Reads an entry of this log.
    pub fn read(entry: &[u8], log_id: LogId) -> Self {
        let leaf_hash = leaf_hash(entry);
        if entry.first() == Some(&TRAILER_ENTRY_KIND) {
            return Self { log_id, leaf_hash, name: None, kind: PreparedKind::Trailer(Trailer::parse(entry)) };
        }
        let link = match Link::parse_entry(entry) {
            Ok(link) => link,
            Err(error) => {
                let kind = PreparedKind::Link(Box::new(Err(error.into())));
                return Self { log_id, leaf_hash, name: None, kind };
            }
        };
        let name = Some(LinkName::of(&link));
        let later = later_rules(&link, log_id).map(|rules| (Box::new(link.clone()), rules));
        let read = Box::new(ReadLink::read(link, None, log_id).map(TriedLink::untried));
        let kind = match later {
            Some((link, rules)) => PreparedKind::LaterRules { link, rules, read },
            None => PreparedKind::Link(read),
        };
        Self { log_id, leaf_hash, name, kind }
    }

    /// Tries the key that the link says has signed it, where the link itself or `keys` knows that key.
    pub fn try_signature(&mut self, keys: impl FnOnce(&Kid) -> Option<PublicKey>) {
        let PreparedKind::Link(read) = &mut self.kind else { return };
        let Ok(tried) = &mut **read else { return };
        let named = match tried.link().named_signer() {
            Ok(Some(named)) => PublicKey::from_bytes(named),
            Ok(None) => keys(&tried.link().header().kid),
            // No key that could have signed it is named: the fold refuses it without a look at the signature.
            Err(_) => None,
        };
        if let Some(key) = named {
            tried.try_key(&key);
        }
    }

    /// The keys that it lists, which may sign what comes after it.
    pub fn listed_keys(&self) -> impl Iterator<Item = (Kid, RawKey)> {
        let link = match &self.kind {
            PreparedKind::Link(read) => read.as_ref().as_ref().ok(),
            _ => None,
        };
        let keys = link.and_then(|tried| tried.link().body().keys()).unwrap_or_default();
        keys.iter().map(|key| (key.kid, key.pk))
    }

    /// The hash of its leaf.
    pub const fn leaf_hash(&self) -> Hash {
        self.leaf_hash
    }

    /// Whether its first byte says that it is a trailer.
    pub const fn is_trailer(&self) -> bool {
        matches!(self.kind, PreparedKind::Trailer(_))
    }

    /// The link as far as it was read; none where it is refused whatever the log holds, and of later rules.
    pub fn link(&self) -> Option<&ReadLink> {
        match &self.kind {
            PreparedKind::Link(read) => read.as_ref().as_ref().ok().map(TriedLink::link),
            _ => None,
        }
    }

    /// The trailer, where it is one.
    pub const fn trailer(&self) -> Option<&Trailer> {
        if let PreparedKind::Trailer(Some(trailer)) = &self.kind { Some(trailer) } else { None }
    }

    /// The link as it names itself, where it is one.
    pub const fn name(&self) -> Option<LinkName> {
        self.name
    }
}

impl LinkName {
    /// As a link names itself.
    pub fn of(link: &Link) -> Self {
        let header = link.header();
        let founds = header.link_type == LinkType::Genesis && header.identity.is_zero();
        let identity = if founds { Identity::from(link.curr()) } else { header.identity };
        Self { identity, seqno: header.seqno }
    }
}

/// The rules that a policy of this log asks for, where they are later than ours.
pub(super) fn later_rules(link: &Link, log_id: LogId) -> Option<u64> {
    let header = link.header();
    if header.link_type != LinkType::Policy || header.log_id != log_id || !link.matches_commit() {
        return None;
    }
    newer_rules(link.body()?)
}
