//! What the agent may do in its member, as objects to apply there: generated, by profile, without any
//! verb that escalates, binds or impersonates.
//!
//! RBAC cannot say "not in kube-system" or "not in my own namespace"; an admission policy beside the
//! roles does. What is not allowed here ends as a work that is refused, never as a broken agent.

use serde_json::{Value, json};

/// Name of the roles, the service account and the user.
pub const AGENT_NAME: &str = "flotilla-agent";

/// How much the fleet may do in a member; chosen when it joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Workloads and what belongs to them; no RBAC, no CRDs
    #[default]
    Workloads,
    /// Also namespaces, CRDs and their objects, and RBAC that does not exceed the agent's own
    Platform,
}

const ALL: &[&str] = &[
    "get", "list", "watch", "create", "update", "patch", "delete",
];
const READ: &[&str] = &["get", "list", "watch"];

/// All objects for a profile; `namespace` is the agent's own.
#[must_use]
pub fn objects(profile: Profile, namespace: &str) -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io/v1";
    let named = |name: &str| json!({"name": name});
    let own = json!({"name": AGENT_NAME, "namespace": namespace});
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": named(namespace)}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own}),
        json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": named(AGENT_NAME),
            "rules": cluster_rules(profile)}),
        json!({"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": named(AGENT_NAME),
            "roleRef": role_ref("ClusterRole"), "subjects": subjects(namespace)}),
        json!({"apiVersion": rbac, "kind": "Role", "metadata": own, "rules": [
            rule("", &["secrets"], &["get", "list", "create", "update", "delete"]),
            rule("coordination.k8s.io", &["leases"], &["get", "create", "update"]),
        ]}),
        json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": own,
            "roleRef": role_ref("Role"), "subjects": subjects(namespace)}),
    ];
    objects.extend(fence(namespace));
    objects
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn role_ref(kind: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": AGENT_NAME})
}

fn subjects(namespace: &str) -> Value {
    json!([
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": AGENT_NAME},
        {"kind": "ServiceAccount", "name": AGENT_NAME, "namespace": namespace},
    ])
}

fn cluster_rules(profile: Profile) -> Vec<Value> {
    let mut rules = vec![
        // What capacity and kinds are measured from.
        rule("", &["nodes"], READ),
        rule("apiextensions.k8s.io", &["customresourcedefinitions"], READ),
        rule(
            "",
            &["namespaces"],
            &["get", "list", "watch", "create", "patch"],
        ),
    ];
    match profile {
        Profile::Workloads => {
            let core = [
                "configmaps",
                "endpoints",
                "limitranges",
                "persistentvolumeclaims",
                "pods",
                "podtemplates",
                "replicationcontrollers",
                "resourcequotas",
                "secrets",
                "serviceaccounts",
                "services",
            ];
            rules.push(rule("", &core, ALL));
            for group in [
                "apps",
                "batch",
                "autoscaling",
                "policy",
                "networking.k8s.io",
            ] {
                rules.push(rule(group, &["*"], ALL));
            }
        }
        Profile::Platform => rules.push(rule("*", &["*"], ALL)),
    }
    rules
}

/// Keeps the agent out of the system's namespaces, and of its own but for its own records.
fn fence(namespace: &str) -> [Value; 2] {
    let api = "admissionregistration.k8s.io/v1";
    let user = format!(
        "request.userInfo.username in ['{AGENT_NAME}', 'system:serviceaccount:{namespace}:{AGENT_NAME}']"
    );
    let own = format!(
        "!has(request.namespace) || request.namespace != '{namespace}' || (request.resource.resource in ['secrets', 'leases'] && \
         (request.operation == 'CREATE' ? object.metadata.name : request.name).startsWith('flotilla-'))"
    );
    let policy = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": AGENT_NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
            }]},
            "matchConditions": [{"name": "the-agent", "expression": user}],
            "validations": [
                {"expression": "!has(request.namespace) || !(request.namespace in ['kube-system', 'kube-public', 'kube-node-lease'])",
                 "message": "the fleet may not write to the system's namespaces"},
                {"expression": own,
                 "message": "the fleet may not write to its agent's own namespace"},
            ],
        },
    });
    let binding = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": AGENT_NAME},
        "spec": {"policyName": AGENT_NAME, "validationActions": ["Deny"]},
    });
    [policy, binding]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_profile_escalates_and_workloads_cannot_touch_roles() {
        for profile in [Profile::Workloads, Profile::Platform] {
            for object in objects(profile, "flotilla-system") {
                for rule in object["rules"].as_array().into_iter().flatten() {
                    let verbs = rule["verbs"].as_array().expect("a rule has verbs");
                    for verb in ["*", "escalate", "bind", "impersonate"] {
                        assert!(!verbs.iter().any(|v| v == verb), "{verb} in {rule}");
                    }
                }
            }
        }
        let text = serde_json::to_string(&objects(Profile::Workloads, "x")).expect("JSON");
        assert!(!text.contains("clusterroles"), "{text}");
        assert!(
            !cluster_rules(Profile::Workloads)
                .iter()
                .any(|r| r["apiGroups"][0] == "*")
        );
    }
}
