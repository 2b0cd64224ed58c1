//! `flotilla unjoin NAME [--drain]`: detach a cluster, its workloads stay; or drain it first, so that
//! everything the fleet put there is removed.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::get::condition;
use crate::door::{CLUSTER, Door};
use crate::error::CliError;

/// How often a drain looks whether it is done; a person watches.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Arguments of `unjoin`.
#[derive(Args, Debug)]
pub struct Unjoin {
    /// Name of the cluster
    name: String,
    /// Remove everything the fleet put there first; without it all of it stays
    #[arg(long)]
    drain: bool,
    /// Longest wait for the drain and for the cluster to be gone, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
}

pub(crate) async fn run(door: &Door, args: &Unjoin) -> Result<String, CliError> {
    let name = &args.name;
    if door.get(CLUSTER, "", name).await?.is_none() {
        return Err(CliError::NotFound {
            what: CLUSTER.what(name),
            hint: "`flotilla get clusters` lists who has joined".to_owned(),
        });
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(args.timeout);
    if args.drain {
        let patch = json!({"metadata": {"annotations": {"fleet.flotilla.dev/drain": "true"}}});
        door.merge(CLUSTER, name, patch).await?;
        wait(door, name, deadline, |cluster| cluster.is_none_or(drained)).await.map_err(|last| {
            CliError::TimedOut(format!(
                "cluster {name} is not drained after {} s{last}; it stays joined and keeps draining. \
                 `flotilla unjoin {name}` without --drain detaches it and leaves the rest there",
                args.timeout
            ))
        })?;
    }
    door.delete(CLUSTER, name).await?;
    wait(door, name, deadline, |cluster| cluster.is_none()).await.map_err(|_| {
        CliError::TimedOut(format!(
            "cluster {name} is marked for deletion, the hub has not finished yet: is it running?"
        ))
    })?;
    let what = if args.drain {
        "drained and detached"
    } else {
        "detached; its workloads stay"
    };
    Ok(format!("cluster {name} is {what}\n"))
}

fn drained(cluster: &Value) -> bool {
    condition(cluster, "Drained").is_some_and(|c| c["status"] == "True")
}

/// Looks until `done`; at the deadline returns what the condition said last.
async fn wait(
    door: &Door,
    name: &str,
    deadline: tokio::time::Instant,
    done: impl Fn(Option<&Value>) -> bool,
) -> Result<(), String> {
    let mut last = String::new();
    while tokio::time::Instant::now() < deadline {
        // A failed look is looked at again: the deadline bounds it.
        if let Ok(cluster) = door.get(CLUSTER, "", name).await {
            if done(cluster.as_ref()) {
                return Ok(());
            }
            let message = cluster
                .as_ref()
                .and_then(|c| condition(c, "Drained"))
                .and_then(|c| c["message"].as_str());
            last = message.map_or(last, |m| format!(" ({m})"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(last)
}
