//! `soulchain agent act`

use clap::Args;

use super::AppendArgs;
use crate::cli::args::{OutcomeArg, logged_json, tell_logged, text_or_file};
use crate::cli::error::CliResult;
use crate::cli::json;
use crate::cli::key_dir::Role;
use crate::cli::output::Output;
use crate::client::{Action, now};

const EXAMPLES: &str = "\
Examples:
  soulchain agent act scout web_search --input '{\"q\":\"weather\"}' --outcome success
  soulchain agent act scout write_file --resource file:///tmp/a.txt --input @a.txt --proof act.tlog-proof
  soulchain agent act scout note --body '{\"ticket\":17}' --public

What was done is kept beside the log under a salted commitment and can be erased; with --public it is part of the
entry, for ever. Texts of any length and form are taken as they are; what does not fit goes by its SHA-256.";

/// Flags of `act`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ActArgs {
    /// The agent
    name: String,
    /// What was done: the name of a tool or an operation
    action: String,
    /// On what
    #[arg(long, value_name = "TEXT")]
    resource: Option<String>,
    /// What the tool was given, as text or @FILE
    #[arg(long, value_name = "TEXT")]
    input: Option<String>,
    /// What the tool gave, as text or @FILE
    #[arg(long, value_name = "TEXT")]
    output: Option<String>,
    /// How it ended
    #[arg(long, value_enum, default_value = "none")]
    outcome: OutcomeArg,
    /// Further members of the body, as a JSON object
    #[arg(long, value_name = "JSON")]
    body: Option<String>,
    /// Make the body part of the entry, public for ever
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    append: AppendArgs,
}

pub(super) async fn run(args: ActArgs, out: &Output) -> CliResult<()> {
    let action = args.action()?;
    let mut agent = args.append.open(&args.name, &[Role::Act], out).await?;
    let logged = agent.act(&action, args.append.wanted(), now()).await?;
    out.result(&logged_json(&logged), |out| tell_logged(out, &args.action, &logged));
    args.append.keep_proof(&mut agent, &logged, out).await
}

impl ActArgs {
    fn action(&self) -> CliResult<Action> {
        let further = self.body.as_deref().map(json::object).transpose()?.unwrap_or_default();
        let mut action = Action::of_body(further).with("action", self.action.as_str()).outcome(self.outcome.into());
        for (member, text) in [("input", &self.input), ("output", &self.output)] {
            if let Some(text) = text {
                action = action.with(member, text_or_file(text)?);
            }
        }
        if let Some(resource) = &self.resource {
            action = action.with("resource", resource.as_str());
        }
        let action = if self.public { action.public() } else { action };
        Ok(action.fitted())
    }
}
