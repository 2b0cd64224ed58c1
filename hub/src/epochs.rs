//! Reigns of hubs over this store: who began when, and whether a mark belongs to this history.
//!
//! Decides whether a store went back in time, whether a decision is stale, and whether this hub's own
//! reign is still the last. Appends by compare-and-swap on one object; never rewrites an entry.

use std::sync::Arc;

use flotilla_policy::api::{EPOCH_LIST_NAME, Epoch};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::durable::{Durable, DurableError, EPOCH_LIST, Key};

/// Why an epoch could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The front door failed.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The list is not one.
    #[error("the epoch list at the front door cannot be read: {0}")]
    Unreadable(String),
    /// The system gives no random bits.
    #[error("the system gives no random bits")]
    Random,
}

/// What one hub knows of the list: all reigns, and which is its own.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochView {
    epochs: Arc<Vec<Epoch>>,
    own: Epoch,
}

impl EpochView {
    /// A view over a list; for tests and for `Epochs`.
    #[must_use]
    pub fn new(epochs: Vec<Epoch>, own: Epoch) -> Self {
        Self {
            epochs: Arc::new(epochs),
            own,
        }
    }

    /// This hub's own reign.
    #[must_use]
    pub fn own(&self) -> &Epoch {
        &self.own
    }

    /// Whether this hub's reign is still the last.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.epochs.last() == Some(&self.own)
    }

    /// The highest term of the list.
    #[must_use]
    pub fn max_term(&self) -> u64 {
        self.epochs.iter().map(|e| e.term).max().unwrap_or(0)
    }

    /// Whether a mark belongs to this history: its epoch is in the list, and it is not beyond the door
    /// revision where that epoch ended.
    #[must_use]
    pub fn holds(&self, nonce: &str, term: u64, revision: u64) -> bool {
        let at = self
            .epochs
            .iter()
            .position(|e| e.nonce == nonce && e.term == term);
        at.is_some_and(|at| {
            self.epochs
                .get(at + 1)
                .is_none_or(|next| revision <= next.revision)
        })
    }

    /// Whether the list holds an epoch of that term with that nonce.
    #[must_use]
    pub fn knows(&self, nonce: &str, term: u64) -> bool {
        self.epochs
            .iter()
            .any(|e| e.nonce == nonce && e.term == term)
    }

    /// Whether the list says already that a store was lost whose reigns went up to `term`: a restore
    /// entry or a raised incarnation stands above it.
    #[must_use]
    pub fn explains_loss(&self, term: u64) -> bool {
        let pairs = self.epochs.iter().zip(self.epochs.iter().skip(1));
        pairs
            .filter(|(before, after)| after.restored || after.incarnation > before.incarnation)
            .any(|(_, after)| after.term > term)
    }

    /// Whether a decision of `term`, stored at door revision `revision`, was written after a later reign
    /// had begun.
    #[must_use]
    pub fn is_stale(&self, term: u64, revision: u64) -> bool {
        let next = self.epochs.iter().find(|e| e.term > term);
        next.is_some_and(|next| next.revision < revision)
    }
}

/// The list at the front door, and this hub's own entry.
pub struct Epochs {
    durable: Arc<dyn Durable>,
    view: watch::Sender<EpochView>,
}

impl Epochs {
    /// Begins a reign: appends an epoch that starts at a door revision.
    ///
    /// # Errors
    /// When the front door fails or the list is broken.
    pub async fn begin(durable: Arc<dyn Durable>, revision: u64) -> Result<Self, EpochError> {
        let view = append(durable.as_ref(), revision, 0, 0).await?;
        Ok(Self {
            durable,
            view: watch::channel(view).0,
        })
    }

    /// Begins a further reign above a term met elsewhere: the store went back in time.
    ///
    /// # Errors
    /// When the front door fails or the list is broken.
    pub async fn begin_above(&self, term: u64, revision: u64) -> Result<(), EpochError> {
        let view = append(self.durable.as_ref(), revision, term, 1).await?;
        self.view.send_replace(view);
        Ok(())
    }

    /// Takes in the list as the watch brought it.
    pub fn observe(&self, list: &Value) {
        let Ok(epochs) = read(list) else {
            // A list that cannot be read does not hold our epoch as its last.
            self.view.send_modify(|view| view.epochs = Arc::default());
            return;
        };
        self.view.send_if_modified(|view| {
            // The watch may still bring what was before our own write.
            let newer = epochs.len() >= view.epochs.len() && *view.epochs != epochs;
            if newer {
                view.epochs = Arc::new(epochs);
            }
            newer
        });
    }

    /// Reads the list itself, not by way of the watch: what it says now counts, also when it is shorter.
    ///
    /// # Errors
    /// When the front door fails or the list is broken.
    pub async fn refresh(&self) -> Result<(), EpochError> {
        let key = Key::global(EPOCH_LIST, EPOCH_LIST_NAME);
        let stored = self.durable.get(&key).await?;
        let epochs = stored.as_ref().map_or(Ok(Vec::new()), read)?;
        self.view.send_if_modified(|view| {
            let other = *view.epochs != epochs;
            if other {
                view.epochs = Arc::new(epochs);
            }
            other
        });
        Ok(())
    }

    /// The view as it is now.
    #[must_use]
    pub fn view(&self) -> EpochView {
        self.view.borrow().clone()
    }

    /// Wakes when the view changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<EpochView> {
        self.view.subscribe()
    }
}

async fn append(
    durable: &dyn Durable,
    revision: u64,
    above: u64,
    incarnation_step: u64,
) -> Result<EpochView, EpochError> {
    let key = Key::global(EPOCH_LIST, EPOCH_LIST_NAME);
    loop {
        let stored = durable.get(&key).await?;
        let mut epochs = stored.as_ref().map_or(Ok(Vec::new()), read)?;
        let last = epochs.last().cloned().unwrap_or_default();
        let own = Epoch {
            incarnation: last.incarnation + incarnation_step,
            term: last.term.max(above) + 1,
            nonce: nonce()?,
            // A reign never begins before the one it follows.
            revision: revision.max(last.revision),
            restored: false,
        };
        epochs.push(own.clone());
        let written = write(durable, &key, stored, &epochs).await;
        match written {
            Ok(_) => return Ok(EpochView::new(epochs, own)),
            // Another hub began at the same time: read again and follow it.
            Err(DurableError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn write(
    durable: &dyn Durable,
    key: &Key,
    stored: Option<Value>,
    epochs: &[Epoch],
) -> Result<Value, DurableError> {
    let spec = json!({"epochs": epochs});
    match stored {
        Some(mut object) => {
            object["spec"] = spec;
            durable.replace(key, object).await
        }
        None => {
            let object = json!({
                "apiVersion": EPOCH_LIST.api_version(), "kind": EPOCH_LIST.kind,
                "metadata": {"name": EPOCH_LIST_NAME}, "spec": spec,
            });
            durable.create(key, object).await
        }
    }
}

fn read(list: &Value) -> Result<Vec<Epoch>, EpochError> {
    serde_json::from_value(list["spec"]["epochs"].clone())
        .map_err(|e| EpochError::Unreadable(e.to_string()))
}

fn nonce() -> Result<String, EpochError> {
    let mut bits = [0; 8];
    SystemRandom::new()
        .fill(&mut bits)
        .map_err(|_| EpochError::Random)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::MemoryDurable;

    fn mk_epoch(term: u64, revision: u64) -> Epoch {
        let nonce = format!("{term:016x}");
        Epoch {
            incarnation: 0,
            term,
            nonce,
            revision,
            restored: false,
        }
    }

    #[test]
    fn a_mark_is_of_this_history_up_to_where_its_epoch_ended() {
        let view = EpochView::new(vec![mk_epoch(1, 10), mk_epoch(2, 50)], mk_epoch(2, 50));
        let one = &mk_epoch(1, 0).nonce;
        assert!(view.holds(one, 1, 50));
        assert!(!view.holds(one, 1, 51), "its epoch had ended");
        assert!(view.holds(&mk_epoch(2, 0).nonce, 2, 1_000));
        assert!(!view.holds("ffffffffffffffff", 2, 20), "no epoch of ours");
    }

    #[test]
    fn a_decision_written_into_a_later_reign_is_stale() {
        let epochs = vec![mk_epoch(1, 10), mk_epoch(2, 50), mk_epoch(3, 90)];
        let view = EpochView::new(epochs, mk_epoch(3, 90));
        assert!(!view.is_stale(1, 49) && !view.is_stale(1, 50));
        assert!(view.is_stale(1, 51));
        assert!(!view.is_stale(3, 10_000), "nobody came after");
    }

    #[test]
    fn a_loss_is_explained_by_a_raised_incarnation_above_it() {
        let mut raised = mk_epoch(8, 60);
        let plain = EpochView::new(vec![mk_epoch(1, 10), raised.clone()], raised.clone());
        assert!(!plain.explains_loss(5), "only another reign");
        raised.incarnation = 1;
        let view = EpochView::new(vec![mk_epoch(1, 10), raised.clone()], raised);
        assert!(view.explains_loss(7) && !view.explains_loss(8));
    }

    #[tokio::test]
    async fn a_list_that_went_back_ends_the_reign() {
        let durable: Arc<dyn Durable> = Arc::new(MemoryDurable::default());
        let key = Key::global(EPOCH_LIST, EPOCH_LIST_NAME);
        let first = Epochs::begin(Arc::clone(&durable), 7).await.unwrap();
        let mut old = durable.get(&key).await.unwrap().unwrap();
        let second = Epochs::begin(Arc::clone(&durable), 9).await.unwrap();
        first.refresh().await.unwrap();
        assert!(!first.view().is_last() && second.view().is_last());
        let now = durable.get(&key).await.unwrap().unwrap();
        old["metadata"] = now["metadata"].clone();
        durable.replace(&key, old).await.unwrap();
        second.refresh().await.unwrap();
        assert!(!second.view().is_last());
    }

    #[tokio::test]
    async fn terms_only_grow_and_a_later_reign_is_seen() {
        let durable: Arc<dyn Durable> = Arc::new(MemoryDurable::default());
        let first = Epochs::begin(Arc::clone(&durable), 7).await.unwrap();
        assert!(first.view().is_last());
        let second = Epochs::begin(Arc::clone(&durable), 9).await.unwrap();
        assert_eq!((first.view().own().term, second.view().own().term), (1, 2));
        let key = Key::global(EPOCH_LIST, EPOCH_LIST_NAME);
        let list = durable.get(&key).await.unwrap().unwrap();
        first.observe(&list);
        assert!(!first.view().is_last() && second.view().is_last());
        second.begin_above(40, 9).await.unwrap();
        assert_eq!(
            (second.view().own().term, second.view().own().incarnation),
            (41, 1)
        );
    }
}
