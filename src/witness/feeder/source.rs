//! What the feeder needs of the log that it feeds.

use std::future::Future;

use tokio::sync::watch;

use crate::hash::Hash;
use crate::merkle::TreeSize;
use crate::tlog::{NoteVerifier, Origin, SignedCheckpoint};

/// One size of a log, kept readable for as long as a round lasts.
pub trait Head: Clone + Send + Sync + 'static {
    /// Number of entries.
    fn size(&self) -> TreeSize;
    /// Root of the tree.
    fn root(&self) -> Hash;
}

/// A log that is fed to witnesses.
pub trait Source: Clone + Send + Sync + 'static {
    /// A size of it.
    type Head: Head;
    /// Why it could not do what it was asked.
    type Error: std::fmt::Display + Send;

    /// Its origin line.
    fn origin(&self) -> &Origin;

    /// The keys that sign what is offered to witnesses.
    fn log_keys(&self) -> &[NoteVerifier];

    /// The time, in seconds since the epoch.
    fn now_seconds(&self) -> u64;

    /// Whether a quorum had cosigned what this log showed last when it was opened.
    fn was_witnessed(&self) -> bool;

    /// The newest durable size.
    fn newest(&self) -> Self::Head;

    /// The root of an earlier size.
    fn root_at(&self, head: &Self::Head, size: TreeSize) -> Result<Hash, Self::Error>;

    /// The consistency path from an earlier size to this one.
    fn consistency(&self, old: TreeSize, head: &Self::Head) -> Result<Vec<Hash>, Self::Error>;

    /// The checkpoint of a size, signed by the log's keys: only what is offered to witnesses is signed by them.
    fn sign(&self, head: &Self::Head) -> Result<SignedCheckpoint, Self::Error>;

    /// Serves a checkpoint from now on: durable before it is shown.
    fn publish(
        &self,
        head: &Self::Head,
        checkpoint: &SignedCheckpoint,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Tells when the log may have grown, and ends with it.
    fn changes(&self) -> watch::Receiver<TreeSize>;

    /// Takes writes from now on: the witnesses have ruled out that a later log exists.
    fn admit(&self);

    /// Takes no more writes: another log of this name exists, and going on would fork it.
    fn stop(&self, why: &str);
}
