//! `soulchain fsck`: checks the data directory of a node that is stopped.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::progress::Bar;
use crate::encoding::hex_encode;
use crate::log::{Finding, FsckReport, Place, Severity};
use crate::node::check_directory;

/// Arguments of `fsck`.
#[derive(Args, Debug)]
pub struct FsckArgs {
    /// Data directory of a node that is stopped
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Write anew what can be proven: tiles, chain.idx, checkpoint, views
    #[arg(long)]
    repair: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks a directory and says what was found. Gives whether it is clean: no damage, or none that is left.
pub fn run(args: &FsckArgs) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let bar = Bar::new("checking", args.json);
    let report = check_directory(&args.dir, args.repair, &mut |progress| bar.show(progress))?;
    bar.finish();
    let mut out = io::stdout().lock();
    if args.json {
        write_json(&mut out, &report)?;
    } else {
        write_text(&mut out, &report)?;
    }
    Ok(report.is_clean())
}

fn write_text(out: &mut impl Write, report: &FsckReport) -> io::Result<()> {
    for finding in &report.findings {
        let kind = match finding.severity {
            Severity::Note => "note",
            Severity::Damage => "damage",
        };
        writeln!(out, "{kind}: {finding}\n    {}", finding.advice())?;
    }
    if report.omitted > 0 {
        writeln!(out, "and {} findings more", report.omitted)?;
    }
    let (entries, bodies) = (report.size, report.bodies);
    if report.is_clean() {
        writeln!(out, "clean: {entries} entries, {bodies} bodies kept beside them")
    } else {
        writeln!(out, "damaged: {entries} entries, {bodies} bodies kept beside them")
    }
}

#[derive(Serialize)]
struct Report<'a> {
    clean: bool,
    tree_size: u64,
    flushed: Option<Flushed>,
    bodies: u64,
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

fn write_json(out: &mut impl Write, report: &FsckReport) -> Result<(), Box<dyn Error + Send + Sync>> {
    let flushed = |(size, root): (crate::merkle::TreeSize, crate::hash::Hash)| Flushed {
        tree_size: size.get(),
        root: hex_encode(root.as_bytes()),
    };
    let shown = Report {
        clean: report.is_clean(),
        tree_size: report.size.get(),
        flushed: report.flushed.map(flushed),
        bodies: report.bodies,
        findings: report.findings.iter().map(item).collect(),
        omitted: report.omitted,
    };
    writeln!(out, "{}", serde_json::to_string(&shown)?)?;
    Ok(())
}

fn item(finding: &Finding) -> Item<'_> {
    let (byte, entry) = match finding.place {
        Place::Whole => (None, None),
        Place::Byte(offset) => (Some(offset), None),
        Place::Entry(index) => (None, Some(index.get())),
    };
    Item {
        severity: match finding.severity {
            Severity::Note => "note",
            Severity::Damage => "damage",
        },
        name: &finding.name,
        byte,
        entry,
        what: &finding.what,
        repairable: finding.repairable,
        repaired: finding.repaired,
        advice: finding.advice(),
    }
}
