//! What an import has signed and what of it is logged, kept so that it can go on where it was cut off.
//!
//! ```text
//! <state dir>/journal.jsonl     one record a line; the last may be cut off, and is dropped then
//! {"kind":"signed","agent":…,"upto":{"line":…,"part":…},"line_sha256":hex,"links":b64}   before links are sent
//! {"kind":"logged","agent":…}                  the links signed last by this agent are in the log
//! {"kind":"dropped","agent":…}                 they can never be: the chain went on without them
//! ```
//!
//! A record is on disk before what it says is acted on. Links are sent again exactly as they were signed, and a log
//! answers links that it has with their place: so nothing is logged twice. One import at a time holds the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::cli::error::{CliError, CliResult};
use crate::client::SignedLink;
use crate::encoding::{b64_decode, b64_encode};
use crate::wire::{read_links, write_links};

/// An action's place in the file: a line, from 1, and which of the line's actions, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) part: u64,
}

/// Where an agent's import stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The last action that is logged, and the digest of its line.
    pub(super) logged: Option<(Place, String)>,
    /// How many of its actions are.
    pub(super) count: u64,
    /// Links that were signed, and perhaps sent.
    pub(super) pending: Option<Batch>,
}

/// Links that are sent together, and how far in the file they go.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) upto: Place,
    pub(super) line_sha256: String,
    pub(super) links: Vec<SignedLink>,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    Signed { agent: String, upto: Place, line_sha256: String, links: String },
    Logged { agent: String },
    Dropped { agent: String },
}

impl Journal {
    /// Opens the journal of a state directory, and says where every agent stands.
    pub(super) fn open(dir: &Path) -> CliResult<(Self, BTreeMap<String, Standing>)> {
        let path = dir.join("journal.jsonl");
        let failed = |error: std::io::Error| CliError::file(&path, error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            CliError::unavailable(format!("{} is in use", path.display()))
                .hint("another import of this file is running")
        })?;
        let (standings, whole) = replay(&mut file, &path)?;
        file.set_len(whole).map_err(failed)?;
        Ok((Self { path, file: Mutex::new(file) }, standings))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps links that are about to be sent.
    pub(super) fn signed(&self, agent: &str, batch: &Batch) -> CliResult<()> {
        let links = write_links(batch.links.iter().map(|signed| (&signed.link, signed.beside.as_ref())));
        self.append(&Record::Signed {
            agent: agent.into(),
            upto: batch.upto,
            line_sha256: batch.line_sha256.clone(),
            links: b64_encode(&links),
        })
    }

    /// The links that this agent signed last are logged.
    pub(super) fn logged(&self, agent: &str) -> CliResult<()> {
        self.append(&Record::Logged { agent: agent.into() })
    }

    /// The links that this agent signed last can never be logged.
    pub(super) fn dropped(&self, agent: &str) -> CliResult<()> {
        self.append(&Record::Dropped { agent: agent.into() })
    }

    fn append(&self, record: &Record) -> CliResult<()> {
        let mut line = serde_json::to_vec(record).expect("records are maps with text keys");
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        written.map_err(|error| CliError::file(&self.path, error))
    }
}

/// Reads the records, and how many bytes of whole ones there are.
fn replay(file: &mut File, path: &Path) -> CliResult<(BTreeMap<String, Standing>, u64)> {
    let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
    let mut whole = 0;
    file.seek(SeekFrom::Start(0)).map_err(|error| CliError::file(path, error))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|error| CliError::file(path, error))?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok((standings, whole));
        }
        let record = serde_json::from_slice(&line).ok();
        let applied = record.and_then(|record| apply(&mut standings, record));
        applied.ok_or_else(|| {
            CliError::failed(format!("{}: damaged at byte {whole}", path.display()))
                .hint("what is logged is safe; to import the rest, cut the file down to the lines that are missing")
        })?;
        whole += read as u64;
    }
}

fn apply(standings: &mut BTreeMap<String, Standing>, record: Record) -> Option<()> {
    match record {
        Record::Signed { agent, upto, line_sha256, links } => {
            let links = read_links(&b64_decode(&links)?).ok()?;
            let links = links.into_iter().map(SignedLink::from).collect();
            standings.entry(agent).or_default().pending = Some(Batch { upto, line_sha256, links });
        }
        Record::Logged { agent } => {
            let standing = standings.get_mut(&agent)?;
            let batch = standing.pending.take()?;
            standing.count += batch.links.len() as u64;
            standing.logged = Some((batch.upto, batch.line_sha256));
        }
        Record::Dropped { agent } => {
            standings.get_mut(&agent)?.pending.take()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::SigningKey;
    use crate::encoding::UnixMillis;
    use crate::soul::{Beside, ChainPosition, Curr, Draft, Identity, LogId, Outcome, Salt, Seqno, kid};

    fn batch(line: u64) -> Batch {
        let key = SigningKey::from_seed(&[1; 32]);
        let draft = Draft {
            log_id: LogId::of_origin("t"),
            position: ChainPosition {
                identity: Identity::from_bytes([1; 32]),
                seqno: Seqno::new(line + 1),
                prev: Curr::from_bytes([2; 32]),
                auth: Curr::from_bytes([1; 32]),
            },
            ctime: UnixMillis::new(1),
            anchor: None,
            outcome: Outcome::Success,
            kid: kid(key.public().as_bytes()),
        };
        let beside = Beside { salt: Salt::from_bytes([9; 32]), body: br#"{"action":"a","v":1}"#.to_vec() };
        let link = draft.beside(beside).unwrap().sign(&key).into();
        Batch { upto: Place { line, part: 0 }, line_sha256: "ab".into(), links: vec![link] }
    }

    #[test]
    fn it_remembers_what_is_pending_and_what_is_logged() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, standings) = Journal::open(dir.path()).unwrap();
        assert!(standings.is_empty());
        journal.signed("a", &batch(1)).unwrap();
        journal.logged("a").unwrap();
        journal.signed("a", &batch(2)).unwrap();
        journal.signed("b", &batch(3)).unwrap();
        journal.dropped("b").unwrap();
        assert!(Journal::open(dir.path()).is_err(), "two imports at once");
        drop(journal);
        let (_, standings) = Journal::open(dir.path()).unwrap();
        let a = &standings["a"];
        assert_eq!((a.count, a.logged.as_ref().unwrap().0.line), (1, 1));
        let pending = a.pending.as_ref().unwrap();
        assert_eq!((pending.upto.line, &pending.links), (2, &batch(2).links));
        let b = &standings["b"];
        assert!(b.pending.is_none() && b.logged.is_none() && b.count == 0);
    }

    #[test]
    fn a_record_that_was_cut_off_is_dropped_and_one_that_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let (journal, _) = Journal::open(dir.path()).unwrap();
        journal.signed("a", &batch(1)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
            let (_, standings) = Journal::open(dir.path()).unwrap();
            assert_eq!(standings["a"].pending.as_ref().unwrap().links, batch(1).links);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::write(&path, [b"{}\n", &whole[..]].concat()).unwrap();
        assert!(Journal::open(dir.path()).is_err());
    }
}
