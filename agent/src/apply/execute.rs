//! Carries a job out: render, look, decide, write, and again until nothing is left to do.
//!
//! Idempotent and level-triggered: it may be stopped anywhere and run again. Says how it went; what
//! that means for hub and queue is the session's business.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flotilla_policy::model::manifest;
use flotilla_proto::ids::WorkId;
use flotilla_proto::v1::NackClass;
use serde_json::{Value, json};

use super::compare::Difference;
use super::decide::{self, Farewell, Sight, Step, Wish};
use super::{Done, Job, Outcome, compare, containers, fields};
use crate::decisions::{self, Asker, Desired, Unrendered};
use crate::ledger::bodies::Bodies;
use crate::ledger::records::Removal;
use crate::member::{At, Class, Kind, MemberApi, MemberError, Write, version_of};
use crate::metrics::Metrics;
use crate::observe::kinds::Kinds;

/// Steps of one job; more means that somebody else writes all the time.
const STEPS_MAX: usize = 8;
/// With this version an apply is a create: no object has it, and one that is not there needs none.
const ABSENT_VERSION: &str = "1";
/// A kind that is missing may be on its way; a work is refused only after this many tries.
const UNKNOWN_KIND_TRIES: u32 = 3;
/// Somebody wrote in between, again and again.
const CONTENDED_WAIT: Duration = Duration::from_secs(2);

/// What is needed to carry jobs out.
pub struct Executor {
    /// The member.
    pub member: Arc<dyn MemberApi>,
    /// Its kinds.
    pub kinds: Arc<Kinds>,
    /// Bodies.
    pub bodies: Arc<Bodies>,
    /// Who asks.
    pub asker: Asker,
    /// The agent's own namespace.
    pub namespace: String,
    /// Highest fence above ours that an object carried; the next reign begins above it.
    pub fence_seen: Arc<AtomicU64>,
    /// What is counted.
    pub metrics: Metrics,
    /// Differences that were still there in the answer to our own apply: the member's normalisation.
    pub normalised: Mutex<BTreeMap<WorkId, Vec<Difference>>>,
}

/// What was seen of the object so far.
enum Seen {
    Nothing,
    Absent,
    Watched(Arc<Value>),
    Read(Value),
}

impl Seen {
    fn sight(&self) -> Sight<'_> {
        match self {
            Self::Nothing => Sight::None,
            Self::Absent => Sight::Absent,
            Self::Watched(object) => Sight::Watched(object),
            Self::Read(object) => Sight::Read(object),
        }
    }

    fn object(&self) -> Option<&Value> {
        match self {
            Self::Nothing | Self::Absent => None,
            Self::Watched(object) => Some(object),
            Self::Read(object) => Some(object),
        }
    }
}

impl Executor {
    /// Carries one job out.
    pub async fn run(&self, job: Job) -> Done {
        let outcome = match &job.record.removal {
            Some(removal) => self.remove(&job, removal).await,
            None => self.upsert(&job).await,
        };
        let outcome = outcome.unwrap_or_else(|error| self.failed(&error, job.failures));
        self.metrics.outcome(&outcome);
        Done {
            id: job.record.id,
            record: job.record,
            outcome,
        }
    }

    async fn upsert(&self, job: &Job) -> Result<Outcome, MemberError> {
        if job.record.row.lapse_ms > 0 {
            let detail = "lapse is not supported by this agent";
            return Ok(refused(NackClass::Unsupported, detail));
        }
        let desired = match decisions::desired(&job.record, &self.bodies, &self.asker) {
            Ok(desired) => desired,
            Err(Unrendered::NoBody) => return Ok(Outcome::NoBody),
            Err(Unrendered::Broken(what)) => return Ok(refused(NackClass::Invalid, &what)),
        };
        let object = job.record.object();
        let kind = self.kinds.resolve(&job.record.gvk()).await?;
        let at = At::new(kind, &object.namespace, &object.name);
        self.converge(job, &at, desired).await
    }

    async fn converge(&self, job: &Job, at: &At, desired: Desired) -> Result<Outcome, MemberError> {
        let id = job.record.id;
        let mut seen = match &job.observed {
            Some(object) => Seen::Watched(Arc::clone(object)),
            None if job.look_first => self.look(at).await?,
            None => Seen::Nothing,
        };
        let mut wrote = false;
        for _ in 0..STEPS_MAX {
            let mut manifest = desired.manifest.clone();
            decisions::leave_out(&mut manifest, seen.object());
            let wish = Wish {
                id,
                manifest: &manifest,
                overwrite: desired.overwrite,
                suspend: job.record.row.suspend,
                fence: self.asker.fence,
            };
            let step = decide::upsert(&wish, seen.sight(), &|a, b| self.drift(id, a, b));
            tracing::debug!(%id, object = %at, ?step, "decided");
            match step {
                Step::Done => {
                    return Ok(Outcome::Applied {
                        object: seen.object().cloned(),
                        changed: desired.changed,
                        wrote,
                    });
                }
                Step::Refuse { class, detail } => {
                    return Ok(Outcome::Refused {
                        class,
                        detail,
                        foreign: true,
                    });
                }
                Step::Wait => return Ok(Outcome::Terminating),
                Step::Superseded { fence } => return Ok(self.superseded(fence)),
                Step::Look | Step::LookInside | Step::Delete(_) => seen = self.look(at).await?,
                Step::Create | Step::Apply { .. } | Step::Patch(_) => {
                    seen = self.write(id, at, manifest, step).await?;
                    wrote |= matches!(seen, Seen::Read(_));
                }
            }
        }
        Ok(contended())
    }

    /// What differs, but for what the member always makes of it.
    fn drift(&self, id: WorkId, manifest: &Value, object: &Value) -> Vec<Difference> {
        let mut found = all_differences(manifest, object);
        if !found.is_empty() {
            let normalised = self.normalised.lock();
            let normalised = normalised.unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = normalised.get(&id) {
                found.retain(|difference| !known.contains(difference));
            }
        }
        found
    }

    /// One write; whoever wrote in between is looked at first.
    async fn write(
        &self,
        id: WorkId,
        at: &At,
        mut manifest: Value,
        step: Step,
    ) -> Result<Seen, MemberError> {
        let (object, how) = match step {
            Step::Patch(patch) => (patch, Write::Merge),
            Step::Apply { version } => {
                set_version(&mut manifest, &version);
                (manifest, Write::ApplyForce)
            }
            _ => {
                set_version(&mut manifest, ABSENT_VERSION);
                (manifest, Write::ApplyForce)
            }
        };
        let mut answer = self.member.write(at, &object, how).await;
        if answer
            .as_ref()
            .is_err_and(|e| e.class == Class::NamespaceMissing)
        {
            self.make_namespace(&at.namespace).await?;
            answer = self.member.write(at, &object, how).await;
        }
        match answer {
            Ok(made) => {
                if how == Write::ApplyForce {
                    self.learn(id, &object, &made);
                }
                Ok(Seen::Read(made))
            }
            Err(e) if matches!(e.class, Class::Conflict | Class::Exists | Class::NotFound) => {
                self.look(at).await
            }
            Err(e) => Err(e),
        }
    }

    fn learn(&self, id: WorkId, applied: &Value, made: &Value) {
        let left = all_differences(applied, made);
        let mut normalised = self
            .normalised
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if left.is_empty() {
            normalised.remove(&id);
        } else {
            normalised.insert(id, left);
        }
    }

    async fn look(&self, at: &At) -> Result<Seen, MemberError> {
        let found = self.member.get(at).await?;
        Ok(found.map_or(Seen::Absent, Seen::Read))
    }

    /// Namespaces are made where objects go: bare, and never deleted with them.
    async fn make_namespace(&self, name: &str) -> Result<(), MemberError> {
        let at = At::new(Kind::namespace(), "", name);
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "resourceVersion": ABSENT_VERSION},
        });
        match self.member.write(&at, &object, Write::Apply).await {
            Err(e) if !matches!(e.class, Class::Exists | Class::Conflict) => Err(e),
            _ => Ok(()),
        }
    }

    async fn remove(&self, job: &Job, removal: &Removal) -> Result<Outcome, MemberError> {
        let object = job.record.object();
        if object.kind.is_empty() {
            return Ok(Outcome::Removed);
        }
        let kind = match self.kinds.resolve(&job.record.gvk()).await {
            Err(e) if e.class == Class::UnknownKind => return Ok(Outcome::Removed),
            other => other?,
        };
        let at = At::new(kind, &object.namespace, &object.name);
        let mut seen = match &job.observed {
            Some(object) => Seen::Watched(Arc::clone(object)),
            None => self.look(&at).await?,
        };
        let mut inside: Option<String> = None;
        for _ in 0..STEPS_MAX {
            let farewell = Farewell {
                id: job.record.id,
                uid: &removal.uid,
                preserve: removal.preserve,
                inside: inside.as_deref(),
                fence: self.asker.fence,
            };
            let step = decide::removal(&farewell, seen.sight());
            tracing::debug!(id = %job.record.id, object = %at, ?step, "decided");
            match step {
                Step::Done => return Ok(Outcome::Removed),
                Step::Wait => return Ok(Outcome::Terminating),
                Step::Superseded { fence } => return Ok(self.superseded(fence)),
                Step::Refuse { class, detail } => return Ok(refused(class, &detail)),
                Step::LookInside => inside = Some(self.inside(seen.object()).await?),
                Step::Patch(patch) => match self.member.write(&at, &patch, Write::Merge).await {
                    Ok(_) => return Ok(Outcome::Removed),
                    Err(e) if is_stale(&e) => seen = self.look(&at).await?,
                    Err(e) => return Err(e),
                },
                Step::Delete(only) => match self.member.delete(&at, &only).await {
                    Ok(crate::member::Deleted::Gone) => return Ok(Outcome::Removed),
                    Ok(crate::member::Deleted::Terminating) => return Ok(Outcome::Terminating),
                    Err(e) if is_stale(&e) => seen = self.look(&at).await?,
                    Err(e) => return Err(e),
                },
                Step::Look | Step::Create | Step::Apply { .. } => seen = self.look(&at).await?,
            }
        }
        Ok(contended())
    }

    async fn inside(&self, container: Option<&Value>) -> Result<String, MemberError> {
        let Some(container) = container else {
            return Ok(String::new());
        };
        self.kinds.refresh().await?;
        let kinds = self.kinds.all();
        let member = &*self.member;
        if manifest::kind(container) == "Namespace" {
            let name = manifest::name(container);
            containers::in_namespace(member, &kinds, &self.namespace, name).await
        } else {
            containers::of_kind(member, &kinds, container).await
        }
    }

    /// Another leads, or AgentState was lost together with its fence: either way this reign ends.
    fn superseded(&self, fence: u64) -> Outcome {
        self.fence_seen.fetch_max(fence, Ordering::Relaxed);
        Outcome::NotLeader
    }

    fn failed(&self, error: &MemberError, failures: u32) -> Outcome {
        let detail = error.to_string();
        let class = match error.class {
            Class::Invalid => NackClass::Invalid,
            Class::Denied => NackClass::Denied,
            Class::TooLarge => NackClass::TooLarge,
            Class::MemberPolicy => NackClass::MemberPolicy,
            Class::UnknownKind if failures >= UNKNOWN_KIND_TRIES => NackClass::Unsupported,
            Class::NotLeader => return Outcome::NotLeader,
            Class::RetryAfter(wait) => {
                return Outcome::Retry {
                    detail,
                    after: Some(wait),
                };
            }
            _ => {
                return Outcome::Retry {
                    detail,
                    after: None,
                };
            }
        };
        refused(class, &detail)
    }

    /// Forgets what was learned about works that are gone.
    pub fn retain(&self, wanted: impl Fn(WorkId) -> bool) {
        let mut normalised = self
            .normalised
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        normalised.retain(|id, _| wanted(*id));
    }
}

/// What is wanted and not there, and what is there of ours and not wanted any more.
fn all_differences(manifest: &Value, object: &Value) -> Vec<Difference> {
    let mut found = compare::differences(manifest, object);
    let left = fields::left_over(manifest, object).into_iter();
    found.extend(left.map(|path| (path, Value::Null)));
    found
}

fn set_version(manifest: &mut Value, version: &str) {
    let meta = manifest::map_mut(manifest, &["metadata"]);
    meta.insert("resourceVersion".into(), version.into());
    debug_assert!(!version_of(manifest).is_empty());
}

fn is_stale(error: &MemberError) -> bool {
    matches!(error.class, Class::Conflict | Class::NotFound)
}

fn refused(class: NackClass, detail: &str) -> Outcome {
    Outcome::Refused {
        class,
        detail: detail.to_owned(),
        foreign: false,
    }
}

fn contended() -> Outcome {
    Outcome::Retry {
        detail: "somebody else keeps changing the object".to_owned(),
        after: Some(CONTENDED_WAIT),
    }
}
