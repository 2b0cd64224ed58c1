//! The machine alone, on a clock that jumps.

use super::*;
use serde_json::{Value, json};

struct Bench {
    machine: Machine,
    now: Instant,
    version: u64,
}

impl Bench {
    fn new() -> Self {
        let mut machine = Machine::new(7, Delays::default());
        let now = Instant::now();
        machine.handle(Input::NodeAdded("n1".to_owned()), now);
        Self {
            machine,
            now,
            version: 0,
        }
    }

    fn see(&mut self, status: Value, extra: Value) {
        self.version += 1;
        let mut pod = json!({
            "metadata": {
                "name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "a"},
                "resourceVersion": self.version.to_string(),
            },
            "spec": {"nodeName": "n1", "restartPolicy": "Always", "containers": [{"name": "c"}]},
            "status": status,
        });
        json_patch_merge(&mut pod, &extra);
        let pod = serde_json::from_value(pod).unwrap();
        self.machine
            .handle(Input::Watched(Box::new(Event::Apply(pod))), self.now);
    }

    /// Jumps to the next wake-up and reports the step that comes due, as done and unseen.
    fn next(&mut self) -> Option<Step> {
        self.now = self.machine.poll_timeout()?;
        self.machine.handle_timeout(self.now);
        let output = self.machine.poll_output().unwrap();
        assert!(self.machine.poll_output().is_none());
        let (key, uid) = (output.key, output.facts.uid);
        self.machine.handle(
            Input::Done {
                key,
                uid,
                result: Result::Done(None),
            },
            self.now,
        );
        Some(output.step)
    }

    fn behave(&mut self, behaviour: PodBehaviour) {
        let selector = PodSelector::label("ns", "app", "a");
        self.machine
            .handle(Input::Behave(selector, behaviour), self.now);
    }
}

fn json_patch_merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                json_patch_merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

fn running(ready: &str) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]})
}

#[test]
fn a_bound_pod_runs_and_then_rests() {
    let mut bench = Bench::new();
    bench.see(json!({}), json!({}));
    assert_eq!(bench.next(), Some(Step::Run { ready: true }));
    bench.see(running("True"), json!({}));
    assert_eq!(bench.next(), None);
}

#[test]
fn a_pod_of_a_job_succeeds() {
    let mut bench = Bench::new();
    let job = json!({"spec": {"restartPolicy": "Never"}});
    bench.see(json!({}), job.clone());
    assert_eq!(bench.next(), Some(Step::Run { ready: true }));
    bench.see(running("True"), job.clone());
    assert_eq!(bench.next(), Some(Step::Finish { succeeded: true }));
    bench.see(json!({"phase": "Succeeded"}), job);
    assert_eq!(bench.next(), None);
}

#[test]
fn behaviour_changes_pods_that_run_and_a_crash_loop_goes_quiet() {
    let mut bench = Bench::new();
    bench.see(running("True"), json!({}));
    bench.behave(PodBehaviour::CrashLoop);
    for restarts in 1..=RESTARTS_MAX {
        assert_eq!(bench.next(), Some(Step::Crash { restarts }));
        let mut status = running("False");
        status["containerStatuses"] = json!([{
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
        }]);
        bench.see(status, json!({}));
    }
    assert_eq!(bench.next(), None);
    bench.behave(PodBehaviour::Ready);
    assert_eq!(bench.next(), Some(Step::Run { ready: true }));
}

#[test]
fn a_deleted_pod_goes_once_even_when_a_finalizer_holds_it() {
    let mut bench = Bench::new();
    let going = |seconds: i64| {
        json!({"metadata": {
            "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": seconds,
        }})
    };
    bench.see(running("True"), going(30));
    assert_eq!(bench.next(), Some(Step::Remove));
    bench.see(running("True"), going(0));
    assert_eq!(bench.next(), None);
}

#[test]
fn pods_of_other_nodes_are_left_alone() {
    let mut bench = Bench::new();
    bench.see(json!({}), json!({"spec": {"nodeName": "elsewhere"}}));
    assert_eq!(bench.next(), None);
}

#[test]
fn a_failed_step_is_tried_again() {
    let mut bench = Bench::new();
    bench.see(json!({}), json!({}));
    bench.now = bench.machine.poll_timeout().unwrap();
    bench.machine.handle_timeout(bench.now);
    let output = bench.machine.poll_output().unwrap();
    let (key, uid) = (output.key, output.facts.uid);
    bench.machine.handle(
        Input::Done {
            key,
            uid,
            result: Result::Failed,
        },
        bench.now,
    );
    assert_eq!(bench.machine.poll_timeout(), Some(bench.now + RETRY));
    assert_eq!(bench.next(), Some(Step::Run { ready: true }));
}
