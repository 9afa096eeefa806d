//! What is said survives the wire, both ways.

use super::super::message::{
    Applied, Computed, Envelope, Failed, FailureScope, FileDigest, FromWorker, Hello, Loaded,
    Member, MemberChange, Position, Progress, Rehearsal, SliceFingerprints, Sync, SyncSource, Task,
    ToWorker, Welcome,
};
use super::super::session as pb;
use crate::error::{Code, Error};
use crate::ids::{Attempt, Generation, Identity, MicroBatchId, RunId, Slot, Step, Term, WorkerId};

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
            resume: Some(Position {
                run: RunId("r".into()),
                worker: WorkerId("w".into()),
                step: Step(3),
                state_digest: "d".into(),
                task: Task::Evaluate,
                credited: [(MicroBatchId(1), 5)].into(),
                shadow_digest: "s".into(),
                loaded: Some(Loaded::default()),
                retained: [(Step(2), "e".to_owned())].into(),
            }),
            ..Hello::default()
        }),
        FromWorker::Loaded(Loaded {
            device: "cpu".into(),
            rehearsals: vec![Rehearsal {
                tokens: 7,
                compute_us: 8,
            }],
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
            task: Task::Audit,
        }),
        FromWorker::Applied(Applied {
            loss: -5,
            contributed_fingerprint: 3,
            grad_norm: 0.1,
            bytes_sent: 9,
            loss_scale: Some(crate::numerics::LossScale {
                scale: 1 << 62,
                good_steps: 1999,
                skipped_steps: 3,
            }),
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
        FromWorker::Skipped(Task::Evaluate, vec![MicroBatchId(3)]),
        FromWorker::Unsynced {
            reason: "gone".into(),
        },
        FromWorker::Reapplied {
            committed_digest: "a".into(),
            state_digest: "b".into(),
        },
        FromWorker::Proved {
            step: Step(4),
            state_digest: "c".into(),
        },
        FromWorker::Leaving {
            drains: true,
            reason: "drain".into(),
        },
        FromWorker::Slices(SliceFingerprints {
            sent: vec![1, 2],
            received: vec![3],
        }),
        FromWorker::Beat(Progress {
            device: 1,
            moved: 2,
            stored: 3,
        }),
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
            ride_through_ms: 60_000,
            keep_sums: true,
            ..Welcome::default()
        }),
        ToWorker::Refused(Error::new(Code::VersionMismatch, "old")),
        sync(SyncSource::Initial),
        sync(SyncSource::Checkpoint("/c".into())),
        sync(SyncSource::Peer("h:1".into())),
        ToWorker::Members(MemberChange {
            since: Some(Generation(1)),
            left: vec![WorkerId("v".into())],
            members: vec![Member {
                worker: WorkerId("w".into()),
                slot: Slot(1),
                peer_address: "h:2".into(),
            }],
        }),
        ToWorker::Members(MemberChange::default()),
        ToWorker::Retain(vec![Step(4), Step(7)]),
        ToWorker::Explain,
        ToWorker::Withdraw(Task::Evaluate, vec![MicroBatchId(4)]),
        ToWorker::Reapply,
        ToWorker::Prove,
        ToWorker::Release,
        ToWorker::Assign(Task::Audit, vec![MicroBatchId(1), MicroBatchId(2)]),
        ToWorker::Credit(Task::Evaluate, vec![MicroBatchId(1)]),
        ToWorker::Reduce {
            task: Task::Evaluate,
            fingerprint: 3,
        },
        ToWorker::Commit {
            state_digest: "d".into(),
        },
        ToWorker::WriteCheckpoint {
            step: Step(4),
            staging: "/s".into(),
        },
        ToWorker::Finish { step: Step(9) },
        ToWorker::Stopped {
            step: Step(9),
            hold: true,
        },
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

#[test]
fn what_a_failure_ends_survives_the_wire() {
    for scope in [
        FailureScope::Work,
        FailureScope::Reduce,
        FailureScope::Nothing,
    ] {
        let failed = Failed {
            error: Error::new(Code::NoDevice, "no GPU").fix("device: cpu"),
            culprit: Some(WorkerId("w".into())),
            scope,
        };
        let sent = Envelope {
            identity: identity(),
            body: FromWorker::Failed(failed),
        };
        let wire = pb::WorkerMessage::from(sent.clone());
        assert_eq!(Envelope::<FromWorker>::try_from(wire).unwrap(), sent);
    }
}
