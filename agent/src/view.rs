//! What people may look at on the admin port: whether the agent is well, and what it holds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::session::Session;

/// Flags and counts that the admin port reads.
#[derive(Debug, Default)]
pub struct View {
    ready: AtomicBool,
    leading: AtomicBool,
    connected: AtomicBool,
    works: AtomicUsize,
    running: AtomicUsize,
}

impl View {
    /// Takes over what a session looks like now.
    pub fn show(&self, session: &Session) {
        let connected = session.is_greeted();
        self.connected.store(connected, Ordering::Relaxed);
        self.works
            .store(session.records().set().len(), Ordering::Relaxed);
        self.running.store(session.running(), Ordering::Relaxed);
        if connected {
            self.ready.store(true, Ordering::Relaxed);
        }
    }

    /// This process leads, or waits to.
    pub fn lead(&self, leading: bool) {
        self.leading.store(leading, Ordering::Relaxed);
        if !leading {
            self.connected.store(false, Ordering::Relaxed);
        }
    }

    /// A stand-by is ready by waiting, a leader once a hub has answered.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let leading = self.leading.load(Ordering::Relaxed);
        !leading || self.ready.load(Ordering::Relaxed)
    }

    /// Everything, as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "leading": self.leading.load(Ordering::Relaxed),
            "connected": self.connected.load(Ordering::Relaxed),
            "works": self.works.load(Ordering::Relaxed),
            "running": self.running.load(Ordering::Relaxed),
        })
    }
}
