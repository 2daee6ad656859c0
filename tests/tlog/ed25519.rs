//! The strict rule, against the vectors of others.

use serde_json::Value;
use soulchain::ed25519;
use soulchain::encoding::hex_decode;

fn lines(file: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(crate::vectors(&format!("ed25519/{file}"))?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn hex(value: &Value) -> Vec<u8> {
    hex_decode(value.as_str().unwrap()).unwrap()
}

/// Verifies each case and compares; returns how many were accepted.
fn check(cases: &[Value], key: &str, sig: &str, message: impl Fn(&Value) -> Vec<u8>) -> usize {
    let mut accepted = 0;
    for case in cases {
        let (key, sig) = (hex(&case[key]).try_into().unwrap(), hex(&case[sig]).try_into().unwrap());
        let verdict = ed25519::verify(&key, &message(case), &sig);
        assert_eq!(Some(verdict), case["accept"].as_bool(), "{case}");
        accepted += usize::from(verdict);
    }
    accepted
}

#[test]
fn cctv() {
    let Some(cases) = lines("cctv.jsonl") else { return };
    let accepted = check(&cases, "key", "sig", |case| case["msg"].as_str().unwrap().into());
    assert_eq!((cases.len(), accepted), (914, 43));
}

#[test]
fn speccheck() {
    let Some(cases) = lines("speccheck.jsonl") else { return };
    assert_eq!((cases.len(), check(&cases, "pub_key", "signature", |case| hex(&case["message"]))), (12, 1));
}

/// No verdict stands in this file: without the cofactor, a key of mixed order verifies where its small part
/// vanishes.
#[test]
fn semantics() {
    let Some(cases) = lines("semantics.jsonl") else { return };
    let accepted = ["honest", "mixed-order A, 8|k (both equations)"];
    for case in &cases {
        let (key, sig) = (hex(&case["a"]).try_into().unwrap(), hex(&case["sig"]).try_into().unwrap());
        let verdict = ed25519::verify(&key, &hex(&case["m"]), &sig);
        assert_eq!(verdict, accepted.contains(&case["name"].as_str().unwrap()), "{case}");
    }
    assert_eq!(cases.len(), 11);
}
