//! A machine with rules, derived values and trailers, and a store of views that can fail: doubles of what a registry is.
//!
//! An entry is `key=number`, or `key=number#<hash of its body>`; the numbers of a key only grow. A group is admitted
//! whole or not at all, and one that is logged already is answered with its first index. A batch ends with a trailer,
//! `!time count digest`, by which the state is checked after loading and replay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use soulchain::encoding::{UnixMillis, hex_encode};
use soulchain::hash::sha256;
use soulchain::log::{Batch, Entry, Machine, Past, ROW_LEN, ReplayError, Row, SideBody, Weight};
use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::storage::{StorageError, ViewBatch, Views, Visit};

use super::disk::{Coin, Fate, SimDisk, Survivors};

/// One entry as it is submitted.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) key: String,
    pub(crate) value: u64,
    pub(crate) body: Option<Bytes>,
}

impl Line {
    pub(crate) fn new(key: &str, value: u64) -> Self {
        Self { key: key.into(), value, body: None }
    }

    pub(crate) fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn entry(&self) -> Vec<u8> {
        let commitment = self.body.as_ref().map(|body| format!("#{}", hex_encode(&sha256(&[body]))));
        format!("{}={}{}", self.key, self.value, commitment.unwrap_or_default()).into_bytes()
    }

    pub(crate) fn side_body(&self) -> Option<SideBody> {
        let bytes = self.body.clone()?;
        Some(SideBody { salt: sha256(&[&self.entry()]), bytes })
    }
}

/// Why a group was not admitted: the key that did not grow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DidNotGrow(pub(crate) String);

/// Newest number of each key, and where it stands.
pub(crate) type Values = BTreeMap<String, (u64, u64)>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    values: Arc<Values>,
    time: u64,
    now: u64,
    dirty: BTreeSet<String>,
    /// What the last trailer says of the state, and whether entries came after it.
    digest: Option<String>,
    is_ragged: bool,
}

const TRAILER_KEY: &[u8] = b"!";

impl Rules {
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    fn set(&mut self, key: &str, value: u64, index: LeafIndex) -> Row {
        let before = Arc::make_mut(&mut self.values).insert(key.to_owned(), (value, index.get()));
        self.dirty.insert(key.to_owned());
        let mut row = Row::default();
        row[..8].copy_from_slice(&before.map_or(0, |(_, at)| at + 1).to_be_bytes());
        row[8..16].copy_from_slice(&value.to_be_bytes());
        row[16..].copy_from_slice(&index.get().to_be_bytes());
        row
    }

    fn state_digest(&self) -> String {
        let lines: Vec<String> = self.values.iter().map(|(key, (value, at))| format!("{key}={value}@{at}")).collect();
        hex_encode(&sha256(&[lines.join("\n").as_bytes()]))
    }
}

impl Machine for Rules {
    type Group = Vec<Line>;
    type Answer = LeafIndex;
    type Refusal = DidNotGrow;
    type State = Arc<Values>;

    const LEAST_GAP: Duration = Duration::ZERO;

    fn weight(group: &Self::Group) -> Weight {
        let bytes = group.iter().map(|line| line.entry().len() + line.body.as_ref().map_or(0, Bytes::len)).sum();
        Weight { entries: group.len(), bytes }
    }

    fn least_time(&self) -> UnixMillis {
        UnixMillis::new(self.time + 1)
    }

    fn begin(&mut self, now: UnixMillis) {
        assert!(now.get() > self.time, "log time only grows");
        self.now = now.get();
    }

    fn admit(&mut self, group: Vec<Line>, batch: &mut Batch) -> Result<LeafIndex, DidNotGrow> {
        let logged = |line: &Line| self.values.get(&line.key).filter(|(value, _)| *value == line.value);
        if let Some((_, at)) = group.first().and_then(logged)
            && group.iter().all(|line| logged(line).is_some())
        {
            return Ok(LeafIndex::new(*at));
        }
        let (before, len, first) = (self.values.clone(), batch.len(), batch.next_index());
        for line in group {
            if self.values.get(&line.key).is_some_and(|(value, _)| *value >= line.value) {
                self.values = before;
                batch.truncate(len);
                return Err(DidNotGrow(line.key));
            }
            let row = self.set(&line.key, line.value, batch.next_index());
            batch.push(Entry::new(line.entry().into()).unwrap(), line.side_body().map(Arc::new), row);
        }
        Ok(first)
    }

    fn seal(&mut self, batch: &mut Batch) {
        self.time = self.now;
        let digest = self.state_digest();
        let seal = format!("!{} {} {digest}", self.time, batch.len());
        batch.push(Entry::new(seal.into()).unwrap(), None, [0xff; ROW_LEN as usize]);
        self.digest = Some(digest);
    }

    fn abandon(&mut self) {}

    fn state(&mut self) -> Arc<Values> {
        Arc::clone(&self.values)
    }

    fn apply(&mut self, index: LeafIndex, entry: &[u8], _past: &dyn Past) -> Result<Row, ReplayError> {
        let wrong = |what: &str| ReplayError { index, what: what.to_owned() };
        let text = std::str::from_utf8(entry).map_err(|_| wrong("no text"))?;
        if let Some(trailer) = text.strip_prefix('!') {
            let mut fields = trailer.split(' ');
            let time = fields.next().and_then(|time| time.parse().ok()).ok_or_else(|| wrong("no time"))?;
            if time <= self.time {
                return Err(wrong("time goes back"));
            }
            self.time = time;
            self.digest = fields.nth(1).map(str::to_owned);
            self.is_ragged = false;
            return Ok([0xff; ROW_LEN as usize]);
        }
        self.is_ragged = true;
        let (key, rest) = text.split_once('=').ok_or_else(|| wrong("no ="))?;
        let value = rest.split('#').next().and_then(|value| value.parse().ok()).ok_or_else(|| wrong("no number"))?;
        if self.values.get(key).is_some_and(|(before, _)| *before >= value) {
            return Err(wrong("a number did not grow"));
        }
        Ok(self.set(key, value, index))
    }

    fn changes(&mut self) -> ViewBatch {
        let record = |(value, at): &(u64, u64)| [value.to_be_bytes(), at.to_be_bytes()].concat();
        let mut changes: Vec<_> = std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|key| (format!("k{key}").into_bytes(), self.values.get(&key).map(record)))
            .collect();
        let trailer = self.digest.as_ref().map(|digest| format!("{} {digest}", self.time).into_bytes());
        changes.push((TRAILER_KEY.to_vec(), trailer));
        ViewBatch { changes, applied: TreeSize::ZERO }
    }

    fn load(&mut self, views: &dyn Views) -> Result<(), StorageError> {
        let wrong = || StorageError::Views("a record is malformed".into());
        let mut values = Values::new();
        views.scan(b"k", &mut |key, record| {
            let key = String::from_utf8(key[1..].to_vec()).map_err(|_| wrong())?;
            let (value, at) = record.split_first_chunk().ok_or_else(wrong)?;
            let at = at.try_into().map_err(|_| wrong())?;
            values.insert(key, (u64::from_be_bytes(*value), u64::from_be_bytes(at)));
            Ok(())
        })?;
        *self = Self { values: Arc::new(values), ..Self::default() };
        let trailer = views.read(TRAILER_KEY)?;
        if trailer.is_none() && views.state()?.is_some_and(|applied| applied > TreeSize::ZERO) {
            return Err(wrong());
        }
        if let Some(trailer) = trailer {
            let trailer = String::from_utf8(trailer).map_err(|_| wrong())?;
            let (time, digest) = trailer.split_once(' ').ok_or_else(wrong)?;
            self.time = time.parse().map_err(|_| wrong())?;
            self.digest = Some(digest.to_owned());
        }
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn check(&self, last_entry: Option<&[u8]>) -> Result<(), String> {
        let ends_sealed = last_entry.is_none_or(|entry| entry.starts_with(b"!"));
        if self.is_ragged || !ends_sealed {
            return Err("the newest batch has no trailer".into());
        }
        match &self.digest {
            None if self.values.is_empty() => Ok(()),
            Some(digest) if *digest == self.state_digest() => Ok(()),
            _ => Err("the state does not match the newest trailer".into()),
        }
    }
}

/// What a store of views held after each write.
#[derive(Clone, Default)]
pub(crate) struct Stand {
    pub(crate) values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `None` where a write broke off.
    pub(crate) applied: Option<TreeSize>,
}

/// A store of views of which a power loss leaves any earlier stand, or an incomplete one.
#[derive(Clone)]
pub(crate) struct SimViews {
    disk: SimDisk,
    stands: Arc<Mutex<Vec<Stand>>>,
}

impl SimViews {
    pub(crate) fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), stands: Arc::new(Mutex::new(vec![Stand::default()])) }
    }

    /// The same contents beside another disk.
    pub(crate) fn copy(&self, disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), stands: Arc::new(Mutex::new(self.stands.lock().unwrap().clone())) }
    }

    pub(crate) fn after_power_loss(&self, disk: &SimDisk, survivors: Survivors) -> Self {
        let mut stands = self.stands.lock().unwrap().clone();
        let mut coin = Coin::new(survivors);
        while stands.len() > 1 && !coin.toss() {
            stands.pop();
        }
        let views = Self { disk: disk.clone(), stands: Arc::new(Mutex::new(stands)) };
        if matches!(survivors, Survivors::Some(seed) if seed % 5 == 0) {
            views.edit(|stand| stand.applied = None);
        }
        views
    }

    /// What it holds.
    pub(crate) fn stand(&self) -> Stand {
        self.stands.lock().unwrap().last().unwrap().clone()
    }

    /// Every stand since it was made.
    pub(crate) fn stands(&self) -> Vec<Stand> {
        self.stands.lock().unwrap().clone()
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Stand)) {
        let mut stand = self.stand();
        edit(&mut stand);
        self.stands.lock().unwrap().push(stand);
    }
}

impl Views for SimViews {
    fn state(&self) -> Result<Option<TreeSize>, StorageError> {
        Ok(self.stand().applied)
    }

    fn write(&self, batch: &ViewBatch) -> Result<(), StorageError> {
        let apply = |count: usize, applied| {
            self.edit(|stand| {
                for (key, value) in &batch.changes[..count] {
                    match value {
                        Some(value) => stand.values.insert(key.clone(), value.clone()),
                        None => stand.values.remove(key),
                    };
                }
                stand.applied = applied;
            });
        };
        let all = batch.changes.len();
        match self.disk.other_op("views", "views") {
            Ok(()) => apply(all, Some(batch.applied)),
            Err((error, fate)) => {
                match fate {
                    Fate::Half => apply(all / 2, None),
                    Fate::Done => apply(all, Some(batch.applied)),
                    _ => {}
                }
                return Err(StorageError::Views(error.to_string()));
            }
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for (key, value) in self.stand().values.iter().filter(|(key, _)| key.starts_with(prefix)) {
            visit(key, value)?;
        }
        Ok(())
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.stand().values.get(key).cloned())
    }

    fn clear(&self) -> Result<(), StorageError> {
        match self.disk.other_op("views", "clear") {
            Ok(()) => {}
            Err((error, fate)) => {
                if fate == Fate::Done {
                    self.edit(|stand| *stand = Stand::default());
                }
                return Err(StorageError::Views(error.to_string()));
            }
        }
        self.edit(|stand| *stand = Stand::default());
        Ok(())
    }
}
