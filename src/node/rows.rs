//! What the node knows of an identity beside its record: the way back through its chain, and its profile.

use std::sync::Arc;

use bytes::Bytes;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::about::Mentions;
use super::chain::JumpPath;
use crate::encoding::{Reader, Writer};
use crate::merkle::LeafIndex;
use crate::soul::{Body, Curr, Identity, LinkType, Profile};
use crate::verify::MAX_KEY_EVENTS;

/// All rows, by the index of their genesis. A clone is a snapshot.
pub(crate) type Rows = RedBlackTreeMapSync<LeafIndex, Arc<Row>>;

/// All links that were taken back.
pub(crate) type Retracted = RedBlackTreeSetSync<Curr>;

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

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.raw(self.identity.as_bytes());
        self.path.write(&mut writer);
        writer.u16(self.key_events.len() as u16);
        for index in &self.key_events {
            writer.u64(index.get());
        }
        if let Some(profile) = &self.profile {
            writer.raw(&profile.body);
        }
        writer.into_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let identity = Identity::from_bytes(reader.array()?);
        let path = JumpPath::read(&mut reader)?;
        let events = usize::from(reader.u16()?);
        let key_events = (0..events).map(|_| reader.u64().map(LeafIndex::new)).collect::<Option<_>>()?;
        let profile = match reader.rest() {
            [] => None,
            body => Some(Arc::new(ProfileRow::parse(body)?)),
        };
        Some(Self { identity, path, key_events, profile, about: None })
    }
}
