//! `cargo demo -- --real`: a fleet on this machine, one application in it, and what became of it.

use std::process::ExitCode;

use clap::Parser;
use flotilla_e2e::{demo, multicall};

fn main() -> ExitCode {
    multicall::dispatch().unwrap_or_else(|| demo::main(&demo::Args::parse()))
}
