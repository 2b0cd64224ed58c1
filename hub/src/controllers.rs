//! The hub's reconcilers: each looks at the index, plans, and writes what differs.
//!
//! One loop shape (`driver`) and one file per controller. Decisions are policy's; here they become
//! writes to single objects, each under the leader's term.

pub mod aggregation;
pub mod clusters;
pub mod driver;
pub mod placement;
pub mod writes;
