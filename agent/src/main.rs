//! Entry point; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    flotilla_agent::main(flotilla_agent::config::Args::parse())
}
