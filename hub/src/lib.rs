//! The hub: matches templates with policies, schedules, writes bindings, and serves every agent its
//! share over one mTLS stream.
//!
//! Keeps nothing of its own: what lasts is an object at the front door, written by compare-and-swap.

pub mod admission;
pub mod app;
pub mod config;
pub mod controllers;
pub mod durable;
pub mod epochs;
pub mod fleet;
pub mod front_door;
pub mod install;
pub mod leader;
pub mod metrics;
pub mod pki;
pub mod rbac;
pub mod telemetry;
