//! A log that a test writes: honest as long as the test is, with the files that its operator would publish.

use std::collections::BTreeMap;

use soulchain::audit::{Source, SourceError, TileBytes};
use soulchain::ed25519::SigningKey;
use soulchain::encoding::UnixMillis;
use soulchain::hash::Hash;
use soulchain::merkle::{EMPTY_ROOT, LeafIndex, TreeSize, leaf_hash, node_hash};
use soulchain::registry::{Registry, Replay};
use soulchain::soul::{
    Body, Curr, Genesis, Header, Identity, KeyEntry, Kid, LINK_ENTRY_KIND, Link, LinkType, LogId, Outcome, Pop,
    Profile, ReadLink, Roles, Seqno, Trailer, commit_inline, kid, next_commitment, pop_message,
};
use soulchain::tlog::{Checkpoint, Ed25519Signer, KeyName, NoteSigner as _, Origin, Policy, TileId, sign_checkpoint};

pub(crate) const ORIGIN: &str = "log.example/audited";
pub(crate) const LOG_KEY: u8 = 200;
pub(crate) const BOTH: Roles = Roles { act: true, admin: true };
pub(crate) const ACT: Roles = Roles { act: true, admin: false };

/// Log time of the first trailer.
pub(crate) const START: u64 = 1_700_000_000_000;

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

pub(crate) fn kid_of(n: u8) -> Kid {
    kid(key(n).public().as_bytes())
}

pub(crate) fn log_id() -> LogId {
    LogId::of_origin(ORIGIN)
}

pub(crate) fn listed(keys: &[(u8, Roles)]) -> Vec<KeyEntry> {
    let mut keys: Vec<_> = keys.iter().map(|(n, roles)| KeyEntry::new(*key(*n).public().as_bytes(), *roles)).collect();
    keys.sort_by_key(|key| key.kid);
    keys
}

/// The end of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agent {
    pub(crate) identity: Identity,
    pub(crate) seqno: Seqno,
    pub(crate) prev: Curr,
    pub(crate) auth: Curr,
    /// Its key, which may do everything.
    pub(crate) key: u8,
}

/// A log, and what an honest operator knows of it.
pub(crate) struct Log {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) registry: Registry,
    replay: Replay,
    pub(crate) time: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), registry: Registry::new(log_id()), replay: Replay::new(log_id()), time: START }
    }

    /// A log with its registrar, sealed, and two agents, sealed: entries 0 to 4.
    pub(crate) fn with_agents() -> (Self, Agent, Agent) {
        let mut log = Self::new();
        log.found(10, Some("registrar"), &[(10, BOTH)]);
        log.seal();
        let alpha = log.found(1, Some("alpha"), &[(1, BOTH), (2, ACT)]);
        let beta = log.found(3, Some("beta"), &[(3, BOTH)]);
        log.seal();
        (log, alpha, beta)
    }

    /// The index of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Appends an entry that has no effect: what a rule forbids.
    pub(crate) fn push_raw(&mut self, entry: Vec<u8>) -> u64 {
        let _ = self.replay.push(&entry);
        self.entries.push(entry);
        self.next() - 1
    }

    /// Appends a link that every rule allows.
    pub(crate) fn push(&mut self, link: &Link) -> u64 {
        let read = ReadLink::read(link.clone(), None, log_id()).unwrap();
        let verified = self.registry.verify(read).unwrap();
        let index = LeafIndex::new(self.next());
        let admitted = self.registry.judge(index, &verified, self.replay.history()).unwrap();
        self.registry.apply(&admitted);
        self.push_raw(link.entry().to_vec())
    }

    pub(crate) fn found(&mut self, signer: u8, name: Option<&str>, keys: &[(u8, Roles)]) -> Agent {
        let link = self.genesis(signer, name, keys);
        self.push(&link);
        Agent::of(&link, signer)
    }

    pub(crate) fn genesis(&self, signer: u8, name: Option<&str>, keys: &[(u8, Roles)]) -> Link {
        let nobody =
            Agent { identity: Identity::ZERO, seqno: Seqno::new(0), prev: Curr::ZERO, auth: Curr::ZERO, key: signer };
        let others: Vec<u8> = keys.iter().map(|(n, _)| *n).filter(|n| *n != signer).collect();
        let body = Body::Genesis(Genesis {
            name: name.map(Into::into),
            keys: listed(keys),
            next: Some(next_commitment(key(100 + signer).public().as_bytes())),
            guardians: None,
            controller: None,
            custodian: None,
            pop: nobody.pops(&others),
        });
        self.link(&nobody, signer, &body)
    }

    /// The next link of an agent.
    pub(crate) fn link(&self, agent: &Agent, signer: u8, body: &Body) -> Link {
        self.link_with(agent, signer, body, |_| {})
    }

    /// The same with a header that is changed before it is signed.
    pub(crate) fn link_with(&self, agent: &Agent, signer: u8, body: &Body, change: impl FnOnce(&mut Header)) -> Link {
        self.link_of(agent, signer, body.link_type(), &body.to_bytes().unwrap_or_default(), change)
    }

    /// The same with a body of any bytes.
    pub(crate) fn link_of(
        &self,
        agent: &Agent,
        signer: u8,
        link_type: LinkType,
        bytes: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Link {
        let mut header = Header {
            log_id: log_id(),
            identity: agent.identity,
            seqno: agent.seqno.next(),
            prev: agent.prev,
            auth: agent.auth,
            link_type,
            inline: !bytes.is_empty(),
            outcome: Outcome::None,
            ctime: UnixMillis::new(self.time),
            anchor_size: 0,
            anchor_root: Hash::ZERO,
            kid: kid_of(signer),
            body_len: bytes.len() as u32,
            body_commit: commit_inline(bytes),
        };
        change(&mut header);
        let message = header.to_bytes();
        let sig = key(signer).sign(&message);
        Link::parse_entry(&[&[LINK_ENTRY_KIND][..], &message, &sig, bytes].concat()).unwrap()
    }

    /// Appends an action of an agent by its own key.
    pub(crate) fn act(&mut self, agent: &mut Agent) -> u64 {
        let link = self.link(agent, agent.key, &Body::Action(None));
        agent.advance(&link);
        self.push(&link)
    }

    /// Appends a trailer that is true.
    pub(crate) fn seal(&mut self) -> u64 {
        self.time += 1000;
        let index = LeafIndex::new(self.next());
        let (trailer, _) = self.registry.seal(index, UnixMillis::new(self.time));
        self.push_raw(trailer.to_bytes().into())
    }

    /// The trailer that would be true, after which the state is as before: it may be changed and appended raw.
    pub(crate) fn true_trailer(&mut self) -> Trailer {
        self.time += 1000;
        let index = LeafIndex::new(self.next());
        let mut trailer = Trailer {
            covers: index,
            map_root: [0; 32],
            identities: self.registry.identities(),
            log_time: UnixMillis::new(self.time),
        };
        match self.registry.check_trailer(index, &trailer) {
            Err(soulchain::registry::TrailerFault::MapRoot(root)) => trailer.map_root = root,
            other => panic!("a root of zeros is wrong, and nothing else: {other:?}"),
        }
        trailer
    }

    pub(crate) fn root(&self) -> Hash {
        root(&self.leaves())
    }

    pub(crate) fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    /// The files of this log.
    pub(crate) fn files(&self) -> Files {
        let mut files = Files::default();
        let mut hashes = self.leaves();
        for level in 0.. {
            for (index, tile) in hashes.chunks(256).enumerate() {
                let bytes = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
                files.put(&format!("tile/{level}"), index, tile.len(), bytes);
            }
            hashes = hashes.chunks_exact(256).map(root).collect();
            if hashes.is_empty() {
                break;
            }
        }
        for (index, bundle) in self.entries.chunks(256).enumerate() {
            let framed = bundle.iter().flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat());
            files.put("tile/entries", index, bundle.len(), framed.collect());
        }
        files.sign(ORIGIN, LOG_KEY, self.next(), self.root());
        files
    }
}

impl Agent {
    pub(crate) fn of(genesis: &Link, key: u8) -> Self {
        let curr = genesis.curr();
        Self { identity: curr.into(), seqno: Seqno::FIRST, prev: curr, auth: curr, key }
    }

    /// Its chain ends with this link now.
    pub(crate) fn advance(&mut self, link: &Link) {
        (self.seqno, self.prev) = (link.header().seqno, link.curr());
        if link.header().link_type.is_key_event() {
            self.auth = link.curr();
        }
    }

    /// Proofs of possession of these keys, for its next link, which its own key signs.
    pub(crate) fn pops(&self, added: &[u8]) -> Vec<Pop> {
        let signer = kid_of(self.key);
        let pop = |n: &u8| {
            let message = pop_message(log_id(), self.identity, self.seqno.next(), signer, kid_of(*n));
            Pop { kid: kid_of(*n), sig: key(*n).sign(&message) }
        };
        let mut pops: Vec<_> = added.iter().map(pop).collect();
        pops.sort_by_key(|pop| pop.kid);
        pops
    }
}

/// What an operator serves, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files {
    fn put(&mut self, folder: &str, index: usize, width: usize, bytes: Vec<u8>) {
        assert!(index < 1000, "longer paths are the business of tlog's own tests");
        let partial = if width == 256 { String::new() } else { format!(".p/{width}") };
        self.0.insert(format!("{folder}/{index:03}{partial}"), bytes);
    }

    /// Puts a checkpoint there.
    pub(crate) fn sign(&mut self, origin: &str, signer: u8, size: u64, root: Hash) {
        let origin = Origin::parse(origin).unwrap();
        let signer = Ed25519Signer::from_seed(origin.key_name().clone(), &[signer; 32]);
        let checkpoint = Checkpoint::new(origin, TreeSize::new(size), root).unwrap();
        let note = sign_checkpoint(&checkpoint, &signer).unwrap();
        self.0.insert("checkpoint".into(), note.to_string().into_bytes());
    }

    pub(crate) fn change(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.0.get_mut(path).unwrap_or_else(|| panic!("there is no {path}")));
    }
}

impl Source for Files {
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.0["checkpoint"].clone())
    }

    fn tile(&self, tile: TileId) -> Result<TileBytes, SourceError> {
        Ok(self.0.get(&tile.to_string()).map_or(TileBytes::Missing, |bytes| TileBytes::Bytes(bytes.clone())))
    }

    fn fetches_at_once(&self) -> usize {
        2
    }
}

/// The vkey of the log.
pub(crate) fn vkey(signer: u8) -> String {
    let name = KeyName::parse(ORIGIN).unwrap();
    let signer = Ed25519Signer::from_seed(name, &[signer; 32]);
    assert_eq!(signer.name().as_str(), ORIGIN);
    signer.vkey().to_string()
}

/// A policy that believes the log's key.
pub(crate) fn policy() -> Policy {
    Policy::parse(format!("log {}\nquorum none\n", vkey(LOG_KEY)).as_bytes()).unwrap()
}

/// RFC 6962, section 2.1, as it is written.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}

/// A profile, which only an admin key may sign.
pub(crate) fn profile(text: &str) -> Body {
    Body::Profile(Profile { description: Some(text.into()), ..Profile::default() })
}
