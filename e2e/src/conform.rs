//! Whether a server answers as a real kube-apiserver does.
//!
//! `conform/cases` holds sequences of requests, `conform/golden` the normalised answers of a real
//! kube-apiserver; both are gzipped JSON lines. This file plays the sequences against a server and
//! counts differences; `rules` lists those that we mean, with reasons. Free text (messages) may
//! differ. It never judges what is not recorded.

mod client;
mod compare;
mod normal;
mod play;
mod rules;
mod suite;
mod view;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use futures::StreamExt;
use serde_json::Value;

pub use client::Target;
pub use compare::{Difference, compare};
pub use rules::{RULES, Rule};
pub use suite::{Case, Suite};

/// What goes wrong around a run; differences are no errors.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{} line {line}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The kubeconfig cannot be used.
    #[error("read the kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// No client can be made for it.
    #[error("make a client")]
    Client(#[from] kube::Error),
}

/// What to play, and against whom.
#[derive(Debug, clap::Parser)]
#[command(name = "conform", max_term_width = 100)]
pub struct Args {
    /// Server and credential; the user must belong to system:masters
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Token of the second user, alice (without it: impersonation)
    #[arg(long)]
    user_token: Option<String>,
    /// Folder with cases/ and golden/ (default: those of this repository)
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only these topics (repeatable); kcm needs controllers and runs only when named
    #[arg(long)]
    topic: Vec<String>,
    /// Only cases whose name contains this
    #[arg(long)]
    case: Option<String>,
    /// Only cases with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Leave out cases with this tag (repeatable)
    #[arg(long)]
    skip_tag: Vec<String>,
    /// Cases at the same time
    #[arg(short, long, default_value_t = 4)]
    jobs: usize,
    /// Print the differences
    #[arg(short, long)]
    verbose: bool,
    /// With -v, print differences of free text too
    #[arg(long)]
    text: bool,
    /// Write what the server answers as the golden answers of these cases, instead of comparing
    #[arg(long)]
    record: bool,
}

/// Which cases to play.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these topics; empty = all but those that need controllers.
    pub topics: Vec<String>,
    /// Only names that contain this; empty = all.
    pub name: String,
    /// Only cases with this tag.
    pub tag: Option<String>,
    /// No cases with one of these tags.
    pub skip_tags: Vec<String>,
}

impl Selection {
    fn wants(&self, case: &Case) -> bool {
        case.name.contains(&self.name)
            && self.tag.as_ref().is_none_or(|tag| case.tags.contains(tag))
            && !self.skip_tags.iter().any(|tag| case.tags.contains(tag))
    }
}

/// How one case went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Arc<Case>,
    /// Per step, in the order of the golden answers.
    pub steps: Vec<Vec<Difference>>,
}

impl Outcome {
    /// Differences that no rule lists, with their step from 0.
    pub fn unlisted(&self) -> impl Iterator<Item = (usize, &Difference)> {
        self.hard()
            .filter(|(_, found)| rules::listed(&self.case, &found.path).is_none())
    }

    /// Differences that are not free text.
    fn hard(&self) -> impl Iterator<Item = (usize, &Difference)> {
        let steps = self.steps.iter().enumerate();
        steps.flat_map(|(index, found)| {
            let hard = found.iter().filter(|one| !one.text);
            hard.map(move |one| (index, one))
        })
    }
}

/// One topic in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Cases.
    pub sequences: usize,
    /// Cases without a difference.
    pub equal: usize,
    /// Cases whose differences are all listed.
    pub listed: usize,
    /// Cases with a difference that is not listed.
    pub unlisted: usize,
    /// Steps of all cases.
    pub steps: usize,
    /// Steps whose free text differs.
    pub texts: usize,
}

impl Row {
    fn add(&mut self, outcome: &Outcome) {
        self.sequences += 1;
        self.steps += outcome.steps.len();
        let texts = outcome
            .steps
            .iter()
            .filter(|step| step.iter().any(|one| one.text));
        self.texts += texts.count();
        if outcome.unlisted().next().is_some() {
            self.unlisted += 1;
        } else if outcome.hard().next().is_some() {
            self.listed += 1;
        } else {
            self.equal += 1;
        }
    }
}

/// Runs the command.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let done = tokio::runtime::Runtime::new()
        .map_err(|error| anyhow::anyhow!(error))
        .and_then(|runtime| runtime.block_on(run(args)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True = nothing differs that is not listed.
async fn run(args: &Args) -> anyhow::Result<bool> {
    let suite = Suite::load(args.dir.as_deref())?;
    let target = Target::from_kubeconfig(&args.kubeconfig, args.user_token.as_deref()).await?;
    let selection = Selection {
        topics: args.topic.clone(),
        name: args.case.clone().unwrap_or_default(),
        tag: args.tag.clone(),
        skip_tags: args.skip_tag.clone(),
    };
    if args.record {
        for topic in suite.topics(&selection.topics) {
            let count = record(&suite, topic, &target, &selection).await?;
            println!("{topic}: {count} sequences recorded");
        }
        return Ok(true);
    }
    let mut rows = BTreeMap::new();
    for topic in suite.topics(&selection.topics) {
        let outcomes = play_topic(&suite, topic, &target, &selection, args.jobs).await;
        let mut row = Row::default();
        for outcome in &outcomes {
            row.add(outcome);
            if args.verbose {
                show(outcome, args.text);
            }
        }
        if row.sequences > 0 {
            rows.insert(topic.to_owned(), row);
        }
    }
    print!("{}", table(&rows));
    let unlisted: usize = rows.values().map(|row| row.unlisted).sum();
    Ok(unlisted == 0 && !rows.is_empty())
}

/// Plays one topic and compares.
pub async fn play_topic(
    suite: &Suite,
    topic: &str,
    target: &Target,
    selection: &Selection,
    jobs: usize,
) -> Vec<Outcome> {
    let wanted = |case: &&Arc<Case>| selection.wants(case) && suite.golden(case).is_some();
    let cases: Vec<_> = suite.cases(topic).iter().filter(wanted).cloned().collect();
    let jobs = if cases.iter().any(|case| case.serial) {
        1
    } else {
        jobs.max(1)
    };
    futures::stream::iter(cases)
        .map(|case| async move {
            let golden = suite.golden(&case).unwrap_or_default();
            let answers = play::case(target, &case, Some(golden)).await;
            let steps = golden.iter().enumerate().map(|(index, expected)| {
                compare(expected, answers.get(index).unwrap_or(&Value::Null))
            });
            let steps = steps.collect();
            Outcome { case, steps }
        })
        .buffered(jobs)
        .collect()
        .await
}

/// Takes what the server answers for the truth.
async fn record(
    suite: &Suite,
    topic: &str,
    target: &Target,
    selection: &Selection,
) -> Result<usize, ConformError> {
    let mut answers = BTreeMap::new();
    for case in suite.cases(topic) {
        if selection.wants(case) {
            answers.insert(case.name.clone(), play::case(target, case, None).await);
        }
    }
    suite.save(topic, &answers)?;
    Ok(answers.len())
}

fn show(outcome: &Outcome, with_text: bool) {
    const SHOWN_MAX: usize = 8;
    let case = &outcome.case;
    let requests = case.requests();
    for (index, found) in outcome.steps.iter().enumerate() {
        let shown: Vec<_> = found.iter().filter(|one| with_text || !one.text).collect();
        if shown.is_empty() {
            continue;
        }
        let request = requests.get(index).map(String::as_str).unwrap_or_default();
        println!(
            "  {}/{} step {}: {request}",
            case.topic,
            case.name,
            index + 1
        );
        for one in shown.iter().take(SHOWN_MAX) {
            let kind = match (one.text, rules::listed(case, &one.path)) {
                (true, _) => "text".to_owned(),
                (false, Some(rule)) => format!("listed ({})", rule.reason),
                (false, None) => "differs".to_owned(),
            };
            println!("    {kind} {}", one.path);
            println!(
                "      - {}\n      + {}",
                short(one.golden.as_ref()),
                short(one.actual.as_ref())
            );
        }
        if shown.len() > SHOWN_MAX {
            println!("    ... {} more", shown.len() - SHOWN_MAX);
        }
    }
}

fn short(value: Option<&Value>) -> String {
    const LENGTH_MAX: usize = 400;
    let text = value.map_or_else(|| "<absent>".to_owned(), Value::to_string);
    match text.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// The score, a line per topic and one for all.
#[must_use]
pub fn table(rows: &BTreeMap<String, Row>) -> String {
    let line = |name: &str, row: &Row| {
        format!(
            "{:<14}{:>10}{:>8}{:>8}{:>10}{:>8}{:>7}\n",
            name, row.sequences, row.equal, row.listed, row.unlisted, row.steps, row.texts
        )
    };
    let mut text = format!(
        "{:<14}{:>10}{:>8}{:>8}{:>10}{:>8}{:>7}\n",
        "topic", "sequences", "equal", "listed", "unlisted", "steps", "text"
    );
    let mut all = Row::default();
    for (topic, row) in rows {
        text += &line(topic, row);
        all.sequences += row.sequences;
        all.equal += row.equal;
        all.listed += row.listed;
        all.unlisted += row.unlisted;
        all.steps += row.steps;
        all.texts += row.texts;
    }
    text += &line("all", &all);
    text
}
