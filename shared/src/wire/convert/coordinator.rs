//! What the coordinator says.

use super::worker::task;
use super::{error_json, ids, indices, missing, parse_error};
use crate::error::{Error, Result};
use crate::evaluation::{EvaluationSet, Prompts};
use crate::ids::{Generation, Slot, Step, WorkerId};
use crate::wire::message::{Envelope, Member, MemberChange, Sync, SyncSource, ToWorker, Welcome};
use crate::wire::session::{self as pb, coordinator_message, sync as pb_sync};

impl From<Envelope<ToWorker>> for pb::CoordinatorMessage {
    fn from(message: Envelope<ToWorker>) -> Self {
        use coordinator_message::Body;
        let body = match message.body {
            ToWorker::Welcome(welcome) => Body::Welcome(pb::Welcome {
                worker_id: welcome.worker_id,
                config_json: welcome.config_json,
                base_digest: welcome.base_digest,
                dataset_path: welcome.dataset_path,
                run_identity: welcome.run_identity,
                lease_ms: welcome.lease_ms,
                ride_through_ms: welcome.ride_through_ms,
                beat_ms: welcome.beat_ms,
                reduce_patience_ms: welcome.reduce_patience_ms,
                keep_sums: welcome.keep_sums,
                evaluation_sets: welcome
                    .evaluation_sets
                    .into_iter()
                    .map(Into::into)
                    .collect(),
                prompts: Some(welcome.prompts.into()),
            }),
            ToWorker::Refused(error) => Body::Refused(pb::Refused {
                code: error.code.to_string(),
                error_json: error_json(&error),
            }),
            ToWorker::Sync(sync) => Body::Sync(sync.into()),
            ToWorker::Members(change) => Body::Members(pb::Members {
                since: change.since.map_or(0, |generation| generation.0),
                left: change.left.into_iter().map(|w| w.0).collect(),
                members: change
                    .members
                    .into_iter()
                    .map(|m| pb::Member {
                        worker_id: m.worker.0,
                        slot: m.slot.0,
                        peer_address: m.peer_address,
                    })
                    .collect(),
            }),
            ToWorker::Assign(task, list) => Body::Assign(pb::Assign {
                micro_batches: indices(list),
                kind: pb::TaskKind::from(task) as i32,
            }),
            ToWorker::Withdraw(task, list) => Body::Withdraw(pb::Withdraw {
                micro_batches: indices(list),
                kind: pb::TaskKind::from(task) as i32,
            }),
            ToWorker::Reapply => Body::Reapply(pb::Reapply {}),
            ToWorker::Prove => Body::Prove(pb::Prove {}),
            ToWorker::Retain(steps) => Body::Retain(pb::Retain {
                steps: steps.into_iter().map(|s| s.0).collect(),
            }),
            ToWorker::Explain => Body::Explain(pb::Explain {}),
            ToWorker::Release => Body::Release(pb::Release {}),
            ToWorker::Credit(task, list) => Body::Credit(pb::Credit {
                micro_batches: indices(list),
                kind: pb::TaskKind::from(task) as i32,
            }),
            ToWorker::Reduce { task, fingerprint } => Body::Reduce(pb::Reduce {
                fingerprint,
                kind: pb::TaskKind::from(task) as i32,
            }),
            ToWorker::Commit { state_digest } => Body::Commit(pb::Commit { state_digest }),
            ToWorker::WriteCheckpoint { step, staging } => {
                Body::WriteCheckpoint(pb::WriteCheckpoint {
                    step: step.0,
                    staging,
                })
            }
            ToWorker::Finish { step } => Body::Finish(pb::Finish { step: step.0 }),
            ToWorker::Stopped { step, hold } => {
                let step = step.0;
                Body::Stopped(pb::Stopped { step, hold })
            }
            ToWorker::Stale(refused) => Body::Stale(pb::Stale {
                refused: Some(refused.into()),
            }),
            ToWorker::Beat => Body::Beat(pb::Beat::default()),
        };
        Self {
            identity: Some(message.identity.into()),
            body: Some(body),
        }
    }
}

impl TryFrom<pb::CoordinatorMessage> for Envelope<ToWorker> {
    type Error = Error;

    fn try_from(message: pb::CoordinatorMessage) -> Result<Self> {
        use coordinator_message::Body;
        let identity = message.identity.ok_or_else(|| missing("identity"))?.into();
        let body = match message.body.ok_or_else(|| missing("body"))? {
            Body::Welcome(welcome) => ToWorker::Welcome(Welcome {
                worker_id: welcome.worker_id,
                config_json: welcome.config_json,
                base_digest: welcome.base_digest,
                dataset_path: welcome.dataset_path,
                run_identity: welcome.run_identity,
                lease_ms: welcome.lease_ms,
                ride_through_ms: welcome.ride_through_ms,
                beat_ms: welcome.beat_ms,
                reduce_patience_ms: welcome.reduce_patience_ms,
                keep_sums: welcome.keep_sums,
                evaluation_sets: welcome
                    .evaluation_sets
                    .into_iter()
                    .map(Into::into)
                    .collect(),
                prompts: welcome.prompts.unwrap_or_default().into(),
            }),
            Body::Refused(refused) => {
                ToWorker::Refused(parse_error(&refused.code, &refused.error_json))
            }
            Body::Sync(sync) => ToWorker::Sync(sync.try_into()?),
            Body::Members(change) => ToWorker::Members(MemberChange {
                since: (change.since > 0).then_some(Generation(change.since)),
                left: change.left.into_iter().map(WorkerId).collect(),
                members: change
                    .members
                    .into_iter()
                    .map(|m| Member {
                        worker: WorkerId(m.worker_id),
                        slot: Slot(m.slot),
                        peer_address: m.peer_address,
                    })
                    .collect(),
            }),
            Body::Assign(assign) => ToWorker::Assign(task(assign.kind)?, ids(assign.micro_batches)),
            Body::Withdraw(withdraw) => {
                ToWorker::Withdraw(task(withdraw.kind)?, ids(withdraw.micro_batches))
            }
            Body::Reapply(_) => ToWorker::Reapply,
            Body::Prove(_) => ToWorker::Prove,
            Body::Retain(retain) => ToWorker::Retain(retain.steps.into_iter().map(Step).collect()),
            Body::Explain(_) => ToWorker::Explain,
            Body::Release(_) => ToWorker::Release,
            Body::Credit(credit) => ToWorker::Credit(task(credit.kind)?, ids(credit.micro_batches)),
            Body::Reduce(reduce) => ToWorker::Reduce {
                task: task(reduce.kind)?,
                fingerprint: reduce.fingerprint,
            },
            Body::Commit(commit) => ToWorker::Commit {
                state_digest: commit.state_digest,
            },
            Body::WriteCheckpoint(write) => ToWorker::WriteCheckpoint {
                step: Step(write.step),
                staging: write.staging,
            },
            Body::Finish(finish) => ToWorker::Finish {
                step: Step(finish.step),
            },
            Body::Stopped(stopped) => ToWorker::Stopped {
                step: Step(stopped.step),
                hold: stopped.hold,
            },
            Body::Stale(stale) => {
                ToWorker::Stale(stale.refused.ok_or_else(|| missing("refused"))?.into())
            }
            Body::Beat(_) => ToWorker::Beat,
        };
        Ok(Self { identity, body })
    }
}

impl From<Prompts> for pb::Prompts {
    fn from(prompts: Prompts) -> Self {
        let each = prompts.ids.into_iter();
        Self {
            prompts: each.map(|ids| pb::Prompt { ids }).collect(),
            stop: prompts.stop,
            max_new_tokens: prompts.max_new_tokens,
        }
    }
}

impl From<pb::Prompts> for Prompts {
    fn from(prompts: pb::Prompts) -> Self {
        Self {
            ids: prompts.prompts.into_iter().map(|p| p.ids).collect(),
            stop: prompts.stop,
            max_new_tokens: prompts.max_new_tokens,
        }
    }
}

impl From<EvaluationSet> for pb::EvaluationSet {
    fn from(set: EvaluationSet) -> Self {
        Self {
            name: set.name,
            dataset_path: set.dataset_path,
            rows: set.rows,
        }
    }
}

impl From<pb::EvaluationSet> for EvaluationSet {
    fn from(set: pb::EvaluationSet) -> Self {
        Self {
            name: set.name,
            dataset_path: set.dataset_path,
            rows: set.rows,
        }
    }
}

impl From<Sync> for pb::Sync {
    fn from(sync: Sync) -> Self {
        let source = match sync.source {
            SyncSource::Initial => pb_sync::Source::Initial(pb::Initial {}),
            SyncSource::Checkpoint(folder) => pb_sync::Source::Checkpoint(folder),
            SyncSource::Peer(address) => pb_sync::Source::Peer(address),
        };
        Self {
            step: sync.step.0,
            source: Some(source),
            state_digest: sync.state_digest,
        }
    }
}

impl TryFrom<pb::Sync> for Sync {
    type Error = Error;

    fn try_from(sync: pb::Sync) -> Result<Self> {
        let source = match sync.source.ok_or_else(|| missing("source"))? {
            pb_sync::Source::Initial(_) => SyncSource::Initial,
            pb_sync::Source::Checkpoint(folder) => SyncSource::Checkpoint(folder),
            pb_sync::Source::Peer(address) => SyncSource::Peer(address),
        };
        Ok(Self {
            step: Step(sync.step),
            source,
            state_digest: sync.state_digest,
        })
    }
}
