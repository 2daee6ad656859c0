//! Key files (formats.md §9): what is written reads back, what should not be read is refused, and nothing is lost.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value, json};
use soulchain::ed25519::SigningKey;
use soulchain::encoding::{b64u_encode, hex_encode};
use soulchain::keyfile::{
    AnyKeyFile, KEY_FILE_EXTENSION, KeyAlg, KeyFile, KeyFileError, KeyFileFault, MAX_KEY_FILE_LEN, OpenedKey,
};

/// Made with another implementation: Argon2id of OpenSSL, `HChaCha20` by hand, ChaCha20-Poly1305 of OpenSSL. The seed is
/// the bytes 1 to 32.
const FOREIGN: &str = r#"{"v":1,"alg":"ed25519","kid":"89181fbee07a1c959f91627fb709bafc097b56251f4321ab0839590c3f9a4bf5","pk":"ebVWLo_mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ","kdf":"argon2id","t":3,"m":65536,"p":4,"salt":"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8","cipher":"xchacha20-poly1305","nonce":"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX","ct":"IjgkNey-iUzwAWIo8TP-8ME8COMIIxEtj4Aau_D7GT--KTWkL1s57K9QUcI5MMXD"}"#;
const FOREIGN_PASSPHRASE: &str = "correct horse — Batterie";

#[test]
fn a_file_of_another_implementation_opens() {
    let opened = read_text(FOREIGN, Some(FOREIGN_PASSPHRASE)).unwrap();
    let seed: [u8; 32] = std::array::from_fn(|at| at as u8 + 1);
    assert_eq!(opened.key.seed(), &seed);
    assert!(!opened.is_unencrypted && opened.open_mode.is_none());
    assert_eq!(opened.key.signing_key().sign(b"x"), SigningKey::from_seed(&seed).sign(b"x"));
}

#[test]
fn an_encrypted_key_reads_back_with_its_passphrase_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent").with_extension(KEY_FILE_EXTENSION);
    let key = KeyFile::generate().unwrap();
    key.write(&path, Some(&"sesame".into())).unwrap();

    let opened = KeyFile::read(&path, Some(&"sesame".into())).unwrap();
    assert_eq!((opened.key.seed(), opened.key.pk(), opened.key.kid()), (key.seed(), key.pk(), key.kid()));
    assert!(!opened.is_unencrypted && opened.open_mode.is_none());

    for (passphrase, fault) in [
        (Some("Sesame"), KeyFileFault::WrongPassphrase),
        (Some(""), KeyFileFault::WrongPassphrase),
        (None, KeyFileFault::PassphraseNeeded),
    ] {
        let passphrase = passphrase.map(SecretString::from);
        assert_eq!(fault_of(KeyFile::read(&path, passphrase.as_ref())), fault);
    }

    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&b64u_encode(key.seed())) && !text.contains("\"seed\""));
    assert_eq!(members(&text), "v alg kid pk kdf t m p salt cipher nonce ct");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["kid"], json!(hex_encode(key.kid().as_bytes())));
    assert_eq!((&value["t"], &value["m"], &value["p"]), (&json!(3), &json!(65_536), &json!(4)));
}

#[test]
fn salt_and_nonce_are_new_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyFile::generate().unwrap();
    let [one, two] = ["1.key", "2.key"].map(|name| {
        let path = dir.path().join(name);
        key.write(&path, Some(&"same".into())).unwrap();
        serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap()
    });
    for member in ["salt", "nonce", "ct"] {
        assert_ne!(one[member], two[member], "{member}");
    }
    assert_eq!(one["kid"], two["kid"]);
}

#[test]
fn an_unencrypted_key_reads_back_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.key");
    let key = KeyFile::from_seed(&[7; 32]);
    key.write(&path, None).unwrap();
    assert_eq!(members(&fs::read_to_string(&path).unwrap()), "v alg kid pk seed");
    for passphrase in [None, Some(SecretString::from("not needed"))] {
        let opened = KeyFile::read(&path, passphrase.as_ref()).unwrap();
        assert_eq!(opened.key.seed(), &[7; 32]);
        assert!(opened.is_unencrypted);
    }
}

#[test]
fn keys_are_the_owners_and_others_rights_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    KeyFile::from_seed(&[7; 32]).write(&path, None).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    for (mode, told) in [(0o600, None), (0o400, None), (0o640, Some(0o640)), (0o604, Some(0o604)), (0o620, Some(0o620))]
    {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(KeyFile::read(&path, None).unwrap().open_mode, told, "{mode:o}");
    }
}

#[test]
fn no_file_is_ever_replaced_and_none_is_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    KeyFile::from_seed(&[1; 32]).write(&path, None).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(KeyFile::from_seed(&[2; 32]).write(&path, None), Err(KeyFileError::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);

    // A link to nothing is a file as well.
    let link = dir.path().join("link.key");
    std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
    assert!(matches!(KeyFile::from_seed(&[2; 32]).write(&link, None), Err(KeyFileError::Exists { .. })));

    let empty = KeyFile::from_seed(&[2; 32]).write(&dir.path().join("b.key"), Some(&"".into()));
    assert!(matches!(empty, Err(KeyFileError::EmptyPassphrase)));
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.key", "link.key"]);

    let nowhere = KeyFile::from_seed(&[2; 32]).write(&dir.path().join("none/b.key"), None).unwrap_err();
    assert!(matches!(nowhere, KeyFileError::Io { .. }), "{nowhere}");
    let missing = KeyFile::read(&dir.path().join("c.key"), None).unwrap_err();
    assert!(missing.to_string().contains("c.key") && missing.hint().contains("name of the key"), "{missing}");
}

#[test]
fn of_two_writers_of_one_name_one_wins_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    let written: Vec<u8> = std::thread::scope(|scope| {
        let path = &path;
        let write = move |seed: u8| KeyFile::from_seed(&[seed; 32]).write(path, None).is_ok();
        let writers: Vec<_> = (1..=8).map(|seed| (seed, scope.spawn(move || write(seed)))).collect();
        writers.into_iter().filter_map(|(seed, writer)| writer.join().unwrap().then_some(seed)).collect()
    });
    let [winner] = written[..] else { panic!("{written:?} wrote the same file") };
    assert_eq!(KeyFile::read(&path, None).unwrap().key.seed(), &[winner; 32]);
}

#[test]
fn what_is_no_key_file_is_refused() {
    let plain = plain_text();
    let json_faults = [
        ("nothing", String::new()),
        ("no object", format!("[{}]", r#"1,"ed25519","","",null"#)),
        ("the values as an array", as_array(&plain)),
        ("cut off", plain[..plain.len() - 1].into()),
        ("more behind it", format!("{plain}{{}}")),
        ("an unknown member", with(&plain, "comment", json!("mine"))),
        ("a member twice", plain.replacen("{\"v\":1", "{\"v\":1,\"v\":1", 1)),
        ("null for a member of the other form", with(&plain, "ct", Value::Null)),
        ("a version that is no number", with(&plain, "v", json!("1"))),
        ("a version with a fraction", plain.replacen("\"v\":1", "\"v\":1.0", 1)),
        ("no alg", without(&plain, "alg")),
        ("no kid", without(&plain, "kid")),
        ("no pk", without(&plain, "pk")),
        ("no version", without(&plain, "v")),
        ("not UTF-8", String::from("{\"v\":1,\"alg\":\"\u{0}")),
    ];
    for (why, text) in json_faults {
        assert!(matches!(fault_of(read_text(&text, None)), KeyFileFault::Json { .. }), "{why}: {text}");
    }

    let member = |name| KeyFileFault::Member { name };
    let kid = serde_json::from_str::<Value>(&plain).unwrap()["kid"].as_str().unwrap().to_owned();
    let other = KeyFile::from_seed(&[8; 32]);
    let faults = [
        ("another version", with(&plain, "v", json!(2)), KeyFileFault::Version { v: 2 }),
        ("another algorithm", with(&plain, "alg", json!("Ed25519")), member("alg")),
        ("a kid in capitals", with(&plain, "kid", json!(kid.to_uppercase())), member("kid")),
        ("a short kid", with(&plain, "kid", json!(kid[2..])), member("kid")),
        ("a padded pk", with(&plain, "pk", json!(format!("{}=", b64u_encode(&[1; 32])))), member("pk")),
        ("a short pk", with(&plain, "pk", json!(b64u_encode(&[1; 31]))), member("pk")),
        ("a long seed", with(&plain, "seed", json!(b64u_encode(&[7; 33]))), member("seed")),
        ("stray bits", with(&plain, "seed", json!(stray_bits(&b64u_encode(&[7; 32])))), member("seed")),
        ("another kid", with(&plain, "kid", json!(hex_encode(other.kid().as_bytes()))), KeyFileFault::Kid),
        ("another seed", with(&plain, "seed", json!(b64u_encode(&[8; 32]))), KeyFileFault::PublicKey),
        ("no seed", without(&plain, "seed"), KeyFileFault::Form),
        ("one member of the other form", with(&plain, "kdf", json!("argon2id")), KeyFileFault::Form),
        ("one number of the other form", with(&plain, "t", json!(3)), KeyFileFault::Form),
        ("too long", format!("{plain}{}", " ".repeat(MAX_KEY_FILE_LEN)), KeyFileFault::TooLong),
    ];
    for (why, text, fault) in faults {
        assert_eq!(fault_of(read_text(&text, None)), fault, "{why}: {text}");
    }
    assert!(read_text(&format!(" \n{plain}\n"), None).is_ok(), "white space is no fault");
}

#[test]
fn an_encrypted_file_has_the_members_of_the_format_and_no_others() {
    let member = |name| KeyFileFault::Member { name };
    let faults = [
        ("another kdf", with(FOREIGN, "kdf", json!("argon2i")), member("kdf")),
        ("fewer passes", with(FOREIGN, "t", json!(1)), member("t")),
        ("more memory", with(FOREIGN, "m", json!(4_294_967_295_u32)), member("m")),
        ("other lanes", with(FOREIGN, "p", json!(1)), member("p")),
        ("a short salt", with(FOREIGN, "salt", json!(b64u_encode(&[1; 16]))), member("salt")),
        ("another cipher", with(FOREIGN, "cipher", json!("aes-256-gcm")), member("cipher")),
        ("a short nonce", with(FOREIGN, "nonce", json!(b64u_encode(&[1; 12]))), member("nonce")),
        ("a short ciphertext", with(FOREIGN, "ct", json!(b64u_encode(&[1; 32]))), member("ct")),
        ("both forms", with(FOREIGN, "seed", json!(b64u_encode(&[7; 32]))), KeyFileFault::Form),
    ];
    for (why, text, fault) in faults {
        assert_eq!(fault_of(read_text(&text, Some(FOREIGN_PASSPHRASE))), fault, "{why}");
    }
    for name in ["kdf", "t", "m", "p", "salt", "cipher", "nonce", "ct"] {
        let text = without(FOREIGN, name);
        assert_eq!(fault_of(read_text(&text, Some(FOREIGN_PASSPHRASE))), KeyFileFault::Form, "{name}");
    }
}

#[test]
fn what_was_changed_does_not_open() {
    let flipped = |name: &str, len: usize| {
        let value: Value = serde_json::from_str(FOREIGN).unwrap();
        let mut bytes = soulchain::encoding::b64u_decode(value[name].as_str().unwrap()).unwrap();
        assert_eq!(bytes.len(), len);
        bytes[0] ^= 1;
        with(FOREIGN, name, json!(b64u_encode(&bytes)))
    };
    // Another key's name over this ciphertext: the associated data tells.
    let other = KeyFile::from_seed(&[8; 32]);
    let renamed = with(FOREIGN, "kid", json!(hex_encode(other.kid().as_bytes())));
    let renamed = with(&renamed, "pk", json!(b64u_encode(other.pk())));
    for text in [flipped("salt", 32), flipped("nonce", 24), flipped("ct", 48), renamed] {
        assert_eq!(fault_of(read_text(&text, Some(FOREIGN_PASSPHRASE))), KeyFileFault::WrongPassphrase, "{text}");
    }
}

#[test]
fn nothing_that_is_shown_holds_the_seed() {
    let key = KeyFile::from_seed(&[0x5a; 32]);
    let seed = b64u_encode(&[0x5a; 32]);
    let swapped = with(&plain_text(), "v", json!(seed));
    let shown = [
        format!("{key:?}"),
        format!("{:?}", read_text(&plain_text(), None).unwrap()),
        format!("{:?}", read_text(&swapped, None).unwrap_err()),
        read_text(&swapped, None).unwrap_err().to_string(),
    ];
    for text in shown {
        assert!(!text.contains(&seed) && !text.contains("90, 90") && !text.contains("7, 7") && !text.contains("5a5a"));
    }
}

#[test]
fn ml_dsa_keys_read_back_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let key = AnyKeyFile::generate(KeyAlg::MlDsa44).unwrap();
    for (name, passphrase, expected) in [
        ("sealed.key", Some(SecretString::from("sesame")), "v alg kid pk kdf t m p salt cipher nonce ct"),
        ("plain.key", None, "v alg kid pk seed"),
    ] {
        let path = dir.path().join(name);
        key.write(&path, passphrase.as_ref()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(members(&text), expected);
        assert!(text.contains("\"alg\":\"ml-dsa-44\"") && text.len() < 2_300);
        let opened = AnyKeyFile::read(&path, passphrase.as_ref()).unwrap();
        assert_eq!((opened.key.alg(), opened.key.seed()), (KeyAlg::MlDsa44, key.seed()));
        assert_eq!((opened.key.pk(), opened.key.kid()), (key.pk(), key.kid()));
        assert_eq!(opened.is_unencrypted, passphrase.is_none());
        assert!(!format!("{:?}", opened.key).contains(&hex_encode(key.seed())));
        // Where an Ed25519 key is wanted it is refused, and before the passphrase is tried.
        let other = KeyFileFault::Algorithm { alg: KeyAlg::MlDsa44 };
        assert_eq!(fault_of(KeyFile::read(&path, None)), other);
        assert_eq!(any_fault(AnyKeyFile::read_of(KeyAlg::Ed25519, &path, None)), other);
        assert!(AnyKeyFile::read_of(KeyAlg::MlDsa44, &path, passphrase.as_ref()).is_ok());
    }
    let sealed = dir.path().join("sealed.key");
    assert_eq!(any_fault(AnyKeyFile::read(&sealed, Some(&"other".into()))), KeyFileFault::WrongPassphrase);
}

#[test]
fn each_way_for_an_ml_dsa_key_to_be_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    let key = AnyKeyFile::from_seed(KeyAlg::MlDsa44, &[7; 32]);
    key.write(&path, None).unwrap();
    let plain = fs::read_to_string(&path).unwrap();
    let ed25519 = plain_text();
    let of_ed25519: Value = serde_json::from_str(&ed25519).unwrap();
    let pk = b64u_encode(AnyKeyFile::from_seed(KeyAlg::MlDsa44, &[8; 32]).pk());
    let member = |name| KeyFileFault::Member { name };
    for (why, text, fault) in [
        ("another algorithm's name", with(&plain, "alg", json!("ML-DSA-44")), member("alg")),
        ("said to be Ed25519", with(&plain, "alg", json!("ed25519")), member("pk")),
        ("an Ed25519 key said to be ML-DSA", with(&ed25519, "alg", json!("ml-dsa-44")), member("pk")),
        ("an Ed25519 key's kid", with(&plain, "kid", of_ed25519["kid"].clone()), KeyFileFault::Kid),
        ("another public key", with(&plain, "pk", json!(pk)), KeyFileFault::Kid),
        ("another seed", with(&plain, "seed", json!(b64u_encode(&[8; 32]))), KeyFileFault::PublicKey),
        ("a short public key", with(&plain, "pk", json!(b64u_encode(&key.pk()[1..]))), member("pk")),
    ] {
        let file = dir.path().join("b.key");
        write_private(&file, &text);
        assert_eq!(any_fault(AnyKeyFile::read(&file, None)), fault, "{why}");
        fs::remove_file(&file).unwrap();
    }
}

/// What a key file gives to sign with is what the seed gives in the core.
#[test]
fn key_files_cosign() {
    use soulchain::tlog::{Cosigner, KeyName};
    let name = || KeyName::parse("witness.example/w1").unwrap();
    for (alg, core) in [
        (KeyAlg::Ed25519, Cosigner::from_seed(name(), &[7; 32])),
        (KeyAlg::MlDsa44, Cosigner::ml_dsa_from_seed(name(), &[7; 32]).unwrap()),
    ] {
        assert_eq!(AnyKeyFile::from_seed(alg, &[7; 32]).cosigner(name()).unwrap().vkey(), core.vkey());
    }
    let key = AnyKeyFile::from(KeyFile::from_seed(&[7; 32]));
    assert_eq!((key.alg(), key.pk()), (KeyAlg::Ed25519, &KeyFile::from_seed(&[7; 32]).pk()[..]));
}

fn any_fault(read: Result<OpenedKey<AnyKeyFile>, KeyFileError>) -> KeyFileFault {
    match read.unwrap_err() {
        KeyFileError::Refused { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

fn plain_text() -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    KeyFile::from_seed(&[7; 32]).write(&path, None).unwrap();
    fs::read_to_string(path).unwrap()
}

fn read_text(text: &str, passphrase: Option<&str>) -> Result<OpenedKey, KeyFileError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    write_private(&path, text);
    KeyFile::read(&path, passphrase.map(SecretString::from).as_ref())
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn fault_of(read: Result<OpenedKey, KeyFileError>) -> KeyFileFault {
    match read {
        Err(error @ KeyFileError::Refused { fault, .. }) => {
            assert!(!error.hint().is_empty() && error.to_string().contains(&fault.to_string()));
            fault
        }
        Err(error) => panic!("{error}"),
        Ok(opened) => panic!("{opened:?} opened"),
    }
}

/// The names of the members, in their order.
fn members(text: &str) -> String {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap();
    inner.split(',').map(|member| member.split('"').nth(1).unwrap()).collect::<Vec<_>>().join(" ")
}

fn with(text: &str, name: &str, value: Value) -> String {
    let mut object: Value = serde_json::from_str(text).unwrap();
    object[name] = value;
    object.to_string()
}

fn without(text: &str, name: &str) -> String {
    let mut object: Value = serde_json::from_str(text).unwrap();
    object.as_object_mut().unwrap().remove(name).unwrap();
    object.to_string()
}

/// The first values of a key file in their order, without the names.
fn as_array(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap();
    format!("[{}]", ["v", "alg", "kid", "pk"].map(|name| value[name].to_string()).join(","))
}

/// The same bytes with a bit set that stands for none of them.
fn stray_bits(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    format!("{rest}{}", &alphabet[at + 1..at + 2])
}
