//! A disk that can lose power and fail: a double of [`Disk`] with a page cache.
//!
//! Each file has bytes as programs see them and bytes as the medium has them; they differ in dirty sectors until a
//! sync. Names have the same two sides. A power loss keeps any subset of what was not synced. A sync that fails leaves
//! its sectors clean but not on the medium, as Linux does: no later sync writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use soulchain::storage::{Disk, DiskFile};

/// What is written whole or not at all.
const SECTOR: usize = 512;

/// What becomes of an operation that is chosen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It fails and nothing of it happens.
    Lost,
    /// It fails, and half of it happens: some sectors of a write.
    Half,
    /// It fails, though all of it happens.
    Done,
    /// It succeeds; the power goes right after it, so that every later operation fails.
    PowerCut,
    /// A write finds no space.
    NoSpace,
}

/// Which operations fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Number of the operation, from 0.
    pub(crate) at: u64,
    /// What becomes of it.
    pub(crate) fate: Fate,
    /// Whether all later ones fail too, and without effect.
    pub(crate) dead_after: bool,
}

/// What survives a power loss of what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survivors {
    Nothing,
    Everything,
    /// Each sector and each name by the toss of a coin.
    Some(u64),
}

/// A kind of operation and what it was done to.
pub(crate) type Op = (&'static str, String);

#[derive(Clone, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// A change of names, as one: what a rename sets and unsets goes together.
#[derive(Clone)]
struct NameChange {
    set: Option<(String, u64)>,
    unset: Option<String>,
}

#[derive(Clone, Default)]
struct Inner {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changes: Vec<NameChange>,
    next_file: u64,
    ops: Vec<Op>,
    plan: Option<Plan>,
    is_dead: bool,
    free: Option<u64>,
    full: Option<String>,
    sync_time: Duration,
}

/// A double of a directory. Clones of the handle are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>, Arc<Gate>);

/// Where syncs wait for as long as they are held.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set_shut(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.changed.notify_all();
    }

    /// Not for ever: a test that fails while it holds them comes to its end.
    fn pass(&self) {
        let shut = self.is_shut.lock().unwrap();
        drop(self.changed.wait_timeout_while(shut, Duration::from_mins(1), |is_shut| *is_shut).unwrap());
    }
}

/// How the operation that is being done ends.
enum Verdict {
    Go,
    /// The disk is not there any more.
    Dead(io::Error),
    Stop(io::Error),
    Half(io::Error),
    GoAndFail(io::Error),
}

impl SimDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Fails as planned from now on; operations are counted anew.
    pub(crate) fn plan(&self, plan: Option<Plan>) {
        let mut inner = self.inner();
        inner.plan = plan;
        inner.is_dead = false;
        inner.ops.clear();
    }

    /// The operations since the last plan.
    pub(crate) fn ops(&self) -> Vec<Op> {
        self.inner().ops.clone()
    }

    /// Whether the power is gone.
    #[allow(dead_code, reason = "the simulation asks")]
    pub(crate) fn is_dead(&self) -> bool {
        self.inner().is_dead
    }

    pub(crate) fn set_free(&self, free: Option<u64>) {
        self.inner().free = free;
    }

    /// Writes to names that contain this find no space.
    pub(crate) fn set_full(&self, names: Option<&str>) {
        self.inner().full = names.map(str::to_owned);
    }

    /// Syncs of files take this long.
    pub(crate) fn set_sync_time(&self, time: Duration) {
        self.inner().sync_time = time;
    }

    /// Syncs of files begin, and do not go on before they are released.
    pub(crate) fn hold_syncs(&self) {
        self.1.set_shut(true);
    }

    pub(crate) fn release_syncs(&self) {
        self.1.set_shut(false);
    }

    /// The process dies: another disk with the same contents, page cache included, that works.
    pub(crate) fn copy(&self) -> Self {
        let mut inner = self.inner().clone();
        inner.plan = None;
        inner.is_dead = false;
        inner.sync_time = Duration::ZERO;
        inner.ops.clear();
        Self(Arc::new(Mutex::new(inner)), Arc::default())
    }

    /// The power goes: another disk that has what survived.
    pub(crate) fn after_power_loss(&self, survivors: Survivors) -> Self {
        let before = self.inner().clone();
        let mut coin = Coin::new(survivors);
        let mut names = before.durable_names;
        for change in before.changes {
            if coin.toss() {
                change.apply(&mut names);
            }
        }
        let used: BTreeSet<u64> = names.values().copied().collect();
        let files = before.files.into_iter().filter(|(id, _)| used.contains(id));
        let files = files.map(|(id, file)| (id, file.after_power_loss(&mut coin))).collect();
        let durable_names = names.clone();
        let inner = Inner { files, names, durable_names, next_file: before.next_file, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)), Arc::default())
    }

    /// The bytes of a file, past every fault.
    pub(crate) fn peek(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner.names.get(name).map(|id| inner.files[id].seen.clone())
    }

    /// Puts bytes under a name, durably, past every fault; `None` removes it.
    pub(crate) fn poke(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut inner = self.inner();
        inner.names.remove(name);
        inner.durable_names.remove(name);
        if let Some(bytes) = bytes {
            let id = inner.new_file();
            inner.files.insert(id, File { seen: bytes.clone(), durable: bytes, dirty: BTreeSet::new() });
            inner.names.insert(name.into(), id);
            inner.durable_names.insert(name.into(), id);
        }
    }

    /// Visits the bytes of every file that has a name, as programs see them and as the medium has them.
    pub(crate) fn everything(&self, mut visit: impl FnMut(&str, &[u8])) {
        let inner = self.inner();
        for (name, id) in inner.names.iter().chain(&inner.durable_names) {
            let file = &inner.files[id];
            visit(name, &file.seen);
            if !file.dirty.is_empty() || file.seen.len() != file.durable.len() || file.seen != file.durable {
                visit(name, &file.durable);
            }
        }
    }

    /// All names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.inner().names.keys().cloned().collect()
    }

    /// Counts an operation that is not one of files, and says whether it fails.
    pub(crate) fn other_op(&self, kind: &'static str, name: &str) -> Result<(), (io::Error, Fate)> {
        match self.inner().begin(kind, name) {
            Verdict::Go => Ok(()),
            Verdict::Dead(error) | Verdict::Stop(error) => Err((error, Fate::Lost)),
            Verdict::Half(error) => Err((error, Fate::Half)),
            Verdict::GoAndFail(error) => Err((error, Fate::Done)),
        }
    }

    /// Does an operation that has no halves.
    fn whole<T>(
        &self,
        kind: &'static str,
        name: &str,
        work: impl FnOnce(&mut Inner) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.inner();
        match inner.begin(kind, name) {
            Verdict::Go => work(&mut inner),
            Verdict::Dead(error) | Verdict::Stop(error) | Verdict::Half(error) => Err(error),
            Verdict::GoAndFail(error) => work(&mut inner).and(Err(error)),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        if let Some(name) = &self.unset {
            names.remove(name);
        }
        if let Some((name, file)) = &self.set {
            names.insert(name.clone(), *file);
        }
    }

    fn is_in(&self, dir: &str) -> bool {
        let parent = |name: &str| name.rsplit_once('/').map_or("", |(parent, _)| parent) == dir;
        self.set.iter().map(|(name, _)| name).chain(&self.unset).any(|name| parent(name))
    }
}

impl File {
    fn resize(&mut self, len: usize) {
        let from = len.min(self.seen.len()) / SECTOR;
        let to = len.max(self.seen.len()).div_ceil(SECTOR);
        if len != self.seen.len() {
            self.dirty.extend(from..to);
        }
        self.seen.resize(len, 0);
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if self.seen.len() < offset + bytes.len() {
            self.resize(offset + bytes.len());
        }
        self.seen[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.durable.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..self.seen.len().min((sector + 1) * SECTOR);
            if !range.is_empty() {
                self.durable[range.clone()].copy_from_slice(&self.seen[range]);
            }
        }
    }

    fn after_power_loss(mut self, coin: &mut Coin) -> Self {
        self.dirty.retain(|_| coin.toss());
        if coin.toss() {
            self.sync();
        } else {
            // The new length is lost, and with it what lies beyond the old one; sectors that were cut off are still there.
            let len = self.durable.len();
            let cut = self.seen.len().div_ceil(SECTOR);
            self.dirty.retain(|sector| *sector < cut);
            self.seen.resize(len, 0);
            self.sync();
        }
        Self { seen: self.durable.clone(), durable: self.durable, dirty: BTreeSet::new() }
    }
}

impl Inner {
    /// Counts an operation and says how it ends.
    fn begin(&mut self, kind: &'static str, name: &str) -> Verdict {
        let number = self.ops.len() as u64;
        self.ops.push((kind, name.to_owned()));
        if self.is_dead {
            return Verdict::Dead(io::Error::other("the disk is dead"));
        }
        let error = || io::Error::other("the disk says no");
        if kind == "write" && self.full.as_ref().is_some_and(|full| name.contains(full.as_str())) {
            return Verdict::Stop(io::ErrorKind::StorageFull.into());
        }
        let Some(plan) = self.plan.filter(|plan| plan.at == number) else { return Verdict::Go };
        self.is_dead = plan.dead_after;
        match plan.fate {
            Fate::Lost => Verdict::Stop(error()),
            Fate::Half => Verdict::Half(error()),
            Fate::Done => Verdict::GoAndFail(error()),
            Fate::PowerCut => Verdict::Go,
            Fate::NoSpace => Verdict::Stop(io::ErrorKind::StorageFull.into()),
        }
    }

    fn new_file(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }

    fn file(&self, name: &str) -> io::Result<&File> {
        self.names.get(name).map(|id| &self.files[id]).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn sync_names(&mut self, dir: Option<&str>) {
        let (synced, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| dir.is_none_or(|dir| change.is_in(dir)));
        for change in synced {
            change.apply(&mut self.durable_names);
        }
        self.changes = left;
    }
}

impl Disk for SimDisk {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.whole("read", name, |inner| Ok(inner.file(name)?.seen.clone()))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.whole("read", name, |inner| {
            let bytes = &inner.file(name)?.seen;
            let start = bytes.len().min(offset as usize);
            Ok(bytes[start..bytes.len().min(start + len)].to_vec())
        })
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.whole("len", name, |inner| Ok(inner.file(name)?.seen.len() as u64))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.whole("list", dir, |inner| {
            let prefix = format!("{dir}/");
            let below = inner.names.keys().filter_map(|name| name.strip_prefix(&prefix));
            let names: BTreeSet<_> = below.filter_map(|name| name.split('/').next()).map(str::to_owned).collect();
            Ok(names.into_iter().collect())
        })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.whole("open", name, |inner| {
            if let Some(id) = inner.names.get(name) {
                return Ok(*id);
            }
            let id = inner.new_file();
            inner.files.insert(id, File::default());
            inner.change(NameChange { set: Some((name.into(), id)), unset: None });
            Ok(id)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), id, name: name.into() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.whole("rename", to, |inner| {
            let id = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            inner.change(NameChange { set: Some((to.into(), id)), unset: Some(from.into()) });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.whole("remove", name, |inner| {
            inner.change(NameChange { set: None, unset: Some(name.into()) });
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.whole("remove_dir", dir, |inner| {
            let prefix = format!("{dir}/");
            let is_empty = !inner.names.keys().any(|name| name.starts_with(&prefix));
            if is_empty { Ok(()) } else { Err(io::ErrorKind::DirectoryNotEmpty.into()) }
        })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.whole("sync_dir", dir, |inner| {
            inner.sync_names(Some(dir));
            Ok(())
        })
    }

    fn sync_fs(&self) -> io::Result<()> {
        let mut inner = self.inner();
        let result = match inner.begin("sync_fs", "") {
            Verdict::Go => Ok(()),
            Verdict::GoAndFail(error) => Err(error),
            Verdict::Dead(error) => return Err(error),
            Verdict::Stop(error) | Verdict::Half(error) => {
                // Their pages are clean now, and no later sync tries again.
                inner.files.values_mut().for_each(|file| file.dirty.clear());
                return Err(error);
            }
        };
        inner.files.values_mut().for_each(File::sync);
        inner.sync_names(None);
        result
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.inner().free.unwrap_or(1 << 40))
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
    name: String,
}

impl DiskFile for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let verdict = inner.begin("write", &self.name);
        let file = inner.files.get_mut(&self.id).unwrap();
        let offset = offset as usize;
        match verdict {
            Verdict::Go => file.write(offset, bytes),
            Verdict::Dead(error) | Verdict::Stop(error) => return Err(error),
            Verdict::Half(error) => {
                file.write(offset, &bytes[..bytes.len() / 2]);
                return Err(error);
            }
            Verdict::GoAndFail(error) => {
                file.write(offset, bytes);
                return Err(error);
            }
        }
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let (id, name) = (self.id, self.name.clone());
        self.disk.whole("truncate", &name, |inner| {
            inner.files.get_mut(&id).unwrap().resize(len as usize);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.1.pass();
        let time = self.disk.inner().sync_time;
        if !time.is_zero() {
            std::thread::sleep(time);
        }
        let mut inner = self.disk.inner();
        let verdict = inner.begin("sync", &self.name);
        let file = inner.files.get_mut(&self.id).unwrap();
        match verdict {
            Verdict::Go => {
                file.sync();
                Ok(())
            }
            Verdict::GoAndFail(error) => {
                file.sync();
                Err(error)
            }
            Verdict::Dead(error) => Err(error),
            Verdict::Stop(error) | Verdict::Half(error) => {
                file.dirty.clear();
                Err(error)
            }
        }
    }
}

/// Numbers by xorshift, so that a seed tells the whole run.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

pub(crate) struct Coin {
    survivors: Survivors,
    random: Random,
    /// Out of eight: how often something survives.
    odds: u64,
}

impl Coin {
    pub(crate) fn new(survivors: Survivors) -> Self {
        let seed = if let Survivors::Some(seed) = survivors { seed } else { 0 };
        let mut random = Random::new(seed);
        let odds = [1, 4, 7][random.below(3) as usize];
        Self { survivors, random, odds }
    }

    pub(crate) fn toss(&mut self) -> bool {
        match self.survivors {
            Survivors::Nothing => false,
            Survivors::Everything => true,
            Survivors::Some(_) => self.random.below(8) < self.odds,
        }
    }
}
