//! Readers of single fields. Each says what is wrong with the value at hand; [`Fields`] adds where it lies.

use super::error::{BodyError, FieldFault, Form, Kind};
use crate::encoding::{MAX_SAFE_INTEGER, b64u_decode, hex_decode_32};
use crate::soul::ids::{Curr, Identity, Seqno};
use crate::soul::jcs::{Value, is_key};

use super::types::LinkRef;

/// Items of a list of capabilities.
const MAX_CAPABILITIES: usize = 64;
/// Bytes of a capability.
const MAX_CAPABILITY_LEN: usize = 64;
/// Bytes of a label.
const MAX_LABEL_LEN: usize = 63;
/// Bytes of a domain name.
const MAX_DOMAIN_LEN: usize = 253;

type Read<T> = Result<T, BodyError>;

/// The members of an object all of whose fields are known.
pub(super) struct Fields<'a>(&'a [(String, Value)]);

impl<'a> Fields<'a> {
    /// The members of `value`; a field that is not in `known` is refused.
    pub(super) fn of(value: &'a Value, known: &[&str]) -> Read<Self> {
        let members = object(value)?;
        match members.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(BodyError::of(key, FieldFault::Unknown)),
            None => Ok(Self(members)),
        }
    }

    /// What `read` makes of a field that may be absent.
    pub(super) fn optional<T>(&self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<Option<T>> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| read(value).map_err(|error| error.within(name))).transpose()
    }

    /// What `read` makes of a field that has to be there.
    pub(super) fn required<T>(&self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<T> {
        self.optional(name, read)?.ok_or_else(|| BodyError::of(name, FieldFault::Missing))
    }

    /// The items of a list that may be absent.
    pub(super) fn items<T>(&self, name: &str, read: impl FnOnce(&Value) -> Read<Vec<T>>) -> Read<Vec<T>> {
        Ok(self.optional(name, read)?.unwrap_or_default())
    }
}

/// The members of an object that is not empty.
pub(super) fn object(value: &Value) -> Read<&[(String, Value)]> {
    match value.as_object() {
        Some([]) => Err(BodyError::here(FieldFault::Empty)),
        Some(members) => Ok(members),
        None => Err(BodyError::here(FieldFault::Kind(Kind::Object))),
    }
}

/// A list of 1 to `max` items, in whatever order.
pub(super) fn list<'a, T>(value: &'a Value, max: usize, read: impl Fn(&'a Value) -> Read<T>) -> Read<Vec<T>> {
    let items = value.as_array().ok_or(BodyError::here(FieldFault::Kind(Kind::List)))?;
    if items.is_empty() {
        return Err(BodyError::here(FieldFault::Empty));
    }
    if items.len() > max {
        return Err(BodyError::here(FieldFault::TooMany { max }));
    }
    items.iter().enumerate().map(|(at, item)| read(item).map_err(|error| error.at(at))).collect()
}

/// A list of 1 to `max` items, each with a greater `key` than the one before.
pub(super) fn sorted_list<'a, T, K: Ord>(
    value: &'a Value,
    max: usize,
    read: impl Fn(&'a Value) -> Read<T>,
    key: impl Fn(&T) -> K,
) -> Read<Vec<T>> {
    let items = list(value, max, read)?;
    match items.windows(2).position(|pair| key(&pair[0]) >= key(&pair[1])) {
        Some(before) => Err(BodyError::here(FieldFault::Unsorted).at(before + 1)),
        None => Ok(items),
    }
}

/// A sorted list of identities.
pub(super) fn identities(max: usize) -> impl FnOnce(&Value) -> Read<Vec<Identity>> {
    move |value| sorted_list(value, max, identity, |id| *id)
}

/// A sorted list of texts.
pub(super) fn texts(max: usize, max_chars: usize) -> impl FnOnce(&Value) -> Read<Vec<String>> {
    move |value| {
        let texts = sorted_list(value, max, borrowed(max_chars), |text| *text)?;
        Ok(texts.into_iter().map(str::to_owned).collect())
    }
}

/// A sorted list of capabilities.
pub(super) fn capabilities(value: &Value) -> Read<Vec<String>> {
    let texts = sorted_list(value, MAX_CAPABILITIES, |item| of_form(item, Form::Capability, is_capability), |t| *t)?;
    Ok(texts.into_iter().map(str::to_owned).collect())
}

/// A text of 1 to `max_chars` characters.
pub(super) fn text(max_chars: usize) -> impl Fn(&Value) -> Read<String> {
    move |value| borrowed(max_chars)(value).map(str::to_owned)
}

fn borrowed<'a>(max_chars: usize) -> impl Fn(&'a Value) -> Read<&'a str> {
    move |value| {
        let text = string(value)?;
        if text.chars().count() > max_chars {
            return Err(BodyError::here(FieldFault::TooLong { max: max_chars }));
        }
        Ok(text)
    }
}

/// One label.
pub(super) fn label(value: &Value) -> Read<String> {
    of_form(value, Form::Label, is_label).map(str::to_owned)
}

/// A domain name.
pub(super) fn domain_name(value: &Value) -> Read<String> {
    of_form(value, Form::DomainName, is_domain_name).map(str::to_owned)
}

/// A text of the form of a key.
pub(super) fn tag(value: &Value) -> Read<String> {
    of_form(value, Form::Tag, is_key).map(str::to_owned)
}

/// An integer from `min` to `max`.
pub(super) fn integer(min: u64, max: u64) -> impl Fn(&Value) -> Read<u64> {
    move |value| match value {
        Value::Int(_) => value
            .as_u64()
            .filter(|number| (min..=max).contains(number))
            .ok_or(BodyError::here(FieldFault::Range { min, max })),
        _ => Err(BodyError::here(FieldFault::Kind(Kind::Integer))),
    }
}

/// A place in a chain, from `min` on.
pub(super) fn seqno(min: u64) -> impl Fn(&Value) -> Read<Seqno> {
    move |value| integer(min, MAX_SAFE_INTEGER)(value).map(Seqno::new)
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Read<bool> {
    value.as_bool().ok_or(BodyError::here(FieldFault::Kind(Kind::Bool)))
}

/// A value of a closed set.
pub(super) fn one_of<T>(
    from_name: fn(&str) -> Option<T>,
    names: &'static [&'static str],
) -> impl Fn(&Value) -> Read<T> {
    move |value| from_name(string(value)?).ok_or(BodyError::here(FieldFault::NotOneOf(names)))
}

/// 32 bytes in hex.
pub(super) fn hex32(value: &Value) -> Read<[u8; 32]> {
    hex_decode_32(string(value)?).ok_or(BodyError::here(FieldFault::Form(Form::Hex32)))
}

/// An identity.
pub(super) fn identity(value: &Value) -> Read<Identity> {
    hex32(value).map(Identity::from_bytes)
}

/// `N` bytes in URL-safe base64.
pub(super) fn b64u<const N: usize>(form: Form) -> impl Fn(&Value) -> Read<[u8; N]> {
    move |value| {
        let bytes = b64u_decode(string(value)?).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(BodyError::here(FieldFault::Form(form)))
    }
}

/// A link by its id and its place.
pub(super) fn link_ref(value: &Value) -> Read<LinkRef> {
    let fields = Fields::of(value, &["curr", "seqno"])?;
    Ok(LinkRef {
        curr: Curr::from_bytes(fields.required("curr", hex32)?),
        seqno: fields.required("seqno", seqno(Seqno::FIRST.get()))?,
    })
}

fn of_form(value: &Value, form: Form, holds: fn(&str) -> bool) -> Read<&str> {
    Some(string(value)?).filter(|text| holds(text)).ok_or(BodyError::here(FieldFault::Form(form)))
}

fn string(value: &Value) -> Read<&str> {
    match value.as_str() {
        Some("") => Err(BodyError::here(FieldFault::Empty)),
        Some(text) => Ok(text),
        None => Err(BodyError::here(FieldFault::Kind(Kind::Text))),
    }
}

/// Whether `text` is a label: 1 to 63 of `[a-z0-9_-]`, neither starting nor ending with `-` or `_`.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL_LEN && bytes.iter().all(|byte| inner(*byte)) && outer(bytes.first()) && outer(bytes.last())
}

/// Whether `text` is a domain name: 2 or more labels joined by dots, at most 253 bytes.
pub fn is_domain_name(text: &str) -> bool {
    text.len() <= MAX_DOMAIN_LEN && text.contains('.') && text.split('.').all(is_label)
}

fn is_capability(text: &str) -> bool {
    (1..=MAX_CAPABILITY_LEN).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b':' | b'/' | b'*' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_domain_names() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "a-b_c", &longest] {
            assert!(is_label(good) && !is_domain_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "_a", "a_", "A", "a b", "é", "a.b", &"a".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
        let full = [longest.as_str(), &longest, &longest, &"a".repeat(61)].join(".");
        assert_eq!(full.len(), 253);
        assert!(is_domain_name(&full) && is_domain_name("a.b"));
        for bad in ["", ".", "a.", ".a", "a..b", "-a.b", "a.B", &format!("{full}a")] {
            assert!(!is_domain_name(bad), "{bad}");
        }
    }

    #[test]
    fn capabilities_have_their_own_alphabet() {
        assert!(is_capability("files:read/*.x_y-z") && is_capability(&"a".repeat(64)));
        for bad in ["", "A", "a b", "é", &"a".repeat(65)] {
            assert!(!is_capability(bad), "{bad}");
        }
    }
}
