//! Links, bodies, keys: what an agent signs (formats.md §2 to §5 as far as a link alone decides), and the trailer that
//! the log sets between them (§7).
//!
//! A link goes through three types, each of which only the checks before it can make: [`Link`] (its bytes are one),
//! [`ReadLink`] (its body keeps the rules), [`VerifiedLink`] (it is signed). Which role signs what is here
//! ([`Body::signer_role`]); who has it, and all that rests on the log's past, is `registry`'s business.

mod names;

mod ids;
pub mod jcs;

mod commit;
mod header;
mod key;
mod link;
mod link_error;

mod body;
mod code;
mod draft;
mod trailer;
mod verified;

pub use body::{
    Attest, Body, BodyError, Conditions, Credential, Endpoint, Feedback, FieldFault, Form, Genesis, Guardians,
    KeyEntry, Keys, Kind, LinkRef, Notice, NoticeKind, Policy, Pop, Profile, RawKey, RawSignature, Reason, Receipt,
    Recover, Retract, RevokeAgent, Roles, Severity, SignerRole, check_link, check_pops, is_domain_name, is_label,
    newer_rules,
};
pub use code::Code;
pub use commit::{commit_inline, commit_salted};
pub use draft::{ChainPosition, Draft, Unsigned};
pub use header::{HEADER_LEN, Header, LinkType, MAX_BODY_LEN, MAX_INLINE_LEN, Outcome};
pub use ids::{BodyCommit, Curr, Identity, Kid, LogId, Next, Salt, Seqno};
pub use key::{POP_MESSAGE_LEN, SUITE, kid, ml_dsa_kid, next_commitment, pop_message};
pub use link::{Beside, LINK_ENTRY_KIND, Link};
pub use link_error::LinkError;
pub use trailer::{TRAILER_ENTRY_KIND, TRAILER_LEN, Trailer};
pub use verified::{ReadLink, Refusal, TriedLink, VerifiedLink};
