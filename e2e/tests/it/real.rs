//! The real tier's own test: a control plane comes up, runs a Deployment on fake nodes, survives
//! the loss of its API server, goes back to a backup, and leaves no process behind.

use flotilla_e2e::real::{
    ControlPlane, FakeKubelet, KubeletOptions, NotYet, Options, PodBehaviour, PodSelector, Poll,
    can_run, eventually,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use std::{path::Path, time::Duration};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_runs_workloads_and_survives_its_api_server() {
    if !can_run() {
        return;
    }
    let plane = ControlPlane::start(Options::member("member"))
        .await
        .unwrap();
    let client = plane.client().await.unwrap();
    let kubelet_client = plane
        .client_for("fake-kubelet", &["system:masters"])
        .await
        .unwrap();
    let kubelet = FakeKubelet::start(kubelet_client, KubeletOptions::nodes(2))
        .await
        .unwrap();
    let start = plane.audit().mark().unwrap();

    create_deployment(&client, "web").await;
    available(&client, "web", 2).await;
    job_completes(&client).await;
    behaviour_reaches_running_pods(&client, &kubelet).await;

    let counts = plane.audit().since(start).unwrap();
    assert_eq!(
        counts.by_user("admin").of("create", "deployments.apps"),
        1,
        "{counts}"
    );
    assert!(
        counts.by_user("fake-kubelet").of("patch", "pods/status") >= 4,
        "{counts}"
    );

    plane.stop_api().await.unwrap();
    assert!(deployments(&client).get("web").await.is_err());
    plane.start_api().await.unwrap();
    create_deployment(&client, "after").await;
    available(&client, "after", 2).await;
    deletes_leave_no_pods(&client, "after").await;

    let pids: Vec<_> = plane
        .processes()
        .filter_map(|process| process.pid())
        .collect();
    assert_eq!(pids.len(), 4);
    kubelet.stop().await.unwrap();
    drop(plane);
    for pid in pids {
        assert!(
            !Path::new(&format!("/proc/{pid}")).exists(),
            "process {pid} is left"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_door_runs_nothing_and_goes_back_to_a_backup() {
    if !can_run() {
        return;
    }
    let plane = ControlPlane::start(Options::front_door("front-door"))
        .await
        .unwrap();
    let client = plane.client().await.unwrap();
    create_deployment(&client, "web").await;

    let stranger = plane
        .client_for("nobody", &["system:unknown"])
        .await
        .unwrap();
    assert!(deployments(&stranger).get("web").await.is_err());

    let backup = plane.directory().join("backup");
    plane.snapshot_etcd(&backup).await.unwrap();
    create_deployment(&client, "later").await;
    plane.restore_etcd(&backup).await.unwrap();
    assert!(deployments(&client).get_opt("web").await.unwrap().is_some());
    assert!(
        deployments(&client)
            .get_opt("later")
            .await
            .unwrap()
            .is_none()
    );

    // The restore waited for the controllers to work, so one that exists would have acted.
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    assert_eq!(
        pods.list(&ListParams::default()).await.unwrap().items.len(),
        0
    );
    namespaces_can_go(&plane, &client).await;
    plane.stop().await.unwrap();
}

fn deployments(client: &Client) -> Api<Deployment> {
    Api::default_namespaced(client.clone())
}

async fn create_deployment(client: &Client, name: &str) {
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 30,
                    "containers": [{"name": "main", "image": "example/image:1"}],
                },
            },
        },
    }))
    .unwrap();
    deployments(client)
        .create(&PostParams::default(), &deployment)
        .await
        .unwrap();
}

async fn available(client: &Client, name: &str, replicas: i32) {
    let deployments = deployments(client);
    eventually(
        format!("{name} has {replicas} available replicas"),
        DEADLINE,
        async || {
            let deployment = deployments.get(name).await.map_err(NotYet::again)?;
            let status = deployment.status.unwrap_or_default();
            if status.available_replicas.unwrap_or(0) == replicas {
                return Ok(());
            }
            Err(NotYet::again(format!("{status:?}")))
        },
    )
    .await
    .unwrap();
}

async fn job_completes(client: &Client) {
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let job = serde_json::from_value(json!({
        "metadata": {"name": "once"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "example/image:1"}],
        }}},
    }))
    .unwrap();
    jobs.create(&PostParams::default(), &job).await.unwrap();
    eventually("the job succeeds", DEADLINE, async || {
        let status = jobs
            .get("once")
            .await
            .map_err(NotYet::again)?
            .status
            .unwrap_or_default();
        if status.completion_time.is_some() && status.succeeded == Some(1) {
            return Ok(());
        }
        Err(NotYet::again(format!("{status:?}")))
    })
    .await
    .unwrap();
}

async fn behaviour_reaches_running_pods(client: &Client, kubelet: &FakeKubelet) {
    let web = PodSelector::label("default", "app", "web");
    kubelet
        .set_behaviour(web.clone(), PodBehaviour::CrashLoop)
        .await
        .unwrap();
    available(client, "web", 0).await;
    kubelet
        .set_behaviour(web, PodBehaviour::Ready)
        .await
        .unwrap();
    available(client, "web", 2).await;
}

async fn deletes_leave_no_pods(client: &Client, name: &str) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let of_deployment = ListParams::default().labels(&format!("app={name}"));
    deployments(client)
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    eventually(
        "the deleted deployment's pods are gone",
        DEADLINE,
        async || match pods
            .list(&of_deployment)
            .await
            .map_err(NotYet::again)?
            .items
            .len()
        {
            0 => Poll::Ok(()),
            left => Err(NotYet::again(format!("{left} pods"))),
        },
    )
    .await
    .unwrap();
}

async fn namespaces_can_go(plane: &ControlPlane, client: &Client) {
    let created = plane
        .kubectl(&["create", "namespace", "brief"])
        .await
        .unwrap();
    assert!(created.status.success(), "{created:?}");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "brief");
    maps.create(&PostParams::default(), &map).await.unwrap();
    let deleted = plane
        .kubectl(&["delete", "namespace", "brief", "--timeout=60s"])
        .await
        .unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
}
