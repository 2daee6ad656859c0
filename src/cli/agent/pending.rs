//! A key event on disk from before it is sent until it is known to be logged.
//!
//! ```text
//! <key directory>/<name>.pending
//! {"log_id":hex,"identity":hex,"wish":{"command":"rotate","roles":["admin","act"],…},"link":b64}
//! ```
//!
//! It is replaced whole, and only once the link in it is known not to be logged. Sent again it is answered with its place,
//! if it is logged; so a command that was cut off at any point is finished by giving it once more.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::Role;
use crate::client::SignedLink;
use crate::encoding::{b64_decode, b64_encode};
use crate::soul::{Identity, LogId};
use crate::wire::{read_links, write_links};

/// What was asked for: two commands that wish the same are one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Wish {
    pub(super) command: Command,
    /// Which keys are new.
    pub(super) roles: Vec<Role>,
    pub(super) suspect_from: Option<u64>,
    pub(super) custodian: Option<String>,
    pub(super) reason: Option<String>,
    /// Whether the recovery key signs. A revocation that it signed is final, another is not.
    pub(super) by_next: bool,
}

/// Which command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    Rotate,
    Recover,
    Revoke,
}

/// A key event that was signed and perhaps sent.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) log_id: LogId,
    pub(super) identity: Identity,
    pub(super) wish: Wish,
    pub(super) link: SignedLink,
}

/// Where it is kept.
#[derive(Debug)]
pub(super) struct PendingFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    log_id: String,
    identity: String,
    wish: Wish,
    link: String,
}

/// Longest file that is read, in bytes: a link with a body of 60,000, in base64.
const MAX_LEN: u64 = 1 << 17;

impl PendingFile {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// What is pending, if anything is.
    pub(super) fn read(&self) -> CliResult<Option<Pending>> {
        let bytes = match fs::metadata(&self.path) {
            Ok(found) if found.len() > MAX_LEN => return Err(self.damaged()),
            Ok(_) => fs::read(&self.path).map_err(|error| CliError::file(&self.path, error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::file(&self.path, error)),
        };
        let written = serde_json::from_slice::<Written>(&bytes).ok();
        Ok(Some(written.and_then(Pending::of).ok_or_else(|| self.damaged())?))
    }

    /// Keeps a link that is about to be sent. Once this is done it survives a power loss.
    pub(super) fn write(&self, pending: &Pending) -> CliResult<()> {
        let text = serde_json::to_vec(&pending.written()).expect("a map with text keys");
        let temporary = self.path.with_extension("pending.tmp");
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            self.sync()
        };
        write().map_err(|error| CliError::file(&self.path, error))
    }

    /// Nothing is pending any more.
    pub(super) fn remove(&self) -> CliResult<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(CliError::file(&self.path, error)),
            _ => self.sync().map_err(|error| CliError::file(&self.path, error)),
        }
    }

    fn sync(&self) -> std::io::Result<()> {
        fs::File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    fn damaged(&self) -> CliError {
        CliError::usage(format!("{} is damaged", self.path.display()))
            .hint("move it away and run the command again: new keys that are here are used, whether they are listed is looked up")
    }
}

impl Pending {
    fn of(written: Written) -> Option<Self> {
        let mut links = read_links(&b64_decode(&written.link)?).ok()?;
        let link = links.pop().filter(|_| links.is_empty())?.into();
        let (log_id, identity) = (LogId::from_hex(&written.log_id)?, Identity::from_hex(&written.identity)?);
        Some(Self { log_id, identity, wish: written.wish, link })
    }

    fn written(&self) -> Written {
        Written {
            log_id: self.log_id.to_hex(),
            identity: self.identity.to_hex(),
            wish: self.wish.clone(),
            link: b64_encode(&write_links([(&self.link.link, self.link.beside.as_ref())])),
        }
    }
}
