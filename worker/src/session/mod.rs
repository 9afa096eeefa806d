//! The worker's side of the lease.
//!
//! `state` decides, pure: messages and outcomes in, actions out · `run` carries them out: the
//! stream, the collective, the device and the state · `outcomes` turns what comes of it into inputs ·
//! `tasks` what runs beside it · `reducer` and `orders` the all-reduce beside it · `connect` opens the
//! stream · `feed` serves the state to joiners · `greeting` its name.
//! Keeps: integers of a micro-batch enter the sum only when the coordinator credits them to this
//! worker, and the sum is read-only from the first reduce to the commit unless more is credited.

mod connect;
mod feed;
mod greeting;
mod orders;
mod outcomes;
mod reducer;
mod run;
mod state;
mod tasks;

pub use connect::{Stream, open};
pub use reducer::{Contribution, ReduceEvent, Reduced, Reducer};
pub use run::{JoinOptions, join};
pub use state::{Action, Ending, Input, Session};
