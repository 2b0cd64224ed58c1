//! The agent's machines against a scripted hub and a member in memory, in virtual time.

mod crash;
mod hub;
mod ledger;
mod objects;
mod rig;
mod rules;
mod thread;
