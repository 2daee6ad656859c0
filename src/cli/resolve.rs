//! `soulchain resolve`: who bears a name, or what an identity is, proven before it is shown.

use std::process::ExitCode;

use clap::Args;

use super::error::{CliError, CliResult};
use super::output::Output;
use super::trust::{AskArgs, UNPROVEN_HINT};
use super::verify::{Judged, tell};
use crate::client::ClientError;

const EXAMPLES: &str = "\
Examples:
  soulchain resolve scout --policy policy.txt
  soulchain resolve scout.example.com --policy policy.txt --max-age 3600
  soulchain resolve 6f1e… --policy policy.txt --out scout.tlog-proof

Fetches a proof of the state and judges it by the policy. That nobody bears the name is proven in the same way. Status and
`verified` are shown, not judged. Take the policy from elsewhere than from the log.";

/// Flags of `resolve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResolveArgs {
    /// A handle, a domain name, or an identity in hex
    who: String,
    /// Greatest acceptable age of the cosignatures
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) async fn run(args: ResolveArgs, out: &Output) -> CliResult<ExitCode> {
    let (client, trust) = args.ask.log().await?;
    let (proof, judged) = match trust.relying(&client, args.max_age).state(&args.who).await {
        Ok(proven) => (Some(proven.proof), Judged { result: Ok(proven.verdict) }),
        Err(ClientError::Unproven(failure)) => (None, Judged { result: Err(*failure) }),
        Err(error) => return Err(error.into()),
    };
    let mut json = judged.json();
    json["rests_on"] = trust.source().into();
    out.result(&json, |out| {
        tell(out, &judged);
        out.fields(&[("rests on", trust.rests_on().into())]);
    });
    let Some(proof) = proof else {
        return Err(CliError::failed(format!("what the node says of `{}` does not hold", args.who)).hint(UNPROVEN_HINT));
    };
    args.ask.keep(&proof, out)?;
    Ok(ExitCode::SUCCESS)
}
