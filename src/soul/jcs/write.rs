//! The writer (RFC 8785, section 3.2).

use super::Value;
use super::read::plain_run;

/// Appends the canonical bytes of `value`.
pub(super) fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => string(text, out),
        Value::Array(items) => array(items, out),
        Value::Object(members) => object(members, out),
    }
}

fn array(items: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        value(item, out);
    }
    out.push(b']');
}

fn object(members: &[(String, Value)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (n, (key, member)) in members.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        string(key, out);
        out.push(b':');
        value(member, out);
    }
    out.push(b'}');
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (plain, after) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        rest = after;
        if let [special, after @ ..] = rest {
            escape(*special, out);
            rest = after;
        }
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
