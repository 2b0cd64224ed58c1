//! The directory of one control plane: its keys, data and logs.
//!
//! It decides whether the directory outlives its owner: it does when a test panics, when told to
//! by [`Workdir::keep`], or when `FLOTILLA_E2E_KEEP` is set; then its place is printed. It never
//! removes a directory that it did not make.

use super::RealError;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

const KEEP_VARIABLE: &str = "FLOTILLA_E2E_KEEP";

/// A directory under the system's temporary one, removed on drop unless it may be needed to
/// understand a failure.
#[derive(Debug)]
pub struct Workdir {
    path: PathBuf,
    keep: AtomicBool,
}

impl Workdir {
    /// Makes a new, empty directory with `name` in its path.
    pub fn create(name: &str) -> Result<Self, RealError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let leaf = format!("flotilla-e2e-{}-{turn}-{name}", std::process::id());
        let path = std::env::temp_dir().join(leaf);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(RealError::file("create", &path))?;
        let keep = AtomicBool::new(std::env::var_os(KEEP_VARIABLE).is_some());
        Ok(Self { path, keep })
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory in place when the owner goes.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// Makes a directory inside, if it is not there.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf, RealError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(RealError::file("create", &path))?;
        Ok(path)
    }

    /// Writes a file inside that only its owner may read.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, RealError> {
        let path = self.path.join(name);
        let written = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(RealError::file("write", &path))?;
        Ok(path)
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        if std::thread::panicking() || self.keep.load(Ordering::Relaxed) {
            eprintln!("kept for a look: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "directory not removed");
        }
    }
}
