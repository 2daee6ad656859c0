//! The cases of the rules, by name, and which of them have come up.
//!
//! A broken rule counts when the node answered its code to an offer that broke no other rule of that code. All else
//! counts when it holds of what the node has logged.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

thread_local! {
    static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// What sequences of operations can meet (§4 to §6).
///
/// Not here, because no operation on a sound node leads there: entries and trailers that break the rules (a node writes
/// none; `tests/registry.rs` replays them), links before a genesis as entry 0 (the node founds its log itself), a `pk`
/// that is no point (whoever makes the keys can sign with them), and policies of higher `rules` as a monitor sees them
/// (the node admits none). What is malformed and each way in which a body breaks its form are one case each: `tests/soul`
/// goes through them one by one.
pub(crate) const CASES: &[&str] = &[
    // §5, by rows of the table.
    "an entry is malformed",
    "a link of another log",
    "a body that breaks its form",
    "an identity that does not exist",
    "a link of one whom notices revoke",
    "a link after the end that is no recover",
    "a recover after the next key ended the chain",
    "a recover later than 30 days after the end",
    "a seqno that is not the next",
    "a prev that is not the head",
    "an auth that is not the newest key event",
    "a genesis that follows something",
    "a signer that is not listed",
    "a signer that is retired",
    "a signer without the role",
    "a genesis by a key that it does not list",
    "a genesis by a key that is no admin",
    "a recovery key that does not sign",
    "a recovery key that no next commits to",
    "a policy by another",
    "a bind or release by no registrar",
    "a signature that does not verify",
    "a pop that does not verify",
    "a handle that is held",
    "a domain name that is held",
    "a key that was used before",
    "a recovery key that was used before",
    "an earlier next is committed again",
    "a keys event that leaves more than 32",
    "a recover that leaves more than 128",
    "a time more than 5 minutes ahead",
    "a time behind the chain's and the log's",
    "a root without an anchor",
    "an anchor with another root",
    "an anchor where no trailer is",
    "a subject that does not exist",
    "a subject that is the issuer",
    "a statement about one who is revoked",
    "a link that is not the subject's",
    "a link that is no action",
    "said again",
    "a retract of what is not there",
    "a retract of what is no statement",
    "a retract of a bind or release",
    "retracted again",
    "a release of what is not held",
    "a bind to one who is revoked",
    "a ninth domain name",
    "a guardian that does not exist",
    "a controller that does not exist",
    "a custodian that does not exist",
    "a registrar that does not exist",
    "a pretrusted one that does not exist",
    // §4, where more than the body decides.
    "another registrar",
    "a key that stays with other roles",
    "a keys event that changes nothing",
    "a keys event that replaces a next",
    "a next that stands is committed again",
    "a listed key that a next commits to",
    "pops of other keys than those that are added",
    "a suspect_from beyond the chain",
    "a suspect_from that marks no key",
    "72 hours are over",
    "30 days are over",
    // What is admitted.
    "a keys event sets the first next",
    "a keys event beside more than 32 that retires none",
    "a recover leaves more than 32",
    "a recover within 30 days of the end",
    "a key event of one whom notices revoke",
    "a time behind the chain's, and not the log's",
    "a released domain name is bound again",
    "said again after a retract",
    // §6: keys.
    "an admin key marks",
    "the next key marks",
    "a mark stays",
    "the next key lowers a mark",
    "a thief's mark is cleared",
    "a retired key is dropped",
    "a young key is kept beyond the 64",
    "an old key is kept among the 64",
    "a revoke_agent leaves the custodian",
    // §6: status.
    "revoked by a registrar",
    "revoked by guardians",
    "fewer guardians than the threshold",
    "a notice by one without office",
    "a notice by one who is registrar and guardian",
    "a notice about the registrar is no overlay",
    "a newer notice takes the place of an older one",
    "a registrar lifts what a guardian said",
    "a guardian lifts no other's suspend",
    "another registrar's suspend stays",
    "another registrar's verified is lifted",
    "a suspend is retracted",
    "a revoke is retracted",
    "a verified is retracted",
    "a notice ends with the office",
    "a guardian leaves office and its notice stays",
];

/// Notes that a case has come up, while it is watched for.
pub(crate) fn note(case: &'static str) {
    if WATCHED.get() {
        assert!(CASES.contains(&case), "`{case}` is not among the cases");
        SEEN.with_borrow_mut(|seen| seen.insert(case));
    }
}

/// Does something that is about what the node has said or logged.
pub(crate) fn watch<T>(work: impl FnOnce() -> T) -> T {
    WATCHED.set(true);
    let done = work();
    WATCHED.set(false);
    done
}

/// The cases that have come up since this was last asked.
pub(crate) fn take_seen() -> BTreeSet<&'static str> {
    SEEN.take()
}
