//! Runs the all-reduce beside the session, so that orders are heard while it goes on.
//!
//! In: member sets and sums, in order. Out: totals or failures. A new member set cancels what is in
//! flight and makes void what waits. Keeps: no order is dropped unless a newer one made it void.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::Result;
use shared::faults::Faults;
use shared::ids::{Identity, Slot};
use shared::wire::message::{Member, Task};
use tokio::sync::mpsc;

use super::orders::{Order, Orders};
use crate::collective::{
    Buffer, Cancel, CancelSource, Collective, CollectiveError, FailureKind, MemberAddress,
    Transport,
};

/// What came of one reduce.
#[derive(Debug)]
pub struct Reduced {
    /// Step, attempt and generation that the reduce was asked for.
    pub identity: Identity,
    /// What was summed up: a step or an evaluation.
    pub task: Task,
    /// Number of members that took part.
    pub world_size: usize,
    /// The sum of all members' sums; for a lone worker its own sum.
    pub total: std::result::Result<Buffer, CollectiveError>,
    /// Time that the reduce took, microseconds.
    pub micros: u64,
    /// Bytes handed to all peers together for this reduce.
    pub bytes_sent: u64,
}

/// What is heard of a reduce.
#[derive(Debug)]
pub enum ReduceEvent {
    /// Nothing moves on this worker; the reduce goes on.
    Stalled(Identity, CollectiveError),
    /// The reduce has ended, with a total or a failure.
    Ended(Reduced),
}

/// What a worker brings to a reduce.
#[derive(Debug)]
pub struct Contribution {
    /// This worker's sum, which the reduce only reads.
    pub sum: Buffer,
    /// Memory for the total, of any length; a lone worker needs none.
    pub room: Buffer,
}

/// Gives orders to the task that reduces.
pub struct Reducer {
    orders: Arc<Orders>,
    in_flight: CancelSource,
}

impl Reducer {
    /// Starts the task; what is heard of reduces goes to `events`.
    #[must_use]
    pub fn start(
        transport: impl Transport + 'static,
        faults: Faults,
        events: mpsc::Sender<ReduceEvent>,
    ) -> Self {
        let orders = Arc::new(Orders::default());
        let work = Work {
            transport: Box::new(transport),
            faults,
            orders: Arc::clone(&orders),
            connected: None,
            events,
        };
        tokio::spawn(work.serve());
        Self {
            orders,
            in_flight: CancelSource::new(),
        }
    }

    /// Reduces among these members from now on; a reduce among others that is in flight or waits ends.
    pub fn connect(&mut self, identity: Identity, members: Vec<Member>, slot: Slot) {
        self.abandon();
        let members = members
            .into_iter()
            .map(|m| MemberAddress {
                worker: m.worker,
                slot: m.slot,
                address: m.peer_address,
            })
            .collect();
        self.orders.connect(identity, members, slot);
    }

    /// Orders a reduce of `given` over all members.
    ///
    /// # Errors
    /// [`shared::error::Code::Internal`] when more wait than a coordinator ever orders in one generation.
    pub fn reduce(
        &mut self,
        identity: Identity,
        task: Task,
        given: Contribution,
        world_size: usize,
    ) -> Result<()> {
        self.in_flight = CancelSource::new();
        let cancel = self.in_flight.token();
        self.orders
            .reduce(Order::Reduce(identity, task, given, world_size, cancel))
    }

    /// Ends the reduce in flight: its total is of no use any more.
    pub fn abandon(&mut self) {
        self.in_flight.cancel();
    }

    /// Sets the time without movement after which a reduce is told as stalled, from the next member set on.
    pub fn patience(&self, patience: Duration) {
        self.orders.patience(patience);
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        self.orders.close();
    }
}

/// The members of a generation, or why they could not be connected.
type Connected = std::result::Result<Box<dyn Collective>, CollectiveError>;

/// The task: connects and reduces, one order after the other.
struct Work {
    transport: Box<dyn Transport>,
    faults: Faults,
    orders: Arc<Orders>,
    connected: Option<(Identity, Connected)>,
    events: mpsc::Sender<ReduceEvent>,
}

impl Work {
    async fn serve(mut self) {
        while let Some(order) = self.orders.next().await {
            match order {
                Order::Connect(identity, members, slot) => {
                    self.connect(identity, members, slot).await;
                }
                Order::Reduce(identity, task, given, world_size, cancel) => {
                    let _ = self.faults.at("reduce", identity.step);
                    let started = Instant::now();
                    let before = self.bytes_sent();
                    let total = self.reduce(&identity, given, world_size, cancel).await;
                    let reduced = Reduced {
                        identity,
                        task,
                        world_size,
                        total,
                        micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
                        bytes_sent: self.bytes_sent().saturating_sub(before),
                    };
                    if self.events.send(ReduceEvent::Ended(reduced)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn connect(&mut self, identity: Identity, members: Vec<MemberAddress>, slot: Slot) {
        // The old generation's streams end before the new ones are opened.
        drop(self.connected.take());
        let (events, among) = (self.events.clone(), identity.clone());
        let stalled = move |step, attempt, error| {
            let identity = Identity {
                step,
                attempt,
                ..among.clone()
            };
            // A stalled reduce is told again while it lasts: one that finds no room here is not missed.
            let _ = events.try_send(ReduceEvent::Stalled(identity, error));
        };
        let (stalled, patience) = (Box::new(stalled), self.orders.newest_patience());
        let connecting = self
            .transport
            .connect(&identity, members, slot, patience, stalled);
        let opened = tokio::select! {
            opened = connecting => opened,
            // Members that are gone may take seconds to fail: the next set does not wait for them.
            () = self.orders.superseded() => Err(other_members()),
        };
        self.connected = Some((identity, opened));
    }

    async fn reduce(
        &mut self,
        identity: &Identity,
        given: Contribution,
        world_size: usize,
        cancel: Cancel,
    ) -> std::result::Result<Buffer, CollectiveError> {
        let Contribution { sum, room } = given;
        match self.connected.as_mut() {
            // The sum was asked for among members that are not connected any more.
            Some((among, _)) if !same_members(among, identity) => Err(other_members()),
            Some((_, Ok(_))) if world_size == 1 => Ok(sum),
            Some((_, Ok(collective))) => {
                let (step, attempt) = (identity.step, identity.attempt);
                collective
                    .all_reduce(step, attempt, sum, room, cancel)
                    .await
            }
            Some((_, Err(failure))) => Err(failure.clone()),
            None => Err(CollectiveError::new(
                FailureKind::Protocol,
                "a reduce was ordered before the members were named".to_owned(),
            )),
        }
    }

    /// Bytes handed to the members that are connected, in this generation.
    fn bytes_sent(&self) -> u64 {
        match &self.connected {
            Some((_, Ok(collective))) => collective.bytes_sent(),
            _ => 0,
        }
    }
}

fn other_members() -> CollectiveError {
    CollectiveError::new(
        FailureKind::Stale,
        "another member set came before the sum was ready".to_owned(),
    )
}

fn same_members(one: &Identity, other: &Identity) -> bool {
    (&one.run, one.term, one.generation) == (&other.run, other.term, other.generation)
}
