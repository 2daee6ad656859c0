//! Opening a node: its directory, its keys, and at the first start the founding of the log.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use secrecy::SecretString;

use super::keys::{NodeKeys, checkpoint_signer, signer};
use super::machine::RegistryMachine;
use super::submit::AppendError;
use super::{Node, PUBLIC_KEYS, Submitted};
use crate::clock::{Clock, SystemClock};
use crate::encoding::UnixMillis;
use crate::hash::sha256;
use crate::keyfile::{KeyFile, KeyFileError};
use crate::log::{Directory, DirectoryError, OpenError, Options, OriginFile, PoolLimits, Recovery, Storage, open};
use crate::merkle::TreeSize;
use crate::soul::{
    Body, ChainPosition, Draft, Genesis, Identity, KeyEntry, LogId, Outcome, Profile, Refusal, Roles, Seqno,
    next_commitment,
};
use crate::storage::{Disk, StorageError};
use crate::tlog::{Origin, TlogError};

/// Which store holds the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ViewStore {
    /// fjall.
    #[default]
    Fjall,
    /// sled.
    #[cfg(feature = "sled")]
    Sled,
}

/// How a node is opened.
pub struct NodeOptions {
    /// Its directory; made at the first start.
    pub data: PathBuf,
    /// The origin of a new log; `local/` and 8 random hex digits if absent. Of an existing one it must be the same.
    pub origin: Option<String>,
    /// Whether a new log has an ML-DSA-44 key beside its Ed25519 key. An existing one keeps what it has.
    pub ml_dsa: bool,
    /// Decrypts the key files; without one a new node writes them unencrypted.
    pub passphrase: Option<SecretString>,
    /// Limits of the pool.
    pub pool: PoolLimits,
    /// The operator knows that nothing later than this copy exists.
    pub confirm_newest: bool,
    /// Which store holds the views.
    pub views: ViewStore,
    /// How long a frame waits for its flush at most: another time is for tests, which need it early or not at all.
    pub flush_after: Duration,
}

/// What a node stands on: the system's clock and disk, or doubles of them for tests.
pub struct Platform {
    /// The source of log time.
    pub clock: Arc<dyn Clock>,
    /// The disk with the directory's log; the system's if absent.
    pub disk: Option<Arc<dyn Disk>>,
}

impl Default for Platform {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::new()), disk: None }
    }
}

/// Why a node could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The directory.
    Directory(DirectoryError),
    /// The log in it.
    Open(OpenError),
    /// A key file.
    Key(KeyFileError),
    /// The origin cannot be one.
    Origin(TlogError),
    /// The directory holds a log of another origin.
    OtherOrigin {
        /// Of the directory.
        found: String,
        /// That was asked for.
        asked: String,
    },
    /// A key file is not the key that `origin.json` names.
    OtherKey(&'static str),
    /// The founding links were not appended.
    Founding(String),
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Key(error) => write!(f, "{error} ({})", error.hint()),
            Self::Origin(error) => write!(f, "this is no origin: {error}"),
            Self::OtherOrigin { found, asked } => {
                write!(
                    f,
                    "the directory holds the log {found}, not {asked}; leave --origin out or name another directory"
                )
            }
            Self::OtherKey(name) => write!(
                f,
                "keys/{name}.key is not the key that origin.json names: a log never changes its keys. Restore the file"
            ),
            Self::Founding(what) => write!(f, "the log could not be founded: {what}"),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<DirectoryError> for NodeError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl From<OpenError> for NodeError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<KeyFileError> for NodeError {
    fn from(error: KeyFileError) -> Self {
        Self::Key(error)
    }
}

/// The files of the keys that `origin.json` names, in its order; the last one need not be there.
const KEY_NAMES: [&str; 3] = ["log", "instant", "log-ml-dsa"];

impl Node {
    /// Opens a node, making its directory at the first start. Returns when the log is founded and its state recovered.
    pub fn open(options: NodeOptions) -> Result<(Self, Recovery), NodeError> {
        Self::open_on(options, Platform::default())
    }

    /// The same on another clock or disk. A first start makes the directory on the system's disk all the same.
    #[expect(clippy::needless_pass_by_value, reason = "the passphrase in it is not kept")]
    pub fn open_on(options: NodeOptions, platform: Platform) -> Result<(Self, Recovery), NodeError> {
        let passphrase = options.passphrase.as_ref();
        if !Directory::exists(&options.data) {
            create(&options, passphrase)?;
        }
        let mut directory = Directory::open(&options.data)?;
        if let Some(disk) = platform.disk {
            directory = directory.with_disk(disk);
        }
        let found = directory.origin().origin.clone();
        if let Some(asked) = options.origin.as_ref().filter(|asked| **asked != found) {
            return Err(NodeError::OtherOrigin { found, asked: asked.clone() });
        }
        let origin = Origin::parse(&found).map_err(NodeError::Origin)?;
        let listed = &directory.origin().vkeys;
        let keys = NodeKeys::read(&options.data, passphrase, listed.len() > KEY_NAMES.len() - 1)?;
        let cosigner = keys.cosigner(&origin).map_err(NodeError::Origin)?;
        let vkeys = [signer(&origin, &keys.log).vkey().clone(), signer(&origin, &keys.instant).vkey().clone()];
        let ml_dsa_vkey = cosigner.as_ref().map(|cosigner| cosigner.vkey().clone());
        for (at, name) in KEY_NAMES.iter().enumerate().take(listed.len().max(vkeys.len())) {
            let vkey = vkeys.iter().chain(&ml_dsa_vkey).nth(at).map(ToString::to_string);
            if vkey.as_ref() != listed.get(at) {
                return Err(NodeError::OtherKey(name));
            }
        }
        let log_id = LogId::of_origin(&found);
        let storage = storage(&directory, options.views)?;
        let log_options =
            Options { pool: options.pool, confirm_newest: options.confirm_newest, flush_after: options.flush_after };
        let sign = checkpoint_signer(&origin, &keys.instant, None);
        let (engine, recovery) = open(RegistryMachine::new(log_id), storage, sign, platform.clock, log_options)?;
        engine.keep(Box::new(directory));
        let [log_vkey, instant_vkey] = vkeys;
        let sign_published = checkpoint_signer(&origin, &keys.log, cosigner);
        let public_keys = Arc::new(Cache::new(PUBLIC_KEYS));
        let node = Self {
            engine,
            origin,
            log_id,
            log_vkey,
            ml_dsa_vkey,
            instant_vkey,
            sign_published,
            witnesses: None,
            public_keys,
        };
        if node.view().size() == TreeSize::ZERO {
            node.found(&keys)?;
        }
        Ok((node, recovery))
    }

    /// Appends the first two links: the registrar, and its profile, which names the instant key.
    fn found(&self, keys: &NodeKeys) -> Result<(), NodeError> {
        let failed = |what: &dyn std::fmt::Display| NodeError::Founding(what.to_string());
        let links = founding_links(self, keys).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| failed(&error))?;
        // Opening is done off any runtime's threads, so this may block.
        let appended = std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(self.append(links, |_, _| Ok::<_, Infallible>(())))).join()
        });
        match appended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(AppendError::Refused { refusal, .. })) => Err(failed(&refusal)),
            Ok(Err(error)) => Err(NodeError::Founding(format!("{error:?}"))),
            Err(_) => Err(NodeError::Founding("a thread stopped unexpectedly".into())),
        }
    }
}

fn create(options: &NodeOptions, passphrase: Option<&SecretString>) -> Result<(), NodeError> {
    let origin = match &options.origin {
        Some(origin) => origin.clone(),
        None => random_origin()?,
    };
    let parsed = Origin::parse(&origin).map_err(NodeError::Origin)?;
    let keys = NodeKeys::generate(options.ml_dsa)?;
    let mut vkeys = [&keys.log, &keys.instant].map(|key| signer(&parsed, key).vkey().to_string()).to_vec();
    vkeys.extend(keys.cosigner(&parsed).map_err(NodeError::Origin)?.map(|cosigner| cosigner.vkey().to_string()));
    let file = OriginFile { v: 1, origin, vkeys };
    Ok(Directory::create(&options.data, &file, |directory| keys.write(directory, passphrase))?)
}

fn random_origin() -> Result<String, NodeError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| NodeError::Key(KeyFileError::NoRandomness(error)))?;
    Ok(format!("local/{}", crate::encoding::hex_encode(&bytes)))
}

fn storage(directory: &Directory, views: ViewStore) -> Result<Storage, NodeError> {
    match views {
        ViewStore::Fjall => Ok(directory.storage()?),
        #[cfg(feature = "sled")]
        ViewStore::Sled => Ok(directory.storage_on_sled()?),
    }
}

fn founding_links(node: &Node, keys: &NodeKeys) -> Result<Vec<Submitted>, Refusal> {
    let now = crate::clock::now();
    let admin = keys.admin.signing_key();
    let mut draft = draft(node.log_id(), ChainPosition::GENESIS, now, &keys.admin);
    let genesis = Body::Genesis(Genesis {
        name: Some("registrar".into()),
        keys: key_set(keys),
        next: keys.next.as_ref().map(|key| next_commitment(key.pk())),
        guardians: None,
        controller: None,
        custodian: None,
        pop: vec![draft.pop(&keys.act.signing_key())],
    });
    let (genesis, _) = draft.inline(&genesis)?.sign(&admin);
    draft.position = ChainPosition {
        identity: Identity::from(genesis.curr()),
        seqno: Seqno::FIRST.next(),
        prev: genesis.curr(),
        auth: genesis.curr(),
    };
    let instant_key = sha256(&[node.instant_vkey().to_string().as_bytes()]);
    let profile = Body::Profile(Profile {
        display_name: Some(format!("Registrar of {}", node.origin())),
        hashes: vec![("instant-key".into(), instant_key)],
        ..Profile::default()
    });
    let (profile, _) = draft.inline(&profile)?.sign(&admin);
    Ok(vec![(genesis, None), (profile, None)])
}

fn draft(log_id: LogId, position: ChainPosition, ctime: UnixMillis, key: &KeyFile) -> Draft {
    Draft { log_id, position, ctime, anchor: None, outcome: Outcome::None, kid: key.kid() }
}

fn key_set(keys: &NodeKeys) -> Vec<KeyEntry> {
    let mut set = vec![
        KeyEntry::new(*keys.admin.pk(), Roles { act: false, admin: true }),
        KeyEntry::new(*keys.act.pk(), Roles { act: true, admin: false }),
    ];
    set.sort_by_key(|key| key.kid);
    set
}

impl From<StorageError> for NodeError {
    fn from(error: StorageError) -> Self {
        Self::Directory(error.into())
    }
}
