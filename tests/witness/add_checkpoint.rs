//! `add-checkpoint`, clause by clause.

use soulchain::encoding::{UnixMillis, b64_encode};
use soulchain::hash::Hash;
use soulchain::merkle::TreeSize;
use soulchain::tlog::{Checkpoint, MAX_NOTE_LEN, MAX_SIGNATURES, Note, NoteSignature, NoteSigner as _, Origin};
use soulchain::witness::LogList;

use super::log::{TestLog, Tree, key, ml_dsa_key, request, text, time};
use super::server::{NOW, Server, both_keys};

const ORIGIN: &str = "log.example/one";

fn started() -> (Server, TestLog) {
    let log = TestLog::new(ORIGIN);
    (Server::start(&[&log]), log)
}

#[test]
fn a_checkpoint_is_cosigned_by_each_key() {
    let (server, log) = started();
    for (old, size) in [(0, 1), (1, 1), (1, 2), (2, 7), (7, 64), (64, 64), (64, 100)] {
        let answer = server.grow(&log, old, size);
        assert_eq!(answer.cosigned(&log.checkpoint(size), &both_keys()), [NOW, NOW], "{old} {size}");
    }
}

#[test]
fn times_are_not_zero_and_do_not_go_back() {
    let (server, log) = started();
    server.clock.set(UnixMillis::ZERO);
    assert_eq!(server.grow(&log, 0, 1).cosigned(&log.checkpoint(1), &both_keys()), [1, 1]);
    server.clock.set(UnixMillis::new(5_999));
    assert_eq!(server.grow(&log, 1, 2).cosigned(&log.checkpoint(2), &both_keys()), [5, 5]);
    server.clock.set(UnixMillis::new(3_000));
    assert_eq!(server.grow(&log, 2, 2).cosigned(&log.checkpoint(2), &both_keys()), [5, 5]);
}

#[test]
fn malformed_requests_are_400() {
    let (server, log) = started();
    server.grow(&log, 0, 4);
    let proof = log.tree.proof(4, 7);
    let good = String::from_utf8(request(4, &proof, &log.checkpoint(7))).unwrap();
    let hash = b64_encode(proof[0].as_bytes());
    let root = b64_encode(log.tree.root(7).as_bytes());
    let too_many = vec![proof[0]; 64];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no old size", good.replacen("old 4\n", "", 1).into()),
        ("another word", good.replacen("old 4", "size 4", 1).into()),
        ("a leading zero", good.replacen("old 4", "old 04", 1).into()),
        ("a sign", good.replacen("old 4", "old +4", 1).into()),
        ("two spaces", good.replacen("old 4", "old  4", 1).into()),
        ("space behind", good.replacen("old 4\n", "old 4 \n", 1).into()),
        ("hexadecimal", good.replacen("old 4", "old 0x4", 1).into()),
        ("beyond all sizes", good.replacen("old 4", "old 18446744073709551616", 1).into()),
        ("carriage returns", good.replace('\n', "\r\n").into()),
        ("no empty line", good.replacen("\n\n", "\n", 1).into()),
        ("a hash that is cut", good.replacen(&hash, &hash[4..], 1).into()),
        ("a hash without padding", good.replacen(&hash, hash.trim_end_matches('='), 1).into()),
        ("64 hashes", request(4, &too_many, &log.checkpoint(7))),
        ("no checkpoint", b"old 4\n\n".to_vec()),
        ("no signature", format!("old 4\n\n{}", log.text(7)).into()),
        ("an unfinished last line", good.trim_end().into()),
        ("a size with a leading zero", good.replacen("\n7\n", "\n07\n", 1).into()),
        ("two lines of text", good.replacen(&format!("{root}\n"), "", 1).into()),
        ("a root that is cut", good.replacen(&root, &root[..40], 1).into()),
        ("an empty extension line", good.replacen(&format!("{root}\n"), &format!("{root}\n\nmore\n"), 1).into()),
        ("not UTF-8", [b"old 4\n\n\xff\n", log.checkpoint(7).as_bytes()].concat()),
    ];
    for (case, body) in cases {
        let answer = server.add(&body);
        assert_eq!(answer.status, 400, "{case}: {answer:?}");
    }
    assert_eq!(server.size(&log), 4);
    assert_eq!(server.client().ask("GET", "/add-checkpoint", b"").unwrap().status, 405);
    assert_eq!(server.add(&vec![b'x'; 1 << 20]).status, 413);
    assert_eq!(server.add(good.as_bytes()).status, 200);
    // As many hashes as there may be are no fault of form.
    server.refuses(&log, 422, &request(7, &too_many[..63], &log.checkpoint(9)));
}

#[test]
fn only_the_logs_own_keys_count() {
    let (server, log) = started();
    let (text, stranger) = (log.text(5), key("stranger.example", "stranger"));
    let (same_name, other_name) = (key(ORIGIN, "somebody else"), key("log.example/two", ORIGIN));
    for unknown in [&stranger, &same_name, &other_name] {
        let note = Note::sign(&text, unknown).unwrap().to_string();
        server.refuses(&log, 403, &request(0, &[], &note));
    }
    // The name and id of the key, and not its signature.
    let mut sig = log.key.sign(text.as_bytes());
    let line = |sig| NoteSignature::new(log.key.name().clone(), log.key.key_id(), sig).unwrap();
    let good = line(sig.clone());
    sig[9] ^= 1;
    let bad = line(sig);
    server.refuses(&log, 403, &request(0, &[], &format!("{text}\n{bad}\n")));
    server.refuses(&log, 403, &request(0, &[], &format!("{text}\n{good}\n{bad}\n")));
    server.refuses(&log, 403, &request(0, &[], &format!("{text}\n{}\n", line(vec![1]))));
    // Among those of unknown keys one is enough, whatever their names.
    let mut note = Note::sign(&text, &stranger).unwrap();
    for unknown in [&same_name, &other_name] {
        let line = NoteSignature::new(unknown.name().clone(), unknown.key_id(), unknown.sign(text.as_bytes()));
        note.add_signature(line.unwrap()).unwrap();
    }
    note.add_signature(good).unwrap();
    let answer = server.add(&request(0, &[], &note.to_string()));
    answer.cosigned(&log.checkpoint(5), &both_keys());
}

#[test]
fn an_instant_key_changes_nothing() {
    let (server, log) = started();
    server.grow(&log, 0, 3);
    let instant = key(ORIGIN, "instant");
    let note = Note::sign(&log.text(9), &instant).unwrap().to_string();
    server.refuses(&log, 403, &request(3, &log.tree.proof(3, 9), &note));
    server.grow(&log, 3, 4);
}

#[test]
fn what_is_remembered_is_a_note_that_others_can_read() {
    let log = TestLog::new(ORIGIN);
    let second = ml_dsa_key(ORIGIN, "second");
    let lines = format!("{}log {}\n", log.line(), second.vkey());
    let server = Server::with_keys(LogList::parse(lines.as_bytes()).unwrap(), both_keys());
    let shown = || Note::parse(server.witness.checkpoint(&log.hash()).unwrap().as_bytes()).unwrap();
    // One key can sign a text in as many ways as a note has lines: each is right, and one is enough.
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), TreeSize::new(3), log.tree.root(3)).unwrap();
    let mut note = Note::parse(log.checkpoint(3).as_bytes()).unwrap();
    for at in 1..MAX_SIGNATURES as u64 {
        let signed = second.sign_checkpoint(&checkpoint, time(at)).unwrap();
        note.add_signature(signed.note().signatures()[0].clone()).unwrap();
    }
    assert_eq!(server.add(&request(0, &[], &note.to_string())).status, 200);
    assert_eq!(shown().signatures(), [&note.signatures()[..2], &shown().signatures()[2..]].concat());
    assert_eq!(shown().signatures().len(), 4);
    // One that is wrong still spoils all.
    let mut wrong = Note::parse(log.checkpoint(4).as_bytes()).unwrap();
    wrong.add_signature(Note::parse(log.checkpoint(3).as_bytes()).unwrap().signatures()[0].clone()).unwrap();
    server.refuses(&log, 403, &request(3, &log.tree.proof(3, 4), &wrong.to_string()));
    // A text that leaves no room for cosignatures.
    let long = |len: usize| {
        let text = format!("{}{}\n", log.text(5), "x".repeat(len));
        request(3, &log.tree.proof(3, 5), Note::sign(&text, &log.key).unwrap().as_str())
    };
    server.refuses(&log, 400, &long(MAX_NOTE_LEN - 1000));
    assert_eq!(server.add(&long(MAX_NOTE_LEN - 8000)).status, 200);
    assert_eq!(shown().text().lines().nth(1), Some("5"));
}

#[test]
fn a_log_may_have_several_keys() {
    let log = TestLog::new(ORIGIN);
    let (second, third) = (key(ORIGIN, "second"), ml_dsa_key(ORIGIN, "third"));
    let lines = format!("{}log {}\n\t# more\nlog {} https://log.example\n", log.line(), second.vkey(), third.vkey());
    let server = Server::with_keys(LogList::parse(lines.as_bytes()).unwrap(), both_keys());
    server.grow(&log, 0, 3);
    let note = Note::sign(&log.text(5), &second).unwrap().to_string();
    assert_eq!(server.add(&request(3, &log.tree.proof(3, 5), &note)).status, 200);
    let size = TreeSize::new(8);
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), size, log.tree.root(8)).unwrap();
    let note = third.sign_checkpoint(&checkpoint, time(77)).unwrap().to_string();
    let answer = server.add(&request(5, &log.tree.proof(5, 8), &note));
    answer.cosigned(&log.checkpoint(8), &both_keys());
    // One of two known keys is wrong.
    let wrong = NoteSignature::new(second.vkey().name().clone(), second.vkey().id(), vec![3; 64]).unwrap();
    let note = format!("{}{wrong}\n", log.checkpoint(9));
    server.refuses(&log, 403, &request(8, &log.tree.proof(8, 9), &note));
}

#[test]
fn an_unknown_log_is_404() {
    let (server, log) = started();
    let unknown = TestLog::new("log.example/unknown");
    let answer = server.refuses(&log, 404, &unknown.request(0, 3));
    assert!(answer.text().contains("log.example/unknown"));
    assert_eq!(server.witness.remembered(), 0);
}

/// An origin line may be any text: that it is no name of a key makes it unknown, and not malformed.
#[test]
fn an_origin_that_no_key_could_have_is_404() {
    let (server, log) = started();
    let signed_as = |origin: &str| Note::sign(&text(origin, 3, &log.tree.root(3)), &log.key).unwrap().to_string();
    let long = "x".repeat(2_000);
    for origin in ["a log with spaces", "more+plus", " ", "log.example/one ", "\u{fc}mlaut", "cosignature/v1", &long] {
        let answer = server.refuses(&log, 404, &request(0, &[], &signed_as(origin)));
        assert!(answer.text().len() < 500, "{answer:?}");
    }
    server.refuses(&log, 400, &request(0, &[], &signed_as("")));
    assert_eq!(server.witness.remembered(), 0);
}

#[test]
fn an_old_size_above_the_new_is_400() {
    let (server, log) = started();
    server.grow(&log, 0, 9);
    server.refuses(&log, 400, &request(9, &[], &log.checkpoint(8)));
    server.refuses(&log, 400, &request(10, &log.tree.proof(8, 9), &log.checkpoint(9)));
}

#[test]
fn a_stale_old_size_is_409_with_the_size() {
    let (server, log) = started();
    let conflict = |request: &[u8], size: &str| {
        let answer = server.refuses(&log, 409, request);
        assert_eq!(answer.text(), size);
        assert!(answer.has_header("content-type: text/x.tlog.size"), "{answer:?}");
    };
    conflict(&log.request(1, 5), "0\n");
    server.grow(&log, 0, 5);
    for old in [0, 1, 4, 6] {
        conflict(&log.request(old, 8), "5\n");
    }
    conflict(&log.request(0, 5), "5\n");
    // A size below the newest is a conflict even if all else is right.
    conflict(&log.request(2, 3), "5\n");
}

#[test]
fn the_empty_tree_has_one_root() {
    let (server, log) = started();
    let wrong = Note::sign(&text(ORIGIN, 0, &log.tree.root(1)), &log.key).unwrap().to_string();
    server.refuses(&log, 422, &request(0, &[], &wrong));
    let answer = server.grow(&log, 0, 0);
    answer.cosigned(&log.checkpoint(0), &both_keys());
    server.refuses(&log, 422, &request(0, &[], &wrong));
    assert_eq!(server.size(&log), 0);
    server.grow(&log, 0, 0);
    server.grow(&log, 0, 6);
}

#[test]
fn proofs_must_hold() {
    let (server, log) = started();
    let checkpoint = log.checkpoint(6);
    let proof = log.tree.proof(3, 6);
    server.refuses(&log, 422, &request(0, &proof, &checkpoint));
    server.grow(&log, 0, 3);
    let longer: Vec<Hash> = proof.iter().copied().chain([proof[0]]).collect();
    let mut wrong = proof.clone();
    wrong[0] = log.tree.root(2);
    let cases: [&[Hash]; 4] = [&[], &proof[1..], &longer, &wrong];
    for case in cases {
        server.refuses(&log, 422, &request(3, case, &checkpoint));
    }
    // The proof of another tree than the one that was cosigned.
    let other = TestLog { tree: Tree { word: "other".into(), fork: None }, ..TestLog::new(ORIGIN) };
    server.refuses(&log, 422, &other.request(3, 6));
    server.refuses(&log, 422, &log.forked(2).request(3, 6));
    assert_eq!(server.add(&request(3, &proof, &checkpoint)).status, 200);
}

#[test]
fn a_size_has_one_root() {
    let (server, log) = started();
    server.grow(&log, 0, 6);
    server.refuses(&log, 422, &log.forked(4).request(6, 6));
    server.refuses(&log, 422, &request(6, &[log.tree.root(6)], &log.checkpoint(6)));
    server.grow(&log, 6, 6);
}

#[test]
fn faults_are_answered_in_order() {
    let (server, log) = started();
    server.grow(&log, 0, 6);
    let unknown = TestLog::new("log.example/unknown");
    let unsigned = |log: &TestLog, size| Note::sign(&log.text(size), &key(ORIGIN, "no")).unwrap().to_string();
    let forged = [log.tree.root(3)];
    // Form before log, log before signature, signature before sizes, sizes before the proof.
    server.refuses(&log, 400, &[b"old x\n\n", unknown.checkpoint(3).as_bytes()].concat());
    server.refuses(&log, 404, &request(9, &forged, &unsigned(&unknown, 3)));
    server.refuses(&log, 403, &request(9, &forged, &unsigned(&log, 3)));
    server.refuses(&log, 400, &request(9, &forged, &log.checkpoint(3)));
    server.refuses(&log, 409, &request(2, &forged, &log.checkpoint(9)));
    server.refuses(&log, 422, &request(6, &forged, &log.checkpoint(9)));
}

#[test]
fn extension_lines_are_accepted_and_covered() {
    let (server, log) = started();
    let extended = |size, lines: &str| Note::sign(&format!("{}{lines}", log.text(size)), &log.key).unwrap().to_string();
    let first = extended(4, "one more line\nand — another\n");
    let answer = server.add(&request(0, &[], &first));
    answer.cosigned(&first, &both_keys());
    let note = server.witness.checkpoint(&log.hash()).unwrap();
    assert!(note.starts_with(&first) && note.ends_with(answer.text()), "{note}");
    // Without the lines, with others: what counts is the tree.
    let second = extended(4, "others\n");
    server.add(&request(4, &[], &second)).cosigned(&second, &both_keys());
    server.grow(&log, 4, 5);
    // By an ML-DSA-44 key alone nobody has signed the lines: the document would have them cosigned.
    let quantum = ml_dsa_key("log.example/quantum", "quantum");
    let list = LogList::parse(format!("log {}\n", quantum.vkey()).as_bytes()).unwrap();
    let other = Server::with_keys(list, both_keys());
    let tree = TestLog::new("log.example/quantum");
    let claim = Checkpoint::parse(&tree.text(4)).unwrap();
    let line = quantum.cosign(&claim, time(1));
    let with = |lines: &str| format!("{}{lines}\n{line}\n", tree.text(4));
    assert_eq!(other.client().post("/add-checkpoint", &request(0, &[], &with("more\n"))).status, 403);
    assert_eq!(other.client().post("/add-checkpoint", &request(0, &[], &with(""))).status, 200);
    // A line that the log has not signed.
    let more = first.replacen("another\n", "another\nmore\n", 1);
    server.refuses(&log, 403, &request(5, &[], &more));
}
