//! From a link that was read to one that is signed: the checks that need neither state nor index.
//!
//! [`Link`] → [`ReadLink`] (commitment, profile and field rules hold) → [`VerifiedLink`] (signature and every proof
//! of possession given verify). Whether the signer was live and had the role, whether a keys or recover brings all the
//! proofs that it needs, and everything else that rests on the log is for the registry.
//!
//! [`TriedLink`] lets the signature be checked before it is known which key has to have signed: what came of it is kept
//! beside the key that was tried, and counts for no other.

use super::body::{Body, BodyError, RawKey, check_link, check_pops};
use super::code::Code;
use super::header::{Header, LinkType};
use super::ids::{Curr, Kid, LogId};
use super::key::kid;
use super::link::{Beside, Link};
use super::link_error::LinkError;
use crate::ed25519::PublicKey;

/// Why a link is refused whatever the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no link.
    Malformed(LinkError),
    /// It is made for another log.
    WrongLog(LogId),
    /// A genesis whose header is not that of the first link of a chain.
    NotFirst,
    /// The body breaks a rule.
    Body(BodyError),
    /// The key is not the one that this link itself names as its signer, or not an admin.
    Signer(Kid),
    /// The signature does not verify.
    Signature,
    /// The proof of possession of this key does not verify.
    Pop(Kid),
}

/// A link of this log whose body was read: it matches its commitment and keeps every rule that it alone decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLink {
    link: Link,
    beside: Option<Beside>,
    body: Body,
}

/// A link whose signature, by a key that the caller named, was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLink(ReadLink);

/// A link whose signature may have been tried with a key, ahead of knowing which key has to have signed it.
///
/// Whether a key signed a link never changes, so that to try early is to verify; the key is compared when the log's
/// state names it, and where another was tried, the link is verified then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedLink {
    link: ReadLink,
    tried: Option<(RawKey, Result<(), Refusal>)>,
}

impl VerifiedLink {
    /// Checks all that link, body and signer decide. `beside` is the body of an action that is kept beside the log,
    /// where it is given.
    pub fn check(link: Link, beside: Option<Beside>, signer: &PublicKey, log_id: LogId) -> Result<Self, Refusal> {
        ReadLink::read(link, beside, log_id)?.verify(signer)
    }

    /// The fields of `M`.
    pub const fn header(&self) -> &Header {
        self.0.header()
    }

    /// Its id.
    pub const fn curr(&self) -> Curr {
        self.0.link.curr()
    }

    /// Its body.
    pub const fn body(&self) -> &Body {
        &self.0.body
    }

    /// The bytes of its entry.
    pub fn entry(&self) -> &[u8] {
        self.0.link.entry()
    }

    /// The body that is kept beside the log, where it was given.
    pub const fn beside(&self) -> Option<&Beside> {
        self.0.beside.as_ref()
    }

    /// Its parts, for whoever stores it.
    pub fn into_parts(self) -> (Link, Option<Beside>, Body) {
        (self.0.link, self.0.beside, self.0.body)
    }
}

impl ReadLink {
    /// Reads the body of `link`, and of `beside` where it is given.
    pub fn read(link: Link, beside: Option<Beside>, log_id: LogId) -> Result<Self, Refusal> {
        let header = link.header();
        if header.log_id != log_id {
            return Err(Refusal::WrongLog(header.log_id));
        }
        if header.link_type == LinkType::Genesis && !header.begins_chain() {
            return Err(Refusal::NotFirst);
        }
        if !link.matches_commit() {
            return Err(BodyError::Commit.into());
        }
        let body = Body::parse(header.link_type, link.body())?;
        check_link(header, &body, None)?;
        if let Some(beside) = &beside {
            check_beside(header, beside)?;
        }
        Ok(Self { link, beside, body })
    }

    /// Verifies the signature by `signer` and every proof of possession that the body brings.
    pub fn verify(self, signer: &PublicKey) -> Result<VerifiedLink, Refusal> {
        self.check_signed(signer)?;
        Ok(VerifiedLink(self))
    }

    fn check_signed(&self, signer: &PublicKey) -> Result<(), Refusal> {
        let header = self.link.header();
        if kid(signer.as_bytes()) != header.kid {
            return Err(Refusal::Signer(header.kid));
        }
        if !self.link.is_signed_by(signer) {
            return Err(Refusal::Signature);
        }
        check_pops(header, &self.body).map_err(Refusal::Pop)
    }

    /// The signer's key where the link itself names it: an admin that a genesis lists, or the key in `recovery`.
    /// `None` where the key set of the identity says which key it is.
    pub fn named_signer(&self) -> Result<Option<&RawKey>, Refusal> {
        let signer = self.header().kid;
        let named = match &self.body {
            Body::Genesis(genesis) => {
                genesis.keys.iter().find(|key| key.kid == signer && key.roles.admin).map(|key| &key.pk)
            }
            body => match body.recovery() {
                None => return Ok(None),
                Some(recovery) => Some(recovery).filter(|key| kid(key) == signer),
            },
        };
        named.map(Some).ok_or(Refusal::Signer(signer))
    }

    /// The fields of `M`.
    pub const fn header(&self) -> &Header {
        self.link.header()
    }

    /// The link.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Its body.
    pub const fn body(&self) -> &Body {
        &self.body
    }
}

impl TriedLink {
    /// A link of which nothing was tried yet.
    pub const fn untried(link: ReadLink) -> Self {
        Self { link, tried: None }
    }

    /// Tries a key: its signature, and every proof of possession that the body brings.
    pub fn try_key(&mut self, signer: &PublicKey) {
        self.tried = Some((*signer.as_bytes(), self.link.check_signed(signer)));
    }

    /// Verifies by the key that has to have signed: what [`ReadLink::verify`] says of it.
    pub fn verify(self, signer: &RawKey) -> Result<VerifiedLink, Refusal> {
        match self.tried {
            Some((tried, result)) if tried == *signer => result.map(|()| VerifiedLink(self.link)),
            _ => self.link.verify(&PublicKey::from_bytes(signer).ok_or(Refusal::Signature)?),
        }
    }

    /// The link.
    pub const fn link(&self) -> &ReadLink {
        &self.link
    }
}

fn check_beside(header: &Header, beside: &Beside) -> Result<(), BodyError> {
    if !beside.matches(header) {
        return Err(BodyError::Commit);
    }
    Body::parse(header.link_type, Some(&beside.body)).map(|_: Body| ())
}

impl Refusal {
    /// The code that it is answered with.
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => Code::Malformed,
            Self::WrongLog(_) => Code::WrongLog,
            Self::NotFirst => Code::Conflict,
            Self::Body(error) => error.code(),
            Self::Signer(_) => Code::Unauthorised,
            Self::Signature | Self::Pop(_) => Code::BadSignature,
        }
    }
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        Self::Malformed(error)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl core::error::Error for Refusal {}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::WrongLog(log_id) => write!(f, "the link is made for another log, of id {log_id}"),
            Self::NotFirst => f.write_str("a genesis has seqno 1 and zero identity, prev and auth"),
            Self::Body(error) => error.fmt(f),
            Self::Signer(kid) => write!(f, "key {kid} is not one that may sign this link"),
            Self::Signature => f.write_str("the signature does not verify"),
            Self::Pop(kid) => write!(f, "the proof of possession of key {kid} does not verify"),
        }
    }
}
