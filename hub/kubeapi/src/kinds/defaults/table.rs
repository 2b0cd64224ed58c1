//! Defaults that depend on nothing, as paths and values.
//!
//! A line is `table path value`; a value `@name` applies another table there. In a path, `[]` means
//! each item, `+` after a step makes a missing object, and `{field=text}` goes on only where the
//! object says so.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

const ROWS: &str = r#"
podspec restartPolicy "Always"
podspec dnsPolicy "ClusterFirst"
podspec schedulerName "default-scheduler"
podspec terminationGracePeriodSeconds 30
podspec securityContext {}
podspec containers[] @container
podspec initContainers[] @container
podspec ephemeralContainers[] @container
podspec volumes[] @volume
container terminationMessagePath "/dev/termination-log"
container terminationMessagePolicy "File"
container ports[].protocol "TCP"
container env[].valueFrom.fieldRef.apiVersion "v1"
container livenessProbe @probe
container readinessProbe @probe
container startupProbe @probe
container lifecycle.postStart.httpGet @http
container lifecycle.preStop.httpGet @http
probe timeoutSeconds 1
probe periodSeconds 10
probe successThreshold 1
probe failureThreshold 3
probe httpGet @http
probe grpc.service ""
http scheme "HTTP"
http path "/"
volume secret.defaultMode 420
volume configMap.defaultMode 420
volume downwardAPI.defaultMode 420
volume downwardAPI.items[].fieldRef.apiVersion "v1"
volume projected.defaultMode 420
volume projected.sources[].downwardAPI.items[].fieldRef.apiVersion "v1"
volume projected.sources[].serviceAccountToken.expirationSeconds 3600
volume ephemeral.volumeClaimTemplate.spec @claim
volume @source
source hostPath.type ""
source rbd.pool "rbd"
source rbd.user "admin"
source rbd.keyring "/etc/ceph/keyring"
source iscsi.iscsiInterface "default"
source azureDisk.cachingMode "ReadWrite"
source azureDisk.kind "Shared"
source azureDisk.fsType "ext4"
source azureDisk.readOnly false
source scaleIO.storageMode "ThinProvisioned"
source scaleIO.fsType "xfs"
claim volumeMode "Filesystem"
/PersistentVolume spec+.persistentVolumeReclaimPolicy "Retain"
/PersistentVolume spec+.volumeMode "Filesystem"
/PersistentVolume spec @source
/PersistentVolume status+.phase "Pending"
/PersistentVolumeClaim spec+ @claim
/PersistentVolumeClaim status+.phase "Pending"
/Endpoints subsets[].ports[].protocol "TCP"
/Namespace status+.phase "Active"
/Pod spec+.enableServiceLinks true
/ReplicationController spec+.replicas 1
/Secret type "Opaque"
/Service spec+.type "ClusterIP"
/Service spec.sessionAffinity "None"
/Service spec{sessionAffinity=ClientIP}.sessionAffinityConfig+.clientIP+.timeoutSeconds 10800
/Service spec.ports[].protocol "TCP"
/Service spec{type=ClusterIP}.internalTrafficPolicy "Cluster"
/Service spec{type=NodePort}.internalTrafficPolicy "Cluster"
/Service spec{type=LoadBalancer}.internalTrafficPolicy "Cluster"
/Service spec{type=NodePort}.externalTrafficPolicy "Cluster"
/Service spec{type=LoadBalancer}.externalTrafficPolicy "Cluster"
/Service spec{type=LoadBalancer}.allocateLoadBalancerNodePorts true
apps/Deployment spec+.replicas 1
apps/Deployment spec.revisionHistoryLimit 10
apps/Deployment spec.progressDeadlineSeconds 600
apps/Deployment spec.strategy+.type "RollingUpdate"
apps/Deployment spec.strategy{type=RollingUpdate}.rollingUpdate+.maxSurge "25%"
apps/Deployment spec.strategy{type=RollingUpdate}.rollingUpdate+.maxUnavailable "25%"
apps/ReplicaSet spec+.replicas 1
apps/StatefulSet spec+.replicas 1
apps/StatefulSet spec.revisionHistoryLimit 10
apps/StatefulSet spec.podManagementPolicy "OrderedReady"
apps/StatefulSet spec.persistentVolumeClaimRetentionPolicy+.whenDeleted "Retain"
apps/StatefulSet spec.persistentVolumeClaimRetentionPolicy.whenScaled "Retain"
apps/StatefulSet spec.updateStrategy+.type "RollingUpdate"
apps/StatefulSet spec.updateStrategy{type=RollingUpdate}.rollingUpdate+.partition 0
apps/StatefulSet spec.volumeClaimTemplates[].apiVersion "v1"
apps/StatefulSet spec.volumeClaimTemplates[].kind "PersistentVolumeClaim"
apps/StatefulSet spec.volumeClaimTemplates[].spec+ @claim
apps/StatefulSet spec.volumeClaimTemplates[].status+.phase "Pending"
apps/DaemonSet spec+.revisionHistoryLimit 10
apps/DaemonSet spec.updateStrategy+.type "RollingUpdate"
apps/DaemonSet spec.updateStrategy{type=RollingUpdate}.rollingUpdate+.maxUnavailable 1
apps/DaemonSet spec.updateStrategy{type=RollingUpdate}.rollingUpdate+.maxSurge 0
batch/Job spec+.suspend false
batch/Job spec.completionMode "NonIndexed"
batch/Job spec.manualSelector false
batch/Job spec.podFailurePolicy.rules[].onPodConditions[].status "True"
batch/CronJob spec+.concurrencyPolicy "Allow"
batch/CronJob spec.suspend false
batch/CronJob spec.successfulJobsHistoryLimit 3
batch/CronJob spec.failedJobsHistoryLimit 1
autoscaling/HorizontalPodAutoscaler spec+.minReplicas 1
discovery.k8s.io/EndpointSlice ports[].name ""
discovery.k8s.io/EndpointSlice ports[].protocol "TCP"
networking.k8s.io/IngressClass spec.parameters.scope "Cluster"
networking.k8s.io/NetworkPolicy spec.ingress[].ports[].protocol "TCP"
networking.k8s.io/NetworkPolicy spec.egress[].ports[].protocol "TCP"
rbac.authorization.k8s.io/RoleBinding roleRef+.apiGroup "rbac.authorization.k8s.io"
rbac.authorization.k8s.io/RoleBinding subjects[] @subject
rbac.authorization.k8s.io/ClusterRoleBinding roleRef+.apiGroup "rbac.authorization.k8s.io"
rbac.authorization.k8s.io/ClusterRoleBinding subjects[] @subject
subject {kind=User}.apiGroup "rbac.authorization.k8s.io"
subject {kind=Group}.apiGroup "rbac.authorization.k8s.io"
scheduling.k8s.io/PriorityClass preemptionPolicy "PreemptLowerPriority"
storage.k8s.io/StorageClass reclaimPolicy "Delete"
storage.k8s.io/StorageClass volumeBindingMode "Immediate"
storage.k8s.io/CSIDriver spec+.attachRequired true
storage.k8s.io/CSIDriver spec.podInfoOnMount false
storage.k8s.io/CSIDriver spec.storageCapacity false
storage.k8s.io/CSIDriver spec.fsGroupPolicy "ReadWriteOnceWithFSType"
storage.k8s.io/CSIDriver spec.volumeLifecycleModes ["Persistent"]
storage.k8s.io/CSIDriver spec.requiresRepublish false
storage.k8s.io/CSIDriver spec.seLinuxMount false
admissionregistration.k8s.io/ValidatingWebhookConfiguration webhooks[] @webhook
admissionregistration.k8s.io/MutatingWebhookConfiguration webhooks[] @webhook
admissionregistration.k8s.io/MutatingWebhookConfiguration webhooks[].reinvocationPolicy "Never"
webhook failurePolicy "Fail"
webhook matchPolicy "Equivalent"
webhook namespaceSelector {}
webhook objectSelector {}
webhook timeoutSeconds 10
webhook rules[].scope "*"
webhook clientConfig.service.port 443
admissionregistration.k8s.io/ValidatingAdmissionPolicy spec+.failurePolicy "Fail"
admissionregistration.k8s.io/ValidatingAdmissionPolicy spec.matchConstraints @match
admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding spec.matchResources @match
match matchPolicy "Equivalent"
match namespaceSelector {}
match objectSelector {}
match resourceRules[].scope "*"
match excludeResourceRules[].scope "*"
apiextensions.k8s.io/CustomResourceDefinition spec+.conversion+.strategy "None"
apiextensions.k8s.io/CustomResourceDefinition spec.conversion.webhook.clientConfig.service.port 443
"#;

/// Where pod templates stand, as JSON pointers.
pub(super) fn template_paths(key: (&str, &str)) -> &'static [&'static str] {
    match key {
        ("apps", "ControllerRevision") => &[],
        ("apps", _) | ("", "ReplicationController") | ("batch", "Job") => &["/spec/template"],
        ("batch", "CronJob") => &["/spec/jobTemplate/spec/template"],
        ("", "PodTemplate") => &["/template"],
        _ => &[],
    }
}

/// Applies the table of a kind.
pub(super) fn apply((group, kind): (&str, &str), object: &mut Value) {
    apply_table(&format!("{group}/{kind}"), object);
}

/// Applies one table by its name.
pub(super) fn apply_table(name: &str, object: &mut Value) {
    for rule in TABLES.get(name).into_iter().flatten() {
        walk(&rule.steps, &rule.value, object);
    }
}

struct Rule {
    steps: Vec<Step>,
    value: Then,
}

enum Step {
    /// Goes into a field; true = makes a missing object.
    Into(&'static str, bool),
    /// Goes into each item.
    Each,
    /// Goes on where the object says so.
    Where(&'static str, &'static str),
}

enum Then {
    Set(&'static str, Value),
    Table(&'static str),
}

static TABLES: LazyLock<BTreeMap<&'static str, Vec<Rule>>> = LazyLock::new(|| {
    let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in ROWS.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let table = words.next().unwrap_or_default();
        let (path, value) = match (words.next(), words.next()) {
            (Some(path), Some(value)) => (path, value),
            (Some(value), None) => ("", value),
            _ => continue,
        };
        tables.entry(table).or_default().push(rule(path, value));
    }
    tables
});

fn rule(path: &'static str, value: &'static str) -> Rule {
    let mut steps = Vec::new();
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (step, wanted) = step.split_once('{').unwrap_or((step, ""));
        let (step, each) = match step.strip_suffix("[]") {
            Some(step) => (step, true),
            None => (step, false),
        };
        let (field, make) = match step.strip_suffix('+') {
            Some(field) => (field, true),
            None => (step, false),
        };
        if !field.is_empty() {
            steps.push(Step::Into(field, make));
        }
        if each {
            steps.push(Step::Each);
        }
        if let Some((field, text)) = wanted.trim_end_matches('}').split_once('=') {
            steps.push(Step::Where(field, text));
        }
    }
    let value = match value.strip_prefix('@') {
        Some(table) => Then::Table(table),
        None => {
            let field = match steps.pop() {
                Some(Step::Into(field, _)) => field,
                _ => "",
            };
            Then::Set(field, serde_json::from_str(value).unwrap_or_default())
        }
    };
    Rule { steps, value }
}

fn walk(steps: &[Step], then: &Then, place: &mut Value) {
    let Some((step, rest)) = steps.split_first() else {
        match then {
            Then::Table(table) => apply_table(table, place),
            Then::Set(field, value) => {
                if let Value::Object(object) = place {
                    super::set_missing(object, field, value.clone());
                }
            }
        }
        return;
    };
    if let Step::Where(field, text) = step {
        if place.get(*field).and_then(Value::as_str) == Some(text) {
            walk(rest, then, place);
        }
        return;
    }
    match (step, place) {
        (Step::Into(field, make), Value::Object(object)) => {
            if *make && object.get(*field).is_none_or(Value::is_null) {
                object.insert((*field).to_owned(), Value::Object(Map::new()));
            }
            if let Some(inner) = object.get_mut(*field) {
                walk(rest, then, inner);
            }
        }
        (Step::Each, Value::Array(items)) => {
            for item in items {
                walk(rest, then, item);
            }
        }
        _ => {}
    }
}
