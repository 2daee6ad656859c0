//! OpenTelemetry spans of agents (semantic conventions for generative AI, operation `execute_tool`).
//!
//! A line is one span, as SDKs print it, or a batch of them in OTLP/JSON, as collectors write it to files. Attributes are
//! an object or OTLP's list of keys and typed values.

use super::fields::{Found, outcome_of, with_other};
use super::json_text::JsonText;
use crate::client::Action;
use crate::soul::Outcome;

const TOOL: &[&str] = &["gen_ai.tool.name", "tool.name", "traceloop.entity.name"];
const AGENT: &[&str] = &["gen_ai.agent.name", "gen_ai.agent.id", "agent.name"];
const INPUT: &[&str] = &[
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.arguments",
    "tool.parameters",
    "input.value",
    "traceloop.entity.input",
];
const OUTPUT: &[&str] = &["gen_ai.tool.call.result", "gen_ai.tool.result", "output.value", "traceloop.entity.output"];
/// What says that a span is the call of a tool.
const KIND: &[(&str, &str)] =
    &[("gen_ai.operation.name", "execute_tool"), ("openinference.span.kind", "TOOL"), ("traceloop.span.kind", "tool")];

/// The calls of tools in a line of spans; `None` if it is no such line.
pub(super) fn read(line: JsonText<'_>) -> Option<Vec<Found>> {
    if let Some(batch) = line.get("resourceSpans") {
        return Some(batch.items().flat_map(of_resource).collect());
    }
    let is_span =
        line.get("attributes").is_some() && (line.get("context").is_some() || first(line, TRACE_ID).is_some());
    let resource = line.get("resource").map(attributes_of).unwrap_or_default();
    is_span.then(|| of_span(line, &resource).into_iter().collect())
}

const TRACE_ID: &[&str] = &["trace_id", "traceId"];
const SPAN_ID: &[&str] = &["span_id", "spanId"];
const PARENT_ID: &[&str] = &["parent_id", "parentSpanId", "parent_span_id"];
const START: &[&str] = &["start_time", "startTimeUnixNano", "startTime", "start_time_unix_nano"];

type Attributes<'a> = Vec<(String, JsonText<'a>)>;

fn of_resource(part: JsonText<'_>) -> Vec<Found> {
    let resource = part.get("resource").map(attributes_of).unwrap_or_default();
    let scopes = part.get("scopeSpans").into_iter().flat_map(JsonText::items);
    let spans = scopes.filter_map(|scope| scope.get("spans")).flat_map(JsonText::items);
    spans.filter_map(|span| of_span(span, &resource)).collect()
}

fn of_span(span: JsonText<'_>, resource: &Attributes<'_>) -> Option<Found> {
    let mut attributes = attributes_of(span);
    let kind = KIND.iter().any(|(name, value)| find(&attributes, &[name]).is_some_and(|found| found.text() == *value));
    if !kind && find(&attributes, &TOOL[..1]).is_none() {
        return None;
    }
    let named_by_span = || span.get("name").and_then(JsonText::some_text);
    let tool = take(&mut attributes, TOOL).and_then(JsonText::some_text).or_else(named_by_span)?;
    let tool = tool.strip_prefix("execute_tool ").unwrap_or(&tool);
    let agent =
        take(&mut attributes, AGENT).or_else(|| find(resource, AGENT)).or_else(|| find(resource, &["service.name"]));
    let mut action = Action::new(tool).outcome(outcome(span, &attributes));
    for (member, names) in [("input", INPUT), ("output", OUTPUT), ("error", &["error.type"])] {
        if let Some(text) = take(&mut attributes, names).and_then(JsonText::some_text) {
            action = action.with(member, text);
        }
    }
    let context = span.get("context").unwrap_or(span);
    for (member, value) in [
        ("trace", first(context, TRACE_ID)),
        ("span", first(context, SPAN_ID)),
        ("parent", first(span, PARENT_ID)),
        ("time", first(span, START)),
    ] {
        if let Some(text) = value.and_then(JsonText::some_text) {
            action = action.with(member, text);
        }
    }
    if let Some(duration) = duration_ms(span) {
        action = action.number("duration_ms", duration);
    }
    Some(Found { agent: agent.and_then(JsonText::some_text), action: with_other(action, &attributes) })
}

/// A span that no error was set on ended well: that is what an unset status means.
fn outcome(span: JsonText<'_>, attributes: &Attributes<'_>) -> Outcome {
    let status = span.get("status");
    let code = status.and_then(|status| status.get("code").or_else(|| status.get("status_code"))).map(JsonText::text);
    let failed = code.is_some_and(|code| code == "2" || code.ends_with("ERROR"));
    if failed || find(attributes, &["error.type"]).is_some() {
        return Outcome::Failure;
    }
    let said = find(attributes, &["outcome", "tool.status"]).and_then(|value| outcome_of("outcome", value));
    said.unwrap_or(Outcome::Success)
}

fn duration_ms(span: JsonText<'_>) -> Option<u64> {
    let nanos = |key| span.get(key).and_then(|value| value.text().parse::<u64>().ok());
    Some(nanos("endTimeUnixNano")?.checked_sub(nanos("startTimeUnixNano")?)? / 1_000_000)
}

/// The attributes of a span or a resource, with the values of OTLP unwrapped.
fn attributes_of<'a>(of: JsonText<'a>) -> Attributes<'a> {
    let Some(attributes) = of.get("attributes") else { return Vec::new() };
    if attributes.is_object() {
        return attributes.members().collect();
    }
    let unwrapped = |item: JsonText<'a>| Some((item.get("key")?.text(), item.get("value")?.members().next()?.1));
    attributes.items().filter_map(unwrapped).collect()
}

fn find<'a>(attributes: &Attributes<'a>, names: &[&str]) -> Option<JsonText<'a>> {
    let named = |name: &&str| attributes.iter().find(|(key, _)| key == name);
    names.iter().find_map(named).map(|(_, value)| *value)
}

fn take<'a>(attributes: &mut Attributes<'a>, names: &[&str]) -> Option<JsonText<'a>> {
    let at = names.iter().find_map(|name| attributes.iter().position(|(key, _)| key == name))?;
    Some(attributes.remove(at).1)
}

fn first<'a>(object: JsonText<'a>, keys: &[&str]) -> Option<JsonText<'a>> {
    keys.iter().find_map(|key| object.get(key))
}

#[cfg(test)]
mod tests {
    use super::super::fields::{FieldNames, read_line};
    use super::*;
    use crate::soul::jcs::Value;

    fn read_all(line: &str) -> Vec<Found> {
        read_line(line, &FieldNames::default()).unwrap()
    }

    fn member(found: &Found, name: &str) -> String {
        let body = found.action.body();
        body.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name} in {body:?}")).to_owned()
    }

    #[test]
    fn a_span_as_an_sdk_prints_it() {
        let found = read_all(
            r#"{"name":"execute_tool get_weather","context":{"trace_id":"0xaa","span_id":"0xbb","trace_state":"[]"},
            "kind":"SpanKind.INTERNAL","parent_id":"0xcc","start_time":"2025-03-01T10:00:00.5Z","end_time":"2025-03-01T10:00:01Z",
            "status":{"status_code":"UNSET"},"attributes":{"gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"get_weather",
            "gen_ai.tool.call.arguments":"{\"lat\": 48.20}","gen_ai.tool.call.result":"{\"tempC\": 21.5}","gen_ai.tool.call.id":"call_1"},
            "events":[],"links":[],"resource":{"attributes":{"service.name":"weather-agent"}}}"#,
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].agent.as_deref(), Some("weather-agent"));
        assert_eq!(member(&found[0], "action"), "get_weather");
        assert_eq!(member(&found[0], "input"), r#"{"lat": 48.20}"#);
        assert_eq!(member(&found[0], "output"), r#"{"tempC": 21.5}"#);
        assert_eq!(member(&found[0], "trace"), "0xaa");
        assert_eq!(found[0].action, found[0].action.clone().outcome(Outcome::Success));
    }

    #[test]
    fn a_batch_in_otlp() {
        let span = |name: &str, code: u8, operation: &str| {
            format!(
                r#"{{"traceId":"aa","spanId":"bb","name":"execute_tool {name}","startTimeUnixNano":"1700000000000000000",
                "endTimeUnixNano":"1700000000250000000","status":{{"code":{code}}},"attributes":[
                {{"key":"gen_ai.operation.name","value":{{"stringValue":"{operation}"}}}},
                {{"key":"gen_ai.agent.name","value":{{"stringValue":"Planner"}}}},
                {{"key":"gen_ai.tool.call.arguments","value":{{"kvlistValue":{{"values":[]}}}}}},
                {{"key":"retries","value":{{"intValue":"3"}}}}]}}"#
            )
        };
        let spans = [span("a", 0, "execute_tool"), span("b", 2, "execute_tool"), span("c", 0, "chat")].join(",");
        let found = read_all(&format!(
            r#"{{"resourceSpans":[{{"resource":{{}},"scopeSpans":[{{"scope":{{}},"spans":[{spans}]}}]}}]}}"#
        ));
        let names: Vec<_> = found.iter().map(|found| member(found, "action")).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found[0].agent.as_deref(), Some("Planner"));
        assert_eq!(found[0].action.body().get("duration_ms").and_then(Value::as_u64), Some(250));
        assert_eq!(member(&found[0], "input"), r#"{"values":[]}"#);
        assert!(member(&found[0], "other").contains(r#""retries":"3""#));
        assert_eq!(found[1].action, found[1].action.clone().outcome(Outcome::Failure));
    }

    #[test]
    fn spans_of_other_things_are_no_actions() {
        let line =
            r#"{"name":"chat gpt-4o","context":{"trace_id":"0xaa"},"attributes":{"gen_ai.operation.name":"chat"}}"#;
        assert!(read_all(line).is_empty());
    }
}
