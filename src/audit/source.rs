//! Where a log is read from: over HTTP, or from a directory with the same files.
//!
//! Nothing of it is believed. What is not there is an answer of its own, since a log that does not serve what its
//! checkpoint covers is at fault; what cannot be reached is an error, and says nothing of the log.

use core::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::client::{Client, ClientError, FalseAnswer, Patience};
use crate::hash::HASH_LEN;
use crate::tlog::{MAX_BUNDLE_ENTRIES, MAX_ENTRY_LEN, MAX_NOTE_LEN, TileId, TileKind};

/// Longest bundle that is read, in bytes.
pub const MAX_BUNDLE_LEN: usize = MAX_BUNDLE_ENTRIES * (2 + MAX_ENTRY_LEN);

/// The public files of a log. Several threads ask at once.
pub trait Source: Sync {
    /// The published checkpoint.
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError>;

    /// A tile or bundle, under exactly this path.
    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError>;

    /// How many requests are worth having under way at once.
    fn fetches_at_once(&self) -> usize;
}

/// What is served under the path of a tile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TileBytes {
    /// These bytes.
    Bytes(Vec<u8>),
    /// More than any such tile can have.
    TooLong,
    /// Nothing.
    Missing,
}

/// A log that cannot be read at the moment.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// A node does not answer, or not in a way that says anything.
    Client(ClientError),
    /// A file cannot be read.
    Io(PathBuf, io::Error),
}

/// A log in a directory: `checkpoint` and `tile/`.
#[derive(Debug)]
pub struct DirSource(PathBuf);

/// A log behind the URL that its routes begin with.
#[derive(Debug)]
pub struct HttpSource {
    /// For the first request: whether there is a log at all.
    first: Client,
    /// For all others.
    client: Client,
    runtime: Runtime,
    /// For a request with all its repeats.
    time: Option<Duration>,
}

/// Requests of an audit under way at once.
const HTTP_FETCHES: usize = 8;
/// Files read at once: enough to keep a disk busy.
const FILE_READS: usize = 2;
/// How often a request for a tile is sent at most: a node may be away for ten seconds.
const ATTEMPTS: u32 = 8;

impl DirSource {
    /// The log in this directory.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn read(&self, name: &str, max_len: usize) -> Result<TileBytes, SourceError> {
        let path = self.0.join(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(max_len as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(len) if len > max_len => Ok(TileBytes::TooLong),
            Ok(_) => Ok(TileBytes::Bytes(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TileBytes::Missing),
            Err(error) => Err(SourceError::Io(path, error)),
        }
    }
}

impl Source for DirSource {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        const NAME: &str = "checkpoint";
        match self.read(NAME, MAX_NOTE_LEN)? {
            TileBytes::Bytes(bytes) => Ok(bytes),
            TileBytes::TooLong => Ok(Vec::new()),
            TileBytes::Missing => Err(SourceError::Io(self.0.join(NAME), io::ErrorKind::NotFound.into())),
        }
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        self.read(&tile.to_string(), max_len(tile))
    }

    fn fetches_at_once(&self) -> usize {
        FILE_READS
    }
}

impl HttpSource {
    /// The log whose routes begin with this URL.
    pub fn new(url: &str) -> Result<Self, SourceError> {
        let client = Client::with_patience(url, Patience { attempts: ATTEMPTS, ..Patience::default() })?;
        let first = Client::new(url)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| SourceError::Io(PathBuf::from(url), error))?;
        Ok(Self { first, client, runtime, time: None })
    }

    /// The same, where a request with all its repeats has this time.
    pub fn within(url: &str, time: Duration) -> Result<Self, SourceError> {
        Ok(Self { time: Some(time), ..Self::new(url)? })
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, ClientError>>) -> Result<T, SourceError> {
        let Some(time) = self.time else { return Ok(self.runtime.block_on(request)?) };
        let done = self.runtime.block_on(async { tokio::time::timeout(time, request).await });
        let url = || PathBuf::from(self.client.address());
        Ok(done.map_err(|_| SourceError::Io(url(), io::ErrorKind::TimedOut.into()))??)
    }
}

impl Source for HttpSource {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.wait(self.first.checkpoint())?.into_bytes())
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        match self.wait(self.client.tile_file(tile, max_len(tile))) {
            Ok(Some(bytes)) => Ok(TileBytes::Bytes(bytes)),
            Ok(None) => Ok(TileBytes::Missing),
            Err(SourceError::Client(ClientError::False(FalseAnswer::TooLong))) => Ok(TileBytes::TooLong),
            Err(error) => Err(error),
        }
    }

    fn fetches_at_once(&self) -> usize {
        HTTP_FETCHES
    }
}

/// Longest file of this kind; for hashes a full tile's, since a partial one may have to be cut from it.
const fn max_len(tile: TileId) -> usize {
    match tile.kind() {
        TileKind::Entries => MAX_BUNDLE_LEN,
        TileKind::Hashes(_) => MAX_BUNDLE_ENTRIES * HASH_LEN,
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for SourceError {}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
