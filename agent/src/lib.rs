//! The agent of a member cluster: pulls its share from the hub, renders and applies it, repairs drift,
//! and reports. It works on while the hub is away.
//!
//! `session` is the protocol as a machine, `apply` brings one work in line, `observe` watches,
//! `ledger` remembers; `member` is the only way to the cluster. `app` puts it all together.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

pub mod admin;
pub mod app;
pub mod apply;
pub mod config;
pub mod decisions;
pub mod engine;
pub mod identity;
pub mod leader;
pub mod ledger;
pub mod member;
pub mod metrics;
pub mod observe;
pub mod rbac;
pub mod retry;
pub mod session;
pub mod status;
pub mod view;

pub use app::{AgentError, run};
pub use config::{AgentConfig, Asked};

/// The program: logs, signals, exit code.
#[must_use]
pub fn main(args: config::Args) -> ExitCode {
    let (cfg, log) = match args.into_config() {
        Ok(Asked::Run(cfg, log)) => (*cfg, log),
        Ok(Asked::Rbac(args)) => return print_roles(&args),
        Err(error) => {
            eprintln!("flotilla-agent: {error}");
            return ExitCode::from(2);
        }
    };
    start_log(&log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(until_signalled(cfg)),
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the agent ends");
            eprintln!("flotilla-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_roles(args: &config::RbacArgs) -> ExitCode {
    // A JSON object is YAML too, and needs no library of its own here.
    for object in rbac::objects(args.profile, &args.namespace) {
        println!("---\n{object:#}");
    }
    ExitCode::SUCCESS
}

async fn until_signalled(cfg: AgentConfig) -> Result<(), String> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let agent = run(cfg, shutdown.clone());
    tokio::pin!(agent);
    let mut asked = false;
    loop {
        // Cancel-safe: the agent is pinned, signals are kept.
        tokio::select! {
            result = &mut agent => return result.map_err(|error| error.to_string()),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if std::mem::replace(&mut asked, true) {
            return Err("stopped at the second signal".to_owned());
        }
        tracing::info!("stopping");
        shutdown.cancel();
    }
}

fn start_log(log: &config::LogConfig) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if log.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    // A test may have a subscriber already.
    started.ok();
}
