//! `soulchain log proof`

use clap::Args;

use crate::cli::error::{CliError, CliResult};
use crate::cli::output::{Output, mark};
use crate::cli::trust::{AskArgs, Trust, UNPROVEN_HINT};
use crate::cli::verify::{judge, tell};
use crate::client::{Client, ClientError, FalseAnswer};
use crate::encoding::b64_decode;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, leaf_hash, verify_inclusion};
use crate::soul::{Link, Trailer};
use crate::tlog::TlogProof;
use crate::verify::{Extra, LinkExtra};

const EXAMPLES: &str = "\
Examples:
  soulchain log proof --agent scout --seqno 17 --out act.tlog-proof --policy policy.txt
  soulchain log proof --agent scout --out scout.tlog-proof         the state of an agent
  soulchain log proof 1234 --out entry.tlog-proof                  the entry at an index";

/// Flags of `proof`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ProofArgs {
    /// Index of an entry
    #[arg(required_unless_present = "agent", conflicts_with = "agent")]
    index: Option<u64>,
    /// Name or identity of an agent
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Place of a link in the agent's chain; without it, the proof is of the agent's state
    #[arg(long, value_name = "N", requires = "agent")]
    seqno: Option<u64>,
    /// Leave out the signer's state
    #[arg(long, requires = "seqno")]
    no_state: bool,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) async fn run(args: ProofArgs, out: &Output) -> CliResult<()> {
    let (client, trust) = args.ask.log().await?;
    match (&args.agent, args.index) {
        (Some(agent), _) => of_agent(&args, agent, &client, &trust, out).await,
        (None, Some(index)) => of_entry(&args, index, &client, &trust, out).await,
        (None, None) => Err(CliError::usage("say which entry or which agent")),
    }
}

async fn of_agent(args: &ProofArgs, agent: &str, client: &Client, trust: &Trust, out: &Output) -> CliResult<()> {
    let bytes = match args.seqno {
        Some(seqno) => client.proof(agent, seqno, !args.no_state).await?,
        None => client.state_proof(agent).await?,
    };
    let verdict = judge(&trust.policy, &bytes, args.seqno.is_none().then_some(agent));
    out.result(&verdict.json(), |out| {
        tell(out, &verdict);
        out.fields(&[("rests on", trust.rests_on().into())]);
    });
    if let Err(failure) = &verdict.result {
        return Err(CliError::failed(format!("the node's proof does not hold: {failure}")).hint(UNPROVEN_HINT));
    }
    args.ask.keep(&bytes, out)
}

async fn of_entry(args: &ProofArgs, index: u64, client: &Client, trust: &Trust, out: &Output) -> CliResult<()> {
    let checkpoint = trust.check(&client.checkpoint().await?)?;
    let claim = checkpoint.claim();
    if index >= claim.size().get() {
        return Err(CliError::failed(format!(
            "the published log has {} entries, and no entry {index} yet",
            claim.size()
        ))
        .hint("entries count from 0; one that was just added is published in a moment"));
    }
    let entry = client.entry(index).await?;
    let bytes = b64_decode(&entry.entry).ok_or_else(|| false_form("entry"))?;
    let view = client.inclusion(index, Some(claim.size().get())).await?;
    let path = view.path.iter().map(|text| hash(text)).collect::<CliResult<Vec<_>>>()?;
    let at = LeafIndex::new(index);
    let held = verify_inclusion(&leaf_hash(&bytes), at, claim.size(), &path, &claim.root());
    held.map_err(|error| CliError::from(ClientError::from(error)))?;
    let json = serde_json::json!({ "entry": entry, "inclusion": view, "checkpoint": checkpoint.to_string() });
    out.result(&json, |out| {
        let (mark, style) = mark(true);
        out.line(format_args!("{style}{mark}{style:#} entry {index} is in the log of size {}", claim.size()));
        out.fields(&[("bytes", bytes.len().to_string()), ("is", kind(&bytes)), ("rests on", trust.rests_on().into())]);
    });
    let proof = TlogProof::new(extra(&bytes), at, path, checkpoint).map_err(ClientError::from)?;
    args.ask.keep(proof.to_string().as_bytes(), out)
}

/// What a proof of this entry carries: of a link, the entry itself.
fn extra(entry: &[u8]) -> Option<Vec<u8>> {
    let link = Link::parse_entry(entry).ok()?;
    Some(Extra::Link(LinkExtra { entry: link.into_entry(), ..LinkExtra::default() }).to_bytes())
}

fn kind(entry: &[u8]) -> String {
    match Link::parse_entry(entry) {
        Ok(link) => format!("link {} ({}, seqno {})", link.curr(), link.header().link_type, link.header().seqno),
        Err(_) if Trailer::parse(entry).is_some() => "a trailer: the state of the log at that point".into(),
        Err(_) => "neither a link nor a trailer".into(),
    }
}

fn hash(text: &str) -> CliResult<Hash> {
    let hash = b64_decode(text).and_then(|bytes| bytes.try_into().ok()).map(Hash::from_bytes);
    hash.ok_or_else(|| false_form("path"))
}

fn false_form(what: &'static str) -> CliError {
    ClientError::False(FalseAnswer::Form { what, why: "not base64 of what it should be".into() }).into()
}
