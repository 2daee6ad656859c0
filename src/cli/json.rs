//! JSON that people write, brought into the profile of bodies (formats.md §3).

use super::error::{CliError, CliResult};
use crate::soul::jcs::Value;

/// Reads an object into a body's values. Floats have no place there.
pub(super) fn object(text: &str) -> CliResult<Vec<(String, Value)>> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| CliError::usage(format!("not JSON: {error}")))?;
    match value(json)? {
        Value::Object(members) => Ok(members),
        _ => Err(CliError::usage("the JSON is not an object")),
    }
}

fn value(json: serde_json::Value) -> CliResult<Value> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => Value::Int(number.as_i64().ok_or_else(|| {
            CliError::usage(format!("{number} is not an integer that a body can hold"))
                .hint("give numbers of that kind as text, or the whole as --input or --output, which are texts")
        })?),
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(value).collect::<CliResult<_>>()?),
        Json::Object(members) => {
            let members = members.into_iter().map(|(key, member)| Ok((key, value(member)?)));
            Value::object(members.collect::<CliResult<Vec<_>>>()?)
        }
    })
}
