//! `soulchain agent erase`

use clap::Args;
use serde::Serialize;

use crate::cli::args::NodeArgs;
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{KeyArgs, Role};
use crate::cli::output::Output;
use crate::client::now;

const EXAMPLES: &str = "\
Examples:
  soulchain agent erase scout 17
  soulchain agent erase scout 17 --with operator          as the agent's controller

The body and its salt go from the node; the link and its proof stay, and the chain still verifies. There is no way
back. Copies that others made are not reached: backups, mirrors, and whoever has read it.";

/// Flags of `erase`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct EraseArgs {
    /// The agent whose link it is
    agent: String,
    /// Place of the link in its chain
    seqno: u64,
    /// Ask with the admin key of this name [default: the agent itself]
    #[arg(long = "with", value_name = "NAME")]
    with_keys_of: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Serialize)]
struct Erased<'a> {
    identity: &'a str,
    seqno: u64,
    index: u64,
    curr: &'a str,
    erased: bool,
}

pub(super) async fn run(args: EraseArgs, out: &Output) -> CliResult<()> {
    let client = args.node.client()?;
    let owner = args.with_keys_of.as_deref().unwrap_or(&args.agent);
    let keys = args.keys.dir()?.agent_keys(owner, &[Role::Admin], out).await?;
    let signer = keys.iter().next().expect("a key was read");
    let link = client.link(&args.agent, args.seqno).await?;
    let identity = &link.header.identity;
    client.erase_body(identity, args.seqno, signer, now()).await?;
    match client.body(identity, args.seqno, signer, now()).await {
        Err(error) if error.code() == "gone" => {}
        Err(error) => {
            return Err(CliError::from(error).and_hint("the node says that the body is erased; ask again for it"));
        }
        Ok(_) => {
            return Err(CliError::failed("the node says that the body is erased, and still gives it out")
                .hint("tell the operator"));
        }
    }
    let erased = Erased { identity, seqno: args.seqno, index: link.index, curr: &link.curr, erased: true };
    out.result(&erased, |out| {
        out.line(format_args!("{} {}: the body is erased", args.agent, args.seqno));
    });
    out.note("backups, mirrors and whoever has read it may still have it");
    Ok(())
}
