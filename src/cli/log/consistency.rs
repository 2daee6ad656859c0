//! `soulchain log consistency`

use std::path::Path;

use clap::Args;

use crate::cli::args::{NodeArgs, read_file};
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::{Output, mark};
use crate::cli::trust::{Trust, TrustArgs};
use crate::client::{Client, ClientError, FalseAnswer};
use crate::encoding::{b64_decode, b64_encode, parse_decimal};
use crate::hash::Hash;
use crate::merkle::{TreeSize, verify_consistency};

const EXAMPLES: &str = "\
Examples:
  soulchain log consistency today.checkpoint --policy policy.txt    from a checkpoint kept earlier to the published one
  soulchain log consistency old.checkpoint new.checkpoint
  soulchain log consistency 1000                                    of a size: the node's own root of it is shown";

/// Flags of `consistency`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ConsistencyArgs {
    /// Checkpoint file, or a size
    old: String,
    /// Checkpoint file, or a size [default: the published checkpoint]
    new: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// One end of the proof: a size, and its root where a checkpoint says it.
struct End {
    size: u64,
    root: Option<Hash>,
}

pub(super) async fn run(args: ConsistencyArgs, out: &Output) -> CliResult<()> {
    let client = args.node.client()?;
    let trust = Trust::establish(&client, &args.trust).await?;
    let old = End::named(&args.old, &trust)?;
    let new = match &args.new {
        Some(new) => End::named(new, &trust)?,
        None => End::of_checkpoint(&client.checkpoint().await?, &trust)?,
    };
    let (old_root, new_root) = prove(&client, &old, &new).await?;
    let json = serde_json::json!({
        "old": old.size, "old_root": old_root, "old_signed": old.root.is_some(),
        "new": new.size, "new_root": new_root, "new_signed": new.root.is_some(), "rests_on": trust.source(),
    });
    out.result(&json, |out| {
        let (mark, style) = mark(true);
        out.line(format_args!(
            "{style}{mark}{style:#} the log of size {} continues that of size {}",
            new.size, old.size
        ));
        let source = |end: &End| if end.root.is_some() { "signed" } else { "as the node says" };
        out.fields(&[
            ("old root", format!("{old_root} ({})", source(&old))),
            ("new root", format!("{new_root} ({})", source(&new))),
            ("rests on", trust.rests_on().into()),
        ]);
    });
    Ok(())
}

async fn prove(client: &Client, old: &End, new: &End) -> CliResult<(String, String)> {
    if old.size > new.size {
        return Err(CliError::failed(format!(
            "the log of size {} is smaller than the earlier one of {}",
            new.size, old.size
        ))
        .hint("if both checkpoints are signed, the log went back: keep them, they are evidence"));
    }
    let view = client.consistency(old.size, Some(new.size)).await?;
    let old_root = old.root.map_or_else(|| hash(&view.old_root), Ok)?;
    let new_root = new.root.map_or_else(|| hash(&view.new_root), Ok)?;
    let path = view.path.iter().map(|text| hash(text)).collect::<CliResult<Vec<_>>>()?;
    let sizes = (TreeSize::new(old.size), TreeSize::new(new.size));
    verify_consistency(sizes.0, sizes.1, &old_root, &new_root, &path).map_err(|error| {
        CliError::failed(format!("the log of size {} does not continue that of size {}: {error}", new.size, old.size))
            .hint("if both checkpoints are signed, the log was rewritten: keep them, they are evidence")
    })?;
    Ok((b64_encode(old_root.as_bytes()), b64_encode(new_root.as_bytes())))
}

impl End {
    fn named(text: &str, trust: &Trust) -> CliResult<Self> {
        if let Some(size) = parse_decimal(text) {
            return Ok(Self { size, root: None });
        }
        let note = String::from_utf8(read_file(Path::new(text))?);
        Self::of_checkpoint(&note.map_err(|_| CliError::usage(format!("{text}: not a checkpoint")))?, trust)
    }

    fn of_checkpoint(note: &str, trust: &Trust) -> CliResult<Self> {
        let checkpoint = trust.check(note)?;
        Ok(Self { size: checkpoint.claim().size().get(), root: Some(checkpoint.claim().root()) })
    }
}

fn hash(text: &str) -> CliResult<Hash> {
    let hash = b64_decode(text).and_then(|bytes| bytes.try_into().ok()).map(Hash::from_bytes);
    let why = || FalseAnswer::Form { what: "path", why: "not base64 of hashes".into() };
    hash.ok_or_else(|| ClientError::False(why()).into())
}
