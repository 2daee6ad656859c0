//! Bodies: the profile of JCS (§3) and the form of every field (§4), as far as the body alone tells.

use serde_json::{Map, Value};

use super::link::{ACTION, Link, hmac_commit, inline_commit};

const MAX_INT: i64 = (1 << 53) - 1;

/// The body of a link that keeps §3 and the forms of §4. A body beside the log that is not given is not judged: null.
pub(crate) fn read(link: &Link, beside: Option<&(Vec<u8>, Vec<u8>)>) -> Option<Value> {
    let header = &link.header;
    if header.body_len == 0 {
        return (header.body_commit == [0; 32]).then_some(Value::Null);
    }
    if link.is_inline() {
        if inline_commit(&link.body) != header.body_commit {
            return None;
        }
        return parse(&link.body).filter(|body| is_formed(header.link_type, body));
    }
    let Some((salt, body)) = beside else { return Some(Value::Null) };
    let fits = body.len() as u64 == u64::from(header.body_len) && hmac_commit(salt, body) == header.body_commit;
    let parsed = parse(body).filter(|body| is_formed(ACTION, body));
    (fits && parsed.is_some()).then_some(Value::Null)
}

/// Reads canonical bytes under the profile.
fn parse(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let fits = value.is_object() && keeps_profile(&value, 1) && canonical(&value) == bytes;
    fits.then_some(value)
}

fn keeps_profile(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|n| (-MAX_INT..=MAX_INT).contains(&n)),
        Value::Array(items) => depth <= 16 && items.iter().all(|item| keeps_profile(item, depth + 1)),
        Value::Object(members) => {
            let good = |(key, value): (&String, &Value)| is_key(key) && keeps_profile(value, depth + 1);
            depth <= 16 && members.iter().all(good)
        }
        _ => true,
    }
}

/// JCS of what holds no floats and whose keys are ASCII.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    match value {
        Value::Array(items) => join(b'[', items.iter().map(canonical), b']'),
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort();
            let member = |key: &String| [canonical(&Value::String(key.clone())), canonical(&members[key])].join(&b':');
            join(b'{', keys.into_iter().map(member), b'}')
        }
        other => other.to_string().into_bytes(),
    }
}

fn join(open: u8, parts: impl Iterator<Item = Vec<u8>>, close: u8) -> Vec<u8> {
    let inner = parts.collect::<Vec<_>>().join(&b',');
    [&[open][..], &inner, &[close]].concat()
}

fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9') || b"_.:/-".contains(&b))
}

fn is_formed(link_type: u16, body: &Value) -> bool {
    let Some(members) = body.as_object() else { return false };
    if members.get("v") != Some(&Value::from(1)) {
        return false;
    }
    if link_type == ACTION {
        return true;
    }
    let full = members.iter().all(|(key, value)| if key == "metadata" { !is_empty(value) } else { is_full(value) });
    full && match link_type {
        1 => genesis(members),
        2 => keys(members),
        3 => recover(members),
        4 => has(members, &["reason"], &["recovery", "suspect_from"]) && all(members, &[("reason", reason)]),
        5 => profile(members),
        0x0101 => has(members, &["subject", "link"], &[]),
        0x0102 => feedback(members),
        0x0103 => attest(members),
        0x0104 => has(members, &["link"], &[]),
        0x0105 => notice(members),
        0x0200 => policy(members),
        _ => false,
    } && all(members, COMMON)
}

/// Fields that mean the same wherever they are.
/// A member, and whether a value will do for it.
type Field = (&'static str, fn(&Value) -> bool);

const COMMON: &[Field] = &[
    ("pop", pops),
    ("next", is_hex32),
    ("recovery", is_b64_32),
    ("controller", is_hex32),
    ("custodian", is_hex32),
    ("subject", is_hex32),
    ("link", is_link),
    ("suspect_from", |v| v.as_u64().is_some_and(|n| n > 1)),
    ("comment_commit", is_hex32),
    ("evidence", is_hex32),
    ("reason", reason),
];

fn genesis(members: &Map<String, Value>) -> bool {
    has(members, &["keys"], &["name", "next", "guardians", "controller", "custodian", "pop"])
        && all(members, &[("name", is_handle), ("keys", is_key_list), ("guardians", guardians)])
}

fn keys(members: &Map<String, Value>) -> bool {
    has(members, &["keys"], &["next", "custodian", "pop", "suspect_from"]) && all(members, &[("keys", is_key_list)])
}

fn recover(members: &Map<String, Value>) -> bool {
    has(members, &["keys", "next", "recovery"], &["custodian", "pop", "suspect_from"])
        && all(members, &[("keys", is_key_list)])
}

fn profile(members: &Map<String, Value>) -> bool {
    let fields = ["display_name", "kind", "owner", "organization", "capabilities", "description", "version"];
    has(members, &[], &[&fields[..], &["endpoints", "credentials", "hashes", "metadata"]].concat())
        && all(
            members,
            &[
                ("display_name", |v| chars(v, 128)),
                ("owner", |v| chars(v, 128)),
                ("organization", |v| chars(v, 128)),
                ("kind", |v| chars(v, 64)),
                ("version", |v| chars(v, 64)),
                ("description", |v| chars(v, 500)),
                ("capabilities", capabilities),
                ("endpoints", |v| objects(v, 16, endpoint)),
                ("credentials", |v| objects(v, 8, credential)),
                ("hashes", |v| {
                    let good = |o: &Map<_, _>| o.len() <= 16 && o.iter().all(|(k, v)| is_label(k) && is_hex32(v));
                    v.as_object().is_some_and(good)
                }),
                ("metadata", |v| v.is_object() && canonical(v).len() <= 4096),
            ],
        )
}

fn feedback(members: &Map<String, Value>) -> bool {
    has(members, &["subject", "value"], &["tag", "link", "comment_commit"])
        && all(
            members,
            &[("value", |v| v.as_u64().is_some_and(|n| n <= 100)), ("tag", |v| v.as_str().is_some_and(is_key))],
        )
}

fn attest(members: &Map<String, Value>) -> bool {
    has(members, &["subject", "capabilities", "scope", "expires_ms"], &["conditions", "evidence"])
        && all(
            members,
            &[
                ("capabilities", capabilities),
                ("scope", |v| chars(v, 256)),
                ("expires_ms", Value::is_u64),
                ("conditions", conditions),
            ],
        )
}

fn notice(members: &Map<String, Value>) -> bool {
    const KINDS: &str = "suspend unsuspend revoke violation verified unverified bind release";
    if !has(members, &["subject", "kind"], &["severity", "blocked", "reason", "name", "evidence"]) {
        return false;
    }
    let Some(kind) = members["kind"].as_str().filter(|kind| is_word(kind, KINDS)) else { return false };
    let [is_named, is_violation] = [kind == "bind" || kind == "release", kind == "violation"];
    members.contains_key("name") == is_named
        && members.contains_key("severity") == is_violation
        && (is_violation || !members.contains_key("blocked"))
        && all(
            members,
            &[
                ("name", |v| v.as_str().is_some_and(is_domain)),
                ("severity", |v| v.as_str().is_some_and(|s| is_word(s, "critical high medium low"))),
                ("blocked", Value::is_boolean),
            ],
        )
}

fn policy(members: &Map<String, Value>) -> bool {
    has(members, &[], &["registrars", "pretrust", "scoring", "rules"])
        && all(
            members,
            &[
                ("registrars", |v| identities(v, 16)),
                ("pretrust", |v| identities(v, 64)),
                ("scoring", |v| v == "beta/1"),
                ("rules", |v| v == 1),
            ],
        )
}

fn reason(value: &Value) -> bool {
    const REASONS: &str = "key_compromise cessation_of_operation affiliation_changed superseded privilege_withdrawn \
                           certificate_hold aa_compromise unspecified";
    value.as_str().is_some_and(|text| is_word(text, REASONS))
}

fn guardians(value: &Value) -> bool {
    let Some(members) = value.as_object() else { return false };
    let exact = members.len() == 2 && members.contains_key("ids") && members.contains_key("threshold");
    if !exact || !identities(&members["ids"], 8) {
        return false;
    }
    let count = members["ids"].as_array().map_or(0, Vec::len) as u64;
    members["threshold"].as_u64().is_some_and(|m| (1..=count).contains(&m))
}

fn is_key_list(value: &Value) -> bool {
    let Some(list) = value.as_array() else { return false };
    let each = list.iter().all(|key| {
        let Some(key) = key.as_object() else { return false };
        key.len() == 3
            && key.get("alg") == Some(&Value::from("ed25519"))
            && key.get("pk").is_some_and(is_b64_32)
            && key.get("roles").is_some_and(|roles| {
                [["act"].as_slice(), &["admin"], &["act", "admin"]].iter().any(|good| *roles == Value::from(*good))
            })
    });
    if !each || !(1..=16).contains(&list.len()) {
        return false;
    }
    let kids: Vec<_> = list.iter().map(|key| super::link::kid_of(&b64_32(&key["pk"]).unwrap())).collect();
    let has_admin = list.iter().any(|key| key["roles"].as_array().unwrap().contains(&Value::from("admin")));
    has_admin && kids.windows(2).all(|pair| pair[0] < pair[1])
}

fn pops(value: &Value) -> bool {
    let Some(list) = value.as_array() else { return false };
    let each = list.iter().all(|pop| {
        let Some(pop) = pop.as_object() else { return false };
        pop.len() == 2
            && pop.get("kid").is_some_and(is_hex32)
            && pop.get("sig").and_then(Value::as_str).and_then(b64u).is_some_and(|sig| sig.len() == 64)
    });
    each && list.windows(2).all(|pair| pair[0]["kid"].as_str() < pair[1]["kid"].as_str())
}

fn endpoint(members: &Map<String, Value>) -> bool {
    members.len() == 2
        && members.get("protocol").is_some_and(|v| chars(v, 32))
        && members.get("url").is_some_and(|v| chars(v, 2048))
}

fn credential(members: &Map<String, Value>) -> bool {
    members.keys().all(|key| ["type", "value", "proof"].contains(&key.as_str()))
        && members.get("type").is_some_and(|v| chars(v, 64))
        && members.get("value").is_some_and(|v| chars(v, 4096))
        && members.get("proof").is_none_or(|v| chars(v, 4096))
}

fn conditions(value: &Value) -> bool {
    let known = ["require_variants", "require_hosts", "exclude_hosts"];
    let list = |v: &Value| {
        v.as_array()
            .is_some_and(|items| items.len() <= 16 && items.iter().all(|item| chars(item, 253)) && sorted(items))
    };
    value.as_object().is_some_and(|o| o.iter().all(|(key, v)| known.contains(&key.as_str()) && list(v)))
}

fn capabilities(value: &Value) -> bool {
    let good = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9') || b"_.:/*-".contains(&b))
    };
    let each = |items: &Vec<Value>| items.len() <= 64 && items.iter().all(|item| item.as_str().is_some_and(good));
    value.as_array().is_some_and(|items| each(items) && sorted(items))
}

fn identities(value: &Value, most: usize) -> bool {
    value.as_array().is_some_and(|ids| ids.len() <= most && ids.iter().all(is_hex32) && sorted(ids))
}

fn sorted(items: &[Value]) -> bool {
    items.windows(2).all(|pair| pair[0].as_str().map(str::as_bytes) < pair[1].as_str().map(str::as_bytes))
}

fn objects(value: &Value, most: usize, good: fn(&Map<String, Value>) -> bool) -> bool {
    let each = |items: &Vec<Value>| items.iter().all(|item| item.as_object().is_some_and(good));
    value.as_array().is_some_and(|items| items.len() <= most && each(items))
}

fn is_link(value: &Value) -> bool {
    let good = |o: &Map<String, Value>| {
        o.len() == 2
            && o.get("curr").is_some_and(is_hex32)
            && o.get("seqno").and_then(Value::as_u64).is_some_and(|n| n > 0)
    };
    value.as_object().is_some_and(good)
}

fn has(members: &Map<String, Value>, required: &[&str], optional: &[&str]) -> bool {
    let known = |key: &String| key == "v" || [required, optional].concat().contains(&key.as_str());
    required.iter().all(|key| members.contains_key(*key)) && members.keys().all(known)
}

fn all(members: &Map<String, Value>, fields: &[Field]) -> bool {
    fields.iter().all(|(key, good)| members.get(*key).is_none_or(good))
}

fn is_full(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_full) && !is_empty(value),
        Value::Object(members) => members.values().all(is_full) && !is_empty(value),
        other => !is_empty(other),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn chars(value: &Value, most: usize) -> bool {
    value.as_str().is_some_and(|text| text.chars().count() <= most)
}

fn is_word(text: &str, words: &str) -> bool {
    words.split_whitespace().any(|word| word == text)
}

fn is_label(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b != b'-' && b != b'_');
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

fn is_handle(value: &Value) -> bool {
    value.as_str().is_some_and(|text| is_label(text) && !is_word(text, "all system root admin log"))
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

fn is_hex32(value: &Value) -> bool {
    id(value).is_some()
}

/// 32 bytes in lowercase hex.
pub(crate) fn id(value: &Value) -> Option<[u8; 32]> {
    let text = value.as_str().filter(|text| text.len() == 64)?;
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> =
        text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    bytes?.try_into().ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn is_b64_32(value: &Value) -> bool {
    b64_32(value).is_some()
}

/// 32 bytes in URL-safe base64.
pub(crate) fn b64_32(value: &Value) -> Option<[u8; 32]> {
    b64u(value.as_str()?)?.try_into().ok()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn b64u(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for c in text.bytes() {
        bits = bits << 6 | ALPHABET.iter().position(|&known| known == c)? as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (write_b64u(&bytes) == text).then_some(bytes)
}

pub(crate) fn write_b64u(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}
