//! `soulchain agent register`

use clap::Args;

use super::profile::ProfileArgs;
use crate::cli::args::{NodeArgs, ProofArgs, logged_json, tell_logged};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{Founding, KeyDir, NewKeyArgs};
use crate::cli::output::Output;
use crate::client::{Agent, AgentKeys, Client, ClientError, KnownLog, Logged, NewAgent, ProofWanted, now};
use crate::soul::Identity;

const EXAMPLES: &str = "\
Examples:
  SOULCHAIN_PASSPHRASE=… soulchain agent register scout
  soulchain agent register scout --unencrypted --display-name 'Scout' --capability web_search

Writes three key files: <NAME>-act.key signs actions, <NAME>-admin.key changes keys and profile, and
<NAME>-next.key takes the agent back if these are lost or stolen: move it to a safe place.
A name is held for ever. Registering again with the same keys is answered with what is there.";

/// Flags of `register`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct RegisterArgs {
    /// The handle to claim: 1 to 63 of a-z, 0-9, `-` and `_`
    name: String,
    /// Identity of whoever operates the agent
    #[arg(long, value_name = "ID")]
    controller: Option<String>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    keys: NewKeyArgs,
    #[command(flatten)]
    proof: ProofArgs,
}

pub(super) async fn run(args: RegisterArgs, out: &Output) -> CliResult<()> {
    let client = args.node.client()?;
    let log = KnownLog::ask(&client).await?;
    let dir = args.keys.dir()?;
    let controller = args.controller.as_deref().map(identity).transpose()?;
    let wanted = args.proof.wanted();
    let (mut agent, logged) = ensure_registered(&client, &log, &dir, &args.name, controller, wanted, out).await?;
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
    }
    if let Some(profile) = args.profile.profile()? {
        agent.set_profile(&profile, wanted, now()).await?;
        out.note("profile set");
    }
    Ok(())
}

/// An agent of this name with the keys of the directory: made and registered, if it is not there yet.
pub(in crate::cli) async fn ensure_registered(
    client: &Client,
    log: &KnownLog,
    dir: &KeyDir,
    name: &str,
    controller: Option<Identity>,
    proof: ProofWanted,
    out: &Output,
) -> CliResult<(Agent, Option<Logged>)> {
    let Founding { admin, act, next, created } = dir.founding(name, out).await?;
    if !created {
        let keys = AgentKeys { act: Some(act.clone()), admin: Some(admin.clone()) };
        match Agent::open(client, log, name, keys).await {
            Ok(agent) => return Ok((agent, None)),
            Err(ClientError::KeyNotListed { .. }) => return Err(taken(name)),
            Err(error) if error.code() == "not_found" || error.code() == "unknown_identity" => {}
            Err(error) => return Err(error.into()),
        }
    }
    let new = NewAgent { name: Some(name.into()), admin, act, next: Some(next), controller };
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

fn identity(text: &str) -> CliResult<Identity> {
    Identity::from_hex(text).ok_or_else(|| CliError::usage(format!("`{text}` is not an identity: 64 hex digits")))
}
