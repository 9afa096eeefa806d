//! Which generation the peer service works for, and where each sender's chunks go.
//!
//! In: the generation this worker connected to, and streams that name theirs. Out: a stream of the
//! same generation gets its inbox, one of an older generation or another run is refused with a typed
//! answer, one of a newer generation waits unread until this worker gets there.

use std::cmp::Ordering;

use shared::ids::{Generation, Identity, RunId, Term};
use shared::wire::peer::Chunk;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::inbox::Delivery;
use super::net::QUEUED_CHUNKS;
use super::traffic::Tally;
use super::{CollectiveError, FailureKind};

/// The run, term and generation that a stream belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) run: RunId,
    pub(super) term: Term,
    pub(super) generation: Generation,
}

impl Key {
    pub(super) fn of_chunk(chunk: &Chunk) -> Self {
        Self {
            run: RunId(chunk.run_id.clone()),
            term: Term(chunk.term),
            generation: Generation(chunk.generation),
        }
    }

    pub(super) fn matches(&self, chunk: &Chunk) -> bool {
        chunk.run_id == self.run.0
            && chunk.term == self.term.0
            && chunk.generation == self.generation.0
    }

    fn position(&self) -> (Term, Generation) {
        (self.term, self.generation)
    }
}

impl From<&Identity> for Key {
    fn from(identity: &Identity) -> Self {
        Self {
            run: identity.run.clone(),
            term: identity.term,
            generation: identity.generation,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "run {} term {} generation {}",
            self.run, self.term, self.generation
        )
    }
}

#[derive(Default)]
struct Route {
    key: Option<Key>,
    /// The inbox of each slot, until a stream takes it.
    inboxes: Vec<Option<mpsc::Sender<Delivery>>>,
    /// Tally of the bytes that the generation's streams carry.
    tally: Tally,
    /// The service ends: streams of generations to come wait no longer.
    closed: bool,
}

/// What the peer service and the collectives of one worker share.
#[derive(Default)]
pub(super) struct Hub {
    route: watch::Sender<Route>,
}

impl Hub {
    /// Turns to a generation, whose streams count in `tally`; those of older ones are refused from now on.
    pub(super) fn open(
        &self,
        key: &Key,
        world_size: usize,
        tally: Tally,
    ) -> Result<Vec<mpsc::Receiver<Delivery>>, CollectiveError> {
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..world_size)
            .map(|_| {
                let (door, inbox) = mpsc::channel(QUEUED_CHUNKS);
                (Some(door), inbox)
            })
            .unzip();
        let mut passed_by = None;
        self.route.send_if_modified(|route| {
            match &route.key {
                Some(now) if now.position() > key.position() => {
                    passed_by = Some(now.clone());
                    return false;
                }
                _ => {
                    *route = Route {
                        key: Some(key.clone()),
                        inboxes: senders,
                        tally,
                        closed: route.closed,
                    }
                }
            }
            true
        });
        match passed_by {
            None => Ok(inboxes),
            Some(now) => Err(CollectiveError::new(
                FailureKind::Stale,
                format!("{key} was passed by: this worker is in {now}"),
            )),
        }
    }

    /// Lets go of every stream that waits for a generation to come.
    pub(super) fn close(&self) {
        self.route.send_modify(|route| route.closed = true);
    }

    /// Waits until this worker is in the stream's generation and hands out the sender's inbox, and where the stream's
    /// bytes count.
    pub(super) async fn admit(
        &self,
        key: &Key,
        slot: usize,
    ) -> Result<(mpsc::Sender<Delivery>, Tally), Status> {
        let mut changes = self.route.subscribe();
        loop {
            match self.compare(key) {
                Some(Ordering::Equal) => return self.take_door(key, slot),
                Some(Ordering::Less) => return Err(self.refusal(key)),
                Some(Ordering::Greater) => {
                    if changes.borrow().closed || changes.changed().await.is_err() {
                        return Err(Status::aborted("the peer service ends"));
                    }
                }
                None => return Err(Status::failed_precondition(format!("{key} is another run"))),
            }
        }
    }

    /// Checks a request that belongs to no generation; before the first one everything passes.
    pub(super) fn check_run(&self, run: &str, term: u64) -> Result<(), Status> {
        match &self.route.borrow().key {
            Some(now) if now.run.0 != run || now.term.0 > term => Err(Status::failed_precondition(
                format!("run {run} term {term}: this worker is in {now}"),
            )),
            _ => Ok(()),
        }
    }

    /// The answer to a stream whose inbox is closed.
    pub(super) fn refusal(&self, key: &Key) -> Status {
        match &self.route.borrow().key {
            Some(now) if now.position() > key.position() => {
                tracing::debug!(refused = %key, current = %now, "stale exchange");
                Status::failed_precondition(format!("{key} is stale: this worker is in {now}"))
            }
            _ => Status::aborted(format!("this worker has left {key}")),
        }
    }

    /// How the stream's generation stands to this worker's; nothing when it is another run.
    fn compare(&self, key: &Key) -> Option<Ordering> {
        match &self.route.borrow().key {
            None => Some(Ordering::Greater),
            Some(now) if now.run != key.run => None,
            Some(now) => Some(key.position().cmp(&now.position())),
        }
    }

    fn take_door(&self, key: &Key, slot: usize) -> Result<(mpsc::Sender<Delivery>, Tally), Status> {
        let (mut door, mut passed_by) = (None, false);
        self.route.send_if_modified(|route| {
            passed_by = route.key.as_ref() != Some(key);
            if !passed_by {
                let taken = route.inboxes.get_mut(slot).and_then(Option::take);
                door = taken.map(|door| (door, route.tally.clone()));
            }
            false
        });
        door.ok_or_else(|| {
            if passed_by {
                return self.refusal(key);
            }
            Status::already_exists(format!("slot {slot} of {key} is not free or not there"))
        })
    }
}
