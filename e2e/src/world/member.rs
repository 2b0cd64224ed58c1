//! A member: a control plane, nodes that a fake kubelet stands in for, and the agent as a process.

use std::collections::BTreeMap;
use std::path::Path;

use flotilla_agent::rbac;

use super::{Objects, WorldError};
use crate::multicall::Programs;
use crate::real::{
    ControlPlane, FakeKubelet, KubeletOptions, NodeSpec, Options, PortLease, Process, ProcessSpec,
};

/// User that an agent is in its member.
pub const AGENT_USER: &str = rbac::AGENT_NAME;

/// A member as a test describes it.
#[derive(Clone, Debug)]
pub struct MemberSpec {
    name: String,
    labels: BTreeMap<String, String>,
    provider: String,
    region: String,
    zones: Vec<String>,
    nodes: usize,
    gpu_nodes: usize,
}

impl MemberSpec {
    /// A member with two ordinary nodes.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            provider: String::new(),
            region: String::new(),
            zones: Vec::new(),
            nodes: 2,
            gpu_nodes: 0,
        }
    }

    /// With a label of its Cluster.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a provider.
    #[must_use]
    pub fn provider(self, provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            ..self
        }
    }

    /// With a region.
    #[must_use]
    pub fn region(self, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..self
        }
    }

    /// With this many ordinary nodes.
    #[must_use]
    pub fn nodes(self, nodes: usize) -> Self {
        Self { nodes, ..self }
    }

    /// With this many further nodes of four GPUs each.
    #[must_use]
    pub fn gpu_nodes(self, gpu_nodes: usize) -> Self {
        Self { gpu_nodes, ..self }
    }

    /// The command that makes its join string.
    pub(super) fn token_args(&self) -> Vec<String> {
        let mut args = vec!["token".to_owned(), "create".to_owned(), self.name.clone()];
        let mut option = |name: &str, value: &str| {
            if !value.is_empty() {
                args.push(format!("--{name}={value}"));
            }
        };
        option("provider", &self.provider);
        option("region", &self.region);
        option("profile", "platform");
        for zone in &self.zones {
            option("zone", zone);
        }
        for (key, value) in &self.labels {
            option("label", &format!("{key}={value}"));
        }
        args
    }
}

/// A running member.
pub struct Member {
    spec: MemberSpec,
    programs: Programs,
    // The agent and the kubelet go before the servers they talk to.
    agent: Option<Process>,
    kubelet: FakeKubelet,
    plane: ControlPlane,
    admin: PortLease,
}

impl Member {
    /// Starts the cluster, without an agent.
    pub(super) async fn prepare(
        spec: MemberSpec,
        durable: bool,
        programs: Programs,
    ) -> Result<Self, WorldError> {
        let options = Options::member(&spec.name);
        let options = if durable { options.durable() } else { options };
        let plane = ControlPlane::start(options).await?;
        let objects = Objects::new(&spec.name, plane.client().await?);
        for object in rbac::objects(rbac::Profile::Platform, "flotilla-system") {
            objects.apply(object).await?;
        }
        let mut nodes = KubeletOptions::nodes(spec.nodes);
        for n in 0..spec.gpu_nodes {
            nodes.nodes.push(NodeSpec::new(&format!("gpu-{n}")).gpus(4));
        }
        let kubelet = FakeKubelet::start(plane.client().await?, nodes).await?;
        Ok(Self {
            spec,
            programs,
            agent: None,
            kubelet,
            plane,
            admin: PortLease::take()?,
        })
    }

    /// Starts its agent with a join string; a second call starts a stopped one.
    ///
    /// # Errors
    /// When the process does not start.
    pub fn start_agent(&mut self, join_file: &Path) -> Result<(), WorldError> {
        if self.agent.is_none() {
            self.agent = Some(self.mk_agent("agent", join_file, self.admin.port())?);
        }
        self.agent().start().map_err(WorldError::from)
    }

    /// An agent process that is not started, for scenarios with two of them.
    ///
    /// # Errors
    /// When this program's path is unknown.
    pub fn mk_agent(
        &self,
        name: &str,
        join_file: &Path,
        admin_port: u16,
    ) -> Result<Process, WorldError> {
        let program = self
            .programs
            .agent()
            .map_err(WorldError::io("find this program"))?;
        let kubeconfig = self.plane.kubeconfig_for(AGENT_USER, &[])?;
        let data = self.plane.directory().join(format!("{name}-data"));
        let args = [
            "run".to_owned(),
            format!("--join-file={}", join_file.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--data-dir={}", data.display()),
            format!("--admin=127.0.0.1:{admin_port}"),
            format!("--identity={name}"),
        ];
        Ok(Process::new(ProcessSpec {
            name: name.to_owned(),
            args: program.args(&args),
            program: program.path,
            envs: vec![("FLOTILLA_LOG".to_owned(), super::hub::log_filter())],
            log_directory: self.plane.directory().to_owned(),
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// How it was described.
    #[must_use]
    pub fn spec(&self) -> &MemberSpec {
        &self.spec
    }

    /// Its agent's process.
    ///
    /// # Panics
    /// When it was never started: the scenario is wrong.
    #[must_use]
    pub fn agent(&self) -> &Process {
        self.agent.as_ref().expect("the member has joined")
    }

    /// Takes the agent's disk away, as a lost node would.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget_node(&self) -> Result<(), WorldError> {
        let data = self.plane.directory().join("agent-data");
        match std::fs::remove_dir_all(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(WorldError::io("remove the agent's data")(error))
            }
            _ => Ok(()),
        }
    }

    /// The end of its agent's log.
    #[must_use]
    pub fn agent_log(&self) -> String {
        self.agent
            .as_ref()
            .map_or_else(String::new, |a| a.log_tail(40))
    }

    /// Its nodes.
    #[must_use]
    pub fn kubelet(&self) -> &FakeKubelet {
        &self.kubelet
    }

    /// Its control plane.
    #[must_use]
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Its objects, read with its own kubeconfig.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn objects(&self) -> Result<Objects, WorldError> {
        Ok(Objects::new(
            &format!("member {}", self.name()),
            self.plane.client().await?,
        ))
    }
}
