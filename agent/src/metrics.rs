//! What is counted, in one struct. Labels come from enums, never from names or texts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::apply::Outcome;
use crate::session::Fact;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    what: &'static str,
}

/// Counters and gauges of one agent; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    outcomes: Family<Labels, Counter>,
    facts: Family<Labels, Counter>,
    writes: Counter,
    sessions: Counter,
    connected: Gauge,
    leading: Gauge,
    works: Gauge,
    ledger_writes: Counter,
}

impl Metrics {
    /// Puts everything into a registry.
    pub fn register(&self, registry: &mut Registry) {
        let agent = registry.sub_registry_with_prefix("flotilla_agent");
        agent.register("jobs", "Jobs by how they ended", self.outcomes.clone());
        agent.register("facts", "Things the session saw", self.facts.clone());
        agent.register("applies", "Objects written", self.writes.clone());
        agent.register("sessions", "Streams opened", self.sessions.clone());
        agent.register("connected", "1 while a hub answers", self.connected.clone());
        agent.register(
            "leading",
            "1 while this process leads",
            self.leading.clone(),
        );
        agent.register("works", "Works that are wanted here", self.works.clone());
        agent.register(
            "ledger_writes",
            "Writes of AgentState",
            self.ledger_writes.clone(),
        );
    }

    /// A job ended.
    pub fn outcome(&self, outcome: &Outcome) {
        let what = match outcome {
            Outcome::Applied { wrote: true, .. } => {
                self.writes.inc();
                "applied"
            }
            Outcome::Applied { .. } => "unchanged",
            Outcome::Removed => "removed",
            Outcome::Terminating => "terminating",
            Outcome::Refused { .. } => "refused",
            Outcome::Retry { .. } => "retry",
            Outcome::NoBody => "no_body",
            Outcome::NotLeader => "not_leader",
        };
        self.outcomes.get_or_create(&Labels { what }).inc();
    }

    /// The session saw something.
    pub fn fact(&self, fact: Fact) {
        let what = match fact {
            Fact::Upsert => "upsert",
            Fact::Tombstone => "tombstone",
            Fact::Nack => "nack",
            Fact::DigestMismatch => "digest_mismatch",
            Fact::RuleBroken => "rule_broken",
        };
        self.facts.get_or_create(&Labels { what }).inc();
    }

    /// A stream was opened, or ended.
    pub fn connected(&self, up: bool) {
        if up {
            self.sessions.inc();
        }
        self.connected.set(i64::from(up));
    }

    /// This process leads, or does not.
    pub fn leading(&self, leads: bool) {
        self.leading.set(i64::from(leads));
    }

    /// How many works there are.
    pub fn works(&self, count: usize) {
        self.works.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// AgentState was written.
    pub fn ledger_written(&self) {
        self.ledger_writes.inc();
    }
}
