//! Signed requests (RFC 9421, Ed25519): how an agent shows that a request is its own.
//!
//! ```text
//! Signature-Input: sig1=("@method" "@authority" "@path");created=1700000000;keyid="<kid, hex>";alg="ed25519"
//! Signature: sig1=:<base64>:
//! ```
//!
//! Exactly these components in this order. The side that verifies builds the same base from what it received.

use crate::ed25519::SigningKey;
use crate::encoding::b64_encode;

/// The two headers of a signed request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSignature {
    /// Value of `Signature-Input`.
    pub input: String,
    /// Value of `Signature`.
    pub signature: String,
}

impl MessageSignature {
    /// Signs a request. `authority` is the host as the `Host` header has it, `created` Unix seconds.
    pub fn sign(key: &SigningKey, keyid: &str, method: &str, authority: &str, path: &str, created: u64) -> Self {
        let sig = key.sign(signature_base(method, authority, path, created, keyid).as_bytes());
        Self {
            input: format!("sig1={}", signature_params(created, keyid)),
            signature: format!("sig1=:{}:", b64_encode(&sig)),
        }
    }
}

/// What is signed (RFC 9421, section 2.5).
pub fn signature_base(method: &str, authority: &str, path: &str, created: u64, keyid: &str) -> String {
    let params = signature_params(created, keyid);
    // Hosts compare without regard to case (section 2.2.3).
    let authority = authority.to_ascii_lowercase();
    format!("\"@method\": {method}\n\"@authority\": {authority}\n\"@path\": {path}\n\"@signature-params\": {params}")
}

/// The covered components and the parameters of the signature (RFC 9421, section 2.3).
pub fn signature_params(created: u64, keyid: &str) -> String {
    format!("(\"@method\" \"@authority\" \"@path\");created={created};keyid=\"{keyid}\";alg=\"ed25519\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::verify;
    use crate::encoding::b64_decode;

    #[test]
    fn the_base_is_that_of_the_rfc() {
        assert_eq!(
            signature_base("GET", "Log.example:8080", "/v1/agents/a/links/2/body", 1_618_884_473, "ab12"),
            "\"@method\": GET\n\"@authority\": log.example:8080\n\"@path\": /v1/agents/a/links/2/body\n\
             \"@signature-params\": (\"@method\" \"@authority\" \"@path\");created=1618884473;keyid=\"ab12\";alg=\"ed25519\""
        );
    }

    #[test]
    fn the_signature_is_over_the_base() {
        let key = SigningKey::from_seed(&[3; 32]);
        let signed = MessageSignature::sign(&key, "ab12", "GET", "h", "/p", 7);
        let sig = signed.signature.strip_prefix("sig1=:").unwrap().strip_suffix(':').unwrap();
        let sig = b64_decode(sig).unwrap().try_into().unwrap();
        let base = signature_base("GET", "h", "/p", 7, "ab12");
        assert!(verify(key.public().as_bytes(), base.as_bytes(), &sig));
        assert!(!verify(key.public().as_bytes(), base.replace("/p", "/q").as_bytes(), &sig));
        assert!(base.ends_with(signed.input.strip_prefix("sig1=").unwrap()));
    }
}
