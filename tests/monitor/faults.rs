//! Entries and trailers that an honest log would not have.

use soulchain::encoding::UnixMillis;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::LeafIndex;
use soulchain::monitor::{Kind, MAX_EVIDENCE, MAX_WITHOUT_FILE, Report, Store as _};
use soulchain::soul::{Body, LinkType, Seqno};
use soulchain::tlog::{SignedCheckpoint, TlogProof};
use soulchain::verify::{Charge, Evidence};

use crate::log::{Agent, BOTH, LOG_KEY, Log, ORIGIN};
use crate::{Picky, Sim, check_under_log_key, kinds, only};

/// A log that does one thing wrong, and goes on; the report of it, and the kind of its evidence.
fn check(kind: Kind, evidence: &str, code: &str, wrong: impl FnOnce(&mut Log, &mut Agent, &mut Agent)) -> Report {
    let (mut log, mut alpha, mut beta) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.act(&mut alpha);
    wrong(&mut log, &mut alpha, &mut beta);
    log.act(&mut beta);
    log.seal();
    let report = only(sim.round(&log.files()), kind);
    let file = sim.evidence(&report);
    assert_eq!(Evidence::parse(&file).unwrap().kind(), evidence);
    let conviction = check_under_log_key(&file);
    assert!(conviction.to_string().contains(&format!("`{code}`")), "{conviction}");
    assert_eq!(conviction.caveat().is_none(), evidence == "replay");
    let Charge::Entry { index, .. } = conviction.charge() else { panic!("{conviction}") };
    assert!(report.text.starts_with(&format!("entry {index} breaks the rule `{code}`")), "{}", report.text);
    assert_eq!(kinds(&sim.round(&log.files())), []);
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), [], "after a restart it is known");
    report
}

#[test]
fn a_rewritten_trailer() {
    check(Kind::BadTrailer, "replay", "trailer_map_root", |log, _, _| {
        let mut trailer = log.true_trailer();
        trailer.map_root[0] ^= 1;
        log.push_raw(trailer.to_bytes().into());
    });
}

#[test]
fn a_trailer_that_counts_wrong() {
    check(Kind::BadTrailer, "replay", "trailer_identities", |log, _, _| {
        let mut trailer = log.true_trailer();
        trailer.identities += 1;
        log.push_raw(trailer.to_bytes().into());
    });
}

#[test]
fn a_trailer_whose_time_runs_backwards() {
    check(Kind::BadTrailer, "entry", "trailer_log_time", |log, _, _| {
        let mut trailer = log.true_trailer();
        trailer.log_time = UnixMillis::new(trailer.log_time.get() - 1000);
        log.push_raw(trailer.to_bytes().into());
    });
}

#[test]
fn a_trailer_that_covers_something_else() {
    check(Kind::BadTrailer, "entry", "trailer_covers", |log, _, _| {
        let mut trailer = log.true_trailer();
        trailer.covers = LeafIndex::new(trailer.covers.get() + 1);
        log.push_raw(trailer.to_bytes().into());
    });
}

#[test]
fn two_trailers_in_a_row() {
    check(Kind::BadTrailer, "entry", "trailer_follows_trailer", |log, _, _| {
        log.seal();
        let trailer = log.true_trailer();
        log.push_raw(trailer.to_bytes().into());
    });
}

#[test]
fn an_entry_that_is_none() {
    check(Kind::BadEntry, "entry", "malformed", |log, _, _| {
        log.push_raw(vec![0x7b; 9]);
    });
    check(Kind::BadEntry, "entry", "malformed", |log, _, _| {
        log.push_raw(Vec::new());
    });
}

#[test]
fn a_link_that_was_logged_twice() {
    check(Kind::BadEntry, "entry", "conflict", |log, alpha, _| {
        let link = log.link(alpha, 1, &Body::Action(None));
        log.push(&link);
        alpha.advance(&link);
        log.push_raw(link.entry().to_vec());
    });
}

#[test]
fn a_second_link_of_a_seqno() {
    check(Kind::BadEntry, "entry", "conflict", |log, alpha, _| {
        let (one, mut before) = (log.link(alpha, 1, &Body::Action(None)), *alpha);
        log.push(&one);
        before.key = 2;
        let two = log.link(&before, 2, &Body::Action(None));
        log.push_raw(two.entry().to_vec());
        alpha.advance(&one);
    });
}

#[test]
fn a_link_beyond_the_end_of_its_chain() {
    check(Kind::BadEntry, "replay", "conflict", |log, _, beta| {
        let link = log.link_with(beta, 3, &Body::Action(None), |header| header.seqno = Seqno::new(77));
        log.push_raw(link.entry().to_vec());
    });
}

#[test]
fn a_name_given_twice() {
    check(Kind::BadEntry, "entry", "name_taken", |log, _, _| {
        let link = log.genesis(5, Some("alpha"), &[(5, BOTH)]);
        log.push_raw(link.entry().to_vec());
    });
}

#[test]
fn a_link_by_a_key_of_somebody_else() {
    check(Kind::BadEntry, "replay", "unauthorised", |log, alpha, _| {
        let link = log.link(alpha, 3, &Body::Action(None));
        log.push_raw(link.entry().to_vec());
    });
}

#[test]
fn a_genesis_with_a_wrong_signature() {
    check(Kind::BadEntry, "entry", "bad_signature", |log, _, _| {
        let mut entry = log.genesis(5, None, &[(5, BOTH)]).into_entry();
        entry[280] ^= 1;
        log.push_raw(entry);
    });
}

#[test]
fn a_late_link() {
    check(Kind::BadEntry, "replay", "clock", |log, alpha, _| {
        let link = log.link_with(alpha, 1, &Body::Action(None), |header| {
            header.ctime = UnixMillis::new(header.ctime.get() + 3_600_000);
        });
        // It has its effect all the same.
        log.push(&link);
        alpha.advance(&link);
    });
}

#[test]
fn a_tree_without_a_trailer() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.act(&mut alpha);
    let report = only(sim.round(&log.files()), Kind::Unsealed);
    let conviction = check_under_log_key(&sim.evidence(&report));
    assert!(conviction.caveat().is_some());
    // Another such tree is another fact; a sealed one ends it.
    log.act(&mut alpha);
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Unsealed]);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// Also one that was shown for a moment, and could not be replayed then; and one that only a witness or a client was shown.
#[test]
fn trees_without_a_trailer_that_are_not_the_newest() {
    let history = || {
        let (mut log, mut alpha, _) = Log::with_agents();
        log.act(&mut alpha);
        let unsealed = log.files();
        log.act(&mut alpha);
        log.seal();
        (unsealed, log)
    };
    let (unsealed, mut log) = history();
    let mut sim = Sim::new();
    let (old, _, _) = Log::with_agents();
    assert_eq!(kinds(&sim.round(&old.files())), []);
    let mut withheld = unsealed.clone();
    withheld.0.retain(|path, _| !path.starts_with("tile/entries"));
    assert_eq!(kinds(&sim.round(&withheld)), [Kind::Withheld]);
    sim.restart();
    let reports = sim.round(&log.files());
    assert_eq!(kinds(&reports), [Kind::Resolved, Kind::Unsealed], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[1]));

    // Shown later, as an older one.
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let mut files = log.files();
    files.0.insert("checkpoint".into(), unsealed.0["checkpoint"].clone());
    let reports = sim.round(&files);
    assert_eq!(kinds(&reports), [Kind::RolledBack, Kind::Unsealed], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[1]));
    assert_eq!(kinds(&sim.round(&files)), []);

    // Before the entries are replayed nothing says which rules hold.
    let mut sim = Sim::new();
    sim.monitor.close().unwrap();
    log.seal_after_acts(300);
    let mut files = log.files();
    files.0.retain(|path, _| !path.starts_with("tile/entries/001"));
    assert_eq!(kinds(&sim.round(&files)), [Kind::Withheld]);
    files.0.insert("checkpoint".into(), unsealed.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&files)), [Kind::RolledBack]);
    let reports = sim.round(&log.files());
    assert_eq!(kinds(&reports), [Kind::Resolved, Kind::Resolved, Kind::Unsealed], "{reports:#?}");
    check_under_log_key(&sim.evidence(&reports[2]));
}

#[test]
fn later_rules_are_not_judged() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let registrar = log.registry.office().registrar.unwrap();
    let curr = log.registry.identity(&registrar).unwrap().record.head.curr;
    let registrar = Agent { identity: registrar, seqno: Seqno::FIRST, prev: curr, auth: curr, key: 10 };
    let link = log.link_of(&registrar, 10, LinkType::Policy, br#"{"rules":2,"v":1}"#, |_| {});
    log.push_raw(link.into_entry());
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    let report = only(sim.round(&log.files()), Kind::LaterRules);
    assert_eq!(report.evidence, None);
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// What stands before that policy is as wrong as it was.
#[test]
fn faults_before_later_rules() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.push_raw(vec![7; 7]);
    let registrar = log.registry.office().registrar.unwrap();
    let curr = log.registry.identity(&registrar).unwrap().record.head.curr;
    let registrar = Agent { identity: registrar, seqno: Seqno::FIRST, prev: curr, auth: curr, key: 10 };
    let link = log.link_of(&registrar, 10, LinkType::Policy, br#"{"rules":2,"v":1}"#, |_| {});
    log.push_raw(link.into_entry());
    log.push_raw(vec![8; 8]);
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    let reports = sim.round(&log.files());
    assert_eq!(kinds(&reports), [Kind::LaterRules, Kind::BadEntry], "{reports:#?}");
    assert!(reports[1].text.starts_with("entry 5 breaks"), "{}", reports[1].text);
    check_under_log_key(&sim.evidence(&reports[1]));
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// Nor does it help to withhold what comes later, or to answer no request for it.
#[test]
fn faults_before_entries_that_are_withheld() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.push_raw(vec![7; 7]);
    for _ in 0..260 {
        log.act(&mut alpha);
    }
    log.seal();
    let is_later = |path: &str| path.starts_with("tile/entries/001");
    for (kind, fails) in [(Kind::Withheld, false), (Kind::Unreachable, true)] {
        let mut sim = Sim::new();
        let files = Picky::of(&log, move |path, _| if fails { !is_later(path) } else { true }, |_, _| true);
        let files = if fails { files } else { Picky::of(&log, |_, _| true, move |path, _| !is_later(path)) };
        let reports = sim.round_of(&files);
        let told: std::collections::BTreeSet<_> = kinds(&reports).into_iter().collect();
        assert_eq!(told, [kind, Kind::BadEntry].into(), "{reports:#?}");
        let bad = reports.iter().find(|report| report.kind == Kind::BadEntry).unwrap();
        let evidence = Evidence::parse(&sim.evidence(bad)).unwrap();
        assert!(soulchain::verify::convict(&evidence, &crate::settings().policy).is_ok());
        sim.restart();
        assert_eq!(kinds(&sim.round_of(&files)), [], "it is told once");
        assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    }
}

/// Entries that are not those of the tree convict nobody, also where the tile that would show it is withheld.
#[test]
fn entries_that_are_somebody_elses() {
    let (log, _, _) = Log::with_agents();
    let mut files = log.files();
    files.change("tile/entries/000.p/5", |bytes| *bytes.last_mut().unwrap() ^= 1);
    let files = Picky { files, ..Picky::of(&log, |_, _| true, |path, _| !path.starts_with("tile/0")) };
    let mut sim = Sim::new();
    let reports = sim.round_of(&files);
    assert!(reports.iter().all(|report| report.evidence.is_none()), "{reports:#?}");
    assert!(kinds(&reports).iter().all(|kind| *kind < Kind::Resolved && *kind != Kind::BadTrailer), "{reports:#?}");
    sim.restart();
    let reports = sim.round(&log.files());
    assert!(kinds(&reports).iter().all(|kind| *kind == Kind::Resolved), "{reports:#?}");
}

/// A log that serves a bad entry while it is replayed, and not to those who want to show it: the charge waits.
#[test]
fn evidence_that_cannot_be_made_at_once() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.push_raw(vec![7; 7]);
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    let once = Picky::of(&log, |_, _| true, |path, count| !path.starts_with("tile/entries") || count == 0);
    let report = only(sim.round_of(&once), Kind::Suspicion);
    assert_eq!(report.evidence, None);
    assert!(report.text.starts_with("entry 5 breaks the rule `malformed`"), "{}", report.text);
    sim.restart();
    assert_eq!(kinds(&sim.round_of(&once)).first(), None, "it is told once");
    // Other bytes are no evidence either.
    let mut files = log.files();
    files.change("tile/entries/000.p/8", |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    let wrong = Picky { files, ..Picky::of(&log, |_, _| true, |_, _| true) };
    assert!(sim.round_of(&wrong).iter().all(|report| report.evidence.is_none()));
    let reports = sim.round(&log.files());
    let report = reports.iter().find(|report| report.kind == Kind::BadEntry).unwrap();
    check_under_log_key(&sim.evidence(report));
}

/// Evidence of many entries is of those under the signed root, whatever is served when they are fetched again.
#[test]
fn evidence_of_entries_that_were_changed_since() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.act(&mut alpha);
    let mut trailer = log.true_trailer();
    trailer.map_root[0] ^= 1;
    log.push_raw(trailer.to_bytes().into());
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    let once = Picky::of(&log, |_, _| true, |path, count| !path.starts_with("tile/entries") || count == 0);
    assert_eq!(kinds(&sim.round_of(&once)), [Kind::Suspicion]);
    sim.restart();
    let mut files = log.files();
    files.change("tile/entries/000.p/9", |bytes| bytes[20] ^= 1);
    for _ in 0..2 {
        assert_eq!(kinds(&sim.round(&files)), [], "what is served is no evidence");
    }
    let report = only(sim.round(&log.files()), Kind::BadTrailer);
    check_under_log_key(&sim.evidence(&report));
}

/// What a log serves later, beside its tree, does not take the place of the copies of what it served before.
#[test]
fn copies_are_not_spoilt() {
    let (mut one, mut other) = crate::two_histories();
    let (old, _, _) = Log::with_agents();
    one.seal_after_acts(6);
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&old.files())), []);
    assert_eq!(kinds(&sim.round(&one.files())), []);
    // It is killed, and replays from where the state was kept.
    sim.restart();
    let mut files = one.files();
    let path = format!("tile/0/000.p/{}", one.next());
    files.change(&path, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    assert_eq!(kinds(&sim.round(&files)), [Kind::BadFiles]);
    other.seal_after_acts(1);
    let reports = sim.round(&other.files());
    assert!(kinds(&reports).contains(&Kind::Fork), "{reports:#?}");
}

/// A log that is all wrong is not a report an entry.
#[test]
fn many_faults() {
    let (mut log, mut alpha, _) = Log::with_agents();
    for _ in 0..80 {
        log.push_raw(vec![9; 3]);
    }
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    let reports = sim.round(&log.files());
    assert_eq!(reports.len() as u64, soulchain::monitor::MAX_FAULTS + 1);
    let more = reports.iter().find(|report| report.kind == Kind::MoreFaults).unwrap();
    assert!(
        more.text.starts_with("at least 16 more entries break rules, from entry 69 on, and 80 in all"),
        "{}",
        more.text
    );
    assert_eq!(kinds(&sim.round(&log.files())), []);
    // What comes later is told as well, once, also where it is replayed again.
    log.push_raw(vec![9; 3]);
    log.seal();
    let later = only(sim.round(&log.files()), Kind::MoreFaults);
    assert!(
        later.text.starts_with("at least 1 more entries break rules, from entry 87 on, and 81 in all"),
        "{}",
        later.text
    );
    assert_ne!(later.id, more.id);
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// What is told as one is another fact where it stands for other entries, though there are as many.
#[test]
fn as_many_faults_of_other_entries() {
    let more = |acts: usize| {
        let (mut log, mut alpha, _) = Log::with_agents();
        for _ in 0..acts {
            log.act(&mut alpha);
        }
        for _ in 0..70 {
            log.push_raw(vec![9; 3]);
        }
        log.seal();
        let reports = Sim::new().round(&log.files());
        reports.into_iter().find(|report| report.kind == Kind::MoreFaults).unwrap().id
    };
    assert_eq!(more(1), more(1));
    assert_ne!(more(1), more(2));
}

/// A link that is late shows with the trailer after it: it is counted, also where later entries were before.
#[test]
fn a_late_link_before_many_faults() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let link = log.link_with(&alpha, 1, &Body::Action(None), |header| {
        header.ctime = UnixMillis::new(header.ctime.get() + 3_600_000);
    });
    log.push(&link);
    alpha.advance(&link);
    for _ in 0..80 {
        log.push_raw(vec![9; 3]);
    }
    let mut sim = Sim::new();
    let reports = sim.round(&log.files());
    let more = reports.iter().find(|report| report.kind == Kind::MoreFaults).unwrap();
    assert!(more.text.contains("from entry 70 on, and 80 in all"), "{}", more.text);
    log.seal();
    let later = only(sim.round(&log.files()), Kind::MoreFaults);
    assert!(
        later.text.starts_with("at least 1 more entries break rules, from entry 5 on, and 81 in all"),
        "{}",
        later.text
    );
    // It is counted once, however often it is replayed.
    sim.restart();
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), []);
}

/// The state of an earlier version does not say which faults were counted.
#[test]
fn faults_that_an_earlier_version_has_told() {
    let (mut log, mut alpha, _) = Log::with_agents();
    for _ in 0..80 {
        log.push_raw(vec![9; 3]);
    }
    log.act(&mut alpha);
    log.seal();
    let mut sim = Sim::new();
    sim.round(&log.files());
    let kept = sim.store.read("memory").unwrap().unwrap();
    let mut memory: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    for new in ["counted_to", "late_counted_to"] {
        memory.as_object_mut().unwrap().remove(new);
    }
    sim.store.write("memory", &[&serde_json::to_vec(&memory).unwrap()]).unwrap();
    sim.restart();
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.push_raw(vec![9; 3]);
    log.seal();
    let later = only(sim.round(&log.files()), Kind::MoreFaults);
    assert!(later.text.contains("at least 1 more entries") && later.text.contains("81 in all"), "{}", later.text);
}

/// A log that misbehaves more often than there is room for files: all of it is told, and the reports say that no file was
/// written, why, and what to do.
#[test]
fn more_misbehaviours_than_files_of_evidence() {
    let (log, _, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    let mut count = 0_u64;
    // Other trees of the size that is followed, each signed by the log.
    let mut forks = |many: u64| -> Vec<(String, Vec<u8>)> {
        let mut fork = || {
            count += 1;
            let mut files = log.files();
            files.sign(ORIGIN, LOG_KEY, log.next(), Hash::from_bytes(sha256(&[&count.to_be_bytes()])));
            let note = SignedCheckpoint::parse(&files.0["checkpoint"]).unwrap();
            let proof = TlogProof::new(None, LeafIndex::new(0), Vec::new(), note).unwrap();
            (format!("{count}"), proof.to_string().into_bytes())
        };
        (0..many).map(|_| fork()).collect()
    };
    let files = log.files();
    for many in [MAX_EVIDENCE / 2, MAX_EVIDENCE / 2] {
        let reports = sim.round_with(&files, forks(many));
        assert_eq!(reports.len() as u64, many);
        assert!(reports.iter().all(|report| report.kind == Kind::PromiseBroken && report.evidence.is_some()));
    }
    let again = forks(1);
    for round in 0..2 {
        let reports = sim.round_with(&files, again.clone());
        assert_eq!(reports.len(), 1 - round, "it is told, and once: {reports:#?}");
        let Some(report) = reports.first() else { break };
        assert_eq!((report.kind, &report.evidence), (Kind::PromiseBroken, &None));
        let says = "; no evidence file was written: there are 1024 in evidence, which is the most; move them away";
        assert!(report.text.contains(says), "{}", report.text);
        sim.restart();
    }
    // Not all at once one by one; what is not is counted, and known from then on.
    let many = forks(MAX_WITHOUT_FILE as u64 + 3);
    let reports = sim.round_with(&files, many.clone());
    assert_eq!(reports.len(), MAX_WITHOUT_FILE + 1);
    let more = reports.last().unwrap();
    assert_eq!(more.kind, Kind::MoreFaults);
    assert!(more.text.contains("not told one by one are 3 `promise_broken`, and 3 in all"), "{}", more.text);
    sim.restart();
    assert_eq!(kinds(&sim.round_with(&files, many)), []);
    let more = sim.round_with(&files, forks(MAX_WITHOUT_FILE as u64 + 1)).pop().unwrap();
    assert!(more.text.contains("not told one by one are 1 `promise_broken`, and 4 in all"), "{}", more.text);
    // As it was told to: there is room again.
    for name in sim.store.names("evidence").unwrap() {
        sim.store.rename(&format!("evidence/{name}"), &format!("away/{name}")).unwrap();
    }
    let report = only(sim.round_with(&files, forks(1)), Kind::PromiseBroken);
    check_under_log_key(&sim.evidence(&report));
}

/// Killed in its first round, after the replay was kept and before what it found was: the faults are told, and nothing is
/// cosigned.
#[test]
fn a_first_round_that_was_cut_off() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.act(&mut alpha);
    let link = log.genesis(5, Some("alpha"), &[(5, BOTH)]);
    log.push_raw(link.entry().to_vec());
    log.seal();
    let mut sim = Sim::new();
    let mut nothing = log.files();
    nothing.0.insert("checkpoint".into(), b"nothing".to_vec());
    sim.round(&nothing);
    let before = sim.store.read("memory").unwrap().unwrap();
    assert!(kinds(&sim.round(&log.files())).contains(&Kind::BadEntry));
    sim.store.write("memory", &[&before]).unwrap();
    sim.restart();
    let reports = sim.round(&log.files());
    let told = reports.into_iter().filter(|report| report.kind == Kind::BadEntry).collect();
    check_under_log_key(&sim.evidence(&only(told, Kind::BadEntry)));
    assert_eq!(kinds(&sim.round(&log.files())), []);
}
