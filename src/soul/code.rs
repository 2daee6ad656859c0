//! The codes that a refusal is answered with (formats.md §5).

use super::names::names;

/// Why a link is not admitted, as a word; where several rules fail, any one of their codes may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The bytes are no link.
    Malformed,
    /// Of another log.
    WrongLog,
    /// The body breaks a rule.
    BadBody,
    /// Of an identity that this log does not know.
    UnknownIdentity,
    /// Of an identity that has ended.
    Revoked,
    /// Not the next link of its chain.
    Conflict,
    /// The key may not sign this.
    Unauthorised,
    /// A signature, or a proof of possession, does not verify.
    BadSignature,
    /// The handle or domain name is held.
    NameTaken,
    /// The key was used before.
    KeyInUse,
    /// The record would hold too many retired keys.
    TooManyKeys,
    /// The signer's clock.
    Clock,
    /// The anchor is no checkpoint of this log.
    BadAnchor,
    /// What the body names is not there, or not as it has to be.
    BadReference,
}

names! {
    Code {
        Malformed => "malformed", WrongLog => "wrong_log", BadBody => "bad_body",
        UnknownIdentity => "unknown_identity", Revoked => "revoked", Conflict => "conflict",
        Unauthorised => "unauthorised", BadSignature => "bad_signature", NameTaken => "name_taken",
        KeyInUse => "key_in_use", TooManyKeys => "too_many_keys", Clock => "clock", BadAnchor => "bad_anchor",
        BadReference => "bad_reference",
    }
}
