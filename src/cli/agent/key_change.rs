//! What `rotate`, `recover` and `revoke` share: a key event, from the first new key to the last renamed file.
//!
//! | step | what is done | a crash after it |
//! |---|---|---|
//! | 1 | new keys are made, and durable beside the current ones | the next attempt uses them |
//! | 2 | the event is signed at the end of the chain that a state proof shows, and durable | it is sent by the next attempt |
//! | 3 | it is sent, and where it ends an agent or takes it back its witnesses are waited for | sent again, it is answered with its place |
//! | 4 | the new files take the place of the current ones, which are kept aside; one role after the other | the same |
//! | 5 | the pending event is forgotten | done |
//!
//! Which files may take part in step 4 is `key_files`' business. So a key that the log lists always has its file. An event that was outrun is signed anew, with the same keys: the log
//! holds the chain for the one that failed, so that the second gets in.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::key_files::{KeyFiles, Moved};
use super::pending::{Command, Pending, PendingFile, Wish};
use super::witnessed::{WitnessArgs, Witnesses};
use crate::cli::args::{NodeArgs, ProofArgs, identity, logged_json, tell_logged};
use crate::cli::error::{CliError, CliResult};
use crate::cli::key_dir::{KeyDir, Role};
use crate::cli::output::Output;
use crate::cli::trust::{Trust, TrustArgs};
use crate::client::{Agent, AgentKeys, Client, ClientError, KeyEvent, Logged, Proven, SignedLink, Signer, now};
use crate::merkle::LeafIndex;
use crate::registry::{KeyRoles, Record};
use crate::soul::{Identity, Next, Seqno, kid, next_commitment};

/// Flags of every key event.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Disown the links of the retired keys from this seqno on: what a thief signed
    #[arg(long, value_name = "SEQNO", value_parser = clap::value_parser!(u64).range(2..))]
    suspect_from: Option<u64>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    proof: ProofArgs,
    #[command(flatten)]
    witnesses: WitnessArgs,
}

/// Who holds the keys from now on: an identity, or `none` for the agent itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Custodian {
    Agent,
    Other(Identity),
}

/// A change of keys that is under way.
pub(super) struct Change<'a> {
    args: &'a ChangeArgs,
    out: &'a Output,
    client: Client,
    trust: Trust,
    pub(super) dir: KeyDir,
    /// What the key files are called by.
    pub(super) label: String,
    pending: PendingFile,
    state: Proven,
    /// Those without whom no agent is ended or taken back.
    witnesses: Option<Witnesses>,
    _lock: File,
}

/// The new keys.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) keys: AgentKeys,
    pub(super) next: Option<Next>,
}

/// A change of keys that is logged, and the files as they are now.
pub(super) struct Done {
    agent: Agent,
    /// None where only the record shows it.
    logged: Option<Logged>,
    files: Moved,
    resumed: bool,
}

/// What became of an event that was sent, as far as is proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is in the chain.
    Logged,
    /// Another link is in its place: it can never be logged.
    Outrun,
    /// Its place is free as far as is known: it may be logged by now, or later.
    Open,
}

/// How often an event is signed: enough to outlast a hold, since one that is held waits.
const MAX_TRIES: u32 = 10;
/// After one that was outrun: the chain is held for the next one.
const PAUSE: Duration = Duration::from_millis(100);
/// After one that was held for another key event. Holds last 30 seconds.
const PAUSE_WHILE_HELD: Duration = Duration::from_secs(4);

impl ChangeArgs {
    /// Where disowned links begin: in the chain, of which the event will be the end.
    pub(super) fn suspect_from(&self, record: &Record) -> CliResult<Option<Seqno>> {
        let (from, end) = (self.suspect_from.map(Seqno::new), record.head.seqno.next());
        if from.is_some_and(|from| from > end) {
            return Err(CliError::usage(format!(
                "--suspect-from is beyond the chain, which ends at {}",
                record.head.seqno
            ))
            .hint("`soulchain agent log` lists its links"));
        }
        Ok(from)
    }

    pub(super) fn wish(&self, command: Command, roles: &[Role]) -> Wish {
        let (custodian, reason, by_next) = (None, None, false);
        Wish { command, roles: roles.to_vec(), suspect_from: self.suspect_from, custodian, reason, by_next }
    }
}

impl Custodian {
    /// Reads an identity, or `none`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::Agent) } else { identity(text).map(Self::Other) }
    }

    pub(super) const fn identity(self) -> Option<Identity> {
        match self {
            Self::Agent => None,
            Self::Other(identity) => Some(identity),
        }
    }

    pub(super) fn wish(custodian: Option<Self>) -> Option<String> {
        custodian.map(|custodian| custodian.identity().map_or_else(|| "none".into(), |identity| identity.to_hex()))
    }
}

impl<'a> Change<'a> {
    /// Looks up the agent, by name or identity, as the policy bears it out.
    pub(super) async fn begin(args: &'a ChangeArgs, dir: KeyDir, who: &str, out: &'a Output) -> CliResult<Self> {
        let lock = dir.lock()?;
        let client = args.node.client()?;
        let trust = Trust::establish(&client, &args.trust).await?;
        let state = trust.relying(&client, None).state(who).await?;
        let record = state.record().ok_or_else(|| ClientError::Absent(who.into()))?;
        let label = label(who, record);
        let pending = PendingFile::at(dir.pending_path(&label)?);
        let witnesses = args.witnesses.of(trust.witnessed_policy()?);
        Ok(Self { args, out, client, trust, dir, label, pending, state, witnesses, _lock: lock })
    }

    /// The agent's record.
    pub(super) fn record(&self) -> &Record {
        self.state.record().expect("looked at when it was read")
    }

    /// Brings an earlier attempt to its end, if there is one. The answer is there where it had the same wish: all is done.
    pub(super) async fn settle(&mut self, wish: &Wish) -> CliResult<Option<Done>> {
        let Some(pending) = self.pending.read()? else { return self.recognise(wish).await };
        if (pending.log_id, pending.identity) != (self.trust.log.id(), self.record().identity) {
            return Err(CliError::usage(format!("another change of `{}` was begun here, in another log", self.label))
                .hint("finish it there first, or use another directory of keys"));
        }
        let is_revocation = pending.wish.command == Command::Revoke;
        if is_revocation && pending.wish != *wish {
            // Nobody is ended in another way than was asked for last, nor if that is not what is asked for any more. It
            // is kept until what is asked for now is signed, for the same place in the chain: one of them gets it.
            match self.fate(&pending).await? {
                Fate::Open => {
                    self.out.note("a revocation that was begun before may still be logged, until this takes its place");
                    return self.recognise(wish).await;
                }
                Fate::Outrun => return self.give_up(wish).await,
                Fate::Logged => {}
            }
        }
        let done = match self.send(pending.link.clone()).await {
            Ok((mut agent, logged)) => {
                let logged = self.confirm(&mut agent, &pending.link, logged, &pending.wish).await?;
                let mut done = self.finish(agent, logged, &pending.wish)?;
                done.resumed = true;
                done
            }
            Err(error) if may_be_logged(&error) => return Err(unfinished(error)),
            // It is not logged, says the node. If that is a lie, the record shows it; of a revocation, which brings no
            // key, only a chain that went on without it shows that it is none. Until then it is kept, and signed anew for
            // the same place: one of the two may be logged, and both ask for the same.
            Err(error) => {
                self.look_again().await?;
                if is_revocation {
                    match self.fate(&pending).await? {
                        Fate::Logged => return Err(unfinished(error)),
                        Fate::Open => return Ok(None),
                        Fate::Outrun => {}
                    }
                }
                self.pending.remove()?;
                return self.recognise(wish).await;
            }
        };
        if pending.wish == *wish && done.files.outlived.is_empty() {
            return Ok(Some(done));
        }
        self.out.note("a change that was begun before is finished; now to this one");
        if pending.wish.command == Command::Revoke {
            self.note_end(pending.wish.by_next);
        }
        self.look_again().await?;
        Ok(None)
    }

    /// Refuses what would set key files aside that are not this agent's, before anything is made.
    pub(super) fn check_files(&self, wish: &Wish, roles: &[Role]) -> CliResult<()> {
        self.files(wish, false).check(roles)
    }

    /// Refuses a recovery key that is not this agent's, before anything is made.
    pub(super) fn check_recovery_key(&self, signer: &Signer) -> CliResult<()> {
        let standing = &self.record().standing;
        if standing.next == Some(next_commitment(signer.key().public().as_bytes())) {
            return Ok(());
        }
        let error = CliError::from(ClientError::NotRecoveryKey { committed: standing.next });
        if standing.key(&signer.kid()).is_some_and(|key| key.roles == KeyRoles::Recovery) {
            return Err(error.and_hint("this one has recovered the agent before; that made a new one"));
        }
        Err(error)
    }

    /// The new keys that are wished for, durable.
    pub(super) async fn stage(&self, wish: &Wish) -> CliResult<Staged> {
        self.check_files(wish, &wish.roles)?;
        self.dir.stage(&self.label, &wish.roles, self.out).await?;
        let mut staged = Staged { keys: AgentKeys::default(), next: None };
        for &role in &wish.roles {
            let key = self.dir.staged(&self.label, role, self.out).await?;
            match role {
                Role::Act => staged.keys.act = key.as_ref().map(Signer::from),
                Role::Admin => staged.keys.admin = key.as_ref().map(Signer::from),
                Role::Next => staged.next = key.map(|key| next_commitment(key.pk())),
            }
        }
        Ok(staged)
    }

    /// Signs the event and sends it, anew where the chain went on meanwhile, until it is logged or refused.
    pub(super) async fn carry_out(&mut self, event: &KeyEvent, wish: &Wish) -> CliResult<Done> {
        let mut pause = None;
        for _ in 0..MAX_TRIES {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
                self.look_again().await?;
            }
            let link = event.sign(self.trust.log.id(), self.record(), Some(self.state.anchor()), now())?;
            let (log_id, identity) = (self.trust.log.id(), self.record().identity);
            self.pending.write(&Pending { log_id, identity, wish: wish.clone(), link: link.clone() })?;
            match self.send(link.clone()).await {
                Ok((mut agent, logged)) => {
                    let logged = self.confirm(&mut agent, &link, logged, wish).await?;
                    return self.finish(agent, logged, wish);
                }
                Err(error) if error.code() == "conflict" => {
                    self.out.note("the chain went on meanwhile; signing anew at its end");
                    pause = Some(PAUSE);
                }
                Err(error) if error.code() == "held" => {
                    self.out.note("the chain is held for another key event; trying again");
                    pause = Some(PAUSE_WHILE_HELD);
                }
                Err(error) if may_be_logged(&error) => return Err(unfinished(error)),
                // That it is refused is the node's word alone. Of a revocation no key tells later that it was logged, so it
                // is kept; it is in nobody's way.
                Err(error) if wish.command == Command::Revoke => return Err(error.into()),
                Err(error) => {
                    self.pending.remove()?;
                    return Err(error.into());
                }
            }
        }
        Err(unfinished(ClientError::Overtaken))
    }

    /// Says what was done.
    pub(super) async fn tell(&self, mut done: Done, what: &str) -> CliResult<()> {
        let Moved { made, retired, .. } = &done.files;
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let json = serde_json::json!({
            "identity": done.agent.identity().to_hex(),
            "resumed": done.resumed,
            "link": done.logged.as_ref().map(logged_json),
            "keys": paths(made),
            "retired": paths(retired),
        });
        self.out.result(&json, |out| {
            match &done.logged {
                Some(logged) => tell_logged(out, what, logged),
                None => out.line(format_args!("{what}: by an earlier attempt, as the record shows")),
            }
            for (what, paths) in [("new key", made), ("kept aside", retired)] {
                for path in paths {
                    out.fields(&[(what, path.display().to_string())]);
                }
            }
        });
        if done.resumed {
            self.out.note("it was signed by an earlier attempt, which is finished now");
        }
        if !retired.is_empty() {
            self.out.note("what is kept aside signs nothing in this log any more; it is of use for an audit alone");
        }
        if made.contains(&self.dir.path(&self.label, Role::Next)) {
            hint_recovery_key(&self.dir, &self.label, self.out);
        }
        match &done.logged {
            Some(logged) => self.args.proof.keep(&mut done.agent, logged, self.out).await,
            None => Ok(()),
        }
    }

    /// Says how final a revocation is.
    pub(super) fn note_end(&self, by_next: bool) {
        self.out.note(match (by_next, self.record().standing.next) {
            (true, _) => "the recovery key has signed it: this is final",
            (false, Some(_)) => {
                "within 30 days of it the recovery key can take the agent back: `soulchain agent recover`"
            }
            (false, None) => "the agent has no recovery key: this is final",
        });
    }

    async fn look_again(&mut self) -> CliResult<()> {
        let identity = self.record().identity;
        let state = self.trust.relying(&self.client, None).state(&identity.to_hex()).await?;
        if state.record().is_none() {
            return Err(ClientError::Absent(identity.to_hex()).into());
        }
        self.state = state;
        Ok(())
    }

    async fn send(&self, link: SignedLink) -> Result<(Agent, Logged), ClientError> {
        let mut agent = Agent::of_record(&self.client, &self.trust.log, self.record(), AgentKeys::default());
        let logged = agent.send(vec![link], self.args.proof.wanted()).await?;
        Ok((agent, logged.into_iter().next().expect("one for each link that was sent")))
    }

    /// What ends an agent or takes it back is done when the log's witnesses have seen it, whatever command it was that
    /// went on with it.
    async fn confirm(&self, agent: &mut Agent, link: &SignedLink, logged: Logged, wish: &Wish) -> CliResult<Logged> {
        match &self.witnesses {
            Some(witnesses) if wish.command != Command::Rotate => witnesses.confirm(agent, link, logged).await,
            _ => Ok(logged),
        }
    }

    /// Whether the record lists keys that are staged here: an event that brought them is logged, whatever became of it.
    async fn recognise(&mut self, wish: &Wish) -> CliResult<Option<Done>> {
        let listed = self.files(wish, true).listed()?;
        if listed.is_empty() {
            return Ok(None);
        }
        // A recovery brings a recovery key, and whoever asks for one means one.
        if let Some(witnesses) = &self.witnesses
            && (wish.command == Command::Recover || listed.contains(&Role::Next))
        {
            witnesses.bear_out(&self.state.proof)?;
        }
        // It was no revocation, which brings no keys: the files stay in use, whatever is asked for now.
        let found = Wish { roles: listed, ..wish.clone() };
        let mut events = Vec::with_capacity(found.roles.len());
        for &role in &found.roles {
            events.push((role, self.event_that_brought(role).await?));
        }
        let files = self.files(&found, true).promote(&events)?;
        self.pending.remove()?;
        self.note_outlived(&files);
        // What the event disowned, and who was to hold the keys, the keys alone do not tell.
        let tells_all = wish.suspect_from.is_none() && wish.custodian.is_none();
        let is_all = found == *wish && tells_all && files.outlived.is_empty();
        let agent = Agent::of_record(&self.client, &self.trust.log, self.record(), AgentKeys::default());
        Ok(is_all.then_some(Done { agent, logged: None, files, resumed: true }))
    }

    /// The place in the chain of the event that brought what is staged for a role, and that the record lists.
    async fn event_that_brought(&self, role: Role) -> CliResult<Seqno> {
        let record = self.record();
        let staged = self.dir.staged_pk(&self.label, role)?;
        let index = match role {
            Role::Act | Role::Admin => staged.and_then(|pk| record.key(&kid(&pk))).map(|key| key.added),
            Role::Next => newest_recovery(record),
        };
        // Without a recovery no file of a recovery key is of this agent but the staged one: none is set aside.
        let Some(index) = index else { return Ok(record.head.seqno) };
        let link = self.trust.relying(&self.client, None).link_at(&record.identity, index).await?;
        Ok(link.header.seqno)
    }

    /// The event is logged: the files follow.
    fn finish(&self, agent: Agent, logged: Logged, wish: &Wish) -> CliResult<Done> {
        let event = logged.link().header().seqno;
        let files = self.files(wish, event <= self.record().head.seqno);
        let files = if wish.command == Command::Revoke {
            files.retire(event)?
        } else {
            files.promote(&wish.roles.iter().map(|role| (*role, event)).collect::<Vec<_>>())?
        };
        self.pending.remove()?;
        self.note_outlived(&files);
        Ok(Done { agent, logged: Some(logged), files, resumed: false })
    }

    fn files<'b>(&'b self, wish: &'b Wish, is_after: bool) -> KeyFiles<'b> {
        KeyFiles { dir: &self.dir, label: &self.label, standing: &self.record().standing, is_after, wish }
    }

    /// What the record proves of an event that was sent.
    ///
    /// No time bars a link whose place is free: its clock is held against the link before it, which it names. So only
    /// another link in its place does.
    async fn fate(&self, pending: &Pending) -> CliResult<Fate> {
        let (header, head) = (pending.link.link.header(), &self.record().head);
        if header.seqno > head.seqno {
            return Ok(Fate::Open);
        }
        let curr = if header.seqno == head.seqno {
            head.curr
        } else {
            self.trust.relying(&self.client, None).link(&self.record().identity, header.seqno).await?.curr
        };
        Ok(if curr == pending.link.link.curr() { Fate::Logged } else { Fate::Outrun })
    }

    /// A revocation that another link has taken the place of.
    async fn give_up(&mut self, wish: &Wish) -> CliResult<Option<Done>> {
        self.pending.remove()?;
        self.out.note("a revocation that was begun before is given up: another link is in its place in the chain");
        self.recognise(wish).await
    }

    fn note_outlived(&self, files: &Moved) {
        for path in &files.outlived {
            self.out
                .note(format_args!("a key that was made before was retired meanwhile: it is now {}", path.display()));
        }
    }
}

/// The newest `recover` of a record, which has set the recovery key.
fn newest_recovery(record: &Record) -> Option<LeafIndex> {
    let recoveries = record.standing.keys.iter().filter(|key| key.roles == KeyRoles::Recovery);
    recoveries.map(|key| key.added).max()
}

/// Says what to do with a recovery key.
pub(super) fn hint_recovery_key(dir: &KeyDir, name: &str, out: &Output) {
    let path = dir.path(name, Role::Next);
    out.note(format_args!(
        "{} takes the agent back if its other keys are lost or stolen: move it to a safe place, away from this machine",
        path.display()
    ));
}

/// What the key files of an agent are called by: the name that was asked for, else its handle, else some of its identity.
fn label(who: &str, record: &Record) -> String {
    match Identity::from_hex(who) {
        None => who.into(),
        Some(identity) => record.standing.name.clone().unwrap_or_else(|| identity.to_hex()[..16].to_owned()),
    }
}

/// Whether a link may be in the log though sending it failed.
fn may_be_logged(error: &ClientError) -> bool {
    error.problem().is_none() || error.is_unavailable()
}

fn unfinished(error: ClientError) -> CliError {
    CliError::from(error).and_hint("what was begun is kept: the same command goes on with it, with the same keys")
}
