//! Imports that are cut off.

use soulchain::client::{Action, Agent, AgentKeys, Client, KnownLog, Signer, now};
use soulchain::encoding::b64_encode;
use soulchain::keyfile::KeyFile;
use soulchain::wire::write_links;

use crate::node::Node;

/// Traces of every form that is read, one to a line.
pub(crate) fn traces() -> String {
    let long = serde_json::json!({"agent": "reader", "tool": "read", "result": "é🦀\"".repeat(40_000)});
    let too_long = serde_json::json!({"agent": "reader", "tool": "read", "result": "x".repeat(2_000_000)});
    let lines = [
        r#"{"agentId":"Scout 🦊","toolName":"weigh","toolInput":{"kiloGrams":72.50,"note":"🦀"},"isError":false,"toolOutput":"1e-7"}"#,
        r#"{"name":"execute_tool get_weather","context":{"trace_id":"0xaa","span_id":"0xbb"},"status":{"status_code":"UNSET"},"attributes":{"gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"get_weather","gen_ai.tool.call.arguments":"{\"lat\": 48.20}"},"resource":{"attributes":{"service.name":"weather"}}}"#,
        "not json",
        r#"{"tool":"of nobody"}"#,
        "",
        r#"{"agent":"reader","task_reward":1}"#,
        &long.to_string(),
        &too_long.to_string(),
    ];
    lines.join("\n") + "\n"
}

fn seqno(node: &Node, agent: &str) -> u64 {
    let view: serde_json::Value =
        serde_json::from_str(&node.stdout(&format!("soulchain agent show {agent} --json"))).unwrap();
    view["head"]["seqno"].as_u64().unwrap()
}

fn import(node: &Node) -> serde_json::Value {
    let printed = node.stdout("soulchain import t.jsonl --unencrypted --state state --json");
    serde_json::from_str(&printed).unwrap()
}

fn numbered(lines: std::ops::Range<u32>) -> String {
    let line = |n| format!("{{\"agent\":\"a-{}\",\"tool\":\"t\",\"arguments\":{{\"n\":{n}}}}}", n % 2);
    lines.map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn cut_off_after_any_record_nothing_is_logged_twice_and_nothing_is_left_out() {
    let node = Node::start();
    node.write("t.jsonl", &numbered(0..450));
    assert_eq!(import(&node)["logged"], 450);
    let journal = node.read("state/journal.jsonl");
    let records: Vec<_> = journal.split_inclusive('\n').collect();
    // What was sent and never recorded as logged is sent again, and answered with the place that it has.
    let last = records.iter().rposition(|record| record.contains("\"signed\"")).unwrap();
    for kept in [records.len() - 1, last + 1] {
        node.write("state/journal.jsonl", &records[..kept].concat());
        let again = import(&node);
        assert_eq!(again["logged"].as_u64().unwrap() + again["logged_before"].as_u64().unwrap(), 450, "{again}");
        assert_eq!((seqno(&node, "a-0"), seqno(&node, "a-1")), (226, 226));
    }
    node.write("t.jsonl", &numbered(0..460));
    assert_eq!(import(&node)["logged"], 10);
    assert_eq!((seqno(&node, "a-0"), seqno(&node, "a-1")), (231, 231));
}

#[test]
fn links_that_a_chain_went_past_are_signed_anew() {
    let node = Node::start();
    node.write("t.jsonl", &numbered(0..20));
    import(&node);
    // As a program leaves it that dies before it sends what it has signed, while another one goes on.
    let record = signed_and_not_sent(&node, "a-0", 30);
    node.write("state/journal.jsonl", &(node.read("state/journal.jsonl") + &record));
    node.stdout("soulchain agent act a-0 meanwhile");
    node.write("t.jsonl", &numbered(0..40));
    assert_eq!(import(&node)["logged"], 20);
    assert!(node.read("state/journal.jsonl").contains("\"dropped\""));
    assert_eq!((seqno(&node, "a-0"), seqno(&node, "a-1")), (22, 21));
}

/// The record of links that an agent's key signed for the lines up to this one.
fn signed_and_not_sent(node: &Node, agent: &str, line: u64) -> String {
    let key = KeyFile::read(&node.dir.path().join(format!(".soulchain/keys/{agent}-act.key")), None).unwrap().key;
    let keys = AgentKeys { act: Some(Signer::from(&key)), admin: None };
    let open = async {
        let client = Client::new(&node.url).unwrap();
        let log = KnownLog::ask(&client).await.unwrap();
        Agent::open(&client, &log, agent, keys).await.unwrap()
    };
    let agent_at_its_end = tokio::runtime::Runtime::new().unwrap().block_on(open);
    let links = agent_at_its_end.sign_actions(&vec![Action::new("t"); 5], now()).unwrap();
    let links = write_links(links.iter().map(|signed| (&signed.link, signed.beside.as_ref())));
    let record = serde_json::json!({
        "kind": "signed", "agent": agent, "upto": {"line": line, "part": 0}, "line_sha256": "", "links": b64_encode(&links),
    });
    format!("{record}\n")
}

#[test]
fn a_file_that_changed_is_refused() {
    let node = Node::start();
    node.write("t.jsonl", &numbered(0..20));
    import(&node);
    node.write("t.jsonl", &numbered(0..20).replace("\"n\":19", "\"n\":99"));
    let refused = node.shell("soulchain import t.jsonl --unencrypted --state state");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 20 of t.jsonl is not what it was"));
}

#[test]
fn a_log_that_has_not_what_was_imported_is_refused() {
    let node = Node::start();
    node.write("t.jsonl", &numbered(0..20));
    import(&node);
    // A log of the same origin, founded anew.
    let anew = Node::start();
    anew.write("t.jsonl", &numbered(0..20));
    std::fs::create_dir(anew.dir.path().join("state")).unwrap();
    anew.write("state/journal.jsonl", &node.read("state/journal.jsonl"));
    let refused = anew.shell("soulchain import t.jsonl --unencrypted --state state");
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("10 actions of `a-0` were imported, and the log has 0 links of it"), "{told}");
    assert!(told.contains("--state"), "{told}");
    assert!(!anew.shell("soulchain agent show a-0").status.success(), "nothing was registered");
    // One that was restored from a copy in which the last action was not yet.
    let older = Node::start();
    older.write("t.jsonl", &numbered(0..18));
    import(&older);
    older.write("t.jsonl", &numbered(0..20));
    older.write("state/journal.jsonl", &node.read("state/journal.jsonl"));
    let refused = older.shell("soulchain import t.jsonl --unencrypted --state state");
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("10 actions of `a-0` were imported, and the log has 10 links of it"), "{told}");
}
