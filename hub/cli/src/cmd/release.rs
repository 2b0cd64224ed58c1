//! `flotilla release NAME`: a person allows what a brake holds back.

use clap::Args;
use flotilla_policy::model::marks::RELEASE;
use serde_json::json;

use super::get::condition;
use crate::door::{CLUSTER, Door};
use crate::error::CliError;

/// Arguments of `release`.
#[derive(Args, Debug)]
pub struct Release {
    /// Name of the cluster
    name: String,
}

pub(crate) async fn run(door: &Door, args: &Release) -> Result<String, CliError> {
    let name = &args.name;
    let cluster = door.get(CLUSTER, "", name).await?;
    let cluster = cluster.ok_or_else(|| CliError::NotFound {
        what: CLUSTER.what(name),
        hint: "`flotilla get clusters` lists who has joined".to_owned(),
    })?;
    let Some(held) = condition(&cluster, "WorksHeld") else {
        return Ok(format!("nothing is held for cluster {name}\n"));
    };
    let what = held["message"].as_str().unwrap_or("").to_owned();
    let approval = format!("{}", jiff::Timestamp::now());
    let patch = json!({"metadata": {"annotations": {RELEASE: approval}}});
    door.merge(CLUSTER, name, patch).await?;
    Ok(format!("released: {what}\n"))
}
