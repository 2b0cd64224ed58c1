//! Runs every scenario on real control planes and prints one line each.
//!
//! A harness of its own: scenarios share a world, and the table they print is what people read. Words
//! on the command line choose scenarios by name.

use std::process::ExitCode;

use flotilla_e2e::{multicall, scenario, scenarios};

fn main() -> ExitCode {
    if let Some(code) = multicall::dispatch() {
        return code;
    }
    let words: Vec<_> = std::env::args()
        .skip(1)
        .filter(|w| !w.starts_with('-'))
        .collect();
    if let Some(line) = scenario::not_run() {
        println!("scenarios on real control planes {line}");
        let must = std::env::var_os("CI").is_some();
        return if must {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let summary = runtime.block_on(scenario::run_all(&scenarios::all(), &words));
    println!(
        "scenarios: {} passed, {} failed",
        summary.passed, summary.failed
    );
    if summary.failed == 0 && summary.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
