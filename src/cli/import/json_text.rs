//! JSON as it is written: parts of a line keep their exact text, floats, order and escapes as they are.

use serde::de::IgnoredAny;

/// One JSON value, as the text that it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct JsonText<'a>(&'a str);

impl<'a> JsonText<'a> {
    /// The value that a text is, if it is JSON.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Some(Self(text.trim_ascii()))
    }

    /// Its text.
    pub(super) const fn as_str(self) -> &'a str {
        self.0
    }

    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub(super) fn as_bool(self) -> Option<bool> {
        self.0.parse().ok()
    }

    pub(super) fn as_number(self) -> Option<f64> {
        self.0.parse().ok().filter(|_| !self.0.starts_with('"'))
    }

    /// The text that it stands for: of a string what it says, of anything else how it is written.
    ///
    /// A string that no text can hold (half of a surrogate pair) stays as it is written.
    pub(super) fn text(self) -> String {
        serde_json::from_str::<String>(self.0).unwrap_or_else(|_| self.0.to_owned())
    }

    /// Its text, unless it is `null` or an empty string.
    pub(super) fn some_text(self) -> Option<String> {
        Some(self).filter(|value| !value.is_null()).map(Self::text).filter(|text| !text.is_empty())
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        self.parts('[').map(Self)
    }

    /// The members of an object; none of anything else.
    pub(super) fn members(self) -> impl Iterator<Item = (String, Self)> {
        self.parts('{').filter_map(|part| {
            let colon = value_end(part);
            let key = serde_json::from_str(&part[..colon]).ok()?;
            let value = part[colon..].trim_ascii_start().strip_prefix(':')?;
            Some((key, Self(value.trim_ascii())))
        })
    }

    /// The member with this key.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.members().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What lies between the commas of a list or an object.
    fn parts(self, open: char) -> impl Iterator<Item = &'a str> {
        let inside = self.0.strip_prefix(open).map_or("", |rest| &rest[..rest.len() - 1]);
        let mut rest = inside.trim_ascii();
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = part_end(rest);
            let part = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default().trim_ascii_start();
            Some(part)
        })
    }
}

/// Where the next comma is that is not inside a value, or the end.
fn part_end(text: &str) -> usize {
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b',' => break,
            b'"' | b'{' | b'[' => at += value_end(&text[at..]),
            _ => at += 1,
        }
    }
    at
}

/// The length of the string, list or object that a valid text begins with.
fn value_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += string_len(&bytes[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string with its quotes.
fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> JsonText<'_> {
        JsonText::parse(text).unwrap()
    }

    #[test]
    fn parts_keep_their_text() {
        let line =
            json(r#" { "a" : 1.50e+3 , "b":{"z":[1, 2],"a":"},\"{"}, "c\u0064": "x\ny" , "e":[] ,"f":[ {} , [ ] ]} "#);
        let members: Vec<_> = line.members().collect();
        let texts: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            texts,
            [
                ("a", "1.50e+3"),
                ("b", r#"{"z":[1, 2],"a":"},\"{"}"#),
                ("cd", r#""x\ny""#),
                ("e", "[]"),
                ("f", "[ {} , [ ] ]"),
            ]
        );
        assert_eq!(line.get("cd").unwrap().text(), "x\ny");
        assert_eq!(line.get("e").unwrap().items().count(), 0);
        assert_eq!(line.get("f").unwrap().items().map(JsonText::as_str).collect::<Vec<_>>(), ["{}", "[ ]"]);
        assert_eq!(json("{}").members().count(), 0);
    }

    #[test]
    fn texts_of_every_kind_survive() {
        assert_eq!(json(r#""🦀 \ud83e\udd80""#).text(), "🦀 🦀");
        assert_eq!(json(r#""\ud83e""#).text(), r#""\ud83e""#);
        assert_eq!(json("0.1").text(), "0.1");
        assert_eq!(json("null").some_text(), None);
        assert_eq!(json(r#""""#).some_text(), None);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in ["", "{", "{\"a\":}", "[1,]", "nul", "{'a':1}", "{} {}"] {
            assert_eq!(JsonText::parse(bad), None, "{bad}");
        }
    }

    fn same(found: JsonText<'_>, twin: &serde_json::Value) {
        assert_eq!(serde_json::from_str::<serde_json::Value>(found.as_str()).unwrap(), *twin);
        match twin {
            serde_json::Value::Object(members) => {
                assert_eq!(found.members().count(), members.len());
                found.members().for_each(|(key, value)| same(value, &members[&key]));
            }
            serde_json::Value::Array(items) => {
                assert_eq!(found.items().count(), items.len());
                found.items().zip(items).for_each(|(item, twin)| same(item, twin));
            }
            _ => {}
        }
    }

    /// A twin: what the parser of all JSON says of the same text.
    #[test]
    fn it_agrees_with_the_parser() {
        let text = r#"{"k":[{"a":[1,{"b":"\\\""}]},"x,y",true],"m":{"n":null,"o":{"p":[[],[[]]]}}}"#;
        let twin: serde_json::Value = serde_json::from_str(text).unwrap();
        same(json(text), &twin);
    }
}
