//! The link: one event on one identity's chain (formats.md §2), unverified.
//!
//! A [`Link`] keeps the bytes of its entry as they were received: `0x01 ‖ M ‖ sig ‖ body if inline`. They are what is
//! hashed, verified and logged; nothing is ever written again from parsed fields. That a link exists says that it is
//! not `malformed` (§5), and no more: its body is unread and its signature unchecked until it is a `VerifiedLink`.

use super::commit::{commit_inline, commit_salted};
use super::header::{HEADER_LEN, Header};
use super::ids::{BodyCommit, Curr, Salt};
use super::link_error::LinkError;
use crate::ed25519::{PublicKey, SIGNATURE_LEN};
use crate::hash::sha256;

/// The first byte of an entry that is a link.
pub const LINK_ENTRY_KIND: u8 = 0x01;

const MESSAGE_AT: usize = 1;
const SIGNATURE_AT: usize = MESSAGE_AT + HEADER_LEN;
const BODY_AT: usize = SIGNATURE_AT + SIGNATURE_LEN;

/// A link that was read and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    entry: Vec<u8>,
    header: Header,
    curr: Curr,
}

/// A body that is kept beside the log, with the salt of its commitment. Nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Of the commitment.
    pub salt: Salt,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Link {
    /// Reads the entry of a link.
    pub fn parse_entry(entry: &[u8]) -> Result<Self, LinkError> {
        match entry.first() {
            Some(&LINK_ENTRY_KIND) => {}
            Some(&kind) => return Err(LinkError::Kind(kind)),
            None => return Err(LinkError::EntryLength(0)),
        }
        if entry.len() < BODY_AT {
            return Err(LinkError::EntryLength(entry.len()));
        }
        let header = Header::parse(&entry[MESSAGE_AT..SIGNATURE_AT])?;
        let stated = if header.inline { header.body_len } else { 0 };
        let found = entry.len() - BODY_AT;
        if found != stated as usize {
            return Err(LinkError::BodyLength { stated, found });
        }
        let curr = Curr::from_bytes(sha256(&[&entry[MESSAGE_AT..SIGNATURE_AT]]));
        Ok(Self { entry: entry.to_vec(), header, curr })
    }

    /// Puts a link together from what a submission carries apart.
    ///
    /// `body` is the inline body, or one to be kept beside the log, which comes with `salt`; that one is handed back.
    pub fn from_parts(
        message: &[u8],
        sig: &[u8],
        body: Option<&[u8]>,
        salt: Option<Salt>,
    ) -> Result<(Self, Option<Beside>), LinkError> {
        if sig.len() != SIGNATURE_LEN {
            return Err(LinkError::SignatureLength(sig.len()));
        }
        let header = Header::parse(message)?;
        let (inline, beside) = match (body.unwrap_or_default(), salt) {
            (body, None) if header.inline || body.is_empty() => (body, None),
            (body, Some(salt)) if !header.inline && !body.is_empty() => {
                (&[][..], Some(Beside { salt, body: body.to_vec() }))
            }
            _ => return Err(LinkError::Salt),
        };
        let link = Self::parse_entry(&[&[LINK_ENTRY_KIND][..], message, sig, inline].concat())?;
        Ok((link, beside))
    }

    /// The fields of `M`.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its id, `H(M)`.
    pub const fn curr(&self) -> Curr {
        self.curr
    }

    /// `M` as received: what is signed.
    pub fn message(&self) -> &[u8] {
        &self.entry[MESSAGE_AT..SIGNATURE_AT]
    }

    /// The signature over `M`.
    pub fn sig(&self) -> &[u8; SIGNATURE_LEN] {
        self.entry[SIGNATURE_AT..].first_chunk().expect("an entry holds a signature behind its header")
    }

    /// The body's bytes, where they are part of the entry.
    pub fn body(&self) -> Option<&[u8]> {
        self.header.inline.then(|| &self.entry[BODY_AT..])
    }

    /// The bytes of its entry.
    pub fn entry(&self) -> &[u8] {
        &self.entry
    }

    /// The bytes of its entry.
    pub fn into_entry(self) -> Vec<u8> {
        self.entry
    }

    /// Whether the commitment is that of the inline body, or zero where the body is empty.
    ///
    /// Of a body that lies beside the log nothing can be said without it, and this is true.
    pub fn matches_commit(&self) -> bool {
        match self.body() {
            Some(body) => self.header.body_commit == commit_inline(body),
            None => self.header.body_len > 0 || self.header.body_commit == BodyCommit::ZERO,
        }
    }

    /// Whether `signer` signed it. Which key may sign is not asked here.
    pub fn is_signed_by(&self, signer: &PublicKey) -> bool {
        signer.verify(self.message(), self.sig())
    }
}

impl Beside {
    /// Whether this is the body that the header commits to: its length and its commitment.
    pub fn matches(&self, header: &Header) -> bool {
        !header.inline
            && self.body.len() == header.body_len as usize
            && !self.body.is_empty()
            && header.body_commit == commit_salted(&self.salt, &self.body)
    }
}
