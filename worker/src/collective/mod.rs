//! Exact sums between workers: flat slices of i64 in, their total out, nothing about models.
//!
//! In: a vector of integers on every member of a generation. Out: the wrapping sum of all of them,
//! the same on every member, in another buffer; what was passed in is never written to.
//! `slices` who owns what · `reduction` the arithmetic, pure · `route`, `inbox` and `server` what
//! comes in · `link` what goes out · `metered` and `traffic` the bytes that move, and for whom · `patience`
//! how long nothing may move · `grpc` the transport that joins them · `follow` the state for a joiner and what comes
//! after it. Integer sums do not depend on the order of arrival, so neither does the result.

mod cancel;
mod error;
mod follow;
mod grpc;
mod inbox;
mod link;
mod metered;
mod net;
mod patience;
mod reduction;
mod route;
mod server;
mod slices;
mod traffic;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use shared::ids::{Attempt, Slot, Step, WorkerId};

pub use cancel::{Cancel, CancelSource};
pub use error::{CollectiveError, FailureKind};
pub use follow::{Fed, Feed, Feeding, Following, NoState, StateSource, follow};
pub use grpc::GrpcCollective;
pub use metered::{Metered, PeerDial, PeerTcp};
pub use server::PeerServer;
pub use slices::slice;
pub use traffic::{Tally, Traffic};

/// A member of a generation and where its peer service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAddress {
    /// Name of the member in the run.
    pub worker: WorkerId,
    /// Slot of the member in this generation, from 0.
    pub slot: Slot,
    /// Address of the member's peer service, `host:port`.
    pub address: String,
}

/// A running all-reduce.
pub type Reducing<'a> = Pin<Box<dyn Future<Output = Result<(), CollectiveError>> + Send + 'a>>;

/// A transport for exact sums over vectors in host memory. There is one: [`GrpcCollective`].
pub trait Collective: Send {
    /// Sums `input` over all members into `output`, which gets the same length.
    ///
    /// Every member calls this with the same step, attempt and length. Within one generation
    /// (step, attempt) must grow. After a failure `output` holds nothing of use and the same step
    /// may be tried again with a higher attempt, or in the next generation. When the call has
    /// returned, however it ended, no copy of `input` is held any more. To stop it, use `cancel`
    /// rather than dropping the future: a dropped one lets go of `input` a little later.
    fn all_reduce<'a>(
        &'a mut self,
        step: Step,
        attempt: Attempt,
        input: Arc<Vec<i64>>,
        output: &'a mut Vec<i64>,
        cancel: Cancel,
    ) -> Reducing<'a>;

    /// Bytes handed to the network for all peers together in this generation: values and message overhead.
    fn bytes_sent(&self) -> u64;
}
