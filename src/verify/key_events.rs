//! That a chain listed the signer, from its key events alone (formats.md §8, row `key`): neither log nor map is believed
//! for it. That the key was still live does not follow.
//!
//! Nothing of §4 is judged here but what that row says: not, say, whether a key was listed before.

use super::failure::{KeyEventFault, Why};
use crate::ed25519::PublicKey;
use crate::soul::{
    Body, Curr, Header, Identity, KeyEntry, Kid, Link, LinkType, LogId, Next, RawKey, ReadLink, Refusal, Seqno, kid,
    next_commitment,
};

/// The key that signed `link`, if its chain, founded by the first of `entries`, listed or committed to it.
pub(super) fn listed_key(entries: &[Vec<u8>], link: &ReadLink, log_id: LogId) -> Result<RawKey, Why> {
    let identity = link.header().identity;
    let mut chain: Option<Chain> = None;
    for (at, entry) in entries.iter().enumerate() {
        let next = read(entry, log_id).and_then(|event| match &chain {
            None => Chain::found(event, identity),
            Some(chain) => chain.follow(event),
        });
        chain = Some(next.map_err(|fault| Why::KeyEvent { at, fault })?);
    }
    let chain = chain.ok_or(Why::AfterKeyEvents(KeyEventFault::NotGenesis))?;
    chain.signer_of(link).map_err(Why::AfterKeyEvents)
}

/// What the key events so far make of a chain.
struct Chain {
    identity: Identity,
    seqno: Seqno,
    curr: Curr,
    /// As the newest of them lists them.
    keys: Vec<KeyEntry>,
    /// As the newest that sets it says.
    next: Option<Next>,
    /// Whether the recovery key ended it.
    ended: bool,
}

impl Chain {
    fn found(genesis: ReadLink, identity: Identity) -> Result<Self, KeyEventFault> {
        let curr = genesis.link().curr();
        if genesis.header().link_type != LinkType::Genesis || Identity::from(curr) != identity {
            return Err(KeyEventFault::NotGenesis);
        }
        let signer = genesis.named_signer().map_err(KeyEventFault::Refused)?;
        let signer = *signer.ok_or(KeyEventFault::NotGenesis)?;
        let before = Self { identity, seqno: Seqno::FIRST, curr, keys: Vec::new(), next: None, ended: false };
        before.after(genesis, &signer)
    }

    fn follow(&self, event: ReadLink) -> Result<Self, KeyEventFault> {
        let header = event.header();
        if !header.link_type.is_key_event() {
            return Err(KeyEventFault::NotKeyEvent(header.link_type));
        }
        let signer = self.signer_of(&event)?;
        // A recover brings a `next` too, in place of the one that it used up.
        let replaces = header.link_type == LinkType::Keys && self.next.is_some() && event.body().next().is_some();
        if replaces {
            return Err(KeyEventFault::NextReplaced);
        }
        self.check_pops_are_of_added(&event)?;
        self.after(event, &signer)
    }

    /// The key that has to have signed a link that comes after these events.
    fn signer_of(&self, link: &ReadLink) -> Result<RawKey, KeyEventFault> {
        let (header, body) = (link.header(), link.body());
        self.check_follows(header)?;
        let unlisted = KeyEventFault::Signer(header.kid);
        if let Some(recovery) = body.recovery() {
            let is_next = self.next == Some(next_commitment(recovery)) && kid(recovery) == header.kid;
            return if is_next { Ok(*recovery) } else { Err(unlisted) };
        }
        let role = body.signer_role();
        let listed = self.keys.iter().find(|key| key.kid == header.kid && key.roles.suffice_for(role));
        listed.map(|key| key.pk).ok_or(unlisted)
    }

    fn check_follows(&self, header: &Header) -> Result<(), KeyEventFault> {
        if header.identity != self.identity {
            return Err(KeyEventFault::OtherIdentity(header.identity));
        }
        if header.seqno <= self.seqno {
            return Err(KeyEventFault::Seqno(header.seqno));
        }
        if header.auth != self.curr {
            return Err(KeyEventFault::Auth);
        }
        if self.ended { Err(KeyEventFault::Ended) } else { Ok(()) }
    }

    /// Whether the proofs of possession are of exactly the keys that `event` adds. A key that signs is none of them: it
    /// was listed before, or is the recovery key, which no body lists.
    fn check_pops_are_of_added(&self, event: &ReadLink) -> Result<(), KeyEventFault> {
        let body = event.body();
        let is_added = |kid: Kid| self.keys.iter().all(|key| key.kid != kid);
        let is_proven = |kid: Kid| body.pops().iter().any(|pop| pop.kid == kid);
        let keys = body.keys().unwrap_or_default();
        if let Some(key) = keys.iter().find(|key| is_added(key.kid) && !is_proven(key.kid)) {
            return Err(KeyEventFault::PopMissing(key.kid));
        }
        match body.pops().iter().find(|pop| !is_added(pop.kid)) {
            Some(pop) => Err(KeyEventFault::PopNotAdded(pop.kid)),
            None => Ok(()),
        }
    }

    /// The chain after `event`, if that is signed by `signer` and its proofs of possession verify.
    fn after(&self, event: ReadLink, signer: &RawKey) -> Result<Self, KeyEventFault> {
        let signer = PublicKey::from_bytes(signer).ok_or(KeyEventFault::Refused(Refusal::Signature))?;
        let event = event.verify(&signer).map_err(KeyEventFault::Refused)?;
        let body = event.body();
        Ok(Self {
            identity: self.identity,
            seqno: event.header().seqno,
            curr: event.curr(),
            keys: body.keys().unwrap_or_default().to_vec(),
            next: body.next().or(self.next),
            ended: matches!(body, Body::RevokeAgent(revoke) if revoke.recovery.is_some()),
        })
    }
}

fn read(entry: &[u8], log_id: LogId) -> Result<ReadLink, KeyEventFault> {
    let link = Link::parse_entry(entry).map_err(|error| KeyEventFault::Refused(error.into()))?;
    ReadLink::read(link, None, log_id).map_err(KeyEventFault::Refused)
}
