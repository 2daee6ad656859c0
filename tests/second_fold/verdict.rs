//! Admission (§5): all the rules that a link breaks which is offered as the next entry, and their codes.

use std::collections::BTreeSet;

use serde_json::Value;
use soulchain::ed25519::verify;

use super::body::{self, b64_32, b64u, hex, id};
use super::cases::note;
use super::link::{
    ACTION, ATTEST, FEEDBACK, GENESIS, Id, KEYS, Link, NOTICE, POLICY, PROFILE, RECEIPT, RECOVER, RETRACT,
    REVOKE_AGENT, kid_of, next_of, pop_message,
};
use super::log::{DAY_MS, HOUR_MS, Key, KeyState, Log, Logged, ids, key_list};
use super::trees::log_root;

/// What an offer breaks: codes, each with the rule that it is answered for. None: it is admitted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Codes(BTreeSet<(&'static str, &'static str)>);

/// Salt and bytes of a body beside the log.
pub(crate) type Beside = (Vec<u8>, Vec<u8>);

const AHEAD_MS: u64 = 5 * 60_000;

const LISTED: &str = "a listed key that a next commits to";
const AGAIN: &str = "a next that stands is committed again";
const POPS: &str = "pops of other keys than those that are added";

impl Codes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, code: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == code)
    }

    /// The rule that a code was answered for, where it can be no other.
    pub(crate) fn rule_of(&self, code: &str) -> Option<&'static str> {
        let mut rules = self.0.iter().filter(|(known, _)| *known == code).map(|(_, rule)| *rule);
        let first = rules.next()?;
        rules.next().is_none().then_some(first)
    }
}

/// A link on trial.
struct Trial<'a> {
    log: &'a Log,
    at: u64,
    link: &'a Link,
    entry: &'a [u8],
    body: &'a Value,
    codes: Codes,
}

impl Log {
    /// The rules that an entry breaks which is offered when the log's clock says `clock`.
    pub(crate) fn verdict(&self, entry: &[u8], beside: Option<&Beside>, clock: u64) -> Codes {
        let Some(link) = Link::parse(entry) else {
            return Codes([("malformed", "an entry is malformed")].into());
        };
        let body = body::read(&link, beside);
        let null = Value::Null;
        let mut trial = Trial {
            log: self,
            at: self.size(),
            link: &link,
            entry,
            body: body.as_ref().unwrap_or(&null),
            codes: Codes::default(),
        };
        trial.refuse_if(link.header.log_id != self.log_id, "wrong_log", "a link of another log");
        trial.refuse_if(body.is_none(), "bad_body", "a body that breaks its form");
        trial.alone();
        trial.anchor();
        trial.refuse_if(link.header.ctime > clock + AHEAD_MS, "clock", "a time more than 5 minutes ahead");
        if link.header.link_type == GENESIS {
            trial.genesis(body.is_some());
        } else if self.size() == 0 || !self.exists(link.header.identity) {
            trial.refuse_if(true, "unknown_identity", "an identity that does not exist");
        } else {
            trial.follow(body.is_some());
        }
        trial.codes
    }
}

impl<'a> Trial<'a> {
    fn refuse_if(&mut self, breaks: bool, code: &'static str, rule: &'static str) {
        if breaks {
            self.codes.0.insert((code, rule));
        }
    }

    /// What link and body tell by themselves (§8, row `body`), whatever the identity is.
    fn alone(&mut self) {
        let header = &self.link.header;
        if self.body.get("subject").and_then(id).is_some_and(|subject| subject == header.identity) {
            const OWN: &str = "a subject that is the issuer";
            self.refuse_if(true, "bad_body", OWN);
            self.refuse_if(true, "bad_reference", OWN);
        }
        if !self.link.is_key_event() {
            return;
        }
        let from = self.body.get("suspect_from").and_then(Value::as_u64);
        self.refuse_if(from.is_some_and(|from| from > header.seqno), "bad_body", "a suspect_from beyond the chain");
        let recovery = self.body.get("recovery").and_then(b64_32);
        if recovery.is_some_and(|pk| kid_of(&pk) != header.kid) {
            const OTHER: &str = "a recovery key that does not sign";
            self.refuse_if(true, "unauthorised", OTHER);
            self.refuse_if(true, "bad_body", OTHER);
        }
        let next = self.body.get("next").and_then(id);
        let replaces_itself = next.is_some() && next == recovery.map(|pk| next_of(&pk));
        self.refuse_if(replaces_itself, "bad_body", AGAIN);
        for (pk, _) in key_list(self.body) {
            self.refuse_if(next == Some(next_of(&pk)) || recovery == Some(pk), "bad_body", LISTED);
        }
        let pops = self.body.get("pop").and_then(Value::as_array);
        let is_own = pops.into_iter().flatten().any(|pop| id(&pop["kid"]) == Some(header.kid));
        self.refuse_if(is_own, "bad_body", POPS);
    }

    fn anchor(&mut self) {
        let (size, root) = (self.link.header.anchor_size, self.link.header.anchor_root);
        if size == 0 {
            return self.refuse_if(root != [0; 32], "bad_anchor", "a root without an anchor");
        }
        let leaves: Vec<Id> = self.log.entries.iter().take(size as usize).map(|entry| entry.leaf).collect();
        if self.log.trailers().any(|(index, _)| index == size - 1) {
            self.refuse_if(log_root(&leaves) != root, "bad_anchor", "an anchor with another root");
        } else {
            self.refuse_if(true, "bad_anchor", "an anchor where no trailer is");
        }
    }

    fn genesis(&mut self, is_read: bool) {
        let header = &self.link.header;
        let begins = header.seqno == 1 && [header.identity, header.prev, header.auth] == [[0; 32]; 3];
        self.refuse_if(!begins || self.log.exists(self.link.curr), "conflict", "a genesis that follows something");
        if !is_read {
            return;
        }
        let name = self.body.get("name").and_then(Value::as_str);
        self.refuse_if((name == Some("registrar")) != (self.at == 0), "bad_body", "another registrar");
        let handles = self.log.handles();
        let is_held = handles.iter().any(|(held, _)| Some(held.as_str()) == name);
        self.refuse_if(is_held, "name_taken", "a handle that is held");
        let listed = key_list(self.body);
        let signer = listed.iter().find(|(pk, _)| kid_of(pk) == header.kid);
        match signer {
            Some((pk, roles)) => {
                let is_admin = roles.iter().any(|role| role == "admin");
                self.refuse_if(!is_admin, "unauthorised", "a genesis by a key that is no admin");
                self.signature(pk);
            }
            None => self.refuse_if(true, "unauthorised", "a genesis by a key that it does not list"),
        }
        self.exist(self.body.get("controller"), "a controller that does not exist");
        self.exist(self.body.get("custodian"), "a custodian that does not exist");
        let guardians = self.body.get("guardians").and_then(|guardians| guardians.get("ids"));
        self.exist_all(guardians, "a guardian that does not exist");
        self.key_rules(&KeyState::default());
    }

    /// A link of a chain that is there.
    fn follow(&mut self, is_read: bool) {
        let identity = self.link.header.identity;
        let chain = self.log.chain(identity);
        let head = chain[chain.len() - 1];
        let auth = chain.iter().rfind(|logged| logged.link.is_key_event()).unwrap().link.curr;
        let header = &self.link.header;
        self.refuse_if(header.seqno != head.link.header.seqno + 1, "conflict", "a seqno that is not the next");
        self.refuse_if(header.prev != head.link.curr, "conflict", "a prev that is not the head");
        self.refuse_if(header.auth != auth, "conflict", "an auth that is not the newest key event");
        let log_time = self.log.log_time(self.at);
        let is_behind = header.ctime < head.link.header.ctime;
        self.refuse_if(is_behind && header.ctime < log_time, "clock", "a time behind the chain's and the log's");
        if is_behind && header.ctime >= log_time {
            note("a time behind the chain's, and not the log's");
        }
        self.revoked();
        let keys = self.log.key_state(identity);
        self.signer(&keys, is_read);
        if !is_read {
            return;
        }
        match header.link_type {
            KEYS | RECOVER | REVOKE_AGENT => self.key_rules(&keys),
            RECEIPT | FEEDBACK | ATTEST => self.statement(),
            RETRACT => self.retract(),
            NOTICE => self.notice(),
            POLICY => {
                self.refuse_if(identity != self.log.registrar(), "unauthorised", "a policy by another");
                self.exist_all(self.body.get("registrars"), "a registrar that does not exist");
                self.exist_all(self.body.get("pretrust"), "a pretrusted one that does not exist");
            }
            PROFILE | ACTION => {}
            other => unreachable!("{other}"),
        }
    }

    fn revoked(&mut self) {
        let identity = self.link.header.identity;
        let link_type = self.link.header.link_type;
        let by_notices = self.log.is_revoked_by_notices(identity);
        let may = link_type == RECOVER || link_type == REVOKE_AGENT;
        self.refuse_if(by_notices && !may, "revoked", "a link of one whom notices revoke");
        if by_notices && may {
            note("a key event of one whom notices revoke");
        }
        let Some((index, by_next)) = self.log.standing_revoke(identity) else { return };
        let is_too_late = self.log.passed(index, self.at) > 30 * DAY_MS;
        let rule = match (link_type == RECOVER, by_next, is_too_late) {
            (false, ..) => "a link after the end that is no recover",
            (true, true, _) => "a recover after the next key ended the chain",
            (true, false, true) => "a recover later than 30 days after the end",
            (true, false, false) => return note("a recover within 30 days of the end"),
        };
        self.refuse_if(true, "revoked", rule);
    }

    fn signer(&mut self, keys: &KeyState, is_read: bool) {
        let kid = self.link.header.kid;
        if let Some(pk) = self.body.get("recovery").and_then(b64_32).filter(|_| self.link.is_key_event()) {
            let is_next = keys.next == Some(next_of(&pk));
            self.refuse_if(!is_next, "unauthorised", "a recovery key that no next commits to");
            self.signature(&pk);
            return;
        }
        let listed: Vec<&Key> = keys.keys.iter().filter(|key| key.kid == kid).collect();
        if let Some(key) = listed.first() {
            self.signature(&key.pk);
        }
        let is_listed = !listed.is_empty();
        match listed.into_iter().find(|key| key.revoked.is_none()) {
            Some(key) => {
                let may = !is_read || self.may_sign(key);
                self.refuse_if(!may, "unauthorised", "a signer without the role");
            }
            None if is_listed => self.refuse_if(true, "unauthorised", "a signer that is retired"),
            None => self.refuse_if(true, "unauthorised", "a signer that is not listed"),
        }
    }

    fn may_sign(&self, key: &Key) -> bool {
        match self.link.header.link_type {
            KEYS | REVOKE_AGENT | PROFILE | POLICY => key.has("admin"),
            NOTICE if self.body["kind"] == "revoke" || self.body["kind"] == "release" => key.has("admin"),
            RETRACT => match self.own_link() {
                Some(own) if own.body["kind"] == "revoke" && own.link.header.link_type == NOTICE => key.has("admin"),
                _ => key.has("act"),
            },
            _ => key.has("act"),
        }
    }

    fn signature(&mut self, pk: &Id) {
        let holds = verify(pk, &self.link.message, &self.link.sig);
        self.refuse_if(!holds, "bad_signature", "a signature that does not verify");
    }

    /// What key events have to keep beside the forms. `before` are the keys before it.
    fn key_rules(&mut self, before: &KeyState) {
        let link_type = self.link.header.link_type;
        let listed = key_list(self.body);
        let live = |pk: &Id| before.keys.iter().find(|key| key.pk == *pk && key.revoked.is_none());
        let added: Vec<Id> = listed.iter().map(|(pk, _)| *pk).filter(|pk| live(pk).is_none()).collect();
        for (pk, roles) in &listed {
            let changes = live(pk).is_some_and(|key| key.roles != *roles);
            self.refuse_if(changes, "bad_body", "a key that stays with other roles");
        }
        for pk in &added {
            self.refuse_if(self.log.was_used(*pk), "key_in_use", "a key that was used before");
        }
        self.exist(self.body.get("custodian"), "a custodian that does not exist");
        self.pops(&added);
        let next = self.body.get("next").and_then(id);
        let recovery = self.body.get("recovery").and_then(b64_32);
        self.recovery_rules(before, &listed, next, recovery);
        if link_type == KEYS {
            let retires =
                before.keys.iter().any(|key| key.revoked.is_none() && !listed.iter().any(|(pk, _)| *pk == key.pk));
            let is_idle = added.is_empty() && !retires && next.is_none();
            self.refuse_if(is_idle, "bad_body", "a keys event that changes nothing");
            if next.is_some() {
                note("a keys event sets the first next");
            }
        }
        if link_type != GENESIS {
            self.after_event();
        }
    }

    fn recovery_rules(
        &mut self,
        before: &KeyState,
        listed: &[(Id, Vec<String>)],
        next: Option<Id>,
        recovery: Option<Id>,
    ) {
        let link_type = self.link.header.link_type;
        for (pk, _) in listed {
            self.refuse_if(before.next == Some(next_of(pk)), "bad_body", LISTED);
        }
        let sets_again = link_type == KEYS && next.is_some() && before.next.is_some();
        self.refuse_if(sets_again, "bad_body", "a keys event that replaces a next");
        self.refuse_if(link_type == RECOVER && next.is_some() && next == before.next, "bad_body", AGAIN);
        if link_type != GENESIS {
            let chain = self.log.chain(self.link.header.identity);
            let events = chain.iter().filter(|logged| logged.link.is_key_event());
            let mut committed = events.filter_map(|event| event.body.get("next").and_then(id));
            let rule = if next == before.next { AGAIN } else { "an earlier next is committed again" };
            self.refuse_if(next.is_some_and(|next| committed.any(|known| known == next)), "key_in_use", rule);
        }
        let was_used = recovery.is_some_and(|pk| self.log.was_used(pk));
        self.refuse_if(was_used, "key_in_use", "a recovery key that was used before");
    }

    fn pops(&mut self, added: &[Id]) {
        let signer = self.link.header.kid;
        let mut due: Vec<Id> = added.iter().map(kid_of).filter(|kid| *kid != signer).collect();
        due.sort_unstable();
        let none = Vec::new();
        let pops = self.body.get("pop").and_then(Value::as_array).unwrap_or(&none);
        let given: Vec<Id> = pops.iter().filter_map(|pop| id(&pop["kid"])).collect();
        self.refuse_if(given != due, "bad_body", POPS);
        for (pop, kid) in pops.iter().zip(given) {
            let sig = pop["sig"].as_str().and_then(b64u).and_then(|sig| <[u8; 64]>::try_from(sig).ok());
            let listed = key_list(self.body);
            let pk = listed.iter().map(|(pk, _)| pk).find(|pk| kid_of(pk) == kid);
            let holds = |pk: &Id| sig.is_some_and(|sig| verify(pk, &pop_message(&self.link.header, &kid), &sig));
            let fails = pk.is_some_and(|pk| !holds(pk));
            self.refuse_if(fails, "bad_signature", "a pop that does not verify");
        }
    }

    /// What is judged on the record after the event.
    fn after_event(&mut self) {
        let (identity, at) = (self.link.header.identity, self.at);
        let mut log = self.log.clone();
        log.push(self.entry);
        let after = log.key_state(identity);
        if let Some(from) = self.body.get("suspect_from").and_then(Value::as_u64) {
            let by_next = self.body.get("recovery").is_some();
            let most = if by_next { 30 * DAY_MS } else { 72 * HOUR_MS };
            let chain = self.log.chain(identity);
            let first = chain.iter().find(|logged| logged.link.header.seqno == from);
            let is_old = first.is_some_and(|first| self.log.passed(first.index, at) > most);
            let over = if by_next { "30 days are over" } else { "72 hours are over" };
            self.refuse_if(is_old, "bad_body", over);
            let marks_none = from <= self.link.header.seqno && !after.found_suspects;
            self.refuse_if(marks_none, "bad_body", "a suspect_from that marks no key");
        }
        let retired = after.keys.iter().filter_map(|key| key.revoked);
        match self.link.header.link_type {
            KEYS => {
                let young = retired.clone().filter(|&revoked| log.passed(revoked, at) <= 30 * DAY_MS).count();
                let retires = retired.clone().any(|revoked| revoked == at);
                self.refuse_if(retires && young > 32, "too_many_keys", "a keys event that leaves more than 32");
                if !retires && young > 32 {
                    note("a keys event beside more than 32 that retires none");
                }
            }
            RECOVER => {
                let count = retired.count();
                self.refuse_if(count > 128, "too_many_keys", "a recover that leaves more than 128");
                if count > 32 {
                    note("a recover leaves more than 32");
                }
            }
            _ => {}
        }
    }

    fn exist(&mut self, identity: Option<&Value>, rule: &'static str) {
        let is_missing = identity.is_some_and(|identity| !id(identity).is_some_and(|id| self.log.exists(id)));
        self.refuse_if(is_missing, "bad_reference", rule);
    }

    fn exist_all(&mut self, list: Option<&Value>, rule: &'static str) {
        let is_missing = list.is_some_and(|list| ids(list).into_iter().any(|id| !self.log.exists(id)));
        self.refuse_if(is_missing, "bad_reference", rule);
    }

    /// The subject; whether it exists.
    fn subject(&mut self) -> Option<Id> {
        let subject = id(&self.body["subject"]).unwrap();
        self.exist(Some(&self.body["subject"]), "a subject that does not exist");
        self.log.exists(subject).then_some(subject)
    }

    fn statement(&mut self) {
        let Some(subject) = self.subject() else { return };
        self.refuse_if(self.log.status(subject) == "revoked", "bad_reference", "a statement about one who is revoked");
        let (Some(link), link_type) = (self.body.get("link"), self.link.header.link_type) else { return };
        let found = self.find(subject, link);
        let is_action = found.is_some_and(|logged| logged.link.header.link_type == ACTION);
        let is_again = self.log.has_said(self.link.header.identity, link_type, link);
        self.refuse_if(found.is_none(), "bad_reference", "a link that is not the subject's");
        self.refuse_if(found.is_some() && !is_action, "bad_reference", "a link that is no action");
        self.refuse_if(is_again, "bad_reference", "said again");
        if !is_again && self.log.was_said(self.link.header.identity, link_type, link) {
            note("said again after a retract");
        }
    }

    /// The link of an identity that a `link` member names.
    fn find(&self, identity: Id, link: &Value) -> Option<Logged<'a>> {
        let named = |logged: &Logged<'_>| {
            Some(logged.link.header.seqno) == link["seqno"].as_u64() && link["curr"] == hex(&logged.link.curr)
        };
        self.log.chain(identity).into_iter().find(named)
    }

    fn own_link(&self) -> Option<Logged<'a>> {
        self.find(self.link.header.identity, &self.body["link"])
    }

    fn retract(&mut self) {
        let Some(own) = self.own_link() else {
            return self.refuse_if(true, "bad_reference", "a retract of what is not there");
        };
        let is_name = own.body["kind"] == "bind" || own.body["kind"] == "release";
        let may_be_taken = [RECEIPT, FEEDBACK, ATTEST, NOTICE].contains(&own.link.header.link_type);
        self.refuse_if(!may_be_taken, "bad_reference", "a retract of what is no statement");
        self.refuse_if(may_be_taken && is_name, "bad_reference", "a retract of a bind or release");
        let is_again = self.log.is_retracted(self.link.header.identity, own.link.header.seqno);
        self.refuse_if(is_again, "bad_reference", "retracted again");
    }

    fn notice(&mut self) {
        let kind = self.body["kind"].as_str().unwrap();
        let issuer = self.link.header.identity;
        let subject = self.subject();
        if kind != "bind" && kind != "release" {
            return;
        }
        self.refuse_if(!self.log.registrars().contains(&issuer), "unauthorised", "a bind or release by no registrar");
        let name = self.body["name"].as_str().unwrap();
        let domains = self.log.domains();
        let holder = domains.iter().find(|(held, _)| held == name).map(|(_, holder)| *holder);
        if kind == "release" {
            self.refuse_if(holder.is_none() || holder != subject, "bad_reference", "a release of what is not held");
            return;
        }
        self.refuse_if(holder.is_some(), "name_taken", "a domain name that is held");
        let Some(subject) = subject else { return };
        let count = domains.iter().filter(|(_, holder)| *holder == subject).count();
        self.refuse_if(self.log.status(subject) == "revoked", "bad_reference", "a bind to one who is revoked");
        self.refuse_if(count >= 8, "bad_reference", "a ninth domain name");
        if self.log.was_released(name) {
            note("a released domain name is bound again");
        }
    }
}
