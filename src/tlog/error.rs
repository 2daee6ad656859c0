//! What is wrong with bytes that should be one of these formats, and why a well-formed note is not believed.

use core::fmt;

use super::vkey::{KeyId, KeyName};
use crate::merkle::TreeSize;

/// Bytes that are not what they should be.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TlogError {
    /// A key name is empty, or holds a space, a control character or a `+`.
    KeyName,
    /// An origin is no key name, is too long, or begins with a word that signed messages begin with.
    Origin,
    /// A verifier key is not `name+id+key` as it would be written.
    Vkey,
    /// A verifier key's id is not that of its name, type and key.
    VkeyId {
        /// The id as written.
        written: KeyId,
        /// The id of that name and key.
        computed: KeyId,
    },
    /// The key has a length that its type does not have, or is no key that could verify anything.
    VkeyKey,
    /// The name of an ML-DSA-44 key is longer than 255 bytes, so that nothing can be signed under it.
    CosignerName {
        /// Its length in bytes.
        len: usize,
    },
    /// Signatures of this type are not judged here, or not made by such a key.
    UnsupportedKey {
        /// The type's identifier byte.
        kind: u8,
    },
    /// A note is longer than [`super::MAX_NOTE_LEN`].
    NoteLen {
        /// Its length in bytes.
        len: usize,
    },
    /// A note is not UTF-8, holds a control character, or is not a text, an empty line and signature lines.
    Note,
    /// A line below a note's text is no signature line.
    SignatureLine,
    /// A note has more than [`super::MAX_SIGNATURES`] signatures.
    TooManySignatures,
    /// A checkpoint is not three lines; extension lines are refused.
    CheckpointLines,
    /// A tree size is no canonical decimal up to 2^53 − 1.
    TreeSize,
    /// A root is not the base64 of 32 bytes.
    Root,
    /// A size of 0 comes with a root other than the empty tree's.
    EmptyRoot,
    /// The signer of a checkpoint does not bear the log's name.
    SignerName,
    /// A timestamp is greater than 2^63 − 1, or what follows it has the wrong length.
    TimestampedSignature,
    /// A path is not that of a tile or an entry bundle.
    TilePath,
    /// A tile does not hold exactly the hashes that its width says.
    TileLen {
        /// Its length in bytes.
        len: usize,
    },
    /// An entry bundle ends within an entry, or holds none.
    Bundle,
    /// A bundle has more than 256 entries.
    BundleFull,
    /// An entry is empty or longer than 65,535 bytes.
    EntryLen {
        /// Its length in bytes.
        len: usize,
    },
    /// A proof is too long, lacks a line, or has one that would be written differently.
    Proof,
    /// `extra` of a proof is not canonical base64, is empty, or is too long.
    ProofExtra,
    /// The index of a proof is no canonical decimal up to 2^53 − 1.
    ProofIndex,
    /// The path of a proof is too long or has a line that is no hash.
    ProofPath,
    /// A request to a witness is too long, or not made of the lines that it should be.
    Request,
    /// The old size of a request is above its checkpoint's.
    OldSize {
        /// The old size.
        old: TreeSize,
        /// The checkpoint's.
        new: TreeSize,
    },
    /// A range is no subtree, or ends beyond its checkpoint.
    SubtreeRange,
    /// A consistency proof has more than 63 hashes.
    ConsistencyLen,
    /// An upload starts beyond its end, or ends beyond 2^53 − 1.
    UploadRange,
    /// A ticket is too long, or no base64.
    Ticket,
    /// A package does not hold exactly the entries of its range.
    PackageEntries {
        /// How many it should hold.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Where a mirror stands is not said in three lines.
    MirrorInfo,
    /// A policy is too long, or does not end with a newline.
    PolicyFile,
    /// A line of a policy is wrong.
    PolicyLine {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        fault: PolicyFault,
    },
    /// A policy says no quorum.
    NoQuorum,
}

/// What is wrong with a line of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PolicyFault {
    /// It holds a control character other than the tab.
    Octet,
    /// It begins with a word other than `log`, `witness`, `group` and `quorum`.
    Keyword,
    /// It has too few or too many items.
    Items,
    /// Its key is no verifier key.
    Key(Box<TlogError>),
    /// Its key is of a type that a log, or a witness, does not have.
    KeyType,
    /// Its key has been listed before in the same role.
    DuplicateKey,
    /// Its name is `none`, or defined before.
    Name,
    /// It refers to a name that is not defined above it.
    Undefined,
    /// It lists a member that is a member already.
    MemberTwice,
    /// Its threshold is not a number from 1 to the number of members, `any` or `all`.
    Threshold,
    /// There is a quorum above it.
    SecondQuorum,
    /// It is one log, witness or group too many.
    TooMany,
}

/// Why a well-formed note is not believed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// No known key signed it; of a checkpoint: no known key of the log that it is of.
    NotSigned,
    /// A signature with the name and id of a known key is not that key's.
    WrongSignature {
        /// The name of the key.
        name: KeyName,
        /// The id of the key.
        id: KeyId,
    },
    /// Too few of the policy's witnesses cosigned it.
    QuorumNotMet,
}

impl fmt::Display for TlogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::VkeyId { written, computed } => {
                return write!(f, "the verifier key says id {written}, its name and key have {computed}");
            }
            Self::UnsupportedKey { kind } => return write!(f, "signatures of type 0x{kind:02x} are not supported"),
            Self::CosignerName { len } => {
                return write!(f, "a name of {len} bytes is too long for an ML-DSA-44 key");
            }
            Self::NoteLen { len } => return write!(f, "a note of {len} bytes is too long"),
            Self::TileLen { len } => return write!(f, "a tile of {len} bytes does not have the width of its path"),
            Self::EntryLen { len } => return write!(f, "an entry of {len} bytes is empty or too long"),
            Self::OldSize { old, new } => return write!(f, "the old size {old} is above the checkpoint's, {new}"),
            Self::PackageEntries { expected, found } => {
                return write!(f, "a package of {found} entries where {expected} belong");
            }
            Self::PolicyLine { line, fault } => return write!(f, "line {line} of the policy: {fault}"),
            Self::KeyName => "not a key name: it must not be empty nor hold spaces or `+`",
            Self::Origin => "not an origin: a key name of at most 255 bytes without a reserved beginning",
            Self::Vkey => "not a verifier key of the form name+id+key",
            Self::VkeyKey => "the key has the wrong length or cannot verify anything",
            Self::Note => "not a signed note: a text, an empty line and signature lines",
            Self::SignatureLine => "a signature line of the note is malformed",
            Self::TooManySignatures => "the note has too many signatures",
            Self::CheckpointLines => "a checkpoint is three lines: origin, size and root",
            Self::TreeSize => "not a tree size",
            Self::Root => "not the root of a tree",
            Self::EmptyRoot => "not the root of the empty tree",
            Self::SignerName => "the signer does not bear the log's name",
            Self::TimestampedSignature => "not a timestamp and a signature",
            Self::TilePath => "not the path of a tile",
            Self::Bundle => "the entry bundle is cut off or empty",
            Self::BundleFull => "an entry bundle holds at most 256 entries",
            Self::Proof => "not a tlog-proof",
            Self::ProofExtra => "the extra data of the proof is malformed or too long",
            Self::ProofIndex => "the index of the proof is malformed",
            Self::ProofPath => "the path of the proof is malformed or too long",
            Self::Request => "not a request to a witness",
            Self::SubtreeRange => "not a subtree of the checkpoint's tree",
            Self::ConsistencyLen => "the consistency proof has more than 63 hashes",
            Self::UploadRange => "the upload starts beyond its end",
            Self::Ticket => "the ticket is too long or malformed",
            Self::MirrorInfo => "not what a mirror says of where it stands",
            Self::PolicyFile => "the policy is too long or does not end with a newline",
            Self::NoQuorum => "the policy has no quorum line",
        };
        f.write_str(text)
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(error) => return error.fmt(f),
            Self::Octet => "a control character",
            Self::Keyword => "neither log, witness, group nor quorum",
            Self::Items => "too few or too many items",
            Self::KeyType => "a key of this type does not serve in this role",
            Self::DuplicateKey => "this key is listed already",
            Self::Name => "this name is defined already",
            Self::Undefined => "a name that is not defined above",
            Self::MemberTwice => "a member that is in a group already",
            Self::Threshold => "not a threshold that the members can meet",
            Self::SecondQuorum => "a second quorum",
            Self::TooMany => "too many logs, witnesses or groups",
        })
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSigned => f.write_str("not signed by a known key of the log"),
            Self::WrongSignature { name, id } => write!(f, "the signature of {name} (key {id}) is wrong"),
            Self::QuorumNotMet => f.write_str("too few witnesses of the policy cosigned"),
        }
    }
}

impl core::error::Error for TlogError {}
impl core::error::Error for PolicyFault {}
impl core::error::Error for VerifyError {}
