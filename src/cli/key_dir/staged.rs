//! Keys on their way in and out: what a key event is about to bring, and what it has retired.
//!
//! ```text
//! <name>-act.key                    current
//! <name>-act.new.key                staged: made, durable, not known to be listed by the log yet
//! <name>-act.key.retired-<N>        out of use since the key event at seqno N, kept for audit
//! <name>-act.new.key.retired-<N>    brought by that event, and retired before it came into use here
//! <name>.pending                    the key event that was signed last (`agent::pending`)
//! ```
//!
//! A staged key is never thrown away, since a log may list it whatever its node says. It is used again by the next
//! attempt. No step replaces a file that holds another key, and each can be done again after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use super::{KeyDir, Role, check_name, read_key};
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::Output;
use crate::keyfile::{KEY_FILE_EXTENSION, KeyFile, MAX_KEY_FILE_LEN, lacks_links};
use crate::soul::{RawKey, Seqno};

/// A key whose file took the place of another.
#[derive(Debug)]
pub(in crate::cli) struct Promoted {
    /// Where it is now.
    pub(in crate::cli) path: PathBuf,
    /// Where the one before it is now.
    pub(in crate::cli) retired: Option<PathBuf>,
}

impl KeyDir {
    /// Keeps others from changing keys in this directory. The lock ends with the file.
    pub(in crate::cli) fn lock(&self) -> CliResult<File> {
        self.make()?;
        let dir = File::open(&self.dir).map_err(|error| CliError::file(&self.dir, error))?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            CliError::unavailable(format!("keys in {} are being changed", self.dir.display()))
                .hint("let the other command end first")
        })?;
        Ok(dir)
    }

    /// Where a key event is kept until it is known to be logged.
    pub(in crate::cli) fn pending_path(&self, name: &str) -> CliResult<PathBuf> {
        check_name(name)?;
        Ok(self.dir.join(format!("{name}.pending")))
    }

    /// The key that is staged for a role.
    pub(in crate::cli) async fn staged(&self, name: &str, role: Role, out: &Output) -> CliResult<Option<KeyFile>> {
        let path = self.staged_path(name, role);
        if path.exists() { Ok(Some(read_key(&path, self.passphrase.clone(), out).await?)) } else { Ok(None) }
    }

    /// The public key that is current for a role, as its file names it.
    pub(in crate::cli) fn current_pk(&self, name: &str, role: Role) -> CliResult<Option<RawKey>> {
        read_public(&self.path(name, role))
    }

    /// The same of the key that is staged.
    pub(in crate::cli) fn staged_pk(&self, name: &str, role: Role) -> CliResult<Option<RawKey>> {
        read_public(&self.staged_path(name, role))
    }

    /// Stages keys for these roles: those that are staged already, and new ones.
    pub(in crate::cli) async fn stage(&self, name: &str, roles: &[Role], out: &Output) -> CliResult<()> {
        check_name(name)?;
        let paths = roles.iter().map(|role| self.staged_path(name, *role));
        let missing: Vec<_> = paths.filter(|path| !path.exists()).collect();
        if missing.is_empty() { Ok(()) } else { self.create(name, missing, out).await }
    }

    /// The staged key of a role becomes the current one; the current one is kept aside. Nothing if none is staged.
    pub(in crate::cli) fn promote(&self, name: &str, role: Role, event: Seqno) -> CliResult<Option<Promoted>> {
        let (staged, path) = (self.staged_path(name, role), self.path(name, role));
        if !staged.exists() {
            return Ok(None);
        }
        // A crash between the two leaves the current key under both names.
        let retired = self.keep_aside(&path, event)?;
        fs::rename(&staged, &path).map_err(|error| CliError::file(&path, error))?;
        self.sync()?;
        Ok(Some(Promoted { path, retired }))
    }

    /// The current key of a role is kept aside, and none takes its place. Nothing if there is none.
    pub(in crate::cli) fn retire(&self, name: &str, role: Role, event: Seqno) -> CliResult<Option<PathBuf>> {
        self.put_aside(&self.path(name, role), event)
    }

    /// The same of the staged key. The current one stays.
    pub(in crate::cli) fn retire_staged(&self, name: &str, role: Role, event: Seqno) -> CliResult<Option<PathBuf>> {
        self.put_aside(&self.staged_path(name, role), event)
    }

    fn staged_path(&self, name: &str, role: Role) -> PathBuf {
        self.dir.join(format!("{name}-{}.new.{KEY_FILE_EXTENSION}", role.name()))
    }

    fn put_aside(&self, path: &Path, event: Seqno) -> CliResult<Option<PathBuf>> {
        let aside = self.keep_aside(path, event)?;
        if aside.is_some() {
            fs::remove_file(path).map_err(|error| CliError::file(path, error))?;
            self.sync()?;
        }
        Ok(aside)
    }

    /// Gives a key file a second name, which is not that of another file.
    fn keep_aside(&self, path: &Path, event: Seqno) -> CliResult<Option<PathBuf>> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".retired-{event}"));
        let aside = PathBuf::from(name);
        let named = fs::hard_link(path, &aside);
        let named = if named.as_ref().is_err_and(lacks_links) { copy_aside(path, &aside) } else { named };
        match named {
            Ok(()) => self.sync()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !is_same(path, &aside) {
                    return Err(CliError::file(&aside, error)
                        .hint("nothing is overwritten: move that file to another place, and run the command again"));
                }
                // The attempt that made it may have ended before its name was durable.
                self.sync()?;
            }
            Err(error) => return Err(CliError::file(&aside, error)),
        }
        Ok(Some(aside))
    }

    fn sync(&self) -> CliResult<()> {
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| CliError::file(&self.dir, error))
    }
}

fn read_public(path: &Path) -> CliResult<Option<RawKey>> {
    if path.exists() { Ok(Some(KeyFile::read_public(path)?)) } else { Ok(None) }
}

/// Where files cannot have two names: a copy, which is durable before it has its own. Whoever changes keys here has the
/// lock, so that no other file gets the name in between.
fn copy_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let contents = read_whole(path)?;
    if aside.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut temporary = aside.as_os_str().to_owned();
    temporary.push(".tmp");
    // What an earlier attempt left may have any mode; the copy has its own.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&contents)?;
    file.sync_all()?;
    fs::rename(&temporary, aside)
}

/// Whether both are names of one file, or hold the same key in the same bytes.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
    // A link to the other file would go with it.
    if !fs::symlink_metadata(other).is_ok_and(|found| found.is_file()) {
        return false;
    }
    let is_one = matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other);
    is_one || matches!((read_whole(one), read_whole(other)), (Ok(one), Ok(other)) if *one == *other)
}

fn read_whole(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for one byte too many from the start: growing would leave copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_LEN + 1));
    File::open(path)?.take(MAX_KEY_FILE_LEN as u64 + 1).read_to_end(&mut contents)?;
    if contents.len() > MAX_KEY_FILE_LEN { Err(io::ErrorKind::InvalidData.into()) } else { Ok(contents) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, KeyDir) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = KeyDir { dir: temporary.path().into(), passphrase: None, unencrypted: true };
        (temporary, dir)
    }

    fn stage(dir: &KeyDir) -> KeyFile {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let out = Output::new(true);
            dir.stage("a", &[Role::Act], &out).await.unwrap();
            dir.staged("a", Role::Act, &out).await.unwrap().unwrap()
        })
    }

    fn kid(path: &Path) -> crate::soul::Kid {
        KeyFile::read(path, None).unwrap().key.kid()
    }

    const EVENT: Seqno = Seqno::new(5);

    #[test]
    fn a_staged_key_is_staged_until_it_takes_its_place() {
        let (_temporary, dir) = dir();
        let first = stage(&dir);
        assert_eq!(stage(&dir).kid(), first.kid(), "made once");
        let promoted = dir.promote("a", Role::Act, EVENT).unwrap().unwrap();
        assert_eq!((kid(&promoted.path), promoted.retired), (first.kid(), None));
        assert!(dir.promote("a", Role::Act, EVENT).unwrap().is_none(), "done again, it does nothing");
        let second = stage(&dir);
        let promoted = dir.promote("a", Role::Act, Seqno::new(6)).unwrap().unwrap();
        assert_eq!((kid(&promoted.path), kid(&promoted.retired.unwrap())), (second.kid(), first.kid()));
    }

    #[test]
    fn after_a_crash_between_two_steps_it_goes_on() {
        let (_temporary, dir) = dir();
        stage(&dir);
        let path = dir.promote("a", Role::Act, EVENT).unwrap().unwrap().path;
        let (old, new) = (kid(&path), stage(&dir));
        // As a crash leaves it that kept the current key aside and did not get to the rename.
        dir.keep_aside(&path, EVENT).unwrap().unwrap();
        let promoted = dir.promote("a", Role::Act, EVENT).unwrap().unwrap();
        assert_eq!((kid(&path), kid(&promoted.retired.unwrap())), (new.kid(), old));
        // And so where the key is retired without another.
        dir.keep_aside(&path, Seqno::new(7)).unwrap().unwrap();
        let retired = dir.retire("a", Role::Act, Seqno::new(7)).unwrap().unwrap();
        assert_eq!((kid(&retired), path.exists()), (new.kid(), false));
        assert_eq!(dir.retire("a", Role::Act, Seqno::new(7)).unwrap(), None);
    }

    #[test]
    fn no_other_key_is_overwritten() {
        let (_temporary, dir) = dir();
        stage(&dir);
        let path = dir.promote("a", Role::Act, EVENT).unwrap().unwrap().path;
        let (old, new) = (kid(&path), stage(&dir));
        let aside = path.with_file_name("a-act.key.retired-5");
        fs::write(&aside, "another").unwrap();
        assert!(dir.promote("a", Role::Act, EVENT).is_err());
        assert_eq!((kid(&path), kid(&dir.staged_path("a", Role::Act))), (old, new.kid()));
        assert_eq!(fs::read_to_string(&aside).unwrap(), "another");
    }

    #[test]
    fn a_staged_key_that_is_retired_leaves_the_current_one() {
        let (_temporary, dir) = dir();
        stage(&dir);
        let path = dir.promote("a", Role::Act, EVENT).unwrap().unwrap().path;
        let (old, new) = (kid(&path), stage(&dir));
        let aside = dir.retire_staged("a", Role::Act, EVENT).unwrap().unwrap();
        assert_eq!(aside.file_name().unwrap(), "a-act.new.key.retired-5");
        assert_eq!((kid(&path), kid(&aside)), (old, new.kid()));
        assert_eq!(dir.staged_pk("a", Role::Act).unwrap(), None);
        assert_eq!(dir.current_pk("a", Role::Act).unwrap().map(|pk| crate::soul::kid(&pk)), Some(old));
        assert_eq!(dir.retire_staged("a", Role::Act, EVENT).unwrap(), None, "done again, it does nothing");
    }

    #[test]
    fn where_a_file_cannot_have_two_names_it_is_copied() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_temporary, dir) = dir();
        stage(&dir);
        let path = dir.promote("a", Role::Act, EVENT).unwrap().unwrap().path;
        let (old, new) = (kid(&path), stage(&dir));
        let aside = path.with_file_name("a-act.key.retired-5");
        let temporary = path.with_file_name("a-act.key.retired-5.tmp");
        // As a crash leaves it that came in the middle of the copy.
        fs::write(&temporary, "{\"v\":1,").unwrap();
        copy_aside(&path, &aside).unwrap();
        assert_eq!((kid(&aside), fs::metadata(&aside).unwrap().permissions().mode() & 0o777), (old, 0o600));
        assert!(!temporary.exists());
        // A crash after it: what is done again finds the copy.
        assert_eq!(copy_aside(&path, &aside).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let promoted = dir.promote("a", Role::Act, EVENT).unwrap().unwrap();
        assert_eq!((kid(&path), kid(&promoted.retired.unwrap())), (new.kid(), old));
        // What is too long for a key file is not cut short.
        let long = path.with_file_name("long");
        fs::write(&long, vec![0; MAX_KEY_FILE_LEN + 1]).unwrap();
        assert!(copy_aside(&long, &path.with_file_name("short")).is_err());
        let absent = copy_aside(&path.with_file_name("absent"), &path.with_file_name("b"));
        assert_eq!(absent.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_at_a_time() {
        let (_temporary, dir) = dir();
        let lock = dir.lock().unwrap();
        assert!(dir.lock().is_err());
        drop(lock);
        dir.lock().unwrap();
    }
}
