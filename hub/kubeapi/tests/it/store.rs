//! Every store keeps the same promises: one contract, and one model, over each.

mod contract;
mod model;

use std::sync::Arc;

use flotilla_kubeapi::store::memory::MemoryStore;
use flotilla_kubeapi::store::{Operation, Revision, Write};

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
