//! The checks `trailer`, `map` and `record`.

use super::check::Check;
use super::extra::StatePart;
use super::failure::Why;
use super::judge::{Request, Steps};
use super::proof::ReadProof;
use super::tree::Tree;
use super::verdict::{Absent, Asked, Shown, StateShown};
use crate::hash::Hash;
use crate::map::{MapKey, identity_key, identity_value, name_key};
use crate::merkle::LeafIndex;
use crate::registry::Record;
use crate::soul::{Curr, Identity, Seqno, Trailer};

/// A state proof, which is of the trailer.
pub(super) fn judge_state(
    request: &Request<'_>,
    proof: &ReadProof,
    part: &StatePart,
    tree: &Tree,
    steps: &mut Steps,
) -> Result<Shown, Why> {
    let index = proof.file().index();
    if !tree.ends_at(index) {
        return Err(Why::NotLast { index, size: tree.size });
    }
    let trailer = check_trailer(&part.trailer, proof.file().path(), tree, steps)?;
    let Some(record) = proof.record() else {
        let asked = proof.absent().expect("a proof of absence was read with what it answers for");
        check_absent(part, asked.key(), &trailer, steps)?;
        return Ok(Shown::Absent(Absent { asked: asked.clone(), trailer }));
    };
    check_included(part, record, &trailer, steps)?;
    check_asked(request, record)?;
    steps.pass(Check::Record, format!("of {}", record.identity));
    Ok(Shown::State(StateShown { record: record.clone(), trailer }))
}

/// The link that a record has to agree with.
pub(super) struct Place {
    pub(super) identity: Identity,
    pub(super) index: LeafIndex,
    pub(super) seqno: Seqno,
    pub(super) curr: Curr,
    pub(super) is_genesis: bool,
}

/// The state of a link's signer.
pub(super) fn check_signer_state(
    part: &StatePart,
    path: &[Hash],
    record: Option<&Record>,
    link: &Place,
    tree: &Tree,
    steps: &mut Steps,
) -> Result<StateShown, Why> {
    let trailer = check_trailer(&part.trailer, path, tree, steps)?;
    let Some(record) = record else {
        check_absent(part, identity_key(link.identity.as_bytes()), &trailer, steps)?;
        return Err(Why::NoRecord(link.identity));
    };
    check_included(part, record, &trailer, steps)?;
    check_place(record, link)?;
    steps.pass(Check::Record, "of the identity, and the link has its place in it");
    Ok(StateShown { record: record.clone(), trailer })
}

fn check_trailer(entry: &[u8], path: &[Hash], tree: &Tree, steps: &mut Steps) -> Result<Trailer, Why> {
    let trailer = Trailer::parse(entry).ok_or(Why::NoTrailer)?;
    let index = trailer.covers;
    if !tree.ends_at(index) {
        return Err(Why::NotLast { index, size: tree.size });
    }
    tree.has(entry, index, path).map_err(Why::TrailerPath)?;
    steps.pass(Check::Trailer, format!("the last leaf, at log time {} ms", trailer.log_time));
    Ok(trailer)
}

fn check_included(part: &StatePart, record: &Record, trailer: &Trailer, steps: &mut Steps) -> Result<(), Why> {
    let key = identity_key(record.identity.as_bytes());
    let value = identity_value(part.record.as_deref().unwrap_or_default());
    part.map.verify_included(&key, &value, &map_root(trailer)).map_err(Why::Map)?;
    steps.pass(Check::Map, "the record is in the trailer's map");
    Ok(())
}

fn check_absent(part: &StatePart, key: MapKey, trailer: &Trailer, steps: &mut Steps) -> Result<(), Why> {
    part.map.verify_absent(&key, &map_root(trailer)).map_err(Why::Map)?;
    steps.pass(Check::Map, "it is not in the trailer's map");
    Ok(())
}

const fn map_root(trailer: &Trailer) -> Hash {
    Hash::from_bytes(trailer.map_root)
}

fn check_asked(request: &Request<'_>, record: &Record) -> Result<(), Why> {
    if request.identity.is_some_and(|asked| asked != record.identity) {
        return Err(Why::OtherIdentity { found: record.identity });
    }
    let standing = &record.standing;
    let bears =
        |name: &str| standing.name.as_deref() == Some(name) || standing.domains.iter().any(|domain| domain == name);
    if request.name.is_some_and(|asked| !bears(asked)) {
        return Err(Why::OtherName);
    }
    Ok(())
}

fn check_place(record: &Record, link: &Place) -> Result<(), Why> {
    if record.identity != link.identity {
        return Err(Why::OtherIdentity { found: record.identity });
    }
    let head = &record.head;
    if link.seqno > head.seqno || link.index > head.index {
        return Err(Why::BeyondHead);
    }
    let shared = [link.index == head.index, link.seqno == head.seqno, link.curr == head.curr];
    if shared.contains(&true) && shared.contains(&false) {
        return Err(Why::NotHead);
    }
    let recorded = record.standing.genesis_index;
    if link.is_genesis && link.index != recorded {
        return Err(Why::GenesisIndex { recorded });
    }
    Ok(())
}

impl Asked {
    fn key(&self) -> MapKey {
        match self {
            Self::Name(name) => name_key(name),
            Self::Identity(identity) => identity_key(identity.as_bytes()),
        }
    }
}
