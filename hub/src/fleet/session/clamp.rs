//! What an agent reports, cut to size before anybody reads it.
//!
//! Nothing here decides anything; it only makes a lie small.

use flotilla_policy::api::{ClusterStatus, ResourceList};
use flotilla_proto::limits::{STATUS_BYTES_MAX, TEXT_BYTES_MAX};
use flotilla_proto::v1;
use serde_json::Value;

use crate::fleet::reports::WorkReport;

/// Paths changed by overrides that a report keeps.
const CHANGED_MAX: usize = 64;
const WORD_BYTES_MAX: usize = 256;
/// More than any cluster serves or counts.
const RESOURCES_MAX: usize = 256;
const GROUPS_MAX: usize = 1024;
const KINDS_MAX: usize = 1024;

/// Cuts text at a character's border.
pub(super) fn text(text: &str, bytes_max: usize) -> String {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// A status as it is kept; `fence` is that of the session.
pub(super) fn status(status: &v1::Status, fence: u64) -> WorkReport {
    let mut message = text(&status.message, TEXT_BYTES_MAX);
    let parsed = if status.status.is_empty() {
        None
    } else if status.status.len() > STATUS_BYTES_MAX {
        message = format!("status of {} bytes was dropped", status.status.len());
        None
    } else {
        serde_json::from_slice::<Value>(&status.status).ok()
    };
    let changed = status.changed.iter().take(CHANGED_MAX);
    WorkReport {
        generation: status.generation.unwrap_or_default().into(),
        order: (status.fence.min(fence), status.k),
        applied: status.applied,
        message,
        health: status.health(),
        health_reason: text(&status.health_reason, WORD_BYTES_MAX),
        status: parsed,
        changed: changed.map(|path| text(path, WORD_BYTES_MAX)).collect(),
    }
}

/// A refusal as it is kept.
pub(super) fn nack(nack: &v1::Nack, order: (u64, u64)) -> WorkReport {
    let class = nack.class().as_str_name();
    let class = class.strip_prefix("NACK_CLASS_").unwrap_or(class);
    let class = class.to_ascii_lowercase().replace('_', " ");
    let detail = text(&nack.detail, TEXT_BYTES_MAX);
    WorkReport {
        generation: nack.generation.unwrap_or_default().into(),
        order,
        applied: false,
        message: format!("{class}: {detail}"),
        health: v1::HealthState::Unknown,
        health_reason: String::new(),
        status: None,
        changed: Vec::new(),
    }
}

/// Capacity as it is kept.
pub(super) fn capacity(wire: &v1::Capacity) -> ClusterStatus {
    let mut status = ClusterStatus::from(wire);
    status.kubernetes_version = text(&status.kubernetes_version, WORD_BYTES_MAX);
    status.api_enablements.truncate(GROUPS_MAX);
    for group in &mut status.api_enablements {
        group.group_version = text(&group.group_version, WORD_BYTES_MAX);
        group.resources.truncate(KINDS_MAX);
        for resource in &mut group.resources {
            resource.name = text(&resource.name, WORD_BYTES_MAX);
            resource.kind = text(&resource.kind, WORD_BYTES_MAX);
        }
    }
    if let Some(nodes) = &mut status.node_summary {
        nodes.total_num = nodes.total_num.max(0);
        nodes.ready_num = nodes.ready_num.clamp(0, nodes.total_num);
    }
    if let Some(resources) = &mut status.resource_summary {
        for list in [
            &mut resources.allocatable,
            &mut resources.allocating,
            &mut resources.allocated,
        ] {
            clamp_list(list);
        }
    }
    status
}

/// Drops what is no quantity of something: too long, negative, or one too many.
fn clamp_list(list: &mut ResourceList) {
    let mut kept = 0;
    list.retain(|name, quantity| {
        let fits = name.len() <= WORD_BYTES_MAX
            && quantity.len() <= 64
            && quantity.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '+');
        kept += usize::from(fits);
        fits && kept <= RESOURCES_MAX
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(text("aé", 2), "a");
        assert_eq!(text("aé", 3), "aé");
        assert_eq!(text("", 3), "");
    }

    #[test]
    fn lies_become_small() {
        let wire = v1::Status {
            fence: u64::MAX,
            k: 7,
            message: "m".repeat(1 << 20),
            status: vec![b'x'; STATUS_BYTES_MAX + 1].into(),
            changed: vec!["/p".repeat(1000); 1000],
            ..v1::Status::default()
        };
        let report = status(&wire, 3);
        assert_eq!(report.order, (3, 7));
        assert!(report.status.is_none() && report.message.contains("dropped"));
        assert_eq!(report.changed.len(), CHANGED_MAX);
        assert!(report.changed.iter().all(|c| c.len() <= WORD_BYTES_MAX));
        let lists = [
            ("cpu", "4"),
            ("memory", "-1"),
            ("nan", "NaN"),
            ("gpu", "9e99"),
        ];
        let wire = v1::Capacity {
            nodes_total: -5,
            nodes_ready: i32::MAX,
            allocatable: lists.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ..v1::Capacity::default()
        };
        let status = capacity(&wire);
        let nodes = status.node_summary.unwrap();
        assert_eq!((nodes.total_num, nodes.ready_num), (0, 0));
        let kept = status.resource_summary.unwrap().allocatable;
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["cpu", "gpu"]);
    }
}
