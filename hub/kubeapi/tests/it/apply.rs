//! Server-side apply, compared with recorded answers of a real server.

use std::sync::Arc;

use flotilla_kubeapi::apply::{Manager, Operation, Reset, Set, Tracker, keep_times};
use flotilla_kubeapi::kinds::{Kind, Profile, builtin};
use serde_json::{Value, json};

use super::replay::{Rule, check};

/// Steps that are not about ownership: the replay has no HTTP layer, no revisions and no deletion.
const KNOWN: &[Rule] = &[
    ("the replay counts no revisions", |case, _, _| {
        case == "resource-version"
    }),
    (
        "system fields are guarded by the REST layer",
        |case, _, _| case == "system-fields",
    ),
    ("the replay deletes at once", |case, _, _| {
        case == "terminating-object"
    }),
    ("media types are checked by the HTTP layer", |case, _, _| {
        case == "apply-with-json-type"
    }),
    ("autoscaling/v1 is not served", |case, step, _| {
        case == "two-versions-one-manager" && step["m"] == "PATCH"
    }),
];

#[test]
fn recorded_applies() {
    check(include_bytes!("../vectors/ssa.jsonl.gz"), KNOWN);
}

const ALL: &[String] = &[];

fn config_map() -> Arc<Kind> {
    let is_it = |kind: &&Arc<Kind>| kind.plural == "configmaps";
    let kinds = builtin(Profile::Templates);
    let found = kinds.iter().find(is_it);
    Arc::clone(found.expect("there are config maps"))
}

fn write(name: &str, now: &str, live: Option<&Value>, data: Value) -> Value {
    let kind = config_map();
    let tracker = Tracker {
        kind: &kind,
        manager: Manager {
            name,
            operation: Operation::Update,
            api_version: "v1",
            subresource: "",
            now,
        },
        reset: &Reset::Nothing,
        versions: ALL,
    };
    let mut object = live.cloned().unwrap_or_else(
        || json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "1"}}),
    );
    object["data"] = data;
    tracker.update(live, object)
}

#[test]
fn old_writers_share_one_entry() {
    let mut data = json!({});
    let mut live: Option<Value> = None;
    for at in 0..13 {
        data[format!("k{at:02}")] = json!("1");
        let now = format!("2026-01-01T00:00:{at:02}Z");
        let name = format!("m{at:02}");
        live = Some(write(&name, &now, live.as_ref(), data.clone()));
    }
    let live = live.unwrap();
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    let names: Vec<_> = entries
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    let expected = [
        "ancient-changes",
        "m04",
        "m05",
        "m06",
        "m07",
        "m08",
        "m09",
        "m10",
        "m11",
        "m12",
    ];
    assert_eq!(names, expected);
    let shared = json!({"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}, "f:k03": {}}});
    assert_eq!(entries[0]["fieldsV1"], shared);
    assert_eq!(entries[0]["time"], "2026-01-01T00:00:03Z");
}

#[test]
fn a_write_of_the_same_leaves_everything() {
    let live = write("m", "2026-01-01T00:00:00Z", None, json!({"a": "1"}));
    let again = write("n", "2026-01-02T00:00:00Z", Some(&live), json!({"a": "1"}));
    assert_eq!(again, live);
}

#[test]
fn only_times_are_no_change() {
    let old = write("m", "2026-01-01T00:00:00Z", None, json!({"a": "1"}));
    let mut new = old.clone();
    new["metadata"]["managedFields"][0]["time"] = json!("2026-01-02T00:00:00Z");
    keep_times(&old, &mut new);
    assert_eq!(new, old);
    new["data"]["a"] = json!("2");
    new["metadata"]["managedFields"][0]["time"] = json!("2026-01-02T00:00:00Z");
    let changed = new.clone();
    keep_times(&old, &mut new);
    assert_eq!(new, changed);
}

/// Field sets are read as they are written, and shown as a real server shows them.
#[test]
fn fields_are_read_as_they_are_written() {
    let fields = json!({
        "f:metadata": {"f:finalizers": {".": {}, "v:\"a\"": {}}},
        "f:spec": {
            "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}},
            "f:list": {"i:3": {}},
        },
    });
    let set = Set::from_fields(&fields).unwrap();
    assert_eq!(set.to_fields(), fields);
    let texts = [
        ".metadata.finalizers",
        ".metadata.finalizers[=\"a\"]",
        ".spec.list[3]",
        ".spec.ports[port=80,protocol=\"TCP\"]",
        ".spec.ports[port=80,protocol=\"TCP\"].name",
    ];
    assert_eq!(set.texts(), texts);
    assert_eq!(set.difference(&set), Set::default());
    assert_eq!(set.clone().union(&set), set);
    assert_eq!(set.intersection(&set), set);
    for bad in [
        json!({"bad": {}}),
        json!({"x:a": {}}),
        json!({"k:{": {}}),
        json!({"f:a": 1}),
    ] {
        assert_eq!(Set::from_fields(&bad), None, "{bad}");
    }
}
