//! Columns and cells of Tables, compared with recorded ones of a real server, and ages.

use std::sync::Arc;

use flotilla_kubeapi::kinds::columns::{cells, definitions, human};
use flotilla_kubeapi::kinds::{Kind, Profile, custom, defaults, prepare};
use flotilla_kubeapi::schema::decode::{FieldValidation, decode};
use serde_json::{Value, json};

use crate::create::rows;
use crate::schemas::kind;

const PROFILE: Profile = Profile::Cluster;

/// The object of a row, as it was when the Table was made.
fn object(kind: &Kind, row: &Value) -> Value {
    let mut found = Vec::new();
    let body = row["body"].clone();
    let decoded = decode(kind, body, FieldValidation::Ignore, &mut found);
    let mut object = decoded.expect("a good object");
    defaults::apply(kind, PROFILE, &mut object);
    object["metadata"]["uid"] = json!("uid-1");
    object["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    prepare::create(kind, PROFILE, &mut object, "2020-01-01T00:00:00Z");
    for patch in row["patches"].as_array().into_iter().flatten() {
        json_patch::merge(&mut object, patch);
    }
    object
}

fn kind_of(row: &Value) -> Arc<Kind> {
    if row["crd"].is_null() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        return kind(&text(&row["group"]), &text(&row["body"]["kind"]));
    }
    let made = custom(&row["crd"]).expect("a good definition");
    Arc::clone(&made[0])
}

#[test]
fn recorded_tables() {
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let (mut equal, mut wrong) = (0, Vec::new());
    for row in rows(include_bytes!("../vectors/columns.jsonl.gz")) {
        let kind = kind_of(&row);
        let columns: Vec<_> = definitions(&kind)
            .into_iter()
            .map(|column| json!([column.name, column.ty, column.format, column.priority]))
            .collect();
        let expected = row["cells"].as_array().expect("cells");
        let mut got = cells(&kind, &object(&kind, &row), now);
        // What depends on the moment was recorded as a word.
        for (got, expected) in got.iter_mut().zip(expected) {
            let text = expected.as_str().unwrap_or_default();
            if text == "<age>" {
                *got = expected.clone();
            } else if text.contains("<uid") {
                let end = text.find("<uid").unwrap_or_default();
                let shown = got.as_str().unwrap_or_default();
                if shown == format!("{}uid-1", &text[..end]) {
                    *got = expected.clone();
                }
            }
        }
        if got == *expected && Value::Array(columns.clone()) == row["columns"] {
            equal += 1;
        } else {
            let (case, cells) = (&row["case"], Value::from(got));
            let columns = Value::from(columns);
            wrong.push(format!(
                "{case}\n  expected {}\n  got      {cells}\n  expected {}\n  got      {columns}",
                row["cells"], row["columns"]
            ));
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

#[test]
fn ages() {
    let (minute, hour, day) = (60, 3600, 86400);
    for (seconds, expected) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (10 * minute + 5, "10m"),
        (179 * minute, "179m"),
        (3 * hour, "3h"),
        (3 * hour + 10 * minute, "3h10m"),
        (8 * hour + 10 * minute, "8h"),
        (48 * hour, "2d"),
        (53 * hour, "2d5h"),
        (8 * day, "8d"),
        (729 * day, "729d"),
        (731 * day, "2y1d"),
        (730 * day, "2y"),
        (2920 * day + 5, "8y"),
    ] {
        assert_eq!(human(seconds), expected, "{seconds}");
    }
}
