//! The index and the controllers over a front door in memory: no API server, no clock, no tasks.

mod placement;
mod removal;
mod sharing;
mod status;
mod world;
