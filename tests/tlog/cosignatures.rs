//! Cosignatures under ML-DSA-44 keys: of checkpoints, of subtrees, and by logs themselves.

use super::*;

fn subtree(start: u64, end: u64) -> LogSubtree {
    LogSubtree {
        origin: Origin::parse(ORIGIN).unwrap(),
        subtree: Subtree::new(start, TreeSize::new(end)).unwrap(),
        hash: Hash::from_bytes([7; 32]),
    }
}

#[test]
fn a_subtree_is_cosigned_without_a_time() {
    let key = ml_dsa("w", 1);
    let judge = verifier(key.vkey());
    for of in [subtree(4, 8), subtree(0, 5), subtree(5, 6)] {
        let line = key.cosign_subtree(&of).unwrap();
        let verified = judge.verify_subtree(&of, &line).unwrap();
        assert_eq!((verified.time(), verified.verifier()), (Some(Timestamp::NONE), &judge));
        for other in [
            LogSubtree { origin: Origin::parse("log.example/soul2").unwrap(), ..of.clone() },
            LogSubtree { subtree: subtree(6, 8).subtree, ..of.clone() },
            LogSubtree { hash: Hash::from_bytes([8; 32]), ..of.clone() },
        ] {
            assert_eq!(judge.verify_subtree(&other, &line), None, "{other:?}");
        }
        assert_eq!(verifier(ml_dsa("w", 2).vkey()).verify_subtree(&of, &line), None);
        let renamed = NoteSignature::new(name("v"), line.key_id(), line.bytes().into()).unwrap();
        assert_eq!(judge.verify_subtree(&of, &renamed), None);
    }
}

/// A checkpoint is the subtree from 0 on, and one without a time is the same statement.
#[test]
fn a_checkpoint_is_a_subtree() {
    let key = ml_dsa("w", 1);
    let judge = verifier(key.vkey());
    let timed = key.cosign(&checkpoint(), seconds(9));
    assert_eq!(judge.verify_subtree(&subtree(0, 5), &timed).unwrap().time(), Some(seconds(9)));
    assert_eq!(key.cosign_subtree(&subtree(0, 5)).unwrap(), key.cosign(&checkpoint(), Timestamp::NONE));
}

#[test]
fn only_an_ml_dsa_key_cosigns_subtrees() {
    let of = subtree(4, 8);
    assert_eq!(witness(1).cosign_subtree(&of), Err(TlogError::UnsupportedKey { kind: 4 }));
    let judge = verifier(witness(1).vkey());
    assert_eq!(judge.verify_subtree(&of, &witness(1).cosign(&checkpoint(), seconds(0))), None);
}

#[test]
fn a_text_that_is_no_checkpoint_is_not_judged_valid() {
    let key = ml_dsa("w", 1);
    let judge = verifier(key.vkey());
    let line = key.cosign(&checkpoint(), seconds(9));
    let text = checkpoint().to_string();
    assert!(judge.verify(&text, &line).is_some());
    for other in [format!("{text}extension\n"), text.replace("5\n", "05\n"), text.trim_end().into(), "x\n".into()] {
        assert_eq!(judge.verify(&other, &line), None, "{other:?}");
    }
}

#[test]
fn a_log_signs_with_ml_dsa_alone_or_beside_ed25519() {
    let log = ml_dsa(ORIGIN, 200);
    let judges = [verifier(log.vkey()), verifier(log_signer().vkey())];
    let mut signed = log.sign_checkpoint(&checkpoint(), seconds(9)).unwrap();
    assert_eq!(signed.verify(&judges[..1]).unwrap().log_keys(), [log.vkey().clone()]);
    signed.add_signature(log_line()).unwrap();
    assert_eq!(signed.verify(&judges).unwrap().log_keys().len(), 2);

    let empty = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::ZERO, EMPTY_ROOT).unwrap();
    assert!(log.sign_checkpoint(&empty, seconds(9)).unwrap().verify(&judges).is_ok());

    let other = ml_dsa("log.example/soul2", 200);
    assert_eq!(other.sign_checkpoint(&checkpoint(), seconds(9)), Err(TlogError::SignerName));
    // An Ed25519 cosigner's signature is no log's.
    let cosigner = Cosigner::from_seed(name(ORIGIN), &[9; 32]);
    assert_eq!(cosigner.sign_checkpoint(&checkpoint(), seconds(9)), Err(TlogError::UnsupportedKey { kind: 4 }));
}

#[test]
fn names_that_the_message_has_no_room_for() {
    let (longest, long) = ("n".repeat(255), "n".repeat(256));
    let key = ml_dsa(&longest, 1);
    let line = key.cosign(&checkpoint(), seconds(9));
    assert!(verifier(key.vkey()).verify(&checkpoint().to_string(), &line).is_some());
    let too_long = TlogError::CosignerName { len: 256 };
    assert_eq!(Cosigner::ml_dsa_from_seed(name(&long), &[1; 32]).unwrap_err(), too_long);
    let vkey = Vkey::new(name(&long), VkeyType::MlDsa44, key.vkey().key_bytes()).unwrap();
    assert_eq!(NoteVerifier::new(vkey), Err(too_long));
}
