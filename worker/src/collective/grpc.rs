//! All-reduce over gRPC: every part straight to its owner, every total straight back.
//!
//! In: the members of a generation, then a vector per step. Out: the exact total on every member.
//! Sending and receiving run side by side, so a member that is ahead fills its peers' bounded
//! inboxes and then waits, and nobody waits for it. A total goes out range by range, as soon as the
//! range is complete. What a member still needs decides: a peer that broke after it delivered
//! everything does not spoil the sum. A member on which nothing moves says so and waits on: what it
//! needs may be on its way between others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::ids::{Attempt, Identity, Slot, Step, WorkerId};
use shared::wire::peer::{Chunk, Phase};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::inbox::{Delivery, Inboxes};
use super::link::{Link, LinkEnd};
use super::net::CHUNK_ELEMENTS;
use super::patience::Patience;
use super::reduction::Reduction;
use super::route::Key;
use super::slices::{self, Slices, chunks};
use super::traffic::Tally;
use super::{
    Buffer, Cancel, Collective, CollectiveError, Connecting, FailureKind, MemberAddress,
    PeerServer, Reducing, TellStalled, Transport,
};

/// The members of one generation, connected.
pub struct GrpcCollective {
    key: Key,
    my_slot: usize,
    workers: Vec<WorkerId>,
    /// One link to every other member, in the order of slots.
    links: Vec<Link>,
    inboxes: Inboxes,
    ends: mpsc::UnboundedReceiver<(usize, LinkEnd)>,
    ended: BTreeMap<usize, LinkEnd>,
    last: Option<(Step, Attempt)>,
    patience: Duration,
    stalled: Box<TellStalled>,
    /// Bytes that the streams of this generation have carried.
    tally: Tally,
}

impl GrpcCollective {
    /// Opens a stream to every other member. From here on the service takes this generation's
    /// streams and refuses those of older ones. Run, term and generation of `identity` count. A `handshake` may take
    /// so long: its line may be full of what another generation has sent.
    ///
    /// # Errors
    /// [`FailureKind::Unreachable`] names the member, [`FailureKind::Stale`] when this worker is in
    /// a later generation already, [`FailureKind::Protocol`] when the slots are not 0, 1, 2, ...
    pub async fn connect(
        server: &PeerServer,
        identity: &Identity,
        mut members: Vec<MemberAddress>,
        my_slot: Slot,
        handshake: Duration,
    ) -> Result<Self, CollectiveError> {
        members.sort_by_key(|member| member.slot);
        let in_order = members
            .iter()
            .zip(0_u32..)
            .all(|(member, slot)| member.slot.0 == slot);
        let me = my_slot.0 as usize;
        if !in_order || me >= members.len() {
            let slots: Vec<_> = members.iter().map(|member| member.slot.0).collect();
            return Err(CollectiveError::new(
                FailureKind::Protocol,
                format!("slots {slots:?} with mine {my_slot} are not a generation"),
            ));
        }
        let key = Key::from(identity);
        let tally = Tally::new(server.progress());
        let inboxes = Inboxes::new(server.hub().open(&key, members.len(), tally.clone())?);
        let (tell, ends) = mpsc::unbounded_channel();
        let mut opening = JoinSet::new();
        for member in members.iter().filter(|member| member.slot != my_slot) {
            let peer = (
                member.worker.clone(),
                member.slot.0 as usize,
                member.address.clone(),
            );
            let frame = frame(&key, my_slot);
            let way = (Arc::clone(server.dial()), tally.clone(), handshake);
            let opened = Link::open(way, peer, frame, tell.clone());
            opening.spawn(opened);
        }
        let mut links = Vec::with_capacity(opening.len());
        while let Some(opened) = opening.join_next().await {
            links.push(opened.map_err(|e| {
                CollectiveError::new(FailureKind::Protocol, format!("opening a link failed: {e}"))
            })??);
        }
        links.sort_by_key(|link| link.slot);
        Ok(Self {
            key,
            my_slot: me,
            workers: members.into_iter().map(|member| member.worker).collect(),
            links,
            inboxes,
            ends,
            ended: BTreeMap::new(),
            last: None,
            patience: handshake,
            stalled: Box::new(|_, _, _| {}),
            tally,
        })
    }

    /// Sets what is told when nothing has moved for `patience`, and then again and again until something does. The
    /// all-reduce goes on until it is cancelled.
    #[must_use]
    pub fn telling(
        mut self,
        patience: Duration,
        stalled: impl Fn(Step, Attempt, CollectiveError) + Send + Sync + 'static,
    ) -> Self {
        (self.patience, self.stalled) = (patience, Box::new(stalled));
        self
    }

    /// Bytes of values handed to the network in this generation, per peer.
    #[must_use]
    pub fn value_bytes_sent(&self) -> BTreeMap<WorkerId, u64> {
        let of = |link: &Link| (link.peer.clone(), link.bytes.values());
        self.links.iter().map(of).collect()
    }

    async fn run(
        &mut self,
        now: (Step, Attempt),
        input: Arc<Vec<i64>>,
        mut total: Vec<i64>,
        mut cancel: Cancel,
    ) -> Result<Buffer, CollectiveError> {
        if self.last >= Some(now) {
            return Err(CollectiveError::new(
                FailureKind::Protocol,
                format!(
                    "step {} attempt {} was reduced before in {}",
                    now.0, now.1, self.key
                ),
            ));
        }
        self.last = Some(now);
        total.resize(input.len(), 0);
        let slices = Slices::new(input.len(), self.workers.len());
        let reduction = Reduction::new(slices, self.my_slot, &input, &mut total);
        let mut sends = Sends::start(&self.links, self.sender(now), slices, &input);
        drop(input);
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(CollectiveError::new(
                FailureKind::Cancelled,
                format!("step {} attempt {} was cancelled in {}", now.0, now.1, self.key),
            )),
            outcome = self.pump(now, reduction, &mut sends) => outcome,
        };
        sends.tasks.shutdown().await;
        outcome.map(|()| total.into())
    }

    /// Moves chunks until the total is here and everything has been handed over.
    async fn pump(
        &mut self,
        now: (Step, Attempt),
        mut reduction: Reduction<'_>,
        sends: &mut Sends,
    ) -> Result<(), CollectiveError> {
        let mut patience = Patience::new(self.patience, Instant::now(), self.tally.bytes());
        loop {
            if reduction.owns_final() {
                sends.no_more_totals();
            }
            if reduction.is_complete() && sends.tasks.is_empty() {
                return Ok(());
            }
            self.check_ends(&reduction)?;
            let receiving = !reduction.is_complete();
            tokio::select! {
                biased;
                Some(sent) = sends.tasks.join_next() => {
                    let slot = sent.map_err(|e| {
                        CollectiveError::new(FailureKind::Protocol, format!("sending failed: {e}"))
                    })?;
                    sends.open.remove(&slot);
                }
                (slot, delivery) = self.inboxes.next(now, |slot| reduction.needs(slot)),
                    if receiving =>
                {
                    patience.received(Instant::now(), self.tally.bytes());
                    self.deliver(slot, delivery, &mut reduction, sends)?;
                }
                Some((slot, end)) = self.ends.recv() => {
                    self.ended.insert(slot, end);
                }
                () = tokio::time::sleep_until(patience.ends()) => {
                    if patience.is_over(Instant::now(), self.tally.bytes()) {
                        (self.stalled)(now.0, now.1, self.out_of_patience(&reduction, sends));
                        patience.again(Instant::now());
                    }
                }
            }
        }
    }

    fn deliver(
        &self,
        slot: usize,
        delivery: Delivery,
        reduction: &mut Reduction<'_>,
        sends: &Sends,
    ) -> Result<(), CollectiveError> {
        let worker = &self.workers[slot];
        match delivery {
            Delivery::Chunk(chunk) => {
                let phase = chunk.phase();
                let finished = reduction
                    .take(slot, phase, chunk.offset_elements, &chunk.values)
                    .map_err(|reason| {
                        let what = format!("worker {worker} sent a wrong chunk: {reason}");
                        CollectiveError::new(FailureKind::Protocol, what).by(worker)
                    })?;
                if !finished.is_empty() {
                    let values = slices::encode(reduction.values(finished.clone()));
                    sends.total(finished.start, &values);
                }
                Ok(())
            }
            // The peer left on purpose: the coordinator knows, and its word will end this.
            Delivery::Ended => {
                tracing::debug!(%worker, "a peer left while its part was needed");
                Ok(())
            }
            Delivery::Broken(reason) => Err(lost(worker, &reason)),
        }
    }

    /// A link that ended matters only while its peer is needed.
    fn check_ends(&self, reduction: &Reduction<'_>) -> Result<(), CollectiveError> {
        for (slot, end) in self
            .ended
            .iter()
            .filter(|(slot, _)| reduction.needs(**slot))
        {
            let worker = &self.workers[*slot];
            match end {
                LinkEnd::Closed => {}
                LinkEnd::Stale(reason) => {
                    let what = format!("worker {worker} refused: {reason}");
                    return Err(CollectiveError::new(FailureKind::Stale, what));
                }
                LinkEnd::Broken(reason) => return Err(lost(worker, reason)),
            }
        }
        Ok(())
    }

    /// Blames first who owes its own sums: a total may be late because of somebody else.
    fn out_of_patience(&self, reduction: &Reduction<'_>, sends: &Sends) -> CollectiveError {
        let others = || (0..self.workers.len()).filter(|slot| *slot != self.my_slot);
        let owes_sums = others().find(|slot| reduction.misses_partial(*slot));
        let culprit = owes_sums
            .or_else(|| others().find(|slot| reduction.needs(*slot)))
            .or_else(|| sends.open.first().copied());
        let waiting: Vec<_> = others()
            .filter(|slot| reduction.needs(*slot) || sends.open.contains(slot))
            .map(|slot| self.workers[slot].0.as_str())
            .collect();
        let error = CollectiveError::new(
            FailureKind::Stalled,
            format!(
                "nothing moves for {:?}; waiting for {}",
                self.patience,
                waiting.join(", ")
            ),
        );
        match culprit {
            Some(slot) => error.by(&self.workers[slot]),
            None => error,
        }
    }

    fn handed_over(&self) -> u64 {
        self.links.iter().map(|link| link.bytes.all()).sum()
    }

    fn sender(&self, (step, attempt): (Step, Attempt)) -> Chunk {
        let slot = Slot(u32::try_from(self.my_slot).unwrap_or(u32::MAX));
        Chunk {
            step: step.0,
            attempt: attempt.0,
            ..frame(&self.key, slot)
        }
    }
}

impl Drop for GrpcCollective {
    fn drop(&mut self) {
        self.tally.close();
    }
}

impl Collective for GrpcCollective {
    fn all_reduce<'a>(
        &'a mut self,
        step: Step,
        attempt: Attempt,
        input: Buffer,
        room: Buffer,
        cancel: Cancel,
    ) -> Reducing<'a> {
        let total = Arc::into_inner(room.into_host()).unwrap_or_default();
        Box::pin(self.run((step, attempt), input.into_host(), total, cancel))
    }

    fn bytes_sent(&self) -> u64 {
        self.handed_over()
    }
}

impl Transport for PeerServer {
    fn connect<'a>(
        &'a self,
        identity: &'a Identity,
        members: Vec<MemberAddress>,
        slot: Slot,
        patience: Duration,
        stalled: Box<TellStalled>,
    ) -> Connecting<'a> {
        Box::pin(async move {
            let opened = GrpcCollective::connect(self, identity, members, slot, patience).await?;
            Ok(Box::new(opened.telling(patience, stalled)) as Box<dyn Collective>)
        })
    }
}

fn lost(worker: &WorkerId, reason: &str) -> CollectiveError {
    let what = format!("the stream with worker {worker} broke: {reason}");
    CollectiveError::new(FailureKind::PeerLost, what).by(worker)
}

/// The chunk that opens and closes a stream, and the head of all between.
fn frame(key: &Key, slot: Slot) -> Chunk {
    Chunk {
        run_id: key.run.0.clone(),
        term: key.term.0,
        generation: key.generation.0,
        from_slot: slot.0,
        ..Chunk::default()
    }
}

/// One task per peer: first its part of the sums, then the totals as they become final.
struct Sends {
    /// Each ends with its slot.
    tasks: JoinSet<usize>,
    open: BTreeSet<usize>,
    /// At most this member's slice waits here, shared by all peers.
    totals: Vec<mpsc::UnboundedSender<(usize, Bytes)>>,
}

impl Sends {
    fn start(links: &[Link], head: Chunk, slices: Slices, input: &Arc<Vec<i64>>) -> Self {
        let mut sends = Self {
            tasks: JoinSet::new(),
            open: links.iter().map(|link| link.slot).collect(),
            totals: Vec::with_capacity(links.len()),
        };
        for link in links {
            let (totals, waiting) = mpsc::unbounded_channel();
            sends.totals.push(totals);
            let (queue, slot, part) = (link.queue(), link.slot, slices.of(link.slot));
            let (head, input) = (head.clone(), Arc::clone(input));
            let peer = link.peer.clone();
            sends.tasks.spawn(async move {
                if send(queue, head, input, part, waiting).await.is_err() {
                    // How the link ended is told by the link itself.
                    tracing::debug!(%peer, "stopped sending: the link has ended");
                }
                slot
            });
        }
        sends
    }

    fn total(&self, offset: usize, values: &Bytes) {
        for peer in &self.totals {
            // A task that is gone has told why.
            let _ = peer.send((offset, values.clone()));
        }
    }

    fn no_more_totals(&mut self) {
        self.totals.clear();
    }
}

async fn send(
    queue: mpsc::Sender<Chunk>,
    head: Chunk,
    input: Arc<Vec<i64>>,
    part: Range<usize>,
    mut totals: mpsc::UnboundedReceiver<(usize, Bytes)>,
) -> Result<(), mpsc::error::SendError<Chunk>> {
    let chunk = |phase: Phase, offset: usize, values: Bytes| Chunk {
        phase: phase.into(),
        offset_elements: offset as u64,
        values,
        ..head.clone()
    };
    for range in chunks(part, CHUNK_ELEMENTS) {
        let values = slices::encode(&input[range.clone()]);
        queue
            .send(chunk(Phase::ReduceScatter, range.start, values))
            .await?;
    }
    drop(input);
    while let Some((offset, values)) = totals.recv().await {
        queue.send(chunk(Phase::AllGather, offset, values)).await?;
    }
    Ok(())
}
