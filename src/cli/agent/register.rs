//! `soulchain agent register`

use clap::Args;

use super::key_change::hint_recovery_key;
use super::profile::ProfileArgs;
use crate::cli::args::{NodeArgs, ProofArgs, logged_json, tell_logged};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{Founding, KeyDir, NewKeyArgs};
use crate::cli::output::Output;
use crate::cli::trust::{Trust, TrustArgs};
use crate::client::{
    Agent, AgentKeys, Client, ClientError, KnownLog, Logged, NewAgent, ProofWanted, RelyingParty, now,
};
use crate::soul::{Guardians, Identity};

const EXAMPLES: &str = "\
Examples:
  SOULCHAIN_PASSPHRASE=… soulchain agent register scout
  soulchain agent register scout --unencrypted --display-name 'Scout' --capability web_search
  soulchain agent register scout --controller acme --guardian alice --guardian bob --threshold 1

Writes three key files: <NAME>-act.key signs actions, <NAME>-admin.key changes keys and profile, and
<NAME>-next.key takes the agent back if these are lost or stolen: move it to a safe place.
A name is held for ever. Registering again with the same keys is answered with what is there.";

/// Flags of `register`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct RegisterArgs {
    /// The handle to claim: 1 to 63 of a-z, 0-9, `-` and `_`
    name: String,
    /// Make no recovery key: keys that are lost or stolen are so for good
    #[arg(long)]
    no_recovery: bool,
    /// An agent that may help to suspend or revoke this one, by name or identity; may be given often; for ever
    #[arg(long = "guardian", value_name = "AGENT")]
    guardians: Vec<String>,
    /// How many guardians it takes to revoke [default: all]
    #[arg(long, value_name = "M", requires = "guardians")]
    threshold: Option<u64>,
    /// Whoever operates the agent, by name or identity
    #[arg(long, value_name = "AGENT")]
    controller: Option<String>,
    /// Whoever holds the agent's keys, if not the agent itself, by name or identity
    #[arg(long, value_name = "AGENT")]
    custodian: Option<String>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    keys: NewKeyArgs,
    #[command(flatten)]
    proof: ProofArgs,
}

/// What an agent is founded with beside its keys.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Founders {
    no_recovery: bool,
    guardians: Option<Guardians>,
    controller: Option<Identity>,
    custodian: Option<Identity>,
}

pub(super) async fn run(args: RegisterArgs, out: &Output) -> CliResult<()> {
    let client = args.node.client()?;
    let trust = Trust::establish(&client, &args.trust).await?;
    let dir = args.keys.dir()?;
    let founders = args.founders(&trust.relying(&client, None)).await?;
    let wanted = args.proof.wanted();
    let (mut agent, logged) = ensure_registered(&client, &trust.log, &dir, &args.name, &founders, wanted, out).await?;
    let json = serde_json::json!({
        "identity": agent.identity().to_hex(),
        "name": args.name,
        "registered": logged.is_some(),
        "link": logged.as_ref().map(logged_json),
    });
    out.result(&json, |out| match &logged {
        Some(logged) => {
            tell_logged(out, &format!("registered {}", args.name), logged);
            out.fields(&[("identity", agent.identity().to_hex())]);
        }
        None => out.line(format_args!("{} is registered already, with these keys: {}", args.name, agent.identity())),
    });
    if let Some(logged) = &logged {
        args.proof.keep(&mut agent, logged, out).await?;
        if !args.no_recovery {
            hint_recovery_key(&dir, &args.name, out);
        }
    }
    if let Some(profile) = args.profile.profile()? {
        agent.set_profile(&profile, wanted, now()).await?;
        out.note("profile set");
    }
    Ok(())
}

impl RegisterArgs {
    async fn founders(&self, log: &RelyingParty<'_>) -> CliResult<Founders> {
        let mut ids = Vec::with_capacity(self.guardians.len());
        for guardian in &self.guardians {
            ids.push(log.identity(guardian).await?);
        }
        ids.sort();
        let threshold = self.threshold.unwrap_or(ids.len() as u64);
        let guardians = (!ids.is_empty()).then_some(Guardians { ids, threshold });
        let (mut controller, mut custodian) = (None, None);
        for (who, id) in [(&self.controller, &mut controller), (&self.custodian, &mut custodian)] {
            if let Some(who) = who {
                *id = Some(log.identity(who).await?);
            }
        }
        Ok(Founders { no_recovery: self.no_recovery, guardians, controller, custodian })
    }
}

/// An agent of this name with the keys of the directory: made and registered, if it is not there yet.
pub(in crate::cli) async fn ensure_registered(
    client: &Client,
    log: &KnownLog,
    dir: &KeyDir,
    name: &str,
    founders: &Founders,
    proof: ProofWanted,
    out: &Output,
) -> CliResult<(Agent, Option<Logged>)> {
    let Founding { admin, act, next, created } = dir.founding(name, !founders.no_recovery, out).await?;
    if !created {
        let keys = AgentKeys { act: Some(act.clone()), admin: Some(admin.clone()) };
        match Agent::open(client, log, name, keys).await {
            Ok(agent) => return Ok((agent, None)),
            Err(ClientError::KeyNotListed { .. }) => return Err(taken(name)),
            Err(error) if error.code() == "not_found" || error.code() == "unknown_identity" => {}
            Err(error) => return Err(error.into()),
        }
    }
    if next.is_none() && !founders.no_recovery {
        return Err(CliError::usage(format!("the recovery key of `{name}` is missing, its other keys are not"))
            .hint("put it back until the agent is registered, or say --no-recovery"));
    }
    let Founders { guardians, controller, custodian, .. } = founders.clone();
    let new = NewAgent { name: Some(name.into()), admin, act, next, guardians, controller, custodian };
    match new.register(client, log, proof, now()).await {
        Ok((agent, logged)) => Ok((agent, Some(logged))),
        Err(error) if error.code() == "name_taken" => Err(taken(name)),
        Err(error) => Err(error.into()),
    }
}

fn taken(name: &str) -> CliError {
    CliError::failed(format!("the name `{name}` is held by another agent"))
        .hint("names are held for ever: choose another one, or use the directory with the keys of this agent")
}
