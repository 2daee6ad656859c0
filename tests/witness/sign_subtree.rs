//! `sign-subtree`, clause by clause.

use soulchain::encoding::b64_encode;
use soulchain::hash::Hash;
use soulchain::merkle::{Subtree, TreeSize};
use soulchain::tlog::{LogSubtree, Note, NoteVerifier, Origin, VkeyType, parse_signature_lines};
use soulchain::witness::WitnessKeys;

use super::log::{TestLog, request};
use super::server::{Answer, Server, both_keys, ed25519_key, list};

const SIZE: u64 = 14;

fn body(range: (u64, u64), hash: &Hash, proof: &[Hash], checkpoint: &str) -> String {
    let proof: String = proof.iter().map(|hash| b64_encode(hash.as_bytes()) + "\n").collect();
    format!("subtree {} {}\n{}\n{proof}\n{checkpoint}", range.0, range.1, b64_encode(hash.as_bytes()))
}

fn honest(log: &TestLog, range: (u64, u64), checkpoint: &str) -> String {
    honest_at(log, range, SIZE, checkpoint)
}

fn honest_at(log: &TestLog, (start, end): (u64, u64), size: u64, checkpoint: &str) -> String {
    let proof = log.tree.subtree_proof(start, end, size);
    body((start, end), &log.tree.subtree(start, end), &proof, checkpoint)
}

/// A witness that has cosigned a checkpoint, and this with its cosignatures alone.
fn started() -> (Server, TestLog, String) {
    let log = TestLog::new("log.example/one");
    let server = Server::start(&[&log]);
    let lines = server.grow(&log, 0, SIZE);
    let checkpoint = format!("{}\n{}", log.text(SIZE), lines.text());
    (server, log, checkpoint)
}

fn ask(server: &Server, body: &str) -> Answer {
    server.client().post("/sign-subtree", body.as_bytes())
}

#[test]
fn subtrees_are_signed() {
    let (server, log, checkpoint) = started();
    let vkey = both_keys().vkeys().find(|vkey| vkey.kind() == VkeyType::MlDsa44).unwrap().clone();
    let verifier = NoteVerifier::new(vkey).unwrap();
    // Later checkpoints take nothing from what was cosigned before.
    server.grow(&log, SIZE, 20);
    for (start, end) in [(8, 13), (0, 14), (0, 8), (8, 14), (12, 14), (5, 6), (0, 1), (0, 11)] {
        let answer = ask(&server, &honest(&log, (start, end), &checkpoint));
        assert_eq!(answer.status, 200, "{start} {end}: {answer:?}");
        let lines = parse_signature_lines(&answer.body).unwrap();
        let subtree = LogSubtree {
            origin: Origin::parse(&log.origin).unwrap(),
            subtree: Subtree::new(start, TreeSize::new(end)).unwrap(),
            hash: log.tree.subtree(start, end),
        };
        let times: Vec<_> = lines.iter().map(|line| verifier.verify_subtree(&subtree, line).unwrap().time()).collect();
        assert_eq!(times.iter().map(|time| time.unwrap().get()).collect::<Vec<_>>(), [0]);
    }
}

#[test]
fn the_cosignature_of_either_key_is_enough() {
    let (server, log, checkpoint) = started();
    let lines: Vec<_> = checkpoint.lines().collect();
    for signature in &lines[4..6] {
        let one = format!("{}\n{signature}\n", log.text(SIZE));
        assert_eq!(ask(&server, &honest(&log, (8, 13), &one)).status, 200);
    }
}

#[test]
fn malformed_requests_are_400() {
    let (server, log, checkpoint) = started();
    let good = honest(&log, (8, 13), &checkpoint);
    let hash = log.tree.subtree(8, 13);
    let cases = [
        ("nothing", String::new()),
        ("another word", good.replacen("subtree", "tree", 1)),
        ("one number", good.replacen("subtree 8 13", "subtree 8", 1)),
        ("three numbers", good.replacen("subtree 8 13", "subtree 8 13 14", 1)),
        ("a leading zero", good.replacen("subtree 8 13", "subtree 08 13", 1)),
        ("a leading zero of the end", good.replacen("subtree 8 13", "subtree 8 013", 1)),
        ("two zeros", honest(&log, (0, 8), &checkpoint).replacen("subtree 0 8", "subtree 00 8", 1)),
        ("an unfinished last line", good.trim_end().to_owned()),
        ("an empty range", good.replacen("subtree 8 13", "subtree 8 8", 1)),
        ("a range that goes back", good.replacen("subtree 8 13", "subtree 8 7", 1)),
        ("no subtree", good.replacen("subtree 8 13", "subtree 9 13", 1)),
        ("no subtree either", good.replacen("subtree 8 13", "subtree 4 13", 1)),
        ("beyond the checkpoint", good.replacen("subtree 8 13", "subtree 8 15", 1)),
        ("no hash", good.replacen(&format!("{}\n", b64_encode(hash.as_bytes())), "x\n", 1)),
        ("64 hashes", body((8, 13), &hash, &[hash; 64], &checkpoint)),
        ("no empty line", good.replacen("\n\n", "\n", 1)),
        ("no checkpoint", good.split_inclusive("\n\n").next().unwrap().to_owned()),
    ];
    for (case, body) in cases {
        let answer = ask(&server, &body);
        assert_eq!(answer.status, 400, "{case}: {answer:?}");
    }
    assert_eq!(server.client().get("/sign-subtree").status, 405);
    assert_eq!(ask(&server, &good).status, 200);
}

/// A subtree is one of the tree: what an ML-DSA-44 key does not cover takes nothing from it.
#[test]
fn a_checkpoint_with_extension_lines_counts_by_either_key() {
    let (server, log, _) = started();
    let text = format!("{}one more line\n", log.text(SIZE + 1));
    let signed = Note::sign(&text, &log.key).unwrap().to_string();
    let cosigned = server.add(&request(SIZE, &log.tree.proof(SIZE, SIZE + 1), &signed));
    let lines: Vec<_> = cosigned.text().lines().collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let one = format!("{text}\n{line}\n");
        assert_eq!(ask(&server, &honest_at(&log, (8, 13), SIZE + 1, &one)).status, 200);
    }
}

#[test]
fn refusals() {
    let (server, log, checkpoint) = started();
    let good = honest(&log, (8, 13), &checkpoint);
    let proof = log.tree.subtree_proof(8, 13, SIZE);
    let status = |body: &str| ask(&server, body).status;
    // The proof.
    assert_eq!(status(&body((8, 13), &log.tree.root(5), &proof, &checkpoint)), 422);
    assert_eq!(status(&body((8, 13), &log.tree.subtree(8, 13), &proof[1..], &checkpoint)), 422);
    assert_eq!(status(&body((8, 12), &log.tree.subtree(8, 13), &proof, &checkpoint)), 422);
    // The log, before the signature.
    let unknown = TestLog::new("log.example/unknown");
    assert_eq!(status(&honest(&unknown, (8, 13), &unknown.checkpoint(SIZE))), 404);
    // The log's own signature is not the witness's, and that of another checkpoint neither.
    assert_eq!(status(&honest(&log, (8, 13), &log.checkpoint(SIZE))), 403);
    let fork = log.forked(9);
    let lines = checkpoint.split("\n\n").nth(1).unwrap();
    assert_eq!(status(&honest(&fork, (8, 13), &format!("{}\n{lines}", fork.text(SIZE)))), 403);
    assert_eq!(status(&good), 200);
}

#[test]
fn without_a_key_for_it_there_is_no_such_call() {
    let log = TestLog::new("log.example/one");
    let keys = WitnessKeys::new(vec![ed25519_key()]).unwrap();
    let server = Server::with_keys(list(&[&log]), keys);
    let lines = server.grow(&log, 0, SIZE);
    let checkpoint = format!("{}\n{}", log.text(SIZE), lines.text());
    assert_eq!(ask(&server, &honest(&log, (8, 13), &checkpoint)).status, 404);
}
