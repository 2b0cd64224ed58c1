//! The isolation matrix: what agent A may do to cluster B by each RPC and each message of the wire, with
//! the positive twin that shows the same thing working for its own.
//!
//! The descriptor is walked: an RPC or a message of a frame without its row fails the test. Each row is
//! written down where it has been shown, and the whole is printed:
//! `cargo test -p flotilla-hub --test it the_matrix_holds -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use flotilla_hub::fleet::share::{ClusterName, PendingRemoval};
use flotilla_proto::DESCRIPTORS;
use flotilla_proto::digest::Digest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::hub_frame::Frame as FromHub;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

use super::support::{Agent, CUT, Hub, Identity, mk_hub, mk_object, work_id};

/// Every RPC and message: whether it carries something that a cluster owns, and so has to be shown.
const ROWS: &[(&str, bool)] = &[
    ("rpc Enrolment.Challenge", true),
    ("rpc Enrolment.Join", true),
    ("rpc Enrolment.Recover", true),
    ("rpc Fleet.Renew", true),
    ("rpc Fleet.Session", true),
    ("agent ack", true),
    ("agent answer", false),
    ("agent body_want", true),
    ("agent buckets", true),
    ("agent capacity", true),
    ("agent credit", false),
    ("agent found", true),
    ("agent goaway", false),
    ("agent health", false),
    ("agent hello", true),
    ("agent inventory", true),
    ("agent nack", true),
    ("agent ping", false),
    ("agent pong", false),
    ("agent profiles", false),
    ("agent status", true),
    ("hub body_chunk", true),
    ("hub bucket_want", true),
    ("hub checkpoint", true),
    ("hub credit", false),
    ("hub delta", true),
    ("hub goaway", false),
    ("hub hold", true),
    ("hub ping", false),
    ("hub pong", false),
    ("hub query", false),
    ("hub release", true),
    ("hub snap_begin", false),
    ("hub snap_end", false),
    ("hub snap_item", false),
    ("hub status_ack", true),
    ("hub trust", false),
    ("hub welcome", true),
];

#[test]
fn every_rpc_and_message_has_its_row() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut found = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                found.insert(format!("rpc {}.{}", service.name(), method.name()));
            }
        }
        for message in &file.message_type {
            let side = match message.name() {
                "AgentFrame" => "agent",
                "HubFrame" => "hub",
                _ => continue,
            };
            let fields = message.field.iter();
            found.extend(fields.map(|field| format!("{side} {}", field.name())));
        }
    }
    let rows: BTreeSet<String> = ROWS.iter().map(|(row, _)| (*row).to_owned()).collect();
    assert_eq!(found, rows);
    // No message but a token's or a recovery's says a cluster's name to the hub.
    let mut naming = BTreeMap::new();
    for message in set.file.iter().flat_map(|file| &file.message_type) {
        for field in &message.field {
            if field.name() == "cluster" {
                naming.insert(message.name().to_owned(), ());
            }
        }
    }
    let naming: Vec<_> = naming.into_keys().collect();
    assert_eq!(naming, ["Leaf", "RecoverRequest"]);
}

/// What was shown: row to what happened with one's own and with another's.
#[derive(Default)]
struct Matrix(BTreeMap<&'static str, (String, String)>);

impl Matrix {
    fn shows(&mut self, row: &'static str, own: impl Display, others: impl Display) {
        let before = self.0.insert(row, (own.to_string(), others.to_string()));
        assert!(before.is_none(), "{row} is shown twice");
    }

    /// The table that people read.
    fn print(&self) {
        println!("{:<24} {:<47} another's", "", "own");
        for (row, carries) in ROWS {
            let (own, others) = match self.0.get(row) {
                Some((own, others)) => (own.as_str(), others.as_str()),
                None => ("-", "carries nothing that a cluster owns"),
            };
            assert_eq!(*carries, self.0.contains_key(row), "{row}");
            println!("{row:<24} {own:<47} {others}");
        }
    }
}

#[tokio::test]
async fn the_matrix_holds() {
    let mut matrix = Matrix::default();
    nonce_is_of_its_connection(&mut matrix).await;
    join_gives_the_tokens_name_only(&mut matrix).await;
    recover_needs_the_identity_key(&mut matrix).await;
    no_rpc_without_a_leaf(&mut matrix).await;
    a_hello_names_no_cluster(&mut matrix).await;
    bodies(&mut matrix).await;
    reports_about_foreign_works(&mut matrix).await;
    capacity_is_ones_own(&mut matrix).await;
    removals(&mut matrix).await;
    inventories(&mut matrix).await;
    a_canary_never_travels(&mut matrix).await;
    matrix.print();
}

/// Two clusters that each have a work of their own, one of a common template.
async fn mk_two() -> (Hub, Identity, Identity, WorkId, WorkId) {
    let hub = mk_hub().await;
    let (a, b) = (hub.joined("a").await, hub.joined("b").await);
    let of_a = hub.assign("a", "app", Some(b"overrides of a"));
    let of_b = hub.assign("b", "app", Some(b"overrides of b: CANARY"));
    hub.assign("b", "secret of b: CANARY", None);
    (hub, a, b, of_a, of_b)
}

fn contains(seen: &[u8], what: &[u8]) -> bool {
    seen.windows(what.len()).any(|window| window == what)
}

/// Everything said before has been read when its answer comes.
async fn settled(agent: &mut Agent) {
    agent.say(ToHub::Ping(v1::Ping { t: 99 })).await;
    loop {
        match agent.next().await {
            Some(FromHub::Pong(pong)) if pong.t == 99 => return,
            Some(FromHub::Goaway(goaway)) => panic!("{goaway:?}"),
            Some(_) => {}
            None => panic!("the stream ended"),
        }
    }
}

async fn nonce_is_of_its_connection(matrix: &mut Matrix) {
    let hub = mk_hub().await;
    let secret = hub.token("a", "a").await;
    let agent = Identity::new("uid-a");
    let (mut one, mut two) = (hub.dial(None).await.unwrap(), hub.dial(None).await.unwrap());
    let request = agent.join_request(&mut one, "a", &secret).await;
    let foreign = two.enrolment.join(request.clone()).await.err();
    assert_eq!(foreign.map(|s| s.code()), Some(Code::FailedPrecondition));
    assert!(one.enrolment.join(request).await.is_ok());
    matrix.shows(
        "rpc Enrolment.Challenge",
        "its nonce lets a join through",
        "a nonce of another connection: FailedPrecondition",
    );
}

async fn join_gives_the_tokens_name_only(matrix: &mut Matrix) {
    let hub = mk_hub().await;
    hub.joined("b").await;
    let secret = hub.token("for-a", "a").await;
    let mut agent = Identity::new("uid-a");
    agent.csr_names = vec!["b.default.agents.hub.test".to_owned()];
    let leaf = agent.join(&hub, "for-a", &secret).await.unwrap();
    assert_eq!(leaf.cluster, "a");
    assert_eq!(hub.enrolment("b").await["spec"]["clusterUid"], "uid-b");
    matrix.shows(
        "rpc Enrolment.Join",
        format!("the token's name: {}", leaf.cluster),
        "a CSR for b: the name in it is ignored, b stands",
    );
}

async fn recover_needs_the_identity_key(matrix: &mut Matrix) {
    let hub = mk_hub().await;
    let (mut a, b) = (hub.joined("a").await, hub.joined("b").await);
    "b".clone_into(&mut a.cluster);
    let foreign = a.recover(&hub, 1, 1).await.err().unwrap();
    assert_eq!(foreign.code(), Code::Unauthenticated);
    a.cluster_uid = b.cluster_uid.clone();
    let foreign = a.recover(&hub, 1, 1).await.err().unwrap();
    assert_eq!(foreign.code(), Code::Unauthenticated);
    let unknown = foreign.message().to_owned();
    "nobody".clone_into(&mut a.cluster);
    let nobody = a.recover(&hub, 1, 1).await.err().unwrap();
    assert_eq!(
        nobody.message(),
        unknown,
        "nobody learns which clusters exist"
    );
    "a".clone_into(&mut a.cluster);
    a.cluster_uid = "uid-a".into();
    assert!(a.recover(&hub, 1, 1).await.is_ok());
    matrix.shows(
        "rpc Enrolment.Recover",
        "with its own key: a new leaf",
        format!("b's name, also with b's UID: {:?}", nobody.code()),
    );
}

async fn no_rpc_without_a_leaf(matrix: &mut Matrix) {
    let (hub, a, ..) = mk_two().await;
    let refused = Agent::open(&hub, None).await.err();
    assert_eq!(refused, Some(Code::Unauthenticated));
    let mut bare = hub.dial(None).await.unwrap();
    let renew = v1::RenewRequest {
        csr_der: a.csr().into(),
        counter: 1,
        fence: 1,
    };
    let refused = bare.fleet.renew(renew).await.err().map(|s| s.code());
    assert_eq!(refused, Some(Code::Unauthenticated));
    // The hub's own certificate is signed by the same root and is no leaf.
    let server = hub
        .pki
        .issue_server(&["a.default.agents.hub.test".to_owned()]);
    let server = server.unwrap();
    let mut fake = a.again();
    fake.tls_key = rcgen::KeyPair::try_from(server.key.secret_der()).unwrap();
    fake.chain = rcgen_pem(&server.chain[0]);
    let refused = Agent::open(&hub, Some(&fake)).await.err();
    assert_eq!(refused, Some(CUT));
    assert!(Agent::open(&hub, Some(&a)).await.is_ok());
    assert!(a.renew(&hub, 1, 1).await.is_ok());
    for row in ["rpc Fleet.Renew", "rpc Fleet.Session"] {
        matrix.shows(
            row,
            "with its leaf: served",
            "without: Unauthenticated; a server's certificate: cut",
        );
    }
}

fn rcgen_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

async fn a_hello_names_no_cluster(matrix: &mut Matrix) {
    let (hub, a, b, ..) = mk_two().await;
    let mut agent = Agent::open(&hub, Some(&a)).await.unwrap();
    let hello = v1::Hello {
        cluster_uid: b.cluster_uid.clone(),
        ..a.hello()
    };
    agent.say(ToHub::Hello(hello)).await;
    assert!(agent.goaway().await.r#final, "the UID of another cluster");
    // A cursor of b, in a's hands, opens nothing: it is only a reason to be careful.
    let (mut of_b, _) = Agent::greeted(&hub, &b).await;
    let (_, checkpoint) = of_b.sync_from_nothing().await;
    let with_cursor = |leaf: &Identity| v1::Hello {
        cursor: checkpoint.cursor.clone(),
        ..leaf.hello()
    };
    let (_, welcome) = Agent::greeted_with(&hub, &a, with_cursor(&a)).await;
    assert_eq!(welcome.mode(), v1::Mode::Recovery);
    let (_, welcome) = Agent::greeted_with(&hub, &b, with_cursor(&b)).await;
    assert_eq!(welcome.mode(), v1::Mode::Diff);
    matrix.shows(
        "agent hello",
        "its UID: a welcome",
        "b's UID: a final goaway",
    );
    matrix.shows("hub welcome", "its cursor: Diff", "b's cursor: Recovery");
}

async fn bodies(matrix: &mut Matrix) {
    let (hub, a, b, ..) = mk_two().await;
    let (mut agent, _) = Agent::greeted(&hub, &a).await;
    agent.sync_from_nothing().await;
    let foreign = [
        Digest::of(b"overrides of b: CANARY"),
        Digest::of(b"secret of b: CANARY"),
        Digest::of(b"nobody's"),
    ];
    for digest in foreign {
        assert_eq!(agent.body(digest.to_wire()).await, None);
    }
    let own = agent.body(Digest::of(b"overrides of a").to_wire()).await;
    assert!(own.is_some());
    assert!(agent.body(Digest::of(b"app").to_wire()).await.is_some());
    let (mut twin, _) = Agent::greeted(&hub, &b).await;
    twin.sync_from_nothing().await;
    assert!(twin.body(foreign[0].to_wire()).await.is_some());
    // And only as long as an assignment refers to it.
    hub.shares
        .set_upsert(&ClusterName::new("b"), work_id("b", "app"), None);
    assert_eq!(twin.body(foreign[0].to_wire()).await, None);
    matrix.shows(
        "agent body_want",
        "a digest of its share: the body",
        "of b's, or nobody's: missing",
    );
    matrix.shows(
        "hub body_chunk",
        "its bytes whole",
        "none; nor after an assignment went",
    );
}

async fn reports_about_foreign_works(matrix: &mut Matrix) {
    let (hub, a, _, of_a, of_b) = mk_two().await;
    let (mut agent, _) = Agent::greeted(&hub, &a).await;
    agent.sync_from_nothing().await;
    let status = |id: WorkId, k| v1::Status {
        id: id.to_wire(),
        fence: 1,
        k,
        applied: true,
        ..v1::Status::default()
    };
    let nack = |id: WorkId| v1::Nack {
        id: id.to_wire(),
        detail: "refused".into(),
        ..v1::Nack::default()
    };
    let found = |id: WorkId| v1::Found {
        id: id.to_wire(),
        kind: v1::FoundKind::Orphan.into(),
        ..v1::Found::default()
    };
    let clusters = ["a", "b"].map(ClusterName::new);
    let applied = |cluster: &ClusterName, id| hub.reports.get(cluster, id).map(|r| r.applied);
    for (row, frame) in [
        ("agent status", ToHub::Status(status(of_b, 1))),
        ("agent nack", ToHub::Nack(nack(of_b))),
        ("agent found", ToHub::Found(found(of_b))),
    ] {
        agent.say(frame).await;
        settled(&mut agent).await;
        for cluster in &clusters {
            assert_eq!(applied(cluster, of_b), None, "{row} about {cluster}");
        }
    }
    agent.say(ToHub::Found(found(of_a))).await;
    settled(&mut agent).await;
    assert_eq!(applied(&clusters[0], of_a), None, "a find is no report");
    agent.say(ToHub::Status(status(of_a, 2))).await;
    let ack = loop {
        if let FromHub::StatusAck(ack) = agent.next().await.unwrap() {
            break ack;
        }
    };
    assert_eq!(ack.k, 2);
    settled(&mut agent).await;
    assert_eq!(applied(&clusters[0], of_a), Some(true));
    let refused = "its work: the report says applied, then refused";
    agent.say(ToHub::Nack(nack(of_a))).await;
    settled(&mut agent).await;
    assert_eq!(applied(&clusters[0], of_a), Some(false));
    assert_eq!(applied(&clusters[1], of_a), None);
    for row in ["agent status", "agent nack"] {
        let of_b = clusters.each_ref().map(|c| applied(c, of_b));
        matrix.shows(
            row,
            refused,
            format!("b's work: reports of a and b {of_b:?}"),
        );
    }
    matrix.shows(
        "agent found",
        "its work: a hint for people, no report",
        "b's work: no report either",
    );
    matrix.shows(
        "hub status_ack",
        format!("of its own status: k {}", ack.k),
        "a number that the asker gave, no id",
    );
}

async fn capacity_is_ones_own(matrix: &mut Matrix) {
    let (hub, a, b, ..) = mk_two().await;
    let capacity = |nodes_total| v1::Capacity {
        nodes_total,
        ..v1::Capacity::default()
    };
    for (leaf, nodes) in [(&a, 1), (&b, 2)] {
        let (mut agent, _) = Agent::greeted(&hub, leaf).await;
        agent.say(ToHub::Capacity(capacity(nodes))).await;
        settled(&mut agent).await;
    }
    for (cluster, nodes) in [("a", 1), ("b", 2)] {
        let (status, _) = hub.reports.cluster(&ClusterName::new(cluster));
        assert_eq!(status.unwrap().node_summary.unwrap().total_num, nodes);
    }
    matrix.shows(
        "agent capacity",
        "its Cluster has its nodes",
        "b's Cluster keeps b's",
    );
}

async fn removals(matrix: &mut Matrix) {
    let (hub, a, b, ..) = mk_two().await;
    let mk_removal = |cluster: &str| PendingRemoval {
        id: work_id(cluster, "gone"),
        template_uid: "uid-of-gone".into(),
        predecessors: Vec::new(),
        made_at: 7,
        reason: "Deleted".into(),
        preserve: false,
        object: mk_object("gone"),
        derived: false,
    };
    for cluster in ["a", "b"] {
        hub.shares
            .set_removal(&ClusterName::new(cluster), mk_removal(cluster));
    }
    let ack = |cluster: &str| {
        ToHub::Ack(v1::Ack {
            n: 0,
            tombstones: vec![v1::SettledTombstone {
                id: work_id(cluster, "gone").to_wire(),
                made_at: 7,
            }],
        })
    };
    let (mut agent, _) = Agent::greeted(&hub, &a).await;
    agent.sync_from_nothing().await;
    agent.say(ack("b")).await;
    settled(&mut agent).await;
    assert!(hub.reports.take_settled().is_empty());
    agent.say(ack("a")).await;
    settled(&mut agent).await;
    let settled_now = hub.reports.take_settled();
    let of_a = settled_now.iter().map(|s| s.cluster.as_str());
    assert_eq!(of_a.collect::<Vec<_>>(), ["a"]);
    // A release for b is nothing to a.
    let (mut of_b, _) = Agent::greeted(&hub, &b).await;
    of_b.sync_from_nothing().await;
    let order = flotilla_hub::fleet::sessions::ReleaseOrder {
        approval: "person".into(),
        ids: Some([work_id("b", "gone")].into()),
    };
    assert!(hub.sessions.release(&ClusterName::new("b"), order));
    settled(&mut of_b).await;
    settled(&mut agent).await;
    let release = v1::HubFrame {
        frame: Some(FromHub::Release(v1::Release {
            approval: "person".into(),
            ids: vec![work_id("b", "gone").to_wire()],
        })),
    };
    assert!(contains(&of_b.seen, &release.encode_to_vec()));
    assert!(!contains(&agent.seen, b"person"));
    matrix.shows(
        "agent ack",
        "its tombstone: settled",
        "b's tombstone: not settled",
    );
    matrix.shows("hub release", "sent to whom it names", "never seen by a");
}

async fn inventories(matrix: &mut Matrix) {
    let (hub, a, _, of_a, of_b) = mk_two().await;
    let (mut agent, _) = Agent::greeted(&hub, &a).await;
    let digests = vec![7; 256 * 32].into();
    agent.say(ToHub::Buckets(v1::Buckets { digests })).await;
    assert!(matches!(agent.next().await, Some(FromHub::BucketWant(_))));
    // a claims to hold b's work: to the hub that is a work of a's that nobody knows.
    let item = |id: WorkId| v1::InventoryItem {
        id: id.to_wire(),
        content_digest: Digest::of(b"old").to_wire(),
        generation: None,
        state: v1::WorkState::Live.into(),
    };
    let inventory = v1::Inventory {
        items: vec![item(of_a), item(of_b)],
        last: true,
    };
    agent.say(ToHub::Inventory(inventory)).await;
    let (mut unknown, mut said) = (Vec::new(), Vec::new());
    loop {
        match agent.next().await.unwrap() {
            FromHub::Hold(hold) => unknown.extend(hold.unknown),
            FromHub::Delta(delta) => said.push(delta),
            FromHub::Checkpoint(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unknown, [of_b.to_wire()]);
    let said = super::support::by_id(&said);
    assert_eq!(said.keys().copied().collect::<Vec<_>>(), [of_a]);
    matrix.shows(
        "agent buckets",
        "compared with its share",
        "b's share has no part in it",
    );
    matrix.shows(
        "agent inventory",
        "its work: told what differs",
        "b's work: unknown, to be held",
    );
    matrix.shows(
        "hub bucket_want",
        "asks for what differs",
        "bucket numbers, no ids",
    );
    matrix.shows(
        "hub hold",
        "names what a claimed and nobody gave it",
        "tells nothing of b",
    );
}

async fn a_canary_never_travels(matrix: &mut Matrix) {
    let (hub, a, b, of_a, of_b) = mk_two().await;
    let (mut agent, _) = Agent::greeted(&hub, &a).await;
    let (deltas, _) = agent.sync_from_nothing().await;
    assert!(super::support::by_id(&deltas).contains_key(&of_a));
    // Changes of b while a is connected.
    hub.assign("b", "app", Some(b"overrides of b, edited: CANARY"));
    hub.assign("a", "app", Some(b"overrides of a, edited"));
    while !matches!(agent.next().await.unwrap(), FromHub::Checkpoint(_)) {}
    settled(&mut agent).await;
    let canaries = [
        Digest::of(b"overrides of b: CANARY"),
        Digest::of(b"overrides of b, edited: CANARY"),
        Digest::of(b"secret of b: CANARY"),
    ];
    for needle in [&b"CANARY"[..], b"uid-b", &of_b.as_bytes()[..]] {
        assert!(!contains(&agent.seen, needle));
    }
    for canary in canaries {
        assert!(!contains(&agent.seen, canary.as_bytes()));
    }
    let edited = Digest::of(b"overrides of a, edited");
    assert!(contains(&agent.seen, edited.as_bytes()));
    let (mut twin, _) = Agent::greeted(&hub, &b).await;
    twin.sync_from_nothing().await;
    assert!(contains(&twin.seen, canaries[1].as_bytes()));
    matrix.shows(
        "hub delta",
        "its own edits arrive",
        "b's ids, digests and texts: not one byte",
    );
    matrix.shows(
        "hub checkpoint",
        "after its own edits",
        "b's edits: not one byte",
    );
}
