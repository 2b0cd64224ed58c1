//! Tests of the decisions, through the crate's public interface.

mod interpret;
mod quantity;
mod vectors;
