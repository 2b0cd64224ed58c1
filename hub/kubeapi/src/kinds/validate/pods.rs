//! Rules of pods and pod templates.

use super::cursor::{At, Found};
use super::{containers, meta, names, volumes};

/// Whose pod it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's: the pod itself.
    Pod,
    /// Nobody's: a template that nothing runs.
    Template,
    /// Something that keeps pods running.
    Keeper,
    /// A job.
    Job,
}

/// Checks a pod template.
pub(super) fn template(at: &At<'_>, owner: Owner, found: &mut Found) {
    meta::labels(&at.field("metadata.labels"), found);
    spec(&at.field("spec"), owner, found);
}

/// Checks the spec of a pod.
pub(super) fn spec(at: &At<'_>, owner: Owner, found: &mut Found) {
    let mounts = volumes::check(&at.field("volumes"), found);
    containers::check(at, &mounts, found);
    let restart = at.field("restartPolicy");
    match owner {
        Owner::Keeper => {
            found.one_of(&restart, &["Always"]);
        }
        Owner::Job if matches!(restart.text(), "" | "Always") => {
            found.required(&restart, "valid values: \"OnFailure\", \"Never\"");
        }
        Owner::Job => found.one_of(&restart, &["OnFailure", "Never"]),
        Owner::Pod | Owner::Template => {
            found.one_of(&restart, &["Always", "OnFailure", "Never"]);
        }
    }
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    found.one_of(&at.field("dnsPolicy"), &policies);
    found.at_least(&at.field("terminationGracePeriodSeconds"), 0);
    let deadline = at.field("activeDeadlineSeconds");
    if deadline.value.as_i64().is_some_and(|seconds| seconds < 1) {
        found.invalid(&deadline, "must be between 1 and 2147483647, inclusive");
    }
    meta::labels(&at.field("nodeSelector"), found);
    for field in ["serviceAccountName", "nodeName", "priorityClassName"] {
        let field = at.field(field);
        if !field.is_empty() {
            found.check(&field, names::subdomain(field.text()));
        }
    }
    let hostname = at.field("hostname");
    if !hostname.is_empty() {
        found.check(&hostname, names::label(hostname.text()));
    }
    for alias in at.field("hostAliases").items() {
        let ip = alias.field("ip");
        found.check(&ip, names::ip(ip.text()));
        for name in alias.field("hostnames").items() {
            found.check(&name, names::subdomain(name.text()));
        }
    }
    for toleration in at.field("tolerations").items() {
        tolerate(&toleration, found);
    }
    containers::identity(&at.field("securityContext"), found);
}

fn tolerate(at: &At<'_>, found: &mut Found) {
    let (key, operator, value) = (at.field("key"), at.field("operator"), at.field("value"));
    if !key.is_empty() {
        found.check(&key, names::qualified(key.text()));
    }
    if key.is_empty() && operator.text() != "Exists" {
        found.invalid(
            &operator,
            "operator must be Exists when `key` is empty, which means \"match all values and all \
             keys\"",
        );
    }
    match operator.text() {
        "" | "Equal" => found.check(&value, names::label_value(value.text())),
        "Exists" if !value.is_empty() => {
            found.invalid(&operator, "value must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        _ => found.one_of(&operator, &["Equal", "Exists"]),
    }
    let effect = at.field("effect");
    if !effect.is_empty() {
        found.one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
    if !at.field("tolerationSeconds").is_missing() && effect.text() != "NoExecute" {
        found.invalid(
            &effect,
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        );
    }
}
