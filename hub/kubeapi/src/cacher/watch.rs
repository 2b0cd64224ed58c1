//! One watcher's end: what it missed, then what comes.
//!
//! It decides which revision the watcher may be told that it has seen; never what an event means.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Cachers, Event};
use crate::store::Revision;

/// Events of a scope of one resource, in revision order.
#[derive(Debug)]
pub struct Watch {
    missed: VecDeque<Arc<Event>>,
    events_rx: mpsc::Receiver<Arc<Event>>,
    /// The revision after which events are given.
    after: Revision,
    cachers: Arc<Cachers>,
}

impl Watch {
    pub(super) fn new(
        missed: VecDeque<Arc<Event>>,
        events_rx: mpsc::Receiver<Arc<Event>>,
        after: Revision,
        cachers: Arc<Cachers>,
    ) -> Self {
        Self {
            missed,
            events_rx,
            after,
            cachers,
        }
    }

    /// The next event; none = cut. Cancel-safe: an event is taken only when it is given.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            let event = match self.missed.pop_front() {
                Some(event) => event,
                None => self.events_rx.recv().await?,
            };
            // A watch from the future waits for its revision.
            if event.revision > self.after {
                self.after = event.revision;
                return Some(event);
            }
        }
    }

    /// The revision up to which this watcher has got everything: what a bookmark says.
    pub fn progress(&mut self) -> Revision {
        // Read before the queue: what is fed by now was in the queue before.
        let fed = self.cachers.fed();
        if self.missed.is_empty() && self.events_rx.is_empty() {
            self.after = self.after.max(fed);
        }
        self.after
    }
}
