//! The evidence that a record shows (reputation.md §2): decayed sums of what others said of an identity.
//!
//! It is all zeros: no link adds to it. The fold touches it at one place only, [`super::apply`], after a link's other
//! effects; what a seal must know of epochs comes through [`super::seal`].

/// What others said of an identity, in micro-units, as of the epoch named.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Evidence {
    /// The day of log time to which the sums are decayed.
    pub epoch: u64,
    /// In favour.
    pub r: u64,
    /// Against.
    pub s: u64,
}
