//! What becomes of an identity whose keys are stolen, whose owner comes back, that ends, that bears a domain name; and
//! what a relying party sees of it, which has a policy and proofs and no word of the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;
use soulchain::client::{
    Action, Agent, AgentKeys, Client, ClientError, KeyChange, KeyEvent, KnownLog, Logged, ProofWanted, RelyingParty,
    Signer, now,
};
use soulchain::keyfile::KeyFile;
use soulchain::registry::Record;
use soulchain::soul::Profile;
use soulchain::tlog::Policy;

use crate::node::Node;

impl Node {
    /// A node, the policy of its log in `policy.txt`, and agents of these names.
    fn with_agents(names: &[&str]) -> Self {
        let node = Self::start();
        let log = node.json("soulchain log info");
        node.write("policy.txt", log["log"]["policy"].as_str().unwrap());
        for name in names {
            node.stdout(&format!("soulchain agent register {name} --unencrypted"));
        }
        node
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.stdout(&format!("{line} --json"))).unwrap()
    }

    /// What a command that fails with this exit code prints.
    #[track_caller]
    fn fails(&self, code: i32, line: &str) -> String {
        let done = self.shell(line);
        let printed = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(code), "{line}\n{printed}");
        printed
    }

    /// The proven record of an agent.
    fn record(&self, who: &str) -> Value {
        self.json(&format!("soulchain resolve {who} --policy policy.txt"))["record"].clone()
    }

    fn has(&self, file: &str) -> bool {
        self.dir.path().join(file).exists()
    }

    fn key(&self, file: &str) -> Signer {
        Signer::from(&KeyFile::read(&self.dir.path().join(file), None).unwrap().key)
    }

    /// Does something with the library.
    fn run<T>(&self, work: impl AsyncFnOnce(&Client, &KnownLog) -> T) -> T {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let client = Client::new(&self.url).unwrap();
            let log = KnownLog::ask(&client).await.unwrap();
            work(&client, &log).await
        })
    }

    fn offline(&self, file: &str) -> Value {
        self.json(&format!("soulchain verify {file} --policy policy.txt --state"))[0].clone()
    }
}

const KEYS: &str = ".soulchain/keys";

#[test]
fn a_stolen_act_key() {
    let node = Node::with_agents(&["scout"]);
    node.stdout("soulchain agent act scout honest");
    node.stdout("soulchain log proof --agent scout --seqno 2 --policy policy.txt --out honest.tlog-proof");
    node.stdout(&format!("mkdir thief && cp {KEYS}/scout-act.key thief"));
    for n in 3..6 {
        node.stdout("soulchain agent act scout stolen --keys thief");
        node.stdout(&format!(
            "soulchain log proof --agent scout --seqno {n} --policy policy.txt --out stolen-{n}.tlog-proof"
        ));
    }
    let done =
        node.json("soulchain agent rotate scout --key act --suspect-from 3 --unencrypted --proof rotate.tlog-proof");
    assert_eq!((&done["link"]["seqno"], &done["resumed"]), (&6.into(), &false.into()), "{done}");
    assert!(node.has(&format!("{KEYS}/scout-act.key.retired-6")) && !node.has(&format!("{KEYS}/scout-act.new.key")));
    assert!(!node.has(&format!("{KEYS}/scout.pending")) && !node.has(&format!("{KEYS}/scout-admin.key.retired-6")));
    node.stdout("soulchain verify rotate.tlog-proof --policy policy.txt");
    // What was proven before stays proven, as of then.
    for file in ["honest", "stolen-3", "stolen-4", "stolen-5"] {
        assert_eq!(node.offline(&format!("{file}.tlog-proof"))["ok"], true);
    }
    // No state from now on bears out what the thief signed; what the owner signed before, each does.
    for n in 3..6 {
        let refused = node.fails(1, &format!("soulchain log proof --agent scout --seqno {n} --policy policy.txt"));
        assert!(refused.contains("disputed"), "{refused}");
    }
    node.stdout("soulchain log proof --agent scout --seqno 2 --policy policy.txt --out honest.tlog-proof");
    assert_eq!(node.offline("honest.tlog-proof")["ok"], true);
    // The thief is out, the owner goes on.
    let refused = node.fails(1, "soulchain agent act scout more --keys thief");
    assert!(refused.contains("not a live key"), "{refused}");
    let unheeding =
        thief_appends(&node, "scout", AgentKeys { act: Some(node.key("thief/scout-act.key")), admin: None });
    assert_eq!(unheeding.unwrap_err().code(), "unauthorised");
    node.stdout("soulchain agent act scout mine");
    node.stdout("soulchain log proof --agent scout --seqno 7 --policy policy.txt --out mine.tlog-proof");
    assert_eq!(node.offline("mine.tlog-proof")["state"]["seqno"], 7);
    // Who looks at the record sees why.
    let record = node.record("scout");
    let disowned: Vec<_> =
        record["keys"].as_array().unwrap().iter().filter(|key| key.get("suspect_from").is_some()).collect();
    assert_eq!((disowned.len(), &disowned[0]["suspect_from"], &disowned[0]["suspect_by"]), (1, &3.into(), &6.into()));
}

/// An action by whoever holds these keys, without a look at whether they are live.
fn thief_appends(node: &Node, who: &str, keys: AgentKeys) -> Result<Logged, ClientError> {
    node.run(async |client, log| {
        let record = proven_record(node, client, log, who).await;
        let mut agent = Agent::of_record(client, log, &record, keys);
        agent.act(&Action::new("stolen"), ProofWanted::Log, now()).await
    })
}

/// The record of an agent as the library proves it.
async fn proven_record(node: &Node, client: &Client, log: &KnownLog, who: &str) -> Record {
    let policy = Policy::parse(node.read("policy.txt").as_bytes()).unwrap();
    let party = RelyingParty { client, policy: &policy, origin: log.origin().as_str(), max_age_seconds: None };
    party.state(who).await.unwrap().record().unwrap().clone()
}

/// Somebody who appends to a chain without pause.
struct Flood {
    stop: Arc<AtomicBool>,
    appended: JoinHandle<u64>,
}

impl Flood {
    /// Returns once the chain is flooded.
    fn start(node: &Node, who: &str, keys: AgentKeys) -> Self {
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (stop, url, who) = (Arc::new(AtomicBool::new(false)), node.url.clone(), who.to_owned());
        let stopped = Arc::clone(&stop);
        let flood = async move {
            let client = Client::new(&url).unwrap();
            let log = KnownLog::ask(&client).await.unwrap();
            let mut agent = Agent::open(&client, &log, &who, keys).await.unwrap();
            let mut appended = 0;
            while !stopped.load(Ordering::Relaxed) {
                let profile = Profile { kind: Some(format!("flood {appended}")), ..Profile::default() };
                match agent.set_profile(&profile, ProofWanted::None, now()).await {
                    // An answer without a proof is not believed, but the link is in.
                    Ok(_) | Err(ClientError::False(_)) => {
                        appended += 1;
                        begun.send(()).unwrap_or_default();
                    }
                    Err(_) => {}
                }
                let _ = agent.refresh().await;
            }
            appended
        };
        let appended = std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(flood));
        has_begun.recv().unwrap();
        Self { stop, appended }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.appended.join().unwrap()
    }
}

#[test]
fn a_stolen_admin_key() {
    let node = Node::with_agents(&["scout"]);
    node.stdout("soulchain agent act scout honest");
    node.stdout(&format!("mkdir safe thief && mv {KEYS}/scout-next.key safe && cp {KEYS}/scout-*.key thief"));
    // The thief takes over, disowns what the owner did, and floods the chain.
    node.stdout("soulchain agent rotate scout --suspect-from 2 --unencrypted --keys thief");
    assert!(node.fails(1, "soulchain log proof --agent scout --seqno 2 --policy policy.txt").contains("disputed"));
    let admin = AgentKeys { act: None, admin: Some(node.key("thief/scout-admin.key")) };
    let flood = Flood::start(&node, "scout", admin);
    let locked_out = node.fails(1, "soulchain agent rotate scout --unencrypted");
    assert!(locked_out.contains("soulchain agent recover"), "{locked_out}");
    assert!(!node.has(&format!("{KEYS}/scout-act.new.key")), "no keys are made in vain");
    // The owner comes back on a machine that has nothing but the recovery key.
    let recovered =
        node.shell("soulchain agent recover scout --recovery-key safe/scout-next.key --suspect-from 3 --keys home --unencrypted --policy policy.txt --proof recover.tlog-proof --json");
    let flooded = flood.stop();
    let stderr = String::from_utf8_lossy(&recovered.stderr);
    assert!(recovered.status.success(), "{stderr}");
    assert!(flooded > 0, "there was no flood");
    let done: Value = serde_json::from_slice(&recovered.stdout).unwrap();
    let event = done["link"]["seqno"].as_u64().unwrap();
    assert!(event > 3, "{done}");
    node.stdout("soulchain verify recover.tlog-proof --policy policy.txt");
    for file in ["act", "admin", "next"] {
        assert!(node.has(&format!("home/scout-{file}.key")) && !node.has(&format!("home/scout-{file}.new.key")));
    }
    // The thief is out, and what was disowned is so no more. What the thief signed is.
    let refused = node.fails(1, "soulchain agent act scout more --keys thief");
    assert!(refused.contains("not a live key"), "{refused}");
    node.stdout("soulchain log proof --agent scout --seqno 2 --policy policy.txt --out honest.tlog-proof");
    assert_eq!(node.offline("honest.tlog-proof")["ok"], true);
    assert!(node.fails(1, "soulchain log proof --agent scout --seqno 4 --policy policy.txt").contains("disputed"));
    node.stdout("soulchain agent act scout mine --keys home");
    // The key that has recovered the agent is spent. The new one is not.
    let spent =
        node.fails(1, "soulchain agent recover scout --recovery-key safe/scout-next.key --keys home --unencrypted");
    assert!(spent.contains("has recovered the agent before"), "{spent}");
    let again = node.json("soulchain agent recover scout --recovery-key home/scout-next.key --keys home --unencrypted");
    assert_eq!(again["retired"].as_array().unwrap().len(), 3, "{again}");
    assert_eq!(again["link"]["seqno"], event + 2);
    node.stdout("soulchain agent act scout mine --keys home");
}

#[test]
fn an_agent_that_is_flooded_while_its_keys_are_rotated() {
    let node = Node::with_agents(&["scout"]);
    let admin = AgentKeys { act: None, admin: Some(node.key(&format!("{KEYS}/scout-admin.key"))) };
    let flood = Flood::start(&node, "scout", admin);
    let done = node.shell("soulchain agent rotate scout --unencrypted --json");
    let flooded = flood.stop();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(flooded > 0, "there was no flood");
    node.stdout("soulchain agent act scout mine");
}

#[test]
fn an_agent_whose_chain_is_held() {
    let node = Node::with_agents(&["scout"]);
    node.stdout("soulchain agent act scout before");
    // A rotation is signed, the chain goes on, and only then the rotation arrives: it is outrun, and holds the chain.
    let admin = node.key(&format!("{KEYS}/scout-admin.key"));
    let fresh = Signer::from(&KeyFile::generate().unwrap());
    let outrun = node.run(async |client, log| {
        let record = proven_record(&node, client, log, "scout").await;
        let new = AgentKeys { act: Some(fresh), admin: None };
        let change = KeyChange::Rotate { new, next: None, custodian: None };
        let event = KeyEvent { change, signer: admin, suspect_from: None };
        let link = event.sign(log.id(), &record, None, now()).unwrap();
        node.stdout("soulchain agent act scout meanwhile");
        Agent::of_record(client, log, &record, AgentKeys::default()).send(vec![link], ProofWanted::Log).await
    });
    assert_eq!(outrun.unwrap_err().code(), "conflict");
    let held = node.fails(3, "soulchain agent act scout after");
    assert!(held.contains("somebody is changing this agent's keys") && held.contains("--type keys"), "{held}");
    assert!(node.fails(3, "soulchain agent act scout after --json").contains("\"code\":\"held\""));
    // The owner gets in at once, and that ends the hold.
    node.stdout("soulchain agent rotate scout --unencrypted");
    node.stdout("soulchain agent act scout after");
}

#[test]
fn keys_under_passphrases() {
    let node = Node::with_agents(&[]);
    node.stdout("SOULCHAIN_PASSPHRASE=one soulchain agent register scout");
    node.stdout("SOULCHAIN_PASSPHRASE=one soulchain agent rotate scout --key act");
    assert!(node.fails(2, "SOULCHAIN_PASSPHRASE=two soulchain agent rotate scout").contains("wrong passphrase"));
    let recover = format!("soulchain agent recover scout --recovery-key {KEYS}/scout-next.key --keys home");
    assert!(node.fails(2, &format!("SOULCHAIN_PASSPHRASE=two {recover}")).contains("wrong passphrase"));
    node.stdout(&format!("SOULCHAIN_RECOVERY_PASSPHRASE=one SOULCHAIN_PASSPHRASE=two {recover}"));
    node.stdout("SOULCHAIN_PASSPHRASE=two soulchain agent act scout mine --keys home");
    // What is set aside needs no passphrase, which may be what was lost.
    let again = "soulchain agent recover scout --recovery-key home/scout-next.key";
    node.stdout(&format!("SOULCHAIN_RECOVERY_PASSPHRASE=two SOULCHAIN_PASSPHRASE=three {again}"));
    assert!(node.has(&format!("{KEYS}/scout-admin.key.retired-5")));
}

#[test]
fn keys_of_others_are_not_set_aside() {
    let node = Node::with_agents(&["scout", "other"]);
    let recovery_key = format!("--recovery-key {KEYS}/scout-next.key");
    let recover = format!("soulchain agent recover scout {recovery_key} --unencrypted");
    let revoke = format!("soulchain agent revoke scout {recovery_key} --yes");
    for role in ["act", "admin", "next"] {
        let (dir, file) = (format!("mixed-{role}"), format!("mixed-{role}/scout-{role}.key"));
        node.stdout(&format!("mkdir {dir} && cp {KEYS}/other-{role}.key {file}"));
        let before = node.read(&file);
        let mut lines = vec![format!("{recover} --keys {dir}")];
        lines.extend((role != "next").then(|| format!("{revoke} --keys {dir}")));
        for line in lines {
            let refused = node.fails(2, &line);
            assert!(refused.contains(&format!("{file} holds a key of another agent")), "{refused}");
            assert_eq!(node.stdout(&format!("ls {dir}")), format!("scout-{role}.key\n"), "{line}");
            assert_eq!(node.read(&file), before);
        }
    }
    // Nor what is no key, nor what the agent goes on using.
    node.stdout(&format!("mkdir own && cp {KEYS}/scout-admin.key own && echo lost > own/scout-act.key"));
    assert!(node.fails(2, &format!("{recover} --keys own")).contains("or move it to another place"));
    node.stdout("cp own/scout-admin.key own/scout-act.key");
    let misplaced = node.fails(2, "soulchain agent rotate scout --key act --unencrypted --keys own");
    assert!(misplaced.contains("own/scout-act.key holds a key of this agent that stays in use"), "{misplaced}");
    node.stdout(&format!("cp {KEYS}/scout-next.key own/scout-act.key"));
    let misplaced = node.fails(2, "soulchain agent revoke scout --yes --keys own");
    assert!(misplaced.contains("stays in use"), "{misplaced}");
    let record = node.record("scout");
    assert_eq!((&record["seqno"], &record["status"]), (&1.into(), &"active".into()));
    // Those that a thief has retired are this agent's.
    node.stdout(&format!("mkdir thief && cp {KEYS}/scout-a*.key thief"));
    node.stdout("soulchain agent rotate scout --unencrypted --keys thief");
    assert_eq!(node.json(&recover)["retired"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_not_proven_is_not_shown() {
    let node = Node::with_agents(&["scout"]);
    let other = Node::with_agents(&["scout"]);
    // Of a log that the policy does not name, and of cosignatures where there are none.
    node.write("other.txt", &other.read("policy.txt"));
    for line in [
        "soulchain resolve scout --policy other.txt",
        "soulchain agent rotate scout --unencrypted --policy other.txt",
        "soulchain agent attest scout scout --capability a --scope b --valid-days 1 --policy other.txt",
    ] {
        let refused = node.fails(1, line);
        assert!(!refused.contains("ROLES") && refused.contains("not in the policy"), "{refused}");
    }
    let refused = node.fails(1, "soulchain resolve scout --policy policy.txt --max-age 60");
    assert!(refused.contains("✗ age") && !refused.contains("ROLES"), "{refused}");
    assert!(node.fails(1, "soulchain resolve scout --policy policy.txt --max-age 60 --json").contains("\"ok\": false"));
    assert!(node.fails(2, "soulchain agent rotate scout --unencrypted --suspect-from 3").contains("beyond the chain"));
    assert!(!node.has(&format!("{KEYS}/scout-act.new.key")), "no keys are made in vain");
    assert_eq!(node.record("scout")["seqno"], 1);
}

#[test]
fn an_agent_that_ends() {
    let node = Node::with_agents(&["scout", "other"]);
    node.stdout("soulchain resolve scout --policy policy.txt --out before.tlog-proof");
    let unasked = node.fails(2, "soulchain agent revoke scout </dev/null");
    assert!(unasked.contains("--yes"), "{unasked}");
    let done = node.json("soulchain agent revoke scout --reason cessation_of_operation --yes --proof end.tlog-proof");
    assert_eq!(done["retired"].as_array().unwrap().len(), 2, "{done}");
    assert!(!node.has(&format!("{KEYS}/scout-act.key")) && node.has(&format!("{KEYS}/scout-admin.key.retired-2")));
    node.stdout("soulchain verify end.tlog-proof --policy policy.txt");
    // A relying party with a fresh state sees it offline; with an old one it sees what was then.
    node.stdout("soulchain resolve scout --policy policy.txt --out after.tlog-proof");
    let status = |file: &str| {
        node.json(&format!("soulchain verify {file} --policy policy.txt --name scout"))[0]["state"]["status"].clone()
    };
    assert_eq!((status("before.tlog-proof"), status("after.tlog-proof")), ("active".into(), "revoked".into()));
    assert!(node.fails(1, "soulchain agent revoke scout --yes").contains("revoked already"));
    assert!(node.fails(1, "soulchain agent feedback other scout 50").contains("bad_reference"));
    // Within 30 days the recovery key takes it back, and may then end it for good.
    node.stdout(&format!("soulchain agent recover scout --recovery-key {KEYS}/scout-next.key --unencrypted"));
    node.stdout("soulchain agent act scout back");
    assert_eq!(node.record("scout")["status"], "active");
    node.stdout(&format!("soulchain agent revoke scout --recovery-key {KEYS}/scout-next.key --yes"));
    assert_eq!(node.record("scout")["status"], "revoked");
    let over =
        node.fails(1, &format!("soulchain agent recover scout --recovery-key {KEYS}/scout-next.key --unencrypted"));
    assert!(over.contains("revoked"), "{over}");
}

#[test]
fn a_domain_name() {
    let node = Node::with_agents(&["scout", "other"]);
    let (keys, domain) = ("--keys data/keys", "agents.example.com");
    let identity = |who: &str| node.record(who)["identity"].clone();
    let free = node.json(&format!("soulchain resolve {domain} --policy policy.txt --out free.tlog-proof"));
    assert_eq!((&free["kind"], &free["ok"]), (&"absent".into(), &true.into()));
    node.stdout(&format!("soulchain registrar bind {domain} scout {keys}"));
    assert_eq!(identity(domain), identity("scout"));
    assert!(node.fails(1, &format!("soulchain registrar bind {domain} other {keys}")).contains("name_taken"));
    assert!(node.fails(1, &format!("soulchain registrar release {domain} other {keys}")).contains("bad_reference"));
    // No office of an agent.
    let unauthorised = node.fails(1, "soulchain registrar bind other.example.com other --as scout");
    assert!(unauthorised.contains("unauthorised"), "{unauthorised}");
    node.stdout(&format!("soulchain registrar release {domain} scout {keys}"));
    assert_eq!(node.json(&format!("soulchain resolve {domain} --policy policy.txt"))["kind"], "absent");
    node.stdout(&format!("soulchain registrar bind {domain} other {keys}"));
    assert_eq!(identity(domain), identity("other"));
    // The proof that it was free is of then, and for no other name.
    node.stdout(&format!("soulchain verify free.tlog-proof --policy policy.txt --name {domain}"));
    node.fails(1, "soulchain verify free.tlog-proof --policy policy.txt --name scout");
}

#[test]
fn what_registrars_and_others_say() {
    let node = Node::with_agents(&["scout", "shop"]);
    let keys = "--keys data/keys";
    let status = || (node.record("scout")["status"].clone(), node.record("scout")["verified"].clone());
    for (command, expected) in [
        ("suspend scout --reason key_compromise", ("suspended", false)),
        ("unsuspend scout", ("active", false)),
        ("verify scout", ("active", true)),
        ("unverify scout", ("active", false)),
        ("revoke scout", ("revoked", false)),
    ] {
        let said = node.json(&format!("soulchain registrar {command} {keys}"));
        assert_eq!(status(), (expected.0.into(), expected.1.into()), "{command}");
        if command.starts_with("revoke") {
            node.stdout(&format!("soulchain agent retract registrar {} {keys}", said["seqno"]));
            assert_eq!(status().0, "active");
        }
    }
    node.stdout("soulchain agent act scout deliver --outcome success");
    for said in [
        "receipt shop scout 2 --outcome success --proof receipt.tlog-proof",
        "feedback shop scout 85 --tag latency --link 2",
        "attest shop scout --capability web_search --scope 'staging only' --valid-days 90 --require-host a.example",
        "notice shop violation scout --severity low --blocked true --reason unspecified",
    ] {
        node.stdout(&format!("soulchain agent {said}"));
    }
    node.stdout("soulchain verify receipt.tlog-proof --policy policy.txt");
    assert!(node.fails(1, "soulchain agent receipt shop scout 2").contains("bad_reference"), "one stands already");
    assert!(node.fails(1, "soulchain agent receipt shop scout 1").contains("is no action"));
    node.stdout("soulchain agent retract shop 2");
    node.stdout("soulchain agent receipt shop scout 2 --outcome failure");
    assert!(node.fails(1, "soulchain agent retract shop 6").contains("bad_reference"), "a retract stays");
    assert!(node.fails(1, "soulchain agent feedback shop nobody 5").contains("no agent"));
    assert!(node.fails(2, "soulchain agent feedback shop scout 101").contains("101"));
    // The office goes to another, who holds it from then on.
    node.stdout(&format!("soulchain registrar policy --registrar shop --scoring beta/1 {keys}"));
    node.stdout("soulchain registrar verify scout --as shop");
    assert_eq!(status(), ("active".into(), true.into()));
}

#[test]
fn guardians_and_those_who_stand_behind_an_agent() {
    let node = Node::with_agents(&["alice", "bob", "acme"]);
    node.stdout(
        "soulchain agent register scout --unencrypted --no-recovery --guardian alice --guardian bob --threshold 2 --controller acme --custodian acme",
    );
    assert!(!node.has(&format!("{KEYS}/scout-next.key")));
    let record = node.record("scout");
    let acme = node.record("acme")["identity"].clone();
    assert_eq!((&record["controller"], &record["custodian"], record.get("next")), (&acme, &acme, None));
    node.stdout("soulchain agent notice alice revoke scout");
    assert_eq!(node.record("scout")["status"], "active");
    node.stdout("soulchain agent notice bob revoke scout");
    assert_eq!(node.record("scout")["status"], "revoked");
    node.stdout("soulchain agent retract bob 2");
    // A recovery key can be set where there is none, and only there. Who holds the keys is said anew.
    let done = node.json("soulchain agent rotate scout --key none --set-next --custodian none --unencrypted");
    assert_eq!(done["keys"].as_array().unwrap().len(), 1, "{done}");
    let record = node.record("scout");
    assert!(record.get("next").is_some() && record.get("custodian").is_none());
    assert!(node.fails(1, "soulchain agent rotate scout --set-next --unencrypted").contains("already"));
    node.stdout(&format!("soulchain agent recover scout --recovery-key {KEYS}/scout-next.key --unencrypted"));
}
