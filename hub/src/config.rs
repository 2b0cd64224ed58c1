//! What the hub is told from outside: flags with an environment variable and a default each.
//!
//! Raw values only; each component checks its own. Nothing else in the hub reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The hub of a Flotilla fleet: matches, schedules, binds, and serves every agent its share.
#[derive(Debug, Parser)]
#[command(name = "flotilla-hub", version, about, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command of the hub.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve agents and decide, until stopped
    Serve(Box<ServeArgs>),
    /// Print the CRDs of all kinds, for `kubectl apply -f -`
    Crds,
    /// Print the roles the hub needs at the front door, for `kubectl apply -f -`
    Rbac,
}

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Kubeconfig of the front door: a dedicated Kubernetes API server that runs no workloads
    #[arg(long, value_name = "FILE", env = "FLOTILLA_KUBECONFIG")]
    pub kubeconfig: PathBuf,
    /// Where agents dial in; must reach the hub unterminated (TCP passthrough)
    #[arg(
        long,
        value_name = "ADDR",
        env = "FLOTILLA_FLEET_LISTEN",
        default_value = "0.0.0.0:8443"
    )]
    pub fleet_listen: SocketAddr,
    /// How agents reach the hub from outside [default: the address it listens on]
    #[arg(long, value_name = "HOST:PORT", env = "FLOTILLA_FLEET_ADDRESS")]
    pub fleet_address: Option<String>,
    /// Name in the hub's certificate, and the domain of the agents' names
    #[arg(
        long,
        value_name = "NAME",
        env = "FLOTILLA_DOMAIN",
        default_value = "hub.flotilla.internal"
    )]
    pub domain: String,
    /// Where the front door calls the hub's admission webhooks
    #[arg(
        long,
        value_name = "ADDR",
        env = "FLOTILLA_WEBHOOK_LISTEN",
        default_value = "0.0.0.0:9843"
    )]
    pub webhook_listen: SocketAddr,
    /// How the front door reaches them [default: https:// and the address they listen on]
    #[arg(long, value_name = "URL", env = "FLOTILLA_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// Health and metrics: /healthz, /readyz, /metrics
    #[arg(
        long,
        value_name = "ADDR",
        env = "FLOTILLA_METRICS_LISTEN",
        default_value = "127.0.0.1:9443"
    )]
    pub metrics_listen: SocketAddr,
    /// Name of this process among the hub's replicas [default: host name and a random suffix]
    #[arg(long, value_name = "NAME", env = "FLOTILLA_IDENTITY")]
    pub identity: Option<String>,
    /// Life of the leader's lease: a dead leader is replaced a little later. Longer suits a front door
    /// that may be slow to answer
    #[arg(
        long,
        value_name = "SECONDS",
        env = "FLOTILLA_LEASE_SECONDS",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(3..=300)
    )]
    pub lease_seconds: u64,
    /// Life of an agent's leaf certificate, which it renews at half of it. Shorter cuts off a stolen key
    /// sooner; longer lets an agent that was away come back without recovery
    #[arg(
        long,
        value_name = "SECONDS",
        env = "FLOTILLA_LEAF_SECONDS",
        default_value_t = 86_400,
        value_parser = clap::value_parser!(u64).range(30..=2_592_000)
    )]
    pub leaf_seconds: u64,
    /// Leave CRDs, webhooks and namespace to whoever installed the hub
    #[arg(long, env = "FLOTILLA_NO_INSTALL")]
    pub no_install: bool,
    /// Print logs as JSON
    #[arg(long, env = "FLOTILLA_LOG_JSON")]
    pub log_json: bool,
    /// What to log, as tracing directives
    #[arg(
        long,
        value_name = "FILTER",
        env = "FLOTILLA_LOG",
        default_value = "info"
    )]
    pub log: String,
}
