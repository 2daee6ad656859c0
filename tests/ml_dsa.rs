//! Two implementations of ML-DSA-44: each makes the other's keys and checks the other's signatures.

use std::sync::Arc;

use aws_lc_rs::signature::{ML_DSA_44, UnparsedPublicKey};
use soulchain::hash::Hash;
use soulchain::merkle::TreeSize;
use soulchain::ml_dsa::{PublicKey, Sign, SigningKey};
use soulchain::ml_dsa_signer::MlDsaSigner;
use soulchain::tlog::{Checkpoint, Cosigner, KeyName, NoteVerifier, Origin, Timestamp};

#[test]
fn each_checks_the_other() {
    for number in 0..100_u8 {
        let seed = [number; 32];
        let (core, fast) = (SigningKey::from_seed(&seed), MlDsaSigner::from_seed(&seed));
        assert!(fast.is_fast());
        assert_eq!(core.public_key(), fast.public_key());
        let message: Vec<u8> = (0..u16::from(number) * 13).map(|at| at as u8 ^ number).collect();
        let (ours, theirs) =
            (PublicKey::from_bytes(&fast.public_key()), UnparsedPublicKey::new(&ML_DSA_44, core.public_key()));
        let by_core = core.sign(&message);
        let by_fast = fast.sign(&message);
        assert!(theirs.verify(&message, &by_core).is_ok() && ours.verify(&message, &by_fast), "{number}");
        // Hedged: AWS-LC has signed, and not the core in its place.
        assert_ne!(by_core, by_fast);

        let mut other = message.clone();
        other.push(0);
        for (sig, at) in [(by_core, usize::from(number)), (by_fast, 2_419 - usize::from(number))] {
            let mut changed = sig;
            changed[at] ^= 1;
            assert!(theirs.verify(&other, &sig).is_err() && !ours.verify(&other, &sig));
            assert!(theirs.verify(&message, &changed).is_err() && !ours.verify(&message, &changed), "{number} {at}");
        }
    }
}

#[test]
fn it_cosigns() {
    let name = KeyName::parse("witness.example/pq").unwrap();
    let fast = Cosigner::ml_dsa(name.clone(), Arc::new(MlDsaSigner::from_seed(&[7; 32]))).unwrap();
    assert_eq!(fast.vkey(), Cosigner::ml_dsa_from_seed(name, &[7; 32]).unwrap().vkey());
    let origin = Origin::parse("log.example").unwrap();
    let checkpoint = Checkpoint::new(origin, TreeSize::new(5), Hash::from_bytes([7; 32])).unwrap();
    let line = fast.cosign(&checkpoint, Timestamp::new(1_790_000_000).unwrap());
    let judge = NoteVerifier::new(fast.vkey().clone()).unwrap();
    assert!(judge.verify(&checkpoint.to_string(), &line).is_some());
}

#[test]
fn debug_shows_no_seed() {
    assert!(!format!("{:?}", MlDsaSigner::from_seed(&[0x5a; 32])).to_lowercase().contains("5a5a"));
}
