//! What is wrong with a body, by field, so that a person can mend it.

use crate::soul::code::Code;
use crate::soul::ids::Kid;
use crate::soul::jcs::JcsError;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// Its bytes are not canonical JSON under the profile of formats.md §3.
    Profile(JcsError),
    /// Its length or commitment is not that of the header.
    Commit,
    /// The type has a body and there is none.
    Absent,
    /// A field breaks a rule.
    Field {
        /// Its path, such as `keys[1].roles`; empty for the body as a whole.
        path: String,
        /// The rule.
        fault: FieldFault,
    },
}

/// The rule that a field breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldFault {
    /// It has to be there.
    Missing,
    /// No such field exists in this type.
    Unknown,
    /// It is of another kind of value.
    Kind(Kind),
    /// It has to be of this form.
    Form(Form),
    /// It is an empty string, list or object.
    Empty,
    /// Its text has too many characters.
    TooLong {
        /// The most.
        max: usize,
    },
    /// It has too many bytes of canonical JSON.
    TooLarge {
        /// The most.
        max: usize,
    },
    /// It has too many items.
    TooMany {
        /// The most.
        max: usize,
    },
    /// It is not greater than the item before it.
    Unsorted,
    /// Its number is out of range.
    Range {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// It is none of the values that exist.
    NotOneOf(&'static [&'static str]),
    /// The name is kept from everyone.
    Reserved,
    /// Only entry 0 of a log is named `registrar`, and it has to be.
    Registrar,
    /// It does not belong to a notice of this kind.
    NotOfThisNotice,
    /// No listed key is an admin.
    NoAdmin,
    /// The key is the one that `next` commits to.
    KeyOfNext,
    /// The key is the one in `recovery`.
    KeyOfRecovery,
    /// It commits to the key that signs this link.
    NextOfRecovery,
    /// The key is not listed in `keys`.
    PopOfUnlistedKey,
    /// The key signs the link itself and needs no proof.
    PopOfSigner,
    /// A listed key that does not sign has no proof.
    PopMissing(Kid),
    /// An identity cannot be its own subject.
    SelfSubject,
}

/// Kinds of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object.
    Object,
    /// A list.
    List,
    /// A string.
    Text,
    /// An integer that is not negative.
    Integer,
    /// `true` or `false`.
    Bool,
}

/// Forms of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 32 bytes in lowercase hex.
    Hex32,
    /// A public key in URL-safe base64.
    Key,
    /// A signature in URL-safe base64.
    Signature,
    /// A label.
    Label,
    /// A domain name.
    DomainName,
    /// A capability.
    Capability,
    /// A tag.
    Tag,
}

impl BodyError {
    /// An error of the value at hand; whoever holds that value says where it lies.
    pub(super) const fn here(fault: FieldFault) -> Self {
        Self::Field { path: String::new(), fault }
    }

    /// An error of the field `name` of the body.
    pub(super) fn of(name: &str, fault: FieldFault) -> Self {
        Self::here(fault).within(name)
    }

    /// The same error, seen from the object that holds the value as `name`.
    pub(super) fn within(self, name: &str) -> Self {
        match self {
            Self::Field { path, fault } => {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                Self::Field { path: format!("{name}{dot}{path}"), fault }
            }
            other => other,
        }
    }

    /// The same error, seen from the list that holds the value.
    pub(super) fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    /// The code that it is answered with.
    pub const fn code(&self) -> Code {
        match self {
            Self::Field { fault: FieldFault::SelfSubject, .. } => Code::BadReference,
            _ => Code::BadBody,
        }
    }
}

impl From<JcsError> for BodyError {
    fn from(error: JcsError) -> Self {
        Self::Profile(error)
    }
}

impl core::error::Error for BodyError {}

impl core::fmt::Display for BodyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Profile(error) => write!(f, "the body is not canonical JSON: {error}"),
            Self::Commit => f.write_str("the body is not the one that the header commits to"),
            Self::Absent => f.write_str("the body is missing"),
            Self::Field { path, fault } if path.is_empty() => write!(f, "the body {fault}"),
            Self::Field { path, fault } => write!(f, "`{path}` {fault}"),
        }
    }
}

impl core::fmt::Display for FieldFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Unknown => f.write_str("is no field here"),
            Self::Kind(kind) => write!(f, "must be {kind}"),
            Self::Form(form) => write!(f, "must be {form}"),
            Self::Empty => f.write_str("is empty: leave it out"),
            Self::TooLong { max } => write!(f, "has more than {max} characters"),
            Self::TooLarge { max } => write!(f, "has more than {max} bytes"),
            Self::TooMany { max } => write!(f, "has more than {max} items"),
            Self::Unsorted => f.write_str("is out of order: items are sorted by bytes, without repeats"),
            Self::Range { min, max } => write!(f, "must be from {min} to {max}"),
            Self::NotOneOf(names) => write!(f, "must be one of {}", names.join(", ")),
            Self::Reserved => f.write_str("is a reserved name"),
            Self::Registrar => f.write_str("must be `registrar` in entry 0 of a log, and in no other"),
            Self::NotOfThisNotice => f.write_str("does not belong to a notice of this kind"),
            Self::NoAdmin => f.write_str("lists no admin key"),
            Self::KeyOfNext => f.write_str("is the key that `next` commits to, which is kept out of the key set"),
            Self::KeyOfRecovery => f.write_str("is the key in `recovery`, which is kept out of the key set"),
            Self::NextOfRecovery => f.write_str("commits to the key in `recovery`, which has been used"),
            Self::PopOfUnlistedKey => f.write_str("is for a key that is not listed in `keys`"),
            Self::PopOfSigner => f.write_str("is for the key that signs the link and needs no proof"),
            Self::PopMissing(kid) => write!(f, "lacks the proof of possession of key {kid}"),
            Self::SelfSubject => f.write_str("is the identity that signs: nobody makes statements about themselves"),
        }
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::List => "a list",
            Self::Text => "a string",
            Self::Integer => "an integer that is not negative",
            Self::Bool => "true or false",
        })
    }
}

impl core::fmt::Display for Form {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Hex32 => "64 lowercase hex digits",
            Self::Key => "32 bytes in URL-safe base64 without padding",
            Self::Signature => "64 bytes in URL-safe base64 without padding",
            Self::Label => "a label: 1 to 63 of [a-z0-9_-], no - or _ at either end",
            Self::DomainName => "a domain name: 2 or more labels joined by dots, at most 253 bytes",
            Self::Capability => "1 to 64 of [a-z0-9_.:/*-]",
            Self::Tag => "1 to 64 of [a-z0-9_.:/-]",
        })
    }
}
