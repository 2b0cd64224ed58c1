//! The engine as a server of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use flotilla_kubeapi::kinds::Profile;
use flotilla_kubeapi::server::{Controllers, Settings, Storage, run};

/// A Kubernetes API server in one process: no etcd, no files needed.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// What kind of server: `templates` only fills in defaults, `cluster` also allocates addresses
    #[arg(long, value_enum, default_value_t = ProfileName::Cluster)]
    profile: ProfileName,
    /// Keep everything in memory; it is gone when the process ends
    #[arg(long, conflicts_with = "data_dir")]
    memory: bool,
    /// Directory for the data and the certificate authority
    #[arg(long, value_name = "DIR", required_unless_present = "memory")]
    data_dir: Option<PathBuf>,
    /// Controllers to run in the process
    #[arg(long, value_enum, default_value_t = ControllerNames::None)]
    controllers: ControllerNames,
    /// File of bearer tokens, lines of `token,user,uid[,"group,group"]`
    #[arg(long, value_name = "FILE")]
    token_auth_file: Option<PathBuf>,
    /// Write a kubeconfig for the admin here, readable by its owner only
    #[arg(long, value_name = "FILE")]
    kubeconfig_out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileName {
    /// A front door
    Templates,
    /// A cluster
    Cluster,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ControllerNames {
    /// None: objects stay as they are written
    None,
    /// Namespaces and owned objects are cleaned up
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = Settings {
        listen: arguments.listen,
        profile: match arguments.profile {
            ProfileName::Templates => Profile::Templates,
            ProfileName::Cluster => Profile::Cluster,
        },
        storage: arguments
            .data_dir
            .map_or(Storage::Memory, Storage::Directory),
        controllers: match arguments.controllers {
            ControllerNames::None => Controllers::None,
            ControllerNames::All => Controllers::All,
        },
        token_auth_file: arguments.token_auth_file,
        kubeconfig_out: arguments.kubeconfig_out,
    };
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kubeapi: {error:#}");
            ExitCode::FAILURE
        }
    }
}
