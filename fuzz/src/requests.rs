//! Targets of what goes to witnesses and mirrors and comes back (tlog-witness, tlog-mirror).

use soulchain::hash::Hash;
use soulchain::merkle::{EMPTY_ROOT, LeafIndex, Subtree, TreeSize};
use soulchain::tlog::{
    AddCheckpointRequest, AddEntriesHeader, Arrived, Cosigner, MAX_ADD_ENTRIES_HEADER_LEN, MAX_CONSISTENCY_LEN,
    MAX_PACKAGE_LEN, MAX_SIGNATURES, MirrorInfo, Origin, Package, PackageRange, SignSubtreeRequest, SignedCheckpoint,
    Timestamp, parse_signature_lines, parse_size_body, signature_lines, size_body,
};

use crate::tlog::{cosigned, name, signed};

pub fn add_checkpoint(data: &[u8]) -> bool {
    let Ok(request) = AddCheckpointRequest::parse(data) else { return false };
    assert_eq!(request.to_string().as_bytes(), data);
    assert!(request.old_size() <= request.checkpoint().claim().size() && request.proof().len() <= MAX_CONSISTENCY_LEN);
    let _ = request.verify_consistency(&EMPTY_ROOT);
    true
}

pub fn add_checkpoints() -> Vec<Vec<u8>> {
    let request = |old, proof, checkpoint| {
        AddCheckpointRequest::new(TreeSize::new(old), vec![Hash::ZERO; proof], checkpoint)
            .expect("an old size that is not above the new one")
            .to_string()
            .into_bytes()
    };
    vec![
        request(0, 0, signed(0)),
        request(7, 3, cosigned()),
        request(41, 63, cosigned()),
        request(5, 2, post_quantum()),
    ]
}

pub fn sign_subtree(data: &[u8]) -> bool {
    let Ok(request) = SignSubtreeRequest::parse(data) else { return false };
    assert_eq!(request.to_string().as_bytes(), data);
    let of = request.subtree();
    assert!(of.subtree.end() <= request.checkpoint().claim().size());
    assert!(of.subtree.start() % of.subtree.size().get().next_power_of_two() == 0);
    let _ = request.verify_consistency();
    true
}

pub fn sign_subtrees() -> Vec<Vec<u8>> {
    let request = |start, end, proof| {
        let subtree = Subtree::new(start, TreeSize::new(end)).expect("a subtree");
        SignSubtreeRequest::new(subtree, Hash::ZERO, vec![Hash::ZERO; proof], cosigned())
            .expect("within the checkpoint")
            .to_string()
            .into_bytes()
    };
    vec![request(0, 41, 0), request(8, 13, 4), request(40, 41, 63)]
}

pub fn lines(data: &[u8]) -> bool {
    let Ok(lines) = parse_signature_lines(data) else { return false };
    assert_eq!(signature_lines(&lines).as_bytes(), data);
    assert!((1..=MAX_SIGNATURES).contains(&lines.len()));
    true
}

pub fn several_lines() -> Vec<Vec<u8>> {
    [cosigned(), post_quantum()].map(|by| signature_lines(by.note().signatures()).into_bytes()).into()
}

pub fn size(data: &[u8]) -> bool {
    let Ok(size) = parse_size_body(data) else { return false };
    assert_eq!(size_body(size).as_bytes(), data);
    true
}

pub fn sizes() -> Vec<Vec<u8>> {
    [0, 20_852_014, (1 << 53) - 1].map(|size| size_body(TreeSize::new(size)).into_bytes()).into()
}

/// What has arrived of a header tells how much more is wanted, and no more is wanted than the longest has.
pub fn add_entries(data: &[u8]) -> bool {
    match AddEntriesHeader::parse(data) {
        Ok(Arrived::Whole { value, len }) => {
            assert_eq!(value.to_bytes(), data[..len]);
            assert!(value.packages().take(1_000).all(|range| (1..=256).contains(&range.entries())));
            assert!(matches!(AddEntriesHeader::parse(&data[..len - 1]), Ok(Arrived::Part(_))));
            true
        }
        Ok(Arrived::Part(wanted)) => {
            assert!(wanted > data.len() && wanted <= MAX_ADD_ENTRIES_HEADER_LEN);
            false
        }
        Err(_) => false,
    }
}

pub fn several_entries() -> Vec<Vec<u8>> {
    [header(0, 0, b""), header(300, 1_000, b"ticket"), header(0, (1 << 53) - 1, &[0xff; 40])]
        .map(|header| header.to_bytes())
        .into()
}

/// The first byte says how many entries the package has to have, less one; the package follows.
pub fn package(data: &[u8]) -> bool {
    let Some((entries, data)) = data.split_first() else { return false };
    match range(u64::from(*entries) + 1).parse(data) {
        Ok(Arrived::Whole { value, len }) => {
            assert_eq!(value.to_bytes(), data[..len]);
            assert!(matches!(value.range().parse(&data[..len - 1]), Ok(Arrived::Part(_))));
            let _ = value.verify(&[], cosigned().claim());
            true
        }
        Ok(Arrived::Part(wanted)) => {
            assert!(wanted > data.len() && wanted <= MAX_PACKAGE_LEN);
            false
        }
        Err(_) => false,
    }
}

pub fn packages() -> Vec<Vec<u8>> {
    let package = |entries: &[&[u8]], proof| {
        let package = Package::new(range(entries.len() as u64), entries.into(), vec![Hash::ZERO; proof]);
        [&[(entries.len() - 1) as u8], &*package.expect("a package in bounds").to_bytes()].concat()
    };
    vec![package(&[b"a"], 0), package(&[b"ab", b"c", b"def"], 3), package(&[&b"x"[..]; 256], 63)]
}

pub fn mirror_info(data: &[u8]) -> bool {
    let Ok(info) = MirrorInfo::parse(data) else { return false };
    assert_eq!(info.to_string().as_bytes(), data);
    true
}

pub fn mirror_infos() -> Vec<Vec<u8>> {
    let info = |size, next, ticket: &[u8]| MirrorInfo::new(TreeSize::new(size), LeafIndex::new(next), ticket.into());
    [info(0, 0, b""), info(20_852_163, 20_852_014, b"opaque"), info(1, 2, &[7; 100])]
        .map(|info| info.expect("in bounds").to_string().into_bytes())
        .into()
}

/// A checkpoint that a post-quantum witness has cosigned.
fn post_quantum() -> SignedCheckpoint {
    let mut checkpoint = signed(41);
    let witness = Cosigner::ml_dsa_from_seed(name("witness.example/pq"), &[9; 32]).expect("a short name");
    let time = Timestamp::new(1_700_000_000).expect("a time in bounds");
    let line = witness.cosign(checkpoint.claim(), time);
    checkpoint.add_signature(line).expect("room for a signature");
    checkpoint
}

fn header(start: u64, end: u64, ticket: &[u8]) -> AddEntriesHeader {
    let origin = Origin::parse("log.example/soul1").expect("an origin");
    AddEntriesHeader::new(origin, LeafIndex::new(start), TreeSize::new(end), ticket.into()).expect("a range")
}

fn range(entries: u64) -> PackageRange {
    header(0, entries, b"").packages().next().expect("at least one entry")
}
