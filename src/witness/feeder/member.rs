//! One witness of the policy: what it is asked, and what it answered (tlog-witness, "add-checkpoint").
//!
//! Each witness has a task of its own, so that a slow one keeps nobody waiting: it takes the newest round that there is,
//! and remembers which size the witness is at. A witness that does not answer is asked more and more rarely.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::source::{Head, Source};
use super::transport::{Reply, Transport};
use crate::merkle::TreeSize;
use crate::tlog::{
    AddCheckpointRequest, NoteSignature, NoteVerifier, PolicyName, SIZE_CONTENT_TYPE, SignedCheckpoint,
    parse_signature_lines, parse_size_body,
};

/// How often a witness is asked within a round: it may first have to say which size it is at.
const ATTEMPTS: usize = 3;
/// Longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How far the time of a cosignature may be from this log's clock: one that was made long ago says nothing of now.
const MAX_SKEW_SECONDS: u64 = 300;
/// Longest text of a witness that is shown.
const MAX_SHOWN: usize = 200;

/// What all witnesses are asked to cosign in a round: one and the same checkpoint.
#[derive(Debug)]
pub(super) struct Round<H> {
    pub(super) number: u64,
    pub(super) head: H,
    pub(super) checkpoint: SignedCheckpoint,
}

/// A witness at one address, with its keys; several witnesses of a policy may be one process.
pub(super) struct Member<S: Source, T> {
    pub(super) place: usize,
    pub(super) source: S,
    pub(super) keys: Vec<(PolicyName, NoteVerifier)>,
    pub(super) transport: T,
    /// The size of which it says that it has cosigned it last.
    known: TreeSize,
    failures: u32,
    ask_again_at: Option<Instant>,
}

/// What came of asking a witness in a round.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) round: u64,
    pub(super) place: usize,
    pub(super) outcome: Outcome,
}

/// What a witness did with a checkpoint.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It cosigned, with these of its keys.
    Cosigned(Vec<(PolicyName, NoteSignature)>),
    /// It was not asked, since it has failed of late.
    Spared,
    /// It does not list this log, and shows nothing of it.
    UnknownLog,
    /// It gave no cosignature that counts, and why.
    Failed(String),
    /// It shows a checkpoint, signed by this log's key, which this log does not have.
    Contradicted(Box<SignedCheckpoint>),
}

impl<S: Source, T: Transport> Member<S, T> {
    pub(super) fn new(place: usize, source: S, keys: Vec<(PolicyName, NoteVerifier)>, transport: T) -> Self {
        Self { place, source, keys, transport, known: TreeSize::ZERO, failures: 0, ask_again_at: None }
    }

    /// Asks in every round, until there are no more.
    pub(super) async fn serve(
        mut self,
        mut rounds: watch::Receiver<Option<Arc<Round<S::Head>>>>,
        heard: mpsc::Sender<Heard>,
    ) {
        while rounds.changed().await.is_ok() {
            let Some(round) = rounds.borrow_and_update().clone() else { continue };
            let outcome = if self.ask_again_at.is_some_and(|at| Instant::now() < at) {
                Outcome::Spared
            } else {
                let outcome = self.ask(&round).await;
                self.pace(&outcome);
                outcome
            };
            if heard.send(Heard { round: round.number, place: self.place, outcome }).await.is_err() {
                return;
            }
        }
    }

    fn pace(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Cosigned(_)) {
            (self.failures, self.ask_again_at) = (0, None);
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.ask_again_at = Some(Instant::now() + pause);
    }

    async fn ask(&mut self, round: &Round<S::Head>) -> Outcome {
        let size = round.head.size();
        for _ in 0..ATTEMPTS {
            // What the witness says of itself may be wrong: it is asked to say it again of this checkpoint.
            let old = self.known.min(size);
            let proof = match self.source.consistency(old, &round.head) {
                Ok(proof) => proof,
                Err(error) => return Outcome::Failed(format!("the log could not make a consistency proof: {error}")),
            };
            let request = AddCheckpointRequest::new(old, proof, round.checkpoint.clone())
                .expect("the old size is not above the new one, and no path of such trees is too long");
            let reply = match self.transport.add_checkpoint(request.to_string()).await {
                Ok(reply) => reply,
                Err(error) => return Outcome::Failed(error.to_string()),
            };
            match reply.status {
                200 => {
                    self.known = size;
                    return self.cosignatures(round, &reply.body);
                }
                409 => match size_of(&reply) {
                    Some(known) if known > size => return self.compare("it is ahead of the log").await,
                    Some(known) if known != old => self.known = known,
                    _ => return failed(&reply),
                },
                422 => return self.compare("it refuses the consistency proof").await,
                404 => return self.unknown().await,
                _ => return failed(&reply),
            }
        }
        Outcome::Failed("it changes its mind about the size that it is at".into())
    }

    /// The cosignatures of this witness's keys. One that is wrong spoils the answer; those of others do not count.
    fn cosignatures(&self, round: &Round<S::Head>, lines: &[u8]) -> Outcome {
        let lines = match parse_signature_lines(lines) {
            Ok(lines) => lines,
            Err(error) => return Outcome::Failed(format!("its answer is not made of signature lines: {error}")),
        };
        let text = round.checkpoint.note().text();
        let mut cosigned = Vec::new();
        for (name, key) in &self.keys {
            let mut of_key = lines.iter().filter(|line| key.is_named_in(line)).peekable();
            let Some(line) = of_key.peek().copied() else { continue };
            let mut times = of_key.map(|line| key.verify(text, line).and_then(|verified| verified.time()));
            let Some(Some(time)) = times.next().filter(|_| times.all(|time| time.is_some())) else {
                return Outcome::Failed(format!("its cosignature by {} does not hold", key.vkey().id()));
            };
            // Those of this very text that were given long ago are public: they do not say that there is nothing newer.
            if self.source.now_seconds().abs_diff(time.get()) > MAX_SKEW_SECONDS {
                let id = key.vkey().id();
                return Outcome::Failed(format!("its cosignature by {id} is of another time than now: {time}"));
            }
            cosigned.push((name.clone(), line.clone()));
        }
        if cosigned.is_empty() {
            return Outcome::Failed("it answers without a cosignature by a key of the policy".into());
        }
        Outcome::Cosigned(cosigned)
    }

    /// A log that is not on a witness's list may have been there before: it is asked for what it remembers.
    async fn unknown(&self) -> Outcome {
        match self.transport.checkpoint(&self.source.origin().hash_hex()).await {
            Ok(reply) if reply.status == 404 => Outcome::UnknownLog,
            _ => self.compare("it does not list this log").await,
        }
    }

    /// A witness that refuses what an honest one of its state could not refuse is asked for the checkpoint that it has.
    /// Only one that this log's key has signed says anything about this log.
    async fn compare(&self, claim: &str) -> Outcome {
        let claim = |more: &str| Outcome::Failed(format!("{claim}, {more}"));
        let reply = match self.transport.checkpoint(&self.source.origin().hash_hex()).await {
            Ok(reply) if reply.status == 200 => reply,
            Ok(reply) => return claim(&format!("and shows no checkpoint: status {}", reply.status)),
            Err(error) => return claim(&format!("and shows no checkpoint: {error}")),
        };
        let Ok(shown) = SignedCheckpoint::parse(&reply.body) else { return claim("and shows what is no checkpoint") };
        if shown.claim().origin() != self.source.origin() || shown.verify(self.source.log_keys()).is_err() {
            return claim("and shows a checkpoint that this log has not signed");
        }
        let newest = self.source.newest();
        let (size, root) = (shown.claim().size(), shown.claim().root());
        let ours = if size <= newest.size() { Some(self.source.root_at(&newest, size)) } else { None };
        match ours {
            Some(Ok(ours)) if ours == root => claim("and shows a checkpoint that agrees with the log"),
            Some(Err(error)) => claim(&format!("and the log could not be compared: {error}")),
            Some(Ok(_)) | None => Outcome::Contradicted(Box::new(shown)),
        }
    }
}

/// The size that a witness is at.
fn size_of(reply: &Reply) -> Option<TreeSize> {
    if reply.media_type == SIZE_CONTENT_TYPE { parse_size_body(&reply.body).ok() } else { None }
}

fn failed(reply: &Reply) -> Outcome {
    let said: String = String::from_utf8_lossy(&reply.body).trim().chars().take(MAX_SHOWN).collect();
    Outcome::Failed(format!("status {}: {said}", reply.status))
}
