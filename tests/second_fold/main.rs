//! The fold, written a second time from the page of formats alone, and a real node held against it.
//!
//! The second fold keeps the list of entries and nothing else. Every question is answered by reading that list from the
//! start: no caches, no undo, no state that is carried on. Random operations, valid and not, go to a node in this
//! process and to the second fold; verdicts, records, roots and trailers have to agree.

mod body;
mod link;
mod log;
mod trees;
mod vectors;
mod verdict;

#[path = "../common/mod.rs"]
mod common;
