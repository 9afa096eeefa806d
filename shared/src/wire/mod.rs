//! Protobuf to domain types.
//!
//! `message` what is said · `convert` to and from protobuf.
//! `convert` turns every body of the session into a domain type of `message`. The generated types of the session are
//! used beyond it only where a stream is opened, read or measured: `coordinator/rpc`, `coordinator/start/bounds`,
//! `worker/session`. Those of the peer service are used by `worker/collective` alone, which is that service.

mod convert;
pub mod message;

/// The session between worker and coordinator.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::large_futures)]
pub mod session {
    tonic::include_proto!("lora.session.v1");
}

/// Worker to worker.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::large_futures)]
pub mod peer {
    tonic::include_proto!("lora.peer.v1");
}
