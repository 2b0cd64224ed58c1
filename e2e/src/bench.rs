//! Benches: each measures its baselines in the same run and prints ratios to them.
//!
//! They print; they never judge, so that a busy machine fails no build.

mod echo;
mod s1;
mod samples;

use std::process::ExitCode;

use crate::scenario;

/// What to measure.
#[derive(Debug, clap::Parser)]
#[command(name = "bench", max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// Propagation of one object: latency, requests, bytes and CPU against a direct write
    S1 {
        /// On real kube-apiservers (the only way so far)
        #[arg(long)]
        real: bool,
        /// A tenth of the rounds
        #[arg(long)]
        quick: bool,
    },
}

/// Runs a bench and prints its figures.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let Bench::S1 { real, quick } = args.bench;
    if !real {
        eprintln!("error: say --real: members without real kube-apiservers do not exist yet");
        return ExitCode::from(2);
    }
    if let Some(line) = scenario::not_run() {
        eprintln!("error: {line}");
        return ExitCode::FAILURE;
    }
    let rounds = if quick { 20 } else { 200 };
    let measured = tokio::runtime::Runtime::new()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(s1::run(rounds)).map_err(|e| e.to_string()));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
