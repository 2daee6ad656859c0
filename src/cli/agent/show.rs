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

This is what the node says. What it can prove, `soulchain resolve NAME` fetches and checks.";

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
        ("domains", texts(view.record.get("domains")).join(", ")),
        ("status", view.status.clone()),
        ("verified", if view.verified { "yes" } else { "no" }.into()),
        ("display name", profile("display_name")),
        ("owner", profile("owner")),
        ("description", profile("description")),
        ("capabilities", texts(view.profile.as_ref().and_then(|profile| profile.get("capabilities"))).join(", ")),
        ("links", view.head.seqno.to_string()),
        ("newest link", format!("{} (entry {})", view.head.curr, view.head.index)),
        ("key event", view.head.auth.clone()),
        ("recovery key", if view.record.get("next").is_some() { "set" } else { "none" }.into()),
        ("as of", format!("{} (tree size {})", readable(view.log_time_ms), view.tree_size)),
    ]);
    let keys = view.record.get("keys").and_then(|keys| keys.as_array());
    let rows = keys.into_iter().flatten().map(key_row).collect::<Vec<_>>();
    if !rows.is_empty() {
        out.line("");
        out.table(&["key", "roles", "added at", "retired at", "disowned"], rows);
    }
}

/// The texts of a list.
fn texts(list: Option<&serde_json::Value>) -> Vec<&str> {
    list.and_then(|list| list.as_array()).into_iter().flatten().filter_map(|text| text.as_str()).collect()
}

fn key_row(key: &serde_json::Value) -> Vec<String> {
    let text = |member: &str| match key.get(member) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let disowned = key.get("suspect_from").map(|seqno| format!("from {seqno}")).unwrap_or_default();
    vec![text("kid"), texts(key.get("roles")).join(", "), text("added"), text("revoked"), disowned]
}
