//! Which witnesses suffice (tlog-policy, "Defining the quorum" and "Defining a witness group").
//!
//! Invariants: a group's members stand before it, so one pass in order decides; a name is a member of at most one
//! group, so a witness counts in one way only. More cosignatures never make a quorum fail.

use core::ops::RangeInclusive;

use super::cosignature::Timestamp;
use super::policy::PolicyName;

/// The rule by which a set of witnesses is strong enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quorum {
    pub(super) nodes: Vec<Node>,
    pub(super) top: Top,
}

/// What a quorum line names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Top {
    /// `none`.
    None,
    /// The node with this number.
    Node(usize),
}

/// A name that a quorum or a group can refer to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    Witness(PolicyName),
    Group { threshold: usize, members: Vec<usize> },
}

/// A witness of a policy and when it cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigned {
    /// The witness, by its name in the policy.
    pub witness: PolicyName,
    /// When, as it says.
    pub time: Timestamp,
}

impl Quorum {
    /// Whether the policy asks for no cosignature at all.
    pub const fn is_none(&self) -> bool {
        matches!(self.top, Top::None)
    }

    /// Whether the witnesses that `cosigned` holds for suffice.
    pub fn is_met(&self, cosigned: impl Fn(&PolicyName) -> bool) -> bool {
        let Top::Node(top) = self.top else { return true };
        let mut met = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            met.push(match node {
                Node::Witness(name) => cosigned(name),
                Node::Group { threshold, members } => {
                    members.iter().filter(|member| met[**member]).count() >= *threshold
                }
            });
        }
        met[top]
    }

    /// Whether cosignatures made within a span of seconds suffice alone. None can for `quorum none`: nobody then
    /// says how fresh a checkpoint is.
    pub fn is_met_within(&self, cosigned: &[Cosigned], span: &RangeInclusive<u64>) -> bool {
        let within = |name: &PolicyName| cosigned.iter().any(|c| c.witness == *name && span.contains(&c.time.get()));
        !self.is_none() && self.is_met(within)
    }

    /// The greatest time such that the cosignatures since then meet the quorum, of several by one key each counted.
    /// `None` if all of them do not, and for `quorum none`.
    pub fn as_of(&self, cosigned: &[Cosigned]) -> Option<Timestamp> {
        let mut times: Vec<_> = cosigned.iter().map(|c| c.time).collect();
        times.sort_unstable();
        times.into_iter().rev().find(|time| self.is_met_within(cosigned, &(time.get()..=Timestamp::MAX.get())))
    }
}
