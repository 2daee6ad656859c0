//! What a witness remembers of a log, and how it is written: in frames of the journal and in the snapshot.
//!
//! | bytes | field of a record |
//! |---|---|
//! | 8 | time of the cosignature, seconds since the epoch |
//! | 8, 32 | size and root that were cosigned |
//! | 2, n | origin |
//! | 4, n | the note: the checkpoint's text, the log's signatures that were verified, the witness's own |
//!
//! | bytes | field of the snapshot |
//! |---|---|
//! | 20 | magic |
//! | 2, n | name of the witness |
//! | 1 | number of its keys |
//! | 2, n | each of them, as a vkey |
//! | 8 | bytes of a segment of the journal |
//! | 8, 8, 8, 32 | mark: segment, offset, number and checksum of the last frame that it covers |
//! | 4 | number of records, one for each log |
//! | … | the records |
//! | 32 | BLAKE3 of the bytes above |
//!
//! A snapshot of the first layout, which has another magic, says nothing of keys; it is read and never written.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::storage::Mark;
use crate::tlog::{KeyName, Origin, Timestamp, Vkey};

const MAGIC: &[u8; 20] = b"soulchain/witness/2\n";
/// Of the layout without keys.
const MAGIC_WITHOUT_KEYS: &[u8; 20] = b"soulchain/witness/1\n";
/// Most keys of a witness: one of each type.
const MAX_KEYS: usize = 2;
/// Longest note of a record: that of a request and the witness's own signatures.
const MAX_RECORD_NOTE_LEN: usize = 1 << 20;

/// The newest checkpoint of a log that was cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) size: TreeSize,
    pub(super) root: Hash,
    pub(super) origin: Origin,
    pub(super) note: String,
}

/// Of each log the newest record.
pub(super) type Records = BTreeMap<Origin, Arc<Record>>;

/// The snapshot: everything that was remembered up to a frame of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Snapshot {
    pub(super) name: KeyName,
    /// The keys that it cosigned with; `None` where an earlier version has not said.
    pub(super) keys: Option<Vec<Vkey>>,
    pub(super) segment_len: u64,
    pub(super) mark: Mark,
    pub(super) records: Records,
}

impl Record {
    /// Bytes that it takes up.
    pub(super) fn encoded_len(&self) -> usize {
        8 + 8 + 32 + 2 + self.origin.as_str().len() + 4 + self.note.len()
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u64(self.time.get()).u64(self.size.get()).raw(self.root.as_bytes());
        write_name(writer, self.origin.key_name());
        writer.u32(self.note.len() as u32).raw(self.note.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let time = Timestamp::new(reader.u64()?)?;
        let size = TreeSize::new(reader.u64()?);
        let root = Hash::from_bytes(reader.array()?);
        let origin = Origin::parse(read_name(reader)?.as_str()).ok()?;
        let len = reader.u32()? as usize;
        (len <= MAX_RECORD_NOTE_LEN).then_some(())?;
        let note = String::from_utf8(reader.take(len)?.to_vec()).ok()?;
        Some(Self { time, size, root, origin, note })
    }

    /// Whether this may be remembered after `earlier` of the same log: neither the tree nor the time goes back, and a
    /// size has one root.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        let grown = self.size > earlier.size || (self.size == earlier.size && self.root == earlier.root);
        grown && self.time >= earlier.time
    }
}

impl Snapshot {
    pub(super) fn encode(&self) -> Vec<u8> {
        let len = self.records.values().map(|record| record.encoded_len()).sum::<usize>();
        let mut writer = Writer::with_capacity(256 + len);
        writer.raw(if self.keys.is_some() { MAGIC } else { MAGIC_WITHOUT_KEYS });
        write_name(&mut writer, &self.name);
        if let Some(keys) = &self.keys {
            writer.raw(&[u8::try_from(keys.len()).expect("a witness has one key of each type")]);
            for key in keys {
                write_text(&mut writer, &key.to_string());
            }
        }
        let mark = &self.mark;
        writer.u64(self.segment_len);
        writer.u64(mark.segment).u64(mark.offset).u64(mark.number).raw(&mark.checksum);
        writer.u32(self.records.len() as u32);
        for record in self.records.values() {
            record.encode(&mut writer);
        }
        let mut bytes = writer.into_bytes();
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads a snapshot; `None` where it is damaged, or of another layout.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, checksum) = bytes.split_last_chunk::<32>()?;
        (blake3::hash(checked).as_bytes() == checksum).then_some(())?;
        let mut reader = Reader::new(checked);
        let magic = reader.array::<20>()?;
        (magic == *MAGIC || magic == *MAGIC_WITHOUT_KEYS).then_some(())?;
        let name = read_name(&mut reader)?;
        let keys = if magic == *MAGIC { Some(read_keys(&mut reader)?) } else { None };
        let segment_len = reader.u64()?;
        let mark =
            Mark { segment: reader.u64()?, offset: reader.u64()?, number: reader.u64()?, checksum: reader.array()? };
        let mut records = Records::new();
        for _ in 0..reader.u32()? {
            let record = Record::read(&mut reader)?;
            let is_new = records.insert(record.origin.clone(), Arc::new(record)).is_none();
            is_new.then_some(())?;
        }
        reader.is_empty().then_some(Self { name, keys, segment_len, mark, records })
    }
}

/// Reads the records of a frame; `None` where they are none.
pub(super) fn read_records(payload: &[u8]) -> Option<Vec<Record>> {
    let mut reader = Reader::new(payload);
    let mut records = Vec::new();
    while !reader.is_empty() {
        records.push(Record::read(&mut reader)?);
    }
    Some(records)
}

fn write_name(writer: &mut Writer, name: &KeyName) {
    write_text(writer, name.as_str());
}

fn read_name(reader: &mut Reader<'_>) -> Option<KeyName> {
    KeyName::parse(read_text(reader)?).ok()
}

fn read_keys(reader: &mut Reader<'_>) -> Option<Vec<Vkey>> {
    let [count] = reader.array()?;
    (1..=MAX_KEYS).contains(&usize::from(count)).then_some(())?;
    (0..count).map(|_| Vkey::parse(read_text(reader)?).ok()).collect()
}

fn write_text(writer: &mut Writer, text: &str) {
    let len = u16::try_from(text.len()).expect("names of logs and witnesses are bounded when they are read");
    writer.u16(len).raw(text.as_bytes());
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    let len = reader.u16()?;
    core::str::from_utf8(reader.take(usize::from(len))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::Cosigner;

    fn record(origin: &str, size: u64, root: u8, time: u64) -> Record {
        Record {
            time: Timestamp::new(time).unwrap(),
            size: TreeSize::new(size),
            root: Hash::from_bytes([root; 32]),
            origin: Origin::parse(origin).unwrap(),
            note: format!("{origin}\n{size}\n"),
        }
    }

    #[test]
    fn a_snapshot_is_read_back_and_no_bit_of_it_is_free() {
        let records = [record("a", 5, 1, 7), record("b/log", 9, 2, 8)];
        let name = KeyName::parse("witness.example").unwrap();
        let key = Cosigner::from_seed(name.clone(), &[3; 32]);
        let mut snapshot = Snapshot {
            name,
            keys: Some(vec![key.vkey().clone()]),
            segment_len: 1 << 20,
            mark: Mark { segment: 1, offset: 4096, number: 3, checksum: [2; 32] },
            records: records.into_iter().map(|record| (record.origin.clone(), Arc::new(record))).collect(),
        };
        let bytes = snapshot.encode();
        assert_eq!(Snapshot::decode(&bytes).as_ref(), Some(&snapshot));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Snapshot::decode(&bad), None, "bit {bit}");
        }
        // As the first version wrote it.
        snapshot.keys = None;
        let bytes = snapshot.encode();
        assert!(bytes.starts_with(b"soulchain/witness/1\n"));
        assert_eq!(Snapshot::decode(&bytes), Some(snapshot));
    }

    #[test]
    fn records_are_read_back_and_a_cut_one_is_none() {
        let records = vec![record("a", 5, 1, 7), record("b/log", 9, 2, 8)];
        let mut writer = Writer::with_capacity(100);
        for record in &records {
            record.encode(&mut writer);
        }
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), records.iter().map(Record::encoded_len).sum::<usize>());
        assert_eq!(read_records(&bytes), Some(records));
        assert_eq!(read_records(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn nothing_goes_back() {
        let old = record("a", 5, 1, 7);
        for (size, root, time, follows) in
            [(5, 1, 7, true), (5, 1, 8, true), (6, 2, 7, true), (5, 2, 8, false), (4, 1, 8, false), (6, 2, 6, false)]
        {
            assert_eq!(record("a", size, root, time).follows(&old), follows, "{size} {root} {time}");
        }
    }
}
