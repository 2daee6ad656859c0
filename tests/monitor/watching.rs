//! What is told of watched identities and names.

use soulchain::monitor::{Desk, Kind, LogSettings, WatchList};
use soulchain::soul::{Body, Keys, LinkRef, Notice, NoticeKind, Reason, Retract, RevokeAgent, Seqno};

use crate::log::{ACT, Agent, BOTH, Log, listed};
use crate::{Sim, kinds, settings};

pub(crate) fn watching(words: &[&str]) -> Sim {
    let watch = WatchList::of(words.iter().copied());
    Sim::of(LogSettings { watch, ..settings() }, Desk::default())
}

fn registrar(log: &Log) -> Agent {
    let identity = log.registry.office().registrar.unwrap();
    let head = log.registry.identity(&identity).unwrap().record.head;
    let auth = log.registry.identity(&identity).unwrap().record.standing.key_head;
    Agent { identity, seqno: head.seqno, prev: head.curr, auth, key: 10 }
}

pub(crate) fn append(log: &mut Log, agent: &mut Agent, body: &Body) -> LinkRef {
    let link = log.link(agent, agent.key, body);
    log.push(&link);
    agent.advance(&link);
    LinkRef { curr: link.curr(), seqno: link.header().seqno }
}

pub(crate) fn keys(agent: &Agent, suspect_from: Option<Seqno>) -> Body {
    let keys = listed(&[(agent.key, BOTH), (30 + agent.key, ACT)]);
    let pop = agent.pops(&[30 + agent.key]);
    Body::Keys(Keys { keys, next: None, custodian: None, pop, suspect_from })
}

fn notice(subject: &Agent, kind: NoticeKind, name: Option<&str>) -> Body {
    let (severity, blocked, reason, evidence) = (None, None, None, None);
    let name = name.map(Into::into);
    Body::Notice(Notice { subject: subject.identity, kind, severity, blocked, reason, name, evidence })
}

#[test]
fn key_events_of_a_watched_name() {
    let (mut log, mut alpha, mut beta) = Log::with_agents();
    let mut sim = watching(&["alpha"]);
    assert_eq!(kinds(&sim.round(&log.files())), [], "what was before is not told");
    for _ in 0..2 {
        log.act(&mut alpha);
    }
    let (of_alpha, of_beta) = (keys(&alpha, Some(Seqno::new(3))), keys(&beta, None));
    append(&mut log, &mut beta, &of_beta);
    append(&mut log, &mut alpha, &of_alpha);
    log.seal();
    let reports = sim.round(&log.files());
    assert_eq!(kinds(&reports), [Kind::Keys, Kind::Disputed], "{reports:#?}");
    assert!(reports[0].text.starts_with(&format!("alpha ({}) has a new key set of 2 keys", alpha.identity)));
    assert!(reports[1].text.contains("from seqno 3 on"));
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), [], "it is told once");
    let revoke = Body::RevokeAgent(RevokeAgent { reason: Reason::Superseded, recovery: None, suspect_from: None });
    append(&mut log, &mut alpha, &revoke);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Revoked]);
}

#[test]
fn what_others_say() {
    let (mut log, alpha, _) = Log::with_agents();
    let mut sim = watching(&[&alpha.identity.to_hex()]);
    sim.round(&log.files());
    let mut registrar = registrar(&log);
    let said = append(&mut log, &mut registrar, &notice(&alpha, NoticeKind::Suspend, None));
    append(&mut log, &mut registrar, &notice(&alpha, NoticeKind::Bind, Some("alpha.example")));
    append(&mut log, &mut registrar, &Body::Retract(Retract { link: said }));
    append(&mut log, &mut registrar, &notice(&alpha, NoticeKind::Release, Some("alpha.example")));
    log.seal();
    let reports = sim.round(&log.files());
    let expected = [Kind::Notice, Kind::NameBound, Kind::Retraction, Kind::NameReleased];
    assert_eq!(kinds(&reports), expected, "{reports:#?}");
    assert!(reports[0].text.starts_with(&format!("suspend of {} by {}", alpha.identity, registrar.identity)));
}

#[test]
fn names_that_look_alike() {
    let (mut log, _, beta) = Log::with_agents();
    log.found(40, Some("a1pha"), &[(40, BOTH)]);
    log.seal();
    let mut sim = watching(&["alpha", "gamma"]);
    let reports = sim.round(&log.files());
    assert_eq!(kinds(&reports), [Kind::Lookalike], "of the past too: {reports:#?}");
    log.found(41, Some("alfa"), &[(41, BOTH)]);
    log.found(42, Some("al-pha"), &[(42, BOTH)]);
    log.found(43, Some("gamma"), &[(43, BOTH)]);
    let mut registrar = registrar(&log);
    append(&mut log, &mut registrar, &notice(&beta, NoticeKind::Bind, Some("gam.ma")));
    log.seal();
    let reports = sim.round(&log.files());
    let expected = [Kind::Lookalike, Kind::Registered, Kind::Lookalike];
    assert_eq!(kinds(&reports), expected, "{reports:#?}");
    assert!(reports[0].text.contains("al-pha") && reports[2].text.contains("gam.ma"));
}

#[test]
fn everybody() {
    let (mut log, _, mut beta) = Log::with_agents();
    let mut sim = watching(&["*"]);
    assert_eq!(kinds(&sim.round(&log.files())), []);
    log.found(40, None, &[(40, BOTH)]);
    let body = keys(&beta, None);
    append(&mut log, &mut beta, &body);
    log.act(&mut beta);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::Registered, Kind::Keys]);
}

/// What is not valid did not happen.
#[test]
fn an_event_that_breaks_a_rule() {
    let (mut log, alpha, mut beta) = Log::with_agents();
    let mut sim = watching(&["alpha"]);
    sim.round(&log.files());
    let link = log.link(&alpha, 3, &keys(&alpha, None));
    log.push_raw(link.into_entry());
    log.act(&mut beta);
    log.seal();
    assert_eq!(kinds(&sim.round(&log.files())), [Kind::BadEntry]);
}

/// A kill between finding and telling: told after it, with the same id; and not lost.
#[test]
fn reports_that_were_not_told() {
    let (mut log, mut alpha, _) = Log::with_agents();
    let mut sim = watching(&["alpha"]);
    sim.round(&log.files());
    let body = keys(&alpha, None);
    append(&mut log, &mut alpha, &body);
    log.seal();
    let untold = sim.round_untold(&log.files(), Vec::new());
    assert_eq!(kinds(&untold), [Kind::Keys]);
    sim.restart();
    assert_eq!(sim.monitor.reports(), untold);
    assert_eq!(sim.round(&log.files()), untold, "once, however often the round is repeated");
    sim.restart();
    assert_eq!(kinds(&sim.round(&log.files())), []);
}
