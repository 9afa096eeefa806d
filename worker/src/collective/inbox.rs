//! What the other members have sent, merged in order of arrival.
//!
//! In: one bounded inbox per sender, filled by the peer service; a full one pushes back through
//! HTTP/2 to its sender. Out: the chunks of exactly one (step, attempt). Older ones are dropped with
//! a trace, newer ones wait where they are: their sender is ahead.

use std::cmp::Ordering;
use std::future::poll_fn;
use std::task::{Context, Poll};

use shared::ids::{Attempt, Step};
use shared::wire::peer::Chunk;
use tokio::sync::mpsc;

/// What a stream brings.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A piece of a vector.
    Chunk(Chunk),
    /// The sender closed the stream on purpose.
    Ended,
    /// The stream broke, and how.
    Broken(String),
}

/// The inboxes of one generation, by slot.
pub(super) struct Inboxes {
    inboxes: Vec<Inbox>,
    /// Where the next look begins, so that no sender starves another.
    turn: usize,
}

struct Inbox {
    receiver: mpsc::Receiver<Delivery>,
    /// A chunk from the future.
    held: Option<Chunk>,
    ended: bool,
}

impl Inboxes {
    pub(super) fn new(receivers: Vec<mpsc::Receiver<Delivery>>) -> Self {
        let inbox = |receiver| Inbox {
            receiver,
            held: None,
            ended: false,
        };
        Self {
            inboxes: receivers.into_iter().map(inbox).collect(),
            turn: 0,
        }
    }

    /// The next delivery for this step and attempt from a slot that is wanted.
    pub(super) async fn next(
        &mut self,
        now: (Step, Attempt),
        wanted: impl Fn(usize) -> bool,
    ) -> (usize, Delivery) {
        poll_fn(|context| {
            let count = self.inboxes.len();
            for slot in (0..count)
                .map(|i| (self.turn + i) % count)
                .filter(|slot| wanted(*slot))
            {
                if let Poll::Ready(delivery) = self.inboxes[slot].poll(context, now) {
                    self.turn = slot + 1;
                    return Poll::Ready((slot, delivery));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Inbox {
    fn poll(&mut self, context: &mut Context<'_>, now: (Step, Attempt)) -> Poll<Delivery> {
        while !self.ended {
            let chunk = match self.held.take() {
                Some(chunk) => chunk,
                None => match self.receiver.poll_recv(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Delivery::Chunk(chunk))) => chunk,
                    Poll::Ready(other) => {
                        self.ended = true;
                        return Poll::Ready(other.unwrap_or(Delivery::Ended));
                    }
                },
            };
            match (Step(chunk.step), Attempt(chunk.attempt)).cmp(&now) {
                Ordering::Equal => return Poll::Ready(Delivery::Chunk(chunk)),
                Ordering::Greater => {
                    self.held = Some(chunk);
                    return Poll::Pending;
                }
                Ordering::Less => tracing::trace!(
                    step = chunk.step,
                    attempt = chunk.attempt,
                    from_slot = chunk.from_slot,
                    "dropped a chunk of the past"
                ),
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(step: u64, attempt: u32) -> Delivery {
        Delivery::Chunk(Chunk {
            step,
            attempt,
            ..Chunk::default()
        })
    }

    fn identity(delivery: Delivery) -> (u64, u32) {
        match delivery {
            Delivery::Chunk(chunk) => (chunk.step, chunk.attempt),
            other => panic!("not a chunk: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_past_is_dropped_and_the_future_waits() {
        let (door, receiver) = mpsc::channel(8);
        for delivery in [chunk(1, 0), chunk(2, 0), chunk(2, 1), chunk(3, 0)] {
            door.send(delivery).await.unwrap();
        }
        let mut inboxes = Inboxes::new(vec![receiver]);
        let now = (Step(2), Attempt(0));
        assert_eq!(identity(inboxes.next(now, |_| true).await.1), (2, 0));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(inboxes.inboxes[0].poll(&mut context, now).is_pending());
        assert!(inboxes.inboxes[0].poll(&mut context, now).is_pending());
        assert_eq!(
            identity(inboxes.next((Step(3), Attempt(0)), |_| true).await.1),
            (3, 0)
        );
        drop(door);
        let (slot, last) = inboxes.next((Step(3), Attempt(0)), |_| true).await;
        assert!(slot == 0 && matches!(last, Delivery::Ended));
    }

    #[tokio::test]
    async fn a_busy_sender_does_not_starve_another() {
        let (busy, first) = mpsc::channel(8);
        let (quiet, second) = mpsc::channel(8);
        for _ in 0..4 {
            busy.send(chunk(1, 0)).await.unwrap();
        }
        quiet.send(chunk(1, 0)).await.unwrap();
        let mut inboxes = Inboxes::new(vec![first, second]);
        let now = (Step(1), Attempt(0));
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(inboxes.next(now, |_| true).await.0);
        }
        assert_eq!(order, [0, 1, 0]);
        assert_eq!(inboxes.next(now, |slot| slot == 0).await.0, 0);
    }
}
