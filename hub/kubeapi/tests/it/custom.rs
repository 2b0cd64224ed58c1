//! CustomResourceDefinitions and their objects, compared with recorded answers of a real server.

use std::sync::Arc;

use flotilla_kubeapi::kinds::custom::{accept_names, is_established, priority, warnings};
use flotilla_kubeapi::kinds::{Kind, Profile, custom, defaults, prepare, validate};
use flotilla_kubeapi::schema::decode::{FieldValidation, decode};
use serde_json::{Value, json};

use crate::create::rows;
use crate::schemas::kind;

const PROFILE: Profile = Profile::Cluster;

/// The row of a version.
fn row_of(crd: &Value, version: &Value) -> Option<Arc<Kind>> {
    let rows = custom(crd).expect("a definition with versions");
    let mut rows = rows.into_iter();
    rows.find(|row| *version == json!(row.version))
}

fn answer(row: &Value) -> Value {
    let (kind, body) = match &row["definition"] {
        Value::Null => (row_of(&row["crd"], &row["version"]), &row["body"]),
        crd => (
            Some(kind("apiextensions.k8s.io", "CustomResourceDefinition")),
            crd,
        ),
    };
    let kind = kind.expect("a served version");
    let mode = FieldValidation::from_query(row["mode"].as_str().unwrap_or_default());
    let mut found = Vec::new();
    let decoded = decode(&kind, body.clone(), mode.unwrap_or_default(), &mut found);
    let mut object = match decoded {
        Ok(object) => object,
        Err(status) => return json!({"status": status.code}),
    };
    defaults::apply(&kind, PROFILE, &mut object);
    if kind.namespaced {
        object["metadata"]["namespace"] = json!("ns1");
    }
    prepare::create(&kind, PROFILE, &mut object, "<time>");
    let causes = validate::create(&kind, PROFILE, &object);
    if !causes.is_empty() {
        let causes = causes
            .iter()
            .map(|cause| json!([cause.field, cause.reason]));
        let mut causes: Vec<_> = causes.collect();
        causes.sort_by_key(Value::to_string);
        return json!({"status": 422, "causes": causes});
    }
    if !kind.warning.is_empty() {
        found.push(kind.warning.clone());
    }
    found.sort();
    let metadata = object["metadata"].as_object_mut();
    metadata.expect("metadata is there").remove("generation");
    json!({"status": 201, "object": object, "warnings": found})
}

#[test]
fn recorded_definitions_and_objects() {
    let (mut equal, mut wrong) = (0, Vec::new());
    for row in rows(include_bytes!("../vectors/custom.jsonl.gz")) {
        let mut expected = match row["status"].as_u64() {
            Some(201) => {
                json!({"status": 201, "object": row["object"], "warnings": row["warnings"]})
            }
            Some(422) => json!({"status": 422, "causes": row["causes"]}),
            status => json!({"status": status}),
        };
        if let Some(metadata) = expected["object"]["metadata"].as_object_mut() {
            for key in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
                metadata.remove(key);
            }
        }
        // What the storage version does not know goes when it is stored, which happens elsewhere.
        if row["version"] == "v1beta1" {
            let spec = expected["object"]["spec"].as_object_mut();
            spec.expect("a spec").insert("b".to_owned(), json!("B"));
        }
        let (got, expected) = (answer(&row).to_string(), expected.to_string());
        // `expected` may have gained empty parts by being looked at.
        if got == expected.replace(",\"object\":{\"metadata\":null}", "")
            || got == expected.replace("\"object\":{\"metadata\":null},", "")
        {
            equal += 1;
        } else {
            let case = &row["case"];
            wrong.push(format!("{case}\n  expected {expected}\n  got      {got}"));
        }
    }
    println!("{equal} equal, {} wrong", wrong.len());
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn definition(plural: &str, kind: &str) -> Value {
    json!({
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {
                "plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                "listKind": format!("{kind}List"),
            },
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "x-kubernetes-validations": [{"rule": "true"}],
                }}},
            }}],
        },
        "status": {"conditions": null, "storedVersions": ["v1"]},
    })
}

#[test]
fn names_are_accepted_once() {
    let mut first = definition("widgets", "Widget");
    first["status"] = accept_names(&first, &[], "then");
    assert!(is_established(&first));
    assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);
    let again = accept_names(&first, &[], "later");
    assert_eq!(again, first["status"], "nothing moves without a change");

    let mut second = definition("gadgets", "Widget");
    second["status"] = accept_names(&second, &[&first], "then");
    assert!(!is_established(&second));
    assert_eq!(
        second["status"]["acceptedNames"],
        json!({"kind": "", "plural": "gadgets"})
    );
    assert_eq!(
        second["status"]["conditions"][0],
        json!({
            "type": "NamesAccepted", "status": "False", "reason": "ListKindConflict",
            "message": "\"WidgetList\" is already in use", "lastTransitionTime": "then",
        })
    );
    assert_eq!(warnings(&first).len(), 1, "rules are not evaluated");
}

#[test]
fn versions_have_an_order() {
    let mut versions = ["v1alpha1", "v2", "v1", "v1beta2", "odd", "v10", "v1beta1"];
    versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    let expected = ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "odd"];
    assert_eq!(versions, expected);
}
