//! The command line and its values, checked. Every flag has an environment variable, but for the join
//! string, which is never an argument.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args as ClapArgs, Parser, Subcommand};
use flotilla_proto::digest::Digest;
use flotilla_proto::join::JoinString;

use crate::member::MemberApi;
use crate::rbac::Profile;

/// Environment variable that may hold the join string.
pub const JOIN_ENV: &str = "FLOTILLA_JOIN";

/// The agent of one member cluster: pulls its share from the hub, renders and applies it here, repairs
/// drift, and reports.
#[derive(Debug, Parser)]
#[command(name = "flotilla-agent", version)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent of this cluster until it is told to stop
    Run(Box<RunArgs>),
    /// Print what the agent needs to be allowed in its cluster, for `kubectl apply -f -`
    Rbac(RbacArgs),
}

/// Arguments of `rbac`.
#[derive(Debug, ClapArgs)]
pub struct RbacArgs {
    /// How much the fleet may do in this cluster
    #[arg(long, env = "FLOTILLA_PROFILE", value_enum, default_value_t)]
    pub profile: Profile,

    /// Namespace of the agent
    #[arg(long, env = "FLOTILLA_NAMESPACE", default_value = "flotilla-system")]
    pub namespace: String,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To run.
    Run(Box<AgentConfig>, LogConfig),
    /// To print roles.
    Rbac(RbacArgs),
}

#[derive(Debug, ClapArgs)]
struct RunArgs {
    /// File that holds the join string ("-" = standard input). Needed once, to join; the environment
    /// variable FLOTILLA_JOIN may hold the string itself instead. Make one with `flotilla token create`
    #[arg(long, env = "FLOTILLA_JOIN_FILE", value_name = "FILE")]
    join_file: Option<PathBuf>,

    /// Kubeconfig of this cluster [default: the pod's own service account]
    #[arg(long, env = "FLOTILLA_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Folder for the body cache. It may be empty or vanish at any time; what counts is in the cluster
    #[arg(
        long,
        env = "FLOTILLA_DATA_DIR",
        value_name = "DIR",
        default_value = "/var/lib/flotilla-agent"
    )]
    data_dir: PathBuf,

    /// Largest size of the body cache, in MiB
    #[arg(long, env = "FLOTILLA_CACHE_MIB", default_value_t = 256)]
    cache_mib: usize,

    /// Namespace of the agent's own Secrets and Lease in this cluster
    #[arg(long, env = "FLOTILLA_NAMESPACE", default_value = "flotilla-system")]
    namespace: String,

    /// Address of health, readiness, metrics and state
    #[arg(long, env = "FLOTILLA_ADMIN", default_value = "127.0.0.1:9444")]
    admin: SocketAddr,

    /// Name of this process among the agents of this cluster [default: host name and data folder]
    #[arg(long, env = "FLOTILLA_IDENTITY")]
    identity: Option<String>,

    /// Lead without a Lease: only for an agent that is the only one of its cluster
    #[arg(long, env = "FLOTILLA_NO_LEADER_ELECTION")]
    no_leader_election: bool,

    /// What to log: a level, or filters as in `info,flotilla_agent=debug`
    #[arg(long, env = "FLOTILLA_LOG", default_value = "info")]
    log: String,

    /// Log as JSON
    #[arg(long, env = "FLOTILLA_LOG_JSON")]
    log_json: bool,
}

/// How the agent reaches its member.
#[derive(Clone)]
pub enum MemberSource {
    /// By a kubeconfig file.
    Kubeconfig(PathBuf),
    /// From inside of it.
    InCluster,
    /// Given.
    Given(Arc<dyn MemberApi>),
}

impl fmt::Debug for MemberSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubeconfig(path) => write!(f, "kubeconfig {}", path.display()),
            Self::InCluster => f.write_str("in cluster"),
            Self::Given(_) => f.write_str("given"),
        }
    }
}

/// Everything an agent needs to know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Used once; none when the cluster has joined before.
    pub join: Option<JoinString>,
    /// How to reach the member.
    pub member: MemberSource,
    /// Folder of the body cache; none = no cache.
    pub data_dir: Option<PathBuf>,
    /// Largest size of the body cache.
    pub cache_bytes_max: usize,
    /// Namespace of the agent's own objects.
    pub namespace: String,
    /// Address of the admin port; none = none.
    pub admin: Option<SocketAddr>,
    /// Name of this process among the agents of the cluster.
    pub identity: String,
    /// Share the work with other agents of the cluster by a Lease.
    pub leader_election: bool,
    /// Seed of all jitter.
    pub seed: u64,
}

/// How to log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Level or filters.
    pub filter: String,
    /// As JSON.
    pub json: bool,
}

/// Why the command line does not work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("the join string cannot be read from {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no join string.
    #[error(transparent)]
    JoinString(#[from] flotilla_proto::join::JoinStringError),
}

impl Args {
    /// Reads what the flags name.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no join string.
    pub fn into_config(self) -> Result<Asked, ConfigError> {
        let args = match self.command {
            Command::Run(args) => args,
            Command::Rbac(args) => return Ok(Asked::Rbac(args)),
        };
        let join = match std::env::var(JOIN_ENV) {
            Ok(text) if !text.trim().is_empty() => Some(text.parse()?),
            _ => args
                .join_file
                .as_deref()
                .map(read_join)
                .transpose()?
                .flatten(),
        };
        let host = host_name();
        let folder = Digest::of(args.data_dir.as_os_str().as_encoded_bytes()).to_string();
        let identity = args
            .identity
            .unwrap_or_else(|| format!("{host}-{}", &folder[..8]));
        let seed = Digest::of(format!("{identity} {}", std::process::id()).as_bytes());
        let seed = seed.as_bytes().first_chunk().copied().unwrap_or_default();
        let config = AgentConfig {
            join,
            member: args
                .kubeconfig
                .map_or(MemberSource::InCluster, MemberSource::Kubeconfig),
            data_dir: Some(args.data_dir),
            cache_bytes_max: args.cache_mib << 20,
            namespace: args.namespace,
            admin: Some(args.admin),
            identity,
            leader_election: !args.no_leader_election,
            seed: u64::from_le_bytes(seed),
        };
        let log = LogConfig {
            filter: args.log,
            json: args.log_json,
        };
        Ok(Asked::Run(Box::new(config), log))
    }
}

/// An empty or absent file is none: a join string is needed once, and may be taken away afterwards.
fn read_join(path: &Path) -> Result<Option<JoinString>, ConfigError> {
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    if read
        .as_ref()
        .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    {
        eprintln!(
            "flotilla-agent: {} is not there; going on without a join string",
            path.display()
        );
        return Ok(None);
    }
    let text = read.map_err(|source| ConfigError::Read {
        path: path.display().to_string(),
        source,
    })?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.parse()).transpose()?)
}

fn host_name() -> String {
    let given = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    given
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "agent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_flag_has_an_environment_variable_and_a_text() {
        let command = Args::command();
        let run = command.find_subcommand("run").expect("run");
        for arg in run.get_arguments().filter(|a| a.get_id() != "help") {
            assert!(arg.get_env().is_some(), "{} lacks a variable", arg.get_id());
            assert!(arg.get_help().is_some(), "{} lacks a text", arg.get_id());
        }
        assert!(!run.get_arguments().any(|a| a.get_id() == "join"));
    }

    #[test]
    fn a_name_depends_on_the_folder() {
        let name = |folder: &str| {
            let args = ["flotilla-agent", "run", "--data-dir", folder];
            let asked = Args::parse_from(args).into_config().expect("valid");
            let Asked::Run(config, _) = asked else {
                panic!("it asks to run");
            };
            config.identity
        };
        assert_eq!(name("/a"), name("/a"));
        assert_ne!(name("/a"), name("/b"));
    }
}
