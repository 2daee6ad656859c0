//! Drives the targets for some seconds each: `smoke [SECONDS [TARGET…]]`.
//!
//! Fails if a target panics, if a seed is refused, or if nothing but the seeds was accepted, for then the target was
//! not tried.

use std::fmt::Write as _;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use soulchain_fuzz::mutate::{Random, mutate};
use soulchain_fuzz::{TARGETS, Target, target};

/// Most inputs that are kept to go on from.
const MAX_CORPUS: usize = 4096;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Ok(seconds) = args.next().map_or(Ok(1.0), |text| text.parse::<f64>()) else { return usage() };
    let names: Vec<_> = args.collect();
    let chosen: Option<Vec<&Target>> = names.iter().map(|name| target(name)).collect();
    let (Some(chosen), true) = (chosen, seconds.is_finite() && seconds > 0.0) else { return usage() };
    let targets = if chosen.is_empty() { TARGETS.iter().collect() } else { chosen };
    let failed = targets.into_iter().filter(|target| !drive(target, Duration::from_secs_f64(seconds))).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("usage: smoke [SECONDS [TARGET...]]\ntargets: {}", names.join(" "));
    ExitCode::from(2)
}

/// Whether the target kept its law for that long.
fn drive(target: &Target, time: Duration) -> bool {
    let mut corpus = (target.seeds)();
    for seed in &corpus {
        match verdict(target, seed) {
            Some(true) => {}
            Some(false) => return failure(target, "refuses a seed", seed),
            None => return failure(target, "fails on a seed", seed),
        }
    }
    let (begun, mut random, mut inputs, mut accepted) = (Instant::now(), Random::new(1), 0_u64, 0_u64);
    while begun.elapsed() < time {
        // The clock is dear beside most targets.
        for _ in 0..64 {
            let [input, other] = [(); 2].map(|()| random.below(corpus.len()));
            let input = mutate(&corpus[input], &corpus[other], &mut random);
            inputs += 1;
            match verdict(target, &input) {
                None => return failure(target, "fails", &input),
                Some(false) => {}
                Some(true) => {
                    accepted += 1;
                    let place = if corpus.len() < MAX_CORPUS { corpus.len() } else { random.below(MAX_CORPUS) };
                    corpus.truncate(MAX_CORPUS);
                    if place == corpus.len() { corpus.push(input) } else { corpus[place] = input }
                }
            }
        }
    }
    println!("{:<16} {inputs:>10} inputs, {accepted:>8} accepted", target.name);
    accepted > 0 || failure(target, "accepted no input but the seeds", &[])
}

/// Whether the input was accepted; `None` for a panic, whose message is out already.
fn verdict(target: &Target, input: &[u8]) -> Option<bool> {
    catch_unwind(|| (target.run)(input)).ok()
}

fn failure(target: &Target, what: &str, input: &[u8]) -> bool {
    let hex = input.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    });
    eprintln!("{} {what}; the input in hex:\n{hex}", target.name);
    false
}
