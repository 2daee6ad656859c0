//! Lowercase hex, standard padded base64 (as C2SP writes it) and URL-safe base64 without padding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Lowercase hex digits of `bytes`.
pub fn hex_encode(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Reads lowercase hex digits, two a byte.
pub fn hex_decode(text: &str) -> Option<Vec<u8>> {
    base16ct::lower::decode_vec(text).ok()
}

/// Reads exactly 64 lowercase hex digits.
pub fn hex_decode_32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    (text.len() == 64 && base16ct::lower::decode(text, &mut bytes).is_ok()).then_some(bytes)
}

/// Standard base64 with padding.
pub fn b64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Writes standard base64 with padding behind `text`.
pub(crate) fn b64_push(text: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, text);
}

/// Reads standard base64; padding is required and unused bits must be zero.
pub fn b64_decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// URL-safe base64 without padding.
pub fn b64u_encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads URL-safe base64; padding is refused and unused bits must be zero.
pub fn b64u_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_would_be_written() {
        assert_eq!(b64_decode("AA=="), Some(vec![0]));
        for text in ["AA", "AA=", "AB==", "AA==\n", "A A=", "-_==", "AA==="] {
            assert_eq!(b64_decode(text), None, "{text:?}");
        }
        assert_eq!(b64u_decode("-_8"), Some(vec![0xfb, 0xff]));
        for text in ["-_8=", "-_9", "+/8", "A"] {
            assert_eq!(b64u_decode(text), None, "{text:?}");
        }
        assert_eq!(hex_decode("00ff"), Some(vec![0, 255]));
        for text in ["0", "0F", "0g", " 00"] {
            assert_eq!(hex_decode(text), None, "{text:?}");
        }
        assert!(hex_decode_32(&"0".repeat(63)).is_none() && hex_decode_32(&"0".repeat(64)).is_some());
    }
}
