//! Runs the all-reduce beside the session, so that orders are heard while it goes on.
//!
//! In: member sets and sums, in order. Out: totals or failures. A new member set cancels the
//! reduce in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::faults::Faults;
use shared::ids::{Identity, Slot, WorkerId};
use shared::wire::message::{Member, Task};
use tokio::sync::mpsc;

use crate::collective::{
    Cancel, CancelSource, Collective, CollectiveError, FailureKind, GrpcCollective, MemberAddress,
    PeerServer,
};

/// Until the coordinator names it.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// Orders waiting at most.
const QUEUE: usize = 64;

/// What came of a reduce.
#[derive(Debug)]
pub struct Reduced {
    /// As it was asked for.
    pub identity: Identity,
    /// What was summed up.
    pub task: Task,
    /// Among so many members.
    pub world: usize,
    /// The sum of all members' sums; of a lone one, what it gave.
    pub total: Result<Arc<Vec<i64>>, CollectiveError>,
    /// How long it took, us.
    pub micros: u64,
    /// Bytes handed to the network so far, by member.
    pub bytes_sent: BTreeMap<WorkerId, u64>,
}

enum Order {
    Connect(Identity, Vec<MemberAddress>, Slot),
    Reduce(Identity, Task, Contribution, usize, Cancel),
    Patience(Duration),
}

/// What a worker brings to a reduce.
#[derive(Debug)]
pub struct Contribution {
    /// Its sum.
    pub sum: Arc<Vec<i64>>,
    /// A buffer for the total, of any length; a lone worker needs none.
    pub total: Vec<i64>,
}

/// Gives orders to the task that reduces.
pub struct Reducer {
    orders: mpsc::Sender<Order>,
    in_flight: CancelSource,
}

impl Reducer {
    /// Starts the task; outcomes go to `results`.
    #[must_use]
    pub fn start(server: PeerServer, faults: Faults, results: mpsc::Sender<Reduced>) -> Self {
        let (orders, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(serve(server, faults, waiting, results));
        Self {
            orders,
            in_flight: CancelSource::new(),
        }
    }

    /// Among these members from now on; what is in flight among others ends.
    pub fn connect(&mut self, identity: Identity, members: Vec<Member>, slot: Slot) {
        self.in_flight.cancel();
        let members = members
            .into_iter()
            .map(|m| MemberAddress {
                worker: m.worker,
                slot: m.slot,
                address: m.peer_address,
            })
            .collect();
        self.order(Order::Connect(identity, members, slot));
    }

    /// Sums over all members.
    pub fn reduce(&mut self, identity: Identity, task: Task, given: Contribution, world: usize) {
        self.in_flight = CancelSource::new();
        let cancel = self.in_flight.token();
        self.order(Order::Reduce(identity, task, given, world, cancel));
    }

    /// Nothing moving for this long ends a reduce.
    pub fn patience(&self, patience: Duration) {
        self.order(Order::Patience(patience));
    }

    fn order(&self, order: Order) {
        // A full queue cannot be: the coordinator waits for the outcome of each order. Should it
        // be, the reduce's deadline on the other members names this worker.
        let _ = self.orders.try_send(order);
    }
}

/// The task: connects and reduces, one order after the other.
async fn serve(
    server: PeerServer,
    faults: Faults,
    mut orders: mpsc::Receiver<Order>,
    results: mpsc::Sender<Reduced>,
) {
    let mut connected: Option<(Identity, Result<GrpcCollective, CollectiveError>)> = None;
    let mut patience = FIRST_PATIENCE;
    while let Some(order) = orders.recv().await {
        match order {
            Order::Connect(identity, members, slot) => {
                // The old generation's streams end before the new ones are opened.
                drop(connected.take());
                let opened = GrpcCollective::connect(&server, &identity, members, slot).await;
                connected = Some((identity, opened.map(|c| c.with_patience(patience))));
            }
            Order::Patience(least) => patience = least,
            Order::Reduce(identity, task, given, world, cancel) => {
                let _ = faults.at("reduce", identity.step);
                let started = Instant::now();
                let Contribution { sum, mut total } = given;
                let total = match connected.as_mut() {
                    // The sum was asked for among members that are not connected any more.
                    Some((among, _)) if !same_members(among, &identity) => {
                        Err(CollectiveError::new(
                            FailureKind::Stale,
                            "another member set came before the sum was ready".to_owned(),
                        ))
                    }
                    Some((_, Ok(_))) if world == 1 => Ok(sum),
                    Some((_, Ok(collective))) => {
                        let (step, attempt) = (identity.step, identity.attempt);
                        collective
                            .all_reduce(step, attempt, sum, &mut total, cancel)
                            .await
                            .map(|()| Arc::new(total))
                    }
                    Some((_, Err(failure))) => Err(failure.clone()),
                    None => Err(CollectiveError::new(
                        FailureKind::Protocol,
                        "a reduce was ordered before the members were named".to_owned(),
                    )),
                };
                let reduced = Reduced {
                    identity,
                    task,
                    world,
                    total,
                    micros: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
                    bytes_sent: server.bytes_sent(),
                };
                if results.send(reduced).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn same_members(one: &Identity, other: &Identity) -> bool {
    (&one.run, one.term, one.generation) == (&other.run, other.term, other.generation)
}
