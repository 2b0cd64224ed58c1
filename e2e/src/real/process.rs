//! A program of this machine that a test starts, breaks and ends.
//!
//! It decides how a process ends: asked first, forced after a grace period, and always when its
//! owner goes, also by a panic or by a kill of the test itself. It never reads what the program
//! says; its output goes to a log file.

mod spawner;

use super::{NotYet, Poll, RealError, eventually};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

const STOP_GRACE: Duration = Duration::from_secs(15);
const DROP_GRACE: Duration = Duration::from_secs(2);
const DROP_PAUSE: Duration = Duration::from_millis(5);
const SIGNAL_DEADLINE: Duration = Duration::from_secs(10);

/// What to run, and where its output goes.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Name in logs and errors; the log file is `<name>.log`.
    pub name: String,
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables beside the inherited ones.
    pub envs: Vec<(String, String)>,
    /// The directory of the log file.
    pub log_directory: PathBuf,
}

/// A process that can be started again, and that is gone when this value is.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// A process that does not run yet.
    pub fn new(spec: ProcessSpec) -> Self {
        Self {
            spec,
            child: Mutex::new(None),
        }
    }

    /// Starts the program, also again after it ended; does nothing while it runs.
    pub fn start(&self) -> Result<(), RealError> {
        let mut child = self.lock();
        if alive(&mut child).is_some() {
            return Ok(());
        }
        *child = Some(self.launch()?);
        Ok(())
    }

    /// The name given in its [`ProcessSpec`].
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The process's number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        alive(&mut self.lock()).map(|child| child.id())
    }

    /// Whether it runs (a paused one does).
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Resident memory in KiB, 0 when it does not run.
    pub fn resident_kib(&self) -> u64 {
        self.proc_kib("status", "VmRSS:")
    }

    /// Memory in KiB that it shares with nobody, 0 when it does not run. Control planes share one
    /// program file, so this is what one more of them costs.
    pub fn private_kib(&self) -> u64 {
        self.proc_kib("status", "RssAnon:")
    }

    /// Resident memory in KiB with shared pages divided by those who share them, 0 when it does not run.
    pub fn proportional_kib(&self) -> u64 {
        self.proc_kib("smaps_rollup", "Pss:")
    }

    /// Where its output goes.
    pub fn log_path(&self) -> PathBuf {
        self.spec
            .log_directory
            .join(format!("{}.log", self.spec.name))
    }

    /// The last `lines` lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Asks the process to end, waits, and forces it when the grace period is past.
    pub async fn stop(&self) -> Result<(), RealError> {
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)?;
        match self.ended(STOP_GRACE).await {
            Err(RealError::Deadline { .. }) => self.kill().await,
            outcome => outcome,
        }
    }

    /// Ends the process at once, as a crash would.
    pub async fn kill(&self) -> Result<(), RealError> {
        self.signal(Signal::SIGKILL)?;
        self.ended(SIGNAL_DEADLINE).await
    }

    /// Stops the program unless it has ended by itself.
    pub async fn stop_if_running(&self) -> Result<(), RealError> {
        if self.is_running() {
            self.stop().await
        } else {
            Ok(())
        }
    }

    /// Starts the program again, whether it has ended by itself or not.
    pub async fn restart_if_ended(&self) -> Result<(), RealError> {
        self.stop_if_running().await?;
        self.start()
    }

    /// Stops and starts the program.
    pub async fn restart(&self) -> Result<(), RealError> {
        self.stop().await?;
        self.start()
    }

    /// Freezes the process where it is (SIGSTOP) and waits until all its threads stand still.
    pub async fn pause(&self) -> Result<(), RealError> {
        let pid = self.pid().ok_or_else(|| self.not_running())?;
        self.signal(Signal::SIGSTOP)?;
        eventually(
            format!("{} stands still", self.name()),
            SIGNAL_DEADLINE,
            async || stands_still(pid),
        )
        .await
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&self) -> Result<(), RealError> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks the process to end without waiting for it.
    pub(super) fn ask_to_end(&self) {
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            if let Err(error) = self.signal(signal) {
                tracing::debug!(process = self.name(), %error, "not signalled");
            }
        }
    }

    /// The error of an operation that needs the process to run.
    pub(super) fn not_running(&self) -> RealError {
        RealError::NotRunning {
            name: self.spec.name.clone(),
            log_tail: self.log_tail(12),
        }
    }

    fn proc_kib(&self, file: &str, field: &str) -> u64 {
        let Some(pid) = self.pid() else { return 0 };
        let told = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    fn launch(&self) -> Result<Child, RealError> {
        let path = self.log_path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(RealError::file("open", &path))?;
        let error_log = log.try_clone().map_err(RealError::file("open", &path))?;
        let mut command = command_bound_to_us(&self.spec.program);
        command
            .args(&self.spec.args)
            .envs(self.spec.envs.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log);
        spawner::spawn(command).map_err(|source| RealError::Spawn {
            name: self.spec.name.clone(),
            source,
        })
    }

    /// Sends a signal if the process runs; its end in between is no error.
    fn signal(&self, signal: Signal) -> Result<(), RealError> {
        let mut child = self.lock();
        let Some(child) = alive(&mut child) else {
            return Ok(());
        };
        kill(raw_pid(child), signal).map_err(|source| RealError::Signal {
            name: self.spec.name.clone(),
            source,
        })
    }

    async fn ended(&self, within: Duration) -> Result<(), RealError> {
        eventually(
            format!("{} ends", self.name()),
            within,
            async || match self.pid() {
                None => Poll::Ok(()),
                Some(pid) => Err(NotYet::again(format!("process {pid} runs"))),
            },
        )
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        // A panic while it was held leaves a child that is as good as before.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
        let started = Instant::now();
        while self.is_running() && started.elapsed() < DROP_GRACE {
            thread::sleep(DROP_PAUSE);
        }
        if let Some(child) = self.lock().as_mut()
            && let Err(error) = child.kill().and_then(|()| child.wait())
        {
            tracing::debug!(process = self.spec.name, %error, "not ended");
        }
    }
}

/// A command whose process the kernel kills when this test process goes, where `setpriv` exists;
/// a plain one elsewhere.
fn command_bound_to_us(program: &Path) -> Command {
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"]
        .into_iter()
        .find(|path| Path::new(path).is_file());
    match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The child if it runs; one that ended is collected.
fn alive(child: &mut Option<Child>) -> Option<&mut Child> {
    child
        .as_mut()
        .and_then(|child| matches!(child.try_wait(), Ok(None)).then_some(child))
}

fn raw_pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("the kernel's process numbers fit an i32"))
}

/// Whether every thread of the process is in the stopped state.
fn stands_still(pid: u32) -> Poll<()> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(NotYet::never)?;
    for task in tasks {
        let path = task.map_err(NotYet::again)?.path().join("stat");
        let Ok(stat) = fs::read_to_string(path) else {
            continue;
        };
        let state = stat.rsplit_once(") ").map_or("?", |(_, rest)| &rest[..1]);
        if !matches!(state, "T" | "t") {
            return Err(NotYet::again(format!("a thread in state {state}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Workdir;

    fn mk_sleeper(workdir: &Workdir) -> Process {
        let process = Process::new(ProcessSpec {
            name: "sleeper".to_owned(),
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), "echo started; exec sleep 600".to_owned()],
            envs: Vec::new(),
            log_directory: workdir.path().to_owned(),
        });
        process.start().unwrap();
        process
    }

    #[tokio::test]
    async fn pauses_resumes_stops_and_starts_again() {
        let workdir = Workdir::create("process").unwrap();
        let process = mk_sleeper(&workdir);
        let first = process.pid().unwrap();
        process.pause().await.unwrap();
        assert!(process.is_running());
        process.resume().unwrap();
        process.stop().await.unwrap();
        assert!(!process.is_running());
        process.start().unwrap();
        assert_ne!(process.pid().unwrap(), first);
        process.kill().await.unwrap();
        assert_eq!(process.pid(), None);
    }

    #[tokio::test]
    async fn a_paused_process_is_gone_with_its_owner() {
        let workdir = Workdir::create("process").unwrap();
        let process = mk_sleeper(&workdir);
        process.pause().await.unwrap();
        let pid = process.pid().unwrap();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
