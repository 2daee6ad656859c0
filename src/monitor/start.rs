//! The first round after a start: conditions of what the settings no longer have, and what lies in the store and the memory
//! does not know.
//!
//! A memory may be older than what lies beside it: it was restored from a backup, or a kill came before it was kept. Then
//! the files are right, and it is the memory that lacks something. What was signed by the log is held against what it shows;
//! evidence that verifies counts, and is told again, with its `id`.

use std::io;

use super::log::{LogMonitor, World};
use super::memory::{EVIDENCE, EVIDENCE_EXTENSION, MAX_EVIDENCE};
use super::report::Kind;
use super::settings::LogKind;
use crate::encoding::hex_encode;
use crate::hash::sha256;
use crate::verify::{Conviction, Doubt, Evidence, OneSigned, convict, policy_of_keys};

/// What a file of evidence shows.
enum Stray {
    /// It convicts the log; in words.
    Verifies(Box<Evidence>, String),
    /// It does not; why.
    Not(String),
}

impl LogMonitor {
    /// Before anything else of the first round is done.
    pub(super) fn start(&mut self, world: &World<'_>) -> io::Result<()> {
        self.lift_departed();
        self.take_over_evidence()?;
        if self.settings.kind == LogKind::Soulchain {
            self.take_over_replay(world)?;
        }
        Ok(())
    }

    /// Nobody would ever say that these are over.
    fn lift_departed(&mut self) {
        let witnesses = self.settings.policy.witnesses();
        let find = |name: &str| witnesses.iter().find(|witness| witness.name().to_string() == name);
        let is_gone = |name: &str| find(name).is_none().then_some("no longer in the policy");
        let is_not_asked = |name: &str| {
            let has_no_url = find(name).is_some_and(|witness| witness.url().is_none());
            is_gone(name).or_else(|| has_no_url.then_some("the policy has no URL of it any more"))
        };
        self.ledger.lift(Kind::WitnessAhead, is_gone);
        self.ledger.lift(Kind::WitnessDown, is_not_asked);
        self.ledger.lift(Kind::WitnessBad, is_not_asked);
        if self.settings.kind == LogKind::Plain {
            let why = "entries of this log are no longer replayed";
            self.ledger.lift(Kind::BadFiles, |_| Some(why));
            self.ledger.lift(Kind::LogClock, |_| Some(why));
            self.ledger.lift(Kind::Withheld, |subject| (subject == "files").then_some(why));
        }
    }

    /// Files of evidence that the memory does not know.
    fn take_over_evidence(&mut self) -> io::Result<()> {
        // Where they cannot be listed the log is followed all the same.
        let files = self.ledger.evidence_files().unwrap_or_default();
        self.ledger.memory.evidence_count = files.len() as u64;
        let written = files.iter().filter_map(|file| Some((file.as_str(), written_as(file)?)));
        let unknown: Vec<_> = written.filter(|(_, (_, id))| !self.ledger.is_known(id)).collect();
        let mut doubted = Vec::new();
        for (file, (kind, id)) in unknown.into_iter().take(MAX_EVIDENCE as usize) {
            let name = format!("{EVIDENCE}/{file}");
            match self.judge_stray(&name) {
                Stray::Verifies(evidence, charge) => {
                    self.ledger.memory.is_guilty = true;
                    let id = self.full_id(kind, id, &evidence);
                    let text = format!(
                        "{charge}. The file of this evidence lay in the monitor's directory, and its memory, which is older, did \
                         not know it: it verifies, and counts again"
                    );
                    let place = self.ledger.store.place(&name);
                    self.ledger.tell_with_file(kind, id, text, place);
                }
                Stray::Not(why) => doubted.push((file, why)),
            }
        }
        let Some((first, why)) = doubted.first() else { return Ok(()) };
        let text = format!(
            "{} files in {} are not in this monitor's memory, and do not verify under its policy; the first is {first}: {why}. \
             Nothing rests on them, and they are left as they are. The memory may be older than they are, or the policy another",
            doubted.len(),
            self.ledger.store.place(EVIDENCE),
        );
        let names: Vec<_> = doubted.iter().map(|(file, _)| *file).collect();
        self.ledger.tell(Kind::Restored, &names.join(" "), text, None)
    }

    fn judge_stray(&self, name: &str) -> Stray {
        let bytes = match self.ledger.store.read(name) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => return Stray::Not(error.to_string()),
        };
        let evidence = match Evidence::parse(&bytes) {
            Ok(evidence) if *evidence.checkpoint().get().claim().origin() == self.settings.origin => evidence,
            Ok(_) => return Stray::Not("it is of another log".into()),
            Err(error) => return Stray::Not(error.to_string()),
        };
        match convict(&evidence, &policy_of_keys(&self.all_keys)).as_ref().map(Conviction::to_string) {
            Ok(charge) => Stray::Verifies(Box::new(evidence), charge),
            Err(doubt @ Doubt::EntriesElsewhere) => Stray::Verifies(Box::new(evidence), doubt.to_string()),
            Err(doubt) => Stray::Not(doubt.to_string()),
        }
    }

    /// The id of the fact, of which the file has the beginning in its name.
    fn full_id(&self, kind: Kind, id: &str, evidence: &Evidence) -> String {
        let ids = self.facts(kind, evidence).into_iter().map(|fact| self.ledger.id(kind, &fact));
        let own = || format!("{id}{}", &hex_encode(&sha256(&[evidence.to_string().as_bytes()]))[..16]);
        ids.into_iter().find(|full| full.starts_with(id)).unwrap_or_else(own)
    }

    /// What the fact may be called that this is evidence of.
    fn facts(&self, kind: Kind, evidence: &Evidence) -> Vec<String> {
        let tree = |of: &OneSigned| format!("{} {}", of.tree().0, of.tree().1);
        match evidence {
            Evidence::Fork(fork) if kind == Kind::WitnessDisagrees => {
                let names = self.settings.policy.witnesses().iter().map(|witness| witness.name().to_string());
                names.map(|name| format!("{name} {}", tree(&fork.old))).collect()
            }
            Evidence::Fork(fork) => vec![tree(&fork.old), format!("{} {}", tree(&fork.old), fork.prefix_root)],
            Evidence::Unsealed(unsealed) => vec![tree(&unsealed.checkpoint)],
            Evidence::Entry(bad) => vec![format!("{} {}", bad.entry.index, bad.code)],
            Evidence::Replay(bad) => vec![format!("{} {}", bad.index, bad.code)],
        }
    }

    /// A replay that is kept came to a tree that the log signed, of which the memory knows nothing: it is held against what
    /// the log shows as any other is.
    fn take_over_replay(&mut self, world: &World<'_>) -> io::Result<()> {
        self.restore()?;
        let Some(kept) = self.state.as_ref().and_then(|state| OneSigned::of(state.seen(), &self.keys)) else {
            return Ok(());
        };
        let (size, root) = kept.tree();
        let seen = self.seen.as_ref().map(OneSigned::tree);
        if seen.is_some_and(|seen| seen == kept.tree() || seen.0 > size) {
            return Ok(());
        }
        let known = self.ledger.memory.judged.unwrap_or(0);
        let text = format!(
            "the monitor's own memory is older than its replay, which came to {size} entries of the log: it was restored from a \
             backup, or lost. Nothing is wrong with the log's files. What was found and told between entries {known} and {size} \
             of watched identities is not told again; trees that it saw since are forgotten, but the one that was replayed"
        );
        self.ledger.tell(Kind::Restored, &format!("replay {size} {root}"), text, None)?;
        self.compare(world, kept)
    }
}

/// The kind of a report and the beginning of its id, by the name of its evidence; `None` where it has no such name.
fn written_as(file: &str) -> Option<(Kind, &str)> {
    let (kind, id) = file.strip_suffix(EVIDENCE_EXTENSION)?.split_once('-')?;
    let kind = Kind::ALL.iter().find(|known| known.as_str() == kind)?;
    (id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some((*kind, id))
}
