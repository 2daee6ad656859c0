//! Short scenes among newcomers, for the cases that random offers seldom meet.
//!
//! Each offer is judged as any other is: nothing here says what the answer should be.

use serde_json::{Value, json};

use super::World;
use crate::body::hex;
use crate::link::{
    ACTION, ATTEST, FEEDBACK, GENESIS, Header, Id, KEYS, NOTICE, POLICY, RECEIPT, RECOVER, RETRACT, REVOKE_AGENT,
};
use crate::log::DAY_MS;
use crate::offers::Wish;

const NOBODY: Id = [9; 32];

const SCENES: [fn(&mut World); 12] = [
    World::founding,
    World::references,
    World::signers,
    World::pops_and_roles,
    World::next_keys,
    World::shared_next_key,
    World::suspects,
    World::crowds_of_keys,
    World::ends,
    World::statements,
    World::domain_names,
    World::offices,
];

/// Names another signer than the one who signs.
fn misname(header: &mut Header) {
    header.kid[31] ^= 1;
}

impl World {
    /// One of the scenes, by number.
    pub(crate) fn scene(&mut self, number: u64) {
        SCENES[(number % SCENES.len() as u64) as usize](self);
    }

    fn founding(&mut self) {
        let name = format!("h{}", self.log.size());
        self.newcomer(Wish { body: json!({"name": name}), ..Wish::default() });
        self.newcomer(Wish { body: json!({"name": name}), ..Wish::default() });
        self.newcomer(Wish { body: json!({"name": "registrar"}), ..Wish::default() });
        let [unlisted, acts] = [self.author.fresh_key(), self.author.fresh_key()];
        self.newcomer(Wish { signer: Some(unlisted), adds: 2, ..Wish::default() });
        self.newcomer(Wish { signer: Some(acts), lists: Some((acts, "act")), adds: 2, ..Wish::default() });
    }

    fn references(&mut self) {
        let (who, registrar) = (self.newcomer(Wish::default()), self.log.registrar());
        let nobody = hex(&NOBODY);
        for body in [
            json!({"guardians": {"ids": [nobody], "threshold": 1}}),
            json!({"controller": nobody}),
            json!({"custodian": nobody}),
        ] {
            self.newcomer(Wish { body, ..Wish::default() });
        }
        self.put(who, KEYS, Wish { body: json!({"custodian": nobody}), adds: 1, ..Wish::default() });
        self.say(registrar, POLICY, json!({"registrars": [nobody]}));
        self.say(registrar, POLICY, json!({"pretrust": [nobody]}));
        self.say(who, POLICY, json!({"registrars": [hex(&registrar)]}));
        self.say(NOBODY, ACTION, json!({"action": "none"}));
    }

    fn signers(&mut self) {
        let (who, other) = (self.newcomer(Wish { adds: 1, ..Wish::default() }), self.newcomer(Wish::default()));
        let [old, stranger] = [who, other].map(|id| self.log.key_state(id).keys[0].pk);
        let admin = self.author.fresh_key();
        self.put(who, KEYS, Wish { retires: true, adds: 1, lists: Some((admin, "admin")), ..Wish::default() });
        for signer in [old, stranger, admin] {
            self.put(who, ACTION, Wish { signer: Some(signer), ..Wish::default() });
        }
        self.put(who, ACTION, Wish { header: Some(misname), ..Wish::default() });
    }

    fn pops_and_roles(&mut self) {
        let who = self.newcomer(Wish { adds: 1, ..Wish::default() });
        let [acts, used] = [self.author.fresh_key(), self.log.key_state(self.log.registrar()).keys[0].pk];
        self.put(who, KEYS, Wish { lists: Some((acts, "act")), ..Wish::default() });
        self.put(who, KEYS, Wish::default());
        self.put(who, KEYS, Wish { lists: Some((acts, "admin")), adds: 1, ..Wish::default() });
        self.put(who, KEYS, Wish { lists: Some((used, "act")), ..Wish::default() });
        let without = |body: &mut Value| drop(body.as_object_mut().unwrap().remove("pop"));
        self.put(who, KEYS, Wish { adds: 1, edit: Some(without), ..Wish::default() });
        let another = |body: &mut Value| body["pop"][0]["sig"] = body["pop"][1]["sig"].clone();
        self.put(who, KEYS, Wish { adds: 2, edit: Some(another), ..Wish::default() });
    }

    fn next_keys(&mut self) {
        let who = self.newcomer(Wish::default());
        let [first, other] = [self.author.fresh_next(), self.author.fresh_next()];
        let sets = |next: &str| Wish { body: json!({"next": next}), ..Wish::default() };
        self.put(who, KEYS, sets(&first));
        self.put(who, KEYS, sets(&other));
        self.put(who, RECOVER, Wish { header: Some(misname), ..Wish::default() });
        // The body tells by itself what is wrong, whoever the identity is.
        self.put(who, RECOVER, Wish { header: Some(|header| header.identity[31] ^= 1), ..sets(&first) });
        self.put(who, RECOVER, sets(&first));
        let committed = self.log.key_state(who).next.map(|next| self.author.recovery_of(&next));
        if let Some(committed) = committed {
            self.put(who, KEYS, Wish { lists: Some((committed, "act")), ..Wish::default() });
        }
        self.put(who, RECOVER, Wish::default());
        self.put(who, RECOVER, sets(&first));
        let without = self.newcomer(Wish::default());
        self.put(without, RECOVER, Wish::default());
    }

    /// Two chains commit to one recovery key.
    fn shared_next_key(&mut self) {
        let next = self.author.fresh_next();
        for who in [(); 2].map(|()| self.newcomer(Wish { body: json!({"next": next}), ..Wish::default() })) {
            self.put(who, RECOVER, Wish::default());
        }
    }

    fn suspects(&mut self) {
        let who = self.recoverable();
        let suspect = |from: u64, retires: bool| Wish {
            body: json!({"suspect_from": from}),
            adds: 1,
            retires,
            ..Wish::default()
        };
        self.act(who, 3);
        self.put(who, KEYS, suspect(6, true));
        self.put(who, KEYS, suspect(5, false));
        self.put(who, KEYS, suspect(4, true));
        self.act(who, 1);
        self.put(who, KEYS, suspect(2, true));
        self.put(who, RECOVER, suspect(3, true));
        self.days(4);
        self.put(who, KEYS, suspect(3, true));
        self.put(who, RECOVER, suspect(2, true));
        self.days(31);
        self.put(who, RECOVER, suspect(2, true));
        self.put(who, RECOVER, suspect(7, true));
    }

    fn crowds_of_keys(&mut self) {
        let who = self.recoverable();
        let all = || Wish { retires: true, adds: 16, ..Wish::default() };
        for _ in 0..4 {
            self.put(who, KEYS, all());
        }
        for _ in 0..9 {
            self.put(who, RECOVER, all());
        }
        self.put(who, KEYS, Wish { retires: true, ..Wish::default() });
        self.days(31);
        self.put(who, KEYS, Wish { retires: true, ..Wish::default() });
        self.put(who, KEYS, Wish { adds: 1, ..Wish::default() });
        for _ in 0..3 {
            self.put(who, RECOVER, all());
        }
        self.put(who, KEYS, Wish { retires: true, ..Wish::default() });
        self.put(who, RECOVER, Wish { retires: true, ..Wish::default() });
        self.put(who, KEYS, Wish { adds: 1, ..Wish::default() });
    }

    fn ends(&mut self) {
        let custodian = hex(&self.log.registrar());
        let next = self.author.fresh_next();
        let who = self.newcomer(Wish { body: json!({"next": next, "custodian": custodian}), ..Wish::default() });
        let end = || Wish { body: json!({"reason": "superseded"}), ..Wish::default() };
        self.put(who, REVOKE_AGENT, end());
        self.act(who, 1);
        self.put(who, REVOKE_AGENT, Wish { by_next: true, ..end() });
        self.put(who, RECOVER, Wish::default());
        self.put(who, REVOKE_AGENT, end());
        self.days(31);
        self.put(who, RECOVER, Wish::default());
        let who = self.recoverable();
        self.put(who, REVOKE_AGENT, Wish { by_next: true, ..end() });
        self.put(who, RECOVER, Wish::default());
    }

    fn statements(&mut self) {
        let (who, by) = (self.newcomer(Wish::default()), self.newcomer(Wish::default()));
        self.act(who, 1);
        let said = |link: Value| json!({"subject": hex(&who), "link": link});
        let (genesis, action) = (self.link(who, 1), self.link(who, 2));
        for link in [&action, &action, &genesis] {
            self.say(by, RECEIPT, said(link.clone()));
        }
        let own = self.link(by, 2);
        self.say(by, RETRACT, json!({"link": own}));
        self.say(by, RETRACT, json!({"link": own}));
        self.say(by, RECEIPT, said(action));
        self.say(by, RECEIPT, said(json!({"curr": hex(&NOBODY), "seqno": 2})));
        for link in [genesis, self.link(by, 1)] {
            self.say(by, RETRACT, json!({"link": link}));
        }
        for subject in [by, NOBODY] {
            self.say(by, FEEDBACK, json!({"subject": hex(&subject), "value": 5}));
        }
        self.say(who, REVOKE_AGENT, json!({"reason": "unspecified"}));
        self.say(by, FEEDBACK, json!({"subject": hex(&who), "value": 5}));
        let registrar = self.in_office();
        self.say(registrar, NOTICE, json!({"subject": hex(&who), "kind": "bind", "name": "gone.example"}));
        let attest = json!({"subject": hex(&by), "capabilities": ["a"], "scope": "s", "expires_ms": 0});
        self.say(registrar, ATTEST, attest);
    }

    fn domain_names(&mut self) {
        let (who, other, registrar) =
            (self.newcomer(Wish::default()), self.newcomer(Wish::default()), self.in_office());
        let name = format!("d{}.example", self.log.size());
        let said = |kind: &str, of: Id| json!({"subject": hex(&of), "kind": kind, "name": name});
        self.say(other, NOTICE, said("bind", who));
        for (kind, of) in [("bind", who), ("bind", other), ("release", other), ("release", who), ("bind", other)] {
            self.say(registrar, NOTICE, said(kind, of));
        }
        let head = self.log.chain(registrar).len() as u64;
        let bind = self.link(registrar, head);
        self.say(registrar, RETRACT, json!({"link": bind}));
        self.names();
    }

    fn offices(&mut self) {
        let registrar = self.in_office();
        let mut guardians = [(); 2].map(|()| self.newcomer(Wish::default()));
        guardians.sort_unstable();
        let [one, two] = guardians;
        let ids = guardians.map(|id| hex(&id));
        let next = self.author.fresh_next();
        let body = json!({"guardians": {"ids": ids, "threshold": 2}, "next": next});
        let who = self.newcomer(Wish { body, ..Wish::default() });
        let notice = |kind: &str| json!({"subject": hex(&who), "kind": kind});
        self.say(one, NOTICE, notice("revoke"));
        self.act(who, 1);
        self.say(two, NOTICE, notice("revoke"));
        self.act(who, 1);
        self.put(who, RECOVER, Wish::default());
        let head = self.link(two, 2);
        self.put(two, RETRACT, Wish { body: json!({"link": head}), ..Wish::default() });
        self.say(one, NOTICE, notice("suspend"));
        self.say(one, NOTICE, notice("suspend"));
        self.say(two, NOTICE, notice("unsuspend"));
        self.say(registrar, NOTICE, notice("unsuspend"));
        let mut both = [registrar, one];
        both.sort_unstable();
        self.say(registrar, POLICY, json!({"registrars": both.map(|id| hex(&id))}));
        for (issuer, kind) in [(one, "suspend"), (one, "verified"), (registrar, "suspend"), (registrar, "verified")] {
            self.say(issuer, NOTICE, notice(kind));
        }
        self.say(registrar, NOTICE, notice("unverified"));
        self.say(one, NOTICE, notice("unsuspend"));
        self.say(one, NOTICE, notice("suspend"));
        self.say(registrar, POLICY, json!({"registrars": [hex(&registrar)]}));
        self.say(registrar, NOTICE, notice("revoke"));
        self.say(who, NOTICE, json!({"subject": hex(&registrar), "kind": "suspend"}));
    }

    /// Makes the registrar the only one in office.
    fn in_office(&mut self) -> Id {
        let registrar = self.log.registrar();
        self.say(registrar, POLICY, json!({"registrars": [hex(&registrar)]}));
        registrar
    }

    fn newcomer(&mut self, wish: Wish) -> Id {
        self.put(NOBODY, GENESIS, wish);
        *self.log.identities().last().unwrap()
    }

    /// A newcomer with a recovery key.
    fn recoverable(&mut self) -> Id {
        let next = self.author.fresh_next();
        self.newcomer(Wish { body: json!({"next": next}), ..Wish::default() })
    }

    fn act(&mut self, who: Id, times: u64) {
        for _ in 0..times {
            self.say(who, ACTION, json!({"action": "a"}));
        }
    }

    fn say(&mut self, who: Id, link_type: u16, body: Value) {
        self.put(who, link_type, Wish { body, ..Wish::default() });
    }

    /// Offers it once no chain is held any more.
    fn put(&mut self, who: Id, link_type: u16, wish: Wish) {
        self.pass(31_000);
        let offer = self.author.wished(&self.log, self.now, who, link_type, wish);
        self.submit(&[offer]);
    }

    /// Days pass, and the log seals something.
    fn days(&mut self, days: u64) {
        self.pass(days * DAY_MS);
        self.newcomer(Wish::default());
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.clock.set(soulchain::encoding::UnixMillis::new(self.now));
    }

    /// A link as others name it.
    fn link(&self, who: Id, seqno: u64) -> Value {
        let chain = self.log.chain(who);
        let found = chain.iter().find(|logged| logged.link.header.seqno == seqno);
        json!({"curr": hex(&found.map_or(NOBODY, |logged| logged.link.curr)), "seqno": seqno})
    }
}
