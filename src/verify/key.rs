//! The checks `key`, `signature` and `disputed`.

use super::check::Check;
use super::failure::Why;
use super::judge::Steps;
use super::key_events::listed_key;
use super::verdict::KeyProven;
use crate::ed25519::PublicKey;
use crate::merkle::LeafIndex;
use crate::registry::{KeyRoles, Record};
use crate::soul::{LogId, RawKey, ReadLink, SignerRole};

/// Judges the signer by all that the proof has: the link itself, the record, the key events. `None` where none of them
/// tells the key.
pub(super) fn check_signed(
    link: &ReadLink,
    index: LeafIndex,
    record: Option<&Record>,
    key_events: &[Vec<u8>],
    log_id: LogId,
    steps: &mut Steps,
) -> Result<Option<KeyProven>, Why> {
    let kid = link.header().kid;
    let named = link.named_signer().map_err(|_| Why::Signer(kid))?.copied();
    let live = record.map(|record| live_key(record, link, index)).transpose()?;
    let listed = (!key_events.is_empty()).then(|| listed_key(key_events, link, log_id)).transpose()?;
    // A kid fixes its key, so whoever tells it tells the same.
    let Some(pk) = live.or(listed).or(named) else { return Ok(None) };
    let proven = if live.is_some() { KeyProven::Live } else { KeyProven::Listed };
    steps.pass(Check::Key, key_line(proven, !key_events.is_empty()));
    if !PublicKey::from_bytes(&pk).is_some_and(|key| link.link().is_signed_by(&key)) {
        return Err(Why::Signature(kid));
    }
    steps.pass(Check::Signature, format!("by key {kid}"));
    if let Some(record) = record {
        check_undisputed(record, link)?;
        steps.pass(Check::Disputed, "not disowned");
    }
    Ok(Some(proven))
}

/// The key, if the record has it with the role and it was live at that index.
fn live_key(record: &Record, link: &ReadLink, index: LeafIndex) -> Result<RawKey, Why> {
    let kid = link.header().kid;
    let key = record.key(&kid).ok_or(Why::UnknownKey(kid))?;
    if !key.live_at(index) {
        return Err(Why::NotLive(kid));
    }
    let role = link.body().signer_role();
    let has_role = match key.roles {
        KeyRoles::Recovery => role == SignerRole::Next,
        KeyRoles::Listed(roles) => roles.suffice_for(role),
    };
    if has_role { Ok(key.pk) } else { Err(Why::Role(kid)) }
}

fn check_undisputed(record: &Record, link: &ReadLink) -> Result<(), Why> {
    let (kid, seqno) = (link.header().kid, link.header().seqno);
    match record.key(&kid).and_then(|key| key.suspect) {
        Some(suspect) if seqno >= suspect.from => Err(Why::Disputed { from: suspect.from }),
        _ => Ok(()),
    }
}

const fn key_line(proven: KeyProven, has_key_events: bool) -> &'static str {
    match (proven, has_key_events) {
        (KeyProven::Live, false) => "live at that index, by the record",
        (KeyProven::Live, true) => "live at that index, by the record, and listed by the key events",
        (KeyProven::Listed, false) => "the one that the link itself names; no state says that it was live",
        (KeyProven::Listed, true) => "listed by the key events; no state says that it was live",
    }
}
