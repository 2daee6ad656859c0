//! The whole list of entries, and the questions of §4 and §6 answered by reading it from the start.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Value, json};

use super::body::{b64_32, hex, id};
use super::cases::note;
use super::link::{GENESIS, Id, Link, NOTICE, POLICY, PROFILE, RECOVER, RETRACT, REVOKE_AGENT, Trailer, hash, kid_of};
use super::trees::{log_leaf, map_root};

pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

/// A log as somebody reads it.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) log_id: Id,
    pub(crate) entries: Vec<Rc<Entry>>,
}

pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaf: Id,
    pub(crate) content: Content,
}

#[expect(clippy::large_enum_variant, reason = "most are links")]
pub(crate) enum Content {
    /// With the body, where it is inline.
    Link(Link, Value),
    Trailer(Trailer),
}

/// A key of a record.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) kid: Id,
    pub(crate) pk: Id,
    pub(crate) pk_text: String,
    pub(crate) roles: Vec<String>,
    pub(crate) added: u64,
    pub(crate) revoked: Option<u64>,
    pub(crate) suspect_from: Option<u64>,
    pub(crate) suspect_by: Option<u64>,
}

/// What key events make.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyState {
    pub(crate) keys: Vec<Key>,
    pub(crate) next: Option<Id>,
    pub(crate) custodian: Option<String>,
    /// Whether the newest event with `suspect_from` found a key to mark, or could.
    pub(crate) found_suspects: bool,
}

/// A notice that stands.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    pub(crate) issuer: Id,
    pub(crate) kind: String,
    pub(crate) index: u64,
    /// It counts as a registrar's.
    pub(crate) by_registrar: bool,
}

/// A link in the log.
#[derive(Clone, Copy)]
pub(crate) struct Logged<'a> {
    pub(crate) index: u64,
    pub(crate) link: &'a Link,
    pub(crate) body: &'a Value,
}

impl Log {
    pub(crate) fn new(log_id: Id) -> Self {
        Self { log_id, entries: Vec::new() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Puts an entry at the end. It was judged before.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let content = if let Some(trailer) = Trailer::parse(bytes) {
            Content::Trailer(trailer)
        } else {
            let link = Link::parse(bytes).expect("it was judged before");
            let body = serde_json::from_slice(&link.body).unwrap_or(Value::Null);
            Content::Link(link, body)
        };
        self.entries.push(Rc::new(Entry { bytes: bytes.to_vec(), leaf: log_leaf(bytes), content }));
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = Logged<'_>> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.content {
            Content::Link(link, body) => Some(Logged { index: index as u64, link, body }),
            Content::Trailer(_) => None,
        })
    }

    pub(crate) fn trailers(&self) -> impl Iterator<Item = (u64, &Trailer)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.content {
            Content::Trailer(trailer) => Some((index as u64, trailer)),
            Content::Link(..) => None,
        })
    }

    pub(crate) fn chain(&self, identity: Id) -> Vec<Logged<'_>> {
        self.links().filter(|logged| logged.link.chain() == identity).collect()
    }

    pub(crate) fn identities(&self) -> Vec<Id> {
        self.links().filter(|logged| logged.link.header.link_type == GENESIS).map(|logged| logged.link.curr).collect()
    }

    pub(crate) fn exists(&self, identity: Id) -> bool {
        self.identities().contains(&identity)
    }

    pub(crate) fn registrar(&self) -> Id {
        self.identities()[0]
    }

    fn genesis(&self, identity: Id) -> Logged<'_> {
        self.chain(identity)[0]
    }

    /// Log time for the entry at an index.
    pub(crate) fn log_time(&self, at: u64) -> u64 {
        self.trailers().filter(|(index, _)| *index < at).last().map_or(0, |(_, trailer)| trailer.log_time)
    }

    /// What has passed since the link at an index, for the entry at another.
    pub(crate) fn passed(&self, since: u64, at: u64) -> u64 {
        let sealed = self.trailers().find(|(index, _)| *index > since && *index < at);
        sealed.map_or(0, |(_, trailer)| self.log_time(at) - trailer.log_time)
    }

    pub(crate) fn registrars(&self) -> Vec<Id> {
        let policy = self.links().filter(|logged| logged.link.header.link_type == POLICY).last();
        let named = policy.and_then(|policy| policy.body.get("registrars")).map(ids);
        named.unwrap_or_else(|| vec![self.registrar()])
    }

    /// Ids and threshold.
    pub(crate) fn guardians(&self, identity: Id) -> (Vec<Id>, usize) {
        let guardians = self.genesis(identity).body.get("guardians");
        guardians.map_or((Vec::new(), usize::MAX), |value| {
            (ids(&value["ids"]), value["threshold"].as_u64().unwrap_or_default() as usize)
        })
    }

    /// The keys of a chain after its newest key event.
    pub(crate) fn key_state(&self, identity: Id) -> KeyState {
        let mut state = KeyState::default();
        for event in self.chain(identity).into_iter().filter(|logged| logged.link.is_key_event()) {
            self.apply_key_event(&mut state, event);
        }
        state
    }

    fn apply_key_event(&self, state: &mut KeyState, Logged { index, link, body }: Logged<'_>) {
        let link_type = link.header.link_type;
        let listed: Vec<Id> = key_list(body).into_iter().map(|(pk, _)| pk).collect();
        for key in state.keys.iter_mut().filter(|key| key.revoked.is_none()) {
            if !listed.contains(&key.pk) {
                key.revoked = Some(index);
            }
        }
        for (pk, roles) in key_list(body) {
            if !state.keys.iter().any(|key| key.pk == pk && key.revoked.is_none()) {
                state.keys.push(Key::new(pk, roles, index, None));
            }
        }
        if let Some(pk) = body.get("recovery").and_then(b64_32) {
            state.keys.push(Key::new(pk, vec!["recovery".into()], index, Some(index)));
        }
        if let Some(from) = body.get("suspect_from").and_then(Value::as_u64) {
            self.mark(state, link, from, body.get("recovery").is_some());
        }
        self.drop_retired(state, index);
        if let Some(next) = body.get("next").and_then(id) {
            state.next = Some(next);
        }
        if link_type != REVOKE_AGENT {
            state.custodian = body.get("custodian").and_then(Value::as_str).map(str::to_owned);
        } else if state.custodian.is_some() {
            note("a revoke_agent leaves the custodian");
        }
    }

    fn mark(&self, state: &mut KeyState, link: &Link, from: u64, by_next: bool) {
        if link.header.link_type == RECOVER {
            for key in state.keys.iter_mut().filter(|key| key.suspect_by.is_some_and(|by| by >= from)) {
                (key.suspect_from, key.suspect_by) = (None, None);
                note("a thief's mark is cleared");
            }
        }
        state.found_suspects = false;
        let Some(first) = self.chain(link.chain()).into_iter().find(|logged| logged.link.header.seqno == from) else {
            return;
        };
        for key in &mut state.keys {
            let was_live = key.revoked.is_some_and(|revoked| revoked >= first.index);
            if !was_live || key.roles == ["recovery"] {
                continue;
            }
            state.found_suspects = true;
            match key.suspect_from {
                None => {
                    key.suspect_from = Some(from);
                    key.suspect_by = (!by_next).then_some(link.header.seqno);
                    note(if by_next { "the next key marks" } else { "an admin key marks" });
                }
                Some(standing) if by_next && from < standing => {
                    (key.suspect_from, key.suspect_by) = (Some(from), None);
                    note("the next key lowers a mark");
                }
                Some(_) => note("a mark stays"),
            }
        }
    }

    fn drop_retired(&self, state: &mut KeyState, at: u64) {
        let mut retired: Vec<(u64, Id)> = state.keys.iter().filter_map(|key| Some((key.revoked?, key.kid))).collect();
        retired.sort_unstable();
        retired.reverse();
        let newest: BTreeSet<_> = retired.into_iter().take(64).collect();
        state.keys.retain(|key| {
            let Some(revoked) = key.revoked else { return true };
            let is_young = self.passed(revoked, at) <= 30 * DAY_MS;
            let is_newest = newest.contains(&(revoked, key.kid));
            match (is_newest, is_young) {
                (false, false) => note("a retired key is dropped"),
                (false, true) => note("a young key is kept beyond the 64"),
                (true, false) => note("an old key is kept among the 64"),
                (true, true) => {}
            }
            is_newest || is_young
        });
    }

    /// Whether a key was ever listed, or has signed as a recovery key.
    pub(crate) fn was_used(&self, pk: Id) -> bool {
        self.links().filter(|logged| logged.link.is_key_event()).any(|logged| {
            key_list(logged.body).iter().any(|(listed, _)| *listed == pk)
                || logged.body.get("recovery").and_then(b64_32) == Some(pk)
        })
    }

    /// The `revoke_agent` that stands, and whether the next key signed it.
    pub(crate) fn standing_revoke(&self, identity: Id) -> Option<(u64, bool)> {
        let newest = self
            .chain(identity)
            .into_iter()
            .rfind(|logged| logged.link.header.link_type == REVOKE_AGENT || logged.link.header.link_type == RECOVER);
        let revoke = newest.filter(|logged| logged.link.header.link_type == REVOKE_AGENT)?;
        Some((revoke.index, revoke.body.get("recovery").is_some()))
    }

    /// The link of an issuer that one of its retracts names.
    pub(crate) fn retracted(&self, retract: Logged<'_>) -> Logged<'_> {
        let seqno = retract.body["link"]["seqno"].as_u64();
        let chain = self.chain(retract.link.chain());
        chain.into_iter().find(|logged| Some(logged.link.header.seqno) == seqno).expect("it was judged before")
    }

    pub(crate) fn is_retracted(&self, issuer: Id, seqno: u64) -> bool {
        self.chain(issuer)
            .into_iter()
            .filter(|logged| logged.link.header.link_type == RETRACT)
            .any(|retract| retract.body["link"]["seqno"].as_u64() == Some(seqno))
    }

    /// Whether a receipt or feedback of the same issuer about the same link stands.
    pub(crate) fn has_said(&self, issuer: Id, link_type: u16, link: &Value) -> bool {
        self.chain(issuer).into_iter().any(|logged| {
            logged.link.header.link_type == link_type
                && logged.body.get("link") == Some(link)
                && !self.is_retracted(issuer, logged.link.header.seqno)
        })
    }

    /// Whether a receipt or feedback of the same issuer about the same link stands or stood.
    pub(crate) fn was_said(&self, issuer: Id, link_type: u16, link: &Value) -> bool {
        let said = |logged: &Logged<'_>| logged.link.header.link_type == link_type;
        self.chain(issuer).into_iter().filter(said).any(|logged| logged.body.get("link") == Some(link))
    }

    /// Whether a domain name was ever released.
    pub(crate) fn was_released(&self, name: &str) -> bool {
        let notices = self.links().filter(|logged| logged.link.header.link_type == NOTICE);
        notices.into_iter().any(|logged| logged.body["kind"] == "release" && logged.body["name"] == name)
    }

    /// The notices about a subject that stand.
    pub(crate) fn overlays(&self, subject: Id) -> Vec<Overlay> {
        let mut standing: Vec<Overlay> = Vec::new();
        if subject == self.registrar() {
            if self.links().any(|logged| logged.body["kind"] == "suspend" && logged.body["subject"] == hex(&subject)) {
                note("a notice about the registrar is no overlay");
            }
            return standing;
        }
        let guardians = if self.exists(subject) { self.guardians(subject).0 } else { Vec::new() };
        let mut so_far = Self::new(self.log_id);
        for (index, entry) in self.entries.iter().enumerate() {
            if let Content::Link(link, body) = &entry.content {
                let logged = Logged { index: index as u64, link, body };
                match link.header.link_type {
                    NOTICE if body["subject"] == hex(&subject) => {
                        so_far.apply_notice(&mut standing, logged, &guardians);
                    }
                    RETRACT => {
                        let taken = self.retracted(logged).index;
                        standing.retain(|overlay| overlay.index != taken || stands_retracted(overlay));
                    }
                    POLICY => {
                        let named = body.get("registrars").map_or_else(|| vec![self.registrar()], ids);
                        standing.retain_mut(|overlay| leave_office(overlay, &named, &guardians));
                    }
                    _ => {}
                }
            }
            so_far.entries.push(Rc::clone(entry));
        }
        standing.sort_by(|a, b| (a.issuer, &a.kind).cmp(&(b.issuer, &b.kind)));
        standing
    }

    /// `self` is the log before the notice.
    fn apply_notice(&self, standing: &mut Vec<Overlay>, logged: Logged<'_>, guardians: &[Id]) {
        let issuer = logged.link.chain();
        let by_registrar = self.registrars().contains(&issuer);
        if !by_registrar && !guardians.contains(&issuer) {
            return note("a notice by one without office");
        }
        if by_registrar && guardians.contains(&issuer) {
            note("a notice by one who is registrar and guardian");
        }
        let kind = logged.body["kind"].as_str().unwrap_or_default();
        match kind {
            "suspend" | "revoke" => {}
            "verified" if by_registrar => {}
            "unsuspend" => {
                let lifted = |overlay: &Overlay| overlay.issuer == issuer || (by_registrar && !overlay.by_registrar);
                if standing
                    .iter()
                    .any(|overlay| overlay.kind == "suspend" && overlay.issuer != issuer && lifted(overlay))
                {
                    note("a registrar lifts what a guardian said");
                }
                if standing.iter().any(|overlay| overlay.kind == "suspend" && !lifted(overlay)) {
                    note(if by_registrar {
                        "another registrar's suspend stays"
                    } else {
                        "a guardian lifts no other's suspend"
                    });
                }
                return standing.retain(|overlay| overlay.kind != "suspend" || !lifted(overlay));
            }
            "unverified" if by_registrar => {
                let lifts = standing.iter().any(|overlay| overlay.kind == "verified" && overlay.issuer != issuer);
                if lifts {
                    note("another registrar's verified is lifted");
                }
                return standing.retain(|overlay| overlay.kind != "verified");
            }
            _ => return,
        }
        if standing.iter().any(|overlay| overlay.issuer == issuer && overlay.kind == kind) {
            note("a newer notice takes the place of an older one");
        }
        standing.retain(|overlay| overlay.issuer != issuer || overlay.kind != kind);
        standing.push(Overlay { issuer, kind: kind.to_owned(), index: logged.index, by_registrar });
    }

    pub(crate) fn status(&self, identity: Id) -> &'static str {
        if self.standing_revoke(identity).is_some() || self.is_revoked_by_notices(identity) {
            return "revoked";
        }
        let is_suspended = self.overlays(identity).iter().any(|overlay| overlay.kind == "suspend");
        if is_suspended { "suspended" } else { "active" }
    }

    pub(crate) fn is_revoked_by_notices(&self, identity: Id) -> bool {
        let (guardians, threshold) = self.guardians(identity);
        let revokes: Vec<_> = self.overlays(identity).into_iter().filter(|overlay| overlay.kind == "revoke").collect();
        let by_guardians = revokes.iter().filter(|overlay| guardians.contains(&overlay.issuer)).count();
        let by_registrar = revokes.iter().any(|overlay| overlay.by_registrar);
        match (by_registrar, by_guardians) {
            (true, _) => note("revoked by a registrar"),
            (false, count) if count >= threshold => note("revoked by guardians"),
            (false, count) if count > 0 => note("fewer guardians than the threshold"),
            _ => {}
        }
        by_registrar || by_guardians >= threshold
    }

    /// Domain names that are held, and by whom.
    pub(crate) fn domains(&self) -> Vec<(String, Id)> {
        let mut held: Vec<(String, Id)> = Vec::new();
        for logged in self.links().filter(|logged| logged.link.header.link_type == NOTICE) {
            let name = logged.body.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            match logged.body["kind"].as_str() {
                Some("bind") => held.push((name, id(&logged.body["subject"]).unwrap())),
                Some("release") => held.retain(|(other, _)| *other != name),
                _ => {}
            }
        }
        held.sort();
        held
    }

    pub(crate) fn handles(&self) -> Vec<(String, Id)> {
        self.links()
            .filter(|logged| logged.link.header.link_type == GENESIS)
            .filter_map(|logged| Some((logged.body.get("name")?.as_str()?.to_owned(), logged.link.curr)))
            .collect()
    }

    /// The record of an identity, with zeros for evidence.
    pub(crate) fn record(&self, identity: Id) -> Value {
        let chain = self.chain(identity);
        let (genesis, head) = (chain[0], chain[chain.len() - 1]);
        let event = chain.iter().rfind(|logged| logged.link.is_key_event()).unwrap();
        let state = self.key_state(identity);
        let mut record = json!({
            "v": 1,
            "identity": hex(&identity),
            "status": self.status(identity),
            "verified": self.overlays(identity).iter().any(|overlay| overlay.kind == "verified"),
            "genesis_index": genesis.index,
            "seqno": head.link.header.seqno,
            "head": hex(&head.link.curr),
            "head_index": head.index,
            "key_head": hex(&event.link.curr),
            "keys": keys_json(state.keys),
            "overlays": self.overlays(identity).iter().map(|overlay| {
                json!({"issuer": hex(&overlay.issuer), "kind": overlay.kind, "index": overlay.index})
            }).collect::<Vec<_>>(),
            "evidence": {"epoch": 0, "r": 0, "s": 0},
        });
        let mut set = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                record[member] = value;
            }
        };
        for member in ["name", "guardians", "controller"] {
            set(member, genesis.body.get(member).cloned());
        }
        let domains: Vec<String> =
            self.domains().into_iter().filter(|(_, holder)| *holder == identity).map(|(name, _)| name).collect();
        set("domains", (!domains.is_empty()).then(|| domains.into()));
        set("next", state.next.map(|next| hex(&next).into()));
        set("custodian", state.custodian.map(Value::from));
        let profile = chain.iter().rfind(|logged| logged.link.header.link_type == PROFILE);
        set("profile", profile.map(|logged| hex(&hash(&[&logged.link.body])).into()));
        record
    }

    /// The root of the state map over the given records.
    pub(crate) fn state_root(&self, records: &[(Id, Vec<u8>)]) -> Id {
        let mut leaves: Vec<(Id, Id)> = records
            .iter()
            .map(|(identity, record)| {
                (hash(&[b"soulchain/map/id/v1\n", identity]), hash(&[b"soulchain/staterec/v1\n", record]))
            })
            .collect();
        for (name, holder) in self.handles().into_iter().chain(self.domains()) {
            let key = hash(&[b"soulchain/map/name/v1\n", name.as_bytes()]);
            leaves.push((key, hash(&[b"soulchain/namerec/v1\n", &holder])));
        }
        map_root(&leaves, 0)
    }
}

impl Key {
    fn new(pk: Id, roles: Vec<String>, added: u64, revoked: Option<u64>) -> Self {
        let pk_text = super::body::write_b64u(&pk);
        Self { kid: kid_of(&pk), pk, pk_text, roles, added, revoked, suspect_from: None, suspect_by: None }
    }

    pub(crate) fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held == role)
    }
}

/// Whether a notice stands when these are the registrars from now on.
fn leave_office(overlay: &mut Overlay, registrars: &[Id], guardians: &[Id]) -> bool {
    if !overlay.by_registrar || registrars.contains(&overlay.issuer) {
        return true;
    }
    overlay.by_registrar = false;
    let stays = overlay.kind != "verified" && guardians.contains(&overlay.issuer);
    note(if stays { "a guardian leaves office and its notice stays" } else { "a notice ends with the office" });
    stays
}

/// Whether a notice stands though it was retracted: never. It notes which kind was.
fn stands_retracted(overlay: &Overlay) -> bool {
    note(match overlay.kind.as_str() {
        "suspend" => "a suspend is retracted",
        "revoke" => "a revoke is retracted",
        _ => "a verified is retracted",
    });
    false
}

fn keys_json(mut keys: Vec<Key>) -> Value {
    keys.sort_by_key(|key| key.kid);
    let each = keys.into_iter().map(|key| {
        let mut json =
            json!({"kid": hex(&key.kid), "pk": key.pk_text, "alg": "ed25519", "roles": key.roles, "added": key.added});
        let rest = [("revoked", key.revoked), ("suspect_from", key.suspect_from), ("suspect_by", key.suspect_by)];
        for (member, value) in rest {
            if let Some(value) = value {
                json[member] = value.into();
            }
        }
        json
    });
    each.collect()
}

/// Public keys and roles of `keys`, where a body has them.
pub(crate) fn key_list(body: &Value) -> Vec<(Id, Vec<String>)> {
    let list = body.get("keys").and_then(Value::as_array);
    let keys = list.into_iter().flatten().filter_map(|key| {
        let roles = key.get("roles")?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Some((b64_32(key.get("pk")?)?, roles))
    });
    keys.collect()
}

pub(crate) fn ids(value: &Value) -> Vec<Id> {
    value.as_array().into_iter().flatten().filter_map(id).collect()
}
