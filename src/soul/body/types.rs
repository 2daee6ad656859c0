//! Bodies of every link type, as parsed from their canonical bytes (formats.md §3 and §4).
//!
//! These are plain data: a value of [`Body`] exists only for bytes that passed the profile and every field rule that
//! link and index alone decide. The bytes themselves stay with the link and are what is hashed.

use crate::soul::header::LinkType;
use crate::soul::ids::{Curr, Identity, Kid, Next, Seqno};
use crate::soul::jcs;
use crate::soul::key;
use crate::soul::names::names;

/// A raw Ed25519 public key, as listed; whether it is a point is decided when a signature is checked.
pub type RawKey = [u8; 32];

/// A raw Ed25519 signature.
pub type RawSignature = [u8; 64];

/// A body by the type of its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Founds an identity.
    Genesis(Genesis),
    /// Replaces the key set.
    Keys(Keys),
    /// Takes an identity back with the key committed in `next`.
    Recover(Recover),
    /// Ends an identity.
    RevokeAgent(RevokeAgent),
    /// Describes an identity.
    Profile(Profile),
    /// What an agent did; free but for `v`. `None` for an empty body or one that is kept beside the log.
    Action(Option<jcs::Value>),
    /// Confirms another's action.
    Receipt(Receipt),
    /// Rates another.
    Feedback(Feedback),
    /// Vouches for capabilities of another.
    Attest(Attest),
    /// Takes an own statement back.
    Retract(Retract),
    /// Says something of standing about another.
    Notice(Notice),
    /// Sets registrars and scoring; the registrar's alone.
    Policy(Policy),
}

impl Body {
    /// The type of the link that bears it.
    pub const fn link_type(&self) -> LinkType {
        match self {
            Self::Genesis(_) => LinkType::Genesis,
            Self::Keys(_) => LinkType::Keys,
            Self::Recover(_) => LinkType::Recover,
            Self::RevokeAgent(_) => LinkType::RevokeAgent,
            Self::Profile(_) => LinkType::Profile,
            Self::Action(_) => LinkType::Action,
            Self::Receipt(_) => LinkType::Receipt,
            Self::Feedback(_) => LinkType::Feedback,
            Self::Attest(_) => LinkType::Attest,
            Self::Retract(_) => LinkType::Retract,
            Self::Notice(_) => LinkType::Notice,
            Self::Policy(_) => LinkType::Policy,
        }
    }

    /// The key set that it puts in force, of a genesis, keys or recover.
    pub fn keys(&self) -> Option<&[KeyEntry]> {
        match self {
            Self::Genesis(body) => Some(&body.keys),
            Self::Keys(body) => Some(&body.keys),
            Self::Recover(body) => Some(&body.keys),
            _ => None,
        }
    }

    /// Its proofs of possession; none where it cannot have any.
    pub fn pops(&self) -> &[Pop] {
        match self {
            Self::Genesis(body) => &body.pop,
            Self::Keys(body) => &body.pop,
            Self::Recover(body) => &body.pop,
            _ => &[],
        }
    }

    /// The commitment to a recovery key that it sets.
    pub const fn next(&self) -> Option<Next> {
        match self {
            Self::Genesis(body) => body.next,
            Self::Keys(body) => body.next,
            Self::Recover(body) => Some(body.next),
            _ => None,
        }
    }

    /// The recovery key that signs it, where that key does.
    pub const fn recovery(&self) -> Option<&RawKey> {
        match self {
            Self::Recover(body) => Some(&body.recovery),
            Self::RevokeAgent(body) => body.recovery.as_ref(),
            _ => None,
        }
    }

    /// The first link that the signer disowns.
    pub const fn suspect_from(&self) -> Option<Seqno> {
        match self {
            Self::Keys(body) => body.suspect_from,
            Self::Recover(body) => body.suspect_from,
            Self::RevokeAgent(body) => body.suspect_from,
            _ => None,
        }
    }

    /// The identity that it is about.
    pub const fn subject(&self) -> Option<Identity> {
        match self {
            Self::Receipt(body) => Some(body.subject),
            Self::Feedback(body) => Some(body.subject),
            Self::Attest(body) => Some(body.subject),
            Self::Notice(body) => Some(body.subject),
            _ => None,
        }
    }
}

/// What a listed key may sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord, Hash)]
pub struct Roles {
    /// Actions and statements about others.
    pub act: bool,
    /// Key events, profile, and what the table of formats.md §4 says.
    pub admin: bool,
}

/// One key of a key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its id, computed from the key.
    pub kid: Kid,
    /// The key.
    pub pk: RawKey,
    /// What it may sign.
    pub roles: Roles,
}

impl Roles {
    /// The names that a body writes, sorted.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [(self.act, "act"), (self.admin, "admin")].into_iter().filter_map(|(held, name)| held.then_some(name))
    }
}

impl KeyEntry {
    /// A key with its id.
    pub fn new(pk: RawKey, roles: Roles) -> Self {
        Self { kid: key::kid(&pk), pk, roles }
    }
}

/// A proof of possession of an added key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pop {
    /// The key that signs it.
    pub kid: Kid,
    /// Over the message of formats.md §4.
    pub sig: RawSignature,
}

/// Who may help to judge an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardians {
    /// Sorted, 1 to 8.
    pub ids: Vec<Identity>,
    /// How many of them revoke.
    pub threshold: u64,
}

/// Body of `genesis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The handle it claims.
    pub name: Option<String>,
    /// Sorted by kid, 1 to 16, at least one admin.
    pub keys: Vec<KeyEntry>,
    /// Commitment to the recovery key.
    pub next: Option<Next>,
    /// Guardians, for ever.
    pub guardians: Option<Guardians>,
    /// The identity that operates this one.
    pub controller: Option<Identity>,
    /// The identity that holds its keys.
    pub custodian: Option<Identity>,
    /// Sorted by kid; empty where absent.
    pub pop: Vec<Pop>,
}

/// Body of `keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The full set from now on.
    pub keys: Vec<KeyEntry>,
    /// Commitment to a recovery key, where none was set.
    pub next: Option<Next>,
    /// The identity that holds these keys.
    pub custodian: Option<Identity>,
    /// Sorted by kid; empty where absent.
    pub pop: Vec<Pop>,
    /// First link of the chain that the signer disowns.
    pub suspect_from: Option<Seqno>,
}

/// Body of `recover`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recover {
    /// The full set from now on.
    pub keys: Vec<KeyEntry>,
    /// Commitment to the next recovery key.
    pub next: Next,
    /// The key that signs.
    pub recovery: RawKey,
    /// The identity that holds these keys.
    pub custodian: Option<Identity>,
    /// Sorted by kid; empty where absent.
    pub pop: Vec<Pop>,
    /// First link of the chain that the signer disowns.
    pub suspect_from: Option<Seqno>,
}

/// Body of `revoke_agent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeAgent {
    /// Why.
    pub reason: Reason,
    /// The key that signs, where it is the recovery key.
    pub recovery: Option<RawKey>,
    /// First link of the chain that the signer disowns.
    pub suspect_from: Option<Seqno>,
}

/// Reasons of `revoke_agent` and `notice` (formats.md §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `key_compromise`
    KeyCompromise,
    /// `cessation_of_operation`
    CessationOfOperation,
    /// `affiliation_changed`
    AffiliationChanged,
    /// `superseded`
    Superseded,
    /// `privilege_withdrawn`
    PrivilegeWithdrawn,
    /// `certificate_hold`
    CertificateHold,
    /// `aa_compromise`
    AaCompromise,
    /// `unspecified`
    Unspecified,
}

/// Body of `profile`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Profile {
    /// At most 128 chars.
    pub display_name: Option<String>,
    /// At most 64 chars.
    pub kind: Option<String>,
    /// At most 128 chars.
    pub owner: Option<String>,
    /// At most 128 chars.
    pub organization: Option<String>,
    /// Sorted, unique; empty where absent.
    pub capabilities: Vec<String>,
    /// At most 500 chars.
    pub description: Option<String>,
    /// At most 64 chars.
    pub version: Option<String>,
    /// At most 16; empty where absent.
    pub endpoints: Vec<Endpoint>,
    /// At most 8; empty where absent.
    pub credentials: Vec<Credential>,
    /// Label to SHA-256, at most 16; empty where absent.
    pub hashes: Vec<(String, [u8; 32])>,
    /// A non-empty object of at most 4,096 bytes of JCS.
    pub metadata: Option<jcs::Value>,
}

/// Where an agent is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// At most 32 chars.
    pub protocol: String,
    /// At most 2,048 chars.
    pub url: String,
}

/// By what an agent is known elsewhere; no rule reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// At most 64 chars.
    pub kind: String,
    /// At most 4,096 chars.
    pub value: String,
    /// At most 4,096 chars.
    pub proof: Option<String>,
}

/// A link named by its chain position and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRef {
    /// Its id.
    pub curr: Curr,
    /// Its place in the chain of the identity that the context names.
    pub seqno: Seqno,
}

/// Body of `receipt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose action.
    pub subject: Identity,
    /// Which action.
    pub link: LinkRef,
}

/// Body of `feedback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// About whom.
    pub subject: Identity,
    /// 0 to 100.
    pub value: u64,
    /// Of the form of a key.
    pub tag: Option<String>,
    /// About which action.
    pub link: Option<LinkRef>,
    /// Commitment to a comment kept elsewhere.
    pub comment_commit: Option<[u8; 32]>,
}

/// Body of `attest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// About whom.
    pub subject: Identity,
    /// Sorted, unique.
    pub capabilities: Vec<String>,
    /// At most 256 chars.
    pub scope: String,
    /// When it ends.
    pub expires_ms: u64,
    /// Under which conditions.
    pub conditions: Option<Conditions>,
    /// Digest of what it rests on.
    pub evidence: Option<[u8; 32]>,
}

/// Conditions of an attest; each list sorted, at most 16 of at most 253 chars, empty where absent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Conditions {
    /// `require_variants`
    pub require_variants: Vec<String>,
    /// `require_hosts`
    pub require_hosts: Vec<String>,
    /// `exclude_hosts`
    pub exclude_hosts: Vec<String>,
}

/// Body of `retract`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retract {
    /// An own receipt, feedback, attest or notice.
    pub link: LinkRef,
}

/// Kinds of `notice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// `suspend`
    Suspend,
    /// `unsuspend`
    Unsuspend,
    /// `revoke`
    Revoke,
    /// `violation`
    Violation,
    /// `verified`
    Verified,
    /// `unverified`
    Unverified,
    /// `bind`
    Bind,
    /// `release`
    Release,
}

/// Severity of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `critical`
    Critical,
    /// `high`
    High,
    /// `medium`
    Medium,
    /// `low`
    Low,
}

/// Body of `notice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// About whom.
    pub subject: Identity,
    /// What it says.
    pub kind: NoticeKind,
    /// Of a violation.
    pub severity: Option<Severity>,
    /// Of a violation: the action was stopped.
    pub blocked: Option<bool>,
    /// Why.
    pub reason: Option<Reason>,
    /// The domain name of a bind or release.
    pub name: Option<String>,
    /// Digest of what it rests on.
    pub evidence: Option<[u8; 32]>,
}

/// Body of `policy`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// Sorted; empty means the registrar alone.
    pub registrars: Vec<Identity>,
    /// Sorted; empty where absent.
    pub pretrust: Vec<Identity>,
    /// `beta/1`, where present.
    pub scoring: Option<String>,
    /// The version of the rules from this link on; absent = 1.
    pub rules: Option<u64>,
}

names! {
    Reason {
        KeyCompromise => "key_compromise", CessationOfOperation => "cessation_of_operation",
        AffiliationChanged => "affiliation_changed", Superseded => "superseded",
        PrivilegeWithdrawn => "privilege_withdrawn", CertificateHold => "certificate_hold",
        AaCompromise => "aa_compromise", Unspecified => "unspecified",
    }
}

names! {
    NoticeKind {
        Suspend => "suspend", Unsuspend => "unsuspend", Revoke => "revoke", Violation => "violation",
        Verified => "verified", Unverified => "unverified", Bind => "bind", Release => "release",
    }
}

names! {
    Severity { Critical => "critical", High => "high", Medium => "medium", Low => "low" }
}
