//! The record of an identity (formats.md §6), for people and for machines.

use super::output::Output;
use super::time::readable;
use crate::encoding::{UnixMillis, hex_encode};
use crate::registry::{KeyRecord, KeyRoles, Record};
use crate::soul::Identity;

/// All that a record says, keys that are retired included.
pub(super) fn tell_record(out: &Output, record: &Record, log_time: UnixMillis) {
    let (head, standing) = (&record.head, &*record.standing);
    let hex = |identity: Option<&Identity>| identity.map(Identity::to_hex).unwrap_or_default();
    let guardians = standing.guardians.as_ref().map(|guardians| {
        let ids: Vec<_> = guardians.ids.iter().map(Identity::to_hex).collect();
        format!("{} of {}", guardians.threshold, ids.join(", "))
    });
    let overlays: Vec<_> = standing
        .overlays
        .iter()
        .map(|overlay| format!("{} by {} (entry {})", overlay.kind.name(), overlay.issuer, overlay.index))
        .collect();
    out.fields(&[
        ("identity", record.identity.to_hex()),
        ("name", standing.name.clone().unwrap_or_default()),
        ("domains", standing.domains.join(", ")),
        ("status", standing.status.name().into()),
        ("verified", if standing.verified { "yes" } else { "no" }.into()),
        ("notices", overlays.join(", ")),
        ("controller", hex(standing.controller.as_ref())),
        ("custodian", hex(standing.custodian.as_ref())),
        ("guardians", guardians.unwrap_or_default()),
        ("profile", standing.profile.map(|hash| hex_encode(&hash)).unwrap_or_default()),
        ("links", head.seqno.to_string()),
        ("newest link", format!("{} (entry {})", head.curr, head.index)),
        ("key event", standing.key_head.to_hex()),
        ("recovery key", if standing.next.is_some() { "set" } else { "none" }.into()),
        ("as of", readable(log_time.get())),
    ]);
    out.line("");
    out.table(&["key", "roles", "added at", "retired at", "disowned"], standing.keys.iter().map(key_row).collect());
    out.line("");
}

/// The record as the log commits to it.
pub(super) fn record_json(record: &Record) -> serde_json::Value {
    serde_json::from_slice(&record.to_bytes()).expect("a record is JSON")
}

fn key_row(key: &KeyRecord) -> Vec<String> {
    let roles = match key.roles {
        KeyRoles::Listed(roles) => roles.names().collect::<Vec<_>>().join(", "),
        KeyRoles::Recovery => "recovery".into(),
    };
    let retired = key.revoked.map(|index| index.to_string()).unwrap_or_default();
    let disowned = key.suspect.map(|suspect| format!("from {}", suspect.from)).unwrap_or_default();
    vec![key.kid.to_hex(), roles, key.added.to_string(), retired, disowned]
}
