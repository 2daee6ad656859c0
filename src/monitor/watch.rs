//! What happens to watched identities and names.
//!
//! Of the replay's first run, which is over the past, nothing is told but names that look like watched ones. Later, every
//! valid key event and notice is told once. What somebody else says is told of the subject.

use std::collections::BTreeMap;

use super::lookalike::looks_like;
use super::memory::Ledger;
use super::report::Kind;
use super::settings::WatchList;
use crate::merkle::LeafIndex;
use crate::registry::{Leaf, LinkName, Prepared, Registry, Replay, Said};
use crate::soul::{Body, Identity, NoticeKind, Seqno};

/// Most events that one round keeps; more are counted.
const MAX_EVENTS: usize = 100_000;

/// Watches entries as they come.
pub(super) struct Watcher<'a> {
    list: &'a WatchList,
    /// Whose names and identities are watched, with what to call them.
    watched: BTreeMap<Identity, String>,
    events: BTreeMap<u64, Event>,
    missed: u64,
}

/// Something that happened, not yet known to be valid.
struct Event {
    who: LinkName,
    what: What,
}

enum What {
    Genesis { name: Option<String>, is_watched: bool },
    Key { kind: Kind, live: Option<usize>, suspect_from: Option<Seqno> },
    Notice { subject: Identity, kind: NoticeKind, name: Option<String> },
    Retract(Seqno),
}

impl<'a> Watcher<'a> {
    /// Watches from a state on.
    pub(super) fn new(list: &'a WatchList, registry: Option<&Registry>) -> Self {
        let mut watched: BTreeMap<_, _> = list.identities.iter().map(|id| (*id, id.to_hex())).collect();
        for name in &list.names {
            if let Some(holder) = registry.and_then(|registry| registry.name(name)) {
                watched.insert(holder, name.clone());
            }
        }
        Self { list, watched, events: BTreeMap::new(), missed: 0 }
    }

    /// Looks at an entry before it is judged.
    pub(super) fn see(&mut self, index: LeafIndex, entry: &Prepared) {
        let (Some(link), Some(who)) = (entry.link(), entry.name()) else { return };
        let Some(what) = self.what(who.identity, link.body()) else { return };
        if self.events.len() < MAX_EVENTS {
            self.events.insert(index.get(), Event { who, what });
        } else {
            self.missed += 1;
        }
    }

    /// The entry is not valid: it did not happen.
    pub(super) fn refused(&mut self, index: LeafIndex) {
        self.events.remove(&index.get());
    }

    fn what(&mut self, who: Identity, body: &Body) -> Option<What> {
        let is_watched = self.list.all || self.watched.contains_key(&who);
        let live = body.keys().map(<[_]>::len);
        let key = |kind| Some(What::Key { kind, live, suspect_from: body.suspect_from() });
        match body {
            Body::Genesis(genesis) => {
                let name = genesis.name.clone();
                let is_watched = self.takes(who, name.as_deref()) || is_watched;
                (is_watched || self.resembles(name.as_deref())).then_some(What::Genesis { name, is_watched })
            }
            Body::Keys(_) if is_watched => key(Kind::Keys),
            Body::Recover(_) if is_watched => key(Kind::Recovered),
            Body::RevokeAgent(_) if is_watched => key(Kind::Revoked),
            Body::Notice(notice) => {
                let (subject, name) = (notice.subject, notice.name.clone());
                let is_bind = notice.kind == NoticeKind::Bind;
                let takes = is_bind && self.takes(subject, name.as_deref());
                let is_watched = self.list.all || self.watched.contains_key(&subject) || takes;
                let is_told = is_watched || (is_bind && self.resembles(name.as_deref()));
                is_told.then_some(What::Notice { subject, kind: notice.kind, name })
            }
            Body::Retract(retract) => Some(What::Retract(retract.link.seqno)),
            _ => None,
        }
    }

    /// Whether somebody takes a watched name, and is watched from now on.
    fn takes(&mut self, who: Identity, name: Option<&str>) -> bool {
        let watched = name.and_then(|name| self.list.names.iter().find(|watched| *watched == name));
        watched.is_some_and(|name| {
            self.watched.insert(who, name.clone());
            true
        })
    }

    fn resembles(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.list.names.iter().any(|watched| looks_like(watched, name)))
    }

    /// Tells what happened from `told` on.
    pub(super) fn tell(self, told: u64, replay: &Replay, ledger: &mut Ledger) {
        for (index, event) in self.events.range(told..) {
            self.tell_event(*index, event, replay, ledger);
        }
        if self.missed > 0 {
            let text = format!("{} events more of watched identities are not told one by one", self.missed);
            ledger.happened(Kind::Notice, &format!("missed {told}"), text);
        }
    }

    fn tell_event(&self, index: u64, event: &Event, replay: &Replay, ledger: &mut Ledger) {
        let (who, seqno) = (self.call(event.who.identity), event.who.seqno);
        let fact = index.to_string();
        match &event.what {
            What::Genesis { name, is_watched } => {
                self.tell_lookalikes(name.as_deref(), event.who.identity, index, ledger);
                if *is_watched {
                    let named = name.as_ref().map_or_else(String::new, |name| format!(" under the name {name}"));
                    ledger.happened(Kind::Registered, &fact, format!("{who} was registered{named}, entry {index}"));
                }
            }
            What::Key { kind, live, suspect_from } => {
                let did = match (kind, live) {
                    (Kind::Recovered, Some(live)) => {
                        format!("was taken over by its recovery key; {live} keys are live now")
                    }
                    (Kind::Keys, Some(live)) => format!("has a new key set of {live} keys"),
                    _ => "was revoked".into(),
                };
                ledger.happened(*kind, &fact, format!("{who} {did} (seqno {seqno}, entry {index})"));
                if let Some(from) = suspect_from {
                    let text = format!("{who} disowns its links from seqno {from} on (seqno {seqno}, entry {index})");
                    ledger.happened(Kind::Disputed, &fact, text);
                }
            }
            What::Notice { subject, kind, name } => {
                self.tell_notice(index, event.who.identity, *subject, *kind, name.as_deref(), ledger);
            }
            What::Retract(seqno) => self.tell_retract(index, event.who.identity, *seqno, replay, ledger),
        }
    }

    fn tell_notice(
        &self,
        index: u64,
        issuer: Identity,
        subject: Identity,
        kind: NoticeKind,
        name: Option<&str>,
        ledger: &mut Ledger,
    ) {
        let (who, fact, name) = (self.call(subject), index.to_string(), name.unwrap_or_default());
        match kind {
            NoticeKind::Bind => {
                self.tell_lookalikes(Some(name), subject, index, ledger);
                if self.list.all || self.watched.contains_key(&subject) {
                    ledger.happened(Kind::NameBound, &fact, format!("{who} has the name {name} now, entry {index}"));
                }
            }
            NoticeKind::Release => {
                let text = format!("{who} has the name {name} no longer, entry {index}");
                ledger.happened(Kind::NameReleased, &fact, text);
            }
            kind => {
                let text = format!("{} of {who} by {issuer}, entry {index}", kind.as_str());
                ledger.happened(Kind::Notice, &fact, text);
            }
        }
    }

    fn tell_retract(&self, index: u64, issuer: Identity, seqno: Seqno, replay: &Replay, ledger: &mut Ledger) {
        let said = replay.history().link_at(&issuer, seqno).map(|link| link.said);
        if let Some(Said::Notice { subject, kind }) = said
            && (self.list.all || self.watched.contains_key(&subject))
        {
            let (who, kind) = (self.call(subject), kind.as_str());
            let text = format!("{issuer} took back the {kind} notice about {who} (seqno {seqno}), entry {index}");
            ledger.happened(Kind::Retraction, &index.to_string(), text);
        }
    }

    fn tell_lookalikes(&self, name: Option<&str>, holder: Identity, index: u64, ledger: &mut Ledger) {
        let Some(name) = name else { return };
        for watched in self.list.names.iter().filter(|watched| looks_like(watched, name)) {
            let text = format!("the name {name}, which looks like {watched}, is held by {holder} since entry {index}");
            ledger.happened(Kind::Lookalike, &format!("{name} {watched}"), text);
        }
    }

    /// Tells the names of a whole log that look like watched ones.
    pub(super) fn tell_all_lookalikes(&self, registry: &Registry, ledger: &mut Ledger) {
        if self.list.names.is_empty() {
            return;
        }
        for leaf in registry.committed().map() {
            let Leaf::Identity(held) = &leaf.payload else { continue };
            let state = held.state();
            let standing = &state.record.standing;
            for name in standing.name.iter().chain(&standing.domains) {
                self.tell_lookalikes(Some(name), state.record.identity, standing.genesis_index.get(), ledger);
            }
        }
    }

    fn call(&self, identity: Identity) -> String {
        match self.watched.get(&identity) {
            Some(name) if *name != identity.to_hex() => format!("{name} ({identity})"),
            _ => identity.to_hex(),
        }
    }
}
