//! The name of a log (formats.md §1).

use core::fmt;

use super::error::TlogError;
use super::vkey::KeyName;
use crate::encoding::hex_encode;
use crate::hash::sha256;

/// The origin line of a log's checkpoints, which is also the name of its keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(KeyName);

/// What other signed messages begin with: with such an origin a checkpoint could pass for one of them.
const RESERVED: [&str; 2] = ["soulchain/", "cosignature/"];

impl Origin {
    /// Longest origin, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Reads an origin.
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        if text.len() > Self::MAX_LEN || RESERVED.iter().any(|word| text.starts_with(word)) {
            return Err(TlogError::Origin);
        }
        KeyName::parse(text).map(Self).map_err(|_| TlogError::Origin)
    }

    /// The origin.
    pub const fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name that the log's keys bear.
    pub const fn key_name(&self) -> &KeyName {
        &self.0
    }

    /// `H(origin)`, by which links name the log.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[self.as_str().as_bytes()])
    }

    /// That hash in hex: what witnesses and mirrors put into the paths of what they serve of the log.
    pub fn hash_hex(&self) -> String {
        hex_encode(&self.hash())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for good in ["log.example/soul1", "a", &"x".repeat(255), "soulchain", "cosignature", "é/soulchain/"] {
            assert_eq!(Origin::parse(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(256);
        for bad in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\tb", "a\u{1}", &too_long, "soulchain/x", "cosignature/v1"]
        {
            assert_eq!(Origin::parse(bad), Err(TlogError::Origin), "{bad:?}");
        }
    }
}
