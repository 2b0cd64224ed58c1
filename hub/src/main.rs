//! Entry point; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    flotilla_hub::app::main(flotilla_hub::config::Args::parse())
}
