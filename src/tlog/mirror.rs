//! What goes to a mirror and comes back (tlog-mirror; `add-checkpoint` and `sign-subtree` are `witness`'s).
//!
//! ```text
//! POST /add-entries                      u16 length ‖ origin ‖ u64 upload_start ‖ u64 upload_end
//!                                        ‖ u16 length ‖ ticket, then packages
//! package                                (u16 length ‖ entry)… ‖ u8 count ‖ hash 32 …
//! 202, 409 text/x.tlog.mirror-info       <tree size> ⏎ <next entry> ⏎ base64(ticket) ⏎
//! ```
//!
//! The header says which packages may follow: [`AddEntriesHeader::packages`]. A body has no bound, so header and
//! packages are read from what has arrived of it: [`Arrived`]. An entry is 1 to 65,535 bytes (formats.md §1).

use core::fmt;

use super::bundle::MAX_ENTRY_LEN;
use super::checkpoint::Checkpoint;
use super::error::TlogError;
use super::origin::Origin;
use super::tile::TILE_WIDTH;
use super::witness::{MAX_CONSISTENCY_LEN, tree_size};
use crate::encoding::{MAX_SAFE_INTEGER, Reader, Writer, b64_decode, b64_encode};
use crate::hash::{HASH_LEN, Hash};
use crate::merkle::{LeafIndex, ProofError, Subtree, TreeSize, leaf_hash, root_of_perfect, verify_subtree_consistency};

/// Most entries of a package.
pub const MAX_PACKAGE_ENTRIES: usize = TILE_WIDTH as usize;
/// Longest package, in bytes.
pub const MAX_PACKAGE_LEN: usize = MAX_PACKAGE_ENTRIES * (2 + MAX_ENTRY_LEN) + 1 + MAX_CONSISTENCY_LEN * HASH_LEN;
/// Longest ticket, in bytes.
pub const MAX_TICKET_LEN: usize = u16::MAX as usize;
/// Longest header of `add-entries`, in bytes.
pub const MAX_ADD_ENTRIES_HEADER_LEN: usize = 2 + Origin::MAX_LEN + 8 + 8 + 2 + MAX_TICKET_LEN;
/// Longest body of `text/x.tlog.mirror-info`, in bytes: two decimals of 16 digits, and a ticket in base64.
pub const MAX_MIRROR_INFO_LEN: usize = 17 + 17 + MAX_TICKET_LEN.div_ceil(3) * 4 + 1;
/// The content type of an `add-entries` body.
pub const ADD_ENTRIES_CONTENT_TYPE: &str = "application/octet-stream";
/// The content type of [`MirrorInfo`].
pub const MIRROR_INFO_CONTENT_TYPE: &str = "text/x.tlog.mirror-info";

/// What has come of a value that arrives in pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrived<T> {
    /// Not all of it. Nothing more can be told before there are this many bytes of it, the ones that are there
    /// included: that is more than there are.
    Part(usize),
    /// All of it.
    Whole {
        /// The value.
        value: T,
        /// Its bytes; what is behind them belongs to the next one.
        len: usize,
    },
}

/// What an upload begins with: whose entries, which, and the ticket of the mirror's last answer.
///
/// Invariant: the upload does not start beyond its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddEntriesHeader {
    origin: Origin,
    upload_start: LeafIndex,
    upload_end: TreeSize,
    ticket: Vec<u8>,
}

/// Which entries a package holds: `start..end`, of one entry bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackageRange {
    start: LeafIndex,
    end: TreeSize,
}

/// The packages of an upload in their order.
#[derive(Clone, Debug)]
pub struct PackageRanges {
    start: u64,
    end: u64,
}

/// The entries of a package and its proof, which nobody has checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package<'a> {
    range: PackageRange,
    entries: Vec<&'a [u8]>,
    proof: Vec<Hash>,
}

/// Where a mirror stands: what it answers 202 and 409 with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MirrorInfo {
    tree_size: TreeSize,
    next_entry: LeafIndex,
    ticket: Vec<u8>,
}

impl AddEntriesHeader {
    /// Puts a header together; the ticket is what the mirror gave, or empty.
    pub fn new(
        origin: Origin,
        upload_start: LeafIndex,
        upload_end: TreeSize,
        ticket: Vec<u8>,
    ) -> Result<Self, TlogError> {
        if upload_end > TreeSize::MAX || upload_start.get() > upload_end.get() {
            return Err(TlogError::UploadRange);
        }
        if ticket.len() > MAX_TICKET_LEN {
            return Err(TlogError::Ticket);
        }
        Ok(Self { origin, upload_start, upload_end, ticket })
    }

    /// Reads the header from the beginning of a body.
    pub fn parse(bytes: &[u8]) -> Result<Arrived<Self>, TlogError> {
        const FIXED_LEN: usize = 2 + 8 + 8 + 2;
        let mut reader = Reader::new(bytes);
        let Some(origin_len) = reader.u16().map(usize::from) else { return Ok(Arrived::Part(2)) };
        if !(1..=Origin::MAX_LEN).contains(&origin_len) {
            return Err(TlogError::Origin);
        }
        let (Some(origin), Some(start), Some(end), Some(ticket_len)) =
            (reader.take(origin_len), reader.u64(), reader.u64(), reader.u16())
        else {
            return Ok(Arrived::Part(FIXED_LEN + origin_len));
        };
        let len = FIXED_LEN + origin_len + usize::from(ticket_len);
        let Some(ticket) = reader.take(ticket_len.into()) else { return Ok(Arrived::Part(len)) };
        let origin = core::str::from_utf8(origin).map_err(|_| TlogError::Origin)?;
        let (origin, ticket) = (Origin::parse(origin)?, ticket.into());
        let value = Self::new(origin, LeafIndex::new(start), TreeSize::new(end), ticket)?;
        Ok(Arrived::Whole { value, len })
    }

    /// The bytes of the header.
    pub fn to_bytes(&self) -> Vec<u8> {
        let origin = self.origin.as_str().as_bytes();
        let mut bytes = Writer::with_capacity(20 + origin.len() + self.ticket.len());
        bytes.u16(origin.len() as u16).raw(origin).u64(self.upload_start.get()).u64(self.upload_end.get());
        bytes.u16(self.ticket.len() as u16).raw(&self.ticket);
        bytes.into_bytes()
    }

    /// The log's name.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The first entry of the upload.
    pub const fn upload_start(&self) -> LeafIndex {
        self.upload_start
    }

    /// The size of the checkpoint that the proofs lead to, which is also where the upload ends.
    pub const fn upload_end(&self) -> TreeSize {
        self.upload_end
    }

    /// The ticket, which may be empty.
    pub fn ticket(&self) -> &[u8] {
        &self.ticket
    }

    /// The canonical sequence of packages; the body holds the first of them, or all.
    pub const fn packages(&self) -> PackageRanges {
        PackageRanges { start: self.upload_start.get(), end: self.upload_end.get() }
    }
}

impl Iterator for PackageRanges {
    type Item = PackageRange;

    fn next(&mut self) -> Option<PackageRange> {
        if self.start >= self.end {
            return None;
        }
        let end = (bundle_start(self.start) + u64::from(TILE_WIDTH)).min(self.end);
        let range = PackageRange { start: LeafIndex::new(self.start), end: TreeSize::new(end) };
        self.start = end;
        Some(range)
    }
}

impl PackageRanges {
    /// How many packages are left.
    pub const fn len(&self) -> u64 {
        if self.start >= self.end { 0 } else { (self.end - 1) / TILE_WIDTH as u64 - self.start / TILE_WIDTH as u64 + 1 }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

impl PackageRange {
    /// The first entry.
    pub const fn start(self) -> LeafIndex {
        self.start
    }

    /// The entry after the last.
    pub const fn end(self) -> TreeSize {
        self.end
    }

    /// How many entries: 1 to 256.
    pub const fn entries(self) -> usize {
        (self.end.get() - self.start.get()) as usize
    }

    /// What the proof is of: from the beginning of the bundle on, though the package may start later.
    pub fn subtree(self) -> Subtree {
        Subtree::new(bundle_start(self.start.get()), self.end).expect("at most 256 leaves, from a multiple of 256 on")
    }

    /// Reads the package from the beginning of what has arrived of the body behind the packages before it.
    pub fn parse(self, bytes: &[u8]) -> Result<Arrived<Package<'_>>, TlogError> {
        let mut reader = Reader::new(bytes);
        let read = |reader: &Reader<'_>| bytes.len() - reader.len();
        let mut entries = Vec::with_capacity(self.entries());
        while entries.len() < self.entries() {
            // Each entry that is not seen yet is 3 bytes at least, and a count follows.
            let rest = 3 * (self.entries() - entries.len()) + 1;
            let begun = read(&reader);
            let Some(len) = reader.u16().map(usize::from) else { return Ok(Arrived::Part(begun + rest)) };
            if len == 0 {
                return Err(TlogError::EntryLen { len });
            }
            let Some(entry) = reader.take(len) else { return Ok(Arrived::Part(begun + rest + len - 1)) };
            entries.push(entry);
        }
        let begun = read(&reader);
        let Some(count) = reader.u8().map(usize::from) else { return Ok(Arrived::Part(begun + 1)) };
        if count > MAX_CONSISTENCY_LEN {
            return Err(TlogError::ConsistencyLen);
        }
        let len = begun + 1 + count * HASH_LEN;
        let Some(hashes) = reader.take(count * HASH_LEN) else { return Ok(Arrived::Part(len)) };
        let (hashes, _) = hashes.as_chunks::<HASH_LEN>();
        let proof = hashes.iter().copied().map(Hash::from_bytes).collect();
        Ok(Arrived::Whole { value: Package { range: self, entries, proof }, len })
    }
}

impl<'a> Package<'a> {
    /// Puts a package together: exactly the entries of its range.
    pub fn new(range: PackageRange, entries: Vec<&'a [u8]>, proof: Vec<Hash>) -> Result<Self, TlogError> {
        if entries.len() != range.entries() {
            return Err(TlogError::PackageEntries { expected: range.entries(), found: entries.len() });
        }
        if let Some(entry) = entries.iter().find(|entry| !(1..=MAX_ENTRY_LEN).contains(&entry.len())) {
            return Err(TlogError::EntryLen { len: entry.len() });
        }
        if proof.len() > MAX_CONSISTENCY_LEN {
            return Err(TlogError::ConsistencyLen);
        }
        Ok(Self { range, entries, proof })
    }

    /// The bytes of the package.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries: usize = self.entries.iter().map(|entry| 2 + entry.len()).sum();
        let mut bytes = Writer::with_capacity(entries + 1 + self.proof.len() * HASH_LEN);
        for entry in &self.entries {
            bytes.u16(entry.len() as u16).raw(entry);
        }
        bytes.u8(self.proof.len() as u8);
        for hash in &self.proof {
            bytes.raw(hash.as_bytes());
        }
        bytes.into_bytes()
    }

    /// Which entries they are.
    pub const fn range(&self) -> PackageRange {
        self.range
    }

    /// The entries.
    pub fn entries(&self) -> &[&'a [u8]] {
        &self.entries
    }

    /// The path from the range's subtree to the tree of the upload's end.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// Whether the entries are those of the checkpoint, which is of the upload's end: `before` are the leaf hashes of
    /// the entries that the bundle has before the package starts. Returns the leaf hashes of the entries.
    pub fn verify(&self, before: &[Hash], checkpoint: &Checkpoint) -> Result<Vec<Hash>, ProofError> {
        let subtree = self.range.subtree();
        let expected = (self.range.start.get() - subtree.start()) as usize;
        if before.len() != expected {
            return Err(ProofError::PathLength { expected, found: before.len() });
        }
        let leaves: Vec<_> = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let hash = root_of_perfect(&[before, &leaves].concat());
        verify_subtree_consistency(subtree, checkpoint.size(), &hash, &checkpoint.root(), &self.proof)?;
        Ok(leaves)
    }
}

impl MirrorInfo {
    /// Where a mirror stands: the size of a pending checkpoint, the next entry that it wants, and a ticket, which may
    /// be empty.
    pub fn new(tree_size: TreeSize, next_entry: LeafIndex, ticket: Vec<u8>) -> Result<Self, TlogError> {
        if tree_size > TreeSize::MAX || next_entry.get() > MAX_SAFE_INTEGER {
            return Err(TlogError::TreeSize);
        }
        if ticket.len() > MAX_TICKET_LEN {
            return Err(TlogError::Ticket);
        }
        Ok(Self { tree_size, next_entry, ticket })
    }

    /// Reads the body of an answer 202 or 409.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        if bytes.len() > MAX_MIRROR_INFO_LEN {
            return Err(TlogError::MirrorInfo);
        }
        let text = core::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n'));
        let mut lines = text.ok_or(TlogError::MirrorInfo)?.split('\n');
        let (Some(size), Some(next), Some(ticket), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(TlogError::MirrorInfo);
        };
        let (Some(size), Some(next)) = (tree_size(size), tree_size(next)) else { return Err(TlogError::TreeSize) };
        Self::new(size, next.next_index(), b64_decode(ticket).ok_or(TlogError::Ticket)?)
    }

    /// The size of a pending checkpoint: what `upload_end` should be.
    pub const fn tree_size(&self) -> TreeSize {
        self.tree_size
    }

    /// The first entry that the mirror lacks: what `upload_start` should be.
    pub const fn next_entry(&self) -> LeafIndex {
        self.next_entry
    }

    /// What the next upload should bring along.
    pub fn ticket(&self) -> &[u8] {
        &self.ticket
    }
}

/// The body of the answer.
impl fmt::Display for MirrorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.tree_size, self.next_entry, b64_encode(&self.ticket))
    }
}

/// The first entry of the bundle that an entry is in.
const fn bundle_start(index: u64) -> u64 {
    index - index % TILE_WIDTH as u64
}
