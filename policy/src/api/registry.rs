//! The list of all API kinds: what CRDs, admission, RBAC and the front door's kinds are made from.
//!
//! A new kind is one file and one line here. Knows nothing about any single kind.

use serde_json::Value;

use super::{
    FieldError, Moment, binding, cluster, enrolment, epoch_list, join_token, override_policy,
    propagation_policy, removal,
};

/// Category of Karmada's kinds.
pub(super) const KARMADA: &[&str] = &["karmada-io"];
/// Category of our own kinds.
pub(super) const FLOTILLA: &[&str] = &["flotilla"];
/// Group of our own kinds.
pub(super) const FLEET_GROUP: &str = "fleet.flotilla.dev";

/// One API kind.
#[derive(Debug)]
pub struct KindInfo {
    /// API group.
    pub group: &'static str,
    /// Version, served and stored.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural name, as in URLs.
    pub plural: &'static str,
    /// Singular name.
    pub singular: &'static str,
    /// Short names for kubectl.
    pub short_names: &'static [&'static str],
    /// Categories for kubectl.
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether status is a subresource.
    pub status_subresource: bool,
    /// Columns of kubectl's table; none = the age alone.
    pub printer_columns: &'static [PrinterColumn],
    /// The structural schema of a whole object.
    pub schema: fn() -> &'static Value,
    /// Fills what the schema's defaults cannot say.
    pub defaults: fn(&mut Value, Moment<'_>),
    /// Rules beyond the schema, for an object that passed it; the second argument is the stored one.
    pub validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    /// Texts for the client about an object that is accepted.
    pub warn: fn(&Value) -> Vec<String>,
}

impl KindInfo {
    /// `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// Name of the CustomResourceDefinition.
    #[must_use]
    pub fn crd_name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }
}

/// One column of kubectl's table.
#[derive(Clone, Copy, Debug)]
pub struct PrinterColumn {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer` or `date`.
    pub type_: &'static str,
    /// JSONPath in the object.
    pub json_path: &'static str,
    /// Shown only with `-o wide`.
    pub wide: bool,
}

impl PrinterColumn {
    pub(super) const fn text(name: &'static str, json_path: &'static str) -> Self {
        let (type_, wide) = ("string", false);
        Self {
            name,
            type_,
            json_path,
            wide,
        }
    }

    pub(super) const fn wide(name: &'static str, json_path: &'static str) -> Self {
        let (type_, wide) = ("string", true);
        Self {
            name,
            type_,
            json_path,
            wide,
        }
    }

    pub(super) const fn age() -> Self {
        let json_path = ".metadata.creationTimestamp";
        Self {
            name: "AGE",
            type_: "date",
            json_path,
            wide: false,
        }
    }
}

/// All kinds.
pub static KINDS: &[&KindInfo] = &[
    &propagation_policy::PROPAGATION_POLICY,
    &propagation_policy::CLUSTER_PROPAGATION_POLICY,
    &override_policy::OVERRIDE_POLICY,
    &override_policy::CLUSTER_OVERRIDE_POLICY,
    &binding::RESOURCE_BINDING,
    &binding::CLUSTER_RESOURCE_BINDING,
    &cluster::CLUSTER,
    &join_token::JOIN_TOKEN,
    &enrolment::ENROLMENT,
    &removal::REMOVAL,
    &epoch_list::EPOCH_LIST,
];

/// The kind of that group and name.
#[must_use]
pub fn find(group: &str, kind: &str) -> Option<&'static KindInfo> {
    KINDS
        .iter()
        .copied()
        .find(|info| info.group == group && info.kind == kind)
}

/// No defaults beyond the schema's.
pub(super) fn no_defaults(_object: &mut Value, _moment: Moment<'_>) {}

/// No warnings.
pub(super) fn no_warnings(_object: &Value) -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::names::is_dns_label;

    #[test]
    fn names_are_legal_and_unique() {
        let mut seen = BTreeSet::new();
        for info in KINDS {
            assert!(seen.insert(info.crd_name()), "{} twice", info.crd_name());
            assert_eq!(info.singular, info.kind.to_lowercase());
            for name in [info.plural, info.singular].iter().chain(info.short_names) {
                assert!(is_dns_label(name), "{name} of {}", info.kind);
            }
            for short in info.short_names {
                assert!(seen.insert((*short).to_owned()), "short name {short} twice");
            }
            assert_eq!(
                find(info.group, info.kind).map(|i| i.plural),
                Some(info.plural)
            );
        }
    }

    #[test]
    fn a_status_in_the_schema_means_a_status_subresource() {
        for info in KINDS {
            let has_status = (info.schema)()["properties"].get("status").is_some();
            assert_eq!(has_status, info.status_subresource, "{}", info.kind);
        }
    }
}
