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

/// Which programs the hub and the agents of a world are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// This one, called as the other.
    Own,
    /// Those people run, where they lie beside this one; else this one.
    Beside,
}

/// A program, and the argument it wants before all others.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    first: Option<&'static str>,
}

impl Program {
    /// Its whole command line.
    #[must_use]
    pub fn args(&self, args: &[String]) -> Vec<String> {
        let first = self.first.map(str::to_owned);
        first.into_iter().chain(args.iter().cloned()).collect()
    }
}

impl Programs {
    /// What starts the hub.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn hub(self) -> std::io::Result<Program> {
        self.find("flotilla-hub", HUB)
    }

    /// What starts an agent.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn agent(self) -> std::io::Result<Program> {
        self.find("flotilla-agent", AGENT)
    }

    fn find(self, file: &str, called_as: &'static str) -> std::io::Result<Program> {
        let own = std::env::current_exe()?;
        let beside = own.with_file_name(file);
        Ok(if self == Self::Beside && beside.is_file() {
            Program {
                path: beside,
                first: None,
            }
        } else {
            Program {
                path: own,
                first: Some(called_as),
            }
        })
    }
}
