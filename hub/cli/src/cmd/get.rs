//! `flotilla get clusters`: members as the hub sees them.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::door::{CLUSTER, Door};
use crate::error::CliError;
use crate::output::{Format, age, or_none, print, table};

/// What to show.
#[derive(Debug, Subcommand)]
pub enum Get {
    /// Member clusters with their state and size
    #[command(visible_alias = "cluster")]
    Clusters(Clusters),
}

/// Arguments of `get clusters`.
#[derive(Args, Debug)]
pub struct Clusters {
    /// Only this one
    name: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) async fn run(door: &Door, get: &Get) -> Result<String, CliError> {
    let Get::Clusters(args) = get;
    let clusters = match &args.name {
        Some(name) => {
            vec![
                door.get(CLUSTER, "", name)
                    .await?
                    .ok_or_else(|| CliError::NotFound {
                        what: CLUSTER.what(name),
                        hint: "`flotilla get clusters` lists all".to_owned(),
                    })?,
            ]
        }
        None => door.list(CLUSTER, "").await?,
    };
    print(args.output, &clusters, || show(&clusters))
}

fn show(clusters: &[Value]) -> String {
    if clusters.is_empty() {
        return "No clusters yet. `flotilla token create NAME` lets one join.\n".to_owned();
    }
    let header = [
        "NAME", "VERSION", "MODE", "READY", "PROVIDER", "REGION", "NODES", "CPU", "MEMORY", "GPU",
        "TAINTS", "AGE",
    ];
    let rows: Vec<_> = clusters.iter().map(row).collect();
    table(&header, &rows)
}

fn row(cluster: &Value) -> Vec<String> {
    let text = |path: &str| cluster.pointer(path).and_then(Value::as_str).unwrap_or("");
    let nodes = &cluster["status"]["nodeSummary"];
    let number = |field: &str| nodes[field].as_i64().unwrap_or(0);
    let allocatable = &cluster["status"]["resourceSummary"]["allocatable"];
    let amount = |name: &str| or_none(allocatable[name].as_str().unwrap_or(""));
    vec![
        text("/metadata/name").to_owned(),
        or_none(text("/status/kubernetesVersion")),
        text("/spec/syncMode").to_owned(),
        ready(cluster),
        or_none(text("/spec/provider")),
        or_none(text("/spec/region")),
        format!("{}/{}", number("readyNum"), number("totalNum")),
        amount("cpu"),
        amount("memory"),
        amount("nvidia.com/gpu"),
        or_none(&taints(cluster)),
        age(text("/metadata/creationTimestamp")),
    ]
}

/// Status of condition Ready; `Unknown` when nobody has set it.
pub(crate) fn ready(cluster: &Value) -> String {
    condition(cluster, "Ready")
        .and_then(|c| c["status"].as_str())
        .unwrap_or("Unknown")
        .to_owned()
}

/// The condition of that type.
pub(crate) fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

fn taints(cluster: &Value) -> String {
    let taints = cluster["spec"]["taints"].as_array();
    let shown: Vec<_> = taints
        .into_iter()
        .flatten()
        .map(|t| {
            let key = t["key"].as_str().unwrap_or("");
            format!("{key}:{}", t["effect"].as_str().unwrap_or(""))
        })
        .collect();
    shown.join(",")
}
