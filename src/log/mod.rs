//! The engine: a tiled log over any storage and for any rules.
//!
//! It sequences groups of entries, commits them in one place, keeps the newest part in memory, flushes it to the public
//! files, recovers, and reads. What an entry means it does not know: that is its [`Machine`]'s business.
//!
//! ```text
//! origin.json   origin, vkeys        manifest    what is flushed, and the frame from which the journal counts
//! journal/      commits              checkpoint  the manifest's note, for static hosting
//! tile/         C2SP tlog-tiles      bodies/     what is kept beside entries, one file for each bundle
//! views/        derived values       chain.idx   24 bytes of the machine for each entry, derived
//! lock          one process at a time    erasures   orders to erase a body that damage stands in the way of
//! ```
//!
//! Invariants: nothing leaves the process before its frame is durable; readers see immutable views and never wait; a
//! flush disturbs no byte that the manifest rests on; an error whose outcome on disk is unknown stops all writes until
//! the directory is opened again.

mod backup;
mod batch;
mod bodies;
mod directory;
mod engine;
mod erasure;
mod error;
mod flush;
mod follow;
mod fsck;
mod machine;
mod manifest;
mod opaque;
mod open;
mod owed;
mod pool;
mod publisher;
mod reader;
mod sequencer;
mod tail;
mod view;

pub use backup::{BackupError, BackupReport, backup};
pub use batch::{Batch, Entry, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, MAX_BODY_LEN};
pub use directory::{Directory, DirectoryError, OriginFile};
pub use engine::{Engine, Pending, Sign};
pub use erasure::{EraseError, MAX_PENDING_ERASURES};
pub use error::{OpenError, ReadError, SubmitError};
pub use follow::{ExtendError, Following, follow};
pub use fsck::{EntryCheck, Finding, FsckReport, MAX_FINDINGS, NoCheck, Place, Progress, Severity, Subject, fsck};
pub use machine::{Machine, Past, ReplayError, Weight};
pub use opaque::{Opaque, OpaqueGroup};
pub use open::{Options, Recovery, Storage, create, open};
pub use owed::OwedErasure;
pub use pool::PoolLimits;
pub use publisher::{PUBLISH_INTERVAL, publish_every};
pub use reader::{KeptBody, LogReader};
pub use sequencer::{Committed, FLUSH_AFTER};
pub use tail::{ROW_LEN, Row, SideBody};
pub use view::{LogView, Published};
