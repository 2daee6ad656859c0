//! Replay of raw entries and of prepared ones: two ways, one verdict.

use std::collections::HashMap;

use serde_json::Value;
use soulchain::ed25519::PublicKey;
use soulchain::encoding::b64_decode;
use soulchain::merkle::TreeSize;
use soulchain::registry::{Prepared, Replay};
use soulchain::soul::{Kid, Link, LogId};

use crate::log::{self, Log};

/// How a signature is tried ahead.
#[derive(Clone, Copy, Debug)]
enum Tried {
    /// Not at all.
    Not,
    /// With the key that the link names, as far as it is known.
    Known,
    /// With a key that has nothing to do with it.
    Wrong,
}

fn known_keys(entries: &[Vec<u8>], log_id: LogId) -> HashMap<Kid, PublicKey> {
    let mut keys = HashMap::new();
    for entry in entries {
        let prepared = Prepared::read(entry, log_id);
        keys.extend(prepared.listed_keys().filter_map(|(kid, pk)| Some((kid, PublicKey::from_bytes(&pk)?))));
    }
    keys
}

/// Replays a log both ways, and through bytes at each trailer.
fn check(what: &str, log_id: LogId, entries: &[Vec<u8>]) -> usize {
    let keys = known_keys(entries, log_id);
    let mut naive = Replay::new(log_id);
    let sealed: Vec<_> = entries.iter().map(|entry| naive.push(entry).map(|sealed| sealed.is_some())).collect();
    let wrong = log::key(77).public();
    for tried in [Tried::Not, Tried::Known, Tried::Wrong] {
        let mut replay = Replay::new(log_id);
        let mut faults = Vec::new();
        for (at, (entry, expected)) in entries.iter().zip(&sealed).enumerate() {
            let mut prepared = Prepared::read(entry, log_id);
            match tried {
                Tried::Not => {}
                Tried::Known => prepared.try_signature(|kid| keys.get(kid).copied()),
                Tried::Wrong => prepared.try_signature(|_| Some(wrong)),
            }
            let taken = replay.push_prepared(prepared).map(|sealed| sealed.is_some());
            assert_eq!(taken, *expected, "{what} {tried:?} {at}");
            faults.append(&mut replay.take_faults());
            if taken == Ok(true) && at % 3 == 0 {
                let bytes = replay.to_bytes().expect("a valid trailer seals everything");
                replay = Replay::from_bytes(log_id, &bytes).unwrap();
                assert_eq!(replay.to_bytes(), Some(bytes));
            }
        }
        assert_eq!(faults, naive.faults(), "{what} {tried:?}");
        assert_eq!((replay.size(), replay.root()), (naive.size(), naive.root()));
        assert_eq!(replay.stopped(), naive.stopped());
        let maps = [&replay, &naive].map(|replay| replay.registry().committed().map().root().to_hex());
        assert_eq!(maps[0], maps[1], "{what} {tried:?}");
        for size in (0..entries.len() as u64 + 2).map(TreeSize::new) {
            assert_eq!(replay.history().root_at(size), naive.history().root_at(size));
        }
    }
    naive.faults().len()
}

#[test]
fn faulty_logs_of_the_vectors() {
    let Some(path) = crate::common::shared("vectors/soulchain/faulty_logs.json") else {
        println!("skipped: no vectors here");
        return;
    };
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let logs = vectors["logs"].as_array().unwrap();
    assert!(logs.len() > 5);
    for case in logs {
        let entries = case["entries"].as_array().unwrap();
        let entries: Vec<_> = entries.iter().map(|entry| b64_decode(entry.as_str().unwrap()).unwrap()).collect();
        let reported = case["reported"].as_array().unwrap().len();
        let name = case["name"].as_str().unwrap();
        assert_eq!(check(name, LogId::of_origin("log.example/soul1"), &entries), reported, "{name}");
    }
}

/// The prefix of the vectors has every kind of link.
#[test]
fn a_log_of_the_vectors_changed_at_random() {
    let Some(path) = crate::common::shared("vectors/soulchain/bad_links.json") else {
        println!("skipped: no vectors here");
        return;
    };
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let entries: Vec<_> = ["prefix", "cases"]
        .iter()
        .flat_map(|part| vectors[*part].as_array().unwrap())
        .map(|entry| entry.get("entry").unwrap_or(entry))
        .map(|entry| b64_decode(entry.as_str().unwrap()).unwrap())
        .collect();
    let log_id = LogId::of_origin("log.example/soul1");
    assert!(check("all bad links", log_id, &entries) > 50);
    mutated("vectors", log_id, &entries, 12);
}

#[test]
fn a_written_log_changed_at_random() {
    let (mut log, mut alpha, mut beta) = Log::with_agents();
    for round in 0..6 {
        log.act(&mut alpha);
        if round % 2 == 0 {
            log.act(&mut beta);
        }
        log.seal();
    }
    assert_eq!(check("as written", log::log_id(), &log.entries), 0);
    mutated("written", log::log_id(), &log.entries, 150);
}

fn mutated(what: &str, log_id: LogId, entries: &[Vec<u8>], rounds: u64) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut faulty = 0;
    for round in 0..rounds {
        let mut entries = entries.to_vec();
        for _ in 0..=random.below(3) {
            random.change(&mut entries);
        }
        faulty += u64::from(check(&format!("{what}, round {round}"), log_id, &entries) > 0);
    }
    assert!(faulty * 2 > rounds, "most changes are seen: {faulty} of {rounds}");
}

/// Xorshift: the same changes at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn change(&mut self, entries: &mut Vec<Vec<u8>>) {
        let (at, other) = (self.below(entries.len()), self.below(entries.len()));
        match self.below(7) {
            0 => drop(entries.remove(at)),
            1 => entries.swap(at, other),
            2 => entries.insert(at, entries[other].clone()),
            3 => {
                let cut = self.below(entries[at].len());
                entries[at].truncate(cut);
            }
            // A signature, where the entry is a link.
            4 if Link::parse_entry(&entries[at]).is_ok() => {
                let byte = 275 + self.below(64);
                entries[at][byte] ^= 1 << self.below(8);
            }
            _ if !entries[at].is_empty() => {
                let byte = self.below(entries[at].len());
                entries[at][byte] ^= 1 << self.below(8);
            }
            _ => {}
        }
    }
}
