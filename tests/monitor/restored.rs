//! A monitor whose memory is older than what lies beside it: it was restored from a backup.

use soulchain::monitor::{Desk, Kind, Store as _};
use soulchain::tlog::{Cosigner, KeyName};

use crate::forks::Gone;
use crate::log::Log;
use crate::{Sim, check_under_log_key, kinds, only, settings, two_histories};

/// What a monitor remembers, to be put back later.
fn backup(sim: &Sim) -> Vec<u8> {
    sim.store.read("memory").unwrap().unwrap()
}

fn restore(sim: &mut Sim, memory: &[u8]) {
    sim.store.write("memory", &[memory]).unwrap();
    sim.restart();
}

/// Nothing is wrong with the log's files, or with those of the monitor: what verifies is told again, as what it was.
#[test]
fn a_memory_that_is_older_than_the_rest() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let before = backup(&sim);
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    let bad = only(sim.round(&log.files()), Kind::BadEntry);
    sim.monitor.close().unwrap();
    restore(&mut sim, &before);
    // The log cannot even be asked.
    let reports = sim.round_of(&Gone);
    assert_eq!(kinds(&reports), [Kind::BadEntry, Kind::Restored, Kind::Unreachable], "{reports:#?}");
    assert_eq!((&reports[0].id, &reports[0].evidence), (&bad.id, &bad.evidence));
    check_under_log_key(&sim.evidence(&reports[0]));
    assert!(reports[1].text.contains("Nothing is wrong with the log's files"), "{}", reports[1].text);
    assert_eq!(sim.monitor.sizes().0.get(), log.next(), "the copies show that it is the same log");
    sim.restart();
    assert_eq!(kinds(&sim.round_of(&Gone)), [], "it is told once");
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    assert_eq!(sim.monitor.sizes().1.get(), log.next());
}

/// What the replay has found is found again, though it stands where the log does, and the evidence is gone.
#[test]
fn a_memory_and_evidence_that_are_older_than_the_replay() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let before = backup(&sim);
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    let bad = only(sim.round(&log.files()), Kind::BadEntry);
    sim.monitor.close().unwrap();
    let file = bad.evidence.as_deref().unwrap();
    sim.store.rename(file, "away").unwrap();
    restore(&mut sim, &before);
    let reports = sim.round(&log.files());
    assert_eq!(kinds(&reports), [Kind::Restored, Kind::BadEntry], "{reports:#?}");
    assert_eq!(reports[1].id, bad.id);
    check_under_log_key(&sim.evidence(&reports[1]));
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// What was seen for a moment is known by its evidence alone: it is told, and nothing of such a log is cosigned.
#[test]
fn a_fork_of_which_the_evidence_is_left() {
    let (mut one, other) = two_histories();
    let cosigner = Cosigner::from_seed(KeyName::parse("m.example").unwrap(), &[60; 32]);
    let mut sim = Sim::of(settings(), Desk::new(Some(cosigner)));
    let shown = |sim: &Sim| sim.desk.checkpoint(&soulchain::encoding::hex_encode(&sim.settings.origin.hash()));
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let (before, cosigned) = (backup(&sim), shown(&sim).unwrap());
    let fork = only(sim.round(&other.files()), Kind::Fork);
    // Another file in its place, and one that is no evidence: neither is known, and only one of them is told of.
    sim.store.write("evidence/notes.txt", &[b"mine"]).unwrap();
    sim.store.write("evidence/fork-0123456789abcdef.evidence", &[b"nothing"]).unwrap();
    restore(&mut sim, &before);
    one.seal_after_acts(2);
    let reports = sim.round(&one.files());
    assert_eq!(kinds(&reports), [Kind::Fork, Kind::Restored], "{reports:#?}");
    assert_eq!((&reports[0].id, &reports[0].evidence), (&fork.id, &fork.evidence));
    assert!(reports[0].text.ends_with("it verifies, and counts again"), "{}", reports[0].text);
    let says = "1 files in evidence are not in this monitor's memory, and do not verify under its policy; the first is fork-0123";
    assert!(reports[1].text.starts_with(says), "{}", reports[1].text);
    assert_eq!(shown(&sim).unwrap(), cosigned, "it is convicted");
    sim.restart();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let reports = sim.round(&other.files());
    assert!(!reports.iter().any(|report| report.id == fork.id), "{reports:#?}");
}

/// The replay that is left is of a tree that the log signed, and goes on without: that is a fork, and no fault of files.
#[test]
fn a_replay_that_is_of_another_history() {
    for has_copies in [true, false] {
        let (mut one, mut other) = two_histories();
        one.seal_after_acts(1);
        other.seal_after_acts(5);
        let mut sim = Sim::new();
        assert_eq!(kinds(&sim.round(&Log::with_agents().0.files())), []);
        let before = backup(&sim);
        assert_eq!(kinds(&sim.round(&one.files())), []);
        sim.monitor.close().unwrap();
        if !has_copies {
            for folder in ["tile", "unproven"] {
                for name in sim.store.names(folder).unwrap() {
                    sim.store.rename(&format!("{folder}/{name}"), &format!("away/{name}")).unwrap();
                }
            }
        }
        restore(&mut sim, &before);
        let reports = sim.round(&other.files());
        let told = kinds(&reports);
        assert!(told.contains(&Kind::Restored) && !told.contains(&Kind::BadFiles), "{reports:#?}");
        let fork = reports.into_iter().filter(|report| report.kind == Kind::Fork).collect();
        check_under_log_key(&sim.evidence(&only(fork, Kind::Fork)));
        // What it follows it replays.
        let followed = if has_copies { &one } else { &other };
        sim.round(&followed.files());
        assert_eq!(sim.monitor.sizes().1.get(), followed.next());
        sim.restart();
        assert_eq!(kinds(&sim.round(&followed.files())), []);
        // What it follows is smaller than what was shown.
        assert_eq!(sim.monitor.conditions().collect::<Vec<_>>(), ["rolled_back "][..usize::from(has_copies)]);
    }
}
