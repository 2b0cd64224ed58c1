//! What is said about the share: which works, in which order, and when everything has been said.
//!
//! A derived removal passes the brake first; in Recovery nothing is deleted or downgraded until a person
//! releases it. A Checkpoint is a consistent cut: never while anything waits or is held.

use std::collections::BTreeSet;
use std::time::Instant;

use flotilla_proto::ids::WorkId;
use flotilla_proto::limits::BRAKE_WINDOW;
use flotilla_proto::v1;
use flotilla_proto::v1::delta::Op;
use flotilla_proto::v1::hub_frame::Frame;
use prost::Message;

use super::compare::Compare;
use super::cursor::Cursor;
use super::{Fact, HoldWhy, Output, Phase, Session, lineage, outbox};
use crate::epochs::EpochView;
use crate::fleet::share::{Body, Said};

impl Session {
    /// Decides about a work that changed: say it, hold it, or forget it.
    pub(super) fn admit(&mut self, id: WorkId, now: Instant) {
        let Some(said) = self.works.get(&id).cloned() else {
            return self.slots.drop(id);
        };
        let held = self.slots.held().get(&id).copied();
        let approved = self.memory().approved.contains_key(&id);
        match &said {
            Said::Upsert(_) if held == Some(HoldWhy::RecoveryDiffers) && !approved => {}
            Said::Tombstone(_) if self.recovery && !approved => {
                self.hold(id, HoldWhy::RecoveryRemoval);
            }
            Said::Tombstone(removal) if removal.derived && !approved => {
                self.admit_derived(id, &said, now);
            }
            _ => self.slots.push(id, &said),
        }
    }

    fn admit_derived(&mut self, id: WorkId, said: &Said, now: Instant) {
        if now < self.cfg.led_since + BRAKE_WINDOW {
            return self.hold(id, HoldWhy::NewLeader);
        }
        self.slots.drop(id);
        let waiting: Vec<_> = self.slots.pending().collect();
        let waiting: Vec<_> = waiting
            .into_iter()
            .filter(|id| self.is_derived(*id))
            .collect();
        let works = self.works.len();
        let passes = self.memory().brake.admits(waiting.len(), works, now);
        if passes {
            return self.slots.push(id, said);
        }
        // All of them: the first few of a mistake are no better than the rest.
        for id in waiting {
            self.slots.hold(id, HoldWhy::Brake);
        }
        self.hold(id, HoldWhy::Brake);
    }

    pub(super) fn hold(&mut self, id: WorkId, why: HoldWhy) {
        let known = self.slots.held().get(&id) == Some(&why);
        self.slots.hold(id, why);
        if !known {
            let same = self.slots.held().values().filter(|w| **w == why);
            let count = same.count();
            self.fact(Fact::Held { why, count });
        }
    }

    /// The hub's first minute as leader is over.
    pub(super) fn admit_deferred(&mut self, now: Instant) {
        let held = self.slots.held().iter();
        let deferred: Vec<_> = held
            .filter(|(_, why)| **why == HoldWhy::NewLeader)
            .map(|(id, _)| *id)
            .collect();
        for id in deferred {
            self.admit(id, now);
        }
    }

    pub(super) fn has_deferred(&self) -> bool {
        let mut held = self.slots.held().values();
        held.any(|why| *why == HoldWhy::NewLeader)
    }

    /// A person lets held works go on.
    pub(super) fn release(&mut self, approval: &str, ids: Option<&BTreeSet<WorkId>>) {
        let held = self.slots.held().keys().copied();
        let freed: BTreeSet<_> = match ids {
            // Also what the agent itself holds back: it is said again, with the release.
            Some(ids) => ids.clone(),
            None => held.collect(),
        };
        {
            let mut memory = self.memory();
            memory.brake.release();
            let approvals = freed.iter().map(|id| (*id, approval.to_owned()));
            memory.approved.extend(approvals);
        }
        for id in freed {
            if let Some(said) = self.works.get(&id).cloned() {
                self.slots.push(id, &said);
            }
        }
        self.unchecked = true;
    }

    /// Says whatever can be said now.
    pub(super) fn advance(&mut self, now: Instant) {
        while matches!(self.phase, Phase::Open) && self.outbox.has_room() {
            if let Some(frame) = self.outbox.pop_control() {
                self.emit(frame, now);
                continue;
            }
            // Its answer comes before anything else is said, or bodies would never get their turn.
            if self.reading.is_some() {
                break;
            }
            let deltas_wait = self.slots.is_pending() && self.may_say();
            if let Some(want) = self.outbox.pop_want(deltas_wait) {
                self.reading = Some(want);
                self.out.push_back(Output::ReadBody(want.digest));
                continue;
            }
            if deltas_wait && self.say_next(now) {
                continue;
            }
            if !deltas_wait && self.checkpoint(now) {
                continue;
            }
            break;
        }
    }

    /// In Recovery nothing is said before the member's inventory is known.
    fn may_say(&self) -> bool {
        !self.recovery || matches!(self.compare, Compare::Idle)
    }

    /// Says one work; false when nothing was pending after all.
    fn say_next(&mut self, now: Instant) -> bool {
        let Some(id) = self.slots.pop() else {
            return false;
        };
        let Some(said) = self.works.get(&id).cloned() else {
            return true;
        };
        let approval = self.memory().approved.get(&id).cloned();
        if let Some(approval) = approval {
            let ids = vec![id.to_wire()];
            self.emit(Frame::Release(v1::Release { approval, ids }), now);
        }
        let n = self.cfg.numbers.next();
        let term = self.epochs.as_ref().map_or(0, |view| view.own().term);
        let generation = Some(v1::Generation { term, n });
        let op = match said {
            Said::Nothing => return true,
            Said::Upsert(assignment) => Op::Upsert(v1::Upsert {
                id: id.to_wire(),
                generation,
                made_at: assignment.made_at,
                template_digest: assignment.template.digest.to_wire(),
                overrides_digest: assignment
                    .overrides
                    .as_ref()
                    .map(|body| body.digest.to_wire())
                    .unwrap_or_default(),
                row: Some(assignment.row.clone()),
            }),
            Said::Tombstone(removal) => {
                if removal.derived && !self.memory().approved.contains_key(&id) {
                    self.memory().brake.count(now);
                }
                self.said_tombstones.insert((id, removal.made_at));
                Op::Tombstone(v1::Tombstone {
                    id: id.to_wire(),
                    generation,
                    made_at: removal.made_at,
                    uid: removal.template_uid.clone(),
                    reason: removal.reason.clone(),
                    preserve: removal.preserve,
                    object: Some(removal.object.clone()),
                    predecessors: removal.predecessors.clone(),
                })
            }
        };
        let delta = v1::Delta {
            n,
            prev_n: self.last_n,
            op: Some(op),
        };
        self.last_n = n;
        self.unchecked = true;
        self.emit(Frame::Delta(delta), now);
        true
    }

    /// Says that everything has been said, when it has.
    fn checkpoint(&mut self, now: Instant) -> bool {
        let settled = matches!(self.compare, Compare::Idle) && !self.slots.is_holding();
        let Some(epoch) = self.epochs.as_ref().map(EpochView::own) else {
            return false;
        };
        if !self.unchecked || !settled || self.slots.is_pending() {
            return false;
        }
        let set_digest = self.set.digest();
        let cursor = Cursor {
            nonce: lineage::nonce_bytes(&epoch.nonce),
            term: epoch.term,
            revision: self.revision,
            set_digest,
        };
        let checkpoint = v1::Checkpoint {
            n: self.last_n,
            revision: self.revision,
            set_digest: set_digest.to_wire(),
            cursor: cursor.seal(&self.cfg.cursor_key, &self.cfg.cluster_uid),
        };
        self.unchecked = false;
        self.emit(Frame::Checkpoint(checkpoint), now);
        if self.recovery {
            // The agent keeps its careful mode for the rest of a session: the next one is an ordinary one.
            self.fact(Fact::Recovered);
            self.close("recovered", None, false);
        }
        true
    }

    pub(super) fn body(&mut self, body: Option<&Body>, now: Instant) {
        let Some(want) = self.reading.take() else {
            return;
        };
        let (chunk, next) = outbox::chunk(want, body);
        if let Some(next) = next {
            self.outbox.again(next);
        }
        self.emit(Frame::BodyChunk(chunk), now);
    }

    pub(super) fn emit(&mut self, frame: Frame, now: Instant) {
        let frame = v1::HubFrame { frame: Some(frame) };
        let bytes = frame.encoded_len();
        self.spoke_at = now;
        self.outbox.queued(bytes);
        self.out.push_back(Output::Send { frame, bytes });
    }

    fn is_derived(&self, id: WorkId) -> bool {
        matches!(self.works.get(&id), Some(Said::Tombstone(r)) if r.derived)
    }
}
