//! The worker's side of the lease.
//!
//! `state` decides, pure: messages and outcomes in, actions out · `run` carries them out: the
//! stream, the collective and the compute thread · `connect` opens the stream.
//! Keeps: integers of a micro-batch enter the sum only when the coordinator credits them to this
//! worker, and the sum is read-only from the first reduce to the commit unless more is credited.

mod connect;
mod reducer;
mod run;
mod snapshots;
mod state;

pub use run::{JoinOptions, join};
pub use state::{Action, Ending, Input, Session};
