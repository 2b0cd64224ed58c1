//! Kinds of objects: what runs, what is only kept, what belongs to the cluster, and custom ones.

use serde_json::{Value, json};

use super::common::{
    CLUSTER_BINDING, Holds, IS_THERE, Played, apply_when_served, arrives, cluster_policy,
    condition, crd, custom, deployment, goes, kubectl, only_in, policy_of, read, shared,
};
use crate::scenario::{Scenario, Stage, clusters, expect, policy};
use crate::world::{Kind, WorldError};

pub(super) static SCENARIOS: &[Scenario] = &[
    shared("kinds-job", job),
    shared("kinds-namespaced", namespaced),
    shared("kinds-cluster-scoped", cluster_scoped),
    shared("kinds-crd-first", crd_first),
    shared("kinds-policy-first", policy_first),
];

const JOB: Kind<'static> = ("batch/v1", "Job");
const CRD: Kind<'static> = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
const BOTH: [&str; 2] = ["edge", "public"];

/// A Job runs in every member and ends at the front door; made anew, it runs again.
fn job<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let name = (ns, "once");
        let pod = json!({"restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1"}]});
        let object = json!({"apiVersion": JOB.0, "kind": JOB.1,
            "metadata": {"name": "once", "namespace": ns},
            "spec": {"template": {"spec": pod}}});
        door.apply(policy(
            ns,
            "once",
            &[(JOB.0, JOB.1, "once")],
            clusters(&BOTH),
        ))
        .await?;
        door.create(object.clone()).await?;
        completed(stage).await?;
        let first = uids(stage).await?;

        door.delete(JOB, name).await?;
        door.eventually_gone(JOB, name).await?;
        door.create(object).await?;
        let runs_again = |o: &Value| !first.contains(&o["metadata"]["uid"]);
        arrives(stage, &BOTH, JOB, name, ("is another one", &runs_again)).await?;
        completed(stage).await
    })
}

async fn completed(stage: &Stage<'_>) -> Result<(), WorldError> {
    let wait = [
        "wait",
        "--for=condition=complete",
        "job/once",
        "--timeout=60s",
    ];
    let (is_done, text) = kubectl(stage, &[&["-n", &stage.ns], &wait[..]].concat()).await?;
    expect(is_done, text)?;
    let template = stage
        .door
        .get(JOB, (&stage.ns, "once"))
        .await?
        .unwrap_or_default();
    let succeeded = &template["status"]["succeeded"];
    expect(
        *succeeded == 2,
        format!("{succeeded} Pods succeeded in two members"),
    )
}

async fn uids(stage: &Stage<'_>) -> Result<Vec<Value>, WorldError> {
    let mut uids = Vec::new();
    for member in BOTH {
        let object = read(stage, member, JOB, (&stage.ns, "once")).await?;
        expect(
            condition(&object, "Complete").is_some(),
            "a Job ended before its member's did",
        )?;
        uids.push(object["metadata"]["uid"].clone());
    }
    Ok(uids)
}

/// Everyday kinds arrive, and an edit of them does; what the member fills in stays as it is.
fn namespaced<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let (door, ns) = (&stage.door, stage.ns.as_str());
        let objects = everyday(ns);
        let selectors: Vec<_> = objects
            .iter()
            .map(|o| json!({"apiVersion": o["apiVersion"], "kind": o["kind"], "name": "app"}))
            .collect();
        door.apply(policy_of(ns, "all", json!(selectors), clusters(&BOTH)))
            .await?;
        for object in &objects {
            door.apply(object.clone()).await?;
        }
        for object in &objects {
            arrives(stage, &BOTH, kind_of(object), (ns, "app"), IS_THERE).await?;
        }
        let service = read(stage, "edge", ("v1", "Service"), (ns, "app")).await?;
        for object in &objects {
            let patch = json!({"metadata": {"labels": {"edited": "yes"}}});
            door.merge(kind_of(object), (ns, "app"), patch).await?;
        }
        let edited = |o: &Value| o["metadata"]["labels"]["edited"] == "yes";
        for object in &objects {
            let what = ("is edited", &edited as Holds<'_>);
            arrives(stage, &BOTH, kind_of(object), (ns, "app"), what).await?;
        }
        let after = read(stage, "edge", ("v1", "Service"), (ns, "app")).await?;
        let (before, after) = (&service["spec"]["clusterIP"], &after["spec"]["clusterIP"]);
        expect(
            before == after,
            format!("the Service's address {before} became {after}"),
        )?;
        for object in &objects {
            door.delete(kind_of(object), (ns, "app")).await?;
        }
        for object in &objects {
            goes(stage, &BOTH, kind_of(object), (ns, "app")).await?;
        }
        Ok(())
    })
}

fn kind_of(object: &Value) -> Kind<'_> {
    let text = |key: &str| object[key].as_str().unwrap_or("");
    (text("apiVersion"), text("kind"))
}

/// One object named `app` of each everyday kind.
fn everyday(ns: &str) -> Vec<Value> {
    let object = |(api_version, kind): Kind<'_>, body: Value| {
        let mut object = json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": "app", "namespace": ns}});
        for (key, value) in body.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object
    };
    let workload = |kind: &str, more: Value| {
        let mut spec = deployment(ns, "app", 1)["spec"].take();
        if kind == "DaemonSet"
            && let Some(spec) = spec.as_object_mut()
        {
            spec.remove("replicas");
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        object(("apps/v1", kind), json!({"spec": spec}))
    };
    let role = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app"},
        "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": ns}]});
    let cron = json!({"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}}}}}});
    vec![
        object(
            ("v1", "Service"),
            json!({"spec": {"selector": {"app": "app"},
            "ports": [{"port": 80, "targetPort": 8080}]}}),
        ),
        object(
            ("v1", "Secret"),
            json!({"stringData": {"password": "secret"}}),
        ),
        object(("v1", "ServiceAccount"), json!({})),
        object(
            ("v1", "ConfigMap"),
            json!({"binaryData": {"key": "AAECAw=="}}),
        ),
        object(("rbac.authorization.k8s.io/v1", "Role"), role),
        object(("rbac.authorization.k8s.io/v1", "RoleBinding"), binding),
        object(("batch/v1", "CronJob"), cron),
        workload("DaemonSet", json!({})),
        workload("StatefulSet", json!({"serviceName": "app"})),
    ]
}

/// Objects of the cluster's scope go where a ClusterPropagationPolicy says, and go away again.
fn cluster_scoped<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        const RBAC: &str = "rbac.authorization.k8s.io/v1";
        let name = ("", "kinds-cluster-scoped");
        let door = &stage.door;
        let object = |(api_version, kind): Kind<'_>| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name.1}});
        let mut role = object((RBAC, "ClusterRole"));
        role["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]);
        let mut binding = object((RBAC, "ClusterRoleBinding"));
        binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole", "name": name.1});
        binding["subjects"] = json!([{"kind": "User", "name": "somebody",
            "apiGroup": "rbac.authorization.k8s.io"}]);
        let mut class = object(("scheduling.k8s.io/v1", "PriorityClass"));
        class["value"] = json!(1000);
        let objects = [role, binding, class];
        let selectors: Vec<_> = objects
            .iter()
            .map(|o| json!({"apiVersion": o["apiVersion"], "kind": o["kind"], "name": name.1}))
            .collect();
        door.apply(cluster_policy(name.1, json!(selectors), clusters(&BOTH)))
            .await?;
        for object in &objects {
            door.apply(object.clone()).await?;
        }
        for object in &objects {
            only_in(stage, &BOTH, kind_of(object), name).await?;
        }
        let binding = ("", "kinds-cluster-scoped-clusterrole");
        door.eventually(CLUSTER_BINDING, binding, "is applied everywhere", |b| {
            condition(b, "FullyApplied").is_some_and(|c| c["status"] == "True")
        })
        .await?;
        for object in &objects {
            door.delete(kind_of(object), name).await?;
        }
        for object in &objects {
            goes(stage, &BOTH, kind_of(object), name).await?;
        }
        Ok(())
    })
}

async fn place_crd(stage: &Stage<'_>, kind: Kind<'_>) -> Result<(), WorldError> {
    let object = crd(kind);
    let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
    let selectors = json!([{"apiVersion": CRD.0, "kind": CRD.1, "name": name}]);
    stage
        .door
        .apply(cluster_policy(&name, selectors, clusters(&BOTH)))
        .await?;
    stage.door.apply(object).await.map(drop)
}

async fn place_custom(stage: &Stage<'_>, kind: Kind<'_>) -> Result<(), WorldError> {
    let selectors = [(kind.0, kind.1, "app")];
    let placement = clusters(&BOTH);
    let policy = policy(&stage.ns, "app", &selectors, placement);
    stage.door.apply(policy).await.map(drop)
}

async fn custom_lives(stage: &Stage<'_>, kind: Kind<'_>) -> Result<(), WorldError> {
    let name = (stage.ns.as_str(), "app");
    arrives(stage, &BOTH, kind, name, IS_THERE).await?;
    stage.door.apply(custom(kind, name, "two")).await?;
    let edited = |o: &Value| o["spec"]["text"] == "two";
    arrives(stage, &BOTH, kind, name, ("is edited", &edited)).await?;
    stage.door.delete(kind, name).await?;
    goes(stage, &BOTH, kind, name).await
}

/// A CRD goes to the members, then objects of its kind follow.
fn crd_first<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        const KIND: Kind<'static> = ("first.example.com/v1", "First");
        place_crd(stage, KIND).await?;
        arrives(
            stage,
            &BOTH,
            CRD,
            ("", "firsts.first.example.com"),
            IS_THERE,
        )
        .await?;
        place_custom(stage, KIND).await?;
        apply_when_served(stage, custom(KIND, (&stage.ns, "app"), "one")).await?;
        custom_lives(stage, KIND).await
    })
}

/// A policy for a kind that nobody serves yet takes effect when the kind comes.
fn policy_first<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        const KIND: Kind<'static> = ("second.example.com/v1", "Second");
        place_custom(stage, KIND).await?;
        stage.door.apply(crd(KIND)).await?;
        apply_when_served(stage, custom(KIND, (&stage.ns, "app"), "one")).await?;
        place_crd(stage, KIND).await?;
        custom_lives(stage, KIND).await
    })
}
