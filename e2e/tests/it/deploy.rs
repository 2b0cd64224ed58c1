//! `deploy/`: a real API server takes the manifests with every field, after the roles that the programs
//! print; what they pass to the programs, the programs know.

use std::path::{Path, PathBuf};

use clap::{ArgAction, CommandFactory, Parser};
use flotilla_e2e::real::{ControlPlane, Options, Workdir, can_run};
use flotilla_e2e::world::Objects;
use serde::Deserialize;
use serde_json::{Value, json};

const NAMESPACE: &str = "flotilla-system";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

fn documents(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file(name)).unwrap();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// The only container of the workload in a file.
fn container(name: &str) -> Value {
    let documents = documents(name);
    let workload = documents.iter().find(|d| d["kind"] != "Service").unwrap();
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    assert_eq!(containers.unwrap().len(), 1, "{name}");
    containers.unwrap()[0].clone()
}

/// The command line that arguments and environment of a container come to, with each variable as the
/// flag that reads it.
fn command_line(program: &clap::Command, container: &Value) -> Vec<String> {
    let args = container["args"].as_array().unwrap().iter();
    let mut line = vec![program.get_name().to_owned()];
    line.extend(args.map(|arg| arg.as_str().unwrap().to_owned()));
    let subcommand = program.find_subcommand(&line[1]).unwrap();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap();
        if !name.starts_with("FLOTILLA_") {
            continue;
        }
        let mut flags = subcommand.get_arguments();
        let flag = flags.find(|arg| arg.get_env().is_some_and(|env| env == name));
        let flag = flag.unwrap_or_else(|| panic!("no flag reads {name}"));
        let long = flag.get_long().unwrap();
        let value = variable["value"].as_str().unwrap_or("from-the-pod");
        line.push(if matches!(flag.get_action(), ArgAction::SetTrue) {
            assert_eq!(value, "true", "{name}");
            format!("--{long}")
        } else {
            format!("--{long}={value}")
        });
    }
    line
}

fn ports(container: &Value) -> Vec<u64> {
    let ports = container["ports"].as_array().unwrap().iter();
    ports
        .map(|p| p["containerPort"].as_u64().unwrap())
        .collect()
}

#[test]
fn the_programs_know_every_flag_and_variable() {
    let hub = container("hub.yaml");
    let line = command_line(&flotilla_hub::config::Args::command(), &hub);
    let parsed = flotilla_hub::config::Args::try_parse_from(&line);
    let flotilla_hub::config::Command::Serve(args) = parsed.unwrap().command else {
        panic!("{line:?} does not serve");
    };
    let listens = [args.fleet_listen, args.webhook_listen, args.metrics_listen];
    assert_eq!(listens.map(|a| u64::from(a.port())), ports(&hub)[..]);

    let agent = container("agent.yaml");
    assert_eq!(
        agent["command"],
        json!(["/usr/local/bin/flotilla-agent"]),
        "the image's own program is the hub"
    );
    let line = command_line(&flotilla_agent::config::Args::command(), &agent);
    let parsed = flotilla_agent::config::Args::try_parse_from(&line);
    parsed.unwrap_or_else(|e| panic!("{line:?}: {e}"));
    let admin = format!("--admin=0.0.0.0:{}", ports(&agent)[0]);
    assert!(line.contains(&admin), "{line:?}");
}

#[test]
fn a_flag_that_is_not_there_fails() {
    let hub = container("hub.yaml");
    let mut line = command_line(&flotilla_hub::config::Args::command(), &hub);
    line.push("--kube-config=x".to_owned());
    assert!(flotilla_hub::config::Args::try_parse_from(&line).is_err());
}

/// The files hold no roles, so that none can fall behind: their first lines say which command prints them.
#[test]
fn roles_come_from_the_programs() {
    for (name, prints) in [
        ("hub.yaml", "`flotilla-hub rbac | kubectl apply -f -`"),
        (
            "agent.yaml",
            "`flotilla-agent rbac --profile workloads | kubectl apply -f -`",
        ),
    ] {
        let text = std::fs::read_to_string(file(name)).unwrap();
        assert!(text.contains(prints), "{name} does not say {prints}");
        for document in documents(name) {
            let api = document["apiVersion"].as_str().unwrap();
            assert!(!api.starts_with("rbac."), "{name} holds a role");
            assert_eq!(document["metadata"]["namespace"], NAMESPACE, "{name}");
        }
    }
    assert!(flotilla_hub::config::Args::try_parse_from(["flotilla-hub", "rbac"]).is_ok());
    let agent = ["flotilla-agent", "rbac", "--profile", "workloads"];
    assert!(flotilla_agent::config::Args::try_parse_from(agent).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_takes_the_manifests() {
    if !can_run() {
        return;
    }
    let plane = ControlPlane::start(Options::member("deploy"))
        .await
        .unwrap();
    let objects = Objects::new("deploy", plane.client().await.unwrap());
    let workdir = Workdir::create("manifests").unwrap();
    let profile = flotilla_agent::rbac::Profile::Workloads;
    for (name, generated) in [
        ("hub-roles", flotilla_hub::rbac::roles()),
        (
            "agent-roles",
            flotilla_agent::rbac::objects(profile, NAMESPACE),
        ),
    ] {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": generated});
        let path = workdir.write(&format!("{name}.json"), &list.to_string());
        apply(&plane, &path.unwrap()).await.unwrap();
        for role in generated.iter().filter(|r| r["kind"] == "ClusterRole") {
            let name = role["metadata"]["name"].as_str().unwrap();
            let kind = ("rbac.authorization.k8s.io/v1", "ClusterRole");
            let kept = objects.get(kind, ("", name)).await.unwrap().unwrap();
            assert_eq!(kept["rules"], role["rules"], "{name}");
        }
    }
    for (name, kind) in [("agent.yaml", "DaemonSet"), ("hub.yaml", "Deployment")] {
        apply(&plane, &file(name)).await.unwrap();
        let program = container(name)["name"].as_str().unwrap().to_owned();
        let own = format!("flotilla-{program}");
        let kept = objects.get(("apps/v1", kind), (NAMESPACE, &own)).await;
        let pod = kept.unwrap().unwrap()["spec"]["template"]["spec"].clone();
        let account = pod["serviceAccountName"].as_str().unwrap_or("default");
        let account = objects.get(("v1", "ServiceAccount"), (NAMESPACE, account));
        assert!(account.await.unwrap().is_some(), "{name}");
    }
    // The twin: one wrong word, and the same call fails.
    let text = std::fs::read_to_string(file("hub.yaml")).unwrap();
    let wrong = text.replace("  replicas: 2", "  replica: 2");
    assert_ne!(text, wrong);
    let wrong = workdir.write("wrong.yaml", &wrong).unwrap();
    let refused = apply(&plane, &wrong).await.unwrap_err();
    assert!(refused.contains("replica"), "{refused}");
}

/// `kubectl apply` with every field checked; an error is what kubectl said.
async fn apply(plane: &ControlPlane, path: &Path) -> Result<(), String> {
    let path = path.to_string_lossy();
    let args = ["apply", "--server-side", "--validate=strict", "-f", &path];
    let output = plane.kubectl(&args).await.unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
