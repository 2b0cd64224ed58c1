//! What stands in the cells of pods: one word for a state that many fields make.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::cells::{at, items, or_none, text};

/// A cell of a pod.
pub(super) fn cell(name: &str, pod: &Value, now: Timestamp) -> Value {
    match name {
        "pod_ip" => {
            let first = items(pod, "status.podIPs").next();
            let ip = first.map_or_else(|| text(pod, "status.podIP"), |ip| text(ip, "ip"));
            or_none(ip.to_owned())
        }
        "pod_gates" => gates(pod),
        _ => {
            let state = state(pod);
            match name {
                "pod_ready" => json!(format!("{}/{}", state.ready, state.total)),
                "pod_status" => json!(state.word),
                _ => restarts(&state, now),
            }
        }
    }
}

fn restarts(state: &State, now: Timestamp) -> Value {
    json!(match (state.restarts, state.last_restart) {
        (0, _) | (_, None) => state.restarts.to_string(),
        (restarts, Some(last)) => {
            let ago = age::human(now.as_second() - last.as_second());
            format!("{restarts} ({ago} ago)")
        }
    })
}

fn gates(pod: &Value) -> Value {
    let wanted: Vec<_> = items(pod, "spec.readinessGates").collect();
    if wanted.is_empty() {
        return json!("<none>");
    }
    let open = |gate: &&&Value| {
        let mut conditions = items(pod, "status.conditions");
        conditions.any(|one| one["type"] == gate["conditionType"] && one["status"] == "True")
    };
    json!(format!(
        "{}/{}",
        wanted.iter().filter(open).count(),
        wanted.len()
    ))
}

#[derive(Default)]
struct State {
    word: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl State {
    fn count(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or_default();
        let finished = text(container, "lastState.terminated.finishedAt");
        self.last_restart = self.last_restart.max(finished.parse().ok());
    }
}

fn state(pod: &Value) -> State {
    let said = text(pod, "status.reason");
    let phase = text(pod, "status.phase");
    let mut state = State {
        word: if said.is_empty() { phase } else { said }.to_owned(),
        total: items(pod, "spec.containers").count(),
        ..State::default()
    };
    let gated = |one: &Value| one["type"] == "PodScheduled" && one["reason"] == "SchedulingGated";
    if items(pod, "status.conditions").any(gated) {
        "SchedulingGated".clone_into(&mut state.word);
    }
    let init: Vec<_> = items(pod, "spec.initContainers").collect();
    let sidecar = |name: &Value| {
        let found = init.iter().find(|one| one["name"] == *name);
        found.is_some_and(|one| one["restartPolicy"] == "Always")
    };
    state.total += init.iter().filter(|one| sidecar(&one["name"])).count();
    let mut sidecars = State::default();
    let starting = starting(pod, &mut state, &mut sidecars, sidecar, init.len());
    if !starting || condition(pod, "Initialized") {
        state.restarts = sidecars.restarts;
        state.last_restart = sidecars.last_restart;
        running(pod, &mut state);
    }
    if !at(pod, "metadata.deletionTimestamp").is_null() {
        if said == "NodeLost" {
            "Unknown".clone_into(&mut state.word);
        } else if !matches!(phase, "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut state.word);
        }
    }
    state
}

/// Looks at init containers; true = one of them still has to end.
fn starting(
    pod: &Value,
    state: &mut State,
    sidecars: &mut State,
    is_sidecar: impl Fn(&Value) -> bool,
    count: usize,
) -> bool {
    for (at_index, container) in items(pod, "status.initContainerStatuses").enumerate() {
        state.count(container);
        let sidecar = is_sidecar(&container["name"]);
        if sidecar {
            sidecars.count(container);
        }
        let ended = &container["state"]["terminated"];
        let waiting = text(container, "state.waiting.reason");
        if !ended.is_null() && ended["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            state.ready += usize::from(container["ready"] == true);
            continue;
        }
        state.word = if !ended.is_null() {
            format!("Init:{}", how_ended(ended))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{at_index}/{count}")
        };
        return true;
    }
    false
}

/// Looks at the containers themselves, the first one last.
fn running(pod: &Value, state: &mut State) {
    let mut has_running = false;
    let containers: Vec<_> = items(pod, "status.containerStatuses").collect();
    for container in containers.into_iter().rev() {
        state.count(container);
        let waiting = text(container, "state.waiting.reason");
        let ended = &container["state"]["terminated"];
        if !waiting.is_empty() {
            waiting.clone_into(&mut state.word);
        } else if !ended.is_null() {
            state.word = how_ended(ended);
        } else if container["ready"] == true && !container["state"]["running"].is_null() {
            has_running = true;
            state.ready += 1;
        }
    }
    if state.word == "Completed" && has_running {
        let word = if condition(pod, "Ready") {
            "Running"
        } else {
            "NotReady"
        };
        word.clone_into(&mut state.word);
    }
}

fn how_ended(ended: &Value) -> String {
    let (reason, signal) = (text(ended, "reason"), ended["signal"].as_i64());
    match (reason, signal) {
        ("", Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        ("", _) => format!(
            "ExitCode:{}",
            ended["exitCode"].as_i64().unwrap_or_default()
        ),
        (reason, _) => reason.to_owned(),
    }
}

fn condition(pod: &Value, ty: &str) -> bool {
    let mut conditions = items(pod, "status.conditions");
    conditions.any(|one| one["type"] == ty && one["status"] == "True")
}
