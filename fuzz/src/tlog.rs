//! Targets of the C2SP formats.

use soulchain::hash::Hash;
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::tlog::{
    BundleWriter, Checkpoint, Cosigner, Ed25519Signer, KeyName, MAX_LOGS, MAX_WITNESSES, NoteSigner as _, Origin,
    Policy, SignedCheckpoint, TileId, Timestamp, TlogProof, Vkey, VkeyType, parse_bundle, sign_checkpoint,
};

const ORIGIN: &str = "log.example/soul1";

/// Text, an empty line and the signature lines are the note.
pub fn note(data: &[u8]) -> bool {
    let Ok(note) = soulchain::tlog::Note::parse(data) else { return false };
    let mut written = format!("{}\n", note.text());
    for signature in note.signatures() {
        written.push_str(&format!("{signature}\n"));
    }
    assert_eq!(written.as_bytes(), data);
    true
}

pub fn notes() -> Vec<Vec<u8>> {
    let unknown = format!("{}— é AAAAAQI=\n", signed(7));
    vec![
        signed(0).to_string().into(),
        cosigned().to_string().into(),
        unknown.into(),
        b"a\n\nb\n\n\xe2\x80\x94 k AAAAAAA=\n".into(),
    ]
}

/// What a checkpoint claims is written as the note's text.
pub fn checkpoint(data: &[u8]) -> bool {
    let Ok(checkpoint) = SignedCheckpoint::parse(data) else { return false };
    assert_eq!(checkpoint.claim().to_string(), checkpoint.note().text());
    assert_eq!(checkpoint.to_string().as_bytes(), data);
    true
}

pub fn checkpoints() -> Vec<Vec<u8>> {
    vec![signed(0).to_string().into(), signed(300).to_string().into(), cosigned().to_string().into()]
}

pub fn vkey(data: &[u8]) -> bool {
    let Some(vkey) = core::str::from_utf8(data).ok().and_then(|text| Vkey::parse(text).ok()) else { return false };
    assert_eq!(vkey.to_string().as_bytes(), data);
    true
}

pub fn vkeys() -> Vec<Vec<u8>> {
    let other = Vkey::new(name("x"), VkeyType::Other(0xfe), b"any").expect("a key of a type that nobody judges");
    let ml_dsa = Vkey::new(name("m"), VkeyType::MlDsa44, &[5; 1312]).expect("a key of the right length");
    let keys = [signer().vkey().clone(), witness(1).vkey().clone(), other, ml_dsa];
    keys.map(|key| key.to_string().into_bytes()).into()
}

pub fn proof(data: &[u8]) -> bool {
    let Ok(proof) = TlogProof::parse(data) else { return false };
    assert_eq!(proof.to_string().as_bytes(), data);
    true
}

pub fn proofs() -> Vec<Vec<u8>> {
    let proof = |extra: Option<&[u8]>, path| {
        TlogProof::new(extra.map(Into::into), LeafIndex::new(5), vec![Hash::from_bytes([9; 32]); path], cosigned())
            .expect("a proof in bounds")
            .to_string()
            .into_bytes()
    };
    vec![proof(None, 0), proof(Some(b"{\"v\":1}"), 3), proof(Some(&[0]), 64)]
}

/// A policy has many spellings. What holds: bounds, and that all of its witnesses meet the quorum while none of them
/// do so only where it is `none`.
pub fn policy(data: &[u8]) -> bool {
    let Ok(policy) = Policy::parse(data) else { return false };
    assert!(policy.logs().len() <= MAX_LOGS && policy.witnesses().len() <= MAX_WITNESSES);
    let quorum = policy.quorum();
    assert!(quorum.is_met(|_| true));
    assert_eq!(quorum.is_met(|_| false), quorum.is_none());
    assert_eq!(quorum.as_of(&[]), None);
    let commented = [data, b"# one more line\n\n"].concat();
    assert_eq!(Policy::parse(&commented).as_ref(), Ok(&policy));
    let _ = policy.verify_checkpoint(&cosigned());
    true
}

pub fn policies() -> Vec<Vec<u8>> {
    let log = signer().vkey().to_string();
    let [w1, w2, w3] = [1, 2, 3].map(|n| witness(n).vkey().to_string());
    let witnesses = format!("witness w1 {w1}\nwitness w2 {w2} https://w2.example/\nwitness w3\t{w3}\n");
    vec![
        b"quorum none\n".into(),
        format!("log {log}\nquorum none\n").into(),
        format!("# a comment\nlog {log} https://log.example/\n{witnesses}group g 2 w1 w2 w3\nquorum g\n").into(),
        format!("log {log}\n{witnesses}group a any w1 w2\ngroup b all a w3\n\nquorum b\n").into(),
        format!("{witnesses}quorum w1\n").into(),
    ]
}

pub fn tile_path(data: &[u8]) -> bool {
    let tile = core::str::from_utf8(data).ok().and_then(|path| TileId::parse_path(path).ok());
    let Some(tile) = tile else { return false };
    assert_eq!(tile.to_string().as_bytes(), data);
    assert!((1..=256).contains(&tile.width()) && tile.is_partial() == (tile.width() < 256));
    assert!(!tile.is_in(TreeSize::ZERO));
    true
}

pub fn tile_paths() -> Vec<Vec<u8>> {
    let paths = [
        "tile/0/000",
        "tile/0/000.p/1",
        "tile/8/x001/x234/067.p/255",
        "tile/63/999",
        "tile/entries/x009/x007/x199/x254/x740/991",
    ];
    paths.map(|path| path.as_bytes().to_vec()).into()
}

pub fn bundle(data: &[u8]) -> bool {
    let Ok(entries) = parse_bundle(data) else { return false };
    let mut writer = BundleWriter::new();
    for entry in entries {
        writer.push(entry).expect("an entry that was read can be written");
    }
    assert_eq!(writer.into_bytes(), data);
    true
}

pub fn bundles() -> Vec<Vec<u8>> {
    vec![b"\0\x01a".into(), b"\0\x02ab\0\x01c".into(), [0, 1, 7].repeat(256)]
}

pub(crate) fn name(text: &str) -> KeyName {
    KeyName::parse(text).expect("a key name")
}

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(name(ORIGIN), &[200; 32])
}

fn witness(n: u8) -> Cosigner {
    Cosigner::from_seed(name(&format!("witness.example/w{n}")), &[200 + n; 32])
}

pub(crate) fn signed(size: u64) -> SignedCheckpoint {
    let root = if size == 0 { soulchain::merkle::EMPTY_ROOT } else { Hash::from_bytes([size as u8; 32]) };
    let origin = Origin::parse(ORIGIN).expect("an origin");
    let checkpoint = Checkpoint::new(origin, TreeSize::new(size), root).expect("a checkpoint");
    let signer = signer();
    assert_eq!(signer.name(), checkpoint.origin().key_name());
    sign_checkpoint(&checkpoint, &signer).expect("a signed checkpoint")
}

pub(crate) fn cosigned() -> SignedCheckpoint {
    let mut checkpoint = signed(41);
    for n in 1..=3 {
        let time = Timestamp::new(1_700_000_000 + u64::from(n)).expect("a time in bounds");
        let cosignature = witness(n).cosign(checkpoint.claim(), time);
        checkpoint.add_signature(cosignature).expect("room for a signature");
    }
    checkpoint
}
