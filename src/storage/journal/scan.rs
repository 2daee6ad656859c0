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

struct Segment {
    number: u64,
    bytes: Vec<u8>,
}

impl Segment {
    /// A segment has its length before it has its name: with another one, frames may be missing at its end.
    fn open(disk: &dyn Disk, number: u64, len: u64) -> Result<Self, StorageError> {
        let name = segment_name(number);
        let bytes = disk.read(&name).map_err(|e| StorageError::io("read", &name, e))?;
        if bytes.len() as u64 != len {
            let offset = len.min(bytes.len() as u64);
            return Err(StorageError::Damaged { name, offset, what: "the segment has another length" });
        }
        Ok(Self { number, bytes })
    }

    fn sector(&self, offset: u64) -> Option<&[u8]> {
        self.bytes.get(offset as usize..offset as usize + SECTOR)
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
        let payload = self.payload(&header);
        if header.number != mark.number || !header.holds(self.key, payload) {
            return Err(self.damaged("the frame that the manifest names does not match its checksum"));
        }
        let frame = frame_of(&header, payload);
        Ok((header, frame))
    }

    fn payload(&self, header: &FrameHeader) -> &[u8] {
        let start = self.offset as usize + SECTOR;
        let end = start.saturating_add(header.len as usize).min(self.segment.bytes.len());
        self.segment.bytes.get(start..end).unwrap_or_default()
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
        let payload = self.payload(&header);
        if header.holds(self.key, payload) {
            let frame = frame_of(&header, payload);
            return Ok(Step::Frame(header, frame));
        }
        let behind = self.segment.bytes.get((self.offset + header.span()) as usize..).unwrap_or_default();
        if header.is_torn(payload) && is_zero(behind) {
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
            if !header.holds(self.key, self.payload(&header)) {
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
