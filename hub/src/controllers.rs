//! The hub's reconcilers: each looks at the index, plans, and writes what differs.
//!
//! One loop shape (`driver`) and one file per controller. Decisions are policy's; here they become
//! writes to single objects, each under the leader's term.

pub mod aggregation;
pub mod clusters;
pub mod driver;
pub mod placement;
pub mod removals;
pub mod writes;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fleet::reports::Reports;
use driver::Env;

/// All controllers of one reign.
pub struct Controllers {
    env: Env,
    reports: Arc<Reports>,
}

impl Controllers {
    /// Over what the front door says and what agents report.
    #[must_use]
    pub fn new(env: Env, reports: Arc<Reports>) -> Self {
        Self { env, reports }
    }

    /// Runs them until shutdown; what was begun is ended. Only while leading, and only after the
    /// front door is ready.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { env, reports } = self;
        let index = &env.index;
        let placement = placement::Placement::new(Arc::clone(index));
        let removals = removals::Removals::new(Arc::clone(index), Arc::clone(&reports));
        let clusters = clusters::Clusters::new(Arc::clone(index), Arc::clone(&reports));
        let status = aggregation::Aggregation::new(Arc::clone(index), Arc::clone(&reports));
        // A reign begins with a look at everything: what changed before it was nobody's to write.
        index.touch_all();
        let woken = || vec![reports.subscribe()];
        let stop = || shutdown.clone();
        // A task each: a burst of plans in one must not keep another's writes from being polled.
        let mut tasks = JoinSet::new();
        tasks.spawn(driver::run(
            placement.into(),
            env.clone(),
            Vec::new(),
            stop(),
        ));
        tasks.spawn(driver::run(removals.into(), env.clone(), woken(), stop()));
        tasks.spawn(driver::run(clusters.into(), env.clone(), woken(), stop()));
        tasks.spawn(driver::run(status.into(), env.clone(), woken(), stop()));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
