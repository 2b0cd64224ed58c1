//! Who may speak for a cluster: a revoked agent is cut off on its live stream, and its workloads stay.
//!
//! The whole matrix of tokens, certificates and messages is proven at the services, in the hub's own
//! tests; here is what shows from outside of a fleet, each with what is allowed beside it.

mod speaker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use flotilla_agent::identity::{Identity, IdentityError, enrol};
use flotilla_agent::ledger::Secrets;
use flotilla_agent::member::memory::MemoryMember;
use flotilla_agent::session::link::now_unix;
use flotilla_proto::join::JoinString;
use serde_json::{Value, json};

use self::speaker::Speaker;

use super::common::{
    CLUSTER, CONFIG_MAP, IS_THERE, Played, alone, arrives, config_map, holds, place_config_map,
    read,
};
use crate::real::{NotYet, eventually};
use crate::scenario::{Scenario, Stage, expect};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[
    alone("a-token-lets-one-in-once", tokens),
    alone("each-cluster-hears-its-own", isolation),
    alone("revoked-on-a-live-stream", revoked),
];

const ENROLMENT: (&str, &str) = ("fleet.flotilla.dev/v1alpha1", "Enrolment");
/// The rule: no stream of a revoked cluster lives longer.
const CUT_MAX: Duration = Duration::from_secs(5);
/// What asking for it and looking for it may take beside, on two busy cores.
const NOISE_MAX: Duration = Duration::from_secs(1);

fn revoked<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        place_config_map(stage, "app", "one", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "app"), IS_THERE).await?;
        let agent = stage.world.member("edge").agent();
        let live = connected(stage).await?;
        let began = Instant::now();
        stage.world.flotilla(&["revoke", "edge"]).await?;
        let cut = "the revoked cluster has no live stream";
        eventually(cut, CUT_MAX + NOISE_MAX, async || {
            match connected(stage).await.map_err(NotYet::again)? {
                now if now + 1 == live => Ok(()),
                now => Err(NotYet::again(format!("{now} streams of {live} live"))),
            }
        })
        .await?;
        let cut_after = began.elapsed().as_secs_f64();
        println!("    revoked: the stream ended {cut_after:.2} s after the command began");
        stage.door.apply(config_map(ns, "app", "two")).await?;
        place_config_map(stage, "other", "one", &["public"]).await?;
        arrives(stage, &["public"], CONFIG_MAP, (ns, "other"), IS_THERE).await?;
        let kept = read(stage, "edge", CONFIG_MAP, (ns, "app")).await?;
        expect(
            kept["data"]["key"] == "one",
            "a revoked cluster got an edit",
        )?;

        stage
            .door
            .merge(
                ENROLMENT,
                ("", "edge"),
                json!({"spec": {"state": "Active"}}),
            )
            .await?;
        agent.restart_if_ended().await?;
        stage.world.cluster_ready("edge").await?;
        arrives(
            stage,
            &["edge"],
            CONFIG_MAP,
            (ns, "app"),
            ("holds two", &holds("two")),
        )
        .await
    })
}

/// How many clusters have a live session, as the hub counts them.
async fn connected(stage: &Stage<'_>) -> Result<u64, WorldError> {
    let metrics = stage.world.hub().metrics().await?;
    let line = metrics
        .lines()
        .find_map(|l| l.strip_prefix("flotilla_hub_clusters_connected "));
    let number = line.and_then(|n| n.trim().parse().ok());
    number.ok_or_else(|| WorldError::Expected(format!("no count of clusters in\n{metrics}")))
}

/// Somebody with a cluster of their own who wants to join.
#[derive(Default)]
struct Stranger {
    cluster: MemoryMember,
}

impl Stranger {
    /// The name it was given, or why it was not let in.
    async fn join(&self, join: &JoinString, cluster_uid: &str) -> Result<String, IdentityError> {
        let secrets = Secrets::new(Arc::new(self.cluster.clone()), "flotilla-system");
        let mut identity = Identity::load(secrets).await?;
        enrol::join(&mut identity, join, cluster_uid, now_unix()).await?;
        Ok(identity.cluster().to_owned())
    }
}

async fn token(stage: &Stage<'_>, name: &str) -> Result<JoinString, WorldError> {
    let printed = stage.world.flotilla(&["token", "create", name]).await?;
    let parsed = printed.trim().parse();
    parsed.map_err(|e| WorldError::Expected(format!("{e}")))
}

async fn uid(stage: &Stage<'_>, member: &str) -> Result<String, WorldError> {
    let system = read(stage, member, ("v1", "Namespace"), ("", "kube-system")).await?;
    Ok(system["metadata"]["uid"].as_str().unwrap_or("").to_owned())
}

/// A wrong secret, an expired, unknown or used token, a hub with another root, and the UID of a member
/// that is there already: none of them gets in. The right token does, under its own name, and once.
fn tokens<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let good = token(stage, "stranger").await?;
        let expired = expired(stage, &good).await?;
        let change = |change: &dyn Fn(&mut JoinString)| {
            let mut join = good.clone();
            change(&mut join);
            join
        };
        let edge = uid(stage, "edge").await?;
        for (what, join, cluster_uid) in [
            ("a wrong secret", change(&|j| j.secret[0] ^= 1), "uid-1"),
            (
                "a token that is not there",
                change(&|j| j.token = "other-0".into()),
                "uid-1",
            ),
            (
                "a hub with another root",
                change(&|j| j.root_spki_sha256 = vec!["0".repeat(64)]),
                "uid-1",
            ),
            ("an expired token", expired.clone(), "uid-1"),
            ("the UID of another member", good.clone(), edge.as_str()),
        ] {
            let refused = Stranger::default().join(&join, cluster_uid).await;
            expect(refused.is_err(), format!("{what} let {refused:?} in"))?;
            let cluster = stage.door.get(CLUSTER, ("", "stranger")).await?;
            expect(cluster.is_none(), format!("{what} made a Cluster"))?;
        }
        let stranger = Stranger::default();
        for turn in ["at first", "again after a lost answer"] {
            let joined = stranger.join(&good, "uid-1").await;
            let joined = joined.map_err(|e| WorldError::Expected(format!("{turn}: {e}")))?;
            expect(joined == "stranger", format!("{turn} it is {joined}"))?;
        }
        let second = Stranger::default().join(&good, "uid-1").await;
        expect(second.is_err(), "a used token let another key in")?;
        stage
            .world
            .flotilla(&["unjoin", "stranger", "--timeout=60"])
            .await
            .map(drop)
    })
}

/// The same token once more, but for its name and its end.
async fn expired(stage: &Stage<'_>, good: &JoinString) -> Result<JoinString, WorldError> {
    let kind = ("fleet.flotilla.dev/v1alpha1", "JoinToken");
    let found = stage.door.get(kind, ("", &good.token)).await?;
    let mut spec = found.map(|t| t["spec"].clone()).unwrap_or_default();
    spec["expiresAt"] = json!("2020-01-01T00:00:00Z");
    let mut join = good.clone();
    join.token = "stranger-expired".to_owned();
    let metadata = json!({"name": join.token});
    let token = json!({"apiVersion": kind.0, "kind": kind.1, "metadata": metadata, "spec": spec});
    stage.door.create(token).await?;
    Ok(join)
}

fn canaries(ns: &str) -> Value {
    let rule = |cluster: &str| {
        let value = format!("canary-of-{cluster}");
        json!({
            "targetCluster": {"clusterNames": [cluster]},
            "overriders": {"annotationsOverrider": [
                {"operator": "add", "value": {"example.org/canary": value}},
            ]},
        })
    };
    json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy",
        "metadata": {"name": "canaries", "namespace": ns},
        "spec": {
            "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "app"}],
            "overrideRules": [rule("edge"), rule("public")],
        },
    })
}

/// With its own leaf a cluster hears its own share whole, nothing of another's, cannot fetch what is
/// another's, and cannot speak as another.
fn isolation<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let name = (stage.ns.as_str(), "app");
        let both = ["edge", "public"];
        stage.door.apply(canaries(&stage.ns)).await?;
        place_config_map(stage, "app", "one", &both).await?;
        for member in both {
            let canary = format!("canary-of-{member}");
            let has = |o: &Value| o["metadata"]["annotations"]["example.org/canary"] == canary;
            arrives(stage, &[member], CONFIG_MAP, name, ("has its canary", &has)).await?;
        }
        for member in both {
            stage.world.member(member).agent().kill().await?;
        }
        let heard = listen(stage, both).await;
        for member in both {
            stage.world.member(member).agent().start()?;
        }
        heard?;
        for member in both {
            stage.world.cluster_ready(member).await?;
        }
        stage.door.apply(config_map(name.0, "app", "two")).await?;
        arrives(stage, &both, CONFIG_MAP, name, ("holds two", &holds("two"))).await
    })
}

async fn listen(stage: &Stage<'_>, both: [&str; 2]) -> Result<(), WorldError> {
    let mut others: Vec<(Speaker, _)> = Vec::new();
    for member in both {
        let mut speaker = Speaker::open(stage, member).await?;
        speaker
            .hello(&uid(stage, member).await?, fence(stage, member).await?)
            .await;
        let digests = speaker.sync().await?;
        for digest in &digests {
            expect(speaker.body(*digest).await?, "its own body is refused")?;
        }
        for of in both {
            let hears = speaker.heard.contains(&format!("canary-of-{of}"));
            let what = format!("{member} hears the canary of {of}: {hears}");
            expect(hears == (of == member), what)?;
        }
        others.push((speaker, digests));
    }
    let (foreign, own) = (others[1].1.clone(), others[0].1.clone());
    let speaker = &mut others[0].0;
    let mut asked = 0;
    for digest in foreign.difference(&own) {
        expect(!speaker.body(*digest).await?, "a body of another is served")?;
        asked += 1;
    }
    expect(asked > 0, "no body is another's alone: nothing was tried")?;
    let mut pretender = Speaker::open(stage, both[0]).await?;
    pretender.hello(&uid(stage, both[1]).await?, 1_000).await;
    let away = pretender.is_sent_away().await?;
    expect(away, "a leaf was let in with the UID of another cluster")
}

/// The fence of the member's last agent, as its objects say.
async fn fence(stage: &Stage<'_>, member: &str) -> Result<u64, WorldError> {
    let object = read(stage, member, CONFIG_MAP, (stage.ns.as_str(), "app")).await?;
    let fence = object["metadata"]["annotations"]["fleet.flotilla.dev/fence"].as_str();
    Ok(fence.and_then(|f| f.parse().ok()).unwrap_or(0))
}
