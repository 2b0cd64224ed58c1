//! Takes out of answers what differs from run to run.
//!
//! Ids, revisions, times and generated names become stable names, the same for the same value
//! within a case. Lists whose order is by time or by chance are sorted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::{
    play::{Played, is_bookmark},
    suite::Case,
    view::{self, dig, drop_path},
};

static UID: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"));
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z")
});
static IP: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^([0-9]{1,3}\.){3}[0-9]{1,3}$|^[0-9a-f]*:[0-9a-f:]+$"));
static AGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([0-9]+[smhdy])+$|^[0-9]{4}-.*Z$"));
static ACCESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"kube-api-access-[a-z0-9]{5}\b"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[0-9]{3,}\b"));

const AGE_COLUMNS: [&str; 5] = [
    "Age",
    "Last Seen",
    "First Seen",
    "Last Schedule",
    "Created At",
];
/// Times nearer than this to now were made by the run.
const RECENT_SECONDS: i64 = 2 * 86400;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a good pattern")
}

/// The stable names of one case.
pub(super) struct Normaliser<'a> {
    ns: &'a str,
    case: &'a Case,
    /// In the order in which they were seen.
    uids: Vec<(String, String)>,
    generated: Vec<(String, String)>,
    revisions: BTreeSet<u64>,
    times: BTreeSet<String>,
}

impl<'a> Normaliser<'a> {
    pub(super) fn new(ns: &'a str, case: &'a Case) -> Self {
        Self {
            ns,
            case,
            uids: Vec::new(),
            generated: Vec::new(),
            revisions: BTreeSet::new(),
            times: BTreeSet::new(),
        }
    }

    /// All answers of the case.
    pub(super) fn all(mut self, played: &[Played]) -> Vec<Value> {
        for Played { step, answer } in played {
            self.learn_from_errors(step, answer);
            if let Some(body) = answer.get("body") {
                self.learn(body);
            }
            let events = answer["events"].as_array();
            for event in events.into_iter().flatten() {
                if !is_bookmark(event) {
                    self.learn(&event["object"]);
                }
            }
        }
        played
            .iter()
            .map(|one| self.answer(&one.step, &one.answer))
            .collect()
    }

    /// Generated names that are mentioned in an error only.
    fn learn_from_errors(&mut self, step: &Value, answer: &Value) {
        let meta = &step["body"]["metadata"];
        let named = meta["name"].as_str().is_some_and(|name| !name.is_empty());
        let prefix = meta["generateName"].as_str().unwrap_or_default().to_owned();
        if prefix.is_empty() || named {
            return;
        }
        let start: String = prefix.chars().take(58).collect();
        let text = format!("{}[bcdfghjklmnpqrstvwxz0-9]{{5}}", regex::escape(&start));
        let body = answer["body"].to_string();
        for found in pattern(&text).find_iter(&body) {
            self.learn_generated(&prefix, found.as_str());
        }
    }

    fn learn_generated(&mut self, prefix: &str, name: &str) {
        if !self.generated.iter().any(|(known, _)| known == name) {
            let stable = format!("{prefix}<random{}>", self.generated.len() + 1);
            self.generated.push((name.to_owned(), stable));
        }
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(meta) = map.get("metadata").and_then(Value::as_object) {
                    self.learn_meta(value, meta);
                }
                let ordered: BTreeMap<_, _> = map.iter().collect();
                ordered.into_values().for_each(|inner| self.learn(inner));
            }
            Value::Array(list) => list.iter().for_each(|inner| self.learn(inner)),
            Value::String(text) => {
                for found in UID.find_iter(text) {
                    let uid = found.as_str();
                    let known = self.uids.iter().any(|(known, _)| known == uid);
                    if !known && !self.case.text.contains(uid) {
                        let name = format!("<uid{}>", self.uids.len() + 1);
                        self.uids.push((uid.to_owned(), name));
                    }
                }
                let times = TIME.find_iter(text).map(|found| found.as_str());
                self.times
                    .extend(times.filter(|time| recent(time)).map(str::to_owned));
            }
            _ => {}
        }
    }

    fn learn_meta(&mut self, object: &Value, meta: &Map<String, Value>) {
        let text = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or_default();
        let revision = revision(text("resourceVersion"));
        if let Some(revision) = revision.filter(|_| !is_list(object)) {
            self.revisions.insert(revision);
        }
        let (prefix, name) = (text("generateName"), text("name"));
        let made = !prefix.is_empty() && name.starts_with(prefix) && name != prefix;
        if made && !self.case.text.contains(&format!("\"{name}\"")) {
            self.learn_generated(prefix, name);
        }
    }

    fn answer(&self, step: &Value, answer: &Value) -> Value {
        let mut headers = self.value(&answer["headers"], "");
        if let (true, Some(headers)) = (
            self.case.tags.iter().any(|tag| tag == "random"),
            headers.as_object_mut(),
        ) {
            // The real server warns twice or not at all, by the age of its cache.
            headers.remove("warning");
        }
        let mut out = json!({"status": answer["status"], "headers": headers});
        if let Some(events) = answer["events"].as_array() {
            let mut columns = Value::Null;
            let events = events.iter();
            let mut events: Vec<_> = events
                .map(|event| self.event(event, &mut columns))
                .collect();
            let first = step["sort_first"].as_u64().unwrap_or_default();
            let first = usize::try_from(first).unwrap_or_default().min(events.len());
            events[..first].sort_by_key(|event| {
                let name = dig(event, "object.metadata.name");
                name.and_then(Value::as_str).unwrap_or("None").to_owned()
            });
            out["events"] = json!(events);
            if let Some(ended) = answer.get("ended") {
                out["ended"] = ended.clone();
            }
        }
        if let Some(body) = answer.get("body") {
            out["body"] = self.body(body, step);
        }
        out
    }

    /// `columns` = those of the first Table of a watch: later ones leave them out.
    fn event(&self, event: &Value, columns: &mut Value) -> Value {
        let mut object = event["object"].clone();
        if object["kind"] == "Table" {
            if object["columnDefinitions"].is_array() {
                *columns = object["columnDefinitions"].clone();
            }
            drop_ages(&mut object, columns);
        }
        if is_bookmark(event) && object.is_object() {
            self.bookmark(&mut object);
            let rows = object.get_mut("rows").and_then(Value::as_array_mut);
            for row in rows.into_iter().flatten() {
                self.bookmark(&mut row["object"]);
            }
        }
        json!({"type": event["type"], "object": self.body(&object, &Value::Null)})
    }

    fn bookmark(&self, object: &mut Value) {
        let found = object["metadata"]["resourceVersion"].as_str();
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            let found = self.list_revision(found);
            object["metadata"]["resourceVersion"] = json!(found);
        }
    }

    fn body(&self, body: &Value, step: &Value) -> Value {
        let view = step.get("view").unwrap_or(&Value::Null);
        let mut out = match view {
            Value::String(view) if view == "none" => return Value::Null,
            Value::String(view) if view == "kind" => {
                return if body.is_object() {
                    json!({"apiVersion": body["apiVersion"], "kind": body["kind"]})
                } else {
                    body.clone()
                };
            }
            Value::Object(view) => {
                if let Some(wanted) = view.get("discovery") {
                    return view::discovery(body, wanted);
                }
                if let Some(wanted) = view.get("aggregated") {
                    let text = |index: usize| wanted[index].as_str().unwrap_or_default();
                    return view::aggregated(body, text(0), text(1));
                }
                let paths = view.get("keep").and_then(Value::as_array);
                let paths = paths.into_iter().flatten().filter_map(Value::as_str);
                let kept = paths.map(|path| {
                    let found = dig(body, path).unwrap_or(&Value::Null);
                    let key = path.rsplit('.').next().unwrap_or_default();
                    (path.to_owned(), self.value(found, key))
                });
                Value::Object(kept.collect())
            }
            _ => self.value(body, ""),
        };
        let ignored = step.get("ignore").and_then(Value::as_array);
        for path in ignored.into_iter().flatten().filter_map(Value::as_str) {
            drop_path(&mut out, &path.split('.').collect::<Vec<_>>());
        }
        out
    }

    /// A value that stands at a key, or in a list at that key.
    fn value(&self, value: &Value, key: &str) -> Value {
        match value {
            Value::Object(map) => self.object(value, map),
            Value::Array(list) => {
                let mut list: Vec<_> = list.iter().map(|one| self.value(one, key)).collect();
                match key {
                    "managedFields" => sort_by(
                        &mut list,
                        &["operation", "subresource", "manager", "apiVersion"],
                    ),
                    "causes" => sort_by(&mut list, &["field", "reason", "message"]),
                    _ => {}
                }
                Value::Array(list)
            }
            Value::String(text) => json!(self.string(text, key)),
            Value::Number(number)
                if matches!(key, "nodePort" | "healthCheckNodePort")
                    && number.as_u64().is_some_and(|port| port > 0)
                    && !self.case.text.contains(&number.to_string()) =>
            {
                json!("<port>")
            }
            other => other.clone(),
        }
    }

    fn string(&self, text: &str, key: &str) -> String {
        let stable = match key {
            "clusterIP" | "clusterIPs"
                if IP.is_match(text) && !self.case.text.contains(&format!("\"{text}\"")) =>
            {
                "<ip>"
            }
            "continue" if !text.is_empty() => "<continue>",
            "token" if text.chars().count() > 100 => "<token>",
            _ => return self.text(text),
        };
        stable.to_owned()
    }

    fn object(&self, raw: &Value, map: &Map<String, Value>) -> Value {
        let mut ageless = raw.clone();
        if raw["kind"] == "Table" {
            drop_ages(&mut ageless, &raw["columnDefinitions"]);
        }
        let map = ageless.as_object().unwrap_or(map);
        let pairs = map.iter();
        let pairs = pairs.map(|(key, value)| (self.text(key), self.value(value, key)));
        let mut out: Map<String, Value> = pairs.collect();
        if let Some(Value::Object(meta)) = out.get_mut("metadata") {
            self.stable_revision(raw, meta);
        }
        if raw["kind"] == "Status" {
            self.stable_status(&mut out);
        }
        Value::Object(out)
    }

    fn stable_revision(&self, raw: &Value, meta: &mut Map<String, Value>) {
        let found = meta.get("resourceVersion").and_then(Value::as_str);
        let Some(found) = found.filter(|found| !found.is_empty() && !found.starts_with('<')) else {
            return;
        };
        let stable = if is_list(raw) {
            self.list_revision(found)
        } else {
            let known = found
                .parse()
                .ok()
                .filter(|one| self.revisions.contains(one));
            let Some(known) = known else {
                return;
            };
            format!("<rv{}>", self.revisions.range(..=known).count())
        };
        meta.insert("resourceVersion".into(), json!(stable));
    }

    fn list_revision(&self, found: &str) -> String {
        if found == "0" {
            return found.to_owned();
        }
        match revision(found) {
            Some(revision) => format!("<from rv{}>", self.revisions.range(..=revision).count()),
            None => "<opaque>".to_owned(),
        }
    }

    fn stable_status(&self, status: &mut Map<String, Value>) {
        self.stable_numbers(status);
        let mut count = 0;
        let causes = status
            .get_mut("details")
            .and_then(|all| all.get_mut("causes"));
        if let Some(causes) = causes.and_then(Value::as_array_mut) {
            count = causes.len();
            for cause in causes.iter_mut().filter_map(Value::as_object_mut) {
                self.stable_numbers(cause);
            }
        }
        let Some(Value::String(message)) = status.get_mut("message") else {
            return;
        };
        // The order of several causes is by chance.
        if let (true, Some((start, _))) = (count > 1, message.split_once(" is invalid: [")) {
            *message = format!("{start} is invalid: [<causes>]");
        }
    }

    fn stable_numbers(&self, object: &mut Map<String, Value>) {
        let Some(Value::String(message)) = object.get_mut("message") else {
            return;
        };
        let stable = NUMBER.replace_all(message, |found: &regex::Captures<'_>| {
            if self.case.text.contains(&found[0]) {
                found[0].to_owned()
            } else {
                "<n>".to_owned()
            }
        });
        *message = stable.into_owned();
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.replace(self.ns, "{ns}");
        for (from, to) in self.uids.iter().chain(&self.generated) {
            text = text.replace(from, to);
        }
        let text = ACCESS.replace_all(&text, "kube-api-access-<random>");
        let text = TIME.replace_all(&text, |found: &regex::Captures<'_>| self.time(&found[0]));
        text.into_owned()
    }

    fn time(&self, time: &str) -> String {
        if !recent(time) {
            return time.to_owned();
        }
        if self.case.times == "ordinal" && self.times.contains(time) {
            let order = self.times.range(..=time.to_owned()).count();
            return format!("<time{order}>");
        }
        "<time>".to_owned()
    }
}

fn revision(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|revision| plain && *revision > 0)
}

fn is_list(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    // A custom resource may call its lists as it likes.
    let own_list = object["items"].is_array() && object["metadata"]["name"].is_null();
    kind.ends_with("List") || kind == "Table" || kind == "Status" || own_list
}

fn recent(time: &str) -> bool {
    let whole = time.get(..19).map(|start| format!("{start}Z"));
    let made = whole.and_then(|whole| whole.parse::<Timestamp>().ok());
    made.is_some_and(|made| {
        (Timestamp::now().as_second() - made.as_second()).abs() < RECENT_SECONDS
    })
}

/// By these texts of each item, written as a JSON list: so did the recorder.
fn sort_by(list: &mut [Value], keys: &[&str]) {
    list.sort_by_cached_key(|item| {
        let texts = keys.iter().map(|key| match item.get(key) {
            Some(value) => value.to_string(),
            None => "\"\"".to_owned(),
        });
        texts.collect::<Vec<_>>().join(", ")
    });
}

/// Makes the cells of a Table's age columns say nothing.
fn drop_ages(table: &mut Value, columns: &Value) {
    let columns = columns.as_array().into_iter().flatten();
    let aged: Vec<_> = columns
        .map(|column| {
            let name = column["name"].as_str().unwrap_or_default();
            AGE_COLUMNS.contains(&name)
        })
        .collect();
    let rows = table.get_mut("rows").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten() {
        let cells = row.get_mut("cells").and_then(Value::as_array_mut);
        for (cell, aged) in cells.into_iter().flatten().zip(&aged) {
            if *aged && cell.as_str().is_some_and(|text| AGE.is_match(text)) {
                *cell = json!("<age>");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> Case {
        let mut case: Case = serde_json::from_str(text).unwrap();
        text.clone_into(&mut case.text);
        case
    }

    fn check(case_text: &str, answers: &[Value], expected: &[Value]) {
        let case = case(case_text);
        let played: Vec<_> = answers
            .iter()
            .map(|body| Played {
                step: json!({}),
                answer: json!({"status": 200, "headers": {}, "body": body}),
            })
            .collect();
        let found = Normaliser::new("h1-0001", &case).all(&played);
        let bodies: Vec<_> = found.iter().map(|one| one["body"].clone()).collect();
        assert_eq!(bodies, expected);
    }

    const CASE: &str = r#"{"name":"n","topic":"t","steps":[{"body":{"port":30007}}]}"#;

    #[test]
    fn ids_and_revisions_become_names_that_keep_their_order() {
        let object = |revision: &str| {
            json!({"kind": "Pod", "metadata": {
                "namespace": "h1-0001", "resourceVersion": revision,
                "uid": "01234567-89ab-cdef-0123-456789abcdef",
            }})
        };
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "95"}});
        let own = json!({"kind": "Odd", "items": [], "metadata": {"resourceVersion": "105"}});
        let stable = |revision: &str| {
            json!({"kind": "Pod", "metadata": {
                "namespace": "{ns}", "resourceVersion": revision, "uid": "<uid1>",
            }})
        };
        check(
            CASE,
            &[object("100"), object("90"), object("100"), list, own],
            &[
                stable("<rv2>"),
                stable("<rv1>"),
                stable("<rv2>"),
                json!({"kind": "PodList", "metadata": {"resourceVersion": "<from rv1>"}}),
                json!({"kind": "Odd", "items": [], "metadata": {"resourceVersion": "<from rv2>"}}),
            ],
        );
    }

    #[test]
    fn what_the_case_itself_says_stays() {
        let now = Timestamp::now().to_string();
        check(
            CASE,
            &[
                json!({"nodePort": 30007}),
                json!({"nodePort": 30008}),
                json!([now, "2001-02-03T04:05:06Z"]),
            ],
            &[
                json!({"nodePort": 30007}),
                json!({"nodePort": "<port>"}),
                json!(["<time>", "2001-02-03T04:05:06Z"]),
            ],
        );
    }

    #[test]
    fn generated_names_are_numbered() {
        check(
            CASE,
            &[
                json!({"metadata": {"generateName": "a-", "name": "a-x7k2p"}}),
                json!("a-x7k2p"),
            ],
            &[
                json!({"metadata": {"generateName": "a-", "name": "a-<random1>"}}),
                json!("a-<random1>"),
            ],
        );
    }

    #[test]
    fn several_causes_have_no_order() {
        let cause = |field: &str| json!({"field": field});
        let status = json!({"kind": "Status", "message": "x is invalid: [b, a]",
                            "details": {"causes": [cause("b"), cause("a")]}});
        let expected = json!({"kind": "Status", "message": "x is invalid: [<causes>]",
                              "details": {"causes": [cause("a"), cause("b")]}});
        check(CASE, &[status], &[expected]);
    }

    #[test]
    fn ages_in_tables_say_nothing() {
        let table = |age: &str, name: &str| {
            json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
                   "rows": [{"cells": [name, age]}]})
        };
        check(
            CASE,
            &[table("5s", "5s"), table("<unknown>", "a")],
            &[table("<age>", "5s"), table("<unknown>", "a")],
        );
    }
}
