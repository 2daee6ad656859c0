//! Reads the lines of an import and shares their actions out by agent.
//!
//! What is in memory is bounded: actions that wait for their batch to fill up, and batches under way.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fields::{FieldNames, Found, read_line};
use super::journal::Place;
use super::names::handle;
use super::worker::{Shared, Work, Worker};
use crate::cli::error::{CliError, CliResult};
use crate::client::{Action, Agent};
use crate::encoding::hex_encode;
use crate::hash::sha256;

/// Batches under way at once, over all agents.
pub(super) const MAX_UNDER_WAY: usize = 16;
/// Links of a request.
const MAX_BATCH: usize = 100;
/// Bytes of bodies in a request, which has room for 4 MiB.
const MAX_BATCH_BYTES: usize = 3 << 20;
/// Bytes of bodies that wait for their batch to fill up; beyond, all are sent as they are.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// What the lines of a file were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Lines that are not empty.
    pub(super) lines: u64,
    /// Actions of an agent.
    pub(super) actions: u64,
    /// Lines that tell of no action.
    pub(super) skipped: u64,
    /// Lines that are not JSON.
    pub(super) unreadable: u64,
    /// Actions of nobody.
    pub(super) without_agent: u64,
}

/// A file of traces.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    names: FieldNames,
    default_agent: Option<String>,
    prefix: String,
    /// By handle: up to where the actions are logged.
    passed: HashMap<String, Place>,
    /// Digests that lines must still have, by line.
    expected: HashMap<u64, String>,
}

type Finished = Vec<(String, Agent, u64)>;

impl Reader {
    pub(super) fn open(
        path: &Path,
        names: FieldNames,
        default_agent: Option<String>,
        prefix: String,
    ) -> CliResult<Self> {
        let reader =
            Self { path: path.into(), names, default_agent, prefix, passed: HashMap::new(), expected: HashMap::new() };
        // What cannot be read is said before anything else is asked for.
        reader.lines().map(drop)?;
        Ok(reader)
    }

    /// Actions of this agent up to here are logged; that line must be the one that it was then.
    pub(super) fn pass_over(&mut self, label: &str, place: Place, line_sha256: String) {
        self.passed.insert(label.into(), place);
        self.expected.insert(place.line, line_sha256);
    }

    pub(super) fn first_line(&self) -> CliResult<String> {
        let empty = || CliError::usage(format!("{} is empty", self.path.display()));
        self.lines()?.next().ok_or_else(empty)?.map_err(|error| CliError::file(&self.path, error))
    }

    pub(super) fn count_actions(&self) -> CliResult<u64> {
        Ok(self.survey()?.0.actions)
    }

    /// What is in the file: counts, actions by agent, and the first of them.
    pub(super) fn survey(&self) -> CliResult<(Counts, BTreeMap<String, u64>, Option<Action>)> {
        let (mut counts, mut agents, mut first) = (Counts::default(), BTreeMap::new(), None);
        for line in self.lines()? {
            let line = line.map_err(|error| CliError::file(&self.path, error))?;
            for (label, action) in self.actions(&line, &mut counts) {
                *agents.entry(label).or_default() += 1;
                first.get_or_insert(action);
            }
        }
        Ok((counts, agents, first))
    }

    /// Hands every action that is not logged yet to its agent's worker, and waits until all are done.
    pub(super) async fn share_out(
        self,
        shared: &Arc<Shared>,
        workers: BTreeMap<String, Worker>,
    ) -> (Counts, CliResult<Finished>) {
        let mut counts = Counts::default();
        let mut office = Office::new(shared);
        for (label, worker) in workers {
            office.employ(label, worker);
        }
        let read = self.read_into(&mut office, &mut counts).await;
        let finished = office.close().await;
        // What a worker failed on says more than that it no longer took work.
        (counts, finished.and_then(|finished| read.map(|()| finished)))
    }

    async fn read_into(&self, office: &mut Office, counts: &mut Counts) -> CliResult<()> {
        for (number, line) in (1..).zip(self.lines()?) {
            let line = line.map_err(|error| CliError::file(&self.path, error))?;
            let digest = hex_encode(&sha256(&[line.as_bytes()]));
            if self.expected.get(&number).is_some_and(|expected| *expected != digest) {
                return Err(CliError::failed(format!("line {number} of {} is not what it was", self.path.display()))
                    .hint(
                        "lines may be added at the end of a file that is imported; for another file, give --state DIR",
                    ));
            }
            for (part, (label, action)) in (0..).zip(self.actions(&line, counts)) {
                let place = Place { line: number, part };
                if self.passed.get(&label).is_none_or(|passed| *passed < place) {
                    office.take(label, action, place, &digest).await?;
                }
            }
        }
        office.send_all().await
    }

    fn actions(&self, line: &str, counts: &mut Counts) -> Vec<(String, Action)> {
        if line.trim_ascii().is_empty() {
            return Vec::new();
        }
        counts.lines += 1;
        let Some(found) = read_line(line, &self.names) else {
            counts.unreadable += 1;
            return Vec::new();
        };
        if found.is_empty() {
            counts.skipped += 1;
        }
        found.into_iter().filter_map(|found| self.action(found, counts)).collect()
    }

    fn action(&self, found: Found, counts: &mut Counts) -> Option<(String, Action)> {
        let Some(name) = found.agent.or_else(|| self.default_agent.clone()) else {
            counts.without_agent += 1;
            return None;
        };
        counts.actions += 1;
        let label = handle(&self.prefix, &name);
        let action = if label == name { found.action } else { found.action.with("agent", name) };
        Some((label, action.fitted()))
    }

    fn lines(&self) -> CliResult<impl Iterator<Item = std::io::Result<String>>> {
        let file = File::open(&self.path).map_err(|error| CliError::file(&self.path, error))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        Ok(std::iter::from_fn(move || {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => None,
                // A line that is not UTF-8 is not JSON either, and is counted as that.
                Ok(_) => Some(Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())),
                Err(error) => Some(Err(error)),
            }
        }))
    }
}

/// The workers, and what waits for them.
struct Office {
    shared: Arc<Shared>,
    desks: BTreeMap<String, Desk>,
    working: JoinSet<CliResult<(String, Agent, u64)>>,
    waiting_bytes: usize,
}

/// One worker, and what waits for it.
struct Desk {
    batches: mpsc::Sender<Work>,
    waiting: Vec<Action>,
    bytes: usize,
    upto: Place,
    line_sha256: String,
}

impl Office {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), desks: BTreeMap::new(), working: JoinSet::new(), waiting_bytes: 0 }
    }

    fn employ(&mut self, label: String, worker: Worker) {
        let (desk, batches) = Desk::new();
        self.working.spawn(worker.work(batches));
        self.desks.insert(label, desk);
    }

    async fn take(&mut self, label: String, action: Action, place: Place, line_sha256: &str) -> CliResult<()> {
        if !self.desks.contains_key(&label) {
            let (desk, batches) = Desk::new();
            let (shared, name) = (Arc::clone(&self.shared), label.clone());
            self.working.spawn(async move { Worker::start(shared, name).await?.work(batches).await });
            self.desks.insert(label.clone(), desk);
        }
        let desk = self.desks.get_mut(&label).expect("it was put there");
        let bytes = action.body().to_bytes().len();
        if desk.waiting.len() == MAX_BATCH || desk.bytes + bytes > MAX_BATCH_BYTES {
            self.waiting_bytes -= desk.bytes;
            desk.send(&self.shared).await?;
        }
        desk.waiting.push(action);
        desk.bytes += bytes;
        (desk.upto, desk.line_sha256) = (place, line_sha256.to_owned());
        self.waiting_bytes += bytes;
        if self.waiting_bytes > MAX_WAITING_BYTES { self.send_all().await } else { Ok(()) }
    }

    async fn send_all(&mut self) -> CliResult<()> {
        for desk in self.desks.values_mut() {
            desk.send(&self.shared).await?;
        }
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Lets everybody finish.
    async fn close(mut self) -> CliResult<Finished> {
        self.desks.clear();
        let mut finished = Vec::new();
        let mut failed = None;
        while let Some(done) = self.working.join_next().await {
            match done {
                Ok(Ok(done)) => finished.push(done),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(error) => failed = failed.or(Some(CliError::failed(format!("a worker was cut short: {error}")))),
            }
        }
        finished.sort_by(|a, b| a.0.cmp(&b.0));
        failed.map_or(Ok(finished), Err)
    }
}

impl Desk {
    fn new() -> (Self, mpsc::Receiver<Work>) {
        let (batches, taken) = mpsc::channel(1);
        let desk = Self { batches, waiting: Vec::new(), bytes: 0, upto: Place::default(), line_sha256: String::new() };
        (desk, taken)
    }

    async fn send(&mut self, shared: &Shared) -> CliResult<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let permit = Arc::clone(&shared.under_way).acquire_owned().await.ok();
        let actions = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let work = Work { actions, upto: self.upto, line_sha256: self.line_sha256.clone(), permit };
        // A worker that takes no more has failed, and says why when it is asked.
        self.batches.send(work).await.map_err(|_| CliError::failed("the import stopped"))
    }
}
