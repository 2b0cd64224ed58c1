//! A hub process at a front door, under its own least-privileged identity.

use std::net::SocketAddr;
use std::time::Duration;

use flotilla_hub::rbac;

use super::{Tap, WorldError};
use crate::multicall::Programs;
use crate::real::{ControlPlane, NotYet, PortLease, Process, ProcessSpec, Workdir, eventually};

/// Installing the kinds and reading the first lists, on a busy machine.
const READY_MAX: Duration = Duration::from_secs(90);

/// How a hub is started.
#[derive(Clone, Copy, Debug)]
pub struct HubSpec {
    /// Its name among the hubs, and the group its requests show in audit logs.
    pub name: &'static str,
    /// Which program it is.
    pub programs: Programs,
    /// Further flags.
    pub flags: &'static [&'static str],
}

/// One hub.
pub struct Hub {
    process: Process,
    fleet: PortLease,
    metrics: PortLease,
    _webhook: PortLease,
    tap: Tap,
}

impl Hub {
    /// Starts a hub; it may be in standby.
    pub(super) async fn start(
        spec: &HubSpec,
        door: &ControlPlane,
        workdir: &Workdir,
        before: Option<&Self>,
    ) -> Result<Self, WorldError> {
        let (fleet, metrics, webhook) =
            (PortLease::take()?, PortLease::take()?, PortLease::take()?);
        // All hubs are one user; the group tells them apart in the audit log and allows nothing.
        let name = spec.name;
        let kubeconfig = door.kubeconfig_for(rbac::HUB_NAME, &[name])?;
        let listen = SocketAddr::from(([127, 0, 0, 1], fleet.port()));
        let tap = Tap::start(listen)
            .await
            .map_err(WorldError::io("start the tap"))?;
        // One address for all hubs of a world: that of the tap before the first.
        let address = before.map_or(tap.address(), |first| first.tap.address());
        let program = spec
            .programs
            .hub()
            .map_err(WorldError::io("find this program"))?;
        let local = |port: &PortLease| format!("127.0.0.1:{}", port.port());
        let mut args = vec![
            "serve".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--fleet-listen={}", local(&fleet)),
            format!("--fleet-address={address}"),
            format!("--webhook-listen={}", local(&webhook)),
            format!("--metrics-listen={}", local(&metrics)),
            format!("--identity={name}"),
            // Many control planes share two cores here: a slow answer is no dead hub.
            "--lease-seconds=30".to_owned(),
        ];
        args.extend(spec.flags.iter().map(|flag| (*flag).to_owned()));
        let process = Process::new(ProcessSpec {
            name: name.to_owned(),
            args: program.args(&args),
            program: program.path,
            envs: vec![("FLOTILLA_LOG".to_owned(), log_filter())],
            log_directory: workdir.path().to_owned(),
        });
        process.start()?;
        Ok(Self {
            process,
            fleet,
            metrics,
            _webhook: webhook,
            tap,
        })
    }

    /// The process, to break and heal it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What passed between it and the agents.
    #[must_use]
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Where it listens; agents dial the tap before it.
    #[must_use]
    pub fn listens_at(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.fleet.port()))
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends or is not in time.
    pub async fn ready(&self) -> Result<(), WorldError> {
        let what = format!("{} is ready", self.process.name());
        let ready = eventually(what, READY_MAX, async || {
            if !self.process.is_running() {
                return Err(NotYet::never(format!(
                    "it ended:\n{}",
                    self.process.log_tail(20)
                )));
            }
            let (status, body) = self.http("/readyz").await.map_err(NotYet::again)?;
            if status == 200 {
                Ok(())
            } else {
                Err(NotYet::again(body))
            }
        });
        ready.await.map_err(|error| {
            WorldError::Expected(format!("{error}\n{}", self.process.log_tail(30)))
        })
    }

    /// Its metrics, as text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String, WorldError> {
        let answered = self.http("/metrics").await;
        answered
            .map(|(_, body)| body)
            .map_err(WorldError::io("read metrics"))
    }

    async fn http(&self, path: &str) -> std::io::Result<(u16, String)> {
        super::objects::http_get(self.metrics.port(), path).await
    }
}

/// What hubs and agents log in worlds: enough to understand a failure.
pub(super) fn log_filter() -> String {
    std::env::var("FLOTILLA_E2E_LOG")
        .unwrap_or_else(|_| "info,flotilla_hub=debug,flotilla_agent=debug".to_owned())
}
