//! The second storage role: the commit journal. A frame that [`Commits::append`] returned for is durable.
//!
//! ```text
//! journal/key          the random key of all checksums
//! journal/00000001     segments, zero-filled before they get their name, never recycled
//! journal/spare.tmp    the next segment, being filled
//! ```
//!
//! One frame is in flight at a time: no byte of the next is written before the sync of the last has returned. So at most
//! the last frame can be incomplete, and whether it is *torn* (never acknowledged, dropped) or *damaged* (refused) can be
//! told from what lies there, see [`scan`].

use std::sync::Arc;
use std::thread::JoinHandle;

use super::disk::{Disk, DiskFile};
use super::error::StorageError;
use super::frame::{ChecksumKey, FrameHeader, FrameKind, MAX_PAYLOAD, SECTOR, frame_span, is_zero};

mod scan;

pub use scan::{Frame, Scan};

/// Bytes of a segment.
pub const SEGMENT_LEN: u64 = 64 << 20;
/// A spare segment is filled in pieces of this size, each synced, so that no sync of a commit waits long behind it.
const FILL_STEP: usize = 256 << 10;
const FOLDER: &str = "journal";
const SPARE: &str = "journal/spare.tmp";
const FRESH: &str = "journal/fresh.tmp";

/// Where a frame lies, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of the segment.
    pub segment: u64,
    /// Byte offset in it.
    pub offset: u64,
    /// Number of the frame.
    pub number: u64,
    /// Checksum of its header.
    pub checksum: [u8; 32],
}

/// A payload with room for the header before it.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    /// An empty payload with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(SECTOR + capacity);
        bytes.resize(SECTOR, 0);
        Self { bytes }
    }

    /// Appends to the payload.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The payload so far.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[SECTOR..]
    }
}

/// The journal of one log, before it is open for writing.
pub trait Journal {
    /// Starts it, for a new log.
    fn create(&self) -> Result<Mark, StorageError>;
    /// Reads every frame after a mark, once each, and tells torn frames from damage. Changes nothing.
    fn scan(&self, mark: &Mark) -> Result<Scan, StorageError>;
    /// Opens it for writing behind what a scan found. The last frame is durable then, wherever it was found.
    fn resume(&self, scan: &Scan) -> Result<Box<dyn Commits>, StorageError>;
}

/// A journal in a [`Disk`].
pub struct FileJournal {
    disk: Arc<dyn Disk>,
    key: ChecksumKey,
    segment_len: u64,
}

impl FileJournal {
    /// The journal below this directory, with segments of `segment_len` bytes.
    pub fn new(disk: Arc<dyn Disk>, key: ChecksumKey, segment_len: u64) -> Self {
        Self { disk, key, segment_len }
    }

    fn begin(&self, segment: u64, frame: &Frame) -> Result<OpenJournal, StorageError> {
        OpenJournal::begin_segment(Arc::clone(&self.disk), self.key.clone(), self.segment_len, segment, frame)
    }
}

impl Journal for FileJournal {
    fn create(&self) -> Result<Mark, StorageError> {
        let frame = Frame { kind: FrameKind::Start, number: 0, before: [0; 32], payload: Vec::new() };
        Ok(self.begin(1, &frame)?.last)
    }

    fn scan(&self, mark: &Mark) -> Result<Scan, StorageError> {
        Scan::run(&*self.disk, &self.key, self.segment_len, mark)
    }

    fn resume(&self, scan: &Scan) -> Result<Box<dyn Commits>, StorageError> {
        let mut journal = self.begin(scan.newest_segment + 1, scan.last())?;
        journal.oldest = scan.oldest;
        Ok(Box::new(journal))
    }
}

/// Makes frames durable, one after the other.
pub trait Commits: Send {
    /// Makes sure that a frame with a payload of `len` bytes will find room. After an error whose outcome is known
    /// nothing has changed.
    fn reserve(&mut self, len: usize) -> Result<(), StorageError>;
    /// Makes a frame durable. Room for it has been reserved.
    fn append(&mut self, kind: FrameKind, frame: FrameBuffer) -> Result<Mark, StorageError>;
    /// The last frame.
    fn last(&self) -> Mark;
    /// Forgets all segments before the one of `mark`, which a manifest now rests on. When it returns they are gone for
    /// good.
    fn drop_before(&mut self, mark: &Mark) -> Result<(), StorageError>;
    /// Overwrites a frame with zeros, durably, unless its segment is gone. A manifest rests on a later frame, so that
    /// nobody reads this one again.
    fn wipe(&mut self, frame: &Mark, payload_len: usize) -> Result<(), StorageError>;
}

/// A journal that is open for writing.
struct OpenJournal {
    disk: Arc<dyn Disk>,
    key: ChecksumKey,
    segment_len: u64,
    file: Box<dyn DiskFile>,
    /// The last frame, which may lie in the segment before this one.
    last: Mark,
    /// Where the next frame goes.
    segment: u64,
    offset: u64,
    oldest: u64,
    spare: Spare,
}

impl OpenJournal {
    /// Makes a segment that begins with this frame, durably, under its name only when it is whole.
    fn begin_segment(
        disk: Arc<dyn Disk>,
        key: ChecksumKey,
        segment_len: u64,
        segment: u64,
        frame: &Frame,
    ) -> Result<Self, StorageError> {
        let (header, sector) = FrameHeader::seal(&key, frame.kind, frame.number, frame.before, &frame.payload);
        fill(&*disk, FRESH, segment_len, segment_len as usize)?;
        let mut file = disk.open(FRESH).map_err(|e| StorageError::io("open", FRESH, e))?;
        let bytes = [&sector[..], &frame.payload].concat();
        file.write_at(0, &bytes).map_err(|e| StorageError::io("write", FRESH, e))?;
        file.sync().map_err(|e| StorageError::io("sync", FRESH, e))?;
        let name = segment_name(segment);
        disk.rename(FRESH, &name).map_err(|e| StorageError::io("rename", &name, e))?;
        disk.sync_dir(FOLDER).map_err(|e| StorageError::io("sync", FOLDER, e))?;
        let last = Mark { segment, offset: 0, number: frame.number, checksum: header.checksum };
        let spare = Spare::idle();
        Ok(Self { disk, key, segment_len, file, last, segment, offset: header.span(), oldest: segment, spare })
    }

    /// Takes the spare segment into use. The frames of the old one are durable, so nothing is lost if this fails.
    fn roll(&mut self) -> Result<(), StorageError> {
        self.spare.take(&self.disk, self.segment_len)?;
        let name = segment_name(self.segment + 1);
        self.disk.rename(SPARE, &name).map_err(|e| StorageError::io("rename", &name, e))?;
        self.disk.sync_dir(FOLDER).map_err(|e| StorageError::io("sync", FOLDER, e))?;
        self.file = self.disk.open(&name).map_err(|e| StorageError::io("open", &name, e))?;
        self.segment += 1;
        self.offset = 0;
        Ok(())
    }
}

impl Commits for OpenJournal {
    fn reserve(&mut self, len: usize) -> Result<(), StorageError> {
        debug_assert!(len <= MAX_PAYLOAD);
        if self.offset + frame_span(len as u64) > self.segment_len {
            self.roll()?;
        }
        // A spare is made once half of the segment is used, so that an idle log has none.
        if self.offset * 2 > self.segment_len {
            self.spare.start(&self.disk, self.segment_len);
        }
        Ok(())
    }

    fn append(&mut self, kind: FrameKind, mut frame: FrameBuffer) -> Result<Mark, StorageError> {
        let number = self.last.number + 1;
        let (header, sector) = FrameHeader::seal(&self.key, kind, number, self.last.checksum, frame.payload());
        frame.bytes[..SECTOR].copy_from_slice(&sector);
        assert!(self.offset + header.span() <= self.segment_len, "room is reserved first");
        // A crash from here on leaves a torn frame at worst.
        write_in_place(&mut *self.file, &segment_name(self.segment), self.offset, &frame.bytes)?;
        self.last = Mark { segment: self.segment, offset: self.offset, number, checksum: header.checksum };
        self.offset += header.span();
        Ok(self.last)
    }

    fn last(&self) -> Mark {
        self.last
    }

    fn drop_before(&mut self, mark: &Mark) -> Result<(), StorageError> {
        if self.oldest >= mark.segment {
            return Ok(());
        }
        for segment in self.oldest..mark.segment {
            let name = segment_name(segment);
            self.disk.remove(&name).map_err(|e| StorageError::io("remove", &name, e))?;
        }
        // Else a power loss could bring back what was erased with them.
        self.disk.sync_dir(FOLDER).map_err(|e| StorageError::io("sync", FOLDER, e))?;
        self.oldest = mark.segment;
        Ok(())
    }

    fn wipe(&mut self, frame: &Mark, payload_len: usize) -> Result<(), StorageError> {
        assert!(frame.number < self.last.number, "the last frame is the one that a manifest may rest on");
        if frame.segment < self.oldest {
            return Ok(());
        }
        let name = segment_name(frame.segment);
        let zeros = vec![0; frame_span(payload_len as u64) as usize];
        if frame.segment == self.segment {
            return write_in_place(&mut *self.file, &name, frame.offset, &zeros);
        }
        let mut file = self.disk.open(&name).map_err(|e| StorageError::io("open", &name, e))?;
        write_in_place(&mut *file, &name, frame.offset, &zeros)
    }
}

/// The next segment, made off the write path.
struct Spare {
    making: Option<JoinHandle<Result<(), StorageError>>>,
}

impl Spare {
    const fn idle() -> Self {
        Self { making: None }
    }

    fn start(&mut self, disk: &Arc<dyn Disk>, segment_len: u64) {
        if self.making.is_none() {
            let disk = Arc::clone(disk);
            let work = move || fill(&*disk, SPARE, segment_len, FILL_STEP);
            self.making = std::thread::Builder::new().name("soulchain-spare".into()).spawn(work).ok();
        }
    }

    /// Waits until a spare is there.
    fn take(&mut self, disk: &Arc<dyn Disk>, segment_len: u64) -> Result<(), StorageError> {
        match self.making.take() {
            // A thread that panicked has made nothing to rely on.
            Some(making) => making.join().unwrap_or_else(|_| fill(&**disk, SPARE, segment_len, FILL_STEP)),
            None => fill(&**disk, SPARE, segment_len, FILL_STEP),
        }
    }
}

impl Drop for Spare {
    /// A segment that is still being filled may be the file that the next journal takes into use: its zeros would
    /// replace frames.
    fn drop(&mut self) {
        if let Some(making) = self.making.take() {
            // What became of it is no matter: the next journal fills its own.
            let _ = making.join();
        }
    }
}

/// Writes into a segment. Room was written before, so running out of space is no outcome to expect here: every error
/// leaves the journal in an unknown state.
fn write_in_place(file: &mut dyn DiskFile, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
    let unknown = |op, e| match StorageError::io(op, name, e) {
        StorageError::NoSpace { name } => {
            StorageError::Io { op: "append", name, source: std::io::ErrorKind::StorageFull.into() }
        }
        error => error,
    };
    file.write_at(offset, bytes).map_err(|e| unknown("append", e))?;
    file.sync().map_err(|e| unknown("sync", e))
}

/// Writes a file of zeros, so that later writes into it change no metadata and need no space.
fn fill(disk: &dyn Disk, name: &str, len: u64, step: usize) -> Result<(), StorageError> {
    let mut file = disk.open(name).map_err(|e| StorageError::io("open", name, e))?;
    file.truncate(0).map_err(|e| StorageError::io("truncate", name, e))?;
    let zeros = vec![0; FILL_STEP];
    let mut unsynced = 0;
    for offset in (0..len).step_by(FILL_STEP) {
        let piece = &zeros[..FILL_STEP.min((len - offset) as usize)];
        file.write_at(offset, piece).map_err(|e| StorageError::io("write", name, e))?;
        unsynced += piece.len();
        if unsynced >= step {
            file.sync().map_err(|e| StorageError::io("sync", name, e))?;
            unsynced = 0;
        }
    }
    file.sync().map_err(|e| StorageError::io("sync", name, e))
}

fn segment_name(segment: u64) -> String {
    format!("{FOLDER}/{segment:08}")
}

/// Whether a sector was never written.
fn is_blank(sector: &[u8]) -> bool {
    is_zero(sector)
}
