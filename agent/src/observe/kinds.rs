//! The kinds that the member serves: asked for at the start, when a kind is unknown, and when a
//! definition of kinds changed. Never on a timer.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::member::{Class, Gvk, Kind, MemberApi, MemberError, Served};

/// Many works of one unknown kind ask once in this time.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The cache of kinds.
pub struct Kinds {
    member: Arc<dyn MemberApi>,
    served: RwLock<Arc<Vec<Served>>>,
    index: RwLock<BTreeMap<Gvk, Kind>>,
    asked: Mutex<Option<Instant>>,
}

impl Kinds {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(member: Arc<dyn MemberApi>) -> Self {
        Self {
            member,
            served: RwLock::default(),
            index: RwLock::default(),
            asked: Mutex::new(None),
        }
    }

    /// The kind, asking the member when it is not known.
    ///
    /// # Errors
    /// `UnknownKind` when the member does not serve it.
    pub async fn resolve(&self, gvk: &Gvk) -> Result<Kind, MemberError> {
        if let Some(kind) = self.known(gvk) {
            return Ok(kind);
        }
        self.ask(Some(ASK_EVERY)).await?;
        let text = "this cluster does not serve that kind; the work goes on when it does";
        self.known(gvk)
            .ok_or_else(|| MemberError::new(Class::UnknownKind, "find", gvk, text))
    }

    /// Asks again; whether anything changed.
    ///
    /// # Errors
    /// When the member does not answer.
    pub async fn refresh(&self) -> Result<bool, MemberError> {
        self.ask(None).await
    }

    async fn ask(&self, at_most_every: Option<Duration>) -> Result<bool, MemberError> {
        let mut asked = self.asked.lock().await;
        let soon = at_most_every.zip(*asked);
        if soon.is_some_and(|(every, at)| at.elapsed() < every) {
            return Ok(false);
        }
        let mut served = self.member.discover().await?;
        *asked = Some(Instant::now());
        served.sort();
        let index = served.iter().flat_map(|s| &s.kinds);
        let index = index.map(|kind| (kind.gvk.clone(), kind.clone())).collect();
        let mut held = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **held != served;
        *held = Arc::new(served);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(changed)
    }

    fn known(&self, gvk: &Gvk) -> Option<Kind> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.get(gvk).cloned()
    }

    /// What is served, by group and version.
    #[must_use]
    pub fn served(&self) -> Arc<Vec<Served>> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All kinds.
    #[must_use]
    pub fn all(&self) -> Vec<Kind> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.values().cloned().collect()
    }
}
