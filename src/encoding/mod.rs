//! Bytes and text that every format is made of: big-endian integers, lowercase hex, base64, decimals, times.
//!
//! Every decoder is strict: it refuses what the encoder beside it would not have written.

mod bytes;
mod number;
mod text;

pub use bytes::{Reader, Writer};
pub use number::{MAX_SAFE_INTEGER, UnixMillis, parse_decimal};
pub(crate) use text::b64_push;
pub use text::{b64_decode, b64_encode, b64u_decode, b64u_encode, hex_decode, hex_decode_32, hex_encode};
