//! Links to offer: of every type, most of them valid, some wrong on purpose in one way or another.

mod key_events;
mod statements;
mod wishes;

pub(crate) use wishes::Wish;

use std::collections::HashMap;

use serde_json::{Value, json};
use soulchain::ed25519::SigningKey;

use super::body::{canonical, hex};
use super::link::{
    ACTION, ATTEST, FEEDBACK, GENESIS, Header, Id, KEYS, NOTICE, POLICY, PROFILE, RECEIPT, RECOVER, RETRACT,
    REVOKE_AGENT, hash, hmac_commit, inline_commit, kid_of, next_of,
};
use super::log::{DAY_MS, HOUR_MS, Key, Log};
use super::random::Random;
use super::trees::log_root;
use super::verdict::Beside;

/// An entry, and the body beside it.
pub(crate) type Offer = (Vec<u8>, Option<Beside>);

const HANDLES: &[&str] = &["alice", "bob", "carol", "a", "x-1", "d_d", "registrar", "log", "-a", "Alice", "a.b"];
const KINDS: &[(u64, &str)] = &[
    (8, "suspend"),
    (5, "unsuspend"),
    (4, "revoke"),
    (2, "violation"),
    (6, "verified"),
    (3, "unverified"),
    (12, "bind"),
    (4, "release"),
    (1, "praise"),
];
const REASONS: &[&str] = &["key_compromise", "superseded", "certificate_hold", "unspecified", "other"];
const CAPABILITIES: &[&str] = &["a", "b:c", "chat/*", "x.y"];

/// Who makes links up: it has every key that was ever made.
pub(crate) struct Author {
    pub(crate) random: Random,
    keys: HashMap<Id, SigningKey>,
    /// Recovery keys by what commits to them.
    recovery: HashMap<Id, Id>,
    seed: u64,
    made: u64,
    /// The chance in percent that a thing is made wrong.
    wrong: u64,
}

struct Place<'a> {
    log: &'a Log,
    now: u64,
    identity: Id,
    header: Header,
    keys: Vec<Key>,
    next: Option<Id>,
}

impl Author {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        Self { random, keys: HashMap::new(), recovery: HashMap::new(), seed, made: 0, wrong: 4 }
    }

    /// Keys that somebody else made.
    pub(crate) fn learn(&mut self, key: SigningKey) {
        let pk = *key.public().as_bytes();
        self.recovery.insert(next_of(&pk), pk);
        self.keys.insert(pk, key);
    }

    fn new_key(&mut self) -> Id {
        self.made += 1;
        let seed = hash(&[&self.seed.to_be_bytes(), &self.made.to_be_bytes()]);
        let key = SigningKey::from_seed(&seed);
        let pk = *key.public().as_bytes();
        self.keys.insert(pk, key);
        pk
    }

    fn new_next(&mut self) -> Id {
        let pk = self.new_key();
        self.recovery.insert(next_of(&pk), pk);
        next_of(&pk)
    }

    /// Which of so many turns a detail takes: the last, the usual one, unless slips are made.
    fn slip(&mut self, turns: u64) -> u64 {
        if self.wrong == 0 { turns - 1 } else { self.random.below(turns) }
    }

    fn is_wrong(&mut self) -> bool {
        let chance = self.wrong;
        self.random.percent(chance)
    }

    pub(crate) fn some_type(&mut self, log: &Log, actor: Id) -> u16 {
        if log.standing_revoke(actor).is_some() && self.random.percent(60) {
            return RECOVER;
        }
        let is_registrar = actor == log.registrar();
        let policy = if is_registrar { 14 } else { 1 };
        let revoke = if is_registrar { 0 } else { 3 };
        let genesis = if log.identities().len() < 6 { 8 } else { 1 };
        self.random.weighed(&[
            (genesis, GENESIS),
            (10, KEYS),
            (6, RECOVER),
            (revoke, REVOKE_AGENT),
            (4, PROFILE),
            (16, ACTION),
            (10, RECEIPT),
            (8, FEEDBACK),
            (5, ATTEST),
            (10, RETRACT),
            (26, NOTICE),
            (policy, POLICY),
        ])
    }

    /// A link of a type for the end of a chain.
    pub(crate) fn offer(&mut self, log: &Log, now: u64, actor: Id, link_type: u16) -> Offer {
        let mut place = self.place(log, now, actor, link_type);
        let body = match link_type {
            GENESIS => self.genesis(&mut place),
            KEYS | RECOVER => {
                let most = if self.random.percent(10) { 16 } else { 3 };
                self.key_event(&mut place, link_type, most)
            }
            REVOKE_AGENT => self.revoke_agent(&mut place),
            PROFILE => json!({"v": 1, "description": format!("{}", self.random.below(9)), "metadata": {"a": []}}),
            ACTION => json!({"v": 1, "action": format!("{}", self.random.any()), "keys": null}),
            RECEIPT | FEEDBACK | ATTEST => self.statement(&place, link_type),
            RETRACT => self.retract(&place),
            NOTICE => self.notice(&place),
            POLICY => self.policy(&place),
            other => unreachable!("{other}"),
        };
        self.finish(place, body)
    }

    /// A key event that replaces every key by sixteen.
    pub(crate) fn burst(&mut self, log: &Log, now: u64, actor: Id, link_type: u16) -> Offer {
        self.carefully(|author| {
            let mut place = author.place(log, now, actor, link_type);
            let body = author.key_event(&mut place, link_type, 160);
            author.finish(place, body)
        })
    }

    /// What is said of the standing of one identity.
    pub(crate) fn say(&mut self, log: &Log, now: u64, actor: Id, subject: Id) -> Offer {
        const SAID: [(u64, &str); 5] =
            [(6, "suspend"), (4, "unsuspend"), (2, "revoke"), (4, "verified"), (2, "unverified")];
        self.carefully(|author| {
            let place = author.place(log, now, actor, NOTICE);
            let kind = author.random.weighed(&SAID);
            author.finish(place, json!({"v": 1, "subject": hex(&subject), "kind": kind}))
        })
    }

    /// A domain name for the newest identity, by its number.
    pub(crate) fn bind(&mut self, log: &Log, now: u64, actor: Id, number: u64) -> Offer {
        self.carefully(|author| {
            let place = author.place(log, now, actor, NOTICE);
            let subject = hex(&log.identities().last().copied().unwrap());
            let body = json!({"v": 1, "subject": subject, "kind": "bind", "name": format!("s{number}.example")});
            author.finish(place, body)
        })
    }

    /// Makes something up without a slip.
    fn carefully<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let wrong = std::mem::replace(&mut self.wrong, 0);
        let done = work(self);
        self.wrong = wrong;
        done
    }

    fn place<'a>(&mut self, log: &'a Log, now: u64, actor: Id, link_type: u16) -> Place<'a> {
        let (anchor_size, anchor_root) = self.anchor(log);
        let chain = log.chain(actor);
        let (identity, seqno, prev, auth) = match chain.last() {
            Some(head) if link_type != GENESIS => {
                let event = chain.iter().rfind(|logged| logged.link.is_key_event()).unwrap();
                (actor, head.link.header.seqno + 1, head.link.curr, event.link.curr)
            }
            _ => ([0; 32], 1, [0; 32], [0; 32]),
        };
        let state = log.key_state(actor);
        let outcome = match link_type {
            ACTION | RECEIPT => self.random.below(4) as u8 * 2,
            _ => 0,
        };
        let ctime = self.ctime(now, log);
        let header = Header {
            log_id: log.log_id,
            identity,
            seqno,
            prev,
            auth,
            link_type,
            flags: outcome | 1,
            ctime,
            anchor_size,
            anchor_root,
            kid: [0; 32],
            body_len: 0,
            body_commit: [0; 32],
        };
        Place { log, now, identity: actor, header, keys: state.keys, next: state.next }
    }

    fn ctime(&mut self, now: u64, log: &Log) -> u64 {
        let log_time = log.log_time(log.size());
        match self.slip(40) {
            0 => now + 5 * 60_000,
            1 => now + 5 * 60_000 + 1,
            2 => log_time,
            3 => log_time - 1,
            4 => now - self.random.below(HOUR_MS),
            5 => now + self.random.below(5 * 60_000),
            _ => now,
        }
    }

    fn anchor(&mut self, log: &Log) -> (u64, Id) {
        let root = |size: u64| {
            let leaves: Vec<Id> = log.entries.iter().take(size as usize).map(|entry| entry.leaf).collect();
            log_root(&leaves)
        };
        let sizes: Vec<u64> = log.trailers().map(|(index, _)| index + 1).collect();
        let size = self.random.pick(&sizes).unwrap_or(0);
        match self.slip(60) {
            0 => (0, [1; 32]),
            1 => (size - 1, root(size - 1)),
            2 => (size, [1; 32]),
            3 => (log.size() + 1, root(log.size())),
            4..=24 => (size, root(size)),
            _ => (0, [0; 32]),
        }
    }

    fn reason(&mut self) -> &'static str {
        let good = &REASONS[..4];
        if self.is_wrong() { REASONS[4] } else { self.random.pick(good).unwrap() }
    }

    fn known_keys(&self) -> Vec<Id> {
        let mut keys: Vec<Id> = self.keys.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Sets a signer that has a role, or another.
    fn sign_by(&mut self, place: &mut Place<'_>, role: &str) {
        let keys = &place.keys;
        let right: Vec<Id> =
            keys.iter().filter(|key| key.revoked.is_none() && key.has(role)).map(|key| key.pk).collect();
        let any: Vec<Id> = keys.iter().map(|key| key.pk).collect();
        let wrong = self.is_wrong();
        let pk = if wrong {
            let known = if self.random.percent(80) { any } else { self.known_keys() };
            self.random.pick(&known)
        } else {
            self.random.pick(&right).or_else(|| self.random.pick(&any))
        };
        place.header.kid = pk.map_or([7; 32], |pk| kid_of(&pk));
    }

    fn identity(&mut self, log: &Log) -> String {
        if self.is_wrong() {
            return hex(&[9; 32]);
        }
        hex(&self.random.pick(&log.identities()).unwrap())
    }

    fn other(&mut self, place: &Place<'_>) -> Id {
        let ids: Vec<Id> = place.log.identities().into_iter().filter(|id| *id != place.identity).collect();
        match self.random.below(40) {
            0 => place.identity,
            1 => [9; 32],
            _ => self.random.pick(&ids).unwrap_or([9; 32]),
        }
    }

    fn finish(&mut self, place: Place<'_>, body: Value) -> Offer {
        self.finish_as(place, body, None)
    }

    /// Signs it, with a header that is changed at last.
    fn finish_as(&mut self, mut place: Place<'_>, mut body: Value, edit: Option<fn(&mut Header)>) -> Offer {
        if place.header.kid == [0; 32] {
            let role = role_for(&place, &body);
            self.sign_by(&mut place, role);
        }
        self.spoil_body(&mut body);
        let mut bytes = canonical(&body);
        if self.slip(100) == 0 {
            bytes.insert(1, b' ');
        }
        let mut beside = None;
        let header = &mut place.header;
        if header.link_type == ACTION {
            match self.random.below(4) {
                0 => (bytes, header.flags) = (Vec::new(), header.flags & !1),
                1 => {
                    header.flags &= !1;
                    beside = Some((vec![self.random.any() as u8; 32], bytes.clone()));
                }
                _ => {}
            }
        }
        header.body_len = bytes.len() as u32;
        header.body_commit = match &beside {
            _ if bytes.is_empty() => [0; 32],
            Some((salt, body)) => hmac_commit(salt, body),
            None => inline_commit(&bytes),
        };
        if beside.is_some() {
            bytes.clear();
            if self.random.percent(20) {
                beside = None;
            }
        }
        let key = self.keys.iter().find(|(pk, _)| kid_of(pk) == place.header.kid).map(|(_, key)| key.clone());
        self.spoil_header(&mut place);
        edit.into_iter().for_each(|edit| edit(&mut place.header));
        let message = place.header.bytes();
        let mut sig = key.map_or([0; 64], |key| key.sign(&message));
        if self.slip(100) == 0 {
            sig[40] ^= 4;
        }
        ([&[1][..], &message, &sig, &bytes].concat(), beside)
    }

    fn spoil_body(&mut self, body: &mut Value) {
        let members = body.as_object_mut().unwrap();
        let keys: Vec<String> = members.keys().cloned().collect();
        let key = self.random.pick(&keys).unwrap();
        match self.slip(150) {
            0 => drop(members.insert("unknown".into(), 1.into())),
            1 => drop(members.insert(key, Value::Null)),
            2 => drop(members.remove(&key)),
            3 => drop(members.insert(key, "".into())),
            4 => drop(members.insert("v".into(), 2.into())),
            _ => {}
        }
    }

    fn spoil_header(&mut self, place: &mut Place<'_>) {
        let header = &mut place.header;
        match self.slip(160) {
            0 => header.log_id[0] ^= 1,
            1 => header.identity[0] ^= 1,
            2 => header.seqno += 1,
            3 => header.seqno -= 1,
            4 => header.prev[0] ^= 1,
            5 => header.auth[0] ^= 1,
            6 => header.link_type = 6,
            7 => header.flags ^= 1,
            8 => header.flags |= 8,
            9 => header.flags ^= 2,
            10 => header.body_len += 1,
            11 => header.body_commit[0] ^= 1,
            12 => header.ctime = place.now - self.random.below(3 * DAY_MS),
            13 => header.kid[0] ^= 1,
            14 => (header.seqno, header.prev) = (1, [0; 32]),
            _ => {}
        }
    }
}

/// The role that a link's type asks for.
fn role_for(place: &Place<'_>, body: &Value) -> &'static str {
    let revokes = |seqno: u64| {
        let own = place.log.chain(place.identity).into_iter().find(|own| own.link.header.seqno == seqno);
        own.is_some_and(|own| own.body.get("kind") == Some(&json!("revoke")))
    };
    match place.header.link_type {
        PROFILE | POLICY => "admin",
        NOTICE if body["kind"] == "revoke" || body["kind"] == "release" => "admin",
        RETRACT if body["link"]["seqno"].as_u64().is_some_and(revokes) => "admin",
        _ => "act",
    }
}
