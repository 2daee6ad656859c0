//! Canonical JSON under the restricted profile of formats.md §3: RFC 8785 bytes without floats.

/// A JSON value of the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer of at most 2^53 − 1 in size.
    Int(i64),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object, members sorted by key.
    Object(Vec<(String, Value)>),
}
