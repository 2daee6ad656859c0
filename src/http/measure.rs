//! What the server tells the metrics.

use std::time::Duration;

use crate::merkle::TreeSize;
use crate::metrics::{
    APPEND_SECONDS, FLUSHED_SIZE, IDENTITIES, LATCHED, LINKS, MetricsHandle, OWED_ERASURES, POOL_ENTRIES,
    PUBLISHED_SIZE, TREE_SIZE, WITNESSED_SIZE, WITNESSES, WITNESSES_COSIGNING,
};
use crate::node::Node;
use crate::witness::Feeding;

/// Observes a node.
#[derive(Clone)]
pub struct Recorder(MetricsHandle);

impl Recorder {
    /// A recorder that collects in this handle.
    pub fn new(handle: MetricsHandle) -> Self {
        Self(handle)
    }

    #[expect(clippy::unused_self, reason = "who holds a recorder has metrics")]
    pub(crate) fn appended(&self, links: usize, repeated: bool, took: Duration) {
        let outcome = if repeated { "repeated" } else { "new" };
        metrics::counter!(LINKS, "outcome" => outcome).increment(links as u64);
        metrics::histogram!(APPEND_SECONDS).record(took.as_secs_f64());
    }

    /// Reads what is a state and no event.
    #[expect(
        clippy::cast_precision_loss,
        clippy::unused_self,
        reason = "a gauge is a float; who holds a recorder has metrics"
    )]
    pub(crate) fn observe(&self, node: &Node) {
        let view = node.view();
        let engine = node.engine();
        let gauges = [
            (TREE_SIZE, view.size().get()),
            (FLUSHED_SIZE, engine.flushed().get()),
            (PUBLISHED_SIZE, node.published().map_or(0, |published| published.size.get())),
            (IDENTITIES, view.state().identities()),
            (POOL_ENTRIES, engine.waiting().entries as u64),
            (OWED_ERASURES, engine.owed_erasures().len() as u64),
            (LATCHED, u64::from(engine.latched().is_some())),
        ];
        for (name, value) in gauges {
            metrics::gauge!(name).set(value as f64);
        }
    }

    /// How the witnesses do.
    #[expect(
        clippy::cast_precision_loss,
        clippy::unused_self,
        reason = "a gauge is a float; who holds a recorder has metrics"
    )]
    pub(crate) fn observe_witnesses(&self, feeding: &Feeding) {
        let cosigning = feeding.witnesses.iter().filter(|(_, status)| status.has_cosigned()).count();
        metrics::gauge!(WITNESSES).set(feeding.witnesses.len() as f64);
        metrics::gauge!(WITNESSES_COSIGNING).set(cosigning as f64);
        metrics::gauge!(WITNESSED_SIZE).set(feeding.witnessed.map_or(0, TreeSize::get) as f64);
    }

    pub(crate) fn render(&self) -> String {
        self.0.render()
    }
}
