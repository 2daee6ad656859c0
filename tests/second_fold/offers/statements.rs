//! What identities say of each other, right and wrong.

use serde_json::{Value, json};

use super::super::body::hex;
use super::super::link::{ACTION, ATTEST, FEEDBACK, NOTICE, RECEIPT};
use super::super::log::Logged;
use super::{Author, CAPABILITIES, KINDS, Place};

impl Author {
    pub(super) fn statement(&mut self, place: &Place<'_>, link_type: u16) -> Value {
        let subject = self.other(place);
        let mut body = json!({"v": 1, "subject": hex(&subject)});
        match link_type {
            FEEDBACK => {
                let most = if self.is_wrong() { 101 } else { 100 };
                body["value"] = self.random.within(most.min(101) - 100, most).into();
                if self.random.percent(30) {
                    body["tag"] = "speed".into();
                }
            }
            ATTEST => {
                body["capabilities"] = self.random.pick(&[json!(CAPABILITIES), json!(["a"])]).unwrap();
                body["scope"] = "here".into();
                body["expires_ms"] = place.now.into();
                body["conditions"] = json!({"require_hosts": ["h1", "h2"]});
            }
            _ => {}
        }
        let is_linked = link_type == RECEIPT || (link_type == FEEDBACK && self.random.percent(70));
        if is_linked {
            let chain = place.log.chain(subject);
            let actions: Vec<Logged<'_>> =
                chain.iter().copied().filter(|logged| logged.link.header.link_type == ACTION).collect();
            let newest = actions[actions.len().saturating_sub(3)..].to_vec();
            let link = if self.is_wrong() { self.random.pick(&chain) } else { self.random.pick(&newest) };
            body["link"] = self.link(link);
        }
        body
    }

    fn link(&mut self, link: Option<Logged<'_>>) -> Value {
        let (mut curr, mut seqno) = link.map_or(([5; 32], 1), |logged| (logged.link.curr, logged.link.header.seqno));
        match self.random.below(60) {
            0 => curr[0] ^= 1,
            1 => seqno += 1,
            2 => seqno -= 1,
            _ => {}
        }
        json!({"curr": hex(&curr), "seqno": seqno})
    }

    pub(super) fn retract(&mut self, place: &Place<'_>) -> Value {
        let chain = place.log.chain(place.identity);
        let types = [RECEIPT, FEEDBACK, ATTEST, NOTICE];
        let fitting: Vec<Logged<'_>> =
            chain.iter().copied().filter(|logged| types.contains(&logged.link.header.link_type)).collect();
        let newest = fitting[fitting.len().saturating_sub(4)..].to_vec();
        let own = match self.random.below(20) {
            0 => self.random.pick(&chain),
            1 => self.random.pick(&place.log.links().collect::<Vec<_>>()),
            2..=6 => self.random.pick(&fitting),
            _ => self.random.pick(&newest),
        };
        json!({"v": 1, "link": self.link(own)})
    }

    pub(super) fn notice(&mut self, place: &Place<'_>) -> Value {
        let kind = self.random.weighed(KINDS);
        let mut subject = self.other(place);
        let mut name = format!("n{}.example", self.random.below(14));
        if kind == "bind" && self.random.percent(60) {
            // One that gets as many as there may be.
            subject = place.log.identities().last().copied().unwrap();
        }
        if kind == "release"
            && !self.is_wrong()
            && let Some((held, holder)) = self.random.pick(&place.log.domains())
        {
            (name, subject) = (held, holder);
        }
        let mut body = json!({"v": 1, "subject": hex(&subject), "kind": kind});
        if (kind == "bind" || kind == "release") != self.is_wrong() {
            body["name"] = name.into();
        }
        if kind == "violation" {
            body["severity"] = self.random.pick(&["critical", "high", "medium", "low"]).unwrap().into();
            body["blocked"] = self.random.percent(50).into();
        }
        if self.random.percent(20) {
            body["reason"] = self.reason().into();
        }
        body
    }

    pub(super) fn policy(&mut self, place: &Place<'_>) -> Value {
        let mut body = json!({"v": 1, "scoring": "beta/1"});
        for (member, chance) in [("registrars", 80), ("pretrust", 30)] {
            let mut ids = self.random.some_of(&place.log.identities(), 40);
            ids.sort_unstable();
            if self.is_wrong() {
                ids.push([0xff; 32]);
            }
            if self.random.percent(chance) && (!ids.is_empty() || self.is_wrong()) {
                body[member] = ids.iter().map(|id| hex(id)).collect();
            }
        }
        if self.random.percent(20) {
            body["rules"] = if self.is_wrong() { 2 } else { 1 }.into();
        }
        body
    }
}
