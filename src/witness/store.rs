//! What a witness must not forget: of each log the newest checkpoint that it cosigned.
//!
//! ```text
//! journal/   the commit point: a frame is a batch of records of any logs
//! state      the snapshot, from which the journal counts; replaced atomically
//! ```
//!
//! [`Store::append`] returns after the sync: only then may a cosignature of the batch leave. What each crash leaves:
//!
//! - before the sync: nothing, or a torn frame, which nobody was answered for; or the whole frame, which is then
//!   remembered though nobody was answered. A witness may remember more than it said, never less;
//! - between a snapshot and the removal of old segments: both; the snapshot counts;
//! - a damaged snapshot or frame, a missing segment: opening refuses. A witness that forgets signs split views.

use std::sync::Arc;

use super::error::OpenError;
use super::keys::WitnessKeys;
use super::record::{Record, Records, Snapshot, read_records};
use crate::encoding::Writer;
use crate::storage::{
    Blobs, ChecksumKey, Commits, Disk, FileBlobs, FileJournal, FrameBuffer, FrameKind, Journal as _, StorageError,
};
use crate::tlog::{KeyName, Vkey};

/// The snapshot.
pub(super) const STATE: &str = "state";
const JOURNAL_KEY: &str = "journal/key";
/// Bytes of a segment of a new journal. Smaller than a log's: each start fills one with zeros.
const SEGMENT_LEN: u64 = 16 << 20;
/// A batch takes no further record beyond so many bytes.
pub(super) const MAX_BATCH_LEN: usize = 4 << 20;
/// A snapshot is written after so many bytes of records, or after as many as the last one had, if that is more.
const SNAPSHOT_AFTER: usize = 32 << 20;

/// The durable state, open for writing.
pub(super) struct Store {
    blobs: FileBlobs,
    commits: Box<dyn Commits>,
    name: KeyName,
    keys: Vec<Vkey>,
    segment_len: u64,
    records: Records,
    since_snapshot: usize,
    snapshot_after: usize,
    least_snapshot_after: usize,
}

/// What opening found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Logs of which something is remembered.
    pub logs: usize,
    /// Cosigned checkpoints that were read from the journal.
    pub replayed: usize,
    /// Whether a frame that nobody was answered for was dropped.
    pub torn_frame: bool,
}

/// Makes the state of a witness with these keys that has cosigned nothing, on a disk without files.
///
/// Never where there was one: whoever calls this has seen that the directory is new. `key` is random.
pub fn create(disk: &Arc<dyn Disk>, keys: &WitnessKeys, key: [u8; 32]) -> Result<(), StorageError> {
    create_with_segments(disk, keys, key, SEGMENT_LEN)
}

/// The same with segments of another length. A batch has to fit into one, so this is for tests that send little.
pub fn create_with_segments(
    disk: &Arc<dyn Disk>,
    keys: &WitnessKeys,
    key: [u8; 32],
    segment_len: u64,
) -> Result<(), StorageError> {
    let blobs = FileBlobs::new(Arc::clone(disk));
    blobs.commit(JOURNAL_KEY, &key)?;
    let mark = journal(disk, key, segment_len).create()?;
    let (name, keys) = (keys.name().clone(), Some(keys.vkeys().cloned().collect()));
    blobs.commit(STATE, &Snapshot { name, keys, segment_len, mark, records: Records::new() }.encode())
}

impl Store {
    /// Opens the state of the witness of this name and these keys. What it found is durable when it returns.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        keys: &WitnessKeys,
        snapshot_after: Option<usize>,
    ) -> Result<(Self, Recovery), OpenError> {
        let blobs = FileBlobs::new(Arc::clone(disk));
        let missing = |name: &str| StorageError::Missing { name: name.to_owned() };
        let bytes = blobs.read(STATE)?.ok_or_else(|| missing(STATE))?;
        let damaged = || StorageError::Damaged { name: STATE.into(), offset: 0, what: "not the state of a witness" };
        let mut snapshot = Snapshot::decode(&bytes).ok_or_else(damaged)?;
        if snapshot.name != *keys.name() {
            return Err(OpenError::OtherName { found: snapshot.name });
        }
        let given: Vec<Vkey> = keys.vkeys().cloned().collect();
        // An earlier version wrote no keys: the state is taken to be that of the keys that lie beside it.
        let is_bound = snapshot.keys.as_ref().map(|known| same_keys(known, &given)).transpose()?.is_some();
        let key = blobs.read(JOURNAL_KEY)?.ok_or_else(|| missing(JOURNAL_KEY))?;
        let key = key.try_into().map_err(|_| StorageError::Damaged {
            name: JOURNAL_KEY.into(),
            offset: 0,
            what: "not 32 bytes",
        })?;
        let journal = journal(disk, key, snapshot.segment_len);
        let scan = journal.scan(&snapshot.mark)?;
        let mut replayed = 0;
        for frame in &scan.frames {
            replayed += replay(&mut snapshot.records, frame.kind, &frame.payload)
                .ok_or(OpenError::Journal { frame: frame.number })?;
        }
        // A crash up to here has changed nothing. The last frame may not be on the medium: `resume` writes it anew, so that
        // what was found is durable though there be no room for the snapshot.
        let least = snapshot_after.unwrap_or(SNAPSHOT_AFTER);
        let mut store = Self {
            blobs,
            commits: journal.resume(&scan)?,
            name: snapshot.name,
            keys: given,
            segment_len: snapshot.segment_len,
            records: snapshot.records,
            since_snapshot: 0,
            snapshot_after: least,
            least_snapshot_after: least,
        };
        if is_bound {
            store.snapshot()?;
        } else {
            store.write_snapshot()?;
        }
        let recovery = Recovery { logs: store.records.len(), replayed, torn_frame: scan.torn };
        Ok((store, recovery))
    }

    /// Of each log the newest record.
    pub(super) const fn records(&self) -> &Records {
        &self.records
    }

    /// Makes records durable, in their order. After [`StorageError::NoSpace`] nothing has changed, and the same may be
    /// tried again; after any other error what is on disk is unknown.
    pub(super) fn append(&mut self, records: &[Arc<Record>]) -> Result<(), StorageError> {
        let len = records.iter().map(|record| record.encoded_len()).sum();
        let mut payload = Writer::with_capacity(len);
        for record in records {
            record.encode(&mut payload);
        }
        let payload = payload.into_bytes();
        self.commits.reserve(len)?;
        let mut frame = FrameBuffer::with_capacity(len);
        frame.raw(&payload);
        self.commits.append(FrameKind::Batch, frame)?;
        for record in records {
            self.records.insert(record.origin.clone(), Arc::clone(record));
        }
        self.since_snapshot += len;
        Ok(())
    }

    /// Whether the journal has grown enough for [`Store::snapshot`].
    pub(super) const fn wants_snapshot(&self) -> bool {
        self.since_snapshot >= self.snapshot_after
    }

    /// Writes a snapshot and forgets the segments before it. Where there is no room for one the journal goes on.
    pub(super) fn snapshot(&mut self) -> Result<(), StorageError> {
        match self.write_snapshot() {
            Err(error) if error.outcome_is_known() => Ok(()),
            written => written,
        }
    }

    fn write_snapshot(&mut self) -> Result<(), StorageError> {
        let mark = self.commits.last();
        let (name, keys, segment_len) = (self.name.clone(), Some(self.keys.clone()), self.segment_len);
        let snapshot = Snapshot { name, keys, segment_len, mark, records: self.records.clone() }.encode();
        self.since_snapshot = 0;
        self.snapshot_after = self.least_snapshot_after.max(snapshot.len());
        self.blobs.commit(STATE, &snapshot)?;
        self.commits.drop_before(&mark)
    }
}

/// Whether these are the keys that a state was made with, all of them and no other.
fn same_keys(known: &[Vkey], given: &[Vkey]) -> Result<(), OpenError> {
    if let Some(missing) = known.iter().find(|key| !given.contains(key)) {
        let other = given.iter().find(|key| key.kind() == missing.kind());
        return Err(match other {
            Some(given) => OpenError::OtherKey { known: Box::new(missing.clone()), given: Box::new(given.clone()) },
            None => OpenError::MissingKey { known: Box::new(missing.clone()) },
        });
    }
    let added = given.iter().find(|key| !known.contains(key));
    added.map_or(Ok(()), |given| Err(OpenError::AddedKey { given: Box::new(given.clone()) }))
}

fn journal(disk: &Arc<dyn Disk>, key: [u8; 32], segment_len: u64) -> FileJournal {
    FileJournal::new(Arc::clone(disk), ChecksumKey::new(key), segment_len)
}

/// Takes the records of a frame, and says how many there were; `None` if they do not follow what is remembered.
fn replay(records: &mut Records, kind: FrameKind, payload: &[u8]) -> Option<usize> {
    (kind == FrameKind::Batch).then_some(())?;
    let read = read_records(payload)?;
    let count = read.len();
    for record in read {
        if records.get(&record.origin).is_some_and(|earlier| !record.follows(earlier)) {
            return None;
        }
        records.insert(record.origin.clone(), Arc::new(record));
    }
    Some(count)
}
