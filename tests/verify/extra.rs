//! `extra` as it is read and written.

use serde_json::json;
use soulchain::tlog::TlogProof;
use soulchain::verify::Extra;

use super::{Parts, cases, file};

/// What can be read is written as it was; that goes for refused proofs too.
#[test]
fn what_is_read_is_written_the_same() {
    let Some(cases) = cases() else { return };
    let mut read = 0;
    for case in cases {
        let bytes = file(case["file"].as_str().unwrap()).unwrap();
        let proof = TlogProof::parse(&bytes).unwrap();
        let Some(extra) = proof.extra() else { continue };
        match Extra::parse(extra) {
            Ok(parsed) => {
                assert_eq!(parsed.to_bytes(), extra, "{}", case["name"]);
                let again = TlogProof::new(
                    Some(parsed.to_bytes()),
                    proof.index(),
                    proof.path().to_vec(),
                    proof.checkpoint().clone(),
                );
                assert_eq!(again.unwrap().to_string().as_bytes(), bytes, "{}", case["name"]);
                read += 1;
            }
            Err(_) => assert_eq!(case["fails"], "format", "{}", case["name"]),
        }
    }
    assert!(read > 120, "{read}");
}

/// Whatever one byte of `extra` is changed to: it is refused, or read as something else that is written so.
#[test]
fn no_two_spellings() {
    for name in ["link-body.tlog-proof", "link-key-events-two.tlog-proof", "absent-name.tlog-proof"] {
        let Some(proof) = file(name) else { return };
        let extra = Parts::of(&proof).extra;
        for at in 0..extra.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut other = extra.clone();
                other[at] ^= flip;
                if let Ok(parsed) = Extra::parse(&other) {
                    assert_eq!(parsed.to_bytes(), other, "{name}, byte {at}");
                }
            }
        }
    }
}

#[test]
fn an_empty_subtree_is_written_without_leaf() {
    let Some(proof) = file("absent-name.tlog-proof") else { return };
    let empty = Parts::of(&proof).edit(|extra| {
        let map = extra["state"]["map"].as_object_mut().unwrap();
        map.remove("key");
        map.remove("value");
        map.insert("kind".to_owned(), json!("empty"));
    });
    assert_eq!(Extra::parse(&empty.extra).unwrap().to_bytes(), empty.extra);
}
