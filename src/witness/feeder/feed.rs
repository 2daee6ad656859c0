//! The rounds: one checkpoint to all witnesses, their cosignatures gathered, published when they suffice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::member::{Heard, Member, Outcome, Round};
use super::source::{Head, Source};
use super::status::{Feeding, WitnessStatus};
use super::transport::Transport;
use crate::merkle::TreeSize;
use crate::tlog::{NoteSignature, NoteVerifier, PolicyName, Quorum, SignedCheckpoint};

/// Longest wait for a publication to be durable. It may still become so later; a newer one comes after it.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// How a log is fed to its witnesses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// From the beginning of a round to that of the next, where the log has grown.
    pub interval: Duration,
    /// The same where it has not: witnesses then say again that there is nothing newer.
    pub refresh: Duration,
    /// Longest wait for the quorum; after it a newer checkpoint is offered.
    pub patience: Duration,
    /// How long to wait for more witnesses once the quorum is met.
    pub grace: Duration,
}

/// Another log of this origin exists: a checkpoint that the log's key has signed and that the log does not have.
#[derive(Debug)]
pub struct Contradiction {
    /// The witness that shows it, by its name in the policy.
    pub witness: PolicyName,
    /// What it shows.
    pub checkpoint: Box<SignedCheckpoint>,
}

/// Who feeds a log.
pub struct Feeder<S: Source> {
    source: S,
    quorum: Quorum,
    pace: Pace,
    /// Witnesses of the policy, in its order, and what became of each.
    names: Vec<PolicyName>,
    statuses: BTreeMap<PolicyName, WitnessStatus>,
    /// The names of each address.
    places: Vec<Vec<PolicyName>>,
    rounds: watch::Sender<Option<Arc<Round<S::Head>>>>,
    heard: mpsc::Receiver<Heard>,
    status: watch::Sender<Feeding>,
    is_cleared: bool,
    witnessed: Option<TreeSize>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            refresh: Duration::from_secs(10),
            patience: Duration::from_secs(10),
            grace: Duration::from_millis(200),
        }
    }
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let claim = self.checkpoint.claim();
        write!(
            f,
            "witness {} shows a checkpoint of size {} and root {} that this log's key has signed and this log does not \
             have: another copy of the log is running, or this one was restored from a backup. Going on would fork it",
            self.witness,
            claim.size(),
            claim.root()
        )
    }
}

impl std::error::Error for Contradiction {}

impl<S: Source> Feeder<S> {
    /// Starts a task for each address. The log takes no writes before [`Source::admit`] is called, which happens when
    /// the witnesses that have not spoken could not have cosigned a later log among themselves.
    pub fn start<T: Transport>(
        source: S,
        witnesses: Vec<(T, Vec<(PolicyName, NoteVerifier)>)>,
        quorum: Quorum,
        pace: Pace,
    ) -> (Self, watch::Receiver<Feeding>) {
        let (rounds, _) = watch::channel(None);
        // Every witness is in one round at a time, so nobody ever waits for room.
        let (sender, heard) = mpsc::channel(witnesses.len().max(1));
        let (status, told) = watch::channel(Feeding::default());
        let mut places = Vec::with_capacity(witnesses.len());
        for (place, (transport, keys)) in witnesses.into_iter().enumerate() {
            places.push(keys.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
            let member = Member::new(place, source.clone(), keys, transport);
            tokio::spawn(member.serve(rounds.subscribe(), sender.clone()));
        }
        let names: Vec<_> = places.iter().flatten().cloned().collect();
        let statuses = names.iter().map(|name| (name.clone(), WitnessStatus::default())).collect();
        let is_cleared = quorum.is_none();
        if is_cleared {
            source.admit();
        }
        let feeder =
            Self { source, quorum, pace, names, statuses, places, rounds, heard, status, is_cleared, witnessed: None };
        feeder.tell();
        (feeder, told)
    }

    /// Feeds the log until it ends, or until a witness shows that it must not go on.
    pub async fn run(mut self) -> Result<(), Contradiction> {
        let mut changes = self.source.changes();
        let mut published: Option<(TreeSize, Instant)> = None;
        for number in 0.. {
            let head = self.source.newest();
            if let Some((size, at)) = published
                && head.size() <= size
                && at.elapsed() < self.pace.refresh
            {
                if self.listen_until(at + self.pace.refresh, Some(&mut changes)).await?.is_none() {
                    return Ok(());
                }
                continue;
            }
            let started = Instant::now();
            if self.round(number, head.clone()).await? {
                published = Some((head.size(), Instant::now()));
            }
            self.listen_until(started + self.pace.interval, None).await?;
            if changes.has_changed().is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until then, or until the log may have grown, and hears meanwhile what slow witnesses say. `None` if the log
    /// has ended.
    async fn listen_until(
        &mut self,
        until: Instant,
        mut changes: Option<&mut watch::Receiver<TreeSize>>,
    ) -> Result<Option<()>, Contradiction> {
        loop {
            let changed = async {
                match &mut changes {
                    Some(changes) => changes.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                heard = self.heard.recv() => {
                    // Every witness's task lives as long as this feeder.
                    let Some(heard) = heard else { return Ok(None) };
                    self.hear(heard)?;
                }
                ended = changed => return Ok(ended.is_ok().then_some(())),
                () = sleep_until(until) => return Ok(Some(())),
            }
        }
    }

    /// Whether the quorum was met, and its checkpoint published.
    async fn round(&mut self, number: u64, head: S::Head) -> Result<bool, Contradiction> {
        let checkpoint = match self.source.sign(&head) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                tracing::error!(%error, "the log's checkpoint could not be signed");
                return Ok(false);
            }
        };
        let round = Arc::new(Round { number, head, checkpoint });
        self.rounds.send_replace(Some(Arc::clone(&round)));
        let mut cosignatures = self.gather(&round).await?;
        self.clear();
        self.tell();
        let mut cosigned = round.checkpoint.clone();
        for name in &self.names {
            if let Some(signature) = cosignatures.get(name)
                && let Err(error) = cosigned.add_signature(signature.clone())
            {
                tracing::warn!(%error, witness = %name, "a cosignature finds no room under the checkpoint");
                cosignatures.remove(name);
            }
        }
        // Of what stands under it, not of what was said.
        if !self.quorum.is_met(|name| cosignatures.contains_key(name)) {
            let size = round.head.size().get();
            tracing::warn!(size, "too few witnesses have cosigned: /checkpoint stays as it is");
            return Ok(false);
        }
        let is_published = self.publish(&round.head, &cosigned).await?;
        if is_published {
            self.witnessed = Some(round.head.size());
            self.tell();
        }
        Ok(is_published)
    }

    /// Whether a checkpoint was published in time. Meanwhile it is heard what slow witnesses say: one that shows another log
    /// of this name does not wait for the disk.
    async fn publish(&mut self, head: &S::Head, cosigned: &SignedCheckpoint) -> Result<bool, Contradiction> {
        let source = self.source.clone();
        let mut publishing = std::pin::pin!(timeout(PUBLISH_TIMEOUT, source.publish(head, cosigned)));
        loop {
            tokio::select! {
                biased;
                published = &mut publishing => {
                    return Ok(match published {
                        Ok(Ok(())) => true,
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "a checkpoint could not be published");
                            false
                        }
                        Err(_) => {
                            tracing::error!(size = head.size().get(), "a checkpoint is not yet published: the disk takes too long");
                            false
                        }
                    });
                }
                Some(heard) = self.heard.recv() => {
                    self.hear(heard)?;
                }
            }
        }
    }

    /// The cosignatures of a round: all that come until the quorum is met and the grace is over.
    async fn gather(&mut self, round: &Round<S::Head>) -> Result<BTreeMap<PolicyName, NoteSignature>, Contradiction> {
        let mut until = Instant::now() + self.pace.patience;
        let (mut gathered, mut is_met) = (BTreeMap::new(), false);
        let mut spoken = vec![false; self.places.len()];
        while !spoken.iter().all(|spoken| *spoken) {
            let Ok(Some(heard)) = timeout_at(until, self.heard.recv()).await else { break };
            let is_of_this_round = heard.round == round.number;
            spoken[heard.place] |= is_of_this_round;
            let cosigned = self.hear(heard)?;
            // An answer to an earlier round has told where its witness stands; it cosigns another checkpoint.
            if is_of_this_round {
                gathered.extend(cosigned);
            }
            // Before the log takes its first write, all who can be reached are heard.
            if !is_met && self.is_cleared && self.quorum.is_met(|name| gathered.contains_key(name)) {
                is_met = true;
                until = until.min(Instant::now() + self.pace.grace);
            }
        }
        Ok(gathered)
    }

    /// Takes down what a witness has said.
    fn hear(&mut self, heard: Heard) -> Result<Vec<(PolicyName, NoteSignature)>, Contradiction> {
        let names = &self.places[heard.place];
        match heard.outcome {
            Outcome::Cosigned(signatures) => {
                for name in names {
                    let status = self.statuses.entry(name.clone()).or_default();
                    if signatures.iter().any(|(cosigner, _)| cosigner == name) {
                        status.cosigned();
                    } else {
                        status.failed("it did not sign with this key".into());
                    }
                }
                Ok(signatures)
            }
            Outcome::Spared => Ok(Vec::new()),
            Outcome::UnknownLog => {
                // A log that was witnessed has been on enough lists: who has lost it may have lost what it cosigned.
                let rules_out = !self.source.was_witnessed();
                for name in names {
                    self.statuses.entry(name.clone()).or_default().knows_no_such_log(rules_out);
                }
                Ok(Vec::new())
            }
            Outcome::Failed(why) => {
                for name in names {
                    let status = self.statuses.entry(name.clone()).or_default();
                    if status.failed(why.clone()) {
                        tracing::warn!(witness = %name, why, "a witness does not cosign");
                    }
                }
                Ok(Vec::new())
            }
            Outcome::Contradicted(checkpoint) => {
                let contradiction = Contradiction { witness: names[0].clone(), checkpoint };
                self.source.stop(&contradiction.to_string());
                Err(contradiction)
            }
        }
    }

    /// Lets the log take writes once the witnesses that have not spoken cannot have cosigned a later one.
    fn clear(&mut self) {
        let has_spoken = |name: &PolicyName| self.statuses.get(name).is_some_and(WitnessStatus::has_ruled_out);
        if !self.is_cleared && !self.quorum.is_met(|name| !has_spoken(name)) {
            self.is_cleared = true;
            self.source.admit();
            tracing::info!("the witnesses have ruled out that a later log exists: writes are taken");
        }
    }

    fn tell(&self) {
        self.status.send_replace(Feeding {
            is_cleared: self.is_cleared,
            witnessed: self.witnessed,
            witnesses: self.names.iter().map(|name| (name.clone(), self.statuses[name].clone())).collect(),
        });
    }
}
