//! A checkpoint that was cosigned and is offered again.
//!
//! Anybody can offer a public checkpoint, as often as they like. Its log does so to have a newer time under it
//! (tlog-cosignature: the time at which the cosignature was generated), which is the same cosignature for everybody who asks
//! within a few seconds: it is given again, and nothing is signed or written. Signatures of the log that were verified
//! under the same text stay under it, so that nobody takes one away by offering fewer.

use super::keys::WitnessKeys;
use super::record::Record;
use super::request::{Offered, is_of_one_key};
use crate::tlog::{Note, NoteSignature, NoteVerifier, Timestamp, signature_lines};

/// For so long a cosignature is given again to who offers the same checkpoint.
const GIVEN_AGAIN_SECONDS: u64 = 5;

/// What is remembered of the very text that is offered.
pub(super) struct Repeated {
    time: Timestamp,
    note: Note,
}

impl Repeated {
    /// `None` where the text is another, be it in its extension lines.
    pub(super) fn of(newest: &Record, offered: &Offered) -> Option<Self> {
        newest.note.strip_prefix(offered.text())?.strip_prefix('\n')?;
        let note = Note::parse(newest.note.as_bytes()).ok().filter(|note| note.text() == offered.text())?;
        Some(Self { time: newest.time, note })
    }

    /// The cosignatures that were given of late; `None` where they are to be made anew: they are old, one of a key is not
    /// there, or the log has signed with a key that it had not signed with.
    pub(super) fn given(&self, now: Timestamp, by_log: &[NoteSignature], keys: &WitnessKeys) -> Option<String> {
        let is_young = now.get() < self.time.get().saturating_add(GIVEN_AGAIN_SECONDS);
        let is_known = by_log.iter().all(|line| self.note.signatures().iter().any(|known| is_of_one_key(known, line)));
        let is_own = |line: &&NoteSignature| keys.verifiers().iter().any(|key| key.is_named_in(line));
        let own: Vec<_> = self.note.signatures().iter().filter(is_own).cloned().collect();
        (is_young && is_known && own.len() == keys.verifiers().len()).then(|| signature_lines(&own))
    }

    /// Adds the signatures of these keys of the log that stood under the text.
    pub(super) fn complete(&self, by_log: &mut Vec<NoteSignature>, offered: &Offered, keys: &[NoteVerifier]) {
        for line in self.note.signatures() {
            let is_new = !by_log.iter().any(|known| is_of_one_key(known, line));
            if is_new && keys.iter().any(|key| offered.is_signed(key, line)) {
                by_log.push(line.clone());
            }
        }
    }
}
