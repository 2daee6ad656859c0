//! Bodies of links: their types, their reader with every field rule that link and index alone decide, their writer
//! (formats.md §3 and §4).
//!
//! Rules that need the state of the log (who exists, which keys are live, what is taken) are the registry's.

mod error;
mod fields;
mod parse;
mod rules;
mod signer;
mod types;
mod write;

pub use error::{BodyError, FieldFault, Form, Kind};
pub use fields::{is_domain_name, is_label};
pub use parse::newer_rules;
pub use rules::{check_link, check_pops};
pub use signer::SignerRole;
pub use types::{
    Attest, Body, Conditions, Credential, Endpoint, Feedback, Genesis, Guardians, KeyEntry, Keys, LinkRef, Notice,
    NoticeKind, Policy, Pop, Profile, RawKey, RawSignature, Reason, Receipt, Recover, Retract, RevokeAgent, Roles,
    Severity,
};
