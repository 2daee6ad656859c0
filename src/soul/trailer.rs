//! The trailer: the entry that ends a batch and fixes the state that the log claims (formats.md §7).
//!
//! Whether what a trailer says is true is for whoever replays the log to find.

use crate::encoding::{MAX_SAFE_INTEGER, Reader, UnixMillis, Writer};
use crate::merkle::LeafIndex;

/// The first byte of an entry that is a trailer.
pub const TRAILER_ENTRY_KIND: u8 = 0x02;
/// Bytes of a trailer entry.
pub const TRAILER_LEN: usize = 76;

const MAGIC: &[u8; 19] = b"soulchain/state/v1\n";

/// A trailer: `0x02 ‖ "soulchain/state/v1\n" ‖ covers ‖ map_root ‖ identities ‖ log_time_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Its own index: the state after all entries before it. Not 0.
    pub covers: LeafIndex,
    /// Root of the state map.
    pub map_root: [u8; 32],
    /// Number of records.
    pub identities: u64,
    /// The log's clock when the batch was sealed.
    pub log_time: UnixMillis,
}

impl Trailer {
    /// Reads a trailer entry; `None` for anything else, a `covers` of 0 and numbers above 2^53 − 1 included.
    pub fn parse(entry: &[u8]) -> Option<Self> {
        let mut rest = Reader::new(entry);
        if entry.len() != TRAILER_LEN || rest.u8()? != TRAILER_ENTRY_KIND || rest.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let trailer = Self {
            covers: LeafIndex::new(rest.u64()?),
            map_root: rest.array()?,
            identities: rest.u64()?,
            log_time: UnixMillis::new(rest.u64()?),
        };
        let numbers = [trailer.covers.get(), trailer.identities, trailer.log_time.get()];
        (numbers[0] > 0 && numbers.iter().all(|number| *number <= MAX_SAFE_INTEGER)).then_some(trailer)
    }

    /// The bytes of its entry.
    pub fn to_bytes(&self) -> [u8; TRAILER_LEN] {
        let mut out = Writer::with_capacity(TRAILER_LEN);
        out.u8(TRAILER_ENTRY_KIND).raw(MAGIC).u64(self.covers.get()).raw(&self.map_root);
        out.u64(self.identities).u64(self.log_time.get());
        out.into_bytes().try_into().expect("the fields above are 76 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_bytes_are_read() {
        let trailer = Trailer {
            covers: LeafIndex::new(MAX_SAFE_INTEGER),
            map_root: [7; 32],
            identities: 0,
            log_time: UnixMillis::new(1),
        };
        let bytes = trailer.to_bytes();
        assert_eq!(Trailer::parse(&bytes), Some(trailer));
        for at in 0..20 {
            let mut other = bytes;
            other[at] ^= 1;
            assert_eq!(Trailer::parse(&other), None, "byte {at}");
        }
        let too_great = (MAX_SAFE_INTEGER + 1).to_be_bytes();
        for (at, number) in [(20, [0; 8]), (20, too_great), (60, too_great), (68, too_great)] {
            let mut other = bytes;
            other[at..at + 8].copy_from_slice(&number);
            assert_eq!(Trailer::parse(&other), None, "number at {at}");
        }
        assert_eq!(Trailer::parse(&bytes[..75]), None);
        assert_eq!(Trailer::parse(&[&bytes[..], &[0]].concat()), None);
    }
}
