//! `soulchain agent show`

use clap::Args;

use crate::cli::args::NodeArgs;
use crate::cli::error::CliResult;
use crate::cli::output::Output;
use crate::cli::time::readable;
use crate::wire::AgentView;

const EXAMPLES: &str = "\
Examples:
  soulchain agent show scout
  soulchain agent show 6f1e… --json

This is what the node says. What it can prove, `soulchain log proof --agent NAME --seqno N` fetches and checks.";

/// Flags of `show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ShowArgs {
    /// Name or identity
    agent: String,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: ShowArgs, out: &Output) -> CliResult<()> {
    let view = args.node.client()?.agent(&args.agent).await?;
    out.result(&view, |out| show(out, &view));
    Ok(())
}

fn show(out: &Output, view: &AgentView) {
    let profile = |member: &str| {
        let text = view.profile.as_ref().and_then(|profile| profile.get(member)).and_then(|text| text.as_str());
        text.unwrap_or_default().to_owned()
    };
    out.fields(&[
        ("identity", view.identity.clone()),
        ("name", view.name.clone().unwrap_or_default()),
        ("status", view.status.clone()),
        ("verified", if view.verified { "yes" } else { "no" }.into()),
        ("display name", profile("display_name")),
        ("owner", profile("owner")),
        ("description", profile("description")),
        ("capabilities", capabilities(view)),
        ("links", view.head.seqno.to_string()),
        ("newest link", format!("{} (entry {})", view.head.curr, view.head.index)),
        ("as of", format!("{} (tree size {})", readable(view.log_time_ms), view.tree_size)),
    ]);
    let keys = view.record.get("keys").and_then(|keys| keys.as_array());
    let rows = keys.into_iter().flatten().map(key_row).collect::<Vec<_>>();
    if !rows.is_empty() {
        out.line("");
        out.table(&["key", "roles", "added at", "retired at"], rows);
    }
}

fn capabilities(view: &AgentView) -> String {
    let list = view.profile.as_ref().and_then(|profile| profile.get("capabilities")).and_then(|list| list.as_array());
    list.into_iter().flatten().filter_map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn key_row(key: &serde_json::Value) -> Vec<String> {
    let text = |member: &str| match key.get(member) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let roles = key.get("roles").and_then(|roles| roles.as_array()).into_iter().flatten();
    let roles: Vec<_> = roles.filter_map(|role| role.as_str()).collect();
    vec![text("kid"), roles.join(", "), text("added"), text("revoked")]
}
