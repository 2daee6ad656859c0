//! What the node keeps in the store of views, and how it is read back. All of it can be made again from the entries.
//!
//! | key | value |
//! |---|---|
//! | `a` ‖ identity | index of the newest link about it, how many there are |
//! | `i` ‖ identity | length (LEB128) of the registry's state of it, and that; its row, empty where it has one link alone |
//! | `k` ‖ kid | nothing: the key was used |
//! | `r` ‖ curr | nothing: the link was retracted |
//! | `s` ‖ issuer ‖ curr ‖ kind | nothing: the statement stands |
//! | `x` | 3, the version of this page; log time, tree size, who holds office |

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::about::Mentions;
use super::rows::{Kept, Retracted, Row, Rows};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::merkle::{LeafIndex, TreeSize};
use crate::registry::{Changes, IdentityState, Office, Parts, Registry, Shelf, Snapshot, Statement, StatementKind};
use crate::soul::{Curr, Identity, Kid, LogId};
use crate::storage::{StorageError, ViewBatch, Views};

/// Values of another version are made anew.
const VERSION: u8 = 3;

/// How many first bytes an id may have.
const FIRST_BYTES: usize = 256;
/// More would wait for the store.
const MAX_THREADS: usize = 8;

/// Changes since the last flush.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) identities: HashMap<Identity, Arc<IdentityState>>,
    pub(crate) mentions: HashMap<Identity, Mentions>,
    /// Keys without value, and whether they are there.
    marks: BTreeMap<Vec<u8>, bool>,
    sealed: bool,
}

impl Changed {
    pub(crate) fn take(&mut self, changes: Changes) {
        self.sealed = true;
        for state in changes.identities {
            self.identities.insert(state.record.identity, state);
        }
        self.marks.extend(changes.used_keys.iter().map(|kid| (key(b'k', &[kid.as_bytes()]), true)));
        self.marks.extend(changes.retracted.iter().map(|curr| (key(b'r', &[curr.as_bytes()]), true)));
        self.marks.extend(changes.statements.iter().map(|(statement, stands)| (statement_key(statement), *stands)));
    }

    pub(crate) fn into_batch(self, committed: &Snapshot, office: &Office, rows: &Rows) -> ViewBatch {
        let count = self.identities.len() + self.mentions.len() + self.marks.len() + 1;
        let mut changes = Vec::with_capacity(count);
        for (identity, state) in self.identities {
            changes.push((key(b'i', &[identity.as_bytes()]), Some(identity_value(&state, rows))));
        }
        for (identity, mentions) in self.mentions {
            changes.push((key(b'a', &[identity.as_bytes()]), Some(mentions.to_bytes())));
        }
        changes.extend(self.marks.into_iter().map(|(key, stands)| (key, stands.then(Vec::new))));
        if self.sealed {
            changes.push((b"x".to_vec(), Some(general(committed, office))));
        }
        ViewBatch { changes, applied: TreeSize::ZERO }
    }
}

/// Everything that was stored.
pub(crate) struct Loaded {
    pub(crate) registry: Registry,
    pub(crate) rows: Rows,
    pub(crate) retracted: Retracted,
}

/// Reads all of it, identities and keys on as many threads as there are processors.
pub(crate) fn load(views: &dyn Views, log_id: LogId) -> Result<Loaded, StorageError> {
    let mut parts = Parts::default();
    if let Some(value) = views.read(b"x")? {
        (parts.log_time, parts.size, parts.office) = read_general(&value).ok_or_else(damaged)?;
    }
    views.scan(b"r", &mut |key, _| {
        parts.retracted.push(Curr::from_bytes(id(key)?));
        Ok(())
    })?;
    views.scan(b"s", &mut |key, _| {
        parts.statements.push(statement(key).ok_or_else(damaged)?);
        Ok(())
    })?;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let (shelves, rows): (_, Vec<_>) =
        read_portions(views, threads)?.into_iter().map(|portion| (portion.shelf, portion.rows)).unzip();
    let retracted = parts.retracted.iter().copied().collect();
    let (registry, rows) = std::thread::scope(|scope| {
        let rows = scope.spawn(|| Rows::load(concat(rows)));
        let registry = Registry::restore_shelved(log_id, parts, shelves, threads);
        (registry, rows.join().expect("nothing in it panics: rows are moved and sorted"))
    });
    Ok(Loaded { registry, rows, retracted })
}

/// What one thread has read.
#[derive(Default)]
struct Portion {
    shelf: Shelf,
    rows: Vec<(LeafIndex, Kept)>,
}

/// Ids are hashes: threads share them by their first bytes.
fn read_portions(views: &dyn Views, threads: usize) -> Result<Vec<Portion>, StorageError> {
    let next = AtomicU16::new(0);
    let read = || {
        let (mut portion, mut is_first) = (Portion::default(), true);
        while let Ok(first) = u8::try_from(next.fetch_add(1, Ordering::Relaxed)) {
            portion.read(views, first)?;
            if std::mem::take(&mut is_first) {
                portion.expect_times(FIRST_BYTES / threads);
            }
        }
        Ok(portion)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
        let own = read();
        let others = others.into_iter().map(|other| other.join().unwrap_or_else(|_| Err(damaged())));
        std::iter::once(own).chain(others.collect::<Vec<_>>()).collect()
    })
}

impl Portion {
    /// Makes room for `times` as much as was read. To move what was written to greater room takes most of all the time.
    fn expect_times(&mut self, times: usize) {
        self.shelf.expect_times(times);
        self.rows.reserve(self.rows.len() * times);
    }

    /// Reads what belongs to ids that begin with this byte.
    fn read(&mut self, views: &dyn Views, first: u8) -> Result<(), StorageError> {
        let mut mentions = Vec::new();
        views.scan(&[b'a', first], &mut |key, value| {
            mentions.push((id(key)?, Mentions::from_bytes(value).ok_or_else(damaged)?));
            Ok(())
        })?;
        let mut mentions = mentions.into_iter().peekable();
        views.scan(&[b'i', first], &mut |key, value| {
            let id = id(key)?;
            let mentions = mentions.next_if(|(subject, _)| *subject == id).map(|(_, mentions)| mentions);
            self.take(Identity::from_bytes(id), value, mentions).ok_or_else(damaged)
        })?;
        if mentions.next().is_some() {
            return Err(damaged());
        }
        views.scan(&[b'k', first], &mut |key, _| {
            self.shelf.take_key(Kid::from_bytes(id(key)?));
            Ok(())
        })
    }

    fn take(&mut self, identity: Identity, value: &[u8], about: Option<Mentions>) -> Option<()> {
        let mut reader = Reader::new(value);
        let len = usize::try_from(reader.leb128()?).ok()?;
        let (is, genesis) = self.shelf.take(reader.take(len)?)?;
        let kept = match about {
            None if reader.is_empty() => Kept::Founded(identity),
            about => Kept::of(genesis, Row { about, ..Row::read(reader, identity, genesis)? }),
        };
        self.rows.push((genesis, kept));
        (is == identity).then_some(())
    }
}

fn concat<T>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for part in parts {
        all.extend(part);
    }
    all
}

fn id(key: &[u8]) -> Result<[u8; 32], StorageError> {
    key.get(1..).and_then(|id| id.try_into().ok()).ok_or_else(damaged)
}

fn identity_value(state: &IdentityState, rows: &Rows) -> Vec<u8> {
    let (bytes, genesis) = (state.to_bytes(), state.record.standing.genesis_index);
    let mut writer = Writer::with_capacity(bytes.len() + 64);
    writer.leb128(bytes.len() as u64).raw(&bytes);
    rows.get(genesis).expect("a genesis makes a row").write(&mut writer, genesis);
    writer.into_bytes()
}

fn damaged() -> StorageError {
    StorageError::Views("a value is not what was written".into())
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn statement_key(statement: &Statement) -> Vec<u8> {
    let kind = match statement.kind {
        StatementKind::Receipt => 0,
        StatementKind::Feedback => 1,
    };
    key(b's', &[statement.issuer.as_bytes(), statement.link.as_bytes(), &[kind]])
}

fn statement(key: &[u8]) -> Option<Statement> {
    let mut reader = Reader::new(key.get(1..)?);
    let (issuer, link) = (Identity::from_bytes(reader.array()?), Curr::from_bytes(reader.array()?));
    let kind = match reader.u8()? {
        0 => StatementKind::Receipt,
        1 => StatementKind::Feedback,
        _ => return None,
    };
    reader.is_empty().then_some(Statement { issuer, link, kind })
}

fn general(committed: &Snapshot, office: &Office) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u8(VERSION).u64(committed.log_time().get()).u64(committed.size().get());
    writer.raw(office.registrar.unwrap_or_default().as_bytes());
    for list in [&office.registrars, &office.pretrust] {
        writer.u16(list.len() as u16);
        for identity in list {
            writer.raw(identity.as_bytes());
        }
    }
    writer.into_bytes()
}

fn read_general(bytes: &[u8]) -> Option<(UnixMillis, TreeSize, Office)> {
    let mut reader = Reader::new(bytes);
    (reader.u8()? == VERSION).then_some(())?;
    let (log_time, size) = (UnixMillis::new(reader.u64()?), TreeSize::new(reader.u64()?));
    let registrar = Some(Identity::from_bytes(reader.array()?)).filter(|identity| !identity.is_zero());
    let mut list = || {
        let len = usize::from(reader.u16()?);
        (0..len).map(|_| reader.array().map(Identity::from_bytes)).collect::<Option<Vec<_>>>()
    };
    let office = Office { registrar, registrars: list()?, pretrust: list()? };
    reader.is_empty().then_some((log_time, size, office))
}
