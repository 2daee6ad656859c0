//! Key events that are cut off: the link that was on its way, the files that were being renamed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use soulchain::keyfile::KeyFile;

use crate::node::Node;

const NODE: &str = "SOULCHAIN_NODE=";

/// A node that answers as the real one does, but not where links are sent.
struct Lossy {
    url: String,
}

/// What it does with links.
#[derive(Clone, Copy, PartialEq)]
enum Loses {
    /// It cuts the connection.
    Request,
    /// It hands them on, and cuts the connection.
    Answer,
    /// It hands them on, and says that it did not.
    Truth,
    /// It hands them on, the first time after somebody else has appended.
    Race,
    /// It hands nothing on, and says that it was refused.
    Nothing,
    /// It hands them on, and cuts the connection; what it answered before, it answers again.
    Sight,
}

const LIE: &str = "HTTP/1.1 403 No\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
    {\"type\":\"about:blank#unauthorised\",\"title\":\"unauthorised\",\"status\":403,\"detail\":\"no\",\
    \"code\":\"unauthorised\",\"hint\":\"give up\"}";

impl Lossy {
    fn start(node: &Node, loses: Loses) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = node.url.trim_start_matches("http://").to_owned();
        let rival = Arc::new(Mutex::new(Some(node.command("soulchain agent act scout meanwhile"))));
        let seen = Arc::new(Mutex::new(BTreeMap::<String, Vec<u8>>::new()));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, target, rival) = (client.unwrap(), target.clone(), Arc::clone(&rival));
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || {
                    let request = read_request(&mut client);
                    let is_append = request.starts_with(b"POST /v1/links?");
                    if request.is_empty() || is_append && loses == Loses::Request {
                        return;
                    }
                    if is_append && loses == Loses::Nothing {
                        let _ = client.write_all(LIE.as_bytes());
                        return;
                    }
                    if is_append
                        && loses == Loses::Race
                        && let Some(mut rival) = rival.lock().unwrap().take()
                    {
                        assert!(rival.output().unwrap().status.success());
                    }
                    let mut server = std::net::TcpStream::connect(target).unwrap();
                    let request = String::from_utf8(request).unwrap();
                    let (first, rest) = request.split_once("\r\n").unwrap();
                    write!(server, "{first}\r\nconnection: close\r\n{rest}").unwrap();
                    let mut answer = Vec::new();
                    let _ = server.read_to_end(&mut answer);
                    match loses {
                        Loses::Truth if is_append => answer = LIE.into(),
                        Loses::Answer | Loses::Sight if is_append => answer.clear(),
                        Loses::Sight => {
                            let before = seen.lock().unwrap().entry(first.into()).or_insert(answer).clone();
                            answer = before;
                        }
                        _ => {}
                    }
                    let _ = client.write_all(&answer);
                });
            }
        });
        Self { url }
    }
}

/// A whole request, whose body has the length that its head says.
fn read_request(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap_or(0);
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return request;
            }
        }
        if read == 0 {
            return request;
        }
    }
}

fn registered() -> Node {
    let node = Node::start();
    node.stdout("soulchain agent register scout --unencrypted");
    node
}

fn keys(node: &Node) -> PathBuf {
    node.dir.path().join(".soulchain/keys")
}

fn kid(path: &Path) -> String {
    KeyFile::read(path, None).unwrap().key.kid().to_hex()
}

fn live(node: &Node) -> Vec<String> {
    let shown: Value = serde_json::from_str(&node.stdout("soulchain resolve scout --json")).unwrap();
    let keys = shown["record"]["keys"].as_array().unwrap().clone();
    keys.iter().filter(|key| key.get("revoked").is_none()).map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn restore(dir: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(dir).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

const ROTATE: &str = "soulchain agent rotate scout --unencrypted --json";

/// Rotates through a node that loses the answer, or the request.
fn cut_off(node: &Node, loses: Loses) {
    let lossy = Lossy::start(node, loses);
    let done = node.shell(&format!("{NODE}{} {ROTATE}", lossy.url));
    let printed = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(3), "{printed}");
    assert!(printed.contains("the same command goes on with it"), "{printed}");
    for file in ["scout-act.new.key", "scout-admin.new.key", "scout.pending"] {
        assert!(keys(node).join(file).exists(), "{file}");
    }
}

fn finished(node: &Node, resumed: bool, seqno: u64) {
    let done: Value = serde_json::from_str(&node.stdout(ROTATE)).unwrap();
    assert_eq!((&done["resumed"], &done["link"]["seqno"]), (&resumed.into(), &seqno.into()), "{done}");
    check_files(node, seqno);
}

/// The files are those of the live keys, and nothing is under way.
fn check_files(node: &Node, seqno: u64) {
    let mut held: Vec<_> = ["act", "admin"].map(|role| kid(&keys(node).join(format!("scout-{role}.key")))).to_vec();
    held.sort();
    assert_eq!(held, live(node));
    for file in ["scout-act.new.key", "scout-admin.new.key", "scout.pending"] {
        assert!(!keys(node).join(file).exists(), "{file}");
    }
    assert!(keys(node).join(format!("scout-act.key.retired-{seqno}")).exists());
    node.stdout("soulchain agent act scout mine");
}

#[test]
fn an_event_that_never_arrived_is_sent_again_with_the_same_keys() {
    let node = registered();
    cut_off(&node, Loses::Request);
    let new = kid(&keys(&node).join("scout-act.new.key"));
    assert!(!live(&node).contains(&new));
    finished(&node, true, 2);
    assert!(live(&node).contains(&new));
}

#[test]
fn an_event_whose_answer_was_lost_is_recognised() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    let new = kid(&keys(&node).join("scout-act.new.key"));
    assert!(live(&node).contains(&new), "the log lists a key that has its file");
    let helpless = node.shell("soulchain agent act scout mine");
    assert!(String::from_utf8_lossy(&helpless.stderr).contains("finish it first"));
    finished(&node, true, 2);
}

#[test]
fn an_event_that_others_outran_is_signed_anew_with_the_same_keys() {
    let node = registered();
    cut_off(&node, Loses::Request);
    let new = kid(&keys(&node).join("scout-act.new.key"));
    node.stdout("soulchain agent act scout meanwhile");
    finished(&node, false, 3);
    assert!(live(&node).contains(&new));
}

#[test]
fn an_event_that_is_outrun_on_its_way_gets_in_at_the_second_try() {
    let node = registered();
    let racy = Lossy::start(&node, Loses::Race);
    let done = node.shell(&format!("{NODE}{} soulchain agent rotate scout --unencrypted", racy.url));
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("signing anew at its end"), "{told}");
    check_files(&node, 3);
}

#[test]
fn without_the_pending_event_the_record_tells() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    fs::remove_file(keys(&node).join("scout.pending")).unwrap();
    let done: Value = serde_json::from_str(&node.stdout(ROTATE)).unwrap();
    assert_eq!((&done["resumed"], &done["link"]), (&true.into(), &Value::Null), "{done}");
    check_files(&node, 2);
}

#[test]
fn without_the_pending_event_the_files_are_named_by_it_all_the_same() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    fs::remove_file(keys(&node).join("scout.pending")).unwrap();
    // The chain goes on with a copy of the new key.
    node.stdout("mkdir copy && cp .soulchain/keys/scout-act.new.key copy/scout-act.key");
    node.stdout("soulchain agent act scout mine --keys copy");
    node.stdout(ROTATE);
    check_files(&node, 2);
}

#[test]
fn a_key_that_was_retired_meanwhile_does_not_come_into_use() {
    for (with_pending, with_current) in [(true, true), (true, false), (false, true), (false, false)] {
        let node = registered();
        cut_off(&node, Loses::Answer);
        let [old, staged] = ["scout-act.key", "scout-act.new.key"].map(|file| kid(&keys(&node).join(file)));
        if !with_pending {
            fs::remove_file(keys(&node).join("scout.pending")).unwrap();
        }
        node.stdout(
            "soulchain agent recover scout --recovery-key .soulchain/keys/scout-next.key --keys home --unencrypted",
        );
        let copy = "cp home/scout-act.key home/scout-admin.key .soulchain/keys";
        if with_current {
            node.stdout(copy);
        } else {
            let refused = node.shell("soulchain agent rotate scout --unencrypted");
            let told = String::from_utf8_lossy(&refused.stderr);
            assert!(refused.status.code() == Some(1) && told.contains("not a live key"), "{told}");
            assert!(told.contains("was retired meanwhile"), "{told}");
            assert_eq!(kid(&keys(&node).join("scout-act.key")), old);
            node.stdout(copy);
        }
        let done: Value = serde_json::from_str(&node.stdout(ROTATE)).unwrap();
        assert_eq!((&done["resumed"], &done["link"]["seqno"]), (&false.into(), &4.into()), "{done}");
        check_files(&node, 4);
        assert_eq!(kid(&keys(&node).join("scout-act.new.key.retired-2")), staged);
    }
}

#[test]
fn keys_that_are_staged_and_listed_stay_in_use_until_the_agent_is_revoked() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    fs::remove_file(keys(&node).join("scout.pending")).unwrap();
    let unasked = node.shell("soulchain agent revoke scout </dev/null");
    let told = String::from_utf8_lossy(&unasked.stderr);
    assert!(unasked.status.code() == Some(2) && told.contains("--yes"), "{told}");
    check_files(&node, 2);
    node.stdout(REVOKE);
    assert!(keys(&node).join("scout-act.key.retired-4").exists() && !keys(&node).join("scout-act.key").exists());
}

const RECOVER: &str = "mv .soulchain/keys/scout-next.key next.key && \
    soulchain agent recover scout --recovery-key next.key --unencrypted";
const REVOKE: &str = "soulchain agent revoke scout --yes";
const REVOKE_FOR_GOOD: &str = "soulchain agent revoke scout --yes --recovery-key .soulchain/keys/scout-next.key";

/// Revokes through a node that loses the answer, or the request.
fn revoke_cut_off(loses: Loses, line: &str) -> Node {
    let node = registered();
    let lossy = Lossy::start(&node, loses);
    assert_eq!(node.shell(&format!("{NODE}{} {line}", lossy.url)).status.code(), Some(3));
    assert!(keys(&node).join("scout.pending").exists());
    node
}

/// The exit code of a revocation, and what it tells; how final it is told to be must be how final it is.
fn revoke(node: &Node, line: &str, is_final: bool, seqno: u64) -> (Option<i32>, String) {
    let done = node.shell(line);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!((told.contains("this is final"), told.contains("within 30 days")), (is_final, !is_final), "{told}");
    for file in ["scout-act.key", "scout-admin.key", "scout.pending"] {
        assert!(!keys(node).join(file).exists(), "{file}");
    }
    assert!(keys(node).join(format!("scout-act.key.retired-{seqno}")).exists());
    let recovered = node
        .shell("soulchain agent recover scout --recovery-key .soulchain/keys/scout-next.key --keys home --unencrypted");
    assert_eq!(recovered.status.success(), !is_final, "{}", String::from_utf8_lossy(&recovered.stderr));
    (done.status.code(), told)
}

#[test]
fn a_revocation_that_was_cut_off_is_finished_by_the_same_request() {
    for (line, is_final) in [(REVOKE, false), (REVOKE_FOR_GOOD, true)] {
        for loses in [Loses::Request, Loses::Answer] {
            let node = revoke_cut_off(loses, line);
            let (code, told) = revoke(&node, line, is_final, 2);
            assert!(code == Some(0) && told.contains("by an earlier attempt"), "{told}");
        }
    }
}

#[test]
fn a_revocation_by_one_key_does_not_answer_a_request_by_another() {
    for (first, second, is_final) in [(REVOKE, REVOKE_FOR_GOOD, true), (REVOKE_FOR_GOOD, REVOKE, false)] {
        // What is not asked for any more is not sent: what is takes its place.
        let node = revoke_cut_off(Loses::Request, first);
        let (code, told) = revoke(&node, second, is_final, 2);
        assert!(code == Some(0) && told.contains("may still be logged") && !told.contains("earlier attempt"), "{told}");
        // Where the chain has gone on without it, it is given up.
        let node = revoke_cut_off(Loses::Request, first);
        node.stdout("soulchain agent act scout on");
        let (code, told) = revoke(&node, second, is_final, 3);
        assert!(code == Some(0) && told.contains("is given up") && !told.contains("earlier attempt"), "{told}");
        // What is logged stands, and is not told to be what was asked for.
        let node = revoke_cut_off(Loses::Answer, first);
        let (code, told) = revoke(&node, second, !is_final, 2);
        assert!(code == Some(1) && told.contains("revoked already"), "{told}");
    }
    // Nor does it end an agent whose owner thinks better of it.
    let node = revoke_cut_off(Loses::Request, REVOKE);
    finished(&node, false, 2);
}

/// What was refused by the node's word alone may be logged later, so it is kept; the same command signs it anew where
/// the first one cannot get in, and another command is not kept from its place.
#[test]
fn a_revocation_that_was_refused_stands_in_nobodys_way() {
    for (line, is_revoked) in [(REVOKE, true), (ROTATE, false), (RECOVER, false)] {
        let node = registered();
        let liar = Lossy::start(&node, Loses::Nothing);
        assert_eq!(node.shell(&format!("{NODE}{} {REVOKE}", liar.url)).status.code(), Some(1));
        assert!(keys(&node).join("scout.pending").exists(), "the only copy of what may be logged");
        assert_eq!(live(&node).len(), 2);
        let done = node.shell(line);
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(live(&node).is_empty(), is_revoked);
        assert!(!keys(&node).join("scout.pending").exists());
    }
}

/// A revocation that is logged, and that a node does not show yet.
#[test]
fn a_revocation_that_is_not_shown_yet_is_not_given_up() {
    for (first, second, is_final) in [(REVOKE, REVOKE_FOR_GOOD, false), (REVOKE_FOR_GOOD, REVOKE, true)] {
        let node = registered();
        let behind = Lossy::start(&node, Loses::Sight);
        assert_eq!(node.shell(&format!("{NODE}{} {first}", behind.url)).status.code(), Some(3));
        assert!(live(&node).is_empty(), "it is logged");
        // The same command sends the same bytes again, and is told their place.
        let (code, told) = revoke(&node, first, is_final, 2);
        assert!(code == Some(0) && told.contains("by an earlier attempt"), "{told}");

        // Another command takes its place if it can, and is not told to be what was logged before it.
        let node = registered();
        let behind = Lossy::start(&node, Loses::Sight);
        assert_eq!(node.shell(&format!("{NODE}{} {first}", behind.url)).status.code(), Some(3));
        assert_eq!(node.shell(&format!("{NODE}{} {second}", behind.url)).status.code(), Some(3));
        let (code, told) = (node.shell(second).status.code(), node.shell(second).stderr);
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(code == Some(1) && told.contains("revoked already"), "{told}");
    }
}

#[test]
fn another_command_finishes_what_was_begun_first() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    let next = keys(&node).join("scout-next.key");
    node.stdout(&format!("soulchain agent recover scout --recovery-key {} --unencrypted", next.display()));
    check_files(&node, 2);
    assert!(keys(&node).join("scout-act.key.retired-3").exists());
}

/// Every state in which the files can be between the answer and the end, by doing the steps of the end one by one.
#[test]
fn cut_off_between_any_two_renames_it_is_finished() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    let dir = keys(&node);
    let begun = snapshot(&dir);
    let steps: [fn(&Path); 4] = [
        |dir| fs::hard_link(dir.join("scout-admin.key"), dir.join("scout-admin.key.retired-2")).unwrap(),
        |dir| fs::rename(dir.join("scout-admin.new.key"), dir.join("scout-admin.key")).unwrap(),
        |dir| fs::hard_link(dir.join("scout-act.key"), dir.join("scout-act.key.retired-2")).unwrap(),
        |dir| fs::rename(dir.join("scout-act.new.key"), dir.join("scout-act.key")).unwrap(),
    ];
    for done in 0..=steps.len() {
        restore(&dir, &begun);
        steps[..done].iter().for_each(|step| step(&dir));
        let finished: Value = serde_json::from_str(&node.stdout(ROTATE)).unwrap();
        assert_eq!(finished["link"]["seqno"], 2, "after {done} steps: {finished}");
        check_files(&node, 2);
    }
}

#[test]
fn a_node_that_denies_what_it_took_does_not_cost_the_keys() {
    let node = registered();
    let liar = Lossy::start(&node, Loses::Truth);
    let refused = node.shell(&format!("{NODE}{} {ROTATE}", liar.url));
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
    let done: Value = serde_json::from_str(&node.stdout(ROTATE)).unwrap();
    assert_eq!((&done["resumed"], &done["link"]), (&true.into(), &Value::Null), "{done}");
    check_files(&node, 2);
}

#[test]
fn killed_at_any_moment_no_listed_key_is_without_its_file() {
    // An agent may retire 32 keys in 30 days: each has a part of the rounds.
    const AGENTS: usize = 3;
    for first in 1..=AGENTS {
        let node = registered();
        // Spread over as long as it takes here, so that all of its steps are hit in some round.
        let started = std::time::Instant::now();
        node.stdout(ROTATE);
        let whole = started.elapsed().as_secs_f64();
        for round in (first..=24).step_by(AGENTS) {
            kill_rotation(&node, round, whole * f64::from(u32::try_from(round).unwrap()) / 20.0);
        }
        // Whatever is left is finished, and a rotation after it leaves nothing behind.
        node.stdout(ROTATE);
        let done: Value = serde_json::from_str(&node.stdout(ROTATE)).unwrap();
        check_files(&node, done["link"]["seqno"].as_u64().unwrap());
    }
}

/// Kills a rotation after so many seconds. No key that the log lists may then be without its file.
fn kill_rotation(node: &Node, round: usize, delay: f64) {
    node.shell(&format!("timeout -s KILL {delay:.3} {ROTATE} >/dev/null 2>&1"));
    let mut held: Vec<_> = snapshot(&keys(node)).into_iter().map(|(path, _)| path).collect();
    held.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
    // A name that begins with a dot is of a key that was being written.
    held.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    let held: Vec<_> = held.iter().map(|path| kid(path)).collect();
    for live in live(node) {
        assert!(held.contains(&live), "round {round}: {live} has no file");
    }
}

#[test]
fn nothing_is_overwritten_and_one_changes_keys_at_a_time() {
    let node = registered();
    cut_off(&node, Loses::Answer);
    let aside = keys(&node).join("scout-act.key.retired-2");
    fs::write(&aside, "another").unwrap();
    let refused = node.shell(ROTATE);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing is overwritten"));
    fs::rename(&aside, aside.with_extension("mine")).unwrap();
    finished(&node, true, 2);
    fs::write(keys(&node).join("scout.pending"), "{}").unwrap();
    let damaged = node.shell(ROTATE);
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("scout.pending is damaged"));
    fs::remove_file(keys(&node).join("scout.pending")).unwrap();
    let busy = node.shell("flock .soulchain/keys soulchain agent rotate scout --unencrypted");
    assert_eq!(busy.status.code(), Some(3), "{}", String::from_utf8_lossy(&busy.stderr));
}
