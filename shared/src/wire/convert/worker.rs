//! What a worker says.

use super::{error_json, ids, indices, missing, parse_error};
use crate::error::{Code, Error, Result};
use crate::ids::{MicroBatchId, RunId, Step, WorkerId};
use crate::numerics::LossScale;
use crate::wire::message::{
    Applied, Computed, Envelope, Failed, FailureScope, FromWorker, Hello, Loaded, Position,
    Progress, Rehearsal, SliceFingerprints, Task,
};
use crate::wire::session::{self as pb, worker_message};

impl From<Envelope<FromWorker>> for pb::WorkerMessage {
    fn from(message: Envelope<FromWorker>) -> Self {
        use worker_message::Body;
        let body = match message.body {
            FromWorker::Hello(hello) => Body::Hello(pb::Hello {
                version: hello.version,
                protocol: hello.protocol,
                name: hello.name,
                device: hello.device,
                peer_address: hello.peer_address,
                incarnation: hello.incarnation,
                resume: hello.resume.map(Into::into),
            }),
            FromWorker::Loaded(loaded) => Body::Loaded(loaded.into()),
            FromWorker::Ready { step, state_digest } => Body::Ready(pb::Ready {
                step: step.0,
                state_digest,
            }),
            FromWorker::Computed(computed) => Body::Computed(pb::Computed {
                micro_batch: computed.micro_batch.0,
                fingerprint: computed.fingerprint,
                compute_us: computed.compute_us,
                kind: pb::TaskKind::from(computed.task) as i32,
            }),
            FromWorker::Skipped(task, list) => Body::Skipped(pb::Skipped {
                micro_batches: indices(list),
                kind: pb::TaskKind::from(task) as i32,
            }),
            FromWorker::Unsynced { reason } => Body::Unsynced(pb::Unsynced { reason }),
            FromWorker::Reapplied {
                committed_digest,
                state_digest,
            } => Body::Reapplied(pb::Reapplied {
                committed_digest,
                state_digest,
            }),
            FromWorker::Proved { step, state_digest } => Body::Proved(pb::Proved {
                step: step.0,
                state_digest,
            }),
            FromWorker::Applied(applied) => Body::Applied(applied.into()),
            FromWorker::CheckpointWritten { step, outcome } => {
                let (files, error) = match outcome {
                    Ok(files) => (files, String::new()),
                    Err(error) => (Vec::new(), error),
                };
                let files = files.into_iter().map(Into::into).collect();
                Body::CheckpointWritten(pb::CheckpointWritten {
                    step: step.0,
                    files,
                    error,
                })
            }
            FromWorker::Leaving { reason, drains } => Body::Leaving(pb::Leaving { reason, drains }),
            FromWorker::Failed(failed) => Body::Failed(pb::Failed {
                code: failed.error.code.to_string(),
                error_json: error_json(&failed.error),
                culprit: failed.culprit.map(|w| w.0).unwrap_or_default(),
                scope: pb::FailureScope::from(failed.scope).into(),
            }),
            FromWorker::Slices(slices) => Body::Slices(pb::SliceFingerprints {
                sent: slices.sent,
                received: slices.received,
            }),
            FromWorker::Beat(progress) => Body::Beat(pb::Beat {
                device: progress.device,
                moved: progress.moved,
                stored: progress.stored,
            }),
        };
        Self {
            identity: Some(message.identity.into()),
            body: Some(body),
        }
    }
}

impl TryFrom<pb::WorkerMessage> for Envelope<FromWorker> {
    type Error = Error;

    fn try_from(message: pb::WorkerMessage) -> Result<Self> {
        use worker_message::Body;
        let identity = message.identity.ok_or_else(|| missing("identity"))?.into();
        let body = match message.body.ok_or_else(|| missing("body"))? {
            Body::Hello(hello) => FromWorker::Hello(Hello {
                version: hello.version,
                protocol: hello.protocol,
                name: hello.name,
                device: hello.device,
                peer_address: hello.peer_address,
                incarnation: hello.incarnation,
                resume: hello.resume.map(TryInto::try_into).transpose()?,
            }),
            Body::Loaded(loaded) => FromWorker::Loaded(loaded.into()),
            Body::Ready(ready) => FromWorker::Ready {
                step: Step(ready.step),
                state_digest: ready.state_digest,
            },
            Body::Computed(computed) => FromWorker::Computed(Computed {
                micro_batch: MicroBatchId(computed.micro_batch),
                fingerprint: computed.fingerprint,
                compute_us: computed.compute_us,
                task: task(computed.kind)?,
            }),
            Body::Skipped(skipped) => {
                FromWorker::Skipped(task(skipped.kind)?, ids(skipped.micro_batches))
            }
            Body::Unsynced(unsynced) => FromWorker::Unsynced {
                reason: unsynced.reason,
            },
            Body::Reapplied(again) => FromWorker::Reapplied {
                committed_digest: again.committed_digest,
                state_digest: again.state_digest,
            },
            Body::Proved(proved) => FromWorker::Proved {
                step: Step(proved.step),
                state_digest: proved.state_digest,
            },
            Body::Applied(applied) => FromWorker::Applied(applied.into()),
            Body::CheckpointWritten(written) => FromWorker::CheckpointWritten {
                step: Step(written.step),
                outcome: if written.error.is_empty() {
                    Ok(written.files.into_iter().map(Into::into).collect())
                } else {
                    Err(written.error)
                },
            },
            Body::Leaving(leaving) => FromWorker::Leaving {
                reason: leaving.reason,
                drains: leaving.drains,
            },
            Body::Failed(failed) => FromWorker::Failed(Failed {
                scope: failed.scope().into(),
                error: parse_error(&failed.code, &failed.error_json),
                culprit: (!failed.culprit.is_empty()).then_some(WorkerId(failed.culprit)),
            }),
            Body::Slices(slices) => FromWorker::Slices(SliceFingerprints {
                sent: slices.sent,
                received: slices.received,
            }),
            Body::Beat(beat) => FromWorker::Beat(Progress {
                device: beat.device,
                moved: beat.moved,
                stored: beat.stored,
            }),
        };
        Ok(Self { identity, body })
    }
}

impl From<Applied> for pb::Applied {
    fn from(applied: Applied) -> Self {
        Self {
            state_digest: applied.state_digest,
            total_fingerprint: applied.total_fingerprint,
            loss: applied.loss,
            grad_norm_bits: applied.grad_norm.to_bits(),
            skipped: applied.skipped,
            bytes_sent: applied.bytes_sent,
            reduce_us: applied.reduce_us,
            apply_us: applied.apply_us,
            contributed_fingerprint: applied.contributed_fingerprint,
            evaluation: applied.evaluation,
            loss_scale: applied.loss_scale.map(|s| pb::LossScale {
                scale: s.scale,
                good_steps: s.good_steps,
                skipped_steps: s.skipped_steps,
            }),
        }
    }
}

impl From<pb::Applied> for Applied {
    fn from(applied: pb::Applied) -> Self {
        Self {
            state_digest: applied.state_digest,
            total_fingerprint: applied.total_fingerprint,
            loss: applied.loss,
            grad_norm: f64::from_bits(applied.grad_norm_bits),
            skipped: applied.skipped,
            bytes_sent: applied.bytes_sent,
            reduce_us: applied.reduce_us,
            apply_us: applied.apply_us,
            contributed_fingerprint: applied.contributed_fingerprint,
            evaluation: applied.evaluation,
            loss_scale: applied.loss_scale.map(|s| LossScale {
                scale: s.scale,
                good_steps: s.good_steps,
                skipped_steps: s.skipped_steps,
            }),
        }
    }
}

impl From<Loaded> for pb::Loaded {
    fn from(loaded: Loaded) -> Self {
        Self {
            base_digest: loaded.base_digest,
            device_class: loaded.device_class,
            device: loaded.device,
            rehearsals: loaded
                .rehearsals
                .into_iter()
                .map(|r| pb::Rehearsal {
                    tokens: r.tokens,
                    compute_us: r.compute_us,
                })
                .collect(),
        }
    }
}

impl From<pb::Loaded> for Loaded {
    fn from(loaded: pb::Loaded) -> Self {
        Self {
            base_digest: loaded.base_digest,
            device_class: loaded.device_class,
            device: loaded.device,
            rehearsals: loaded
                .rehearsals
                .into_iter()
                .map(|r| Rehearsal {
                    tokens: r.tokens,
                    compute_us: r.compute_us,
                })
                .collect(),
        }
    }
}

impl From<Position> for pb::Position {
    fn from(position: Position) -> Self {
        let contribution = |(micro_batch, fingerprint): (MicroBatchId, u64)| pb::Contribution {
            micro_batch: micro_batch.0,
            fingerprint,
        };
        Self {
            run_id: position.run.0,
            worker_id: position.worker.0,
            step: position.step.0,
            state_digest: position.state_digest,
            credited: position.credited.into_iter().map(contribution).collect(),
            kind: pb::TaskKind::from(position.task) as i32,
            shadow_digest: position.shadow_digest,
            loaded: position.loaded.map(Into::into),
            retained: position
                .retained
                .into_iter()
                .map(|(step, state_digest)| pb::RetainedState {
                    step: step.0,
                    state_digest,
                })
                .collect(),
        }
    }
}

impl TryFrom<pb::Position> for Position {
    type Error = Error;

    fn try_from(position: pb::Position) -> Result<Self> {
        let pair = |c: pb::Contribution| (MicroBatchId(c.micro_batch), c.fingerprint);
        Ok(Self {
            task: task(position.kind)?,
            run: RunId(position.run_id),
            worker: WorkerId(position.worker_id),
            step: Step(position.step),
            state_digest: position.state_digest,
            credited: position.credited.into_iter().map(pair).collect(),
            shadow_digest: position.shadow_digest,
            loaded: position.loaded.map(Into::into),
            retained: position
                .retained
                .into_iter()
                .map(|r| (Step(r.step), r.state_digest))
                .collect(),
        })
    }
}

impl From<Task> for pb::TaskKind {
    fn from(task: Task) -> Self {
        match task {
            Task::Train => Self::Train,
            Task::Audit => Self::Audit,
            Task::Evaluate => Self::Evaluate,
        }
    }
}

/// Kinds of later versions, and none at all, are refused.
pub(super) fn task(kind: i32) -> Result<Task> {
    match pb::TaskKind::try_from(kind) {
        Ok(pb::TaskKind::Train) => Ok(Task::Train),
        Ok(pb::TaskKind::Audit) => Ok(Task::Audit),
        Ok(pb::TaskKind::Evaluate) => Ok(Task::Evaluate),
        _ => Err(Error::new(
            Code::VersionMismatch,
            format!("a task of kind {kind} is not understood"),
        )
        .fix("run coordinator and worker of the same version")),
    }
}

impl From<FailureScope> for pb::FailureScope {
    fn from(scope: FailureScope) -> Self {
        match scope {
            FailureScope::Work => Self::WorkUnspecified,
            FailureScope::Reduce => Self::Reduce,
            FailureScope::Nothing => Self::Nothing,
        }
    }
}

impl From<pb::FailureScope> for FailureScope {
    fn from(scope: pb::FailureScope) -> Self {
        match scope {
            pb::FailureScope::WorkUnspecified => Self::Work,
            pb::FailureScope::Reduce => Self::Reduce,
            pb::FailureScope::Nothing => Self::Nothing,
        }
    }
}
