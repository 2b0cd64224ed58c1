//! What the hub needs at the front door, as roles to apply: least privilege, generated.
//!
//! Templates can be of any kind, so reading and marking them is open-ended; everything else names its
//! resources. No verb that escalates, binds or impersonates.

use serde_json::{Value, json};

/// Namespace of the hub's own objects.
pub const HUB_NAMESPACE: &str = "flotilla-system";
/// Name of the roles, the service account and the user.
pub const HUB_NAME: &str = "flotilla-hub";

const READ: &[&str] = &["get", "list", "watch"];

/// All roles and their bindings, for the user and the service account `flotilla-hub`.
#[must_use]
pub fn roles() -> Vec<Value> {
    vec![
        object("v1", "Namespace", json!({"name": HUB_NAMESPACE}), json!({})),
        object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            json!({"name": HUB_NAME}),
            json!({"rules": cluster_rules()}),
        ),
        binding(
            "ClusterRoleBinding",
            json!({"name": HUB_NAME}),
            "ClusterRole",
        ),
        object(
            "rbac.authorization.k8s.io/v1",
            "Role",
            json!({"name": HUB_NAME, "namespace": HUB_NAMESPACE}),
            json!({"rules": own_namespace_rules()}),
        ),
        binding(
            "RoleBinding",
            json!({"name": HUB_NAME, "namespace": HUB_NAMESPACE}),
            "Role",
        ),
    ]
}

fn object(api_version: &str, kind: &str, metadata: Value, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    if let (Some(object), Some(rest)) = (object.as_object_mut(), rest.as_object()) {
        object.extend(rest.clone());
    }
    object
}

fn binding(kind: &str, metadata: Value, role: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    let rest = json!({
        "roleRef": {"apiGroup": group, "kind": role, "name": HUB_NAME},
        "subjects": [
            {"apiGroup": group, "kind": "User", "name": HUB_NAME},
            {"kind": "ServiceAccount", "name": HUB_NAME, "namespace": HUB_NAMESPACE},
        ],
    });
    object("rbac.authorization.k8s.io/v1", kind, metadata, rest)
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn cluster_rules() -> Vec<Value> {
    let webhooks = [
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ];
    let (crd_group, hook_group) = ("apiextensions.k8s.io", "admissionregistration.k8s.io");
    let bindings = ["resourcebindings", "clusterresourcebindings"];
    let binding_statuses = ["resourcebindings/status", "clusterresourcebindings/status"];
    let write = ["create", "update", "patch", "delete"];
    vec![
        // Templates of any kind: read, mark as claimed, show the members' status.
        rule("*", &["*"], READ),
        rule("*", &["*"], &["patch"]),
        rule("*", &["*/status"], &["patch", "update"]),
        rule(
            "work.karmada.io",
            &bindings,
            &[&write[..], &["schedule"]].concat(),
        ),
        rule("work.karmada.io", &binding_statuses, &["update", "patch"]),
        rule(
            "cluster.karmada.io",
            &["clusters"],
            &["create", "update", "patch"],
        ),
        rule(
            "cluster.karmada.io",
            &["clusters/status"],
            &["update", "patch"],
        ),
        rule(
            "fleet.flotilla.dev",
            &["jointokens", "jointokens/status"],
            &["update"],
        ),
        rule("fleet.flotilla.dev", &["enrolments", "removals"], &write),
        rule("fleet.flotilla.dev", &["enrolments/status"], &["update"]),
        rule("fleet.flotilla.dev", &["epochlists"], &["create", "update"]),
        rule("events.k8s.io", &["events"], &["create"]),
        rule("", &["events"], &["create"]),
        rule(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
        ),
        // What `serve` installs unless told --no-install; changes to it go by the patch above.
        rule(crd_group, &["customresourcedefinitions"], &["create"]),
        rule(hook_group, &webhooks, &["create"]),
        rule("", &["namespaces"], &["create"]),
    ]
}

fn own_namespace_rules() -> Vec<Value> {
    vec![
        rule("", &["secrets", "configmaps"], &["create", "update"]),
        rule("coordination.k8s.io", &["leases"], &["create", "update"]),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_roles_are_what_was_reviewed() {
        let text = serde_json::to_string_pretty(&roles()).unwrap() + "\n";
        expect_file!["../tests/goldens/rbac.json"].assert_eq(&text);
    }

    #[test]
    fn no_rule_escalates() {
        let text = serde_json::to_string(&roles()).unwrap();
        for verb in ["\"escalate\"", "\"bind\"", "\"impersonate\"", "\"*\"]}"] {
            assert!(!text.contains(&format!("\"verbs\":[{verb}")), "{verb}");
            assert!(!text.contains(&format!(",{verb}]")), "{verb}");
        }
    }
}
