//! What a worker does next: a state machine without clock, socket or tensor.

use shared::error::{Code, Error};
use shared::ids::{Generation, Identity, MicroBatchId, Slot, Step, WorkerId};
use shared::wire::message::{
    Applied, Computed, Envelope, Failed, FileDigest, FromWorker, Loaded, Member, Sync, ToWorker,
    Welcome,
};

/// What the session hears.
#[derive(Debug)]
pub enum Input {
    /// The coordinator said something.
    Coordinator(Envelope<ToWorker>),
    /// The base model is in memory.
    Loaded(Loaded),
    /// The state is at a committed step.
    Synced {
        /// Which.
        step: Step,
        /// Digest of the state.
        state_digest: String,
    },
    /// A micro-batch is computed.
    Computed {
        /// Where the run stood when it was assigned.
        identity: Identity,
        /// The outcome.
        result: Computed,
    },
    /// The total is reduced and applied to the shadow copy.
    Applied {
        /// The reduce it belongs to.
        identity: Identity,
        /// The outcome.
        report: Applied,
    },
    /// The reduce failed; the worker itself is fine.
    ReduceFailed {
        /// The reduce it belongs to.
        identity: Identity,
        /// Why.
        error: Error,
        /// Who, when known.
        culprit: Option<WorkerId>,
    },
    /// A checkpoint is staged, or not.
    Staged {
        /// Its step.
        step: Step,
        /// The files, or why not.
        outcome: Result<Vec<FileDigest>, String>,
    },
    /// Loading, syncing or computing failed: this worker cannot go on.
    Broken(Error),
    /// The stream ended.
    Lost(String),
    /// Somebody asked the worker to leave.
    Drain,
    /// Time to say something.
    Beat,
}

/// What has to be done.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Tell the coordinator.
    Say(Box<Envelope<FromWorker>>),
    /// Verify and load the base model.
    Load(Box<Welcome>),
    /// Bring the state to a committed step.
    Sync(Identity, Sync),
    /// Connect to the members of a generation; a reduce in flight is void.
    Connect {
        /// Where the run stands.
        identity: Identity,
        /// Ordered by slot.
        members: Vec<Member>,
        /// This worker's place.
        slot: Slot,
    },
    /// Compute micro-batches, in order.
    Compute {
        /// The step they belong to.
        identity: Identity,
        /// Which.
        micro_batches: Vec<MicroBatchId>,
    },
    /// Move the integers of micro-batches into the sum.
    Credit(Vec<MicroBatchId>),
    /// Reduce the sum with the others and apply the total to the shadow copy.
    Reduce(Identity),
    /// The shadow copy becomes the state.
    Commit(Step),
    /// Stage the committed state.
    Stage {
        /// Its step.
        step: Step,
        /// Where.
        staging: String,
    },
    /// The session is over.
    End(Ending),
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The run is complete.
    Complete(Step),
    /// Left on request; the run goes on without this worker.
    Drained,
    /// With an error.
    Failed(Error),
}

impl Ending {
    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Complete(step) => format!("the run is complete after step {step}"),
            Self::Drained => "left on request, the run goes on".into(),
            Self::Failed(error) => format!("the session ended: {error}"),
        }
    }
}

/// The state of one session.
#[derive(Debug, Default)]
pub struct Session {
    identity: Identity,
    worker: Option<WorkerId>,
    over: bool,
}

impl Session {
    /// Before the first message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input; returns what has to be done, in order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        if self.over {
            return Vec::new();
        }
        match input {
            Input::Coordinator(envelope) => self.coordinator(envelope),
            Input::Loaded(loaded) => self.say(FromWorker::Loaded(loaded)),
            Input::Synced { step, state_digest } => {
                self.say(FromWorker::Ready { step, state_digest })
            }
            Input::Computed { identity, result } => {
                if identity.step == self.identity.step && identity.term == self.identity.term {
                    self.say(FromWorker::Computed(result))
                } else {
                    Vec::new()
                }
            }
            Input::Applied { identity, report } => {
                if identity == self.identity {
                    self.say(FromWorker::Applied(report))
                } else {
                    Vec::new()
                }
            }
            Input::ReduceFailed {
                identity,
                error,
                culprit,
            } => {
                if identity == self.identity {
                    self.say(FromWorker::Failed(Failed {
                        error,
                        culprit,
                        retryable: true,
                    }))
                } else {
                    Vec::new()
                }
            }
            Input::Staged { step, outcome } => {
                self.say(FromWorker::CheckpointWritten { step, outcome })
            }
            Input::Broken(error) => {
                let failed = Failed {
                    error: error.clone(),
                    culprit: None,
                    retryable: false,
                };
                let mut actions = self.say(FromWorker::Failed(failed));
                actions.extend(self.end(Ending::Failed(error)));
                actions
            }
            Input::Lost(reason) => {
                let error = Error::new(Code::SessionLost, "the coordinator is gone")
                    .why(reason)
                    .fix("start it again: the run goes on from its newest checkpoint");
                self.end(Ending::Failed(error))
            }
            Input::Drain => {
                let mut actions = self.say(FromWorker::Leaving {
                    reason: "drained".into(),
                });
                actions.extend(self.end(Ending::Drained));
                actions
            }
            Input::Beat => self.say(FromWorker::Beat),
        }
    }

    fn coordinator(&mut self, envelope: Envelope<ToWorker>) -> Vec<Action> {
        let Envelope { identity, body } = envelope;
        if identity.term < self.identity.term
            || (identity.term == self.identity.term
                && identity.generation < self.identity.generation)
        {
            return Vec::new();
        }
        match body {
            ToWorker::Welcome(welcome) => {
                self.identity = Identity {
                    generation: Generation(0),
                    ..identity
                };
                self.worker = Some(WorkerId(welcome.worker_id.clone()));
                vec![Action::Load(Box::new(welcome))]
            }
            ToWorker::Refused(error) => self.end(Ending::Failed(error)),
            ToWorker::Sync(sync) => {
                self.identity = identity.clone();
                vec![Action::Sync(identity, sync)]
            }
            ToWorker::Members(members) => self.members(identity, members),
            ToWorker::Assign(micro_batches) => {
                self.identity = identity.clone();
                vec![Action::Compute {
                    identity,
                    micro_batches,
                }]
            }
            ToWorker::Credit(micro_batches) => vec![Action::Credit(micro_batches)],
            ToWorker::Reduce { .. } => {
                self.identity = identity.clone();
                vec![Action::Reduce(identity)]
            }
            ToWorker::Commit { .. } => {
                let step = identity.step;
                self.identity = identity;
                vec![Action::Commit(step)]
            }
            ToWorker::WriteCheckpoint { step, staging } => vec![Action::Stage { step, staging }],
            ToWorker::Finish { step } => self.end(Ending::Complete(step)),
            ToWorker::Stale(_) | ToWorker::Beat => Vec::new(),
        }
    }

    fn members(&mut self, identity: Identity, members: Vec<Member>) -> Vec<Action> {
        let place = members
            .iter()
            .find(|m| Some(&m.worker) == self.worker.as_ref());
        let Some(slot) = place.map(|m| m.slot) else {
            let error =
                Error::new(Code::Evicted, "this worker is not a member any more").fix("join again");
            return self.end(Ending::Failed(error));
        };
        self.identity = identity.clone();
        vec![Action::Connect {
            identity,
            members,
            slot,
        }]
    }

    fn say(&self, body: FromWorker) -> Vec<Action> {
        vec![Action::Say(Box::new(Envelope {
            identity: self.identity.clone(),
            body,
        }))]
    }

    fn end(&mut self, ending: Ending) -> Vec<Action> {
        self.over = true;
        vec![Action::End(ending)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::{Attempt, RunId, Term};

    fn at(generation: u64, step: u64, attempt: u32) -> Identity {
        Identity {
            run: RunId("r".into()),
            term: Term(1),
            generation: Generation(generation),
            step: Step(step),
            attempt: Attempt(attempt),
        }
    }

    fn told(identity: Identity, body: ToWorker) -> Input {
        Input::Coordinator(Envelope { identity, body })
    }

    fn welcomed() -> Session {
        let mut session = Session::new();
        let welcome = Welcome {
            worker_id: "w1".into(),
            ..Welcome::default()
        };
        session.on(told(at(0, 1, 0), ToWorker::Welcome(welcome)));
        session
    }

    fn member(name: &str, slot: u32) -> Member {
        Member {
            worker: WorkerId(name.into()),
            slot: Slot(slot),
            peer_address: "h:1".into(),
        }
    }

    #[test]
    fn an_applied_total_of_an_older_attempt_is_not_reported() {
        let mut session = welcomed();
        session.on(told(at(1, 1, 0), ToWorker::Members(vec![member("w1", 0)])));
        session.on(told(at(1, 1, 0), ToWorker::Reduce { fingerprint: 0 }));
        session.on(told(at(2, 1, 1), ToWorker::Members(vec![member("w1", 0)])));
        let late = Input::Applied {
            identity: at(1, 1, 0),
            report: Applied::default(),
        };
        assert!(session.on(late).is_empty());
    }

    #[test]
    fn a_micro_batch_survives_a_change_of_generation() {
        let mut session = welcomed();
        session.on(told(at(1, 1, 0), ToWorker::Assign(vec![MicroBatchId(0)])));
        session.on(told(at(2, 1, 0), ToWorker::Members(vec![member("w1", 0)])));
        let result = Computed {
            micro_batch: MicroBatchId(0),
            fingerprint: 1,
            compute_us: 1,
        };
        let actions = session.on(Input::Computed {
            identity: at(1, 1, 0),
            result,
        });
        assert!(matches!(&actions[..], [Action::Say(m)] if m.identity == at(2, 1, 0)));
    }

    #[test]
    fn an_order_of_an_older_generation_is_not_obeyed() {
        let mut session = welcomed();
        session.on(told(at(3, 2, 0), ToWorker::Members(vec![member("w1", 0)])));
        assert!(
            session
                .on(told(at(2, 2, 0), ToWorker::Reduce { fingerprint: 0 }))
                .is_empty()
        );
    }

    #[test]
    fn a_worker_that_is_no_member_ends() {
        let mut session = welcomed();
        let actions = session.on(told(at(1, 1, 0), ToWorker::Members(vec![member("w2", 0)])));
        assert!(
            matches!(&actions[..], [Action::End(Ending::Failed(e))] if e.code == Code::Evicted)
        );
        assert!(session.on(Input::Beat).is_empty());
    }

    #[test]
    fn a_drained_worker_says_so_and_ends() {
        let actions = welcomed().on(Input::Drain);
        assert!(matches!(
            &actions[..],
            [Action::Say(_), Action::End(Ending::Drained)]
        ));
    }
}
