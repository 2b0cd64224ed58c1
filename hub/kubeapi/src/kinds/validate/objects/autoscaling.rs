//! Rules of HorizontalPodAutoscalers.

use crate::kinds::validate::cursor::{At, Found};
use crate::kinds::validate::names;

const SOURCES: &[(&str, &str)] = &[
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

/// Checks the spec.
pub(super) fn check(spec: &At<'_>, found: &mut Found) {
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    let metrics = spec.field("metrics");
    found.at_least(&least, 1);
    if !least.is_missing() && least.int() == 0 {
        let scales_to_zero = metrics
            .items()
            .iter()
            .any(|metric| matches!(metric.field("type").text(), "Object" | "External"));
        if !scales_to_zero {
            let why = "must specify at least one Object or External metric to support scaling to \
                       zero replicas";
            found.forbidden(&metrics, why);
        }
    }
    if most.int() < 1 {
        found.invalid(&most, "must be greater than 0");
    }
    if !least.is_missing() && most.int() < least.int() {
        found.invalid(&most, "must be greater than or equal to `minReplicas`");
    }
    target(&spec.field("scaleTargetRef"), found);
    for item in metrics.items() {
        metric(&item, found);
    }
}

fn target(at: &At<'_>, found: &mut Found) {
    let version = at.field("apiVersion");
    if !version.text().contains('/') {
        found.invalid(&version, "apiVersion must specify API group");
    }
    for field in ["kind", "name"] {
        let field = at.field(field);
        if field.is_empty() {
            found.required(&field, "");
        } else {
            found.check(&field, names::path_segment(field.text()));
        }
    }
}

fn metric(at: &At<'_>, found: &mut Found) {
    let kind = at.field("type");
    let allowed: Vec<_> = SOURCES.iter().map(|(kind, _)| *kind).collect();
    let Some((_, source)) = SOURCES.iter().find(|(known, _)| *known == kind.text()) else {
        // The real server finds it twice: in the type and in what is there.
        found.one_of(&kind, &allowed);
        found.one_of(&kind, &allowed);
        return;
    };
    for (_, other) in SOURCES {
        let other_field = at.field(other);
        if other != source && !other_field.is_missing() {
            let why = "must populate the given metric source only";
            found.forbidden(&other_field, why);
        }
    }
    let source = at.field(source);
    if source.is_missing() {
        let why = "must populate information for the given metric source";
        found.required(&source, why);
        return;
    }
    let target = source.field("target");
    let amounts = ["averageUtilization", "averageValue", "value"];
    let said = amounts.iter().any(|name| !target.field(name).is_missing());
    if matches!(kind.text(), "Resource" | "ContainerResource") {
        let (share, value) = (
            target.field("averageUtilization"),
            target.field("averageValue"),
        );
        if share.is_missing() && value.is_missing() {
            let why = "must set either a target raw value or a target utilization";
            found.required(&share, why);
        }
        if share.value.as_i64().is_some_and(|share| share < 1) {
            found.invalid(&share, "must be greater than 0");
        }
    } else if !said {
        let why = "must set either a target value for metric or a per-pod target";
        found.required(&target.field("averageValue"), why);
    }
}
