//! Statuses on their way up: the last value per work wins, the first change goes at once, then at
//! most one per work and second. What the hub has not got is said again after a reconnect.
//!
//! A machine without clock or socket; decides only when something is said, not what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use flotilla_proto::ids::{Generation, WorkId};
use flotilla_proto::limits::{STATUS_BYTES_MAX, STATUS_INTERVAL, TEXT_BYTES_MAX};
use flotilla_proto::v1;

/// Paths of one status; more are left out.
const CHANGED_MAX: usize = 64;

/// What is said about one work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Generation it is about.
    pub generation: Generation,
    /// Whether the manifest is in the member.
    pub applied: bool,
    /// Why not.
    pub message: String,
    /// Health.
    pub health: v1::HealthState,
    /// Why.
    pub health_reason: String,
    /// Status as JSON; empty = none.
    pub status: Bytes,
    /// Paths that overrides changed.
    pub changed: Vec<String>,
}

#[derive(Debug)]
struct Slot {
    report: Report,
    k: u64,
    said_at: Option<Instant>,
}

/// All statuses, and which are to be said.
#[derive(Debug, Default)]
pub struct Statuses {
    slots: BTreeMap<WorkId, Slot>,
    due: BTreeSet<(Instant, WorkId)>,
    due_at: BTreeMap<WorkId, Instant>,
    k: u64,
}

impl Statuses {
    /// Takes a new value; the same again is nothing new.
    pub fn set(&mut self, id: WorkId, report: Report, now: Instant) {
        let report = clamp(report);
        let said_at = match self.slots.get(&id) {
            Some(slot) if slot.report == report => return,
            Some(slot) => slot.said_at,
            None => None,
        };
        self.k += 1;
        let k = self.k;
        self.slots.insert(id, Slot { report, k, said_at });
        self.say(
            id,
            said_at.map_or(now, |at| (at + STATUS_INTERVAL).max(now)),
        );
    }

    /// The last value of a work.
    #[must_use]
    pub fn get(&self, id: WorkId) -> Option<&Report> {
        self.slots.get(&id).map(|slot| &slot.report)
    }

    /// Forgets a work that is gone.
    pub fn forget(&mut self, id: WorkId) {
        self.slots.remove(&id);
        self.silence(id);
    }

    /// A new session: the hub holds the first `k` of this fence; all after it are said again.
    pub fn resume(&mut self, k: u64, now: Instant) {
        let lacking: Vec<_> = self
            .slots
            .iter_mut()
            .filter(|(_, slot)| slot.k > k)
            .map(|(id, slot)| {
                slot.said_at = None;
                *id
            })
            .collect();
        for id in lacking {
            self.say(id, now);
        }
    }

    /// The next status that is due.
    pub fn poll(&mut self, fence: u64, now: Instant) -> Option<v1::Status> {
        let (at, id) = self.due.first().copied()?;
        if at > now {
            return None;
        }
        self.silence(id);
        let slot = self.slots.get_mut(&id)?;
        slot.said_at = Some(now);
        let report = slot.report.clone();
        Some(v1::Status {
            id: id.to_wire(),
            generation: Some(report.generation.into()),
            fence,
            k: slot.k,
            applied: report.applied,
            message: report.message,
            health: report.health.into(),
            health_reason: report.health_reason,
            status: report.status,
            changed: report.changed,
        })
    }

    /// When the next status is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn say(&mut self, id: WorkId, at: Instant) {
        if self.due_at.get(&id).is_some_and(|due| *due <= at) {
            return;
        }
        self.silence(id);
        self.due.insert((at, id));
        self.due_at.insert(id, at);
    }

    fn silence(&mut self, id: WorkId) {
        if let Some(at) = self.due_at.remove(&id) {
            self.due.remove(&(at, id));
        }
    }
}

fn clamp(mut report: Report) -> Report {
    report.message = cut(&report.message);
    report.health_reason = cut(&report.health_reason);
    report.changed.truncate(CHANGED_MAX);
    for path in &mut report.changed {
        *path = cut(path);
    }
    if report.status.len() > STATUS_BYTES_MAX {
        report.message = format!(
            "status has {} bytes, the limit is {STATUS_BYTES_MAX}; it is left out",
            report.status.len()
        );
        report.status = Bytes::new();
    }
    report
}

/// Cuts a text for people to what the wire takes.
#[must_use]
pub fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let ellipsis = "…";
    let mut end = TEXT_BYTES_MAX - ellipsis.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ellipsis}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(n: u8) -> WorkId {
        WorkId::from_array([n; 16])
    }

    fn mk_report(message: &str) -> Report {
        Report {
            message: message.into(),
            ..Report::default()
        }
    }

    #[test]
    fn the_first_change_goes_at_once_then_one_per_second_and_the_last_wins() {
        let start = Instant::now();
        let mut statuses = Statuses::default();
        statuses.set(id(1), mk_report("a"), start);
        assert_eq!(statuses.poll(1, start).map(|s| s.message), Some("a".into()));
        let soon = start + Duration::from_millis(10);
        statuses.set(id(1), mk_report("b"), soon);
        statuses.set(id(1), mk_report("c"), soon);
        assert_eq!(statuses.poll(1, soon), None);
        let due = statuses.poll_timeout().expect("one is due");
        assert_eq!(due, start + STATUS_INTERVAL);
        assert_eq!(statuses.poll(1, due).map(|s| s.message), Some("c".into()));
        statuses.set(id(1), mk_report("c"), due);
        assert_eq!(statuses.poll_timeout(), None);
    }

    #[test]
    fn what_the_hub_lacks_is_said_again() {
        let now = Instant::now();
        let mut statuses = Statuses::default();
        for n in 1..=3 {
            statuses.set(id(n), mk_report("x"), now);
        }
        let mut ks = Vec::new();
        while let Some(status) = statuses.poll(7, now) {
            assert_eq!(status.fence, 7);
            ks.push(status.k);
        }
        assert_eq!(ks, [1, 2, 3]);
        statuses.resume(2, now);
        assert_eq!(statuses.poll(7, now).map(|s| s.k), Some(3));
        assert_eq!(statuses.poll(7, now), None);
        statuses.resume(0, now);
        statuses.forget(id(2));
        assert_eq!(statuses.poll(7, now).map(|s| s.k), Some(1));
        assert_eq!(statuses.poll(7, now).map(|s| s.k), Some(3));
    }

    #[test]
    fn texts_and_statuses_have_limits() {
        let report = clamp(Report {
            message: "ä".repeat(5000),
            status: vec![b'1'; STATUS_BYTES_MAX + 1].into(),
            ..Report::default()
        });
        assert!(report.message.len() <= TEXT_BYTES_MAX && report.status.is_empty());
        assert_eq!(cut("short"), "short");
    }
}
