//! Every decision of Flotilla, as pure functions of plain data.
//!
//! Hub and agents call the same code, so a preview equals what runs. Time, seeds and estimates are
//! arguments. Nothing here reads a file, a clock, a socket or the environment, and nothing panics on
//! input: an expected refusal is data in a report, only broken input is an error.

pub mod api;
pub mod assigning;
pub mod check;
pub mod interpret;
pub mod matching;
pub mod model;
pub mod overriding;
pub mod render;
pub mod schedule;
