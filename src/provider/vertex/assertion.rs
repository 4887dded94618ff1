//! The assertion by which a service account asks for a token: a JSON Web Token of RFC 7523, signed with
//! RS256.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::SigningKey,
};
use serde::Serialize;

/// What a token may be used for.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion is good for, in seconds: the longest that is taken.
const LIFETIME: u64 = 3600;

/// Reads a private key in PEM.
///
/// # Errors
/// When it is none, or not one of RSA.
pub(super) fn parse_key(pem: &str) -> Result<std::sync::Arc<dyn SigningKey>, &'static str> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_error| "private_key is no key in PEM")?;
    let key = any_supported_type(&der).map_err(|_error| "private_key is no key of RSA")?;
    match key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]) {
        Some(_signer) => Ok(key),
        None => Err("private_key is no key of RSA"),
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// What an assertion claims.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// Writes and signs an assertion of `account` for the token endpoint `audience`, at `now` seconds since
/// 1970. `None` when the key does not sign.
pub(super) fn sign(
    key: &dyn SigningKey,
    key_id: Option<&str>,
    account: &str,
    audience: &str,
    now: u64,
) -> Option<String> {
    let header = Header {
        alg: "RS256",
        typ: "JWT",
        kid: key_id,
    };
    let claims = Claims {
        iss: account,
        scope: SCOPE,
        aud: audience,
        iat: now,
        exp: now.saturating_add(LIFETIME),
    };
    let encode = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let mut token = encode(serde_json::to_vec(&header).ok()?);
    token.push('.');
    token.push_str(&encode(serde_json::to_vec(&claims).ok()?));
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
    let signature = signer.sign(token.as_bytes()).ok()?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_assertion_says_who_asks_and_bears_the_keys_signature() {
        let pair =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .unwrap();
        let key = parse_key(&pair.serialize_pem()).unwrap();
        let token = sign(&*key, Some("k1"), "me@x", "https://token", 1_000).unwrap();
        let pieces: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = pieces[..] else {
            panic!("three pieces");
        };
        let read = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let json = |text: &str| serde_json::from_slice::<Value>(&read(text)).unwrap();
        assert_eq!(
            json(header),
            json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
        );
        assert_eq!(
            json(claims),
            json!({"iss": "me@x", "scope": SCOPE, "aud": "https://token", "iat": 1000, "exp": 4600})
        );
        let algorithms = rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .mapping;
        let (_, rs256) = algorithms
            .iter()
            .find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)
            .unwrap();
        let signed = format!("{header}.{claims}");
        let verify = |message: &str| {
            rs256[0].verify_signature(pair.public_key_raw(), message.as_bytes(), &read(signature))
        };
        assert!(verify(&signed).is_ok());
        assert!(verify("something else").is_err());
    }

    #[test]
    fn only_keys_of_rsa_are_taken() {
        let other = rcgen::KeyPair::generate().unwrap();
        for pem in [&*other.serialize_pem(), "", "no key"] {
            assert!(parse_key(pem).is_err());
        }
    }
}
