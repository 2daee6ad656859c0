//! `soulchain agent log`

use clap::Args;

use crate::cli::args::NodeArgs;
use crate::cli::error::CliResult;
use crate::cli::output::Output;
use crate::cli::time::readable;
use crate::client::LinkFilter;
use crate::wire::LinkView;

const EXAMPLES: &str = "\
Examples:
  soulchain agent log scout
  soulchain agent log scout --type action --limit 100 --before 250";

/// Flags of `log`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct LogArgs {
    /// Name or identity
    agent: String,
    /// Only links of this type
    #[arg(long = "type", value_name = "TYPE")]
    link_type: Option<String>,
    /// Only links below this seqno
    #[arg(long, value_name = "SEQNO")]
    before: Option<u64>,
    /// Most rows
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: LogArgs, out: &Output) -> CliResult<()> {
    let filter = LinkFilter { link_type: args.link_type, before: args.before, limit: Some(args.limit) };
    let page = args.node.client()?.links(&args.agent, &filter).await?;
    out.result(&page, |out| {
        out.table(
            &["seqno", "entry", "type", "outcome", "signer's time", "body"],
            page.links.iter().map(row).collect(),
        );
    });
    if let Some(before) = page.before {
        out.note(format_args!("more: --before {before}"));
    }
    Ok(())
}

fn row(link: &LinkView) -> Vec<String> {
    let header = &link.header;
    let body = match &link.body {
        Some(body) => shortened(&body.to_string()),
        None if header.body_len > 0 => format!("{} bytes beside the log", header.body_len),
        None => String::new(),
    };
    vec![
        header.seqno.to_string(),
        link.index.to_string(),
        header.link_type.clone(),
        if header.outcome == "none" { String::new() } else { header.outcome.clone() },
        readable(header.ctime_ms),
        body,
    ]
}

pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST { text.into() } else { text.chars().take(MOST).chain(['…']).collect() }
}
