//! How a witness answers (tlog-witness); the statuses and texts are `http::witness`'s.

use crate::merkle::{ProofError, TreeSize};
use crate::tlog::{TlogError, VerifyError};

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Cosigned: signature lines, each with its newline.
    Signed(String),
    /// The request is not of its format.
    Malformed(TlogError),
    /// The old size is greater than that of the checkpoint.
    OldSizeAbove {
        /// As the request says.
        old: TreeSize,
        /// The checkpoint's.
        size: TreeSize,
    },
    /// The log is not listed. Its origin line, which may be any text.
    UnknownLog(String),
    /// No key of the log has signed, or a signature of one is wrong; of `sign-subtree`: of the witness's keys.
    NotSigned(VerifyError),
    /// The old size is not that of the newest cosigned checkpoint.
    Conflict {
        /// Which is this; zero where nothing was ever cosigned.
        cosigned: TreeSize,
    },
    /// A tree without leaves has another root.
    EmptyRoot,
    /// There is a proof though there is nothing to prove from.
    ProofFromNothing,
    /// The size was cosigned with another root.
    OtherRoot {
        /// The size.
        size: TreeSize,
    },
    /// The proof does not lead from the old tree to the new one, or from the subtree to the tree.
    Inconsistent(ProofError),
    /// The witness has no key that cosigns subtrees.
    NoSubtreeKey,
    /// Too much waits to be written; nothing has happened.
    Overloaded,
    /// Too much of this log waits to be written; nothing has happened, and other logs are not concerned.
    LogOverloaded,
    /// A write or sync failed, and what is on disk is not known: restarting finds out. The checkpoint may have been
    /// remembered, but no cosignature was given.
    Latched,
}
