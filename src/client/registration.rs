//! New agents.

use super::agent::{Agent, ChainEnd};
use super::calls::{Form, ProofWanted};
use super::error::ClientError;
use super::keys::{AgentKeys, Signer};
use super::known_log::KnownLog;
use super::logged::{Logged, SignedLink};
use super::transport::Client;
use crate::encoding::UnixMillis;
use crate::keyfile::KeyFileError;
use crate::soul::{
    Body, ChainPosition, Draft, Genesis, Guardians, Identity, KeyEntry, LogId, Next, Outcome, Roles, Salt,
};

/// What an agent is founded with.
#[derive(Clone, Debug)]
pub struct NewAgent {
    /// The handle that it claims.
    pub name: Option<String>,
    /// Signs the genesis, and later its keys and profile.
    pub admin: Signer,
    /// Signs its actions.
    pub act: Signer,
    /// Commitment to the key that takes it back.
    pub next: Option<Next>,
    /// Who may help to judge it, for ever.
    pub guardians: Option<Guardians>,
    /// The identity that operates it.
    pub controller: Option<Identity>,
    /// The identity that holds its keys, if it does not itself.
    pub custodian: Option<Identity>,
}

impl NewAgent {
    /// An agent with these keys and nothing else.
    pub const fn of_keys(admin: Signer, act: Signer) -> Self {
        Self { name: None, admin, act, next: None, guardians: None, controller: None, custodian: None }
    }

    /// The signed genesis.
    pub fn genesis(&self, log: &KnownLog, now: UnixMillis) -> Result<SignedLink, ClientError> {
        self.genesis_in(log.id(), now)
    }

    pub(super) fn genesis_in(&self, log_id: LogId, now: UnixMillis) -> Result<SignedLink, ClientError> {
        let draft = Draft {
            log_id,
            position: ChainPosition::GENESIS,
            ctime: now,
            anchor: None,
            outcome: Outcome::None,
            kid: self.admin.kid(),
        };
        let body = Body::Genesis(Genesis {
            name: self.name.clone(),
            keys: listed_keys([(&self.admin, ADMIN), (&self.act, ACT)]),
            next: self.next,
            guardians: self.guardians.clone(),
            controller: self.controller,
            custodian: self.custodian,
            pop: vec![draft.pop(self.act.key())],
        });
        Ok(draft.inline(&body)?.sign(self.admin.key()).into())
    }

    /// Registers the agent: appends its genesis.
    pub async fn register(
        self,
        client: &Client,
        log: &KnownLog,
        proof: ProofWanted,
        now: UnixMillis,
    ) -> Result<(Agent, Logged), ClientError> {
        let genesis = self.genesis(log, now)?;
        let answer = client.append(std::slice::from_ref(&genesis), Form::Json, proof).await?;
        let logged = Logged::check(log, vec![genesis], &answer)?;
        let logged = logged.into_iter().next().expect("one for each link that was sent");
        let end = ChainEnd::after(logged.link());
        let keys = AgentKeys { act: Some(self.act), admin: Some(self.admin) };
        let mut agent = Agent::at(client, log, logged.link().curr().into(), keys, end);
        agent.learn(&logged);
        Ok((agent, logged))
    }
}

/// The role of a key that acts.
pub(super) const ACT: Roles = Roles { act: true, admin: false };
/// The role of a key that changes keys.
pub(super) const ADMIN: Roles = Roles { act: false, admin: true };

/// Keys as a key event lists them.
pub(super) fn listed_keys<'a>(keys: impl IntoIterator<Item = (&'a Signer, Roles)>) -> Vec<KeyEntry> {
    let entry = |(signer, roles): (&Signer, Roles)| KeyEntry::new(*signer.key().public().as_bytes(), roles);
    let mut keys: Vec<_> = keys.into_iter().map(entry).collect();
    keys.sort_by_key(|key| key.kid);
    keys
}

/// A salt for a body that is kept beside the log.
pub fn random_salt() -> Result<Salt, ClientError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(KeyFileError::NoRandomness)?;
    Ok(Salt::from_bytes(bytes))
}
