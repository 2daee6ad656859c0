//! Cases of a log of our own, for ways to be wrong that the vectors do not have, and for every type of link.

use std::sync::Arc;

use soulchain::merkle::{LeafIndex, TreeSize};
use soulchain::registry::{KeyRoles, Record, Suspect};
use soulchain::soul::{
    Attest, Body, Curr, Feedback, Identity, Keys, LinkRef, LinkType, LogId, Notice, NoticeKind, Policy, Profile,
    Reason, Receipt, Recover, Retract, RevokeAgent, Roles, Seqno,
};
use soulchain::verify::{Check, Extra, Failure, KeyEventFault, KeyProven, Shown, SignerState, Verdict, Why};

use super::own_log::{ACT, ADMIN, BOTH, Chain, Tree, genesis, key_record, kid_of, listed, log_id, next_of, pk};

const ACTION: Body = Body::Action(None);

// --- the record ---

/// A record agrees with a link before its head, and with the head, and in no other way.
#[test]
fn places_in_a_record() {
    let mut chain = Chain::founded();
    chain.add(1, &ACTION);
    chain.add(1, &ACTION);
    let record = chain.record(&[(1, KeyRoles::Listed(BOTH))]);
    for at in 0..3 {
        assert_eq!(proven(chain.prove(at, Some(&record), &[])), Some(KeyProven::Live), "{at}");
    }
    let changed = |change: &dyn Fn(&mut Record)| {
        let mut other = record.clone();
        change(&mut other);
        why(chain.prove(1, Some(&other), &[]))
    };
    let link = &chain.links[1];
    assert_eq!(changed(&|record| record.head.curr = link.curr()), Why::NotHead);
    assert_eq!(changed(&|record| record.head.seqno = Seqno::new(2)), Why::NotHead);
    assert_eq!(changed(&|record| record.head.index = Chain::index(1)), Why::NotHead);
    assert_eq!(changed(&|record| record.head.seqno = Seqno::new(1)), Why::BeyondHead);
    assert_eq!(changed(&|record| record.head.index = Chain::index(0)), Why::BeyondHead);
    let found = Identity::from_bytes([8; 32]);
    assert_eq!(changed(&|record| record.identity = found), Why::OtherIdentity { found });

    let mut other = record.clone();
    let recorded = LeafIndex::new(3);
    Arc::make_mut(&mut other.standing).genesis_index = recorded;
    assert_eq!(why(chain.prove(0, Some(&other), &[])), Why::GenesisIndex { recorded });
    assert_eq!(proven(chain.prove(1, Some(&other), &[])), Some(KeyProven::Live));
    assert_eq!(why(chain.prove_absent_signer(1)), Why::NoRecord(chain.identity));
}

/// From the event that adds a key to the one that retires it, both included; and before what is disowned.
#[test]
fn lives_of_a_key() {
    let mut chain = Chain::founded();
    chain.add(1, &ACTION);
    chain.add(1, &ACTION);
    let judge = |added: u64, revoked: Option<u64>, suspect: Option<u64>| {
        let mut record = chain.record(&[]);
        let mut key = key_record(1, KeyRoles::Listed(BOTH));
        key.added = LeafIndex::new(added);
        key.revoked = revoked.map(LeafIndex::new);
        key.suspect = suspect.map(|from| Suspect { from: Seqno::new(from), by: None });
        Arc::make_mut(&mut record.standing).keys = vec![key];
        chain.prove(1, Some(&record), &[])
    };
    // The link is at index 2 and has seqno 2.
    for (added, revoked) in [(0, None), (2, None), (0, Some(2)), (2, Some(2)), (1, Some(3))] {
        assert_eq!(proven(judge(added, revoked, None)), Some(KeyProven::Live));
    }
    for (added, revoked) in [(3, None), (3, Some(3)), (0, Some(1)), (1, Some(1))] {
        assert_eq!(why(judge(added, revoked, None)), Why::NotLive(kid_of(1)));
    }
    assert_eq!(proven(judge(0, None, Some(3))), Some(KeyProven::Live));
    for from in [1, 2] {
        assert_eq!(why(judge(0, None, Some(from))), Why::Disputed { from: Seqno::new(from) });
    }
    let without = chain.record(&[(2, KeyRoles::Listed(BOTH))]);
    assert_eq!(why(chain.prove(1, Some(&without), &[])), Why::UnknownKey(kid_of(1)));
}

/// The table of roles, told by the record and by the key events alike.
#[test]
fn roles_of_each_type() {
    let other = Identity::from_bytes([7; 32]);
    let link = LinkRef { curr: Curr::from_bytes([1; 32]), seqno: Seqno::new(1) };
    let notice = |kind, name: Option<&str>| {
        let name = name.map(str::to_owned);
        Body::Notice(Notice { subject: other, kind, severity: None, blocked: None, reason: None, name, evidence: None })
    };
    let attest = Attest {
        subject: other,
        capabilities: vec!["pay".to_owned()],
        scope: "all".to_owned(),
        expires_ms: 1,
        conditions: None,
        evidence: None,
    };
    let feedback = Feedback { subject: other, value: 1, tag: None, link: None, comment_commit: None };
    let keys = Keys { keys: listed(&[(3, ADMIN)]), next: None, custodian: None, pop: Vec::new(), suspect_from: None };
    let revoke_agent = RevokeAgent { reason: Reason::Superseded, recovery: None, suspect_from: None };
    let cases = [
        (Body::Keys(keys), false, true),
        (Body::RevokeAgent(revoke_agent), false, true),
        (Body::Profile(Profile::default()), false, true),
        (Body::Policy(Policy::default()), false, true),
        (ACTION, true, false),
        (Body::Receipt(Receipt { subject: other, link }), true, false),
        (Body::Feedback(feedback), true, false),
        (Body::Attest(attest), true, false),
        (Body::Retract(Retract { link }), true, true),
        (notice(NoticeKind::Suspend, None), true, false),
        (notice(NoticeKind::Unsuspend, None), true, false),
        (notice(NoticeKind::Verified, None), true, false),
        (notice(NoticeKind::Unverified, None), true, false),
        (notice(NoticeKind::Bind, Some("a.example")), true, false),
        (notice(NoticeKind::Revoke, None), false, true),
        (notice(NoticeKind::Release, Some("a.example")), false, true),
    ];
    for (body, act, admin) in cases {
        for (signer, roles, may) in [(2, ACT, act), (3, ADMIN, admin), (4, BOTH, true)] {
            check_role(&body, signer, roles, may);
        }
    }
}

fn check_role(body: &Body, signer: u8, roles: Roles, may: bool) {
    let Body::Genesis(mut founding) = genesis() else { unreachable!() };
    let mut chain = Chain::default();
    founding.keys = listed(&[(1, BOTH), (2, ACT), (3, ADMIN), (4, BOTH)]);
    founding.pop = chain.pops(1, &[2, 3, 4]);
    chain.add(1, &Body::Genesis(founding));
    chain.add(signer, body);
    let record = chain.record(&[(signer, KeyRoles::Listed(roles))]);
    let retired = chain.record(&[(signer, KeyRoles::Recovery)]);
    let by_record = chain.prove(1, Some(&record), &[]);
    let by_key_events = chain.prove(1, None, &chain.key_events(1));
    assert_eq!(why(chain.prove(1, Some(&retired), &[])), Why::Role(kid_of(signer)), "{body:?}");
    if may {
        assert_eq!(proven(by_record), Some(KeyProven::Live), "{body:?}");
        assert_eq!(proven(by_key_events), Some(KeyProven::Listed), "{body:?}");
    } else {
        assert_eq!(why(by_record), Why::Role(kid_of(signer)), "{body:?}");
        let unlisted = KeyEventFault::Signer(kid_of(signer));
        assert_eq!(why(by_key_events), Why::AfterKeyEvents(unlisted), "{body:?}");
    }
}

// --- recovery keys ---

/// What a recovery key signs names it, and a record lists it as such and as nothing else.
#[test]
fn recovery_keys_in_a_record() {
    let mut chain = Chain::founded();
    chain.add(50, &recover(&chain, 50, 2, 51));
    chain.add(51, &end_by(51));
    for at in [1, 2] {
        let signer = [50, 51][at - 1];
        let record = chain.record(&[(signer, KeyRoles::Recovery)]);
        assert_eq!(proven(chain.prove(at, Some(&record), &[])), Some(KeyProven::Live));
        assert_eq!(proven(chain.prove(at, None, &chain.key_events(at))), Some(KeyProven::Listed));
        assert_eq!(proven(chain.prove(at, None, &[])), Some(KeyProven::Listed), "the link names its key");
        let as_admin = chain.record(&[(signer, KeyRoles::Listed(BOTH))]);
        assert_eq!(why(chain.prove(at, Some(&as_admin), &[])), Why::Role(kid_of(signer)));
    }
}

/// The key in `recovery` is the one that signs.
#[test]
fn recovery_keys_that_do_not_sign() {
    let mut chain = Chain::founded();
    chain.add(1, &recover(&chain, 50, 2, 51));
    chain.add(1, &end_by(51));
    let record = chain.record(&[(1, KeyRoles::Recovery)]);
    for at in [1, 2] {
        for (record, key_events) in [(None, 0), (None, at), (Some(&record), 0)] {
            let judged = chain.prove(at, record, &chain.key_events(key_events));
            assert_eq!(why(judged), Why::Signer(kid_of(1)));
        }
    }
}

// --- key events ---

/// An admin's `revoke_agent` leaves no key, and the recovery key may still return.
#[test]
fn a_return_after_revoke_agent() {
    let end = RevokeAgent { reason: Reason::KeyCompromise, recovery: None, suspect_from: None };
    let mut chain = Chain::founded();
    chain.add(1, &Body::RevokeAgent(end));
    let ended = chain.clone();
    chain.add(50, &recover(&chain, 50, 2, 51));
    chain.add(2, &ACTION);
    assert_eq!(proven(chain.prove(3, None, &chain.key_events(3))), Some(KeyProven::Listed));

    let mut late = ended.clone();
    late.add(1, &ACTION);
    let unlisted = |n| KeyEventFault::Signer(kid_of(n));
    assert_eq!(why(late.prove(2, None, &late.key_events(2))), Why::AfterKeyEvents(unlisted(1)));
    let mut thief = ended.clone();
    thief.add(52, &recover(&thief, 52, 2, 51));
    thief.add(2, &ACTION);
    assert_eq!(why(thief.prove(3, None, &thief.key_events(3))), Why::KeyEvent { at: 2, fault: unlisted(52) });
    assert_eq!(why(thief.prove(2, None, &thief.key_events(2))), Why::AfterKeyEvents(unlisted(52)));
    // The key set of before does not count: a key that was in it is added like any other.
    let mut again = ended;
    let Body::Recover(mut body) = recover(&again, 50, 1, 51) else { unreachable!() };
    body.pop.clear();
    again.add(50, &Body::Recover(body));
    again.add(1, &ACTION);
    let fault = KeyEventFault::PopMissing(kid_of(1));
    assert_eq!(why(again.prove(3, None, &again.key_events(3))), Why::KeyEvent { at: 2, fault });
}

/// A used recovery key does not sign twice, and a set `next` is the recover's to replace.
#[test]
fn commitments_follow_each_other() {
    let mut chain = Chain::founded();
    chain.add(50, &recover(&chain, 50, 2, 51));
    let mut twice = chain.clone();
    twice.add(50, &recover(&twice, 50, 3, 52));
    assert_eq!(why(twice.prove(2, None, &twice.key_events(2))), Why::AfterKeyEvents(KeyEventFault::Signer(kid_of(50))));
    chain.add(51, &recover(&chain, 51, 3, 52));
    chain.add(3, &ACTION);
    assert_eq!(proven(chain.prove(3, None, &chain.key_events(3))), Some(KeyProven::Listed));

    // Where none is set, a keys event may set one.
    let Body::Genesis(mut founding) = genesis() else { unreachable!() };
    founding.next = None;
    let mut chain = Chain::default();
    chain.add(1, &Body::Genesis(founding));
    let keys = |next| Keys { keys: listed(&[(1, BOTH)]), next, custodian: None, pop: Vec::new(), suspect_from: None };
    chain.add(1, &Body::Keys(keys(Some(next_of(50)))));
    chain.add(1, &ACTION);
    assert_eq!(proven(chain.prove(2, None, &chain.key_events(2))), Some(KeyProven::Listed));
    // The link itself is judged as far as it and its index tell.
    chain.add(1, &Body::Keys(keys(Some(next_of(51)))));
    assert_eq!(proven(chain.prove(3, None, &chain.key_events(3))), Some(KeyProven::Listed));
    chain.add(1, &ACTION);
    let fault = KeyEventFault::NextReplaced;
    assert_eq!(why(chain.prove(4, None, &chain.key_events(4))), Why::KeyEvent { at: 2, fault });
}

#[test]
fn key_events_of_another_log() {
    let mut chain = Chain::default();
    chain.add_changed(1, &genesis(), |header| header.log_id = LogId::of_origin("log.example/other"));
    chain.add(1, &ACTION);
    let judged = chain.prove(1, None, &chain.key_events(1));
    assert!(matches!(why(judged), Why::KeyEvent { at: 0, fault: KeyEventFault::Refused(_) }));
    // Of the same link without them, nothing but that it is logged is shown.
    assert_eq!(proven(chain.prove(1, None, &[])), None);
}

#[test]
fn key_events_out_of_order() {
    let mut chain = Chain::founded();
    chain.add(50, &recover(&chain, 50, 2, 51));
    chain.add(2, &ACTION);
    let at = |at, fault| Why::KeyEvent { at, fault };
    let events = chain.key_events(2);
    assert_eq!(why(chain.prove(2, None, &events[1..])), at(0, KeyEventFault::NotGenesis));
    assert_eq!(why(chain.prove(2, None, &events[..1])), Why::AfterKeyEvents(KeyEventFault::Auth));
    let twice = [events[0].clone(), events[1].clone(), events[1].clone()];
    assert_eq!(why(chain.prove(2, None, &twice)), at(2, KeyEventFault::Seqno(Seqno::new(2))));

    let mut unnamed = Chain::founded();
    unnamed.add_changed(50, &recover(&unnamed, 50, 2, 51), |header| header.auth = Curr::ZERO);
    unnamed.add(2, &ACTION);
    assert_eq!(why(unnamed.prove(2, None, &unnamed.key_events(2))), at(1, KeyEventFault::Auth));

    let mut same_seqno = Chain::founded();
    same_seqno.add_changed(1, &ACTION, |header| header.seqno = Seqno::new(1));
    let judged = same_seqno.prove(1, None, &same_seqno.key_events(1));
    assert_eq!(why(judged), Why::AfterKeyEvents(KeyEventFault::Seqno(Seqno::new(1))));
}

/// What is no genesis founds nothing, though it has the id that the link names; what is no key event is no step.
#[test]
fn key_events_of_other_types() {
    let at = |at, fault| Why::KeyEvent { at, fault };
    let mut chain = Chain::default();
    chain.add(50, &recover(&chain, 50, 2, 51));
    chain.identity = chain.links[0].curr().into();
    chain.add(2, &ACTION);
    assert_eq!(why(chain.prove(1, None, &chain.key_events(1))), at(0, KeyEventFault::NotGenesis));

    let mut chain = Chain::founded();
    chain.add(1, &ACTION);
    let action = chain.links[1].curr();
    chain.add_changed(50, &recover(&chain, 50, 2, 51), |header| header.auth = action);
    let events = [chain.entry(0), chain.entry(1)];
    assert_eq!(why(chain.prove(2, None, &events)), at(1, KeyEventFault::NotKeyEvent(LinkType::Action)));
}

#[test]
fn key_events_of_another_identity_or_by_another_key() {
    let at = |at, fault| Why::KeyEvent { at, fault };
    let other = Identity::from_bytes([6; 32]);
    let mut chain = Chain::founded();
    let end = RevokeAgent { reason: Reason::KeyCompromise, recovery: None, suspect_from: None };
    chain.add_changed(1, &Body::RevokeAgent(end), |header| header.identity = other);
    chain.add(50, &recover(&chain, 50, 2, 51));
    assert_eq!(why(chain.prove(2, None, &chain.key_events(2))), at(1, KeyEventFault::OtherIdentity(other)));

    // The recovery key is named, and another signs.
    let mut chain = Chain::founded();
    chain.add(1, &recover(&chain, 50, 2, 51));
    chain.add(2, &ACTION);
    assert_eq!(why(chain.prove(2, None, &chain.key_events(2))), at(1, KeyEventFault::Signer(kid_of(1))));
}

// --- links and trailers ---

#[test]
fn links_of_another_log() {
    let other = LogId::of_origin("log.example/other");
    let mut chain = Chain::founded();
    chain.add_changed(1, &ACTION, |header| header.log_id = other);
    assert_eq!(why(chain.prove(1, None, &[])), Why::OfLog(other));
    assert_ne!(other, log_id());
}

/// A trailer in the middle, or one that covers less, is no state of this tree.
#[test]
fn trailers_that_are_not_the_last() {
    let mut chain = Chain::founded();
    chain.add(1, &ACTION);
    let record = chain.record(&[(1, KeyRoles::Listed(BOTH))]);
    let tree = Tree::of(&chain, Some(&record));
    let part = tree.part(Some(record.to_bytes()));
    let last = tree.last();
    let shown = tree.judge(&Extra::State(part.clone()), last, |_| {});
    assert!(matches!(shown.unwrap().shown(), Shown::State(state) if state.record == record));
    for index in 0..last {
        let judged = tree.judge(&Extra::State(part.clone()), index, |_| {});
        assert_eq!(why(judged).check(), Check::Trailer, "{index}");
    }
    let mut less = part;
    less.trailer[20 + 7] -= 1;
    assert_eq!(why(tree.judge(&Extra::State(less), last, |_| {})).check(), Check::Trailer);
}

/// A state that was true once, with a path that still leads to the root.
#[test]
fn trailers_that_were_the_last() {
    let mut chain = Chain::founded();
    chain.add(1, &ACTION);
    let record = chain.record(&[(1, KeyRoles::Listed(BOTH))]);
    let tree = Tree::of(&chain, Some(&record));
    let (then, part) = (tree.last(), tree.part(Some(record.to_bytes())));
    let tree = tree.grown();
    let state = Some(SignerState { path: tree.path(then), part: part.clone() });
    let (index, size) = (LeafIndex::new(then as u64), TreeSize::new(then as u64 + 3));
    assert_eq!(why(chain.prove_with(1, &tree, state, &[])), Why::NotLast { index, size });
    assert_eq!(why(tree.judge(&Extra::State(part), then, |_| {})), Why::NotLast { index, size });
}

/// Only the one key of the map that is asked about is answered for.
#[test]
fn absence_from_a_map_of_one_leaf() {
    let chain = Chain::founded();
    let record = chain.record(&[]);
    let tree = Tree::of(&chain, Some(&record));
    let absent = Extra::State(tree.part(None));
    let ask = |identity| tree.judge(&absent, tree.last(), |request| request.identity = Some(identity));
    assert!(matches!(ask(Identity::ZERO).unwrap().shown(), Shown::Absent(_)));
    assert_eq!(why(ask(chain.identity)).check(), Check::Map);
    assert_eq!(why(tree.judge(&absent, tree.last(), |_| {})), Why::AbsenceOfWhat);
}

fn recover(chain: &Chain, recovery: u8, key: u8, next: u8) -> Body {
    Body::Recover(Recover {
        keys: listed(&[(key, BOTH)]),
        next: next_of(next),
        recovery: pk(recovery),
        custodian: None,
        pop: chain.pops(recovery, &[key]),
        suspect_from: None,
    })
}

fn end_by(recovery: u8) -> Body {
    Body::RevokeAgent(RevokeAgent { reason: Reason::KeyCompromise, recovery: Some(pk(recovery)), suspect_from: None })
}

fn why(judged: Result<Verdict, Failure>) -> Why {
    let failure = judged.expect_err("the proof has to be refused");
    assert_eq!(failure.check, failure.why.check());
    failure.why
}

/// How the key of an accepted link proof is known.
fn proven(judged: Result<Verdict, Failure>) -> Option<KeyProven> {
    match judged.unwrap().shown() {
        Shown::Link(link) => {
            assert_eq!(
                link.header.link_type == LinkType::Genesis,
                link.curr == Curr::from_bytes(*link.identity.as_bytes())
            );
            link.key
        }
        _ => None,
    }
}
