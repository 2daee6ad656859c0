//! The reader: checks canonical form byte by byte, so that nothing has to be written again to compare.
//!
//! Since only one spelling of a value is accepted, a value that was read gives the same bytes when it is written.

use super::Value;
use crate::encoding::MAX_SAFE_INTEGER;

/// How deep values may nest; the object at the top is 1.
pub const MAX_DEPTH: usize = 16;
/// Bytes of the longest key.
pub const MAX_KEY_LEN: usize = 64;

/// Digits of the greatest integer.
const MAX_DIGITS: usize = 16;
/// Bytes that are looked at together in the search for the end of a string.
const BLOCK: usize = 16;

/// Where bytes leave the profile, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JcsError {
    /// Of the first byte that is not as it must be.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: JcsFault,
}

/// The ways to leave the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JcsFault {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The value at the top is not an object.
    NotAnObject,
    /// The text ends too early.
    End,
    /// Something follows the object.
    Trailing,
    /// White space outside of a string.
    Whitespace,
    /// A byte that cannot stand here.
    Unexpected(u8),
    /// Values nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A key is not 1 to [`MAX_KEY_LEN`] of `[a-z0-9_.:/-]`.
    KeyForm,
    /// Keys are not sorted by bytes.
    KeyOrder,
    /// A key comes twice.
    KeyRepeated,
    /// An escape that canonical form does not use for this character, or none at all.
    Escape,
    /// A control character that is not escaped.
    Control,
    /// A fraction or an exponent.
    NotAnInteger,
    /// An integer with a leading zero, or `-0`.
    NumberForm,
    /// An integer above 2^53 − 1 in size.
    TooGreat,
}

/// Reads an object and nothing after it.
pub(super) fn object(bytes: &[u8]) -> Result<Value, JcsError> {
    let text = core::str::from_utf8(bytes)
        .map_err(|error| JcsError { offset: error.valid_up_to(), fault: JcsFault::NotUtf8 })?;
    let mut reader = Reader { text, bytes, at: 0 };
    match reader.peek() {
        Some(b'{' | b' ' | b'\t' | b'\n' | b'\r') | None => {}
        Some(_) => return Err(reader.fault(JcsFault::NotAnObject)),
    }
    let value = reader.value(1)?;
    if reader.at == bytes.len() { Ok(value) } else { Err(reader.fault(JcsFault::Trailing)) }
}

/// Whether `text` has the form of a key: 1 to 64 of `[a-z0-9_.:/-]`.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=MAX_KEY_LEN).contains(&text.len()) && text.bytes().all(is_key_byte)
}

const fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b':' | b'/' | b'-')
}

/// `text` and `bytes` are the same; `at` is always on a character boundary where text is cut.
struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, JcsError> {
        match self.peek() {
            Some(b'{') => self.members(depth),
            Some(b'[') => self.items(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.integer().map(Value::Int),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            _ => Err(self.unexpected()),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Value, JcsError> {
        self.open(depth)?;
        let mut members: Vec<(String, Value)> = Vec::new();
        if self.skip(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let start = self.at;
            let key = self.key()?;
            if let Some((last, _)) = members.last() {
                match last.as_str().cmp(key) {
                    core::cmp::Ordering::Less => {}
                    core::cmp::Ordering::Equal => return Err(fault(start, JcsFault::KeyRepeated)),
                    core::cmp::Ordering::Greater => return Err(fault(start, JcsFault::KeyOrder)),
                }
            }
            self.expect(b':')?;
            members.push((key.to_owned(), self.value(depth + 1)?));
            if self.skip(b'}') {
                return Ok(Value::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn items(&mut self, depth: usize) -> Result<Value, JcsError> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.skip(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.skip(b']') {
                return Ok(Value::Array(items));
            }
            self.expect(b',')?;
        }
    }

    /// Steps over the bracket that the caller saw, unless it is one too many.
    fn open(&mut self, depth: usize) -> Result<(), JcsError> {
        if depth > MAX_DEPTH {
            return Err(self.fault(JcsFault::TooDeep));
        }
        self.at += 1;
        Ok(())
    }

    /// No character of a key is ever escaped, so that a key is a slice of the text.
    fn key(&mut self) -> Result<&'a str, JcsError> {
        self.expect(b'"')?;
        let start = self.at;
        let len = self.rest().iter().take_while(|byte| is_key_byte(**byte)).count();
        self.at += len;
        if self.peek().is_none() {
            return Err(self.fault(JcsFault::End));
        }
        if !(1..=MAX_KEY_LEN).contains(&len) || !self.skip(b'"') {
            return Err(fault(start, JcsFault::KeyForm));
        }
        Ok(&self.text[start..start + len])
    }

    fn string(&mut self) -> Result<String, JcsError> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let run = plain_run(self.rest());
            out.push_str(&self.text[self.at..self.at + run]);
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.fault(JcsFault::Control)),
                None => return Err(self.fault(JcsFault::End)),
            }
        }
    }

    /// RFC 8785, section 3.2.2.2: short escapes where they exist, `\u00xx` in lowercase for other control characters.
    fn escape(&mut self) -> Result<char, JcsError> {
        let (decoded, len) = match &self.rest()[1..] {
            [b'"', ..] => (b'"', 2),
            [b'\\', ..] => (b'\\', 2),
            [b'b', ..] => (0x08, 2),
            [b't', ..] => (b'\t', 2),
            [b'n', ..] => (b'\n', 2),
            [b'f', ..] => (0x0c, 2),
            [b'r', ..] => (b'\r', 2),
            [b'u', b'0', b'0', high @ b'0'..=b'1', low @ (b'0'..=b'9' | b'a'..=b'f'), ..] => {
                let low = if low.is_ascii_digit() { low - b'0' } else { low - b'a' + 10 };
                ((high - b'0') * 16 + low, 6)
            }
            [] => return Err(fault(self.bytes.len(), JcsFault::End)),
            _ => return Err(self.fault(JcsFault::Escape)),
        };
        if len == 6 && matches!(decoded, 0x08 | b'\t' | b'\n' | 0x0c | b'\r') {
            return Err(self.fault(JcsFault::Escape));
        }
        self.at += len;
        Ok(char::from(decoded))
    }

    fn integer(&mut self) -> Result<i64, JcsError> {
        let start = self.at;
        let negative = self.skip(b'-');
        let digits = self.at;
        let len = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += len;
        let digits = &self.bytes[digits..self.at];
        match (digits, self.peek()) {
            ([], _) => return Err(self.unexpected()),
            (_, Some(b'.' | b'e' | b'E')) => return Err(self.fault(JcsFault::NotAnInteger)),
            ([b'0', _, ..], _) => return Err(fault(start, JcsFault::NumberForm)),
            ([b'0'], _) if negative => return Err(fault(start, JcsFault::NumberForm)),
            _ if len > MAX_DIGITS => return Err(fault(start, JcsFault::TooGreat)),
            _ => {}
        }
        let size = digits.iter().fold(0_i64, |size, digit| size * 10 + i64::from(digit - b'0'));
        if size.unsigned_abs() > MAX_SAFE_INTEGER {
            return Err(fault(start, JcsFault::TooGreat));
        }
        Ok(if negative { -size } else { size })
    }

    fn literal(&mut self, text: &str, value: Value) -> Result<Value, JcsError> {
        for byte in text.bytes() {
            self.expect(byte)?;
        }
        Ok(value)
    }

    fn expect(&mut self, byte: u8) -> Result<(), JcsError> {
        if self.skip(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn unexpected(&self) -> JcsError {
        self.fault(match self.peek() {
            None => JcsFault::End,
            Some(b' ' | b'\t' | b'\n' | b'\r') => JcsFault::Whitespace,
            Some(byte) => JcsFault::Unexpected(byte),
        })
    }

    fn fault(&self, what: JcsFault) -> JcsError {
        fault(self.at, what)
    }
}

const fn fault(offset: usize, fault: JcsFault) -> JcsError {
    JcsError { offset, fault }
}

/// How many bytes stand for themselves in a string, from the start.
///
/// Whole blocks without an early end let the compiler test their bytes at once.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    for block in bytes.chunks_exact(BLOCK) {
        if block.iter().fold(false, |any, byte| any | is_special(*byte)) {
            break;
        }
        run += BLOCK;
    }
    run + bytes[run..].iter().take_while(|byte| !is_special(**byte)).count()
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

impl core::fmt::Display for JcsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.fault)
    }
}

impl core::error::Error for JcsError {}

impl core::fmt::Display for JcsFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::NotAnObject => f.write_str("not an object"),
            Self::End => f.write_str("the text ends too early"),
            Self::Trailing => f.write_str("something follows the object"),
            Self::Whitespace => f.write_str("white space"),
            Self::Unexpected(byte) => write!(f, "unexpected {:?}", char::from(*byte)),
            Self::TooDeep => write!(f, "deeper than {MAX_DEPTH}"),
            Self::KeyForm => write!(f, "a key must be 1 to {MAX_KEY_LEN} of [a-z0-9_.:/-]"),
            Self::KeyOrder => f.write_str("keys are not sorted"),
            Self::KeyRepeated => f.write_str("a key comes twice"),
            Self::Escape => f.write_str("not an escape of canonical JSON"),
            Self::Control => f.write_str("a control character that is not escaped"),
            Self::NotAnInteger => f.write_str("not an integer (put it into a string)"),
            Self::NumberForm => f.write_str("a leading zero or a negative zero"),
            Self::TooGreat => f.write_str("an integer above 2^53 - 1 (put it into a string)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_place() {
        for (text, offset, fault) in [
            (&b""[..], 0, JcsFault::End),
            (b"[]", 0, JcsFault::NotAnObject),
            (b" {}", 0, JcsFault::Whitespace),
            (b"{}\n", 2, JcsFault::Trailing),
            (b"{\"a\": 1}", 5, JcsFault::Whitespace),
            (b"{\"b\":1,\"a\":2}", 7, JcsFault::KeyOrder),
            (b"{\"a\":1,\"a\":2}", 7, JcsFault::KeyRepeated),
            (b"{\"A\":1}", 2, JcsFault::KeyForm),
            (b"{\"\":1}", 2, JcsFault::KeyForm),
            (b"{\"a", 3, JcsFault::End),
            (b"{\"a\":\"\\u0041\"}", 6, JcsFault::Escape),
            (b"{\"a\":\"\\u000a\"}", 6, JcsFault::Escape),
            (b"{\"a\":\"\\", 7, JcsFault::End),
            (b"{\"a\":\"\x01\"}", 6, JcsFault::Control),
            (b"{\"a\":\"\xff\"}", 6, JcsFault::NotUtf8),
            (b"{\"a\":1.5}", 6, JcsFault::NotAnInteger),
            (b"{\"a\":-0}", 5, JcsFault::NumberForm),
            (b"{\"a\":01}", 5, JcsFault::NumberForm),
            (b"{\"a\":-}", 6, JcsFault::Unexpected(b'}')),
            (b"{\"a\":9007199254740992}", 5, JcsFault::TooGreat),
            (b"{\"a\":90071992547409910}", 5, JcsFault::TooGreat),
            (b"{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", 20, JcsFault::TooDeep),
        ] {
            assert_eq!(object(text), Err(JcsError { offset, fault }), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn runs_end_at_the_first_special_byte() {
        for len in 0..50 {
            assert_eq!(plain_run(&vec![b'x'; len]), len);
            for at in 0..len {
                for special in [b'"', b'\\', 0, 0x1f] {
                    let mut bytes = vec![b'x'; len];
                    bytes[at] = special;
                    assert_eq!(plain_run(&bytes), at);
                }
            }
        }
        assert_eq!(plain_run("\u{7f}é\u{2028}".as_bytes()), 6);
    }
}
