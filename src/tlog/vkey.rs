//! Key names, key ids and verifier keys (signed-note, "Signatures" and "Verifier keys").
//!
//! `<key name>+<8 hex digits of the id>+base64(type ‖ key)`. A [`Vkey`] is well-formed; whether its key can judge
//! signatures is for `NoteVerifier` to say.

use core::fmt;

use super::error::TlogError;
use crate::encoding::{b64_decode, b64_encode, hex_decode};
use crate::hash::sha256;
use crate::{ed25519, ml_dsa};

/// Longest verifier key that is read, in bytes.
pub const MAX_VKEY_LEN: usize = 8 * 1024;

/// A verifier key: a name, an id, a signature type and a public key that belong together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Vkey {
    name: KeyName,
    id: KeyId,
    kind: VkeyType,
    key: Box<[u8]>,
}

/// Signature types (signed-note, "Signature types").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VkeyType {
    /// 0x01: Ed25519 over the note's text.
    Ed25519,
    /// 0x04: timestamped Ed25519 cosignature of a checkpoint.
    CosignatureV1,
    /// 0x06: timestamped ML-DSA-44 cosignature of a checkpoint or subtree.
    MlDsa44,
    /// A type that nothing here judges.
    Other(u8),
}

/// The name of a key: not empty; no Unicode spaces, no control characters, no `+`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Box<str>);

/// The first four bytes of a hash over a key's name, type and bytes: which key it is, not a proof of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

impl Vkey {
    /// The verifier key of a name and a public key.
    pub fn new(name: KeyName, kind: VkeyType, key: &[u8]) -> Result<Self, TlogError> {
        let kind = VkeyType::from_byte(kind.byte());
        if key.is_empty() || kind.key_len().is_some_and(|len| len != key.len()) {
            return Err(TlogError::VkeyKey);
        }
        Ok(Self { id: KeyId::of(&name, kind, key), name, kind, key: key.into() })
    }

    /// Reads a verifier key.
    ///
    /// The id of a type that nothing here judges is taken as it is written: its rule is that type's own.
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        if text.len() > MAX_VKEY_LEN {
            return Err(TlogError::Vkey);
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TlogError::Vkey);
        };
        let written = hex_decode(id).and_then(|id| id.try_into().ok()).map(KeyId::from_be_bytes);
        let written = written.ok_or(TlogError::Vkey)?;
        let material = b64_decode(material).ok_or(TlogError::Vkey)?;
        let (kind, key) = material.split_first().ok_or(TlogError::Vkey)?;
        let vkey = Self::new(KeyName::parse(name)?, VkeyType::from_byte(*kind), key)?;
        match vkey.kind {
            VkeyType::Other(_) => Ok(Self { id: written, ..vkey }),
            _ if vkey.id == written => Ok(vkey),
            _ => Err(TlogError::VkeyId { written, computed: vkey.id }),
        }
    }

    /// The key's name: of a log's key its origin, of a witness's key the cosigner's name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The type of its signatures.
    pub const fn kind(&self) -> VkeyType {
        self.kind
    }

    /// The public key.
    pub const fn key_bytes(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[self.kind.byte()], &*self.key].concat();
        write!(f, "{}+{}+{}", self.name, self.id, b64_encode(&material))
    }
}

impl fmt::Debug for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vkey({}+{}, {:?})", self.name, self.id, self.kind)
    }
}

impl VkeyType {
    /// The type of an identifier byte.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0x01 => Self::Ed25519,
            0x04 => Self::CosignatureV1,
            0x06 => Self::MlDsa44,
            other => Self::Other(other),
        }
    }

    /// The identifier byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            Self::MlDsa44 => 0x06,
            Self::Other(byte) => byte,
        }
    }

    const fn key_len(self) -> Option<usize> {
        match self {
            Self::Ed25519 | Self::CosignatureV1 => Some(ed25519::PUBLIC_KEY_LEN),
            Self::MlDsa44 => Some(ml_dsa::PUBLIC_KEY_LEN),
            Self::Other(_) => None,
        }
    }
}

impl KeyName {
    /// Reads a key name.
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        let forbidden = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if text.is_empty() || text.contains(forbidden) {
            return Err(TlogError::KeyName);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyName({:?})", &self.0)
    }
}

impl KeyId {
    /// The id of a key: the first four bytes of `H(name ‖ "\n" ‖ type ‖ key)`.
    pub fn of(name: &KeyName, kind: VkeyType, key: &[u8]) -> Self {
        let [a, b, c, d, ..] = sha256(&[name.as_str().as_bytes(), b"\n", &[kind.byte()], key]);
        Self::from_be_bytes([a, b, c, d])
    }

    /// An id from its bytes in a signature.
    pub const fn from_be_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    /// Its bytes in a signature.
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
