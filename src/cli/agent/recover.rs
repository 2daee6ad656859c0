//! `soulchain agent recover`

use std::path::PathBuf;

use clap::Args;

use super::key_change::{Change, ChangeArgs, Custodian};
use super::pending::{Command, Wish};
use crate::cli::error::CliResult;
use crate::cli::key_dir::{NewKeyArgs, Role, read_recovery_key};
use crate::cli::output::Output;
use crate::client::{KeyChange, KeyEvent, Signer};

pub(super) const EXAMPLES: &str = "\
Examples:
  soulchain agent recover scout --recovery-key /media/safe/scout-next.key
  soulchain agent recover 6f1e… --recovery-key scout-next.key --suspect-from 17 --policy policy.txt

Takes an agent back whose keys are lost or stolen: the recovery key signs, all other keys are retired, and new ones are
made here, a new recovery key among them. No other file of the agent is needed. Marks that a thief's key events have set
at or after SEQNO go. A recovery key with a passphrase of its own: SOULCHAIN_RECOVERY_PASSPHRASE.
Where the log has witnesses it is done when they have cosigned it; exit code 4 says that it is logged and that they have
not yet, and the same command goes on.";

/// Flags of `recover`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RecoverArgs {
    /// Name or identity
    agent: String,
    /// The recovery key
    #[arg(long, value_name = "FILE")]
    recovery_key: PathBuf,
    /// Who holds the keys from now on, if not the agent itself
    #[arg(long, value_name = "ID", value_parser = Custodian::parse)]
    custodian: Option<Custodian>,
    #[command(flatten)]
    keys: NewKeyArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: RecoverArgs, out: &Output) -> CliResult<()> {
    let custodian = Custodian::wish(args.custodian);
    let wish = Wish { custodian, by_next: true, ..args.change.wish(Command::Recover, &Role::ALL) };
    let mut change = Change::begin(&args.change, args.keys.dir()?, &args.agent, out).await?;
    let what = format!("{} recovered", args.agent);
    if let Some(done) = change.settle(&wish).await? {
        return change.tell(done, &what).await;
    }
    let signer = Signer::from(&read_recovery_key(&args.recovery_key, out).await?);
    change.check_recovery_key(&signer)?;
    let suspect_from = args.change.suspect_from(change.record())?;
    let staged = change.stage(&wish).await?;
    let next = staged.next.expect("staged with the others");
    let custodian = args.custodian.and_then(Custodian::identity);
    let recovery = KeyChange::Recover { new: staged.keys, next, custodian };
    let event = KeyEvent { change: recovery, signer, suspect_from };
    let done = change.carry_out(&event, &wish).await?;
    change.tell(done, &what).await
}
