//! What the node keeps in the store of views, and how it is read back. All of it can be made again from the entries.
//!
//! | key | value |
//! |---|---|
//! | `a` ‖ identity | index of the newest link about it, how many there are |
//! | `i` ‖ identity | the registry's state of it |
//! | `k` ‖ kid | nothing: the key was used |
//! | `r` ‖ curr | nothing: the link was retracted |
//! | `s` ‖ issuer ‖ curr ‖ kind | nothing: the statement stands |
//! | `w` ‖ identity | its row |
//! | `x` | 2, the version of this page; log time, tree size, who holds office |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::about::Mentions;
use super::rows::{Retracted, Row, Rows};
use crate::encoding::{Reader, UnixMillis, Writer};
use crate::merkle::TreeSize;
use crate::registry::{Changes, IdentityState, Office, Parts, Snapshot, Statement, StatementKind};
use crate::soul::{Curr, Identity, Kid};
use crate::storage::{StorageError, ViewBatch, Views};

/// Values of another version are made anew.
const VERSION: u8 = 2;

/// Changes since the last flush.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) identities: HashMap<Identity, Arc<IdentityState>>,
    pub(crate) rows: HashMap<Identity, Arc<Row>>,
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

    pub(crate) fn into_batch(self, committed: &Snapshot, office: &Office) -> ViewBatch {
        let count = self.identities.len() + self.rows.len() + self.mentions.len() + self.marks.len() + 1;
        let mut changes = Vec::with_capacity(count);
        for (identity, state) in self.identities {
            changes.push((key(b'i', &[identity.as_bytes()]), Some(state.to_bytes())));
        }
        for (identity, row) in self.rows {
            changes.push((key(b'w', &[identity.as_bytes()]), Some(row.to_bytes())));
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
    pub(crate) parts: Parts,
    pub(crate) rows: Rows,
    pub(crate) retracted: Retracted,
}

pub(crate) fn load(views: &dyn Views) -> Result<Loaded, StorageError> {
    let mut parts = Parts::default();
    let mut rows = Vec::new();
    let (mut genesis, mut mentions) = (HashMap::new(), HashMap::new());
    let id = |key: &[u8]| key.get(1..).and_then(|id| id.try_into().ok()).ok_or_else(damaged);
    views.scan(b"a", &mut |key, value| {
        mentions.insert(Identity::from_bytes(id(key)?), Mentions::from_bytes(value).ok_or_else(damaged)?);
        Ok(())
    })?;
    views.scan(b"i", &mut |_, value| {
        let state = IdentityState::from_bytes(value).ok_or_else(damaged)?;
        genesis.insert(state.record.identity, state.record.standing.genesis_index);
        parts.identities.push(state);
        Ok(())
    })?;
    views.scan(b"w", &mut |_, value| {
        let mut row = Row::from_bytes(value).ok_or_else(damaged)?;
        row.about = mentions.remove(&row.identity);
        rows.push((*genesis.get(&row.identity).ok_or_else(damaged)?, Arc::new(row)));
        Ok(())
    })?;
    views.scan(b"k", &mut |key, _| {
        parts.used_keys.push(Kid::from_bytes(id(key)?));
        Ok(())
    })?;
    views.scan(b"r", &mut |key, _| {
        parts.retracted.push(Curr::from_bytes(id(key)?));
        Ok(())
    })?;
    views.scan(b"s", &mut |key, _| {
        parts.statements.push(statement(key).ok_or_else(damaged)?);
        Ok(())
    })?;
    if let Some(value) = views.read(b"x")? {
        (parts.log_time, parts.size, parts.office) = read_general(&value).ok_or_else(damaged)?;
    }
    let rows: Rows = rows.into_iter().collect();
    // Each identity has its row, and each list of links about one its identity.
    if rows.size() != parts.identities.len() || genesis.len() != parts.identities.len() || !mentions.is_empty() {
        return Err(damaged());
    }
    let retracted = parts.retracted.iter().copied().collect();
    Ok(Loaded { parts, rows, retracted })
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
