//! Making links: from what a signer wants to say to the exact bytes to sign.
//!
//! A draft is held to the rules of its own reader before anything is signed: what this module hands out is not
//! `malformed`, and its body keeps every rule that link and body alone decide.

use super::body::{Body, BodyError, Pop, RawSignature, check_link};
use super::commit::{commit_inline, commit_salted};
use super::header::{HEADER_LEN, Header, LinkType, Outcome};
use super::ids::{BodyCommit, Curr, Identity, Kid, LogId, Seqno};
use super::key::{kid, pop_message};
use super::link::{Beside, LINK_ENTRY_KIND, Link};
use super::verified::Refusal;
use crate::ed25519::SigningKey;
use crate::encoding::UnixMillis;
use crate::hash::{Hash, sha256};
use crate::merkle::TreeSize;

/// Where in its chain a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPosition {
    /// Whose chain; zero in a genesis.
    pub identity: Identity,
    /// Place in it.
    pub seqno: Seqno,
    /// The link before.
    pub prev: Curr,
    /// The newest key event before.
    pub auth: Curr,
}

/// What a signer says beside the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// For which log.
    pub log_id: LogId,
    /// Where in the chain.
    pub position: ChainPosition,
    /// The signer's time.
    pub ctime: UnixMillis,
    /// Size and root of a checkpoint that the signer has seen.
    pub anchor: Option<(TreeSize, Hash)>,
    /// How an action ended.
    pub outcome: Outcome,
    /// Who will sign.
    pub kid: Kid,
}

/// A link that lacks nothing but its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    header: Header,
    message: [u8; HEADER_LEN],
    inline: Vec<u8>,
    beside: Option<Beside>,
}

impl ChainPosition {
    /// Of a genesis.
    pub const GENESIS: Self =
        Self { identity: Identity::ZERO, seqno: Seqno::FIRST, prev: Curr::ZERO, auth: Curr::ZERO };
}

impl Draft {
    /// With a body that is part of the entry; without one for an action that has none.
    pub fn inline(&self, body: &Body) -> Result<Unsigned, Refusal> {
        let bytes = body.to_bytes().unwrap_or_default();
        let commit = commit_inline(&bytes);
        self.finish(body.link_type(), bytes, commit, None)
    }

    /// An action with a body that is kept beside the log, under a random salt.
    pub fn beside(&self, body: Beside) -> Result<Unsigned, Refusal> {
        let commit = commit_salted(&body.salt, &body.body);
        self.finish(LinkType::Action, Vec::new(), commit, Some(body))
    }

    /// What an added key signs to prove possession for the key event that this will be.
    pub fn pop(&self, added: &SigningKey) -> Pop {
        let kid = kid(added.public().as_bytes());
        let position = &self.position;
        let message = pop_message(self.log_id, position.identity, position.seqno, self.kid, kid);
        Pop { kid, sig: added.sign(&message) }
    }

    fn finish(
        &self,
        link_type: LinkType,
        inline: Vec<u8>,
        body_commit: BodyCommit,
        beside: Option<Beside>,
    ) -> Result<Unsigned, Refusal> {
        let body = beside.as_ref().map_or(&inline, |beside| &beside.body);
        let header = self.header(link_type, inline.is_empty(), body.len(), body_commit);
        header.check()?;
        let read = Body::parse(link_type, Some(body.as_slice()).filter(|body| !body.is_empty()))?;
        check_link(&header, &read, None)?;
        if link_type == LinkType::Genesis && !header.begins_chain() {
            return Err(Refusal::NotFirst);
        }
        if beside.as_ref().is_some_and(|beside| beside.body.is_empty()) {
            return Err(BodyError::Absent.into());
        }
        Ok(Unsigned { message: header.to_bytes(), header, inline, beside })
    }

    fn header(&self, link_type: LinkType, inline_empty: bool, body_len: usize, body_commit: BodyCommit) -> Header {
        let (anchor_size, anchor_root) = self.anchor.unwrap_or_default();
        Header {
            log_id: self.log_id,
            identity: self.position.identity,
            seqno: self.position.seqno,
            prev: self.position.prev,
            auth: self.position.auth,
            link_type,
            inline: !inline_empty,
            outcome: self.outcome,
            ctime: self.ctime,
            anchor_size: anchor_size.get(),
            anchor_root,
            kid: self.kid,
            body_len: u32::try_from(body_len).unwrap_or(u32::MAX),
            body_commit,
        }
    }
}

impl Unsigned {
    /// The fields of `M`.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes to sign.
    pub const fn message(&self) -> &[u8; HEADER_LEN] {
        &self.message
    }

    /// The id that the link will have, whatever its signature.
    pub fn curr(&self) -> Curr {
        Curr::from_bytes(sha256(&[&self.message]))
    }

    /// The bytes of the body that is part of the entry.
    pub fn inline_body(&self) -> &[u8] {
        &self.inline
    }

    /// The body that is kept beside the log.
    pub const fn beside(&self) -> Option<&Beside> {
        self.beside.as_ref()
    }

    /// The link, signed; the body that lies beside it goes with it.
    pub fn sign(self, key: &SigningKey) -> (Link, Option<Beside>) {
        let sig = key.sign(&self.message);
        self.with_signature(&sig)
    }

    /// The link with a signature that was made elsewhere, which is not verified here.
    pub fn with_signature(self, sig: &RawSignature) -> (Link, Option<Beside>) {
        let entry = [&[LINK_ENTRY_KIND][..], &self.message, sig, &self.inline].concat();
        let link =
            Link::parse_entry(&entry).expect("the header was checked and the body has the length that it states");
        (link, self.beside)
    }
}
