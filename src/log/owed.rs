//! Erasures that are owed: ordered and committed, and not carried out because the file of the body is damaged.
//!
//! The order must not be forgotten when the journal lets go of its frame. So the flush that cannot carry it out writes
//! it into `erasures` before its manifest passes the frame. Each opening tries again what is in that file, and `fsck`
//! tells of it and with `--repair` finishes it.
//!
//! | bytes | field |
//! |---|---|
//! | 20 | magic |
//! | 8 each | indexes of entries, in order; those that are done have the top bit set |
//! | 32 | BLAKE3 of the bytes above |
//!
//! Without orders there is no such file. Until one is carried out, nobody is given the body.
//!
//! An order is *done* when a repair has finished it while its frame is still to be followed. The damage around the slot
//! may remain, so the opening that follows the frame does not see that the body is gone: it takes it from here, and
//! forgets it when its manifest has passed the frame.

use std::collections::{BTreeMap, BTreeSet};

use super::error::OpenError;
use crate::encoding::{Reader, Writer};
use crate::merkle::LeafIndex;
use crate::storage::{Blobs, StorageError};

/// The file of the orders.
pub(crate) const OWED: &str = "erasures";
/// Greatest number of orders in the file.
const MAX_OWED: usize = 1 << 20;
/// Of an index in the file: its order is done.
const DONE: u64 = 1 << 63;
const MAGIC: &[u8; 20] = b"soulchain/erasures/1";

/// An erasure that could not be carried out, and where the damage is that stands in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedErasure {
    /// The entry whose body is to go.
    pub index: LeafIndex,
    /// The damaged file.
    pub name: String,
    /// At which byte.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Those that are not carried out.
    pub(crate) owed: BTreeSet<LeafIndex>,
    /// Those of the journal that a repair has finished.
    pub(crate) done: BTreeSet<LeafIndex>,
}

/// By entry.
pub(crate) type OwedErasures = BTreeMap<LeafIndex, OwedErasure>;

impl OwedErasure {
    /// Damage that only this erasure waits for; any other error is given back.
    pub(crate) fn of(index: LeafIndex, error: StorageError) -> Result<Self, StorageError> {
        match error {
            StorageError::Damaged { name, offset, what } => Ok(Self { index, name, offset, what }),
            StorageError::Missing { name } => Ok(Self { index, name, offset: 0, what: "it is missing" }),
            error => Err(error),
        }
    }

    /// What who ordered it is told.
    pub(crate) fn error(&self) -> StorageError {
        StorageError::Damaged { name: self.name.clone(), offset: self.offset, what: self.what }
    }
}

impl std::fmt::Display for OwedErasure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, name, offset, what } = self;
        write!(f, "the body beside entry {index} is to be erased and is not yet: {name} at byte {offset}: {what}")
    }
}

/// The orders that the file holds.
pub(crate) fn read(blobs: &dyn Blobs) -> Result<Orders, StorageError> {
    let Some(bytes) = blobs.read(OWED)? else { return Ok(Orders::default()) };
    let damaged = StorageError::Damaged { name: OWED.into(), offset: 0, what: "it does not match its checksum" };
    decode(&bytes).ok_or(damaged)
}

/// Makes the file hold these orders, durably.
pub(crate) fn write(blobs: &dyn Blobs, orders: &Orders) -> Result<(), StorageError> {
    if *orders == Orders::default() {
        // What a power loss leaves of it names bodies that are gone: they are erased once more.
        return blobs.remove(OWED);
    }
    let mut writer = Writer::default();
    writer.raw(MAGIC);
    for index in &orders.owed {
        writer.u64(index.get());
    }
    for index in &orders.done {
        writer.u64(index.get() | DONE);
    }
    let mut bytes = writer.into_bytes();
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    blobs.commit(OWED, &bytes)
}

/// The orders, of which those that are owed have to be of entries of the log; one that is done is of no effect if the
/// journal does not hold it.
pub(crate) fn read_of_log(blobs: &dyn Blobs, size: u64) -> Result<Orders, OpenError> {
    let orders = read(blobs)?;
    match orders.owed.last() {
        Some(last) if last.get() >= size => {
            Err(OpenError::Inconsistent { what: format!("{OWED} names entry {last}, and the log has {size}") })
        }
        _ => Ok(orders),
    }
}

fn decode(bytes: &[u8]) -> Option<Orders> {
    let (checked, checksum) = bytes.split_last_chunk::<32>()?;
    (blake3::hash(checked).as_bytes() == checksum).then_some(())?;
    let mut reader = Reader::new(checked);
    (reader.take(MAGIC.len())? == MAGIC).then_some(())?;
    let (mut orders, mut count, mut last) = (Orders::default(), 0, None);
    while !reader.is_empty() {
        let number = reader.u64()?;
        let is_next = last.is_none_or(|last| last < number) && count < MAX_OWED;
        is_next.then_some(())?;
        (count, last) = (count + 1, Some(number));
        let part = if number & DONE == 0 { &mut orders.owed } else { &mut orders.done };
        part.insert(LeafIndex::new(number & !DONE));
    }
    (count > 0).then_some(orders)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::{FileBlobs, OsDisk};

    #[test]
    fn orders_are_read_back_and_no_bit_of_them_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(Arc::new(OsDisk::open(folder.path()).unwrap()));
        assert_eq!(read(&blobs).unwrap(), Orders::default());
        let orders = |owed: &[u64], done: &[u64]| Orders {
            owed: owed.iter().copied().map(LeafIndex::new).collect(),
            done: done.iter().copied().map(LeafIndex::new).collect(),
        };
        for orders in [orders(&[], &[2]), orders(&[5], &[]), orders(&[3, 9, 700], &[4, 9, 90_000])] {
            write(&blobs, &orders).unwrap();
            assert_eq!(read(&blobs).unwrap(), orders);
        }
        assert!(read_of_log(&blobs, 701).is_ok() && read_of_log(&blobs, 700).is_err());
        let bytes = blobs.read(OWED).unwrap().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
        write(&blobs, &Orders::default()).unwrap();
        assert_eq!(blobs.read(OWED).unwrap(), None);
    }
}
