//! Which pod leads: a Lease in the member, kept by its own monotonic clock.
//!
//! No write is started after two thirds of the lease. A new leader waits for a whole lease without
//! change, and for the longest write of the old one, unless it can prove that the old one is gone: it
//! has the old one's name and alone uses its folder. The fence in AgentState is what decides in the
//! end; the lease only keeps two from trying at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flotilla_policy::model::manifest;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::member::{
    At, Call, Class, Deleted, Kind, MemberApi, MemberError, Precondition, Seen, Served, Write,
    version_of,
};

/// Name of the Lease.
const NAME: &str = "flotilla-agent";
/// Length of the lease.
pub const LEASE: Duration = Duration::from_secs(15);

/// Until when writes may be started.
#[derive(Clone, Debug)]
pub struct Guard {
    base: Instant,
    until_ms: Arc<AtomicU64>,
}

impl Guard {
    /// For an agent that shares with nobody.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            base: Instant::now(),
            until_ms: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    fn closed() -> Self {
        let guard = Self::unlimited();
        guard.close();
        guard
    }

    fn extend(&self, until: Instant) {
        let ms = until.saturating_duration_since(self.base).as_millis();
        let ms = u64::try_from(ms).unwrap_or(u64::MAX - 1);
        self.until_ms.store(ms, Ordering::SeqCst);
    }

    /// No write is started any more.
    pub fn close(&self) {
        self.until_ms.store(0, Ordering::SeqCst);
    }

    /// Whether a write may be started.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let now_ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.until_ms.load(Ordering::SeqCst) > now_ms
    }
}

/// A member whose writes ask the guard first, and do not outlive a sixth of the lease.
pub struct Guarded {
    inner: Arc<dyn MemberApi>,
    guard: Guard,
    deadline: Option<Duration>,
}

impl Guarded {
    /// Writes go through while the guard is open.
    #[must_use]
    pub fn new(inner: Arc<dyn MemberApi>, guard: Guard, elected: bool) -> Self {
        Self {
            inner,
            guard,
            deadline: elected.then_some(LEASE / 6),
        }
    }

    async fn ask<T>(
        &self,
        verb: &'static str,
        at: &At,
        call: Call<'_, T>,
    ) -> Result<T, MemberError> {
        if !self.guard.is_open() {
            let text = "this process does not lead";
            return Err(MemberError::new(Class::NotLeader, verb, at, text));
        }
        match self.deadline {
            None => call.await,
            Some(deadline) => tokio::time::timeout(deadline, call)
                .await
                .unwrap_or_else(|_| Err(MemberError::new(Class::Retry, verb, at, "too slow"))),
        }
    }
}

impl MemberApi for Guarded {
    fn get<'a>(&'a self, at: &'a At) -> Call<'a, Option<Value>> {
        self.inner.get(at)
    }

    fn create<'a>(&'a self, at: &'a At, object: &'a Value) -> Call<'a, Value> {
        Box::pin(self.ask("create", at, self.inner.create(at, object)))
    }

    fn write<'a>(&'a self, at: &'a At, object: &'a Value, how: Write) -> Call<'a, Value> {
        Box::pin(self.ask("write", at, self.inner.write(at, object, how)))
    }

    fn delete<'a>(&'a self, at: &'a At, only: &'a Precondition) -> Call<'a, Deleted> {
        Box::pin(self.ask("delete", at, self.inner.delete(at, only)))
    }

    fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &'a str,
        labels: &'a str,
        limit: usize,
    ) -> Call<'a, Vec<Value>> {
        self.inner.list(kind, namespace, labels, limit)
    }

    fn watch(&self, kind: &Kind, labels: &str) -> BoxStream<'static, Result<Seen, MemberError>> {
        self.inner.watch(kind, labels)
    }

    fn discover(&self) -> Call<'_, Vec<Served>> {
        self.inner.discover()
    }

    fn version(&self) -> Call<'_, String> {
        self.inner.version()
    }
}

/// Who wants to lead.
#[derive(Clone)]
pub struct Candidate {
    member: Arc<dyn MemberApi>,
    at: At,
    identity: String,
    /// A former holder of this name is certainly gone.
    alone: bool,
}

/// The lead, while it lasts.
pub struct Lead {
    candidate: Candidate,
    lease: Value,
    /// Until when writes may be started.
    pub guard: Guard,
}

impl Candidate {
    /// A process by its name; `alone`: nobody else can be running under that name.
    #[must_use]
    pub fn new(member: Arc<dyn MemberApi>, namespace: &str, identity: &str, alone: bool) -> Self {
        Self {
            member,
            at: At::new(Kind::lease(), namespace, NAME),
            identity: identity.to_owned(),
            alone,
        }
    }

    /// Waits until it leads.
    pub async fn lead(self, shutdown: &CancellationToken) -> Option<Lead> {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            match self.try_once(&mut seen).await {
                Ok(Some(lead)) => return Some(lead),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "lease cannot be taken"),
            }
            // Cancel-safe: a timer and a token.
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(LEASE / 6) => {}
            }
        }
    }

    async fn try_once(
        &self,
        seen: &mut Option<(String, Instant)>,
    ) -> Result<Option<Lead>, MemberError> {
        let started = Instant::now();
        let Some(found) = self.member.get(&self.at).await? else {
            let lease = self.lease(&Value::Null);
            let made = self.member.create(&self.at, &lease).await?;
            return Ok(Some(self.won(made, started)));
        };
        let holder = manifest::text(&found, &["spec", "holderIdentity"]);
        let free = holder.is_empty() || holder == self.identity && self.alone;
        let version = version_of(&found).to_owned();
        let since = match seen {
            Some((known, since)) if *known == version => *since,
            _ => seen.insert((version, started)).1,
        };
        if !free && since.elapsed() < LEASE + LEASE / 6 {
            return Ok(None);
        }
        let lease = self.lease(&found);
        let made = self.member.write(&self.at, &lease, Write::Replace).await?;
        Ok(Some(self.won(made, started)))
    }

    fn won(&self, lease: Value, started: Instant) -> Lead {
        let guard = Guard::closed();
        guard.extend(started + LEASE * 2 / 3);
        Lead {
            candidate: self.clone(),
            lease,
            guard,
        }
    }

    fn lease(&self, former: &Value) -> Value {
        let holder = manifest::text(former, &["spec", "holderIdentity"]);
        let transitions = manifest::int(former, &["spec", "leaseTransitions"]).unwrap_or(0);
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
            .to_string();
        let same = holder == self.identity;
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": self.at.name, "namespace": self.at.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LEASE.as_secs(),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": transitions + i64::from(!same && !former.is_null()),
            },
        });
        if same && let Some(acquired) = manifest::get(former, &["spec", "acquireTime"]) {
            lease["spec"]["acquireTime"] = acquired.clone();
        }
        if !former.is_null() {
            lease["metadata"]["resourceVersion"] = version_of(former).into();
        }
        lease
    }
}

impl Lead {
    /// How often the lease changed hands.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        let count = manifest::int(&self.lease, &["spec", "leaseTransitions"]);
        u64::try_from(count.unwrap_or(0)).unwrap_or(0)
    }

    /// Keeps the lead until it is lost, or until asked to give it back.
    pub async fn keep(mut self, stop: CancellationToken) {
        loop {
            // Cancel-safe: a timer and a token.
            tokio::select! {
                () = stop.cancelled() => return self.give_back().await,
                () = tokio::time::sleep(LEASE / 3) => {}
            }
            let started = Instant::now();
            let lease = self.candidate.lease(&self.lease);
            let renewed = self
                .candidate
                .member
                .write(&self.candidate.at, &lease, Write::Replace);
            match tokio::time::timeout(LEASE / 6, renewed).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    self.guard.extend(started + LEASE * 2 / 3);
                }
                Ok(Err(error)) if error.class == Class::Conflict => {
                    if !self.look_again().await {
                        tracing::warn!("another agent took the lease");
                        self.guard.close();
                        return;
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "lease is not renewed"),
                Err(_) => tracing::debug!("lease is not renewed in time"),
            }
            if !self.guard.is_open() {
                return;
            }
        }
    }

    /// Whether the lease is still ours, after somebody wrote it.
    async fn look_again(&mut self) -> bool {
        match self.candidate.member.get(&self.candidate.at).await {
            Ok(Some(found)) => {
                let holder = manifest::text(&found, &["spec", "holderIdentity"]);
                let ours = holder == self.candidate.identity;
                self.lease = found;
                ours
            }
            Ok(None) => false,
            // Not known: the guard ends it in time.
            Err(_) => true,
        }
    }

    async fn give_back(mut self) {
        self.guard.close();
        let mut lease = self.candidate.lease(&self.lease);
        lease["spec"]["holderIdentity"] = "".into();
        lease["spec"]["leaseDurationSeconds"] = 1.into();
        let at = &self.candidate.at;
        let written = self.candidate.member.write(at, &lease, Write::Replace);
        match tokio::time::timeout(LEASE / 6, written).await {
            Ok(Ok(lease)) => self.lease = lease,
            _ => tracing::debug!("lease is not given back; it will run out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::memory::MemoryMember;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn a_released_lease_is_taken_at_once_and_counts() {
        run(async {
            let member: Arc<dyn MemberApi> = Arc::new(MemoryMember::default());
            let shutdown = CancellationToken::new();
            let one = Candidate::new(Arc::clone(&member), "flotilla-system", "one", false);
            let lead = one.lead(&shutdown).await.expect("nobody leads");
            assert!(lead.guard.is_open() && lead.transitions() == 0);
            let guard = lead.guard.clone();
            let two = Candidate::new(Arc::clone(&member), "flotilla-system", "two", true);
            let lost = two.try_once(&mut None).await.expect("the member answers");
            assert!(lost.is_none(), "the lease is held");
            let stop = CancellationToken::new();
            stop.cancel();
            lead.keep(stop).await;
            assert!(!guard.is_open());
            let lead = two.lead(&shutdown).await.expect("given back");
            assert_eq!(lead.transitions(), 1);
        });
    }

    #[test]
    fn the_same_process_need_not_wait_for_itself() {
        run(async {
            let member: Arc<dyn MemberApi> = Arc::new(MemoryMember::default());
            let mk = |alone| Candidate::new(Arc::clone(&member), "flotilla-system", "one", alone);
            let shutdown = CancellationToken::new();
            mk(false).lead(&shutdown).await.expect("nobody leads");
            let unsure = mk(false)
                .try_once(&mut None)
                .await
                .expect("the member answers");
            assert!(unsure.is_none());
            let sure = mk(true)
                .try_once(&mut None)
                .await
                .expect("the member answers");
            assert!(sure.is_some());
        });
    }

    #[test]
    fn nothing_is_written_without_the_lead() {
        run(async {
            let member = MemoryMember::default();
            let guard = Guard::closed();
            let guarded = Guarded::new(Arc::new(member.clone()), guard.clone(), true);
            let at = At::new(Kind::namespace(), "", "n");
            let object = json!({"metadata": {"name": "n"}});
            let error = guarded.create(&at, &object).await.expect_err("closed");
            assert_eq!(error.class, Class::NotLeader);
            assert!(member.writes().is_empty());
            guard.extend(Instant::now() + LEASE);
            guarded.create(&at, &object).await.expect("open");
        });
    }
}
