//! The rows of the built-in kinds, as a compact table.
//!
//! A row is read once per start. Where a kind behaves otherwise than the table can say, that lies
//! with defaults, validation and the REST layer, not here.

use std::sync::Arc;

use super::{Kind, Profile, ScalePaths, Subresource};
use crate::schema::builtin;

/// `group|version|kind|plural|short names|categories|marks|subresources`; marks: `n` namespaced,
/// `g` generation, `d` no deletecollection, `c` create only. Subresources: `name` of the kind itself
/// with get, patch and update, or `name=group/version/Kind:verbs`.
const ROWS: &str = "\
|v1|Binding|bindings|||nc|
|v1|ConfigMap|configmaps|cm||n|
|v1|Endpoints|endpoints|ep||n|
|v1|Event|events|ev||n|
|v1|LimitRange|limitranges|limits||n|
|v1|Namespace|namespaces|ns||d|finalize=/v1/Namespace:update status
|v1|Node|nodes|no|||status
|v1|PersistentVolumeClaim|persistentvolumeclaims|pvc||n|status
|v1|PersistentVolume|persistentvolumes|pv|||status
|v1|Pod|pods|po|all|ng|attach=/v1/PodAttachOptions:create,get binding=/v1/Binding:create ephemeralcontainers eviction=policy/v1/Eviction:create exec=/v1/PodExecOptions:create,get log=/v1/Pod:get portforward=/v1/PodPortForwardOptions:create,get proxy=/v1/PodProxyOptions:create,delete,get,patch,update resize status
|v1|PodTemplate|podtemplates|||ng|
|v1|ReplicationController|replicationcontrollers|rc|all|ng|scale status
|v1|ResourceQuota|resourcequotas|quota||n|status
|v1|Secret|secrets|||n|
|v1|ServiceAccount|serviceaccounts|sa||n|token=authentication.k8s.io/v1/TokenRequest:create
|v1|Service|services|svc|all|n|proxy=/v1/ServiceProxyOptions:create,delete,get,patch,update status
admissionregistration.k8s.io|v1|MutatingWebhookConfiguration|mutatingwebhookconfigurations||api-extensions|g|
admissionregistration.k8s.io|v1|ValidatingAdmissionPolicy|validatingadmissionpolicies||api-extensions|g|status
admissionregistration.k8s.io|v1|ValidatingAdmissionPolicyBinding|validatingadmissionpolicybindings||api-extensions|g|
admissionregistration.k8s.io|v1|ValidatingWebhookConfiguration|validatingwebhookconfigurations||api-extensions|g|
apiextensions.k8s.io|v1|CustomResourceDefinition|customresourcedefinitions|crd,crds|api-extensions|g|status
apps|v1|ControllerRevision|controllerrevisions|||n|
apps|v1|DaemonSet|daemonsets|ds|all|ng|status
apps|v1|Deployment|deployments|deploy|all|ng|scale status
apps|v1|ReplicaSet|replicasets|rs|all|ng|scale status
apps|v1|StatefulSet|statefulsets|sts|all|ng|scale status
authentication.k8s.io|v1|SelfSubjectReview|selfsubjectreviews|||c|
authentication.k8s.io|v1|TokenReview|tokenreviews|||c|
authorization.k8s.io|v1|LocalSubjectAccessReview|localsubjectaccessreviews|||nc|
authorization.k8s.io|v1|SelfSubjectAccessReview|selfsubjectaccessreviews|||c|
authorization.k8s.io|v1|SelfSubjectRulesReview|selfsubjectrulesreviews|||c|
authorization.k8s.io|v1|SubjectAccessReview|subjectaccessreviews|||c|
autoscaling|v2|HorizontalPodAutoscaler|horizontalpodautoscalers|hpa|all|n|status
batch|v1|CronJob|cronjobs|cj|all|ng|status
batch|v1|Job|jobs||all|ng|status
certificates.k8s.io|v1|CertificateSigningRequest|certificatesigningrequests|csr|||approval status
coordination.k8s.io|v1|Lease|leases|||n|
discovery.k8s.io|v1|EndpointSlice|endpointslices|||ng|
events.k8s.io|v1|Event|events|ev||n|
networking.k8s.io|v1|IngressClass|ingressclasses|||g|
networking.k8s.io|v1|Ingress|ingresses|ing||ng|status
networking.k8s.io|v1|NetworkPolicy|networkpolicies|netpol||ng|
node.k8s.io|v1|RuntimeClass|runtimeclasses||||
policy|v1|PodDisruptionBudget|poddisruptionbudgets|pdb||ng|status
rbac.authorization.k8s.io|v1|ClusterRoleBinding|clusterrolebindings||||
rbac.authorization.k8s.io|v1|ClusterRole|clusterroles||||
rbac.authorization.k8s.io|v1|RoleBinding|rolebindings|||n|
rbac.authorization.k8s.io|v1|Role|roles|||n|
scheduling.k8s.io|v1|PriorityClass|priorityclasses|pc||g|
storage.k8s.io|v1|CSIDriver|csidrivers||||
storage.k8s.io|v1|CSINode|csinodes||||
storage.k8s.io|v1|CSIStorageCapacity|csistoragecapacities|||n|
storage.k8s.io|v1|StorageClass|storageclasses|sc|||
storage.k8s.io|v1|VolumeAttachment|volumeattachments||||status
storage.k8s.io|v1|VolumeAttributesClass|volumeattributesclasses|vac|||
";

/// Field selectors beyond name and namespace: `group/plural` and labels; `label=path` where they
/// differ.
const SELECTABLE: &[(&str, &str)] = &[
    (
        "/events",
        "involvedObject.apiVersion involvedObject.fieldPath involvedObject.kind \
         involvedObject.name involvedObject.namespace involvedObject.resourceVersion \
         involvedObject.uid reason reportingComponent source=source.component type",
    ),
    ("/namespaces", "status.phase"),
    ("/nodes", "spec.unschedulable"),
    (
        "/pods",
        "spec.hostNetwork spec.nodeName spec.restartPolicy spec.schedulerName \
         spec.serviceAccountName status.nominatedNodeName status.phase status.podIP status.podIPs",
    ),
    ("/replicationcontrollers", "status.replicas"),
    ("/secrets", "type"),
    ("batch/jobs", "status.successful=status.succeeded"),
    (
        "certificates.k8s.io/certificatesigningrequests",
        "spec.signerName",
    ),
    (
        "events.k8s.io/events",
        "reason regarding.apiVersion regarding.fieldPath regarding.kind regarding.name \
         regarding.namespace regarding.resourceVersion regarding.uid reportingController type",
    ),
];

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// All built-in kinds of a server of this profile.
#[must_use]
pub fn builtin(_profile: Profile) -> Vec<Arc<Kind>> {
    ROWS.lines().map(|line| Arc::new(row(line))).collect()
}

fn row(line: &str) -> Kind {
    let mut columns = line.split('|');
    let mut next = || columns.next().unwrap_or_default();
    let (group, version, kind, plural) = (next(), next(), next(), next());
    let (short_names, categories, marks, subresources) = (next(), next(), next(), next());
    let schemas = builtin::schemas();
    let definition = definition(group, version, kind);
    let words = |text: &str, separator: char| -> Vec<String> {
        let words = text.split(separator).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let verbs = VERBS.iter().filter(|verb| match **verb {
        "deletecollection" => !marks.contains(['c', 'd']),
        "create" => true,
        _ => !marks.contains('c'),
    });
    let owner = (group, version, kind);
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: words(short_names, ','),
        categories: words(categories, ','),
        namespaced: marks.contains('n'),
        verbs: verbs.map(|verb| (*verb).to_owned()).collect(),
        subresources: words(subresources, ' ')
            .iter()
            .map(|text| subresource(text, owner))
            .collect(),
        has_generation: marks.contains('g'),
        custom: false,
        schemas: Arc::clone(&schemas.set),
        root: schemas.roots[&definition],
        columns: Vec::new(),
        warning: match (group, plural) {
            ("", "endpoints") => {
                "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()
            }
            _ => String::new(),
        },
        selectable: selectable(group, plural),
    }
}

/// A kind that is only sent to a subresource or as options, such as `Scale`, `Eviction`,
/// `TokenRequest`, `Binding` or `DeleteOptions` (group `meta.k8s.io`); none = not known.
#[must_use]
pub fn body(group: &str, version: &str, kind: &str) -> Option<Kind> {
    let definition = match group {
        "meta.k8s.io" => format!("io.k8s.apimachinery.pkg.apis.meta.{version}.{kind}"),
        _ => definition(group, version, kind),
    };
    if !builtin::schemas().roots.contains_key(&definition) {
        return None;
    }
    let mut made = row("|v1|Binding|bindings|||nc|");
    group.clone_into(&mut made.group);
    version.clone_into(&mut made.version);
    kind.clone_into(&mut made.kind);
    made.root = builtin::schemas().roots[&definition];
    Some(made)
}

/// Name of the definition of a built-in kind.
fn definition(group: &str, version: &str, kind: &str) -> String {
    let package = match group {
        "" => "core",
        "rbac.authorization.k8s.io" => "rbac",
        _ => group.split('.').next().unwrap_or_default(),
    };
    match package {
        "apiextensions" => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}")
        }
        _ => format!("io.k8s.api.{package}.{version}.{kind}"),
    }
}

fn subresource(text: &str, owner: (&str, &str, &str)) -> Subresource {
    let owned = |(group, version, kind): (&str, &str, &str)| {
        (group.to_owned(), version.to_owned(), kind.to_owned())
    };
    let verbs = |text: &str| text.split(',').map(str::to_owned).collect();
    if let Some((name, rest)) = text.split_once('=') {
        let (kind, allowed) = rest.split_once(':').unwrap_or((rest, ""));
        let mut parts = kind.split('/');
        let mut next = || parts.next().unwrap_or_default();
        return Subresource {
            name: name.to_owned(),
            group_version_kind: owned((next(), next(), next())),
            verbs: verbs(allowed),
            scale: None,
        };
    }
    let scale = (text == "scale").then(|| ScalePaths {
        spec: "spec.replicas".to_owned(),
        status: "status.replicas".to_owned(),
        selector: "spec.selector".to_owned(),
    });
    let kind = if scale.is_some() {
        ("autoscaling", "v1", "Scale")
    } else {
        owner
    };
    Subresource {
        name: text.to_owned(),
        group_version_kind: owned(kind),
        verbs: verbs("get,patch,update"),
        scale,
    }
}

fn selectable(group: &str, plural: &str) -> Vec<(String, String)> {
    let key = format!("{group}/{plural}");
    let Some((_, labels)) = SELECTABLE.iter().find(|(resource, _)| *resource == key) else {
        return Vec::new();
    };
    labels
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap_or((word, word)))
        .map(|(label, path)| (label.to_owned(), path.to_owned()))
        .collect()
}
