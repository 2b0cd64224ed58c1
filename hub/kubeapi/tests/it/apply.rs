//! Server-side apply, compared with recorded answers of a real server.

use super::replay::{Rule, check};

/// Steps that are not about ownership: the replay has no HTTP layer, no revisions and no deletion.
const KNOWN: &[Rule] = &[
    (
        "names of managers are checked by validation",
        |case, step, _| {
            let entries = &step["body"]["metadata"]["managedFields"];
            let name = entries[0]["manager"].as_str().unwrap_or_default();
            case == "managed-fields-invalid" && name.len() > 100
        },
    ),
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
