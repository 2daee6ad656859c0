//! A log that admits whatever a test wants to prove of it: one identity, one record, no witness.

use std::sync::Arc;

use soulchain::ed25519::SigningKey;
use soulchain::encoding::UnixMillis;
use soulchain::hash::Hash;
use soulchain::map::{self, ProofKind, identity_key, identity_value};
use soulchain::merkle::{LeafIndex, TreeSize, leaf_hash, node_hash};
use soulchain::registry::{Evidence, Head, KeyRecord, KeyRoles, Record, Standing, Status};
use soulchain::soul::{
    Body, Curr, Genesis, Header, Identity, KeyEntry, Kid, LINK_ENTRY_KIND, Link, LinkType, LogId, Next, Outcome, Pop,
    RawKey, Roles, Seqno, Trailer, commit_inline, kid, next_commitment, pop_message,
};
use soulchain::tlog::{
    Checkpoint, Ed25519Signer, KeyName, NoteSigner as _, Origin, Policy, TlogProof, sign_checkpoint,
};
use soulchain::verify::{Extra, Failure, LinkExtra, Request, SignerState, StatePart, Verdict, verify};

const ORIGIN: &str = "log.example/own";

pub(super) const BOTH: Roles = Roles { act: true, admin: true };
pub(super) const ACT: Roles = Roles { act: true, admin: false };
pub(super) const ADMIN: Roles = Roles { act: false, admin: true };

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

pub(super) fn pk(n: u8) -> RawKey {
    *key(n).public().as_bytes()
}

pub(super) fn kid_of(n: u8) -> Kid {
    kid(&pk(n))
}

pub(super) fn next_of(n: u8) -> Next {
    next_commitment(&pk(n))
}

pub(super) fn listed(keys: &[(u8, Roles)]) -> Vec<KeyEntry> {
    let mut keys: Vec<_> = keys.iter().map(|(n, roles)| KeyEntry::new(pk(*n), *roles)).collect();
    keys.sort_by_key(|key| key.kid);
    keys
}

pub(super) fn log_id() -> LogId {
    LogId::of_origin(ORIGIN)
}

/// A genesis of key 1 alone, which may do everything, with key 50 as its recovery key.
pub(super) fn genesis() -> Body {
    Body::Genesis(Genesis {
        name: None,
        keys: listed(&[(1, BOTH)]),
        next: Some(next_of(50)),
        guardians: None,
        controller: None,
        custodian: None,
        pop: Vec::new(),
    })
}

/// A chain that is being written; each link names the one before and the newest key event.
#[derive(Clone, Default)]
pub(super) struct Chain {
    pub(super) identity: Identity,
    pub(super) links: Vec<Link>,
    auth: Curr,
}

impl Chain {
    /// The chain of the genesis above.
    pub(super) fn founded() -> Self {
        let mut chain = Self::default();
        chain.add(1, &genesis());
        chain
    }

    pub(super) fn add(&mut self, signer: u8, body: &Body) {
        self.add_changed(signer, body, |_| {});
    }

    /// Adds a link whose header is changed before it is signed.
    pub(super) fn add_changed(&mut self, signer: u8, body: &Body, change: impl FnOnce(&mut Header)) {
        let bytes = body.to_bytes().unwrap_or_default();
        let mut header = Header {
            log_id: log_id(),
            identity: self.identity,
            seqno: self.next_seqno(),
            prev: self.links.last().map_or(Curr::ZERO, Link::curr),
            auth: self.auth,
            link_type: body.link_type(),
            inline: !bytes.is_empty(),
            outcome: Outcome::None,
            ctime: UnixMillis::new(1),
            anchor_size: 0,
            anchor_root: Hash::ZERO,
            kid: kid_of(signer),
            body_len: bytes.len() as u32,
            body_commit: commit_inline(&bytes),
        };
        change(&mut header);
        let message = header.to_bytes();
        let sig = key(signer).sign(&message);
        let entry = [&[LINK_ENTRY_KIND][..], &message, &sig, &bytes].concat();
        let link = Link::parse_entry(&entry).unwrap();
        if header.link_type == LinkType::Genesis {
            self.identity = link.curr().into();
        }
        if header.link_type.is_key_event() {
            self.auth = link.curr();
        }
        self.links.push(link);
    }

    pub(super) fn next_seqno(&self) -> Seqno {
        Seqno::new(self.links.len() as u64 + 1)
    }

    /// Proofs of possession of these keys, for the next link.
    pub(super) fn pops(&self, signer: u8, added: &[u8]) -> Vec<Pop> {
        let pop = |n: &u8| {
            let message = pop_message(log_id(), self.identity, self.next_seqno(), kid_of(signer), kid_of(*n));
            Pop { kid: kid_of(*n), sig: key(*n).sign(&message) }
        };
        let mut pops: Vec<_> = added.iter().map(pop).collect();
        pops.sort_by_key(|pop| pop.kid);
        pops
    }

    pub(super) fn entry(&self, at: usize) -> Vec<u8> {
        self.links[at].entry().to_vec()
    }

    /// The entries of the key events before the link at this place.
    pub(super) fn key_events(&self, before: usize) -> Vec<Vec<u8>> {
        let events = self.links[..before].iter().filter(|link| link.header().link_type.is_key_event());
        events.map(|link| link.entry().to_vec()).collect()
    }

    /// The place in the log of the link at a place in the chain: something else is at index 0.
    pub(super) fn index(at: usize) -> LeafIndex {
        LeafIndex::new(at as u64 + 1)
    }

    /// A record that agrees with the chain, with these keys live since the genesis.
    pub(super) fn record(&self, keys: &[(u8, KeyRoles)]) -> Record {
        let newest = self.links.len() - 1;
        let mut keys: Vec<_> = keys.iter().map(|(n, roles)| key_record(*n, *roles)).collect();
        keys.sort_by_key(|key| key.kid);
        let standing = Standing {
            name: None,
            domains: Vec::new(),
            status: Status::Active,
            verified: false,
            genesis_index: Self::index(0),
            key_head: self.auth,
            keys,
            next: None,
            guardians: None,
            controller: None,
            custodian: None,
            profile: None,
            overlays: Vec::new(),
            evidence: Evidence::default(),
        };
        let head =
            Head { seqno: Seqno::new(newest as u64 + 1), curr: self.links[newest].curr(), index: Self::index(newest) };
        Record { identity: self.identity, head, standing: Arc::new(standing) }
    }

    /// Proves the link at a place in the chain, with whatever else the proof is to have.
    pub(super) fn prove(&self, at: usize, record: Option<&Record>, key_events: &[Vec<u8>]) -> Result<Verdict, Failure> {
        let bytes = record.map(Record::to_bytes);
        let tree = Tree::of(self, record);
        let state = bytes.map(|bytes| SignerState { path: tree.path(tree.last()), part: tree.part(Some(bytes)) });
        self.prove_with(at, &tree, state, key_events)
    }

    /// Proves it with a state that says that the map has only another identity.
    pub(super) fn prove_absent_signer(&self, at: usize) -> Result<Verdict, Failure> {
        let mut other = self.record(&[]);
        other.identity = Identity::from_bytes([9; 32]);
        let tree = Tree::of(self, Some(&other));
        let state = SignerState { path: tree.path(tree.last()), part: tree.part(None) };
        self.prove_with(at, &tree, Some(state), &[])
    }

    pub(super) fn prove_with(
        &self,
        at: usize,
        tree: &Tree,
        state: Option<SignerState>,
        key_events: &[Vec<u8>],
    ) -> Result<Verdict, Failure> {
        let extra = LinkExtra { entry: self.entry(at), disclosed: None, key_events: key_events.to_vec(), state };
        tree.judge(&Extra::Link(extra), Self::index(at).get() as usize, |_| {})
    }
}

pub(super) fn key_record(n: u8, roles: KeyRoles) -> KeyRecord {
    KeyRecord { kid: kid_of(n), pk: pk(n), roles, added: Chain::index(0), revoked: None, suspect: None }
}

/// The log's tree, and a map of one leaf.
pub(super) struct Tree {
    entries: Vec<Vec<u8>>,
    leaf: (map::MapKey, map::MapValue),
}

impl Tree {
    /// Something, the chain, and a trailer.
    pub(super) fn of(chain: &Chain, record: Option<&Record>) -> Self {
        let mut entries = vec![b"something".to_vec()];
        entries.extend(chain.links.iter().map(|link| link.entry().to_vec()));
        let (identity, bytes) = record.map_or((Identity::ZERO, Vec::new()), |r| (r.identity, r.to_bytes()));
        let leaf = (identity_key(identity.as_bytes()), identity_value(&bytes));
        let map_root = soulchain::hash::sha256(&[&[2], leaf.0.as_bytes(), leaf.1.as_bytes()]);
        let covers = LeafIndex::new(entries.len() as u64);
        let trailer = Trailer { covers, map_root, identities: 1, log_time: UnixMillis::new(5) };
        entries.push(trailer.to_bytes().to_vec());
        Self { entries, leaf }
    }

    /// The same tree after another batch, whose map is another.
    pub(super) fn grown(mut self) -> Self {
        self.entries.push(b"another thing".to_vec());
        let covers = LeafIndex::new(self.entries.len() as u64);
        let trailer = Trailer { covers, map_root: [0; 32], identities: 1, log_time: UnixMillis::new(6) };
        self.entries.push(trailer.to_bytes().to_vec());
        self
    }

    pub(super) fn last(&self) -> usize {
        self.entries.len() - 1
    }

    pub(super) fn path(&self, index: usize) -> Vec<Hash> {
        let leaves: Vec<_> = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
        path(&leaves, index)
    }

    /// The state: that this record is in the map, or that only another leaf is.
    pub(super) fn part(&self, record: Option<Vec<u8>>) -> StatePart {
        let kind = match record {
            Some(_) => ProofKind::Included,
            None => ProofKind::Other { key: self.leaf.0, value: self.leaf.1 },
        };
        let map = map::Proof::new(kind, 0, Vec::new(), Vec::new()).unwrap();
        StatePart { trailer: self.entries[self.last()].clone(), record, map }
    }

    pub(super) fn judge(
        &self,
        extra: &Extra,
        index: usize,
        ask: impl FnOnce(&mut Request<'_>),
    ) -> Result<Verdict, Failure> {
        let signer = Ed25519Signer::from_seed(KeyName::parse(ORIGIN).unwrap(), &[99; 32]);
        let leaves: Vec<_> = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let size = TreeSize::new(leaves.len() as u64);
        let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), size, root(&leaves)).unwrap();
        let signed = sign_checkpoint(&checkpoint, &signer).unwrap();
        let index_there = LeafIndex::new(index as u64);
        let proof = TlogProof::new(Some(extra.to_bytes()), index_there, self.path(index), signed).unwrap().to_string();
        assert_eq!(signer.name().as_str(), ORIGIN);
        let policy = Policy::parse(format!("log {}\nquorum none\n", signer.vkey()).as_bytes()).unwrap();
        let mut request = Request::new(&policy, proof.as_bytes());
        ask(&mut request);
        verify(&request)
    }
}

/// RFC 6962, section 2.1, as it is written there.
fn root(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    node_hash(&root(left), &root(right))
}

/// RFC 6962, section 2.1.1.
fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut below, sibling) = match index.checked_sub(left.len()) {
        None => (path(left, index), root(right)),
        Some(index) => (path(right, index), root(left)),
    };
    below.push(sibling);
    below
}
