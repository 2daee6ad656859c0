//! One case for each way in which a link can break a rule of admission: what is answered, and that nothing is logged.

use serde_json::{Value, json};
use soulchain::clock;
use soulchain::ed25519::SigningKey;
use soulchain::encoding::b64_encode;
use soulchain::hash::Hash;
use soulchain::merkle::TreeSize;
use soulchain::soul::{
    Body, BodyCommit, Guardians, Header, Identity, LinkType, LogId, Outcome, Profile, Seqno, commit_inline,
};

use super::agent::{Agent, Signed, key, kid_of};
use super::support::{Answer, JSON, Server, hash, links_json};

/// A server on which one agent acts, and another stands beside it.
struct Scene {
    server: Server,
    agent: Agent,
}

impl Scene {
    fn new() -> Self {
        let server = Server::start();
        let mut agent = Agent::registered(&server, "actor");
        server.append(&[agent.empty()]);
        Self { server, agent }
    }

    /// Sends a request that has to be refused and to leave the log as it is.
    #[track_caller]
    fn refused(&self, request: impl AsRef<[u8]>, status: u16, code: &str) -> Value {
        let before = self.server.size_and_root();
        let problem = self.server.post("/v1/links", JSON, request.as_ref()).problem(status, code);
        assert_eq!(self.server.size_and_root(), before, "{code}");
        problem
    }

    /// The same for links; the first, or the one that is told, breaks the rule.
    #[track_caller]
    fn refused_links(&self, links: &[Signed], at: usize, status: u16, code: &str) -> Value {
        let problem = self.refused(links_json(links), status, code);
        assert_eq!(problem["at"], at, "{problem}");
        // In an array behind links that are fine it is refused as well, with its place; here all were alone.
        problem
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.audit();
        }
    }
}

/// A link that no draft would make: any header, any body, signed by any key.
fn forged(agent: &Agent, signer: &SigningKey, kind: LinkType, body: &[u8], tweak: impl FnOnce(&mut Header)) -> Value {
    let mut header = Header {
        log_id: agent.log_id,
        identity: agent.position.identity,
        seqno: agent.position.seqno,
        prev: agent.position.prev,
        auth: agent.position.auth,
        link_type: kind,
        inline: !body.is_empty(),
        outcome: Outcome::None,
        ctime: clock::now(),
        anchor_size: 0,
        anchor_root: Hash::default(),
        kid: kid_of(signer),
        body_len: body.len() as u32,
        body_commit: commit_inline(body),
    };
    tweak(&mut header);
    let message = header.to_bytes();
    let mut link = json!({"header": b64_encode(&message), "sig": b64_encode(&signer.sign(&message))});
    if !body.is_empty() {
        link["body"] = json!(String::from_utf8(body.to_vec()).unwrap());
    }
    link
}

fn shape(link: &Signed) -> Value {
    serde_json::from_slice(&links_json(std::slice::from_ref(link))).unwrap()
}

#[test]
fn malformed() {
    let scene = Scene::new();
    let good = shape(&scene.agent.unsent_inline(r#"{"v":1}"#));
    let with = |member: &str, value: Value| {
        let mut link = good.clone();
        link[member] = value;
        link.to_string()
    };
    let header = soulchain::encoding::b64_decode(good["header"].as_str().unwrap()).unwrap();
    let patched = |at: usize, byte: u8| {
        let mut header = header.clone();
        header[at] = byte;
        json!(b64_encode(&header))
    };
    let cases = [
        ("no JSON", "no JSON".to_owned()),
        ("nothing", String::new()),
        ("null", "null".into()),
        ("an empty array", "[]".into()),
        ("an array in an array", "[[]]".into()),
        ("an unknown member", with("extra", json!(1))),
        ("a member twice", good.to_string().replacen('{', "{\"sig\":\"\",", 1)),
        ("a missing member", json!({"header": good["header"]}).to_string()),
        ("base64 with stray bits", with("sig", json!(good["sig"].as_str().unwrap().replace("==", "=")))),
        ("a short header", with("header", json!(b64_encode(&header[1..])))),
        ("a long header", with("header", json!(b64_encode(&[&header[..], &[0]].concat())))),
        ("a short signature", with("sig", json!(b64_encode(&[1; 63])))),
        ("another magic", with("header", patched(0, b'S'))),
        ("another suite", with("header", patched(18, 2))),
        ("an unknown type", with("header", patched(155, 9))),
        ("unknown flags", with("header", patched(157, 0b1000_0001))),
        ("seqno above 2^53", with("header", patched(83, 0xff))),
        ("body_len of another body", with("header", patched(241, 200))),
        ("a body that is not stated", with("body", json!("{\"v\":1}x"))),
        ("a salt of an inline body", with("salt", json!("00".repeat(32)))),
        ("an upper-case salt", with("salt", json!("AA".repeat(32)))),
        (
            "a chain that is two",
            links_text(&[scene.agent.unsent_inline("{\"v\":1}"), scene.agent.unsent_inline("{\"v\":1}")]),
        ),
    ];
    for (what, request) in cases {
        let before = scene.server.size_and_root();
        let answer = scene.server.post("/v1/links", JSON, request.as_bytes());
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("malformed")), "{what}: {answer:?}");
        answer.problem(400, "malformed");
        assert_eq!(scene.server.size_and_root(), before, "{what}");
    }
    let mut agent = scene.agent.clone();
    let many: Vec<Signed> = (0..257).map(|_| agent.empty()).collect();
    scene.refused(links_json(&many), 400, "malformed");
    let answer = scene.server.append_binary(&many);
    answer.problem(400, "malformed");
    // The second of three does not follow.
    let gap = [many[0].clone(), many[2].clone(), many[3].clone()];
    assert_eq!(scene.refused(links_json(&gap), 400, "malformed")["at"], 1);
}

fn links_text(links: &[Signed]) -> String {
    String::from_utf8(links_json(links)).unwrap()
}

#[test]
fn malformed_in_binary() {
    let scene = Scene::new();
    let mut agent = scene.agent.clone();
    let links = [agent.empty(), agent.beside(r#"{"v":1}"#)];
    let bytes = soulchain::wire::write_links(links.iter().map(|(link, beside)| (link, beside.as_ref())));
    let before = scene.server.size_and_root();
    let refused = |bytes: &[u8]| -> Value {
        let answer: Answer = scene.server.post("/v1/links", soulchain::wire::LINKS_MEDIA_TYPE, bytes);
        let problem = answer.problem(400, "malformed");
        assert_eq!(scene.server.size_and_root(), before);
        problem
    };
    refused(&[]);
    for len in (1..bytes.len()).step_by(41) {
        if len != 374 {
            refused(&bytes[..len]);
        }
    }
    let mut long = bytes.clone();
    long[0] = 0xff;
    refused(&long);
    let mut magic = bytes.clone();
    magic[374 + 4] = b'S';
    assert_eq!(refused(&magic)["at"], 1);
}

#[test]
fn wrong_log() {
    let scene = Scene::new();
    let mut other = Agent::new(LogId::of_origin("log.example/other"), "elsewhere");
    scene.refused_links(&[other.genesis()], 0, 400, "wrong_log");
    let mut agent = scene.agent.clone();
    agent.log_id = other.log_id;
    scene.refused_links(&[agent.empty()], 0, 400, "wrong_log");
}

#[test]
fn bad_body() {
    let scene = Scene::new();
    let agent = &scene.agent;
    let bodies: [&[u8]; 8] = [
        br#"{"v":2}"#,
        br#"{"v":1} "#,
        br#"{"v":1,"a":1}"#,
        br#"{"a":1.5,"v":1}"#,
        br#"{"A":1,"v":1}"#,
        br#"{"a":1,"a":1,"v":1}"#,
        br"[1]",
        br#"{"n":9007199254740992,"v":1}"#,
    ];
    for body in bodies {
        let link = forged(agent, &agent.act, LinkType::Action, body, |_| ());
        let problem = scene.refused(link.to_string(), 400, "bad_body");
        assert_eq!(problem["at"], 0, "{problem}");
    }
    let deep = format!("{}{}", "{\"a\":".repeat(16), "1".to_owned() + &"}".repeat(16));
    scene.refused(forged(agent, &agent.act, LinkType::Action, deep.as_bytes(), |_| ()).to_string(), 400, "bad_body");
    let commit = |header: &mut Header| header.body_commit = BodyCommit::from_bytes([1; 32]);
    scene.refused(forged(agent, &agent.act, LinkType::Action, br#"{"v":1}"#, commit).to_string(), 400, "bad_body");
    let profiles: [&[u8]; 4] = [
        br#"{"colour":"red","v":1}"#,
        br#"{"owner":"","v":1}"#,
        br#"{"owner":null,"v":1}"#,
        br#"{"capabilities":["b","a"],"v":1}"#,
    ];
    for body in profiles {
        scene.refused(forged(agent, &agent.admin, LinkType::Profile, body, |_| ()).to_string(), 400, "bad_body");
    }
    // Rules of a genesis that the log alone can tell, and some that the body tells.
    let mut newcomer = Agent::new(agent.log_id, "registrar");
    scene.refused_links(&[newcomer.genesis()], 0, 400, "bad_body");
    for name in ["root", "-a", "A", "a.b", &"a".repeat(64)] {
        let newcomer = Agent::new(agent.log_id, name);
        let body = Body::Genesis(newcomer.founding()).to_bytes().unwrap();
        let link = forged(&newcomer, &newcomer.admin, LinkType::Genesis, &body, |_| ());
        scene.refused(link.to_string(), 400, "bad_body");
    }
    let newcomer = Agent::new(agent.log_id, "popless");
    let mut founding = newcomer.founding();
    founding.pop.clear();
    let body = Body::Genesis(founding).to_bytes().unwrap();
    scene.refused(forged(&newcomer, &newcomer.admin, LinkType::Genesis, &body, |_| ()).to_string(), 400, "bad_body");
}

#[test]
fn unknown_identity() {
    let scene = Scene::new();
    let mut stranger = Agent::new(scene.agent.log_id, "stranger");
    stranger.genesis();
    scene.refused_links(&[stranger.empty()], 0, 404, "unknown_identity");
    for target in ["", "/links", "/links/1", "/links/1/proof"] {
        scene.server.get(&format!("/v1/agents/stranger{target}")).problem(404, "unknown_identity");
    }
    let request = json!({"type": "action", "name": "stranger", "kid": "00".repeat(32)}).to_string();
    scene.server.post("/v1/links/prepare", JSON, request.as_bytes()).problem(404, "unknown_identity");
}

#[test]
fn conflict() {
    let scene = Scene::new();
    let head = scene.server.json("/v1/agents/actor")["head"].clone();
    assert_eq!(head["seqno"], 2);
    let mut cases = Vec::new();
    let mut twist = |change: fn(&mut Agent)| {
        let mut agent = scene.agent.clone();
        change(&mut agent);
        cases.push(agent.empty());
    };
    twist(|agent| agent.position.seqno = Seqno::new(2));
    twist(|agent| agent.position.seqno = Seqno::new(4));
    twist(|agent| agent.position.prev = agent.position.auth);
    twist(|agent| agent.position.auth = agent.position.prev);
    for link in cases {
        let problem = scene.refused_links(&[link], 0, 409, "conflict");
        assert_eq!(problem["head"], head, "the head tells how to go on");
    }
    // Behind links that are logged already, the place in the request is told.
    let mut agent = scene.agent.clone();
    let logged = agent.empty();
    scene.server.append(std::slice::from_ref(&logged));
    let mut wrong = agent.clone();
    wrong.position.prev = agent.position.auth;
    let problem = scene.refused_links(&[logged, wrong.empty()], 1, 409, "conflict");
    assert_eq!(problem["head"]["seqno"], 3);
}

#[test]
fn unauthorised() {
    let scene = Scene::new();
    let mut agent = scene.agent.clone();
    (agent.act, agent.admin) = (agent.admin, agent.act);
    scene.refused_links(&[agent.clone().empty()], 0, 403, "unauthorised");
    scene.refused_links(
        &[agent.profile(Profile { owner: Some("o".into()), ..Profile::default() })],
        0,
        403,
        "unauthorised",
    );
    let mut stolen = scene.agent.clone();
    stolen.act = key("of a thief");
    scene.refused_links(&[stolen.empty()], 0, 403, "unauthorised");
}

#[test]
fn bad_signature() {
    let scene = Scene::new();
    let mut agent = scene.agent.clone();
    let mut link = shape(&agent.empty());
    for sig in [[0_u8; 64], [0xff; 64], agent.act.sign(b"something else")] {
        link["sig"] = json!(b64_encode(&sig));
        assert_eq!(scene.refused(link.to_string(), 401, "bad_signature")["at"], 0);
    }
    let mut newcomer = Agent::new(agent.log_id, "newcomer");
    let mut founding = newcomer.founding();
    founding.pop[0].sig = newcomer.act.sign(b"nothing");
    scene.refused_links(&[newcomer.genesis_of(founding)], 0, 401, "bad_signature");
    // Another's key cannot be taken without its proof of possession.
    let newcomer = Agent::new(agent.log_id, "weak");
    let mut founding = newcomer.founding();
    for entry in &mut founding.keys {
        if entry.roles.act {
            *entry = soulchain::soul::KeyEntry::new([0; 32], entry.roles);
            founding.pop[0].kid = entry.kid;
        }
    }
    founding.keys.sort_by_key(|key| key.kid);
    let body = Body::Genesis(founding).to_bytes().unwrap();
    let link = forged(&newcomer, &newcomer.admin, LinkType::Genesis, &body, |_| ());
    scene.refused(link.to_string(), 401, "bad_signature");
    assert_eq!(scene.server.submit(&[scene.agent.unsent_inline(r#"{"v":1}"#)]).status, 201);
}

#[test]
fn name_taken_and_key_in_use() {
    let scene = Scene::new();
    let mut twin = Agent::new(scene.agent.log_id, "actor");
    (twin.admin, twin.act) = (key("fresh admin"), key("fresh act"));
    scene.refused_links(&[twin.genesis()], 0, 409, "name_taken");
    let mut twin = Agent::new(scene.agent.log_id, "actor");
    twin.name = "other".into();
    scene.refused_links(&[twin.genesis()], 0, 409, "key_in_use");
}

#[test]
fn clock_rules() {
    let scene = Scene::new();
    let at = |ctime| {
        let mut agent = scene.agent.clone();
        agent.ctime = Some(ctime);
        agent.empty()
    };
    let now = clock::now();
    scene.refused_links(&[at(now.saturating_add(400_000))], 0, 400, "clock");
    scene.refused_links(&[at(soulchain::encoding::UnixMillis::new(1))], 0, 400, "clock");
    assert_eq!(scene.server.submit(&[at(now.saturating_add(200_000))]).status, 201);
}

#[test]
fn bad_anchor() {
    let scene = Scene::new();
    let published = scene.server.published(5);
    let checkpoint = published.verified().checkpoint();
    let anchored = |size: u64, root: Hash| {
        let mut agent = scene.agent.clone();
        agent.anchor = Some((TreeSize::new(size), root));
        agent.empty()
    };
    let other = Hash::from_bytes([7; 32]);
    for (size, root) in [(3, other), (3, checkpoint.root()), (1_000_000, other)] {
        scene.refused_links(&[anchored(size, root)], 0, 400, "bad_anchor");
    }
    // A size that no checkpoint has: the entry before it is no trailer.
    let told = scene.server.json("/v1/log/proof/inclusion?index=0&size=4");
    scene.refused_links(&[anchored(4, hash(told["root"].as_str().unwrap()))], 0, 400, "bad_anchor");
    assert_eq!(scene.server.submit(&[anchored(checkpoint.size().get(), checkpoint.root())]).status, 201);
}

#[test]
fn bad_reference() {
    let scene = Scene::new();
    let nobody = Identity::from_bytes([9; 32]);
    for at in 0..3 {
        let mut newcomer = Agent::new(scene.agent.log_id, "referring");
        let mut founding = newcomer.founding();
        match at {
            0 => founding.controller = Some(nobody),
            1 => founding.custodian = Some(nobody),
            _ => founding.guardians = Some(Guardians { ids: vec![nobody], threshold: 1 }),
        }
        scene.refused_links(&[newcomer.genesis_of(founding)], 0, 400, "bad_reference");
    }
}

#[test]
fn unsupported() {
    let scene = Scene::new();
    let request = json!({"type": "deed", "kid": "00".repeat(32)}).to_string();
    scene.server.post("/v1/links/prepare", JSON, request.as_bytes()).problem(400, "unsupported");
}

#[test]
fn an_array_is_appended_whole_or_not_at_all() {
    let scene = Scene::new();
    let mut agent = scene.agent.clone();
    let mut links: Vec<Signed> = (0..5).map(|_| agent.empty()).collect();
    agent.ctime = Some(clock::now().saturating_add(400_000));
    links.push(agent.empty());
    agent.ctime = None;
    links.push(agent.empty());
    scene.refused_links(&links, 5, 400, "clock");
    assert_eq!(scene.server.json("/v1/agents/actor")["head"]["seqno"], 2);
    // Nor is an agent there whose second link was refused.
    let mut newcomer = Agent::new(agent.log_id, "half");
    let founded = newcomer.genesis();
    newcomer.anchor = Some((TreeSize::new(3), Hash::from_bytes([1; 32])));
    scene.refused_links(&[founded.clone(), newcomer.empty()], 1, 400, "bad_anchor");
    scene.server.get("/v1/agents/half").problem(404, "unknown_identity");
    scene.server.append(&[founded]);
}

#[test]
fn what_cannot_be_prepared() {
    let scene = Scene::new();
    let kid = kid_of(&scene.agent.act).to_hex();
    let cases = [
        (json!({"type": "action", "name": "actor", "kid": "xy"}), "malformed"),
        (json!({"type": "action", "kid": kid}), "malformed"),
        (
            json!({"type": "action", "name": "actor", "identity": scene.agent.identity().to_hex(), "kid": kid}),
            "malformed",
        ),
        (json!({"type": "genesis", "name": "actor", "kid": kid, "body": {"v": 1}}), "malformed"),
        (json!({"type": "action", "name": "actor", "kid": kid, "outcome": "great"}), "malformed"),
        (json!({"type": "action", "name": "actor", "kid": kid, "more": 1}), "malformed"),
        (json!({"type": "action", "name": "actor", "kid": kid, "body": {"v": 1, "x": 1.5}}), "bad_body"),
        (json!({"type": "action", "name": "actor", "kid": kid, "body": {"x": 1}}), "bad_body"),
        (json!({"type": "action", "name": "actor", "kid": kid, "body": {"V": 1, "v": 1}, "inline": true}), "bad_body"),
        (json!({"type": "profile", "name": "actor", "kid": kid}), "bad_body"),
        (json!({"type": "profile", "name": "actor", "kid": kid, "body": {"v": 1}, "outcome": "success"}), "malformed"),
        (json!({"type": "action", "name": "actor", "kid": kid, "body": [], "inline": true}), "bad_body"),
    ];
    for (request, code) in cases {
        let answer = scene.server.post("/v1/links/prepare", JSON, request.to_string().as_bytes());
        assert_eq!(answer.json()["code"], code, "{request}: {answer:?}");
        answer.problem(400, code);
    }
    scene.server.post("/v1/links/prepare", JSON, b"{").problem(400, "malformed");
    scene.server.post("/v1/links/prepare", "text/plain", b"{}").problem(415, "unsupported");
}

/// The foreign vectors of links that break a rule: this log takes none of them, whatever they are, and stays as it is.
#[test]
fn foreign_bad_links() {
    let Some(path) = super::common::shared("vectors/soulchain/bad_links.json") else {
        eprintln!("skipped: vectors/soulchain/bad_links.json is not at hand");
        return;
    };
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let scene = Scene::new();
    let before = scene.server.size_and_root();
    let mut count = 0;
    let cases = vectors["cases"].as_array().or(vectors.as_array()).unwrap();
    for entry in cases.iter().filter_map(|case| case["entry"].as_str()) {
        let Some(entry) = soulchain::encoding::b64_decode(entry) else { continue };
        let Ok(body) = String::from_utf8(entry.get(339..).unwrap_or_default().to_vec()) else { continue };
        let mut link = json!({
            "header": b64_encode(entry.get(1..275).unwrap_or_default()),
            "sig": b64_encode(entry.get(275..339).unwrap_or_default()),
        });
        if !body.is_empty() {
            link["body"] = json!(body);
        }
        let answer = scene.server.post("/v1/links", JSON, link.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{answer:?}");
        count += 1;
    }
    assert!(count > 10, "{count} cases");
    assert_eq!(scene.server.size_and_root(), before);
}
