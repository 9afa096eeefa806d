//! The one way to the network: every listener and every channel of both services is made here.
//!
//! In: an address, a service's [`Transport`], and [`Security`](crate::security::Security). Out: a listener and the gRPC
//! server behind it, or a channel. Keeps: what a connection is wrapped in is decided in `transport` and nowhere else, so
//! TLS will be a variant of [`Security`](crate::security::Security) with an arm in two functions there.
//! `transport` limits, windows, keep-alive · `listener` connections that come in · `dial` connections that go out.

mod dial;
mod listener;
mod transport;

pub use dial::{Dial, Dialing, Tcp};
pub use listener::Listener;
pub use transport::{
    CONNECT_TIMEOUT, PEER, SESSION, TO_COORDINATOR_LIMIT, TO_PEER_LIMIT, TO_WORKER_LIMIT,
    Transport, session_endpoint,
};
