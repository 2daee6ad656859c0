//! Trust policies (tlog-policy), and checkpoints under one (formats.md §8, checks `checkpoint` and `quorum`).
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> <all|any|k> <name>…
//! quorum <name|none>
//! ```
//!
//! Octets with the high bit are opaque. A log has keys of types 0x01 and 0x06, a witness of types 0x04 and 0x06; a key
//! of a type that `signature` does not judge is refused, rather than be known and never looked at. One that is listed
//! as a log's and as a witness's serves as both: that is for the policy's author to want.

use core::fmt;
use std::collections::BTreeMap;

use super::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use super::error::{PolicyFault, TlogError, VerifyError};
use super::quorum::{Cosigned, Node, Quorum, Top};
use super::signature::NoteVerifier;
use super::vkey::{Vkey, VkeyType};
use crate::encoding::parse_decimal;

/// Longest policy file, in bytes.
pub const MAX_POLICY_LEN: usize = 1024 * 1024;
/// Most logs of a policy.
pub const MAX_LOGS: usize = 256;
/// Most witnesses of a policy.
pub const MAX_WITNESSES: usize = 256;
/// Most groups of a policy.
pub const MAX_GROUPS: usize = 256;

/// Whom to believe: logs, witnesses, and how many of these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    quorum: Quorum,
}

/// A key of a log; the log's origin is the key's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyLog {
    verifier: NoteVerifier,
    url: Option<Box<[u8]>>,
}

/// A witness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyWitness {
    name: PolicyName,
    verifier: NoteVerifier,
    url: Option<Box<[u8]>>,
}

/// The name of a witness or group: octets that mean something in their policy only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(Box<[u8]>);

/// A checkpoint that meets a policy: only [`Policy::verify_checkpoint`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptedCheckpoint {
    verified: VerifiedCheckpoint,
    cosigned: Vec<Cosigned>,
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        if bytes.len() > MAX_POLICY_LEN {
            return Err(TlogError::PolicyFile);
        }
        let lines = bytes.strip_suffix(b"\n").ok_or(TlogError::PolicyFile)?;
        let mut parser = Parser::default();
        for (number, line) in (1..).zip(lines.split(|b| *b == b'\n')) {
            parser.line(line).map_err(|fault| TlogError::PolicyLine { line: number, fault })?;
        }
        let top = parser.quorum.ok_or(TlogError::NoQuorum)?;
        let quorum = Quorum { nodes: parser.nodes, top };
        Ok(Self { logs: parser.logs, witnesses: parser.witnesses, quorum })
    }

    /// Whether a checkpoint is signed by a log of the policy and cosigned by enough of its witnesses.
    ///
    /// All keys of the policy are known keys: one wrong signature by any of them, and the checkpoint is refused.
    pub fn verify_checkpoint(&self, checkpoint: &SignedCheckpoint) -> Result<AcceptedCheckpoint, VerifyError> {
        let is_by_log = |key: &NoteVerifier| self.logs.iter().any(|log| log.verifier == *key);
        let logs = self.logs.iter().map(|log| &log.verifier);
        let witnesses = self.witnesses.iter().map(|witness| &witness.verifier).filter(|key| !is_by_log(key));
        let signatures = checkpoint.note().verify(logs.chain(witnesses))?;
        let by_logs: Vec<_> = signatures.iter().copied().filter(|by| is_by_log(by.verifier())).collect();
        let verified = checkpoint.signed_by_log(&by_logs)?;
        let mut cosigned = Vec::new();
        for signature in signatures {
            let witness = self.witnesses.iter().find(|witness| witness.verifier == *signature.verifier());
            if let (Some(witness), Some(time)) = (witness, signature.time()) {
                cosigned.push(Cosigned { witness: witness.name.clone(), time });
            }
        }
        if self.quorum.is_met(|name| cosigned.iter().any(|c| c.witness == *name)) {
            Ok(AcceptedCheckpoint { verified, cosigned })
        } else {
            Err(VerifyError::QuorumNotMet)
        }
    }

    /// The keys of logs, in their order; there may be none.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in their order.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Which of the witnesses suffice.
    pub const fn quorum(&self) -> &Quorum {
        &self.quorum
    }
}

impl AcceptedCheckpoint {
    /// The checkpoint and the log's keys that signed it.
    pub const fn verified(&self) -> &VerifiedCheckpoint {
        &self.verified
    }

    /// The cosignatures of the policy's witnesses in the order of the note; one witness may have several.
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }
}

impl PolicyLog {
    /// The key.
    pub const fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Where the log is, if the policy says.
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

impl PolicyWitness {
    /// What the policy calls it.
    pub const fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Its key.
    pub const fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Where it is, if the policy says.
    pub fn url(&self) -> Option<&[u8]> {
        self.url.as_deref()
    }
}

impl PolicyName {
    /// The octets, which need not be UTF-8.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The name with replacement characters for what is not UTF-8: for people, not for comparing.
impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyName({:?})", String::from_utf8_lossy(&self.0))
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Parser {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    nodes: Vec<Node>,
    names: BTreeMap<PolicyName, Name>,
    quorum: Option<Top>,
}

struct Name {
    node: usize,
    is_member: bool,
}

impl Parser {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyFault> {
        if line.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
            return Err(PolicyFault::Octet);
        }
        let items: Vec<_> = line.split(|b| matches!(b, b' ' | b'\t')).filter(|item| !item.is_empty()).collect();
        match *items {
            [] => Ok(()),
            [word, ..] if word.starts_with(b"#") => Ok(()),
            [b"log", key] => self.log(key, None),
            [b"log", key, url] => self.log(key, Some(url)),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"group", name, threshold, ref members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            [b"quorum", name] => self.quorum(name),
            [b"log" | b"witness" | b"group" | b"quorum", ..] => Err(PolicyFault::Items),
            _ => Err(PolicyFault::Keyword),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&[u8]>) -> Result<(), PolicyFault> {
        if self.logs.len() == MAX_LOGS {
            return Err(PolicyFault::TooMany);
        }
        let verifier = parse_key(key, [VkeyType::Ed25519, VkeyType::MlDsa44])?;
        if self.logs.iter().any(|log| is_same_key(&log.verifier, &verifier)) {
            return Err(PolicyFault::DuplicateKey);
        }
        self.logs.push(PolicyLog { verifier, url: url.map(Into::into) });
        Ok(())
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&[u8]>) -> Result<(), PolicyFault> {
        if self.witnesses.len() == MAX_WITNESSES {
            return Err(PolicyFault::TooMany);
        }
        let verifier = parse_key(key, [VkeyType::CosignatureV1, VkeyType::MlDsa44])?;
        if self.witnesses.iter().any(|witness| is_same_key(&witness.verifier, &verifier)) {
            return Err(PolicyFault::DuplicateKey);
        }
        let name = PolicyName(name.into());
        self.define(name.clone(), Node::Witness(name.clone()))?;
        self.witnesses.push(PolicyWitness { name, verifier, url: url.map(Into::into) });
        Ok(())
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], members: &[&[u8]]) -> Result<(), PolicyFault> {
        if self.nodes.len() - self.witnesses.len() == MAX_GROUPS {
            return Err(PolicyFault::TooMany);
        }
        let threshold = parse_threshold(threshold, members.len()).ok_or(PolicyFault::Threshold)?;
        let mut nodes = Vec::new();
        for member in members {
            let member = self.names.get_mut(&PolicyName((*member).into())).ok_or(PolicyFault::Undefined)?;
            if core::mem::replace(&mut member.is_member, true) {
                return Err(PolicyFault::MemberTwice);
            }
            nodes.push(member.node);
        }
        self.define(PolicyName(name.into()), Node::Group { threshold, members: nodes })
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), PolicyFault> {
        if self.quorum.is_some() {
            return Err(PolicyFault::SecondQuorum);
        }
        let defined = self.names.get(&PolicyName(name.into()));
        self.quorum = Some(match defined {
            Some(defined) => Top::Node(defined.node),
            None if name == NONE => Top::None,
            None => return Err(PolicyFault::Undefined),
        });
        Ok(())
    }

    fn define(&mut self, name: PolicyName, node: Node) -> Result<(), PolicyFault> {
        if *name.0 == *NONE || self.names.contains_key(&name) {
            return Err(PolicyFault::Name);
        }
        self.names.insert(name, Name { node: self.nodes.len(), is_member: false });
        self.nodes.push(node);
        Ok(())
    }
}

/// The name of the quorum that asks for no witness; nothing else may bear it.
const NONE: &[u8] = b"none";

fn parse_key(text: &[u8], kinds: [VkeyType; 2]) -> Result<NoteVerifier, PolicyFault> {
    let text = core::str::from_utf8(text).map_err(|_| PolicyFault::Key(Box::new(TlogError::Vkey)))?;
    let verifier = Vkey::parse(text).and_then(NoteVerifier::new).map_err(|error| PolicyFault::Key(Box::new(error)))?;
    if kinds.contains(&verifier.vkey().kind()) { Ok(verifier) } else { Err(PolicyFault::KeyType) }
}

/// Whether two keys are the same below their names and types.
fn is_same_key(one: &NoteVerifier, other: &NoteVerifier) -> bool {
    one.vkey().key_bytes() == other.vkey().key_bytes()
}

fn parse_threshold(text: &[u8], members: usize) -> Option<usize> {
    match text {
        b"any" => Some(1),
        b"all" => Some(members),
        k => {
            let k = usize::try_from(parse_decimal(core::str::from_utf8(k).ok()?)?).ok()?;
            (1..=members).contains(&k).then_some(k)
        }
    }
}
