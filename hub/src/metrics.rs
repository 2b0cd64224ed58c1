//! What the hub counts: values are read when they are scraped, so that nothing has to be kept in step.
//!
//! Labels come from fixed words, never from objects' names or errors' texts.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::fleet::reports::{Counts, Reports};
use crate::fleet::share::Shares;
use crate::telemetry::Readiness;

/// The hub's gauges.
pub struct Metrics {
    shares: Arc<Shares>,
    reports: Arc<Reports>,
    readiness: Readiness,
}

impl Metrics {
    /// Registers them.
    pub fn register(
        registry: &mut Registry,
        shares: &Arc<Shares>,
        reports: &Arc<Reports>,
        readiness: &Readiness,
    ) {
        registry.register_collector(Box::new(Self {
            shares: Arc::clone(shares),
            reports: Arc::clone(reports),
            readiness: readiness.clone(),
        }));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Counts {
            connected,
            lost,
            works,
            applied,
        } = self.reports.counts();
        let ready = u64::from(self.readiness.waiting().is_empty());
        for (name, help, value) in [
            (
                "flotilla_hub_ready",
                "Whether everything the hub reads has arrived",
                ready,
            ),
            (
                "flotilla_hub_door_revision",
                "Front-door revision the index has read",
                self.shares.revision(),
            ),
            (
                "flotilla_hub_assignments",
                "Works that clusters should have or lose",
                self.shares.works(),
            ),
            (
                "flotilla_hub_clusters_connected",
                "Clusters with a live session",
                connected,
            ),
            (
                "flotilla_hub_clusters_lost",
                "Clusters whose session ended",
                lost,
            ),
            (
                "flotilla_hub_works_reported",
                "Works that agents have reported about",
                works,
            ),
            (
                "flotilla_hub_works_applied",
                "Of those, works that are in their member",
                applied,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}
