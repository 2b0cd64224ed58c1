//! Tests of the hub through its public surface.

mod front_door;
