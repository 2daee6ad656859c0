//! Verifier keys and key names.

use super::*;

#[test]
fn each_way_to_be_wrong() {
    let good = "log.example/soul1+a10fe1a2+AZf/yIPIC+5yN++V2bm3A9StY+YKIeYFhnaCt1uLP0MD";
    assert_eq!(Vkey::parse(good).unwrap().to_string(), good);
    assert_eq!(log_signer().vkey().to_string(), good);
    let key = &good["log.example/soul1+a10fe1a2+".len()..];
    let cases = [
        ("nothing", String::new(), TlogError::Vkey),
        ("no key", "log.example/soul1+a10fe1a2".into(), TlogError::Vkey),
        ("empty key", "log.example/soul1+a10fe1a2+".into(), TlogError::Vkey),
        ("type without a key", "log.example/soul1+a10fe1a2+AQ==".into(), TlogError::VkeyKey),
        ("upper-case id", format!("log.example/soul1+A10FE1A2+{key}"), TlogError::Vkey),
        ("short id", format!("log.example/soul1+a10fe1+{key}"), TlogError::Vkey),
        ("long id", format!("log.example/soul1+00a10fe1a2+{key}"), TlogError::Vkey),
        ("no padding", good.replace("AZf", "AAZf"), TlogError::Vkey),
        ("newline after it", format!("{good}\n"), TlogError::Vkey),
        ("empty name", format!("+a10fe1a2+{key}"), TlogError::KeyName),
        ("no-break space in the name", format!("a\u{a0}b+a10fe1a2+{key}"), TlogError::KeyName),
        ("too long", format!("{}+a10fe1a2+{key}", "x".repeat(9000)), TlogError::Vkey),
    ];
    for (why, text, error) in cases {
        assert_eq!(Vkey::parse(&text), Err(error), "{why}");
    }
    let (written, computed) = (KeyId::from_be_bytes([0; 4]), log_signer().key_id());
    let wrong_ids = [
        ("other id", good.replace("a10fe1a2", "00000000"), written, computed),
        ("other name", good.replace("soul1", "soul2"), computed, KeyId::from_be_bytes([0x78, 0x35, 0xb0, 0xf6])),
    ];
    for (why, text, written, computed) in wrong_ids {
        assert_eq!(Vkey::parse(&text), Err(TlogError::VkeyId { written, computed }), "{why}");
    }
    let spare_bits = Vkey::new(name("a"), VkeyType::Other(9), &[0]).unwrap().to_string();
    assert!(Vkey::parse(&spare_bits).is_ok() && spare_bits.ends_with("CQA="));
    assert_eq!(Vkey::parse(&spare_bits.replace("CQA=", "CQB=")), Err(TlogError::Vkey));
}

#[test]
fn a_key_that_judges_nothing_is_no_known_key() {
    for kind in [VkeyType::Other(2), VkeyType::Other(0xff)] {
        let vkey = Vkey::new(name("a"), kind, &[1; 40]).unwrap();
        assert_eq!(Vkey::parse(&vkey.to_string()), Ok(vkey.clone()));
        assert_eq!(NoteVerifier::new(vkey), Err(TlogError::UnsupportedKey { kind: kind.byte() }));
    }
    for kind in [VkeyType::Ed25519, VkeyType::CosignatureV1] {
        assert_eq!(Vkey::new(name("a"), kind, &[1; 33]), Err(TlogError::VkeyKey));
        let low_order = Vkey::new(name("a"), kind, &[0; 32]).unwrap();
        assert_eq!(NoteVerifier::new(low_order), Err(TlogError::VkeyKey));
    }
    assert_eq!(Vkey::new(name("a"), VkeyType::Other(1), &[1; 33]), Err(TlogError::VkeyKey));
}

#[test]
fn names() {
    for bad in ["", " ", "a b", "a+b", "a\tb", "a\n", "a\u{0}", "a\u{85}b", "a\u{2003}b", "a\u{3000}"] {
        assert_eq!(KeyName::parse(bad), Err(TlogError::KeyName), "{bad:?}");
    }
    assert_eq!(name("é.example/—").as_str(), "é.example/—");
}
