//! Large objects and many of them.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::common::{
    CONFIG_MAP, Played, apply_when_served, arrives, cluster_policy, config_map, crd, custom,
    kubectl, policy_of, shared,
};
use crate::real::{NotYet, eventually};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::{Kind, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("size-large-object", large),
    shared("size-many-objects", many),
];

const LARGE: Kind<'static> = ("large.example.com/v1", "Large");
/// Close to what etcd accepts: 1.5 MiB for the whole request.
const LARGE_BYTES: usize = 1_400 << 10;
const MANY: usize = 500;
/// Requests of this test in flight at the front door.
const AT_ONCE: usize = 16;
const MANY_MAX: Duration = Duration::from_secs(180);
const BOTH: [&str; 2] = ["edge", "public"];

/// Text that does not compress below its entropy, other for each seed.
fn noise(bytes: usize, seed: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut state = seed;
    let letter = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(ALPHABET[(state >> 58) as usize])
    });
    letter.take(bytes).collect()
}

/// An object as large as the store takes arrives whole, and so does an edit of it.
fn large<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let kind = crd(LARGE);
        let selectors = json!([{"apiVersion": kind["apiVersion"], "kind": kind["kind"],
            "name": kind["metadata"]["name"]}]);
        door.apply(cluster_policy(
            "size-large-object",
            selectors,
            clusters(&BOTH),
        ))
        .await?;
        door.apply(kind).await?;
        let selectors = [(LARGE.0, LARGE.1, "app")];
        door.apply(policy(ns, "app", &selectors, clusters(&BOTH)))
            .await?;
        for seed in 1..=2 {
            let text = noise(LARGE_BYTES, seed);
            apply_when_served(stage, custom(LARGE, (ns, "app"), &text)).await?;
            let whole = |o: &Value| o["spec"]["text"] == text.as_str();
            arrives(stage, &BOTH, LARGE, (ns, "app"), ("has all of it", &whole)).await?;
        }
        Ok(())
    })
}

/// Many objects at once all arrive, and all go.
fn many<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let labelled = json!([{"apiVersion": "v1", "kind": "ConfigMap",
            "labelSelector": {"matchLabels": {"many": "yes"}}}]);
        door.apply(policy_of(ns, "many", labelled, clusters(&BOTH)))
            .await?;
        let started = Instant::now();
        let make = |n: usize| async move {
            let mut object = config_map(ns, &format!("many-{n}"), "one");
            object["metadata"]["labels"] = json!({"many": "yes"});
            door.create(object).await.map(drop)
        };
        stream::iter(0..MANY)
            .map(make)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let made = started.elapsed();
        counted(stage, MANY).await?;
        println!(
            "    {MANY} ConfigMaps: made in {:.1} s, in both members after {:.1} s",
            made.as_secs_f64(),
            started.elapsed().as_secs_f64()
        );

        let started = Instant::now();
        let delete = ["delete", "configmap", "--selector=many=yes", "--wait=false"];
        let (is_done, text) = kubectl(stage, &[&["-n", ns], &delete[..]].concat()).await?;
        expect(is_done, text)?;
        counted(stage, 0).await?;
        println!(
            "    and gone from both after {:.1} s",
            started.elapsed().as_secs_f64()
        );
        Ok(())
    })
}

/// Waits until every one of the members has so many of them.
async fn counted(stage: &Stage<'_>, wanted: usize) -> Result<(), WorldError> {
    for member in BOTH {
        let objects = stage.member(member).await?;
        let what = format!("{member} has {wanted} of the ConfigMaps");
        eventually(what, MANY_MAX, async || {
            let listed = objects.list(CONFIG_MAP, &stage.ns).await;
            let listed = listed.map_err(NotYet::again)?;
            let is_ours = |o: &&Value| o["metadata"]["labels"]["many"] == "yes";
            match listed.iter().filter(is_ours).count() {
                found if found == wanted => Ok(()),
                found => Err(NotYet::again(found)),
            }
        })
        .await?;
    }
    Ok(())
}
