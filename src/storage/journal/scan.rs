//! Reading a journal back: every frame from a mark on, once each.
//!
//! How it may end, and what that means:
//!
//! - *end*: the next header sector is blank and no valid header lies behind it in the segment;
//! - *torn*: a valid header, but more sectors of its payload are blank than were written so, and only zeros follow. It
//!   was in flight when the power went, nobody was told of it, it is dropped;
//! - *rolled*: the next segment begins with the next frame;
//! - *rewritten*: the next segment begins with the last frame once more, as an earlier recovery left it. That copy counts,
//!   also where the first one turns out to be torn;
//! - anything else is damage, and refused: a frame that was acknowledged may be lost.

use std::borrow::Cow;

use super::{FOLDER, Mark, is_blank, segment_name};
use crate::storage::disk::Disk;
use crate::storage::error::StorageError;
use crate::storage::frame::{ChecksumKey, FRAME_ALIGN, FrameHeader, FrameKind, SECTOR, is_zero};

/// A frame as read back.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// Number of the frame.
    pub number: u64,
    /// Checksum of the header before.
    pub before: [u8; 32],
    /// The payload, which matches its checksum.
    pub payload: Vec<u8>,
}

/// What a scan found, and where the journal goes on.
#[derive(Debug)]
pub struct Scan {
    /// The frames after the mark, in order.
    pub frames: Vec<Frame>,
    /// Whether a torn frame was dropped.
    pub torn: bool,
    marked: Frame,
    pub(super) newest_segment: u64,
    pub(super) oldest: u64,
}

impl Scan {
    /// The last frame: the marked one if nothing follows it.
    pub fn last(&self) -> &Frame {
        self.frames.last().unwrap_or(&self.marked)
    }

    pub(super) fn run(disk: &dyn Disk, key: &ChecksumKey, segment_len: u64, mark: &Mark) -> Result<Self, StorageError> {
        let (oldest, newest_segment) = segments(disk, mark)?;
        let segment = Segment::open(disk, mark.segment, segment_len)?;
        let mut cursor = Cursor { disk, key, segment_len, segment, offset: mark.offset };
        let (header, marked) = cursor.marked(mark)?;
        let mut checksum = header.checksum;
        cursor.offset += header.span();
        let mut scan = Self { frames: Vec::new(), torn: false, marked, newest_segment, oldest };
        loop {
            let number = scan.last().number;
            let is_torn = match cursor.step(number + 1, checksum)? {
                Step::Frame(header, frame) => {
                    checksum = header.checksum;
                    cursor.offset += header.span();
                    scan.frames.push(frame);
                    continue;
                }
                Step::End => false,
                Step::Torn => true,
            };
            scan.torn |= is_torn;
            if cursor.segment.number == newest_segment {
                return Ok(scan);
            }
            cursor.next_segment(number, checksum, is_torn)?;
        }
    }
}

enum Step {
    Frame(FrameHeader, Frame),
    End,
    Torn,
}

/// A segment in memory, without the zeros at its end: most of one was never written.
struct Segment {
    number: u64,
    bytes: Vec<u8>,
    len: u64,
}

/// A segment is read in windows of this size.
const WINDOW: usize = 1 << 20;
const BLANK: [u8; SECTOR] = [0; SECTOR];

impl Segment {
    /// A segment has its length before it has its name: with another one, frames may be missing at its end.
    fn open(disk: &dyn Disk, number: u64, len: u64) -> Result<Self, StorageError> {
        let name = segment_name(number);
        let failed = |e| StorageError::io("read", &name, e);
        let has = disk.len(&name).map_err(failed)?;
        if has != len {
            return Err(StorageError::Damaged { offset: len.min(has), name, what: "the segment has another length" });
        }
        let mut bytes = Vec::new();
        for offset in (0..len).step_by(WINDOW) {
            let window = disk.read_at(&name, offset, WINDOW).map_err(failed)?;
            if window.len() as u64 != (len - offset).min(WINDOW as u64) {
                return Err(StorageError::Damaged { name, offset, what: "the segment ends while it is read" });
            }
            if !is_zero(&window) {
                bytes.resize(offset as usize, 0);
                bytes.extend_from_slice(&window);
            }
        }
        Ok(Self { number, bytes, len })
    }

    /// A sector; `None` past the end.
    fn sector(&self, offset: u64) -> Option<&[u8]> {
        if offset.saturating_add(SECTOR as u64) > self.len {
            return None;
        }
        Some(self.bytes.get(offset as usize..offset as usize + SECTOR).unwrap_or(&BLANK))
    }

    /// So many bytes, fewer where the segment ends.
    fn range(&self, start: u64, len: u64) -> Cow<'_, [u8]> {
        let end = start.saturating_add(len).min(self.len);
        let Ok(range) = usize::try_from(start).and_then(|start| Ok(start..usize::try_from(end)?)) else {
            return Cow::default();
        };
        if range.is_empty() {
            return Cow::default();
        }
        self.bytes.get(range.clone()).map_or_else(
            || {
                let mut bytes = self.bytes.get(range.start..).unwrap_or_default().to_vec();
                bytes.resize(range.len(), 0);
                bytes.into()
            },
            Cow::from,
        )
    }

    /// Whether nothing is written from here on.
    fn is_blank_from(&self, offset: u64) -> bool {
        usize::try_from(offset).ok().and_then(|at| self.bytes.get(at..)).is_none_or(is_zero)
    }
}

struct Cursor<'a> {
    disk: &'a dyn Disk,
    key: &'a ChecksumKey,
    segment_len: u64,
    segment: Segment,
    offset: u64,
}

impl Cursor<'_> {
    fn damaged(&self, what: &'static str) -> StorageError {
        StorageError::Damaged { name: segment_name(self.segment.number), offset: self.offset, what }
    }

    /// The frame that the manifest rests on, which must be there whole.
    fn marked(&self, mark: &Mark) -> Result<(FrameHeader, Frame), StorageError> {
        let sector =
            self.segment.sector(mark.offset).ok_or_else(|| self.damaged("the manifest names a place beyond it"))?;
        let header = FrameHeader::parse(self.key, sector).filter(|header| header.checksum == mark.checksum);
        let header = header.ok_or_else(|| self.damaged("this is not the frame that the manifest names"))?;
        let payload = &self.payload(&header);
        if header.number != mark.number || !header.holds(self.key, payload) {
            return Err(self.damaged("the frame that the manifest names does not match its checksum"));
        }
        let frame = frame_of(&header, payload);
        Ok((header, frame))
    }

    fn payload(&self, header: &FrameHeader) -> Cow<'_, [u8]> {
        self.segment.range(self.offset + SECTOR as u64, header.len)
    }

    fn step(&self, number: u64, before: [u8; 32]) -> Result<Step, StorageError> {
        let Some(sector) = self.segment.sector(self.offset) else {
            return Ok(Step::End);
        };
        if is_blank(sector) {
            return self.check_nothing_follows().map(|()| Step::End);
        }
        let header = FrameHeader::parse(self.key, sector).ok_or_else(|| self.damaged("no header, but not blank"))?;
        if header.number != number || header.before != before {
            return Err(self.damaged("a frame that does not follow the one before"));
        }
        let payload = &self.payload(&header);
        if header.holds(self.key, payload) {
            let frame = frame_of(&header, payload);
            return Ok(Step::Frame(header, frame));
        }
        if header.is_torn(payload) && self.segment.is_blank_from(self.offset + header.span()) {
            return Ok(Step::Torn);
        }
        Err(self.damaged("the payload of a frame does not match its checksum"))
    }

    /// A blank header may be one that never reached the medium, but nothing can have been committed after it.
    fn check_nothing_follows(&self) -> Result<(), StorageError> {
        let later = (self.offset..self.segment.bytes.len() as u64).step_by(FRAME_ALIGN as usize).skip(1);
        for offset in later {
            if self.segment.sector(offset).is_some_and(|sector| FrameHeader::parse(self.key, sector).is_some()) {
                return Err(self.damaged("a frame is missing before another"));
            }
        }
        Ok(())
    }

    /// Goes to the next segment, which begins with the next frame, or with the last one again.
    fn next_segment(&mut self, number: u64, checksum: [u8; 32], is_torn: bool) -> Result<(), StorageError> {
        self.segment = Segment::open(self.disk, self.segment.number + 1, self.segment_len)?;
        self.offset = 0;
        let Some(header) = self.segment.sector(0).and_then(|sector| FrameHeader::parse(self.key, sector)) else {
            // Rolled, and then the first frame was lost: `step` judges what lies there.
            return if is_torn { Err(self.damaged("a torn frame is followed by a segment")) } else { Ok(()) };
        };
        if header.checksum == checksum {
            if !header.holds(self.key, &self.payload(&header)) {
                return Err(self.damaged("the rewritten frame does not match its checksum"));
            }
            self.offset = header.span();
            return Ok(());
        }
        // The frame that is torn in the old segment may be the one that a recovery found whole in the page cache and
        // wrote anew here; `step` checks that it follows the last one.
        if header.number != number + 1 {
            return Err(self.damaged("the segment does not go on where the one before ended"));
        }
        Ok(())
    }
}

fn frame_of(header: &FrameHeader, payload: &[u8]) -> Frame {
    Frame { kind: header.kind, number: header.number, before: header.before, payload: payload.to_vec() }
}

/// The smallest and the greatest segment; all between the marked one and the greatest must be there.
fn segments(disk: &dyn Disk, mark: &Mark) -> Result<(u64, u64), StorageError> {
    let names = disk.list(FOLDER).map_err(|e| StorageError::io("list", FOLDER, e))?;
    let numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let (Some(oldest), Some(newest)) = (numbers.iter().min(), numbers.iter().max()) else {
        return Err(StorageError::Missing { name: FOLDER.to_owned() });
    };
    for number in mark.segment..=*newest {
        if !numbers.contains(&number) {
            return Err(StorageError::Missing { name: segment_name(number) });
        }
    }
    Ok((*oldest, *newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::OsDisk;

    /// What is left out of memory reads like what is there.
    #[test]
    fn zeros_at_the_end_are_not_held_and_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(directory.path()).unwrap();
        std::fs::create_dir(directory.path().join(FOLDER)).unwrap();
        let len = 3 * WINDOW + 4 * SECTOR;
        for (written, held) in
            [(vec![], 0), (vec![0], WINDOW), (vec![WINDOW + 5, WINDOW + 4096], 2 * WINDOW), (vec![2, len - 1], len)]
        {
            let mut whole = vec![0; len];
            for at in &written {
                whole[*at] = 7;
            }
            std::fs::write(directory.path().join(segment_name(1)), &whole).unwrap();
            let segment = Segment::open(&disk, 1, len as u64).unwrap();
            assert_eq!(segment.bytes.len(), held);
            let windows = [0, WINDOW, 2 * WINDOW, 3 * WINDOW, len];
            let around = |at: usize| [at.saturating_sub(SECTOR), at, at + SECTOR, at + 8 * SECTOR];
            for offset in windows.into_iter().flat_map(around).filter(|offset| *offset <= len) {
                assert_eq!(segment.sector(offset as u64), whole.get(offset..offset + SECTOR));
                assert_eq!(segment.is_blank_from(offset as u64), is_zero(&whole[offset..]));
                for many in [0, 1, 4096, WINDOW + 1, len] {
                    let range = segment.range(offset as u64, many as u64);
                    assert!(*range == whole[offset..(offset + many).min(len)], "{many} bytes from {offset}");
                }
            }
            assert!(segment.range(len as u64 + 1, 9).is_empty() && segment.sector(u64::MAX).is_none());
            assert!(
                Segment::open(&disk, 1, len as u64 - 1).is_err() && Segment::open(&disk, 1, len as u64 + 1).is_err()
            );
        }
    }
}
