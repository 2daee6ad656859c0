//! Entries that an honest log would not have, in a tree that is right and signed by the log.

use std::sync::Arc;

use soulchain::encoding::UnixMillis;
use soulchain::hash::Hash;
use soulchain::map::{identity_key, identity_value};
use soulchain::registry::Status;
use soulchain::soul::{
    Body, Curr, Keys, Link, LinkType, Notice, NoticeKind, Outcome, Reason, RevokeAgent, Roles, Seqno,
};

use crate::log::{ACT, Agent, BOTH, Log, kid_of, listed, profile};
use crate::{Audited, audit_of};

/// Audits a log that does one thing wrong after its agents were founded, and then goes on honestly.
///
/// `wrong` says what has to be found. Nothing else may be.
fn check(wrong: impl FnOnce(&mut Log, &mut Agent, &mut Agent) -> Vec<(&'static str, u64)>) -> Audited {
    let (mut log, mut alpha, mut beta) = Log::with_agents();
    log.act(&mut alpha);
    let expected: Vec<_> =
        wrong(&mut log, &mut alpha, &mut beta).into_iter().map(|(code, index)| (code, Some(index))).collect();
    log.act(&mut beta);
    log.seal();
    let audited = audit_of(&log.files());
    assert_eq!(audited.codes(), expected, "{:#?}", audited.found);
    assert_eq!(audited.report.judged.get(), log.next(), "all of it was judged");
    audited
}

/// One link that no rule allows.
fn check_link(code: &'static str, make: impl FnOnce(&mut Log, &mut Agent, &mut Agent) -> Link) -> Audited {
    let mut named = None;
    let audited = check(|log, alpha, beta| {
        let link = make(log, alpha, beta);
        let genesis = link.header().identity.is_zero();
        let identity = if genesis { link.curr().to_hex() } else { link.header().identity.to_hex() };
        named = Some((identity, link.header().seqno.get()));
        vec![(code, log.push_raw(link.entry().to_vec()))]
    });
    let found = &audited.found[0];
    assert_eq!((found.identity.clone(), found.seqno), named.map(|(id, seqno)| (Some(id), Some(seqno))).unwrap());
    audited
}

fn action() -> Body {
    Body::Action(None)
}

/// The registrar, whose chain has its genesis alone.
fn registrar(log: &Log) -> Agent {
    let identity = log.registry.office().registrar.unwrap();
    let curr = log.registry.identity(&identity).unwrap().record.head.curr;
    Agent { identity, seqno: Seqno::FIRST, prev: curr, auth: curr, key: 10 }
}

/// Replaces the keys of an agent by these.
fn set_keys(log: &Log, agent: &Agent, keys: &[(u8, Roles)], added: &[u8]) -> Link {
    let body = Keys { keys: listed(keys), next: None, custodian: None, pop: agent.pops(added), suspect_from: None };
    log.link(agent, agent.key, &Body::Keys(body))
}

#[test]
fn an_honest_log() {
    check(|_, _, _| vec![]);
}

#[test]
fn a_link_by_a_retired_key() {
    check_link("unauthorised", |log, alpha, _| {
        let keys = set_keys(log, alpha, &[(1, BOTH)], &[]);
        alpha.advance(&keys);
        log.push(&keys);
        log.link(alpha, 2, &action())
    });
}

#[test]
fn a_link_by_a_key_without_the_role() {
    check_link("unauthorised", |log, alpha, _| log.link(alpha, 2, &profile("not for this key to say")));
}

#[test]
fn a_link_after_revocation() {
    check_link("revoked", |log, alpha, _| {
        let registrar = registrar(log);
        let notice = Notice {
            subject: alpha.identity,
            kind: NoticeKind::Revoke,
            severity: None,
            blocked: None,
            reason: Some(Reason::KeyCompromise),
            name: None,
            evidence: None,
        };
        let revoked = log.link(&registrar, 10, &Body::Notice(notice));
        log.push(&revoked);
        log.link(alpha, 1, &action())
    });
    // All keys are retired by it, which is looked at first.
    check_link("unauthorised", |log, alpha, _| {
        let body = RevokeAgent { reason: Reason::KeyCompromise, recovery: None, suspect_from: None };
        let revoked = log.link(alpha, 1, &Body::RevokeAgent(body));
        alpha.advance(&revoked);
        log.push(&revoked);
        log.link(alpha, 1, &action())
    });
}

#[test]
fn a_link_by_another_identitys_key() {
    check_link("unauthorised", |log, alpha, _| log.link(alpha, 3, &action()));
}

#[test]
fn a_link_that_another_identitys_key_signed_in_the_owners_name() {
    check_link("bad_signature", |log, alpha, _| log.link_with(alpha, 3, &action(), |header| header.kid = kid_of(1)));
}

#[test]
fn a_link_of_nobody() {
    check_link("unknown_identity", |log, alpha, _| {
        log.link_with(alpha, 1, &action(), |header| header.identity = header.prev.into())
    });
    check_link("unknown_identity", |log, alpha, _| {
        log.link_with(alpha, 1, &action(), |header| header.identity = Curr::from_bytes([9; 32]).into())
    });
}

#[test]
fn a_dropped_link() {
    check_link("conflict", |log, alpha, _| {
        let dropped = log.link(alpha, 1, &action());
        alpha.advance(&dropped);
        log.link(alpha, 1, &action())
    });
}

#[test]
fn reordered_links() {
    check(|log, alpha, _| {
        let first = log.link(alpha, 1, &action());
        let mut ahead = *alpha;
        ahead.advance(&first);
        let second = log.link(&ahead, 1, &action());
        let index = log.push_raw(second.entry().to_vec());
        alpha.advance(&first);
        log.push(&first);
        vec![("conflict", index)]
    });
}

#[test]
fn a_duplicated_link() {
    check_link("conflict", |log, alpha, _| {
        let link = log.link(alpha, 1, &action());
        alpha.advance(&link);
        log.push(&link);
        link
    });
}

#[test]
fn a_gap_in_the_seqnos() {
    check_link("conflict", |log, alpha, _| {
        log.link_with(alpha, 1, &action(), |header| header.seqno = header.seqno.next())
    });
}

#[test]
fn a_wrong_prev() {
    check_link("conflict", |log, alpha, beta| log.link_with(alpha, 1, &action(), |header| header.prev = beta.prev));
}

#[test]
fn a_wrong_auth() {
    check_link("conflict", |log, alpha, _| log.link_with(alpha, 1, &action(), |header| header.auth = header.prev));
}

#[test]
fn a_bad_signature() {
    check_link("bad_signature", |log, alpha, _| {
        let mut entry = log.link(alpha, 1, &action()).into_entry();
        entry[300] ^= 1;
        Link::parse_entry(&entry).unwrap()
    });
}

#[test]
fn a_body_that_is_not_the_one_committed_to() {
    check_link("bad_body", |log, alpha, _| {
        let mut entry = log.link(alpha, 1, &profile("A thing that was never signed")).into_entry();
        let at = entry.len() - 12;
        entry[at] ^= 1;
        Link::parse_entry(&entry).unwrap()
    });
}

#[test]
fn a_link_of_another_log() {
    check_link("wrong_log", |log, alpha, _| {
        log.link_with(alpha, 1, &action(), |header| header.log_id = soulchain::soul::LogId::of_origin("other.example"))
    });
}

#[test]
fn an_anchor_that_is_no_checkpoint() {
    // Entry 4 is a trailer: size 5 may be anchored to, but not with this root.
    check_link("bad_anchor", |log, alpha, _| {
        log.link_with(alpha, 1, &action(), |header| {
            (header.anchor_size, header.anchor_root) = (5, Hash::from_bytes([7; 32]));
        })
    });
    check_link("bad_anchor", |log, alpha, _| {
        let root = crate::log::root(&log.leaves()[..4]);
        log.link_with(alpha, 1, &action(), |header| (header.anchor_size, header.anchor_root) = (4, root))
    });
    check(|log, alpha, _| {
        let root = crate::log::root(&log.leaves()[..5]);
        let link = log.link_with(alpha, 1, &action(), |header| (header.anchor_size, header.anchor_root) = (5, root));
        alpha.advance(&link);
        log.push(&link);
        vec![]
    });
}

#[test]
fn a_name_that_is_given_twice() {
    check_link("name_taken", |log, _, _| log.genesis(5, Some("alpha"), &[(5, BOTH)]));
}

#[test]
fn a_key_that_is_used_twice() {
    check_link("key_in_use", |log, _, _| log.genesis(5, None, &[(5, BOTH), (2, ACT)]));
}

#[test]
fn a_key_that_nobody_proved_to_hold() {
    check_link("bad_body", |log, alpha, _| set_keys(log, alpha, &[(1, BOTH), (2, ACT), (6, ACT)], &[]));
}

#[test]
fn a_proof_of_possession_that_is_none() {
    check_link("bad_signature", |log, alpha, _| {
        let mut pop = alpha.pops(&[6]);
        pop[0].sig[1] ^= 1;
        let keys = listed(&[(1, BOTH), (2, ACT), (6, ACT)]);
        let body = Keys { keys, next: None, custodian: None, pop, suspect_from: None };
        log.link(alpha, 1, &Body::Keys(body))
    });
}

#[test]
fn a_link_from_the_future() {
    let audited = check(|log, alpha, _| {
        let link =
            log.link_with(alpha, 1, &action(), |header| header.ctime = UnixMillis::new(log.time + 1000 + 300_001));
        alpha.advance(&link);
        vec![("clock", log.push(&link))]
    });
    assert_eq!(audited.found[0].seqno, Some(3));
}

#[test]
fn a_link_5_minutes_ahead_is_not_late() {
    check(|log, alpha, _| {
        let link = log.link_with(alpha, 1, &action(), |header| header.ctime = UnixMillis::new(log.time + 301_000));
        alpha.advance(&link);
        log.push(&link);
        vec![]
    });
}

#[test]
fn entries_of_no_known_kind() {
    for entry in [&b"{\"v\":1}"[..], &[0x03, 1, 2], &[0x00]] {
        check(|log, _, _| vec![("malformed", log.push_raw(entry.into()))]);
    }
    check(|log, alpha, _| {
        let cut = log.link(alpha, 1, &action()).into_entry();
        vec![("malformed", log.push_raw(cut[..200].into()))]
    });
}

#[test]
fn an_entry_of_zero_length() {
    check(|log, _, _| vec![("malformed", log.push_raw(Vec::new()))]);
}

#[test]
fn an_outcome_where_there_is_none() {
    check(|log, alpha, _| {
        // Such a header is no header: it is written by hand.
        let mut entry = log.link_with(alpha, 1, &action(), |header| header.outcome = Outcome::Success).into_entry();
        entry[156..158].copy_from_slice(&[0, 5]);
        vec![("malformed", log.push_raw(entry))]
    });
}

#[test]
fn a_wrong_map_root() {
    check(|log, _, _| {
        let mut trailer = log.true_trailer();
        trailer.map_root[0] ^= 1;
        vec![("trailer_map_root", log.push_raw(trailer.to_bytes().into()))]
    });
}

#[test]
fn a_forged_identity_record() {
    check(|log, alpha, beta| {
        log.seal();
        let mut trailer = log.true_trailer();
        let mut tree = log.registry.committed().map().clone();
        let leaf = tree.iter().find(|leaf| leaf.key == identity_key(beta.identity.as_bytes())).unwrap().clone();
        let mut record = log.registry.identity(&beta.identity).unwrap().record.clone();
        Arc::make_mut(&mut record.standing).status = Status::Revoked;
        tree.update(vec![(leaf.key, Some((identity_value(&record.to_bytes()), leaf.payload.clone())))]);
        trailer.map_root = *tree.root().as_bytes();
        // The trailer before it is true, so that a link has to come between them.
        log.act(alpha);
        trailer.covers = soulchain::merkle::LeafIndex::new(log.next());
        vec![("trailer_map_root", log.push_raw(trailer.to_bytes().into()))]
    });
}

#[test]
fn a_trailer_whose_time_runs_backwards() {
    for back in [2000, 1000] {
        check(|log, _, _| {
            let mut trailer = log.true_trailer();
            trailer.log_time = UnixMillis::new(trailer.log_time.get() - back);
            vec![("trailer_log_time", log.push_raw(trailer.to_bytes().into()))]
        });
    }
}

#[test]
fn a_trailer_that_covers_something_else() {
    for off in [-1_i64, 1] {
        check(|log, _, _| {
            let mut trailer = log.true_trailer();
            trailer.covers = soulchain::merkle::LeafIndex::new(trailer.covers.get().checked_add_signed(off).unwrap());
            vec![("trailer_covers", log.push_raw(trailer.to_bytes().into()))]
        });
    }
}

#[test]
fn a_trailer_that_counts_wrong() {
    check(|log, _, _| {
        let mut trailer = log.true_trailer();
        trailer.identities += 1;
        vec![("trailer_identities", log.push_raw(trailer.to_bytes().into()))]
    });
}

#[test]
fn two_trailers_in_a_row() {
    check(|log, _, _| {
        log.seal();
        let trailer = log.true_trailer();
        vec![("trailer_follows_trailer", log.push_raw(trailer.to_bytes().into()))]
    });
}

#[test]
fn a_trailer_that_cannot_be_read() {
    check(|log, _, _| vec![("trailer_malformed", log.push_raw(vec![0x02; 76]))]);
}

#[test]
fn a_first_entry_that_is_not_the_registrar() {
    let mut log = Log::new();
    let first = log.genesis(10, Some("other"), &[(10, BOTH)]);
    log.push_raw(first.entry().to_vec());
    let second = log.genesis(1, Some("alpha"), &[(1, BOTH)]);
    log.push_raw(second.entry().to_vec());
    log.seal();
    let audited = audit_of(&log.files());
    let expected = [("bad_body", Some(0)), ("unknown_identity", Some(1))];
    assert_eq!(audited.codes(), expected, "{:#?}", audited.found);
}

#[test]
fn a_second_registrar() {
    check_link("bad_body", |log, _, _| log.genesis(5, Some("registrar"), &[(5, BOTH)]));
}

#[test]
fn rules_of_a_later_version_are_not_judged() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let link = log.link_of(&registrar(&log), 10, LinkType::Policy, br#"{"rules":2,"v":1}"#, |_| {});
    let stop = log.push_raw(link.into_entry());
    log.act(&mut alpha);
    log.seal();
    let audited = audit_of(&log.files());
    assert_eq!(audited.codes(), []);
    let blind = audited.report.blind.map(|blind| blind.to_string());
    assert_eq!(blind, Some(format!("the policy at entry {stop} asks for version 2 of the rules")));
    assert!(!audited.report.is_clean());
    assert_eq!(audited.report.judged.get(), stop);
}

#[test]
fn several_faults_are_all_told() {
    let audited = check(|log, alpha, beta| {
        let one = log.link(alpha, 3, &action());
        let one = log.push_raw(one.entry().to_vec());
        let two = log.link_with(beta, 3, &action(), |header| header.seqno = Seqno::new(77));
        let two = log.push_raw(two.entry().to_vec());
        log.act(beta);
        let mut trailer = log.true_trailer();
        trailer.map_root = [1; 32];
        let three = log.push_raw(trailer.to_bytes().into());
        vec![("unauthorised", one), ("conflict", two), ("trailer_map_root", three)]
    });
    assert_eq!(audited.found[1].seqno, Some(77));
}
