//! What a kind's objects mean: replicas, status, health, what they refer to, and how the statuses of
//! many members become one.
//!
//! One [`Interpreter`] per kind, found through the registry; a kind without one gets the defaults:
//! no replicas, the whole `.status` goes up, healthy, not aggregated, no dependencies. Semantics are
//! those of Karmada's native interpreter. Pure: reads and returns manifests, never a cluster.

use std::fmt;

use serde_json::Value;

use crate::api::{AggregatedStatusItem, LabelSelector, ReplicaRequirements, StringMap};
use crate::model::quantity::QuantityError;

mod generations;
pub(crate) mod kinds;
mod load_balancer;
mod pods;
mod read;
pub mod registry;
mod retention;
mod workloads;

/// Annotation on members' objects: generation of the template they were made from.
pub const TEMPLATE_GENERATION_ANNOTATION: &str = "resourcetemplate.karmada.io/generation";
/// Label on a Deployment: the member's replicas stay as they are.
pub const RETAIN_REPLICAS_LABEL: &str = "resourcetemplate.karmada.io/retain-replicas";

/// How many pods a template asks for, and what one of them needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replicas {
    /// Pods in all.
    pub replicas: i64,
    /// What one pod needs; none when it asks for nothing.
    pub requirements: Option<ReplicaRequirements>,
}

/// Whether an object does its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It does, or its kind cannot tell.
    Healthy,
    /// It does not.
    Unhealthy,
    /// Not known.
    #[default]
    Unknown,
}

impl Health {
    /// The spelling in a binding's `aggregatedStatus`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Unhealthy => "Unhealthy",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Health with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// The verdict.
    pub health: Health,
    /// Why, for people; empty when healthy.
    pub reason: String,
}

impl HealthReport {
    /// Does its work.
    #[must_use]
    pub const fn healthy() -> Self {
        Self {
            health: Health::Healthy,
            reason: String::new(),
        }
    }

    /// Does not do its work, and why.
    #[must_use]
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self {
            health: Health::Unhealthy,
            reason: reason.into(),
        }
    }
}

/// Something an object refers to: one object by name, or many by labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// API version.
    pub api_version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Namespace.
    pub namespace: String,
    /// Name; empty when labels select.
    pub name: String,
    /// Labels all of which must match; empty when the name selects.
    pub labels: StringMap,
}

impl Dependency {
    /// One object by its name.
    #[must_use]
    pub fn named(
        api_version: &'static str,
        kind: &'static str,
        namespace: &str,
        name: &str,
    ) -> Self {
        Self {
            api_version,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: StringMap::new(),
        }
    }

    /// The labels as a selector, when labels select.
    #[must_use]
    pub fn label_selector(&self) -> Option<LabelSelector> {
        (!self.labels.is_empty()).then(|| LabelSelector {
            match_labels: self.labels.clone(),
            ..LabelSelector::default()
        })
    }
}

/// Why an object cannot be interpreted. Always the object's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// A field has another type than its kind wants.
    #[error("{path}: want {want}")]
    Type {
        /// Path of the field, with dots.
        path: String,
        /// What it should be.
        want: &'static str,
    },
    /// A number beyond what the API can hold.
    #[error("{path}: out of range")]
    Range {
        /// Path of the field, with dots.
        path: String,
    },
    /// A resource amount that is none.
    #[error("{path}: {source}")]
    Quantity {
        /// Path of the field, with dots.
        path: String,
        /// What is wrong with it.
        source: QuantityError,
    },
    /// A field that must be there is not.
    #[error("{path}: missing")]
    Missing {
        /// Path of the field, with dots.
        path: String,
    },
}

/// What is known of one kind. Each hook has a default for kinds that lack it.
pub trait Interpreter: Sync {
    /// API versions and kinds this is for.
    fn kinds(&self) -> &'static [(&'static str, &'static str)];

    /// Replicas and what one needs; none when the kind has no replicas.
    ///
    /// # Errors
    /// When the object is malformed.
    fn replicas(&self, _object: &Value) -> Result<Option<Replicas>, InterpretError> {
        Ok(None)
    }

    /// Sets the replicas of one cluster; false when the object has no such field.
    ///
    /// # Errors
    /// When the object is malformed.
    fn revise(&self, _object: &mut Value, _replicas: i64) -> Result<bool, InterpretError> {
        Ok(false)
    }

    /// Copies into the desired object what the member decides.
    ///
    /// # Errors
    /// When one of the objects is malformed.
    fn retain(&self, _desired: &mut Value, _observed: &Value) -> Result<(), InterpretError> {
        Ok(())
    }

    /// Removes from the desired object what the member decides, so that an apply does not own it.
    fn leave_out(&self, _desired: &mut Value, _observed: &Value) {}

    /// The part of the status that goes up.
    ///
    /// # Errors
    /// When the object is malformed.
    fn status(&self, object: &Value) -> Result<Option<Value>, InterpretError> {
        read::status(object).map(Option::<&Value>::cloned)
    }

    /// Whether the object does its work.
    ///
    /// # Errors
    /// When the object is malformed.
    fn health(&self, _object: &Value) -> Result<HealthReport, InterpretError> {
        Ok(HealthReport::healthy())
    }

    /// The template's new status; none leaves it as it is. Items are sorted by cluster.
    ///
    /// # Errors
    /// When the template is malformed; an item that is counts as one without status.
    fn aggregate(
        &self,
        _template: &Value,
        _items: &[&AggregatedStatusItem],
        _now: &str,
    ) -> Result<Option<Value>, InterpretError> {
        Ok(None)
    }

    /// What the object refers to, sorted, each once.
    ///
    /// # Errors
    /// When the object is malformed.
    fn dependencies(&self, _object: &Value) -> Result<Vec<Dependency>, InterpretError> {
        Ok(Vec::new())
    }
}

/// Replicas of a template and what one needs; none for a kind without replicas.
///
/// # Errors
/// When the object is malformed.
pub fn replicas(object: &Value) -> Result<Option<Replicas>, InterpretError> {
    registry::of(object).replicas(object)
}

/// Sets the replicas of one cluster. False when nothing was set: another kind, or a template that
/// leaves the number to its members.
///
/// # Errors
/// When the object is malformed; it is unchanged then.
pub fn revise(object: &mut Value, replicas: i64) -> Result<bool, InterpretError> {
    registry::of(object).revise(object, replicas)
}

/// The desired object with what the member decides taken from the observed one. For a writer that
/// replaces objects; see [`leave_out`] for one that applies.
///
/// # Errors
/// When one of the objects is malformed.
pub fn retain(mut desired: Value, observed: &Value) -> Result<Value, InterpretError> {
    registry::of(&desired).retain(&mut desired, observed)?;
    Ok(desired)
}

/// Removes from the desired object the fields that [`retain`] would take from the member, so that a
/// server-side apply does not own them. Without an observed object, for a create, nothing is removed.
/// A field that an earlier apply of ours still owns gets the observed value instead: leaving it out
/// would make the API server reset it.
pub fn leave_out(desired: &mut Value, observed: Option<&Value>) {
    if let Some(observed) = observed {
        registry::of(desired).leave_out(desired, observed);
    }
}

/// The part of the status that goes up; none when there is nothing to report.
///
/// # Errors
/// When the object is malformed.
pub fn status(object: &Value) -> Result<Option<Value>, InterpretError> {
    registry::of(object).status(object)
}

/// Whether the object does its work. A malformed object is Unknown.
#[must_use]
pub fn health(object: &Value) -> HealthReport {
    registry::of(object)
        .health(object)
        .unwrap_or_else(|error| HealthReport {
            health: Health::Unknown,
            reason: error.to_string(),
        })
}

/// The template's new status, made from what the members report; none leaves it as it is.
/// `observedGeneration` moves only when every member has caught up with the template. `now` is
/// RFC 3339. The order of the items does not matter, and an item that cannot be read counts as one
/// without status: one member's nonsense does not hide what the others report.
///
/// # Errors
/// When the template is malformed.
pub fn aggregate(
    template: &Value,
    items: &[AggregatedStatusItem],
    now: &str,
) -> Result<Option<Value>, InterpretError> {
    let mut sorted: Vec<&AggregatedStatusItem> = items.iter().collect();
    sorted.sort_by(|a, b| a.cluster_name.cmp(&b.cluster_name));
    registry::of(template).aggregate(template, &sorted, now)
}

/// What the object refers to, sorted, each once.
///
/// # Errors
/// When the object is malformed.
pub fn dependencies(object: &Value) -> Result<Vec<Dependency>, InterpretError> {
    registry::of(object).dependencies(object)
}
