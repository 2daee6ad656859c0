//! The full audit at the end of every test: what the log shows, against trees and states made anew from its entries.

use soulchain::encoding::hex_encode;
use soulchain::hash::{Hash, sha256};
use soulchain::log::{Engine, KeptBody, LogReader, LogView, Machine};
use soulchain::merkle::{EMPTY_ROOT, LeafIndex, TreeSize, leaf_hash, node_hash, verify_consistency, verify_inclusion};

use super::disk::SimDisk;
use super::rules::Rules;
use super::world::{Erasure, Told, note};

const WIDTH: usize = 256;

/// A tree made anew from leaves: the twin of what the engine keeps. What is perfect is hashed once.
struct Tree {
    /// At level k the roots over 2^k leaves.
    rows: Vec<Vec<Hash>>,
}

impl Tree {
    fn new(entries: &[impl AsRef<[u8]>]) -> Self {
        let mut rows = vec![entries.iter().map(|entry| leaf_hash(entry.as_ref())).collect::<Vec<Hash>>()];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            rows.push(above);
        }
        Self { rows }
    }

    /// The root of the first `size` leaves (RFC 6962, section 2.1).
    fn root(&self, size: TreeSize) -> Hash {
        if size == TreeSize::ZERO { EMPTY_ROOT } else { self.range(0, size.get() as usize) }
    }

    fn range(&self, start: usize, end: usize) -> Hash {
        let len = end - start;
        if len.is_power_of_two() {
            return self.rows[len.ilog2() as usize][start / len];
        }
        let left = len.next_power_of_two() / 2;
        node_hash(&self.range(start, start + left), &self.range(start + left, end))
    }

    fn leaves(&self) -> &[Hash] {
        &self.rows[0]
    }

    /// The hashes of each level of tiles in the tree of a size.
    fn levels(&self, size: usize) -> impl Iterator<Item = &[Hash]> {
        let rows = self.rows.iter().step_by(8).enumerate();
        rows.map(move |(level, row)| &row[..size >> (8 * level)]).take_while(|row| !row.is_empty())
    }
}

/// Checks everything that an open log shows, and that it contradicts nothing that anyone was told. Gives the entries.
pub(crate) fn check_log(engine: &Engine<Rules>, told: &Told) -> Vec<Vec<u8>> {
    let view = engine.view();
    let entries = check_tree(engine, &view, told);
    let reader = engine.reader(&view);
    let mut replay = Rules::default();
    for (index, entry) in (0..).map(LeafIndex::new).zip(&entries) {
        let row = replay.apply(index, entry, &reader).unwrap();
        assert_eq!(reader.row(index).unwrap(), row, "row {index}");
        let body = reader.body(index).unwrap();
        let commitment = entry.iter().position(|byte| *byte == b'#').map(|at| &entry[at + 1..]);
        match (body, commitment) {
            (KeptBody::Absent, None) => {}
            (KeptBody::Kept(body), Some(commitment)) => {
                assert_eq!(hex_encode(&sha256(&[&body.bytes])).as_bytes(), commitment, "body {index}");
            }
            (KeptBody::Erased, Some(_)) => assert!(told.erasures.contains_key(&index.get()), "nobody erased {index}"),
            (body, _) => panic!("body {index}: {body:?}"),
        }
    }
    assert_eq!(replay.check(entries.last().map(Vec::as_slice)), Ok(()));
    assert_eq!(**view.state(), *replay.values(), "the state at {}", view.size());
    for entry in &told.entries {
        let body = reader.body(LeafIndex::new(entry.index)).unwrap();
        match told.erasures.get(&entry.index) {
            Some(Erasure::Answered) => assert_eq!(body, KeptBody::Erased, "body {}", entry.index),
            Some(Erasure::Ordered) if body == KeptBody::Erased => {}
            _ => assert_eq!(body.into_body(), entry.body, "body {}", entry.index),
        }
    }
    entries
}

/// The same for entries without meaning. Gives the entries.
pub(crate) fn check_tree<M: Machine>(engine: &Engine<M>, view: &LogView<M::State>, told: &Told) -> Vec<Vec<u8>> {
    let reader = engine.reader(view);
    let size = view.size();
    let entries = read_bundles(&reader, size);
    assert_eq!(entries.len() as u64, size.get());
    let tree = Tree::new(&entries);
    check_tiles(&reader, &tree);
    let root = tree.root(size);
    assert_eq!((view.root(), reader.root(size).unwrap()), (root, root), "root of {size}");
    if size > TreeSize::ZERO {
        assert_eq!(**view.checkpoint(), note(size, &root)[..], "checkpoint of {size}");
    }
    check_heads(&reader, &tree, &told.heads);
    let step = 1.max(told.entries.len() / 16);
    for (number, told) in told.entries.iter().rev().enumerate() {
        let index = LeafIndex::new(told.index);
        assert!(told.index < size.get(), "entry {} was acknowledged, and the log has {size}", told.index);
        assert_eq!(reader.entry(index).unwrap(), told.entry, "entry {index}");
        // Of many entries some stand for the paths of all.
        if number % step == 0 || number < 4 {
            let path = reader.inclusion(index, size).unwrap();
            verify_inclusion(&tree.leaves()[told.index as usize], index, size, &path, &root).unwrap();
        }
    }
    let published = engine.published();
    assert!(published.as_ref().map_or(TreeSize::ZERO, |published| published.size) >= told.published, "it went back");
    if let Some(published) = published {
        assert_eq!(published.root, tree.root(published.size));
        assert_eq!(*published.note, note(published.size, &published.root)[..]);
    }
    for past in [reader.entry(size.next_index()).is_err(), reader.root(TreeSize::new(size.get() + 1)).is_err()] {
        assert!(past, "nothing is past the end");
    }
    entries
}

fn read_bundles(reader: &LogReader<'_>, size: TreeSize) -> Vec<Vec<u8>> {
    let size = size.get() as usize;
    let mut entries = Vec::with_capacity(size);
    for start in (0..size).step_by(WIDTH) {
        let width = WIDTH.min(size - start);
        let bundle = reader.bundle((start / WIDTH) as u64, width).unwrap();
        assert!(reader.bundle((start / WIDTH) as u64, width + 1).is_err(), "no bundle is wider");
        entries.extend(split_bundle(&bundle));
    }
    // Each entry by itself; of a large log some.
    for index in (0..size).step_by(1.max(size / 1000)) {
        assert_eq!(reader.entry(LeafIndex::new(index as u64)).unwrap(), entries[index]);
    }
    entries
}

pub(crate) fn split_bundle(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((len, rest)) = bundle.split_first_chunk() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

/// Every tile of every level, the partial one in several widths.
fn check_tiles(reader: &LogReader<'_>, tree: &Tree) {
    for (level, hashes) in (0..).zip(tree.levels(reader.size().get() as usize)) {
        for (index, tile) in (0..).zip(hashes.chunks(WIDTH)) {
            for width in [1, tile.len() / 2, tile.len()].into_iter().filter(|width| *width > 0) {
                let bytes = reader.tile(level, index, width).unwrap();
                assert_eq!(bytes, tile_of(&tile[..width]), "tile {level}/{index} of {width}");
            }
            assert!(reader.tile(level, index, tile.len() + 1).is_err());
        }
        assert!(reader.tile(level, hashes.len().div_ceil(WIDTH) as u64, 1).is_err());
    }
}

fn tile_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn check_heads(reader: &LogReader<'_>, tree: &Tree, heads: &[(TreeSize, Hash)]) {
    let size = reader.size();
    let root = tree.root(size);
    let mut heads = heads.to_vec();
    heads.sort_unstable();
    heads.dedup();
    for (old, old_root) in heads {
        assert!(old <= size, "a checkpoint of {old} was handed out, and the log has {size}");
        assert_eq!(old_root, tree.root(old), "the checkpoint of {old}");
        assert_eq!(reader.root(old).unwrap(), old_root);
        let path = reader.consistency(old, size).unwrap();
        verify_consistency(old, size, &old_root, &root, &path).unwrap();
    }
}

/// The public files of a log that was closed: what a static web server would show.
pub(crate) fn check_files(disk: &SimDisk, entries: &[impl AsRef<[u8]>], published: TreeSize) {
    let entries: Vec<&[u8]> = entries.iter().map(AsRef::as_ref).collect();
    let tree = Tree::new(&entries);
    for size in [entries.len(), published.get() as usize] {
        for (level, hashes) in tree.levels(size).enumerate() {
            for (index, tile) in hashes.chunks(WIDTH).enumerate() {
                check_file(disk, &format!("tile/{level}"), index, tile.len(), &tile_of(tile));
            }
        }
        for (index, bundle) in entries[..size].chunks(WIDTH).enumerate() {
            let bytes = bundle.iter().flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat());
            check_file(disk, "tile/entries", index, bundle.len(), &bytes.collect::<Vec<u8>>());
        }
    }
    let root = tree.root(published);
    let checkpoint = (published > TreeSize::ZERO).then(|| note(published, &root));
    assert_eq!(disk.peek("checkpoint"), checkpoint);
}

/// Nothing of a body whose erasure was answered is in any file, on the medium or in the page cache: no 22 bytes of a
/// [`secret`], no quarter of a salt.
pub(crate) fn check_gone(disk: &SimDisk, told: &Told) {
    let erased = told.entries.iter().filter(|entry| told.erasures.get(&entry.index) == Some(&Erasure::Answered));
    let mut patterns: Vec<(u64, Vec<u8>)> = Vec::new();
    for entry in erased {
        let body = entry.body.as_ref().unwrap();
        assert!(body.bytes.len() > 2 * TAG, "too short to be looked for");
        patterns.push((entry.index, body.bytes[..TAG].to_vec()));
        patterns.extend(body.salt.chunks(8).map(|part| (entry.index, part.to_vec())));
    }
    let mut begins = vec![false; 1 << 16];
    let pair = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    for (_, pattern) in &patterns {
        begins[pair(pattern)] = true;
    }
    disk.everything(|name, bytes| {
        for at in (0..bytes.len().saturating_sub(1)).filter(|at| begins[pair(&bytes[*at..])]) {
            for (index, pattern) in &patterns {
                assert!(!bytes[at..].starts_with(pattern), "of the body beside {index} something is at {at} of {name}");
            }
        }
    });
}

/// Bytes that a secret repeats.
const TAG: usize = 7;

/// A body that is found wherever 22 bytes of it are.
pub(crate) fn secret(name: &str, len: usize) -> Vec<u8> {
    let tag = sha256(&[b"secret", name.as_bytes()]);
    let chunks = (0..=len as u64 / 15).flat_map(|number| [&tag[..TAG], &number.to_be_bytes()].concat());
    chunks.take(len).collect()
}

/// A partial one may have gone when the full one is there (tlog-tiles, "Partial Tiles").
fn check_file(disk: &SimDisk, folder: &str, index: usize, width: usize, bytes: &[u8]) {
    let name = format!("{folder}/{index:03}");
    let full = disk.peek(&name);
    if width == WIDTH {
        return assert_eq!(full.as_deref(), Some(bytes), "{name}");
    }
    let partial = disk.peek(&format!("{name}.p/{width}"));
    match (partial, full) {
        (Some(partial), _) => assert_eq!(partial, bytes, "{name}.p/{width}"),
        (None, Some(full)) => assert!(full.starts_with(bytes), "{name}"),
        (None, None) => panic!("{name}.p/{width} is missing"),
    }
}
