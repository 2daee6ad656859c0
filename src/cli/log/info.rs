//! `soulchain log info`

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{NodeArgs, write_file};
use crate::cli::error::CliResult;
use crate::cli::output::Output;
use crate::cli::time::readable;
use crate::cli::trust::{Trust, TrustArgs};
use crate::encoding::b64_encode;

const EXAMPLES: &str = "\
Examples:
  soulchain log info --policy policy.txt
  soulchain log info --save today.checkpoint       keep it: `log consistency today.checkpoint` will ask for it

The checkpoint's signatures are checked before anything is shown.";

/// Flags of `info`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct InfoArgs {
    /// Write the published checkpoint to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: InfoArgs, out: &Output) -> CliResult<()> {
    let client = args.node.client()?;
    let trust = Trust::establish(&client, &args.trust).await?;
    let checkpoint = trust.check(&client.checkpoint().await?)?;
    if let Some(path) = &args.save {
        write_file(path, checkpoint.to_string().as_bytes())?;
    }
    let (view, claim) = (&trust.view, checkpoint.claim());
    let (size, root) = (claim.size().get(), b64_encode(claim.root().as_bytes()));
    let json = serde_json::json!({
        "log": view, "checkpoint": checkpoint.to_string(), "size": size, "root": root, "rests_on": trust.source(),
    });
    out.result(&json, |out| {
        out.fields(&[
            ("origin", view.origin.clone()),
            ("log id", view.log_id.clone()),
            ("log key", view.log_vkey.clone()),
            ("instant key", view.instant_vkey.clone()),
            ("published", format!("size {size}, root {root}, signatures checked")),
            ("rests on", trust.rests_on().into()),
            (
                "the node says",
                format!("{} entries, {} agents, at {}", view.tree_size, view.identities, readable(view.log_time_ms)),
            ),
        ]);
    });
    Ok(())
}
