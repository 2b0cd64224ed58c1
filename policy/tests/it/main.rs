//! Tests of the decisions, through the crate's public interface.

mod decide;
mod render;
mod vectors;
