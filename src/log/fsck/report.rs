//! What a check found.

use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::storage::StorageError;

/// How many findings a report holds; the rest is counted.
pub const MAX_FINDINGS: usize = 10_000;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing, nothing is wrong: what a crash leaves behind, or what cannot be checked because of other damage.
    Note,
    /// Something was not looked at, for a reason that lies outside of the directory: it may be right or wrong.
    Unchecked,
    /// Bytes are not what was written.
    Damage,
}

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In all of it.
    Whole,
    /// From this byte on.
    Byte(u64),
    /// At the entry of this index in the log.
    Entry(LeafIndex),
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The file, by its path in the data directory.
    pub name: String,
    /// Where in it.
    pub place: Place,
    /// What is wrong, in words for an operator.
    pub what: String,
    /// Whether what belongs there can be proven, and so be written.
    pub repairable: bool,
    /// Whether it was.
    pub repaired: bool,
}

/// All that a check found.
#[derive(Clone, Debug, Default)]
pub struct FsckReport {
    /// Size and root that the manifest claims; `None` where it cannot be read.
    pub flushed: Option<(TreeSize, Hash)>,
    /// Entries with those that only the journal holds; as far as it could be followed.
    pub size: TreeSize,
    /// Bodies that were read.
    pub bodies: u64,
    /// Bodies that were erased.
    pub erased: u64,
    /// What was found, in the order of the check; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub omitted: u64,
    damaged: bool,
    unchecked: bool,
}

impl FsckReport {
    /// Whether all was checked, and no damage was found or all that was is repaired.
    pub fn is_clean(&self) -> bool {
        !self.damaged && !self.unchecked
    }

    /// Whether damage was found that is not repaired.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.damaged |= finding.severity == Severity::Damage && !finding.repaired;
        self.unchecked |= finding.severity == Severity::Unchecked;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    /// Adds damage that nothing at hand can mend.
    pub fn damage(&mut self, name: &str, place: Place, what: impl Into<String>) {
        self.add(finding(Severity::Damage, name, place, what.into()));
    }

    /// Adds damage of which it is known what belongs in its place.
    pub fn repairable(&mut self, name: &str, place: Place, what: impl Into<String>, repaired: bool) {
        let damage = finding(Severity::Damage, name, place, what.into());
        self.add(Finding { repairable: true, repaired, ..damage });
    }

    /// Adds what was not looked at.
    pub fn unchecked(&mut self, name: &str, place: Place, what: impl Into<String>) {
        self.add(finding(Severity::Unchecked, name, place, what.into()));
    }

    /// Adds a note.
    pub fn note(&mut self, name: &str, place: Place, what: impl Into<String>) {
        self.add(finding(Severity::Note, name, place, what.into()));
    }

    /// Adds what reading ran into.
    pub(super) fn storage(&mut self, name: &str, error: StorageError) {
        match error {
            StorageError::Damaged { name, offset, what } => self.damage(&name, Place::Byte(offset), what),
            StorageError::Missing { name } => self.damage(&name, Place::Whole, "it is missing"),
            error => self.damage(name, Place::Whole, format!("it cannot be read: {error}")),
        }
    }
}

fn finding(severity: Severity, name: &str, place: Place, what: String) -> Finding {
    Finding { severity, name: name.to_owned(), place, what, repairable: false, repaired: false }
}

impl Finding {
    /// What an operator does about it.
    pub fn advice(&self) -> &'static str {
        match (self.severity, self.repairable, self.repaired) {
            (Severity::Note, ..) => "nothing has to be done",
            (Severity::Unchecked, ..) => "run fsck again when what hindered it is gone: the rest was checked",
            (_, _, true) => "repaired: it was written anew from what proves it",
            (_, true, false) => "run fsck again with --repair: what belongs there can be proven",
            _ => {
                "it cannot be made again from what is here: put this file back from a backup or a mirror, or restore \
                 the newest backup"
            }
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match self.place {
            Place::Whole => {}
            Place::Byte(offset) => write!(f, " at byte {offset}")?,
            Place::Entry(index) => write!(f, " at entry {index}")?,
        }
        write!(f, ": {}", self.what)
    }
}
