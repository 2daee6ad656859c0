//! The writer of bodies: typed fields to canonical JSON. What is absent or empty is left out.

use super::types::{
    Attest, Body, Conditions, Credential, Endpoint, Feedback, Genesis, KeyEntry, LinkRef, Notice, Policy, Pop, Profile,
};
use crate::encoding::{b64u_encode, hex_encode};
use crate::soul::ids::{Identity, Seqno};
use crate::soul::jcs::Value;

impl Body {
    /// Its JSON; `None` for an action without a body at hand.
    pub fn to_value(&self) -> Option<Value> {
        let members = match self {
            Self::Action(body) => return body.clone(),
            Self::Genesis(body) => genesis(body),
            Self::Keys(body) => Members::default()
                .optional("custodian", body.custodian.map(id))
                .list("keys", &body.keys, key_entry)
                .optional("next", body.next.map(|next| next.to_hex().into()))
                .list("pop", &body.pop, pop)
                .optional("suspect_from", body.suspect_from.map(seqno)),
            Self::Recover(body) => Members::default()
                .optional("custodian", body.custodian.map(id))
                .list("keys", &body.keys, key_entry)
                .with("next", body.next.to_hex())
                .list("pop", &body.pop, pop)
                .with("recovery", b64u_encode(&body.recovery))
                .optional("suspect_from", body.suspect_from.map(seqno)),
            Self::RevokeAgent(body) => Members::default()
                .with("reason", body.reason.as_str())
                .optional("recovery", body.recovery.map(|key| b64u_encode(&key).into()))
                .optional("suspect_from", body.suspect_from.map(seqno)),
            Self::Profile(body) => profile(body),
            Self::Receipt(body) => {
                Members::default().with("link", link_ref(&body.link)).with("subject", id(body.subject))
            }
            Self::Feedback(body) => feedback(body),
            Self::Attest(body) => attest(body),
            Self::Retract(body) => Members::default().with("link", link_ref(&body.link)),
            Self::Notice(body) => notice(body),
            Self::Policy(body) => policy(body),
        };
        Some(members.with("v", Value::Int(1)).into_value())
    }

    /// Its canonical bytes; `None` for an action without a body at hand.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        self.to_value().map(|value| value.to_bytes())
    }
}

/// Members of an object that is being written.
#[derive(Default)]
struct Members(Vec<(&'static str, Value)>);

impl Members {
    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    fn optional(self, name: &'static str, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn text(self, name: &'static str, text: Option<&String>) -> Self {
        self.optional(name, text.map(|text| Value::from(text.as_str())))
    }

    fn hash(self, name: &'static str, hash: Option<[u8; 32]>) -> Self {
        self.optional(name, hash.map(|hash| hex_encode(&hash).into()))
    }

    fn list<T>(self, name: &'static str, items: &[T], write: impl Fn(&T) -> Value) -> Self {
        let items = items.iter().map(write).collect();
        self.optional(name, Some(Value::Array(items)).filter(|list| list.as_array() != Some(&[])))
    }

    fn texts(self, name: &'static str, items: &[String]) -> Self {
        self.list(name, items, |text| Value::from(text.as_str()))
    }

    fn into_value(self) -> Value {
        Value::object(self.0)
    }
}

fn genesis(body: &Genesis) -> Members {
    let guardians = body.guardians.as_ref().map(|guardians| {
        let ids = guardians.ids.iter().copied().map(id).collect();
        Value::object([("ids", Value::Array(ids)), ("threshold", Value::uint(guardians.threshold))])
    });
    Members::default()
        .optional("controller", body.controller.map(id))
        .optional("custodian", body.custodian.map(id))
        .optional("guardians", guardians)
        .list("keys", &body.keys, key_entry)
        .text("name", body.name.as_ref())
        .optional("next", body.next.map(|next| next.to_hex().into()))
        .list("pop", &body.pop, pop)
}

fn profile(body: &Profile) -> Members {
    let hashes = body.hashes.iter().map(|(name, hash)| (name.as_str(), Value::from(hex_encode(hash))));
    Members::default()
        .texts("capabilities", &body.capabilities)
        .list("credentials", &body.credentials, credential)
        .text("description", body.description.as_ref())
        .text("display_name", body.display_name.as_ref())
        .list("endpoints", &body.endpoints, endpoint)
        .optional("hashes", (!body.hashes.is_empty()).then(|| Value::object(hashes)))
        .text("kind", body.kind.as_ref())
        .optional("metadata", body.metadata.clone())
        .text("organization", body.organization.as_ref())
        .text("owner", body.owner.as_ref())
        .text("version", body.version.as_ref())
}

fn feedback(body: &Feedback) -> Members {
    Members::default()
        .hash("comment_commit", body.comment_commit)
        .optional("link", body.link.as_ref().map(link_ref))
        .with("subject", id(body.subject))
        .text("tag", body.tag.as_ref())
        .with("value", Value::uint(body.value))
}

fn attest(body: &Attest) -> Members {
    Members::default()
        .texts("capabilities", &body.capabilities)
        .optional("conditions", body.conditions.as_ref().map(conditions))
        .hash("evidence", body.evidence)
        .with("expires_ms", Value::uint(body.expires_ms))
        .with("scope", body.scope.as_str())
        .with("subject", id(body.subject))
}

fn conditions(body: &Conditions) -> Value {
    Members::default()
        .texts("exclude_hosts", &body.exclude_hosts)
        .texts("require_hosts", &body.require_hosts)
        .texts("require_variants", &body.require_variants)
        .into_value()
}

fn notice(body: &Notice) -> Members {
    Members::default()
        .optional("blocked", body.blocked.map(Value::Bool))
        .hash("evidence", body.evidence)
        .with("kind", body.kind.as_str())
        .text("name", body.name.as_ref())
        .optional("reason", body.reason.map(|reason| reason.as_str().into()))
        .optional("severity", body.severity.map(|severity| severity.as_str().into()))
        .with("subject", id(body.subject))
}

fn policy(body: &Policy) -> Members {
    Members::default()
        .list("pretrust", &body.pretrust, |identity| id(*identity))
        .list("registrars", &body.registrars, |identity| id(*identity))
        .optional("rules", body.rules.map(Value::uint))
        .text("scoring", body.scoring.as_ref())
}

fn key_entry(key: &KeyEntry) -> Value {
    Members::default()
        .with("alg", "ed25519")
        .with("pk", b64u_encode(&key.pk))
        .with("roles", key.roles.names().collect::<Vec<_>>())
        .into_value()
}

fn pop(pop: &Pop) -> Value {
    Members::default().with("kid", pop.kid.to_hex()).with("sig", b64u_encode(&pop.sig)).into_value()
}

fn credential(credential: &Credential) -> Value {
    Members::default()
        .text("proof", credential.proof.as_ref())
        .with("type", credential.kind.as_str())
        .with("value", credential.value.as_str())
        .into_value()
}

fn endpoint(endpoint: &Endpoint) -> Value {
    Members::default().with("protocol", endpoint.protocol.as_str()).with("url", endpoint.url.as_str()).into_value()
}

fn link_ref(link: &LinkRef) -> Value {
    Members::default().with("curr", link.curr.to_hex()).with("seqno", seqno(link.seqno)).into_value()
}

fn id(identity: Identity) -> Value {
    identity.to_hex().into()
}

fn seqno(seqno: Seqno) -> Value {
    Value::uint(seqno.get())
}
