//! The command lines of the control-plane programs.
//!
//! It decides which flags each program gets by the role of its control plane: loopback only, no
//! leader election and no heartbeats of its own (a quiet cluster writes nothing), caches and
//! loops as small as the tests bear. It starts nothing.

use super::{Options, Role, layout::Layout};
use crate::real::certs::PkiFiles;
use std::path::Path;

/// The controllers of a store that runs no workloads.
const FRONT_DOOR_CONTROLLERS: [&str; 8] = [
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "certificatesigningrequest-signing-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "clusterrole-aggregation-controller",
];

/// All controllers, without those that need a cloud, a real volume plugin, or node heartbeats.
const MEMBER_CONTROLLERS: [&str; 9] = [
    "*",
    "-node-lifecycle-controller",
    "-node-ipam-controller",
    "-node-route-controller",
    "-service-lb-controller",
    "-cloud-node-lifecycle-controller",
    "-persistentvolume-attach-detach-controller",
    "-persistentvolume-expander-controller",
    "-ttl-controller",
];

pub(super) fn etcd(layout: &Layout, options: &Options) -> Vec<String> {
    let client_url = format!("http://127.0.0.1:{}", layout.etcd_port);
    let peer_url = format!("http://127.0.0.1:{}", layout.etcd_peer_port);
    vec![
        format!("--data-dir={}", layout.etcd_data.display()),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster=default={peer_url}"),
        format!("--unsafe-no-fsync={}", options.fast),
        // Raft keeps this many entries in memory before it writes a snapshot.
        "--snapshot-count=2000".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

pub(super) fn api(layout: &Layout, files: &PkiFiles, options: &Options) -> Vec<String> {
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", layout.etcd_port),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", layout.api_port),
        // A loopback address may not stand in Endpoints, and its lease would be a heartbeat.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        // Only the node lifecycle controller, which is off, would take this plugin's taint away.
        "--disable-admission-plugins=TaintNodesByCondition".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--feature-gates=APIServerIdentity=false".to_owned(),
        "--profiling=false".to_owned(),
        "--event-ttl=10m".to_owned(),
        // Without it a stopping server waits a minute for watches that nobody asks to end.
        "--shutdown-watch-termination-grace-period=1s".to_owned(),
        format!("--audit-policy-file={}", layout.audit_policy.display()),
        format!("--audit-log-path={}", layout.audit_log.display()),
        // Marks are offsets into one file, so the file may not be turned over.
        "--audit-log-maxsize=1000000".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ];
    let paths: [(&str, &Path); 8] = [
        ("client-ca-file", &files.ca),
        ("tls-cert-file", &files.serving),
        ("tls-private-key-file", &files.serving_key),
        ("service-account-key-file", &files.service_account_public),
        (
            "service-account-signing-key-file",
            &files.service_account_key,
        ),
        ("requestheader-client-ca-file", &files.front_proxy_ca),
        ("proxy-client-cert-file", &files.front_proxy),
        ("proxy-client-key-file", &files.front_proxy_key),
    ];
    flags.extend(paths.map(|(flag, path)| format!("--{flag}={}", path.display())));
    flags.extend(options.api_flags.iter().cloned());
    flags
}

pub(super) fn controller_manager(
    layout: &Layout,
    files: &PkiFiles,
    options: &Options,
) -> Vec<String> {
    let controllers = match options.role {
        Role::FrontDoor => FRONT_DOOR_CONTROLLERS.join(","),
        Role::Member => MEMBER_CONTROLLERS.join(","),
    };
    let mut flags = vec![
        format!(
            "--kubeconfig={}",
            layout.controller_manager_kubeconfig.display()
        ),
        format!("--controllers={controllers}"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--profiling=false".to_owned(),
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
    ];
    let paths: [(&str, &Path); 4] = [
        (
            "service-account-private-key-file",
            &files.service_account_key,
        ),
        ("root-ca-file", &files.ca),
        ("cluster-signing-cert-file", &files.ca),
        ("cluster-signing-key-file", &files.ca_key),
    ];
    flags.extend(paths.map(|(flag, path)| format!("--{flag}={}", path.display())));
    flags
}

pub(super) fn scheduler(layout: &Layout) -> Vec<String> {
    vec![
        format!("--config={}", layout.scheduler_config.display()),
        "--secure-port=0".to_owned(),
    ]
}
