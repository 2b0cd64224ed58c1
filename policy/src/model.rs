//! Plain data that every decision shares: manifest paths and selectors.

pub mod manifest;
pub mod marks;
pub mod selectors;
