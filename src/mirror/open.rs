//! Opening a mirror: its directory, its key, and at the first start the question what the log is.
//!
//! The directory is a log's own (`log::directory`), with the log's keys in `origin.json`, and besides them `mirror/`
//! (see `notes`) and, where the mirror cosigns, `keys/mirror.key`. A log of agents has two keys there, the second its
//! instant key; a log of another maker has one, and is mirrored as entries without meaning.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::copy::{Mirror, Parts};
use super::error::MirrorOpenError;
use super::notes::{FOLDER, Notes};
use crate::audit::{HttpSource, Source};
use crate::client::Client;
use crate::clock::Clock;
use crate::keyfile::{AnyKeyFile, KeyAlg};
use crate::log::{Directory, Following, Machine, Opaque, Options, OriginFile, Recovery, follow};
use crate::node::{Node, RegistryMachine, WitnessPolicy};
use crate::soul::LogId;
use crate::tlog::{Cosigner, KeyName, Origin, Policy, SignedCheckpoint, Vkey};

/// How a mirror is opened.
pub struct MirrorOptions {
    /// Its directory; made at the first start.
    pub data: PathBuf,
    /// Where the log is.
    pub url: String,
    /// The policy file by which the log's checkpoints are judged.
    pub policy: Vec<u8>,
    /// The name of the mirror's key; without one it cosigns nothing and takes no submissions.
    pub name: Option<KeyName>,
    /// Of what kind a new key is.
    pub alg: KeyAlg,
    /// Decrypts the key file; without one a new key is written unencrypted.
    pub passphrase: Option<SecretString>,
    /// The time of cosignatures.
    pub clock: Arc<dyn Clock>,
    /// The operator knows that nothing later than this copy of a mirror exists.
    pub confirm_newest: bool,
}

/// A mirror that is open.
pub struct Opened {
    /// The mirror.
    pub mirror: OpenedMirror,
    /// What opening found.
    pub recovery: Recovery,
}

/// By what its entries are.
pub enum OpenedMirror {
    /// A log of agents, with the node that answers questions about them.
    Agents(Mirror<RegistryMachine>, Box<Node>),
    /// A log whose entries are bytes.
    Opaque(Mirror<Opaque>),
}

/// Opens a mirror. The first time it asks the log who it is; what it is told has to meet the policy.
pub fn open(options: &MirrorOptions) -> Result<Opened, MirrorOpenError> {
    let unfit = |what: String| MirrorOpenError::Unfit(what);
    let policy = Policy::parse(&options.policy).map_err(|error| unfit(format!("the policy file: {error}")))?;
    if !Directory::exists(&options.data) {
        let file = ask(&options.url, &policy)?;
        Directory::create(&options.data, &file, |_| Ok(()))?;
    }
    let directory = Directory::open(&options.data)?;
    let file = directory.origin();
    let origin = Origin::parse(&file.origin).map_err(|error| unfit(format!("origin.json: {error}")))?;
    let vkeys = file.vkeys.iter().map(|text| Vkey::parse(text)).collect::<Result<Vec<_>, _>>();
    let mut vkeys = vkeys.map_err(|error| unfit(format!("origin.json: {error}")))?.into_iter();
    let (log_vkey, instant_vkey) = (vkeys.next(), vkeys.next());
    let log_vkey = log_vkey.ok_or_else(|| unfit("origin.json names no key".to_owned()))?;
    if !policy.logs().iter().any(|log| *log.verifier().vkey() == log_vkey) {
        return Err(unfit(format!(
            "the directory mirrors the log {origin}, whose key the policy does not list. Name another directory, or the \
             policy of that log"
        )));
    }
    let cosigner = cosigner(options)?;
    let keys: Vec<_> = [Some(&log_vkey), instant_vkey.as_ref()].into_iter().flatten().collect();
    // A policy without witnesses is none by which a log is run, and one by which it can be mirrored.
    let witnesses = WitnessPolicy::parse(&options.policy, &origin, &keys).ok();
    let parts = |directory| Pieces { directory, origin: origin.clone(), policy, cosigner, options };
    let Some(instant_vkey) = instant_vkey else {
        let (mirror, recovery) = parts(directory).open(Opaque)?;
        return Ok(Opened { mirror: OpenedMirror::Opaque(mirror), recovery });
    };
    let machine = RegistryMachine::new(LogId::of_origin(origin.as_str()));
    let pieces = parts(directory);
    let (following, recovery, pieces) = pieces.follow(machine)?;
    let mut node = Node::following(&following, origin.clone(), log_vkey, instant_vkey);
    if let Some(witnesses) = witnesses {
        node = node.with_witnesses(witnesses);
    }
    let mirror = Mirror::open(pieces.with(following))?;
    Ok(Opened { mirror: OpenedMirror::Agents(mirror, Box::new(node)), recovery })
}

/// What both kinds of mirrors are opened with.
struct Pieces<'a> {
    directory: Directory,
    origin: Origin,
    policy: Policy,
    cosigner: Option<Cosigner>,
    options: &'a MirrorOptions,
}

/// What is left once the log is open.
struct Rest {
    origin: Origin,
    policy: Policy,
    cosigner: Option<Cosigner>,
    clock: Arc<dyn Clock>,
    notes: Notes,
}

impl Pieces<'_> {
    fn open<M: Machine>(self, machine: M) -> Result<(Mirror<M>, Recovery), MirrorOpenError> {
        let (following, recovery, rest) = self.follow(machine)?;
        Ok((Mirror::open(rest.with(following))?, recovery))
    }

    fn follow<M: Machine>(self, machine: M) -> Result<(Following<M>, Recovery, Rest), MirrorOpenError> {
        let folder = self.directory.path().join(FOLDER);
        make_durable_folder(&folder).map_err(|error| MirrorOpenError::Notes(folder, error))?;
        let notes = Notes::on(Arc::clone(self.directory.disk()));
        let storage = self.directory.storage()?;
        let options = Options { confirm_newest: self.options.confirm_newest, ..Options::default() };
        let (following, recovery) = follow(machine, storage, options)?;
        following.engine().keep(Box::new(self.directory));
        let clock = Arc::clone(&self.options.clock);
        let rest = Rest { origin: self.origin, policy: self.policy, cosigner: self.cosigner, clock, notes };
        Ok((following, recovery, rest))
    }
}

impl Rest {
    fn with<M: Machine>(self, following: Following<M>) -> Parts<M> {
        let Self { origin, policy, cosigner, clock, notes } = self;
        Parts { following, origin, policy, cosigner, clock, notes }
    }
}

/// Asks the log who it is: a checkpoint that the policy accepts, and the keys of the node, if it is one.
fn ask(url: &str, policy: &Policy) -> Result<OriginFile, MirrorOpenError> {
    let unfit = |what: String| MirrorOpenError::Unfit(format!("the checkpoint that {url} shows {what}"));
    let note = HttpSource::new(url).and_then(|source| source.checkpoint()).map_err(MirrorOpenError::Source)?;
    let shown = SignedCheckpoint::parse(&note).map_err(|error| unfit(format!("is none: {error}")))?;
    let accepted =
        policy.verify_checkpoint(&shown).map_err(|error| unfit(format!("does not meet the policy: {error}")))?;
    let origin = shown.claim().origin();
    let mut vkeys: Vec<String> = accepted.verified().log_keys().iter().take(1).map(Vkey::to_string).collect();
    if let Some(node_keys) = ask_node(url, origin, policy)? {
        vkeys = node_keys.into();
    }
    Ok(OriginFile { v: 1, origin: origin.to_string(), vkeys })
}

/// The keys of a node of agents; `None` where the log is served by something else.
fn ask_node(url: &str, origin: &Origin, policy: &Policy) -> Result<Option<[String; 2]>, MirrorOpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| MirrorOpenError::Unfit(format!("no runtime: {error}")))?;
    let asked = runtime.block_on(async { Client::new(url)?.log().await });
    let view = match asked {
        Ok(view) => view,
        Err(error) if error.is_unavailable() => return Err(MirrorOpenError::Client(error)),
        // A static server, or a log of another maker.
        Err(_) => return Ok(None),
    };
    let vkeys = [view.log_vkey, view.instant_vkey];
    let parsed = vkeys.iter().map(|vkey| Vkey::parse(vkey).ok()).collect::<Option<Vec<_>>>().unwrap_or_default();
    let are_named = parsed.len() == vkeys.len() && parsed.iter().all(|vkey| vkey.name() == origin.key_name());
    let is_in_policy = parsed.first().is_some_and(|key| policy.logs().iter().any(|log| log.verifier().vkey() == key));
    if view.origin != origin.as_str() || !are_named || !is_in_policy {
        let what = format!("the node at {url} names other keys for {origin} than the policy");
        return Err(MirrorOpenError::Unfit(what));
    }
    Ok(Some(vkeys))
}

/// The mirror's key, made where there is none.
fn cosigner(options: &MirrorOptions) -> Result<Option<Cosigner>, MirrorOpenError> {
    let Some(name) = &options.name else { return Ok(None) };
    let path = options.data.join("keys").join("mirror.key");
    if !path.exists() {
        make_folder(&path)?;
        AnyKeyFile::generate(options.alg)?.write(&path, options.passphrase.as_ref())?;
    }
    let opened = AnyKeyFile::read(&path, options.passphrase.as_ref())?;
    if let Some(mode) = opened.open_mode {
        tracing::warn!(mode = format!("{mode:o}"), "others may read keys/mirror.key: chmod 600 it");
    }
    if opened.is_unencrypted {
        tracing::warn!("keys/mirror.key is not encrypted: who reads it has the key (SOULCHAIN_PASSPHRASE)");
    }
    let cosigner = opened.key.cosigner(name.clone());
    cosigner.map(Some).map_err(|error| MirrorOpenError::Unfit(format!("--name: {error}")))
}

/// The folder of the checkpoints.
fn make_durable_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir(folder)?;
    File::open(folder.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn make_folder(key: &Path) -> Result<(), MirrorOpenError> {
    let folder = key.parent().unwrap_or(Path::new("."));
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| MirrorOpenError::Notes(folder.to_owned(), error))
}
