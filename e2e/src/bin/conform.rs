//! `cargo run -p flotilla-e2e --bin conform -- --kubeconfig F`: is this a Kubernetes API server?

use std::process::ExitCode;

use clap::Parser;
use flotilla_e2e::conform;

fn main() -> ExitCode {
    conform::main(&conform::Args::parse())
}
