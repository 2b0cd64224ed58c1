//! `flotilla`, the command line for people: a client of the front door, nothing else.
//!
//! Every command reads and writes objects under the person's own RBAC and explains with the same
//! `policy` functions that decide. Never talks to agents or members.

mod cmd;
mod door;
mod error;
mod output;

use std::io::Write;
use std::process::ExitCode;

pub use cmd::Cli;
pub use door::Door;
pub use error::CliError;

/// Runs a parsed command line on its own runtime and maps the result to an exit code: 0 done, 1 failed,
/// 3 not found.
#[must_use]
pub fn main(cli: &Cli) -> ExitCode {
    // Fails only when a provider is already installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&CliError::Runtime(error)),
    };
    match runtime.block_on(run(cli)) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            // A closed pipe (`flotilla get clusters | head`) is no failure.
            Err(_) => ExitCode::SUCCESS,
        },
        Err(error) => report(&error),
    }
}

/// Runs a parsed command line and returns what it prints.
///
/// # Errors
/// When the front door cannot be reached, refuses, or has no such object.
pub async fn run(cli: &Cli) -> Result<String, CliError> {
    let door = Door::connect(&cli.access).await?;
    cmd::run(&door, &cli.command).await
}

fn report(error: &CliError) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    // Nothing can be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(error.exit_code())
}
