//! One delta at a time: what it may do to a record, and what is answered when it may not.
//!
//! Nothing is deleted but by a tombstone with the record's own UID; nothing older overwrites what is
//! newer; what is refused is answered, and does not stop what follows.

use flotilla_proto::digest::{Digest, content};
use flotilla_proto::ids::{Generation, WorkId};
use flotilla_proto::v1;
use flotilla_proto::v1::agent_frame::Frame as ToHub;
use flotilla_proto::v1::delta::Op;

use super::{Fact, Now, Session, WINDOW_MAX};
use crate::ledger::records::{Record, Refusal, Removal, State};
use crate::status::cut;

/// The work a delta is about.
pub(super) fn id_of(delta: &v1::Delta) -> Option<WorkId> {
    match delta.op.as_ref()? {
        Op::Upsert(upsert) => WorkId::from_wire(&upsert.id),
        Op::Tombstone(tombstone) => WorkId::from_wire(&tombstone.id),
    }
}

/// Work and content of an upsert.
pub(super) fn content_of(delta: &v1::Delta) -> Option<(WorkId, Digest)> {
    let Some(Op::Upsert(upsert)) = &delta.op else {
        return None;
    };
    let template = Digest::from_wire(&upsert.template_digest)?;
    let overrides = Digest::from_wire(&upsert.overrides_digest);
    let row = upsert.row.clone().unwrap_or_default();
    let id = WorkId::from_wire(&upsert.id)?;
    Some((id, content(template, overrides, &row)))
}

impl Session {
    /// A delta in the stream: the chain must hold.
    pub(super) fn delta(&mut self, delta: v1::Delta, now: Now) {
        let Some(link) = &mut self.link else {
            return;
        };
        if link.last_n.is_some_and(|n| n != delta.prev_n) || delta.n <= delta.prev_n {
            return self.break_off("a gap between deltas");
        }
        link.last_n = Some(delta.n);
        let n = delta.n;
        self.accept(delta, n, now);
    }

    /// Takes in one delta of the stream or of a snapshot.
    pub(super) fn accept(&mut self, delta: v1::Delta, n: u64, now: Now) {
        self.acks.reached(n);
        if let Some(id) = id_of(&delta) {
            self.held.remove(&id);
        }
        match delta.op {
            Some(Op::Upsert(upsert)) => self.upsert(upsert, n, now),
            Some(Op::Tombstone(tombstone)) => self.tombstone(&tombstone, n, now),
            // An operation of a later version, without the id it is about: only counted.
            None => self.fact(Fact::Nack),
        }
    }

    fn upsert(&mut self, upsert: v1::Upsert, n: u64, now: Now) {
        let Some(id) = WorkId::from_wire(&upsert.id) else {
            return self.break_off("an upsert without id");
        };
        let generation: Generation = upsert.generation.unwrap_or_default().into();
        let row = upsert.row.clone().unwrap_or_default();
        let Some(template) = Digest::from_wire(&upsert.template_digest) else {
            let detail = "the upsert names no template".to_owned();
            return self.nack(id, generation, v1::NackClass::Invalid, detail);
        };
        let new = Record {
            id,
            generation,
            made_at: upsert.made_at,
            template,
            overrides: Digest::from_wire(&upsert.overrides_digest),
            row,
            state: State::Live,
            removal: None,
            refused: None,
        };
        if let Some(old) = self.records.get(id) {
            if old.is_wanted() && old.content() == new.content() {
                return self.confirm(id, n, now);
            }
            if let Some(detail) = self.newer(old, &new) {
                self.progress(id).held_back = true;
                return self.nack(id, generation, v1::NackClass::Held, detail);
            }
        }
        self.fact(Fact::Upsert);
        self.progress(id).held_back = false;
        if self.records.get(id).is_none_or(|old| !old.is_wanted()) {
            self.fresh.insert(id);
        }
        let gvk = new.gvk();
        self.put(new, n, now);
        self.acks.expect(id, n, None);
        self.want_bodies(id);
        self.watch(gvk);
    }

    /// The same content again: nothing changes, but the work counts as known, and as settled only
    /// when it is.
    fn confirm(&mut self, id: WorkId, n: u64, now: Now) {
        self.progress(id).held_back = false;
        if let Some(old) = self.records.get(id).filter(|r| r.state == State::Orphan) {
            let record = Record {
                state: State::Live,
                ..old.clone()
            };
            self.records.put(record);
            self.changed.insert(id);
            self.flush_by(now.at + WINDOW_MAX);
        }
        if self.works.get(&id).is_none_or(|p| !p.settled) {
            self.acks.expect(id, n, None);
        }
    }

    /// Why the record must not be replaced by what was said: it is newer.
    fn newer(&self, old: &Record, new: &Record) -> Option<String> {
        if self.released.contains(&old.id) {
            return None;
        }
        let gone = matches!(old.state, State::Gone { .. });
        if new.made_at < old.made_at || gone && new.made_at == old.made_at {
            let what = if gone { "deletion" } else { "decision" };
            return Some(format!(
                "this cluster holds a newer {what} (made at {}, yours at {}); release it to go on",
                old.made_at, new.made_at
            ));
        }
        (new.generation < old.generation).then(|| {
            format!(
                "this cluster holds generation {}, yours is {}",
                old.generation, new.generation
            )
        })
    }

    fn tombstone(&mut self, tombstone: &v1::Tombstone, n: u64, now: Now) {
        let Some(id) = WorkId::from_wire(&tombstone.id) else {
            return self.break_off("a tombstone without id");
        };
        let generation: Generation = tombstone.generation.unwrap_or_default().into();
        if let Some(detail) = self.spared(id, tombstone) {
            self.acks.reached(n);
            return self.nack(id, generation, v1::NackClass::Held, detail);
        }
        self.fact(Fact::Tombstone);
        let old = self.records.get(id);
        let done = old.is_some_and(|r| !r.is_wanted() && r.removal.is_none());
        let uid = tombstone.uid.clone();
        let known = old.is_some_and(Record::is_wanted);
        let record = Record {
            id,
            generation,
            made_at: old.map_or(0, |r| r.made_at).max(tombstone.made_at),
            template: old.map(|r| r.template).unwrap_or_default(),
            overrides: None,
            row: v1::Row {
                object: tombstone
                    .object
                    .clone()
                    .or_else(|| old.and_then(|r| r.row.object.clone())),
                template_uid: uid.clone(),
                ..v1::Row::default()
            },
            state: State::Gone { at_unix: now.unix },
            removal: (!done).then_some(Removal {
                // What we applied ourselves may carry the UID of a template that a restore replaced.
                uid: if known { String::new() } else { uid },
                preserve: tombstone.preserve || old.is_some_and(|r| r.row.preserve),
            }),
            refused: None,
        };
        self.acks.expect(id, n, Some(tombstone.made_at));
        if done {
            // Gone already: only the memory of it is refreshed, with the next window.
            self.records.put(record);
            self.changed.insert(id);
            self.acks.settle(id, true);
            return;
        }
        let gvk = record.gvk();
        self.put(record, n, now);
        self.watch(gvk);
    }

    /// Why a tombstone must not take effect.
    fn spared(&self, id: WorkId, tombstone: &v1::Tombstone) -> Option<String> {
        if self.released.contains(&id) {
            return None;
        }
        let recovery = self.link.as_ref().is_some_and(|link| link.recovery);
        let old = self.records.get(id)?;
        if recovery && old.is_wanted() {
            return Some("the hub is in recovery; release this deletion to go on".to_owned());
        }
        if !old.is_wanted() {
            return None;
        }
        let own = &old.row.template_uid;
        if *own != tombstone.uid && !tombstone.predecessors.contains(own) {
            return Some(format!(
                "the object was made from the template with UID {}, not {}",
                old.row.template_uid, tombstone.uid
            ));
        }
        (tombstone.made_at < old.made_at).then(|| {
            format!(
                "this cluster holds a newer decision (made at {}, the deletion at {})",
                old.made_at, tombstone.made_at
            )
        })
    }

    fn put(&mut self, record: Record, n: u64, now: Now) {
        let id = record.id;
        self.records.put(record);
        self.changed.insert(id);
        self.progress(id).settled = false;
        if let Some(link) = &self.link {
            self.marks.high_water = v1::HighWater {
                nonce: link.epoch.nonce.clone(),
                term: link.epoch.term,
                n,
                revision: link.revision,
            };
        }
        self.flush_by(now.at + WINDOW_MAX);
    }

    /// Answers that a work is refused, and remembers it with the next write.
    pub(super) fn nack(
        &mut self,
        id: WorkId,
        generation: Generation,
        class: v1::NackClass,
        detail: String,
    ) {
        self.fact(Fact::Nack);
        let detail = cut(&detail);
        self.say(ToHub::Nack(v1::Nack {
            id: id.to_wire(),
            generation: Some(generation.into()),
            class: class.into(),
            detail,
        }));
    }

    /// Remembers a refusal and says it, once per text.
    pub(super) fn refuse(&mut self, record: &Record, class: v1::NackClass, detail: &str) {
        let refusal = Refusal {
            class,
            detail: cut(detail),
        };
        let known = self.records.get(record.id);
        let same = known.is_some_and(|r| r.refused.as_ref() == Some(&refusal));
        let pending = self.works.get(&record.id).is_none_or(|p| !p.settled);
        self.records.note(record.id, |r| r.refused = Some(refusal));
        if !same || pending {
            self.changed_later(record.id);
            self.nack(record.id, record.generation, class, detail.to_owned());
        }
    }

    /// A change that may wait for the next window: losing it costs one more try.
    pub(super) fn changed_later(&mut self, id: WorkId) {
        self.later.insert(id);
    }

    /// After a reconnect the hub hears again what is refused.
    pub(super) fn say_again(&mut self) {
        let refused: Vec<_> = self
            .records
            .iter()
            .filter_map(|r| Some((r.id, r.generation, r.refused.clone()?)))
            .collect();
        for (id, generation, refusal) in refused {
            self.nack(id, generation, refusal.class, refusal.detail);
        }
    }
}
