//! Which hub acts: one lease at the front door, held by compare-and-swap.
//!
//! Decides by this process's own monotonic clock alone. A leader stops acting at two thirds of its
//! lease since it last *began* a renewal that succeeded; another takes over only after it saw the lease
//! unchanged for a whole lease and the deadline of a write. The same identity started again need not
//! wait. Never reads a wall clock for a decision; times in the object are for people.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::durable::{Durable, DurableError, Key, Kind};

/// coordination.k8s.io Leases.
pub const LEASE: Kind = Kind {
    group: "coordination.k8s.io",
    version: "v1",
    kind: "Lease",
    plural: "leases",
};

/// How leadership is timed.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// Life of a lease.
    pub lease: Duration,
    /// How often the leader renews it and a standby looks.
    pub renew: Duration,
}

impl Default for LeaseTimes {
    /// 15 s, as Kubernetes' own controllers: a dead leader is replaced in under 20 s.
    fn default() -> Self {
        Self::of(Duration::from_secs(15))
    }
}

impl LeaseTimes {
    /// For a life of the lease: renewed at a third of it.
    #[must_use]
    pub fn of(lease: Duration) -> Self {
        Self {
            lease,
            renew: lease / 3,
        }
    }

    /// No write is begun later than this after the last renewal.
    fn acting(&self) -> Duration {
        self.lease * 2 / 3
    }

    /// Deadline of each write.
    #[must_use]
    pub fn write_max(&self) -> Duration {
        self.lease / 6
    }
}

/// This process may not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this hub does not hold the lease any more")]
pub struct NotLeader;

/// Proof that this process may act, to be checked before each write.
#[derive(Clone, Debug)]
pub struct LeaderToken {
    until: Arc<Mutex<Instant>>,
    term: Arc<AtomicU64>,
}

impl LeaderToken {
    /// A token that holds for a time; for tests.
    #[must_use]
    pub fn for_test(term: u64, life: Duration) -> Self {
        Self {
            until: Arc::new(Mutex::new(Instant::now() + life)),
            term: Arc::new(AtomicU64::new(term)),
        }
    }

    /// Whether this process may begin a write now.
    ///
    /// # Errors
    /// When its lease ran out.
    pub fn check(&self) -> Result<(), NotLeader> {
        if Instant::now() < *self.lock() {
            Ok(())
        } else {
            Err(NotLeader)
        }
    }

    /// Number of this reign.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// The same process goes on under a later number: its store had gone back in time.
    pub fn raise_term(&self, term: u64) {
        self.term.fetch_max(term, Ordering::AcqRel);
    }

    /// The same lease under the number that the epoch list gave it.
    #[must_use]
    pub fn with_term(&self, term: u64) -> Self {
        Self {
            until: Arc::clone(&self.until),
            term: Arc::new(AtomicU64::new(term)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that was won.
pub struct Reign {
    election: Election,
    token: LeaderToken,
    revision: u64,
}

/// Takes part in the choice of the leader.
#[derive(Clone)]
pub struct Election {
    durable: Arc<dyn Durable>,
    key: Key,
    identity: String,
    times: LeaseTimes,
}

impl Election {
    /// For the lease `name` in `namespace`, as `identity`.
    #[must_use]
    pub fn new(durable: Arc<dyn Durable>, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            durable,
            key: Key::namespaced(LEASE, namespace, name),
            identity: identity.to_owned(),
            times: LeaseTimes::default(),
        }
    }

    /// With other times; for tests.
    #[must_use]
    pub fn with_times(self, times: LeaseTimes) -> Self {
        Self { times, ..self }
    }

    /// Waits until the lease is won; none when told to stop before.
    pub async fn win(&self, shutdown: &CancellationToken) -> Option<Reign> {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            let began = Instant::now();
            match self.try_once(&mut seen).await {
                Ok(Some(lease)) => {
                    let until = began + self.times.acting();
                    let token = LeaderToken {
                        until: Arc::new(Mutex::new(until)),
                        term: Arc::default(),
                    };
                    let revision = revision_of(&lease);
                    return Some(Reign {
                        election: self.clone(),
                        token,
                        revision,
                    });
                }
                Ok(None) | Err(DurableError::Conflict { .. }) => {}
                Err(error) => tracing::warn!(%error, "cannot look at the leader's lease"),
            }
            // Cancel-safe: nothing is held between looks.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                () = sleep(self.times.renew / 2) => {}
            }
        }
    }

    /// One look: takes the lease when it is free.
    async fn try_once(
        &self,
        seen: &mut Option<(String, Instant)>,
    ) -> Result<Option<Value>, DurableError> {
        let Some(lease) = self.bounded(self.durable.get(&self.key)).await? else {
            let made = self.durable.create(&self.key, self.lease(None));
            return self.bounded(made).await.map(Some);
        };
        let version = text(&lease, "/metadata/resourceVersion");
        let holder = text(&lease, "/spec/holderIdentity");
        let first_seen = match seen {
            Some((held, at)) if *held == version => *at,
            _ => {
                *seen = Some((version, Instant::now()));
                Instant::now()
            }
        };
        let over = first_seen.elapsed() >= self.times.lease + self.times.write_max();
        if holder.is_empty() || holder == self.identity || over {
            let taken = self.durable.replace(&self.key, self.lease(Some(&lease)));
            return self.bounded(taken).await.map(Some);
        }
        Ok(None)
    }

    /// No write may be under way longer than a successor waits.
    async fn bounded<T>(
        &self,
        asked: impl Future<Output = Result<T, DurableError>>,
    ) -> Result<T, DurableError> {
        match timeout(self.times.write_max(), asked).await {
            Ok(answered) => answered,
            Err(late) => Err(DurableError::Unreachable(Box::new(late))),
        }
    }

    fn lease(&self, old: Option<&Value>) -> Value {
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
            .to_string();
        let same = old.is_some_and(|o| text(o, "/spec/holderIdentity") == self.identity);
        let transitions = old
            .and_then(|o| o["spec"]["leaseTransitions"].as_i64())
            .unwrap_or(0);
        let mut lease = old.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": LEASE.api_version(), "kind": LEASE.kind,
                "metadata": {"name": self.key.name, "namespace": self.key.namespace},
            })
        });
        let acquired = match old {
            Some(old) if same => old["spec"]["acquireTime"].clone(),
            _ => now.clone().into(),
        };
        lease["spec"] = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.times.lease.as_secs().max(1),
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": transitions + i64::from(old.is_some() && !same),
        });
        lease
    }
}

impl Reign {
    /// The proof to act, before the epoch list gave it its number.
    #[must_use]
    pub fn token(&self) -> &LeaderToken {
        &self.token
    }

    /// Door revision at which the lease was won.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Renews the lease until told to stop, then gives it back.
    ///
    /// # Errors
    /// When the lease is lost: this process must stop acting.
    pub async fn keep(self, shutdown: CancellationToken) -> Result<(), NotLeader> {
        loop {
            // Cancel-safe: nothing is held between renewals.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.give_back().await;
                    return Ok(());
                }
                () = sleep(self.election.times.renew) => {}
            }
            let began = Instant::now();
            match self.renew().await {
                Ok(true) => *self.token.lock() = began + self.election.times.acting(),
                Ok(false) => return Err(self.end()),
                Err(error) => tracing::warn!(%error, "cannot renew the leader's lease"),
            }
            self.token.check()?;
        }
    }

    /// Renews; false when somebody else holds it.
    async fn renew(&self) -> Result<bool, DurableError> {
        // A renewal that comes late must not revive what a successor may already count as over.
        if self.token.check().is_err() {
            return Ok(false);
        }
        let election = &self.election;
        let held = election
            .bounded(election.durable.get(&election.key))
            .await?;
        let held = held.filter(|l| text(l, "/spec/holderIdentity") == election.identity);
        let Some(held) = held else { return Ok(false) };
        let lease = election.lease(Some(&held));
        match election
            .bounded(election.durable.replace(&election.key, lease))
            .await
        {
            Ok(_) => Ok(true),
            Err(DurableError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn end(&self) -> NotLeader {
        *self.token.lock() = Instant::now();
        NotLeader
    }

    async fn give_back(&self) {
        self.end();
        let election = &self.election;
        let held = election.bounded(election.durable.get(&election.key)).await;
        if let Ok(Some(mut lease)) = held
            && text(&lease, "/spec/holderIdentity") == election.identity
        {
            lease["spec"]["holderIdentity"] = "".into();
            // Whoever waits for it waits a whole lease instead; nothing is lost.
            let _ = election
                .bounded(election.durable.replace(&election.key, lease))
                .await;
        }
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

fn revision_of(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion")
        .parse()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::MemoryDurable;

    fn mk_election(durable: &Arc<MemoryDurable>, identity: &str) -> Election {
        let durable: Arc<dyn Durable> = Arc::<MemoryDurable>::clone(durable);
        Election::new(durable, "flotilla-system", "flotilla-hub", identity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_waits_for_the_whole_lease_and_the_old_one_stops_before() {
        let durable = Arc::new(MemoryDurable::default());
        let shutdown = CancellationToken::new();
        let first = mk_election(&durable, "a").win(&shutdown).await.unwrap();
        let won = Instant::now();
        let second = mk_election(&durable, "b").win(&shutdown).await.unwrap();
        assert!(
            won.elapsed() >= Duration::from_secs(17),
            "{:?}",
            won.elapsed()
        );
        assert_eq!(first.token().check(), Err(NotLeader));
        assert_eq!(second.token().check(), Ok(()));
        let kept = first.keep(shutdown.clone()).await;
        assert_eq!(
            kept,
            Err(NotLeader),
            "a frozen leader that wakes does not come back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_renews_is_not_replaced_and_gives_the_lease_back() {
        let durable = Arc::new(MemoryDurable::default());
        let (first_stop, second_stop) = (CancellationToken::new(), CancellationToken::new());
        let first = mk_election(&durable, "a").win(&first_stop).await.unwrap();
        let token = first.token().clone();
        let keeping = tokio::spawn(first.keep(first_stop.clone()));
        let second = mk_election(&durable, "b");
        let waited = timeout(Duration::from_secs(120), second.win(&second_stop)).await;
        assert!(waited.is_err(), "the lease was held all the time");
        assert_eq!(token.check(), Ok(()));
        first_stop.cancel();
        assert_eq!(keeping.await.unwrap(), Ok(()));
        let began = Instant::now();
        assert!(second.win(&second_stop).await.is_some());
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "a lease given back is free at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_identity_started_again_need_not_wait() {
        let durable = Arc::new(MemoryDurable::default());
        let shutdown = CancellationToken::new();
        drop(mk_election(&durable, "a").win(&shutdown).await.unwrap());
        let began = Instant::now();
        assert!(mk_election(&durable, "a").win(&shutdown).await.is_some());
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
