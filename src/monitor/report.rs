//! What a monitor reports: a closed set of kinds, each with one severity.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A report. The same fact has the same `id`, whenever it is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What it is of.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// The log.
    pub log: String,
    /// What there is to say, for people.
    pub text: String,
    /// Where evidence lies that `soulchain verify --evidence` judges.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<String>,
    /// Which fact it is: 32 hex digits.
    pub id: String,
    /// When it was found, by the monitor's clock.
    pub time_ms: u64,
}

/// How much a report matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something does not work.
    Warning,
    /// Something is wrong that others cannot be shown.
    Alert,
    /// The log broke its promises.
    Critical,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $severity:ident),+ $(,)?) => {
        /// Kinds of reports.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $kind),+ }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// How much it matters.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity),+ }
            }
        }
    };
}

kinds! {
    /// The log signed two trees that do not go together. Evidence.
    Fork "fork" Critical,
    /// A witness shows a tree that the log signed and that does not go with what the log shows. Evidence.
    WitnessDisagrees "witness_disagrees" Critical,
    /// A proof given at once is not borne out by the log's tree. Evidence.
    PromiseBroken "promise_broken" Critical,
    /// The tree does not end with a trailer. Evidence.
    Unsealed "unsealed" Critical,
    /// An entry breaks a rule. Evidence.
    BadEntry "bad_entry" Critical,
    /// A trailer is faulty. Evidence.
    BadTrailer "bad_trailer" Critical,
    /// A charge for which evidence cannot be made now, since what shows it is not served.
    Suspicion "suspicion" Alert,
    /// More entries break rules than are told one by one.
    MoreFaults "more_faults" Critical,
    /// The log shows a smaller tree than before.
    RolledBack "rolled_back" Alert,
    /// Tiles or entries that the checkpoint covers are not served.
    Withheld "withheld" Alert,
    /// Tiles or entries are not those of the checkpoint.
    BadFiles "bad_files" Alert,
    /// What is served as checkpoint is none of this log.
    BadCheckpoint "bad_checkpoint" Alert,
    /// A witness has cosigned more than the log shows, for too long.
    WitnessAhead "witness_ahead" Alert,
    /// No checkpoint covers a proof that was given at once, for too long.
    PromiseUnkept "promise_unkept" Alert,
    /// The log's time is too far from the clock here.
    LogClock "log_clock" Alert,
    /// The log asks for later rules than are known here.
    LaterRules "later_rules" Warning,
    /// The log cannot be read.
    Unreachable "unreachable" Warning,
    /// The checkpoint does not meet the policy's quorum.
    Quorum "quorum" Warning,
    /// No quorum has cosigned for too long.
    Stale "stale" Warning,
    /// A witness does not answer, or has nothing.
    WitnessDown "witness_down" Warning,
    /// A witness answers with something that it cannot have cosigned.
    WitnessBad "witness_bad" Warning,
    /// A file that was handed in is no proof of this log.
    BadPromise "bad_promise" Warning,
    /// Part of what the monitor itself keeps is older than the rest of it.
    Restored "restored" Warning,
    /// Files of evidence that lie there cannot be listed or read.
    EvidenceUnread "evidence_unread" Warning,
    /// A condition that was reported is over.
    Resolved "resolved" Info,
    /// A name looks like a watched one.
    Lookalike "lookalike" Alert,
    /// A watched identity was taken over by its recovery key.
    Recovered "recovered" Alert,
    /// A watched identity was revoked.
    Revoked "revoked" Alert,
    /// A watched identity disowns links.
    Disputed "disputed" Alert,
    /// A watched identity has a new key set.
    Keys "keys" Warning,
    /// Somebody says something about a watched identity.
    Notice "notice" Warning,
    /// A statement about a watched identity was taken back.
    Retraction "retraction" Info,
    /// A watched identity has a name more, or somebody has a watched name.
    NameBound "name_bound" Info,
    /// A watched identity has a name less.
    NameReleased "name_released" Info,
    /// A watched name was registered.
    Registered "registered" Info,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn a_kind_has_one_word() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
