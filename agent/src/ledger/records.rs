//! Records of works: what the hub said last about each, and whether it is settled. In memory, with
//! the digest of the set; `state` and `pages` make them durable.
//!
//! Decides nothing about what may follow what; that is the session's job.

use std::collections::BTreeMap;

use bytes::Bytes;
use flotilla_proto::digest::{Digest, SetDigest};
use flotilla_proto::ids::{Generation, WorkId};
use flotilla_proto::v1;
use prost::Message;

use crate::member::Gvk;

/// Whether a work is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Live,
    /// The hub does not know it (any more); it keeps running and is still repaired.
    Orphan,
    /// A tombstone said that it goes.
    Gone {
        /// When, in Unix seconds: decides only when it is forgotten.
        at_unix: u64,
    },
}

/// A removal that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// UID of the template that is removed; the object must have been made from it.
    pub uid: String,
    /// Leave the object, take our marks off it.
    pub preserve: bool,
}

/// A refusal that was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its class.
    pub class: v1::NackClass,
    /// Why, for people.
    pub detail: String,
}

/// What is known of one work.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The work.
    pub id: WorkId,
    /// Version of what was said last.
    pub generation: Generation,
    /// Door revision of the decision and its newest source.
    pub made_at: u64,
    /// Digest of the template's body.
    pub template: Digest,
    /// Digest of the overrides' body; none when there are none.
    pub overrides: Option<Digest>,
    /// What differs per cluster; of a Gone work only the object counts.
    pub row: v1::Row,
    /// Whether it is wanted.
    pub state: State,
    /// What is still to be removed.
    pub removal: Option<Removal>,
    /// The last refusal, until it is applied.
    pub refused: Option<Refusal>,
}

impl Record {
    /// Digest over the bodies and the row.
    #[must_use]
    pub fn content(&self) -> Digest {
        flotilla_proto::digest::content(self.template, self.overrides, &self.row)
    }

    /// The object it is about.
    #[must_use]
    pub fn object(&self) -> v1::ObjectRef {
        self.row.object.clone().unwrap_or_default()
    }

    /// The kind of that object.
    #[must_use]
    pub fn gvk(&self) -> Gvk {
        Gvk::of_ref(&self.object())
    }

    /// Whether the object is wanted (also while the hub does not know the work).
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !matches!(self.state, State::Gone { .. })
    }

    /// The bodies it needs to be applied.
    pub fn bodies(&self) -> impl Iterator<Item = Digest> {
        let wanted = self.is_wanted();
        let all = [Some(self.template), self.overrides];
        all.into_iter().flatten().filter(move |_| wanted)
    }

    /// For the ledger.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let removal = self.removal.as_ref();
        let refused = self.refused.as_ref();
        let stored = StoredRecord {
            id: self.id.to_wire(),
            term: self.generation.term,
            n: self.generation.n,
            made_at: self.made_at,
            template: self.template.to_wire(),
            overrides: self.overrides.map(Digest::to_wire).unwrap_or_default(),
            row: Some(self.row.clone()),
            orphan: self.state == State::Orphan,
            gone_at_unix: match self.state {
                State::Gone { at_unix } => at_unix.max(1),
                State::Live | State::Orphan => 0,
            },
            removing: removal.is_some(),
            removal_uid: removal.map(|r| r.uid.clone()).unwrap_or_default(),
            preserve: removal.is_some_and(|r| r.preserve),
            refused_class: refused.map_or(0, |r| r.class.into()),
            refused_detail: refused.map(|r| r.detail.clone()).unwrap_or_default(),
        };
        stored.encode_to_vec().into()
    }

    /// From the ledger.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored = StoredRecord::decode(bytes).ok()?;
        let class = v1::NackClass::try_from(stored.refused_class).ok();
        let class = class.filter(|c| *c != v1::NackClass::Unspecified);
        Some(Self {
            id: WorkId::from_wire(&stored.id)?,
            generation: Generation {
                term: stored.term,
                n: stored.n,
            },
            made_at: stored.made_at,
            template: Digest::from_wire(&stored.template)?,
            overrides: Digest::from_wire(&stored.overrides),
            row: stored.row.unwrap_or_default(),
            state: match (stored.gone_at_unix, stored.orphan) {
                (0, false) => State::Live,
                (0, true) => State::Orphan,
                (at_unix, _) => State::Gone { at_unix },
            },
            removal: stored.removing.then_some(Removal {
                uid: stored.removal_uid,
                preserve: stored.preserve,
            }),
            refused: class.map(|class| Refusal {
                class,
                detail: stored.refused_detail,
            }),
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct StoredRecord {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, tag = "3")]
    n: u64,
    #[prost(uint64, tag = "4")]
    made_at: u64,
    #[prost(bytes = "bytes", tag = "5")]
    template: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    overrides: Bytes,
    #[prost(message, optional, tag = "7")]
    row: Option<v1::Row>,
    #[prost(bool, tag = "8")]
    orphan: bool,
    #[prost(uint64, tag = "9")]
    gone_at_unix: u64,
    #[prost(bool, tag = "10")]
    removing: bool,
    #[prost(string, tag = "11")]
    removal_uid: String,
    #[prost(bool, tag = "12")]
    preserve: bool,
    #[prost(int32, tag = "13")]
    refused_class: i32,
    #[prost(string, tag = "14")]
    refused_detail: String,
}

/// All records, and the digest of the set of works that are accepted.
#[derive(Clone, Debug, Default)]
pub struct Records {
    records: BTreeMap<WorkId, Record>,
    set: SetDigest,
}

impl Records {
    /// From what was stored.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = Record>) -> Self {
        let mut all = Self::default();
        for record in records {
            all.put(record);
        }
        all
    }

    /// Puts a record in place of the former one.
    pub fn put(&mut self, record: Record) {
        if record.state == State::Live {
            self.set.insert(record.id, record.content());
        } else {
            self.set.remove(record.id);
        }
        self.records.insert(record.id, record);
    }

    /// The record of a work.
    #[must_use]
    pub fn get(&self, id: WorkId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// Changes a record without changing whether it is in the set or its content.
    pub fn note(&mut self, id: WorkId, f: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(&id) {
            f(record);
        }
    }

    /// Forgets a work.
    pub fn remove(&mut self, id: WorkId) {
        self.set.remove(id);
        self.records.remove(&id);
    }

    /// All records, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The digest of the set, with its buckets.
    #[must_use]
    pub fn set(&self) -> &SetDigest {
        &self.set
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record of a ConfigMap.
    pub(crate) fn mk_record(name: &str, n: u64) -> Record {
        Record {
            id: WorkId::new("", "ConfigMap", "ns", name, "uid"),
            generation: Generation { term: 3, n },
            made_at: 100 + n,
            template: Digest::of(name.as_bytes()),
            overrides: None,
            row: v1::Row {
                object: Some(v1::ObjectRef {
                    api_version: "v1".into(),
                    kind: "ConfigMap".into(),
                    namespace: "ns".into(),
                    name: name.into(),
                }),
                template_uid: "t".into(),
                ..v1::Row::default()
            },
            state: State::Live,
            removal: None,
            refused: None,
        }
    }

    #[test]
    fn a_record_survives_its_bytes() {
        let live = mk_record("a", 1);
        let gone = Record {
            state: State::Gone { at_unix: 7 },
            removal: Some(Removal {
                uid: "u".into(),
                preserve: true,
            }),
            refused: Some(Refusal {
                class: v1::NackClass::Held,
                detail: "why".into(),
            }),
            overrides: Some(Digest::of(b"o")),
            ..mk_record("b", 2)
        };
        let orphan = Record {
            state: State::Orphan,
            ..mk_record("c", 3)
        };
        for record in [live, gone, orphan] {
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn only_live_works_are_in_the_set() {
        let mut records = Records::new([mk_record("a", 1), mk_record("b", 1)]);
        assert_eq!(records.set().len(), 2);
        records.put(Record {
            state: State::Gone { at_unix: 1 },
            ..mk_record("a", 2)
        });
        records.put(Record {
            state: State::Orphan,
            ..mk_record("b", 1)
        });
        assert!(records.set().is_empty());
        assert_eq!(records.iter().count(), 2);
    }
}
