//! A mirror: a durable copy of a log elsewhere, served as the log serves itself, and cosigned (C2SP tlog-mirror).
//!
//! | file | what |
//! |---|---|
//! | `tree` | the tree of a checkpoint, read from the log's tiles; every hash of it leads to the root |
//! | `follower` | asks the log for its checkpoint, fetches what is new, refuses what contradicts what it has |
//! | `upload` `add_checkpoint` | what clients submit: checkpoints, and entries in packages |
//! | `copy` | the copy itself: checkpoints, entries that wait, what is committed, published and cosigned |
//! | `notes` | the checkpoints that must not be forgotten, in files |
//! | `open` | the directory, the first start, the key |
//!
//! Invariants: an entry is committed only when it is proven to be in a checkpoint of the log that is consistent with all
//! that the mirror has accepted before. The mirror's key signs only what is durable and served. Nothing that the log, a
//! client or the network does makes the copy smaller or another one.
//!
//! Over HTTP it is served by `http::mirror`. What makes a log misbehave, and who is told, is the business of monitors.

mod error;

mod notes;

mod copy;

mod tree;

mod follower;

mod add_checkpoint;
mod upload;

mod open;

pub use add_checkpoint::CheckpointAnswer;
pub use copy::{MAX_PENDING, Mirror};
pub use error::{MirrorError, MirrorOpenError, Trouble};
pub use follower::{Follower, Following, Round};
pub use open::{MirrorOptions, Opened, OpenedMirror, open};
pub use upload::{MAX_EXCESS_ENTRIES, Upload, UploadAnswer};
