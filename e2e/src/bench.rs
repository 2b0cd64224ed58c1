//! Benches: each measures its baselines in the same run and prints ratios to them.
//!
//! They print; they never judge, so that a busy machine fails no build.

mod echo;
mod memory;
mod s1;
mod samples;

use std::process::ExitCode;

use crate::scenario;
use crate::world::WorldError;

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
    S1(How),
    /// Memory of the agent and the hub with 0 and 300 works
    Memory(How),
}

/// What all benches can be told.
#[derive(Clone, Copy, Debug, clap::Args)]
struct How {
    /// On real kube-apiservers (the only way so far)
    #[arg(long)]
    real: bool,
    /// A tenth of the rounds or works
    #[arg(long)]
    quick: bool,
}

impl How {
    fn many(self, many: usize) -> usize {
        if self.quick { many / 10 } else { many }
    }
}

/// Runs a bench and prints its figures.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    let (Bench::S1(how) | Bench::Memory(how)) = args.bench;
    if !how.real {
        eprintln!("error: say --real: members without real kube-apiservers do not exist yet");
        return ExitCode::from(2);
    }
    if let Some(line) = scenario::not_run() {
        eprintln!("error: {line}");
        return ExitCode::FAILURE;
    }
    let measured = tokio::runtime::Runtime::new()
        .map_err(|e| e.to_string())
        .and_then(|runtime| {
            runtime
                .block_on(run(&args.bench))
                .map_err(|e| e.to_string())
        });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(bench: &Bench) -> Result<(), WorldError> {
    match bench {
        Bench::S1(how) => s1::run(how.many(200)).await,
        Bench::Memory(how) => memory::run(how.many(300)).await,
    }
}
