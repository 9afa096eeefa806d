//! What the engine remembers about members and about the step in work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared::ids::{Generation, Identity, MicroBatchId, Slot, Step, WorkerId};
use shared::wire::message::{Applied, Hello, Position, SyncSource, Task};

use super::pace::Pace;
use super::work::StepWork;

/// How many assignments a worker holds, so that it never waits for a round trip.
pub(super) const DEPTH: usize = 2;

/// One connected worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) hello: Hello,
    pub(super) device_class: String,
    pub(super) state: MemberState,
    pub(super) heard: Duration,
    pub(super) suspect: bool,
    /// It leaves politely; at this time it is let go whatever it still holds.
    pub(super) draining: Option<Duration>,
    /// What it was given and has not answered, oldest first; the first is being computed.
    pub(super) outstanding: VecDeque<Outstanding>,
    pub(super) pace: Pace,
    /// Assignments it would not begin, since it last delivered one.
    pub(super) skips: usize,
    /// When it last proved a state.
    pub(super) proved: Duration,
    /// Tries at bringing its state up.
    pub(super) syncs: usize,
    /// Where it was last told to take the state from.
    pub(super) source: Option<SyncSource>,
    /// How often it proved another state than the agreed one.
    pub(super) unlike: usize,
    /// It is asked to hash its committed state, until then.
    pub(super) proving: Option<Duration>,
    /// It was named as slow.
    pub(super) named_slow: bool,
}

/// A task on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outstanding {
    pub(super) step: Step,
    pub(super) micro_batch: MicroBatchId,
    pub(super) task: Task,
    /// The member set in which it was given: an older answer is not the answer to it.
    pub(super) generation: Generation,
    /// Since when it is the first.
    pub(super) since: Duration,
}

/// Where a worker stands on its way into the generation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MemberState {
    /// Loading its base model.
    Joining { deadline: Duration },
    /// Back after the coordinator was away, with what it holds.
    Returned(Box<Position>),
    /// Waiting for a source of the state.
    Loaded,
    /// Bringing its state up; from a member it then follows.
    Syncing { deadline: Duration, follows: bool },
    /// Holds the state of a committed step.
    Ready { step: Step, follows: bool },
    /// Counts in this generation.
    Working { slot: Slot },
}

impl Member {
    pub(super) fn new(hello: Hello, state: MemberState, now: Duration) -> Self {
        Self {
            hello,
            device_class: String::new(),
            state,
            heard: now,
            suspect: false,
            draining: None,
            outstanding: VecDeque::new(),
            pace: Pace::default(),
            skips: 0,
            proved: now,
            syncs: 0,
            source: None,
            unlike: 0,
            proving: None,
            named_slow: false,
        }
    }

    pub(super) fn is_working(&self) -> bool {
        matches!(self.state, MemberState::Working { .. })
    }

    /// Holds the state of this committed step.
    pub(super) fn has_state(&self, committed: Step) -> bool {
        self.is_working()
            || matches!(self.state, MemberState::Ready { step, .. } if step == committed)
    }

    /// May be given work.
    pub(super) fn is_free(&self) -> bool {
        self.is_working() && !self.suspect && self.draining.is_none()
    }

    pub(super) fn give(
        &mut self,
        at: &Identity,
        micro_batch: MicroBatchId,
        task: Task,
        now: Duration,
    ) {
        self.outstanding.push_back(Outstanding {
            step: at.step,
            micro_batch,
            task,
            generation: at.generation,
            since: now,
        });
    }

    /// Nothing can be said about the time before.
    pub(super) fn begins_now(&mut self, now: Duration) {
        if let Some(first) = self.outstanding.front_mut() {
            first.since = now;
        }
    }

    /// Takes an answered task off; the next one begins now.
    pub(super) fn answered(
        &mut self,
        at: &Identity,
        micro_batch: MicroBatchId,
        task: Task,
        now: Duration,
    ) -> bool {
        let place = self.outstanding.iter().position(|o| {
            (o.step, o.micro_batch, o.task) == (at.step, micro_batch, task)
                && at.generation >= o.generation
        });
        let Some(place) = place else { return false };
        self.outstanding.remove(place);
        if place == 0 {
            self.begins_now(now);
        }
        true
    }
}

/// What the run is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// The coordinator came back: the workers it knew are awaited.
    Recovering {
        until: Duration,
        expected: BTreeSet<WorkerId>,
    },
    /// At a step boundary, until enough members are ready.
    Gathering,
    /// Micro-batches are computed.
    Computing(StepWork),
    /// Everything is credited; the total is reduced and applied.
    Reducing(Reducing),
    /// Every step is committed; the last checkpoint is written.
    Finishing,
    /// Nothing more will happen.
    Over,
}

/// A reduce on its way.
#[derive(Debug, Default)]
pub(super) struct Reducing {
    pub(super) work: StepWork,
    /// The members it runs among, by slot.
    pub(super) slots: Vec<WorkerId>,
    pub(super) applied: BTreeMap<WorkerId, Applied>,
    /// Second opinions, once the states differed: committed digest, new digest.
    pub(super) again: Option<BTreeMap<WorkerId, (String, String)>>,
    pub(super) retries: u32,
    pub(super) since: Duration,
}
