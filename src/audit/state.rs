//! What an audit keeps so that the next one goes on where it ended.
//!
//! ```text
//! "soulchain/audit-state/v2\n" ‖ origin ‖ note ‖ findings ‖ edge ‖ replay ‖ SHA-256 of all before
//! ```
//!
//! It holds the newest checkpoint that the log had signed, and the whole state of the replay up to a trailer: every
//! identity, the id of every link, every key ever used, every trailer. That is some 60 bytes a link, and 200 an identity
//! and more. Bodies and signatures are not in it. The digest finds damage; who may write the file can make the next audit
//! believe anything, so keep it where the log's operator cannot.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::finding::FindingView;
use super::tree::Edge;
use crate::encoding::{Reader, Writer, parse_decimal};
use crate::hash::{HASH_LEN, Hash, sha256};
use crate::merkle::TreeSize;
use crate::registry::Replay;
use crate::soul::LogId;
use crate::tlog::{Origin, SignedCheckpoint};

/// Most findings that are kept with their words; more are counted.
pub const MAX_NOTED: usize = 1000;

/// Then the version, and the end of the line. Whatever the version, the last bytes are the digest. A change of any part,
/// the bytes of the replay included, is another version.
const MAGIC: &[u8] = b"soulchain/audit-state/v";
const VERSION: u64 = 2;
/// Longest version that is told.
const MAX_VERSION_LEN: usize = 8;

/// Where an audit ended.
pub struct State {
    pub(super) origin: Origin,
    pub(super) seen: SignedCheckpoint,
    pub(super) noted: Noted,
    pub(super) edge: Edge,
    pub(super) replay: Replay,
}

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    pub(super) count: u64,
    pub(super) findings: Vec<FindingView>,
}

/// Where a state is kept: one value, replaced whole or not at all, and durable once that is done.
pub trait Keep: Sync {
    /// What is kept; `None` where nothing is.
    fn read(&self) -> Result<Option<Vec<u8>>, StateError>;

    /// Keeps these bytes, one part after the other.
    fn replace(&self, parts: &[&[u8]]) -> Result<(), StateError>;
}

/// Why there is no state.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read or written.
    Io(PathBuf, io::Error),
    /// It is damaged, or none of ours.
    Damaged(PathBuf),
    /// It is of another version of this program.
    Version(PathBuf, u64),
}

/// Why bytes are no state.
enum Unread {
    Damaged,
    Version(u64),
}

impl State {
    /// A log of which nothing was judged.
    pub(super) fn new(origin: Origin, seen: SignedCheckpoint) -> Self {
        let replay = Replay::new(LogId::of_origin(origin.as_str()));
        Self { origin, seen, noted: Noted::default(), edge: Edge::default(), replay }
    }

    /// Reads a state; `None` where there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>, StateError> {
        Self::read_kept(&path.to_owned()).map_err(|error| match error {
            StateError::Damaged(_) => StateError::Damaged(path.to_owned()),
            StateError::Version(_, found) => StateError::Version(path.to_owned(), found),
            error => error,
        })
    }

    /// Reads the state that is kept there; `None` where none is.
    pub fn read_kept(keep: &dyn Keep) -> Result<Option<Self>, StateError> {
        let Some(bytes) = keep.read()? else { return Ok(None) };
        Self::parse(&bytes).map(Some).map_err(|unread| match unread {
            Unread::Damaged => StateError::Damaged(PathBuf::new()),
            Unread::Version(found) => StateError::Version(PathBuf::new(), found),
        })
    }

    /// Keeps it; `false`, and nothing is done, while the replay is within a batch.
    pub fn keep(&self, keep: &dyn Keep) -> Result<bool, StateError> {
        write(keep, &self.origin, &self.seen, &self.noted, &self.edge, &self.replay)
    }

    /// The log.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The newest checkpoint that the log had signed.
    pub const fn seen(&self) -> &SignedCheckpoint {
        &self.seen
    }

    /// What was found so far, as it was told; more than [`MAX_NOTED`] are only counted.
    pub const fn found(&self) -> u64 {
        self.noted.count
    }

    /// The state of the log, and its past.
    pub const fn replay(&self) -> &Replay {
        &self.replay
    }

    /// How much of the log was judged.
    pub const fn judged(&self) -> TreeSize {
        self.replay.size()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Unread> {
        let (all, digest) = bytes.split_last_chunk::<HASH_LEN>().ok_or(Unread::Damaged)?;
        if sha256(&[all]) != *digest {
            return Err(Unread::Damaged);
        }
        match version_of(all).ok_or(Unread::Damaged)? {
            (VERSION, rest) => Self::parse_parts(rest).ok_or(Unread::Damaged),
            (other, _) => Err(Unread::Version(other)),
        }
    }

    fn parse_parts(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let origin = Origin::parse(core::str::from_utf8(read_bytes(&mut r)?).ok()?).ok()?;
        let seen = SignedCheckpoint::parse(read_bytes(&mut r)?).ok()?;
        let count = r.u64()?;
        let mut findings = Vec::new();
        for _ in 0..r.u32()? {
            findings.push(serde_json::from_slice(read_bytes(&mut r)?).ok()?);
        }
        let mut levels = Vec::new();
        for _ in 0..r.u8()? {
            let (hashes, rest) = read_bytes(&mut r)?.as_chunks::<HASH_LEN>();
            if !rest.is_empty() {
                return None;
            }
            levels.push(hashes.iter().copied().map(Hash::from_bytes).collect());
        }
        let replay = Replay::from_bytes(LogId::of_origin(origin.as_str()), r.rest())?;
        let edge = Edge::from_parts(replay.size(), levels)?;
        Some(Self { origin, seen, noted: Noted { count, findings }, edge, replay })
    }
}

/// The version that the first line says, and what follows it.
fn version_of(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let line = bytes.strip_prefix(MAGIC)?;
    let end = line.iter().take(MAX_VERSION_LEN + 1).position(|byte| *byte == b'\n')?;
    let version = parse_decimal(core::str::from_utf8(&line[..end]).ok()?)?;
    Some((version, &line[end + 1..]))
}

/// Writes a state, whole or not at all; `false` while the replay is within a batch.
pub(super) fn write(
    keep: &dyn Keep,
    origin: &Origin,
    seen: &SignedCheckpoint,
    noted: &Noted,
    edge: &Edge,
    replay: &Replay,
) -> Result<bool, StateError> {
    let Some(replay) = replay.to_bytes() else { return Ok(false) };
    let mut w = Writer::with_capacity(replay.len() + (64 << 10));
    w.raw(MAGIC).raw(format!("{VERSION}\n").as_bytes());
    write_bytes(&mut w, origin.as_str().as_bytes());
    write_bytes(&mut w, seen.note().as_str().as_bytes());
    w.u64(noted.count).u32(noted.findings.len() as u32);
    for finding in &noted.findings {
        write_bytes(&mut w, &serde_json::to_vec(finding).expect("a finding is a map with text keys"));
    }
    let levels: Vec<_> = edge.parts().collect();
    w.u8(levels.len() as u8);
    for level in levels {
        write_bytes(&mut w, &level.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<_>>());
    }
    w.raw(&replay);
    let bytes = w.into_bytes();
    let digest = sha256(&[&bytes]);
    keep.replace(&[&bytes, &digest])?;
    Ok(true)
}

/// In a file.
impl Keep for PathBuf {
    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        match fs::read(self) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::Io(self.clone(), error)),
        }
    }

    fn replace(&self, parts: &[&[u8]]) -> Result<(), StateError> {
        replace(self, parts).map_err(|error| StateError::Io(self.clone(), error))
    }
}

fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let mut file = File::create(&temporary)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn write_bytes(w: &mut Writer, bytes: &[u8]) {
    w.u32(bytes.len() as u32).raw(bytes);
}

fn read_bytes<'b>(r: &mut Reader<'b>) -> Option<&'b [u8]> {
    let len = r.u32()? as usize;
    r.take(len)
}

impl Noted {
    pub(super) fn add(&mut self, finding: FindingView) {
        self.count += 1;
        if self.findings.len() < MAX_NOTED {
            self.findings.push(finding);
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Damaged(path) => write!(f, "{} is damaged, or no state of an audit", path.display()),
            Self::Version(path, found) => write!(
                f,
                "{} is a state of version {found}, and this program reads version {VERSION}: use the program that wrote \
                 it, or move the file away to judge the log from its beginning",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StateError {}
