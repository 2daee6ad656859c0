//! What the log shows to whom: the same to everybody if it is honest, though maybe out of a cache that is behind.

use std::io;
use std::sync::{Arc, Mutex};

use soulchain::audit::{Source, SourceError, TileBytes};
use soulchain::hash::sha256;
use soulchain::tlog::{SignedCheckpoint, TileId};

use crate::history::History;
use crate::judge::Count;
use crate::net::{Ctx, Party};
use crate::node::Node;
use crate::operator::{Served, signed};
use crate::random::Random;

/// How a log treats those who read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Honest,
    /// Each reader sees one of two histories.
    Split,
    /// Readers see now this history, now that one.
    FlipFlop,
}

/// The log, as readers see it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Operator {
    ctx: Ctx,
    pub(crate) manner: Manner,
    pub(crate) nodes: Vec<Node>,
    state: Arc<Mutex<OperatorState>>,
}

struct OperatorState {
    random: Random,
    /// What was served before, for caches that are behind.
    old: Vec<Served>,
    /// Which history each reader sees.
    faces: Vec<(Party, usize)>,
    is_settled: bool,
}

/// What one reader sees at one time.
pub(crate) struct View {
    pub(crate) note: SignedCheckpoint,
    history: Arc<History>,
    withholds: bool,
    rewrites: bool,
    /// A number by which requests fail.
    broken: Option<u64>,
}

impl Operator {
    pub(crate) fn new(ctx: &Ctx, manner: Manner, nodes: Vec<Node>) -> Self {
        let mut random = ctx.random("operator");
        let readers = [Party::Client(0), Party::Client(1), Party::Monitor, Party::Mirror];
        let faces = readers.map(|reader| (reader, random.below(nodes.len() as u64) as usize)).to_vec();
        let state = Arc::new(Mutex::new(OperatorState { random, old: Vec::new(), faces, is_settled: false }));
        Self { ctx: ctx.clone(), manner, nodes, state }
    }

    /// From now on each reader sees the newest of its history, and all of its tiles.
    pub(crate) fn settle(&self) {
        self.state.lock().unwrap().is_settled = true;
    }

    fn face_of(&self, reader: Party) -> usize {
        let state = self.state.lock().unwrap();
        state.faces.iter().find(|(of, _)| *of == reader).map_or(0, |(_, face)| *face)
    }

    /// The node that a reader sees in the end.
    pub(crate) fn node_for(&self, reader: Party) -> &Node {
        &self.nodes[self.face_of(reader)]
    }

    /// What a reader is shown now, if anything gets through.
    pub(crate) fn show(&self, to: Party) -> Option<View> {
        if !self.ctx.reaches(to, Party::Log) {
            return None;
        }
        let mut view = if self.manner == Manner::Honest { self.honest()? } else { self.byzantine(to) };
        let mut state = self.state.lock().unwrap();
        if !state.is_settled && state.random.permille(100) {
            view.broken = Some(state.random.any());
        }
        Some(view)
    }

    fn honest(&self) -> Option<View> {
        let (mut note, history) = self.nodes[0].served()?;
        let state = &mut *self.state.lock().unwrap();
        if state.old.last().is_none_or(|(last, _)| *last != note) {
            state.old.push((note.clone(), Arc::clone(&history)));
        }
        if !state.is_settled && state.random.permille(30) {
            let at = state.random.below(state.old.len() as u64) as usize;
            note = state.old[at].0.clone();
            self.ctx.count(Count::RolledBack);
        }
        Some(View { note, history, withholds: false, rewrites: false, broken: None })
    }

    fn byzantine(&self, to: Party) -> View {
        let mut face = self.face_of(to);
        let mut state = self.state.lock().unwrap();
        let is_settled = state.is_settled;
        let random = &mut state.random;
        if self.manner == Manner::FlipFlop && !is_settled && random.permille(400) {
            face = random.below(self.nodes.len() as u64) as usize;
        }
        let node = &self.nodes[face];
        let (mut history, served) = (node.history(), node.served());
        if is_settled {
            let note = self.sign(&history);
            return View { note, history, withholds: false, rewrites: false, broken: None };
        }
        if random.permille(100) {
            let back = random.below(history.word.len() as u64 + 1) as usize;
            history = History::of(&history.word[..back]);
            self.ctx.count(Count::RolledBack);
        }
        let note = match served.filter(|_| random.permille(500)) {
            Some((note, of)) => {
                history = of;
                note
            }
            None => self.sign(&history),
        };
        let (withholds, rewrites) = (random.permille(150), random.permille(100));
        if withholds {
            self.ctx.count(Count::Withheld);
        }
        if rewrites {
            self.ctx.count(Count::Rewritten);
        }
        View { note, history, withholds, rewrites, broken: None }
    }

    fn sign(&self, history: &Arc<History>) -> SignedCheckpoint {
        self.ctx.judge().signs(history);
        signed(history)
    }
}

impl Source for View {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.note.to_string().into_bytes())
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        // By the name alone: threads may ask in any order.
        let number = sha256(&[tile.to_string().as_bytes()])[0];
        if self.broken.is_some_and(|broken| (broken ^ u64::from(number)) % 2 == 0) {
            return Err(SourceError::Io(tile.to_string().into(), io::ErrorKind::ConnectionReset.into()));
        }
        if self.withholds {
            return Ok(TileBytes::Missing);
        }
        let bytes = self.history.tile(tile);
        Ok(bytes.map_or(TileBytes::Missing, |mut bytes| {
            if self.rewrites {
                let at = usize::from(number) % bytes.len();
                bytes[at] ^= 1;
            }
            TileBytes::Bytes(bytes)
        }))
    }

    fn fetches_at_once(&self) -> usize {
        1
    }
}
