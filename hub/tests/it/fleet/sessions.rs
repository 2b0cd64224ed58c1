//! Sessions over the wire: a share gets to its agent, reports come back, and a second session of a
//! cluster takes the place of the first.

use std::sync::Arc;

use flotilla_hub::fleet::reports::Liveness;
use flotilla_hub::fleet::share::{ClusterName, PendingRemoval};
use flotilla_proto::convert::body;
use flotilla_proto::digest::{Digest, SetDigest};
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::delta::Op;
use flotilla_proto::v1::hub_frame::Frame as FromHub;

use super::support::{Agent, by_id, eventually, mk_hub, mk_object};

#[tokio::test]
async fn a_share_gets_to_its_agent_and_reports_come_back() {
    let hub = mk_hub().await;
    let leaf = hub.joined("edge").await;
    let id = hub.assign("edge", "app", Some(b"overrides"));
    let (mut agent, welcome) = Agent::greeted(&hub, &leaf).await;
    assert_eq!(welcome.mode(), v1::Mode::Diff);
    let (deltas, checkpoint) = agent.sync_from_nothing().await;
    let ops = by_id(&deltas);
    let Some(Op::Upsert(upsert)) = ops.get(&id) else {
        panic!("no upsert but {ops:?}");
    };
    let edge = ClusterName::new("edge");
    assert_eq!(
        checkpoint.set_digest,
        hub.shares.set_digest(&edge).to_wire()
    );
    let compressed = agent.body(upsert.template_digest.clone()).await.unwrap();
    let raw = body::decompress(&compressed, Digest::of(b"app")).unwrap();
    assert_eq!(raw, b"app");

    let ack = v1::Ack {
        n: checkpoint.n,
        tombstones: Vec::new(),
    };
    agent.say(ToHub::Ack(ack)).await;
    let status = v1::Status {
        id: id.to_wire(),
        generation: upsert.generation,
        fence: 1,
        k: 1,
        applied: true,
        health: v1::HealthState::Healthy.into(),
        status: br#"{"replicas":2}"#.to_vec().into(),
        ..v1::Status::default()
    };
    agent.say(ToHub::Status(status)).await;
    assert!(matches!(agent.next().await, Some(FromHub::StatusAck(ack)) if ack.k == 1));
    let report = hub.reports.get(&edge, id).expect("a report");
    assert!(report.applied && report.status.unwrap()["replicas"] == 2);
    assert_eq!(hub.reports.cluster(&edge).1, Some(Liveness::Connected));

    // The same set again costs one Hello and one Welcome.
    let mut set = SetDigest::default();
    set.insert(id, hub.shares.set(&edge).get(id).unwrap());
    let hello = v1::Hello {
        cursor: checkpoint.cursor.clone(),
        set_digest: set.digest().to_wire(),
        ..leaf.hello()
    };
    let (_second, welcome) = Agent::greeted_with(&hub, &leaf, hello).await;
    assert_eq!((welcome.mode(), welcome.status_k), (v1::Mode::InSync, 1));
    assert_eq!(agent.goaway().await.reason, "a newer session has the place");
}

#[tokio::test]
async fn a_removal_is_said_acknowledged_by_name_and_settled() {
    let hub = mk_hub().await;
    let leaf = hub.joined("edge").await;
    let edge = ClusterName::new("edge");
    let id = hub.assign("edge", "app", None);
    let (mut agent, _) = Agent::greeted(&hub, &leaf).await;
    agent.sync_from_nothing().await;
    hub.shares.set_upsert(&edge, id, None);
    hub.shares.set_removal(
        &edge,
        PendingRemoval {
            id,
            template_uid: "uid-of-app".into(),
            predecessors: Vec::new(),
            made_at: 9,
            reason: "Deleted".into(),
            preserve: false,
            object: mk_object("app"),
            derived: false,
        },
    );
    let (made_at, checkpoint) = said_tombstone(&mut agent).await;
    let empty = SetDigest::default().digest();
    assert_eq!(checkpoint.set_digest, empty.to_wire());
    let gone = v1::SettledTombstone {
        id: id.to_wire(),
        made_at,
    };
    let ack = v1::Ack {
        n: checkpoint.n,
        tombstones: vec![gone],
    };
    agent.say(ToHub::Ack(ack)).await;
    let mut settled = Vec::new();
    eventually("the removal is settled", || {
        settled.extend(hub.reports.take_settled());
        !settled.is_empty()
    })
    .await;
    assert_eq!((settled[0].id, settled[0].made_at), (id, 9));
    drop(agent);
    let lost = Liveness::Lost {
        reason: "ConnectionLost",
    };
    eventually("the loss is seen", || {
        hub.reports.cluster(&edge).1.as_ref() == Some(&lost)
    })
    .await;
}

/// The tombstone that is said next, and the Checkpoint after it.
async fn said_tombstone(agent: &mut Agent) -> (u64, v1::Checkpoint) {
    let mut made_at = None;
    loop {
        match (agent.next().await.expect("the stream goes on"), made_at) {
            (FromHub::Delta(delta), _) => {
                if let Some(Op::Tombstone(gone)) = delta.op {
                    made_at = Some(gone.made_at);
                }
            }
            (FromHub::Checkpoint(checkpoint), Some(made_at)) => return (made_at, checkpoint),
            (FromHub::Checkpoint(_), None) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lower_fence_is_refused_while_a_higher_one_lives() {
    let hub = mk_hub().await;
    let leaf = hub.joined("edge").await;
    let with_fence = |fence| v1::Hello {
        fence,
        ..leaf.hello()
    };
    let (mut first, _) = Agent::greeted_with(&hub, &leaf, with_fence(5)).await;
    let mut lower = Agent::open(&hub, Some(&leaf)).await.unwrap();
    lower.say(ToHub::Hello(with_fence(4))).await;
    assert_eq!(lower.goaway().await.reason, "another leader has the place");
    let (_second, _) = Agent::greeted_with(&hub, &leaf, with_fence(5)).await;
    assert_eq!(first.goaway().await.reason, "a newer session has the place");
}

#[tokio::test]
async fn a_hub_that_does_not_lead_serves_nobody() {
    let hub = mk_hub().await;
    let leaf = hub.joined("edge").await;
    let (mut agent, _) = Agent::greeted(&hub, &leaf).await;
    hub.server.stand_down();
    let goaway = agent.goaway().await;
    assert!(!goaway.r#final, "{goaway:?}");
    let refused = Agent::open(&hub, Some(&leaf)).await.err();
    assert_eq!(refused, Some(tonic::Code::Unavailable));
}

#[tokio::test]
async fn a_hundred_clusters_with_two_override_sets_share_three_bodies() {
    let hub = mk_hub().await;
    let template = hub.bodies.intern(b"template").unwrap();
    for n in 0..100 {
        let cluster = ClusterName::new(&format!("c{n}"));
        let raw = format!("overrides {}", n % 2);
        let overrides = hub.bodies.intern(raw.as_bytes()).unwrap();
        let id = super::support::work_id(cluster.as_str(), "app");
        let assignment = flotilla_hub::fleet::share::Assignment::new(
            id,
            Arc::clone(&template),
            Some(overrides),
            v1::Row::default(),
            1,
        );
        hub.shares
            .set_upsert(&cluster, id, Some(Arc::new(assignment)));
    }
    drop(template);
    assert_eq!(hub.bodies.len(), 3);
    for n in 0..100 {
        let cluster = ClusterName::new(&format!("c{n}"));
        let id = super::support::work_id(cluster.as_str(), "app");
        hub.shares.set_upsert(&cluster, id, None);
    }
    assert_eq!(hub.bodies.len(), 0, "nobody refers to them any more");
}
