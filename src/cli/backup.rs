//! `soulchain backup`: copies the data directory of a node, which may be running.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::error::{CliError, CliResult};
use super::output::Output;
use super::progress::Bar;
use crate::encoding::hex_encode;
use crate::log::backup;

const EXAMPLES: &str = "\
Examples:
  soulchain backup soulchain-data /mnt/backup/soulchain-2026-11-21
  soulchain serve --data /mnt/backup/soulchain-2026-11-21 --confirm-newest      once nothing later exists";

/// Arguments of `backup`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct BackupArgs {
    /// Data directory of the node, running or not
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the copy goes; must not exist
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Copy the key files too: whoever holds the copy can then sign as this log
    #[arg(long)]
    include_keys: bool,
}

#[derive(Serialize)]
struct Made {
    path: String,
    tree_size: u64,
    root: String,
    published_size: u64,
    keys: bool,
}

/// Makes a copy and says what is in it.
pub(super) fn run(args: &BackupArgs, out: &Output) -> CliResult<ExitCode> {
    let bar = Bar::new("copying", out.is_json());
    let made = backup(&args.dir, &args.to, args.include_keys, &mut |progress| bar.show(progress));
    bar.finish();
    let made = made.map_err(|error| CliError::failed(error.to_string()))?;
    let (path, root) = (args.to.display().to_string(), hex_encode(made.root.as_bytes()));
    let json = Made {
        path: path.clone(),
        tree_size: made.size.get(),
        root: root.clone(),
        published_size: made.published.get(),
        keys: args.include_keys,
    };
    out.result(&json, |out| {
        out.line(format_args!("copied {} entries, root {root}, to {path}", made.size));
        if !args.include_keys {
            let from = args.dir.display();
            out.line(format_args!("without key files: keep those of {from} safe, the log cannot go on without them"));
        }
        out.line(format_args!(
            "It is marked as a copy: `soulchain serve --data {path} --confirm-newest` once nothing later exists"
        ));
    });
    Ok(ExitCode::SUCCESS)
}
