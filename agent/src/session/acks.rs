//! What the hub may rely on: up to which n everything is settled, and which tombstones are.
//!
//! A delta that was overtaken by a newer one for the same work counts as settled when that one is. A
//! work left over from an earlier session holds all acknowledgements back until it is settled.

use std::collections::BTreeMap;

use flotilla_proto::ids::WorkId;
use flotilla_proto::v1;

#[derive(Clone, Copy, Debug)]
struct Expected {
    n: u64,
    /// `made_at` of the tombstone, when it is one.
    tombstone: Option<u64>,
}

/// The book of what is settled.
#[derive(Debug, Default)]
pub(super) struct Acks {
    last_n: u64,
    said_n: u64,
    pending: BTreeMap<WorkId, Expected>,
    by_n: BTreeMap<(u64, WorkId), ()>,
    tombstones: Vec<v1::SettledTombstone>,
    /// Tombstones that were refused and may be carried out later.
    refused: BTreeMap<WorkId, u64>,
}

impl Acks {
    /// A delta for a work must be settled.
    pub(super) fn expect(&mut self, id: WorkId, n: u64, tombstone: Option<u64>) {
        self.last_n = self.last_n.max(n);
        let new = Expected { n, tombstone };
        self.refused.remove(&id);
        if let Some(old) = self.pending.insert(id, new) {
            self.by_n.remove(&(old.n, id));
        }
        self.by_n.insert((n, id), ());
    }

    /// Everything up to n was said.
    pub(super) fn reached(&mut self, n: u64) {
        self.last_n = self.last_n.max(n);
    }

    /// A work is as its last delta wants it, or was refused. Only a tombstone that was carried out is
    /// acknowledged by name.
    pub(super) fn settle(&mut self, id: WorkId, removed: bool) {
        let old = self.pending.remove(&id);
        if let Some(old) = old {
            self.by_n.remove(&(old.n, id));
        }
        let made_at = match old {
            Some(old) => old.tombstone,
            None => self.refused.remove(&id),
        };
        match made_at {
            Some(made_at) if removed => {
                let id = id.to_wire();
                self.tombstones.push(v1::SettledTombstone { id, made_at });
            }
            Some(made_at) => {
                self.refused.insert(id, made_at);
            }
            None => {}
        }
    }

    /// Numbers of an ended session mean nothing in the next one.
    pub(super) fn new_session(&mut self) {
        (self.last_n, self.said_n) = (0, 0);
        self.tombstones.clear();
        self.refused.clear();
        self.by_n.clear();
        for (id, expected) in &mut self.pending {
            *expected = Expected {
                n: 0,
                tombstone: None,
            };
            self.by_n.insert((0, *id), ());
        }
    }

    /// Whether nothing is pending.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// What can be acknowledged now.
    pub(super) fn poll(&mut self) -> Option<v1::Ack> {
        let first = self.by_n.first_key_value().map(|((n, _), ())| *n);
        let n = first.map_or(self.last_n, |n| n.saturating_sub(1).min(self.last_n));
        if n <= self.said_n && self.tombstones.is_empty() {
            return None;
        }
        self.said_n = self.said_n.max(n);
        Some(v1::Ack {
            n: self.said_n,
            tombstones: std::mem::take(&mut self.tombstones),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> WorkId {
        WorkId::from_array([n; 16])
    }

    #[test]
    fn an_ack_covers_only_what_is_settled() {
        let mut acks = Acks::default();
        acks.expect(id(1), 5, None);
        acks.expect(id(2), 6, Some(40));
        acks.expect(id(3), 7, None);
        acks.settle(id(2), true);
        let ack = acks.poll().expect("a tombstone is settled");
        assert_eq!((ack.n, ack.tombstones.len()), (4, 1));
        acks.settle(id(1), false);
        assert_eq!(acks.poll().map(|a| a.n), Some(6));
        acks.expect(id(3), 9, None);
        acks.settle(id(3), false);
        assert_eq!(acks.poll().map(|a| a.n), Some(9));
        assert_eq!(acks.poll(), None);
    }

    #[test]
    fn leftovers_hold_a_new_session_back_and_refused_tombstones_are_not_named() {
        let mut acks = Acks::default();
        acks.expect(id(1), 5, Some(3));
        acks.new_session();
        acks.reached(8);
        assert_eq!(acks.poll(), None);
        acks.expect(id(2), 9, Some(4));
        acks.settle(id(2), false);
        acks.settle(id(1), true);
        let ack = acks.poll().expect("all is settled");
        assert_eq!((ack.n, ack.tombstones.len()), (9, 0));
        acks.settle(id(2), true);
        let ack = acks.poll().expect("carried out after all");
        assert_eq!((ack.n, ack.tombstones.len()), (9, 1));
    }
}
