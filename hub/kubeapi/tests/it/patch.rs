//! Patches, compared with recorded answers of a real server.

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
