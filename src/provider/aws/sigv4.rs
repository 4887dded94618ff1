//! AWS Signature Version 4 of a request, over its headers and its body.
//!
//! Source: IAM User Guide, "Create a signed AWS API request". The path is percent-encoded once on the
//! wire and once more where it is signed, as all services but S3 want it.

use std::collections::BTreeMap;

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use super::Keys;
use crate::{
    domain::fault::{Fault, Reason},
    provider::date,
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The region.
    pub region: &'a str,
    /// The service, by its signing name.
    pub service: &'a str,
}

/// Signs a request at `now` seconds since 1970, in place of any older signature. Nothing of it may change
/// afterwards that is signed: the method, the URL, the host, the type and the bytes of the body, and
/// headers that begin with `x-amz-`.
///
/// # Errors
/// When a key holds characters that no header can carry.
pub(super) fn sign(
    request: &mut Request<Bytes>,
    keys: &Keys,
    scope: Scope<'_>,
    now: u64,
) -> Result<(), Fault> {
    let stamp = date::stamp(now);
    let day = stamp.split('T').next().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(DATE, value(&stamp)?);
    headers.remove(TOKEN);
    if let Some(session) = &keys.session {
        headers.insert(TOKEN, value(session.expose())?);
    }
    let signed = signed_headers(request);
    let names: Vec<&str> = signed.keys().map(|name| &**name).collect();
    let names = names.join(";");
    let hash = hex(digest(&SHA256, canonical(request, &signed, &names).as_bytes()).as_ref());
    let range = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("{ALGORITHM}\n{stamp}\n{range}\n{hash}");
    let mut key = format!("AWS4{}", keys.secret.expose()).into_bytes();
    for step in [day, scope.region, scope.service, "aws4_request", &text] {
        let step_key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&step_key, step.as_bytes()).as_ref().to_vec();
    }
    let authorization = value(&format!(
        "{ALGORITHM} Credential={}/{range}, SignedHeaders={names}, Signature={}",
        keys.id,
        hex(&key)
    ))?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(())
}

/// The headers that are signed, by name.
fn signed_headers(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let mut signed = BTreeMap::from([("host".to_owned(), host(request))]);
    for (name, value) in request.headers() {
        if *name != CONTENT_TYPE && !name.as_str().starts_with("x-amz-") {
            continue;
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let slot: &mut String = signed.entry(name.as_str().to_owned()).or_default();
        if !slot.is_empty() {
            slot.push(',');
        }
        slot.push_str(&words.join(" "));
    }
    signed
}

/// The host as it goes out: without the port that goes without saying.
fn host(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => host,
        (Some(port), _) => format!("{host}:{port}"),
    }
}

/// The request in the form that is hashed.
fn canonical(request: &Request<Bytes>, signed: &BTreeMap<String, String>, names: &str) -> String {
    let method = request.method().as_str();
    let path = encode_again(request.uri().path());
    let query = request.uri().query().unwrap_or_default();
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    pairs.sort_unstable();
    let query = pairs.join("&");
    let headers: String = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let payload = hex(digest(&SHA256, request.body()).as_ref());
    format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}")
}

/// A path that is percent-encoded already, percent-encoded once more.
fn encode_again(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A header's value that shows in no log.
fn value(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text).map_err(|_invalid| {
        Fault::new(
            Reason::ProviderCredentialsRejected,
            "the AWS credentials hold characters that no header can carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn keys(session: Option<&str>) -> Keys {
        Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: session.map(Secret::new),
        }
    }

    /// 2015-08-30T12:36:00Z.
    const THEN: u64 = 1_440_938_160;

    #[test]
    fn the_example_of_the_guide_comes_out() {
        let mut request = Request::builder()
            .uri("https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers")
            .header(
                CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .body(Bytes::new())
            .unwrap();
        let scope = Scope {
            region: "us-east-1",
            service: "iam",
        };
        sign(&mut request, &keys(None), scope, THEN).unwrap();
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            request.headers()[AUTHORIZATION],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn the_path_is_encoded_twice_and_the_token_is_signed() {
        let mut request = Request::builder()
            .method("POST")
            .uri("https://bedrock-runtime.us-west-2.amazonaws.com/model/anthropic.claude-v2%3A0/converse")
            .header(CONTENT_TYPE, "application/json")
            .header("x-amz-bedrock-trace", "  a   b ")
            .header("accept", "application/json")
            .body(Bytes::from_static(br#"{"messages":[]}"#))
            .unwrap();
        let scope = Scope {
            region: "us-west-2",
            service: "bedrock",
        };
        let signed = signed_headers(&request);
        let canonical = canonical(&request, &signed, "");
        assert!(canonical.starts_with("POST\n/model/anthropic.claude-v2%253A0/converse\n\n"));
        sign(&mut request, &keys(Some("session==")), scope, THEN).unwrap();
        // Made by botocore.auth.SigV4Auth of botocore 1.44.5.
        let authorization = request.headers()[AUTHORIZATION].to_str().unwrap();
        assert!(authorization.ends_with(
            "SignedHeaders=content-type;host;x-amz-bedrock-trace;x-amz-date;x-amz-security-token, \
             Signature=e94a626e005000c7941e5c8629ffe28a5db5b645c5d8c87a2645c7f3ec8f6a05"
        ), "{authorization}");
    }

    #[test]
    fn a_second_signature_takes_the_place_of_the_first() {
        let mut request = Request::builder()
            .uri("http://127.0.0.1:4100/foundation-models")
            .body(Bytes::new())
            .unwrap();
        let scope = Scope {
            region: "us-west-2",
            service: "bedrock",
        };
        sign(&mut request, &keys(Some("old")), scope, THEN).unwrap();
        sign(&mut request, &keys(None), scope, THEN + 60).unwrap();
        let twice = request.headers().clone();
        let mut once = Request::get("http://127.0.0.1:4100/foundation-models")
            .body(Bytes::new())
            .unwrap();
        sign(&mut once, &keys(None), scope, THEN + 60).unwrap();
        assert_eq!(twice, *once.headers());
    }

    #[test]
    fn the_host_is_signed_as_it_goes_out() {
        for (url, expected) in [
            ("https://Example.COM/", "example.com"),
            ("https://example.com:443/", "example.com"),
            ("http://example.com:443/", "example.com:443"),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
            ("http://[::1]:80/", "[::1]"),
        ] {
            let request = Request::get(url).body(Bytes::new()).unwrap();
            assert_eq!(host(&request), expected);
        }
    }

    #[test]
    fn keys_are_shown_by_nobody() {
        assert_eq!(format!("{:?}", keys(Some("x"))), "Keys(…)");
        let mut request = Request::get("http://h/").body(Bytes::new()).unwrap();
        let scope = Scope {
            region: "r",
            service: "s",
        };
        sign(&mut request, &keys(Some("my-token")), scope, THEN).unwrap();
        assert!(!format!("{:?}", request.headers()).contains("my-token"));
    }
}
