//! Entry bundles (tlog-tiles, "Log entries"): `u16 length ‖ entry`, up to 256 times.
//!
//! An entry is 1 to 65,535 bytes (formats.md §1). Which entries are in which bundle is `tile`'s.

use super::error::TlogError;
use super::tile::TILE_WIDTH;
use crate::encoding::{Reader, Writer};

/// Most entries of a bundle.
pub const MAX_BUNDLE_ENTRIES: usize = TILE_WIDTH as usize;
/// Longest entry, in bytes.
pub const MAX_ENTRY_LEN: usize = u16::MAX as usize;

/// Puts a bundle together.
#[derive(Clone, Debug, Default)]
pub struct BundleWriter {
    bytes: Writer,
    entries: usize,
}

/// Reads a bundle: its entries, 1 to 256 of them, with nothing left over.
pub fn parse_bundle(bytes: &[u8]) -> Result<Vec<&[u8]>, TlogError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    while !reader.is_empty() {
        if entries.len() == MAX_BUNDLE_ENTRIES {
            return Err(TlogError::BundleFull);
        }
        let len = reader.u16().map(usize::from).ok_or(TlogError::Bundle)?;
        if len == 0 {
            return Err(TlogError::EntryLen { len });
        }
        entries.push(reader.take(len).ok_or(TlogError::Bundle)?);
    }
    if entries.is_empty() { Err(TlogError::Bundle) } else { Ok(entries) }
}

impl BundleWriter {
    /// A bundle without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A bundle without entries, with room for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Writer::with_capacity(bytes), entries: 0 }
    }

    /// Appends an entry.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), TlogError> {
        let len = u16::try_from(entry.len()).ok().filter(|len| *len > 0);
        let len = len.ok_or(TlogError::EntryLen { len: entry.len() })?;
        if self.entries == MAX_BUNDLE_ENTRIES {
            return Err(TlogError::BundleFull);
        }
        self.bytes.u16(len).raw(entry);
        self.entries += 1;
        Ok(())
    }

    /// How many entries it has.
    pub const fn len(&self) -> usize {
        self.entries
    }

    /// Whether it has none; such a bundle is never stored or served.
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The bundle.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_read_back() {
        let longest = vec![7; MAX_ENTRY_LEN];
        for entries in [vec![&b"a"[..]], vec![&b"ab"[..], &longest, b"c"], vec![&b"x"[..]; 256]] {
            let mut writer = BundleWriter::new();
            assert!(writer.is_empty());
            for entry in &entries {
                writer.push(entry).unwrap();
            }
            assert_eq!(writer.len(), entries.len());
            assert_eq!(parse_bundle(&writer.into_bytes()).unwrap(), entries);
        }
    }

    #[test]
    fn what_no_writer_makes_is_refused() {
        for (why, bytes, error) in [
            ("nothing", &[][..], TlogError::Bundle),
            ("half a length", &[0], TlogError::Bundle),
            ("cut off", &[0, 2, b'a'], TlogError::Bundle),
            ("left over", &[0, 1, b'a', 0], TlogError::Bundle),
            ("an empty entry", &[0, 1, b'a', 0, 0], TlogError::EntryLen { len: 0 }),
            ("257 entries", &[0, 1, b'a'].repeat(257), TlogError::BundleFull),
        ] {
            assert_eq!(parse_bundle(bytes), Err(error), "{why}");
        }
        let mut writer = BundleWriter::new();
        assert_eq!(writer.push(b""), Err(TlogError::EntryLen { len: 0 }));
        assert_eq!(writer.push(&vec![0; 65_536]), Err(TlogError::EntryLen { len: 65_536 }));
        for _ in 0..256 {
            writer.push(b"a").unwrap();
        }
        assert_eq!(writer.push(b"a"), Err(TlogError::BundleFull));
    }
}
