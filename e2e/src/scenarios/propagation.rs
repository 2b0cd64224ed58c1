//! The thread: what is applied at the front door arrives in the members, changes there, and goes.

use futures::future::BoxFuture;
use serde_json::json;

use crate::scenario::{Needs, Scenario, Stage, clusters, expect, policy};
use crate::world::WorldError;

pub(super) static SCENARIOS: &[Scenario] = &[Scenario {
    name: "propagate-edit-delete",
    needs: Needs::Shared,
    run: propagate_edit_delete,
}];

const BINDING: (&str, &str) = ("work.karmada.io/v1alpha2", "ResourceBinding");
const CONFIG_MAP: (&str, &str) = ("v1", "ConfigMap");

fn propagate_edit_delete<'a>(stage: &'a Stage<'a>) -> BoxFuture<'a, Result<(), WorldError>> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let config = |value: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "app", "namespace": ns}, "data": {"key": value}})
        };
        let selectors = [("v1", "ConfigMap", "app")];
        door.apply(policy(ns, "app", &selectors, clusters(&["edge"])))
            .await?;
        door.apply(config("one")).await?;
        let edge = stage.member("edge").await?;
        edge.eventually(CONFIG_MAP, (ns, "app"), "holds one", |o| {
            o["data"]["key"] == "one"
        })
        .await?;
        let public = stage.member("public").await?;
        let elsewhere = public.get(CONFIG_MAP, (ns, "app")).await?;
        expect(
            elsewhere.is_none(),
            "the ConfigMap is in a member that no policy names",
        )?;

        door.apply(config("two")).await?;
        edge.eventually(CONFIG_MAP, (ns, "app"), "holds two", |o| {
            o["data"]["key"] == "two"
        })
        .await?;
        let says = |binding: &serde_json::Value| {
            let items = binding["status"]["aggregatedStatus"].as_array();
            items
                .into_iter()
                .flatten()
                .any(|i| i["clusterName"] == "edge" && i["applied"] == true)
        };

        door.eventually(BINDING, (ns, "app-configmap"), "says applied", says)
            .await?;

        door.delete(CONFIG_MAP, (ns, "app")).await?;
        edge.eventually_gone(CONFIG_MAP, (ns, "app")).await
    })
}
