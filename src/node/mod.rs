//! A log of agents: the registry as the engine's machine, and what a server asks of it.
//!
//! [`Node`] opens a data directory, appends links and answers questions; it knows nothing of HTTP. On its first start it
//! founds the log's own identity, the *registrar*, as entry 0, whose profile names the instant key before that signs.

mod about;
mod chain;
mod facts;
mod fsck;
mod held;
mod keys;
mod machine;
mod open;
mod parts;
mod proofs;
mod query;
mod recent;
mod rows;
mod stored;
mod submit;
mod witnesses;

pub use about::{AboutList, LinkAbout, MAX_ABOUT_SCAN};
pub use fsck::check_directory;
pub use machine::{Cause, Group, NodeState, Position, Refused, RegistryMachine};
pub use open::{NodeError, NodeOptions, Platform, ViewStore};
pub use query::{AgentFilter, AgentKey, DirectoryPage, FoundLink, MAX_SCAN};
pub use submit::{AppendError, Receipt, Share, Submitted};
pub use witnesses::{MAX_WITNESS_WAIT, WitnessPolicy, WitnessPolicyError};

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::ed25519::PublicKey;
use crate::log::{Engine, LogReader, LogView, Published, Sign};
use crate::soul::{LogId, RawKey};
use crate::tlog::{Origin, Vkey};

/// The log at one size.
pub type View = LogView<NodeState>;

/// An open log of agents. Cloning gives another handle.
#[derive(Clone)]
pub struct Node {
    engine: Engine<RegistryMachine>,
    origin: Origin,
    log_id: LogId,
    log_vkey: Vkey,
    ml_dsa_vkey: Option<Vkey>,
    instant_vkey: Vkey,
    sign_published: Sign,
    /// Who has to cosign what is published, where anybody has.
    witnesses: Option<Arc<WitnessPolicy>>,
    /// Decoded points of keys that have signed.
    public_keys: Arc<Cache<RawKey, PublicKey>>,
}

/// Keys whose decoded points are kept, some 200 bytes each.
const PUBLIC_KEYS: usize = 16_384;

impl Node {
    /// The engine beneath.
    pub fn engine(&self) -> &Engine<RegistryMachine> {
        &self.engine
    }

    /// The newest durable size.
    pub fn view(&self) -> Arc<View> {
        self.engine.view()
    }

    /// What is served at `/checkpoint`.
    pub fn published(&self) -> Option<Arc<Published<NodeState>>> {
        self.engine.published()
    }

    /// Reads the log at the size of a view.
    pub fn reader<'a>(&'a self, view: &'a View) -> LogReader<'a> {
        self.engine.reader(view)
    }

    /// The origin line of the log.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `H(origin)`.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The key that signs what is published.
    pub fn log_vkey(&self) -> &Vkey {
        &self.log_vkey
    }

    /// All keys that sign what is published.
    pub fn log_vkeys(&self) -> Vec<&Vkey> {
        [&self.log_vkey].into_iter().chain(&self.ml_dsa_vkey).collect()
    }

    /// The key that signs proofs given at once.
    pub fn instant_vkey(&self) -> &Vkey {
        &self.instant_vkey
    }

    /// Signs what is published.
    pub fn publication_signer(&self) -> Sign {
        Arc::clone(&self.sign_published)
    }

    /// A tlog-policy for this log. Where it has witnesses, the policy asks for their quorum and leaves out the instant
    /// key, which they do not cosign; without them it believes both keys.
    pub fn policy_text(&self) -> String {
        let instant = self.witnesses().is_none().then_some(&self.instant_vkey);
        let logs = self.log_vkeys().into_iter().chain(instant).map(|vkey| format!("log {vkey}\n"));
        let rest = self.witnesses().map_or("quorum none\n", WitnessPolicy::lines);
        logs.chain([rest.to_owned()]).collect()
    }
}
