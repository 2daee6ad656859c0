//! What an agent says it did (formats.md §4, recommended members of an action's body).

use crate::encoding::hex_encode;
use crate::hash::sha256;
use crate::soul::jcs::Value;
use crate::soul::{MAX_BODY_LEN, MAX_INLINE_LEN, Outcome};

/// An action that is not signed yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    outcome: Outcome,
    inline: bool,
    members: Vec<(String, Value)>,
}

impl Action {
    /// An action of this name; its body will be kept beside the log.
    pub fn new(name: &str) -> Self {
        Self { outcome: Outcome::None, inline: false, members: Vec::new() }.with("action", name)
    }

    /// An action with a body of the caller's own; `v` is added.
    pub fn of_body(members: Vec<(String, Value)>) -> Self {
        Self { outcome: Outcome::None, inline: false, members }
    }

    /// How it ended.
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Makes the body part of the entry, public for ever.
    pub const fn public(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Sets a member of the body.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.remove(member);
        self.members.push((member.into(), value.into()));
        self
    }

    /// Sets a member that is a number; one that JSON readers would not all hold exactly becomes text.
    pub fn number(self, member: &str, value: u64) -> Self {
        if value > crate::encoding::MAX_SAFE_INTEGER {
            return self.with(member, value.to_string());
        }
        self.with(member, Value::uint(value))
    }

    /// Sets a text by its digest and length instead of itself: `<member>_sha256`, `<member>_bytes`.
    pub fn digest(self, member: &str, digest: [u8; 32], len: u64) -> Self {
        self.with(&format!("{member}_sha256"), hex_encode(&digest)).number(&format!("{member}_bytes"), len)
    }

    /// This action with its longest texts by digest, as many as it takes for the body to fit.
    pub fn fitted(mut self) -> Self {
        let bound = if self.inline { MAX_INLINE_LEN } else { MAX_BODY_LEN } as usize;
        while self.body().to_bytes().len() > bound {
            let texts = self.members.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
            let Some((name, text)) = texts.max_by_key(|(_, text)| text.len()) else { break };
            if text.len() <= DIGEST_TEXT_LEN {
                break;
            }
            let (name, digest, len) = (name.clone(), sha256(&[text.as_bytes()]), text.len() as u64);
            self.remove(&name);
            self = self.digest(&name, digest, len);
        }
        self
    }

    pub(super) const fn how_it_ended(&self) -> Outcome {
        self.outcome
    }

    pub(super) const fn is_public(&self) -> bool {
        self.inline
    }

    /// The body as JSON.
    pub fn body(&self) -> Value {
        let members = self.members.iter().filter(|(name, _)| name != "v").cloned();
        Value::object(members.chain([("v".into(), Value::Int(1))]))
    }

    fn remove(&mut self, member: &str) {
        self.members.retain(|(name, _)| name != member);
    }
}

/// Characters of a digest: a text of that length is not made shorter by it.
const DIGEST_TEXT_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_goes_by_digest() {
        let (input, output) = ("\"".repeat(MAX_BODY_LEN as usize / 2), "y".repeat(1000));
        let action = Action::new("a").with("input", input.as_str()).with("output", output.as_str()).fitted();
        let body = action.body();
        assert!(body.get("input").is_none());
        assert_eq!(body.get("input_sha256").and_then(Value::as_str), Some(&*hex_encode(&sha256(&[input.as_bytes()]))));
        assert_eq!(body.get("input_bytes").and_then(Value::as_u64), Some(input.len() as u64));
        assert_eq!(body.get("output").and_then(Value::as_str), Some(&*output));
        let public = Action::new("a").with("input", "x".repeat(70_000)).public().fitted();
        assert!(public.body().to_bytes().len() < MAX_INLINE_LEN as usize);
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let action = Action::new("a").with("output", "y".repeat(200_000));
        assert_eq!(action.clone().fitted(), action);
    }

    #[test]
    fn members_are_there_once() {
        let body = Action::new("a").with("v", 2_i32.to_string()).with("action", "b").body();
        assert_eq!(body.to_bytes(), br#"{"action":"b","v":1}"#);
    }
}
