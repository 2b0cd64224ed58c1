//! Real Kubernetes control planes for the real test tier: etcd, kube-apiserver,
//! kube-controller-manager and kube-scheduler as processes of this machine, with a fake
//! kubelet in the place of nodes.
//!
//! It decides how such a control plane is started, broken, healed and ended, and what is read
//! from it (requests by its audit log). It never builds the programs, never leaves the loopback
//! address, and leaves no process behind.

mod assets;
mod audit;
mod certs;
mod control_plane;
mod kubelet;
mod ports;
mod process;
mod wait;
mod workdir;

pub use assets::{Assets, BUILD_COMMAND, can_run};
pub use audit::{AuditCounts, AuditEvent, AuditKey, AuditLog, AuditMark};
pub use control_plane::{Component, ControlPlane, Options, Role};
pub use kubelet::{Delays, FakeKubelet, KubeletOptions, NodeSpec, PodBehaviour, PodSelector};
pub use ports::PortLease;
pub use process::{Process, ProcessSpec};
pub use wait::{NotYet, Poll, eventually};
pub use workdir::Workdir;

use std::{io, path::PathBuf, time::Duration};

/// What went wrong around a real control plane, named after the operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// The control-plane programs are not built.
    #[error("no real control planes: {missing} is absent; run `{BUILD_COMMAND}` once")]
    AssetsAbsent {
        /// The program that was looked for.
        missing: PathBuf,
    },
    /// A file or directory operation failed.
    #[error("{what} {path}")]
    File {
        /// The operation, as a verb.
        what: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// No port was free in the range that is tried.
    #[error("no free port between {from} and {to}")]
    NoFreePort {
        /// First port tried.
        from: u16,
        /// Last port tried.
        to: u16,
    },
    /// A certificate or key could not be made.
    #[error("make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A client certificate names at most two groups.
    #[error("user {user} has {count} groups: a client certificate made here carries at most two")]
    TooManyGroups {
        /// The user asked for.
        user: String,
        /// How many groups were asked for.
        count: usize,
    },
    /// A process did not start.
    #[error("spawn {name}")]
    Spawn {
        /// The process's name.
        name: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A process could not be signalled.
    #[error("signal {name}")]
    Signal {
        /// The process's name.
        name: String,
        /// The system's reason.
        #[source]
        source: nix::errno::Errno,
    },
    /// An operation needs a running process and it is not.
    #[error("{name} is not running; its log ends:\n{log_tail}")]
    NotRunning {
        /// The process's name.
        name: String,
        /// The last lines of its log.
        log_tail: String,
    },
    /// This control plane has no such component.
    #[error("{plane} runs no {component}")]
    NoComponent {
        /// The control plane's name.
        plane: String,
        /// The component asked for.
        component: Component,
    },
    /// Something waited for did not come about.
    #[error("{what}: not within {after:?}; last seen: {last}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// What the last look saw.
        last: String,
    },
    /// Something waited for can no longer come about.
    #[error("{what}: {reason}")]
    Hopeless {
        /// What was waited for.
        what: String,
        /// Why no further look helps.
        reason: String,
    },
    /// A kubeconfig written here could not be read back.
    #[error("read a kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A request to the API server failed.
    #[error("{what}")]
    Api {
        /// The request, in words.
        what: &'static str,
        /// The client's reason.
        #[source]
        source: Box<kube::Error>,
    },
    /// A line of the audit log is not an audit event.
    #[error("parse an audit event at byte {offset}")]
    AuditEvent {
        /// Where the line starts.
        offset: u64,
        /// The parser's reason.
        #[source]
        source: serde_json::Error,
    },
    /// The task of a fake kubelet has ended.
    #[error("the fake kubelet's task has ended")]
    KubeletEnded,
}

impl RealError {
    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api {
            what,
            source: Box::new(source),
        }
    }
}
