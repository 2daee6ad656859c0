//! A data directory on the file system: made whole, held by one process, opened again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use soulchain::clock::SystemClock;
use soulchain::log::{Directory, DirectoryError, Engine, Opaque, OpaqueGroup, Options, OriginFile, Storage, open};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::storage::FjallViews;

use super::world::{block_on, note, signer};

fn origin() -> OriginFile {
    OriginFile { v: 1, origin: "local/0123abcd".into(), vkeys: vec!["a".into(), "b".into()] }
}

fn open_log(directory: &Directory) -> Engine<Opaque> {
    let storage = directory.storage().unwrap();
    open(Opaque, storage, signer(), Arc::new(SystemClock::new()), Options::default()).unwrap().0
}

#[test]
fn a_directory_is_made_held_and_opened_again() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("log");
    // What an earlier start left half done is in nobody's way.
    fs::create_dir_all(parent.path().join("log.new/journal")).unwrap();
    fs::write(parent.path().join("log.new/journal/key"), b"x").unwrap();
    assert!(!Directory::exists(&path));
    Directory::create(&path, &origin(), |new| fs::write(new.join("extra"), b"y")).unwrap();
    assert!(Directory::exists(&path) && path.join("extra").exists() && !parent.path().join("log.new").exists());

    let directory = Directory::open(&path).unwrap();
    assert_eq!(*directory.origin(), origin());
    assert!(matches!(Directory::open(&path), Err(DirectoryError::InUse(_))));
    let engine = open_log(&directory);
    let entries: Vec<Bytes> = (0..300_u32).map(|number| number.to_be_bytes().to_vec().into()).collect();
    let committed = engine.submit(OpaqueGroup::new(entries.clone()).unwrap()).ok().unwrap().blocking_answer();
    let view = committed.ok().unwrap().view;
    block_on(engine.publish(&view, note(view.size(), &view.root()))).unwrap();
    engine.close();
    assert_eq!(fs::read(path.join("checkpoint")).unwrap(), note(view.size(), &view.root()));
    assert_eq!(fs::read(path.join("tile/0/000")).unwrap().len(), 256 * 32);
    assert_eq!(fs::read(path.join("tile/0/001.p/44")).unwrap().len(), 44 * 32);

    drop(directory);
    let directory = Directory::open(&path).unwrap();
    let engine = open_log(&directory);
    let again = engine.view();
    assert_eq!((again.size(), again.root()), (TreeSize::new(300), view.root()));
    assert_eq!(engine.reader(&again).entry(LeafIndex::new(299)).unwrap(), entries[299]);
    assert_eq!(engine.published().unwrap().size, view.size());
    engine.close();
}

#[test]
fn what_is_no_directory_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    assert!(matches!(Directory::open(parent.path()), Err(DirectoryError::Io(..))));
    for (origin, says) in [("{", "origin.json is damaged"), (r#"{"v":2,"origin":"x","vkeys":[]}"#, "version 2")] {
        fs::write(parent.path().join("origin.json"), origin).unwrap();
        let Err(error) = Directory::open(parent.path()) else { panic!("{origin}") };
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// A store whose files are others by now, whatever they were: the next start makes it anew from the entries.
fn rebuilds_what_cannot_be_opened(folder: &str, storage: fn(&Directory) -> Storage, is_closed: fn(&Path) -> bool) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("log");
    Directory::create(&path, &origin(), |_| Ok(())).unwrap();
    let opened = || {
        let directory = Directory::open(&path).unwrap();
        let (engine, recovery) =
            open(Opaque, storage(&directory), signer(), Arc::new(SystemClock::new()), Options::default()).unwrap();
        engine.keep(Box::new(directory));
        (engine, recovery)
    };
    let (engine, _) = opened();
    let group = OpaqueGroup::new((0..300_u32).map(|number| number.to_be_bytes().to_vec().into()).collect()).unwrap();
    let view = engine.submit(group).ok().unwrap().blocking_answer().ok().unwrap().view;
    engine.close();
    drop(engine);
    let (engine, recovery) = opened();
    assert!(!recovery.views_rebuilt, "they were there");
    engine.close();
    drop(engine);
    spoil(&path.join(folder));
    assert!(is_closed(&path.join(folder)), "the store opens all the same");
    let (engine, recovery) = opened();
    assert_eq!((engine.view().size(), engine.view().root(), recovery.replayed), (view.size(), view.root(), 300));
    engine.close();
    drop(engine);
    let (engine, recovery) = opened();
    assert!(!recovery.views_rebuilt && recovery.replayed == 0, "they are there again");
    engine.close();
}

/// Writes something else into every file.
fn spoil(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil(&path);
        } else {
            fs::write(path, b"something else").unwrap();
        }
    }
}

#[test]
fn views_on_fjall_that_cannot_be_opened_are_made_anew() {
    rebuilds_what_cannot_be_opened(
        "views",
        |directory| directory.storage().unwrap(),
        |path| FjallViews::open(path).is_err(),
    );
}

#[cfg(feature = "sled")]
#[test]
fn views_on_sled_that_cannot_be_opened_are_made_anew() {
    rebuilds_what_cannot_be_opened(
        "views-sled",
        |directory| directory.storage_on_sled().unwrap(),
        |path| soulchain::storage::SledViews::open(path).is_err(),
    );
}
