//! Target of evidence (docs/formats.md §10).

use soulchain::hash::Hash;
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::tlog::{
    Checkpoint, Ed25519Signer, KeyName, NoteSigner as _, Origin, Policy, TlogProof, Vkey, sign_checkpoint,
};
use soulchain::verify::{BadEntry, BadReplay, Evidence, Fork, NamedKey, OneSigned, Placed, Unsealed, convict};

const ORIGIN: &str = "log.example/soul1";

/// What is read is written back; and a log that signed nothing of the kind is not convicted.
pub fn evidence(data: &[u8]) -> bool {
    let Ok(evidence) = Evidence::parse(data) else { return false };
    assert_eq!(evidence.to_string().as_bytes(), data);
    let stranger = format!("log {}\nquorum none\n", signer(9).vkey());
    let policy = Policy::parse(stranger.as_bytes()).expect("a policy of one key");
    assert!(convict(&evidence, &policy).is_err());
    true
}

pub fn files() -> Vec<Vec<u8>> {
    let placed = |index, entry: &[u8]| Placed {
        index: LeafIndex::new(index),
        entry: entry.into(),
        path: vec![Hash::from_bytes([7; 32]); 2],
    };
    let named = NamedKey {
        vkey: Vkey::parse(&signer(2).vkey().to_string()).expect("a vkey"),
        proof: TlogProof::new(Some(b"{}".to_vec()), LeafIndex::new(3), Vec::new(), signed(5).get().clone())
            .expect("a proof in bounds"),
        genesis_path: vec![Hash::from_bytes([8; 32])],
    };
    let fork = |named| {
        Evidence::Fork(Box::new(Fork {
            old: signed(2),
            new: signed(3),
            prefix_root: Hash::from_bytes([1; 32]),
            path: vec![Hash::from_bytes([2; 32])],
            named,
        }))
    };
    let replay = |entries| {
        Evidence::Replay(BadReplay {
            code: "conflict".into(),
            index: LeafIndex::new(1),
            checkpoint: signed(5),
            size: TreeSize::new(2),
            path: Vec::new(),
            entries,
        })
    };
    let entry = |beside| {
        Evidence::Entry(BadEntry { code: "malformed".into(), checkpoint: signed(4), entry: placed(2, b"x"), beside })
    };
    let all = [
        fork(None),
        fork(Some(named)),
        Evidence::Unsealed(Unsealed { checkpoint: signed(4), last: placed(3, b"entry") }),
        entry(None),
        entry(Some(placed(1, b""))),
        replay(None),
        replay(Some(vec![Vec::new(), b"two".to_vec()])),
    ];
    all.map(|evidence| evidence.to_string().into_bytes()).into()
}

fn signed(size: u64) -> OneSigned {
    let origin = Origin::parse(ORIGIN).expect("an origin");
    let checkpoint = Checkpoint::new(origin, TreeSize::new(size), Hash::from_bytes([size as u8; 32]));
    let note = sign_checkpoint(&checkpoint.expect("a size that there can be"), &signer(1)).expect("the log's key");
    OneSigned::parse(&note.to_string()).expect("one signature")
}

fn signer(seed: u8) -> Ed25519Signer {
    let signer = Ed25519Signer::from_seed(KeyName::parse(ORIGIN).expect("a name"), &[seed; 32]);
    assert_eq!(signer.name().as_str(), ORIGIN);
    signer
}
