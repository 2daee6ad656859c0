//! Checkpoints and the frames of cosignatures.

use super::*;

#[test]
fn each_way_to_be_wrong() {
    const ROOT: &str = "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=";
    let ok = format!("o\n5\n{ROOT}\n");
    assert_eq!(Checkpoint::parse(&ok).unwrap().to_string(), ok);
    let greatest = format!("o\n9007199254740991\n{ROOT}\n");
    assert_eq!(Checkpoint::parse(&greatest).unwrap().to_string(), greatest);
    for (why, text, error) in [
        ("nothing", String::new(), TlogError::CheckpointLines),
        ("no last newline", format!("o\n5\n{ROOT}"), TlogError::CheckpointLines),
        ("no root", "o\n5\n".into(), TlogError::CheckpointLines),
        ("extension line", format!("{ok}x\n"), TlogError::CheckpointLines),
        ("empty extension line", format!("{ok}\n"), TlogError::CheckpointLines),
        ("empty origin", format!("\n5\n{ROOT}\n"), TlogError::Origin),
        ("space in the origin", format!("o x\n5\n{ROOT}\n"), TlogError::Origin),
        ("plus in the origin", format!("o+x\n5\n{ROOT}\n"), TlogError::Origin),
        ("reserved origin", format!("cosignature/v1\n5\n{ROOT}\n"), TlogError::Origin),
        ("empty size", format!("o\n\n{ROOT}\n"), TlogError::TreeSize),
        ("leading zero", format!("o\n05\n{ROOT}\n"), TlogError::TreeSize),
        ("space before the size", format!("o\n 5\n{ROOT}\n"), TlogError::TreeSize),
        ("size 2^53", format!("o\n9007199254740992\n{ROOT}\n"), TlogError::TreeSize),
        ("size 2^64", format!("o\n18446744073709551616\n{ROOT}\n"), TlogError::TreeSize),
        ("size 0 with a root", format!("o\n0\n{ROOT}\n"), TlogError::EmptyRoot),
        ("no padding", ok.replace("I=", "I"), TlogError::Root),
        ("stray bits", ok.replace("I=", "J="), TlogError::Root),
        ("33 bytes", ok.replace("I=", "IA"), TlogError::Root),
        ("space after the root", ok.replace("I=", "I= "), TlogError::Root),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{why}");
    }
    let empty = Checkpoint::new(Origin::parse("o").unwrap(), TreeSize::ZERO, Hash::from_bytes(sha256(&[])));
    assert_eq!(Checkpoint::parse(&empty.clone().unwrap().to_string()), empty);
}

#[test]
fn only_a_key_of_the_log_verifies() {
    let (log, signed) = (verifier(log_signer().vkey()), cosigned(&[(1, 1)]));
    let witness_key = verifier(witness(1).vkey());
    let verified = signed.verify(&[witness_key.clone(), log.clone()]).unwrap();
    assert_eq!(verified.log_keys(), [log.vkey().clone()]);
    assert_eq!(signed.verify(&[witness_key]), Err(VerifyError::NotSigned));

    let other = Ed25519Signer::from_seed(name("log.example/soul2"), &[198; 32]);
    assert_eq!(sign_checkpoint(&checkpoint(), &other), Err(TlogError::SignerName));
    let note = Note::sign(&checkpoint().to_string(), &other).unwrap();
    let by_other = SignedCheckpoint::parse(note.as_str().as_bytes()).unwrap();
    assert_eq!(by_other.verify(&[verifier(other.vkey()), log]), Err(VerifyError::NotSigned));
}

#[test]
fn cosignature_times() {
    assert_eq!(Timestamp::new(1 << 63), None);
    for time in [0, 1, (1 << 63) - 1] {
        let signed = cosigned(&[(1, time)]);
        let key = verifier(witness(1).vkey());
        assert_eq!(signed.note().verify([&key]).unwrap()[0].time(), Some(seconds(time)));
    }
}

#[test]
fn frames_of_cosignatures() {
    let frame = |kind, len, first| {
        TimestampedSignature::parse(kind, &{
            let mut bytes = vec![0; len];
            bytes[0] = first;
            bytes
        })
        .map(|frame| (frame.time.get(), frame.signature.len()))
    };
    assert_eq!(frame(VkeyType::CosignatureV1, 72, 1), Ok((1 << 56, 64)));
    assert_eq!(frame(VkeyType::MlDsa44, 2428, 0), Ok((0, 2420)));
    for (kind, len, first) in [
        (VkeyType::CosignatureV1, 72, 0x80),
        (VkeyType::CosignatureV1, 71, 0),
        (VkeyType::CosignatureV1, 73, 0),
        (VkeyType::CosignatureV1, 7, 0),
        (VkeyType::MlDsa44, 2428, 0x80),
        (VkeyType::MlDsa44, 2427, 0),
        (VkeyType::MlDsa44, 2429, 0),
    ] {
        assert_eq!(frame(kind, len, first), Err(TlogError::TimestampedSignature), "{kind:?} {len}");
    }
    assert_eq!(frame(VkeyType::Ed25519, 72, 0), Err(TlogError::UnsupportedKey { kind: 1 }));
}
