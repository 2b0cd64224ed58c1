//! The front door of a world: a control plane with the roles of the hub applied.

use flotilla_hub::rbac;

use super::{Objects, WorldError};
use crate::real::{ControlPlane, Options};

/// Starts a front door and gives the user `flotilla-hub` its generated roles.
pub(super) async fn start(name: &str, durable: bool) -> Result<ControlPlane, WorldError> {
    let options = Options::front_door(&format!("{name}-door"));
    let options = if durable { options.durable() } else { options };
    let door = ControlPlane::start(options).await?;
    let objects = Objects::new("front door", door.client().await?);
    for role in rbac::roles() {
        objects.apply(role).await?;
    }
    Ok(door)
}
