//! `bench -- s1 --real`: what the product costs, each figure as a ratio to a baseline of the same run.

use std::process::ExitCode;

use clap::Parser;
use flotilla_e2e::{bench, multicall};

fn main() -> ExitCode {
    multicall::dispatch().unwrap_or_else(|| bench::main(&bench::Args::parse()))
}
