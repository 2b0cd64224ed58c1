//! Wire messages to policy types and back, and bodies to and from their compressed form.
//!
//! One file per area; each conversion clamps or refuses what the other side may not say.

pub mod body;
pub mod capacity;
pub mod object;
