//! Bodies beside the log: who may read them, by HTTP message signature (RFC 9421).

use soulchain::clock;
use soulchain::ed25519::SigningKey;
use soulchain::encoding::{b64_encode, hex_encode};
use soulchain::keyfile::KeyFile;

use super::agent::{Agent, Signed, key, kid_of};
use super::support::{Answer, Server, Setup};

const TEXT: &str = r#"{"secret":"for some eyes","v":1}"#;

/// What a request signs, and what it says.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) created: u64,
    pub(super) path: &'a str,
    pub(super) authority: String,
    pub(super) algorithm: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(server: &Server, key: &'a SigningKey, path: &'a str) -> Self {
        let created = clock::now().get() / 1000;
        Self { key, created, path, authority: server.address.to_string(), algorithm: ";alg=\"ed25519\"" }
    }

    pub(super) fn ask(&self, server: &Server, target: &str) -> Answer {
        self.ask_with(server, ("GET", "GET"), target, &[])
    }

    /// With the method that is signed and the one that is sent.
    pub(super) fn ask_with(
        &self,
        server: &Server,
        (signed, sent): (&str, &str),
        target: &str,
        more: &[(&str, &str)],
    ) -> Answer {
        let kid = kid_of(self.key).to_hex();
        let parameters = format!(
            "(\"@method\" \"@authority\" \"@path\");created={};keyid=\"{kid}\"{}",
            self.created, self.algorithm
        );
        let base = format!(
            "\"@method\": {signed}\n\"@authority\": {}\n\"@path\": {}\n\"@signature-params\": {parameters}",
            self.authority, self.path
        );
        let signature = b64_encode(&self.key.sign(base.as_bytes()));
        let input = format!("sig1={parameters}");
        let signature = format!("sig1=:{signature}:");
        let headers = [&[("signature-input", &*input), ("signature", &*signature)], more].concat();
        server.ask(sent, target, &headers, None)
    }
}

fn with_body() -> (Server, Agent, [Signed; 4]) {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let links = [agent.genesis(), agent.beside(TEXT), agent.inline(r#"{"v":1}"#), agent.empty()];
    server.append(&links);
    (server, agent, links)
}

const PATH: &str = "/v1/agents/keeper/links/2/body";

#[test]
fn the_agent_and_the_registrar_read_a_body() {
    let (server, agent, links) = with_body();
    let registrar = KeyFile::read(&server.directory.path().join("data/keys/registrar-act.key"), None).unwrap();
    for key in [&agent.act, &agent.admin, &registrar.key.signing_key()] {
        let answer = Reader::new(&server, key, PATH).ask(&server, PATH);
        assert_eq!(answer.status, 200, "{answer:?}");
        let salt = hex_encode(links[1].1.as_ref().unwrap().salt.as_bytes());
        assert_eq!(answer.json(), serde_json::json!({"body": TEXT, "salt": salt}));
    }
    // Also once it has moved from memory to the files, and after a restart.
    let server = Server::open(server.stop(), Setup::default());
    let mut plain = Reader::new(&server, &agent.act, PATH);
    plain.algorithm = "";
    assert_eq!(plain.ask(&server, PATH).json()["body"], TEXT);
    let by_id = format!("/v1/agents/{}/links/2/body", agent.identity().to_hex());
    assert_eq!(Reader::new(&server, &agent.act, &by_id).ask(&server, &by_id).json()["body"], TEXT);
}

#[test]
fn the_controller_reads_a_body() {
    let server = Server::start();
    let owner = Agent::registered(&server, "owner");
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let mut founding = agent.founding();
    founding.controller = Some(owner.identity());
    server.append(&[agent.genesis_of(founding), agent.beside(TEXT)]);
    assert_eq!(Reader::new(&server, &owner.act, PATH).ask(&server, PATH).json()["body"], TEXT);
}

#[test]
fn nobody_else_does() {
    let (server, agent, _) = with_body();
    let other = Agent::registered(&server, "other");
    let nobody = key("of nobody");
    let reader = |key| Reader::new(&server, key, PATH);
    server.get(PATH).problem(401, "bad_signature");
    reader(&other.act).ask(&server, PATH).problem(403, "unauthorised");
    reader(&nobody).ask(&server, PATH).problem(403, "unauthorised");

    let now = clock::now().get() / 1000;
    for created in [now - 600, now + 600, 0, u64::MAX / 1000] {
        Reader { created, ..reader(&agent.act) }.ask(&server, PATH).problem(401, "bad_signature");
    }
    let authority = "other.example".to_owned();
    Reader { authority, ..reader(&agent.act) }.ask(&server, PATH).problem(401, "bad_signature");
    Reader { path: "/v1/agents/keeper/links/3/body", ..reader(&agent.act) }
        .ask(&server, PATH)
        .problem(401, "bad_signature");
    for algorithm in [";alg=\"rsa\"", ";alg=ed25519", ";created=1", ";x"] {
        Reader { algorithm, ..reader(&agent.act) }.ask(&server, PATH).problem(401, "bad_signature");
    }
    let wrong = [
        ("sig1=(\"@method\");created=1;keyid=\"00\"", "sig1=:AA==:"),
        ("sig2=()", "sig2=:AA==:"),
        ("sig1=", "sig1="),
        ("sig1=(\"@method\" \"@authority\" \"@path\");created=1", "sig1=:AA==:"),
    ];
    for (input, signature) in wrong {
        let headers = [("signature-input", input), ("signature", signature)];
        server.ask("GET", PATH, &headers, None).problem(401, "bad_signature");
    }
}

#[test]
fn only_what_is_kept_is_found() {
    let (server, agent, _) = with_body();
    for (seqno, code) in [(1, "not_found"), (3, "not_found"), (4, "not_found"), (5, "not_found")] {
        let path = format!("/v1/agents/keeper/links/{seqno}/body");
        Reader::new(&server, &agent.act, &path).ask(&server, &path).problem(404, code);
    }
    server.get("/v1/agents/keeper/links/0/body").problem(400, "malformed");
    server.get("/v1/agents/nobody/links/1/body").problem(404, "unknown_identity");
}

#[test]
fn a_body_that_was_not_given_is_not_there() {
    let server = Server::start();
    let mut agent = Agent::new(server.node.log_id(), "keeper");
    let genesis = agent.genesis();
    let (link, _) = agent.beside(TEXT);
    server.append(&[genesis, super::support::bare(link)]);
    Reader::new(&server, &agent.act, PATH).ask(&server, PATH).problem(404, "not_found");
    server.audit();
}
