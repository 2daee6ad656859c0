//! A witness: the real service and its real store, on a disk that loses what was not synced.
//!
//! What a thread does in a program, a task does here: it commits a moment after a request was judged, so that a crash finds
//! requests in between.

use std::sync::{Arc, Mutex, MutexGuard};

use soulchain::encoding::hex_decode_32;
use soulchain::storage::Disk;
use soulchain::tlog::{AddCheckpointRequest, Cosigner, KeyName, SIZE_CONTENT_TYPE, Timestamp, signature_lines};
use soulchain::witness::{
    LogList, NoReply, Outcome, Reply, Submitted, Transport, Witness, WitnessKeys, WitnessOptions, create_with_segments,
};

use crate::disk::{Fate, Plan, SimDisk, Survivors};
use crate::judge::Count;
use crate::log::{LOG_KEY, vkey};
use crate::net::{Ctx, Party, Slot};
use crate::random::Random;

/// Two frames: a third begins a segment, which is made there and then, and never by the thread that makes spares.
const SEGMENT_LEN: u64 = 8 << 10;
/// So that there are snapshots between the segments.
const SNAPSHOT_AFTER: usize = 3_000;

/// What is wrong with a witness: a double for the judge to catch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Careless {
    /// Nothing is.
    No,
    /// After a crash it goes on where it was some time ago.
    Forgets,
    /// It cosigns whatever the log has signed.
    SignsAll,
}

/// A machine with a witness on it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Host {
    ctx: Ctx,
    number: usize,
    careless: Careless,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    disk: SimDisk,
    witness: Option<Witness>,
    /// Goes up with each end of the process.
    life: u64,
    up_at: u64,
    random: Random,
    skew: i64,
    /// The disk as it was some time ago.
    old_disk: SimDisk,
    /// Whether an operation of the disk is to go wrong.
    is_harmed: bool,
}

pub(crate) fn cosigner(number: usize) -> Cosigner {
    let name = KeyName::parse(&format!("witness.example/w{number}")).unwrap();
    Cosigner::from_seed(name, &[150 + number as u8; 32])
}

impl Host {
    pub(crate) fn new(ctx: &Ctx, number: usize, careless: Careless) -> Self {
        let disk = SimDisk::default();
        let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
        let keys = WitnessKeys::new(vec![cosigner(number)]).unwrap();
        create_with_segments(&dynamic, &keys, [number as u8; 32], SEGMENT_LEN).unwrap();
        let mut random = ctx.random(&format!("witness {number}"));
        let skew = random.within(0, 120) as i64 - 60;
        let old_disk = disk.copy();
        let inner = Inner { disk, witness: None, life: 0, up_at: 0, random, skew, old_disk, is_harmed: false };
        let host = Self { ctx: ctx.clone(), number, careless, inner: Arc::new(Mutex::new(inner)) };
        host.keep();
        host
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Looks after the process: ends it where its disk is dead, and starts it where it is down.
    pub(crate) fn keep(&self) {
        let has_died = {
            let inner = self.inner();
            inner.witness.is_some() && inner.disk.is_dead()
        };
        if has_died {
            self.crash(true);
        }
        let (is_latched, is_due) = {
            let inner = self.inner();
            let is_latched = inner.witness.as_ref().is_some_and(|witness| witness.latched().is_some());
            (is_latched, inner.witness.is_none() && inner.up_at <= self.ctx.millis())
        };
        if is_latched {
            self.crash(false);
        }
        if is_due {
            self.start();
        }
    }

    fn start(&self) {
        let mut inner = self.inner();
        let disk: Arc<dyn Disk> = Arc::new(inner.disk.clone());
        let keys = WitnessKeys::new(vec![cosigner(self.number)]).unwrap();
        let logs = LogList::parse(format!("log {}\n", vkey(LOG_KEY)).as_bytes()).unwrap();
        let options = WitnessOptions { snapshot_after: Some(SNAPSHOT_AFTER), ..WitnessOptions::default() };
        match Witness::open(&disk, keys, logs, options) {
            Ok((witness, recovery)) => {
                self.ctx.trace(format_args!("w{} starts: {recovery:?}", self.number));
                self.check(&witness);
                inner.witness = Some(witness);
            }
            Err(_) if inner.is_harmed => {
                let is_dead = inner.disk.is_dead();
                drop(inner);
                self.crash(is_dead);
            }
            Err(error) => self.ctx.judge().wrong(format!("witness {} does not open: {error}", self.number)),
        }
    }

    /// What it shows must not be behind what has left it.
    fn check(&self, witness: &Witness) {
        let shown = witness.checkpoint(&crate::operator::origin().hash());
        let shown = shown.map_or(0, |note| note.lines().nth(1).unwrap().parse::<u64>().unwrap());
        let mut judge = self.ctx.judge();
        let last = judge.last_of(self.number).map_or(0, |last| last.0);
        if shown < last && self.careless == Careless::No {
            judge.wrong(format!("witness {} is at {shown}, and {last} has left it", self.number));
        }
    }

    /// The process ends, by a kill, or because the power goes.
    pub(crate) fn crash(&self, has_lost_power: bool) {
        let mut inner = self.inner();
        self.ctx.count(Count::WitnessCrash);
        self.ctx.trace(format_args!("w{} dies, power loss: {has_lost_power}", self.number));
        inner.witness = None;
        inner.is_harmed = false;
        inner.life += 1;
        inner.up_at = self.ctx.millis() + inner.random.within(10, 12_000);
        inner.disk = after(&self.ctx, &inner.disk.clone(), has_lost_power, &mut inner.random);
        if self.careless == Careless::Forgets {
            inner.disk = inner.old_disk.copy();
        }
    }

    /// Some later operation of its disk goes wrong.
    pub(crate) fn harm(&self) {
        let mut inner = self.inner();
        let plan = drawn_plan(&mut inner.random);
        self.ctx.trace(format_args!("w{}: {plan:?}", self.number));
        if plan.fate != Fate::PowerCut && !plan.dead_after {
            self.ctx.count(Count::DiskFault);
        }
        if inner.random.permille(300) {
            inner.old_disk = inner.disk.copy();
        }
        inner.is_harmed = true;
        inner.disk.plan(Some(plan));
    }

    /// Nothing goes wrong from now on; what has gone wrong is put right by a restart.
    pub(crate) fn calm(&self) {
        let mut inner = self.inner();
        let is_bad = inner.disk.is_dead() || inner.witness.as_ref().is_some_and(|witness| witness.latched().is_some());
        if is_bad {
            drop(inner);
            self.crash(false);
            inner = self.inner();
        }
        inner.disk.plan(None);
        (inner.up_at, inner.is_harmed) = (0, false);
    }

    /// `GET <origin hash>/checkpoint`; an error where nobody answers.
    pub(crate) fn shown(&self, origin_hash: &[u8; 32]) -> Result<Option<String>, ()> {
        self.inner().witness.as_ref().map(|witness| witness.checkpoint(origin_hash)).ok_or(())
    }

    async fn add_checkpoint(&self, body: &str) -> Option<Reply> {
        let (submitted, life) = {
            let inner = self.inner();
            let now = self.ctx.seconds().saturating_add_signed(inner.skew);
            (inner.witness.as_ref()?.submit(body.as_bytes(), Timestamp::new(now).unwrap()), inner.life)
        };
        let outcome = match submitted {
            Submitted::Answered(outcome) => outcome,
            Submitted::Pending(pending) => {
                self.commit_soon(life);
                pending.answered().await
            }
        };
        let outcome = self.carelessly(outcome, body);
        self.look_at(&outcome, body);
        (self.inner().life == life).then(|| reply(outcome))
    }

    fn commit_soon(&self, life: u64) {
        let host = self.clone();
        tokio::spawn(async move {
            let mut wait = host.inner().random.pick(&[1, 1, 1, 40, 900]);
            loop {
                host.ctx.sleep(Slot::Commit(host.number), wait).await;
                let inner = host.inner();
                let Some(witness) = inner.witness.as_ref().filter(|_| inner.life == life) else { return };
                // Where there was no room, it is tried again.
                if witness.commit() {
                    return;
                }
                wait = 500;
            }
        });
    }

    /// Takes down what leaves.
    fn look_at(&self, outcome: &Outcome, body: &str) {
        let Ok(request) = AddCheckpointRequest::parse(body.as_bytes()) else { return };
        let claim = request.checkpoint().claim();
        let tree = (claim.size().get(), claim.root());
        let said = match outcome {
            Outcome::Signed(_) => "cosigned".into(),
            Outcome::Conflict { cosigned } => format!("is at {cosigned}"),
            other => format!("refused, {other:?},"),
        };
        self.ctx.trace(format_args!("w{} {said} {} -> {} {}", self.number, request.old_size(), tree.0, tree.1));
        let mut judge = self.ctx.judge();
        match outcome {
            Outcome::Signed(_) => judge.cosigned(self.number, tree, self.careless == Careless::SignsAll),
            Outcome::Conflict { .. } => judge.count(Count::CatchUp),
            _ => {}
        }
        if let Some(last) = judge.last_of(self.number)
            && !judge.go_together(last, tree)
        {
            judge.count(Count::SplitOffered);
        }
    }

    fn carelessly(&self, outcome: Outcome, body: &str) -> Outcome {
        let is_refusal =
            matches!(outcome, Outcome::Conflict { .. } | Outcome::Inconsistent(_) | Outcome::OtherRoot { .. });
        match AddCheckpointRequest::parse(body.as_bytes()) {
            Ok(request) if is_refusal && self.careless == Careless::SignsAll => {
                let now = Timestamp::new(self.ctx.seconds()).unwrap();
                Outcome::Signed(signature_lines(&[cosigner(self.number).cosign(request.checkpoint().claim(), now)]))
            }
            _ => outcome,
        }
    }
}

/// What is left of a disk.
pub(crate) fn after(ctx: &Ctx, disk: &SimDisk, has_lost_power: bool, random: &mut Random) -> SimDisk {
    if !has_lost_power {
        return disk.copy();
    }
    let mut unsynced = None;
    for (kind, name) in disk.ops() {
        match kind {
            "write" => unsynced = Some(name),
            "sync" if unsynced.as_ref() == Some(&name) => unsynced = None,
            _ => {}
        }
    }
    if unsynced.is_some() {
        ctx.count(Count::TornWrite);
    }
    let seed = random.any();
    let left = disk.after_power_loss(random.pick(&[Survivors::Nothing, Survivors::Everything, Survivors::Some(seed)]));
    left.plan(None);
    left
}

/// What goes wrong with a disk before long.
pub(crate) fn drawn_plan(random: &mut Random) -> Plan {
    let fate = random.pick(&[Fate::PowerCut, Fate::PowerCut, Fate::Lost, Fate::Half, Fate::Done, Fate::NoSpace]);
    let dead_after = fate == Fate::PowerCut || (fate != Fate::NoSpace && random.permille(600));
    Plan { at: random.below(14), fate, dead_after }
}

/// Statuses as `http::witness` gives them.
fn reply(outcome: Outcome) -> Reply {
    let (status, media_type, body) = match outcome {
        Outcome::Signed(lines) => (200, "text/plain", lines),
        Outcome::Conflict { cosigned } => (409, SIZE_CONTENT_TYPE, format!("{cosigned}\n")),
        Outcome::Overloaded | Outcome::Latched => (503, "text/plain", "later\n".into()),
        Outcome::Malformed(_) | Outcome::OldSizeAbove { .. } => (400, "text/plain", "malformed\n".into()),
        Outcome::NotSigned(_) => (403, "text/plain", "not signed\n".into()),
        Outcome::UnknownLog(_) => (404, "text/plain", "unknown\n".into()),
        _ => (422, "text/plain", "no\n".into()),
    };
    Reply { status, media_type: media_type.into(), body: body.into_bytes() }
}

/// A witness, from where somebody else is.
pub(crate) struct Remote {
    pub(crate) host: Host,
    pub(crate) from: Party,
}

impl Transport for Remote {
    async fn add_checkpoint(&self, request: String) -> Result<Reply, NoReply> {
        let (host, request) = (self.host.clone(), Arc::new(request));
        let link = (self.from, Party::Witness(host.number));
        let serve = move || {
            let (host, request) = (host.clone(), Arc::clone(&request));
            async move { host.add_checkpoint(&request).await }
        };
        self.host.ctx.exchange(link, serve).await.ok_or_else(|| NoReply("no answer".into()))
    }

    async fn checkpoint(&self, origin_hash: &str) -> Result<Reply, NoReply> {
        let (host, hash) = (self.host.clone(), hex_decode_32(origin_hash).unwrap());
        let link = (self.from, Party::Witness(host.number));
        let serve = move || {
            let host = host.clone();
            async move {
                let shown = host.shown(&hash).ok()?;
                let (status, body) = shown.map_or((404, String::new()), |note| (200, note));
                Some(Reply { status, media_type: "text/plain".into(), body: body.into_bytes() })
            }
        };
        self.host.ctx.exchange(link, serve).await.ok_or_else(|| NoReply("no answer".into()))
    }
}
