//! What is still to be said: one slot per work, the newest state wins, in an order that works.
//!
//! Namespaces and CRDs go before what lives in them and come last among removals. What is held is known
//! with its reason, and is not said.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;

use crate::fleet::share::Said;

/// Why a work is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldWhy {
    /// Too many derived removals at once.
    Brake,
    /// A derived removal of a hub that has just begun to lead.
    NewLeader,
    /// The store went back in time, and the member holds something else.
    RecoveryDiffers,
    /// The store went back in time, and this would be a deletion.
    RecoveryRemoval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Namespace,
    Definition,
    Ordinary,
    Removal,
    DefinitionRemoval,
    NamespaceRemoval,
}

/// Pending and held works.
#[derive(Debug, Default)]
pub(super) struct Slots {
    rank: BTreeMap<WorkId, Rank>,
    order: BTreeSet<(Rank, WorkId)>,
    held: BTreeMap<WorkId, HoldWhy>,
}

impl Slots {
    /// This work is to be said.
    pub(super) fn push(&mut self, id: WorkId, said: &Said) {
        self.drop(id);
        if let Some(rank) = rank_of(said) {
            self.rank.insert(id, rank);
            self.order.insert((rank, id));
        }
    }

    /// This work is not to be said for now.
    pub(super) fn hold(&mut self, id: WorkId, why: HoldWhy) {
        self.drop(id);
        self.held.insert(id, why);
    }

    /// Nothing is to be said about this work.
    pub(super) fn drop(&mut self, id: WorkId) {
        if let Some(rank) = self.rank.remove(&id) {
            self.order.remove(&(rank, id));
        }
        self.held.remove(&id);
    }

    /// The next work to say.
    pub(super) fn pop(&mut self) -> Option<WorkId> {
        let (_, id) = self.order.pop_first()?;
        self.rank.remove(&id);
        Some(id)
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.order.is_empty()
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = WorkId> + '_ {
        self.rank.keys().copied()
    }

    pub(super) fn held(&self) -> &BTreeMap<WorkId, HoldWhy> {
        &self.held
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }
}

fn rank_of(said: &Said) -> Option<Rank> {
    match said {
        Said::Upsert(assignment) => Some(match container(assignment.row.object.as_ref()) {
            Some(Container::Namespace) => Rank::Namespace,
            Some(Container::Definition) => Rank::Definition,
            None => Rank::Ordinary,
        }),
        Said::Tombstone(removal) => Some(match container(Some(&removal.object)) {
            Some(Container::Namespace) => Rank::NamespaceRemoval,
            Some(Container::Definition) => Rank::DefinitionRemoval,
            None => Rank::Removal,
        }),
        Said::Nothing => None,
    }
}

enum Container {
    Namespace,
    Definition,
}

fn container(object: Option<&v1::ObjectRef>) -> Option<Container> {
    let object = object?;
    match (object.api_version.as_str(), object.kind.as_str()) {
        ("v1", "Namespace") => Some(Container::Namespace),
        (version, "CustomResourceDefinition") if version.starts_with("apiextensions.k8s.io/") => {
            Some(Container::Definition)
        }
        _ => None,
    }
}
