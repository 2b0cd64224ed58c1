//! A whole fleet on this machine: a front door, a hub, and members with their agents, each a process
//! of its own, joined by real tokens over real TLS.
//!
//! Scenarios, the demo and the benches are written once against this. It decides how the parts are
//! started and joined; it never decides what a scenario expects.

pub mod calm;
mod door;
mod hub;
mod member;
mod objects;
mod tap;

pub use hub::{Hub, HubSpec};
pub use member::{AGENT_USER, Member, MemberSpec};
pub use objects::{Kind, Name, Objects};
pub use tap::{Passed, Tap};

use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser;
use flotilla_hub::rbac;
use futures::future::{try_join, try_join_all};

use crate::multicall::Programs;
use crate::real::{ControlPlane, RealError, Workdir};

/// What goes wrong with a world.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A process or control plane.
    #[error(transparent)]
    Real(#[from] RealError),
    /// A Kubernetes request.
    #[error("{doing}")]
    Request {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// A command of `flotilla`.
    #[error("flotilla {args}: {message}")]
    Flotilla {
        /// Its arguments.
        args: String,
        /// Its error.
        message: String,
    },
    /// A command of kubectl.
    #[error("kubectl {args}: {stderr}")]
    Kubectl {
        /// Its arguments.
        args: String,
        /// What it said.
        stderr: String,
    },
    /// Input or output.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// What a scenario expected is not so.
    #[error("{0}")]
    Expected(String),
}

impl WorldError {
    pub(crate) fn request(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Request {
            doing,
            source: Box::new(source),
        }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Name in paths and logs.
    pub name: String,
    /// Its members.
    pub members: Vec<MemberSpec>,
    /// Whether stores keep their promises (for measuring) or are fast.
    pub durable: bool,
    /// Which programs its hub and agents are.
    pub programs: Programs,
    /// Further flags of its hubs.
    pub hub_flags: &'static [&'static str],
}

impl WorldOptions {
    /// The members everybody knows: `public` (aliyun, cn-beijing), `private` (two GPU nodes), `edge`.
    #[must_use]
    pub fn standard(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            members: vec![
                MemberSpec::new("public")
                    .provider("aliyun")
                    .region("cn-beijing")
                    .label("tier", "public"),
                MemberSpec::new("private")
                    .label("tier", "private")
                    .gpu_nodes(2),
                MemberSpec::new("edge").label("tier", "edge").nodes(1),
            ],
            durable: false,
            programs: Programs::Own,
            hub_flags: &[],
        }
    }
}

/// A running fleet; everything ends when it is dropped.
pub struct World {
    // Agents and hub go before the servers they talk to.
    members: BTreeMap<String, Member>,
    hub: Hub,
    door: ControlPlane,
    workdir: Workdir,
    hub_spec: HubSpec,
}

impl World {
    /// Starts everything and waits until every member is Ready at the front door.
    ///
    /// # Errors
    /// When a part does not come up in time.
    pub async fn start(options: WorldOptions) -> Result<Self, WorldError> {
        let workdir = Workdir::create(&options.name)?;
        let (durable, programs) = (options.durable, options.programs);
        let members = options
            .members
            .iter()
            .map(|spec| Member::prepare(spec.clone(), durable, programs));
        let hub_spec = HubSpec {
            name: "hub",
            programs,
            flags: options.hub_flags,
        };
        let (door, members) =
            try_join(door::start(&options.name, durable), try_join_all(members)).await?;
        let hub = Hub::start(&hub_spec, &door, &workdir, None).await?;
        hub.ready().await?;
        let members = members
            .into_iter()
            .map(|m| (m.name().to_owned(), m))
            .collect();
        let mut world = Self {
            members,
            hub,
            door,
            workdir,
            hub_spec,
        };
        world.hub_leads().await?;
        world.join_all().await?;
        Ok(world)
    }

    /// Waits until a hub has said at the front door how agents reach it.
    async fn hub_leads(&self) -> Result<(), WorldError> {
        let info = (rbac::HUB_NAMESPACE, rbac::HUB_NAME);
        let door = self.front_door().await?;
        let said = door.eventually(("v1", "ConfigMap"), info, "is there", |_| true);
        said.await.map(drop).map_err(|error| {
            WorldError::Expected(format!("{error}\n{}", self.hub.process().log_tail(30)))
        })
    }

    async fn join_all(&mut self) -> Result<(), WorldError> {
        let names: Vec<_> = self.members.keys().cloned().collect();
        for name in &names {
            let member = self.member(name);
            let join = self.flotilla(&member.spec().token_args()).await?;
            let file = self.workdir.write(&format!("{name}.join"), join.trim())?;
            let member = self.members.get_mut(name);
            member
                .expect("the name is one of ours")
                .start_agent(&file)?;
        }
        for name in &names {
            self.cluster_ready(name).await?;
        }
        Ok(())
    }

    /// Joins a member again that has left, with a new token.
    ///
    /// # Errors
    /// When it does not come back in time.
    pub async fn rejoin(&self, name: &str) -> Result<(), WorldError> {
        let member = self.member(name);
        member.agent().stop_if_running().await?;
        let identity = (rbac::HUB_NAMESPACE, "flotilla-identity");
        member
            .objects()
            .await?
            .delete(("v1", "Secret"), identity)
            .await?;
        let join = self.flotilla(&member.spec().token_args()).await?;
        self.workdir.write(&format!("{name}.join"), join.trim())?;
        member.agent().start()?;
        self.cluster_ready(name).await
    }

    /// Waits until the front door shows a member as Ready.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn cluster_ready(&self, name: &str) -> Result<(), WorldError> {
        let door = self.front_door().await?;
        door.eventually(
            ("cluster.karmada.io/v1alpha1", "Cluster"),
            ("", name),
            "is Ready",
            |cluster| {
                let conditions = cluster["status"]["conditions"].as_array();
                conditions
                    .into_iter()
                    .flatten()
                    .any(|c| c["type"] == "Ready" && c["status"] == "True")
            },
        )
        .await
        .map(drop)
        .map_err(|e| {
            WorldError::Expected(format!(
                "{e}\n--- agent {name}\n{}\n--- hub\n{}",
                self.member(name).agent_log(),
                self.hub.process().log_tail(40)
            ))
        })
    }

    /// The front door's control plane.
    #[must_use]
    pub fn door(&self) -> &ControlPlane {
        &self.door
    }

    /// Objects at the front door, as its administrator.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn front_door(&self) -> Result<Objects, WorldError> {
        Ok(Objects::new("front door", self.door.client().await?))
    }

    /// The first hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Starts another hub at the same front door, in standby.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn second_hub(&self) -> Result<Hub, WorldError> {
        let spec = HubSpec {
            name: "hub-2",
            ..self.hub_spec
        };
        Hub::start(&spec, &self.door, &self.workdir, Some(&self.hub)).await
    }

    /// A member by name.
    ///
    /// # Panics
    /// When the world has no such member: the scenario is wrong.
    #[must_use]
    pub fn member(&self, name: &str) -> &Member {
        self.members
            .get(name)
            .expect("the scenario names a member of its world")
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Where this world keeps its files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.workdir.path()
    }

    /// Leaves all files of the world in place when it goes, and prints where they are.
    pub fn keep(&self) {
        self.workdir.keep();
        self.door.keep();
        for member in self.members.values() {
            member.plane().keep();
        }
    }

    /// Runs a command of `flotilla` as the front door's administrator and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn flotilla<S: AsRef<str>>(&self, args: &[S]) -> Result<String, WorldError> {
        let words: Vec<_> = args.iter().map(|a| a.as_ref().to_owned()).collect();
        let failed = |message: String| WorldError::Flotilla {
            args: words.join(" "),
            message,
        };
        let kubeconfig = self.door.kubeconfig().to_string_lossy().into_owned();
        let prefix = ["flotilla".to_owned(), "--kubeconfig".to_owned(), kubeconfig];
        let parsed = flotilla_cli::Cli::try_parse_from(prefix.iter().chain(&words));
        let parsed = parsed.map_err(|e| failed(e.to_string()))?;
        flotilla_cli::run(&parsed).await.map_err(|e| {
            let source = std::error::Error::source(&e)
                .map(|s| format!(": {s}"))
                .unwrap_or_default();
            failed(format!("{e}{source}"))
        })
    }
}
