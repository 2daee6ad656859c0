//! Flags that commands share.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::error::{CliError, CliResult};
use super::output::{Output, mark};
use crate::client::{Agent, Client, Logged, Patience, ProofWanted};
use crate::encoding::hex_decode_32;
use crate::soul::{Identity, Outcome};
use crate::verify::MAX_EVIDENCE_LEN;

/// Which node.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// Address of the node
    #[arg(long, env = "SOULCHAIN_NODE", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(super) node: String,
}

/// Which proof to ask for, and where to keep it.
#[derive(Debug, Args)]
pub(super) struct ProofArgs {
    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Leave the body out of the proof file: only its commitment is shown
    #[arg(long, requires = "proof")]
    undisclosed: bool,
    /// Wait until witnesses have cosigned
    #[arg(long)]
    witnessed: bool,
}

/// How an action ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum OutcomeArg {
    /// It succeeded
    Success,
    /// It failed
    Failure,
    /// It was not allowed
    Denied,
    /// Nothing is said
    None,
}

impl NodeArgs {
    pub(super) fn client(&self) -> CliResult<Client> {
        Ok(Client::new(&self.node)?)
    }

    pub(super) fn patient_client(&self, attempts: u32) -> CliResult<Client> {
        Ok(Client::with_patience(&self.node, Patience { attempts, ..Patience::default() })?)
    }
}

impl ProofArgs {
    pub(super) const fn wanted(&self) -> ProofWanted {
        if self.witnessed { ProofWanted::Witnessed } else { ProofWanted::Log }
    }

    /// Writes the proof of a link, where one is wanted.
    pub(super) async fn keep(&self, agent: &mut Agent, logged: &Logged, out: &Output) -> CliResult<()> {
        let Some(path) = &self.proof else { return Ok(()) };
        let proof = agent.proof(logged, !self.undisclosed).await?;
        write_file(path, proof.to_string().as_bytes())?;
        out.note(format_args!("proof written to {}", path.display()));
        Ok(())
    }
}

impl From<OutcomeArg> for Outcome {
    fn from(outcome: OutcomeArg) -> Self {
        match outcome {
            OutcomeArg::Success => Self::Success,
            OutcomeArg::Failure => Self::Failure,
            OutcomeArg::Denied => Self::Denied,
            OutcomeArg::None => Self::None,
        }
    }
}

/// One of a closed set of names, which help and errors list.
pub(super) fn one_of<T>(names: &'static [&'static str], read: fn(&str) -> Option<T>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).map(move |name| read(&name).expect("the parser let no other name pass"))
}

/// 32 bytes in hex.
pub(super) fn digest(text: &str) -> Result<[u8; 32], String> {
    hex_decode_32(text).ok_or_else(|| "not 64 hex digits".into())
}

/// An identity in hex.
pub(super) fn identity(text: &str) -> Result<Identity, String> {
    Identity::from_hex(text).ok_or_else(|| "not an identity: 64 hex digits".into())
}

/// A text given as it is, or as `@FILE`; `@-` is standard input.
pub(super) fn text_or_file(text: &str) -> CliResult<String> {
    match text.strip_prefix('@') {
        None => Ok(text.into()),
        Some(path) => {
            let bytes = read_file(Path::new(path))?;
            String::from_utf8(bytes).map_err(|_| CliError::usage(format!("{path}: not UTF-8")))
        }
    }
}

/// Longest file that is read whole: that of evidence.
const MAX_FILE_LEN: usize = MAX_EVIDENCE_LEN;

/// Reads a file, or standard input for `-`; no more of it than any such file may have.
pub(super) fn read_file(path: &Path) -> CliResult<Vec<u8>> {
    let read = if path == Path::new("-") {
        read_at_most(std::io::stdin(), MAX_FILE_LEN)
    } else {
        std::fs::File::open(path).and_then(|file| read_at_most(file, MAX_FILE_LEN))
    };
    read.map_err(|error| CliError::file(path, error))
}

fn read_at_most(from: impl Read, max_len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max_len as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max_len {
        return Err(std::io::Error::other(format!("longer than {max_len} bytes")));
    }
    Ok(bytes)
}

/// Writes a file, and the directories that it is in.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> CliResult<()> {
    let dirs = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    dirs.and_then(|()| std::fs::write(path, bytes)).map_err(|error| CliError::file(path, error))
}

/// Says where a link was put.
pub(super) fn tell_logged(out: &Output, what: &str, logged: &Logged) {
    let link = logged.link();
    let claim = logged.checkpoint().claim();
    let (mark, style) = mark(true);
    out.line(format_args!("{style}{mark}{style:#} {what}: entry {} of {}", logged.index(), claim.origin()));
    out.fields(&[
        ("link", link.curr().to_hex()),
        ("seqno", link.header().seqno.to_string()),
        ("tree size", claim.size().to_string()),
        ("proof", "included under a checkpoint that the log signed (checked)".into()),
    ]);
    if logged.witnessed() == Some(false) {
        out.warn("witnesses did not cosign in time: this is the log's own word; fetch the proof again later");
    }
}

/// The members that say where a link was put.
pub(super) fn logged_json(logged: &Logged) -> serde_json::Value {
    let (link, claim) = (logged.link(), logged.checkpoint().claim());
    serde_json::json!({
        "index": logged.index().get(),
        "curr": link.curr().to_hex(),
        "seqno": link.header().seqno.get(),
        "origin": claim.origin().as_str(),
        "tree_size": claim.size().get(),
        "witnessed": logged.witnessed(),
    })
}

#[cfg(test)]
mod tests {
    use super::read_at_most;

    #[test]
    fn no_more_is_read_than_may_be_there() {
        assert_eq!(read_at_most(&b"abc"[..], 3).unwrap(), b"abc");
        assert!(read_at_most(&b"abcd"[..], 3).is_err());
        // It has no end.
        assert!(read_at_most(std::io::repeat(0), 1000).is_err());
    }
}
