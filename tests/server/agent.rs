//! An agent that signs its links itself.

use soulchain::clock;
use soulchain::ed25519::SigningKey;
use soulchain::encoding::UnixMillis;
use soulchain::hash::{Hash, sha256};
use soulchain::merkle::TreeSize;
use soulchain::soul::{
    Beside, Body, ChainPosition, Draft, Genesis, Identity, KeyEntry, Keys, Kid, Link, LinkRef, LinkType, LogId, Next,
    Outcome, Pop, Profile, Recover, Roles, Salt, Seqno, kid, next_commitment,
};

pub(crate) const ACT: Roles = Roles { act: true, admin: false };
pub(crate) const ADMIN: Roles = Roles { act: false, admin: true };

/// A link, and the body that is kept beside the log.
pub(crate) type Signed = (Link, Option<Beside>);

/// An agent: its keys, and where its next link goes.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) log_id: LogId,
    pub(crate) admin: SigningKey,
    pub(crate) act: SigningKey,
    pub(crate) position: ChainPosition,
    /// Put into the next links.
    pub(crate) ctime: Option<UnixMillis>,
    pub(crate) anchor: Option<(TreeSize, Hash)>,
}

pub(crate) fn key(seed: &str) -> SigningKey {
    SigningKey::from_seed(&sha256(&[seed.as_bytes()]))
}

/// What `next` says of a key.
pub(crate) fn commitment(key: &SigningKey) -> Next {
    next_commitment(key.public().as_bytes())
}

pub(crate) fn kid_of(key: &SigningKey) -> Kid {
    kid(key.public().as_bytes())
}

impl Agent {
    /// An agent whose keys follow from its name.
    pub(crate) fn new(log_id: LogId, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            log_id,
            admin: key(&format!("{name} admin")),
            act: key(&format!("{name} act")),
            position: ChainPosition::GENESIS,
            ctime: None,
            anchor: None,
        }
    }

    /// Registered at a server.
    pub(crate) fn registered(server: &super::support::Server, name: &str) -> Self {
        let mut agent = Self::new(server.node.log_id(), name);
        let genesis = agent.genesis();
        server.append(&[genesis]);
        agent
    }

    pub(crate) fn identity(&self) -> Identity {
        self.position.identity
    }

    pub(crate) fn draft(&self, key: &SigningKey, outcome: Outcome) -> Draft {
        Draft {
            log_id: self.log_id,
            position: self.position,
            ctime: self.ctime.unwrap_or_else(clock::now),
            anchor: self.anchor,
            outcome,
            kid: kid_of(key),
        }
    }

    /// What its genesis says.
    pub(crate) fn founding(&self) -> Genesis {
        let mut keys = vec![
            KeyEntry::new(*self.admin.public().as_bytes(), Roles { act: false, admin: true }),
            KeyEntry::new(*self.act.public().as_bytes(), Roles { act: true, admin: false }),
        ];
        keys.sort_by_key(|key| key.kid);
        Genesis {
            name: Some(self.name.clone()),
            keys,
            next: None,
            guardians: None,
            controller: None,
            custodian: None,
            pop: vec![self.draft(&self.admin, Outcome::None).pop(&self.act)],
        }
    }

    pub(crate) fn genesis(&mut self) -> Signed {
        self.genesis_of(self.founding())
    }

    pub(crate) fn genesis_of(&mut self, genesis: Genesis) -> Signed {
        let draft = self.draft(&self.admin, Outcome::None);
        let link = draft.inline(&Body::Genesis(genesis)).unwrap().sign(&self.admin);
        self.advance(&link);
        link
    }

    pub(crate) fn profile(&mut self, profile: Profile) -> Signed {
        let draft = self.draft(&self.admin, Outcome::None);
        let link = draft.inline(&Body::Profile(profile)).unwrap().sign(&self.admin);
        self.advance(&link);
        link
    }

    /// An action whose body, JCS text, is part of the entry.
    pub(crate) fn inline(&mut self, body: &str) -> Signed {
        let link = self.unsent_inline(body);
        self.advance(&link);
        link
    }

    /// The same without going on from it.
    pub(crate) fn unsent_inline(&self, body: &str) -> Signed {
        let body = Body::parse(LinkType::Action, Some(body.as_bytes())).unwrap();
        self.draft(&self.act, Outcome::Success).inline(&body).unwrap().sign(&self.act)
    }

    /// An action whose body is kept beside the log.
    pub(crate) fn beside(&mut self, body: &str) -> Signed {
        let salt = Salt::from_bytes(sha256(&[b"salt", body.as_bytes()]));
        let beside = Beside { salt, body: body.as_bytes().to_vec() };
        let link = self.draft(&self.act, Outcome::Failure).beside(beside).unwrap().sign(&self.act);
        self.advance(&link);
        link
    }

    /// An action without a body.
    pub(crate) fn empty(&mut self) -> Signed {
        let link = self.draft(&self.act, Outcome::Denied).inline(&Body::Action(None)).unwrap().sign(&self.act);
        self.advance(&link);
        link
    }

    /// A link with any inline body, by any key.
    pub(crate) fn unsent(&self, key: &SigningKey, body: &Body) -> Signed {
        self.draft(key, Outcome::None).inline(body).unwrap_or_else(|refusal| panic!("{refusal}: {body:?}")).sign(key)
    }

    /// The same, going on from it.
    pub(crate) fn sign(&mut self, key: &SigningKey, body: &Body) -> Signed {
        let link = self.unsent(key, body);
        self.advance(&link);
        link
    }

    /// A statement by the act key.
    pub(crate) fn say(&mut self, body: &Body) -> Signed {
        self.sign(&self.act.clone(), body)
    }

    /// What puts these keys in force, with proofs of possession for those that are new; signed by the admin key.
    pub(crate) fn keys_of(&self, set: &[(&SigningKey, Roles)], added: &[&SigningKey]) -> Keys {
        let (keys, pop) = self.key_set(&self.admin, set, added);
        Keys { keys, next: None, custodian: None, pop, suspect_from: None }
    }

    /// A new act key in the place of the old one.
    pub(crate) fn rotation(&self, fresh: &SigningKey) -> Keys {
        self.keys_of(&[(&self.admin, ADMIN), (fresh, ACT)], &[fresh])
    }

    /// What takes the agent back with the key that `next` commits to.
    pub(crate) fn recovery(&self, next: &SigningKey, then: &SigningKey, fresh: [&SigningKey; 2]) -> Recover {
        let (keys, pop) = self.key_set(next, &[(fresh[0], ADMIN), (fresh[1], ACT)], &fresh);
        let (next, recovery) = (commitment(then), *next.public().as_bytes());
        Recover { keys, next, recovery, custodian: None, pop, suspect_from: None }
    }

    fn key_set(
        &self,
        signer: &SigningKey,
        set: &[(&SigningKey, Roles)],
        added: &[&SigningKey],
    ) -> (Vec<KeyEntry>, Vec<Pop>) {
        let mut keys: Vec<KeyEntry> =
            set.iter().map(|(key, roles)| KeyEntry::new(*key.public().as_bytes(), *roles)).collect();
        keys.sort_by_key(|key| key.kid);
        let draft = self.draft(signer, Outcome::None);
        let mut pop: Vec<Pop> = added.iter().map(|key| draft.pop(key)).collect();
        pop.sort_by_key(|pop| pop.kid);
        (keys, pop)
    }

    /// How others name its newest link.
    pub(crate) fn newest(&self) -> LinkRef {
        LinkRef { curr: self.position.prev, seqno: Seqno::new(self.position.seqno.get() - 1) }
    }

    pub(crate) fn advance(&mut self, (link, _): &Signed) {
        if link.header().link_type == LinkType::Genesis {
            self.position.identity = Identity::from(link.curr());
        }
        if link.header().link_type.is_key_event() {
            self.position.auth = link.curr();
        }
        self.position.seqno = link.header().seqno.next();
        self.position.prev = link.curr();
    }
}
