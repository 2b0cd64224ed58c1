//! A member that refuses one object: that one is reported with the member's words, the others go on.

use serde_json::{Value, json};

use super::common::{
    BINDING, CONFIG_MAP, IS_THERE, Played, arrives, config_map, place_config_map, shared,
};
use super::drift::applied;
use crate::scenario::{Scenario, Stage, clusters, policy};

pub(super) static SCENARIOS: &[Scenario] = &[shared("member-refuses-one", refuses)];

const ADMISSION: &str = "admissionregistration.k8s.io/v1";

fn refuses<'a>(stage: &'a Stage<'a>) -> Played<'a> {
    Box::pin(async move {
        let ns = stage.ns.as_str();
        let edge = stage.member("edge").await?;
        place_config_map(stage, "first", "one", &["edge"]).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "first"), IS_THERE).await?;
        edge.apply(json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": ns},
            "spec": {
                "matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                        "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}]},
                "validations": [{"expression": "object.metadata.name != 'poison'",
                    "message": "no poison here"}],
            }}))
        .await?;
        edge.apply(
            json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": ns}, "spec": {"policyName": ns, "validationActions": ["Deny"]}}),
        )
        .await?;
        // A new admission policy takes a moment; the canary tells when it is in force.
        let canary = ("v1", "ConfigMap");
        crate::real::eventually(
            "the admission policy is in force",
            std::time::Duration::from_secs(30),
            async || match edge.create(config_map(ns, "poison", "canary")).await {
                Err(_) => Ok(()),
                Ok(_) => {
                    let _ = edge.delete(canary, (ns, "poison")).await;
                    Err(crate::real::NotYet::again("it let poison in"))
                }
            },
        )
        .await?;

        let selectors = [("v1", "ConfigMap", "poison"), ("v1", "ConfigMap", "good")];
        stage
            .door
            .apply(policy(ns, "rest", &selectors, clusters(&["edge"])))
            .await?;
        stage.door.apply(config_map(ns, "poison", "one")).await?;
        stage.door.apply(config_map(ns, "good", "one")).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "good"), IS_THERE).await?;
        let told = |binding: &Value| {
            let item = &binding["status"]["aggregatedStatus"][0];
            let text = item["appliedMessage"].as_str().unwrap_or("");
            item["applied"] != true && text.contains("no poison here")
        };
        let binding = (ns, "poison-configmap");
        stage
            .door
            .eventually(BINDING, binding, "carries the member's words", told)
            .await?;

        edge.delete((ADMISSION, "ValidatingAdmissionPolicyBinding"), ("", ns))
            .await?;
        edge.delete((ADMISSION, "ValidatingAdmissionPolicy"), ("", ns))
            .await?;
        stage.door.apply(config_map(ns, "poison", "two")).await?;
        arrives(stage, &["edge"], CONFIG_MAP, (ns, "poison"), IS_THERE).await?;
        applied(stage, "poison-configmap", "edge").await
    })
}
