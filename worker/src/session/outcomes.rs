//! What came of the orders, as what the session hears.
//!
//! In: outcomes of the device, the state and the all-reduce. Out: inputs, and the jobs that follow without a
//! decision: a sum goes on to the all-reduce, a total to the state.

use shared::error::{Result, render};
use shared::wire::message::{Applied, Failed, FailureScope, Task};

use super::reducer::{Contribution, ReduceEvent};
use super::run::Running;
use super::state::Input;
use crate::collective::FailureKind;
use crate::train::device_thread::DeviceOutcome;
use crate::train::state_thread::{StateJob, StateOutcome};

impl Running {
    pub(super) fn computed(&mut self, outcome: DeviceOutcome) -> Result<Option<Input>> {
        Ok(Some(match outcome {
            DeviceOutcome::Loaded(loaded, run) => {
                tracing::info!("the base model is loaded on {}", loaded.device);
                self.run = Some(run.clone());
                self.job(StateJob::Begin(run))?;
                Input::Loaded(loaded)
            }
            DeviceOutcome::Initial(first) => {
                self.job(StateJob::Initial(first))?;
                return Ok(None);
            }
            DeviceOutcome::Computed(identity, result, integers) => {
                if let Some(integers) = integers {
                    let (task, id) = (result.task, result.micro_batch);
                    self.job(StateJob::Keep(identity.step, task, id, integers))?;
                }
                Input::Computed { identity, result }
            }
            DeviceOutcome::Skipped(step, task, micro_batches) => Input::Skipped {
                step,
                task,
                micro_batches,
            },
            DeviceOutcome::Broken(error) => Input::Broken(error),
        }))
    }

    pub(super) fn stated(&mut self, outcome: StateOutcome) -> Result<Option<Input>> {
        Ok(Some(match outcome {
            StateOutcome::Synced(step, state_digest) => Input::Synced { step, state_digest },
            StateOutcome::Sum(identity, task, sum, world_size) => {
                let pool = self.run.as_ref().map(|run| &run.pool);
                let room = match pool.filter(|_| world_size > 1 && task != Task::Evaluate) {
                    Some(pool) => pool.take(),
                    None => Vec::new(),
                };
                let given = Contribution {
                    sum: sum.into(),
                    room: room.into(),
                };
                self.reducer.reduce(identity, task, given, world_size)?;
                return Ok(None);
            }
            StateOutcome::Applied(identity, report) => {
                let (reduce_us, bytes_sent) = std::mem::take(&mut self.last_reduce);
                Input::Applied {
                    identity,
                    report: Applied {
                        reduce_us,
                        bytes_sent,
                        ..report
                    },
                }
            }
            StateOutcome::Unfit(identity, error) => Input::ReduceFailed {
                identity,
                failed: Failed {
                    error,
                    culprit: None,
                    scope: FailureScope::Reduce,
                },
            },
            StateOutcome::Reapplied(identity, committed_digest, state_digest) => Input::Reapplied {
                identity,
                committed_digest,
                state_digest,
            },
            StateOutcome::Proved(step, state_digest) => Input::Proved { step, state_digest },
            StateOutcome::Slices(identity, slices) => Input::Slices { identity, slices },
            StateOutcome::Unsynced(error) => Input::SyncFailed(render(&error)),
            StateOutcome::Retained(retained) => Input::Retained(retained),
            StateOutcome::Committed(step) => Input::Committed(step),
            StateOutcome::Broken(error) => Input::Broken(error),
        }))
    }

    pub(super) fn reduced(&mut self, event: ReduceEvent) -> Result<Option<Input>> {
        let reduced = match event {
            ReduceEvent::Stalled(identity, failure) => {
                let failed = failure.told(FailureScope::Nothing);
                return Ok(Some(Input::ReduceFailed { identity, failed }));
            }
            ReduceEvent::Ended(reduced) => reduced,
        };
        let identity = reduced.identity;
        match reduced.total {
            Ok(total) => {
                self.last_reduce = (reduced.micros, reduced.bytes_sent);
                let job = StateJob::Apply(
                    identity,
                    reduced.task,
                    total.into_host(),
                    reduced.world_size,
                );
                self.job(job)?;
                Ok(None)
            }
            // This worker gave the reduce up itself: nobody waits for its outcome.
            Err(failure) if failure.kind == FailureKind::Cancelled => Ok(None),
            Err(failure) => Ok(Some(Input::ReduceFailed {
                identity,
                failed: failure.told(FailureScope::Reduce),
            })),
        }
    }
}
