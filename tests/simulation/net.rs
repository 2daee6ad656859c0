//! The network: it delays, loses requests and answers, delivers twice, and cuts pairs off from each other.
//!
//! What is delivered to whom is drawn from a stream of numbers for each pair, and each kind of activity has a slot of its own
//! in time: two that touch the same party never do so at the same millisecond. So a seed decides the order of everything,
//! even where the runtime wakes tasks in an order of its own (a `watch` channel of tokio does).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::judge::{Count, Judge};
use crate::random::Random;

/// Milliseconds in which every slot has its own.
const SLOTS: u64 = 32;
/// How long somebody waits for an answer, in milliseconds.
const PATIENCE: u64 = 10_000;

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
    Log,
    /// A byzantine log's second history, in a place of its own.
    OtherLog,
    /// A byzantine log, as it tries witnesses out.
    Prober,
    Witness(usize),
    Client(usize),
    Monitor,
    Mirror,
}

/// Which millisecond an activity has.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// What is sent between these.
    Link(Party, Party),
    /// What a party does by itself.
    Own(Party),
    /// A witness's commits.
    Commit(usize),
    Chaos,
    Keeper,
}

impl Slot {
    const fn number(self) -> u64 {
        match self {
            Self::Link(Party::Log, Party::Witness(n)) => 1 + n as u64,
            Self::Link(Party::OtherLog, Party::Witness(n)) => 4 + n as u64,
            Self::Link(Party::Prober, Party::Witness(n)) => 7 + n as u64,
            Self::Link(..) => 31,
            Self::Own(Party::Log) => 10,
            Self::Own(Party::OtherLog) => 11,
            Self::Own(Party::Client(n)) => 12 + n as u64,
            Self::Own(Party::Monitor) => 14,
            Self::Own(Party::Mirror) => 15,
            Self::Own(Party::Prober) => 16,
            Self::Own(Party::Witness(n)) => 17 + n as u64,
            Self::Commit(n) => 20 + n as u64,
            Self::Chaos => 23,
            Self::Keeper => 24,
        }
    }
}

/// How bad the network is, in thousandths of requests.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) lost_requests: u64,
    pub(crate) lost_answers: u64,
    pub(crate) duplicates: u64,
    pub(crate) slow: u64,
}

impl Weather {
    pub(crate) const CALM: Self = Self { lost_requests: 0, lost_answers: 0, duplicates: 0, slow: 0 };

    pub(crate) fn drawn(random: &mut Random) -> Self {
        let scale = random.pick(&[0, 1, 1, 3]);
        Self { lost_requests: 40 * scale, lost_answers: 40 * scale, duplicates: 60 * scale, slow: 30 * scale }
    }
}

/// Time, the network, and who watches it all. Clones are the same.
#[derive(Clone)]
pub(crate) struct Ctx {
    pub(crate) seed: u64,
    began: Instant,
    net: Arc<Mutex<Net>>,
    judge: Arc<Mutex<Judge>>,
}

struct Net {
    weather: Weather,
    links: BTreeMap<(Party, Party), Random>,
    cut_until: BTreeMap<(Party, Party), Instant>,
}

/// What becomes of a request.
struct Fate {
    there: u64,
    back: u64,
    is_lost: bool,
    is_answer_lost: bool,
    again: Option<u64>,
}

impl Ctx {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let net = Net { weather, links: BTreeMap::new(), cut_until: BTreeMap::new() };
        let judge = Arc::new(Mutex::new(Judge::new()));
        Self { seed, began: Instant::now(), net: Arc::new(Mutex::new(net)), judge }
    }

    pub(crate) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap()
    }

    /// Writes down what happens.
    pub(crate) fn trace(&self, what: fmt::Arguments<'_>) {
        let at = self.millis();
        self.judge().trace(at, what);
    }

    pub(crate) fn count(&self, what: Count) {
        self.judge().count(what);
    }

    /// Since the beginning.
    pub(crate) fn millis(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// By the true clock, in seconds since the epoch.
    pub(crate) fn seconds(&self) -> u64 {
        crate::log::START / 1000 + self.millis() / 1000
    }

    /// Sleeps at least so many milliseconds, to the next one of the slot.
    pub(crate) async fn sleep(&self, slot: Slot, millis: u64) {
        let least = self.millis() + millis.max(1);
        let at = least + (slot.number() + SLOTS - least % SLOTS) % SLOTS;
        sleep_until(self.began + Duration::from_millis(at)).await;
    }

    pub(crate) fn random(&self, stream: &str) -> Random {
        Random::new(self.seed, stream)
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        self.net.lock().unwrap()
    }

    pub(crate) fn cut(&self, pair: (Party, Party), millis: u64) {
        self.count(Count::Partition);
        let until = Instant::now() + Duration::from_millis(millis);
        self.net().cut_until.insert(pair, until);
    }

    /// From now on the network does what it should.
    pub(crate) fn calm(&self) {
        let mut net = self.net();
        net.cut_until.clear();
        net.weather = Weather::CALM;
    }

    fn is_cut(&self, (a, b): (Party, Party)) -> bool {
        let (net, now) = (self.net(), Instant::now());
        let is_cut = |pair| net.cut_until.get(&pair).is_some_and(|until| now < *until);
        is_cut((a, b)) || is_cut((b, a))
    }

    /// Whether a question that is asked and answered at once gets through: of those whose code waits for answers without
    /// a runtime.
    pub(crate) fn reaches(&self, from: Party, to: Party) -> bool {
        let fate = self.fate(from, to);
        !self.is_cut((from, to)) && !fate.is_lost && !fate.is_answer_lost
    }

    fn fate(&self, from: Party, to: Party) -> Fate {
        let mut net = self.net();
        let (seed, weather) = (self.seed, net.weather);
        let random = net.links.entry((from, to)).or_insert_with(|| Random::new(seed, &format!("link {from:?} {to:?}")));
        let delay = |random: &mut Random| {
            if random.permille(weather.slow) { random.within(500, 9_000) } else { random.within(1, 60) }
        };
        Fate {
            there: delay(random),
            back: delay(random),
            is_lost: random.permille(weather.lost_requests),
            is_answer_lost: random.permille(weather.lost_answers),
            again: random.permille(weather.duplicates).then(|| random.within(1, 12_000)),
        }
    }

    /// Sends a request, which `serve` answers; `None` where nobody is there, or the server dies. An error says that there
    /// was no answer in time: the request may have been served all the same.
    pub(crate) async fn exchange<T, F>(
        &self,
        (from, to): (Party, Party),
        serve: impl Fn() -> F + Send + 'static,
    ) -> Option<T>
    where
        F: Future<Output = Option<T>> + Send,
        T: Send,
    {
        let (slot, began, fate) = (Slot::Link(from, to), self.millis(), self.fate(from, to));
        let rest = |ctx: &Self| (began + PATIENCE).saturating_sub(ctx.millis());
        self.sleep(slot, fate.there).await;
        if fate.is_lost || self.is_cut((from, to)) {
            self.trace(format_args!("{from:?} does not reach {to:?}"));
            self.sleep(slot, rest(self)).await;
            return None;
        }
        let answer = serve().await;
        if let Some(later) = fate.again {
            let ctx = self.clone();
            tokio::spawn(async move {
                ctx.sleep(slot, later).await;
                ctx.count(Count::Duplicate);
                ctx.trace(format_args!("{to:?} hears {from:?} again"));
                serve().await;
            });
        }
        self.sleep(slot, fate.back).await;
        if fate.is_answer_lost || self.is_cut((from, to)) || answer.is_none() {
            if answer.is_some() {
                self.count(Count::LostAnswer);
            }
            self.trace(format_args!("{to:?} does not answer {from:?}"));
            self.sleep(slot, rest(self)).await;
            return None;
        }
        answer.filter(|_| rest(self) > 0)
    }
}
