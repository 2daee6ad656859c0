//! The bytes of evidence: lines of text, each in the one way that it is written.
//!
//! ```text
//! soulchain/evidence/v1 ⏎ <kind and its words> ⏎
//! checkpoint     the five lines of a checkpoint with one signature
//! path <n> ⏎     n lines of base64, a hash each
//! entry <index> <base64> ⏎, then its path
//! fork:     checkpoint checkpoint, prefix <base64> ⏎ path
//!           then, if a key has to be shown to be the log's: instant <vkey> <base64 of a tlog-proof> ⏎ path
//! unsealed: checkpoint, entry
//! entry:    checkpoint, entry, and the earlier entry if there is one
//! replay:   checkpoint, size <n> ⏎ path, entries <n or 0> ⏎, that many lines of base64
//! ```

use core::fmt;

use super::evidence::{
    BadEntry, BadReplay, Evidence, Fork, MAX_EVIDENCE_ENTRIES_LEN, MAX_EVIDENCE_LEN, NamedKey, OneSigned, Placed,
    Unsealed,
};
use super::evidence_judge::log_keys;
use crate::encoding::{b64_decode, b64_encode, parse_decimal};
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::tlog::{MAX_ENTRY_LEN, MAX_PATH_LEN, Policy, TlogProof, Vkey};

/// Why bytes are no evidence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EvidenceError {
    /// More than [`MAX_EVIDENCE_LEN`] bytes.
    TooLong,
    /// They are no text that ends with a newline.
    Text,
    /// A line is not what it should be.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// No key of the log in the policy has signed the checkpoint.
    Unsigned,
    /// The entries are more than [`MAX_EVIDENCE_ENTRIES_LEN`] bytes.
    Entries,
}

type Read<T> = Result<T, EvidenceError>;

const HEADER: &str = "soulchain/evidence/v1";
/// Most words of a kind.
const MAX_WORDS: usize = 3;
/// Longest code.
const MAX_CODE_LEN: usize = 32;
/// Lines of a checkpoint with one signature.
const CHECKPOINT_LINES: usize = 5;

/// With a policy, entries are read once a key of their log has signed the tree that they should be in: there may be very many.
pub(super) fn parse<'t>(bytes: &'t [u8], policy: Option<&'t Policy>) -> Read<Evidence> {
    if bytes.len() > MAX_EVIDENCE_LEN {
        return Err(EvidenceError::TooLong);
    }
    let text = core::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let mut lines = Lines { rest: Some(text.ok_or(EvidenceError::Text)?), line: 0, policy };
    lines.take("the header of evidence", |line| (line == HEADER).then_some(()))?;
    let kind = lines.next("a kind of evidence")?;
    let evidence = match *kind.splitn(MAX_WORDS + 1, ' ').collect::<Vec<_>>() {
        ["fork"] => Evidence::Fork(Box::new(lines.fork()?)),
        ["unsealed"] => Evidence::Unsealed(Unsealed { checkpoint: lines.checkpoint()?, last: lines.entry()? }),
        ["entry", code] => Evidence::Entry(lines.bad_entry(lines.code(code)?)?),
        ["replay", code, index] => {
            let index = parse_decimal(index).map(LeafIndex::new);
            let index = index.ok_or_else(|| lines.wrong("an index"))?;
            Evidence::Replay(lines.bad_replay(lines.code(code)?, index)?)
        }
        _ => return Err(lines.wrong("a kind of evidence")),
    };
    if lines.rest.is_some() {
        lines.line += 1;
        return Err(lines.wrong("the end"));
    }
    Ok(evidence)
}

/// The lines that are left.
struct Lines<'t> {
    rest: Option<&'t str>,
    line: usize,
    policy: Option<&'t Policy>,
}

impl<'t> Lines<'t> {
    fn fork(&mut self) -> Read<Fork> {
        let (old, new) = (self.checkpoint()?, self.checkpoint()?);
        let prefix_root = self.take("`prefix` and a hash", |line| hash(line.strip_prefix("prefix ")?))?;
        let path = self.path()?;
        let named = if self.rest.is_some() { Some(self.named_key()?) } else { None };
        Ok(Fork { old, new, prefix_root, path, named })
    }

    fn named_key(&mut self) -> Read<NamedKey> {
        let (vkey, proof) = self.take("`instant`, a verifier key and a proof", |line| {
            let (vkey, proof) = line.strip_prefix("instant ")?.rsplit_once(' ')?;
            let read = Vkey::parse(vkey).ok().filter(|read| read.to_string() == vkey)?;
            Some((read, TlogProof::parse(&b64_decode(proof)?).ok()?))
        })?;
        Ok(NamedKey { vkey, proof, genesis_path: self.path()? })
    }

    fn bad_entry(&mut self, code: String) -> Read<BadEntry> {
        let (checkpoint, entry) = (self.checkpoint()?, self.entry()?);
        let beside = if self.rest.is_some() { Some(self.entry()?) } else { None };
        Ok(BadEntry { code, checkpoint, entry, beside })
    }

    fn bad_replay(&mut self, code: String, index: LeafIndex) -> Read<BadReplay> {
        let checkpoint = self.checkpoint()?;
        if let Some(policy) = self.policy {
            let keys = log_keys(policy, checkpoint.get().claim().origin());
            checkpoint.get().verify(&keys).map_err(|_| EvidenceError::Unsigned)?;
        }
        let size = self.take("`size` and a number", |line| parse_decimal(line.strip_prefix("size ")?))?;
        let path = self.path()?;
        let count = self.take("`entries` and their number, or 0", |line| {
            parse_decimal(line.strip_prefix("entries ")?).filter(|count| [0, size].contains(count))
        })?;
        let entries = if count == 0 { None } else { Some(self.entries(count)?) };
        Ok(BadReplay { code, index, checkpoint, size: TreeSize::new(size), path, entries })
    }

    fn entries(&mut self, count: u64) -> Read<Vec<Vec<u8>>> {
        // Not allocated ahead: the lines that are there bound it.
        let (mut entries, mut len) = (Vec::new(), 0);
        for _ in 0..count {
            let entry = self.take("the base64 of an entry", entry_bytes)?;
            len += entry.len() + 2;
            if len > MAX_EVIDENCE_ENTRIES_LEN {
                return Err(EvidenceError::Entries);
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn checkpoint(&mut self) -> Read<OneSigned> {
        let first = self.rest.unwrap_or_default();
        let len = first.match_indices('\n').map(|(at, _)| at).nth(CHECKPOINT_LINES - 1).unwrap_or(first.len());
        let (note, rest) = first.split_at(len);
        self.line += 1;
        let checkpoint = OneSigned::parse(&format!("{note}\n"));
        let checkpoint = checkpoint.map_err(|_| self.wrong("a checkpoint with one signature"))?;
        self.line += CHECKPOINT_LINES - 1;
        self.rest = rest.strip_prefix('\n');
        Ok(checkpoint)
    }

    fn entry(&mut self) -> Read<Placed> {
        let (index, entry) = self.take("`entry`, an index and base64", |line| {
            let (index, entry) = line.strip_prefix("entry ")?.split_once(' ')?;
            Some((LeafIndex::new(parse_decimal(index)?), entry_bytes(entry)?))
        })?;
        Ok(Placed { index, entry, path: self.path()? })
    }

    fn path(&mut self) -> Read<Vec<Hash>> {
        let count = self.take("`path` and how many hashes", |line| {
            let count = usize::try_from(parse_decimal(line.strip_prefix("path ")?)?).ok()?;
            (count <= MAX_PATH_LEN).then_some(count)
        })?;
        (0..count).map(|_| self.take("the base64 of a hash", hash)).collect()
    }

    fn code(&self, code: &str) -> Read<String> {
        let is_code =
            (1..=MAX_CODE_LEN).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_code { Ok(code.into()) } else { Err(self.wrong("the word of a rule")) }
    }

    fn take<T>(&mut self, expected: &'static str, read: impl FnOnce(&'t str) -> Option<T>) -> Read<T> {
        let line = self.next(expected)?;
        read(line).ok_or_else(|| self.wrong(expected))
    }

    fn next(&mut self, expected: &'static str) -> Read<&'t str> {
        self.line += 1;
        let rest = self.rest.ok_or_else(|| self.wrong(expected))?;
        let (line, rest) = rest.split_once('\n').map_or((rest, None), |(line, rest)| (line, Some(rest)));
        self.rest = rest;
        Ok(line)
    }

    const fn wrong(&self, expected: &'static str) -> EvidenceError {
        EvidenceError::Line { line: self.line, expected }
    }
}

fn hash(text: &str) -> Option<Hash> {
    b64_decode(text)?.try_into().ok().map(Hash::from_bytes)
}

/// An entry has 1 to 65,535 bytes; one that a log serves with none is still a leaf of its tree, and no good one.
fn entry_bytes(text: &str) -> Option<Vec<u8>> {
    b64_decode(text).filter(|entry| entry.len() <= MAX_ENTRY_LEN)
}

/// The file.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        match self {
            Self::Fork(fork) => write_fork(f, fork),
            Self::Unsealed(unsealed) => {
                write!(f, "unsealed\n{}", unsealed.checkpoint)?;
                write_entry(f, &unsealed.last)
            }
            Self::Entry(bad) => {
                write!(f, "entry {}\n{}", bad.code, bad.checkpoint)?;
                write_entry(f, &bad.entry)?;
                bad.beside.as_ref().map_or(Ok(()), |beside| write_entry(f, beside))
            }
            Self::Replay(bad) => write_replay(f, bad),
        }
    }
}

fn write_fork(f: &mut fmt::Formatter<'_>, fork: &Fork) -> fmt::Result {
    write!(f, "fork\n{}{}prefix {}\n", fork.old, fork.new, b64_encode(fork.prefix_root.as_bytes()))?;
    write_path(f, &fork.path)?;
    match &fork.named {
        Some(named) => {
            writeln!(f, "instant {} {}", named.vkey, b64_encode(named.proof.to_string().as_bytes()))?;
            write_path(f, &named.genesis_path)
        }
        None => Ok(()),
    }
}

fn write_replay(f: &mut fmt::Formatter<'_>, bad: &BadReplay) -> fmt::Result {
    write!(f, "replay {} {}\n{}size {}\n", bad.code, bad.index, bad.checkpoint, bad.size)?;
    write_path(f, &bad.path)?;
    let entries = bad.entries.as_deref().unwrap_or_default();
    writeln!(f, "entries {}", entries.len())?;
    entries.iter().try_for_each(|entry| writeln!(f, "{}", b64_encode(entry)))
}

fn write_entry(f: &mut fmt::Formatter<'_>, placed: &Placed) -> fmt::Result {
    writeln!(f, "entry {} {}", placed.index, b64_encode(&placed.entry))?;
    write_path(f, &placed.path)
}

fn write_path(f: &mut fmt::Formatter<'_>, path: &[Hash]) -> fmt::Result {
    writeln!(f, "path {}", path.len())?;
    path.iter().try_for_each(|hash| writeln!(f, "{}", b64_encode(hash.as_bytes())))
}

impl fmt::Display for OneSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "evidence has at most {MAX_EVIDENCE_LEN} bytes"),
            Self::Text => f.write_str("evidence is text that ends with a newline"),
            Self::Line { line, expected } => write!(f, "line {line} of the evidence should be {expected}"),
            Self::Unsigned => f.write_str("a checkpoint in it is not signed by a key of its log that the policy lists"),
            Self::Entries => write!(f, "the entries of evidence have at most {MAX_EVIDENCE_ENTRIES_LEN} bytes"),
        }
    }
}

impl core::error::Error for EvidenceError {}
