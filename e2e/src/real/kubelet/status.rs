//! The statuses that a fake kubelet writes.
//!
//! It decides what a Pod's status says after each step, field by field as a real kubelet would
//! where controllers and health rules look. It talks to nobody.

use super::machine::{Facts, Step};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// A strategic patch that takes the Pod's status through `step`.
pub(super) fn of_pod(facts: &Facts, step: Step, now: Timestamp) -> Value {
    let now = now.to_string();
    let (phase, ready) = match step {
        Step::Run { ready } => ("Running", ready),
        Step::Crash { .. } => ("Running", false),
        Step::Finish { succeeded: true } => ("Succeeded", false),
        Step::Finish { succeeded: false } | Step::Remove => ("Failed", false),
    };
    let reason = match step {
        Step::Finish { succeeded: true } => "PodCompleted",
        Step::Finish { succeeded: false } | Step::Remove => "PodFailed",
        Step::Run { .. } | Step::Crash { .. } => "ContainersNotReady",
    };
    let condition = |kind: &str, holds: bool| {
        let mut condition = json!({
            "type": kind, "status": if holds { "True" } else { "False" },
            "lastTransitionTime": now, "observedGeneration": facts.generation,
        });
        // A strategic patch merges conditions, so a reason that no longer holds is taken out.
        condition["reason"] = if holds { Value::Null } else { json!(reason) };
        condition
    };
    let containers: Vec<_> = facts
        .containers
        .iter()
        .map(|(name, image)| container(facts, step, (name, image), &now))
        .collect();
    let ip = address(&facts.uid);
    let mut status = json!({
        "phase": phase,
        "observedGeneration": facts.generation,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "containerStatuses": containers,
        "conditions": [
            condition("PodReadyToStartContainers", true),
            condition("Initialized", true),
            condition("ContainersReady", ready),
            condition("Ready", ready),
        ],
    });
    if facts.phase == super::machine::Phase::Pending {
        status["startTime"] = json!(now);
    }
    json!({"status": status})
}

fn container(facts: &Facts, step: Step, (name, image): (&str, &str), now: &str) -> Value {
    let ended = |exit_code: i32| {
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        json!({"terminated": {
            "exitCode": exit_code, "reason": reason, "startedAt": now, "finishedAt": now,
        }})
    };
    let running = json!({"running": {"startedAt": now}});
    let (state, last_state, ready, restarts) = match step {
        Step::Run { ready } => (running, json!({}), ready, facts.restarts),
        Step::Crash { restarts } => {
            let waiting = json!({"waiting": {
                "reason": "CrashLoopBackOff",
                "message": format!("back-off restarting failed container {name}"),
            }});
            (waiting, ended(1), false, restarts)
        }
        Step::Finish { succeeded } => (
            ended(i32::from(!succeeded)),
            json!({}),
            false,
            facts.restarts,
        ),
        Step::Remove => (ended(137), json!({}), false, facts.restarts),
    };
    json!({
        "name": name, "image": image, "imageID": format!("fake://{image}"),
        "containerID": format!("fake://{}/{name}", facts.uid),
        "state": state, "lastState": last_state,
        "ready": ready, "started": ready, "restartCount": restarts,
    })
}

/// An address of its own for nearly every Pod, the same after a restart.
fn address(uid: &str) -> String {
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, ..] = hash.to_be_bytes();
    format!("10.{a}.{b}.{}", c.clamp(1, 254))
}
