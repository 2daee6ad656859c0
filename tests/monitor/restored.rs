//! A monitor whose memory is older than what lies beside it: it was restored from a backup.

use std::io;
use std::sync::{Arc, Mutex};

use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::monitor::{Desk, Kind, LogMonitor, MAX_EVIDENCE, MemoryStore, Store};
use soulchain::tlog::{Cosigner, KeyName};
use soulchain::verify::{BadReplay, Doubt, Evidence, OneSigned, convict};

use crate::forks::Gone;
use crate::log::Log;
use crate::watching::{append, keys, watching};
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
    assert_eq!(kinds(&reports), [Kind::Restored, Kind::BadEntry, Kind::Unreachable], "{reports:#?}");
    assert_eq!((&reports[1].id, &reports[1].evidence), (&bad.id, &bad.evidence));
    check_under_log_key(&sim.evidence(&reports[1]));
    assert!(reports[0].text.contains("Nothing is wrong with the log's files"), "{}", reports[0].text);
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

/// A fault of which the evidence is called otherwise than what the replay found: it is told once, with one id, though the
/// memory was restored, or a kill came before it was kept.
#[test]
fn evidence_that_is_called_otherwise() {
    for is_old in [false, true] {
        let (mut log, mut alpha, _) = Log::with_agents();
        let mut sim = Sim::new();
        assert_eq!(kinds(&sim.round(&log.files())), []);
        let before = backup(&sim);
        log.act(&mut alpha);
        log.seal();
        // It follows a trailer, and covers something else.
        let mut trailer = log.true_trailer();
        trailer.covers = LeafIndex::new(trailer.covers.get() + 1);
        log.push_raw(trailer.to_bytes().into());
        log.act(&mut alpha);
        log.seal();
        let bad = only(sim.round(&log.files()), Kind::BadTrailer);
        assert!(bad.text.contains("`trailer_follows_trailer`"), "{}", bad.text);
        let conviction = check_under_log_key(&sim.evidence(&bad));
        assert!(conviction.to_string().contains("`trailer_covers`"), "{conviction}");
        if is_old {
            // As an earlier version called the file.
            let name = bad.evidence.as_deref().unwrap();
            sim.store.rename(name, &name.replace(&bad.id, &bad.id[..16])).unwrap();
        }
        restore(&mut sim, &before);
        let reports = sim.round(&log.files());
        assert_eq!(kinds(&reports), [Kind::BadTrailer], "{reports:#?}");
        assert_eq!(reports[0].id[..16], bad.id[..16]);
        assert_eq!(reports[0].id == bad.id, !is_old);
        for _ in 0..2 {
            sim.restart();
            assert_eq!(kinds(&sim.round(&log.files())), [], "it is told once");
        }
    }
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

/// What happened to watched identities in the history that is followed now is told, from where the memory ends; also where the
/// replay that is left is of another one.
#[test]
fn watched_identities_in_another_history() {
    for (acts, keeps_at) in [(5, 5), (1, 3), (0, 5)] {
        let (mut one, _) = two_histories();
        let (mut other, mut alpha, _) = Log::with_agents();
        let mut sim = watching(&["alpha"]);
        assert_eq!(kinds(&sim.round(&other.files())), []);
        let before = backup(&sim);
        one.seal_after_acts(keeps_at);
        assert_eq!(kinds(&sim.round(&one.files())), []);
        sim.monitor.close().unwrap();
        for folder in ["tile", "unproven"] {
            for name in sim.store.names(folder).unwrap() {
                sim.store.rename(&format!("{folder}/{name}"), &format!("away/{name}")).unwrap();
            }
        }
        restore(&mut sim, &before);
        // Its keys change where the other history has something else.
        let body = keys(&alpha, None);
        append(&mut other, &mut alpha, &body);
        other.seal();
        if acts > 0 {
            other.seal_after_acts(acts);
        }
        let mut told = Vec::new();
        for _ in 0..3 {
            told.extend(kinds(&sim.round(&other.files())));
        }
        while other.next() <= one.next() {
            other.seal_after_acts(1);
            told.extend(kinds(&sim.round(&other.files())));
            told.extend(kinds(&sim.round(&other.files())));
        }
        assert_eq!(told.iter().filter(|kind| **kind == Kind::Keys).count(), 1, "{acts}: {told:?}");
        assert!(told.contains(&Kind::Fork), "{told:?}");
    }
}

/// Values, some of which cannot be read, nor their names listed.
#[derive(Clone)]
struct Refusing {
    values: MemoryStore,
    refuses: Arc<Mutex<String>>,
}

impl Refusing {
    fn check(&self, name: &str) -> io::Result<()> {
        let refuses = self.refuses.lock().unwrap();
        if refuses.is_empty() || *refuses != name { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl Store for Refusing {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.check(name).and_then(|()| self.values.read(name))
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        self.values.write(name, parts)
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.values.copy(name, bytes)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        self.check(folder).and_then(|()| self.values.names(folder))
    }

    fn place(&self, name: &str) -> String {
        self.values.place(name)
    }
}

fn cosigning() -> Sim {
    let cosigner = Cosigner::from_seed(KeyName::parse("m.example").unwrap(), &[60; 32]);
    Sim::of(settings(), Desk::new(Some(cosigner)))
}

fn shown(sim: &Sim) -> Option<String> {
    sim.desk.checkpoint(&soulchain::encoding::hex_encode(&sim.settings.origin.hash()))
}

/// Evidence that cannot be listed, or read, may convict the log: that is told, nothing is cosigned, and it is tried again.
#[test]
fn evidence_that_cannot_be_read() {
    for lists in [false, true] {
        let (mut one, other) = two_histories();
        let mut sim = cosigning();
        assert_eq!(kinds(&sim.round(&one.files())), []);
        let (before, cosigned) = (backup(&sim), shown(&sim));
        let fork = only(sim.round(&other.files()), Kind::Fork);
        restore(&mut sim, &before);
        let refuses = if lists { fork.evidence.clone().unwrap() } else { "evidence".into() };
        let store = Refusing { values: sim.store.clone(), refuses: Arc::new(Mutex::new(refuses)) };
        let open =
            |sim: &Sim| LogMonitor::open(sim.settings.clone(), Arc::new(store.clone()), sim.desk.clone()).unwrap();
        for expected in [vec![Kind::EvidenceUnread], vec![]] {
            sim.monitor = open(&sim);
            one.seal_after_acts(1);
            assert_eq!(kinds(&sim.round(&one.files())), expected);
            one.seal_after_acts(1);
            assert_eq!(kinds(&sim.round(&one.files())), [], "it is told once");
            assert_eq!(sim.monitor.sizes().1.get(), one.next(), "the log is followed");
            assert_eq!(shown(&sim), cosigned);
        }
        store.refuses.lock().unwrap().clear();
        one.seal_after_acts(1);
        let reports = sim.round(&one.files());
        assert_eq!(kinds(&reports), [Kind::Fork, Kind::Resolved], "{reports:#?}");
        assert_eq!((&reports[0].id, &reports[0].evidence), (&fork.id, &fork.evidence));
        assert_eq!(shown(&sim), cosigned, "it is convicted");
    }
}

/// A file that names a fault, and has no entries: it convicts nobody, unless the replay finds the same.
#[test]
fn evidence_without_its_entries() {
    for is_true in [true, false] {
        let (mut log, mut alpha, _) = Log::with_agents();
        let mut sim = cosigning();
        assert_eq!(kinds(&sim.round(&log.files())), []);
        let before = backup(&sim);
        log.act(&mut alpha);
        let mut trailer = log.true_trailer();
        trailer.map_root[0] ^= u8::from(is_true);
        log.push_raw(trailer.to_bytes().into());
        if is_true {
            log.act(&mut alpha);
            log.seal();
        }
        let told = sim.round(&log.files());
        let name = match told.first() {
            Some(bad) => {
                assert_eq!(kinds(&told), [Kind::BadTrailer]);
                bad.evidence.clone().unwrap()
            }
            None => format!("evidence/bad_trailer-{:032x}.evidence", 7),
        };
        let checkpoint = OneSigned::parse(str::from_utf8(&log.files().0["checkpoint"]).unwrap()).unwrap();
        let evidence = Evidence::Replay(BadReplay {
            code: "trailer_map_root".into(),
            index: LeafIndex::new(6),
            checkpoint,
            size: TreeSize::new(log.next()),
            path: Vec::new(),
            entries: None,
        });
        let judged = convict(&evidence, &sim.settings.policy);
        assert!(matches!(judged, Err(Doubt::EntriesElsewhere)), "{judged:?}");
        sim.store.write(&name, &[evidence.to_string().as_bytes()]).unwrap();
        restore(&mut sim, &before);
        // It waits for its entries.
        let unread = sim.round_of(&Gone);
        let restored = unread.iter().find(|report| report.text.contains("do not have the entries")).unwrap();
        assert_eq!(restored.kind, Kind::Restored);
        assert!(unread.iter().all(|report| report.kind != Kind::BadTrailer), "{unread:#?}");
        let reports = sim.round(&log.files());
        let of_log: Vec<_> = reports.iter().filter(|report| report.kind != Kind::Resolved).collect();
        assert_eq!(of_log.len(), usize::from(is_true), "{reports:#?}");
        if is_true {
            assert_eq!((of_log[0].kind, &of_log[0].id), (Kind::BadTrailer, &told[0].id));
            check_under_log_key(&sim.evidence(of_log[0]));
        } else {
            log.seal_after_acts(1);
            assert_eq!(kinds(&sim.round(&log.files())), []);
            assert!(shown(&sim).unwrap().contains(&format!("\n{}\n", log.next())), "it is cosigned");
        }
        sim.restart();
        assert_eq!(kinds(&sim.round(&log.files())), []);
    }
}

/// Evidence that cannot be read, of what is found anew meanwhile: it is told once.
#[test]
fn evidence_that_is_made_anew_before_it_is_read() {
    let (one, other) = two_histories();
    let mut sim = cosigning();
    assert_eq!(kinds(&sim.round(&one.files())), []);
    let before = backup(&sim);
    let fork = only(sim.round(&other.files()), Kind::Fork);
    restore(&mut sim, &before);
    let refuses = Arc::new(Mutex::new(fork.evidence.clone().unwrap()));
    let store = Refusing { values: sim.store.clone(), refuses: refuses.clone() };
    sim.monitor = LogMonitor::open(sim.settings.clone(), Arc::new(store), sim.desk.clone()).unwrap();
    assert_eq!(kinds(&sim.round(&one.files())), [Kind::EvidenceUnread]);
    let again = only(sim.round(&other.files()), Kind::Fork);
    assert_eq!((&again.id, &again.evidence), (&fork.id, &fork.evidence));
    refuses.lock().unwrap().clear();
    assert_eq!(kinds(&sim.round(&one.files())), [Kind::RolledBack, Kind::Resolved]);
}

/// More files than there may be, that are no evidence, hide none that is one; nor do they keep the log from being followed.
#[test]
fn evidence_among_many_files() {
    for is_convicted in [true, false] {
        let (mut one, other) = two_histories();
        let mut sim = cosigning();
        assert_eq!(kinds(&sim.round(&one.files())), []);
        let (before, cosigned) = (backup(&sim), shown(&sim));
        if is_convicted {
            only(sim.round(&other.files()), Kind::Fork);
        }
        for at in 0..=MAX_EVIDENCE {
            sim.store.write(&format!("evidence/bad_entry-{at:016x}.evidence"), &[b"nothing"]).unwrap();
        }
        restore(&mut sim, &before);
        one.seal_after_acts(1);
        assert_eq!(kinds(&sim.round(&one.files())), [], "some at a time");
        assert_eq!(sim.monitor.sizes().1.get(), one.next(), "the log is followed");
        assert_eq!(shown(&sim), cosigned, "nothing is cosigned until all are judged");
        let (mut told, mut rounds) = (Vec::new(), 1);
        while told.last() != Some(&Kind::Restored) {
            told.extend(kinds(&sim.round(&one.files())));
            rounds += 1;
            assert!(rounds < 30, "{told:?}");
        }
        assert_eq!(told, if is_convicted { vec![Kind::Fork, Kind::Restored] } else { vec![Kind::Restored] });
        assert_eq!(shown(&sim) == cosigned, is_convicted);
    }
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
