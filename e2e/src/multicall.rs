//! One binary, several programs: a test, the demo or a bench starts the hub and agents as processes
//! of its own by calling itself again under another first argument.
//!
//! So nothing has to be found, built or kept in step beside it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

const HUB: &str = "__hub";
const AGENT: &str = "__agent";

/// Runs as the hub or the agent when called as one; none = this is the main program.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let mut args: Vec<_> = std::env::args_os().collect();
    let program = args.get(1)?.to_str()?.to_owned();
    if program != HUB && program != AGENT {
        return None;
    }
    args.remove(1);
    Some(if program == HUB {
        flotilla_hub::app::main(flotilla_hub::config::Args::parse_from(args))
    } else {
        flotilla_agent::main(flotilla_agent::config::Args::parse_from(args))
    })
}

/// The program and first argument that start the hub.
///
/// # Errors
/// When this program's own path is unknown.
pub fn hub() -> std::io::Result<(PathBuf, &'static str)> {
    Ok((std::env::current_exe()?, HUB))
}

/// The program and first argument that start an agent.
///
/// # Errors
/// When this program's own path is unknown.
pub fn agent() -> std::io::Result<(PathBuf, &'static str)> {
    Ok((std::env::current_exe()?, AGENT))
}
