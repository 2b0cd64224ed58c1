//! Finds the programs of the real tier.
//!
//! It decides which directory they are in: the one named by `KUBEBUILDER_ASSETS` when set, else
//! the workspace's `target/kubernetes`. It never builds or downloads anything; a missing program
//! is an error that says which command builds it.

use super::RealError;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Once,
};

/// The command that builds the programs, run from the workspace's root.
pub const BUILD_COMMAND: &str = "bash e2e/kubernetes/build.sh";

const DIRECTORY_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// The directory of the control-plane programs, with all those that a control plane needs in it.
#[derive(Debug, Clone)]
pub struct Assets {
    directory: PathBuf,
}

impl Assets {
    /// Finds the programs, or says what to run to get them.
    pub fn find() -> Result<Self, RealError> {
        let directory = match std::env::var_os(DIRECTORY_VARIABLE) {
            Some(directory) if !directory.is_empty() => PathBuf::from(directory),
            _ => workspace_root().join("target").join("kubernetes"),
        };
        Self::in_directory(&directory)
    }

    /// Takes the programs of one directory.
    pub fn in_directory(directory: &Path) -> Result<Self, RealError> {
        let assets = Self {
            directory: directory.to_owned(),
        };
        let needed = [
            assets.etcd(),
            assets.kube_apiserver(),
            assets.kube_controller_manager(),
            assets.kube_scheduler(),
        ];
        match needed.into_iter().find(|program| !program.is_file()) {
            Some(missing) => Err(RealError::AssetsAbsent { missing }),
            None => Ok(assets),
        }
    }

    /// Path of etcd.
    pub fn etcd(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    /// Path of kube-apiserver.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.directory.join("kube-apiserver")
    }

    /// Path of kube-controller-manager.
    pub fn kube_controller_manager(&self) -> PathBuf {
        self.directory.join("kube-controller-manager")
    }

    /// Path of kube-scheduler.
    pub fn kube_scheduler(&self) -> PathBuf {
        self.directory.join("kube-scheduler")
    }

    /// Path of kubectl; it may be absent when the directory was named by hand.
    pub fn kubectl(&self) -> PathBuf {
        self.directory.join("kubectl")
    }
}

/// Whether tests of the real tier can run here. One that cannot is not silent: it prints one line
/// per test process, past the capture of test output, and fails where `CI` is set.
pub fn can_run() -> bool {
    static SAID: Once = Once::new();
    let Err(error) = Assets::find() else {
        return true;
    };
    SAID.call_once(|| {
        let line = format!("not run: real control planes (run {BUILD_COMMAND})");
        if writeln!(std::io::stderr(), "{line}").is_err() {
            tracing::warn!("{line}");
        }
    });
    assert!(
        std::env::var_os("CI").is_none(),
        "the real tier must run in CI: {error}"
    );
    false
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_programs_say_what_to_run() {
        let error = Assets::in_directory(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no real control planes: /nonexistent/etcd is absent; run `bash e2e/kubernetes/build.sh` once"
        );
    }
}
