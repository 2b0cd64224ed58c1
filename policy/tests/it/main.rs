//! Tests of the decisions, through the crate's public interface.

mod api;
mod decide;
mod interpret;
mod quantity;
mod render;
mod vectors;
