//! An agent's key files follow a key event.
//!
//! A current file is set aside only where its key is one of this agent, by its record, and signs nothing once the event is
//! logged. Whatever else lies under that name is left there and refused: it may be the only copy of somebody's key. What a
//! file holds is read off its public part, so that keys under other passphrases can be set aside as well.

use std::path::PathBuf;

use super::pending::{Command, Wish};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{KeyDir, Role};
use crate::registry::{KeyRecord, KeyRoles, Standing};
use crate::soul::{RawKey, Seqno, kid, next_commitment};

/// The key files of an agent, and an event that changes its keys.
#[derive(Clone, Copy)]
pub(super) struct KeyFiles<'a> {
    pub(super) dir: &'a KeyDir,
    /// What the files are called by.
    pub(super) label: &'a str,
    /// What the record says of the keys.
    pub(super) standing: &'a Standing,
    /// Whether the record shows the event already.
    pub(super) is_after: bool,
    /// What the event does.
    pub(super) wish: &'a Wish,
}

/// What became of the files.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Those that came into use.
    pub(super) made: Vec<PathBuf>,
    /// Those that are kept aside.
    pub(super) retired: Vec<PathBuf>,
    /// Those of the latter that never came into use here: the record lists their keys as retired.
    pub(super) outlived: Vec<PathBuf>,
}

/// Whose a key is, and what becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It signs nothing once the event is logged.
    OutOfUse,
    /// The agent goes on using it.
    InUse,
    /// The record does not have it.
    Unknown,
}

impl KeyFiles<'_> {
    /// Refuses the event if a current file of these roles could not be set aside for it.
    pub(super) fn check(&self, roles: &[Role]) -> CliResult<()> {
        for &role in roles {
            let path = self.dir.path(self.label, role);
            match self.current(role)?.map(|pk| self.fate(&pk)) {
                None | Some(Fate::OutOfUse) => {}
                Some(Fate::InUse) => {
                    let message = format!("{} holds a key of this agent that stays in use", path.display());
                    return Err(CliError::usage(message)
                        .hint("it would be set aside: move it to where it belongs, and run the command again"));
                }
                Some(Fate::Unknown) => {
                    let message = format!("{} holds a key of another agent", path.display());
                    return Err(CliError::usage(message).hint(
                        "it would be set aside: move it away, or name the directory of this agent's keys with --keys. So, \
                         too, where it is so old a key of this agent that the record does not list it any more",
                    ));
                }
            }
        }
        Ok(())
    }

    /// What is staged for these roles comes into use, by the event at that place of the chain. A key that was retired since
    /// does not: it is kept aside, and the current one stays.
    pub(super) fn promote(&self, roles: &[(Role, Seqno)]) -> CliResult<Moved> {
        let mut staged = Vec::with_capacity(roles.len());
        for &(role, event) in roles {
            let Some(pk) = self.dir.staged_pk(self.label, role)? else { continue };
            let is_in_use = !self.is_after || self.is_in_use(&pk);
            if is_in_use {
                self.check(&[role])?;
            }
            staged.push((role, event, is_in_use));
        }
        let mut moved = Moved::default();
        for (role, event, is_in_use) in staged {
            if is_in_use {
                let promoted = self.dir.promote(self.label, role, event)?;
                moved.made.extend(promoted.iter().map(|promoted| promoted.path.clone()));
                moved.retired.extend(promoted.and_then(|promoted| promoted.retired));
            } else {
                moved.outlived.extend(self.dir.retire_staged(self.label, role, event)?);
            }
        }
        moved.retired.extend(moved.outlived.iter().cloned());
        Ok(moved)
    }

    /// The current files are set aside without others in their place. Where others were put there since, they stay.
    pub(super) fn retire(&self, event: Seqno) -> CliResult<Moved> {
        let mut moved = Moved::default();
        for role in [Role::Admin, Role::Act] {
            if self.current(role)?.is_some_and(|pk| self.fate(&pk) == Fate::OutOfUse) {
                moved.retired.extend(self.dir.retire(self.label, role, event)?);
            }
        }
        Ok(moved)
    }

    /// The roles whose staged keys the record has, live or retired.
    pub(super) fn listed(&self) -> CliResult<Vec<Role>> {
        let mut listed = Vec::new();
        for role in Role::ALL {
            let staged = self.dir.staged_pk(self.label, role)?;
            if staged.is_some_and(|pk| self.is_in_use(&pk) || self.standing.key(&kid(&pk)).is_some()) {
                listed.push(role);
            }
        }
        Ok(listed)
    }

    fn current(&self, role: Role) -> CliResult<Option<RawKey>> {
        let current = self.dir.current_pk(self.label, role);
        current.map_err(|error| error.and_hint("or move it to another place, if it is of no use any more"))
    }

    fn fate(&self, pk: &RawKey) -> Fate {
        match self.standing.key(&kid(pk)) {
            Some(key) if key.is_live() && !self.retires(key) => Fate::InUse,
            Some(_) => Fate::OutOfUse,
            None if !self.is_in_use(pk) => Fate::Unknown,
            None if !self.is_after && self.wish.command == Command::Recover => Fate::OutOfUse,
            None => Fate::InUse,
        }
    }

    /// Whether the event will retire a key that is live.
    fn retires(&self, key: &KeyRecord) -> bool {
        let replaces = |role| self.wish.roles.contains(&role);
        let is_retired = match (self.wish.command, key.roles) {
            (Command::Rotate, KeyRoles::Listed(roles)) => {
                roles.act && replaces(Role::Act) || roles.admin && replaces(Role::Admin)
            }
            _ => true,
        };
        is_retired && !self.is_after
    }

    /// Whether the record has it as a key that signs something: one of its own, or the next one.
    fn is_in_use(&self, pk: &RawKey) -> bool {
        let is_next = self.standing.next == Some(next_commitment(pk));
        is_next || self.standing.key(&kid(pk)).is_some_and(KeyRecord::is_live)
    }
}
