//! `soulchain agent revoke`

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;

use super::key_change::{Change, ChangeArgs};
use super::pending::{Command, Wish};
use crate::cli::args::one_of;
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{KeyArgs, Role, read_recovery_key};
use crate::cli::output::Output;
use crate::client::{KeyChange, KeyEvent, Signer};
use crate::soul::Reason;

pub(super) const EXAMPLES: &str = "\
Examples:
  soulchain agent revoke scout --reason cessation_of_operation
  soulchain agent revoke scout --reason key_compromise --suspect-from 17 --recovery-key scout-next.key --yes

Ends an agent: every key is retired. Signed by the admin key it can be undone by `recover` for 30 days; signed by the
recovery key it is final. Where the log has witnesses it is done when they have cosigned it; exit code 4 says that it is
logged and that they have not yet, and the same command goes on.";

/// Flags of `revoke`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// Name or identity
    agent: String,
    /// Why
    #[arg(long, default_value = "unspecified", value_parser = one_of(Reason::NAMES, Reason::from_name))]
    reason: Reason,
    /// Sign with the recovery key instead of the admin key: for good
    #[arg(long, value_name = "FILE")]
    recovery_key: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: RevokeArgs, out: &Output) -> CliResult<()> {
    let (reason, by_next) = (Some(args.reason.to_string()), args.recovery_key.is_some());
    let wish = Wish { reason, by_next, ..args.change.wish(Command::Revoke, &[]) };
    let mut change = Change::begin(&args.change, args.keys.dir()?, &args.agent, out).await?;
    let what = format!("{} revoked", args.agent);
    if let Some(done) = change.settle(&wish).await? {
        change.tell(done, &what).await?;
        change.note_end(by_next);
        return Ok(());
    }
    if change.record().standing.live_keys().next().is_none() {
        return Err(CliError::failed(format!("{} is revoked already", args.agent)));
    }
    let signer = args.signer(&change, out).await?;
    change.check_files(&wish, &[Role::Admin, Role::Act])?;
    let suspect_from = args.change.suspect_from(change.record())?;
    args.confirm()?;
    let revocation = KeyChange::Revoke { reason: args.reason, by_next };
    let event = KeyEvent { change: revocation, signer, suspect_from };
    let done = change.carry_out(&event, &wish).await?;
    change.tell(done, &what).await?;
    change.note_end(by_next);
    Ok(())
}

impl RevokeArgs {
    async fn signer(&self, change: &Change<'_>, out: &Output) -> CliResult<Signer> {
        if let Some(path) = &self.recovery_key {
            let signer = Signer::from(&read_recovery_key(path, out).await?);
            return change.check_recovery_key(&signer).map(|()| signer);
        }
        let keys = change.dir.agent_keys(&change.label, &[Role::Admin], out).await?;
        Ok(keys.admin.expect("a key was read"))
    }

    fn confirm(&self) -> CliResult<()> {
        if self.yes {
            return Ok(());
        }
        let refused =
            |message: &str| CliError::usage(message).hint("say --yes to revoke the agent without being asked");
        if !std::io::stdin().is_terminal() {
            return Err(refused("nobody is there to confirm"));
        }
        anstream::eprint!("This ends {} for everyone. Its name, to go on: ", self.agent);
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|error| CliError::usage(error.to_string()))?;
        if answer.trim() == self.agent { Ok(()) } else { Err(refused("not confirmed: nothing was done")) }
    }
}
