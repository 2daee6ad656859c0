//! Canonical JSON under the restricted profile of formats.md §3: RFC 8785 bytes without floats.
//!
//! Reader and writer are two files; what the profile's bounds are is said in the reader. A [`Value`] that was read
//! keeps the profile; one that a program puts together may not (a key of another form, an integer too great), and
//! then the bytes that it gives are refused by every reader, this one too.

mod read;
mod write;

pub use read::{JcsError, JcsFault, MAX_DEPTH, MAX_KEY_LEN};

pub(crate) use read::is_key;

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

impl Value {
    /// Reads the canonical bytes of an object, and nothing else.
    pub fn parse_canonical(bytes: &[u8]) -> Result<Self, JcsError> {
        read::object(bytes)
    }

    /// Its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        write::value(self, &mut out);
        out
    }

    /// An object of these members, in whatever order they come; no key may come twice.
    pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        let mut members: Vec<_> = members.into_iter().map(|(key, value)| (key.into(), value)).collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Object(members)
    }

    /// An integer from an unsigned one; what is above the profile's greatest stays above it.
    pub fn uint(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// The member with this key, of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let members = self.as_object()?;
        let at = members.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&members[at].1)
    }

    /// Its text, of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// Its value, of an integer.
    pub const fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// Its value, of an integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|value| u64::try_from(value).ok())
    }

    /// Its value, of `true` and `false`.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// Its items, of a list.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// Its members, of an object.
    pub fn as_object(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}
