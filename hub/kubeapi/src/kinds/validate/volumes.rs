//! Rules of volumes: one source each, names that differ.

use super::cursor::{At, Found};
use super::names;

/// Sources in the order in which they are looked at: the first one counts, each later one is too
/// much.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flexVolume",
    "configMap",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flocker",
    "persistentVolumeClaim",
    "azureFile",
    "vsphereVolume",
    "portworxVolume",
    "azureDisk",
    "photonPersistentDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// Fields without which a source means nothing.
const REQUIRED: &[(&str, &str)] = &[
    ("hostPath", "path"),
    ("secret", "secretName"),
    ("nfs", "server"),
    ("nfs", "path"),
    ("configMap", "name"),
    ("persistentVolumeClaim", "claimName"),
    ("csi", "driver"),
    ("iscsi", "targetPortal"),
    ("iscsi", "iqn"),
    ("rbd", "monitors"),
    ("rbd", "image"),
];

/// Checks the volumes of a pod; the names that may be mounted.
pub(super) fn check<'a>(at: &At<'a>, found: &mut Found) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for volume in at.items() {
        let name = volume.field("name");
        if name.is_empty() {
            found.required(&name, "");
        } else {
            found.check(&name, names::label(name.text()));
            if seen.contains(&name.text()) {
                found.duplicate(&name);
            }
            seen.push(name.text());
        }
        sources(&volume, "volume", found);
    }
    seen
}

/// Checks that exactly one source is named.
pub(super) fn sources(at: &At<'_>, what: &str, found: &mut Found) {
    let mut present = SOURCES
        .iter()
        .filter(|source| !at.field(source).is_missing());
    let Some(first) = present.next() else {
        found.required(at, &format!("must specify a {what} type"));
        return;
    };
    for more in present {
        let why = format!("may not specify more than 1 {what} type");
        found.forbidden(&at.field(more), &why);
    }
    for (_, field) in REQUIRED.iter().filter(|(source, _)| source == first) {
        let field = at.field(first).field(field);
        if field.is_empty() {
            found.required(&field, "");
        }
    }
}
