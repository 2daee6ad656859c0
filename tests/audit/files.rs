//! Files that do not fit the checkpoint, and checkpoints that do not fit the log.

use soulchain::audit::Blind;
use soulchain::hash::Hash;
use soulchain::merkle::LeafIndex;
use soulchain::tlog::{Ed25519Signer, KeyName, Policy};

use crate::log::{Files, LOG_KEY, Log, ORIGIN, START, vkey};
use crate::{audit_of, audit_under};

/// A log of 600 entries: two full bundles and a partial one.
fn large() -> Log {
    let (mut log, mut alpha, mut beta) = Log::with_agents();
    while log.next() < 599 {
        for _ in 0..5 {
            log.act(&mut alpha);
        }
        log.act(&mut beta);
        log.seal();
    }
    while log.next() < 599 {
        log.act(&mut alpha);
    }
    if log.next() < 600 {
        log.act(&mut alpha);
        log.seal();
    }
    log
}

fn check(change: impl FnOnce(&mut Files), expected: &[(&str, Option<u64>)]) {
    let mut files = large().files();
    change(&mut files);
    let audited = audit_of(&files);
    assert_eq!(audited.codes(), expected, "{:#?}", audited.found);
}

fn partial(files: &Files, folder: &str) -> String {
    let mut paths = files.0.keys().filter(|path| path.starts_with(folder) && path.contains(".p/"));
    paths.next().unwrap().clone()
}

#[test]
fn as_it_is_published() {
    check(|_| {}, &[]);
}

#[test]
fn a_tile_with_a_wrong_hash() {
    // The tile above it still has the hash of the tile as it was.
    let wrong = |files: &mut Files| files.change("tile/0/001", |tile| tile[32 * 7] ^= 1);
    check(wrong, &[("entry_hash", Some(256 + 7)), ("tile_hash", None)]);
}

#[test]
fn a_partial_tile_that_does_not_match() {
    check(|files| files.change(&partial(files, "tile/0/"), |tile| tile[0] ^= 1), &[("entry_hash", Some(512))]);
    check(|files| files.change(&partial(files, "tile/1/"), |tile| tile[40] ^= 1), &[("tile_hash", None)]);
}

#[test]
fn a_bundle_with_a_wrong_entry() {
    // The signature of the link at 5, the first action: its frame begins after entries 0 to 4.
    let log = large();
    let at = log.entries[..5].iter().map(|entry| 2 + entry.len()).sum::<usize>() + 2 + 300;
    let (mut files, root) = (log.files(), log.root());
    files.change("tile/entries/000", |bundle| bundle[at] ^= 1);
    let audited = audit_of(&files);
    let codes = audited.codes();
    assert_eq!(codes[0], ("entry_hash", Some(5)));
    assert_eq!(codes[1], ("bad_signature", Some(5)));
    assert_eq!(codes.last(), Some(&("checkpoint_root", None)));
    assert!(audited.found.last().unwrap().what.contains(&root.to_hex()));
}

#[test]
fn tiles_of_other_lengths() {
    check(|files| files.change("tile/0/000", |tile| tile.truncate(8191)), &[("tile_length", Some(0))]);
    check(|files| files.change("tile/0/000", |tile| tile.push(0)), &[("tile_length", Some(0))]);
    check(|files| files.change(&partial(files, "tile/1/"), |tile| tile.extend([0; 32])), &[("tile_length", None)]);
}

#[test]
fn tiles_that_are_not_served() {
    check(|files| drop(files.0.remove("tile/0/001")), &[("tile_missing", Some(256))]);
    check(|files| drop(files.0.remove(&partial(files, "tile/1/"))), &[("tile_missing", None)]);
}

#[test]
fn a_partial_tile_may_have_given_way_to_the_full_one() {
    let log = large();
    let mut files = log.files();
    let mut short = Files::default();
    // The checkpoint is of a time when only the first bundle was begun.
    let size = (1..200).rev().find(|size| log.entries[size - 1][0] == 2).unwrap();
    short.sign(ORIGIN, LOG_KEY, size as u64, crate::log::root(&log.leaves()[..size]));
    files.0.insert("checkpoint".into(), short.0.remove("checkpoint").unwrap());
    let audited = audit_of(&files);
    assert_eq!((audited.codes(), audited.report.judged.get()), (vec![], size as u64));
}

#[test]
fn bundles_that_break_off() {
    let log = large();
    let end = log.entries[..3].iter().map(|entry| 2 + entry.len()).sum::<usize>();
    for (len, code) in [(end, "bundle_count"), (end + 1, "bundle_cut_off"), (end + 40, "bundle_cut_off")] {
        let mut files = log.files();
        files.change("tile/entries/000", |bundle| bundle.truncate(len));
        let audited = audit_of(&files);
        assert_eq!(audited.codes(), [(code, Some(3))]);
        assert_eq!(audited.report.blind, Some(Blind::Missing(LeafIndex::new(3))));
        assert_eq!(audited.report.judged.get(), 3);
    }
    let mut files = log.files();
    files.change("tile/entries/001", |bundle| bundle.extend([0, 1, 7]));
    let audited = audit_of(&files);
    assert_eq!((audited.codes(), audited.report.blind), (vec![("bundle_count", Some(512))], None));
}

#[test]
fn a_bundle_that_is_not_served() {
    let mut files = large().files();
    files.0.remove("tile/entries/001");
    let audited = audit_of(&files);
    // The hashes go on to lead to the root: only the entries are withheld.
    assert_eq!(audited.codes(), [("tile_missing", Some(256))]);
    assert_eq!(audited.report.blind, Some(Blind::Missing(LeafIndex::new(256))));
}

#[test]
fn a_log_that_ends_before_its_checkpoint() {
    let mut files = large().files();
    for path in ["tile/entries/001", "tile/0/001"] {
        files.0.remove(path);
    }
    let audited = audit_of(&files);
    assert_eq!(audited.codes(), [("tile_missing", Some(256)), ("tile_missing", Some(256))]);
    assert_eq!(audited.report.judged.get(), 256);
}

#[test]
fn a_checkpoint_of_another_origin() {
    let log = large();
    let mut files = log.files();
    files.sign("log.example/other", LOG_KEY, log.next(), log.root());
    let audited = audit_of(&files);
    assert_eq!(audited.codes(), [("checkpoint_origin", None)]);
    assert!(audited.report.claim.is_none());
}

#[test]
fn a_checkpoint_with_a_wrong_root() {
    let log = large();
    check(|files| files.sign(ORIGIN, LOG_KEY, log.next(), Hash::from_bytes([3; 32])), &[("checkpoint_root", None)]);
}

#[test]
fn a_checkpoint_that_another_key_signed() {
    let log = large();
    check(|files| files.sign(ORIGIN, 199, log.next(), log.root()), &[("checkpoint_signature", None)]);
    let changed = |files: &mut Files| {
        files.change("checkpoint", |note| {
            let at = note.len() - 5;
            note[at] = if note[at] == b'A' { b'B' } else { b'A' };
        });
    };
    check(changed, &[("checkpoint_signature", None)]);
}

#[test]
fn a_checkpoint_that_is_none() {
    for note in [&b""[..], b"log.example/audited\n", &[0xff; 300]] {
        let mut files = Files::default();
        files.0.insert("checkpoint".into(), note.into());
        assert_eq!(audit_of(&files).codes(), [("checkpoint_malformed", None)]);
    }
}

#[test]
fn a_checkpoint_without_its_witnesses() {
    let name = KeyName::parse("witness.example/w1").unwrap();
    let witness = Ed25519Signer::from_seed(name.clone(), &[201; 32]);
    let key = soulchain::tlog::Vkey::new(name, soulchain::tlog::VkeyType::CosignatureV1, witness.vkey().key_bytes());
    let text = format!("log {}\nwitness w1 {}\nquorum w1\n", vkey(LOG_KEY), key.unwrap());
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let audited = audit_under(&large().files(), &policy, None);
    assert_eq!(audited.codes(), [("checkpoint_quorum", None)]);
}

#[test]
fn a_checkpoint_that_does_not_end_in_a_trailer() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let last = log.act(&mut alpha);
    let audited = audit_of(&log.files());
    assert_eq!(audited.codes(), [("checkpoint_not_sealed", Some(last))]);
}

#[test]
fn a_log_whose_clock_is_ahead() {
    // The auditor's clock is a day after the beginning.
    for (ahead, codes) in [(300_000, vec![]), (300_001, vec![("log_clock", None)])] {
        let (mut log, mut alpha, _) = Log::with_agents();
        log.act(&mut alpha);
        log.time = START + 86_400_000 + ahead - 1000;
        log.seal();
        assert_eq!(audit_of(&log.files()).codes(), codes);
    }
}

#[test]
fn a_log_without_entries() {
    let audited = audit_of(&Log::new().files());
    assert_eq!((audited.codes(), audited.report.is_clean()), (vec![], true));
}

/// The sizes at which bundles and tiles begin and end.
#[test]
fn every_size_near_the_edges() {
    let (mut log, mut alpha, _) = Log::with_agents();
    while log.next() < 515 {
        log.act(&mut alpha);
        log.seal();
        let near = log.next() < 9 || [254, 255, 256, 257, 258, 511, 512, 513, 514].contains(&log.next());
        if near {
            let audited = audit_of(&log.files());
            assert_eq!((audited.codes(), audited.report.judged.get()), (vec![], log.next()));
        }
    }
}
