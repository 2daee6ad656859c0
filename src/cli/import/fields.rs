//! What a line of a trace says an agent did: fields found by their usual names, or by names that flags give.
//!
//! A name in camel case, or with other marks between its words, is the same name. What is not found to be anything goes
//! along as it is written, as the text `other`.

use clap::Args;

use super::json_text::JsonText;
use super::spans;
use crate::client::Action;
use crate::encoding::hex_decode_32;
use crate::soul::Outcome;

/// An action of a trace, and whose it is, where the trace says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) agent: Option<String>,
    pub(super) action: Action,
}

/// Names of fields that are not the usual ones; parts of a path are joined by dots.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Names of fields, where they are not the usual ones")]
pub(super) struct FieldNames {
    /// Of the agent's name
    #[arg(long, value_name = "FIELD")]
    agent_field: Option<String>,
    /// Of the tool's name
    #[arg(long, value_name = "FIELD")]
    tool_field: Option<String>,
    /// Of what the tool was given
    #[arg(long, value_name = "FIELD")]
    arguments_field: Option<String>,
    /// Of how it ended
    #[arg(long, value_name = "FIELD")]
    outcome_field: Option<String>,
    /// Of what the tool gave
    #[arg(long, value_name = "FIELD")]
    result_field: Option<String>,
    /// Of when it happened
    #[arg(long, value_name = "FIELD")]
    time_field: Option<String>,
}

/// What a field says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Agent,
    Tool,
    Arguments,
    ArgumentsSha256,
    Result,
    ResultSha256,
    ResultBytes,
    Outcome,
    Error,
    Time,
    Duration,
    Resource,
    Trace,
    Parent,
}

/// The usual names, in snake case; of several that are there, the first counts.
const USUAL: [(Field, &[&str]); 14] = [
    (Field::Agent, &["agent", "agent_name", "agent_id", "actor", "assistant", "assistant_id"]),
    (Field::Tool, &["tool", "tool_name", "function", "function_name", "tool_call", "action", "action_name", "name"]),
    (Field::Arguments, &["arguments", "args", "input", "parameters", "params", "tool_input", "action_input", "kwargs"]),
    (Field::ArgumentsSha256, &["arguments_sha256", "input_sha256"]),
    (Field::Result, &["result", "output", "response", "tool_output", "observation", "return_value"]),
    (Field::ResultSha256, &["result_sha256", "output_sha256"]),
    (Field::ResultBytes, &["result_bytes", "output_bytes"]),
    (
        Field::Outcome,
        &[
            "outcome",
            "status",
            "success",
            "succeeded",
            "ok",
            "is_error",
            "failed",
            "denied",
            "blocked",
            "exit_code",
            "exit_status",
        ],
    ),
    (Field::Error, &["error", "exception", "error_message"]),
    (Field::Time, &["time", "timestamp", "ts", "@timestamp", "created_at", "started_at", "start_time", "date"]),
    (Field::Duration, &["duration_ms", "latency_ms", "elapsed_ms"]),
    (Field::Resource, &["resource", "target"]),
    (Field::Trace, &["trace", "trace_id", "session_id", "conversation_id", "run_id", "thread_id"]),
    (Field::Parent, &["parent", "parent_id", "parent_span_id"]),
];

/// The actions that a line tells of, often none; `None` if it is not JSON.
pub(super) fn read_line(line: &str, names: &FieldNames) -> Option<Vec<Found>> {
    let line = JsonText::parse(line)?;
    if !line.is_object() {
        return Some(Vec::new());
    }
    if let Some(found) = spans::read(line) {
        return Some(found);
    }
    let mut members = Members::of(line);
    if let Some(calls) = line.get("tool_calls").filter(|_| names.tool_field.is_none()) {
        let agent = members.agent(names);
        let found = calls.items().filter_map(|call| Members::of(call).found(names));
        return Some(found.map(|found| Found { agent: found.agent.or_else(|| agent.clone()), ..found }).collect());
    }
    Some(members.found(names).into_iter().collect())
}

/// The members of a line, each taken by one field at most.
struct Members<'a> {
    whole: JsonText<'a>,
    left: Vec<(String, JsonText<'a>)>,
}

impl<'a> Members<'a> {
    fn of(object: JsonText<'a>) -> Self {
        Self { whole: object, left: object.members().collect() }
    }

    fn found(mut self, names: &FieldNames) -> Option<Found> {
        let agent = self.agent(names);
        let (tool, mut arguments) = self.tool(names)?;
        if let Some(given) = self.take(Field::Arguments, names.arguments_field.as_deref()) {
            arguments = Some(given);
        }
        let result = self.take(Field::Result, names.result_field.as_deref());
        let (outcome, error) = self.outcome(names);
        let mut action = Action::new(&tool).outcome(outcome);
        for (member, value) in [("input", arguments), ("output", result), ("error", error)] {
            if let Some(text) = value.filter(|value| !value.is_null()) {
                action = action.with(member, text.text());
            }
        }
        for (member, field) in [("input_sha256", Field::ArgumentsSha256), ("output_sha256", Field::ResultSha256)] {
            if let Some(digest) = self.take_if(field, |value| hex_decode_32(&value.text()).is_some()) {
                action = action.with(member, digest.text());
            }
        }
        for (member, field) in [("output_bytes", Field::ResultBytes), ("duration_ms", Field::Duration)] {
            if let Some(number) = self.take_if(field, |value| whole(value).is_some()).and_then(whole) {
                action = action.number(member, number);
            }
        }
        for (member, field, named) in [
            ("time", Field::Time, names.time_field.as_deref()),
            ("resource", Field::Resource, None),
            ("trace", Field::Trace, None),
            ("parent", Field::Parent, None),
        ] {
            if let Some(text) = self.take(field, named).and_then(JsonText::some_text) {
                action = action.with(member, text);
            }
        }
        Some(Found { agent, action: with_other(action, &self.left) })
    }

    fn agent(&mut self, names: &FieldNames) -> Option<String> {
        let agent = self.take(Field::Agent, names.agent_field.as_deref())?;
        if agent.is_object() {
            return ["name", "id"].iter().find_map(|key| agent.get(key)).and_then(JsonText::some_text);
        }
        agent.some_text()
    }

    /// The tool's name, and what it was given where that lies in the same object.
    fn tool(&mut self, names: &FieldNames) -> Option<(String, Option<JsonText<'a>>)> {
        let generic = |left: &[(String, JsonText<'_>)]| {
            let others = [Field::Arguments, Field::Result, Field::ArgumentsSha256, Field::ResultSha256];
            let is_there = |field| usual(field).iter().any(|name| left.iter().any(|(key, _)| snake(key) == **name));
            others.into_iter().any(is_there)
        };
        // A bare `name` is that of a tool only beside something that a tool takes or gives.
        let bare_name_counts = generic(&self.left);
        let tool = match names.tool_field.as_deref() {
            Some(path) => self.at(path)?,
            None => self.take_named(usual(Field::Tool), |key, _| key != "name" || bare_name_counts)?,
        };
        if !tool.is_object() {
            let is_name = tool.as_str().starts_with('"');
            return Some((tool.some_text().filter(|_| is_name)?, None));
        }
        let inner = tool.get("function").filter(|function| function.is_object()).unwrap_or(tool);
        let first = |keys: &[&str]| keys.iter().find_map(|key| inner.get(key));
        let name = first(&["name", "tool", "function"])?.some_text()?;
        Some((name, first(usual(Field::Arguments))))
    }

    /// How it ended, and what went wrong.
    fn outcome(&mut self, names: &FieldNames) -> (Outcome, Option<JsonText<'a>>) {
        let error = self.take(Field::Error, None);
        let said = if let Some(path) = names.outcome_field.as_deref() {
            self.at(path).and_then(|value| outcome_of("outcome", value))
        } else {
            let understood = |key: &str, value: JsonText<'_>| outcome_of(key, value).is_some();
            self.position(usual(Field::Outcome), understood).and_then(|at| {
                let (key, value) = self.left.remove(at);
                outcome_of(&snake(&key), value)
            })
        };
        let wrong =
            error.filter(|error| !error.is_null() && error.as_bool() != Some(false) && !error.text().is_empty());
        let from_error = error.map(|_| if wrong.is_some() { Outcome::Failure } else { Outcome::Success });
        (said.or(from_error).unwrap_or_default(), wrong.filter(|error| error.as_bool().is_none()))
    }

    fn take(&mut self, field: Field, named: Option<&str>) -> Option<JsonText<'a>> {
        match named {
            Some(path) => self.at(path),
            None => self.take_named(usual(field), |_, _| true),
        }
    }

    fn take_if(&mut self, field: Field, fits: impl Fn(JsonText<'_>) -> bool) -> Option<JsonText<'a>> {
        self.take_named(usual(field), |_, value| fits(value))
    }

    fn take_named(&mut self, usual: &[&str], fits: impl Fn(&str, JsonText<'_>) -> bool) -> Option<JsonText<'a>> {
        self.position(usual, fits).map(|at| self.left.remove(at).1)
    }

    fn position(&self, usual: &[&str], fits: impl Fn(&str, JsonText<'_>) -> bool) -> Option<usize> {
        usual
            .iter()
            .find_map(|name| self.left.iter().position(|(key, value)| snake(key) == *name && fits(name, *value)))
    }

    /// What a path of keys leads to; a key may hold dots itself. A member at the top is taken.
    fn at(&mut self, path: &str) -> Option<JsonText<'a>> {
        if let Some(at) = self.left.iter().position(|(key, _)| key == path) {
            return Some(self.left.remove(at).1);
        }
        path.split('.').try_fold(self.whole, JsonText::get)
    }
}

/// An action with the members that no field took, as the text of an object.
pub(super) fn with_other(action: Action, left: &[(String, JsonText<'_>)]) -> Action {
    let left: Vec<_> = left.iter().filter(|(_, value)| !value.is_null()).collect();
    if left.is_empty() {
        return action;
    }
    let member = |(key, value): &&(String, JsonText<'_>)| {
        format!("{}:{}", serde_json::Value::from(key.as_str()), value.as_str())
    };
    let members: Vec<_> = left.iter().map(member).collect();
    action.with("other", format!("{{{}}}", members.join(",")))
}

fn usual(field: Field) -> &'static [&'static str] {
    USUAL.iter().find(|(known, _)| *known == field).map_or(&[], |(_, names)| names)
}

/// How a field of this name and value says that it ended; `None` if it does not.
pub(super) fn outcome_of(name: &str, value: JsonText<'_>) -> Option<Outcome> {
    let of_bool = |good: bool| if good { Outcome::Success } else { Outcome::Failure };
    if let Some(value) = value.as_bool() {
        return match name {
            "is_error" | "failed" => Some(of_bool(!value)),
            "denied" | "blocked" => value.then_some(Outcome::Denied),
            _ => Some(of_bool(value)),
        };
    }
    if let Some(number) = value.as_number() {
        return match name {
            "exit_code" | "exit_status" => Some(of_bool(number == 0.0)),
            "status" => Some(of_bool((200.0..400.0).contains(&number) || number == 0.0)),
            _ => None,
        };
    }
    match value.text().to_ascii_lowercase().as_str() {
        "success" | "successful" | "succeeded" | "ok" | "completed" | "complete" | "done" | "passed" => {
            Some(Outcome::Success)
        }
        "failure" | "failed" | "fail" | "error" | "errored" | "exception" | "timeout" | "timed_out" => {
            Some(Outcome::Failure)
        }
        "denied" | "blocked" | "refused" | "rejected" | "forbidden" | "unauthorized" | "not_allowed" => {
            Some(Outcome::Denied)
        }
        _ => None,
    }
}

/// A number without fraction, of a number or a text that is one; a fraction of a millisecond is rounded.
#[expect(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "the range was checked, its end is exact")]
fn whole(value: JsonText<'_>) -> Option<u64> {
    const GREATEST: f64 = crate::encoding::MAX_SAFE_INTEGER as f64;
    let number: f64 = value.text().parse().ok()?;
    (0.0..=GREATEST).contains(&number).then(|| number.round() as u64)
}

/// A key in snake case: `toolName`, `tool-name` and `Tool Name` are `tool_name`.
fn snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    let mut after_small = false;
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            if after_small {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(if matches!(c, '-' | ' ') { '_' } else { c });
        }
        after_small = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soul::jcs::Value;

    fn one(line: &str) -> Found {
        let mut found = read_line(line, &FieldNames::default()).unwrap();
        assert_eq!(found.len(), 1, "{line}");
        found.remove(0)
    }

    fn member(found: &Found, name: &str) -> String {
        let body = found.action.body();
        body.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name} in {body:?}")).to_owned()
    }

    #[test]
    fn usual_names() {
        let found = one(r#"{"agent":"a","task":0,"step":1,"tool":"search","arguments":{"q":"x"},"outcome":"failure",
               "result_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","result_bytes":0}"#);
        assert_eq!(found.agent.as_deref(), Some("a"));
        let body = String::from_utf8(found.action.body().to_bytes()).unwrap();
        assert_eq!(
            body,
            r#"{"action":"search","input":"{\"q\":\"x\"}","other":"{\"task\":0,\"step\":1}","output_bytes":0,"output_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","v":1}"#
        );
    }

    #[test]
    fn camel_case_floats_and_emoji_go_as_they_are_written() {
        let found = one(
            r#"{"agentId":"Scout 🦊","toolName":"weigh","toolInput":{"kiloGrams":72.50,"note":"🦀"},"isError":false,"toolOutput":"1e-7","durationMs":12.6}"#,
        );
        assert_eq!(found.agent.as_deref(), Some("Scout 🦊"));
        assert_eq!(member(&found, "input"), r#"{"kiloGrams":72.50,"note":"🦀"}"#);
        assert_eq!(member(&found, "output"), "1e-7");
        assert_eq!(found.action.body().get("duration_ms").and_then(Value::as_u64), Some(13));
        assert_eq!(found.action, found.action.clone().outcome(Outcome::Success));
    }

    #[test]
    fn a_long_result_is_carried_whole() {
        let result = "é".repeat(100_000);
        let found = one(&serde_json::json!({"agent":"a","tool":"read","result":result}).to_string());
        assert_eq!(member(&found, "output"), result);
        assert_eq!(found.action.clone().fitted(), found.action);
    }

    #[test]
    fn calls_of_chat_messages() {
        let line = r#"{"role":"assistant","agent":"a","content":null,"tool_calls":[
            {"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1.0}"}},
            {"id":"2","type":"function","function":{"name":"g","arguments":"{}"}}]}"#;
        let found = read_line(line, &FieldNames::default()).unwrap();
        let names: Vec<_> = found.iter().map(|found| member(found, "action")).collect();
        assert_eq!(names, ["f", "g"]);
        assert!(found.iter().all(|found| found.agent.as_deref() == Some("a")));
        assert_eq!(member(&found[0], "input"), r#"{"x":1.0}"#);
    }

    #[test]
    fn outcomes() {
        let outcome = |rest: &str| one(&format!(r#"{{"agent":"a","tool":"t",{rest}}}"#)).action;
        let plain = |outcome| Action::new("t").outcome(outcome);
        for (rest, expected) in [
            (r#""status":"completed""#, Outcome::Success),
            (r#""status":404"#, Outcome::Failure),
            (r#""ok":true"#, Outcome::Success),
            (r#""success":false"#, Outcome::Failure),
            (r#""blocked":true"#, Outcome::Denied),
            (r#""exitCode":1"#, Outcome::Failure),
            (r#""error":null"#, Outcome::Success),
        ] {
            assert_eq!(outcome(rest), plain(expected), "{rest}");
        }
        let failed = outcome(r#""error":"no such flight""#);
        assert_eq!(failed, plain(Outcome::Failure).with("error", "no such flight"));
        // A status that says nothing of it is kept.
        assert_eq!(outcome(r#""status":"queued""#), plain(Outcome::None).with("other", r#"{"status":"queued"}"#));
    }

    #[test]
    fn lines_that_are_no_action() {
        for line in [
            r#"{"agent":"a","task":0,"task_reward":1}"#,
            r#"{"role":"user","content":"hello"}"#,
            r#"{"name":"Alice"}"#,
            r#"{"agent":"a","tool":null}"#,
            r#"{"agent":"a","action":7}"#,
            "[1,2]",
            "\"text\"",
        ] {
            assert_eq!(read_line(line, &FieldNames::default()), Some(Vec::new()), "{line}");
        }
        assert_eq!(read_line("{not json", &FieldNames::default()), None);
    }

    #[test]
    fn names_by_flags() {
        let names = FieldNames {
            agent_field: Some("meta.who".into()),
            tool_field: Some("what".into()),
            arguments_field: Some("with.0".into()),
            ..FieldNames::default()
        };
        let line = r#"{"meta":{"who":"bot"},"what":"fly","with.0":[1.5],"agent":"other","tool":"no"}"#;
        let found = read_line(line, &names).unwrap().remove(0);
        assert_eq!((found.agent.as_deref(), member(&found, "action").as_str()), (Some("bot"), "fly"));
        assert_eq!(member(&found, "input"), "[1.5]");
    }

    #[test]
    fn snake_case() {
        for (key, snaked) in [
            ("toolName", "tool_name"),
            ("tool-name", "tool_name"),
            ("agentID", "agent_id"),
            ("@timestamp", "@timestamp"),
        ] {
            assert_eq!(snake(key), snaked);
        }
    }

    #[test]
    fn a_trace_of_a_real_agent() {
        let root = std::env::var_os("SOULCHAIN_SHARED")
            .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").into(), std::path::PathBuf::from);
        let Ok(text) = std::fs::read_to_string(root.join("data/agent-actions/tau-airline-gpt4o.jsonl")) else {
            println!("skipped: the trace is not there");
            return;
        };
        let found: Vec<_> = text.lines().flat_map(|line| read_line(line, &FieldNames::default()).unwrap()).collect();
        let agents: std::collections::BTreeSet<_> = found.iter().map(|found| found.agent.clone().unwrap()).collect();
        assert_eq!((found.len(), agents.len()), (1164, 4));
        assert_eq!(text.lines().count() - found.len(), 200);
        assert!(found.iter().all(|found| found.action.body().get("input").is_some()));
    }
}
