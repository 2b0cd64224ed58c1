//! The recorded sequences themselves, and how answers are compared.

use std::collections::BTreeSet;

use flotilla_e2e::conform::{RULES, Suite, compare};
use serde_json::{Value, json};

#[test]
fn every_case_has_an_answer_for_every_request() {
    let suite = Suite::load(None).unwrap();
    let mut count = 0;
    for topic in suite.topics(&[]) {
        let mut names = BTreeSet::new();
        for case in suite.cases(topic) {
            assert!(
                names.insert(&case.name),
                "{topic}/{} is there twice",
                case.name
            );
            let golden = suite.golden(case).map(<[Value]>::len);
            assert_eq!(golden, Some(case.requests().len()), "{topic}/{}", case.name);
            count += 1;
        }
    }
    assert!(count >= 708, "{count} sequences");
}

#[test]
fn every_listed_difference_has_a_case_and_a_reason() {
    let suite = Suite::load(None).unwrap();
    for rule in RULES {
        assert!(!rule.reason.is_empty(), "{rule:?}");
        let mut cases = suite.cases(rule.topic).iter();
        assert!(
            cases.any(|case| rule.covers(case, rule.path)),
            "{rule:?} covers nothing"
        );
    }
}

/// Paths of differences; a tilde before those of free text.
fn check(golden: Value, actual: Value, expected: &[&str]) {
    let found = compare(&golden, &actual);
    let found: Vec<_> = found
        .iter()
        .map(|one| format!("{}{}", if one.text { "~" } else { "" }, one.path))
        .collect();
    assert_eq!(found, expected, "{golden} {actual}");
}

#[test]
fn only_the_wording_of_texts_may_differ() {
    let status = |message: &str, code: u16| json!({"body": {"kind": "Status", "apiVersion": "v1", "message": message, "code": code}});
    check(status("a", 404), status("a", 404), &[]);
    check(status("a", 404), status("b", 404), &["~body.message"]);
    check(
        status("a", 404),
        status("b", 409),
        &["body.code", "~body.message"],
    );
    check(json!({"body": "a"}), json!({"body": "b"}), &["~body"]);
    check(json!({"body": "a"}), json!({}), &["body"]);
    check(
        json!({"body": {"message": "a"}}),
        json!({"body": {"message": "b"}}),
        &["body.message"],
    );
    let warned = |texts: &[&str]| json!({"headers": {"warning": texts}});
    check(warned(&["a"]), warned(&["b"]), &["~headers.warning.0"]);
    check(warned(&["a"]), warned(&["a", "b"]), &["headers.warning"]);
    check(json!({"a": 1}), json!({"a": "1"}), &["a"]);
    check(json!({"a": 1}), json!({"a": 1.0}), &["a"]);
}
