//! A whole server on a free port, and a raw client: what is sent and answered is on the wire as it
//! stands in the tests.

use std::sync::Arc;

use bytes::Bytes;
use flotilla_kubeapi::kinds::Profile;
use flotilla_kubeapi::server::{Controllers, Running, Settings, Storage, start};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server and an admin's way to it.
pub(crate) struct World {
    pub(crate) running: Running,
}

/// What a request is, besides method and path.
#[derive(Default)]
pub(crate) struct Said<'a> {
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<Value>,
    pub(crate) anonymous: bool,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::open(Storage::Memory).await
    }

    pub(crate) async fn open(storage: Storage) -> Self {
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            profile: Profile::Cluster,
            storage,
            controllers: Controllers::None,
            token_auth_file: None,
            kubeconfig_out: None,
        };
        Self {
            running: start(&settings).await.unwrap(),
        }
    }

    pub(crate) async fn connect(&self, protocol: &[u8], anonymous: bool) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.running.root_pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if anonymous {
            builder.with_no_client_auth()
        } else {
            let admin = &self.running.admin;
            let pem = admin.certificate_pem.as_bytes();
            let chain = vec![CertificateDer::from_pem_slice(pem).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(admin.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let socket = TcpStream::connect(self.running.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        said: Said<'_>,
    ) -> Response<Incoming> {
        let stream = self.connect(b"http/1.1", said.anonymous).await;
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("user-agent", "test/1");
        for (name, value) in said.headers {
            request = request.header(*name, *value);
        }
        let body = said.body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        client.send_request(request).await.unwrap()
    }

    /// Code and body of a request.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let said = Said {
            body,
            headers: &[("content-type", content_type(method))],
            ..Said::default()
        };
        let response = self.send(method, path, said).await;
        let code = response.status().as_u16();
        (code, read(response).await)
    }
}

fn content_type(method: &str) -> &'static str {
    if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    }
}

pub(crate) async fn read(response: Response<Incoming>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Where config maps of the namespace `default` lie.
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
