//! Who claims a template, and the marks that say so.

use std::collections::BTreeMap;

use flotilla_policy::api::{ClusterPropagationPolicy, PropagationPolicy};
use flotilla_policy::check;
use flotilla_policy::matching::{
    Claim, ClaimMarks, IgnoreReason, PolicyRef, PolicyView, Scope, claim, claim_marks, claim_of,
    missing_overrides, no_claim_marks, rank,
};
use flotilla_policy::model::manifest;
use serde_json::{Value, json};

use super::{Rule, check as run, same, typed};

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: preemption",
        reason: "taking over claims is behind a gate that is off by default, and not built yet",
        applies: |input| {
            input["featureGates"]["PropagationPolicyPreemption"] == json!(true)
                && reconciled(input).is_some_and(|p| p["spec"]["preemption"] == json!("Always"))
        },
    },
    Rule {
        name: "the claiming policy no longer selects the template",
        reason: "we see it at once; there, the claim stays until that policy is reconciled",
        applies: |input| claimant(input).is_some_and(|policy| !selects(policy, &input["template"])),
    },
    Rule {
        name: "the claiming policy is being deleted",
        reason: "for us it has let go already; there, the template waits for the policy's own pass",
        applies: |input| {
            claimant(input).is_some_and(|policy| !policy["metadata"]["deletionTimestamp"].is_null())
        },
    },
];

/// The policy whose own pass the incumbent runs first.
fn reconciled(input: &Value) -> Option<&Value> {
    let policy = input.get("policy")?;
    let text = |key: &str| policy[key].as_str().unwrap_or("");
    find(input, text("kind"), text("namespace"), text("name"))
}

fn claimant(input: &Value) -> Option<&Value> {
    let template = &input["template"];
    let claim = claim_of(
        &manifest::labels(template),
        &manifest::annotations(template),
    )?;
    let kind = match claim.scope {
        Scope::Namespaced => "PropagationPolicy",
        Scope::Cluster => "ClusterPropagationPolicy",
    };
    find(input, kind, &claim.namespace, &claim.name)
}

fn find<'a>(input: &'a Value, kind: &str, namespace: &str, name: &str) -> Option<&'a Value> {
    let lists = ["propagationPolicies", "clusterPropagationPolicies"];
    let mut policies = lists
        .iter()
        .filter_map(|list| input[*list].as_array())
        .flatten();
    policies.find(|p| {
        (manifest::kind(p), manifest::namespace(p), manifest::name(p)) == (kind, namespace, name)
    })
}

fn selects(policy: &Value, template: &Value) -> bool {
    rank(&typed(policy, "/spec"), template).is_some()
}

#[test]
fn claims_agree() {
    let committed = include_bytes!("../../vectors/match.jsonl.gz");
    run("match", committed, RULES, judge);
}

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let namespaced: Vec<PropagationPolicy> = typed(input, "/propagationPolicies");
    let cluster: Vec<ClusterPropagationPolicy> = typed(input, "/clusterPropagationPolicies");
    let namespaced: Vec<_> = namespaced.iter().collect();
    let cluster: Vec<_> = cluster.iter().collect();
    let policies = PolicyView {
        propagation: &namespaced,
        cluster: &cluster,
    };
    let template = &input["template"];
    let (labels, annotations) = (manifest::labels(template), manifest::annotations(template));
    let current = claim_of(&labels, &annotations);
    let (claimed, report) = claim(template, current.as_ref(), &policies);
    same(
        "invariants",
        &check::matching(&claimed, &report),
        &Vec::new(),
    )?;

    let ignored = claimed == Claim::Ignored(IgnoreReason::Namespace);
    same(
        "ignored",
        &ignored,
        &(out["ignoredNamespace"] == json!(true)),
    )?;
    if ignored {
        return Ok(());
    }
    if let Claim::Policy(policy) = &claimed
        && waits(policy, &policies, input)
    {
        return same(
            "waits",
            &json!("waiting-dependent-overrides"),
            &out["error"],
        );
    }
    same("claim", &claimed_by(&claimed), settled(out))?;
    let marks = match &claimed {
        Claim::Policy(policy) => claim_marks(policy),
        Claim::None => no_claim_marks(),
        Claim::Ignored(_) => ClaimMarks::default(),
    };
    if out.get("settledClaimedBy").is_some() {
        return Ok(());
    }
    let kept = |(key, _): &(&String, &String)| key.contains("karmada.io");
    let mut labels: BTreeMap<_, _> = labels.iter().filter(kept).map(own).collect();
    let mut annotations: BTreeMap<_, _> = annotations.iter().filter(kept).map(own).collect();
    labels.extend(marks.labels);
    annotations.extend(marks.annotations);
    labels.retain(|key, _| !marks.strip_labels.contains(&key.as_str()));
    annotations.retain(|key, _| !marks.strip_annotations.contains(&key.as_str()));
    same("labels", &json!(labels), &out["labels"])?;
    same("annotations", &json!(annotations), &out["annotations"])
}

fn waits(policy: &PolicyRef, policies: &PolicyView<'_>, input: &Value) -> bool {
    let (spec, overrides) = match policy.scope {
        Scope::Namespaced => (
            policies
                .propagation
                .iter()
                .find(|p| p.metadata.name == policy.name)
                .map(|p| &p.spec),
            &input["overridePolicies"],
        ),
        Scope::Cluster => (
            policies
                .cluster
                .iter()
                .find(|p| p.metadata.name == policy.name)
                .map(|p| &p.spec),
            &input["clusterOverridePolicies"],
        ),
    };
    let exists = |name: &str| {
        overrides
            .as_array()
            .into_iter()
            .flatten()
            .any(|o| manifest::name(o) == name && manifest::namespace(o) == policy.namespace)
    };
    let spec = spec.expect("the claiming policy is one of those given");
    !missing_overrides(spec, exists).is_empty()
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn settled(out: &Value) -> &Value {
    out.get("settledClaimedBy").unwrap_or(&out["claimedBy"])
}

fn claimed_by(claim: &Claim) -> Value {
    match claim {
        Claim::Policy(policy) => match policy.scope {
            Scope::Namespaced => json!({
                "kind": "PropagationPolicy", "namespace": policy.namespace, "name": policy.name,
            }),
            Scope::Cluster => json!({"kind": "ClusterPropagationPolicy", "name": policy.name}),
        },
        Claim::None | Claim::Ignored(_) => Value::Null,
    }
}
