//! The one DNS name of a leaf: `<cluster>.default.agents.<hub domain>`, made and read here alone.
//!
//! Compared as a whole, in lower case: no prefix, suffix or wildcard ever counts.

use crate::fleet::share::ClusterName;

/// The one tenant of this version.
const TENANT: &str = "default";
/// As Karmada limits names of clusters.
const CLUSTER_NAME_CHARS_MAX: usize = 48;

/// Makes and reads the names of leaves under one hub domain.
#[derive(Clone, Debug)]
pub struct LeafNames {
    suffix: String,
}

impl LeafNames {
    /// Under a hub domain.
    #[must_use]
    pub fn new(hub_domain: &str) -> Self {
        let domain = hub_domain.trim_end_matches('.').to_ascii_lowercase();
        Self {
            suffix: format!(".{TENANT}.agents.{domain}"),
        }
    }

    /// The name of a cluster's leaf.
    #[must_use]
    pub fn of(&self, cluster: &ClusterName) -> String {
        format!("{cluster}{}", self.suffix)
    }

    /// The cluster of a leaf's name; none unless it is exactly as `of` makes it.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<ClusterName> {
        let cluster = name.strip_suffix(&self.suffix)?;
        is_cluster_name(cluster).then(|| ClusterName::new(cluster))
    }
}

/// A name that a cluster may have: one DNS label in lower case.
pub(super) fn is_cluster_name(text: &str) -> bool {
    is_label(text) && text.len() <= CLUSTER_NAME_CHARS_MAX
}

/// A name that an object may have; also keeps slashes and dots-only out of URLs.
pub(super) fn is_object_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_is_read() {
        let names = LeafNames::new("Hub.Example.");
        let own = names.of(&ClusterName::new("c1"));
        assert_eq!(own, "c1.default.agents.hub.example");
        assert_eq!(names.read(&own), Some(ClusterName::new("c1")));
        for foreign in [
            "c1.default.agents.hub.example.",
            "C1.default.agents.hub.example",
            "*.default.agents.hub.example",
            ".default.agents.hub.example",
            "a.c1.default.agents.hub.example",
            "c1.other.agents.hub.example",
            "c1.default.agents.hub.example.evil",
            "c1\0.default.agents.hub.example",
            "xn--c1-é.default.agents.hub.example",
            "-c1.default.agents.hub.example",
            "c1",
            "",
        ] {
            assert_eq!(names.read(foreign), None, "{foreign:?}");
        }
    }
}
