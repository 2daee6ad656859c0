//! `soulchain verify`: proofs, judged offline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::args::{identity, read_file};
use super::error::CliResult;
use super::output::{CARE, Output, QUIET, mark};
use super::record::{record_json, tell_record};
use super::time::readable;
use super::trust::read_policy;
use super::verify_evidence;
use crate::client::now;
use crate::soul::Identity;
use crate::tlog::{Policy, Timestamp};
use crate::verify::{Absent, Asked, Check, Failure, KeyProven, LinkShown, Request, Shown, StateShown, Verdict, verify};

const EXAMPLES: &str = "\
Examples:
  soulchain verify act.tlog-proof --policy policy.txt
  soulchain verify *.tlog-proof --policy policy.txt --max-age 3600 --state
  soulchain verify scout.tlog-proof --policy policy.txt --name scout      a state, or that nobody has the name
  soulchain verify --evidence fork.evidence --policy policy.txt           what a monitor found: does it convict the log?

The policy says whom to believe: take it from elsewhere than from the log. Nothing is fetched.
With --evidence the exit code is 0 where the log is convicted, 4 where it is under a condition that the evidence does not
show and the answer names, 1 where it is not.";

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// Proof files; `-` is standard input
    #[arg(required_unless_present = "evidence")]
    files: Vec<PathBuf>,
    /// Evidence against a log, to judge instead of proofs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "max_age", "name", "identity", "origin", "state"])]
    evidence: Option<PathBuf>,
    /// A copy of the log, for evidence that needs one
    #[arg(long, value_name = "DIR|URL", requires = "evidence")]
    log: Option<String>,
    /// C2SP policy file
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Greatest acceptable age of the cosignatures
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    /// The name that a state proof is asked about
    #[arg(long)]
    name: Option<String>,
    /// The identity that a state proof is asked about
    #[arg(long, value_name = "ID", value_parser = identity)]
    identity: Option<Identity>,
    /// The log that the question is about
    #[arg(long)]
    origin: Option<String>,
    /// Refuse a proof without the signer's state
    #[arg(long)]
    state: bool,
}

/// What came of a proof.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) result: Result<Verdict, Failure>,
}

pub(super) fn run(args: &VerifyArgs, out: &Output) -> CliResult<ExitCode> {
    let policy = read_policy(&args.policy)?;
    if let Some(evidence) = &args.evidence {
        return verify_evidence::run(evidence, &policy, args.log.as_deref(), out);
    }
    let mut results = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let proof = read_file(file)?;
        let request = Request {
            policy: &policy,
            proof: &proof,
            now_seconds: Some(now().get() / 1000),
            max_age_seconds: args.max_age,
            name: args.name.as_deref(),
            identity: args.identity,
            origin: args.origin.as_deref(),
            state_asked: args.state,
        };
        results.push((file.display().to_string(), Judged { result: verify(&request) }));
    }
    let json = results.iter().map(|(file, judged)| judged.json_of(file)).collect::<Vec<_>>();
    out.result(&json, |out| {
        for (file, judged) in &results {
            if results.len() > 1 {
                out.line(format_args!("{QUIET}{file}{QUIET:#}"));
            }
            tell(out, judged);
        }
    });
    let all_hold = results.iter().all(|(_, judged)| judged.result.is_ok());
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Judges a proof that a node gave; of an agent's state, as the answer to who is asked about.
pub(super) fn judge(policy: &Policy, proof: &[u8], asked: Option<&str>) -> Judged {
    let identity = asked.and_then(Identity::from_hex);
    let request = Request {
        policy,
        proof,
        now_seconds: Some(now().get() / 1000),
        max_age_seconds: None,
        name: asked.filter(|_| identity.is_none()),
        identity,
        origin: None,
        state_asked: false,
    };
    Judged { result: verify(&request) }
}

/// Every step, and what it comes to.
pub(super) fn tell(out: &Output, judged: &Judged) {
    let (passed, failed) = match &judged.result {
        Ok(verdict) => (verdict.passed(), None),
        Err(failure) => (&failure.passed[..], Some(failure)),
    };
    let (good, style) = mark(true);
    for step in passed {
        out.line(format_args!("{style}{good}{style:#} {:<10} {}", step.check.as_str(), step.line));
    }
    if let Some(failure) = failed {
        let (bad, style) = mark(false);
        out.line(format_args!("{style}{bad} {:<10} {}{style:#}", failure.check.as_str(), failure.why));
        out.line(format_args!("{style}refused{style:#}: the check `{}` failed", failure.check));
    }
    if let Ok(verdict) = &judged.result {
        tell_verdict(out, verdict);
    }
}

fn tell_verdict(out: &Output, verdict: &Verdict) {
    out.line("");
    match verdict.shown() {
        Shown::Link(link) => tell_link(out, link),
        Shown::State(state) => tell_record(out, &state.record, state.trailer.log_time),
        Shown::Absent(absent) => {
            out.line(format_args!("nobody has {} as of {}", asked(absent), readable(absent.trailer.log_time.get())));
        }
    }
    let as_of = verdict.as_of().map(|time| readable(time.get().saturating_mul(1000)));
    out.fields(&[
        ("log", format!("{} (tree size {})", verdict.origin(), verdict.size())),
        ("witnessed", as_of.unwrap_or_else(|| "not asked for by the policy".into())),
    ]);
}

fn tell_link(out: &Output, link: &LinkShown) {
    let header = &link.header;
    let body = link.body.as_deref().map(|body| String::from_utf8_lossy(body).into_owned());
    out.fields(&[
        ("agent", link.identity.to_hex()),
        ("link", format!("{} (seqno {}, entry {})", link.curr, header.seqno, link.index)),
        ("type", header.link_type.to_string()),
        ("outcome", header.outcome.to_string()),
        ("signer's time", readable(header.ctime.get())),
        ("body", body.unwrap_or_else(|| if header.body_len > 0 { "not disclosed".into() } else { String::new() })),
    ]);
    if link.key.is_none() {
        out.line(format_args!("{CARE}not shown:{CARE:#} who signed it; the proof has neither key events nor state"));
    }
    match &link.state {
        Some(state) => tell_state(out, state),
        None => {
            out.line(format_args!(
                "{CARE}not shown:{CARE:#} whether the key was still live, and whether the link is disowned"
            ));
        }
    }
}

/// Of a link's signer; a state proof shows all of the record.
fn tell_state(out: &Output, state: &StateShown) {
    let record = &state.record;
    out.fields(&[
        ("name", record.standing.name.clone().unwrap_or_default()),
        ("status", record.standing.status.name().into()),
        ("verified", if record.standing.verified { "yes" } else { "no" }.into()),
        ("links", record.head.seqno.to_string()),
        ("as of", readable(state.trailer.log_time.get())),
    ]);
}

impl Judged {
    /// The verdict for machines.
    pub(super) fn json(&self) -> Value {
        match &self.result {
            Ok(verdict) => {
                let mut json = shown_json(verdict.shown());
                json["ok"] = true.into();
                json["passed"] = steps(verdict.passed().iter().map(|step| (step.check, &step.line)));
                json["origin"] = verdict.origin().as_str().into();
                json["tree_size"] = verdict.size().get().into();
                json["as_of"] = verdict.as_of().map(Timestamp::get).into();
                json
            }
            Err(failure) => json!({
                "ok": false,
                "check": failure.check.as_str(),
                "why": failure.why.to_string(),
                "passed": steps(failure.passed.iter().map(|step| (step.check, &step.line))),
            }),
        }
    }

    fn json_of(&self, file: &str) -> Value {
        let mut json = self.json();
        json["file"] = file.into();
        json
    }
}

fn steps<'a>(steps: impl Iterator<Item = (Check, &'a String)>) -> Value {
    steps.map(|(check, line)| json!({ "check": check.as_str(), "line": line })).collect()
}

fn shown_json(shown: &Shown) -> Value {
    match shown {
        Shown::Link(link) => json!({
            "kind": "link",
            "identity": link.identity.to_hex(),
            "index": link.index.get(),
            "curr": link.curr.to_hex(),
            "seqno": link.header.seqno.get(),
            "type": link.header.link_type.as_str(),
            "outcome": link.header.outcome.as_str(),
            "ctime_ms": link.header.ctime.get(),
            "body": link.body.as_deref().map(String::from_utf8_lossy),
            "key": link.key.map(KeyProven::as_str),
            "state": link.state.as_ref().map(state_json),
        }),
        Shown::State(state) => {
            json!({ "kind": "state", "state": state_json(state), "record": record_json(&state.record) })
        }
        Shown::Absent(absent) => json!({
            "kind": "absent", "asked": asked(absent), "log_time_ms": absent.trailer.log_time.get(),
        }),
    }
}

fn state_json(state: &StateShown) -> Value {
    let record = &state.record;
    json!({
        "identity": record.identity.to_hex(),
        "name": record.standing.name,
        "status": record.standing.status.name(),
        "verified": record.standing.verified,
        "seqno": record.head.seqno.get(),
        "log_time_ms": state.trailer.log_time.get(),
    })
}

fn asked(absent: &Absent) -> String {
    match &absent.asked {
        Asked::Name(name) => format!("the name {name}"),
        Asked::Identity(identity) => format!("the identity {identity}"),
    }
}
