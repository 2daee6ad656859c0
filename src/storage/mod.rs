//! Where bytes live: three roles with different duties.
//!
//! - [`Blobs`]: tiles, bundles, bodies, manifest. Public or rebuilt from public data; written off the write path.
//! - [`Commits`]: the journal. The one commit point: what it acknowledged survives anything but the medium.
//! - [`Views`]: derived values. May be deleted at any time.
//!
//! Blobs and journal have one implementation each, on files of a [`Disk`]; the engine knows only the roles, and a double
//! of [`Disk`] stands under both in tests.

mod blobs;
mod disk;
mod error;
mod frame;
mod journal;
mod scratch;
mod views;

pub use blobs::{Blobs, FileBlobs};
pub use disk::{Disk, DiskFile, OsDisk};
pub use error::StorageError;
pub use frame::{ChecksumKey, FrameKind, MAX_PAYLOAD};
pub use journal::{Commits, FileJournal, Frame, FrameBuffer, Journal, Mark, SEGMENT_LEN, Scan};
pub(crate) use scratch::Scratch;
#[cfg(feature = "sled")]
pub use views::SledViews;
pub use views::{FjallViews, MemoryViews, ViewBatch, Views, Visit};
