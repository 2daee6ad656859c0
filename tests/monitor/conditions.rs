//! What is wrong for a while, and what witnesses show.

use soulchain::encoding::UnixMillis;
use soulchain::monitor::{Desk, Kind, Store as _, World};
use soulchain::tlog::{Cosigner, KeyName, Origin, Policy, SignedCheckpoint, Timestamp};

use crate::cosigning::{cosigner, shown};
use crate::forks::Gone;
use crate::log::{Files, LOG_KEY, Log, ORIGIN, vkey};
use crate::{Picky, Sim, check_evidence, kinds, only, settings, two_histories};

pub(crate) const PREFIX: &str = "http://w.example";

fn witness() -> Cosigner {
    Cosigner::from_seed(KeyName::parse("w.example").unwrap(), &[50; 32])
}

pub(crate) fn policy_text() -> String {
    format!("log {}\nwitness w {} {PREFIX}\nquorum w\n", vkey(LOG_KEY), witness().vkey())
}

pub(crate) fn with_witness() -> Sim {
    let policy = Policy::parse(policy_text().as_bytes()).unwrap();
    Sim::of(soulchain::monitor::LogSettings { policy, ..settings() }, Desk::default())
}

/// Cosigns what a log shows.
pub(crate) fn cosign(files: &mut Files, seconds: u64) -> Vec<u8> {
    files.change("checkpoint", |note| {
        let mut signed = SignedCheckpoint::parse(note).unwrap();
        signed.add_signature(witness().cosign(signed.claim(), Timestamp::new(seconds).unwrap())).unwrap();
        *note = signed.to_string().into_bytes();
    });
    files.0["checkpoint"].clone()
}

/// A log that its witness has cosigned now.
fn cosigned(sim: &Sim, log: &Log) -> Files {
    let mut files = log.files();
    cosign(&mut files, sim.now / 1000);
    files
}

#[test]
fn a_log_that_does_not_answer() {
    let (log, _, _) = Log::with_agents();
    let mut sim = Sim::new();
    let world = World { source: &Gone, witnesses: &sim.witnesses, promises: Vec::new(), now: UnixMillis::new(sim.now) };
    sim.monitor.round(&world).unwrap();
    assert_eq!(kinds(sim.monitor.reports()), [Kind::Unreachable]);
    sim.monitor.told().unwrap();
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
}

/// It shows its checkpoint, and fails to answer for tiles: that is told once, and is withholding if it lasts.
#[test]
fn a_log_that_answers_in_part() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.act(&mut alpha);
    log.seal();
    for fails in ["tile/entries", "tile/0"] {
        let mut sim = Sim::new();
        let (old, _, _) = Log::with_agents();
        assert_eq!(kinds(&sim.round(&old.files())), []);
        let files = Picky::of(&log, move |path, _| !path.starts_with(fails), |_, _| true);
        assert_eq!(kinds(&sim.round_of(&files)), [Kind::Unreachable]);
        for _ in 0..3 {
            assert_eq!(kinds(&sim.round_of(&files)), [], "it is told once");
        }
        sim.restart();
        sim.now += 700_000;
        assert_eq!(kinds(&sim.round_of(&files)), [], "this monitor did not ask");
        sim.now += 600_000;
        assert_eq!(kinds(&sim.round_of(&files)), [Kind::Withheld]);
        assert_eq!(kinds(&sim.round_of(&files)), []);
        assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved, Kind::Resolved]);
        assert_eq!(sim.monitor.conditions().count(), 0);
    }
}

#[test]
fn entries_that_are_withheld() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.act(&mut alpha);
    log.seal();
    let mut files = log.files();
    files.0.retain(|path, _| !path.starts_with("tile/entries"));
    let report = only(sim.round(&files), Kind::Withheld);
    assert_eq!(report.evidence, None, "that something was not sent cannot be shown");
    assert_eq!(kinds(&sim.round(&files)), []);
    assert_eq!(sim.monitor.sizes().1.get(), 5);
    sim.restart();
    assert_eq!(kinds(&sim.round(&files)), []);
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    assert_eq!(sim.monitor.sizes().1.get(), 7);
}

#[test]
fn entries_that_are_not_those_of_the_tree() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.act(&mut alpha);
    log.seal();
    let mut files = log.files();
    files.change("tile/entries/000.p/7", |bytes| *bytes.last_mut().unwrap() ^= 1);
    let report = only(sim.round(&files), Kind::BadFiles);
    assert_eq!(report.evidence, None, "files are not signed");
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved], "nothing of it was taken for the log's");
}

#[test]
fn a_quorum_that_is_not_met() {
    let (log, _, _) = Log::with_agents();
    let mut sim = with_witness();
    let good = cosigned(&sim, &log);
    sim.witnesses.0.insert(PREFIX.into(), good.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Quorum]);
    assert_eq!(kinds(&sim.round(&good)), [Kind::Resolved]);
}

#[test]
fn a_stale_log() {
    let (log, _, _) = Log::with_agents();
    let mut sim = with_witness();
    let files = cosigned(&sim, &log);
    sim.witnesses.0.insert(PREFIX.into(), files.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&files)), []);
    sim.now += 3_500_000;
    assert_eq!(kinds(&sim.round(&files)), []);
    sim.now += 200_000;
    let report = only(sim.round(&files), Kind::Stale);
    assert!(report.text.contains("for 3703 s;"), "{}", report.text);
    assert_eq!(kinds(&sim.round(&files)), []);
    let fresh = cosigned(&sim, &log);
    assert_eq!(kinds(&sim.round(&fresh)), [Kind::Resolved]);
}

#[test]
fn a_clock_that_is_fast_or_slow() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    log.act(&mut alpha);
    log.time = sim.now + 400_000;
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::LogClock]);
    sim.now += 10_000_000;
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [], "told, and still so: what is new is hours old");
    log.time = sim.now;
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
}

/// What is replayed again after a kill, or was withheld for long, is not new, and bears the time that it has to.
#[test]
fn a_clock_that_is_right() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    sim.now += 3_600_000;
    assert_eq!(kinds(&sim.round(&log.files())), []);
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.time = sim.now;
    log.act(&mut alpha);
    log.seal();
    for withheld in ["tile/entries", "tile/0"] {
        let files = Picky::of(&log, |_, _| true, move |path, _| !path.starts_with(withheld));
        assert_eq!(kinds(&sim.round_of(&files)), [Kind::Withheld]);
        sim.now += 3_600_000;
        assert_eq!(kinds(&sim.round_of(&files)), []);
        assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
        log.time = sim.now;
        log.act(&mut alpha);
        log.seal();
    }
}

/// A clock that was a day ahead, and was set right, accuses nobody: not with what it noted of the log, nor of trees that wait.
#[test]
fn a_clock_that_was_ahead() {
    const DAY: u64 = 86_400_000;
    for withheld in ["nothing", "tile/entries", "tile/0"] {
        let (mut log, mut alpha, _) = Log::with_agents();
        let mut sim = Sim::new();
        assert_eq!(kinds(&sim.round(&log.files())), []);
        sim.now += DAY;
        assert_eq!(kinds(&sim.round(&log.files())), []);
        if withheld != "nothing" {
            log.act(&mut alpha);
            log.seal();
            let files = Picky::of(&log, |_, _| true, move |path, _| !path.starts_with(withheld));
            assert_eq!(kinds(&sim.round_of(&files)), [Kind::Withheld]);
        }
        sim.now -= DAY;
        sim.restart();
        for round in 0..3 {
            // Longer than log time has leeway.
            sim.now += 600_000;
            if withheld == "nothing" || round > 0 {
                log.time = sim.now - 400_000;
                log.act(&mut alpha);
                log.seal();
            }
            let told = kinds(&sim.round(&log.files()));
            assert!(told.iter().all(|kind| *kind == Kind::Resolved), "{withheld} {round}: {told:?}");
        }
        assert_eq!(sim.monitor.conditions().count(), 0);
        // It is looked at again.
        sim.now += 900_000;
        assert_eq!(kinds(&sim.round(&log.files())), []);
        log.time = sim.now - 600_000;
        log.act(&mut alpha);
        log.seal();
        assert_eq!(kinds(&sim.round(&log.files())), [Kind::LogClock], "{withheld}");
    }
}

/// An earlier version noted when it read the log, also where that could show nothing: that accuses no clock.
#[test]
fn times_that_an_earlier_version_has_noted() {
    for withheld in ["tile/entries", "tile/0"] {
        let (mut log, mut alpha, _) = Log::with_agents();
        let mut sim = Sim::new();
        assert_eq!(kinds(&sim.round(&log.files())), []);
        log.act(&mut alpha);
        log.seal();
        let files = Picky::of(&log, |_, _| true, move |path, _| !path.starts_with(withheld));
        assert_eq!(kinds(&sim.round_of(&files)), [Kind::Withheld]);
        let kept = sim.store.read("memory").unwrap().unwrap();
        let mut memory: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        memory.as_object_mut().unwrap().remove("looked_ms");
        sim.now += 900_000;
        memory["before_ms"] = sim.now.into();
        for claim in memory["claims"].as_array_mut().unwrap() {
            claim["read_before_ms"] = sim.now.into();
        }
        sim.store.write("memory", &[&serde_json::to_vec(&memory).unwrap()]).unwrap();
        sim.restart();
        assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    }
}

/// Rounds that are hours apart, or a log that seals seldom: what is new is always late, and the clock may be right all the same.
#[test]
fn a_clock_that_is_looked_at_seldom() {
    const HOUR: u64 = 3_600_000;
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = Sim::new();
    assert_eq!(kinds(&sim.round(&log.files())), []);
    sim.now += HOUR;
    assert_eq!(kinds(&sim.round(&log.files())), []);
    // Now it is slow, by 10 minutes.
    for expected in [vec![Kind::LogClock], vec![]] {
        sim.now += 60_000;
        log.time = sim.now - 600_000;
        log.act(&mut alpha);
        log.seal();
        assert_eq!(kinds(&sim.round(&log.files())), expected);
    }
    // It is set right, and seals half an hour before it is looked at.
    sim.now += HOUR;
    log.time = sim.now - HOUR / 2;
    log.act(&mut alpha);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Resolved]);
    assert_eq!(sim.monitor.conditions().count(), 0);
}

/// A checkpoint that does not hold, or that no quorum has cosigned, says nothing of how old it is.
#[test]
fn a_stale_log_that_shows_what_cannot_be_judged() {
    let (log, mut alpha, _) = Log::with_agents();
    let mut sim = with_witness();
    let old = cosigned(&sim, &log);
    sim.witnesses.0.insert(PREFIX.into(), old.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&old)), []);
    sim.now += 3_700_000;
    assert_eq!(kinds(&sim.round(&old)), [Kind::Stale]);
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Quorum]);
    // A cosignature of the witness on something else.
    let mut other = Log::with_agents().0;
    other.act(&mut alpha);
    let elsewhere = String::from_utf8(cosigned(&sim, &other).0["checkpoint"].clone()).unwrap();
    let mut wrong = log.files();
    wrong.change("checkpoint", |note| {
        note.extend_from_slice(elsewhere.lines().last().unwrap().as_bytes());
        note.push(b'\n');
    });
    assert_eq!(kinds(&sim.round(&wrong)), [Kind::BadCheckpoint]);
    assert_eq!(sim.monitor.conditions().count(), 3);
    let fresh = cosigned(&sim, &log);
    assert_eq!(kinds(&sim.round(&fresh)), [Kind::Resolved, Kind::Resolved, Kind::Resolved]);
}

/// While witnesses are away a log seals what it takes, and shows none of it: what it shows then bears the times of its making.
/// Where witnesses are there it is held against the time of the last look, and a wrong clock is told.
#[test]
fn a_clock_beside_an_outage_of_the_witnesses() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = with_witness();
    let mut shown = cosigned(&sim, &log);
    let look = |sim: &mut Sim, files: &Files| {
        sim.witnesses.0.insert(PREFIX.into(), files.0["checkpoint"].clone());
        kinds(&sim.round(files))
    };
    assert_eq!(look(&mut sim, &shown), []);
    for slow in [false, true] {
        // Witnesses go; the log takes a link more.
        // A slow log takes it 50 minutes later, by its own clock: that it is slow does not show then, nor that it is not.
        log.time = if slow { log.time + 3_000_000 } else { sim.now };
        log.act(&mut alpha);
        log.seal();
        for hour in 0..3 {
            sim.now += 3_600_000;
            assert_eq!(look(&mut sim, &shown), if hour == 0 { vec![Kind::Stale] } else { vec![] });
            sim.restart();
        }
        shown = cosigned(&sim, &log);
        assert_eq!(look(&mut sim, &shown), [Kind::Resolved], "only the outage is over");
        if slow {
            break;
        }
        // Witnesses are there, and the log's clock is 10 minutes slow.
        log.time = sim.now - 600_000;
        log.act(&mut alpha);
        log.seal();
        shown = cosigned(&sim, &log);
        assert_eq!(look(&mut sim, &shown), [Kind::LogClock]);
    }
    log.time = sim.now;
    log.act(&mut alpha);
    log.seal();
    shown = cosigned(&sim, &log);
    assert_eq!(look(&mut sim, &shown), [Kind::Resolved], "the clock is right again");
    assert_eq!(sim.monitor.conditions().count(), 0);
}

#[test]
fn a_witness_that_shows_another_tree() {
    let (one, other) = two_histories();
    let mut sim = with_witness();
    let shown = cosigned(&sim, &one);
    let mut hidden = other.files();
    let note = cosign(&mut hidden, sim.now / 1000);
    sim.witnesses.0.insert(PREFIX.into(), note);
    // It is larger than what the log shows: it could be that the log is behind.
    assert_eq!(kinds(&sim.round(&shown)), []);
    let mut one = one;
    one.seal_after_acts(3);
    let grown = cosigned(&sim, &one);
    let report = only(sim.round(&grown), Kind::WitnessDisagrees);
    check_evidence(&sim.evidence(&report), &sim.settings.policy, &policy_text());
    assert_eq!(kinds(&sim.round(&grown)), []);
}

#[test]
fn a_witness_that_is_ahead_for_too_long() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = with_witness();
    let old = cosigned(&sim, &log);
    // It is new when it is seen at last.
    log.time += 650_000;
    log.act(&mut alpha);
    log.seal();
    let new = cosigned(&sim, &log);
    sim.witnesses.0.insert(PREFIX.into(), new.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&old)), []);
    sim.now += 700_000;
    let report = only(sim.round(&old), Kind::WitnessAhead);
    assert_eq!(report.evidence, None);
    assert_eq!(kinds(&sim.round(&old)), []);
    assert_eq!(kinds(&sim.round(&new)), [Kind::Resolved]);
}

/// Of a log that cannot be read it is not known what it shows, nor of a tree that it shows and whose tiles do not come.
#[test]
fn a_log_that_was_not_read_is_not_behind() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = with_witness();
    let old = cosigned(&sim, &log);
    log.time += 650_000;
    log.act(&mut alpha);
    log.seal();
    let new = cosigned(&sim, &log);
    sim.witnesses.0.insert(PREFIX.into(), new.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&old)), []);
    sim.now += 700_000;
    assert_eq!(kinds(&sim.round_of(&Gone)), [Kind::Unreachable]);
    sim.now += 700_000;
    assert_eq!(kinds(&sim.round(&old)), [Kind::Resolved], "it may have been away");
    let mut half = Picky::of(&log, |path, _| !path.starts_with("tile/0"), |_, _| true);
    half.files = new;
    sim.now += 300_000;
    assert_eq!(kinds(&sim.round_of(&half)), [Kind::Unreachable]);
    sim.now += 300_000;
    assert_eq!(kinds(&sim.round_of(&half)), [], "it shows it");
    sim.now += 1_000;
    let told = kinds(&sim.round(&old));
    assert_eq!(told, [Kind::RolledBack, Kind::WitnessAhead, Kind::Resolved], "now it shows less, and has for long");
}

/// A witness looks at no entry: what it was shown is judged here.
#[test]
fn a_witness_that_shows_a_tree_without_a_trailer() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.act(&mut alpha);
    let mut sim = with_witness();
    let mut unsealed = log.files();
    let note = cosign(&mut unsealed, sim.now / 1000);
    log.act(&mut alpha);
    log.seal();
    let files = cosigned(&sim, &log);
    sim.witnesses.0.insert(PREFIX.into(), note);
    let report = only(sim.round(&files), Kind::Unsealed);
    check_evidence(&sim.evidence(&report), &sim.settings.policy.clone(), &policy_text());
    assert_eq!(kinds(&sim.round(&files)), []);
}

/// A log that serves each bundle once: what shows how the tree ends that a witness has is served to the replay, and to nobody
/// who asks for it. That is told, and nothing is cosigned meanwhile.
#[test]
fn a_tree_of_which_the_end_is_not_served_again() {
    let (mut log, mut alpha, _) = Log::with_agents();
    log.act(&mut alpha);
    let settings = soulchain::monitor::LogSettings { policy: with_witness().settings.policy, ..settings() };
    let mut sim = Sim::of(settings, Desk::new(Some(cosigner())));
    let mut unsealed = log.files();
    let note = cosign(&mut unsealed, sim.now / 1000);
    log.act(&mut alpha);
    log.seal();
    sim.witnesses.0.insert(PREFIX.into(), note);
    let once = |path: &str, count| !path.starts_with("tile/entries") || count == 0;
    let mut files = Picky { files: cosigned(&sim, &log), ..Picky::of(&log, |_, _| true, once) };
    assert_eq!(kinds(&sim.round_of(&files)), []);
    assert_eq!(sim.monitor.sizes().1.get(), 8, "it is replayed");
    assert_eq!(shown(&sim), None);
    sim.now += 700_000;
    files.files = cosigned(&sim, &log);
    assert_eq!(kinds(&sim.round_of(&files)), [Kind::Withheld]);
    assert_eq!(kinds(&sim.round_of(&files)), []);
    assert_eq!(shown(&sim), None);
    assert_eq!(kinds(&sim.round(&files.files)), [Kind::Unsealed, Kind::Resolved]);
    assert_eq!(shown(&sim), None);
}

/// Witnesses that answer once all of them were asked.
struct Slow(std::sync::Barrier);

impl soulchain::monitor::Witnesses for Slow {
    fn checkpoint(&self, prefix: &str, _: &Origin) -> Result<Option<Vec<u8>>, String> {
        self.0.wait();
        Err(format!("this is {prefix}"))
    }
}

#[test]
fn witnesses_are_asked_side_by_side() {
    let count = soulchain::monitor::MAX_ASKED;
    let line = |at: usize| {
        let cosigner = Cosigner::from_seed(KeyName::parse(&format!("w{at}.example")).unwrap(), &[50 + at as u8; 32]);
        format!("witness w{at} {} http://w{at}.example\n", cosigner.vkey())
    };
    let lines: String = (0..count).map(line).collect();
    let policy = Policy::parse(format!("log {}\n{lines}quorum none\n", vkey(LOG_KEY)).as_bytes()).unwrap();
    let mut sim = Sim::of(soulchain::monitor::LogSettings { policy, ..settings() }, Desk::default());
    let (log, _, _) = Log::with_agents();
    let files = log.files();
    let witnesses = Slow(std::sync::Barrier::new(count));
    let world = World { source: &files, witnesses: &witnesses, promises: Vec::new(), now: UnixMillis::new(sim.now) };
    sim.monitor.round(&world).unwrap();
    let reports = sim.monitor.reports();
    assert!(reports.iter().all(|report| report.kind == Kind::WitnessDown), "{reports:#?}");
    let mut says: Vec<_> = reports.iter().map(|report| report.text.clone()).collect();
    let of = |at| format!("witness w{at} does not answer: this is http://w{at}.example");
    let mut expected: Vec<_> = (0..count).map(of).collect();
    says.sort();
    expected.sort();
    assert_eq!(says, expected);
}

/// Nobody asks a witness that left the policy, and nobody would say that what was wrong with it is over.
#[test]
fn witnesses_that_left_the_policy() {
    let (log, mut alpha, _) = Log::with_agents();
    let other = Cosigner::from_seed(KeyName::parse("v.example").unwrap(), &[51; 32]);
    let listing = |line: String| Policy::parse(format!("{}{line}", policy_text()).as_bytes()).unwrap();
    let with_other = listing(format!("witness v {} http://v.example\n", other.vkey()));
    let mut larger = Log::with_agents().0;
    larger.act(&mut alpha);
    larger.seal();
    for (shows, line, why) in [
        (false, String::new(), "no longer in the policy"),
        (true, String::new(), "no longer in the policy"),
        (false, format!("witness v {}\n", other.vkey()), "the policy has no URL of it any more"),
    ] {
        let mut sim = with_witness();
        sim.settings.policy = with_other.clone();
        sim.restart();
        let files = cosigned(&sim, &log);
        sim.witnesses.0.insert(PREFIX.into(), files.0["checkpoint"].clone());
        let mut told = if shows {
            // The log signed it, and this witness did not.
            sim.witnesses.0.insert("http://v.example".into(), larger.files().0["checkpoint"].clone());
            assert_eq!(kinds(&sim.round(&files)), [Kind::WitnessBad]);
            sim.now += 700_000;
            assert_eq!(kinds(&sim.round(&files)), [Kind::WitnessAhead]);
            vec!["witness_ahead (v) is over", "witness_bad (v) is over"]
        } else {
            assert_eq!(kinds(&sim.round(&files)), [Kind::WitnessDown]);
            vec!["witness_down (v) is over"]
        };
        sim.settings.policy = listing(line);
        sim.restart();
        for report in sim.round(&files) {
            assert_eq!((report.kind, report.time_ms), (Kind::Resolved, sim.now));
            assert_eq!(report.text, format!("{}: {why}", told.remove(0)));
        }
        assert_eq!((told.len(), sim.monitor.conditions().count()), (0, 0));
        sim.restart();
        assert_eq!(kinds(&sim.round(&files)), []);
    }
}

/// What the log signed counts, whether the witness did or not.
#[test]
fn a_witness_that_shows_what_it_did_not_sign() {
    let (one, other) = two_histories();
    let mut sim = with_witness();
    sim.witnesses.0.insert(PREFIX.into(), one.files().0["checkpoint"].clone());
    let files = cosigned(&sim, &other);
    let reports = sim.round(&files);
    assert_eq!(kinds(&reports), [Kind::WitnessBad, Kind::WitnessDisagrees], "{reports:#?}");
    check_evidence(&sim.evidence(&reports[1]), &sim.settings.policy.clone(), &policy_text());
}

#[test]
fn a_witness_that_is_down_is_not_one_that_disagrees() {
    let (log, _, _) = Log::with_agents();
    let mut sim = with_witness();
    let files = cosigned(&sim, &log);
    assert_eq!(kinds(&sim.round(&files)), [Kind::WitnessDown]);
    sim.witnesses.0.insert(PREFIX.into(), log.files().0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&files)), [Kind::Resolved, Kind::WitnessBad], "its cosignature is missing");
    let mut stranger = log.files();
    stranger.sign(ORIGIN, LOG_KEY + 1, 5, log.root());
    let note = cosign(&mut stranger, sim.now / 1000);
    sim.witnesses.0.insert(PREFIX.into(), note);
    assert_eq!(kinds(&sim.round(&files)), [], "the log's signature is missing");
    sim.witnesses.0.insert(PREFIX.into(), files.0["checkpoint"].clone());
    assert_eq!(kinds(&sim.round(&files)), [Kind::Resolved]);
}

/// Of a log of another kind only that it appends is looked at.
#[test]
fn a_log_that_is_not_replayed() {
    let kind = soulchain::monitor::LogKind::Plain;
    let mut sim = Sim::of(soulchain::monitor::LogSettings { kind, ..settings() }, Desk::default());
    let (mut log, _, _) = Log::with_agents();
    for _ in 0..3 {
        log.push_raw(b"anything".to_vec());
        assert_eq!(kinds(&sim.round(&log.files())), []);
    }
    let (mut other, _, _) = Log::with_agents();
    other.seal_after_acts(9);
    let report = only(sim.round(&other.files()), Kind::Fork);
    crate::check_under_log_key(&sim.evidence(&report));
}
