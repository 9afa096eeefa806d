//! A worker that is asked to leave.

use super::*;

fn drains(actions: &[Action]) -> Option<bool> {
    said(actions).iter().find_map(|message| match message {
        FromWorker::Leaving { drains, .. } => Some(*drains),
        _ => None,
    })
}

#[test]
fn a_drained_worker_stays_until_it_is_released_however_long_that_takes() {
    let mut session = working();
    assert_eq!(drains(&session.on(Input::Drain, SOON)), Some(true));
    assert!(session.on(Input::Drain, SOON).is_empty());
    for minute in 1..60 {
        // Its checkpoint is on its way to storage all the while.
        let now = Duration::from_secs(60 * minute);
        session.on(told(at(1, 1, 1), ToWorker::Beat), now);
        let actions = session.on(Input::Tick(Progress::default()), now);
        assert!(!actions.iter().any(|a| matches!(a, Action::End(_))));
    }
    let now = Duration::from_secs(3600);
    let released = session.on(told(at(1, 1, 1), ToWorker::Release), now);
    assert_eq!(released, [Action::End(Ending::Drained)]);
}

#[test]
fn who_never_held_a_state_may_go_at_once() {
    let mut fresh = Session::new(Hello::default());
    let actions = fresh.on(Input::Drain, SOON);
    assert_eq!(actions, [Action::End(Ending::Drained)]);
    let mut loaded = Session::new(Hello::default());
    loaded.on(Input::Connected, SOON);
    loaded.on(told(at(1, 0, 1), welcome(false)), SOON);
    loaded.on(Input::Loaded(Loaded::default()), SOON);
    let actions = loaded.on(Input::Drain, SOON);
    assert_eq!(drains(&actions), Some(false));
    assert_eq!(actions.last(), Some(&Action::End(Ending::Drained)));
}

#[test]
fn a_draining_worker_whose_line_breaks_comes_back_and_asks_again() {
    let mut session = working();
    session.on(Input::Drain, SOON);
    assert_eq!(lost(&mut session, SOON), [SOONEST]);
    let actions = session.on(Input::Connected, SOON * 2);
    assert_eq!(resumed(&actions).state_digest, "d0");
    let actions = session.on(told(at(2, 1, 1), welcome(true)), SOON * 2);
    assert_eq!(drains(&actions), Some(true));
    let released = session.on(told(at(2, 1, 1), ToWorker::Release), SOON * 3);
    assert_eq!(released, [Action::End(Ending::Drained)]);
}

#[test]
fn a_worker_asked_to_leave_while_the_coordinator_is_away_does_not_say_that_its_state_is_safe() {
    let mut session = working();
    lost(&mut session, SOON);
    assert!(session.on(Input::Drain, SOON * 2).is_empty());
    assert_eq!(lost(&mut session, SOON * 3), [SOONEST]);
    let actions = lost(&mut session, SOON * 62);
    let error = failure(&actions);
    assert_eq!(error.code, Code::SessionLost);
    assert!(error.why.concat().contains("on no storage"), "{error}");
}

#[test]
fn a_kept_state_is_worth_staying_for() {
    let mut session = working();
    let best = BTreeMap::from([(Step(5), "d5".to_owned())]);
    session.on(Input::Retained(best), SOON);
    let sync = Sync {
        step: Step(0),
        source: SyncSource::Initial,
        state_digest: String::new(),
    };
    session.on(told(at(1, 1, 1), ToWorker::Sync(sync)), SOON);
    assert_eq!(drains(&session.on(Input::Drain, SOON)), Some(true));
}

fn stopped(hold: bool) -> Input {
    let step = Step(4);
    told(at(1, 1, 5), ToWorker::Stopped { step, hold })
}

#[test]
fn a_coordinator_that_was_stopped_is_waited_for_and_was_not_lost() {
    let mut session = working();
    assert!(session.on(stopped(true), SOON).is_empty());
    assert_eq!(lost(&mut session, SOON * 2), [SOONEST]);
    let ended = lost(&mut session, SOON * 62);
    assert_eq!(ended, [Action::End(Ending::Stopped(Step(4)))]);

    // One that is started again is a coordinator as any other.
    let mut session = working();
    session.on(stopped(true), SOON);
    lost(&mut session, SOON * 2);
    session.on(Input::Connected, SOON * 3);
    session.on(told(at(2, 1, 1), welcome(true)), SOON * 3);
    lost(&mut session, SOON * 4);
    let actions = lost(&mut session, SOON * 64);
    assert_eq!(failure(&actions).code, Code::SessionLost);
}

#[test]
fn nothing_holds_a_worker_whose_coordinator_was_stopped() {
    let ended = [Action::End(Ending::Stopped(Step(4)))];
    // One of the coordinator's own.
    assert_eq!(working().on(stopped(false), SOON), ended);
    // Asked to leave before.
    let mut session = working();
    session.on(Input::Drain, SOON);
    assert_eq!(session.on(stopped(true), SOON), ended);
    // Asked to leave afterwards.
    let mut session = working();
    session.on(stopped(true), SOON);
    lost(&mut session, SOON * 2);
    let actions = session.on(Input::Drain, SOON * 3);
    assert_eq!(actions, [Action::End(Ending::Drained)]);
}
