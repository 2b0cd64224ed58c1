//! Works: when one may run, what its end means, and what a watch's news about its object mean.
//!
//! A work runs only when its record is durable, its bodies are here and its kind has been seen whole
//! (unless it is new, so that nothing of it can be there). Drift is repaired because a watch says so.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flotilla_policy::model::manifest;
use flotilla_proto::digest::Digest;
use flotilla_proto::ids::{Generation, WorkId};
use flotilla_proto::v1;
use serde_json::Value;

use super::{Now, Output, Session, Watched};
use crate::apply::queue::Ended;
use crate::apply::{Done, Job, Outcome};
use crate::decisions::{self, marks};
use crate::ledger::records::{Record, Removal};
use crate::member::{Gvk, Seen, version_of};
use crate::observe::index::{Change, Name};
use crate::status::Report;

/// An object of a Gone work that comes back is the late write of a former leader only so long after.
const REAPPEAR_MAX: Duration = Duration::from_secs(600);

/// What this process knows of a work.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Its last delta is settled.
    pub(super) settled: bool,
    /// The hub wanted something that was refused as older.
    pub(super) held_back: bool,
    applied: Option<Applied>,
    /// Content and look of the object when it was last found as wanted.
    verified: Option<(Digest, Look)>,
    look_first: bool,
    reappeared: bool,
}

#[derive(Clone, Debug, Default)]
struct Applied {
    generation: Generation,
    ok: bool,
    message: String,
    changed: Vec<String>,
}

/// What of an object changes when somebody changes what it should be, but not with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    uid: String,
    version: String,
    marks: u64,
}

fn look(object: &Value) -> Look {
    let generation = manifest::int(object, &["metadata", "generation"]);
    let has_status = object.get("status").is_some();
    let mut hasher = DefaultHasher::new();
    manifest::labels(object).hash(&mut hasher);
    manifest::annotations(object).hash(&mut hasher);
    let deleting = manifest::text(object, &["metadata", "deletionTimestamp"]);
    deleting.hash(&mut hasher);
    Look {
        uid: manifest::uid(object).to_owned(),
        version: match generation {
            // Not every kind with a generation counts its spec in it; those with a status do.
            Some(generation) if generation > 0 && has_status => format!("g{generation}"),
            _ => version_of(object).to_owned(),
        },
        marks: hasher.finish(),
    }
}

impl Session {
    pub(super) fn progress(&mut self, id: WorkId) -> &mut Progress {
        self.works.entry(id).or_default()
    }

    /// The queue says that it is a work's turn.
    pub(super) fn start(&mut self, id: WorkId, now: Now) {
        match self.job(id) {
            Some(job) => self.out.push_back(Output::Run(Box::new(job))),
            None => self.queue.finish(id, Ended::Parked, now.at),
        }
    }

    /// The job, when there is anything to do and everything it needs is here; whatever lacks wakes
    /// the work when it comes.
    fn job(&mut self, id: WorkId) -> Option<Job> {
        let record = self.records.get(id)?;
        let held = self.all_held || self.held.contains(&id);
        if held && !record.is_wanted() {
            return None;
        }
        if !self.is_durable(id) || !record.bodies().all(|d| self.fetch.has(d)) {
            return None;
        }
        if !record.is_wanted() && record.removal.is_none() {
            return None;
        }
        let gvk = record.gvk();
        let asked = self.watched.get(&gvk) == Some(&Watched::Asked);
        if asked && !self.fresh.contains(&id) {
            return None;
        }
        let record = record.clone();
        let observed = self
            .index
            .get(&gvk, &Name::of_ref(&record.object()))
            .cloned();
        let progress = self.works.entry(id).or_default();
        let same = progress.settled
            && record.is_wanted()
            && observed.as_ref().is_some_and(|object| {
                progress.verified.as_ref() == Some(&(record.content(), look(object)))
            });
        if same {
            return None;
        }
        Some(Job {
            observed,
            look_first: progress.look_first,
            failures: self.queue.failures(id),
            record,
        })
    }

    /// A job ended.
    pub(super) fn done(&mut self, done: Done, now: Now) {
        let id = done.id;
        let current = self.records.get(id).is_some_and(|record| {
            record.generation == done.record.generation
                && record.is_wanted() == done.record.is_wanted()
                && record.removal == done.record.removal
        });
        let ended = match done.outcome {
            Outcome::Applied {
                object, changed, ..
            } => {
                if current {
                    self.applied(&done.record, object, changed, now);
                }
                Ended::Well
            }
            Outcome::Removed => {
                if current {
                    self.removed(id, now);
                }
                Ended::Well
            }
            Outcome::Terminating | Outcome::NotLeader => Ended::Parked,
            Outcome::Refused {
                class,
                detail,
                foreign,
            } => {
                if current {
                    self.progress(id).look_first = foreign;
                    self.refuse(&done.record, class, &detail);
                    self.settle(id, false);
                    self.failed(&done.record, detail, now);
                }
                Ended::Badly
            }
            Outcome::Retry { detail, after } => {
                if current && self.queue.failures(id) > 0 {
                    self.failed(&done.record, detail, now);
                }
                after.map_or(Ended::Badly, Ended::After)
            }
            Outcome::NoBody => {
                let lost = done.record.bodies().filter(|_| current);
                for digest in lost {
                    self.fetch.lost(digest, id);
                }
                Ended::Parked
            }
        };
        self.queue.finish(id, ended, now.at);
    }

    fn settle(&mut self, id: WorkId, removed: bool) {
        self.acks.settle(id, removed);
        self.progress(id).settled = true;
    }

    fn applied(&mut self, record: &Record, object: Option<Value>, changed: Vec<String>, now: Now) {
        let id = record.id;
        self.settle(id, false);
        if self.records.get(id).is_some_and(|r| r.refused.is_some()) {
            self.records.note(id, |r| r.refused = None);
            self.changed_later(id);
        }
        self.fresh.remove(&id);
        let content = record.content();
        let progress = self.progress(id);
        progress.look_first = false;
        progress.verified = object.as_ref().map(|object| (content, look(object)));
        progress.applied = Some(Applied {
            generation: record.generation,
            ok: true,
            message: if record.row.suspend {
                "suspended: neither created nor updated".to_owned()
            } else {
                String::new()
            },
            changed,
        });
        let observed = object.map(Arc::new);
        self.report(id, observed.as_ref(), now);
        // The watch may have shown something newer than the answer.
        let seen = self
            .index
            .get(&record.gvk(), &Name::of_ref(&record.object()));
        if let Some(seen) = seen.cloned() {
            self.report_newer(id, observed.as_ref(), &seen, now);
        }
    }

    fn report_newer(
        &mut self,
        id: WorkId,
        answer: Option<&Arc<Value>>,
        seen: &Arc<Value>,
        now: Now,
    ) {
        let version = |object: &Value| version_of(object).parse::<u64>().unwrap_or(0);
        if answer.is_none_or(|answer| version(answer) <= version(seen)) {
            self.report(id, Some(seen), now);
        }
    }

    fn failed(&mut self, record: &Record, message: String, now: Now) {
        let id = record.id;
        if record.is_wanted() {
            self.progress(id).applied = Some(Applied {
                generation: record.generation,
                ok: false,
                message,
                changed: Vec::new(),
            });
            let seen = self
                .index
                .get(&record.gvk(), &Name::of_ref(&record.object()));
            let seen = seen.cloned();
            self.report(id, seen.as_ref(), now);
        }
    }

    fn removed(&mut self, id: WorkId, now: Now) {
        self.records.note(id, |record| {
            record.removal = None;
            record.refused = None;
        });
        self.changed_later(id);
        self.settle(id, true);
        self.statuses.forget(id);
        self.works.remove(&id);
        self.fresh.remove(&id);
        self.gone.retain(|_, at| now.at < *at + REAPPEAR_MAX);
        self.gone.insert(id, now.at);
    }

    /// Says how a work is, by its last outcome and its object.
    fn report(&mut self, id: WorkId, object: Option<&Arc<Value>>, now: Now) {
        let Some(applied) = self.works.get(&id).and_then(|p| p.applied.clone()) else {
            return;
        };
        let mut report = Report {
            generation: applied.generation,
            applied: applied.ok,
            message: applied.message,
            health: v1::HealthState::Unknown,
            changed: applied.changed,
            ..Report::default()
        };
        if let Some(object) = object {
            (report.health, report.health_reason) = decisions::health(object);
            report.status = decisions::status(object).into();
        }
        self.statuses.set(id, report, now.at);
    }

    /// A watch saw something.
    pub(super) fn seen(&mut self, gvk: &Gvk, seen: Seen, now: Now) {
        let whole = matches!(seen, Seen::All(_));
        for change in self.index.take(gvk, seen) {
            self.change(gvk, &change, now);
        }
        if whole {
            self.watched.insert(gvk.clone(), Watched::Synced);
            self.wake_kind(gvk);
        }
    }

    fn change(&mut self, gvk: &Gvk, change: &Change, now: Now) {
        let id = change.id;
        let Some(record) = self.records.get(id) else {
            return;
        };
        // A controller may have copied our label to an object of its own.
        let object = record.object();
        if Gvk::of_ref(&object) != *gvk || Name::of_ref(&object) != change.name {
            return;
        }
        if record.is_wanted() {
            let content = record.content();
            let verified = self.works.get(&id).and_then(|p| p.verified.as_ref());
            let same = change.object.as_ref().is_some_and(|object| {
                verified.is_some_and(|known| *known == (content, look(object)))
            });
            self.report(id, change.object.as_ref(), now);
            if !same {
                self.enqueue(id, false);
            }
        } else if record.removal.is_some() {
            self.enqueue(id, change.object.is_none());
        } else if let Some(object) = &change.object {
            self.reappeared(id, object, now);
        }
    }

    /// An object of a work that is gone: the late write of a former leader is deleted again, anything
    /// else is only reported.
    fn reappeared(&mut self, id: WorkId, object: &Arc<Value>, now: Now) {
        let path = ["metadata", "annotations", marks::FENCE];
        let fence: Option<u64> = manifest::text(object, &path).parse().ok();
        let soon = self
            .gone
            .get(&id)
            .is_some_and(|at: &Instant| now.at < *at + REAPPEAR_MAX);
        if soon && fence.is_some_and(|fence| fence < self.cfg.fence) {
            self.records.note(id, |record| {
                record.removal = Some(Removal {
                    uid: String::new(),
                    preserve: false,
                });
            });
            self.changed_later(id);
            return self.enqueue(id, true);
        }
        if !std::mem::replace(&mut self.progress(id).reappeared, true) {
            let object = self.records.get(id).and_then(|r| r.row.object.clone());
            self.say(v1::agent_frame::Frame::Found(v1::Found {
                kind: v1::FoundKind::Reappeared.into(),
                id: id.to_wire(),
                object,
                detail: "an object of a deleted work is there again; it is left alone".to_owned(),
            }));
        }
    }

    /// The member does not serve a kind.
    pub(super) fn no_such_kind(&mut self, gvk: &Gvk) {
        self.watched.insert(gvk.clone(), Watched::Absent);
        self.wake_kind(gvk);
    }

    /// Kinds came or went: those that lacked are asked for again.
    pub(super) fn kinds_changed(&mut self) {
        for (gvk, watched) in &mut self.watched {
            if *watched == Watched::Absent {
                *watched = Watched::Asked;
                self.out.push_back(Output::Watch(gvk.clone()));
            }
        }
    }

    fn wake_kind(&mut self, gvk: &Gvk) {
        let ids: Vec<_> = self
            .records
            .iter()
            .filter(|r| r.gvk() == *gvk)
            .map(|r| r.id)
            .collect();
        for id in ids {
            self.enqueue(id, true);
        }
    }
}
