//! From links as they arrive to a place in the log: everything that can be done before the sequencer, on all cores.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;

use super::facts::{Facts, link_at};
use super::machine::{Checked, Group, NodeState, Position, RegistryMachine, chain_of};
use super::{Node, View};
use crate::ed25519::PublicKey;
use crate::log::{Entry, ReadError, SubmitError};
use crate::merkle::LeafIndex;
use crate::registry::Refusal;
use crate::soul::{self, Beside, Header, Identity, KeyEntry, Link, LinkType, RawKey, ReadLink};

/// Types that this node admits. The fold knows the others; they come with what a node owes them (held chains, erasure,
/// reputation).
pub const ADMITTED_TYPES: [LinkType; 3] = [LinkType::Genesis, LinkType::Profile, LinkType::Action];

/// A link of a request, with the body that is kept beside the log.
pub type Submitted = (Link, Option<Beside>);

/// Where links were put, and the log right after.
pub struct Receipt {
    /// One for each link.
    pub placed: Vec<Position>,
    /// The log, durable, with all of them.
    pub view: Arc<View>,
    /// Whether all of them were there before.
    pub repeated: bool,
}

/// Why links were not appended.
#[derive(Debug)]
#[non_exhaustive]
pub enum AppendError<E = Infallible> {
    /// A link breaks a rule.
    Refused {
        /// Which one.
        at: usize,
        /// The rule.
        refusal: Refusal,
        /// The identity whose chain it is.
        identity: Identity,
    },
    /// A type that this node does not admit.
    Unsupported {
        /// Which one.
        at: usize,
        /// The type.
        link_type: LinkType,
    },
    /// The links of a request are consecutive links of one chain.
    NotOneChain {
        /// The first that is not.
        at: usize,
    },
    /// The engine took none of them.
    Engine(SubmitError<Infallible>),
    /// What the links ask of the past could not be read.
    Read(ReadError),
    /// The caller did not permit it.
    Denied(E),
}

/// How often a submission that lost a race to itself is looked up again.
const RACES: usize = 3;

impl Node {
    /// Appends consecutive links of one chain. Those at the front that are logged already are answered with their first
    /// place; the rest is appended whole or not at all, if the caller permits so many links of that identity: it is asked
    /// once, after their signatures were checked.
    pub async fn append<E>(
        &self,
        links: Vec<Submitted>,
        permit: impl FnOnce(&Identity, usize) -> Result<(), E>,
    ) -> Result<Receipt, AppendError<E>> {
        let mut permit = Some(permit);
        check_types(&links)?;
        let identity = check_one_chain(&links)?;
        for _ in 0..RACES {
            let view = self.engine.view();
            let mut placed = self.logged_prefix(&view, &identity, &links).map_err(AppendError::Read)?;
            if placed.len() == links.len() {
                return Ok(Receipt { placed, view, repeated: true });
            }
            let skipped = placed.len();
            let group = self.check(&view, &links[skipped..], skipped, identity)?;
            if let Some(permit) = permit.take() {
                permit(&identity, links.len() - skipped).map_err(AppendError::Denied)?;
            }
            let pending = self.engine.submit(group).map_err(|error| engine_error(error, skipped, identity))?;
            match pending.answer().await {
                Ok(committed) => {
                    placed.extend(committed.answer);
                    return Ok(Receipt { placed, view: committed.view, repeated: false });
                }
                // The same links may have been on their way twice: if so, they are logged now.
                Err(SubmitError::Refused(refused))
                    if matches!(
                        refused.refusal,
                        Refusal::Conflict(_) | Refusal::NameTaken(_) | Refusal::KeyInUse(_)
                    ) && self.is_logged(&identity, &links[skipped]) => {}
                Err(error) => return Err(engine_error(error, skipped, identity)),
            }
        }
        Err(AppendError::Engine(SubmitError::Overloaded))
    }

    /// The places of those links at the front that are logged.
    fn logged_prefix(&self, view: &View, identity: &Identity, links: &[Submitted]) -> Result<Vec<Position>, ReadError> {
        let log = self.engine.reader(view);
        let Some(state) = view.state().identity(identity) else { return Ok(Vec::new()) };
        let head = state.record.head;
        let mut placed = Vec::new();
        for (link, _) in links {
            let (seqno, curr) = (link.header().seqno, link.curr());
            if seqno > head.seqno {
                break;
            }
            let index = if curr == head.curr { Some(head.index) } else { Self::find(view, log, identity, link)? };
            match index {
                Some(index) => placed.push(Position { index, curr, seqno }),
                None => break,
            }
        }
        Ok(placed)
    }

    fn find(
        view: &View,
        log: crate::log::LogReader<'_>,
        identity: &Identity,
        link: &Link,
    ) -> Result<Option<LeafIndex>, ReadError> {
        let found = link_at(view.state(), log, identity, link.header().seqno)?;
        Ok(found.filter(|(_, logged)| logged.curr() == link.curr()).map(|(index, _)| index))
    }

    fn is_logged(&self, identity: &Identity, first: &Submitted) -> bool {
        let view = self.engine.view();
        self.logged_prefix(&view, identity, std::slice::from_ref(first)).is_ok_and(|placed| !placed.is_empty())
    }

    /// Reads, verifies, and looks up what the links ask of the past.
    fn check<E>(
        &self,
        view: &View,
        links: &[Submitted],
        skipped: usize,
        identity: Identity,
    ) -> Result<Group, AppendError<E>> {
        let log = self.engine.reader(view);
        let mut keys = RequestKeys { state: view.state(), newest: None };
        let mut checked = Vec::with_capacity(links.len());
        for (at, (link, beside)) in links.iter().enumerate() {
            let refused = |refusal| AppendError::Refused { at: at + skipped, refusal, identity };
            let read = ReadLink::read(link.clone(), beside.clone(), self.log_id);
            let read = read.map_err(|refusal| refused(Refusal::Link(refusal)))?;
            check_early(view.state(), read.header(), at).map_err(refused)?;
            let key = keys.signer(&read).map_err(refused)?;
            let key = self.public_key(&key).ok_or(refused(Refusal::Link(soul::Refusal::Signature)))?;
            let link = read.verify(&key).map_err(|refusal| refused(Refusal::Link(refusal)))?;
            keys.note(link.body().keys());
            let facts = Facts::resolve(&link, view.state(), log).map_err(AppendError::Read)?;
            let entry = Entry::new(Bytes::copy_from_slice(link.entry())).expect("a link fits into an entry");
            checked.push(Checked { link, facts, entry });
        }
        Ok(Group { links: checked })
    }

    /// A key whose point has been decoded: what busy agents sign with is decoded once.
    fn public_key(&self, key: &RawKey) -> Option<PublicKey> {
        self.public_keys.get(key).or_else(|| {
            let decoded = PublicKey::from_bytes(key)?;
            self.public_keys.insert(*key, decoded);
            Some(decoded)
        })
    }
}

/// The keys of a chain as of the committed state and the links of the request so far.
struct RequestKeys<'a> {
    state: &'a NodeState,
    newest: Option<Vec<KeyEntry>>,
}

impl RequestKeys<'_> {
    fn signer(&self, link: &ReadLink) -> Result<RawKey, Refusal> {
        if let Some(key) = link.named_signer().map_err(Refusal::Link)? {
            return Ok(*key);
        }
        let kid = link.header().kid;
        match &self.newest {
            // Which role it needs is judged at admission.
            Some(keys) => keys.iter().find(|key| key.kid == kid).map(|key| key.pk).ok_or(Refusal::Unauthorised(kid)),
            None => self.state.snapshot.signer_key(link.header(), link.body()),
        }
    }

    fn note(&mut self, keys: Option<&[KeyEntry]>) {
        if let Some(keys) = keys {
            self.newest = Some(keys.to_vec());
        }
    }
}

/// Refuses at once what the committed state refuses for good, so that it costs no signature check: a place in the chain
/// that is taken. The first link alone can be told; the others follow it.
fn check_early(state: &NodeState, header: &Header, at: usize) -> Result<(), Refusal> {
    if at > 0 || header.link_type == LinkType::Genesis {
        return Ok(());
    }
    let Some(known) = state.identity(&header.identity) else {
        return Err(Refusal::UnknownIdentity(header.identity));
    };
    let head = known.record.head;
    if header.seqno <= head.seqno {
        let end = crate::registry::ChainEnd { head, auth: known.record.standing.key_head };
        return Err(Refusal::Conflict(Some(end)));
    }
    Ok(())
}

fn check_types<E>(links: &[Submitted]) -> Result<(), AppendError<E>> {
    let unsupported = |(link, _): &Submitted| !ADMITTED_TYPES.contains(&link.header().link_type);
    match links.iter().position(unsupported) {
        Some(at) => Err(AppendError::Unsupported { at, link_type: links[at].0.header().link_type }),
        None => Ok(()),
    }
}

fn check_one_chain<E>(links: &[Submitted]) -> Result<Identity, AppendError<E>> {
    let Some((first, _)) = links.first() else { return Err(AppendError::NotOneChain { at: 0 }) };
    let identity = chain_of(first);
    for (at, pair) in links.windows(2).enumerate() {
        let (before, after) = (&pair[0].0, &pair[1].0);
        let follows = chain_of(after) == identity && after.header().seqno.get() == before.header().seqno.get() + 1;
        if !follows {
            return Err(AppendError::NotOneChain { at: at + 1 });
        }
    }
    Ok(identity)
}

fn engine_error<E>(
    error: SubmitError<<RegistryMachine as crate::log::Machine>::Refusal>,
    skipped: usize,
    identity: Identity,
) -> AppendError<E> {
    AppendError::Engine(match error {
        SubmitError::Refused(refused) => {
            return AppendError::Refused { at: refused.at + skipped, refusal: refused.refusal, identity };
        }
        SubmitError::Overloaded => SubmitError::Overloaded,
        SubmitError::NoSpace => SubmitError::NoSpace,
        SubmitError::TooLarge => SubmitError::TooLarge,
        SubmitError::ClockJumped => SubmitError::ClockJumped,
        SubmitError::Latched { may_be_logged } => SubmitError::Latched { may_be_logged },
        SubmitError::Closed => SubmitError::Closed,
    })
}
