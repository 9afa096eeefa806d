//! Exact sums between workers: flat vectors of i64 in, their total out, nothing about models.
//!
//! In: a vector of integers on every member of a generation. Out: the wrapping sum of all of them,
//! the same on every member, in another buffer; what was passed in is never written to.
//! `buffer` where the integers lie · `slices` who owns what · `reduction` the arithmetic, pure · `route`, `inbox` and `server` what
//! comes in · `link` what goes out · `metered` and `traffic` the bytes that move, and for whom · `patience`
//! how long nothing may move · `grpc` the transport that joins them · `follow` the state for a joiner and what comes
//! after it. Integer sums do not depend on the order of arrival, so neither does the result.

mod buffer;
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
use std::time::Duration;

use shared::ids::{Attempt, Identity, Slot, Step, WorkerId};

pub use buffer::Buffer;
pub use cancel::{Cancel, CancelSource};
pub use error::{CollectiveError, FailureKind};
pub use follow::{FeedItem, Feeding, Follower, NoState, StateFeed, StateSource, follow};
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

/// A running all-reduce, which ends with the total.
pub type Reducing<'a> = Pin<Box<dyn Future<Output = Result<Buffer, CollectiveError>> + Send + 'a>>;

/// The members of one generation, connected for exact sums. There is one kind: [`GrpcCollective`].
pub trait Collective: Send {
    /// Sums `input` over all members; the total has the same length. `room` gives its memory for the total where nobody
    /// else holds it, whatever its length.
    ///
    /// Every member calls this with the same step, attempt and length. Within one generation
    /// (step, attempt) must grow. After a failure the same step may be tried again with a higher attempt, or in the next
    /// generation. When the call has returned, however it ended, no copy of `input` is held any more. To stop it, use
    /// `cancel` rather than dropping the future: a dropped one lets go of `input` a little later.
    fn all_reduce<'a>(
        &'a mut self,
        step: Step,
        attempt: Attempt,
        input: Buffer,
        room: Buffer,
        cancel: Cancel,
    ) -> Reducing<'a>;

    /// Bytes handed to the network for all peers together in this generation: values and message overhead.
    fn bytes_sent(&self) -> u64;
}

/// Hears of an all-reduce on which nothing moves, and whom it waits for.
pub type TellStalled = dyn Fn(Step, Attempt, CollectiveError) + Send + Sync;

/// The members of a generation on their way to being connected.
pub type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Collective>, CollectiveError>> + Send + 'a>>;

/// What connects the members of a generation. There is one kind: the peer service, [`PeerServer`].
pub trait Transport: Send + Sync {
    /// Connects this worker, which has `slot`, with the others of `members`. Run, term and generation of `identity`
    /// count. When nothing has moved for `patience`, `stalled` is told, and then again and again until something does;
    /// the all-reduce goes on.
    fn connect<'a>(
        &'a self,
        identity: &'a Identity,
        members: Vec<MemberAddress>,
        slot: Slot,
        patience: Duration,
        stalled: Box<TellStalled>,
    ) -> Connecting<'a>;
}
