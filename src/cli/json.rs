//! JSON that people write, brought into the profile of bodies (formats.md §3).

use super::error::{CliError, CliResult};
use crate::soul::jcs::Value;
use crate::wire::to_profile;

/// Reads an object into a body's values. Floats have no place there.
pub(super) fn object(text: &str) -> CliResult<Vec<(String, Value)>> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| CliError::usage(format!("not JSON: {error}")))?;
    match to_profile(&json) {
        Some(Value::Object(members)) => Ok(members),
        Some(_) => Err(CliError::usage("the JSON is not an object")),
        None => Err(CliError::usage("the JSON holds a number that is not an integer")
            .hint("give such numbers as text, or the whole as --input or --output, which are texts")),
    }
}
