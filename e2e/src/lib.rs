//! Worlds, scenarios, faults, benches and the demo: the product seen from outside.
//!
//! Nothing depends on this crate.

pub mod bench;
pub mod conform;
pub mod demo;
pub mod multicall;
pub mod real;
pub mod scenario;
pub mod scenarios;
pub mod world;
