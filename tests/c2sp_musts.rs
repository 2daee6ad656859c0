//! The requirements of C2SP documents that readers and judges here have to keep, one test each, named by its clause.
//!
//! Of signed-note, tlog-checkpoint, tlog-cosignature and tlog-policy each MUST is here, or stands in this list. That of
//! tlog-witness is in `tests/witness/main.rs`.
//!
//! | document, requirement | where it is kept and tested |
//! |---|---|
//! | signed-note: curves of ECDSA keys | type 0x02 is not judged: `tests/tlog/vkeys.rs` |
//! | tlog-checkpoint: a log signs no two checkpoints that are inconsistent, by its instant key neither | `tests/kill.rs`, `nothing_that_was_told_is_lost_or_contradicted`; `tests/engine/faults.rs`, by `check_heads` |
//! | tlog-checkpoint: clients do not assume that an origin has the form of a key name | not kept: formats.md §1 narrows it, so such a log cannot be followed here (`checkpoint_origin`) |
//! | tlog-checkpoint: extension lines are not empty | the witness: `tests/witness/add_checkpoint.rs`, `malformed_requests_are_400`. All others take none (formats.md §1): `tests/tlog/checkpoints.rs` |
//! | tlog-checkpoint: three lines at least, a root in base64 | `tests/tlog/checkpoints.rs`, `each_way_to_be_wrong` |
//! | tlog-cosignature: extension lines are in what is cosigned | `tests/witness/add_checkpoint.rs`, `extension_lines_are_accepted_and_covered` |
//! | tlog-cosignature: names have 1 to 255 bytes in the message | `tests/tlog/cosignatures.rs`, `names_that_the_message_has_no_room_for` |
//! | tlog-cosignature: distinct keys for distinct cosigners, one set of statements for each, which includes the base one | the operator's; a witness and a mirror here state nothing else |
//! | tlog-policy: a quorum has cosigned | also `tests/tlog/policies.rs`, `checkpoints_under_a_policy` |
//! | tlog-mirror: bodies of requests and answers | `tests/tlog/mirror.rs` |
//!
//! Where a test here asks for more than the document does, it says so.
//!
//! Each way for bytes to be malformed is in `tests/tlog`; what others signed is in its `vectors`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use soulchain::hash::{Hash, sha256};
use soulchain::merkle::{Subtree, TreeSize};
use soulchain::ml_dsa::{self, Sign as _};
use soulchain::tlog::{
    Checkpoint, Cosigner, Ed25519Signer, KeyId, KeyName, LogSubtree, Note, NoteSignature, NoteSigner as _,
    NoteVerifier, Origin, Policy, SignedCheckpoint, Timestamp, TlogError, VerifyError, Vkey, VkeyType, sign_checkpoint,
};
use soulchain::{ed25519, encoding::b64_encode};

const ORIGIN: &str = "log.example/1";
const TEXT: &str = "log.example/1\n5\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
const SEED: [u8; 32] = [7; 32];

fn name(text: &str) -> KeyName {
    KeyName::parse(text).unwrap()
}

fn judge(vkey: &Vkey) -> NoteVerifier {
    NoteVerifier::new(vkey.clone()).unwrap()
}

fn log() -> Ed25519Signer {
    Ed25519Signer::from_seed(name(ORIGIN), &[1; 32])
}

fn checkpoint() -> Checkpoint {
    Checkpoint::parse(TEXT).unwrap()
}

fn ed25519_cosigner() -> Cosigner {
    Cosigner::from_seed(name("w"), &SEED)
}

fn ml_dsa_cosigner() -> Cosigner {
    Cosigner::ml_dsa_from_seed(name("w"), &SEED).unwrap()
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::new(seconds).unwrap()
}

/// A signature of a key over bytes of the test's own making.
fn line(vkey: &Vkey, time: u64, signature: &[u8]) -> NoteSignature {
    let bytes = [&time.to_be_bytes(), signature].concat();
    NoteSignature::new(vkey.name().clone(), vkey.id(), bytes).unwrap()
}

/// Whether a note of this text is signed by the key, with this line under it.
fn holds(vkey: &Vkey, text: &str, line: &NoteSignature) -> bool {
    let note = Note::parse(format!("{text}\n{line}\n").as_bytes()).unwrap();
    note.verify([&judge(vkey)]).is_ok()
}

// --- signed-note ---

/// A text counts once a trusted key's signature is verified: before, there is only a claim, and a type that says so.
#[test]
fn note_text_without_a_trusted_signature_is_not_believed() {
    let signed = sign_checkpoint(&checkpoint(), &log()).unwrap();
    assert_eq!(signed.verify(&[]), Err(VerifyError::NotSigned));
    assert_eq!(signed.verify(&[judge(ed25519_cosigner().vkey())]), Err(VerifyError::NotSigned));
    assert_eq!(signed.verify(&[judge(log().vkey())]).unwrap().checkpoint(), signed.claim());
}

/// Valid UTF-8, and no control character below U+0020 but the newline.
#[test]
fn note_characters() {
    let note = |text: &[u8]| Note::parse(&[text, "\n\n— a AAAAAQE=\n".as_bytes()].concat());
    assert!(note("é\u{7f}\u{80}".as_bytes()).is_ok());
    assert_eq!(note(b"\xc3"), Err(TlogError::Note));
    for control in (0..0x20).filter(|byte| *byte != b'\n') {
        assert_eq!(note(&[b'a', control]), Err(TlogError::Note), "{control:#x}");
    }
}

/// The last empty line parts the text from the signatures; the text ends with its newline and may have empty lines.
#[test]
fn note_text_ends_at_the_last_empty_line() {
    let note = Note::parse("a\n\nb\n\n— a AAAAAQE=\n".as_bytes()).unwrap();
    assert_eq!(note.text(), "a\n\nb\n");
    assert_eq!(Note::parse("a\n— a AAAAAQE=\n".as_bytes()), Err(TlogError::Note));
}

/// Names are not empty and hold neither Unicode spaces nor plus signs, in keys and in signature lines.
#[test]
fn note_key_names() {
    let spaces = "\t\n\u{b}\u{c}\r \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\
                  \u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
    for bad in spaces.chars().chain(['+']).map(|c| format!("a{c}b")).chain([String::new()]) {
        assert_eq!(KeyName::parse(&bad), Err(TlogError::KeyName), "{bad:?}");
        assert!(NoteSignature::parse(&format!("— {bad} AAAAAQE=")).is_err(), "{bad:?}");
        assert!(Vkey::parse(&format!("{bad}+00000001+CQA=")).is_err(), "{bad:?}");
    }
}

/// At least 16 signatures are taken, of the largest type as well.
#[test]
fn note_has_room_for_16_signatures() {
    let key = ml_dsa_cosigner();
    let mut signed = sign_checkpoint(&checkpoint(), &log()).unwrap();
    for second in 1..16 {
        signed.add_signature(key.cosign(&checkpoint(), time(second))).unwrap();
    }
    let read = Note::parse(signed.to_string().as_bytes()).unwrap();
    assert_eq!(read.verify(&[judge(key.vkey()), judge(log().vkey())]).unwrap().len(), 16);
}

/// Signatures of unknown keys are ignored, even where they share the name or the id of a known one, but not both.
#[test]
fn note_ignores_unknown_keys() {
    let (key, other) = (log(), Ed25519Signer::from_seed(name(ORIGIN), &[2; 32]));
    let mut note = Note::sign(TEXT, &key).unwrap();
    let strangers = [(name(ORIGIN), other.key_id()), (name("other"), key.key_id())];
    for (stranger, id) in strangers {
        note.add_signature(NoteSignature::new(stranger, id, vec![0; 64]).unwrap()).unwrap();
    }
    assert_eq!(note.verify([&judge(key.vkey())]).unwrap().len(), 1);
}

/// Where name and id are a known key's the signature is verified; one that is wrong rejects the note, even beside one
/// that is right. The document says SHOULD; tlog-witness, MUST.
#[test]
fn note_verifies_each_signature_of_a_known_key() {
    let key = log();
    let wrong = VerifyError::WrongSignature { name: name(ORIGIN), id: key.key_id() };
    for bytes in [vec![0; 64], vec![0], vec![0; 72]] {
        let mut note = Note::sign(TEXT, &key).unwrap();
        note.add_signature(NoteSignature::new(name(ORIGIN), key.key_id(), bytes).unwrap()).unwrap();
        assert_eq!(note.verify([&judge(key.vkey())]), Err(wrong.clone()));
    }
}

/// A note that no known key has signed is rejected.
#[test]
fn note_without_a_known_signature_is_rejected() {
    let note = Note::sign(TEXT, &log()).unwrap();
    assert_eq!(note.verify([]), Err(VerifyError::NotSigned));
    assert_eq!(note.verify([&judge(ed25519_cosigner().vkey())]), Err(VerifyError::NotSigned));
}

/// Name and id of a verifier key are those in its signatures.
#[test]
fn vkey_names_its_signatures() {
    let key = log();
    let note = Note::sign(TEXT, &key).unwrap();
    let signature = &note.signatures()[0];
    assert_eq!((signature.name(), signature.key_id()), (key.vkey().name(), key.vkey().id()));
    for cosigner in [ed25519_cosigner(), ml_dsa_cosigner()] {
        let line = cosigner.cosign(&checkpoint(), time(1));
        assert_eq!((line.name(), line.key_id()), (cosigner.vkey().name(), cosigner.vkey().id()));
    }
    let text = key.vkey().to_string();
    let id = key.key_id().to_string();
    assert!(matches!(Vkey::parse(&text.replace(&id, "00000000")), Err(TlogError::VkeyId { .. })));
}

/// One key under one name has another id for each signature type.
#[test]
fn vkey_ids_part_the_types_of_one_key() {
    let note_key = Ed25519Signer::from_seed(name("w"), &SEED);
    assert_eq!(note_key.vkey().key_bytes(), ed25519_cosigner().vkey().key_bytes());
    assert_ne!(note_key.vkey().id(), ed25519_cosigner().vkey().id());
}

// --- tlog-checkpoint ---

/// The origin is not empty, and nothing is taken to be a URL. One with a space or a plus is allowed by the document and
/// refused here (formats.md §1).
#[test]
fn checkpoint_origin() {
    assert_eq!(Checkpoint::parse(&TEXT.replace(ORIGIN, "")), Err(TlogError::Origin));
    for origin in ["x", "http://", "no/url/at/all", "é"] {
        assert_eq!(Checkpoint::parse(&TEXT.replace(ORIGIN, origin)).unwrap().origin().as_str(), origin);
    }
    for narrowed in ["log example", "a+b"] {
        assert_eq!(Checkpoint::parse(&TEXT.replace(ORIGIN, narrowed)), Err(TlogError::Origin));
    }
}

/// The size is a decimal without leading zeros.
#[test]
fn checkpoint_size() {
    let of = |size: &str| Checkpoint::parse(&TEXT.replace("\n5\n", &format!("\n{size}\n")));
    assert_eq!(of("10").unwrap().size().get(), 10);
    for bad in ["05", "00", "+5", "-5", "5.0", "0x5", " 5", ""] {
        assert_eq!(of(bad), Err(TlogError::TreeSize), "{bad:?}");
    }
    let empty = format!("{ORIGIN}\n0\n{}\n", b64_encode(&sha256(&[])));
    assert_eq!(Checkpoint::parse(&empty).unwrap().size(), TreeSize::ZERO);
}

/// Signatures that nobody knows are ignored: keys rotate, witnesses come and go.
#[test]
fn checkpoint_ignores_unknown_signatures() {
    let mut signed = sign_checkpoint(&checkpoint(), &log()).unwrap();
    signed.add_signature(ed25519_cosigner().cosign(&checkpoint(), time(1))).unwrap();
    signed.add_signature(NoteSignature::new(name("?"), KeyId::from_be_bytes([9; 4]), vec![1]).unwrap()).unwrap();
    let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
    assert_eq!(read.verify(&[judge(log().vkey())]).unwrap().log_keys(), [log().vkey().clone()]);
}

// --- tlog-cosignature ---

/// Ids of both types of keys: the first four bytes of the hash over name, newline, type byte and public key.
#[test]
fn cosignature_key_ids() {
    for (cosigner, kind, len) in [(ed25519_cosigner(), 4, 32), (ml_dsa_cosigner(), 6, 1_312)] {
        let key = cosigner.vkey().key_bytes();
        assert_eq!(key.len(), len);
        let hash = sha256(&[b"w\n", &[kind], key]);
        assert_eq!(cosigner.vkey().id().to_be_bytes(), hash[..4]);
        assert_eq!(cosigner.vkey().kind().byte(), kind);
    }
}

/// The signature is eight bytes of time, big-endian, and 64 or 2,420 bytes.
#[test]
fn cosignature_is_a_timestamped_signature() {
    for (cosigner, len) in [(ed25519_cosigner(), 72), (ml_dsa_cosigner(), 2_428)] {
        let good = cosigner.cosign(&checkpoint(), time(0x0102_0304_0506));
        assert_eq!((good.bytes().len(), &good.bytes()[..8]), (len, &[0, 0, 1, 2, 3, 4, 5, 6][..]));
        assert!(holds(cosigner.vkey(), TEXT, &good));
        for bytes in [&good.bytes()[..len - 1], &[good.bytes(), &[0]].concat(), &good.bytes()[8..]] {
            let cut = NoteSignature::new(name("w"), good.key_id(), bytes.into()).unwrap();
            assert!(!holds(cosigner.vkey(), TEXT, &cut), "{}", bytes.len());
        }
    }
}

/// No time is above 2^63 − 1, though it be signed.
#[test]
fn cosignature_times_are_at_most_63_bits() {
    let key = ed25519::SigningKey::from_seed(&SEED);
    let sign = |time: u64| line(ed25519_cosigner().vkey(), time, &key.sign(&text_message(time)));
    assert!(holds(ed25519_cosigner().vkey(), TEXT, &sign((1 << 63) - 1)));
    assert!(!holds(ed25519_cosigner().vkey(), TEXT, &sign(1 << 63)));
    let key = ml_dsa::SigningKey::from_seed(&SEED);
    let sign = |time: u64| line(ml_dsa_cosigner().vkey(), time, &key.sign(&tree_message("w", time, ORIGIN, 0, 5)));
    assert!(holds(ml_dsa_cosigner().vkey(), TEXT, &sign((1 << 63) - 1)));
    assert!(!holds(ml_dsa_cosigner().vkey(), TEXT, &sign(1 << 63)));
}

/// What Ed25519 signs: the fixed header line, the time line, and the whole text.
fn text_message(time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{TEXT}").into_bytes()
}

/// The message of an Ed25519 cosignature is the two lines and the whole text, and no other.
#[test]
fn cosignature_message_of_ed25519() {
    let (cosigner, key) = (ed25519_cosigner(), ed25519::SigningKey::from_seed(&SEED));
    let good = cosigner.cosign(&checkpoint(), time(1_679_315_147));
    assert_eq!(good, line(cosigner.vkey(), 1_679_315_147, &key.sign(&text_message(1_679_315_147))));
    let text = |message: &str| line(cosigner.vkey(), 5, &key.sign(message.as_bytes()));
    assert!(holds(cosigner.vkey(), TEXT, &text(&format!("cosignature/v1\ntime 5\n{TEXT}"))));
    for other in [
        TEXT.to_owned(),
        format!("cosignature/v1\n{TEXT}"),
        format!("cosignature/v2\ntime 5\n{TEXT}"),
        format!("cosignature/v1\ntime 6\n{TEXT}"),
        format!("cosignature/v1\ntime 05\n{TEXT}"),
        format!("cosignature/v1\ntime 5\n{}", TEXT.trim_end()),
    ] {
        assert!(!holds(cosigner.vkey(), TEXT, &text(&other)), "{other:?}");
    }
}

/// Extension lines are in the message of an Ed25519 cosignature, where a note has any. Relying parties read no checkpoint
/// that has some, so nobody takes one cosigner's word on them for that of all.
#[test]
fn cosignature_of_ed25519_covers_extension_lines() {
    let (cosigner, key) = (ed25519_cosigner(), ed25519::SigningKey::from_seed(&SEED));
    let extended = format!("{TEXT}extension\n");
    let whole = line(cosigner.vkey(), 5, &key.sign(format!("cosignature/v1\ntime 5\n{extended}").as_bytes()));
    let three = line(cosigner.vkey(), 5, &key.sign(&text_message(5)));
    assert!(holds(cosigner.vkey(), &extended, &whole) && !holds(cosigner.vkey(), &extended, &three));
    assert!(SignedCheckpoint::parse(format!("{extended}\n{whole}\n").as_bytes()).is_err());
    assert!(SignedCheckpoint::parse(format!("{TEXT}\n{three}\n").as_bytes()).is_ok());
}

/// `cosigned_message`, with the root of `TEXT`.
fn tree_message(cosigner: &str, time: u64, origin: &str, start: u64, end: u64) -> Vec<u8> {
    let mut message = b"subtree/v1\n\0".to_vec();
    message.push(cosigner.len() as u8);
    message.extend(cosigner.as_bytes());
    message.extend(time.to_be_bytes());
    message.push(origin.len() as u8);
    message.extend(origin.as_bytes());
    message.extend(start.to_be_bytes());
    message.extend(end.to_be_bytes());
    message.extend([7; 32]);
    message
}

/// The message of an ML-DSA-44 cosignature is the structure of the document: each field of it counts.
#[test]
fn cosignature_message_of_ml_dsa() {
    let (cosigner, key) = (ml_dsa_cosigner(), ml_dsa::SigningKey::from_seed(&SEED));
    let signed = |message: &[u8]| line(cosigner.vkey(), 5, &key.sign(message));
    let good = tree_message("w", 5, ORIGIN, 0, 5);
    assert_eq!(cosigner.cosign(&checkpoint(), time(5)), signed(&good));
    assert!(holds(cosigner.vkey(), TEXT, &signed(&good)));
    for (why, message) in [
        ("another label", [b"subtree/v2\n\0", &good[12..]].concat()),
        ("another name", tree_message("v", 5, ORIGIN, 0, 5)),
        ("another time", tree_message("w", 6, ORIGIN, 0, 5)),
        ("another origin", tree_message("w", 5, "log.example/2", 0, 5)),
        ("another end", tree_message("w", 5, ORIGIN, 0, 6)),
        ("another hash", [&good[..good.len() - 1], &[8]].concat()),
        ("the text", TEXT.into()),
        ("the message of Ed25519", text_message(5)),
    ] {
        assert!(!holds(cosigner.vkey(), TEXT, &signed(&message)), "{why}");
    }
}

/// Of a checkpoint the start is 0: a subtree's cosignature does not hold under one.
#[test]
fn cosignature_of_a_checkpoint_starts_at_0() {
    let (cosigner, key) = (ml_dsa_cosigner(), ml_dsa::SigningKey::from_seed(&SEED));
    let of_subtree = line(cosigner.vkey(), 0, &key.sign(&tree_message("w", 0, ORIGIN, 4, 5)));
    assert!(!holds(cosigner.vkey(), TEXT, &of_subtree));
}

/// A subtree that does not start at 0 is signed without a time, and is not judged valid with one.
#[test]
fn cosignature_of_a_subtree_bears_no_time() {
    let (cosigner, key) = (ml_dsa_cosigner(), ml_dsa::SigningKey::from_seed(&SEED));
    let of = LogSubtree {
        origin: Origin::parse(ORIGIN).unwrap(),
        subtree: Subtree::new(4, TreeSize::new(8)).unwrap(),
        hash: Hash::from_bytes([7; 32]),
    };
    let signed = |time| line(cosigner.vkey(), time, &key.sign(&tree_message("w", time, ORIGIN, 4, 8)));
    assert_eq!(cosigner.cosign_subtree(&of), Ok(signed(0)));
    assert!(judge(cosigner.vkey()).verify_subtree(&of, &signed(0)).is_some());
    assert!(judge(cosigner.vkey()).verify_subtree(&of, &signed(5)).is_none());
}

/// A time of 0 on a whole tree says nothing of when, and is valid.
#[test]
fn cosignature_without_a_time() {
    let line = ml_dsa_cosigner().cosign(&checkpoint(), Timestamp::NONE);
    assert!(holds(ml_dsa_cosigner().vkey(), TEXT, &line));
}

// --- tlog-policy ---

fn w(number: u8) -> Vkey {
    Cosigner::from_seed(name("w"), &[number; 32]).vkey().clone()
}

/// Three witnesses and these lines.
fn policy(rest: &str) -> Result<Policy, TlogError> {
    Policy::parse(format!("witness a {}\nwitness b {}\nwitness c {}\n{rest}", w(1), w(2), w(3)).as_bytes())
}

fn met(rest: &str, cosigned: &[&str]) -> bool {
    policy(rest).unwrap().quorum().is_met(|name| cosigned.iter().any(|by| by.as_bytes() == name.as_bytes()))
}

/// The name of a log's key is the origin of its checkpoints.
#[test]
fn policy_log_name_is_the_origin() {
    let signed = sign_checkpoint(&checkpoint(), &log()).unwrap();
    let of = |vkey: &Vkey| Policy::parse(format!("log {vkey}\nquorum none\n").as_bytes()).unwrap();
    assert!(of(log().vkey()).verify_checkpoint(&signed).is_ok());
    let renamed = Ed25519Signer::from_seed(name("log.example/2"), &[1; 32]);
    let note = Note::sign(TEXT, &renamed).unwrap();
    let by_renamed = SignedCheckpoint::parse(note.as_str().as_bytes()).unwrap();
    assert_eq!(of(renamed.vkey()).verify_checkpoint(&by_renamed), Err(VerifyError::NotSigned));
}

/// Any one of the listed logs signs.
#[test]
fn policy_accepts_each_of_its_logs() {
    let ml_dsa = Cosigner::ml_dsa_from_seed(name(ORIGIN), &[3; 32]).unwrap();
    let text = format!("log {}\nlog {}\nquorum none\n", log().vkey(), ml_dsa.vkey());
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert!(policy.verify_checkpoint(&sign_checkpoint(&checkpoint(), &log()).unwrap()).is_ok());
    assert!(policy.verify_checkpoint(&ml_dsa.sign_checkpoint(&checkpoint(), time(1)).unwrap()).is_ok());
}

/// A checkpoint is valid where a listed log has signed it and the quorum has cosigned it: neither alone.
#[test]
fn policy_asks_for_the_log_and_for_the_quorum() {
    let witness = ed25519_cosigner();
    let text = format!("log {}\nwitness a {}\nquorum a\n", log().vkey(), witness.vkey());
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let by_log = sign_checkpoint(&checkpoint(), &log()).unwrap();
    let line = witness.cosign(&checkpoint(), time(1));
    assert_eq!(policy.verify_checkpoint(&by_log), Err(VerifyError::QuorumNotMet));
    let both = SignedCheckpoint::parse(format!("{by_log}{line}\n").as_bytes()).unwrap();
    assert!(policy.verify_checkpoint(&both).is_ok());
    let by_witness = SignedCheckpoint::parse(format!("{TEXT}\n{line}\n").as_bytes()).unwrap();
    assert_eq!(policy.verify_checkpoint(&by_witness), Err(VerifyError::NotSigned));
}

/// There is exactly one quorum line.
#[test]
fn policy_has_one_quorum() {
    assert_eq!(policy(""), Err(TlogError::NoQuorum));
    assert!(policy("quorum a\n").is_ok() && policy("quorum a\nquorum a\n").is_err());
    assert!(policy("quorum none\nquorum none\n").is_err());
}

/// Groups and the quorum refer to names above them only.
#[test]
fn policy_refers_upwards() {
    assert!(policy("group g any a\nquorum g\n").is_ok());
    for rest in ["quorum g\ngroup g any a\n", "group g any h\ngroup h any a\nquorum g\n", "group g any g\nquorum g\n"] {
        assert!(policy(rest).is_err(), "{rest}");
    }
}

/// Two logs, or two witnesses, do not have one public key, however its name and id are written.
#[test]
fn policy_has_no_key_twice() {
    for (one, other) in [
        (Cosigner::from_seed(name("x"), &[9; 32]), Cosigner::from_seed(name("y"), &[9; 32])),
        (
            Cosigner::ml_dsa_from_seed(name("x"), &[9; 32]).unwrap(),
            Cosigner::ml_dsa_from_seed(name("y"), &[9; 32]).unwrap(),
        ),
    ] {
        assert!(policy(&format!("witness x {}\nquorum none\n", one.vkey())).is_ok());
        assert!(policy(&format!("witness x {}\nwitness y {}\nquorum none\n", one.vkey(), other.vkey())).is_err());
    }
    let [one, other] = ["x", "y"].map(|log| Ed25519Signer::from_seed(name(log), &[9; 32]));
    assert!(policy(&format!("log {}\nlog {}\nquorum none\n", one.vkey(), other.vkey())).is_err());
}

/// Keys have a type that fits their role. That a log has none of RFC 6962 is a choice of this reader, which could not
/// verify it.
#[test]
fn policy_key_types() {
    let ml_dsa = ml_dsa_cosigner();
    assert!(policy(&format!("log {0}\nwitness d {0}\nquorum none\n", ml_dsa.vkey())).is_ok());
    let note_key = Ed25519Signer::from_seed(name("x"), &[9; 32]);
    assert!(policy(&format!("witness d {}\nquorum none\n", note_key.vkey())).is_err());
    assert!(policy(&format!("log {}\nquorum none\n", ed25519_cosigner().vkey())).is_err());
    let rfc6962 = Vkey::new(name("x"), VkeyType::Other(5), &[9; 32]).unwrap();
    assert!(policy(&format!("log {rfc6962}\nquorum none\n")).is_err());
}

/// A threshold is a decimal from 1 to the number of members; `any` is 1, `all` is that number.
#[test]
fn policy_thresholds() {
    for (threshold, one, two, three) in
        [("any", true, true, true), ("1", true, true, true), ("2", false, true, true), ("all", false, false, true)]
    {
        let rest = format!("group g {threshold} a b c\nquorum g\n");
        assert_eq!([&["a"][..], &["c", "a"], &["a", "b", "c"]].map(|by| met(&rest, by)), [one, two, three]);
        assert!(!met(&rest, &[]));
    }
    for bad in ["0", "4", "-1", "+1", "01", "0x1", "1.0", "ALL", "some"] {
        assert!(policy(&format!("group g {bad} a b c\nquorum g\n")).is_err(), "{bad}");
    }
}

/// A group has members, and each name is a member once at most, in all of the groups together.
#[test]
fn policy_members() {
    assert!(policy("group g any\nquorum g\n").is_err());
    assert!(policy("group g any a a\nquorum g\n").is_err());
    assert!(policy("group g any a\ngroup h any a\nquorum g\n").is_err());
    assert!(policy("group g any a\ngroup h any g\ngroup i any g\nquorum g\n").is_err());
    assert!(policy("group g any a\ngroup h all g b\nquorum h\n").is_ok());
}

/// `none` is the quorum of no witness and nothing else's name, and no member.
#[test]
fn policy_none() {
    assert!(met("quorum none\n", &[]));
    for rest in ["group g any none\n".to_owned(), "group none any a\n".into(), format!("witness none {}\n", w(4))] {
        assert!(policy(&format!("{rest}quorum a\n")).is_err(), "{rest}");
    }
}

/// Witnesses and groups share their names, and a name is defined once.
#[test]
fn policy_names_are_one_space() {
    assert!(policy("group a any b\nquorum a\n").is_err());
    assert!(policy(&format!("witness a {}\nquorum a\n", w(4))).is_err());
    assert!(policy(&format!("group g any a\nwitness g {}\nquorum g\n", w(4))).is_err());
}

/// Items are parted by spaces and tabs and by nothing else; empty lines and comments are nothing.
#[test]
fn policy_white_space_and_comments() {
    assert!(met("\n \t\n# quorum b\n\t #\n \tquorum\t \ta \t\n", &["a"]));
    for bad in ["quorum\u{a0}a\n", "quorum\u{2003}a\n", "quorum a # comment\n"] {
        assert!(policy(bad).is_err(), "{bad:?}");
    }
}

/// The octets that may occur: tab, newline, 0x20 to 0x7e, and all with the high bit.
#[test]
fn policy_octets() {
    for byte in 0..=u8::MAX {
        let allowed = matches!(byte, b'\t' | b'\n' | 0x20..=0x7e | 0x80..);
        let text = [b"# ", &[byte][..], b"\nquorum none\n"].concat();
        assert_eq!(Policy::parse(&text).is_ok(), allowed, "{byte:#x}");
    }
}

/// Names are opaque octets: neither normalised nor decoded.
#[test]
fn policy_names_are_octets() {
    let with = |name: &[u8], quorum: &[u8]| {
        Policy::parse(&[b"witness ", name, b" ", w(1).to_string().as_bytes(), b"\nquorum ", quorum, b"\n"].concat())
    };
    assert!(with(b"\xff", b"\xff").is_ok() && with(b"K", b"K").is_ok());
    assert!(with(b"K", "\u{212a}".as_bytes()).is_err() && with("é".as_bytes(), b"e\xcc\x81").is_err());
}

/// 32 logs, witnesses and groups are supported at least, as the document strongly recommends.
#[test]
fn policy_limits() {
    let lines = |n: u8| {
        let log = Ed25519Signer::from_seed(name("l"), &[n; 32]);
        let witness = Cosigner::ml_dsa_from_seed(name("w"), &[n; 32]).unwrap();
        [format!("log {}\n", log.vkey()), format!("witness w{n} {}\ngroup g{n} any w{n}\n", witness.vkey())].concat()
    };
    let text: String = (1..=32).map(lines).collect();
    let policy = Policy::parse(format!("{text}quorum g32\n").as_bytes()).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (32, 32));
}
