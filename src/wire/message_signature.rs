//! Signed requests: HTTP message signatures (RFC 9421) with Ed25519, as clients write and nodes read them.
//!
//! ```text
//! Signature-Input: sig1=("@method" "@authority" "@path");created=1700000000;keyid="<kid, hex>";alg="ed25519"
//! Signature: sig1=:<base64>:
//! ```
//!
//! Exactly these components in this order, and one signature, labelled `sig1`. Of the parameters `created` and `keyid`
//! have to be there, each once; `alg` says `ed25519` if it says anything; others are covered but mean nothing here.
//! Parameters are verified as they were received. Whose key may ask for what is `http`'s business.

use std::collections::HashMap;

use crate::ed25519::{self, SIGNATURE_LEN, SigningKey};
use crate::encoding::{UnixMillis, b64_decode, b64_encode, parse_decimal};
use crate::soul::{Kid, RawKey};

/// How far `created` may be from the clock of who verifies, before or after it.
pub const MAX_SIGNATURE_AGE_MS: u64 = 5 * 60 * 1000;
/// Longest value of `Signature-Input` that is read, in bytes; what is written has less than 200.
pub const MAX_SIGNATURE_INPUT_LEN: usize = 1024;

const LABEL: &str = "sig1=";
/// The components that a signature covers, in this order.
const COVERED: &str = "(\"@method\" \"@authority\" \"@path\")";
const ALGORITHM: &str = "ed25519";
/// Length of a signature in base64.
const SIGNATURE_TEXT_LEN: usize = SIGNATURE_LEN.div_ceil(3) * 4;

/// What a signature covers of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoveredComponents<'a> {
    /// As in the request line.
    pub method: &'a str,
    /// The host, and the port if it is not the scheme's, as the `Host` header has them.
    pub authority: &'a str,
    /// The path without the query, as in the request line.
    pub path: &'a str,
}

/// The two headers of a signed request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSignature {
    /// Value of `Signature-Input`.
    pub input: String,
    /// Value of `Signature`.
    pub signature: String,
}

/// A signature on a request as its headers have it; whether it verifies is not said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadMessageSignature {
    /// Components and parameters, as received.
    parameters: String,
    kid: Kid,
    created: UnixMillis,
    sig: [u8; SIGNATURE_LEN],
}

/// Why a request does not count as signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MessageSignatureError {
    /// A header is not there, or has another label.
    Missing,
    /// A header is not of the form above.
    Form,
    /// `created` is too far from the clock.
    Age,
    /// The signature does not verify.
    Signature,
}

impl MessageSignature {
    /// Signs a request at a time, which is rounded down to seconds.
    pub fn sign(key: &SigningKey, kid: Kid, covered: &CoveredComponents<'_>, now: UnixMillis) -> Self {
        let created = now.get() / 1000;
        let parameters = format!("{COVERED};created={created};keyid=\"{kid}\";alg=\"{ALGORITHM}\"");
        let sig = key.sign(covered.signature_base(&parameters).as_bytes());
        Self { input: format!("{LABEL}{parameters}"), signature: format!("{LABEL}:{}:", b64_encode(&sig)) }
    }
}

impl ReadMessageSignature {
    /// Reads the values of `Signature-Input` and `Signature`.
    pub fn read(input: Option<&str>, signature: Option<&str>) -> Result<Self, MessageSignatureError> {
        let parameters = input.and_then(|input| input.strip_prefix(LABEL)).ok_or(MessageSignatureError::Missing)?;
        let sig = signature.and_then(|sig| sig.strip_prefix(LABEL)).ok_or(MessageSignatureError::Missing)?;
        parse(parameters, sig).ok_or(MessageSignatureError::Form)
    }

    /// The key that is said to have signed.
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// Checks its age by the verifier's clock.
    pub fn check_age(&self, now: UnixMillis) -> Result<(), MessageSignatureError> {
        let apart = now.since(self.created).max(self.created.since(now));
        if apart <= MAX_SIGNATURE_AGE_MS { Ok(()) } else { Err(MessageSignatureError::Age) }
    }

    /// Checks that this key signed the request. The caller has it by [`Self::kid`].
    pub fn verify(&self, pk: &RawKey, covered: &CoveredComponents<'_>) -> Result<(), MessageSignatureError> {
        let base = covered.signature_base(&self.parameters);
        let verifies = ed25519::verify(pk, base.as_bytes(), &self.sig);
        if verifies { Ok(()) } else { Err(MessageSignatureError::Signature) }
    }
}

impl CoveredComponents<'_> {
    /// What is signed (RFC 9421, section 2.5). Hosts compare without regard to case (section 2.2.3).
    fn signature_base(&self, parameters: &str) -> String {
        let Self { method, path, .. } = self;
        let authority = self.authority.to_ascii_lowercase();
        format!(
            "\"@method\": {method}\n\"@authority\": {authority}\n\"@path\": {path}\n\"@signature-params\": {parameters}"
        )
    }
}

fn parse(parameters: &str, sig: &str) -> Option<ReadMessageSignature> {
    if LABEL.len() + parameters.len() > MAX_SIGNATURE_INPUT_LEN {
        return None;
    }
    let mut values = HashMap::new();
    for parameter in parameters.strip_prefix(COVERED)?.split(';').skip(1) {
        let (name, value) = parameter.split_once('=')?;
        values.insert(name, value).is_none().then_some(())?;
    }
    let unquoted = |name: &str| values.get(name)?.strip_prefix('"')?.strip_suffix('"');
    if values.contains_key("alg") && unquoted("alg") != Some(ALGORITHM) {
        return None;
    }
    let sig = sig.strip_prefix(':')?.strip_suffix(':').filter(|text| text.len() == SIGNATURE_TEXT_LEN)?;
    Some(ReadMessageSignature {
        parameters: parameters.to_owned(),
        kid: Kid::from_hex(unquoted("keyid")?)?,
        created: UnixMillis::new(parse_decimal(values.get("created")?)?.checked_mul(1000)?),
        sig: b64_decode(sig)?.try_into().ok()?,
    })
}

impl std::error::Error for MessageSignatureError {}

impl std::fmt::Display for MessageSignatureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "the request has no Signature-Input and Signature with the label sig1",
            Self::Form => "Signature-Input or Signature is not of the expected form",
            Self::Age => "`created` is more than 5 minutes from the clock of the node",
            Self::Signature => "the signature does not verify",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soul::kid;

    const COVERED_GET: CoveredComponents<'_> =
        CoveredComponents { method: "GET", authority: "Log.example:8080", path: "/v1/agents/a/links/2/body" };

    fn read(input: &str, signature: &str) -> Result<ReadMessageSignature, MessageSignatureError> {
        ReadMessageSignature::read(Some(input), Some(signature))
    }

    fn key() -> (SigningKey, Kid) {
        let key = SigningKey::from_seed(&[3; 32]);
        let kid = kid(key.public().as_bytes());
        (key, kid)
    }

    #[test]
    fn the_base_is_that_of_the_rfc() {
        assert_eq!(
            COVERED_GET.signature_base("(\"@method\" \"@authority\" \"@path\");created=1618884473"),
            "\"@method\": GET\n\"@authority\": log.example:8080\n\"@path\": /v1/agents/a/links/2/body\n\
             \"@signature-params\": (\"@method\" \"@authority\" \"@path\");created=1618884473"
        );
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let (key, kid) = key();
        let signed = MessageSignature::sign(&key, kid, &COVERED_GET, UnixMillis::new(1_618_884_473_999));
        let parameters = format!("created=1618884473;keyid=\"{kid}\";alg=\"ed25519\"");
        assert_eq!(signed.input, format!("sig1=(\"@method\" \"@authority\" \"@path\");{parameters}"));
        let read = read(&signed.input, &signed.signature).unwrap();
        assert_eq!((read.kid(), read.created), (kid, UnixMillis::new(1_618_884_473_000)));
        let verify = |covered: CoveredComponents<'_>| read.verify(key.public().as_bytes(), &covered);
        assert_eq!(verify(COVERED_GET), Ok(()));
        assert_eq!(verify(CoveredComponents { authority: "log.EXAMPLE:8080", ..COVERED_GET }), Ok(()));
        for other in [
            CoveredComponents { method: "DELETE", ..COVERED_GET },
            CoveredComponents { authority: "log.example", ..COVERED_GET },
            CoveredComponents { path: "/v1/agents/a/links/3/body", ..COVERED_GET },
        ] {
            assert_eq!(verify(other), Err(MessageSignatureError::Signature), "{other:?}");
        }
        let other_key = SigningKey::from_seed(&[4; 32]);
        assert!(read.verify(other_key.public().as_bytes(), &COVERED_GET).is_err());
        let later = ReadMessageSignature { parameters: read.parameters.replace("473", "474"), ..read.clone() };
        assert!(later.verify(key.public().as_bytes(), &COVERED_GET).is_err());
    }

    #[test]
    fn a_signature_counts_for_five_minutes_either_way() {
        let (key, kid) = key();
        let signed = MessageSignature::sign(&key, kid, &COVERED_GET, UnixMillis::new(1_000_000));
        let read = read(&signed.input, &signed.signature).unwrap();
        for (now, fresh) in [(699_999, false), (700_000, true), (1_300_000, true), (1_300_001, false)] {
            assert_eq!(read.check_age(UnixMillis::new(now)).is_ok(), fresh, "{now}");
        }
    }

    #[test]
    fn headers_of_another_form_are_refused() {
        let (key, kid) = key();
        let MessageSignature { input, signature } =
            MessageSignature::sign(&key, kid, &COVERED_GET, UnixMillis::new(7000));
        for (input, signature) in [
            (None, Some(&*signature)),
            (Some(&*input), None),
            (Some("sig2=()"), Some(&*signature)),
            (Some(&*input), Some("sig2=::")),
        ] {
            assert_eq!(ReadMessageSignature::read(input, signature), Err(MessageSignatureError::Missing));
        }
        let optional = [input.replace(";alg=\"ed25519\"", ""), format!("{input};nonce=\"x\"")];
        assert!(optional.iter().all(|input| read(input, &signature).is_ok()));
        let padded = format!("{input};nonce=\"{}\"", "x".repeat(MAX_SIGNATURE_INPUT_LEN - input.len() - 9));
        assert_eq!(padded.len(), MAX_SIGNATURE_INPUT_LEN);
        assert!(read(&padded, &signature).is_ok());
        for (why, wrong) in [
            ("fewer components", input.replace(" \"@path\"", "")),
            ("another order", input.replace("\"@method\" \"@authority\"", "\"@authority\" \"@method\"")),
            ("no `created`", input.replace(";created=7", "")),
            ("a `created` that is no integer", input.replace("=7;", "=7.0;")),
            ("a `created` beyond all clocks", input.replace("=7;", &format!("={};", u64::MAX))),
            ("no `keyid`", input.replace("keyid", "id")),
            ("a `keyid` without quotes", input.replace(&format!("\"{kid}\""), &kid.to_hex())),
            ("another algorithm", input.replace("ed25519", "rsa")),
            ("an algorithm without quotes", input.replace("\"ed25519\"", "ed25519")),
            ("a parameter twice", format!("{input};created=7")),
            ("a parameter without value", format!("{input};x")),
            ("too long", padded.replace("nonce", "nonces")),
        ] {
            assert_eq!(read(&wrong, &signature), Err(MessageSignatureError::Form), "{why}");
        }
        for (why, wrong) in [
            ("no colons", signature.replace(':', "")),
            ("no base64", signature.replace("sig1=:", "sig1=:*").replace("==:", "=:")),
            ("a short one", "sig1=:AA==:".to_owned()),
            ("two", format!("{signature}, sig2=:AA==:")),
        ] {
            assert_eq!(read(&input, &wrong), Err(MessageSignatureError::Form), "{why}");
        }
    }
}
