//! A link proof: the checks `link`, `inclusion` and `body`, and what the proof has beyond them.

use super::check::Check;
use super::extra::LinkExtra;
use super::failure::Why;
use super::judge::Steps;
use super::key::check_signed;
use super::proof::ReadProof;
use super::state::{Place, check_signer_state};
use super::tree::Tree;
use super::verdict::LinkShown;
use crate::merkle::LeafIndex;
use crate::soul::{
    Header, Identity, Link, LinkError, LinkType, ReadLink, Refusal, check_link as check_link_body, check_pops,
};

pub(super) fn judge_link(
    proof: &ReadProof,
    extra: &LinkExtra,
    tree: &Tree,
    steps: &mut Steps,
) -> Result<LinkShown, Why> {
    let index = proof.file().index();
    let parsed = proof.link().expect("a link proof was read with its link");
    let link = check_link(parsed, tree)?;
    steps.pass(Check::Link, format!("{} {}", link.header().link_type, link.curr()));
    tree.has(&extra.entry, index, proof.file().path()).map_err(Why::Inclusion)?;
    steps.pass(Check::Inclusion, format!("entry {index} of {}", tree.size));
    let body = extra.disclosed.as_ref().map(|beside| beside.body.as_slice()).or(link.body()).map(<[u8]>::to_vec);
    let read = check_body(link, extra, index, tree)?;
    steps.pass(Check::Body, if body.is_some() { "keeps the rules" } else { "empty, or not disclosed" });

    let (header, curr) = (read.header(), read.link().curr());
    let identity = identity_of(&read);
    let is_genesis = header.link_type == LinkType::Genesis;
    let place = Place { identity, index, seqno: header.seqno, curr, is_genesis };
    let state = match &extra.state {
        None => None,
        Some(state) => Some(check_signer_state(&state.part, &state.path, proof.record(), &place, tree, steps)?),
    };
    let record = state.as_ref().map(|state| &state.record);
    let key = check_signed(&read, index, record, &extra.key_events, tree.log_id, steps)?;
    Ok(LinkShown { index, identity, curr, header: header.clone(), body, key, state })
}

/// A link of this log; a genesis only as the first of its chain.
fn check_link<'a>(parsed: &'a Result<Link, LinkError>, tree: &Tree) -> Result<&'a Link, Why> {
    let link = parsed.as_ref().map_err(|error| Why::Link(*error))?;
    let header = link.header();
    if header.log_id != tree.log_id {
        return Err(Why::OfLog(header.log_id));
    }
    if header.link_type == LinkType::Genesis && !header.begins_chain() {
        return Err(Why::NotFirst);
    }
    Ok(link)
}

fn check_body(link: &Link, extra: &LinkExtra, index: LeafIndex, tree: &Tree) -> Result<ReadLink, Why> {
    let read = ReadLink::read(link.clone(), extra.disclosed.clone(), tree.log_id).map_err(Why::Body)?;
    check_link_body(read.header(), read.body(), Some(index)).map_err(|error| Why::Body(error.into()))?;
    if read.header().link_type == LinkType::Genesis {
        check_pops(read.header(), read.body()).map_err(|kid| Why::Body(Refusal::Pop(kid)))?;
    }
    Ok(read)
}

fn identity_of(read: &ReadLink) -> Identity {
    match read.header() {
        Header { link_type: LinkType::Genesis, .. } => read.link().curr().into(),
        header => header.identity,
    }
}
