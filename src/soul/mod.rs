//! Links, bodies, keys: what an agent signs (formats.md §2 to §5 as far as a link alone decides).

mod body;
mod ids;
pub mod jcs;
mod link;

pub use body::{
    Attest, Body, Conditions, Credential, Endpoint, Feedback, Genesis, Guardians, KeyEntry, Keys, LinkRef, Notice,
    NoticeKind, Policy, Pop, Profile, RawKey, RawSignature, Reason, Receipt, Recover, Retract, RevokeAgent, Roles,
    Severity,
};
pub use ids::{BodyCommit, Curr, Identity, Kid, LogId, Next, Salt, Seqno};
pub use link::{HEADER_LEN, Header, LinkType, Outcome};
