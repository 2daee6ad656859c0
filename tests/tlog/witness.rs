//! Requests to witnesses, and their answers.

use super::*;

const HASH: &str = "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=";

/// A checkpoint of `size` leaves, and those leaves' hashes.
fn tree(size: u64) -> (SignedCheckpoint, Vec<Hash>) {
    let leaves: Vec<_> = (0..size).map(|at| leaf_hash(&at.to_be_bytes())).collect();
    let origin = Origin::parse(ORIGIN).unwrap();
    let checkpoint = Checkpoint::new(origin, TreeSize::new(size), root_of_perfect(&leaves)).unwrap();
    (sign_checkpoint(&checkpoint, &log_signer()).unwrap(), leaves)
}

/// The path from a subtree to the tree over these leaves.
fn path(of: Subtree, leaves: &[Hash]) -> Vec<Hash> {
    let plan = subtree_consistency_plan(of, TreeSize::new(leaves.len() as u64)).unwrap();
    plan.path(|node| {
        let width = 1 << node.level;
        Ok::<_, ()>(root_of_perfect(&leaves[node.index as usize * width..][..width]))
    })
    .unwrap()
}

fn subtree(start: u64, end: u64) -> Subtree {
    Subtree::new(start, TreeSize::new(end)).unwrap()
}

#[test]
fn a_checkpoint_is_offered_and_judged() {
    let (checkpoint, leaves) = tree(13);
    let old_root = root_of_perfect(&leaves[..6]);
    let request =
        AddCheckpointRequest::new(TreeSize::new(6), path(subtree(0, 6), &leaves), checkpoint.clone()).unwrap();
    let read = AddCheckpointRequest::parse(request.to_string().as_bytes()).unwrap();
    assert_eq!(read, request);
    assert_eq!((read.old_size().get(), read.checkpoint(), read.proof().len()), (6, &checkpoint, request.proof().len()));
    assert_eq!(read.verify_consistency(&old_root), Ok(()));
    assert!(read.verify_consistency(&EMPTY_ROOT).is_err());

    // From nothing, and from the same size, the proof is empty.
    let root = checkpoint.claim().root();
    for (old, old_root) in [(0, EMPTY_ROOT), (13, root)] {
        let of = |proof| AddCheckpointRequest::new(TreeSize::new(old), proof, checkpoint.clone()).unwrap();
        assert_eq!(of(vec![]).verify_consistency(&old_root), Ok(()));
        assert!(of(vec![Hash::ZERO]).verify_consistency(&old_root).is_err());
        assert!(of(vec![]).verify_consistency(&Hash::ZERO).is_err());
    }
}

#[test]
fn a_subtree_is_offered_and_judged() {
    let (mut checkpoint, leaves) = tree(14);
    let of = subtree(8, 13);
    let key = ml_dsa("w", 1);
    checkpoint.add_signature(key.cosign(checkpoint.claim(), seconds(9))).unwrap();
    let hash = root_of_perfect(&leaves[8..13]);
    let request = SignSubtreeRequest::new(of, hash, path(of, &leaves), checkpoint.clone()).unwrap();
    let read = SignSubtreeRequest::parse(request.to_string().as_bytes()).unwrap();
    assert_eq!(read, request);
    assert_eq!((read.checkpoint(), read.proof()), (&checkpoint, request.proof()));
    assert_eq!(read.subtree(), LogSubtree { origin: checkpoint.claim().origin().clone(), subtree: of, hash });
    assert_eq!(read.verify_consistency(), Ok(()));
    let other = SignSubtreeRequest::new(of, EMPTY_ROOT, path(of, &leaves), checkpoint).unwrap();
    assert!(other.verify_consistency().is_err());
    let line = key.cosign_subtree(&read.subtree()).unwrap();
    assert!(verifier(key.vkey()).verify_subtree(&read.subtree(), &line).is_some());
}

#[test]
fn each_way_to_be_wrong() {
    let note = tree(14).0.to_string();
    let add = |above: &str| AddCheckpointRequest::parse(format!("{above}\n{note}").as_bytes());
    assert!(add(&format!("old 14\n{HASH}\n")).is_ok());
    for (why, above, error) in [
        ("no old line", "", TlogError::Note),
        ("a hash first", &*format!("{HASH}\n"), TlogError::Request),
        ("another word", "Old 0\n", TlogError::Request),
        ("two spaces", "old  0\n", TlogError::Request),
        ("leading zero", "old 01\n", TlogError::Request),
        ("sign", "old +1\n", TlogError::Request),
        ("two sizes", "old 1 2\n", TlogError::Request),
        ("size 2^53", "old 9007199254740992\n", TlogError::Request),
        ("carriage return", "old 0\r\n", TlogError::Request),
        ("above the checkpoint's", "old 15\n", TlogError::OldSize { old: TreeSize::new(15), new: TreeSize::new(14) }),
        ("a short hash", "old 3\nAAAA\n", TlogError::Request),
        ("stray bits", &format!("old 3\n{}\n", HASH.replace("I=", "J=")), TlogError::Request),
        ("a space behind a hash", &format!("old 3\n{HASH} \n"), TlogError::Request),
    ] {
        assert_eq!(add(above), Err(error), "{why}");
    }
    let sign = |above: &str| SignSubtreeRequest::parse(format!("{above}\n{note}").as_bytes());
    assert!(
        sign(&format!("subtree 8 13\n{HASH}\n")).is_ok() && sign(&format!("subtree 0 14\n{HASH}\n{HASH}\n")).is_ok()
    );
    for (why, above, error) in [
        ("no hash", "subtree 8 13\n".to_owned(), TlogError::Request),
        ("no end", format!("subtree 8\n{HASH}\n"), TlogError::Request),
        ("leading zero", format!("subtree 08 13\n{HASH}\n"), TlogError::Request),
        ("three numbers", format!("subtree 8 13 14\n{HASH}\n"), TlogError::Request),
        ("empty", format!("subtree 8 8\n{HASH}\n"), TlogError::SubtreeRange),
        ("turned", format!("subtree 8 7\n{HASH}\n"), TlogError::SubtreeRange),
        ("no subtree", format!("subtree 2 7\n{HASH}\n"), TlogError::SubtreeRange),
        ("beyond the checkpoint", format!("subtree 8 15\n{HASH}\n"), TlogError::SubtreeRange),
    ] {
        assert_eq!(sign(&above), Err(error), "{why}");
    }
    for bytes in [&b""[..], b"old 0\n", b"old 0", b"\xff\n\n", b"\n\n"] {
        assert!(AddCheckpointRequest::parse(bytes).is_err() && SignSubtreeRequest::parse(bytes).is_err());
    }
    let no_checkpoint = AddCheckpointRequest::parse(b"old 0\n\nx\n\n\xe2\x80\x94 a AAAAAQE=\n");
    assert_eq!(no_checkpoint, Err(TlogError::CheckpointLines));
}

#[test]
fn bounds() {
    let (checkpoint, _) = tree(14);
    let proof = |len| vec![Hash::ZERO; len];
    let add = |len| AddCheckpointRequest::new(TreeSize::new(3), proof(len), checkpoint.clone());
    let sign = |len| SignSubtreeRequest::new(subtree(0, 3), Hash::ZERO, proof(len), checkpoint.clone());
    assert!(AddCheckpointRequest::parse(add(MAX_CONSISTENCY_LEN).unwrap().to_string().as_bytes()).is_ok());
    assert!(SignSubtreeRequest::parse(sign(MAX_CONSISTENCY_LEN).unwrap().to_string().as_bytes()).is_ok());
    assert_eq!(add(64).unwrap_err(), TlogError::ConsistencyLen);
    assert_eq!(sign(64).unwrap_err(), TlogError::ConsistencyLen);
    let line = format!("{HASH}\n");
    let many = format!("old 3\n{}\n{checkpoint}", line.repeat(64));
    assert_eq!(AddCheckpointRequest::parse(many.as_bytes()), Err(TlogError::ConsistencyLen));

    // As many ML-DSA-44 cosignatures as a note may have go with the longest proof.
    let mut full = checkpoint.clone();
    let cosigner = ml_dsa(&"w".repeat(200), 1);
    let cosignature = cosigner.cosign(full.claim(), seconds(1));
    (1..MAX_SIGNATURES).for_each(|_| full.add_signature(cosignature.clone()).unwrap());
    let full = AddCheckpointRequest::new(TreeSize::new(3), proof(63), full).unwrap().to_string();
    assert!(full.len() < MAX_WITNESS_REQUEST_LEN);
    assert!(AddCheckpointRequest::parse(full.as_bytes()).is_ok());
    assert_eq!(AddCheckpointRequest::parse(&vec![b'\n'; MAX_WITNESS_REQUEST_LEN + 1]), Err(TlogError::Request));
}

#[test]
fn answers() {
    let lines = [witness(1), witness(2), ml_dsa("m", 3)].map(|key| key.cosign(&checkpoint(), seconds(4)));
    let text = signature_lines(&lines);
    assert_eq!(parse_signature_lines(text.as_bytes()).unwrap(), lines);
    for bad in ["", "\n", "x\n", text.trim_end(), &format!("\n{text}"), &format!("{text}\n"), &text.replace("— m", "m")]
    {
        assert_eq!(parse_signature_lines(bad.as_bytes()), Err(TlogError::SignatureLine), "{bad:?}");
    }
    let many = signature_lines(&vec![lines[0].clone(); MAX_SIGNATURES + 1]);
    assert_eq!(parse_signature_lines(many.as_bytes()), Err(TlogError::TooManySignatures));
    let len = MAX_NOTE_LEN + 1;
    assert_eq!(parse_signature_lines(&vec![b'x'; len]), Err(TlogError::NoteLen { len }));

    for size in [TreeSize::ZERO, TreeSize::new(20_852_014), TreeSize::MAX] {
        assert_eq!(parse_size_body(size_body(size).as_bytes()), Ok(size));
    }
    for bad in ["", "\n", "5", "05\n", "5\n\n", " 5\n", "9007199254740992\n", "5\r\n"] {
        assert_eq!(parse_size_body(bad.as_bytes()), Err(TlogError::TreeSize), "{bad:?}");
    }
}

#[test]
fn paths_name_a_log_by_the_hash_of_its_origin() {
    let origin = Origin::parse("abc").unwrap();
    assert_eq!(origin.hash_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
