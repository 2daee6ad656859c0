//! The feeder with doubles of the log and of the witnesses, on a clock that stands still until everybody waits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use soulchain::hash::Hash;
use soulchain::merkle::{NodeId, TreeSize, consistency_plan, leaf_hash, node_hash, root_plan};
use soulchain::tlog::{
    Checkpoint, Cosigner, Ed25519Signer, KeyName, Note, NoteVerifier, Origin, Policy, PolicyName, SignedCheckpoint,
    Timestamp, sign_checkpoint,
};
use soulchain::witness::{Feeder, Feeding, Head, NoReply, Pace, Reply, Source, Transport};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// When everything begins.
const EPOCH: u64 = 1_700_000_000;
const ORIGIN: &str = "log.example/feeder";
const PACE: Pace = Pace {
    interval: Duration::from_secs(1),
    refresh: Duration::from_secs(10),
    patience: Duration::from_secs(5),
    grace: Duration::from_millis(200),
};

/// The nodes of the tree of a history.
fn nodes(fork: u8) -> impl Fn(NodeId) -> Result<Hash, NoReply> {
    move |id| Ok(subtree(id.level, id.index, fork))
}

/// A tree whose leaves from 5 on depend on which history it is.
fn subtree(level: u8, index: u64, fork: u8) -> Hash {
    if level == 0 {
        return leaf_hash(&[if index < 5 { 0 } else { fork }, index as u8]);
    }
    let (left, right) = (subtree(level - 1, 2 * index, fork), subtree(level - 1, 2 * index + 1, fork));
    node_hash(&left, &right)
}

fn root(size: u64, fork: u8) -> Hash {
    root_plan(TreeSize::new(size)).root(nodes(fork)).unwrap()
}

#[derive(Clone)]
struct At(u64);

impl Head for At {
    fn size(&self) -> TreeSize {
        TreeSize::new(self.0)
    }
    fn root(&self) -> Hash {
        root(self.0, 0)
    }
}

#[derive(Default)]
struct LogState {
    published: Vec<(Duration, SignedCheckpoint)>,
    admits: bool,
    stopped: Option<String>,
    /// Publications do not end.
    hangs: bool,
}

#[derive(Clone)]
struct Log {
    sizes: Arc<watch::Sender<TreeSize>>,
    state: Arc<Mutex<LogState>>,
    origin: Origin,
    keys: Arc<[NoteVerifier]>,
    began: Instant,
    was_witnessed: bool,
}

fn log_signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[1; 32])
}

fn signed(size: u64, fork: u8) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::new(size), root(size, fork)).unwrap();
    sign_checkpoint(&checkpoint, &log_signer()).unwrap()
}

impl Log {
    fn of(size: u64) -> Self {
        let key = NoteVerifier::new(log_signer().vkey().clone()).unwrap();
        Self {
            sizes: Arc::new(watch::Sender::new(TreeSize::new(size))),
            state: Arc::default(),
            origin: Origin::parse(ORIGIN).unwrap(),
            keys: [key].into(),
            began: Instant::now(),
            was_witnessed: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap()
    }

    fn grow(&self, size: u64) {
        self.sizes.send_replace(TreeSize::new(size));
    }

    fn published_sizes(&self) -> Vec<u64> {
        self.state().published.iter().map(|(_, checkpoint)| checkpoint.claim().size().get()).collect()
    }
}

impl Source for Log {
    type Head = At;
    type Error = NoReply;

    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn log_keys(&self) -> &[NoteVerifier] {
        &self.keys
    }
    fn now_seconds(&self) -> u64 {
        EPOCH + self.began.elapsed().as_secs()
    }
    fn was_witnessed(&self) -> bool {
        self.was_witnessed
    }
    fn newest(&self) -> At {
        At(self.sizes.borrow().get())
    }
    fn root_at(&self, _: &At, size: TreeSize) -> Result<Hash, NoReply> {
        Ok(root(size.get(), 0))
    }
    fn consistency(&self, old: TreeSize, head: &At) -> Result<Vec<Hash>, NoReply> {
        if old == TreeSize::ZERO || old == head.size() {
            return Ok(Vec::new());
        }
        consistency_plan(old, head.size()).unwrap().path(nodes(0))
    }
    fn sign(&self, head: &At) -> Result<SignedCheckpoint, NoReply> {
        Ok(signed(head.0, 0))
    }
    async fn publish(&self, _: &At, checkpoint: &SignedCheckpoint) -> Result<(), NoReply> {
        if self.state().hangs {
            return pending().await;
        }
        let at = self.began.elapsed();
        self.state().published.push((at, checkpoint.clone()));
        Ok(())
    }
    fn changes(&self) -> watch::Receiver<TreeSize> {
        self.sizes.subscribe()
    }
    fn admit(&self) {
        self.state().admits = true;
    }
    fn stop(&self, why: &str) {
        self.state().stopped = Some(why.into());
    }
}

/// How a witness behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Honest,
    Down,
    Hangs,
    /// Answers after so many milliseconds.
    Slow(u64),
    Status(u16),
    /// Says that it is at this size, and shows what it has cosigned.
    Ahead(u64),
    /// Gives a cosignature that it made an hour ago.
    Old,
    WrongSignature,
    OthersSignature,
    /// Its own beside one of a key that nobody knows.
    AlsoOthersSignature,
    Junk,
}

struct WitnessState {
    mood: Mood,
    cosigned: Option<SignedCheckpoint>,
    size: u64,
    fork: u8,
    asked: Vec<(Duration, u64, SignedCheckpoint)>,
}

/// A witness that believes every proof, but keeps to its size.
#[derive(Clone)]
struct Double {
    cosigner: Arc<Cosigner>,
    state: Arc<Mutex<WitnessState>>,
    began: Instant,
}

impl Double {
    fn new(n: u8) -> Self {
        let name = KeyName::parse(&format!("witness.example/w{n}")).unwrap();
        let state = WitnessState { mood: Mood::Honest, cosigned: None, size: 0, fork: 0, asked: Vec::new() };
        Self {
            cosigner: Arc::new(Cosigner::from_seed(name, &[100 + n; 32])),
            state: Arc::new(Mutex::new(state)),
            began: Instant::now(),
        }
    }

    fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    fn answer(&self, request: &str) -> Reply {
        let mut state = self.state.lock().unwrap();
        let (head, note) = request.split_once("\n\n").unwrap();
        let old: u64 = head.lines().next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let checkpoint = SignedCheckpoint::parse(note.as_bytes()).unwrap();
        state.asked.push((self.began.elapsed(), old, checkpoint.clone()));
        let reply = |status, media_type: &str, body: String| Reply {
            status,
            media_type: media_type.into(),
            body: body.into_bytes(),
        };
        let now = Timestamp::new(EPOCH + self.began.elapsed().as_secs()).unwrap();
        let other = Cosigner::from_seed(self.cosigner.vkey().name().clone(), &[99; 32]);
        match state.mood {
            Mood::Status(status) => return reply(status, "text/plain", "no\n".into()),
            Mood::Ahead(size) => return reply(409, "text/x.tlog.size", format!("{size}\n")),
            Mood::Junk => return reply(200, "text/plain", "hello\n".into()),
            Mood::OthersSignature => {
                return reply(200, "text/plain", format!("{}\n", other.cosign(checkpoint.claim(), now)));
            }
            Mood::Old => {
                let then = Timestamp::new(now.get() - 3_600).unwrap();
                return reply(200, "text/plain", format!("{}\n", self.cosigner.cosign(checkpoint.claim(), then)));
            }
            Mood::WrongSignature => {
                let line = self.cosigner.cosign(signed(3, 0).claim(), now);
                return reply(200, "text/plain", format!("{line}\n"));
            }
            _ => {}
        }
        if old != state.size {
            return reply(409, "text/x.tlog.size", format!("{}\n", state.size));
        }
        if state.size > 5 && state.fork != 0 {
            return reply(422, "text/plain", "the proof does not hold\n".into());
        }
        state.size = checkpoint.claim().size().get();
        let line = self.cosigner.cosign(checkpoint.claim(), now);
        let more = if matches!(state.mood, Mood::AlsoOthersSignature) {
            format!("{}\n", other.cosign(checkpoint.claim(), now))
        } else {
            String::new()
        };
        let mut cosigned = checkpoint.clone();
        cosigned.add_signature(line.clone()).unwrap();
        state.cosigned = Some(cosigned);
        reply(200, "text/plain", format!("{more}{line}\n"))
    }
}

impl Transport for Double {
    async fn add_checkpoint(&self, request: String) -> Result<Reply, NoReply> {
        let mood = self.state.lock().unwrap().mood;
        match mood {
            Mood::Down => ready(Err(NoReply("refused".into()))).await,
            Mood::Hangs => pending().await,
            Mood::Slow(millis) => {
                sleep(Duration::from_millis(millis)).await;
                Ok(self.answer(&request))
            }
            _ => Ok(self.answer(&request)),
        }
    }

    async fn checkpoint(&self, _: &str) -> Result<Reply, NoReply> {
        let state = self.state.lock().unwrap();
        Ok(match &state.cosigned {
            None => Reply { status: 404, media_type: String::new(), body: Vec::new() },
            Some(cosigned) => {
                let body = cosigned.note().as_str().as_bytes().to_vec();
                Reply { status: 200, media_type: "text/plain".into(), body }
            }
        })
    }
}

struct Scene {
    log: Log,
    witnesses: Vec<Double>,
    policy: Policy,
    feeding: watch::Receiver<Feeding>,
    feeder: tokio::task::JoinHandle<Result<(), soulchain::witness::Contradiction>>,
}

/// A log of this size that is fed to three witnesses, two of which suffice.
fn scene(size: u64, prepare: impl FnOnce(&[Double])) -> Scene {
    scene_of(Log::of(size), prepare)
}

fn scene_of(log: Log, prepare: impl FnOnce(&[Double])) -> Scene {
    let witnesses: Vec<_> = (1..=3).map(Double::new).collect();
    prepare(&witnesses);
    let mut text = format!("log {}\n", log_signer().vkey());
    for (n, witness) in (1..).zip(&witnesses) {
        text = format!("{text}witness w{n} {}\n", witness.cosigner.vkey());
    }
    text += "group g 2 w1 w2 w3\nquorum g\n";
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let keys = |at: usize| -> Vec<(PolicyName, NoteVerifier)> {
        let witness = &policy.witnesses()[at];
        vec![(witness.name().clone(), witness.verifier().clone())]
    };
    let reached = witnesses.iter().enumerate().map(|(at, witness)| (witness.clone(), keys(at))).collect();
    let (feeder, feeding) = Feeder::start(log.clone(), reached, policy.quorum().clone(), PACE);
    Scene { log, witnesses, policy, feeding, feeder: tokio::spawn(feeder.run()) }
}

fn cosigners(checkpoint: &SignedCheckpoint, policy: &Policy) -> Vec<String> {
    let accepted = policy.verify_checkpoint(checkpoint).unwrap();
    accepted.cosigned().iter().map(|cosigned| cosigned.witness.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_bears_the_cosignatures_of_all_who_came_in_time() {
    let scene = scene(7, |_| {});
    sleep(Duration::from_millis(500)).await;
    let published = scene.log.state().published.clone();
    assert_eq!(published.len(), 1);
    assert_eq!(cosigners(&published[0].1, &scene.policy), ["w1", "w2", "w3"]);
    assert!(scene.log.state().admits);
}

#[tokio::test(start_paused = true)]
async fn all_witnesses_are_offered_one_and_the_same_checkpoint() {
    let scene = scene(7, |_| {});
    for size in 8..20 {
        sleep(Duration::from_millis(700)).await;
        scene.log.grow(size);
    }
    sleep(Duration::from_secs(2)).await;
    let mut by_size: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for witness in &scene.witnesses {
        for (_, _, checkpoint) in &witness.state.lock().unwrap().asked {
            by_size.entry(checkpoint.claim().size().get()).or_default().push(checkpoint.note().to_string());
        }
    }
    assert!(by_size.values().all(|notes| notes.iter().all(|note| *note == notes[0])));
    // A round a second, not one a size.
    assert!((8..=11).contains(&by_size.len()), "{by_size:?}");
    assert_eq!(scene.log.published_sizes().last(), Some(&19));
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_lags_is_caught_up_from_its_409() {
    let scene = scene(9, |witnesses| witnesses[0].state.lock().unwrap().size = 4);
    sleep(Duration::from_millis(500)).await;
    let asked: Vec<_> = scene.witnesses[0].state.lock().unwrap().asked.iter().map(|(_, old, _)| *old).collect();
    assert_eq!(asked, [0, 4]);
    let published = scene.log.state().published.clone();
    assert_eq!(cosigners(&published[0].1, &scene.policy), ["w1", "w2", "w3"]);
}

#[tokio::test(start_paused = true)]
async fn the_grace_waits_for_more_than_the_quorum_and_not_for_ever() {
    let scene = scene(7, |witnesses| {
        witnesses[0].set(Mood::Slow(100));
        witnesses[2].set(Mood::Slow(3_000));
    });
    // Before the first write all who can be reached are heard: here the slow one answers 409, and then cosigns.
    sleep(Duration::from_millis(2_900)).await;
    assert!(scene.log.state().published.is_empty() && !scene.log.state().admits);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(cosigners(&scene.log.state().published[0].1, &scene.policy), ["w1", "w2", "w3"]);
    // From then on the quorum and a moment suffice.
    scene.log.grow(9);
    sleep(Duration::from_millis(2_500)).await;
    let published = scene.log.state().published.clone();
    assert_eq!(cosigners(&published[1].1, &scene.policy), ["w1", "w2"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_the_published_checkpoint_stays_and_comes_back_with_the_witnesses() {
    let scene = scene(7, |_| {});
    sleep(Duration::from_millis(500)).await;
    assert_eq!(scene.log.published_sizes(), [7]);
    scene.witnesses[0].set(Mood::Down);
    scene.witnesses[1].set(Mood::Hangs);
    scene.log.grow(12);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(scene.log.published_sizes(), [7]);
    assert!(scene.log.state().stopped.is_none());
    let troubles = scene.feeding.borrow().witnesses.iter().filter(|(_, status)| status.trouble().is_some()).count();
    assert_eq!(troubles, 1);
    scene.witnesses[0].set(Mood::Honest);
    scene.log.grow(15);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(scene.log.published_sizes().last(), Some(&15));
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_fails_is_asked_more_and_more_rarely() {
    let scene = scene(7, |witnesses| witnesses[0].set(Mood::Status(500)));
    for size in 8..200 {
        sleep(Duration::from_secs(1)).await;
        scene.log.grow(size);
    }
    assert!((6..=16).contains(&scene.witnesses[0].asked()), "{}", scene.witnesses[0].asked());
    assert!(scene.witnesses[1].asked() > 150);
    assert!(scene.log.published_sizes().len() > 150);
}

#[tokio::test(start_paused = true)]
async fn a_log_at_rest_is_cosigned_anew_so_that_it_stays_fresh() {
    let scene = scene(7, |_| {});
    sleep(Duration::from_secs(35)).await;
    assert_eq!(scene.log.published_sizes(), [7, 7, 7, 7]);
    let texts: Vec<_> = scene.log.state().published.iter().map(|(_, note)| note.to_string()).collect();
    assert_ne!(texts[0], texts[3]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_answer_counts_for_nothing() {
    for mood in [Mood::WrongSignature, Mood::OthersSignature, Mood::Junk, Mood::Status(204), Mood::Status(403)] {
        let scene = scene(7, |witnesses| witnesses[0].set(mood));
        sleep(Duration::from_millis(900)).await;
        let published = scene.log.state().published.clone();
        assert_eq!(cosigners(&published[0].1, &scene.policy), ["w2", "w3"], "{mood:?}");
        assert!(Note::parse(published[0].1.note().as_str().as_bytes()).is_ok());
        scene.feeder.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_of_an_unknown_key_takes_nothing_from_the_one_beside_it() {
    let scene = scene(7, |witnesses| witnesses[0].set(Mood::AlsoOthersSignature));
    sleep(Duration::from_millis(900)).await;
    let published = scene.log.state().published.clone();
    assert_eq!(cosigners(&published[0].1, &scene.policy), ["w1", "w2", "w3"]);
    assert_eq!(published[0].1.note().signatures().len(), 4, "those of the policy, and the log's own");
    scene.feeder.abort();
}

#[tokio::test(start_paused = true)]
async fn writes_are_taken_once_those_who_are_silent_could_not_have_cosigned_a_later_log() {
    let scene = scene(7, |witnesses| {
        witnesses[0].set(Mood::Down);
        witnesses[1].set(Mood::Hangs);
    });
    sleep(Duration::from_secs(30)).await;
    assert!(!scene.log.state().admits, "two silent witnesses are a quorum");
    assert!(!scene.feeding.borrow().is_cleared);
    scene.witnesses[0].set(Mood::Status(404));
    sleep(Duration::from_mins(1)).await;
    assert!(scene.log.state().admits, "a witness that does not know the log has not cosigned it");
    assert!(scene.log.state().published.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_witnessed_is_not_cleared_by_those_who_do_not_list_it() {
    let unlisted = |witnesses: &[Double]| {
        witnesses[0].set(Mood::Status(404));
        witnesses[1].set(Mood::Status(404));
    };
    let never = scene(7, unlisted);
    sleep(Duration::from_secs(30)).await;
    assert!(never.log.state().admits);
    let before = scene_of(Log { was_witnessed: true, ..Log::of(7) }, unlisted);
    sleep(Duration::from_secs(30)).await;
    assert!(!before.log.state().admits);
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_does_not_list_the_log_is_asked_what_it_remembers() {
    let scene = scene(7, |witnesses| {
        witnesses[1].set(Mood::Status(404));
        witnesses[1].state.lock().unwrap().cosigned = Some(signed(12, 0));
    });
    assert_eq!(scene.feeder.await.unwrap().unwrap_err().witness.to_string(), "w2");
    assert!(!scene.log.state().admits);
}

#[tokio::test(start_paused = true)]
async fn a_cosignature_of_long_ago_says_nothing_of_now() {
    let scene = scene(7, |witnesses| {
        for witness in &witnesses[..2] {
            witness.set(Mood::Old);
        }
    });
    sleep(Duration::from_secs(30)).await;
    assert!(scene.log.state().published.is_empty() && !scene.log.state().admits);
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_shows_a_later_log_stops_this_one() {
    let mut later = signed(12, 0);
    let scene = scene(7, |witnesses| {
        let witness = &witnesses[1];
        later.add_signature(witness.cosigner.cosign(later.claim(), Timestamp::new(1).unwrap())).unwrap();
        let mut state = witness.state.lock().unwrap();
        (state.size, state.cosigned) = (12, Some(later.clone()));
    });
    let ended = scene.feeder.await.unwrap().unwrap_err();
    assert_eq!((ended.witness.to_string().as_str(), ended.checkpoint.claim().size().get()), ("w2", 12));
    assert!(scene.log.state().stopped.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_shows_another_history_stops_this_one() {
    let scene = scene(9, |witnesses| {
        let mut state = witnesses[2].state.lock().unwrap();
        (state.size, state.fork, state.cosigned) = (8, 1, Some(signed(8, 1)));
    });
    let ended = scene.feeder.await.unwrap().unwrap_err();
    assert_eq!(ended.witness.to_string(), "w3");
    assert!(ended.to_string().contains("fork"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_to_be_ahead_without_a_checkpoint_of_this_log_stops_nobody() {
    let scene = scene(7, |witnesses| witnesses[0].set(Mood::Ahead(1_000_000)));
    sleep(Duration::from_secs(30)).await;
    assert!(scene.log.state().stopped.is_none());
    assert!(scene.log.state().admits);
    let trouble = scene.feeding.borrow().witnesses[0].1.trouble().unwrap().to_owned();
    assert!(trouble.contains("ahead"), "{trouble}");
    // A checkpoint that somebody else signed under the log's name says nothing either.
    let other = Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[2; 32]);
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::new(1_000_000), root(4, 0)).unwrap();
    scene.witnesses[0].state.lock().unwrap().cosigned = Some(sign_checkpoint(&checkpoint, &other).unwrap());
    sleep(Duration::from_secs(90)).await;
    assert!(scene.log.state().stopped.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_does_not_end_is_waited_for_no_longer_than_its_bound() {
    let scene = scene(7, |_| {});
    scene.log.state().hangs = true;
    sleep(Duration::from_secs(29)).await;
    scene.log.state().hangs = false;
    assert!(scene.log.state().published.is_empty());
    scene.log.grow(9);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.log.published_sizes(), [9]);
    // Who stops the log does not wait for one either.
    scene.log.state().hangs = true;
    scene.log.grow(11);
    sleep(Duration::from_secs(2)).await;
    scene.feeder.abort();
    assert!(scene.feeder.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_contradiction_is_heard_while_a_publication_takes_its_time() {
    let log = Log::of(7);
    log.state().hangs = true;
    let scene = scene_of(log, |witnesses| {
        let mut state = witnesses[2].state.lock().unwrap();
        (state.mood, state.size, state.cosigned) = (Mood::Slow(6_000), 12, Some(signed(12, 0)));
    });
    sleep(Duration::from_secs(7)).await;
    assert!(scene.log.state().stopped.is_some());
    assert_eq!(scene.feeder.await.unwrap().unwrap_err().witness.to_string(), "w3");
}

/// A log that was founded anew under the keys of one that is lost: two witnesses that never knew it suffice, and yet the
/// third is heard before it takes a write.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_founded_anew_is_stopped_by_a_witness_that_knew_it() {
    for (mood, size, fork) in
        [(Mood::Slow(3_000), 12, 1), (Mood::Slow(3_000), 12, 0), (Mood::Slow(3_000), 6, 1), (Mood::Status(404), 12, 1)]
    {
        let scene = scene(3, |witnesses| {
            let mut state = witnesses[2].state.lock().unwrap();
            (state.mood, state.size, state.fork, state.cosigned) = (mood, size, fork, Some(signed(size, fork)));
        });
        assert!(!scene.log.state().admits, "it starts without taking writes");
        let log = scene.log.clone();
        assert_eq!(scene.feeder.await.unwrap().unwrap_err().witness.to_string(), "w3", "{mood:?} {size} {fork}");
        assert!(log.state().stopped.is_some() && !log.state().admits && log.state().published.is_empty());
    }
}
