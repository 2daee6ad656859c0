//! Bodies that are kept beside the log: one file for each entry bundle, made of slots.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | place of the entry in its bundle |
//! | 1 | 1 | 1 = kept, 2 = erased |
//! | 2 | 32 | salt; zeros where erased |
//! | 34 | 4 | length |
//! | 38 | n | body; zeros where erased |
//!
//! Slots are in the order of their entries. Of the file of the partial bundle only the length that the manifest says is
//! relied upon: what lies beyond is being written, or was when a crash came. A body is checked against the commitment in
//! its entry by whoever knows the entry's format; this file only finds it.
//!
//! A slot is erased in two steps: its mark, one byte, is durable before anything else of it changes. So a slot that says
//! that it is kept is whole, for who reads meanwhile, for a copy, and after a crash.
//!
//! A length on disk is believed only as far as its slot ends in its file. Before anything is overwritten more is asked:
//! that the length is the one that the entry says, or, where entries say none, that the slot ends where the next one
//! begins or the file ends. So an erasure touches no byte of another slot, and leaves none of its own.

use bytes::Bytes;

use super::batch::MAX_BODY_LEN;
use super::erasure::BodyToErase;
use super::flush::Flushed;
use super::tail::SideBody;
use crate::encoding::{Reader, Writer};
use crate::merkle::{LeafIndex, TILE_WIDTH};
use crate::storage::{Blobs, StorageError};
use crate::tlog::index_path;

/// Bytes of a slot before its body.
pub(crate) const HEAD_LEN: usize = 38;
/// Where the mark is in a slot; the salt follows it.
const MARK_AT: u64 = 1;
const KEPT: u8 = 1;
const ERASED: u8 = 2;

/// The file of the bodies of a bundle.
pub(crate) fn path(bundle: u64) -> String {
    format!("bodies/{}", index_path(bundle))
}

/// The slot of a body.
pub(crate) fn slot(at: usize, body: &SideBody) -> Vec<u8> {
    let mut slot = Writer::with_capacity(HEAD_LEN + body.bytes.len());
    slot.u8(at as u8).u8(KEPT).raw(&body.salt).u32(body.bytes.len() as u32).raw(&body.bytes);
    slot.into_bytes()
}

/// The slot of a body of this length that was erased.
pub(crate) fn erased_slot(at: usize, len: u32) -> Vec<u8> {
    let mut slot = Writer::with_capacity(HEAD_LEN + len as usize);
    slot.u8(at as u8).u8(ERASED).raw(&[0; 32]).u32(len).raw(&vec![0; len as usize]);
    slot.into_bytes()
}

/// A slot as it lies in its file.
pub(crate) struct Slot {
    /// Place of its entry in the bundle.
    pub(crate) at: usize,
    pub(crate) content: Content,
    /// Where it begins.
    pub(crate) start: u64,
    /// Where the next one begins.
    pub(crate) end: u64,
}

/// What is in a slot.
pub(crate) enum Content {
    Kept(SideBody),
    Erased {
        /// Of the body that was there.
        len: u32,
        /// Whether nothing of it is left.
        is_blank: bool,
    },
}

/// What is kept for an entry. What lies from `end` of its bundle on is not looked at.
pub(crate) fn find(
    blobs: &dyn Blobs,
    index: LeafIndex,
    end: impl FnOnce(u64) -> u64,
) -> Result<Option<Content>, StorageError> {
    let (bundle, at) = place(index);
    let (name, end) = (path(bundle), end(bundle));
    let Some((offset, head)) = locate(blobs, &name, at, end)? else { return Ok(None) };
    read_content(blobs, &name, offset, &head).map(Some)
}

/// The slot that begins at `offset`; `None` at the end of the file, or of the part before `end`.
pub(crate) fn slot_at(blobs: &dyn Blobs, name: &str, offset: u64, end: u64) -> Result<Option<Slot>, StorageError> {
    let Some(head) = (if offset < end { head_at(blobs, name, offset)? } else { None }) else { return Ok(None) };
    let slot_end = head.end(offset);
    if slot_end > end {
        return Err(cut_short(name, offset));
    }
    let content = read_content(blobs, name, offset, &head)?;
    Ok(Some(Slot { at: head.at, content, start: offset, end: slot_end }))
}

/// Where the erased slots of a file begin, as far as it is made of slots.
pub(crate) fn erased_slots(blobs: &dyn Blobs, name: &str, end: u64) -> Result<Vec<u64>, StorageError> {
    let (mut erased, mut offset) = (Vec::new(), 0);
    while offset < end {
        match head_at(blobs, name, offset) {
            Ok(Some(head)) => {
                if head.mark == ERASED {
                    erased.push(offset);
                }
                offset = head.end(offset);
            }
            Ok(None) | Err(StorageError::Damaged { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(erased)
}

/// Erases a body that is flushed, durably; again where it is marked already, since of a mark that can be read it is not
/// known whether it is on the medium.
pub(crate) fn erase(blobs: &dyn Blobs, body: &BodyToErase, flushed: Flushed) -> Result<(), StorageError> {
    let (name, offset, head) = find_erasable(blobs, body, flushed)?;
    wipe(blobs, &name, offset, &head)
}

/// Whether [`erase`] would find what it may overwrite.
pub(crate) fn check_erasable(blobs: &dyn Blobs, body: &BodyToErase, flushed: Flushed) -> Result<(), StorageError> {
    find_erasable(blobs, body, flushed).map(drop)
}

/// Erases the slot that begins at `offset` in a file whose slots end at `end`, durably.
pub(crate) fn erase_at(blobs: &dyn Blobs, name: &str, offset: u64, end: u64) -> Result<(), StorageError> {
    let Some(head) = head_at(blobs, name, offset)? else { return Ok(()) };
    check_extent(blobs, name, (offset, &head), slots_end(blobs, name, end)?)?;
    wipe(blobs, name, offset, &head)
}

/// Whether the slot that begins at `offset` ends where the next one begins, or where all of them end.
pub(crate) fn ends_where_it_says(blobs: &dyn Blobs, name: &str, offset: u64, end: u64) -> Result<bool, StorageError> {
    let Some(head) = head_at(blobs, name, offset)? else { return Ok(false) };
    match check_extent(blobs, name, (offset, &head), slots_end(blobs, name, end)?) {
        Ok(()) => Ok(true),
        Err(StorageError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The slot of a body, and the file that it is in.
fn find_erasable(blobs: &dyn Blobs, body: &BodyToErase, flushed: Flushed) -> Result<(String, u64, Head), StorageError> {
    let (bundle, at) = place(body.index);
    let (name, end) = (path(bundle), flushed.bodies_end(bundle));
    let Some((offset, head)) = locate(blobs, &name, at, end)? else {
        return Err(damaged(&name, 0, "the slot of a body is not there"));
    };
    match body.len {
        Some(len) if len == head.len => check_next(blobs, &name, (offset, &head), slots_end(blobs, &name, end)?)?,
        Some(_) => return Err(damaged(&name, offset, "the slot has another length than the body of its entry")),
        None => check_extent(blobs, &name, (offset, &head), slots_end(blobs, &name, end)?)?,
    }
    Ok((name, offset, head))
}

/// That the slot behind this one, where its head can be read, is of a later entry: of two that claim a place, or lie out
/// of order, it is not known which is whose. The length is known to be right.
fn check_next(blobs: &dyn Blobs, name: &str, slot: (u64, &Head), end: u64) -> Result<(), StorageError> {
    let (offset, head) = slot;
    let slot_end = head.end(offset);
    let next = if slot_end < end { head_at(blobs, name, slot_end) } else { Ok(None) };
    match next {
        Ok(Some(next)) if next.at <= head.at => Err(damaged(name, offset, "the slot behind it is out of order")),
        Ok(_) | Err(StorageError::Damaged { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// That a slot ends where the next one begins, or where all of them end.
fn check_extent(blobs: &dyn Blobs, name: &str, slot: (u64, &Head), end: u64) -> Result<(), StorageError> {
    let (offset, head) = slot;
    let slot_end = head.end(offset);
    if slot_end >= end {
        return if slot_end == end { Ok(()) } else { Err(cut_short(name, offset)) };
    }
    match head_at(blobs, name, slot_end)? {
        Some(next) if next.at > head.at && next.end(slot_end) <= end => Ok(()),
        _ => Err(damaged(name, offset, "no other slot begins where this one ends")),
    }
}

fn wipe(blobs: &dyn Blobs, name: &str, offset: u64, head: &Head) -> Result<(), StorageError> {
    // A crash before this is durable leaves a body that is whole; one after it, a slot that nobody reads.
    blobs.overwrite(name, offset + MARK_AT, &[ERASED])?;
    let blank = erased_slot(head.at, head.len);
    let salt_at = MARK_AT + 1;
    blobs.overwrite(name, offset + salt_at, &blank[salt_at as usize..])
}

/// What the head of a slot says.
pub(crate) struct Stated {
    pub(crate) at: usize,
    pub(crate) is_erased: bool,
    pub(crate) len: u32,
}

/// Reads the head that these bytes begin with, if they do.
pub(crate) fn stated(bytes: &[u8]) -> Option<Stated> {
    let head = parse_head(bytes.get(..HEAD_LEN)?)?;
    Some(Stated { at: head.at, is_erased: head.mark == ERASED, len: head.len })
}

struct Head {
    at: usize,
    mark: u8,
    salt: [u8; 32],
    len: u32,
}

impl Head {
    /// Where the slot that begins at `offset` ends.
    fn end(&self, offset: u64) -> u64 {
        offset + HEAD_LEN as u64 + u64::from(self.len)
    }
}

/// Bundle of an entry, and its place in it.
fn place(index: LeafIndex) -> (u64, usize) {
    (index.get() / TILE_WIDTH as u64, index.get() as usize % TILE_WIDTH)
}

/// Where the slots of a file end.
fn slots_end(blobs: &dyn Blobs, name: &str, end: u64) -> Result<u64, StorageError> {
    Ok(blobs.len(name)?.unwrap_or(0).min(end))
}

/// The slot of the entry at this place. It ends in its file, and so does each one before it.
fn locate(blobs: &dyn Blobs, name: &str, at: usize, end: u64) -> Result<Option<(u64, Head)>, StorageError> {
    let end = slots_end(blobs, name, end)?;
    let (mut offset, mut least) = (0, 0);
    while offset < end {
        let Some(head) = head_at(blobs, name, offset)? else { break };
        if head.end(offset) > end {
            return Err(cut_short(name, offset));
        }
        if head.at < least {
            return Err(damaged(name, offset, "a slot is out of order"));
        }
        if head.at >= at {
            return Ok((head.at == at).then_some((offset, head)));
        }
        (offset, least) = (head.end(offset), head.at + 1);
    }
    Ok(None)
}

fn read_content(blobs: &dyn Blobs, name: &str, offset: u64, head: &Head) -> Result<Content, StorageError> {
    let bytes = blobs.read_at(name, offset + HEAD_LEN as u64, head.len as usize)?.unwrap_or_default();
    if bytes.len() != head.len as usize {
        return Err(cut_short(name, offset));
    }
    let erased =
        |salt: &[u8]| Content::Erased { len: head.len, is_blank: [salt, &bytes].concat().iter().all(|b| *b == 0) };
    if head.mark == ERASED {
        return Ok(erased(&head.salt));
    }
    // It may have been erased while it was read.
    match head_at(blobs, name, offset)? {
        Some(now) if now.mark == ERASED => Ok(erased(&now.salt)),
        _ => Ok(Content::Kept(SideBody { salt: head.salt, bytes: Bytes::from(bytes) })),
    }
}

fn cut_short(name: &str, offset: u64) -> StorageError {
    damaged(name, offset, "a body is cut short")
}

fn damaged(name: &str, offset: u64, what: &'static str) -> StorageError {
    StorageError::Damaged { name: name.to_owned(), offset, what }
}

fn head_at(blobs: &dyn Blobs, name: &str, offset: u64) -> Result<Option<Head>, StorageError> {
    let Some(bytes) = blobs.read_at(name, offset, HEAD_LEN)? else {
        return Ok(None);
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    parse_head(&bytes).map(Some).ok_or_else(|| damaged(name, offset, "not the head of a body's slot"))
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let mut reader = Reader::new(bytes);
    let at = usize::from(reader.u8()?);
    let mark = reader.u8().filter(|mark| [KEPT, ERASED].contains(mark))?;
    let head = Head { at, mark, salt: reader.array()?, len: reader.u32()? };
    (head.len as usize <= MAX_BODY_LEN).then_some(head)
}
