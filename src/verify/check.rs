//! The checks of formats.md §8, in the order in which they are made.

/// A check that a proof is put to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Check {
    /// The file and its members are what they should be, and answer what is asked.
    Format,
    /// A log of the policy signed the checkpoint.
    Checkpoint,
    /// Enough witnesses cosigned it.
    Quorum,
    /// They did so lately.
    Age,
    /// The entry is a link of this log.
    Link,
    /// It is in the tree.
    Inclusion,
    /// Its body keeps the rules.
    Body,
    /// The trailer is the last leaf and covers all before it.
    Trailer,
    /// The record, or absence, is in the trailer's map.
    Map,
    /// The record is of the identity and agrees with the link.
    Record,
    /// The key could sign this link.
    Key,
    /// It did.
    Signature,
    /// The link is not disowned.
    Disputed,
}

/// A check that held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Which.
    pub check: Check,
    /// What was found, in a line for people.
    pub line: String,
}

impl Check {
    /// All of them, in their order.
    pub const ALL: &'static [Self] = &[
        Self::Format,
        Self::Checkpoint,
        Self::Quorum,
        Self::Age,
        Self::Link,
        Self::Inclusion,
        Self::Body,
        Self::Trailer,
        Self::Map,
        Self::Record,
        Self::Key,
        Self::Signature,
        Self::Disputed,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Checkpoint => "checkpoint",
            Self::Quorum => "quorum",
            Self::Age => "age",
            Self::Link => "link",
            Self::Inclusion => "inclusion",
            Self::Body => "body",
            Self::Trailer => "trailer",
            Self::Map => "map",
            Self::Record => "record",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Disputed => "disputed",
        }
    }
}

impl core::fmt::Display for Check {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Display for Passed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.check, self.line)
    }
}
