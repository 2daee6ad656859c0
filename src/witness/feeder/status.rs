//! What the feeder tells of the witnesses, for health, metrics and the log.

use crate::merkle::TreeSize;
use crate::tlog::PolicyName;

/// How feeding goes.
#[derive(Clone, Debug, Default)]
pub struct Feeding {
    /// Whether the witnesses have ruled out that a later log exists.
    pub is_cleared: bool,
    /// The size of which a quorum has cosigned the checkpoint, since this process started.
    pub witnessed: Option<TreeSize>,
    /// The witnesses of the policy, in its order.
    pub witnesses: Vec<(PolicyName, WitnessStatus)>,
}

/// How one witness does.
#[derive(Clone, Debug, Default)]
pub struct WitnessStatus {
    last: Last,
    /// It has cosigned a size of this log, or has never known it: nothing later can have been cosigned by it.
    has_ruled_out: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Unasked,
    Cosigned,
    UnknownLog,
    Failed(String),
}

impl WitnessStatus {
    /// Whether its last answer was a cosignature.
    pub fn has_cosigned(&self) -> bool {
        self.last == Last::Cosigned
    }

    /// Why it has not cosigned, if it was asked.
    pub fn trouble(&self) -> Option<&str> {
        match &self.last {
            Last::Unasked | Last::Cosigned => None,
            Last::UnknownLog => Some("it does not know this log"),
            Last::Failed(why) => Some(why),
        }
    }

    pub(super) const fn has_ruled_out(&self) -> bool {
        self.has_ruled_out
    }

    pub(super) fn cosigned(&mut self) {
        *self = Self { last: Last::Cosigned, has_ruled_out: true };
    }

    pub(super) fn knows_no_such_log(&mut self, rules_out: bool) {
        *self = Self { last: Last::UnknownLog, has_ruled_out: self.has_ruled_out || rules_out };
    }

    /// Whether this is news.
    pub(super) fn failed(&mut self, why: String) -> bool {
        let last = Last::Failed(why);
        let is_news = self.last != last;
        self.last = last;
        is_news
    }
}
