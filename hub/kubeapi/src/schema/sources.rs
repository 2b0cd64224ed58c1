//! The published types whose definitions the engine needs. A list, nothing else.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, autoscaling::v1 as autoscaling1,
    autoscaling::v2 as autoscaling, batch::v1 as batch, certificates::v1 as certificates,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    events::v1 as events, networking::v1 as networking, node::v1 as node, policy::v1 as policy,
    rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::SchemaGenerator;

use super::builtin::add;

macro_rules! add_each {
    ($generator:ident: $($module:ident { $($kind:ident),* })*) => {
        $($(add::<$module::$kind>($generator);)*)*
    };
}

/// Adds all definitions.
pub(super) fn add_all(generator: &mut SchemaGenerator) {
    add_each!(generator:
        core {
            Binding, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
            PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret,
            Service, ServiceAccount
        }
        apps { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet }
        batch { CronJob, Job }
        autoscaling { HorizontalPodAutoscaler }
        autoscaling1 { HorizontalPodAutoscaler, Scale }
        networking { Ingress, IngressClass, NetworkPolicy }
        policy { Eviction, PodDisruptionBudget }
        rbac { ClusterRole, ClusterRoleBinding, Role, RoleBinding }
        scheduling { PriorityClass }
        storage {
            CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment,
            VolumeAttributesClass
        }
        coordination { Lease }
        discovery { EndpointSlice }
        events { Event }
        certificates { CertificateSigningRequest }
        node { RuntimeClass }
        admission {
            MutatingWebhookConfiguration, ValidatingAdmissionPolicy,
            ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration
        }
        authentication { SelfSubjectReview, TokenRequest, TokenReview }
        authorization {
            LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview,
            SubjectAccessReview
        }
        apiextensions { CustomResourceDefinition }
        meta { DeleteOptions, ObjectMeta }
    );
}
