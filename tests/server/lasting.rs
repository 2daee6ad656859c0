//! What admission rests on outlives the process: a log in which everything has happened that a rule asks for, closed and
//! opened again, with its views and without them, and as a crash leaves it. It shows the same, refuses the same, and
//! goes on the same.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use soulchain::ed25519::SigningKey;
use soulchain::encoding::UnixMillis;
use soulchain::log::Severity;
use soulchain::node::check_directory;
use soulchain::soul::{Body, Genesis, Guardians, Keys, LinkRef, Notice, NoticeKind, Policy, Seqno};
use tempfile::TempDir;

use super::agent::{Agent, Signed, key};
use super::support::{Server, Setup};
use super::types::{attest, domain, feedback, notice, receipt, retract, revocation, with_next};

/// Everyone in the log, each with what a rule remembers of it.
struct Cast {
    registrar: Agent,
    officer: Agent,
    actor: Agent,
    speaker: Agent,
    slow: Agent,
    turned: (Agent, SigningKey),
    guarded: (Agent, SigningKey, SigningKey),
    many: Agent,
    gone: (Agent, SigningKey),
    ended: (Agent, SigningKey),
    ward: (Agent, Agent),
    suspicious: Agent,
    /// Of the registrar: that the slow one is verified.
    verified: LinkRef,
    /// Of the speaker: an attest and feedback that were taken back.
    taken_back: [LinkRef; 2],
    /// Of the speaker: feedback that stands.
    stands: LinkRef,
}

fn setup() -> Setup {
    Setup { publish: Duration::from_hours(1), ..Setup::default() }
}

fn rotate(server: &Server, agent: &mut Agent, fresh: SigningKey, suspect_from: Option<u64>) {
    let keys = Keys { suspect_from: suspect_from.map(Seqno::new), ..agent.rotation(&fresh) };
    let event = agent.sign(&agent.admin.clone(), &Body::Keys(keys));
    server.append(&[event]);
    agent.act = fresh;
}

impl Cast {
    fn gather(server: &Server) -> Self {
        let mut registrar = server.registrar();
        let (admin, act) = (registrar.admin.clone(), registrar.act.clone());
        let officer = Agent::registered(server, "officer");
        let mut actor = Agent::registered(server, "actor");
        let speaker = Agent::registered(server, "speaker");
        server.append(&[actor.empty(), actor.inline(r#"{"v":1}"#)]);
        let policy = Policy {
            registrars: sorted([registrar.identity(), officer.identity()]),
            pretrust: vec![actor.identity()],
            ..Policy::default()
        };
        let mut links = vec![registrar.sign(&admin, &Body::Policy(policy))];
        for name in ["held.example", "freed.example"] {
            links.push(registrar.sign(&act, &domain(actor.identity(), NoticeKind::Bind, name)));
        }
        links.push(registrar.sign(&admin, &domain(actor.identity(), NoticeKind::Release, "freed.example")));
        links.push(registrar.sign(&act, &Body::Notice(notice(speaker.identity(), NoticeKind::Verified))));
        server.append(&links);
        let mut slow = Agent::new(server.node.log_id(), "slow");
        slow.ctime = Some(UnixMillis::new(1_000));
        let genesis = slow.genesis();
        server.append(&[genesis]);
        let verify = Body::Notice(notice(slow.identity(), NoticeKind::Verified));
        let link = registrar.sign(&act, &verify);
        server.append(&[link]);
        let mut turned = Agent::registered(server, "turned");
        let first = turned.act.clone();
        rotate(server, &mut turned, key("turned 2"), None);
        let mut many = Agent::registered(server, "many");
        for at in 0..32 {
            rotate(server, &mut many, key(&format!("many {at}")), None);
        }
        let mut cast = Self {
            guarded: recovered(server),
            gone: ended(server, "gone", true),
            ended: ended(server, "ended", false),
            ward: warded(server),
            suspicious: Agent::registered(server, "suspicious"),
            turned: (turned, first),
            taken_back: [actor.newest(); 2],
            stands: actor.newest(),
            verified: registrar.newest(),
            registrar,
            officer,
            actor,
            speaker,
            slow,
            many,
        };
        cast.speak(server);
        // All of that leaves memory with its bundle.
        let mut filler = Agent::registered(server, "filler");
        let links: Vec<Signed> = (0..256).map(|_| filler.empty()).collect();
        server.append(&links);
        cast
    }

    fn speak(&mut self, server: &Server) {
        let (id, about) = (self.actor.identity(), self.actor.newest());
        let suspend = Body::Notice(Notice { reason: None, ..notice(id, NoticeKind::Suspend) });
        server.append(&[self.officer.say(&suspend)]);
        server.append(&[self.speaker.say(&receipt(id, about)), self.speaker.say(&attest(id))]);
        self.taken_back[0] = self.speaker.newest();
        let first = LinkRef { seqno: Seqno::FIRST.next(), curr: about.curr };
        let earlier = LinkRef { curr: Self::action(server, 2), ..first };
        server.append(&[self.speaker.say(&feedback(id, Some(earlier)))]);
        self.taken_back[1] = self.speaker.newest();
        server.append(&[self.speaker.say(&feedback(id, Some(about)))]);
        self.stands = self.speaker.newest();
        server.append(&[self.suspicious.empty(), self.suspicious.empty()]);
    }

    fn action(server: &Server, seqno: u64) -> soulchain::soul::Curr {
        let shown = server.json(&format!("/v1/agents/actor/links/{seqno}"));
        soulchain::soul::Curr::from_hex(shown["curr"].as_str().unwrap()).unwrap()
    }

    /// Links that rest on what is long in the public files: replayed, they read the past.
    fn reach_back(&mut self, server: &Server) {
        for link in self.taken_back {
            server.append(&[self.speaker.say(&retract(link))]);
        }
        let link = self.registrar.sign(&self.registrar.act.clone(), &retract(self.verified));
        server.append(&[link]);
        assert_eq!(server.record("slow")["verified"], false);
        rotate(server, &mut self.suspicious, key("suspicious 2"), Some(2));
        let unsuspend = Body::Notice(notice(self.ward.0.identity(), NoticeKind::Suspend));
        server.append(&[self.ward.1.say(&unsuspend)]);
    }

    /// What a log with this past refuses.
    fn refusals(&self) -> Vec<(&'static str, Signed, u16, &'static str)> {
        let (actor, speaker, registrar) = (&self.actor, &self.speaker, &self.registrar);
        let (id, about) = (actor.identity(), actor.newest());
        let said = |body: &Body| speaker.unsent(&speaker.act, body);
        let keys = |agent: &Agent, fresh: &SigningKey| agent.unsent(&agent.admin, &Body::Keys(agent.rotation(fresh)));
        let (turned, first) = &self.turned;
        let (guarded, spent, next) = &self.guarded;
        let fresh = [&key("g admin 9"), &key("g act 9")];
        let back = |agent: &Agent, next: &SigningKey, then: &SigningKey| {
            agent.unsent(next, &Body::Recover(agent.recovery(next, then, fresh)))
        };
        let mut twin = Agent::new(actor.log_id, "actor");
        (twin.admin, twin.act) = (key("twin admin"), key("twin act"));
        let mut early = self.slow.clone();
        early.ctime = Some(UnixMillis::new(999));
        let bind =
            |agent: &Agent, name| agent.unsent(&agent.act, &domain(self.slow.identity(), NoticeKind::Bind, name));
        vec![
            ("a handle", twin.genesis(), 409, "name_taken"),
            ("a domain name", bind(registrar, "held.example"), 409, "name_taken"),
            ("office", bind(speaker, "new.example"), 403, "unauthorised"),
            ("a key that was listed", keys(turned, first), 409, "key_in_use"),
            ("a key that is listed", keys(turned, &actor.act), 409, "key_in_use"),
            ("a key that signed as recovery", keys(turned, spent), 409, "key_in_use"),
            ("a next that was committed", back(guarded, next, spent), 409, "key_in_use"),
            ("keys retired of late", keys(&self.many, &key("many 99")), 409, "too_many_keys"),
            ("an end by the next key", back(&self.gone.0, &self.gone.1, &key("gone 9")), 403, "revoked"),
            ("an end", self.ended.0.unsent_inline(r#"{"v":1}"#), 403, "unauthorised"),
            ("the clock of the link before", early.unsent_inline(r#"{"v":1}"#), 400, "clock"),
            ("a receipt", said(&receipt(id, about)), 400, "bad_reference"),
            ("feedback", said(&feedback(id, Some(about))), 400, "bad_reference"),
            ("what was taken back", said(&retract(self.taken_back[0])), 400, "bad_reference"),
            ("an identity that has ended", said(&attest(self.ended.0.identity())), 400, "bad_reference"),
        ]
    }

    #[track_caller]
    fn is_refused(&self, server: &Server) {
        for (what, link, status, code) in self.refusals() {
            let before = server.size_and_root();
            let answer = server.submit(&[link]);
            assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{what}: {answer:?}");
            assert_eq!(server.size_and_root(), before, "{what}");
        }
    }

    /// What only shows when the log goes on: each step rests on something that records do not show.
    fn goes_on(mut self, server: &Server) {
        let (id, act) = (self.actor.identity(), self.registrar.act.clone());
        let earlier = LinkRef { seqno: Seqno::new(2), curr: Self::action(server, 2) };
        // Taken back, it can be said again; what stands can be taken back.
        server.append(&[self.speaker.say(&feedback(id, Some(earlier)))]);
        server.append(&[self.speaker.say(&retract(self.stands))]);
        let freed = domain(self.speaker.identity(), NoticeKind::Bind, "freed.example");
        let link = self.registrar.sign(&act, &freed);
        server.append(&[link]);
        // The suspension was an officer's, and goes with the office; the verification was the registrar's own.
        assert_eq!(server.record("actor")["status"], "suspended");
        let link = self.registrar.sign(&self.registrar.admin.clone(), &Body::Policy(Policy::default()));
        server.append(&[link]);
        assert_eq!(server.record("actor")["status"], "active");
        assert_eq!(server.record("speaker")["verified"], true);
        // The second guardian.
        let (ward, guardian) = &mut self.ward;
        assert_eq!(server.record("ward")["status"], "suspended");
        let revoke = Body::Notice(notice(ward.identity(), NoticeKind::Revoke));
        let link = guardian.sign(&guardian.admin.clone(), &revoke);
        server.append(&[link]);
        assert_eq!(server.record("ward")["status"], "revoked");
        let (ended, next) = &self.ended;
        let back = ended.recovery(next, &key("ended 9"), [&key("e admin 9"), &key("e act 9")]);
        server.append(&[ended.unsent(next, &Body::Recover(back))]);
        let mut slow = self.slow;
        slow.ctime = Some(UnixMillis::new(1_001));
        server.append(&[slow.unsent_inline(r#"{"v":1}"#)]);
        server.audit();
    }
}

fn sorted<const N: usize>(mut ids: [soulchain::soul::Identity; N]) -> Vec<soulchain::soul::Identity> {
    ids.sort();
    ids.to_vec()
}

/// Recovered once: the key that signed, and the one that is next.
fn recovered(server: &Server) -> (Agent, SigningKey, SigningKey) {
    let (mut agent, spent) = with_next(server, "guarded");
    let (next, fresh) = (key("guarded 2"), [&key("g admin 2"), &key("g act 2")]);
    let event = agent.sign(&spent, &Body::Recover(agent.recovery(&spent, &next, fresh)));
    server.append(&[event]);
    (agent.admin, agent.act) = (key("g admin 2"), key("g act 2"));
    (agent, spent, next)
}

fn ended(server: &Server, name: &str, by_next: bool) -> (Agent, SigningKey) {
    let (mut agent, next) = with_next(server, name);
    let recovery = by_next.then(|| *next.public().as_bytes());
    let signer = if by_next { next.clone() } else { agent.admin.clone() };
    let event = agent.sign(&signer, &Body::RevokeAgent(revocation(recovery)));
    server.append(&[event]);
    (agent, next)
}

/// A ward that one of two guardians has revoked, and the other guardian.
fn warded(server: &Server) -> (Agent, Agent) {
    let mut first = Agent::registered(server, "first-guardian");
    let second = Agent::registered(server, "second-guardian");
    let mut ward = Agent::new(server.node.log_id(), "ward");
    let guardians = Guardians { ids: sorted([first.identity(), second.identity()]), threshold: 2 };
    let founding = Genesis { guardians: Some(guardians), ..ward.founding() };
    let genesis = ward.genesis_of(founding);
    server.append(&[genesis]);
    let revoke = Body::Notice(notice(ward.identity(), NoticeKind::Revoke));
    let link = first.sign(&first.admin.clone(), &revoke);
    server.append(&[link]);
    (ward, second)
}

/// Everything that the log shows.
fn picture(server: &Server) -> Vec<Value> {
    let directory = server.json("/v1/agents?limit=1000");
    let mut shown = vec![serde_json::to_value(server.size_and_root()).unwrap(), directory.clone()];
    for row in directory["agents"].as_array().unwrap() {
        let id = row["identity"].as_str().unwrap();
        shown.push(server.json(&format!("/v1/agents/{id}")));
        shown.push(server.json(&format!("/v1/agents/{id}/links?limit=1000")));
        shown.push(server.json(&format!("/v1/agents/{id}/about?limit=100")));
        let target = format!("/v1/agents/{id}/links/{}/proof?state=true", row["seqno"]);
        assert_eq!(server.get(&target).status, 200, "{target}");
    }
    shown
}

fn without_views(directory: &TempDir) {
    std::fs::remove_dir_all(directory.path().join("data/views")).unwrap();
}

#[test]
fn a_log_with_every_type_outlives_its_process() {
    let server = Server::with(setup());
    let mut cast = Cast::gather(&server);
    // What is replayed from the journal alone then names what is in the public files alone.
    server.flush();
    cast.reach_back(&server);
    let killed = server.crashed();
    assert_ne!(server.node.engine().flushed(), server.node.view().size(), "the journal alone has the newest links");
    let shown = picture(&server);
    cast.is_refused(&server);
    assert_eq!(picture(&server), shown);
    let directory = server.stop();

    // As a crash left it: first with the views of the last flush, then without any.
    let server = Server::open(Arc::clone(&killed), setup());
    assert!(picture(&server) == shown, "after a crash");
    cast.is_refused(&server);
    let killed = server.stop();
    without_views(&killed);
    let server = Server::open(killed, setup());
    assert!(picture(&server) == shown, "after a crash, without views");
    cast.is_refused(&server);
    drop(server);

    let server = Server::open(directory, setup());
    assert!(picture(&server) == shown, "opened again");
    cast.is_refused(&server);
    let directory = server.stop();
    without_views(&directory);
    let server = Server::open(directory, setup());
    assert!(picture(&server) == shown, "without views");
    cast.is_refused(&server);
    cast.goes_on(&server);
}

#[test]
fn a_check_of_the_directory_reads_the_past_whatever_the_chain_index_says() {
    let server = Server::with(setup());
    let mut cast = Cast::gather(&server);
    server.flush();
    cast.reach_back(&server);
    let shown = picture(&server);
    let directory = server.stop();
    let data = directory.path().join("data");
    let report = check_directory(&data, false, &mut |_| ()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    // Rows that lead nowhere: found, and all else is checked nonetheless; mended; and fine.
    let rows = std::fs::metadata(data.join("chain.idx")).unwrap().len() as usize;
    std::fs::write(data.join("chain.idx"), vec![0x11; rows]).unwrap();
    for repair in [false, true] {
        let report = check_directory(&data, repair, &mut |_| ()).unwrap();
        let damage: Vec<_> = report.findings.iter().filter(|found| found.severity == Severity::Damage).collect();
        assert!(damage.iter().all(|found| found.name == "chain.idx" && found.repairable), "{damage:?}");
        assert_eq!(damage.len(), 1);
    }
    assert!(check_directory(&data, false, &mut |_| ()).unwrap().is_clean());
    without_views(&directory);
    let server = Server::open(directory, setup());
    assert!(picture(&server) == shown);
    cast.is_refused(&server);
    server.audit();
}
