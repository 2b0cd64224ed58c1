//! Which columns each kind has.
//!
//! A line is `group/Kind`, then columns, divided by `|`: a title, `*` before it = wide output only,
//! `:i`, `:b` or `:d` after it = integer, boolean or date, then `=` and the cell: `.path` = what
//! stands there, `?path` = the same or `<none>`, `#path` = how many, `@name` = a function. `Age`
//! alone is the age of the object. Every line starts with the name of the object.

/// One column.
pub(super) struct Spec {
    pub(super) title: &'static str,
    pub(super) ty: &'static str,
    pub(super) wide: bool,
    pub(super) cell: &'static str,
}

const ROWS: &str = "\
/ConfigMap|Data=@config_data|Age
/Endpoints|Endpoints=@endpoints|Age
/Event|=-|Last Seen=@event_last|Type=.type|Reason=.reason|Object=@event_object|*Subobject=.involvedObject.fieldPath|*Source=@event_source|Message=@event_message|*First Seen=@event_first|*Count=@event_count|*Name=@name
/LimitRange|Created At:d=.metadata.creationTimestamp
/Namespace|Status=.status.phase|Age
/Node|Status=@node_status|Roles=@node_roles|Age|Version=.status.nodeInfo.kubeletVersion|*Internal-IP=@node_internal|*External-IP=@node_external|*OS-Image=@node_os|*Kernel-Version=@node_kernel|*Container-Runtime=@node_runtime
/PersistentVolume|Capacity=.spec.capacity.storage|Access Modes=@volume_modes|Reclaim Policy=.spec.persistentVolumeReclaimPolicy|Status=@phase|Claim=@volume_claim|StorageClass=.spec.storageClassName|VolumeAttributesClass=@attributes_class|Reason=.status.reason|Age|*VolumeMode=@volume_mode
/PersistentVolumeClaim|Status=@phase|Volume=.spec.volumeName|Capacity=@claim_capacity|Access Modes=@claim_modes|StorageClass=.spec.storageClassName|VolumeAttributesClass=@attributes_class|Age|*VolumeMode=@volume_mode
/Pod|Ready=@pod_ready|Status=@pod_status|Restarts=@pod_restarts|Age|*IP=@pod_ip|*Node=?spec.nodeName|*Nominated Node=?status.nominatedNodeName|*Readiness Gates=@pod_gates
/PodTemplate|Containers=@containers|Images=@images|Pod Labels=@template_labels
/ReplicationController|Desired:i=.spec.replicas|Current:i=.status.replicas|Ready:i=.status.readyReplicas|Age|*Containers=@containers|*Images=@images|*Selector=@plain_selector
/ResourceQuota|Request=@quota_requests|Limit=@quota_limits|Age
/Secret|Type=.type|Data=#data|Age
/Service|Type=.spec.type|Cluster-IP=@service_ip|External-IP=@service_external|Port(s)=@service_ports|Age|*Selector=@plain_selector
/ServiceAccount|Secrets=#secrets|Age
admissionregistration.k8s.io/MutatingWebhookConfiguration|Webhooks:i=#webhooks|Age
admissionregistration.k8s.io/ValidatingWebhookConfiguration|Webhooks:i=#webhooks|Age
admissionregistration.k8s.io/ValidatingAdmissionPolicy|Validations:i=#spec.validations|ParamKind=@param_kind|Age
admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding|PolicyName=.spec.policyName|ParamRef=@param_ref|Age
apiextensions.k8s.io/CustomResourceDefinition|Created At:d=.metadata.creationTimestamp
apps/ControllerRevision|Controller=@controller|Revision:i=.revision|Age
apps/DaemonSet|Desired:i=.status.desiredNumberScheduled|Current:i=.status.currentNumberScheduled|Ready:i=.status.numberReady|Up-to-date:i=.status.updatedNumberScheduled|Available:i=.status.numberAvailable|Node Selector=@node_selector|Age|*Containers=@containers|*Images=@images|*Selector=@selector
apps/Deployment|Ready=@ready|Up-to-date=@updated|Available=@available|Age|*Containers=@containers|*Images=@images|*Selector=@selector
apps/ReplicaSet|Desired:i=.spec.replicas|Current:i=.status.replicas|Ready:i=.status.readyReplicas|Age|*Containers=@containers|*Images=@images|*Selector=@selector
apps/StatefulSet|Ready=@ready|Age|*Containers=@containers|*Images=@images
autoscaling/HorizontalPodAutoscaler|Reference=@scale_reference|Targets=@scale_targets|MinPods=@scale_least|MaxPods=@scale_most|Replicas=@scale_current|Age
autoscaling/Scale|Desired:i=.spec.replicas|Available:i=.status.replicas|Age
batch/CronJob|Schedule=.spec.schedule|Timezone=?spec.timeZone|Suspend:b=@suspend|Active:i=#status.active|Last Schedule=@last_schedule|Age|*Containers=@containers|*Images=@images|*Selector=@job_selector
batch/Job|Status=@job_status|Completions=@job_completions|Duration=@job_duration|Age|*Containers=@containers|*Images=@images|*Selector=@selector
certificates.k8s.io/CertificateSigningRequest|Age|SignerName=.spec.signerName|Requestor=.spec.username|RequestedDuration=@requested_duration|Condition=@request_condition
coordination.k8s.io/Lease|Holder=.spec.holderIdentity|Age
discovery.k8s.io/EndpointSlice|AddressType=.addressType|Ports=@slice_ports|Endpoints=@slice_endpoints|Age
networking.k8s.io/Ingress|Class=?spec.ingressClassName|Hosts=@ingress_hosts|Address=@ingress_address|Ports=@ingress_ports|Age
networking.k8s.io/IngressClass|Controller=.spec.controller|Parameters=@class_parameters|Age
networking.k8s.io/NetworkPolicy|Pod-Selector=@pod_selector|Age
node.k8s.io/RuntimeClass|Handler=.handler|Age
policy/PodDisruptionBudget|Min Available=@least_available|Max Unavailable=@most_missing|Allowed Disruptions:i=.status.disruptionsAllowed|Age
rbac.authorization.k8s.io/ClusterRole|Created At:d=.metadata.creationTimestamp
rbac.authorization.k8s.io/ClusterRoleBinding|Role=@role|Age|*Users=@users|*Groups=@groups|*ServiceAccounts=@accounts
rbac.authorization.k8s.io/Role|Created At:d=.metadata.creationTimestamp
rbac.authorization.k8s.io/RoleBinding|Role=@role|Age|*Users=@users|*Groups=@groups|*ServiceAccounts=@accounts
scheduling.k8s.io/PriorityClass|Value:i=.value|Global-Default:b=.globalDefault|Age|PreemptionPolicy=.preemptionPolicy
storage.k8s.io/CSIDriver|AttachRequired:b=.spec.attachRequired|PodInfoOnMount:b=.spec.podInfoOnMount|StorageCapacity:b=.spec.storageCapacity|TokenRequests=@token_requests|RequiresRepublish:b=.spec.requiresRepublish|Modes=@lifecycle_modes|Age
storage.k8s.io/CSINode|Drivers:i=#spec.drivers|Age
storage.k8s.io/StorageClass|=-|Name=@class_name|Provisioner=.provisioner|ReclaimPolicy=.reclaimPolicy|VolumeBindingMode=.volumeBindingMode|AllowVolumeExpansion:b=.allowVolumeExpansion|Age
storage.k8s.io/VolumeAttachment|Attacher=.spec.attacher|PV=.spec.source.persistentVolumeName|Node=.spec.nodeName|Attached:b=.status.attached|Age
storage.k8s.io/VolumeAttributesClass|DriverName=.driverName|Age
events.k8s.io/Event|=-|Last Seen=@event_last|Type=.type|Reason=.reason|Object=@event_object|*Subobject=.regarding.fieldPath|*Source=@event_source|Message=@event_message|*First Seen=@event_first|*Count=@event_count|*Name=@name
";

/// The columns of a kind, with the name first.
pub(super) fn columns((group, kind): (&str, &str)) -> impl Iterator<Item = Spec> {
    let line = ROWS.lines().find_map(|line| {
        let (key, columns) = line.split_once('|')?;
        let (its_group, its_kind) = key.split_once('/')?;
        (its_group == group && its_kind == kind).then_some(columns)
    });
    let line = line.unwrap_or("Age");
    // A line that starts with `=-` says itself where the name stands.
    let (named, line) = match line.strip_prefix("=-|") {
        Some(line) => (None, line),
        None => (Some("Name=@name"), line),
    };
    named.into_iter().chain(line.split('|')).map(spec)
}

fn spec(text: &'static str) -> Spec {
    let (title, cell) = text.split_once('=').unwrap_or((text, "@age"));
    let (title, wide) = match title.strip_prefix('*') {
        Some(title) => (title, true),
        None => (title, false),
    };
    let types = [(":i", "integer"), (":b", "boolean"), (":d", "date")];
    let typed = types
        .iter()
        .find_map(|(mark, ty)| Some((title.strip_suffix(mark)?, *ty)));
    let (title, ty) = typed.unwrap_or((title, "string"));
    Spec {
        title,
        ty,
        wide,
        cell,
    }
}
