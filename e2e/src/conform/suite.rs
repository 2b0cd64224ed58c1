//! The files: cases and golden answers, a gzipped file of JSON lines per topic.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::{Compression, GzBuilder, read::MultiGzDecoder};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ConformError;

/// Topics that need controllers, which a server alone does not have.
const WITH_CONTROLLERS: &[&str] = &["kcm"];

/// A sequence of requests.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// Name, unique within its topic.
    pub name: String,
    /// Topic.
    pub topic: String,
    /// What it is about besides its topic.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The steps, as written.
    pub steps: Vec<Value>,
    /// A namespace of its own is made for it.
    #[serde(default = "yes")]
    pub namespace: bool,
    /// A ServiceAccount `default` is made first.
    #[serde(default)]
    pub sa: bool,
    /// Nothing else may run beside this topic.
    #[serde(default)]
    pub serial: bool,
    /// `ordinal` = times are compared by their order.
    #[serde(default)]
    pub times: String,
    /// The whole line: what occurs in it was not made by the server.
    #[serde(skip)]
    pub text: String,
}

fn yes() -> bool {
    true
}

impl Case {
    /// The requests, in the order of the golden answers, in a short form.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let mut requests = Vec::new();
        flatten(&self.steps, &mut requests);
        requests
    }
}

fn flatten(steps: &[Value], requests: &mut Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for step in steps {
        if let Some(watch) = step.get("watch") {
            requests.push(format!("WATCH {} {}", text(&watch["path"]), watch["query"]));
            let during = step["during"].as_array();
            flatten(during.map_or(&[], Vec::as_slice), requests);
        } else if step.get("sleep").is_none() {
            let query = step.get("query").map(Value::to_string).unwrap_or_default();
            let (method, path) = (text(&step["method"]), text(&step["path"]));
            requests.push(format!("{method} {path} {query}"));
        }
    }
}

/// All topics.
#[derive(Debug, Clone)]
pub struct Suite {
    dir: PathBuf,
    cases: BTreeMap<String, Vec<Arc<Case>>>,
    golden: BTreeMap<(String, String), Vec<Value>>,
}

impl Suite {
    /// Reads `cases/` and `golden/` of a folder; none = those of this repository.
    pub fn load(dir: Option<&Path>) -> Result<Self, ConformError> {
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("conform");
        let dir = dir.map_or_else(own, Path::to_owned);
        let mut suite = Self {
            dir,
            cases: BTreeMap::new(),
            golden: BTreeMap::new(),
        };
        for topic in suite.found_topics()? {
            let lines = lines(&suite.path("cases", &topic))?;
            let cases = lines.into_iter().map(|(text, value)| {
                let mut case: Case = serde_json::from_value(value)?;
                case.text = text;
                Ok(Arc::new(case))
            });
            let cases: Result<Vec<_>, _> = cases.collect();
            let path = suite.path("cases", &topic);
            let cases = cases.map_err(|source| ConformError::Line {
                path,
                line: 0,
                source,
            })?;
            suite.cases.insert(topic.clone(), cases);
            let golden = suite.path("golden", &topic);
            if !golden.exists() {
                continue;
            }
            for (_, mut line) in self::lines(&golden)? {
                let name = line["case"].as_str().unwrap_or_default().to_owned();
                if let Value::Array(steps) = line["steps"].take() {
                    suite.golden.insert((topic.clone(), name), steps);
                }
            }
        }
        Ok(suite)
    }

    /// These topics, or all that need no controllers.
    #[must_use]
    pub fn topics<'a>(&'a self, wanted: &'a [String]) -> Vec<&'a str> {
        let all = self.cases.keys().map(String::as_str);
        all.filter(|topic| match wanted {
            [] => !WITH_CONTROLLERS.contains(topic),
            named => named.iter().any(|name| name == topic),
        })
        .collect()
    }

    /// The cases of a topic.
    #[must_use]
    pub fn cases(&self, topic: &str) -> &[Arc<Case>] {
        self.cases.get(topic).map_or(&[], Vec::as_slice)
    }

    /// The answers of the real server, per step; none = they were not recorded.
    #[must_use]
    pub fn golden(&self, case: &Case) -> Option<&[Value]> {
        let key = (case.topic.clone(), case.name.clone());
        self.golden.get(&key).map(Vec::as_slice)
    }

    /// Writes new golden answers of a topic; cases without new ones keep theirs.
    pub fn save(
        &self,
        topic: &str,
        answers: &BTreeMap<String, Vec<Value>>,
    ) -> Result<(), ConformError> {
        let mut text = String::new();
        for case in self.cases(topic) {
            let new = answers.get(&case.name).map(Vec::as_slice);
            if let Some(steps) = new.or_else(|| self.golden(case)) {
                let line = sorted(&json!({"case": case.name, "steps": steps}));
                text += &format!("{line}\n");
            }
        }
        let path = self.path("golden", topic);
        let write = || {
            let file = File::create(&path)?;
            // No name and no time: the same answers make the same file.
            let mut zip = GzBuilder::new().write(file, Compression::best());
            zip.write_all(text.as_bytes())?;
            zip.finish()
        };
        let done = write();
        done.map_err(|source| ConformError::File { path, source })?;
        Ok(())
    }

    fn path(&self, kind: &str, topic: &str) -> PathBuf {
        self.dir.join(kind).join(format!("{topic}.jsonl.gz"))
    }

    fn found_topics(&self) -> Result<Vec<String>, ConformError> {
        let path = self.dir.join("cases");
        let entries = fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|source| ConformError::File { path, source })?;
        let names = entries.iter().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".jsonl.gz").map(str::to_owned)
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names)
    }
}

/// The lines of a file, as text and as JSON.
fn lines(path: &Path) -> Result<Vec<(String, Value)>, ConformError> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| MultiGzDecoder::new(file).read_to_string(&mut text));
    read.map_err(|source| ConformError::File {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.split('\n').enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let value = serde_json::from_str(line).map_err(|source| ConformError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })?;
            Ok((line.to_owned(), value))
        })
        .collect()
}

/// The same value with its keys in order, whatever map lies beneath.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map.iter().collect();
            let pairs = ordered.into_iter();
            let pairs = pairs.map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
