//! One real Kubernetes control plane on the loopback address.
//!
//! It decides what runs by role: a front door is a template store (API server, etcd and the few
//! controllers that a store needs), a member is a whole cluster except its nodes, which the fake
//! kubelet stands in for. It decides in which order they come up and when the plane counts as up.
//! It never shares keys, ports or data with another one, and ends its processes when dropped.

mod backup;
mod flags;
mod layout;

use super::{
    Assets, AuditLog, NotYet, PortLease, Process, ProcessSpec, RealError, Workdir, certs::Pki,
    eventually,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use layout::{Layout, MASTERS, client_of};
use std::{
    fmt,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

/// Generous, because many control planes may start at once on two cores.
const START_DEADLINE: Duration = Duration::from_secs(240);

/// What a control plane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds templates and runs no workloads.
    FrontDoor,
    /// Runs workloads: all controllers and a scheduler.
    Member,
}

/// One program of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// etcd
    Etcd,
    /// kube-apiserver
    Api,
    /// kube-controller-manager
    ControllerManager,
    /// kube-scheduler; members only
    Scheduler,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::Api => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        })
    }
}

/// How a control plane is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name in paths and errors.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Whether etcd may skip fsync: several times faster writes, and nothing survives power loss.
    pub fast: bool,
    /// Further flags for kube-apiserver, after ours; the last of two equal ones wins.
    pub api_flags: Vec<String>,
}

impl Options {
    /// A fast member cluster.
    pub fn member(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role: Role::Member,
            fast: true,
            api_flags: Vec::new(),
        }
    }

    /// A fast front door.
    pub fn front_door(name: &str) -> Self {
        Self {
            role: Role::FrontDoor,
            ..Self::member(name)
        }
    }

    /// With an etcd that keeps its promises, for measuring.
    #[must_use]
    pub fn durable(self) -> Self {
        Self {
            fast: false,
            ..self
        }
    }
}

/// A running control plane; its processes end when it is dropped.
pub struct ControlPlane {
    options: Options,
    // Dropped in this order: clients of a server go before the server.
    scheduler: Option<Process>,
    controller_manager: Process,
    api: Process,
    etcd: Process,
    layout: Layout,
    pki: Pki,
    assets: Assets,
    admin_kubeconfig: PathBuf,
    workdir: Workdir,
    _ports: [PortLease; 3],
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves and its controllers work.
    pub async fn start(options: Options) -> Result<Self, RealError> {
        // Whoever installed a provider first is as good; there is one per process.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let plane = Self::prepare(options)?;
        match plane.bring_up().await {
            Ok(()) => Ok(plane),
            Err(error) => {
                plane.keep();
                Err(error)
            }
        }
    }

    /// The name given in its [`Options`].
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.options.role
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        self.layout.server()
    }

    /// The certificate that the API server's own is signed with, as PEM text.
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// The directory of its keys, data and logs.
    pub fn directory(&self) -> &Path {
        self.workdir.path()
    }

    /// Leaves the directory in place when this value goes, and prints where it is.
    pub fn keep(&self) {
        self.workdir.keep();
    }

    /// Path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// Writes a kubeconfig for `user` in at most two `groups`, known by a client certificate.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, RealError> {
        self.layout
            .write_kubeconfig(&self.workdir, &self.pki, (user, groups))
    }

    /// A client of the administrator.
    pub async fn client(&self) -> Result<Client, RealError> {
        client_of(&self.admin_kubeconfig).await
    }

    /// A client of `user` in at most two `groups`.
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Result<Client, RealError> {
        client_of(&self.kubeconfig_for(user, groups)?).await
    }

    /// Runs kubectl as the administrator.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output, RealError> {
        tokio::process::Command::new(self.assets.kubectl())
            .arg("--kubeconfig")
            .arg(&self.admin_kubeconfig)
            .arg("--cache-dir")
            .arg(self.workdir.path().join("kubectl-cache"))
            .args(args)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| RealError::Spawn {
                name: "kubectl".to_owned(),
                source,
            })
    }

    /// The API server's audit log.
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(&self.layout.audit_log)
    }

    /// The process of one component, to break and heal it.
    pub fn process(&self, component: Component) -> Result<&Process, RealError> {
        let process = match component {
            Component::Etcd => Some(&self.etcd),
            Component::Api => Some(&self.api),
            Component::ControllerManager => Some(&self.controller_manager),
            Component::Scheduler => self.scheduler.as_ref(),
        };
        process.ok_or_else(|| RealError::NoComponent {
            plane: self.options.name.clone(),
            component,
        })
    }

    /// All its processes, clients before servers.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.scheduler
            .iter()
            .chain([&self.controller_manager, &self.api, &self.etcd])
    }

    /// Takes the API server away; everything else keeps running.
    pub async fn stop_api(&self) -> Result<(), RealError> {
        self.api.stop().await
    }

    /// Brings the API server back and waits until it is ready.
    pub async fn start_api(&self) -> Result<(), RealError> {
        self.api.start()?;
        self.api_ready().await
    }

    /// Waits until the API server says that it is ready.
    pub async fn api_ready(&self) -> Result<(), RealError> {
        let client = self.client().await?;
        let what = format!("{} is ready at {}", self.options.name, self.server());
        eventually(what, START_DEADLINE, async || {
            for process in [&self.etcd, &self.api] {
                if !process.is_running() {
                    return Err(NotYet::never(process.not_running()));
                }
            }
            let request = kube::core::Request::new("").get("readyz", &Default::default());
            let request = request.map_err(NotYet::never)?;
            client
                .request_text(request)
                .await
                .map(drop)
                .map_err(NotYet::again)
        })
        .await
    }

    /// Ends all processes and waits for their end; what is dropped without it is ended less
    /// patiently.
    pub async fn stop(self) -> Result<(), RealError> {
        for process in self.processes() {
            process.stop().await?;
        }
        Ok(())
    }

    fn prepare(options: Options) -> Result<Self, RealError> {
        let assets = Assets::find()?;
        let ports = [PortLease::take()?, PortLease::take()?, PortLease::take()?];
        let workdir = Workdir::create(&options.name)?;
        let pki = Pki::create(&workdir)?;
        let layout = Layout::write(&workdir, &pki, &ports)?;
        let admin = ("admin", [MASTERS].as_slice());
        let admin_kubeconfig = layout.write_kubeconfig(&workdir, &pki, admin)?;
        let logs = workdir.subdirectory("logs")?;
        let process = |component: Component, program, args| {
            Process::new(ProcessSpec {
                name: component.to_string(),
                program,
                args,
                envs: Vec::new(),
                log_directory: logs.clone(),
            })
        };
        let api_flags = flags::api(&layout, pki.files(), &options);
        let manager_flags = flags::controller_manager(&layout, pki.files(), &options);
        let scheduler = (options.role == Role::Member).then(|| {
            process(
                Component::Scheduler,
                assets.kube_scheduler(),
                flags::scheduler(&layout),
            )
        });
        Ok(Self {
            scheduler,
            controller_manager: process(
                Component::ControllerManager,
                assets.kube_controller_manager(),
                manager_flags,
            ),
            api: process(Component::Api, assets.kube_apiserver(), api_flags),
            etcd: process(
                Component::Etcd,
                assets.etcd(),
                flags::etcd(&layout, &options),
            ),
            options,
            layout,
            pki,
            assets,
            admin_kubeconfig,
            workdir,
            _ports: ports,
        })
    }

    async fn bring_up(&self) -> Result<(), RealError> {
        self.etcd.start()?;
        self.api.start()?;
        self.api_ready().await?;
        self.controller_manager.start()?;
        if let Some(scheduler) = &self.scheduler {
            scheduler.start()?;
        }
        self.controllers_work().await
    }

    /// The service account controller makes this account in every namespace, in both roles.
    async fn controllers_work(&self) -> Result<(), RealError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        let what = format!("the controllers of {} work", self.options.name);
        eventually(what, START_DEADLINE, async || {
            if let Some(ended) = self.processes().find(|process| !process.is_running()) {
                return Err(NotYet::never(ended.not_running()));
            }
            match accounts.get_opt("default").await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(NotYet::again("no default service account")),
                Err(error) => Err(NotYet::again(error)),
            }
        })
        .await
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // All clients of the API server end side by side; each field's own drop then waits.
        for process in self.processes().filter(|process| process.name() != "etcd") {
            process.ask_to_end();
        }
    }
}
