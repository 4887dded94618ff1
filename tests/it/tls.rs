//! TLS, and callers known by their certificates.

use std::{collections::BTreeMap, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runwire::{
    config::{AuthMode, Config},
    domain::principal::{Principal, Tenant},
    pb::v1::{ListRunsRequest, run_service_client::RunServiceClient},
};
use tokio::net::TcpListener;
use tonic::{
    Code, Status,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use tonic_types::StatusExt;

use crate::harness::{Server, assert_fails};

/// An authority that signs certificates.
pub(crate) struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Its own certificate.
    pub(crate) fn authority(&self) -> String {
        self.ca.pem()
    }

    /// A certificate for a name, and its key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that asks for certificates and knows `billing.acme`.
    fn config(&self) -> Config {
        let (cert, key) = self.issue("localhost");
        let file = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let mut config = Config::default();
        config.server.tls.cert = file("cert.pem", &cert);
        config.server.tls.key = file("key.pem", &key);
        config.server.tls.client_ca = file("ca.pem", &self.ca.pem());
        config.auth.mode = AuthMode::Mtls;
        let principal = Principal {
            tenant: Tenant::parse("acme").unwrap(),
            name: "billing".into(),
            ..Principal::anonymous()
        };
        config.auth.certificates = BTreeMap::from([("billing.acme".to_owned(), principal)]);
        config
    }

    /// Calls the server, showing this certificate.
    async fn call(&self, port: u16, identity: Option<&str>) -> Result<(), Status> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.ca.pem()))
            .domain_name("localhost");
        if let Some(name) = identity {
            let (cert, key) = self.issue(name);
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let endpoint = Endpoint::try_from(format!("https://127.0.0.1:{port}")).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
        let mut client = RunServiceClient::new(channel);
        client
            .list_runs(ListRunsRequest::default())
            .await
            .map(|_runs| ())
    }
}

#[tokio::test]
async fn callers_are_known_by_their_certificates() {
    let pki = Pki::new();
    let server = Server::with(pki.config()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Arc::clone(&server.app);
    server
        .tasks
        .spawn(async move { app.accept(listener).await });

    pki.call(port, Some("billing.acme")).await.unwrap();
    let stranger = pki.call(port, Some("stranger.acme")).await;
    assert_fails(stranger, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let nobody = pki.call(port, None).await.unwrap_err();
    let told = nobody.get_details_error_info();
    assert!(told.is_none(), "no certificate, no connection: {told:?}");
}
