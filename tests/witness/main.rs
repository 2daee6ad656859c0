//! The witness against tlog-witness, through its real HTTP server.
//!
//! Each MUST of the document, and the test that holds it:
//!
//! | what must be | test |
//! |---|---|
//! | requests are POSTs of this form, each line ends with a newline, at most 63 hashes | `add_checkpoint::malformed_requests_are_400` |
//! | signatures of unknown keys are ignored; a trusted key's must be there and right (403) | `add_checkpoint::only_the_logs_own_keys_count` |
//! | a key that is not listed, such as an instant key, signs nothing (403) | `add_checkpoint::an_instant_key_changes_nothing` |
//! | an unknown origin is 404, whatever text it is | `add_checkpoint::an_unknown_log_is_404`, `add_checkpoint::an_origin_that_no_key_could_have_is_404` |
//! | an old size above the checkpoint's is 400 | `add_checkpoint::an_old_size_above_the_new_is_400` |
//! | an old size that is not the newest is 409, with the size as `text/x.tlog.size` | `add_checkpoint::a_stale_old_size_is_409_with_the_size` |
//! | the empty tree has its root (422) | `add_checkpoint::the_empty_tree_has_one_root` |
//! | from 0 no proof; else one that holds (422) | `add_checkpoint::proofs_must_hold` |
//! | the same size has the same root (422) | `add_checkpoint::a_size_has_one_root` |
//! | 200 has cosignatures of the whole tree, with a time that is not 0 | `add_checkpoint::a_checkpoint_is_cosigned_by_each_key`, `add_checkpoint::times_are_not_zero_and_do_not_go_back` |
//! | extension lines are in what is cosigned | `add_checkpoint::extension_lines_are_accepted_and_covered` |
//! | the checkpoint is persisted before the answer; compare and persist are one | `races`, `faults`, `process` |
//! | which fault is answered when there are several | `add_checkpoint::faults_are_answered_in_order` |
//! | subtree requests have their form, a valid range within the checkpoint (400) | `sign_subtree::malformed_requests_are_400` |
//! | a proof from the subtree (422), a known origin (404), a cosignature of its own (403) | `sign_subtree::refusals` |
//! | 200 has signatures of a format for subtrees, without a time | `sign_subtree::subtrees_are_signed` |
//! | `GET /<origin hash>/checkpoint` has the log's signature and the answered ones, else 404; the hash is in lowercase | `monitoring::the_newest_checkpoint_is_served` |
//! | a client ignores cosignatures of unknown keys | `tests/feeder.rs`, `a_line_of_an_unknown_key_takes_nothing_from_the_one_beside_it` |
//!
//! In one case a request that the document calls valid is refused (403): one with extension lines that no key but one of
//! ML-DSA-44 has signed. Such keys sign the first three lines alone, so anybody could have put the others there.

#![cfg(feature = "node")]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on panics; sizes here are small"
)]

#[path = "../engine/disk.rs"]
#[allow(dead_code, reason = "the engine's tests use the rest")]
mod disk;
mod log;
mod server;

mod add_checkpoint;
mod monitoring;
mod sign_subtree;

mod evidence;
mod faults;
mod lists;
mod process;
mod races;
