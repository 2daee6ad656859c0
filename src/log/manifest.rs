//! The manifest: what a flush has made durable, and from where on the journal counts. Replaced atomically.
//!
//! | bytes | field |
//! |---|---|
//! | 20 | magic |
//! | 1 | 1 if the directory is a copy made by `backup` |
//! | 8, 32 | size and root of the flushed tree |
//! | 8 | length of the bodies of its partial bundle |
//! | 8, 8, 8, 32 | mark: segment, offset, number and checksum of the last frame flushed |
//! | 8, 32 | size and root of the published checkpoint |
//! | 4, n | its note |
//! | 32 | BLAKE3 of the bytes above |

use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::storage::Mark;

pub(crate) const MANIFEST: &str = "manifest";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const CHAIN_INDEX: &str = "chain.idx";

const MAGIC: &[u8; 20] = b"soulchain/manifest/2";
/// Of directories whose `chain.idx` has rows of 16 bytes; all else in them is as it is now.
const OLDER_MAGIC: &[u8; 20] = b"soulchain/manifest/1";
/// Longest published note.
pub(crate) const MAX_NOTE_LEN: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) is_copy: bool,
    pub(crate) size: TreeSize,
    pub(crate) root: Hash,
    pub(crate) bodies_len: u64,
    pub(crate) mark: Mark,
    pub(crate) published: PublishedNote,
}

/// The note at `/checkpoint`; empty before the first publication.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct PublishedNote {
    pub(crate) size: TreeSize,
    pub(crate) root: Hash,
    pub(crate) note: Vec<u8>,
}

impl PublishedNote {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(44 + self.note.len());
        writer.u64(self.size.get()).raw(self.root.as_bytes()).u32(self.note.len() as u32).raw(&self.note);
        writer.into_bytes()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let note = Self::read(&mut reader)?;
        reader.is_empty().then_some(note)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let size = TreeSize::new(reader.u64()?);
        let root = Hash::from_bytes(reader.array()?);
        let len = reader.u32()? as usize;
        (len <= MAX_NOTE_LEN).then_some(())?;
        Some(Self { size, root, note: reader.take(len)?.to_vec() })
    }
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256 + self.published.note.len());
        writer.raw(MAGIC).u8(u8::from(self.is_copy)).u64(self.size.get()).raw(self.root.as_bytes());
        writer.u64(self.bodies_len);
        writer.u64(self.mark.segment).u64(self.mark.offset).u64(self.mark.number).raw(&self.mark.checksum);
        writer.raw(&self.published.encode());
        let mut bytes = writer.into_bytes();
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// Reads a manifest; `None` where it is damaged, or of another layout.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode_with(MAGIC, bytes)
    }

    /// Reads the manifest of a directory of the older layout, which has to be rebuilt before it is opened.
    pub(crate) fn decode_older(bytes: &[u8]) -> Option<Self> {
        Self::decode_with(OLDER_MAGIC, bytes)
    }

    fn decode_with(magic: &[u8], bytes: &[u8]) -> Option<Self> {
        let (checked, checksum) = bytes.split_last_chunk::<32>()?;
        (blake3::hash(checked).as_bytes() == checksum).then_some(())?;
        let mut reader = Reader::new(checked);
        (reader.take(magic.len())? == magic).then_some(())?;
        let manifest = Self {
            is_copy: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
            size: TreeSize::new(reader.u64()?),
            root: Hash::from_bytes(reader.array()?),
            bodies_len: reader.u64()?,
            mark: Mark {
                segment: reader.u64()?,
                offset: reader.u64()?,
                number: reader.u64()?,
                checksum: reader.array()?,
            },
            published: PublishedNote::read(&mut reader)?,
        };
        reader.is_empty().then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_and_no_bit_of_it_is_free() {
        let manifest = Manifest {
            is_copy: false,
            size: TreeSize::new(5),
            root: Hash::from_bytes([1; 32]),
            bodies_len: 700,
            mark: Mark { segment: 1, offset: 4096, number: 3, checksum: [2; 32] },
            published: PublishedNote { size: TreeSize::new(4), root: Hash::from_bytes([3; 32]), note: b"x\n".to_vec() },
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Some(manifest));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&bad), None, "bit {bit}");
        }
    }
}
