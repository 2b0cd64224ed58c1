//! See ARCHITECTURE.md.

pub mod real;
