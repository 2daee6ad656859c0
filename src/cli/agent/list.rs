//! `soulchain agent list`

use clap::Args;

use crate::cli::args::NodeArgs;
use crate::cli::error::CliResult;
use crate::cli::output::Output;
use crate::client::AgentFilter;
use crate::wire::AgentRow;

const EXAMPLES: &str = "\
Examples:
  soulchain agent list
  soulchain agent list --capability web_search --status active --limit 100";

/// Flags of `list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ListArgs {
    /// Names that begin so
    #[arg(long)]
    name: Option<String>,
    /// `active`, `suspended` or `revoked`
    #[arg(long)]
    status: Option<String>,
    /// As the profile says
    #[arg(long)]
    owner: Option<String>,
    /// One that the profile lists
    #[arg(long)]
    capability: Option<String>,
    /// Only agents that a registrar has verified
    #[arg(long)]
    verified: bool,
    /// Most rows
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: ListArgs, out: &Output) -> CliResult<()> {
    let filter = AgentFilter {
        name: args.name,
        status: args.status,
        owner: args.owner,
        capability: args.capability,
        verified: args.verified.then_some(true),
        limit: Some(args.limit),
        cursor: args.cursor,
    };
    let page = args.node.client()?.agents(&filter).await?;
    out.result(&page, |out| {
        out.table(
            &["name", "identity", "status", "links", "owner", "capabilities"],
            page.agents.iter().map(row).collect(),
        );
    });
    if let Some(total) = page.total {
        out.note(format_args!("{total} in all"));
    }
    if let Some(cursor) = &page.cursor {
        out.note(format_args!("more: --cursor {cursor}"));
    }
    Ok(())
}

fn row(agent: &AgentRow) -> Vec<String> {
    let short = agent.identity.get(..16).unwrap_or(&agent.identity);
    vec![
        agent.name.clone().unwrap_or_default(),
        format!("{short}…"),
        format!("{}{}", agent.status, if agent.verified { ", verified" } else { "" }),
        agent.seqno.to_string(),
        agent.owner.clone().unwrap_or_default(),
        agent.capabilities.join(", "),
    ]
}
