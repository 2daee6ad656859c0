//! The directory of an owner's key files: `<name>-admin.key`, `<name>-act.key`, `<name>-next.key`.
//!
//! Those that a key event is about to bring, and those that one has retired, are `staged`'s.

mod staged;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::error::{CliError, CliResult};
use super::output::Output;
use crate::client::{AgentKeys, Signer};
use crate::keyfile::{KEY_FILE_EXTENSION, KeyFile, KeyFileError};
use crate::soul::{Next, is_label, next_commitment};

/// Where keys are.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Directory of the key files [default: ~/.soulchain/keys]
    #[arg(long, env = "SOULCHAIN_KEYS", value_name = "DIR")]
    pub(super) keys: Option<PathBuf>,
}

/// Where keys are, and how new ones are kept.
#[derive(Debug, Args)]
pub(super) struct NewKeyArgs {
    #[command(flatten)]
    pub(super) keys: KeyArgs,
    /// Write new key files without a passphrase; else it is taken from `SOULCHAIN_PASSPHRASE`
    #[arg(long)]
    pub(super) unencrypted: bool,
}

/// A directory of keys, and the passphrase for them.
#[derive(Clone, Debug)]
pub(super) struct KeyDir {
    dir: PathBuf,
    passphrase: Option<SecretString>,
    unencrypted: bool,
}

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Admin,
    Act,
    Next,
}

/// The keys that an agent is founded with.
#[derive(Debug)]
pub(super) struct Founding {
    pub(super) admin: Signer,
    pub(super) act: Signer,
    /// None without a recovery key, or once its file was moved away.
    pub(super) next: Option<Next>,
    /// Whether the files are new.
    pub(super) created: bool,
}

/// The variable that holds the passphrase of key files.
const PASSPHRASE: &str = "SOULCHAIN_PASSPHRASE";
/// The variable that holds that of a recovery key, where it has one of its own.
const RECOVERY_PASSPHRASE: &str = "SOULCHAIN_RECOVERY_PASSPHRASE";

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Admin, Self::Act, Self::Next];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Act => "act",
            Self::Next => "next",
        }
    }
}

impl KeyArgs {
    pub(super) fn dir(&self) -> CliResult<KeyDir> {
        let dir = match &self.keys {
            Some(dir) => dir.clone(),
            None => home()?.join("keys"),
        };
        Ok(KeyDir { dir, passphrase: passphrase(), unencrypted: false })
    }
}

impl NewKeyArgs {
    pub(super) fn dir(&self) -> CliResult<KeyDir> {
        Ok(KeyDir { unencrypted: self.unencrypted, ..self.keys.dir()? })
    }
}

/// `~/.soulchain`
pub(super) fn home() -> CliResult<PathBuf> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let none = || CliError::usage("there is no home directory").hint("name the directory of the keys with --keys DIR");
    Ok(home.ok_or_else(none)?.join(".soulchain"))
}

/// What the environment gives as passphrase.
pub(super) fn passphrase() -> Option<SecretString> {
    std::env::var(PASSPHRASE).ok().map(SecretString::from)
}

/// The passphrase for a new key file; none only where that is asked for.
pub(super) fn passphrase_for_new(unencrypted: bool) -> CliResult<Option<SecretString>> {
    match passphrase() {
        _ if unencrypted => Ok(None),
        Some(passphrase) => Ok(Some(passphrase)),
        None => Err(CliError::usage("no passphrase for the new key files")
            .hint(format!("set {PASSPHRASE}, or say --unencrypted if whoever reads the files may use the keys"))),
    }
}

impl KeyDir {
    /// The file of a key.
    pub(super) fn path(&self, name: &str, role: Role) -> PathBuf {
        self.dir.join(format!("{name}-{}.{KEY_FILE_EXTENSION}", role.name()))
    }

    /// Reads those of an agent's keys that are asked for; one that has no file is left out.
    pub(super) async fn agent_keys(&self, name: &str, roles: &[Role], out: &Output) -> CliResult<AgentKeys> {
        check_name(name)?;
        let mut keys = AgentKeys::default();
        for &role in roles {
            let key = self.read(name, role, out).await?;
            match role {
                Role::Admin => keys.admin = key.as_ref().map(Signer::from),
                Role::Act => keys.act = key.as_ref().map(Signer::from),
                Role::Next => {}
            }
        }
        if keys.iter().next().is_none() {
            let path = self.path(name, roles[0]);
            return Err(CliError::usage(format!("there is no key of `{name}`: {} is missing", path.display()))
                .hint("register the agent here, or name the directory of its keys with --keys"));
        }
        Ok(keys)
    }

    /// The keys to found an agent with: those that are there from an attempt before, or new ones.
    pub(super) async fn founding(&self, name: &str, recovery: bool, out: &Output) -> CliResult<Founding> {
        check_name(name)?;
        let roles = &Role::ALL[..if recovery { 3 } else { 2 }];
        let created = !Role::ALL.iter().any(|role| self.path(name, *role).exists());
        if created {
            let paths = roles.iter().map(|role| self.path(name, *role)).collect();
            self.create(name, paths, out).await?;
        }
        let admin = Signer::from(&self.present(name, Role::Admin, out).await?);
        let act = Signer::from(&self.present(name, Role::Act, out).await?);
        let next = if recovery { self.read(name, Role::Next, out).await? } else { None };
        Ok(Founding { admin, act, next: next.map(|key| next_commitment(key.pk())), created })
    }

    /// Makes keys and writes their files: once this is done they survive a power loss.
    async fn create(&self, name: &str, paths: Vec<PathBuf>, out: &Output) -> CliResult<()> {
        let passphrase = passphrase_for_new(self.unencrypted)?;
        self.make()?;
        if passphrase.is_none() {
            out.warn(format_args!(
                "the keys of `{name}` are not encrypted: whoever can read {} has them",
                self.dir.display()
            ));
        }
        blocking(move || paths.iter().try_for_each(|path| KeyFile::generate()?.write(path, passphrase.as_ref()))).await
    }

    fn make(&self) -> CliResult<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|error| CliError::file(&self.dir, error))
    }

    async fn present(&self, name: &str, role: Role, out: &Output) -> CliResult<KeyFile> {
        let missing = || {
            let path = self.path(name, role);
            CliError::usage(format!("{} is missing, other keys of `{name}` are not", path.display()))
                .hint("put it back, or choose another name or directory")
        };
        self.read(name, role, out).await?.ok_or_else(missing)
    }

    async fn read(&self, name: &str, role: Role, out: &Output) -> CliResult<Option<KeyFile>> {
        let path = self.path(name, role);
        if path.exists() { Ok(Some(read_key(&path, self.passphrase.clone(), out).await?)) } else { Ok(None) }
    }
}

/// Reads a recovery key, which may lie anywhere, and have a passphrase of its own.
pub(super) async fn read_recovery_key(path: &Path, out: &Output) -> CliResult<KeyFile> {
    let own = std::env::var(RECOVERY_PASSPHRASE).ok().map(SecretString::from);
    read_key(path, own.or_else(passphrase), out).await
}

async fn read_key(path: &Path, passphrase: Option<SecretString>, out: &Output) -> CliResult<KeyFile> {
    let file = path.to_owned();
    let opened = blocking(move || KeyFile::read(&file, passphrase.as_ref())).await?;
    if let Some(mode) = opened.open_mode {
        out.warn(format_args!("{} has mode {mode:o}: others can get at it; make it 0600", path.display()));
    }
    Ok(opened.key)
}

/// Key derivation takes tenths of a second, so it is kept off the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, KeyFileError> + Send + 'static) -> CliResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| CliError::failed(format!("reading keys was cut short: {error}")))??)
}

fn check_name(name: &str) -> CliResult<()> {
    if is_label(name) {
        return Ok(());
    }
    Err(CliError::usage(format!("`{name}` is not a name that an agent can have"))
        .hint("1 to 63 of a-z, 0-9, `-` and `_`, neither of these two first or last"))
}
