//! Decides what happens to each Pod, and when: a state machine without clock, task or socket.
//!
//! It decides the next step of a Pod from what was last seen of it and from the behaviour it was
//! told, and draws the step's delay from its seed. A restart, a relist or a repeated event
//! changes nothing, because only what is seen counts. It never talks to an API server.

mod facts;

pub(super) use facts::{Facts, Phase, PodKey};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How long a failed request waits for its next attempt.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// A crash loop goes quiet after this many restarts.
const RESTARTS_MAX: i32 = 5;

/// What the selected Pods do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodBehaviour {
    /// Run and get ready; those that are to end (a Job's) succeed.
    #[default]
    Ready,
    /// Run but never get ready; those that are to end never do.
    NeverReady,
    /// Crash again and again; those that are to end fail.
    CrashLoop,
    /// Stay pending, as with an image that cannot be pulled.
    NeverStart,
}

/// Which Pods a behaviour is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSelector {
    /// Their namespace.
    pub namespace: String,
    /// A label they carry; `None` selects all of the namespace.
    pub label: Option<(String, String)>,
}

impl PodSelector {
    /// The Pods of `namespace` that carry the label.
    pub fn label(namespace: &str, key: &str, value: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            label: Some((key.to_owned(), value.to_owned())),
        }
    }

    /// All Pods of `namespace`.
    pub fn namespace(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            label: None,
        }
    }

    fn selects(&self, key: &PodKey, facts: &Facts) -> bool {
        let labelled = |(name, value): &(String, String)| facts.labels.get(name) == Some(value);
        self.namespace == key.namespace && self.label.as_ref().is_none_or(labelled)
    }
}

/// From how long to how long each step takes, in milliseconds.
#[derive(Debug, Clone)]
pub struct Delays {
    /// From bound to running.
    pub start_ms: RangeInclusive<u64>,
    /// From running to ended, for Pods that are to end.
    pub finish_ms: RangeInclusive<u64>,
    /// From one crash to the next, doubled each time.
    pub crash_ms: RangeInclusive<u64>,
    /// From being asked to go to being gone.
    pub remove_ms: RangeInclusive<u64>,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            start_ms: 20..=200,
            finish_ms: 100..=500,
            crash_ms: 100..=200,
            remove_ms: 10..=100,
        }
    }
}

/// A change of one Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Running, and ready or not.
    Run { ready: bool },
    /// Crashed, this many times by now.
    Crash { restarts: i32 },
    /// Ended for good.
    Finish { succeeded: bool },
    /// Gone.
    Remove,
}

/// How a step went; a done one may bring the Pod as it is now.
#[derive(Debug)]
pub(super) enum Result {
    Done(Option<Box<Pod>>),
    Failed,
}

/// What the machine is told.
#[derive(Debug)]
pub(super) enum Input {
    NodeAdded(String),
    NodeRemoved(String),
    Behave(PodSelector, PodBehaviour),
    Watched(Box<Event<Pod>>),
    Done {
        key: PodKey,
        uid: String,
        result: Result,
    },
}

/// A step to carry out now; its end comes back as [`Input::Done`].
#[derive(Debug)]
pub(super) struct Output {
    pub(super) key: PodKey,
    pub(super) facts: Facts,
    pub(super) step: Step,
}

#[derive(Debug)]
struct Tracked {
    facts: Facts,
    planned: Option<(Step, Instant)>,
    in_flight: bool,
}

/// The state machine of all Pods of one fake kubelet.
#[derive(Debug)]
pub(super) struct Machine {
    delays: Delays,
    draws: u64,
    nodes: BTreeSet<String>,
    behaviours: Vec<(PodSelector, PodBehaviour)>,
    pods: BTreeMap<PodKey, Tracked>,
    listed: Option<BTreeSet<PodKey>>,
    outputs: VecDeque<Output>,
}

impl Machine {
    pub(super) fn new(seed: u64, delays: Delays) -> Self {
        Self {
            delays,
            draws: seed,
            nodes: BTreeSet::new(),
            behaviours: Vec::new(),
            pods: BTreeMap::new(),
            listed: None,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::NodeAdded(name) => {
                self.nodes.insert(name);
                self.replan_all(now);
            }
            Input::NodeRemoved(name) => {
                self.nodes.remove(&name);
                self.replan_all(now);
            }
            Input::Behave(selector, behaviour) => {
                self.behaviours.retain(|(other, _)| *other != selector);
                self.behaviours.push((selector, behaviour));
                self.replan_all(now);
            }
            Input::Watched(event) => self.watched(*event, now),
            Input::Done { key, uid, result } => self.done(&key, &uid, result, now),
        }
    }

    /// Moves the steps that are due to the outputs.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for (key, tracked) in &mut self.pods {
            if tracked.in_flight {
                continue;
            }
            if let Some((step, _)) = tracked.planned.take_if(|(_, due)| *due <= now) {
                tracked.in_flight = true;
                let (key, facts) = (key.clone(), tracked.facts.clone());
                self.outputs.push_back(Output { key, facts, step });
            }
        }
    }

    /// When the next step is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.pods.values().filter(|tracked| !tracked.in_flight);
        idle.filter_map(|tracked| tracked.planned.map(|(_, due)| due))
            .min()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn watched(&mut self, event: Event<Pod>, now: Instant) {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                // After a restored backup versions start over, so a list is always believed.
                for tracked in self.pods.values_mut() {
                    tracked.facts.version = 0;
                }
            }
            Event::InitApply(pod) => {
                let key = PodKey::of(&pod);
                if let Some(listed) = &mut self.listed {
                    listed.insert(key);
                }
                self.observe(&pod, now);
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.pods.retain(|key, _| listed.contains(key));
                }
            }
            Event::Apply(pod) => self.observe(&pod, now),
            Event::Delete(pod) => {
                let key = PodKey::of(&pod);
                let uid = pod.metadata.uid.unwrap_or_default();
                if self
                    .pods
                    .get(&key)
                    .is_some_and(|tracked| tracked.facts.uid == uid)
                {
                    self.pods.remove(&key);
                }
            }
        }
    }

    fn done(&mut self, key: &PodKey, uid: &str, result: Result, now: Instant) {
        let tracked = self
            .pods
            .get_mut(key)
            .filter(|tracked| tracked.facts.uid == uid);
        let Some(tracked) = tracked else { return };
        tracked.in_flight = false;
        match result {
            Result::Done(Some(pod)) => self.observe(&pod, now),
            Result::Done(None) => {}
            Result::Failed => {
                self.plan(key, now);
                if let Some(Tracked {
                    planned: Some((_, due)),
                    ..
                }) = self.pods.get_mut(key)
                {
                    *due = now + RETRY;
                }
            }
        }
    }

    fn observe(&mut self, pod: &Pod, now: Instant) {
        let key = PodKey::of(pod);
        let facts = Facts::of(pod);
        match self.pods.get_mut(&key) {
            Some(tracked) if tracked.facts.uid == facts.uid => {
                if facts.version < tracked.facts.version {
                    return;
                }
                tracked.facts = facts;
            }
            _ => {
                let tracked = Tracked {
                    facts,
                    planned: None,
                    in_flight: false,
                };
                self.pods.insert(key.clone(), tracked);
            }
        }
        self.plan(&key, now);
    }

    fn replan_all(&mut self, now: Instant) {
        let keys: Vec<_> = self.pods.keys().cloned().collect();
        for key in keys {
            self.plan(&key, now);
        }
    }

    /// Plans the Pod's next step; one that is planned already keeps its time.
    fn plan(&mut self, key: &PodKey, now: Instant) {
        let Some(tracked) = self.pods.get(key) else {
            return;
        };
        let next = if self.nodes.contains(&tracked.facts.node) {
            next_step(&tracked.facts, self.behaviour(key, &tracked.facts))
        } else {
            None
        };
        let kept = tracked.planned.filter(|(step, _)| Some(*step) == next);
        let planned = match (kept, next) {
            (Some(kept), _) => Some(kept),
            (None, Some(step)) => Some((step, now + self.delay(step))),
            (None, None) => None,
        };
        if let Some(tracked) = self.pods.get_mut(key) {
            tracked.planned = planned;
        }
    }

    fn behaviour(&self, key: &PodKey, facts: &Facts) -> PodBehaviour {
        let mut latest_first = self.behaviours.iter().rev();
        let set = latest_first.find(|(selector, _)| selector.selects(key, facts));
        set.map_or(PodBehaviour::Ready, |(_, behaviour)| *behaviour)
    }

    fn delay(&mut self, step: Step) -> Duration {
        let (range, factor) = match step {
            Step::Run { .. } => (&self.delays.start_ms, 1),
            Step::Finish { .. } => (&self.delays.finish_ms, 1),
            Step::Crash { restarts } => (&self.delays.crash_ms, 1 << restarts.clamp(0, 16)),
            Step::Remove => (&self.delays.remove_ms, 1),
        };
        let span = range.end().saturating_sub(*range.start()) + 1;
        let start = *range.start();
        Duration::from_millis((start + self.draw() % span) * factor)
    }

    /// The next number of the seed's sequence (splitmix64).
    fn draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.draws;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn next_step(facts: &Facts, behaviour: PodBehaviour) -> Option<Step> {
    if facts.deleting {
        return step_out(facts);
    }
    let running = facts.phase == Phase::Running;
    match (facts.phase, behaviour) {
        (Phase::Ended, _) | (_, PodBehaviour::NeverStart) => None,
        (_, PodBehaviour::Ready) if running && facts.ends => Some(Step::Finish { succeeded: true }),
        (_, PodBehaviour::Ready) => (!running || !facts.ready).then_some(Step::Run { ready: true }),
        (_, PodBehaviour::NeverReady) => {
            (!running || facts.ready).then_some(Step::Run { ready: false })
        }
        (_, PodBehaviour::CrashLoop) if facts.ends => Some(if running {
            Step::Finish { succeeded: false }
        } else {
            Step::Run { ready: true }
        }),
        (_, PodBehaviour::CrashLoop) => {
            let loud = !running || facts.ready || facts.restarts < RESTARTS_MAX;
            loud.then_some(Step::Crash {
                restarts: facts.restarts + 1,
            })
        }
    }
}

/// A Pod that is to end says how it ended before it goes, because its Job waits for that.
fn step_out(facts: &Facts) -> Option<Step> {
    if facts.ends && facts.phase != Phase::Ended {
        return Some(Step::Finish { succeeded: false });
    }
    (!facts.released).then_some(Step::Remove)
}

#[cfg(test)]
mod tests;
