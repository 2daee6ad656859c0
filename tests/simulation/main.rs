//! The whole of it in one process, as a seed decides: a log, three witnesses of which two suffice, relying parties, a mirror and
//! a monitor, with crashes, power losses, faulty disks, partitions, delays, lost and doubled messages, and a log that forks.
//!
//! | part | what is real | what is a double |
//! |---|---|---|
//! | honest log | the feeder, the engine with its recovery, the rules, entries, tiles, notes | its disks, its server |
//! | byzantine log | the feeder; entries, trees, tiles, notes | its engine (`operator`): batches on a simulated disk |
//! | witness | service, store, journal | its server; a task commits where a thread does |
//! | monitor | rounds, replay, evidence, and the judge of evidence | its store is `DirStore`'s steps on a simulated disk |
//! | mirror | follower, engine, checkpoints | its disks |
//! | relying party | the policy | |
//! | network, disks, time | | all of it |
//!
//! In every run (`judge`, `world`): no two checkpoints with a quorum's cosignatures contradict each other; no witness cosigns a
//! smaller tree after a larger one, or two that do not go together; relying parties agree; the mirror only grows, and holds
//! nothing that no quorum has cosigned; a monitor that can hear of two trees that do not go together convicts the log with
//! evidence that convinces `verify::convict`, forgets no tree that the log has shown it, and never convicts an honest log;
//! an honest log has after each crash what it has acknowledged, and nothing that it was not given; its roots and consistency
//! paths are those of a tree computed plainly; when all is healed it publishes all that it has, and mirror and monitor have it.
//!
//! All numbers come from the seed, and time stands still until everybody waits. Threads run only inside a monitor's or a
//! mirror's round, or while a log's engine is asked for something, which begins and ends at one moment; what they do there in
//! which order shows nowhere. `SOULCHAIN_SEED=7` runs one seed again, `SOULCHAIN_SEEDS=1000` or `SOULCHAIN_SEEDS=1000..2000`
//! many.
#![cfg(feature = "node")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests fail by panicking; sizes here are small"
)]

#[allow(dead_code, reason = "the engine's tests use the rest")]
#[path = "../engine/disk.rs"]
mod disk;
#[allow(dead_code, reason = "the audit's tests use the rest")]
#[path = "../audit/log.rs"]
mod log;

mod engine;
mod history;
mod random;

mod judge;
mod net;

mod client;
mod mirror;
mod monitor;
mod node;
mod operator;
mod prober;
mod shown;
mod witness;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Once;

use crate::judge::{Count, Verdict};
use crate::witness::Careless;
use crate::world::Twist;

thread_local! {
    /// Whether anything panicked on this thread: the runtime keeps a task's panic to itself.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs the world of a seed. A panic in it is its failure.
fn run(seed: u64, twist: Twist) -> Verdict {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            HAS_PANICKED.set(true);
            before(info);
        }));
    });
    HAS_PANICKED.set(false);
    let mut verdict = world::run(seed, twist);
    if HAS_PANICKED.take() {
        verdict.wrong.get_or_insert("something panicked".into());
    }
    verdict
}

/// Seeds of an ordinary run.
const SEEDS: u64 = 40;

/// `SOULCHAIN_SEED=7`, `SOULCHAIN_SEEDS=1000` or `SOULCHAIN_SEEDS=500..1000`.
fn seeds() -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is no number"));
    if let Ok(seed) = std::env::var("SOULCHAIN_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match std::env::var("SOULCHAIN_SEEDS") {
        Ok(text) => match text.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&text),
        },
        Err(_) => 0..SEEDS,
    }
}

/// Says how a seed failed, and how it is run again.
fn explain(seed: u64, verdict: &Verdict) -> String {
    let from = verdict.trace.len().saturating_sub(400);
    let trace = verdict.trace[from..].join("\n");
    let wrong = verdict.wrong.as_deref().unwrap_or("nothing");
    let hash = verdict.hash();
    format!("{trace}\nseed {seed}: {wrong}\ntrace {hash}\nagain: SOULCHAIN_SEED={seed} cargo test --test simulation")
}

#[test]
fn no_cosigned_fork_and_no_missed_fork() {
    let (seeds, mut counts) = (seeds(), BTreeMap::<Count, u64>::new());
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let verdict = run(seed, Twist::Nothing);
        if verdict.wrong.is_some() {
            failed.push((seed, verdict));
            continue;
        }
        for (what, count) in verdict.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    if let Some((seed, verdict)) = failed.first() {
        let all: Vec<_> = failed.iter().map(|(seed, verdict)| (seed, verdict.wrong.as_deref())).collect();
        panic!("{}\nfailed: {all:#?}", explain(*seed, verdict));
    }
    eprintln!("{seeds:?}: {counts:?}");
    if seeds.end - seeds.start >= SEEDS {
        let missing: Vec<_> = Count::ALL.iter().filter(|what| !counts.contains_key(what)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..6 {
        let (one, other) = (run(seed, Twist::Nothing), run(seed, Twist::Nothing));
        let apart = one.trace.iter().zip(&other.trace).position(|(a, b)| a != b);
        let lines = apart.map(|at| (&one.trace[at], &other.trace[at]));
        assert_eq!(one.hash(), other.hash(), "seed {seed}: {lines:?}");
    }
}

/// The judge finds what is wrong in some of these seeds.
fn is_found(twist: Twist, what: &str) {
    let found = (0..100).find_map(|seed| run(seed, twist).wrong.map(|wrong| (seed, wrong)));
    let (seed, wrong) = found.unwrap_or_else(|| panic!("{twist:?} is not found"));
    eprintln!("{twist:?}: seed {seed}: {wrong}");
    assert!(wrong.contains(what), "{wrong}");
}

#[test]
fn a_witness_that_forgets_is_found() {
    is_found(Twist::Witnesses(Careless::Forgets), "cosigned both sides");
}

#[test]
fn a_witness_that_signs_all_is_found() {
    is_found(Twist::Witnesses(Careless::SignsAll), "a cosigned fork");
}

#[test]
fn a_monitor_that_asks_no_witnesses_is_found() {
    is_found(Twist::DeafMonitor, "missed fork");
}
