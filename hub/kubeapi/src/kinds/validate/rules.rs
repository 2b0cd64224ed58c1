//! Rules about single fields, as a table: least numbers and allowed texts.
//!
//! A line is `group/Kind path rule`; `>=N`, or `=A,B`: the text, when it is there, is one of these.
//! `[]` = each item; `[^]` = each item, and the finding names the list.

use super::cursor::{At, Found};

const ROWS: &str = "\
apps/Deployment spec.replicas >=0
apps/Deployment spec.minReadySeconds >=0
apps/Deployment spec.revisionHistoryLimit >=0
apps/Deployment spec.progressDeadlineSeconds >=0
apps/ReplicaSet spec.replicas >=0
apps/ReplicaSet spec.minReadySeconds >=0
apps/StatefulSet spec.replicas >=0
apps/StatefulSet spec.minReadySeconds >=0
apps/StatefulSet spec.revisionHistoryLimit >=0
apps/StatefulSet spec.updateStrategy.rollingUpdate.partition >=0
apps/StatefulSet spec.persistentVolumeClaimRetentionPolicy.whenDeleted =Retain,Delete
apps/StatefulSet spec.persistentVolumeClaimRetentionPolicy.whenScaled =Retain,Delete
apps/DaemonSet spec.minReadySeconds >=0
apps/DaemonSet spec.revisionHistoryLimit >=0
/ReplicationController spec.replicas >=0
/ReplicationController spec.minReadySeconds >=0
batch/Job spec.parallelism >=0
batch/Job spec.completions >=0
batch/Job spec.activeDeadlineSeconds >=0
batch/Job spec.backoffLimit >=0
batch/Job spec.backoffLimitPerIndex >=0
batch/Job spec.ttlSecondsAfterFinished >=0
batch/Job spec.completionMode =NonIndexed,Indexed
batch/CronJob spec.startingDeadlineSeconds >=0
batch/CronJob spec.successfulJobsHistoryLimit >=0
batch/CronJob spec.failedJobsHistoryLimit >=0
batch/CronJob spec.concurrencyPolicy =Allow,Forbid,Replace
batch/CronJob spec.jobTemplate.spec.parallelism >=0
batch/CronJob spec.jobTemplate.spec.completions >=0
batch/CronJob spec.jobTemplate.spec.backoffLimit >=0
batch/CronJob spec.jobTemplate.spec.activeDeadlineSeconds >=0
batch/CronJob spec.jobTemplate.spec.ttlSecondsAfterFinished >=0
coordination.k8s.io/Lease spec.leaseTransitions >=0
/PersistentVolume spec.accessModes[^] =ReadOnlyMany,ReadWriteMany,ReadWriteOnce,ReadWriteOncePod
/PersistentVolume spec.persistentVolumeReclaimPolicy =Delete,Recycle,Retain
/PersistentVolume spec.volumeMode =Block,Filesystem
/PersistentVolumeClaim spec.accessModes[^] =ReadOnlyMany,ReadWriteMany,ReadWriteOnce,ReadWriteOncePod
/PersistentVolumeClaim spec.volumeMode =Block,Filesystem
scheduling.k8s.io/PriorityClass preemptionPolicy =PreemptLowerPriority,Never
storage.k8s.io/StorageClass reclaimPolicy =Delete,Retain
storage.k8s.io/StorageClass volumeBindingMode =Immediate,WaitForFirstConsumer
discovery.k8s.io/EndpointSlice ports[].protocol =SCTP,TCP,UDP
networking.k8s.io/NetworkPolicy spec.policyTypes[] =Ingress,Egress
networking.k8s.io/NetworkPolicy spec.ingress[].ports[].protocol =TCP,UDP,SCTP
networking.k8s.io/NetworkPolicy spec.egress[].ports[].protocol =TCP,UDP,SCTP
";

/// Checks the fields that the table knows of this kind.
pub(super) fn check((group, kind): (&str, &str), root: &At<'_>, found: &mut Found) {
    for line in ROWS.lines() {
        let mut words = line.split(' ');
        let named = words.next().and_then(|name| name.split_once('/'));
        if named != Some((group, kind)) {
            continue;
        }
        let (Some(path), Some(rule)) = (words.next(), words.next()) else {
            continue;
        };
        for place in places(root, path) {
            if let Some(least) = rule.strip_prefix(">=") {
                found.at_least(&place, least.parse().unwrap_or_default());
            } else if !place.is_missing() {
                let allowed: Vec<_> = rule.trim_start_matches('=').split(',').collect();
                found.one_of(&place, &allowed);
            }
        }
    }
}

fn places<'a>(root: &At<'a>, path: &str) -> Vec<At<'a>> {
    if let Some(list) = path.strip_suffix("[^]") {
        let list = root.field(list);
        let items = list.items().into_iter();
        return items.map(|item| item.said_at(&list.path)).collect();
    }
    let mut parts = path.split("[]");
    let first = parts.next().unwrap_or_default();
    let mut places = vec![root.field(first)];
    for part in parts {
        let items = places.iter().flat_map(At::items);
        places = match part.strip_prefix('.') {
            Some(field) => items.map(|item| item.field(field)).collect(),
            None => items.collect(),
        };
    }
    places
}
