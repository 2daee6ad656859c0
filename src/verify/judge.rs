//! The judgement as a whole: which checks a proof is put to, and in which order.

use super::check::{Check, Passed};
use super::extra::Extra;
use super::failure::{Failure, Why};
use super::link::judge_link;
use super::proof::ReadProof;
use super::state::judge_state;
use super::tree::Tree;
use super::verdict::{Shown, Verdict};
use crate::soul::Identity;
use crate::tlog::{AcceptedCheckpoint, Policy, Timestamp, VerifyError};

/// How far ahead of the verifier's clock a cosignature may be that counts for an age.
pub const MAX_AHEAD_SECONDS: u64 = 5 * 60;

/// A proof, and what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whom to believe.
    pub policy: &'a Policy,
    /// The bytes of a `.tlog-proof` file.
    pub proof: &'a [u8],
    /// The verifier's clock, seconds since the epoch; looked at where an age is asked for.
    pub now_seconds: Option<u64>,
    /// The greatest age of the cosignatures that meet the quorum; needs `now_seconds`.
    pub max_age_seconds: Option<u64>,
    /// The handle or domain name that is asked about.
    pub name: Option<&'a str>,
    /// The identity that is asked about.
    pub identity: Option<Identity>,
    /// The log that is asked about; has to be said for a name, and for absence, where the policy has logs of several
    /// origins.
    pub origin: Option<&'a str>,
    /// Whether a link proof without the signer's state is refused.
    pub state_asked: bool,
}

impl<'a> Request<'a> {
    /// Whether this policy bears out this proof, and nothing asked besides.
    pub const fn new(policy: &'a Policy, proof: &'a [u8]) -> Self {
        Self {
            policy,
            proof,
            now_seconds: None,
            max_age_seconds: None,
            name: None,
            identity: None,
            origin: None,
            state_asked: false,
        }
    }
}

/// Judges a proof.
pub fn verify(request: &Request<'_>) -> Result<Verdict, Failure> {
    let mut steps = Steps::default();
    match judge(request, &mut steps) {
        Ok((accepted, as_of, shown)) => Ok(Verdict { accepted, as_of, shown, passed: steps.passed }),
        Err(why) => Err(Failure { check: why.check(), why, passed: steps.passed }),
    }
}

type Judged = (AcceptedCheckpoint, Option<Timestamp>, Shown);

fn judge(request: &Request<'_>, steps: &mut Steps) -> Result<Judged, Why> {
    let proof = ReadProof::read(request)?;
    steps.pass(Check::Format, proof.describe());
    let accepted = accept(request, &proof, steps)?;
    let as_of = request.policy.quorum().as_of(accepted.cosigned());
    let tree = Tree::of(&accepted);
    let shown = match proof.extra() {
        Extra::Link(extra) => Shown::Link(Box::new(judge_link(&proof, extra, &tree, steps)?)),
        Extra::State(part) => judge_state(request, &proof, part, &tree, steps)?,
    };
    Ok((accepted, as_of, shown))
}

/// The checks `checkpoint`, `quorum` and `age`.
fn accept(request: &Request<'_>, proof: &ReadProof, steps: &mut Steps) -> Result<AcceptedCheckpoint, Why> {
    let signed = proof.file().checkpoint();
    let origin = signed.claim().origin().as_str();
    if request.origin.is_some_and(|asked| asked != origin) {
        return Err(Why::OtherLog { origin: origin.to_owned() });
    }
    let accepted = match request.policy.verify_checkpoint(signed) {
        Err(error) if error != VerifyError::QuorumNotMet => return Err(Why::Checkpoint(error)),
        judged => {
            steps.pass(Check::Checkpoint, format!("{origin} signed a tree of {} entries", signed.claim().size()));
            judged.map_err(|_| Why::Quorum)?
        }
    };
    steps.pass(Check::Quorum, quorum_line(request.policy, &accepted));
    if let Some(max) = request.max_age_seconds {
        check_age(request, &accepted, max)?;
        steps.pass(Check::Age, format!("by a quorum within the last {max} seconds"));
    }
    Ok(accepted)
}

fn check_age(request: &Request<'_>, accepted: &AcceptedCheckpoint, max: u64) -> Result<(), Why> {
    let now = request.now_seconds.ok_or(Why::NoClock)?;
    let span = now.saturating_sub(max)..=now.saturating_add(MAX_AHEAD_SECONDS);
    let met = request.policy.quorum().is_met_within(accepted.cosigned(), &span);
    if met { Ok(()) } else { Err(Why::Age { max }) }
}

fn quorum_line(policy: &Policy, accepted: &AcceptedCheckpoint) -> String {
    if policy.quorum().is_none() {
        return "the policy asks for no witness".to_owned();
    }
    let mut names = Vec::new();
    for name in accepted.cosigned().iter().map(|cosigned| cosigned.witness.to_string()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!("cosigned by {}", names.join(", "))
}

/// The checks that held so far.
#[derive(Default)]
pub(super) struct Steps {
    passed: Vec<Passed>,
}

impl Steps {
    pub(super) fn pass(&mut self, check: Check, line: impl Into<String>) {
        self.passed.push(Passed { check, line: line.into() });
    }
}
