//! Uploads to mirrors, read as they arrive, and the mirrors' answers.

use super::*;

fn header(start: u64, end: u64, ticket: &[u8]) -> AddEntriesHeader {
    let origin = Origin::parse(ORIGIN).unwrap();
    AddEntriesHeader::new(origin, LeafIndex::new(start), TreeSize::new(end), ticket.into()).unwrap()
}

fn ranges(start: u64, end: u64) -> Vec<(u64, u64)> {
    header(start, end, b"").packages().map(|range| (range.start().get(), range.end().get())).collect()
}

/// Reads a value from each of its beginnings: what is asked for is more than there is, and no more than there will be.
fn arrives<T: core::fmt::Debug + PartialEq>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<Arrived<T>, TlogError>,
) -> Arrived<T> {
    for len in 0..bytes.len() {
        match read(&bytes[..len]) {
            Ok(Arrived::Part(wanted)) => assert!(len < wanted && wanted <= bytes.len(), "{len} {wanted}"),
            other => panic!("{len}: {other:?}"),
        }
    }
    // What follows is left alone.
    let more = [bytes, b"more"].concat();
    let read = [read(bytes), read(&more)].map(Result::unwrap);
    assert_eq!(read[0], read[1]);
    let [first, _] = read;
    first
}

#[test]
fn a_header_arrives_in_pieces() {
    for (start, end, ticket) in [(0, 0, &b""[..]), (5, 5, b"t"), (0, 1, b""), (300, (1 << 53) - 1, &[7; 300])] {
        let value = header(start, end, ticket);
        let bytes = value.to_bytes();
        let len = bytes.len();
        let read = arrives(&bytes, AddEntriesHeader::parse);
        assert_eq!(read, Arrived::Whole { value: value.clone(), len });
        assert_eq!((value.upload_start().get(), value.upload_end().get(), value.ticket()), (start, end, ticket));
        assert_eq!(value.origin().as_str(), ORIGIN);
    }
    let longest = header(0, 1, &vec![1; MAX_TICKET_LEN]).to_bytes();
    assert!(matches!(AddEntriesHeader::parse(&longest), Ok(Arrived::Whole { len, .. }) if len == longest.len()));
}

#[test]
fn each_way_for_a_header_to_be_wrong() {
    let good = header(1, 2, b"t").to_bytes();
    let at = 2 + ORIGIN.len();
    let with = |from: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[from..from + bytes.len()].copy_from_slice(bytes);
        AddEntriesHeader::parse(&changed)
    };
    assert!(matches!(with(0, &[]), Ok(Arrived::Whole { .. })));
    for (why, found, error) in [
        ("no origin", with(0, &[0, 0]), TlogError::Origin),
        ("long origin", with(0, &[1, 0]), TlogError::Origin),
        ("origin no text", with(2, &[0xff]), TlogError::Origin),
        ("origin with a space", with(2, b" "), TlogError::Origin),
        ("start beyond the end", with(at, &3_u64.to_be_bytes()), TlogError::UploadRange),
        ("end 2^53", with(at + 8, &(1_u64 << 53).to_be_bytes()), TlogError::UploadRange),
    ] {
        assert_eq!(found, Err(error), "{why}");
    }
    // A length that is out of bounds is told before the rest arrives.
    assert_eq!(AddEntriesHeader::parse(&[1, 0]), Err(TlogError::Origin));
    let new = |start, end, ticket| {
        let origin = Origin::parse(ORIGIN).unwrap();
        AddEntriesHeader::new(origin, LeafIndex::new(start), TreeSize::new(end), ticket)
    };
    assert_eq!(new(2, 1, vec![]), Err(TlogError::UploadRange));
    assert_eq!(new(2, 1 << 53, vec![]), Err(TlogError::UploadRange));
    assert_eq!(new(1, 1, vec![0; MAX_TICKET_LEN + 1]), Err(TlogError::Ticket));
}

/// The definition of the document, word for word.
fn naive_ranges(upload_start: u64, upload_end: u64) -> Vec<(u64, u64)> {
    if upload_start == upload_end {
        return vec![];
    }
    let rounded_start = upload_start / 256 * 256;
    let rounded_end = upload_end.div_ceil(256) * 256;
    let packages = (rounded_end - rounded_start) / 256;
    (0..packages)
        .map(|i| (upload_start.max(rounded_start + i * 256), upload_end.min(rounded_start + (i + 1) * 256)))
        .collect()
}

#[test]
fn packages_are_those_of_the_definition() {
    let edges = [0, 1, 2, 254, 255, 256, 257, 300, 511, 512, 513, 767, 768, 1_000, 1_024];
    for start in edges {
        for end in edges.into_iter().filter(|end| *end >= start) {
            let found = ranges(start, end);
            assert_eq!(found, naive_ranges(start, end), "{start} {end}");
            let mut left = header(start, end, b"").packages();
            assert_eq!((left.len(), left.is_empty()), (found.len() as u64, found.is_empty()));
            left.next();
            assert_eq!(left.len(), (found.len() as u64).saturating_sub(1));
            for range in header(start, end, b"").packages() {
                let rounded = range.start().get() / 256 * 256;
                assert_eq!((range.subtree().start(), range.subtree().end()), (rounded, range.end()));
                assert!((1..=256).contains(&range.entries()));
            }
        }
    }
    let all = header(1, (1 << 53) - 1, b"").packages();
    assert_eq!(all.len(), 1 << 45);
}

fn range(start: u64, end: u64) -> PackageRange {
    header(start, end, b"").packages().next().unwrap()
}

#[test]
fn a_package_arrives_in_pieces() {
    let (long, hash) = (vec![7; 65_535], Hash::from_bytes([9; 32]));
    for (entries, proof) in [
        (vec![&b"a"[..]], vec![]),
        (vec![&b"ab"[..], b"c", b"def"], vec![hash; 3]),
        (vec![&b"x"[..]; 256], vec![hash; MAX_CONSISTENCY_LEN]),
    ] {
        let package = Package::new(range(0, entries.len() as u64), entries.clone(), proof.clone()).unwrap();
        let bytes = package.to_bytes();
        let read = arrives(&bytes, |bytes| {
            package.range().parse(bytes).map(|read| match read {
                Arrived::Part(wanted) => Arrived::Part(wanted),
                Arrived::Whole { value, len } => {
                    Arrived::Whole { value: (value.entries().concat(), value.proof().to_vec()), len }
                }
            })
        });
        assert_eq!(read, Arrived::Whole { value: (entries.concat(), proof), len: bytes.len() });
        assert_eq!(package.range().parse(&bytes).unwrap(), Arrived::Whole { value: package.clone(), len: bytes.len() });
    }
    let longest = Package::new(range(0, 256), vec![&long[..]; 256], vec![hash; 63]).unwrap();
    assert_eq!(longest.to_bytes().len(), MAX_PACKAGE_LEN);
}

#[test]
fn each_way_for_a_package_to_be_wrong() {
    let of = range(254, 300);
    assert_eq!((of.start().get(), of.end().get(), of.entries()), (254, 256, 2));
    assert_eq!(of.parse(&[0, 0]), Err(TlogError::EntryLen { len: 0 }));
    assert_eq!(of.parse(&[0, 1, 7, 0, 1, 7, 64]), Err(TlogError::ConsistencyLen));
    assert_eq!(of.parse(&[0, 1, 7, 0, 1, 7, 63]), Ok(Arrived::Part(7 + 63 * 32)));
    let new = |entries: Vec<&'static [u8]>, hashes| Package::new(of, entries, vec![Hash::ZERO; hashes]).unwrap_err();
    assert_eq!(new(vec![b"a"], 0), TlogError::PackageEntries { expected: 2, found: 1 });
    assert_eq!(new(vec![b"a"; 3], 0), TlogError::PackageEntries { expected: 2, found: 3 });
    assert_eq!(new(vec![b"a", b""], 0), TlogError::EntryLen { len: 0 });
    assert_eq!(new(vec![b"a"; 2], 64), TlogError::ConsistencyLen);
    let long = vec![0; 65_536];
    let too_long = Package::new(of, vec![b"a", &long], vec![]);
    assert_eq!(too_long, Err(TlogError::EntryLen { len: 65_536 }));
}

/// An upload of a whole tree, from where the mirror stands: each package holds, and none with an entry changed.
#[test]
fn packages_prove_their_entries() {
    let entries: Vec<_> = (0_u64..700).map(u64::to_be_bytes).collect();
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let root = root_of_perfect(&leaves);
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::new(700), root).unwrap();
    for upload_start in [0, 100, 256, 300, 699] {
        for range in header(upload_start, 700, b"").packages() {
            let (rounded, start, end) = (range.subtree().start() as usize, range.start().get() as usize, range.end());
            let plan = subtree_consistency_plan(range.subtree(), TreeSize::new(700)).unwrap();
            let node = |node: soulchain::merkle::NodeId| {
                let width = 1 << node.level;
                Ok::<_, ()>(root_of_perfect(&leaves[node.index as usize * width..][..width]))
            };
            let proof = plan.path(node).unwrap();
            let own: Vec<_> = entries[start..end.get() as usize].iter().map(|entry| &entry[..]).collect();
            let package = Package::new(range, own.clone(), proof.clone()).unwrap();
            let before = &leaves[rounded..start];
            assert_eq!(package.verify(before, &checkpoint).unwrap(), leaves[start..end.get() as usize]);
            let mut changed = own;
            changed[0] = b"other";
            assert!(Package::new(range, changed, proof).unwrap().verify(before, &checkpoint).is_err());
            assert!(package.verify(&[before, &[root]].concat(), &checkpoint).is_err());
        }
    }
}

#[test]
fn mirrors_say_where_they_stand() {
    let longest = vec![0xff; MAX_TICKET_LEN];
    for (size, next, ticket) in [(0, 0, &b""[..]), (20, 7, b"opaque"), ((1 << 53) - 1, 1, &longest)] {
        let info = MirrorInfo::new(TreeSize::new(size), LeafIndex::new(next), ticket.into()).unwrap();
        assert_eq!(MirrorInfo::parse(info.to_string().as_bytes()), Ok(info.clone()));
        assert_eq!((info.tree_size().get(), info.next_entry().get(), info.ticket()), (size, next, ticket));
    }
    let empty = MirrorInfo::parse(b"5\n3\n\n").unwrap();
    assert_eq!((empty.tree_size().get(), empty.next_entry().get(), empty.ticket()), (5, 3, &b""[..]));
    for (why, text, error) in [
        ("nothing", "", TlogError::MirrorInfo),
        ("no ticket line", "5\n3\n", TlogError::MirrorInfo),
        ("no last newline", "5\n3\n\nx", TlogError::MirrorInfo),
        ("four lines", "5\n3\n\n\n", TlogError::MirrorInfo),
        ("leading zero", "05\n3\n\n", TlogError::TreeSize),
        ("no next entry", "5\n\n\n", TlogError::TreeSize),
        ("size 2^53", "9007199254740992\n3\n\n", TlogError::TreeSize),
        ("no padding", "5\n3\nAA\n", TlogError::Ticket),
        ("stray bits", "5\n3\nAB==\n", TlogError::Ticket),
    ] {
        assert_eq!(MirrorInfo::parse(text.as_bytes()), Err(error), "{why}");
    }
    let over = vec![0; MAX_TICKET_LEN + 1];
    let ticket = soulchain::encoding::b64_encode(&over);
    let text = format!("5\n3\n{ticket}\n");
    assert_eq!(MirrorInfo::parse(text.as_bytes()), Err(TlogError::Ticket));
    assert_eq!(MirrorInfo::new(TreeSize::ZERO, LeafIndex::new(0), over), Err(TlogError::Ticket));
    assert_eq!(MirrorInfo::new(TreeSize::new(1 << 53), LeafIndex::new(0), vec![]), Err(TlogError::TreeSize));
}
