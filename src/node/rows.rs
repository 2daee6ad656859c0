//! What the node knows of an identity beside its record: the way back through its chain, and its profile.

use std::sync::Arc;

use bytes::Bytes;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::about::{Mentions, NOBODY};
use super::chain::JumpPath;
use crate::encoding::{Reader, Writer};
use crate::merkle::LeafIndex;
use crate::soul::{Body, Curr, Identity, LinkType, Profile};
use crate::verify::MAX_KEY_EVENTS;

/// All rows, by the index of their genesis. A clone is a snapshot.
#[derive(Clone, Default)]
pub(crate) struct Rows {
    /// Those that were read at opening, sorted: a row takes less memory there, and none is sorted in.
    loaded: Arc<Vec<(LeafIndex, Kept)>>,
    /// Those that have changed since, and new ones.
    since: RedBlackTreeMapSync<LeafIndex, Kept>,
}

/// A row in memory.
#[derive(Clone)]
pub(crate) enum Kept {
    /// Of an identity with nothing but its genesis.
    Founded(Identity),
    /// Any other.
    Whole(Arc<Row>),
}

/// All links that were taken back.
pub(crate) type Retracted = RedBlackTreeSetSync<Curr>;

impl Rows {
    /// No rows.
    pub(crate) fn new() -> Self {
        Self::load(Vec::new())
    }

    /// These rows.
    pub(crate) fn load(mut rows: Vec<(LeafIndex, Kept)>) -> Self {
        rows.sort_unstable_by_key(|(genesis, _)| *genesis);
        Self { loaded: Arc::new(rows), since: RedBlackTreeMapSync::new_sync() }
    }

    /// The row of the identity with this genesis.
    pub(crate) fn get(&self, genesis: LeafIndex) -> Option<Arc<Row>> {
        let loaded = || {
            let at = self.loaded.binary_search_by_key(&genesis, |(genesis, _)| *genesis).ok()?;
            Some(&self.loaded[at].1)
        };
        self.since.get(&genesis).or_else(loaded).map(|kept| kept.row(genesis))
    }

    /// Sets the row of the identity with this genesis.
    pub(crate) fn insert(&mut self, genesis: LeafIndex, row: Row) {
        self.since.insert_mut(genesis, Kept::of(genesis, row));
    }

    /// Those below an index, newest first.
    pub(crate) fn below(&self, end: LeafIndex) -> impl Iterator<Item = (LeafIndex, Arc<Row>)> {
        let loaded = &self.loaded[..self.loaded.partition_point(|(genesis, _)| *genesis < end)];
        let mut loaded = loaded.iter().rev().map(|(genesis, kept)| (genesis, kept)).peekable();
        let mut since = self.since.range(..end).rev().peekable();
        std::iter::from_fn(move || {
            let newer = |(then, _): &(&LeafIndex, &Kept)| loaded.peek().is_none_or(|(genesis, _)| then >= genesis);
            let (genesis, kept) = match since.next_if(newer) {
                Some(changed) => {
                    loaded.next_if(|(genesis, _)| *genesis == changed.0);
                    changed
                }
                None => loaded.next()?,
            };
            Some((*genesis, kept.row(*genesis)))
        })
    }
}

impl Kept {
    pub(crate) fn of(genesis: LeafIndex, row: Row) -> Self {
        let is_founded = row.is_founded(genesis) && row.about.is_none();
        if is_founded { Self::Founded(row.identity) } else { Self::Whole(Arc::new(row)) }
    }

    fn row(&self, genesis: LeafIndex) -> Arc<Row> {
        match self {
            Self::Founded(identity) => Arc::new(Row::founded(*identity, genesis)),
            Self::Whole(row) => Arc::clone(row),
        }
    }
}

/// One identity.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) identity: Identity,
    pub(crate) path: JumpPath,
    /// The first key events of the chain, at most [`MAX_KEY_EVENTS`] and one: what the proof of a link shows.
    pub(crate) key_events: Vec<LeafIndex>,
    pub(crate) profile: Option<Arc<ProfileRow>>,
    /// The links about it. They are not part of its bytes: others write them, at any rate, and a profile is long.
    pub(crate) about: Option<Mentions>,
}

/// A profile, as the newest `profile` link says it.
#[derive(Clone, Debug)]
pub(crate) struct ProfileRow {
    pub(crate) body: Bytes,
    pub(crate) profile: Profile,
}

impl ProfileRow {
    /// Reads a body that was admitted.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        match Body::parse(LinkType::Profile, Some(body)).ok()? {
            Body::Profile(profile) => Some(Self { body: Bytes::copy_from_slice(body), profile }),
            _ => None,
        }
    }
}

impl Row {
    /// The row of an identity without links.
    pub(crate) fn new(identity: Identity) -> Self {
        Self { identity, path: JumpPath::default(), key_events: Vec::new(), profile: None, about: None }
    }

    /// Notes a key event. One more than a proof may show is enough to tell that it cannot.
    pub(crate) fn note_key_event(&mut self, index: LeafIndex) {
        if self.key_events.len() <= MAX_KEY_EVENTS {
            self.key_events.push(index);
        }
    }

    /// The row of an identity with its genesis alone.
    fn founded(identity: Identity, genesis: LeafIndex) -> Self {
        let mut row = Self::new(identity);
        row.path.push(0, genesis, NOBODY);
        row.note_key_event(genesis);
        row
    }

    /// Whether its chain has its genesis alone.
    fn is_founded(&self, genesis: LeafIndex) -> bool {
        self.path.is_only(genesis)
    }

    /// Its bytes beside the identity's: none of one that has its genesis alone.
    pub(crate) fn write(&self, writer: &mut Writer, genesis: LeafIndex) {
        if self.is_founded(genesis) {
            return;
        }
        self.path.write(writer);
        writer.u16(self.key_events.len() as u16);
        for index in &self.key_events {
            writer.u64(index.get());
        }
        if let Some(profile) = &self.profile {
            writer.raw(&profile.body);
        }
    }

    pub(crate) fn read(mut reader: Reader<'_>, identity: Identity, genesis: LeafIndex) -> Option<Self> {
        if reader.is_empty() {
            return Some(Self::founded(identity, genesis));
        }
        let path = JumpPath::read(&mut reader)?;
        let events = usize::from(reader.u16()?);
        let mut key_events = Vec::with_capacity(events.min(MAX_KEY_EVENTS + 1));
        for _ in 0..events {
            key_events.push(LeafIndex::new(reader.u64()?));
        }
        let profile = match reader.rest() {
            [] => None,
            body => Some(Arc::new(ProfileRow::parse(body)?)),
        };
        (key_events.first() == Some(&genesis)).then_some(Self { identity, path, key_events, profile, about: None })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn identity(number: u64) -> Identity {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Identity::from_bytes(bytes)
    }

    fn row(number: u64, links: u64) -> Row {
        let mut row = Row::founded(identity(number), LeafIndex::new(number));
        for len in 1..links {
            row.path.push(len, LeafIndex::new(number + len), NOBODY);
        }
        row
    }

    fn bytes(row: &Row, genesis: u64) -> Vec<u8> {
        let mut writer = Writer::default();
        row.write(&mut writer, LeafIndex::new(genesis));
        writer.into_bytes()
    }

    #[test]
    fn rows_are_found_and_listed_wherever_they_lie() {
        let kept = |n| (LeafIndex::new(n), Kept::of(LeafIndex::new(n), row(n, 1 + n % 2)));
        let mut rows = Rows::load((0..34).rev().map(|n| kept(3 * n)).collect());
        let mut naive: BTreeMap<u64, u64> = (0..100).step_by(3).map(|n| (n, 1 + n % 2)).collect();
        let before = rows.clone();
        for number in (0..120).step_by(5) {
            rows.insert(LeafIndex::new(number), row(number, 3));
            naive.insert(number, 3);
        }
        for end in (0..125).chain([u64::MAX]) {
            let listed = rows.below(LeafIndex::new(end));
            let listed = listed.map(|(genesis, kept)| (genesis.get(), bytes(&kept, genesis.get())));
            let expected = naive.range(..end).rev().map(|(n, links)| (*n, bytes(&row(*n, *links), *n)));
            assert!(listed.eq(expected), "below {end}");
            let found = rows.get(LeafIndex::new(end)).map(|kept| (kept.identity, bytes(&kept, end)));
            assert_eq!(found, naive.get(&end).map(|links| (identity(end), bytes(&row(end, *links), end))));
        }
        assert_eq!(before.below(LeafIndex::new(u64::MAX)).count(), 34, "a clone is a snapshot");
        assert_eq!(before.get(LeafIndex::new(0)).unwrap().path, row(0, 1).path);
    }

    #[test]
    fn a_row_is_read_back_and_that_of_a_genesis_takes_no_bytes() {
        for (links, is_short) in [(1, true), (2, false), (9, false)] {
            let bytes = bytes(&row(5, links), 5);
            assert_eq!(bytes.is_empty(), is_short);
            let back = Row::read(Reader::new(&bytes), identity(5), LeafIndex::new(5)).unwrap();
            assert_eq!((&back.path, &back.key_events), (&row(5, links).path, &vec![LeafIndex::new(5)]));
            assert!(is_short || Row::read(Reader::new(&bytes), identity(5), LeafIndex::new(4)).is_none());
        }
    }
}
