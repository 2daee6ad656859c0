//! Key events, right and wrong.

use serde_json::{Map, Value, json};

use super::super::body::{hex, write_b64u};
use super::super::link::{Id, RECOVER, kid_of, pop_message};
use super::{Author, HANDLES, Place};

impl Author {
    pub(super) fn genesis(&mut self, place: &mut Place<'_>) -> Value {
        let mut body = Map::from_iter([("v".to_owned(), json!(1))]);
        if self.random.percent(60) {
            let name = self.random.pick(HANDLES).unwrap();
            body.insert("name".into(), name.into());
        }
        let others = place.log.identities();
        if self.random.percent(65) {
            let mut ids = self.random.some_of(&others, 60);
            ids.sort_unstable();
            let least = u64::from(!self.is_wrong());
            let threshold = self.random.within(least, ids.len().max(1) as u64);
            if !ids.is_empty() || self.is_wrong() {
                let ids: Vec<String> = ids.iter().map(|id| hex(id)).collect();
                body.insert("guardians".into(), json!({"ids": ids, "threshold": threshold}));
            }
        }
        for member in ["controller", "custodian"] {
            if self.random.percent(20) {
                body.insert(member.into(), self.identity(place.log).into());
            }
        }
        if self.random.percent(80) {
            body.insert("next".into(), hex(&self.new_next()).into());
        }
        (place.keys, place.next, place.identity) = (Vec::new(), None, [0; 32]);
        let count = self.random.within(1, 3);
        let keys = self.new_keys(count);
        let admin = keys.iter().find(|(_, roles)| roles.contains(&"admin".to_owned())).unwrap().0;
        let signer = if self.is_wrong() { keys[0].0 } else { admin };
        place.header.kid = kid_of(&signer);
        self.list(place, &mut body, keys);
        Value::Object(body)
    }

    pub(super) fn new_keys(&mut self, count: u64) -> Vec<(Id, Vec<String>)> {
        let mut keys: Vec<(Id, Vec<String>)> = Vec::new();
        for at in 0..count {
            let roles: &[&str] = match self.random.below(5) {
                _ if at == 0 => &["act", "admin"],
                0 => &["admin"],
                1 => &["act", "admin"],
                _ => &["act"],
            };
            keys.push((self.new_key(), roles.iter().map(|role| (*role).to_owned()).collect()));
        }
        keys
    }

    /// Puts a key set and its proofs of possession into a body.
    pub(super) fn list(&mut self, place: &Place<'_>, body: &mut Map<String, Value>, mut keys: Vec<(Id, Vec<String>)>) {
        if self.is_wrong() {
            let used: Vec<Id> = self.known_keys();
            keys.extend(self.random.pick(&used).map(|pk| (pk, vec!["act".to_owned()])));
        }
        keys.sort_by_key(|(pk, _)| kid_of(pk));
        let is_live = |pk: &Id| place.keys.iter().any(|key| key.pk == *pk && key.revoked.is_none());
        let added = keys.iter().map(|(pk, _)| *pk).filter(|pk| !is_live(pk) && kid_of(pk) != place.header.kid);
        let mut pops: Vec<Value> = Vec::new();
        for pk in added {
            let mut sig = self.keys[&pk].sign(&pop_message(&place.header, &kid_of(&pk)));
            if self.slip(100) == 0 {
                sig[3] ^= 1;
            }
            pops.push(json!({"kid": hex(&kid_of(&pk)), "sig": write_b64u(&sig)}));
        }
        if self.slip(50) == 0 {
            pops.pop();
        }
        if !pops.is_empty() {
            body.insert("pop".into(), pops.into());
        }
        let list: Vec<Value> =
            keys.iter().map(|(pk, roles)| json!({"alg": "ed25519", "pk": write_b64u(pk), "roles": roles})).collect();
        body.insert("keys".into(), list.into());
    }

    pub(super) fn key_event(&mut self, place: &mut Place<'_>, link_type: u16, most: u64) -> Value {
        let mut body = Map::from_iter([("v".to_owned(), json!(1))]);
        if link_type == RECOVER {
            self.sign_by_next(place, &mut body);
        } else {
            self.sign_by(place, "admin");
        }
        let stay = if most > 16 { 0 } else { self.random.pick(&[0, 70, 100]).unwrap() };
        let live: Vec<_> = place.keys.iter().filter(|key| key.revoked.is_none()).cloned().collect();
        let mut keys: Vec<_> = self.random.some_of(&live, stay).into_iter().map(|key| (key.pk, key.roles)).collect();
        let added = if most > 16 { 16 } else { self.random.within(0, most) };
        keys.extend(self.new_keys(added));
        keys.truncate(if self.is_wrong() { 17 } else { 16 });
        if keys.is_empty() {
            keys = self.new_keys(1);
        }
        if self.is_wrong() {
            keys[0].1 = vec!["admin".to_owned()];
        }
        let sets_next = if link_type == RECOVER { !self.is_wrong() } else { self.random.percent(15) };
        if sets_next {
            let known: Vec<Id> = place.next.into_iter().collect();
            let next = if self.is_wrong() { self.random.pick(&known) } else { None };
            let next = next.unwrap_or_else(|| self.new_next());
            body.insert("next".into(), hex(&next).into());
        }
        if self.is_wrong() {
            let of_next: Vec<Id> = place.next.and_then(|next| self.recovery.get(&next)).copied().into_iter().collect();
            keys.extend(of_next.into_iter().map(|pk| (pk, vec!["act".to_owned()])));
        }
        if self.random.percent(15) {
            body.insert("custodian".into(), self.identity(place.log).into());
        }
        self.suspect_from(place, &mut body);
        self.list(place, &mut body, keys);
        Value::Object(body)
    }

    fn suspect_from(&mut self, place: &Place<'_>, body: &mut Map<String, Value>) {
        if self.random.percent(35) {
            let seqno = place.header.seqno;
            let from = if self.random.percent(50) {
                let beyond = u64::from(self.is_wrong());
                self.random.within(seqno.saturating_sub(3), seqno + beyond)
            } else {
                self.random.within(1, seqno)
            };
            body.insert("suspect_from".into(), from.into());
        }
    }

    pub(super) fn revoke_agent(&mut self, place: &mut Place<'_>) -> Value {
        let mut body = Map::from_iter([("v".to_owned(), json!(1))]);
        body.insert("reason".into(), self.reason().into());
        if self.random.percent(25) {
            self.sign_by_next(place, &mut body);
        } else {
            self.sign_by(place, "admin");
        }
        self.suspect_from(place, &mut body);
        Value::Object(body)
    }

    pub(super) fn sign_by_next(&mut self, place: &mut Place<'_>, body: &mut Map<String, Value>) {
        let right = place.next.and_then(|next| self.recovery.get(&next)).copied();
        let mut known: Vec<Id> = self.recovery.values().copied().collect();
        known.sort_unstable();
        let other = self.random.pick(&known);
        let wrong = self.is_wrong();
        let pk = right.filter(|_| !wrong).or(other).unwrap_or_else(|| self.new_key());
        place.header.kid = kid_of(&pk);
        body.insert("recovery".into(), write_b64u(&pk).into());
    }
}
