//! What a template becomes in a cluster: scenarios to read, and properties of any input.

mod marks;
mod properties;
mod scenarios;
