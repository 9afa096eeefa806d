//! The session service: protobuf streams in, session events out. Decides nothing.
//!
//! Keeps: every session has a name of its own, whatever the worker claims; one outbox per session with
//! a bound; a worker that does not read is a worker that is gone; a message that is too large is not
//! sent. Counts every byte, so that "no tensor through the coordinator" can be asserted.

mod listen;
mod service;
mod traffic;

pub use listen::{bind, incoming};
pub use service::{Outbox, SessionEvent, SessionService};
pub use traffic::Traffic;
