//! What becomes of a new object, compared with recorded answers of a real server: decoding,
//! defaults, preparation and validation together.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use flotilla_kubeapi::kinds::{Kind, Profile, builtin, defaults, prepare, validate};
use flotilla_kubeapi::schema::decode::{FieldValidation, decode};
use serde_json::{Value, json};

const PROFILE: Profile = Profile::Cluster;

/// A reason, and which rows it is about.
type Rule = (&'static str, fn(&Value) -> bool);

/// Differences that stand, with the reason: a rule over the recorded row.
const KNOWN: &[Rule] = &[
    (
        "what the service account adds is looked up by the REST layer",
        |row| {
            let case = row["case"].as_str().unwrap_or_default();
            row["plural"] == "pods" && case.contains("/pod-token") || case.contains("/pod-sa-")
        },
    ),
    (
        "volumes of images are on by default since 1.35; the recorded server drops them",
        |row| row["body"].to_string().contains("\"image\":{\"reference\""),
    ),
];

/// The rows of a compressed file of recorded answers.
pub(crate) fn rows(bytes: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    let read = GzDecoder::new(bytes).read_to_string(&mut text);
    read.expect("the committed file is readable");
    let parse = |line| serde_json::from_str(line).expect("a row is JSON");
    text.lines().map(parse).collect()
}

/// Runs one row; what came out, in the form of the row.
fn answer(kind: &Kind, row: &Value) -> Value {
    let mode = row["mode"].as_str().and_then(FieldValidation::from_query);
    let Some(mode) = mode else {
        return json!({"status": 422, "causes": [["fieldValidation", "FieldValueNotSupported"]]});
    };
    let mut found = Vec::new();
    let mut object = match decode(kind, row["body"].clone(), mode, &mut found) {
        Ok(object) => object,
        Err(status) => return json!({"status": status.code}),
    };
    defaults::apply(kind, PROFILE, &mut object);
    if kind.namespaced {
        object["metadata"]["namespace"] = json!("ns1");
    }
    object["metadata"]["uid"] = json!("uid-1");
    prepare::create(kind, PROFILE, &mut object, "<time>");
    let causes = validate::create(kind, PROFILE, &object);
    if !causes.is_empty() {
        let mut causes: Vec<_> = causes
            .iter()
            .map(|cause| json!([cause.field, cause.reason]))
            .collect();
        causes.sort_by_key(Value::to_string);
        return json!({"status": 422, "causes": causes});
    }
    json!({"status": 201, "object": object})
}

/// Takes away what depends on the moment or on other objects.
fn plain(kind: &Kind, mut answer: Value) -> Value {
    let numbered = ["<uid1>", "<uid2>", "<uid3>"]
        .iter()
        .fold(answer.to_string(), |text, uid| text.replace(uid, "uid-1"));
    answer = serde_json::from_str(&numbered).expect("still JSON");
    let metadata = answer["object"]["metadata"].as_object_mut();
    if let Some(metadata) = metadata {
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "selfLink",
        ] {
            metadata.remove(key);
        }
        metadata.remove("managedFields");
    }
    if kind.plural == "services" {
        let spec = &mut answer["object"]["spec"];
        if let Value::Object(spec) = spec {
            for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.remove(key);
            }
            spec.remove("healthCheckNodePort");
        }
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            port.as_object_mut().map(|port| port.remove("nodePort"));
        }
    }
    answer
}

#[test]
fn recorded_creates() {
    let kinds: BTreeMap<_, _> = builtin(PROFILE)
        .into_iter()
        .map(|kind| ((kind.group.clone(), kind.plural.clone()), kind))
        .collect();
    let mut known = BTreeMap::new();
    let (mut equal, mut wrong) = (0, Vec::new());
    for row in rows(include_bytes!("../vectors/create.jsonl.gz")) {
        let group = row["group"].as_str().unwrap_or_default().to_owned();
        let plural = row["plural"].as_str().unwrap_or_default().to_owned();
        let kind = &kinds[&(group, plural)];
        let expected = match row["status"].as_u64() {
            Some(201) => json!({"status": 201, "object": row["object"]}),
            Some(422) => json!({"status": 422, "causes": row["causes"]}),
            status => json!({"status": status}),
        };
        let got = plain(kind, answer(kind, &row));
        if got == plain(kind, expected.clone()) {
            equal += 1;
        } else if let Some((rule, _)) = KNOWN.iter().find(|(_, applies)| applies(&row)) {
            *known.entry(rule).or_insert(0) += 1;
        } else {
            let case = &row["case"];
            wrong.push(format!("{case}\n  expected {expected}\n  got      {got}"));
        }
    }
    println!("{equal} equal, {known:?}, {} wrong", wrong.len());
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(known.len(), KNOWN.len(), "each rule matches something");
}
