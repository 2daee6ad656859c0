//! Tiles: coordinates, paths and hashes (tlog-tiles, "Merkle Tree" and "Log entries").
//!
//! ```text
//! tile/<level>/<index>[.p/<width>]      256^level entries below each hash
//! tile/entries/<index>[.p/<width>]
//! ```
//!
//! An index is written in groups of three digits, all but the last with an `x` before them: 1234067 is
//! `x001/x234/067`. Bundles of entries are `bundle`'s; which tiles a proof reads, `merkle` plans.

use core::fmt;

use super::error::TlogError;
use crate::encoding::{MAX_SAFE_INTEGER, parse_decimal};
use crate::hash::{HASH_LEN, Hash};
use crate::merkle::{self, TreeSize};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = merkle::TILE_WIDTH as u16;
/// The greatest level.
pub const MAX_LEVEL: u8 = 63;

/// log2 of [`TILE_WIDTH`].
const TILE_HEIGHT: u32 = merkle::TILE_HEIGHT as u32;
/// Longest path that is read, in bytes; the longest that is written is shorter.
const MAX_PATH_BYTES: usize = 64;

/// A tile or an entry bundle: of which level, which one, and how many hashes or entries it has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// What a tile holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TileKind {
    /// Hashes of this level, 0 to 63; at level 0 those of the leaves.
    Hashes(u8),
    /// Entries.
    Entries,
}

impl TileId {
    /// A tile, if level (at most 63), index (at most 2^53 − 1) and width (1 to 256) are in bounds.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level_fits = !matches!(kind, TileKind::Hashes(level) if level > MAX_LEVEL);
        let fits = level_fits && index <= MAX_SAFE_INTEGER && (1..=TILE_WIDTH).contains(&width);
        fits.then_some(Self { kind, index, width })
    }

    /// The widest tile of a tree that holds the hash, or the entry, with this number in its level.
    pub fn holding(kind: TileKind, number: u64, size: TreeSize) -> Option<Self> {
        let count = kind.count(size);
        let index = number >> TILE_HEIGHT;
        let left = count.checked_sub(index << TILE_HEIGHT)?;
        let width = left.min(u64::from(TILE_WIDTH)) as u16;
        if number < count { Self::new(kind, index, width) } else { None }
    }

    /// Reads a path, from `tile/` on.
    pub fn parse_path(path: &str) -> Result<Self, TlogError> {
        parse_path(path).ok_or(TlogError::TilePath)
    }

    /// What it holds.
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Which tile of its level it is, from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds: 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it holds fewer than 256.
    pub const fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }

    /// The number, in its level, of the first hash or entry in it.
    pub const fn first(&self) -> u64 {
        self.index << TILE_HEIGHT
    }

    /// Whether a tree has all that it holds; a partial tile is in every tree that is larger, too.
    pub fn is_in(&self, size: TreeSize) -> bool {
        self.first() + u64::from(self.width) <= self.kind.count(size)
    }
}

/// The path, from `tile/` on.
impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.path(self.index, self.width.into()))
    }
}

impl TileKind {
    /// How many hashes of this level, or entries, a tree has.
    pub fn count(self, size: TreeSize) -> u64 {
        match self {
            Self::Entries => size.get(),
            Self::Hashes(level) => size.get().checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0),
        }
    }

    /// The path of a tile, for those who take its coordinates from a tree that they hold.
    pub(crate) fn path(self, index: u64, width: usize) -> String {
        if width == merkle::TILE_WIDTH {
            self.whole_path(index)
        } else {
            format!("{}/{width}", self.partials_path(index))
        }
    }

    /// The folder of all partial tiles with this index.
    pub(crate) fn partials_path(self, index: u64) -> String {
        format!("{}.p", self.whole_path(index))
    }

    fn whole_path(self, index: u64) -> String {
        match self {
            Self::Hashes(level) => format!("tile/{level}/{}", index_path(index)),
            Self::Entries => format!("tile/entries/{}", index_path(index)),
        }
    }
}

/// A number as paths have it: in groups of three digits, all but the last with an `x` before them.
pub fn index_path(mut index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    while index >= 1000 {
        index /= 1000;
        text = format!("x{:03}/{text}", index % 1000);
    }
    text
}

/// The partial hash tiles of a tree, from level 0 up: the root follows from them alone.
///
/// Where a level has whole tiles only, the level above holds all of it, so there is none.
pub fn right_edge(size: TreeSize) -> Vec<TileId> {
    levels(size).filter_map(|kind| partial(kind, size)).collect()
}

/// The hash tiles that a tree has and the smaller one did not: the whole ones by level, and the new right edge.
pub fn tiles_grown(old: TreeSize, new: TreeSize) -> impl Iterator<Item = TileId> {
    levels(new).flat_map(move |kind| grown(kind, old, new))
}

/// The entry bundles that a tree has and the smaller one did not.
pub fn bundles_grown(old: TreeSize, new: TreeSize) -> impl Iterator<Item = TileId> {
    grown(TileKind::Entries, old, new)
}

/// The bytes of a tile.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Reads the bytes of a tile of this width.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TlogError> {
    if bytes.len() != usize::from(width) * HASH_LEN {
        return Err(TlogError::TileLen { len: bytes.len() });
    }
    let (hashes, _) = bytes.as_chunks::<HASH_LEN>();
    Ok(hashes.iter().copied().map(Hash::from_bytes).collect())
}

fn levels(size: TreeSize) -> impl Iterator<Item = TileKind> {
    (0..=MAX_LEVEL).map(TileKind::Hashes).take_while(move |kind| kind.count(size) > 0)
}

fn grown(kind: TileKind, old: TreeSize, new: TreeSize) -> impl Iterator<Item = TileId> {
    let (old_count, new_count) = (kind.count(old), kind.count(new));
    let whole = (old_count >> TILE_HEIGHT)..(new_count >> TILE_HEIGHT);
    let rest = if old_count < new_count { partial(kind, new) } else { None };
    whole.filter_map(move |index| TileId::new(kind, index, TILE_WIDTH)).chain(rest)
}

fn partial(kind: TileKind, size: TreeSize) -> Option<TileId> {
    let count = kind.count(size);
    TileId::new(kind, count >> TILE_HEIGHT, (count % u64::from(TILE_WIDTH)) as u16)
}

fn parse_path(path: &str) -> Option<TileId> {
    if path.len() > MAX_PATH_BYTES {
        return None;
    }
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(parse_decimal(level)?.try_into().ok()?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, parse_decimal(width)?.try_into().ok().filter(|width| *width < TILE_WIDTH)?),
        None => (rest, TILE_WIDTH),
    };
    let mut number = 0_u64;
    for group in index.split('/') {
        let digits = group.trim_start_matches('x');
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // What is written decides where an `x` stands and that no group is there for nothing.
    TileId::new(kind, number, width).filter(|tile| tile.to_string() == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn hashes(level: u8, index: u64, width: u16) -> TileId {
        TileId::new(TileKind::Hashes(level), index, width).unwrap()
    }

    #[test]
    fn paths_read_back() {
        let entries = |index, width| TileId::new(TileKind::Entries, index, width).unwrap();
        for (path, tile) in [
            ("tile/0/000", hashes(0, 0, 256)),
            ("tile/0/x001/x234/067", hashes(0, 1_234_067, 256)),
            ("tile/63/000.p/1", hashes(63, 0, 1)),
            ("tile/2/999.p/255", hashes(2, 999, 255)),
            ("tile/1/x001/000", hashes(1, 1000, 256)),
            ("tile/entries/x001/x000/000.p/17", entries(1_000_000, 17)),
            ("tile/0/x009/x007/x199/x254/x740/991", hashes(0, MAX_SAFE_INTEGER, 256)),
        ] {
            assert_eq!(tile.to_string(), path);
            assert_eq!(TileId::parse_path(path), Ok(tile));
        }
    }

    #[test]
    fn partial_tiles_of_an_index_share_a_folder() {
        let kind = TileKind::Hashes(3);
        assert_eq!(kind.partials_path(1000), "tile/3/x001/000.p");
        assert_eq!(kind.path(1000, 7), "tile/3/x001/000.p/7");
        assert_eq!(TileKind::Entries.path(1000, 256), "tile/entries/x001/000");
        assert_eq!(index_path(5), "005");
    }

    #[test]
    fn paths_that_would_not_be_written_are_refused() {
        for path in [
            "",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/64/000",
            "tile/256/000",
            "tile/00/000",
            "tile/-1/000",
            "tile/entry/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000",
            "tile/0/x000/001",
            "tile/0/001/000",
            "tile/0/xx01/000",
            "tile/0/x001/x000",
            "tile/0/+01",
            "tile/0/000/",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/65537",
            "tile/0/000.p/1/000",
            "tile/0/000.p/1.p/1",
            "tile/0/x009/x007/x199/x254/x740/992",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/٠٠٠",
        ] {
            assert_eq!(TileId::parse_path(path), Err(TlogError::TilePath), "{path}");
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        let size = TreeSize::new(70_000);
        assert_eq!(right_edge(size), [hashes(0, 273, 112), hashes(1, 1, 17), hashes(2, 0, 1)]);
        assert_eq!(right_edge(TreeSize::new(256)), [hashes(1, 0, 1)]);
        assert_eq!(right_edge(TreeSize::ZERO), []);
        assert_eq!(tiles_grown(TreeSize::ZERO, size).count(), 273 + 1 + 1 + 1 + 1);
    }

    /// All tiles of a tree, by counting hashes.
    fn naive(size: u64) -> BTreeSet<TileId> {
        let mut tiles = BTreeSet::new();
        let (mut level, mut count) = (0, size);
        while count > 0 {
            for number in 0..count {
                let (index, left) = (number / 256, count - number / 256 * 256);
                tiles.insert(hashes(level, index, left.min(256) as u16));
            }
            (level, count) = (level + 1, count / 256);
        }
        tiles
    }

    #[test]
    fn growth_is_the_difference_of_two_trees() {
        let sizes = [0, 1, 2, 255, 256, 257, 511, 512, 513, 600, 65_535, 65_536, 65_537, 131_072];
        for old in sizes {
            for new in sizes.into_iter().filter(|new| *new >= old) {
                let (before, after) = (naive(old), naive(new));
                let grown: Vec<_> = tiles_grown(TreeSize::new(old), TreeSize::new(new)).collect();
                let difference: BTreeSet<_> = after.difference(&before).copied().collect();
                assert_eq!(grown.len(), difference.len(), "{old} {new}");
                assert_eq!(grown.into_iter().collect::<BTreeSet<_>>(), difference, "{old} {new}");
                let bundles = bundles_grown(TreeSize::new(old), TreeSize::new(new));
                let level_0 = difference.iter().filter(|tile| tile.kind == TileKind::Hashes(0));
                assert!(bundles.eq(level_0.map(|tile| TileId { kind: TileKind::Entries, ..*tile })), "{old} {new}");
            }
        }
    }

    #[test]
    fn a_hash_is_in_the_widest_tile_of_its_tree() {
        for size in [1, 255, 256, 257, 600, 65_537] {
            let (tree, tiles) = (TreeSize::new(size), naive(size));
            assert!(tiles.iter().all(|tile| tile.is_in(tree)));
            assert!(right_edge(tree).iter().all(|tile| tiles.contains(tile) && tile.is_partial()));
            for level in 0..3 {
                let kind = TileKind::Hashes(level);
                for number in 0..kind.count(tree) {
                    let tile = TileId::holding(kind, number, tree).unwrap();
                    assert!(tiles.contains(&tile) && tile.first() <= number);
                    assert!(number < tile.first() + u64::from(tile.width()));
                }
                assert_eq!(TileId::holding(kind, kind.count(tree), tree), None);
            }
        }
        assert_eq!(TileId::holding(TileKind::Hashes(0), u64::MAX, TreeSize::new(5)), None);
        assert!(hashes(0, 0, 3).is_in(TreeSize::new(300)) && !hashes(0, 1, 45).is_in(TreeSize::new(300)));
        assert!(!hashes(63, 0, 1).is_in(TreeSize::new(MAX_SAFE_INTEGER)));
    }

    #[test]
    fn hashes_read_back() {
        let some = [Hash::from_bytes([1; 32]), Hash::from_bytes([2; 32])];
        let bytes = encode_hashes(&some);
        assert_eq!(decode_hashes(&bytes, 2).unwrap(), some);
        for (bytes, width) in [(&bytes[..63], 2), (&bytes[..], 1), (&bytes[..], 3), (&[], 1)] {
            assert_eq!(decode_hashes(bytes, width), Err(TlogError::TileLen { len: bytes.len() }));
        }
    }
}
