//! TLS: the server's certificate, and the names in a client's.

use std::{io, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
};

use super::auth::Peer;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read as PEM.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: String,
    },
    /// Certificate, key and authorities do not fit.
    #[error("the certificate, its key or the authorities cannot be used: {0}")]
    Unusable(String),
}

/// The server's side of TLS.
///
/// # Errors
/// When a file cannot be read, or its content does not fit.
pub fn server_config(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| unusable(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(&error))?)
        }
    };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let mut config = builder
        .with_single_cert(certificates(cert)?, private)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let all: Vec<_> = read
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(path, &error))?;
    if all.is_empty() {
        let none = io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate");
        return Err(unreadable(path, &none));
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        error: error.to_string(),
    }
}

/// Who is at the other end, by its certificate: URIs, then DNS names, then the common name.
pub(super) fn peer(chain: Option<&[CertificateDer<'_>]>) -> Peer {
    let names = chain.and_then(<[_]>::first).map(|leaf| names(leaf));
    Peer {
        names: names.unwrap_or_default(),
    }
}

fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    // rustls has verified the chain; what cannot be read here has no names.
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        return Vec::new();
    };
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
            for name in &san.general_names {
                if let GeneralName::URI(uri) = name {
                    uris.push((*uri).to_owned());
                } else if let GeneralName::DNSName(name) = name {
                    dns.push((*name).to_owned());
                }
            }
        }
    }
    let common = certificate.subject().iter_common_name();
    let common = common
        .filter_map(|name| name.as_str().ok())
        .map(ToOwned::to_owned);
    uris.into_iter().chain(dns).chain(common).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_peer_has_the_names_of_its_certificate_uris_first() {
        let mut params = CertificateParams::new(vec!["billing.acme".to_owned()]).unwrap();
        let uri = "spiffe://acme/billing".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params
            .distinguished_name
            .push(DnType::CommonName, "billing");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let chain = [certificate.der().clone()];
        assert_eq!(
            peer(Some(&chain)).names,
            ["spiffe://acme/billing", "billing.acme", "billing"]
        );
        assert!(peer(None).names.is_empty());
        assert!(
            peer(Some(&[CertificateDer::from_slice(b"junk")]))
                .names
                .is_empty()
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = server_config(Path::new("/no/cert"), Path::new("/no/key"), None).unwrap_err();
        assert!(error.to_string().contains("/no/key"), "{error}");
    }
}
