//! Names that look like others.
//!
//! Two names are lookalikes if they differ and their *folded* forms are the same or near. Folding drops `-`, `_` and `.`,
//! and makes one of what is easily taken for another: `0`→`o`, `1` and `i`→`l`, `2`→`z`, `5`→`s`, `8`→`b`, `rn`→`m`,
//! `vv`→`w`, `cl`→`d`. Near is: one insertion, deletion, replacement or swap of neighbours where the watched name has 4 to 8
//! folded characters, two of them from 9 on, none below 4.

/// Whether a name looks like a watched one.
pub fn looks_like(watched: &str, name: &str) -> bool {
    if watched == name {
        return false;
    }
    let (one, other) = (fold(watched), fold(name));
    let allowed = match one.len() {
        0..4 => 0,
        4..9 => 1,
        _ => 2,
    };
    one.len().abs_diff(other.len()) <= allowed && distance(&one, &other) <= allowed
}

fn fold(name: &str) -> Vec<u8> {
    let mut folded: Vec<u8> = Vec::with_capacity(name.len());
    for byte in name.bytes() {
        let byte = match byte {
            b'-' | b'_' | b'.' => continue,
            b'0' => b'o',
            b'1' | b'i' => b'l',
            b'2' => b'z',
            b'5' => b's',
            b'8' => b'b',
            other => other,
        };
        let pair = match (folded.last(), byte) {
            (Some(b'r'), b'n') => Some(b'm'),
            (Some(b'v'), b'v') => Some(b'w'),
            (Some(b'c'), b'l') => Some(b'd'),
            _ => None,
        };
        if pair.is_some() {
            folded.pop();
        }
        folded.push(pair.unwrap_or(byte));
    }
    folded
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other, none touching what another did.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut next = vec![i];
        for j in 1..=other.len() {
            let replaced = row[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = core::mem::replace(&mut row, next);
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike() {
        for (watched, name) in [
            ("paypal", "paypa1"),
            ("paypal", "pay-pal"),
            ("modern", "modem"),
            ("scout", "scuot"),
            ("scout", "scouts"),
            ("log.example", "logexample"),
            ("assistant", "asistannt"),
            ("abc", "a-bc"),
        ] {
            assert!(looks_like(watched, name), "{watched} {name}");
        }
        for (watched, name) in
            [("scout", "scout"), ("scout", "scalp"), ("abc", "abd"), ("assistant", "resistance"), ("scout", "sco")]
        {
            assert!(!looks_like(watched, name), "{watched} {name}");
        }
    }
}
