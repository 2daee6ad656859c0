//! Transcripts: reading them, and holding a run against them.

use std::process::Output;

use crate::node::Node;

const ANYTHING: &str = "[..]";

/// Runs the commands of a transcript, and fails at the first that does something else.
pub(crate) fn check(node: &Node, transcript: &str) {
    let mut expected: Vec<&str> = Vec::new();
    let mut command = None;
    for line in transcript.lines().chain(["$ "]) {
        let Some(next) = line.strip_prefix("$ ") else {
            if !line.starts_with('#') && !line.is_empty() {
                expected.push(line);
            }
            continue;
        };
        if let Some(command) = command.replace(next) {
            compare(command, &expected, &printed(&node.shell(command)));
        }
        expected.clear();
    }
}

fn compare(command: &str, expected: &[&str], found: &[String]) {
    let same =
        expected.len() == found.len() && expected.iter().zip(found).all(|(pattern, line)| matches(pattern, line));
    assert!(same, "$ {command}\n--- expected\n{}\n--- found\n{}\n", expected.join("\n"), found.join("\n"));
}

/// What a command printed, as a transcript has it; empty lines are left out.
fn printed(done: &Output) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
    let lines = stdout.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(String::from);
    let errors = stderr.lines().filter(|line| !line.is_empty()).map(|line| format!("! {line}"));
    let code = done.status.code().filter(|code| *code != 0).map(|code| format!("? {code}"));
    lines.chain(errors).chain(code).collect()
}

/// Whether a line is as a pattern has it.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split(ANYTHING);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn patterns() {
    for (pattern, line, same) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a[..]", "ab", true),
        ("[..]b", "ab", true),
        ("a[..]c[..]e", "abcde", true),
        ("a[..]c[..]e", "abde", false),
        ("a[..]", "b", false),
        ("", "x", false),
    ] {
        assert_eq!(matches(pattern, line), same, "{pattern} {line}");
    }
}
