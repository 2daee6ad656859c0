//! A machine without rules: every entry of 1 to 65,535 bytes is admitted.

use std::time::Duration;

use bytes::Bytes;

use super::batch::{Batch, Entry};
use super::machine::{Machine, Past, ReplayError, Weight};
use super::tail::Row;
use crate::encoding::UnixMillis;
use crate::merkle::LeafIndex;
use crate::storage::{StorageError, ViewBatch, Views};

/// Entries of a group.
#[derive(Clone, Debug)]
pub struct OpaqueGroup(Vec<Entry>);

impl OpaqueGroup {
    /// A group of entries; `None` where one of them has no length that an entry may have.
    pub fn new(entries: Vec<Bytes>) -> Option<Self> {
        entries.into_iter().map(Entry::new).collect::<Option<_>>().map(Self)
    }
}

/// A log of opaque entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opaque;

impl Machine for Opaque {
    type Group = OpaqueGroup;
    /// The index of the first entry of the group.
    type Answer = LeafIndex;
    type Refusal = std::convert::Infallible;
    type State = ();

    const LEAST_GAP: Duration = Duration::ZERO;

    fn weight(group: &OpaqueGroup) -> Weight {
        Weight { entries: group.0.len(), bytes: group.0.iter().map(|entry| entry.bytes().len()).sum() }
    }

    fn least_time(&self) -> UnixMillis {
        UnixMillis::ZERO
    }

    fn begin(&mut self, _now: UnixMillis) {}

    fn admit(&mut self, group: OpaqueGroup, batch: &mut Batch) -> Result<LeafIndex, Self::Refusal> {
        let first = batch.next_index();
        for entry in group.0 {
            batch.push(entry, None, Row::default());
        }
        Ok(first)
    }

    fn seal(&mut self, _batch: &mut Batch) {}

    fn abandon(&mut self) {}

    fn state(&mut self) {}

    fn apply(&mut self, _index: LeafIndex, _entry: &[u8], _past: &dyn Past) -> Result<Row, ReplayError> {
        Ok(Row::default())
    }

    fn changes(&mut self) -> ViewBatch {
        ViewBatch::default()
    }

    fn load(&mut self, _views: &dyn Views) -> Result<(), StorageError> {
        Ok(())
    }

    fn reset(&mut self) {}

    fn check(&self, _last_entry: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }
}
