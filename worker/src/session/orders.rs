//! Orders that wait for the task that reduces.
//!
//! In: member sets and reduces. Out: these orders one after the other, without those that a newer member set made void.
//! Keeps: however fast generations change, at most the newest member set waits, and what was ordered after it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::ids::{Identity, Slot};
use shared::wire::message::Task;
use tokio::sync::Notify;

use super::reducer::Contribution;
use crate::collective::{Cancel, MemberAddress};

/// Patience of a reduce before the coordinator has named its own.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// Most reduces that wait in one generation: a coordinator waits for the outcome of each.
const MAX_WAITING: usize = 64;

/// What the reducing task is asked to do.
pub(super) enum Order {
    /// Reduce among these members from now on, from this slot.
    Connect(Identity, Vec<MemberAddress>, Slot),
    /// Sum a contribution over so many members, until it is cancelled.
    Reduce(Identity, Task, Contribution, usize, Cancel),
}

/// The orders, between the session and the task.
pub(super) struct Orders {
    waiting: Mutex<Waiting>,
    /// Wakes the one task that takes them.
    changed: Notify,
}

struct Waiting {
    orders: VecDeque<Order>,
    patience: Duration,
    /// Nobody gives orders any more.
    closed: bool,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                orders: VecDeque::new(),
                patience: FIRST_PATIENCE,
                closed: false,
            }),
            changed: Notify::new(),
        }
    }
}

impl Orders {
    /// A new member set: whatever waits is of an older one.
    pub(super) fn connect(&self, identity: Identity, members: Vec<MemberAddress>, slot: Slot) {
        let mut waiting = self.locked();
        waiting.orders.clear();
        let order = Order::Connect(identity, members, slot);
        waiting.orders.push_back(order);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Appends a reduce to the orders that wait.
    ///
    /// # Errors
    /// [`Code::Internal`] when too many reduces wait.
    pub(super) fn reduce(&self, order: Order) -> Result<()> {
        let mut waiting = self.locked();
        if waiting.orders.len() >= MAX_WAITING {
            let what = "more reduces were ordered than can wait";
            return Err(Error::new(Code::Internal, what)
                .why(format!(
                    "{MAX_WAITING} wait already, all of the same members"
                ))
                .fix("join again; should it come back, report it with the logs of both sides"));
        }
        waiting.orders.push_back(order);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn patience(&self, patience: Duration) {
        self.locked().patience = patience;
    }

    pub(super) fn newest_patience(&self) -> Duration {
        self.locked().patience
    }

    /// Nobody gives orders any more: what waits is void, and the task ends.
    pub(super) fn close(&self) {
        let mut waiting = self.locked();
        waiting.orders.clear();
        waiting.closed = true;
        drop(waiting);
        self.changed.notify_one();
    }

    /// The next order; nothing once nobody gives any. Only one task may wait.
    pub(super) async fn next(&self) -> Option<Order> {
        loop {
            {
                let mut waiting = self.locked();
                if let Some(order) = waiting.orders.pop_front() {
                    return Some(order);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Returns once another member set waits, or nobody gives orders any more. Cancel safe.
    pub(super) async fn superseded(&self) {
        loop {
            {
                let waiting = self.locked();
                if waiting.closed || matches!(waiting.orders.front(), Some(Order::Connect(..))) {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        // Orders stay usable whatever happened to another holder.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::Generation;

    use super::*;
    use crate::collective::{Buffer, CancelSource};

    fn at(generation: u64) -> Identity {
        Identity {
            generation: Generation(generation),
            ..Identity::default()
        }
    }

    fn reduce(generation: u64) -> Order {
        let given = Contribution {
            sum: Buffer::default(),
            room: Buffer::default(),
        };
        let cancel = CancelSource::new().token();
        Order::Reduce(at(generation), Task::Train, given, 1, cancel)
    }

    #[tokio::test]
    async fn however_many_generations_pass_the_newest_and_what_came_after_it_is_done() {
        let orders = Orders::default();
        for generation in 1..=1000 {
            orders.connect(at(generation), Vec::new(), Slot(0));
            orders.reduce(reduce(generation)).unwrap();
        }
        let first = orders.next().await.unwrap();
        assert!(matches!(first, Order::Connect(identity, ..) if identity == at(1000)));
        let second = orders.next().await.unwrap();
        assert!(matches!(second, Order::Reduce(identity, ..) if identity == at(1000)));
        orders.close();
        assert!(orders.next().await.is_none());
    }

    #[tokio::test]
    async fn more_orders_than_can_be_end_in_an_error_and_not_in_silence() {
        let orders = Orders::default();
        orders.connect(at(1), Vec::new(), Slot(0));
        let refused = (0..MAX_WAITING).find_map(|_| orders.reduce(reduce(1)).err());
        assert_eq!(refused.unwrap().code, Code::Internal);
        orders.connect(at(2), Vec::new(), Slot(0));
        orders.reduce(reduce(2)).unwrap();
    }
}
