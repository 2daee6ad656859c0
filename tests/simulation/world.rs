//! One world: who is in it, what befalls them, and what must be true in the end.
//!
//! First there is chaos. Then everything is healed: the network is calm, who has died starts again, disks work. A byzantine
//! log goes on with one history before each reader, and a monitor has time to look.

use soulchain::tlog::{Origin, Policy};
use soulchain::verify::{Evidence, convict};
use tokio::runtime::Builder;

use crate::history::LARGE;
use crate::judge::Verdict;
use crate::mirror::{self, Copy};
use crate::monitor::{Watch, tree};
use crate::net::{Ctx, Party, Slot, Weather};
use crate::node::Node;
use crate::operator::{origin, policy, policy_with};
use crate::random::Random;
use crate::shown::{Manner, Operator};
use crate::witness::{Careless, Host};
use crate::{client, prober};

/// What is made wrong on purpose, for the judge to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Twist {
    Nothing,
    /// All witnesses are like this.
    Witnesses(Careless),
    /// The monitor does not ask witnesses.
    DeafMonitor,
}

/// Who shows checkpoints that a monitor can ask for, by the name in their URL.
#[derive(Clone)]
pub(crate) struct Shows {
    pub(crate) witnesses: Vec<Host>,
    pub(crate) copy: Copy,
}

impl Shows {
    /// What is shown under a monitoring prefix; an error where nobody is there.
    pub(crate) fn checkpoint(&self, prefix: &str, origin: &Origin) -> (Party, Result<Option<String>, ()>) {
        if prefix == MIRROR {
            return (Party::Mirror, self.copy.shown());
        }
        let number: usize = prefix.strip_prefix("http://w").unwrap().parse().unwrap();
        (Party::Witness(number), self.witnesses[number].shown(&origin.hash()))
    }
}

/// Where the mirror is.
const MIRROR: &str = "http://m";

struct World {
    ctx: Ctx,
    operator: Operator,
    witnesses: Vec<Host>,
    copy: Copy,
    watch: Watch,
    random: Random,
    /// Whether the log may be restored from a backup.
    is_restored: bool,
}

/// Milliseconds of chaos.
const CHAOS: (u64, u64) = (25_000, 70_000);
/// Milliseconds in which all must be well after it.
const HEALING: u64 = 100_000;

/// Runs the world of a seed.
pub(crate) fn run(seed: u64, twist: Twist) -> Verdict {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, twist);
        world.live().await;
        world.copy.close();
        world.operator.nodes.iter().for_each(Node::close);
        let mut judge = world.ctx.judge();
        judge.end()
    })
}

impl World {
    fn new(seed: u64, twist: Twist) -> Self {
        let mut random = Random::new(seed, "world");
        let ctx = Ctx::new(seed, Weather::drawn(&mut random));
        let careless = if let Twist::Witnesses(careless) = twist { careless } else { Careless::No };
        let witnesses: Vec<_> = (0..3).map(|number| Host::new(&ctx, number, careless)).collect();
        let manner = random.pick(&[Manner::Honest, Manner::Honest, Manner::Split, Manner::FlipFlop]);
        let batches = random.within(8, 25);
        let mut word: Vec<u8> = if random.permille(60) { vec![LARGE] } else { Vec::new() };
        word.extend((0..random.below(4)).map(|_| random.below(6) as u8));
        let is_restored = manner == Manner::Honest && random.permille(300);
        let nodes = if manner == Manner::Honest {
            vec![Node::new(&ctx, Party::Log, &witnesses, &word, batches)]
        } else {
            // The histories part at once, or a little later.
            let common = random.below(6) as u8;
            let words = [[&word[..], &[common, 0]].concat(), [&word[..], &[common, 5]].concat()];
            let parties = [Party::Log, Party::OtherLog];
            parties
                .into_iter()
                .zip(words)
                .map(|(party, word)| Node::byzantine(&ctx, party, &witnesses, &word, batches))
                .collect()
        };
        let operator = Operator::new(&ctx, manner, nodes);
        let copy = Copy::new(&ctx, &operator);
        let shows = Shows { witnesses: witnesses.clone(), copy: copy.clone() };
        let by = monitor_policy(twist == Twist::DeafMonitor);
        let watch = Watch::new(&ctx, &operator, &shows, by);
        ctx.trace(format_args!("seed {seed}: {manner:?}, {batches} batches after {word:?}, restored: {is_restored}"));
        Self { ctx, operator, witnesses, copy, watch, random, is_restored }
    }

    async fn live(&mut self) {
        for number in 0..2 {
            tokio::spawn(client::run(self.ctx.clone(), self.operator.clone(), number));
        }
        tokio::spawn(self.watch.clone().run());
        tokio::spawn(self.copy.clone().run());
        if self.operator.manner != Manner::Honest {
            tokio::spawn(prober::run(self.ctx.clone(), self.operator.clone(), self.witnesses.clone()));
        }
        let (ctx, witnesses, nodes) = (self.ctx.clone(), self.witnesses.clone(), self.operator.nodes.clone());
        tokio::spawn(async move {
            loop {
                witnesses.iter().for_each(Host::keep);
                nodes.iter().for_each(Node::keep);
                ctx.sleep(Slot::Keeper, 60).await;
            }
        });
        let chaos = self.random.within(CHAOS.0, CHAOS.1);
        while self.ctx.millis() < chaos && !self.ctx.judge().is_over() {
            self.ctx.sleep(Slot::Chaos, self.random.within(200, 5_000)).await;
            self.strike();
        }
        self.heal();
        let healed = self.ctx.millis() + HEALING;
        while self.ctx.millis() < healed && !self.ctx.judge().is_over() {
            self.ctx.sleep(Slot::Chaos, 1_000).await;
        }
        if !self.ctx.judge().is_over() {
            self.judge();
        }
    }

    /// Something bad happens.
    fn strike(&mut self) {
        let random = &mut self.random;
        let witness = &self.witnesses[random.below(3) as usize];
        let node = &self.operator.nodes[random.below(self.operator.nodes.len() as u64) as usize];
        match random.below(12) {
            0 => witness.crash(true),
            1 => witness.crash(false),
            2..=4 => witness.harm(),
            5 => node.crash(random.permille(500)),
            6 => node.harm(),
            7 if random.permille(500) => self.watch.harm(),
            7 if random.permille(500) => self.copy.harm(),
            7 => self.copy.crash(),
            8 if self.is_restored && !node.has_backup() => node.back_up(),
            8 if self.is_restored => node.restore(),
            _ => self.part(),
        }
    }

    /// Somebody is cut off from somebody.
    fn part(&mut self) {
        let random = &mut self.random;
        let witness = Party::Witness(random.below(3) as usize);
        let other = random.pick(&[Party::Log, Party::Log, Party::OtherLog, Party::Monitor]);
        let pair = if random.permille(200) {
            (random.pick(&[Party::Client(0), Party::Client(1), Party::Monitor]), Party::Log)
        } else {
            (other, witness)
        };
        let millis = random.within(500, 25_000);
        self.ctx.trace(format_args!("{pair:?} are cut off for {millis} ms"));
        self.ctx.cut(pair, millis);
    }

    /// From now on nothing bad happens.
    fn heal(&self) {
        self.ctx.trace(format_args!("all is healed"));
        self.ctx.calm();
        self.witnesses.iter().for_each(Host::calm);
        self.operator.nodes.iter().for_each(Node::calm);
        self.watch.calm();
        self.copy.calm();
        self.operator.settle();
        self.operator.nodes.iter().for_each(Node::stop_writing);
        if self.operator.manner != Manner::Honest {
            let (operator, ctx) = (self.operator.clone(), self.ctx.clone());
            tokio::spawn(async move {
                // What the monitor is shown grows beyond all that was ever shown to anybody.
                ctx.sleep(Slot::Chaos, 20_000).await;
                let largest = ctx.judge().largest();
                operator.node_for(Party::Monitor).grow_beyond(largest);
            });
        }
    }

    /// What must be true in the end.
    fn judge(&self) {
        if self.operator.manner == Manner::Honest {
            self.judge_honest();
        }
        let (could_know, is_convicted) = {
            let mut judge = self.ctx.judge();
            let shown = self.witnesses.iter().map(|host| host.shown(&origin().hash()));
            for shown in shown.chain([self.copy.shown()]) {
                let shown = shown.ok().flatten();
                shown.and_then(|note| tree(note.as_bytes())).into_iter().for_each(|tree| judge.heard(tree));
            }
            (judge.could_know(), judge.is_convicted())
        };
        if could_know && !is_convicted {
            self.ctx.judge().wrong("a missed fork: the monitor could have known".into());
        }
        let forgotten = self.ctx.judge().forgotten();
        if let Some(tree) = forgotten {
            self.ctx.judge().wrong(format!("a missed fork: the monitor has forgotten that it was shown {tree:?}"));
        }
        let convinces =
            |bytes: &Vec<u8>| Evidence::parse(bytes).is_ok_and(|evidence| convict(&evidence, &policy()).is_ok());
        if is_convicted && !self.watch.evidence().iter().any(convinces) {
            self.ctx.judge().wrong("the evidence is gone".into());
        }
    }

    fn judge_honest(&self) {
        let node = &self.operator.nodes[0];
        let (has_forked, stopped) = (self.ctx.judge().has_forked, node.is_stopped());
        if self.is_restored {
            // Its operator has made it forget: then it may stop, and has signed what it should not have.
            if stopped || has_forked {
                return;
            }
        } else if stopped || has_forked {
            self.ctx.judge().wrong(format!("an honest log: stopped {stopped}, forked {has_forked}"));
        }
        let size = node.log().map(|log| log.history().size());
        let published = node.served().map(|(note, _)| note.claim().size().get());
        if size.is_none() || published != size {
            self.ctx.judge().wrong(format!("the log has {size:?} entries, and {published:?} of them are published"));
        }
        if self.copy.size() != size {
            self.ctx.judge().wrong(format!("the log has {size:?} entries, the mirror {:?}", self.copy.size()));
        }
        let seen = self.watch.sizes();
        if seen != size.map(|size| (size, size)) {
            self.ctx.judge().wrong(format!("the log has {size:?} entries, the monitor {seen:?}"));
        }
    }
}

/// What the monitor goes by; a deaf one has no address of anybody.
fn monitor_policy(is_deaf: bool) -> Policy {
    let text = policy_with(&format!("witness m {} {MIRROR}\n", mirror::cosigner().vkey()));
    let deaf: String = text.lines().map(|line| line.split(" http").next().unwrap().to_owned() + "\n").collect();
    Policy::parse(if is_deaf { deaf } else { text }.as_bytes()).unwrap()
}
