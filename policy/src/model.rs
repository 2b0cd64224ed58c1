//! Plain data that every decision shares: manifest paths, amounts and selectors.

pub mod manifest;
pub mod marks;
pub mod quantity;
pub mod selectors;
