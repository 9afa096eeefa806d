//! The session service: protobuf streams in, session events out. Decides nothing.
//!
//! Keeps: every session has a name of its own, whatever the worker claims; each session has one bounded outbox; a
//! worker that does not read its messages counts as gone; a message that is too large is not sent. Counts every byte,
//! so that "no tensor through the coordinator" can be asserted.

mod listen;
mod service;
mod traffic;

pub use listen::{NO_WORKER_CAN_CONNECT, bind};
pub use service::{Outbox, SessionEvent, SessionService};
pub use traffic::Traffic;
