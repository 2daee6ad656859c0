//! `add-entries` (C2SP tlog-mirror): entries in packages, each proven as it arrives, so that a body of any length needs
//! the memory of one package. Who stops in the middle has added what came before.

use super::copy::{Completed, Mirror, Progress};
use super::error::MirrorError;
use crate::log::{Entry, ExtendError, Machine};
use crate::merkle::{LeafIndex, TreeSize};
use crate::tlog::{
    AddEntriesHeader, Arrived, MirrorInfo, Package, PackageRange, PackageRanges, SignedCheckpoint, TlogError,
};

/// Most entries of an upload that are there already: 32 packages. More is 409.
pub const MAX_EXCESS_ENTRIES: u64 = 32 * 256;

/// An upload that is arriving.
pub struct Upload<M: Machine> {
    mirror: Mirror<M>,
    /// What has arrived and is not used.
    buffer: Vec<u8>,
    /// Less than this tells nothing new.
    needed: usize,
    begun: Option<Begun>,
}

/// An upload whose header was accepted.
struct Begun {
    checkpoint: SignedCheckpoint,
    ranges: PackageRanges,
    /// The package that is awaited; none behind the last.
    range: Option<PackageRange>,
    /// Whether a package was authenticated and saved.
    has_saved: bool,
}

/// What an upload is answered with.
#[derive(Debug)]
pub enum UploadAnswer {
    /// 200: all is there; the mirror's signature lines.
    Done(String),
    /// 202: some of it is there.
    Accepted(MirrorInfo),
    /// 400.
    Malformed(String),
    /// 404.
    UnknownLog(String),
    /// 409: where the mirror stands.
    Conflict(MirrorInfo),
    /// 422.
    Unprocessable(String),
    /// 503: the mirror could not keep it.
    Failed(MirrorError),
}

impl<M: Machine> Upload<M> {
    /// An upload to this mirror.
    pub fn new(mirror: Mirror<M>) -> Self {
        Self { mirror, buffer: Vec::new(), needed: 1, begun: None }
    }

    /// Takes what has arrived of the body. An answer ends the upload, whatever may follow.
    pub async fn push(&mut self, bytes: &[u8]) -> Option<UploadAnswer> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= self.needed {
            let step = match &self.begun {
                None => self.header().await,
                Some(_) => self.package().await,
            };
            match step {
                Ok(Some(len)) => {
                    self.buffer.drain(..len);
                    self.needed = 1;
                }
                Ok(None) => {}
                Err(answer) => return Some(answer),
            }
            if self.begun.as_ref().is_some_and(|begun| begun.range.is_none()) {
                return Some(self.complete().await);
            }
        }
        None
    }

    /// The body has ended, or broken off.
    pub async fn end(self) -> UploadAnswer {
        self.ended("the body ends before the first package does").await
    }

    /// The answer where no more can be used of the body: 202 for what was saved, 400 if nothing was.
    async fn ended(&self, why: &str) -> UploadAnswer {
        match &self.begun {
            Some(begun) if begun.has_saved => {
                let progress = self.mirror.progress().await;
                let size = begun.checkpoint.claim().size();
                if self.mirror.next_entry(&progress) >= size.next_index() {
                    // Others have brought the rest: there is nothing to come back for.
                    drop(progress);
                    return self.complete().await;
                }
                UploadAnswer::Accepted(self.info(&progress, Some(size)))
            }
            _ => UploadAnswer::Malformed(why.to_owned()),
        }
    }

    /// Reads the header, if it is there, and gives its length.
    async fn header(&mut self) -> Result<Option<usize>, UploadAnswer> {
        let (header, len) = match AddEntriesHeader::parse(&self.buffer) {
            Ok(Arrived::Whole { value, len }) => (value, len),
            Ok(Arrived::Part(needed)) => {
                self.needed = needed;
                return Ok(None);
            }
            // What can be no log's name is the name of no log that is known.
            Err(TlogError::Origin) => return Err(UploadAnswer::UnknownLog("this names no log".to_owned())),
            Err(error) => return Err(UploadAnswer::Malformed(error.to_string())),
        };
        let progress = self.mirror.progress().await;
        let checkpoint = self.judge(&header, &progress)?;
        drop(progress);
        let mut ranges = header.packages();
        let range = ranges.next();
        self.begun = Some(Begun { checkpoint, ranges, range, has_saved: false });
        Ok(Some(len))
    }

    /// The checkpoint that an upload leads to, if it may begin. Tickets are neither given nor read: the last pending
    /// checkpoints are remembered.
    fn judge(&self, header: &AddEntriesHeader, progress: &Progress<M>) -> Result<SignedCheckpoint, UploadAnswer> {
        if header.origin() != self.mirror.origin() {
            let what = format!("the log {} is not mirrored here", header.origin());
            return Err(UploadAnswer::UnknownLog(what));
        }
        if progress.pending.is_empty() {
            return Err(UploadAnswer::Unprocessable("no checkpoint of this log was added yet".to_owned()));
        }
        let (end, start) = (header.upload_end(), header.upload_start());
        let ends_there = |checkpoint: &&SignedCheckpoint| checkpoint.claim().size() == end;
        let checkpoint = progress.pending.iter().rev().chain(&progress.mirrored).find(ends_there);
        let mirrored = progress.mirrored.as_ref().map_or(TreeSize::ZERO, |mirrored| mirrored.claim().size());
        let Some(checkpoint) = checkpoint.filter(|_| end >= mirrored) else {
            return Err(UploadAnswer::Conflict(self.info(progress, None)));
        };
        let next = self.mirror.next_entry(progress);
        // Where the upload starts beyond the next entry there is no excess.
        let excess = end.next_index().min(next).get().saturating_sub(start.get());
        if start > next || excess > MAX_EXCESS_ENTRIES {
            return Err(UploadAnswer::Conflict(self.info(progress, Some(end))));
        }
        Ok(checkpoint.clone())
    }

    /// Reads the next package, if it is there, proves it and saves it; gives its length.
    async fn package(&mut self) -> Result<Option<usize>, UploadAnswer> {
        let Some(begun) = &mut self.begun else { return Ok(None) };
        let Some(range) = begun.range else { return Ok(None) };
        let (package, len) = match range.parse(&self.buffer) {
            Ok(Arrived::Whole { value, len }) => (value, len),
            Ok(Arrived::Part(needed)) => {
                self.needed = needed;
                return Ok(None);
            }
            Err(error) => return Err(self.ended(&error.to_string()).await),
        };
        let entries = prove(&self.mirror, &package, &begun.checkpoint).await?;
        match self.mirror.take(range.start(), entries).await {
            Ok(_) => {}
            Err(MirrorError::Extend(error @ ExtendError::Rules(_))) => {
                return Err(UploadAnswer::Unprocessable(error.to_string()));
            }
            Err(error) => return Err(UploadAnswer::Failed(error)),
        }
        begun.has_saved = true;
        begun.range = begun.ranges.next();
        Ok(Some(len))
    }

    /// All packages are there.
    async fn complete(&self) -> UploadAnswer {
        let Some(begun) = &self.begun else { return UploadAnswer::Malformed("there is no header".to_owned()) };
        let mut progress = self.mirror.progress().await;
        match self.mirror.complete(&mut progress, &begun.checkpoint).await {
            Ok(Completed::Cosigned(lines)) => UploadAnswer::Done(lines),
            Ok(Completed::Behind) => UploadAnswer::Conflict(self.info(&progress, None)),
            Err(error) => UploadAnswer::Failed(error),
        }
    }

    /// Where the mirror stands. The size is the upload's own where an upload may still lead to it, so that its proofs can
    /// be used again; else that of the pending checkpoint.
    fn info(&self, progress: &Progress<M>, end: Option<TreeSize>) -> MirrorInfo {
        let next = self.mirror.next_entry(progress);
        let pending = progress.pending.back().map_or(TreeSize::ZERO, |pending| pending.claim().size());
        let size = end.filter(|end| end.next_index() >= next).unwrap_or(pending);
        MirrorInfo::new(size, next, Vec::new()).expect("sizes of trees that there are, and no ticket")
    }
}

/// The entries of a package, if they are those of the checkpoint.
async fn prove<M: Machine>(
    mirror: &Mirror<M>,
    package: &Package<'_>,
    checkpoint: &SignedCheckpoint,
) -> Result<Vec<Entry>, UploadAnswer> {
    let range = package.range();
    let progress = mirror.progress().await;
    let before =
        mirror.leaves(&progress, range.subtree().start(), range.start().get()).map_err(UploadAnswer::Failed)?;
    drop(progress);
    let proven = package.verify(&before, checkpoint.claim());
    proven.map_err(|error| {
        let (start, end): (LeafIndex, TreeSize) = (range.start(), range.end());
        UploadAnswer::Unprocessable(format!("the package of entries {start} to {end} is not proven: {error}"))
    })?;
    let entries = package.entries().iter().map(|entry| Entry::new(bytes::Bytes::copy_from_slice(entry)));
    let entries: Option<Vec<_>> = entries.collect();
    entries.ok_or_else(|| UploadAnswer::Malformed("an entry has no length that entries have".to_owned()))
}
