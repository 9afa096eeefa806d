//! What a session does, told as stories: `line` when the stream breaks, `leave` when it is asked to go,
//! `told` what it is told of members, kept states and reduces.

mod leave;
mod line;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Attempt, Generation, Identity, MicroBatchId, RunId, Slot, Step, Term, WorkerId};
use shared::wire::message::{
    Applied, Computed, Envelope, FromWorker, Hello, Loaded, Member, MemberChange, Position,
    Progress, Sync, SyncSource, Task, ToWorker, Welcome,
};

use super::{Action, Ending, Input, Session};

const SOON: Duration = Duration::from_secs(1);
/// The shortest pause there is.
const SOONEST: Action = Action::Open {
    after: Duration::from_millis(100),
};

fn at(term: u64, generation: u64, step: u64) -> Identity {
    Identity {
        run: RunId("r".into()),
        term: Term(term),
        generation: Generation(generation),
        step: Step(step),
        attempt: Attempt(0),
    }
}

fn told(identity: Identity, body: ToWorker) -> Input {
    Input::Coordinator(Envelope { identity, body })
}

fn member(name: &str, slot: u32) -> Member {
    Member {
        worker: WorkerId(name.into()),
        slot: Slot(slot),
        peer_address: "h:1".into(),
    }
}

/// The whole list.
fn all(members: Vec<Member>) -> ToWorker {
    ToWorker::Members(MemberChange {
        members,
        ..MemberChange::default()
    })
}

fn welcome(keep_sums: bool) -> ToWorker {
    ToWorker::Welcome(Welcome {
        worker_id: "w1".into(),
        lease_ms: 8000,
        beat_ms: 1000,
        ride_through_ms: 60_000,
        keep_sums,
        ..Welcome::default()
    })
}

fn ids(list: &[u32]) -> Vec<MicroBatchId> {
    list.iter().copied().map(MicroBatchId).collect()
}

/// A member that holds the state of step 0.
fn working() -> Session {
    let mut session = Session::new(Hello::default());
    session.on(Input::Connected, Duration::ZERO);
    session.on(told(at(1, 0, 1), welcome(false)), Duration::ZERO);
    session.on(Input::Loaded(Loaded::default()), Duration::ZERO);
    let sync = Sync {
        step: Step(0),
        source: SyncSource::Initial,
        state_digest: String::new(),
    };
    session.on(told(at(1, 0, 1), ToWorker::Sync(sync)), Duration::ZERO);
    synced(&mut session, 0);
    let members = all(vec![member("w1", 0), member("w2", 1)]);
    session.on(told(at(1, 1, 1), members), Duration::ZERO);
    session
}

fn synced(session: &mut Session, step: u64) -> Vec<Action> {
    let state_digest = format!("d{step}");
    let step = Step(step);
    session.on(Input::Synced { step, state_digest }, Duration::ZERO)
}

fn computed(step: u64, id: u32) -> Input {
    Input::Computed {
        identity: at(1, 1, step),
        result: Computed {
            micro_batch: MicroBatchId(id),
            fingerprint: u64::from(id) + 10,
            compute_us: 1,
            task: Task::Train,
        },
    }
}

fn assign(step: u64, list: &[u32]) -> Input {
    told(at(1, 1, step), ToWorker::Assign(Task::Train, ids(list)))
}

fn said(actions: &[Action]) -> Vec<&FromWorker> {
    let mut said = Vec::new();
    for action in actions {
        if let Action::Say(message) = action {
            said.push(&message.body);
        }
    }
    said
}

/// What the greeting says that the worker holds.
fn resumed(actions: &[Action]) -> Position {
    match said(actions)[..] {
        [FromWorker::Hello(hello)] => hello.resume.clone().unwrap(),
        _ => panic!("{actions:?}"),
    }
}

fn lost(session: &mut Session, now: Duration) -> Vec<Action> {
    session.on(Input::Lost("reset".into()), now)
}

fn failure(actions: &[Action]) -> &Error {
    match actions.last() {
        Some(Action::End(Ending::Failed(error))) => error,
        _ => panic!("{actions:?}"),
    }
}

#[test]
fn an_applied_total_of_an_older_attempt_is_not_reported() {
    let mut session = working();
    let reduce = ToWorker::Reduce {
        task: Task::Train,
        fingerprint: 0,
    };
    session.on(told(at(1, 1, 1), reduce), SOON);
    let members = all(vec![member("w1", 0)]);
    session.on(told(at(1, 2, 1), members), SOON);
    let late = Input::Applied {
        identity: at(1, 1, 1),
        report: Applied::default(),
    };
    assert!(session.on(late, SOON).is_empty());
}

#[test]
fn a_micro_batch_survives_a_change_of_generation() {
    let mut session = working();
    session.on(assign(1, &[0]), SOON);
    let members = all(vec![member("w1", 0)]);
    session.on(told(at(1, 2, 1), members), SOON);
    let actions = session.on(computed(1, 0), SOON);
    assert!(matches!(&actions[..], [Action::Say(m)] if m.identity == at(1, 2, 1)));
}

#[test]
fn an_order_of_an_older_generation_or_term_is_not_obeyed() {
    let mut session = working();
    let members = || all(vec![member("w1", 0)]);
    session.on(told(at(1, 3, 1), members()), SOON);
    let reduce = || ToWorker::Reduce {
        task: Task::Train,
        fingerprint: 0,
    };
    assert!(session.on(told(at(1, 2, 1), reduce()), SOON).is_empty());
    let actions = session.on(told(at(0, 9, 1), reduce()), SOON);
    assert_eq!(actions, [SOONEST], "a coordinator of an older term is left");
}

#[test]
fn a_worker_that_is_no_member_ends() {
    let mut session = working();
    let members = all(vec![member("w2", 0)]);
    let actions = session.on(told(at(1, 2, 1), members), SOON);
    assert!(matches!(&actions[..], [Action::End(Ending::Failed(e))] if e.code == Code::Evicted));
    assert!(
        session
            .on(Input::Tick(Progress::default()), SOON * 9)
            .is_empty()
    );
}

#[test]
fn a_micro_batch_is_begun_only_on_the_state_of_the_step_before() {
    let mut session = working();
    assert!(session.on(assign(2, &[3]), SOON).is_empty());
    let reduce = ToWorker::Reduce {
        task: Task::Train,
        fingerprint: 0,
    };
    session.on(told(at(1, 1, 1), reduce), SOON);
    let report = Applied {
        state_digest: "d1".into(),
        ..Applied::default()
    };
    let identity = at(1, 1, 1);
    session.on(Input::Applied { identity, report }, SOON);
    let commit = ToWorker::Commit {
        state_digest: "d1".into(),
    };
    let actions = session.on(told(at(1, 1, 1), commit), SOON);
    assert_eq!(actions, [Action::Commit(Step(1))]);
    let actions = session.on(Input::Committed(Step(1)), SOON);
    assert!(
        matches!(&actions[..], [Action::Compute { micro_batches, .. }] if *micro_batches == ids(&[3]))
    );
}

#[test]
fn another_state_than_the_committed_one_is_never_taken() {
    let mut session = working();
    let commit = ToWorker::Commit {
        state_digest: "other".into(),
    };
    let actions = session.on(told(at(1, 1, 1), commit), SOON);
    assert!(
        matches!(actions.last(), Some(Action::End(Ending::Failed(e))) if e.code == Code::ReplicasDisagree)
    );
}

#[test]
fn a_broken_session_comes_back_with_everything_it_holds() {
    let mut session = working();
    session.on(assign(1, &[0, 1]), SOON);
    session.on(computed(1, 0), SOON);
    session.on(computed(1, 1), SOON);
    session.on(
        told(at(1, 1, 1), ToWorker::Credit(Task::Train, ids(&[0]))),
        SOON,
    );
    let actions = session.on(Input::Lost("reset".into()), SOON);
    assert_eq!(actions, [SOONEST]);
    let actions = session.on(Input::Connected, SOON);
    let position = resumed(&actions);
    assert_eq!(
        (position.step, position.state_digest.as_str()),
        (Step(0), "d0")
    );
    assert_eq!(position.credited, BTreeMap::from([(MicroBatchId(0), 10)]));
    // Computed and never credited: answered at once when it is assigned again.
    session.on(told(at(2, 1, 1), welcome(true)), SOON);
    let again = ToWorker::Assign(Task::Train, ids(&[1]));
    let actions = session.on(told(at(2, 2, 1), again), SOON);
    assert!(
        matches!(said(&actions)[..], [FromWorker::Computed(c)] if c.micro_batch == MicroBatchId(1))
    );
}

#[test]
fn sums_that_do_not_count_any_more_are_forgotten() {
    let mut session = working();
    session.on(assign(1, &[0]), SOON);
    session.on(computed(1, 0), SOON);
    session.on(
        told(at(1, 1, 1), ToWorker::Credit(Task::Train, ids(&[0]))),
        SOON,
    );
    session.on(Input::Lost("reset".into()), SOON);
    session.on(Input::Connected, SOON);
    let actions = session.on(told(at(1, 1, 1), welcome(false)), SOON);
    assert!(actions.contains(&Action::Forget));
    session.on(Input::Lost("reset".into()), SOON);
    let actions = session.on(Input::Connected, SOON);
    assert!(resumed(&actions).credited.is_empty());
}

#[test]
fn what_is_withdrawn_is_forgotten_and_answered() {
    let mut session = working();
    session.on(assign(1, &[0, 1]), SOON);
    session.on(computed(1, 0), SOON);
    let withdraw = ToWorker::Withdraw(Task::Train, ids(&[0, 1]));
    let actions = session.on(told(at(1, 1, 1), withdraw), SOON);
    assert!(matches!(actions[0], Action::Withdraw { step: Step(1), .. }));
    // The one with the device is answered by the device.
    assert_eq!(
        said(&actions),
        [&FromWorker::Skipped(Task::Train, ids(&[0]))]
    );
    let credit = session.on(
        told(at(1, 1, 1), ToWorker::Credit(Task::Train, ids(&[0]))),
        SOON,
    );
    assert!(matches!(
        credit.last(),
        Some(Action::End(Ending::Failed(_)))
    ));
}
