//! Policies, and checkpoints under them.

use super::*;

fn fault(text: &str) -> (usize, PolicyFault) {
    match Policy::parse(text.as_bytes()) {
        Err(TlogError::PolicyLine { line, fault }) => (line, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_way_to_be_wrong() {
    use PolicyFault::*;
    let log = |seed| Ed25519Signer::from_seed(name("l"), &[seed; 32]).vkey().to_string();
    let ecdsa = Vkey::new(name("l"), VkeyType::Other(2), &[1; 91]).unwrap().to_string();
    let unsupported = || Key(Box::new(TlogError::UnsupportedKey { kind: 2 }));
    let long_name = Vkey::new(name(&"l".repeat(256)), VkeyType::MlDsa44, &[1; 1312]).unwrap();
    let not_a_vkey = || Key(Box::new(TlogError::Vkey));
    for (why, rest, expected) in [
        ("unknown word", "mirror x\n".into(), Keyword),
        ("upper-case word", "Quorum w1\n".into(), Keyword),
        ("no-break space as white space", "quorum\u{a0}w1\n".into(), Keyword),
        ("carriage return", "quorum w1\r\n".into(), Octet),
        ("form feed", "#\u{c}\n".into(), Octet),
        ("delete", "#\u{7f}\n".into(), Octet),
        ("log without a key", "log\n".into(), Items),
        ("log with two urls", format!("log {} u u\n", log(1)), Items),
        ("witness without a key", "witness w4\n".into(), Items),
        ("witness with two urls", format!("witness w4 {} u u\n", witness(4).vkey()), Items),
        ("group without members", "group g any\n".into(), Items),
        ("quorum of two", "quorum w1 w2\n".into(), Items),
        ("quorum of nothing", "quorum\n".into(), Items),
        ("not a key", "log x\n".into(), not_a_vkey()),
        ("a witness's key as a log's", format!("log {}\n", witness(4).vkey()), KeyType),
        ("a log's key as a witness's", format!("witness w4 {}\n", log(1)), KeyType),
        ("a type that is not judged, as a log's", format!("log {ecdsa}\n"), unsupported()),
        ("a type that is not judged, as a witness's", format!("witness w4 {ecdsa}\n"), unsupported()),
        (
            "a name that ML-DSA cannot sign",
            format!("witness w4 {long_name}\n"),
            Key(Box::new(TlogError::CosignerName { len: 256 })),
        ),
        ("log key twice", format!("log {}\n", log_signer().vkey()), DuplicateKey),
        ("log key under another name", format!("log {}\n", log(200)), DuplicateKey),
        ("witness key twice", format!("witness w4 {}\n", witness(1).vkey()), DuplicateKey),
        ("witness name twice", format!("witness w1 {}\n", witness(4).vkey()), Name),
        ("witness named none", format!("witness none {}\n", witness(4).vkey()), Name),
        ("group named as a witness", "group w1 any w2\n".into(), Name),
        ("group named none", "group none any w2\n".into(), Name),
        ("group of itself", "group g any g\n".into(), Undefined),
        ("member not defined", "group g any w1 w9\n".into(), Undefined),
        ("member none", "group g any none\n".into(), Undefined),
        ("quorum not defined", "quorum w9\n".into(), Undefined),
        ("member twice", "group g any w1 w1\n".into(), MemberTwice),
        ("threshold 0", "group g 0 w1\n".into(), Threshold),
        ("threshold above the members", "group g 3 w1 w2\n".into(), Threshold),
        ("threshold with a leading zero", "group g 01 w1\n".into(), Threshold),
        ("threshold with a sign", "group g +1 w1\n".into(), Threshold),
        ("threshold in words", "group g one w1\n".into(), Threshold),
    ] {
        assert_eq!(fault(&policy_text(&rest)), (5, expected), "{why}");
    }
    assert_eq!(fault(&policy_text("group g any w1\ngroup h any w1\n")), (6, MemberTwice));
    assert_eq!(fault(&policy_text("quorum w1\nquorum w1\n")), (6, SecondQuorum));
    assert_eq!(Policy::parse(policy_text("").as_bytes()), Err(TlogError::NoQuorum));
    assert_eq!(Policy::parse(b""), Err(TlogError::PolicyFile));
    assert_eq!(Policy::parse(b"quorum none"), Err(TlogError::PolicyFile));
    assert_eq!(Policy::parse(&vec![b'\n'; 1024 * 1024 + 1]), Err(TlogError::PolicyFile));
    let bad_key = TlogError::PolicyLine { line: 1, fault: not_a_vkey() };
    assert_eq!(Policy::parse(b"log \xff+a10fe1a2+AZ\n"), Err(bad_key));
}

#[test]
fn bounds() {
    let key = |n: u16| {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        seed
    };
    let log = |n| format!("log {}\n", Ed25519Signer::from_seed(name("l"), &key(n)).vkey());
    let witness = |n| format!("witness w{n} {}\n", Cosigner::from_seed(name("w"), &key(n)).vkey());
    let group = |n: u16| match n.checked_sub(1) {
        None => "group g0 any w0\n".into(),
        Some(below) => format!("group g{n} any g{below}\n"),
    };
    let all = |logs, witnesses, groups| -> String {
        let lines = (0..logs).map(log).chain((0..witnesses).map(witness)).chain((0..groups).map(group));
        lines.chain(["quorum none\n".into()]).collect()
    };
    let full = Policy::parse(all(256, 256, 256).as_bytes()).unwrap();
    assert_eq!((full.logs().len(), full.witnesses().len()), (256, 256));
    assert_eq!(fault(&all(257, 0, 0)), (257, PolicyFault::TooMany));
    assert_eq!(fault(&all(0, 257, 0)), (257, PolicyFault::TooMany));
    assert_eq!(fault(&all(0, 1, 257)), (258, PolicyFault::TooMany));
    let deep = Policy::parse(all(0, 1, 256).replace("quorum none", "quorum g255").as_bytes()).unwrap();
    assert!(deep.quorum().is_met(|name| name.as_bytes() == b"w0") && !deep.quorum().is_met(|_| false));
}

#[test]
fn names_are_octets() {
    let with = |name: &[u8], quorum: &[u8]| {
        let key = witness(1).vkey().to_string();
        Policy::parse(&[b"witness ", name, b" ", key.as_bytes(), b" \xfe\nquorum ", quorum, b"\n"].concat())
    };
    let policy = with(b"\xff\x80#", b"\xff\x80#").unwrap();
    assert_eq!(policy.witnesses()[0].name().as_bytes(), b"\xff\x80#");
    assert_eq!(policy.witnesses()[0].url(), Some(&b"\xfe"[..]));
    assert!(with("K".as_bytes(), "\u{212a}".as_bytes()).is_err());
    assert!(with(b"e\xcc\x81", "é".as_bytes()).is_err());
}

#[test]
fn checkpoints_under_a_policy() {
    let two = policy("group g 2 w1 w2 w3\nquorum g\n");
    let accepted = two.verify_checkpoint(&cosigned(&[(1, 10), (2, 20)])).unwrap();
    assert_eq!(accepted.verified().checkpoint(), &checkpoint());
    assert_eq!(accepted.verified().log_keys(), [log_signer().vkey().clone()]);
    let names: Vec<_> = accepted.cosigned().iter().map(|c| (c.witness.to_string(), c.time.get())).collect();
    assert_eq!(names, [("w1".into(), 10), ("w2".into(), 20)]);

    let refuse = |policy: &Policy, signed: &SignedCheckpoint| policy.verify_checkpoint(signed).unwrap_err();
    assert_eq!(refuse(&two, &signed()), VerifyError::QuorumNotMet);
    assert_eq!(refuse(&two, &cosigned(&[(1, 10)])), VerifyError::QuorumNotMet);
    assert_eq!(refuse(&two, &cosigned(&[(1, 10), (1, 11)])), VerifyError::QuorumNotMet);
    assert_eq!(refuse(&two, &cosigned(&[(1, 10), (4, 10)])), VerifyError::QuorumNotMet);

    let mut forged = cosigned(&[(1, 10), (2, 20)]);
    let w3 = witness(3).vkey().clone();
    let wrong = NoteSignature::new(w3.name().clone(), w3.id(), vec![0; 72]).unwrap();
    forged.add_signature(wrong).unwrap();
    assert_eq!(refuse(&two, &forged), VerifyError::WrongSignature { name: w3.name().clone(), id: w3.id() });
    assert!(Policy::parse(b"quorum none\n").unwrap().verify_checkpoint(&signed()).is_err());
}

#[test]
fn a_witness_is_no_log_and_a_log_speaks_for_its_origin_alone() {
    let other = Ed25519Signer::from_seed(name("log.example/soul2"), &[198; 32]);
    let of_other = format!("log {}\nwitness w1 {}\nquorum none\n", other.vkey(), witness(1).vkey());
    let of_other = Policy::parse(of_other.as_bytes()).unwrap();
    assert_eq!(of_other.verify_checkpoint(&cosigned(&[(1, 10)])), Err(VerifyError::NotSigned));

    let both = policy(&format!("log {}\nquorum none\n", other.vkey()));
    assert!(both.verify_checkpoint(&signed()).is_ok());
    let note = Note::sign(&checkpoint().to_string(), &other).unwrap();
    let by_other = SignedCheckpoint::parse(note.as_str().as_bytes()).unwrap();
    assert_eq!(both.verify_checkpoint(&by_other), Err(VerifyError::NotSigned));

    // A cosigner under the log's own name is still no key of the log.
    let named_as_log = Cosigner::from_seed(name(ORIGIN), &[9; 32]);
    let policy = format!("log {}\nwitness w {}\nquorum none\n", other.vkey(), named_as_log.vkey());
    let signature = named_as_log.cosign(&checkpoint(), seconds(1));
    let note = format!("{}\n{signature}\n", checkpoint());
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    let verdict = Policy::parse(policy.as_bytes()).unwrap().verify_checkpoint(&signed);
    assert_eq!(verdict, Err(VerifyError::NotSigned));
}

#[test]
fn ml_dsa_keys_serve_logs_and_witnesses() {
    let (log, w4) = (ml_dsa(ORIGIN, 200), ml_dsa("witness.example/w1", 4));
    // The log and w1 have two keys each under one name.
    let text = policy_text(&format!("log {}\nwitness w4 {}\ngroup g all w1 w4\nquorum g\n", log.vkey(), w4.vkey()));
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let mut signed = log.sign_checkpoint(&checkpoint(), seconds(3)).unwrap();
    signed.add_signature(w4.cosign(&checkpoint(), seconds(5))).unwrap();
    assert_eq!(policy.verify_checkpoint(&signed), Err(VerifyError::QuorumNotMet));
    signed.add_signature(witness(1).cosign(&checkpoint(), seconds(7))).unwrap();
    let accepted = policy.verify_checkpoint(&signed).unwrap();
    assert_eq!(accepted.verified().log_keys(), [log.vkey().clone()]);
    let times: Vec<_> = accepted.cosigned().iter().map(|c| (c.witness.to_string(), c.time.get())).collect();
    assert_eq!(times, [("w4".into(), 5), ("w1".into(), 7)]);

    signed.add_signature(log_line()).unwrap();
    let both = policy.verify_checkpoint(&signed).unwrap();
    assert_eq!(both.verified().log_keys(), [log.vkey().clone(), log_signer().vkey().clone()]);
    let wrong = NoteSignature::new(w4.vkey().name().clone(), w4.vkey().id(), vec![0; 2428]).unwrap();
    signed.add_signature(wrong).unwrap();
    assert!(matches!(policy.verify_checkpoint(&signed), Err(VerifyError::WrongSignature { .. })));
}

/// A key in both roles is what the policy's author wrote.
#[test]
fn a_log_that_is_its_own_witness_counts_as_both() {
    let log = ml_dsa(ORIGIN, 200);
    let text = format!("log {0}\nwitness w {0}\nquorum w\n", log.vkey());
    let signed = log.sign_checkpoint(&checkpoint(), seconds(3)).unwrap();
    let accepted = Policy::parse(text.as_bytes()).unwrap().verify_checkpoint(&signed).unwrap();
    assert_eq!((accepted.verified().log_keys().len(), accepted.cosigned().len()), (1, 1));
}

/// The greatest time by trying every second.
fn naive_as_of(policy: &Policy, cosigned: &[Cosigned]) -> Option<u64> {
    let since =
        |time| policy.quorum().is_met(|name| cosigned.iter().any(|c| c.witness == *name && c.time.get() >= time));
    (0..40).rev().find(|time| since(*time))
}

#[test]
fn as_of_is_the_greatest_time_at_which_the_quorum_is_met() {
    let rules = ["quorum w1\n", "group g 2 w1 w2 w3\nquorum g\n", "group g any w1 w2\ngroup h all g w3\nquorum h\n"];
    let sets: [&[(u8, u64)]; 7] = [
        &[],
        &[(1, 0)],
        &[(1, 5), (2, 7)],
        &[(1, 5), (2, 7), (3, 9)],
        &[(1, 30), (1, 2), (2, 3), (3, 1)],
        &[(3, 8), (2, 8), (2, 20), (2, 21)],
        &[(2, 9), (3, 31), (1, 9), (3, 4)],
    ];
    for rule in rules {
        let policy = policy(rule);
        for set in sets {
            let named = |number: u8| policy.witnesses()[usize::from(number) - 1].name().clone();
            let cosigned: Vec<_> =
                set.iter().map(|(number, time)| Cosigned { witness: named(*number), time: seconds(*time) }).collect();
            let as_of = policy.quorum().as_of(&cosigned).map(Timestamp::get);
            assert_eq!(as_of, naive_as_of(&policy, &cosigned), "{rule} {set:?}");
        }
    }
    let none = policy("quorum none\n");
    let one = [Cosigned { witness: none.witnesses()[0].name().clone(), time: seconds(5) }];
    assert_eq!(none.quorum().as_of(&one), None);
    assert!(none.quorum().is_met(|_| false) && !none.quorum().is_met_within(&one, &(0..=9)));
}
