//! The fold, written a second time from the page of formats alone, and a real node held against it.
//!
//! The second fold keeps the list of entries and nothing else. Every question is answered by reading that list from the
//! start: no caches, no undo, no state that is carried on. Random operations, valid and not, go to a node in this
//! process and to the second fold; verdicts, records, roots and trailers have to agree.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::type_complexity,
    clippy::format_collect,
    clippy::large_enum_variant,
    clippy::single_match_else,
    clippy::stable_sort_primitive,
    clippy::needless_for_each,
    reason = "the helpers of a test, written to be read beside the page and not to be fast"
)]

mod body;
mod cases;
mod link;
mod log;
mod trees;
mod vectors;
mod verdict;

#[path = "../common/mod.rs"]
mod common;

mod driver;
mod offers;
mod random;

use std::collections::{BTreeMap, BTreeSet};

use cases::CASES;
use driver::{Counts, World};

const STEPS: usize = 60;
const SCENES: u64 = 4;
const SEQUENCES: u64 = 40;

/// Says which seed it was when a sequence fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("SOULCHAIN_SEED={} fails", self.0);
        }
    }
}

#[test]
fn a_node_and_the_second_fold_say_the_same() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let sequences = number("SOULCHAIN_CASES").unwrap_or(SEQUENCES);
    let first = number("SOULCHAIN_SEED").unwrap_or(1);
    let (mut counts, mut seen, mut reopened) = (Counts::new(), BTreeMap::<_, u64>::new(), 0);
    for seed in first..first + sequences {
        let _seed = Seed(seed);
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        for number in 0..SCENES {
            world.scene(seed * SCENES + number);
        }
        world.reopen();
        for (key, count) in world.counts {
            *counts.entry(key).or_default() += count;
        }
        for case in cases::take_seen() {
            *seen.entry(case).or_default() += 1;
        }
        reopened += world.reopened;
    }
    println!("{sequences} sequences, reopened {reopened} times");
    for ((link_type, code), count) in &counts {
        println!("{link_type:#06x} {code}: {count}");
    }
    for case in CASES {
        println!("{case}: in {} sequences", seen.get(case).unwrap_or(&0));
    }
    if first == 1 && sequences >= SEQUENCES {
        assert_all_answered(&counts);
        let unmet: Vec<_> = CASES.iter().filter(|case| !seen.contains_key(*case)).collect();
        assert!(unmet.is_empty(), "no sequence met {unmet:?}");
    }
}

fn assert_all_answered(counts: &Counts) {
    const CODES: &str = "malformed wrong_log bad_body unknown_identity revoked conflict unauthorised bad_signature \
                         name_taken key_in_use too_many_keys clock bad_anchor bad_reference";
    let codes: BTreeSet<&str> = counts.keys().map(|(_, code)| *code).collect();
    for code in CODES.split_whitespace() {
        assert!(codes.contains(code), "{code} was never answered");
    }
    for link_type in link::TYPES {
        let was = |admitted: bool| {
            counts.keys().any(|(other, code)| *other == link_type && (*code == "admitted") == admitted)
        };
        assert!(was(true) && was(false), "{link_type:#06x} was not both admitted and refused");
    }
}
