//! Checking the data directory of a node that is stopped: the engine's check with the registry as machine.
//!
//! Beside what `log` checks: that `origin.json` names keys of its own log, that every entry fits the rules by replay up to
//! the map root in each trailer, that kept bodies match their commitments, and that what was published is signed by the
//! log key. Signatures of links are an audit's work. Key files are not read: that needs their passphrase.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::machine::RegistryMachine;
use crate::hash::Hash;
use crate::log::{
    Directory, DirectoryError, EntryCheck, FsckReport, Opaque, OriginFile, Place, Progress, SideBody, Subject, fsck,
};
use crate::merkle::{LeafIndex, TreeSize};
use crate::soul::{Beside, Link, LogId, Salt};
use crate::storage::{FjallViews, MemoryViews, OsDisk, Scratch, StorageError, Views};
use crate::tlog::{NoteVerifier, Origin, SignedCheckpoint, TlogError, Vkey, VkeyType};

const ORIGIN: &str = "origin.json";
const JOURNAL_KEY: &str = "journal/key";
const VIEWS: &str = "views";

/// Checks the directory of a node that is stopped, and with `repair` mends what can be proven.
pub fn check_directory(
    path: &Path,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<FsckReport, DirectoryError> {
    let mut report = FsckReport::default();
    let opened = if repair { Directory::open(path) } else { Directory::open_to_look(path) };
    let directory = match opened {
        Ok(directory) => directory,
        Err(DirectoryError::Origin(_, what)) => {
            report.damage(ORIGIN, Place::Whole, what);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let check = match RegistryCheck::of(directory.origin()) {
        Ok(check) => check,
        Err(what) => {
            report.damage(ORIGIN, Place::Whole, what);
            return Ok(report);
        }
    };
    let storage = match directory.storage_with(Arc::new(MemoryViews::default())) {
        Ok(storage) => storage,
        Err(DirectoryError::Io(at, error)) if at == path.join(JOURNAL_KEY) => {
            report.damage(JOURNAL_KEY, Place::Whole, error.to_string());
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let opened = views(path, repair, &mut report)?;
    let views = opened.as_ref().map(|opened| &*opened.views);
    let disk = OsDisk::open(path).map_err(|error| DirectoryError::Io(path.to_owned(), error))?;
    let subject = Subject { disk: Arc::new(disk), journal: &*storage.journal, views };
    // A mirror of a log of another maker: it has one key, and its entries mean nothing here.
    let mut found = if directory.origin().vkeys.len() == 1 {
        fsck(Opaque, &OpaqueCheck(check), &subject, repair, progress)?
    } else {
        fsck(RegistryMachine::new(check.log_id), &check, &subject, repair, progress)?
    };
    report.findings.drain(..).for_each(|finding| found.add(finding));
    Ok(found)
}

/// A store of views that is open.
struct OpenViews {
    views: Box<dyn Views>,
    /// Where it lies if it is a copy. It goes after the store is closed.
    _scratch: Option<Scratch>,
}

/// The views, where there are any: without them opening makes them. A store that cannot be opened holds nothing that is
/// not in the log, so a repair removes it. Opening a store writes to it: where nothing is repaired a copy is opened.
fn views(path: &Path, repair: bool, report: &mut FsckReport) -> Result<Option<OpenViews>, DirectoryError> {
    let (mut folder, mut scratch) = (path.join(VIEWS), None);
    if !folder.exists() {
        return Ok(None);
    }
    if !repair {
        match copy_of(&folder) {
            Ok((copied, copy)) => (scratch, folder) = (Some(copied), copy),
            Err(error) => {
                report.unchecked(VIEWS, Place::Whole, uncopied(&error));
                return Ok(None);
            }
        }
    }
    match FjallViews::open(&folder) {
        Ok(views) => Ok(Some(OpenViews { views: Box::new(views), _scratch: scratch })),
        Err(error) => {
            if repair {
                std::fs::remove_dir_all(&folder).map_err(|error| DirectoryError::Io(folder.clone(), error))?;
            }
            report.repairable(VIEWS, Place::Whole, unopened(&error), repair);
            Ok(None)
        }
    }
}

fn copy_of(folder: &Path) -> io::Result<(Scratch, PathBuf)> {
    let scratch = Scratch::new()?;
    let copy = scratch.copy(folder, VIEWS)?;
    Ok((scratch, copy))
}

fn uncopied(error: &io::Error) -> String {
    let temporary = std::env::temp_dir();
    format!(
        "they are not checked: they could not be copied to {} ({error}); set TMPDIR to a folder that has as much room \
         as they take up",
        temporary.display()
    )
}

fn unopened(error: &StorageError) -> String {
    format!("the store cannot be opened ({error}); opening the node makes it anew")
}

/// What entries of this log mean.
struct RegistryCheck {
    origin: Origin,
    log_id: LogId,
    log_key: NoteVerifier,
}

impl RegistryCheck {
    fn of(file: &OriginFile) -> Result<Self, String> {
        let origin = Origin::parse(&file.origin).map_err(|error| format!("its origin is none: {error}"))?;
        let no_key = |error: TlogError| format!("it holds a vkey that is none: {error}");
        let vkeys: Vec<Vkey> =
            file.vkeys.iter().map(|text| Vkey::parse(text)).collect::<Result<_, _>>().map_err(no_key)?;
        if vkeys.iter().any(|vkey| matches!(vkey.kind(), VkeyType::Other(_))) {
            return Err("it holds a vkey of a type that no key of a log has".to_owned());
        }
        if vkeys.iter().any(|vkey| vkey.name() != origin.key_name()) {
            return Err("its keys are not named as its origin".to_owned());
        }
        let log_key = vkeys.into_iter().next().ok_or("it names no key")?;
        let log_key = NoteVerifier::new(log_key).map_err(no_key)?;
        Ok(Self { log_id: LogId::of_origin(&file.origin), origin, log_key })
    }
}

/// What is left of that where entries mean nothing.
struct OpaqueCheck(RegistryCheck);

impl EntryCheck for OpaqueCheck {
    fn proves_bodies(&self) -> bool {
        false
    }

    fn body(&self, _: LeafIndex, _: &[u8], _: &SideBody) -> Result<(), String> {
        Err("a mirror keeps none".to_owned())
    }

    fn erased_body(&self, _: LeafIndex, _: &[u8], _: u32) -> Result<(), String> {
        Err("a mirror keeps none".to_owned())
    }

    fn checkpoint(&self, note: &[u8]) -> Result<Option<(TreeSize, Hash)>, String> {
        self.0.checkpoint(note)
    }
}

impl EntryCheck for RegistryCheck {
    fn proves_bodies(&self) -> bool {
        true
    }

    fn body(&self, _: LeafIndex, entry: &[u8], body: &SideBody) -> Result<(), String> {
        let link = Link::parse_entry(entry).map_err(|error| format!("beside what is no link: {error}"))?;
        let beside = Beside { salt: Salt::from_bytes(body.salt), body: body.bytes.to_vec() };
        if beside.matches(link.header()) {
            Ok(())
        } else {
            Err("it is not the one that the link commits to".to_owned())
        }
    }

    fn erased_body(&self, _: LeafIndex, entry: &[u8], len: u32) -> Result<(), String> {
        let link = Link::parse_entry(entry).map_err(|error| format!("beside what is no link: {error}"))?;
        let header = link.header();
        if !header.inline && header.body_len == len && len > 0 {
            Ok(())
        } else {
            Err("none of this length was ever kept beside the link".to_owned())
        }
    }

    fn checkpoint(&self, note: &[u8]) -> Result<Option<(TreeSize, Hash)>, String> {
        let signed = SignedCheckpoint::parse(note).map_err(|error| error.to_string())?;
        let verified = signed.verify(std::slice::from_ref(&self.log_key)).map_err(|error| error.to_string())?;
        let checkpoint = verified.checkpoint();
        if checkpoint.origin() != &self.origin {
            return Err(format!("it is one of the log {}", checkpoint.origin()));
        }
        Ok(Some((checkpoint.size(), checkpoint.root())))
    }
}
