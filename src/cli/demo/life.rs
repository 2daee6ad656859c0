//! The life of an identity: a key that is stolen and rotated away, what holds after that, and the end of an agent.
//!
//! Each verdict rests on a proof that is kept, and on the policy.

use super::witnesses::settled;
use super::{Stage, act, expect, step};
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::mark;
use crate::cli::verify::{judge, tell};
use crate::client::{Agent, AgentKeys, KeyChange, KeyEvent, Logged, ProofWanted, RelyingParty, Signer, now};
use crate::keyfile::KeyFile;
use crate::registry::{Record, Status};
use crate::soul::{Identity, Reason, Seqno};
use crate::verify::{Check, Shown};

/// An agent, and the keys that its owner holds.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) name: &'static str,
    pub(super) agent: Agent,
    pub(super) keys: AgentKeys,
}

/// What whoever has the copy of a key does with it.
const THEFTS: [&[&str]; 2] = [&["echo", "pay 900 to the bearer"], &["echo", "and 900 more"]];

/// An act key is stolen. Its owner rotates it away, and disowns what the copy has signed. Gives the new key.
pub(super) async fn theft(stage: &Stage<'_>, owner: &Owned, honest: &Logged) -> CliResult<Signer> {
    let (out, name) = (stage.out, owner.name);
    step(out, 8, &format!("{name}'s act key is stolen; {name} rotates it away and disowns what the thief signed"));
    let before = stage.proof(owner, honest.link().header().seqno, "before").await?;
    let copy = AgentKeys { act: owner.keys.act.clone(), admin: None };
    let mut thief = Agent::open(stage.client, stage.log, name, copy).await?;
    let mut stolen = Vec::new();
    for command in THEFTS {
        stolen.push(act(&mut thief, ("thief", command), ProofWanted::Log, out).await?);
    }
    let first = stolen[0].link().header().seqno;
    let fresh = KeyFile::generate()?;
    let fresh = Signer::from(&fresh);
    let new = AgentKeys { act: Some(fresh.clone()), admin: None };
    let rotated = stage.change(owner, KeyChange::Rotate { new, next: None, custodian: None }, Some(first)).await?;
    out.line(format_args!("  {name:8} rotates its act key, suspect_from {first}, entry {}", rotated.index()));

    step(out, 9, "offline again: what was done before the theft holds, what the thief signed does not");
    let after = stage.proof(owner, honest.link().header().seqno, "after").await?;
    for (which, proof) in [("old", &before), ("new", &after)] {
        expect(judge(stage.policy, proof, None).result.is_ok(), "an honest action was refused")?;
        let ((good, style), link) = (mark(true), honest.link().curr());
        out.line(format_args!("{style}{good}{style:#} the {which} proof of action {link} holds"));
    }
    let proof = stage.proof(owner, first, "after").await?;
    let judged = judge(stage.policy, &proof, None);
    tell(out, &judged);
    let disputed = judged.result.as_ref().is_err_and(|failure| failure.check == Check::Disputed);
    expect(disputed, "what a thief signed was not disputed")?;
    Ok(fresh)
}

/// An agent ends, and whoever asks for its state sees that.
pub(super) async fn end(stage: &Stage<'_>, owner: &Owned) -> CliResult<()> {
    let (out, name) = (stage.out, owner.name);
    step(out, 10, &format!("{name} is revoked, and a fresh state proof says so offline"));
    let reason = Reason::CessationOfOperation;
    let revoked = stage.change(owner, KeyChange::Revoke { reason, by_next: false }, None).await?;
    out.line(format_args!("  {name:8} revoke_agent, cessation_of_operation, entry {}", revoked.index()));
    let proof = stage.relying().state(name).await?.proof;
    stage.keep(&format!("{name}-state.tlog-proof"), &proof)?;
    let judged = judge(stage.policy, &proof, Some(name));
    tell(out, &judged);
    let ended = judged.result.as_ref().is_ok_and(|verdict| match verdict.shown() {
        Shown::State(state) => state.record.standing.status == Status::Revoked,
        Shown::Link(_) | Shown::Absent(_) => false,
    });
    expect(ended, "the state proof does not show that the agent was revoked")
}

impl Stage<'_> {
    pub(super) fn relying(&self) -> RelyingParty<'_> {
        let origin = self.log.origin().as_str();
        RelyingParty { client: self.client, policy: self.policy, origin, max_age_seconds: None }
    }

    /// Keeps the proof of a link, with its signer's state as of now, before or after the theft.
    async fn proof(&self, owner: &Owned, seqno: Seqno, when: &str) -> CliResult<Vec<u8>> {
        settled(self.client).await?;
        let proof = self.client.proof(&owner.agent.identity().to_hex(), seqno.get(), true).await?;
        self.keep(&format!("{}-{seqno}-{when}.tlog-proof", owner.name), &proof)?;
        Ok(proof)
    }

    /// Appends a key event, made from the record that a state proof shows.
    async fn change(&self, owner: &Owned, change: KeyChange, suspect_from: Option<Seqno>) -> CliResult<Logged> {
        let record = self.record(owner.agent.identity()).await?;
        let signer = owner.keys.admin.clone().expect("an owner has all keys");
        let event = KeyEvent { change, signer, suspect_from }.sign(self.log.id(), &record, None, now())?;
        let mut agent = Agent::of_record(self.client, self.log, &record, AgentKeys::default());
        let logged = agent.send(vec![event], ProofWanted::Log).await?;
        Ok(logged.into_iter().next().expect("one for each link that was sent"))
    }

    async fn record(&self, identity: Identity) -> CliResult<Record> {
        let proven = self.relying().state(&identity.to_hex()).await?;
        proven.record().cloned().ok_or_else(|| CliError::failed("the node knows no such agent"))
    }
}
