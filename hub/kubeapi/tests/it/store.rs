//! Every store keeps the same promises: one contract, and one model, over each.

mod contract;
mod crash;
mod model;
mod redb;
mod sealer;

use std::path::PathBuf;
use std::sync::Arc;

use flotilla_kubeapi::store::memory::MemoryStore;
use flotilla_kubeapi::store::{Operation, Revision, Write};

/// A directory that goes away with its test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let name = format!("flotilla-kubeapi-{}", uuid::Uuid::new_v4());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A write that puts a value.
pub(crate) fn put(key: &str, expected: Revision, value: &str) -> Write {
    Write {
        key: key.into(),
        expected,
        operation: Operation::Put(value.to_owned().into()),
        lazy: false,
        sealed: false,
    }
}

/// A write that deletes.
pub(crate) fn delete(key: &str, expected: Revision) -> Write {
    Write {
        operation: Operation::Delete,
        ..put(key, expected, "")
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    for (name, case) in contract::cases() {
        eprintln!("contract: {name}");
        case(Arc::new(MemoryStore::new())).await;
    }
}

#[test]
fn memory_does_what_the_model_does() {
    model::check(200, || (Arc::new(MemoryStore::new()), ()));
}
