//! Canonical JSON: the vectors, and a twin made of two other crates.

use super::{shared, skipped, text, vectors};
use proptest::prelude::*;
use serde_json::Value as Json;
use soulchain::encoding::b64_decode;
use soulchain::soul::jcs::{JcsFault, Value};

#[test]
fn profile_vectors() {
    let Some(vectors) = vectors("jcs_profile.json") else { return };
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 60);
    for case in cases {
        let bytes = b64_decode(text(case, "bytes")).unwrap();
        let read = Value::parse_canonical(&bytes);
        assert_eq!(read.is_ok(), case["accept"].as_bool().unwrap(), "{}: {read:?}", case["why"]);
        assert_eq!(read.is_ok(), is_canonical_twin(&bytes), "the twin: {}", case["why"]);
        if let Ok(value) = read {
            assert_eq!(value.to_bytes(), bytes, "{}", case["why"]);
        }
    }
}

/// All outputs of the RFC's authors leave the profile (floats, other keys, a list at the top); their strings do not.
#[test]
fn foreign_canonical_json() {
    let Some(folder) = shared("vectors/jcs") else { return skipped("vectors/jcs") };
    let mut strings = Vec::new();
    for name in ["arrays", "french", "structures", "unicode", "values", "weird"] {
        let input = std::fs::read(folder.join(format!("{name}.input.json"))).unwrap();
        let output = std::fs::read(folder.join(format!("{name}.output.json"))).unwrap();
        for bytes in [&input, &output] {
            assert!(Value::parse_canonical(bytes).is_err() && !is_canonical_twin(bytes), "{name}");
        }
        collect_strings(&serde_json::from_slice(&output).unwrap(), &mut strings);
    }
    assert!(strings.len() > 15);
    for string in strings {
        let expected = serde_json_canonicalizer::to_vec(&serde_json::json!({ "a": string })).unwrap();
        let value = Value::parse_canonical(&expected).unwrap();
        assert_eq!(value.get("a").and_then(Value::as_str), Some(string.as_str()));
        assert_eq!(value.to_bytes(), expected);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_canonical_and_reads_back(value in object()) {
        let bytes = value.to_bytes();
        prop_assert!(is_canonical_twin(&bytes), "{}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(Value::parse_canonical(&bytes), Ok(value));
    }

    #[test]
    fn reader_and_twin_agree_on_damaged_text(
        value in object(),
        at in any::<prop::sample::Index>(),
        put in prop_oneof![Just(None), prop::sample::select(&b"{}[]\",:\\u0aA1-.e \ntn\x01\xc3"[..]).prop_map(Some)],
        replace in any::<bool>(),
    ) {
        let mut bytes = value.to_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..at + usize::from(replace), put);
        let read = Value::parse_canonical(&bytes);
        prop_assert_eq!(read.is_ok(), is_canonical_twin(&bytes), "{}", String::from_utf8_lossy(&bytes));
        if let Err(error) = read {
            prop_assert!(error.offset <= bytes.len());
        }
    }
}

#[test]
fn a_built_object_is_sorted_and_found_in() {
    let value = Value::object([("b", Value::uint(1)), ("a.c", "x".into()), ("a", vec![true].into())]);
    assert_eq!(value.to_bytes(), br#"{"a":[true],"a.c":"x","b":1}"#);
    assert_eq!(value.get("b").and_then(Value::as_u64), Some(1));
    assert_eq!(value.get("c"), None);
    for beyond in [Value::uint(1 << 53), Value::uint(u64::MAX)] {
        let error = Value::parse_canonical(&Value::object([("a", beyond)]).to_bytes()).unwrap_err();
        assert_eq!(error.fault, JcsFault::TooGreat);
    }
}

fn collect_strings(json: &Json, out: &mut Vec<String>) {
    match json {
        Json::String(text) => out.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| collect_strings(item, out)),
        Json::Object(members) => members.iter().for_each(|(key, member)| {
            out.push(key.clone());
            collect_strings(member, out);
        }),
        _ => {}
    }
}

/// The profile by other means: read by one crate, written by another, then compared.
fn is_canonical_twin(bytes: &[u8]) -> bool {
    fn keeps_profile(json: &Json, depth: usize) -> bool {
        let is_key_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.:/-".contains(c);
        match json {
            Json::Number(number) => number.as_i64().is_some_and(|number| number.abs() < 1 << 53),
            Json::Array(items) => depth <= 16 && items.iter().all(|item| keeps_profile(item, depth + 1)),
            Json::Object(members) => {
                depth <= 16
                    && members.iter().all(|(key, member)| {
                        (1..=64).contains(&key.len())
                            && key.chars().all(is_key_char)
                            && keeps_profile(member, depth + 1)
                    })
            }
            _ => true,
        }
    }
    let Ok(json) = serde_json::from_slice::<Json>(bytes) else { return false };
    json.is_object()
        && keeps_profile(&json, 1)
        && serde_json_canonicalizer::to_vec(&json).is_ok_and(|canonical| canonical == bytes)
}

fn object() -> impl Strategy<Value = Value> {
    let int = prop_oneof![-3_i64..3, -(1_i64 << 53) + 1..1 << 53];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        int.prop_map(Value::Int),
        any::<String>().prop_map(Value::String),
        "[\\x00-\\x30\"\\\\é\u{2028}🧳]{0,40}".prop_map(Value::String),
    ];
    let value = leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array), members(inner)]
    });
    members(value)
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-z0-9_.:/-]{1,5}", value, 0..5).prop_map(Value::object)
}
