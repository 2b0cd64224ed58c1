//! A hub over a front door in memory, and agents that say what they are told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use flotilla_hub::durable::{Durable, ENROLMENT, JOIN_TOKEN, Key, MemoryDurable};
use flotilla_hub::epochs::Epochs;
use flotilla_hub::fleet::reports::Reports;
use flotilla_hub::fleet::server::{FleetConfig, FleetServer, LeadParts};
use flotilla_hub::fleet::sessions::Sessions;
use flotilla_hub::fleet::share::{Assignment, BodyStore, ClusterName, Shares};
use flotilla_hub::leader::LeaderToken;
use flotilla_hub::pki::{Pki, PkiConfig};
use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::{EXPORTER_LABEL, VERSION_MAX, VERSION_MIN};
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::enrolment_client::EnrolmentClient;
use flotilla_proto::v1::fleet_client::FleetClient;
use flotilla_proto::v1::hub_frame::Frame as FromHub;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::crypto::ring::default_provider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status, Streaming};

pub(crate) const DOMAIN: &str = "hub.test";
/// How a connection that TLS cut looks to a client.
pub(crate) const CUT: Code = Code::Unknown;
/// Nothing here takes seconds; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Hub {
    pub(crate) durable: Arc<MemoryDurable>,
    pub(crate) pki: Arc<Pki>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) bodies: BodyStore,
    pub(crate) server: Arc<FleetServer>,
    pub(crate) sessions: Arc<Sessions>,
    port: u16,
    skew_secs: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn mk_hub() -> Hub {
    mk_hub_over(Arc::new(MemoryDurable::default())).await
}

pub(crate) async fn mk_hub_over(durable: Arc<MemoryDurable>) -> Hub {
    let door: Arc<dyn Durable> = Arc::<MemoryDurable>::clone(&durable);
    let skew_secs = Arc::new(AtomicU64::new(0));
    let skew = Arc::clone(&skew_secs);
    let clock = move || SystemTime::now() + Duration::from_secs(skew.load(Ordering::Relaxed));
    let cfg = PkiConfig {
        clock: Arc::new(clock),
        ..PkiConfig::new(DOMAIN)
    };
    let pki = Arc::new(Pki::open(Arc::clone(&door), cfg).await.unwrap());
    pki.reload().await.unwrap();
    let epochs = Arc::new(Epochs::begin(door, 1).await.unwrap());
    let cfg = FleetConfig::new(vec![DOMAIN.to_owned()], "hub-1");
    let server = Arc::new(FleetServer::new(Arc::clone(&pki), cfg).unwrap());
    let (shares, reports) = (Arc::<Shares>::default(), Arc::<Reports>::default());
    let term = epochs.view().own().term;
    let sessions = server.lead(LeadParts {
        token: LeaderToken::for_test(term, Duration::from_secs(3600)),
        epochs: Arc::clone(&epochs),
        shares: Arc::clone(&shares),
        reports: Arc::clone(&reports),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let (serving, stopped) = (Arc::clone(&server), stop.clone());
    tokio::spawn(async move { serving.serve(listener, stopped).await.unwrap() });
    Hub {
        durable,
        pki,
        shares,
        reports,
        epochs,
        bodies: BodyStore::default(),
        server,
        sessions,
        port,
        skew_secs,
        stop,
    }
}

impl Hub {
    /// Lets the hub's wall clock run ahead.
    pub(crate) fn skip(&self, secs: u64) {
        self.skew_secs.fetch_add(secs, Ordering::Relaxed);
    }

    /// A JoinToken for a cluster, as the command line makes it.
    pub(crate) async fn token(&self, name: &str, cluster: &str) -> [u8; 32] {
        let secret = *b"0123456789abcdef0123456789abcdef";
        let hash = digest(&SHA256, &secret);
        let hash: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap();
        let expires = now + jiff::SignedDuration::from_hours(1);
        let object = json!({
            "apiVersion": JOIN_TOKEN.api_version(), "kind": "JoinToken",
            "metadata": {"name": name},
            "spec": {
                "clusterName": cluster, "secretHash": hash, "expiresAt": expires.to_string(),
                "labels": {"tier": "edge"}, "provider": "aliyun", "region": "cn-beijing",
                "zones": ["a", "b"],
            },
        });
        let key = Key::global(JOIN_TOKEN, name);
        self.durable.create(&key, object).await.unwrap();
        secret
    }

    /// Joins a cluster by a token of its own.
    pub(crate) async fn joined(&self, cluster: &str) -> Identity {
        let secret = self.token(cluster, cluster).await;
        let identity = Identity::new(&format!("uid-{cluster}"));
        identity.join(self, cluster, &secret).await.unwrap()
    }

    pub(crate) async fn get(&self, key: &Key) -> Value {
        self.durable.get(key).await.unwrap().unwrap()
    }

    pub(crate) async fn enrolment(&self, cluster: &str) -> Value {
        self.get(&Key::global(ENROLMENT, cluster)).await
    }

    /// Gives a cluster a ConfigMap.
    pub(crate) fn assign(&self, cluster: &str, name: &str, overrides: Option<&[u8]>) -> WorkId {
        let id = work_id(cluster, name);
        let template = self.bodies.intern(name.as_bytes()).unwrap();
        let overrides = overrides.map(|raw| self.bodies.intern(raw).unwrap());
        let row = v1::Row {
            object: Some(mk_object(name)),
            template_uid: format!("uid-of-{name}"),
            ..v1::Row::default()
        };
        let assignment = Assignment::new(id, template, overrides, row, 5);
        let cluster = ClusterName::new(cluster);
        let assignment = Some(Arc::new(assignment));
        self.shares.set_upsert(&cluster, id, assignment);
        id
    }

    /// A connection without a client certificate, or with one.
    pub(crate) async fn dial(&self, leaf: Option<&Identity>) -> Result<Dialled, tonic::Code> {
        dial(self.port, &self.pki, leaf).await
    }
}

pub(crate) fn work_id(cluster: &str, name: &str) -> WorkId {
    WorkId::new("", "ConfigMap", "ns", name, &format!("uid-{cluster}"))
}

pub(crate) fn mk_object(name: &str) -> v1::ObjectRef {
    v1::ObjectRef {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "ns".into(),
        name: name.into(),
    }
}

/// A connection and what only its two ends know.
pub(crate) struct Dialled {
    pub(crate) fleet: FleetClient<Channel>,
    pub(crate) enrolment: EnrolmentClient<Channel>,
    pub(crate) exporter: [u8; 32],
}

async fn dial(port: u16, pki: &Pki, leaf: Option<&Identity>) -> Result<Dialled, Code> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca().root().clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match leaf {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let chain = CertificateDer::pem_slice_iter(leaf.chain.as_bytes());
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(leaf.tls_key.serialize_pem().as_bytes());
            builder.with_client_auth_cert(chain, key.unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(DOMAIN).unwrap();
    let tls = connector.connect(name, tcp).await;
    let tls = tls.map_err(|_| CUT)?;
    let exported = tls.get_ref().1;
    let exporter = exported.export_keying_material([0; 32], EXPORTER_LABEL, None);
    let exporter = exporter.unwrap();
    let mut once = Some(TokioIo::new(tls));
    let service = tower::service_fn(move |_: Uri| {
        let taken = once.take();
        async move { taken.ok_or_else(|| std::io::Error::other("the connection is over")) }
    });
    let endpoint = Endpoint::from_static("http://hub.test");
    let channel = endpoint.connect_with_connector(service).await;
    // With TLS 1.3 a refused client certificate shows at the first read.
    let channel = channel.map_err(|_| CUT)?;
    Ok(Dialled {
        fleet: FleetClient::new(channel.clone()),
        enrolment: EnrolmentClient::new(channel),
        exporter,
    })
}

/// An agent's keys and what it was given for them.
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) cluster_uid: String,
    pub(crate) chain: String,
    pub(crate) serial: String,
    pub(crate) tls_key: KeyPair,
    pub(crate) identity_key: Ed25519KeyPair,
    pub(crate) csr_names: Vec<String>,
}

impl Identity {
    pub(crate) fn new(cluster_uid: &str) -> Self {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            cluster: String::new(),
            cluster_uid: cluster_uid.to_owned(),
            chain: String::new(),
            serial: String::new(),
            tls_key: KeyPair::generate().unwrap(),
            identity_key: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap(),
            csr_names: Vec::new(),
        }
    }

    pub(crate) fn csr(&self) -> Vec<u8> {
        let params = CertificateParams::new(self.csr_names.clone()).unwrap();
        params
            .serialize_request(&self.tls_key)
            .unwrap()
            .der()
            .to_vec()
    }

    pub(crate) fn sign(&self, what: &str, nonce: &[u8], exporter: &[u8], csr: &[u8]) -> Vec<u8> {
        let mut message = format!("flotilla {what} v1").into_bytes();
        message.extend_from_slice(nonce);
        message.extend_from_slice(exporter);
        message.extend_from_slice(digest(&SHA256, csr).as_ref());
        message.extend_from_slice(self.cluster_uid.as_bytes());
        self.identity_key.sign(&message).as_ref().to_vec()
    }

    /// A request to join on a connection, ready to be spoiled.
    pub(crate) async fn join_request(
        &self,
        dialled: &mut Dialled,
        token: &str,
        secret: &[u8],
    ) -> v1::JoinRequest {
        let challenge = dialled.enrolment.challenge(v1::ChallengeRequest {}).await;
        let nonce = challenge.unwrap().into_inner().nonce;
        let csr = self.csr();
        let signature = self.sign("join", &nonce, &dialled.exporter, &csr);
        v1::JoinRequest {
            token: token.to_owned(),
            secret: secret.to_vec().into(),
            csr_der: csr.into(),
            identity_key: self.identity_key.public_key().as_ref().to_vec().into(),
            cluster_uid: self.cluster_uid.clone(),
            nonce,
            signature: signature.into(),
        }
    }

    pub(crate) async fn join(
        mut self,
        hub: &Hub,
        token: &str,
        secret: &[u8],
    ) -> Result<Self, Status> {
        let mut dialled = hub.dial(None).await.unwrap();
        let request = self.join_request(&mut dialled, token, secret).await;
        let leaf = dialled.enrolment.join(request).await?.into_inner();
        self.take(leaf);
        Ok(self)
    }

    pub(crate) async fn recover(
        &mut self,
        hub: &Hub,
        counter: u64,
        fence: u64,
    ) -> Result<(), Status> {
        let mut dialled = hub.dial(None).await.unwrap();
        let challenge = dialled.enrolment.challenge(v1::ChallengeRequest {}).await?;
        let nonce = challenge.into_inner().nonce;
        let csr = self.csr();
        let signature = self.sign("recover", &nonce, &dialled.exporter, &csr);
        let request = v1::RecoverRequest {
            cluster: self.cluster.clone(),
            csr_der: csr.into(),
            cluster_uid: self.cluster_uid.clone(),
            nonce,
            signature: signature.into(),
            counter,
            fence,
        };
        let leaf = dialled.enrolment.recover(request).await?.into_inner();
        self.take(leaf);
        Ok(())
    }

    /// A new key and a leaf for it, by the session's identity.
    pub(crate) async fn renew(&self, hub: &Hub, counter: u64, fence: u64) -> Result<Self, Status> {
        let mut dialled = hub.dial(Some(self)).await.unwrap();
        let mut next = self.again();
        next.tls_key = KeyPair::generate().unwrap();
        let request = v1::RenewRequest {
            csr_der: next.csr().into(),
            counter,
            fence,
        };
        let leaf = dialled.fleet.renew(request).await?.into_inner();
        next.take(leaf);
        Ok(next)
    }

    /// The same leaf and TLS key once more, without the identity key.
    pub(crate) fn again(&self) -> Self {
        let tls_key = KeyPair::from_pem(&self.tls_key.serialize_pem()).unwrap();
        let random = ring::rand::SystemRandom::new();
        let unused = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            cluster: self.cluster.clone(),
            cluster_uid: self.cluster_uid.clone(),
            chain: self.chain.clone(),
            serial: self.serial.clone(),
            tls_key,
            identity_key: Ed25519KeyPair::from_pkcs8(unused.as_ref()).unwrap(),
            csr_names: Vec::new(),
        }
    }

    fn take(&mut self, leaf: v1::Leaf) {
        self.cluster = leaf.cluster;
        self.chain = leaf.chain;
        self.serial = leaf.serial;
    }

    pub(crate) fn hello(&self) -> v1::Hello {
        v1::Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            cluster_uid: self.cluster_uid.clone(),
            fence: 1,
            ..v1::Hello::default()
        }
    }
}

/// A stream that says what it is told to.
pub(crate) struct Agent {
    tx: mpsc::Sender<v1::AgentFrame>,
    rx: Streaming<v1::HubFrame>,
    /// Every byte that came, for canaries.
    pub(crate) seen: Vec<u8>,
}

impl Agent {
    /// Opens the stream.
    pub(crate) async fn open(hub: &Hub, leaf: Option<&Identity>) -> Result<Self, Code> {
        let mut dialled = hub.dial(leaf).await?;
        let (tx, frames) = mpsc::channel(64);
        let opened = dialled.fleet.session(ReceiverStream::new(frames)).await;
        let rx = opened.map_err(|status| status.code())?.into_inner();
        let seen = Vec::new();
        Ok(Self { tx, rx, seen })
    }

    /// Opens the stream and gets its Welcome.
    pub(crate) async fn greeted(hub: &Hub, leaf: &Identity) -> (Self, v1::Welcome) {
        Self::greeted_with(hub, leaf, leaf.hello()).await
    }

    pub(crate) async fn greeted_with(
        hub: &Hub,
        leaf: &Identity,
        hello: v1::Hello,
    ) -> (Self, v1::Welcome) {
        let mut agent = Self::open(hub, Some(leaf)).await.unwrap();
        agent.say(ToHub::Hello(hello)).await;
        match agent.next().await {
            Some(FromHub::Welcome(welcome)) => (agent, welcome),
            other => panic!("no Welcome but {other:?}"),
        }
    }

    pub(crate) async fn say(&mut self, frame: ToHub) {
        let frame = v1::AgentFrame { frame: Some(frame) };
        // A stream that the hub has closed shows at the next read.
        let _ = self.tx.send(frame).await;
    }

    /// The next frame; none when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<FromHub> {
        let next = timeout(PATIENCE, self.rx.message()).await;
        let frame = next.expect("the hub says nothing").ok()??;
        self.seen.extend(prost::Message::encode_to_vec(&frame));
        frame.frame
    }

    /// The next Goaway, whatever comes before it.
    pub(crate) async fn goaway(&mut self) -> v1::Goaway {
        while let Some(frame) = self.next().await {
            if let FromHub::Goaway(goaway) = frame {
                return goaway;
            }
        }
        panic!("the stream ended without Goaway");
    }

    /// Answers a comparison with nothing, then takes in everything up to the Checkpoint.
    pub(crate) async fn sync_from_nothing(&mut self) -> (Vec<v1::Delta>, v1::Checkpoint) {
        let digests = vec![0; 256 * 32].into();
        self.say(ToHub::Buckets(v1::Buckets { digests })).await;
        let mut deltas = Vec::new();
        loop {
            match self.next().await.expect("the stream goes on") {
                FromHub::BucketWant(_) => {
                    let inventory = v1::Inventory {
                        items: Vec::new(),
                        last: true,
                    };
                    self.say(ToHub::Inventory(inventory)).await;
                }
                FromHub::Delta(delta) => deltas.push(delta),
                FromHub::Checkpoint(checkpoint) => return (deltas, checkpoint),
                other => panic!("{other:?} in a sync"),
            }
        }
    }

    /// A whole body, or none when the hub says that there is none.
    pub(crate) async fn body(&mut self, digest: bytes::Bytes) -> Option<Vec<u8>> {
        let want = v1::BodyWant { digest, offset: 0 };
        self.say(ToHub::BodyWant(want)).await;
        let mut whole = Vec::new();
        loop {
            match self.next().await.expect("the stream goes on") {
                FromHub::BodyChunk(chunk) if chunk.missing => return None,
                FromHub::BodyChunk(chunk) => {
                    assert_eq!(chunk.offset, whole.len() as u64);
                    whole.extend_from_slice(&chunk.bytes);
                    if chunk.last {
                        return Some(whole);
                    }
                }
                other => panic!("{other:?} in a body"),
            }
        }
    }
}

/// Waits until something holds; what is waited for is woken by the hub, the poll is only short.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

/// Deltas by the work they are about.
pub(crate) fn by_id(deltas: &[v1::Delta]) -> BTreeMap<WorkId, v1::delta::Op> {
    let ops = deltas.iter().filter_map(|delta| delta.op.clone());
    ops.map(|op| match &op {
        v1::delta::Op::Upsert(upsert) => (WorkId::from_wire(&upsert.id).unwrap(), op),
        v1::delta::Op::Tombstone(gone) => (WorkId::from_wire(&gone.id).unwrap(), op),
    })
    .collect()
}
