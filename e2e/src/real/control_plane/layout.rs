//! Where the things of one control plane are: ports, data, kubeconfigs and configuration files.
//!
//! It decides the names in the control plane's directory and writes what the programs read at
//! their start. It starts nothing.

use crate::real::{PortLease, RealError, Workdir, certs::Pki};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::path::{Path, PathBuf};

/// The group that may do everything.
pub(super) const MASTERS: &str = "system:masters";

/// Every request, once, with who, what and the answer's code but without bodies.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// Places and ports of one control plane.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) etcd_data: PathBuf,
    pub(super) etcd_port: u16,
    pub(super) etcd_peer_port: u16,
    pub(super) api_port: u16,
    pub(super) audit_policy: PathBuf,
    pub(super) audit_log: PathBuf,
    pub(super) controller_manager_kubeconfig: PathBuf,
    pub(super) scheduler_config: PathBuf,
}

impl Layout {
    /// Lays everything out in `workdir` and writes the files that the programs read.
    pub(super) fn write(
        workdir: &Workdir,
        pki: &Pki,
        [etcd, etcd_peer, api]: &[PortLease; 3],
    ) -> Result<Self, RealError> {
        let mut layout = Self {
            etcd_data: workdir.path().join("etcd"),
            etcd_port: etcd.port(),
            etcd_peer_port: etcd_peer.port(),
            api_port: api.port(),
            audit_policy: workdir.write("audit-policy.yaml", AUDIT_POLICY)?,
            audit_log: workdir.path().join("audit.log"),
            controller_manager_kubeconfig: PathBuf::new(),
            scheduler_config: PathBuf::new(),
        };
        // One identity for all controllers: one set of caches instead of one token per controller.
        let controllers = ("system:kube-controller-manager", [MASTERS].as_slice());
        layout.controller_manager_kubeconfig =
            layout.write_kubeconfig(workdir, pki, controllers)?;
        let scheduler = layout.write_kubeconfig(workdir, pki, ("system:kube-scheduler", &[]))?;
        layout.scheduler_config = workdir.write("scheduler.yaml", &scheduler_config(&scheduler))?;
        Ok(layout)
    }

    /// The API server's URL.
    pub(super) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// Writes a kubeconfig for a user in groups, named after both.
    pub(super) fn write_kubeconfig(
        &self,
        workdir: &Workdir,
        pki: &Pki,
        (user, groups): (&str, &[&str]),
    ) -> Result<PathBuf, RealError> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let who = std::iter::once(&user)
            .chain(groups)
            .copied()
            .collect::<Vec<_>>()
            .join("-in-");
        let file: String = who.chars().map(plain).collect();
        let kubeconfig = pki.kubeconfig(&self.server(), user, groups)?;
        workdir.write(&format!("{file}.kubeconfig"), &kubeconfig)
    }
}

/// A client of whoever a kubeconfig is for.
pub(super) async fn client_of(kubeconfig: &Path) -> Result<Client, RealError> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    Client::try_from(config).map_err(RealError::api("build a client"))
}

fn scheduler_config(kubeconfig: &Path) -> String {
    format!(
        "\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: {}, qps: 200, burst: 400}}
leaderElection: {{leaderElect: false}}
enableProfiling: false
",
        kubeconfig.display()
    )
}
