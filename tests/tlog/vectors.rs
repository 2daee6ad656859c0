//! The project's vectors: every verdict, and the reference's signatures.

use std::error::Error;

use super::*;

fn bytes_of(case: &Value) -> Vec<u8> {
    match case["text"].as_str() {
        Some(text) => text.into(),
        None => b64_decode(str_of(case, "bytes")).unwrap(),
    }
}

/// Whether the bytes are a good note, key, checkpoint or cosignature, and the time of the last.
fn judge(kind: &str, bytes: &[u8], keys: &[NoteVerifier]) -> Result<Option<u64>, Box<dyn Error>> {
    match kind {
        "note" => {
            let note = Note::parse(bytes)?;
            assert_eq!(note.to_string().as_bytes(), bytes);
            note.verify(keys)?;
            Ok(None)
        }
        "vkey" => {
            let vkey = Vkey::parse(core::str::from_utf8(bytes)?)?;
            assert_eq!(vkey.to_string().as_bytes(), bytes);
            Ok(None)
        }
        "checkpoint" => {
            let signed = SignedCheckpoint::parse(bytes)?;
            let verified = signed.verify(keys)?;
            assert_eq!((verified.checkpoint(), verified.log_keys()), (signed.claim(), &[keys[0].vkey().clone()][..]));
            assert_eq!(verified.checkpoint().to_string(), signed.note().text());
            Ok(None)
        }
        "cosignature" => {
            let signed = SignedCheckpoint::parse(bytes)?;
            let signatures = signed.note().verify(keys)?;
            Ok(signatures[0].time().map(Timestamp::get))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn notes() {
    let Some(file) = json("soulchain/notes.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let keys = case["vkeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
        let keys: Vec<_> = keys.map(|key| verifier(&Vkey::parse(key).unwrap())).collect();
        let verdict = judge(str_of(case, "kind"), &bytes_of(case), &keys);
        assert_eq!(Some(verdict.is_ok()), case["accept"].as_bool(), "{}", str_of(case, "why"));
        assert_eq!(verdict.ok().flatten(), case["time"].as_u64());
    }
    assert_eq!(cases.len(), 48);
}

#[test]
fn policies() {
    let Some(file) = json("soulchain/notes.json") else { return };
    let cases = file["policies"].as_array().unwrap();
    for case in cases {
        let why = str_of(case, "why");
        let policy = Policy::parse(str_of(case, "text").as_bytes());
        assert_eq!(Some(policy.is_ok()), case["accept"].as_bool(), "{why}: {policy:?}");
        for set in case["quorum"].as_array().into_iter().flatten() {
            let cosigned: Vec<_> =
                set["cosigned"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().as_bytes()).collect();
            let met = policy.as_ref().unwrap().quorum().is_met(|name| cosigned.contains(&name.as_bytes()));
            assert_eq!(Some(met), set["met"].as_bool(), "{why}: {set}");
        }
    }
    assert_eq!(cases.len(), 28);
}

#[test]
fn ml_dsa_cosignatures() {
    let Some(file) = json("soulchain/ml_dsa.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let keys = case["vkeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
        let keys: Vec<_> = keys.map(|key| verifier(&Vkey::parse(key).unwrap())).collect();
        let verdict = judge(str_of(case, "kind"), &bytes_of(case), &keys);
        assert_eq!(Some(verdict.is_ok()), case["accept"].as_bool(), "{}", str_of(case, "why"));
        assert_eq!(verdict.ok().flatten(), case["time"].as_u64());
        // What is signed deterministically is signed the same.
        if let (Some(true), Some(time)) = (case["accept"].as_bool(), case["time"].as_u64()) {
            let signed = SignedCheckpoint::parse(&bytes_of(case)).unwrap();
            let line = cosigner_of(&file, keys[0].vkey()).cosign(signed.claim(), seconds(time));
            assert_eq!(signed.note().signatures().last(), Some(&line));
        }
    }
    assert_eq!(cases.len(), 17);
}

#[test]
fn ml_dsa_subtrees() {
    let Some(file) = json("soulchain/ml_dsa.json") else { return };
    let cases = file["subtrees"].as_array().unwrap();
    for case in cases {
        let line = NoteSignature::parse(str_of(case, "line").trim_end()).unwrap();
        let key = file["keys"].as_array().unwrap().iter().find(|key| key["name"] == line.name().as_str()).unwrap();
        let key = verifier(&Vkey::parse(str_of(key, "vkey")).unwrap());
        let (start, end) = (case["start"].as_u64().unwrap(), TreeSize::new(case["end"].as_u64().unwrap()));
        let subtree = LogSubtree {
            origin: Origin::parse(str_of(case, "origin")).unwrap(),
            subtree: Subtree::new(start, end).unwrap(),
            hash: Hash::from_hex(str_of(case, "hash")).unwrap(),
        };
        let verdict = key.verify_subtree(&subtree, &line);
        assert_eq!(Some(verdict.is_some()), case["accept"].as_bool(), "{}", str_of(case, "why"));
        let frame = TimestampedSignature::parse(VkeyType::MlDsa44, line.bytes()).unwrap();
        if frame.time == Timestamp::NONE {
            assert_eq!(cosigner_of(&file, key.vkey()).cosign_subtree(&subtree), Ok(line.clone()));
        }
        // The signature is over these very bytes.
        let public = soulchain::ml_dsa::PublicKey::from_bytes(key.vkey().key_bytes().try_into().unwrap());
        let message = soulchain::encoding::hex_decode(str_of(case, "message")).unwrap();
        assert!(public.verify(&message, frame.signature.try_into().unwrap()));
    }
    assert_eq!(cases.len(), 3);
}

/// The key of the vectors with this verifier key.
fn cosigner_of(file: &Value, vkey: &Vkey) -> Cosigner {
    let key = file["keys"].as_array().unwrap().iter().find(|key| key["vkey"] == vkey.to_string().as_str()).unwrap();
    let cosigner = ml_dsa(str_of(key, "name"), key["seed"].as_u64().unwrap() as u8);
    assert_eq!(cosigner.vkey(), vkey);
    cosigner
}

#[test]
fn what_the_reference_signed_is_signed_the_same() {
    let Some(file) = json("soulchain/notes.json") else { return };
    let of = |why: &str| file["cases"].as_array().unwrap().iter().find(|case| case["why"] == why).unwrap();
    let text = str_of(of("signed"), "text");
    let claim = SignedCheckpoint::parse(text.as_bytes()).unwrap().claim().clone();
    let mut signed = sign_checkpoint(&claim, &log_signer()).unwrap();
    assert_eq!(signed.to_string(), text);
    let case = of("valid");
    let time = seconds(case["time"].as_u64().unwrap());
    signed.add_signature(witness(1).cosign(signed.claim(), time)).unwrap();
    assert_eq!(signed.to_string(), str_of(case, "text"));
}

#[test]
fn proof_files_read_back() {
    let Some(folder) = vectors("soulchain/proofs") else { return };
    let mut files = 0;
    for path in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "tlog-proof") {
            let bytes = fs::read(&path).unwrap();
            let proof = TlogProof::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(proof.to_string().as_bytes() == bytes, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 100);
}

/// The name of the check that fails, of those that the checkpoint alone decides; and as of when it holds.
fn check(case: &Value, policy: &Policy, signed: &SignedCheckpoint) -> Result<Option<u64>, &'static str> {
    if case["origin_asked"].as_str().is_some_and(|asked| asked != signed.claim().origin().as_str()) {
        return Err("checkpoint");
    }
    let accepted = policy.verify_checkpoint(signed).map_err(|error| match error {
        VerifyError::QuorumNotMet => "quorum",
        _ => "checkpoint",
    })?;
    if let Some(max_age) = case["max_age"].as_u64() {
        let now = case["now"].as_u64().unwrap();
        if !policy.quorum().is_met_within(accepted.cosigned(), &(now - max_age..=now + 300)) {
            return Err("age");
        }
    }
    Ok(policy.quorum().as_of(accepted.cosigned()).map(Timestamp::get))
}

#[test]
fn proofs_under_their_policies() {
    let (Some(file), Some(folder)) = (json("soulchain/proofs/cases.json"), vectors("soulchain/proofs")) else {
        return;
    };
    let mut failed = 0;
    for case in file["cases"].as_array().unwrap().iter().filter(|case| case["fails"] != "format") {
        let read = |member| fs::read(folder.join(str_of(case, member))).unwrap();
        let proof = TlogProof::parse(&read("file")).unwrap();
        let verdict = check(case, &Policy::parse(&read("policy")).unwrap(), proof.checkpoint());
        let expected = match case["fails"].as_str() {
            Some(fails @ ("checkpoint" | "quorum" | "age")) => Err(fails),
            Some(_) => Ok(verdict.unwrap()),
            None => Ok(case["shows"]["as_of"].as_u64().or_else(|| {
                // An absence is shown without its time.
                if case["shows"]["kind"] == "absent" { verdict.unwrap() } else { None }
            })),
        };
        assert_eq!(verdict, expected, "{}", str_of(case, "name"));
        failed += usize::from(verdict.is_err());
    }
    assert!(failed >= 10);
}
