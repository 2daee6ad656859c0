//! The witnesses of a log: who they are, how many of them suffice, and whether what is published has them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Node;
use super::machine::NodeState;
use crate::log::Published;
use crate::merkle::LeafIndex;
use crate::tlog::{MAX_SIGNATURES, Origin, Policy, PolicyName, SignedCheckpoint, TlogError, Vkey};

/// Longest wait for a witnessed proof, from the request on.
pub const MAX_WITNESS_WAIT: Duration = Duration::from_secs(10);

/// A tlog-policy as the log itself uses it: its witnesses, groups and quorum. The log's own keys come from the node.
#[derive(Clone, Debug)]
pub struct WitnessPolicy {
    /// The lines of the file that are not about logs.
    lines: String,
    policy: Policy,
}

/// Why a policy file is not one that a log can be run with.
#[derive(Debug)]
#[non_exhaustive]
pub enum WitnessPolicyError {
    /// It is no policy.
    Policy(TlogError),
    /// It is no UTF-8, so it cannot be shown in JSON.
    Text,
    /// It lists another key under this log's name.
    OtherKey(Box<Vkey>),
    /// It names no witness with a URL.
    NoWitness,
    /// The witnesses that have a URL cannot meet the quorum.
    OutOfReach,
    /// A note has no room for so many cosignatures.
    TooMany,
}

impl WitnessPolicy {
    /// Reads a policy file for the log of this name and these keys.
    pub fn parse(file: &[u8], origin: &Origin, keys: &[&Vkey]) -> Result<Self, WitnessPolicyError> {
        let given = Policy::parse(file).map_err(WitnessPolicyError::Policy)?;
        let of_this_log = given.logs().iter().map(|log| log.verifier().vkey());
        let mut of_this_log = of_this_log.filter(|vkey| vkey.name() == origin.key_name());
        if let Some(other) = of_this_log.find(|vkey| !keys.contains(vkey)) {
            return Err(WitnessPolicyError::OtherKey(Box::new(other.clone())));
        }
        let has_url = |name: &PolicyName| {
            given.witnesses().iter().any(|witness| witness.name() == name && witness.url().is_some())
        };
        if !given.witnesses().iter().any(|witness| witness.url().is_some()) {
            return Err(WitnessPolicyError::NoWitness);
        }
        if given.witnesses().len() + keys.len() > MAX_SIGNATURES {
            return Err(WitnessPolicyError::TooMany);
        }
        if !given.quorum().is_met(has_url) {
            return Err(WitnessPolicyError::OutOfReach);
        }
        let text = std::str::from_utf8(file).map_err(|_| WitnessPolicyError::Text)?;
        let keeps = |line: &&str| {
            !matches!(line.split_ascii_whitespace().next(), None | Some("log")) && !line.trim_start().starts_with('#')
        };
        let lines: String = text.lines().filter(keeps).flat_map(|line| [line, "\n"]).collect();
        let logs: Vec<_> = keys.iter().map(|vkey| format!("log {vkey}\n")).collect();
        let policy =
            Policy::parse(format!("{}{lines}", logs.concat()).as_bytes()).map_err(WitnessPolicyError::Policy)?;
        Ok(Self { lines, policy })
    }

    /// The policy, with the keys of this log.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The keys of the witnesses, in their order.
    pub fn vkeys(&self) -> Vec<String> {
        self.policy.witnesses().iter().map(|witness| witness.verifier().vkey().to_string()).collect()
    }

    pub(super) fn lines(&self) -> &str {
        &self.lines
    }
}

impl Node {
    /// The same node, which from now on publishes only what these witnesses have cosigned: somebody has to feed it.
    pub fn with_witnesses(self, witnesses: WitnessPolicy) -> Self {
        Self { witnesses: Some(Arc::new(witnesses)), ..self }
    }

    /// The witnesses, if the log has any.
    pub fn witnesses(&self) -> Option<&WitnessPolicy> {
        self.witnesses.as_deref()
    }

    /// Whether a published checkpoint meets the policy. What was published before the log had witnesses does not.
    pub fn is_witnessed(&self, published: &Published<NodeState>) -> bool {
        let checkpoint = SignedCheckpoint::parse(&published.note).ok();
        let policy = self.witnesses().map(WitnessPolicy::policy);
        checkpoint.zip(policy).is_some_and(|(checkpoint, policy)| policy.verify_checkpoint(&checkpoint).is_ok())
    }

    /// The published checkpoint, as soon as it covers an entry and its witnesses suffice.
    pub async fn witnessed(&self, index: LeafIndex, patience: Duration) -> Option<Arc<Published<NodeState>>> {
        self.witnesses()?;
        let until = Instant::now() + patience;
        let mut changes = self.engine().changes();
        loop {
            let published = self.published().filter(|published| index.get() < published.size.get());
            if let Some(published) = published.filter(|published| self.is_witnessed(published)) {
                return Some(published);
            }
            match timeout_at(until, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }
}

impl fmt::Display for WitnessPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => write!(f, "the policy file: {error}"),
            Self::Text => f.write_str("the policy file is not UTF-8"),
            Self::OtherKey(vkey) => write!(f, "the policy file lists {vkey}, which is no key of this log, under its name"),
            Self::NoWitness => f.write_str(
                "the policy file has no witness with a URL: `witness NAME VKEY URL`; without witnesses leave `policy` out",
            ),
            Self::TooMany => write!(f, "the policy file has more witnesses than a note has room for: {MAX_SIGNATURES}"),
            Self::OutOfReach => f.write_str("the witnesses that have a URL in the policy file cannot meet its quorum"),
        }
    }
}

impl std::error::Error for WitnessPolicyError {}
