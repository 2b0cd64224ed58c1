//! Tests of the decisions, through the crate's public interface.

mod render;
mod vectors;
