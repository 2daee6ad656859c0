//! `soulchain agent about`

use clap::Args;

use crate::cli::args::NodeArgs;
use crate::cli::error::CliResult;
use crate::cli::output::Output;
use crate::cli::time::readable;
use crate::client::LinkFilter;
use crate::wire::AboutView;

const EXAMPLES: &str = "\
Examples:
  soulchain agent about scout
  soulchain agent about scout --type notice --limit 100";

/// Flags of `about`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct AboutArgs {
    /// Name or identity
    agent: String,
    /// Only `attest`, `feedback`, `notice` or `receipt`
    #[arg(long = "type", value_name = "TYPE")]
    link_type: Option<String>,
    /// Where the page before ended
    #[arg(long, value_name = "ENTRY")]
    before: Option<u64>,
    /// Most rows, at most 100
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: AboutArgs, out: &Output) -> CliResult<()> {
    let filter = LinkFilter { link_type: args.link_type, before: args.before, limit: Some(args.limit) };
    let page = args.node.client()?.about(&args.agent, &filter).await?;
    out.result(&page, |out| {
        out.table(&["entry", "type", "by", "stands", "issuer's time", "body"], page.links.iter().map(row).collect());
    });
    if let Some(total) = page.total {
        out.note(format_args!("{total} in all"));
    }
    if let Some(before) = page.before {
        out.note(format_args!("more: --before {before}"));
    }
    Ok(())
}

fn row(link: &AboutView) -> Vec<String> {
    let short = || format!("{}…", link.issuer.get(..16).unwrap_or(&link.issuer));
    let by = link.issuer_name.clone().unwrap_or_else(short);
    let stands = match (link.retracted, link.expired) {
        (true, _) => "retracted",
        (false, true) => "expired",
        (false, false) => "yes",
    };
    vec![
        link.index.to_string(),
        link.link_type.clone(),
        link.office.as_ref().map_or(by.clone(), |office| format!("{by} ({office})")),
        stands.to_owned(),
        readable(link.ctime_ms),
        super::links::shortened(&link.body.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_and_whether_it_stands() {
        let mut link = AboutView {
            index: 7,
            issuer: "ab".repeat(32),
            issuer_name: None,
            office: None,
            seqno: 2,
            curr: "cd".repeat(32),
            link_type: "attest".into(),
            outcome: "none".into(),
            ctime_ms: 0,
            body: serde_json::json!({"v": 1}),
            retracted: false,
            expired: false,
        };
        assert_eq!(row(&link)[1..4], ["attest", "abababababababab…", "yes"]);
        (link.issuer_name, link.office, link.expired) = (Some("nell".into()), Some("guardian".into()), true);
        assert_eq!(row(&link)[2..4], ["nell (guardian)", "expired"]);
        link.retracted = true;
        assert_eq!((row(&link)[3].as_str(), row(&link)[5].as_str()), ("retracted", "{\"v\":1}"));
    }
}
