//! Opening a log: recovery by the functions of the normal path, and refusal where the truth cannot be proved.
//!
//! Nothing is signed, and nothing leaves the process, before the recovered state is durable in a manifest of its own.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;

use super::batch;
use super::bodies;
use super::engine::{Engine, Shared, Sign};
use super::erasure::{self, BodyToErase, Erasures};
use super::error::{OpenError, ReadError};
use super::flush::{FlushJob, Flushed, Flusher};
use super::machine::{Machine, Past, ReplayError};
use super::manifest::{CHAIN_INDEX, MANIFEST, Manifest, PublishedNote};
use super::owed::{self, Orders, OwedErasure, OwedErasures};
use super::pool::{Pool, PoolLimits};
use super::reader::{LogReader, Store, parse_bundle};
use super::sequencer::{FLUSH_AFTER, FlushQueue, Sequencer, SignerThread, run_flushes, tail_root};
use super::tail::{ROW_LEN, Row, Stored, Tail};
use super::view::{LogView, Published};
use crate::clock::Clock;
use crate::hash::Hash;
use crate::merkle::{EMPTY_ROOT, LeafIndex, TILE_WIDTH, TreeSize, leaf_hash};
use crate::storage::{Blobs, FrameKind, Journal, Scan, StorageError, Views};
use crate::tlog::{TileKind, decode_hashes};

/// The three storage roles of one log.
pub struct Storage {
    /// Tiles, bundles, bodies, manifest.
    pub blobs: Arc<dyn Blobs>,
    /// The commit journal.
    pub journal: Box<dyn Journal>,
    /// Derived values.
    pub views: Arc<dyn Views>,
}

/// How a log is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limits of the pool.
    pub pool: PoolLimits,
    /// The operator knows that nothing later than this copy exists.
    pub confirm_newest: bool,
    /// How long a frame waits for its flush at most: another time is for tests, which need it early or not at all.
    pub flush_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { pool: PoolLimits::default(), confirm_newest: false, flush_after: FLUSH_AFTER }
    }
}

/// What opening found.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Entries in the public files.
    pub flushed: TreeSize,
    /// Entries in all: the journal holds the difference.
    pub size: TreeSize,
    /// Whether a frame that was never acknowledged was dropped.
    pub torn_frame: bool,
    /// How many entries were replayed into the machine.
    pub replayed: u64,
    /// Whether the views were of no use and were made anew.
    pub views_rebuilt: bool,
    /// How many ordered erasures could not be carried out, since the file of the body is damaged.
    pub owed_erasures: u64,
}

/// Makes a log of size 0.
pub fn create(storage: &Storage) -> Result<(), StorageError> {
    let mark = storage.journal.create()?;
    let published = PublishedNote::default();
    let manifest = Manifest { is_copy: false, size: TreeSize::ZERO, root: EMPTY_ROOT, bodies_len: 0, mark, published };
    storage.blobs.commit(MANIFEST, &manifest.encode())
}

/// Opens a log and starts its threads.
#[expect(clippy::needless_pass_by_value, reason = "from here on the log alone uses its storage")]
pub fn open<M: Machine>(
    mut machine: M,
    storage: Storage,
    sign: Sign,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<(Engine<M>, Recovery), OpenError> {
    let manifest = read_manifest(&*storage.blobs)?;
    if manifest.is_copy && !options.confirm_newest {
        return Err(OpenError::IsCopy);
    }
    let opened_at = Flushed { size: manifest.size, bodies_len: manifest.bodies_len };
    let store = Store::new(Arc::clone(&storage.blobs), opened_at);
    let mut tail = load_edge(&*storage.blobs, &manifest)?;
    let scan = storage.journal.scan(&manifest.mark)?;
    let (replayed, views_rebuilt) = load_machine(&mut machine, &*storage.views, &store, &tail)?;
    let mut published = manifest.published.clone();
    let flushed = tail.clone();
    let unflushed = apply_frames(&mut machine, &mut tail, &LogReader::new(&store, &flushed), &scan, &mut published)?;
    drop(flushed);
    check_machine(&machine, &store, &tail)?;
    check_published(&store, &tail, &published)?;
    let root = tail_root(&tail);
    let owed_before = owed::read_of_log(&*storage.blobs, tail.size().get())?;
    let (erasures, owed) = ordered_erasures::<M>(&owed_before, &LogReader::new(&store, &tail), &scan)?;
    let mut recovery = Recovery {
        flushed: manifest.size,
        size: tail.size(),
        torn_frame: scan.torn,
        replayed: replayed + unflushed,
        views_rebuilt,
        owed_erasures: 0,
    };

    // A crash up to here has changed nothing. From here on the recovered state is made durable before it is signed.
    let mut commits = storage.journal.resume(&scan)?;
    let mut changes = machine.changes();
    changes.applied = tail.size();
    let job =
        FlushJob { tail: tail.clone(), root, mark: commits.last(), published: published.clone(), changes, erasures };
    let flusher = Flusher::new(Arc::clone(&storage.blobs), Arc::clone(&storage.views), manifest);
    let mut flusher = flusher.with_owed(owed, owed_before);
    flusher.flush(&job)?;
    recovery.owed_erasures = flusher.owed().len() as u64;
    // With the old segments goes what erasures leave in them: the only frame that stays is the last one, and no erasure
    // is older than the body that it erases.
    commits.drop_before(&job.mark)?;
    let erasures = Erasures::new(scan.last(), job.mark);
    tail.drop_below(tail.size());

    let checkpoint = if tail.size() == TreeSize::ZERO { Vec::new() } else { sign(tail.size(), &root) };
    let view = Arc::new(LogView::new(tail.clone(), root, checkpoint.into(), machine.state()));
    let shown = (!published.note.is_empty()).then(|| Published {
        note: published.note.clone().into(),
        size: published.size,
        root: published.root,
        state: (published.size == view.size()).then(|| view.state().clone()),
    });
    let shared = Arc::new(Shared::new(Pool::new(options.pool), store, view, shown, flusher.flushed()));
    shared.set_owed(flusher.owed().clone());
    let (jobs, inbox) = sync_channel(1);
    let signer = SignerThread::start_thread(sign).map_err(|e| StorageError::io("start", "a thread", e))?;
    let sequencer = Sequencer {
        shared: Arc::clone(&shared),
        machine,
        commits,
        clock,
        tail,
        root,
        signer,
        flushes: FlushQueue::new(jobs, options.flush_after),
        erasures,
        published,
        last_batch: None,
    };
    let flush_shared = Arc::clone(&shared);
    let failed = |e| StorageError::io("start", "a thread", e);
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    let flushing = thread("soulchain-flush").spawn(move || run_flushes(&flush_shared, flusher, &inbox));
    // The first one ends when the second one does not begin: nobody is left to send it work.
    let flushing = flushing.map_err(failed)?;
    let sequencing = thread("soulchain-sequencer").spawn(move || sequencer.run()).map_err(failed)?;
    Ok((Engine::new(shared, vec![sequencing, flushing]), recovery))
}

pub(crate) fn read_manifest(blobs: &dyn Blobs) -> Result<Manifest, OpenError> {
    let bytes = blobs.read(MANIFEST)?.ok_or(StorageError::Missing { name: MANIFEST.into() })?;
    Manifest::decode(&bytes).ok_or_else(|| match Manifest::decode_older(&bytes) {
        Some(_) => OpenError::OlderLayout,
        None => OpenError::Manifest,
    })
}

/// Reads the partial tiles and the partial bundle of the manifest's size, and recomputes the root from them.
pub(crate) fn load_edge(blobs: &dyn Blobs, manifest: &Manifest) -> Result<Tail, OpenError> {
    let size = manifest.size.get();
    let mut tiles = Vec::new();
    for level in 0..8_u8 {
        let at_level = TileKind::Hashes(level).count(manifest.size);
        if at_level == 0 {
            break;
        }
        tiles.push(load_tile(blobs, level, at_level / TILE_WIDTH as u64, at_level as usize % TILE_WIDTH)?);
    }
    check_lengths(blobs, manifest)?;
    let entries = load_entries(blobs, size)?;
    let hashes = tiles.first().map(Vec::as_slice).unwrap_or_default();
    if !entries.iter().map(|stored| leaf_hash(&stored.entry)).eq(hashes.iter().copied()) {
        return Err(OpenError::Inconsistent {
            what: "the newest entry bundle does not hash to the newest tile".into(),
        });
    }
    let tail = Tail::from_edge(manifest.size, &tiles, entries);
    if tail_root(&tail) != manifest.root {
        return Err(OpenError::Inconsistent {
            what: "the newest tiles do not lead to the root in the manifest".into(),
        });
    }
    Ok(tail)
}

/// Flushes write on from these lengths: what is missing below them would become zeros.
fn check_lengths(blobs: &dyn Blobs, manifest: &Manifest) -> Result<(), OpenError> {
    let bodies = bodies::path(manifest.size.get() / TILE_WIDTH as u64);
    for (name, len) in [(CHAIN_INDEX, manifest.size.get() * ROW_LEN), (&bodies, manifest.bodies_len)] {
        if len > 0 && blobs.len(name)?.unwrap_or(0) < len {
            return Err(OpenError::Inconsistent { what: format!("{name} is shorter than the log") });
        }
    }
    Ok(())
}

fn load_tile(blobs: &dyn Blobs, level: u8, index: u64, width: usize) -> Result<Vec<Hash>, OpenError> {
    if width == 0 {
        return Ok(Vec::new());
    }
    let name = TileKind::Hashes(level).path(index, width);
    let bytes = blobs.read(&name)?.ok_or_else(|| StorageError::Missing { name: name.clone() })?;
    decode_hashes(&bytes, width as u16)
        .map_err(|_| OpenError::Inconsistent { what: format!("{name} has another length than its width says") })
}

/// The entries of the partial bundle, with their rows. Their bodies stay on disk.
fn load_entries(blobs: &dyn Blobs, size: u64) -> Result<Vec<Stored>, OpenError> {
    let (index, width) = (size / TILE_WIDTH as u64, size as usize % TILE_WIDTH);
    if width == 0 {
        return Ok(Vec::new());
    }
    let name = TileKind::Entries.path(index, width);
    let bytes = blobs.read(&name)?.ok_or_else(|| StorageError::Missing { name: name.clone() })?;
    let entries = parse_bundle(&Bytes::from(bytes), width)
        .ok_or_else(|| OpenError::Inconsistent { what: format!("{name} is no bundle of {width} entries") })?;
    let rows = blobs.read_at(CHAIN_INDEX, (size - width as u64) * ROW_LEN, width * ROW_LEN as usize)?;
    let rows = rows.unwrap_or_default();
    let stored = |(entry, row): (Bytes, &Row)| Stored { entry, body: None, row: *row };
    Ok(entries.into_iter().zip(rows.as_chunks().0).map(stored).collect())
}

/// Takes the machine's state from the views and replays what they lack; where that leads nowhere, replays everything.
fn load_machine<M: Machine>(
    machine: &mut M,
    views: &dyn Views,
    store: &Store,
    tail: &Tail,
) -> Result<(u64, bool), OpenError> {
    // Views that are ahead belong to a log that is not here.
    let applied = views.state()?.filter(|applied| *applied <= tail.size());
    let from_views = match applied {
        Some(applied) if machine.load(views).is_ok() => replay(machine, store, tail, applied),
        _ => Err(OpenError::Inconsistent { what: "no views".into() }),
    };
    match from_views {
        Ok(replayed) if check_machine(machine, store, tail).is_ok() => Ok((replayed, false)),
        _ => {
            machine.reset();
            views.clear()?;
            Ok((replay(machine, store, tail, TreeSize::ZERO)?, tail.size() > TreeSize::ZERO))
        }
    }
}

/// The bodies that are to go, by the journal and by what earlier flushes could not carry out. Those of which the entry
/// cannot be read are owed unless a repair has finished them; all that were owed before are, until a flush has carried
/// them out.
fn ordered_erasures<M: Machine>(
    before: &Orders,
    log: &LogReader<'_>,
    scan: &Scan,
) -> Result<(Vec<BodyToErase>, OwedErasures), OpenError> {
    let mut orders = before.owed.clone();
    orders.extend(erasure::ordered_in(scan));
    let (mut bodies, mut owed) = (Vec::new(), OwedErasures::new());
    for index in orders {
        let waits = |name: &str, what| OwedErasure { index, name: name.to_owned(), offset: 0, what };
        match log.entry(index) {
            Ok(entry) => bodies.push(BodyToErase { index, len: M::body_len(&entry) }),
            Err(ReadError::Damaged { .. }) if before.done.contains(&index) => {}
            Err(ReadError::Damaged { name, what }) => drop(owed.insert(index, waits(&name, what))),
            Err(error) => return Err(error.into()),
        }
        if before.owed.contains(&index) {
            owed.entry(index).or_insert_with(|| waits(owed::OWED, "it is not tried again yet"));
        }
    }
    Ok((bodies, owed))
}

/// Holds the machine's state against the last entry.
fn check_machine<M: Machine>(machine: &M, store: &Store, tail: &Tail) -> Result<(), OpenError> {
    let last = match tail.size().get().checked_sub(1) {
        Some(index) => Some(LogReader::new(store, tail).entry(LeafIndex::new(index))?),
        None => None,
    };
    machine.check(last.as_deref()).map_err(|what| OpenError::Inconsistent { what })
}

fn replay<M: Machine>(machine: &mut M, store: &Store, tail: &Tail, from: TreeSize) -> Result<u64, OpenError> {
    let reader = LogReader::new(store, tail);
    for index in (from.get()..tail.size().get()).map(LeafIndex::new) {
        let entry = reader.entry(index)?;
        machine.apply(index, &entry, &reader).map_err(|e| OpenError::Replay { index, what: e.what })?;
    }
    Ok(tail.size().get() - from.get())
}

/// What frames may ask while they are applied: the tail so far, and what lies below it.
struct BeforeFrames<'a> {
    tail: &'a Tail,
    flushed: &'a dyn Past,
}

impl Past for BeforeFrames<'_> {
    fn entry(&self, index: LeafIndex) -> Result<Bytes, ReadError> {
        self.tail.entry(index).map_or_else(|| self.flushed.entry(index), |stored| Ok(stored.entry.clone()))
    }

    fn row(&self, index: LeafIndex) -> Result<Row, ReadError> {
        self.tail.entry(index).map_or_else(|| self.flushed.row(index), |stored| Ok(stored.row))
    }
}

/// Integrates the frames of the journal as the sequencer did, and checks that they lead where they say.
pub(crate) fn apply_frames<M: Machine>(
    machine: &mut M,
    tail: &mut Tail,
    flushed: &dyn Past,
    scan: &Scan,
    published: &mut PublishedNote,
) -> Result<u64, OpenError> {
    let inconsistent = |what: &str| OpenError::Inconsistent { what: format!("the journal {what}") };
    let mut count = 0;
    for frame in &scan.frames {
        match frame.kind {
            FrameKind::Start => return Err(inconsistent("begins anew in its middle")),
            FrameKind::Published => {
                *published =
                    PublishedNote::decode(&frame.payload).ok_or_else(|| inconsistent("holds no checkpoint"))?;
            }
            FrameKind::Erasure => {
                let index = erasure::decode(&frame.payload).filter(|index| index.get() < tail.size().get());
                tail.erase(index.ok_or_else(|| inconsistent("holds an erasure of no entry"))?);
            }
            FrameKind::Batch => {
                let (transition, entries) =
                    batch::decode(&frame.payload).ok_or_else(|| inconsistent("holds a frame that is no batch"))?;
                if transition.before != (tail.size(), tail_root(tail)) {
                    return Err(inconsistent("does not go on from the tree in the public files"));
                }
                count += entries.len() as u64;
                let hashed = entries.into_iter().map(|stored| {
                    let leaf = leaf_hash(&stored.entry);
                    (stored, leaf)
                });
                apply_entries(machine, tail, flushed, hashed)
                    .map_err(|e| OpenError::Replay { index: e.index, what: e.what })?;
                if transition.after != (tail.size(), tail_root(tail)) {
                    return Err(inconsistent("does not lead to the root that it says"));
                }
            }
        }
    }
    Ok(count)
}

/// Folds entries that the log has ordered, and puts them into the tree: those of frames, and those that come from a log
/// that is followed.
pub(crate) fn apply_entries<M: Machine>(
    machine: &mut M,
    tail: &mut Tail,
    before: &dyn Past,
    entries: impl Iterator<Item = (Stored, Hash)>,
) -> Result<(), ReplayError> {
    for (mut stored, leaf) in entries {
        let index = tail.size().next_index();
        stored.row = machine.apply(index, &stored.entry, &BeforeFrames { tail, flushed: before })?;
        tail.push(stored, leaf);
    }
    Ok(())
}

fn check_published(store: &Store, tail: &Tail, published: &PublishedNote) -> Result<(), OpenError> {
    if published.note.is_empty() {
        return Ok(());
    }
    let refusal = OpenError::PublishedNotHere { published: published.size, recovered: tail.size() };
    match LogReader::new(store, tail).root(published.size) {
        Ok(root) if root == published.root => Ok(()),
        Ok(_) | Err(ReadError::PastEnd) => Err(refusal),
        Err(error) => Err(error.into()),
    }
}
