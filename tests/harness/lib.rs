//! Runs the real programs on this machine and reads what they leave.
//!
//! In: a configuration for the shipped small base model. Out: exit code, events, files.
//! Every wait has a deadline; every process started here is ended here.

#![allow(clippy::panic, reason = "a harness fails by panicking")]

mod data;
mod disk;
mod network;
mod programs;
mod proxy;
mod run;
mod skip;

pub use data::{OVERFITS, by_heart, one_long_row};
pub use disk::Disk;
pub use network::{Network, Node};
pub use programs::{coordinator, device, finished, output, program, repository, worker};
pub use proxy::Proxy;
pub use run::{Finished, Run, Worker};
pub use skip::skipped;
