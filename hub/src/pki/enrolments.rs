//! Enrolments: read once, kept in memory, written by compare-and-swap.
//!
//! A serial that the memory does not know is looked up at the front door before it is refused, so that a
//! leaf issued by the hub before us works at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::records::{Enrolled, Standing, text};
use super::{ClusterScope, PkiError, Revocations, locked};
use crate::durable::{Durable, DurableError, ENROLMENT, Key};
use crate::fleet::share::ClusterName;

/// Races with people who edit an Enrolment are rare; more tries than this are a fault.
const TRIES: usize = 5;

#[derive(Clone, Debug)]
struct Held {
    enrolled: Enrolled,
    /// The newest serial that came in by a connection.
    seen: String,
}

/// All enrolments that were read.
pub(super) struct Table {
    durable: Arc<dyn Durable>,
    revocations: Arc<Revocations>,
    held: Mutex<BTreeMap<ClusterName, Held>>,
}

impl Table {
    pub(super) fn new(durable: Arc<dyn Durable>, revocations: Arc<Revocations>) -> Self {
        Self {
            durable,
            revocations,
            held: Mutex::default(),
        }
    }

    pub(super) async fn reload(&self) -> Result<(), PkiError> {
        let listed = self.durable.list(ENROLMENT, "").await?;
        locked(&self.held).clear();
        for object in listed {
            let name = ClusterName::new(&text(&object["metadata"]["name"]));
            self.keep(&name, Enrolled::read(&object));
        }
        Ok(())
    }

    /// The enrolment of a cluster, if this is one of its last serials.
    pub(super) async fn with_serial(
        &self,
        cluster: &ClusterName,
        serial: &str,
    ) -> Result<Option<Enrolled>, PkiError> {
        let fits = |e: &Enrolled| e.serials.iter().any(|s| s == serial);
        let known = locked(&self.held).get(cluster).map(|h| h.enrolled.clone());
        // A person may have unlocked it since: only an active one is believed from memory.
        if let Some(known) = known.filter(|e| fits(e) && e.standing == Standing::Active) {
            return Ok(Some(known));
        }
        Ok(self.read(cluster).await?.map(|(_, e)| e).filter(fits))
    }

    /// Reads an enrolment from the front door.
    pub(super) async fn read(
        &self,
        cluster: &ClusterName,
    ) -> Result<Option<(serde_json::Value, Enrolled)>, PkiError> {
        let key = Key::global(ENROLMENT, cluster.as_str());
        let Some(object) = self.durable.get(&key).await? else {
            locked(&self.held).remove(cluster);
            return Ok(None);
        };
        let enrolled = Enrolled::read(&object);
        self.keep(cluster, enrolled.clone());
        Ok(Some((object, enrolled)))
    }

    /// Changes what was issued, by compare-and-swap; `change` may refuse, and is asked again after a
    /// lost race.
    pub(super) async fn update<T>(
        &self,
        cluster: &ClusterName,
        mut change: impl FnMut(&mut Enrolled) -> Result<T, PkiError>,
    ) -> Result<T, PkiError> {
        let key = Key::global(ENROLMENT, cluster.as_str());
        let mut lost = None;
        for _ in 0..TRIES {
            let read = self.read(cluster).await?;
            let (mut object, mut enrolled) = read.ok_or(PkiError::NotEnrolled)?;
            let result = change(&mut enrolled)?;
            enrolled.write_status(&mut object);
            match self.durable.replace_status(&key, object).await {
                Ok(_) => {
                    self.keep(cluster, enrolled);
                    return Ok(result);
                }
                Err(conflict @ DurableError::Conflict { .. }) => lost = Some(conflict),
                Err(other) => return Err(other.into()),
            }
        }
        Err(lost.map_or(PkiError::NotEnrolled, PkiError::Durable))
    }

    /// Writes a standing; a person's word at the front door has the same effect.
    pub(super) async fn set_standing(
        &self,
        cluster: &ClusterName,
        standing: Standing,
    ) -> Result<(), PkiError> {
        let key = Key::global(ENROLMENT, cluster.as_str());
        let mut lost = None;
        for _ in 0..TRIES {
            let read = self.read(cluster).await?;
            let (mut object, _) = read.ok_or(PkiError::NotEnrolled)?;
            object["spec"]["state"] = standing.word().into();
            match self.durable.replace(&key, object).await {
                Ok(stored) => {
                    self.keep(cluster, Enrolled::read(&stored));
                    return Ok(());
                }
                Err(conflict @ DurableError::Conflict { .. }) => lost = Some(conflict),
                Err(other) => return Err(other.into()),
            }
        }
        Err(lost.map_or(PkiError::NotEnrolled, PkiError::Durable))
    }

    /// Notes that a leaf was used.
    pub(super) fn seen(&self, cluster: &ClusterName, serial: &str) {
        if let Some(held) = locked(&self.held).get_mut(cluster)
            && held.enrolled.serials.last().is_some_and(|s| s == serial)
        {
            serial.clone_into(&mut held.seen);
        }
    }

    /// Whether the newest leaf was used: then its answer was not lost.
    pub(super) fn newest_was_used(&self, cluster: &ClusterName) -> bool {
        let held = locked(&self.held);
        let held = held.get(cluster);
        held.is_some_and(|h| h.enrolled.serials.last() == Some(&h.seen))
    }

    /// Whether a scope is still of the enrolment that is stored, with a serial that may connect.
    pub(super) fn still(&self, scope: &ClusterScope) -> bool {
        let held = locked(&self.held);
        held.get(scope.cluster()).is_some_and(|h| {
            h.enrolled.uid == scope.enrolment_uid()
                && h.enrolled.serials.iter().any(|s| s == scope.serial())
        })
    }

    fn keep(&self, cluster: &ClusterName, enrolled: Enrolled) {
        self.revocations.set(cluster, enrolled.standing);
        let mut held = locked(&self.held);
        let seen = held
            .get(cluster)
            .map_or_else(String::new, |h| h.seen.clone());
        held.insert(cluster.clone(), Held { enrolled, seen });
    }
}
