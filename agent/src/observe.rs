//! What the member holds: managed objects (`index`, fed by one watch per kind), and what the cluster
//! can do (`inventory`). `watches` runs the watches.
//!
//! Observing decides nothing; an error is never an absence.

pub mod index;
pub mod inventory;
pub mod kinds;
pub mod watches;
