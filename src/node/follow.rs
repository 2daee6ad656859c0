//! A node that follows a log elsewhere: it answers as that log's node does, and signs nothing.

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::machine::RegistryMachine;
use super::{Node, PUBLIC_KEYS};
use crate::log::Following;
use crate::soul::LogId;
use crate::tlog::{Origin, Vkey};

impl Node {
    /// The node of a log that is followed, by its name, the key that signs what it publishes, and the one that signs its
    /// proofs at once. Its views have no checkpoint, so that proofs are given under the published one.
    pub fn following(
        following: &Following<RegistryMachine>,
        origin: Origin,
        log_vkey: Vkey,
        instant_vkey: Vkey,
    ) -> Self {
        Self {
            engine: following.engine().clone(),
            log_id: LogId::of_origin(origin.as_str()),
            origin,
            log_vkey,
            ml_dsa_vkey: None,
            instant_vkey,
            sign_published: Arc::new(|_, _| Vec::new()),
            witnesses: None,
            public_keys: Arc::new(Cache::new(PUBLIC_KEYS)),
        }
    }
}
