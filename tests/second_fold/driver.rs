//! A real node, and the second fold beside it.

mod scenes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use soulchain::clock::ManualClock;
use soulchain::encoding::UnixMillis;
use soulchain::keyfile::KeyFile;
use soulchain::log::{FLUSH_AFTER, PoolLimits};
use soulchain::merkle::LeafIndex;
use soulchain::node::{AppendError, Node, NodeOptions, Platform, Submitted, ViewStore};
use soulchain::soul::{Beside, Identity, Link, Salt};
use tempfile::TempDir;

use super::body::canonical;
use super::cases::{note, watch};
use super::link::{ACTION, GENESIS, Id, KEYS, Link as Read, POLICY, RECOVER, RETRACT};
use super::log::{Content, DAY_MS, HOUR_MS, Log};
use super::offers::{Author, Offer};
use super::verdict::Codes;

const ORIGIN: &str = "log.example/second";

/// How often what was answered, by type and code.
pub(crate) type Counts = BTreeMap<(u16, &'static str), u64>;

pub(crate) struct World {
    directory: TempDir,
    clock: Arc<ManualClock>,
    now: u64,
    node: Option<Node>,
    runtime: tokio::runtime::Runtime,
    log: Log,
    author: Author,
    /// Until when a chain is held for a key event that came too late.
    held: HashMap<Id, u64>,
    pub(crate) counts: Counts,
    pub(crate) reopened: u64,
}

/// What the node says to a group.
enum Answer {
    /// The indexes.
    Placed(Vec<u64>),
    Refused {
        at: usize,
        code: &'static str,
    },
    Held,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::default());
        let now = soulchain::clock::now().get();
        clock.set(UnixMillis::new(now));
        let mut world = Self {
            directory: tempfile::tempdir().unwrap(),
            clock,
            now,
            node: None,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            log: Log::new(super::link::hash(&[ORIGIN.as_bytes()])),
            author: Author::new(seed),
            held: HashMap::new(),
            counts: Counts::new(),
            reopened: 0,
        };
        world.open();
        for name in ["registrar-admin", "registrar-act", "registrar-next"] {
            let path = world.directory.path().join(format!("data/keys/{name}.key"));
            if let Ok(opened) = KeyFile::read(&path, None) {
                world.author.learn(opened.key.signing_key());
            }
        }
        world.follow();
        world
    }

    fn open(&mut self) {
        let options = NodeOptions {
            data: self.directory.path().join("data"),
            origin: Some(ORIGIN.into()),
            ml_dsa: false,
            passphrase: None,
            pool: PoolLimits::default(),
            confirm_newest: false,
            views: ViewStore::default(),
            flush_after: FLUSH_AFTER,
        };
        let platform = Platform { clock: Arc::<ManualClock>::clone(&self.clock), ..Platform::default() };
        self.node = Some(Node::open_on(options, platform).unwrap().0);
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("it is open")
    }

    /// Ends the node and opens it again, with its views or without.
    pub(crate) fn reopen(&mut self) {
        let node = self.node.take().expect("it is open");
        node.engine().close();
        drop(node);
        if self.author.random.percent(50) {
            std::fs::remove_dir_all(self.directory.path().join("data/views")).unwrap();
        }
        self.held.clear();
        self.open();
        self.reopened += 1;
        assert_eq!(self.node().view().size().get(), self.log.size());
        self.compare();
    }

    /// One step: links of one chain, or time, or the end of the process.
    pub(crate) fn step(&mut self) {
        self.wait();
        let ids = self.log.identities();
        let actor = if self.author.random.percent(25) { ids[0] } else { self.author.random.pick(&ids).unwrap() };
        match self.author.random.below(100) {
            0 => self.burst(actor),
            1 => self.reopen(),
            2 => self.names(),
            14..=15 => self.outrun(actor),
            16..=18 => self.quarrel(),
            3..=5 => self.again(actor),
            6..=13 => self.at_once(),
            _ => {
                let group = self.group(actor);
                self.submit(&group);
            }
        }
    }

    fn wait(&mut self) {
        let random = &mut self.author.random;
        let most = random.weighed(&[(55, 2_000), (15, HOUR_MS), (12, DAY_MS), (12, 4 * DAY_MS), (4, 40 * DAY_MS)]);
        self.now += random.below(most);
        self.clock.set(UnixMillis::new(self.now));
    }

    /// What the log's clock says.
    fn log_clock(&self) -> u64 {
        self.now.max(self.log.log_time(self.log.size()) + 1)
    }

    /// Consecutive links of a chain; the last may be wrong.
    fn group(&mut self, mut actor: Id) -> Vec<Offer> {
        let count = if self.author.random.percent(25) { self.author.random.within(2, 4) } else { 1 };
        let (mut log, mut group, clock) = (self.log.clone(), Vec::new(), self.log_clock());
        for at in 0..count {
            let mut link_type = self.author.some_type(&log, actor);
            if at == 0 && log.identities().len() < 4 && self.author.random.percent(40) {
                link_type = GENESIS;
            } else if at > 0 && link_type == GENESIS {
                break;
            }
            let offer = self.author.offer(&log, self.now, actor, link_type);
            if at > 0 && !follows(&log, actor, &offer) {
                break;
            }
            let codes = log.verdict(&offer.0, offer.1.as_ref(), clock);
            if codes.is_empty() {
                log.push(&offer.0);
                if link_type == GENESIS {
                    actor = *log.identities().last().unwrap();
                }
            }
            group.push(offer);
            if !codes.is_empty() {
                break;
            }
        }
        group
    }

    /// Many keys that come and go.
    fn burst(&mut self, actor: Id) {
        let link_type = self.author.random.pick(&[KEYS, RECOVER]).unwrap();
        let count = if link_type == KEYS { 4 } else { 10 };
        for _ in 0..count {
            let offer = self.author.burst(&self.log, self.now, actor, link_type);
            self.submit(&[offer]);
            self.now += self.author.random.below(4 * DAY_MS);
            self.clock.set(UnixMillis::new(self.now));
        }
    }

    /// Those in office say this and that of one identity, and change.
    fn quarrel(&mut self) {
        let subject = self.log.identities().get(1).copied().unwrap_or([9; 32]);
        for _ in 0..10 {
            let mut issuers = self.log.registrars();
            if self.log.exists(subject) {
                issuers.extend(self.log.guardians(subject).0);
            }
            let actor = self.author.random.pick(&issuers).unwrap();
            let offer = match self.author.random.below(10) {
                0..=1 => self.author.offer(&self.log, self.now, self.log.registrar(), POLICY),
                2..=3 => self.author.offer(&self.log, self.now, actor, RETRACT),
                _ => self.author.say(&self.log, self.now, actor, subject),
            };
            self.submit(&[offer]);
        }
    }

    /// A key event comes too late, and its chain is held for it.
    fn outrun(&mut self, actor: Id) {
        let event = self.author.offer(&self.log, self.now, actor, KEYS);
        for late in [None, Some(event), None] {
            let offer = late.unwrap_or_else(|| self.author.offer(&self.log, self.now, actor, ACTION));
            self.submit(&[offer]);
            self.now += self.author.random.below(20_000);
            self.clock.set(UnixMillis::new(self.now));
        }
        let again = self.author.offer(&self.log, self.now, actor, KEYS);
        self.submit(&[again]);
    }

    /// More domain names than one identity may have.
    fn names(&mut self) {
        let registrars = self.log.registrars();
        for number in 0..9 {
            let actor = self.author.random.pick(&registrars).unwrap();
            let offer = self.author.bind(&self.log, self.now, actor, number);
            self.submit(&[offer]);
        }
    }

    /// What is logged already, and perhaps something new behind it.
    fn again(&mut self, actor: Id) {
        let chain = self.log.chain(actor);
        let from = self.author.random.below(chain.len() as u64) as usize;
        let mut group: Vec<Offer> =
            chain[from..].iter().map(|logged| (self.log.entries[logged.index as usize].bytes.clone(), None)).collect();
        group.truncate(5);
        if from + group.len() == chain.len() {
            let link_type = self.author.some_type(&self.log, actor);
            let offer = self.author.offer(&self.log, self.now, actor, link_type);
            if follows(&self.log, actor, &offer) {
                group.push(offer);
            }
        }
        self.submit(&group);
    }

    /// Groups of several chains at the same time: the log decides the order.
    fn at_once(&mut self) {
        let mut groups: Vec<Vec<Offer>> = Vec::new();
        for actor in self.log.identities() {
            if self.author.random.percent(60) {
                groups.push(self.group(actor));
            }
        }
        groups.retain(|group| group.iter().all(|offer| Link::parse_entry(&offer.0).is_ok()));
        let node = self.node().clone();
        let asked = groups.iter().map(|group| ask(&node, group));
        let answers = self.runtime.block_on(futures_util::future::join_all(asked));
        let before = self.log.clone();
        let stages = self.follow();
        for (group, answer) in groups.iter().zip(answers) {
            match answer {
                Answer::Placed(indexes) => {
                    for (index, offer) in indexes.iter().zip(group) {
                        let entry = &self.log.entries[*index as usize];
                        assert_eq!(entry.bytes[..275], offer.0[..275]);
                        self.count(&offer.0, "admitted");
                    }
                }
                Answer::Held => self.assert_held(group),
                Answer::Refused { at, code } => {
                    let judged = |log: &Log| log.judge(group, self.now);
                    let reasons: Vec<_> = std::iter::once(judged(&before)).chain(stages.iter().map(judged)).collect();
                    let explained = reasons.iter().any(|(first, codes)| *first == at && codes.contains(code));
                    assert!(explained, "refused at {at} as {code}; here {reasons:?}");
                    self.count(&group[at].0, code);
                    self.note_hold(&group[at].0);
                }
            }
        }
    }

    /// Submits links and compares what both say.
    fn submit(&mut self, group: &[Offer]) {
        let clock = self.log_clock();
        let size = self.log.size();
        let (first, codes) = self.log.judge(group, clock);
        let answer = match group.iter().position(|offer| Link::parse_entry(&offer.0).is_err()) {
            Some(at) => Answer::Refused { at, code: "malformed" },
            None => self.runtime.block_on(ask(self.node(), group)),
        };
        match answer {
            Answer::Placed(indexes) => {
                assert_eq!(
                    (first, &codes),
                    (group.len(), &Codes::default()),
                    "admitted at {indexes:?}: {}",
                    told(group)
                );
                let due: Vec<u64> = self.log.places(group);
                assert_eq!(indexes, due);
                for offer in group {
                    self.count(&offer.0, "admitted");
                }
            }
            Answer::Refused { at, code } => {
                assert!(
                    at == first && codes.contains(code),
                    "refused at {at} as {code}, here {codes:?} at {first}: {}",
                    told(group)
                );
                assert_eq!(self.node().view().size().get(), size);
                watch(|| codes.rule_of(code).map(note));
                self.count(&group[at].0, code);
                self.note_hold(&group[at].0);
            }
            Answer::Held => self.assert_held(group),
        }
        self.follow();
    }

    /// A key event that came too late may hold its chain.
    fn note_hold(&mut self, entry: &[u8]) {
        if let Some(link) = Read::parse(entry).filter(Read::is_key_event) {
            self.held.insert(link.chain(), self.now + 30_000);
        }
    }

    fn assert_held(&mut self, group: &[Offer]) {
        let chain = Read::parse(&group[0].0).unwrap().chain();
        assert!(self.held.get(&chain).is_some_and(|until| self.now < *until), "nothing holds this chain");
        self.count(&group[0].0, "held");
    }

    fn count(&mut self, entry: &[u8], code: &'static str) {
        let link_type = u16::from_be_bytes([entry[156], entry[157]]);
        *self.counts.entry((link_type, code)).or_default() += 1;
    }

    /// Reads what was logged, judges it again, and compares the state; gives the log before each entry.
    fn follow(&mut self) -> Vec<Log> {
        let node = self.node().clone();
        let view = node.view();
        let reader = node.reader(&view);
        let mut stages = Vec::new();
        for index in self.log.size()..view.size().get() {
            let bytes = reader.entry(LeafIndex::new(index)).unwrap();
            let before = self.log.clone();
            let clock = self.log_clock();
            self.log.push(&bytes);
            match &self.log.entries[index as usize].content {
                Content::Link(..) => {
                    let codes = watch(|| before.verdict(&bytes, None, clock));
                    assert_eq!(codes, Codes::default(), "at {index}");
                }
                Content::Trailer(trailer) => {
                    assert!(!matches!(before.entries.last().unwrap().content, Content::Trailer(_)));
                    let ids = before.identities();
                    let records: Vec<_> = ids.iter().map(|id| (*id, canonical(&before.record(*id)))).collect();
                    assert_eq!((trailer.covers, trailer.identities), (index, records.len() as u64));
                    assert_eq!(trailer.log_time, clock);
                    if index + 1 == view.size().get() {
                        watch(|| self.compare());
                    }
                    let trailer_root = trailer.map_root;
                    assert_eq!(trailer_root, before.state_root(&records), "map root at {index}");
                }
            }
            stages.push(before);
            stages.push(self.log.clone());
        }
        stages
    }

    /// Every record, byte for byte.
    fn compare(&self) {
        let view = self.node().view();
        let state = view.state();
        let ids = self.log.identities();
        assert_eq!(state.identities(), ids.len() as u64);
        assert_eq!(state.log_time().get(), self.log.log_time(self.log.size()));
        for id in ids {
            let known = state.identity(&Identity::from_bytes(id)).expect("it is in the log");
            let theirs = String::from_utf8(known.record.to_bytes()).unwrap();
            let mine = String::from_utf8(canonical(&self.log.record(id))).unwrap();
            assert_eq!(theirs, mine, "the node's record and the second fold's");
        }
    }
}

impl Log {
    /// The first link of a group that is not admitted, and why; those at the front may be logged already.
    fn judge(&self, group: &[Offer], clock: u64) -> (usize, Codes) {
        let mut log = self.clone();
        let mut is_front = true;
        for (at, (entry, beside)) in group.iter().enumerate() {
            is_front = is_front && self.place_of(entry).is_some();
            if is_front {
                continue;
            }
            let clock = clock.max(self.log_time(self.size()) + 1);
            let codes = log.verdict(entry, beside.as_ref(), clock);
            if !codes.is_empty() {
                return (at, codes);
            }
            log.push(entry);
        }
        (group.len(), Codes::default())
    }

    fn place_of(&self, entry: &[u8]) -> Option<u64> {
        let link = Read::parse(entry)?;
        self.links().find(|logged| logged.link.curr == link.curr).map(|logged| logged.index)
    }

    /// Where a group is, or will be.
    fn places(&self, group: &[Offer]) -> Vec<u64> {
        let mut next = self.size();
        let mut place = |offer: &Offer| {
            self.place_of(&offer.0).unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        };
        group.iter().map(&mut place).collect()
    }
}

/// Whether a link is of this chain and names the place after its end, so that it may go into one request with it.
fn follows(log: &Log, actor: Id, offer: &Offer) -> bool {
    let head = log.chain(actor).last().map_or(0, |logged| logged.link.header.seqno);
    Read::parse(&offer.0).is_some_and(|link| {
        link.header.identity == actor && link.header.seqno == head + 1 && link.header.link_type != GENESIS
    })
}

async fn ask(node: &Node, group: &[Offer]) -> Answer {
    let links: Vec<Submitted> = group
        .iter()
        .map(|(entry, beside)| {
            let beside = beside.as_ref().map(|(salt, body)| {
                let salt = Salt::from_bytes(salt.clone().try_into().unwrap());
                Beside { salt, body: body.clone() }
            });
            (Link::parse_entry(entry).unwrap(), beside)
        })
        .collect();
    match node.append(links, |_, _| Ok::<_, std::convert::Infallible>(())).await {
        Ok(receipt) => Answer::Placed(receipt.placed.iter().map(|position| position.index.get()).collect()),
        Err(AppendError::Refused { at, refusal, .. }) => Answer::Refused { at, code: refusal.code().as_str() },
        Err(AppendError::Held { .. }) => Answer::Held,
        Err(error) => panic!("{error:?}"),
    }
}

/// A group in words.
fn told(group: &[Offer]) -> String {
    let link = |offer: &Offer| match Read::parse(&offer.0) {
        Some(link) => format!("{:?} {}", link.header, String::from_utf8_lossy(&link.body)),
        None => "malformed".to_owned(),
    };
    group.iter().map(link).collect::<Vec<_>>().join("\n")
}
