//! What a monitor knows of one log and must not forget: what the log showed, what was found, what was told.
//!
//! A fact is told once: its id is kept. A report that was found is kept until it was told, so that a kill in between repeats
//! it, with the same id, and never loses it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::report::{Kind, Report};
use super::store::Store;
use crate::encoding::{UnixMillis, hex_encode};
use crate::hash::sha256;
use crate::registry::CLOCK_LEEWAY_MS;
use crate::verify::{Evidence, MAX_EVIDENCE_LEN};

/// Most facts whose ids are kept; the oldest go first.
pub const MAX_TOLD: usize = 4096;
/// Most files of evidence against one log that lie there at once. What is found beyond them is told without a file.
pub const MAX_EVIDENCE: u64 = 1024;
/// Most faults that are told one by one, with evidence; of later ones it is told how many there are.
pub const MAX_FAULTS: u64 = 64;
/// Most misbehaviours without a file that a round tells one by one; of more it is told how many of which kind there are.
pub const MAX_WITHOUT_FILE: usize = 16;

const NAME: &str = "memory";
/// Hex digits of an id.
pub(super) const ID_LEN: usize = 32;
/// How many of them an earlier version wrote into the name of a file.
pub(super) const OLD_ID_LEN: usize = 16;
/// What a link is called that is late (`FaultReason::Late`).
pub(super) const LATE: &str = "clock";
/// Where evidence lies.
pub(super) const EVIDENCE: &str = "evidence";
pub(super) const EVIDENCE_EXTENSION: &str = ".evidence";

/// What is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    v: u32,
    /// The newest checkpoint that the log signed, and that goes with all before.
    pub(super) seen: Option<String>,
    /// The greatest size that the log has shown at `/checkpoint`.
    pub(super) published: u64,
    /// Entries below this one are judged and watched; `None` before the first replay.
    pub(super) judged: Option<u64>,
    /// When the log was read last.
    pub(super) read_ms: u64,
    /// The newest time of which it is known what the log showed: it was read then, and where a quorum cosigns what it
    /// publishes, that had done so by then. While witnesses are away a log seals entries and cannot show them.
    #[serde(default)]
    pub(super) looked_ms: u64,
    /// That time, before it showed the tree that is followed now; 0: never.
    #[serde(default)]
    pub(super) before_ms: u64,
    /// Other trees that the log signed, to be compared.
    pub(super) claims: Vec<Claim>,
    /// Faults that are not told yet.
    pub(super) faults: Vec<KnownFault>,
    /// How many there were.
    pub(super) fault_count: u64,
    /// Entries below this one are counted there, if they are beyond those that are told one by one.
    #[serde(default)]
    counted_to: u64,
    /// The same of links that are late: they show with the trailer after them, when later entries may be counted.
    #[serde(default)]
    late_counted_to: u64,
    /// Since when the log shows its checkpoint and does not answer for all tiles.
    #[serde(default)]
    pub(super) partly_since_ms: Option<u64>,
    /// The entry from which on later rules hold than are known here.
    #[serde(default)]
    pub(super) rules_from: Option<u64>,
    /// Whether anything was found for which this log is not cosigned any more.
    pub(super) is_guilty: bool,
    /// The newest checkpoint that was cosigned, with the cosignature.
    pub(super) cosigned: Option<String>,
    /// What is wrong now, and was told.
    conditions: BTreeMap<String, u64>,
    told: VecDeque<String>,
    /// The same of misbehaviours whose evidence lies there: those are not pushed out by others.
    #[serde(default)]
    told_with_file: VecDeque<String>,
    /// The same of what anybody can hand in, so that the others have their room for themselves.
    #[serde(default)]
    told_of_others: VecDeque<String>,
    /// The same of misbehaviours of which no file was written: they do not push out those of which there is one.
    #[serde(default)]
    told_without_file: VecDeque<String>,
    /// Misbehaviours that were not told one by one.
    #[serde(default)]
    untold_count: u64,
    /// Files of evidence, or more than there are.
    #[serde(default)]
    pub(super) evidence_count: u64,
    outbox: Vec<Report>,
}

/// A tree that the log signed, and who showed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    pub(super) by: By,
    /// The witness, or the file.
    pub(super) name: String,
    /// The checkpoint under one signature.
    pub(super) note: String,
    pub(super) since_ms: u64,
    /// The newest time of which it was known what the log showed, before.
    #[serde(default)]
    pub(super) read_before_ms: u64,
}

/// Who showed a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    Log,
    Witness,
    Promise,
}

/// An entry that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownFault {
    pub(super) index: u64,
    /// Where a replay sees it: the end of what it takes.
    pub(super) size: u64,
    pub(super) code: String,
    pub(super) what: String,
    /// Whether the entries were not shown to be those of a signed tree: then the evidence decides.
    #[serde(default)]
    pub(super) is_open: bool,
}

impl Memory {
    /// What an earlier version did not keep, or kept in another sense.
    fn upgrade(&mut self) {
        if self.looked_ms == 0 {
            // These were when the log was read, whatever it could show then.
            self.before_ms = 0;
            self.claims.iter_mut().for_each(|claim| claim.read_before_ms = 0);
        }
        if self.fault_count > MAX_FAULTS && (self.counted_to, self.late_counted_to) == (0, 0) {
            let judged = self.judged.unwrap_or(0);
            (self.counted_to, self.late_counted_to) = (judged, judged);
        }
    }

    /// Times that are yet to come were noted by a clock that was wrong: nobody knows when that was.
    fn heal_times(&mut self, now: u64) {
        let looks = [&mut self.looked_ms, &mut self.before_ms];
        for look in looks.into_iter().chain(self.claims.iter_mut().map(|claim| &mut claim.read_before_ms)) {
            // As far as log time has leeway nothing is said too much by the present.
            *look = if *look > now.saturating_add(CLOCK_LEEWAY_MS) { 0 } else { now.min(*look) };
        }
        let since = self.claims.iter_mut().map(|claim| &mut claim.since_ms).chain(&mut self.partly_since_ms);
        since.for_each(|since| *since = now.min(*since));
    }
}

/// Which faults are counted.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    to: u64,
    late_to: u64,
}

impl Counted {
    pub(super) fn has(self, fault: &KnownFault) -> bool {
        fault.index < if fault.is_late() { self.late_to } else { self.to }
    }
}

impl Memory {
    /// The faults that are counted and not told one by one.
    pub(super) const fn counted(&self) -> Counted {
        Counted { to: self.counted_to, late_to: self.late_counted_to }
    }

    /// Counts a fault. Of each of the two sorts faults show in their order.
    pub(super) fn count(&mut self, fault: &KnownFault) {
        self.fault_count += 1;
        let to = if fault.is_late() { &mut self.late_counted_to } else { &mut self.counted_to };
        *to = (*to).max(fault.index + 1);
    }
}

impl KnownFault {
    /// Whether it shows with a trailer after it.
    fn is_late(&self) -> bool {
        self.code == LATE
    }

    pub(super) fn kind(&self) -> Kind {
        if self.code.starts_with("trailer_") { Kind::BadTrailer } else { Kind::BadEntry }
    }

    pub(super) fn fact(&self) -> String {
        format!("{} {}", self.index, self.code)
    }

    pub(super) fn text(&self) -> String {
        format!("entry {} breaks the rule `{}`: {}", self.index, self.code, self.what)
    }
}

/// The memory, where it is kept, and what is told.
pub(super) struct Ledger {
    pub(super) log: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) memory: Memory,
    pub(super) now: UnixMillis,
    saved: Vec<u8>,
    /// Misbehaviours that this round has told without a file.
    without_file: usize,
    untold: Untold,
}

/// Misbehaviours that are not told one by one: how many of a kind, the first of them, and the ids of all.
#[derive(Default)]
struct Untold {
    counts: BTreeMap<Kind, u64>,
    first: String,
    ids: String,
}

impl Ledger {
    pub(super) fn open(log: &str, store: Arc<dyn Store>) -> io::Result<Self> {
        let saved = store.read(NAME)?;
        let mut memory = match &saved {
            None => Memory { v: 1, ..Memory::default() },
            Some(bytes) => {
                serde_json::from_slice(bytes).ok().filter(|memory: &Memory| memory.v == 1).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", store.place(NAME)))
                })?
            }
        };
        memory.upgrade();
        let saved = saved.unwrap_or_default();
        let (now, untold) = (UnixMillis::ZERO, Untold::default());
        Ok(Self { log: log.into(), store, memory, now, saved, without_file: 0, untold })
    }

    /// A round begins.
    pub(super) fn begin(&mut self, now: UnixMillis) {
        (self.now, self.without_file) = (now, 0);
        self.memory.heal_times(now.get());
    }

    /// Makes all that was noted durable.
    pub(super) fn save(&mut self) -> io::Result<()> {
        self.tell_untold();
        let bytes = serde_json::to_vec(&self.memory).expect("the memory is a map with text keys");
        if bytes != self.saved {
            self.store.write(NAME, &[&bytes])?;
            self.saved = bytes;
        }
        Ok(())
    }

    /// What is to be told.
    pub(super) fn outbox(&self) -> &[Report] {
        &self.memory.outbox
    }

    /// It was told.
    pub(super) fn clear_outbox(&mut self) -> io::Result<()> {
        self.memory.outbox.clear();
        self.save()
    }

    /// Whether a fact was told before.
    pub(super) fn is_told(&self, kind: Kind, fact: &str) -> bool {
        self.is_known(&self.id(kind, fact))
    }

    /// Whether a fact was told of which this is the id. Of an id that an earlier version wrote into the name of a file there is
    /// but the beginning, here or there.
    pub(super) fn is_known(&self, id: &str) -> bool {
        let memory = &self.memory;
        let told = [&memory.told_with_file, &memory.told, &memory.told_without_file, &memory.told_of_others];
        told.into_iter().flatten().any(|told| told.starts_with(id) || id.starts_with(told.as_str()))
    }

    /// Tells a fact, unless it was told before. Evidence is durable before the report of it; where none can be written, the
    /// report says so.
    pub(super) fn tell(&mut self, kind: Kind, fact: &str, text: String, evidence: Option<&Evidence>) -> io::Result<()> {
        if self.is_told(kind, fact) {
            return Ok(());
        }
        let id = self.id(kind, fact);
        let Some(evidence) = evidence else {
            remember(self.told_of(kind), &id);
            self.report(kind, id, text, None);
            return Ok(());
        };
        match self.write_evidence(kind, &id, evidence)? {
            Ok(place) => self.tell_with_file(kind, id, text, place),
            Err(why) => self.tell_without_file(kind, id, format!("{text}; no evidence file was written: {why}")),
        }
        Ok(())
    }

    /// Tells a fact whose evidence lies there.
    pub(super) fn tell_with_file(&mut self, kind: Kind, id: String, text: String, place: String) {
        self.remember_with_file(&id);
        self.report(kind, id, text, Some(place));
    }

    /// Tells a fact whose evidence lies there under the beginning of its id, and no more of that is known than may be guessed.
    pub(super) fn tell_with_old_file(
        &mut self,
        kind: Kind,
        (begins, guess): (&str, String),
        text: String,
        place: String,
    ) {
        self.remember_with_file(begins);
        self.report(kind, guess, text, Some(place));
    }

    /// Keeps the id of a fact of which the evidence lies there.
    fn remember_with_file(&mut self, id: &str) {
        self.memory.told_with_file.push_back(id.into());
        if self.memory.told_with_file.len() as u64 > MAX_EVIDENCE {
            // One whose file was moved away needs no more than others do; and there are not more files than that.
            let files = self.evidence_files().unwrap_or_default();
            let lie: BTreeSet<_> = files.iter().filter_map(|file| file.split_once('-')?.1.get(..OLD_ID_LEN)).collect();
            let told = &mut self.memory.told_with_file;
            let at = told.iter().position(|id| !lie.contains(&id[..OLD_ID_LEN])).unwrap_or(0);
            if let Some(moved) = told.remove(at) {
                remember(&mut self.memory.told, &moved);
            }
        }
    }

    /// The same of files that are known, and that an earlier version kept among all others.
    pub(super) fn keep_known(&mut self, id: &str) {
        let is_it = |told: &&String| told.starts_with(id) || id.starts_with(told.as_str());
        if !self.memory.told_with_file.iter().any(|told| is_it(&told))
            && let Some(told) = self.memory.told.iter().find(is_it).cloned()
        {
            self.remember_with_file(&told);
        }
    }

    fn told_of(&mut self, kind: Kind) -> &mut VecDeque<String> {
        if kind == Kind::BadPromise { &mut self.memory.told_of_others } else { &mut self.memory.told }
    }

    /// Where the evidence lies now; or why it is not written.
    fn write_evidence(&mut self, kind: Kind, id: &str, evidence: &Evidence) -> io::Result<Result<String, String>> {
        let file = evidence.to_string();
        if file.len() > MAX_EVIDENCE_LEN {
            return Ok(Err(format!("it would have {} bytes, and {MAX_EVIDENCE_LEN} is the most", file.len())));
        }
        if self.memory.evidence_count >= MAX_EVIDENCE {
            // Some may have been moved away since.
            match self.evidence_files() {
                Ok(files) => self.memory.evidence_count = files.len() as u64,
                Err(error) => return Ok(Err(format!("the files that are there cannot be counted: {error}"))),
            }
        }
        if self.memory.evidence_count >= MAX_EVIDENCE {
            let place = self.store.place(EVIDENCE);
            return Ok(Err(format!(
                "there are {MAX_EVIDENCE} in {place}, which is the most; move them away, and what is found later gets its own"
            )));
        }
        let name = evidence_name(kind, id);
        self.store.write(&name, &[file.as_bytes()])?;
        self.memory.evidence_count += 1;
        Ok(Ok(self.store.place(&name)))
    }

    /// Names of the files of evidence that are there.
    pub(super) fn evidence_files(&self) -> io::Result<Vec<String>> {
        let names = self.store.names(EVIDENCE)?;
        Ok(names.into_iter().filter(|name| name.ends_with(EVIDENCE_EXTENSION)).collect())
    }

    fn tell_without_file(&mut self, kind: Kind, id: String, text: String) {
        remember(&mut self.memory.told_without_file, &id);
        self.without_file += 1;
        if self.without_file <= MAX_WITHOUT_FILE {
            self.report(kind, id, text, None);
            return;
        }
        *self.untold.counts.entry(kind).or_default() += 1;
        self.untold.ids.push_str(&id);
        if self.untold.first.is_empty() {
            self.untold.first = text;
        }
    }

    /// One report of all that is not told one by one. It is made durable with the ids of what it stands for.
    fn tell_untold(&mut self) {
        let Untold { counts, first, ids } = core::mem::take(&mut self.untold);
        if counts.is_empty() {
            return;
        }
        self.memory.untold_count += counts.values().sum::<u64>();
        let total = self.memory.untold_count;
        let kinds: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} `{kind}`")).collect();
        let text = format!(
            "more than {MAX_WITHOUT_FILE} misbehaviours came at once of which no evidence file was written; not told one by \
             one are {}, and {total} in all; the first of them now: {first}",
            kinds.join(", ")
        );
        // Not by their number: a memory that was restored counts the next ones anew.
        let id = self.id(Kind::MoreFaults, &format!("untold {ids}"));
        self.report(Kind::MoreFaults, id, text, None);
    }

    /// Says that something happened in the log, of which nothing is kept: who calls this does it once.
    pub(super) fn happened(&mut self, kind: Kind, fact: &str, text: String) {
        let id = self.id(kind, fact);
        self.report(kind, id, text, None);
    }

    /// Says that a condition holds, or no longer does: told when that changes.
    pub(super) fn condition(&mut self, kind: Kind, subject: &str, holds: Option<String>) {
        let key = format!("{kind} {subject}");
        match (holds, self.memory.conditions.get(&key).copied()) {
            (Some(text), None) => {
                let now = self.now.get();
                self.memory.conditions.insert(key, now);
                let id = self.id(kind, &format!("{subject} {now}"));
                self.report(kind, id, text, None);
            }
            (None, Some(_)) => self.resolve(kind, subject, ""),
            _ => {}
        }
    }

    /// Whether a condition holds.
    pub(super) fn holds(&self, kind: Kind, subject: &str) -> bool {
        self.memory.conditions.contains_key(&format!("{kind} {subject}"))
    }

    /// Since when a condition holds that was told.
    pub(super) fn holds_since(&self, kind: Kind) -> Option<u64> {
        self.memory.conditions.get(&format!("{kind} ")).copied()
    }

    /// Lifts the conditions of a kind that nobody looks at any more; `why` says so of a subject for which that is so.
    pub(super) fn lift(&mut self, kind: Kind, why: impl Fn(&str) -> Option<&'static str>) {
        let prefix = format!("{kind} ");
        let subjects = self.memory.conditions.keys().filter_map(|key| key.strip_prefix(&prefix));
        let lifted: Vec<_> = subjects.filter_map(|of| why(of).map(|why| (of.to_owned(), why))).collect();
        for (subject, why) in lifted {
            self.resolve(kind, &subject, &format!(": {why}"));
        }
    }

    fn resolve(&mut self, kind: Kind, subject: &str, why: &str) {
        let key = format!("{kind} {subject}");
        let Some(since) = self.memory.conditions.remove(&key) else { return };
        let id = self.id(Kind::Resolved, &format!("{key} {since}"));
        let subject = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
        self.report(Kind::Resolved, id, format!("{kind}{subject} is over{why}"), None);
    }

    /// What is wrong now.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &str> {
        self.memory.conditions.keys().map(String::as_str)
    }

    fn report(&mut self, kind: Kind, id: String, text: String, evidence: Option<String>) {
        let (severity, time_ms) = (kind.severity(), self.now.get());
        self.memory.outbox.push(Report { kind, severity, log: self.log.clone(), text, evidence, id, time_ms });
    }

    pub(super) fn id(&self, kind: Kind, fact: &str) -> String {
        hex_encode(&sha256(&[self.log.as_bytes(), b"\n", kind.as_str().as_bytes(), b"\n", fact.as_bytes()])[..16])
    }
}

/// Keeps an id, and lets the oldest go.
fn remember(told: &mut VecDeque<String>, id: &str) {
    told.push_back(id.into());
    if told.len() > MAX_TOLD {
        told.pop_front();
    }
}

/// Where the evidence of a fact lies: its kind, and its id. What it shows may be called otherwise than what was found, so the
/// id cannot be had from it.
fn evidence_name(kind: Kind, id: &str) -> String {
    format!("{EVIDENCE}/{kind}-{id}{EVIDENCE_EXTENSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told is bounded, and what was told without a file pushes out nothing else.
    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut ledger = Ledger::open("log.example", Arc::new(crate::monitor::MemoryStore::default())).unwrap();
        ledger.tell(Kind::Suspicion, "first", "one".into(), None).unwrap();
        for at in 0..=MAX_TOLD {
            let id = ledger.id(Kind::Fork, &at.to_string());
            ledger.tell_without_file(Kind::Fork, id, "fork".into());
        }
        assert_eq!(ledger.memory.told_without_file.len(), MAX_TOLD);
        assert!(ledger.is_told(Kind::Suspicion, "first") && ledger.is_told(Kind::Fork, "1"));
        assert!(!ledger.is_told(Kind::Fork, "0"));
        ledger.save().unwrap();
        assert_eq!(ledger.outbox().len(), 1 + MAX_WITHOUT_FILE + 1, "the rest is one report");
    }

    /// What is told beside them pushes no id out of which the evidence lies there; of those that were moved away it may.
    #[test]
    fn facts_whose_evidence_lies_there_are_not_forgotten() {
        let store = Arc::new(crate::monitor::MemoryStore::default());
        let mut ledger = Ledger::open("log.example", store.clone()).unwrap();
        let tell = |ledger: &mut Ledger, fact: u64| {
            let id = ledger.id(Kind::Fork, &fact.to_string());
            let name = evidence_name(Kind::Fork, &id);
            store.write(&name, &[b""]).unwrap();
            ledger.tell_with_file(Kind::Fork, id, String::new(), name.clone());
            name
        };
        tell(&mut ledger, 0);
        let moved = tell(&mut ledger, 1);
        store.rename(&moved, "away").unwrap();
        (2..=MAX_EVIDENCE).for_each(|fact| drop(tell(&mut ledger, fact)));
        assert_eq!(ledger.memory.told_with_file.len() as u64, MAX_EVIDENCE);
        assert!((0..=MAX_EVIDENCE).all(|fact| ledger.is_told(Kind::Fork, &fact.to_string())));
        for at in 0..=MAX_TOLD {
            ledger.tell(Kind::Suspicion, &at.to_string(), String::new(), None).unwrap();
        }
        let forgotten: Vec<_> =
            (0..=MAX_EVIDENCE).filter(|fact| !ledger.is_told(Kind::Fork, &fact.to_string())).collect();
        assert_eq!(forgotten, [1]);
        // An earlier version kept all of them in one place.
        ledger.memory.told = core::mem::take(&mut ledger.memory.told_with_file);
        ledger.keep_known(&ledger.id(Kind::Fork, "0"));
        ledger.keep_known(&ledger.id(Kind::Fork, "2")[..OLD_ID_LEN]);
        assert_eq!(ledger.memory.told_with_file, [ledger.id(Kind::Fork, "0"), ledger.id(Kind::Fork, "2")]);
    }

    /// What is told as one has the id of what it stands for, and of nothing else, also where it is counted anew.
    #[test]
    fn the_rest_has_an_id_of_its_own() {
        let rest = |first: usize| {
            let mut ledger = Ledger::open("log.example", Arc::new(crate::monitor::MemoryStore::default())).unwrap();
            for at in first..first + MAX_WITHOUT_FILE + 2 {
                let id = ledger.id(Kind::Fork, &at.to_string());
                ledger.tell_without_file(Kind::Fork, id, "fork".into());
            }
            ledger.save().unwrap();
            ledger.outbox().last().unwrap().id.clone()
        };
        assert_eq!(rest(0), rest(0));
        assert_ne!(rest(0), rest(1));
    }
}
