//! `soulchain resolve`: who bears a name, or what an identity is, proven before it is shown.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::args::{NodeArgs, write_file};
use super::error::{CliError, CliResult};
use super::output::Output;
use super::trust::{Trust, TrustArgs};
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
    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) async fn run(args: ResolveArgs, out: &Output) -> CliResult<ExitCode> {
    let client = args.node.client()?;
    let trust = Trust::establish(&client, &args.trust).await?;
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
        return Err(CliError::failed(format!("what the node says of `{}` does not hold", args.who))
            .hint("a proof under the instant key asks for a policy that lists that key, or for a little patience"));
    };
    if let Some(path) = &args.out {
        write_file(path, &proof)?;
        out.note(format_args!("proof written to {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
