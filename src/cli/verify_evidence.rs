//! `soulchain verify --evidence`: whether a file convicts a log.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::args::read_file;
use super::error::{CliError, CliResult};
use super::output::{CARE, Output, mark};
use super::trust::source_of;
use crate::monitor::confirm;
use crate::tlog::Policy;
use crate::verify::{Conviction, Doubt, Evidence, convict};

/// The exit code of a conviction that holds only under a condition.
const CONDITIONAL: u8 = 4;

/// Judges evidence: success where it convinces without a condition.
pub(super) fn run(file: &Path, policy: &Policy, log: Option<&str>, out: &Output) -> CliResult<ExitCode> {
    let bytes = read_file(file)?;
    let judged = match Evidence::parse_under(&bytes, policy) {
        Err(error) => Err(error.to_string()),
        Ok(evidence) => match (convict(&evidence, policy), &evidence, log) {
            (Err(Doubt::EntriesElsewhere), Evidence::Replay(bad), Some(log)) => {
                let source = source_of(log)?;
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                confirm(bad, policy, &*source, threads).map_err(|error| error.to_string())
            }
            (Err(Doubt::EntriesElsewhere), ..) => {
                let hint = "give a copy of the log with --log DIR|URL: a mirror's directory, a backup, the log itself";
                return Err(CliError::failed(Doubt::EntriesElsewhere.to_string()).hint(hint));
            }
            (judged, ..) => judged.map_err(|doubt| doubt.to_string()),
        },
    };
    tell(&judged, file, out);
    Ok(match judged {
        Ok(conviction) if conviction.is_conditional() => ExitCode::from(CONDITIONAL),
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn tell(judged: &Result<Conviction, String>, file: &Path, out: &Output) {
    let json = match judged {
        Ok(conviction) => json!({
            "ok": true,
            "conditional": conviction.is_conditional(),
            "file": file.display().to_string(),
            "origin": conviction.origin().as_str(),
            "keys": conviction.keys().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "sentence": conviction.to_string(),
            "caveat": conviction.caveat(),
        }),
        Err(why) => json!({ "ok": false, "file": file.display().to_string(), "why": why }),
    };
    out.result(&json, |out| match judged {
        Ok(conviction) => {
            let (good, style) = mark(true);
            match conviction.caveat() {
                None => out.line(format_args!("{style}{good} convicted:{style:#} {conviction}")),
                Some(caveat) => {
                    out.line(format_args!("{CARE}{good} convicted under a condition:{CARE:#} {conviction}"));
                    out.line(format_args!("{CARE}not shown:{CARE:#} {caveat}"));
                }
            }
            let keys: Vec<_> = conviction.keys().iter().map(ToString::to_string).collect();
            out.fields(&[("signed by", keys.join(", "))]);
        }
        Err(why) => {
            let (bad, style) = mark(false);
            out.line(format_args!("{style}{bad} not convincing:{style:#} {why}"));
        }
    });
}
