//! A node over an engine that is open: of its own log, or of one that it follows elsewhere. The latter answers as that
//! log's node does, and signs nothing.

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::machine::RegistryMachine;
use super::{Node, PUBLIC_KEYS};
use crate::hash::Hash;
use crate::log::{Engine, Following, Sign};
use crate::merkle::TreeSize;
use crate::soul::LogId;
use crate::tlog::{Origin, Vkey};

impl Node {
    /// The node of an engine, by the log's name, the key that signs what it publishes, and the one that signs its proofs at
    /// once; `sign_published` signs with the former. Whoever has a data directory opens it with [`open`](Self::open).
    pub fn over(
        engine: Engine<RegistryMachine>,
        origin: Origin,
        log_vkey: Vkey,
        instant_vkey: Vkey,
        sign_published: Sign,
    ) -> Self {
        Self {
            engine,
            log_id: LogId::of_origin(origin.as_str()),
            origin,
            log_vkey,
            ml_dsa_vkey: None,
            instant_vkey,
            sign_published,
            witnesses: None,
            public_keys: Arc::new(Cache::new(PUBLIC_KEYS)),
        }
    }

    /// The node of a log that is followed, by its name, the key that signs what it publishes, and the one that signs its
    /// proofs at once. Its views have no checkpoint, so that proofs are given under the published one.
    pub fn following(
        following: &Following<RegistryMachine>,
        origin: Origin,
        log_vkey: Vkey,
        instant_vkey: Vkey,
    ) -> Self {
        let sign_nothing = Arc::new(|_: TreeSize, _: &Hash| Vec::new());
        Self::over(following.engine().clone(), origin, log_vkey, instant_vkey, sign_nothing)
    }
}
