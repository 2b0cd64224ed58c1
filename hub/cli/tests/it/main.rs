//! Tests of the command line through its public surface.

mod help;
