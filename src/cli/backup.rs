//! `soulchain backup`: copies the data directory of a node, which may be running.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::progress::Bar;
use crate::encoding::hex_encode;
use crate::log::backup;

/// Arguments of `backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Data directory of the node, running or not
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the copy goes; must not exist
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Copy the key files too: whoever holds the copy can then sign as this log
    #[arg(long)]
    include_keys: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
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
pub fn run(args: &BackupArgs) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let bar = Bar::new("copying", args.json);
    let made = backup(&args.dir, &args.to, args.include_keys, &mut |progress| bar.show(progress))?;
    bar.finish();
    let mut out = io::stdout().lock();
    let (path, root) = (args.to.display().to_string(), hex_encode(made.root.as_bytes()));
    if args.json {
        let (tree_size, published_size) = (made.size.get(), made.published.get());
        let made = Made { path, tree_size, root, published_size, keys: args.include_keys };
        writeln!(out, "{}", serde_json::to_string(&made)?)?;
        return Ok(true);
    }
    writeln!(out, "copied {} entries, root {root}, to {path}", made.size)?;
    if !args.include_keys {
        writeln!(
            out,
            "without key files: keep those of {} safe, the log cannot go on without them",
            args.dir.display()
        )?;
    }
    writeln!(
        out,
        "It is marked as a copy: `soulchain serve --data {path} --confirm-newest` once nothing later exists. Bodies that \
         are erased from now on have to be erased in it too"
    )?;
    Ok(true)
}
