//! `soulchain fsck`: checks the data directory of a node that is stopped.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::error::{CliError, CliResult};
use super::output::Output;
use super::progress::Bar;
use crate::encoding::hex_encode;
use crate::log::{Finding, FsckReport, Place, Severity};
use crate::node::check_directory;

const EXAMPLES: &str = "\
Examples:
  soulchain fsck soulchain-data
  soulchain fsck soulchain-data --repair

Nothing that cannot be proven from the entries is written. Whoever replays a log from outside needs none of this.";

/// Arguments of `fsck`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct FsckArgs {
    /// Data directory of a node that is stopped
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Write anew what can be proven: tiles, chain.idx, checkpoint, views
    #[arg(long)]
    repair: bool,
}

/// Checks a directory and says what was found: success where all was checked and there is no damage, or none
/// that is left.
pub(super) fn run(args: &FsckArgs, out: &Output) -> CliResult<ExitCode> {
    let bar = Bar::new("checking", out.is_json());
    let report = check_directory(&args.dir, args.repair, &mut |progress| bar.show(progress));
    bar.finish();
    let report = report.map_err(|error| CliError::failed(error.to_string()))?;
    out.result(&json_of(&report), |out| tell(out, &report));
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(out: &Output, report: &FsckReport) {
    for finding in &report.findings {
        out.line(format_args!("{}: {finding}\n    {}", severity_of(finding), finding.advice()));
    }
    if report.omitted > 0 {
        out.line(format_args!("and {} findings more", report.omitted));
    }
    let state = match (report.is_clean(), report.is_damaged()) {
        (true, _) => "clean",
        (_, true) => "damaged",
        _ => "not checked whole",
    };
    out.line(format_args!(
        "{state}: {} entries, {} bodies kept beside them, {} erased",
        report.size, report.bodies, report.erased
    ));
}

#[derive(Serialize)]
struct Report<'a> {
    clean: bool,
    tree_size: u64,
    flushed: Option<Flushed>,
    bodies: u64,
    erased: u64,
    findings: Vec<Item<'a>>,
    omitted: u64,
}

#[derive(Serialize)]
struct Flushed {
    tree_size: u64,
    root: String,
}

#[derive(Serialize)]
struct Item<'a> {
    severity: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<u64>,
    what: &'a str,
    repairable: bool,
    repaired: bool,
    advice: &'static str,
}

fn severity_of(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Note => "note",
        Severity::Unchecked => "unchecked",
        Severity::Damage => "damage",
    }
}

fn json_of(report: &FsckReport) -> Report<'_> {
    let flushed = |(size, root): (crate::merkle::TreeSize, crate::hash::Hash)| Flushed {
        tree_size: size.get(),
        root: hex_encode(root.as_bytes()),
    };
    Report {
        clean: report.is_clean(),
        tree_size: report.size.get(),
        flushed: report.flushed.map(flushed),
        bodies: report.bodies,
        erased: report.erased,
        findings: report.findings.iter().map(item).collect(),
        omitted: report.omitted,
    }
}

fn item(finding: &Finding) -> Item<'_> {
    let (byte, entry) = match finding.place {
        Place::Whole => (None, None),
        Place::Byte(offset) => (Some(offset), None),
        Place::Entry(index) => (None, Some(index.get())),
    };
    Item {
        severity: severity_of(finding),
        name: &finding.name,
        byte,
        entry,
        what: &finding.what,
        repairable: finding.repairable,
        repaired: finding.repaired,
        advice: finding.advice(),
    }
}
