//! Tests of the decisions through their public functions.

mod render;
mod vectors;
