//! Judge of whole renderings: the manifest of each cluster of a binding, and the marks whose
//! meaning Karmada and we share.

use flotilla_policy::api::BindingSpec;
use flotilla_policy::assigning::assignments;
use flotilla_policy::model::marks;
use flotilla_policy::overriding::OverrideList;
use flotilla_policy::render::{Marks, render, stamp};
use serde_json::{Value, json};

use super::outcome::compare;
use super::{Rule, check};

/// Kinds whose replicas Karmada revises by scripts it ships.
const SCRIPTED: [&str; 8] = [
    "BroadcastJob",
    "CloneSet",
    "FlinkDeployment",
    "PyTorchJob",
    "RayService",
    "StatefulSet",
    "UnitedDeployment",
    "Workflow",
];

const RULES: &[Rule] = &[
    Rule {
        name: "not in this slice: scripted kinds",
        reason: "replicas of kinds outside Kubernetes are revised when interpreter scripts are built",
        applies: |input| {
            let version = input["template"]["apiVersion"].as_str().unwrap_or("");
            SCRIPTED
                .iter()
                .any(|kind| input["template"]["kind"] == *kind)
                && !["apps/v1", "batch/v1"].contains(&version)
        },
    },
    Rule {
        name: "impossible types",
        reason: "no API server stores a Job whose completions are a text",
        applies: |input| input["template"]["spec"]["completions"].is_string(),
    },
];

/// Marks of ours that have the same meaning as Karmada's.
const SHARED_ANNOTATIONS: [&str; 3] = [
    marks::KARMADA_TEMPLATE_UID,
    marks::KARMADA_TEMPLATE_GENERATION,
    marks::CONFLICT_RESOLUTION,
];

fn judge(input: &Value, out: &Value) -> Result<(), String> {
    let spec: BindingSpec =
        serde_json::from_value(input["binding"]["spec"].clone()).expect("a binding");
    let mut clusters = Vec::new();
    let mut error = None;
    for assignment in assignments(&spec, &input["template"]) {
        match render(&input["template"], &OverrideList::default(), &assignment) {
            Ok(rendered) => {
                let mut stamped = rendered.manifest.clone();
                let generation = input["template"]["metadata"]["generation"].as_i64();
                let marks = Marks {
                    work_id: "w".into(),
                    term: 1,
                    n: 1,
                    fence: 1,
                    template_uid: text(&input["template"]["metadata"]["uid"]),
                    template_generation: generation.filter(|n| *n > 0),
                    conflict: rendered.conflict,
                };
                stamp(&mut stamped, &marks);
                clusters.push(json!({
                    "cluster": assignment.cluster,
                    "manifest": rendered.manifest,
                    "marks": shared_marks(&stamped["metadata"]["annotations"]),
                    "managed": stamped["metadata"]["labels"][marks::MANAGED],
                }));
            }
            Err(e) => error = Some(e.to_string()),
        }
    }
    clusters.sort_by_key(|c| text(&c["cluster"]));
    let theirs = theirs(out);
    compare(
        error.map_or(Ok(json!(clusters)), Err),
        out["error"].is_null().then_some(&theirs),
    )
}

fn theirs(out: &Value) -> Value {
    let rendered = out["clusters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cluster| {
            let mut annotations = cluster["manifest"]["metadata"]["annotations"].clone();
            for (key, value) in cluster["addedAnnotations"]
                .as_object()
                .into_iter()
                .flatten()
            {
                annotations[key] = value.clone();
            }
            json!({
                "cluster": cluster["cluster"],
                "manifest": cluster["manifest"],
                "marks": shared_marks(&annotations),
                "managed": cluster["addedLabels"][marks::MANAGED],
            })
        });
    rendered.collect()
}

fn shared_marks(annotations: &Value) -> Value {
    SHARED_ANNOTATIONS
        .iter()
        .map(|key| annotations[key].clone())
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

#[test]
fn render_vectors() {
    check(
        "render",
        include_bytes!("../../vectors/render.jsonl.gz"),
        RULES,
        judge,
    );
}
