//! A frame of the journal: one commit.
//!
//! A frame starts at a multiple of [`FRAME_ALIGN`] in a zero-filled segment. Its first sector is the header, the payload
//! follows as it is:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 16 | magic |
//! | 16 | 4 | kind |
//! | 20 | 8 | number, one more than the frame before |
//! | 28 | 8 | length of the payload |
//! | 36 | 4 | sectors of the payload that are all zeros by nature (the last one may be short) |
//! | 40 | 32 | checksum of the payload |
//! | 72 | 32 | checksum of the header before |
//! | 104 | 32 | checksum of the bytes above |
//! | 136 | 376 | zeros |
//!
//! Checksums are BLAKE3 keyed by a random key of the log, so that no payload can pose as a header.

use crate::encoding::{Reader, Writer};

/// What is written whole or not at all.
pub(super) const SECTOR: usize = 512;
/// Frames start at multiples of this.
pub(super) const FRAME_ALIGN: u64 = 4096;
/// Greatest payload of a frame: a batch and what encodes it.
pub const MAX_PAYLOAD: usize = 17 << 20;

const MAGIC: &[u8; 16] = b"soulchain/frame1";
const CHECKED_LEN: usize = 104;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FrameKind {
    /// The first frame of a log; empty.
    Start = 1,
    /// A batch of entries.
    Batch = 2,
    /// A checkpoint that is about to be published.
    Published = 3,
    /// The body beside an entry is erased.
    Erasure = 4,
}

impl FrameKind {
    fn from_code(code: u32) -> Option<Self> {
        [Self::Start, Self::Batch, Self::Published, Self::Erasure].into_iter().find(|kind| *kind as u32 == code)
    }
}

/// The key of a log's checksums.
#[derive(Clone)]
pub struct ChecksumKey([u8; 32]);

impl ChecksumKey {
    /// A key from its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn of(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes()
    }
}

/// A frame's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// What the payload is.
    pub(super) kind: FrameKind,
    /// Number of the frame in its log.
    pub(super) number: u64,
    /// Bytes of the payload.
    pub(super) len: u64,
    /// Checksum of this header, by which the next one names it.
    pub(super) checksum: [u8; 32],
    /// Checksum of the header before.
    pub(super) before: [u8; 32],
    zero_sectors: u32,
    payload_checksum: [u8; 32],
}

impl FrameHeader {
    /// The header of a frame with this payload, and its bytes.
    pub(super) fn seal(
        key: &ChecksumKey,
        kind: FrameKind,
        number: u64,
        before: [u8; 32],
        payload: &[u8],
    ) -> (Self, [u8; SECTOR]) {
        let mut header = Self {
            kind,
            number,
            len: payload.len() as u64,
            checksum: [0; 32],
            before,
            zero_sectors: zero_sectors(payload),
            payload_checksum: key.of(payload),
        };
        let mut sector = [0; SECTOR];
        let mut fields = Writer::with_capacity(CHECKED_LEN);
        fields.raw(MAGIC).u32(kind as u32).u64(number).u64(header.len).u32(header.zero_sectors);
        fields.raw(&header.payload_checksum).raw(&before);
        sector[..CHECKED_LEN].copy_from_slice(&fields.into_bytes());
        header.checksum = key.of(&sector[..CHECKED_LEN]);
        sector[CHECKED_LEN..CHECKED_LEN + 32].copy_from_slice(&header.checksum);
        (header, sector)
    }

    /// Reads a header; `None` where the sector is none of this log.
    pub(super) fn parse(key: &ChecksumKey, sector: &[u8]) -> Option<Self> {
        if sector.len() != SECTOR || !sector.starts_with(MAGIC) || !is_zero(&sector[CHECKED_LEN + 32..]) {
            return None;
        }
        let checksum = key.of(&sector[..CHECKED_LEN]);
        let mut fields = Reader::new(&sector[MAGIC.len()..]);
        let header = Self {
            kind: FrameKind::from_code(fields.u32()?)?,
            number: fields.u64()?,
            len: fields.u64()?,
            zero_sectors: fields.u32()?,
            payload_checksum: fields.array()?,
            before: fields.array()?,
            checksum,
        };
        (fields.array()? == checksum && header.len <= MAX_PAYLOAD as u64).then_some(header)
    }

    /// Whether these bytes are the payload.
    pub(super) fn holds(&self, key: &ChecksumKey, payload: &[u8]) -> bool {
        payload.len() as u64 == self.len && key.of(payload) == self.payload_checksum
    }

    /// Whether part of the payload never reached the medium: more of its sectors are zeros than were written so.
    pub(super) fn is_torn(&self, payload: &[u8]) -> bool {
        zero_sectors(payload) > self.zero_sectors
    }

    /// Bytes that the frame takes up in its segment.
    pub(super) fn span(&self) -> u64 {
        frame_span(self.len)
    }
}

/// Bytes that a frame with a payload of `len` bytes takes up.
pub(super) fn frame_span(len: u64) -> u64 {
    (SECTOR as u64 + len).next_multiple_of(FRAME_ALIGN)
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn zero_sectors(payload: &[u8]) -> u32 {
    payload.chunks(SECTOR).filter(|sector| is_zero(sector)).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_no_bit_of_it_is_free() {
        let key = ChecksumKey::new([7; 32]);
        let payload = [vec![1; 600], vec![0; 1000]].concat();
        let (header, sector) = FrameHeader::seal(&key, FrameKind::Batch, 5, [9; 32], &payload);
        assert_eq!(FrameHeader::parse(&key, &sector), Some(header.clone()));
        assert!(header.holds(&key, &payload) && !header.is_torn(&payload));
        assert_eq!(FrameHeader::parse(&ChecksumKey::new([8; 32]), &sector), None);
        for bit in 0..SECTOR * 8 {
            let mut bad = sector;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::parse(&key, &bad), None, "bit {bit}");
        }
    }

    #[test]
    fn a_lost_sector_is_torn_and_a_changed_one_is_not() {
        let key = ChecksumKey::new([7; 32]);
        let payload = [vec![1; 1024], vec![0; 512], vec![2; 100]].concat();
        let (header, _) = FrameHeader::seal(&key, FrameKind::Batch, 5, [9; 32], &payload);
        for sector in [0, 1, 3] {
            let mut lost = payload.clone();
            let end = lost.len().min((sector + 1) * SECTOR);
            lost[sector * SECTOR..end].fill(0);
            assert!(!header.holds(&key, &lost) && header.is_torn(&lost), "sector {sector}");
        }
        let mut changed = payload;
        changed[1100] = 1;
        assert!(!header.holds(&key, &changed) && !header.is_torn(&changed));
    }
}
