//! Runs the real programs on this machine and reads what they leave.
//!
//! In: a configuration for the shipped small base model. Out: exit code, events, files.
//! Every wait has a deadline; every process started here is ended here.

#![allow(clippy::panic, reason = "a harness fails by panicking")]

mod disk;
mod network;
mod programs;
mod proxy;
mod run;

pub use disk::Disk;
pub use network::{Network, Node};
pub use programs::{coordinator, device, finished, output, program, repository, worker};
pub use proxy::Proxy;
pub use run::{Finished, Run, Worker};
