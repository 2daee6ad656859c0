//! The JSON of a key file, in both forms, and the encryption of the seed in it.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::alg::{KeyAlg, SEED_LEN, Seed};
use super::error::{KeyFileError, KeyFileFault};
use super::{KeyPair, MAX_KEY_FILE_LEN};
use crate::encoding::{b64u_decode, b64u_encode, hex_encode};
use crate::soul::Kid;

pub(super) const VERSION: u64 = 1;
const KDF: &str = "argon2id";
const KDF_PASSES: u32 = 3;
const KDF_MEMORY_KIB: u32 = 65_536;
const KDF_LANES: u32 = 4;
const CIPHER: &str = "xchacha20-poly1305";
const SALT_LEN: usize = 32;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const MAGIC: &[u8] = b"soulchain/key/v1\n";

/// The JSON object, as it is written and read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    v: u64,
    alg: String,
    kid: String,
    pk: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    kdf: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    t: Option<u32>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    m: Option<u32>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ct: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
}

impl Members {
    /// Reads the JSON; what the members say is for [`Members::key`].
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeyFileFault> {
        // An array of the values would do for serde.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(KeyFileFault::Json { line: 1, column: 1 });
        }
        // Where it is wrong, and not what is there: that may be the seed.
        let fault = |error: serde_json::Error| KeyFileFault::Json { line: error.line(), column: error.column() };
        serde_json::from_slice(json).map_err(fault)
    }

    /// The JSON.
    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it from the start: growing would leave copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_LEN));
        serde_json::to_writer(&mut *json, self).expect("strings and numbers go into memory");
        json
    }

    /// The members of a key whose seed lies open.
    pub(super) fn unencrypted(key: &KeyPair) -> Self {
        let mut members = Self::public(key);
        members.seed = Some(b64u_encode(&*key.seed));
        members
    }

    /// The members of a key whose seed is encrypted.
    pub(super) fn sealed(key: &KeyPair, passphrase: &SecretString) -> Result<Self, KeyFileError> {
        if passphrase.expose_secret().is_empty() {
            return Err(KeyFileError::EmptyPassphrase);
        }
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut nonce)).map_err(KeyFileError::NoRandomness)?;
        // Room for the tag from the start: growing would leave a copy of the seed behind.
        let mut ct = Vec::with_capacity(SEED_LEN + TAG_LEN);
        ct.extend_from_slice(&*key.seed);
        let cipher = cipher(passphrase, &salt).ok_or(KeyFileError::OutOfMemory)?;
        cipher
            .encrypt_in_place(&XNonce::from(nonce), &associated_data(key.kid), &mut ct)
            .expect("32 bytes are not too long for the cipher");
        let mut members = Self::public(key);
        members.kdf = Some(KDF.into());
        members.t = Some(KDF_PASSES);
        members.m = Some(KDF_MEMORY_KIB);
        members.p = Some(KDF_LANES);
        members.salt = Some(b64u_encode(&salt));
        members.cipher = Some(CIPHER.into());
        members.nonce = Some(b64u_encode(&nonce));
        members.ct = Some(b64u_encode(&ct));
        Ok(members)
    }

    /// The members that both forms have.
    fn public(key: &KeyPair) -> Self {
        Self {
            v: VERSION,
            alg: key.alg.name().into(),
            kid: hex_encode(key.kid.as_bytes()),
            pk: b64u_encode(&key.pk),
            kdf: None,
            t: None,
            m: None,
            p: None,
            salt: None,
            cipher: None,
            nonce: None,
            ct: None,
            seed: None,
        }
    }

    /// Whether the seed lies open.
    pub(super) const fn is_unencrypted(&self) -> bool {
        self.seed.is_some()
    }

    /// The key, if all members agree, and it is of the algorithm that is wanted.
    pub(super) fn key(&self, passphrase: Option<&SecretString>, wanted: Option<KeyAlg>) -> Result<KeyPair, NoKey> {
        if self.v != VERSION {
            return Err(KeyFileFault::Version { v: self.v }.into());
        }
        let alg = KeyAlg::from_name(&self.alg).ok_or(KeyFileFault::Member { name: "alg" })?;
        if wanted.is_some_and(|wanted| wanted != alg) {
            return Err(KeyFileFault::Algorithm { alg }.into());
        }
        let pk = b64u_decode(&self.pk).filter(|pk| pk.len() == alg.pk_len());
        let pk = pk.ok_or(KeyFileFault::Member { name: "pk" })?;
        let named = Kid::from_hex(&self.kid).ok_or(KeyFileFault::Member { name: "kid" })?;
        if named != alg.kid(&pk) {
            return Err(KeyFileFault::Kid.into());
        }
        let seed = match (&self.seed, self.sealed_form()?) {
            (Some(seed), None) => Zeroizing::new(bytes("seed", seed)?),
            (None, Some(sealed)) => sealed.open(named, passphrase.ok_or(KeyFileFault::PassphraseNeeded)?)?,
            (Some(_), Some(_)) | (None, None) => return Err(KeyFileFault::Form.into()),
        };
        let key = KeyPair::from_seed(alg, &seed);
        if *key.pk == *pk { Ok(key) } else { Err(KeyFileFault::PublicKey.into()) }
    }

    /// The members of an encrypted seed: all of them or none.
    fn sealed_form(&self) -> Result<Option<Sealed>, KeyFileFault> {
        let Self { kdf, t, m, p, salt, cipher, nonce, ct, .. } = self;
        let (Some(kdf), Some(t), Some(m), Some(p), Some(salt), Some(cipher), Some(nonce), Some(ct)) =
            (kdf, t, m, p, salt, cipher, nonce, ct)
        else {
            let texts = [kdf, salt, cipher, nonce, ct].into_iter().any(Option::is_some);
            let none = !texts && [t, m, p].into_iter().all(Option::is_none);
            return if none { Ok(None) } else { Err(KeyFileFault::Form) };
        };
        literal("kdf", kdf.as_str(), KDF)?;
        // Other costs are another version: a file may not choose how much memory its reader takes.
        literal("t", t, &KDF_PASSES)?;
        literal("m", m, &KDF_MEMORY_KIB)?;
        literal("p", p, &KDF_LANES)?;
        literal("cipher", cipher.as_str(), CIPHER)?;
        Ok(Some(Sealed { salt: bytes("salt", salt)?, nonce: bytes("nonce", nonce)?, ct: bytes("ct", ct)? }))
    }
}

/// The seed may be in it.
impl Drop for Members {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

struct Sealed {
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
    ct: [u8; SEED_LEN + TAG_LEN],
}

impl Sealed {
    fn open(&self, kid: Kid, passphrase: &SecretString) -> Result<Seed, NoKey> {
        let mut plain = Zeroizing::new(self.ct.to_vec());
        let cipher = cipher(passphrase, &self.salt).ok_or(NoKey::OutOfMemory)?;
        cipher
            .decrypt_in_place(&XNonce::from(self.nonce), &associated_data(kid), &mut *plain)
            .map_err(|_| KeyFileFault::WrongPassphrase)?;
        let seed: &[u8; SEED_LEN] = plain.as_slice().try_into().expect("the ciphertext is a tag longer than a seed");
        Ok(Zeroizing::new(*seed))
    }
}

/// Why members give no key: their fault, or the machine's.
pub(super) enum NoKey {
    Fault(KeyFileFault),
    OutOfMemory,
}

impl NoKey {
    pub(super) fn at(self, path: &Path) -> KeyFileError {
        match self {
            Self::Fault(fault) => KeyFileError::Refused { path: path.into(), fault },
            Self::OutOfMemory => KeyFileError::OutOfMemory,
        }
    }
}

impl From<KeyFileFault> for NoKey {
    fn from(fault: KeyFileFault) -> Self {
        Self::Fault(fault)
    }
}

/// The cipher under the key that a passphrase and a salt give; `None` where memory is short.
fn cipher(passphrase: &SecretString, salt: &[u8; SALT_LEN]) -> Option<XChaCha20Poly1305> {
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(KDF_MEMORY_KIB, KDF_PASSES, KDF_LANES, Some(key.len())).expect("parameters in bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(passphrase.expose_secret().as_bytes(), salt, &mut *key).ok()?;
    Some(XChaCha20Poly1305::new((&*key).into()))
}

fn associated_data(kid: Kid) -> Vec<u8> {
    [MAGIC, kid.as_ref()].concat()
}

/// A member that is there has a value: `null` is none.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn literal<T: PartialEq + ?Sized>(name: &'static str, found: &T, wanted: &T) -> Result<(), KeyFileFault> {
    if found == wanted { Ok(()) } else { Err(KeyFileFault::Member { name }) }
}

fn bytes<const N: usize>(name: &'static str, text: &str) -> Result<[u8; N], KeyFileFault> {
    let bytes = b64u_decode(text).map(Zeroizing::new);
    bytes.and_then(|bytes| bytes.as_slice().try_into().ok()).ok_or(KeyFileFault::Member { name })
}
