//! Backups of a control plane's etcd: what a restored front door does to a federation is one of
//! the things the real tier is for.
//!
//! It decides what a backup is: the data directory as a power cut would leave it. Taking one
//! disturbs nobody; putting one back restarts every program, because their caches would otherwise
//! hold revisions that no longer exist. It never looks into the data.

use super::ControlPlane;
use crate::real::RealError;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

impl ControlPlane {
    /// Copies etcd's data to `to`, a directory that does not exist yet.
    pub async fn snapshot_etcd(&self, to: &Path) -> Result<(), RealError> {
        let paused = self.etcd.pause().await;
        let copied = match paused {
            Ok(()) => copy_tree(self.layout.etcd_data.clone(), to.to_owned()).await,
            Err(error) => Err(error),
        };
        self.etcd.resume()?;
        copied
    }

    /// Puts a copy of etcd's data back and waits until the control plane is up with it.
    pub async fn restore_etcd(&self, from: &Path) -> Result<(), RealError> {
        for process in self.processes() {
            process.stop().await?;
        }
        let data = &self.layout.etcd_data;
        fs::remove_dir_all(data).map_err(RealError::file("remove", data))?;
        copy_tree(from.to_owned(), data.clone()).await?;
        self.bring_up().await
    }
}

async fn copy_tree(from: PathBuf, to: PathBuf) -> Result<(), RealError> {
    tokio::task::spawn_blocking(move || copy_tree_blocking(&from, &to))
        .await
        .expect("copying files does not panic and is not aborted")
}

fn copy_tree_blocking(from: &Path, to: &Path) -> Result<(), RealError> {
    fs::create_dir(to).map_err(RealError::file("create", to))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))
        .map_err(RealError::file("protect", to))?;
    for entry in fs::read_dir(from).map_err(RealError::file("read", from))? {
        let entry = entry.map_err(RealError::file("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree_blocking(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(RealError::file("copy", &source))?;
        }
    }
    Ok(())
}
