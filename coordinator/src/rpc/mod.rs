//! The session service: protobuf streams in, session events out. Decides nothing.
//!
//! Keeps: one outbox per worker with a bound; a worker that does not read is a worker that is
//! gone. Counts every byte, so that "no tensor through the coordinator" can be asserted.

mod listen;
mod service;
mod traffic;

pub use listen::bind;
pub use service::{Outbox, SessionEvent, SessionService};
pub use traffic::Traffic;
