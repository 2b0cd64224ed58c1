//! `flotilla why KIND/NAME`: which policy claimed it, which clusters and why each other one not, the
//! arithmetic of replicas, what overrides changed, and what each member says.
//!
//! Computed here, by the functions that decide, from what the front door holds now.

use std::fmt::Write;

use clap::Args;
use flotilla_policy::api::{
    AggregatedStatusItem, BindingStatus, Cluster, Object, OverridePolicy, PropagationPolicy,
    ResourceBinding,
};
use flotilla_policy::assigning::{Assignment, assignments};
use flotilla_policy::matching::{Claim, MatchReport, PolicyView, claim, claim_of};
use flotilla_policy::model::manifest;
use flotilla_policy::overriding::resolve;
use flotilla_policy::render::{Change, render};
use flotilla_policy::schedule::{Division, Report, ScheduleOptions, ScheduleView, schedule};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::door::{
    BINDING, CLUSTER, CLUSTER_BINDING, CLUSTER_OVERRIDE, CLUSTER_PROPAGATION, Door, OVERRIDE,
    PROPAGATION,
};
use crate::error::CliError;
use crate::output::{Format, or_none, print, table};

/// Arguments of `why`.
#[derive(Args, Debug)]
pub struct Why {
    /// The template, as KIND/NAME (deploy/web, configmap/app, clusterrole/viewer)
    #[arg(value_name = "KIND/NAME")]
    object: String,
    /// Namespace of the template
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The whole answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    template: String,
    claim: Claim,
    matching: MatchReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<BindingAnswer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BindingAnswer {
    name: String,
    scheduled: String,
    scheduling: Report,
    targets: Vec<Target>,
}

/// One cluster that was chosen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    cluster: String,
    replicas: Option<i64>,
    /// What overrides changed, or why they cannot.
    changes: Vec<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_error: Option<String>,
    /// What the member says; absent until its agent reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<AggregatedStatusItem>,
}

pub(crate) async fn run(door: &Door, args: &Why) -> Result<String, CliError> {
    let (kind, name) = args.object.split_once('/').ok_or_else(|| CliError::Input {
        field: "KIND/NAME",
        message: format!("{:?} has no slash; write it like deploy/web", args.object),
    })?;
    let template = door.get_by_word(kind, &args.namespace, name).await?;
    let template = template.ok_or_else(|| CliError::NotFound {
        what: format!("{kind} {name} in namespace {}", args.namespace),
        hint: "is it at the front door (kubectl get), and in another namespace (-n)?".to_owned(),
    })?;
    let facts = Facts::read(door, manifest::namespace(&template)).await?;
    let answer = explain(&template, &facts);
    print(args.output, &answer, || show(&answer))
}

/// What the front door holds around a template.
struct Facts {
    clusters: Vec<Cluster>,
    policies: Vec<PropagationPolicy>,
    cluster_policies: Vec<PropagationPolicy>,
    overrides: Vec<OverridePolicy>,
    cluster_overrides: Vec<OverridePolicy>,
    bindings: Vec<ResourceBinding>,
}

impl Facts {
    async fn read(door: &Door, namespace: &str) -> Result<Self, CliError> {
        let namespaced = !namespace.is_empty();
        let bindings = if namespaced { BINDING } else { CLUSTER_BINDING };
        let (mut policies, mut overrides) = (Vec::new(), Vec::new());
        if namespaced {
            policies = typed(door.list(PROPAGATION, namespace).await?)?;
            overrides = typed(door.list(OVERRIDE, namespace).await?)?;
        }
        Ok(Self {
            clusters: typed(door.list(CLUSTER, "").await?)?,
            policies,
            cluster_policies: typed(door.list(CLUSTER_PROPAGATION, "").await?)?,
            overrides,
            cluster_overrides: typed(door.list(CLUSTER_OVERRIDE, "").await?)?,
            bindings: typed(door.list(bindings, namespace).await?)?,
        })
    }
}

fn typed<T: DeserializeOwned>(objects: Vec<Value>) -> Result<Vec<T>, CliError> {
    let read = |object: Value| {
        let name = manifest::name(&object).to_owned();
        let kind = manifest::kind(&object).to_owned();
        serde_json::from_value(object)
            .map_err(|e| CliError::State(format!("{kind} {name} cannot be read: {e}")))
    };
    objects.into_iter().map(read).collect()
}

fn explain(template: &Value, facts: &Facts) -> Answer {
    let current = claim_of(
        &manifest::labels(template),
        &manifest::annotations(template),
    );
    let view = PolicyView {
        propagation: &facts.policies.iter().collect::<Vec<_>>(),
        cluster: &facts.cluster_policies.iter().collect::<Vec<_>>(),
    };
    let (claim, matching) = claim(template, current.as_ref(), &view);
    let binding = facts.bindings.iter().find(|b| is_about(b, template));
    Answer {
        template: describe(template),
        claim,
        matching,
        binding: binding.map(|b| explain_binding(template, b, facts)),
    }
}

fn is_about(binding: &ResourceBinding, template: &Value) -> bool {
    let resource = &binding.spec.resource;
    resource.api_version == manifest::api_version(template)
        && resource.kind == manifest::kind(template)
        && resource.name == manifest::name(template)
}

fn describe(template: &Value) -> String {
    let (kind, name) = (manifest::kind(template), manifest::name(template));
    match manifest::namespace(template) {
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}

fn explain_binding(template: &Value, binding: &ResourceBinding, facts: &Facts) -> BindingAnswer {
    let clusters: Vec<_> = facts.clusters.iter().collect();
    // Without the placement last applied every filter and the division are computed anew.
    let (_, scheduling) = schedule(&ScheduleView {
        spec: &binding.spec,
        status: &binding.status,
        applied_placement: None,
        clusters: &clusters,
        estimates: None,
        options: ScheduleOptions::default(),
    });
    let targets = assignments(&binding.spec, template);
    let targets = targets.iter().map(|t| target(template, binding, t, facts));
    BindingAnswer {
        name: binding.metadata.name.clone(),
        scheduled: condition(&binding.status, "Scheduled"),
        scheduling,
        targets: targets.collect(),
    }
}

fn condition(status: &BindingStatus, type_: &str) -> String {
    let found = status.conditions.iter().find(|c| c.type_ == type_);
    found.map_or_else(
        || "not said yet".to_owned(),
        |c| format!("{} ({}): {}", c.status, c.reason, c.message),
    )
}

fn target(
    template: &Value,
    binding: &ResourceBinding,
    assignment: &Assignment,
    facts: &Facts,
) -> Target {
    let unknown = Object::<_, _> {
        metadata: flotilla_policy::api::ObjectMeta {
            name: assignment.cluster.clone(),
            ..Default::default()
        },
        ..Cluster::default()
    };
    let known = facts
        .clusters
        .iter()
        .find(|c| c.metadata.name == assignment.cluster);
    let rules = resolve(
        template,
        &facts.cluster_overrides.iter().collect::<Vec<_>>(),
        &facts.overrides.iter().collect::<Vec<_>>(),
        known.unwrap_or(&unknown),
    );
    let rendered = render(template, &rules, assignment);
    let says = &binding.status.aggregated_status;
    let says = says.iter().find(|i| i.cluster_name == assignment.cluster);
    let (changes, override_error) = match rendered {
        Ok(rendered) => (rendered.changes, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Target {
        cluster: assignment.cluster.clone(),
        replicas: assignment.replicas,
        changes,
        override_error,
        member: says.cloned(),
    }
}

fn show(answer: &Answer) -> String {
    let mut text = format!("{}\n\nPolicy\n", answer.template);
    put(&mut text, &claim_line(&answer.claim));
    for line in answer.matching.to_string().lines() {
        put(&mut text, line);
    }
    let Some(binding) = &answer.binding else {
        text.push_str("\nBinding\n");
        put(&mut text, "none: nothing is sent anywhere");
        return text;
    };
    let _ = write!(text, "\nBinding {}\n", binding.name);
    put(&mut text, &format!("scheduled: {}", binding.scheduled));
    show_clusters(&mut text, &binding.scheduling);
    show_targets(&mut text, &binding.targets);
    text
}

fn put(text: &mut String, line: &str) {
    let _ = writeln!(text, "  {}", line.trim_end());
}

fn claim_line(claim: &Claim) -> String {
    match claim {
        Claim::Policy(policy) if policy.namespace.is_empty() => {
            format!("claimed by ClusterPropagationPolicy {}", policy.name)
        }
        Claim::Policy(policy) => {
            format!(
                "claimed by PropagationPolicy {}/{}",
                policy.namespace, policy.name
            )
        }
        Claim::None => "no policy selects it".to_owned(),
        Claim::Ignored(reason) => format!("not for policies: {reason}"),
    }
}

fn show_clusters(text: &mut String, report: &Report) {
    for attempt in &report.attempts {
        let term = match attempt.affinity_name.as_str() {
            "" => String::new(),
            name => format!(" (affinity {name})"),
        };
        let _ = write!(text, "\nClusters{term}\n");
        let rows: Vec<_> = attempt
            .verdicts
            .iter()
            .map(|v| {
                let why: Vec<_> = v.rejections.iter().map(|r| r.text.as_ref()).collect();
                let fits = if v.fits() { "yes" } else { "no" };
                vec![v.cluster.clone(), fits.to_owned(), why.join("; ")]
            })
            .collect();
        for line in table(&["CLUSTER", "FITS", "WHY NOT"], &rows).lines() {
            put(text, line);
        }
        for line in attempt.selection.to_string().lines() {
            put(text, line);
        }
        for division in &attempt.divisions {
            show_division(text, division);
        }
    }
}

fn show_division(text: &mut String, division: &Division) {
    let seats: Vec<_> = division
        .seats
        .iter()
        .map(|s| format!("{} weight {} -> {}", s.cluster, s.weight, s.replicas))
        .collect();
    let _ = write!(text, "\nReplicas\n");
    put(
        text,
        &format!(
            "{} by {:?}: {}",
            division.replicas,
            division.kind,
            seats.join(", ")
        ),
    );
}

fn show_targets(text: &mut String, targets: &[Target]) {
    text.push_str("\nMembers\n");
    let rows: Vec<_> = targets
        .iter()
        .map(|t| {
            let member = t.member.as_ref();
            vec![
                t.cluster.clone(),
                t.replicas.map_or_else(|| "-".to_owned(), |n| n.to_string()),
                member
                    .map_or("not said yet", |m| if m.applied { "yes" } else { "no" })
                    .to_owned(),
                or_none(member.map_or("", |m| &m.health)),
                member.map_or_else(String::new, |m| m.applied_message.clone()),
            ]
        })
        .collect();
    for line in table(
        &["CLUSTER", "REPLICAS", "APPLIED", "HEALTH", "MESSAGE"],
        &rows,
    )
    .lines()
    {
        put(text, line);
    }
    text.push_str("\nOverrides\n");
    let before = text.len();
    for target in targets {
        if let Some(error) = &target.override_error {
            put(
                text,
                &format!("{}: cannot be applied: {error}", target.cluster),
            );
        }
        for change in &target.changes {
            let value =
                |v: &Option<Value>| v.as_ref().map_or("nothing".to_owned(), Value::to_string);
            put(
                text,
                &format!(
                    "{}: {} rule {}: {}: {} -> {}",
                    target.cluster,
                    change.policy,
                    change.rule,
                    change.path,
                    value(&change.from),
                    value(&change.to)
                ),
            );
        }
    }
    if text.len() == before {
        put(text, "none changes anything");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn read<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn cluster(name: &str, kinds: &[&str]) -> Cluster {
        let resources: Vec<_> = kinds
            .iter()
            .map(|k| json!({"name": k, "kind": k}))
            .collect();
        read(json!({
            "metadata": {"name": name}, "spec": {"syncMode": "Pull"},
            "status": {"apiEnablements": [{"groupVersion": "apps/v1", "resources": resources}]},
        }))
    }

    fn facts() -> Facts {
        let weight = |name: &str, weight: i64| json!({"targetCluster": {"clusterNames": [name]}, "weight": weight});
        let placement = json!({
            "clusterAffinity": {"exclude": ["d"]},
            "replicaScheduling": {
                "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
                "weightPreference": {"staticWeightList": [weight("a", 2), weight("b", 1)]},
            },
        });
        let selector = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]);
        Facts {
            clusters: vec![
                cluster("a", &["Deployment"]),
                cluster("b", &["Deployment"]),
                cluster("c", &[]),
                cluster("d", &["Deployment"]),
            ],
            policies: vec![read(json!({
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"resourceSelectors": selector, "placement": placement},
            }))],
            cluster_policies: Vec::new(),
            overrides: vec![read(json!({
                "metadata": {"name": "mirror", "namespace": "shop"},
                "spec": {"overrideRules": [{"targetCluster": {"clusterNames": ["b"]}, "overriders":
                    {"imageOverrider": [{"component": "Registry", "operator": "add", "value": "m.example"}]}}]},
            }))],
            cluster_overrides: Vec::new(),
            bindings: vec![read(json!({
                "metadata": {"name": "web-deployment", "namespace": "shop"},
                "spec": {
                    "resource": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"},
                    "replicas": 3, "placement": placement,
                    "clusters": [{"name": "a", "replicas": 2}, {"name": "b", "replicas": 1}],
                },
                "status": {
                    "conditions": [{"type": "Scheduled", "status": "True", "reason": "Success", "message": "done"}],
                    "aggregatedStatus": [{"clusterName": "a", "applied": true, "health": "Healthy"}],
                },
            }))],
        }
    }

    #[test]
    fn the_answer_names_policy_clusters_arithmetic_changes_and_members() {
        let template = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
        });
        let text = show(&explain(&template, &facts()));
        expect![[r#"
            Deployment shop/web

            Policy
              claimed by PropagationPolicy shop/web
              PropagationPolicy shop/web: claims the template (priority 0, by name)

            Binding web-deployment
              scheduled: True (Success): done

            Clusters
              CLUSTER   FITS   WHY NOT
              a         yes
              b         yes
              c         no     cluster(s) did not have the API resource
              d         no     cluster(s) did not match the placement cluster affinity constraint

            Replicas
              3 by StaticWeight: a weight 2 -> 2, b weight 1 -> 1

            Members
              CLUSTER   REPLICAS   APPLIED        HEALTH    MESSAGE
              a         2          yes            Healthy
              b         1          not said yet   <none>

            Overrides
              b: OverridePolicy/shop/mirror rule 0: /spec/template/spec/containers/0/image: "nginx:1" -> "m.example/nginx:1"
        "#]].assert_eq(&text);
    }
}
