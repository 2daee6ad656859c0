//! `soulchain agent rotate`

use clap::{Args, ValueEnum};

use super::key_change::{Change, ChangeArgs, Custodian};
use super::pending::{Command, Wish};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{NewKeyArgs, Role};
use crate::cli::output::Output;
use crate::client::{ClientError, KeyChange, KeyEvent};

pub(super) const EXAMPLES: &str = "\
Examples:
  soulchain agent rotate scout                              new keys for both roles
  soulchain agent rotate scout --key act --suspect-from 17  the act key was stolen: what it signed from 17 on is disowned
  soulchain agent rotate scout --key none --set-next        set a recovery key, where there is none

New keys are on disk before the log hears of them. A command that was cut off is finished by giving it again. The files
of the retired keys are kept aside as `.retired-<seqno>`; they are needed for nothing but audit. All live keys of a role
are replaced, those on other machines too.";

/// Flags of `rotate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    /// The agent
    name: String,
    /// Which keys to replace
    #[arg(long, value_enum, default_value = "all")]
    key: Which,
    /// Set a recovery key, where there is none
    #[arg(long)]
    set_next: bool,
    /// Who holds the keys from now on: an identity, or `none` for the agent itself [default: as before]
    #[arg(long, value_name = "ID", value_parser = Custodian::parse)]
    custodian: Option<Custodian>,
    #[command(flatten)]
    keys: NewKeyArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Which keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Which {
    /// Those that sign actions
    Act,
    /// Those that change keys and profile
    Admin,
    /// Both
    All,
    /// Neither: only set a recovery key
    None,
}

pub(super) async fn run(args: RotateArgs, out: &Output) -> CliResult<()> {
    let roles = args.roles();
    if roles.is_empty() {
        return Err(CliError::usage("nothing would change").hint("name the keys with --key, or say --set-next"));
    }
    let custodian = Custodian::wish(args.custodian);
    let wish = Wish { custodian, ..args.change.wish(Command::Rotate, &roles) };
    let mut change = Change::begin(&args.change, args.keys.dir()?, &args.name, out).await?;
    let what = format!("keys of {} rotated", args.name);
    if let Some(done) = change.settle(&wish).await? {
        return change.tell(done, &what).await;
    }
    let event = args.event(&change, &wish, out).await?;
    let done = change.carry_out(&event, &wish).await?;
    change.tell(done, &what).await
}

impl RotateArgs {
    fn roles(&self) -> Vec<Role> {
        let replaced: &[Role] = match self.key {
            Which::Act => &[Role::Act],
            Which::Admin => &[Role::Admin],
            Which::All => &[Role::Admin, Role::Act],
            Which::None => &[],
        };
        replaced.iter().copied().chain(self.set_next.then_some(Role::Next)).collect()
    }

    async fn event(&self, change: &Change<'_>, wish: &Wish, out: &Output) -> CliResult<KeyEvent> {
        let record = change.record();
        if self.set_next && record.standing.next.is_some() {
            return Err(CliError::failed(format!("{} has a recovery key already", self.name)).hint(
                "only `soulchain agent recover`, with that key, sets another: a stolen admin key cannot disarm it",
            ));
        }
        let custodian = self.custodian.map_or(record.standing.custodian, Custodian::identity);
        let keys = change.dir.agent_keys(&change.label, &[Role::Admin], out).await?;
        let signer = keys.admin.expect("a key was read");
        // Before any key is made: whoever is locked out needs another command.
        let is_live = record.standing.key(&signer.kid()).is_some_and(crate::registry::KeyRecord::is_live);
        if !is_live {
            let (agent, kid) = (self.name.clone(), signer.kid().to_hex());
            return Err(ClientError::KeyNotListed { agent, kid }.into());
        }
        let suspect_from = self.change.suspect_from(record)?;
        let staged = change.stage(wish).await?;
        let rotation = KeyChange::Rotate { new: staged.keys, next: staged.next, custodian };
        Ok(KeyEvent { change: rotation, signer, suspect_from })
    }
}
