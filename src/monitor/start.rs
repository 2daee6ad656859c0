//! The first rounds after a start: conditions of what the settings no longer have, and what lies in the store and the memory
//! does not know.
//!
//! A memory may be older than what lies beside it: it was restored from a backup, or a kill came before it was kept. Then
//! the files are right, and it is the memory that lacks something. What was signed by the log is held against what it shows;
//! evidence that verifies counts, and is told again, with its `id`.

use std::collections::VecDeque;
use std::io;

use super::log::{LogMonitor, World};
use super::memory::{By, EVIDENCE, EVIDENCE_EXTENSION, ID_LEN, OLD_ID_LEN};
use super::report::Kind;
use super::settings::LogKind;
use crate::encoding::hex_encode;
use crate::hash::sha256;
use crate::verify::{Conviction, Doubt, Evidence, OneSigned, convict, policy_of_keys};

/// Most files of evidence that a round takes over.
const TAKEN_OVER_FILES: usize = 64;
/// Their length, after which it begins no other.
const TAKEN_OVER_LEN: usize = 64 << 20;

/// Files of evidence that the memory does not know.
#[derive(Default)]
pub(super) struct Strays {
    /// Those that are not judged yet; none before they could be listed.
    left: Option<VecDeque<String>>,
    /// Those that do not verify, and why.
    doubted: Vec<(String, String)>,
    /// Those that do so only beside a copy of the log.
    elsewhere: Vec<(String, String)>,
}

impl Strays {
    /// Whether all of them are judged.
    pub(super) fn is_done(&self) -> bool {
        self.left.as_ref().is_some_and(VecDeque::is_empty)
    }
}

/// What a file of evidence shows.
enum Stray {
    /// It convicts the log; in words.
    Verifies(Box<Evidence>, String),
    /// It is of entries that it does not have: the replay finds the same, or it counts for nothing.
    Elsewhere(Box<Evidence>, String),
    /// It does not; why.
    Not(String),
}

impl LogMonitor {
    /// Before anything else of the first round is done.
    pub(super) fn start(&mut self, world: &World<'_>) -> io::Result<()> {
        self.lift_departed();
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

    /// Takes over files of evidence that the memory does not know: some in each round, until none is left. Before that nothing
    /// is cosigned: one of them may convict the log.
    pub(super) fn take_over_evidence(&mut self) -> io::Result<()> {
        if self.strays.is_done() {
            return Ok(());
        }
        let unread = match self.list_strays() {
            Ok(()) => self.take_over_some()?,
            Err(error) => Some(error.to_string()),
        };
        if unread.is_some() || self.strays.is_done() {
            let place = self.ledger.store.place(EVIDENCE);
            let text = unread.map(|why| {
                format!(
                    "not all that lies in {place} can be read: {why}. What this monitor found before may be there: it is tried \
                     again in every round, and nothing of the log is cosigned until then"
                )
            });
            self.ledger.condition(Kind::EvidenceUnread, "", text);
        }
        Ok(())
    }

    /// How many files of evidence wait to be taken over.
    pub(super) fn strays_left(&self) -> usize {
        self.strays.left.as_ref().map_or(0, VecDeque::len)
    }

    fn list_strays(&mut self) -> io::Result<()> {
        if self.strays.left.is_none() {
            let files = self.ledger.evidence_files()?;
            self.ledger.memory.evidence_count = files.len() as u64;
            files.iter().filter_map(|file| written_as(file)).for_each(|(_, id)| self.ledger.keep_known(id));
            let is_unknown = |file: &String| written_as(file).is_some_and(|(_, id)| !self.ledger.is_known(id));
            self.strays.left = Some(files.into_iter().filter(is_unknown).collect());
        }
        Ok(())
    }

    /// As many as a round has time for. Those that cannot be read come last, and are tried again; says why.
    fn take_over_some(&mut self) -> io::Result<Option<String>> {
        let mut left = self.strays.left.take().unwrap_or_default();
        let (mut unread, mut refused, mut files, mut len) = (None, Vec::new(), 0, 0);
        while files < TAKEN_OVER_FILES && len < TAKEN_OVER_LEN && !self.limits.stop.is_set() {
            let Some(file) = left.pop_front() else { break };
            files += 1;
            match self.ledger.store.read(&format!("{EVIDENCE}/{file}")) {
                Ok(Some(bytes)) => {
                    len += bytes.len();
                    self.take_over_file(file, &bytes)?;
                }
                // It was moved away.
                Ok(None) => {}
                Err(error) => {
                    unread.get_or_insert_with(|| format!("{file}: {error}"));
                    refused.push(file);
                }
            }
        }
        let is_end = left.is_empty();
        left.extend(refused);
        self.strays.left = Some(left);
        if is_end {
            self.tell_doubted()?;
        }
        Ok(unread)
    }

    fn take_over_file(&mut self, file: String, bytes: &[u8]) -> io::Result<()> {
        // It may have been found anew meanwhile.
        let Some((kind, id)) = written_as(&file).filter(|(_, id)| !self.ledger.is_known(id)) else { return Ok(()) };
        match self.judge_stray(bytes) {
            Stray::Verifies(evidence, charge) => {
                self.ledger.memory.is_guilty = true;
                let text = format!(
                    "{charge}. The file of this evidence lay in the monitor's directory, and its memory did not know it, \
                     which may be older: it verifies, and counts again"
                );
                let place = self.ledger.store.place(&format!("{EVIDENCE}/{file}"));
                if id.len() == ID_LEN {
                    self.ledger.tell_with_file(kind, id.into(), text, place);
                } else {
                    let guess = self.full_id(kind, id, &evidence);
                    self.ledger.tell_with_old_file(kind, (id, guess), text, place);
                }
            }
            Stray::Elsewhere(evidence, why) => {
                // The tree that it is of was signed: whatever the log shows now must have it in it.
                if let Some(signed) = OneSigned::of(evidence.checkpoint().get(), &self.keys) {
                    self.ledger.claim(By::Log, "", &signed)?;
                }
                self.strays.elsewhere.push((file, why));
            }
            Stray::Not(why) => self.strays.doubted.push((file, why)),
        }
        Ok(())
    }

    /// Of those that do not verify there is one report, and one of those that cannot be judged here.
    fn tell_doubted(&mut self) -> io::Result<()> {
        let Strays { doubted, elsewhere, .. } = &self.strays;
        let (doubted, elsewhere) = (doubted.clone(), elsewhere.clone());
        let rests = "Nothing rests on them, and they are left as they are. The memory may be older than they are, or the \
                     policy another";
        self.tell_strays(&doubted, "do not verify under its policy", rests)?;
        let rests = "Nothing rests on them; where the replay finds the same, that is told as what it is";
        self.tell_strays(&elsewhere, "do not have the entries of which they are", rests)
    }

    fn tell_strays(&mut self, strays: &[(String, String)], are: &str, rests: &str) -> io::Result<()> {
        let Some((first, why)) = strays.first() else { return Ok(()) };
        let text = format!(
            "{} files in {} are not in this monitor's memory, and {are}; the first is {first}: {why}. {rests}",
            strays.len(),
            self.ledger.store.place(EVIDENCE),
        );
        let names: Vec<_> = strays.iter().map(|(file, _)| file.as_str()).collect();
        self.ledger.tell(Kind::Restored, &names.join(" "), text, None)
    }

    fn judge_stray(&self, bytes: &[u8]) -> Stray {
        let evidence = match Evidence::parse(bytes) {
            Ok(evidence) if *evidence.checkpoint().get().claim().origin() == self.settings.origin => evidence,
            Ok(_) => return Stray::Not("it is of another log".into()),
            Err(error) => return Stray::Not(error.to_string()),
        };
        match convict(&evidence, &policy_of_keys(&self.all_keys)).as_ref().map(Conviction::to_string) {
            Ok(charge) => Stray::Verifies(Box::new(evidence), charge),
            Err(doubt @ Doubt::EntriesElsewhere) => Stray::Elsewhere(Box::new(evidence), doubt.to_string()),
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
             of watched identities is not told again, unless the log shows another history now; trees that it saw since are forgotten, but the one that was replayed"
        );
        self.ledger.tell(Kind::Restored, &format!("replay {size} {root}"), text, None)?;
        self.compare(world, kept)
    }
}

/// The kind of a report and its id, or the beginning of it, by the name of its evidence; `None` where it has no such name.
fn written_as(file: &str) -> Option<(Kind, &str)> {
    let (kind, id) = file.strip_suffix(EVIDENCE_EXTENSION)?.split_once('-')?;
    let kind = Kind::ALL.iter().find(|known| known.as_str() == kind)?;
    let is_id = matches!(id.len(), ID_LEN | OLD_ID_LEN);
    (is_id && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some((*kind, id))
}
