//! Erasures that damage stands in the way of: what is told, what a repair does, and what it leaves alone.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use soulchain::log::{Directory, FsckReport, NoCheck, Severity, Subject, backup, fsck};
use soulchain::merkle::LeafIndex;
use soulchain::node::{Node, RegistryMachine};
use soulchain::soul::LogId;
use soulchain::storage::{MemoryViews, OsDisk};

use super::{agent_log, check_node, close_node, damage, files, options};

const BODIES: &str = "bodies/000";
const OWED: &str = "erasures";

/// The file of orders that are kept, with one in it.
fn owe(path: &Path, index: u64) {
    let mut bytes = [b"soulchain/erasures/1", &index.to_be_bytes()[..]].concat();
    bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
    fs::write(path.join(OWED), bytes).unwrap();
}

/// Where the slots of the file are; the place of the entry is in the first byte of each.
fn slots(file: &[u8]) -> Vec<Range<usize>> {
    let (mut slots, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let len = u32::from_be_bytes(file[at + 34..at + 38].try_into().unwrap()) as usize;
        slots.push(at..at + 38 + len);
        at += 38 + len;
    }
    slots
}

fn is_in(needle: &[u8], path: &Path) -> bool {
    fs::read(path.join(BODIES)).unwrap().windows(needle.len()).any(|window| window == needle)
}

fn told(report: &FsckReport) -> Vec<String> {
    damage(report).iter().map(ToString::to_string).collect()
}

#[test]
fn a_repair_finishes_an_erasure_whatever_byte_beside_it_is_changed() {
    let (_folder, path) = agent_log();
    let whole = fs::read(path.join(BODIES)).unwrap();
    let before = files(&path);
    let slots = slots(&whole);
    let (neighbour, ordered) = (&slots[19], &slots[20]);
    let index = u64::from(whole[ordered.start]);
    let salt = &whole[ordered.start + 2..ordered.start + 34];
    let body = &whole[ordered.start + 38..ordered.end];
    // Its own head, salt and body, and the head of the slot before it, behind which it is not found.
    let own = (0..38).chain([38, 60, ordered.len() - 1]).map(|at| (true, ordered.start + at));
    let other = (0..38).step_by(3).chain([1]).map(|at| (false, neighbour.start + at));
    for (is_own, at) in own.chain(other) {
        let mut wrong = whole.clone();
        wrong[at] ^= if is_own { 3 } else { 0x44 };
        fs::write(path.join(BODIES), &wrong).unwrap();
        owe(&path, index);
        let damaged = files(&path);
        let found = check_node(&path, false);
        assert!(files(&path) == damaged, "byte {at}: without --repair nothing is written");
        let about = format!("the body beside entry {index} is to be erased");
        let finding = found.findings.iter().find(|finding| finding.what.contains(&about)).unwrap();
        let is_hindered = finding.severity == Severity::Damage;
        assert!(!is_hindered || finding.repairable && finding.what.contains(&format!("bytes {} to", ordered.start)));
        let repaired = check_node(&path, true);
        assert!(repaired.findings.iter().any(|finding| finding.repaired && finding.what.contains(&about)), "byte {at}");
        assert!(!path.join(OWED).exists(), "byte {at}: the order is finished");
        assert!(!is_in(&salt[16..], &path) && !is_in(&salt[..15], &path), "byte {at}");
        assert!(!is_in(&body[..12], &path), "byte {at}");
        let now = fs::read(path.join(BODIES)).unwrap();
        assert!(now[..ordered.start] == wrong[..ordered.start] && now[ordered.end..] == wrong[ordered.end..]);
        assert!(now[ordered.start + 34..ordered.start + 38] == whole[ordered.start + 34..ordered.start + 38]);
        assert_eq!((now[ordered.start], now[ordered.start + 1]), (index as u8, 2), "byte {at}");
        assert!(now[ordered.start + 2..ordered.start + 34].iter().all(|byte| *byte == 0), "byte {at}");
        assert!(now[ordered.start + 38..ordered.end].iter().all(|byte| *byte == 0), "byte {at}");
        let again = check_node(&path, false);
        if is_own {
            assert_eq!(again.findings, [], "byte {at}");
            assert_eq!(again.erased, 1);
        } else {
            assert!(told(&again).iter().all(|told| !told.contains("is to be erased")), "byte {at}");
        }
    }
    fs::write(path.join(BODIES), whole).unwrap();
    assert!(files(&path) == before);
}

#[test]
fn where_no_slot_can_be_told_all_of_it_goes_and_what_went_with_it_is_named() {
    let (_folder, path) = agent_log();
    let whole = fs::read(path.join(BODIES)).unwrap();
    let slots = slots(&whole);
    let index = u64::from(whole[slots[20].start]);
    // Of three slots of one length one is missing, and nothing is right in the others.
    assert_eq!(slots[20].len(), slots[21].len());
    let mut wrong = whole.clone();
    for slot in [&slots[20], &slots[21]] {
        wrong[slot.start] ^= 0x55;
        wrong[slot.start + 35] ^= 1;
        wrong[slot.start + 50] ^= 1;
    }
    wrong.drain(slots[22].clone());
    fs::write(path.join(BODIES), &wrong).unwrap();
    owe(&path, index);
    let [first, second] = [u64::from(whole[slots[21].start]), u64::from(whole[slots[22].start])];
    let others = format!("[{first}, {second}]");
    let found = told(&check_node(&path, false));
    assert!(found.iter().any(|told| told.contains("--repair overwrites") && told.contains(&others)), "{found:?}");
    assert!(fs::read(path.join(BODIES)).unwrap() == wrong);
    let repaired = check_node(&path, true);
    assert!(!repaired.is_clean());
    assert!(told(&repaired).iter().any(|told| told.contains("was overwritten") && told.contains(&others)));
    let (start, end) = (slots[20].start, slots[21].end);
    let now = fs::read(path.join(BODIES)).unwrap();
    assert!(now[start + 2..start + 34].iter().chain(&now[start + 38..end]).all(|byte| *byte == 0));
    assert!(now[..start] == wrong[..start] && now[end..] == wrong[end..], "nothing else is touched");
    assert!(!path.join(OWED).exists());
    // Those behind it are read.
    let (node, recovery) = Node::open(options(&path, false)).unwrap();
    assert_eq!(recovery.owed_erasures, 0);
    let view = node.view();
    let behind = LeafIndex::new(u64::from(whole[slots[30].start]));
    assert!(node.reader(&view).body(behind).unwrap().into_body().is_some());
    close_node(node);
}

#[test]
fn an_owed_erasure_outlives_openings_and_goes_with_a_copy() {
    let (folder, path) = agent_log();
    let whole = fs::read(path.join(BODIES)).unwrap();
    let slots = slots(&whole);
    let index = u64::from(whole[slots[20].start]);
    let mut wrong = whole.clone();
    wrong[slots[19].start + 35] ^= 8;
    fs::write(path.join(BODIES), &wrong).unwrap();
    owe(&path, index);
    for _ in 0..2 {
        let (node, recovery) = Node::open(options(&path, false)).unwrap();
        assert_eq!(recovery.owed_erasures, 1);
        let owed = node.engine().owed_erasures();
        assert_eq!((owed[0].index.get(), &owed[0].name[..], owed[0].offset), (index, BODIES, slots[19].start as u64));
        close_node(node);
    }
    let copy = folder.path().join("copy");
    backup(&path, &copy, true, &mut |_| {}).unwrap();
    for path in [&path, &copy] {
        assert!(told(&check_node(path, false)).iter().any(|told| told.contains("is to be erased")));
        check_node(path, true);
        assert!(!is_in(&whole[slots[20].start + 2..slots[20].start + 34], path));
        assert!(!is_in(&whole[slots[20].start + 38..slots[20].end], path));
    }
    // The file of orders itself: nobody forgets what it held.
    owe(&path, index);
    let mut orders = fs::read(path.join(OWED)).unwrap();
    orders[25] ^= 1;
    fs::write(path.join(OWED), orders).unwrap();
    assert!(Node::open(options(&path, false)).is_err());
    assert!(check_node(&path, true).findings.iter().any(|finding| finding.name == OWED));
    fs::remove_file(path.join(OWED)).unwrap();
    close_node(Node::open(options(&path, false)).unwrap().0);
}

/// The neighbour's body is whole and its head is not; of a third slot nothing is there, so lengths alone tell nothing.
#[test]
fn a_repair_leaves_the_neighbour_whose_body_is_whole() {
    let (_folder, path) = agent_log();
    let whole = fs::read(path.join(BODIES)).unwrap();
    let slots = slots(&whole);
    let index = u64::from(whole[slots[20].start]);
    for at in [0, 1, 34, 35, 36, 37] {
        let mut wrong = whole.clone();
        for at in [0, 35, 50] {
            wrong[slots[20].start + at] ^= 0x55;
        }
        wrong[slots[21].start + at] ^= 0x41;
        wrong.drain(slots[22].clone());
        fs::write(path.join(BODIES), &wrong).unwrap();
        owe(&path, index);
        let told = told(&check_node(&path, true));
        assert!(told.iter().all(|told| !told.contains("overwritten together")), "{told:?}");
        let now = fs::read(path.join(BODIES)).unwrap();
        assert!(now[slots[21].start..] == wrong[slots[21].start..], "byte {at}: the neighbour is not touched");
        assert!(now[..slots[20].start] == wrong[..slots[20].start]);
        assert!(!is_in(&whole[slots[20].start + 2..slots[20].start + 34], &path));
        assert!(!path.join(OWED).exists());
    }
}

/// A check that takes any body for right proves none.
#[test]
fn what_no_check_can_prove_is_not_overwritten_and_the_order_is_kept() {
    let (_folder, path) = agent_log();
    let whole = fs::read(path.join(BODIES)).unwrap();
    let slots = slots(&whole);
    let index = u64::from(whole[slots[20].start]);
    for at in [slots[19].start + 35, slots[20].start + 1] {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x44;
        fs::write(path.join(BODIES), &wrong).unwrap();
        owe(&path, index);
        let directory = Directory::open(&path).unwrap();
        let machine = RegistryMachine::new(LogId::of_origin(&directory.origin().origin));
        let storage = directory.storage_with(Arc::new(MemoryViews::default())).unwrap();
        let disk = Arc::new(OsDisk::open(&path).unwrap());
        let subject = Subject { disk, journal: &*storage.journal, views: None };
        let report = fsck(machine, &NoCheck, &subject, true, &mut |_| {}).unwrap();
        let about = format!("the body beside entry {index} is to be erased");
        let finding = report.findings.iter().find(|finding| finding.what.contains(&about)).unwrap();
        assert!(!report.is_clean() && !finding.repairable, "{finding}");
        assert!(fs::read(path.join(BODIES)).unwrap() == wrong, "not a byte is overwritten");
        assert!(path.join(OWED).exists(), "the order is kept");
        drop((storage, directory));
        // Who can prove it finishes it.
        check_node(&path, true);
        assert!(!path.join(OWED).exists());
    }
}

/// Two bits and a slot of a body that nobody ordered to be erased says that it is another's, and erased.
#[test]
fn a_repair_overwrites_no_slot_that_another_claims() {
    let (_folder, path) = agent_log();
    let whole = fs::read(path.join(BODIES)).unwrap();
    let slots = slots(&whole);
    let mut wrong = whole.clone();
    assert_eq!(slots[20].len(), slots[21].len());
    wrong[slots[20].start] = whole[slots[21].start];
    wrong[slots[20].start + 1] = 2;
    fs::write(path.join(BODIES), &wrong).unwrap();
    let report = check_node(&path, true);
    assert!(!report.is_clean());
    assert!(fs::read(path.join(BODIES)).unwrap() == wrong, "{:?}", report.findings);
}
