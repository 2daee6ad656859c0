//! A split view, and all who should notice: witnesses, monitors, those to whom the evidence is shown, and those who rely on
//! proofs. Witnesses and the monitor are the program; the log is a double that holds the log's key, and one witness of three
//! signs whatever it is asked to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use soulchain::client::now;
use soulchain::hash::Hash;
use soulchain::merkle::{LeafIndex, NodeId, TreeSize, inclusion_plan};
use soulchain::tlog::{
    Cosigner, KeyName, NoteSignature, Policy, SignedCheckpoint, Timestamp, TlogProof, parse_signature_lines,
};
use soulchain::verify::{Check, Extra, LinkExtra, Request, Shown, verify};

use crate::cosigning::request;
use crate::log::{BOTH, LOG_KEY, Log, root, vkey};
use crate::process::{BINARY, Server, get, kinds};
use crate::{check_evidence, verify_elsewhere};

/// `soulchain witness`, killed when it is dropped.
struct Witness {
    child: Child,
    address: String,
    vkey: String,
}

impl Witness {
    fn start(dir: &Path, name: &str) -> Self {
        let logs = dir.join("logs.txt");
        std::fs::write(&logs, format!("log {}\n", vkey(LOG_KEY))).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["--json", "witness", "--listen", "127.0.0.1:0", "--keys", "ed25519", "--name", name, "--data"]);
        command.arg(dir.join(name.replace('/', "-"))).arg("--logs").arg(logs);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut text = String::new();
        while !text.ends_with("\n}\n") {
            text.push_str(&lines.next().expect("it starts").unwrap());
            text.push('\n');
        }
        let json: Value = serde_json::from_str(&text).unwrap();
        let address = json["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address, vkey: json["vkeys"][0].as_str().unwrap().to_owned() }
    }

    /// Asks for a cosignature; the status, and the body.
    fn add_checkpoint(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, len) = (&self.address, request.len());
        write!(
            stream,
            "POST /add-checkpoint HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn cosignature(&self, request: &[u8]) -> NoteSignature {
        let (status, lines) = self.add_checkpoint(request);
        assert_eq!(status, 200, "{lines}");
        parse_signature_lines(lines.as_bytes()).unwrap().remove(0)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The witness that signs everything.
fn dishonest() -> Cosigner {
    Cosigner::from_seed(KeyName::parse("w3.example").unwrap(), &[53; 32])
}

/// A log of two agents, of which one acts in the end; its history until then is always the same.
fn history(time: u64, acts: &[bool]) -> Log {
    let mut log = Log::new();
    log.time = time;
    log.found(10, Some("registrar"), &[(10, BOTH)]);
    log.seal();
    let mut alpha = log.found(1, Some("alpha"), &[(1, BOTH)]);
    let mut beta = log.found(3, Some("beta"), &[(3, BOTH)]);
    log.seal();
    for is_alpha in acts {
        log.act(if *is_alpha { &mut alpha } else { &mut beta });
    }
    log.seal();
    log
}

fn signed_by_log(log: &Log) -> SignedCheckpoint {
    SignedCheckpoint::parse(&log.files().0["checkpoint"]).unwrap()
}

fn with(mut note: SignedCheckpoint, lines: &[NoteSignature]) -> SignedCheckpoint {
    for line in lines {
        note.add_signature(line.clone()).unwrap();
    }
    note
}

/// The proof of the last link, by an agent whose genesis is at that index.
fn proof(log: &Log, genesis: usize, checkpoint: SignedCheckpoint) -> Vec<u8> {
    let (index, size) = (LeafIndex::new(log.next() - 2), TreeSize::new(log.next()));
    let leaves = log.leaves();
    let node = |node: NodeId| -> Result<Hash, ()> {
        let (from, len) = ((node.index << node.level) as usize, 1_usize << node.level);
        Ok(root(&leaves[from..from + len]))
    };
    let path = inclusion_plan(index, size).unwrap().path(node).unwrap();
    let entry = log.entries[index.get() as usize].clone();
    let key_events = vec![log.entries[genesis].clone()];
    let extra = Extra::Link(LinkExtra { entry, disclosed: None, key_events, state: None });
    TlogProof::new(Some(extra.to_bytes()), index, path, checkpoint).unwrap().to_string().into_bytes()
}

/// `soulchain verify`, by somebody who has the proof and the policy.
fn verified_elsewhere(proof: &[u8], policy: &str) -> Option<i32> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("proof"), proof).unwrap();
    std::fs::write(dir.path().join("policy"), policy).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["verify", "proof", "--policy", "policy"]).current_dir(dir.path());
    command.output().unwrap().status.code()
}

fn monitor(url: &str, dir: &Path) -> (Vec<Value>, Option<i32>) {
    let mut command = Command::new(BINARY);
    command.args(["monitor", url, "--once", "--threads", "1", "--policy"]).arg(dir.join("policy.txt"));
    let done = command.arg("--state").arg(dir.join("monitor")).output().unwrap();
    let lines = String::from_utf8(done.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), done.status.code())
}

#[test]
fn a_split_view_deceives_nobody() {
    let time = now().get() - 10_000;
    let (one, other) = (history(time, &[true]), history(time, &[false, false]));
    let dir = tempfile::tempdir().unwrap();
    let honest = [Witness::start(dir.path(), "w1.example"), Witness::start(dir.path(), "w2.example")];
    let policy_text = format!(
        "log {}\nwitness w1 {} http://{}\nwitness w2 {} http://{}\nwitness w3 {}\ngroup two 2 w1 w2 w3\nquorum two\n",
        vkey(LOG_KEY),
        honest[0].vkey,
        honest[0].address,
        honest[1].vkey,
        honest[1].address,
        dishonest().vkey(),
    );
    let policy = Policy::parse(policy_text.as_bytes()).unwrap();
    std::fs::write(dir.path().join("policy.txt"), &policy_text).unwrap();

    // The log shows one history to the witnesses, which cosign it, and to the monitor, which has nothing to say.
    let lines: Vec<_> = honest.iter().map(|witness| witness.cosignature(&request(&one, 0))).collect();
    let published = with(signed_by_log(&one), &lines);
    let server = Server::start(&one);
    let serve = |log: &Log, note: &SignedCheckpoint| {
        let mut files = log.files();
        files.0.insert("checkpoint".into(), note.to_string().into_bytes());
        *server.files.lock().unwrap() = files;
    };
    serve(&one, &published);
    assert_eq!(monitor(&server.url, dir.path()), (vec![], Some(0)));
    let good = proof(&one, 2, published.clone());
    let verdict = verify(&Request::new(&policy, &good)).unwrap();
    assert!(matches!(verdict.shown(), Shown::Link(link) if link.is_signed()));
    assert_eq!(verified_elsewhere(&good, &policy_text), Some(0));

    // The witnesses refuse the second, from wherever it is said to go on, and stay with the first.
    for witness in &honest {
        assert_eq!(witness.add_checkpoint(&request(&other, 7)).0, 422);
        for (old, status) in [(0, 409), (5, 409)] {
            let answer = witness.add_checkpoint(&request(&other, old));
            assert_eq!(answer, (status, "7\n".to_owned()));
        }
        let hash = soulchain::encoding::hex_encode(&soulchain::hash::sha256(&[crate::log::ORIGIN.as_bytes()]));
        let shown = get(&witness.address, &format!("/{hash}/checkpoint"));
        let note = SignedCheckpoint::parse(shown.split_once("\r\n\r\n").unwrap().1.as_bytes()).unwrap();
        assert_eq!((note.claim().size().get(), note.claim().root()), (7, one.root()));
    }

    // Nobody who asks for two of three relies on it: not with the one cosignature that it has, nor with those of the first
    // history beside it. It is for the quorum that they do not: everything else is in order.
    let time = Timestamp::new(now().get() / 1000).unwrap();
    let forked = with(signed_by_log(&other), &[dishonest().cosign(signed_by_log(&other).claim(), time)]);
    for note in [forked.clone(), with(forked.clone(), &lines)] {
        let bad = proof(&other, 3, note);
        assert_eq!(verified_elsewhere(&bad, &policy_text), Some(1));
        let failure = verify(&Request::new(&policy, &bad)).unwrap_err();
        assert!(matches!(failure.check, Check::Checkpoint | Check::Quorum), "{failure:?}");
    }
    let bad = proof(&other, 3, forked.clone());
    assert_eq!(verify(&Request::new(&policy, &bad)).unwrap_err().check, Check::Quorum);
    let one_of_three = policy_text.replace("group two 2", "group two 1");
    assert_eq!(verified_elsewhere(&bad, &one_of_three), Some(0), "the quorum is what keeps them safe");

    // The monitor, to which the log shows it now, has evidence that convinces a process which knows nothing else.
    serve(&other, &forked);
    let (reports, code) = monitor(&server.url, dir.path());
    assert_eq!((kinds(&reports), code), (vec!["quorum", "fork"], Some(1)), "{reports:#?}");
    let evidence = std::fs::read(reports[1]["evidence"].as_str().unwrap()).unwrap();
    assert_eq!(verify_elsewhere(&evidence, &policy_text).1, Some(0));
    let conviction = check_evidence(&evidence, &policy, &policy_text);
    assert!(conviction.to_string().contains("forked: it signed a tree of size 7"), "{conviction}");
}
