//! The reader of bodies: bytes to [`Body`], with every field rule of formats.md §4 that the body alone decides.

use super::error::{BodyError, FieldFault, Form, Kind};
use super::fields::{
    Fields, b64u, boolean, capabilities, domain_name, hex32, identities, identity, integer, label, link_ref, list,
    object, one_of, seqno, sorted_list, tag, text, texts,
};
use super::types::{
    Attest, Body, Conditions, Credential, Endpoint, Feedback, Genesis, Guardians, KeyEntry, Keys, Notice, NoticeKind,
    Policy, Pop, Profile, RawKey, Reason, Receipt, Recover, Retract, RevokeAgent, Roles, Severity,
};
use crate::encoding::MAX_SAFE_INTEGER;
use crate::soul::header::LinkType;
use crate::soul::ids::{Kid, Next};
use crate::soul::jcs::Value;
use crate::soul::key::next_commitment;

/// Keys of one set, and proofs of possession.
const MAX_KEYS: usize = 16;
const MAX_GUARDIANS: usize = 8;
const MAX_ENDPOINTS: usize = 16;
const MAX_CREDENTIALS: usize = 8;
const MAX_HASHES: usize = 16;
const MAX_METADATA_LEN: usize = 4096;
const MAX_CONDITIONS: usize = 16;
const MAX_HOST_CHARS: usize = 253;
const MAX_REGISTRARS: usize = 16;
const MAX_PRETRUST: usize = 64;
/// Names that no identity takes as its handle.
const RESERVED_NAMES: &[&str] = &["all", "system", "root", "admin", "log"];
/// The version of every body, and of the rules that this implementation keeps.
const VERSION: u64 = 1;

type Read<T> = Result<T, BodyError>;

impl Body {
    /// Reads the body of a link of this type. `None` stands for one that is empty or not at hand, which only an
    /// action may have. Commitment and header are not looked at here.
    pub fn parse(link_type: LinkType, bytes: Option<&[u8]>) -> Result<Self, BodyError> {
        let Some(bytes) = bytes else {
            return if link_type.may_lie_beside() { Ok(Self::Action(None)) } else { Err(BodyError::Absent) };
        };
        let value = Value::parse_canonical(bytes)?;
        if value.get("v") != Some(&Value::Int(1)) {
            return Err(version_fault(&value));
        }
        Ok(match link_type {
            LinkType::Genesis => Self::Genesis(genesis(&value)?),
            LinkType::Keys => Self::Keys(keys(&value)?),
            LinkType::Recover => Self::Recover(recover(&value)?),
            LinkType::RevokeAgent => Self::RevokeAgent(revoke_agent(&value)?),
            LinkType::Profile => Self::Profile(profile(&value)?),
            LinkType::Action => Self::Action(Some(value)),
            LinkType::Receipt => Self::Receipt(receipt(&value)?),
            LinkType::Feedback => Self::Feedback(feedback(&value)?),
            LinkType::Attest => Self::Attest(attest(&value)?),
            LinkType::Retract => Self::Retract(retract(&value)?),
            LinkType::Notice => Self::Notice(notice(&value)?),
            LinkType::Policy => Self::Policy(policy(&value)?),
        })
    }
}

/// The version of the rules that a policy body asks for, where it is above what this implementation keeps.
///
/// Such a body is refused at admission; a monitor that meets it in a log stops there. Of such a body only the profile
/// of §3 is known to hold: its other fields, `v` too, may be of a later format.
pub fn newer_rules(body: &[u8]) -> Option<u64> {
    let rules = Value::parse_canonical(body).ok()?.get("rules")?.as_u64()?;
    (rules > VERSION).then_some(rules)
}

fn version_fault(body: &Value) -> BodyError {
    let fault = match body.get("v") {
        None => FieldFault::Missing,
        Some(Value::Int(_)) => FieldFault::Range { min: VERSION, max: VERSION },
        Some(_) => FieldFault::Kind(Kind::Integer),
    };
    BodyError::of("v", fault)
}

fn genesis(value: &Value) -> Read<Genesis> {
    let fields = Fields::of(value, &["controller", "custodian", "guardians", "keys", "name", "next", "pop", "v"])?;
    let body = Genesis {
        name: fields.optional("name", handle)?,
        keys: fields.required("keys", key_set)?,
        next: fields.optional("next", next)?,
        guardians: fields.optional("guardians", guardians)?,
        controller: fields.optional("controller", identity)?,
        custodian: fields.optional("custodian", identity)?,
        pop: fields.items("pop", pops)?,
    };
    check_key_event(&body.keys, &body.pop, body.next, None)?;
    Ok(body)
}

fn keys(value: &Value) -> Read<Keys> {
    let fields = Fields::of(value, &["custodian", "keys", "next", "pop", "suspect_from", "v"])?;
    let body = Keys {
        keys: fields.required("keys", key_set)?,
        next: fields.optional("next", next)?,
        custodian: fields.optional("custodian", identity)?,
        pop: fields.items("pop", pops)?,
        suspect_from: fields.optional("suspect_from", seqno(2))?,
    };
    check_key_event(&body.keys, &body.pop, body.next, None)?;
    Ok(body)
}

fn recover(value: &Value) -> Read<Recover> {
    let fields = Fields::of(value, &["custodian", "keys", "next", "pop", "recovery", "suspect_from", "v"])?;
    let body = Recover {
        keys: fields.required("keys", key_set)?,
        next: fields.required("next", next)?,
        recovery: fields.required("recovery", raw_key)?,
        custodian: fields.optional("custodian", identity)?,
        pop: fields.items("pop", pops)?,
        suspect_from: fields.optional("suspect_from", seqno(2))?,
    };
    if next_commitment(&body.recovery) == body.next {
        return Err(BodyError::of("next", FieldFault::NextOfRecovery));
    }
    check_key_event(&body.keys, &body.pop, Some(body.next), Some(&body.recovery))?;
    Ok(body)
}

fn revoke_agent(value: &Value) -> Read<RevokeAgent> {
    let fields = Fields::of(value, &["reason", "recovery", "suspect_from", "v"])?;
    Ok(RevokeAgent {
        reason: fields.required("reason", reason)?,
        recovery: fields.optional("recovery", raw_key)?,
        suspect_from: fields.optional("suspect_from", seqno(2))?,
    })
}

/// What binds the fields of a key event to each other: the keys that `next` and `recovery` stand for are kept out of
/// the set, and a proof is of a key in it.
fn check_key_event(keys: &[KeyEntry], pop: &[Pop], next: Option<Next>, recovery: Option<&RawKey>) -> Read<()> {
    for (at, key) in keys.iter().enumerate() {
        let fault = if recovery == Some(&key.pk) {
            FieldFault::KeyOfRecovery
        } else if next == Some(next_commitment(&key.pk)) {
            FieldFault::KeyOfNext
        } else {
            continue;
        };
        return Err(BodyError::of("pk", fault).at(at).within("keys"));
    }
    match pop.iter().position(|pop| keys.iter().all(|key| key.kid != pop.kid)) {
        Some(at) => Err(BodyError::of("kid", FieldFault::PopOfUnlistedKey).at(at).within("pop")),
        None => Ok(()),
    }
}

fn handle(value: &Value) -> Read<String> {
    let name = label(value)?;
    if RESERVED_NAMES.contains(&name.as_str()) {
        return Err(BodyError::here(FieldFault::Reserved));
    }
    Ok(name)
}

fn key_set(value: &Value) -> Read<Vec<KeyEntry>> {
    let keys = sorted_list(value, MAX_KEYS, key_entry, |key| key.kid)?;
    if keys.iter().any(|key| key.roles.admin) { Ok(keys) } else { Err(BodyError::here(FieldFault::NoAdmin)) }
}

fn key_entry(value: &Value) -> Read<KeyEntry> {
    let fields = Fields::of(value, &["alg", "pk", "roles"])?;
    fields.required("alg", one_of(|alg| (alg == "ed25519").then_some(()), &["ed25519"]))?;
    Ok(KeyEntry::new(fields.required("pk", raw_key)?, fields.required("roles", roles)?))
}

fn roles(value: &Value) -> Read<Roles> {
    const NAMES: &[&str] = &["act", "admin"];
    let role = one_of(|name| NAMES.iter().position(|known| *known == name), NAMES);
    let held = sorted_list(value, NAMES.len(), role, |role| *role)?;
    Ok(Roles { act: held.contains(&0), admin: held.contains(&1) })
}

fn pops(value: &Value) -> Read<Vec<Pop>> {
    let pop = |value: &Value| {
        let fields = Fields::of(value, &["kid", "sig"])?;
        Ok(Pop {
            kid: Kid::from_bytes(fields.required("kid", hex32)?),
            sig: fields.required("sig", b64u(Form::Signature))?,
        })
    };
    sorted_list(value, MAX_KEYS, pop, |pop| pop.kid)
}

fn guardians(value: &Value) -> Read<Guardians> {
    let fields = Fields::of(value, &["ids", "threshold"])?;
    let ids = fields.required("ids", identities(MAX_GUARDIANS))?;
    let threshold = fields.required("threshold", integer(1, ids.len() as u64))?;
    Ok(Guardians { ids, threshold })
}

fn next(value: &Value) -> Read<Next> {
    hex32(value).map(Next::from_bytes)
}

fn raw_key(value: &Value) -> Read<RawKey> {
    b64u(Form::Key)(value)
}

fn reason(value: &Value) -> Read<Reason> {
    one_of(Reason::from_name, Reason::NAMES)(value)
}

fn profile(value: &Value) -> Read<Profile> {
    let known = [
        "capabilities",
        "credentials",
        "description",
        "display_name",
        "endpoints",
        "hashes",
        "kind",
        "metadata",
        "organization",
        "owner",
        "v",
        "version",
    ];
    let fields = Fields::of(value, &known)?;
    Ok(Profile {
        display_name: fields.optional("display_name", text(128))?,
        kind: fields.optional("kind", text(64))?,
        owner: fields.optional("owner", text(128))?,
        organization: fields.optional("organization", text(128))?,
        capabilities: fields.items("capabilities", capabilities)?,
        description: fields.optional("description", text(500))?,
        version: fields.optional("version", text(64))?,
        endpoints: fields.items("endpoints", |value| list(value, MAX_ENDPOINTS, endpoint))?,
        credentials: fields.items("credentials", |value| list(value, MAX_CREDENTIALS, credential))?,
        hashes: fields.items("hashes", hashes)?,
        metadata: fields.optional("metadata", metadata)?,
    })
}

fn endpoint(value: &Value) -> Read<Endpoint> {
    let fields = Fields::of(value, &["protocol", "url"])?;
    Ok(Endpoint { protocol: fields.required("protocol", text(32))?, url: fields.required("url", text(2048))? })
}

fn credential(value: &Value) -> Read<Credential> {
    let fields = Fields::of(value, &["proof", "type", "value"])?;
    Ok(Credential {
        kind: fields.required("type", text(64))?,
        value: fields.required("value", text(4096))?,
        proof: fields.optional("proof", text(4096))?,
    })
}

fn hashes(value: &Value) -> Read<Vec<(String, [u8; 32])>> {
    let members = object(value)?;
    if members.len() > MAX_HASHES {
        return Err(BodyError::here(FieldFault::TooMany { max: MAX_HASHES }));
    }
    let hash = |(name, value): &(String, Value)| {
        let name = label(&Value::String(name.clone())).map_err(|error| error.within(name))?;
        let hash = hex32(value).map_err(|error| error.within(&name))?;
        Ok((name, hash))
    };
    members.iter().map(hash).collect()
}

fn metadata(value: &Value) -> Read<Value> {
    object(value)?;
    if value.to_bytes().len() > MAX_METADATA_LEN {
        return Err(BodyError::here(FieldFault::TooLarge { max: MAX_METADATA_LEN }));
    }
    Ok(value.clone())
}

fn receipt(value: &Value) -> Read<Receipt> {
    let fields = Fields::of(value, &["link", "subject", "v"])?;
    Ok(Receipt { subject: fields.required("subject", identity)?, link: fields.required("link", link_ref)? })
}

fn feedback(value: &Value) -> Read<Feedback> {
    let fields = Fields::of(value, &["comment_commit", "link", "subject", "tag", "v", "value"])?;
    Ok(Feedback {
        subject: fields.required("subject", identity)?,
        value: fields.required("value", integer(0, 100))?,
        tag: fields.optional("tag", tag)?,
        link: fields.optional("link", link_ref)?,
        comment_commit: fields.optional("comment_commit", hex32)?,
    })
}

fn attest(value: &Value) -> Read<Attest> {
    let known = ["capabilities", "conditions", "evidence", "expires_ms", "scope", "subject", "v"];
    let fields = Fields::of(value, &known)?;
    Ok(Attest {
        subject: fields.required("subject", identity)?,
        capabilities: fields.required("capabilities", capabilities)?,
        scope: fields.required("scope", text(256))?,
        expires_ms: fields.required("expires_ms", integer(0, MAX_SAFE_INTEGER))?,
        conditions: fields.optional("conditions", conditions)?,
        evidence: fields.optional("evidence", hex32)?,
    })
}

fn conditions(value: &Value) -> Read<Conditions> {
    let fields = Fields::of(value, &["exclude_hosts", "require_hosts", "require_variants"])?;
    Ok(Conditions {
        require_variants: fields.items("require_variants", texts(MAX_CONDITIONS, MAX_HOST_CHARS))?,
        require_hosts: fields.items("require_hosts", texts(MAX_CONDITIONS, MAX_HOST_CHARS))?,
        exclude_hosts: fields.items("exclude_hosts", texts(MAX_CONDITIONS, MAX_HOST_CHARS))?,
    })
}

fn retract(value: &Value) -> Read<Retract> {
    let fields = Fields::of(value, &["link", "v"])?;
    Ok(Retract { link: fields.required("link", link_ref)? })
}

fn notice(value: &Value) -> Read<Notice> {
    let fields = Fields::of(value, &["blocked", "evidence", "kind", "name", "reason", "severity", "subject", "v"])?;
    let body = Notice {
        subject: fields.required("subject", identity)?,
        kind: fields.required("kind", one_of(NoticeKind::from_name, NoticeKind::NAMES))?,
        severity: fields.optional("severity", one_of(Severity::from_name, Severity::NAMES))?,
        blocked: fields.optional("blocked", boolean)?,
        reason: fields.optional("reason", reason)?,
        name: fields.optional("name", domain_name)?,
        evidence: fields.optional("evidence", hex32)?,
    };
    check_notice(&body)?;
    Ok(body)
}

/// A violation has a severity, and may say that it was blocked; `bind` and `release` have a name; no other kind has
/// any of these.
fn check_notice(body: &Notice) -> Read<()> {
    let is_violation = body.kind == NoticeKind::Violation;
    let is_of_name = matches!(body.kind, NoticeKind::Bind | NoticeKind::Release);
    for (field, given, belongs) in [
        ("severity", body.severity.is_some(), is_violation),
        ("blocked", body.blocked.is_some(), is_violation),
        ("name", body.name.is_some(), is_of_name),
    ] {
        if given && !belongs {
            return Err(BodyError::of(field, FieldFault::NotOfThisNotice));
        }
        if !given && belongs && field != "blocked" {
            return Err(BodyError::of(field, FieldFault::Missing));
        }
    }
    Ok(())
}

fn policy(value: &Value) -> Read<Policy> {
    const SCORING: &[&str] = &["beta/1"];
    let fields = Fields::of(value, &["pretrust", "registrars", "rules", "scoring", "v"])?;
    let known_scoring = |name: &str| SCORING.contains(&name).then(|| name.to_owned());
    Ok(Policy {
        registrars: fields.items("registrars", identities(MAX_REGISTRARS))?,
        pretrust: fields.items("pretrust", identities(MAX_PRETRUST))?,
        scoring: fields.optional("scoring", one_of(known_scoring, SCORING))?,
        rules: fields.optional("rules", integer(VERSION, VERSION))?,
    })
}
