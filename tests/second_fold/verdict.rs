//! Admission (§5): all the codes that apply to a link that is offered as the next entry.

use std::collections::BTreeSet;

use serde_json::Value;
use soulchain::ed25519::verify;

use super::body::{self, b64_32, b64u, hex, id};
use super::link::{
    ACTION, ATTEST, FEEDBACK, GENESIS, Id, KEYS, Link, NOTICE, POLICY, PROFILE, RECEIPT, RECOVER, RETRACT,
    REVOKE_AGENT, kid_of, next_of, pop_message,
};
use super::log::{DAY_MS, HOUR_MS, Key, KeyState, Log, Logged, ids, key_list, note};
use super::trees::log_root;

/// None: it is admitted.
pub(crate) type Codes = BTreeSet<&'static str>;

/// Salt and bytes of a body beside the log.
pub(crate) type Beside = (Vec<u8>, Vec<u8>);

const AHEAD_MS: u64 = 5 * 60_000;

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
    /// The codes that apply to an entry which is offered when the log's clock says `clock`.
    pub(crate) fn verdict(&self, entry: &[u8], beside: Option<&Beside>, clock: u64) -> Codes {
        let Some(link) = Link::parse(entry) else { return Codes::from(["malformed"]) };
        let body = body::read(&link, beside);
        let null = Value::Null;
        let mut trial = Trial {
            log: self,
            at: self.size(),
            link: &link,
            entry,
            body: body.as_ref().unwrap_or(&null),
            codes: Codes::new(),
        };
        trial.refuse_if(link.header.log_id != self.log_id, "wrong_log");
        trial.refuse_if(body.is_none(), "bad_body");
        trial.anchor();
        trial.refuse_if(link.header.ctime > clock + AHEAD_MS, "clock");
        if link.header.link_type == GENESIS {
            trial.genesis(body.is_some());
        } else if self.size() == 0 || !self.exists(link.header.identity) {
            trial.codes.insert("unknown_identity");
        } else {
            trial.follow(body.is_some());
        }
        trial.codes
    }
}

impl Trial<'_> {
    fn refuse_if(&mut self, breaks: bool, code: &'static str) {
        if breaks {
            self.codes.insert(code);
        }
    }

    fn anchor(&mut self) {
        let (size, root) = (self.link.header.anchor_size, self.link.header.anchor_root);
        let is_good = if size == 0 {
            root == [0; 32]
        } else {
            let leaves: Vec<Id> = self.log.entries.iter().take(size as usize).map(|entry| entry.leaf).collect();
            self.log.trailers().any(|(index, _)| index == size - 1) && log_root(&leaves) == root
        };
        self.refuse_if(!is_good, "bad_anchor");
    }

    fn genesis(&mut self, is_read: bool) {
        let header = &self.link.header;
        let begins = header.seqno == 1 && [header.identity, header.prev, header.auth] == [[0; 32]; 3];
        self.refuse_if(!begins || self.log.exists(self.link.curr), "conflict");
        if !is_read {
            return;
        }
        let name = self.body.get("name").and_then(Value::as_str);
        self.refuse_if((name == Some("registrar")) != (self.at == 0), "bad_body");
        let handles = self.log.handles();
        self.refuse_if(handles.iter().any(|(held, _)| Some(held.as_str()) == name), "name_taken");
        let listed = key_list(self.body);
        let signer = listed.iter().find(|(pk, _)| kid_of(pk) == header.kid);
        match signer {
            Some((pk, roles)) => {
                self.refuse_if(!roles.iter().any(|role| role == "admin"), "unauthorised");
                self.signature(pk);
            }
            None => self.refuse_if(true, "unauthorised"),
        }
        self.exist(self.body.get("controller"));
        self.exist(self.body.get("custodian"));
        self.exist_all(self.body.get("guardians").and_then(|guardians| guardians.get("ids")));
        self.key_rules(&KeyState::default());
    }

    /// A link of a chain that is there.
    fn follow(&mut self, is_read: bool) {
        let identity = self.link.header.identity;
        let chain = self.log.chain(identity);
        let head = chain[chain.len() - 1];
        let auth = chain.iter().rfind(|logged| logged.link.is_key_event()).unwrap().link.curr;
        let header = &self.link.header;
        let follows =
            header.seqno == head.link.header.seqno + 1 && header.prev == head.link.curr && header.auth == auth;
        self.refuse_if(!follows, "conflict");
        let log_time = self.log.log_time(self.at);
        self.refuse_if(header.ctime < head.link.header.ctime && header.ctime < log_time, "clock");
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
                self.refuse_if(identity != self.log.registrar(), "unauthorised");
                self.exist_all(self.body.get("registrars"));
                self.exist_all(self.body.get("pretrust"));
            }
            PROFILE | ACTION => {}
            other => unreachable!("{other}"),
        }
    }

    fn revoked(&mut self) {
        let identity = self.link.header.identity;
        let link_type = self.link.header.link_type;
        let by_notices = self.log.is_revoked_by_notices(identity);
        self.refuse_if(by_notices && link_type != RECOVER && link_type != REVOKE_AGENT, "revoked");
        if let Some((index, by_next)) = self.log.standing_revoke(identity) {
            let is_too_late = self.log.passed(index, self.at) > 30 * DAY_MS;
            self.refuse_if(link_type != RECOVER || by_next || is_too_late, "revoked");
            if link_type == RECOVER {
                note(match (by_next, is_too_late) {
                    (true, _) => "recover after the next key ended the chain",
                    (false, true) => "recover after 30 days",
                    (false, false) => "recover within 30 days",
                });
            }
        }
    }

    fn signer(&mut self, keys: &KeyState, is_read: bool) {
        let kid = self.link.header.kid;
        if let Some(pk) = self.body.get("recovery").and_then(b64_32).filter(|_| self.link.is_key_event()) {
            self.refuse_if(kid_of(&pk) != kid, "unauthorised");
            self.refuse_if(kid_of(&pk) != kid, "bad_body");
            self.refuse_if(keys.next != Some(next_of(&pk)), "unauthorised");
            self.signature(&pk);
            return;
        }
        let listed: Vec<&Key> = keys.keys.iter().filter(|key| key.kid == kid).collect();
        if let Some(key) = listed.first() {
            self.signature(&key.pk);
        }
        let live = listed.into_iter().find(|key| key.revoked.is_none());
        let may = live.is_some_and(|key| if is_read { self.may_sign(key) } else { true });
        self.refuse_if(!may, "unauthorised");
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
        self.refuse_if(!holds, "bad_signature");
    }

    /// What key events have to keep beside the forms. `before` are the keys before it.
    fn key_rules(&mut self, before: &KeyState) {
        let link_type = self.link.header.link_type;
        let listed = key_list(self.body);
        let live = |pk: &Id| before.keys.iter().find(|key| key.pk == *pk && key.revoked.is_none());
        let added: Vec<Id> = listed.iter().map(|(pk, _)| *pk).filter(|pk| live(pk).is_none()).collect();
        for (pk, roles) in &listed {
            self.refuse_if(live(pk).is_some_and(|key| key.roles != *roles), "bad_body");
        }
        for pk in &added {
            self.refuse_if(self.log.was_used(*pk), "key_in_use");
        }
        self.exist(self.body.get("custodian"));
        self.pops(&added);
        let next = self.body.get("next").and_then(id);
        let recovery = self.body.get("recovery").and_then(b64_32);
        self.recovery_rules(before, &listed, next, recovery);
        if link_type == KEYS {
            let retires =
                before.keys.iter().any(|key| key.revoked.is_none() && !listed.iter().any(|(pk, _)| *pk == key.pk));
            self.refuse_if(added.is_empty() && !retires && next.is_none(), "bad_body");
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
            let commitment = Some(next_of(pk));
            self.refuse_if(commitment == before.next || commitment == next, "bad_body");
            // §8 says so of what a link alone tells.
            self.refuse_if(recovery == Some(*pk), "bad_body");
        }
        self.refuse_if(link_type == KEYS && next.is_some() && before.next.is_some(), "bad_body");
        self.refuse_if(link_type == RECOVER && next.is_some() && next == before.next, "bad_body");
        self.refuse_if(next.is_some() && next == recovery.map(|pk| next_of(&pk)), "bad_body");
        if link_type != GENESIS {
            let chain = self.log.chain(self.link.header.identity);
            let events = chain.iter().filter(|logged| logged.link.is_key_event());
            let mut committed = events.filter_map(|event| event.body.get("next").and_then(id));
            self.refuse_if(next.is_some_and(|next| committed.any(|known| known == next)), "key_in_use");
        }
        self.refuse_if(recovery.is_some_and(|pk| self.log.was_used(pk)), "key_in_use");
    }

    fn pops(&mut self, added: &[Id]) {
        let signer = self.link.header.kid;
        let mut due: Vec<Id> = added.iter().map(kid_of).filter(|kid| *kid != signer).collect();
        due.sort_unstable();
        let none = Vec::new();
        let pops = self.body.get("pop").and_then(Value::as_array).unwrap_or(&none);
        let given: Vec<Id> = pops.iter().filter_map(|pop| id(&pop["kid"])).collect();
        self.refuse_if(given != due, "bad_body");
        for (pop, kid) in pops.iter().zip(given) {
            let sig = pop["sig"].as_str().and_then(b64u).and_then(|sig| <[u8; 64]>::try_from(sig).ok());
            let listed = key_list(self.body);
            let pk = listed.iter().map(|(pk, _)| pk).find(|pk| kid_of(pk) == kid);
            let holds = |pk: &Id| sig.is_some_and(|sig| verify(pk, &pop_message(&self.link.header, &kid), &sig));
            let fails = pk.is_some_and(|pk| !holds(pk));
            self.refuse_if(fails, "bad_signature");
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
            self.refuse_if(from > self.link.header.seqno || is_old || !after.found_suspects, "bad_body");
            if is_old {
                note(if by_next { "30 days are over" } else { "72 hours are over" });
            }
        }
        let retired = after.keys.iter().filter_map(|key| key.revoked);
        match self.link.header.link_type {
            KEYS => {
                let young = retired.clone().filter(|&revoked| log.passed(revoked, at) <= 30 * DAY_MS).count();
                let retires = retired.clone().any(|revoked| revoked == at);
                self.refuse_if(retires && young > 32, "too_many_keys");
            }
            RECOVER => self.refuse_if(retired.count() > 128, "too_many_keys"),
            _ => {}
        }
    }

    fn exist(&mut self, identity: Option<&Value>) {
        let is_missing = identity.is_some_and(|identity| !id(identity).is_some_and(|id| self.log.exists(id)));
        self.refuse_if(is_missing, "bad_reference");
    }

    fn exist_all(&mut self, list: Option<&Value>) {
        let is_missing = list.is_some_and(|list| ids(list).into_iter().any(|id| !self.log.exists(id)));
        self.refuse_if(is_missing, "bad_reference");
    }

    /// The subject; whether it exists.
    fn subject(&mut self) -> Option<Id> {
        let subject = id(&self.body["subject"]).unwrap();
        if subject == self.link.header.identity {
            self.codes.extend(["bad_body", "bad_reference"]);
        }
        self.exist(Some(&self.body["subject"]));
        self.log.exists(subject).then_some(subject)
    }

    fn statement(&mut self) {
        let Some(subject) = self.subject() else { return };
        self.refuse_if(self.log.status(subject) == "revoked", "bad_reference");
        let (Some(link), link_type) = (self.body.get("link"), self.link.header.link_type) else { return };
        let found = self.find(subject, link);
        let is_action = found.is_some_and(|logged| logged.link.header.link_type == ACTION);
        let is_again = self.log.has_said(self.link.header.identity, link_type, link);
        if is_again {
            note("said again");
        }
        self.refuse_if(!is_action || is_again, "bad_reference");
    }

    /// The link of an identity that a `link` member names.
    fn find(&self, identity: Id, link: &Value) -> Option<Logged<'_>> {
        let named = |logged: &Logged<'_>| {
            Some(logged.link.header.seqno) == link["seqno"].as_u64() && link["curr"] == hex(&logged.link.curr)
        };
        self.log.chain(identity).into_iter().find(named)
    }

    fn own_link(&self) -> Option<Logged<'_>> {
        self.find(self.link.header.identity, &self.body["link"])
    }

    fn retract(&mut self) {
        let may_be_taken = self.own_link().is_some_and(|own| match own.link.header.link_type {
            RECEIPT | FEEDBACK | ATTEST => true,
            NOTICE => own.body["kind"] != "bind" && own.body["kind"] != "release",
            _ => false,
        });
        let seqno = self.body["link"]["seqno"].as_u64().unwrap();
        let is_again = self.log.is_retracted(self.link.header.identity, seqno);
        if is_again {
            note("retracted again");
        }
        self.refuse_if(!may_be_taken || is_again, "bad_reference");
    }

    fn notice(&mut self) {
        let kind = self.body["kind"].as_str().unwrap();
        let issuer = self.link.header.identity;
        let subject = self.subject();
        if kind != "bind" && kind != "release" {
            return;
        }
        self.refuse_if(!self.log.registrars().contains(&issuer), "unauthorised");
        let name = self.body["name"].as_str().unwrap();
        let domains = self.log.domains();
        let holder = domains.iter().find(|(held, _)| held == name).map(|(_, holder)| *holder);
        if kind == "release" {
            self.refuse_if(holder.is_none() || holder != subject, "bad_reference");
            return;
        }
        self.refuse_if(holder.is_some(), "name_taken");
        let Some(subject) = subject else { return };
        let count = domains.iter().filter(|(_, holder)| *holder == subject).count();
        self.refuse_if(self.log.status(subject) == "revoked" || count >= 8, "bad_reference");
        if count >= 8 {
            note("a ninth domain name");
        }
    }
}
