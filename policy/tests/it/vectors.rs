//! Judges: inputs with the results of the incumbent's own code, and the one harness that runs them.
//!
//! A difference is allowed only by a rule over the input that says why. `FLOTILLA_VECTORS=dir` runs
//! the full files of that directory instead of the committed ones.

mod admission;
mod division;
mod filter;
mod image;
mod interpret;
mod matching;
mod outcome;
mod overrides;
mod prune;
mod quantity;
mod render;
mod schedule;
mod select;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A deliberate difference.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    /// Over the input only: a rule is never a list of cases.
    pub(crate) applies: fn(&Value) -> bool,
}

/// Runs every case of a file. `judge` compares what we decide for an input with its result.
pub(crate) fn check(
    file: &str,
    committed: &[u8],
    rules: &[Rule],
    judge: impl Fn(&Value, &Value) -> Result<(), String>,
) {
    let mut explained = vec![0; rules.len()];
    let (mut cases, mut equal, mut unlisted) = (0, 0, Vec::new());
    for line in text(file, committed).lines() {
        let case: Value = serde_json::from_str(line).expect("a vector is JSON");
        cases += 1;
        let Err(difference) = judge(&case["in"], &case["out"]) else {
            equal += 1;
            continue;
        };
        match rules.iter().position(|rule| (rule.applies)(&case["in"])) {
            Some(rule) => explained[rule] += 1,
            None => unlisted.push(format!("{}: {difference}", case["id"])),
        }
    }
    let listed: usize = explained.iter().sum();
    println!("{file}: {cases} cases, {equal} equal, {listed} listed differences");
    for (rule, count) in rules.iter().zip(&explained) {
        println!("  {count} {}: {}", rule.name, rule.reason);
    }
    let shown = unlisted.iter().take(12).cloned().collect::<Vec<_>>();
    assert!(
        unlisted.is_empty(),
        "{file}: {} unlisted differences, e.g.\n{}",
        unlisted.len(),
        shown.join("\n")
    );
    for (rule, count) in rules.iter().zip(&explained) {
        assert!(*count > 0, "{file}: rule {} explains nothing", rule.name);
    }
    assert!(cases > 0 && equal > 0, "{file}: nothing was compared");
}

#[expect(
    clippy::disallowed_methods,
    reason = "full files live outside the repository and are read on request only"
)]
fn text(file: &str, committed: &[u8]) -> String {
    let mut text = String::new();
    match std::env::var("FLOTILLA_VECTORS") {
        Ok(dir) => File::open(Path::new(&dir).join(format!("{file}.jsonl")))
            .expect("the directory holds the file")
            .read_to_string(&mut text),
        Err(_) => GzDecoder::new(committed).read_to_string(&mut text),
    }
    .expect("a vector file is text");
    text
}

/// The value at a path as a type of ours; absent is the default.
pub(crate) fn typed<T: DeserializeOwned + Default>(value: &Value, pointer: &str) -> T {
    match value.pointer(pointer) {
        None | Some(Value::Null) => T::default(),
        Some(found) => serde_json::from_value(found.clone()).expect("a vector holds our types"),
    }
}

/// Compares with what was expected, and says both when they differ.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    ours: &T,
    expected: &T,
) -> Result<(), String> {
    if ours == expected {
        return Ok(());
    }
    Err(format!("{what}: ours {ours:?}, expected {expected:?}"))
}

/// Whether the value at a path is there and not empty.
pub(crate) fn is_set(value: &Value, pointer: &str) -> bool {
    match value.pointer(pointer) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    }
}
