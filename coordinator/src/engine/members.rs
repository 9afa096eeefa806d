//! The connected workers, and the state of each.
//!
//! In: sessions, and what becomes of them. Out: the lists that the other files ask for: working members by slot;
//! workers that wait for a source of the state. Keeps: a member's state changes in one place only, so that the lists
//! are right without looking at every member at every event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shared::ids::{Generation, Identity, MicroBatchId, Slot, Step, WorkerId};
use shared::wire::message::{Hello, Position, Progress, SyncSource, Task};

use super::Cost;
use super::pace::Pace;

/// Assignments that a worker holds at once, so that the worker never waits for a round trip.
pub(super) const DEPTH: usize = 2;

/// One connected worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) hello: Hello,
    pub(super) device_class: String,
    state: MemberState,
    pub(super) last_heard: Duration,
    pub(super) suspect: bool,
    /// The worker's progress counters, as its newest beat says, and when each of them last grew.
    progress: Progress,
    progress_times: ProgressTimes,
    /// Set while the worker drains: the time from which it is released, unless it is the last holder of a state.
    pub(super) drain_deadline: Option<Duration>,
    /// Assignments without an answer, oldest first; the worker computes the first.
    pub(super) outstanding: VecDeque<Outstanding>,
    pub(super) pace: Pace,
    /// Assignments that the worker refused to begin, since it last delivered a result.
    pub(super) skips: usize,
    /// When the worker last proved the digest of a state.
    pub(super) last_proof: Duration,
    /// Sources tried for this joiner; 0 again once it counts.
    pub(super) sync_tries: usize,
    /// Time before which no further source is tried.
    pub(super) next_sync_at: Duration,
    /// The source in the newest `Sync` order.
    pub(super) sync_source: Option<SyncSource>,
    /// Identity of the newest `Sync` order: an answer with another identity is to an older order.
    pub(super) sync_order: Option<Identity>,
    /// How often the worker proved another state than the agreed one.
    pub(super) wrong_proofs: usize,
    /// Set while the worker is asked to hash its committed state: the deadline for its answer.
    pub(super) proof_deadline: Option<Duration>,
    /// The committed step at which the draining worker was asked which state it holds.
    pub(super) asked_what_it_holds: Option<Step>,
    /// Whether the worker was reported as slow.
    pub(super) reported_slow: bool,
    /// Steps whose committed states the worker keeps in memory until they are on storage.
    pub(super) retains: BTreeSet<Step>,
    /// Since when the worker follows a peer without having reached the committed state.
    pub(super) behind_since: Option<Duration>,
    /// The newest generation whose members this session was told.
    pub(super) told_generation: Option<Generation>,
}

/// When each of a worker's progress counters last grew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProgressTimes {
    /// The device has finished something.
    pub(super) device: Duration,
    /// Bytes went to peers or came from them.
    pub(super) peers: Duration,
    /// Bytes went to storage or came from there.
    pub(super) storage: Duration,
}

/// An assignment without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outstanding {
    pub(super) step: Step,
    pub(super) micro_batch: MicroBatchId,
    pub(super) task: Task,
    pub(super) cost: Cost,
    /// The generation in which the assignment was given: an answer from an older generation is not the answer to it.
    pub(super) generation: Generation,
    /// Since when the assignment is the worker's oldest, which is the one being computed.
    pub(super) since: Duration,
}

/// Where a worker stands on its way into the generation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MemberState {
    /// The worker loads its base model.
    Joining { since: Duration },
    /// The worker is back after its session broke, and says what it holds.
    Returned(Box<Position>),
    /// The worker has its base model and waits for a source of the state.
    Loaded,
    /// The worker takes the state; with `follows` it takes it from a member and applies that member's totals after it.
    Syncing { since: Duration, follows: bool },
    /// The worker holds the state of a committed step.
    Ready { step: Step, follows: bool },
    /// The worker is a member of the generation.
    Working { slot: Slot },
}

impl Member {
    pub(super) fn new(hello: Hello, state: MemberState, now: Duration) -> Self {
        Self {
            hello,
            device_class: String::new(),
            state,
            last_heard: now,
            suspect: false,
            progress: Progress::default(),
            progress_times: ProgressTimes {
                device: now,
                peers: now,
                storage: now,
            },
            drain_deadline: None,
            outstanding: VecDeque::new(),
            pace: Pace::default(),
            skips: 0,
            last_proof: now,
            sync_tries: 0,
            next_sync_at: now,
            sync_source: None,
            sync_order: None,
            wrong_proofs: 0,
            proof_deadline: None,
            asked_what_it_holds: None,
            reported_slow: false,
            retains: BTreeSet::new(),
            behind_since: None,
            told_generation: None,
        }
    }

    pub(super) fn state(&self) -> &MemberState {
        &self.state
    }

    pub(super) fn is_working(&self) -> bool {
        matches!(self.state, MemberState::Working { .. })
    }

    /// The worker's slot in the generation; `None` when it is no member.
    pub(super) fn slot(&self) -> Option<Slot> {
        match self.state {
            MemberState::Working { slot } => Some(slot),
            _ => None,
        }
    }

    /// Whether the state of this committed step is the worker's newest.
    pub(super) fn has_state(&self, committed: Step) -> bool {
        self.is_working()
            || matches!(self.state, MemberState::Ready { step, .. } if step == committed)
    }

    /// Whether the worker is heard and does not drain.
    pub(super) fn stays(&self) -> bool {
        !self.suspect && self.drain_deadline.is_none()
    }

    /// Whether the worker may be given work.
    pub(super) fn is_free(&self) -> bool {
        self.is_working() && self.stays()
    }

    /// Takes in the worker's progress counters.
    pub(super) fn progresses(&mut self, progress: Progress, now: Duration) {
        let before = std::mem::replace(&mut self.progress, progress);
        for (grown, at) in [
            (
                progress.device > before.device,
                &mut self.progress_times.device,
            ),
            (
                progress.moved > before.moved,
                &mut self.progress_times.peers,
            ),
            (
                progress.stored > before.stored,
                &mut self.progress_times.storage,
            ),
        ] {
            if grown {
                *at = now;
            }
        }
    }

    /// When each of the worker's progress counters last grew.
    pub(super) fn progress_times(&self) -> ProgressTimes {
        self.progress_times
    }

    pub(super) fn give(
        &mut self,
        at: &Identity,
        task: Task,
        work: (MicroBatchId, Cost),
        now: Duration,
    ) {
        self.outstanding.push_back(Outstanding {
            step: at.step,
            micro_batch: work.0,
            task,
            cost: work.1,
            generation: at.generation,
            since: now,
        });
    }

    /// Starts the clock of the oldest assignment anew: nothing is known about the time before.
    pub(super) fn begins_now(&mut self, now: Duration) {
        if let Some(first) = self.outstanding.front_mut() {
            first.since = now;
        }
    }

    /// Removes an answered assignment and returns it; the next assignment begins now. A worker that was given the same
    /// work twice answers once.
    pub(super) fn answered(
        &mut self,
        at: &Identity,
        micro_batch: MicroBatchId,
        task: Task,
        now: Duration,
    ) -> Option<Outstanding> {
        let is_it = |o: &Outstanding| {
            (o.step, o.micro_batch, o.task) == (at.step, micro_batch, task)
                && at.generation >= o.generation
        };
        let place = self.outstanding.iter().position(is_it)?;
        let answered = self.outstanding.get(place).cloned();
        self.outstanding.retain(|o| !is_it(o));
        if place == 0 {
            self.begins_now(now);
        }
        answered
    }
}

/// All connected workers.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: BTreeMap<WorkerId, Member>,
    incarnations: BTreeMap<String, WorkerId>,
    /// Members of the generation by slot; emptied when a member comes or goes, and computed when asked for.
    working: OnceLock<Arc<[WorkerId]>>,
    /// Number of workers in [`MemberState::Loaded`].
    loaded: usize,
    /// Incarnations of workers that held a state when their session broke, and until when they are waited for.
    awaited_incarnations: BTreeMap<String, Duration>,
}

impl Members {
    pub(super) fn get(&self, worker: &WorkerId) -> Option<&Member> {
        self.all.get(worker)
    }

    pub(super) fn get_mut(&mut self, worker: &WorkerId) -> Option<&mut Member> {
        self.all.get_mut(worker)
    }

    pub(super) fn contains(&self, worker: &WorkerId) -> bool {
        self.all.contains_key(worker)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkerId, &Member)> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&WorkerId, &mut Member)> {
        self.all.iter_mut()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Member> {
        self.all.values()
    }

    pub(super) fn names(&self) -> Vec<WorkerId> {
        self.all.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Names of the workers for which `holds` is true.
    pub(super) fn those(&self, holds: impl Fn(&WorkerId, &Member) -> bool) -> Vec<WorkerId> {
        let found = self.all.iter().filter(|(id, m)| holds(id, m));
        found.map(|(id, _)| id.clone()).collect()
    }

    /// The open session of a process.
    pub(super) fn of_incarnation(&self, incarnation: &str) -> Option<&WorkerId> {
        self.incarnations.get(incarnation)
    }

    pub(super) fn insert(&mut self, worker: WorkerId, member: Member) {
        self.remove(&worker);
        if !member.hello.incarnation.is_empty() {
            self.incarnations
                .insert(member.hello.incarnation.clone(), worker.clone());
        }
        self.count(&member.state, true);
        self.all.insert(worker, member);
    }

    pub(super) fn remove(&mut self, worker: &WorkerId) -> Option<Member> {
        let member = self.all.remove(worker)?;
        if self.incarnations.get(&member.hello.incarnation) == Some(worker) {
            self.incarnations.remove(&member.hello.incarnation);
        }
        self.count(&member.state, false);
        Some(member)
    }

    pub(super) fn set_state(&mut self, worker: &WorkerId, state: MemberState) {
        let Some(member) = self.all.get_mut(worker) else {
            return;
        };
        let before = std::mem::replace(&mut member.state, state.clone());
        self.count(&before, false);
        self.count(&state, true);
    }

    fn count(&mut self, state: &MemberState, comes: bool) {
        match state {
            MemberState::Working { .. } => self.working = OnceLock::new(),
            MemberState::Loaded if comes => self.loaded += 1,
            MemberState::Loaded => self.loaded -= 1,
            _ => {}
        }
    }

    /// Whether any worker waits for a source of the state.
    pub(super) fn anybody_waits(&self) -> bool {
        self.loaded > 0
    }

    /// Members of the generation, by slot.
    pub(super) fn working(&self) -> Arc<[WorkerId]> {
        let list = self.working.get_or_init(|| {
            let slots = self.all.iter();
            let slots = slots.filter_map(|(id, m)| Some((m.slot()?, id.clone())));
            let mut working: Vec<_> = slots.collect();
            working.sort();
            working.into_iter().map(|(_, id)| id).collect()
        });
        Arc::clone(list)
    }

    /// Device classes of the generation's members.
    pub(super) fn classes_at_work(&self) -> BTreeSet<String> {
        let working = self.all.values().filter(|m| m.is_working());
        let classes: BTreeSet<_> = working.map(|m| &m.device_class).collect();
        classes.into_iter().cloned().collect()
    }

    /// Whether a member of the generation does not drain.
    pub(super) fn somebody_stays(&self) -> bool {
        let mut members = self.all.values();
        members.any(|m| m.is_working() && m.drain_deadline.is_none())
    }

    /// Clears a worker of its wrong proofs, because its checkpoint was to blame, and gives it another source.
    pub(super) fn clear_of_wrong_proofs(&mut self, worker: &WorkerId) {
        if let Some(member) = self.all.get_mut(worker) {
            member.wrong_proofs = 0;
        }
        self.set_state(worker, MemberState::Loaded);
    }

    /// After a commit: workers that hold the state before and follow nobody must take the state anew.
    pub(super) fn outdate_those_who_do_not_follow(&mut self) {
        let outdated = |_: &WorkerId, m: &Member| {
            matches!(m.state(), MemberState::Ready { follows: false, .. })
        };
        for worker in self.those(outdated) {
            self.set_state(&worker, MemberState::Loaded);
        }
    }

    /// Waits for a process that held a state when its session broke.
    pub(super) fn awaits(&mut self, incarnation: String, until: Duration) {
        self.awaited_incarnations.insert(incarnation, until);
    }

    /// The process is back.
    pub(super) fn awaits_no_more(&mut self, incarnation: &str) {
        self.awaited_incarnations.remove(incarnation);
    }

    /// Whether a worker that held a state lost its session a moment ago and may come back.
    pub(super) fn somebody_is_on_its_way(&self) -> bool {
        !self.awaited_incarnations.is_empty()
    }

    /// Stops waiting for workers that have not come back in time.
    pub(super) fn forget_the_absent(&mut self, now: Duration) {
        self.awaited_incarnations.retain(|_, until| now < *until);
    }

    /// Members of the generation with their device classes.
    pub(super) fn working_classes(&self) -> Vec<(WorkerId, String)> {
        let working = self.all.iter().filter(|(_, m)| m.is_working());
        working
            .map(|(id, m)| (id.clone(), m.device_class.clone()))
            .collect()
    }

    /// One process has one session, and what is counted beside the members is what a look at each of them gives.
    ///
    /// # Errors
    /// What differs, in words for people.
    pub(super) fn check(&self) -> Result<(), String> {
        let loaded = |m: &&Member| m.state == MemberState::Loaded;
        if self.all.values().filter(loaded).count() != self.loaded {
            return Err(format!("{} workers are counted as loaded", self.loaded));
        }
        let mut seen = BTreeSet::new();
        for (worker, member) in &self.all {
            let incarnation = &member.hello.incarnation;
            if incarnation.is_empty() {
                continue;
            }
            if !seen.insert(incarnation) {
                return Err(format!("{worker} is a second session of {incarnation}"));
            }
            if self.of_incarnation(incarnation) != Some(worker) {
                return Err(format!("{worker} is not found as {incarnation}"));
            }
        }
        let works = |(id, m): (&WorkerId, &Member)| m.is_working().then(|| id.clone());
        let working: BTreeSet<_> = self.all.iter().filter_map(works).collect();
        if !working
            .iter()
            .eq(self.working().iter().collect::<BTreeSet<_>>())
        {
            return Err(format!("the members of the generation are {working:?}"));
        }
        Ok(())
    }
}
