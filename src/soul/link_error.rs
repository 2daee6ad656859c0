//! Why bytes are no link: rule `malformed` of formats.md §5.

use super::header::{HEADER_LEN, LinkType, MAX_BODY_LEN, MAX_INLINE_LEN};

/// What is wrong with the bytes of a link, or of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// An entry too short to hold header and signature.
    EntryLength(usize),
    /// The first byte of the entry is not that of a link.
    Kind(u8),
    /// A header that is not 274 bytes.
    HeaderLength(usize),
    /// A signature that is not 64 bytes.
    SignatureLength(usize),
    /// Not a header of this version.
    Magic,
    /// A suite that is not admitted.
    Suite(u8),
    /// A number that is no type.
    UnknownType(u16),
    /// Flags with bits set that mean nothing.
    ReservedFlags(u8),
    /// An outcome in a type that has none.
    OutcomeNotAllowed(LinkType),
    /// A number above 2^53 − 1.
    TooGreat {
        /// Of the header.
        field: &'static str,
        /// What it says.
        value: u64,
    },
    /// A body that is longer than allowed.
    BodyTooLong {
        /// As the header says.
        len: u32,
        /// Whether it is part of the entry.
        inline: bool,
    },
    /// An empty body that is flagged inline.
    EmptyInline,
    /// A body that is not inline, or empty, in a type whose body has to be.
    NotInline(LinkType),
    /// Another number of body bytes than the header says.
    BodyLength {
        /// As the header says; 0 where the body is not part of the entry.
        stated: u32,
        /// What is there.
        found: usize,
    },
    /// A salt with a body that needs none, or a body beside the link without one.
    Salt,
}

impl core::fmt::Display for LinkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::EntryLength(len) => write!(f, "an entry of {len} bytes is too short for a link"),
            Self::Kind(kind) => write!(f, "the entry is of kind {kind:#04x}, a link is 0x01"),
            Self::HeaderLength(len) => write!(f, "a header is {HEADER_LEN} bytes, not {len}"),
            Self::SignatureLength(len) => write!(f, "a signature is 64 bytes, not {len}"),
            Self::Magic => f.write_str("the header does not begin with \"soulchain/link/v1\\n\""),
            Self::Suite(suite) => write!(f, "suite {suite} is not admitted, only 1"),
            Self::UnknownType(code) => write!(f, "{code:#06x} is no type of link"),
            Self::ReservedFlags(flags) => write!(f, "flags {flags:#04x} set reserved bits"),
            Self::OutcomeNotAllowed(link_type) => write!(f, "a link of type {link_type} has no outcome"),
            Self::TooGreat { field, value } => write!(f, "{field} is {value}, above 2^53 - 1"),
            Self::BodyTooLong { len, inline: true } => {
                write!(f, "a body of {len} bytes is too long to be inline (at most {MAX_INLINE_LEN})")
            }
            Self::BodyTooLong { len, inline: false } => {
                write!(f, "a body of {len} bytes is too long (at most {MAX_BODY_LEN})")
            }
            Self::EmptyInline => f.write_str("an empty body is not inline"),
            Self::NotInline(link_type) => write!(f, "the body of type {link_type} has to be there and inline"),
            Self::BodyLength { stated, found } => write!(f, "{stated} bytes of body expected, {found} found"),
            Self::Salt => f.write_str("a body that is not inline comes with its salt, any other without"),
        }
    }
}

impl core::error::Error for LinkError {}
