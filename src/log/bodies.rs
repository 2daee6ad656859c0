//! Bodies that are kept beside the log: one file for each entry bundle, made of slots.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | place of the entry in its bundle |
//! | 1 | 1 | 1 = kept |
//! | 2 | 32 | salt |
//! | 34 | 4 | length |
//! | 38 | n | body |
//!
//! Slots are in the order of their entries. Of the file of the partial bundle only the length that the manifest says is
//! relied upon: what lies beyond is being written, or was when a crash came. A body is checked against the commitment in its entry by whoever knows the
//! entry's format; this file only finds it.

use bytes::Bytes;

use super::batch::MAX_BODY_LEN;
use super::tail::SideBody;
use crate::encoding::{Reader, Writer};
use crate::storage::{Blobs, StorageError};
use crate::tlog::index_path;

const HEAD_LEN: usize = 38;
const KEPT: u8 = 1;

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

struct Head {
    at: usize,
    salt: [u8; 32],
    len: u32,
}

/// The body of the entry at this place of a bundle, if there is one. What lies from `end` on is not looked at.
pub(crate) fn find(blobs: &dyn Blobs, bundle: u64, at: usize, end: u64) -> Result<Option<SideBody>, StorageError> {
    let name = path(bundle);
    let mut offset = 0;
    while offset < end {
        let Some(head) = head_at(blobs, &name, offset)? else { break };
        if head.at == at {
            let bytes = blobs.read_at(&name, offset + HEAD_LEN as u64, head.len as usize)?.unwrap_or_default();
            if bytes.len() != head.len as usize {
                return Err(StorageError::Damaged { name, offset, what: "a body is cut short" });
            }
            return Ok(Some(SideBody { salt: head.salt, bytes: Bytes::from(bytes) }));
        }
        if head.at > at {
            return Ok(None);
        }
        offset += HEAD_LEN as u64 + u64::from(head.len);
    }
    Ok(None)
}

/// A body as it lies in its file.
pub(crate) struct Slot {
    /// Place of its entry in the bundle.
    pub(crate) at: usize,
    pub(crate) body: SideBody,
    /// Where the next slot begins.
    pub(crate) end: u64,
}

/// The slot that begins at `offset`; `None` at the end of the file, or of the part before `end`.
pub(crate) fn slot_at(blobs: &dyn Blobs, name: &str, offset: u64, end: u64) -> Result<Option<Slot>, StorageError> {
    let Some(head) = (if offset < end { head_at(blobs, name, offset)? } else { None }) else { return Ok(None) };
    let start = offset + HEAD_LEN as u64;
    let bytes = blobs.read_at(name, start, head.len as usize)?.unwrap_or_default();
    let slot_end = start + u64::from(head.len);
    if bytes.len() != head.len as usize || slot_end > end {
        return Err(StorageError::Damaged { name: name.to_owned(), offset, what: "a body is cut short" });
    }
    Ok(Some(Slot { at: head.at, body: SideBody { salt: head.salt, bytes: Bytes::from(bytes) }, end: slot_end }))
}

fn head_at(blobs: &dyn Blobs, name: &str, offset: u64) -> Result<Option<Head>, StorageError> {
    let Some(bytes) = blobs.read_at(name, offset, HEAD_LEN)? else {
        return Ok(None);
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    parse_head(&bytes).map(Some).ok_or(StorageError::Damaged {
        name: name.to_owned(),
        offset,
        what: "not the head of a body's slot",
    })
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let mut reader = Reader::new(bytes);
    let at = usize::from(reader.u8()?);
    (reader.u8()? == KEPT).then_some(())?;
    let head = Head { at, salt: reader.array()?, len: reader.u32()? };
    (head.len as usize <= MAX_BODY_LEN).then_some(head)
}
