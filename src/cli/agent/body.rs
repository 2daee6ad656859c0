//! `soulchain agent body`

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{NodeArgs, write_file};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{KeyArgs, Role};
use crate::cli::output::Output;
use crate::client::now;
use crate::soul::{Salt, commit_salted};

const EXAMPLES: &str = "\
Examples:
  soulchain agent body scout 17
  soulchain agent body scout 17 --out body.json
  soulchain agent body scout 17 --with operator          as the agent's controller

The body is shown only if it is the one that the link commits to.";

/// Flags of `body`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct BodyArgs {
    /// The agent whose link it is
    agent: String,
    /// Place of the link in its chain
    seqno: u64,
    /// Ask with the keys of this name [default: the agent itself]
    #[arg(long = "with", value_name = "NAME")]
    with_keys_of: Option<String>,
    /// Write the body to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) async fn run(args: BodyArgs, out: &Output) -> CliResult<()> {
    let client = args.node.client()?;
    let owner = args.with_keys_of.as_deref().unwrap_or(&args.agent);
    let dir = args.keys.dir()?;
    let role = if dir.path(owner, Role::Act).exists() { Role::Act } else { Role::Admin };
    let keys = dir.agent_keys(owner, &[role], out).await?;
    let signer = keys.iter().next().expect("a key was read");
    let link = client.link(&args.agent, args.seqno).await?;
    let body = client.body(&link.header.identity, args.seqno, signer, now()).await?;
    let salt = Salt::from_hex(&body.salt);
    let commit = salt.map(|salt| commit_salted(&salt, body.body.as_bytes()).to_hex());
    if commit.as_deref() != Some(&link.header.body_commit) {
        return Err(CliError::failed("the node gave a body other than the one that the link commits to")
            .hint("keep the answer: the log's copy was changed or mixed up"));
    }
    if let Some(path) = &args.out {
        write_file(path, body.body.as_bytes())?;
    }
    out.result(&body, |out| {
        if args.out.is_none() {
            out.line(&body.body);
        }
    });
    out.note("it is the body that the link commits to");
    Ok(())
}
