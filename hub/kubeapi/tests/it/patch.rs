//! Patches, compared with recorded answers of a real server.

use flotilla_kubeapi::patch;
use serde_json::{Value, json};

use super::replay::{Rule, check};

/// Steps that are not about patches: the replay has no HTTP layer, no revisions and no admission.
const KNOWN: &[Rule] = &[
    (
        "double fields are found by the reader of bodies",
        |case, step, _| case == "merge-bodies" && step["q"]["fieldValidation"] == "Strict",
    ),
    (
        "options of a request are checked by the HTTP layer",
        |case, _, _| case == "patch-options",
    ),
    ("admission adds tolerations to pods", |case, step, _| {
        case == "strategic-pod-image" && step["body"]["spec"].get("tolerations").is_some()
    }),
    (
        "labels and finalizers of a namespace are set by its strategy",
        |case, _, _| case == "strategic-ns-finalizers-conditions",
    ),
    ("a real server names the UID twice", |case, _, _| {
        case == "strategic-uid-precondition"
    }),
    (
        "the type that a patch may not change is compared by the HTTP layer",
        |case, step, _| case == "patch-cr" && step["body"].get("spec").is_none(),
    ),
];

#[test]
fn recorded_patches() {
    check(include_bytes!("../vectors/patch.jsonl.gz"), KNOWN);
}

/// What a patch of one operation makes of an object; none = it is refused with this code.
fn one(live: &Value, operation: Value) -> Result<Value, u16> {
    patch::json(live, &json!([operation])).map_err(|status| status.code)
}

#[test]
fn odd_pointers() {
    let live = json!({"l": [1, 2, 3], "m": {"a/b": 1, "~": 2}, "n": null});
    let cases = [
        (json!({"op": "remove", "path": "/l/-1"}), Ok(json!([1, 2]))),
        (json!({"op": "remove", "path": "/l/00"}), Ok(json!([2, 3]))),
        (
            json!({"op": "add", "path": "/l/-4", "value": 0}),
            Ok(json!([0, 1, 2, 3])),
        ),
        (
            json!({"op": "add", "path": "/l/3", "value": 4}),
            Ok(json!([1, 2, 3, 4])),
        ),
        (json!({"op": "add", "path": "/l/4", "value": 4}), Err(422)),
        (json!({"op": "add", "path": "/l/-5", "value": 4}), Err(422)),
        (
            json!({"op": "replace", "path": "/l/-", "value": 4}),
            Err(422),
        ),
        (json!({"op": "remove", "path": "/l/x"}), Err(422)),
        (
            json!({"op": "test", "path": "/m/a~1b", "value": 1}),
            Ok(json!([1, 2, 3])),
        ),
        (
            json!({"op": "test", "path": "/m/~0", "value": 2}),
            Ok(json!([1, 2, 3])),
        ),
        (json!({"op": "add", "path": "/n/x", "value": 2}), Err(422)),
        (json!({"op": "remove", "path": ""}), Err(422)),
        (json!({"op": "remove"}), Err(422)),
    ];
    for (operation, expected) in cases {
        let got = one(&live, operation.clone()).map(|object| object["l"].clone());
        assert_eq!(got, expected, "{operation}");
    }
    assert_eq!(patch::json(&live, &json!({})).unwrap_err().code, 400);
    assert_eq!(patch::json(&live, &json!([1])).unwrap_err().code, 400);
    let many = vec![json!({"op": "test", "path": "/n", "value": null}); 10_001];
    assert_eq!(
        patch::json(&live, &Value::Array(many)).unwrap_err().code,
        413
    );
}

/// Copies of copies double each time: forty of them would fill the memory.
#[test]
fn copies_are_bounded() {
    let live = json!({"a": {"text": "0123456789"}});
    let copy = |at: usize| json!({"op": "copy", "from": "/a", "path": format!("/a/x{at}")});
    let copies: Vec<_> = (0..40).map(copy).collect();
    assert_eq!(
        patch::json(&live, &Value::Array(copies)).unwrap_err().code,
        422
    );
}
