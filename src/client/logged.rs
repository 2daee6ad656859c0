//! Links on their way into the log, and what shows that they are there.

use super::calls::ProofWanted;
use super::error::{ClientError, FalseAnswer};
use super::known_log::KnownLog;
use crate::encoding::b64_decode;
use crate::hash::Hash;
use crate::merkle::{LeafIndex, leaf_hash, verify_inclusion};
use crate::soul::{Beside, Link};
use crate::tlog::{SignedCheckpoint, TlogProof};
use crate::verify::{Extra, LinkExtra};
use crate::wire::{Appended, Placed};

/// A signed link, and the body that goes with it where that is kept beside the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedLink {
    /// The link.
    pub link: Link,
    /// The body and its salt.
    pub beside: Option<Beside>,
}

/// A link whose place under a checkpoint that its log signed was checked: only the check of an answer makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    signed: SignedLink,
    index: LeafIndex,
    path: Vec<Hash>,
    checkpoint: SignedCheckpoint,
    witnessed: Option<bool>,
}

impl From<(Link, Option<Beside>)> for SignedLink {
    fn from((link, beside): (Link, Option<Beside>)) -> Self {
        Self { link, beside }
    }
}

impl Logged {
    /// Checks what a node answered to an append: each link has its place in the tree of a checkpoint of this log.
    pub fn check(log: &KnownLog, links: Vec<SignedLink>, answer: &Appended) -> Result<Vec<Self>, ClientError> {
        if answer.links.len() != links.len() {
            return Err(FalseAnswer::form("links", "not one for each that was sent"));
        }
        let note = answer.checkpoint.as_deref().ok_or_else(|| FalseAnswer::form("checkpoint", "absent"))?;
        let checkpoint = log.check(note)?;
        let placed = links.into_iter().zip(&answer.links);
        placed.map(|(signed, placed)| Self::check_one(signed, placed, &checkpoint, answer.witnessed)).collect()
    }

    fn check_one(
        signed: SignedLink,
        placed: &Placed,
        checkpoint: &SignedCheckpoint,
        witnessed: Option<bool>,
    ) -> Result<Self, ClientError> {
        if placed.curr != signed.link.curr().to_hex() || placed.seqno != signed.link.header().seqno.get() {
            return Err(FalseAnswer::other("a link"));
        }
        let path = placed.path.as_deref().ok_or_else(|| FalseAnswer::form("path", "absent"))?;
        let path = hashes(path)?;
        let (index, claim) = (LeafIndex::new(placed.index), checkpoint.claim());
        verify_inclusion(&leaf_hash(signed.link.entry()), index, claim.size(), &path, &claim.root())?;
        Ok(Self { signed, index, path, checkpoint: checkpoint.clone(), witnessed })
    }

    /// The link.
    pub const fn link(&self) -> &Link {
        &self.signed.link
    }

    /// Its place in the log.
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The checkpoint that it is under.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Whether witnesses cosigned the checkpoint in time; `None` where that was not asked for.
    pub const fn witnessed(&self) -> Option<bool> {
        self.witnessed
    }

    /// Whether this is less than what was asked for.
    pub fn falls_short_of(&self, wanted: ProofWanted) -> bool {
        wanted == ProofWanted::Witnessed && self.witnessed != Some(true)
    }

    /// The proof to keep. The body of an action that is not inline is in it if it is to be disclosed.
    ///
    /// `key_events` are the entries of the chain's key events up to the one that the link names: with them a verifier
    /// finds the signer's key from the identity alone.
    pub fn proof(&self, disclose: bool, key_events: Option<&[Vec<u8>]>) -> Result<TlogProof, ClientError> {
        let genesis = self.link().header().begins_chain();
        let extra = Extra::Link(LinkExtra {
            entry: self.link().entry().to_vec(),
            disclosed: self.signed.beside.clone().filter(|_| disclose),
            key_events: key_events.filter(|_| !genesis).unwrap_or_default().to_vec(),
            state: None,
        });
        Ok(TlogProof::new(Some(extra.to_bytes()), self.index, self.path.clone(), self.checkpoint.clone())?)
    }
}

/// Reads the hashes of a path.
pub(super) fn hashes(path: &[String]) -> Result<Vec<Hash>, ClientError> {
    let hash = |text: &String| b64_decode(text).and_then(|bytes| bytes.try_into().ok()).map(Hash::from_bytes);
    path.iter().map(hash).collect::<Option<_>>().ok_or_else(|| FalseAnswer::form("path", "not base64 of hashes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{NewAgent, Signer};
    use crate::ed25519::SigningKey;
    use crate::encoding::UnixMillis;
    use crate::merkle::{TreeSize, node_hash};
    use crate::tlog::{Checkpoint, Ed25519Signer, Origin, sign_checkpoint};
    use crate::verify::{Request, verify};
    use crate::wire::LogView;

    fn log_key(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(Origin::parse("test.example/log").unwrap().key_name().clone(), &[seed; 32])
    }

    fn known_log() -> KnownLog {
        let origin = "test.example/log";
        KnownLog::named_by(&LogView {
            origin: origin.into(),
            log_id: crate::soul::LogId::of_origin(origin).to_hex(),
            log_vkey: log_key(1).vkey().to_string(),
            instant_vkey: log_key(2).vkey().to_string(),
            tree_size: 0,
            root: String::new(),
            log_time_ms: 0,
            identities: 0,
            published_size: 0,
            witnesses: Vec::new(),
            policy: String::new(),
        })
        .unwrap()
    }

    fn genesis() -> SignedLink {
        let signer = |seed: u8| Signer::from(SigningKey::from_seed(&[seed; 32]));
        NewAgent::of_keys(signer(3), signer(4)).genesis(&known_log(), UnixMillis::new(1)).unwrap()
    }

    /// What an honest log of two entries answers, whose second is the link.
    fn answer(link: &SignedLink, log_seed: u8) -> Appended {
        let (before, leaf) = (leaf_hash(b"before"), leaf_hash(link.link.entry()));
        let origin = Origin::parse("test.example/log").unwrap();
        let checkpoint = Checkpoint::new(origin, TreeSize::new(2), node_hash(&before, &leaf)).unwrap();
        let checkpoint = sign_checkpoint(&checkpoint, &log_key(log_seed)).unwrap();
        let path = Some(vec![crate::encoding::b64_encode(before.as_bytes())]);
        let curr = link.link.curr().to_hex();
        Appended {
            checkpoint: Some(checkpoint.to_string()),
            witnessed: None,
            links: vec![Placed { index: 1, curr, seqno: 1, path }],
        }
    }

    #[test]
    fn an_honest_answer_gives_a_proof_that_verifies() {
        let link = genesis();
        let logged = Logged::check(&known_log(), vec![link.clone()], &answer(&link, 2)).unwrap().remove(0);
        let proof = logged.proof(true, None).unwrap().to_string();
        let policy = format!("log {}\nquorum none\n", log_key(2).vkey());
        let policy = crate::tlog::Policy::parse(policy.as_bytes()).unwrap();
        let request = Request::new(&policy, proof.as_bytes());
        verify(&request).unwrap();
    }

    #[test]
    fn a_false_answer_gives_none() {
        let (link, log) = (genesis(), known_log());
        let refused = |change: &dyn Fn(&mut Appended)| {
            let mut answer = answer(&link, 1);
            change(&mut answer);
            matches!(Logged::check(&log, vec![link.clone()], &answer), Err(ClientError::False(_)))
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|answer| answer.links[0].index = 0), "another place");
        assert!(refused(&|answer| answer.links[0].path = Some(Vec::new())), "a shorter path");
        assert!(refused(&|answer| answer.links[0].path.as_mut().unwrap()[0].replace_range(..1, "!")), "no base64");
        assert!(refused(&|answer| answer.links[0].path = None), "no path");
        assert!(refused(&|answer| answer.links[0].curr = "00".repeat(32)), "another link");
        assert!(refused(&|answer| answer.links[0].seqno = 2), "another seqno");
        assert!(refused(&|answer| answer.links.clear()), "no links");
        assert!(refused(&|answer| answer.checkpoint = None), "no checkpoint");
        let stranger = answer(&link, 9).checkpoint;
        assert!(refused(&|answer| answer.checkpoint.clone_from(&stranger)), "signed by a stranger");
    }
}
