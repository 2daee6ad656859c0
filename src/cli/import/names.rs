//! From the names that traces give agents to handles.

use crate::encoding::hex_encode;
use crate::hash::sha256;
use crate::soul::is_label;

const MAX_LABEL_LEN: usize = 63;
const DIGEST_DIGITS: usize = 8;
/// No agent can have these.
const RESERVED: [&str; 6] = ["all", "system", "root", "admin", "log", "registrar"];

/// The handle of an agent of this name: the name itself where it can be one, else what is left of it and a few digits of
/// its digest, so that two names never become one.
pub(super) fn handle(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}{name}");
    if is_label(&whole) && !RESERVED.contains(&&*whole) {
        return whole;
    }
    let digest = hex_encode(&sha256(&[name.as_bytes()]));
    let kept: String = whole.chars().filter_map(kept).take(MAX_LABEL_LEN - DIGEST_DIGITS - 1).collect();
    let kept = kept.trim_matches(['-', '_']);
    let kept = if kept.is_empty() { "agent" } else { kept };
    format!("{kept}-{}", &digest[..DIGEST_DIGITS])
}

fn kept(c: char) -> Option<char> {
    match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_' | '-') => Some(c),
        c if c.is_ascii() => Some('-'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles() {
        assert_eq!(handle("", "airline-gpt4o-0"), "airline-gpt4o-0");
        assert_eq!(handle("x-", "a"), "x-a");
        for name in ["Scout 🦊", "scout ", "🦊", "admin", "a/b", "-a", &"n".repeat(200), ""] {
            let made = handle("", name);
            assert!(is_label(&made) && made != name, "{name} {made}");
        }
        assert_ne!(handle("", "Scout A"), handle("", "Scout-A"));
    }
}
