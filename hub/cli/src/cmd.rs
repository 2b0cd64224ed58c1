//! The commands: one file each, one variant here.

mod get;
mod release;
mod revoke;
mod token;
mod unjoin;
mod why;

use clap::{Parser, Subcommand};

use crate::door::{Access, Door};
use crate::error::CliError;

/// Many Kubernetes clusters as one: ask and manage a Flotilla fleet at its front door.
///
/// Everything else is plain kubectl: apply manifests and policies at the front door, read bindings and
/// statuses there.
#[derive(Debug, Parser)]
#[command(name = "flotilla", version, about, max_term_width = 100)]
pub struct Cli {
    /// Which front door.
    #[command(flatten)]
    pub access: Access,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let a cluster join: make a join string for its agent
    #[command(subcommand)]
    Token(token::Token),
    /// Show clusters
    #[command(subcommand)]
    Get(get::Get),
    /// Explain where a template went, and why not elsewhere
    Why(why::Why),
    /// Take a cluster out of the fleet; its workloads stay unless --drain
    Unjoin(unjoin::Unjoin),
    /// Let works go on that are held for a person (condition WorksHeld of the Cluster)
    Release(release::Release),
    /// Cut a cluster's agent off at once; its workloads stay
    Revoke(revoke::Revoke),
}

pub(crate) async fn run(door: &Door, command: &Command) -> Result<String, CliError> {
    match command {
        Command::Token(args) => token::run(door, args).await,
        Command::Get(args) => get::run(door, args).await,
        Command::Why(args) => why::run(door, args).await,
        Command::Unjoin(args) => unjoin::run(door, args).await,
        Command::Release(args) => release::run(door, args).await,
        Command::Revoke(args) => revoke::run(door, args).await,
    }
}
