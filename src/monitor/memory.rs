//! What a monitor knows of one log and must not forget: what the log showed, what was found, what was told.
//!
//! A fact is told once: its id is kept. A report that was found is kept until it was told, so that a kill in between repeats
//! it, with the same id, and never loses it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::report::{Kind, Report};
use super::store::Store;
use crate::encoding::{UnixMillis, hex_encode};
use crate::hash::sha256;
use crate::verify::{Evidence, MAX_EVIDENCE_LEN};

/// Most facts whose ids are kept; the oldest go first.
pub const MAX_TOLD: usize = 4096;
/// Most files of evidence against one log: no more are needed.
pub const MAX_EVIDENCE: u64 = 1024;
/// Most faults that are told one by one, with evidence.
pub const MAX_FAULTS: u64 = 64;

const NAME: &str = "memory";

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
    /// When the log was read last before it showed the tree that is followed now; 0: never.
    #[serde(default)]
    pub(super) before_ms: u64,
    /// Other trees that the log signed, to be compared.
    pub(super) claims: Vec<Claim>,
    /// Faults that are not told yet.
    pub(super) faults: Vec<KnownFault>,
    /// How many there were.
    pub(super) fault_count: u64,
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
    /// The same of what anybody can hand in, so that the others have their room for themselves.
    #[serde(default)]
    told_of_others: VecDeque<String>,
    /// Files of evidence.
    #[serde(default)]
    evidence_count: u64,
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
    /// When the log was read last before.
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

impl KnownFault {
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
}

impl Ledger {
    pub(super) fn open(log: &str, store: Arc<dyn Store>) -> io::Result<Self> {
        let saved = store.read(NAME)?;
        let memory = match &saved {
            None => Memory { v: 1, ..Memory::default() },
            Some(bytes) => {
                serde_json::from_slice(bytes).ok().filter(|memory: &Memory| memory.v == 1).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", store.place(NAME)))
                })?
            }
        };
        Ok(Self { log: log.into(), store, memory, now: UnixMillis::ZERO, saved: saved.unwrap_or_default() })
    }

    /// Makes all that was noted durable.
    pub(super) fn save(&mut self) -> io::Result<()> {
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
        let id = self.id(kind, fact);
        self.memory.told.contains(&id) || self.memory.told_of_others.contains(&id)
    }

    /// Tells a fact, unless it was told before. Evidence is durable before the report of it.
    pub(super) fn tell(&mut self, kind: Kind, fact: &str, text: String, evidence: Option<&Evidence>) -> io::Result<()> {
        if self.is_told(kind, fact) {
            return Ok(());
        }
        if evidence.is_some() {
            if self.memory.evidence_count >= MAX_EVIDENCE {
                let text = format!("there are {MAX_EVIDENCE} files of evidence against this log; no more are written");
                return self.tell(Kind::MoreFaults, "evidence", text, None);
            }
            self.memory.evidence_count += 1;
        }
        let id = self.id(kind, fact);
        let place = match evidence.map(ToString::to_string).filter(|file| file.len() <= MAX_EVIDENCE_LEN) {
            Some(file) => {
                let name = format!("evidence/{kind}-{}.evidence", &id[..16]);
                self.store.write(&name, &[file.as_bytes()])?;
                Some(self.store.place(&name))
            }
            None => None,
        };
        let told = if kind == Kind::BadPromise { &mut self.memory.told_of_others } else { &mut self.memory.told };
        told.push_back(id.clone());
        if told.len() > MAX_TOLD {
            told.pop_front();
        }
        self.report(kind, id, text, place);
        Ok(())
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
            (None, Some(since)) => {
                self.memory.conditions.remove(&key);
                let id = self.id(Kind::Resolved, &format!("{key} {since}"));
                let subject = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
                self.report(Kind::Resolved, id, format!("{kind}{subject} is over"), None);
            }
            _ => {}
        }
    }

    /// What is wrong now.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &str> {
        self.memory.conditions.keys().map(String::as_str)
    }

    fn report(&mut self, kind: Kind, id: String, text: String, evidence: Option<String>) {
        let (severity, time_ms) = (kind.severity(), self.now.get());
        self.memory.outbox.push(Report { kind, severity, log: self.log.clone(), text, evidence, id, time_ms });
    }

    fn id(&self, kind: Kind, fact: &str) -> String {
        hex_encode(&sha256(&[self.log.as_bytes(), b"\n", kind.as_str().as_bytes(), b"\n", fact.as_bytes()])[..16])
    }
}
