//! `flotilla revoke NAME`: the hub refuses the cluster's agent from now on, also on a live stream.

use clap::Args;
use serde_json::json;

use crate::door::{Door, ENROLMENT};
use crate::error::CliError;

/// Arguments of `revoke`.
#[derive(Args, Debug)]
pub struct Revoke {
    /// Name of the cluster
    name: String,
}

pub(crate) async fn run(door: &Door, args: &Revoke) -> Result<String, CliError> {
    let found = door.get(ENROLMENT, "", &args.name).await?;
    if found.is_none() {
        return Err(CliError::NotFound {
            what: ENROLMENT.what(&args.name),
            hint: "`flotilla get clusters` lists who has joined".to_owned(),
        });
    }
    let patch = json!({"spec": {"state": "Revoked"}});
    door.merge(ENROLMENT, &args.name, patch).await?;
    Ok(format!(
        "cluster {0} is revoked: its agent is cut off within 5 seconds, its workloads stay.\n\
         To let it join again: flotilla unjoin {0}, then flotilla token create {0}\n",
        args.name
    ))
}
