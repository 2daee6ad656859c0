//! Erasures that are owed: ordered and committed, and not carried out because the file of the body is damaged.
//!
//! The order must not be forgotten when the journal lets go of its frame. So the flush that cannot carry it out writes
//! it into `erasures` before its manifest passes the frame. Each opening tries again what is in that file, and `fsck`
//! tells of it and with `--repair` finishes it.
//!
//! | bytes | field |
//! |---|---|
//! | 20 | magic |
//! | 8 each | indexes of entries, in order |
//! | 32 | BLAKE3 of the bytes above |
//!
//! Without orders there is no such file. Until one is carried out, nobody is given the body.

use std::collections::{BTreeMap, BTreeSet};

use super::error::OpenError;
use crate::encoding::{Reader, Writer};
use crate::merkle::LeafIndex;
use crate::storage::{Blobs, StorageError};

/// The file of the orders.
pub(crate) const OWED: &str = "erasures";
/// Greatest number of orders in the file.
const MAX_OWED: usize = 1 << 20;
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
pub(crate) fn read(blobs: &dyn Blobs) -> Result<BTreeSet<LeafIndex>, StorageError> {
    let Some(bytes) = blobs.read(OWED)? else { return Ok(BTreeSet::new()) };
    let damaged = StorageError::Damaged { name: OWED.into(), offset: 0, what: "it does not match its checksum" };
    decode(&bytes).ok_or(damaged)
}

/// Makes the file hold these orders, durably.
pub(crate) fn write(blobs: &dyn Blobs, orders: impl Iterator<Item = LeafIndex>) -> Result<(), StorageError> {
    let mut orders = orders.peekable();
    if orders.peek().is_none() {
        // What a power loss leaves of it names bodies that are gone: they are erased once more.
        return blobs.remove(OWED);
    }
    let mut writer = Writer::default();
    writer.raw(MAGIC);
    for index in orders {
        writer.u64(index.get());
    }
    let mut bytes = writer.into_bytes();
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    blobs.commit(OWED, &bytes)
}

/// The orders, all of which have to be of entries of the log.
pub(crate) fn read_of_log(blobs: &dyn Blobs, size: u64) -> Result<BTreeSet<LeafIndex>, OpenError> {
    let orders = read(blobs)?;
    match orders.last() {
        Some(last) if last.get() >= size => {
            Err(OpenError::Inconsistent { what: format!("{OWED} names entry {last}, and the log has {size}") })
        }
        _ => Ok(orders),
    }
}

fn decode(bytes: &[u8]) -> Option<BTreeSet<LeafIndex>> {
    let (checked, checksum) = bytes.split_last_chunk::<32>()?;
    (blake3::hash(checked).as_bytes() == checksum).then_some(())?;
    let mut reader = Reader::new(checked);
    (reader.take(MAGIC.len())? == MAGIC).then_some(())?;
    let mut orders = BTreeSet::new();
    while !reader.is_empty() {
        let index = LeafIndex::new(reader.u64()?);
        let is_next = orders.last().is_none_or(|last| *last < index) && orders.len() < MAX_OWED;
        is_next.then(|| orders.insert(index))?;
    }
    (!orders.is_empty()).then_some(orders)
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
        assert_eq!(read(&blobs).unwrap(), BTreeSet::new());
        let orders = BTreeSet::from([3, 9, 700].map(LeafIndex::new));
        write(&blobs, orders.iter().copied()).unwrap();
        assert_eq!(read(&blobs).unwrap(), orders);
        assert!(read_of_log(&blobs, 701).is_ok() && read_of_log(&blobs, 700).is_err());
        let bytes = blobs.read(OWED).unwrap().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
        write(&blobs, std::iter::empty()).unwrap();
        assert_eq!(blobs.read(OWED).unwrap(), None);
    }
}
