//! A node's log and its witnesses, put together: what the feeder of `serve` works on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::node::{Node, View, WitnessPolicy};
use crate::tlog::{NoteVerifier, Origin, PolicyName, SignedCheckpoint};
use crate::witness::{Feeder, Feeding, Head, HttpWitness, Pace, Source};

/// Longest wait for one answer of a witness.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(10);

/// The log of a node, for the feeder.
#[derive(Clone)]
pub(super) struct NodeLog {
    node: Node,
    keys: Arc<[NoteVerifier]>,
    was_witnessed: bool,
}

impl NodeLog {
    fn new(node: Node) -> Self {
        let logs = node.witnesses().into_iter().flat_map(|witnesses| witnesses.policy().logs());
        let keys = logs.map(|log| log.verifier().clone()).collect();
        let was_witnessed = node.published().is_some_and(|published| node.is_witnessed(&published));
        Self { node, keys, was_witnessed }
    }
}

impl Head for Arc<View> {
    fn size(&self) -> TreeSize {
        View::size(self)
    }

    fn root(&self) -> Hash {
        View::root(self)
    }
}

impl Source for NodeLog {
    type Head = Arc<View>;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn origin(&self) -> &Origin {
        self.node.origin()
    }

    fn log_keys(&self) -> &[NoteVerifier] {
        &self.keys
    }

    fn now_seconds(&self) -> u64 {
        crate::clock::now().get() / 1_000
    }

    fn was_witnessed(&self) -> bool {
        self.was_witnessed
    }

    fn newest(&self) -> Arc<View> {
        self.node.view()
    }

    fn root_at(&self, head: &Arc<View>, size: TreeSize) -> Result<Hash, Self::Error> {
        Ok(self.node.reader(head).root(size).map_err(|error| error.to_string())?)
    }

    fn consistency(&self, old: TreeSize, head: &Arc<View>) -> Result<Vec<Hash>, Self::Error> {
        if old == TreeSize::ZERO {
            return Ok(Vec::new());
        }
        Ok(self.node.reader(head).consistency(old, View::size(head)).map_err(|error| error.to_string())?)
    }

    fn sign(&self, head: &Arc<View>) -> Result<SignedCheckpoint, Self::Error> {
        let note = self.node.publication_signer()(View::size(head), &View::root(head));
        Ok(SignedCheckpoint::parse(&note)?)
    }

    async fn publish(&self, head: &Arc<View>, checkpoint: &SignedCheckpoint) -> Result<(), Self::Error> {
        Ok(self.node.engine().publish(head, checkpoint.note().as_str().as_bytes().to_vec()).await?)
    }

    fn changes(&self) -> watch::Receiver<TreeSize> {
        self.node.engine().changes()
    }

    fn admit(&self) {
        self.node.engine().admit();
    }

    fn stop(&self, why: &str) {
        self.node.engine().stop_writing(why);
    }
}

/// Starts to feed a node's log to its witnesses. Until these have spoken it takes no writes.
pub(super) fn feed(
    node: &Node,
    witnesses: &WitnessPolicy,
    pace: Pace,
) -> Result<(Feeder<NodeLog>, watch::Receiver<Feeding>), Box<dyn std::error::Error + Send + Sync>> {
    node.engine().hold();
    let mut places: Vec<(&str, Vec<(PolicyName, NoteVerifier)>)> = Vec::new();
    for witness in witnesses.policy().witnesses() {
        let Some(url) = witness.url() else { continue };
        let (url, key) = (std::str::from_utf8(url)?, (witness.name().clone(), witness.verifier().clone()));
        match places.iter_mut().find(|(place, _)| *place == url) {
            Some((_, keys)) => keys.push(key),
            None => places.push((url, vec![key])),
        }
    }
    let reached: Result<Vec<_>, _> =
        places.into_iter().map(|(url, keys)| Ok((HttpWitness::new(url, WITNESS_TIMEOUT)?, keys))).collect();
    let reached = reached.map_err(|error: crate::witness::NoReply| error.0)?;
    Ok(Feeder::start(NodeLog::new(node.clone()), reached, witnesses.policy().quorum().clone(), pace))
}
