//! Links on their way into the log, and what shows that they are there.

use super::calls::ProofWanted;
use super::error::{ClientError, FalseAnswer};
use super::known_log::KnownLog;
use crate::encoding::b64_decode;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, leaf_hash, verify_inclusion};
use crate::soul::{Beside, Link};
use crate::tlog::{SignedCheckpoint, TlogProof};
use crate::verify::{Extra, LinkExtra};
use crate::wire::{Appended, Placed};

/// A signed link, and the body that goes with it where that is kept beside the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedLink {
    /// The link.
    pub link: Link,
    /// The body and its salt.
    pub beside: Option<Beside>,
}

/// A link whose place under a checkpoint that its log signed was checked: only the check of an answer makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    signed: SignedLink,
    index: LeafIndex,
    path: Vec<Hash>,
    checkpoint: SignedCheckpoint,
    witnessed: Option<bool>,
}

impl From<(Link, Option<Beside>)> for SignedLink {
    fn from((link, beside): (Link, Option<Beside>)) -> Self {
        Self { link, beside }
    }
}

impl Logged {
    /// Checks what a node answered to an append: each link has its place in the tree of a checkpoint of this log.
    pub fn check(log: &KnownLog, links: Vec<SignedLink>, answer: &Appended) -> Result<Vec<Self>, ClientError> {
        if answer.links.len() != links.len() {
            return Err(FalseAnswer::form("links", "not one for each that was sent"));
        }
        let note = answer.checkpoint.as_deref().ok_or_else(|| FalseAnswer::form("checkpoint", "absent"))?;
        let checkpoint = log.check(note)?;
        let placed = links.into_iter().zip(&answer.links);
        placed.map(|(signed, placed)| Self::check_one(signed, placed, &checkpoint, answer.witnessed)).collect()
    }

    fn check_one(
        signed: SignedLink,
        placed: &Placed,
        checkpoint: &SignedCheckpoint,
        witnessed: Option<bool>,
    ) -> Result<Self, ClientError> {
        if placed.curr != signed.link.curr().to_hex() || placed.seqno != signed.link.header().seqno.get() {
            return Err(FalseAnswer::other("a link"));
        }
        let path = placed.path.as_deref().ok_or_else(|| FalseAnswer::form("path", "absent"))?;
        let path = hashes(path)?;
        let (index, claim) = (LeafIndex::new(placed.index), checkpoint.claim());
        verify_inclusion(&leaf_hash(signed.link.entry()), index, claim.size(), &path, &claim.root())?;
        Ok(Self { signed, index, path, checkpoint: checkpoint.clone(), witnessed })
    }

    /// The link.
    pub const fn link(&self) -> &Link {
        &self.signed.link
    }

    /// Its place in the log.
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The checkpoint that it is under.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Whether witnesses cosigned the checkpoint in time; `None` where that was not asked for.
    pub const fn witnessed(&self) -> Option<bool> {
        self.witnessed
    }

    /// Whether this is less than what was asked for.
    pub fn falls_short_of(&self, wanted: ProofWanted) -> bool {
        wanted == ProofWanted::Witnessed && self.witnessed != Some(true)
    }

    /// The proof to keep. The body of an action that is not inline is in it if it is to be disclosed.
    ///
    /// `key_events` are the entries of the chain's key events up to the one that the link names: with them a verifier
    /// finds the signer's key from the identity alone.
    pub fn proof(&self, disclose: bool, key_events: Option<&[Vec<u8>]>) -> Result<TlogProof, ClientError> {
        let genesis = self.link().header().begins_chain();
        let extra = Extra::Link(LinkExtra {
            entry: self.link().entry().to_vec(),
            disclosed: self.signed.beside.clone().filter(|_| disclose),
            key_events: key_events.filter(|_| !genesis).unwrap_or_default().to_vec(),
            state: None,
        });
        Ok(TlogProof::new(Some(extra.to_bytes()), self.index, self.path.clone(), self.checkpoint.clone())?)
    }
}

/// Reads the hashes of a path.
pub(super) fn hashes(path: &[String]) -> Result<Vec<Hash>, ClientError> {
    let hash = |text: &String| b64_decode(text).and_then(|bytes| bytes.try_into().ok()).map(Hash::from_bytes);
    path.iter().map(hash).collect::<Option<_>>().ok_or_else(|| FalseAnswer::form("path", "not base64 of hashes"))
}
