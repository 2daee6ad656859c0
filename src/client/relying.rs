//! A relying party: proofs are asked for, and nothing is shown that the policy does not bear out (formats.md §8).

use std::time::Duration;

use super::error::{ClientError, FalseAnswer};
use super::time::now;
use super::transport::Client;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::Record;
use crate::soul::{Identity, LinkRef, Seqno};
use crate::tlog::Policy;
use crate::verify::{Check, Failure, LinkShown, Request, Shown, Verdict, verify};

/// Whom to ask, and whom to believe.
#[derive(Clone, Copy, Debug)]
pub struct RelyingParty<'a> {
    /// The node that is asked; nothing that it says is believed.
    pub client: &'a Client,
    /// Whom to believe.
    pub policy: &'a Policy,
    /// The log that the questions are about.
    pub origin: &'a str,
    /// The greatest acceptable age of the cosignatures, in seconds.
    pub max_age_seconds: Option<u64>,
}

/// A proof, and what it shows.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The `.tlog-proof` file.
    pub proof: Vec<u8>,
    /// What it shows.
    pub verdict: Verdict,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Question<'a> {
    State(&'a str),
    Link(&'a Identity, Seqno),
}

/// How often a proof is asked for again because it rests on a checkpoint that the policy does not accept yet: the log
/// signs what is newest with its instant key, and publishes it a moment later.
const PATIENCE: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

impl RelyingParty<'_> {
    /// The state of an identity (64 hex digits) or of whoever bears a name, or that nobody does.
    pub async fn state(&self, who: &str) -> Result<Proven, ClientError> {
        self.ask(Question::State(who)).await
    }

    /// The identity that is meant: 64 hex digits are taken at their word, a name is looked up.
    pub async fn identity(&self, who: &str) -> Result<Identity, ClientError> {
        if let Some(identity) = Identity::from_hex(who) {
            return Ok(identity);
        }
        let proven = self.state(who).await?;
        proven.record().map(|record| record.identity).ok_or_else(|| ClientError::Absent(who.into()))
    }

    /// A link of an identity, that it is logged at this place of the chain. Its signer's state is not asked for.
    pub async fn link(&self, identity: &Identity, seqno: Seqno) -> Result<LinkShown, ClientError> {
        let proven = self.ask(Question::Link(identity, seqno)).await?;
        match proven.verdict.shown() {
            Shown::Link(link) if link.identity == *identity && link.header.seqno == seqno => Ok((**link).clone()),
            _ => Err(FalseAnswer::other("a link")),
        }
    }

    /// A link of an identity by its place in the log, which a record names. The node is asked which link that is.
    pub async fn link_at(&self, identity: &Identity, index: LeafIndex) -> Result<LinkShown, ClientError> {
        let entry = self.client.entry(index.get()).await?;
        let seqno =
            entry.link.map(|link| Seqno::new(link.header.seqno)).ok_or_else(|| FalseAnswer::other("an entry"))?;
        let link = self.link(identity, seqno).await?;
        if link.index == index { Ok(link) } else { Err(FalseAnswer::other("a link")) }
    }

    async fn ask(&self, question: Question<'_>) -> Result<Proven, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let proof = match question {
                Question::State(who) => self.client.state_proof(who).await?,
                Question::Link(identity, seqno) => self.client.proof(&identity.to_hex(), seqno.get(), false).await?,
            };
            match self.judge(&proof, question) {
                Ok(verdict) => return Ok(Proven { proof, verdict }),
                Err(failure) if tries < PATIENCE && may_pass_later(&failure) => tokio::time::sleep(PAUSE).await,
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    fn judge(&self, proof: &[u8], question: Question<'_>) -> Result<Verdict, Failure> {
        let who = if let Question::State(who) = question { Some(who) } else { None };
        let identity = who.and_then(Identity::from_hex);
        verify(&Request {
            policy: self.policy,
            proof,
            now_seconds: Some(now().get() / 1000),
            max_age_seconds: self.max_age_seconds,
            name: who.filter(|_| identity.is_none()),
            identity,
            origin: Some(self.origin),
            state_asked: false,
        })
    }
}

impl Proven {
    /// The record, where it is of an identity that is there.
    pub const fn record(&self) -> Option<&Record> {
        match self.verdict.shown() {
            Shown::State(state) => Some(&state.record),
            Shown::Link(_) | Shown::Absent(_) => None,
        }
    }

    /// Size and root of the tree that it rests on: a link may name it as the newest that its signer has seen.
    pub const fn anchor(&self) -> (TreeSize, Hash) {
        let checkpoint = self.verdict.checkpoint().verified().checkpoint();
        (checkpoint.size(), checkpoint.root())
    }
}

/// A link as others refer to it.
impl From<&LinkShown> for LinkRef {
    fn from(link: &LinkShown) -> Self {
        Self { curr: link.curr, seqno: link.header.seqno }
    }
}

const fn may_pass_later(failure: &Failure) -> bool {
    matches!(failure.check, Check::Checkpoint | Check::Quorum)
}
