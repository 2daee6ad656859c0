//! Publication without witnesses: the newest root, signed by the log key, at an even pace.

use std::time::Duration;

use super::engine::{Engine, Sign};
use super::machine::Machine;

/// How often the newest root is published if it changed.
pub const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

/// Publishes the newest root at every interval in which it changed, that of an empty log too. Ends with the runtime, and
/// when the engine latches or is closed.
pub async fn publish_every<M: Machine>(engine: Engine<M>, sign: Sign, interval: Duration) {
    let mut changes = engine.changes();
    let mut published = engine.published().map(|published| published.size);
    while engine.latched().is_none() && !engine.is_closed() {
        let view = engine.view();
        if published.is_none_or(|published| view.size() > published) {
            let note = sign(view.size(), &view.root());
            if let Err(error) = engine.publish(&view, note).await {
                tracing::warn!(%error, "a checkpoint could not be published");
            } else {
                published = Some(view.size());
            }
            tokio::time::sleep(interval).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}
