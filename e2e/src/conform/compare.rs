//! Two normalised answers, side by side.

use std::collections::BTreeSet;

use serde_json::Value;

/// One place where answers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where, such as `body.spec.ports.0`.
    pub path: String,
    /// Free text: the wording may differ, its presence may not.
    pub text: bool,
    /// The real server's value; none = nothing stands there.
    pub golden: Option<Value>,
    /// The value of the server under test.
    pub actual: Option<Value>,
}

/// All differences between two answers.
#[must_use]
pub fn compare(golden: &Value, actual: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(Some(golden), Some(actual), &mut Vec::new(), "", &mut found);
    found
}

fn walk(
    golden: Option<&Value>,
    actual: Option<&Value>,
    path: &mut Vec<String>,
    owner: &str,
    found: &mut Vec<Difference>,
) {
    match (golden, actual) {
        (Some(Value::Object(g)), Some(Value::Object(a))) => {
            let kind = g.get("kind").and_then(Value::as_str);
            let owner = match kind {
                Some(kind) if g.contains_key("apiVersion") => kind,
                _ => owner,
            };
            let keys: BTreeSet<_> = g.keys().chain(a.keys()).collect();
            for key in keys {
                path.push(key.clone());
                walk(g.get(key), a.get(key), path, owner, found);
                path.pop();
            }
        }
        (Some(Value::Array(g)), Some(Value::Array(a))) if g.len() == a.len() => {
            for (index, (one, other)) in g.iter().zip(a).enumerate() {
                path.push(index.to_string());
                walk(Some(one), Some(other), path, owner, found);
                path.pop();
            }
        }
        _ if golden == actual => {}
        _ => {
            let texts = [golden, actual]
                .iter()
                .all(|one| one.is_some_and(Value::is_string));
            found.push(Difference {
                path: path.join("."),
                text: texts && is_free_text(path, owner),
                golden: golden.cloned(),
                actual: actual.cloned(),
            });
        }
    }
}

fn is_free_text(path: &[String], owner: &str) -> bool {
    let last = path.last().map_or("", String::as_str);
    match path {
        [only] if only == "body" => return true,
        [first, second, ..] if first == "headers" && second == "warning" => return true,
        _ => {}
    }
    match owner {
        "Status" | "CustomResourceDefinition" => last == "message",
        "Table" => last == "description",
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            matches!(last, "reason" | "evaluationError")
        }
        _ => false,
    }
}
