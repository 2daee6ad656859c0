//! What a mirror takes from its log, and what it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use soulchain::audit::HttpSource;
use soulchain::clock::{Clock, Reading};
use soulchain::encoding::{UnixMillis, b64_decode};
use soulchain::keyfile::KeyAlg;
use soulchain::merkle::TreeSize;
use soulchain::mirror::{Follower, MirrorOptions, OpenedMirror, Round, Trouble, open};

use crate::log::{Copy, Lies, Log, Tree, options, sign, signer};

fn refusal(copy: &Copy) -> String {
    match copy.follower.round() {
        Err(Trouble::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_of_another_maker_is_followed() {
    let tree = Tree::new(70_000, "a");
    let log = Log::start(tree.clone(), 1);
    let copy = Copy::of(&log);
    for size in [1, 2, 255, 256, 257, 600, 66_000, 70_000] {
        log.show(size);
        log.asked.lock().unwrap().clear();
        assert_eq!(copy.follower.round(), Ok(Round::UpToDate(TreeSize::new(size))));
        assert_eq!((copy.size(), copy.root()), (size, tree.root(size)));
        assert_eq!(copy.get("/checkpoint").body, log.checkpoint(size).to_string().into_bytes());
        assert_eq!(copy.served().claim(), log.checkpoint(size).claim());
        let asked = log.asked.lock().unwrap();
        let bundles = asked.iter().filter(|path| path.starts_with("tile/entries/")).count() as u64;
        assert!(bundles <= size.div_ceil(256), "{bundles} bundles of {size} entries");
        // Leaves come of bundles; tiles of leaves are needed for a proof of consistency at most.
        let leaves = asked.iter().filter(|path| path.starts_with("tile/0/") && !path.contains(".p/")).count();
        assert!(leaves <= 2, "{leaves} tiles of leaves");
    }
    // Nothing is asked for twice.
    log.asked.lock().unwrap().clear();
    assert_eq!(copy.follower.round(), Ok(Round::UpToDate(TreeSize::new(70_000))));
    assert_eq!(*log.asked.lock().unwrap(), ["checkpoint"]);
    let dir = copy.stop();
    let report = soulchain::node::check_directory(&dir.path().join("mirror"), false, &mut |_| {}).unwrap();
    assert_eq!(report.findings, []);
    let copy = Copy::open(dir, &log);
    assert_eq!((copy.size(), copy.root()), (70_000, tree.root(70_000)));
    assert_eq!(copy.served().claim().size().get(), 70_000);
    for path in ["tile/entries/000", "tile/0/272", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
        assert_eq!(copy.get(&format!("/{path}")).status, 200, "{path}");
    }
}

#[test]
fn a_flipped_bit_is_refused_and_nothing_of_it_is_kept() {
    let tree = Tree::new(1_000, "a");
    let log = Log::start(tree.clone(), 300);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    log.show(1_000);
    // A whole bundle, the one at the edge, and tiles: each path with the size up to which bundles before it are whole.
    let paths =
        ["tile/entries/001", "tile/entries/002", "tile/entries/003.p/232", "tile/0/003.p/232", "tile/1/000.p/3"];
    for path in paths {
        let served = soulchain_get(&log, path);
        for at in [2, served.len() / 2, served.len() - 1] {
            let mut flipped = served.clone();
            flipped[at] ^= 1;
            let files = BTreeMap::from([(path.to_owned(), flipped)]);
            log.lie(Lies { files, ..Lies::default() });
            let before = copy.size();
            let why = refusal(&copy);
            assert!(why.contains("signed") || why.contains("root") || why.contains("bundle"), "{path}: {why}");
            // What is before it is proven, and may be kept; of it there is nothing.
            let kept = copy.size();
            assert!(kept >= before && kept <= 768, "{path}: {kept}");
            assert_eq!(copy.root(), tree.root(kept));
            assert_eq!(
                copy.get("/checkpoint").body,
                log.checkpoint(300).to_string().into_bytes(),
                "it is not published"
            );
            assert_eq!(copy.served().claim().size().get(), 300, "nor cosigned");
        }
    }
    for (path, bytes) in [
        ("tile/entries/003.p/232", Vec::new()),
        ("tile/entries/003.p/232", vec![0; 40]),
        ("tile/1/000.p/3", vec![0; 32]),
        ("tile/1/000.p/3", vec![0; 20_000]),
    ] {
        log.lie(Lies { files: BTreeMap::from([(path.to_owned(), bytes)]), ..Lies::default() });
        refusal(&copy);
        assert!(copy.size() <= 768);
    }
    log.lie(Lies::default());
    copy.follower.round().unwrap();
    assert_eq!((copy.size(), copy.root()), (1_000, tree.root(1_000)));
}

fn soulchain_get(log: &Log, path: &str) -> Vec<u8> {
    use soulchain::audit::{HttpSource, Source as _, TileBytes};
    let tile = soulchain::tlog::TileId::parse_path(path).unwrap();
    match HttpSource::new(&log.url()).unwrap().tile(tile).unwrap() {
        TileBytes::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_goes_back_is_refused() {
    let log = Log::start(Tree::new(500, "a"), 400);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    for size in [399, 256, 1, 0] {
        log.show(size);
        assert!(refusal(&copy).contains("gone back"));
        assert_eq!(copy.size(), 400);
    }
    // A restart forgets nothing of it.
    let copy = Copy::open(copy.stop(), &log);
    assert!(refusal(&copy).contains("gone back"));
    assert_eq!(copy.get("/checkpoint").body, log.checkpoint(400).to_string().into_bytes());
    log.show(500);
    copy.follower.round().unwrap();
    assert_eq!(copy.size(), 500);
}

#[test]
fn a_fork_is_refused() {
    let tree = Tree::new(700, "a");
    let log = Log::start(tree.clone(), 400);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    let mut other = tree.entries.clone();
    other[17] = b"another".to_vec();
    let other = Tree::of(other);
    for size in [400, 401, 512, 700] {
        log.become_tree(other.clone(), size);
        assert!(refusal(&copy).contains("forked"), "{size}");
        assert_eq!((copy.size(), copy.root()), (400, tree.root(400)));
        assert_eq!(copy.served().claim().root(), tree.root(400));
    }
    let copy = Copy::open(copy.stop(), &log);
    assert!(refusal(&copy).contains("forked"));
    // Where entries beyond the copy differ, it is no fork.
    let mut grown = tree.entries;
    grown[400] = b"not seen before".to_vec();
    log.become_tree(Tree::of(grown), 700);
    copy.follower.round().unwrap();
    assert_eq!(copy.size(), 700);
}

/// The pending checkpoint is one that the log has signed: a branch beside it is a fork too.
#[test]
fn a_fork_of_what_is_pending_is_refused() {
    let tree = Tree::new(700, "a");
    let log = Log::start(tree.clone(), 300);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    copy.pend(&log, 300, 500);
    let mut other = tree.entries.clone();
    other[450] = b"another".to_vec();
    log.become_tree(Tree::of(other), 700);
    assert!(refusal(&copy).contains("forked"));
    assert_eq!(copy.size(), 300);
    // A smaller one cannot be told from a fork before the pending one is reached: the mirror waits.
    log.become_tree(tree, 400);
    assert_eq!(copy.follower.round(), Ok(Round::Ahead(TreeSize::new(400))));
    log.show(600);
    copy.follower.round().unwrap();
    assert_eq!(copy.size(), 600);
}

#[test]
fn what_the_policy_does_not_accept_is_refused() {
    let log = Log::start(Tree::new(300, "a"), 200);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    let root = log.tree().root(300);
    for note in [
        sign(&signer(2), 300, root).to_string().into_bytes(),
        log.checkpoint(300).to_string().replace(char::is_numeric, "1").into_bytes(),
        b"no note".to_vec(),
        Vec::new(),
    ] {
        log.lie(Lies { note: Some(note), ..Lies::default() });
        refusal(&copy);
        assert_eq!(copy.size(), 200);
    }
}

#[test]
fn a_log_that_is_away_is_waited_for() {
    let log = Log::start(Tree::new(300, "a"), 200);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    log.lie(Lies { is_away: true, ..Lies::default() });
    assert!(matches!(copy.follower.round(), Err(Trouble::Unreachable(_))));
    assert_eq!(copy.get("/checkpoint").status, 200);
    assert_eq!(copy.get("/readyz").status, 200);
    log.lie(Lies::default());
    log.show(300);
    copy.follower.round().unwrap();
    assert_eq!(copy.size(), 300);
}

#[test]
fn a_directory_holds_one_log() {
    let log = Log::start(Tree::new(300, "a"), 200);
    let copy = Copy::of(&log);
    copy.follower.round().unwrap();
    let dir = copy.stop();
    let mut other = options(&dir, &log, KeyAlg::Ed25519);
    other.policy = format!("log {}\nquorum none\n", signer(2).vkey()).into_bytes();
    let error = open(&other).err().unwrap().to_string();
    assert!(error.contains("does not list"), "{error}");
    // What was cosigned has to be there: an older copy does not open.
    let bytes = std::fs::read(dir.path().join("mirror/mirror/checkpoint")).unwrap();
    let later = log.checkpoint(300).to_string().into_bytes();
    std::fs::write(dir.path().join("mirror/mirror/checkpoint"), later).unwrap();
    let error = open(&options(&dir, &log, KeyAlg::Ed25519)).err().unwrap().to_string();
    assert!(error.contains("larger than the copy"), "{error}");
    std::fs::write(dir.path().join("mirror/mirror/checkpoint"), &bytes[1..]).unwrap();
    assert!(open(&options(&dir, &log, KeyAlg::Ed25519)).is_err());
    std::fs::write(dir.path().join("mirror/mirror/checkpoint"), bytes).unwrap();
    assert_eq!(Copy::open(dir, &log).size(), 200);
}

/// A clock that is set, and has jumped while it shows 0.
#[derive(Default)]
struct Jumpy(AtomicU64);

impl Clock for Jumpy {
    fn read(&self, least: UnixMillis) -> Reading {
        match self.0.load(Ordering::SeqCst) {
            0 => Reading::Jumped,
            seconds => Reading::Time(UnixMillis::new(seconds * 1000).max(least)),
        }
    }
}

#[test]
fn a_clock_that_jumped_gives_no_time_to_cosign_with_and_times_never_go_back() {
    let log = Log::start(Tree::new(300, "a"), 200);
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(Jumpy::default()));
    let options = MirrorOptions { clock: Arc::clone(&clock) as _, ..options(&dir, &log, KeyAlg::Ed25519) };
    let OpenedMirror::Opaque(mirror) = open(&options).unwrap().mirror else { panic!("it is no log of agents") };
    let follower = Follower::new(mirror.clone(), Box::new(HttpSource::new(&log.url()).unwrap())).unwrap();
    let time = || {
        let served = mirror.mirrored()?.to_string();
        let signature = b64_decode(served.lines().last()?.rsplit(' ').next()?)?;
        Some(u64::from_be_bytes(signature[4..12].try_into().ok()?))
    };
    match follower.round() {
        Err(Trouble::Stopped(why)) => assert!(why.contains("the clock has moved"), "{why}"),
        other => panic!("{other:?}"),
    }
    // The copy goes on.
    assert_eq!((mirror.engine().view().size().get(), time()), (200, None));
    for (now, size, signed_at) in [(1_234_567_890, 200, 1_234_567_890), (1_234_567_000, 300, 1_234_567_890)] {
        clock.0.store(now, Ordering::SeqCst);
        log.show(size);
        assert_eq!(follower.round(), Ok(Round::UpToDate(TreeSize::new(size))));
        assert_eq!(time(), Some(signed_at));
    }
}
