//! One case, step by step, in a namespace of its own.

use std::{
    collections::BTreeMap,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{FutureExt, future::BoxFuture};
use regex::Regex;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{Answer, Ask, Target, Watch},
    normal::Normaliser,
    suite::Case,
    view::dig,
};

/// How long a step with `until` is repeated.
const UNTIL_MAX: Duration = Duration::from_secs(15);
const UNTIL_PAUSE: Duration = Duration::from_millis(50);
/// After the expected events: a short look for surplus ones.
const SURPLUS: Duration = Duration::from_millis(120);
/// When nothing is expected yet (recording): as long as this between events.
const IDLE: Duration = Duration::from_millis(600);

static NAMES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{([a-z][a-z0-9_]*)\}").expect("a good pattern"));
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Sets the namespaces of this process apart from those of others on the same server.
static RUN: LazyLock<String> = LazyLock::new(|| {
    let letters = b"bcdfghjklmnpqrstvwxz";
    let bytes = uuid::Uuid::new_v4().into_bytes();
    let picked = bytes
        .iter()
        .take(5)
        .map(|byte| usize::from(*byte) % letters.len());
    picked.map(|index| char::from(letters[index])).collect()
});

/// A step with its names filled in, and what the server answered.
pub(super) struct Played {
    pub(super) step: Value,
    pub(super) answer: Value,
}

/// Plays a case; the normalised answers, in the order of the golden ones.
pub(super) async fn case(target: &Target, case: &Case, golden: Option<&[Value]>) -> Vec<Value> {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let ns = format!("h{}-{number:04}", *RUN);
    let mut run = Run {
        target,
        golden,
        vars: BTreeMap::from([("ns".to_owned(), json!(ns))]),
        played: Vec::new(),
        created: Vec::new(),
    };
    let in_namespace = case.namespace;
    if in_namespace {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}});
        target
            .quietly("POST", "/api/v1/namespaces", Some(&body))
            .await;
        if case.sa {
            let path = format!("/api/v1/namespaces/{ns}/serviceaccounts");
            let kind = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
            target.quietly("POST", &path, Some(&kind)).await;
        }
    }
    run.steps(&case.steps).await;
    for path in run.created.iter().rev() {
        target.quietly("DELETE", path, None).await;
    }
    if in_namespace {
        let path = format!("/api/v1/namespaces/{ns}");
        target.quietly("DELETE", &path, None).await;
    }
    let played: Vec<_> = run.played.into_iter().flatten().collect();
    Normaliser::new(&ns, case).all(&played)
}

struct Run<'a> {
    target: &'a Target,
    golden: Option<&'a [Value]>,
    vars: BTreeMap<String, Value>,
    /// A watch takes its place before the steps during it; its answer comes after them.
    played: Vec<Option<Played>>,
    /// Objects of the cluster that the case made.
    created: Vec<String>,
}

impl Run<'_> {
    fn steps<'s>(&'s mut self, steps: &'s [Value]) -> BoxFuture<'s, ()> {
        async move {
            for step in steps {
                if let Some(seconds) = step.get("sleep").and_then(Value::as_f64) {
                    sleep(Duration::from_secs_f64(seconds)).await;
                } else if step.get("watch").is_some() {
                    self.watch(step).await;
                } else {
                    self.request(step).await;
                }
            }
        }
        .boxed()
    }

    async fn request(&mut self, step: &Value) {
        let step = self.fill(step);
        let text = |key: &str| step.get(key).and_then(Value::as_str);
        let ask = Ask {
            method: text("method").unwrap_or("GET"),
            path: text("path").unwrap_or("/"),
            query: step.get("query").and_then(Value::as_object),
            headers: step.get("headers").and_then(Value::as_object),
            body: body_of(&step),
            user: text("user"),
        };
        let start = Instant::now();
        let (answer, body) = loop {
            let answer = self.target.send(&ask).await;
            let body = answer.value();
            let over = match step.get("until") {
                Some(until) => holds(until, &answer, &body) || start.elapsed() > UNTIL_MAX,
                None => true,
            };
            if over {
                break (answer, body);
            }
            sleep(UNTIL_PAUSE).await;
        };
        let captured = step.get("capture").and_then(Value::as_object);
        for (name, path) in captured.into_iter().flatten() {
            let found = dig(&body, path.as_str().unwrap_or_default());
            let found = found.cloned().unwrap_or_else(|| json!("MISSING"));
            self.vars.insert(name.clone(), found);
        }
        self.remember(&step, answer.status, &body);
        let answer = json!({
            "status": answer.status, "headers": answer.kept_headers(), "body": body,
        });
        self.played.push(Some(Played { step, answer }));
    }

    async fn watch(&mut self, step: &Value) {
        let mut filled = step.clone();
        if let Some(step) = filled.as_object_mut() {
            step.remove("during");
        }
        let filled = self.fill(&filled);
        let index = self.played.len();
        self.played.push(None);
        let watch = &filled["watch"];
        let ask = Ask {
            method: "GET",
            path: watch["path"].as_str().unwrap_or("/"),
            query: watch["query"].as_object(),
            headers: watch["headers"].as_object(),
            body: None,
            user: watch["user"].as_str(),
        };
        let mut running = self.target.watch(&ask).await;
        let during = step["during"].as_array();
        self.steps(during.map_or(&[], Vec::as_slice)).await;
        let expected = self.golden.and_then(|golden| golden.get(index));
        let mut answer = json!({
            "status": running.answer.status, "headers": running.answer.kept_headers(),
        });
        if running.answer.status == 200 {
            let (events, ended) = collect(&mut running, &filled, expected).await;
            answer["events"] = json!(events);
            if filled["to_end"].as_bool() == Some(true) {
                answer["ended"] = json!(ended);
            }
        } else {
            answer["events"] = json!([]);
            answer["body"] = running.answer.value();
        }
        let step = filled;
        self.played[index] = Some(Played { step, answer });
    }

    /// Fills `{names}` in; `$repeat` makes long texts.
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.fill_text(text)),
            Value::Array(list) => list.iter().map(|one| self.fill(one)).collect(),
            Value::Object(map) => {
                let repeat = map.get("$repeat").filter(|_| map.len() == 1);
                if let Some(Value::Array(repeat)) = repeat {
                    let text = repeat.first().and_then(Value::as_str).unwrap_or_default();
                    let count = repeat.get(1).and_then(Value::as_u64).unwrap_or_default();
                    return json!(text.repeat(usize::try_from(count).unwrap_or_default()));
                }
                let pairs = map.iter();
                let pairs = pairs.map(|(key, value)| (self.fill_text(key), self.fill(value)));
                Value::Object(pairs.collect())
            }
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> String {
        let filled = NAMES.replace_all(text, |found: &regex::Captures<'_>| {
            match self.vars.get(&found[1]) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => found[0].to_owned(),
            }
        });
        filled.into_owned()
    }

    /// Objects of the cluster are to be deleted after the case.
    fn remember(&mut self, step: &Value, status: u16, body: &Value) {
        let path = step["path"].as_str().unwrap_or_default();
        let dry = step
            .get("query")
            .is_some_and(|query| query.get("dryRun").is_some());
        if status != 201 || dry || path.contains("/namespaces/") {
            return;
        }
        let name = dig(body, "metadata.name").and_then(Value::as_str);
        match (step["method"].as_str(), name) {
            (Some("POST"), Some(name)) if !path.contains("reviews") => {
                self.created.push(format!("{path}/{name}"));
            }
            (Some("PATCH"), _) => self.created.push(path.to_owned()),
            _ => {}
        }
    }
}

fn body_of(step: &Value) -> Option<Vec<u8>> {
    if let Some(raw) = step.get("raw_b64").and_then(Value::as_str) {
        return Some(STANDARD.decode(raw).unwrap_or_default());
    }
    if let Some(raw) = step.get("raw").and_then(Value::as_str) {
        return Some(raw.as_bytes().to_vec());
    }
    step.get("body").map(|body| body.to_string().into_bytes())
}

fn holds(until: &Value, answer: &Answer, body: &Value) -> bool {
    let status = until.get("status").and_then(Value::as_u64);
    let field = until.get("field").and_then(Value::as_str);
    status.is_none_or(|status| status == u64::from(answer.status))
        && field.is_none_or(|field| {
            dig(body, field).unwrap_or(&Value::Null) == until.get("equals").unwrap_or(&Value::Null)
        })
}

/// Events up to the expected number and a short look for more, or until nothing comes; and whether
/// the watch is over.
async fn collect(watch: &mut Watch, step: &Value, expected: Option<&Value>) -> (Vec<Value>, bool) {
    let to_end = step["to_end"].as_bool() == Some(true);
    let longest = Duration::from_secs_f64(step["longest"].as_f64().unwrap_or(6.0));
    let expected = expected.map(|one| one["events"].as_array().map_or(0, Vec::len));
    let keep_bookmarks = step["keep_bookmarks"].as_bool() == Some(true);
    let end = Instant::now() + longest;
    let mut events: Vec<Value> = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wait = match expected {
            _ if to_end => left,
            None => left.min(IDLE),
            Some(count) if events.len() >= count => left.min(SURPLUS),
            Some(_) => left,
        };
        let line = match timeout(wait.max(Duration::from_millis(10)), watch.lines.recv()).await {
            Err(_) => return (events, false),
            Ok(None) => return (events, true),
            Ok(Some(line)) => line,
        };
        let event: Value = serde_json::from_slice(&line).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(&line).chars().take(200).collect();
            json!({"type": "UNPARSED", "object": text})
        });
        if is_bookmark(&event) {
            let unwanted = !keep_bookmarks && !ends_initial_events(&event);
            // How many come in a row is a matter of timers.
            if unwanted || events.last().is_some_and(is_bookmark) {
                continue;
            }
        }
        events.push(event);
    }
}

pub(super) fn is_bookmark(event: &Value) -> bool {
    event["type"] == "BOOKMARK"
}

fn ends_initial_events(event: &Value) -> bool {
    let object = &event["object"];
    let object = if object["kind"] == "Table" {
        &object["rows"][0]["object"]
    } else {
        object
    };
    let annotations = object["metadata"]["annotations"].as_object();
    annotations
        .is_some_and(|all: &Map<String, Value>| all.contains_key("k8s.io/initial-events-end"))
}
