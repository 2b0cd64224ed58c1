//! Runs recorded results of the real Karmada against ours.
//!
//! Every difference is covered by a rule over the input that says why, never by a list of cases.
//! `FLOTILLA_VECTORS=dir` reads whole files from a directory instead of the committed ones.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

mod image;
mod overrides;
mod prune;
mod render;

/// A difference we want: on which inputs, and why.
pub(crate) struct Rule {
    /// Short name, printed with its count.
    pub(crate) name: &'static str,
    /// Why we differ.
    pub(crate) reason: &'static str,
    /// Whether the rule explains a difference on this input.
    pub(crate) applies: fn(&Value) -> bool,
}

/// Runs every case of a file; `judge` compares our result for `in` with `out`.
pub(crate) fn check(
    file: &str,
    committed: &[u8],
    rules: &[Rule],
    judge: impl Fn(&Value, &Value) -> Result<(), String>,
) {
    let text = read(file, committed);
    let (mut cases, mut equal) = (0, 0);
    let mut listed: BTreeMap<&str, usize> = rules.iter().map(|r| (r.name, 0)).collect();
    let mut unlisted = Vec::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        cases += 1;
        let Err(difference) = judge(&case["in"], &case["out"]) else {
            equal += 1;
            continue;
        };
        match rules.iter().find(|r| (r.applies)(&case["in"])) {
            Some(rule) => *listed.entry(rule.name).or_default() += 1,
            None => unlisted.push(format!("{}: {difference}", case["id"])),
        }
    }
    println!(
        "{file}: {cases} cases, {equal} equal, {} unlisted",
        unlisted.len()
    );
    for rule in rules {
        println!("  {:4} {}: {}", listed[rule.name], rule.name, rule.reason);
    }
    let unused: Vec<_> = listed
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(name, _)| name)
        .collect();
    assert!(cases > 0, "{file} holds no case");
    assert!(
        unlisted.is_empty(),
        "{file}: unlisted differences:\n{}",
        unlisted.join("\n")
    );
    assert!(
        unused.is_empty(),
        "{file}: rules that explain nothing: {unused:?}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test may read what a person points it to"
)]
fn read(file: &str, committed: &[u8]) -> String {
    if let Ok(dir) = std::env::var("FLOTILLA_VECTORS") {
        return std::fs::read_to_string(format!("{dir}/{file}.jsonl")).expect("a file of cases");
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(committed)
        .read_to_string(&mut text)
        .expect("committed cases are gzipped text");
    text
}

/// Whether two values are the same API JSON: numbers by value, as Go prints `3.0` as `3`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

/// Compares our result with Karmada's: both refuse, or both have the same value.
pub(crate) fn compare(ours: Result<Value, String>, theirs: Option<&Value>) -> Result<(), String> {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) if same(&ours, theirs) => Ok(()),
        (Err(_), None) => Ok(()),
        (ours, theirs) => Err(format!(
            "\n  ours   {}\n  theirs {}",
            show(ours),
            show(theirs.ok_or("refused".to_owned()).cloned())
        )),
    }
}

fn show(result: Result<Value, String>) -> String {
    result.map_or_else(|e| format!("error: {e}"), |v| v.to_string())
}
