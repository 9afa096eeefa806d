//! Between protobuf and domain types; what does not convert is refused with a reason.

use super::message::{
    Applied, Computed, Envelope, Failed, FileDigest, FromWorker, Hello, Loaded, Member, Sync,
    SyncSource, ToWorker, Welcome,
};
use super::session::{self as pb, coordinator_message, sync as pb_sync, worker_message};
use crate::error::{Code, Error, Result};
use crate::ids::{Attempt, Generation, Identity, MicroBatchId, RunId, Slot, Step, Term, WorkerId};

fn missing(field: &str) -> Error {
    Error::new(
        Code::VersionMismatch,
        format!("a message came without `{field}`"),
    )
    .fix("run coordinator and worker of the same version")
}

impl From<Identity> for pb::Identity {
    fn from(identity: Identity) -> Self {
        Self {
            run_id: identity.run.0,
            term: identity.term.0,
            generation: identity.generation.0,
            step: identity.step.0,
            attempt: identity.attempt.0,
        }
    }
}

impl From<pb::Identity> for Identity {
    fn from(identity: pb::Identity) -> Self {
        Self {
            run: RunId(identity.run_id),
            term: Term(identity.term),
            generation: Generation(identity.generation),
            step: Step(identity.step),
            attempt: Attempt(identity.attempt),
        }
    }
}

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
            }),
            FromWorker::Loaded(loaded) => Body::Loaded(pb::Loaded {
                base_digest: loaded.base_digest,
                device_class: loaded.device_class,
                device: loaded.device,
            }),
            FromWorker::Ready { step, state_digest } => Body::Ready(pb::Ready {
                step: step.0,
                state_digest,
            }),
            FromWorker::Computed(computed) => Body::Computed(pb::Computed {
                micro_batch: computed.micro_batch.0,
                fingerprint: computed.fingerprint,
                compute_us: computed.compute_us,
                kind: pb::TaskKind::Train as i32,
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
            FromWorker::Leaving { reason } => Body::Leaving(pb::Leaving { reason }),
            FromWorker::Failed(failed) => Body::Failed(pb::Failed {
                code: failed.error.code.to_string(),
                error_json: error_json(&failed.error),
                culprit: failed.culprit.map(|w| w.0).unwrap_or_default(),
                retryable: failed.retryable,
            }),
            FromWorker::Beat => Body::Beat(pb::Beat {}),
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
            }),
            Body::Loaded(loaded) => FromWorker::Loaded(Loaded {
                base_digest: loaded.base_digest,
                device_class: loaded.device_class,
                device: loaded.device,
            }),
            Body::Ready(ready) => FromWorker::Ready {
                step: Step(ready.step),
                state_digest: ready.state_digest,
            },
            Body::Computed(computed) => FromWorker::Computed(Computed {
                micro_batch: MicroBatchId(computed.micro_batch),
                fingerprint: computed.fingerprint,
                compute_us: computed.compute_us,
            }),
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
            },
            Body::Failed(failed) => FromWorker::Failed(Failed {
                error: parse_error(&failed.code, &failed.error_json),
                culprit: (!failed.culprit.is_empty()).then_some(WorkerId(failed.culprit)),
                retryable: failed.retryable,
            }),
            Body::Beat(_) => FromWorker::Beat,
        };
        Ok(Self { identity, body })
    }
}

impl From<Envelope<ToWorker>> for pb::CoordinatorMessage {
    fn from(message: Envelope<ToWorker>) -> Self {
        use coordinator_message::Body;
        let indices = |list: Vec<MicroBatchId>| list.into_iter().map(|m| m.0).collect();
        let body = match message.body {
            ToWorker::Welcome(welcome) => Body::Welcome(pb::Welcome {
                worker_id: welcome.worker_id,
                config_json: welcome.config_json,
                base_digest: welcome.base_digest,
                dataset_path: welcome.dataset_path,
                dataset_digest: welcome.dataset_digest,
                run_identity: welcome.run_identity,
                lease_ms: welcome.lease_ms,
            }),
            ToWorker::Refused(error) => Body::Refused(pb::Refused {
                code: error.code.to_string(),
                error_json: error_json(&error),
            }),
            ToWorker::Sync(sync) => Body::Sync(sync.into()),
            ToWorker::Members(members) => Body::Members(pb::Members {
                members: members
                    .into_iter()
                    .map(|m| pb::Member {
                        worker_id: m.worker.0,
                        slot: m.slot.0,
                        peer_address: m.peer_address,
                    })
                    .collect(),
            }),
            ToWorker::Assign(list) => Body::Assign(pb::Assign {
                micro_batches: indices(list),
                kind: pb::TaskKind::Train as i32,
            }),
            ToWorker::Credit(list) => Body::Credit(pb::Credit {
                micro_batches: indices(list),
            }),
            ToWorker::Reduce { fingerprint } => Body::Reduce(pb::Reduce { fingerprint }),
            ToWorker::Commit { state_digest } => Body::Commit(pb::Commit { state_digest }),
            ToWorker::WriteCheckpoint { step, staging } => {
                Body::WriteCheckpoint(pb::WriteCheckpoint {
                    step: step.0,
                    staging,
                })
            }
            ToWorker::Finish { step } => Body::Finish(pb::Finish { step: step.0 }),
            ToWorker::Stale(refused) => Body::Stale(pb::Stale {
                refused: Some(refused.into()),
            }),
            ToWorker::Beat => Body::Beat(pb::Beat {}),
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
        let indices = |list: Vec<u32>| list.into_iter().map(MicroBatchId).collect();
        let body = match message.body.ok_or_else(|| missing("body"))? {
            Body::Welcome(welcome) => ToWorker::Welcome(Welcome {
                worker_id: welcome.worker_id,
                config_json: welcome.config_json,
                base_digest: welcome.base_digest,
                dataset_path: welcome.dataset_path,
                dataset_digest: welcome.dataset_digest,
                run_identity: welcome.run_identity,
                lease_ms: welcome.lease_ms,
            }),
            Body::Refused(refused) => {
                ToWorker::Refused(parse_error(&refused.code, &refused.error_json))
            }
            Body::Sync(sync) => ToWorker::Sync(sync.try_into()?),
            Body::Members(members) => ToWorker::Members(
                members
                    .members
                    .into_iter()
                    .map(|m| Member {
                        worker: WorkerId(m.worker_id),
                        slot: Slot(m.slot),
                        peer_address: m.peer_address,
                    })
                    .collect(),
            ),
            Body::Assign(assign) => ToWorker::Assign(indices(assign.micro_batches)),
            Body::Credit(credit) => ToWorker::Credit(indices(credit.micro_batches)),
            Body::Reduce(reduce) => ToWorker::Reduce {
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
            Body::Stale(stale) => {
                ToWorker::Stale(stale.refused.ok_or_else(|| missing("refused"))?.into())
            }
            Body::Beat(_) => ToWorker::Beat,
        };
        Ok(Self { identity, body })
    }
}

impl From<Applied> for pb::Applied {
    fn from(applied: Applied) -> Self {
        Self {
            state_digest: applied.state_digest,
            fingerprint: applied.fingerprint,
            loss: applied.loss,
            grad_norm_bits: applied.grad_norm.to_bits(),
            skipped: applied.skipped,
            peer_bytes_sent: applied
                .peer_bytes_sent
                .into_iter()
                .map(|(w, b)| (w.0, b))
                .collect(),
            reduce_us: applied.reduce_us,
            apply_us: applied.apply_us,
        }
    }
}

impl From<pb::Applied> for Applied {
    fn from(applied: pb::Applied) -> Self {
        Self {
            state_digest: applied.state_digest,
            fingerprint: applied.fingerprint,
            loss: applied.loss,
            grad_norm: f64::from_bits(applied.grad_norm_bits),
            skipped: applied.skipped,
            peer_bytes_sent: applied
                .peer_bytes_sent
                .into_iter()
                .map(|(w, b)| (WorkerId(w), b))
                .collect(),
            reduce_us: applied.reduce_us,
            apply_us: applied.apply_us,
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

impl From<FileDigest> for pb::FileDigest {
    fn from(file: FileDigest) -> Self {
        Self {
            name: file.name,
            bytes: file.bytes,
            sha256: file.sha256,
        }
    }
}

impl From<pb::FileDigest> for FileDigest {
    fn from(file: pb::FileDigest) -> Self {
        Self {
            name: file.name,
            bytes: file.bytes,
            sha256: file.sha256,
        }
    }
}

fn error_json(error: &Error) -> String {
    serde_json::to_string(error).unwrap_or_default()
}

fn parse_error(code: &str, json: &str) -> Error {
    serde_json::from_str(json).unwrap_or_else(|_| {
        Error::new(
            Code::VersionMismatch,
            format!("the other side failed with unknown {code}"),
        )
        .why(json.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            run: RunId("r".into()),
            term: Term(1),
            generation: Generation(2),
            step: Step(3),
            attempt: Attempt(4),
        }
    }

    #[test]
    fn what_a_worker_says_survives_the_wire() {
        let bodies = [
            FromWorker::Hello(Hello {
                version: "1".into(),
                ..Hello::default()
            }),
            FromWorker::Loaded(Loaded {
                device: "cpu".into(),
                ..Loaded::default()
            }),
            FromWorker::Ready {
                step: Step(1),
                state_digest: "d".into(),
            },
            FromWorker::Computed(Computed {
                micro_batch: MicroBatchId(7),
                fingerprint: u64::MAX,
                compute_us: 1,
            }),
            FromWorker::Applied(Applied {
                loss: -5,
                grad_norm: 0.1,
                peer_bytes_sent: [(WorkerId("w".into()), 9)].into(),
                ..Applied::default()
            }),
            FromWorker::CheckpointWritten {
                step: Step(2),
                outcome: Ok(vec![FileDigest {
                    name: "a".into(),
                    bytes: 1,
                    sha256: "s".into(),
                }]),
            },
            FromWorker::CheckpointWritten {
                step: Step(2),
                outcome: Err("full".into()),
            },
            FromWorker::Leaving {
                reason: "drain".into(),
            },
            FromWorker::Failed(Failed {
                error: Error::new(Code::NoDevice, "no GPU").fix("device: cpu"),
                culprit: Some(WorkerId("w".into())),
                retryable: true,
            }),
            FromWorker::Beat,
        ];
        for body in bodies {
            let sent = Envelope {
                identity: identity(),
                body,
            };
            let wire = pb::WorkerMessage::from(sent.clone());
            assert_eq!(Envelope::<FromWorker>::try_from(wire).unwrap(), sent);
        }
    }

    #[test]
    fn what_the_coordinator_says_survives_the_wire() {
        let sync = |source| {
            ToWorker::Sync(Sync {
                step: Step(5),
                source,
                state_digest: "d".into(),
            })
        };
        let bodies = [
            ToWorker::Welcome(Welcome {
                lease_ms: 8000,
                ..Welcome::default()
            }),
            ToWorker::Refused(Error::new(Code::VersionMismatch, "old")),
            sync(SyncSource::Initial),
            sync(SyncSource::Checkpoint("/c".into())),
            sync(SyncSource::Peer("h:1".into())),
            ToWorker::Members(vec![Member {
                worker: WorkerId("w".into()),
                slot: Slot(1),
                peer_address: "h:2".into(),
            }]),
            ToWorker::Assign(vec![MicroBatchId(1), MicroBatchId(2)]),
            ToWorker::Credit(vec![MicroBatchId(1)]),
            ToWorker::Reduce { fingerprint: 3 },
            ToWorker::Commit {
                state_digest: "d".into(),
            },
            ToWorker::WriteCheckpoint {
                step: Step(4),
                staging: "/s".into(),
            },
            ToWorker::Finish { step: Step(9) },
            ToWorker::Stale(identity()),
            ToWorker::Beat,
        ];
        for body in bodies {
            let sent = Envelope {
                identity: identity(),
                body,
            };
            let wire = pb::CoordinatorMessage::from(sent.clone());
            assert_eq!(Envelope::<ToWorker>::try_from(wire).unwrap(), sent);
        }
    }

    #[test]
    fn a_message_without_identity_is_refused() {
        let wire = pb::WorkerMessage {
            identity: None,
            body: None,
        };
        let refused = Envelope::<FromWorker>::try_from(wire).unwrap_err();
        assert_eq!(refused.code, Code::VersionMismatch);
    }
}
