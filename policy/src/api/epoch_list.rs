//! EpochList (`fleet.flotilla.dev/v1alpha1`): every reign of a hub over this store, in order.
//!
//! One object, named `fleet`. Agents and hubs tell by it whether a store went back in time.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks::spec_of;
use super::registry::{FLEET_GROUP, FLOTILLA, KindInfo, no_defaults, no_warnings};
use super::{FieldError, Object, names, schema};
use crate::model::manifest;

/// Name of the one object.
pub const EPOCH_LIST_NAME: &str = "fleet";

/// Every reign of a hub over this store.
pub type EpochList = Object<EpochListSpec>;

/// The reigns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["epochs"]))]
pub struct EpochListSpec {
    /// Oldest first.
    pub epochs: Vec<Epoch>,
}

/// One reign: a term with its nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["incarnation", "nonce", "revision", "term"]))]
pub struct Epoch {
    /// Moves when the store went back in time.
    pub incarnation: u64,
    /// Number of the reign.
    pub term: u64,
    /// 64 random bits in lower-case hex: no other reign has them, also not one of a lost store.
    #[schemars(length(min = 16, max = 16))]
    pub nonce: String,
    /// Door revision at which the reign began.
    pub revision: u64,
    /// Whether a person announced a restore.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
}

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| schema::object::<EpochListSpec>("Every reign of a hub over this store."));

/// EpochList in the list of kinds.
pub static EPOCH_LIST: KindInfo = KindInfo {
    group: FLEET_GROUP,
    version: "v1alpha1",
    kind: "EpochList",
    plural: "epochlists",
    singular: "epochlist",
    short_names: &[],
    categories: FLOTILLA,
    namespaced: false,
    status_subresource: false,
    printer_columns: &[],
    schema: || &SCHEMA,
    defaults: no_defaults,
    validate,
    warn: no_warnings,
};

fn validate(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec: EpochListSpec = match spec_of(new) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    if manifest::name(new) != EPOCH_LIST_NAME {
        let message = format!("must be \"{EPOCH_LIST_NAME}\": there is one list");
        errors.push(FieldError::new("metadata.name", message));
    }
    let mut nonces = BTreeSet::new();
    for (i, epoch) in spec.epochs.iter().enumerate() {
        let field = |name: &str| format!("spec.epochs[{i}].{name}");
        if !names::is_hex(&epoch.nonce, 8) {
            errors.push(FieldError::new(
                field("nonce"),
                "is not 64 bits in lower-case hex",
            ));
        }
        if !nonces.insert(&epoch.nonce) {
            errors.push(FieldError::new(field("nonce"), "belongs to an older epoch"));
        }
        let previous = i.checked_sub(1).and_then(|i| spec.epochs.get(i));
        if previous.is_some_and(|p| p.term >= epoch.term) {
            errors.push(FieldError::new(
                field("term"),
                "must be above the epoch before",
            ));
        }
        if previous.is_some_and(|p| p.incarnation > epoch.incarnation) {
            errors.push(FieldError::new(field("incarnation"), "must not fall"));
        }
    }
    errors
}
