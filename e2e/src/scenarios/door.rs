//! The front door itself: what it fills in, what it refuses and why, and who may decide.

use serde_json::{Value, json};

use super::common::{
    BINDING, CONFIG_MAP, IS_THERE, POLICY, Played, arrives, config_map, goes, place_config_map,
    placed, shared,
};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::{Objects, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("door-defaults", defaults),
    shared("door-refuses", refuses),
    shared("door-protects", protects),
    shared("door-guards-bindings", guards_bindings),
];

/// A policy stored with few words reads as it would with all of them.
fn defaults<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let placement = json!({"replicaScheduling": {"replicaSchedulingType": "Divided"}});
        let stored = stage
            .door
            .apply(policy(
                ns,
                "app",
                &[("apps/v1", "Deployment", "app")],
                placement,
            ))
            .await?;
        let labels = &stored["metadata"]["labels"];
        let id = &labels["propagationpolicy.karmada.io/permanent-id"];
        expect(id.is_string(), format!("no permanent id: {stored}"))?;
        for (pointer, value) in [
            ("/spec/resourceSelectors/0/namespace", ns),
            (
                "/spec/placement/replicaScheduling/replicaDivisionPreference",
                "Weighted",
            ),
            ("/spec/conflictResolution", "Abort"),
            ("/spec/preemption", "Never"),
            ("/spec/schedulerName", "default-scheduler"),
        ] {
            let found = stored.pointer(pointer).unwrap_or(&Value::Null);
            expect(
                *found == value,
                format!("{pointer} is {found}, not {value}"),
            )?;
        }
        Ok(())
    })
}

/// Policies that cannot mean anything are refused with the field that is wrong.
fn refuses<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let selectors = [("v1", "ConfigMap", "app")];
        let both = json!({"clusterAffinity": {"clusterNames": ["edge"]},
            "clusterAffinities": [{"affinityName": "one"}]});
        let twice =
            json!({"clusterAffinities": [{"affinityName": "one"}, {"affinityName": "one"}]});
        let mut foreign = policy(ns, "app", &selectors, json!({}));
        foreign["spec"]["resourceSelectors"][0]["namespace"] = json!("elsewhere");
        let pointer = json!({"apiVersion": POLICY.0, "kind": "OverridePolicy",
            "metadata": {"name": "app", "namespace": ns},
            "spec": {"overrideRules": [{"overriders": {"imageOverrider": [
                {"predicate": {"path": "no-slash"}, "component": "Tag", "operator": "remove"}]}}]}});
        for (object, field) in [
            (policy(ns, "app", &selectors, both), "clusterAffinities"),
            (policy(ns, "app", &selectors, twice), "affinityName"),
            (policy(ns, "app", &[], json!({})), "resourceSelectors"),
            (foreign, "namespace"),
            (pointer, "path"),
        ] {
            refused(stage.door.create(object).await, field)?;
        }
        Ok(())
    })
}

/// The front door said no, and its words hold this text.
fn refused(result: Result<Value, WorldError>, text: &str) -> Result<(), WorldError> {
    match result {
        Ok(stored) => expect(false, format!("stored, though {text} is wrong: {stored}")),
        Err(WorldError::Request { source, .. }) => {
            let said = source.to_string();
            expect(said.contains(text), format!("{text:?} is not in: {said}"))
        }
        Err(other) => Err(other),
    }
}

/// A protected template stays until somebody takes the protection off.
fn protects<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "app");
        let label = "resourcetemplate.karmada.io/deletion-protected";
        place_config_map(stage, "app", "one", &["edge"]).await?;
        let mut object = config_map(ns, "app", "one");
        object["metadata"]["labels"] = json!({label: "Always"});
        door.apply(object).await?;
        arrives(stage, &["edge"], CONFIG_MAP, name, IS_THERE).await?;
        let deleted = door.delete(CONFIG_MAP, name).await;
        refused(deleted.map(|()| Value::Null), label)?;
        let patch = json!({"metadata": {"labels": {label: null}}});
        door.merge(CONFIG_MAP, name, patch).await?;
        door.delete(CONFIG_MAP, name).await?;
        goes(stage, &["edge"], CONFIG_MAP, name).await
    })
}

/// Who may write objects but not schedule can label a binding and not move it.
fn guards_bindings<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        const USER: &str = "door-guards-bindings";
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let rbac = "rbac.authorization.k8s.io";
        door.apply(json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role",
            "metadata": {"name": USER, "namespace": ns},
            "rules": [{"apiGroups": ["*"], "resources": ["*"],
                "verbs": ["get", "list", "create", "update", "patch", "delete"]}]}))
            .await?;
        door.apply(
            json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding",
            "metadata": {"name": USER, "namespace": ns},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": USER},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": USER}]}),
        )
        .await?;
        place_config_map(stage, "app", "one", &["edge"]).await?;
        placed(stage, "app-configmap", &[("edge", 0)]).await?;
        let client = stage.world.door().client_for(USER, &[]).await?;
        let theirs = Objects::new("front door, as a developer", client);
        let name = (ns, "app-configmap");
        let label = json!({"metadata": {"labels": {"seen": "yes"}}});
        theirs.merge(BINDING, name, label).await?;
        let moved = json!({"spec": {"clusters": [{"name": "public"}]}});
        refused(theirs.merge(BINDING, name, moved).await, "verb schedule")?;
        // What they may do is say where things should go.
        theirs
            .merge(
                POLICY,
                (ns, "app"),
                json!({"spec": {"placement": clusters(&["public"])}}),
            )
            .await?;
        placed(stage, "app-configmap", &[("public", 0)]).await
    })
}
