//! What a simulated worker holds, and what changes it: states, totals, commits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::error::Code;
use shared::ids::Step;
use shared::numerics::AdapterState;
use shared::wire::message::{FailureScope, Task};
use tokio::sync::mpsc;
use worker::checkpoint::encode_snapshot;
use worker::collective::{FailureKind, Feeding, StateFeed, StateSource};
use worker::session::{Input, ReduceEvent};

use super::member::{Event, Member};
use crate::invariants::Violation;
use crate::machine::{Machine, rule};
use crate::plan::Setting;
use crate::reduce::reduce_failed;

/// The machine, and who follows it.
pub(super) struct Held {
    pub(super) machine: Machine,
    pub(super) followers: Vec<mpsc::Sender<(Step, Arc<Vec<i64>>)>>,
}

#[derive(Clone)]
pub(super) struct Own(Arc<Mutex<Held>>);

impl Own {
    pub(super) fn new(number: usize, address: &str, setting: &Setting) -> Self {
        Self(Arc::new(Mutex::new(Held {
            machine: Machine::new(number, address, setting),
            followers: Vec::new(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateSource for Own {
    fn feed(&self) -> Feeding {
        let (sender, totals) = mpsc::channel(64);
        let mut held = self.lock();
        held.followers.push(sender);
        let state = Arc::clone(held.machine.replica.state());
        Box::pin(async move {
            Some(StateFeed {
                step: state.step,
                state: encode_snapshot(&state).ok()?,
                totals,
            })
        })
    }
}

impl Member {
    pub(super) fn adopt(&self, follow: u64, state: AdapterState) -> Option<Input> {
        let mut held = self.own.lock();
        if held.machine.follow != follow {
            return None;
        }
        // Who follows this worker would miss a piece.
        held.followers.clear();
        let step = state.step;
        let state_digest = held.machine.replica.adopt(state);
        Some(Input::Synced { step, state_digest })
    }

    pub(super) fn follow_total(&self, follow: u64, step: Step, total: Vec<i64>) -> Option<Input> {
        let rule = self.rule(step);
        let mut held = self.own.lock();
        if held.machine.follow != follow || held.machine.replica.state().step.next() != step {
            return None;
        }
        let applied = held.machine.replica.apply(&rule, total, 1);
        let committed = held.machine.replica.commit(step);
        drop(held);
        self.must(committed);
        let state_digest = self.must(applied)?.state_digest;
        Some(Input::Synced { step, state_digest })
    }

    pub(super) fn reduced(&self, event: ReduceEvent) -> Option<Input> {
        let reduced = match event {
            ReduceEvent::Stalled(identity, failure) => {
                let failed = failure.told(FailureScope::Nothing);
                return Some(Input::ReduceFailed { identity, failed });
            }
            ReduceEvent::Ended(reduced) => reduced,
        };
        let identity = reduced.identity;
        let total = match reduced.total {
            Ok(total) => total.into_host(),
            Err(failure) if failure.kind == FailureKind::Cancelled => return None,
            Err(failure) => {
                let failed = failure.told(FailureScope::Reduce);
                return Some(Input::ReduceFailed { identity, failed });
            }
        };
        let rule = self.rule(identity.step);
        let mut held = self.own.lock();
        if std::mem::take(&mut held.machine.damage.state) {
            held.machine.replica.flip_parameter_bit(self.number);
        }
        let replica = &mut held.machine.replica;
        let applied = match reduced.task {
            Task::Evaluate => replica.evaluate(total, reduced.world_size),
            _ => replica.apply(&rule, total, reduced.world_size),
        };
        let now = held.machine.session.identity().clone();
        drop(held);
        match applied {
            Ok(mut report) => {
                report.bytes_sent = reduced.bytes_sent;
                report.reduce_us = reduced.micros;
                Some(Input::Applied { identity, report })
            }
            Err(error) if error.code == Code::Corrupt => Some(Input::Broken(error)),
            Err(error) => {
                if error.code == Code::Internal && now == identity {
                    self.must::<()>(Err(error.clone()));
                }
                Some(reduce_failed(identity, error))
            }
        }
    }

    pub(super) fn commit(&self, step: Step, inputs: &mut VecDeque<Input>) {
        let mut held = self.own.lock();
        let committed = held.machine.replica.commit(step);
        if let Ok((total, _)) = &committed {
            let piece = || (step, Arc::clone(total));
            held.followers.retain(|f| f.try_send(piece()).is_ok());
        }
        drop(held);
        if self.must(committed).is_some() {
            inputs.push_back(Input::Committed(step));
            inputs.extend(self.retained());
        }
    }

    /// Which earlier states it holds, when that has changed.
    pub(super) fn retained(&self) -> Option<Input> {
        let machine = &mut self.own.lock().machine;
        let retained = machine.replica.retained();
        let changed = retained != machine.told_retained;
        machine.told_retained.clone_from(&retained);
        changed.then_some(Input::Retained(retained))
    }

    pub(super) fn stage(&self, step: Step, staging: String) {
        let mut held = self.own.lock();
        let flips = std::mem::take(&mut held.machine.damage.staged);
        let state = held.machine.replica.frozen(step);
        drop(held);
        let mut scene = self.scene.lock();
        // The only holder is not lost for good: its way to storage comes back.
        let fails = scene.cannot_write == Some(self.number) && scene.working > 1;
        let outcome = match state {
            None => Err(format!("the state of step {step} is gone")),
            Some(_) if fails => Err("stale file handle".into()),
            Some(_) if scene.store.full => Err("no space left".into()),
            Some(state) => {
                let mut state = (*state).clone();
                if flips {
                    let value = &mut state.m[0];
                    *value = f32::from_bits(value.to_bits() ^ 8);
                }
                scene.store.staged.insert(staging, state);
                Ok(Vec::new())
            }
        };
        drop(scene);
        self.later((1, 200), Event::Input(Input::Staged { step, outcome }));
    }

    pub(super) fn rule(&self, step: Step) -> worker::train::StepRule {
        rule(step, self.scene.lock().setting.micro_batches(step))
    }

    /// What cannot go wrong without a bug.
    pub(super) fn must<T>(&self, outcome: shared::error::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                let what = format!("w{}: {error:?}", self.number);
                self.scene
                    .judge(Err(Violation::new("no internal errors", what)));
                None
            }
        }
    }
}
