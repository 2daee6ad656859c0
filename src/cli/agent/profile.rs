//! `soulchain agent profile`

use clap::Args;

use super::AppendArgs;
use crate::cli::args::{logged_json, tell_logged};
use crate::cli::error::{CliError, CliResult};
use crate::cli::json;
use crate::cli::key_dir::Role;
use crate::cli::output::Output;
use crate::client::now;
use crate::encoding::hex_decode_32;
use crate::soul::jcs::Value;
use crate::soul::{Endpoint, Profile};

const EXAMPLES: &str = "\
Examples:
  soulchain agent profile scout --display-name 'Scout' --owner 'Example Ltd' --capability web_search --capability summarise
  soulchain agent profile scout --endpoint a2a=https://scout.example/a2a --metadata '{\"model\":\"gpt-4o\"}'

A profile replaces the one before it whole, and is public for ever.";

/// Flags of `profile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ProfileCommand {
    /// The agent
    name: String,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    append: AppendArgs,
}

/// The members of a profile.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct ProfileArgs {
    /// Name for people
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// What sort of agent it is
    #[arg(long, value_name = "TEXT")]
    kind: Option<String>,
    /// Who answers for it
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Of which organization
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// What it can do; may be given often
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// What it is, in a few sentences
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Version of the agent
    #[arg(long, value_name = "TEXT")]
    agent_version: Option<String>,
    /// Where it is reached; may be given often
    #[arg(long = "endpoint", value_name = "PROTOCOL=URL")]
    endpoints: Vec<String>,
    /// SHA-256 of something published elsewhere; may be given often
    #[arg(long = "hash", value_name = "LABEL=HEX")]
    hashes: Vec<String>,
    /// Anything else, as a JSON object
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
}

pub(super) async fn run(args: ProfileCommand, out: &Output) -> CliResult<()> {
    let none = || CliError::usage("the profile would be empty").hint("give at least one of its members, see --help");
    let profile = args.profile.profile()?.ok_or_else(none)?;
    let mut agent = args.append.open(&args.name, &[Role::Admin], out).await?;
    let logged = agent.set_profile(&profile, args.append.wanted(), now()).await?;
    out.result(&logged_json(&logged), |out| tell_logged(out, &format!("profile of {} replaced", args.name), &logged));
    args.append.keep_proof(&mut agent, &logged, out).await
}

impl ProfileArgs {
    /// The profile; `None` if no member of it is given.
    pub(super) fn profile(&self) -> CliResult<Option<Profile>> {
        let mut capabilities = self.capabilities.clone();
        capabilities.sort();
        capabilities.dedup();
        let metadata = self.metadata.as_deref().map(json::object).transpose()?;
        let profile = Profile {
            display_name: self.display_name.clone(),
            kind: self.kind.clone(),
            owner: self.owner.clone(),
            organization: self.organization.clone(),
            capabilities,
            description: self.description.clone(),
            version: self.agent_version.clone(),
            endpoints: self.endpoints.iter().map(|text| endpoint(text)).collect::<CliResult<_>>()?,
            credentials: Vec::new(),
            hashes: self.hashes.iter().map(|text| hash(text)).collect::<CliResult<_>>()?,
            metadata: metadata.map(Value::Object),
        };
        Ok((profile != Profile::default()).then_some(profile))
    }
}

fn endpoint(text: &str) -> CliResult<Endpoint> {
    let (protocol, url) = pair(text, "--endpoint", "PROTOCOL=URL")?;
    Ok(Endpoint { protocol: protocol.into(), url: url.into() })
}

fn hash(text: &str) -> CliResult<(String, [u8; 32])> {
    let (label, hex) = pair(text, "--hash", "LABEL=HEX")?;
    let hash = hex_decode_32(hex).ok_or_else(|| CliError::usage(format!("`{hex}` is not a SHA-256 in hex")))?;
    Ok((label.into(), hash))
}

fn pair<'t>(text: &'t str, flag: &str, form: &str) -> CliResult<(&'t str, &'t str)> {
    text.split_once('=').ok_or_else(|| CliError::usage(format!("{flag} wants {form}, not `{text}`")))
}
