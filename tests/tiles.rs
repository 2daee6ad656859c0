//! The checker in `tools/` against trees of this crate: two implementations of tiles and hashing, one root.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

use soulchain::hash::Hash;
use soulchain::merkle::{Frontier, TreeSize, leaf_hash};
use soulchain::tlog::{
    BundleWriter, Checkpoint, Ed25519Signer, KeyName, Origin, TileId, TileKind, bundles_grown, encode_hashes,
    sign_checkpoint, tiles_grown,
};

#[test]
fn another_implementation_finds_the_same_root_and_every_fault() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for size in [0, 1, 255, 256, 257, 600, 65_536, 65_541] {
        let log = dir.path().join(size.to_string());
        write_log(&log, size);
        assert_eq!(faults(&log), None, "{size} entries");
    }
    let log = dir.path().join("65541");
    for (path, fault) in [
        ("tile/entries/003", "tile/0/003: 1 wrong; hash 0 is not that of entry 768"),
        ("tile/0/003", "tile/0/003: 1 wrong; hash 0 is not that of entry 768"),
        ("tile/0/256.p/5", "tile/0/256.p/5: 1 wrong; hash 0 is not that of entry 65536"),
        ("tile/1/000", "tile/1/000: 1 wrong; hash 0 is not that of tile/0/000"),
        ("tile/2/000.p/1", "tile/2/000.p/1: 1 wrong; hash 0 is not that of tile/1/000"),
    ] {
        let sound = fs::read(log.join(path)).unwrap();
        let mut changed = sound.clone();
        changed[5] ^= 1;
        fs::write(log.join(path), &changed).unwrap();
        assert!(faults(&log).unwrap().contains(fault), "{path} changed");
        fs::remove_file(log.join(path)).unwrap();
        assert!(faults(&log).unwrap().contains(&format!("{path}: missing")), "{path} removed");
        fs::write(log.join(path), &sound).unwrap();
    }
    let other_root = fs::read(dir.path().join("65536/checkpoint")).unwrap();
    fs::write(log.join("checkpoint"), String::from_utf8(other_root).unwrap().replace("65536", "65541")).unwrap();
    assert!(faults(&log).unwrap().starts_with("root: the entries give"));
}

/// What the checker finds wrong.
fn faults(log: &Path) -> Option<String> {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/tiles.py");
    let output = Command::new("python3").arg(tool).arg(log).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    (!said.is_empty()).then_some(said)
}

fn write_log(dir: &Path, size: u64) {
    let mut levels = vec![Vec::new(); 64];
    let mut frontier = Frontier::new();
    for index in 0..size {
        frontier.push_with(leaf_hash(&entry(index)), |node, hash| levels[usize::from(node.level)].push(*hash));
    }
    let size = TreeSize::new(size);
    for tile in tiles_grown(TreeSize::ZERO, size) {
        write(dir, tile, &encode_hashes(hashes(&levels, tile)));
    }
    for bundle in bundles_grown(TreeSize::ZERO, size) {
        let mut writer = BundleWriter::new();
        let entries = bundle.first()..bundle.first() + u64::from(bundle.width());
        entries.for_each(|index| writer.push(&entry(index)).unwrap());
        write(dir, bundle, &writer.into_bytes());
    }
    let origin = Origin::parse("log.example/tiles").unwrap();
    let signer = Ed25519Signer::from_seed(KeyName::parse(origin.as_str()).unwrap(), &[1; 32]);
    let checkpoint = Checkpoint::new(origin, size, frontier.root()).unwrap();
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("checkpoint"), sign_checkpoint(&checkpoint, &signer).unwrap().to_string()).unwrap();
}

/// Entries of different lengths.
fn entry(index: u64) -> Vec<u8> {
    [&index.to_be_bytes()[..], &vec![7; index as usize % 50]].concat()
}

fn hashes(levels: &[Vec<Hash>], tile: TileId) -> &[Hash] {
    let TileKind::Hashes(level) = tile.kind() else { panic!("{tile} has no hashes") };
    let start = tile.first() as usize;
    &levels[usize::from(level) * 8][start..start + usize::from(tile.width())]
}

fn write(dir: &Path, tile: TileId, bytes: &[u8]) {
    let path = dir.join(tile.to_string());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
