//! Signed notes.

use super::*;

const LINE: &str = "— a AAAAAQE=";

#[test]
fn each_way_to_be_wrong() {
    let ok = format!("t\n\n{LINE}\n");
    assert!(Note::parse(ok.as_bytes()).is_ok());
    for (why, text, error) in [
        ("nothing", String::new(), TlogError::Note),
        ("no text", format!("\n{LINE}\n"), TlogError::Note),
        ("no empty line", format!("t\n{LINE}\n"), TlogError::Note),
        ("no signature", "t\n\n".into(), TlogError::Note),
        ("no last newline", format!("t\n\n{LINE}"), TlogError::Note),
        ("tab", format!("a\tb\n\n{LINE}\n"), TlogError::Note),
        ("nul", format!("a\0b\n\n{LINE}\n"), TlogError::Note),
        ("carriage return", format!("t\r\n\n{LINE}\n"), TlogError::Note),
        ("empty line between signatures", format!("{ok}\n"), TlogError::Note),
        ("text below", format!("{ok}x\n"), TlogError::SignatureLine),
        ("no em dash", ok.replace('—', "-"), TlogError::SignatureLine),
        ("no space after it", ok.replace("— a", "—a"), TlogError::SignatureLine),
        ("two spaces before the name", ok.replace("— a", "—  a"), TlogError::SignatureLine),
        ("two spaces after it", ok.replace("a A", "a  A"), TlogError::SignatureLine),
        ("space after the signature", ok.replace("E=\n", "E= \n"), TlogError::SignatureLine),
        ("no name", ok.replace("— a ", "— "), TlogError::SignatureLine),
        ("plus in the name", ok.replace("— a", "— a+b"), TlogError::SignatureLine),
        ("no-break space in the name", ok.replace("— a", "— a\u{a0}b"), TlogError::SignatureLine),
        ("no padding", ok.replace("E=", "E"), TlogError::SignatureLine),
        ("stray bits", ok.replace("E=", "F="), TlogError::SignatureLine),
        ("id alone", ok.replace("AAAAAQE=", "AAAAAQ=="), TlogError::SignatureLine),
        ("half an id", ok.replace("AAAAAQE=", "AAA="), TlogError::SignatureLine),
    ] {
        assert_eq!(Note::parse(text.as_bytes()), Err(error), "{why}");
    }
    assert_eq!(Note::parse(&[b"\xff", ok.as_bytes()].concat()), Err(TlogError::Note));
}

#[test]
fn bounds() {
    let of = |lines: usize| format!("t\n\n{}", format!("{LINE}\n").repeat(lines));
    let mut full = Note::parse(of(MAX_SIGNATURES).as_bytes()).unwrap();
    assert_eq!(Note::parse(of(MAX_SIGNATURES + 1).as_bytes()), Err(TlogError::TooManySignatures));
    let signature = full.signatures()[0].clone();
    assert_eq!(full.add_signature(signature.clone()), Err(TlogError::TooManySignatures));

    let mut ml_dsa = Note::parse(of(1).as_bytes()).unwrap();
    let largest = NoteSignature::new(name(&"x".repeat(255)), KeyId::from_be_bytes([1; 4]), vec![1; 8 + 2420]).unwrap();
    (1..MAX_SIGNATURES).for_each(|_| ml_dsa.add_signature(largest.clone()).unwrap());

    let rest = format!("\n\n{LINE}\n");
    let longest = "t".repeat(MAX_NOTE_LEN - rest.len()) + &rest;
    let mut longest = Note::parse(longest.as_bytes()).unwrap();
    let len = MAX_NOTE_LEN + 1;
    assert_eq!(Note::parse(format!("t{longest}").as_bytes()), Err(TlogError::NoteLen { len }));
    let before = longest.clone();
    assert!(matches!(longest.add_signature(signature), Err(TlogError::NoteLen { .. })));
    assert_eq!(longest, before);
}

#[test]
fn what_is_signed_reads_back() {
    for text in ["a\n", "a\n\n", "\n", "é\n\n\nb\n"] {
        let mut note = Note::sign(text, &log_signer()).unwrap();
        note.add_signature(NoteSignature::new(name("b"), KeyId::from_be_bytes([0, 0, 0, 1]), vec![1]).unwrap())
            .unwrap();
        assert_eq!(note.text(), text);
        assert_eq!(Note::parse(note.as_str().as_bytes()).unwrap(), note);
        assert_eq!(note.verify(&[verifier(log_signer().vkey())]).unwrap().len(), 1);
    }
    for text in ["", "a", "a\tb\n", "a\r\n"] {
        assert_eq!(Note::sign(text, &log_signer()), Err(TlogError::Note), "{text:?}");
    }
    assert_eq!(NoteSignature::new(name("b"), log_signer().key_id(), vec![]), Err(TlogError::SignatureLine));
}

#[test]
fn a_key_is_known_by_name_and_id_together() {
    let key = verifier(log_signer().vkey());
    let note = signed().note().clone();
    let own = note.signatures()[0].clone();
    let forged = |name: &KeyName, id| NoteSignature::new(name.clone(), id, vec![9; 64]).unwrap();
    let with = |signature| {
        let mut note = note.clone();
        note.add_signature(signature).unwrap();
        note.verify([&key]).map(|signatures| signatures.len())
    };
    assert_eq!(with(forged(own.name(), KeyId::from_be_bytes([1; 4]))), Ok(1));
    assert_eq!(with(forged(&name("other"), own.key_id())), Ok(1));
    let wrong = VerifyError::WrongSignature { name: own.name().clone(), id: own.key_id() };
    assert_eq!(with(forged(own.name(), own.key_id())), Err(wrong.clone()));
    let long = NoteSignature::new(own.name().clone(), own.key_id(), [own.bytes(), &[0]].concat()).unwrap();
    assert_eq!(with(long), Err(wrong));
    assert_eq!(with(own.clone()), Ok(2));
    assert_eq!(note.verify([]), Err(VerifyError::NotSigned));
    let renamed = NoteSignature::new(name("other"), own.key_id(), own.bytes().into()).unwrap();
    assert!(key.verify(note.text(), &own).is_some() && key.verify(note.text(), &renamed).is_none());
}
